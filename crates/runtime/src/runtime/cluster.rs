//! Jobs on a cluster: what a step asks for, and the schedulers that take it, one file each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::surroundings::Surroundings;
use super::why::Why;
use zrecipe_project::settings::Section;

/// A scheduler, or nothing where the surroundings do not configure it.
pub type Made = Result<Option<Box<dyn Scheduler>>, Why>;

/// A scheduler, as its file registers it.
pub struct Entry {
    /// The name in the settings.
    pub name: &'static str,
    /// Makes the scheduler; nothing when the surroundings do not configure it.
    pub make: fn(&Surroundings<'_>) -> Made,
    /// Whether it is used without being chosen where the site configures it.
    pub is_default: bool,
}

/// Declares the modules of `cluster/` and registers the `SCHEDULER` of each.
macro_rules! schedulers {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The schedulers, in the order of their names.
        pub static SCHEDULERS: &[Entry] = &[$($module::SCHEDULER),+];

        /// The names of the modules.
        pub const MODULES: &[&str] = &[$(stringify!($module)),+];
    };
}

schedulers! {
    local,
    sbatch,
    slurmrestd,
}

/// How `zrecipe service -s Cluster` submits jobs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Submitting {
    /// Where jobs run: on this machine (`local`), on Slurm by its command (`sbatch`), or on Slurm by its REST API
    /// (`slurmrestd`), which a block of the site's plugin `slurm` configures. Default: `slurmrestd` if the site has
    /// such a block.
    #[schemars(schema_with = "scheduler_names", example = &"sbatch")]
    pub scheduler: Option<String>,
    /// Lines of the shell before the commands of every job. By default, they read `/etc/profile.d/modules.sh` if it
    /// exists.
    #[schemars(example = [". /etc/profile.d/modules.sh"])]
    pub preamble: Vec<String>,
    /// Maximum number of jobs at a time on this machine. Unless given, one for each processor.
    #[schemars(range(min = 1), example = 4)]
    pub places: Option<u16>,
}

impl Default for Submitting {
    fn default() -> Self {
        // As the Python service has it, where it is there.
        let modules = "[ ! -r /etc/profile.d/modules.sh ] || . /etc/profile.d/modules.sh";
        Self { scheduler: None, preamble: vec![modules.to_owned()], places: None }
    }
}

impl Section for Submitting {
    const NAME: &'static str = "cluster";

    fn relative_to(&mut self, _directory: &Path) {}
}

fn scheduler_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": SCHEDULERS.iter().map(|entry| entry.name).collect::<Vec<_>>() })
}

/// The scheduler that the settings choose, or that the site configures.
///
/// # Errors
/// None is chosen or configured, or the one that is cannot be used.
pub fn chosen(surroundings: &Surroundings<'_>) -> Result<Box<dyn Scheduler>, Why> {
    let settings = surroundings.settings.section::<Submitting>()?;
    let chosen = settings.scheduler.as_deref();
    let is_meant = |entry: &&Entry| chosen.map_or(entry.is_default, |name| entry.name == name);
    for entry in SCHEDULERS.iter().filter(is_meant) {
        if let Some(scheduler) = (entry.make)(surroundings)? {
            return Ok(scheduler);
        }
    }
    let names: Vec<&str> = SCHEDULERS.iter().map(|entry| entry.name).collect();
    let message = match chosen {
        Some(name) => format!("the site does not configure scheduler `{name}`"),
        None => "no scheduler is chosen for jobs".to_owned(),
    };
    Err(Why::new(message)
        .hint(format!("set `scheduler` in `[cluster]` of zrecipe.toml to one of `{}`", names.join("`, `")))
        .hint("`slurmrestd` needs a block of plugin `slurm` with `url` and `api_version`"))
}
use crate::runtime::pressure::Obstacle;

/// A job that is to run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Job {
    /// Tells it from all others; stays with it.
    pub mark: String,
    /// What people call it.
    pub name: String,
    /// What it runs.
    pub script: String,
    /// All variables that it finds.
    pub environment: Vec<(String, String)>,
    /// Where it runs.
    pub directory: PathBuf,
    /// Where its standard output goes; `%j` stands for its number.
    pub output: PathBuf,
    /// Where its standard error goes; `%j` stands for its number.
    pub errors: PathBuf,
    /// What it needs.
    pub needs: Needs,
}

/// What a job needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Needs {
    /// The cluster, where there are several.
    pub cluster: Option<String>,
    /// The partition.
    pub partition: Option<String>,
    /// Features that its nodes have.
    pub constraints: Option<String>,
    /// Features that its nodes have if possible.
    pub prefer: Option<String>,
    /// Who pays.
    pub account: Option<String>,
    /// The quality of service.
    pub qos: Option<String>,
    /// How many nodes.
    pub nodes: Option<u64>,
    /// How many tasks.
    pub tasks: Option<u64>,
    /// Processors for each task.
    pub cpus_per_task: Option<u64>,
    /// Megabytes on each node.
    pub memory_per_node: Option<u64>,
    /// Megabytes for each processor.
    pub memory_per_cpu: Option<u64>,
    /// GPUs in all, perhaps with their type: `2`, `a100:2`.
    pub gpus: Option<String>,
    /// GPUs on each node, perhaps with their type.
    pub gpus_per_node: Option<String>,
    /// How long it may take.
    pub time_limit: Option<Duration>,
    /// Whether nobody else may use its nodes.
    pub exclusive: bool,
}

impl Needs {
    /// The time limit as Slurm counts it, in minutes begun.
    pub fn minutes(&self) -> Option<u64> {
        self.time_limit.map(|limit| limit.as_millis().div_ceil(60_000).max(1) as u64)
    }
}

/// Why a job is not submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It can never be.
    Job(String),
    /// It cannot be now; perhaps it is all the same.
    World(String),
    /// Something that all jobs need is away or exhausted: the scheduler, or something of this machine.
    Held(Obstacle),
}

impl Fault {
    /// The scheduler does not answer, which is no fault of the job.
    pub fn unreachable(scheduler: &str, reason: String) -> Self {
        Self::Held(Obstacle { by: scheduler.to_owned(), reason })
    }

    /// Something of this machine failed.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Obstacle::of_machine(error).map_or_else(|| Self::World(error.to_string()), Self::Held)
    }
}

/// Takes jobs.
#[async_trait]
pub trait Scheduler: Send + Sync {
    /// Called when the service begins; jobs may be under way.
    async fn begin(&self) {}

    /// Called when the service ends; jobs go on.
    async fn finish(&self) {}

    /// The number of the job with this mark, if it has been submitted.
    async fn find(&self, mark: &str, cluster: Option<&str>) -> Result<Option<i64>, Fault>;

    /// Submits a job; its number.
    async fn submit(&self, job: &Job) -> Result<i64, Fault>;
}

/// The path of a file as Slurm reads it: only `%j` stands for something else.
fn pattern(path: &std::path::Path) -> String {
    path.to_string_lossy().replace('%', "%%").replace("%%j", "%j")
}
