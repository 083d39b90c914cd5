//! Opens the database: its schema, and what is wrong with a file that cannot be opened.

use std::path::Path;
use std::time::Duration;

use super::books::add_columns;
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Marks the file as ours: "zrcp".
const APPLICATION: i64 = 0x7a72_6370;

/// Counts up with every change of the schema.
const VERSION: i64 = 1;

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

/// Opens the database, for the first time of this process; only under the writers' lock.
pub(in crate::transport::embedded) fn open(path: &Path) -> Result<Connection, String> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| explain(&error))?;
    check(&connection)?;
    Ok(connection)
}

/// A second connection, which only reads.
pub(in crate::transport::embedded) fn open_reader(path: &Path) -> Result<Connection, String> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| explain(&error))?;
    // The first read takes part in recovery after a crash, which is better done under the lock.
    user_version(&connection).map_err(|error| explain(&error))?;
    Ok(connection)
}

/// A connection that reads where nothing can be written: a full disk, or a file system that is read-only.
pub(in crate::transport::embedded) fn open_only_to_read(path: &Path) -> Result<Connection, String> {
    let connection = open_reader(path)?;
    check_kind(&connection)?;
    Ok(connection)
}

/// A connection to a copy of a database that cannot be opened where it is.
pub(in crate::transport::embedded) fn open_copy(path: &Path) -> Result<Connection, String> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| explain(&error))?;
    check_kind(&connection)?;
    Ok(connection)
}

/// What is wrong inside of the database, in SQLite's words.
pub(in crate::transport::embedded) fn damages(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA quick_check(5)")?;
    let found: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
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
        return Err("the file is a database of another program; choose another directory with `--state DIR`".to_owned());
    }
    if version > VERSION {
        return Err(format!(
            "it was written by a newer zrecipe (schema {version}, this version supports {VERSION}); use that version \
             or choose another directory with `--state DIR`"
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
                "SQLite cannot keep a write-ahead log there; choose another directory with `--state DIR`".to_owned()
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
    add_columns(connection).map_err(explain)
}

/// Lets transactions of this connection end before the disk has them.
pub(in crate::transport::embedded) fn forgo_durability(connection: &Connection) -> Result<(), String> {
    connection.pragma_update(None, "synchronous", "off").map_err(|error| explain(&error))
}

/// What is wrong with the file, and what to do about it.
fn explain(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            "the file is not a database; move it away or choose another directory with `--state DIR`".to_owned()
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            "the database is damaged; move it away to start with an empty one".to_owned()
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            format!("{error}; choose a writable directory with `--state DIR`")
        }
        _ => error.to_string(),
    }
}
