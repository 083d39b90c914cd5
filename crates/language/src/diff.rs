//! What changed between two texts, line by line, as a unified diff.

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// From how many differing lines on the whole middle counts as changed: the search takes the square of their number.
const MOST_DIFFERENCES: usize = 1000;

const BOLD: &str = "\u{1b}[1m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const CYAN: &str = "\u{1b}[36m";
const RESET: &str = "\u{1b}[0m";

/// A stretch of lines: so many that stay, or so many that go and so many that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    same: bool,
    before: usize,
    after: usize,
}

/// The unified diff of a file called `name`; empty when nothing changed.
pub fn unified(name: &str, before: &str, after: &str, colour: bool) -> String {
    if before == after {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) =
        (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let mut out = String::new();
    let mut row = |style: &str, mark: &str, line: &str| {
        let (line, ended) = line.strip_suffix('\n').map_or((line, false), |line| (line, true));
        let (style, reset) = if colour && !style.is_empty() { (style, RESET) } else { ("", "") };
        out.push_str(&format!("{style}{mark}{line}{reset}\n"));
        if !ended {
            out.push_str("\\ No newline at end of file\n");
        }
    };
    row(BOLD, "--- ", &format!("{name}\n"));
    row(BOLD, "+++ ", &format!("{name}\n"));
    for hunk in hunks(&stretches(&old, &new)) {
        let (mut from, mut to) = (hunk.old, hunk.new);
        let lines = |part: fn(&Stretch) -> usize| hunk.stretches.iter().map(part).sum::<usize>();
        let (gone, come) = (lines(|stretch| stretch.before), lines(|stretch| stretch.after));
        row(CYAN, "", &format!("@@ -{} +{} @@\n", range(from, gone), range(to, come)));
        for stretch in &hunk.stretches {
            if stretch.same {
                old[from..from + stretch.before].iter().for_each(|line| row("", " ", line));
            } else {
                old[from..from + stretch.before].iter().for_each(|line| row(RED, "-", line));
                new[to..to + stretch.after].iter().for_each(|line| row(GREEN, "+", line));
            }
            from += stretch.before;
            to += stretch.after;
        }
    }
    out
}

/// A range of lines as `diff` writes it: counted from 1, an empty one by the line before it.
fn range(first: usize, count: usize) -> String {
    match count {
        0 => format!("{first},0"),
        1 => (first + 1).to_string(),
        _ => format!("{},{count}", first + 1),
    }
}

/// Changes near each other, with the lines around them.
struct Hunk {
    old: usize,
    new: usize,
    stretches: Vec<Stretch>,
}

fn hunks(stretches: &[Stretch]) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    let (mut old, mut new) = (0, 0);
    let same = |lines| Stretch { same: true, before: lines, after: lines };
    for (place, stretch) in stretches.iter().enumerate() {
        let is_last = place + 1 == stretches.len();
        if !stretch.same {
            if hunks.is_empty() {
                hunks.push(Hunk { old, new, stretches: Vec::new() });
            }
            if let Some(hunk) = hunks.last_mut() {
                hunk.stretches.push(*stretch);
            }
        } else {
            let lines = stretch.before;
            let (after, before) = (if place > 0 { CONTEXT } else { 0 }, if is_last { 0 } else { CONTEXT });
            match hunks.last_mut() {
                Some(hunk) if lines <= after + before => {
                    hunk.stretches.push(same(lines.min(if is_last { after } else { lines })))
                }
                previous => {
                    if let Some(hunk) = previous {
                        hunk.stretches.push(same(lines.min(after)));
                    }
                    if !is_last {
                        let lead = lines.min(before);
                        let stretches = if lead > 0 { vec![same(lead)] } else { Vec::new() };
                        hunks.push(Hunk { old: old + lines - lead, new: new + lines - lead, stretches });
                    }
                }
            }
        }
        old += stretch.before;
        new += stretch.after;
    }
    hunks
}

/// What stays and what changes, from the first line to the last.
fn stretches(old: &[&str], new: &[&str]) -> Vec<Stretch> {
    let least = old.len().min(new.len());
    let head = (0..least).take_while(|&line| old[line] == new[line]).count();
    let tail = (0..least - head).take_while(|&line| old[old.len() - 1 - line] == new[new.len() - 1 - line]).count();
    let (old, new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut stretches = Vec::new();
    let mut add = |same: bool, before: usize, after: usize| {
        if before + after == 0 {
            return;
        }
        match stretches.last_mut() {
            Some(Stretch { same: last, before: gone, after: come }) if *last == same => {
                *gone += before;
                *come += after;
            }
            _ => stretches.push(Stretch { same, before, after }),
        }
    };
    add(true, head, head);
    let (mut from, mut to) = (0, 0);
    for (x, y) in matches(old, new) {
        add(false, x - from, y - to);
        add(true, 1, 1);
        (from, to) = (x + 1, y + 1);
    }
    add(false, old.len() - from, new.len() - to);
    add(true, tail, tail);
    stretches
}

/// A longest list of lines that both have, by Myers' greedy search; none when the texts differ too much.
fn matches(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let (n, m) = (old.len() as isize, new.len() as isize);
    if n == 0 || m == 0 {
        return Vec::new();
    }
    let same = |x: isize, y: isize| old[x as usize] == new[y as usize];
    // For every number of differences the furthest line on each diagonal, from diagonal `-differences` on.
    let mut trace: Vec<Vec<isize>> = Vec::new();
    for differences in 0..=(MOST_DIFFERENCES as isize).min(n + m) {
        let mut row = vec![-1; 2 * differences as usize + 1];
        for diagonal in (-differences..=differences).step_by(2) {
            let (mut x, _) = enter(trace.last(), differences, diagonal);
            while x < n && x - diagonal < m && same(x, x - diagonal) {
                x += 1;
            }
            row[(diagonal + differences) as usize] = x;
            if x >= n && x - diagonal >= m {
                trace.push(row);
                return walk_back(&trace, n, m);
            }
        }
        trace.push(row);
    }
    Vec::new()
}

/// Where the search comes to a diagonal with so many differences, and whether by a line that is new.
fn enter(previous: Option<&Vec<isize>>, differences: isize, diagonal: isize) -> (isize, bool) {
    let Some(row) = previous else { return (0, false) };
    let furthest = |diagonal: isize| {
        usize::try_from(diagonal + differences - 1).ok().and_then(|at| row.get(at)).copied().unwrap_or(-1)
    };
    let (right, down) = (furthest(diagonal - 1), furthest(diagonal + 1));
    let is_new = diagonal == -differences || (diagonal != differences && right < down);
    if is_new { (down, true) } else { (right + 1, false) }
}

/// The lines passed on the way that the search has found.
fn walk_back(trace: &[Vec<isize>], n: isize, m: isize) -> Vec<(usize, usize)> {
    let mut matches = Vec::new();
    let (mut x, mut y) = (n, m);
    for differences in (0..trace.len()).rev() {
        let previous = differences.checked_sub(1).map(|before| &trace[before]);
        let (start, is_new) = enter(previous, differences as isize, x - y);
        while x > start {
            x -= 1;
            y -= 1;
            matches.push((x as usize, y as usize));
        }
        if is_new {
            y -= 1;
        } else {
            x -= 1;
        }
    }
    matches.reverse();
    matches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_with_their_surroundings() {
        let lines = |range: std::ops::RangeInclusive<u32>| range.map(|line| format!("{line}\n")).collect::<String>();
        let text = lines(1..=20);
        for (before, after, expect) in [
            ("a\n".to_owned(), "a\n".to_owned(), ""),
            ("a\n".to_owned(), "b\n".to_owned(), "--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n"),
            ("".to_owned(), "b\n".to_owned(), "--- x\n+++ x\n@@ -0,0 +1 @@\n+b\n"),
            ("a\n".to_owned(), "a".to_owned(), "--- x\n+++ x\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n"),
            (text.clone(), text.replace("10\n", ""), "--- x\n+++ x\n@@ -7,7 +7,6 @@\n 7\n 8\n 9\n-10\n 11\n 12\n 13\n"),
            (
                text.clone(),
                text.replace("5\n", "x\n").replace("12\n", "y\nz\n"),
                "--- x\n+++ x\n@@ -2,17 +2,18 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n 9\n 10\n 11\n-12\n+y\n+z\n 13\n 14\n-15\n+1x\n 16\n 17\n 18\n",
            ),
        ] {
            assert_eq!(unified("x", &before, &after, false), expect);
        }
    }

    #[test]
    fn changes_far_apart_are_shown_apart() {
        let lines: Vec<String> = (1..=30).map(|line| format!("{line}\n")).collect();
        let mut changed = lines.clone();
        changed[1] = "x\n".to_owned();
        changed[24] = "y\n".to_owned();
        let found = unified("x", &lines.concat(), &changed.concat(), true);
        assert_eq!(found.matches("@@ -").count(), 2, "{found}");
        assert!(found.contains("@@ -1,5 +1,5 @@") && found.contains("@@ -22,7 +22,7 @@"), "{found}");
        assert!(found.contains("\u{1b}[31m-2\u{1b}[0m\n\u{1b}[32m+x\u{1b}[0m\n 3\n"), "{found}");
    }

    #[test]
    fn what_stays_is_found() {
        let old = ["a", "b", "c", "a", "b", "b", "a"];
        let new = ["c", "b", "a", "b", "a", "c"];
        assert_eq!(matches(&old, &new).len(), 4);
        for (x, y) in matches(&old, &new) {
            assert_eq!(old[x], new[y]);
        }
    }
}
