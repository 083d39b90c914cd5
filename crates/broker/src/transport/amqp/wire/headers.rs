//! Headers that brokers and we ourselves write, and what they count.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::values::{bytes, from_amqp, integer};
use crate::message::headers::{DEATHS, DELIVERY_COUNT, FIRST_DEATH, LAST_DEATH, RENEWED, RETRIES, is_of_delivery};
use crate::message::{DELAY_PREFIX, death};
use zrecipe_language::value::Object;

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
    count(properties, DELIVERY_COUNT).unwrap_or(u32::from(redelivered))
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
    headers.retain(|name, _| !is_of_delivery(name));
    // A wait is no death.
    if let Some(AMQPValue::FieldArray(deaths)) = headers.get(DEATHS) {
        let real: Vec<AMQPValue> =
            deaths.as_slice().iter().filter(|death| !is_wait(field(death, death::QUEUE))).cloned().collect();
        if real.is_empty() {
            headers.retain(|name, _| name != DEATHS && !name.starts_with(LAST_DEATH));
        } else {
            headers.insert(DEATHS.to_owned(), AMQPValue::FieldArray(real.into()));
        }
    }
    for which in [FIRST_DEATH, LAST_DEATH] {
        if is_wait(headers.get(&format!("{which}{}", death::QUEUE))) {
            headers.retain(|name, _| !name.starts_with(which));
        }
    }
    headers
}

fn is_wait(queue: Option<&AMQPValue>) -> bool {
    queue.and_then(bytes).is_some_and(|name| name.starts_with(DELAY_PREFIX.as_bytes()))
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
