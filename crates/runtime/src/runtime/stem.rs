//! Stem: a process of our own that waits for an order and becomes the command.
//!
//! Only a command's own process can set what it may use, and that it ends with its parent. A stem has done what takes
//! time before there is an order, so that nothing is left to do but that and to be replaced by the program. Its order
//! comes over the socket on its standard input:
//!
//! ```text
//! {"arguments": ["phase", "image.cbf"], "directory": "/work", "environment": {"A": "…"}, "limits": {"cpu": 60}}⏎
//! PATH=/usr/bin␀HOME=/home/me␀…
//! ```
//!
//! The line is JSON; what follows, up to the end, are variables as they are, of which those in the line are more. With
//! the first byte come three descriptors: the command's standard input, output and error. The answer is nothing, for
//! the socket is closed when the program runs, or why it cannot.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv,
    recvmsg, sendmsg,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, getppid, set_parent_process_death_signal, setrlimit};

use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::Value;

/// The argument of the supervisor's program with which it is a stem; the next is the process that it ends with.
pub const ARGUMENT: &str = "stem";

/// The argument with which the program is a supervisor.
pub const SUPERVISE: &str = "__supervise";

/// This program, even when its file has been replaced.
const OURSELVES: &str = "/proc/self/exe";

/// The exit status of a stem that does not become the command.
pub const REFUSED: i32 = 1;

/// The most descriptors that come with a message.
const MOST: usize = 3;

/// How much is read at once.
const PIECE: usize = 16 << 10;

/// What a limit is called, and what it limits.
const LIMITS: [(&str, Resource); 5] = [
    ("cpu", Resource::Cpu),
    ("memory", Resource::As),
    ("open-files", Resource::Nofile),
    ("file-size", Resource::Fsize),
    ("processes", Resource::Nproc),
];

/// This program as a process that looks after others; what kind of it is said by more arguments.
///
/// # Errors
/// `/proc` is not mounted, so the program cannot find its own file.
pub fn program() -> io::Result<Command> {
    // The link is there even when the file that it names was deleted.
    std::fs::symlink_metadata(OURSELVES).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            error.kind(),
            "`/proc` is not mounted; commands need it and `/dev` (in a chroot: `mount -t proc proc /proc`)",
        ),
        _ => io::Error::new(error.kind(), format!("{OURSELVES}: {error}")),
    })?;
    let mut command = Command::new(OURSELVES);
    command.arg0("zrecipe").arg(SUPERVISE);
    Ok(command)
}

/// An order as it is written.
pub fn order(order: &Value, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<u8> {
    let mut bytes = order.to_json().into_bytes();
    bytes.push(b'\n');
    for (name, value) in environment {
        for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// Sends the beginning of a message with descriptors; how much of it, in bytes.
///
/// # Errors
/// Nobody is there to read it, or there is no room.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !with.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("there are too many descriptors"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut with, SendFlags::NOSIGNAL)?)
}

/// Takes the beginning of a message with what comes with it; no program that we start inherits that.
///
/// # Errors
/// Nothing can be read.
pub fn receive(socket: impl AsFd, into: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let read = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(into)], &mut with, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            read => break read?.bytes,
        }
    };
    let descriptors = with.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok((read, descriptors.flatten().collect()))
}

/// Why a stem that has ended has not become the command, if it has said so.
pub fn refusal(socket: impl AsFd) -> Option<String> {
    let mut text = [0; 4096];
    let (_, read) = recv(socket, &mut text[..], RecvFlags::DONTWAIT).ok()?;
    (read > 0).then(|| String::from_utf8_lossy(&text[..read.min(text.len())]).into_owned())
}

/// Starts a stem that takes its order from a socket.
///
/// # Errors
/// There is no room for one more process, or `/proc` is not mounted.
pub fn start(socket: OwnedFd) -> io::Result<Pid> {
    let mut command = program()?;
    command.args([ARGUMENT, &getpid().to_string()]).process_group(0).stdin(socket);
    // Whoever waits for all processes waits for this one.
    let child = command.spawn()?;
    Pid::from_raw(i32::try_from(child.id()).unwrap_or_default()).ok_or_else(|| Errno::SRCH.into())
}

/// Is a stem below this process. Returns only when it does not become a command.
pub fn main(parent: &OsStr) -> ExitCode {
    let become_command = || -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // Whoever has ended before that sends no signal any more.
        if getppid().is_none_or(|process| parent != OsStr::new(&process.to_string())) {
            return Ok(());
        }
        let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let Some((bytes, descriptors)) = read_order(&mut socket)? else { return Ok(()) };
        let Err(error) = execute(&bytes, descriptors);
        socket.write_all(error.to_string().as_bytes())
    };
    let _ = become_command();
    ExitCode::from(REFUSED as u8)
}

/// The order, once it is there; none is given when nobody needs the stem any more.
fn read_order(socket: &mut UnixStream) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; PIECE];
    let (read, descriptors) = receive(&*socket, &mut bytes)?;
    bytes.truncate(read);
    if read > 0 {
        socket.read_to_end(&mut bytes)?;
    }
    Ok((read > 0).then_some((bytes, descriptors)))
}

fn execute(order: &[u8], descriptors: Vec<OwnedFd>) -> io::Result<Infallible> {
    let end = memchr::memchr(b'\n', order).ok_or_else(|| io::Error::other("the order is not whole"))?;
    let (order, variables) = (read_value(&order[..end]).map_err(io::Error::other)?, &order[end + 1..]);
    let Ok([input, output, errors]) = <[OwnedFd; 3]>::try_from(descriptors) else {
        return Err(io::Error::other("the order comes without descriptors"));
    };
    let arguments: Vec<&str> =
        order.get("arguments").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let [program, arguments @ ..] = arguments.as_slice() else { return Err(io::Error::other("the command is empty")) };
    let directory = Path::new(order.get("directory").and_then(Value::as_str).unwrap_or("."));
    std::env::set_current_dir(directory)?;
    // It was resolved before; a link that has been put in its way since leads elsewhere.
    if directory.is_absolute() && std::env::current_dir()? != directory {
        return Err(io::Error::other(format!("{} is not where it was", directory.display())));
    }
    let mut command = Command::new(program);
    command.args(arguments).stdin(input).stdout(output).stderr(errors).env_clear();
    let variables = variables.split(|byte| *byte == 0).filter_map(|variable| {
        // The first character may be the sign itself, as the system has it.
        let sign = 1 + memchr::memchr(b'=', variable.get(1..)?)?;
        Some((OsStr::from_bytes(&variable[..sign]), OsStr::from_bytes(&variable[sign + 1..])))
    });
    let more = order.get("environment").and_then(Value::as_object).into_iter().flatten();
    command.envs(variables).envs(more.filter_map(|(name, value)| Some((name, value.as_str()?))));
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
