//! Schlockmeister: quarantines messages that kill their consumers, on a broker that does not count deliveries.
//!
//! It takes from the broker what comes back, of all queues with the prefix and before any other consumer, so that it also
//! guards queues of Python services. It never reads a message. The number and the times of the returns travel with the message,
//! in the store of the broker; with too many returns it becomes a dead letter of its queue.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::BuiltIn;
use crate::runtime::surroundings::Surroundings;
use crate::runtime::why::Why;
use crate::runtime::{Job, Outcome, Service};
use zrecipe_broker::backoff::Backoff;
use zrecipe_broker::message::{Reason, dead_letter_queue};
use zrecipe_broker::transport::{Error, Transport};
use zrecipe_project::settings::{Registered, Section};

/// Its name.
const NAME: &str = "Schlockmeister";
/// Pauses before it subscribes again: the first, and the maximum.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// How `zrecipe service -s Schlockmeister` detects messages that crash their consumers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Guarding {
    /// Maximum number of redeliveries of a message whose consumers were lost; after one more it is dead-lettered.
    #[schemars(range(min = 1), example = 3)]
    max_returns: u32,
}

impl Default for Guarding {
    fn default() -> Self {
        // As the Python service has it.
        Self { max_returns: 5 }
    }
}

impl Section for Guarding {
    const NAME: &'static str = "schlockmeister";

    fn relative_to(&mut self, _directory: &std::path::Path) {}
}

/// The entry in the list of services.
pub(super) const SERVICE: BuiltIn =
    BuiltIn { name: NAME, in_runs: false, settings: Some(Registered::of::<Guarding>()), make };

fn make(surroundings: &Surroundings<'_>) -> Result<Arc<dyn Service>, Why> {
    let entry = surroundings.broker(None)?.entry();
    if entry.capabilities.dead_letters_by_itself {
        let product = entry.product;
        return Err(Why::new(format!(
            "{NAME} is not needed: {product} itself dead-letters messages that are redelivered too often"
        ))
        .hint("a quorum queue of RabbitMQ has `delivery-limit`; `zrecipe doctor` reports queues without a limit"));
    }
    let limit = surroundings.settings.section::<Guarding>()?.max_returns;
    let (stop, _) = watch::channel(false);
    Ok(Arc::new(Schlockmeister { limit, transport: Mutex::new(None), tasks: Arc::default(), stop }))
}

/// The service.
struct Schlockmeister {
    limit: u32,
    transport: Mutex<Option<Arc<dyn Transport>>>,
    tasks: Arc<tokio::sync::Mutex<JoinSet<()>>>,
    stop: watch::Sender<bool>,
}

#[async_trait]
impl Service for Schlockmeister {
    fn name(&self) -> &str {
        NAME
    }

    fn works_without_queues(&self) -> bool {
        true
    }

    fn attach(&self, transport: &Arc<dyn Transport>) {
        *self.transport.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(transport));
    }

    async fn begin(&self) {
        let transport = self.transport.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut tasks = self.tasks.lock().await;
        if let (Some(transport), true) = (transport, tasks.is_empty()) {
            tasks.spawn(guard(transport, self.limit, self.stop.subscribe()));
        }
    }

    fn stopping(&self) {
        self.stop.send_replace(true);
    }

    async fn finish(&self) {
        self.stop.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }

    async fn handle(&self, _job: &Job) -> Outcome {
        Outcome::Bad { reason: Reason::from("Schlockmeister has no queue") }
    }
}

/// Quarantines until told to stop.
async fn guard(transport: Arc<dyn Transport>, limit: u32, mut stop: watch::Receiver<bool>) {
    let mut backoff = Backoff::new(PAUSES);
    loop {
        match transport.quarantine(limit).await {
            Ok(mut letters) => {
                tracing::info!("messages that are redelivered more than {limit} times are dead-lettered");
                backoff.reset();
                loop {
                    let letter = tokio::select! {
                        letter = letters.next() => letter,
                        _ = stop.wait_for(|stop| *stop) => return,
                    };
                    let Some(letter) = letter else { break };
                    let (queue, returns) = (letter.source.name(), letter.returns);
                    tracing::warn!(
                        queue,
                        message_id = letter.id,
                        returns,
                        "a message is dead-lettered to `{}`: it was redelivered {returns} times",
                        dead_letter_queue(queue),
                    );
                }
            }
            Err(Error::Closed) => return,
            Err(error) => tracing::error!("redelivered messages cannot be counted: {error}"),
        }
        tokio::select! {
            () = sleep(backoff.pause()) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
