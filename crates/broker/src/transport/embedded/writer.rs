//! The one thread of a process that writes: it gathers what waits into one transaction, hands out messages to the
//! subscriptions in the same transaction, and answers when it is on the disk.
//!
//! - What is kept in memory (subscriptions, held messages) changes only after the transaction is committed.
//! - A request that fails fails alone: when a transaction breaks, its requests are tried one by one.
//! - Everything waits in one place, [`Writer::run`]: for requests, the bell, the next due time, and, because bells can
//!   be missed, a slow clock.
//!
//! Submodules: `requests` (what the thread is asked), `waiting` (for requests and the clock), `transactions` (does what is
//! asked), `handing` (answers, and hands out messages).

mod handing;
mod requests;
mod transactions;
mod waiting;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::handing::{Holding, Subscription};
use self::requests::Batch;
pub(super) use self::requests::{Answer, Op, Request, Subscriber, Watches};
use super::Options;
use super::peers::{Bell, Ears, Places, patiently};
use super::sql::Ledger;
use crate::transport::Error;

/// What the thread owns.
pub(super) struct Writer {
    ledger: Ledger,
    places: Places,
    /// Held around every transaction.
    lock: File,
    /// This process's lock file: locked as long as it lives.
    life: File,
    name: String,
    options: Options,
    bell: Bell,
    requests: Receiver<Request>,
    own: Sender<Request>,
    watches: Watches,

    subscriptions: BTreeMap<u64, Subscription>,
    held: HashMap<u64, Holding>,
    owned: HashMap<i64, u64>,
    next_tag: u64,
    /// Queues known to have nothing ready.
    dry: HashSet<i64>,
    /// Other processes, by row and name.
    others: Vec<(i64, String)>,
    /// This process is not registered any more.
    struck_off: bool,
    /// Requests of nobody that failed, to be tried again.
    unfinished: Vec<Op>,

    listening: bool,
    ears: Option<Ears>,
    pending: Arc<AtomicBool>,
    failed: bool,
    /// Requests in the last transaction: until the thread has waited for more, and until the next transaction.
    answered: usize,
    answered_before: usize,
    /// How long the last transaction took, waiting included.
    lasted: Duration,
    next_event: Option<i64>,
    looked: Instant,
    rung: Option<Instant>,
    ring_at: Option<Instant>,
    prune_at: Instant,
}

/// What [`Writer::new`] takes over from the opening of the database.
pub(super) struct Parts {
    pub(super) ledger: Ledger,
    pub(super) places: Places,
    pub(super) lock: File,
    pub(super) life: File,
    pub(super) name: String,
    pub(super) options: Options,
    pub(super) bell: Bell,
    pub(super) requests: Receiver<Request>,
    pub(super) own: Sender<Request>,
    pub(super) watches: Watches,
    /// Tags count up from here; another broker's start elsewhere.
    pub(super) first_tag: u64,
}

fn store(error: io::Error) -> Error {
    Error::Store(Box::new(error))
}

impl Writer {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            ledger: parts.ledger,
            places: parts.places,
            lock: parts.lock,
            life: parts.life,
            name: parts.name,
            options: parts.options,
            bell: parts.bell,
            requests: parts.requests,
            own: parts.own,
            watches: parts.watches,
            subscriptions: BTreeMap::new(),
            held: HashMap::new(),
            owned: HashMap::new(),
            next_tag: parts.first_tag,
            dry: HashSet::new(),
            others: Vec::new(),
            struck_off: false,
            unfinished: Vec::new(),
            listening: false,
            ears: None,
            pending: Arc::default(),
            failed: false,
            answered: 0,
            answered_before: 0,
            lasted: Duration::ZERO,
            next_event: None,
            looked: Instant::now(),
            rung: None,
            ring_at: None,
            prune_at: Instant::now(),
        }
    }

    /// Works until it is told to close.
    pub(super) fn run(mut self) {
        let mut batch = Batch::default();
        loop {
            match self.wait() {
                Ok(request) => self.take(request, &mut batch),
                Err(RecvTimeoutError::Timeout) => batch.look = true,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.gather(&mut batch);
            if self.minds_the_clock() && self.looked.elapsed() >= self.clock() {
                self.tick(&mut batch);
            }
            let look = std::mem::take(&mut batch.look);
            if !batch.ops.is_empty() || (look && self.sees_work()) {
                self.perform(&mut batch);
            }
            self.ring_if_due();
            if let Some(reply) = batch.close.take() {
                return self.finish(reply);
            }
        }
    }

    /// Releases everything, strikes this process off and closes the database.
    fn finish(mut self, reply: Option<oneshot::Sender<Result<(), Error>>>) {
        self.ears = None;
        self.subscriptions.clear();
        let parted = self.part();
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.bell.ring();
        // The last connection to close empties the log, which must not happen while another process opens it.
        let _ = patiently(|| self.lock.lock());
        drop(self.ledger);
        let _ = self.lock.unlock();
        drop(self.life);
        if let Some(reply) = reply {
            let _ = reply.send(parted);
        }
    }

    fn part(&mut self) -> Result<(), Error> {
        patiently(|| self.lock.lock()).map_err(store)?;
        let mut part = || {
            self.ledger.begin()?;
            self.ledger.part(self.ledger.process(), false)?;
            self.ledger.commit()?;
            Ok(())
        };
        let parted = part();
        match parted {
            Ok(()) => self.places.bury(&self.name),
            Err(_) => self.ledger.roll_back(),
        }
        let _ = self.lock.unlock();
        parted
    }
}
