//! Python services and wrappers under our host, without a change to their code: on the embedded broker and on RabbitMQ.

mod kills;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use zrecipe::message::Envelope;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::embedded::{Broker, Options};
use zrecipe::transport::{Deliveries, Outgoing, Transport};
use zrecipe::value::{Object, Value};

use crate::contract::{accept, message, next, queue, subscribe, topic, within};
use crate::python::{directory_of_scripts, program};
use crate::services::{Facility, ends};
use crate::wait::eventually;

/// The queues of the classes, and of those who hear them.
const QUEUES: [&str; 12] = [
    "bridged.batch",
    "bridged.poll",
    "bridged.store",
    "bridged.greet",
    "bridged.greeted",
    "bridged.careless",
    "out",
    "bridged.nothing",
    "bridged.start",
    "bridged.end",
    "bridged.through",
    "bridged.results",
];

/// Where Python services work.
struct Ground {
    transport: Arc<dyn Transport>,
    facility: Option<Facility>,
    directory: TempDir,
    _broker: Option<Broker>,
}

/// The variables that let the interpreter find our package and the classes.
fn variables(command: &mut Command) -> &mut Command {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let paths = [root.join("python"), directory_of_scripts().join("bridged")];
    let path = std::env::join_paths(paths).expect("paths");
    command.env("PYTHONPATH", path).env("ZRECIPE_PYTHON", program("python")).env("PYTHONDONTWRITEBYTECODE", "1")
}

impl Ground {
    async fn embedded() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("state")).expect("a folder");
        let broker = Broker::open(&directory.path().join("state/zrecipe.db"), Options::default()).await.expect("opens");
        let space = broker.namespace("zocalo");
        for queue in QUEUES {
            space.declare(queue).await.expect("declares");
        }
        Self { transport: Arc::new(space), facility: None, directory, _broker: Some(broker) }
    }

    async fn rabbit() -> Self {
        let facility = Facility::new().await;
        let text = |text: &str| AMQPValue::LongString(text.into());
        for name in QUEUES.iter().filter(|name| **name != "out") {
            let durable = QueueDeclareOptions { durable: true, ..Default::default() };
            let mut arguments = FieldTable::default();
            arguments.insert("x-queue-type".into(), text("quorum"));
            let dead = format!("dlq.{name}");
            facility.channel.queue_declare(dead.as_str().into(), durable, arguments.clone()).await.expect("declare");
            arguments.insert("x-dead-letter-exchange".into(), text(""));
            arguments.insert("x-dead-letter-routing-key".into(), text(&dead));
            facility.channel.queue_declare((*name).into(), durable, arguments).await.expect("declare");
        }
        for name in ["bridged.news", "bridged.repeated"] {
            let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
            let declared =
                facility.channel.exchange_declare(name.into(), ExchangeKind::Fanout, options, Default::default());
            declared.await.expect("declare");
        }
        let transport = Arc::new(facility.transport.clone());
        let directory = tempfile::tempdir().expect("a directory");
        Self { transport, facility: Some(facility), directory, _broker: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.facility {
            Some(facility) => facility.ours(arguments),
            None => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
                command
                    .args(arguments)
                    .env_clear()
                    .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                    .env("ZRECIPE_STATE", self.path("state"))
                    .env("NO_COLOR", "1")
                    .stdin(Stdio::null())
                    .kill_on_drop(true);
                command
            }
        };
        variables(&mut command).env("HOME", self.directory.path()).current_dir(self.directory.path());
        command
    }

    /// Starts services and waits until they take messages.
    async fn serve(&self, names: &[&str]) -> Running {
        let mut command = self.command(&["service"]);
        for name in names {
            command.args(["-s", name]);
        }
        command.env("BRIDGED_MARKER", self.path("marker"));
        let mut child = command.stderr(Stdio::piped()).spawn().expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        Running { child, lines }
    }

    async fn send(&self, name: &str, id: &str, step: &serde_json::Value, payload: &serde_json::Value) {
        let mut first = step.clone();
        first["queue"] = json!(name);
        let recipe = json!({"1": first, "2": {"queue": "out"}, "start": [[1, payload]]});
        let environment = Object::from_iter([("ID".to_owned(), Value::from(id))]);
        let recipe = read_value(recipe.to_string().as_bytes()).expect("JSON");
        let started = Envelope::start(recipe, environment, id).expect("starts").remove(0);
        self.transport.send(vec![Outgoing { id: id.to_owned(), ..started }]).await.expect("sends");
    }

    async fn receive(&self, out: &mut Deliveries) -> Envelope {
        let delivery = next(out).await;
        self.transport.settle(&delivery, accept(vec![])).await.expect("settle");
        Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message")
    }

    /// The next dead letter of a queue: its id and the reason.
    async fn dead(&self, letters: &mut Deliveries) -> (String, String) {
        let delivery = next(letters).await;
        self.transport.settle(&delivery, accept(vec![])).await.expect("settle");
        let reason = delivery.headers.get("zrecipe-reason").and_then(Value::as_str).unwrap_or_default();
        (delivery.id.clone(), reason.to_owned())
    }
}

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Running {
    /// The next line of the log in which this stands.
    async fn says(&mut self, what: &str) -> String {
        let mut said = Vec::new();
        loop {
            let line = within(what, self.lines.next_line()).await.expect("text");
            let line = line.unwrap_or_else(|| panic!("it has ended and not said `{what}`:\n{}", said.join("\n")));
            if line.contains(what) {
                return line;
            }
            said.push(line);
        }
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| Pid::from_raw(id as i32)).expect("it runs");
        kill_process(id, signal).expect("it is ours");
    }

    async fn ends(mut self) {
        // Its log must not fill the pipe.
        let rest = tokio::spawn(async move { while let Ok(Some(_)) = self.lines.next_line().await {} });
        ends("the services", &mut self.child).await;
        rest.abort();
    }
}

async fn five_classes(ground: &Ground) {
    let transport = &*ground.transport;
    let mut out = subscribe(transport, queue("out"), 10).await;
    let mut greeted = subscribe(transport, queue("bridged.greeted"), 1).await;
    let mut repeated = subscribe(transport, topic("bridged.repeated"), 10).await;
    // A batch that a timer ends, an environment, a state, a message without a recipe.
    let mut services = ground.serve(&["Batcher", "Poller", "storer", "Greeter"]).await;
    let named = json!({"output": {"result": 2, "found": 2}});
    for n in 0..3 {
        ground.send("bridged.batch", &format!("batch-{n}"), &named, &json!(n)).await;
    }
    services.says("flushing 3").await;
    let batch = ground.receive(&mut out).await;
    assert_eq!((batch.payload.to_json(), batch.pointer), ("[0,1,2]".to_owned(), 2));
    ground.send("bridged.poll", "poll", &named, &json!({})).await;
    assert_eq!(ground.receive(&mut out).await.payload, Value::from([("tries", 3)]));
    let storing = json!({"output": 2, "parameters": {"store_result": "program_id"}});
    ground.send("bridged.store", "store", &storing, &json!({})).await;
    let stored = ground.receive(&mut out).await;
    assert_eq!(stored.environment.get("program_id").map(Value::to_json).as_deref(), Some(r#"{"id":42}"#));
    assert_eq!((stored.id(), stored.path.len()), (Some("store"), 1));
    let headers = Object::from_iter([("name".to_owned(), Value::from("Ada"))]);
    let plain = Outgoing { body: b"[1]".to_vec(), headers, ..message("greet", queue("bridged.greet")) };
    transport.send(vec![plain]).await.expect("sends");
    let delivery = next(&mut greeted).await;
    transport.settle(&delivery, accept(vec![])).await.expect("settle");
    assert_eq!(read_value(&delivery.body).expect("JSON").to_json(), r#"{"hello":"Ada","said":[1]}"#);
    assert_eq!(delivery.headers.get("polite"), Some(&Value::from("yes")));
    services.signal(Signal::TERM);
    services.ends().await;
    // A broadcast, a temporary queue, and the end that the service asks for.
    let crier = ground.serve(&["Crier"]).await;
    let news = async {
        loop {
            let copy = Outgoing { body: br#""fire""#.to_vec(), ..message("news", topic("bridged.news")) };
            transport.send(vec![copy]).await.expect("sends");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let heard = tokio::select! {
        heard = next(&mut repeated) => heard,
        () = news => unreachable!("it goes on"),
    };
    assert_eq!(read_value(&heard.body).expect("JSON").to_json(), r#"{"heard":"fire"}"#);
    transport.settle(&heard, accept(vec![])).await.expect("settle");
    crier.ends().await;
}

/// What fails is tried again and dead-lettered; what waits behind it is not counted; the log says it in one record.
async fn failures_are_their_own(ground: &Ground) {
    let mut out = subscribe(&*ground.transport, queue("out"), 10).await;
    let mut letters = subscribe(&*ground.transport, queue("dlq.bridged.careless"), 10).await;
    let mut services = ground.serve(&["Careless"]).await;
    let step = json!({"output": 2});
    ground.send("bridged.careless", "poison", &step, &json!("poison")).await;
    ground.send("bridged.careless", "refused", &step, &json!("refused")).await;
    for n in 0..20 {
        ground.send("bridged.careless", &format!("good-{n}"), &step, &json!(n)).await;
    }
    let line = services.says("Unhandled service exception: this is poison").await;
    for part in ["ERROR", "Traceback (most recent call last)", "ValueError: this is poison", "bridged.careless"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let mut found = Vec::new();
    for _ in 0..20 {
        found.push(ground.receive(&mut out).await.payload.as_i64().expect("a number"));
    }
    found.sort_unstable();
    assert_eq!(found, (0..20).collect::<Vec<_>>());
    let mut dead = [ground.dead(&mut letters).await, ground.dead(&mut letters).await];
    dead.sort();
    assert_eq!(dead[0], ("poison".to_owned(), "ValueError: this is poison".to_owned()));
    assert_eq!(dead[1], ("refused".to_owned(), "not this one".to_owned()));
    services.signal(Signal::TERM);
    services.ends().await;
    let marker = std::fs::read_to_string(ground.path("marker")).expect("`in_shutdown` was called");
    assert!(marker.ends_with("shut down\n"), "{marker}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_services_run_on_the_embedded_broker() {
    let ground = Ground::embedded().await;
    five_classes(&ground).await;
    failures_are_their_own(&ground).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_services_run_on_rabbitmq() {
    let ground = Ground::rabbit().await;
    five_classes(&ground).await;
    failures_are_their_own(&ground).await;
}

async fn output(mut command: Command) -> (Option<i32>, String, String) {
    let output = within("the command", command.stdout(Stdio::piped()).stderr(Stdio::piped()).output());
    let output = output.await.expect("starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_and_wrappers_find_python_classes() {
    let ground = Ground::embedded().await;
    let recipe = json!({
        "1": {"service": "Storer", "queue": "bridged.store", "parameters": {"store_result": "x"}, "output": 2},
        "2": {"service": "Poller", "queue": "bridged.poll", "output": {"found": 3}},
        "3": {"service": "Runner", "queue": "runner.submission",
              "parameters": {"workingdir": ground.path("state"), "commands": ["touch found"]}},
        "start": [[1, {}]]
    });
    std::fs::write(ground.path("r.json"), recipe.to_string()).expect("write");
    let (code, _, said) = output(ground.command(&["run", "r.json"])).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(ground.path("state/found").exists(), "{said}");

    let wrapped = json!({
        "environment": {"ID": "wrapped"}, "payload": {}, "recipe-path": [], "recipe-pointer": 1,
        "recipe": {
            "1": {"queue": "bridged.nothing", "job_parameters": {"name": "n", "works": true},
                  "output": {"starting": 2, "updates": 2, "result-individual-file": 2, "success": 2, "failure": 2, "completed": 2}},
            "2": {"queue": "out"}, "start": [[1, {}]]}
    });
    let wrapper = ground.path("wrapper.json").display().to_string();
    let mut out = subscribe(&*ground.transport, queue("out"), 10).await;
    let works = [
        r#""Starting processing""#,
        r#"{"percent":50}"#,
        r#"{"by":"keyword"}"#,
        r#"{"file_path":"/a","file_name":"n"}"#,
        r#""Finished processing""#,
        r#""Finished processing""#,
    ];
    let fails = [r#""Starting processing""#, r#""no phases""#, r#""Finished processing""#];
    for (name, code, expected) in [("phasing", 0, &works[..]), ("broken", 1, &fails[..])] {
        std::fs::write(ground.path("wrapper.json"), wrapped.to_string()).expect("write");
        let (found, _, said) = output(ground.command(&["wrap", "--wrap", name, "--recipewrapper", &wrapper])).await;
        assert_eq!(found, Some(code), "{said}");
        for payload in expected {
            let envelope = ground.receive(&mut out).await;
            assert_eq!(envelope.payload.to_json(), *payload, "{said}");
            assert_eq!(envelope.id(), Some("wrapped"));
        }
    }
    let (code, _, said) = output(ground.command(&["wrap", "--wrap", "phasin"])).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no program for `phasin`") && said.contains("`phasing`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_told_at_the_start() {
    let ground = Ground::embedded().await;
    let nothing = tempfile::tempdir().expect("a directory");
    let python = program("python").display().to_string();
    for (name, variable, value, expected) in [
        ("NoSuchService", "X", Path::new("x"), &["there is no service `NoSuchService`", "registers a service"][..]),
        (
            "Unimportable",
            "X",
            Path::new("x"),
            &["No module named 'not_there_at_all'", "pip install not_there_at_all"][..],
        ),
        (
            "Batcher",
            "PYTHONPATH",
            nothing.path(),
            &["does not have the package `zrecipe`", "-m pip install zrecipe"][..],
        ),
        (
            "Batcher",
            "ZRECIPE_PYTHON",
            Path::new("/no/python"),
            &["`/no/python` cannot be started", "`interpreter`"][..],
        ),
    ] {
        let mut command = ground.command(&["service", "-s", name]);
        command.env(variable, value);
        let (code, _, said) = output(command).await;
        assert_eq!(code, Some(2), "{said}");
        for part in expected {
            assert!(said.contains(part), "{name} with {python}: no `{part}` in\n{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_decide_about_requests() {
    let ground = Ground::embedded().await;
    std::fs::create_dir(ground.path("recipes")).expect("a folder");
    std::fs::write(ground.path("recipes/r.json"), r#"{"1": {"queue": "out"}, "start": [[1, "{doubled}"]]}"#)
        .expect("write");
    let settings = "recipe-directories = [\"recipes\"]\n[dispatcher]\nready = [{ entry-point = \"settled\" }]\n\
                    filters = [{ entry-point = \"double\" }]\n";
    std::fs::write(ground.path("zrecipe.toml"), settings).expect("write");
    let services = ground.serve(&["Dispatcher"]).await;
    let mut out = subscribe(&*ground.transport, queue("out"), 1).await;
    let body = br#"{"recipes": ["r"], "parameters": {"n": 21}}"#.to_vec();
    eventually("a queue of requests", async || {
        let request = Outgoing { body: body.clone(), ..message("request", queue("processing_recipe")) };
        ground.transport.send(vec![request]).await.is_ok()
    })
    .await;
    assert_eq!(ground.receive(&mut out).await.payload, Value::from("42"));
    services.signal(Signal::TERM);
    services.ends().await;
}

/// A beamline that starts collections and waits for an answer to each: our dispatcher and Python classes lead to it, while
/// other requests are dispatched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beamline_gets_its_answers() {
    let ground = Ground::rabbit().await;
    let facility = ground.facility.as_ref().expect("RabbitMQ");
    facility.recipe(
        "mimas",
        &json!({
            "1": {"queue": "bridged.{event}", "output": {"result": 2}},
            "2": {"queue": "bridged.results", "parameters": {"dcid": "{ispyb_dcid}", "dcgid": 1}},
            "start": [[1, {}]]
        }),
    );
    facility.recipe(
        "load",
        &json!({"1": {"queue": "bridged.through", "output": 2}, "2": {"queue": "out"}, "start": [[1, "{n}"]]}),
    );
    let services = ground.serve(&["Dispatcher", "Centre", "Through"]).await;
    for queue in ["processing_recipe", "bridged.start", "bridged.through"] {
        facility.served(queue).await;
    }
    let mut out = subscribe(&*ground.transport, queue("out"), 50).await;
    let mut command = Command::new(program("python"));
    command.arg(directory_of_scripts().join("beamline.py")).args(["own", "20", "20"]);
    command.env("ZOCALO_CONFIG", facility.path("site.yml")).kill_on_drop(true);
    let (code, printed, said) = output(command).await;
    assert_eq!(code, Some(0), "{said}");
    let printed: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(printed["took"].as_array().map(Vec::len), Some(20), "{printed}");
    let mut others: BTreeSet<String> =
        (0..printed["others"].as_u64().expect("a count")).map(|n| format!("\"{n}\"")).collect();
    while !others.is_empty() {
        others.remove(&ground.receive(&mut out).await.payload.to_json());
    }
    services.signal(Signal::TERM);
    services.ends().await;
}

/// The tests of the package itself, by its own means.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_package_passes_its_tests() {
    let mut command = Command::new(program("python"));
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "."]);
    command.current_dir(directory_of_scripts().join("package"));
    variables(&mut command).env("ZRECIPE_PROGRAM", env!("CARGO_BIN_EXE_zrecipe")).kill_on_drop(true);
    let done = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await.expect("starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}
