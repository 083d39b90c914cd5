//! What users read is plain technical English: no page and no message contains a phrase of this list.

use std::path::{Path, PathBuf};

use crate::lists::{entries, root};

/// Phrases in lower case, and what to write instead.
#[rustfmt::skip]
const PHRASES: &[(&str, &str)] = &[
    ("again and again", "repeatedly"),
    ("anew", "recreate, restart"),
    ("any more", "no longer"),
    ("be told", "name the action"),
    ("be said", "name the action"),
    ("broker is away", "the broker is unavailable"),
    ("came back", "redelivered, returned"),
    ("come back", "redelivered, returned"),
    ("comes back", "redelivered, returned"),
    ("come again", "redelivered"),
    ("comes again", "redelivered"),
    ("come to its end", "finished"),
    ("comes to", "the resolved value"),
    ("deals with", "processes"),
    ("dealt with", "processed"),
    ("delivered again", "redelivered"),
    ("for ever", "forever, without end"),
    ("go on with", "resume, continue"),
    ("goes on", "continues"),
    ("heeded", "applied"),
    ("held against", "checked against"),
    ("hold against", "check against"),
    ("holds against", "checks against"),
    ("in force", "active"),
    ("in the place of", "instead of"),
    ("is away", "is unavailable"),
    ("is gone", "was deleted, no longer exists"),
    ("are gone", "were deleted, no longer exist"),
    ("is said", "name the action"),
    ("is told", "name the action"),
    ("are told", "name the action"),
    ("leads nowhere", "does not exist"),
    ("lets us", "name the actor"),
    ("let us", "name the actor"),
    ("looked at", "read, checked"),
    ("looks at", "reads, checks"),
    ("made again", "recreated"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("nobody", "no service, no consumer"),
    ("not there", "does not exist"),
    ("pass over", "skip"),
    ("passed over", "skipped"),
    ("passes over", "skips"),
    ("puts in", "substitutes"),
    ("sending it back", "reinjecting it"),
    ("so many", "the number"),
    ("stand in", "are in"),
    ("stands in", "is in"),
    ("starts afresh", "starts with an empty one"),
    ("throw away", "discard, delete"),
    ("thrown away", "discarded, deleted"),
    ("time and again", "repeatedly"),
    ("travels", "is sent"),
    ("tried again", "retried"),
    ("was told", "name the action"),
    ("way out", "fix"),
    ("way round", "reversed, swapped"),
    ("where it stands", "at its location"),
    ("whoever", "the user, the client"),
    ("without a word", "silently"),
];

/// Whether a text contains a phrase as whole words.
fn has(text: &str, phrase: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
    text.match_indices(phrase)
        .any(|(at, _)| !text[..at].ends_with(is_word) && !text[at + phrase.len()..].starts_with(is_word))
}

/// The text in lower case, with one space between two words.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The string literals of a source file, without its comments and tests.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    // Neither quotes in literals nor a quote as a character ends a literal.
    let code = code.join("\n").replace("\\\\", "").replace("\\\"", "").replace("'\"'", "").replace("\\n", "\n");
    code.split('"').skip(1).step_by(2).map(|text| plain(&text.replace("\\\n", " "))).collect()
}

/// The files with this extension in a folder and the folders in it.
fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let (folders, files): (Vec<_>, Vec<_>) = entries(folder).into_iter().partition(|path| path.is_dir());
    let mut found: Vec<_> =
        files.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == extension)).collect();
    found.extend(folders.iter().flat_map(|inner| files_in(inner, extension)));
    found
}

/// What users read, by file: pages as a whole, and each message.
fn texts() -> Vec<(PathBuf, String)> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).expect("can be read");
    let mut pages = files_in(&root().join("docs"), "md");
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name)));
    let mut texts: Vec<_> = pages.into_iter().map(|path| (path.clone(), plain(&read(&path)))).collect();
    let mut folders: Vec<_> = entries(&root().join("crates")).iter().map(|folder| folder.join("src")).collect();
    folders.push(root().join("src"));
    for path in folders.iter().flat_map(|folder| files_in(folder, "rs")) {
        if path.file_name().is_none_or(|name| name != "tests.rs") {
            texts.extend(literals(&read(&path)).into_iter().map(|text| (path.clone(), text)));
        }
    }
    texts
}

#[test]
fn texts_for_users_have_no_foreign_phrase() {
    let texts = texts();
    assert!(texts.len() > 3_000, "{} texts", texts.len());
    let mut wrong = Vec::new();
    for (path, text) in &texts {
        for (phrase, better) in PHRASES.iter().filter(|(phrase, _)| has(text, phrase)) {
            let shown: String = if text.len() < 200 { format!(": {text}") } else { String::new() };
            wrong.push(format!("{}: `{phrase}` (better: {better}){shown}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
