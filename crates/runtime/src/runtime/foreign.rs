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
//! | anything else, and a signal | a payload with `reason` on channel `failure` if the step connects it, otherwise the message comes again |
//!
//! A worker answers with `{"id"}` and either `outputs`, perhaps with `result` (`done` or `failed`) and `reason`, or `bad`, or
//! `later` or `checkpoint`, perhaps with `after`. An answer or a result that is of another form is a failure of the
//! program: nothing of it is sent.
//!
//! At its time limit it is stopped; then channel `timeout` counts before `failure`. What a program has written that did
//! not end well is not sent. A breakdown is no payload: where the step connects neither channel, the message is tried again
//! and then dead-lettered, like after any other fault.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::runtime::ending::Ending;
use crate::runtime::process::{self, Limits, Program, memory, run};
use crate::runtime::said::{Answer, Refusal, lines, output, pieces, reason, unusable, whole_lines};
use crate::runtime::workers::{Failure, Fault, Plan, Workers};
use crate::runtime::{Event, Job, Outcome, Service, StepResult};
use zrecipe_broker::message::{Envelope, Output};
use zrecipe_language::contract::{Contract, Invocation};
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};

/// How long to wait before a message is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The same for a worker that cannot be started, where somebody watches.
const SOON: Duration = Duration::from_secs(1);

/// How often we look at what a program has written.
const LOOK: Duration = Duration::from_millis(100);

/// The most that a program may write for a message, in bytes.
const MOST: u64 = 64 << 20;

/// How many lines of what a program says are logged for a message.
const MOST_LOGGED: usize = 1_000;

/// How much of what it writes is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// A line that is longer counts as several, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// How much of what a failed program has written to standard error goes into a payload, in bytes.
const TAIL: usize = 4096;

/// Time that a message may take beside its program.
const GRACE: Duration = Duration::from_secs(60);

/// A service that is a program.
pub struct Foreign {
    contract: Arc<Contract>,
    invocation: Invocation,
    workers: Option<Workers>,
    /// Whoever sees what becomes of it, and need not wait for what may be mended meanwhile.
    watcher: Option<mpsc::UnboundedSender<Event>>,
    has_warned: AtomicBool,
    directories: Directories,
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
        let (has_warned, directories) = (AtomicBool::new(false), Directories::default());
        Some(Self { contract, invocation, workers, watcher: None, has_warned, directories })
    }

    /// Tells somebody at once when it cannot be started.
    #[must_use]
    pub fn watched(mut self, watcher: mpsc::UnboundedSender<Event>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    async fn ask(&self, workers: &Workers, envelope: &Envelope) -> Outcome {
        let question = [
            ("step", Value::Object(envelope.step().clone())),
            ("parameters", Value::Object(envelope.parameters())),
            ("environment", Value::Object(envelope.environment.clone())),
            ("payload", envelope.payload.clone()),
        ];
        let question = question.map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
        match workers.ask(question, self.watcher.is_none()).await {
            Ok(answer) => self.answered(envelope, workers.name(), &answer),
            Err(Fault::TooLong) => self.timed_out(envelope, Object::new()),
            Err(Fault::Gone(reason)) => Outcome::Later { reason, after: RETRY },
            Err(Fault::Unstartable(Failure { reason, said })) => {
                self.warn(&reason, said);
                let after = if self.watcher.is_some() { SOON } else { RETRY };
                Outcome::Later { reason, after }
            }
        }
    }

    /// Tells whoever watches what a worker that cannot be started has said; once.
    fn warn(&self, reason: &str, said: Vec<String>) {
        let Some(watcher) = &self.watcher else { return };
        if !said.is_empty() && !self.has_warned.swap(true, Ordering::Relaxed) {
            let lines = said.iter().map(|line| format!("\n  {line}"));
            let _ = watcher.send(Event::Warning(format!("{reason}; it said:{}", lines.collect::<String>())));
        }
    }

    /// What a worker's answer means.
    fn answered(&self, envelope: &Envelope, worker: &str, said: &Value) -> Outcome {
        understand(said).unwrap_or_else(|fault| self.failed(envelope, unusable(worker, &fault), Object::new()))
    }

    async fn run(&self, envelope: &Envelope) -> io::Result<Outcome> {
        let directory = self.directories.take()?;
        let place = |name: &str| directory.path().join(name);
        let (step, parameters) = (Value::Object(envelope.step().clone()), Value::Object(envelope.parameters()));
        let environment = Value::Object(envelope.environment.clone());
        let mut variables = Vec::new();
        let mut tell = |variable, text: &str| variables.push((variable, text.to_owned()));
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
        let input = envelope.payload.to_json();
        let (output, errors) = (memory()?, memory()?);
        let prints_results = self.invocation.prints_results;
        let mut log = Log::default();
        let mut logged = vec![Tail::new(errors.try_clone()?)];
        if !prints_results {
            logged.push(Tail::new(output.try_clone()?));
        }
        let program = Program {
            arguments: &self.invocation.command,
            directory: &self.invocation.directory,
            input: Some(&input),
            environment: None,
            variables: &variables,
            output: output.try_clone()?,
            errors: Some(errors),
            limit: self.invocation.time_limit,
            // Below that it is watched here.
            limits: &Limits { output: 2 * MOST, ..Limits::default() },
        };
        let size = || {
            let file = if prints_results { output.metadata() } else { std::fs::symlink_metadata(&results) };
            file.map_or(0, |file| file.len())
        };
        let ending = tokio::select! {
            ending = run(program) => Some(ending?),
            () = watch(&mut log, &mut logged, size) => None,
        };
        logged.iter_mut().try_for_each(|tail| tail.follow(&mut log, true))?;
        let written = size() + logged.iter().map(|tail| tail.read).sum::<u64>();
        let Some(ending) = ending.filter(|_| written <= MOST) else {
            return Ok(self.failed(envelope, format!("it has written more than {MOST} bytes"), Object::new()));
        };
        let results = || if prints_results { whole(&output) } else { whole(&regular(&results)?) };
        let because = |how: String| {
            let name = process::name(&self.invocation.command, &self.invocation.directory);
            if log.last.is_empty() { format!("`{name}` {how}") } else { format!("`{name}` {how}: {}", log.last) }
        };
        let details = |key: &str, value: i32| {
            let output = ("output".to_owned(), Value::from(log.tail()));
            Object::from_iter([(key.to_owned(), Value::from(i64::from(value))), output])
        };
        // What could not even be killed may still write there.
        let is_over = !matches!(ending, Ending::TimedOut | Ending::Silent);
        let outcome = match ending {
            Ending::Exited(0) => match read_results(results()) {
                Ok(outputs) => Outcome::done(outputs),
                Err(reason) => self.failed(envelope, reason, Object::new()),
            },
            Ending::Exited(65) if log.last.is_empty() => Outcome::Bad { reason: because("refused it".to_owned()) },
            Ending::Exited(65) => Outcome::Bad { reason: log.last.clone() },
            Ending::Exited(75) => {
                Outcome::Later { reason: because("cannot deal with it now".to_owned()), after: RETRY }
            }
            Ending::Exited(126 | 127) => {
                Outcome::Later { reason: because("cannot be started".to_owned()), after: RETRY }
            }
            Ending::Exited(status) => self.failed(
                envelope,
                because(format!("ended with exit status {status}")),
                details("exit_status", status),
            ),
            Ending::Signalled(signal) => {
                self.failed(envelope, because(format!("was ended by signal {signal}")), details("signal", signal))
            }
            Ending::Unstartable(reason) => {
                let how = process::unstartable(&self.invocation.command, &self.invocation.directory, &reason);
                Outcome::Later { reason: because(how), after: RETRY }
            }
            Ending::Silent => self.failed(envelope, because("was silent for too long".to_owned()), Object::new()),
            Ending::TimedOut => {
                self.timed_out(envelope, Object::from_iter([("output".to_owned(), Value::from(log.tail()))]))
            }
        };
        if is_over {
            self.directories.give_back(directory);
        }
        Ok(outcome)
    }

    fn timed_out(&self, envelope: &Envelope, mut payload: Object) -> Outcome {
        let limit = self.invocation.time_limit.as_secs_f64();
        payload.insert("timeout".to_owned(), Value::from(limit));
        let reason = format!("it was stopped after {limit} s");
        self.fail(envelope, &["timeout", "failure"], reason, payload, StepResult::TimedOut)
    }

    fn failed(&self, envelope: &Envelope, reason: String, payload: Object) -> Outcome {
        self.fail(envelope, &["failure"], reason, payload, StepResult::Failed)
    }

    /// A breakdown: told on the first of these channels that the contract has and the step connects.
    fn fail(
        &self,
        envelope: &Envelope,
        channels: &[&str],
        reason: String,
        payload: Object,
        result: StepResult,
    ) -> Outcome {
        let is_heard = |name: &&&str| {
            self.contract.channel(name).is_some() && !envelope.targets(Some(name), self.default_channel()).is_empty()
        };
        match channels.iter().find(is_heard) {
            Some(channel) => send(channel, reason, payload, result),
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

    /// Its time limit, and once more while a worker is at another message.
    fn allowance(&self, _job: &Job) -> Option<Duration> {
        Some(self.invocation.time_limit.saturating_mul(2).saturating_add(GRACE))
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
                ran.unwrap_or_else(|error| Outcome::of_fault(&error, RETRY))
            }
        }
    }
}

/// What a worker's answer means.
///
/// # Errors
/// What is wrong with it, in words.
fn understand(said: &Value) -> Result<Outcome, String> {
    let answer = Answer::read(said, &["outputs", "result", "reason", "bad", "later", "checkpoint", "after"])?;
    let (refusal, outputs) = (answer.refusal()?, answer.outputs()?);
    let (after, why) = (answer.seconds("after")?, answer.text("reason")?);
    let result = match answer.text("result")? {
        None | Some("done") => StepResult::Succeeded,
        Some("failed") => StepResult::Failed,
        Some(other) => return Err(format!("`result` is `{other}`; it can be `done` or `failed`")),
    };
    // Here null is a payload.
    let checkpoint = said.get("checkpoint");
    let all =
        [("bad` or `later", refusal.is_some()), ("checkpoint", checkpoint.is_some()), ("outputs", !outputs.is_empty())];
    let mut meant = all.iter().filter(|(_, is_there)| *is_there);
    if let (Some((one, _)), Some((other, _))) = (meant.next(), meant.next()) {
        return Err(format!("it has both `{one}` and `{other}`"));
    }
    Ok(match (refusal, checkpoint) {
        (Some(Refusal::Bad(reason)), _) => Outcome::Bad { reason },
        (Some(Refusal::Later(reason, after)), _) => Outcome::Later { reason, after: after.unwrap_or(RETRY) },
        (None, Some(payload)) => Outcome::Checkpoint { payload: payload.clone(), delay: after.unwrap_or_default() },
        (None, None) => {
            let why = why.filter(|_| result == StepResult::Failed);
            let detail = why.map_or(Value::Null, |why| Value::from([("reason", reason(why))]));
            Outcome::Done { outputs, result, detail }
        }
    })
}

fn read_results(text: io::Result<Vec<u8>>) -> Result<Vec<Output>, String> {
    let text = text.map_err(|error| format!("its results cannot be read: {error}"))?;
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(at, line)| {
            let at = at + 1;
            let said = read_value(line).map_err(|error| format!("line {at} of its results is {error}"))?;
            output(&said).map_err(|fault| reason(format!("line {at} of its results cannot be used: {fault}")))
        })
        .collect()
}

/// Logs what a program says, until it has written too much, with results of this size.
async fn watch(log: &mut Log, logged: &mut [Tail], size: impl Fn() -> u64) {
    loop {
        tokio::time::sleep(LOOK).await;
        let mut written = size();
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

/// A file that somebody else has written; not what may be in its place, which would lead elsewhere or keep us waiting.
fn regular(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("they are not in a file")) }
}

/// What is in a file that somebody else writes.
fn whole(file: &File) -> io::Result<Vec<u8>> {
    let mut text = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
    file.read_exact_at(&mut text, 0)?;
    Ok(text)
}

/// Directories for the files of a message, used one after the other: to make and remove one costs more than a program.
#[derive(Default)]
struct Directories(Mutex<Vec<TempDir>>);

impl Directories {
    fn lock(&self) -> MutexGuard<'_, Vec<TempDir>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is empty and nobody else's.
    fn take(&self) -> io::Result<TempDir> {
        const MODE: u32 = 0o700;
        let known = self.lock().pop().filter(|directory| {
            // It may have been removed since, or opened to others.
            std::fs::symlink_metadata(directory.path())
                .is_ok_and(|found| found.is_dir() && found.mode() & 0o7777 == MODE && found.uid() == geteuid().as_raw())
        });
        let private = std::fs::Permissions::from_mode(MODE);
        known.map_or_else(|| tempfile::Builder::new().prefix("zrecipe-").permissions(private).tempdir(), Ok)
    }

    /// Keeps one for the next message, if it can be emptied.
    fn give_back(&self, directory: TempDir) {
        let empty = || std::fs::read_dir(directory.path())?.try_for_each(|entry| std::fs::remove_file(entry?.path()));
        if empty().is_ok() {
            self.lock().push(directory);
        }
    }
}

/// What a program has said.
#[derive(Default)]
struct Log {
    last: String,
    end: String,
    /// How many lines were logged.
    said: usize,
}

impl Log {
    fn line(&mut self, line: &[u8]) {
        for piece in pieces(line).take(MOST_LOGGED - self.said) {
            tracing::info!("{piece}");
            self.said += 1;
            if self.is_full() {
                tracing::warn!("it says more, which is not logged");
            }
        }
        self.end.push_str(&String::from_utf8_lossy(line));
        self.end.push('\n');
        let excess = self.end.len().saturating_sub(TAIL);
        self.end.drain(..self.end.ceil_char_boundary(excess));
        self.last = reason(line);
    }

    /// Whether no more is logged, and only the end of the rest is of interest.
    fn is_full(&self) -> bool {
        self.said == MOST_LOGGED
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
    fn new(file: File) -> Self {
        Self { file, read: 0, rest: Vec::new() }
    }

    /// Reads what there is by now. What comes meanwhile is for the next time, so that this ends.
    fn follow(&mut self, log: &mut Log, is_over: bool) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        let mut piece = vec![0; PIECE];
        while self.read < size {
            if log.is_full() && size - self.read > PIECE as u64 {
                self.read = size - PIECE as u64;
                self.rest.clear();
            }
            // Whoever writes it has a place of their own in it.
            let read = self.file.read_at(&mut piece, self.read)?;
            if read == 0 {
                break;
            }
            self.read += read as u64;
            let whole = match whole_lines(&piece[..read]) {
                0 if self.rest.len() >= LONGEST_LINE => self.rest.len() + read,
                0 => 0,
                whole => self.rest.len() + whole,
            };
            self.rest.extend_from_slice(&piece[..read]);
            self.say(log, whole);
        }
        if is_over {
            self.say(log, self.rest.len());
        }
        Ok(())
    }

    /// Logs what has come, up to there.
    fn say(&mut self, log: &mut Log, up_to: usize) {
        let text: Vec<u8> = self.rest.drain(..up_to).collect();
        lines(&text).for_each(|line| log.line(line));
    }
}
