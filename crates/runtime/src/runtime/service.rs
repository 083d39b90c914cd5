//! What a service is, and the messages it deals with.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::outcome::Outcome;
use zrecipe_broker::message::{self, Envelope};
use zrecipe_broker::transport::{Delivery, Transport};
use zrecipe_language::contract::Contract;
use zrecipe_language::value::{Object, Value};

/// How long a service may take for a message unless it says otherwise.
const ALLOWANCE: Duration = Duration::from_secs(60);

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

    /// How many messages of this queue it takes at a time.
    fn prefetch_of(&self, _queue: &str) -> u16 {
        self.prefetch()
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

    /// Its name for people and that of its class, as status broadcasts have them.
    fn titles(&self) -> (String, String) {
        (self.name().to_owned(), self.name().to_owned())
    }

    /// What the span of a message says beside its queue and its recipe ID.
    fn span_attributes(&self, _job: &Job) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// What the service is to be called, where it changes its name.
    fn title(&self) -> Option<watch::Receiver<Option<String>>> {
        None
    }

    /// Whether it has work to do without a queue: by timers, or on topics.
    fn works_without_queues(&self) -> bool {
        false
    }

    /// Called with the broker before messages are taken, possibly more than once.
    fn attach(&self, _transport: &Arc<dyn Transport>) {}

    /// Called before messages are taken from a queue, possibly more than once.
    async fn begin(&self) {}

    /// Called when no more messages are taken and some are under way, possibly more than once.
    fn stopping(&self) {}

    /// Waits until the service wants to end.
    async fn retired(&self) {
        std::future::pending().await
    }

    /// Called when no more messages are taken.
    async fn finish(&self) {}

    /// Processes a message. The host polls the work on the messages of a consumer for the first time in the order of
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
        first * 4_u32.saturating_pow(self.delivery.retries.min(4))
    }

    /// What the previous step sent, or the whole body of a message without a recipe.
    pub fn payload(&self) -> Value {
        match &self.envelope {
            Some(envelope) => envelope.payload.clone(),
            None => message::read_body(&self.delivery.body),
        }
    }
}
