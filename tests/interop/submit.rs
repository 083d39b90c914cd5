//! Requests: what `zrecipe go`, `pickup` and `run -e` send, beside the tools and the dispatcher of the reference.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use lapin::{Channel, ExchangeKind};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use zrecipe::message::Envelope;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::{Delivery, Transport};
use zrecipe::value::Value;

use crate::contract::{Stage as _, accept, message, next, queue, subscribe, topic, within};
use crate::port::Port;
use crate::python::{Python, directory_of_scripts, program};
use crate::stage::Rabbit;

/// The password, which nothing ever shows.
const CANARY: &str = "kanarienvogel";
const REQUESTS: &str = "processing_recipe";
const RECIPES: [(&str, &str); 3] = [
    ("recipes/a.json", r#"{"1": {"queue": "out"}, "start": [[1, []]]}"#),
    (
        "recipes/chain.json",
        r#"{"1": {"queue": "q", "service": "Ping", "output": {"result": 2}}, "2": {"queue": "out"},
            "start": [[1, "{word}"]]}"#,
    ),
    (
        "mine.json",
        r#"{"start": [[1, {"é": [1, 2.5, null]}]], "1": {"queue": "q", "output": 2},
            "2": {"queue": "out", "output": {"x": 3, "y": [3]}}, "3": {"queue": "out"}}"#,
    ),
];

/// Where a user sits: a site configuration, recipes, and a directory for requests that wait.
struct Desk {
    directory: TempDir,
    /// The port of the broker that is down.
    _down: Port,
}

/// How a program ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new(stage: &Rabbit) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path();
        let down = Port::closed();
        let (here, port) = (home.display(), stage.node.port);
        let broker = |port: u16, password: &str| {
            format!("{{plugin: pika, host: 127.0.0.1, port: {port}, username: zocalo, password: {password}, vhost: /}}")
        };
        let tls = format!("plugin: pika, host: localhost, port: {}, vhost: /, ssl: true", stage.node.tls_port);
        let tls = format!("{tls}, ca-file: {}/authority.pem", stage.node.directory().display());
        let certificates = stage.node.directory().display();
        let site = format!(
            "version: 1\n\
             environments: {{default: [up, places], down: [down, places], alone: [down], stranger: [stranger],\n  \
             strangers: [stranger, places], lost: [lost, places], tls: [tls, places], certified: [certified, places], suspicious: [suspicious, places]}}\n\
             up: {}\n\
             down: {}\n\
             stranger: {}\n\
             lost: {{plugin: pika, host: localhost, port: {port}, username: zocalo, password: {CANARY}, vhost: nowhere}}\n\
             tls: {{{tls}, username: zocalo, password: {CANARY}}}\n\
             certified: certified.yml\n\
             suspicious: {{plugin: pika, host: localhost, port: {}, vhost: /, ssl: true, username: zocalo,\n  \
             password: {CANARY}}}\n\
             places: {{plugin: storage, zocalo.recipe_directory: {here}/recipes, \
             zocalo.go.fallback_location: {here}/drop}}\n",
            broker(port, CANARY),
            broker(down.number(), CANARY),
            broker(port, &format!("not-{CANARY}")),
            stage.node.tls_port,
        );
        // The reference has no place for nobody's password in the configuration itself.
        let certified =
            format!("{{{tls}, certificate-file: {certificates}/client.pem, key-file: {certificates}/client.key}}");
        std::fs::create_dir(home.join("recipes")).expect("a directory");
        std::fs::create_dir(home.join("drop")).expect("a directory");
        for (name, text) in RECIPES.into_iter().chain([("site.yml", site.as_str()), ("certified.yml", &certified)]) {
            std::fs::write(home.join(name), text).expect("write");
        }
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(home.join("site.yml"), private).expect("chmod");
        Self { directory, _down: down }
    }

    fn drop(&self) -> PathBuf {
        self.directory.path().join("drop")
    }

    /// The names of the files that wait.
    fn waiting(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.drop()).expect("read");
        entries.map(|entry| entry.expect("read").file_name().into_string().expect("UTF-8")).collect()
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let home = self.directory.path();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(home).env("ZOCALO_CONFIG", home.join("site.yml"));
        command.env("ZRECIPE_STATE", home.join("state")).env_remove("ZOCALO_DEFAULT_ENV").env("LOGNAME", "ana");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    async fn zrecipe(&self, arguments: &str) -> Ended {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_zrecipe")), &arguments);
        let output = within("the end of zrecipe", command.output()).await.expect("zrecipe starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(!format!("{stdout}{stderr}").contains(CANARY), "{arguments:?}: {stdout}{stderr}");
        Ended { code: output.status.code(), stdout, stderr }
    }

    /// Runs zrecipe to this exit code, with this among what it says; its results.
    async fn expect(&self, arguments: &str, code: i32, said: &str) -> String {
        let ended = self.zrecipe(arguments).await;
        let is_right = ended.code == Some(code) && ended.stderr.contains(said);
        let Ended { code: ended_with, stdout, stderr } = &ended;
        assert!(is_right, "{arguments}: {ended_with:?}, expected {code} and {said}:\n{stdout}{stderr}");
        ended.stdout.trim().to_owned()
    }

    /// Runs a tool of the reference.
    async fn tool(&self, name: &str, arguments: &[&str]) {
        let mut command = self.command(&program(name), arguments);
        let output = within("the end of a tool", command.output()).await.expect("it starts");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What `zocalo.go` would send for these options.
    async fn asked(&self, options: &[&[&str]]) -> Vec<Value> {
        let script = directory_of_scripts().join("go.py");
        let mut command =
            self.command(&program("python"), &[&script.to_string_lossy(), &self.drop().to_string_lossy()]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("Python starts");
        let options = options.iter().map(|row| Value::from(row.to_vec())).collect();
        let mut stdin = child.stdin.take().expect("its input");
        stdin.write_all(Value::Array(options).to_json().as_bytes()).await.expect("write");
        drop(stdin);
        let output = within("the end of Python", child.wait_with_output()).await.expect("wait");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        lines.lines().map(|line| read_value(line.as_bytes()).expect("JSON")).collect()
    }
}

/// Takes so many requests from their queue.
async fn take(transport: &dyn Transport, count: usize) -> Vec<Delivery> {
    let mut deliveries = subscribe(transport, queue(REQUESTS), 1).await;
    let mut taken = Vec::new();
    for _ in 0..count {
        let delivery = next(&mut deliveries).await;
        transport.settle(&delivery, accept(vec![])).await.expect("settle");
        taken.push(delivery);
    }
    taken
}

/// A request as a drop file has it.
fn as_file(delivery: &Delivery) -> Value {
    let body = read_value(&delivery.body).expect("JSON");
    Value::from([("headers", Value::Object(delivery.headers.clone())), ("message", body)])
}

/// The same without the recipe ID.
fn nameless(file: &Value) -> Value {
    let mut file = file.clone();
    if let Value::Object(parts) = &mut file
        && let Some(Value::Object(message)) = parts.get_mut("message")
        && let Some(Value::Object(parameters)) = message.get_mut("parameters")
    {
        parameters.shift_remove("guid");
    }
    file
}

async fn declare(channel: &Channel) {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(REQUESTS.into(), durable, FieldTable::default()).await.expect("declare");
}

async fn waiting_at(channel: &Channel) -> u32 {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(REQUESTS.into(), passive, FieldTable::default()).await.expect("declare").message_count()
}

pub async fn requests_are_sent(stage: &Rabbit, transport: &dyn Transport) {
    stage.node.control(&["add_user", "zocalo", CANARY]);
    stage.node.control(&["set_permissions", "zocalo", ".*", ".*", ".*"]);
    let channel = stage.channel().await;
    for name in ["transient.status", "command"] {
        let (fanout, options) = (ExchangeKind::Fanout, ExchangeDeclareOptions::default());
        channel.exchange_declare(name.into(), fanout, options, FieldTable::default()).await.expect("declare");
    }
    declare(&channel).await;
    let desk = Desk::new(stage);
    options_mean_the_same(&desk, transport).await;
    what_cannot_be_sent_waits(&desk, transport).await;
    nothing_is_lost(stage, &desk, transport, &channel).await;
    connections_are_encrypted(&desk, transport).await;
    runs_are_followed(&desk, transport).await;
    channel.queue_purge("out".into(), QueuePurgeOptions::default()).await.expect("purge");
    a_request_runs(stage, &desk, transport).await;
    channel.queue_delete(REQUESTS.into(), QueueDeleteOptions::default()).await.expect("delete");
}

/// The same options make the same request, and either side's files are sent by the other.
async fn options_mean_the_same(desk: &Desk, transport: &dyn Transport) {
    let rows: [&[&str]; 10] = [
        &["-n", "-r", "a"],
        &["-n", "-r", "a", "--recipe", "chain", "-s", "x=1", "--set", "y=a=b", "-s", "x=2"],
        &["-r", "a", "527189"],
        &["527189", "-r", "a", "-s", "é=ü"],
        &["-p", "17"],
        &["--reprocessing", "-r", "a", "17"],
        &["-f", "mine.json", "-r", "a", "-a", "7", "5"],
        &["--no-dcid", "--file", "mine.json"],
        &["-n", "-r", "a", "-s", "guid=chosen"],
        &["-e", "down", "-n", "-r", "a"],
    ];
    let theirs = desk.asked(&rows).await;
    assert_eq!(theirs.len(), rows.len());

    // Their files, sent by us; one of a third party is in the way.
    std::fs::write(desk.drop().join("cut"), "{\"headers\": {").expect("write");
    desk.expect("pickup -d 0", 1, "cut: not valid JSON").await;
    assert_eq!(desk.waiting(), ["cut"]);
    std::fs::remove_file(desk.drop().join("cut")).expect("remove");
    let sent: Vec<Value> = take(transport, rows.len()).await.iter().map(as_file).collect();
    assert_eq!(sent, theirs);

    // Our files, sent by them.
    for row in rows {
        let id = desk.expect(&format!("go --drop {}", row.join(" ")), 0, "saved").await;
        assert!(!id.is_empty(), "{row:?}");
    }
    desk.tool("zocalo.pickup", &["-w", "0", "-d", "0"]).await;
    assert!(desk.waiting().is_empty());
    let sent = take(transport, rows.len()).await;
    for ((row, ours), theirs) in rows.iter().zip(&sent).zip(&theirs) {
        assert_eq!(nameless(&as_file(ours)), nameless(theirs), "{row:?}");
    }
    assert_eq!(read_value(&sent[8].body).expect("JSON"), *theirs[8].get("message").expect("a message"));

    // What is sent at once is what is kept.
    let id = desk.expect("go -r a 527189", 0, "submitted a to 127.0.0.1").await;
    let sent = take(transport, 1).await;
    assert_eq!(nameless(&as_file(&sent[0])), nameless(&theirs[2]));
    let parameters = read_value(&sent[0].body).expect("JSON").get("parameters").cloned();
    assert_eq!(parameters.as_ref().and_then(|parameters| parameters.get("guid")), Some(&Value::from(id)));
}

/// A request is kept while the broker cannot be reached, and is the same when it is sent.
async fn what_cannot_be_sent_waits(desk: &Desk, transport: &dyn Transport) {
    let id = desk.expect("go -e down -n -r a", 0, "connection refused: no broker listens there").await;
    let waiting = desk.waiting();
    assert_eq!(waiting.len(), 1);
    desk.expect("pickup -e down", 2, "connection refused: no broker listens there").await;
    desk.expect("pickup --dry-run", 0, "would send").await;
    assert_eq!(desk.waiting(), waiting);
    desk.expect("pickup", 0, "sent").await;
    assert!(desk.waiting().is_empty());
    let sent = take(transport, 1).await;
    assert_eq!(sent[0].id, waiting[0]);
    assert!(String::from_utf8_lossy(&sent[0].body).contains(&id));
    desk.expect("go -e down --dry-run -n -r a", 0, "would save").await;
    assert!(desk.waiting().is_empty());
    for (arguments, said) in [
        ("go -e alone -n -r channels", "connection refused: no broker listens there"),
        ("go -e stranger -n -r channels", "the user or the password is wrong"),
        ("go -e strangers -n -r a", "the user or the password is wrong"),
        ("go -e lost -n -r a", "there is none"),
        ("service -e strangers -s Dispatcher", "check `username` and `password` in the settings"),
        ("run -e stranger channels", "the user or the password is wrong"),
        ("pickup -e alone", "no directory"),
        // What every dispatcher would refuse is not worth sending.
        ("go -n -r a -s guid=../../x", "would reject the request: parameter `guid` has invalid characters"),
    ] {
        assert_eq!(desk.expect(arguments, 2, said).await, "", "{arguments}");
    }
    desk.expect("go --dry-run -n -r chain", 0, "adds it: `{word}`; give a parameter with `-s KEY=VALUE`").await;
    // Where the site is wrong, a file would wait for ever.
    assert!(desk.waiting().is_empty());
}

/// What the broker does not take is never said to be submitted, and what waits goes on waiting.
async fn nothing_is_lost(stage: &Rabbit, desk: &Desk, transport: &dyn Transport, channel: &Channel) {
    for arguments in ["go --dry-run -v -n -r a", "go --dry-run -n -f mine.json"] {
        assert_eq!(desk.expect(arguments, 0, "would submit").await, "");
    }
    assert_eq!(waiting_at(channel).await, 0);
    channel.queue_delete(REQUESTS.into(), QueueDeleteOptions::default()).await.expect("delete");
    let missing = "there is no queue `processing_recipe`";
    for arguments in ["go -n -r a", "go --dry-run -n -r a", "run -e default a"] {
        let stdout = desk.expect(arguments, 2, missing).await;
        assert!(stdout.is_empty() && desk.waiting().is_empty(), "{arguments}: {stdout}");
    }
    desk.expect("go --drop -n -r a", 0, "saved").await;
    desk.expect("pickup", 2, missing).await;
    assert_eq!(desk.waiting().len(), 1);

    stage.declare_small(REQUESTS).await;
    // How many fit depends on when the broker looks.
    while transport.send(vec![message("m", queue(REQUESTS))]).await.is_ok() {}
    assert_eq!(desk.expect("go -n -r a", 2, "the broker refused a message").await, "");
    desk.expect("pickup", 1, "the broker rejected it").await;
    assert_eq!(desk.waiting().len(), 1);
    channel.queue_delete(REQUESTS.into(), QueueDeleteOptions::default()).await.expect("delete");
    declare(channel).await;
    desk.expect("pickup", 0, "sent").await;
    take(transport, 1).await;
}

async fn connections_are_encrypted(desk: &Desk, transport: &dyn Transport) {
    for environment in ["tls", "certified"] {
        desk.expect(&format!("go -e {environment} -n -r a"), 0, "submitted").await;
        take(transport, 1).await;
    }
    desk.expect("go -e suspicious -n -r a", 2, "set `ca-file` to a trusted authority").await;
}

/// What services say of a run is shown until somebody has seen enough.
async fn runs_are_followed(desk: &Desk, transport: &dyn Transport) {
    let ours = Path::new(env!("CARGO_BIN_EXE_zrecipe"));
    let mut child = desk.command(ours, &["run", "-e", "default", "--follow", "a"]).spawn().expect("it starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("its output")).lines();
    let id = within("the ID", stdout.next_line()).await.expect("output").expect("a line");
    let status = |recipe: &str| {
        let body = Value::from([
            ("host", Value::from("org.example.ws.1")),
            ("service", Value::from("Archiver")),
            ("status", Value::from(4)),
            ("statustext", Value::from(format!("processing for {recipe}"))),
            ("recipe_ID", Value::from(recipe)),
        ]);
        zrecipe::transport::Outgoing { body: body.to_json().into_bytes(), ..message(recipe, topic("transient.status")) }
    };
    transport.send(vec![status("another"), status(&id)]).await.expect("send");
    let mut stderr = BufReader::new(child.stderr.take().expect("its output")).lines();
    let mut said = String::new();
    while !said.contains("Archiver on org.example.ws.1") {
        let line = within("a line", stderr.next_line()).await.expect("output").expect("it goes on");
        said.push_str(&line);
    }
    assert!(said.contains(&format!("processing for {id}")) && !said.contains("another"), "{said}");
    kill_process(pid(&child), Signal::INT).expect("it is ours");
    assert!(within("the end", child.wait()).await.expect("wait").success());
    take(transport, 1).await;
}

/// From our `go` by the dispatcher of the reference to a service of the reference.
async fn a_request_runs(stage: &Rabbit, desk: &Desk, transport: &dyn Transport) {
    let mut results = subscribe(transport, queue("out"), 1).await;
    let mut service = Python::start(stage.node.port, "receive", "q");
    let dispatcher = program("zocalo.service");
    let mut dispatcher = desk.command(&dispatcher, &["-s", "Dispatcher"]);
    dispatcher.stdout(Stdio::null()).stderr(Stdio::null());
    let dispatcher = dispatcher.process_group(0).spawn().expect("it starts");
    let _end = EndOfGroup(pid(&dispatcher));
    let id = desk.expect("go -n -r chain -s word=hello", 0, "submitted").await;
    assert_eq!(service.says().await, Value::from("ready"));
    let read = service.says().await;
    assert_eq!(read.get("id"), Some(&Value::from(id.as_str())));
    assert_eq!(read.get("payload"), Some(&Value::from("hello")));
    let result = next(&mut results).await;
    let envelope = Envelope::read(&result.headers, &result.body).expect("a recipe message");
    assert_eq!((envelope.id(), envelope.pointer), (Some(id.as_str()), 2));
    transport.settle(&result, accept(vec![])).await.expect("settle");
    service.ends().await;
}

fn pid(child: &Child) -> Pid {
    child.id().and_then(|id| Pid::from_raw(i32::try_from(id).expect("an id"))).expect("it runs")
}

/// Ends a process and those that it has started.
struct EndOfGroup(Pid);

impl Drop for EndOfGroup {
    fn drop(&mut self) {
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}
