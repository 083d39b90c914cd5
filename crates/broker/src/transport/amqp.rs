//! RabbitMQ, by AMQP 0-9-1: as the embedded broker, beside services of any other kind.
//!
//! - A message is persistent, must reach a queue, and counts as sent when the broker has confirmed it.
//! - A delivery is acknowledged when all that it led to is confirmed; nothing relies on AMQP's transactions, which lose
//!   messages. Sending fails message by message, not as a whole.
//! - What is to come later waits in the `delayed` exchange where the broker has one, else in a queue for each delay;
//!   delays are rounded up to two digits, so that there are few.
//! - A lost connection is made again at one of the hosts, and subscriptions go on. What was delivered by the lost one
//!   is no longer held: it comes again, to us or to another.
//! - The ids of accepted messages are remembered for a while in this process; the same message is not handed out
//!   again. Messages of others that have no id get one for each delivery.
//! - A retry counts towards our limit, a crash towards the queue's. A release counts there too before RabbitMQ 4.3.
//!   Copies of broadcasts die with us: they are never dead letters, and a retry of one is not counted.
//!
//! Submodules: `address` (where and who), `link` (the connection), `publisher`, `consumer` and its
//! `receipts`, `standing` (what is told of the connection), `wire` (the messages).

mod address;
mod consumer;
mod link;
mod publisher;
mod receipts;
mod standing;
mod wire;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

pub use self::address::{Certificate, Host, Login, Options, Password, Tls};
use self::consumer::{Held, Holdings, Reception};
pub use self::link::all_closed;
use self::link::{Link, State, explain, link, unless_gone};
use self::publisher::{BATCH, Request, is_missing, missing};
use self::standing::Standing;
pub use self::wire::DELAY;
use self::wire::{Parcel, short, shown};
use super::{
    Connection, Deliveries, Delivery, Destination, Error, Outgoing, Settlement, Subscription, Transport, Verdict,
    Waiting,
};

/// The exchange of the delayed-message plug-in, where there is one.
const PLUGIN: &str = "delayed";
/// How long what is tried again is held at most where nothing else can wait: a service that is to stop waits for it.
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// How many sends may wait for their turn before those after them wait in line.
const QUEUED: usize = 1_000;

/// A connection to RabbitMQ, kept for as long as this or a clone of it lives.
#[derive(Clone)]
pub struct Amqp {
    shared: Arc<Shared>,
}

struct Shared {
    options: Arc<Options>,
    place: Arc<str>,
    states: watch::Sender<State>,
    standing: Arc<Standing>,
    requests: mpsc::Sender<Request>,
    /// Those over which the broker may close a channel.
    doubtful: mpsc::Sender<Request>,
    holdings: Arc<Holdings>,
    waits: Mutex<Waits>,
    /// One task for each subscription.
    receptions: Mutex<JoinSet<()>>,
}

/// What is known of the places where messages wait and where they go, on one connection.
#[derive(Default)]
struct Waits {
    epoch: u64,
    /// Whether the broker has the plug-in's exchange.
    plugin: Option<bool>,
    declared: HashSet<String>,
    /// Whether it was said that nothing can wait there.
    is_barred: bool,
    /// Exchanges and, by way of the one without a name, queues that were there when somebody looked.
    found: HashSet<(ShortString, ShortString)>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.states.send_replace(State::Closed);
    }
}

impl Amqp {
    /// Connects to one of the hosts.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Denied`] with what each host said; later losses are not errors but are made good.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let options = Arc::new(options);
        let place: Arc<str> = options.place().into();
        let first = link::connect(&options).await.map_err(|failure| {
            let (place, reason) = (place.to_string(), failure.reason);
            if failure.is_denied { Error::Denied { place, reason } } else { Error::Unavailable { place, reason } }
        })?;
        let states = watch::Sender::new(State::Up(first.clone()));
        let publisher = |most| {
            let (requests, receiver) = mpsc::channel(QUEUED);
            tokio::spawn(publisher::publish(states.clone(), place.clone(), receiver, most));
            requests
        };
        let (requests, doubtful) = (publisher(BATCH), publisher(1));
        let standing = Arc::new(Standing::new(first.epoch));
        tokio::spawn(link::keep(options.clone(), states.clone(), standing.clone(), first));
        let holdings = Arc::new(Holdings::new(options.remember_ids));
        let (waits, receptions) = (Mutex::default(), Mutex::default());
        let shared = Shared { options, place, states, standing, requests, doubtful, holdings, waits, receptions };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether a queue is there, for whoever wants to know before anything is sent.
    ///
    /// # Errors
    /// It is not there, or the broker does not say.
    pub async fn find_queue(&self, queue: &str) -> Result<(), Error> {
        self.waiting(queue).await.map(drop)
    }
}

#[async_trait]
impl Transport for Amqp {
    async fn subscribe(&self, subscription: Subscription) -> Result<Deliveries, Error> {
        let shared = &self.shared;
        shared.check_open()?;
        short(subscription.source.name()).map_err(|_| match &subscription.source {
            Destination::Queue(queue) => Error::NoSuchQueue(shown(queue)),
            Destination::Topic(topic) => Error::NoSuchTopic(shown(topic)),
        })?;
        let (sender, receiver) = mpsc::channel(usize::from(subscription.prefetch.max(1)) * 2);
        let (stopper, stops) = mpsc::channel(1);
        let reception = Reception::new(
            subscription,
            sender,
            stops,
            shared.states.clone(),
            shared.standing.clone(),
            shared.place.clone(),
            shared.holdings.clone(),
        );
        let deadline = Instant::now() + shared.options.patience;
        let opened = loop {
            let link = shared.link(deadline).await?;
            match unless_gone(&shared.states, link.epoch, reception.open(&link)).await {
                Some(Ok(opened)) => break opened,
                Some(Err(error)) if link.is_up() || Instant::now() >= deadline => {
                    return Err(reception.explain(&error));
                }
                Some(Err(_)) | None => {}
            }
        };
        let holdings = shared.holdings.clone();
        let mut receptions = shared.receptions.lock().unwrap_or_else(PoisonError::into_inner);
        while receptions.try_join_next().is_some() {}
        receptions.spawn(reception.run(opened));
        Ok(Deliveries::checked(receiver, move |delivery| holdings.is_wanted(delivery)).stopped_by(stopper))
    }

    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), Error> {
        self.shared.check_open()?;
        let deadline = Instant::now() + self.shared.options.patience;
        let parcels = self.shared.address(messages, deadline).await?;
        self.shared.publish(parcels, deadline).await
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), Error> {
        let held = self.shared.holdings.take(delivery.tag).ok_or(Error::NotHeld)?;
        let settled = self.shared.conclude(&held, delivery, settlement).await;
        if settled.is_err() {
            self.shared.holdings.put_back(delivery.tag, held);
        }
        settled
    }

    async fn renew(&self, deliveries: Vec<Delivery>) -> Result<(), Error> {
        let deadline = Instant::now() + self.shared.options.patience;
        let (mut parcels, mut holding) = (Vec::new(), Vec::new());
        for delivery in deliveries {
            let Destination::Queue(queue) = &delivery.source else { continue };
            let Some(held) = self.shared.holdings.take(delivery.tag) else { continue };
            parcels.push(Parcel::renewed(queue, &held.properties, &delivery.body));
            holding.push((delivery.tag, held));
        }
        let published = match parcels.into_iter().collect() {
            Ok(parcels) => self.shared.publish(parcels, deadline).await,
            Err(error) => Err(error),
        };
        if let Err(error) = published {
            holding.into_iter().for_each(|(tag, held)| self.shared.holdings.put_back(tag, held));
            return Err(error);
        }
        for (_, held) in holding {
            // One that is not ours any more comes again, beside its copy.
            let _ = acknowledge(&held).await;
        }
        Ok(())
    }

    async fn waiting(&self, queue: &str) -> Result<Waiting, Error> {
        let asked = async |channel: &Channel, name| {
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let found = channel.queue_declare(name, passive, FieldTable::default()).await?;
            Ok((found.message_count(), found.consumer_count()))
        };
        let (messages, consumers) = self.shared.ask(queue, asked).await?;
        Ok(Waiting { messages: u64::from(messages), consumers: Some(u64::from(consumers)) })
    }

    async fn waiting_in(&self, queues: &[String]) -> Vec<Result<Waiting, Error>> {
        /// How many channels query at a time.
        const LANES: usize = 8;
        let share = queues.len().div_ceil(LANES).max(1);
        let mut lanes = Vec::new();
        for names in queues.chunks(share) {
            let (shared, names) = (Arc::clone(&self.shared), names.to_vec());
            lanes.push(tokio::spawn(async move { shared.count_all(&names).await }));
        }
        let mut found = Vec::with_capacity(queues.len());
        for (lane, names) in lanes.into_iter().zip(queues.chunks(share)) {
            let answers = lane.await.unwrap_or_default();
            let missing = names.len().saturating_sub(answers.len());
            found.extend(answers);
            found.extend(std::iter::repeat_with(|| Err(Error::Closed)).take(missing));
        }
        found
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        let asked = async |channel: &Channel, name| channel.queue_purge(name, QueuePurgeOptions::default()).await;
        self.shared.ask(queue, asked).await.map(u64::from)
    }

    fn connection(&self) -> watch::Receiver<Connection> {
        self.shared.standing.watch()
    }

    fn duplicates(&self) -> watch::Receiver<u64> {
        self.shared.holdings.duplicates()
    }

    async fn close(&self) -> Result<(), Error> {
        let shared = &self.shared;
        shared.states.send_if_modified(|state| {
            let link = match state {
                State::Up(link) => Some(link.clone()),
                State::Down(_) => None,
                State::Closing(_) | State::Closed => return false,
            };
            *state = State::Closing(link);
            true
        });
        let mut receptions = std::mem::take(&mut *shared.receptions.lock().unwrap_or_else(PoisonError::into_inner));
        while receptions.join_next().await.is_some() {}
        shared.states.send_replace(State::Closed);
        Ok(())
    }
}

impl Shared {
    fn check_open(&self) -> Result<(), Error> {
        if self.states.borrow().is_over() { Err(Error::Closed) } else { Ok(()) }
    }

    async fn link(&self, deadline: Instant) -> Result<Arc<Link>, Error> {
        link(&self.states, &self.place, deadline).await
    }

    /// Asks something about a queue, on a channel of its own: one about what is not there costs the channel.
    async fn ask<T>(
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
            error => self.unavailable(explain(&error)),
        })
    }

    /// What waits in these queues, one after the other on one channel. A question about what is not there costs the channel.
    async fn count_all(&self, queues: &[String]) -> Vec<Result<Waiting, Error>> {
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
            if is_missing(&error) { Error::NoSuchQueue(queue.to_owned()) } else { self.unavailable(explain(&error)) }
        })?;
        *open = Some((link, channel));
        Ok(Waiting { messages: u64::from(messages), consumers: Some(u64::from(consumers)) })
    }

    /// What comes of asking the broker something.
    ///
    /// # Errors
    /// The connection was lost, or there was no answer in time.
    async fn answer<T>(
        &self,
        link: &Link,
        deadline: Instant,
        asked: impl Future<Output = lapin::Result<T>>,
    ) -> Result<lapin::Result<T>, Error> {
        match unless_gone(&self.states, link.epoch, timeout_at(deadline, asked)).await {
            None => Err(self.unavailable("the connection was lost".to_owned())),
            Some(Err(_)) => Err(self.unavailable("it did not answer in time".to_owned())),
            Some(Ok(Err(error))) if !link.is_up() => Err(self.unavailable(explain(&error))),
            Some(Ok(answer)) => Ok(answer),
        }
    }

    fn unavailable(&self, reason: String) -> Error {
        Error::Unavailable { place: self.place.to_string(), reason }
    }

    /// Publishes messages and waits for all confirmations.
    async fn publish(&self, parcels: Vec<Parcel>, deadline: Instant) -> Result<(), Error> {
        if parcels.is_empty() {
            return Ok(());
        }
        self.look(&parcels, deadline).await?;
        let (reply, answer) = oneshot::channel();
        let requests = if parcels.iter().any(Parcel::is_doubtful) { &self.doubtful } else { &self.requests };
        requests.send(Request { parcels, reply, deadline }).await.map_err(|_| Error::Closed)?;
        let sent = answer.await.map_err(|_| Error::Closed)?;
        if sent.is_err() {
            // Somebody takes things away at the broker.
            let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
            waits.found.clear();
            waits.declared.clear();
        }
        sent.map_err(|error| match error {
            Error::Unconfirmed { destination, reason: None } => {
                Error::Unconfirmed { destination, reason: self.standing.obstacle() }
            }
            error => error,
        })
    }

    /// Makes parcels of messages; finds a place to wait for those that are to come later.
    async fn address(&self, messages: Vec<Outgoing>, deadline: Instant) -> Result<Vec<Parcel>, Error> {
        let mut parcels = Vec::with_capacity(messages.len());
        for message in messages {
            let delay = message.delay.filter(|delay| !delay.is_zero());
            let parcel = Parcel::new(message)?;
            parcels.push(match delay {
                None => parcel,
                Some(delay) => self.hold_back(parcel, delay, deadline).await?,
            });
        }
        Ok(parcels)
    }

    /// Makes sure that all are there who are to have something. When it is several, the first message must not be on its
    /// way when it turns out that the second has nowhere to go; and over an exchange that is not there the broker closes
    /// the channel, so that what others have just sent on it is sent twice.
    async fn look(&self, parcels: &[Parcel], deadline: Instant) -> Result<(), Error> {
        let Some((first, rest)) = parcels.split_first() else { return Ok(()) };
        if first.exchange.as_str().is_empty() && rest.iter().all(|parcel| parcel.way() == first.way()) {
            return Ok(());
        }
        let link = self.link(deadline).await?;
        for parcel in parcels {
            let (exchange, key) = parcel.way();
            if self.waits(&link).found.contains(&(exchange.clone(), key.clone())) {
                continue;
            }
            let asked = async {
                let channel = link.channel().await?;
                find(&channel, &exchange, &key).await?;
                channel.close(200, "".into()).await
            };
            match self.answer(&link, deadline, asked).await? {
                Err(error) if is_missing(&error) => return Err(missing(parcel)),
                // Whatever else there is, the broker says when it is sent.
                Ok(()) | Err(_) => _ = self.waits(&link).found.insert((exchange, key)),
            }
        }
        Ok(())
    }

    async fn conclude(&self, held: &Held, delivery: &Delivery, settlement: Settlement) -> Result<(), Error> {
        let deadline = Instant::now() + self.options.patience;
        let queue = match &delivery.source {
            Destination::Queue(queue) => queue,
            Destination::Topic(_) => return self.conclude_copy(held, settlement, deadline).await,
        };
        // Sent back to where it was, with its own id, it is not the same message once more.
        let again = settlement.outputs.iter().filter(|output| output.id == delivery.id);
        let again: Vec<String> = again.map(|output| output.destination.name().to_owned()).collect();
        let mut parcels = self.address(settlement.outputs, deadline).await?;
        match settlement.verdict {
            Verdict::Release => return give_back(held).await,
            Verdict::Accept => {
                // Handed out twice before it was accepted once: what it led to is on its way.
                if !self.holdings.has_accepted(queue, &delivery.id) {
                    again.iter().for_each(|queue| self.holdings.sent_again(queue, &delivery.id));
                    self.publish(parcels, deadline).await?;
                }
                if !again.contains(queue) {
                    self.holdings.accepted(queue, &delivery.id);
                }
            }
            Verdict::Retry { after, .. } if wire::retries(&held.properties) < self.options.delivery_limit => {
                let (id, body) = (&delivery.id, &delivery.body);
                let parcel = Parcel::again(queue, id, &held.properties, body)?;
                let (parcel, deadline) = self.put_off(parcel, after, deadline).await?;
                parcels.push(parcel);
                self.publish(parcels, deadline).await?;
            }
            Verdict::Requeue { after } => {
                let parcel = Parcel::uncounted(queue, &delivery.id, &held.properties, &delivery.body)?;
                let (parcel, deadline) = self.put_off(parcel, after, deadline).await?;
                parcels.push(parcel);
                self.publish(parcels, deadline).await?;
            }
            Verdict::Retry { reason, .. } => {
                let kind = ("delivery_limit", reason.as_str());
                self.bury(held, delivery, queue, kind, parcels, deadline).await?;
            }
            Verdict::DeadLetter { reason } => {
                self.bury(held, delivery, queue, ("rejected", &reason), parcels, deadline).await?;
            }
        }
        acknowledge(held).await
    }

    /// Puts a copy among the dead letters of its queue.
    async fn bury(
        &self,
        held: &Held,
        delivery: &Delivery,
        queue: &str,
        kind: (&str, &str),
        mut parcels: Vec<Parcel>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let way = (held.exchange.as_str(), held.key.as_str());
        let letter = Parcel::dead(queue, &delivery.id, &held.properties, &delivery.body, way, kind)?;
        parcels.push(letter.clone());
        let dead_letters = wire::dead_letter_queue(queue);
        match self.publish(parcels.clone(), deadline).await {
            Err(Error::NoSuchQueue(missing)) if missing == dead_letters => {}
            published => return published,
        }
        // Nothing may be lost because a queue was forgotten when the broker was set up.
        let link = self.link(deadline).await?;
        let declared = async {
            let channel = link.channel().await?;
            let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(letter.key.clone(), options, quorum(None)).await?;
            channel.close(200, "".into()).await
        };
        self.answer(&link, deadline, declared).await?.map_err(|error| letter.refused(explain(&error)))?;
        self.publish(parcels, deadline).await
    }

    /// Settles a copy of a broadcast.
    async fn conclude_copy(&self, held: &Held, settlement: Settlement, deadline: Instant) -> Result<(), Error> {
        let parcels = self.address(settlement.outputs, deadline).await?;
        self.publish(parcels, deadline).await?;
        match settlement.verdict {
            Verdict::Release => give_back(held).await,
            Verdict::Accept | Verdict::DeadLetter { .. } => acknowledge(held).await,
            Verdict::Retry { after, .. } | Verdict::Requeue { after } => {
                let (receipts, tag) = (Arc::clone(&held.receipts), held.tag);
                tokio::spawn(async move {
                    sleep(after).await;
                    receipts.give_back(tag).await;
                });
                Ok(())
            }
        }
    }

    /// A message that is to be delivered once more by way of a place where it waits; where we may have none it waits with
    /// us, and is held for so long. Until when it is to be sent comes along.
    async fn put_off(&self, parcel: Parcel, after: Duration, deadline: Instant) -> Result<(Parcel, Instant), Error> {
        if after.is_zero() {
            return Ok((parcel, deadline));
        }
        let reason = match self.hold_back(parcel.clone(), after, deadline).await {
            Err(Error::Refused { reason, .. }) => reason,
            found => return found.map(|parcel| (parcel, deadline)),
        };
        let link = self.link(deadline).await?;
        if !std::mem::replace(&mut self.waits(&link).is_barred, true) {
            tracing::warn!("what is tried again is held meanwhile: {reason}");
        }
        let after = after.min(LONGEST_HOLD);
        sleep(after).await;
        Ok((parcel, deadline + after))
    }

    /// Sends a message by way of a place where it waits.
    async fn hold_back(&self, parcel: Parcel, delay: Duration, deadline: Instant) -> Result<Parcel, Error> {
        let key = parcel.key.clone();
        let parcel = match &parcel.destination {
            // It does not wait for another exchange.
            Destination::Queue(_) => parcel.by_way_of(ShortString::default(), key),
            Destination::Topic(_) => parcel,
        };
        let link = self.link(deadline).await?;
        match self.answer(&link, deadline, self.prepare(&link, &parcel, delay)).await? {
            Err(error) if is_missing(&error) => Err(missing(&parcel)),
            Err(error) => Err(parcel.refused(format!(
                "there is no place for it to wait: {}; without exchange `{PLUGIN}` the user needs the permissions to \
                 configure, write and read `{}.*`",
                explain(&error),
                DELAY.replace('.', "\\."),
            ))),
            Ok(None) => {
                self.waits(&link).found.insert((PLUGIN.into(), ShortString::default()));
                Ok(parcel.by_plugin(PLUGIN.into(), delay))
            }
            Ok(Some(place)) => {
                self.waits(&link).found.insert((place.clone(), ShortString::default()));
                // A topic has no routing key of its own; the queue's is the queue, and stays.
                let key = parcel.key.clone();
                Ok(parcel.by_way_of(place, key))
            }
        }
    }

    /// Makes sure that the destination and a place to wait exist. The place's exchange, or nothing where the plug-in
    /// does it.
    async fn prepare(&self, link: &Link, parcel: &Parcel, delay: Duration) -> lapin::Result<Option<ShortString>> {
        // The broker would confirm a message that waits for what is not there.
        let channel = link.channel().await?;
        let (exchange, key) = parcel.way();
        find(&channel, &exchange, &key).await?;
        let target = match &parcel.destination {
            Destination::Queue(_) => {
                // The plug-in's way, which the reference goes too, has no room for another exchange.
                if self.has_plugin(link).await? {
                    return Ok(None);
                }
                ShortString::default()
            }
            Destination::Topic(_) => parcel.exchange.clone(),
        };
        let millis = rounded(wire::millis(delay));
        let name = match target.as_str() {
            "" => format!("{DELAY}{millis}"),
            exchange => format!("{DELAY}{millis}.{exchange}"),
        };
        let short_name = short(&name).unwrap_or_default();
        if !self.waits(link).declared.contains(&name) {
            let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let (none, name_of) = (FieldTable::default, || short_name.clone());
            channel.exchange_declare(name_of(), ExchangeKind::Topic, durable, none()).await?;
            let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(name_of(), durable, quorum(Some((millis, target)))).await?;
            channel.queue_bind(name_of(), name_of(), "#".into(), QueueBindOptions::default(), none()).await?;
            self.waits(link).declared.insert(name);
        }
        let _ = channel.close(200, "".into()).await;
        Ok(Some(short_name))
    }

    async fn has_plugin(&self, link: &Link) -> lapin::Result<bool> {
        if let Some(known) = self.waits(link).plugin {
            return Ok(known);
        }
        // A question about what is not there costs its channel.
        let channel = link.channel().await?;
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let kind = ExchangeKind::Custom("x-delayed-message".to_owned());
        let there = match channel.exchange_declare(PLUGIN.into(), kind, passive, FieldTable::default()).await {
            Ok(()) => true,
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(error),
        };
        self.waits(link).plugin = Some(there);
        Ok(there)
    }

    fn waits(&self, link: &Link) -> std::sync::MutexGuard<'_, Waits> {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.epoch != link.epoch {
            *waits = Waits { epoch: link.epoch, ..Waits::default() };
        }
        waits
    }
}

/// Asks whether an exchange is there, or a queue where that is the way.
async fn find(channel: &Channel, exchange: &ShortString, queue: &ShortString) -> lapin::Result<()> {
    if exchange.as_str().is_empty() {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        return channel.queue_declare(queue.clone(), passive, FieldTable::default()).await.map(drop);
    }
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.clone(), ExchangeKind::Fanout, passive, FieldTable::default()).await
}

async fn acknowledge(held: &Held) -> Result<(), Error> {
    if held.receipts.acknowledge(held.tag).await { Ok(()) } else { Err(Error::NotHeld) }
}

async fn give_back(held: &Held) -> Result<(), Error> {
    if held.receipts.give_back(held.tag).await { Ok(()) } else { Err(Error::NotHeld) }
}

/// What a quorum queue is declared with; one to wait in passes messages on after so many milliseconds, and keeps them
/// for as long as they cannot be.
fn quorum(wait: Option<(u64, ShortString)>) -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut arguments = BTreeMap::from([("x-queue-type".into(), text("quorum"))]);
    if let Some((millis, exchange)) = wait {
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis));
        arguments.insert("x-dead-letter-exchange".into(), text(exchange.as_str()));
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments.insert("x-overflow".into(), text("reject-publish"));
    }
    arguments.into()
}

/// Two digits and zeros, no less than it was.
fn rounded(millis: u64) -> u64 {
    let mut unit = 1;
    while millis.div_ceil(unit) > 99 {
        unit *= 10;
    }
    millis.div_ceil(unit) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_few_and_never_shorter() {
        for (millis, expected) in
            [(1, 1), (99, 99), (100, 100), (101, 110), (2_000, 2_000), (12_345, 13_000), (9_999, 10_000)]
        {
            assert_eq!(rounded(millis), expected, "{millis}");
        }
    }
}
