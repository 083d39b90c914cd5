//! The database: its schema and everything that reads or writes it. SQL lives here only.
//!
//! - A message is two rows: a narrow one that moves between states and a wide one that is written once, so that
//!   claiming a large message costs no more than claiming a small one.
//! - A request that is refused has written nothing: everything that can refuse it is looked at first. An
//!   [`Error::Store`] may come half way and calls for a rollback.
//! - Sequence numbers are never used again while a trace of the message is left.
//! - Times are microseconds since 1970.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};

use super::mark::Mark;
use super::{Census, NamespaceInfo, QueueInfo, Record, State, Stored};
use crate::transport::{Destination, Error, Outgoing, Settlement, Verdict};
use zrecipe_language::value::{Object, Value};

/// Marks the file as ours: "zrcp".
const APPLICATION: i64 = 0x7a72_6370;
/// Counts up with every change of the schema.
const VERSION: i64 = 1;
/// How many old rows one transaction removes at most.
const PRUNED_AT_ONCE: usize = 2_000;

const SCHEMA: &str = "
CREATE TABLE process(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,               -- of its lock file
    pid INTEGER NOT NULL);
CREATE TABLE namespace(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    changes INTEGER NOT NULL,                -- counts transactions that touched it
    holder INTEGER,                          -- process that owns it
    description TEXT);
CREATE TABLE queue(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace INTEGER NOT NULL,
    name TEXT NOT NULL,
    dead INTEGER NOT NULL,                   -- holds dead letters
    subscriber INTEGER);                     -- process whose copies of the topic `name` it holds
CREATE UNIQUE INDEX queue_name ON queue(namespace, name) WHERE subscriber IS NULL;
CREATE INDEX queue_topic ON queue(namespace, name) WHERE subscriber IS NOT NULL;
CREATE TABLE message(
    state INTEGER NOT NULL,                  -- 0 ready, 1 delayed, 2 held
    queue INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    holder INTEGER,
    deliveries INTEGER NOT NULL,
    due INTEGER NOT NULL,
    expires INTEGER,
    PRIMARY KEY(state, queue, seq)) WITHOUT ROWID;
CREATE INDEX message_due ON message(due) WHERE state = 1;
CREATE INDEX message_expires ON message(expires) WHERE expires IS NOT NULL AND state < 2;
CREATE TABLE content(
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    sent INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL);
CREATE TABLE inbox(                          -- ids taken in; the message, if it is still there, is `seq`
    seq INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE(namespace, id));
CREATE TABLE history(
    number INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL,
    at INTEGER NOT NULL,
    id TEXT NOT NULL,
    topic INTEGER NOT NULL,
    source TEXT NOT NULL,
    deliveries INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT,
    note TEXT);
CREATE INDEX history_namespace ON history(namespace);
";

const READY: i64 = 0;
const DELAYED: i64 = 1;
const HELD: i64 = 2;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Error::Store(Box::new(error))
    }
}

/// Now.
pub(super) fn now() -> i64 {
    micros(SystemTime::now())
}

fn micros(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, span)
}

fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn time(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// What dead letters of `source` lie in. Dead letters themselves stay where they are.
fn dead_letter_queue(source: &str) -> String {
    if is_dead_letter_queue(source) { source.to_owned() } else { format!("dlq.{source}") }
}

fn is_dead_letter_queue(name: &str) -> bool {
    name.starts_with("dlq.")
}

// ---------------------------------------------------------------------------------------------------------------
// JSON columns. The only place that reads JSON text.

/// Headers as they were written by [`Value::to_json`].
fn parse_headers(text: &str) -> Object {
    match parse_value(text) {
        Value::Object(headers) => headers,
        _ => Object::new(),
    }
}

/// A JSON column as it was written by [`Value::to_json`].
fn parse_value(text: &str) -> Value {
    zrecipe_language::syntax::json::read_value(text.as_bytes()).unwrap_or_default()
}

// ---------------------------------------------------------------------------------------------------------------
// Opening

/// Opens the database, for the first time of this process; only under the writers' lock.
pub(super) fn open(path: &Path) -> Result<Connection, String> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| explain(&error))?;
    check(&connection)?;
    Ok(connection)
}

/// A second connection, which only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, String> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| explain(&error))?;
    // The first read takes part in recovery after a crash, which is better done under the lock.
    user_version(&connection).map_err(|error| explain(&error))?;
    Ok(connection)
}

/// A connection that reads where nothing can be written: a full disk, or a file system that is read-only.
pub(super) fn open_only_to_read(path: &Path) -> Result<Connection, String> {
    let connection = open_reader(path)?;
    check_kind(&connection)?;
    Ok(connection)
}

/// A connection to a copy of a database that cannot be opened where it is.
pub(super) fn open_copy(path: &Path) -> Result<Connection, String> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| explain(&error))?;
    check_kind(&connection)?;
    Ok(connection)
}

/// What is wrong inside of the database, in SQLite's words.
pub(super) fn damages(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA quick_check(5)")?;
    let found: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
}

/// The ids of all messages.
pub(super) fn message_ids(connection: &Connection) -> rusqlite::Result<HashSet<String>> {
    connection.prepare("SELECT id FROM content")?.query_map([], |row| row.get(0))?.collect()
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(128);
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cache_size", -16_000)?;
    Ok(connection)
}

fn user_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Refuses what is no database of ours, or of a later version; the number of tables.
fn check_kind(connection: &Connection) -> Result<i64, String> {
    let explain = |error: rusqlite::Error| explain(&error);
    let version = user_version(connection).map_err(explain)?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(explain)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(explain)?;
    if tables > 0 && application != APPLICATION {
        return Err("the file is a database of another program; choose another place with `--state DIR`".to_owned());
    }
    if version > VERSION {
        return Err(format!(
            "it was written by a newer zrecipe (schema {version}, this one knows {VERSION}); \
             use that version or choose another place with `--state DIR`"
        ));
    }
    Ok(tables)
}

fn check(connection: &Connection) -> Result<(), String> {
    let tables = check_kind(connection)?;
    let explain = |error: rusqlite::Error| explain(&error);
    // The mode is written into the file: set it once. Doing it again while others open the file may fail as busy.
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(explain)?;
    if mode != "wal" {
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(explain)?;
        if mode != "wal" {
            return Err(
                "SQLite cannot keep a write-ahead log there; choose another place with `--state DIR`".to_owned()
            );
        }
    }
    connection.pragma_update(None, "synchronous", "full").map_err(explain)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_000).map_err(explain)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(explain)?;
    if tables == 0 {
        connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT"
            ))
            .map_err(explain)?;
    }
    Ok(())
}

/// What is wrong with the file, and what to do about it.
fn explain(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            "the file is not a database; move it away or choose another place with `--state DIR`".to_owned()
        }
        Some(ErrorCode::DatabaseCorrupt) => "the database is damaged; move it away to start afresh".to_owned(),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            format!("{error}; choose a place that can be written to with `--state DIR`")
        }
        _ => error.to_string(),
    }
}

// ---------------------------------------------------------------------------------------------------------------
// Writing

/// A message ready to be written.
#[derive(Debug)]
pub(super) struct Parcel {
    id: String,
    destination: Destination,
    delay: i64,
    expiration: Option<i64>,
    headers: String,
    body: Vec<u8>,
}

impl Parcel {
    pub(super) fn new(message: Outgoing) -> Self {
        Self {
            id: message.id,
            destination: message.destination,
            delay: message.delay.map_or(0, span),
            expiration: message.expiration.map(span),
            headers: Value::Object(message.headers).to_json(),
            body: message.body,
        }
    }

    /// In bytes, headers included.
    pub(super) fn size(&self) -> usize {
        self.headers.len() + self.body.len()
    }

    pub(super) fn destination(&self) -> &str {
        self.destination.name()
    }
}

/// A message that a subscription of this process holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) namespace: i64,
    pub(super) queue: i64,
    pub(super) source: Destination,
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) deliveries: i64,
    pub(super) sent: i64,
}

/// How a settlement ends, ready to be written.
#[derive(Debug)]
pub(super) struct Ending {
    verdict: Verdict,
    pub(super) outputs: Vec<Parcel>,
    note: Option<String>,
}

impl Ending {
    pub(super) fn new(settlement: Settlement) -> Self {
        Self {
            verdict: settlement.verdict,
            outputs: settlement.outputs.into_iter().map(Parcel::new).collect(),
            note: settlement.note.map(|note| note.to_json()),
        }
    }
}

/// A message just claimed.
pub(super) struct Claim {
    pub(super) seq: i64,
    pub(super) deliveries: i64,
    pub(super) id: String,
    pub(super) sent: i64,
    pub(super) headers: Object,
    pub(super) body: Vec<u8>,
}

impl Claim {
    pub(super) fn sent(&self) -> SystemTime {
        time(self.sent)
    }
}

/// Why the broker itself makes a dead letter of a message.
struct Death<'a> {
    /// `rejected`, `delivery_limit` or `expired`, as RabbitMQ says.
    cause: &'static str,
    reason: &'a str,
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

    // Processes

    /// Registers this process.
    pub(super) fn join(&mut self, name: &str, pid: u32) -> rusqlite::Result<()> {
        self.sql("INSERT INTO process(name, pid) VALUES(?, ?)")?.execute(params![name, pid])?;
        self.process = self.connection.last_insert_rowid();
        Ok(())
    }

    /// Registers this process once more, should someone have taken it for dead.
    pub(super) fn rejoin(&mut self, name: &str, pid: u32) -> rusqlite::Result<()> {
        self.sql("INSERT OR IGNORE INTO process(id, name, pid) VALUES(?, ?, ?)")?
            .execute(params![self.process, name, pid])
            .map(drop)
    }

    /// Rows and names of all registered processes.
    pub(super) fn processes(&self) -> rusqlite::Result<Vec<(i64, String)>> {
        self.sql("SELECT id, name FROM process")?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// Takes back everything from a process and strikes it off. Its messages count as delivered if it has `died`.
    pub(super) fn part(&mut self, process: i64, died: bool) -> Result<(), Error> {
        let queues: Vec<i64> = self
            .sql("SELECT id FROM queue WHERE subscriber = ?")?
            .query_map([process], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for queue in queues {
            self.drop_queue(queue)?;
        }
        let held: Vec<Held> = self
            .sql(
                "SELECT q.namespace, q.id, q.name, m.seq, c.id, m.deliveries, c.sent
                 FROM message m JOIN queue q ON q.id = m.queue JOIN content c ON c.seq = m.seq
                 WHERE m.state = 2 AND m.holder = ?",
            )?
            .query_map([process], |row| {
                Ok(Held {
                    namespace: row.get(0)?,
                    queue: row.get(1)?,
                    source: Destination::Queue(row.get(2)?),
                    seq: row.get(3)?,
                    id: row.get(4)?,
                    deliveries: row.get(5)?,
                    sent: row.get(6)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        for held in &held {
            if died {
                let death = Death { cause: "delivery_limit", reason: "the process that held it died" };
                self.give_back(held, self.now, Some(death))?;
            } else {
                self.give_back(held, self.now, None)?;
            }
        }
        let freed: Vec<i64> = self
            .sql("UPDATE namespace SET holder = NULL WHERE holder = ? RETURNING id")?
            .query_map([process], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        self.touched.extend(freed);
        self.sql("DELETE FROM process WHERE id = ?")?.execute([process])?;
        Ok(())
    }

    // Namespaces and queues

    fn namespace(&mut self, name: &Arc<str>) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.namespaces.get(name) {
            return Ok(Some(*id));
        }
        let id =
            self.sql("SELECT id FROM namespace WHERE name = ?")?.query_row([&**name], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.namespaces.insert(name.clone(), id);
        }
        Ok(id)
    }

    /// The namespace, made if need be.
    pub(super) fn namespace_made(&mut self, name: &Arc<str>) -> rusqlite::Result<i64> {
        if let Some(id) = self.namespace(name)? {
            return Ok(id);
        }
        self.sql("INSERT INTO namespace(name, created, changes) VALUES(?1, ?2, ?2)")?
            .execute(params![&**name, self.now])?;
        let id = self.connection.last_insert_rowid();
        self.namespaces.insert(name.clone(), id);
        self.touched.insert(id);
        Ok(id)
    }

    /// How often the namespace has changed; 0 if there is none.
    pub(super) fn changes(&self, name: &str) -> rusqlite::Result<u64> {
        let changes = self
            .sql("SELECT changes FROM namespace WHERE name = ?")?
            .query_row([name], |row| row.get::<_, i64>(0))
            .optional()?;
        Ok(changes.unwrap_or(0).cast_unsigned())
    }

    fn queue(&mut self, namespace: i64, name: &str) -> rusqlite::Result<Option<i64>> {
        let key = (namespace, name.to_owned());
        if let Some(id) = self.queues.get(&key) {
            return Ok(Some(*id));
        }
        let id = self
            .sql("SELECT id FROM queue WHERE namespace = ? AND name = ? AND subscriber IS NULL")?
            .query_row(params![namespace, name], |row| row.get(0))
            .optional()?;
        if let Some(id) = id {
            self.queues.insert(key, id);
        }
        Ok(id)
    }

    /// The queue, made if need be.
    pub(super) fn declare(&mut self, namespace: i64, name: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.queue(namespace, name)? {
            return Ok(id);
        }
        self.sql("INSERT INTO queue(namespace, name, dead) VALUES(?, ?, ?)")?.execute(params![
            namespace,
            name,
            is_dead_letter_queue(name)
        ])?;
        let id = self.connection.last_insert_rowid();
        self.queues.insert((namespace, name.to_owned()), id);
        self.touched.insert(namespace);
        Ok(id)
    }

    /// A queue for this process's copies of what is sent to a topic.
    pub(super) fn listen(&mut self, namespace: i64, topic: &str) -> rusqlite::Result<i64> {
        self.sql("INSERT INTO queue(namespace, name, dead, subscriber) VALUES(?, ?, 0, ?)")?.execute(params![
            namespace,
            topic,
            self.process
        ])?;
        self.touched.insert(namespace);
        Ok(self.connection.last_insert_rowid())
    }

    fn listeners(&self, namespace: i64, topic: &str) -> rusqlite::Result<Vec<i64>> {
        self.sql("SELECT id FROM queue WHERE namespace = ? AND name = ? AND subscriber IS NOT NULL")?
            .query_map(params![namespace, topic], |row| row.get(0))?
            .collect()
    }

    /// Whether the queue is still there.
    pub(super) fn has_queue(&self, queue: i64) -> rusqlite::Result<bool> {
        self.sql("SELECT 1 FROM queue WHERE id = ?")?.exists([queue])
    }

    /// Removes a queue and what is in it.
    pub(super) fn drop_queue(&mut self, queue: i64) -> rusqlite::Result<()> {
        for state in [READY, DELAYED, HELD] {
            self.sql("DELETE FROM content WHERE seq IN (SELECT seq FROM message WHERE state = ? AND queue = ?)")?
                .execute([state, queue])?;
            self.sql("DELETE FROM message WHERE state = ? AND queue = ?")?.execute([state, queue])?;
        }
        let namespace: Option<i64> = self
            .sql("DELETE FROM queue WHERE id = ? RETURNING namespace")?
            .query_row([queue], |row| row.get(0))
            .optional()?;
        self.touched.extend(namespace);
        Ok(())
    }

    /// Removes what waits in a queue; how many messages, if there is such a queue.
    pub(super) fn purge(&mut self, name: &Arc<str>, queue: &str) -> rusqlite::Result<Option<u64>> {
        let Some(namespace) = self.namespace(name)? else { return Ok(None) };
        let Some(queue) = self.queue(namespace, queue)? else { return Ok(None) };
        let mut count = 0;
        for state in [READY, DELAYED] {
            self.sql("DELETE FROM content WHERE seq IN (SELECT seq FROM message WHERE state = ? AND queue = ?)")?
                .execute([state, queue])?;
            count += self.sql("DELETE FROM message WHERE state = ? AND queue = ?")?.execute([state, queue])?;
        }
        self.touched.insert(namespace);
        Ok(Some(count as u64))
    }

    /// Stores what the namespace is.
    pub(super) fn describe(&mut self, namespace: i64, description: &str) -> rusqlite::Result<()> {
        self.sql("UPDATE namespace SET description = ? WHERE id = ?")?.execute(params![description, namespace])?;
        self.touched.insert(namespace);
        Ok(())
    }

    /// The process that owns the namespace: its row, and its name if it is registered.
    pub(super) fn owner(&self, namespace: i64) -> rusqlite::Result<Option<(i64, Option<String>)>> {
        self.sql(
            "SELECT n.holder, p.name FROM namespace n LEFT JOIN process p ON p.id = n.holder
             WHERE n.id = ? AND n.holder IS NOT NULL",
        )?
        .query_row([namespace], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
    }

    /// Makes this process the owner, or nobody.
    pub(super) fn own(&mut self, namespace: i64, ours: bool) -> rusqlite::Result<()> {
        self.sql("UPDATE namespace SET holder = ? WHERE id = ?")?
            .execute(params![ours.then_some(self.process), namespace])?;
        self.touched.insert(namespace);
        Ok(())
    }

    /// Removes everything of a namespace.
    pub(super) fn forget(&mut self, name: &Arc<str>) -> rusqlite::Result<()> {
        let Some(namespace) = self.namespace(name)? else { return Ok(()) };
        let queues: Vec<i64> = self
            .sql("SELECT id FROM queue WHERE namespace = ?")?
            .query_map([namespace], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for queue in queues {
            self.drop_queue(queue)?;
        }
        self.sql("DELETE FROM inbox WHERE namespace = ?")?.execute([namespace])?;
        self.sql("DELETE FROM history WHERE namespace = ?")?.execute([namespace])?;
        self.sql("DELETE FROM namespace WHERE id = ?")?.execute([namespace])?;
        self.namespaces.remove(name);
        self.queues.retain(|(owner, _), _| *owner != namespace);
        self.touched.remove(&namespace);
        Ok(())
    }

    // Messages

    /// Sends messages, all or none.
    pub(super) fn send(&mut self, namespace: &Arc<str>, parcels: &[Parcel]) -> Result<Vec<String>, Error> {
        let namespace = self.namespace(namespace)?;
        let places = self.places(namespace, parcels)?;
        match namespace {
            Some(namespace) => self.enqueue(namespace, parcels, &places, None),
            // Only topics, and nobody listens.
            None => Ok(Vec::new()),
        }
    }

    /// The queues that each message goes to.
    fn places(&mut self, namespace: Option<i64>, parcels: &[Parcel]) -> Result<Vec<Vec<i64>>, Error> {
        let mut places = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            places.push(match (&parcel.destination, namespace) {
                (Destination::Queue(name), Some(namespace)) => match self.queue(namespace, name)? {
                    Some(queue) => vec![queue],
                    None => return Err(Error::NoSuchQueue(name.clone())),
                },
                (Destination::Queue(name), None) => return Err(Error::NoSuchQueue(name.clone())),
                (Destination::Topic(name), Some(namespace)) => self.listeners(namespace, name)?,
                (Destination::Topic(_), None) => Vec::new(),
            });
        }
        Ok(places)
    }

    /// Writes messages. One whose id was taken in before is dropped, and its id returned; one that carries on the id of
    /// the message `settled` in the same transaction is that message moving on.
    fn enqueue(
        &mut self,
        namespace: i64,
        parcels: &[Parcel],
        places: &[Vec<i64>],
        settled: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        let (mut settled, mut known) = (settled, Vec::new());
        for (parcel, queues) in parcels.iter().zip(places) {
            if queues.is_empty() {
                continue;
            }
            let moves = settled.take_if(|id| *id == parcel.id).is_some();
            if moves {
                self.sql("DELETE FROM inbox WHERE namespace = ? AND id = ?")?.execute(params![namespace, parcel.id])?;
            }
            let mut seq = self.number()?;
            let taken = self
                .sql("INSERT INTO inbox(seq, namespace, id, at) VALUES(?, ?, ?, ?) ON CONFLICT DO NOTHING")?
                .execute(params![seq, namespace, parcel.id, self.now])?;
            if taken == 0 {
                known.push(parcel.id.clone());
                continue;
            }
            let due = self.now.saturating_add(parcel.delay);
            let state = if due > self.now { DELAYED } else { READY };
            let expires = parcel.expiration.map(|expiration| due.saturating_add(expiration));
            for (copy, queue) in queues.iter().enumerate() {
                if copy > 0 {
                    seq = self.number()?;
                }
                self.sql("INSERT INTO content(seq, id, sent, headers, body) VALUES(?, ?, ?, ?, ?)")?
                    .execute(params![seq, parcel.id, self.now, parcel.headers, parcel.body])?;
                self.sql("INSERT INTO message(state, queue, seq, deliveries, due, expires) VALUES(?, ?, ?, 0, ?, ?)")?
                    .execute(params![state, queue, seq, due, expires])?;
                self.stirred.insert(*queue);
            }
            if state == DELAYED || expires.is_some() {
                self.delayed = true;
                self.horizon = None;
            }
            self.touched.insert(namespace);
        }
        Ok(known)
    }

    /// Whether there is something to claim in the queue.
    pub(super) fn has_ready(&self, queue: i64) -> rusqlite::Result<bool> {
        self.sql("SELECT 1 FROM message WHERE state = 0 AND queue = ?")?.exists([queue])
    }

    /// Claims up to `most` messages of the queue for this process, oldest first.
    pub(super) fn claim(&mut self, namespace: i64, queue: i64, most: usize) -> rusqlite::Result<Vec<Claim>> {
        let claims: Vec<Claim> = self
            .sql(
                "SELECT m.seq, m.deliveries + 1, c.id, c.sent, c.headers, c.body
                 FROM message m CROSS JOIN content c ON c.seq = m.seq
                 WHERE m.state = 0 AND m.queue = ? ORDER BY m.seq LIMIT ?",
            )?
            .query_map(params![queue, i64::try_from(most).unwrap_or(i64::MAX)], |row| {
                Ok(Claim {
                    seq: row.get(0)?,
                    deliveries: row.get(1)?,
                    id: row.get(2)?,
                    sent: row.get(3)?,
                    headers: parse_headers(row.get_ref(4)?.as_str()?),
                    body: row.get(5)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        if !claims.is_empty() {
            let mut update = self.sql(
                "UPDATE message SET state = 2, holder = ?, deliveries = ? WHERE state = 0 AND queue = ? AND seq = ?",
            )?;
            for claim in &claims {
                update.execute([self.process, claim.deliveries, queue, claim.seq])?;
            }
            drop(update);
            self.touched.insert(namespace);
        }
        Ok(claims)
    }

    /// Settles a message that this process holds, and sends what it led to.
    pub(super) fn settle(&mut self, held: &Held, ending: &Ending) -> Result<Vec<String>, Error> {
        let places = self.places(Some(held.namespace), &ending.outputs)?;
        if !self.holds(held)? {
            return Err(Error::NotHeld);
        }
        let (verdict, reason) = match &ending.verdict {
            Verdict::Accept => (Some("accept"), None),
            Verdict::Retry { reason, .. } => (Some("retry"), Some(reason.as_str())),
            Verdict::DeadLetter { reason } => (Some("dead-letter"), Some(reason.as_str())),
            Verdict::Requeue { .. } | Verdict::Release => (None, None),
        };
        if let Some(verdict) = verdict {
            self.record(held, verdict, reason, ending.note.as_deref())?;
        }
        match &ending.verdict {
            Verdict::Accept => self.remove(held)?,
            Verdict::Retry { after, reason } => {
                let death = Death { cause: "delivery_limit", reason };
                self.give_back(held, self.now.saturating_add(span(*after)), Some(death))?;
            }
            Verdict::DeadLetter { reason } => self.bury(HELD, held, &Death { cause: "rejected", reason })?,
            Verdict::Requeue { after } => self.give_back(held, self.now.saturating_add(span(*after)), None)?,
            Verdict::Release => self.give_back(held, self.now, None)?,
        }
        self.enqueue(held.namespace, &ending.outputs, &places, Some(&held.id))
    }

    fn holds(&self, held: &Held) -> rusqlite::Result<bool> {
        self.sql("SELECT 1 FROM message WHERE state = 2 AND queue = ? AND seq = ? AND holder = ?")?.exists([
            held.queue,
            held.seq,
            self.process,
        ])
    }

    fn remove(&mut self, held: &Held) -> rusqlite::Result<()> {
        self.sql("DELETE FROM message WHERE state = 2 AND queue = ? AND seq = ?")?.execute([held.queue, held.seq])?;
        self.sql("DELETE FROM content WHERE seq = ?")?.execute([held.seq])?;
        self.touched.insert(held.namespace);
        Ok(())
    }

    /// Releases a message of this process, if it is still there.
    pub(super) fn release(&mut self, held: &Held) -> Result<(), Error> {
        if self.holds(held)? {
            self.give_back(held, self.now, None)?;
        }
        Ok(())
    }

    /// Puts a held message back to its place in its queue. With `counted` the delivery counts, and once the limit is
    /// passed the message dies of it; without, the delivery has not happened.
    fn give_back(&mut self, held: &Held, due: i64, counted: Option<Death<'_>>) -> Result<(), Error> {
        let deliveries = match &counted {
            None => held.deliveries - 1,
            Some(_) => held.deliveries,
        };
        if let Some(death) = counted
            && deliveries > self.limit
            && !is_dead_letter_queue(held.source.name())
        {
            self.record(held, "dead-letter", Some(&format!("{}: {}", death.cause, death.reason)), None)?;
            return self.bury(HELD, held, &death);
        }
        let state = if due > self.now { DELAYED } else { READY };
        self.sql(
            "UPDATE message SET state = ?, holder = NULL, deliveries = ?, due = ?
             WHERE state = 2 AND queue = ? AND seq = ?",
        )?
        .execute([state, deliveries, due, held.queue, held.seq])?;
        self.touched.insert(held.namespace);
        self.stirred.insert(held.queue);
        self.delayed |= state == DELAYED;
        // It may be late, and it may have a time to live.
        self.horizon = None;
        Ok(())
    }

    /// Moves a message to its dead-letter queue.
    fn bury(&mut self, state: i64, message: &Held, death: &Death<'_>) -> Result<(), Error> {
        let source = message.source.name();
        let grave = self.declare(message.namespace, &dead_letter_queue(source))?;
        let headers: String =
            self.sql("SELECT headers FROM content WHERE seq = ?")?.query_row([message.seq], |row| row.get(0))?;
        let mut headers = parse_headers(&headers);
        note_death(&mut headers, source, death, self.now);
        self.sql("UPDATE content SET headers = ? WHERE seq = ?")?
            .execute(params![Value::Object(headers).to_json(), message.seq])?;
        self.sql(
            "UPDATE message SET state = 0, queue = ?, holder = NULL, deliveries = 0, due = ?, expires = NULL
             WHERE state = ? AND queue = ? AND seq = ?",
        )?
        .execute([grave, self.now, state, message.queue, message.seq])?;
        self.touched.insert(message.namespace);
        self.stirred.insert(grave);
        Ok(())
    }

    fn record(&mut self, held: &Held, verdict: &str, reason: Option<&str>, note: Option<&str>) -> rusqlite::Result<()> {
        self.sql(
            "INSERT INTO history(namespace, at, id, topic, source, deliveries, sent, verdict, reason, note)
             VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            held.namespace,
            self.now,
            held.id,
            matches!(held.source, Destination::Topic(_)),
            held.source.name(),
            held.deliveries,
            held.sent,
            verdict,
            reason,
            note
        ])?;
        self.touched.insert(held.namespace);
        Ok(())
    }

    // The passing of time

    /// When the next delay ends or the next message expires, at the earliest.
    pub(super) fn next_event(&mut self) -> rusqlite::Result<Option<i64>> {
        if let Some(horizon) = self.horizon {
            return Ok(horizon);
        }
        let due: Option<i64> =
            self.sql("SELECT min(due) FROM message WHERE state = 1")?.query_row([], |row| row.get(0))?;
        let expires: Option<i64> = self
            .sql("SELECT min(expires) FROM message WHERE expires IS NOT NULL AND state < 2")?
            .query_row([], |row| row.get(0))?;
        let horizon = match (due, expires) {
            (Some(due), Some(expires)) => Some(due.min(expires)),
            (due, expires) => due.or(expires),
        };
        self.horizon = Some(horizon);
        Ok(horizon)
    }

    /// Ends delays and lives that are over.
    pub(super) fn pass_time(&mut self) -> Result<(), Error> {
        if self.next_event()?.is_none_or(|at| at > self.now) {
            return Ok(());
        }
        self.horizon = None;
        let expired: Vec<(i64, bool, Held)> = self
            .sql(
                "SELECT m.state, q.namespace, m.queue, q.name, q.subscriber IS NOT NULL, m.seq, c.id, m.deliveries, c.sent
                 FROM message m JOIN queue q ON q.id = m.queue JOIN content c ON c.seq = m.seq
                 WHERE m.expires IS NOT NULL AND m.state < 2 AND m.expires <= ?",
            )?
            .query_map([self.now], |row| {
                let held = Held {
                    namespace: row.get(1)?,
                    queue: row.get(2)?,
                    source: Destination::Queue(row.get(3)?),
                    seq: row.get(5)?,
                    id: row.get(6)?,
                    deliveries: row.get(7)?,
                    sent: row.get(8)?,
                };
                Ok((row.get(0)?, row.get(4)?, held))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (state, copy, message) in expired {
            if copy {
                // A copy of a broadcast that nobody was waiting for.
                self.sql("DELETE FROM message WHERE state = ? AND queue = ? AND seq = ?")?.execute([
                    state,
                    message.queue,
                    message.seq,
                ])?;
                self.sql("DELETE FROM content WHERE seq = ?")?.execute([message.seq])?;
                self.touched.insert(message.namespace);
            } else {
                self.record(&message, "dead-letter", Some("expired"), None)?;
                self.bury(state, &message, &Death { cause: "expired", reason: "nobody took it in time" })?;
            }
        }
        let due: Vec<(i64, i64)> = self
            .sql(
                "SELECT q.namespace, q.id FROM queue q WHERE q.id IN
                 (SELECT queue FROM message WHERE state = 1 AND due <= ?)",
            )?
            .query_map([self.now], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (namespace, queue) in due {
            self.touched.insert(namespace);
            self.stirred.insert(queue);
        }
        self.sql("UPDATE message SET state = 0 WHERE state = 1 AND due <= ?")?.execute([self.now])?;
        Ok(())
    }

    /// Removes some of what is older than `inbox` and `history`; answers whether there may be more.
    pub(super) fn prune(&mut self, inbox: Duration, history: Duration) -> rusqlite::Result<bool> {
        let limit = i64::try_from(PRUNED_AT_ONCE).unwrap_or(i64::MAX);
        let before = self.now.saturating_sub(span(inbox));
        let old: Vec<(i64, bool)> = self
            .sql(
                "SELECT i.seq, EXISTS(SELECT 1 FROM content c WHERE c.seq = i.seq)
                 FROM (SELECT seq, at FROM inbox WHERE seq > ? ORDER BY seq LIMIT ?) i WHERE i.at < ?",
            )?
            .query_map([self.pruned, limit, before], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (seq, _) in old.iter().filter(|(_, there)| !there) {
            self.sql("DELETE FROM inbox WHERE seq = ?")?.execute([seq])?;
        }
        let more = old.len() == PRUNED_AT_ONCE;
        self.pruned = if more { old.last().map_or(0, |(seq, _)| *seq) } else { 0 };
        let records = self
            .sql(
                "DELETE FROM history WHERE number IN
                 (SELECT number FROM (SELECT number, at FROM history ORDER BY number LIMIT ?) WHERE at < ?)",
            )?
            .execute([limit, self.now.saturating_sub(span(history))])?;
        Ok(more || records == PRUNED_AT_ONCE)
    }
}

/// Adds to the headers of a dead letter what RabbitMQ would add: the newest death first, the same death counted up.
fn note_death(headers: &mut Object, queue: &str, death: &Death<'_>, now: i64) {
    let mut deaths = match headers.shift_remove("x-death") {
        Some(Value::Array(deaths)) => deaths,
        _ => Vec::new(),
    };
    let same = |entry: &Value| {
        entry.get("queue").and_then(Value::as_str) == Some(queue)
            && entry.get("reason").and_then(Value::as_str) == Some(death.cause)
    };
    let before = deaths.iter().position(same).map(|at| deaths.remove(at));
    let count = before.and_then(|entry| entry.get("count")?.as_i64()).unwrap_or(0);
    deaths.insert(
        0,
        Value::Object(Object::from_iter([
            ("count".to_owned(), Value::from(count.saturating_add(1))),
            ("reason".to_owned(), Value::from(death.cause)),
            ("queue".to_owned(), Value::from(queue)),
            ("exchange".to_owned(), Value::from("")),
            ("routing-keys".to_owned(), Value::from(vec![queue])),
            ("time".to_owned(), Value::from(now / 1_000_000)),
        ])),
    );
    headers.insert("x-death".to_owned(), Value::Array(deaths));
    headers.insert("zrecipe-reason".to_owned(), Value::from(death.reason));
}

// ---------------------------------------------------------------------------------------------------------------
// Reading

/// How many messages a namespace has.
pub(super) fn census(connection: &Connection, namespace: &str) -> rusqlite::Result<Census> {
    let mut census = Census::default();
    let mut statement = connection.prepare_cached(
        "SELECT CASE WHEN q.dead THEN 3 WHEN m.state = 1 AND m.due <= ? THEN 0 ELSE m.state END AS kind, count(*)
         FROM namespace n CROSS JOIN queue q ON q.namespace = n.id CROSS JOIN (VALUES(0), (1), (2)) s
         CROSS JOIN message m ON m.state = s.column1 AND m.queue = q.id
         WHERE n.name = ? GROUP BY kind",
    )?;
    let mut rows = statement.query(params![now(), namespace])?;
    while let Some(row) = rows.next()? {
        let count = row.get::<_, i64>(1)?.cast_unsigned();
        match row.get::<_, i64>(0)? {
            READY => census.ready = count,
            DELAYED => census.delayed = count,
            HELD => census.held = count,
            _ => census.dead = count,
        }
    }
    Ok(census)
}

/// What has become of the messages of a namespace, oldest first.
pub(super) fn history(connection: &Connection, namespace: &str) -> rusqlite::Result<Vec<Record>> {
    connection
        .prepare_cached(
            "SELECT h.at, h.id, h.topic, h.source, h.deliveries, h.sent, h.verdict, h.reason, h.note
             FROM namespace n JOIN history h ON h.namespace = n.id WHERE n.name = ? ORDER BY h.number",
        )?
        .query_map([namespace], |row| {
            let source = row.get(3)?;
            Ok(Record {
                at: time(row.get(0)?),
                id: row.get(1)?,
                source: if row.get(2)? { Destination::Topic(source) } else { Destination::Queue(source) },
                deliveries: row.get(4)?,
                sent: time(row.get(5)?),
                verdict: row.get(6)?,
                reason: row.get(7)?,
                note: json(row, 8)?,
            })
        })?
        .collect()
}

/// The queues of a namespace by name; rates are those of the last minute.
pub(super) fn queues(connection: &Connection, namespace: &str) -> rusqlite::Result<Vec<QueueInfo>> {
    const LATELY: i64 = 60;
    // Rates are of interest on a busy broker, where a minute is within so many records.
    const MOST_RECORDS: i64 = 100_000;
    let now = now();
    let since = now - LATELY * 1_000_000;
    let mut rates: HashMap<String, (u64, u64)> = HashMap::new();
    let mut statement = connection.prepare_cached(
        "SELECT h.source, sum(h.sent >= ?2), count(*) FROM namespace n CROSS JOIN history h ON h.namespace = n.id
         WHERE n.name = ?1 AND h.number > (SELECT max(number) FROM history) - ?3
         AND h.at >= ?2 AND NOT h.topic AND h.verdict <> 'retry' GROUP BY h.source",
    )?;
    let mut rows = statement.query(params![namespace, since, MOST_RECORDS])?;
    while let Some(row) = rows.next()? {
        rates.insert(row.get(0)?, (row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, i64>(2)?.cast_unsigned()));
    }
    connection
        .prepare_cached(
            "SELECT q.name, count(m.seq), sum(m.state = 2), sum(m.state = 1 AND m.due > ?2), min(c.sent), sum(c.sent >= ?3)
             FROM namespace n CROSS JOIN queue q ON q.namespace = n.id CROSS JOIN (VALUES(0), (1), (2)) s
             LEFT JOIN message m ON m.state = s.column1 AND m.queue = q.id LEFT JOIN content c ON c.seq = m.seq
             WHERE n.name = ?1 AND q.subscriber IS NULL GROUP BY q.id ORDER BY q.name",
        )?
        .query_map(params![namespace, now, since], |row| {
            let name: String = row.get(0)?;
            let count = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.unwrap_or(0).cast_unsigned());
            let (all, held, delayed, come) = (count(1)?, count(2)?, count(3)?, count(5)?);
            let (gone_and_new, gone) = rates.get(&name).copied().unwrap_or_default();
            Ok(QueueInfo {
                name,
                ready: all - held - delayed,
                delayed,
                held,
                oldest: row.get::<_, Option<i64>>(4)?.map(time),
                incoming: (come + gone_and_new) as f64 / LATELY as f64,
                outgoing: gone as f64 / LATELY as f64,
            })
        })?
        .collect()
}

/// How many messages of a queue are ready; nothing if there is no such queue.
pub(super) fn waiting(connection: &Connection, namespace: &str, queue: &str) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached(
            "SELECT (SELECT count(*) FROM message m WHERE m.state = 0 AND m.queue = q.id)
                  + (SELECT count(*) FROM message m WHERE m.state = 1 AND m.queue = q.id AND m.due <= ?3)
             FROM namespace n CROSS JOIN queue q ON q.namespace = n.id
             WHERE n.name = ?1 AND q.name = ?2 AND q.subscriber IS NULL",
        )?
        .query_row(params![namespace, queue, now()], |row| Ok(row.get::<_, i64>(0)?.cast_unsigned()))
        .optional()
}

/// The messages of one queue or of all, at most so many, without taking them.
pub(super) fn messages(
    connection: &Connection,
    namespace: &str,
    queue: Option<&str>,
    most: Option<usize>,
) -> rusqlite::Result<Vec<Stored>> {
    let now = now();
    connection
        .prepare_cached(
            "SELECT q.name, m.state, m.deliveries, m.due, c.id, c.sent, c.headers, c.body
             FROM namespace n CROSS JOIN queue q ON q.namespace = n.id CROSS JOIN (VALUES(0), (1), (2)) s
             CROSS JOIN message m ON m.state = s.column1 AND m.queue = q.id CROSS JOIN content c ON c.seq = m.seq
             WHERE n.name = ?1 AND (?2 IS NULL OR q.name = ?2) ORDER BY q.name, m.seq LIMIT ?3",
        )?
        .query_map(params![namespace, queue, most.map_or(-1, |most| i64::try_from(most).unwrap_or(-1))], |row| {
            let due: i64 = row.get(3)?;
            Ok(Stored {
                queue: row.get(0)?,
                state: match row.get::<_, i64>(1)? {
                    HELD => State::Held,
                    DELAYED if due > now => State::Delayed,
                    _ => State::Ready,
                },
                deliveries: row.get(2)?,
                due: time(due),
                id: row.get(4)?,
                sent: time(row.get(5)?),
                headers: parse_headers(row.get_ref(6)?.as_str()?),
                body: row.get(7)?,
            })
        })?
        .collect()
}

/// What the namespace is said to be.
pub(super) fn description(connection: &Connection, namespace: &str) -> rusqlite::Result<Option<Value>> {
    connection
        .prepare_cached("SELECT description FROM namespace WHERE name = ?")?
        .query_row([namespace], |row| json(row, 0))
        .optional()
        .map(Option::flatten)
}

/// All namespaces, oldest first; `alive` tells whether the process of that name still runs.
pub(super) fn namespaces(
    connection: &Connection,
    alive: impl Fn(&str) -> bool,
) -> rusqlite::Result<Vec<NamespaceInfo>> {
    let mut namespaces = connection
        .prepare_cached(
            "SELECT n.name, n.created, n.description, p.name, p.pid
             FROM namespace n LEFT JOIN process p ON p.id = n.holder ORDER BY n.id",
        )?
        .query_map([], |row| {
            let holder: Option<String> = row.get(3)?;
            Ok(NamespaceInfo {
                name: row.get(0)?,
                created: time(row.get(1)?),
                census: Census::default(),
                description: json(row, 2)?,
                held_by: match holder {
                    Some(process) if alive(&process) => row.get(4)?,
                    _ => None,
                },
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for namespace in &mut namespaces {
        namespace.census = census(connection, &namespace.name)?;
    }
    Ok(namespaces)
}

fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Value>> {
    Ok(row.get_ref(column)?.as_str_or_null()?.map(parse_value))
}
