//! Looking into a broker file: also where nothing can be written, and for what is wrong with it.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc as channel};
use std::time::{Duration, SystemTime};

use super::peers::Places;
use super::shared::Shared;
use super::writer::Watches;
use super::{Broker, Error, mark, sql};
use crate::books::Account;
use crate::transport::Outage;

impl Broker {
    /// Opens the broker file at `path` only to read it, which is possible on a full disk and on a read-only file system.
    /// Whatever would write fails with [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Unavailable`]: there is no such file, or it cannot be read.
    pub async fn open_to_read(path: &Path) -> Result<Self, Error> {
        let path = path.to_owned();
        let opening = tokio::task::spawn_blocking(move || {
            open_to_read(&path).map_err(|reason| Error::Unavailable {
                place: path.display().to_string(),
                cause: Outage::File,
                reason,
            })
        });
        opening.await.map_err(|error| Error::Store(Box::new(error)))?
    }

    /// What is wrong inside of the file, in SQLite's words; nothing if it is whole. Reads all of it.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn damages(&self) -> Result<Vec<String>, Error> {
        self.shared.read(sql::damages).await
    }

    /// How many transactions of the file were lost because its write-ahead log was cut, replaced or not copied with it, and
    /// when that was noticed last.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn losses(&self) -> Result<Option<(u64, SystemTime)>, Error> {
        let found = self.shared.read(mark::losses).await?;
        let since = |at: i64| SystemTime::UNIX_EPOCH + Duration::from_micros(at.unsigned_abs());
        Ok(found.map(|(count, at)| (count.unsigned_abs(), since(at))))
    }

    /// The books of all namespaces, by recipe ID; nothing for a file that only earlier versions have written.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn accounts(&self) -> Result<Vec<Account>, Error> {
        self.shared.read(sql::accounts).await
    }

    /// The ids of all messages of all namespaces, dead letters included.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn message_ids(&self) -> Result<HashSet<String>, Error> {
        self.shared.read(sql::message_ids).await
    }
}

/// Opens a file that is only read; one that SQLite cannot read where it is, as a copy.
fn open_to_read(path: &Path) -> Result<Broker, String> {
    let reach = |error: io::Error| error.to_string();
    let path = std::path::absolute(path).map_err(reach)?;
    let places = Places::new(&path);
    let (reader, copy) = match sql::open_only_to_read(&path) {
        Ok(reader) => (reader, None),
        Err(_) => {
            let private = std::fs::Permissions::from_mode(0o700);
            let copy = tempfile::Builder::new().permissions(private).tempdir().map_err(reach)?;
            let _rest = places.rest().map_err(reach)?;
            let name = Path::new("copy.db");
            for suffix in ["", "-wal"] {
                let beside = |path: &Path| {
                    let mut name = path.as_os_str().to_owned();
                    name.push(suffix);
                    name
                };
                match std::fs::copy(beside(&path), beside(&copy.path().join(name))) {
                    Err(error) if !suffix.is_empty() && error.kind() == io::ErrorKind::NotFound => {}
                    copied => _ = copied.map_err(reach)?,
                }
            }
            (sql::open_copy(&copy.path().join(name))?, Some(copy))
        }
    };
    // Nobody takes requests.
    let (requests, _) = channel::channel();
    Ok(Broker {
        shared: Arc::new(Shared {
            places,
            max_message_bytes: 0,
            requests,
            reader: Arc::new(Mutex::new(Some(reader))),
            watches: Watches::default(),
            next: AtomicU64::new(1),
            thread: Mutex::new(None),
            duplicates: tokio::sync::watch::Sender::new(0),
            _copy: copy,
        }),
    })
}
