//! Our messages as AMQP knows them and back: headers, properties, and the story of a dead letter.
//!
//! AMQP has no JSON: a number that fits none of its types, and text that is no Unicode, travel as JSON text. Headers
//! lose their order.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldTable, ShortString};

use crate::message::{Destination, Outgoing};
use crate::transport::Error;
use zrecipe_language::value::{Number, Object, Value};

/// How often we have sent a message once more to its queue.
const RETRIES: &str = "zrecipe-retries";
/// Why a message is a dead letter.
const REASON: &str = "zrecipe-reason";
/// The deaths of a message, newest first.
const DEATHS: &str = "x-death";
/// How often a quorum queue had the message come back.
const BROKER_COUNT: &str = "x-delivery-count";
/// That a message without an id is a copy of one that was delivered before.
const RENEWED: &str = "zrecipe-renewed";
/// How often it was handed to a consumer, in newer versions.
const ACQUIRED: &str = "x-acquired-count";
/// What brokers write for their own use; not the sender's.
const BOOKKEEPING: [&str; 5] = [RETRIES, RENEWED, BROKER_COUNT, ACQUIRED, "x-delay"];
/// Below which a message's properties tell more of its headers.
const HEADERS: &str = "headers";
/// Exchanges and queues in which messages wait have names that begin so.
pub const DELAY: &str = "zrecipe.delay.";
/// What the queue for the dead letters of another one is called before that one's name.
pub(super) const DEAD_LETTERS: &str = "dlq.";
/// Longer ones cannot be named.
const LONGEST_NAME: usize = 255;
/// The longest frame, in bytes: what RabbitMQ proposes. Longer bodies go in several, but the headers of a message in one,
/// and RabbitMQ sends that whatever we ask for: less would make a queue with such a message one that cannot be read. The
/// library keeps room for 64 of them on each connection.
pub(super) const LONGEST_FRAME: u32 = 128 << 10;
/// Headers beyond this do not fit a frame, and the broker would close the connection: one of dead letters has to hold
/// theirs, what has become of the message, and why.
const MOST_HEADER_BYTES: usize = 120_000;
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
        (kind, reason): (&str, &str),
    ) -> Result<Self, Error> {
        let mut headers = own_headers(found);
        let text = |text: &str| AMQPValue::LongString(text.into());
        let mut deaths: Vec<AMQPValue> = match headers.remove(DEATHS) {
            Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice().to_vec(),
            _ => Vec::new(),
        };
        let same = deaths.iter().position(|death| death_is(death, "queue", queue) && death_is(death, "reason", kind));
        let before = same.map(|place| deaths.remove(place));
        let count =
            before.as_ref().and_then(|death| field(death, "count")).map_or(0, |count| integer(count).unwrap_or(0));
        let death = BTreeMap::from([
            ("count".into(), AMQPValue::LongLongInt(count + 1)),
            ("exchange".into(), text(exchange)),
            ("queue".into(), text(queue)),
            ("reason".into(), text(kind)),
            ("routing-keys".into(), AMQPValue::FieldArray(vec![text(key)].into())),
            ("time".into(), AMQPValue::Timestamp(seconds(SystemTime::now()))),
        ]);
        deaths.insert(0, AMQPValue::FieldTable(death.into()));
        headers.insert(DEATHS.to_owned(), AMQPValue::FieldArray(deaths.into()));
        for (name, value) in [("exchange", exchange), ("queue", queue), ("reason", kind)] {
            headers.entry(format!("x-first-death-{name}")).or_insert_with(|| text(value));
        }
        // Whatever a service says, the message has to get there.
        let cut = reason.floor_char_boundary(MOST_REASON_BYTES);
        headers.insert(REASON.to_owned(), text(&reason[..cut]));
        Self::copy(&dead_letter_queue(queue), id, found, body, headers)
    }

    /// A delivered message as it was, for the same queue: only that nobody has counted its deliveries.
    pub(super) fn renewed(queue: &str, found: &BasicProperties, body: &[u8]) -> Result<Self, Error> {
        let mut headers = found.headers().clone().unwrap_or_default().inner().clone();
        headers.retain(|name, _| ![BROKER_COUNT, ACQUIRED].contains(&name.as_str()));
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
        headers.insert("x-delay".into(), AMQPValue::LongInt(millis));
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

/// Where dead letters of a queue go.
pub(super) fn dead_letter_queue(queue: &str) -> String {
    format!("{DEAD_LETTERS}{queue}")
}

/// The sender's headers.
pub(super) fn headers(properties: &BasicProperties) -> Object {
    own_headers(properties).iter().map(|(name, value)| (name.clone(), from_amqp(value))).collect()
}

/// How often we have retried the message.
pub(super) fn retries(properties: &BasicProperties) -> u32 {
    count(properties, RETRIES).unwrap_or(0)
}

/// How often the message was delivered, this time included.
pub(super) fn deliveries(properties: &BasicProperties, redelivered: bool) -> u32 {
    retries(properties).saturating_add(returns(properties, redelivered)).saturating_add(1)
}

/// How often it has come back.
pub(super) fn returns(properties: &BasicProperties, redelivered: bool) -> u32 {
    // A classic queue says only that it has.
    count(properties, BROKER_COUNT).unwrap_or(u32::from(redelivered))
}

/// Whether it is a copy of one that was delivered before.
pub(super) fn is_renewed(properties: &BasicProperties) -> bool {
    properties.headers().as_ref().is_some_and(|headers| headers.inner().contains_key(RENEWED))
}

fn count(properties: &BasicProperties, header: &str) -> Option<u32> {
    let value = properties.headers().as_ref()?.inner().get(header)?;
    u32::try_from(integer(value)?.max(0)).ok()
}

/// When it was sent, as far as is known.
pub(super) fn sent(properties: &BasicProperties) -> Option<SystemTime> {
    properties.timestamp().and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
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

/// Does something for each property that its sender set and that still holds when somebody else sends the message on: it
/// has been taken, so it does not expire any more, and its user is not who we are.
macro_rules! each_property {
    ($do:ident) => {
        $do!(
            text content_type: with_content_type "content_type",
            text content_encoding: with_content_encoding "content_encoding",
            number priority: with_priority "priority",
            text correlation_id: with_correlation_id "correlation_id",
            text reply_to: with_reply_to "reply_to",
            number timestamp: with_timestamp "timestamp",
            text kind: with_type "type",
            text app_id: with_app_id "app_id",
        )
    };
}

/// What its sender said of a message and what still holds when somebody else sends it on, with its id.
fn fresh(properties: &BasicProperties) -> BasicProperties {
    let mut copy = BasicProperties::default();
    macro_rules! keep {
        ($($type:ident $property:ident: $with:ident $name:literal,)*) => {
            $(if let Some(value) = properties.$property() { copy = copy.$with(value.clone()); })*
        };
    }
    each_property!(keep);
    if let Some(id) = properties.message_id() {
        copy = copy.with_message_id(id.clone());
    }
    copy
}

/// What its sender said of a message beside its id, its headers and its body. Headers that are more than JSON can say are
/// below `headers`; what brokers write there is not its sender's.
pub(super) fn said(properties: &BasicProperties) -> Object {
    let mut said = Object::new();
    macro_rules! tell {
        (text $value:ident) => { Value::from($value.as_str()) };
        (number $value:ident) => { Value::Number(Number::from_text(&$value.to_string())) };
        ($($type:ident $property:ident: $with:ident $name:literal,)*) => {
            $(if let Some(value) = properties.$property() { said.insert($name.to_owned(), tell!($type value)); })*
        };
    }
    each_property!(tell);
    let own = own_headers(properties).into_iter().filter(|(name, _)| !name.starts_with("x-"));
    let exact: Object = own.filter_map(|(name, value)| Some((name, exact(&value)?))).collect();
    if !exact.is_empty() {
        said.insert(HEADERS.to_owned(), Value::Object(exact));
    }
    said
}

/// The properties of which [`said`] tells.
fn say(said: &Object) -> Result<BasicProperties, String> {
    let mut properties = BasicProperties::default();
    let malformed = |name: &str| format!("its property `{name}` is none");
    macro_rules! take {
        (text $name:literal $value:ident) => { short($value.as_str().ok_or_else(|| malformed($name))?)? };
        (number $name:literal $value:ident) => {
            $value.as_i64().and_then(|number| number.try_into().ok()).ok_or_else(|| malformed($name))?
        };
        ($($type:ident $property:ident: $with:ident $name:literal,)*) => {
            $(if let Some(value) = said.get($name) { properties = properties.$with(take!($type $name value)); })*
        };
    }
    each_property!(take);
    Ok(properties)
}

/// A value of a header in words that JSON has, where its own would come back as something else.
fn exact(value: &AMQPValue) -> Option<Value> {
    let bytes = |bytes: &[u8]| bytes.iter().map(|byte| Value::from(i64::from(*byte))).collect::<Vec<_>>();
    let part = |value: &AMQPValue| exact(value).unwrap_or_else(|| Value::from([("json", from_amqp(value))]));
    Some(match value {
        AMQPValue::ByteArray(value) => Value::from([("bytes", Value::Array(bytes(value.as_slice())))]),
        AMQPValue::LongString(value) if std::str::from_utf8(value.as_bytes()).is_err() => {
            Value::from([("text", Value::Array(bytes(value.as_bytes())))])
        }
        AMQPValue::Timestamp(value) => {
            Value::from([("timestamp", Value::Number(Number::from_text(&value.to_string())))])
        }
        AMQPValue::DecimalValue(value) => {
            let parts = [i64::from(value.scale), i64::from(value.value)];
            Value::from([("decimal", Value::Array(parts.map(Value::from).to_vec()))])
        }
        AMQPValue::FieldArray(items) if items.as_slice().iter().any(|item| exact(item).is_some()) => {
            Value::from([("array", Value::Array(items.as_slice().iter().map(part).collect()))])
        }
        AMQPValue::FieldTable(table) if table.inner().values().any(|value| exact(value).is_some()) => {
            let members = table.inner().iter().map(|(name, value)| (name.as_str().to_owned(), part(value)));
            Value::from([("table", Value::Object(members.collect()))])
        }
        _ => return None,
    })
}

/// What [`exact`] told of.
fn from_exact(told: &Value) -> Option<AMQPValue> {
    let (kind, value) = told.as_object()?.iter().next()?;
    let bytes =
        || -> Option<Vec<u8>> { value.as_array()?.iter().map(|byte| u8::try_from(byte.as_i64()?).ok()).collect() };
    Some(match kind.as_str() {
        "json" => to_amqp(value, &mut 0).ok()?,
        "bytes" => AMQPValue::ByteArray(bytes()?.into()),
        "text" => AMQPValue::LongString(bytes()?.into()),
        "timestamp" => AMQPValue::Timestamp(u64::try_from(value.as_i64()?).ok()?),
        "decimal" => {
            let [scale, value] = value.as_array()? else { return None };
            let (scale, value) = (u8::try_from(scale.as_i64()?).ok()?, value.as_i64()?.try_into().ok()?);
            AMQPValue::DecimalValue(DecimalValue { scale, value })
        }
        "array" => AMQPValue::FieldArray(value.as_array()?.iter().map(from_exact).collect::<Option<Vec<_>>>()?.into()),
        "table" => {
            let member = |(name, value): (&String, &Value)| Some((short(name).ok()?, from_exact(value)?));
            let members = value.as_object()?.iter().map(member).collect::<Option<BTreeMap<_, _>>>()?;
            AMQPValue::FieldTable(members.into())
        }
        _ => return None,
    })
}

/// Headers without what brokers and we ourselves have written for our own use.
fn own_headers(properties: &BasicProperties) -> BTreeMap<String, AMQPValue> {
    let all = properties.headers().iter().flat_map(FieldTable::inner);
    let mut headers: BTreeMap<String, AMQPValue> =
        all.map(|(name, value)| (name.as_str().to_owned(), value.clone())).collect();
    for name in BOOKKEEPING {
        headers.remove(name);
    }
    // A wait is no death.
    if let Some(AMQPValue::FieldArray(deaths)) = headers.get(DEATHS) {
        let real: Vec<AMQPValue> =
            deaths.as_slice().iter().filter(|death| !is_wait(field(death, "queue"))).cloned().collect();
        if real.is_empty() {
            headers.retain(|name, _| name != DEATHS && !name.starts_with("x-last-death-"));
        } else {
            headers.insert(DEATHS.to_owned(), AMQPValue::FieldArray(real.into()));
        }
    }
    for which in ["x-first-death-", "x-last-death-"] {
        if is_wait(headers.get(&format!("{which}queue"))) {
            headers.retain(|name, _| !name.starts_with(which));
        }
    }
    headers
}

fn is_wait(queue: Option<&AMQPValue>) -> bool {
    queue.and_then(bytes).is_some_and(|name| name.starts_with(DELAY.as_bytes()))
}

fn field<'d>(death: &'d AMQPValue, name: &str) -> Option<&'d AMQPValue> {
    match death {
        AMQPValue::FieldTable(table) => table.inner().get(name),
        _ => None,
    }
}

fn death_is(death: &AMQPValue, name: &str, value: &str) -> bool {
    field(death, name).and_then(bytes).is_some_and(|found| found == value.as_bytes())
}

fn bytes(value: &AMQPValue) -> Option<&[u8]> {
    match value {
        AMQPValue::LongString(text) => Some(text.as_bytes()),
        AMQPValue::ShortString(text) => Some(text.as_str().as_bytes()),
        _ => None,
    }
}

fn integer(value: &AMQPValue) -> Option<i64> {
    Some(match *value {
        AMQPValue::ShortShortInt(n) => i64::from(n),
        AMQPValue::ShortShortUInt(n) => i64::from(n),
        AMQPValue::ShortInt(n) => i64::from(n),
        AMQPValue::ShortUInt(n) => i64::from(n),
        AMQPValue::LongInt(n) => i64::from(n),
        AMQPValue::LongUInt(n) => i64::from(n),
        AMQPValue::LongLongInt(n) => n,
        _ => return None,
    })
}

/// Headers for the wire. Those of which `said` tells more, and that nobody has changed since, are as they were.
fn to_table(headers: &Object, said: &Object) -> Result<FieldTable, String> {
    let mut size = 0;
    let mut table = table(headers, &mut size)?;
    if size > MOST_HEADER_BYTES {
        return Err(format!(
            "its headers have {size} bytes, and {MOST_HEADER_BYTES} fit; put large things in the body"
        ));
    }
    for (name, told) in said.get(HEADERS).and_then(Value::as_object).into_iter().flatten() {
        if let Some(value) = from_exact(told).filter(|value| headers.get(name) == Some(&from_amqp(value))) {
            table.insert(short(name)?, value);
        }
    }
    Ok(table)
}

fn table(members: &Object, size: &mut usize) -> Result<FieldTable, String> {
    let mut table = FieldTable::default();
    for (name, value) in members {
        *size += name.len() + 1;
        table.insert(short(name)?, to_amqp(value, size)?);
    }
    Ok(table)
}

fn to_amqp(value: &Value, size: &mut usize) -> Result<AMQPValue, String> {
    let mut text = |text: &str| {
        *size += text.len();
        AMQPValue::LongString(text.into())
    };
    let value = match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(value) => AMQPValue::Boolean(*value),
        Value::String(value) => text(value),
        Value::Raw(value) => text(value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => AMQPValue::LongLongInt(integer),
            // What would not come out as it went in goes as it is written; so does `NaN`, at which RabbitMQ hangs up.
            (None, float) if float.is_finite() && Value::from(float) == *value => AMQPValue::Double(float),
            _ => text(number.as_str()),
        },
        Value::Array(items) => {
            let items: Vec<AMQPValue> = items.iter().map(|item| to_amqp(item, size)).collect::<Result<_, _>>()?;
            AMQPValue::FieldArray(items.into())
        }
        Value::Object(members) => AMQPValue::FieldTable(table(members, size)?),
    };
    *size += 9;
    Ok(value)
}

fn from_amqp(value: &AMQPValue) -> Value {
    let text = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
    match value {
        AMQPValue::Boolean(value) => Value::from(*value),
        AMQPValue::Float(value) => Value::from(f64::from(*value)),
        AMQPValue::Double(value) => Value::from(*value),
        AMQPValue::DecimalValue(decimal) => {
            let digits = Number::from_text(&format!("{}e-{}", decimal.value, decimal.scale));
            Value::Number(digits)
        }
        AMQPValue::ShortString(value) => Value::from(value.as_str()),
        AMQPValue::LongString(value) => text(value.as_bytes()),
        AMQPValue::ByteArray(value) => text(value.as_slice()),
        AMQPValue::Timestamp(value) => Value::Number(Number::from_text(&value.to_string())),
        AMQPValue::FieldArray(items) => Value::Array(items.as_slice().iter().map(from_amqp).collect()),
        AMQPValue::FieldTable(table) => Value::Object(
            table.inner().iter().map(|(name, value)| (name.as_str().to_owned(), from_amqp(value))).collect(),
        ),
        other => integer(other).map_or(Value::Null, Value::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
