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
pub mod metrics;
pub mod process;
pub mod roots;
pub mod run;
pub mod said;
pub mod services;
pub mod status;
pub mod stem;
pub mod supervisor;
pub mod supervisors;
pub mod surroundings;
pub mod workers;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::telemetry::traces::{Receiving, Tracing};
use zrecipe_broker::message::{self, Destination, Envelope, Outgoing, Output};
use zrecipe_broker::transport::{Delivery, Error, Settlement, Subscription, Transport, Verdict};
use zrecipe_language::contract::Contract;
use zrecipe_language::value::{Object, Value};

/// Setting of plugin `storage` that names the directory of the dispatcher's logbook.
pub const LOGBOOK: &str = "zocalo.dispatcher.logbook_location";

/// How often a message may come back because of a fault of the surroundings before it is a dead letter.
const MOST_RETRIES: u32 = 5;

/// How long to wait before a message is dealt with again whose outputs the broker would not take.
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

    /// Whether it also deals with messages that carry no recipe.
    fn takes_plain_messages(&self) -> bool {
        false
    }

    /// Called before messages are taken from a queue, possibly more than once.
    async fn begin(&self) {}

    /// Called when no more messages are taken.
    async fn finish(&self) {}

    /// Deals with a message.
    async fn handle(&self, job: &Job) -> Outcome;

    /// Called when the broker has confirmed that the message is settled.
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

/// What a service makes of a message.
#[derive(Debug)]
pub enum Outcome {
    /// It is dealt with.
    Done {
        /// What to send on.
        outputs: Vec<Output>,
        /// How it went, for the record of the run.
        result: StepResult,
        /// More for the record.
        detail: Value,
    },
    /// It is dealt with, and led to these messages (for services that stand outside a recipe).
    Dispatched {
        /// What to send.
        messages: Vec<Outgoing>,
        /// What is said of it: `done`, `not-ready` or `never-ready`.
        outcome: &'static str,
        /// For the record; why, where it did not go well, under `reason`.
        detail: Value,
    },
    /// It can never be dealt with: to the dead letters.
    Bad {
        /// Why.
        reason: String,
    },
    /// It cannot be dealt with now.
    Later {
        /// Why.
        reason: String,
        /// When to try again.
        after: Duration,
    },
    /// Remember this and come back to the same step with it.
    Checkpoint {
        /// What to remember.
        payload: Value,
        /// When to come back.
        delay: Duration,
    },
}

impl Outcome {
    /// It went well, and led to these outputs.
    pub fn done(outputs: Vec<Output>) -> Self {
        Self::Done { outputs, result: StepResult::Succeeded, detail: Value::Null }
    }
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepResult {
    /// As it should.
    Succeeded,
    /// Not as it should; the recipe may deal with that on a channel.
    Failed,
    /// It was stopped at its time limit.
    TimedOut,
}

impl StepResult {
    /// As written in the record of a run.
    pub fn as_str(self) -> &'static str {
        match self {
            StepResult::Succeeded => "done",
            StepResult::Failed => "failed",
            StepResult::TimedOut => "timed out",
        }
    }
}

/// What a host tells whoever watches it.
#[derive(Debug, Clone)]
pub enum Event {
    /// A service has begun with a message.
    Started {
        /// The message's id.
        id: String,
        /// The service.
        service: String,
        /// The recipe step, if there is one.
        step: Option<i64>,
        /// The recipe ID, if there is one.
        recipe_id: Option<String>,
        /// How often the message has been delivered.
        deliveries: u32,
    },
    /// A message is settled.
    Settled {
        /// The message's id.
        id: String,
        /// The service.
        service: String,
        /// The recipe step, if there is one.
        step: Option<i64>,
        /// `done`, `failed`, `timed out`, `retry`, `dead-lettered`, `checkpoint`, `not-ready`, `never-ready`.
        outcome: &'static str,
        /// Why, where it did not go well.
        reason: Option<String>,
        /// How many messages it led to.
        sent: usize,
        /// How long the service was at it.
        took: Duration,
    },
    /// A message could not be settled: it is no longer ours, or the broker is gone. It is delivered again.
    Abandoned {
        /// The message's id.
        id: String,
    },
    /// Something is not as it should be, and nothing else says so.
    Warning(String),
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
        Self { transport, services, events, places: Arc::new(Semaphore::new(places.max(1))), stop, tracing: None }
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
            };
            let stop = self.stop.clone();
            tasks.spawn(worker.consume(deliveries, stop));
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
}

impl Worker {
    async fn consume(
        self,
        mut deliveries: zrecipe_broker::transport::Deliveries,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(finished) = under_way.join_next() => settled(finished)?,
                delivery = deliveries.next() => match delivery {
                    Some(delivery) => {
                        let worker = self.clone();
                        under_way.spawn(async move { worker.deal_with(delivery).await });
                    }
                    None => break,
                },
            }
        }
        while let Some(finished) = under_way.join_next().await {
            settled(finished)?;
        }
        Ok(())
    }

    async fn deal_with(&self, delivery: Delivery) -> Result<(), Error> {
        let Ok(_place) = self.places.acquire().await else { return Ok(()) };
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
        self.settle(job, step, early).instrument(span).await
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

    async fn settle(&self, job: Job, step: Option<i64>, early: Option<Outcome>) -> Result<(), Error> {
        let started = SystemTime::now();
        let name = self.service.name().to_owned();
        let (id, deliveries) = (job.delivery.id.clone(), job.delivery.deliveries);
        let recipe_id = job.envelope.as_ref().and_then(Envelope::id).map(str::to_owned);
        let traced = self.tracing.as_ref();
        let traced = traced
            .map(|tracing| tracing.receive(&job.delivery.headers, job.delivery.source.name(), recipe_id.as_deref()));
        let event = Event::Started { id: id.clone(), service: name.clone(), step, recipe_id, deliveries };
        let _ = self.events.send(event);
        let outcome = match early {
            Some(outcome) => outcome,
            None => self.run(&job).await,
        };
        let settling = self.conclude(&job, step, started, outcome, traced.as_ref()).await;
        let took = started.elapsed().unwrap_or_default();
        let (outcome, reason, sent) = match settling {
            Ok(settled) => settled,
            Err(error) => {
                tracing::warn!("not settled, so it is delivered again: {error}");
                let _ = self.events.send(Event::Abandoned { id });
                return Err(error);
            }
        };
        self.service.settled(&job).await;
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

    /// Settles a message with what it led to. If that cannot be sent, the message is refused, or comes back.
    async fn conclude(
        &self,
        job: &Job,
        step: Option<i64>,
        started: SystemTime,
        outcome: Outcome,
        traced: Option<&Receiving<'_>>,
    ) -> Result<(&'static str, Option<String>, usize), Error> {
        let (mut settlement, outcome, reason) = self.settlement(job, step, started, outcome);
        let sent = settlement.outputs.len();
        if let Some(span) = traced {
            settlement.outputs.iter_mut().for_each(|output| span.send(output));
        }
        let Err(error) = self.transport.settle(&job.delivery, settlement).await else {
            return Ok((outcome, reason, sent));
        };
        let reason = error.to_string();
        let (sent, error) = match error {
            Error::Partly { sent, error, .. } => (sent, *error),
            error => (0, error),
        };
        let otherwise = match &error {
            Error::NoSuchQueue(_) | Error::NoSuchTopic(_) | Error::Unsendable { .. } => Outcome::Bad { reason },
            Error::Refused { .. } => Outcome::Later { reason, after: REFUSED },
            Error::Unconfirmed { .. } | Error::Blocked(_) | Error::Unavailable { .. } => {
                let release = Settlement::of(Verdict::Release);
                // If this fails, too, the broker gives it to somebody else by itself.
                let _ = self.transport.settle(&job.delivery, release).await;
                return Err(error);
            }
            Error::NotHeld | Error::Closed | Error::Denied { .. } | Error::Store(_) | Error::Partly { .. } => {
                return Err(error);
            }
        };
        let (settlement, outcome, reason) = self.settlement(job, step, started, otherwise);
        if let Err(error) = self.transport.settle(&job.delivery, settlement).await {
            if !matches!(error, Error::NotHeld | Error::Closed) {
                // Not even its queue or its dead letters take it: it comes again, but not at once.
                tokio::time::sleep(REFUSED).await;
                let _ = self.transport.settle(&job.delivery, Settlement::of(Verdict::Release)).await;
            }
            return Err(error);
        }
        Ok((outcome, reason, sent))
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
    async fn run(&self, job: &Job) -> Outcome {
        let (service, copy) = (Arc::clone(&self.service), job.clone());
        let handling = async move { service.handle(&copy).await };
        let mut task = AbortOnDrop(tokio::spawn(handling.in_current_span()));
        match (&mut task.0).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let after = Duration::from_secs(1);
                Outcome::Later { reason: format!("service {} crashed: {error}", self.service.name()), after }
            }
        }
    }

    fn settlement(
        &self,
        job: &Job,
        step: Option<i64>,
        started: SystemTime,
        outcome: Outcome,
    ) -> (Settlement, &'static str, Option<String>) {
        let id = &job.delivery.id;
        let mut note = Note { service: &*self.service, step, job, started, outputs: &[], detail: Value::Null };
        let dead = |reason: String, note: Note<'_>| {
            let verdict = Verdict::DeadLetter { reason: reason.clone() };
            let note = Some(note.write("dead-lettered"));
            (Settlement { verdict, outputs: Vec::new(), note }, "dead-lettered", Some(reason))
        };
        match outcome {
            Outcome::Done { outputs, result, detail } => {
                let channel = self.service.default_channel();
                let sent = match &job.envelope {
                    Some(envelope) => {
                        self.warn_of_dropped(envelope, &outputs);
                        self.warn_of_unfit(&outputs);
                        envelope.advance(id, &outputs, channel)
                    }
                    None => Ok(Vec::new()),
                };
                note.outputs = &outputs;
                let reason = reason_in(&detail);
                note.detail = detail;
                match sent {
                    Ok(messages) => {
                        let note = Some(note.write(result.as_str()));
                        let settlement = Settlement { verdict: Verdict::Accept, outputs: messages, note };
                        (settlement, result.as_str(), reason)
                    }
                    Err(error) => dead(error.to_string(), note),
                }
            }
            Outcome::Dispatched { messages, outcome, detail } => {
                let reason = reason_in(&detail);
                note.detail = detail;
                let note = Some(note.write(outcome));
                (Settlement { verdict: Verdict::Accept, outputs: messages, note }, outcome, reason)
            }
            Outcome::Bad { reason } => dead(reason, note),
            Outcome::Later { reason, .. } if job.delivery.deliveries > MOST_RETRIES => dead(reason, note),
            Outcome::Later { reason, after } => {
                let verdict = Verdict::Retry { after, reason: reason.clone() };
                let note = Some(note.write("retry"));
                (Settlement { verdict, outputs: Vec::new(), note }, "retry", Some(reason))
            }
            Outcome::Checkpoint { payload, delay } => {
                let sent = match &job.envelope {
                    Some(envelope) => envelope.checkpoint(id, &payload, delay, &Object::new()),
                    None => Ok(Vec::new()),
                };
                match sent {
                    Ok(outputs) => {
                        let note = Some(note.write("checkpoint"));
                        (Settlement { verdict: Verdict::Accept, outputs, note }, "checkpoint", None)
                    }
                    Err(error) => dead(error.to_string(), note),
                }
            }
        }
    }

    /// A service that sends what its contract does not promise.
    fn warn_of_unfit(&self, outputs: &[Output]) {
        let Some(contract) = self.service.contract() else { return };
        let fault = |output: &Output| contract.output_fault(output.channel.as_deref(), &output.payload);
        for fault in outputs.iter().filter_map(fault) {
            tracing::warn!("it sends {fault}");
            let _ = self.events.send(Event::Warning(format!("service {} sends {fault}", self.service.name())));
        }
    }

    /// A recipe that names channels gets nothing that is sent without a name; the reference says nothing about it.
    fn warn_of_dropped(&self, envelope: &Envelope, outputs: &[Output]) {
        let named = matches!(envelope.step().get("output"), Some(Value::Object(channels)) if !channels.is_empty());
        if named && self.service.default_channel().is_none() && outputs.iter().any(|output| output.channel.is_none()) {
            let (service, step) = (self.service.name(), envelope.pointer);
            tracing::warn!("it sends without a channel name, and the step has only named channels: dropped");
            let _ = self.events.send(Event::Warning(format!(
                "service {service} sends without a channel name, and step `{step}` has only named channels: dropped"
            )));
        }
    }
}

/// Why it did not go well, where that is told.
fn reason_in(detail: &Value) -> Option<String> {
    detail.get("reason").and_then(Value::as_str).map(str::to_owned)
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
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

/// What the history of a run keeps of a settled message.
struct Note<'j> {
    service: &'j dyn Service,
    step: Option<i64>,
    job: &'j Job,
    started: SystemTime,
    outputs: &'j [Output],
    detail: Value,
}

impl Note<'_> {
    fn write(&self, outcome: &str) -> Value {
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| (since.as_secs_f64() * 1e3).round() / 1e3)
        };
        let default_channel = self.service.default_channel();
        let channel = |output: &Output| match &output.channel {
            Some(name) => Value::from(name.as_str()),
            None => Value::Null,
        };
        let outputs: Vec<Value> = self
            .outputs
            .iter()
            .map(|output| {
                let targets = self
                    .job
                    .envelope
                    .as_ref()
                    .map(|envelope| envelope.targets(output.channel.as_deref(), default_channel));
                Value::from([
                    ("channel", channel(output)),
                    ("to", Value::Array(targets.unwrap_or_default())),
                    ("payload", output.payload.clone()),
                ])
            })
            .collect();
        Value::from([
            ("outcome", Value::from(outcome)),
            ("service", Value::from(self.service.name())),
            ("step", Value::from(self.step)),
            ("path", self.job.envelope.as_ref().map_or(Value::Null, |envelope| Value::Array(envelope.path.clone()))),
            ("started", Value::from(seconds(self.started))),
            ("ended", Value::from(seconds(SystemTime::now()))),
            ("outputs", Value::Array(outputs)),
            ("detail", self.detail.clone()),
        ])
    }
}
