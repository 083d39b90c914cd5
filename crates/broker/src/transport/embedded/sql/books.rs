//! The books of a broker file: kept beside the ids that were taken in, and read in one look.
//!
//! The columns are added to files of earlier versions, which write and read the tables as before: what they take in is in
//! no book, and what they settle is found in the history. The books go back as far as ids are remembered.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use super::rows::time;
use super::{DELAYED, FINISHED, HELD, READY};
use crate::books::{Account, Missing};
use crate::message::is_dead_letter_queue;
use crate::transport::embedded::Conclusion;

/// What the books add to the table `inbox`. Broadcasts have no queue.
const COLUMNS: [(&str, &str); 4] = [("queue", "INTEGER"), ("recipe", "TEXT"), ("step", "INTEGER"), ("fate", "INTEGER")];

/// Adds the columns that a file of an earlier version lacks; only under the writers' lock.
pub(super) fn add_columns(connection: &Connection) -> rusqlite::Result<()> {
    let retries = ("message", ("retries", "INTEGER NOT NULL DEFAULT 0"));
    for (table, (name, kind)) in COLUMNS.map(|column| ("inbox", column)).into_iter().chain([retries]) {
        if !has_column(connection, table, name)? {
            connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {name} {kind}"))?;
        }
    }
    Ok(())
}

fn has_column(connection: &Connection, table: &str, name: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM pragma_table_info(?) WHERE name = ?")?.exists([table, name])
}

/// The books of all namespaces, by recipe ID; nothing for a file that only earlier versions have written.
pub(in crate::transport::embedded) fn accounts(connection: &Connection) -> rusqlite::Result<Vec<Account>> {
    for (name, _) in COLUMNS {
        if !has_column(connection, "inbox", name)? {
            return Ok(Vec::new());
        }
    }
    // All of it as of one moment.
    let connection = connection.unchecked_transaction()?;
    let states: HashMap<i64, i64> = connection
        .prepare_cached(
            "SELECT m.seq, CASE WHEN q.dead THEN 3 ELSE m.state END
             FROM message m JOIN queue q ON q.id = m.queue JOIN content c ON c.seq = m.seq
             WHERE q.subscriber IS NULL",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut accounts: BTreeMap<Option<String>, Account> = BTreeMap::new();
    let mut absent: HashMap<(i64, String), (Option<String>, Missing)> = HashMap::new();
    let mut statement = connection.prepare_cached(
        "SELECT i.seq, i.recipe, i.fate, i.namespace, i.id, i.step, i.at, coalesce(q.name, '')
         FROM inbox i LEFT JOIN queue q ON q.id = i.queue WHERE i.queue IS NOT NULL ORDER BY i.seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let recipe: Option<String> = row.get(1)?;
        let account = accounts.entry(recipe.clone()).or_default();
        account.accepted += 1;
        match (states.get(&row.get(0)?), row.get::<_, Option<i64>>(2)?) {
            (Some(&HELD), _) => account.running += 1,
            (Some(&(READY | DELAYED)), _) => account.queued += 1,
            (Some(_), _) => account.dead += 1,
            (None, Some(FINISHED)) => account.finished += 1,
            (None, Some(_)) => account.removed += 1,
            (None, None) => {
                let id: String = row.get(4)?;
                let accepted = time(row.get(6)?);
                let missing = Missing { id: id.clone(), queue: row.get(7)?, step: row.get(5)?, accepted };
                absent.insert((row.get(3)?, id), (recipe, missing));
            }
        }
    }
    drop(rows);
    if !absent.is_empty() {
        // Earlier versions settle without a word in the books.
        let mut statement = connection.prepare_cached("SELECT namespace, id, source FROM history WHERE verdict = ?")?;
        let mut rows = statement.query([Conclusion::Accepted.as_str()])?;
        while let Some(row) = rows.next()? {
            if is_dead_letter_queue(row.get_ref(2)?.as_str()?) {
                continue;
            }
            if let Some((recipe, _)) = absent.remove(&(row.get(0)?, row.get(1)?)) {
                accounts.entry(recipe).or_default().finished += 1;
            }
        }
    }
    for (recipe, missing) in absent.into_values() {
        accounts.entry(recipe).or_default().missing.push(missing);
    }
    Ok(accounts
        .into_iter()
        .map(|(recipe_id, mut account)| {
            account.missing.sort_by(|a, b| (a.accepted, &a.id).cmp(&(b.accepted, &b.id)));
            Account { recipe_id, ..account }
        })
        .collect())
}
