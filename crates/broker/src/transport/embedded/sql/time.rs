//! The passing of time: delays that end, messages that expire, history that is old.

use std::time::Duration;

use super::Ledger;
use super::rows::{Held, span};
use crate::message::{Cause, Code, Reason};
use crate::transport::embedded::Conclusion;
use crate::transport::{Destination, Error};

/// How many old rows one transaction removes at most.
const PRUNED_AT_ONCE: usize = 2_000;

impl Ledger {
    /// When the next delay ends or the next message expires, at the earliest.
    pub(in crate::transport::embedded) fn next_event(&mut self) -> rusqlite::Result<Option<i64>> {
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
    pub(in crate::transport::embedded) fn pass_time(&mut self) -> Result<(), Error> {
        if self.next_event()?.is_none_or(|at| at > self.now) {
            return Ok(());
        }
        self.horizon = None;
        let expired: Vec<(i64, bool, Held)> = self
            .sql(
                "SELECT m.state, q.namespace, m.queue, q.name, q.subscriber IS NOT NULL, m.seq, c.id, m.deliveries, c.sent,
                 m.retries
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
                    retries: row.get(9)?,
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
                self.record(&message, Conclusion::DeadLettered, Some(Cause::Expired.as_str()), None)?;
                let reason = Reason::new(Code::Expired, "it expired before a consumer took it");
                self.bury(state, &message, (Cause::Expired, &reason))?;
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
    pub(in crate::transport::embedded) fn prune(
        &mut self,
        inbox: Duration,
        history: Duration,
    ) -> rusqlite::Result<bool> {
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
