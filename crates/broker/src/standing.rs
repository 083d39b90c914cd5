//! How we stand with the broker, for whoever wants to know: connected means that every subscription goes on, too, and
//! that the broker takes what we send.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

/// Whether a transport has its broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// It has, and what was subscribed to is.
    Up,
    /// It has, and the broker accepts no messages from us at present.
    Blocked {
        /// Why, in the broker's words: it is low on memory or on space on its disk.
        reason: String,
        /// Since when.
        since: SystemTime,
    },
    /// It has not, and tries to get it back.
    Lost {
        /// Why, as far as is known now.
        reason: String,
        /// Since when.
        since: SystemTime,
    },
}

impl Connection {
    /// Why the broker takes no messages from us, if that is so.
    pub fn obstacle(&self) -> Option<&str> {
        match self {
            Self::Blocked { reason, .. } => Some(reason),
            Self::Up | Self::Lost { .. } => None,
        }
    }
}

/// What is told, and what that follows from.
pub(crate) struct Standing {
    told: watch::Sender<Connection>,
    known: Mutex<Known>,
}

struct Known {
    /// The connection that there is.
    epoch: Option<u64>,
    /// By which connection each subscription was made.
    subscribed: BTreeMap<u64, u64>,
    /// Why the broker takes nothing from us.
    blocked: Option<String>,
}

impl Standing {
    /// The first connection is made.
    pub(crate) fn new(epoch: u64) -> Self {
        let known = Known { epoch: Some(epoch), subscribed: BTreeMap::new(), blocked: None };
        Self { told: watch::Sender::new(Connection::Up), known: Mutex::new(known) }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Connection> {
        self.told.subscribe()
    }

    /// There is no connection, or still none.
    pub(crate) fn lost(&self, reason: &str) {
        self.know(|known| (known.epoch, known.blocked) = (None, None));
        self.told.send_modify(|told| {
            let since = match told {
                Connection::Lost { since, .. } => *since,
                Connection::Up | Connection::Blocked { .. } => SystemTime::now(),
            };
            *told = Connection::Lost { reason: reason.to_owned(), since };
        });
    }

    /// The broker takes nothing from us any more, and why; or it does again.
    pub(crate) fn blocked(&self, reason: Option<String>) {
        self.know(|known| known.blocked = reason);
    }

    /// Why the broker takes nothing from us, if that is so.
    pub(crate) fn obstacle(&self) -> Option<String> {
        self.told.borrow().obstacle().map(str::to_owned)
    }

    /// There is one again.
    pub(crate) fn made(&self, epoch: u64) {
        self.know(|known| known.epoch = Some(epoch));
    }

    /// A subscription was made by a connection.
    pub(crate) fn subscribed(&self, subscription: u64, epoch: u64) {
        self.know(|known| _ = known.subscribed.insert(subscription, epoch));
    }

    /// A subscription has ended.
    pub(crate) fn left(&self, subscription: u64) {
        self.know(|known| _ = known.subscribed.remove(&subscription));
    }

    fn know(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        if known.epoch.is_none_or(|epoch| known.subscribed.values().any(|by| *by != epoch)) {
            return;
        }
        let blocked = known.blocked.clone();
        self.told.send_if_modified(|told| {
            let now = match (blocked, &*told) {
                (None, _) => Connection::Up,
                (Some(_), Connection::Blocked { .. }) => return false,
                (Some(reason), _) => Connection::Blocked { reason, since: SystemTime::now() },
            };
            std::mem::replace(told, now.clone()) != now
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_up_when_every_subscription_goes_on() {
        let standing = Standing::new(1);
        let is_up = || *standing.watch().borrow() == Connection::Up;
        standing.subscribed(7, 1);
        standing.subscribed(8, 1);
        assert!(is_up());
        standing.lost("it hung up");
        let Connection::Lost { since, .. } = standing.watch().borrow().clone() else { panic!("it is lost") };
        standing.lost("connection refused: no broker listens there");
        let reason = "connection refused: no broker listens there".to_owned();
        assert_eq!(*standing.watch().borrow(), Connection::Lost { reason, since });
        standing.made(2);
        standing.subscribed(7, 2);
        assert!(!is_up());
        standing.left(8);
        assert!(is_up());
        standing.blocked(Some("low on memory".to_owned()));
        assert!(standing.obstacle().is_some_and(|why| why.contains("low on memory")) && !is_up());
        standing.blocked(None);
        assert!(standing.obstacle().is_none() && is_up());
        standing.blocked(Some("low on memory".to_owned()));
        standing.lost("it hung up");
        standing.made(3);
        standing.subscribed(7, 3);
        assert!(is_up(), "the next connection has not been told so");
    }
}
