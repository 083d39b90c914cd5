//! What is asked about queues. A question about what is not there costs the channel that it is asked on.

use std::sync::Arc;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::{FieldTable, ShortString};
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::faults::{explain, is_missing, outage};
use super::link::Link;
use super::wire::{short, shown};
use crate::transport::{Error, Outage, Waiting};

impl Shared {
    /// Asks something about a queue, on a channel of its own: one about what is not there costs the channel.
    pub(super) async fn ask<T>(
        &self,
        queue: &str,
        ask: impl AsyncFn(&Channel, ShortString) -> lapin::Result<T> + Send,
    ) -> Result<T, Error> {
        let name = short(queue).map_err(|_| Error::NoSuchQueue(shown(queue)))?;
        let deadline = Instant::now() + self.options.patience;
        let link = self.link(deadline).await?;
        let asked = async {
            let channel = link.channel().await?;
            let answer = ask(&channel, name).await?;
            channel.close(200, "".into()).await?;
            Ok(answer)
        };
        self.answer(&link, deadline, asked).await?.map_err(|error| match error {
            error if is_missing(&error) => Error::NoSuchQueue(queue.to_owned()),
            error => self.failed(&error),
        })
    }

    /// What waits in these queues, one after the other on one channel. A question about what is not there costs the channel.
    pub(super) async fn count_all(&self, queues: &[String]) -> Vec<Result<Waiting, Error>> {
        let deadline = Instant::now() + self.options.patience;
        let mut open: Option<(Arc<Link>, Channel)> = None;
        let mut found = Vec::with_capacity(queues.len());
        for queue in queues {
            let counted = self.count(queue, &mut open, deadline).await;
            if counted.is_err() {
                open = None;
            }
            found.push(counted);
        }
        if let Some((link, channel)) = open {
            let closing = async { channel.close(200, "".into()).await };
            let _ = self.answer(&link, deadline, closing).await;
        }
        found
    }

    async fn count(
        &self,
        queue: &str,
        open: &mut Option<(Arc<Link>, Channel)>,
        deadline: Instant,
    ) -> Result<Waiting, Error> {
        let name = short(queue).map_err(|_| Error::NoSuchQueue(shown(queue)))?;
        let (link, known) = match open.take() {
            Some((link, channel)) => (link, Some(channel)),
            None => (self.link(deadline).await?, None),
        };
        let asked = async {
            let channel = match known {
                Some(channel) => channel,
                None => link.channel().await?,
            };
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let answer = channel.queue_declare(name, passive, FieldTable::default()).await?;
            Ok((channel, answer.message_count(), answer.consumer_count()))
        };
        let (channel, messages, consumers) = self.answer(&link, deadline, asked).await?.map_err(|error| {
            if is_missing(&error) { Error::NoSuchQueue(queue.to_owned()) } else { self.failed(&error) }
        })?;
        *open = Some((link, channel));
        Ok(Waiting { messages: u64::from(messages), consumers: Some(u64::from(consumers)) })
    }

    /// What comes of asking the broker something.
    ///
    /// # Errors
    /// The connection was lost, or there was no answer in time.
    pub(super) async fn answer<T>(
        &self,
        link: &Link,
        deadline: Instant,
        asked: impl Future<Output = lapin::Result<T>>,
    ) -> Result<lapin::Result<T>, Error> {
        match self.connections.unless_gone(link.epoch, timeout_at(deadline, asked)).await {
            None => Err(self.unavailable(Outage::Lost, "the connection was lost".to_owned())),
            Some(Err(_)) => Err(self.unavailable(Outage::NoAnswer, "it did not answer in time".to_owned())),
            Some(Ok(Err(error))) if !link.is_up() => Err(self.failed(&error)),
            Some(Ok(answer)) => Ok(answer),
        }
    }

    fn failed(&self, error: &lapin::Error) -> Error {
        self.unavailable(outage(error), explain(error))
    }

    fn unavailable(&self, cause: Outage, reason: String) -> Error {
        Error::Unavailable { place: self.place.to_string(), cause, reason }
    }
}
