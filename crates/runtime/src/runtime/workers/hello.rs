//! What a worker says of itself in its first `pong`.

use zrecipe_language::value::Value;

/// What a worker says of itself in its first `pong`. One of the first edition says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// Edition of the protocol that it speaks.
    pub edition: i64,
    /// Display name of the service.
    pub name: Option<String>,
    /// Name of the class.
    pub class: Option<String>,
    /// Whether it says with which message it begins.
    pub begins: bool,
    /// Queues that it takes messages from, with the maximum number of messages that it holds of each.
    pub queues: Vec<(String, u16)>,
}

impl Hello {
    /// Reads it.
    pub(super) fn read(pong: &Value) -> Self {
        let text = |key: &str| pong.get(key).and_then(Value::as_str).map(str::to_owned);
        let queues = pong.get("queues").and_then(Value::as_array).unwrap_or_default();
        let queues = queues.iter().filter_map(|queue| {
            let prefetch = queue.get("prefetch").and_then(Value::as_i64).unwrap_or(1).max(1);
            Some((queue.get("queue")?.as_str()?.to_owned(), u16::try_from(prefetch).unwrap_or(u16::MAX)))
        });
        Self {
            edition: pong.get("edition").and_then(Value::as_i64).unwrap_or(1),
            name: text("name"),
            class: text("class"),
            begins: pong.get("begins") == Some(&Value::Bool(true)),
            queues: queues.collect(),
        }
    }

    /// Whether it speaks the second edition.
    pub fn is_second(&self) -> bool {
        self.edition >= 2
    }

    /// How many messages it holds at a time, if it says so.
    pub(super) fn prefetch(&self) -> Option<u16> {
        let sum = self.queues.iter().fold(0, |sum: u16, (_, prefetch)| sum.saturating_add(*prefetch));
        (sum > 0).then_some(sum)
    }
}
