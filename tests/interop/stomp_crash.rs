//! The broker is killed at each point of what is said to it: nothing is lost, and what is twice in a queue has one id. And
//! what ActiveMQ itself says of messages that come again.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use zrecipe::address::{Host, Login, Password};
use zrecipe::transport::stomp::frame::Frame;
use zrecipe::transport::stomp::{Options, Stomp};
use zrecipe::transport::{Outgoing, Transport as _};

use crate::activemq::{Node, Setup};
use crate::bare::{Bare, Halt, Point};
use crate::contract::{accept, message, next, nothing_else_comes, queue, subscribe, within};
use crate::wait::eventually;

/// What is under way when the broker is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// A message is sent, without a transaction.
    Send,
    /// Three messages are sent, in one.
    SendAll,
    /// A message is settled with two others, in one; the same process goes on.
    Settle,
    /// The same; another process goes on.
    HandOver,
}

const DEEDS: [Deed; 4] = [Deed::Send, Deed::SendAll, Deed::Settle, Deed::HandOver];

impl Deed {
    /// The points at which the broker is killed, and how often each message is in its queue then.
    #[rustfmt::skip]
    fn points(self) -> Vec<(Point, RangeInclusive<usize>)> {
        let of = |command| [Point::Before(command), Point::After(command), Point::Answered(command)];
        let last = match self {
            Self::Send => "SEND",
            _ => "COMMIT",
        };
        let before: &[&'static str] = match self {
            Self::Send => &[],
            Self::SendAll => &["BEGIN", "SEND"],
            Self::Settle | Self::HandOver => &["BEGIN", "SEND", "ACK"],
        };
        let mut points: Vec<_> = before.iter().flat_map(|command| of(command)).map(|point| (point, 1..=1)).collect();
        // Whoever has no answer sends once more, with the same ids. What was acknowledged with it does not come again.
        let (unknown, done) = match self {
            Self::Send | Self::SendAll => (1..=2, 2..=2),
            Self::Settle | Self::HandOver => (1..=1, 1..=1),
        };
        points.extend([
            (Point::Before(last), 1..=1),
            (Point::After(last), unknown),
            (Point::Answered(last), done),
            (Point::Told(last), 1..=1),
        ]);
        points
    }

    /// The ids of the messages that are in queue `out` at the end.
    fn ids(self) -> &'static [&'static str] {
        match self {
            Self::Send => &["a"],
            Self::SendAll => &["a", "b", "c"],
            Self::Settle | Self::HandOver => &["a", "b"],
        }
    }

    fn messages(self) -> Vec<Outgoing> {
        self.ids().iter().map(|id| message(id, queue("out"))).collect()
    }
}

fn options(port: u16, prefix: &str) -> Options {
    Options {
        // The way to the broker passes on frames only.
        heartbeat: Duration::ZERO,
        login: Login::Password { user: "guest".to_owned(), password: Password::new("guest") },
        prefix: prefix.to_owned(),
        ..Options::new(vec![Host { name: "127.0.0.1".to_owned(), port }])
    }
}

/// One deed and one point, in a namespace of its own.
struct Lane {
    deed: Deed,
    point: Point,
    expected: RangeInclusive<usize>,
    prefix: String,
    halt: Halt,
    work: JoinHandle<()>,
}

impl Lane {
    async fn begin(node: &Node, deed: Deed, point: Point, expected: RangeInclusive<usize>, number: usize) -> Self {
        let prefix = format!("lane{number}");
        let halt = Halt::start(node.port, point).await;
        if matches!(deed, Deed::Settle | Deed::HandOver) {
            let sender = Stomp::connect(options(node.port, &prefix)).await.expect("connect");
            sender.send(vec![message("first", queue("in"))]).await.expect("send");
            sender.close().await.expect("close");
        }
        let transport = Arc::new(Stomp::connect(options(halt.port, &prefix)).await.expect("connect"));
        let work = tokio::spawn(async move {
            match deed {
                Deed::Send | Deed::SendAll => transport.send(deed.messages()).await.expect("it is sent in the end"),
                Deed::Settle | Deed::HandOver => settle_all(&transport, deed).await,
            }
        });
        Self { deed, point, expected, prefix, halt, work }
    }

    fn name(&self) -> String {
        format!("{:?}, {:?}", self.deed, self.point)
    }

    /// Whether all is in its place once the broker is there again.
    async fn check(self, port: u16) {
        let name = self.name();
        let Self { deed, expected, prefix, work, .. } = self;
        let transport = Arc::new(Stomp::connect(options(port, &prefix)).await.expect("connect"));
        let mut another = None;
        match deed {
            Deed::Send | Deed::SendAll => within(&name, work).await.expect("it is sent"),
            Deed::Settle => another = Some(work),
            Deed::HandOver => {
                work.abort();
                let transport = transport.clone();
                another = Some(tokio::spawn(async move { settle_all(&transport, deed).await }));
            }
        }
        let content = async |queue: &str| {
            let stored = transport.browse(queue, 100).await.expect("browses").expect("can be browsed");
            let mut counts = BTreeMap::<String, usize>::new();
            stored.into_iter().for_each(|stored| *counts.entry(stored.id).or_default() += 1);
            counts
        };
        let mut found = BTreeMap::new();
        eventually(&format!("{name}: all outputs"), async || {
            found = content("out").await;
            found.len() == deed.ids().len() && content("in").await.is_empty()
        })
        .await;
        if let Some(another) = another {
            another.abort();
            let _ = another.await;
        }
        let ids: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(ids, deed.ids(), "{name}");
        assert!(found.values().all(|count| expected.contains(count)), "{name}: {found:?} and not {expected:?}");
        assert!(content("dlq.in").await.is_empty(), "{name}: no dead letters");
        // A consumer of ours is handed each once.
        let mut out = subscribe(&*transport, queue("out"), 1).await;
        let mut came = Vec::new();
        for _ in deed.ids() {
            let got = next(&mut out).await;
            transport.settle(&got, accept(vec![])).await.expect("settle");
            came.push(got.id);
        }
        came.sort();
        assert_eq!(came, deed.ids(), "{name}");
        nothing_else_comes(&*transport, queue("out"), &mut out).await;
        transport.close().await.expect("close");
    }
}

async fn settle_all(transport: &Stomp, deed: Deed) {
    let mut deliveries = subscribe(transport, queue("in"), 1).await;
    while let Some(got) = deliveries.next().await {
        // What is not settled comes again.
        let _ = transport.settle(&got, accept(deed.messages())).await;
    }
}

async fn nothing_is_lost_wherever_the_broker_dies(syncs: bool) {
    let mut node = Node::start(Setup { syncs, ..Setup::default() }).await;
    let mut lanes = Vec::new();
    for deed in DEEDS {
        for (point, expected) in deed.points() {
            lanes.push(Lane::begin(&node, deed, point, expected, lanes.len()).await);
        }
    }
    for lane in &lanes {
        lane.halt.reached().await;
    }
    node.restart().await;
    let rows = tokio::task::LocalSet::new();
    let check = |lane: Lane| (lane.name(), rows.spawn_local(lane.check(node.port)));
    let checks: Vec<_> = lanes.into_iter().map(check).collect();
    let mut failed = Vec::new();
    rows.await;
    for (name, check) in checks {
        // A panic is that of this row.
        if let Err(error) = check.await {
            failed.push(format!("{name}: {error}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_killed_anywhere_loses_nothing_with_synced_writes() {
    nothing_is_lost_wherever_the_broker_dies(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_killed_anywhere_loses_nothing_with_writes_that_are_not_synced() {
    nothing_is_lost_wherever_the_broker_dies(false).await;
}

/// What a lost consumer had comes again with a flag, in its order, however often; nothing counts that, and a broker that is
/// started again has forgotten the flag.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_flags_what_comes_again_and_does_not_count_it() {
    const DEATHS: usize = 8;
    let mut node = Node::start(Setup::default()).await;
    let mut sender = Bare::connect(node.port).await;
    let ids = ["first", "second", "third"];
    for id in ids {
        let frame = Frame::new("SEND").with("destination", "/queue/q").with("persistent", "true").with("own", id);
        sender.ask(frame).await.expect("is sent");
    }
    let mut headers = Vec::new();
    for death in 0..DEATHS {
        let mut consumer = Bare::connect(node.port).await;
        consumer.subscribe("/queue/q", 10).await;
        for id in ids {
            let got = consumer.message().await;
            assert_eq!(got.get("own"), Some(id), "its place");
            assert_eq!(got.get("redelivered"), (death > 0).then_some("true"), "death {death}");
            let mut names: Vec<_> = got.headers.into_iter().filter(|(name, _)| name != "ack").collect();
            names.sort();
            if death > 0 && id == "first" {
                headers.push(names);
            }
        }
    }
    // `ack`, `subscription` and `message-id` aside, one return looks like all others: there is no count.
    headers.dedup();
    assert_eq!(headers.len(), 1, "{headers:#?}");
    node.restart().await;
    let mut consumer = Bare::connect(node.port).await;
    consumer.subscribe("/queue/q", 10).await;
    for id in ids {
        let got = consumer.message().await;
        assert_eq!((got.get("own"), got.get("redelivered")), (Some(id), None));
    }
}

/// The broker takes a message again that has the ids of another; a consumer of ours is handed it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_detects_no_duplicates_and_we_do() {
    let node = Node::start(Setup::default()).await;
    let transport = Stomp::connect(options(node.port, "z")).await.expect("connect");
    for _ in 0..2 {
        // Another producer each time, and what is sent by the same one.
        let mut sender = Bare::connect(node.port).await;
        for _ in 0..2 {
            let frame = Frame::new("SEND").with("destination", "/queue/z.q").with("persistent", "true");
            sender.ask(frame.with("zrecipe-id", "same").with("message-id", "ID:same")).await.expect("is sent");
        }
    }
    let stored = transport.browse("q", 10).await.expect("browses").expect("can be browsed");
    assert_eq!(stored.len(), 4, "the broker has them all");
    let mut deliveries = subscribe(&transport, queue("q"), 1).await;
    let got = next(&mut deliveries).await;
    transport.settle(&got, accept(vec![])).await.expect("settle");
    nothing_else_comes(&transport, queue("q"), &mut deliveries).await;
    assert_eq!(*transport.duplicates().borrow(), 3);
    transport.close().await.expect("close");
}

/// A refused frame of a transaction is left out of it, and the rest is committed: what our transport is built against.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_commits_what_it_has_not_refused() {
    let node = Node::start(Setup::default()).await;
    let mut bare = Bare::connect(node.port).await;
    let of = |command: &str| Frame::new(command).with("transaction", "t");
    bare.ask(of("BEGIN")).await.expect("begins");
    let send = of("SEND").with("destination", "/queue/q").with("persistent", "true");
    bare.ask(send).await.expect("is sent");
    let refused = bare.ask(of("ACK").with("id", "nothing")).await;
    assert!(refused.is_err(), "{refused:?}");
    bare.ask(of("COMMIT")).await.expect("is committed");
    bare.subscribe("/queue/q", 1).await;
    bare.message().await;
}
