//! Text for terminals of 80 columns: one line a step in the order of the graph, lines at the left for the links, as
//! `git log --graph` draws commits.
//!
//! ```text
//! ● start
//! ● 1 · Images, queue images
//! ├─╮ ▶ 2 on first
//! │ │ ▶ 3 on second
//! ● │ 2 · Mailer
//!   ● 3
//! ```
//!
//! A line that runs down from `●` leads to the next box in it. A link that leads upwards or beyond the width is named
//! only.

use std::fmt::Write as _;

use super::{Diagram, Direction, Edge, EdgeKind, Format};
use crate::picture::reading_order;
use crate::report::printable;

/// The format of this file.
pub static FORMAT: Format = Format { name: "text", description: "text for terminals, 80 columns wide", render };

/// Characters of a line.
const WIDTH: usize = 80;
/// Lanes beside each other; further links are named only.
const MAX_LANES: usize = 12;

fn render(diagrams: &[Diagram], _: Direction) -> String {
    let mut out = String::new();
    for (number, diagram) in diagrams.iter().enumerate() {
        if diagrams.len() > 1 {
            let _ = writeln!(out, "{}{}", if number > 0 { "\n" } else { "" }, printable(&diagram.name, WIDTH));
        }
        match &diagram.empty {
            Some(why) => _ = writeln!(out, "{why}"),
            None => draw(diagram, &mut out),
        }
    }
    out
}

/// Lines that run down the page, each to a box.
#[derive(Default)]
struct Lanes(Vec<Option<usize>>);

impl Lanes {
    /// Ends the lanes to a box in its lane, and returns that.
    fn arrive(&mut self, to: usize, out: &mut String) -> usize {
        let ending: Vec<usize> = (0..self.0.len()).filter(|&lane| self.0[lane] == Some(to)).collect();
        let Some((&lane, others)) = ending.split_first() else { return self.open(to).unwrap_or(0) };
        if let Some(&last) = others.last() {
            let glyph = |at: usize| match (at == lane, others.contains(&at)) {
                (true, _) => '├',
                (_, true) if at == last => '╯',
                (_, true) => '┴',
                (_, false) if at > lane && at < last => '─',
                (_, false) => self.through(at),
            };
            let glyphs: Vec<char> = (0..self.0.len()).map(glyph).collect();
            let _ = writeln!(out, "{}", joined(&glyphs, lane..last).trim_end());
            others.iter().for_each(|&other| self.0[other] = None);
        }
        self.trim();
        lane
    }

    /// A free lane that leads to a box from now on.
    fn open(&mut self, to: usize) -> Option<usize> {
        if let Some(free) = self.0.iter().position(Option::is_none) {
            self.0[free] = Some(to);
            return Some(free);
        }
        (self.0.len() < MAX_LANES).then(|| {
            self.0.push(Some(to));
            self.0.len() - 1
        })
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&None) {
            self.0.pop();
        }
    }

    fn through(&self, at: usize) -> char {
        if self.0.get(at).copied().flatten().is_some() { '│' } else { ' ' }
    }

    /// The lanes with another glyph in one of them.
    fn row(&self, lane: Option<usize>, glyph: char) -> String {
        let glyph = |at: usize| if Some(at) == lane { glyph } else { self.through(at) };
        joined(&(0..self.0.len()).map(glyph).collect::<Vec<_>>(), 0..0)
    }
}

/// Glyphs with a space behind each, or a line within a range of lanes.
fn joined(glyphs: &[char], line: std::ops::Range<usize>) -> String {
    let space = |at: usize| if line.contains(&at) { '─' } else { ' ' };
    glyphs.iter().enumerate().flat_map(|(at, &glyph)| [glyph, space(at)]).collect()
}

fn draw(diagram: &Diagram, out: &mut String) {
    let order = reading_order(diagram);
    let mut places = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &node)| places[node] = place);
    let mut lanes = Lanes::default();
    for &place in &order {
        let lane = lanes.arrive(place, out);
        line(out, &lanes.row(Some(lane), '●'), &diagram.nodes[place].lines.join(", "));
        let links: Vec<&Edge> = diagram.edges.iter().filter(|edge| edge.from == place).collect();
        // Its lane is free for the first of its links.
        lanes.0[lane] = None;
        let mut used = Vec::new();
        for link in &links {
            let is_down = places[link.to] > places[place];
            let taken = lanes.0.iter().position(|to| *to == Some(link.to)).filter(|lane| used.contains(lane));
            let opened = taken.or_else(|| is_down.then(|| lanes.open(link.to)).flatten());
            let is_plain = links.len() == 1 && link.label.is_none() && link.kind != EdgeKind::Broken;
            if opened == Some(lane) && is_plain {
                continue;
            }
            let glyphs = branch(&lanes, lane, opened.filter(|to| taken.is_none() && *to != lane));
            used.extend(opened);
            line(out, &glyphs, &named(diagram, link, is_down));
        }
        lanes.trim();
    }
}

/// The lanes below a box, of which one may begin at it.
fn branch(lanes: &Lanes, lane: usize, opened: Option<usize>) -> String {
    let Some(opened) = opened else { return lanes.row(None, ' ') };
    let (left, right) = (lane.min(opened), lane.max(opened));
    let is_on = lanes.through(lane) == '│';
    let glyph = |at: usize| match at {
        at if at == lane && opened > lane => {
            if is_on {
                '├'
            } else {
                '╰'
            }
        }
        at if at == lane => {
            if is_on {
                '┤'
            } else {
                '╯'
            }
        }
        at if at == opened => {
            if opened > lane {
                '╮'
            } else {
                '╭'
            }
        }
        at if at > left && at < right => '─',
        at => lanes.through(at),
    };
    joined(&(0..lanes.0.len().max(right + 1)).map(glyph).collect::<Vec<_>>(), left..right)
}

/// A link in words.
fn named(diagram: &Diagram, link: &Edge, is_down: bool) -> String {
    let to = &diagram.nodes[link.to];
    let to = to.step.map_or_else(|| to.lines[0].clone(), |step| step.to_string());
    let head = if is_down { '▶' } else { '▲' };
    let mark = link.mark.map_or(String::new(), |mark| format!(", {}", mark.name()));
    // The label begins with the sign of the mark.
    let label = link
        .label
        .as_deref()
        .map(|label| link.mark.map_or(label, |mark| label.trim_start_matches(mark.symbol()).trim_start()));
    match label {
        Some(label) if !label.is_empty() => format!("{head} {to} on {label}{mark}"),
        _ => format!("{head} {to}{mark}"),
    }
}

fn line(out: &mut String, lanes: &str, text: &str) {
    let left = WIDTH - lanes.chars().count().min(WIDTH / 2);
    let _ = writeln!(out, "{lanes}{}", printable(text, left));
}
