//! The files beside the database: who is alive, the bell that wakes other processes, and where a database may lie.
//!
//! - A process is alive exactly as long as it holds the lock of its own file in `<database>.d`. The kernel lets go of
//!   it when the process dies, however it dies; no time-out, and a process id used again means nothing.
//! - Others ask by trying for a *shared* lock, so that two who ask do not take each other for the living one.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// File systems whose locks and shared memory do not hold between machines, by `statfs` magic.
const NETWORK: &[(u32, &str)] = &[
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x4750_4653, "GPFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x00c3_6400, "Ceph"),
    (0x1983_0326, "BeeGFS"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0xaad7_aaea, "PanFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x2003_0528, "OrangeFS"),
    (0x1803_1977, "WekaFS"),
    (0x0102_1997, "9P"),
];

/// What a network file system calls itself; nothing for a local one.
pub(super) fn network_name(magic: u32) -> Option<&'static str> {
    NETWORK.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

/// The network file system that `directory` lies on, if it does.
#[cfg(target_os = "linux")]
pub(super) fn network_file_system(directory: &Path) -> io::Result<Option<&'static str>> {
    // The magic is 32 bits wide; on some machines the kernel hands it out sign-extended.
    Ok(network_name(rustix::fs::statfs(directory)?.f_type as u32))
}

/// Unknown elsewhere: taken for local.
#[cfg(not(target_os = "linux"))]
pub(super) fn network_file_system(_directory: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

/// Where everything lies.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Held around every write transaction: `<database>.lock`.
    lock: PathBuf,
    /// How many transactions there have been: `<database>.mark`.
    mark: PathBuf,
    /// One lock file per process, and the bell: `<database>.d`.
    directory: PathBuf,
}

impl Places {
    pub(super) fn new(database: &Path) -> Self {
        let beside = |suffix: &str| {
            let mut name = database.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self { lock: beside(".lock"), mark: beside(".mark"), directory: beside(".d") }
    }

    /// Makes the directories and opens the file whose lock orders the writers.
    pub(super) fn prepare(&self) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        private().create(true).truncate(false).open(&self.lock)
    }

    /// The file that counts transactions.
    pub(super) fn mark(&self) -> io::Result<File> {
        private().create(true).truncate(false).open(&self.mark)
    }

    /// Waits until no other process writes, for as long as the result lives; for whoever may not write here.
    pub(super) fn rest(&self) -> io::Result<Option<File>> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let file = match File::open(&self.lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let begun = Instant::now();
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(5)),
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::other("timed out: another process holds the write lock"));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn life(&self, process: &str) -> PathBuf {
        self.directory.join(process).with_extension("lock")
    }

    /// Declares this process alive until the file is closed. Only under the writers' lock.
    pub(super) fn live(&self, process: &str) -> io::Result<File> {
        let file = private().create(true).truncate(false).open(self.life(process))?;
        patiently(|| file.lock())?;
        Ok(file)
    }

    /// Whether the process still runs. In doubt it does.
    pub(super) fn is_alive(&self, process: &str) -> bool {
        match File::open(self.life(process)) {
            Ok(file) => file.try_lock_shared().is_err(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Removes what a process that is gone has left.
    pub(super) fn bury(&self, process: &str) {
        let _ = std::fs::remove_file(self.life(process));
    }

    /// Removes the lock files of processes that died before they were registered. Only under the writers' lock.
    pub(super) fn tidy(&self, registered: impl Fn(&str) -> bool) {
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if let Some(process) = process_of(&path)
                && !registered(process)
                && !self.is_alive(process)
            {
                self.bury(process);
            }
        }
    }
}

/// Names of lock files are ids of processes.
fn process_of(path: &Path) -> Option<&str> {
    path.extension().filter(|extension| *extension == "lock")?;
    path.file_stem()?.to_str()
}

/// Only the user may read and write.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Makes the database file if it is not there, readable by the user only; SQLite gives its other files the same mode.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    private().create(true).truncate(false).open(path).map(drop)
}

/// Repeats a lock that a signal has interrupted.
pub(super) fn patiently(mut lock: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Wakes the writer threads of all processes that listen.
#[derive(Debug)]
pub(super) struct Bell(File);

impl Bell {
    const NAME: &str = "bell";

    pub(super) fn new(places: &Places) -> io::Result<Self> {
        private().create(true).truncate(false).open(places.directory.join(Self::NAME)).map(Self)
    }

    pub(super) fn ring(&self) {
        // A bell that does not ring costs time only: listeners look from time to time by themselves.
        let _ = self.0.write_at(b"!", 0);
    }
}

/// What happened to the database or to another process.
pub(super) enum News {
    /// Another process has written.
    Changed,
    /// The process of this name may have died.
    Gone(String),
}

/// Takes news; called on threads of the watcher.
pub(super) type Listener = Arc<dyn Fn(News) + Send + Sync>;

/// Hears the bell and the death of other processes; passes both on to the writer thread.
pub(super) struct Ears {
    _watcher: RecommendedWatcher,
}

impl Ears {
    /// `pending` is set while [`News::Changed`] waits to be read, so that one is enough.
    pub(super) fn new(places: &Places, listener: Listener, pending: Arc<AtomicBool>) -> notify::Result<Self> {
        let life = places.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            match event.kind {
                EventKind::Modify(_)
                    if event.paths.iter().any(|path| path.ends_with(Bell::NAME))
                        && !pending.swap(true, Ordering::AcqRel) =>
                {
                    listener(News::Changed);
                }
                // Its owner is the only one that opens a lock file for writing.
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                    for process in event.paths.iter().filter_map(|path| process_of(path)) {
                        await_death(&life, process, &listener);
                    }
                }
                _ => {}
            }
        })?;
        watcher.watch(&places.directory, RecursiveMode::NonRecursive)?;
        Ok(Self { _watcher: watcher })
    }
}

/// The kernel reports a file as closed just before it lets go of its lock: wait for the lock, on a thread of its own
/// because a stranger may have touched the file and its owner may live for long.
fn await_death(places: &Places, process: &str, listener: &Listener) {
    let Ok(file) = File::open(places.life(process)) else { return };
    if let Err(TryLockError::Error(_)) = file.try_lock_shared() {
        return;
    }
    let (process, listener) = (process.to_owned(), Arc::clone(listener));
    let waiting = thread::Builder::new().name("zrecipe-peer".to_owned()).spawn(move || {
        if patiently(|| file.lock_shared()).is_ok() {
            drop(file);
            listener(News::Gone(process));
        }
    });
    // Without a thread the writer finds out when it looks by itself.
    drop(waiting);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_magic() {
        for (magic, name) in [(0x6969, Some("NFS")), (0x4750_4653, Some("GPFS")), (0xef53, None), (0x0102_1994, None)] {
            assert_eq!(network_name(magic), name, "{magic:#x}");
        }
    }
}
