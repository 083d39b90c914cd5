//! What an outcome becomes for the broker: messages, a verdict, and a note for the history of the run.
//!
//! A payload on a channel that no step takes is dropped. A breakdown is no payload: a failure that no step takes is a dead
//! letter.

use std::time::SystemTime;

use super::{Consumer, REFUSED};
use crate::runtime::outcome::{DEAD_LETTERED, RETRY};
use crate::runtime::said::ending;
use crate::runtime::{Event, Job, Outcome, Service, StepResult};
use zrecipe_broker::message::bounds::DELIVERY_LIMIT;
use zrecipe_broker::message::{Code, Destination, Envelope, Output, Reason, Way, own_messages};
use zrecipe_broker::transport::{Settlement, Verdict};
use zrecipe_language::report::printable;
use zrecipe_language::secret::hidden_text;
use zrecipe_language::value::{Object, Value};

impl Consumer {
    /// How an outcome settles a message, the name of the outcome, and why it did not go well.
    pub(super) fn settlement(
        &self,
        job: &Job,
        step: Option<i64>,
        started: SystemTime,
        outcome: &Outcome,
    ) -> (Settlement, &'static str, Option<String>) {
        let id = &job.delivery.id;
        let mut note =
            Note { service: &*self.service, step, job, started, outputs: &[], dropped: &[], detail: &Value::Null };
        // A reason travels in headers and is shown on terminals, and a part of it may come from anybody.
        let dead = |reason: Reason, note: Note<'_>| {
            let text = printable(&hidden_text(&reason.text), usize::MAX);
            let verdict = Verdict::DeadLetter { reason: Reason::new(reason.code, text.as_str()) };
            let note = Some(note.write(DEAD_LETTERED));
            (Settlement { verdict, outputs: Vec::new(), note }, DEAD_LETTERED, Some(text))
        };
        match outcome {
            Outcome::Done { outputs, result, detail } => {
                let sent = match &job.envelope {
                    Some(envelope) => envelope.advance(id, outputs, self.service.default_channel()),
                    None => Ok(own_messages(id, outputs)),
                };
                let dropped = self.dropped(job, outputs);
                (note.outputs, note.dropped, note.detail) = (outputs, &dropped, detail);
                match sent {
                    // A breakdown is no payload: where no step takes it, the message must not be gone.
                    Ok(messages) if messages.is_empty() && *result != StepResult::Succeeded => {
                        dead(unheard(*result, detail), note)
                    }
                    Ok(messages) => {
                        let is_checkpoint = outputs.iter().any(Output::is_checkpoint);
                        let outcome = if is_checkpoint { "checkpoint" } else { result.as_str() };
                        let note = Some(note.write(outcome));
                        let settlement = Settlement { verdict: Verdict::Accept, outputs: messages, note };
                        (settlement, outcome, reason_in(detail))
                    }
                    Err(error) => dead((&error).into(), note),
                }
            }
            Outcome::Dispatched { messages, outcome, detail } => {
                note.detail = detail;
                let note = Some(note.write(outcome));
                let settlement = Settlement { verdict: Verdict::Accept, outputs: messages.clone(), note };
                (settlement, outcome, reason_in(detail))
            }
            Outcome::Bad { reason } => dead(reason.clone(), note),
            Outcome::Later { reason, .. } if job.delivery.retries >= DELIVERY_LIMIT => {
                dead(Reason::new(Code::RetriesExhausted, reason.as_str()), note)
            }
            Outcome::Later { reason, after } => {
                let reason = printable(&hidden_text(reason), usize::MAX);
                let verdict = Verdict::Retry { after: *after, reason: reason.clone() };
                let note = Some(note.write(RETRY));
                (Settlement { verdict, outputs: Vec::new(), note }, RETRY, Some(reason))
            }
            Outcome::HeldUp(obstacle) => {
                (Settlement::of(Verdict::Requeue { after: REFUSED }), "held up", Some(obstacle.reason.clone()))
            }
            Outcome::Checkpoint { payload, delay } => {
                let sent = match &job.envelope {
                    Some(envelope) => envelope.checkpoint(id, payload, *delay, &Object::new()),
                    None => Ok(Vec::new()),
                };
                match sent {
                    Ok(outputs) => {
                        let note = Some(note.write("checkpoint"));
                        (Settlement { verdict: Verdict::Accept, outputs, note }, "checkpoint", None)
                    }
                    Err(error) => dead((&error).into(), note),
                }
            }
        }
    }

    /// Warns of outputs that are dropped, and of those that the contract does not allow.
    pub(super) fn warn_of_outputs(&self, job: &Job, outcome: &Outcome) {
        if let (Outcome::Done { outputs, .. }, Some(envelope)) = (outcome, &job.envelope) {
            self.warn_of_dropped(envelope, outputs);
            self.warn_of_unfit(outputs);
        }
    }

    /// The channels of outputs that go to no step and that the service does not promise: probably misspelt.
    fn dropped(&self, job: &Job, outputs: &[Output]) -> Vec<String> {
        let Some(envelope) = &job.envelope else { return Vec::new() };
        let (contract, default_channel) = (self.service.contract(), self.service.default_channel());
        let is_misspelt = |channel: Option<&str>| match (contract, channel) {
            (_, None) => has_named_channels(envelope),
            (Some(contract), Some(name)) if contract.channels.is_some() => !contract.promises(name),
            // A Python class sends on channels that a step may leave out.
            (Some(contract), Some(_)) if contract.invocation.as_ref().is_some_and(|run| run.python.is_some()) => false,
            // It promises no channel by name: those that the step connects are all that are known.
            (Some(_), Some(_)) => has_named_channels(envelope),
            (None, Some(_)) => false,
        };
        let on_channels = outputs.iter().filter(|output| output.is_on_channel());
        let channels = on_channels.map(|output| output.channel.as_deref());
        let dropped = channels.filter(|channel| {
            envelope.targets(*channel, default_channel).is_empty() && is_misspelt(channel.or(default_channel))
        });
        dropped.map(|channel| channel.unwrap_or_default().to_owned()).collect()
    }

    /// A service that sends what its contract does not promise.
    fn warn_of_unfit(&self, outputs: &[Output]) {
        let Some(contract) = self.service.contract() else { return };
        let fault = |output: &Output| contract.output_fault(output.channel.as_deref(), &output.payload);
        for fault in outputs.iter().filter(|output| output.is_on_channel()).filter_map(fault) {
            tracing::warn!("it sends {fault}");
            let _ = self.events.send(Event::Warning(format!("service {} sends {fault}", self.service.name())));
        }
    }

    /// A recipe that names channels gets nothing that is sent without a name; the reference says nothing about it.
    fn warn_of_dropped(&self, envelope: &Envelope, outputs: &[Output]) {
        if has_named_channels(envelope)
            && self.service.default_channel().is_none()
            && outputs.iter().any(|output| output.is_on_channel() && output.channel.is_none())
        {
            let (service, step) = (self.service.name(), envelope.pointer);
            tracing::warn!("it sends without a channel name, and the step has only named channels: dropped");
            let _ = self.events.send(Event::Warning(format!(
                "service {service} sends without a channel name, and step `{step}` has only named channels: dropped"
            )));
        }
    }
}

/// The reason of a dead letter for a failure that no step takes: what went wrong, and the last output of what failed.
fn unheard(result: StepResult, detail: &Value) -> Reason {
    let (code, text) = match result {
        StepResult::TimedOut => (Code::TimedOut, "the service was stopped at its time limit"),
        StepResult::Failed | StepResult::Succeeded => (Code::Failed, "the service failed and gave no reason"),
    };
    let reason = reason_in(detail).unwrap_or_else(|| text.to_owned());
    let output = detail.get("output").and_then(Value::as_str).map(ending).unwrap_or_default();
    Reason::new(code, if output.is_empty() { reason } else { format!("{reason}; its last output: {output}") })
}

/// Whether the step of a message connects channels by their names.
fn has_named_channels(envelope: &Envelope) -> bool {
    matches!(envelope.step().get("output"), Some(Value::Object(channels)) if !channels.is_empty())
}

/// Why it did not go well, where that is told.
fn reason_in(detail: &Value) -> Option<String> {
    detail.get("reason").and_then(Value::as_str).map(hidden_text)
}

/// What the history of a run keeps of a settled message.
pub(super) struct Note<'j> {
    pub(super) service: &'j dyn Service,
    pub(super) step: Option<i64>,
    pub(super) job: &'j Job,
    pub(super) started: SystemTime,
    pub(super) outputs: &'j [Output],
    /// Channels of outputs that go nowhere and that nothing promises.
    pub(super) dropped: &'j [String],
    pub(super) detail: &'j Value,
}

impl Note<'_> {
    pub(super) fn write(&self, outcome: &str) -> Value {
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
                let envelope = self.job.envelope.as_ref();
                let targets = match &output.sending.way {
                    Way::Channel => {
                        envelope.map(|envelope| envelope.targets(output.channel.as_deref(), default_channel))
                    }
                    Way::Checkpoint => envelope.map(|envelope| vec![Value::from(envelope.pointer)]),
                    Way::Own { destination: Destination::Queue(name) | Destination::Topic(name), .. } => {
                        Some(vec![Value::from(name.as_str())])
                    }
                };
                Value::from([
                    ("channel", channel(output)),
                    ("to", Value::Array(targets.unwrap_or_default())),
                    ("payload", output.payload.clone()),
                ])
            })
            .collect();
        let mut record = Value::from([
            ("outcome", Value::from(outcome)),
            ("service", Value::from(self.service.name())),
            ("step", Value::from(self.step)),
            ("path", self.job.envelope.as_ref().map_or(Value::Null, |envelope| Value::Array(envelope.path.clone()))),
            ("started", Value::from(seconds(self.started))),
            ("ended", Value::from(seconds(SystemTime::now()))),
            ("outputs", Value::Array(outputs)),
            ("detail", self.detail.clone()),
        ]);
        if let (Value::Object(record), false) = (&mut record, self.dropped.is_empty()) {
            record.insert("dropped".to_owned(), Value::from(self.dropped.to_vec()));
        }
        record
    }
}
