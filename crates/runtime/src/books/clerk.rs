//! Writing the books: one line for each thing that happens to a message.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use super::ledger;
use zrecipe_broker::books::{Clerk, Entry, Fate};
use zrecipe_language::value::Value;
use zrecipe_project::regular;

/// How many lines may wait to be written; more are left out of the books.
const MAX_WAITING: usize = 100_000;

/// A file of this size is closed, and a new one begun.
const MAX_BYTES: u64 = 16 << 20;

/// How long the writer waits after a failure before it tries again.
const PAUSE: Duration = Duration::from_secs(5);

/// How long anybody waits for the books. Once this has passed, nobody waits until they are written again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps books in a directory. It and a file in it are made when there is something to write.
pub fn open(directory: &Path) -> Arc<dyn Clerk> {
    let (orders, waiting) = sync_channel(MAX_WAITING);
    let progress = Arc::new(Progress::default());
    let writer = Writer {
        directory: directory.to_owned(),
        volume: None,
        progress: Arc::clone(&progress),
        told: 0,
        failed: false,
    };
    let thread = thread::Builder::new().name("zrecipe-books".to_owned()).spawn(move || writer.run(&waiting));
    if let Err(error) = thread {
        tracing::warn!("no message records are kept: {error}");
    }
    Arc::new(Book { orders, progress })
}

/// What the writer and those who enter something know of each other.
#[derive(Debug, Default)]
struct Progress {
    /// Lines that are not in the books.
    lost: AtomicU64,
    /// Whether the disk does not keep up, or refuses: then nobody waits for it.
    is_behind: AtomicBool,
}

/// The books of this process.
#[derive(Debug)]
struct Book {
    orders: SyncSender<Order>,
    progress: Arc<Progress>,
}

/// What the writer is to do.
enum Order {
    Write(String),
    /// Tell when all before this is written.
    Flush(oneshot::Sender<()>),
}

impl Book {
    fn enter(&self, kind: &str, rest: impl IntoIterator<Item = Value>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let line = [Value::from(now), Value::from(kind)].into_iter().chain(rest).collect();
        let mut line = Value::Array(line).to_json();
        line.push('\n');
        match self.orders.try_send(Order::Write(line)) {
            Ok(()) => {}
            // The disk does not keep up. That is no reason to let messages wait.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.progress.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn entry(entry: &Entry) -> Value {
    let Entry { id, queue, step, delay } = entry;
    let delay = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
    let recipe = step.as_ref().and_then(|step| step.recipe_id.as_deref());
    Value::Array(vec![
        Value::from(id.as_str()),
        Value::from(queue.as_str()),
        recipe.map_or(Value::Null, Value::from),
        Value::from(step.as_ref().map(|step| step.step)),
        Value::from(delay),
    ])
}

impl Clerk for Book {
    fn served(&self, queue: &str) {
        self.enter("served", [Value::from(queue)]);
    }

    fn accepted(&self, messages: &[Entry]) {
        self.enter("accepted", messages.iter().map(entry));
    }

    fn received(&self, queue: &str, id: &str) {
        self.enter("received", [Value::from(id), Value::from(queue)]);
    }

    fn settling(&self, id: &str, fate: Fate, outputs: &[Entry]) {
        let dead = (fate == Fate::Dead).then(|| Value::from(ledger::DEAD));
        self.enter("settling", std::iter::once(Value::from(id)).chain(outputs.iter().map(entry)).chain(dead));
    }

    fn settled(&self, id: &str, fate: Fate) {
        let (name, delay) = match fate {
            Fate::Finished => ("finished", Duration::ZERO),
            Fate::Dead => (ledger::DEAD, Duration::ZERO),
            Fate::Removed => ("removed", Duration::ZERO),
            Fate::Again { after } => ("again", after),
        };
        let delay = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
        self.enter(name, [Value::from(id), Value::from(delay)]);
    }

    fn purged(&self, queue: &str) {
        self.enter("purged", [Value::from(queue)]);
    }

    fn lost(&self, id: &str) {
        self.enter("lost", [Value::from(id)]);
    }

    /// What is written outlives the process, though not the machine: the file is not synchronized.
    fn keep(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            if self.progress.is_behind.load(Ordering::Relaxed) {
                return;
            }
            let (reply, done) = oneshot::channel();
            let is_asked = self.orders.try_send(Order::Flush(reply)).is_ok();
            if !is_asked || timeout(PATIENCE, done).await.is_err() {
                self.progress.is_behind.store(true, Ordering::Relaxed);
            }
        })
    }
}

/// A file of the books, locked for as long as its process lives.
struct Volume {
    file: File,
    size: u64,
}

impl Volume {
    fn begin(directory: &Path) -> io::Result<Self> {
        regular::create_private_dir(directory)?;
        // Whatever cannot be summed up now can be later.
        if let Err(error) = ledger::sum_up(directory) {
            tracing::warn!("cannot summarize the message records in {}: {error}", directory.display());
        }
        let lock = ledger::lock_file(directory)?;
        lock.lock()?;
        let path = directory.join(format!("{}.{}", Uuid::new_v4(), ledger::ENDING));
        let file = regular::private().create_new(true).append(true).open(path)?;
        file.lock()?;
        Ok(Self { file, size: 0 })
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.size += text.len() as u64;
        Ok(())
    }
}

/// The thread that writes.
struct Writer {
    directory: PathBuf,
    volume: Option<Volume>,
    progress: Arc<Progress>,
    /// How many lines were said to be lost.
    told: u64,
    failed: bool,
}

impl Writer {
    /// Writes until nobody has anything more to write.
    fn run(mut self, waiting: &Receiver<Order>) {
        /// Bytes that are written at once.
        const MAX_AT_ONCE: usize = 64 << 10;
        let mut text = String::new();
        while let Ok(order) = waiting.recv() {
            let (mut next, mut waiting_for) = (Some(order), Vec::new());
            loop {
                match next.take() {
                    Some(Order::Write(line)) => text.push_str(&line),
                    Some(Order::Flush(reply)) => waiting_for.push(reply),
                    None => break,
                }
                if text.len() < MAX_AT_ONCE {
                    next = waiting.try_recv().ok();
                }
            }
            if !text.is_empty() {
                self.write(&mut text);
            }
            for reply in waiting_for {
                let _ = reply.send(());
            }
        }
    }

    fn write(&mut self, text: &mut String) {
        let lost = self.progress.lost.load(Ordering::Relaxed);
        if lost > self.told {
            tracing::warn!(
                "{} lines are missing from the message records in {}",
                lost - self.told,
                self.directory.display()
            );
            self.told = lost;
            text.push_str("[0,\"gap\"]\n");
        }
        match self.append(text) {
            Ok(()) => {
                if std::mem::take(&mut self.failed) {
                    tracing::info!("message records are written again in {}", self.directory.display());
                }
                self.progress.is_behind.store(false, Ordering::Relaxed);
                text.clear();
            }
            Err(error) => {
                self.progress.is_behind.store(true, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!("cannot write message records in {}: {error}", self.directory.display());
                }
                self.progress.lost.fetch_add(text.lines().count() as u64, Ordering::Relaxed);
                // What was written of it in part must not spoil the next line.
                "\n".clone_into(text);
                thread::sleep(PAUSE);
            }
        }
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        let volume = match self.volume.take().filter(|volume| volume.size < MAX_BYTES) {
            Some(volume) => volume,
            None => Volume::begin(&self.directory)?,
        };
        self.volume.insert(volume).append(text)
    }
}
