//! The reference implementation at the other end: what either side sends, the other one reads.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use zrecipe::message::Envelope;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::Transport;
use zrecipe::value::{Object, Value};

use crate::contract::{accept, next, queue, reject, subscribe, within};
use crate::stage::Rabbit;

/// What is hard to carry, as Python writes it: integers of any size, what is no JSON, what is not ASCII, and an order of keys.
const PAYLOAD: &str = r#"{"z": 123456789012345678901234567890, "a": [NaN, -Infinity, 0.1, 1e+300, null, true],
    "é": "中 😀 \"quoted\" \n"}"#;
const RECIPE: &str = r#"{"1": {"queue": "q", "service": "Ping", "parameters": {"é": [1, 2.5]}, "output": {"result": 2}},
    "2": {"queue": "out"}, "start": [[1, PAYLOAD]]}"#;

fn recipe() -> Value {
    read_value(RECIPE.replace("PAYLOAD", PAYLOAD).as_bytes()).expect("JSON")
}

/// A program of the environment with the reference implementation; `ZRECIPE_TEST_PYTHON` names another environment.
pub fn program(name: &str) -> PathBuf {
    let ours = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("python");
    let environment = std::env::var_os("ZRECIPE_TEST_PYTHON").map_or_else(ours, PathBuf::from);
    let path = environment.join("bin").join(name);
    assert!(path.exists(), "{} is missing: `tests/interop/setup` makes it", path.display());
    path
}

/// Where our own Python is.
pub fn directory_of_scripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

/// A Python process that plays a role of `python.py`.
pub struct Python {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Python {
    /// `broker` is a port of RabbitMQ, or `stomp:PORT:PREFIX`.
    pub fn start(broker: impl ToString, role: &str, place: &str) -> Self {
        Self::run("python.py", &[&broker.to_string(), role, place])
    }

    /// A program of the tests that takes no arguments.
    pub fn script(name: &str) -> Self {
        Self::run(name, &[])
    }

    fn run(name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program("python"))
            .arg(directory_of_scripts().join(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python starts");
        let stdout = child.stdout.take().expect("its output");
        Self { child, lines: BufReader::new(stdout).lines() }
    }

    pub async fn says(&mut self) -> Value {
        let line = within("a line from Python", self.lines.next_line()).await.expect("output");
        read_value(line.expect("Python has not failed").as_bytes()).expect("JSON")
    }

    pub async fn ends(mut self) {
        let status = within("the end of Python", self.child.wait()).await.expect("wait");
        assert!(status.success(), "Python has failed");
    }
}

pub async fn messages_are_the_same(stage: &Rabbit, transport: &dyn Transport) {
    let environment = Object::from_iter([("ID".to_owned(), Value::from("an-id"))]);
    let ours = Envelope::start(recipe(), environment, "request").expect("starts");

    // From us to Python and on to us.
    let mut results = subscribe(transport, queue("out"), 1).await;
    let mut python = Python::start(stage.node.port, "receive", "q");
    assert_eq!(python.says().await, Value::from("ready"));
    transport.send(ours.clone()).await.expect("send");
    let read = python.says().await;
    let payload = read_value(PAYLOAD.as_bytes()).expect("JSON");
    for (part, expected) in [
        ("payload", payload.clone()),
        ("id", Value::from("an-id")),
        ("pointer", Value::from(1)),
        ("path", Value::Array(Vec::new())),
        ("recipe", recipe()),
    ] {
        assert_eq!(read.get(part), Some(&expected), "{part}");
    }
    let got = next(&mut results).await;
    let envelope = Envelope::read(&got.headers, &got.body).expect("a recipe message");
    assert_eq!((envelope.pointer, envelope.path.as_slice()), (2, [Value::from(1)].as_slice()));
    assert_eq!((envelope.id(), &envelope.payload), (Some("an-id"), &Value::from([("back", payload)])));
    transport.settle(&got, accept(vec![])).await.expect("settle");
    python.ends().await;

    // What Python would have sent.
    let mut deliveries = subscribe(transport, queue("q"), 1).await;
    let mut python = Python::start(stage.node.port, "send", "q");
    let asked = Value::from([("recipe", recipe()), ("id", Value::from("an-id"))]).to_json();
    let mut stdin = python.child.stdin.take().expect("its input");
    stdin.write_all(asked.as_bytes()).await.expect("write");
    drop(stdin);
    let got = next(&mut deliveries).await;
    python.ends().await;
    assert_eq!(got.headers, ours[0].headers);
    let body = |body: &[u8]| read_value(body).expect("JSON");
    assert_eq!(body(&got.body), body(&ours[0].body));

    // Their tools read our dead letters.
    transport.settle(&got, reject("bad: é")).await.expect("settle");
    let mut python = Python::start(stage.node.port, "dead", "dlq.q");
    assert_eq!(python.says().await, Value::from("ready"));
    let letter = python.says().await;
    for (part, expected) in [("queue", "q"), ("exchange", ""), ("reason", "rejected"), ("why", "bad: é")] {
        assert_eq!(letter.get(part), Some(&Value::from(expected)), "{part}");
    }
    assert!(letter.get("year").and_then(Value::as_i64) > Some(2000));
    python.ends().await;
}
