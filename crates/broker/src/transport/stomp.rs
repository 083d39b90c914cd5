//! ActiveMQ Classic, by STOMP 1.2.
//!
//! - A message for a queue is persistent and counts as sent when the broker has answered with a receipt, which it does
//!   when the message is in its store. Several messages are sent in one transaction.
//! - A delivery is settled in one transaction: its acknowledgement, what it led to, and its copy or dead letter.
//! - A queue or topic exists when somebody uses it: a message to a misspelt queue waits there.
//! - What is to come later waits in the broker's scheduler. Without `schedulerSupport` the broker delivers it at once.
//! - A lost connection is made again at one of the hosts, and subscriptions go on. What was delivered by the lost one
//!   is no longer held: it comes again, to us or to another.
//! - The ids of accepted messages are remembered for a while in this process; the same message is not handed out again.
//! - The broker does not count deliveries: see `reception` for how returns are counted.
//!
//! Submodules: `options` (where and who), `frame` (the codec), `wire` (messages as frames), `link` (one connection), `keeper`
//! (the next one), `transaction`, `reception` (a subscription), `browse` (reading without taking), `faults` (what the broker's
//! refusals mean).

mod browse;
mod faults;
pub mod frame;
mod keeper;
mod link;
mod options;
mod reception;
mod transaction;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::frame::Frame;
use self::keeper::Keeper;
use self::link::{Link, Refusal};
pub use self::options::{Options, TRANSPORT};
use self::reception::{Common, Held, Mode, Reception};
use self::transaction::transact;
use self::wire::Copy;
use super::{
    Connection, Deliveries, Delivery, Destination, Error, Outage, Outgoing, Settlement, Stored, Subscription,
    Transport, Verdict, Waiting,
};
use crate::holdings::Holdings;
use crate::message::{Cause, Code, Reason};

/// After this time without an answer the broker is taken to be short of memory or disk.
const SILENCE: Duration = Duration::from_secs(5);

/// How many messages that came back are under way at a time.
const QUARANTINED: u16 = 100;

/// A connection to ActiveMQ, kept for as long as this or a clone of it lives.
#[derive(Clone)]
pub struct Stomp {
    shared: Arc<Shared>,
}

struct Shared {
    common: Arc<Common>,
    /// One task for each subscription.
    receptions: Mutex<JoinSet<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.common.keeper.close();
    }
}

impl Stomp {
    /// Connects to one of the hosts.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Denied`] with what each host said; later losses are not errors but are made good.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let options = Arc::new(options);
        let keeper = Keeper::start(options.clone()).await?;
        let holdings = Holdings::new(options.remember_ids, None);
        let common = Arc::new(Common { options, keeper, holdings });
        Ok(Self { shared: Arc::new(Shared { common, receptions: Mutex::default() }) })
    }

    fn keeper(&self) -> &Keeper {
        &self.shared.common.keeper
    }

    fn prefix(&self) -> &str {
        &self.shared.common.options.prefix
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.keeper().is_over() { Err(Error::Closed) } else { Ok(()) }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.shared.common.options.patience
    }

    /// Sends messages and waits until the broker has them, on this connection or the next.
    async fn publish(&self, frames: Vec<Frame>, destination: &str) -> Result<(), Error> {
        let deadline = self.deadline();
        loop {
            let link = self.keeper().link(deadline).await?;
            match self.transact(&link, frames.clone(), None, destination, deadline).await {
                Err(Error::NotHeld) => {}
                done => return done,
            }
            if Instant::now() >= deadline {
                let reason = self.keeper().obstacle();
                return Err(Error::Unconfirmed { destination: destination.to_owned(), reason });
            }
        }
    }

    /// As [`transact`], with a time limit. A connection that is lost meanwhile is [`Error::NotHeld`].
    async fn transact(
        &self,
        link: &Link,
        frames: Vec<Frame>,
        acknowledgement: Option<Frame>,
        destination: &str,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut work = std::pin::pin!(transact(link, frames, acknowledgement));
        let patience = deadline.saturating_duration_since(Instant::now());
        let answer = match timeout(SILENCE.min(patience), &mut work).await {
            Ok(answer) => answer,
            Err(_) => {
                self.keeper().blocked(SILENCE.as_secs());
                let rest = deadline.saturating_duration_since(Instant::now());
                match timeout(rest, work).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        let reason = self.keeper().obstacle();
                        // What the broker makes of half a transaction must not stay open.
                        link.close("the connection is closed: the broker has not confirmed a message in time");
                        return Err(Error::Unconfirmed { destination: wire::shown(destination), reason });
                    }
                }
            }
        };
        self.keeper().answered();
        answer.map_err(|refusal| match refusal {
            Refusal::Lost => Error::NotHeld,
            Refusal::Refused(reason) => {
                let is_full = faults::is_full(&reason);
                Error::Refused { destination: wire::shown(destination), reason, is_full }
            }
        })
    }

    async fn conclude(&self, held: &Held, delivery: &Delivery, settlement: Settlement) -> Result<(), Error> {
        let (prefix, holdings) = (self.prefix(), &self.shared.common.holdings);
        let again: Vec<String> = {
            // Sent back to where it was, with its own id, it is not the same message once more.
            let again = settlement.outputs.iter().filter(|output| output.id == delivery.id);
            again.map(|output| output.destination.name().to_owned()).collect()
        };
        let first = settlement.outputs.first().map_or(delivery.source.name(), |output| output.destination.name());
        let destination = first.to_owned();
        let mut frames: Vec<Frame> =
            settlement.outputs.iter().map(|output| wire::send(prefix, output)).collect::<Result<_, _>>()?;
        let Destination::Queue(queue) = &delivery.source else {
            return self.conclude_copy(held, delivery, settlement.verdict, frames, &destination).await;
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
            Verdict::Accept if holdings.has_accepted(queue, &delivery.id) => frames.clear(),
            Verdict::Accept => {}
            Verdict::Retry { after, .. } if received.retries < self.shared.common.options.delivery_limit => {
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
        self.transact(&held.link, frames, Some(held.acknowledgement()), &destination, self.deadline()).await?;
        if settlement.verdict == Verdict::Accept {
            again.iter().for_each(|queue| holdings.sent_again(queue, &delivery.id));
            if !again.contains(queue) {
                holdings.accepted(queue, &delivery.id);
            }
        }
        Ok(())
    }

    /// Settles a copy of a broadcast. One that is to come again is kept here: the broker has no queue of ours.
    async fn conclude_copy(
        &self,
        held: &Held,
        delivery: &Delivery,
        verdict: Verdict,
        frames: Vec<Frame>,
        destination: &str,
    ) -> Result<(), Error> {
        let after = match verdict {
            Verdict::Accept | Verdict::DeadLetter { .. } => None,
            Verdict::Release => Some(Duration::ZERO),
            Verdict::Retry { after, .. } | Verdict::Requeue { after } => Some(after),
        };
        let acknowledgement = after.is_none().then(|| held.acknowledgement());
        self.transact(&held.link, frames, acknowledgement, destination, self.deadline()).await?;
        if let Some(after) = after {
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
}

#[async_trait]
impl Transport for Stomp {
    async fn subscribe(&self, subscription: Subscription) -> Result<Deliveries, Error> {
        self.receive(Mode::Counted, subscription).await
    }

    async fn subscribe_in_order(&self, subscription: Subscription) -> Result<Deliveries, Error> {
        self.receive(Mode::Uncounted, subscription).await
    }

    async fn quarantine(&self, limit: u32) -> Result<Deliveries, Error> {
        let source = Destination::Queue(wire::all_queues(self.prefix()));
        self.receive(Mode::Quarantine { limit }, Subscription { source, prefetch: QUARANTINED }).await
    }
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), Error> {
        self.check_open()?;
        let Some(first) = messages.first() else { return Ok(()) };
        let destination = first.destination.name().to_owned();
        let frames = messages.iter().map(|message| wire::send(self.prefix(), message)).collect::<Result<_, _>>()?;
        self.publish(frames, &destination).await
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), Error> {
        let holdings = &self.shared.common.holdings;
        let is_kept = matches!(delivery.source, Destination::Topic(_))
            && matches!(settlement.verdict, Verdict::Release | Verdict::Retry { .. } | Verdict::Requeue { .. });
        let held = holdings.take(delivery.tag).ok_or(Error::NotHeld)?;
        let settled = self.conclude(&held, delivery, settlement).await;
        if settled.is_err() || is_kept {
            holdings.put_back(delivery.tag, held);
        }
        settled
    }

    /// Counts the messages by reading them: those that other connections hold are among them, and there may be more than the
    /// broker lets a reader see (`maxBrowsePageSize`).
    async fn waiting(&self, queue: &str) -> Result<Waiting, Error> {
        self.check_open()?;
        let link = self.keeper().link(self.deadline()).await?;
        let found = browse::browse(&link, self.prefix(), queue, usize::MAX).await;
        let messages = found.map_err(|refusal| self.explain(refusal, queue))?;
        let is_of_queue = |held: &Held| matches!(&held.source, Destination::Queue(name) if name == queue);
        let held = self.shared.common.holdings.count(is_of_queue);
        Ok(Waiting { messages: messages.len().saturating_sub(held) as u64, consumers: None })
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        self.check_open()?;
        let link = self.keeper().link(self.deadline()).await?;
        let purged = browse::purge(&link, self.prefix(), queue).await;
        purged.map_err(|refusal| self.explain(refusal, queue))
    }

    async fn browse(&self, queue: &str, most: usize) -> Result<Option<Vec<Stored>>, Error> {
        self.check_open()?;
        let link = self.keeper().link(self.deadline()).await?;
        let found = browse::browse(&link, self.prefix(), queue, most).await;
        let frames = found.map_err(|refusal| self.explain(refusal, queue))?;
        Ok(Some(frames.into_iter().map(|frame| browse::stored(self.prefix(), queue, frame)).collect()))
    }

    fn connection(&self) -> watch::Receiver<Connection> {
        self.keeper().watch()
    }

    fn duplicates(&self) -> watch::Receiver<u64> {
        self.shared.common.holdings.duplicates()
    }

    async fn close(&self) -> Result<(), Error> {
        let keeper = self.keeper();
        keeper.begin_close();
        let mut receptions =
            std::mem::take(&mut *self.shared.receptions.lock().unwrap_or_else(PoisonError::into_inner));
        while receptions.join_next().await.is_some() {}
        keeper.close();
        Ok(())
    }
}

impl Stomp {
    async fn receive(&self, mode: Mode, subscription: Subscription) -> Result<Deliveries, Error> {
        self.check_open()?;
        let (sender, receiver) = mpsc::channel(usize::from(subscription.prefetch.max(1)) * 2);
        let (stopper, stops) = mpsc::channel(1);
        let common = self.shared.common.clone();
        let reception = Reception::new(mode, subscription, sender, stops, common.clone());
        let deadline = self.deadline();
        let opened = loop {
            let link = common.keeper.link(deadline).await?;
            match reception.open(link.clone()).await {
                Err(Error::Unavailable { .. }) if Instant::now() < deadline => {}
                opened => break opened?,
            }
        };
        let mut receptions = self.shared.receptions.lock().unwrap_or_else(PoisonError::into_inner);
        while receptions.try_join_next().is_some() {}
        receptions.spawn(reception.run(opened));
        if let Mode::Quarantine { .. } = mode {
            // They are settled.
            return Ok(Deliveries::new(receiver));
        }
        let is_wanted =
            move |delivery: &Delivery| common.holdings.is_wanted(delivery.tag, &delivery.source, &delivery.id);
        Ok(Deliveries::checked(receiver, is_wanted).stopped_by(stopper))
    }

    fn explain(&self, refusal: Refusal, queue: &str) -> Error {
        match refusal {
            Refusal::Lost => self.keeper().unavailable(Outage::Lost, "the connection was lost"),
            Refusal::Refused(reason) => Error::Refused { destination: wire::shown(queue), reason, is_full: false },
        }
    }
}
