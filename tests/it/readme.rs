//! `README.md`: every block does what it shows.

use std::path::Path;
use std::process::Command;

use crate::lists::root;

const README: &str = include_str!("../../README.md");

/// A fenced block: its language, its text, and the paragraph before it.
struct Block<'t> {
    language: &'t str,
    text: &'t str,
    before: &'t str,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("\n```") {
        let (language, after) = after.split_once('\n').expect("a block has lines");
        let (text, after) = after.split_once("```").expect("a block ends");
        let before = before.trim_end().rsplit("\n\n").next().unwrap_or_default();
        found.push(Block { language, text, before });
        rest = after;
    }
    found
}

/// A shell line in a directory, with the program first on the path; everything that it prints.
fn shell(directory: &Path, line: &str) -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_zrecipe")).parent().expect("has a directory");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{{ {line}\n}} 2>&1")]).current_dir(directory).env("PATH", path);
    shell.env("ZRECIPE_STATE", directory.join(".state")).env("COLUMNS", "100");
    for variable in ["ZOCALO_CONFIG", "ZOCALO_DEFAULT_ENV", "NO_COLOR"] {
        shell.env_remove(variable);
    }
    String::from_utf8(shell.output().expect("starts").stdout).expect("is UTF-8")
}

/// Text without what differs from run to run: recipe IDs, times and the widths of columns.
fn steady(text: &str) -> String {
    let is_id = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
    let is_number = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let steady = words.iter().enumerate().map(|(at, word)| match words.get(at + 1) {
            _ if is_id(word) => "ID",
            Some(&("ms" | "s")) if is_number(word) => "TIME",
            _ => word,
        });
        steady.filter(|word| !matches!(*word, "ms" | "s")).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_block_of_the_readme_does_what_it_shows() {
    let folder = tempfile::tempdir().expect("can be made");
    let mut commands = 0;
    for block in blocks(README) {
        match block.language {
            "json" => {
                let (_, name) = block.before.rsplit_once("Save this as `").expect("a file has a name");
                let name = name.split('`').next().expect("ends");
                std::fs::write(folder.path().join(name), block.text).expect("can be written");
            }
            "console" => {
                for part in format!("\n{}", block.text).split("\n$ ").skip(1) {
                    let (line, shown) = part.split_once('\n').unwrap_or((part, ""));
                    assert_eq!(steady(&shell(folder.path(), line)), steady(shown.trim_end()), "{line}");
                    commands += 1;
                }
            }
            "sh" => {
                let line = block.text.trim();
                match line.strip_prefix("cargo run --release -- ") {
                    Some(arguments) => {
                        let printed = shell(folder.path(), &format!("zrecipe {arguments}; echo ended with $?"));
                        assert!(printed.ends_with("ended with 0\n"), "{printed}");
                    }
                    // The suite `packaging` runs it.
                    None if line == "pip install zrecipe" => {}
                    None => assert!(root().join(line).is_file(), "there is no `{line}`"),
                }
                commands += 1;
            }
            other => panic!("a block of {other:?} is not tested"),
        }
    }
    assert!(commands >= 6, "{commands} commands");
    assert!((5_000..8_500).contains(&README.len()), "{} bytes", README.len());
}

/// `UPDATE_DOCS=1` writes it.
#[test]
fn the_picture_is_what_the_program_draws() {
    let path = root().join("docs/pictures/failures.svg");
    let drawn = shell(root(), "zrecipe graph failures --format svg");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &drawn).expect("can be written");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), drawn, "UPDATE_DOCS=1 writes docs/pictures");
    assert!(README.contains("docs/pictures/failures.svg"));
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md"), root().join("SECURITY.md")];
    let entries =
        std::fs::read_dir(root().join("docs")).expect("can be read").map(|entry| entry.expect("entry").path());
    pages.extend(entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    let anchors = |text: &str| -> Vec<String> {
        let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
        let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
        let anchor =
            |heading: &str| heading.trim_start_matches('#').trim().to_lowercase().chars().filter(is_kept).collect();
        headings.map(anchor).map(|anchor: String| anchor.replace(' ', "-")).collect()
    };
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("can be read");
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap_or_default()) {
            if link.contains("://") || link.contains(' ') || link.is_empty() {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().expect("has one").join(file) };
            assert!(target.exists(), "{}: `{link}` leads nowhere", page.display());
            if !anchor.is_empty() && target.extension().is_some_and(|ending| ending == "md") {
                let known = anchors(&std::fs::read_to_string(&target).expect("can be read"));
                assert!(known.iter().any(|known| known == anchor), "{}: `{link}` has no such heading", page.display());
            }
        }
    }
}
