//! Supervisor: a process of our own between a service and a command, so that the command ends with all that it
//! started, whatever becomes of the service.
//!
//! The program starts itself again as the supervisor: a session of its own, and the parent of every orphan below it.
//! That starts itself a third time to set what only the command's own process can set, and becomes the command. The
//! service and the supervisor talk over a socket: an order in, perhaps `stop`, and how it ended back. When the service
//! is gone, the socket is closed, and everything is killed. Orders are lines of JSON:
//!
//! A job of a cluster on this machine has a supervisor that outlives the service: it finds its order in a directory and
//! leaves there how the job ended.
//!
//! ```text
//! {"arguments": ["phase", "image.cbf"], "directory": "/work", "input": "…", "grace": 2, "limits": {"cpu": 60}}
//! {"ended": {"exited": 0}}   {"ended": {"signalled": 9}}   {"ended": {"unstartable": "no such file"}}
//! ```

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getpid, kill_process, pidfd_open,
    pidfd_send_signal, set_child_subreaper, set_parent_process_death_signal, setrlimit, setsid, wait,
};

use crate::runtime::journal::write;
use crate::syntax::json::read_value;
use crate::value::Value;

/// The argument with which the program is a supervisor.
pub const ARGUMENT: &str = "__supervise";

/// The second argument with which it becomes the command.
const COMMAND: &str = "command";

/// The second argument with which it looks after a job; the third is the directory of the job.
const JOB: &str = "job";

/// This program, even when its file has been replaced.
const OURSELVES: &str = "/proc/self/exe";

/// What a limit is called, and what it limits.
const LIMITS: [(&str, Resource); 5] = [
    ("cpu", Resource::Cpu),
    ("memory", Resource::As),
    ("open-files", Resource::Nofile),
    ("file-size", Resource::Fsize),
    ("processes", Resource::Nproc),
];

/// How long a command that has ended may have children before they are asked to end as well.
const AT_ONCE: Duration = Duration::from_millis(5);

/// How soon after a kill we look for processes that were started meanwhile.
const AGAIN: Duration = Duration::from_millis(10);

/// The command of a new supervisor.
pub fn supervisor() -> Command {
    let mut command = Command::new(OURSELVES);
    command.arg0("zrecipe").arg(ARGUMENT);
    command
}

/// The command of a supervisor for a job, which outlives us. Its standard input is the file `begun` of the job.
pub fn job_supervisor(directory: &Path) -> Command {
    let mut command = supervisor();
    command.arg(JOB).arg(directory).env_clear();
    command
}

/// Is a supervisor, or a command, if these are the arguments of one.
pub fn main(arguments: &[OsString]) -> Option<ExitCode> {
    let (_, [first, rest @ ..]) = arguments.split_first()? else { return None };
    if first != ARGUMENT {
        return None;
    }
    let done = match rest {
        [stage] if stage == COMMAND => become_command(),
        [stage, directory] if stage == JOB => supervise_job(Path::new(directory)),
        _ => supervise(),
    };
    Some(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The socket on standard input; the command does not inherit it.
fn control() -> io::Result<UnixStream> {
    Ok(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// What a supervisor hears.
enum Event {
    /// A process below us has ended.
    Ended(Pid, WaitStatus),
    /// No process is left below us.
    Alone,
    /// The command is to be stopped.
    Stop,
    /// Nobody waits for the command any more.
    Abandoned,
}

fn supervise() -> io::Result<()> {
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    let mut control = control()?;
    let mut lines = BufReader::new(control.try_clone()?);
    let mut order = String::new();
    lines.read_line(&mut order)?;
    let command = match start(&order) {
        Ok(command) => command,
        Err(error) => return tell(&mut control, "unstartable", Value::from(error.to_string())),
    };
    let (events, heard) = mpsc::channel();
    let reaper = events.clone();
    std::thread::spawn(move || reap(&reaper));
    std::thread::spawn(move || listen(lines, &events));
    let (ending, _) = see_to_the_end(command, &heard, milliseconds(&order, "grace").unwrap_or_default(), None)?;
    tell(&mut control, ending.0, ending.1)
}

/// Looks after a job and leaves how it ended in its directory.
fn supervise_job(directory: &Path) -> io::Result<()> {
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    // While this file is open somebody can tell that the job runs, and by what is in it that it was begun.
    let mut begun = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    writeln!(begun, "{}", getpid().as_raw_nonzero())?;
    begun.sync_all()?;
    let order = std::fs::read_to_string(directory.join("order.json"))?;
    let ended = match start(&order) {
        Err(error) => Value::from([("unstartable", error.to_string())]),
        Ok(command) => {
            let (events, heard) = mpsc::channel();
            std::thread::spawn(move || reap(&events));
            let (grace, limit) = (milliseconds(&order, "grace").unwrap_or_default(), milliseconds(&order, "limit"));
            let ((how, value), stopped) = see_to_the_end(command, &heard, grace, limit)?;
            let stopped = stopped.then(|| ("stopped".to_owned(), Value::from(true)));
            Value::Object([(how.to_owned(), value)].into_iter().chain(stopped).collect())
        }
    };
    write(directory, "ended.json", &ended)
}

/// A time of an order.
fn milliseconds(order: &str, key: &str) -> Option<Duration> {
    let number = read_value(order.as_bytes()).ok()?.get(key)?.as_i64()?;
    Some(Duration::from_millis(number.unsigned_abs()))
}

/// Waits until a command and all that it started have ended: by themselves, at a limit, or because somebody wants it.
/// How it ended, and whether it was at the limit.
fn see_to_the_end(
    command: Pid,
    heard: &mpsc::Receiver<Event>,
    grace: Duration,
    limit: Option<Duration>,
) -> io::Result<((&'static str, Value), bool)> {
    let mut status = None;
    let mut limit = limit.and_then(|limit| Instant::now().checked_add(limit));
    let (mut deadline, mut asked, mut stopped) = (None::<Instant>, false, false);
    loop {
        let event = match deadline.or(limit) {
            Some(deadline) => heard.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok(),
            None => heard.recv().ok(),
        };
        match event {
            Some(Event::Alone) => break,
            Some(Event::Ended(process, how)) => {
                if process == command {
                    status = Some(how);
                    deadline = deadline.or(Some(Instant::now() + AT_ONCE));
                }
            }
            Some(Event::Stop) => deadline = deadline.or(Some(Instant::now())),
            Some(Event::Abandoned) => (deadline, asked) = (Some(Instant::now()), true),
            None if asked => {
                signal_all(Signal::KILL)?;
                deadline = Some(Instant::now() + AGAIN);
            }
            None => {
                stopped |= deadline.is_none() && limit.take().is_some();
                signal_all(Signal::TERM)?;
                (deadline, asked) = (Some(Instant::now() + grace), true);
            }
        }
    }
    match status.map(|status| (status.exit_status(), status.terminating_signal())) {
        Some((Some(code), _)) => Ok((("exited", Value::from(i64::from(code))), stopped)),
        Some((None, Some(signal))) => Ok((("signalled", Value::from(i64::from(signal))), stopped)),
        _ => Err(io::Error::other("it is not known how the command ended")),
    }
}

fn tell(control: &mut UnixStream, how: &str, value: Value) -> io::Result<()> {
    let ended = Value::from([("ended", Value::from([(how, value)]))]);
    control.write_all((ended.to_json() + "\n").as_bytes())
}

/// Starts the command; when this returns, it runs.
fn start(order: &str) -> io::Result<Pid> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let child = Command::new(OURSELVES)
        .arg0("zrecipe")
        .args([ARGUMENT, COMMAND])
        .process_group(0)
        .stdin(OwnedFd::from(theirs))
        .spawn()?;
    ours.write_all(order.as_bytes())?;
    ours.shutdown(Shutdown::Write)?;
    let mut refusal = String::new();
    ours.read_to_string(&mut refusal)?;
    match Pid::from_raw(i32::try_from(child.id()).unwrap_or_default()) {
        Some(process) if refusal.is_empty() => Ok(process),
        _ => Err(io::Error::other(refusal)),
    }
}

/// Waits for every process below us, for those that lost their parents as well.
fn reap(events: &mpsc::Sender<Event>) {
    loop {
        let event = match wait(WaitOptions::empty()) {
            Ok(Some((process, status))) => Event::Ended(process, status),
            Ok(None) | Err(Errno::INTR) => continue,
            Err(_) => Event::Alone,
        };
        let last = matches!(event, Event::Alone);
        if events.send(event).is_err() || last {
            return;
        }
    }
}

/// Hears what the service says.
fn listen(mut lines: BufReader<UnixStream>, events: &mpsc::Sender<Event>) {
    loop {
        let mut line = String::new();
        let event = match lines.read_line(&mut line) {
            Ok(1..) => Event::Stop,
            _ => Event::Abandoned,
        };
        let last = matches!(event, Event::Abandoned);
        if events.send(event).is_err() || last {
            return;
        }
    }
}

/// Sends a signal to all processes below us.
fn signal_all(signal: Signal) -> io::Result<()> {
    let mut processes = HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if let Some((process, stat)) = number.and_then(|process| Some((process, Stat::read(process)?))) {
            processes.insert(process, stat);
        }
    }
    let ourselves = getpid();
    let is_below = |process: &Pid| {
        let parents = std::iter::successors(Some(*process), |process| processes.get(process).map(|stat| stat.parent));
        parents.skip(1).take(processes.len()).any(|parent| parent == ourselves)
    };
    for process in processes.keys().filter(|process| is_below(process)) {
        // Between the look and the signal the number may have become that of another process; a handle stays.
        match pidfd_open(*process, PidfdFlags::empty()) {
            Ok(handle) if Stat::read(*process).as_ref() == processes.get(process) => {
                let _ = pidfd_send_signal(handle, signal);
            }
            Err(Errno::NOSYS) => {
                let _ = kill_process(*process, signal);
            }
            _ => {}
        }
    }
    Ok(())
}

/// What tells a process from others that have its number later.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: Pid,
    started: String,
}

impl Stat {
    fn read(process: Pid) -> Option<Self> {
        let [_, parent, started] = fields(process)?;
        Some(Self { parent: parent.parse().ok().and_then(Pid::from_raw)?, started })
    }
}

/// State, parent and time of the start of a process.
fn fields(process: Pid) -> Option<[String; 3]> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    // `pid (name) state parent …`, the time of its start is number 22; the name may hold spaces and brackets.
    let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace().map(str::to_owned);
    Some([fields.next()?, fields.next()?, fields.nth(17)?])
}

/// What tells a process from others that have its number later, in words; nothing once it has ended.
pub fn identity(process: Pid) -> Option<String> {
    let [state, _, started] = fields(process)?;
    // One that has ended stays in the list until somebody asks how.
    (state != "Z").then(|| format!("{} {started}", process.as_raw_nonzero()))
}

/// Becomes the command. Returns only when it cannot.
fn become_command() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut control = control()?;
    let mut order = Vec::new();
    control.read_to_end(&mut order)?;
    let order = read_value(&order).map_err(io::Error::other)?;
    let Err(error) = execute(&order);
    control.write_all(error.to_string().as_bytes())?;
    Err(error)
}

fn execute(order: &Value) -> Result<std::convert::Infallible, io::Error> {
    let text = |key: &str| order.get(key).and_then(Value::as_str);
    let arguments: Vec<&str> =
        order.get("arguments").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let [program, arguments @ ..] = arguments.as_slice() else { return Err(io::Error::other("the command is empty")) };
    let directory = Path::new(text("directory").unwrap_or("."));
    std::env::set_current_dir(directory)?;
    // It was resolved before; a link that has been put in its way since leads elsewhere.
    if directory.is_absolute() && std::env::current_dir()? != directory {
        return Err(io::Error::other(format!("{} is not where it was", directory.display())));
    }
    let input = match text("input") {
        _ if text("reads").is_some() => File::open(text("reads").unwrap_or_default())?,
        Some(text) => {
            let mut file = tempfile::tempfile()?;
            file.write_all(text.as_bytes())?;
            file.rewind()?;
            file
        }
        None => File::open("/dev/null")?,
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(input);
    if let Some(environment) = order.get("environment").and_then(Value::as_object) {
        command.env_clear().envs(environment.iter().filter_map(|(name, value)| Some((name, value.as_str()?))));
    }
    for (name, resource) in LIMITS {
        let limit =
            order.get("limits").and_then(|limits| limits.get(name)?.as_i64()).and_then(|n| u64::try_from(n).ok());
        if let Some(limit) = limit {
            // At the first limit of time comes the signal that says so, at the second the end.
            let last = if name == "cpu" { limit + 1 } else { limit };
            setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(last) })?;
        }
    }
    Err(command.exec())
}
