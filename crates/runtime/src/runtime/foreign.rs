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
//! A Python class is a worker of the bridge (`run.python`, `run.entry-point`; [`crate::runtime::python`]).
//!
//! A worker answers with `{"id"}` and either `outputs`, perhaps with `result` (`done` or `failed`) and `reason`, or `bad`, or
//! `later` or `checkpoint`, perhaps with `after`. An answer or a result that is of another form is a failure of the
//! program: nothing of it is sent.
//!
//! At its time limit it is stopped; then channel `timeout` counts before `failure`. What a program has written that did
//! not end well is not sent. A breakdown is no payload: where the step connects neither channel, the message is tried again
//! and then dead-lettered, like after any other fault.

mod answers;
mod log;

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
use tokio::sync::{mpsc, watch};

use self::answers::understand;
use self::log::{Log, Tail};
use crate::runtime::ending::Ending;
use crate::runtime::pressure::Obstacle;
use crate::runtime::process::{self, Limits, Program, memory, run};
use crate::runtime::python::Interpreter;
use crate::runtime::said::{Terms, reason, unusable};
use crate::runtime::workers::{Failure, Fault, Hello, Plan, Workers, about};
use crate::runtime::{Event, Job, Outcome, Service, StepResult};
use zrecipe_broker::message::{Envelope, Output, Reason};
use zrecipe_broker::transport::Transport;
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
    /// The service of a contract that says how it is run; a Python class is run by the interpreter.
    pub fn new(contract: Arc<Contract>, python: &Interpreter) -> Option<Self> {
        let invocation = contract.invocation.clone()?;
        let command = python.service(&invocation).unwrap_or_else(|| invocation.command.clone());
        let name = invocation.python.as_ref().map(|_| contract.name().to_owned());
        let workers = invocation.stays.then(|| {
            let plan = Plan {
                name,
                command,
                directory: invocation.directory.clone(),
                count: invocation.workers,
                prefetch: invocation.prefetch,
                time_limit: invocation.time_limit,
                start_limit: invocation.start_limit,
                health: invocation.health,
            };
            Workers::of_service(plan, Some(invocation.clone()))
        });
        let (has_warned, directories) = (AtomicBool::new(false), Directories::default());
        Some(Self { contract, invocation, workers, watcher: None, has_warned, directories })
    }

    /// The same service with another contract.
    #[must_use]
    pub fn with_contract(mut self, contract: Arc<Contract>) -> Self {
        self.contract = contract;
        self
    }

    /// Tells somebody at once when it cannot be started.
    #[must_use]
    pub fn watched(mut self, watcher: mpsc::UnboundedSender<Event>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Starts the workers of a Python class and waits for what they say of themselves; nothing for another program.
    ///
    /// # Errors
    /// They cannot be started.
    pub async fn open(&self) -> Result<Option<Hello>, Failure> {
        match &self.workers {
            Some(workers) if self.invocation.python.is_some() => workers.open().await.map(Some),
            _ => Ok(None),
        }
    }

    /// Whether it is a Python class.
    pub fn is_python(&self) -> bool {
        self.invocation.python.is_some()
    }

    fn hello(&self) -> Option<Hello> {
        self.workers.as_ref().and_then(Workers::hello)
    }

    async fn ask(&self, workers: &Workers, job: &Job) -> Outcome {
        let object = |parts: Vec<(&str, Value)>| -> Object {
            parts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
        };
        let question = || match &job.envelope {
            Some(envelope) => {
                let first = vec![
                    ("step", Value::Object(envelope.step().clone())),
                    ("parameters", Value::Object(envelope.parameters())),
                    ("environment", Value::Object(envelope.environment.clone())),
                    ("payload", envelope.payload.clone()),
                ];
                let more = vec![
                    ("recipe", Value::Raw(envelope.recipe.to_line().into())),
                    ("pointer", Value::from(envelope.pointer)),
                    ("path", Value::Array(envelope.path.clone())),
                ];
                (object(first), object(more))
            }
            None => (object(vec![("plain", Value::Bool(true)), ("payload", job.payload())]), Object::new()),
        };
        loop {
            let (text, mut more) = question();
            more.extend(about(&job.delivery));
            match workers.ask_more(text, more, self.watcher.is_none()).await {
                Ok(answer) => return self.answered(job, workers, &answer),
                Err(Fault::TooLong) => return self.timed_out(job.envelope.as_ref(), Object::new()),
                Err(Fault::Gone(reason)) => return Outcome::Later { reason, after: RETRY },
                // It is not the message's fault: another worker begins with it.
                Err(Fault::Unbegun) => {}
                Err(Fault::Stopped) => {
                    let (by, reason) = ("the end of the service".to_owned(), "the service is to end".to_owned());
                    return Outcome::HeldUp(Obstacle { by, reason });
                }
                Err(Fault::Unstartable(Failure { reason, said, .. })) => {
                    self.warn(&reason, said);
                    let after = if self.watcher.is_some() { SOON } else { RETRY };
                    return Outcome::Later { reason, after };
                }
            }
        }
    }

    /// Tells whoever watches what a worker that cannot be started has said; once.
    fn warn(&self, reason: &str, said: Vec<String>) {
        let Some(watcher) = &self.watcher else { return };
        if !said.is_empty() && !self.has_warned.swap(true, Ordering::Relaxed) {
            let lines = said.iter().map(|line| format!("\n  {line}"));
            let _ = watcher.send(Event::Warning(format!("{reason}; its output:{}", lines.collect::<String>())));
        }
    }

    /// What a worker's answer means.
    fn answered(&self, job: &Job, workers: &Workers, said: &Value) -> Outcome {
        let is_second = workers.hello().is_some_and(|hello| hello.is_second());
        let terms = Terms { is_second, invocation: Some(&self.invocation) };
        understand(said, &terms)
            .unwrap_or_else(|fault| self.failed(job.envelope.as_ref(), unusable(workers.name(), &fault), Object::new()))
    }

    async fn run(&self, envelope: &Envelope) -> io::Result<Outcome> {
        let known = Some(envelope);
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
            return Ok(self.failed(known, format!("it has written more than {MOST} bytes"), Object::new()));
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
        if let (Some(watcher), Ending::Exited(1..=64 | 66..=74 | 76..=125 | 128..) | Ending::Signalled(_)) =
            (&self.watcher, &ending)
            && log.tail().trim().lines().count() > 1
        {
            let name = process::name(&self.invocation.command, &self.invocation.directory);
            let lines = log.tail().trim().lines().map(|line| format!("\n  {line}")).collect::<String>();
            let _ = watcher.send(Event::Warning(format!("`{name}` failed; its output:{lines}")));
        }
        // What could not even be killed may still write there.
        let is_over = !matches!(ending, Ending::TimedOut | Ending::Silent);
        let outcome = match ending {
            Ending::Exited(0) => match read_results(results()) {
                Ok(outputs) => Outcome::done(outputs),
                Err(reason) => self.failed(known, reason, Object::new()),
            },
            Ending::Exited(65) if log.last.is_empty() => {
                Outcome::Bad { reason: because("refused it".to_owned()).into() }
            }
            Ending::Exited(65) => Outcome::Bad { reason: log.last.clone().into() },
            Ending::Exited(75) => Outcome::Later { reason: because("cannot process it now".to_owned()), after: RETRY },
            Ending::Exited(126 | 127) => {
                Outcome::Later { reason: because("cannot be started".to_owned()), after: RETRY }
            }
            Ending::Exited(status) => {
                self.failed(known, because(format!("ended with exit status {status}")), details("exit_status", status))
            }
            Ending::Signalled(signal) => {
                self.failed(known, because(format!("was killed by signal {signal}")), details("signal", signal))
            }
            Ending::Unstartable(reason) => {
                let how = process::unstartable(&self.invocation.command, &self.invocation.directory, &reason);
                Outcome::Later { reason: because(how), after: RETRY }
            }
            Ending::Silent => self.failed(known, because("was silent for too long".to_owned()), Object::new()),
            Ending::TimedOut => {
                self.timed_out(known, Object::from_iter([("output".to_owned(), Value::from(log.tail()))]))
            }
        };
        if is_over {
            self.directories.give_back(directory);
        }
        Ok(outcome)
    }

    fn timed_out(&self, envelope: Option<&Envelope>, mut payload: Object) -> Outcome {
        let limit = self.invocation.time_limit.as_secs_f64();
        payload.insert("timeout".to_owned(), Value::from(limit));
        let reason = format!("it was stopped after {limit} s");
        self.fail(envelope, &["timeout", "failure"], reason, payload, StepResult::TimedOut)
    }

    fn failed(&self, envelope: Option<&Envelope>, reason: String, payload: Object) -> Outcome {
        self.fail(envelope, &["failure"], reason, payload, StepResult::Failed)
    }

    /// A breakdown: told on the first of these channels that the contract has and the step connects.
    fn fail(
        &self,
        envelope: Option<&Envelope>,
        channels: &[&str],
        reason: String,
        payload: Object,
        result: StepResult,
    ) -> Outcome {
        let is_heard = |name: &&&str| {
            let is_connected = |envelope: &Envelope| !envelope.targets(Some(name), self.default_channel()).is_empty();
            self.contract.channel(name).is_some() && envelope.is_some_and(is_connected)
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
        let announced = self.hello().into_iter().flat_map(|hello| hello.queues).map(|(_, prefetch)| prefetch);
        announced.fold(self.invocation.prefetch, u16::max).saturating_mul(workers)
    }

    /// Its time limit, and once more while a worker is at another message.
    fn allowance(&self, _job: &Job) -> Option<Duration> {
        Some(self.invocation.time_limit.saturating_mul(2).saturating_add(GRACE))
    }

    fn serves(&self, queue: &str) -> bool {
        let is_announced = |hello: Hello| hello.queues.iter().any(|(name, _)| name == queue);
        self.contract.serves(queue) || self.hello().is_some_and(is_announced)
    }

    fn queues(&self) -> Vec<String> {
        let announced: Vec<String> =
            self.hello().map(|hello| hello.queues.into_iter().map(|(name, _)| name).collect()).unwrap_or_default();
        let known = self.contract.queues.iter().filter(|queue| !queue.contains('*')).cloned();
        if announced.is_empty() { known.collect() } else { announced }
    }

    fn prefetch_of(&self, queue: &str) -> u16 {
        let announced = self.hello().and_then(|hello| hello.queues.into_iter().find(|(name, _)| name == queue));
        match announced {
            Some((_, prefetch)) => {
                prefetch.max(self.invocation.prefetch).saturating_mul(self.invocation.workers.max(1))
            }
            None => self.prefetch(),
        }
    }

    fn titles(&self) -> (String, String) {
        let hello = self.hello().unwrap_or_default();
        let name = || self.name().to_owned();
        (hello.name.unwrap_or_else(name), hello.class.unwrap_or_else(name))
    }

    fn works_without_queues(&self) -> bool {
        self.is_python()
    }

    fn takes_plain_messages(&self) -> bool {
        self.invocation.plain
    }

    fn attach(&self, transport: &Arc<dyn Transport>) {
        if let Some(workers) = &self.workers {
            workers.attach(transport);
        }
    }

    fn stopping(&self) {
        if let Some(workers) = &self.workers {
            workers.drain();
        }
    }

    fn title(&self) -> Option<watch::Receiver<Option<String>>> {
        self.workers.as_ref().map(Workers::title)
    }

    async fn retired(&self) {
        match &self.workers {
            Some(workers) => workers.retired().await,
            None => std::future::pending().await,
        }
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
        match (&self.workers, &job.envelope) {
            (Some(workers), _) => self.ask(workers, job).await,
            (None, Some(envelope)) => {
                let ran = self.run(envelope).await;
                ran.unwrap_or_else(|error| Outcome::of_fault(&error, RETRY))
            }
            (None, None) => Outcome::Bad { reason: Reason::no_recipe() },
        }
    }
}

fn read_results(text: io::Result<Vec<u8>>) -> Result<Vec<Output>, String> {
    let text = text.map_err(|error| format!("its results cannot be read: {error}"))?;
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(at, line)| {
            let at = at + 1;
            let said = read_value(line).map_err(|error| format!("line {at} of its results is {error}"))?;
            Terms::default()
                .output(&said)
                .map_err(|fault| reason(format!("line {at} of its results cannot be used: {fault}")))
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
