//! What our services cost on top of a bare loop of STOMP frames, and beside Python's, on one node of ActiveMQ that this
//! starts, in one run. The node syncs its journal before it answers.
//!
//! `bound 1` takes a message, sends one and acknowledges in one transaction, one at a time, and waits for each receipt as our
//! transport does; `one answer` waits for that of the commit only, which commits what the broker does not refuse. `bound 200`
//! puts 200 messages in one transaction. `tests/interop/setup` installs the rest. `cargo bench --bench activemq`.

#![allow(dead_code, reason = "of the modules of the tests only a part is used")]

#[path = "../tests/interop/activemq.rs"]
mod activemq;
#[path = "../tests/interop/bare.rs"]
mod bare;
#[path = "../tests/contract/mod.rs"]
mod contract;
#[path = "../tests/shared/port.rs"]
mod port;
mod shared;
#[path = "../tests/shared/wait.rs"]
mod wait;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use zrecipe::address::{Host as Address, Login, Password};
use zrecipe::message::Envelope;
use zrecipe::runtime::Host;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::stomp::frame::Frame;
use zrecipe::transport::stomp::{Options, Stomp};
use zrecipe::transport::{Destination, Outgoing, Transport as _};
use zrecipe::value::{Object, Value};

use activemq::{Node, Setup};
use bare::Bare;
use shared::{Nothing, Result, end, facility, ours, python, theirs};

const QUEUES: [&str; 3] = ["in", "out", "processing_recipe"];
const RECIPE: &str = r#"{"1": {"queue": "in", "output": 2, "parameters": {"file": "/dls/i03/data/{guid}.cif"}},
    "2": {"queue": "out"}, "start": [[1, {"n": 1}]]}"#;

fn main() -> Result {
    shared::bench(run())
}

async fn run() -> Result {
    let place = Place::new().await?;
    let mut out = std::io::stdout();
    // The broker compiles what it runs often.
    place.bare(2_000, 50, true).await?;
    let (bound, short) = (place.bare(2_000, 1, true).await?, place.bare(2_000, 1, false).await?);
    let batch = place.bare(20_000, 200, true).await?;
    writeln!(out, "{:<44}{bound:>9.0}/s", "bare loop, one at a time (bound 1)")?;
    writeln!(out, "{:<44}{short:>9.0}/s", "the same with one answer")?;
    writeln!(out, "{:<44}{batch:>9.0}/s", "bare loop, batches of 200 (bound 200)")?;
    let (one, many) = (place.hop(2_000, 1).await?, place.hop(20_000, 200).await?);
    writeln!(
        out,
        "{:<44}{one:>9.0}/s  {:.2} of bound 1, {:.2} of one answer",
        "service that does nothing, prefetch 1",
        one / bound,
        one / short
    )?;
    writeln!(out, "{:<44}{many:>9.0}/s  {:.2} of bound 200", "service that does nothing, prefetch 200", many / batch)?;
    let python = place.python_hop(2_000).await?;
    let times = [one / python, many / python];
    writeln!(out, "{:<44}{python:>9.0}/s  ours: {:.1} and {:.1} times", "the same in Python", times[0], times[1])?;
    let theirs = place.dispatcher(place.theirs(), 500).await?;
    let ours = place.dispatcher(place.ours(), 5_000).await?;
    writeln!(out, "{:<44}{theirs:>9.0}/s", "Python's dispatcher")?;
    writeln!(out, "{:<44}{ours:>9.0}/s  {:.0} times", "our dispatcher", ours / theirs)?;
    Ok(())
}

/// A node, and a facility's files.
struct Place {
    node: Node,
    directory: tempfile::TempDir,
}

impl Place {
    async fn new() -> Result<Self> {
        let node = Node::start(Setup { store: 1_000, ..Setup::default() }).await;
        let recipes = [("one.json", RECIPE)];
        let directory = facility(("stomp", "StompTransport"), node.port, "prefix: zocalo", &recipes)?;
        Ok(Self { node, directory })
    }

    async fn transport(&self) -> Result<Stomp> {
        let options = Options {
            login: Login::Password { user: "guest".to_owned(), password: Password::new("guest") },
            prefix: "zocalo".to_owned(),
            ..Options::new(vec![Address { name: "127.0.0.1".to_owned(), port: self.node.port }])
        };
        Ok(Stomp::connect(options).await?)
    }

    /// Empties all queues and puts `count` messages into one.
    async fn fill(&self, queue: &str, count: usize, message: impl Fn(usize) -> Outgoing) -> Result {
        let transport = self.transport().await?;
        for queue in QUEUES {
            transport.purge(queue).await?;
        }
        let messages: Vec<Outgoing> = (0..count).map(message).collect();
        for batch in messages.chunks(500) {
            transport.send(batch.to_vec()).await?;
        }
        transport.close().await?;
        assert_eq!(self.depth(queue).await?, count);
        Ok(())
    }

    /// How many messages a queue has, by Jolokia.
    async fn depth(&self, queue: &str) -> Result<usize> {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.node.api_port)).await?;
        let path = format!(
            "/api/jolokia/read/org.apache.activemq:type=Broker,brokerName=localhost,destinationType=Queue,\
             destinationName=zocalo.{queue}/QueueSize"
        );
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let value = read_value(body.as_bytes())?;
        let size = value.get("value").and_then(Value::as_i64).ok_or_else(|| format!("no size: {answer}"))?;
        Ok(usize::try_from(size)?)
    }

    /// Messages per second of a bare loop with `batch` messages in a transaction.
    async fn bare(&self, count: usize, batch: usize, each: bool) -> Result<f64> {
        self.fill("in", count, hop).await?;
        let mut bare = Bare::connect(self.node.port).await;
        let begun = Instant::now();
        bare.subscribe("/queue/zocalo.in", u16::try_from(batch)?).await;
        for transaction in 0..count / batch {
            let id = format!("t{transaction}");
            let of = |command: &str| Frame::new(command).with("transaction", id.as_str());
            let mut frames = vec![of("BEGIN")];
            for _ in 0..batch {
                let message = bare.message().await;
                let mut send = of("SEND").with("destination", "/queue/zocalo.out").with("persistent", "true");
                frames.push(of("ACK").with("id", message.get("ack").unwrap_or_default()));
                send.body = message.body;
                frames.push(send);
            }
            let last = frames.len() - 1;
            if each {
                let receipt = |(n, frame): (usize, Frame)| frame.with("receipt", format!("{id}-{n}"));
                frames = frames.into_iter().enumerate().map(receipt).collect();
            }
            bare.write(&frames).await;
            if each {
                bare.answer(&format!("{id}-{last}")).await?;
            }
            bare.ask(of("COMMIT")).await?;
        }
        Ok(count as f64 / begun.elapsed().as_secs_f64())
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
            .args([&format!("stomp:{}:zocalo", self.node.port), "serve", "in"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let rate = self.drained("in", count).await;
        drop(child.stdin.take());
        child.wait()?;
        rate
    }

    /// Requests per second of a dispatcher.
    async fn dispatcher(&self, mut command: Command, count: usize) -> Result<f64> {
        self.fill("processing_recipe", count, |n| Outgoing {
            body: format!(r#"{{"recipes": ["one"], "parameters": {{"guid": "g-{n}"}}}}"#).into_bytes(),
            ..message(n, "processing_recipe")
        })
        .await?;
        let mut child = command.spawn()?;
        let rate = self.drained("processing_recipe", count).await;
        end(&mut child)?;
        rate
    }

    /// How many messages a second leave a queue, from a tenth of them on.
    async fn drained(&self, queue: &str, count: usize) -> Result<f64> {
        let mut begun = None;
        loop {
            let left = self.depth(queue).await?;
            let gone = count - left.min(count);
            match begun {
                None if gone >= count / 10 => begun = Some((Instant::now(), gone)),
                Some((begun, before)) if left == 0 => {
                    return Ok((gone - before) as f64 / Instant::elapsed(&begun).as_secs_f64());
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
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
    let id = format!("m-{n}-{}", uuid::Uuid::new_v4());
    Outgoing::new(id, Destination::Queue(queue.to_owned()), Object::new(), Vec::new())
}

/// A message of the recipe for the service; its id is that of no other run.
fn hop(_: usize) -> Outgoing {
    let recipe = read_value(RECIPE.replace("{guid}", "g").as_bytes()).unwrap_or_default();
    let environment = Object::from_iter([("ID".to_owned(), Value::from("g"))]);
    let id = uuid::Uuid::new_v4().to_string();
    let mut messages = Envelope::start(recipe, environment, &id).unwrap_or_default();
    messages.remove(0)
}
