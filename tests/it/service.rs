//! Services on the embedded broker, from outside: what a site's programs decide, what is told over HTTP, and how a
//! process ends.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use zrecipe::library::Library;
use zrecipe::message::{Destination, Envelope, Outgoing, Request};
use zrecipe::runtime::health::{self, Health};
use zrecipe::runtime::instance::Instance;
use zrecipe::runtime::metrics::Metrics;
use zrecipe::runtime::services::dispatcher::Dispatcher;
use zrecipe::runtime::status::Identity;
use zrecipe::settings::Settings;
use zrecipe::transport::embedded::{Broker, Embedded, Options};
use zrecipe::transport::{Deliveries, Delivery, Settlement, Subscription, Transport as _, Verdict};
use zrecipe::value::{Object, Value};

use crate::port::Port;
use crate::wait::{wait_until_ok, within};

/// A directory with a state and an embedded broker of its own.
pub struct Place {
    directory: tempfile::TempDir,
    broker: Broker,
    pub space: Embedded,
}

impl Place {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(directory.path().join("state")).expect("a folder");
        std::fs::create_dir_all(directory.path().join("recipes")).expect("a folder");
        let file = directory.path().join("state/zrecipe.db");
        let broker = Broker::open(&file, Options::default()).await.expect("opens");
        let space = broker.namespace("zocalo");
        for queue in ["processing_recipe", "runner.submission", "out", "errors"] {
            space.declare(queue).await.expect("declares");
        }
        Self { directory, broker, space }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("writes");
    }

    pub fn service(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments).stdout(Stdio::null()).spawn().expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("its log"));
        Running { child, lines }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("ZRECIPE_STATE", self.path("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub async fn send(&self, queue: &str, id: &str, body: &str, headers: Object) {
        let message =
            Outgoing::new(id.to_owned(), Destination::Queue(queue.to_owned()), headers, body.as_bytes().to_vec());
        self.space.send(vec![message]).await.expect("sends");
    }

    pub async fn subscribe(&self, queue: &str) -> Deliveries {
        let subscription = Subscription { source: Destination::Queue(queue.to_owned()), prefetch: 10 };
        self.space.subscribe(subscription).await.expect("subscribes")
    }

    pub async fn take(&self, deliveries: &mut Deliveries) -> Delivery {
        let next = within("a delivery", deliveries.next()).await.expect("lives");
        let accept = Settlement { verdict: Verdict::Accept, outputs: Vec::new(), note: None };
        self.space.settle(&next, accept).await.expect("settles");
        next
    }

    /// The dead letters of a queue: the id and the reason of each, in order of ids.
    pub async fn dead(&self, queue: &str, count: usize) -> Vec<(String, String)> {
        let mut deliveries = self.subscribe(&format!("dlq.{queue}")).await;
        let mut found = Vec::new();
        while found.len() < count {
            let letter = self.take(&mut deliveries).await;
            let reason = letter.headers.get("zrecipe-reason").and_then(Value::as_str).unwrap_or_default();
            found.push((letter.id.clone(), reason.to_owned()));
        }
        found.sort();
        found
    }
}

/// A process of services, and what it logs.
pub struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
}

impl Running {
    /// The next line of the log in which this stands.
    pub fn says(&mut self, what: &str) -> String {
        let mut said = String::new();
        loop {
            let begin = said.len();
            let read = self.lines.read_line(&mut said).expect("is text");
            assert!(read > 0, "it has ended and not said `{what}`:\n{said}");
            if said[begin..].contains(what) {
                return said[begin..].trim_end().to_owned();
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is ours");
    }

    pub fn ends(&mut self, code: i32) {
        let status = wait_until_ok("the end", || self.child.try_wait().expect("waits").ok_or("it goes on"));
        assert_eq!(status.code(), Some(code));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(recipe: &str, n: &str) -> String {
    format!(r#"{{"recipes": ["{recipe}"], "parameters": {{"n": "{n}"}}}}"#)
}

const SETTINGS: &str = r#"
[dispatcher]
custom-recipes = false
ready = [["sh", "ready.sh"]]
filters = [["./filter", "one"]]
time-limit = 5
"#;

/// Not ready the first time that it is asked about `late`.
const READY: &str = r#"
read -r request
case $request in
*late*) [ -e asked ] && exit 0; touch asked; exit 1;;
*never*) exit 1;;
*broken*) echo "no beamline" >&2; exit 1;;
esac
"#;

const FILTER: &str = r#"#!/bin/sh
read -r request
case $request in
*refused*) echo "no such visit" >&2; exit 1;;
*slow*) sleep 100;;
*odd*) echo "{broken";;
*) echo "$request" | sed "s/\"n\":\"/&$1 /";;
esac
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_the_site_decide_about_requests() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new().await;
    place.write("zrecipe.toml", SETTINGS);
    place.write("ready.sh", READY);
    place.write("filter", FILTER);
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path("filter"), executable).expect("can be set");
    place.write("recipes/good.json", r#"{"1": {"queue": "out"}, "start": [[1, "{n}"]]}"#);
    let mut service = place.service(&["service", "-s", "Dispatcher"]);
    let custom = r#"{"custom_recipe": {"1": {"queue": "out"}, "start": [[1, "custom"]]}, "recipes": []}"#;
    let never = r#"{"recipes": ["good"], "parameters": {"n": "never", "dispatcher_timeout": 0}}"#;
    let elsewhere = never.replace("0}", r#"0, "dispatcher_error_queue": "errors"}"#);
    for (id, body) in [
        ("fine", request("good", "fine")),
        ("late", request("good", "late")),
        ("refused", request("good", "refused")),
        ("custom", custom.to_owned()),
        ("never", never.to_owned()),
        ("elsewhere", elsewhere),
        ("broken", never.replace("never", "broken")),
        ("mistaken", never.replace(": 0", r#": "2 minutes""#)),
        ("unclear", never.replace(": 0", ": [0]")),
        ("outdated", never.replace("_timeout\": 0", r#"_expiration": "noon""#)),
    ] {
        let headers = [("zocalo.go.user", Value::from("me")), ("x-own", Value::from("broker"))];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        place.send("processing_recipe", id, &body, headers).await;
    }
    let mut out = place.subscribe("out").await;
    for expected in ["one fine", "one late"] {
        let delivery = place.take(&mut out).await;
        let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
        assert_eq!(envelope.payload, Value::from(expected));
    }
    let mut errors = place.subscribe("errors").await;
    let sent = place.take(&mut errors).await;
    assert!(Request::read(&sent.body).is_ok_and(|request| request.parameters.contains_key("dispatcher_expiration")));
    assert_eq!(sent.headers, Object::from_iter([("zocalo.go.user".to_owned(), Value::from("me"))]));
    let mut outcomes = BTreeSet::new();
    while outcomes.len() < 3 {
        let line = service.says("outcome=");
        let known = ["not-ready", "never-ready", "done"].into_iter();
        outcomes.extend(known.filter(|outcome| line.contains(&format!("outcome=\"{outcome}\""))));
    }
    let dead = place.dead("processing_recipe", 7).await;
    let expected = [
        ("broken", "the request was never ready for processing; last, `ready.sh`: no beamline"),
        ("custom", "requests that contain a recipe are not accepted here"),
        ("mistaken", "parameter `dispatcher_timeout` of the request is `2 minutes`, not a number of seconds"),
        ("never", "the request was never ready for processing"),
        ("outdated", "parameter `dispatcher_expiration` of the request is `noon`, not a number of seconds"),
        ("refused", "`./filter` ended with exit status 1: no such visit"),
        ("unclear", "parameter `dispatcher_timeout` of the request is a list, not a number of seconds"),
    ];
    let path = place.path("filter").display().to_string();
    let expected = expected.map(|(id, reason)| (id.to_owned(), reason.replace("./filter", &path)));
    assert_eq!(dead, expected);
    place.send("processing_recipe", "complains", &request("good", "broken"), Object::new()).await;
    let line = service.says("not-ready");
    assert!(line.contains("`ready.sh`: no beamline"), "{line}");
    // A filter that is at fault itself: the request is not refused, but comes again.
    for (n, reason) in [("slow", "took too long"), ("odd", "is not a request")] {
        place.send("processing_recipe", n, &request("good", n), Object::new()).await;
        let line = service.says(reason);
        assert!(line.contains("outcome=\"retry\""), "{line}");
    }
    service.signal(Signal::TERM);
    service.ends(0);
    place.broker.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipe_is_read_again_when_its_file_changes() {
    let place = Place::new().await;
    let mut out = place.subscribe("out").await;
    let mut service = place.service(&["service", "-s", "Dispatcher"]);
    for (n, queue) in ["out", "errors", "out"].iter().enumerate() {
        let recipe = format!(r#"{{"1": {{"queue": "{queue}"}}, "start": [[1, {n}]]}}"#);
        // Replaced, as editors and deployments do it.
        place.write("recipes/new", &recipe);
        std::fs::rename(place.path("recipes/new"), place.path("recipes/good.json")).expect("renames");
        place.send("processing_recipe", &n.to_string(), &request("good", ""), Object::new()).await;
        service.says("outcome=\"done\"");
    }
    for n in [0, 2] {
        let delivery = place.take(&mut out).await;
        assert_eq!(Envelope::read(&delivery.headers, &delivery.body).expect("a message").payload, Value::from(n));
    }
}

/// What an address says over HTTP: the status, and the body.
pub fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("asks");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.split_whitespace().nth(1).expect("a status").to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_numbers_are_told_over_http() {
    let place = Place::new().await;
    place.write("recipes/good.json", r#"{"1": {"queue": "out"}, "start": [[1, 1]]}"#);
    let mut service = place.service(&["service", "-s", "Dispatcher", "-n", "2", "--http", "127.0.0.1:0"]);
    let line = service.says("metrics and health at http://");
    let address = line.rsplit("http://").next().expect("an address").to_owned();
    place.send("processing_recipe", "one", &request("good", ""), Object::new()).await;
    place.send("processing_recipe", "two", "[]", Object::new()).await;
    let (mut done, mut dead) = (false, false);
    while !(done && dead) {
        let line = service.says("outcome=");
        done |= line.contains("\"done\"");
        dead |= line.contains("\"dead-lettered\"");
    }
    assert_eq!(get(&address, "/livez"), ("200".to_owned(), "alive\n".to_owned()));
    assert_eq!(get(&address, "/readyz"), ("200".to_owned(), "ready\n".to_owned()));
    assert_eq!(get(&address, "/other").0, "404");
    // It is counted after it is logged.
    wait_until_ok("the numbers", || {
        let (status, text) = get(&address, "/metrics");
        assert_eq!(status, "200");
        let expected = [
            "workflows_transport_ack_total{source=\"Dispatcher\"} 1\n",
            "workflows_transport_nack_total{source=\"Dispatcher\"} 1\n",
            "zrecipe_messages_total{service=\"Dispatcher\",outcome=\"dead-lettered\"} 1\n",
        ];
        if expected.iter().all(|line| text.contains(line)) { Ok(()) } else { Err(text) }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_send_makes_no_lines_of_its_own() {
    let place = Place::new().await;
    let mut service = place.service(&["service", "-s", "Dispatcher"]);
    let forged = "x\n2026-01-01T00:00:00Z  INFO all is well\u{1b}[2J";
    place.send("processing_recipe", "one\ntwo", &request("none\\nforged", ""), Object::new()).await;
    let body = Value::from([
        ("recipes", Value::Array(vec![Value::from(forged)])),
        ("parameters", Value::Object(Object::new())),
    ]);
    place.send("processing_recipe", forged, &body.to_json(), Object::new()).await;
    let endless = Value::from([
        ("recipes", Value::Array(vec![Value::from("e".repeat(30_000))])),
        ("parameters", Value::Object(Object::new())),
    ]);
    place.send("processing_recipe", "three", &endless.to_json(), Object::new()).await;
    for _ in 0..3 {
        let line = service.says("outcome=\"dead-lettered\"");
        assert!(line.starts_with("20") && !line.contains('\u{1b}') && line.chars().count() < 6_000, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_service_waits_for_its_broker_is_told() {
    let place = Place::new().await;
    let port = Port::closed();
    let site = format!(
        "version: 1\nhere: {{plugin: pika, host: 127.0.0.1, port: {}, username: u, password: p, vhost: /}}\nenvironments: {{default: [here]}}\n",
        port.number()
    );
    place.write("site.yml", &site);
    let arguments = ["service", "-s", "Dispatcher", "--restart", "--site", "site.yml", "--http", "127.0.0.1:0"];
    let mut service = place.service(&arguments);
    let address =
        service.says("metrics and health at http://").rsplit("http://").next().expect("an address").to_owned();
    let line = service.says("retrying in 5 s");
    assert!(line.starts_with("20") && line.contains(" ERROR cannot open the broker at "), "{line}");
    // It is told after it is logged.
    wait_until_ok("why it waits", || {
        let (status, text) = get(&address, "/readyz");
        assert_eq!(status, "503");
        let is_told = text.starts_with("Dispatcher: constructing: cannot open the broker at ")
            && text.contains("; next attempt at 20");
        if is_told { Ok(()) } else { Err(text) }
    });
    service.signal(Signal::TERM);
    service.ends(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_service_that_has_failed_waits_is_told() {
    let place = Place::new().await;
    let identity = Identity { host: "h.1".into(), service: "Dispatcher".into(), class: "Dispatcher".into(), tag: None };
    let service = Arc::new(Dispatcher::new(Library::new(&[], &Settings::default(), None, Path::new(""))));
    let instance = Instance::new(service, vec!["nowhere".to_owned()], identity, Arc::new(|_, _| ())).patient(true);
    let board = instance.board().clone();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(instance.run(Arc::new(place.space.clone()), stopped));
    let health = Health { metrics: Metrics::new(), boards: vec![board.clone()], broker: Arc::default() };
    let (address, serving) = health::serve("127.0.0.1:0".parse().expect("an address"), health).await.expect("listens");
    tokio::spawn(serving);
    wait_until_ok("why it waits", || {
        let (status, text) = get(&address.to_string(), "/readyz");
        assert_eq!(status, "503");
        let told = "Dispatcher: error: the broker cancelled the subscription; next attempt at 20";
        if text.starts_with(told) { Ok(()) } else { Err(text) }
    });
    stop.send(true).expect("is heard");
    running.await.expect("lives").expect("ends well");
    assert_eq!(board.trouble(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_is_finished_and_a_second_signal_does_not_wait() {
    let place = Place::new().await;
    let recipe = |command: &str| {
        let step = r#"{"1": {"queue": "runner.submission", "output": 2, "parameters": {"workingdir": ".", "commands": ["COMMAND"]}},
            "2": {"queue": "out"}, "start": [[1, []]]}"#;
        let recipe = zrecipe::syntax::json::read_value(step.replace("COMMAND", command).as_bytes()).expect("JSON");
        Envelope::start(recipe, Object::new(), command).expect("starts").remove(0)
    };
    // A fifo holds a command until somebody writes.
    let fifo = Command::new("mkfifo").arg(place.path("gate")).status().expect("runs");
    assert!(fifo.success());
    let mut out = place.subscribe("out").await;
    place.space.send(vec![recipe("cat gate")]).await.expect("sends");
    let mut service = place.service(&["service", "-s", "Runner"]);
    // Opening it waits for the reader.
    let mut gate = std::fs::File::options().write(true).open(place.path("gate")).expect("opens");
    place.space.send(vec![recipe("true")]).await.expect("sends");
    service.signal(Signal::TERM);
    service.says("finishing current messages");
    gate.write_all(b"go on\n").expect("writes");
    drop(gate);
    service.ends(0);
    place.take(&mut out).await;
    // What had not begun is for the next one; that one is in a hurry to end.
    std::fs::remove_file(place.path("gate")).expect("removes");
    assert!(Command::new("mkfifo").arg(place.path("gate")).status().expect("runs").success());
    let mut service = place.service(&["service", "-s", "Runner"]);
    place.take(&mut out).await;
    place.space.send(vec![Outgoing { id: "again".to_owned(), ..recipe("cat gate") }]).await.expect("sends");
    let gate = std::fs::File::options().write(true).open(place.path("gate")).expect("opens");
    service.signal(Signal::INT);
    service.says("finishing current messages");
    service.signal(Signal::INT);
    service.ends(2);
    drop(gate);
    let mut waiting = place.subscribe("runner.submission").await;
    assert_eq!(place.take(&mut waiting).await.id, "again");
}

const STAYING: &str = r#"
[dispatcher]
ready = [{ worker = ["python3", "voice.py"] }]
filters = [{ worker = ["python3", "voice.py", "filter"] }]
"#;

const VOICE: &str = r#"
import json, sys
asked = set()
for line in sys.stdin:
    message = json.loads(line)
    if "ping" in message:
        print(json.dumps({"pong": message["ping"]}), flush=True)
        continue
    request, answer = message["request"], {"id": message["id"]}
    n = request["parameters"]["n"]
    if "filter" not in sys.argv:
        answer["ready"] = "yes" if n == "typed" else n != "late" or n in asked
        asked.add(n)
    elif n == "refused":
        answer["bad"] = "no such visit"
    elif n == "misspelt":
        answer["requets"] = request
    else:
        request["parameters"]["n"] = "one " + n
        answer["request"] = request
    print(json.dumps(answer), flush=True)
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_stay_decide_about_requests() {
    let place = Place::new().await;
    place.write("zrecipe.toml", STAYING);
    place.write("voice.py", VOICE);
    place.write("recipes/good.json", r#"{"1": {"queue": "out"}, "start": [[1, "{n}"]]}"#);
    let mut service = place.service(&["service", "-s", "Dispatcher"]);
    let mut out = place.subscribe("out").await;
    for n in ["fine", "late", "refused"] {
        place.send("processing_recipe", n, &request("good", n), Object::new()).await;
    }
    for expected in ["one fine", "one late"] {
        let delivery = place.take(&mut out).await;
        let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
        assert_eq!(envelope.payload, Value::from(expected));
    }
    let dead = place.dead("processing_recipe", 1).await;
    assert_eq!(dead, [("refused".to_owned(), "no such visit".to_owned())]);
    for (n, fault) in [
        ("misspelt", "there is no `requets`; did you mean `request`?"),
        ("typed", "`ready` is a string, not a boolean"),
    ] {
        place.send("processing_recipe", n, &request("good", n), Object::new()).await;
        let line = service.says(&format!("the answer of worker `voice.py` cannot be used: {fault}"));
        assert!(line.contains("outcome=\"retry\""), "{line}");
    }
    service.signal(Signal::TERM);
    service.ends(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_holds_as_many_messages_as_it_is_told() {
    let place = Place::new().await;
    assert!(Command::new("mkfifo").arg(place.path("gate")).status().expect("runs").success());
    let here = Value::from(place.path("").to_string_lossy().into_owned()).to_json();
    for number in 0..5 {
        let recipe = format!(
            r#"{{"1": {{"queue": "runner.submission", "parameters":
                {{"workingdir": {here}, "commands": ["touch begun-{number}", "cat gate"]}}}}, "start": [[1, []]]}}"#
        );
        let recipe = zrecipe::syntax::json::read_value(recipe.as_bytes()).expect("JSON");
        let message = Envelope::start(recipe, Object::new(), &number.to_string()).expect("starts").remove(0);
        place.space.send(vec![message]).await.expect("sends");
    }
    let _service = place.service(&["service", "-s", "Runner", "--prefetch", "3"]);
    let begun = || (0..5).filter(|number| place.path(&format!("begun-{number}")).exists()).count();
    wait_until_ok("three commands", || if begun() == 3 { Ok(()) } else { Err(format!("{} have begun", begun())) });
    let census = place.space.census().await.expect("counts");
    assert_eq!((census.held, census.ready), (3, 2));
}
