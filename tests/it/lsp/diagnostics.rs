//! Documents in step with the editor, and what is told about them.

use super::*;
use crate::wait::wait_until_ok;

const GOOD: &str = r#"{ "1": { "queue": "images", "output": 2 }, "2": { "queue": "archiver" }, "start": [[1, []]] }"#;

#[test]
fn a_session_begins_and_ends() {
    let editor = Editor::new(&[]);
    assert_eq!(editor.offered["serverInfo"]["name"], "zrecipe");
    assert_eq!(editor.offered["capabilities"]["positionEncoding"], "utf-16");
    assert_eq!(editor.leave(), Ok(End::Orderly));
    let mut editor = Editor::with(&[], json!({ "general": { "positionEncodings": ["utf-16", "utf-8"] } }), json!({}));
    assert_eq!(editor.offered["capabilities"]["positionEncoding"], "utf-8");
    assert_eq!(editor.try_ask("no/such", json!({})).map_err(|error| error.0), Err(-32601));
    assert_eq!(editor.try_ask("textDocument/hover", json!({ "x": 1 })).map_err(|error| error.0), Err(-32602));
    editor.ask("shutdown", Value::Null);
    let late = json!({ "textDocument": { "uri": "file:///x" }, "position": { "line": 0, "character": 0 } });
    assert_eq!(editor.try_ask("textDocument/hover", late).map_err(|error| error.0), Err(-32600));
    editor.notify("exit", Value::Null);
    let abrupt = Editor::new(&[]);
    abrupt
        .connection
        .sender
        .send(Message::Notification(Notification::new("exit".to_owned(), Value::Null)))
        .expect("listens");
    let mut abrupt = abrupt;
    assert_eq!(abrupt.server.take().expect("runs").join().expect("has not panicked"), Ok(End::Abrupt));
}

#[test]
fn findings_are_told_with_all_that_is_known() {
    let mut editor = Editor::new(&[]);
    editor.open("é.json", "{ \"1\": { \"queue\": \"😀\", \"output\": 3 }, \"start\": [[1, []]] }");
    let found = editor.findings("é.json");
    assert_eq!(rules(&found), ["unknown-step"]);
    let found = &found[0];
    assert_eq!(
        found["range"],
        json!({ "start": { "line": 0, "character": 34 }, "end": { "line": 0, "character": 35 } })
    );
    assert_eq!(found["severity"], 1);
    assert_eq!(found["source"], "zrecipe");
    assert_eq!(found["codeDescription"]["href"], "zrecipe:rules/unknown-step.md");
    editor.retype("é.json", r#"{ "1": { "queue": "a" }, "1": { "queue": "b" }, "start": [[1, []]] }"#);
    let found = editor.findings("é.json");
    let twice = found.as_array().expect("is a list").iter().find(|found| found["relatedInformation"].is_array());
    let related = &twice.expect("is told")["relatedInformation"];
    assert!(related[0]["location"]["range"]["start"]["character"].is_u64(), "{related}");
    editor.retype("é.json", r#"{ "1": { "queue": "a" }, "2": { "queue": "b" }, "start": [[1, []]] }"#);
    let found = editor.findings("é.json");
    assert_eq!((found[0]["code"].as_str(), &found[0]["tags"]), (Some("unreferenced-step"), &json!([1])), "{found}");
}

#[test]
fn edits_are_taken_in_their_order() {
    let mut editor = Editor::new(&[]);
    editor.open("a.json", "{\r\n  \"1\": { \"queue\": \"im中😀\", \"output\": 2 },\r\n  \"2\": { \"queue\": \"x\" },\r\n  \"start\": [[1, []]]\r\n}\r\n");
    assert_eq!(editor.rules("a.json"), [""; 0]);
    let range = |line: u32, start: u32, end: u32| json!({ "start": { "line": line, "character": start }, "end": { "line": line, "character": end } });
    // Each edit is about the text after the one before it.
    editor.change(
        "a.json",
        json!([
            { "range": range(1, 21, 24), "text": "" },
            { "range": range(1, 34, 35), "text": "7" },
            { "range": range(2, 2, 2), "text": "\"3\": { \"queue\": \"y\" }, " },
        ]),
    );
    assert_eq!(editor.rules("a.json"), ["unknown-step", "unreferenced-step", "unreferenced-step"]);
    editor.notify(
        "textDocument/didChange",
        json!({ "textDocument": { "uri": "file:///nowhere", "version": 1 }, "contentChanges": [] }),
    );
    let other =
        json!({ "textDocument": { "uri": "file:///nowhere", "version": 1 }, "contentChanges": [{ "text": "" }] });
    editor.notify("textDocument/didChange", other);
    editor.hear_until("the mistake is logged", |editor| {
        editor.heard.iter().any(|(method, _)| method == "window/logMessage")
    });
    let uri = editor.uri("a.json");
    editor.notify("textDocument/didClose", json!({ "textDocument": { "uri": uri } }));
    editor.hear_until("the findings are gone", |editor| editor.told[&uri].0["diagnostics"] == json!([]));
}

#[test]
fn what_is_none_of_our_business_is_left_alone() {
    let mut editor = Editor::new(&[("zrecipe.toml", "[[files]]\npaths = [\"mine/*\"]\nkind = \"recipe\"\n")]);
    for (name, text, expected) in [
        ("package.json", r#"{ "name": "x", "version": "1" }"#, &[][..]),
        ("tsconfig.json", "{ // comment\n }", &[]),
        ("mine/x.json", r#"{ "name": "x" }"#, &["missing-start", "not-a-recipe"]),
    ] {
        editor.open(name, text);
        let found = editor.rules(name);
        assert_eq!(found.is_empty(), expected.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn every_kind_of_document_is_checked() {
    let mut editor = Editor::new(&[]);
    for (name, text, rule) in [
        ("a.json", r#"{ "1": { "queue": "a", "output": 3 }, "start": [[1, []]] }"#, "unknown-step"),
        ("a.yml", "'1': { queue: a, output: 3 }\nstart: [[1, []]]\n", "unknown-step"),
        ("site.yml", "version: 1\nenvironments:\n  live: [nothing]\n", "undefined-block"),
        (
            "broker.yml",
            "groups:\n  - vhost: /\n    names: [a]\n    settings: { queues: { type: quorum } }\n",
            "malformed-topology",
        ),
        (
            "contract.json",
            r#"{ "names": ["A"], "queues": ["a"], "parameters": { "type": "objekt" } }"#,
            "malformed-contract",
        ),
        ("zrecipe.toml", "[rules]\ncylce = \"allow\"\n", "malformed-settings"),
        ("request.json", r#"{ "recipes": "a", "parameters": {} }"#, "malformed-request"),
    ] {
        editor.open(name, text);
        let found = editor.rules(name);
        assert!(found.iter().any(|found| found == rule), "{name}: {found:?}");
    }
}

#[test]
fn clients_that_ask_are_not_told() {
    let can =
        json!({ "textDocument": { "diagnostic": {} }, "workspace": { "diagnostics": { "refreshSupport": true } } });
    let mut editor = Editor::with(&[], can, json!({}));
    assert_eq!(editor.offered["capabilities"]["diagnosticProvider"]["interFileDependencies"], true);
    editor.open("a.json", &GOOD.replace("2 }", "5 }"));
    let uri = editor.uri("a.json");
    let report = editor.ask("textDocument/diagnostic", json!({ "textDocument": { "uri": uri } }));
    assert_eq!(
        (&report["kind"], rules(&report["items"])),
        (&json!("full"), vec!["unknown-step".to_owned(), "unreferenced-step".to_owned()])
    );
    assert!(editor.told.is_empty());
}

/// All files are judged, open or not, and what has been said is not said again.
#[test]
fn clients_may_ask_about_the_whole_workspace() {
    let odd = GOOD.replace("\"output\": 2", "\"output\": 5");
    let can = json!({ "textDocument": { "diagnostic": {} } });
    let mut editor = Editor::with(&[("a.json", &odd), ("b.json", GOOD), ("other.json", "{}")], can, json!({}));
    assert_eq!(editor.offered["capabilities"]["diagnosticProvider"]["workspaceDiagnostics"], true);
    let ask = |editor: &mut Editor, before: &Value| -> Vec<Value> {
        loop {
            match editor.try_ask("workspace/diagnostic", json!({ "previousResultIds": before })) {
                Ok(report) => return report["items"].as_array().expect("is a list").clone(),
                // What has come meanwhile is done first.
                Err((code, why)) => assert_eq!(code, -32802, "{why}"),
            }
        }
    };
    let first = ask(&mut editor, &json!([]));
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!((&first[0]["kind"], rules(&first[0]["items"]).len()), (&json!("full"), 2));
    assert_eq!(first[0]["uri"], editor.uri("a.json").as_str());
    let known = json!([{ "uri": first[0]["uri"], "value": first[0]["resultId"] }]);
    let again = ask(&mut editor, &known);
    assert_eq!((again.len(), &again[0]["kind"]), (1, &json!("unchanged")), "{again:?}");
    // The text that is open counts.
    editor.open("a.json", GOOD);
    editor.open("b.json", &odd);
    let uri = editor.uri("b.json");
    let report = editor.ask("textDocument/diagnostic", json!({ "textDocument": { "uri": uri } }));
    let params = json!({ "textDocument": { "uri": uri }, "previousResultId": report["resultId"] });
    assert_eq!(editor.ask("textDocument/diagnostic", params)["kind"], "unchanged");
    let now = ask(&mut editor, &known);
    let counts: Vec<(&Value, usize)> = now.iter().map(|item| (&item["version"], rules(&item["items"]).len())).collect();
    assert_eq!(counts, [(&json!(1), 0), (&json!(1), 2)], "{now:?}");
    // A file that goes away has no findings.
    editor.notify("textDocument/didClose", json!({ "textDocument": { "uri": editor.uri("a.json") } }));
    std::fs::remove_file(editor.path("a.json")).expect("is there");
    let changes = json!([{ "uri": editor.uri("a.json"), "type": 3 }]);
    editor.notify("workspace/didChangeWatchedFiles", json!({ "changes": changes }));
    let now = ask(&mut editor, &known);
    assert!(now.iter().any(|item| item["uri"] == editor.uri("a.json") && item["items"] == json!([])), "{now:?}");
}

/// Six recipes send to a queue; the seventh differs until it is edited, or until the others are.
#[test]
fn documents_are_held_against_the_whole_workspace() {
    let usual = r#"{ "1": { "queue": "images", "output": { "result": 2 } }, "2": { "queue": "archiver" }, "start": [[1, []]] }"#;
    let files: Vec<(String, &str)> = (0..6).map(|number| (format!("recipes/{number}.json"), usual)).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let mut editor = Editor::new(&files);
    let odd = usual.replace("archiver", "archivar");
    editor.open("recipes/new.json", &odd);
    assert_eq!(editor.rules("recipes/new.json"), ["rare-queue"]);
    editor.retype("recipes/new.json", usual);
    assert_eq!(editor.rules("recipes/new.json"), [""; 0]);
    editor.retype("recipes/new.json", &odd);
    assert_eq!(editor.rules("recipes/new.json"), ["rare-queue"]);
    // The others change on the disk.
    let uri = editor.uri("recipes/new.json");
    let changes: Vec<Value> = (0..6)
        .map(|number| {
            let name = format!("recipes/{number}.json");
            write(&editor.path(&name), &odd);
            json!({ "uri": editor.uri(&name), "type": 2 })
        })
        .collect();
    editor.notify("workspace/didChangeWatchedFiles", json!({ "changes": changes }));
    editor.hear_until("the finding is gone", |editor| editor.told[&uri].0["diagnostics"] == json!([]));
}

#[test]
fn settings_hold_as_soon_as_they_are_saved() {
    let contract = |kind: &str| {
        format!(
            r#"{{ "names": ["A"], "queues": ["a"], "parameters": {{ "properties": {{ "n": {{ "type": "{kind}" }} }} }} }}"#
        )
    };
    let mut editor = Editor::new(&[
        ("zrecipe.toml", "contracts = [\"contracts/*.json\"]\n"),
        ("contracts/a.json", &contract("integer")),
    ]);
    editor.open("a.json", r#"{ "1": { "queue": "a", "parameters": { "n": "x" } }, "start": [[1, []]] }"#);
    assert_eq!(editor.rules("a.json"), ["parameter-type"]);
    let uri = editor.uri("a.json");
    let wait = |editor: &mut Editor, is_clean: bool| {
        editor
            .hear_until("the findings change", |editor| (editor.told[&uri].0["diagnostics"] == json!([])) == is_clean);
    };
    let changed = |editor: &mut Editor, name: &str, text: &str| {
        write(&editor.path(name), text);
        let changes = json!([{ "uri": editor.uri(name), "type": 2 }]);
        editor.notify("workspace/didChangeWatchedFiles", json!({ "changes": changes }));
    };
    changed(&mut editor, "contracts/a.json", &contract("string"));
    wait(&mut editor, true);
    changed(&mut editor, "contracts/a.json", &contract("integer"));
    wait(&mut editor, false);
    changed(&mut editor, "zrecipe.toml", "contracts = [\"contracts/*.json\"]\n[rules]\nparameter-type = \"allow\"\n");
    wait(&mut editor, true);
}

/// What is edited counts before it is saved, as long as it can be used.
#[test]
fn contracts_and_settings_hold_while_they_are_edited() {
    let contract = |kind: &str| {
        format!(
            r#"{{ "names": ["A"], "queues": ["a"], "parameters": {{ "properties": {{ "n": {{ "type": "{kind}" }} }} }} }}"#
        )
    };
    const SETTINGS: &str = "contracts = [\"contracts/*.json\"]\n";
    for pulls in [false, true] {
        let can = match pulls {
            true => {
                json!({ "textDocument": { "diagnostic": {} }, "workspace": { "diagnostics": { "refreshSupport": true } } })
            }
            false => json!({}),
        };
        let files = [("zrecipe.toml", SETTINGS), ("contracts/a.json", &contract("integer"))];
        let mut editor = Editor::with(&files, can, json!({}));
        editor.open("a.json", r#"{ "1": { "queue": "a", "parameters": { "n": "x" } }, "start": [[1, []]] }"#);
        editor.open("contracts/a.json", &contract("integer"));
        editor.open("zrecipe.toml", SETTINGS);
        let uri = editor.uri("a.json");
        let wait = |editor: &mut Editor, is_clean: bool| {
            // It may be asked again because of what was before.
            if pulls {
                loop {
                    editor.hear_until("the client is to ask again", |editor| {
                        editor.heard.iter().any(|(method, _)| method == "workspace/diagnostic/refresh")
                    });
                    editor.heard.clear();
                    let report = editor.ask("textDocument/diagnostic", json!({ "textDocument": { "uri": uri } }));
                    if (report["items"] == json!([])) == is_clean {
                        break;
                    }
                }
            } else {
                editor.hear_until("the findings change", |editor| {
                    editor.told.get(&uri).is_some_and(|(told, _)| (told["diagnostics"] == json!([])) == is_clean)
                });
            }
        };
        wait(&mut editor, false);
        editor.retype("contracts/a.json", &contract("string"));
        wait(&mut editor, true);
        editor.retype("contracts/a.json", &contract("integer"));
        wait(&mut editor, false);
        editor.retype("zrecipe.toml", "contracts = [\"contracts/*.json\"]\n[rules]\nparameter-type = \"allow\"\n");
        wait(&mut editor, true);
        editor.retype("zrecipe.toml", SETTINGS);
        wait(&mut editor, false);
    }
}

/// A file that the site configuration includes is a part of it, also as it is while somebody edits either.
#[test]
fn parts_of_a_site_are_held_against_the_whole_of_it() {
    const SITE: &str = "version: 1\ninclude: [part.yml]\nenvironments: {live: [extra]}\n";
    const PART: &str = "version: 1\nextra: {plugin: storage}\n";
    let files = [("zrecipe.toml", "site = \"site.yml\"\n"), ("site.yml", SITE), ("part.yml", PART)];
    let mut editor = Editor::with(&files, json!({}), json!({}));
    editor.open("site.yml", SITE);
    editor.open("part.yml", PART);
    let wait = |editor: &mut Editor, name: &str, expected: &[&str]| {
        let uri = editor.uri(name);
        editor.hear_until(&format!("{name} has {expected:?}"), |editor| {
            editor.told.get(&uri).is_some_and(|(told, _)| {
                let found = told["diagnostics"].as_array().expect("is a list").iter();
                found.map(|found| found["code"].as_str().expect("is text")).eq(expected.iter().copied())
            })
        });
    };
    wait(&mut editor, "site.yml", &[]);
    wait(&mut editor, "part.yml", &[]);
    editor.retype("part.yml", "version: 1\nextras: {plugin: storage}\n");
    wait(&mut editor, "site.yml", &["undefined-block"]);
    editor.retype("part.yml", PART);
    wait(&mut editor, "site.yml", &[]);
    editor
        .retype("site.yml", "version: 1\ninclude: [part.yml]\nenvironments: {live: [more]}\nmore: {plugin: storage}\n");
    wait(&mut editor, "part.yml", &["unused-block"]);
}

/// A folder in the workspace with settings of its own is a project of its own.
#[test]
fn projects_may_lie_in_each_other() {
    let odd = GOOD.replace("\"output\": 2", "\"output\": 5");
    let mut editor = Editor::new(&[("zrecipe.toml", ""), ("inner/zrecipe.toml", "[rules]\nall = \"allow\"\n")]);
    for (name, expected) in [("a.json", 2), ("inner/a.json", 0)] {
        editor.open(name, &odd);
        assert_eq!(editor.rules(name).len(), expected, "{name}");
    }
    let (uri, settings) = (editor.uri("inner/a.json"), editor.uri("inner/zrecipe.toml"));
    std::fs::remove_file(editor.path("inner/zrecipe.toml")).expect("is there");
    editor.notify("workspace/didChangeWatchedFiles", json!({ "changes": [{ "uri": settings, "type": 3 }] }));
    editor.hear_until("it has the settings around", |editor| rules(&editor.told[&uri].0["diagnostics"]).len() == 2);
    write(&editor.path("inner/zrecipe.toml"), "[rules]\nunknown-step = \"allow\"\n");
    editor.notify("workspace/didChangeWatchedFiles", json!({ "changes": [{ "uri": settings, "type": 1 }] }));
    editor.hear_until("it has its own again", |editor| {
        rules(&editor.told[&uri].0["diagnostics"]) == ["unreferenced-step"]
    });
}

#[test]
fn what_a_workspace_names_outside_of_itself_counts_if_it_is_trusted() {
    let outside = tempfile::tempdir().expect("there is room");
    let contract =
        r#"{ "names": ["A"], "queues": ["a"], "parameters": { "properties": { "n": { "type": "integer" } } } }"#;
    write(&outside.path().join("a.json"), contract);
    let settings = format!("contracts = [\"{}/*.json\"]\n", outside.path().display());
    for trusted in [false, true] {
        let mut editor = Editor::with(&[("zrecipe.toml", &settings)], json!({}), json!({ "trusted": trusted }));
        editor.open("a.json", r#"{ "1": { "queue": "a", "parameters": { "n": "x" } }, "start": [[1, []]] }"#);
        assert_eq!(editor.rules("a.json").is_empty(), !trusted);
        let is_told = editor.heard.iter().any(|(method, params)| {
            method == "window/showMessage" && params["message"].as_str().is_some_and(|text| text.contains("trusted"))
        });
        assert_eq!(is_told, !trusted);
    }
}

/// The server watches files where the client does not.
#[test]
fn files_are_watched_for_clients_that_do_not() {
    let can = json!({ "workspace": { "didChangeWatchedFiles": { "dynamicRegistration": false } } });
    let mut editor = Editor::with(&[("zrecipe.toml", "")], can, json!({}));
    editor.open("a.json", &GOOD.replace("2 }", "5 }"));
    assert_eq!(editor.rules("a.json"), ["unknown-step", "unreferenced-step"]);
    let uri = editor.uri("a.json");
    write(&editor.path("zrecipe.toml"), "[rules]\nall = \"allow\"\n");
    editor.hear_until("the findings are gone", |editor| editor.told[&uri].0["diagnostics"] == json!([]));
}

/// Of a directory that is moved or removed only the directory itself is told.
#[test]
fn directories_come_and_go() {
    let odd = GOOD.replace("2 }", "5 }");
    for watches in [false, true] {
        let can = json!({ "textDocument": { "diagnostic": {} }, "workspace": { "didChangeWatchedFiles": { "dynamicRegistration": watches } } });
        let mut editor =
            Editor::with(&[("zrecipe.toml", ""), ("old/a.json", &odd), ("old/deep/b.json", &odd)], can, json!({}));
        let wait = |editor: &mut Editor, expected: &[&str]| {
            let uris: Vec<String> = expected.iter().map(|name| editor.uri(name)).collect();
            wait_until_ok("what has findings", || {
                let report = editor.ask("workspace/diagnostic", json!({ "previousResultIds": [] }));
                let found: Vec<String> = report["items"]
                    .as_array()
                    .expect("is a list")
                    .iter()
                    .map(|item| item["uri"].as_str().expect("has").to_owned())
                    .collect();
                if found == uris { Ok(()) } else { Err(format!("{expected:?} was expected: {found:?}")) }
            });
        };
        wait(&mut editor, &["old/a.json", "old/deep/b.json"]);
        let changes = |editor: &Editor, changed: &[(&str, u32)]| {
            let changes: Vec<Value> =
                changed.iter().map(|(name, kind)| json!({ "uri": editor.uri(name), "type": kind })).collect();
            json!({ "changes": changes })
        };
        std::fs::rename(editor.path("old"), editor.path("new")).expect("can be moved");
        if watches {
            let changed = changes(&editor, &[("old", 3), ("new", 1)]);
            editor.notify("workspace/didChangeWatchedFiles", changed);
        }
        wait(&mut editor, &["new/a.json", "new/deep/b.json"]);
        std::fs::remove_dir_all(editor.path("new")).expect("can be removed");
        if watches {
            let changed = changes(&editor, &[("new", 3)]);
            editor.notify("workspace/didChangeWatchedFiles", changed);
        }
        wait(&mut editor, &[]);
    }
}

#[test]
fn requests_can_be_cancelled() {
    let mut editor = Editor::new(&[]);
    editor.open("a.json", GOOD);
    let uri = editor.uri("a.json");
    // The server takes in all that has come before it answers.
    let params = json!({ "textDocument": { "uri": uri }, "position": { "line": 0, "character": 2 } });
    let ids: Vec<RequestId> = (0..200).map(|_| editor.send("textDocument/hover", params.clone())).collect();
    let last = ids.last().expect("there are some");
    editor.notify("$/cancelRequest", json!({ "id": serde_json::to_value(last).expect("is JSON") }));
    let outcomes: Vec<_> = ids.iter().map(|id| editor.result(id)).collect();
    assert!(outcomes[..199].iter().all(Result::is_ok));
    // It comes too late only if everything else has been answered meanwhile.
    assert!(matches!(&outcomes[199], Err((-32800, _)) | Ok(_)), "{:?}", outcomes[199]);
}

/// A server that nobody speaks to does nothing: neither for documents that are no files, nor for what git ignores.
#[test]
fn nothing_is_done_without_a_reason() {
    use zrecipe::lsp::client::Client;
    use zrecipe::lsp::inbox::Inbox;
    use zrecipe::lsp::session::Session;
    let folder = tempfile::tempdir().expect("there is room");
    for (name, text) in [(".gitignore", "built/\n"), ("built/a.json", GOOD), (".git/HEAD", ""), ("b.json", GOOD)] {
        write(&folder.path().join(name), text);
    }
    let client = Client {
        unit: zrecipe::source::Unit::Utf16,
        pulls: false,
        refreshes: false,
        snippets: false,
        watches: false,
        registers_formatting: false,
        progress: false,
        versioned_edits: false,
        makes_files: false,
        documents: false,
        commands: false,
    };
    let (_sender, messages) = crossbeam_channel::unbounded();
    let root = folder.path().to_owned();
    let mut session = Session::new(client, Inbox::new(messages), Given::default(), vec![root.clone()], false);
    let uri = |text: &str| serde_json::from_value(json!(text)).expect("is a URI");
    // Two texts without files, and one file under two names, all of which say something else.
    let names = ["untitled:Untitled-1".to_owned(), "untitled:Untitled-2".to_owned()].into_iter();
    let file = root.display();
    for (number, name) in names.chain([format!("file://{file}/b.json"), format!("file://{file}/%62.json")]).enumerate()
    {
        session.open(uri(&name), "json", 1, GOOD.replace("images", &format!("images.{number}")));
    }
    let told = |session: &mut Session| (0..100).take_while(|_| session.tell_one()).count();
    assert!((4..=12).contains(&told(&mut session)), "each is judged, and held against the others");
    session.outbox.clear();
    assert!(session.changed(&[root.join("built/a.json"), root.join(".git/x.json")]).is_empty());
    assert_eq!((told(&mut session), session.outbox.len()), (0, 0));
    session.changed(&[root.join("b.json")]);
    assert!((1..=8).contains(&told(&mut session)));
    assert!(session.outbox.is_empty(), "nothing is different");
}
