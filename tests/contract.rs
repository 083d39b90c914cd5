//! What every transport promises: one table of scenarios, played on a stage for each kind of broker.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::task::LocalSet;
use tokio::time::timeout;
use zrecipe::transport::{
    Deliveries, Delivery, Destination, Error, Outgoing, Settlement, Subscription, Transport, Verdict,
};
use zrecipe::value::{Number, Object, Value};

pub use crate::wait::within;
use crate::wait::{eventually, eventually_ok};

// Messages

pub fn queue(name: &str) -> Destination {
    Destination::Queue(name.to_owned())
}

pub fn topic(name: &str) -> Destination {
    Destination::Topic(name.to_owned())
}

pub fn message(id: &str, destination: Destination) -> Outgoing {
    Outgoing::new(id.to_owned(), destination, Object::new(), id.as_bytes().to_vec())
}

pub fn ending(verdict: Verdict) -> Settlement {
    Settlement { verdict, outputs: Vec::new(), note: None }
}

pub fn accept(outputs: Vec<Outgoing>) -> Settlement {
    Settlement { verdict: Verdict::Accept, outputs, note: None }
}

pub fn retry(after: Duration) -> Settlement {
    ending(Verdict::Retry { after, reason: "not now".to_owned() })
}

pub fn reject(reason: &str) -> Settlement {
    ending(Verdict::DeadLetter { reason: reason.to_owned() })
}

pub async fn subscribe(transport: &dyn Transport, source: Destination, prefetch: u16) -> Deliveries {
    transport.subscribe(Subscription { source, prefetch }).await.expect("subscribe")
}

pub async fn next(deliveries: &mut Deliveries) -> Delivery {
    within("a delivery", deliveries.next()).await.expect("the subscription lives")
}

/// Nothing else comes from a queue or topic: the next delivery is a message that is sent now, after all others.
pub async fn nothing_else_comes(transport: &dyn Transport, source: Destination, deliveries: &mut Deliveries) {
    let mark = format!("mark {}", uuid::Uuid::new_v4());
    transport.send(vec![message(&mark, source)]).await.expect("send");
    let got = next(deliveries).await;
    assert_eq!(got.id, mark, "nothing was to come, and this came: {got:?}");
    transport.settle(&got, accept(vec![])).await.expect("settle");
}

/// Where a dead letter died, newest first: reason, queue, count.
pub fn deaths(headers: &Object) -> Vec<(String, String, i64)> {
    let text = |entry: &Value, key| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let deaths = headers.get("x-death").and_then(Value::as_array).unwrap_or_default();
    deaths
        .iter()
        .map(|entry| {
            let count = entry.get("count").and_then(Value::as_i64).unwrap_or_default();
            (text(entry, "reason"), text(entry, "queue"), count)
        })
        .collect()
}

pub fn death(reason: &str, queue: &str) -> Vec<(String, String, i64)> {
    vec![(reason.to_owned(), queue.to_owned(), 1)]
}

fn zrecipe_reason(delivery: &Delivery) -> Option<&str> {
    delivery.headers.get("zrecipe-reason").and_then(Value::as_str)
}

// ---------------------------------------------------------------------------------------------------------------
// The contract

/// What brokers of one kind do and others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// Several messages are sent, and a delivery is settled, as a whole or not at all.
    Whole,
    /// Headers keep their order, and numbers their spelling.
    AsWritten,
    /// What goes back unsettled has not been delivered: it takes its place again and is not counted.
    FreeRelease,
    /// It is elsewhere: hosts, logins, connections that are lost, queues and topics that others have set up.
    Remote,
}

/// Who tries to connect, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The right user, where nobody listens.
    Nowhere,
    /// The right user, of two hosts one of which does not listen.
    Somewhere,
    /// One with a wrong password, which is `wr0ng`.
    Stranger,
    /// The right user, at a virtual host that there is not.
    Lost,
}

/// A broker of one kind, and what can be done to it. What only a [`Ability::Remote`] one has to know is told to no other.
#[async_trait]
pub trait Stage: Send + Sync {
    /// Whether it does this.
    fn can(&self, ability: Ability) -> bool;
    /// An empty broker with a delivery limit of 2, the queues `q`, `in`, `out` and their dead letters, and the topics
    /// `t`, `u` and `nobody listens`.
    async fn fresh(&self) -> Arc<dyn Transport>;
    /// Connects in a certain way.
    async fn connect(&self, _caller: Caller) -> Result<Arc<dyn Transport>, Error> {
        unimplemented!("it is not remote")
    }
    /// Lets connections live, or ends them all and refuses new ones.
    async fn reachable(&self, _reachable: bool) {
        unimplemented!("it is not remote")
    }
    /// Waits until somebody has tried in vain to connect, twice from now on.
    async fn is_tried(&self) {
        unimplemented!("it is not remote")
    }
    /// Messages that have gone to the broker.
    fn published(&self) -> u64 {
        unimplemented!("it is not remote")
    }
    /// Nothing gets through any more on the connections that there are.
    async fn hang(&self) {
        unimplemented!("it is not remote")
    }
    /// Makes a queue that takes one message and no more.
    async fn declare_small(&self, _queue: &str) {
        unimplemented!("it is not remote")
    }
    /// Deletes a queue.
    async fn delete(&self, _queue: &str) {
        unimplemented!("it is not remote")
    }
    /// Makes a queue on another node.
    async fn declare_elsewhere(&self, _queue: &str) {
        unimplemented!("it is not remote")
    }
    /// What happens to that node.
    async fn happens_elsewhere(&self, _fate: Fate) {
        unimplemented!("it is not remote")
    }
}

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It does nothing any more.
    Freezes,
    /// It goes on.
    Thaws,
    /// It is no more.
    Dies,
}

type Play = Pin<Box<dyn Future<Output = ()>>>;

/// A scenario: what it shows, what the broker must be able to do for it, and how it goes.
type Scenario = (&'static str, Option<Ability>, fn(Arc<dyn Stage>, Arc<dyn Transport>) -> Play);

const CONTRACT: &[Scenario] = &[
    ("a message comes as it was sent", None, |s, t| Box::pin(round_trip(s, t))),
    ("headers come as they were written", Some(Ability::AsWritten), |_, t| Box::pin(headers_as_written(t))),
    ("a large body comes whole", None, |_, t| Box::pin(large(t))),
    ("messages come in order", None, |_, t| Box::pin(order(t))),
    ("what is accepted is gone", None, |_, t| Box::pin(accepted(t))),
    ("what waits can be counted and thrown away", None, |s, t| Box::pin(purged(s, t))),
    ("what is rejected is a dead letter", None, |_, t| Box::pin(rejected(t))),
    ("a retry comes again, later and counted", None, |_, t| Box::pin(retried(t))),
    ("what goes back uncounted comes again as often as it must", None, |_, t| Box::pin(requeued(t))),
    ("a release comes again", None, |s, t| Box::pin(released(s, t))),
    ("after too many retries it is a dead letter", None, |_, t| Box::pin(limited(t))),
    ("prefetch bounds what is unsettled", None, |_, t| Box::pin(prefetch(t))),
    ("two subscriptions share a queue", None, |_, t| Box::pin(shared(t))),
    ("settling sends the outputs", None, |_, t| Box::pin(outputs(t))),
    ("what cannot be sent is not settled", None, |_, t| Box::pin(outputs_missing(t))),
    ("settling fails whole", Some(Ability::Whole), |_, t| Box::pin(settled_whole(t))),
    ("a missing queue is an error", None, |_, t| Box::pin(missing(t))),
    ("sending fails whole", Some(Ability::Whole), |_, t| Box::pin(sent_whole(t))),
    ("whoever sends wrongly takes nobody with him", None, |_, t| Box::pin(crowd(t))),
    ("a delayed message comes when it is due", None, |_, t| Box::pin(delayed(t))),
    ("everyone hears a broadcast once", None, |_, t| Box::pin(broadcast(t))),
    ("the same id is taken in once", None, |_, t| Box::pin(duplicate(t))),
    ("the same id that waits behind the first is not handed out", None, |_, t| Box::pin(duplicate_at_hand(t))),
    ("what expires is a dead letter", None, |_, t| Box::pin(expired(t))),
    ("settling twice does nothing", None, |_, t| Box::pin(twice(t))),
    ("dropping deliveries releases them", None, |s, t| Box::pin(dropped(s, t))),
    ("closing ends subscriptions", None, |_, t| Box::pin(closed(t))),
    ("nothing accepted comes again after closing", Some(Ability::Remote), |s, t| Box::pin(closed_settled(s, t))),
    ("subscriptions outlive a connection", Some(Ability::Remote), |s, t| Box::pin(reconnected(s, t))),
    ("a message waits for the next connection", Some(Ability::Remote), |s, t| Box::pin(sent_later(s, t))),
    ("a connection that hangs is given up", Some(Ability::Remote), |s, t| Box::pin(hung(s, t))),
    ("every host is tried", Some(Ability::Remote), |s, t| Box::pin(somewhere(s, t))),
    ("a refused connection is an error", Some(Ability::Remote), |s, _| Box::pin(refused(s))),
    ("a subscription needs its queue or topic", Some(Ability::Remote), |_, t| Box::pin(subscribed_to_nothing(t))),
    ("whoever waits at a deleted queue is told", Some(Ability::Remote), |s, t| Box::pin(deleted(s, t))),
    ("a dead letter finds its queue", Some(Ability::Remote), |s, t| Box::pin(unprepared(s, t))),
    ("a full queue refuses", Some(Ability::Remote), |s, t| Box::pin(full(s, t))),
    ("headers that do not fit are refused", Some(Ability::Remote), |_, t| Box::pin(large_headers(t))),
    ("an exchange that there is not is an error", Some(Ability::Remote), |_, t| Box::pin(no_exchange(t))),
    ("a queue that does not answer keeps no other waiting", Some(Ability::Remote), |s, t| Box::pin(silent(s, t))),
    ("whoever dies at a queue that does not answer loses nothing", Some(Ability::Remote), |s, t| {
        Box::pin(silent_to_the_end(s, t))
    }),
    ("a queue without leader refuses", Some(Ability::Remote), |s, t| Box::pin(headless(s, t))),
];

/// Plays all scenarios that the broker is able to; every failing one is named.
pub async fn check_contract(stage: Arc<dyn Stage>) {
    let mut failed = Vec::new();
    for (name, needs, scenario) in CONTRACT {
        if needs.is_some_and(|ability| !stage.can(ability)) {
            continue;
        }
        let transport = stage.fresh().await;
        // A panic is that of this scenario.
        let playing = LocalSet::new();
        let scenario = playing.spawn_local(scenario(Arc::clone(&stage), Arc::clone(&transport)));
        playing.await;
        if let Err(error) = scenario.await {
            failed.push(format!("{name}: {error}"));
        }
        if stage.can(Ability::Remote) {
            stage.reachable(true).await;
        }
        let _ = within("the end of the transport", transport.close()).await;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn purged(_: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    // On some brokers a queue is there from its first use on.
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(["a", "b", "c"].map(|id| message(id, queue("q"))).to_vec()).await.expect("send");
    let held = next(&mut deliveries).await;
    let waiting = async || transport.waiting("q").await.expect("it is there").messages;
    eventually("two that wait", async || waiting().await == 2).await;
    assert_eq!(transport.purge("q").await.expect("purge"), 2);
    transport.settle(&held, accept(vec![])).await.expect("what is held stays");
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
    assert_eq!(waiting().await, 0);
    for missing in [transport.waiting("nosuch").await.map(|_| 0), transport.purge("nosuch").await] {
        assert!(matches!(&missing, Err(Error::NoSuchQueue(name)) if name == "nosuch"), "{missing:?}");
    }
}

async fn round_trip(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let mut sent = message("m", queue("q"));
    sent.headers = Object::from_iter([
        ("ant".to_owned(), Value::from(vec![Value::Null, Value::from(true), Value::from(-7), Value::from([("a", 1)])])),
        ("bee".to_owned(), Value::from("é \"quoted\" \n line")),
        ("number".to_owned(), Value::from(0.1)),
        ("workflows-recipe".to_owned(), Value::from(true)),
    ]);
    sent.body = vec![0, 255, b'{', 10];
    let before = SystemTime::now() - Duration::from_secs(1);
    transport.send(vec![sent.clone()]).await.expect("send");
    let got = next(&mut deliveries).await;
    assert_eq!((got.id.as_str(), got.source.clone(), got.deliveries), ("m", queue("q"), 1));
    assert_eq!(got.body, sent.body);
    assert_eq!(got.headers, sent.headers);
    let said = got.sent.expect("is known");
    assert!(said >= before && said <= SystemTime::now() + Duration::from_secs(1));
    transport.settle(&got, accept(vec![])).await.expect("settle");
    if !stage.can(Ability::AsWritten) {
        // What has no type there comes as its text.
        let texts = ["123456789012345678901234567890.50e3", "NaN", "-Infinity", "1.0e0"];
        let texts = texts.iter().map(|text| (format!("header {text}"), *text));
        sent.id = "n".to_owned();
        sent.headers = texts.clone().map(|(name, text)| (name, Value::Number(Number::from_text(text)))).collect();
        transport.send(vec![sent]).await.expect("send");
        let got = next(&mut deliveries).await;
        let expected: Object = texts.map(|(name, text)| (name, Value::from(text))).collect();
        assert_eq!(got.headers, expected);
    }
}

async fn headers_as_written(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let mut sent = message("m", queue("q"));
    sent.headers = Object::from_iter([
        ("zebra".to_owned(), Value::from(1)),
        ("number".to_owned(), Value::Number(Number::from_text("123456789012345678901234567890.50e3"))),
        ("surrogate".to_owned(), Value::Raw("\"\\ud800\"".into())),
        ("nan".to_owned(), Value::from(f64::NAN)),
        ("ant".to_owned(), Value::Null),
    ]);
    transport.send(vec![sent.clone()]).await.expect("send");
    let got = next(&mut deliveries).await;
    assert_eq!(got.headers, sent.headers);
    assert_eq!(got.headers.keys().collect::<Vec<_>>(), ["zebra", "number", "surrogate", "nan", "ant"]);
}

async fn large(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let body: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    transport.send(vec![Outgoing { body: body.clone(), ..message("m", queue("q")) }]).await.expect("send");
    assert!(next(&mut deliveries).await.body == body);
}

async fn order(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let ids: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    transport.send(ids.iter().map(|id| message(id, queue("q"))).collect()).await.expect("send");
    for id in ids {
        let got = next(&mut deliveries).await;
        assert_eq!(got.id, id);
        transport.settle(&got, accept(vec![])).await.expect("settle");
    }
}

async fn accepted(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 2).await;
    transport.send(vec![message("m", queue("q")), message("held", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    assert_eq!(next(&mut deliveries).await.id, "held");
    transport.settle(&got, accept(vec![])).await.expect("settle");
    drop(deliveries);
    // What goes back goes back together.
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let got = next(&mut deliveries).await;
    assert_eq!(got.id, "held");
    transport.settle(&got, accept(vec![])).await.expect("settle");
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
}

async fn rejected(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(vec![message("m", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    transport.settle(&got, reject("no such sample")).await.expect("settle");
    let mut dead = subscribe(&*transport, queue("dlq.q"), 1).await;
    let letter = next(&mut dead).await;
    assert_eq!((letter.id.as_str(), letter.body.as_slice(), letter.deliveries), ("m", b"m".as_slice(), 1));
    assert_eq!(deaths(&letter.headers), death("rejected", "q"));
    assert_eq!(zrecipe_reason(&letter), Some("no such sample"));
    // Sent back under its own id it is no duplicate, and its second death is counted.
    let again = Outgoing { headers: letter.headers.clone(), ..message("m", queue("q")) };
    transport.settle(&letter, accept(vec![again])).await.expect("settle");
    let got = next(&mut deliveries).await;
    assert_eq!(got.id, "m");
    transport.settle(&got, reject("still none")).await.expect("settle");
    let letter = next(&mut dead).await;
    assert_eq!(deaths(&letter.headers), [("rejected".to_owned(), "q".to_owned(), 2)]);
}

async fn retried(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let headers = Object::from_iter([("mine".to_owned(), Value::from("x"))]);
    let second = Outgoing { headers: headers.clone(), ..message("second", queue("q")) };
    transport.send(vec![message("first", queue("q")), second]).await.expect("send");
    let got = next(&mut deliveries).await;
    assert_eq!((got.id.as_str(), got.deliveries), ("first", 1));
    transport.settle(&got, retry(Duration::from_secs(3_600))).await.expect("settle");
    let got = next(&mut deliveries).await;
    assert_eq!((got.id.as_str(), got.deliveries), ("second", 1), "the other one overtakes");
    transport.settle(&got, retry(Duration::from_millis(60))).await.expect("settle");
    let got = next(&mut deliveries).await;
    assert_eq!((got.id.as_str(), got.deliveries, &got.headers), ("second", 2, &headers));
}

async fn requeued(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let headers = Object::from_iter([("mine".to_owned(), Value::from("x"))]);
    transport.send(vec![Outgoing { headers: headers.clone(), ..message("m", queue("q")) }]).await.expect("send");
    let got = next(&mut deliveries).await;
    transport.settle(&got, retry(Duration::ZERO)).await.expect("settle");
    // The limit is 2.
    for after in [0, 0, 60, 0] {
        let got = next(&mut deliveries).await;
        assert_eq!((got.id.as_str(), got.deliveries, &got.headers), ("m", 2, &headers), "one attempt counts");
        let requeue = Verdict::Requeue { after: Duration::from_millis(after) };
        transport.settle(&got, ending(requeue)).await.expect("settle");
    }
    let got = next(&mut deliveries).await;
    transport.settle(&got, accept(vec![])).await.expect("settle");
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
}

async fn released(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(vec![message("first", queue("q")), message("second", queue("q"))]).await.expect("send");
    let mut came = std::collections::BTreeMap::from([("first", 0), ("second", 0)]);
    for _ in 0..6 {
        let got = next(&mut deliveries).await;
        let count = came.get_mut(got.id.as_str()).expect("one of them");
        *count += 1;
        assert_eq!(got.deliveries, if stage.can(Ability::FreeRelease) { 1 } else { *count });
        transport.settle(&got, ending(Verdict::Release)).await.expect("settle");
    }
    if stage.can(Ability::FreeRelease) {
        assert_eq!(came["first"], 6, "back at the head");
    }
}

async fn limited(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(vec![message("m", queue("q"))]).await.expect("send");
    for count in 1..=3 {
        let got = next(&mut deliveries).await;
        assert_eq!(got.deliveries, count);
        transport.settle(&got, retry(Duration::ZERO)).await.expect("settle");
    }
    let mut dead = subscribe(&*transport, queue("dlq.q"), 1).await;
    let letter = next(&mut dead).await;
    assert_eq!((letter.id.as_str(), letter.deliveries), ("m", 1), "counted from the start again");
    assert_eq!(deaths(&letter.headers), death("delivery_limit", "q"));
    assert_eq!(zrecipe_reason(&letter), Some("not now"));
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
}

async fn prefetch(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 2).await;
    transport.send((0..5).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    let first = next(&mut deliveries).await;
    let _second = next(&mut deliveries).await;
    transport.settle(&first, accept(vec![])).await.expect("settle");
    assert_eq!(next(&mut deliveries).await.id, "2");
    // Another one is given all that this one must not have.
    let mut others = subscribe(&*transport, queue("q"), 10).await;
    for id in ["3", "4"] {
        assert_eq!(next(&mut others).await.id, id);
    }
}

async fn shared(transport: Arc<dyn Transport>) {
    let mut one = subscribe(&*transport, queue("q"), 2).await;
    let mut two = subscribe(&*transport, queue("q"), 2).await;
    transport.send((0..4).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    let mut ids = Vec::new();
    for deliveries in [&mut one, &mut two] {
        ids.push(next(deliveries).await.id);
        ids.push(next(deliveries).await.id);
    }
    ids.sort();
    assert_eq!(ids, ["0", "1", "2", "3"]);
}

async fn outputs(transport: Arc<dyn Transport>) {
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    let mut results = subscribe(&*transport, queue("out"), 10).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    let led_to = vec![message("a", queue("out")), message("b", queue("out"))];
    transport.settle(&got, accept(led_to)).await.expect("settle");
    assert_eq!(next(&mut results).await.id, "a");
    assert_eq!(next(&mut results).await.id, "b");
}

async fn outputs_missing(transport: Arc<dyn Transport>) {
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    let mut results = subscribe(&*transport, queue("out"), 10).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    let refused = transport.settle(&got, accept(vec![message("b", queue("nowhere"))])).await;
    assert!(matches!(&refused, Err(Error::NoSuchQueue(name)) if name == "nowhere"), "{refused:?}");
    let some = vec![message("a", queue("out")), message("b", queue("nowhere"))];
    let refused = transport.settle(&got, accept(some)).await;
    assert!(matches!(&refused, Err(Error::NoSuchQueue(name)) if name == "nowhere"), "{refused:?}");
    let late = Outgoing { delay: Some(Duration::from_millis(10)), ..message("c", queue("nowhere")) };
    let refused = transport.settle(&got, accept(vec![late])).await;
    assert!(matches!(&refused, Err(Error::NoSuchQueue(name)) if name == "nowhere"), "{refused:?}");
    // It is still ours.
    transport.settle(&got, accept(vec![message("a", queue("out"))])).await.expect("settle");
    assert_eq!(next(&mut results).await.id, "a");
}

async fn settled_whole(transport: Arc<dyn Transport>) {
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    let mut results = subscribe(&*transport, queue("out"), 10).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    let led_to = vec![message("a", queue("out")), message("b", queue("nowhere"))];
    assert!(matches!(transport.settle(&got, accept(led_to)).await, Err(Error::NoSuchQueue(_))));
    nothing_else_comes(&*transport, queue("out"), &mut results).await;
}

async fn missing(transport: Arc<dyn Transport>) {
    for delay in [None, Some(Duration::from_millis(10))] {
        let refused = transport.send(vec![Outgoing { delay, ..message("m", queue("nowhere")) }]).await;
        assert!(matches!(&refused, Err(Error::NoSuchQueue(name)) if name == "nowhere"), "{refused:?}");
    }
    let refused = transport.send(vec![message("a", queue("q")), message("b", queue("nowhere"))]).await;
    assert!(matches!(refused, Err(Error::NoSuchQueue(_))), "{refused:?}");
    transport.send(vec![message("c", topic("nobody listens"))]).await.expect("a broadcast to nobody is no error");
}

async fn sent_whole(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let refused = transport.send(vec![message("a", queue("q")), message("b", queue("nowhere"))]).await;
    assert!(matches!(refused, Err(Error::NoSuchQueue(_))), "{refused:?}");
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
}

async fn crowd(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 200).await;
    let senders: Vec<_> = (0..60)
        .map(|n| {
            let transport = Arc::clone(&transport);
            let mut sent = message(&n.to_string(), queue(if n % 5 == 0 { "nowhere" } else { "q" }));
            if n % 7 == 0 {
                sent.headers.insert("x".repeat(300), Value::Null);
                sent.destination = queue("nowhere");
            }
            tokio::spawn(async move { (n, transport.send(vec![sent]).await.is_ok()) })
        })
        .collect();
    for sender in senders {
        let (n, sent) = within("a sender", sender).await.expect("join");
        assert_eq!(sent, n % 5 != 0 && n % 7 != 0, "{n}");
    }
    let mut ids: Vec<u32> = Vec::new();
    for _ in (0..60).filter(|n| n % 5 != 0 && n % 7 != 0) {
        ids.push(next(&mut deliveries).await.id.parse().expect("a number"));
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..60).filter(|n| n % 5 != 0 && n % 7 != 0).collect::<Vec<_>>());
}

async fn delayed(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 10).await;
    let delay = Duration::from_millis(150);
    let sent = tokio::time::Instant::now();
    let late = Outgoing { delay: Some(delay), ..message("late", queue("q")) };
    let much_later = Outgoing { delay: Some(Duration::from_secs(3_600)), ..message("much later", queue("q")) };
    transport.send(vec![much_later, late, message("now", queue("q"))]).await.expect("send");
    // Where sending takes long, what is delayed may be due as soon as what is not.
    let mut came = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let id = next(&mut deliveries).await.id;
        assert!(id != "late" || sent.elapsed() >= delay, "too early");
        came.insert(id);
    }
    assert!(came.iter().eq(["late", "now"]), "{came:?}");
    let mut heard = subscribe(&*transport, topic("t"), 1).await;
    let sent = tokio::time::Instant::now();
    transport.send(vec![Outgoing { delay: Some(delay), ..message("said", topic("t")) }]).await.expect("send");
    assert_eq!(next(&mut heard).await.id, "said");
    assert!(sent.elapsed() >= delay);
}

async fn broadcast(transport: Arc<dyn Transport>) {
    transport.send(vec![message("before", topic("t"))]).await.expect("send");
    let mut one = subscribe(&*transport, topic("t"), 1).await;
    let mut two = subscribe(&*transport, topic("t"), 1).await;
    let mut other = subscribe(&*transport, topic("u"), 1).await;
    transport.send(vec![message("m", topic("t"))]).await.expect("send");
    transport.send(vec![message("after", topic("t"))]).await.expect("send");
    for deliveries in [&mut one, &mut two] {
        for id in ["m", "after"] {
            let got = next(deliveries).await;
            assert_eq!((got.id.as_str(), got.source.clone()), (id, topic("t")));
            transport.settle(&got, accept(vec![])).await.expect("settle");
        }
    }
    nothing_else_comes(&*transport, topic("u"), &mut other).await;
}

async fn duplicate(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(vec![message("m", queue("q")), message("m", queue("q"))]).await.expect("send");
    transport.send(vec![message("m", queue("q"))]).await.expect("dropped while it is queued");
    let got = next(&mut deliveries).await;
    transport.settle(&got, accept(vec![message("n", queue("q"))])).await.expect("settle");
    transport.send(vec![message("m", queue("q"))]).await.expect("dropped after it was accepted");
    transport.send(vec![message("o", queue("q"))]).await.expect("send");
    for id in ["n", "o"] {
        let got = next(&mut deliveries).await;
        assert_eq!(got.id, id);
        transport.settle(&got, accept(vec![])).await.expect("settle");
    }
}

async fn duplicate_at_hand(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 10).await;
    let mut others = subscribe(&*transport, queue("out"), 10).await;
    transport.send(vec![message("m", queue("q")), message("m", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    // By the time when this comes, the second is most probably there.
    transport.send(vec![message("x", queue("out"))]).await.expect("send");
    next(&mut others).await;
    transport.settle(&got, accept(vec![])).await.expect("settle");
    transport.send(vec![message("n", queue("q"))]).await.expect("send");
    assert_eq!(next(&mut deliveries).await.id, "n");
}

async fn expired(transport: Arc<dyn Transport>) {
    let mut busy = subscribe(&*transport, queue("q"), 1).await;
    let soon = Outgoing { expiration: Some(Duration::from_millis(60)), ..message("soon", queue("q")) };
    let never = message("never", queue("q"));
    transport.send(vec![message("m", queue("q")), soon, never]).await.expect("send");
    let got = next(&mut busy).await;
    let mut dead = subscribe(&*transport, queue("dlq.q"), 1).await;
    let letter = next(&mut dead).await;
    assert_eq!(letter.id, "soon");
    assert_eq!(deaths(&letter.headers), death("expired", "q"));
    transport.settle(&got, accept(vec![])).await.expect("settle");
    assert_eq!(next(&mut busy).await.id, "never");
}

async fn twice(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let mut results = subscribe(&*transport, queue("out"), 10).await;
    transport.send(vec![message("m", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    transport.settle(&got, accept(vec![])).await.expect("settle");
    let output = || accept(vec![message("a", queue("out"))]);
    assert!(matches!(transport.settle(&got, output()).await, Err(Error::NotHeld)));
    let stranger = Delivery { tag: 12345, ..got };
    assert!(matches!(transport.settle(&stranger, output()).await, Err(Error::NotHeld)));
    nothing_else_comes(&*transport, queue("out"), &mut results).await;
}

async fn dropped(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 3).await;
    transport.send((0..3).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    let got = next(&mut deliveries).await;
    drop(deliveries);
    let mut deliveries = subscribe(&*transport, queue("q"), 3).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let got = next(&mut deliveries).await;
        assert_eq!(got.deliveries, if stage.can(Ability::FreeRelease) { 1 } else { 2 });
        ids.push(got.id);
    }
    if !stage.can(Ability::FreeRelease) {
        ids.sort();
    }
    assert_eq!(ids, ["0", "1", "2"]);
    assert!(matches!(transport.settle(&got, accept(vec![])).await, Err(Error::NotHeld)));
}

async fn closed(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.close().await.expect("close");
    assert_eq!(within("the end", deliveries.next()).await, None);
    assert!(matches!(transport.send(vec![message("m", queue("q"))]).await, Err(Error::Closed)));
    transport.close().await.expect("closing twice is no error");
}

// ---------------------------------------------------------------------------------------------------------------
// What may happen on the way to a broker that is elsewhere

async fn closed_settled(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    const COUNT: usize = 50;
    let mut deliveries = subscribe(&*transport, queue("q"), 100).await;
    let mut sent: Vec<Outgoing> = (0..COUNT).map(|n| message(&n.to_string(), queue("q"))).collect();
    sent.push(message("held", queue("q")));
    transport.send(sent).await.expect("send");
    for _ in 0..COUNT {
        let got = next(&mut deliveries).await;
        transport.settle(&got, accept(vec![])).await.expect("settle");
    }
    assert_eq!(next(&mut deliveries).await.id, "held");
    transport.close().await.expect("close");
    // What goes back goes back together.
    let transport = stage.connect(Caller::Somewhere).await.expect("connect");
    let mut deliveries = subscribe(&*transport, queue("q"), 100).await;
    let got = next(&mut deliveries).await;
    assert_eq!(got.id, "held");
    transport.settle(&got, accept(vec![])).await.expect("settle");
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
    transport.close().await.expect("close");
}

async fn reconnected(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 2).await;
    let mut heard = subscribe(&*transport, topic("t"), 2).await;
    transport.send((0..3).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    for _ in 0..2 {
        let got = next(&mut deliveries).await;
        stage.reachable(false).await;
        stage.reachable(true).await;
        // It is confirmed on the next connection; by then the loss is known.
        transport.send(vec![message("y", queue("in"))]).await.expect("send");
        let led_to = accept(vec![message("x", queue("out"))]);
        assert!(matches!(transport.settle(&got, led_to).await, Err(Error::NotHeld)));
    }
    // All comes again, and once it is accepted it is gone.
    let mut ids = std::collections::BTreeSet::new();
    while ids.len() < 3 {
        let got = next(&mut deliveries).await;
        if transport.settle(&got, accept(vec![])).await.is_ok() {
            assert!(ids.insert(got.id.clone()), "{} came twice", got.id);
        }
    }
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
    let mut results = subscribe(&*transport, queue("out"), 1).await;
    nothing_else_comes(&*transport, queue("out"), &mut results).await;
    // The copies that nobody could hear are lost; those from now on are not.
    let got = heard_again(&*transport, "t", &mut heard).await;
    transport.settle(&got, accept(vec![])).await.expect("settle");
}

/// Sends to a topic until a subscription is given one of the messages.
pub async fn heard_again(transport: &dyn Transport, name: &str, heard: &mut Deliveries) -> Delivery {
    eventually_ok("the topic is heard", async || {
        let sent = message(&format!("again {}", uuid::Uuid::new_v4()), topic(name));
        transport.send(vec![sent]).await.expect("send");
        timeout(Duration::from_millis(500), heard.next()).await.map(|got| got.expect("the subscription lives"))
    })
    .await
}

async fn sent_later(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    stage.reachable(false).await;
    let sending = tokio::spawn({
        let transport = Arc::clone(&transport);
        async move { transport.send(vec![message("m", queue("q"))]).await }
    });
    stage.is_tried().await;
    assert!(!sending.is_finished(), "nothing is sent before it is confirmed");
    stage.reachable(true).await;
    within("the confirmation", sending).await.expect("join").expect("send");
    assert_eq!(next(&mut deliveries).await.id, "m");
}

async fn hung(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    stage.hang().await;
    within("the confirmation", transport.send(vec![message("m", queue("q"))])).await.expect("by another connection");
    assert_eq!(next(&mut deliveries).await.id, "m");
    // Who asks meanwhile is told that there is no answer, or has it by the next connection.
    stage.hang().await;
    let asked = within("an answer", transport.waiting("q")).await;
    assert!(matches!(asked, Ok(_) | Err(Error::Unavailable { .. })), "{asked:?}");
}

async fn somewhere(stage: Arc<dyn Stage>, _transport: Arc<dyn Transport>) {
    // The order is a random one.
    for _ in 0..6 {
        let transport = stage.connect(Caller::Somewhere).await.expect("connect");
        transport.send(vec![message("m", queue("q"))]).await.expect("send");
        transport.close().await.expect("close");
    }
}

async fn refused(stage: Arc<dyn Stage>) {
    for (caller, said) in [
        (Caller::Nowhere, "nobody listens there"),
        (Caller::Stranger, "the user or the password is wrong"),
        (Caller::Lost, "virtual host"),
    ] {
        match within("the refusal", stage.connect(caller)).await {
            Err(error @ (Error::Unavailable { .. } | Error::Denied { .. })) => {
                assert_eq!(matches!(error, Error::Denied { .. }), caller != Caller::Nowhere, "{error:?}");
                let whole = format!("{error} {error:?}");
                assert!(whole.contains(said), "{caller:?}: {whole}");
                assert!(!whole.contains("wr0ng") && !whole.contains("guest:"), "{caller:?}: {whole}");
            }
            Err(error) => panic!("{caller:?}: {error:?}"),
            Ok(_) => panic!("{caller:?} was let in"),
        }
    }
}

async fn subscribed_to_nothing(transport: Arc<dyn Transport>) {
    for source in [queue("nowhere"), topic("nowhere")] {
        let refused = transport.subscribe(Subscription { source: source.clone(), prefetch: 1 }).await;
        match (&source, refused) {
            (Destination::Queue(_), Err(Error::NoSuchQueue(name)))
            | (Destination::Topic(_), Err(Error::NoSuchTopic(name))) => assert_eq!(name, "nowhere"),
            (_, other) => panic!("{source}: {other:?}"),
        }
    }
}

async fn deleted(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    stage.delete("q").await;
    assert_eq!(within("the end", deliveries.next()).await, None);
}

async fn unprepared(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    stage.delete("dlq.q").await;
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(vec![message("m", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    let rejection = Settlement { outputs: vec![message("n", queue("out"))], ..reject("bad") };
    transport.settle(&got, rejection).await.expect("settle");
    let mut dead = subscribe(&*transport, queue("dlq.q"), 1).await;
    assert_eq!(zrecipe_reason(&next(&mut dead).await), Some("bad"));
    assert_eq!(transport.waiting("out").await.expect("is there").messages, 1);
}

async fn full(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    stage.declare_small("small").await;
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    // How many fit depends on when the broker looks; at some point it says so.
    let refused = loop {
        if let Err(error) = transport.send(vec![message("m", queue("small"))]).await {
            break error;
        }
    };
    assert!(matches!(&refused, Error::Refused { destination, .. } if destination == "small"), "{refused:?}");
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    let refused = transport.settle(&got, accept(vec![message("n", queue("small"))])).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    // The input is not lost.
    drop(inputs);
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    assert_eq!(next(&mut inputs).await.id, "m");
}

async fn large_headers(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let mut large = message("m", queue("q"));
    large.headers.insert("text".to_owned(), Value::from("x".repeat(200_000)));
    let mut long = message("m", queue("q"));
    long.headers.insert("x".repeat(256), Value::Null);
    let late = Outgoing { expiration: Some(Duration::from_secs(1 << 40)), ..message("m", queue("q")) };
    for sent in [large, long, late, message("m", queue(&"q".repeat(256))), message(&"m".repeat(256), queue("q"))] {
        let refused = transport.send(vec![sent]).await;
        assert!(
            matches!(&refused, Err(Error::Unsendable { destination, .. }) if destination.len() < 50),
            "{refused:?}"
        );
    }
    let asked = transport.waiting(&"q".repeat(256)).await;
    assert!(matches!(&asked, Err(Error::NoSuchQueue(queue)) if queue.len() < 50), "{asked:?}");
    // Nobody else has suffered, and a reason of any length fits.
    transport.send(vec![message("m", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    transport.settle(&got, reject(&"é".repeat(100_000))).await.expect("settle");
}

async fn no_exchange(transport: Arc<dyn Transport>) {
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    let heard = transport.settle(&got, accept(vec![message("n", topic("nowhere"))])).await;
    assert!(matches!(&heard, Err(Error::NoSuchTopic(name)) if name == "nowhere"), "{heard:?}");
    // The input is still ours.
    transport.settle(&got, accept(vec![])).await.expect("settle");
    let heard = transport.send(vec![message("m", topic("nowhere"))]).await;
    assert!(matches!(&heard, Err(Error::NoSuchTopic(name)) if name == "nowhere"), "{heard:?}");
    let other = || Outgoing { exchange: Some("nowhere".to_owned()), ..message("m", queue("q")) };
    for sent in [vec![other()], vec![message("n", queue("q")), other()]] {
        let refused = transport.send(sent).await;
        assert!(matches!(&refused, Err(Error::Unsendable { reason, .. }) if reason.contains("nowhere")), "{refused:?}");
    }
    // The first of the two was not sent either.
    assert_eq!(transport.waiting("q").await.expect("is there").messages, 0);
    // One that is there, and leads nowhere.
    let other = Outgoing { exchange: Some("t".to_owned()), ..message("m", queue("q")) };
    let refused = transport.send(vec![other]).await;
    assert!(matches!(&refused, Err(Error::Unsendable { reason, .. }) if reason.contains("no queue")), "{refused:?}");
}

async fn silent(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    stage.declare_elsewhere("silent").await;
    stage.happens_elsewhere(Fate::Freezes).await;
    let published = stage.published();
    let sending = tokio::spawn({
        let transport = Arc::clone(&transport);
        async move { transport.send(vec![message("m", queue("silent"))]).await }
    });
    // What goes in one batch with it waits with it.
    eventually("it has gone", async || stage.published() > published).await;
    let others = tokio::spawn(async move {
        for n in 0..5 {
            let sent = transport.send(vec![message(&n.to_string(), queue("q"))]);
            within("the confirmation of another one", sent).await.expect("send");
        }
    });
    let others = others.await;
    let is_silent = !sending.is_finished();
    stage.happens_elsewhere(Fate::Thaws).await;
    others.expect("the others do not wait");
    assert!(is_silent, "nobody has confirmed it");
    within("the confirmation", sending).await.expect("join").expect("send");
}

async fn silent_to_the_end(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    stage.declare_elsewhere("silent").await;
    let worker = stage.connect(Caller::Somewhere).await.expect("connect");
    let mut inputs = subscribe(&*worker, queue("in"), 1).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    stage.happens_elsewhere(Fate::Freezes).await;
    let published = stage.published();
    let settling = tokio::spawn(async move {
        // It dies with what it has to do.
        let _inputs = inputs;
        worker.settle(&got, accept(vec![message("n", queue("silent"))])).await
    });
    eventually("the output has gone", async || stage.published() > published).await;
    settling.abort();
    let ended = settling.await;
    stage.happens_elsewhere(Fate::Thaws).await;
    assert!(ended.is_err(), "nobody has confirmed it");
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    assert_eq!(next(&mut inputs).await.id, "m");
}

async fn headless(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    stage.declare_elsewhere("headless").await;
    stage.happens_elsewhere(Fate::Dies).await;
    let refused = within("the refusal", transport.send(vec![message("m", queue("headless"))])).await;
    assert!(matches!(refused, Err(Error::Refused { .. } | Error::Unconfirmed { .. })), "{refused:?}");
    let refused = within("the refusal", transport.settle(&got, accept(vec![message("n", queue("headless"))]))).await;
    assert!(matches!(refused, Err(Error::Refused { .. } | Error::Unconfirmed { .. })), "{refused:?}");
    // The input is still ours.
    transport.settle(&got, accept(vec![])).await.expect("settle");
}
