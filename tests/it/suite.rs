//! The JSON parsing test suite of Nicolas Seriot (github.com/nst/JSONTestSuite, MIT): what JSON is and what it is not.

use std::path::Path;
use std::sync::Arc;

use zrecipe::compile::{Options, compile};
use zrecipe::diagnostic::Level;
use zrecipe::lint::{self, Rule};
use zrecipe::source::Source;
use zrecipe::syntax::json::read_value;

/// The rules about the text as such; whether it is a recipe is none of the suite's business.
const READING: [&str; 5] = ["syntax-error", "invalid-utf8", "non-finite-number", "oversized-integer", "too-deep"];

/// Not JSON, and Python reads it all the same: so does the reader of messages.
const PYTHON: [&str; 3] = ["n_number_NaN.json", "n_number_infinity.json", "n_number_minus_infinity.json"];

fn suite() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suites/json");
    let files = std::fs::read_dir(folder).expect("the suite is part of the project");
    let mut cases: Vec<_> = files
        .map(|file| file.expect("can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_name().expect("has a name").to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("can be read"))
        })
        .collect();
    cases.sort();
    assert_eq!(cases.len(), 318, "the suite is complete");
    cases
}

/// Runs every case; `accepts` says whether it is accepted, and `expect` whether it must be (none: either).
fn check(accepts: impl Fn(&[u8]) -> Result<(), String>, expect: impl Fn(&str) -> Option<bool>) {
    let mut wrong = Vec::new();
    for (name, bytes) in suite() {
        match (accepts(&bytes), expect(&name)) {
            (Err(why), Some(true)) => wrong.push(format!("{name} is JSON, and we say: {why}")),
            (Ok(()), Some(false)) => wrong.push(format!("{name} is not JSON, and we say nothing")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

fn expected(name: &str) -> Option<bool> {
    match name.split_once('_').map(|(kind, _)| kind) {
        Some("y") => Some(true),
        Some("n") => Some(false),
        Some("i") => None,
        _ => panic!("{name} says neither yes nor no"),
    }
}

#[test]
fn documents() {
    let rules: Vec<&'static Rule> = READING.map(|name| lint::rule(name).expect("is a rule")).to_vec();
    let accepts = |bytes: &[u8]| {
        let source = Arc::new(Source::from_bytes("case", bytes.to_vec()));
        let compilation = compile(source, Options { rules: &rules, ..Options::default() });
        match compilation.diagnostics.iter().find(|found| found.level == Level::Error) {
            Some(found) => Err(found.message.clone()),
            None => Ok(()),
        }
    };
    check(accepts, expected);
}

#[test]
fn messages() {
    let accepts = |bytes: &[u8]| read_value(bytes).map(|_| ());
    check(accepts, |name| if PYTHON.contains(&name) { Some(true) } else { expected(name) });
}

/// What zrecipe does with the cases on which parsers differ.
#[test]
fn documents_that_are_a_matter_of_opinion() {
    let rules: Vec<&'static Rule> = lint::RULES.to_vec();
    let opinions: Vec<String> = suite()
        .into_iter()
        .filter(|(name, _)| name.starts_with("i_"))
        .map(|(name, bytes)| {
            let message = if read_value(&bytes).is_ok() { "read" } else { "refused" };
            let compilation =
                compile(Arc::new(Source::from_bytes(&*name, bytes)), Options { rules: &rules, ..Options::default() });
            let mut found: Vec<_> = compilation.diagnostics.iter().map(|found| found.rule).collect();
            found.retain(|rule| *rule != "not-a-recipe");
            found.dedup();
            format!("{name}: in a message {message}, in a recipe {found:?}")
        })
        .collect();
    insta::with_settings!({ snapshot_path => "../suites", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("opinions", opinions.join("\n"));
    });
}
