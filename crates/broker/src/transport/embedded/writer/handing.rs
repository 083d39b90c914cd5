//! After a transaction: changes what is in memory, answers, hands out messages and wakes others.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Writer;
use super::requests::{Answer, Done, Op, Reply, Request, Subscriber};
use crate::transport::embedded::sql::{Claim, Held};
use crate::transport::{Delivery, Error};
use zrecipe_language::value::Object;

/// The bell is rung for work at most this often, and this often for those who only watch.
const BELL_FOR_WORK: Duration = Duration::from_millis(2);
const BELL_FOR_NEWS: Duration = Duration::from_millis(10);

pub(super) struct Subscription {
    pub(super) subscriber: Subscriber,
    pub(super) namespace: i64,
    pub(super) queue: i64,
    pub(super) unsettled: usize,
}

pub(super) struct Holding {
    pub(super) subscription: u64,
    pub(super) namespace: Arc<str>,
    pub(super) held: Held,
}

impl Holding {
    pub(super) fn is(&self, namespace: &str, id: &str) -> bool {
        *self.namespace == *namespace && self.held.id == id
    }
}

impl Writer {
    /// The transaction is on the disk: change what is in memory, answer, and hand out.
    pub(super) fn conclude(&mut self, ops: Vec<Op>, replies: Vec<Option<Reply>>, done: Done) {
        self.failed = false;
        let mut again = false;
        for ((op, reply), outcome) in ops.into_iter().zip(replies).zip(done.outcomes) {
            if let Ok(answer) = &outcome {
                again |= matches!(op, Op::Subscribe(_));
                self.apply(op, answer);
            } else if let (Op::Settle { namespace, tag, id, .. }, Err(Error::NotHeld)) = (&op, &outcome)
                && self.held.get(tag).is_some_and(|holding| holding.is(namespace, id))
            {
                // Taken from us: there is room for another one.
                self.let_go(*tag);
                again = true;
            }
            if let Some(reply) = reply {
                let _ = reply.send(outcome);
            }
        }
        for (number, claim) in done.claims {
            self.hand_out(number, claim);
        }
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, changes) in &done.changed {
            if let Some(watch) = watches.get(name) {
                publish(watch, *changes);
            }
        }
        drop(watches);
        if !done.changed.is_empty() && !self.others.is_empty() {
            let pause = if done.leaves_work { BELL_FOR_WORK } else { BELL_FOR_NEWS };
            let now = Instant::now();
            let at = self.rung.map_or(now, |rung| now.max(rung + pause));
            self.ring_at = Some(self.ring_at.map_or(at, |before| before.min(at)));
        }
        if again {
            // A new subscription, or a place that is free again, takes messages.
            let _ = self.own.send(Request::Look);
        }
    }

    fn apply(&mut self, op: Op, answer: &Answer) {
        match (op, answer) {
            (Op::Settle { tag, .. }, _) => self.let_go(tag),
            (Op::Subscribe(subscriber), Answer::Place { namespace, queue }) => {
                let (namespace, queue) = (*namespace, *queue);
                self.dry.remove(&queue);
                let number = subscriber.number;
                self.subscriptions.insert(number, Subscription { subscriber, namespace, queue, unsettled: 0 });
            }
            (Op::Hold { lease, namespace }, Answer::Held(true)) => {
                if let Ok(namespace) = self.ledger.namespace_made(&namespace) {
                    self.owned.entry(namespace).or_insert(lease);
                }
            }
            (Op::Forget { namespace }, _) => {
                for number in self.subscriptions_of(|subscription| subscription.subscriber.namespace == namespace) {
                    self.drop_subscription(number);
                }
                let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(watch) = watches.get(&*namespace) {
                    publish(watch, 0);
                }
            }
            (Op::End(number), _) => self.drop_subscription(number),
            (Op::Leave(lease), _) => {
                for number in self.subscriptions_of(|subscription| subscription.subscriber.lease == lease) {
                    self.drop_subscription(number);
                }
                self.owned.retain(|_, owner| *owner != lease);
            }
            _ => {}
        }
    }

    fn let_go(&mut self, tag: u64) {
        if let Some(holding) = self.held.remove(&tag)
            && let Some(subscription) = self.subscriptions.get_mut(&holding.subscription)
        {
            subscription.unsettled -= 1;
        }
    }

    pub(super) fn drop_subscription(&mut self, number: u64) {
        self.subscriptions.remove(&number);
        self.held.retain(|_, holding| holding.subscription != number);
    }

    fn hand_out(&mut self, number: u64, claim: Claim) {
        let Some(subscription) = self.subscriptions.get_mut(&number) else { return };
        let tag = self.next_tag;
        self.next_tag = self.next_tag.wrapping_add(1);
        subscription.unsettled += 1;
        let sent = claim.sent();
        let namespace = subscription.subscriber.namespace.clone();
        let held = Held {
            namespace: subscription.namespace,
            queue: subscription.queue,
            source: subscription.subscriber.source.clone(),
            seq: claim.seq,
            id: claim.id.clone(),
            deliveries: claim.deliveries,
            retries: claim.retries,
            sent: claim.sent,
        };
        self.held.insert(tag, Holding { subscription: number, namespace, held });
        let delivery = Delivery {
            tag,
            id: claim.id,
            has_own_id: true,
            source: subscription.subscriber.source.clone(),
            properties: Object::new(),
            headers: claim.headers,
            body: claim.body,
            deliveries: u32::try_from(claim.deliveries).unwrap_or(u32::MAX),
            retries: u32::try_from(claim.retries).unwrap_or(u32::MAX),
            returns: u32::try_from(claim.deliveries.saturating_sub(1)).unwrap_or(u32::MAX),
            came_before: claim.deliveries > 1,
            sent: Some(sent),
        };
        // Full it cannot be; closed it may be, and then the end of the subscription releases the message.
        let _ = subscription.subscriber.sender.try_send(delivery);
    }

    pub(super) fn ring_if_due(&mut self) {
        if self.ring_at.is_some_and(|at| at <= Instant::now()) {
            self.bell.ring();
            self.rung = Some(Instant::now());
            self.ring_at = None;
        }
    }
}

pub(super) fn publish(watch: &watch::Sender<u64>, changes: u64) {
    watch.send_if_modified(|seen| std::mem::replace(seen, changes) != changes);
}
