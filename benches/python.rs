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
#[path = "../tests/interop/rabbitmq.rs"]
mod rabbitmq;
#[path = "../tests/interop/stage.rs"]
mod stage;
#[path = "../tests/interop/tls.rs"]
mod tls;
#[path = "../tests/shared/wait.rs"]
mod wait;

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};
use zrecipe::address::Host as Address;
use zrecipe::message::Envelope;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::amqp::{Amqp, Options};
use zrecipe::transport::{Outgoing, Transport as _};
use zrecipe::value::{Object, Value};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

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
    if cfg!(debug_assertions) {
        return Err("run it with `cargo bench`".into());
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run())
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
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let declared = self.channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
            if declared.consumer_count() > 0 {
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
        let mut command = self.command(program);
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
        let directory = tempfile::tempdir()?;
        let here = directory.path().display();
        std::fs::create_dir(directory.path().join("recipes"))?;
        std::fs::write(directory.path().join("recipes/mimas.json"), MIMAS)?;
        std::fs::write(directory.path().join("recipes/load.json"), OTHER)?;
        let site = format!(
            "version: 1\n\
             rabbitmq: {{plugin: pika, host: 127.0.0.1, port: {}, username: guest, password: guest, vhost: /}}\n\
             transport: {{plugin: transport, default: PikaTransport}}\n\
             storage: {{plugin: storage, zocalo.recipe_directory: {here}/recipes, \
             zocalo.default_transport: PikaTransport}}\n\
             environments:\n  default: [rabbitmq, transport, storage]\n",
            node.port
        );
        std::fs::write(directory.path().join("site.yml"), site)?;
        let url = format!("amqp://guest:guest@127.0.0.1:{}", node.port);
        let connection = Connection::connect(&url, Default::default()).await?;
        let channel = connection.create_channel().await?;
        for queue in QUEUES {
            let durable = QueueDeclareOptions { durable: true, ..Default::default() };
            let mut arguments = FieldTable::default();
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            channel.queue_declare(queue.into(), durable, arguments).await?;
        }
        for topic in ["transient.status", "command"] {
            let (fanout, options) = (lapin::ExchangeKind::Fanout, ExchangeDeclareOptions::default());
            channel.exchange_declare(topic.into(), fanout, options, FieldTable::default()).await?;
        }
        Ok(Self { node, directory, channel, _connection: connection })
    }

    /// Puts so many messages into the queue of the class; all others are empty.
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

    /// Lets a service work on so many messages.
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

    /// Waits until so many messages have passed; how many have.
    async fn passed(&self, count: usize) -> Result<usize> {
        loop {
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let declared = self.channel.queue_declare("out".into(), passive, FieldTable::default()).await?;
            let passed = declared.message_count() as usize;
            if passed >= count {
                return Ok(passed);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn command(&self, program: PathBuf) -> Command {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let paths = [root.join("python"), root.join("tests/interop/bridged")];
        let mut command = Command::new(program);
        command
            .current_dir(self.directory.path())
            .env("PYTHONPATH", std::env::join_paths(paths).unwrap_or_default())
            .env("ZRECIPE_PYTHON", python("python"))
            .env("ZOCALO_CONFIG", self.directory.path().join("site.yml"))
            .env("ZRECIPE_STATE", self.directory.path().join("state"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn ours(&self, service: &str) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_zrecipe").into());
        command.args(["service", "-s", service]);
        command
    }

    fn theirs(&self, service: &str) -> Command {
        let mut command = self.command(python("zocalo.service"));
        command.args(["-s", service]);
        command
    }
}

fn python(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("python/bin").join(name)
}

fn message(n: usize) -> Result<Outgoing> {
    let environment = Object::from_iter([("ID".to_owned(), Value::from("g"))]);
    let id = format!("m-{n}-{:?}", Instant::now());
    let started = Envelope::start(read_value(RECIPE.as_bytes())?, environment, &id)?.remove(0);
    Ok(Outgoing { id, ..started })
}

fn end(child: &mut Child) -> Result {
    let group = rustix::process::Pid::from_child(child);
    rustix::process::kill_process_group(group, rustix::process::Signal::TERM)?;
    child.wait()?;
    // Python's service is a child of its own that goes on for a while.
    while rustix::process::test_kill_process_group(group).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// What a process and all below it hold in memory, in MB.
fn size(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no size")?;
    let own = line.split_whitespace().nth(1).ok_or("no size")?.parse::<f64>()? / 1024.0;
    let threads = std::fs::read_dir(format!("/proc/{process}/task"))?.flatten();
    let children = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect();
    Ok(own + children.into_iter().filter_map(|child| size(child).ok()).sum::<f64>())
}
