//! The host: takes messages from queues, hands them to services, and settles them with what they led to.
//!
//! A delivery is settled once, last, and together with everything it led to. A service that fails on a message
//! (by returning so, or by a panic) does not take its neighbours with it.

pub mod ask;
pub mod cluster;
pub mod ending;
pub mod foreign;
pub mod handover;
pub mod health;
pub mod instance;
pub mod journal;
mod kept;
pub mod metrics;
pub mod order;
mod outcome;
pub mod pressure;
pub mod process;
pub mod roots;
pub mod run;
pub mod said;
pub mod services;
mod settlement;
pub mod status;
pub mod stem;
pub mod supervisor;
pub mod supervisors;
pub mod surroundings;
pub mod workers;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use self::journal::Journal;
use self::kept::Kept;
use self::order::{Order, Turn};
pub use self::outcome::{Event, Outcome, StepResult};
use self::pressure::{Hold, Next, Obstacle, Pauses, Pressure};
use crate::telemetry::traces::{Receiving, Tracing};
use zrecipe_broker::message::{self, Destination, Envelope};
use zrecipe_broker::transport::{Connection, Delivery, Error, Settlement, Subscription, Transport, Verdict};
use zrecipe_language::contract::Contract;
use zrecipe_language::value::{Object, Value};

/// Setting of plugin `storage` that names the directory of the dispatcher's logbook.
pub const LOGBOOK: &str = "zocalo.dispatcher.logbook_location";

/// How long a service may take for a message unless it says otherwise.
const ALLOWANCE: Duration = Duration::from_secs(60);

/// How often a message may come back because of a fault of the surroundings before it is a dead letter.
const MAX_RETRIES: u32 = 5;

/// How long to wait before outputs are sent again that the broker would not take.
const REFUSED: Duration = Duration::from_secs(5);

/// Something that deals with the messages of a queue.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Its name for people.
    fn name(&self) -> &str;

    /// What it promises. The host holds messages against it before the service sees them.
    fn contract(&self) -> Option<&Contract> {
        None
    }

    /// Whether this service deals with the messages of a queue.
    fn serves(&self, queue: &str) -> bool {
        self.contract().is_some_and(|contract| contract.serves(queue))
    }

    /// The queues it takes messages from when nothing else is said.
    fn queues(&self) -> Vec<String> {
        let queues = self.contract().into_iter().flat_map(|contract| &contract.queues);
        queues.filter(|queue| !queue.contains('*')).cloned().collect()
    }

    /// How many messages of a queue it takes at a time.
    fn prefetch(&self) -> u16 {
        1
    }

    /// The channel that a recipe step with a single unnamed output is connected to.
    fn default_channel(&self) -> Option<&str> {
        Some(&self.contract()?.default_channel()?.name)
    }

    /// Maximum time that a message takes when all is well, if there is one. A service that holds a message for longer and
    /// settles no other is not ready.
    fn allowance(&self, _job: &Job) -> Option<Duration> {
        Some(ALLOWANCE)
    }

    /// Whether [`handle`](Service::handle) waits for files that messages name: then it has a thread of its own, so that a
    /// file system that does not answer keeps no other service.
    fn may_block(&self) -> bool {
        false
    }

    /// Whether it also deals with messages that carry no recipe.
    fn takes_plain_messages(&self) -> bool {
        false
    }

    /// Called before messages are taken from a queue, possibly more than once.
    async fn begin(&self) {}

    /// Called when no more messages are taken.
    async fn finish(&self) {}

    /// Deals with a message. The host polls the work on the messages of a consumer for the first time in the order of
    /// their delivery; what has to stay in that order happens before the first `await`.
    async fn handle(&self, job: &Job) -> Outcome;

    /// Called when the broker has confirmed that the message is settled for good: accepted or dead-lettered. Until then
    /// the message may be delivered again.
    async fn settled(&self, _job: &Job) {}
}

/// A message for a service.
#[derive(Debug, Clone)]
pub struct Job {
    /// The message as delivered.
    pub delivery: Delivery,
    /// The recipe it carries, if it carries one.
    pub envelope: Option<Envelope>,
}

impl Job {
    /// The parameters of the recipe step; empty when there are none.
    pub fn parameters(&self) -> Object {
        self.envelope.as_ref().map(Envelope::parameters).unwrap_or_default()
    }

    /// How long to wait before a further attempt after a fault of the surroundings: the longer the more there were.
    pub fn back_off(&self, first: Duration) -> Duration {
        first * 4_u32.saturating_pow(self.delivery.deliveries.saturating_sub(1).min(4))
    }

    /// What the previous step sent, or the whole body of a message without a recipe.
    pub fn payload(&self) -> Value {
        match &self.envelope {
            Some(envelope) => envelope.payload.clone(),
            None => message::read_body(&self.delivery.body),
        }
    }
}

/// Services on a transport.
pub struct Host {
    transport: Arc<dyn Transport>,
    services: Vec<Arc<dyn Service>>,
    events: mpsc::UnboundedSender<Event>,
    /// How many messages are dealt with at a time, over all queues.
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    tracing: Option<Arc<Tracing>>,
    kept: Kept,
    pauses: Pauses,
}

impl Host {
    /// A host for these services that deals with at most `places` messages at a time and stops taking messages when
    /// `stop` becomes true.
    pub fn new(
        transport: Arc<dyn Transport>,
        services: Vec<Arc<dyn Service>>,
        places: usize,
        events: mpsc::UnboundedSender<Event>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(places.max(1)));
        let (kept, pauses) = (Kept::default(), Pauses::default());
        Self { transport, services, events, places, stop, tracing: None, kept, pauses }
    }

    /// Keeps outcomes that are not confirmed in a journal, so that the work on a message is not repeated when it is
    /// delivered again, to this process or the next one.
    #[must_use]
    pub fn with_journal(mut self, journal: Option<Journal>) -> Self {
        self.kept = Kept::new(journal);
        self
    }

    /// Pauses for so long where something holds up all messages.
    #[must_use]
    pub fn with_pauses(mut self, pauses: Pauses) -> Self {
        self.pauses = pauses;
        self
    }

    /// Makes spans of what is done.
    #[must_use]
    pub fn traced(mut self, tracing: Option<Arc<Tracing>>) -> Self {
        self.tracing = tracing;
        self
    }

    /// The service that deals with the messages of a queue.
    pub fn service_for(&self, queue: &str) -> Option<&Arc<dyn Service>> {
        self.services.iter().find(|service| service.serves(queue))
    }

    /// Takes messages from these queues until told to stop; then finishes what it has begun.
    ///
    /// # Errors
    /// The broker failed. Messages under way are released.
    pub async fn serve(&self, queues: &[String]) -> Result<(), Error> {
        self.serve_when_ready(queues, || {}).await
    }

    /// The same; says when it is subscribed to all queues.
    ///
    /// # Errors
    /// As for [`Host::serve`].
    pub async fn serve_when_ready(&self, queues: &[String], ready: impl FnOnce()) -> Result<(), Error> {
        let mut tasks = JoinSet::new();
        let pressure = Pressure::new(self.pauses);
        for queue in queues {
            let Some(service) = self.service_for(queue) else { continue };
            let source = Destination::Queue(queue.clone());
            let subscription = Subscription { source, prefetch: service.prefetch() };
            service.begin().await;
            let deliveries = self.transport.subscribe(subscription).await?;
            let worker = Worker {
                transport: Arc::clone(&self.transport),
                service: Arc::clone(service),
                events: self.events.clone(),
                places: Arc::clone(&self.places),
                tracing: self.tracing.clone(),
                stop: self.stop.clone(),
                kept: self.kept.clone(),
                pressure: pressure.clone(),
                order: Order::default(),
            };
            tasks.spawn(worker.consume(deliveries));
        }
        ready();
        while let Some(task) = tasks.join_next().await {
            match task {
                Ok(result) => result?,
                Err(error) => return Err(Error::Store(Box::new(error))),
            }
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Worker {
    transport: Arc<dyn Transport>,
    service: Arc<dyn Service>,
    events: mpsc::UnboundedSender<Event>,
    places: Arc<Semaphore>,
    tracing: Option<Arc<Tracing>>,
    stop: watch::Receiver<bool>,
    kept: Kept,
    pressure: Pressure,
    order: Order,
}

/// How one attempt to settle a message ended.
enum Attempt {
    Settled {
        outcome: &'static str,
        reason: Option<String>,
        sent: usize,
        /// The message is accepted or dead-lettered, and does not come again.
        is_final: bool,
    },
    HeldUp(Obstacle),
}

impl Worker {
    async fn consume(self, mut deliveries: zrecipe_broker::transport::Deliveries) -> Result<(), Error> {
        let mut under_way = JoinSet::new();
        let mut stop = self.stop.clone();
        let mut number = 0;
        loop {
            let is_clear = self.pressure.is_clear();
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(finished) = under_way.join_next() => settled(finished)?,
                delivery = deliveries.next(), if is_clear => match delivery {
                    Some(delivery) => {
                        let (worker, turn) = (self.clone(), self.order.join(number));
                        number += 1;
                        under_way.spawn(async move { worker.deal_with(delivery, number - 1, turn).await });
                    }
                    None => break,
                },
                () = self.pressure.cleared(), if !is_clear => {}
                () = tokio::time::sleep(self.pressure.hold_limit()), if !is_clear => {
                    // What has come and was not begun must not be held for too long, either.
                    while let Some(delivery) = deliveries.next_at_once() {
                        self.requeue(&delivery).await;
                    }
                }
            }
        }
        while let Some(finished) = under_way.join_next().await {
            settled(finished)?;
        }
        Ok(())
    }

    async fn deal_with(&self, delivery: Delivery, number: u64, turn: Turn) -> Result<(), Error> {
        let mut stop = self.stop.clone();
        let has_waited = !self.pressure.is_clear();
        turn.reached().await;
        let Ok(_place) = self.places.acquire().await else { return Ok(()) };
        let has_waited = has_waited || !self.pressure.is_clear();
        tokio::select! {
            () = self.pressure.cleared() => {}
            () = stopped(&mut stop) => {}
        }
        if has_waited && *stop.borrow() {
            self.give_back(&delivery).await;
            return Ok(());
        }
        let (job, step, early) = match self.open(&delivery) {
            Ok(job) => {
                let step = job.envelope.as_ref().map(|envelope| envelope.pointer);
                let early = self.refusal(&job).map(|reason| Outcome::Bad { reason });
                (job, step, early)
            }
            Err(reason) => {
                let job = Job { delivery: delivery.clone(), envelope: None };
                (job, None, Some(Outcome::Bad { reason }))
            }
        };
        let span = self.span(&job, step);
        self.settle(job, step, early, (number, turn)).instrument(span).await
    }

    /// Puts a delivery back into its queue, uncounted; whether that was possible.
    async fn requeue(&self, delivery: &Delivery) -> bool {
        let settlement = Settlement::of(Verdict::Requeue { after: Duration::ZERO });
        self.transport.settle(delivery, settlement).await.is_ok()
    }

    /// Puts a delivery back because the host is to stop. A broker that takes nothing counts that, and delivers it again
    /// all the same.
    async fn give_back(&self, delivery: &Delivery) {
        let is_up = matches!(*self.transport.connection().borrow(), Connection::Up);
        if !(is_up && self.requeue(delivery).await) {
            let _ = self.transport.settle(delivery, Settlement::of(Verdict::Release)).await;
        }
    }

    /// Why the contract of the service refuses a message, if it does.
    fn refusal(&self, job: &Job) -> Option<String> {
        let contract = self.service.contract()?;
        let parameters = contract.refusal(&job.parameters());
        parameters.or_else(|| contract.payload_refusal(&job.payload(), "the payload"))
    }

    /// What every log line about a message says.
    fn span(&self, job: &Job, step: Option<i64>) -> tracing::Span {
        let span = tracing::info_span!(
            "message",
            service = self.service.name(),
            recipe_ID = tracing::field::Empty,
            step,
            queue = job.delivery.source.name(),
            message_id = job.delivery.id,
        );
        // A request has none before it is read.
        if let Some(id) = job.envelope.as_ref().and_then(Envelope::id) {
            span.record("recipe_ID", id);
        }
        span
    }

    async fn settle(
        &self,
        job: Job,
        step: Option<i64>,
        early: Option<Outcome>,
        (number, turn): (u64, Turn),
    ) -> Result<(), Error> {
        let started = SystemTime::now();
        let name = self.service.name().to_owned();
        let (id, deliveries) = (job.delivery.id.clone(), job.delivery.deliveries);
        let recipe_id = job.envelope.as_ref().and_then(Envelope::id).map(str::to_owned);
        let traced = self.tracing.as_ref();
        let traced = traced
            .map(|tracing| tracing.receive(&job.delivery.headers, job.delivery.source.name(), recipe_id.as_deref()));
        let allowance = self.service.allowance(&job);
        let event = Event::Started { id: id.clone(), service: name.clone(), step, recipe_id, deliveries, allowance };
        let _ = self.events.send(event);
        let outcome = match early.or_else(|| self.kept.recall(&id)) {
            Some(outcome) => {
                drop(turn);
                outcome
            }
            None => self.run(&job, turn).await,
        };
        let settling = self.see_through(&job, step, started, (number, outcome), traced.as_ref()).await;
        let took = started.elapsed().unwrap_or_default();
        let (outcome, reason, sent, is_final) = match settling {
            Ok(Attempt::Settled { outcome, reason, sent, is_final }) => (outcome, reason, sent, is_final),
            Ok(Attempt::HeldUp(_)) => {
                let _ = self.events.send(Event::Abandoned { id });
                return Ok(());
            }
            Err(error) => {
                tracing::warn!("not settled, so it is delivered again: {error}");
                let _ = self.events.send(Event::Abandoned { id });
                return Err(error);
            }
        };
        if is_final {
            self.service.settled(&job).await;
            self.kept.forget(&id);
        }
        if let Some(span) = traced {
            span.end(reason.as_deref());
        }
        match &reason {
            Some(reason) => tracing::warn!(outcome, sent, took = ?took, "{reason}"),
            None => tracing::info!(outcome, sent, took = ?took, "settled"),
        }
        let _ = self.events.send(Event::Settled { id, service: name, step, outcome, reason, sent, took });
        Ok(())
    }

    /// Settles a message, however long its destinations, the broker or this machine hold it up. The work is done once: its
    /// outcome is kept and sent again. `HeldUp` where the message went back to its queue meanwhile.
    async fn see_through(
        &self,
        job: &Job,
        step: Option<i64>,
        started: SystemTime,
        (number, mut outcome): (u64, Outcome),
        traced: Option<&Receiving<'_>>,
    ) -> Result<Attempt, Error> {
        self.warn_of_outputs(job, &outcome);
        let mut hold: Option<Hold> = None;
        let mut stop = self.stop.clone();
        loop {
            let traced = traced.filter(|_| hold.is_none());
            let obstacle = match self.attempt(job, step, started, &outcome, traced).await {
                Ok(Attempt::HeldUp(obstacle)) => obstacle,
                Ok(settled) => {
                    if let Some(held) = hold {
                        held.got_through();
                    }
                    return Ok(settled);
                }
                Err(error) => {
                    self.kept.keep(&job.delivery.id, &outcome);
                    return Err(error);
                }
            };
            let held = match &mut hold {
                Some(held) => held,
                None => {
                    self.kept.keep(&job.delivery.id, &outcome);
                    hold.insert(self.pressure.hold(&job.delivery.id, self.service.name()))
                }
            };
            // Its place among those that are held up as well, should the service have to begin again.
            let turn = matches!(outcome, Outcome::HeldUp(_)).then(|| self.order.join(number));
            match held.pause(&obstacle, &self.events, self.transport.connection(), &mut stop).await {
                Next::Again => {}
                Next::Requeue if self.requeue(&job.delivery).await => return Ok(Attempt::HeldUp(obstacle)),
                // Its queue takes nothing, either.
                Next::Requeue => held.renew(),
                Next::Stop => {
                    self.give_back(&job.delivery).await;
                    return Ok(Attempt::HeldUp(obstacle));
                }
            }
            if let Some(turn) = turn {
                turn.reached().await;
                outcome = self.run(job, turn).await;
                self.warn_of_outputs(job, &outcome);
            }
        }
    }

    /// Settles a message with what it led to, or with why that can never be sent.
    async fn attempt(
        &self,
        job: &Job,
        step: Option<i64>,
        started: SystemTime,
        outcome: &Outcome,
        traced: Option<&Receiving<'_>>,
    ) -> Result<Attempt, Error> {
        if let Outcome::HeldUp(obstacle) = outcome {
            return Ok(Attempt::HeldUp(obstacle.clone()));
        }
        let (mut settlement, name, reason) = self.settlement(job, step, started, outcome);
        let (sent, is_final) = (settlement.outputs.len(), settlement.verdict.is_final());
        if let Some(span) = traced {
            settlement.outputs.iter_mut().for_each(|output| span.send(output));
        }
        let Err(error) = self.transport.settle(&job.delivery, settlement).await else {
            return Ok(Attempt::Settled { outcome: name, reason, sent, is_final });
        };
        if let Some(obstacle) = self.obstacle(&error) {
            return Ok(Attempt::HeldUp(obstacle));
        }
        let reason = error.to_string();
        let (sent, error) = match error {
            Error::Partly { sent, error, .. } => (sent, *error),
            error => (0, error),
        };
        let otherwise = match &error {
            Error::NoSuchQueue(_) | Error::NoSuchTopic(_) | Error::Unsendable { .. } => Outcome::Bad { reason },
            Error::Refused { .. } => {
                self.kept.keep(&job.delivery.id, outcome);
                Outcome::Later { reason, after: REFUSED }
            }
            _ => return Err(error),
        };
        let (settlement, name, reason) = self.settlement(job, step, started, &otherwise);
        let is_final = settlement.verdict.is_final();
        match self.transport.settle(&job.delivery, settlement).await {
            Ok(()) => Ok(Attempt::Settled { outcome: name, reason, sent, is_final }),
            Err(error) => match self.obstacle(&error) {
                Some(obstacle) => Ok(Attempt::HeldUp(obstacle)),
                None if matches!(error, Error::NotHeld | Error::Closed) => Err(error),
                // Not even its queue or its dead letters take it: it comes again, but not at once, and perhaps to another.
                None => {
                    tokio::time::sleep(REFUSED).await;
                    let _ = self.transport.settle(&job.delivery, Settlement::of(Verdict::Release)).await;
                    Err(error)
                }
            },
        }
    }

    /// What is in the way of a settlement that failed, if it is not the message's fault.
    fn obstacle(&self, error: &Error) -> Option<Obstacle> {
        Obstacle::of(error, &self.transport.connection().borrow())
    }

    /// Reads the message.
    fn open(&self, delivery: &Delivery) -> Result<Job, String> {
        let envelope = match Envelope::read(&delivery.headers, &delivery.body) {
            Ok(envelope) => Some(envelope),
            Err(message::Error::NotARecipe) if self.service.takes_plain_messages() => None,
            Err(error) => return Err(error.to_string()),
        };
        Ok(Job { delivery: delivery.clone(), envelope })
    }

    /// Lets the service deal with it. A panic is the service's fault, not the message's: it comes back.
    async fn run(&self, job: &Job, turn: Turn) -> Outcome {
        let (service, copy) = (Arc::clone(&self.service), job.clone());
        let handling = async move { turn.begin(service.handle(&copy)).await }.in_current_span();
        let mut task = AbortOnDrop::new(handling, self.service.may_block());
        let after = Duration::from_secs(1);
        match (&mut task.task).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Outcome::Later { reason: format!("service {} was stopped", self.service.name()), after },
            Err(error) => Outcome::Later { reason: format!("service {} crashed: {error}", self.service.name()), after },
        }
    }
}

struct AbortOnDrop<T> {
    /// Returns nothing if it was dropped before its end.
    task: tokio::task::JoinHandle<Option<T>>,
    /// Ends what has a thread of its own, which cannot be aborted from outside.
    _keep: Option<oneshot::Sender<()>>,
}

impl<T: Send + 'static> AbortOnDrop<T> {
    /// Starts something, on a thread of its own if it may block.
    fn new(work: impl Future<Output = T> + Send + 'static, may_block: bool) -> Self {
        if !may_block {
            return Self { task: tokio::spawn(async move { Some(work.await) }), _keep: None };
        }
        let (keep, dropped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Handle::current();
        let guarded = async move {
            tokio::select! {
                value = work => Some(value),
                _ = dropped => None,
            }
        };
        Self { task: tokio::task::spawn_blocking(move || runtime.block_on(guarded)), _keep: Some(keep) }
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could say so.
        std::future::pending::<()>().await;
    }
}

fn settled(finished: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    match finished {
        // It comes again, or has been settled by somebody else meanwhile; there is nothing left to do about it here.
        Ok(Err(error)) if !matches!(error, Error::Closed | Error::Store(_)) => Ok(()),
        Ok(result) => result,
        Err(error) => Err(Error::Store(Box::new(error))),
    }
}
