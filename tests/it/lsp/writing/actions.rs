//! Actions: fixes, suppressions, and values that become parameters.

use super::*;

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
        assert!(
            title.contains(if number == 0 {
                "; requests must then give `\"/é/x\"`"
            } else {
                "; requests must then give `12`"
            }),
            "{title}"
        );
        assert_eq!(edited(&marked.replacen("$0", "", 1), &edits), after);
    }
}
