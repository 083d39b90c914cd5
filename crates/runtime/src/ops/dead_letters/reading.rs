//! Looks at the messages of a queue: they are delivered, and those that stay go back.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use zrecipe_broker::message::{Destination, Outgoing};
use zrecipe_broker::transport::{
    Connection, Deliveries, Delivery, Error as TransportError, Settlement, Subscription, Transport, Verdict, Waiting,
};
use zrecipe_language::value::Value;

/// How many letters are under way to us where none stays. A tool that is killed has had each of them delivered once more.
const PREFETCH: u16 = 4;

/// What becomes of a message that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It stays.
    Stays,
    /// It goes.
    Goes,
    /// It goes when this is safe in its place.
    Becomes(Box<Outgoing>),
}

/// Which messages of a queue are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// How long to wait for another one after the last; none to stop when as many have come as the broker counts.
    pub wait: Option<Duration>,
    /// At most so many.
    pub most: usize,
    /// One that has come back so often is renewed before anything else is done: a broker drops what comes back too often,
    /// and whoever looks may be killed.
    pub worn: u32,
    /// Whether all stay.
    pub is_only_look: bool,
}

impl Look {
    /// A look at `most` messages that all stay.
    pub fn at(most: usize, worn: u32) -> Self {
        Self { wait: None, most, worn, is_only_look: true }
    }
}

/// What a look has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How many messages were looked at.
    pub count: usize,
    /// Whether it was to end before it had seen all.
    pub is_interrupted: bool,
}

/// Copies that we have put into queues and that are to come to us like what was there before.
#[derive(Debug, Default)]
pub struct Copies {
    expected: HashMap<Uuid, usize>,
}

impl Copies {
    /// Renews messages; their copies are expected.
    ///
    /// # Errors
    /// The broker failed.
    pub async fn renew(&mut self, transport: &dyn Transport, worn: Vec<Delivery>) -> Result<(), TransportError> {
        for delivery in &worn {
            *self.expected.entry(fingerprint(delivery)).or_default() += 1;
        }
        unless_blocked(transport, transport.renew(worn)).await
    }

    /// Whether a message is such a copy, or one that is like it: as many come as are expected.
    pub fn are(&mut self, delivery: &Delivery) -> bool {
        let expected = self.expected.get_mut(&fingerprint(delivery)).filter(|expected| **expected > 0);
        expected.map(|expected| *expected -= 1).is_some()
    }
}

/// What a copy has like what it is a copy of.
fn fingerprint(delivery: &Delivery) -> Uuid {
    let id = delivery.has_own_id.then_some(delivery.id.as_str());
    let headers = Value::Object(delivery.headers.clone()).to_json();
    let properties = Value::Object(delivery.properties.clone()).to_json();
    let text = format!("{} {id:?} {headers} {properties}\n", delivery.source);
    let text = [text.as_bytes(), &delivery.body].concat();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &text)
}

/// Looks at the messages of a queue until there are no more, or `over` says so; what stays has gone back then. A broker
/// that is away is waited for.
///
/// # Errors
/// The broker failed, there is no such queue, or `each` failed.
pub async fn look<E: From<TransportError>>(
    transport: &dyn Transport,
    queue: &str,
    look: Look,
    over: &mut watch::Receiver<bool>,
    each: impl FnMut(&Delivery) -> Result<Fate, E>,
) -> Result<Seen, E> {
    let there = ready(transport, queue).await?.messages;
    let expected = usize::try_from(there).unwrap_or(usize::MAX);
    let source = Destination::Queue(queue.to_owned());
    // What stays must not come again before all have been seen.
    let prefetch = match look.most {
        usize::MAX => PREFETCH,
        most => u16::try_from(most.max(1)).unwrap_or(u16::MAX),
    };
    let deliveries = transport.subscribe(Subscription { source, prefetch }).await?;
    let (arrived, copies) = (VecDeque::new(), Copies::default());
    let (staying, seen, came) = (Vec::new(), 0, 0);
    let mut reading =
        Reading { transport, queue, look, prefetch, deliveries, arrived, copies, staying, seen, came, expected };
    let ended = reading.read(over, each).await;
    let Reading { deliveries, mut staying, arrived, seen, .. } = reading;
    staying.extend(arrived);
    let let_go = let_go(transport, vec![deliveries], staying, look.worn).await;
    let is_interrupted = ended?;
    let_go?;
    Ok(Seen { count: seen, is_interrupted })
}

/// A look that is under way.
struct Reading<'t> {
    transport: &'t dyn Transport,
    queue: &'t str,
    look: Look,
    prefetch: u16,
    deliveries: Deliveries,
    /// What has come and was not looked at.
    arrived: VecDeque<Delivery>,
    copies: Copies,
    staying: Vec<Delivery>,
    seen: usize,
    /// How many have come, copies included.
    came: usize,
    /// How many the broker has counted, copies included. It is 0 where it has counted none, which it also says when it is
    /// busy.
    expected: usize,
}

impl Reading<'_> {
    /// Looks at messages until there are no more; true when `over` came first.
    async fn read<E: From<TransportError>>(
        &mut self,
        over: &mut watch::Receiver<bool>,
        mut each: impl FnMut(&Delivery) -> Result<Fate, E>,
    ) -> Result<bool, E> {
        while self.seen < self.look.most && self.staying.len() < usize::from(self.prefetch) {
            if self.arrived.is_empty() {
                let arrives = tokio::select! {
                    biased;
                    _ = over.wait_for(|over| *over) => return Ok(true),
                    arrives = self.arrive() => arrives?,
                };
                if !arrives {
                    break;
                }
                self.renew(&mut each).await?;
                continue;
            }
            if *over.borrow() {
                return Ok(true);
            }
            let Some(delivery) = self.arrived.pop_front() else { continue };
            if self.look.is_only_look && self.copies.are(&delivery) {
                self.staying.push(delivery);
                continue;
            }
            self.seen += 1;
            let settlement = match each(&delivery) {
                Ok(Fate::Goes) => Settlement::of(Verdict::Accept),
                Ok(Fate::Becomes(message)) => Settlement { outputs: vec![*message], ..Settlement::of(Verdict::Accept) },
                stays => {
                    self.staying.push(delivery);
                    stays?;
                    continue;
                }
            };
            match self.transport.settle(&delivery, settlement).await {
                // It is not ours any more, and comes again.
                Ok(()) | Err(TransportError::NotHeld) => {}
                Err(error) => {
                    self.staying.push(delivery);
                    return Err(error.into());
                }
            }
        }
        Ok(false)
    }

    /// Takes what comes; false when nothing comes any more.
    async fn arrive(&mut self) -> Result<bool, TransportError> {
        /// How long to wait for messages that are there and do not come, as where another consumer goes first.
        const PATIENCE: Duration = Duration::from_secs(30);
        /// How long to wait for messages of a queue that counts none, which a busy one does, or that others may have got.
        const UNCOUNTED: Duration = Duration::from_secs(1);
        let begun = Instant::now();
        loop {
            if self.look.wait.is_none() && self.expected > 0 && self.came >= self.expected {
                // All that was counted has come. What has come since then may be on its way.
                let more = ready(self.transport, self.queue).await?.messages;
                if more == 0 {
                    let before = self.arrived.len();
                    self.arrived.extend(std::iter::from_fn(|| self.deliveries.next_at_once()));
                    self.came += self.arrived.len() - before;
                    return Ok(self.arrived.len() > before);
                }
                self.expected = self.came.saturating_add(usize::try_from(more).unwrap_or(usize::MAX));
            }
            match timeout(self.look.wait.unwrap_or(UNCOUNTED), self.deliveries.next()).await {
                Ok(Some(delivery)) => {
                    self.arrived.push_back(delivery);
                    self.arrived.extend(std::iter::from_fn(|| self.deliveries.next_at_once()));
                    self.came += self.arrived.len();
                    return Ok(true);
                }
                Ok(None) => return Err(TransportError::NoSuchQueue(self.queue.to_owned())),
                // Nothing comes from a queue that is empty, and from a broker that is away; this waits for it.
                Err(_) if begun.elapsed() < PATIENCE && ready(self.transport, self.queue).await?.messages > 0 => {}
                Err(_) => return Ok(false),
            }
        }
    }

    /// Renews what is worn of that which has come. Where all stay, it is looked at now, and its copy is not; where not, what
    /// is done is done with the copy.
    async fn renew<E: From<TransportError>>(
        &mut self,
        each: &mut impl FnMut(&Delivery) -> Result<Fate, E>,
    ) -> Result<(), E> {
        let (worn, rest): (Vec<Delivery>, Vec<Delivery>) =
            self.arrived.drain(..).partition(|delivery| delivery.returns >= self.look.worn);
        self.arrived = rest.into();
        if worn.is_empty() {
            return Ok(());
        }
        // Held until they are renewed, whatever becomes of that.
        let held = self.staying.len();
        self.staying.extend(worn.iter().cloned());
        self.expected = self.expected.saturating_add(worn.len());
        self.copies.renew(self.transport, worn).await?;
        for delivery in self.staying.split_off(held) {
            if self.look.is_only_look && self.seen < self.look.most {
                self.seen += 1;
                each(&delivery)?;
            }
        }
        Ok(())
    }
}

/// How many messages wait in a queue: asked more than once, because a busy RabbitMQ says 0 of one that does not answer at
/// once.
///
/// # Errors
/// The broker failed, or there is no such queue.
pub async fn ready(transport: &dyn Transport, queue: &str) -> Result<Waiting, TransportError> {
    const TIMES: usize = 2;
    for _ in 0..TIMES {
        let found = transport.waiting(queue).await?;
        if found.messages > 0 {
            return Ok(found);
        }
    }
    transport.waiting(queue).await
}

/// Ends subscriptions, with which the messages that were only looked at go back: one that went before would come to us
/// again, and that counts. So does what was delivered and not looked at; what is worn is renewed.
///
/// # Errors
/// The broker failed.
pub async fn let_go(
    transport: &dyn Transport,
    mut subscriptions: Vec<Deliveries>,
    mut held: Vec<Delivery>,
    worn: u32,
) -> Result<(), TransportError> {
    // From a connection that is blocked the broker reads nothing more; its end releases what is held.
    if matches!(&*transport.connection().borrow(), Connection::Blocked { .. }) {
        return Ok(());
    }
    for deliveries in &mut subscriptions {
        held.extend(deliveries.stop().await);
    }
    let worn = held.into_iter().filter(|delivery| delivery.returns >= worn).collect();
    unless_blocked(transport, transport.renew(worn)).await
}

/// Does something for which the broker has to take messages, unless it takes none now.
async fn unless_blocked(
    transport: &dyn Transport,
    work: impl Future<Output = Result<(), TransportError>>,
) -> Result<(), TransportError> {
    let mut connection = transport.connection();
    let blocked = async {
        match connection.wait_for(|now| matches!(now, Connection::Blocked { .. })).await.as_deref() {
            Ok(Connection::Blocked { reason, .. }) => TransportError::Blocked(reason.clone()),
            // The connection has ended, and the work says so.
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        error = blocked => Err(error),
    }
}
