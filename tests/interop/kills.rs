//! Services and the broker are killed again and again while requests are dispatched; none is lost.
//!
//! `ZRECIPE_SOAK=1` plays it at full size.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use zrecipe::address::Host;
use zrecipe::message::Envelope;
use zrecipe::transport::amqp::{Amqp, Options};
use zrecipe::transport::{Error, Outgoing, Transport};

use crate::contract::{accept, message, queue, subscribe};
use crate::proxy::{Point, Proxy};
use crate::services::Facility;
use crate::wait::{PATIENCE, eventually_ok, within};

/// Services that share the queue.
const SERVICES: usize = 2;

/// How much is played.
struct Size {
    requests: usize,
    services: usize,
    nodes: usize,
}

const SMALL: Size = Size { requests: 1_000, services: 8, nodes: 2 };
const FULL: Size = Size { requests: 15_000, services: 100, nodes: 20 };

fn options(port: u16) -> Options {
    let host = Host { name: "127.0.0.1".to_owned(), port };
    // Far less than the test waits for the next message, so that what was never confirmed is sent again meanwhile.
    Options { heartbeat: Duration::from_secs(5), patience: PATIENCE / 6, ..Options::new(vec![host]) }
}

/// What a consumer of ours was handed.
#[derive(Default)]
struct Received {
    /// The ids, by the number of the request.
    ids: BTreeMap<usize, BTreeSet<String>>,
    /// Handed out once more after it was settled.
    twice: Vec<String>,
}

/// Takes messages until told that it is over.
async fn receive(transport: Arc<Amqp>, count: watch::Sender<usize>, mut over: watch::Receiver<bool>) -> Received {
    let mut received = Received::default();
    let mut settled = BTreeSet::new();
    let mut out = subscribe(&*transport, queue("out"), 100).await;
    loop {
        let delivery = tokio::select! {
            delivery = out.next() => delivery.expect("the subscription lives"),
            _ = over.wait_for(|over| *over) => return received,
        };
        let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
        let n = envelope.payload.as_str().and_then(|n| n.parse().ok()).expect("a number");
        if settled.contains(&delivery.id) {
            received.twice.push(delivery.id.clone());
        }
        received.ids.entry(n).or_default().insert(delivery.id.clone());
        match transport.settle(&delivery, accept(vec![])).await {
            Ok(()) => _ = settled.insert(delivery.id),
            // The broker died; it may come again.
            Err(Error::NotHeld) => {}
            Err(error) => panic!("{error}"),
        }
        count.send_replace(received.ids.len());
    }
}

/// Sends all requests, each until it is confirmed.
async fn send(transport: Arc<Amqp>, requests: usize) {
    let numbers: Vec<usize> = (0..requests).collect();
    for batch in numbers.chunks(50) {
        let request = |n: &usize| {
            let body = json!({"recipes": ["good"], "parameters": {"n": n.to_string(), "guid": format!("g-{n}")}});
            let body = body.to_string().into_bytes();
            Outgoing { body, ..message(&format!("request-{n}"), queue("processing_recipe")) }
        };
        let batch: Vec<Outgoing> = batch.iter().map(request).collect();
        while let Err(error) = transport.send(batch.clone()).await {
            assert!(!matches!(error, Error::NoSuchQueue(_) | Error::Closed), "{error}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

#[expect(clippy::print_stdout, reason = "figures for whoever plays it at full size")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_survives_the_death_of_services_and_of_the_broker() {
    let size = if std::env::var_os("ZRECIPE_SOAK").is_some_and(|value| value == "1") { FULL } else { SMALL };
    let mut facility = Facility::new().await;
    facility.recipe("good", &json!({"1": {"queue": "out"}, "start": [[1, "{n}"]]}));
    without_limit(&facility).await;
    let serve = |facility: &Facility| -> Child {
        let mut command = facility.ours(&["service", "-s", "Dispatcher", "--restart"]);
        command.stderr(std::process::Stdio::null()).spawn().expect("starts")
    };
    let mut services: Vec<Child> = (0..SERVICES).map(|_| serve(&facility)).collect();
    let proxy = Proxy::with_fault(facility.node.port, Point::Elsewhere, false).await;
    let consumer = Arc::new(Amqp::connect(options(proxy.port)).await.expect("connect"));
    let sender = Arc::new(Amqp::connect(options(facility.node.port)).await.expect("connect"));
    let (count, mut counted) = watch::channel(0);
    let (is_over, over) = watch::channel(false);
    let receiving = tokio::spawn(receive(Arc::clone(&consumer), count, over));
    let sending = tokio::spawn(send(Arc::clone(&sender), size.requests));
    let begun = Instant::now();
    let kills = size.services + size.nodes;
    let mut nodes = 0;
    for kill in 0..kills {
        let due = size.requests * (kill + 1) / (kills + 1);
        progress(&facility, &mut counted, due).await;
        if (kill + 1) * size.nodes / kills > nodes {
            nodes += 1;
            facility.node.restart().await;
        } else {
            let service = services.get_mut(kill % SERVICES).expect("a service");
            service.kill().await.expect("it is killed");
            *service = serve(&facility);
        }
    }
    progress(&facility, &mut counted, size.requests).await;
    within("all is sent", sending).await.expect("join");
    for service in &mut services {
        service.kill().await.expect("it is killed");
    }
    // What nobody has dealt with would come now.
    let mut late = serve(&facility);
    for name in ["processing_recipe", "out"] {
        drained(&facility, name).await;
    }
    late.kill().await.expect("it is killed");
    is_over.send_replace(true);
    let received = receiving.await.expect("join");
    let ids: usize = received.ids.values().map(BTreeSet::len).sum();
    println!(
        "{} requests, {} service kills, {nodes} broker kills in {:.0} s: {} came, {} deliveries, {} after the inbox twice",
        size.requests,
        kills - nodes,
        begun.elapsed().as_secs_f64(),
        received.ids.len(),
        proxy.delivered(),
        received.twice.len(),
    );
    assert_eq!(nodes, size.nodes);
    assert!(received.ids.keys().copied().eq(0..size.requests), "every request has led to its message");
    assert_eq!(ids, size.requests, "duplicates have equal ids");
    assert_eq!(received.twice, Vec::<String>::new());
    for name in ["dlq.processing_recipe", "dlq.out"] {
        assert_eq!(messages(&facility, name), Some(0), "{name}");
    }
}

async fn progress(facility: &Facility, counted: &mut watch::Receiver<usize>, due: usize) {
    loop {
        let before = *counted.borrow_and_update();
        if before >= due {
            return;
        }
        let changed = timeout(PATIENCE, counted.changed()).await;
        let stalled = || {
            let columns = ["name", "messages_ready", "messages_unacknowledged", "consumers"];
            let queues = facility.node.control(&[&["list_queues", "--silent"], &columns[..]].concat());
            panic!("nothing comes after {before} messages\n{}\n{queues}", columns.join(" "))
        };
        changed.unwrap_or_else(|_| stalled()).expect("it is received");
    }
}

/// Kills count as deliveries. Here is more of them than anywhere, so the queue has no limit.
async fn without_limit(facility: &Facility) {
    let channel = &facility.channel;
    let text = |text: &str| AMQPValue::LongString(text.into());
    let name = "processing_recipe";
    channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.expect("delete");
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(&format!("dlq.{name}")));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.into(), durable, arguments).await.expect("declare");
}

/// How many messages a queue holds, those under way included.
fn messages(facility: &Facility, name: &str) -> Option<usize> {
    let listed = facility.node.control(&["list_queues", "--silent", "name", "messages"]);
    listed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t')?.trim().parse().ok())
}

async fn drained(facility: &Facility, name: &str) {
    eventually_ok("an empty queue", async || match messages(facility, name) {
        Some(0) => Ok(()),
        left => Err(format!("{name} is not empty: {left:?}")),
    })
    .await;
}
