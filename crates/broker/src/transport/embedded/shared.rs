//! What all handles of a process on one broker file have in common.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::Error;
use super::peers::Places;
use super::writer::{Answer, Op, Request, Watches};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) places: Places,
    pub(super) max_message_bytes: usize,
    pub(super) requests: channel::Sender<Request>,
    pub(super) reader: Reader,
    pub(super) watches: Watches,
    /// Numbers for handles and subscriptions.
    pub(super) next: AtomicU64,
    /// How many messages were dropped, because a message with the same id was taken before.
    pub(super) duplicates: watch::Sender<u64>,
    pub(super) thread: Mutex<Option<JoinHandle<()>>>,
    /// Where a copy is that is read in place of the file.
    pub(super) _copy: Option<tempfile::TempDir>,
}

pub(super) type Reader = Arc<Mutex<Option<Connection>>>;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) async fn ask(&self, op: Op) -> Result<Answer, Error> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Do(op, Some(reply))).map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    pub(super) async fn read<T: Send + 'static>(
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
