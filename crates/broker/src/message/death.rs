//! The deaths of a message as RabbitMQ writes them: header `x-death`.

use super::headers::DEATHS;
use super::names::source_of_dead_letters;
use super::reason::Reason;
use zrecipe_language::value::{Object, Value};

/// Member of a death: how often the message died so in this queue.
pub const COUNT: &str = "count";
/// Member of a death: a [`Cause`].
pub const REASON: &str = "reason";
/// Member of a death: the queue in which it died.
pub const QUEUE: &str = "queue";
/// Member of a death: the exchange by which it had come there.
pub const EXCHANGE: &str = "exchange";
/// Member of a death: the keys by which it had come there.
pub const ROUTING_KEYS: &str = "routing-keys";
/// Member of a death: when, in seconds since 1970.
pub const TIME: &str = "time";

/// Why a message left its queue for the dead letters, in RabbitMQ's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// A consumer rejected it.
    Rejected,
    /// It was delivered too often.
    DeliveryLimit,
    /// It was too old, or has waited for the end of a delay.
    Expired,
    /// The queue was full.
    MaxLength,
}

impl Cause {
    const ALL: [Self; 4] = [Self::Rejected, Self::DeliveryLimit, Self::Expired, Self::MaxLength];

    /// The word as the wire has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::DeliveryLimit => "delivery_limit",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
        }
    }
}

/// How a message died last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Death {
    /// The queue in which it died.
    pub queue: Option<String>,
    /// The exchange by which it had come there.
    pub exchange: String,
    /// The broker's word for the cause.
    pub reason: Option<String>,
    /// When, in seconds since 1970.
    pub time: Option<i64>,
}

impl Death {
    /// The newest death that is no wait, by the headers and the dead-letter queue in which the message lies.
    pub fn read(headers: &Object, dead_letters: Option<&str>) -> Self {
        let deaths = headers.get(DEATHS).and_then(Value::as_array).unwrap_or_default();
        let text = |death: &Value, key: &str| death.get(key).and_then(Value::as_str).map(str::to_owned);
        let is_wait = |death: &&Value| text(death, REASON).as_deref() == Some(Cause::Expired.as_str());
        let death = deaths.iter().find(|death| !is_wait(death)).or_else(|| deaths.first());
        let own = || dead_letters.and_then(source_of_dead_letters).map(str::to_owned);
        let Some(death) = death else { return Self { queue: own(), ..Self::default() } };
        Self {
            queue: text(death, QUEUE).or_else(own),
            exchange: text(death, EXCHANGE).unwrap_or_default(),
            reason: text(death, REASON),
            time: death.get(TIME).and_then(|time| match time {
                Value::Number(number) => Some(number.as_f64() as i64),
                _ => None,
            }),
        }
    }

    /// The cause, where the broker's word is known here.
    pub fn cause(&self) -> Option<Cause> {
        let word = self.reason.as_deref()?;
        Cause::ALL.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// Adds a death to the headers of a dead letter as RabbitMQ does, the newest first and the same death counted up, and the
/// reason. `time` is in seconds since 1970.
pub fn record_death(headers: &mut Object, queue: &str, cause: Cause, reason: &Reason, time: i64) {
    let mut deaths = match headers.shift_remove(DEATHS) {
        Some(Value::Array(deaths)) => deaths,
        _ => Vec::new(),
    };
    let same = |entry: &Value| {
        entry.get(QUEUE).and_then(Value::as_str) == Some(queue)
            && entry.get(REASON).and_then(Value::as_str) == Some(cause.as_str())
    };
    let before = deaths.iter().position(same).map(|at| deaths.remove(at));
    let count = before.and_then(|entry| entry.get(COUNT)?.as_i64()).unwrap_or(0);
    let death = Value::from([
        (COUNT, Value::from(count.saturating_add(1))),
        (REASON, Value::from(cause.as_str())),
        (QUEUE, Value::from(queue)),
        (EXCHANGE, Value::from("")),
        (ROUTING_KEYS, Value::from(vec![queue])),
        (TIME, Value::from(time)),
    ]);
    deaths.insert(0, death);
    headers.insert(DEATHS.to_owned(), Value::Array(deaths));
    reason.write(headers);
}
