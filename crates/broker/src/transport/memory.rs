//! A broker in the memory of this process, for tests of services: `memory:NAME` is the same broker wherever the process
//! opens it, and everything is lost with the process.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{
    Capabilities, Creation, Deliveries, Delivery, Destination, Endpoint, Entry, Environment, Error, Outgoing,
    Settlement, Subscription, Transport, Verdict, Waiting,
};
use crate::address::Fault;
use crate::message::bounds::DELIVERY_LIMIT;
use crate::message::{Cause, Code, Reason, dead_letter_queue, record_death};

/// How a broker of this kind is found, and what it can do.
pub const TRANSPORT: Entry = Entry {
    name: "memory",
    product: "the broker in memory",
    plugin: None,
    class: None,
    options: &[],
    file_option: None,
    namespace: None,
    schemes: &["memory"],
    secrets: &[],
    secret_files: &[],
    public_secrets: &[],
    own_prefix: None,
    grant: "everyone may do everything",
    permissions: "everyone may do everything",
    capabilities: Capabilities {
        is_remote: false,
        creation: Creation::BySubscribing,
        is_atomic: true,
        keeps_spelling: true,
        releases_uncounted: true,
        releases_in_place: true,
        is_exact: true,
        browses: false,
        management: None,
        definitions: false,
        dead_letters_by_itself: true,
        blocks: false,
    },
    open,
};

/// Brokers of this process by name.
static BROKERS: LazyLock<Mutex<HashMap<String, Broker>>> = LazyLock::new(Mutex::default);

fn open(environment: &Environment<'_>) -> Result<Arc<dyn Endpoint>, Fault> {
    match environment {
        Environment::Url(url) => {
            let name = url.split_once(':').map_or("", |(_, name)| name).trim_start_matches('/');
            let mut brokers = BROKERS.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(Arc::new(brokers.entry(name.to_owned()).or_insert_with(|| Broker::new(name, DELIVERY_LIMIT)).clone()))
        }
        Environment::Site(_) | Environment::Directory(..) => {
            Err(Fault::Url("a broker in memory is opened by `memory:NAME`".to_owned()))
        }
    }
}

/// A broker in memory. Clones are the same broker.
#[derive(Clone)]
pub struct Broker {
    name: Arc<str>,
    store: Arc<Mutex<Store>>,
}

impl Broker {
    /// An empty broker. `limit` is the number of retries after which a message is dead-lettered: it is delivered once more
    /// than this.
    pub fn new(name: &str, limit: u32) -> Self {
        Self { name: name.into(), store: Arc::new(Mutex::new(Store { limit, ..Store::default() })) }
    }
}

#[async_trait]
impl Endpoint for Broker {
    fn entry(&self) -> &'static Entry {
        &TRANSPORT
    }

    fn place(&self) -> String {
        format!("the broker `{}` in memory", self.name)
    }

    fn namespace(&self) -> &str {
        &self.name
    }

    async fn connect(&self, _who: &str) -> Result<Arc<dyn Transport>, Error> {
        let lease = self.lock().number();
        Ok(Arc::new(Memory { broker: self.clone(), lease, closed: watch::Sender::new(false) }))
    }

    fn remedy(&self, _error: &Error) -> &'static str {
        "start the process again"
    }
}

impl Broker {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers what can be delivered now, and later what is due later.
    fn deliver(&self, mut store: MutexGuard<'_, Store>) {
        store.deliver();
        let Some(next) = store.next_change().filter(|next| store.alarm.is_none_or(|alarm| *next < alarm)) else {
            return;
        };
        store.alarm = Some(next);
        let broker = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(next).await;
            let mut store = broker.lock();
            if store.alarm == Some(next) {
                store.alarm = None;
                broker.deliver(store);
            }
        });
    }
}

impl Broker {
    /// Ends subscriptions, and releases what they hold.
    fn end(&self, is_over: impl Fn(u64, &Reader) -> bool) {
        let mut store = self.lock();
        store.end(is_over);
        store.deliver();
    }
}

/// A message in the store.
#[derive(Clone)]
struct Item {
    message: Outgoing,
    deliveries: u32,
    /// How many of them a retry led to.
    retries: u32,
    sent: SystemTime,
    due: Option<Instant>,
    expires: Option<Instant>,
}

/// A subscription.
struct Reader {
    lease: u64,
    source: Destination,
    prefetch: usize,
    sender: mpsc::Sender<Delivery>,
    /// Copies of broadcasts that wait for it.
    copies: VecDeque<Item>,
}

#[derive(Default)]
struct Store {
    limit: u32,
    last: u64,
    queues: BTreeMap<String, VecDeque<Item>>,
    readers: BTreeMap<u64, Reader>,
    /// Messages that readers hold, by tag.
    held: BTreeMap<u64, (u64, Item)>,
    /// When the next message is due or expires, if a task waits for that.
    alarm: Option<Instant>,
    /// Queues and ids of messages that were taken in.
    known: HashSet<(String, String)>,
}

impl Store {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Refuses messages to queues that do not exist.
    fn check(&self, messages: &[Outgoing]) -> Result<(), Error> {
        let missing = messages.iter().find_map(|message| match &message.destination {
            Destination::Queue(name) if !self.queues.contains_key(name) => Some(name.clone()),
            _ => None,
        });
        missing.map_or(Ok(()), |name| Err(Error::NoSuchQueue(name)))
    }

    /// When the next message is due or expires.
    fn next_change(&self) -> Option<Instant> {
        let now = Instant::now();
        let items = self.queues.values().flatten().chain(self.readers.values().flat_map(|reader| &reader.copies));
        items.flat_map(|item| [item.due, item.expires]).flatten().filter(|at| *at > now).min()
    }

    /// Takes messages in; returns the ids of duplicates. The message `moved` is sent on under its own id.
    fn take_in(&mut self, messages: Vec<Outgoing>, moved: Option<&str>) -> Vec<String> {
        let (now, mut duplicates) = (Instant::now(), Vec::new());
        for message in messages {
            let key = (message.destination.name().to_owned(), message.id.clone());
            let is_queue = matches!(message.destination, Destination::Queue(_));
            if is_queue && !self.known.insert(key) && moved != Some(message.id.as_str()) {
                duplicates.push(message.id);
                continue;
            }
            let due = message.delay.and_then(|delay| now.checked_add(delay));
            let expires = message.expiration.and_then(|life| due.unwrap_or(now).checked_add(life));
            self.put(Item { message, deliveries: 0, retries: 0, sent: SystemTime::now(), due, expires });
        }
        duplicates
    }

    /// Puts a message into its queue, or copies of it before the subscribers of its topic.
    fn put(&mut self, item: Item) {
        match &item.message.destination {
            Destination::Queue(name) => self.queues.entry(name.clone()).or_default().push_back(item),
            topic => {
                for reader in self.readers.values_mut().filter(|reader| reader.source == *topic) {
                    reader.copies.push_back(item.clone());
                }
            }
        }
    }

    /// Moves a message to its dead-letter queue.
    fn bury(&mut self, mut item: Item, cause: Cause, reason: &Reason) {
        let Destination::Queue(queue) = item.message.destination.clone() else { return };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let time = i64::try_from(time).unwrap_or(i64::MAX);
        record_death(&mut item.message.headers, &queue, cause, reason, time);
        item.message.destination = Destination::Queue(dead_letter_queue(&queue));
        self.put(Item { deliveries: 0, retries: 0, due: None, expires: None, ..item });
    }

    /// Puts a held message back to the head of its queue.
    fn give_back(&mut self, reader: u64, item: Item) {
        match &item.message.destination {
            Destination::Queue(name) => self.queues.entry(name.clone()).or_default().push_front(item),
            Destination::Topic(_) => {
                if let Some(reader) = self.readers.get_mut(&reader) {
                    reader.copies.push_front(item);
                }
            }
        }
    }

    /// Ends subscriptions, and releases what they hold.
    fn end(&mut self, is_over: impl Fn(u64, &Reader) -> bool) {
        let over: Vec<u64> = self
            .readers
            .iter()
            .filter(|(number, reader)| is_over(**number, reader))
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            self.readers.remove(&number);
            let tags: Vec<u64> =
                self.held.iter().filter(|(_, (reader, _))| *reader == number).map(|(tag, _)| *tag).collect();
            // The oldest comes to the head last.
            for tag in tags.into_iter().rev() {
                if let Some((reader, mut item)) = self.held.remove(&tag) {
                    item.deliveries -= 1;
                    self.give_back(reader, item);
                }
            }
        }
    }

    /// Hands out what can be handed out, and buries what has expired.
    fn deliver(&mut self) {
        let now = Instant::now();
        let mut expired = Vec::new();
        for items in self.queues.values_mut() {
            let is_dead = |item: &Item| item.expires.is_some_and(|at| at <= now);
            let (dead, live): (VecDeque<Item>, VecDeque<Item>) = items.drain(..).partition(is_dead);
            expired.extend(dead);
            *items = live;
        }
        let reason = Reason::new(Code::Expired, "it expired before a consumer took it");
        expired.into_iter().for_each(|item| self.bury(item, Cause::Expired, &reason));
        let numbers: Vec<u64> = self.readers.keys().copied().collect();
        for number in numbers {
            while let Some(item) = self.next(number, now) {
                self.hand_out(number, item);
            }
        }
    }

    /// Takes the next message for a subscription that has room.
    fn next(&mut self, number: u64, now: Instant) -> Option<Item> {
        let holds = self.held.values().filter(|(reader, _)| *reader == number).count();
        let reader = self.readers.get_mut(&number).filter(|reader| holds < reader.prefetch)?;
        let items = match &reader.source {
            Destination::Queue(name) => self.queues.get_mut(name)?,
            Destination::Topic(_) => &mut reader.copies,
        };
        let at = items.iter().position(|item| item.due.is_none_or(|due| due <= now))?;
        items.remove(at)
    }

    fn hand_out(&mut self, number: u64, mut item: Item) {
        let tag = self.number();
        item.deliveries += 1;
        let message = item.message.clone();
        let delivery = Delivery {
            tag,
            id: message.id,
            has_own_id: true,
            source: message.destination,
            properties: message.properties,
            headers: message.headers,
            body: message.body,
            deliveries: item.deliveries,
            retries: item.retries,
            returns: item.deliveries - 1,
            came_before: item.deliveries > 1,
            sent: Some(item.sent),
        };
        self.held.insert(tag, (number, item));
        // There is room for as many as it may hold; one that is dropped is ended by its task.
        if let Some(reader) = self.readers.get(&number) {
            let _ = reader.sender.try_send(delivery);
        }
    }
}

/// A connection.
struct Memory {
    broker: Broker,
    lease: u64,
    closed: watch::Sender<bool>,
}

impl Memory {
    fn store(&self) -> Result<MutexGuard<'_, Store>, Error> {
        if *self.closed.borrow() { Err(Error::Closed) } else { Ok(self.broker.lock()) }
    }
}

#[async_trait]
impl Transport for Memory {
    async fn subscribe(&self, subscription: Subscription) -> Result<Deliveries, Error> {
        let prefetch = usize::from(subscription.prefetch.max(1));
        let (sender, receiver) = mpsc::channel(prefetch);
        let mut store = self.store()?;
        if let Destination::Queue(name) = &subscription.source {
            store.queues.entry(name.clone()).or_default();
        }
        let number = store.number();
        let (source, lease, over) = (subscription.source, self.lease, sender.clone());
        store.readers.insert(number, Reader { lease, source, prefetch, sender, copies: VecDeque::new() });
        self.broker.deliver(store);
        let (broker, mut closed) = (self.broker.clone(), self.closed.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                () = over.closed() => broker.end(|other, _| other == number),
                _ = closed.wait_for(|closed| *closed) => {}
            }
        });
        Ok(Deliveries::new(receiver))
    }

    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), Error> {
        self.offer(messages).await.map(drop)
    }

    async fn offer(&self, messages: Vec<Outgoing>) -> Result<Vec<String>, Error> {
        let mut store = self.store()?;
        store.check(&messages)?;
        let duplicates = store.take_in(messages, None);
        self.broker.deliver(store);
        Ok(duplicates)
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), Error> {
        let mut store = self.store()?;
        if !store.held.contains_key(&delivery.tag) {
            return Err(Error::NotHeld);
        }
        store.check(&settlement.outputs)?;
        let Some((reader, item)) = store.held.remove(&delivery.tag) else { return Err(Error::NotHeld) };
        let later = |after: Duration| Instant::now().checked_add(after).filter(|_| !after.is_zero());
        match settlement.verdict {
            Verdict::Accept => {}
            Verdict::DeadLetter { reason } => store.bury(item, Cause::Rejected, &reason),
            Verdict::Retry { reason, .. } if item.deliveries > store.limit => {
                store.bury(item, Cause::DeliveryLimit, &Reason::new(Code::RetriesExhausted, reason));
            }
            Verdict::Retry { after, .. } => {
                let retries = item.retries + 1;
                store.give_back(reader, Item { due: later(after), expires: None, retries, ..item });
            }
            Verdict::Requeue { after } => {
                let deliveries = item.deliveries - 1;
                store.give_back(reader, Item { due: later(after), expires: None, deliveries, ..item });
            }
            Verdict::Release => store.give_back(reader, Item { deliveries: item.deliveries - 1, ..item }),
        }
        store.take_in(settlement.outputs, Some(&delivery.id));
        self.broker.deliver(store);
        Ok(())
    }

    async fn waiting(&self, queue: &str) -> Result<Waiting, Error> {
        let store = self.store()?;
        let items = store.queues.get(queue).ok_or_else(|| Error::NoSuchQueue(queue.to_owned()))?;
        let consumers = store.readers.values().filter(|reader| reader.source.name() == queue).count();
        Ok(Waiting { messages: items.len() as u64, consumers: Some(consumers as u64) })
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        let mut store = self.store()?;
        let items = store.queues.get_mut(queue).ok_or_else(|| Error::NoSuchQueue(queue.to_owned()))?;
        Ok(std::mem::take(items).len() as u64)
    }

    async fn prepare(&self, queues: &[String]) -> Result<(), Error> {
        let mut store = self.store()?;
        for queue in queues {
            store.queues.entry(queue.clone()).or_default();
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), Error> {
        if !self.closed.send_replace(true) {
            self.broker.end(|_, reader| reader.lease == self.lease);
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.broker.end(|_, reader| reader.lease == self.lease);
    }
}
