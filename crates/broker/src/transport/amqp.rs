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
//! Submodules: `address` (where and who), `booking` (records of messages for the accounts), `link` (the connection), `questions` (what is
//! asked about queues), `sending` and `publisher`, `settling`, `delays`, `faults` (what errors mean), `consumer` and its
//! `receipts`, `standing` (what is told of the connection), `wire` (the messages).
//!
//! | file | contents |
//! |---|---|
//! | `address` | where RabbitMQ is: hosts, login, virtual host; and what it can do |
//! | `booking` | records of messages for the accounts |
//! | `consumer` | receives the messages of one subscription, on as many connections as it takes |
//! | `delays` | queues where messages wait for their time |
//! | `faults` | what errors of the client library and of RabbitMQ mean |
//! | `link` | the connection: who opens it again, and after how long |
//! | `publisher` | sends messages and waits until the broker has confirmed them |
//! | `questions` | what is asked about queues |
//! | `receipts` | acknowledgements of deliveries on one channel |
//! | `sending` | addresses messages, makes sure that they reach somebody, and hands them to the publisher |
//! | `settling` | how a delivery ends |
//! | `wire` | our messages as AMQP knows them and back |

mod address;
mod booking;
mod consumer;
mod delays;
mod faults;
mod link;
mod publisher;
mod questions;
mod receipts;
mod sending;
mod settling;
mod wire;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use lapin::Channel;
use lapin::options::{QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::address::{Options, TRANSPORT};
use self::consumer::{Held, Reception};
use self::link::{Connections, Link};
use self::publisher::{BATCH, Request};
use self::settling::acknowledge;
pub use self::wire::read_headers;
use self::wire::{Parcel, short, shown};
use super::{
    Connection, Deliveries, Delivery, Destination, Error, Outgoing, Settlement, Subscription, Transport, Waiting,
};
use crate::books;
use crate::connections::connect;
use crate::holdings::{self, Holdings};
use crate::standing::Standing;

/// Time after which a temporary queue without a consumer is deleted, in milliseconds.
const TEMPORARY: i32 = 300_000;
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
    connections: Connections,
    standing: Arc<Standing>,
    requests: mpsc::Sender<Request>,
    /// Those over which the broker may close a channel.
    doubtful: mpsc::Sender<Request>,
    holdings: Arc<Holdings<Held>>,
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
        self.connections.close();
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
        let first = connect(&*options).await.map_err(|failure| failure.into_error(place.to_string()))?;
        let standing = Arc::new(Standing::new(first.epoch));
        let connections = Connections::keep(&place, first, options.clone(), standing.clone());
        let publisher = |most| {
            let (requests, receiver) = mpsc::channel(QUEUED);
            tokio::spawn(publisher::publish(connections.clone(), receiver, most));
            requests
        };
        let (requests, doubtful) = (publisher(BATCH), publisher(1));
        let holdings = Arc::new(Holdings::new(options.remember_ids, options.clerk.clone()));
        let (waits, receptions) = (Mutex::default(), Mutex::default());
        let shared = Shared { options, place, connections, standing, requests, doubtful, holdings, waits, receptions };
        Ok(Self { shared: Arc::new(shared) })
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
            shared.connections.clone(),
            shared.standing.clone(),
            shared.place.clone(),
            shared.holdings.clone(),
        );
        let deadline = Instant::now() + shared.options.patience;
        let opened = loop {
            let link = shared.link(deadline).await?;
            match shared.connections.unless_gone(link.epoch, reception.open(&link)).await {
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
        Ok(Deliveries::checked(receiver, move |delivery| {
            holdings.is_wanted(delivery.tag, &delivery.source, &delivery.id)
        })
        .stopped_by(stopper))
    }

    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), Error> {
        self.shared.check_open()?;
        let deadline = Instant::now() + self.shared.options.patience;
        let entries = books::entries(self.shared.options.clerk.as_ref(), &messages);
        let parcels = self.shared.address(messages, deadline).await?;
        self.shared.publish(parcels, deadline).await?;
        holdings::enter_accepted(self.shared.options.clerk.as_ref(), &entries).await;
        Ok(())
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), Error> {
        let held = self.shared.holdings.take(delivery.tag).ok_or(Error::NotHeld)?;
        let booking = self.shared.begin_to_settle(&held, delivery, &settlement).await;
        let settled = self.shared.conclude(&held, delivery, settlement).await;
        match settled {
            Ok(()) => {
                if let Some((clerk, fate)) = booking {
                    clerk.settled(&delivery.id, fate);
                }
            }
            Err(_) => self.shared.holdings.put_back(delivery.tag, held),
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
            self.shared.enter_renewed(&held);
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

    async fn declare_temporary(&self, queue: &str) -> Result<(), Error> {
        // It outlives the loss of a connection, and not more.
        let declared = async |channel: &Channel, name| {
            let arguments = BTreeMap::from([("x-expires".into(), AMQPValue::LongInt(TEMPORARY))]);
            let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(name, options, arguments.into()).await.map(drop)
        };
        self.shared.ask(queue, declared).await
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        let asked = async |channel: &Channel, name| channel.queue_purge(name, QueuePurgeOptions::default()).await;
        let count = self.shared.ask(queue, asked).await?;
        if let Some(clerk) = &self.shared.options.clerk {
            clerk.purged(queue);
        }
        Ok(u64::from(count))
    }

    /// Each subscription has a channel of its own.
    fn max_subscriptions(&self) -> Option<usize> {
        self.shared.connections.up().map(|link| link.max_channels().into())
    }

    fn connection(&self) -> watch::Receiver<Connection> {
        self.shared.standing.watch()
    }

    fn duplicates(&self) -> watch::Receiver<u64> {
        self.shared.holdings.duplicates()
    }

    async fn close(&self) -> Result<(), Error> {
        let shared = &self.shared;
        shared.connections.begin_close();
        let mut receptions = std::mem::take(&mut *shared.receptions.lock().unwrap_or_else(PoisonError::into_inner));
        while receptions.join_next().await.is_some() {}
        shared.connections.close();
        if let Some(clerk) = &shared.options.clerk {
            clerk.keep().await;
        }
        Ok(())
    }
}

impl Shared {
    fn check_open(&self) -> Result<(), Error> {
        if self.connections.is_over() { Err(Error::Closed) } else { Ok(()) }
    }

    async fn link(&self, deadline: Instant) -> Result<Arc<Link>, Error> {
        self.connections.link(deadline).await
    }
}
