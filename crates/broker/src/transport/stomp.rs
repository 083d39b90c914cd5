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
//! (the next one), `transaction`, `group` (several settlements in one), `settling` (with a time limit), `pending` (not
//! answered), `reception` (a subscription), `quarantine` (what came back), `browse` (reading without taking), `probe` (where
//! rejected messages go), `booking` (records of messages for the accounts), `faults` (what the broker's refusals mean).
//!
//! | file | contents |
//! |---|---|
//! | `booking` | records of messages for the accounts |
//! | `browse` | reading a queue without taking its messages, and emptying it |
//! | `faults` | what refusals of ActiveMQ and errors of a connection to it mean |
//! | `frame` | frames of STOMP 1.2: encoding, and decoding of a stream that arrives in pieces |
//! | `group` | transactions of several settlements |
//! | `keeper` | the state of the connection: who opens it again, and after how long |
//! | `link` | one connection: frames, heart-beats, TLS |
//! | `options` | where ActiveMQ is: hosts, login, prefix; and what it can do |
//! | `pending` | A settlement that the broker has not answered in time |
//! | `probe` | what the broker does with a message that a consumer rejects, tried with one of ours |
//! | `quarantine` | messages that came back because their consumer was lost |
//! | `reception` | receives the messages of one subscription, on as many connections as it takes |
//! | `settling` | sending messages and settling deliveries, with a time limit |
//! | `transaction` | frames that count together or not at all |
//! | `wire` | messages as frames |

mod booking;
mod browse;
mod faults;
pub mod frame;
mod group;
mod keeper;
mod link;
mod options;
mod pending;
mod probe;
mod quarantine;
mod reception;
mod settling;
mod transaction;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use self::group::Group;
use self::keeper::Keeper;
use self::link::Refusal;
pub use self::options::{Options, TRANSPORT};
use self::reception::{Common, Held, Mode, Reception};
use super::{
    Connection, DeadLetters, Deliveries, Delivery, Destination, Error, Outage, Outgoing, PROBE, Settlement, Stored,
    Subscription, Transport, Verdict, Waiting,
};
use crate::books;
use crate::holdings::{self, Holdings};
use zrecipe_language::value::Object;

/// How long the broker may take to answer a question.
const ANSWER: Duration = Duration::from_secs(2);

/// How many messages that came back are under way at a time.
const QUARANTINED: u16 = 100;

/// A connection to ActiveMQ, kept for as long as this or a clone of it lives.
#[derive(Clone)]
pub struct Stomp {
    shared: Arc<Shared>,
}

struct Shared {
    common: Arc<Common>,
    /// What is to be done on the connection.
    group: Mutex<Option<Group>>,
    /// One task for each subscription.
    receptions: Mutex<JoinSet<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.common.keeper.connections.close();
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
        let holdings = Holdings::new(options.remember_ids, options.clerk.clone());
        let common = Arc::new(Common { options, keeper, holdings });
        Ok(Self { shared: Arc::new(Shared { common, group: Mutex::default(), receptions: Mutex::default() }) })
    }

    fn keeper(&self) -> &Keeper {
        &self.shared.common.keeper
    }

    fn prefix(&self) -> &str {
        &self.shared.common.options.prefix
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.keeper().connections.is_over() { Err(Error::Closed) } else { Ok(()) }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.shared.common.options.patience
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
        let entries = books::entries(self.shared.common.options.clerk.as_ref(), &messages);
        self.publish(frames, &destination).await?;
        holdings::enter_accepted(self.shared.common.options.clerk.as_ref(), &entries).await;
        Ok(())
    }

    /// As for all transports, but nothing is left behind: a queue comes into being when it is sent to.
    async fn try_send(&self, patience: Duration) -> Result<(), Error> {
        self.check_open()?;
        let queue = Destination::Queue(PROBE.to_owned());
        let message = Outgoing::new(PROBE.to_owned(), queue, Object::new(), Vec::new());
        let frame = wire::send(self.prefix(), &message)?;
        let link = self.keeper().connections.link(self.deadline()).await?;
        match timeout(patience + ANSWER, transaction::try_send(&link, frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Refusal::Refused(reason))) if faults::is_full(&reason) => Err(Error::Blocked(reason)),
            Ok(Err(refusal)) => Err(self.explain(refusal, PROBE)),
            Err(_) => {
                let reason = self.keeper().obstacle().unwrap_or_else(|| {
                    "the broker does not confirm a message: its memory or its store may be full".to_owned()
                });
                Err(Error::Blocked(reason))
            }
        }
    }

    async fn find_dead_letters(&self) -> Result<Option<DeadLetters>, Error> {
        self.check_open()?;
        let link = self.keeper().connections.link(self.deadline()).await?;
        let found = timeout(self.shared.common.options.patience, probe::dead_letters(&link, self.prefix())).await;
        match found {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(refusal)) => Err(self.explain(refusal, PROBE)),
            Err(_) => Err(self.unconfirmed(PROBE)),
        }
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), Error> {
        let holdings = &self.shared.common.holdings;
        let is_kept = matches!(delivery.source, Destination::Topic(_))
            && matches!(settlement.verdict, Verdict::Release | Verdict::Retry { .. } | Verdict::Requeue { .. });
        let mut held = holdings.take(delivery.tag).ok_or(Error::NotHeld)?;
        let settled = self.conclude(&mut held, delivery, settlement).await;
        if settled.is_err() || is_kept {
            holdings.put_back(delivery.tag, held);
        }
        settled
    }

    /// Counts the messages by reading them: those that other connections hold are among them, and there may be more than the
    /// broker lets a reader see (`maxBrowsePageSize`).
    async fn waiting(&self, queue: &str) -> Result<Waiting, Error> {
        self.check_open()?;
        let link = self.keeper().connections.link(self.deadline()).await?;
        let found = browse::browse(&link, self.prefix(), queue, usize::MAX).await;
        let messages = found.map_err(|refusal| self.explain(refusal, queue))?;
        let is_of_queue = |held: &Held| matches!(&held.source, Destination::Queue(name) if name == queue);
        let held = self.shared.common.holdings.count(is_of_queue);
        Ok(Waiting { messages: messages.len().saturating_sub(held) as u64, consumers: None })
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        self.check_open()?;
        let link = self.keeper().connections.link(self.deadline()).await?;
        let purged = browse::purge(&link, self.prefix(), queue).await;
        let count = purged.map_err(|refusal| self.explain(refusal, queue))?;
        if let Some(clerk) = &self.shared.common.options.clerk {
            clerk.purged(queue);
        }
        Ok(count)
    }

    async fn browse(&self, queue: &str, most: usize) -> Result<Option<Vec<Stored>>, Error> {
        self.check_open()?;
        let link = self.keeper().connections.link(self.deadline()).await?;
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
        keeper.connections.begin_close();
        let mut receptions =
            std::mem::take(&mut *self.shared.receptions.lock().unwrap_or_else(PoisonError::into_inner));
        while receptions.join_next().await.is_some() {}
        keeper.connections.close();
        self.shared.common.keep_books().await;
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
            let link = common.keeper.connections.link(deadline).await?;
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
