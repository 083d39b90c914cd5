//! What the server writes: completions, actions, new names, hints, colours, layout.

use super::*;

mod actions;
mod completion;
mod renaming;

const SETTINGS: &str = "contracts = [\"contracts/*.json\"]\n\n[parameters]\ndcid = \"integer\"\n";
const CONTRACT: &str = r#"{
  "names": ["Archiver"],
  "queues": ["archiver"],
  "parameters": { "required": ["file"], "properties": {
    "file": { "type": "string", "description": "what to keep" },
    "mode": { "enum": ["fast", "slow", 3] },
    "old": { "type": "boolean" },
    "deep": { "type": "object", "properties": { "inner": { "type": "string" } } },
    "list": { "type": "array", "items": { "enum": ["one", "two"] } },
    "any": { "anyOf": [{ "type": "integer" }, { "enum": ["some"] }] }
  } },
  "deprecated": { "old": "mode" },
  "channels": { "kept": { "description": "it is on tape" }, "lost": {} }
}
"#;
const OTHER: &str =
    r#"{ "1": { "service": "Sender", "queue": "send.me", "parameters": { "to": "{visit}" } }, "start": [[1, []]] }"#;

fn workspace() -> Editor {
    Editor::new(&[("zrecipe.toml", SETTINGS), ("contracts/a.json", CONTRACT), ("recipes/other.json", OTHER)])
}

/// The text after an edit of a completion, its places to fill in as they are.
fn chosen(text: &str, item: &Value) -> String {
    let edits: Vec<Value> = item["additionalTextEdits"].as_array().into_iter().flatten().cloned().collect();
    edited(text, &Value::Array([vec![item["textEdit"].clone()], edits].concat()))
}

#[test]
fn hints_say_what_numbers_stand_for() {
    let mut editor = workspace();
    let text = r#"{ "1": { "queue": "é😀", "output": [2, 3] }, "2": { "service": "Archiver", "queue": "archiver", "parameters": { "file": "{x:>5}", "old": "{$REPLACE:flag}" } }, "start": [[1, []]] }"#;
    editor.open("a.json", text);
    let uri = editor.uri("a.json");
    let params = json!({ "textDocument": { "uri": uri }, "range": { "start": { "line": 0, "character": 0 }, "end": { "line": 9, "character": 0 } } });
    let hints = editor.ask("textDocument/inlayHint", params);
    let mut shown = text.to_owned();
    let edits: Vec<Value> = hints
        .as_array()
        .expect("is a list")
        .iter()
        .map(
            |hint| json!({ "range": { "start": hint["position"], "end": hint["position"] }, "newText": hint["label"] }),
        )
        .collect();
    shown = edited(&shown, &Value::Array(edits));
    for expected in ["[2 Archiver, 3]", "[1 é😀, []]", "{$REPLACE:flag: boolean"] {
        assert!(shown.contains(expected), "no {expected} in {shown}");
    }
}

#[test]
fn words_inside_of_strings_are_coloured() {
    let mut editor = Editor::new(&[]);
    let text = r#"{ "1": { "queue": "é", "parameters": { "x😀": "{a} $RECIPEWRAP", "y": "{$REPLACE:b}" } }, "start": [[1, []]] }"#;
    editor.open("a.json", text);
    let params = json!({ "textDocument": { "uri": editor.uri("a.json") } });
    let legend = editor.offered["capabilities"]["semanticTokensProvider"]["legend"]["tokenTypes"].clone();
    let tokens = editor.ask("textDocument/semanticTokens/full", params.clone());
    let numbers: Vec<u64> =
        tokens["data"].as_array().expect("is a list").iter().map(|number| number.as_u64().expect("is")).collect();
    let units: Vec<u16> = text.encode_utf16().collect();
    let (mut at, mut words) = (0, Vec::new());
    for token in numbers.chunks(5) {
        at += token[1] as usize;
        let word = String::from_utf16(&units[at..at + token[2] as usize]).expect("whole characters");
        words.push((word, legend[token[3] as usize].as_str().expect("is a text").to_owned()));
    }
    let words: Vec<(&str, &str)> = words.iter().map(|(word, kind)| (word.as_str(), kind.as_str())).collect();
    assert_eq!(
        words,
        [
            ("1", "class"),
            ("é", "namespace"),
            ("x😀", "property"),
            ("a", "parameter"),
            ("$RECIPEWRAP", "macro"),
            ("y", "property"),
            ("$REPLACE", "keyword"),
            ("b", "parameter"),
            ("1", "class")
        ]
    );
    let part = json!({ "start": { "line": 0, "character": 40 }, "end": { "line": 0, "character": 60 } });
    let params = json!({ "textDocument": params["textDocument"], "range": part });
    let some = editor.ask("textDocument/semanticTokens/range", params);
    assert!(some["data"].as_array().is_some_and(|data| !data.is_empty() && data.len() < numbers.len()), "{some}");
}

#[test]
fn layout_is_that_of_fmt() {
    let mut editor = Editor::new(&[]);
    let text = "{\"1\":{\"queue\":\"é😀\"},\r\n\"start\":[[1,[]]]}\r\n";
    editor.open("a.json", text);
    let params =
        json!({ "textDocument": { "uri": editor.uri("a.json") }, "options": { "tabSize": 8, "insertSpaces": false } });
    let edits = editor.ask("textDocument/formatting", params.clone());
    let after = edited(text, &edits);
    assert_eq!(after, "{\r\n  \"1\": {\r\n    \"queue\": \"é😀\"\r\n  },\r\n  \"start\": [[1, []]]\r\n}\r\n");
    editor.retype("a.json", &after);
    assert_eq!(editor.ask("textDocument/formatting", params.clone()), json!([]));
    // Editors ask whenever something is saved: what has no layout of ours, or not yet, is no error.
    editor.retype("a.json", "{");
    assert_eq!(editor.ask("textDocument/formatting", params), json!(null));
    for (name, text) in
        [("package.json", "{\"name\":\"x\"}"), ("site.yml", "environments:   {}\n"), ("Cargo.toml", "[package]")]
    {
        editor.open(name, text);
        let params =
            json!({ "textDocument": { "uri": editor.uri(name) }, "options": { "tabSize": 2, "insertSpaces": true } });
        assert_eq!(editor.ask("textDocument/formatting", params), json!(null), "{name}");
    }
}

/// Clients that can be told so format JSON with us, and leave other languages to others.
#[test]
fn formatting_is_offered_for_json_alone() {
    let can = json!({ "textDocument": { "formatting": { "dynamicRegistration": true } } });
    let mut editor = Editor::with(&[], can, json!({}));
    editor.hear_until("formatting is registered", |editor| {
        editor.heard.iter().any(|(method, params)| {
            method == "client/registerCapability"
                && params["registrations"][0]["registerOptions"]["documentSelector"] == json!([{ "language": "json" }])
        })
    });
    assert_eq!(editor.offered["capabilities"]["documentFormattingProvider"], json!(null));
}

/// In files of other programs there is nothing to complete, and nothing to say.
#[test]
fn what_others_write_is_left_alone() {
    let mut editor = Editor::new(&[]);
    for (name, text, position) in [
        ("package.json", "{ \"name\": \"x\", \"\" }", json!({ "line": 0, "character": 16 })),
        ("Cargo.toml", "[package]\nname = \"x\"\nr", json!({ "line": 2, "character": 1 })),
        ("empty.json", "", json!({ "line": 0, "character": 0 })),
        ("ci.yml", "", json!({ "line": 0, "character": 0 })),
    ] {
        editor.open(name, text);
        assert_eq!(editor.findings(name), json!([]), "{name}");
        let found = editor.at("textDocument/completion", name, &position);
        let labels: Vec<&str> =
            found["items"].as_array().expect("is a list").iter().filter_map(|item| item["label"].as_str()).collect();
        let is_new = text.is_empty() && name.ends_with("json");
        assert!(labels.is_empty() || is_new && labels == ["recipe"] || name == "ci.yml", "{name}: {labels:?}");
    }
    editor.open("recipes/empty.json", "");
    assert_ne!(editor.findings("recipes/empty.json"), json!([]));
}

#[test]
fn lenses_are_for_clients_that_know_our_commands() {
    let can = json!({ "experimental": { "zrecipeCommands": true } });
    let mut editor = Editor::with(&[], can, json!({}));
    editor.open("a.json", r#"{ "1": { "queue": "a" }, "start": [[1, []]] }"#);
    let params = json!({ "textDocument": { "uri": editor.uri("a.json") } });
    let lenses = editor.ask("textDocument/codeLens", params.clone());
    let commands: Vec<&str> = lenses
        .as_array()
        .expect("is a list")
        .iter()
        .map(|lens| lens["command"]["command"].as_str().expect("has"))
        .collect();
    assert_eq!(commands, ["zrecipe.run", "zrecipe.showGraph"]);
    editor.retype("a.json", r#"{ "1": { "queue": "a", "output": 9 }, "start": [[1, []]] }"#);
    assert_eq!(editor.ask("textDocument/codeLens", params).as_array().map(Vec::len), Some(1));
    assert_eq!(Editor::new(&[]).offered["capabilities"]["codeLensProvider"], Value::Null);
}
