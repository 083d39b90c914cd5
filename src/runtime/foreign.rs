//! Services in any language: programs that a contract says how to run (`run`).
//!
//! A program is started for each message, or stays (`mode: worker`, see [`crate::runtime::workers`]).
//!
//! For a message it gets the payload as JSON on standard input, and finds in its environment the names of files:
//! `ZRECIPE_STEP`, `ZRECIPE_PARAMETERS`, `ZRECIPE_ENVIRONMENT` (JSON), and `ZRECIPE_RESULTS`, to which it appends what it
//! sends in lines of JSON: `{"channel": "result", "payload": …}`. `ZRECIPE_RECIPE_ID` is the recipe ID. Nothing of a
//! message is ever part of a command.
//!
//! | exit status | meaning |
//! |---|---|
//! | 0 | done; what it has written is sent |
//! | 65 (`EX_DATAERR`) | the message can never be dealt with: to the dead letters, with its last line of standard error |
//! | 75 (`EX_TEMPFAIL`) | not now: the message comes again |
//! | 126, 127 | the program cannot be started: the message comes again |
//! | anything else, and a signal | a payload with `reason` on channel `failure` if the contract has it, otherwise the message comes again |
//!
//! At its time limit it is stopped; then channel `timeout` counts before `failure`. What a program has written that did
//! not end well is not sent.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::contract::{Contract, Invocation};
use crate::message::{Envelope, Output};
use crate::runtime::process::{Ending, Program, run};
use crate::runtime::workers::{Fault, Plan, Workers};
use crate::runtime::{Job, Outcome, Service, StepResult};
use crate::settings::Limits;
use crate::syntax::json::read_value;
use crate::value::{Object, Value};

/// How long to wait before a message is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How often we look at what a program has written.
const LOOK: Duration = Duration::from_millis(100);

/// The most that a program may write for a message, in bytes.
const MOST: u64 = 64 << 20;

/// How much of what a failed program has written to standard error goes into a payload, in bytes.
const TAIL: usize = 4096;

/// A service that is a program.
pub struct Foreign {
    contract: Arc<Contract>,
    invocation: Invocation,
    workers: Option<Workers>,
}

impl Foreign {
    /// The service of a contract that says how it is run.
    pub fn new(contract: Arc<Contract>) -> Option<Self> {
        let invocation = contract.invocation.clone()?;
        let workers = invocation.stays.then(|| {
            Workers::new(Plan {
                command: invocation.command.clone(),
                directory: invocation.directory.clone(),
                count: invocation.workers,
                prefetch: invocation.prefetch,
                time_limit: invocation.time_limit,
                start_limit: invocation.start_limit,
                health: invocation.health,
            })
        });
        Some(Self { contract, invocation, workers })
    }

    async fn ask(&self, workers: &Workers, envelope: &Envelope) -> Outcome {
        let question = [
            ("step", Value::Object(envelope.step().clone())),
            ("parameters", Value::Object(envelope.parameters())),
            ("environment", Value::Object(envelope.environment.clone())),
            ("payload", envelope.payload.clone()),
        ];
        match workers.ask(question.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()).await {
            Ok(answer) => self.answered(&answer),
            Err(Fault::TooLong) => self.timed_out(Object::new()),
            Err(Fault::Gone(reason)) => Outcome::Later { reason, after: RETRY },
        }
    }

    /// What a worker's answer means.
    fn answered(&self, answer: &Value) -> Outcome {
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        let after = match answer.get("after") {
            Some(Value::Number(seconds)) => Duration::try_from_secs_f64(seconds.as_f64()).ok(),
            _ => None,
        };
        if let Some(reason) = text("bad") {
            return Outcome::Bad { reason };
        }
        if let Some(reason) = text("later") {
            return Outcome::Later { reason, after: after.unwrap_or(RETRY) };
        }
        if let Some(payload) = answer.get("checkpoint") {
            return Outcome::Checkpoint { payload: payload.clone(), delay: after.unwrap_or_default() };
        }
        let said = answer.get("outputs").and_then(Value::as_array).unwrap_or_default();
        let outputs = match said.iter().map(output).collect::<Result<Vec<_>, _>>() {
            Ok(outputs) => outputs,
            Err(reason) => return self.failed(reason, Object::new()),
        };
        match text("result").as_deref() {
            None | Some("done") => Outcome::done(outputs),
            Some(_) => {
                let detail = text("reason").map_or(Value::Null, |reason| Value::from([("reason", reason)]));
                Outcome::Done { outputs, result: StepResult::Failed, detail }
            }
        }
    }

    async fn run(&self, envelope: &Envelope) -> io::Result<Outcome> {
        let private = std::fs::Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("zrecipe-").permissions(private).tempdir()?;
        let place = |name: &str| directory.path().join(name);
        let (step, parameters) = (Value::Object(envelope.step().clone()), Value::Object(envelope.parameters()));
        let environment = Value::Object(envelope.environment.clone());
        let mut arguments = vec!["env".to_owned()];
        let mut tell = |variable: &str, text: &str| arguments.push(format!("{variable}={text}"));
        for (variable, name, value) in [
            ("ZRECIPE_STEP", "step.json", step),
            ("ZRECIPE_PARAMETERS", "parameters.json", parameters),
            ("ZRECIPE_ENVIRONMENT", "environment.json", environment),
        ] {
            std::fs::write(place(name), value.to_json())?;
            tell(variable, &place(name).to_string_lossy());
        }
        let results = place("results");
        File::create(&results)?;
        tell("ZRECIPE_RESULTS", &results.to_string_lossy());
        tell("ZRECIPE_RECIPE_ID", envelope.id().unwrap_or_default());
        arguments.extend(self.invocation.command.iter().cloned());
        let input = envelope.payload.to_json();
        let (output, errors) = (place("output"), place("errors"));
        let program = Program {
            arguments: &arguments,
            directory: &self.invocation.directory,
            input: Some(&input),
            environment: None,
            output: File::create(&output)?,
            errors: Some(File::create(&errors)?),
            limit: self.invocation.time_limit,
            // What it writes is watched here.
            limits: &Limits { output: 1 << 40, ..Limits::default() },
        };
        let results = if self.invocation.prints_results { &output } else { &results };
        let mut log = Log::default();
        let printed = (!self.invocation.prints_results).then_some(&output);
        let mut logged = vec![Tail::open(&errors)?];
        logged.extend(printed.map(|path| Tail::open(path)).transpose()?);
        let ending = tokio::select! {
            ending = run(program) => Some(ending?),
            () = watch(&mut log, &mut logged, results) => None,
        };
        logged.iter_mut().try_for_each(|tail| tail.follow(&mut log, true))?;
        let Some(ending) = ending else {
            return Ok(self.failed(format!("it has written more than {MOST} bytes"), Object::new()));
        };
        let name = self.invocation.command.first().map_or("", String::as_str);
        let because = |how: String| {
            if log.last.is_empty() { format!("`{name}` {how}") } else { format!("`{name}` {how}: {}", log.last) }
        };
        let details = |key: &str, value: i32| {
            let output = ("output".to_owned(), Value::from(log.tail()));
            Object::from_iter([(key.to_owned(), Value::from(i64::from(value))), output])
        };
        Ok(match ending {
            Ending::Exited(0) => match read_results(results) {
                Ok(outputs) => Outcome::done(outputs),
                Err(reason) => self.failed(reason, Object::new()),
            },
            Ending::Exited(65) if log.last.is_empty() => Outcome::Bad { reason: because("refused it".to_owned()) },
            Ending::Exited(65) => Outcome::Bad { reason: log.last.clone() },
            Ending::Exited(75) => {
                Outcome::Later { reason: because("cannot deal with it now".to_owned()), after: RETRY }
            }
            Ending::Exited(126 | 127) => {
                Outcome::Later { reason: because("cannot be started".to_owned()), after: RETRY }
            }
            Ending::Exited(status) => {
                self.failed(because(format!("ended with exit status {status}")), details("exit_status", status))
            }
            Ending::Signalled(signal) => {
                self.failed(because(format!("was ended by signal {signal}")), details("signal", signal))
            }
            Ending::Unstartable(reason) => {
                Outcome::Later { reason: because(format!("cannot be started: {reason}")), after: RETRY }
            }
            Ending::Silent => self.failed(because("was silent for too long".to_owned()), Object::new()),
            Ending::TimedOut => self.timed_out(Object::from_iter([("output".to_owned(), Value::from(log.tail()))])),
        })
    }

    fn timed_out(&self, mut payload: Object) -> Outcome {
        let limit = self.invocation.time_limit.as_secs_f64();
        payload.insert("timeout".to_owned(), Value::from(limit));
        let reason = format!("it was stopped after {limit} s");
        match self.contract.channel("timeout") {
            Some(channel) => send(&channel.name, reason, payload, StepResult::TimedOut),
            None => self.fail(reason, payload, StepResult::TimedOut),
        }
    }

    fn failed(&self, reason: String, payload: Object) -> Outcome {
        self.fail(reason, payload, StepResult::Failed)
    }

    fn fail(&self, reason: String, payload: Object, result: StepResult) -> Outcome {
        match self.contract.channel("failure") {
            Some(channel) => send(&channel.name, reason, payload, result),
            None => Outcome::Later { reason, after: RETRY },
        }
    }
}

fn send(channel: &str, reason: String, mut payload: Object, result: StepResult) -> Outcome {
    payload.insert("reason".to_owned(), Value::from(reason));
    let detail = Value::Object(payload);
    Outcome::Done { outputs: vec![Output::on(channel, detail.clone())], result, detail }
}

#[async_trait]
impl Service for Foreign {
    fn name(&self) -> &str {
        self.contract.name()
    }

    fn contract(&self) -> Option<&Contract> {
        Some(&self.contract)
    }

    fn prefetch(&self) -> u16 {
        let workers = if self.invocation.stays { self.invocation.workers } else { 1 };
        self.invocation.prefetch.saturating_mul(workers)
    }

    async fn begin(&self) {
        if let Some(workers) = &self.workers {
            workers.begin();
        }
    }

    async fn finish(&self) {
        if let Some(workers) = &self.workers {
            workers.finish().await;
        }
    }

    async fn handle(&self, job: &Job) -> Outcome {
        let Some(envelope) = &job.envelope else {
            return Outcome::Bad { reason: "the message carries no recipe".to_owned() };
        };
        match &self.workers {
            Some(workers) => self.ask(workers, envelope).await,
            None => {
                let ran = self.run(envelope).await;
                ran.unwrap_or_else(|error| Outcome::Later { reason: error.to_string(), after: RETRY })
            }
        }
    }
}

/// What a program sends: `{"channel": …, "payload": …}`; without a channel on the default one.
fn output(said: &Value) -> Result<Output, String> {
    let channel = match said.get("channel") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(_) => return Err(format!("it sends on a channel without a name: {}", said.to_json())),
    };
    match said.get("payload") {
        Some(payload) => Ok(Output { channel, payload: payload.clone(), headers: Object::new() }),
        None => Err(format!("it sends something without `payload`: {}", said.to_json())),
    }
}

fn read_results(path: &Path) -> Result<Vec<Output>, String> {
    let text = std::fs::read(path).map_err(|error| format!("its results cannot be read: {error}"))?;
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(at, line)| {
            let said = read_value(line).map_err(|error| format!("line {} of its results is {error}", at + 1))?;
            output(&said)
        })
        .collect()
}

/// Logs what a program says, until it has written too much.
async fn watch(log: &mut Log, logged: &mut [Tail], results: &PathBuf) {
    loop {
        tokio::time::sleep(LOOK).await;
        let mut written = std::fs::metadata(results).map_or(0, |file| file.len());
        for tail in &mut *logged {
            // What cannot be read is of no use, and no reason to stop the program.
            let _ = tail.follow(log, false);
            written += tail.read;
        }
        if written > MOST {
            return;
        }
    }
}

/// What a program has said.
#[derive(Default)]
struct Log {
    last: String,
    end: String,
}

impl Log {
    fn line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        if line.trim().is_empty() {
            return;
        }
        tracing::info!("{line}");
        self.end.push_str(&line);
        self.end.push('\n');
        let excess = self.end.len().saturating_sub(TAIL);
        self.end.drain(..self.end.ceil_char_boundary(excess));
        self.last = line;
    }

    fn tail(&self) -> &str {
        &self.end
    }
}

/// A file that grows.
struct Tail {
    file: File,
    /// How much has been read, in bytes.
    read: u64,
    /// A line that has not ended.
    rest: Vec<u8>,
}

impl Tail {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, read: 0, rest: Vec::new() })
    }

    fn follow(&mut self, log: &mut Log, is_over: bool) -> io::Result<()> {
        let mut new = Vec::new();
        self.read += (&mut self.file).take(MOST).read_to_end(&mut new)? as u64;
        self.rest.append(&mut new);
        let whole = if is_over { self.rest.len() } else { memchr::memrchr(b'\n', &self.rest).map_or(0, |at| at + 1) };
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        lines.split(|byte| *byte == b'\n').for_each(|line| log.line(line));
        Ok(())
    }
}
