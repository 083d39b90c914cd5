//! What the server knows about the thing under the cursor, and where else it is.

use super::*;

const SETTINGS: &str = "contracts = [\"contracts/*.json\"]\nbroker = [\"broker.yml\"]\n\n[parameters]\ndcid = { type = \"integer\", description = \"the data collection\" }\n";
const CONTRACT: &str = r#"{
  "names": ["Archiver"],
  "description": "Keeps files on tape.",
  "queues": ["archiver"],
  "parameters": { "required": ["file"], "properties": {
    "file": { "type": "string", "description": "what to keep" },
    "dcid": { "type": "integer" }
  } },
  "channels": { "kept": { "fires": "always", "description": "it is on tape" } }
}
"#;
const BROKER: &str = "vhosts: [{ name: / }]\ngroups:\n  - vhost: /\n    names: [archiver, images]\n    settings: { queues: { type: quorum } }\n";
const OTHER: &str = r#"{ "1": { "queue": "archiver", "parameters": { "file": "{image}" } }, "start": [[1, []]] }"#;
const RECIPE: &str = r#"{
  "1": { "service": "Bilder 😀", "queue": "images", "output": { "new": 2 } },
  "2": {
    "service": "Archiver", "queue": "archiver",
    "parameters": { "file": "/é/{image}", "dcid": "{$REPLACE:dcid}" },
    "output": { "kept": 3 }
  },
  "3": { "queue": "done" },
  "start": [[1, []]]
}
"#;

fn workspace() -> Editor {
    Editor::new(&[
        ("zrecipe.toml", SETTINGS),
        ("contracts/archiver.json", CONTRACT),
        ("broker.yml", BROKER),
        ("recipes/other.json", OTHER),
    ])
}

/// The position in front of the `nth` occurrence of a text.
fn find(text: &str, needle: &str, nth: usize) -> Value {
    let at = text.match_indices(needle).nth(nth).unwrap_or_else(|| panic!("no {needle} in {text}")).0;
    position(text, at + 1)
}

#[test]
fn hovers_say_what_things_are() {
    let mut editor = workspace();
    editor.open("recipes/a.json", RECIPE);
    for (needle, nth, expected) in [
        (
            "\"2\"",
            0,
            &[
                "step 2 · Archiver",
                "queue `archiver`",
                "Keeps files on tape.",
                "step 1 · Bilder 😀 on `new`",
                "step 3 · done on `kept`",
            ][..],
        ),
        (" 3 }", 0, &["step 3 · done", "comes from:\n- step 2"]),
        (
            "archiver\"",
            0,
            &["queue `archiver` of service `Archiver`", "listens on `archiver`", "quorum queue", "used by step 2"],
        ),
        ("Archiver\"", 0, &["service `Archiver`", "sends on:\n- `kept`: it is on tape"]),
        ("kept\"", 0, &["channel `kept` of `Archiver`", "it is on tape", "for every message"]),
        ("file\"", 0, &["`file`: text, required", "what to keep"]),
        (
            "dcid}",
            0,
            &[
                "recipe parameter `dcid`: integer",
                "`dcid` of step `2` must be an integer",
                "dispatcher adds it: integer",
                "the data collection",
            ],
        ),
        ("image}", 0, &["recipe parameter `image`"]),
        ("output\"", 0, &["The steps that results go to"]),
    ] {
        let hover = editor.at("textDocument/hover", "recipes/a.json", &find(RECIPE, needle, nth));
        let text = hover["contents"]["value"].as_str().unwrap_or_else(|| panic!("nothing about {needle}"));
        expected.iter().for_each(|expected| assert!(text.contains(expected), "{needle}: no {expected} in\n{text}"));
    }
    let nothing = editor.at("textDocument/hover", "recipes/a.json", &json!({ "line": 99, "character": 0 }));
    assert_eq!(nothing, Value::Null);
    editor.open("zrecipe.toml", SETTINGS);
    editor.retype("zrecipe.toml", "[rules]\ncycle = \"allow\"\n");
    let hover = editor.at("textDocument/hover", "zrecipe.toml", &json!({ "line": 1, "character": 2 }));
    assert!(hover["contents"]["value"].as_str().is_some_and(|text| text.starts_with("# cycle (error)")), "{hover}");
}

#[test]
fn hovers_say_what_keys_are_for() {
    let mut editor = workspace();
    for (number, (name, marked, expected)) in [
        ("a.json", r#"{ "1": { "queue": "a" }, "st$0art": [[1, []]] }"#, "The start steps"),
        ("a.json", r#"{ "1": { "queue": "a" }, "start": [[1, []]], "er$0ror": [1] }"#, "never followed"),
        ("c.json", r#"{ "names": ["A"], "que$0ues": ["a"] }"#, "queue"),
        ("site.yml", "version: 1\nbus:\n  plugin: pika\n  vh$0ost: h\n", "virtual host"),
        ("site.yml", "version: 1\nenviron$0ments:\n  live: []\n", "activated together"),
        (
            "broker.yml",
            "vhosts: [{ name: / }]\ngro$0ups:\n  - vhost: /\n    names: [a]\n",
            "have their settings in common",
        ),
        ("zrecipe.toml", "base$0line = \"x.json\"\n", "baseline file of known findings"),
        ("zrecipe.toml", "[dispatcher]\ntime-$0limit = 3\n", "Seconds that each program may take"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("k{number}/{name}");
        let at = editor.open_at(&name, marked);
        let hover = editor.at("textDocument/hover", &name, &at);
        let said = hover["contents"]["value"].as_str().unwrap_or_else(|| panic!("nothing about {marked}"));
        assert!(said.contains(expected), "{marked}: {said}");
    }
}

#[test]
fn hovers_show_values_of_the_chosen_file_but_no_secrets() {
    let values = r#"{ "image": "a.cbf", "user_token": "geheim-1234", "sample": { "name": "lysozyme", "runs": [7] } }"#;
    let files = [("values.json", values)];
    let mut editor = Editor::with(&files, json!({}), json!({ "parameters": "values.json" }));
    let text = r#"{ "1": { "queue": "a", "parameters": { "x": "{image}{user_token}{none}{sample[name]}{guid}", "y": "{sample[zz]}", "z": "{sample[runs][0]}" } }, "start": [[1, []]] }"#;
    editor.open("a.json", text);
    for (needle, expected) in [
        ("image", "value: `\"a.cbf\"`"),
        ("user_token", "value: `\"•••\"`"),
        ("none", "does not have it"),
        ("sample[name]", "value: `\"lysozyme\"`"),
        ("sample[zz]", "has no such part"),
        ("sample[runs]", "value: `7`"),
        ("guid", "has its own"),
    ] {
        let hover = editor.at("textDocument/hover", "a.json", &find(text, needle, 0));
        let said = hover["contents"]["value"].as_str().expect("is there");
        assert!(said.contains(expected) && !said.contains("geheim"), "{said}");
    }
    // What is open counts before it is saved.
    editor.open("values.json", r#"{ "image": "b.cbf" }"#);
    let hover = editor.at("textDocument/hover", "a.json", &find(text, "image", 0));
    assert!(hover["contents"]["value"].as_str().expect("is there").contains("b.cbf"));
    editor.notify("workspace/didChangeConfiguration", json!({ "settings": { "zrecipe": { "parameters": "" } } }));
    let hover = editor.at("textDocument/hover", "a.json", &find(text, "image", 0));
    assert!(!hover["contents"]["value"].as_str().expect("is there").contains("a.cbf"));
}

/// Places as `file:text:line`, lines from 1.
fn places(editor: &Editor, found: &Value) -> Vec<String> {
    let root = editor.uri("");
    let place = |place: &Value| {
        let name =
            place["uri"].as_str().expect("has a uri").strip_prefix(&root).expect("is in the workspace").to_owned();
        format!("{name}:{}", place["range"]["start"]["line"].as_u64().expect("is a number") + 1)
    };
    found.as_array().map_or_else(Vec::new, |found| found.iter().map(place).collect())
}

#[test]
fn definitions_are_found_across_files() {
    let mut editor = workspace();
    editor.open("recipes/a.json", RECIPE);
    for (needle, nth, expected) in [
        ("3 }", 0, &["recipes/a.json:8"][..]),
        ("archiver\"", 0, &["broker.yml:4", "contracts/archiver.json:4"]),
        ("images\"", 0, &["broker.yml:4"]),
        ("Archiver\"", 0, &["contracts/archiver.json:2"]),
        ("kept\"", 0, &["contracts/archiver.json:9"]),
        ("file\"", 0, &["contracts/archiver.json:6"]),
        ("dcid}", 0, &["zrecipe.toml:5"]),
        ("done\"", 0, &[]),
    ] {
        let found = editor.at("textDocument/definition", "recipes/a.json", &find(RECIPE, needle, nth));
        assert_eq!(places(&editor, &found), expected, "{needle}");
    }
    let request = r#"{ "recipes": ["other"], "parameters": { "image": "x" } }"#;
    editor.open("request.json", request);
    let found = editor.at("textDocument/definition", "request.json", &find(request, "other", 0));
    assert_eq!(places(&editor, &found), ["recipes/other.json:1"]);
    let uri = editor.uri("request.json");
    let links = editor.ask("textDocument/documentLink", json!({ "textDocument": { "uri": uri } }));
    assert_eq!(links[0]["target"], editor.uri("recipes/other.json"));
}

#[test]
fn built_in_contracts_are_documents() {
    let can = json!({ "workspace": { "textDocumentContent": { "dynamicRegistration": false } } });
    let text = r#"{ "1": { "service": "Runner", "queue": "runner.submission", "output": { "failure": 2 }, "parameters": { "commands": "x" } }, "2": { "queue": "b" }, "start": [[1, []]] }"#;
    let mut editor = Editor::with(&[], can, json!({}));
    editor.open("a.json", text);
    for needle in ["Runner", "runner.submission", "failure", "commands"] {
        let found = editor.at("textDocument/definition", "a.json", &find(text, needle, 0));
        assert_eq!(found[0]["uri"], "zrecipe:contracts/runner.json", "{needle}");
        let page = editor.ask("workspace/textDocumentContent", json!({ "uri": found[0]["uri"] }));
        let page = page["text"].as_str().expect("is text");
        assert_eq!(texts_of(page, [found[0]["range"].clone()]), [needle]);
    }
    // Others could not show it.
    let mut editor = Editor::new(&[]);
    editor.open("a.json", text);
    assert_eq!(editor.at("textDocument/definition", "a.json", &find(text, "Runner", 0)), Value::Null);
}

#[test]
fn references_are_found_across_files() {
    let mut editor = workspace();
    editor.open("recipes/a.json", RECIPE);
    let uri = editor.uri("recipes/a.json");
    for (needle, definition, expected) in [
        ("\"2\"", true, &["recipes/a.json:2", "recipes/a.json:3"][..]),
        ("\"2\"", false, &["recipes/a.json:2"]),
        (
            "archiver\"",
            true,
            &["recipes/a.json:4", "broker.yml:4", "contracts/archiver.json:4", "recipes/other.json:1"],
        ),
        ("file\"", false, &["recipes/a.json:5", "contracts/archiver.json:5", "recipes/other.json:1"]),
        ("image}", false, &["recipes/a.json:5", "recipes/other.json:1"]),
    ] {
        let params = json!({
            "textDocument": { "uri": uri },
            "position": find(RECIPE, needle, 0),
            "context": { "includeDeclaration": definition },
        });
        let found = editor.ask("textDocument/references", params);
        assert_eq!(places(&editor, &found), expected, "{needle}");
    }
    let found = editor.at("textDocument/documentHighlight", "recipes/a.json", &find(RECIPE, "\"2\"", 0));
    let ranges = found.as_array().expect("is a list").iter().map(|found| found["range"].clone());
    assert_eq!(texts_of(RECIPE, ranges), ["2", "2"]);
}

#[test]
fn blocks_and_environments_lead_to_each_other() {
    let mut editor = Editor::new(&[]);
    let site = "version: 1\nstorage: &x\n  plugin: storage\n  zocalo.recipe_directory: /tmp\nenvironments:\n  live:\n    plugins:\n      - storage\n  default: live\n";
    editor.open("site.yml", site);
    for (line, character, expected) in [(7, 9, "site.yml:2"), (8, 12, "site.yml:6")] {
        let found = editor.at("textDocument/definition", "site.yml", &json!({ "line": line, "character": character }));
        assert_eq!(places(&editor, &found), [expected]);
    }
    let hover = editor.at("textDocument/hover", "site.yml", &json!({ "line": 7, "character": 9 }));
    assert!(hover["contents"]["value"].as_str().is_some_and(|text| text.contains("plugin block `storage`")), "{hover}");
}

#[test]
fn outlines_folds_and_selections_follow_the_structure() {
    let mut editor = workspace();
    editor.open("recipes/a.json", RECIPE);
    let document = json!({ "textDocument": { "uri": editor.uri("recipes/a.json") } });
    let symbols = editor.ask("textDocument/documentSymbol", document.clone());
    let names: Vec<&str> = symbols
        .as_array()
        .expect("is a list")
        .iter()
        .map(|symbol| symbol["name"].as_str().expect("has a name"))
        .collect();
    assert_eq!(names, ["1 · Bilder 😀", "2 · Archiver", "3 · done", "start"]);
    assert_eq!(symbols[1]["children"][2]["name"], "parameters");
    let folds = editor.ask("textDocument/foldingRange", document.clone());
    let folds: Vec<(u64, u64)> = folds
        .as_array()
        .expect("is a list")
        .iter()
        .map(|fold| (fold["startLine"].as_u64().expect("is"), fold["endLine"].as_u64().expect("is")))
        .collect();
    assert_eq!(folds, [(0, 8), (2, 5)]);
    let params = json!({ "textDocument": document["textDocument"], "positions": [find(RECIPE, "image}", 0)] });
    let mut selection = editor.ask("textDocument/selectionRange", params)[0].clone();
    let mut texts = Vec::new();
    while selection.is_object() {
        texts.extend(texts_of(RECIPE, [selection["range"].clone()]));
        selection = selection["parent"].clone();
    }
    assert_eq!(texts[..4], ["image", "/é/{image}", "\"/é/{image}\"", "\"file\": \"/é/{image}\""]);
    assert_eq!(texts.len(), 10, "{texts:?}");
    let found = editor.ask("workspace/symbol", json!({ "query": "archi" }));
    let names: Vec<(&str, &str)> = found
        .as_array()
        .expect("is a list")
        .iter()
        .map(|symbol| (symbol["name"].as_str().expect("has"), symbol["containerName"].as_str().expect("has")))
        .collect();
    assert_eq!(names, [("archiver", "queue"), ("Archiver", "service"), ("1 · archiver", "other")]);
}

#[test]
fn folds_and_selections_fit_the_notation() {
    let mut editor = workspace();
    // A text, the first and last lines of its folds, and how many texts are around the cursor.
    for (number, (name, marked, folds, selections)) in [
        (
            "a.yml",
            "'1':\n  queue: a\n  output: [2]\n  parameters:\n    a: [1,\n      2\n    ]\n'2': { queue: b$0 }\nstart:\n- - 1\n  - []\n",
            &[(0, 6), (3, 6), (4, 5), (8, 10), (9, 10)][..],
            5,
        ),
        ("zrecipe.toml", "site = \"x\"\n[parameters]\na = \"$0text\"\n\n[[files]]\npaths = [\n  \"x\",\n]\n", &[(1, 2), (4, 7), (5, 6)], 5),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("f{number}/{name}");
        let at = editor.open_at(&name, marked);
        let document = json!({ "uri": editor.uri(&name) });
        let found = editor.ask("textDocument/foldingRange", json!({ "textDocument": document }));
        let found: Vec<(u64, u64)> = found
            .as_array()
            .expect("is a list")
            .iter()
            .map(|fold| (fold["startLine"].as_u64().expect("is"), fold["endLine"].as_u64().expect("is")))
            .collect();
        assert_eq!(found, folds, "{marked}");
        let mut selection = editor
            .ask("textDocument/selectionRange", json!({ "textDocument": document, "positions": [at] }))[0]
            .clone();
        let mut count = 0;
        while selection.is_object() {
            count += 1;
            selection = selection["parent"].clone();
        }
        assert!(count >= selections, "{marked}: {count}");
    }
}

#[test]
fn steps_lead_to_each_other() {
    let mut editor = workspace();
    editor.open("recipes/a.json", RECIPE);
    let items = editor.at("textDocument/prepareCallHierarchy", "recipes/a.json", &find(RECIPE, "archiver", 0));
    assert_eq!((&items[0]["name"], &items[0]["detail"]), (&json!("2 · Archiver"), &json!("archiver")));
    let params = json!({ "item": items[0] });
    let calls = editor.ask("callHierarchy/incomingCalls", params.clone());
    assert_eq!(
        (&calls[0]["from"]["name"], texts_of(RECIPE, [calls[0]["fromRanges"][0].clone()])),
        (&json!("1 · Bilder 😀"), vec!["2".to_owned()])
    );
    let calls = editor.ask("callHierarchy/outgoingCalls", params);
    assert_eq!(
        (&calls[0]["to"]["name"], texts_of(RECIPE, [calls[0]["fromRanges"][0].clone()])),
        (&json!("3 · done"), vec!["3".to_owned()])
    );
}

#[test]
fn graphs_follow_the_cursor() {
    let mut editor = workspace();
    editor.open("recipes/a.json", RECIPE);
    let uri = editor.uri("recipes/a.json");
    let params = json!({ "textDocument": { "uri": uri }, "position": find(RECIPE, "Archiver", 0) });
    let graph = editor.ask("zrecipe/graph", params);
    assert_eq!((&graph["format"], &graph["current"]), (&json!("mermaid"), &json!(2)));
    let text = graph["text"].as_str().expect("is text");
    assert!(text.contains("n2[\"2 · Archiver"), "{text}");
    let boxes: Vec<(u64, u64)> = graph["boxes"]
        .as_array()
        .expect("is a list")
        .iter()
        .map(|found| (found["box"].as_u64().expect("is"), found["step"].as_u64().expect("is")))
        .collect();
    assert_eq!(boxes, [(1, 1), (2, 2), (3, 3)]);
    let other = json!({ "textDocument": { "uri": uri }, "format": "jpeg" });
    assert_eq!(editor.try_ask("zrecipe/graph", other).map_err(|error| error.0), Err(-32602));
}

#[test]
fn boxes_stay_in_drawings_of_an_edited_document() {
    let mut editor = workspace();
    let recipe = |link: &str| {
        format!(
            r#"{{"1": {{"queue": "a", "output": {{"x": 2{link}}}}}, "2": {{"queue": "b"}}, "3": {{"queue": "c"}},
                "start": [[1, []]]}}"#
        )
    };
    editor.open("recipes/a.json", &recipe(r#", "y": 3"#));
    let params = json!({ "textDocument": { "uri": editor.uri("recipes/a.json") }, "format": "svg" });
    let boxes = |editor: &mut Editor| {
        let graph = editor.ask("zrecipe/graph", params.clone());
        let lines = graph["text"].as_str().expect("is text").lines().filter(|line| line.contains("class=\"box\""));
        let place = |value: &str| value.split('"').next().and_then(|value| value.parse().ok()).expect("a number");
        // Left and top edges.
        lines.flat_map(|line| line.split("=\"").skip(2).take(2).map(place)).collect::<Vec<f64>>()
    };
    let before = boxes(&mut editor);
    editor.change("recipes/a.json", json!([{ "text": recipe("") }]));
    // Without an earlier drawing, step 3 is beside `start`, because no link leads to it.
    let after = boxes(&mut editor);
    assert_eq!((before.len(), after.len()), (8, 8));
    assert!(before.iter().zip(&after).all(|(before, after)| (before - after).abs() <= 1.0), "{before:?}, {after:?}");
}

#[test]
fn pages_of_rules_are_documents() {
    let mut editor = Editor::new(&[]);
    assert_eq!(editor.offered["capabilities"]["workspace"]["textDocumentContent"]["schemes"], json!(["zrecipe"]));
    let page = editor.ask("workspace/textDocumentContent", json!({ "uri": "zrecipe:rules/cycle.md" }));
    assert!(
        page["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("# cycle (error)\n\nSteps form a cycle.\n\n## Why\n")),
        "{page}"
    );
    for uri in ["zrecipe:rules/nothing.md", "file:///etc/passwd", "zrecipe:../x"] {
        assert!(editor.try_ask("workspace/textDocumentContent", json!({ "uri": uri })).is_err(), "{uri}");
    }
}

/// Findings, outlines and hovers at all places of documents with secrets.
#[test]
fn nothing_that_is_told_of_a_document_is_a_secret() {
    let mut editor = Editor::new(&[]);
    for (name, text, _) in crate::secrets::DOCUMENTS {
        let text = text.replace("CANARY", crate::secrets::CANARY).replace("NUMBER", crate::secrets::NUMBER);
        editor.open(name, &text);
        let mut told = vec![editor.findings(name)];
        let document = json!({ "uri": editor.uri(name) });
        for method in ["textDocument/documentSymbol", "textDocument/codeLens", "textDocument/documentLink"] {
            told.push(editor.ask(method, json!({ "textDocument": document })));
        }
        told.push(editor.ask("workspace/symbol", json!({ "query": "" })));
        for (at, _) in text.char_indices().step_by(4) {
            for method in ["textDocument/hover", "textDocument/prepareCallHierarchy"] {
                told.push(editor.at(method, name, &position(&text, at)));
            }
        }
        for told in told {
            let told = told.to_string();
            let secrets = [crate::secrets::CANARY, "kanar", "vogel", crate::secrets::NUMBER];
            assert!(!secrets.iter().any(|secret| told.contains(secret)), "{name}: {told}");
        }
    }
}
