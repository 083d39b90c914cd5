//! Runs a program with limits: what it prints in files, and an end for all that it started.

use std::ffi::OsString;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::runtime::ending::Ending;
use crate::runtime::stem;
use crate::runtime::supervisor::null;
use crate::runtime::supervisors::Supervisor;
use zrecipe_language::value::Value;
use zrecipe_project::settings::{Seconds, Section};

/// How long what cannot be killed is waited for.
const STUCK: Duration = Duration::from_secs(10);

/// The environment of commands that services run, unless the settings say otherwise: that of a login, and what programs
/// of Zocalo need to report.
pub const LOGIN: [&str; 11] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR", "ZOCALO_*", "ZRECIPE_*"];

/// How commands of recipes are run, by `zrecipe run` and by `zrecipe service -s Runner`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Running {
    /// Directories below which services may write on behalf of a message. Unless given, anywhere.
    #[schemars(example = ["/dls", "/scratch"])]
    pub roots: Vec<PathBuf>,
    /// Names of the environment variables of commands; a `*` at the end stands for any text. Default: with `zrecipe
    /// run`, all variables; with services, those of a login and those that begin with `ZOCALO_` and `ZRECIPE_`.
    #[schemars(example = ["PATH", "HOME", "LC_*"])]
    pub environment: Option<Vec<String>>,
    /// Resource limits of each command.
    pub limits: Limits,
}

impl Section for Running {
    const NAME: &'static str = "runner";

    fn relative_to(&mut self, directory: &Path) {
        self.roots.iter_mut().for_each(|root| *root = directory.join(&*root));
    }
}

/// What a command may use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(inline)]
pub struct Limits {
    /// Seconds of processor time of each process.
    #[schemars(example = 3600)]
    pub cpu: Option<u64>,
    /// Bytes of address space of each process.
    #[schemars(example = 17179869184_u64)]
    pub memory: Option<u64>,
    /// Open files of each process.
    #[schemars(example = 1024)]
    pub open_files: Option<u64>,
    /// Bytes of each file that is written.
    #[schemars(example = 1073741824)]
    pub file_size: Option<u64>,
    /// Processes of the user in total.
    #[schemars(example = 500)]
    pub processes: Option<u64>,
    /// Seconds after which a command that prints nothing is stopped.
    #[schemars(example = 600)]
    pub silence: Option<Seconds>,
    /// Seconds that a command may take to end after a request, before it is killed.
    #[schemars(example = 5)]
    pub grace: Seconds,
    /// Bytes that are kept of what the commands of a step print.
    #[schemars(example = 1048576)]
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: None,
            memory: None,
            open_files: None,
            file_size: None,
            processes: None,
            silence: None,
            grace: Seconds(Duration::from_secs(2)),
            output: 64 << 20,
        }
    }
}

/// What to run.
#[derive(Debug)]
pub struct Program<'p> {
    /// The program and its arguments; never seen by a shell.
    pub arguments: &'p [String],
    /// Where it runs.
    pub directory: &'p Path,
    /// What it reads on standard input; none: nothing.
    pub input: Option<&'p str>,
    /// The names of the variables that it finds in its environment; none: all that we have.
    pub environment: Option<&'p [String]>,
    /// More variables, with their values.
    pub variables: &'p [(&'p str, String)],
    /// Where its standard output goes.
    pub output: std::fs::File,
    /// Where its standard error goes; none: to the output.
    pub errors: Option<std::fs::File>,
    /// When it is stopped.
    pub limit: Duration,
    /// What it may use.
    pub limits: &'p Limits,
}

/// Runs a program to its end, and ends what it leaves behind. If the returned future is dropped, or this process is
/// killed, the program and all that it started are killed.
///
/// # Errors
/// What it prints cannot be kept, or something else of the surroundings is at fault.
pub async fn run(program: Program<'_>) -> io::Result<Ending> {
    let order = order(&program);
    let (output, writer) = std::io::pipe()?;
    let (errors, error_writer) = match program.errors {
        Some(file) => {
            let (reader, writer) = std::io::pipe()?;
            (Some((reader, file)), writer)
        }
        None => (None, writer.try_clone()?),
    };
    let input = input(program.input)?;
    let environment = std::env::vars_os()
        .filter(|(name, _)| program.environment.is_none_or(|names| is_passed(names, name.as_encoded_bytes())));
    let streams = [input.as_fd(), writer.as_fd(), error_writer.as_fd()];
    let order = stem::order(&order, environment);
    let mut supervisor = Supervisor::run(*program.limits.grace, &order, streams).await?;
    // Without ours, they end with the command.
    drop((writer, error_writer, input));
    let heard = Mutex::new(Instant::now());
    let collecting = async {
        let most = program.limits.output;
        let output = collect(output.into(), program.output, most, &heard);
        match errors {
            Some((reader, file)) => tokio::try_join!(output, collect(reader.into(), file, most, &heard)).map(|_| ()),
            None => output.await,
        }
    };
    let ending = async {
        let stopped = tokio::select! {
            ending = supervisor.ending() => Err(ending?),
            () = sleep(program.limit) => Ok(Ending::TimedOut),
            () = silent(&heard, program.limits.silence.map(|silence| *silence)) => Ok(Ending::Silent),
        };
        let stopped = match stopped {
            Ok(stopped) => stopped,
            Err(ending) => {
                supervisor.give_back();
                return Ok(ending);
            }
        };
        supervisor.stop().await;
        if timeout(*program.limits.grace + STUCK, supervisor.ending()).await.is_err() {
            tracing::warn!("a command does not end even though it was killed");
        }
        Ok::<Ending, io::Error>(stopped)
    };
    tokio::pin!(collecting, ending);
    tokio::select! {
        collected = &mut collecting => { collected?; ending.await }
        ending = &mut ending => {
            let ending = ending?;
            if let Ok(collected) = timeout(STUCK, collecting).await {
                collected?;
            }
            Ok(ending)
        }
    }
}

/// A file that is nowhere on a disk.
///
/// # Errors
/// There are too many open files.
pub fn memory() -> io::Result<std::fs::File> {
    Ok(memfd_create("zrecipe", MemfdFlags::CLOEXEC)?.into())
}

/// A text as a file to read.
fn input(text: Option<&str>) -> io::Result<std::fs::File> {
    let Some(text) = text else { return null() };
    let mut file = memory()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// A program that stays. When this is dropped, or this process is killed, it is killed with all that it started.
#[derive(Debug)]
pub struct Held {
    supervisor: Supervisor,
}

/// What a program that stays reads and writes.
#[derive(Debug)]
pub struct Streams {
    /// Its standard input.
    pub input: Sender,
    /// Its standard output.
    pub output: Receiver,
    /// Its standard error.
    pub errors: Receiver,
}

impl Held {
    /// Starts a program in a directory.
    ///
    /// # Errors
    /// The surroundings are at fault.
    pub async fn start(arguments: &[String], directory: &Path) -> io::Result<(Self, Streams)> {
        let (output, writer) = std::io::pipe()?;
        let (errors, error_writer) = std::io::pipe()?;
        let (input, ours) = std::io::pipe()?;
        let order = Value::from([
            ("arguments", Value::from(arguments.to_vec())),
            ("directory", Value::from(directory.canonicalize()?.to_string_lossy().into_owned())),
        ]);
        let mut supervisor = Supervisor::start(Duration::ZERO)?;
        let order = stem::order(&order, std::env::vars_os());
        supervisor.order(&order, [input.as_fd(), writer.as_fd(), error_writer.as_fd()]).await;
        let streams = Streams {
            input: Sender::from_owned_fd(ours.into())?,
            output: Receiver::from_owned_fd(output.into())?,
            errors: Receiver::from_owned_fd(errors.into())?,
        };
        Ok((Self { supervisor }, streams))
    }

    /// How it ends.
    ///
    /// # Errors
    /// That is not known.
    pub async fn ending(&mut self) -> io::Result<Ending> {
        self.supervisor.ending().await
    }
}

/// What the command is to be.
fn order(program: &Program<'_>) -> Value {
    let limits = program.limits;
    let given = [
        ("cpu", limits.cpu),
        ("memory", limits.memory),
        ("open-files", limits.open_files),
        ("file-size", limits.file_size),
        ("processes", limits.processes),
    ];
    let number = |n: u64| Value::from(i64::try_from(n).unwrap_or(i64::MAX));
    let limits = given.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), number(limit?))));
    let variables = program.variables.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())));
    Value::from([
        ("arguments", Value::from(program.arguments.to_vec())),
        ("directory", Value::from(program.directory.to_string_lossy().into_owned())),
        ("environment", Value::Object(variables.collect())),
        ("limits", Value::Object(limits.collect())),
    ])
}

/// The variables of our environment that are among these names.
pub fn environment(names: &[String]) -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| is_passed(names, name.as_encoded_bytes()))
}

/// Whether a variable is among these names; a `*` at the end of one stands for anything.
fn is_passed(names: &[String], variable: &[u8]) -> bool {
    names.iter().any(|name| match name.strip_suffix('*') {
        Some(start) => variable.starts_with(start.as_bytes()),
        None => variable == name.as_bytes(),
    })
}

/// What to call a program in a message: the first argument that is a file, as the script that an interpreter reads, else
/// the program. Relative paths are those of the directory where it runs.
pub fn name<'c>(command: &'c [String], directory: &Path) -> &'c str {
    let script = command.iter().skip(1).find(|argument| directory.join(argument).is_file());
    script.or(command.first()).map_or("", String::as_str)
}

/// That a command cannot be started: the program is at fault then, not the script that it would have read.
pub fn unstartable(command: &[String], directory: &Path, reason: &str) -> String {
    match command.first() {
        Some(program) if program != name(command, directory) => format!("cannot be started: `{program}`: {reason}"),
        _ => format!("cannot be started: {reason}"),
    }
}

/// Ends when nothing has been heard for so long.
async fn silent(heard: &Mutex<Instant>, limit: Option<Duration>) {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        let end = *heard.lock().unwrap_or_else(PoisonError::into_inner) + limit;
        if Instant::now() >= end {
            return;
        }
        sleep_until(end).await;
    }
}

/// Writes what comes into a file, until nothing can come any more; what is too much is left out.
async fn collect(from: OwnedFd, mut to: std::fs::File, most: u64, heard: &Mutex<Instant>) -> io::Result<()> {
    let mut from = Receiver::from_owned_fd(from)?;
    let mut left = most.saturating_sub(to.metadata()?.len());
    let mut is_cut = false;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let kept = usize::try_from(left).map_or(read, |left| left.min(read));
        to.write_all(&buffer[..kept])?;
        left -= kept as u64;
        if kept < read && !is_cut {
            is_cut = true;
            writeln!(to, "\n[zrecipe: the limit of {most} bytes is reached, further output is omitted]")?;
        }
    }
}
