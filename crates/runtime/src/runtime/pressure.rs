//! Back-pressure: what holds up the messages of a host through no fault of their own, and how long the host pauses.
//!
//! A destination queue is full or has no leader, the broker is blocked, a disk or the file descriptors are exhausted. The
//! host then keeps the delivery and its outcome, takes no further messages, and tries again after a pause that grows. Such
//! attempts are counted apart and never against a message.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Event;
use zrecipe_broker::backoff::Backoff;
use zrecipe_broker::transport::{Connection, Error, store_errno};

/// How long a host pauses, and how long it keeps what is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// The first pause; each further one is twice as long.
    pub first: Duration,
    /// The maximum of a pause.
    pub maximum: Duration,
    /// How long a delivery is held before it goes back to its queue, uncounted. Brokers take a delivery away that is
    /// held for too long (RabbitMQ after 30 minutes), and count that.
    pub hold: Duration,
    /// The pause before a message comes back to a service that panicked.
    pub crash: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { first: seconds(1), maximum: seconds(30), hold: seconds(600), crash: seconds(1) }
    }
}

/// What is in the way of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What holds it up, for people: the destination in backticks, or `the broker`, `the disk` and the like.
    pub by: String,
    /// The reason, in words.
    pub reason: String,
}

impl Obstacle {
    /// What is in the way where a settlement failed; nothing where the failure is the message's own, or final.
    pub fn of(error: &Error, connection: &Connection) -> Option<Self> {
        let by = match error {
            Error::Refused { destination, is_full: true, .. } => format!("`{destination}`"),
            Error::Unconfirmed { destination, .. } => match connection {
                Connection::Up => format!("`{destination}`"),
                Connection::Blocked { .. } | Connection::Lost { .. } => "the broker".to_owned(),
            },
            Error::Partly { error: inner, .. } => Self::of(inner, connection)?.by,
            Error::Blocked(_) | Error::Unavailable { .. } => "the broker".to_owned(),
            Error::Store(source) => exhausted(&**source)?.to_owned(),
            _ => return None,
        };
        Some(Self { by, reason: error.to_string() })
    }

    /// What is in the way where something of this machine failed; nothing unless it is exhausted.
    pub fn of_machine(error: &(dyn StdError + 'static)) -> Option<Self> {
        exhausted(error).map(|by| Self { by: by.to_owned(), reason: error.to_string() })
    }
}

/// What of this machine is exhausted, if that is why something failed.
fn exhausted(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let errno = error.downcast_ref::<io::Error>().and_then(Errno::from_io_error);
        match errno.or_else(|| store_errno(error)) {
            Some(Errno::NOSPC) => return Some("the disk"),
            Some(Errno::MFILE | Errno::NFILE) => return Some("the limit of open files"),
            Some(Errno::NOMEM) => return Some("the memory of this machine"),
            _ => cause = error.source(),
        }
    }
    None
}

/// What is held up in a host.
#[derive(Debug, Clone)]
pub struct Pressure {
    pauses: Pauses,
    held: Arc<watch::Sender<BTreeMap<u64, Entry>>>,
    /// How many messages have got through; whoever is held up then tries again at once.
    freed: Arc<watch::Sender<u64>>,
    next: Arc<AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    by: String,
    since: Instant,
}

/// A message that is held up. Dropping it ends that.
#[derive(Debug)]
pub struct Hold {
    pressure: Pressure,
    number: u64,
    id: String,
    service: String,
    since: Instant,
    attempts: u32,
    backoff: Backoff,
    freed: watch::Receiver<u64>,
}

/// How a pause ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is time to try again.
    Again,
    /// The message has been held long enough and goes back to its queue.
    Requeue,
    /// The host is to stop.
    Stop,
}

impl Pressure {
    /// A host that pauses for so long.
    pub fn new(pauses: Pauses) -> Self {
        Self { pauses, held: Arc::default(), freed: Arc::default(), next: Arc::default() }
    }

    /// Whether nothing is held up.
    pub fn is_clear(&self) -> bool {
        self.held.borrow().is_empty()
    }

    /// Waits until nothing is held up.
    pub async fn cleared(&self) {
        // The sender lives as long as this.
        let _ = self.held.subscribe().wait_for(BTreeMap::is_empty).await;
    }

    /// The pause before a message comes back to a service that panicked.
    pub fn after_crash(&self) -> Duration {
        self.pauses.crash
    }

    /// How long a delivery is held before it goes back to its queue.
    pub fn hold_limit(&self) -> Duration {
        self.pauses.hold
    }

    /// Holds a message.
    pub fn hold(&self, id: &str, service: &str) -> Hold {
        Hold {
            pressure: self.clone(),
            number: self.next.fetch_add(1, Ordering::Relaxed),
            id: id.to_owned(),
            service: service.to_owned(),
            since: Instant::now(),
            attempts: 0,
            backoff: Backoff::new((self.pauses.first, self.pauses.maximum)),
            freed: self.freed.subscribe(),
        }
    }
}

impl Hold {
    /// How often it was tried in vain.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Waits before the next attempt: a pause that grows, or until another message got through. A broker that is known
    /// to take nothing is not asked again before it does.
    pub async fn pause(
        &mut self,
        obstacle: &Obstacle,
        events: &mpsc::UnboundedSender<Event>,
        mut connection: watch::Receiver<Connection>,
        stop: &mut watch::Receiver<bool>,
    ) -> Next {
        let Pauses { hold, .. } = self.pressure.pauses;
        let pause = self.backoff.pause();
        self.attempts = self.attempts.saturating_add(1);
        let entry = Entry { by: obstacle.by.clone(), since: self.since };
        let mut is_first = false;
        self.pressure.held.send_if_modified(|held| {
            is_first = held.iter().find(|(_, entry)| entry.by == obstacle.by).is_none_or(|(n, _)| *n == self.number);
            held.insert(self.number, entry.clone()).as_ref() != Some(&entry)
        });
        if is_first {
            // One line for all that the same thing holds up.
            let (by, reason, attempts) = (&obstacle.by, &obstacle.reason, self.attempts);
            tracing::warn!(
                "held up by {by}: {reason}; attempt {attempts} failed, next attempt in {:.1} s",
                pause.as_secs_f64()
            );
        }
        let _ = events.send(Event::HeldUp {
            id: self.id.clone(),
            service: self.service.clone(),
            by: obstacle.by.clone(),
            reason: obstacle.reason.clone(),
            attempt: self.attempts,
            again: SystemTime::now() + pause,
        });
        self.freed.mark_unchanged();
        let waited = async {
            tokio::select! {
                () = sleep(pause) => {}
                _ = self.freed.changed() => {}
            }
            // It takes nothing before that; if the transport is gone, the next attempt finds that out.
            let _ = connection.wait_for(|now| !matches!(now, Connection::Blocked { .. })).await;
        };
        tokio::select! {
            biased;
            () = stopped(stop) => Next::Stop,
            () = sleep_until(self.since + hold) => Next::Requeue,
            () = waited => Next::Again,
        }
    }

    /// It goes on being held although it could not go back.
    pub fn renew(&mut self) {
        self.since = Instant::now();
    }

    /// The message got through.
    pub fn got_through(self) {
        let by = self.pressure.held.borrow().get(&self.number).map(|entry| entry.by.clone());
        let is_last = by.as_ref().is_some_and(|by| {
            let held = self.pressure.held.borrow();
            held.values().filter(|entry| entry.by == *by).count() == 1
        });
        if let Some(by) = by.filter(|_| is_last) {
            tracing::info!("no longer held up by {by} after {} s", self.since.elapsed().as_secs());
        }
        self.pressure.freed.send_modify(|freed| *freed += 1);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.pressure.held.send_if_modified(|held| held.remove(&self.number).is_some());
    }
}

pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could say so.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exhausted_is_told_from_what_is_broken() {
        let full = |is_full| Error::Refused { destination: "mark".to_owned(), reason: "no".to_owned(), is_full };
        let partly = Error::Partly { sent: 1, all: 2, error: Box::new(full(true)) };
        let unconfirmed = || Error::Unconfirmed { destination: "mark".to_owned(), reason: None };
        let store = |errno: Errno| Error::Store(Box::new(io::Error::from(errno)));
        let blocked = Connection::Blocked { reason: "memory".to_owned(), since: SystemTime::UNIX_EPOCH };
        for (error, connection, expected) in [
            (full(true), Connection::Up, Some("`mark`")),
            // The user may not write there: a message that wants it must not stop all others.
            (full(false), Connection::Up, None),
            (partly, Connection::Up, Some("`mark`")),
            (unconfirmed(), Connection::Up, Some("`mark`")),
            (unconfirmed(), blocked, Some("the broker")),
            (Error::NoSuchQueue("mark".to_owned()), Connection::Up, None),
            (Error::NotHeld, Connection::Up, None),
            (store(Errno::NOSPC), Connection::Up, Some("the disk")),
            (store(Errno::MFILE), Connection::Up, Some("the limit of open files")),
            (store(Errno::IO), Connection::Up, None),
        ] {
            let found = Obstacle::of(&error, &connection);
            assert_eq!(found.map(|obstacle| obstacle.by).as_deref(), expected, "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_a_message_that_gets_through_ends_them() {
        let second = Duration::from_secs(1);
        let pauses = Pauses { first: second, maximum: 8 * second, hold: 600 * second, ..Pauses::default() };
        let pressure = Pressure::new(pauses);
        let (events, mut heard) = mpsc::unbounded_channel();
        let connection = watch::Sender::new(Connection::Up);
        let stop = watch::Sender::new(false);
        let obstacle = Obstacle { by: "`mark`".to_owned(), reason: "it is full".to_owned() };
        let mut stopped = stop.subscribe();
        let mut hold = pressure.hold("a", "Runner");
        assert!(pressure.is_clear());
        for seconds in [1, 2, 4, 8, 8] {
            let begun = Instant::now();
            let next = hold.pause(&obstacle, &events, connection.subscribe(), &mut stopped).await;
            assert_eq!((next, begun.elapsed().as_secs()), (Next::Again, seconds));
            assert!(!pressure.is_clear());
            assert!(matches!(heard.recv().await, Some(Event::HeldUp { by, .. }) if by == "`mark`"));
        }
        // Another one got through.
        let begun = Instant::now();
        let other = pressure.hold("b", "Runner");
        let through = async {
            tokio::task::yield_now().await;
            other.got_through();
        };
        let (next, ()) = tokio::join!(hold.pause(&obstacle, &events, connection.subscribe(), &mut stopped), through);
        assert_eq!((next, begun.elapsed()), (Next::Again, Duration::ZERO));
        // A broker that takes nothing is not asked, and what is held for too long goes back.
        connection.send_replace(Connection::Blocked { reason: "memory".to_owned(), since: SystemTime::UNIX_EPOCH });
        assert_eq!(hold.pause(&obstacle, &events, connection.subscribe(), &mut stopped).await, Next::Requeue);
        hold.renew();
        stop.send_replace(true);
        assert_eq!(hold.pause(&obstacle, &events, connection.subscribe(), &mut stopped).await, Next::Stop);
        drop(hold);
        assert!(pressure.is_clear());
    }
}
