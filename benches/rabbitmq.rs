//! What our services cost on top of a bare client, and beside Python's: a hop of a service that does nothing, and the
//! dispatcher, on quorum queues of one node that this starts, in one run.
//!
//! `bound 1` is a loop on lapin that takes a message, sends one with confirm and acknowledges, one at a time; `bound 200`
//! sends 200, waits for their confirms and acknowledges them as one. `tests/interop/setup` installs the rest.
//! `cargo bench --bench rabbitmq`.

#![allow(dead_code, reason = "of the modules of the tests only a part is used")]

#[path = "../tests/contract/mod.rs"]
mod contract;
#[path = "../tests/shared/port.rs"]
mod port;
#[path = "../tests/interop/proxy.rs"]
mod proxy;
#[path = "shared/queues.rs"]
mod queues;
#[path = "../tests/interop/rabbitmq.rs"]
mod rabbitmq;
mod shared;
#[path = "../tests/interop/stage.rs"]
mod stage;
#[path = "../tests/interop/tls.rs"]
mod tls;
#[path = "../tests/shared/wait.rs"]
mod wait;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueuePurgeOptions,
};
use lapin::{BasicProperties, Connection};
use tokio::sync::{mpsc, watch};
use zrecipe::address::Host as Address;
use zrecipe::message::Envelope;
use zrecipe::runtime::Host;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::amqp::{Amqp, Options};
use zrecipe::transport::{Destination, Outgoing, Transport as _};
use zrecipe::value::{Object, Value};

use shared::{Nothing, Result, end, facility, ours, python, size, theirs};

const QUEUES: [&str; 3] = ["in", "out", "processing_recipe"];
const RECIPE: &str = r#"{"1": {"queue": "in", "output": 2, "parameters": {"file": "/dls/i03/data/{guid}.cif"}},
    "2": {"queue": "out"}, "start": [[1, {"n": 1}]]}"#;

fn main() -> Result {
    shared::bench(run())
}

async fn run() -> Result {
    let place = Place::new().await?;
    let mut out = std::io::stdout();
    let (bound, batch) = (place.bare(3_000, 1).await?, place.bare(30_000, 200).await?);
    writeln!(out, "{:<44}{bound:>9.0}/s", "bare client, one at a time (bound 1)")?;
    writeln!(out, "{:<44}{batch:>9.0}/s", "bare client, batches of 200 (bound 200)")?;
    let (one, many) = (place.hop(3_000, 1).await?, place.hop(30_000, 200).await?);
    writeln!(out, "{:<44}{one:>9.0}/s  {:.2} of bound 1", "service that does nothing, prefetch 1", one / bound)?;
    writeln!(out, "{:<44}{many:>9.0}/s  {:.2} of bound 200", "service that does nothing, prefetch 200", many / batch)?;
    let python = place.python_hop(2_000).await?;
    writeln!(
        out,
        "{:<44}{python:>9.0}/s  ours: {:.1} and {:.1} times",
        "the same in Python",
        one / python,
        many / python
    )?;
    let (theirs, their_size) = place.dispatcher(place.theirs(), 500).await?;
    let (ours, our_size) = place.dispatcher(place.ours(), 20_000).await?;
    writeln!(out, "{:<44}{theirs:>9.0}/s  {their_size:.0} MB", "Python's dispatcher")?;
    writeln!(out, "{:<44}{ours:>9.0}/s  {our_size:.0} MB, {:.0} times", "our dispatcher", ours / theirs)?;
    writeln!(out, "{:<44}{:>9.1} MB", "our dispatcher, idle", place.idle().await?)?;
    Ok(())
}

/// A node, queues, and a facility's files.
struct Place {
    node: rabbitmq::Node,
    directory: tempfile::TempDir,
    connection: Connection,
}

impl Place {
    async fn new() -> Result<Self> {
        let node = rabbitmq::Node::start("bench", None).await;
        let recipes = [("one.json", RECIPE)];
        let directory = facility(("pika", "PikaTransport"), node.port, "vhost: /", &recipes)?;
        let connection = queues::declare(node.port, &QUEUES).await?;
        Ok(Self { node, directory, connection })
    }

    async fn transport(&self) -> Result<Amqp> {
        Ok(Amqp::connect(Options::new(vec![Address { name: "127.0.0.1".to_owned(), port: self.node.port }])).await?)
    }

    /// Empties all queues and puts `count` messages into one.
    async fn fill(&self, queue: &str, count: usize, message: impl Fn(usize) -> Outgoing) -> Result {
        let channel = self.connection.create_channel().await?;
        for queue in QUEUES {
            channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?;
        }
        let transport = self.transport().await?;
        let messages: Vec<Outgoing> = (0..count).map(message).collect();
        for batch in messages.chunks(500) {
            transport.send(batch.to_vec()).await?;
        }
        transport.close().await?;
        assert_eq!(queues::look(&channel, queue).await?.message_count() as usize, count);
        Ok(())
    }

    /// Messages per second of a bare loop.
    async fn bare(&self, count: usize, batch: usize) -> Result<f64> {
        self.fill("in", count, hop).await?;
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channel.basic_qos(batch as u16, BasicQosOptions::default()).await?;
        let consumed =
            channel.basic_consume("in".into(), "".into(), BasicConsumeOptions::default(), Default::default());
        let begun = Instant::now();
        let mut consumer = consumed.await?;
        let mut done = 0;
        while done < count {
            let (mut confirms, mut last) = (Vec::new(), 0);
            while confirms.len() < batch {
                let delivery =
                    std::future::poll_fn(|cx| futures_core::Stream::poll_next(std::pin::Pin::new(&mut consumer), cx));
                let delivery = delivery.await.ok_or("the consumer has ended")??;
                let options = BasicPublishOptions { mandatory: true, ..Default::default() };
                let persistent = BasicProperties::default().with_delivery_mode(2);
                let sent = channel.basic_publish("".into(), "out".into(), options, &delivery.data, persistent).await?;
                confirms.push(sent);
                last = delivery.delivery_tag;
            }
            for confirm in confirms {
                confirm.await?;
                done += 1;
            }
            channel.basic_ack(last, BasicAckOptions { multiple: true }).await?;
        }
        let took = begun.elapsed();
        channel.close(200, "".into()).await?;
        Ok(count as f64 / took.as_secs_f64())
    }

    /// Messages per second of a service that does nothing.
    async fn hop(&self, count: usize, prefetch: u16) -> Result<f64> {
        self.fill("in", count, hop).await?;
        let transport = Arc::new(self.transport().await?);
        let (events, mut received) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let host =
            Host::new(transport.clone(), vec![Arc::new(Nothing { prefetch })], usize::from(prefetch), events, stopped);
        let begun = Instant::now();
        let serving = tokio::spawn(async move { host.serve(&["in".to_owned()]).await });
        let mut done = 0;
        while done < count {
            let event = received.recv().await.ok_or("the host has ended")?;
            done += usize::from(matches!(event, zrecipe::runtime::Event::Settled { .. }));
        }
        let took = begun.elapsed();
        stop.send(true)?;
        serving.await??;
        transport.close().await?;
        Ok(count as f64 / took.as_secs_f64())
    }

    async fn python_hop(&self, count: usize) -> Result<f64> {
        self.fill("in", count, hop).await?;
        let mut child = Command::new(python("python"))
            .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/interop/python.py"))
            .args([&self.node.port.to_string(), "serve", "in"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let rate = self.drained("in", count).await;
        drop(child.stdin.take());
        child.wait()?;
        rate
    }

    /// Requests per second of a dispatcher, and its size in MB.
    async fn dispatcher(&self, mut command: Command, count: usize) -> Result<(f64, f64)> {
        self.fill("processing_recipe", count, |n| Outgoing {
            body: format!(r#"{{"recipes": ["one"], "parameters": {{"guid": "g-{n}"}}}}"#).into_bytes(),
            ..message(n, "processing_recipe")
        })
        .await?;
        let mut child = command.spawn()?;
        let rate = self.drained("processing_recipe", count).await;
        let size = size(child.id());
        end(&mut child)?;
        Ok((rate?, size?))
    }

    /// The size of our dispatcher when it has nothing to do.
    async fn idle(&self) -> Result<f64> {
        self.fill("processing_recipe", 0, |n| message(n, "in")).await?;
        let mut child = self.ours().spawn()?;
        let channel = self.connection.create_channel().await?;
        while queues::look(&channel, "processing_recipe").await?.consumer_count() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let size = size(child.id());
        end(&mut child)?;
        size
    }

    /// How many messages a second leave a queue, from a tenth of them on.
    async fn drained(&self, queue: &str, count: usize) -> Result<f64> {
        let channel = self.connection.create_channel().await?;
        let mut begun = None;
        loop {
            let left = queues::look(&channel, queue).await?.message_count() as usize;
            let gone = count - left.min(count);
            match begun {
                None if gone >= count / 10 => begun = Some((Instant::now(), gone)),
                Some((begun, before)) if left == 0 => {
                    return Ok((gone - before) as f64 / Instant::elapsed(&begun).as_secs_f64());
                }
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    fn ours(&self) -> Command {
        ours(self.directory.path(), "Dispatcher")
    }

    fn theirs(&self) -> Command {
        theirs(self.directory.path(), "Dispatcher")
    }
}

fn message(n: usize, queue: &str) -> Outgoing {
    Outgoing::new(
        format!("m-{n}-{}", std::process::id()),
        Destination::Queue(queue.to_owned()),
        Object::new(),
        Vec::new(),
    )
}

/// A message of the recipe for the service.
fn hop(n: usize) -> Outgoing {
    let recipe = read_value(RECIPE.replace("{guid}", "g").as_bytes()).unwrap_or_default();
    let environment = Object::from_iter([("ID".to_owned(), Value::from("g"))]);
    let mut messages = Envelope::start(recipe, environment, &n.to_string()).unwrap_or_default();
    messages.remove(0)
}
