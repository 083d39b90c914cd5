//! How many transactions the database has seen, kept in it and beside it: if the file beside it knows of more, the
//! write-ahead log was cut, replaced or left out of a copy, and what it held is lost.
//!
//! A transaction is on the disk before the file beside it is written, so a power cut leaves that file behind, never ahead.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rusqlite::{Connection, OptionalExtension as _};
use uuid::Uuid;

/// One row. Programs that do not know the table leave it as it is.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS mark(
    database TEXT NOT NULL,                  -- which database: another one may lie here later
    commits INTEGER NOT NULL,
    lost INTEGER NOT NULL,                   -- transactions, all in all
    lost_at INTEGER NOT NULL)";

/// The file beside the database.
pub(super) struct Mark {
    file: File,
    database: String,
}

impl Mark {
    /// Compares the two counts; only under the writers' lock.
    pub(super) fn new(connection: &Connection, file: File, now: i64) -> rusqlite::Result<Self> {
        connection.execute(SCHEMA, [])?;
        let read = || {
            let row = "SELECT database, commits FROM mark";
            connection.query_row(row, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        };
        let (database, commits): (String, i64) = match read()? {
            Some(row) => row,
            None => {
                let database = Uuid::new_v4().to_string();
                connection.execute("INSERT INTO mark VALUES(?, 0, 0, 0)", [&database])?;
                (database, 0)
            }
        };
        let mark = Self { file, database };
        let lost = mark.read().map_or(0, |known| known.saturating_sub(commits));
        if lost > 0 {
            let update = "UPDATE mark SET commits = commits + ?1, lost = lost + ?1, lost_at = ?2";
            connection.execute(update, [lost, now])?;
        }
        Ok(mark)
    }

    /// What the file says of this database.
    fn read(&self) -> Option<i64> {
        let mut bytes = [0; 128];
        let length = self.file.read_at(&mut bytes, 0).ok()?;
        let (database, commits) = std::str::from_utf8(&bytes[..length]).ok()?.trim_end().split_once(' ')?;
        (database == self.database).then(|| commits.parse().ok()).flatten()
    }

    /// Counts the transaction that is under way.
    pub(super) fn count(connection: &Connection) -> rusqlite::Result<i64> {
        let sql = "UPDATE mark SET commits = commits + 1 RETURNING commits";
        connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
    }

    /// Writes the count down, after the transaction is on the disk.
    pub(super) fn write(&self, commits: i64) {
        // Without it a loss is not noticed; nothing is lost by it.
        let _ = self.file.write_at(format!("{} {commits:020}\n", self.database).as_bytes(), 0);
    }
}

/// How many transactions were lost, and when that was noticed last.
pub(super) fn losses(connection: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
    let has_table = "SELECT count(*) FROM sqlite_schema WHERE name = 'mark'";
    if connection.query_row(has_table, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    let row = "SELECT lost, lost_at FROM mark WHERE lost > 0";
    connection.query_row(row, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}
