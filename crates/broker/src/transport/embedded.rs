//! The embedded broker: a durable message broker in one SQLite file that any number of processes of one machine share.
//!
//! - What is reported as done is on the disk; one settlement is one transaction (verdict, outputs, ids, history).
//! - A message that a process holds when it dies is available again at once: processes hold a lock on a file, and the
//!   kernel lets go of it. Its delivery count was written when it was claimed.
//! - An id is taken in once for as long as it is remembered; a settlement that sends on its own message's id moves it.
//! - Namespaces share nothing but the file.
//! - Nobody polls: a process is woken by its own writes, by the bell that others ring, and by due times.
//!
//! Submodules: `sql` (the database), `writer` (the thread that writes), `peers` (files beside the database), `mark` (how many
//! transactions there have been), `looking` (reading without taking part).
//! Beside `zrecipe.db` lie SQLite's `-wal` and `-shm`, `zrecipe.db.lock` and the directory `zrecipe.db.d`.

mod looking;
mod mark;
mod peers;
mod sql;
mod writer;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use self::mark::Mark;
use self::peers::{Bell, Places, patiently};
use self::sql::{Ending, Ledger, Parcel};
use self::writer::{Answer, Op, Parts, Request, Subscriber, Watches, Writer};
use super::{Deliveries, Delivery, Destination, Error, Outgoing, Settlement, Subscription, Transport, Waiting};
use zrecipe_language::value::{Object, Value};

/// The operating system's error behind a failure of the database, if the machine is exhausted: no space, or no memory.
pub(super) fn errno(error: &(dyn std::error::Error + 'static)) -> Option<rustix::io::Errno> {
    match error.downcast_ref::<rusqlite::Error>()?.sqlite_error_code()? {
        rusqlite::ErrorCode::DiskFull => Some(rustix::io::Errno::NOSPC),
        rusqlite::ErrorCode::OutOfMemory => Some(rustix::io::Errno::NOMEM),
        _ => None,
    }
}

/// How a broker behaves. All processes that share a file should agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How often a message may come back: with 5 it is delivered 6 times at most and then is a dead letter.
    pub delivery_limit: u32,
    /// The largest message taken, in bytes, headers included.
    pub max_message_bytes: usize,
    /// How long the ids of messages are remembered, to drop the same message sent again.
    pub remember_ids: Duration,
    /// How long the history of settled messages is kept.
    pub keep_history: Duration,
}

impl Default for Options {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self { delivery_limit: 5, max_message_bytes: 16 << 20, remember_ids: 7 * DAY, keep_history: 30 * DAY }
    }
}

/// How many messages a namespace has. Those in dead-letter queues count as `dead` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Waiting to be delivered.
    pub ready: u64,
    /// Waiting for their delay to end.
    pub delayed: u64,
    /// Delivered and not settled.
    pub held: u64,
    /// In queues named `dlq.…`.
    pub dead: u64,
}

/// What became of one delivery, or of a message that the broker made a dead letter of.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When.
    pub at: SystemTime,
    /// The message's id.
    pub id: String,
    /// Where it was.
    pub source: Destination,
    /// How often it had been delivered.
    pub deliveries: u32,
    /// When it was sent.
    pub sent: SystemTime,
    /// `accept`, `retry` or `dead-letter`.
    pub verdict: String,
    /// Why, unless it was accepted.
    pub reason: Option<String>,
    /// The settlement's note.
    pub note: Option<Value>,
}

/// Where a stored message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waiting to be delivered.
    Ready,
    /// Waiting until it is due.
    Delayed,
    /// Delivered and not settled.
    Held,
}

/// A message as it lies in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The id it was sent with.
    pub id: String,
    /// Its queue; for a copy of a broadcast the topic.
    pub queue: String,
    /// Headers.
    pub headers: Object,
    /// Body.
    pub body: Vec<u8>,
    /// How often it has been delivered.
    pub deliveries: u32,
    /// Ready, delayed or held.
    pub state: State,
    /// When it is or was to be delivered at the earliest.
    pub due: SystemTime,
    /// When it was sent.
    pub sent: SystemTime,
}

/// A queue, and what has come and gone lately.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// Messages that wait to be delivered.
    pub ready: u64,
    /// Messages whose delay has not ended.
    pub delayed: u64,
    /// Messages that consumers hold.
    pub held: u64,
    /// When the message was sent that has been there longest.
    pub oldest: Option<SystemTime>,
    /// Messages a second that have come, over the last minute.
    pub incoming: f64,
    /// Messages a second that were dealt with, over the last minute.
    pub outgoing: f64,
}

/// What [`Broker::namespaces`] says of a namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct NamespaceInfo {
    /// Its name.
    pub name: String,
    /// When something was first done in it.
    pub created: SystemTime,
    /// How many messages it has.
    pub census: Census,
    /// What [`Embedded::describe`] said of it.
    pub description: Option<Value>,
    /// The process id of the live process that owns it.
    pub held_by: Option<u32>,
}

/// An open broker file. Clones are the same broker; when the last one and the last [`Embedded`] are dropped, it closes.
#[derive(Debug, Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    places: Places,
    max_message_bytes: usize,
    requests: channel::Sender<Request>,
    reader: Reader,
    watches: Watches,
    /// Numbers for handles and subscriptions.
    next: AtomicU64,
    /// How many messages were dropped, because a message with the same id was taken before.
    duplicates: watch::Sender<u64>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Where a copy is that is read in place of the file.
    _copy: Option<tempfile::TempDir>,
}

type Reader = Arc<Mutex<Option<Connection>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    async fn ask(&self, op: Op) -> Result<Answer, Error> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Do(op, Some(reply))).map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let reader = self.reader.clone();
        let reading = tokio::task::spawn_blocking(move || match &*lock(&reader) {
            Some(connection) => Ok(read(connection)?),
            None => Err(Error::Closed),
        });
        reading.await.map_err(|error| Error::Store(Box::new(error)))?
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        lock(&self.reader).take();
        let _ = self.requests.send(Request::Close(None));
        if let Some(thread) = lock(&self.thread).take() {
            // Waits for one transaction, so that nothing is left held in this process's name.
            let _ = thread.join();
        }
    }
}

impl Broker {
    /// Opens the broker file at `path`, or makes it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with what to do about it.
    pub async fn open(path: &Path, options: Options) -> Result<Self, Error> {
        let path = path.to_owned();
        let opening = tokio::task::spawn_blocking(move || {
            open(&path, options).map_err(|reason| Error::Unavailable { place: path.display().to_string(), reason })
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
    let reach = |error: io::Error| format!("{error}; choose a place that can be written to with `--state DIR`");
    let path = std::path::absolute(path).map_err(reach)?;
    let existing = path.ancestors().skip(1).find(|directory| directory.is_dir()).unwrap_or(Path::new("/"));
    if let Some(system) = peers::network_file_system(existing).map_err(reach)? {
        return Err(format!(
            "it lies on a network file system ({system}), where the locks of several processes cannot be relied on; \
             choose a directory on a local disk with `--state DIR`"
        ));
    }
    let places = Places::new(&path);
    let writers = places.prepare().map_err(reach)?;
    patiently(|| writers.lock()).map_err(reach)?;
    peers::create_private(&path).map_err(reach)?;
    let connection = sql::open(&path)?;
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

/// One namespace of a [`Broker`]. Clones are the same handle.
#[derive(Debug)]
pub struct Embedded {
    /// Dropped before `shared`, so that the subscriptions end first.
    lease: Arc<Lease>,
    name: Arc<str>,
    seen: Mutex<watch::Receiver<u64>>,
    shared: Arc<Shared>,
}

impl Clone for Embedded {
    fn clone(&self) -> Self {
        Self {
            lease: self.lease.clone(),
            name: self.name.clone(),
            seen: Mutex::new(lock(&self.seen).clone()),
            shared: self.shared.clone(),
        }
    }
}

/// What a handle and its clones have in common; with the last of them its subscriptions end.
#[derive(Debug)]
struct Lease {
    number: u64,
    requests: channel::Sender<Request>,
    closed: watch::Sender<bool>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !*self.closed.borrow() {
            let _ = self.requests.send(Request::Do(Op::Leave(self.number), None));
        }
    }
}

impl Embedded {
    /// The namespace's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn ask(&self, op: Op) -> Result<Answer, Error> {
        if *self.lease.closed.borrow() {
            return Err(Error::Closed);
        }
        self.shared.ask(op).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        if *self.lease.closed.borrow() {
            return Err(Error::Closed);
        }
        let name = self.name.clone();
        self.shared.read(move |connection| read(connection, &name)).await
    }

    /// Counts and logs the messages that were dropped because they had been taken before; their ids.
    fn count_known(&self, answer: Answer) -> Vec<String> {
        let Answer::Sent(known) = answer else { return Vec::new() };
        for id in &known {
            tracing::warn!("dropped message {id}: a message with this id was sent before");
        }
        self.shared.duplicates.send_if_modified(|count| {
            *count += known.len() as u64;
            !known.is_empty()
        });
        known
    }

    fn check_size(&self, parcels: &[Parcel]) -> Result<(), Error> {
        let limit = self.shared.max_message_bytes;
        match parcels.iter().find(|parcel| parcel.size() > limit) {
            None => Ok(()),
            Some(parcel) => Err(Error::Unsendable {
                destination: parcel.destination().to_owned(),
                reason: format!("it has {} bytes, and {limit} are allowed", parcel.size()),
            }),
        }
    }

    /// Makes sure that the queue exists.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn declare(&self, queue: &str) -> Result<(), Error> {
        self.ask(Op::Declare { namespace: self.name.clone(), queue: queue.to_owned() }).await.map(drop)
    }

    /// How many messages there are.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn census(&self) -> Result<Census, Error> {
        self.read(sql::census).await
    }

    /// Waits until something in this namespace has changed, by whatever process, since the last call on this handle
    /// (a clone goes its own way from where it was cloned). The first call may return at once.
    ///
    /// # Errors
    /// [`Error::Closed`] when the handle or the broker is closed meanwhile.
    pub async fn changed(&self) -> Result<(), Error> {
        let mut closed = self.lease.closed.subscribe();
        let (reply, listening) = oneshot::channel();
        self.shared.requests.send(Request::Listen(reply)).map_err(|_| Error::Closed)?;
        listening.await.map_err(|_| Error::Closed)?;
        let mut seen = lock(&self.seen).clone();
        tokio::select! {
            changed = seen.changed() => changed.map_err(|_| Error::Closed)?,
            _ = closed.wait_for(|closed| *closed) => return Err(Error::Closed),
        }
        *lock(&self.seen) = seen;
        Ok(())
    }

    /// What has become of the messages, oldest first. Releases are not recorded.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn history(&self) -> Result<Vec<Record>, Error> {
        self.read(sql::history).await
    }

    /// The messages of one queue or of all, in the order of their queue's name and of their sending. Takes none.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn messages(&self, queue: Option<&str>) -> Result<Vec<Stored>, Error> {
        let queue = queue.map(str::to_owned);
        self.read(move |connection, name| sql::messages(connection, name, queue.as_deref(), None)).await
    }

    /// The first messages of a queue, at most so many. Takes none.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn peek(&self, queue: &str, most: usize) -> Result<Vec<Stored>, Error> {
        let queue = queue.to_owned();
        self.read(move |connection, name| sql::messages(connection, name, Some(&queue), Some(most))).await
    }

    /// The queues, by name.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn queues(&self) -> Result<Vec<QueueInfo>, Error> {
        self.read(sql::queues).await
    }

    /// Stores what the namespace is, in place of what was stored before.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn describe(&self, description: Value) -> Result<(), Error> {
        let description = description.to_json();
        self.ask(Op::Describe { namespace: self.name.clone(), description }).await.map(drop)
    }

    /// What [`Embedded::describe`] has stored.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn description(&self) -> Result<Option<Value>, Error> {
        self.read(sql::description).await
    }

    /// Makes this process the namespace's owner until the handle is closed or the process ends. False if another live
    /// process owns it.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn hold(&self) -> Result<bool, Error> {
        let answer = self.ask(Op::Hold { namespace: self.name.clone(), lease: self.lease.number }).await?;
        Ok(matches!(answer, Answer::Held(true)))
    }

    /// Deletes everything of the namespace: messages, queues, history, description. Subscriptions end.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn forget(&self) -> Result<(), Error> {
        self.ask(Op::Forget { namespace: self.name.clone() }).await.map(drop)
    }
}

#[async_trait]
impl Transport for Embedded {
    async fn subscribe(&self, subscription: Subscription) -> Result<Deliveries, Error> {
        let prefetch = usize::from(subscription.prefetch.max(1));
        let (sender, receiver) = mpsc::channel(prefetch);
        let (alive, over) = oneshot::channel::<()>();
        let number = self.shared.number();
        let (watched, requests) = (sender.clone(), self.shared.requests.clone());
        let subscriber = Subscriber {
            number,
            lease: self.lease.number,
            namespace: self.name.clone(),
            source: subscription.source,
            prefetch,
            sender,
            _alive: alive,
        };
        let asked = self.ask(Op::Subscribe(subscriber));
        tokio::spawn(async move {
            tokio::select! {
                () = watched.closed() => {
                    let _ = requests.send(Request::Do(Op::End(number), None));
                }
                _ = over => {}
            }
        });
        asked.await?;
        Ok(Deliveries::new(receiver))
    }

    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), Error> {
        self.offer(messages).await.map(drop)
    }

    async fn offer(&self, messages: Vec<Outgoing>) -> Result<Vec<String>, Error> {
        let parcels: Vec<Parcel> = messages.into_iter().map(Parcel::new).collect();
        self.check_size(&parcels)?;
        let answer = self.ask(Op::Send { namespace: self.name.clone(), parcels }).await?;
        Ok(self.count_known(answer))
    }

    fn duplicates(&self) -> watch::Receiver<u64> {
        self.shared.duplicates.subscribe()
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), Error> {
        let ending = Ending::new(settlement);
        self.check_size(&ending.outputs)?;
        let settle = Op::Settle { namespace: self.name.clone(), tag: delivery.tag, id: delivery.id.clone(), ending };
        let answer = self.ask(settle).await?;
        self.count_known(answer);
        Ok(())
    }

    async fn waiting(&self, queue: &str) -> Result<Waiting, Error> {
        let name = queue.to_owned();
        let found = self.read(move |connection, space| sql::waiting(connection, space, &name)).await?;
        let messages = found.ok_or_else(|| Error::NoSuchQueue(queue.to_owned()))?;
        Ok(Waiting { messages, consumers: None })
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        match self.ask(Op::Purge { namespace: self.name.clone(), queue: queue.to_owned() }).await? {
            Answer::Purged(count) => Ok(count),
            _ => Err(Error::NoSuchQueue(queue.to_owned())),
        }
    }

    async fn close(&self) -> Result<(), Error> {
        if self.lease.closed.send_replace(true) {
            return Ok(());
        }
        match self.shared.ask(Op::Leave(self.lease.number)).await {
            Err(Error::Closed) => Ok(()),
            left => left.map(drop),
        }
    }
}
