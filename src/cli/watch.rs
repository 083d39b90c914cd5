//! Waiting for changes in files, and telling whether one has changed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::cli::Error;

/// What the file system knows of a file. Two stamps are equal when the file is surely the same: one of a file that has
/// just changed is not even equal to itself.
#[derive(Debug, Clone)]
pub struct Stamp {
    path: PathBuf,
    /// Device, inode, size, and the times of the last change to its content and to all else.
    found: Option<(u64, u64, u64, Time, Time)>,
    settled: bool,
}

/// Seconds and nanoseconds since 1970.
type Time = (i64, i64);

impl Stamp {
    /// The stamp of a file, or of a place where there is none.
    pub fn of(path: &Path) -> Self {
        // File systems count time in steps. Of two changes within one step the second leaves the times as they are.
        const STEP: i64 = 2;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let found = path.metadata().ok().map(|found| {
            let (content, all) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
            (found.dev(), found.ino(), found.size(), content, all)
        });
        let settled = found.is_none_or(|(.., changed)| changed.0 + STEP < now as i64);
        Self { path: path.to_owned(), found, settled }
    }
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        self.settled && other.settled && self.path == other.path && self.found == other.found
    }
}

/// Tells of changes from the moment that it is made.
pub struct Changes {
    _watcher: RecommendedWatcher,
    events: mpsc::Receiver<()>,
}

impl Changes {
    /// Changes of files, in directories, and of what patterns may match. What is not there may appear.
    ///
    /// # Errors
    /// They cannot be watched.
    pub fn of<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Result<Self, Error> {
        let failed = |error: notify::Error| Error::new(format!("cannot watch: {error}"));
        let (sender, events) = mpsc::channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event, too, and we are about to do that.
            if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                let _ = sender.send(());
            }
        })
        .map_err(failed)?;
        for path in paths {
            let deep = path.is_dir() || path.to_string_lossy().contains('*');
            let mode = if deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            // Editors replace a file by another of its name, so its directory is watched; and where that is not there,
            // the nearest one in which it may appear.
            let mut folders = path.ancestors().skip(usize::from(!path.is_dir())).map(|folder| match folder {
                here if here.as_os_str().is_empty() => Path::new("."),
                folder => folder,
            });
            let watched = folders.by_ref().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
            watcher.watch(watched, mode).map_err(failed)?;
        }
        Ok(Self { _watcher: watcher, events })
    }

    /// Waits for something to happen, and until nothing more does for a moment: editors write in several steps.
    ///
    /// # Errors
    /// Files can no longer be watched.
    pub fn wait(&self) -> Result<(), Error> {
        const MOMENT: Duration = Duration::from_millis(50);
        self.events.recv().map_err(|_| Error::new("files can no longer be watched"))?;
        while self.events.recv_timeout(MOMENT).is_ok() {}
        Ok(())
    }
}
