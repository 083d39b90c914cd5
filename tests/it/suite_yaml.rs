//! The YAML test suite (github.com/yaml/yaml-test-suite, MIT): what YAML is, and what it means.
//!
//! `cases.json` holds every case: its text, and either the values that it stands for or that it is an error.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use zrecipe::source::{Source, Span};
use zrecipe::syntax::json::read_value;
use zrecipe::syntax::{Kind, ProblemKind, yaml};
use zrecipe::value::Value;

/// YAML 1.2 that libyaml or PyYAML refuse, and texts without a value.
const REFUSED: &[&str] = &[
    "2LFX", "2SXE", "35KP", "3GZX", "4MUZ/00", "4MUZ/01", "4MUZ/02", "58MP", "5MUD", "5T43", "5TYM", "6BCT", "6CA3",
    "6CK3", "6LVF", "6WLZ", "6XDY", "6ZKB", "7FWL", "7Z25", "8G76", "8XYN", "96NN/00", "96NN/01", "98YD", "9DXL",
    "9KAX", "9SA2", "9WXW", "A2M4", "AVM7", "BEC7", "C4HZ", "CC74", "CUP7", "DBG4", "DK3J", "DK95/00", "DK95/03",
    "DK95/04", "FP8R", "HM87/00", "HWV9", "JHB9", "K3WX", "KSS4", "L383", "M5C3", "M7A3", "MUS6/05", "MUS6/06", "NJ66",
    "P76L", "PUW8", "Q5MG", "QT73", "R4YG", "RZT7", "U9NS", "UGM3", "UT92", "VJP3/01", "W4TN", "W5VH", "WZ62",
    "Y79Y/001", "Y79Y/010", "Z67P", "Z9M4",
];

/// What YAML 1.1, or JSON, makes something else of.
const DIFFERENT: &[&str] = &["652Z", "HM87/01", "JEF9/02", "L24T/01", "Y2GN"];

/// Errors in YAML 1.2 that PyYAML reads as well.
const ACCEPTED: &[&str] =
    &["9C9N", "9JBA", "CVW2", "DK95/01", "G5U8", "MUS6/00", "QB6E", "S98Z", "SU5Z", "X4QW", "Y79Y/003", "YJV2"];

enum Outcome {
    Refused,
    Value(Value),
}

fn read(text: &str) -> Outcome {
    let tree = yaml::parse(Arc::new(Source::from_text("case.yml", text)));
    match tree.is_broken() {
        true => Outcome::Refused,
        false => Outcome::Value(tree.root().to_value()),
    }
}

fn cases() -> Vec<serde_json::Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suites/yaml/cases.json");
    let cases: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(path).expect("is part of the project")).expect("is JSON");
    assert_eq!(cases.len(), 402, "the suite is complete");
    cases
}

#[test]
fn documents() {
    let cases = cases();
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for case in &cases {
        let text = |key: &str| case[key].as_str();
        let name = text("name").expect("has a name");
        let kind = match (read(text("yaml").expect("has a text")), text("json").map(|json| read_value(json.as_bytes())))
        {
            (Outcome::Refused, _) if case["error"] == true => continue,
            (Outcome::Value(_), _) if case["error"] == true => "accepted",
            (Outcome::Value(value), Some(Ok(expected))) if value == expected => continue,
            (Outcome::Value(_), Some(Ok(_))) => "different",
            (Outcome::Refused, Some(_)) => "refused",
            // Several documents, or none, or values that JSON does not have.
            (Outcome::Refused, None) | (Outcome::Value(_), Some(Err(_)) | None) => continue,
        };
        found.entry(kind).or_default().push(name);
    }
    let list = |kind| found.get(kind).cloned().unwrap_or_default();
    assert_eq!(list("refused"), REFUSED, "refused");
    assert_eq!(list("different"), DIFFERENT, "different");
    assert_eq!(list("accepted"), ACCEPTED, "accepted");
}

/// Every span lies in the text and on character boundaries, and what is in something else comes behind it in the tree.
fn check_tree(text: &str) {
    let tree = yaml::parse(Arc::new(Source::from_text("case.yml", text)));
    let is_place = |span: Span| span.start <= span.end && tree.source().text().get(span.range()).is_some();
    for node in tree.nodes() {
        assert!(is_place(node.span()), "{node:?} in {text:?}");
        let is_text = node.kind() == Kind::String;
        assert!(!is_text || is_place(node.text_span(0..node.text().len())), "the text of {node:?} in {text:?}");
        assert!(node.members().all(|member| member.key.kind() == Kind::String), "{node:?} in {text:?}");
    }
    for problem in tree.problems() {
        assert!(is_place(problem.span) && problem.related.is_none_or(is_place), "{problem:?} in {text:?}");
    }
    assert!(tree.comments().iter().all(|&comment| tree.source().slice(comment).starts_with('#')), "{text:?}");
    // What is left out is left out for good.
    tree.root().to_value();
}

#[test]
fn broken_documents_have_places() {
    const INSERTS: [&str; 12] = ["{", "[", "\"", "'", ": ", "- ", "\t", "&a ", "*a", "!x ", "|\n", "é"];
    for case in &cases() {
        let text = case["yaml"].as_str().expect("has a text");
        check_tree(text);
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        for (number, &at) in places.iter().enumerate().step_by(1 + places.len() / 12) {
            check_tree(&text[..at]);
            check_tree(&text[at..]);
            let insert = INSERTS[(number + places.len()) % INSERTS.len()];
            check_tree(&format!("{}{insert}{}", &text[..at], &text[at..]));
        }
    }
}

#[test]
fn aliases_stand_for_so_much_text_only() {
    for (times, is_too_much) in [(3, false), (50, true)] {
        let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(times));
        let tree = yaml::parse(Arc::new(Source::from_text("a.yml", text)));
        let found = tree.problems().iter().any(|problem| problem.kind == ProblemKind::TooManyAliases);
        assert_eq!(found, is_too_much, "{times} times");
    }
}
