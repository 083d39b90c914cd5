//! The one reader of files that others name: recipes, requests, options and directories decide what is opened.
//!
//! - What is no regular file (a pipe, a device, a socket, a directory) is refused before it is opened: opening a pipe waits
//!   for its other end, and opening a device can do anything.
//! - An operation has a time limit, because a file system that does not answer (NFS, GPFS, FUSE) blocks its caller without
//!   end. The operation then stays behind on a thread of its own; until it ends, further ones on the same path fail at
//!   once, and so do all in a directory where several have stayed behind.
//! - A file has a maximum size, checked before and while it is read.

use std::any::Any;
use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, TrySendError};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::platform;

/// Maximum duration of one operation on a file system.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a directory that has answered is taken to answer.
const TRUST: Duration = Duration::from_secs(1);

/// Maximum size of a file that no other limit holds for, in bytes.
pub const MAX_BYTES: u64 = 64 << 20;

/// Maximum time that a file may be reserved by another program (a lease) before opening it fails.
const LEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum operations of one directory that may stay behind before all others there fail at once.
const MAX_OVERDUE: usize = 4;

/// Maximum threads that are kept for the next operations.
const MAX_IDLE: usize = 8;

/// Why something that is there is not read: it is no regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is {0}, not a regular file")]
pub struct NotRegular(&'static str);

/// What a file holds.
#[derive(Debug)]
pub enum Content {
    /// All of it.
    Whole(Vec<u8>),
    /// More than the maximum: its size in bytes, as far as it is known.
    TooLarge(u64),
}

/// Whether an error lasts as long as the path names the same thing: a further attempt cannot succeed.
pub fn is_permanent(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::IsADirectory, io::ErrorKind::InvalidFilename, io::ErrorKind::FileTooLarge];
    kinds.contains(&error.kind()) || error.get_ref().is_some_and(|inner| inner.is::<NotRegular>())
}

/// Whether this process or machine has no descriptor or memory left: no fault of the file or of who named it.
pub fn is_exhausted(error: &io::Error) -> bool {
    platform::is_exhausted(error)
}

/// Reads a file of at most `max_bytes` bytes.
///
/// # Errors
/// It cannot be read, is no regular file, or the file system does not answer.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Content> {
    let own = path.to_owned();
    within(path, move || read_now(&own, max_bytes))?
}

/// Opens a file for reading.
///
/// # Errors
/// It cannot be opened, is no regular file, or the file system does not answer.
pub fn open(path: &Path) -> io::Result<File> {
    let own = path.to_owned();
    within(path, move || open_now(&own))?
}

/// The same for one of many files: to hand each to another thread takes longer than to read it, so a file itself, not a link,
/// in a directory that has answered within the last second is read at once.
///
/// # Errors
/// As for [`read`].
pub fn read_in_bulk(path: &Path, max_bytes: u64) -> io::Result<Content> {
    static ANSWERED: Mutex<Option<(PathBuf, Instant)>> = Mutex::new(None);
    let answered = || ANSWERED.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = path.parent().unwrap_or(Path::new(""));
    let has_answered = answered().as_ref().is_some_and(|(known, at)| known == directory && at.elapsed() < TRUST);
    if has_answered && path.symlink_metadata().is_ok_and(|found| found.is_file()) {
        return read_now(path, max_bytes);
    }
    let read = read(path, max_bytes)?;
    *answered() = Some((directory.to_owned(), Instant::now()));
    Ok(read)
}

/// Reads a file of at most [`MAX_BYTES`] bytes.
///
/// # Errors
/// As for [`read`]; or it is larger.
pub fn read_all(path: &Path) -> io::Result<Vec<u8>> {
    match read(path, MAX_BYTES)? {
        Content::Whole(bytes) => Ok(bytes),
        Content::TooLarge(size) => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has {size} bytes or more, and the limit is {MAX_BYTES}"),
        )),
    }
}

/// Reads a text of at most [`MAX_BYTES`] bytes.
///
/// # Errors
/// As for [`read_all`]; or it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_all(path)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// What a path names, links followed.
///
/// # Errors
/// There is nothing, or the file system does not answer.
pub fn metadata(path: &Path) -> io::Result<Metadata> {
    let own = path.to_owned();
    within(path, move || own.metadata())?
}

/// Where a path leads, links followed.
///
/// # Errors
/// There is nothing, or the file system does not answer.
pub fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    let own = path.to_owned();
    within(path, move || own.canonicalize())?
}

/// Whether a path names a regular file; no if the file system does not answer.
pub fn is_file(path: &Path) -> bool {
    metadata(path).is_ok_and(|found| found.is_file())
}

/// Whether a path names a directory; no if the file system does not answer.
pub fn is_dir(path: &Path) -> bool {
    metadata(path).is_ok_and(|found| found.is_dir())
}

/// The entries of a directory, in no order.
///
/// # Errors
/// It cannot be read, or the file system does not answer.
pub fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let own = directory.to_owned();
    within(directory, move || std::fs::read_dir(own)?.map(|entry| entry.map(|entry| entry.path())).collect())?
}

/// The files and directories that a walk finds; the time limit holds for each step of it.
pub fn walk(walk: ignore::WalkBuilder, root: &Path) -> impl Iterator<Item = io::Result<ignore::DirEntry>> + use<> {
    let (sender, entries) = mpsc::sync_channel(256);
    let spawned = thread::Builder::new().name("zrecipe-walk".to_owned()).spawn(move || {
        // Even to begin it asks the file system.
        for entry in walk.build() {
            if sender.send(entry).is_err() {
                return;
            }
        }
    });
    let root = root.to_owned();
    let mut failed = spawned.err();
    let mut is_over = false;
    std::iter::from_fn(move || {
        if let Some(error) = failed.take() {
            is_over = true;
            return Some(Err(error));
        }
        if is_over {
            return None;
        }
        match entries.recv_timeout(TIMEOUT) {
            Ok(entry) => Some(entry.map_err(io::Error::other)),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                is_over = true;
                Some(Err(io::Error::new(io::ErrorKind::TimedOut, format!("{}: {}", root.display(), silence()))))
            }
        }
    })
}

/// The path that an error of [`walk`] is about, if it says that, and the reason.
pub fn explain_walk(error: &io::Error) -> (Option<PathBuf>, String) {
    let Some(mut inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<ignore::Error>()) else {
        return (None, error.to_string());
    };
    let mut path = None;
    loop {
        inner = match inner {
            ignore::Error::WithPath { path: found, err } => {
                path = Some(found.clone());
                err
            }
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => err,
            other => return (path, other.to_string()),
        };
    }
}

/// Makes a directory, with its parents, that only this user can enter. One that is there stays as it is.
///
/// # Errors
/// It cannot be made.
pub fn create_private_dir(directory: &Path) -> io::Result<()> {
    platform::private_directory().recursive(true).create(directory)
}

/// How files are opened that only this user can read once they are made.
pub fn private() -> OpenOptions {
    platform::private_file()
}

/// Runs an operation on the file system that `path` is in, for at most [`TIMEOUT`].
///
/// # Errors
/// The file system does not answer, or did not answer before.
pub fn within<T: Send + 'static>(path: &Path, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let timed_out = || io::Error::new(io::ErrorKind::TimedOut, silence());
    if pool().is_hung(path) {
        return Err(timed_out());
    }
    let (sender, result) = mpsc::sync_channel(1);
    let is_overdue = Arc::new(AtomicBool::new(false));
    let (flag, own) = (Arc::clone(&is_overdue), path.to_owned());
    start(Box::new(move || {
        let value = work();
        Box::new(move |pool: &mut Pool| {
            if flag.load(Ordering::Relaxed) {
                pool.forget(&own);
            }
            match sender.try_send(value) {
                Err(TrySendError::Disconnected(value) | TrySendError::Full(value)) => Some(Box::new(value)),
                Ok(()) => None,
            }
        })
    }))?;
    match result.recv_timeout(TIMEOUT) {
        Ok(value) => Ok(value),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the thread that reads it has ended")),
        Err(RecvTimeoutError::Timeout) => {
            // The end of the operation holds the same lock, so it has come or it will see the flag.
            let mut pool = pool();
            if let Ok(value) = result.try_recv() {
                return Ok(value);
            }
            is_overdue.store(true, Ordering::Relaxed);
            *pool.overdue.entry(path.to_owned()).or_default() += 1;
            Err(timed_out())
        }
    }
}

fn silence() -> String {
    format!("timed out: the file system has not answered for {} s", TIMEOUT.as_secs())
}

fn read_now(path: &Path, max_bytes: u64) -> io::Result<Content> {
    let file = open_now(path)?;
    let metadata = file.metadata()?;
    if metadata.len() > max_bytes {
        return Ok(Content::TooLarge(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1);
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    let size = bytes.len() as u64;
    Ok(if size > max_bytes { Content::TooLarge(size) } else { Content::Whole(bytes) })
}

/// Opens a file, and waits for nothing if a pipe takes its place meanwhile.
fn open_now(path: &Path) -> io::Result<File> {
    check(&path.metadata()?)?;
    let mut options = File::options();
    platform::nonblocking(options.read(true));
    let begun = Instant::now();
    loop {
        match options.open(path) {
            // Another program has a lease on it (file servers do), and is asked to give it up.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && begun.elapsed() < LEASE_TIMEOUT => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error),
            Ok(file) => {
                check(&file.metadata()?)?;
                return Ok(file);
            }
        }
    }
}

fn check(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        () => platform::special(kind),
    };
    Err(io::Error::other(NotRegular(what)))
}

/// An operation; what it returns is done under the pool's lock, and returns what nobody waits for any more: to drop it may
/// block.
type Task = Box<dyn FnOnce() -> End + Send>;
type End = Box<dyn FnOnce(&mut Pool) -> Option<Box<dyn Any + Send>> + Send>;

/// Threads that wait for an operation, and operations that have not ended in time.
#[derive(Default)]
struct Pool {
    idle: Vec<mpsc::Sender<Task>>,
    overdue: HashMap<PathBuf, usize>,
}

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

/// The pool, locked; nothing that can block happens under the lock.
fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Whether an operation on a path would only stay behind like others.
    fn is_hung(&self, path: &Path) -> bool {
        let in_same = || self.overdue.keys().filter(|other| other.parent() == path.parent()).count() >= MAX_OVERDUE;
        !self.overdue.is_empty() && (self.overdue.contains_key(path) || in_same())
    }

    fn forget(&mut self, path: &Path) {
        if let Some(count) = self.overdue.get_mut(path) {
            *count -= 1;
            if *count == 0 {
                self.overdue.remove(path);
            }
        }
    }
}

/// Starts an operation on an idle thread or a new one.
fn start(mut task: Task) -> io::Result<()> {
    loop {
        let Some(idle) = pool().idle.pop() else { break };
        match idle.send(task) {
            Ok(()) => return Ok(()),
            Err(mpsc::SendError(back)) => task = back,
        }
    }
    let (sender, tasks) = mpsc::channel::<Task>();
    let own = sender.clone();
    let spawned = thread::Builder::new().name("zrecipe-files".to_owned()).spawn(move || {
        while let Ok(task) = tasks.recv() {
            let end = task();
            let mut pool = pool();
            let stays = pool.idle.len() < MAX_IDLE;
            if stays {
                pool.idle.push(own.clone());
            }
            let unwanted = end(&mut pool);
            drop(pool);
            drop(unwanted);
            if !stays {
                return;
            }
        }
    });
    spawned?;
    sender.send(task).map_err(|_| io::Error::other("the thread that reads has ended"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_without_being_opened() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        std::fs::create_dir(path("folder")).expect("makes");
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().expect("runs");
        assert!(made.success());
        let _socket = UnixListener::bind(path("socket")).expect("binds");
        std::os::unix::fs::symlink(path("pipe"), path("link")).expect("links");
        std::fs::write(path("file"), "text").expect("writes");
        for (name, expected) in [
            ("pipe", "it is a pipe, not a regular file"),
            ("link", "it is a pipe, not a regular file"),
            ("socket", "it is a socket, not a regular file"),
            ("/dev/zero", "it is a device, not a regular file"),
        ] {
            let error = read_all(&path(name)).expect_err("is refused");
            assert_eq!(error.to_string(), expected, "{name}");
            assert!(is_permanent(&error), "{name}");
        }
        let error = read_all(&path("folder")).expect_err("is refused");
        assert!(error.kind() == io::ErrorKind::IsADirectory && is_permanent(&error));
        assert!(!is_permanent(&read_all(&path("absent")).expect_err("is refused")));
        assert!(matches!(read(&path("file"), 4), Ok(Content::Whole(text)) if text == b"text"));
        assert!(matches!(read(&path("file"), 3), Ok(Content::TooLarge(4))));
    }

    #[test]
    fn an_operation_that_does_not_end_makes_the_next_ones_fail_at_once() {
        let (release, held) = mpsc::channel::<()>();
        let hung = Path::new("/hung-by-this-test/one");
        let error = within(hung, move || held.recv().is_ok()).expect_err("times out");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(within(hung, || ()).is_err(), "not even begun");
        assert!(within(Path::new("/hung-by-this-test/two"), || ()).is_ok(), "another file is tried");
        drop(release);
        while within(hung, || ()).is_err() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
