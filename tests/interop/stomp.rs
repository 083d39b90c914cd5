//! ActiveMQ as a stage for the contract of all transports, and beside services and tools of Python.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;
use zrecipe::address::{Host, Login, Password};
use zrecipe::message::Envelope;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::stomp::{self, Options, Stomp};
use zrecipe::transport::{Error, Transport};
use zrecipe::value::Value;

use crate::activemq::{Node, Setup};
use crate::contract::{
    Ability, Caller, Stage, accept, check_contract, death, deaths, message, next, nothing_else_comes, queue, reject,
    retry, subscribe, topic, within,
};
use crate::port::Port;
use crate::proxy::{Point, Proxy};
use crate::python::{Python, program};
use crate::services::ends;
use crate::wait::eventually;

/// A node, and a way to it that can be cut.
struct ActiveMq {
    _node: Node,
    proxy: Proxy,
    /// Where nobody listens.
    closed: Port,
    /// Each fresh broker is a prefix of its own.
    prefix: AtomicU32,
}

impl ActiveMq {
    async fn new(setup: Setup) -> Self {
        let node = Node::start(setup).await;
        let proxy = Proxy::with_fault(node.port, Point::Bytes, false).await;
        Self { _node: node, proxy, closed: Port::closed(), prefix: AtomicU32::new(0) }
    }

    /// How the scenarios connect.
    fn options(&self) -> Options {
        Options {
            heartbeat: Duration::from_secs(3),
            patience: Duration::from_secs(20),
            delivery_limit: 2,
            login: Login::Password { user: "guest".to_owned(), password: Password::new("guest") },
            prefix: format!("t{}", self.prefix.load(Ordering::Relaxed)),
            ..Options::new(vec![Host { name: "127.0.0.1".to_owned(), port: self.proxy.port }])
        }
    }
}

#[async_trait]
impl Stage for ActiveMq {
    fn can(&self, ability: Ability) -> bool {
        ability.is_in(&stomp::TRANSPORT.capabilities)
    }

    async fn fresh(&self) -> Arc<dyn Transport> {
        self.prefix.fetch_add(1, Ordering::Relaxed);
        Arc::new(Stomp::connect(self.options()).await.expect("connect"))
    }

    async fn connect(&self, caller: Caller) -> Result<Arc<dyn Transport>, Error> {
        let mut options = self.options();
        let dead = Host { name: "127.0.0.1".to_owned(), port: self.closed.number() };
        match caller {
            Caller::Nowhere => options.hosts = vec![dead],
            Caller::Somewhere => options.hosts.push(dead),
            Caller::Stranger => {
                options.login = Login::Password { user: "guest".to_owned(), password: Password::new("wr0ng") };
            }
            Caller::Lost => unimplemented!("every prefix is there"),
        }
        Ok(Arc::new(Stomp::connect(options).await?))
    }

    async fn reachable(&self, reachable: bool) {
        self.proxy.open(reachable);
    }

    async fn is_tried(&self) {
        self.proxy.connected(self.proxy.connections() + 2).await;
    }

    async fn hang(&self) {
        self.proxy.block();
    }

    async fn delete(&self, _queue: &str) {
        // A queue that nobody has used is not there.
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_keeps_the_contract() {
    check_contract(Arc::new(ActiveMq::new(Setup::default()).await)).await;
}

pub fn options(port: u16) -> Options {
    Options {
        login: Login::Password { user: "guest".to_owned(), password: Password::new("guest") },
        prefix: "zocalo".to_owned(),
        ..Options::new(vec![Host { name: "127.0.0.1".to_owned(), port }])
    }
}

/// A broker that is killed again and again while messages are moved: each is in one of the two queues, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_that_is_killed_loses_and_doubles_nothing() {
    const COUNT: usize = 200;
    let mut node = Node::start(Setup::default()).await;
    let transport = Arc::new(Stomp::connect(options(node.port)).await.expect("connect"));
    let sent = (0..COUNT).map(|n| message(&n.to_string(), queue("in"))).collect();
    transport.send(sent).await.expect("send");
    let mut inputs = subscribe(&*transport, queue("in"), 10).await;
    let worker = tokio::spawn({
        let transport = transport.clone();
        async move {
            while let Some(got) = inputs.next().await {
                let output = message(&format!("from {}", got.id), queue("out"));
                // What cannot be settled comes again.
                let _ = transport.settle(&got, accept(vec![output])).await;
            }
        }
    });
    let moved = async || transport.waiting("out").await.map_or(0, |found| found.messages);
    for round in 1..=3 {
        let wanted = COUNT as u64 * round / 5;
        eventually("some are moved", async || moved().await >= wanted).await;
        node.restart().await;
    }
    eventually("all are moved", async || moved().await >= COUNT as u64).await;
    let mut outputs = subscribe(&*transport, queue("out"), 50).await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..COUNT {
        let got = next(&mut outputs).await;
        transport.settle(&got, accept(vec![])).await.expect("settle");
        assert!(ids.insert(got.id.clone()), "{} came twice", got.id);
    }
    nothing_else_comes(&*transport, queue("out"), &mut outputs).await;
    transport.close().await.expect("close");
    within("the end of the worker", worker).await.expect("join");
}

/// A message that kills every consumer becomes a dead letter, though the broker does not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_poison_is_counted() {
    let node = Node::start(Setup::default()).await;
    let sender = Stomp::connect(options(node.port)).await.expect("connect");
    sender.send(vec![message("poison", queue("q"))]).await.expect("send");
    for expected in 1..=3 {
        let victim = Stomp::connect(Options { return_limit: 2, ..options(node.port) }).await.expect("connect");
        let mut deliveries = subscribe(&victim, queue("q"), 1).await;
        assert_eq!(next(&mut deliveries).await.deliveries, expected);
        // It dies without a word.
        drop((deliveries, victim));
    }
    let last = Stomp::connect(Options { return_limit: 2, ..options(node.port) }).await.expect("connect");
    let mut deliveries = subscribe(&last, queue("q"), 1).await;
    let mut dead = subscribe(&last, queue("dlq.q"), 1).await;
    let letter = next(&mut dead).await;
    assert_eq!((letter.id.as_str(), deaths(&letter.headers)), ("poison", death("delivery_limit", "q")));
    nothing_else_comes(&last, queue("q"), &mut deliveries).await;
    last.close().await.expect("close");
    sender.close().await.expect("close");
}

/// Without a scheduler a retry waits all the same, and others overtake it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_without_a_scheduler_delays_all_the_same() {
    let node = Node::start(Setup { scheduler: false, ..Setup::default() }).await;
    let transport = Stomp::connect(options(node.port)).await.expect("connect");
    let mut deliveries = subscribe(&transport, queue("q"), 1).await;
    transport.send(vec![message("first", queue("q")), message("second", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    let begun = tokio::time::Instant::now();
    let after = Duration::from_secs(4);
    transport.settle(&got, retry(after)).await.expect("settle");
    let got = next(&mut deliveries).await;
    assert_eq!(got.id, "second", "the other one overtakes");
    transport.settle(&got, accept(vec![])).await.expect("settle");
    let got = next(&mut deliveries).await;
    assert_eq!((got.id.as_str(), got.deliveries), ("first", 2));
    assert!(begun.elapsed() >= after, "too early: {:?}", begun.elapsed());
    transport.settle(&got, accept(vec![])).await.expect("settle");
    transport.close().await.expect("close");
}

/// A facility on ActiveMQ, set up as Zocalo's documentation has it.
pub struct Facility {
    pub node: Node,
    directory: TempDir,
    pub transport: Stomp,
}

impl Facility {
    pub async fn new(setup: Setup) -> Self {
        let node = Node::start(setup).await;
        let directory = tempfile::tempdir().expect("a directory");
        let here = directory.path().display();
        for folder in ["recipes", "logbook", "drop", "work", "dlq"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        let (port, api) = (node.port, node.api_port);
        let site = format!(
            "version: 1\n\
             activemq: {{plugin: stomp, host: 127.0.0.1, port: {port}, username: guest, password: guest, prefix: zocalo}}\n\
             api: {{plugin: jmx, host: 127.0.0.1, port: {api}, base_url: api/jolokia, username: guest, password: guest}}\n\
             transport: {{plugin: transport, default: StompTransport}}\n\
             storage:\n  plugin: storage\n  zocalo.recipe_directory: {here}/recipes\n  \
             zocalo.dispatcher.logbook_location: {here}/logbook\n  zocalo.go.fallback_location: {here}/drop\n  \
             zocalo.dlq.purge_location: {here}/dlq\n  zocalo.default_transport: StompTransport\n\
             environments:\n  default: [activemq, api, transport, storage]\n"
        );
        let path = directory.path().join("site.yml");
        std::fs::write(&path, site).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("is set");
        let transport = Stomp::connect(options(port)).await.expect("connect");
        Self { node, directory, transport }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .args(arguments)
            .current_dir(self.path("work"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("ZOCALO_CONFIG", self.path("site.yml"))
            .env("ZRECIPE_STATE", self.path("state"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub fn ours(&self, arguments: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_zrecipe"), arguments)
    }

    pub fn theirs(&self, name: &str, arguments: &[&str]) -> Command {
        self.command(program(name), arguments)
    }

    /// What one of our commands prints, and its exit code.
    pub async fn says(&self, arguments: &[&str]) -> (String, i32) {
        let output = within("a command", self.ours(arguments).output()).await.expect("starts");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (text, output.status.code().unwrap_or(-1))
    }

    /// Waits until somebody consumes from a queue.
    pub async fn served(&self, name: &str) {
        eventually(&format!("a consumer of {name}"), async || {
            let output = self.ours(&["queues", "--json"]).output().await.expect("starts");
            let Ok(document) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else { return false };
            let rows = document["queues"].as_array().cloned().unwrap_or_default();
            rows.iter().any(|row| row["name"] == name && row["consumers"].as_i64().unwrap_or(0) > 0)
        })
        .await;
    }
}

/// The four chains: requests of `zocalo.go` and of `zrecipe go`, dispatched by either side, to services of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_chains_alternate() {
    let facility = Facility::new(Setup::default()).await;
    let recipe = json!({
        "1": {"queue": "py", "service": "Python", "output": 2},
        "2": {"queue": "runner.submission", "service": "Runner", "output": 3,
              "parameters": {"workingdir": "{where}", "commands": ["touch {name}"]}},
        "3": {"queue": "out"},
        "start": [[1, {"begun": "中"}]],
    });
    std::fs::write(facility.path("recipes/chain.json"), recipe.to_string()).expect("write");
    let mut out = subscribe(&facility.transport, queue("out"), 1).await;
    let mut python = Python::start(format!("stomp:{}:zocalo", facility.node.port), "serve", "py");
    assert_eq!(python.says().await, Value::from("ready"));
    let mut runner = facility.ours(&["service", "-s", "Runner"]).spawn().expect("starts");
    facility.served("runner.submission").await;
    let place = facility.path("work").display().to_string();
    for dispatcher in ["theirs", "ours"] {
        let mut service = match dispatcher {
            "theirs" => facility.theirs("zocalo.service", &["-s", "Dispatcher"]),
            _ => facility.ours(&["service", "-s", "Dispatcher"]),
        };
        let mut service = service.spawn().expect("starts");
        facility.served("processing_recipe").await;
        for sender in ["theirs", "ours"] {
            let (name, id) = (format!("{dispatcher}-{sender}"), format!("chain-{dispatcher}-{sender}"));
            let going = [
                "-n",
                "-r",
                "chain",
                "-s",
                &format!("where={place}"),
                "-s",
                &format!("name={name}"),
                "-s",
                &format!("guid={id}"),
            ];
            match sender {
                "theirs" => ends("zocalo.go", &mut facility.theirs("zocalo.go", &going).spawn().expect("starts")).await,
                _ => {
                    let going = [&["go"], going.as_slice()].concat();
                    ends("zrecipe go", &mut facility.ours(&going).spawn().expect("starts")).await;
                }
            }
            let last = next(&mut out).await;
            let envelope = Envelope::read(&last.headers, &last.body).expect("a recipe message");
            assert_eq!(envelope.path, [Value::from(1), Value::from(2)], "{name}");
            assert_eq!((envelope.id(), &envelope.payload), (Some(id.as_str()), &Value::from([("processed", true)])));
            assert!(facility.path("work").join(&name).exists(), "{name}");
            facility.transport.settle(&last, accept(vec![])).await.expect("settle");
        }
        // Either side's tool stops the other side's services.
        let arguments = ["shutdown", "-s", "Dispatcher"];
        match dispatcher {
            "theirs" => ends("zrecipe shutdown", &mut facility.ours(&arguments).spawn().expect("starts")).await,
            _ => {
                let mut tool = facility.theirs("zocalo.shutdown", &arguments[1..]);
                ends("zocalo.shutdown", &mut tool.spawn().expect("starts")).await;
            }
        }
        ends(&format!("the dispatcher, {dispatcher}"), &mut service).await;
    }
    ends("zrecipe shutdown", &mut facility.ours(&["shutdown", "-s", "Runner"]).spawn().expect("starts")).await;
    ends("the runner", &mut runner).await;
    drop(python.child.stdin.take());
    python.ends().await;
    facility.transport.close().await.expect("close");
}

/// Operators see queues and dead letters, and send them back; Python's tools agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_is_operated() {
    let facility = Facility::new(Setup::default()).await;
    let transport = &facility.transport;
    let mut deliveries = subscribe(transport, queue("q"), 1).await;
    transport.send(vec![message("bad", queue("q")), message("good", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    transport.settle(&got, reject("no such sample")).await.expect("settle");
    drop(deliveries);
    eventually("the end of the subscription", async || {
        let (text, _) = facility.says(&["queues", "q"]).await;
        text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().starts_with(&["q", "1", "0"]))
    })
    .await;
    let (text, code) = facility.says(&["dlq", "list"]).await;
    assert!(code == 0 && text.contains("dlq.q"), "{text}");
    let (text, code) = facility.says(&["dlq", "show", "q"]).await;
    assert!(code == 0 && text.contains("no such sample"), "{text}");
    let checked = facility.theirs("zocalo.dlq_check", &["-t", "StompTransport", "-n", "zocalo"]).output().await;
    let checked = checked.expect("starts");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(said.contains("DLQ for zocalo.q contains 1 entries"), "{said}{}", String::from_utf8_lossy(&checked.stderr));
    let (text, code) = facility.says(&["peek", "q"]).await;
    assert!(code == 0 && text.contains("good"), "{text}");
    let (text, _) = facility.says(&["doctor"]).await;
    for part in ["ActiveMQ 5.", "the broker has a scheduler", "less than 80 %"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Theirs writes a file of our dead letter, and ours sends it back.
    ends(
        "zocalo.dlq_purge",
        &mut facility.theirs("zocalo.dlq_purge", &["-t", "StompTransport"]).spawn().expect("starts"),
    )
    .await;
    let day = std::fs::read_dir(facility.path("dlq")).expect("a folder").next().expect("a day").expect("read").path();
    let file = std::fs::read_dir(day).expect("a folder").next().expect("a file").expect("read").path();
    let letter = read_value(&std::fs::read(&file).expect("read")).expect("JSON");
    let origin = letter.get("header").and_then(|header| header.get("original-destination")?.as_str());
    assert_eq!(origin, Some("/queue/zocalo.q"));
    let (text, code) = facility.says(&["dlq", "reinject", &file.display().to_string()]).await;
    assert_eq!(code, 0, "{text}");
    let mut deliveries = subscribe(transport, queue("q"), 2).await;
    let back = [next(&mut deliveries).await, next(&mut deliveries).await];
    let mut bodies = back.each_ref().map(|got| got.body.clone());
    bodies.sort();
    // A file keeps values; a text is sent as JSON, as their tool does.
    assert_eq!(bodies, [b"\"bad\"".to_vec(), b"good".to_vec()]);
    // And the other way round: ours writes a file, and theirs sends the letter back.
    for got in &back {
        let verdict = if got.body == b"good" { accept(vec![]) } else { reject("still none") };
        transport.settle(got, verdict).await.expect("settle");
    }
    let (text, code) = facility.says(&["dlq", "purge", "q", "--location", "ours"]).await;
    assert_eq!(code, 0, "{text}");
    let day =
        std::fs::read_dir(facility.path("work/ours")).expect("a folder").next().expect("a day").expect("read").path();
    let file = std::fs::read_dir(day).expect("a folder").next().expect("a file").expect("read").path();
    let file = file.display().to_string();
    let mut tool = facility.theirs("zocalo.dlq_reinject", &["-t", "StompTransport", &file]);
    ends("zocalo.dlq_reinject", &mut tool.spawn().expect("starts")).await;
    let got = next(&mut deliveries).await;
    assert_eq!(got.headers.get("dlq-reinjected"), Some(&Value::from("True")));
    transport.settle(&got, accept(vec![])).await.expect("settle");
    // Status is heard over topics.
    let mut statuses = subscribe(transport, topic("transient.status"), 10).await;
    let mut service = facility.ours(&["service", "-s", "JSONLines"]).spawn().expect("starts");
    let status = next(&mut statuses).await;
    assert!(read_value(&status.body).expect("JSON").get("host").is_some());
    let (text, _) = facility.says(&["status", "--wait", "12"]).await;
    assert!(text.contains("JSONLines"), "{text}");
    ends("zrecipe shutdown", &mut facility.ours(&["shutdown", "-s", "JSONLines"]).spawn().expect("starts")).await;
    ends("the service", &mut service).await;
    facility.transport.close().await.expect("close");
}
