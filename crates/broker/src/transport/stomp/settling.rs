//! Sending messages and settling deliveries, with a time limit.
//!
//! At a limit of its memory or store ActiveMQ answers when it has room again, and reads nothing more of the connection. A
//! settlement that is not answered in time goes on: whoever asks for it again gets its outcome. The connection stays, because
//! with its end the broker would count all that it holds as delivered in vain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::faults;
use super::frame::Frame;
use super::group::{Group, Request};
use super::link::{Link, Refusal};
use super::pending::{Consequence, Pending};
use super::reception::Held;
use super::wire::{self, Copy};
use super::{Shared, Stomp};
use crate::message::{Cause, Code, Reason};
use crate::transport::{Delivery, Destination, Error, Settlement, Verdict};

/// A transaction that the broker has not answered in time.
struct Unanswered {
    answer: oneshot::Receiver<Result<(), Refusal>>,
    given_up: Arc<AtomicBool>,
}

impl Shared {
    /// Has a request performed on a connection.
    fn put(&self, link: &Arc<Link>, request: Request) {
        let mut group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        let group = match &mut *group {
            Some(group) if group.epoch == link.epoch => group,
            other => other.insert(Group::start(link.clone())),
        };
        group.put(request);
    }
}

impl Stomp {
    /// Sends messages and waits until the broker has them, on this connection or the next.
    pub(super) async fn publish(&self, frames: Vec<Frame>, destination: &str) -> Result<(), Error> {
        let deadline = self.deadline();
        loop {
            let link = self.keeper().connections.link(deadline).await?;
            let answer = match self.transact(&link, frames.clone(), None, deadline).await {
                Ok(answer) => answer,
                Err(unanswered) => {
                    unanswered.given_up.store(true, Ordering::Relaxed);
                    return Err(self.unconfirmed(destination));
                }
            };
            match self.result(answer, destination) {
                Err(Error::NotHeld) => {}
                done => return done,
            }
            if Instant::now() >= deadline {
                return Err(self.unconfirmed(destination));
            }
        }
    }

    pub(super) fn unconfirmed(&self, destination: &str) -> Error {
        Error::Unconfirmed { destination: wire::shown(destination), reason: self.keeper().obstacle() }
    }

    /// A transaction, with a time limit; it goes on when that is over.
    async fn transact(
        &self,
        link: &Arc<Link>,
        messages: Vec<Frame>,
        acknowledgement: Option<Frame>,
        deadline: Instant,
    ) -> Result<Result<(), Refusal>, Unanswered> {
        let given_up = Arc::new(AtomicBool::new(false));
        let (reply, answer) = oneshot::channel();
        self.shared.put(link, Request { messages, acknowledgement, given_up: given_up.clone(), reply });
        let keeper = self.shared.common.keeper.clone();
        let mut work =
            Box::pin(async move { keeper.answer(async { answer.await.unwrap_or(Err(Refusal::Lost)) }).await });
        match timeout_at(deadline, &mut work).await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                self.keeper().silent();
                let (reply, answer) = oneshot::channel();
                tokio::spawn(async move { reply.send(work.await) });
                Err(Unanswered { answer, given_up })
            }
        }
    }

    /// What an answer means. A connection that is lost meanwhile is [`Error::NotHeld`].
    fn result(&self, answer: Result<(), Refusal>, destination: &str) -> Result<(), Error> {
        answer.map_err(|refusal| match refusal {
            Refusal::Lost => Error::NotHeld,
            Refusal::Refused(reason) => {
                let is_full = faults::is_full(&reason);
                Error::Refused { destination: wire::shown(destination), reason, is_full }
            }
        })
    }

    /// Settles a delivery that is held.
    pub(super) async fn conclude(
        &self,
        held: &mut Held,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> Result<(), Error> {
        if let Some(mut pending) = held.pending.take() {
            // Whoever is to stop does not wait.
            let is_last = settlement.verdict == Verdict::Release;
            let patience = if is_last { Duration::ZERO } else { self.shared.common.options.patience };
            match timeout(patience, &mut pending.answer).await {
                Ok(Ok(Ok(()))) => {
                    self.follow(delivery, pending.consequence);
                    return Ok(());
                }
                Ok(Ok(Err(Refusal::Refused(_)))) => {}
                Ok(Ok(Err(Refusal::Lost)) | Err(_)) => return Err(Error::NotHeld),
                Err(_) => {
                    let error = self.unconfirmed(&pending.destination);
                    held.pending = Some(pending);
                    return Err(error);
                }
            }
        }
        let fate = self.shared.common.begin_to_settle(held, delivery, &settlement).await;
        let first = settlement.outputs.first().map_or(delivery.source.name(), |output| output.destination.name());
        let destination = first.to_owned();
        let accepted = (settlement.verdict == Verdict::Accept).then(|| {
            // Sent back to where it was, with its own id, it is not the same message once more.
            let again = settlement.outputs.iter().filter(|output| output.id == delivery.id);
            again.map(|output| output.destination.name().to_owned()).collect()
        });
        let (frames, acknowledgement, again) = self.frames(held, delivery, settlement)?;
        let consequence = Consequence { fate, accepted };
        match self.transact(&held.link, frames, acknowledgement, self.deadline()).await {
            Ok(answer) => self.result(answer, &destination)?,
            Err(Unanswered { answer, .. }) => {
                let error = self.unconfirmed(&destination);
                held.pending = Some(Pending { answer, destination, consequence });
                return Err(error);
            }
        }
        self.follow(delivery, consequence);
        if let Some(after) = again {
            let (again, delivery) = (held.again.clone(), Delivery { came_before: true, ..delivery.clone() });
            tokio::spawn(async move {
                sleep(after).await;
                if let Some(again) = again.upgrade() {
                    let _ = again.send(delivery).await;
                }
            });
        }
        Ok(())
    }

    fn follow(&self, delivery: &Delivery, consequence: Consequence) {
        let common = &self.shared.common;
        if let (Some(again), Destination::Queue(queue)) = (&consequence.accepted, &delivery.source) {
            again.iter().for_each(|queue| common.holdings.sent_again(queue, &delivery.id));
            if !again.contains(queue) {
                common.holdings.accepted(queue, &delivery.id);
            }
        }
        common.enter_settled(&delivery.id, consequence.fate);
    }

    /// What settles a delivery: messages, its acknowledgement, and, for a copy of a broadcast, after how long it is handed
    /// out once more. The broker has no queue of ours for such copies, so they are kept here.
    #[allow(clippy::type_complexity, reason = "read in one place")]
    fn frames(
        &self,
        held: &Held,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> Result<(Vec<Frame>, Option<Frame>, Option<Duration>), Error> {
        let (prefix, common) = (self.prefix(), &self.shared.common);
        let mut frames: Vec<Frame> =
            settlement.outputs.iter().map(|output| wire::send(prefix, output)).collect::<Result<_, _>>()?;
        let Destination::Queue(queue) = &delivery.source else {
            let after = match settlement.verdict {
                Verdict::Accept | Verdict::DeadLetter { .. } => None,
                Verdict::Release => Some(Duration::ZERO),
                Verdict::Retry { after, .. } | Verdict::Requeue { after } => Some(after),
            };
            return Ok((frames, after.is_none().then(|| held.acknowledgement()), after));
        };
        let received = &held.received;
        let copy = |delay, retries| {
            let (frame, body, destination) = (&held.frame, delivery.body.as_slice(), &delivery.source);
            let (returns, returned) = (received.returns, received.returned.as_deref());
            let copy = Copy { frame, body, destination, delay, due: None, retries, returns, returned };
            copy.send(prefix, &delivery.id, received.has_own_id)
        };
        let letter = |cause, reason: &Reason| wire::dead_letter(prefix, queue, received, &delivery.body, cause, reason);
        match &settlement.verdict {
            // Handed out twice before it was accepted once: what it led to is on its way.
            Verdict::Accept if common.holdings.has_accepted(queue, &delivery.id) => frames.clear(),
            Verdict::Accept => {}
            Verdict::Retry { after, .. } if received.retries < common.options.delivery_limit => {
                frames.push(copy(*after, received.retries + 1));
            }
            Verdict::Retry { reason, .. } => {
                let reason = Reason::new(Code::RetriesExhausted, reason.as_str());
                frames.push(letter(Cause::DeliveryLimit, &reason)?);
            }
            Verdict::DeadLetter { reason } => frames.push(letter(Cause::Rejected, reason)?),
            Verdict::Requeue { after } => frames.push(copy(*after, received.retries)),
            Verdict::Release => frames.push(copy(Duration::ZERO, received.retries)),
        }
        Ok((frames, Some(held.acknowledgement()), None))
    }
}
