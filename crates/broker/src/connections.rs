//! A connection to one of several hosts that is kept up: when it is lost another is made, until its transport is closed.
//!
//! Client libraries could recover connections by themselves. We do it here, because what was delivered by a lost connection
//! belongs to others now, and its tags must never be used on the next one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use crate::address::Host;
use crate::backoff::Backoff;
use crate::failure::{Error, Failure, Outage};

/// How long one host may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(15);
/// Pauses between rounds of attempts: the first, and the maximum.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// A connection that ends sooner has come to nothing, and the next one is not made at once.
const SHORT: Duration = Duration::from_secs(2);

/// One connection.
pub(crate) trait Link: Send + Sync + 'static {
    /// Tells connections of this process apart.
    fn epoch(&self) -> u64;
    /// Whether it is still there.
    fn is_up(&self) -> bool;
}

/// A number that no other connection of this process has.
pub(crate) fn next_epoch() -> u64 {
    static EPOCHS: AtomicU64 = AtomicU64::new(1);
    EPOCHS.fetch_add(1, Ordering::Relaxed)
}

/// Who makes connections.
#[async_trait]
pub(crate) trait Dial: Send + Sync + 'static {
    /// What it makes.
    type Link: Link;

    /// The hosts, of which any will do.
    fn hosts(&self) -> &[Host];

    /// Why this may not be tried at `host`.
    fn objection(&self, host: &Host) -> Option<Failure>;

    /// Tries one host.
    async fn attempt(&self, host: &Host) -> Result<Self::Link, Failure>;
}

/// Tries every host once, in random order.
///
/// # Errors
/// What each of them said.
pub(crate) async fn connect<D: Dial>(dial: &D) -> Result<Arc<D::Link>, Failure> {
    let mut hosts: Vec<&Host> = dial.hosts().iter().collect();
    hosts.sort_by_cached_key(|_| Uuid::new_v4());
    let mut failures = Vec::new();
    for host in hosts {
        let attempt = match dial.objection(host) {
            Some(failure) => Err(failure),
            None => match timeout(CONNECT, dial.attempt(host)).await {
                Ok(attempt) => attempt,
                Err(_) => {
                    Err(Failure::unavailable(Outage::NoAnswer, format!("no answer within {} s", CONNECT.as_secs())))
                }
            },
        };
        match attempt {
            Ok(link) => return Ok(Arc::new(link)),
            Err(failure) => failures.push((host.to_string(), failure)),
        }
    }
    Err(Failure::of_hosts(failures))
}

/// Who watches connections and tells how they are.
#[async_trait]
pub(crate) trait Watch<L: Link>: Send + Sync + 'static {
    /// Waits until a connection is no more; says why.
    async fn until_lost(&self, link: &Arc<L>) -> String;

    /// Ends a connection in order.
    async fn farewell(&self, link: &Arc<L>);

    /// There is no connection, or still none.
    fn lost(&self, reason: &str);

    /// There is one again.
    fn made(&self, link: &Arc<L>);
}

enum State<L> {
    /// There is no connection, and why.
    Down(String),
    /// There is one.
    Up(Arc<L>),
    /// Subscriptions are to end; the connection is still there.
    Closing(Option<Arc<L>>),
    /// There will be none any more.
    Closed,
}

impl<L: Link> State<L> {
    fn is_over(&self) -> bool {
        matches!(self, Self::Closing(_) | Self::Closed)
    }

    /// Whether the connection of this epoch is the one that there is.
    fn is_on(&self, epoch: u64) -> bool {
        match self {
            Self::Up(link) | Self::Closing(Some(link)) => link.epoch() == epoch && link.is_up(),
            Self::Down(_) | Self::Closing(None) | Self::Closed => false,
        }
    }
}

/// The connection of a transport that there is now, if there is one.
pub(crate) struct Connections<L> {
    states: watch::Sender<State<L>>,
    place: Arc<str>,
}

impl<L> Clone for Connections<L> {
    fn clone(&self) -> Self {
        Self { states: self.states.clone(), place: self.place.clone() }
    }
}

impl<L: Link> Connections<L> {
    /// Begins with the first connection to the hosts at `place`, and keeps one until the transport is closed.
    pub(crate) fn keep(place: &str, first: Arc<L>, dial: Arc<impl Dial<Link = L>>, watch: Arc<impl Watch<L>>) -> Self {
        let kept = Self { states: watch::Sender::new(State::Up(first.clone())), place: place.into() };
        tokio::spawn(keep(kept.clone(), first, dial, watch));
        kept
    }

    /// The connection that there is, or the next one.
    ///
    /// # Errors
    /// Nothing came until `deadline`, or the transport was closed.
    pub(crate) async fn link(&self, deadline: Instant) -> Result<Arc<L>, Error> {
        let mut states = self.states.subscribe();
        let up = states.wait_for(|state| match state {
            State::Up(link) => link.is_up(),
            State::Down(_) => false,
            State::Closing(_) | State::Closed => true,
        });
        match timeout_at(deadline, up).await {
            Ok(Ok(state)) => match &*state {
                State::Up(link) | State::Closing(Some(link)) => Ok(link.clone()),
                State::Down(_) | State::Closing(None) | State::Closed => Err(Error::Closed),
            },
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => {
                let reason = match &*self.states.borrow() {
                    State::Down(reason) => reason.clone(),
                    State::Up(_) | State::Closing(_) | State::Closed => {
                        "there was no connection for too long".to_owned()
                    }
                };
                Err(self.unavailable(Outage::Lost, reason))
            }
        }
    }

    /// The connection that there is.
    pub(crate) fn up(&self) -> Option<Arc<L>> {
        match &*self.states.borrow() {
            State::Up(link) => Some(link.clone()),
            State::Down(_) | State::Closing(_) | State::Closed => None,
        }
    }

    pub(crate) fn unavailable(&self, cause: Outage, reason: impl Into<String>) -> Error {
        Error::Unavailable { place: self.place.to_string(), cause, reason: reason.into() }
    }

    /// Whether the transport is to end, or has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.states.borrow().is_over()
    }

    /// Waits until the transport is to end.
    pub(crate) async fn over(&self) {
        let _ = self.states.subscribe().wait_for(State::is_over).await;
    }

    /// Waits until the transport has ended.
    pub(crate) async fn closed(&self) {
        let _ = self.states.subscribe().wait_for(|state| matches!(state, State::Closed)).await;
    }

    /// Waits until the connection of this epoch is no more.
    pub(crate) async fn gone(&self, epoch: u64) {
        let _ = self.states.subscribe().wait_for(|state| !state.is_on(epoch)).await;
    }

    /// What comes of work on the connection of this epoch; nothing if it is no more. Client libraries do not end all that
    /// waits for an answer on one.
    pub(crate) async fn unless_gone<T>(&self, epoch: u64, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.gone(epoch) => None,
        }
    }

    /// Begins the end: subscriptions leave.
    pub(crate) fn begin_close(&self) {
        self.states.send_if_modified(|state| {
            let link = match state {
                State::Up(link) => Some(link.clone()),
                State::Down(_) => None,
                State::Closing(_) | State::Closed => return false,
            };
            *state = State::Closing(link);
            true
        });
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        self.states.send_replace(State::Closed);
    }

    /// Says how things are, unless the transport is being closed; then its end is all that there is to say.
    fn change(&self, state: State<L>) -> bool {
        self.states.send_if_modified(|now| {
            match now {
                State::Closed => return false,
                State::Closing(link) => *link = None,
                State::Up(_) | State::Down(_) => *now = state,
            }
            true
        });
        !self.is_over()
    }
}

/// The number of connections that tasks of this process keep open.
static OPEN: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// A connection that a task keeps open, until this is dropped.
struct Open;

impl Open {
    fn new() -> Self {
        OPEN.send_modify(|open| *open += 1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.send_modify(|open| *open -= 1);
    }
}

/// Waits until the unused connections of this process are closed. The broker then knows it, and no thread of a client
/// library panics because its connection is missing.
pub async fn all_closed() {
    let _ = OPEN.subscribe().wait_for(|open| *open == 0).await;
}

/// Watches the connection and makes the next one when it is lost, until the transport is closed.
async fn keep<L: Link>(kept: Connections<L>, first: Arc<L>, dial: Arc<impl Dial<Link = L>>, watch: Arc<impl Watch<L>>) {
    let _open = Open::new();
    let mut link = first;
    let mut pauses = Pauses(Backoff::new(PAUSES));
    loop {
        let made = Instant::now();
        let reason = tokio::select! {
            reason = watch.until_lost(&link) => reason,
            () = kept.closed() => return watch.farewell(&link).await,
        };
        watch.lost(&reason);
        if !kept.change(State::Down(reason)) {
            return;
        }
        let mut pause = pauses.after(made.elapsed());
        link = loop {
            tokio::select! {
                () = sleep(jitter(pause)) => {}
                () = kept.over() => return,
            }
            let attempt = tokio::select! {
                attempt = connect(&*dial) => attempt,
                () = kept.over() => return,
            };
            match attempt {
                Ok(link) => break link,
                Err(Failure { reason, .. }) => {
                    watch.lost(&reason);
                    kept.change(State::Down(reason));
                }
            }
            pause = pauses.next();
        };
        let is_wanted = kept.change(State::Up(link.clone()));
        watch.made(&link);
        if !is_wanted {
            return watch.farewell(&link).await;
        }
    }
}

/// How long to wait before the next attempt; longer each time, until a connection has lived.
struct Pauses(Backoff);

impl Pauses {
    /// After a connection that has lived for so long. One that ends again at once, as over a message that we cannot
    /// read, would otherwise be made again and again, and what it was sent counts as delivered each time.
    fn after(&mut self, lived: Duration) -> Duration {
        if lived < SHORT {
            return self.next();
        }
        self.0.reset();
        Duration::ZERO
    }

    /// After an attempt that has failed.
    fn next(&mut self) -> Duration {
        self.0.pause()
    }
}

/// About as long, so that not all clients of a broker that comes back are there at once.
pub(crate) fn jitter(pause: Duration) -> Duration {
    let part = (Uuid::new_v4().as_u128() & 0xff) as u32;
    pause / 2 + pause / 512 * part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_end_at_once_are_made_ever_more_seldom() {
        let mut pauses = Pauses(Backoff::new(PAUSES));
        let short: Vec<Duration> = (0..8).map(|_| pauses.after(Duration::ZERO)).collect();
        assert_eq!(short[..3], [PAUSES.0, PAUSES.0 * 2, PAUSES.0 * 4]);
        assert_eq!(short[7], PAUSES.1);
        assert_eq!(pauses.next(), PAUSES.1, "and so are those that cannot be made");
        assert_eq!(pauses.after(SHORT), Duration::ZERO);
        assert_eq!(pauses.next(), PAUSES.0);
    }
}
