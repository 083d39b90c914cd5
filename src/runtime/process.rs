//! Runs a program with limits: its own process group, its input and output in files, an end for all of it.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::Command;

/// How long a program may take to end after it was asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this exit status.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// It was stopped at its time limit.
    TimedOut,
}

/// What to run.
#[derive(Debug)]
pub struct Program<'p> {
    /// The program and its arguments; never seen by a shell.
    pub arguments: &'p [String],
    /// Where it runs.
    pub directory: &'p Path,
    /// What it reads on standard input; none: nothing.
    pub input: Option<std::fs::File>,
    /// Where its standard output goes.
    pub output: std::fs::File,
    /// Where its standard error goes; none: to the output.
    pub errors: Option<std::fs::File>,
    /// When it is stopped.
    pub limit: Duration,
}

/// Runs a program to its end. If the returned future is dropped, the program and all that it started are killed.
///
/// # Errors
/// The program cannot be started.
pub async fn run(program: Program<'_>) -> io::Result<Ending> {
    let [name, arguments @ ..] = program.arguments else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"));
    };
    let mut command = Command::new(name);
    command
        .args(arguments)
        .current_dir(program.directory)
        .stdin(program.input.map_or_else(Stdio::null, Stdio::from))
        .stdout(program.output.try_clone()?)
        .stderr(program.errors.unwrap_or(program.output))
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id as i32)));
    match tokio::time::timeout(program.limit, child.wait()).await {
        Ok(status) => {
            let status = status?;
            // It is reaped: from here on its number may be that of another process.
            group.0 = None;
            Ok(match (status.code(), status.signal()) {
                (Some(code), _) => Ending::Exited(code),
                (None, signal) => Ending::Signalled(signal.unwrap_or_default()),
            })
        }
        Err(_) => {
            group.end(Signal::TERM);
            // The leader is not reaped before the whole group is gone, so that its number stays the group's.
            let _ = tokio::time::timeout(GRACE, group.idle()).await;
            group.end(Signal::KILL);
            let _ = child.wait().await;
            group.0 = None;
            Ok(Ending::TimedOut)
        }
    }
}

/// The process group of a program; dropping it kills what is left.
struct Group(Option<Pid>);

impl Group {
    fn end(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Waits until no process of the group runs any more (its leader may wait to be reaped).
    async fn idle(&self) {
        while self.0.is_some_and(runs) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Whether a process of this group runs: neither gone nor only waiting to be reaped.
fn runs(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() {
        return false;
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    let number = group.as_raw_nonzero().get().to_string();
    stats.into_iter().any(|stat| {
        // `pid (name) state parent group …`; the name may hold spaces and brackets.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
        let (state, _, of_group) = (fields.next(), fields.next(), fields.next());
        of_group == Some(number.as_str()) && !matches!(state, Some("Z" | "X"))
    })
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end(Signal::KILL);
    }
}
