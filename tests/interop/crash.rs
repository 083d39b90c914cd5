//! Connections and services that end at a named point of dealing with a message: nothing is lost, and what comes twice
//! has one id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicGetOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use zrecipe::address::Host as Address;
use zrecipe::message::{Envelope, Output};
use zrecipe::runtime::{Event, Host, Job, Outcome, Service, StepResult};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::amqp::{Amqp, Options};
use zrecipe::transport::{Outgoing, Transport};
use zrecipe::value::{Object, Value};

use crate::contract::{accept, message, next, nothing_else_comes, queue, subscribe, within};
use crate::proxy::{Point, Proxy};
use crate::rabbitmq::Node;
use crate::wait::eventually;

/// How many messages the service's step leads to.
const OUTPUTS: usize = 5;
const ALL: u64 = OUTPUTS as u64;

/// Each crash point of "take one message, send several, acknowledge": what it is called, where the connection is cut, and
/// how many of the messages that were sent by then are sent again: by the same service, and by another that takes over.
#[rustfmt::skip]
const CRASHES: [(&str, Point, [usize; 2]); 8] = [
    ("before any message is sent", Point::Confirmed(0), [0, 0]),
    ("one of five is confirmed", Point::Confirmed(1), [1, 1]),
    ("two of five are confirmed", Point::Confirmed(2), [2, 2]),
    ("four of five are confirmed", Point::Confirmed(4), [4, 4]),
    ("all are confirmed and the confirmations lost", Point::ConfirmationsLost(ALL), [OUTPUTS, OUTPUTS]),
    ("all are confirmed, and the acknowledgement is not sent", Point::BeforeAcknowledgement, [0, OUTPUTS]),
    ("the acknowledgement is sent, and the connection ends at once", Point::AfterAcknowledgement, [0, OUTPUTS]),
    ("settled with the tag of a connection that was lost", Point::Elsewhere, [0, 0]),
];

/// How many duplicates there are then.
fn duplicates(point: Point, another: bool, again: usize) -> std::ops::RangeInclusive<usize> {
    match point {
        // The acknowledgement may have arrived or not.
        Point::AfterAcknowledgement => 0..=again,
        // A service that goes on sends what is not confirmed once more, and may meanwhile be handed the message again.
        Point::Confirmed(_) | Point::ConfirmationsLost(_) if !another => again..=again + OUTPUTS,
        _ => again..=again,
    }
}

/// Sends as many messages as there are outputs.
struct Fan {
    prefetch: u16,
    /// How often it was called.
    called: AtomicU32,
    /// What the first call waits for.
    hindrance: Hindrance,
}

enum Hindrance {
    None,
    /// The connection is cut meanwhile; the next one is waited for.
    Cut(Arc<Proxy>),
    /// The message is delivered once more meanwhile.
    Called(watch::Sender<u32>),
}

impl Fan {
    fn new(hindrance: Hindrance) -> Arc<Self> {
        Arc::new(Self { prefetch: 3, called: AtomicU32::new(0), hindrance })
    }
}

#[async_trait]
impl Service for Fan {
    fn name(&self) -> &str {
        "Fan"
    }

    fn serves(&self, queue: &str) -> bool {
        queue == "in"
    }

    fn queues(&self) -> Vec<String> {
        vec!["in".to_owned()]
    }

    fn prefetch(&self) -> u16 {
        self.prefetch
    }

    async fn handle(&self, _job: &Job) -> Outcome {
        let call = self.called.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.hindrance {
            Hindrance::Cut(proxy) if call == 1 => {
                proxy.cut();
                proxy.connected(2).await;
            }
            Hindrance::Called(calls) => {
                calls.send_replace(call);
                if call == 1 {
                    let _ = calls.subscribe().wait_for(|calls| *calls > 1).await;
                }
            }
            Hindrance::None | Hindrance::Cut(_) => {}
        }
        let output = Output::new(None, Value::from(true));
        Outcome::Done { outputs: vec![output], result: StepResult::Succeeded, detail: Value::Null }
    }
}

/// The message that begins, and the ids of what it leads to.
fn start(id: &str) -> Outgoing {
    let steps: Vec<usize> = (2..2 + OUTPUTS).collect();
    let mut recipe = json!({"1": {"queue": "in", "output": steps}, "start": [[1, []]]});
    for step in steps {
        recipe[step.to_string()] = json!({"queue": "out"});
    }
    let recipe = read_value(recipe.to_string().as_bytes()).expect("JSON");
    let first = Envelope::start(recipe, Object::new(), id).expect("it starts").pop();
    first.expect("a message")
}

fn led_to(first: &Outgoing) -> Vec<String> {
    let envelope = Envelope::read(&first.headers, &first.body).expect("a recipe message");
    let output = Output::new(None, Value::from(true));
    let messages = envelope.advance(&first.id, &[output], None).expect("it goes on");
    assert_eq!(messages.len(), OUTPUTS);
    messages.into_iter().map(|message| message.id).collect()
}

/// A service at work.
struct Work {
    transport: Arc<Amqp>,
    serving: JoinHandle<()>,
    events: mpsc::UnboundedReceiver<Event>,
    stop: watch::Sender<bool>,
}

fn options(port: u16) -> Options {
    let patience = Duration::from_secs(20);
    let host = Address { name: "127.0.0.1".to_owned(), port };
    Options { heartbeat: Duration::from_secs(2), patience, ..Options::new(vec![host]) }
}

impl Work {
    async fn begin(port: u16, service: Arc<Fan>) -> Self {
        let transport = Arc::new(Amqp::connect(options(port)).await.expect("connect"));
        let (sender, events) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let host = Host::new(Arc::clone(&transport) as Arc<dyn Transport>, vec![service], 3, sender, stopped);
        let serving = tokio::spawn(async move {
            // One that is ended has no result.
            let _ = host.serve(&["in".to_owned()]).await;
        });
        Self { transport, serving, events, stop }
    }

    /// Finishes what it has begun; what it has told.
    async fn end(mut self) -> Vec<Event> {
        self.stop.send_replace(true);
        within("the end of the service", self.serving).await.expect("join");
        within("the end of the transport", self.transport.close()).await.expect("close");
        let mut events = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            events.push(event);
        }
        events
    }

    /// Ends at once, as by a crash.
    async fn die(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }
}

async fn prepare(channel: &lapin::Channel) {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let durable = || QueueDeclareOptions { durable: true, ..Default::default() };
    for name in ["in", "out"] {
        let dead = format!("dlq.{name}");
        for queue in [name, &dead] {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.expect("delete");
        }
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        channel.queue_declare(dead.as_str().into(), durable(), arguments.clone()).await.expect("declare");
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(&dead));
        channel.queue_declare(name.into(), durable(), arguments).await.expect("declare");
    }
}

async fn admin(node: &Node) -> lapin::Connection {
    let url = format!("amqp://guest:guest@127.0.0.1:{}", node.port);
    lapin::Connection::connect(&url, Default::default()).await.expect("connect")
}

/// How often each id is in a queue, which is left as it is.
async fn content(admin: &lapin::Connection, name: &str) -> BTreeMap<String, usize> {
    let channel = admin.create_channel().await.expect("a channel");
    let mut ids = BTreeMap::new();
    while let Some(got) = channel.basic_get(name.into(), BasicGetOptions::default()).await.expect("get") {
        let id = got.properties.message_id().as_ref().map(ToString::to_string);
        *ids.entry(id.expect("an id")).or_default() += 1;
    }
    channel.close(200, "".into()).await.expect("close");
    ids
}

/// Whether each of these, and nothing else, comes to a consumer of ours, and comes once.
async fn come_once(node: &Node, mut ids: Vec<String>) {
    let transport = Amqp::connect(options(node.port)).await.expect("connect");
    let mut out = subscribe(&transport, queue("out"), 1).await;
    let mut came = Vec::new();
    for _ in &ids {
        let delivery = next(&mut out).await;
        transport.settle(&delivery, accept(vec![])).await.expect("settle");
        came.push(delivery.id);
    }
    nothing_else_comes(&transport, queue("out"), &mut out).await;
    came.sort();
    ids.sort();
    assert_eq!(came, ids);
    transport.close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_wherever_a_connection_ends() {
    let node = Arc::new(Node::start("crash", None).await);
    let mut failed = Vec::new();
    for (name, point, again) in CRASHES {
        for (another, again) in [false, true].into_iter().zip(again) {
            let expected = duplicates(point, another, again);
            // A panic is that of this row.
            let row = tokio::task::LocalSet::new();
            let crash = row.spawn_local(crash(Arc::clone(&node), point, another, expected));
            row.await;
            if let Err(error) = crash.await {
                failed.push(format!("{name}, {}: {error}", if another { "another" } else { "by itself" }));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn crash(node: Arc<Node>, point: Point, another: bool, expected: std::ops::RangeInclusive<usize>) {
    let admin = admin(&node).await;
    prepare(&admin.create_channel().await.expect("a channel")).await;
    let proxy = Arc::new(Proxy::with_fault(node.port, point, another).await);
    let is_elsewhere = point == Point::Elsewhere;
    let hindrance = if is_elsewhere { Hindrance::Cut(Arc::clone(&proxy)) } else { Hindrance::None };
    let mut work = Work::begin(proxy.port, Fan::new(hindrance)).await;
    let sender = Amqp::connect(options(node.port)).await.expect("connect");
    let first = start("request");
    sender.send(vec![first.clone()]).await.expect("send");
    within("the point", proxy.is_cut()).await;
    if another {
        work.die().await;
        work = Work::begin(node.port, Fan::new(Hindrance::None)).await;
    }
    // By the time when this has been dealt with, what came before it has been, too.
    let last = start("another request");
    sender.send(vec![last.clone()]).await.expect("send");
    let ids: Vec<String> = led_to(&first).into_iter().chain(led_to(&last)).collect();
    let mut found = BTreeMap::new();
    eventually("all outputs", async || {
        found = content(&admin, "out").await;
        ids.iter().all(|id| found.contains_key(id))
    })
    .await;
    let waiting = async || content(&admin, "in").await.len();
    eventually("the end of the inputs", async || waiting().await == 0).await;
    let events = work.end().await;
    let found = content(&admin, "out").await;
    assert!(found.keys().all(|id| ids.contains(id)), "nothing but what was to come: {found:?}");
    let duplicates: usize = found.values().map(|count| count - 1).sum();
    assert!(expected.contains(&duplicates), "{duplicates} duplicates: {found:?}\n{events:?}");
    for name in ["in", "dlq.in", "dlq.out"] {
        assert_eq!(content(&admin, name).await, BTreeMap::new(), "{name}");
    }
    come_once(&node, ids).await;
    assert_eq!(proxy.complaints(), Vec::<String>::new());
    sender.close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_may_outlast_the_brokers_patience() {
    let node = Node::start("patience", None).await;
    // Channels look at both when they are opened.
    for (name, millis) in [("consumer_timeout", 4_000), ("channel_tick_interval", 500)] {
        node.control(&["eval", &format!("application:set_env(rabbit, {name}, {millis}).")]);
    }
    let admin = admin(&node).await;
    prepare(&admin.create_channel().await.expect("a channel")).await;
    let proxy = Proxy::with_fault(node.port, Point::Elsewhere, false).await;
    let service = Fan::new(Hindrance::Called(watch::Sender::new(0)));
    let work = Work::begin(proxy.port, Arc::clone(&service)).await;
    let sender = Amqp::connect(options(node.port)).await.expect("connect");
    let long = start("long");
    sender.send(vec![long.clone()]).await.expect("send");
    let ids = led_to(&long);
    eventually("all outputs", async || content(&admin, "out").await.len() == OUTPUTS).await;
    // The service is there for others.
    let short = start("short");
    sender.send(vec![short.clone()]).await.expect("send");
    let ids: Vec<String> = ids.into_iter().chain(led_to(&short)).collect();
    eventually("all outputs", async || content(&admin, "out").await.len() == ids.len()).await;
    let events = work.end().await;
    let told = |event: &dyn Fn(&Event) -> Option<&String>| events.iter().filter_map(event).cloned().collect::<Vec<_>>();
    let abandoned = told(&|event| match event {
        Event::Abandoned { id } => Some(id),
        _ => None,
    });
    let settled = told(&|event| match event {
        Event::Settled { id, .. } => Some(id),
        _ => None,
    });
    assert_eq!(abandoned, [long.id.as_str()], "the first time it was no longer held");
    assert_eq!(settled, [long.id, short.id], "it was settled once");
    assert_eq!(service.called.load(Ordering::Relaxed), 3);
    let found = content(&admin, "out").await;
    assert!(found.values().all(|count| *count == 1), "{found:?}");
    for name in ["in", "dlq.in", "dlq.out"] {
        assert_eq!(content(&admin, name).await, BTreeMap::new(), "{name}");
    }
    come_once(&node, ids).await;
    // The job was longer than two heartbeats, and the connection stands; only its channel was closed.
    assert_eq!(proxy.connections(), 1);
    let complaints = proxy.complaints();
    assert!(matches!(complaints.as_slice(), [only] if only.contains("timed out")), "{complaints:?}");
    sender.close().await.expect("close");
}

/// A broker that restarts may leave the request for a subscription without an answer, while the connection lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_not_answered_is_requested_again() {
    let node = Node::start("unanswered", None).await;
    prepare(&admin(&node).await.create_channel().await.expect("a channel")).await;
    let sender = Amqp::connect(options(node.port)).await.expect("connect");
    for after in [0, 1] {
        let proxy = Proxy::with_fault(node.port, Point::SubscriptionLost(after), false).await;
        let consumer = Amqp::connect(options(proxy.port)).await.expect("connect");
        let mut deliveries = subscribe(&consumer, queue("in"), 1).await;
        if after == 1 {
            // The second request follows the loss of the connection.
            proxy.open(false);
            proxy.open(true);
            proxy.is_cut().await;
        }
        let id = format!("message-{after}");
        sender.send(vec![message(&id, queue("in"))]).await.expect("send");
        let delivery = within("the message", deliveries.next()).await.expect("the subscription lives");
        assert_eq!(delivery.id, id);
        consumer.settle(&delivery, accept(vec![])).await.expect("settle");
        assert_eq!(proxy.connections(), after as u64 + 2);
        consumer.close().await.expect("close");
    }
    sender.close().await.expect("close");
}
