//! The books: what became of all messages that a broker accepted, by recipe ID. Pure.
//!
//! Every accepted message is finished, a dead letter, in a queue, with a service, or removed by an operator. One that is
//! none of these is missing: it was taken away without the runtime.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::message::{Destination, Outgoing, RecipeStep};

/// The messages of one run; those without a recipe, such as requests, have an account of their own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// The recipe ID.
    pub recipe_id: Option<String>,
    /// Messages that the broker accepted.
    pub accepted: u64,
    /// Messages that a service has dealt with.
    pub finished: u64,
    /// Messages in dead-letter queues.
    pub dead: u64,
    /// Messages that wait in queues, or for the end of their delay.
    pub queued: u64,
    /// Messages that services hold.
    pub running: u64,
    /// Messages that an operator removed with a command, as `zrecipe dlq purge` does.
    pub removed: u64,
    /// Messages that are none of these.
    pub missing: Vec<Missing>,
}

/// A message that was accepted and is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its ID.
    pub id: String,
    /// The last queue that it was sent to.
    pub queue: String,
    /// The recipe step that it was for.
    pub step: Option<i64>,
    /// When the broker accepted it.
    pub accepted: SystemTime,
}

impl Account {
    /// Whether every accepted message is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.accepted == self.finished + self.dead + self.queued + self.running + self.removed
    }

    /// Whether nothing of the run is outstanding.
    pub fn is_finished(&self) -> bool {
        self.accepted == self.finished + self.removed
    }

    /// The sum of several accounts.
    pub fn total<'a>(accounts: impl IntoIterator<Item = &'a Self>) -> Self {
        accounts.into_iter().fold(Self::default(), |mut total, account| {
            total.accepted += account.accepted;
            total.finished += account.finished;
            total.dead += account.dead;
            total.queued += account.queued;
            total.running += account.running;
            total.removed += account.removed;
            total.missing.extend(account.missing.iter().cloned());
            total
        })
    }
}

/// A message as the books name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its ID.
    pub id: String,
    /// The queue that it goes to.
    pub queue: String,
    /// The recipe step that it is for.
    pub step: Option<RecipeStep>,
    /// How long it waits before it is in its queue.
    pub delay: Duration,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A service has dealt with it.
    Finished,
    /// It is a dead letter.
    Dead,
    /// It was a dead letter, and an operator has taken it.
    Removed,
    /// It is in its queue again, or will be after a while.
    Again {
        /// How long it waits.
        after: Duration,
    },
}

/// Keeps books of what becomes of the messages of a connection. Calls come in the middle of the work on messages: they
/// never fail, and only [`Clerk::keep`] waits.
pub trait Clerk: Send + Sync + std::fmt::Debug {
    /// A service of this process takes messages from a queue.
    fn served(&self, queue: &str);

    /// The broker has accepted messages.
    fn accepted(&self, messages: &[Entry]);

    /// A message was delivered, and is held.
    fn received(&self, queue: &str, id: &str);

    /// A message is about to be settled: what is to become of it, and what it led to.
    fn settling(&self, id: &str, fate: Fate, outputs: &[Entry]);

    /// A message is settled.
    fn settled(&self, id: &str, fate: Fate);

    /// What waited in a queue was removed by an operator.
    fn purged(&self, queue: &str);

    /// A message is no longer held: the connection is gone, and it is delivered again unless it was settled.
    fn lost(&self, id: &str);

    /// Waits until everything entered so far outlives this process, for a moment at most. Before the broker is asked to
    /// settle, and before a sender learns that its messages are accepted: what is killed then is still in the books.
    fn keep(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl Entry {
    /// The entry of a message; none for a broadcast.
    pub fn of(message: &Outgoing) -> Option<Self> {
        let Destination::Queue(queue) = &message.destination else { return None };
        let (id, queue) = (message.id.clone(), queue.clone());
        Some(Self { id, queue, step: RecipeStep::of(message), delay: message.delay.unwrap_or_default() })
    }
}

/// The entries of messages that are about to be sent; none if nobody keeps books.
pub fn entries(clerk: Option<&Arc<dyn Clerk>>, messages: &[Outgoing]) -> Vec<Entry> {
    clerk.map(|_| messages.iter().filter_map(Entry::of).collect()).unwrap_or_default()
}
