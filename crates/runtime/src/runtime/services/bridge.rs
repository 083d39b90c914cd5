//! Bridge: carries messages from the broker of one environment to that of another, unread.
//!
//! - A message keeps its id, its headers, its properties and its bytes, and messages of a queue keep their order.
//! - It is acknowledged where it was taken when the other broker has confirmed it. What becomes of a bridge in between: the
//!   message is sent again with the same id, by which receivers drop it. Within one broker with transactions both happen in
//!   one.
//! - What the other broker does not take now waits where it is, however long.
//!
//! Submodules: `settings` (the pairs, and their brokers), `carrier` (one pair at work).

mod carrier;
mod settings;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::carrier::Carrier;
use self::settings::Bridging;
use super::BuiltIn;
use crate::runtime::surroundings::Surroundings;
use crate::runtime::why::Why;
use crate::runtime::{Job, Outcome, Service};
use zrecipe_broker::message::Reason;
use zrecipe_project::settings::Registered;

/// The name of the service.
const NAME: &str = "Bridge";

/// The entry in the list of services.
pub(super) const SERVICE: BuiltIn =
    BuiltIn { name: NAME, in_runs: false, settings: Some(Registered::of::<Bridging>()), make };

fn make(surroundings: &Surroundings<'_>) -> Result<Arc<dyn Service>, Why> {
    let settings = surroundings.settings.section::<Bridging>()?;
    let pairs = settings.pairs(|place| match &place.state {
        Some(directory) => Surroundings::embedded(directory),
        None => surroundings.broker(place.environment.as_deref()),
    })?;
    let journal = &surroundings.journal;
    let (waiting, _) = watch::channel(0);
    let carriers = pairs.into_iter().map(|pair| Carrier::new(pair, journal.clone(), waiting.clone())).collect();
    let (stop, _) = watch::channel(false);
    let (title, _) = watch::channel(None);
    Ok(Arc::new(Bridge {
        carriers: Mutex::new(carriers),
        begun: AtomicBool::new(false),
        tasks: Arc::default(),
        waiting,
        title,
        stop,
    }))
}

/// The service.
struct Bridge {
    /// The pairs that have not begun.
    carriers: Mutex<Vec<Carrier>>,
    begun: AtomicBool,
    tasks: Arc<tokio::sync::Mutex<JoinSet<()>>>,
    /// How many pairs wait for a broker.
    waiting: watch::Sender<usize>,
    title: watch::Sender<Option<String>>,
    stop: watch::Sender<bool>,
}

#[async_trait]
impl Service for Bridge {
    fn name(&self) -> &str {
        NAME
    }

    fn works_without_queues(&self) -> bool {
        true
    }

    fn title(&self) -> Option<watch::Receiver<Option<String>>> {
        Some(self.title.subscribe())
    }

    async fn begin(&self) {
        if self.begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let carriers = std::mem::take(&mut *self.carriers.lock().unwrap_or_else(PoisonError::into_inner));
        let all = carriers.len();
        let mut tasks = self.tasks.lock().await;
        for carrier in carriers {
            tasks.spawn(carrier.run(self.stop.subscribe()));
        }
        let (mut waiting, title) = (self.waiting.subscribe(), self.title.clone());
        tasks.spawn(show(all, title, self.stop.subscribe(), async move || match waiting.changed().await {
            Ok(()) => *waiting.borrow_and_update(),
            Err(_) => std::future::pending().await,
        }));
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
        Outcome::Bad { reason: Reason::from("a bridge has no queue") }
    }
}

/// Shows in the status how many pairs wait.
async fn show(
    all: usize,
    title: watch::Sender<Option<String>>,
    mut stop: watch::Receiver<bool>,
    mut next: impl AsyncFnMut() -> usize,
) {
    loop {
        let waiting = tokio::select! {
            waiting = next() => waiting,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let name = if waiting == 0 { NAME.to_owned() } else { format!("{NAME} ({waiting} of {all} pairs wait)") };
        title.send_replace(Some(name));
    }
}
