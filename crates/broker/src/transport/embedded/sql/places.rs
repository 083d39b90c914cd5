//! Processes, namespaces and queues.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::rows::{Held, Return};
use super::{DELAYED, HELD, Ledger, READY, REMOVED};
use crate::message::{Code, Reason, is_dead_letter_queue};
use crate::transport::{Destination, Error};

impl Ledger {
    // Processes

    /// Registers this process.
    pub(in crate::transport::embedded) fn join(&mut self, name: &str, pid: u32) -> rusqlite::Result<()> {
        self.sql("INSERT INTO process(name, pid) VALUES(?, ?)")?.execute(params![name, pid])?;
        self.process = self.connection.last_insert_rowid();
        Ok(())
    }

    /// Registers this process once more, should someone have taken it for dead.
    pub(in crate::transport::embedded) fn rejoin(&mut self, name: &str, pid: u32) -> rusqlite::Result<()> {
        self.sql("INSERT OR IGNORE INTO process(id, name, pid) VALUES(?, ?, ?)")?
            .execute(params![self.process, name, pid])
            .map(drop)
    }

    /// Rows and names of all registered processes.
    pub(in crate::transport::embedded) fn processes(&self) -> rusqlite::Result<Vec<(i64, String)>> {
        self.sql("SELECT id, name FROM process")?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// Takes back everything from a process and strikes it off. Its messages count as delivered if it has `died`.
    pub(in crate::transport::embedded) fn part(&mut self, process: i64, died: bool) -> Result<(), Error> {
        let queues: Vec<i64> = self
            .sql("SELECT id FROM queue WHERE subscriber = ?")?
            .query_map([process], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for queue in queues {
            self.drop_queue(queue)?;
        }
        let held: Vec<Held> = self
            .sql(
                "SELECT q.namespace, q.id, q.name, m.seq, c.id, m.deliveries, c.sent, m.retries
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
                    retries: row.get(7)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        for held in &held {
            if died {
                let reason = Reason::new(Code::ConsumerDied, "the process that held it died");
                self.give_back(held, self.now, Some((Return::Died, &reason)))?;
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

    // Namespaces

    pub(super) fn namespace(&mut self, name: &Arc<str>) -> rusqlite::Result<Option<i64>> {
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
    pub(in crate::transport::embedded) fn namespace_made(&mut self, name: &Arc<str>) -> rusqlite::Result<i64> {
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
    pub(in crate::transport::embedded) fn changes(&self, name: &str) -> rusqlite::Result<u64> {
        let changes = self
            .sql("SELECT changes FROM namespace WHERE name = ?")?
            .query_row([name], |row| row.get::<_, i64>(0))
            .optional()?;
        Ok(changes.unwrap_or(0).cast_unsigned())
    }

    /// Stores what the namespace is.
    pub(in crate::transport::embedded) fn describe(
        &mut self,
        namespace: i64,
        description: &str,
    ) -> rusqlite::Result<()> {
        self.sql("UPDATE namespace SET description = ? WHERE id = ?")?.execute(params![description, namespace])?;
        self.touched.insert(namespace);
        Ok(())
    }

    /// The process that owns the namespace: its row, and its name if it is registered.
    pub(in crate::transport::embedded) fn owner(
        &self,
        namespace: i64,
    ) -> rusqlite::Result<Option<(i64, Option<String>)>> {
        self.sql(
            "SELECT n.holder, p.name FROM namespace n LEFT JOIN process p ON p.id = n.holder
             WHERE n.id = ? AND n.holder IS NOT NULL",
        )?
        .query_row([namespace], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
    }

    /// Makes this process the owner, or nobody.
    pub(in crate::transport::embedded) fn own(&mut self, namespace: i64, ours: bool) -> rusqlite::Result<()> {
        self.sql("UPDATE namespace SET holder = ? WHERE id = ?")?
            .execute(params![ours.then_some(self.process), namespace])?;
        self.touched.insert(namespace);
        Ok(())
    }

    /// Removes everything of a namespace.
    pub(in crate::transport::embedded) fn forget(&mut self, name: &Arc<str>) -> rusqlite::Result<()> {
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

    // Queues

    pub(super) fn queue(&mut self, namespace: i64, name: &str) -> rusqlite::Result<Option<i64>> {
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
    pub(in crate::transport::embedded) fn declare(&mut self, namespace: i64, name: &str) -> rusqlite::Result<i64> {
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
    pub(in crate::transport::embedded) fn listen(&mut self, namespace: i64, topic: &str) -> rusqlite::Result<i64> {
        self.sql("INSERT INTO queue(namespace, name, dead, subscriber) VALUES(?, ?, 0, ?)")?.execute(params![
            namespace,
            topic,
            self.process
        ])?;
        self.touched.insert(namespace);
        Ok(self.connection.last_insert_rowid())
    }

    pub(super) fn listeners(&self, namespace: i64, topic: &str) -> rusqlite::Result<Vec<i64>> {
        self.sql("SELECT id FROM queue WHERE namespace = ? AND name = ? AND subscriber IS NOT NULL")?
            .query_map(params![namespace, topic], |row| row.get(0))?
            .collect()
    }

    /// Whether the queue is still there.
    pub(in crate::transport::embedded) fn has_queue(&self, queue: i64) -> rusqlite::Result<bool> {
        self.sql("SELECT 1 FROM queue WHERE id = ?")?.exists([queue])
    }

    /// Removes a queue and what is in it.
    pub(in crate::transport::embedded) fn drop_queue(&mut self, queue: i64) -> rusqlite::Result<()> {
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
    pub(in crate::transport::embedded) fn purge(
        &mut self,
        name: &Arc<str>,
        queue: &str,
    ) -> rusqlite::Result<Option<u64>> {
        let Some(namespace) = self.namespace(name)? else { return Ok(None) };
        let Some(queue) = self.queue(namespace, queue)? else { return Ok(None) };
        let mut count = 0;
        for state in [READY, DELAYED] {
            self.sql("UPDATE inbox SET fate = ? WHERE seq IN (SELECT seq FROM message WHERE state = ? AND queue = ?)")?
                .execute([REMOVED, state, queue])?;
            self.sql("DELETE FROM content WHERE seq IN (SELECT seq FROM message WHERE state = ? AND queue = ?)")?
                .execute([state, queue])?;
            count += self.sql("DELETE FROM message WHERE state = ? AND queue = ?")?.execute([state, queue])?;
        }
        self.touched.insert(namespace);
        Ok(Some(count as u64))
    }
}
