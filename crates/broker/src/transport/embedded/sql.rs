//! The database: its schema and everything that reads or writes it. SQL lives here only.
//!
//! - A message is two rows: a narrow one that moves between states and a wide one that is written once, so that
//!   claiming a large message costs no more than claiming a small one.
//! - A request that is refused has written nothing: everything that can refuse it is looked at first. An
//!   [`Error::Store`] may come half way and calls for a rollback.
//! - Sequence numbers are never used again while a trace of the message is left.
//! - Times are microseconds since 1970.
//!
//! Submodules: `rows` (what is written and read), `opening` (the file), `places` (processes, namespaces, queues), `messages`,
//! `time` (delays, lives and history that end), `reading` (without the writer), `books` (what became of all messages).

mod books;
mod messages;
mod opening;
mod places;
mod reading;
mod rows;
mod time;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension};

use super::mark::Mark;
use crate::transport::Error;

pub(super) use self::books::accounts;
pub(super) use self::opening::{damages, forgo_durability, open, open_copy, open_only_to_read, open_reader};
pub(super) use self::reading::{census, description, history, message_ids, messages, namespaces, queues, waiting};
pub(super) use self::rows::{Claim, Ending, Held, Parcel, now};

const READY: i64 = 0;
const DELAYED: i64 = 1;
const HELD: i64 = 2;

/// Fate of a message in the books: dealt with by a service.
const FINISHED: i64 = 1;
/// Removed by an operator.
const REMOVED: i64 = 2;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Error::Store(Box::new(error))
    }
}

/// The database as the writer thread sees it.
pub(super) struct Ledger {
    connection: Connection,
    /// Row of this process.
    process: i64,
    /// A message that comes back after more deliveries than this is a dead letter.
    limit: i64,
    /// The database as of the last look; other connections move it on.
    version: i64,
    /// All valid for `version` only, as are the next two.
    namespaces: HashMap<Arc<str>, i64>,
    queues: HashMap<(i64, String), i64>,
    /// The highest sequence number in use.
    last: Option<i64>,
    /// No delay ends and no message expires before this.
    horizon: Option<Option<i64>>,
    /// What this transaction does.
    now: i64,
    touched: HashSet<i64>,
    stirred: HashSet<i64>,
    delayed: bool,
    /// Where the next pruning goes on, in `inbox`.
    pruned: i64,
    mark: Mark,
}

impl Ledger {
    pub(super) fn new(connection: Connection, limit: u32, mark: Mark) -> Self {
        Self {
            mark,
            connection,
            process: 0,
            limit: i64::from(limit),
            version: -1,
            namespaces: HashMap::new(),
            queues: HashMap::new(),
            last: None,
            horizon: None,
            now: 0,
            touched: HashSet::new(),
            stirred: HashSet::new(),
            delayed: false,
            pruned: 0,
        }
    }

    fn sql(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    pub(super) fn process(&self) -> i64 {
        self.process
    }

    // Transactions

    /// Whether other connections have written since the last call.
    pub(super) fn moved_on(&mut self) -> rusqlite::Result<bool> {
        let version: i64 = self.sql("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        let moved = version != self.version;
        if moved {
            self.version = version;
            self.forget_all();
        }
        Ok(moved)
    }

    /// Starts a transaction; only under the writers' lock.
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.sql("BEGIN IMMEDIATE")?.execute([])?;
        self.now = now();
        self.touched.clear();
        self.stirred.clear();
        self.delayed = false;
        Ok(())
    }

    /// The next sequence number.
    fn number(&mut self) -> rusqlite::Result<i64> {
        let last = match self.last {
            Some(last) => last,
            None => self
                .sql("SELECT max(coalesce((SELECT max(seq) FROM content), 0), coalesce((SELECT max(seq) FROM inbox), 0))")?
                .query_row([], |row| row.get(0))?,
        };
        self.last = Some(last + 1);
        Ok(last + 1)
    }

    /// Drops what is only known as long as nobody else writes.
    fn forget_all(&mut self) {
        self.namespaces.clear();
        self.queues.clear();
        self.last = None;
        self.horizon = None;
    }

    /// Ends it; answers with the namespaces that it changed and their new change counts.
    pub(super) fn commit(&mut self) -> rusqlite::Result<Vec<(String, u64)>> {
        let mut changed = Vec::with_capacity(self.touched.len());
        for namespace in &self.touched {
            let row = self
                .sql("UPDATE namespace SET changes = changes + 1 WHERE id = ? RETURNING name, changes")?
                .query_row([namespace], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            changed.extend(row.map(|(name, changes): (String, i64)| (name, changes.cast_unsigned())));
        }
        let count = if self.touched.is_empty() { None } else { Some(Mark::count(&self.connection)?) };
        self.sql("COMMIT")?.execute([])?;
        if let Some(count) = count {
            self.mark.write(count);
        }
        Ok(changed)
    }

    pub(super) fn roll_back(&mut self) {
        self.forget_all();
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// On a full disk, moves the log into the database, so that settling what is there needs no more room. Answers
    /// whether the failed transaction is worth another try. Only under the writers' lock.
    pub(super) fn makes_room(&self, error: &Error) -> bool {
        let Error::Store(error) = error else { return false };
        let full = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code)
            == Some(ErrorCode::DiskFull);
        full && self.sql("PRAGMA wal_checkpoint(TRUNCATE)").and_then(|mut sql| sql.exists([])).is_ok()
    }

    /// Whether this transaction leaves something that another process could take, or must wait for.
    pub(super) fn leaves_work(&self) -> rusqlite::Result<bool> {
        if self.delayed {
            return Ok(true);
        }
        for queue in &self.stirred {
            if self.has_ready(*queue)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The queues to which this transaction has added something ready.
    pub(super) fn stirred(&self) -> &HashSet<i64> {
        &self.stirred
    }
}
