//! Sends, claims and settles messages.

use std::sync::Arc;

use rusqlite::params;

use super::rows::{Claim, Ending, Held, Parcel, Return, parse_headers, span};
use super::{DELAYED, FINISHED, HELD, Ledger, READY, REMOVED};
use crate::message::{Cause, Code, Reason, dead_letter_queue, is_dead_letter_queue, record_death};
use crate::transport::embedded::Conclusion;
use crate::transport::{Destination, Error, Verdict};
use zrecipe_language::value::Value;

impl Ledger {
    /// Sends messages, all or none.
    pub(in crate::transport::embedded) fn send(
        &mut self,
        namespace: &Arc<str>,
        parcels: &[Parcel],
    ) -> Result<Vec<String>, Error> {
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
                .sql(
                    "INSERT INTO inbox(seq, namespace, id, at, queue, recipe, step) VALUES(?, ?, ?, ?, ?, ?, ?)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    seq,
                    namespace,
                    parcel.id,
                    self.now,
                    parcel.queue(queues),
                    parcel.recipe,
                    parcel.step
                ])?;
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
    pub(in crate::transport::embedded) fn has_ready(&self, queue: i64) -> rusqlite::Result<bool> {
        self.sql("SELECT 1 FROM message WHERE state = 0 AND queue = ?")?.exists([queue])
    }

    /// Claims up to `most` messages of the queue for this process, oldest first.
    pub(in crate::transport::embedded) fn claim(
        &mut self,
        namespace: i64,
        queue: i64,
        most: usize,
    ) -> rusqlite::Result<Vec<Claim>> {
        let claims: Vec<Claim> = self
            .sql(
                "SELECT m.seq, m.deliveries + 1, c.id, c.sent, c.headers, c.body, m.retries
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
                    retries: row.get(6)?,
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
    pub(in crate::transport::embedded) fn settle(
        &mut self,
        held: &Held,
        ending: &Ending,
    ) -> Result<Vec<String>, Error> {
        let places = self.places(Some(held.namespace), &ending.outputs)?;
        if !self.holds(held)? {
            return Err(Error::NotHeld);
        }
        let (conclusion, reason) = match &ending.verdict {
            Verdict::Accept => (Some(Conclusion::Accepted), None),
            Verdict::Retry { reason, .. } => (Some(Conclusion::Retried), Some(reason.as_str())),
            Verdict::DeadLetter { reason } => (Some(Conclusion::DeadLettered), Some(reason.text.as_str())),
            Verdict::Requeue { .. } | Verdict::Release => (None, None),
        };
        if let Some(conclusion) = conclusion {
            self.record(held, conclusion, reason, ending.note.as_deref())?;
        }
        match &ending.verdict {
            Verdict::Accept => {
                let is_letter = is_dead_letter_queue(held.source.name());
                let fate = if is_letter { REMOVED } else { FINISHED };
                self.sql("UPDATE inbox SET fate = ? WHERE seq = ?")?.execute([fate, held.seq])?;
                self.remove(held)?;
            }
            Verdict::Retry { after, reason } => {
                let reason = Reason::new(Code::RetriesExhausted, reason.as_str());
                self.give_back(held, self.now.saturating_add(span(*after)), Some((Return::Retried, &reason)))?;
            }
            Verdict::DeadLetter { reason } => self.bury(HELD, held, (Cause::Rejected, reason))?,
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
    pub(in crate::transport::embedded) fn release(&mut self, held: &Held) -> Result<(), Error> {
        if self.holds(held)? {
            self.give_back(held, self.now, None)?;
        }
        Ok(())
    }

    /// Puts a held message back to its place in its queue. With `counted` the delivery counts, and once there were more such
    /// returns than the limit the message dies of it for this reason; without, the delivery has not happened.
    pub(super) fn give_back(&mut self, held: &Held, due: i64, counted: Option<(Return, &Reason)>) -> Result<(), Error> {
        let (deliveries, retries) = match &counted {
            None => (held.deliveries - 1, held.retries),
            Some((Return::Died, _)) => (held.deliveries, held.retries),
            Some((Return::Retried, _)) => (held.deliveries, held.retries + 1),
        };
        let returns = |kind: Return| match kind {
            Return::Died => deliveries - retries,
            Return::Retried => retries,
        };
        if let Some((kind, reason)) = counted
            && returns(kind) > self.limit
            && !is_dead_letter_queue(held.source.name())
        {
            let cause = Cause::DeliveryLimit;
            self.record(held, Conclusion::DeadLettered, Some(&format!("{}: {reason}", cause.as_str())), None)?;
            return self.bury(HELD, held, (cause, reason));
        }
        let state = if due > self.now { DELAYED } else { READY };
        self.sql(
            "UPDATE message SET state = ?, holder = NULL, deliveries = ?, retries = ?, due = ?
             WHERE state = 2 AND queue = ? AND seq = ?",
        )?
        .execute([state, deliveries, retries, due, held.queue, held.seq])?;
        self.touched.insert(held.namespace);
        self.stirred.insert(held.queue);
        self.delayed |= state == DELAYED;
        // It may be late, and it may have a time to live.
        self.horizon = None;
        Ok(())
    }

    /// Moves a message to its dead-letter queue.
    pub(super) fn bury(&mut self, state: i64, message: &Held, (cause, reason): (Cause, &Reason)) -> Result<(), Error> {
        let source = message.source.name();
        let grave = self.declare(message.namespace, &dead_letter_queue(source))?;
        let headers: String =
            self.sql("SELECT headers FROM content WHERE seq = ?")?.query_row([message.seq], |row| row.get(0))?;
        let mut headers = parse_headers(&headers);
        record_death(&mut headers, source, cause, reason, self.now / 1_000_000);
        self.sql("UPDATE content SET headers = ? WHERE seq = ?")?
            .execute(params![Value::Object(headers).to_json(), message.seq])?;
        self.sql(
            "UPDATE message SET state = 0, queue = ?, holder = NULL, deliveries = 0, retries = 0, due = ?, expires = NULL
             WHERE state = ? AND queue = ? AND seq = ?",
        )?
        .execute([grave, self.now, state, message.queue, message.seq])?;
        self.touched.insert(message.namespace);
        self.stirred.insert(grave);
        Ok(())
    }

    pub(super) fn record(
        &mut self,
        held: &Held,
        conclusion: Conclusion,
        reason: Option<&str>,
        note: Option<&str>,
    ) -> rusqlite::Result<()> {
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
            conclusion.as_str(),
            reason,
            note
        ])?;
        self.touched.insert(held.namespace);
        Ok(())
    }
}
