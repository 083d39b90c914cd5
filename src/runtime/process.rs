//! Runs a program with limits: what it prints in files, and an end for all that it started.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::runtime::supervisor::supervisor;
use crate::settings::Limits;
use crate::syntax::json::read_value;
use crate::value::Value;

/// How long what cannot be killed is waited for.
const STUCK: Duration = Duration::from_secs(10);

/// The environment of commands that services run, unless the settings say otherwise: that of a login, and what programs
/// of Zocalo need to report.
pub const LOGIN: [&str; 11] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR", "ZOCALO_*", "ZRECIPE_*"];

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this exit status.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// It was stopped at its time limit.
    TimedOut,
    /// It was stopped because it had printed nothing for too long.
    Silent,
    /// It could not be started.
    Unstartable(String),
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
    let mut command = supervisor();
    command.stdout(writer).stderr(error_writer);
    if let Some(names) = program.environment {
        command.env_clear().envs(environment(names));
    }
    let (mut supervisor, control) = supervise(command)?;
    let (reports, mut orders) = control.into_split();
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
        // A supervisor that is gone says nothing, which is heard below.
        let _ = orders.write_all((order.to_json() + "\n").as_bytes()).await;
        let mut lines = BufReader::new(reports).lines();
        let stopped = tokio::select! {
            line = lines.next_line() => return read_ending(line?),
            () = sleep(program.limit) => Ending::TimedOut,
            () = silent(&heard, program.limits.silence) => Ending::Silent,
        };
        let _ = orders.write_all(b"stop\n").await;
        if timeout(program.limits.grace + STUCK, lines.next_line()).await.is_err() {
            tracing::warn!("a command does not end even though it was killed");
        }
        Ok(stopped)
    };
    tokio::pin!(collecting, ending);
    let ending = tokio::select! {
        collected = &mut collecting => { collected?; ending.await? }
        ending = &mut ending => {
            let ending = ending?;
            if let Ok(collected) = timeout(STUCK, collecting).await {
                collected?;
            }
            ending
        }
    };
    let _ = timeout(STUCK, supervisor.wait()).await;
    Ok(ending)
}

/// Starts a supervisor, and the socket to talk to it.
fn supervise(mut command: std::process::Command) -> io::Result<(Child, UnixStream)> {
    let (control, theirs) = std::os::unix::net::UnixStream::pair()?;
    command.stdin(OwnedFd::from(theirs));
    // Its ends of the pipes are its own: without ours, which go with the command, they end with it.
    let supervisor = Command::from(command).spawn()?;
    control.set_nonblocking(true)?;
    Ok((supervisor, UnixStream::from_std(control)?))
}

/// A program that stays. When this is dropped, or this process is killed, it is killed with all that it started.
#[derive(Debug)]
pub struct Held {
    _supervisor: Child,
    control: BufReader<UnixStream>,
    /// What it opens as its standard input.
    _input: std::io::PipeReader,
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
        let mut command = supervisor();
        command.stdout(writer).stderr(error_writer);
        let (supervisor, mut control) = supervise(command)?;
        let place = format!("/proc/{}/fd/{}", std::process::id(), input.as_raw_fd());
        let order = Value::from([
            ("arguments", Value::from(arguments.to_vec())),
            ("directory", Value::from(directory.canonicalize()?.to_string_lossy().into_owned())),
            ("reads", Value::from(place)),
        ]);
        control.write_all((order.to_json() + "\n").as_bytes()).await?;
        let streams = Streams {
            input: Sender::from_owned_fd(ours.into())?,
            output: Receiver::from_owned_fd(output.into())?,
            errors: Receiver::from_owned_fd(errors.into())?,
        };
        Ok((Self { _supervisor: supervisor, control: BufReader::new(control), _input: input }, streams))
    }

    /// How it ends.
    ///
    /// # Errors
    /// That is not known.
    pub async fn ending(&mut self) -> io::Result<Ending> {
        let mut line = String::new();
        self.control.read_line(&mut line).await?;
        read_ending(Some(line))
    }
}

/// What the supervisor is to do.
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
    Value::from([
        ("arguments", Value::from(program.arguments.to_vec())),
        ("directory", Value::from(program.directory.to_string_lossy().into_owned())),
        ("input", Value::from(program.input)),
        ("grace", Value::from(program.limits.grace.as_millis() as i64)),
        ("limits", Value::Object(limits.collect())),
    ])
}

fn read_ending(line: Option<String>) -> io::Result<Ending> {
    let report = line.and_then(|line| read_value(line.as_bytes()).ok()).unwrap_or_default();
    let number = |key: &str| report.get("ended")?.get(key)?.as_i64().and_then(|number| i32::try_from(number).ok());
    if let Some(code) = number("exited") {
        return Ok(Ending::Exited(code));
    }
    if let Some(signal) = number("signalled") {
        return Ok(Ending::Signalled(signal));
    }
    match report.get("ended").and_then(|ended| ended.get("unstartable")?.as_str()) {
        Some(reason) => Ok(Ending::Unstartable(reason.to_owned())),
        None => Err(io::Error::other("the process that looks after the command was killed")),
    }
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
            writeln!(to, "\n[zrecipe: the limit of {most} bytes is reached, what follows is left out]")?;
        }
    }
}
