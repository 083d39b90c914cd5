//! What is written into rows and read from them: times, JSON columns, messages.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::Row;

use crate::message::RecipeStep;
use crate::transport::{Destination, Outgoing, Settlement, Verdict};
use zrecipe_language::value::{Object, Value};

/// Now.
pub(in crate::transport::embedded) fn now() -> i64 {
    micros(SystemTime::now())
}

fn micros(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, span)
}

pub(super) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn time(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Headers as they were written by [`Value::to_json`].
pub(super) fn parse_headers(text: &str) -> Object {
    match parse_value(text) {
        Value::Object(headers) => headers,
        _ => Object::new(),
    }
}

/// A JSON column as it was written by [`Value::to_json`].
fn parse_value(text: &str) -> Value {
    zrecipe_language::syntax::json::read_value(text.as_bytes()).unwrap_or_default()
}

pub(super) fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Value>> {
    Ok(row.get_ref(column)?.as_str_or_null()?.map(parse_value))
}

/// A message ready to be written.
#[derive(Debug)]
pub(in crate::transport::embedded) struct Parcel {
    pub(super) id: String,
    pub(super) destination: Destination,
    pub(super) delay: i64,
    pub(super) expiration: Option<i64>,
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
    pub(super) recipe: Option<String>,
    pub(super) step: Option<i64>,
}

impl Parcel {
    pub(in crate::transport::embedded) fn new(message: Outgoing) -> Self {
        let (recipe, step) = match RecipeStep::of(&message) {
            Some(RecipeStep { recipe_id, step }) => (recipe_id, Some(step)),
            None => (None, None),
        };
        Self {
            recipe,
            step,
            id: message.id,
            destination: message.destination,
            delay: message.delay.map_or(0, span),
            expiration: message.expiration.map(span),
            headers: Value::Object(message.headers).to_json(),
            body: message.body,
        }
    }

    /// In bytes, headers included.
    pub(in crate::transport::embedded) fn size(&self) -> usize {
        self.headers.len() + self.body.len()
    }

    pub(in crate::transport::embedded) fn destination(&self) -> &str {
        self.destination.name()
    }

    /// The queue that the books name; broadcasts are in no book.
    pub(super) fn queue(&self, queues: &[i64]) -> Option<i64> {
        matches!(self.destination, Destination::Queue(_)).then(|| queues.first().copied()).flatten()
    }
}

/// A message that a subscription of this process holds.
#[derive(Debug, Clone)]
pub(in crate::transport::embedded) struct Held {
    pub(in crate::transport::embedded) namespace: i64,
    pub(in crate::transport::embedded) queue: i64,
    pub(in crate::transport::embedded) source: Destination,
    pub(in crate::transport::embedded) seq: i64,
    pub(in crate::transport::embedded) id: String,
    pub(in crate::transport::embedded) deliveries: i64,
    /// How often a retry brought it back.
    pub(in crate::transport::embedded) retries: i64,
    pub(in crate::transport::embedded) sent: i64,
}

/// How a settlement ends, ready to be written.
#[derive(Debug)]
pub(in crate::transport::embedded) struct Ending {
    pub(super) verdict: Verdict,
    pub(in crate::transport::embedded) outputs: Vec<Parcel>,
    pub(super) note: Option<String>,
}

impl Ending {
    pub(in crate::transport::embedded) fn new(settlement: Settlement) -> Self {
        Self {
            verdict: settlement.verdict,
            outputs: settlement.outputs.into_iter().map(Parcel::new).collect(),
            note: settlement.note.map(|note| note.to_json()),
        }
    }
}

/// A message just claimed.
pub(in crate::transport::embedded) struct Claim {
    pub(in crate::transport::embedded) seq: i64,
    pub(in crate::transport::embedded) deliveries: i64,
    pub(in crate::transport::embedded) retries: i64,
    pub(in crate::transport::embedded) id: String,
    pub(in crate::transport::embedded) sent: i64,
    pub(in crate::transport::embedded) headers: Object,
    pub(in crate::transport::embedded) body: Vec<u8>,
}

impl Claim {
    pub(in crate::transport::embedded) fn sent(&self) -> SystemTime {
        time(self.sent)
    }
}

/// Why a message comes back. Each has a limit of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Return {
    /// The process that held it died.
    Died,
    /// Its service wants it once more.
    Retried,
}
