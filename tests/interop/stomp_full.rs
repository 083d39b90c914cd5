//! A store of ActiveMQ that is full: senders and services are held up, nothing is lost or counted, and whoever asks hears it.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use zrecipe::message::Envelope;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::stomp::{Options, Stomp};
use zrecipe::transport::{Connection, Error, Outgoing, Transport};
use zrecipe::value::{Object, Value};

use crate::activemq::Setup;
use crate::contract::{accept, message, next, nothing_else_comes, queue, subscribe, within};
use crate::outage::get;
use crate::port::Port;
use crate::services::ends;
use crate::stomp::{Facility, options};
use crate::wait::eventually;

/// A limit of the store that is soon reached, in MB.
const STORE: u32 = 8;
/// How many messages are forwarded on a broker whose memory holds ten of them.
const FORWARDED: usize = 130;
/// Where the messages are that fill the store.
const JUNK: &str = "junk";

/// Fills the store.
pub async fn fill(port: u16) {
    fill_by(port, JUNK).await;
}

/// Sends to a queue until the broker has no room; whoever does it is held up itself, so it has a connection of its own.
async fn fill_by(port: u16, name: &str) {
    let patience = Duration::from_secs(2);
    let transport = Stomp::connect(Options { patience, ..options(port) }).await.expect("connect");
    for n in 0..2_000 {
        match transport.send(vec![large(&format!("{JUNK}-{n}"), name)]).await {
            Ok(()) => {}
            Err(Error::Unconfirmed { .. } | Error::Refused { is_full: true, .. }) => return,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the broker is never full");
}

/// A message of 100 kB.
fn large(id: &str, name: &str) -> Outgoing {
    Outgoing { body: vec![b'x'; 100_000], ..message(id, queue(name)) }
}

/// Makes room again.
pub async fn empty(port: u16) {
    let transport = Stomp::connect(options(port)).await.expect("connect");
    transport.purge(JUNK).await.expect("purges");
    transport.close().await.expect("close");
}

/// A settlement that is held up is done once, whatever patience there is: the connection stays, and nothing is counted.
async fn is_settled_once(refuses: bool) {
    let facility = Facility::new(Setup { store: STORE, refuses, ..Setup::default() }).await;
    let port = facility.node.port;
    let sender = &facility.transport;
    sender.send(vec![message("first", queue("in"))]).await.expect("send");
    let patience = Duration::from_secs(1);
    let worker = Stomp::connect(Options { patience, ..options(port) }).await.expect("connect");
    let mut deliveries = subscribe(&worker, queue("in"), 1).await;
    let got = next(&mut deliveries).await;
    fill(port).await;
    let outputs = || vec![message("a", queue("out")), message("b", queue("out"))];
    for _ in 0..3 {
        let held_up = worker.settle(&got, accept(outputs())).await.expect_err("there is no room");
        match held_up {
            Error::Unconfirmed { .. } => {
                assert!(matches!(&*worker.connection().borrow(), Connection::Blocked { .. }));
            }
            Error::Refused { is_full, .. } => assert!(is_full && refuses),
            other => panic!("{other}"),
        }
    }
    empty(port).await;
    eventually("it is settled", async || worker.settle(&got, accept(outputs())).await.is_ok()).await;
    eventually("the connection is up", async || *worker.connection().borrow() == Connection::Up).await;
    let mut out = subscribe(sender, queue("out"), 1).await;
    for id in ["a", "b"] {
        let got = next(&mut out).await;
        assert_eq!((got.id.as_str(), got.deliveries), (id, 1));
        sender.settle(&got, accept(vec![])).await.expect("settle");
    }
    nothing_else_comes(sender, queue("out"), &mut out).await;
    nothing_else_comes(&worker, queue("in"), &mut deliveries).await;
    worker.close().await.expect("close");
    facility.transport.close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_that_waits_at_its_limit_holds_up_a_settlement() {
    is_settled_once(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_that_refuses_at_its_limit_holds_up_a_settlement() {
    is_settled_once(true).await;
}

/// A broker with little memory, and messages in `in` that do not fit into it.
async fn with_little_memory(flow_control: bool, refuses: bool) -> Facility {
    let facility = Facility::new(Setup { memory: 1, flow_control, refuses, ..Setup::default() }).await;
    for n in 0..FORWARDED {
        facility.transport.send(vec![large(&format!("in-{n}"), "in")]).await.expect("send");
    }
    facility
}

/// Settles all messages of `in`, each with an output of its size to `out`, which nobody reads. It calls `blocked` when the
/// broker has no room for an output.
async fn forwards_all(facility: &Facility, mut blocked: impl AsyncFnMut()) {
    let options = Options { patience: Duration::from_secs(1), ..options(facility.node.port) };
    let worker = Stomp::connect(options).await.expect("connect");
    let mut deliveries = subscribe(&worker, queue("in"), 100).await;
    for n in 0..FORWARDED {
        let got = next(&mut deliveries).await;
        assert_eq!((got.id.as_str(), got.deliveries), (format!("in-{n}").as_str(), 1));
        let output = || vec![large(&format!("out-{n}"), "out")];
        eventually("a settlement", async || match worker.settle(&got, accept(output())).await {
            Ok(()) => true,
            Err(Error::Unconfirmed { .. } | Error::Refused { is_full: true, .. }) => {
                blocked().await;
                false
            }
            Err(error) => panic!("{error}"),
        })
        .await;
    }
    nothing_else_comes(&worker, queue("in"), &mut deliveries).await;
    drop(deliveries);
    worker.close().await.expect("close");
    let mut out = subscribe(&facility.transport, queue("out"), 10).await;
    let mut expected = (0..FORWARDED).map(|n| format!("out-{n}")).peekable();
    while expected.peek().is_some() {
        let got = next(&mut out).await;
        if !got.id.starts_with(JUNK) {
            assert_eq!(Some(&got.id), expected.next().as_ref());
        }
        facility.transport.settle(&got, accept(vec![])).await.expect("settle");
    }
    nothing_else_comes(&facility.transport, queue("out"), &mut out).await;
}

/// Waiting messages fill the memory, and nobody can send any more; its limit is raised while the broker runs.
async fn memory_is_full(refuses: bool) {
    let facility = with_little_memory(true, refuses).await;
    fill_by(facility.node.port, "out").await;
    let mut is_raised = false;
    forwards_all(&facility, async || {
        if !is_raised {
            let (text, code) = facility.says(&["doctor"]).await;
            assert!(code == 1 && text.contains("% of the memory (1 MB) are used"), "{text}");
            assert!(text.contains("`producerFlowControl=\"false\"`") && text.contains("`MemoryLimit`"), "{text}");
            facility.node.limit("MemoryLimit", 64 << 20).await;
            is_raised = true;
        }
    })
    .await;
    assert!(is_raised, "the memory is never full");
    facility.transport.close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_that_waits_for_memory_goes_on_when_its_limit_is_raised() {
    memory_is_full(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_that_refuses_for_want_of_memory_goes_on_when_its_limit_is_raised() {
    memory_is_full(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_without_flow_control_never_waits_for_memory() {
    let facility = with_little_memory(false, false).await;
    forwards_all(&facility, async || panic!("the broker waits for memory")).await;
    facility.transport.close().await.expect("close");
}

/// What comes back to a broker without room is handed out when there is room, and counted once; nobody waits for the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_without_room_counts_a_return_later() {
    let facility = Facility::new(Setup { store: STORE, refuses: true, ..Setup::default() }).await;
    let port = facility.node.port;
    facility.transport.send(vec![message("first", queue("in"))]).await.expect("send");
    let victim = Stomp::connect(options(port)).await.expect("connect");
    let mut deliveries = subscribe(&victim, queue("in"), 1).await;
    next(&mut deliveries).await;
    fill(port).await;
    drop((deliveries, victim));
    let heir = Stomp::connect(options(port)).await.expect("connect");
    let mut deliveries = subscribe(&heir, queue("in"), 1).await;
    let mut connection = heir.connection();
    let blocked = connection.wait_for(|now| matches!(now, Connection::Blocked { .. }));
    within("the obstacle", blocked).await.expect("lives");
    let quitter = Stomp::connect(options(port)).await.expect("connect");
    within("an end", quitter.close()).await.expect("close");
    empty(port).await;
    let got = next(&mut deliveries).await;
    assert_eq!((got.id.as_str(), got.deliveries), ("first", 2));
    heir.settle(&got, accept(vec![])).await.expect("settle");
    within("the end", heir.close()).await.expect("close");
    facility.transport.close().await.expect("close");
}

/// Requests for a command each; what they lead to goes to queue `mark`.
fn requests(count: usize, side: &str) -> Vec<Outgoing> {
    let request = |n: usize| {
        let recipe = json!({
            "1": {"queue": "runner.submission", "output": 2,
                  "parameters": {"workingdir": "/tmp", "commands": [["sh", "-c", format!("echo {n} >>{side}")]]}},
            "2": {"queue": "mark"},
            "start": [[1, n]],
        });
        let recipe = read_value(recipe.to_string().as_bytes()).expect("JSON");
        let environment = Object::from_iter([("ID".to_owned(), Value::from(format!("full-{n}")))]);
        Envelope::start(recipe, environment, &format!("full-{n}")).expect("starts").remove(0)
    };
    (0..count).map(request).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_of_activemq_is_told_and_loses_nothing() {
    const COUNT: usize = 12;
    let facility = Facility::new(Setup { store: STORE, ..Setup::default() }).await;
    let port = facility.node.port;
    let side = facility.path("side.txt").display().to_string();
    facility.transport.send(requests(COUNT, &side)).await.expect("send");
    fill(port).await;
    let http = Port::reserved();
    let address = format!("127.0.0.1:{}", http.number());
    let mut service = facility.ours(&["service", "-s", "Runner", "--http", &address]);
    let mut service = service.stderr(std::process::Stdio::piped()).spawn().expect("starts");
    let mut log = BufReader::new(service.stderr.take().expect("its log")).lines();
    let mut said = async |what: &str| loop {
        let line = within(what, log.next_line()).await.expect("text").expect("it lives");
        if line.contains(what) {
            return line;
        }
    };
    let line = said("blocked by ").await;
    assert!(line.contains("its memory or its store may be full; waiting"), "{line}");
    let (status, text) = get(&address, "/readyz").await;
    assert!(status == "503" && text.contains("blocked by ") && text.contains("store may be full"), "{status} {text}");
    // Commands that send are told, and keep what they have.
    let (text, code) = facility.says(&["doctor"]).await;
    assert!(code == 1 && text.contains("% of the store (8 MB) are used"), "{text}");
    assert!(text.contains("its memory or its store may be full") && text.contains("systemUsage"), "{text}");
    let (text, code) = facility.says(&["status", "--wait", "1"]).await;
    assert!(code == 2 && text.contains("services: unknown") && text.contains("store may be full"), "{code}: {text}");
    std::fs::write(facility.path("r.json"), r#"{"1": {"queue": "mark"}, "start": [[1, 1]]}"#).expect("writes");
    let recipe = facility.path("r.json").display().to_string();
    let (text, code) = facility.says(&["go", "-n", "-f", &recipe]).await;
    assert!(
        code == 0 && text.contains("store may be full") && text.contains("send it with `zrecipe pickup`"),
        "{text}"
    );
    let done = std::fs::read_to_string(&side).unwrap_or_default().lines().count();
    assert!(done <= 1, "no further work is begun: {done}");

    empty(port).await;
    said("is no longer blocked").await;
    let waiting = async |queue: &str| facility.transport.waiting(queue).await.map_or(0, |found| found.messages);
    eventually("all get through", async || waiting("mark").await == COUNT as u64).await;
    let ready = async || get(&address, "/readyz").await.0 == "200";
    eventually("it is ready again", ready).await;
    let text = std::fs::read_to_string(&side).expect("is there");
    let mut lines: Vec<usize> = text.lines().filter_map(|line| line.parse().ok()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..COUNT).collect::<Vec<_>>(), "every command once");
    assert_eq!((waiting("dlq.runner.submission").await, waiting("runner.submission").await), (0, 0));
    let (text, code) = facility.says(&["pickup"]).await;
    assert!(code == 0 && text.contains("sent "), "{text}");
    ends("zrecipe shutdown", &mut facility.ours(&["shutdown", "-s", "Runner"]).spawn().expect("starts")).await;
    ends("the service", &mut service).await;
    facility.transport.close().await.expect("close");
}
