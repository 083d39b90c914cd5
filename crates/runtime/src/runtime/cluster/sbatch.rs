//! Slurm by its commands `sbatch` and `squeue`.
//!
//! A job's mark is its comment. Every option is one argument with its value, so that no value becomes an option; the
//! script travels on standard input and the environment in a file, so that nothing is read by a shell here.

use std::io::Write as _;
use std::time::Duration;

use async_trait::async_trait;

use super::super::surroundings::Surroundings;
use super::{Entry, Made};
use super::{Fault, Job, Scheduler, pattern};
use crate::runtime::ask::{Answer, ask};
use crate::runtime::ending::Ending;

/// How long a command of Slurm may take; it tries by itself to reach a controller that does not answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The variables that Slurm's commands find: not those of jobs, and none of ours that they do not need.
const ENVIRONMENT: [&str; 8] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_*", "SLURM_CONF", "SBATCH_*"];

/// What is in the complaints of `sbatch` that are no fault of the job.
const NOT_NOW: [&str; 15] = [
    "contact slurm controller",
    "timed out",
    "time out",
    "communication",
    "connection",
    "connect failure",
    "temporarily",
    "zero bytes",
    "configuration file",
    "authentication",
    "munge",
    "credential",
    "limit",
    "try again",
    "not responding",
];

/// The scheduler.
#[derive(Debug, Default)]
pub struct Sbatch;

/// The entry in the list of schedulers.
pub(super) const SCHEDULER: Entry = Entry { name: "sbatch", make, is_default: false };

fn make(_: &Surroundings<'_>) -> Made {
    Ok(Some(Box::new(Sbatch)))
}

#[async_trait]
impl Scheduler for Sbatch {
    async fn find(&self, mark: &str, cluster: Option<&str>) -> Result<Option<i64>, Fault> {
        let mut arguments: Vec<String> =
            ["squeue", "--noheader", "--states=all", "--me", "--format=%A %k"].map(str::to_owned).to_vec();
        arguments.extend(cluster.map(|cluster| format!("--clusters={cluster}")));
        let answer = call(&arguments, "").await?;
        if answer.ending != Ending::Exited(0) {
            return Err(of_world(&arguments, &answer));
        }
        let text = String::from_utf8_lossy(&answer.output).into_owned();
        let ours = text.lines().find_map(|line| line.split_once(' ').filter(|(_, comment)| *comment == mark));
        Ok(ours.and_then(|(number, _)| number.parse().ok()))
    }

    async fn submit(&self, job: &Job) -> Result<i64, Fault> {
        let world = |error: std::io::Error| Fault::of(&error);
        let mut environment = tempfile::NamedTempFile::new().map_err(world)?;
        for (name, value) in &job.environment {
            write!(environment, "{name}={value}\0").map_err(world)?;
        }
        environment.flush().map_err(world)?;
        let mut arguments = options(job);
        arguments.push(format!("--export-file={}", environment.path().display()));
        let answer = call(&arguments, &job.script).await?;
        match answer.ending {
            Ending::Exited(0) => {
                let text = String::from_utf8_lossy(&answer.output).into_owned();
                // `number` or `number;cluster`.
                let number = text.trim().split(';').next().and_then(|number| number.parse().ok());
                number.ok_or_else(|| Fault::World(format!("`sbatch` did not print a job number: {}", text.trim())))
            }
            Ending::Exited(_) => {
                let complaint = answer.complaint.to_ascii_lowercase();
                let is_of_world = complaint.is_empty() || NOT_NOW.iter().any(|part| complaint.contains(part));
                let reason = failed(&arguments, &answer);
                Err(if is_of_world { of_world(&arguments, &answer) } else { Fault::Job(reason) })
            }
            _ => Err(of_world(&arguments, &answer)),
        }
    }
}

/// The parts of complaints that say that the controller does not answer.
const UNREACHABLE: [&str; 7] = [
    "contact slurm controller",
    "timed out",
    "time out",
    "communication",
    "connection refused",
    "connect failure",
    "zero bytes",
];

/// A failure that is not the job's: Slurm does not answer, or something else is wrong.
fn of_world(arguments: &[String], answer: &Answer) -> Fault {
    let (complaint, reason) = (answer.complaint.to_ascii_lowercase(), failed(arguments, answer));
    let is_late = matches!(answer.ending, Ending::TimedOut | Ending::Silent);
    if is_late || UNREACHABLE.iter().any(|part| complaint.contains(part)) {
        return Fault::unreachable("Slurm", reason);
    }
    Fault::World(reason)
}

/// The command that submits a job.
fn options(job: &Job) -> Vec<String> {
    let needs = &job.needs;
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let megabytes = |number: Option<u64>| number.map(|number| format!("{number}M"));
    let given = [
        ("comment", Some(job.mark.clone())),
        ("job-name", Some(job.name.clone())),
        ("chdir", Some(job.directory.to_string_lossy().into_owned())),
        ("output", Some(pattern(&job.output))),
        ("error", Some(pattern(&job.errors))),
        ("clusters", needs.cluster.clone()),
        ("partition", needs.partition.clone()),
        ("constraint", needs.constraints.clone()),
        ("prefer", needs.prefer.clone()),
        ("account", needs.account.clone()),
        ("qos", needs.qos.clone()),
        ("nodes", number(needs.nodes)),
        ("ntasks", number(needs.tasks)),
        ("cpus-per-task", number(needs.cpus_per_task)),
        ("mem", megabytes(needs.memory_per_node)),
        ("mem-per-cpu", megabytes(needs.memory_per_cpu)),
        ("gpus", needs.gpus.clone()),
        ("gpus-per-node", needs.gpus_per_node.clone()),
        ("time", number(needs.minutes())),
    ];
    let given = given.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value?)));
    let exclusive = needs.exclusive.then(|| "--exclusive".to_owned());
    ["sbatch", "--parsable"].map(str::to_owned).into_iter().chain(given).chain(exclusive).collect()
}

async fn call(arguments: &[String], text: &str) -> Result<Answer, Fault> {
    let environment = ENVIRONMENT.map(str::to_owned);
    let name = arguments.first().map_or("", String::as_str);
    let answer = ask(arguments, text, Some(&environment), PATIENCE).await;
    answer.map_err(|error| Fault::World(format!("`{name}` cannot be started: {error}")))
}

/// How a command failed.
fn failed(arguments: &[String], answer: &Answer) -> String {
    let name = arguments.first().map_or("", String::as_str);
    let said = [name, ": ", "error: ", "fatal: ", "Batch job submission failed: "];
    let complaint = said.iter().fold(answer.complaint.as_str(), |text, start| text.strip_prefix(start).unwrap_or(text));
    match (&answer.ending, complaint) {
        (Ending::TimedOut | Ending::Silent, _) => format!("`{name}` took too long"),
        (Ending::Exited(status), "") => format!("`{name}` ended with exit status {status}"),
        (Ending::Exited(_), complaint) => format!("`{name}`: {complaint}"),
        (Ending::Signalled(signal), _) => format!("`{name}` was killed by signal {signal}"),
        (Ending::Unstartable(reason), _) => format!("`{name}` cannot be started: {reason}"),
    }
}
