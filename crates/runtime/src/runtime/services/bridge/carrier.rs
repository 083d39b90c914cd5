//! Carries the messages of one pair.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::settings::{End, Ends};
use crate::runtime::journal::Journal;
use zrecipe_broker::backoff::Backoff;
use zrecipe_broker::message::headers::BRIDGED;
use zrecipe_broker::message::{Code, bridged_headers, is_dead_letter_queue, message_id};
use zrecipe_broker::transport::{
    Creation, Delivery, Destination, Error, Outgoing, Reason, Settlement, Subscription, Transport, Verdict,
};
use zrecipe_language::value::Value;

/// How many messages are sent at a time. So many may be sent twice, with the same ids, when the bridge is killed.
const BATCH: usize = 20;
/// How many messages are held.
const PREFETCH: u16 = 40;
/// Pauses between attempts: the first, and the maximum.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// How long messages are held that the other broker does not take. RabbitMQ ends a connection that holds one for 30 minutes,
/// and counts that against the message.
const HOLD: Duration = Duration::from_secs(20 * 60);
/// How long the ends of a pair may take to close.
const FAREWELL: Duration = Duration::from_secs(5);

/// A pair at work.
pub(super) struct Carrier {
    from: End,
    to: End,
    journal: Journal,
    /// How many pairs wait for a broker.
    waiting: watch::Sender<usize>,
    is_waiting: bool,
    /// Messages that the other broker has, and that could not be acknowledged.
    carried: HashSet<String>,
}

/// The connections of a pair.
struct Connections {
    from: Arc<dyn Transport>,
    to: Arc<dyn Transport>,
}

/// How a batch ended.
enum Carried {
    /// It is settled, or comes again.
    Done,
    /// The bridge stops. What is held goes back.
    Stopped,
}

impl Carrier {
    pub(super) fn new(ends: Ends, journal: Journal, waiting: watch::Sender<usize>) -> Self {
        let Ends { from, to } = ends;
        Self { from, to, journal, waiting, is_waiting: false, carried: HashSet::new() }
    }

    fn title(&self) -> String {
        let end = |end: &End| format!("{} at {}", end.destination, end.endpoint.place());
        format!("{} to {}", end(&self.from), end(&self.to))
    }

    /// Carries until told to stop.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tracing::info!("carrying messages from {}", self.title());
        let mut backoff = Backoff::new(PAUSES);
        loop {
            let connected = tokio::select! {
                connected = self.connect() => connected,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let served = match connected {
                Ok(connections) => {
                    backoff.reset();
                    let served = self.serve(&connections, &mut stop).await;
                    // What is not settled goes back to its place.
                    let close = async { tokio::join!(connections.from.close(), connections.to.close()) };
                    let _ = timeout(FAREWELL, close).await;
                    served
                }
                Err(error) => Err(error),
            };
            let Err(error) = served else { break };
            self.waits(&error.to_string());
            tokio::select! {
                () = sleep(backoff.pause()) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.goes_on();
    }

    fn waits(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_waiting, true) {
            self.waiting.send_modify(|count| *count += 1);
            tracing::warn!("messages wait: from {}: {reason}", self.title());
        }
    }

    fn goes_on(&mut self) {
        if std::mem::take(&mut self.is_waiting) {
            self.waiting.send_modify(|count| *count = count.saturating_sub(1));
            tracing::info!("messages are carried again: from {}", self.title());
        }
    }

    /// Connects to both brokers, the one that takes messages first.
    async fn connect(&self) -> Result<Connections, Error> {
        let to = self.to.endpoint.connect("zrecipe Bridge").await?;
        if let Destination::Queue(queue) = &self.to.destination {
            to.prepare(std::slice::from_ref(queue)).await?;
            // While a queue is missing, no messages are taken for it.
            if self.to.endpoint.entry().capabilities.creation == Creation::Declared {
                to.waiting(queue).await?;
            }
        }
        let from = self.from.endpoint.connect("zrecipe Bridge").await?;
        if let Destination::Queue(queue) = &self.from.destination {
            from.prepare(std::slice::from_ref(queue)).await?;
        }
        Ok(Connections { from, to })
    }

    async fn serve(&mut self, at: &Connections, stop: &mut watch::Receiver<bool>) -> Result<(), Error> {
        let subscription = Subscription { source: self.from.destination.clone(), prefetch: PREFETCH };
        let mut deliveries = at.from.subscribe_in_order(subscription).await?;
        self.goes_on();
        loop {
            let next = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                next = deliveries.next() => next,
            };
            let Some(first) = next else { return Err(Error::Closed) };
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Some(delivery) = deliveries.next_at_once()
            {
                batch.push(delivery);
            }
            if let Carried::Stopped = self.carry(at, batch, stop).await? {
                return Ok(());
            }
        }
    }

    /// Carries some messages, in their order, and settles them.
    async fn carry(
        &mut self,
        at: &Connections,
        batch: Vec<Delivery>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Carried, Error> {
        let mut batches = Vec::new();
        let mut fresh = Vec::new();
        for delivery in batch {
            if self.has_carried(&delivery) {
                self.settle(at, delivery, Settlement::of(Verdict::Accept)).await;
            } else if let Some(place) = self.circle(&delivery) {
                let reason = format!("bridges form a loop: it has been in {place}");
                let reason = Reason::new(Code::Unsendable, reason);
                self.settle(at, delivery, Settlement::of(Verdict::DeadLetter { reason })).await;
            } else {
                fresh.push(delivery);
            }
        }
        if !fresh.is_empty() {
            batches.push(fresh);
        }
        let begun = Instant::now();
        let mut backoff = Backoff::new(PAUSES);
        // The batch that is next is the last one.
        while let Some(batch) = batches.pop() {
            let error = match self.send(at, &batch).await {
                Ok(settled) => {
                    if !settled {
                        self.settle_all(at, batch).await;
                    }
                    self.goes_on();
                    continue;
                }
                Err(error) => error,
            };
            let is_single = batch.len() == 1;
            match (error, <[Delivery; 1]>::try_from(batch)) {
                (error @ Error::Closed, _) => return Err(error),
                (Error::NotHeld, Ok(_)) if is_single => {}
                (error @ Error::Unsendable { .. }, Ok([delivery])) => {
                    let reason = Reason::new(Code::Unsendable, error.to_string());
                    tracing::warn!("message {} is dead-lettered: {}", delivery.id, reason.text);
                    self.settle(at, delivery, Settlement::of(Verdict::DeadLetter { reason })).await;
                }
                // The one that is in the way is found by sending each alone.
                (Error::Unsendable { .. } | Error::Refused { .. } | Error::Partly { .. }, Err(batch)) => {
                    batches.extend(batch.into_iter().rev().map(|delivery| vec![delivery]));
                }
                (error, batch) => {
                    let batch = batch.map_or_else(|batch| batch, Vec::from);
                    self.waits(&error.to_string());
                    let is_long = begun.elapsed() > HOLD && self.from.endpoint.entry().capabilities.releases_in_place;
                    if is_long {
                        return Err(error);
                    }
                    batches.push(batch);
                    tokio::select! {
                        () = sleep(backoff.pause()) => {}
                        _ = stop.wait_for(|stop| *stop) => return Ok(Carried::Stopped),
                    }
                }
            }
        }
        Ok(Carried::Done)
    }

    /// Sends messages; whether they are settled with that.
    async fn send(&self, at: &Connections, batch: &[Delivery]) -> Result<bool, Error> {
        if self.is_within_one_broker() {
            for delivery in batch {
                let outputs = vec![self.outgoing(delivery)];
                let settlement = Settlement { verdict: Verdict::Accept, outputs, note: None };
                match at.from.settle(delivery, settlement).await {
                    // Those before it are settled.
                    Ok(()) | Err(Error::NotHeld) => {}
                    Err(error) => return Err(error),
                }
            }
            return Ok(true);
        }
        at.to.send(batch.iter().map(|delivery| self.outgoing(delivery)).collect()).await?;
        Ok(false)
    }

    /// Whether a message is taken and sent in one transaction.
    fn is_within_one_broker(&self) -> bool {
        let (from, to) = (&self.from.endpoint, &self.to.endpoint);
        from.entry().capabilities.is_atomic
            && (from.entry().name, from.place(), from.namespace()) == (to.entry().name, to.place(), to.namespace())
    }

    /// The message for the other broker.
    fn outgoing(&self, delivery: &Delivery) -> Outgoing {
        let is_dead_letter = matches!(&self.to.destination, Destination::Queue(queue) if is_dead_letter_queue(queue));
        let mut headers = bridged_headers(&delivery.headers, is_dead_letter);
        let before = headers.get(BRIDGED).and_then(Value::as_str);
        let places = before.into_iter().chain([self.from.key.as_str()]).collect::<Vec<_>>().join("\n");
        headers.insert(BRIDGED.to_owned(), Value::from(places));
        let destination = self.to.destination.clone();
        let properties = delivery.properties.clone();
        Outgoing { properties, ..Outgoing::new(delivery.id.clone(), destination, headers, delivery.body.clone()) }
    }

    /// The place to which the message would be carried once more.
    fn circle(&self, delivery: &Delivery) -> Option<String> {
        let places = delivery.headers.get(BRIDGED)?.as_str()?;
        places.split('\n').find(|place| **place == *self.to.key).map(str::to_owned)
    }

    /// Acknowledges messages that the other broker has.
    async fn settle_all(&mut self, at: &Connections, batch: Vec<Delivery>) {
        let mut settling = JoinSet::new();
        for delivery in batch {
            let from = Arc::clone(&at.from);
            settling.spawn(async move {
                let settled = from.settle(&delivery, Settlement::of(Verdict::Accept)).await;
                (delivery, settled)
            });
        }
        while let Some(settled) = settling.join_next().await {
            if let Ok((delivery, settled)) = settled {
                self.note(&delivery, settled);
            }
        }
    }

    async fn settle(&mut self, at: &Connections, delivery: Delivery, settlement: Settlement) {
        let settled = at.from.settle(&delivery, settlement).await;
        self.note(&delivery, settled);
    }

    /// Remembers what the other broker has and what is delivered again; forgets what is not.
    fn note(&mut self, delivery: &Delivery, settled: Result<(), Error>) {
        if !delivery.has_own_id && matches!(self.from.destination, Destination::Topic(_)) {
            return;
        }
        let id = self.journaled(delivery);
        match settled {
            Ok(()) => {
                if self.carried.remove(&id) {
                    let _ = self.journal.entry(&id).drop_kept();
                }
            }
            Err(error) => {
                tracing::debug!("message {} is not acknowledged and is redelivered: {error}", delivery.id);
                if let Err(error) = self.journal.entry(&id).keep(&Value::from("carried")) {
                    tracing::warn!("cannot record that message {} was forwarded: {error}", delivery.id);
                }
                self.carried.insert(id);
            }
        }
    }

    /// Whether the other broker has the message.
    fn has_carried(&mut self, delivery: &Delivery) -> bool {
        let id = self.journaled(delivery);
        let is_carried = self.carried.contains(&id)
            || (delivery.came_before && matches!(self.journal.entry(&id).kept(), Ok(Some(_))));
        if is_carried {
            self.carried.insert(id);
        }
        is_carried
    }

    /// The message in the journal.
    fn journaled(&self, delivery: &Delivery) -> String {
        message_id(&delivery.id, &format!("{} to {}", self.from.key, self.to.key))
    }
}
