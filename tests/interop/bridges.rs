//! Messages that are carried from broker to broker: embedded, ActiveMQ and RabbitMQ, with `zrecipe service -s Bridge`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use lapin::options::{BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ExchangeKind};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use zrecipe::address::Host;
use zrecipe::transport::amqp::{self, Amqp};
use zrecipe::transport::embedded::{self, Broker};
use zrecipe::transport::stomp::Stomp;
use zrecipe::transport::{Delivery, Destination, Outgoing, Transport};
use zrecipe::value::{Object, Value};

use crate::contract::{accept, message, next, nothing_else_comes, queue, subscribe, topic, within};
use crate::services::ends;
use crate::wait::eventually;
use crate::{activemq, rabbitmq, stomp};

/// Three brokers, and a site that knows two of them.
struct Ground {
    activemq: activemq::Node,
    rabbitmq: rabbitmq::Node,
    channel: lapin::Channel,
    directory: TempDir,
}

/// Pairs of the chain embedded, ActiveMQ, RabbitMQ, embedded.
const CHAIN: &str = r#"
[[bridge.pairs]]
from = { state = "one", queue = "begin" }
to = { environment = "old", queue = "first" }
[[bridge.pairs]]
from = { environment = "old", queue = "first" }
to = { environment = "old", queue = "/queue/foreign.second" }
[[bridge.pairs]]
from = { environment = "old", queue = "/queue/foreign.second" }
to = { environment = "new", queue = "third" }
[[bridge.pairs]]
from = { environment = "new", queue = "third" }
to = { environment = "old", queue = "fourth" }
[[bridge.pairs]]
from = { environment = "old", queue = "fourth" }
to = { state = "two", queue = "end" }
"#;

impl Ground {
    async fn new(pairs: &str) -> Self {
        let activemq = activemq::Node::start(activemq::Setup::default()).await;
        let rabbitmq = rabbitmq::Node::start("bridges", None).await;
        let directory = tempfile::tempdir().expect("a directory");
        let site = format!(
            "version: 1\n\
             activemq: {{plugin: stomp, host: 127.0.0.1, port: {}, username: guest, password: guest, prefix: zocalo}}\n\
             rabbitmq: {{plugin: pika, host: 127.0.0.1, port: {}, username: guest, password: guest, vhost: /}}\n\
             environments:\n  old: [activemq]\n  new: [rabbitmq]\n  default: old\n",
            activemq.port, rabbitmq.port
        );
        let path = directory.path().join("site.yml");
        std::fs::write(&path, site).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("is set");
        std::fs::write(directory.path().join("zrecipe.toml"), pairs).expect("write");
        for folder in ["one", "two"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        let url = format!("amqp://guest:guest@127.0.0.1:{}", rabbitmq.port);
        let connection = lapin::Connection::connect(&url, Default::default()).await.expect("connect");
        let channel = connection.create_channel().await.expect("a channel");
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        for name in ["third", "dlq.third", "letters"] {
            let mut arguments = FieldTable::default();
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            channel.queue_declare(name.into(), durable, arguments).await.expect("declare");
        }
        Self { activemq, rabbitmq, channel, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn bridge(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
        command
            .args(["service", "-s", "Bridge", "--restart"])
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("ZOCALO_CONFIG", self.path("site.yml"))
            .env("ZRECIPE_STATE", self.path("state"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command.spawn().expect("starts")
    }

    async fn embedded(&self, name: &str) -> (Broker, Arc<dyn Transport>) {
        let file = self.path(name).join("zrecipe.db");
        let broker = Broker::open(&file, embedded::Options::default()).await.expect("opens");
        let space = broker.namespace("zocalo");
        (broker, Arc::new(space))
    }

    async fn old(&self) -> Stomp {
        Stomp::connect(stomp::options(self.activemq.port)).await.expect("connect")
    }

    async fn new_broker(&self) -> Amqp {
        let hosts = vec![Host { name: "127.0.0.1".to_owned(), port: self.rabbitmq.port }];
        Amqp::connect(amqp::Options::new(hosts)).await.expect("connect")
    }
}

/// A message that is hard to carry: bytes that are no text, and headers of all types.
fn hard(n: usize) -> Outgoing {
    let headers = Object::from_iter([
        ("n".to_owned(), Value::from(i64::try_from(n).expect("small"))),
        ("workflows-recipe".to_owned(), Value::from("True")),
        ("x-mine".to_owned(), Value::from("é\n:\\")),
        ("list".to_owned(), Value::from(vec![1, 2])),
        ("destination".to_owned(), Value::from("/queue/elsewhere")),
    ]);
    let body = [b"\0\xff{\n".as_slice(), n.to_string().as_bytes()].concat();
    Outgoing { headers, body, ..message(&format!("m{n}"), queue("begin")) }
}

fn is_as_sent(got: &Delivery, sent: &Outgoing) {
    assert_eq!((&got.id, &got.body), (&sent.id, &sent.body));
    for (name, value) in &sent.headers {
        assert_eq!(got.headers.get(name), Some(value), "header {name}");
    }
}

/// How many requests and how many deaths; the long form by `ZRECIPE_BRIDGE_CAMPAIGN=MESSAGES,KILLS`.
fn size() -> (usize, usize) {
    let text = std::env::var("ZRECIPE_BRIDGE_CAMPAIGN").unwrap_or_else(|_| "300,6".to_owned());
    let (messages, kills) = text.split_once(',').expect("MESSAGES,KILLS");
    (messages.parse().expect("a number"), kills.parse().expect("a number"))
}

/// Over three brokers and back, while the bridge and the brokers are killed: nothing is lost, doubled or overtaken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridges_that_are_killed_lose_double_and_reorder_nothing() {
    let (messages, kills) = size();
    let mut ground = Ground::new(CHAIN).await;
    let (_one, begin) = ground.embedded("one").await;
    let (_two, end) = ground.embedded("two").await;
    begin.prepare(&["begin".to_owned()]).await.expect("prepare");
    let mut bridge = ground.bridge();
    let mut arrived = subscribe(&*end, queue("end"), 50).await;
    let (mut order, mut ids) = (Vec::new(), BTreeSet::new());
    for round in 0..=kills {
        let (from, to) = (messages * round / (kills + 1), messages * (round + 1) / (kills + 1));
        begin.send((from..to).map(hard).collect()).await.expect("send");
        let wanted = from + (to - from) / 2;
        while ids.len() < wanted {
            let got = next(&mut arrived).await;
            end.settle(&got, accept(vec![])).await.expect("settle");
            let n: usize = got.id[1..].parse().expect("a number");
            is_as_sent(&got, &hard(n));
            assert!(ids.insert(n), "{} came twice", got.id);
            order.push(n);
        }
        if round == kills {
            break;
        }
        // Whoever dies leaves messages on their way.
        match round % 3 {
            0 | 1 => {
                bridge.kill().await.expect("it is killed");
                bridge = ground.bridge();
            }
            _ if round % 2 == 0 => ground.activemq.restart().await,
            _ => ground.rabbitmq.restart().await,
        }
    }
    while ids.len() < messages {
        let got = next(&mut arrived).await;
        end.settle(&got, accept(vec![])).await.expect("settle");
        let n: usize = got.id[1..].parse().expect("a number");
        assert!(ids.insert(n), "{} came twice", got.id);
        order.push(n);
    }
    nothing_else_comes(&*end, queue("end"), &mut arrived).await;
    let overtaken = order.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert_eq!(overtaken, 0, "{order:?}");
    let old = ground.old().await;
    for name in ["first", "/queue/foreign.second", "fourth"] {
        eventually(name, async || old.waiting(name).await.is_ok_and(|waiting| waiting.messages == 0)).await;
    }
    terminate(&bridge);
    ends("the bridge", &mut bridge).await;
}

fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())).expect("runs");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("is told");
}

/// Topics in both directions do not go round; dead letters keep their deaths; what others send has ids and headers of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridges_carry_topics_letters_and_what_others_send() {
    let pairs = r#"
[[bridge.pairs]]
from = { environment = "old", topic = "news" }
to = { environment = "new", topic = "news" }
[[bridge.pairs]]
from = { environment = "new", topic = "news" }
to = { environment = "old", topic = "news" }
[[bridge.pairs]]
from = { environment = "old", topic = "news" }
to = { environment = "old", queue = "recorded" }
[[bridge.pairs]]
from = { environment = "new", queue = "third" }
to = { environment = "old", queue = "/queue/foreign" }
[[bridge.pairs]]
from = { environment = "old", queue = "dlq.bad" }
to = { environment = "new", queue = "dlq.third" }
[[bridge.pairs]]
from = { environment = "old", queue = "early" }
to = { environment = "new", queue = "late" }
"#;
    let ground = Ground::new(pairs).await;
    let fanout = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declared = ground.channel.exchange_declare("news".into(), ExchangeKind::Fanout, fanout, Default::default());
    declared.await.expect("declare");
    let (old, new) = (ground.old().await, ground.new_broker().await);
    // The queue `late` is not there: its messages wait, and others go on.
    old.send(vec![message("early", queue("early"))]).await.expect("send");
    let mut heard_old = subscribe(&old, topic("news"), 20).await;
    let mut heard_new = subscribe(&new, topic("news"), 20).await;
    let mut recorded = subscribe(&old, queue("recorded"), 20).await;
    let mut bridge = ground.bridge();
    // From the moment on when the bridge listens.
    let mut n = 0;
    let crossed = loop {
        n += 1;
        old.send(vec![message(&format!("ping {n}"), topic("news"))]).await.expect("send");
        let wait = tokio::time::timeout(std::time::Duration::from_secs(1), heard_new.next());
        if let Ok(got) = wait.await {
            break got.expect("a message");
        }
    };
    assert!(crossed.id.starts_with("ping"));
    new.send(vec![message("answer", topic("news"))]).await.expect("send");
    let mut count = BTreeMap::new();
    loop {
        let got = next(&mut heard_old).await;
        old.settle(&got, accept(vec![])).await.expect("settle");
        *count.entry(got.id.clone()).or_insert(0) += 1;
        if got.id == "answer" {
            break;
        }
    }
    assert!(count.values().all(|count| *count == 1), "went round: {count:?}");
    // What is carried within a broker is recorded once.
    let got = next(&mut recorded).await;
    assert!(got.id.starts_with("ping"), "{}", got.id);
    // What others publish without an id.
    let mut headers = FieldTable::default();
    headers.insert("n".into(), AMQPValue::LongInt(5));
    let properties = BasicProperties::default().with_headers(headers).with_content_type("image/tiff".into());
    let published =
        ground.channel.basic_publish("".into(), "third".into(), BasicPublishOptions::default(), b"\xff", properties);
    published.await.expect("publish").await.expect("confirm");
    let mut foreign = subscribe(&old, Destination::Queue("/queue/foreign".to_owned()), 1).await;
    let got = next(&mut foreign).await;
    assert_eq!((got.body.as_slice(), got.headers.get("n")), (b"\xff".as_slice(), Some(&Value::from(5))));
    assert_eq!(got.properties.get("content_type"), Some(&Value::from("image/tiff")));
    old.settle(&got, accept(vec![])).await.expect("settle");
    // A dead letter.
    old.send(vec![message("bad", queue("bad"))]).await.expect("send");
    let mut bad = subscribe(&old, queue("bad"), 1).await;
    let got = next(&mut bad).await;
    old.settle(&got, crate::contract::reject("no such sample")).await.expect("settle");
    let mut letters = subscribe(&new, queue("dlq.third"), 1).await;
    let letter = next(&mut letters).await;
    assert_eq!(crate::contract::deaths(&letter.headers), crate::contract::death("rejected", "bad"));
    assert_eq!(letter.headers.get("zrecipe-reason"), Some(&Value::from("no such sample")));
    // And once the missing queue is there, its messages come.
    assert_eq!(old.waiting("early").await.expect("is known").messages, 1);
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    ground.channel.queue_declare("late".into(), durable, arguments).await.expect("declare");
    let mut late = subscribe(&new, queue("late"), 1).await;
    let got = next(&mut late).await;
    assert_eq!(got.id, "early");
    terminate(&bridge);
    within("the end of the bridge", bridge.wait()).await.expect("wait");
}
