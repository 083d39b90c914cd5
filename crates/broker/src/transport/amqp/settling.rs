//! How a delivery ends: acknowledged when all that it led to is confirmed.

use std::sync::Arc;

use lapin::options::QueueDeclareOptions;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::consumer::Held;
use super::delays::quorum;
use super::faults::explain;
use super::wire::{self, Parcel};
use crate::message::{Cause, Code, Reason, dead_letter_queue};
use crate::transport::{Delivery, Destination, Error, Settlement, Verdict};

impl Shared {
    pub(super) async fn conclude(&self, held: &Held, delivery: &Delivery, settlement: Settlement) -> Result<(), Error> {
        let deadline = Instant::now() + self.options.patience;
        let queue = match &delivery.source {
            Destination::Queue(queue) => queue,
            Destination::Topic(_) => return self.conclude_copy(held, settlement, deadline).await,
        };
        // Sent back to where it was, with its own id, it is not the same message once more.
        let again = settlement.outputs.iter().filter(|output| output.id == delivery.id);
        let again: Vec<String> = again.map(|output| output.destination.name().to_owned()).collect();
        let mut parcels = self.address(settlement.outputs, deadline).await?;
        match settlement.verdict {
            Verdict::Release => return give_back(held).await,
            Verdict::Accept => {
                // Handed out twice before it was accepted once: what it led to is on its way.
                if !self.holdings.has_accepted(queue, &delivery.id) {
                    again.iter().for_each(|queue| self.holdings.sent_again(queue, &delivery.id));
                    self.publish(parcels, deadline).await?;
                }
                if !again.contains(queue) {
                    self.holdings.accepted(queue, &delivery.id);
                }
            }
            Verdict::Retry { after, .. } if wire::retries(&held.properties) < self.options.delivery_limit => {
                let (id, body) = (&delivery.id, &delivery.body);
                let parcel = Parcel::again(queue, id, &held.properties, body)?;
                let (parcel, deadline) = self.put_off(parcel, after, deadline).await?;
                parcels.push(parcel);
                self.publish(parcels, deadline).await?;
            }
            Verdict::Requeue { after } => {
                let parcel = Parcel::uncounted(queue, &delivery.id, &held.properties, &delivery.body)?;
                let (parcel, deadline) = self.put_off(parcel, after, deadline).await?;
                parcels.push(parcel);
                self.publish(parcels, deadline).await?;
            }
            Verdict::Retry { reason, .. } => {
                let reason = Reason::new(Code::RetriesExhausted, reason);
                self.bury(held, delivery, queue, (Cause::DeliveryLimit, &reason), parcels, deadline).await?;
            }
            Verdict::DeadLetter { reason } => {
                self.bury(held, delivery, queue, (Cause::Rejected, &reason), parcels, deadline).await?;
            }
        }
        acknowledge(held).await
    }

    /// Puts a copy among the dead letters of its queue.
    async fn bury(
        &self,
        held: &Held,
        delivery: &Delivery,
        queue: &str,
        why: (Cause, &Reason),
        mut parcels: Vec<Parcel>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let way = (held.exchange.as_str(), held.key.as_str());
        let letter = Parcel::dead(queue, &delivery.id, &held.properties, &delivery.body, way, why)?;
        parcels.push(letter.clone());
        let dead_letters = dead_letter_queue(queue);
        match self.publish(parcels.clone(), deadline).await {
            Err(Error::NoSuchQueue(missing)) if missing == dead_letters => {}
            published => return published,
        }
        // Nothing may be lost because a queue was forgotten when the broker was set up.
        let link = self.link(deadline).await?;
        let declared = async {
            let channel = link.channel().await?;
            let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(letter.key.clone(), options, quorum(None)).await?;
            channel.close(200, "".into()).await
        };
        self.answer(&link, deadline, declared).await?.map_err(|error| letter.refused(explain(&error)))?;
        self.publish(parcels, deadline).await
    }

    /// Settles a copy of a broadcast.
    async fn conclude_copy(&self, held: &Held, settlement: Settlement, deadline: Instant) -> Result<(), Error> {
        let parcels = self.address(settlement.outputs, deadline).await?;
        self.publish(parcels, deadline).await?;
        match settlement.verdict {
            Verdict::Release => give_back(held).await,
            Verdict::Accept | Verdict::DeadLetter { .. } => acknowledge(held).await,
            Verdict::Retry { after, .. } | Verdict::Requeue { after } => {
                let (receipts, tag) = (Arc::clone(&held.receipts), held.tag);
                tokio::spawn(async move {
                    sleep(after).await;
                    receipts.give_back(tag).await;
                });
                Ok(())
            }
        }
    }
}

pub(super) async fn acknowledge(held: &Held) -> Result<(), Error> {
    if held.receipts.acknowledge(held.tag).await { Ok(()) } else { Err(Error::NotHeld) }
}

async fn give_back(held: &Held) -> Result<(), Error> {
    if held.receipts.give_back(held.tag).await { Ok(()) } else { Err(Error::NotHeld) }
}
