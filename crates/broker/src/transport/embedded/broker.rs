//! The open broker file.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc as channel};
use std::thread;

use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::mark::Mark;
use super::namespace::{Embedded, Lease};
use super::peers::{Bell, Places, patiently};
use super::shared::{Shared, lock};
use super::sql::{self, Ledger};
use super::writer::{Parts, Request, Watches, Writer};
use super::{Error, NamespaceInfo, Options, peers};
use crate::transport::Outage;

/// An open broker file. Clones are the same broker; when the last one and the last [`Embedded`] are dropped, it closes.
#[derive(Debug, Clone)]
pub struct Broker {
    pub(super) shared: Arc<Shared>,
}

impl Broker {
    /// Opens the broker file at `path`, or makes it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with what to do about it.
    pub async fn open(path: &Path, options: Options) -> Result<Self, Error> {
        let path = path.to_owned();
        let opening = tokio::task::spawn_blocking(move || {
            open(&path, options).map_err(|reason| Error::Unavailable {
                place: path.display().to_string(),
                cause: Outage::File,
                reason,
            })
        });
        opening.await.map_err(|error| Error::Store(Box::new(error)))?
    }

    /// A handle on the namespace `name`, which comes into being with what is first done in it. The handle and its
    /// clones have their own subscriptions and end together.
    pub fn namespace(&self, name: &str) -> Embedded {
        let seen = lock(&self.shared.watches).entry(name.to_owned()).or_default().subscribe();
        let lease = Lease {
            number: self.shared.number(),
            requests: self.shared.requests.clone(),
            closed: watch::Sender::new(false),
        };
        Embedded { lease: Arc::new(lease), name: name.into(), seen: Mutex::new(seen), shared: self.shared.clone() }
    }

    /// All namespaces of the file, oldest first.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn namespaces(&self) -> Result<Vec<NamespaceInfo>, Error> {
        let places = self.shared.places.clone();
        self.shared.read(move |connection| sql::namespaces(connection, |process| places.is_alive(process))).await
    }

    /// Ends all subscriptions of this broker, releases what they hold and closes the file.
    ///
    /// # Errors
    /// [`Error::Store`] if the store could not take it; the messages are released all the same once this process
    /// ends, but count as delivered.
    pub async fn close(&self) -> Result<(), Error> {
        let reader = self.shared.reader.clone();
        let _ = tokio::task::spawn_blocking(move || lock(&reader).take()).await;
        let (reply, answer) = oneshot::channel();
        match self.shared.requests.send(Request::Close(Some(reply))) {
            Ok(()) => answer.await.unwrap_or(Ok(())),
            // It is closed already.
            Err(_) => Ok(()),
        }
    }
}

/// Opens everything and starts the writer thread; says what is wrong in words.
fn open(path: &Path, options: Options) -> Result<Broker, String> {
    let reach = |error: io::Error| format!("{error}; choose a writable directory with `--state DIR`");
    let path = std::path::absolute(path).map_err(reach)?;
    let existing = path.ancestors().skip(1).find(|directory| directory.is_dir()).unwrap_or(Path::new("/"));
    if let Some(system) = peers::network_file_system(existing).map_err(reach)? {
        return Err(format!(
            "it is on a network file system ({system}), where file locks are not reliable; choose a directory on a \
             local disk with `--state DIR`"
        ));
    }
    let places = Places::new(&path);
    let writers = places.prepare().map_err(reach)?;
    patiently(|| writers.lock()).map_err(reach)?;
    peers::create_private(&path).map_err(reach)?;
    let connection = sql::open(&path)?;
    if !options.is_durable {
        sql::forgo_durability(&connection)?;
    }
    let reader = sql::open_reader(&path)?;
    let bell = Bell::new(&places).map_err(reach)?;
    let identity = Uuid::new_v4();
    let name = identity.to_string();
    let life = places.live(&name).map_err(reach)?;
    let mark = Mark::new(&connection, places.mark().map_err(reach)?, sql::now()).map_err(|error| error.to_string())?;
    let mut ledger = Ledger::new(connection, options.delivery_limit, mark);
    let joined = join(&mut ledger, &places, &name);
    if let Err(error) = joined {
        ledger.roll_back();
        places.bury(&name);
        return Err(error.to_string());
    }
    bell.ring();
    writers.unlock().map_err(reach)?;

    let (requests, receiver) = channel::channel();
    let watches = Watches::default();
    let max_message_bytes = options.max_message_bytes;
    let writer = Writer::new(Parts {
        ledger,
        places: places.clone(),
        lock: writers,
        life,
        name,
        options,
        bell,
        requests: receiver,
        own: requests.clone(),
        watches: watches.clone(),
        first_tag: identity.as_u64_pair().1 << 16,
    });
    let thread = thread::Builder::new().name("zrecipe-broker".to_owned()).spawn(move || writer.run());
    let thread = thread.map_err(reach)?;
    Ok(Broker {
        shared: Arc::new(Shared {
            places,
            max_message_bytes,
            requests,
            reader: Arc::new(Mutex::new(Some(reader))),
            watches,
            next: AtomicU64::new(1),
            duplicates: watch::Sender::new(0),
            thread: Mutex::new(Some(thread)),
            _copy: None,
        }),
    })
}

/// Registers this process and clears up after dead ones; only under the writers' lock.
fn join(ledger: &mut Ledger, places: &Places, name: &str) -> Result<(), Error> {
    ledger.begin()?;
    ledger.join(name, std::process::id())?;
    let (alive, dead): (Vec<_>, Vec<_>) =
        ledger.processes()?.into_iter().partition(|(_, process)| places.is_alive(process));
    for (process, _) in &dead {
        ledger.part(*process, true)?;
    }
    ledger.commit()?;
    places.tidy(|process| alive.iter().any(|(_, name)| name == process));
    Ok(())
}
