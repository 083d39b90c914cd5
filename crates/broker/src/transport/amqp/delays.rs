//! Places where messages wait that are to come later.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use tokio::time::{Instant, sleep};

use super::faults::{explain, is_missing};
use super::link::Link;
use super::publisher::missing;
use super::wire::{self, Parcel, short};
use super::{Shared, Waits};
use crate::message::DELAY_PREFIX;
use crate::transport::{Destination, Error};
use zrecipe_language::topology::DELAYED;

/// How long what is tried again is held at most where nothing else can wait: a service that is to stop waits for it.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

impl Shared {
    /// A message that is to be delivered once more by way of a place where it waits; where we may have none it waits with
    /// us, and is held for so long. Until when it is to be sent comes along.
    pub(super) async fn put_off(
        &self,
        parcel: Parcel,
        after: Duration,
        deadline: Instant,
    ) -> Result<(Parcel, Instant), Error> {
        if after.is_zero() {
            return Ok((parcel, deadline));
        }
        let reason = match self.hold_back(parcel.clone(), after, deadline).await {
            Err(Error::Refused { reason, .. }) => reason,
            found => return found.map(|parcel| (parcel, deadline)),
        };
        let link = self.link(deadline).await?;
        if !std::mem::replace(&mut self.waits(&link).is_barred, true) {
            tracing::warn!("messages to be retried are held in the meantime: {reason}");
        }
        let after = after.min(LONGEST_HOLD);
        sleep(after).await;
        Ok((parcel, deadline + after))
    }

    /// Sends a message by way of a place where it waits.
    pub(super) async fn hold_back(&self, parcel: Parcel, delay: Duration, deadline: Instant) -> Result<Parcel, Error> {
        let key = parcel.key.clone();
        let parcel = match &parcel.destination {
            // It does not wait for another exchange.
            Destination::Queue(_) => parcel.by_way_of(ShortString::default(), key),
            Destination::Topic(_) => parcel,
        };
        let link = self.link(deadline).await?;
        match self.answer(&link, deadline, self.prepare(&link, &parcel, delay)).await? {
            Err(error) if is_missing(&error) => Err(missing(&parcel)),
            Err(error) => Err(parcel.refused(format!(
                "there is no queue for delayed messages: {}; without exchange `{DELAYED}` the user needs the \
                 permissions to configure, write and read `{}.*`",
                explain(&error),
                DELAY_PREFIX.replace('.', "\\."),
            ))),
            Ok(None) => {
                self.waits(&link).found.insert((DELAYED.into(), ShortString::default()));
                Ok(parcel.by_plugin(DELAYED.into(), delay))
            }
            Ok(Some(place)) => {
                self.waits(&link).found.insert((place.clone(), ShortString::default()));
                // A topic has no routing key of its own; the queue's is the queue, and stays.
                let key = parcel.key.clone();
                Ok(parcel.by_way_of(place, key))
            }
        }
    }

    /// Makes sure that the destination and a place to wait exist. The place's exchange, or nothing where the plug-in
    /// does it.
    async fn prepare(&self, link: &Link, parcel: &Parcel, delay: Duration) -> lapin::Result<Option<ShortString>> {
        // The broker would confirm a message that waits for what is not there.
        let channel = link.channel().await?;
        let (exchange, key) = parcel.way();
        find(&channel, &exchange, &key).await?;
        let target = match &parcel.destination {
            Destination::Queue(_) => {
                // The plug-in's way, which the reference goes too, has no room for another exchange.
                if self.has_plugin(link).await? {
                    return Ok(None);
                }
                ShortString::default()
            }
            Destination::Topic(_) => parcel.exchange.clone(),
        };
        let millis = rounded(wire::millis(delay));
        let name = match target.as_str() {
            "" => format!("{DELAY_PREFIX}{millis}"),
            exchange => format!("{DELAY_PREFIX}{millis}.{exchange}"),
        };
        let short_name = short(&name).unwrap_or_default();
        if !self.waits(link).declared.contains(&name) {
            let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let (none, name_of) = (FieldTable::default, || short_name.clone());
            channel.exchange_declare(name_of(), ExchangeKind::Topic, durable, none()).await?;
            let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(name_of(), durable, quorum(Some((millis, target)))).await?;
            channel.queue_bind(name_of(), name_of(), "#".into(), QueueBindOptions::default(), none()).await?;
            self.waits(link).declared.insert(name);
        }
        let _ = channel.close(200, "".into()).await;
        Ok(Some(short_name))
    }

    async fn has_plugin(&self, link: &Link) -> lapin::Result<bool> {
        if let Some(known) = self.waits(link).plugin {
            return Ok(known);
        }
        // A question about what is not there costs its channel.
        let channel = link.channel().await?;
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let kind = ExchangeKind::Custom("x-delayed-message".to_owned());
        let there = match channel.exchange_declare(DELAYED.into(), kind, passive, FieldTable::default()).await {
            Ok(()) => true,
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(error),
        };
        self.waits(link).plugin = Some(there);
        Ok(there)
    }

    pub(super) fn waits(&self, link: &Link) -> std::sync::MutexGuard<'_, Waits> {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.epoch != link.epoch {
            *waits = Waits { epoch: link.epoch, ..Waits::default() };
        }
        waits
    }
}

/// Asks whether an exchange is there, or a queue where that is the way.
pub(super) async fn find(channel: &Channel, exchange: &ShortString, queue: &ShortString) -> lapin::Result<()> {
    if exchange.as_str().is_empty() {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        return channel.queue_declare(queue.clone(), passive, FieldTable::default()).await.map(drop);
    }
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.clone(), ExchangeKind::Fanout, passive, FieldTable::default()).await
}

/// What a quorum queue is declared with; one to wait in passes messages on after so many milliseconds, and keeps them
/// for as long as they cannot be.
pub(super) fn quorum(wait: Option<(u64, ShortString)>) -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut arguments = BTreeMap::from([("x-queue-type".into(), text("quorum"))]);
    if let Some((millis, exchange)) = wait {
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis));
        arguments.insert("x-dead-letter-exchange".into(), text(exchange.as_str()));
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments.insert("x-overflow".into(), text("reject-publish"));
    }
    arguments.into()
}

/// Two digits and zeros, no less than it was.
fn rounded(millis: u64) -> u64 {
    let mut unit = 1;
    while millis.div_ceil(unit) > 99 {
        unit *= 10;
    }
    millis.div_ceil(unit) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_few_and_never_shorter() {
        for (millis, expected) in
            [(1, 1), (99, 99), (100, 100), (101, 110), (2_000, 2_000), (12_345, 13_000), (9_999, 10_000)]
        {
            assert_eq!(rounded(millis), expected, "{millis}");
        }
    }
}
