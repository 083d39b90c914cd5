//! Waiting for changes in files.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::cli::Error;

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
