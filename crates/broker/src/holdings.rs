//! What a connection has handed out and not settled, and which messages were accepted lately: a broker that does not know
//! ids may deliver the same message twice.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

use crate::books::{self, Clerk, Entry, Fate};
use crate::message::{Destination, Outgoing, is_dead_letter_queue};

/// How many ids are remembered at most.
const MAX_IDS: usize = 200_000;

/// Records that a message is about to be settled, before the broker is asked.
pub(crate) async fn enter_settling(clerk: &Arc<dyn Clerk>, id: &str, fate: Fate, outputs: &[Outgoing]) {
    clerk.settling(id, fate, &books::entries(Some(clerk), outputs));
    clerk.keep().await;
}

/// Records messages that the broker has accepted.
pub(crate) async fn enter_accepted(clerk: Option<&Arc<dyn Clerk>>, entries: &[Entry]) {
    if let Some(clerk) = clerk.filter(|_| !entries.is_empty()) {
        clerk.accepted(entries);
        clerk.keep().await;
    }
}

/// A delivery that waits to be settled.
pub(crate) trait Held: Send + Sync + 'static {
    /// The subscription that it came by.
    fn subscription(&self) -> u64;
    /// Whether the connection that it came by is still there.
    fn is_ours(&self) -> bool;
    /// The id by which the books know it; none: they do not.
    fn booked(&self) -> Option<&str>;
    /// Acknowledges it, without waiting for the broker.
    fn acknowledge(self);
}

/// Deliveries that are handed out and not settled, by tag, and ids of accepted messages.
pub(crate) struct Holdings<H> {
    next: AtomicU64,
    held: Mutex<HashMap<u64, H>>,
    inbox: Mutex<Inbox>,
    /// How long ids are remembered.
    remember: Duration,
    /// How many messages were dropped, because they had been accepted before.
    duplicates: watch::Sender<u64>,
    /// Who keeps books of what becomes of messages.
    clerk: Option<Arc<dyn Clerk>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<H: Held> Holdings<H> {
    pub(crate) fn new(remember: Duration, clerk: Option<Arc<dyn Clerk>>) -> Self {
        let duplicates = watch::Sender::new(0);
        Self { next: AtomicU64::new(1), held: Mutex::default(), inbox: Mutex::default(), remember, duplicates, clerk }
    }

    /// Enters a delivery of a queue into the books; the id by which they know it. A message without an id has another
    /// one each time that it comes.
    pub(crate) fn book(&self, source: &Destination, id: &str, has_own_id: bool) -> Option<String> {
        let (Some(clerk), Destination::Queue(queue), true) = (&self.clerk, source, has_own_id) else { return None };
        clerk.received(queue, id);
        Some(id.to_owned())
    }

    /// Enters into the books that something is no longer held.
    fn enter_lost(&self, held: &H) {
        if let (Some(clerk), Some(id)) = (&self.clerk, held.booked()) {
            clerk.lost(id);
        }
    }

    /// How many messages were dropped, because they had been accepted before.
    pub(crate) fn duplicates(&self) -> watch::Receiver<u64> {
        self.duplicates.subscribe()
    }

    /// Logs and counts a message that is dropped, because it was accepted before.
    pub(crate) fn drop_duplicate(&self, queue: &str, id: &str) {
        tracing::warn!("dropped message {id} of queue {queue}: a message with this id was accepted before");
        self.duplicates.send_modify(|count| *count += 1);
    }

    /// Holds a delivery; its tag.
    pub(crate) fn hold(&self, held: H) -> u64 {
        let tag = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.held).insert(tag, held);
        tag
    }

    /// Takes a delivery to settle it; whoever comes next finds nothing.
    pub(crate) fn take(&self, tag: u64) -> Option<H> {
        let held = lock(&self.held).remove(&tag)?;
        if !held.is_ours() {
            self.enter_lost(&held);
            return None;
        }
        Some(held)
    }

    /// Puts back a delivery that could not be settled.
    pub(crate) fn put_back(&self, tag: u64, held: H) {
        if held.is_ours() {
            lock(&self.held).insert(tag, held);
        } else {
            self.enter_lost(&held);
        }
    }

    /// Whether a delivery is to be handed out: it is still ours, and the same message was not accepted while this one
    /// waited; then it is acknowledged.
    pub(crate) fn is_wanted(&self, tag: u64, source: &Destination, id: &str) -> bool {
        if let Destination::Queue(queue) = source
            && self.has_accepted(queue, id)
        {
            if let Some(held) = self.take(tag) {
                self.drop_duplicate(queue, id);
                if let (Some(clerk), Some(id)) = (&self.clerk, held.booked()) {
                    clerk.settled(id, Fate::Finished);
                }
                held.acknowledge();
            }
            return false;
        }
        lock(&self.held).get(&tag).is_some_and(Held::is_ours)
    }

    /// The number of deliveries for which `is_counted` holds.
    pub(crate) fn count(&self, is_counted: impl Fn(&H) -> bool) -> usize {
        lock(&self.held).values().filter(|held| is_counted(held)).count()
    }

    /// Forgets the deliveries of a subscription.
    pub(crate) fn forget(&self, subscription: u64) {
        lock(&self.held).retain(|_, held| {
            let is_other = held.subscription() != subscription;
            if !is_other {
                self.enter_lost(held);
            }
            is_other
        });
    }

    /// Remembers that a message was accepted. A dead letter may die again, and be another with the same id.
    pub(crate) fn accepted(&self, queue: &str, id: &str) {
        if !is_dead_letter_queue(queue) {
            lock(&self.inbox).accept(queue, id, self.remember);
        }
    }

    /// Whether this message was accepted before.
    pub(crate) fn has_accepted(&self, queue: &str, id: &str) -> bool {
        lock(&self.inbox).has(queue, id, self.remember)
    }

    /// Forgets that it was: it is sent to its queue once more on purpose.
    pub(crate) fn sent_again(&self, queue: &str, id: &str) {
        lock(&self.inbox).forget(queue, id);
    }
}

/// Ids of the messages that were accepted from each queue, and when.
#[derive(Debug, Default)]
struct Inbox {
    known: HashMap<Uuid, Instant>,
    by_age: VecDeque<(Instant, Uuid)>,
}

/// A message of a queue.
fn entry(queue: &str, id: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{queue}\n{id}").as_bytes())
}

impl Inbox {
    /// Remembers that a message was accepted, and forgets what is older than `remember`.
    fn accept(&mut self, queue: &str, id: &str, remember: Duration) {
        let (now, entry) = (Instant::now(), entry(queue, id));
        self.known.insert(entry, now);
        self.by_age.push_back((now, entry));
        while let Some((then, entry)) = self.by_age.front().copied()
            && (self.by_age.len() > MAX_IDS || then.elapsed() > remember)
        {
            if self.known.get(&entry) == Some(&then) {
                self.known.remove(&entry);
            }
            self.by_age.pop_front();
        }
    }

    /// Whether a message was accepted within the last `remember`.
    fn has(&self, queue: &str, id: &str, remember: Duration) -> bool {
        self.known.get(&entry(queue, id)).is_some_and(|then| then.elapsed() <= remember)
    }

    /// Forgets a message: it is sent to its queue once more on purpose.
    fn forget(&mut self, queue: &str, id: &str) {
        self.known.remove(&entry(queue, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_is_known_until_it_is_sent_again_or_old() {
        let (mut inbox, hour) = (Inbox::default(), Duration::from_secs(3_600));
        inbox.accept("q", "m", hour);
        assert_eq!(
            [("q", "m"), ("q", "n"), ("other", "m")].map(|(queue, id)| inbox.has(queue, id, hour)),
            [true, false, false]
        );
        inbox.forget("q", "m");
        assert!(!inbox.has("q", "m", hour));
        for n in 0..MAX_IDS + 10 {
            inbox.accept("q", &n.to_string(), hour);
        }
        assert_eq!(inbox.known.len(), MAX_IDS);
        assert_eq!((inbox.has("q", "0", hour), inbox.has("q", "10", hour)), (false, true));
    }
}
