//! The state of the connection: made again when it is lost, and told to whoever watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use super::frame::Frame;
use super::link::{Link, Refusal, connect};
use super::options::Options;
use crate::backoff::Backoff;
use crate::failure::{Failure, Outage};
use crate::transport::{Connection, Error, Open};

/// How long we wait between rounds of attempts: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// A connection that ends sooner has come to nothing, and the next one is not made at once.
const SHORT: Duration = Duration::from_secs(2);
/// After this time without an answer the broker is taken to be short of memory or disk.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the broker may take to answer to our farewell.
const FAREWELL: Duration = Duration::from_secs(2);

/// How things are with the broker.
#[derive(Clone)]
pub(super) enum State {
    /// There is no connection, and why.
    Down(String),
    /// There is one.
    Up(Arc<Link>),
    /// Subscriptions are to end; the connection is still there.
    Closing(Option<Arc<Link>>),
    /// There will be none any more.
    Closed,
}

impl State {
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Closing(_) | Self::Closed)
    }
}

/// The connection of a transport, and what is told of it.
pub(super) struct Keeper {
    states: watch::Sender<State>,
    told: watch::Sender<Connection>,
    /// By which connection each subscription was made.
    subscribed: Mutex<BTreeMap<u64, u64>>,
    place: String,
}

impl Keeper {
    /// Connects to one of the hosts, and keeps the connection.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Denied`] with what each host said.
    pub(super) async fn start(options: Arc<Options>) -> Result<Arc<Self>, Error> {
        let place = options.place();
        let first = connect(&options).await.map_err(|failure| failure.into_error(place.clone()))?;
        let states = watch::Sender::new(State::Up(first.clone()));
        let told = watch::Sender::new(Connection::Up);
        let keeper = Arc::new(Self { states, told, subscribed: Mutex::default(), place });
        tokio::spawn(keep(options, keeper.clone(), first));
        Ok(keeper)
    }

    pub(super) fn watch(&self) -> watch::Receiver<Connection> {
        self.told.subscribe()
    }

    pub(super) fn is_over(&self) -> bool {
        self.states.borrow().is_over()
    }

    /// Waits until the transport is to end.
    pub(super) async fn over(&self) {
        let _ = self.states.subscribe().wait_for(State::is_over).await;
    }

    async fn closed(&self) {
        let _ = self.states.subscribe().wait_for(|state| matches!(state, State::Closed)).await;
    }

    pub(super) fn unavailable(&self, cause: Outage, reason: impl Into<String>) -> Error {
        Error::Unavailable { place: self.place.clone(), cause, reason: reason.into() }
    }

    /// The connection that there is, or the next one.
    ///
    /// # Errors
    /// Nothing came until `deadline`, or the transport was closed.
    pub(super) async fn link(&self, deadline: Instant) -> Result<Arc<Link>, Error> {
        let mut states = self.states.subscribe();
        let up = states.wait_for(|state| match state {
            State::Up(link) => link.is_up(),
            State::Down(_) => false,
            State::Closing(_) | State::Closed => true,
        });
        let found = timeout_at(deadline, up).await.map(|state| state.map(|state| state.clone()));
        match found {
            Ok(Ok(State::Up(link) | State::Closing(Some(link)))) => Ok(link),
            Ok(_) => Err(Error::Closed),
            Err(_) => {
                let reason = match &*self.states.borrow() {
                    State::Down(reason) => reason.clone(),
                    _ => "there was no connection for too long".to_owned(),
                };
                Err(self.unavailable(Outage::Lost, reason))
            }
        }
    }

    /// Begins the end: subscriptions leave.
    pub(super) fn begin_close(&self) {
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
    pub(super) fn close(&self) {
        self.states.send_replace(State::Closed);
    }

    /// A subscription was made by a connection.
    pub(super) fn subscribed(&self, subscription: u64, epoch: u64) {
        self.lock().insert(subscription, epoch);
        self.tell_up();
    }

    /// A subscription has ended.
    pub(super) fn left(&self, subscription: u64) {
        self.lock().remove(&subscription);
        self.tell_up();
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
        self.told.send_if_modified(|told| {
            let is_up = matches!(told, Connection::Up);
            if is_up {
                *told = Connection::Blocked { reason, since: SystemTime::now() };
            }
            is_up
        });
    }

    /// The broker has answered.
    pub(super) fn answered(&self) {
        if matches!(&*self.told.borrow(), Connection::Blocked { .. }) {
            self.told.send_replace(Connection::Up);
        }
    }

    /// Why the broker takes nothing from us, if that is so.
    pub(super) fn obstacle(&self) -> Option<String> {
        match &*self.told.borrow() {
            Connection::Blocked { reason, .. } => Some(reason.clone()),
            Connection::Up | Connection::Lost { .. } => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, u64>> {
        self.subscribed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, reason: &str) {
        self.told.send_modify(|told| {
            let since = match told {
                Connection::Lost { since, .. } => *since,
                Connection::Up | Connection::Blocked { .. } => SystemTime::now(),
            };
            *told = Connection::Lost { reason: reason.to_owned(), since };
        });
    }

    /// Tells that all is well, if the connection is up and every subscription goes on.
    fn tell_up(&self) {
        let State::Up(link) = &*self.states.borrow() else { return };
        if self.lock().values().all(|epoch| *epoch == link.epoch) && link.is_up() {
            self.told.send_if_modified(|told| std::mem::replace(told, Connection::Up) != Connection::Up);
        }
    }

    /// Changes the state, unless the transport is being closed; false then.
    fn change(&self, state: State) -> bool {
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

/// Watches the connection and makes the next one when it is lost, until the transport is closed.
async fn keep(options: Arc<Options>, keeper: Arc<Keeper>, first: Arc<Link>) {
    let _open = Open::new();
    let mut link = first;
    let mut backoff = Backoff::new(PAUSES);
    loop {
        let made = Instant::now();
        let reason = tokio::select! {
            reason = link.lost() => reason,
            () = keeper.closed() => {
                // What was acknowledged before this is acknowledged when the answer comes.
                let _ = timeout(FAREWELL, link.ask(Frame::new("DISCONNECT"))).await;
                link.close("the connection was closed");
                return;
            }
        };
        keeper.lost(&reason);
        if !keeper.change(State::Down(reason)) {
            return;
        }
        // One that ends again at once would otherwise be made again and again.
        let mut wait = Duration::ZERO;
        if made.elapsed() < SHORT {
            wait = backoff.pause();
        } else {
            backoff.reset();
        }
        link = loop {
            tokio::select! {
                () = sleep(jitter(wait)) => {}
                () = keeper.over() => return,
            }
            let attempt = tokio::select! {
                attempt = connect(&options) => attempt,
                () = keeper.over() => return,
            };
            match attempt {
                Ok(link) => break link,
                Err(Failure { reason, .. }) => {
                    keeper.lost(&reason);
                    keeper.change(State::Down(reason));
                }
            }
            wait = backoff.pause();
        };
        if !keeper.change(State::Up(link.clone())) {
            link.close("the transport was closed");
            return;
        }
        keeper.tell_up();
    }
}

/// About as long, so that not all clients of a broker that comes back are there at once.
pub(super) fn jitter(pause: Duration) -> Duration {
    let part = (Uuid::new_v4().as_u128() & 0xff) as u32;
    pause / 2 + pause / 512 * part
}
