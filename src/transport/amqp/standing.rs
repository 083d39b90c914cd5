//! How we stand with the broker, for whoever wants to know: connected means that every subscription goes on, too.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::transport::Connection;

/// What is told, and what that follows from.
pub(super) struct Standing {
    told: watch::Sender<Connection>,
    known: Mutex<Known>,
}

struct Known {
    /// The connection that there is.
    epoch: Option<u64>,
    /// By which connection each subscription was made.
    subscribed: BTreeMap<u64, u64>,
}

impl Standing {
    /// The first connection is made.
    pub(super) fn new(epoch: u64) -> Self {
        let known = Known { epoch: Some(epoch), subscribed: BTreeMap::new() };
        Self { told: watch::Sender::new(Connection::Up), known: Mutex::new(known) }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Connection> {
        self.told.subscribe()
    }

    /// There is no connection, or still none.
    pub(super) fn lost(&self, reason: &str) {
        self.know(|known| known.epoch = None);
        self.told.send_modify(|told| {
            let since = match told {
                Connection::Up => SystemTime::now(),
                Connection::Lost { since, .. } => *since,
            };
            *told = Connection::Lost { reason: reason.to_owned(), since };
        });
    }

    /// There is one again.
    pub(super) fn made(&self, epoch: u64) {
        self.know(|known| known.epoch = Some(epoch));
    }

    /// A subscription was made by a connection.
    pub(super) fn subscribed(&self, subscription: u64, epoch: u64) {
        self.know(|known| _ = known.subscribed.insert(subscription, epoch));
    }

    /// A subscription has ended.
    pub(super) fn left(&self, subscription: u64) {
        self.know(|known| _ = known.subscribed.remove(&subscription));
    }

    fn know(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        let is_up = known.epoch.is_some_and(|epoch| known.subscribed.values().all(|by| *by == epoch));
        if is_up {
            self.told.send_if_modified(|told| std::mem::replace(told, Connection::Up) != Connection::Up);
        }
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
        standing.lost("nobody listens there");
        let reason = "nobody listens there".to_owned();
        assert_eq!(*standing.watch().borrow(), Connection::Lost { reason, since });
        standing.made(2);
        standing.subscribed(7, 2);
        assert!(!is_up());
        standing.left(8);
        assert!(is_up());
    }
}
