//! New names, everywhere where a name is written.

use super::*;

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
        ("version: 1\nenvironments:\n  def$0ault: []\n", "x", "`default` is the environment that is used"),
        ("'1': { queue: a, parameters: { x: '{gu$0id}' } }\nstart: [[1, []]]\n", "id", "the dispatcher adds `guid`"),
        ("'1': { queue: a, parameters: { x: '{nu$0m}' } }\nstart: [[1, []]]\n", "guid", "added to every request by the dispatcher"),
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
