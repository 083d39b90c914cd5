//! The connection that there is now, and whether the broker answers on it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::link::{Link, Refusal};
use super::options::Options;
use crate::connections::{Connections, connect};
use crate::failure::Outage;
use crate::standing::Standing;
use crate::transport::{Connection, Error};

/// After this time without an answer the broker is taken to be short of memory or disk.
const SILENCE: Duration = Duration::from_secs(5);

/// The connection of a transport, and what is told of it.
pub(super) struct Keeper {
    pub(super) connections: Connections<Link>,
    standing: Arc<Standing>,
}

impl Keeper {
    /// Connects to one of the hosts, and keeps the connection.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Denied`] with what each host said.
    pub(super) async fn start(options: Arc<Options>) -> Result<Arc<Self>, Error> {
        let place = options.place();
        let first = connect(&*options).await.map_err(|failure| failure.into_error(place.clone()))?;
        let standing = Arc::new(Standing::new(first.epoch));
        let connections = Connections::keep(&place, first, options, standing.clone());
        Ok(Arc::new(Self { connections, standing }))
    }

    pub(super) fn watch(&self) -> watch::Receiver<Connection> {
        self.standing.watch()
    }

    pub(super) fn unavailable(&self, cause: Outage, reason: &str) -> Error {
        self.connections.unavailable(cause, reason)
    }

    /// A subscription was made by a connection.
    pub(super) fn subscribed(&self, subscription: u64, epoch: u64) {
        self.standing.subscribed(subscription, epoch);
    }

    /// A subscription has ended.
    pub(super) fn left(&self, subscription: u64) {
        self.standing.left(subscription);
    }

    /// The outcome of work on a connection that waits for answers of the broker. While none comes for a while, the broker
    /// is told to be blocked: at a limit of its memory or store ActiveMQ does not answer, and reads nothing more.
    pub(super) async fn answer(&self, work: impl Future<Output = Result<(), Refusal>>) -> Result<(), Refusal> {
        let answer = self.unless_silent(work).await;
        // What is lost is told by whoever keeps the connection.
        if !matches!(answer, Err(Refusal::Lost)) {
            self.answered();
        }
        answer
    }

    /// The same for whoever tells that the broker answers.
    pub(super) async fn unless_silent(&self, work: impl Future<Output = Result<(), Refusal>>) -> Result<(), Refusal> {
        let mut work = std::pin::pin!(work);
        match timeout(SILENCE, &mut work).await {
            Ok(answer) => answer,
            Err(_) => {
                self.silent();
                work.await
            }
        }
    }

    /// The broker has not answered for a while.
    pub(super) fn silent(&self) {
        let seconds = SILENCE.as_secs();
        self.blocked(format!(
            "the broker has not confirmed a message for {seconds} s: its memory or its store may be full"
        ));
    }

    /// The broker takes nothing now.
    pub(super) fn blocked(&self, reason: String) {
        self.standing.blocked(Some(reason));
    }

    /// The broker has answered.
    pub(super) fn answered(&self) {
        if self.standing.obstacle().is_some() {
            self.standing.blocked(None);
        }
    }

    /// Why the broker takes nothing from us, if that is so.
    pub(super) fn obstacle(&self) -> Option<String> {
        self.standing.obstacle()
    }
}
