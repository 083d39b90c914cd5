//! Addresses messages, makes sure that they reach somebody, and hands them to the publisher.

use std::sync::PoisonError;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Shared;
use super::delays::find;
use super::faults::is_missing;
use super::publisher::{Request, missing};
use super::wire::Parcel;
use crate::transport::{Error, Outgoing};

impl Shared {
    /// Publishes messages and waits for all confirmations.
    pub(super) async fn publish(&self, parcels: Vec<Parcel>, deadline: Instant) -> Result<(), Error> {
        if parcels.is_empty() {
            return Ok(());
        }
        self.look(&parcels, deadline).await?;
        let (reply, answer) = oneshot::channel();
        let requests = if parcels.iter().any(Parcel::is_doubtful) { &self.doubtful } else { &self.requests };
        requests.send(Request { parcels, reply, deadline }).await.map_err(|_| Error::Closed)?;
        let sent = answer.await.map_err(|_| Error::Closed)?;
        if sent.is_err() {
            // Somebody takes things away at the broker.
            let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
            waits.found.clear();
            waits.declared.clear();
        }
        sent.map_err(|error| match error {
            Error::Unconfirmed { destination, reason: None } => {
                Error::Unconfirmed { destination, reason: self.standing.obstacle() }
            }
            error => error,
        })
    }

    /// Makes parcels of messages; finds a place to wait for those that are to come later.
    pub(super) async fn address(&self, messages: Vec<Outgoing>, deadline: Instant) -> Result<Vec<Parcel>, Error> {
        let mut parcels = Vec::with_capacity(messages.len());
        for message in messages {
            let delay = message.delay.filter(|delay| !delay.is_zero());
            let parcel = Parcel::new(message)?;
            parcels.push(match delay {
                None => parcel,
                Some(delay) => self.hold_back(parcel, delay, deadline).await?,
            });
        }
        Ok(parcels)
    }

    /// Makes sure that all are there who are to have something. When it is several, the first message must not be on its
    /// way when it turns out that the second has nowhere to go; and over an exchange that is not there the broker closes
    /// the channel, so that what others have just sent on it is sent twice.
    async fn look(&self, parcels: &[Parcel], deadline: Instant) -> Result<(), Error> {
        let Some((first, rest)) = parcels.split_first() else { return Ok(()) };
        if first.exchange.as_str().is_empty() && rest.iter().all(|parcel| parcel.way() == first.way()) {
            return Ok(());
        }
        let link = self.link(deadline).await?;
        for parcel in parcels {
            let (exchange, key) = parcel.way();
            if self.waits(&link).found.contains(&(exchange.clone(), key.clone())) {
                continue;
            }
            let asked = async {
                let channel = link.channel().await?;
                find(&channel, &exchange, &key).await?;
                channel.close(200, "".into()).await
            };
            match self.answer(&link, deadline, asked).await? {
                Err(error) if is_missing(&error) => return Err(missing(parcel)),
                // Whatever else there is, the broker says when it is sent.
                Ok(()) | Err(_) => _ = self.waits(&link).found.insert((exchange, key)),
            }
        }
        Ok(())
    }
}
