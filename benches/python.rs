//! The same Python classes under `zocalo.service` and under our host, in turns on one node of RabbitMQ that this starts:
//! messages per second of a class that passes on what it gets, the memory of all processes, and the time from the start of a
//! data collection to its answer while the dispatcher gets 100 other requests a second.
//!
//! `ZRECIPE_BENCH_DODAL` names a virtual environment with the package `dls-dodal`, whose classes are then the beamline.
//! `tests/interop/setup` installs the rest. `cargo bench --bench python`; `-- rates` and `-- answers` measure a part.

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
use std::time::{Duration, Instant};

use lapin::options::QueuePurgeOptions;
use lapin::{Channel, Connection};
use zrecipe::address::Host as Address;
use zrecipe::message::Envelope;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::amqp::{Amqp, Options};
use zrecipe::transport::{Outgoing, Transport as _};
use zrecipe::value::{Object, Value};

use shared::{Result, command, end, facility, ours, python, size, theirs};

const ROUNDS: usize = 3;
const QUEUES: [&str; 6] =
    ["bridged.through", "out", "processing_recipe", "bridged.start", "bridged.end", "bridged.results"];
/// Starts of data collections in a round.
const STARTS: usize = 100;
/// Other requests in a second; `ZRECIPE_BENCH_LOAD` gives another number.
const LOAD: &str = "100";
const MIMAS: &str = r#"{"1": {"queue": "bridged.{event}", "output": {"result": 2}},
    "2": {"queue": "bridged.results", "parameters": {"dcid": "{ispyb_dcid}", "dcgid": 1}}, "start": [[1, {}]]}"#;
const OTHER: &str = r#"{"1": {"queue": "bridged.through", "output": 2}, "2": {"queue": "out"}, "start": [[1, "{n}"]]}"#;
const RECIPE: &str = r#"{"1": {"queue": "bridged.through", "output": 2, "parameters": {"file": "/dls/i03/data/g.cif"}},
    "2": {"queue": "out"}, "start": [[1, {"n": 1}]]}"#;

fn main() -> Result {
    shared::bench(run())
}

async fn run() -> Result {
    let place = Place::new().await?;
    let only = std::env::args().nth(1).filter(|part| part == "rates" || part == "answers");
    if only.as_deref() != Some("answers") {
        place.rates().await?;
    }
    if only.as_deref() != Some("rates") {
        place.answers().await?;
    }
    Ok(())
}

impl Place {
    /// Messages per second, and memory.
    async fn rates(&self) -> Result {
        let mut out = std::io::stdout();
        for (prefetch, count) in [(1, 2_000), (20, 6_000)] {
            let (mut theirs, mut ours) = (Figures::default(), Figures::default());
            for _ in 0..ROUNDS {
                self.measure(self.theirs("Through"), prefetch, count, &mut theirs).await?;
                self.measure(self.ours("Through"), prefetch, count, &mut ours).await?;
            }
            for (what, figures) in [("zocalo.service", &theirs), ("zrecipe service", &ours)] {
                writeln!(
                    out,
                    "{:<44}{:>9.0}/s  {:>4.0} MB  {:.2} times",
                    format!("{what}, prefetch {prefetch}"),
                    figures.rate(),
                    figures.size,
                    figures.rate() / theirs.rate(),
                )?;
            }
        }
        Ok(())
    }

    /// The time from the start of a data collection to its answer.
    async fn answers(&self) -> Result {
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (which, took) in took.iter_mut().enumerate() {
                self.fill(0).await?;
                let command = |service| if which == 0 { self.theirs(service) } else { self.ours(service) };
                let mut services = Vec::new();
                for service in ["Dispatcher", "Centre", "Through"] {
                    services.push(command(service).env("BRIDGED_PREFETCH", "20").spawn()?);
                }
                for queue in ["processing_recipe", "bridged.start", "bridged.through"] {
                    self.served(queue).await?;
                }
                let answered = self.beamline();
                services.iter_mut().try_for_each(end)?;
                took.extend(answered?);
            }
        }
        let mut out = std::io::stdout();
        for (what, took) in ["zocalo.service", "zrecipe service"].into_iter().zip(&mut took) {
            took.sort_by(f64::total_cmp);
            let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize] * 1e3;
            let what = format!("{what}, start to answer, {} times", took.len());
            writeln!(out, "{what:<44}{:>9.1} ms  p99 {:.1} ms  max {:.1} ms", at(0.5), at(0.99), at(1.0))?;
        }
        Ok(())
    }

    async fn served(&self, queue: &str) -> Result {
        loop {
            if queues::look(&self.channel, queue).await?.consumer_count() > 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The seconds from each start to its answer.
    fn beamline(&self) -> Result<Vec<f64>> {
        let dodal = std::env::var_os("ZRECIPE_BENCH_DODAL").map(PathBuf::from);
        let classes = if dodal.is_some() { "dodal" } else { "own" };
        let program = dodal.map_or_else(|| python("python"), |environment| environment.join("bin/python"));
        let mut command = Self::with_classes(command(self.directory.path(), program));
        command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/interop/beamline.py"));
        let load = std::env::var("ZRECIPE_BENCH_LOAD").unwrap_or_else(|_| LOAD.to_owned());
        command.args([classes, &STARTS.to_string(), &load]).stderr(Stdio::inherit());
        let output = command.stdout(Stdio::piped()).output()?;
        let printed = read_value(&output.stdout).map_err(|error| format!("the beamline has failed: {error}"))?;
        let took = printed.get("took").and_then(Value::as_array).ok_or("no times")?;
        Ok(took.iter().filter_map(|took| took.to_json().parse().ok()).collect())
    }
}

/// What was measured in all rounds.
#[derive(Default)]
struct Figures {
    messages: usize,
    took: Duration,
    /// The largest, in MB.
    size: f64,
}

impl Figures {
    fn rate(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }
}

/// A node, queues, and a site.
struct Place {
    node: rabbitmq::Node,
    directory: tempfile::TempDir,
    channel: Channel,
    _connection: Connection,
}

impl Place {
    async fn new() -> Result<Self> {
        let node = rabbitmq::Node::start("bench", None).await;
        let recipes = [("mimas.json", MIMAS), ("load.json", OTHER)];
        let directory = facility(("pika", "PikaTransport"), node.port, "vhost: /", &recipes)?;
        let connection = queues::declare(node.port, &QUEUES).await?;
        let channel = connection.create_channel().await?;
        Ok(Self { node, directory, channel, _connection: connection })
    }

    /// Empties all queues and puts `count` messages into that of the class.
    async fn fill(&self, count: usize) -> Result {
        for queue in QUEUES {
            self.channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?;
        }
        let address = Address { name: "127.0.0.1".to_owned(), port: self.node.port };
        let transport = Amqp::connect(Options::new(vec![address])).await?;
        let messages = (0..count).map(message).collect::<Result<Vec<_>>>()?;
        for batch in messages.chunks(500) {
            transport.send(batch.to_vec()).await?;
        }
        transport.close().await?;
        Ok(())
    }

    /// Has a service process `count` messages.
    async fn measure(&self, mut command: Command, prefetch: usize, count: usize, figures: &mut Figures) -> Result {
        self.fill(count).await?;
        let mut child = command.env("BRIDGED_PREFETCH", prefetch.to_string()).spawn()?;
        // Without its start.
        let first = self.passed(count / 10).await?;
        let begun = Instant::now();
        let last = self.passed(count).await?;
        figures.took += begun.elapsed();
        figures.messages += last - first;
        figures.size = figures.size.max(size(child.id())?);
        end(&mut child)
    }

    /// Waits until `count` messages have passed, and returns how many have.
    async fn passed(&self, count: usize) -> Result<usize> {
        loop {
            let passed = queues::look(&self.channel, "out").await?.message_count() as usize;
            if passed >= count {
                return Ok(passed);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// With the classes and the package of this repository.
    fn with_classes(mut command: Command) -> Command {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let paths = [root.join("python"), root.join("tests/interop/bridged")];
        command.env("PYTHONPATH", std::env::join_paths(paths).unwrap_or_default());
        command.env("ZRECIPE_PYTHON", python("python"));
        command
    }

    fn ours(&self, service: &str) -> Command {
        Self::with_classes(ours(self.directory.path(), service))
    }

    fn theirs(&self, service: &str) -> Command {
        Self::with_classes(theirs(self.directory.path(), service))
    }
}

fn message(n: usize) -> Result<Outgoing> {
    let environment = Object::from_iter([("ID".to_owned(), Value::from("g"))]);
    let id = format!("m-{n}-{:?}", Instant::now());
    let started = Envelope::start(read_value(RECIPE.as_bytes())?, environment, &id)?.remove(0);
    Ok(Outgoing { id, ..started })
}
