//! Receives the messages of one subscription, on as many connections as it takes.
//!
//! Each subscription has a channel of its own. What it has handed out and what is not settled yet is in [`Holdings`];
//! when the channel is gone, all of that is no longer ours and comes again.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_core::Stream as _;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Consumer};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval_at, sleep, timeout};
use uuid::Uuid;

use super::faults::{explain, is_missing, outage};
use super::link::{Connections, Link};
use super::receipts::Receipts;
use super::wire::{self, short};
use crate::backoff::Backoff;
use crate::connections::jitter;
use crate::holdings::{self, Holdings};
use crate::message::Destination;
use crate::standing::Standing;
use crate::transport::{Delivery, Error, Outage, Subscription};

/// How long we wait before we subscribe again: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How often we see to it that what goes to a topic still comes to us: it does not once its exchange was deleted, even when
/// there is a new one, and nobody says so.
const BIND: Duration = Duration::from_secs(30);
/// How long the end of a subscription may take.
const FAREWELL: Duration = Duration::from_secs(10);
/// The same where the broker reads nothing for now.
const BLOCKED_FAREWELL: Duration = Duration::from_secs(2);

/// A delivery that waits to be settled.
pub(super) struct Held {
    subscription: u64,
    pub(super) receipts: Arc<Receipts>,
    /// The broker's tag; it means something on this channel only.
    pub(super) tag: u64,
    pub(super) properties: BasicProperties,
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    /// The ID by which the books know it; none: they do not.
    pub(super) booked: Option<String>,
}

impl holdings::Held for Held {
    fn subscription(&self) -> u64 {
        self.subscription
    }

    fn is_ours(&self) -> bool {
        self.receipts.is_open()
    }

    fn booked(&self) -> Option<&str> {
        self.booked.as_deref()
    }

    fn acknowledge(self) {
        tokio::spawn(async move { self.receipts.acknowledge(self.tag).await });
    }
}

/// A subscription that is being served.
pub(super) struct Reception {
    number: u64,
    subscription: Subscription,
    sender: mpsc::Sender<Delivery>,
    stops: mpsc::Receiver<oneshot::Sender<Vec<Delivery>>>,
    connections: Connections,
    standing: Arc<Standing>,
    place: Arc<str>,
    holdings: Arc<Holdings<Held>>,
}

/// Limit of the time between the request for a subscription and the broker's answer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// The epoch of a connection, and a consumer on it.
pub(super) type Opened = (u64, Channel, Consumer);

/// Why one consumer ended.
enum End {
    /// Nobody wants any more.
    Unwanted,
    /// It is to be stopped, and somebody waits for what has come.
    Stopped(oneshot::Sender<Vec<Delivery>>),
    /// The channel or the connection is gone, or the broker has ended it.
    Lost,
}

/// The channel is gone.
struct Gone;

async fn next(consumer: &mut Consumer) -> Option<lapin::Result<lapin::message::Delivery>> {
    std::future::poll_fn(|cx| Pin::new(&mut *consumer).poll_next(cx)).await
}

impl Reception {
    pub(super) fn new(
        subscription: Subscription,
        sender: mpsc::Sender<Delivery>,
        stops: mpsc::Receiver<oneshot::Sender<Vec<Delivery>>>,
        connections: Connections,
        standing: Arc<Standing>,
        place: Arc<str>,
        holdings: Arc<Holdings<Held>>,
    ) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self { number, subscription, sender, stops, connections, standing, place, holdings }
    }

    /// Subscribes on this connection. A broker that restarts may never answer a request that came too early; then the
    /// connection is given up, and the caller tries the next one.
    pub(super) async fn open(&self, link: &Arc<Link>) -> Result<Opened, lapin::Error> {
        match timeout(OPEN_TIMEOUT, self.request(link)).await {
            Ok(opened) => opened,
            Err(_) => {
                link.give_up();
                let reason = format!("the subscription was not answered within {} s", OPEN_TIMEOUT.as_secs());
                Err(io::Error::new(io::ErrorKind::TimedOut, reason).into())
            }
        }
    }

    async fn request(&self, link: &Link) -> Result<Opened, lapin::Error> {
        let channel = link.channel().await?;
        channel.basic_qos(self.subscription.prefetch.max(1), BasicQosOptions::default()).await?;
        let name = short(self.subscription.source.name()).unwrap_or_default();
        let (queue, exclusive) = match &self.subscription.source {
            Destination::Queue(_) => (name, false),
            Destination::Topic(_) => {
                // A copy of everything from now on, for as long as we are there.
                let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
                let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?.name().clone();
                let options = QueueBindOptions::default();
                channel.queue_bind(queue.clone(), name, "".into(), options, FieldTable::default()).await?;
                (queue, true)
            }
        };
        let options = BasicConsumeOptions { exclusive, ..BasicConsumeOptions::default() };
        let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
        self.standing.subscribed(self.number, link.epoch);
        Ok((link.epoch, channel, consumer))
    }

    /// What is wrong with a subscription that could not begin.
    pub(super) fn explain(&self, error: &lapin::Error) -> Error {
        match &self.subscription.source {
            Destination::Queue(queue) if is_missing(error) => Error::NoSuchQueue(queue.clone()),
            Destination::Topic(topic) if is_missing(error) => Error::NoSuchTopic(topic.clone()),
            _ => Error::Unavailable { place: self.place.to_string(), cause: outage(error), reason: explain(error) },
        }
    }

    /// Hands out what comes until nobody wants it any more, the queue is gone or the transport is closed.
    pub(super) async fn run(mut self, first: Opened) {
        let (mut epoch, mut channel, mut consumer) = first;
        let mut backoff = Backoff::new(PAUSES);
        loop {
            let began = Instant::now();
            let receipts = Arc::new(Receipts::new(channel.clone()));
            let end = self.pump(epoch, &receipts, &channel, &mut consumer).await;
            match end {
                End::Unwanted => return self.leave(&channel, Some(&consumer)).await,
                End::Stopped(reply) => {
                    let rest = self.stop(epoch, &receipts, &channel, &mut consumer).await;
                    let _ = reply.send(rest);
                    tokio::select! {
                        () = self.sender.closed() => {}
                        () = self.connections.over() => {}
                        () = self.connections.gone(epoch) => {}
                    }
                    return self.leave(&channel, None).await;
                }
                End::Lost => {}
            }
            self.holdings.forget(self.number);
            if began.elapsed() > PAUSES.1 {
                backoff.reset();
            }
            (epoch, channel, consumer) = loop {
                let opened = tokio::select! {
                    opened = self.resume() => opened,
                    () = self.sender.closed() => return,
                };
                match opened {
                    Ok(opened) => break opened,
                    // The queue was deleted: whoever waits for its messages must know.
                    Err(Error::NoSuchQueue(_) | Error::NoSuchTopic(_) | Error::Closed) => return,
                    Err(_) => {}
                }
                tokio::select! {
                    () = sleep(jitter(backoff.pause())) => {}
                    () = self.connections.over() => return,
                    // Nothing has come.
                    Some(_) = self.stops.recv() => return,
                }
            };
        }
    }

    async fn resume(&self) -> Result<Opened, Error> {
        let link = self.connections.link(Instant::now() + PAUSES.1).await?;
        if self.connections.is_over() {
            return Err(Error::Closed);
        }
        match self.connections.unless_gone(link.epoch, self.open(&link)).await {
            Some(opened) => opened.map_err(|error| self.explain(&error)),
            None => Err(Error::Unavailable {
                place: self.place.to_string(),
                cause: Outage::Lost,
                reason: "it was lost again".to_owned(),
            }),
        }
    }

    async fn pump(&mut self, epoch: u64, receipts: &Arc<Receipts>, channel: &Channel, consumer: &mut Consumer) -> End {
        let is_topic = matches!(self.subscription.source, Destination::Topic(_));
        let mut bind = interval_at(Instant::now() + BIND, BIND);
        let connections = self.connections.clone();
        let mut gone = pin!(connections.gone(epoch));
        loop {
            let message = tokio::select! {
                biased;
                () = self.sender.closed() => return End::Unwanted,
                () = self.connections.over() => return End::Unwanted,
                Some(reply) = self.stops.recv() => return End::Stopped(reply),
                message = next(consumer) => match message {
                    Some(Ok(message)) => message,
                    Some(Err(_)) | None => return End::Lost,
                },
                () = &mut gone => return End::Lost,
                _ = bind.tick(), if is_topic => {
                    // A broker that reads nothing does not answer.
                    if self.standing.obstacle().is_none() && !self.is_bound(channel, consumer.queue()).await {
                        return End::Lost;
                    }
                    continue;
                }
            };
            let delivery = match self.receive(receipts, message).await {
                Ok(Some(delivery)) => delivery,
                Ok(None) => continue,
                Err(Gone) => return End::Lost,
            };
            tokio::select! {
                sent = self.sender.send(delivery) => if sent.is_err() { return End::Unwanted },
                () = self.connections.over() => return End::Unwanted,
            }
        }
    }

    /// Binds our queue to the topic, once more; false if that is gone.
    async fn is_bound(&self, channel: &Channel, queue: ShortString) -> bool {
        let topic = short(self.subscription.source.name()).unwrap_or_default();
        let bound = channel.queue_bind(queue, topic, "".into(), QueueBindOptions::default(), FieldTable::default());
        matches!(timeout(FAREWELL, bound).await, Ok(Ok(())))
    }

    /// Holds what was delivered; nothing if it is dealt with.
    async fn receive(
        &self,
        receipts: &Arc<Receipts>,
        message: lapin::message::Delivery,
    ) -> Result<Option<Delivery>, Gone> {
        let id = message.properties.message_id().as_ref().map(|id| id.as_str().to_owned());
        if let (Some(id), Destination::Queue(queue)) = (&id, &self.subscription.source)
            && self.holdings.has_accepted(queue, id)
        {
            // The same message once more: it is dealt with.
            self.holdings.drop_duplicate(queue, id);
            let is_told = receipts.acknowledge(message.delivery_tag).await;
            return if is_told { Ok(None) } else { Err(Gone) };
        }
        let (properties, redelivered) = (&message.properties, message.redelivered);
        let delivery = Delivery {
            tag: 0,
            has_own_id: id.is_some(),
            // Others send without an id. Two messages that look the same may be meant to be two.
            id: id.unwrap_or_else(|| Uuid::new_v4().to_string()),
            source: self.subscription.source.clone(),
            properties: wire::said(properties),
            headers: wire::headers(properties),
            body: message.data,
            deliveries: wire::deliveries(properties, redelivered),
            retries: wire::retries(properties),
            returns: wire::returns(properties, redelivered),
            came_before: wire::deliveries(properties, redelivered) > 1 || wire::is_renewed(properties),
            sent: wire::sent(properties),
        };
        let booked = self.holdings.book(&delivery.source, &delivery.id, delivery.has_own_id);
        let tag = self.holdings.hold(Held {
            booked,
            subscription: self.number,
            receipts: Arc::clone(receipts),
            tag: message.delivery_tag,
            properties: message.properties,
            exchange: message.exchange,
            key: message.routing_key,
        });
        Ok(Some(Delivery { tag, ..delivery }))
    }

    /// How long the end of a subscription may take now.
    fn patience(&self) -> Duration {
        if self.standing.obstacle().is_some() { BLOCKED_FAREWELL } else { FAREWELL }
    }

    /// Ends the consumer; what it was still sent. The channel stays, for what is held.
    async fn stop(
        &self,
        epoch: u64,
        receipts: &Arc<Receipts>,
        channel: &Channel,
        consumer: &mut Consumer,
    ) -> Vec<Delivery> {
        let mut rest = Vec::new();
        let stopped = async {
            channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.ok()?;
            // The library tells the end when it has told all that came before the broker's answer.
            while let Some(Ok(message)) = next(consumer).await {
                if let Ok(Some(delivery)) = self.receive(receipts, message).await {
                    rest.push(delivery);
                }
            }
            Some(())
        };
        let _ = self.connections.unless_gone(epoch, timeout(self.patience(), stopped)).await;
        rest
    }

    /// Ends the subscription. What is not settled goes back to the queue.
    async fn leave(&self, channel: &Channel, consumer: Option<&Consumer>) {
        self.holdings.forget(self.number);
        let patience = self.patience();
        let left = timeout(patience, async {
            if let Some(consumer) = consumer {
                channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
            }
            // The answer to this says that the acknowledgements before it have arrived; closing alone does not.
            channel.basic_qos(1, BasicQosOptions::default()).await?;
            channel.close(200, "".into()).await
        })
        .await;
        if left.is_err() {
            let (place, seconds, source) = (&self.place, patience.as_secs(), self.subscription.source.name());
            tracing::warn!(
                "{place} did not answer within {seconds} s when the subscription to `{source}` ended; unsettled \
                 messages are redelivered"
            );
        }
    }
}

impl Drop for Reception {
    fn drop(&mut self) {
        self.standing.left(self.number);
    }
}
