//! Takes the messages of one queue, has the service deal with them, and sees each of them through.

mod settlement;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::kept::Kept;
use super::lines::LINES;
use super::order::{Order, Turn};
use super::outcome::{Event, Outcome};
use super::pressure::{Hold, Next, Obstacle, Pressure, stopped};
use super::service::{Job, Service};
use crate::telemetry::traces::{Receiving, Tracing};
use zrecipe_broker::message::{self, Code, Envelope, Reason};
use zrecipe_broker::transport::{Connection, Deliveries, Delivery, Error, Settlement, Transport, Verdict};

/// How long to wait before outputs are sent again that the broker would not take.
const REFUSED: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Consumer {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) service: Arc<dyn Service>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) places: Arc<Semaphore>,
    pub(super) room: Room,
    pub(super) tracing: Option<Arc<Tracing>>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) kept: Kept,
    pub(super) pressure: Pressure,
    pub(super) order: Order,
}

/// The bytes of messages that hosts process at a time. Clones are the same room: the instances of a service share one.
#[derive(Debug, Clone)]
pub struct Room {
    free: Arc<Semaphore>,
    /// In KiB.
    size: u32,
}

impl Default for Room {
    /// Room for 128 MiB: what is made of a message is several times as large.
    fn default() -> Self {
        Self::new(128 << 20)
    }
}

impl Room {
    /// Room for bodies of `bytes` bytes in total; a larger body takes all of it.
    pub fn new(bytes: usize) -> Self {
        let size = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).max(1);
        Self { free: Arc::new(Semaphore::new(size as usize)), size }
    }

    /// Waits for room for a body. A small one takes none.
    async fn take(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let needed = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).min(self.size);
        self.free.acquire_many(needed).await.ok()
    }
}

/// How one attempt to settle a message ended.
enum Attempt {
    Settled {
        outcome: &'static str,
        reason: Option<String>,
        sent: usize,
        /// The message is accepted or dead-lettered, and does not come again.
        is_final: bool,
        /// Pause before the next attempt, if there is one.
        retry_after: Option<Duration>,
    },
    HeldUp(Obstacle),
}

impl Consumer {
    pub(super) async fn consume(self, mut deliveries: Deliveries) -> Result<(), Error> {
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
        if *stop.borrow() {
            self.service.stopping();
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
        let Some(_room) = self.room.take(delivery.body.len()).await else { return Ok(()) };
        let has_waited = has_waited || !self.pressure.is_clear();
        tokio::select! {
            () = self.pressure.cleared() => {}
            () = stopped(&mut stop) => {}
        }
        if has_waited && *stop.borrow() {
            self.give_back(&delivery).await;
            return Ok(());
        }
        let (job, unreadable) = self.open(delivery);
        let step = job.envelope.as_ref().map(|envelope| envelope.pointer);
        let early = unreadable.or_else(|| self.refusal(&job)).map(|reason| Outcome::Bad { reason });
        let span = self.span(&job, step);
        self.settle(&Arc::new(job), step, early, (number, turn)).instrument(span).await
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
    fn refusal(&self, job: &Job) -> Option<Reason> {
        let contract = self.service.contract()?;
        // What is said of steps has no meaning for a message without a recipe.
        if job.envelope.is_none() && contract.invocation.is_some() {
            return None;
        }
        let parameters = contract.refusal(&job.parameters());
        let refusal = parameters.or_else(|| contract.payload_refusal(&job.payload(), "the payload"));
        refusal.map(|text| Reason::new(Code::Contract, text))
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
            trace_id = tracing::field::Empty,
            span_id = tracing::field::Empty,
        );
        // A request has none before it is read.
        if let Some(id) = job.envelope.as_ref().and_then(Envelope::id) {
            span.record("recipe_ID", id);
        }
        span
    }

    async fn settle(
        &self,
        job: &Arc<Job>,
        step: Option<i64>,
        early: Option<Outcome>,
        (number, turn): (u64, Turn),
    ) -> Result<(), Error> {
        let started = SystemTime::now();
        let name = self.service.name().to_owned();
        let (id, deliveries) = (job.delivery.id.clone(), job.delivery.deliveries);
        let recipe_id = job.envelope.as_ref().and_then(Envelope::id).map(str::to_owned);
        let traced = self.tracing.as_ref();
        let traced = traced.map(|tracing| {
            let (headers, queue) = (&job.delivery.headers, job.delivery.source.name());
            tracing.receive(headers, queue, recipe_id.as_deref(), self.service.span_attributes(job))
        });
        if let Some([trace, span]) = traced.as_ref().map(Receiving::ids) {
            tracing::Span::current().record("trace_id", trace).record("span_id", span);
        }
        let allowance = self.service.allowance(job);
        let event = Event::Started { id: id.clone(), service: name.clone(), step, recipe_id, deliveries, allowance };
        let _ = self.events.send(event);
        let (outcome, turn) = match early.or_else(|| self.kept.recall(&id)) {
            // There is no work to begin.
            Some(outcome) => {
                drop(turn);
                (outcome, None)
            }
            None => self.run(job, turn).await,
        };
        let settling = self.see_through(job, step, started, (number, turn, outcome), traced.as_ref()).await;
        let took = started.elapsed().unwrap_or_default();
        let (outcome, reason, sent, is_final, retry_after) = match settling {
            Ok(Attempt::Settled { outcome, reason, sent, is_final, retry_after }) => {
                (outcome, reason, sent, is_final, retry_after)
            }
            Ok(Attempt::HeldUp(_)) => {
                let _ = self.events.send(Event::Abandoned { id });
                return Ok(());
            }
            Err(error) => {
                tracing::warn!("not settled, so it is redelivered: {error}");
                let _ = self.events.send(Event::Abandoned { id });
                return Err(error);
            }
        };
        if is_final {
            self.service.settled(job).await;
            self.kept.forget(&id);
        }
        if let Some(span) = traced {
            span.end(reason.as_deref());
        }
        match &reason {
            Some(reason) => tracing::warn!(outcome, sent, took = ?took, "{reason}"),
            // A line for each of thousands of messages a second would fill the disk; `/metrics` counts all.
            None => match LINES.take() {
                Some(0) => tracing::info!(outcome, sent, took = ?took, "settled"),
                Some(unlogged) => tracing::info!(outcome, sent, took = ?took, unlogged, "settled"),
                None => tracing::debug!(outcome, sent, took = ?took, "settled"),
            },
        }
        let attempt = deliveries;
        let settled = Event::Settled { id, service: name, step, outcome, reason, sent, took, attempt, retry_after };
        let _ = self.events.send(settled);
        Ok(())
    }

    /// Settles a message, however long its destinations, the broker or this machine hold it up. The work is done once: its
    /// outcome is kept and sent again. `HeldUp` where the message went back to its queue meanwhile.
    async fn see_through(
        &self,
        job: &Arc<Job>,
        step: Option<i64>,
        started: SystemTime,
        (number, mut turn, mut outcome): (u64, Option<Turn>, Outcome),
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
            // Its place among those that are held up as well, should the service have to begin again. It keeps the one
            // that it has: otherwise the next delivery could begin meanwhile.
            let again =
                matches!(outcome, Outcome::HeldUp(_)).then(|| turn.take().unwrap_or_else(|| self.order.join(number)));
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
            if let Some(again) = again {
                again.reached().await;
                (outcome, turn) = self.run(job, again).await;
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
        let retry_after = settlement.verdict.retry_after();
        if let Some(span) = traced {
            settlement.outputs.iter_mut().for_each(|output| span.send(output));
        }
        let Err(error) = self.transport.settle(&job.delivery, settlement).await else {
            return Ok(Attempt::Settled { outcome: name, reason, sent, is_final, retry_after });
        };
        if let Some(obstacle) = self.obstacle(&error) {
            return Ok(Attempt::HeldUp(obstacle));
        }
        let reason = error.to_string();
        let (sent, error) = match error {
            Error::Partly { sent, error, .. } => (sent, *error),
            error => (0, error),
        };
        let otherwise = match error.never() {
            Some(code) => Outcome::Bad { reason: Reason::new(code, reason) },
            None if error.is_rejection() => {
                self.kept.keep(&job.delivery.id, outcome);
                Outcome::Later { reason, after: REFUSED }
            }
            None => return Err(error),
        };
        let (settlement, name, reason) = self.settlement(job, step, started, &otherwise);
        let (is_final, retry_after) = (settlement.verdict.is_final(), settlement.verdict.retry_after());
        match self.transport.settle(&job.delivery, settlement).await {
            Ok(()) => Ok(Attempt::Settled { outcome: name, reason, sent, is_final, retry_after }),
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

    /// Reads the message, or says why it cannot be read.
    fn open(&self, delivery: Delivery) -> (Job, Option<Reason>) {
        let (envelope, unreadable) = match Envelope::read(&delivery.headers, &delivery.body) {
            Ok(envelope) => (Some(envelope), None),
            Err(message::Error::NotARecipe) if self.service.takes_plain_messages() => (None, None),
            Err(error) => (None, Some((&error).into())),
        };
        (Job { delivery, envelope }, unreadable)
    }

    /// Lets the service deal with it. A panic is the service's fault, not the message's: it comes back. The turn comes back
    /// only if the message has to begin again, and nothing else has begun.
    async fn run(&self, job: &Arc<Job>, turn: Turn) -> (Outcome, Option<Turn>) {
        let (service, job) = (Arc::clone(&self.service), Arc::clone(job));
        let handling = async move { turn.begin(service.handle(&job)).await }.in_current_span();
        let mut task = AbortOnDrop::new(handling, self.service.may_block());
        let after = self.pressure.after_crash();
        match (&mut task.task).await {
            Ok(Some((outcome, turn))) => {
                let turn = turn.filter(|_| matches!(outcome, Outcome::HeldUp(_)));
                (outcome, turn)
            }
            Ok(None) => {
                (Outcome::Later { reason: format!("service {} was stopped", self.service.name()), after }, None)
            }
            Err(error) => {
                (Outcome::Later { reason: format!("service {} crashed: {error}", self.service.name()), after }, None)
            }
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

fn settled(finished: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    match finished {
        // It comes again, or has been settled by somebody else meanwhile; there is nothing left to do about it here.
        Ok(Err(error)) if !matches!(error, Error::Closed | Error::Store(_)) => Ok(()),
        Ok(result) => result,
        Err(error) => Err(Error::Store(Box::new(error))),
    }
}
