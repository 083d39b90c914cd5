//! Supervisor: a process of our own between a service and commands, so that a command ends with all that it started,
//! whatever becomes of the service.
//!
//! The program starts itself again as the supervisor: a session of its own, and the parent of every orphan below it. It
//! looks after one command at a time: first a [stem], which takes its order from the service by
//! a socket of its own and becomes the command. The service and the supervisor talk over a socket as well:
//!
//! | from the service | meaning |
//! |---|---|
//! | `b` with a descriptor | begin: start a stem that takes its order from this socket |
//! | `s` | stop: ask everything that runs to end, and kill it when the time for that is over |
//! | its end | nobody waits any more: kill everything, and end |
//!
//! The answer to `b` is how the command ended, a line of JSON. It comes when no process is left below the supervisor,
//! which is then free for the next:
//!
//! ```text
//! {"ended": {"exited": 0}}   {"ended": {"signalled": 9}}   {"ended": {"unstartable": "no such file"}}
//! ```
//!
//! A job of a cluster on this machine has a supervisor that outlives the service: it finds its order in a directory and
//! leaves there how the job ended.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process, pidfd_open, pidfd_send_signal,
    set_child_subreaper, setsid, wait,
};

use crate::runtime::journal::write;
use crate::runtime::stem;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::Value;

/// The second argument with which it looks after a job; the third is the directory of the job.
const JOB: &str = "job";

/// What a service says: begin, and stop.
pub const BEGIN: u8 = b'b';
/// See [`BEGIN`].
pub const STOP: u8 = b's';

const NULL: &str = "/dev/null";

/// How long a command that has ended may have children before they are asked to end as well.
const AT_ONCE: Duration = Duration::from_millis(5);

/// How soon after a kill we look for processes that were started meanwhile.
const AGAIN: Duration = Duration::from_millis(10);

/// What reads nothing and keeps nothing.
///
/// # Errors
/// `/dev/null` cannot be opened; the error names it.
pub fn null() -> io::Result<File> {
    File::options().read(true).write(true).open(NULL).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot open `{NULL}`: {error}; commands need `/dev` and `/proc`"))
    })
}

/// The command of a new supervisor of a service, which talks over its standard input. What it asks to end has so long
/// until it is killed.
///
/// # Errors
/// See [`stem::program`].
pub fn supervisor(grace: Duration) -> io::Result<Command> {
    let mut command = stem::program()?;
    command.arg(grace.as_millis().to_string()).env_clear().stdout(null()?).stderr(null()?);
    Ok(command)
}

/// The command of a supervisor for a job, which outlives us. Its standard input is the file `begun` of the job.
///
/// # Errors
/// See [`stem::program`].
pub fn job_supervisor(directory: &Path) -> io::Result<Command> {
    let mut command = stem::program()?;
    command.arg(JOB).arg(directory).env_clear();
    Ok(command)
}

/// Is a supervisor, or a stem, if these are the arguments of one.
pub fn main(arguments: &[OsString]) -> Option<ExitCode> {
    let (_, [first, rest @ ..]) = arguments.split_first()? else { return None };
    if first != stem::SUPERVISE {
        return None;
    }
    let done = match rest {
        [stage, parent] if stage == stem::ARGUMENT => return Some(stem::main(parent)),
        [stage, directory] if stage == JOB => supervise_job(Path::new(directory)),
        [grace] => supervise(grace.to_str().and_then(|text| text.parse().ok()).unwrap_or_default()),
        _ => return Some(ExitCode::FAILURE),
    };
    Some(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks after the commands of a service, one after the other; grace in milliseconds.
fn supervise(grace: u64) -> io::Result<()> {
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (begin, begun) = mpsc::channel();
    let watch = Watch::start(Duration::from_millis(grace));
    let (orders, listening) = (control.try_clone()?, Arc::clone(&watch));
    std::thread::spawn(move || listen(&orders, &listening, &begin));
    for socket in begun {
        watch.begin(None);
        // A stem ends with the thread that has started it, which is therefore this one.
        let ended = match stem::start(socket) {
            Ok(command) => ended(see_to_the_end(command, &watch)?)?,
            Err(error) => ("unstartable", Value::from(error.to_string())),
        };
        watch.end();
        let ended = Value::from([("ended", Value::from([ended]))]);
        control.write_all((ended.to_json() + "\n").as_bytes())?;
    }
    Ok(())
}

/// Hears what the service says.
fn listen(control: &UnixStream, watch: &Watch, begin: &mpsc::Sender<OwnedFd>) {
    loop {
        // A byte at a time, so that a descriptor belongs to one.
        let mut said = [0];
        match stem::receive(control, &mut said) {
            Ok((1, sockets)) if said == [BEGIN] => sockets.into_iter().for_each(|socket| drop(begin.send(socket))),
            Ok((1, _)) => watch.stop(),
            _ => return watch.abandon(),
        }
    }
}

/// Looks after a job and leaves how it ended in its directory.
fn supervise_job(directory: &Path) -> io::Result<()> {
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    // While this file is open somebody can tell that the job runs, and by what is in it that it was begun.
    let mut begun = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    writeln!(begun, "{}", getpid().as_raw_nonzero())?;
    begun.sync_all()?;
    let order =
        read_value(&zrecipe_project::regular::read_all(&directory.join("order.json"))?).map_err(io::Error::other)?;
    let time = |key: &str| Some(Duration::from_millis(order.get(key)?.as_i64()?.unsigned_abs()));
    let watch = Watch::start(time("grace").unwrap_or_default());
    watch.begin(time("limit"));
    let how = match start(&order) {
        Err(error) => Value::from([("unstartable", error.to_string())]),
        Ok(command) => {
            let ended = ended(see_to_the_end(command, &watch)?)?;
            let stopped = watch.end().then(|| ("stopped", Value::from(true)));
            Value::Object([ended].into_iter().chain(stopped).map(|(key, value)| (key.to_owned(), value)).collect())
        }
    };
    write(directory, "ended.json", &how)
}

/// Starts the command of a job, which prints where we do; when this returns, it runs.
fn start(order: &Value) -> io::Result<Pid> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let process = stem::start(theirs.into())?;
    let (input, output, errors) = (null()?, io::stdout(), io::stderr());
    let bytes = stem::order(order, []);
    let sent = stem::send(&ours, &bytes, &[input.as_fd(), output.as_fd(), errors.as_fd()])?;
    ours.write_all(&bytes[sent..])?;
    ours.shutdown(Shutdown::Write)?;
    let mut refusal = String::new();
    ours.read_to_string(&mut refusal)?;
    if refusal.is_empty() { Ok(process) } else { Err(io::Error::other(refusal)) }
}

/// Waits for every process below us, for those that lost their parents as well. How the command ended.
fn see_to_the_end(command: Pid, watch: &Watch) -> io::Result<WaitStatus> {
    let mut ended = None;
    let mut options = WaitOptions::empty();
    loop {
        match wait(options) {
            Ok(Some((process, status))) if process == command => {
                ended = Some(status);
                options = WaitOptions::NOHANG;
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => {
                watch.left_behind();
                options = WaitOptions::empty();
            }
            Err(_) => return ended.ok_or_else(|| io::Error::other("the exit status of the command is unknown")),
        }
    }
}

/// How a command ended, in words of a report.
fn ended(status: WaitStatus) -> io::Result<(&'static str, Value)> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ok(("exited", Value::from(i64::from(code)))),
        (None, Some(signal)) => Ok(("signalled", Value::from(i64::from(signal)))),
        (None, None) => Err(io::Error::other("the exit status of the command is unknown")),
    }
}

/// What is to end when.
struct Watch {
    /// How long what is asked to end has until it is killed.
    grace: Duration,
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Default)]
struct Now {
    /// What runs.
    command: Option<Due>,
    /// Nobody waits for a command any more.
    is_abandoned: bool,
}

/// What a command has to expect.
#[derive(Default)]
struct Due {
    /// When it has run for too long.
    limit: Option<Instant>,
    /// When it is signalled next.
    next: Option<Instant>,
    /// It has been asked to end.
    is_asked: bool,
    /// It was stopped at its limit.
    is_stopped: bool,
}

impl Watch {
    /// Begins to watch, on a thread of its own.
    fn start(grace: Duration) -> Arc<Self> {
        let watch = Arc::new(Self { grace, now: Mutex::default(), changed: Condvar::new() });
        let watching = Arc::clone(&watch);
        std::thread::spawn(move || watching.keep());
        watch
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is a command from here on, or soon.
    fn begin(&self, limit: Option<Duration>) {
        let limit = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut now = self.lock();
        now.command = Some(Due { limit, ..Due::default() });
        let is_abandoned = now.is_abandoned;
        drop(now);
        if is_abandoned {
            self.abandon();
        }
        if limit.is_some() {
            self.changed.notify_all();
        }
    }

    /// Everything that ran has ended; whether it was stopped at its limit.
    fn end(&self) -> bool {
        self.lock().command.take().is_some_and(|command| command.is_stopped)
    }

    fn change(&self, change: impl FnOnce(&mut Due)) {
        self.lock().command.as_mut().map(change);
        self.changed.notify_all();
    }

    /// The command has ended, others have not.
    fn left_behind(&self) {
        self.change(|command| command.next = command.next.or_else(|| Some(Instant::now() + AT_ONCE)));
    }

    /// The command is to be stopped.
    fn stop(&self) {
        self.change(|command| command.next = command.next.or_else(|| Some(Instant::now())));
    }

    /// Nobody waits for the command any more.
    fn abandon(&self) {
        self.lock().is_abandoned = true;
        self.change(|command| (command.next, command.is_asked) = (Some(Instant::now()), true));
    }

    /// Signals what is due. While it does, no command begins.
    fn keep(&self) {
        let mut now = self.lock();
        loop {
            let time = Instant::now();
            let due = now.command.as_ref().and_then(|command| command.next.or(command.limit));
            now = match (due, &mut now.command) {
                (Some(due), Some(command)) if due <= time => {
                    let signal = if command.is_asked { Signal::KILL } else { Signal::TERM };
                    if signal_all(signal).is_err() {
                        // Nobody can tell what is below us: the command at least ends with us.
                        let _ = kill_process(getpid(), Signal::KILL);
                    }
                    let pause = if command.is_asked { AGAIN } else { self.grace };
                    command.is_stopped |= command.next.is_none();
                    (command.next, command.is_asked) = (Some(Instant::now() + pause), true);
                    now
                }
                (Some(due), _) => {
                    let waited = self.changed.wait_timeout(now, due - time);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                (None, _) => self.changed.wait(now).unwrap_or_else(PoisonError::into_inner),
            };
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
