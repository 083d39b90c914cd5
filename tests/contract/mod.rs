//! What every transport promises: one table of scenarios, played on a stage for each kind of broker.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::task::LocalSet;
use tokio::time::timeout;
use zrecipe::transport::{
    Capabilities, Creation, Deliveries, Delivery, Destination, Error, Outgoing, Settlement, Subscription, Transport,
    Verdict,
};
use zrecipe::value::{Number, Object, Value};

pub use crate::wait::within;
use crate::wait::{eventually, eventually_ok};

mod connection;
mod messages;
mod settlement;

use connection::*;
use messages::*;
use settlement::*;

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
    ending(Verdict::DeadLetter { reason: reason.into() })
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

/// Sends to a topic until a subscription is given one of the messages.
pub async fn heard_again(transport: &dyn Transport, name: &str, heard: &mut Deliveries) -> Delivery {
    eventually_ok("the topic is heard", async || {
        let sent = message(&format!("again {}", uuid::Uuid::new_v4()), topic(name));
        transport.send(vec![sent]).await.expect("send");
        timeout(Duration::from_millis(500), heard.next()).await.map(|got| got.expect("the subscription lives"))
    })
    .await
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
    /// Queues and topics have been declared: a missing one is an error.
    Declared,
    /// Queues have limits, exchanges and nodes of their own.
    Defined,
    /// The delivery of a message that is released does not count.
    UncountedRelease,
    /// It is elsewhere: hosts, logins, connections that are lost, queues and topics that others have set up.
    Remote,
}

impl Ability {
    /// Whether brokers with these capabilities have it.
    pub fn is_in(self, capabilities: &Capabilities) -> bool {
        match self {
            Self::Whole => capabilities.is_atomic,
            Self::AsWritten => capabilities.keeps_spelling,
            Self::FreeRelease => capabilities.releases_in_place,
            Self::Defined => capabilities.definitions,
            Self::UncountedRelease => capabilities.releases_uncounted,
            Self::Declared => capabilities.creation != Creation::BySending,
            Self::Remote => capabilities.is_remote,
        }
    }
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
type Scenario = (&'static str, &'static [Ability], fn(Arc<dyn Stage>, Arc<dyn Transport>) -> Play);

const CONTRACT: &[Scenario] = &[
    ("a message comes as it was sent", &[], |s, t| Box::pin(round_trip(s, t))),
    ("headers come as they were written", &[Ability::AsWritten], |_, t| Box::pin(headers_as_written(t))),
    ("a large body comes whole", &[], |_, t| Box::pin(large(t))),
    ("messages come in order", &[], |_, t| Box::pin(order(t))),
    ("what is accepted is gone", &[], |_, t| Box::pin(accepted(t))),
    ("what waits can be counted and thrown away", &[], |s, t| Box::pin(purged(s, t))),
    ("what is rejected is a dead letter", &[], |_, t| Box::pin(rejected(t))),
    ("a retry comes again, later and counted", &[], |_, t| Box::pin(retried(t))),
    ("what goes back uncounted comes again as often as it must", &[], |_, t| Box::pin(requeued(t))),
    ("a release comes again", &[], |s, t| Box::pin(released(s, t))),
    ("after too many retries it is a dead letter", &[], |_, t| Box::pin(limited(t))),
    ("prefetch bounds what is unsettled", &[], |_, t| Box::pin(prefetch(t))),
    ("two subscriptions share a queue", &[], |_, t| Box::pin(shared(t))),
    ("settling sends the outputs", &[], |_, t| Box::pin(outputs(t))),
    ("what cannot be sent is not settled", &[Ability::Declared], |_, t| Box::pin(outputs_missing(t))),
    ("settling fails whole", &[Ability::Whole, Ability::Declared], |_, t| Box::pin(settled_whole(t))),
    ("a missing queue is an error", &[Ability::Declared], |_, t| Box::pin(missing(t))),
    ("sending fails whole", &[Ability::Whole, Ability::Declared], |_, t| Box::pin(sent_whole(t))),
    ("whoever sends wrongly takes nobody with him", &[Ability::Declared], |_, t| Box::pin(crowd(t))),
    ("a delayed message comes when it is due", &[], |_, t| Box::pin(delayed(t))),
    ("everyone hears a broadcast once", &[], |_, t| Box::pin(broadcast(t))),
    ("the same id is taken in once", &[], |_, t| Box::pin(duplicate(t))),
    ("the same id that waits behind the first is not handed out", &[], |_, t| Box::pin(duplicate_at_hand(t))),
    ("what expires is a dead letter", &[], |_, t| Box::pin(expired(t))),
    ("settling twice does nothing", &[], |_, t| Box::pin(twice(t))),
    ("dropping deliveries releases them", &[], |s, t| Box::pin(dropped(s, t))),
    ("closing ends subscriptions", &[], |_, t| Box::pin(closed(t))),
    ("nothing accepted comes again after closing", &[Ability::Remote], |s, t| Box::pin(closed_settled(s, t))),
    ("subscriptions outlive a connection", &[Ability::Remote], |s, t| Box::pin(reconnected(s, t))),
    ("a message waits for the next connection", &[Ability::Remote], |s, t| Box::pin(sent_later(s, t))),
    ("a connection that hangs is given up", &[Ability::Remote], |s, t| Box::pin(hung(s, t))),
    ("every host is tried", &[Ability::Remote], |s, t| Box::pin(somewhere(s, t))),
    ("a refused connection is an error", &[Ability::Remote], |s, _| Box::pin(refused(s))),
    ("a subscription needs its queue or topic", &[Ability::Remote, Ability::Declared], |_, t| {
        Box::pin(subscribed_to_nothing(t))
    }),
    ("whoever waits at a deleted queue is told", &[Ability::Remote, Ability::Declared], |s, t| Box::pin(deleted(s, t))),
    ("a dead letter finds its queue", &[Ability::Remote], |s, t| Box::pin(unprepared(s, t))),
    ("a full queue refuses", &[Ability::Remote, Ability::Defined], |s, t| Box::pin(full(s, t))),
    ("headers that do not fit are refused", &[Ability::Remote, Ability::Defined], |_, t| Box::pin(large_headers(t))),
    ("an exchange that there is not is an error", &[Ability::Remote, Ability::Defined], |_, t| {
        Box::pin(no_exchange(t))
    }),
    ("a queue that does not answer keeps no other waiting", &[Ability::Remote, Ability::Defined], |s, t| {
        Box::pin(silent(s, t))
    }),
    ("whoever dies at a queue that does not answer loses nothing", &[Ability::Remote, Ability::Defined], |s, t| {
        Box::pin(silent_to_the_end(s, t))
    }),
    ("a queue without leader refuses", &[Ability::Remote, Ability::Defined], |s, t| Box::pin(headless(s, t))),
];

/// Plays all scenarios that the broker is able to; every failing one is named.
pub async fn check_contract(stage: Arc<dyn Stage>) {
    let mut failed = Vec::new();
    for (name, needs, scenario) in CONTRACT {
        if needs.iter().any(|ability| !stage.can(*ability)) {
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

// ---------------------------------------------------------------------------------------------------------------
// What may happen on the way to a broker that is elsewhere
