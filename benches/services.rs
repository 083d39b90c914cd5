//! What a step costs in a service that does nothing, on the embedded broker, against calling the program directly: a worker
//! that stays, and programs that are started for each message, by a shell and in Python. They take turns in one run.
//! `cargo bench --bench services`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use zrecipe::contract::Contract;
use zrecipe::message::Envelope;
use zrecipe::runtime::foreign::Foreign;
use zrecipe::runtime::process::Limits;
use zrecipe::runtime::process::{Program, run};
use zrecipe::runtime::python::Interpreter;
use zrecipe::runtime::{Host, Service, supervisor};
use zrecipe::settings::Settings;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::embedded::{Broker, Embedded, Options};
use zrecipe::transport::{Deliveries, Destination, Outgoing, Settlement, Subscription, Transport as _, Verdict};
use zrecipe::value::{Object, Value};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const ROUNDS: usize = 6;
const ROLE: &str = "ZRECIPE_BENCH_SERVICES";
const FLIGHT: usize = 50;

/// A program in Python as people write them.
const PYTHON: &str = r#"import sys; sys.stdin.read(); print('{"payload": 1}')"#;

fn main() -> Result<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = supervisor::main(&arguments) {
        return Ok(code);
    }
    if std::env::var(ROLE).is_ok() {
        return work().map(|()| ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure()).map(|()| ExitCode::SUCCESS)
}

/// A worker that does nothing.
fn work() -> Result {
    let mut out = std::io::stdout();
    for line in std::io::stdin().lines() {
        let message = read_value(line?.as_bytes())?;
        let number = |key: &str| message.get(key).and_then(Value::as_i64);
        match number("ping") {
            Some(ping) => writeln!(out, r#"{{"pong": {ping}}}"#)?,
            None => writeln!(out, r#"{{"id": {}, "outputs": [{{"payload": 1}}]}}"#, number("id").unwrap_or_default())?,
        }
        out.flush()?;
    }
    Ok(())
}

/// A step through a service: its namespace and what comes out.
struct Line {
    queue: &'static str,
    space: Embedded,
    out: Deliveries,
    count: usize,
}

impl Line {
    async fn new(broker: &Broker, queue: &'static str) -> Result<Self> {
        let space = broker.namespace(queue);
        for name in [queue, "out"] {
            space.declare(name).await?;
        }
        let source = Destination::Queue("out".to_owned());
        let out = space.subscribe(Subscription { source, prefetch: 2 * FLIGHT as u16 }).await?;
        Ok(Self { queue, space, out, count: 0 })
    }

    fn message(&mut self) -> Result<Outgoing> {
        self.count += 1;
        let id = format!("{}-{}", self.queue, self.count);
        let recipe = format!(
            r#"{{"1": {{"queue": "{}", "output": 2}}, "2": {{"queue": "out"}}, "start": [[1, {{"image": 7}}]]}}"#,
            self.queue
        );
        let message = Envelope::start(read_value(recipe.as_bytes())?, Object::new(), &id)?.remove(0);
        Ok(Outgoing { id, ..message })
    }

    /// The time that a step takes when there are so many at a time.
    async fn step(&mut self, steps: usize, flight: usize) -> Result<Duration> {
        let begun = Instant::now();
        for _ in 0..steps / flight {
            let messages = (0..flight).map(|_| self.message()).collect::<Result<Vec<_>>>()?;
            self.space.send(messages).await?;
            for _ in 0..flight {
                let next = self.out.next().await.ok_or("the broker is gone")?;
                let accept = Settlement { verdict: Verdict::Accept, outputs: Vec::new(), note: None };
                self.space.settle(&next, accept).await?;
            }
        }
        Ok(begun.elapsed() / u32::try_from(steps)?)
    }
}

async fn measure() -> Result {
    let directory = tempfile::Builder::new().prefix("zrecipe-bench").tempdir_in(".")?;
    let broker = Broker::open(&directory.path().join("zrecipe.db"), Options::default()).await?;
    let (stop, stopped) = watch::channel(false);
    let (events, mut heard) = mpsc::unbounded_channel();
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    let ourselves = std::env::current_exe()?.to_string_lossy().into_owned();
    let shell = vec!["sh".to_owned(), "-c".to_owned(), "echo '{\"payload\": 1}'".to_owned()];
    // Not what chooses among several of them.
    let python = Command::new("python3").args(["-c", "import sys; print(sys.executable, end='')"]).output()?.stdout;
    let python = vec![String::from_utf8(python)?, "-c".to_owned(), PYTHON.to_owned()];
    let programs = [("sh", shell), ("python", python)];
    let worker = ["env", &format!("{ROLE}=worker"), &ourselves].map(str::to_owned).to_vec();
    let worker = Value::from([
        ("command", Value::from(worker)),
        ("mode", Value::from("worker")),
        ("prefetch", Value::from(FLIGHT as i64)),
    ]);
    let mut runs = vec![("worker", worker)];
    for (name, command) in &programs {
        let command = ("command", Value::from(command.clone()));
        runs.push((*name, Value::from([command, ("results", Value::from("stdout"))])));
    }
    let mut lines = Vec::new();
    let python = Interpreter::of(&Settings::default())?;
    for (queue, run) in runs {
        let text = format!(
            r#"{{"names": ["{queue}"], "queues": ["{queue}"], "channels": {{"result": {{"default": true}}}}, "run": {}}}"#,
            run.to_json()
        );
        let contract = Arc::new(Contract::parse(&format!("{queue}.json"), &text)?);
        let service: Arc<dyn Service> = Arc::new(Foreign::new(contract, &python).ok_or("it is not run")?);
        let line = Line::new(&broker, queue).await?;
        let transport = Arc::new(line.space.clone());
        let host = Host::new(transport, vec![service], FLIGHT, events.clone(), stopped.clone());
        tokio::spawn(async move { host.serve(&[queue.to_owned()]).await });
        lines.push(line);
    }
    let mut worker = lines.remove(0);
    worker.step(FLIGHT, 1).await?;
    for line in &mut lines {
        line.step(1, 1).await?;
    }
    let mut direct =
        Command::new(&ourselves).env(ROLE, "worker").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (mut to, from) = (direct.stdin.take().ok_or("no input")?, direct.stdout.take().ok_or("no output")?);
    let mut from = BufReader::new(from);
    let mut answer = String::new();
    let mut ask = |id: usize| -> Result {
        answer.clear();
        writeln!(
            to,
            r#"{{"id": {id}, "step": {{"queue": "worker"}}, "parameters": {{}}, "payload": {{"image": 7}}}}"#
        )?;
        to.flush()?;
        from.read_line(&mut answer)?;
        Ok(())
    };
    let mut took = [Duration::ZERO; 3];
    let mut of_programs = [[Duration::ZERO; 3]; 2];
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        (0..1000).try_for_each(&mut ask)?;
        took[0] += begun.elapsed() / 1000;
        took[1] += worker.step(200, 1).await?;
        took[2] += worker.step(20 * FLIGHT, FLIGHT).await?;
        for (((_, command), line), took) in programs.iter().zip(&mut lines).zip(&mut of_programs) {
            let begun = Instant::now();
            for _ in 0..100 {
                Command::new(&command[0]).args(&command[1..]).stdin(Stdio::null()).output()?;
            }
            took[0] += begun.elapsed() / 100;
            let begun = Instant::now();
            for _ in 0..100 {
                supervised(command).await?;
            }
            took[1] += begun.elapsed() / 100;
            took[2] += line.step(100, 1).await?;
        }
    }
    drop(to);
    direct.wait()?;
    let mut out = std::io::stdout();
    writeln!(out, "{:<44}{:>10}{:>12}{:>10}", "a step, in ms", "takes", "overhead", "ratio")?;
    let mut tell = |what: &str, took: &[Duration; 3], ways: [&str; 3]| -> Result {
        let took = took.map(|took| took.as_secs_f64() * 1e3 / ROUNDS as f64);
        for (way, takes) in ways.into_iter().zip(took) {
            let what = format!("{what}, {way}");
            writeln!(out, "{what:<44}{takes:>10.3}{:>12.3}{:>10.2}", takes - took[0], takes / took[0])?;
        }
        Ok(())
    };
    tell("worker", &took, ["called directly", "by the broker, one at a time", "by the broker, 50 in flight"])?;
    for ((name, _), took) in programs.iter().zip(&of_programs) {
        tell(name, took, ["fork and exec", "under the supervisor", "by the broker, one at a time"])?;
    }
    let _ = stop.send(true);
    Ok(())
}

async fn supervised(command: &[String]) -> Result {
    let limits = Limits::default();
    let program = Program {
        arguments: command,
        directory: Path::new("."),
        input: None,
        environment: None,
        variables: &[],
        output: tempfile::tempfile()?,
        errors: None,
        limit: Duration::from_secs(10),
        limits: &limits,
    };
    run(program).await?;
    Ok(())
}
