//! Cluster: submits a job for a recipe step, and sends its number.
//!
//! What it takes is in its contract, `contracts/cluster.json`: `workingdir`, files for the job, and under `cluster` the
//! commands and what they need. The commands are a script for bash, which the author of the recipe writes. Nothing else
//! becomes part of it: the paths of the files are variables (`$RECIPEWRAP`), values go into `environment`, and a command
//! that is a list of arguments is quoted. Channel: `job_submitted` (default) with `{"jobid": 17}`; the job itself reports
//! by its wrapper.
//!
//! A job bears the mark of its message. A message that comes again leads to the job that has been submitted for it: the
//! journal knows its number, or the scheduler finds its mark.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::BuiltIn;
use crate::runtime::cluster::{self, Fault, Needs, Scheduler, Submitting};
use crate::runtime::handover::Handover;
use crate::runtime::journal::Journal;
use crate::runtime::process::{LOGIN, Running, environment};
use crate::runtime::roots::{self, Roots};
use crate::runtime::surroundings::Surroundings;
use crate::runtime::why::Why;
use crate::runtime::{Job, Outcome, Service};
use zrecipe_broker::message::{Envelope, Output, Reason, message_id};
use zrecipe_language::contract::Contracts;
use zrecipe_language::value::Value;

/// The queue it listens on.
const QUEUE: &str = "cluster.submission";

/// Maximum time that a submission takes when all is well.
const ALLOWANCE: Duration = Duration::from_secs(300);

/// How long to wait after the first failure; four times as long after each further one.
const RETRY: Duration = Duration::from_secs(10);

/// The entry in the list of services.
pub(super) const SERVICE: BuiltIn = BuiltIn { name: "Cluster", in_runs: false, settings: None, make };

fn make(surroundings: &Surroundings<'_>) -> Result<Arc<dyn Service>, Why> {
    let scheduler = cluster::chosen(surroundings)?;
    let settings = surroundings.settings;
    let (journal, variables) = (surroundings.journal.clone(), surroundings.variables.clone());
    Ok(Arc::new(Cluster::new(
        scheduler,
        journal,
        &settings.section::<Submitting>()?,
        &settings.section::<Running>()?,
        variables,
    )))
}

/// The service.
pub struct Cluster {
    scheduler: Box<dyn Scheduler>,
    journal: Journal,
    roots: Roots,
    preamble: Vec<String>,
    /// What a job finds whose recipe does not say it.
    environment: BTreeMap<String, String>,
    /// What every job finds unless its recipe says otherwise: where we are, for its wrapper.
    place: Vec<(&'static str, String)>,
}

impl Cluster {
    /// A service that hands jobs to a scheduler and keeps in the journal which it has submitted. `place` are variables that
    /// every job finds, unless its recipe says otherwise.
    pub fn new(
        scheduler: Box<dyn Scheduler>,
        journal: Journal,
        submitting: &Submitting,
        running: &Running,
        place: Vec<(&'static str, String)>,
    ) -> Self {
        let names = running.environment.clone().unwrap_or_else(|| LOGIN.map(str::to_owned).to_vec());
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            scheduler,
            journal,
            roots: Roots::new(running.roots.clone()),
            preamble: submitting.preamble.clone(),
            environment: environment(&names).filter_map(text).collect(),
            place,
        }
    }

    /// The number of the job of a message, which is submitted unless it has been.
    async fn submit(&self, job: &Job, envelope: &Envelope) -> Result<i64, Fault> {
        let world = |error: std::io::Error| Fault::of(&error);
        let entry = self.journal.entry(&job.delivery.id);
        if let Some(number) = entry.result().map_err(world)?.and_then(|result| result.get("jobid")?.as_i64()) {
            return Ok(number);
        }
        let order = Order::read(envelope, &self.preamble).map_err(Fault::Job)?;
        let mark = format!("zrecipe:{}", message_id("cluster", &job.delivery.id));
        let found = match job.delivery.deliveries > 1 || entry.is_begun() {
            true => self.scheduler.find(&mark, order.needs.cluster.as_deref()).await?,
            false => None,
        };
        let number = match found {
            Some(number) => {
                tracing::info!("job {number} has been submitted before");
                entry.begin().map_err(world)?;
                number
            }
            None => {
                let job = self.prepare(order, envelope, mark)?;
                entry.begin().map_err(world)?;
                self.scheduler.submit(&job).await?
            }
        };
        entry.finish(&Value::from([("jobid", number)])).map_err(world)?;
        Ok(number)
    }

    /// Makes directories and files that a job needs.
    fn prepare(&self, order: Order, envelope: &Envelope, mark: String) -> Result<cluster::Job, Fault> {
        let refused = |error: roots::Error| {
            if error.is_of_message() { Fault::Job(error.to_string()) } else { Fault::of(&error) }
        };
        let directory = self.roots.directory(&order.directory).map_err(refused)?;
        order.files.write(envelope, &self.roots).map_err(refused)?;
        let file = |path: &Path| {
            // Its own name is known when the job has a number.
            let is_pattern = path.file_name().is_some_and(|name| name.to_string_lossy().contains("%j"));
            match (path.parent(), path.file_name()) {
                (Some(parent), Some(name)) if is_pattern => {
                    self.roots.directory(parent).map(|parent| parent.join(name))
                }
                _ => self.roots.append(path).map(|_| path.to_owned()),
            }
        };
        let (output, errors) = (file(&order.output).map_err(refused)?, file(&order.errors).map_err(refused)?);
        let is_said = order.environment.is_some();
        let mut environment = order.environment.unwrap_or_else(|| self.environment.clone());
        for (name, value) in &self.place {
            // What is in our own environment may have been overruled by an option.
            if !is_said || !environment.contains_key(*name) {
                environment.insert((*name).to_owned(), value.clone());
            }
        }
        for (name, value) in order.files.variables(envelope.pointer) {
            environment.insert(name.to_owned(), value);
        }
        let environment = environment.into_iter().collect();
        let (name, script, needs) = (order.name, order.script, order.needs);
        Ok(cluster::Job { mark, name, script, environment, directory, output, errors, needs })
    }
}

#[async_trait]
impl Service for Cluster {
    fn name(&self) -> &str {
        "Cluster"
    }

    fn serves(&self, queue: &str) -> bool {
        queue == QUEUE
    }

    fn queues(&self) -> Vec<String> {
        vec![QUEUE.to_owned()]
    }

    fn default_channel(&self) -> Option<&str> {
        Some("job_submitted")
    }

    fn may_block(&self) -> bool {
        true
    }

    /// A scheduler is asked several times for a job, and each answer may take half a minute.
    fn allowance(&self, _job: &Job) -> Option<Duration> {
        Some(ALLOWANCE)
    }

    async fn begin(&self) {
        self.scheduler.begin().await;
    }

    async fn finish(&self) {
        self.scheduler.finish().await;
    }

    async fn handle(&self, job: &Job) -> Outcome {
        let Some(envelope) = &job.envelope else {
            return Outcome::Bad { reason: Reason::no_recipe() };
        };
        match self.submit(job, envelope).await {
            Ok(number) => {
                tracing::info!("submitted as job {number}");
                let payload = Value::from([("jobid", number)]);
                Outcome::done(vec![Output::on("job_submitted", payload)])
            }
            Err(Fault::Job(reason)) => Outcome::Bad { reason: reason.into() },
            Err(Fault::World(reason)) => Outcome::Later { reason, after: job.back_off(RETRY) },
            Err(Fault::Held(obstacle)) => Outcome::HeldUp(obstacle),
        }
    }

    async fn settled(&self, job: &Job) {
        let _ = self.journal.entry(&job.delivery.id).forget();
    }
}

/// What a step asks for.
#[derive(Debug)]
struct Order {
    name: String,
    script: String,
    directory: PathBuf,
    output: PathBuf,
    errors: PathBuf,
    environment: Option<BTreeMap<String, String>>,
    files: Handover,
    needs: Needs,
}

impl Order {
    fn read(envelope: &Envelope, preamble: &[String]) -> Result<Self, String> {
        let mut parameters = envelope.parameters();
        if let Some(path) = parameters.shift_remove("wrapper") {
            parameters.entry("recipewrapper".to_owned()).or_insert(path);
        }
        if let Some(reason) = Contracts::built_in().of_queue(QUEUE).and_then(|contract| contract.refusal(&parameters)) {
            return Err(reason);
        }
        // What the contract says is not said again here; what it cannot say is.
        let path = |name: &str| match parameters.get(name).and_then(Value::as_str) {
            // Slurm reads what comes after it in another way.
            Some(text) if text.contains(|c: char| c == '\\' || c.is_control()) => {
                Err(format!("parameter `{name}` has a character that is not valid in a path of a job"))
            }
            text => Ok(text),
        };
        let directory = PathBuf::from(path("workingdir")?.ok_or("parameter `workingdir` is missing")?);
        let cluster = parameters.get("cluster").and_then(Value::as_object).ok_or("parameter `cluster` is missing")?;
        let text = |name: &str| cluster.get(name).and_then(said).filter(|text| !text.is_empty());
        if let Some(scheduler) = text("scheduler").filter(|scheduler| scheduler != "slurm") {
            return Err(format!("there is no scheduler `{scheduler}` here, only `slurm`"));
        }
        if let Some(array) = text("array") {
            return Err(format!("parameter `cluster.array` is `{array}`, and job arrays are not submitted here"));
        }
        let number = |name: &str| text(name).and_then(|text| text.trim().parse::<u64>().ok());
        let files = Handover::read(&parameters, &directory)?;
        let commands = cluster.get("commands").cloned().unwrap_or_default();
        let environment = cluster
            .get("environment")
            .and_then(Value::as_object)
            .map(|variables| variables.iter().filter_map(|(name, value)| Some((name.clone(), said(value)?))).collect());
        Ok(Self {
            name: text("job_name").unwrap_or_else(|| "zrecipe".to_owned()),
            script: script(&commands, preamble, &files, envelope.pointer),
            output: directory.join(path("standard_output")?.unwrap_or("run.out")),
            errors: directory.join(path("standard_error")?.unwrap_or("run.err")),
            directory,
            environment,
            files,
            needs: Needs {
                cluster: text("cluster"),
                partition: text("partition"),
                constraints: text("constraints"),
                prefer: text("prefer"),
                account: text("account"),
                qos: text("qos"),
                nodes: number("nodes"),
                tasks: number("tasks"),
                cpus_per_task: number("cpus_per_task"),
                memory_per_node: number("memory_per_node"),
                memory_per_cpu: number("min_memory_per_cpu"),
                gpus: text("gpus").filter(|gpus| gpus != "0"),
                gpus_per_node: text("gpus_per_node").filter(|gpus| gpus != "0"),
                time_limit: text("time_limit").map(|text| time(&text)).transpose()?,
                exclusive: text("exclusive").is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1"),
            },
        })
    }
}

/// A value as text; nothing for what is none.
fn said(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.as_str().to_owned()),
        Value::Bool(is) => Some(is.to_string()),
        _ => None,
    }
}

/// The script of a job. One that names what reads it is left as it is.
fn script(commands: &Value, preamble: &[String], files: &Handover, pointer: i64) -> String {
    let line = |command: &Value| match command {
        Value::Array(arguments) => {
            let arguments = arguments.iter().filter_map(Value::as_str);
            arguments.map(|argument| quote(&files.fill(argument, pointer))).collect::<Vec<_>>().join(" ")
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let text = match commands {
        Value::Array(commands) => commands.iter().map(line).collect::<Vec<_>>().join("\n"),
        single => line(single),
    };
    if text.starts_with("#!") {
        return text + "\n";
    }
    let lines = std::iter::once("#!/bin/bash").chain(preamble.iter().map(String::as_str)).chain([text.as_str(), ""]);
    lines.collect::<Vec<_>>().join("\n")
}

/// A word of the shell that stands for a text and nothing else.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A duration of ISO 8601 with days and weeks, which are 24 hours and 7 days here, as Python has them.
fn days_of(text: &str) -> Option<jiff::SignedDuration> {
    let span: jiff::Span = text.parse().ok()?;
    let days = i64::from(span.get_years()) * 365
        + i64::from(span.get_months()) * 30
        + i64::from(span.get_weeks()) * 7
        + i64::from(span.get_days());
    let time = span.years(0).months(0).weeks(0).days(0).to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    jiff::SignedDuration::from_hours(days.checked_mul(24)?).checked_add(time)
}

/// A time as seconds; as hours and minutes, and seconds perhaps, after days perhaps; or as a duration of ISO 8601.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("parameter `cluster.time_limit` is `{text}`, which is not a time");
    let number = |part: &str| part.trim().parse::<u64>().map_err(|_| wrong());
    if text.trim_start_matches('+').starts_with('P') {
        let span: jiff::SignedDuration = text.parse().or_else(|_| days_of(text).ok_or_else(wrong))?;
        return Duration::try_from(span).ok().filter(|limit| !limit.is_zero()).ok_or_else(wrong);
    }
    let days = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    if !text.contains(':') && days.len() < text.len() {
        let days = number(days)?;
        return days.checked_mul(86_400).map(Duration::from_secs).filter(|limit| !limit.is_zero()).ok_or_else(wrong);
    }
    let Some(at) = text.find(':') else {
        let seconds: f64 = text.trim().parse().map_err(|_| wrong())?;
        return Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero()).ok_or_else(wrong);
    };
    let begin = text[..at].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    let days = text[..begin].trim_end_matches(|c: char| !c.is_ascii_digit());
    let mut seconds = if days.is_empty() { 0 } else { number(days)? };
    let parts: Vec<&str> = text[begin..].split(':').collect();
    let [hours, minutes, ref rest @ ..] = parts[..] else { return Err(wrong()) };
    if rest.len() > 1 {
        return Err(wrong());
    }
    let rest = rest.first().copied().unwrap_or("0");
    for (part, size) in [(hours, 24), (minutes, 60), (rest, 60)] {
        seconds = seconds.checked_mul(size).and_then(|all| all.checked_add(number(part).ok()?)).ok_or_else(wrong)?;
    }
    Some(Duration::from_secs(seconds)).filter(|limit| !limit.is_zero()).ok_or_else(wrong)
}
