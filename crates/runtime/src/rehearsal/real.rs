//! A service that plays its own part: what it makes of its messages is recorded beside what others are scripted to do.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::{First, Record, Scenario, lock};
use crate::runtime::{Job, Outcome, Service};
use std::time::Duration;
use zrecipe_broker::message::{Envelope, Output, Reason};
use zrecipe_broker::transport::Transport;
use zrecipe_language::contract::Contract;
use zrecipe_language::value::Value;

pub(super) struct Real {
    pub(super) service: Arc<dyn Service>,
    pub(super) scenario: Scenario,
    pub(super) record: Arc<Mutex<Record>>,
}

impl Real {
    /// What the service has made of a message.
    fn note(&self, envelope: &Envelope, id: &str, outcome: &Outcome) {
        let mut record = lock(&self.record);
        record.arrive(envelope);
        match outcome {
            Outcome::Done { outputs, .. } => {
                *record.done.entry(id.to_owned()).or_default() += 1;
                for output in outputs.iter().filter(|output| output.is_on_channel()) {
                    self.follow(&mut record, envelope, output);
                }
            }
            Outcome::Bad { reason: Reason { text: reason, .. } } | Outcome::Later { reason, .. } => {
                if self.scenario.acts.get(&envelope.pointer).is_none_or(|act| act.refuse.is_none()) {
                    record.faults.push(format!("step `{}` did not accept its message: {reason}", envelope.pointer));
                }
            }
            Outcome::Dispatched { .. } | Outcome::Checkpoint { .. } | Outcome::HeldUp(_) => {}
        }
    }

    fn follow(&self, record: &mut Record, envelope: &Envelope, output: &Output) {
        let default = self.service.default_channel();
        let is_named = matches!(envelope.step().get("output"), Some(Value::Object(_)));
        let channel = match &output.channel {
            None if is_named => default.map(str::to_owned),
            Some(name) if !is_named && Some(name.as_str()) == default => None,
            channel => channel.clone(),
        };
        for to in envelope.targets(output.channel.as_deref(), default).iter().filter_map(Value::as_i64) {
            *record.edges.entry((Some(envelope.pointer), channel.clone(), to)).or_default() += 1;
        }
    }
}

#[async_trait]
impl Service for Real {
    fn name(&self) -> &str {
        self.service.name()
    }

    fn contract(&self) -> Option<&Contract> {
        self.service.contract()
    }

    fn serves(&self, queue: &str) -> bool {
        self.service.serves(queue)
    }

    fn queues(&self) -> Vec<String> {
        self.service.queues()
    }

    fn prefetch(&self) -> u16 {
        self.service.prefetch()
    }

    fn prefetch_of(&self, queue: &str) -> u16 {
        self.service.prefetch_of(queue)
    }

    fn default_channel(&self) -> Option<&str> {
        self.service.default_channel()
    }

    fn attach(&self, transport: &Arc<dyn Transport>) {
        self.service.attach(transport);
    }

    async fn begin(&self) {
        self.service.begin().await;
    }

    async fn handle(&self, job: &Job) -> Outcome {
        let Some(envelope) = &job.envelope else { return self.service.handle(job).await };
        let act = self.scenario.acts.get(&envelope.pointer).unwrap_or(&self.scenario.otherwise);
        let is_first = lock(&self.record).first.insert(job.delivery.id.clone());
        match act.first.filter(|_| is_first) {
            Some(First::Crash) => std::panic::resume_unwind(Box::new("as the script says")),
            Some(First::Later) => {
                return Outcome::Later { reason: "as the script says".to_owned(), after: Duration::from_millis(1) };
            }
            None => {}
        }
        let outcome = self.service.handle(job).await;
        self.note(envelope, &job.delivery.id, &outcome);
        match outcome {
            // Once is enough to know.
            Outcome::Later { reason, .. } => Outcome::Bad { reason: reason.into() },
            outcome => outcome,
        }
    }
}
