//! Headers that brokers and we ourselves write, and what they count.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::values::{bytes, from_amqp, integer};
use zrecipe_language::value::Object;

/// How often we have sent a message once more to its queue.
pub(super) const RETRIES: &str = "zrecipe-retries";
/// Why a message is a dead letter.
pub(super) const REASON: &str = "zrecipe-reason";
/// The deaths of a message, newest first.
pub(super) const DEATHS: &str = "x-death";
/// How often a quorum queue had the message come back.
pub(super) const BROKER_COUNT: &str = "x-delivery-count";
/// That a message without an id is a copy of one that was delivered before.
pub(super) const RENEWED: &str = "zrecipe-renewed";
/// How often it was handed to a consumer, in newer versions.
pub(super) const ACQUIRED: &str = "x-acquired-count";
/// What brokers write for their own use; not the sender's.
const BOOKKEEPING: [&str; 5] = [RETRIES, RENEWED, BROKER_COUNT, ACQUIRED, "x-delay"];

/// Exchanges and queues in which messages wait have names that begin so.
pub const DELAY: &str = "zrecipe.delay.";

/// The sender's headers.
pub(in crate::transport::amqp) fn headers(properties: &BasicProperties) -> Object {
    own_headers(properties).iter().map(|(name, value)| (name.clone(), from_amqp(value))).collect()
}

/// How often we have retried the message.
pub(in crate::transport::amqp) fn retries(properties: &BasicProperties) -> u32 {
    count(properties, RETRIES).unwrap_or(0)
}

/// How often the message was delivered, this time included.
pub(in crate::transport::amqp) fn deliveries(properties: &BasicProperties, redelivered: bool) -> u32 {
    retries(properties).saturating_add(returns(properties, redelivered)).saturating_add(1)
}

/// How often it has come back.
pub(in crate::transport::amqp) fn returns(properties: &BasicProperties, redelivered: bool) -> u32 {
    // A classic queue says only that it has.
    count(properties, BROKER_COUNT).unwrap_or(u32::from(redelivered))
}

/// Whether it is a copy of one that was delivered before.
pub(in crate::transport::amqp) fn is_renewed(properties: &BasicProperties) -> bool {
    properties.headers().as_ref().is_some_and(|headers| headers.inner().contains_key(RENEWED))
}

fn count(properties: &BasicProperties, header: &str) -> Option<u32> {
    let value = properties.headers().as_ref()?.inner().get(header)?;
    u32::try_from(integer(value)?.max(0)).ok()
}

/// When it was sent, as far as is known.
pub(in crate::transport::amqp) fn sent(properties: &BasicProperties) -> Option<SystemTime> {
    properties.timestamp().and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
}

/// Headers without what brokers and we ourselves have written for our own use.
pub(super) fn own_headers(properties: &BasicProperties) -> BTreeMap<String, AMQPValue> {
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

pub(super) fn field<'d>(death: &'d AMQPValue, name: &str) -> Option<&'d AMQPValue> {
    match death {
        AMQPValue::FieldTable(table) => table.inner().get(name),
        _ => None,
    }
}

pub(super) fn death_is(death: &AMQPValue, name: &str, value: &str) -> bool {
    field(death, name).and_then(bytes).is_some_and(|found| found == value.as_bytes())
}
