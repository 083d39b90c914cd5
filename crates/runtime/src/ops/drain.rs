//! Draining a queue into another, one message at a time, so that none is ever in neither.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::ops::dead_letters::{Copies, let_go};
use zrecipe_broker::message::{Destination, Envelope, Outgoing, fresh_headers};
use zrecipe_broker::transport::{Deliveries, Delivery, Error, Settlement, Subscription, Transport, Verdict};

/// What is moved where, and how fast.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The queue to empty.
    pub source: String,
    /// The queue to fill; none: where each message's recipe says.
    pub destination: Option<String>,
    /// How long to wait between messages.
    pub pause: Duration,
    /// At most so many are moved.
    pub most: usize,
    /// Stop when none has come for so long.
    pub stop: Option<Duration>,
    /// One that stays and has come back so often is renewed.
    pub worn: u32,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Move {
    /// It is there.
    To(Destination),
    /// It stays in its queue, and why.
    Stays(String),
}

/// The messages of a queue, of which some stay. These are held until the end, since one that was given back would come
/// again at once, and others come by further subscriptions: a crash must not count as a delivery for many.
struct Source<'t> {
    transport: &'t dyn Transport,
    queue: &'t str,
    subscriptions: Vec<Deliveries>,
    staying: Vec<Delivery>,
    copies: Copies,
    worn: u32,
    /// How many more the last subscription can hand out.
    room: usize,
}

impl Source<'_> {
    /// Makes sure that there is room for another one.
    async fn make_room(&mut self) -> Result<(), Error> {
        /// One in so many of those that stay may be under way.
        const SHARE: usize = 8;
        if self.room == 0 {
            let prefetch = u16::try_from((self.staying.len() / SHARE).max(1)).unwrap_or(u16::MAX);
            let source = Destination::Queue(self.queue.to_owned());
            let deliveries = self.transport.subscribe(Subscription { source, prefetch }).await?;
            self.subscriptions.push(deliveries);
            self.room = usize::from(prefetch);
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivery, Error> {
        let delivery = match self.subscriptions.last_mut() {
            Some(deliveries) => deliveries.next().await,
            None => None,
        };
        delivery.ok_or_else(|| Error::NoSuchQueue(self.queue.to_owned()))
    }

    /// Holds one that stays. One that is worn is held as a copy.
    async fn keep(&mut self, delivery: Delivery) -> Result<(), Error> {
        if delivery.returns >= self.worn {
            return self.copies.renew(self.transport, vec![delivery]).await;
        }
        self.hold(delivery);
        Ok(())
    }

    fn hold(&mut self, delivery: Delivery) {
        self.room -= 1;
        self.staying.push(delivery);
    }
}

/// Moves messages until there are no more; false when `over` came first. `tell` hears what became of each.
///
/// # Errors
/// The broker failed, a queue is not there, or the destination takes no more.
pub async fn drain(
    transport: &dyn Transport,
    plan: &Plan,
    mut over: watch::Receiver<bool>,
    mut tell: impl FnMut(&Delivery, &Move),
) -> Result<bool, Error> {
    transport.waiting(&plan.source).await?;
    if let Some(destination) = &plan.destination {
        transport.waiting(destination).await?;
    }
    let (queue, subscriptions, staying) = (plan.source.as_str(), Vec::new(), Vec::new());
    let (copies, worn) = (Copies::default(), plan.worn);
    let mut source = Source { transport, queue, subscriptions, staying, copies, worn, room: 0 };
    let ended = pour(transport, plan, &mut over, &mut source, &mut tell).await;
    let let_go = let_go(transport, source.subscriptions, source.staying, plan.worn).await;
    let ended = ended?;
    let_go.map(|()| ended)
}

async fn pour(
    transport: &dyn Transport,
    plan: &Plan,
    over: &mut watch::Receiver<bool>,
    source: &mut Source<'_>,
    tell: &mut impl FnMut(&Delivery, &Move),
) -> Result<bool, Error> {
    let mut moved = 0;
    let mut due = Instant::now();
    while moved < plan.most {
        tokio::select! {
            () = sleep_until(due) => {}
            _ = over.wait_for(|over| *over) => return Ok(false),
        }
        tokio::select! {
            room = source.make_room() => room?,
            _ = over.wait_for(|over| *over) => return Ok(false),
        }
        let next = tokio::select! {
            next = timeout(plan.stop.unwrap_or(Duration::MAX), source.next()) => next,
            _ = over.wait_for(|over| *over) => return Ok(false),
        };
        let delivery = match next {
            Ok(delivery) => delivery?,
            // A broker that is away is waited for here.
            Err(_) if transport.waiting(&plan.source).await?.messages > 0 => continue,
            Err(_) => return Ok(true),
        };
        if source.copies.are(&delivery) {
            source.hold(delivery);
            continue;
        }
        let message = match address(&delivery, plan) {
            Ok(message) => message,
            Err(reason) => {
                tell(&delivery, &Move::Stays(reason));
                source.keep(delivery).await?;
                continue;
            }
        };
        due = Instant::now() + plan.pause;
        let destination = message.destination.clone();
        let settlement = Settlement { outputs: vec![message], ..Settlement::of(Verdict::Accept) };
        match transport.settle(&delivery, settlement).await {
            Ok(()) => {
                moved += 1;
                tell(&delivery, &Move::To(destination));
            }
            // It is not ours any more, and comes again.
            Err(Error::NotHeld) => {}
            Err(error @ (Error::NoSuchQueue(_) | Error::NoSuchTopic(_))) if plan.destination.is_none() => {
                tell(&delivery, &Move::Stays(error.to_string()));
                source.keep(delivery).await?;
            }
            Err(error) => {
                source.hold(delivery);
                return Err(error);
            }
        }
    }
    Ok(true)
}

/// The message once more, as it is to go on.
fn address(delivery: &Delivery, plan: &Plan) -> Result<Outgoing, String> {
    let (destination, exchange) = match &plan.destination {
        Some(queue) => (Destination::Queue(queue.clone()), None),
        None => {
            let envelope = Envelope::read(&delivery.headers, &delivery.body).map_err(|error| error.to_string())?;
            envelope.place().ok_or_else(|| format!("step {} of its recipe has no queue", envelope.pointer))?
        }
    };
    if destination == delivery.source {
        return Err("it is already in the queue of its recipe step".to_owned());
    }
    Ok(Outgoing {
        exchange,
        properties: delivery.properties.clone(),
        ..Outgoing::new(delivery.id.clone(), destination, fresh_headers(&delivery.headers), delivery.body.clone())
    })
}
