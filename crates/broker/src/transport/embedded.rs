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
//! transactions there have been), `shared` (what all handles of a process have in common), `namespace` (the transport),
//! `endpoint` (how it is found), `broker` (the open file), `looking` (reading without taking part).
//! Beside `zrecipe.db` lie SQLite's `-wal` and `-shm`, `zrecipe.db.lock` and the directory `zrecipe.db.d`.
//!
//! | file | contents |
//! |---|---|
//! | `broker` | the open broker file |
//! | `endpoint` | how the embedded broker is found |
//! | `looking` | looking into a broker file |
//! | `mark` | how many transactions the database has seen, to notice one that is older than its files |
//! | `namespace` | one namespace of a broker file |
//! | `peers` | the files beside the database: lock, bell, mark |
//! | `shared` | what all handles of a process on one broker file have in common |
//! | `sql` | the tables of the database and every statement on them |
//! | `writer` | the one thread of a process that writes |

mod broker;
mod endpoint;
mod looking;
mod mark;
mod namespace;
mod peers;
mod shared;
mod sql;
mod writer;

use std::time::{Duration, SystemTime};

pub use self::broker::Broker;
pub use self::endpoint::{DATABASE, TRANSPORT};
pub use self::namespace::Embedded;
use super::{Destination, Error, QueueInfo, State, Stored};
use crate::message::bounds::DELIVERY_LIMIT;
use zrecipe_language::value::Value;

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
    /// Retries after which a message is dead-lettered: it is delivered once more than this.
    pub delivery_limit: u32,
    /// The largest message taken, in bytes, headers included.
    pub max_message_bytes: usize,
    /// How long the ids of messages are remembered, to drop the same message sent again.
    pub remember_ids: Duration,
    /// How long the history of settled messages is kept.
    pub keep_history: Duration,
    /// Whether messages survive a crash of the operating system: each transaction then waits for the disk.
    pub is_durable: bool,
}

impl Default for Options {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            delivery_limit: DELIVERY_LIMIT,
            max_message_bytes: 16 << 20,
            remember_ids: 7 * DAY,
            keep_history: 30 * DAY,
            is_durable: true,
        }
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
    /// In dead-letter queues.
    pub dead: u64,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// The message was accepted.
    Accepted,
    /// The message was to be delivered again.
    Retried,
    /// The message was dead-lettered.
    DeadLettered,
}

impl Conclusion {
    /// The word in column `verdict` of the history.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accept",
            Self::Retried => "retry",
            Self::DeadLettered => "dead-letter",
        }
    }

    fn parse(text: &str) -> Self {
        let all = [Self::Retried, Self::DeadLettered];
        all.into_iter().find(|conclusion| conclusion.as_str() == text).unwrap_or(Self::Accepted)
    }
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
    /// What became of the delivery.
    pub verdict: Conclusion,
    /// Why, unless it was accepted.
    pub reason: Option<String>,
    /// The settlement's note.
    pub note: Option<Value>,
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
