//! What the benchmarks that start a broker share: a facility's files, commands in it, and processes.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use zrecipe::message::Output;
use zrecipe::runtime::{Job, Outcome, Service, StepResult};
use zrecipe::value::Value;

pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs a benchmark.
///
/// # Errors
/// It is not built as one, or it fails.
pub fn bench(run: impl Future<Output = Result>) -> Result {
    if cfg!(debug_assertions) {
        return Err("run it with `cargo bench`".into());
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run)
}

/// A directory with recipes and a site whose broker is at a port of this machine. `namespace` is the setting of the
/// plugin that names it.
pub fn facility(
    (plugin, class): (&str, &str),
    port: u16,
    namespace: &str,
    recipes: &[(&str, &str)],
) -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    let here = directory.path().display();
    std::fs::create_dir(directory.path().join("recipes"))?;
    for (name, text) in recipes {
        std::fs::write(directory.path().join("recipes").join(name), text)?;
    }
    let site = format!(
        "version: 1\n\
         broker: {{plugin: {plugin}, host: 127.0.0.1, port: {port}, username: guest, password: guest, {namespace}}}\n\
         transport: {{plugin: transport, default: {class}}}\n\
         storage: {{plugin: storage, zocalo.recipe_directory: {here}/recipes, zocalo.default_transport: {class}}}\n\
         environments:\n  default: [broker, transport, storage]\n"
    );
    std::fs::write(directory.path().join("site.yml"), site)?;
    Ok(directory)
}

/// A program in a facility, quiet and in a process group of its own.
pub fn command(facility: &Path, program: PathBuf) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(facility)
        .env("ZOCALO_CONFIG", facility.join("site.yml"))
        .env("ZRECIPE_STATE", facility.join("state"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// `zrecipe service`.
pub fn ours(facility: &Path, service: &str) -> Command {
    let mut command = command(facility, env!("CARGO_BIN_EXE_zrecipe").into());
    command.args(["service", "-s", service]);
    command
}

/// `zocalo.service`.
pub fn theirs(facility: &Path, service: &str) -> Command {
    let mut command = command(facility, python("zocalo.service"));
    command.args(["-s", service]);
    command
}

/// A program of the environment with the reference.
pub fn python(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("python/bin").join(name)
}

/// Ends a process and those that it has started.
pub fn end(child: &mut Child) -> Result {
    let group = Pid::from_child(child);
    kill_process_group(group, Signal::TERM)?;
    child.wait()?;
    // Python's service is a child of its own that goes on for a while.
    while test_kill_process_group(group).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// What a process and all below it hold in memory, in MB.
pub fn size(process: u32) -> Result<f64> {
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

/// A service that passes on what it gets.
pub struct Nothing {
    pub prefetch: u16,
}

#[async_trait]
impl Service for Nothing {
    fn name(&self) -> &str {
        "Nothing"
    }

    fn serves(&self, _: &str) -> bool {
        true
    }

    fn queues(&self) -> Vec<String> {
        vec!["in".to_owned()]
    }

    fn prefetch(&self) -> u16 {
        self.prefetch
    }

    async fn handle(&self, job: &Job) -> Outcome {
        let outputs = vec![Output::new(None, job.payload())];
        Outcome::Done { outputs, result: StepResult::Succeeded, detail: Value::Null }
    }
}
