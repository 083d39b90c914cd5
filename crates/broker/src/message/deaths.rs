//! Headers of dead letters: how often a message died, of what, and why.

use zrecipe_language::value::{Object, Value};

/// What the name of a queue with dead letters begins with, before that of their queue.
pub const DEAD_LETTERS: &str = "dlq.";

/// Whether a queue is one with dead letters.
pub fn is_dead_letter_queue(queue: &str) -> bool {
    queue.starts_with(DEAD_LETTERS)
}

/// The queue with the dead letters of a queue; those of dead letters stay where they are.
pub fn dead_letter_queue(queue: &str) -> String {
    if is_dead_letter_queue(queue) { queue.to_owned() } else { format!("{DEAD_LETTERS}{queue}") }
}

/// Adds to the headers of a dead letter what RabbitMQ would add: the newest death first, the same death counted up.
/// `cause` is `rejected`, `delivery_limit` or `expired`; `time` is in seconds since 1970.
pub fn note_death(headers: &mut Object, queue: &str, cause: &str, reason: &str, time: i64) {
    let mut deaths = match headers.shift_remove("x-death") {
        Some(Value::Array(deaths)) => deaths,
        _ => Vec::new(),
    };
    let same = |entry: &Value| {
        entry.get("queue").and_then(Value::as_str) == Some(queue)
            && entry.get("reason").and_then(Value::as_str) == Some(cause)
    };
    let before = deaths.iter().position(same).map(|at| deaths.remove(at));
    let count = before.and_then(|entry| entry.get("count")?.as_i64()).unwrap_or(0);
    let death = Value::from([
        ("count", Value::from(count.saturating_add(1))),
        ("reason", Value::from(cause)),
        ("queue", Value::from(queue)),
        ("exchange", Value::from("")),
        ("routing-keys", Value::from(vec![queue])),
        ("time", Value::from(time)),
    ]);
    deaths.insert(0, death);
    headers.insert("x-death".to_owned(), Value::Array(deaths));
    headers.insert("zrecipe-reason".to_owned(), Value::from(reason));
}
