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
use super::keeper::{Keeper, jitter};
use super::link::{Link, Refusal};
use super::options::Options;
use super::transaction::transact;
use super::wire::{self, Copy, Received};
use crate::backoff::Backoff;
use crate::holdings::{self, Holdings};
use crate::message::headers::{CAME_BACK, DESTINATION};
use crate::message::{Cause, Code, Destination, Reason, is_dead_letter_queue};
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

    // No books are kept of ActiveMQ.
    fn booked(&self) -> Option<&str> {
        None
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
    /// Only they are taken, of all queues and before other consumers. Each return is counted; a message with more than
    /// `limit` becomes a dead letter, and is handed out settled.
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
    sender: mpsc::Sender<Delivery>,
    stops: mpsc::Receiver<oneshot::Sender<Vec<Delivery>>>,
    common: Arc<Common>,
}

/// A subscription on one connection.
pub(super) struct Opened {
    link: Arc<Link>,
    id: String,
    frames: mpsc::UnboundedReceiver<Frame>,
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
                        () = keeper.over() => {}
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
                    let link = keeper.link(Instant::now() + PAUSES.1).await?;
                    if keeper.is_over() { Err(Error::Closed) } else { self.open(link).await }
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
                    () = keeper.over() => return,
                    // Nothing has come.
                    Some(_) = self.stops.recv() => return,
                }
            };
        }
    }

    async fn pump(&mut self, opened: &mut Opened) -> End {
        let keeper = self.common.keeper.clone();
        loop {
            let frame = tokio::select! {
                biased;
                () = self.sender.closed() => return End::Unwanted,
                () = keeper.over() => return End::Unwanted,
                Some(reply) = self.stops.recv() => return End::Stopped(reply),
                frame = opened.frames.recv() => match frame {
                    Some(frame) => frame,
                    None => return End::Lost,
                },
            };
            let Some(delivery) = self.receive(&opened.link, frame).await else { continue };
            tokio::select! {
                sent = self.sender.send(delivery) => if sent.is_err() { return End::Unwanted },
                () = keeper.over() => return End::Unwanted,
            }
        }
    }

    /// Holds what was delivered; nothing if it is dealt with.
    async fn receive(&self, link: &Arc<Link>, mut frame: Frame) -> Option<Delivery> {
        let common = &self.common;
        let source = match (&self.mode, frame.get(DESTINATION)) {
            // It is subscribed to all queues.
            (Mode::Quarantine { .. }, Some(address)) => {
                &Destination::Queue(wire::queue(&common.options.prefix, address))
            }
            _ => &self.subscription.source,
        };
        let mut received = wire::received(&common.options.prefix, &frame);
        let body = std::mem::take(&mut frame.body);
        if received.id.is_empty() {
            received.id = Uuid::new_v4().to_string();
        }
        let ack = frame.get("ack").unwrap_or_default().to_owned();
        let mut held = Held {
            subscription: self.number,
            source: source.clone(),
            link: link.clone(),
            ack,
            frame,
            received,
            again: self.sender.downgrade(),
        };
        if let (Mode::Quarantine { .. }, Destination::Queue(queue)) = (&self.mode, source) {
            return self.quarantine(queue, held, body).await;
        }
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
                self.count_return(queue, &held, &body).await;
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
        let tag = common.holdings.hold(held);
        Some(Delivery { tag, ..delivery })
    }

    /// Sends a message that came back once more, with the count of its returns, or as a dead letter. What the broker does
    /// not take now comes again with the next connection.
    ///
    /// Returns whether it is a dead letter now.
    async fn count_return(&self, queue: &str, held: &Held, body: &[u8]) -> bool {
        let (prefix, received) = (&self.common.options.prefix, &held.received);
        let limit = match self.mode {
            Mode::Quarantine { limit } => limit,
            Mode::Counted | Mode::Uncounted => self.common.options.return_limit,
        };
        let is_poison = received.returns > limit && !is_dead_letter_queue(queue);
        let counted = if is_poison {
            let (count, times) = (received.returns, received.times_of_returns());
            let reason = format!("it came back {count} times, because the consumers that had it were lost{times}");
            let reason = Reason::new(Code::ConsumerDied, reason);
            wire::dead_letter(prefix, queue, received, body, Cause::DeliveryLimit, &reason)
        } else {
            let destination = &held.source;
            let (retries, returns, returned) = (received.retries, received.returns, received.returned.as_deref());
            let (frame, due) = (&held.frame, received.due);
            let copy = Copy { frame, body, destination, delay: Duration::ZERO, due, retries, returns, returned };
            Ok(copy.send(prefix, &received.id, received.has_own_id))
        };
        let counted = match counted {
            Ok(frame) => transact(&held.link, vec![frame], Some(held.acknowledgement())).await,
            Err(error) => Err(Refusal::Refused(error.to_string())),
        };
        if let Err(Refusal::Refused(reason)) = &counted {
            tracing::warn!("a return of message {} to queue {queue} cannot be counted: {reason}", received.id);
            held.link.close("the connection is closed: the broker does not let us count a message that came back");
        }
        is_poison && counted.is_ok()
    }

    /// Counts the return of a message that no consumer is to have before; the message, if it is a dead letter now.
    async fn quarantine(&self, queue: &str, mut held: Held, body: Vec<u8>) -> Option<Delivery> {
        if held.received.is_redelivered && !is_dead_letter_queue(queue) {
            held.received.count_return();
        }
        let is_poison = self.count_return(queue, &held, &body).await;
        let received = held.received;
        is_poison.then(|| Delivery {
            tag: 0,
            id: received.id,
            has_own_id: received.has_own_id,
            source: held.source,
            properties: received.properties,
            headers: received.headers,
            body,
            deliveries: received.returns,
            retries: received.retries,
            returns: received.returns,
            came_before: true,
            sent: received.sent,
        })
    }

    /// Sends a message that the broker has not delayed to the end of its queue a little later.
    fn put_off(&self, queue: &str, held: Held, body: Vec<u8>, early: Duration) {
        static IS_TOLD: AtomicBool = AtomicBool::new(false);
        if !IS_TOLD.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the broker has no scheduler: messages that are delayed go round in queue {queue} until they are due"
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
            let _ = transact(&held.link, vec![copy], Some(held.acknowledgement())).await;
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
