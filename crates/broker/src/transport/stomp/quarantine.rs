//! Messages that came back because their consumer was lost: counted in the store of the broker, and dead-lettered.
//!
//! The broker marks all that a lost consumer had prefetched, and hands it out again in the order in which the consumer had
//! it. A consumer that takes one message after the other dies of the first that it has not acknowledged. So of messages that
//! come back together to one queue only the first counts; those behind it go back uncounted, before the first. What went back
//! and comes again was taken by another consumer, so that it is the first of the next loss, however soon that is. Where
//! several consumers of a queue die at the same moment, one of their messages counts: the others do when they come back again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::QUARANTINED;
use super::faults;
use super::frame::Frame;
use super::link::{Link, Refusal};
use super::reception::{Held, Opened, Reception};
use super::transaction::transact;
use super::wire::{self, Copy};
use crate::message::headers::DESTINATION;
use crate::message::{Cause, Code, Destination, Reason, is_dead_letter_queue};
use crate::transport::Delivery;

/// How long after one message the next may come that came back with it.
const TOGETHER: Duration = Duration::from_millis(100);
/// Pause before a broker whose store is full is asked again.
const FULL_PAUSE: Duration = Duration::from_secs(2);

/// A message that is held, and its body.
type Returned = (String, Held, Vec<u8>);

/// What came back to one queue because one consumer was lost.
struct Loss {
    /// When a message of it came or went back last.
    at: Instant,
    /// The IDs of the messages that came back; all go back to the queue.
    ids: HashSet<String>,
}

/// The last loss of each queue.
#[derive(Default)]
struct Losses(HashMap<String, Loss>);

impl Losses {
    /// Forgets losses of which everything has come.
    fn expire(&mut self, now: Instant) {
        self.0.retain(|_, loss| now.duration_since(loss.at) <= TOGETHER);
    }

    /// Whether a message that comes back is the first of a loss.
    fn begins(&mut self, queue: &str, id: &str, at: Instant) -> bool {
        if let Some(loss) = self.0.get_mut(queue) {
            loss.at = at;
            if loss.ids.insert(id.to_owned()) {
                return false;
            }
        }
        self.0.insert(queue.to_owned(), Loss { at, ids: HashSet::from([id.to_owned()]) });
        true
    }

    /// What came has gone back; the broker hands out the rest now.
    fn went_back(&mut self) {
        self.0.values_mut().for_each(|loss| loss.at = Instant::now());
    }
}

impl Reception {
    /// Counts the returns of messages until the connection is lost.
    pub(super) async fn quarantine(&self, limit: u32, opened: &mut Opened) {
        let mut losses = Losses::default();
        while let Some(frame) = opened.frames.recv().await {
            losses.expire(Instant::now());
            let mut returned = vec![self.returned(&opened.link, frame)];
            while let Ok(Some(frame)) = timeout(TOGETHER, opened.frames.recv()).await {
                returned.push(self.returned(&opened.link, frame));
                if returned.len() >= usize::from(QUARANTINED) {
                    break;
                }
            }
            let now = Instant::now();
            let (first, behind): (Vec<_>, Vec<_>) =
                returned.into_iter().partition(|(queue, held, _)| losses.begins(queue, &held.received.id, now));
            let letters = self.count_returns(limit, first, behind).await;
            losses.went_back();
            for letter in letters {
                if self.sender.send(letter).await.is_err() {
                    return;
                }
            }
        }
    }

    fn returned(&self, link: &Arc<Link>, frame: Frame) -> Returned {
        // It is subscribed to all queues.
        let address = frame.get(DESTINATION).unwrap_or_default();
        let queue = wire::queue(&self.common.options.prefix, address);
        let (held, body) = self.held(link, frame, Destination::Queue(queue.clone()));
        (queue, held, body)
    }

    /// Counts the returns of messages that came back first, and puts back those behind them; the dead letters of these.
    async fn count_returns(&self, limit: u32, first: Vec<Returned>, behind: Vec<Returned>) -> Vec<Delivery> {
        let mut letters = Vec::new();
        let first = first.into_iter().map(|(queue, mut held, body)| {
            if held.received.is_redelivered && !is_dead_letter_queue(&queue) {
                held.received.count_return();
            }
            (queue, held, body)
        });
        // The next consumer deals with the others first.
        for (queue, held, body) in behind.into_iter().chain(first) {
            if !self.count_return(&queue, limit, &held, &body).await {
                continue;
            }
            let received = held.received;
            letters.push(Delivery {
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
            });
        }
        letters
    }

    /// Sends a message that came back once more, with the count of its returns, or as a dead letter; waits while the broker
    /// has no room. What it does not take otherwise comes again with the next connection.
    ///
    /// Returns whether it is a dead letter now.
    pub(super) async fn count_return(&self, queue: &str, limit: u32, held: &Held, body: &[u8]) -> bool {
        let (prefix, keeper, received) = (&self.common.options.prefix, &self.common.keeper, &held.received);
        let is_poison = received.returns > limit && !is_dead_letter_queue(queue);
        let counted = if is_poison {
            let (count, times) = (received.returns, received.times_of_returns());
            let reason =
                format!("it was redelivered {count} times, because the consumers that held it were lost{times}");
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
            Ok(frame) => loop {
                let (frames, acknowledgements) = (vec![frame.clone()], vec![held.acknowledgement()]);
                let work = transact(&held.link, frames, acknowledgements, || false);
                match keeper.unless_silent(work).await {
                    Err(Refusal::Refused(reason)) if faults::is_full(&reason) => {
                        keeper.blocked(reason);
                        sleep(FULL_PAUSE).await;
                    }
                    Err(Refusal::Lost) => break Err(Refusal::Lost),
                    answer => {
                        keeper.answered();
                        break answer;
                    }
                }
            },
            Err(error) => Err(Refusal::Refused(error.to_string())),
        };
        if let Err(Refusal::Refused(reason)) = &counted {
            tracing::warn!("a redelivery of message {} in queue {queue} cannot be counted: {reason}", received.id);
            held.link.close("the connection is closed: the broker refuses the count of a redelivered message");
        }
        if is_poison && counted.is_ok() {
            self.common.enter_dead(held);
        }
        is_poison && counted.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{Losses, TOGETHER};

    #[test]
    fn losses_are_told_apart_by_what_went_back_and_by_time() {
        let mut losses = Losses::default();
        let mut now = Instant::now();
        let mut begin = |queue: &str, ids: &str, now: Instant| -> Vec<bool> {
            losses.expire(now);
            ids.split(' ').map(|id| losses.begins(queue, id, now)).collect()
        };
        assert_eq!(begin("images", "poison a b", now), [true, false, false]);
        assert_eq!(begin("other", "a", now), [true], "each queue has its own");
        // The rest of the first loss, and then that of a consumer which was restarted at once.
        assert_eq!(begin("images", "c d poison a b", now), [false, false, true, false, false]);
        assert_eq!(begin("images", "c d", now), [false, false]);
        now += TOGETHER * 2;
        assert_eq!(begin("images", "e a", now), [true, false]);
    }
}
