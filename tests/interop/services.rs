//! Our services beside those of the reference implementation, from outside: processes on one broker.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lapin::ExchangeKind;
use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use zrecipe::address::Host;
use zrecipe::message::Envelope;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::amqp::{Amqp, Options};
use zrecipe::transport::{Deliveries, Outgoing, Transport};
use zrecipe::value::{Object, Value};

use crate::contract::{accept, message, next, queue, reject, subscribe, topic, within};
use crate::python::{Python, program};
use crate::rabbitmq::Node;
use crate::wait::eventually;

const QUEUES: [&str; 7] =
    ["processing_recipe", "runner.submission", "jsonlines", "mailnotification", "py", "out", "errors"];

/// A facility: a broker, a site configuration and recipes.
pub struct Facility {
    pub node: Node,
    directory: TempDir,
    pub channel: lapin::Channel,
    pub transport: Amqp,
    /// What the environment `watched` logs to.
    logs: UdpSocket,
    /// What it sends its traces to.
    traces: TcpListener,
}

impl Facility {
    pub async fn new() -> Self {
        let node = Node::start("facility", None).await;
        let directory = tempfile::tempdir().expect("a directory");
        let here = directory.path().display();
        let (logs, traces) = (UdpSocket::bind("127.0.0.1:0").expect("a port"), TcpListener::bind("127.0.0.1:0"));
        let traces = traces.expect("a port");
        for folder in ["recipes", "logbook", "drop", "work"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        let site = format!(
            "version: 1\n\
             rabbitmq: {{plugin: pika, host: 127.0.0.1, port: {}, username: guest, password: guest, vhost: /}}\n\
             transport: {{plugin: transport, default: PikaTransport}}\n\
             storage:\n  plugin: storage\n  zocalo.recipe_directory: {here}/recipes\n  \
             zocalo.dispatcher.logbook_location: {here}/logbook\n  zocalo.go.fallback_location: {here}/drop\n  \
             zocalo.default_transport: PikaTransport\n\
             logs: {{plugin: graylog, protocol: UDP, host: 127.0.0.1, port: {}}}\n\
             traces: traces.yml\n\
             api: {{plugin: rabbitmqapi, base_url: 'http://127.0.0.1:{}/api', username: guest, password: guest}}\n\
             environments:\n  default: [rabbitmq, transport, storage, api]\n  watched: [rabbitmq, storage, logs, traces]\n",
            node.port,
            logs.local_addr().expect("is bound").port(),
            node.api_port,
        );
        std::fs::write(directory.path().join("site.yml"), site).expect("write");
        // The reference knows another form of it, and refuses this one in the configuration itself.
        let port = traces.local_addr().expect("is bound").port();
        let block = format!("{{plugin: opentelemetry, endpoint: 'http://127.0.0.1:{port}/v1/traces'}}\n");
        std::fs::write(directory.path().join("traces.yml"), block).expect("write");
        let url = format!("amqp://guest:guest@127.0.0.1:{}", node.port);
        let connection = lapin::Connection::connect(&url, Default::default()).await.expect("connect");
        let channel = connection.create_channel().await.expect("a channel");
        let text = |text: &str| AMQPValue::LongString(text.into());
        for name in QUEUES {
            let dead = format!("dlq.{name}");
            let durable = QueueDeclareOptions { durable: true, ..Default::default() };
            let mut arguments = FieldTable::default();
            arguments.insert("x-queue-type".into(), text("quorum"));
            channel.queue_declare(dead.as_str().into(), durable, arguments.clone()).await.expect("declare");
            arguments.insert("x-dead-letter-exchange".into(), text(""));
            arguments.insert("x-dead-letter-routing-key".into(), text(&dead));
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(5));
            channel.queue_declare(name.into(), durable, arguments).await.expect("declare");
        }
        for name in ["transient.status", "command"] {
            let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
            let declared = channel.exchange_declare(name.into(), ExchangeKind::Fanout, durable, Default::default());
            declared.await.expect("declare");
        }
        let options = Options::new(vec![Host { name: "127.0.0.1".to_owned(), port: node.port }]);
        let transport = Amqp::connect(options).await.expect("connect");
        Self { node, directory, channel, transport, logs, traces }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn recipe(&self, name: &str, recipe: &serde_json::Value) {
        std::fs::write(self.path("recipes").join(format!("{name}.json")), recipe.to_string()).expect("write");
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
            .stdout(Stdio::inherit())
            .kill_on_drop(true);
        command
    }

    /// One of our commands.
    pub fn ours(&self, arguments: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_zrecipe"), arguments)
    }

    /// One of the commands of the reference implementation.
    pub fn theirs(&self, name: &str, arguments: &[&str]) -> Command {
        self.command(program(name), arguments)
    }

    /// Waits until somebody takes messages from a queue.
    pub async fn served(&self, name: &str) {
        let consumers = async || {
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let declared =
                self.channel.queue_declare(name.into(), passive, Default::default()).await.expect("is there");
            declared.consumer_count()
        };
        eventually(&format!("a consumer of {name}"), async || consumers().await > 0).await;
    }

    pub async fn dead(&self, name: &str) -> Option<(Object, Vec<u8>)> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(format!("dlq.{name}").into(), options).await.expect("get")?;
        let headers = got.properties.headers().clone().unwrap_or_default();
        let reason = headers.inner().get("zrecipe-reason").map(|reason| match reason {
            AMQPValue::LongString(text) => text.to_string(),
            other => format!("{other:?}"),
        });
        let headers = reason.map(|reason| ("reason".to_owned(), Value::from(reason))).into_iter().collect();
        Some((headers, got.delivery.data.clone()))
    }
}

pub async fn ends(what: &str, child: &mut Child) {
    let status = within(what, child.wait()).await.expect("wait");
    assert!(status.success(), "{what}: {status}");
}

/// The next status of a service.
async fn status(statuses: &mut Deliveries, transport: &Amqp, class: &str, text: &str) -> Value {
    loop {
        let delivery = next(statuses).await;
        transport.settle(&delivery, accept(vec![])).await.expect("settle");
        let status = read_value(&delivery.body).expect("JSON");
        let is = |key: &str, wanted: &str| status.get(key).and_then(Value::as_str) == Some(wanted);
        if is("serviceclass", class) && is("statustext", text) {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_services_stand_beside_those_of_python() {
    let facility = Facility::new().await;
    let transport = &facility.transport;
    let mut statuses = subscribe(transport, topic("transient.status"), 50).await;
    let mut out = subscribe(transport, queue("out"), 10).await;
    let mut services = facility.ours(&["service", "-s", "Dispatcher", "-s", "Runner"]).spawn().expect("starts");
    for queue in ["processing_recipe", "runner.submission"] {
        facility.served(queue).await;
    }

    a_chain_alternates(&facility, &mut out).await;
    nothing_bad_is_lost(&facility, &mut out).await;

    // What they tell of themselves has the same form.
    let mut theirs = facility.theirs("zocalo.service", &["-s", "JSONLines"]).spawn().expect("starts");
    let expected = status(&mut statuses, transport, "JSONLines", "idle").await;
    let ours = status(&mut statuses, transport, "Runner", "idle").await;
    let expected = expected.as_object().expect("an object");
    for (key, value) in expected {
        let found = ours.get(key).unwrap_or_else(|| panic!("`{key}` is missing: {}", ours.to_json()));
        assert_eq!(found.describe(), value.describe(), "{key}");
    }
    assert_eq!(expected.len(), ours.as_object().map_or(0, Object::len), "{}", ours.to_json());
    assert_eq!(ours.get("status"), expected.get("status"));

    // Either side's tool stops the other side's services, and only those that are meant.
    ends("our shutdown", &mut facility.ours(&["shutdown", "-s", "JSONLines"]).spawn().expect("starts")).await;
    ends("a Python service", &mut theirs).await;
    ends("their shutdown", &mut facility.theirs("zocalo.shutdown", &["-s", "Runner"]).spawn().expect("starts")).await;
    status(&mut statuses, transport, "Runner", "shutdown").await;
    let still = status(&mut statuses, transport, "Dispatcher", "idle").await;
    let host = still.get("host").and_then(Value::as_str).expect("a host").to_owned();
    // Theirs gets the host wrong where this machine has no domain.
    ends("our shutdown", &mut facility.ours(&["shutdown", &host]).spawn().expect("starts")).await;
    ends("our services", &mut services).await;
    transport.close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_instances_than_a_connection_has_channels() {
    let facility = Facility::new().await;
    let mut command = facility.ours(&["service", "-s", "Dispatcher", "-n", "1100"]);
    let output = within("the end of zrecipe", command.stderr(Stdio::piped()).output()).await.expect("starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error: 1100 instances need 2200 channels, and a connection has 2047"), "{said}");
    assert!(said.contains("help: start several processes, with fewer `--instances` each"), "{said}");
}

/// Ten steps, dealt with by a Python service and by ours in turn, begun by the reference's own tool.
async fn a_chain_alternates(facility: &Facility, out: &mut Deliveries) {
    let mut recipe = serde_json::Map::new();
    for step in 1..=10 {
        let next = step + 1;
        let body = if step % 2 == 1 {
            json!({"queue": "py", "service": "Python", "output": next, "parameters": {"n": step}})
        } else {
            let commands = [format!("touch step-{step}")];
            json!({"queue": "runner.submission", "service": "Runner", "output": next,
                   "parameters": {"workingdir": "{where}", "commands": commands}})
        };
        recipe.insert(step.to_string(), body);
    }
    recipe.insert("11".to_owned(), json!({"queue": "out", "parameters": {"é": "{where}"}}));
    recipe.insert("start".to_owned(), json!([[1, {"begun": "中"}]]));
    facility.recipe("chain", &serde_json::Value::Object(recipe));
    let mut python = Python::start(facility.node.port, "serve", "py");
    assert_eq!(python.says().await, Value::from("ready"));
    let place = facility.path("work").display().to_string();
    let going = ["-n", "-r", "chain", "-s", &format!("where={place}"), "-s", "guid=chain-1"];
    ends("zocalo.go", &mut facility.theirs("zocalo.go", &going).spawn().expect("starts")).await;
    let last = next(out).await;
    let envelope = Envelope::read(&last.headers, &last.body).expect("a recipe message");
    let path: Vec<Value> = (1..=10).map(Value::from).collect();
    assert_eq!((envelope.path.as_slice(), envelope.id()), (path.as_slice(), Some("chain-1")));
    assert_eq!(envelope.payload, Value::from([("processed", true)]));
    assert_eq!(envelope.parameters().get("é"), Some(&Value::from(place.as_str())));
    for step in [2, 4, 6, 8, 10] {
        assert!(facility.path("work").join(format!("step-{step}")).exists(), "step {step}");
    }
    facility.transport.settle(&last, accept(vec![])).await.expect("settle");
    drop(python.child.stdin.take());
    python.ends().await;
    let month = std::fs::read_dir(facility.path("logbook")).expect("a logbook").next().expect("a month").expect("read");
    let entry = std::fs::read_to_string(month.path().join("ch/ain-1")).expect("an entry");
    for part in ["Incoming message header:", "Incoming message body:", "Parsed message body:", "Recipe object:"] {
        assert!(entry.contains(part), "{part}");
    }
}

/// Every request that the reference's dispatcher dies of, or loses: one dead letter each that says why, and the requests
/// around it are dispatched.
async fn nothing_bad_is_lost(facility: &Facility, out: &mut Deliveries) {
    facility.recipe("good", &json!({"1": {"queue": "out"}, "start": [[1, "{n}"]]}));
    facility.recipe("missing", &json!({"1": {"queue": "nosuch"}, "start": [[1, []]]}));
    facility.recipe("unresolved", &json!({"1": {"queue": "{qq}"}, "start": [[1, []]]}));
    facility.recipe("astray", &json!({"1": {"queue": "out", "exchange": "nosuch"}, "start": [[1, []]]}));
    facility.recipe("long", &json!({"1": {"queue": "q".repeat(300)}, "start": [[1, []]]}));
    facility.recipe("half", &json!({"1": {"queue": "errors"}, "2": {"queue": "nosuch"}, "start": [[1, []], [2, []]]}));
    let plain = |body: &str| (false, body.to_owned());
    let bad: Vec<((bool, String), &str)> = vec![
        (plain(r#"{"recipes": ["../../secret"]}"#), "../../secret"),
        (plain(r#"{"recipes": ["/abs/path"]}"#), "/abs/path"),
        (plain(r#"{"recipes": "good"}"#), "`recipes`"),
        (plain("{}"), "names no recipe"),
        (plain(r#"{"recipes": []}"#), "names no recipe"),
        (plain(r#"{"recipes": ["nosuch"]}"#), "there is no recipe `nosuch`"),
        (plain("[]"), "not an object"),
        (plain(r#""hello""#), "not an object"),
        (plain("null"), "the request is null"),
        (plain("5"), "not an object"),
        (plain("{broken"), "not valid JSON"),
        (plain(r#"{"recipes": ["good"], "parameters": [1]}"#), "`parameters`"),
        (plain(r#"{"recipes": ["good"], "parameters": {"guid": 123}}"#), "`guid`"),
        (plain(r#"{"recipes": ["good"], "parameters": {"guid": ["x"]}}"#), "`guid`"),
        (plain(r#"{"recipes": ["good"], "parameters": {"guid": "../../x"}}"#), "`guid`"),
        (plain(r#"{"recipes": ["missing"]}"#), "there is no queue `nosuch`"),
        (plain(r#"{"recipes": ["unresolved"]}"#), "qq"),
        (plain(r#"{"recipes": ["half"]}"#), "there is no queue `nosuch`"),
        (plain(r#"{"recipes": ["astray"]}"#), "there is no exchange `nosuch`"),
        (plain(r#"{"recipes": ["long"]}"#), "has 300 bytes"),
        ((true, "{}".to_owned()), "recipe"),
        ((true, "null".to_owned()), "recipe"),
        ((true, "[ ]".to_owned()), "not an object"),
        ((true, r#"{"recipe": {"1": {}}, "recipe-pointer": 99}"#.to_owned()), "99"),
        ((true, r#"{"recipe": {"1": {}}, "recipe-pointer": "abc"}"#.to_owned()), "recipe-pointer"),
        ((true, r#"{"recipe": {"1": {}}}"#.to_owned()), "recipe-pointer"),
    ];
    let request = |n: usize| format!(r#"{{"recipes": ["good"], "parameters": {{"n": "{n}"}}}}"#);
    let mut messages = Vec::new();
    for (n, ((is_recipe, body), _)) in bad.iter().enumerate() {
        let id = |kind: &str| message(&format!("{kind}-{n}"), queue("processing_recipe"));
        messages.push(Outgoing { body: request(n).into_bytes(), ..id("good") });
        let header = ("workflows-recipe".to_owned(), Value::Bool(true));
        let headers = is_recipe.then_some(header).into_iter().collect();
        messages.push(Outgoing { body: body.clone().into_bytes(), headers, ..id("bad") });
    }
    facility.transport.send(messages).await.expect("send");
    let mut good = Vec::new();
    for _ in &bad {
        let delivery = next(out).await;
        let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
        good.push(envelope.payload.as_str().and_then(|n| n.parse::<usize>().ok()).expect("a number"));
        facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
    }
    good.sort_unstable();
    assert_eq!(good, (0..bad.len()).collect::<Vec<_>>());
    let mut expected = bad.clone();
    while !expected.is_empty() {
        let mut letter = None;
        eventually("a dead letter", async || {
            letter = facility.dead("processing_recipe").await;
            letter.is_some()
        })
        .await;
        let (headers, body) = letter.expect("a letter");
        let body = String::from_utf8(body).expect("is text");
        let reason = headers.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_it = |((_, sent), why): &((bool, String), &str)| *sent == body && reason.contains(why);
        let same = |((_, sent), _): &((bool, String), &str)| *sent == body;
        let at = expected.iter().position(is_it).or_else(|| expected.iter().position(same));
        let at = at.unwrap_or_else(|| panic!("one too many: {body} ({reason})"));
        let (_, why) = expected.remove(at);
        assert!(reason.contains(why), "{body}: `{reason}` says nothing of `{why}`");
    }
    assert!(facility.dead("processing_recipe").await.is_none(), "each is one dead letter");
    let half = facility.transport.waiting("errors").await.expect("is there");
    assert_eq!(half.messages, 0, "a recipe of which one start leads nowhere is not begun");
}

/// The body of the next request to a collector, which is thanked.
fn collect(collector: &TcpListener) -> Vec<u8> {
    let (mut stream, _) = collector.accept().expect("somebody comes");
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).expect("reads");
        text.extend(&buffer[..read]);
        let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        if text.len() >= end + 4 + length.unwrap_or(0) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("answers");
            return text.split_off(end + 4);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_lines_and_traces_arrive() {
    let facility = Facility::new().await;
    facility.recipe("good", &json!({"1": {"queue": "out"}, "start": [[1, 1]]}));
    let mut service = facility.ours(&["service", "-s", "Dispatcher", "-e", "watched"]).spawn().expect("starts");
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = Value::from(format!("00-{trace}-b7ad6b7169203331-01"));
    let headers = Object::from_iter([("traceparent".to_owned(), parent.clone())]);
    let body = br#"{"recipes": ["good"], "parameters": {"guid": "a-guid", "ispyb_dcid": 527189}}"#.to_vec();
    let request = Outgoing { body, headers, ..message("request", queue("processing_recipe")) };
    facility.transport.send(vec![request]).await.expect("send");
    let mut out = subscribe(&facility.transport, queue("out"), 1).await;
    let delivery = next(&mut out).await;
    facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
    // The message is of the same trace, from another span.
    let carried = delivery.headers.get("traceparent").expect("a context").clone();
    assert!(carried.as_str().is_some_and(|carried| carried.starts_with(&format!("00-{trace}-"))));
    assert_ne!(carried, parent);
    ends("our shutdown", &mut facility.ours(&["shutdown", "-s", "Dispatcher"]).spawn().expect("starts")).await;
    let traces = facility.traces.try_clone().expect("a socket");
    let spans = within("the spans", tokio::task::spawn_blocking(move || collect(&traces))).await.expect("collects");
    ends("our service", &mut service).await;
    let has = |text: &[u8]| spans.windows(text.len()).any(|window| window == text);
    for text in
        ["transport.subscribe", "transport.send", "service.name", "Dispatcher", "processing_recipe", "out", "dcid"]
    {
        assert!(has(text.as_bytes()), "{text}");
    }
    let bytes: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&trace[at * 2..at * 2 + 2], 16).expect("hex")).collect();
    assert!(has(&bytes), "the trace goes on");
    // Each line about the request says which recipe it is about.
    facility.logs.set_nonblocking(true).expect("can be set");
    let (mut buffer, mut lines) = ([0; 2_000], Vec::new());
    while let Ok(length) = facility.logs.recv(&mut buffer) {
        lines.push(read_value(&buffer[..length]).expect("JSON"));
    }
    let text = |line: &Value, key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let about: Vec<&Value> = lines.iter().filter(|line| text(line, "_message_id") == "request").collect();
    assert!(!about.is_empty());
    for line in about {
        assert_eq!((text(line, "_recipe_ID"), text(line, "_service")), ("a-guid".into(), "Dispatcher".into()));
        // As the Python services name what dashboards look for.
        assert_eq!((text(line, "_trace_id").as_str(), text(line, "_span_id").len()), (trace, 16));
        assert_eq!(text(line, "_workflows_serviceclass"), "Dispatcher");
        assert_eq!(text(line, "_workflows_service"), "Dispatcher");
        assert!(line.get("_workflows_status").and_then(Value::as_i64).is_some(), "{}", line.to_json());
        assert!(text(line, "_facility").starts_with("zrecipe_runtime."), "{}", line.to_json());
    }
}

/// What a command of ours or theirs prints.
async fn prints(command: &mut Command, code: i32) -> String {
    let output = within("a command", command.stdout(Stdio::piped()).output()).await.expect("runs");
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).expect("is text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_go_through_the_tools_of_either_side() {
    let facility = Facility::new().await;
    let transport = &facility.transport;
    let body = r#"{"é": [123456789012345678901234567890, NaN], "n": 1}"#.as_bytes().to_vec();
    let headers = || Object::from_iter([("own".to_owned(), Value::from("é"))]);
    let sent = || Outgoing { body: body.clone(), headers: headers(), ..message("m", queue("py")) };
    let mut py = subscribe(transport, queue("py"), 1).await;

    // Our dead letter, their purge, our way back.
    transport.send(vec![sent()]).await.expect("send");
    let delivery = next(&mut py).await;
    transport.settle(&delivery, reject("no such file")).await.expect("settle");
    let theirs = facility.path("theirs").display().to_string();
    let said = prints(&mut facility.theirs("zocalo.dlq_purge", &["--location", &theirs, "py"]), 0).await;
    assert!(said.contains("Found 1 DLQ messages in dlq.py"), "{said}");
    prints(&mut facility.ours(&["dlq", "reinject", "-r", &theirs]), 0).await;
    let delivery = next(&mut py).await;
    assert_eq!(read_value(&delivery.body), read_value(&body));
    assert_eq!(delivery.headers.get("own"), Some(&Value::from("é")));
    assert_eq!(delivery.headers.get("dlq-reinjected"), Some(&Value::from("True")));

    // The broker's dead letter, our purge, their way back.
    transport.settle(&delivery, accept(vec![])).await.expect("settle");
    drop(py);
    let options = BasicPublishOptions::default();
    let published = facility.channel.basic_publish("".into(), "py".into(), options, &body, Default::default());
    published.await.expect("publish");
    eventually("a message to refuse", async || {
        let got = facility.channel.basic_get("py".into(), BasicGetOptions::default()).await.expect("get");
        let Some(got) = got else { return false };
        let refuse = BasicNackOptions { requeue: false, ..Default::default() };
        facility.channel.basic_nack(got.delivery_tag, refuse).await.expect("nack");
        true
    })
    .await;
    // The broker counts its messages now and then.
    let check = async || facility.ours(&["dlq", "check"]).output().await.expect("runs").status.code();
    eventually("a dead letter that is counted", async || check().await == Some(1)).await;
    let listed = prints(&mut facility.ours(&["dlq", "list", "--json"]), 0).await;
    let listed = read_value(listed.as_bytes()).expect("JSON");
    let reason = listed.as_array().and_then(|groups| groups.first()?.get("reason"));
    assert_eq!(reason, Some(&Value::from("rejected")), "{}", listed.to_json());
    let ours = facility.path("ours").display().to_string();
    let paths = prints(&mut facility.ours(&["dlq", "purge", "py", "--location", &ours]), 0).await;
    let paths: Vec<&str> = paths.lines().collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    prints(&mut facility.theirs("zocalo.dlq_reinject", &["-r", paths[0]]), 0).await;
    let mut py = subscribe(transport, queue("py"), 1).await;
    let delivery = next(&mut py).await;
    assert_eq!(read_value(&delivery.body), read_value(&body));
    assert!(!Path::new(paths[0]).exists());
    transport.settle(&delivery, accept(vec![])).await.expect("settle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_dispatcher_starts_our_runner_whose_job_reports_by_our_wrapper() {
    let facility = Facility::new().await;
    let mut out = subscribe(&facility.transport, queue("out"), 10).await;
    let program = env!("CARGO_BIN_EXE_zrecipe");
    let wrap = [program, "wrap", "--wrap", "Job", "--recipewrapper", "$RECIPEWRAP", "--", "sh", "job.sh"];
    let channels = json!({"starting": 2, "updates": 2, "success": 2, "completed": 2});
    facility.recipe(
        "job",
        &json!({
            "1": {"service": "Runner", "queue": "runner.submission", "output": channels,
                  "parameters": {"workingdir": "{where}", "recipewrapper": "rw.json", "commands": [wrap]}},
            "2": {"queue": "out"},
            "start": [[1, []]]
        }),
    );
    let said = r#"echo '{"channel": "updates", "payload": "中"}' >> "$ZRECIPE_RESULTS""#;
    std::fs::write(facility.path("work/job.sh"), said).expect("write");
    let mut dispatcher = facility.theirs("zocalo.service", &["-s", "Dispatcher"]).spawn().expect("starts");
    let mut runner = facility.ours(&["service", "-s", "Runner"]).spawn().expect("starts");
    let place = format!("where={}", facility.path("work").display());
    ends("zrecipe go", &mut facility.ours(&["go", "-n", "-r", "job", "-s", &place]).spawn().expect("starts")).await;
    let mut found = Vec::new();
    for _ in 0..4 {
        let delivery = next(&mut out).await;
        let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
        found.push(envelope.payload);
        facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
    }
    let expected = ["Starting processing", "中", "Finished processing", "Finished processing"];
    assert_eq!(found, expected.map(Value::from));
    // Their wrapper takes the file that our Runner has written.
    let mut theirs = facility.theirs("zocalo.wrap", &["--wrap", "dummy", "--recipewrapper", "rw.json"]);
    let mut theirs = theirs.spawn().expect("starts");
    let delivery = next(&mut out).await;
    let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
    assert_eq!(envelope.payload, Value::from("Starting processing"));
    facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
    theirs.kill().await.expect("it is ours");
    let mut shutdown = facility.ours(&["shutdown", "-s", "Dispatcher", "-s", "Runner"]);
    ends("our shutdown", &mut shutdown.spawn().expect("starts")).await;
    ends("their dispatcher", &mut dispatcher).await;
    ends("our runner", &mut runner).await;
}
