//! Safe fixes keep what a recipe does: the reference implementation binds it to the same recipe before and after, or it
//! has refused it before.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use zrecipe::compile::Options;
use zrecipe::fix::{Which, fix};
use zrecipe::source::Source;
use zrecipe::syntax::json::read_value;
use zrecipe::value::Value;

use crate::python::{directory_of_scripts, program};

/// What is put into a text, or in place of a part of it.
const PIECES: [&str; 26] = [
    ",",
    "{",
    "}",
    "[",
    "]",
    ":",
    "\"",
    "'",
    " ",
    "1",
    "\"1\"",
    "2.0",
    "true",
    "null",
    "None",
    "{x}",
    "{ x }",
    "{$REPLACE:x}",
    "\"queue\":",
    "\"delay\": 5,",
    "\"params\": {},",
    "\"outputs\": 2,",
    "\"transport-delay\": \"5\",",
    "\u{feff}",
    "01",
    "\\",
];

/// How many texts are made of each.
const VARIANTS: usize = 60;

/// The recipes of the project and of its fixtures.
fn texts() -> Vec<String> {
    fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                collect(&entry, found);
            } else if entry.extension().is_some_and(|extension| extension == "json") {
                found.push(entry);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    ["recipes", "tests/lint", "tests/syntax", "tests/lower"]
        .iter()
        .for_each(|part| collect(&root.join(part), &mut paths));
    paths.sort();
    let texts = paths.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    texts.filter(|text| text.len() < 4_000).collect()
}

/// A text with one or two changes; the same for the same seed.
fn mutated(text: &str, seed: &mut u64) -> String {
    let mut next = |most: usize| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) as usize % most.max(1)
    };
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..=next(2) {
        let at = next(text.len());
        let until = (at + next(3)).min(text.len());
        let piece = PIECES[next(PIECES.len())];
        match next(3) {
            0 => _ = text.splice(at..until, piece.chars()),
            1 => _ = text.splice(at..at, piece.chars()),
            _ => _ = text.splice(at..until, std::iter::empty()),
        }
    }
    text.into_iter().collect()
}

#[test]
fn safe_fixes_keep_what_recipes_do() {
    let parameters = [r#"{}"#, r#"{"x": 5, "$replace": 1, "visit": "cm1", "file": "a {x}"}"#];
    let mut cases = Vec::new();
    let mut seed = 1;
    for text in texts() {
        let variants = (0..VARIANTS).map(|_| mutated(&text, &mut seed)).collect::<Vec<_>>();
        for before in std::iter::once(text).chain(variants) {
            let fixed =
                fix(Arc::new(Source::from_text("recipe.json", before.as_str())), Options::default(), Which::Safe);
            if fixed.applied == 0 {
                continue;
            }
            let after = fixed.compilation.source.text();
            cases.extend(parameters.iter().map(|parameters| {
                let given = read_value(parameters.as_bytes()).expect("JSON");
                Value::from([
                    ("before", Value::from(before.as_str())),
                    ("after", Value::from(after)),
                    ("parameters", given),
                ])
            }));
        }
    }
    assert!(cases.len() > 1_000, "only {} texts have safe fixes", cases.len());
    let mut python = Command::new(program("python"))
        .arg(directory_of_scripts().join("fixes.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut stdin = python.stdin.take().expect("its input");
    for case in &cases {
        writeln!(stdin, "{}", case.to_json()).expect("write");
    }
    drop(stdin);
    let output = python.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "Python has failed");
    let found = read_value(&output.stdout).expect("JSON");
    let accepted = found.get("accepted").and_then(Value::as_i64).unwrap_or_default();
    assert!(accepted > 0, "the reference accepts none of {} recipes", cases.len());
    let changed = found.get("changed").and_then(Value::as_array).unwrap_or_default();
    let shown: Vec<String> = changed.iter().take(5).map(Value::to_json_pretty).collect();
    assert!(changed.is_empty(), "{} of {accepted} recipes do something else:\n{}", changed.len(), shown.join("\n"));
}
