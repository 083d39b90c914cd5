//! Our messages as AMQP knows them and back: headers, properties, and the story of a dead letter.
//!
//! AMQP has no JSON: a number that fits none of its types, and text that is no Unicode, travel as JSON text. Headers
//! lose their order.
//!
//! Submodules: `headers` (what is counted in them, and whose they are), `properties` (what else a sender says), `values`
//! (JSON and AMQP).

mod headers;
mod properties;
mod values;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

use self::headers::{death_is, field, own_headers};
pub(super) use self::headers::{deliveries, headers, is_renewed, retries, returns, sent};
pub(super) use self::properties::said;
use self::properties::{fresh, say};
use self::values::{integer, to_table};
use crate::message::headers::{
    ACQUIRED_COUNT, DEATHS, DELAY, DELIVERY_COUNT, FIRST_DEATH, REASON, REASON_CODE, RENEWED, RETRIES,
};
use crate::message::{Cause, Destination, Outgoing, Reason, dead_letter_queue, death};
use crate::transport::Error;
use zrecipe_language::value::Object;

/// Longer ones cannot be named.
const LONGEST_NAME: usize = 255;

/// The longest frame, in bytes: what RabbitMQ proposes. Longer bodies go in several, but the headers of a message in one,
/// and RabbitMQ sends that whatever we ask for: less would make a queue with such a message one that cannot be read. The
/// library keeps room for 64 of them on each connection.
pub(super) const LONGEST_FRAME: u32 = 128 << 10;

/// Every broker takes bodies up to here, in bytes: RabbitMQ 4 takes 16 MiB unless it is told otherwise.
const UNDOUBTED_BYTES: usize = 8 << 20;

/// Beyond this a reason is cut.
const MOST_REASON_BYTES: usize = 4_000;

/// A message as it is published.
#[derive(Clone)]
pub(super) struct Parcel {
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    /// Whether it must reach a queue.
    pub(super) mandatory: bool,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
    pub(super) destination: Destination,
}

impl Parcel {
    /// Addresses a message. Its delay is the caller's business.
    pub(super) fn new(message: Outgoing) -> Result<Self, Error> {
        let refused = |reason: String| unsendable(message.destination.name(), reason);
        let headers = to_table(&message.headers, &message.properties).map_err(refused)?;
        let (exchange, key, mandatory) = match (&message.destination, &message.exchange) {
            (Destination::Queue(queue), exchange) => (exchange.as_deref().unwrap_or_default(), queue.as_str(), true),
            (Destination::Topic(topic), None) => (topic.as_str(), "", false),
            (Destination::Topic(topic), Some(exchange)) => (exchange.as_str(), topic.as_str(), false),
        };
        let mut properties = say(&message.properties)
            .map_err(refused)?
            .with_delivery_mode(2)
            .with_message_id(short(&message.id).map_err(refused)?)
            .with_headers(headers);
        if properties.timestamp().is_none() {
            properties = properties.with_timestamp(seconds(SystemTime::now()));
        }
        if let Some(expiration) = message.expiration {
            properties = properties.with_expiration(short(&millis(expiration).to_string()).map_err(refused)?);
        }
        Ok(Self {
            exchange: short(exchange).map_err(refused)?,
            key: short(key).map_err(refused)?,
            mandatory,
            properties,
            body: message.body,
            destination: message.destination,
        })
    }

    /// A delivered message once more for the same queue.
    pub(super) fn again(queue: &str, id: &str, found: &BasicProperties, body: &[u8]) -> Result<Self, Error> {
        let mut headers = own_headers(found);
        headers.insert(RETRIES.to_owned(), AMQPValue::LongLongInt(i64::from(retries(found)) + 1));
        Self::copy(queue, id, found, body, headers)
    }

    /// A delivered message once more for the same queue, with the retries it has had so far.
    pub(super) fn uncounted(queue: &str, id: &str, found: &BasicProperties, body: &[u8]) -> Result<Self, Error> {
        let mut headers = own_headers(found);
        headers.insert(RENEWED.to_owned(), AMQPValue::Boolean(true));
        if let before @ 1.. = retries(found) {
            headers.insert(RETRIES.to_owned(), AMQPValue::LongLongInt(i64::from(before)));
        }
        Self::copy(queue, id, found, body, headers)
    }

    /// A delivered message for the dead letters of its queue. It tells its story as RabbitMQ would, and why it died.
    pub(super) fn dead(
        queue: &str,
        id: &str,
        found: &BasicProperties,
        body: &[u8],
        (exchange, key): (&str, &str),
        (cause, reason): (Cause, &Reason),
    ) -> Result<Self, Error> {
        let cause = cause.as_str();
        let mut headers = own_headers(found);
        let text = |text: &str| AMQPValue::LongString(text.into());
        let mut deaths: Vec<AMQPValue> = match headers.remove(DEATHS) {
            Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice().to_vec(),
            _ => Vec::new(),
        };
        let same = deaths
            .iter()
            .position(|death| death_is(death, death::QUEUE, queue) && death_is(death, death::REASON, cause));
        let before = same.map(|place| deaths.remove(place));
        let count =
            before.as_ref().and_then(|death| field(death, death::COUNT)).map_or(0, |count| integer(count).unwrap_or(0));
        let death = BTreeMap::from([
            (death::COUNT.into(), AMQPValue::LongLongInt(count + 1)),
            (death::EXCHANGE.into(), text(exchange)),
            (death::QUEUE.into(), text(queue)),
            (death::REASON.into(), text(cause)),
            (death::ROUTING_KEYS.into(), AMQPValue::FieldArray(vec![text(key)].into())),
            (death::TIME.into(), AMQPValue::Timestamp(seconds(SystemTime::now()))),
        ]);
        deaths.insert(0, AMQPValue::FieldTable(death.into()));
        headers.insert(DEATHS.to_owned(), AMQPValue::FieldArray(deaths.into()));
        for (name, value) in [(death::EXCHANGE, exchange), (death::QUEUE, queue), (death::REASON, cause)] {
            headers.entry(format!("{FIRST_DEATH}{name}")).or_insert_with(|| text(value));
        }
        // Whatever a service says, the message has to get there.
        let cut = reason.text.floor_char_boundary(MOST_REASON_BYTES);
        headers.insert(REASON.to_owned(), text(&reason.text[..cut]));
        headers.insert(REASON_CODE.to_owned(), text(reason.code.as_str()));
        Self::copy(&dead_letter_queue(queue), id, found, body, headers)
    }

    /// A delivered message as it was, for the same queue: only that nobody has counted its deliveries.
    pub(super) fn renewed(queue: &str, found: &BasicProperties, body: &[u8]) -> Result<Self, Error> {
        let mut headers = found.headers().clone().unwrap_or_default().inner().clone();
        headers.retain(|name, _| ![DELIVERY_COUNT, ACQUIRED_COUNT].contains(&name.as_str()));
        let mut properties = fresh(found).with_delivery_mode(2);
        if let Some(expiration) = found.expiration() {
            properties = properties.with_expiration(expiration.clone());
        }
        if found.message_id().is_none() {
            headers.insert(RENEWED.into(), AMQPValue::Boolean(true));
        }
        Ok(Self {
            exchange: ShortString::default(),
            key: short(queue).map_err(|reason| unsendable(queue, reason))?,
            mandatory: true,
            properties: properties.with_headers(headers.into()),
            body: body.to_vec(),
            destination: Destination::Queue(queue.to_owned()),
        })
    }

    fn copy(
        queue: &str,
        id: &str,
        found: &BasicProperties,
        body: &[u8],
        headers: BTreeMap<String, AMQPValue>,
    ) -> Result<Self, Error> {
        let refused = |reason: String| unsendable(queue, reason);
        let headers: BTreeMap<ShortString, AMQPValue> = headers
            .into_iter()
            .map(|(name, value)| Ok((short(&name)?, value)))
            .collect::<Result<_, _>>()
            .map_err(refused)?;
        let mut properties = fresh(found).with_delivery_mode(2).with_headers(headers.into());
        if found.message_id().is_none() {
            properties = properties.with_message_id(short(id).map_err(refused)?);
        }
        Ok(Self {
            exchange: ShortString::default(),
            key: short(queue).map_err(refused)?,
            mandatory: true,
            properties,
            body: body.to_vec(),
            destination: Destination::Queue(queue.to_owned()),
        })
    }

    /// Whether the broker may close the channel over it: we may not write to its exchange or that is gone, it is too
    /// long, or says something that does not hold.
    pub(super) fn is_doubtful(&self) -> bool {
        !self.exchange.as_str().is_empty()
            || self.body.len() > UNDOUBTED_BYTES
            || self.properties.expiration().is_some()
            || self.properties.user_id().is_some()
    }

    /// What must be there for it: an exchange, or the queue where it goes there without one.
    pub(super) fn way(&self) -> (ShortString, ShortString) {
        let exchange = self.exchange.clone();
        let key = if exchange.as_str().is_empty() { self.key.clone() } else { ShortString::default() };
        (exchange, key)
    }

    /// The same by way of an exchange that holds it back.
    pub(super) fn by_way_of(mut self, exchange: ShortString, key: ShortString) -> Self {
        (self.exchange, self.key) = (exchange, key);
        self
    }

    /// The same by way of the plug-in's exchange. It cannot say whether a message will reach a queue.
    pub(super) fn by_plugin(mut self, exchange: ShortString, delay: Duration) -> Self {
        let mut headers = self.properties.headers().clone().unwrap_or_default();
        let millis = i32::try_from(millis(delay)).unwrap_or(i32::MAX);
        headers.insert(DELAY.into(), AMQPValue::LongInt(millis));
        self.properties = self.properties.with_headers(headers);
        (self.exchange, self.mandatory) = (exchange, false);
        self
    }

    /// Whether this is the message that the broker sent back.
    pub(super) fn is(&self, key: &ShortString, properties: &BasicProperties) -> bool {
        self.key == *key && self.properties.message_id() == properties.message_id()
    }

    pub(super) fn refused(&self, reason: impl Into<String>) -> Error {
        Error::Refused { destination: self.destination.name().to_owned(), reason: reason.into(), is_full: false }
    }

    /// The error for a message that its destination does not take now.
    pub(super) fn full(&self) -> Error {
        let reason = "its queue is full or has no leader".to_owned();
        Error::Refused { destination: self.destination.name().to_owned(), reason, is_full: true }
    }
}

/// A name or an id for the wire.
pub(super) fn short(text: &str) -> Result<ShortString, String> {
    ShortString::try_new(text).map_err(|_| {
        format!("`{}` has {} bytes, and a name on the wire has {LONGEST_NAME} at most", shown(text), text.len())
    })
}

/// A name for people: one that is too long for the wire is too long for them.
pub(super) fn shown(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let start: String = name.chars().take(40).collect();
    start + "…"
}

/// Why a message can never be sent.
pub(super) fn unsendable(destination: &str, reason: impl Into<String>) -> Error {
    Error::Unsendable { destination: shown(destination), reason: reason.into() }
}

pub(super) fn millis(duration: Duration) -> u64 {
    // Later rather than sooner.
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What is read of the headers of a message from their bytes on the wire, and whether they can be sent on as they are
/// told; none if the bytes are no table. For tests with arbitrary bytes.
pub fn read_headers(bytes: &[u8]) -> Option<(Object, bool)> {
    let (_, table) = lapin::types::parsing::parse_field_table(bytes).ok()?;
    let found = BasicProperties::default().with_headers(table);
    let told = headers(&found);
    let _ = (deliveries(&found, true), returns(&found, false), is_renewed(&found));
    let queue = Destination::Queue("q".to_owned());
    let message =
        Outgoing { properties: said(&found), ..Outgoing::new("m".to_owned(), queue, told.clone(), Vec::new()) };
    let is_sendable = Parcel::new(message).is_ok()
        && Parcel::again("q", "m", &found, &[]).is_ok()
        && Parcel::dead("q", "m", &found, &[], ("", "q"), (Cause::Rejected, &"no".into())).is_ok();
    Some((told, is_sendable))
}

#[cfg(test)]
mod tests {
    use lapin::types::{DecimalValue, FieldTable};

    use super::*;
    use zrecipe_language::value::{Object, Value};

    #[test]
    fn what_a_sender_said_comes_back_as_it_was() {
        let table = |members: Vec<(&str, AMQPValue)>| -> FieldTable {
            members.into_iter().map(|(name, value)| (name.into(), value)).collect::<BTreeMap<_, _>>().into()
        };
        let decimal = AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 });
        let list = AMQPValue::FieldArray(vec![AMQPValue::LongLongInt(1), AMQPValue::Timestamp(7)].into());
        let headers = table(vec![
            ("bytes", AMQPValue::ByteArray(b"\xff\xfe".to_vec().into())),
            ("text", AMQPValue::LongString(b"\xff\xfe".to_vec().into())),
            ("time", AMQPValue::Timestamp(1_577_836_800)),
            ("plain", AMQPValue::LongString("é".into())),
            ("nested", AMQPValue::FieldTable(table(vec![("list", list), ("decimal", decimal)]))),
            ("changed", AMQPValue::Timestamp(1)),
        ]);
        let found = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("gzip".into())
            .with_priority(3)
            .with_correlation_id("corr".into())
            .with_reply_to("rt".into())
            .with_timestamp(17_000_000)
            .with_type("tt".into())
            .with_app_id("app".into())
            .with_headers(headers.clone());
        let mut own = super::headers(&found);
        own.insert("changed".to_owned(), Value::from("by somebody"));
        // As it is written into a file and read again.
        let said = zrecipe_language::syntax::json::read_value(Value::Object(said(&found)).to_json().as_bytes())
            .expect("is JSON");
        let message = Outgoing {
            properties: said.as_object().expect("is an object").clone(),
            ..Outgoing::new("m".to_owned(), Destination::Queue("q".to_owned()), own, Vec::new())
        };
        let sent = Parcel::new(message.clone()).expect("is sent").properties;
        let mut expected = headers.inner().clone();
        expected.insert("changed".into(), AMQPValue::LongString("by somebody".into()));
        let expected = found.with_headers(expected.into()).with_message_id("m".into()).with_delivery_mode(2);
        assert_eq!(sent, expected);
        let bad = Object::from_iter([("priority".to_owned(), Value::from(300))]);
        assert!(Parcel::new(Outgoing { properties: bad, ..message }).is_err(), "a file may say anything");
    }
}
