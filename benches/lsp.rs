//! How soon findings follow a keystroke in a large recipe, beside VS Code's server for JSON in the same run, and how soon
//! a workspace of 2,000 recipes is ready, with the memory that this takes.
//!
//! VS Code's server comes from npm and is kept in the target directory. It is given our schema of recipes. Of its own
//! accord it waits for 300 ms after an edit before it looks, which is shown apart.

#![allow(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use lsp_server::{Message, Notification, Request, RequestId, Response};
use serde_json::{Value, json};

const STEPS: usize = 5_000;
const KEYSTROKES: usize = 200;
const RECIPES: usize = 2_000;
/// What VS Code's server waits for after an edit.
const WAITS: Duration = Duration::from_millis(300);

fn main() {
    let ours = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
        command.arg("lsp");
        command
    };
    let folder = tempfile::tempdir().expect("there is room");
    let text = large();
    println!("a recipe of {STEPS} steps, {} bytes; a keystroke in the middle, {KEYSTROKES} times", text.len());
    let told = keystrokes(ours(), folder.path(), &text, false);
    report("zrecipe, told", &told);
    let asked = keystrokes(ours(), folder.path(), &text, true);
    report("zrecipe, asked", &asked);
    match json_server() {
        Some(command) => {
            let theirs = keystrokes(command, folder.path(), &text, false);
            report("vscode-json-languageserver, told", &theirs);
            let worked: Vec<Duration> = theirs.iter().map(|time| time.saturating_sub(WAITS)).collect();
            report("vscode-json-languageserver, told, without its wait", &worked);
            let ratio = |part: usize| at(&worked, part).as_secs_f64() / at(&told, part).as_secs_f64();
            println!(
                "its work takes {:.1} times as long (median), {:.1} times (99th percentile)",
                ratio(50),
                ratio(99)
            );
        }
        None => println!("vscode-json-languageserver cannot be installed with npm: nothing to compare with"),
    }
    workspace(ours());
}

fn report(what: &str, times: &[Duration]) {
    println!(
        "{what}: median {:.1?}, 99th percentile {:.1?}, most {:.1?}",
        at(times, 50),
        at(times, 99),
        at(times, 100)
    );
}

/// A percentile of sorted times.
fn at(times: &[Duration], part: usize) -> Duration {
    times[(times.len() * part / 100).min(times.len() - 1)]
}

/// A recipe of a chain of steps as people write them, 1 MB.
fn large() -> String {
    let mut text = "{\n".to_owned();
    for step in 1..=STEPS {
        let output = if step < STEPS { format!("\"output\": {},\n    ", step + 1) } else { String::new() };
        text.push_str(&format!(
            "  \"{step}\": {{\n    \"service\": \"Service {step}\",\n    \"queue\": \"queue.number.{step}\",\n    {output}\
             \"parameters\": {{\n      \"file\": \"{{ispyb_image_directory}}/image_{step}.cbf\",\n      \
             \"threshold\": {step}, \"mode\": \"fast\"\n    }}\n  }},\n"
        ));
    }
    text.push_str("  \"start\": [[1, []]]\n}\n");
    text
}

/// A server that is spoken with.
struct Server {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    sent: i32,
}

impl Server {
    fn start(mut command: Command, folder: &Path, can: Value) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let to = child.stdin.take().expect("is piped");
        let from = BufReader::new(child.stdout.take().expect("is piped"));
        let mut server = Self { child, to, from, sent: 0 };
        let root = format!("file://{}", folder.display());
        let folders = json!([{ "uri": root, "name": "workspace" }]);
        server.ask(
            "initialize",
            json!({ "processId": null, "rootUri": root, "workspaceFolders": folders, "capabilities": can }),
        );
        server.notify("initialized", json!({}));
        server
    }

    fn send(&mut self, message: Message) {
        message.write(&mut self.to).expect("the server listens");
    }

    fn notify(&mut self, method: &str, params: Value) {
        self.send(Message::Notification(Notification::new(method.to_owned(), params)));
    }

    /// The next message; what the server asks is answered with nothing.
    fn hear(&mut self) -> Message {
        let message = Message::read(&mut self.from).expect("the server speaks").expect("the server stays");
        if let Message::Request(request) = &message {
            let nothing = if request.method == "workspace/configuration" { json!([null]) } else { Value::Null };
            self.send(Message::Response(Response::new_ok(request.id.clone(), nothing)));
        }
        message
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let id = RequestId::from(self.sent);
        self.send(Message::Request(Request { id: id.clone(), method: method.to_owned(), params }));
        loop {
            if let Message::Response(response) = self.hear()
                && response.id == id
            {
                return response.response_result.expect("the server answers");
            }
        }
    }

    fn hear_note(&mut self, is_it: impl Fn(&Notification) -> bool) -> Value {
        loop {
            if let Message::Notification(note) = self.hear()
                && is_it(&note)
            {
                return note.params;
            }
        }
    }

    /// The most memory that it has had, in bytes.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let words = line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse::<u64>().ok());
        words.unwrap_or(0) * 1024
    }

    fn leave(mut self) {
        self.ask("shutdown", Value::Null);
        self.notify("exit", Value::Null);
        self.child.wait().expect("ends");
    }
}

/// Types into the number of a link in the middle, so that it is wrong and right again; how long findings took, sorted.
fn keystrokes(command: Command, folder: &Path, text: &str, asks: bool) -> Vec<Duration> {
    let mut can = json!({ "textDocument": { "publishDiagnostics": { "relatedInformation": true } } });
    if asks {
        can["textDocument"]["diagnostic"] = json!({});
    }
    let mut server = Server::start(command, folder, can);
    let schema: Value = serde_json::from_str(include_str!("../schemas/recipe.schema.json")).expect("is JSON");
    let json = json!({ "validate": { "enable": true }, "schemas": [{ "fileMatch": ["*.json"], "schema": schema }] });
    server.notify("workspace/didChangeConfiguration", json!({ "settings": { "json": json } }));
    let uri = format!("file://{}/large.json", folder.display());
    let document = json!({ "uri": uri, "languageId": "json", "version": 0, "text": text });
    server.notify("textDocument/didOpen", json!({ "textDocument": document }));
    let findings = |server: &mut Server, version: usize| {
        if asks {
            server.ask("textDocument/diagnostic", json!({ "textDocument": { "uri": uri } }))["items"].clone()
        } else {
            // VS Code's server does not say which version it means; it speaks once after each.
            let is_it = |note: &Notification| note.params.get("version").is_none_or(|told| *told == version);
            server.hear_note(|note| note.method == "textDocument/publishDiagnostics" && is_it(note))["diagnostics"]
                .clone()
        }
    };
    let clean = findings(&mut server, 0).as_array().map_or(0, Vec::len);
    let line = text.lines().position(|line| line.contains(&format!("\"output\": {}", STEPS / 2))).expect("is there");
    let column = text.lines().nth(line).unwrap_or_default().len() - 1;
    let mut times = Vec::new();
    for keystroke in 1..=KEYSTROKES {
        let is_typed = keystroke % 2 == 1;
        let start = json!({ "line": line, "character": column });
        let end = json!({ "line": line, "character": column + usize::from(!is_typed) });
        let change = json!({ "range": { "start": start, "end": end }, "text": if is_typed { "\"" } else { "" } });
        let begun = Instant::now();
        server.notify(
            "textDocument/didChange",
            json!({ "textDocument": { "uri": uri, "version": keystroke }, "contentChanges": [change] }),
        );
        let found = findings(&mut server, keystroke).as_array().map_or(0, Vec::len);
        times.push(begun.elapsed());
        assert_eq!(found > clean, is_typed, "the edit is a mistake, or takes one back: {found} findings");
    }
    println!("  {:.0} MB at most", server.memory() as f64 / 1e6);
    server.leave();
    times.sort();
    times
}

/// VS Code's server for JSON, installed if it is not there.
fn json_server() -> Option<Command> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("json-server");
    let script: PathBuf = place.join("node_modules/vscode-json-languageserver/bin/vscode-json-languageserver");
    if !script.exists() {
        std::fs::create_dir_all(&place).ok()?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-save", "--prefix"]).arg(&place).arg("vscode-json-languageserver@1.3.4");
        npm.status().ok()?;
    }
    let mut command = Command::new("node");
    command.arg(&script).arg("--stdio");
    script.exists().then_some(command)
}

/// A workspace of many recipes: until all are read, and until the findings of one are there.
fn workspace(command: Command) {
    let folder = tempfile::tempdir().expect("there is room");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("can be made");
        std::fs::write(path, text).expect("can be written");
    };
    write("zrecipe.toml", "contracts = [\"contracts/*.json\"]\n");
    for number in 0..50 {
        let contract = json!({
            "names": [format!("Service {number}")], "queues": [format!("queue.number.{number}")],
            "parameters": { "properties": { "file": { "type": "string" }, "threshold": { "type": "integer" } } },
            "channels": { "done": {}, "failed": {} },
        });
        write(&format!("contracts/{number}.json"), &contract.to_string());
    }
    for number in 0..RECIPES {
        let mut recipe = serde_json::Map::new();
        for step in 1..=12 {
            let service = (number * 7 + step) % 50;
            recipe.insert(
                step.to_string(),
                json!({
                    "service": format!("Service {service}"), "queue": format!("queue.number.{service}"),
                    "output": if step < 12 { json!({ "done": step + 1 }) } else { json!({}) },
                    "parameters": { "file": format!("{{directory}}/image_{step}.cbf"), "threshold": step },
                }),
            );
        }
        recipe.insert("start".to_owned(), json!([[1, []]]));
        let text = serde_json::to_string_pretty(&Value::Object(recipe)).expect("is written");
        write(&format!("recipes/recipe-{number}.json"), &text);
    }
    let begun = Instant::now();
    let can = json!({ "window": { "workDoneProgress": true } });
    let mut server = Server::start(command, folder.path(), can);
    let name = folder.path().join("recipes/recipe-7.json");
    let text = std::fs::read_to_string(&name).expect("is there");
    let uri = format!("file://{}", name.display());
    let document = json!({ "uri": uri, "languageId": "json", "version": 0, "text": text });
    server.notify("textDocument/didOpen", json!({ "textDocument": document }));
    let (mut first, mut ready) = (None, None);
    while first.is_none() || ready.is_none() {
        let Message::Notification(note) = server.hear() else { continue };
        match note.method.as_str() {
            "textDocument/publishDiagnostics" => first = first.or(Some(begun.elapsed())),
            "$/progress" if note.params["value"]["kind"] == "end" => ready = Some(begun.elapsed()),
            _ => {}
        }
    }
    let found = server.ask("workspace/symbol", json!({ "query": "Service 7" }));
    let found = found.as_array().map_or(0, Vec::len);
    println!(
        "a workspace of {RECIPES} recipes: first findings {:.0?}, ready {:.0?}, {:.0} MB at most ({found} symbols)",
        first.unwrap_or_default(),
        ready.unwrap_or_default(),
        server.memory() as f64 / 1e6
    );
    server.leave();
}
