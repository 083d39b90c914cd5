//! Receives the messages of one subscription, on as many connections as it takes.
//!
//! ActiveMQ says only that a message was delivered before, not how often. So that a message which kills its consumer does
//! not do that without end, each return is counted: the message is sent once more with a header and acknowledged in one
//! transaction, before anyone sees it; with too many returns it becomes a dead letter. A subscription that ends in order returns what it has not settled, too: the
//! limit of returns is higher than that of retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::frame::Frame;
use super::keeper::Keeper;
use super::link::{Link, Refusal};
use super::options::Options;
use super::pending::Pending;
use super::transaction::transact;
use super::wire::{self, Copy, Received};
use crate::backoff::Backoff;
use crate::connections::jitter;
use crate::holdings::{self, Holdings};
use crate::message::headers::{CAME_BACK, DESTINATION};
use crate::message::{Destination, is_dead_letter_queue};
use crate::transport::{Delivery, Error, Outage, Subscription};

/// How long we wait before we subscribe again: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A delayed message that comes earlier than this was not delayed by the broker.
const EARLY: Duration = Duration::from_millis(500);
/// How long such a message waits here before it goes to the end of its queue.
const ROUND: Duration = Duration::from_secs(1);
/// How long the broker may take to answer when a subscription begins or ends.
const ANSWER: Duration = Duration::from_secs(10);

/// A delivery that waits to be settled.
pub(super) struct Held {
    subscription: u64,
    /// Where it was taken from.
    pub(super) source: Destination,
    pub(super) link: Arc<Link>,
    /// What the broker wants to be acknowledged.
    pub(super) ack: String,
    /// The headers as they came.
    pub(super) frame: Frame,
    pub(super) received: Received,
    /// Where a copy of a broadcast is handed out once more.
    pub(super) again: mpsc::WeakSender<Delivery>,
    /// The ID by which the books know it; none: they do not.
    pub(super) booked: Option<String>,
    /// A settlement that the broker has not answered yet.
    pub(super) pending: Option<Pending>,
}

impl Held {
    /// The frame that acknowledges it.
    pub(super) fn acknowledgement(&self) -> Frame {
        Frame::new("ACK").with("id", self.ack.as_str())
    }
}

impl holdings::Held for Held {
    fn subscription(&self) -> u64 {
        self.subscription
    }

    fn is_ours(&self) -> bool {
        self.link.is_up()
    }

    fn booked(&self) -> Option<&str> {
        self.booked.as_deref()
    }

    fn acknowledge(self) {
        tokio::spawn(async move { self.link.write(&self.acknowledgement()).await });
    }
}

/// What the subscriptions of a transport share.
pub(super) struct Common {
    pub(super) options: Arc<Options>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) holdings: Holdings<Held>,
}

/// What becomes of messages that come back because their consumer was lost.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// Each return is counted, and a message with too many becomes a dead letter.
    Counted,
    /// They are handed out at once, in their places.
    Uncounted,
    /// Only they are taken, of all queues and before other consumers. A message with more than `limit` returns that count
    /// becomes a dead letter, and is handed out settled.
    Quarantine {
        /// Maximum returns.
        limit: u32,
    },
}

/// A subscription that is being served.
pub(super) struct Reception {
    mode: Mode,
    number: u64,
    subscription: Subscription,
    pub(super) sender: mpsc::Sender<Delivery>,
    stops: mpsc::Receiver<oneshot::Sender<Vec<Delivery>>>,
    pub(super) common: Arc<Common>,
}

/// A subscription on one connection.
pub(super) struct Opened {
    pub(super) link: Arc<Link>,
    id: String,
    pub(super) frames: mpsc::UnboundedReceiver<Frame>,
}

/// Why the messages of one connection ended.
enum End {
    /// Nobody wants any more.
    Unwanted,
    /// It is to be stopped, and somebody waits for what has come.
    Stopped(oneshot::Sender<Vec<Delivery>>),
    /// The connection is gone.
    Lost,
}

impl Reception {
    pub(super) fn new(
        mode: Mode,
        subscription: Subscription,
        sender: mpsc::Sender<Delivery>,
        stops: mpsc::Receiver<oneshot::Sender<Vec<Delivery>>>,
        common: Arc<Common>,
    ) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self { mode, number, subscription, sender, stops, common }
    }

    /// Subscribes on a connection.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub(super) async fn open(&self, link: Arc<Link>) -> Result<Opened, Error> {
        let id = format!("s{}", link.number());
        let frames = link.listen(&id);
        let mut frame = Frame::new("SUBSCRIBE")
            .with("id", id.as_str())
            .with(DESTINATION, wire::address(&self.common.options.prefix, &self.subscription.source))
            .with("ack", "client-individual")
            .with("activemq.prefetchSize", self.subscription.prefetch.max(1).to_string());
        if let Mode::Quarantine { .. } = self.mode {
            // What matches goes to the consumer of the highest priority while it takes more.
            frame = frame.with("selector", CAME_BACK).with("activemq.priority", "127");
        }
        let asked = timeout(ANSWER, link.ask(frame)).await;
        match asked {
            Ok(Ok(())) => {
                self.common.keeper.subscribed(self.number, link.epoch);
                Ok(Opened { link, id, frames })
            }
            Ok(Err(Refusal::Refused(reason))) => {
                link.leave(&id);
                let destination = wire::shown(self.subscription.source.name());
                Err(Error::Refused { destination, reason, is_full: false })
            }
            Ok(Err(Refusal::Lost)) => Err(self.common.keeper.unavailable(Outage::Lost, "the connection was lost")),
            Err(_) => {
                link.close("the connection is lost: a subscription was not answered");
                Err(self.common.keeper.unavailable(Outage::NoAnswer, "it did not answer in time"))
            }
        }
    }

    /// Hands out what comes until nobody wants it any more or the transport is closed.
    pub(super) async fn run(mut self, mut opened: Opened) {
        let keeper = self.common.keeper.clone();
        let mut backoff = Backoff::new(PAUSES);
        loop {
            let began = Instant::now();
            match self.pump(&mut opened).await {
                End::Unwanted => return self.leave(&opened).await,
                End::Stopped(reply) => {
                    let _ = reply.send(self.stop(&mut opened).await);
                    tokio::select! {
                        () = self.sender.closed() => {}
                        () = keeper.connections.over() => {}
                        _ = opened.link.lost() => {}
                    }
                    return self.leave(&opened).await;
                }
                End::Lost => {}
            }
            self.common.holdings.forget(self.number);
            if began.elapsed() > PAUSES.1 {
                backoff.reset();
            }
            opened = loop {
                let resumed = async {
                    let link = keeper.connections.link(Instant::now() + PAUSES.1).await?;
                    if keeper.connections.is_over() { Err(Error::Closed) } else { self.open(link).await }
                };
                let resumed = tokio::select! {
                    resumed = resumed => resumed,
                    () = self.sender.closed() => return,
                };
                match resumed {
                    Ok(opened) => break opened,
                    Err(Error::Closed) => return,
                    Err(_) => {}
                }
                tokio::select! {
                    () = sleep(jitter(backoff.pause())) => {}
                    () = keeper.connections.over() => return,
                    // Nothing has come.
                    Some(_) = self.stops.recv() => return,
                }
            };
        }
    }

    async fn pump(&mut self, opened: &mut Opened) -> End {
        let keeper = self.common.keeper.clone();
        if let Mode::Quarantine { limit } = self.mode {
            return tokio::select! {
                biased;
                () = self.sender.closed() => End::Unwanted,
                () = keeper.connections.over() => End::Unwanted,
                () = self.quarantine(limit, opened) => End::Lost,
            };
        }
        loop {
            let frame = tokio::select! {
                biased;
                () = self.sender.closed() => return End::Unwanted,
                () = keeper.connections.over() => return End::Unwanted,
                Some(reply) = self.stops.recv() => return End::Stopped(reply),
                frame = opened.frames.recv() => match frame {
                    Some(frame) => frame,
                    None => return End::Lost,
                },
            };
            let Some(delivery) = self.receive(&opened.link, frame).await else { continue };
            tokio::select! {
                sent = self.sender.send(delivery) => if sent.is_err() { return End::Unwanted },
                () = keeper.connections.over() => return End::Unwanted,
            }
        }
    }

    /// What a frame delivers, with its body apart.
    pub(super) fn held(&self, link: &Arc<Link>, mut frame: Frame, source: Destination) -> (Held, Vec<u8>) {
        let mut received = wire::received(&self.common.options.prefix, &frame);
        let body = std::mem::take(&mut frame.body);
        if received.id.is_empty() {
            received.id = Uuid::new_v4().to_string();
        }
        let ack = frame.get("ack").unwrap_or_default().to_owned();
        let (subscription, again) = (self.number, self.sender.downgrade());
        let link = link.clone();
        let held = Held { subscription, source, link, ack, frame, received, again, booked: None, pending: None };
        (held, body)
    }

    /// Holds what was delivered; nothing if it is dealt with.
    async fn receive(&self, link: &Arc<Link>, frame: Frame) -> Option<Delivery> {
        let common = &self.common;
        let source = &self.subscription.source;
        let (mut held, body) = self.held(link, frame, source.clone());
        if let Destination::Queue(queue) = source {
            if common.holdings.has_accepted(queue, &held.received.id) {
                // The same message once more: it is dealt with.
                common.holdings.drop_duplicate(queue, &held.received.id);
                link.write(&held.acknowledgement()).await;
                return None;
            }
            // Looking at a dead letter must not change it.
            let is_counted = matches!(self.mode, Mode::Counted) && !is_dead_letter_queue(queue);
            if held.received.is_redelivered && is_counted {
                held.received.count_return();
                let limit = common.options.return_limit;
                tokio::select! {
                    _ = self.count_return(queue, limit, &held, &body) => {}
                    // It comes again.
                    () = common.keeper.connections.over() => {}
                }
                return None;
            }
            if let Some(early) = held.received.due.and_then(|due| due.duration_since(SystemTime::now()).ok())
                && early > EARLY
            {
                self.put_off(queue, held, body, early);
                return None;
            }
        }
        let received = &held.received;
        let counted = received.retries.saturating_add(received.returns);
        let deliveries = counted.saturating_add(1).saturating_add(u32::from(received.is_redelivered));
        let delivery = Delivery {
            tag: 0,
            id: received.id.clone(),
            has_own_id: received.has_own_id,
            source: source.clone(),
            properties: received.properties.clone(),
            headers: received.headers.clone(),
            body,
            deliveries,
            retries: received.retries,
            // No queue of the broker's has a limit.
            returns: 0,
            came_before: deliveries > 1,
            sent: received.sent,
        };
        held.booked = common.holdings.book(source, &held.received.id, held.received.has_own_id);
        let tag = common.holdings.hold(held);
        Some(Delivery { tag, ..delivery })
    }

    /// Sends a message that the broker has not delayed to the end of its queue a little later.
    fn put_off(&self, queue: &str, held: Held, body: Vec<u8>, early: Duration) {
        static IS_TOLD: AtomicBool = AtomicBool::new(false);
        if !IS_TOLD.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the broker has no scheduler: delayed messages circulate in queue {queue} until they are due"
            );
        }
        let (common, destination) = (self.common.clone(), self.subscription.source.clone());
        tokio::spawn(async move {
            sleep(early.min(ROUND)).await;
            let (received, frame) = (&held.received, &held.frame);
            let (retries, returns, due) = (received.retries, received.returns, received.due);
            let (delay, returned) = (Duration::ZERO, received.returned.as_deref());
            let copy = Copy { frame, body: &body, destination: &destination, delay, due, retries, returns, returned };
            let copy = copy.send(&common.options.prefix, &received.id, received.has_own_id);
            let work = transact(&held.link, vec![copy], vec![held.acknowledgement()], || false);
            let _ = common.keeper.answer(work).await;
        });
    }

    /// Hands nothing more out; what has come. The subscription stays, because with its end the broker would give what is
    /// held to others. What comes from now on goes back at its end.
    async fn stop(&self, opened: &mut Opened) -> Vec<Delivery> {
        let mut rest = Vec::new();
        while let Ok(frame) = opened.frames.try_recv() {
            rest.extend(self.receive(&opened.link, frame).await);
        }
        rest
    }

    /// Ends the subscription. What is not settled goes back to the queue.
    async fn leave(&self, opened: &Opened) {
        self.common.holdings.forget(self.number);
        self.unsubscribe(opened).await;
    }

    async fn unsubscribe(&self, opened: &Opened) {
        let frame = Frame::new("UNSUBSCRIBE").with("id", opened.id.as_str());
        if timeout(ANSWER, opened.link.ask(frame)).await.is_err() {
            opened.link.close("the connection is lost: the end of a subscription was not answered");
        }
        opened.link.leave(&opened.id);
    }
}

impl Drop for Reception {
    fn drop(&mut self) {
        self.common.keeper.left(self.number);
    }
}
