//! Runner: runs the commands of a recipe step, one after the other, and reports how they ended.
//!
//! What it takes is in its contract, `contracts/runner.json`, which it checks its parameters against:
//!
//! | parameter | meaning |
//! |---|---|
//! | `workingdir` | where the commands run; made if it is not there; required |
//! | `commands` | list of commands; a command is a string, split on spaces, or a list of arguments; required |
//! | `output_file` | takes what the commands print, appended when the step is over; relative to `workingdir` |
//! | `timeout` | seconds that each command may take (30) |
//! | `recipefile`, `recipeenvironment`, `recipewrapper` | files to write for the commands |
//!
//! No shell is involved. In commands `$RECIPEFILE`, `$RECIPEENV`, `$RECIPEWRAP` and `$RECIPEPOINTER` stand for the
//! files and the step's number. Channels: `job_processed` (default), or `failure`, or `timeout`. Where the step connects no
//! channel for a command that failed or timed out, the message is dead-lettered at once, with the reason and the last output.
//!
//! Commands find a small environment and empty standard input. They end with all that they started when the step is
//! over, when they take too long or print nothing for too long, and when this process ends in any way. What they may
//! use, which variables they find, and where the step may have files is set in `[runner]` of zrecipe.toml.
//!
//! What the commands print is collected apart while they run and appended as one piece when the step is over: steps
//! that run side by side do not mix their lines, and a step that is worked on again after a crash leaves one copy.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::BuiltIn;
use crate::runtime::ending::Ending;
use crate::runtime::handover::Handover;
use crate::runtime::journal::{Entry, Journal};
use crate::runtime::process::{LOGIN, Program, Running, run};
use crate::runtime::roots::{self, Roots};
use crate::runtime::said;
use crate::runtime::surroundings::{Scope, Surroundings};
use crate::runtime::why::Why;
use crate::runtime::{Job, Outcome, Service, StepResult};
use zrecipe_broker::message::{Envelope, Output, Reason};
use zrecipe_language::contract::Contracts;
use zrecipe_language::value::{Object, Value};

/// How much of what a failed command printed goes into the payload of `failure` and `timeout`, in bytes.
const TAIL: u64 = 4096;

/// The queue it is submitted to; there are others by name.
const QUEUE: &str = "runner.submission";

/// Time that a step may take beside its commands.
const GRACE: Duration = Duration::from_secs(60);

/// How long to wait before a step is tried again for a fault that is not its own.
const RETRY: Duration = Duration::from_secs(5);

/// The service.
#[derive(Debug)]
pub struct Runner {
    journal: Journal,
    /// What a relative `workingdir` is relative to.
    base: PathBuf,
    prefetch: u16,
    roots: Roots,
    running: Running,
    /// Variables that commands find beside those of the settings.
    variables: Vec<(&'static str, String)>,
    /// Whether a directory that cannot be created is an error of the step: the user is there to correct it.
    is_local: bool,
}

/// The signal for a process that has used up its processor time, and that for one that writes too large a file.
const SIGNALS: [(i32, &str, &str); 2] = [(24, "cpu", "its processor time"), (25, "file-size", "the size of its files")];

/// The entry in the list of services.
pub(super) const SERVICE: BuiltIn = BuiltIn { name: "Runner", in_runs: true, settings: None, make };

fn make(surroundings: &Surroundings<'_>) -> Result<Arc<dyn Service>, Why> {
    let (journal, directory) = (surroundings.journal.clone(), surroundings.directory.clone());
    let running = &surroundings.settings.section::<Running>()?;
    Ok(Arc::new(match surroundings.scope {
        Scope::Run => {
            let prefetch = u16::try_from(surroundings.places).unwrap_or(u16::MAX);
            Runner::new(journal, directory, prefetch).with_settings(running).local(surroundings.variables.clone())
        }
        Scope::Site => Runner::new(journal, directory, 1).with_settings(running).secluded(),
    }))
}

impl Runner {
    /// A runner that keeps its journal in `journal`, resolves directories against `base`, and takes `prefetch` steps
    /// at a time.
    pub fn new(journal: Journal, base: PathBuf, prefetch: u16) -> Self {
        let (roots, running, variables) = (Roots::default(), Running::default(), Vec::new());
        Self { journal, base, prefetch, roots, running, variables, is_local: false }
    }

    /// Runs commands as these settings want it.
    #[must_use]
    pub fn with_settings(mut self, running: &Running) -> Self {
        self.running = running.clone();
        self.roots = Roots::new(running.roots.clone());
        self
    }

    /// Works for one run of the user, whose commands find these variables.
    #[must_use]
    pub fn local(mut self, variables: Vec<(&'static str, String)>) -> Self {
        (self.variables, self.is_local) = (variables, true);
        self
    }

    /// The directory of a step, created if needed.
    fn directory(&self, path: &Path) -> Result<PathBuf, Fault> {
        use std::io::ErrorKind as E;
        self.roots.directory(path).map_err(|error| match &error {
            roots::Error::Unusable { source, .. }
                if self.is_local
                    && matches!(
                        source.kind(),
                        E::NotFound | E::PermissionDenied | E::NotADirectory | E::ReadOnlyFilesystem
                    ) =>
            {
                Fault::Step(format!("cannot use `workingdir`: {error}; use a directory that can be created"))
            }
            _ => Fault::from(error),
        })
    }

    /// Gives commands the environment of a login, not all of ours, unless the settings say which.
    #[must_use]
    pub fn secluded(mut self) -> Self {
        self.running.environment.get_or_insert_with(|| LOGIN.map(str::to_owned).to_vec());
        self
    }

    /// Runs the commands unless the journal says that they have run, and appends their output unless that is done.
    async fn carry_out(&self, order: &Order, envelope: &Envelope, entry: &Entry) -> Result<Value, Fault> {
        let directory = self.directory(&order.directory)?;
        let result = match entry.result()? {
            Some(result) => result,
            None => {
                // What cannot be kept is known before anything runs.
                order.output.as_ref().map(|target| self.roots.append(target)).transpose()?;
                let output = entry.begin()?;
                order.files.write(envelope, &self.roots)?;
                let result = self.run_commands(order, &directory, envelope.pointer, output, entry).await?;
                entry.finish(&result)?;
                result
            }
        };
        if let Some(target) = &order.output {
            let file = self.roots.append(target)?;
            entry.append_to(file).map_err(|source| roots::Error::Unusable { path: target.clone(), source })?;
        }
        Ok(result)
    }

    /// The result: `{"channel", "payload"}`.
    async fn run_commands(
        &self,
        order: &Order,
        directory: &Path,
        pointer: i64,
        output: fs::File,
        entry: &Entry,
    ) -> std::io::Result<Value> {
        let variables: Vec<(&str, String)> = self.variables.clone();
        for command in &order.commands {
            let arguments = order.fill(command, pointer);
            let program = Program {
                arguments: &arguments,
                directory,
                input: None,
                environment: self.running.environment.as_deref(),
                variables: &variables,
                output: output.try_clone()?,
                errors: None,
                limit: order.limit,
                limits: &self.running.limits,
            };
            let command = arguments.join(" ");
            // It may hold anything of a message, and the reason is shown.
            let shown = said::reason(&command);
            let stopped = |limit: Duration, name: &str, why: &str| {
                let limit = limit.as_secs_f64();
                let seconds = if limit == 1.0 { "second" } else { "seconds" };
                let reason = format!("`{shown}` was stopped after {limit} {seconds}{why}");
                let payload = [("timeout", Value::from(limit)), ("limit", name.into()), ("reason", reason.into())];
                ("timeout", Value::from(payload))
            };
            let (channel, mut payload) = match run(program).await? {
                Ending::Exited(0) => continue,
                Ending::Exited(status) => {
                    let reason = format!("`{shown}` ended with exit status {status}");
                    let status = Value::from(i64::from(status));
                    ("failure", Value::from([("exit_status", status), ("reason", reason.into())]))
                }
                Ending::Signalled(number) => {
                    let signal = ("signal", Value::from(i64::from(number)));
                    match SIGNALS.iter().find(|(of_limit, ..)| *of_limit == number) {
                        Some((_, limit, what)) => {
                            let reason = format!("`{shown}` was killed at the limit of {what}");
                            let limit = ("limit", Value::from(*limit));
                            ("failure", Value::from([signal, limit, ("reason", reason.into())]))
                        }
                        None => {
                            let reason = format!("`{shown}` was ended by signal {number}");
                            ("failure", Value::from([signal, ("reason", reason.into())]))
                        }
                    }
                }
                Ending::TimedOut => stopped(order.limit, "time", ""),
                Ending::Silent => stopped(
                    self.running.limits.silence.map_or(Duration::ZERO, |silence| *silence),
                    "silence",
                    " without output",
                ),
                Ending::Unstartable(error) => {
                    let reason = format!("`{shown}` cannot be started: {error}");
                    ("failure", Value::from([("reason", reason)]))
                }
            };
            if let Value::Object(payload) = &mut payload {
                payload.insert("processed".to_owned(), Value::Bool(false));
                payload.insert("command".to_owned(), Value::from(command));
                payload.insert("output".to_owned(), Value::from(entry.tail(TAIL)?));
            }
            return Ok(Value::from([("channel", Value::from(channel)), ("payload", payload)]));
        }
        let payload = Value::from([("processed", true)]);
        Ok(Value::from([("channel", Value::from("job_processed")), ("payload", payload)]))
    }
}

/// What a step asks for.
#[derive(Debug)]
struct Order {
    directory: PathBuf,
    commands: Vec<Vec<String>>,
    output: Option<PathBuf>,
    limit: Duration,
    files: Handover,
}

#[async_trait]
impl Service for Runner {
    fn name(&self) -> &str {
        "Runner"
    }

    fn serves(&self, queue: &str) -> bool {
        Contracts::built_in().of_queue(QUEUE).is_some_and(|contract| contract.serves(queue))
    }

    fn queues(&self) -> Vec<String> {
        vec![QUEUE.to_owned()]
    }

    fn prefetch(&self) -> u16 {
        self.prefetch
    }

    fn default_channel(&self) -> Option<&str> {
        Some("job_processed")
    }

    fn may_block(&self) -> bool {
        true
    }

    /// Each command has a time limit of its own, and those of the queue's contract may be long.
    fn allowance(&self, job: &Job) -> Option<Duration> {
        let order = Order::read(&job.parameters(), &self.base).ok()?;
        let commands = u32::try_from(order.commands.len()).unwrap_or(u32::MAX);
        Some(order.limit.saturating_mul(commands).saturating_add(GRACE))
    }

    async fn handle(&self, job: &Job) -> Outcome {
        let Some(envelope) = &job.envelope else {
            return Outcome::Bad { reason: Reason::no_recipe() };
        };
        let order = match Order::read(&envelope.parameters(), &self.base) {
            Ok(order) => order,
            Err(reason) => return Outcome::Bad { reason: reason.into() },
        };
        let entry = self.journal.entry(&job.delivery.id);
        match self.carry_out(&order, envelope, &entry).await {
            Ok(result) => outcome(result),
            Err(Fault::Step(reason)) => Outcome::Bad { reason: reason.into() },
            Err(Fault::World(error)) => Outcome::of_fault(&*error, RETRY),
        }
    }

    async fn settled(&self, job: &Job) {
        // What is left costs a little space and is overwritten if the id ever comes again.
        let _ = self.journal.entry(&job.delivery.id).forget();
    }
}

impl Order {
    fn read(parameters: &Object, base: &Path) -> Result<Self, String> {
        if let Some(reason) = Contracts::built_in().of_queue(QUEUE).and_then(|contract| contract.refusal(parameters)) {
            return Err(reason);
        }
        // What the contract says is not said again here; what it cannot say is.
        let text = |name: &str| match parameters.get(name).and_then(Value::as_str) {
            Some(text) if text.contains('\0') => Err(format!("parameter `{name}` holds a NUL character")),
            text => Ok(text),
        };
        let directory = base.join(text("workingdir")?.ok_or("parameter `workingdir` is missing")?);
        let commands = match parameters.get("commands") {
            Some(Value::Array(commands)) => commands.iter().map(command).collect::<Result<_, _>>()?,
            Some(single) => vec![command(single)?],
            None => return Err("parameter `commands` is missing".to_owned()),
        };
        let limit = match parameters.get("timeout") {
            None | Some(Value::Null) => Duration::from_secs(30),
            Some(value) => seconds(value)
                .ok_or_else(|| format!("parameter `timeout` is {}, which is not a time", value.to_json()))?,
        };
        let files = Handover::read(parameters, &directory)?;
        let output = text("output_file")?.map(|path| directory.join(path));
        Ok(Self { directory, commands, output, limit, files })
    }

    /// A command's arguments with the variables put in.
    fn fill(&self, command: &[String], pointer: i64) -> Vec<String> {
        command.iter().map(|argument| self.files.fill(argument, pointer)).collect()
    }
}

/// A command as arguments.
fn command(command: &Value) -> Result<Vec<String>, String> {
    let arguments: Option<Vec<String>> = match command {
        Value::String(text) => Some(text.split_whitespace().map(str::to_owned).collect()),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    match arguments {
        Some(arguments) if arguments.iter().any(|argument| argument.contains('\0')) => {
            Err("a command holds a NUL character".to_owned())
        }
        Some(arguments) if arguments.first().is_some_and(|program| !program.is_empty()) => Ok(arguments),
        Some(_) => Err("a command is empty".to_owned()),
        None => Err(format!("a command is {}, not a string or a list of strings", command.describe())),
    }
}

fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        // `{timeout}` with a parameter from the command line is text.
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero())
}

/// Why a step cannot be worked on.
enum Fault {
    /// It is to blame itself.
    Step(String),
    /// The surroundings are.
    World(Box<dyn std::error::Error + Send + Sync>),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::World(Box::new(error))
    }
}

impl From<roots::Error> for Fault {
    fn from(error: roots::Error) -> Self {
        if error.is_of_message() { Self::Step(error.to_string()) } else { Self::World(Box::new(error)) }
    }
}

fn outcome(result: Value) -> Outcome {
    let channel = result.get("channel").and_then(Value::as_str).unwrap_or("failure").to_owned();
    let payload = result.get("payload").cloned().unwrap_or_default();
    let step = match channel.as_str() {
        "job_processed" => StepResult::Succeeded,
        "timeout" => StepResult::TimedOut,
        _ => StepResult::Failed,
    };
    let detail = if step == StepResult::Succeeded { Value::Null } else { payload.clone() };
    Outcome::Done { outputs: vec![Output::new(Some(channel), payload)], result: step, detail }
}
