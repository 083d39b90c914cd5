//! A service while its broker is gone, and when it does not answer: what it tells, and how it ends.

use std::process::Stdio;
use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use zrecipe::address::{Host, Login, Password};
use zrecipe::transport::amqp::{Amqp, Options};
use zrecipe::transport::{Error, Outgoing, Settlement, Subscription, Transport as _, Verdict};

use crate::contract::{Fate, accept, heard_again, message, next, queue, subscribe, topic, within};
use crate::rabbitmq::Node;
use crate::wait::{eventually, eventually_ok};

/// A process of services, and what it logs.
struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Running {
    fn start(home: &TempDir, arguments: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_zrecipe"))
            .args(arguments.split(' '))
            .current_dir(home.path())
            .env("ZOCALO_CONFIG", home.path().join("site.yml"))
            .env("ZRECIPE_STATE", home.path().join("state"))
            .env_remove("ZOCALO_DEFAULT_ENV")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        let log = BufReader::new(child.stderr.take().expect("its log"));
        Self { child, log }
    }

    /// The next line of the log in which this stands.
    async fn says(&mut self, what: &str) -> String {
        let mut line = String::new();
        within(what, async {
            while !line.contains(what) {
                line.clear();
                assert!(self.log.read_line(&mut line).await.expect("text") > 0, "it has ended and not said `{what}`");
            }
        })
        .await;
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("a process");
        kill_process(pid, signal).expect("it is ours");
    }

    /// What it says until it ends, and its exit code.
    async fn ends(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        within("the end of the log", self.log.read_to_string(&mut rest)).await.expect("text");
        (rest, within("the end", self.child.wait()).await.expect("waits").code())
    }
}

/// What an address says over HTTP: the status, and the body.
pub async fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("asks");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).expect("a status").to_owned(), body.to_owned())
}

/// Waits until an address says this over HTTP. What is logged may be logged before it is told here.
async fn tells(address: &str, path: &str, status: &str, parts: &[&str]) -> String {
    eventually_ok(path, async || {
        let (found, text) = get(address, path).await;
        if found == status && parts.iter().all(|part| text.contains(part)) {
            Ok(text)
        } else {
            Err(found + " " + &text)
        }
    })
    .await
}

async fn prepare(node: &Node) -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    let site = format!(
        "version: 1\nenvironments: {{default: [rabbitmq]}}\n\
         rabbitmq: {{plugin: pika, host: 127.0.0.1, port: {}, username: guest, password: guest, vhost: /}}\n",
        node.port
    );
    std::fs::write(home.path().join("site.yml"), site).expect("writes");
    let url = format!("amqp://guest:guest@127.0.0.1:{}", node.port);
    let connection = lapin::Connection::connect(&url, Default::default()).await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    for queue in ["processing_recipe", "dlq.processing_recipe", "there"] {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        channel.queue_declare(queue.into(), durable, arguments).await.expect("declares");
    }
    for topic in ["transient.status", "command", "renewed"] {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let declared = channel.exchange_declare(topic.into(), ExchangeKind::Fanout, durable, Default::default());
        declared.await.expect("declares");
    }
    home
}

/// Adds a user with these permissions to configure, write and read; the name is the password.
fn add_user<'u>(node: &Node, user: &'u str, [configure, write, read]: [&str; 3]) -> &'u str {
    node.control(&["add_user", user, user]);
    node.control(&["set_permissions", user, configure, write, read]);
    user
}

/// Writes the site once more, for this user.
fn write_site_of(home: &TempDir, user: &str) {
    let site = std::fs::read_to_string(home.path().join("site.yml")).expect("reads");
    let site = site.replace("username: guest, password: guest", &format!("username: {user}, password: {user}"));
    std::fs::write(home.path().join(format!("{user}.yml")), site).expect("writes");
}

/// What cannot even be put among the dead letters is not kept back: it comes again, and waits for somebody who may.
async fn nothing_is_kept_back(node: &Node, home: &TempDir) {
    write_site_of(home, add_user(node, "mute", [".*", "^(transient.status|command)$", ".*"]));
    let transport = connect(node).await;
    let request = Outgoing { body: b"{}".to_vec(), ..message("bad", queue("processing_recipe")) };
    transport.send(vec![request]).await.expect("sends");
    let mut service = Running::start(home, "service -s Dispatcher --site mute.yml");
    for _ in 0..2 {
        let line = service.says("not settled, so it is redelivered").await;
        assert!(line.contains("this user may not do it"), "{line}");
    }
    service.signal(Signal::TERM);
    assert_eq!(service.ends().await.1, Some(0));
    // The broker takes it back in its own time.
    let waiting = async || transport.waiting("processing_recipe").await.expect("is there").messages;
    eventually("its return", async || waiting().await == 1).await;
    transport.close().await.expect("closes");
}

/// What cannot be told is said once, and disturbs nothing else: each bad request is one dead letter.
async fn a_status_that_nobody_takes_costs_nothing(node: &Node, home: &TempDir) {
    write_site_of(home, add_user(node, "shy", ["^amq.gen.*", "^(amq.gen.*|amq.default)$", ".*"]));
    let mut service = Running::start(home, "service -s Dispatcher --site shy.yml");
    let line = service.says("the status cannot be broadcast").await;
    assert!(line.contains("this user may not do it") && line.contains("permission to write to it"), "{line}");
    let transport = connect(node).await;
    let letters = async || transport.waiting("dlq.processing_recipe").await.expect("is there").messages;
    for round in 0..3 {
        let refused = node.refusals("shy");
        let requests = (0..20).map(|n| Outgoing {
            body: br#"{"recipes": ["nowhere"]}"#.to_vec(),
            ..message(&format!("missing-{round}-{n}"), queue("processing_recipe"))
        });
        transport.send(requests.collect()).await.expect("sends");
        eventually("dead letters", async || letters().await >= 20 * (round + 1)).await;
        // Its status has changed with them, and the broker has not taken it.
        eventually("another refusal", async || node.refusals("shy") > refused).await;
    }
    service.signal(Signal::TERM);
    let (said, code) = service.ends().await;
    assert!(!said.contains("the status cannot be broadcast") && code == Some(0), "{code:?}: {said}");
    assert_eq!(letters().await, 60);
    transport.purge("dlq.processing_recipe").await.expect("purges");
    transport.close().await.expect("closes");
}

/// A broker that is out of memory reads nothing any more: everybody is told so, and nobody waits for ever.
async fn a_broker_without_memory_is_told(node: &Node, home: &TempDir) {
    let mut service = Running::start(home, "service -s Dispatcher --http 127.0.0.1:0");
    let line = service.says("metrics and health at http://").await;
    let address = line.rsplit("http://").next().expect("an address").to_owned();
    tells(&address, "/readyz", "200", &[]).await;
    tells(&address, "/metrics", "200", &["zrecipe_blocked 0\n"]).await;
    node.control(&["set_vm_memory_high_watermark", "0.000001"]);
    let line = service.says("blocked by ").await;
    assert!(line.contains("low on memory"), "{line}");
    tells(&address, "/readyz", "503", &["blocked by ", "low on memory"]).await;
    tells(&address, "/metrics", "200", &["zrecipe_connected 1\n", "zrecipe_blocked 1\n"]).await;

    std::fs::create_dir(home.path().join("kept")).expect("a directory");
    let site = std::fs::read_to_string(home.path().join("site.yml")).expect("reads");
    let site = site.replace("default: [rabbitmq]", "default: [rabbitmq, places]")
        + "places: {plugin: storage, zocalo.go.fallback_location: kept}\n";
    std::fs::write(home.path().join("places.yml"), site).expect("writes");
    std::fs::write(home.path().join("r.json"), r#"{"1": {"queue": "there"}, "start": [[1, 1]]}"#).expect("writes");
    let go = Running::start(home, "go -n -f r.json --dry-run --site places.yml");
    let (said, code) = go.ends().await;
    let is_told = |said: &str| said.contains("waiting: ") && said.matches("low on memory").count() == 2;
    assert!(is_told(&said) && said.contains("would save the request") && code == Some(0), "{code:?}: {said}");
    let (said, code) = Running::start(home, "go -n -f r.json --site places.yml").ends().await;
    assert!(is_told(&said) && said.contains("; send it with `zrecipe pickup`") && code == Some(0), "{code:?}: {said}");
    let (said, code) = Running::start(home, "pickup --site places.yml").ends().await;
    assert!(is_told(&said) && code == Some(2), "{code:?}: {said}");

    // No service can tell how it is, and none can be told anything.
    let (said, code) = Running::start(home, "status -w 1").ends().await;
    assert!(
        said.contains("low on memory") && said.contains("services: unknown") && code == Some(2),
        "{code:?}: {said}"
    );
    let (said, code) = Running::start(home, "shutdown -s Dispatcher").ends().await;
    assert!(is_told(&said) && said.contains("no request was sent") && code == Some(2), "{code:?}: {said}");

    service.signal(Signal::TERM);
    let (said, code) = service.ends().await;
    assert!(code == Some(0) && said.contains("did not answer within 2 s"), "{code:?}: {said}");
    node.control(&["set_vm_memory_high_watermark", "absolute", "512MiB"]);
    let transport = connect(node).await;
    let waiting = async |queue: &str| transport.waiting(queue).await.expect("is there").messages;
    assert_eq!((waiting("processing_recipe").await, waiting("there").await), (0, 0), "nothing was sent");
    let (said, code) = Running::start(home, "pickup --site places.yml").ends().await;
    assert!(said.contains("sent ") && code == Some(0), "{code:?}: {said}");
    assert_eq!(transport.purge("processing_recipe").await.expect("purges"), 1);
    transport.close().await.expect("closes");
}

/// What is tried again has its turns where nothing may be declared to wait in, and where it may, the rights that the
/// page about RabbitMQ names are enough.
async fn what_is_tried_again_needs_few_rights(node: &Node) {
    let admin = connect(node).await;
    for (user, configure) in [("bare", r"^amq\.gen.*$"), ("enough", r"^(amq\.gen.*|zrecipe\.delay\..*|dlq\..*)$")] {
        let write = r"^(amq\.default|amq\.gen.*|zrecipe\.delay\..*|transient\.status)$";
        let read = r"^(there|command|amq\.gen.*|zrecipe\.delay\..*)$";
        add_user(node, user, [configure, write, read]);
        let login = Login::Password { user: user.to_owned(), password: Password::new(user) };
        let transport = Amqp::connect(Options { login, ..options(node) }).await.expect("connects");
        let mut deliveries = subscribe(&transport, queue("there"), 1).await;
        transport.send(vec![message(user, queue("there"))]).await.expect("sends");
        let first = next(&mut deliveries).await;
        let retry = Verdict::Retry { after: Duration::from_millis(300), reason: "not now".to_owned() };
        transport.settle(&first, Settlement::of(retry)).await.expect("settles");
        let second = next(&mut deliveries).await;
        assert_eq!((second.id.as_str(), second.deliveries), (user, 2));
        transport.settle(&second, accept(Vec::new())).await.expect("settles");
        transport.subscribe(Subscription { source: topic("command"), prefetch: 1 }).await.expect("listens");
        transport.send(vec![message("status", topic("transient.status"))]).await.expect("tells");
        let late = Outgoing { delay: Some(Duration::from_millis(100)), ..message("late", queue("there")) };
        let sent = transport.send(vec![late]).await;
        assert_eq!(sent.is_ok(), user == "enough", "{sent:?}");
        if let Err(error) = sent {
            assert!(error.to_string().contains(r"configure, write and read `zrecipe\.delay\..*`"), "{error}");
        }
        transport.close().await.expect("closes");
    }
    // Python's tool removes what it does not know; the next message finds its way all the same.
    let url = format!("amqp://guest:guest@127.0.0.1:{}", node.port);
    let connection = lapin::Connection::connect(&url, Default::default()).await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    let late = |id: &str| Outgoing { delay: Some(Duration::from_millis(100)), ..message(id, queue("there")) };
    admin.send(vec![late("one")]).await.expect("sends");
    channel.exchange_delete("zrecipe.delay.100".into(), Default::default()).await.expect("deletes");
    let refused = admin.send(vec![late("two")]).await;
    assert!(
        matches!(&refused, Err(Error::Refused { reason, .. }) if reason.contains("no longer exists")),
        "{refused:?}"
    );
    admin.send(vec![late("two")]).await.expect("is sent by a new place");
    let all = async || admin.waiting("there").await.expect("is there").messages;
    eventually("three messages", async || all().await == 3).await;
    admin.purge("there").await.expect("purges");
    admin.close().await.expect("closes");
}

/// Deletes the exchange of a topic, and makes it again.
async fn renew(node: &Node, name: &str) {
    let url = format!("amqp://guest:guest@127.0.0.1:{}", node.port);
    let connection = lapin::Connection::connect(&url, Default::default()).await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    channel.exchange_delete(name.into(), Default::default()).await.expect("deletes");
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declared = channel.exchange_declare(name.into(), ExchangeKind::Fanout, options, Default::default());
    declared.await.expect("declares");
}

fn options(node: &Node) -> Options {
    Options::new(vec![Host { name: "127.0.0.1".to_owned(), port: node.port }])
}

async fn connect(node: &Node) -> Amqp {
    Amqp::connect(options(node)).await.expect("connects")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_deleted_and_is_there_again_is_heard_again() {
    let node = Node::start("topic", None).await;
    let _home = prepare(&node).await;
    let listener = connect(&node).await;
    let mut heard = subscribe(&listener, topic("renewed"), 1).await;
    renew(&node, "renewed").await;
    heard_again(&listener, "renewed", &mut heard).await;
    listener.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_rights_are_enough() {
    let node = Node::start("rights", None).await;
    let home = prepare(&node).await;
    what_is_tried_again_needs_few_rights(&node).await;
    a_status_that_nobody_takes_costs_nothing(&node, &home).await;
    nothing_is_kept_back(&node, &home).await;
    // It has waited for somebody who may.
    let mut service = Running::start(&home, "service -s Dispatcher");
    service.says("names no recipe").await;
    service.signal(Signal::TERM);
    assert_eq!(service.ends().await.1, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_has_no_memory_left_is_told() {
    let node = Node::start("memory", None).await;
    let home = prepare(&node).await;
    a_broker_without_memory_is_told(&node, &home).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_and_nobody_waits_for_a_broker_that_is_silent() {
    let mut node = Node::start("outage", None).await;
    let home = prepare(&node).await;
    let mut service = Running::start(&home, "service -s Dispatcher --http 127.0.0.1:0");
    let line = service.says("metrics and health at http://").await;
    let address = line.rsplit("http://").next().expect("an address").to_owned();
    let place = format!("127.0.0.1:{}", node.port);
    tells(&address, "/readyz", "200", &[]).await;

    node.meet(Fate::Dies);
    let line = service.says("lost ").await;
    assert!(line.contains(&place) && line.contains("; reconnecting"), "{line}");
    let text = tells(&address, "/readyz", "503", &[]).await;
    assert!(text.starts_with(&format!("not connected to {place}")), "{text}");
    tells(&address, "/metrics", "200", &["zrecipe_connected 0\n"]).await;
    node.restart().await;
    service.says(&format!("connected again to {place}")).await;
    tells(&address, "/readyz", "200", &[]).await;
    // A broker that is starting may take a connection and drop it once more.
    eventually_ok("another connection is counted", async || {
        let numbers = get(&address, "/metrics").await.1;
        let again = numbers.split("\nzrecipe_reconnections_total ").nth(1).and_then(|rest| rest.lines().next());
        let is_counted = again.and_then(|again| again.parse::<f64>().ok()).is_some_and(|again| again >= 1.0);
        if is_counted && numbers.contains("zrecipe_connected 1\n") { Ok(()) } else { Err(numbers) }
    })
    .await;

    // Two starts, one of them to a queue that is not there: neither is sent.
    let transport = connect(&node).await;
    let request = r#"{"recipes": [], "custom_recipe": {"1": {"queue": "there"}, "2": {"queue": "nowhere"}, "start": [[1, 1], [2, 2]]}}"#;
    let request = Outgoing { body: request.into(), ..message("two", queue("processing_recipe")) };
    transport.send(vec![request]).await.expect("sends");
    let line = service.says("there is no queue `nowhere`").await;
    assert!(line.contains("outcome=") && line.contains("sent=0"), "{line}");
    let waiting = async |queue: &str| transport.waiting(queue).await.expect("is there").messages;
    eventually("its dead letter", async || waiting("dlq.processing_recipe").await == 1).await;
    assert_eq!(waiting("there").await, 0);
    transport.close().await.expect("closes");

    node.meet(Fate::Freezes);
    service.signal(Signal::TERM);
    service.says("leaving ").await;
    service.signal(Signal::TERM);
    let (said, code) = service.ends().await;
    node.meet(Fate::Thaws);
    assert!(
        said.contains("stopped immediately") && !said.contains("did not answer") && code == Some(2),
        "{code:?}: {said}"
    );
}
