//! Messages that are handed to consumers, and how they are settled.

use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use crate::books::Fate;
use crate::message::{Destination, Outgoing, Reason, is_dead_letter_queue};
use zrecipe_language::value::{Object, Value};

/// A message that a broker has handed to a consumer and that waits to be settled.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The transport's handle for settling; it has no meaning elsewhere.
    pub tag: u64,
    /// The id it was sent with, or one that was made up for this delivery.
    pub id: String,
    /// Whether it was sent with that id.
    pub has_own_id: bool,
    /// The queue it was taken from, or the topic.
    pub source: Destination,
    /// What else its sender said of it, as in [`Outgoing`].
    pub properties: Object,
    /// Headers.
    pub headers: Object,
    /// Body.
    pub body: Vec<u8>,
    /// How often it has been delivered, this time included: 1 for the first time.
    pub deliveries: u32,
    /// How often a retry brought it back: [`Verdict::Retry`]. Deaths of consumers do not count here.
    pub retries: u32,
    /// How often it has come back to its queue as far as the broker counts that: what a queue's own limit is about.
    pub returns: u32,
    /// Whether it may have been delivered before, by this or another message that it is a copy of.
    pub came_before: bool,
    /// When it was sent, as far as anybody says.
    pub sent: Option<SystemTime>,
}

/// What becomes of a delivered message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is dealt with.
    Accept,
    /// It cannot be dealt with now: deliver it again after a while. Counts towards the delivery limit.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Why, for whoever reads the dead letter if the limit is reached.
        reason: String,
    },
    /// Nobody can deal with it: move it to the dead-letter queue of its queue.
    DeadLetter {
        /// Why; travels with the dead letter.
        reason: Reason,
    },
    /// It cannot be settled now for a reason that is not its own: deliver it again after a while, with the same id. This
    /// attempt does not count towards any limit. A broker may put it at the end of its queue.
    Requeue {
        /// How long to wait.
        after: Duration,
    },
    /// It was not looked at (the service is shutting down): back to its queue. Where the broker lets us, it takes its
    /// place at the head again and this does not count as a delivery.
    Release,
}

impl Verdict {
    /// Whether the message is not delivered again.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Accept | Self::DeadLetter { .. })
    }

    /// Pause before the message is delivered again as another attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Retry { after, .. } => Some(*after),
            _ => None,
        }
    }
}

/// How a delivery ends: what it led to, and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// Accept, retry, dead-letter or release.
    pub verdict: Verdict,
    /// Messages it led to. All are confirmed before the delivery is acknowledged; on a transport with
    /// transactions both happen in one.
    pub outputs: Vec<Outgoing>,
    /// What to keep about it in the history of its run; transports without a history ignore it.
    pub note: Option<Value>,
}

impl Settlement {
    /// The end of a delivery that led to nothing.
    pub fn of(verdict: Verdict) -> Self {
        Self { verdict, outputs: Vec::new(), note: None }
    }

    /// The record of the settled message in the accounts. `is_last` states that no retry is left: a message that is to be
    /// retried is dead-lettered then.
    pub fn fate(&self, source: &Destination, is_last: bool) -> Fate {
        match &self.verdict {
            Verdict::Accept if is_dead_letter_queue(source.name()) => Fate::Removed,
            Verdict::Accept => Fate::Finished,
            Verdict::DeadLetter { .. } => Fate::Dead,
            Verdict::Retry { .. } if is_last => Fate::Dead,
            Verdict::Retry { after, .. } | Verdict::Requeue { after } => Fate::Again { after: *after },
            Verdict::Release => Fate::Again { after: Duration::ZERO },
        }
    }
}

/// A wish to receive messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The queue (shared with other consumers) or topic (a copy of everything from now on).
    pub source: Destination,
    /// How many unsettled messages this subscription may hold; at least 1.
    pub prefetch: u16,
}

/// The messages of one subscription. Dropping it ends the subscription; unsettled messages are released.
pub struct Deliveries {
    receiver: mpsc::Receiver<Delivery>,
    is_wanted: Option<IsWanted>,
    stopper: Option<Stopper>,
}

/// Who ends a subscription, and tells what had come and was not handed out.
pub(crate) type Stopper = mpsc::Sender<oneshot::Sender<Vec<Delivery>>>;

/// Whether a delivery is to be handed out.
type IsWanted = Box<dyn Fn(&Delivery) -> bool + Send + Sync>;

impl Deliveries {
    /// Wraps the receiving end of a transport's channel.
    pub fn new(receiver: mpsc::Receiver<Delivery>) -> Self {
        Self { receiver, is_wanted: None, stopper: None }
    }

    /// The same for a transport that may lose what it has delivered, or deliver a message twice: what is not
    /// `is_wanted` any more is not handed out, because it will come again, is with somebody else, or is dealt with.
    pub fn checked(
        receiver: mpsc::Receiver<Delivery>,
        is_wanted: impl Fn(&Delivery) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { receiver, is_wanted: Some(Box::new(is_wanted)), stopper: None }
    }

    /// With somebody who can stop it.
    pub(crate) fn stopped_by(self, stopper: Stopper) -> Self {
        Self { stopper: Some(stopper), ..self }
    }

    /// The next message; nothing once the transport is closed or the subscription is lost.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            let delivery = self.receiver.recv().await?;
            if self.wants(&delivery) {
                return Some(delivery);
            }
        }
    }

    /// The next message if it is there already.
    pub fn next_at_once(&mut self) -> Option<Delivery> {
        loop {
            let delivery = self.receiver.try_recv().ok()?;
            if self.wants(&delivery) {
                return Some(delivery);
            }
        }
    }

    /// Has no more delivered; what was delivered and not handed out until then. Where a release counts as a delivery,
    /// whoever lets go must know of all. What is held is held on, and released when this is dropped.
    pub async fn stop(&mut self) -> Vec<Delivery> {
        let mut rest = Vec::new();
        if let Some(stopper) = self.stopper.take() {
            let (reply, mut answer) = oneshot::channel();
            let _ = stopper.send(reply).await;
            let last = loop {
                tokio::select! {
                    last = &mut answer => break last.unwrap_or_default(),
                    Some(delivery) = self.receiver.recv() => rest.push(delivery),
                }
            };
            rest.extend(std::iter::from_fn(|| self.receiver.try_recv().ok()));
            rest.extend(last);
        }
        rest.retain(|delivery| self.wants(delivery));
        rest
    }

    fn wants(&self, delivery: &Delivery) -> bool {
        self.is_wanted.as_ref().is_none_or(|is_wanted| is_wanted(delivery))
    }
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliveries").finish_non_exhaustive()
    }
}
