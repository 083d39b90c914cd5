//! The server and `check` say the same, whatever the text and however it came to be.

use std::collections::BTreeSet;
use std::process::Command;

use super::*;
use crate::lists::{entries, root};

/// What is said of a file: where, which rule, which words.
type Said = BTreeSet<(String, u64, u64, String, String)>;

/// The fixtures that `check` finds in a folder: settings must be called `zrecipe.toml`.
fn fixtures() -> Vec<PathBuf> {
    let is_fixture = |path: &PathBuf| {
        let ends = |ending: &str| path.extension().is_some_and(|found| found == ending);
        ["json", "yml", "ini"].into_iter().any(ends)
    };
    entries(&root().join("tests/lint")).iter().flat_map(|folder| entries(folder)).filter(is_fixture).collect()
}

/// What `check` says of all files in a folder.
fn checked(folder: &Path) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.args(["check", "--format", "json", "."]).current_dir(folder).env_clear();
    let output = command.output().expect("runs");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let text = |value: &Value| value.as_str().expect("is text").to_owned();
    let files = report["files"].as_array().expect("is a list").iter();
    let findings = files.flat_map(|file| file["diagnostics"].as_array().expect("is a list"));
    let said = findings.map(|found| {
        let number = |key: &str| found["start"][key].as_u64().expect("is a number");
        (text(&found["path"]), number("line"), number("utf16_column"), text(&found["rule"]), text(&found["message"]))
    });
    said.collect()
}

#[test]
fn every_fixture_is_judged_as_check_does() {
    let fixtures = fixtures();
    assert!(fixtures.len() > 300);
    let mut texts = Vec::new();
    for path in &fixtures {
        let folder = path.parent().and_then(Path::file_name).expect("is in a folder").to_string_lossy();
        // An empty file is a recipe only where recipes are.
        let name = format!("recipes/{folder}-{}", path.file_name().expect("has a name").to_string_lossy());
        // What is not UTF-8 does not reach an editor as it is.
        if let Ok(text) = std::fs::read_to_string(path) {
            texts.push((name, text));
        }
    }
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut editor = Editor::with(&files, json!({}), json!({ "trusted": true }));
    let expected = checked(editor.folder.path());
    assert!(expected.len() > 300);
    let mut said = Said::new();
    for (name, text) in &texts {
        editor.open(name, text);
        for found in editor.findings(name).as_array().expect("is a list") {
            let number = |key: &str| found["range"]["start"][key].as_u64().expect("is a number") + 1;
            let message = found["message"].as_str().expect("is text").lines().next().unwrap_or_default().to_owned();
            let rule = found["code"].as_str().expect("is text").to_owned();
            said.insert((name.clone(), number("line"), number("character"), rule, message));
        }
    }
    let first = |set: &Said| set.iter().take(10).map(|found| format!("{found:?}")).collect::<Vec<_>>().join("\n");
    let missing: Said = expected.difference(&said).cloned().collect();
    let more: Said = said.difference(&expected).cloned().collect();
    assert!(missing.is_empty(), "{} are not said:\n{}", missing.len(), first(&missing));
    assert!(more.is_empty(), "{} are said in addition:\n{}", more.len(), first(&more));
}

/// Numbers without a pattern, the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % most.max(1)
    }
}

/// The text that an editor has, edited in small pieces as people and tools do, is the text that the server has: what
/// is told at the end is what a fresh look at it finds.
#[test]
fn edits_lead_to_what_a_fresh_look_finds() {
    const PIECES: [&str; 16] = [
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "é",
        "😀",
        "\r",
        "\n",
        "\r\n",
        "\\u00e9",
        "\"3\": { \"queue\": \"x\" },",
        " 2 ",
        "{x}",
    ];
    for (seed, encoding) in [(1, "utf-16"), (2, "utf-8"), (3, "utf-16")] {
        let can = json!({ "general": { "positionEncodings": [encoding] } });
        let mut editor = Editor::with(&[], can, json!({}));
        let mut dice = Dice(seed);
        let mut text = "{\r\n  \"1\": { \"queue\": \"im中😀\", \"output\": 2 },\n  \"2\": { \"queue\": \"x\" },\n  \"start\": [[1, []]]\n}\n".to_owned();
        editor.open("a.json", &text);
        let mut count = 0;
        // Ten thousand in all.
        for round in 0.. {
            if count >= 3334 {
                break;
            }
            let mut changes = Vec::new();
            // A text that has grown large is begun anew, which is a change as well.
            if text.len() > 3000 {
                text = "{ \"1\": { \"queue\": \"中\" } }".to_owned();
                changes.push(json!({ "text": text }));
            }
            for _ in 0..=dice.below(6) {
                count += 1;
                let mut places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
                // There is no position between the two halves of a line end.
                places.retain(|&at| !(text[..at].ends_with('\r') && text[at..].starts_with('\n')));
                let first = dice.below(places.len());
                let last = (first + dice.below(4)).min(places.len() - 1);
                let piece = PIECES[dice.below(PIECES.len())];
                let (start, end) = (places[first], places[last]);
                let range = json!({ "start": place(&text, start, encoding), "end": place(&text, end, encoding) });
                text.replace_range(start..end, piece);
                changes.push(json!({ "range": range, "text": piece }));
            }
            editor.change("a.json", Value::Array(changes));
            if round % 8 == 7 || count >= 3334 {
                let said = editor.findings("a.json");
                let said = said.as_array().expect("is a list").iter();
                let said: Vec<(&str, &str)> = said
                    .map(|found| {
                        (
                            found["code"].as_str().expect("is"),
                            found["message"].as_str().expect("is").lines().next().unwrap_or_default(),
                        )
                    })
                    .collect();
                let source = zrecipe::source::Source::from_text("a.json", text.as_str());
                let fresh =
                    zrecipe::compile::compile(std::sync::Arc::new(source), zrecipe::compile::Options::default());
                let is_ours = zrecipe::project::is_ours(&fresh);
                let fresh: Vec<(&str, &str)> = fresh
                    .diagnostics
                    .iter()
                    .filter(|_| is_ours)
                    .map(|found| (found.rule, found.message.lines().next().unwrap_or_default()))
                    .collect();
                assert_eq!(said, fresh, "seed {seed}, round {round}:\n{text:?}");
            }
        }
    }
}

/// Where a byte is for the protocol, whose lines end at a `\r` by itself as well.
fn place(text: &str, at: usize, encoding: &str) -> Value {
    let (mut line, mut start) = (0, 0);
    for (end, character) in text[..at].char_indices() {
        let is_half = character == '\r' && text[end + 1..].starts_with('\n');
        if matches!(character, '\n' | '\r') && !is_half {
            (line, start) = (line + 1, end + 1);
        }
    }
    let before = &text[start..at];
    let character = if encoding == "utf-8" { before.len() } else { before.encode_utf16().count() };
    json!({ "line": line, "character": character })
}

/// Whatever the text and wherever the cursor, there is an answer.
#[test]
fn no_text_and_no_place_stops_the_server() {
    let mut editor = Editor::with(&[], json!({ "experimental": { "zrecipeCommands": true } }), json!({}));
    let mut dice = Dice(7);
    let fixtures = fixtures();
    let methods = [
        "hover",
        "definition",
        "documentHighlight",
        "completion",
        "prepareCallHierarchy",
        "documentSymbol",
        "foldingRange",
        "documentLink",
        "codeLens",
        "semanticTokens/full",
    ];
    for (number, path) in fixtures.iter().enumerate().step_by(3) {
        let Ok(mut text) = std::fs::read_to_string(path) else { continue };
        if text.len() > 20_000 {
            continue;
        }
        // Cut off somewhere, as it is while somebody types.
        let mut cut = dice.below(text.len() + 1);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        text.truncate(cut);
        let name = format!("{number}-{}", path.file_name().expect("has a name").to_string_lossy());
        editor.open(&name, &text);
        let uri = editor.uri(&name);
        let at = json!({ "line": dice.below(text.matches('\n').count() + 2), "character": dice.below(60) });
        let range = json!({ "start": at, "end": { "line": 999_999, "character": 4_000_000_000u32 } });
        let document = json!({ "uri": uri });
        for method in methods {
            let params = json!({ "textDocument": document, "position": at });
            editor.ask(&format!("textDocument/{method}"), params);
        }
        editor.ask("textDocument/selectionRange", json!({ "textDocument": document, "positions": [at] }));
        editor.ask("textDocument/inlayHint", json!({ "textDocument": document, "range": range }));
        editor.ask("textDocument/semanticTokens/range", json!({ "textDocument": document, "range": range }));
        editor.ask(
            "textDocument/codeAction",
            json!({ "textDocument": document, "range": range, "context": { "diagnostics": [] } }),
        );
        editor.ask("zrecipe/graph", json!({ "textDocument": document, "position": at }));
        // These may say that it cannot be done.
        for (method, params) in [
            ("textDocument/rename", json!({ "textDocument": document, "position": at, "newName": "7" })),
            (
                "textDocument/references",
                json!({ "textDocument": document, "position": at, "context": { "includeDeclaration": true } }),
            ),
            (
                "textDocument/formatting",
                json!({ "textDocument": document, "options": { "tabSize": 2, "insertSpaces": true } }),
            ),
        ] {
            if let Err((code, why)) = editor.try_ask(method, params) {
                assert_eq!(code, -32803, "{method}: {why}");
            }
        }
        editor.notify("textDocument/didClose", json!({ "textDocument": document }));
    }
    let faults: Vec<_> = editor.heard.iter().filter(|(method, _)| method == "window/logMessage").collect();
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(editor.leave(), Ok(End::Orderly));
}
