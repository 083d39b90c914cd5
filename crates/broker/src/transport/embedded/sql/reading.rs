//! Reads the database on the second connection, which takes no part in writing.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{json, now, parse_headers, time};
use super::{DELAYED, HELD, READY};
use crate::transport::Destination;
use crate::transport::embedded::{Census, Conclusion, NamespaceInfo, QueueInfo, Record, State, Stored};
use zrecipe_language::value::Value;

/// The ids of all messages.
pub(in crate::transport::embedded) fn message_ids(connection: &Connection) -> rusqlite::Result<HashSet<String>> {
    connection.prepare("SELECT id FROM content")?.query_map([], |row| row.get(0))?.collect()
}

/// How many messages a namespace has.
pub(in crate::transport::embedded) fn census(connection: &Connection, namespace: &str) -> rusqlite::Result<Census> {
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
pub(in crate::transport::embedded) fn history(
    connection: &Connection,
    namespace: &str,
) -> rusqlite::Result<Vec<Record>> {
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
                verdict: Conclusion::parse(row.get_ref(6)?.as_str()?),
                reason: row.get(7)?,
                note: json(row, 8)?,
            })
        })?
        .collect()
}

/// The queues of a namespace by name; rates are those of the last minute.
pub(in crate::transport::embedded) fn queues(
    connection: &Connection,
    namespace: &str,
) -> rusqlite::Result<Vec<QueueInfo>> {
    const LATELY: i64 = 60;
    // Rates are of interest on a busy broker, where a minute is within so many records.
    const MOST_RECORDS: i64 = 100_000;
    let now = now();
    let since = now - LATELY * 1_000_000;
    let mut rates: HashMap<String, (u64, u64)> = HashMap::new();
    let mut statement = connection.prepare_cached(
        "SELECT h.source, sum(h.sent >= ?2), count(*) FROM namespace n CROSS JOIN history h ON h.namespace = n.id
         WHERE n.name = ?1 AND h.number > (SELECT max(number) FROM history) - ?3
         AND h.at >= ?2 AND NOT h.topic AND h.verdict <> ?4 GROUP BY h.source",
    )?;
    let mut rows = statement.query(params![namespace, since, MOST_RECORDS, Conclusion::Retried.as_str()])?;
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
pub(in crate::transport::embedded) fn waiting(
    connection: &Connection,
    namespace: &str,
    queue: &str,
) -> rusqlite::Result<Option<u64>> {
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
pub(in crate::transport::embedded) fn messages(
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
pub(in crate::transport::embedded) fn description(
    connection: &Connection,
    namespace: &str,
) -> rusqlite::Result<Option<Value>> {
    connection
        .prepare_cached("SELECT description FROM namespace WHERE name = ?")?
        .query_row([namespace], |row| json(row, 0))
        .optional()
        .map(Option::flatten)
}

/// All namespaces, oldest first; `alive` tells whether the process of that name still runs.
pub(in crate::transport::embedded) fn namespaces(
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
