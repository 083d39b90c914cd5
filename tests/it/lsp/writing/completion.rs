//! Completions: what may stand at the cursor.

use super::*;

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
