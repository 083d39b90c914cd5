//! The language server over a connection in memory: what each request answers, and that what is told while a text is
//! edited is what `check` says of it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use lsp_server::{Connection, Message, Notification, Request, RequestId, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use zrecipe::lsp::{End, serve};
use zrecipe::project::Given;

use crate::wait::PATIENCE;

mod agreement;
mod diagnostics;
mod streams;
mod understanding;
mod writing;

/// What an editor of today says that it can do; `more` is added.
fn capabilities(more: Value) -> Value {
    let mut can = json!({
        "general": { "positionEncodings": ["utf-16"] },
        "window": { "workDoneProgress": true },
        "workspace": {
            "didChangeWatchedFiles": { "dynamicRegistration": true },
            "workspaceEdit": { "documentChanges": false },
        },
        "textDocument": { "completion": { "completionItem": { "snippetSupport": true } } },
    });
    merge(&mut can, more);
    can
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

/// An editor with a workspace.
struct Editor {
    folder: TempDir,
    connection: Connection,
    server: Option<JoinHandle<Result<End, String>>>,
    /// What the server has answered to `initialize`.
    offered: Value,
    sent: i32,
    versions: HashMap<String, i32>,
    /// Findings by document, as they were told last, and how often.
    told: BTreeMap<String, (Value, usize)>,
    /// Requests and notifications of the server, but for findings.
    heard: Vec<(String, Value)>,
}

impl Editor {
    /// An editor with these files in its workspace, of which the server has read all.
    fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, json!({}), json!({}))
    }

    fn with(files: &[(&str, &str)], can: Value, options: Value) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        for (name, text) in files {
            write(&folder.path().join(name), text);
        }
        let (connection, other) = Connection::memory();
        let server = std::thread::spawn(move || serve(&other, Given::default()));
        let mut editor = Self {
            folder,
            connection,
            server: Some(server),
            offered: Value::Null,
            sent: 0,
            versions: HashMap::new(),
            told: BTreeMap::new(),
            heard: Vec::new(),
        };
        let root = editor.uri("");
        editor.offered = editor.ask(
            "initialize",
            json!({
                "processId": null,
                "rootUri": root.trim_end_matches('/'),
                "capabilities": capabilities(can),
                "initializationOptions": options,
            }),
        );
        editor.notify("initialized", json!({}));
        editor.scanned();
        editor
    }

    /// Waits until the server has read the workspace.
    fn scanned(&mut self) {
        self.hear_until("the workspace is read", |editor| {
            editor.heard.iter().any(|(method, params)| method == "$/progress" && params["value"]["kind"] == "end")
        });
        self.heard.retain(|(method, _)| method != "$/progress");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn uri(&self, name: &str) -> String {
        let path = self.path(name);
        format!("file://{}", path.to_str().expect("is UTF-8").replace(' ', "%20"))
    }

    fn notify(&mut self, method: &str, params: Value) {
        let message = Message::Notification(Notification::new(method.to_owned(), params));
        self.connection.sender.send(message).expect("the server listens");
    }

    fn send(&mut self, method: &str, params: Value) -> RequestId {
        self.sent += 1;
        let id = RequestId::from(self.sent);
        let request = Request { id: id.clone(), method: method.to_owned(), params };
        self.connection.sender.send(Message::Request(request)).expect("the server listens");
        id
    }

    /// Takes one message in; an answer is returned.
    fn hear(&mut self) -> Option<Response> {
        let message = self.connection.receiver.recv_timeout(PATIENCE).expect("the server says something in time");
        match message {
            Message::Response(response) => return Some(response),
            Message::Request(request) => {
                let answer = Response::new_ok(request.id, Value::Null);
                self.connection.sender.send(Message::Response(answer)).expect("the server listens");
                self.heard.push((request.method, request.params));
            }
            Message::Notification(note) if note.method == "textDocument/publishDiagnostics" => {
                let uri = note.params["uri"].as_str().expect("has a uri").to_owned();
                let times = self.told.get(&uri).map_or(0, |(_, times)| *times);
                self.told.insert(uri, (note.params, times + 1));
            }
            Message::Notification(note) => self.heard.push((note.method, note.params)),
        }
        None
    }

    fn hear_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            assert!(self.hear().is_none(), "an answer to nothing, waiting until {what}");
        }
    }

    /// The answer to a request: its result, or its error.
    fn result(&mut self, id: &RequestId) -> Result<Value, (i32, String)> {
        loop {
            if let Some(response) = self.hear() {
                assert_eq!(&response.id, id, "answers come in the order of the requests");
                return response.response_result.map_err(|error| (error.code, error.message));
            }
        }
    }

    fn try_ask(&mut self, method: &str, params: Value) -> Result<Value, (i32, String)> {
        let id = self.send(method, params);
        self.result(&id)
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.try_ask(method, params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    fn open(&mut self, name: &str, text: &str) {
        let uri = self.uri(name);
        self.versions.insert(name.to_owned(), 1);
        let language = if name.ends_with(".json") { "json" } else { "yaml" };
        let document = json!({ "uri": uri, "languageId": language, "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }

    /// Opens a text whose cursor is at `$0`, and returns the cursor as a position.
    fn open_at(&mut self, name: &str, marked: &str) -> Value {
        let at = marked.find("$0").unwrap_or_else(|| panic!("no cursor in {marked}"));
        let text = marked.replacen("$0", "", 1);
        self.open(name, &text);
        position(&text, at)
    }

    /// Sends edits: a range, none for all of the text, and what comes there.
    fn change(&mut self, name: &str, changes: Value) -> i32 {
        let version = self.versions.get_mut(name).expect("is open");
        *version += 1;
        let version = *version;
        let uri = self.uri(name);
        let document = json!({ "uri": uri, "version": version });
        self.notify("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
        version
    }

    /// Replaces all of the text.
    fn retype(&mut self, name: &str, text: &str) -> i32 {
        self.change(name, json!([{ "text": text }]))
    }

    /// The findings of the version that is open, told by the server.
    fn findings(&mut self, name: &str) -> Value {
        let (uri, version) = (self.uri(name), self.versions[name]);
        self.hear_until("findings are told", |editor| {
            editor.told.get(&uri).is_some_and(|(told, _)| told["version"] == version)
        });
        self.told[&uri].0["diagnostics"].clone()
    }

    /// The rules of the findings.
    fn rules(&mut self, name: &str) -> Vec<String> {
        rules(&self.findings(name))
    }

    /// A request about a position of a document.
    fn at(&mut self, method: &str, name: &str, position: &Value) -> Value {
        let uri = self.uri(name);
        self.ask(method, json!({ "textDocument": { "uri": uri }, "position": position }))
    }

    /// Says goodbye.
    fn leave(mut self) -> Result<End, String> {
        self.ask("shutdown", Value::Null);
        self.notify("exit", Value::Null);
        self.server.take().expect("has not left yet").join().expect("has not panicked")
    }
}

fn rules(findings: &Value) -> Vec<String> {
    let findings = findings.as_array().expect("is a list");
    findings.iter().map(|found| found["code"].as_str().expect("has a code").to_owned()).collect()
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("is in a folder")).expect("can be made");
    std::fs::write(path, text).expect("can be written");
}

/// Where a byte of a text is for a client that counts in UTF-16.
fn position(text: &str, at: usize) -> Value {
    let line = text[..at].matches('\n').count();
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    json!({ "line": line, "character": text[start..at].encode_utf16().count() })
}

/// The text with edits of the protocol made.
fn edited(text: &str, edits: &Value) -> String {
    let byte = |position: &Value| {
        let line = position["line"].as_u64().expect("has a line") as usize;
        let start = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
        let mut left = position["character"].as_u64().expect("has a column") as usize;
        let mut at = start;
        for character in text[start..].chars() {
            if left == 0 {
                break;
            }
            left -= character.len_utf16();
            at += character.len_utf8();
        }
        at
    };
    let edits = edits.as_array().expect("is a list").iter();
    let mut edits: Vec<(usize, usize, &str)> = edits
        .map(|edit| {
            let range = &edit["range"];
            (byte(&range["start"]), byte(&range["end"]), edit["newText"].as_str().expect("has a text"))
        })
        .collect();
    edits.sort_by_key(|&(start, end, _)| (start, end));
    let mut out = text.to_owned();
    for (start, end, new) in edits.into_iter().rev() {
        out.replace_range(start..end, new);
    }
    out
}

/// The text of a document under the ranges of a list, in the order of the text.
fn texts_of(text: &str, ranges: impl IntoIterator<Item = Value>) -> Vec<String> {
    let lines: Vec<&str> = text.split('\n').collect();
    let of = |range: Value| {
        let (start, end) = (&range["start"], &range["end"]);
        let number = |value: &Value| value.as_u64().expect("is a number") as usize;
        let units: Vec<u16> = lines[number(&start["line"])].encode_utf16().collect();
        let last = if start["line"] == end["line"] { number(&end["character"]) } else { units.len() };
        (range.to_string(), String::from_utf16(&units[number(&start["character"])..last]).expect("whole characters"))
    };
    ranges.into_iter().map(|range| of(range).1).collect()
}
