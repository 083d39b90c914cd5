//! What the server writes: completions, actions, new names, hints, colours, layout.

use super::*;

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
fn completions_fit_the_place() {
    let mut editor = workspace();
    // A text with the cursor, what is offered among others, and the text with the first of that.
    for (number, (marked, expected, after)) in [
        (r#"{ "1": { "queue": "$0" } }"#, &["archiver", "send.me"][..], r#"{ "1": { "queue": "archiver" } }"#),
        (r#"{ "1": { "queue": "é😀 ar$0" } }"#, &["archiver"], r#"{ "1": { "queue": "archiver" } }"#),
        (r#"{ "1": { "queue": $0 } }"#, &["archiver"], r#"{ "1": { "queue": "archiver" } }"#),
        (r#"{ "1": { "service": "$0" } }"#, &["Archiver", "Sender", "Runner"], r#"{ "1": { "service": "Archiver" } }"#),
        (r#"{ "1": { "que$0" } }"#, &["queue", "output", "service"], r#"{ "1": { "queue": "$1" } }"#),
        (r#"{ "1": { $0 } }"#, &["queue"], r#"{ "1": { "queue": "$1" } }"#),
        (r#"{ "1": { "queue": "x", $0 } }"#, &["parameters"], r#"{ "1": { "queue": "x", "parameters": {$1} } }"#),
        (r#"{ "1": { "qu$0": "x" } }"#, &["queue"], r#"{ "1": { "queue": "x" } }"#),
        (
            r#"{ "1": { "queue": "archiver", "parameters": { "$0" } } }"#,
            &["file", "mode", "old"],
            r#"{ "1": { "queue": "archiver", "parameters": { "file": "$1" } } }"#,
        ),
        (
            r#"{ "1": { "queue": "send.me", "parameters": { "$0" } } }"#,
            &["to"],
            r#"{ "1": { "queue": "send.me", "parameters": { "to": $1 } } }"#,
        ),
        (
            r#"{ "1": { "queue": "archiver", "parameters": { "mode": "$0" } } }"#,
            &["fast", "slow", "3"],
            r#"{ "1": { "queue": "archiver", "parameters": { "mode": "fast" } } }"#,
        ),
        (
            r#"{ "1": { "queue": "archiver", "output": { "$0" } } }"#,
            &["kept", "lost"],
            r#"{ "1": { "queue": "archiver", "output": { "kept": $1 } } }"#,
        ),
        (
            r#"{ "1": { "queue": "a", "output": $0 }, "2": { "queue": "b" } }"#,
            &["2"],
            r#"{ "1": { "queue": "a", "output": 2 }, "2": { "queue": "b" } }"#,
        ),
        (
            r#"{ "1": { "queue": "a", "output": { "x": [3, $0] } }, "2": { "queue": "b" } }"#,
            &["2"],
            r#"{ "1": { "queue": "a", "output": { "x": [3, 2] } }, "2": { "queue": "b" } }"#,
        ),
        (
            r#"{ "1": { "queue": "a" }, "start": [[$0, []]] }"#,
            &["1"],
            r#"{ "1": { "queue": "a" }, "start": [[1, []]] }"#,
        ),
        (
            r#"{ "1": { "queue": "a", "parameters": { "x": "/é/{$0" } } }"#,
            &["dcid", "visit"],
            r#"{ "1": { "queue": "a", "parameters": { "x": "/é/{dcid}" } } }"#,
        ),
        (
            r#"{ "1": { "queue": "a", "parameters": { "x": "{$REPLACE:vi$0}" } } }"#,
            &["visit", "dcid"],
            r#"{ "1": { "queue": "a", "parameters": { "x": "{$REPLACE:visit}" } } }"#,
        ),
        (
            r#"{ "1": { "queue": "a" }, $0 }"#,
            &["2", "start"],
            "{ \"1\": { \"queue\": \"a\" }, \"2\": {\n  \"service\": \"$1\",\n  \"queue\": \"$2\"\n} }",
        ),
        (
            r#"{ "1": { "queue": "archiver", "parameters": { "mode": fa$0 } } }"#,
            &["fast"],
            r#"{ "1": { "queue": "archiver", "parameters": { "mode": "fast" } } }"#,
        ),
        (
            r#"{ "1": { "queue": "archiver", "parameters": { "old": t$0 } } }"#,
            &["true"],
            r#"{ "1": { "queue": "archiver", "parameters": { "old": true } } }"#,
        ),
        (
            r#"{ "1": { "queue": ar$0, "service": "x" } }"#,
            &["archiver"],
            r#"{ "1": { "queue": "archiver", "service": "x" } }"#,
        ),
        (r#"{ "1": { "qu$0, "service": "x" } }"#, &["queue"], r#"{ "1": { "queue": "$1", "service": "x" } }"#),
        (
            r#"{ "1": { "queue": "archiver", "parameters": { "m$0 } }, "start": [[1, []]] }"#,
            &["mode"],
            r#"{ "1": { "queue": "archiver", "parameters": { "mode": $1 } }, "start": [[1, []]] }"#,
        ),
        (
            r#"{ "1": { "queue": "a" }, "start": [[1, []]], "error": [$0] }"#,
            &["1"],
            r#"{ "1": { "queue": "a" }, "start": [[1, []]], "error": [1] }"#,
        ),
        (
            r#"{ "1": { "queue": "a" $0 "output": 2 } }"#,
            &["service"],
            r#"{ "1": { "queue": "a", "service": "$1", "output": 2 } }"#,
        ),
        (
            r#"{ "1": { "queue": "archiver", "parameters": { "deep": { "$0" } } } }"#,
            &["inner"],
            r#"{ "1": { "queue": "archiver", "parameters": { "deep": { "inner": "$1" } } } }"#,
        ),
        (
            r#"{ "1": { "queue": "archiver", "parameters": { "list": ["$0"] } } }"#,
            &["one", "two"],
            r#"{ "1": { "queue": "archiver", "parameters": { "list": ["one"] } } }"#,
        ),
        (
            r#"{ "1": { "queue": "archiver", "parameters": { "any": "$0" } } }"#,
            &["some"],
            r#"{ "1": { "queue": "archiver", "parameters": { "any": "some" } } }"#,
        ),
        (r#"{ "recipes": ["$0"], "parameters": {} }"#, &["other"], r#"{ "recipes": ["other"], "parameters": {} }"#),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("c{number}.json");
        let at = editor.open_at(&name, marked);
        let text = marked.replacen("$0", "", 1);
        let found = editor.at("textDocument/completion", &name, &at);
        let items = found["items"].as_array().expect("is a list");
        let item = |label: &str| items.iter().find(|item| item["label"] == label);
        for label in expected {
            assert!(item(label).is_some(), "{marked}: no {label} in {}", found["items"]);
        }
        let first = item(expected[0]).expect("is there");
        assert_eq!(chosen(&text, first), after, "{marked}");
        let is_snippet = first["insertTextFormat"] == 2;
        assert_eq!(is_snippet, after.contains("$1"), "{marked}");
    }
}

#[test]
fn completions_in_yaml_follow_the_indentation() {
    const TWO: &str = "'1':\n  service: Archiver\n  queue: archiver\n";
    let site = "version: 1\nbus:\n  plugin: pika\n  host: h\nenvironments:\n  live:\n    plugins: [bus]\n";
    // A text with the cursor, what is offered among others, and the text with that; nothing where nothing is to be
    // offered.
    for (number, (name, marked, expected)) in [
        (
            "a.yml",
            "'1':\n  queue: $0\nstart: [[1, []]]\n".to_owned(),
            Some(("archiver", "'1':\n  queue: archiver\nstart: [[1, []]]\n".to_owned())),
        ),
        (
            "a.yml",
            "'1':\n  service: $0\n  queue: x\n".to_owned(),
            Some(("Archiver", "'1':\n  service: Archiver\n  queue: x\n".to_owned())),
        ),
        (
            "a.yml",
            "'1':\n  queue: a\n  q$0\nstart: [[1, []]]\n".to_owned(),
            Some(("output", "'1':\n  queue: a\n  output: $1\nstart: [[1, []]]\n".to_owned())),
        ),
        (
            "a.yml",
            "'1':\n  m$0\nstart: [[1, []]]\n".to_owned(),
            Some(("queue", "'1':\n  queue: \"$1\"\nstart: [[1, []]]\n".to_owned())),
        ),
        (
            "a.yml",
            "'1':\n  $0\nstart: [[1, []]]\n".to_owned(),
            Some(("queue", "'1':\n  queue: \"$1\"\nstart: [[1, []]]\n".to_owned())),
        ),
        (
            "a.yml",
            format!("{TWO}  output:\n    $0\nstart: [[1, []]]\n"),
            Some(("kept", format!("{TWO}  output:\n    kept: $1\nstart: [[1, []]]\n"))),
        ),
        (
            "a.yml",
            format!("{TWO}  output:\n    - $0\n'2': {{ queue: b }}\n"),
            Some(("2", format!("{TWO}  output:\n    - 2\n'2': {{ queue: b }}\n"))),
        ),
        (
            "a.yml",
            format!("{TWO}  output:\n    done: $0\n'2': {{ queue: b }}\n"),
            Some(("2", format!("{TWO}  output:\n    done: 2\n'2': {{ queue: b }}\n"))),
        ),
        (
            "a.yml",
            format!("{TWO}  output: $0\n'2': {{ queue: b }}\n"),
            Some(("2", format!("{TWO}  output: 2\n'2': {{ queue: b }}\n"))),
        ),
        ("a.yml", format!("{TWO}start: [[$0, []]]\n"), Some(("1", format!("{TWO}start: [[1, []]]\n")))),
        (
            "a.yml",
            format!("{TWO}  parameters:\n    file: x\n    $0\nstart: [[1, []]]\n"),
            Some(("mode", format!("{TWO}  parameters:\n    file: x\n    mode: $1\nstart: [[1, []]]\n"))),
        ),
        (
            "a.yml",
            format!("{TWO}  parameters:\n    mode: $0\nstart: [[1, []]]\n"),
            Some(("fast", format!("{TWO}  parameters:\n    mode: fast\nstart: [[1, []]]\n"))),
        ),
        (
            "a.yml",
            format!("{TWO}$0\nstart: [[1, []]]\n"),
            Some(("2", format!("{TWO}\"2\":\n  service: $1\n  queue: $2\nstart: [[1, []]]\n"))),
        ),
        ("a.yml", format!("{TWO}st$0"), Some(("start", format!("{TWO}start: [[${{1:1}}, []]]")))),
        (
            "a.yml",
            "'1': {queue: ar$0\nstart: [[1, []]]\n".to_owned(),
            Some(("archiver", "'1': {queue: archiver\nstart: [[1, []]]\n".to_owned())),
        ),
        (
            "a.yml",
            "'1':\n  queue: 'ar$0\nstart: [[1, []]]\n".to_owned(),
            Some(("archiver", "'1':\n  queue: 'archiver'\nstart: [[1, []]]\n".to_owned())),
        ),
        (
            "a.yml",
            "'1':\n  queue: 'ar$0'\nstart: [[1, []]]\n".to_owned(),
            Some(("archiver", "'1':\n  queue: 'archiver'\nstart: [[1, []]]\n".to_owned())),
        ),
        ("a.yml", "$0".to_owned(), Some(("start", "start: [[${1:1}, []]]".to_owned()))),
        ("a.yml", "'1':\n$0\n  queue: a\nstart: [[1, []]]\n".to_owned(), None),
        ("a.yml", "'1':\n  queue: a # as $0\nstart: [[1, []]]\n".to_owned(), None),
        ("a.yml", "'1':\n  queue: a\n  parameters:\n    text: several\n      words $0\n".to_owned(), None),
        ("a.yml", "'1':\n  queue: a\n  parameters:\n    text: |\n      $0\nstart: [[1, []]]\n".to_owned(), None),
        ("site.yml", site.replace("host: h", "vh$0"), Some(("vhost", site.replace("host: h", "vhost: \"$1\"")))),
        ("site.yml", site.replace("plugin: pika", "plugin: $0"), Some(("pika", site.to_owned()))),
        ("site.yml", site.replace("[bus]", "\n      - $0"), Some(("bus", site.replace("[bus]", "\n      - bus")))),
        ("site.yml", format!("{site}  default: $0\n"), Some(("live", format!("{site}  default: live\n")))),
    ]
    .into_iter()
    .enumerate()
    {
        let mut editor = workspace();
        let name = format!("y{number}/{name}");
        let at = editor.open_at(&name, &marked);
        let found = editor.at("textDocument/completion", &name, &at);
        let items = found["items"].as_array().expect("is a list");
        let Some((label, after)) = expected else {
            assert!(items.is_empty(), "{marked}: {items:?}");
            continue;
        };
        let item = items.iter().find(|item| item["label"] == label);
        let item = item.unwrap_or_else(|| panic!("{marked}: no {label} in {}", found["items"]));
        assert_eq!(chosen(&marked.replacen("$0", "", 1), item), after, "{marked}");
    }
}

/// Whatever is chosen, and wherever, the text can be read as before.
#[test]
fn completions_never_break_yaml() {
    let can = json!({ "textDocument": { "completion": { "completionItem": { "snippetSupport": false } } } });
    let files = [("zrecipe.toml", SETTINGS), ("contracts/a.json", CONTRACT), ("recipes/other.json", OTHER)];
    let mut editor = Editor::with(&files, can, json!({}));
    let mut offered = 0;
    for (name, text) in [
        (
            "a.yml",
            "# first\n'1':\n  service: Archiver\n  queue: archiver # é😀\n\n  parameters:\n    file: \"/{visit}\"\n    mode: fast\n    text: |\n      one\n      two\n    more: some\n      words\n    list: [one, {a: b}]\n    \n  output:\n    kept: 2\n    lost:\n    - 2\n    - 3\n'2': {queue: b, parameters: {}}\n'3':\n  queue: \n\nstart:\n- [1, []]\n",
        ),
        (
            "site.yml",
            "version: 1\nbus:\n  plugin: pika\n  host: h\n\nenvironments:\n  live:\n    plugins:\n    - bus\n  other: [bus]\n  default: live\n",
        ),
    ] {
        editor.open(name, text);
        for (at, _) in text.char_indices() {
            let found = editor.at("textDocument/completion", name, &position(text, at));
            for item in found["items"].as_array().expect("is a list") {
                let after = chosen(text, item);
                let source = zrecipe::source::Source::from_text(name, after.clone());
                let tree = zrecipe::syntax::parse(std::sync::Arc::new(source));
                assert!(!tree.is_broken(), "{} at {at}:\n{after}", item["label"]);
                offered += 1;
            }
        }
    }
    assert!(offered > 500, "only {offered}");
}

#[test]
fn an_empty_document_becomes_a_recipe() {
    let mut editor = workspace();
    let at = editor.open_at("a.json", "$0\n");
    let found = editor.at("textDocument/completion", "a.json", &at);
    let text = found["items"][0]["insertText"].as_str().expect("is text");
    editor.retype("a.json", &text.replace("$1", "B").replace("$2", "b"));
    assert_eq!(editor.rules("a.json"), [""; 0]);
}

#[test]
fn completions_say_what_they_are() {
    let mut editor = workspace();
    let at = editor.open_at("a.json", r#"{ "1": { "queue": "archiver", "parameters": { "$0" } } }"#);
    let found = editor.at("textDocument/completion", "a.json", &at);
    let item = |label: &str| {
        found["items"].as_array().expect("is a list").iter().find(|item| item["label"] == label).expect("is offered")
    };
    let file = item("file");
    assert_eq!(file["detail"], "required");
    assert!(file["documentation"]["value"].as_str().is_some_and(|text| text.contains("what to keep")));
    assert_eq!(item("old")["tags"], json!([1]));
}

#[test]
fn completions_are_plain_for_clients_without_snippets() {
    let can = json!({ "textDocument": { "completion": { "completionItem": { "snippetSupport": false } } } });
    let mut editor = Editor::with(&[], can, json!({}));
    let at = editor.open_at("a.json", r#"{ "1": { "que$0" } }"#);
    let found = editor.at("textDocument/completion", "a.json", &at);
    let item =
        found["items"].as_array().expect("is a list").iter().find(|item| item["label"] == "queue").expect("is offered");
    assert_eq!(chosen(r#"{ "1": { "que" } }"#, item), r#"{ "1": { "queue": "" } }"#);
}

#[test]
fn settings_are_completed() {
    let mut editor = Editor::new(&[]);
    for (number, (marked, expected, after)) in [
        ("sit$0", "site", "site = "),
        ("[rules]\ncyc$0", "cycle", "[rules]\ncycle = \"allow\""),
        ("[rules]\n$0\n", "cycle", "[rules]\ncycle = \"allow\"\n"),
        ("[rules]\ncyc$0 = \"error\"", "cycle", "[rules]\ncycle = \"error\""),
        ("[rules]\ncycle = \"al$0\"", "allow", "[rules]\ncycle = \"allow\""),
        ("[rules]\ncycle = $0\n", "error", "[rules]\ncycle = \"error\"\n"),
        ("[[overrides]]\nrules = { $0 }\n", "cycle", "[[overrides]]\nrules = { cycle = \"allow\" }\n"),
        ("[[overrides]]\nrules = { cycle = \"no$0\" }\n", "note", "[[overrides]]\nrules = { cycle = \"note\" }\n"),
        ("[[suppress]]\nrule = \"cyc$0\"", "cycle", "[[suppress]]\nrule = \"cycle\""),
        ("[[suppress]]\n$0", "pointer", "[[suppress]]\npointer = "),
        ("[[files]]\nkind = \"si$0\"", "site", "[[files]]\nkind = \"site\""),
        ("[[files]]\n$0\n", "paths", "[[files]]\npaths = \n"),
        ("[dispatcher]\n$0\n", "time-limit", "[dispatcher]\ntime-limit = \n"),
        ("[parameters]\nx = \"$0\"\n", "integer", "[parameters]\nx = \"integer\"\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{number}/zrecipe.toml");
        let at = editor.open_at(&name, marked);
        let found = editor.at("textDocument/completion", &name, &at);
        let items = found["items"].as_array().expect("is a list");
        let item = items.iter().find(|item| item["label"] == expected);
        let item = item.unwrap_or_else(|| panic!("{marked}: no {expected} in {items:?}"));
        assert_eq!(chosen(&marked.replacen("$0", "", 1), item), after, "{marked}");
    }
}

/// The actions for all of a document, by title.
fn actions(editor: &mut Editor, name: &str, range: Value, only: Value) -> BTreeMap<String, Value> {
    let uri = editor.uri(name);
    let mut context = json!({ "diagnostics": [] });
    if only.is_array() {
        context["only"] = only;
    }
    let params = json!({ "textDocument": { "uri": uri }, "range": range, "context": context });
    let found = editor.ask("textDocument/codeAction", params);
    let edits = |action: &Value| action["edit"]["changes"][&uri].clone();
    found
        .as_array()
        .expect("is a list")
        .iter()
        .map(|action| (action["title"].as_str().expect("has").to_owned(), edits(action)))
        .collect()
}

#[test]
fn actions_change_the_text() {
    let mut editor = workspace();
    let all = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 999, "character": 0 } });
    for (number, (text, title, after)) in [
        (r#"{ "1": { "queue": "é", "output": "2" }, "2": { "queue": "b" }, "start": [[1, []]] }"#, "write `2`", r#"{ "1": { "queue": "é", "output": 2 }, "2": { "queue": "b" }, "start": [[1, []]] }"#),
        (r#"{ "1": { "queue": "é", "output": "2" }, "2": { "queue": "b" }, "start": [["1", []]] }"#, "fix all that is safe to fix (2)", r#"{ "1": { "queue": "é", "output": 2 }, "2": { "queue": "b" }, "start": [[1, []]] }"#),
        (
            "{\n  \"1\": { \"queue\": \"a\", \"output\": 7 },\n  \"start\": [[1, []]]\n}\n",
            "add the missing step 7",
            "{\n  \"1\": { \"queue\": \"a\", \"output\": 7 },\n  \"7\": {\n    \"service\": \"\",\n    \"queue\": \"\"\n  },\n  \"start\": [[1, []]]\n}\n",
        ),
        (
            "{\n  \"1\": { \"queue\": \"a\" },\n  \"2\": { \"queue\": \"b\" },\n  \"start\": [[1, []]]\n}\n",
            "allow `unreferenced-step` here",
            "{\n  \"1\": { \"queue\": \"a\" },\n  \"2\": [\"zrecipe: allow(unreferenced-step)\"],\n  \"2\": { \"queue\": \"b\" },\n  \"start\": [[1, []]]\n}\n",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("x{number}.json");
        editor.open(&name, text);
        let found = actions(&mut editor, &name, all.clone(), Value::Null);
        let edits = found.get(title).unwrap_or_else(|| panic!("{text}: no {title} in {:?}", found.keys()));
        assert_eq!(edited(text, edits), after, "{title}");
        editor.retype(&name, after);
        if title.starts_with("allow") {
            assert_eq!(editor.rules(&name), [""; 0], "{after}");
        }
    }
    // Only what is asked for.
    editor.open("only.json", r#"{ "1": { "queue": "a", "output": "2" }, "2": { "queue": "b" }, "start": [[1, []]] }"#);
    let found = actions(&mut editor, "only.json", all, json!(["source.fixAll"]));
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["fix all that is safe to fix (1)"]);
}

#[test]
fn actions_fit_the_notation() {
    let mut editor = Editor::new(&[]);
    let all = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 999, "character": 0 } });
    // A text, the title of an action, and the text after it; nothing if it is not to be offered.
    for (number, (ending, text, title, after)) in [
        (
            "yml",
            "'1':\n  queue: a\n  output: 3 # next\nstart: [[1, []]]\n",
            "add the missing step 3",
            Some("'1':\n  queue: a\n  output: 3 # next\n'3':\n  service: \"\"\n  queue: \"\"\nstart: [[1, []]]\n"),
        ),
        (
            "yml",
            "{ 1: { queue: a, output: 3 }, start: [[1, []]] }\n",
            "add the missing step 3",
            Some("{ 1: { queue: a, output: 3 }, \"3\": { \"service\": \"\", \"queue\": \"\" }, start: [[1, []]] }\n"),
        ),
        (
            "yml",
            "start: [[1, []]]\n",
            "add the missing step 1",
            Some("'1':\n  service: \"\"\n  queue: \"\"\nstart: [[1, []]]\n"),
        ),
        (
            "json",
            r#"{ "start": [[1, []]] }"#,
            "add the missing step 1",
            Some(r#"{ "1": { "service": "", "queue": "" }, "start": [[1, []]] }"#),
        ),
        (
            "yml",
            "'1':\n  queue: a\n  parameters:\n    cmd: |\n      run {x[0}\nstart: [[1, []]]\n",
            "allow `malformed-placeholder` here",
            Some(
                "'1':\n  queue: a\n  parameters:\n    # zrecipe: allow(malformed-placeholder)\n    cmd: |\n      run {x[0}\nstart: [[1, []]]\n",
            ),
        ),
        (
            "yml",
            "'1':\n  queue: a\n  outptu: \"abc\n   def\"\nstart: [[1, []]]\n",
            "allow `misspelt-key` here",
            Some(
                "'1':\n  queue: a\n  # zrecipe: allow(misspelt-key)\n  outptu: \"abc\n   def\"\nstart: [[1, []]]\n",
            ),
        ),
        (
            "yml",
            "'1':\r\n  queue: a\r\n  outptu: abc\r\n   def\r\nstart: [[1, []]]\r\n",
            "allow `misspelt-key` here",
            Some(
                "'1':\r\n  queue: a\r\n  # zrecipe: allow(misspelt-key)\r\n  outptu: abc\r\n   def\r\nstart: [[1, []]]\r\n",
            ),
        ),
        ("json", r#"{ "1": { "queue": "a", }, "start": [[1, []]] }"#, "allow `syntax-error` here", None),
        ("json", r#"{ “1”: { "queue": "a" }, "start": [[1, []]] }"#, "allow `syntax-error` here", None),
        ("yml", "'1': { queue: a\nstart: [[1, []]]\n", "allow `malformed-yaml` here", None),
        ("yml", "'1': [a\nstart: [[1, []]]\n", "allow `malformed-yaml` here, in zrecipe.toml", None),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("f{number}.{ending}");
        editor.open(&name, text);
        let found = actions(&mut editor, &name, all.clone(), json!([""]));
        let changed = found.get(title).map(|edits| edited(text, edits));
        assert_eq!(changed.as_deref(), after, "{title} in {:?}", found.keys());
    }
}

#[test]
fn suppressions_in_yaml_are_comments() {
    let mut editor = Editor::new(&[]);
    let text = "'1': { queue: a }\n'2': { queue: b } # why\nstart: [[1, []]]\n";
    editor.open("a.yml", text);
    let all = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 9, "character": 0 } });
    let found = actions(&mut editor, "a.yml", all, Value::Null);
    let after = edited(text, &found["allow `unreferenced-step` here"]);
    assert_eq!(
        after,
        "'1': { queue: a }\n'2': { queue: b } # why zrecipe: allow(unreferenced-step)\nstart: [[1, []]]\n"
    );
    editor.retype("a.yml", &after);
    assert_eq!(editor.rules("a.yml"), [""; 0]);
}

/// Where no comment can stand, the settings say it.
#[test]
fn suppressions_outside_of_steps_are_settings() {
    let mut editor = Editor::new(&[("zrecipe.toml", "# settings\n")]);
    let all = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 9, "character": 0 } });
    for (name, text, rule, entry) in [
        (
            "recipes/a.json",
            r#"{ "1": { "queue": "a" }, "start": [[1, []], [7, []]] }"#,
            "unknown-step",
            "path = \"recipes/a.json\"\npointer = \"/start/1/0\"\nrule = \"unknown-step\"\n",
        ),
        (
            "c.json",
            r#"{ "names": ["A"], "queues": ["a"], "parameters": { "type": "objekt" } }"#,
            "malformed-contract",
            "path = \"c.json\"\npointer = \"/parameters/type\"\nrule = \"malformed-contract\"\n",
        ),
    ] {
        editor.open(name, text);
        assert!(editor.rules(name).iter().any(|found| found == rule), "{name}");
        let (uri, settings) = (editor.uri(name), editor.uri("zrecipe.toml"));
        let params = json!({ "textDocument": { "uri": uri }, "range": all, "context": { "diagnostics": [] } });
        let found = editor.ask("textDocument/codeAction", params);
        let title = format!("allow `{rule}` here, in zrecipe.toml");
        let action = found.as_array().expect("is a list").iter().find(|action| action["title"] == *title);
        let action = action.unwrap_or_else(|| panic!("{title}: {found}"));
        let after = edited("# settings\n", &action["edit"]["changes"][&settings]);
        assert_eq!(after, format!("# settings\n\n[[suppress]]\n{entry}"));
        write(&editor.path("zrecipe.toml"), &after);
        editor.notify("workspace/didChangeWatchedFiles", json!({ "changes": [{ "uri": settings, "type": 2 }] }));
        editor.hear_until("it is silenced", |editor| {
            !rules(&editor.told[&uri].0["diagnostics"]).iter().any(|found| found == rule)
        });
        write(&editor.path("zrecipe.toml"), "# settings\n");
        editor.notify("workspace/didChangeWatchedFiles", json!({ "changes": [{ "uri": settings, "type": 2 }] }));
        editor.notify("textDocument/didClose", json!({ "textDocument": { "uri": uri } }));
    }
    let can =
        json!({ "workspace": { "workspaceEdit": { "documentChanges": true, "resourceOperations": ["create"] } } });
    let mut editor = Editor::with(&[], can, json!({}));
    editor.open("b.json", r#"{ "1": { "queue": "a" }, "start": [[1, []], [7, []]] }"#);
    let params =
        json!({ "textDocument": { "uri": editor.uri("b.json") }, "range": all, "context": { "diagnostics": [] } });
    let found = editor.ask("textDocument/codeAction", params);
    let title = "allow `unknown-step` here, in zrecipe.toml";
    let action = found.as_array().expect("is a list").iter().find(|action| action["title"] == title).expect(title);
    let (made, written) = (&action["edit"]["documentChanges"][0], &action["edit"]["documentChanges"][1]);
    assert_eq!((&made["kind"], &made["uri"]), (&json!("create"), &json!(editor.uri("zrecipe.toml"))));
    assert_eq!(made["options"], json!({ "ignoreIfExists": true }));
    let expected = "[[suppress]]\npath = \"b.json\"\npointer = \"/start/1/0\"\nrule = \"unknown-step\"\n";
    assert_eq!((&written["textDocument"]["uri"], &written["edits"][0]["newText"]), (&made["uri"], &json!(expected)));
    let mut editor = Editor::new(&[]);
    let text = "version: 1\nenvironments:\n  live: [nothing]\n";
    editor.open("site.yml", text);
    let found = actions(&mut editor, "site.yml", all, Value::Null);
    let after = edited(text, &found["allow `undefined-block` here"]);
    editor.retype("site.yml", &after);
    assert_eq!(editor.rules("site.yml"), [""; 0], "{after}");
}

#[test]
fn contracts_and_brokers_are_completed() {
    let mut editor = Editor::new(&[]);
    for (number, (name, marked, expected)) in [
        ("a.json", r#"{ "names": ["A"], "queues": ["a"], "chan$0" }"#, "channels"),
        ("a.json", r#"{ "names": ["A"], "queues": ["a"], "channels": { "done": { "desc$0" } } }"#, "description"),
        ("a.yml", "vhosts:\n  - name: /\ngroups:\n  - vhost: /\n    na$0: [a]\n", "names"),
        ("a.yml", "groups:\n  - vhost: /\n    names: [a]\n    settings: { queues: { type: quo$0 } }\n", "quorum"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{number}/{name}");
        let at = editor.open_at(&name, marked);
        let found = editor.at("textDocument/completion", &name, &at);
        let labels: Vec<&Value> =
            found["items"].as_array().expect("is a list").iter().map(|item| &item["label"]).collect();
        assert!(labels.iter().any(|label| **label == expected), "{marked}: {labels:?}");
    }
}

#[test]
fn values_become_parameters() {
    let mut editor = Editor::new(&[]);
    for (number, (marked, after)) in [
        (
            r#"{ "1": { "queue": "a", "parameters": { "file": "/é$0/x" } } }"#,
            r#"{ "1": { "queue": "a", "parameters": { "file": "{file}" } } }"#,
        ),
        (
            r#"{ "1": { "queue": "a", "parameters": { "n": $012 } } }"#,
            r#"{ "1": { "queue": "a", "parameters": { "n": "{$REPLACE:n}" } } }"#,
        ),
        (
            r#"{ "1": { "queue": "a", "parameters": { "x": "{n}", "n": $012 } } }"#,
            r#"{ "1": { "queue": "a", "parameters": { "x": "{n}", "n": "{$REPLACE:n_2}" } } }"#,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("x{number}.json");
        let at = editor.open_at(&name, marked);
        let found = actions(&mut editor, &name, json!({ "start": at, "end": at }), json!(["refactor"]));
        let (title, edits) = found.into_iter().next().expect("there is an action");
        assert!(title.starts_with("extract parameter"), "{title}");
        assert!(title.contains(if number == 0 { "; `\"/é/x\"` is to be given" } else { "; `12` is" }), "{title}");
        assert_eq!(edited(&marked.replacen("$0", "", 1), &edits), after);
    }
}

#[test]
fn names_are_changed_everywhere() {
    let mut editor = workspace();
    let text = r#"{ "1": { "service": "é😀", "queue": "archiver", "parameters": { "file": "{visit}/é{visit[0]}", "x": "{$REPLACE:visit}" }, "output": { "kept": 2, "lost": [2] } }, "2": { "queue": "send.me" }, "start": [[1, []], [2, []]], "error": [2] }"#;
    editor.open("recipes/a.json", text);
    let uri = editor.uri("recipes/a.json");
    for (needle, new, after, others) in [
        (
            "2, \"lost",
            "12",
            text.replace("[2, []]", "[12, []]")
                .replace("kept\": 2", "kept\": 12")
                .replace("\"lost\": [2]", "\"lost\": [12]")
                .replace("\"2\":", "\"12\":")
                .replace("\"error\": [2]", "\"error\": [12]"),
            &[][..],
        ),
        ("archiver", "keep\"er", text.replace("archiver", "keep\\\"er"), &["contracts/a.json"]),
        ("file\"", "path", text.replace("file", "path"), &["contracts/a.json"]),
        ("kept", "done", text.replace("kept", "done"), &["contracts/a.json"]),
        ("visit}", "session", text.replace("visit", "session"), &[]),
        ("send.me", "post", text.replace("send.me", "post"), &["recipes/other.json"]),
    ] {
        let at = position(text, text.find(needle).expect("is there"));
        let prepared = editor.at("textDocument/prepareRename", "recipes/a.json", &at);
        assert!(needle.starts_with(prepared["placeholder"].as_str().expect("is there")), "{prepared}");
        let params = json!({ "textDocument": { "uri": uri }, "position": at, "newName": new });
        let edit = editor.ask("textDocument/rename", params);
        let changes = edit["changes"].as_object().expect("has changes");
        assert_eq!(edited(text, &changes[&uri]), after, "{needle}");
        let mut files: Vec<String> = changes.keys().filter(|file| **file != uri).cloned().collect();
        files.sort();
        assert_eq!(files, others.iter().map(|name| editor.uri(name)).collect::<Vec<_>>(), "{needle}");
    }
    for (needle, new) in [
        ("2, \"lost", "1"),
        ("2, \"lost", "02"),
        ("2, \"lost", "x"),
        ("kept", "lost"),
        ("visit", "a b"),
        ("archiver", "{x}"),
    ] {
        let at = position(text, text.find(needle).expect("is there"));
        let params = json!({ "textDocument": { "uri": uri }, "position": at, "newName": new });
        assert_eq!(
            editor.try_ask("textDocument/rename", params).map_err(|error| error.0),
            Err(-32803),
            "{needle} {new}"
        );
    }
    let nothing = json!({ "textDocument": { "uri": uri }, "position": { "line": 0, "character": 0 } });
    assert!(editor.try_ask("textDocument/prepareRename", nothing).is_err());
}

/// Renames what is at the cursor to `new`: the texts of the files that change, by name, or why it is refused.
fn rename(editor: &mut Editor, name: &str, marked: &str, new: &str) -> Result<BTreeMap<String, String>, String> {
    let at = editor.open_at(name, marked);
    let params = json!({ "textDocument": { "uri": editor.uri(name) }, "position": at, "newName": new });
    let edit = editor.try_ask("textDocument/rename", params).map_err(|(_, why)| why);
    editor.notify("textDocument/didClose", json!({ "textDocument": { "uri": editor.uri(name) } }));
    let edit = edit?;
    let root = editor.uri("");
    let text_of = |file: &str| match file == name {
        true => marked.replacen("$0", "", 1),
        false => std::fs::read_to_string(editor.path(file)).expect("can be read"),
    };
    let changes = edit["changes"].as_object().expect("has changes").iter();
    let changed = changes.map(|(uri, edits)| {
        let file = uri.strip_prefix(&root).expect("is in the workspace");
        (file.to_owned(), edited(&text_of(file), edits))
    });
    Ok(changed.collect())
}

#[test]
fn names_are_changed_where_they_are_written() {
    let mut editor = workspace();
    // A text with the cursor, the new name, and the text after that.
    for (number, (ending, marked, new, after)) in [
        (
            "yml",
            "'1':\n  queue: a\n  parameters: { a: &x \"/d/{vi$0s}\", b: *x }\nstart: [[1, []]]\n",
            "session",
            "'1':\n  queue: a\n  parameters: { a: &x \"/d/{session}\", b: *x }\nstart: [[1, []]]\n",
        ),
        (
            "yml",
            "'1': { queue: a, output: &l 2 }\n'$02': { queue: b, output: 3 }\n'3': { queue: c }\nstart: [[*l, []], [1, []]]\n",
            "5",
            "'1': { queue: a, output: &l 5 }\n'5': { queue: b, output: 3 }\n'3': { queue: c }\nstart: [[*l, []], [1, []]]\n",
        ),
        (
            "yml",
            "'1': { queue: &q im$0s, output: 2 }\n'2': { queue: *q }\nstart: [[1, []]]\n",
            "pics",
            "'1': { queue: &q pics, output: 2 }\n'2': { queue: *q }\nstart: [[1, []]]\n",
        ),
        ("yml", "'1': { queue: im$0s }\nstart: [[1, []]]\n", "on", "'1': { queue: \"on\" }\nstart: [[1, []]]\n"),
        ("yml", "'1': { queue: im$0s }\nstart: [[1, []]]\n", "null", "'1': { queue: \"null\" }\nstart: [[1, []]]\n"),
        (
            "yml",
            "'1': { queue: a, output: { d$0e: 1 } }\nstart: [[1, []]]\n",
            "yes",
            "'1': { queue: a, output: { \"yes\": 1 } }\nstart: [[1, []]]\n",
        ),
        (
            "json",
            r#"{ "1": { "queue": "a", "output": 2 }, "2": ["zrecipe: allow(two-destinations)"], "2": ["why"], "$02": { "queue": "b", "topic": "c" }, "start": [[1, []]] }"#,
            "7",
            r#"{ "1": { "queue": "a", "output": 7 }, "7": ["zrecipe: allow(two-destinations)"], "7": ["why"], "7": { "queue": "b", "topic": "c" }, "start": [[1, []]] }"#,
        ),
        (
            "json",
            r#"{ "1": { "queue": "a", "parameters": { "a": "{vi$0sit}/x", "b": "{visit}/{vi", "c": "{visit}/{o.x}", "d": "{{visit}" } }, "start": [[1, []]] }"#,
            "session",
            r#"{ "1": { "queue": "a", "parameters": { "a": "{session}/x", "b": "{session}/{vi", "c": "{session}/{o.x}", "d": "{{visit}" } }, "start": [[1, []]] }"#,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("r{number}.{ending}");
        let changed = rename(&mut editor, &name, marked, new).unwrap_or_else(|why| panic!("{marked}: {why}"));
        assert_eq!(changed, BTreeMap::from([(name, after.to_owned())]));
    }
    // What cannot be changed, and a part of the reason.
    for (number, (marked, new, reason)) in [
        (
            "'1':\n  queue: a\n  parameters: { n: &l 2 }\n  output: *l\n'$02': { queue: b }\nstart: [[1, []]]\n",
            "5",
            "`*l` in line 4 stands for something else as well",
        ),
        (
            "'1':\n  queue: &q im$0s\n  parameters: { n: *q }\nstart: [[1, []]]\n",
            "pics",
            "`*q` stands for something else as well",
        ),
        ("'1': { queue: runner.sub$0mission }\nstart: [[1, []]]\n", "q", "which is part of zrecipe"),
        ("'1': { service: Run$0ner, queue: runner.submission }\nstart: [[1, []]]\n", "q", "which is part of zrecipe"),
        (
            "'1': { service: Runner, queue: runner.submission, output: { fail$0ure: 2 } }\n'2': { queue: b }\nstart: [[1, []]]\n",
            "fail",
            "the channel `failure` is that of `Runner`, which is part of zrecipe",
        ),
        (
            "'1':\n  queue: runner.submission\n  parameters: { com$0mands: x }\nstart: [[1, []]]\n",
            "cmds",
            "which is part of zrecipe",
        ),
        ("version: 1\nenvironments:\n  def$0ault: []\n", "x", "`default` is the environment that counts"),
        ("'1': { queue: a, parameters: { x: '{gu$0id}' } }\nstart: [[1, []]]\n", "id", "the dispatcher adds `guid`"),
        ("'1': { queue: a, parameters: { x: '{nu$0m}' } }\nstart: [[1, []]]\n", "guid", "what the dispatcher adds"),
    ]
    .into_iter()
    .enumerate()
    {
        let why = rename(&mut editor, &format!("n{number}.yml"), marked, new);
        assert!(why.as_ref().is_err_and(|why| why.contains(reason)), "{marked}: {why:?}");
    }
}

#[test]
fn contracts_and_settings_follow_a_new_name() {
    let recipe = r#"{ "1": { "service": "Archiver", "queue": "archiver", "parameters": { "$0": "{dcid}", "old": true } }, "start": [[1, []]] }"#;
    // Where the cursor is put, the new name, and what is changed in which file.
    for (word, new, changes) in [
        ("file", "path", &[("contracts/a.json", "\"file\"", "\"path\"")][..]),
        ("mode", "speed", &[("contracts/a.json", "\"mode\"", "\"speed\"")]),
        (
            "old",
            "former",
            &[("contracts/a.json", "\"old\"", "\"former\""), ("recipes/b.json", "\"old\"", "\"former\"")],
        ),
        ("dcid", "id", &[("zrecipe.toml", "dcid", "id"), ("recipes/b.json", "{dcid}", "{id}")]),
    ] {
        let other = recipe.replace("$0", "other");
        let files = [("zrecipe.toml", SETTINGS), ("contracts/a.json", CONTRACT), ("recipes/b.json", &*other)];
        let mut editor = Editor::new(&files);
        let marked = match word {
            "old" => recipe.replace("$0", "x").replace("old", "ol$0d"),
            "dcid" => recipe.replace("$0", "x").replace("dcid", "dc$0id"),
            _ => recipe.replace("$0", &format!("{}$0{}", &word[..2], &word[2..])),
        };
        let own = marked.replace("$0", "").replace(word, new);
        let changed = rename(&mut editor, "recipes/a.json", &marked, new).unwrap_or_else(|why| panic!("{word}: {why}"));
        let text = |file| files.iter().find(|(name, _)| *name == file).expect("is there").1;
        let others = changes.iter().map(|&(file, from, to)| (file.to_owned(), text(file).replace(from, to)));
        let expected = others.chain([("recipes/a.json".to_owned(), own)]).collect();
        assert_eq!(changed, expected, "{word}");
    }
}

#[test]
fn edits_say_of_which_version_they_are() {
    let can = json!({ "workspace": { "workspaceEdit": { "documentChanges": true } } });
    let mut editor = Editor::with(&[], can, json!({}));
    let text = r#"{ "1": { "queue": "a" }, "start": [[1, []]] }"#;
    editor.open("a.json", text);
    let uri = editor.uri("a.json");
    let params = json!({ "textDocument": { "uri": uri }, "position": position(text, 3), "newName": "5" });
    let edit = editor.ask("textDocument/rename", params);
    assert_eq!(edit["documentChanges"][0]["textDocument"], json!({ "uri": uri, "version": 1 }));
    assert_eq!(
        edited(text, &edit["documentChanges"][0]["edits"]),
        text.replace("\"1\"", "\"5\"").replace("[1,", "[5,")
    );
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

/// What the runner and the substitution fill in is offered behind `$`.
#[test]
fn variables_are_offered_and_explained() {
    let mut editor = Editor::new(&[]);
    for (number, (marked, expected)) in [
        (
            r#"{ "1": { "queue": "a", "parameters": { "c": "wrap $REC$0" } }, "start": [[1, []]] }"#,
            &["$RECIPEWRAP", "$RECIPEFILE", "$RECIPEENV", "$RECIPEPOINTER"][..],
        ),
        (r#"{ "1": { "queue": "a", "parameters": { "c": "é {$REP$0" } }, "start": [[1, []]] }"#, &[]),
        (r#"{ "1": { "queue": "a", "parameters": { "c": "{$REP$0" } }, "start": [[1, []]] }"#, &["$REPLACE:"]),
        (r#"{ "1": { "queue": "a", "parameters": { "c": "{$" } }, "$0start": [[1, []]] }"#, &[]),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("v{number}.json");
        let at = editor.open_at(&name, marked);
        let found = editor.at("textDocument/completion", &name, &at);
        let items = found["items"].as_array().expect("is a list").iter();
        let labels: Vec<&str> =
            items.filter_map(|item| item["label"].as_str()).filter(|label| label.starts_with('$')).collect();
        assert_eq!(labels, expected, "{marked}");
    }
    let at = editor.open_at(
        "b.json",
        r#"{ "1": { "queue": "a", "parameters": { "c": "é $RECIPE$0WRAP" } }, "start": [[1, []]] }"#,
    );
    let hover = editor.at("textDocument/hover", "b.json", &at);
    assert!(hover["contents"]["value"].as_str().is_some_and(|text| text.contains("zocalo.wrap")), "{hover}");
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
