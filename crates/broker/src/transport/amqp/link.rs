//! The connection: made at one of several hosts, watched, and made again when it is lost.
//!
//! The client library could recover connections by itself. We do it here, because what was delivered by a lost
//! connection belongs to others now, and its tags must never be used on the next one.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_core::Stream;
use lapin::auth::AuthProvider;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::{LongString, ShortString};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout, timeout_at};
use uuid::Uuid;

use super::address::Options;
use super::faults::{explain, is_reset, refused};
use super::standing::Standing;
use super::wire::LONGEST_FRAME;
use crate::address::{Host, Login, Tls};
use crate::backoff::Backoff;
use crate::failure::{Failure, Outage};
use crate::transport::{Error, Open};

/// How long one host may take.
const CONNECT: Duration = Duration::from_secs(15);
/// How long the end may take where the broker takes nothing from us.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long we wait between rounds of attempts: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// A connection that ends sooner has come to nothing, and the next one is not made at once.
const SHORT: Duration = Duration::from_secs(2);
/// How often we look whether a connection that says nothing is still one.
const LOOK: Duration = Duration::from_secs(1);

/// One connection.
pub(super) struct Link {
    connection: Connection,
    /// Tells connections of this process apart.
    pub(super) epoch: u64,
    /// It is being closed, because the broker did not answer on it.
    is_given_up: AtomicBool,
}

impl Link {
    pub(super) async fn channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// How many channels the broker allows for a connection.
    pub(super) fn max_channels(&self) -> u16 {
        self.connection.configuration().channel_max()
    }

    /// Whether the broker takes nothing from us, and the library therefore sends nothing.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    pub(super) fn is_up(&self) -> bool {
        self.connection.status().connected() && !self.is_given_up.load(Ordering::Relaxed)
    }

    /// Closes a connection on which the broker does not answer, so that [`keep`] makes another. A broker that takes
    /// nothing from us would not answer on another one either, so that connection stays.
    pub(super) fn give_up(self: &Arc<Self>) {
        if self.is_blocked() {
            return;
        }
        self.is_given_up.store(true, Ordering::Relaxed);
        let link = Arc::clone(self);
        tokio::spawn(async move { _ = timeout(FAREWELL, link.connection.close(320, "no answer".into())).await });
    }
}

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
        matches!(self, State::Closing(_) | State::Closed)
    }

    /// Whether the connection of this epoch is the one that there is.
    fn is_on(&self, epoch: u64) -> bool {
        match self {
            State::Up(link) | State::Closing(Some(link)) => link.epoch == epoch && link.is_up(),
            State::Down(_) | State::Closing(None) | State::Closed => false,
        }
    }
}

/// The connection that there is, or the next one.
///
/// # Errors
/// Nothing came until `deadline`, or the transport was closed.
pub(super) async fn link(states: &watch::Sender<State>, place: &str, deadline: Instant) -> Result<Arc<Link>, Error> {
    let mut states = states.subscribe();
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
            let reason = match &*states.borrow() {
                State::Down(reason) => reason.clone(),
                _ => "there was no connection for too long".to_owned(),
            };
            Err(Error::Unavailable { place: place.to_owned(), cause: Outage::Lost, reason })
        }
    }
}

/// Waits until things are so.
pub(super) async fn reached(states: &mut watch::Receiver<State>, wanted: fn(&State) -> bool) {
    let _ = states.wait_for(wanted).await;
}

/// What comes of work on the connection of this epoch; nothing if it is no more. The library does not end all that waits
/// for an answer on one.
pub(super) async fn unless_gone<T>(
    states: &watch::Sender<State>,
    epoch: u64,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = gone(states, epoch) => None,
    }
}

/// Waits until the connection of this epoch is no more.
pub(super) async fn gone(states: &watch::Sender<State>, epoch: u64) {
    let mut states = states.subscribe();
    let _ = states.wait_for(|state| !state.is_on(epoch)).await;
}

/// Tries every host once, in random order.
///
/// # Errors
/// What each of them said.
pub(super) async fn connect(options: &Options) -> Result<Arc<Link>, Failure> {
    static EPOCHS: AtomicU64 = AtomicU64::new(1);
    let mut hosts: Vec<&Host> = options.hosts.iter().collect();
    hosts.sort_by_cached_key(|_| Uuid::new_v4());
    let mut failures = Vec::new();
    for host in hosts {
        let attempt = match options.objection(host) {
            Some(failure) => Err(failure),
            None => attempt(options, host).await,
        };
        match attempt {
            Ok(connection) => {
                let epoch = EPOCHS.fetch_add(1, Ordering::Relaxed);
                return Ok(Arc::new(Link { connection, epoch, is_given_up: AtomicBool::new(false) }));
            }
            Err(failure) => failures.push((host.to_string(), failure)),
        }
    }
    Err(Failure::of_hosts(failures))
}

async fn attempt(options: &Options, host: &Host) -> Result<Connection, Failure> {
    let heartbeat = u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX);
    let uri = AMQPUri {
        scheme: if options.tls.is_some() { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
        authority: AMQPAuthority {
            // The library shows its URIs in its logs: the password goes another way.
            userinfo: AMQPUserInfo { username: String::new(), password: String::new() },
            host: host.name.clone(),
            port: host.port,
        },
        vhost: options.vhost.clone(),
        query: AMQPQueryString {
            heartbeat: Some(heartbeat),
            frame_max: Some(LONGEST_FRAME),
            ..AMQPQueryString::default()
        },
    };
    let properties = ConnectionProperties::default()
        .with_connection_name(options.name.as_str().into())
        .with_client_property("product".into(), "zrecipe".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into())
        .with_auth_provider(Answer(options.login.clone()));
    let tls = options.tls.as_ref().map(tls).unwrap_or_default();
    let runtime = lapin::runtime::default_runtime();
    let runtime = runtime.map_err(|error| Failure::unavailable(Outage::Other, error.to_string()))?;
    match timeout(CONNECT, lapin::Connect::connect_with_config(uri, properties, tls, runtime)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => {
            let mut failure = refused(&error);
            if is_reset(&error) {
                // The alert that would say so is lost with the connection more often than not.
                failure.reason.push_str(match &options.tls {
                    None => "; it may require TLS (`ssl: true`) on this port",
                    Some(Tls { certificate: Some(_), .. }) => {
                        "; it may reject the client certificate (`certificate-file`)"
                    }
                    Some(_) => "; it may require a client certificate (`certificate-file`)",
                });
            }
            Err(failure)
        }
        Err(_) => Err(Failure::unavailable(Outage::NoAnswer, format!("no answer within {} s", CONNECT.as_secs()))),
    }
}

fn tls(tls: &Tls) -> OwnedTLSConfig {
    OwnedTLSConfig {
        identity: tls.certificate.as_ref().map(|certificate| OwnedIdentity::PKCS8 {
            pem: certificate.chain.clone().into_bytes(),
            key: certificate.key.reveal().as_bytes().to_vec(),
        }),
        cert_chain: tls.authorities.clone(),
    }
}

/// Says who we are when the broker asks.
struct Answer(Login);

impl AuthProvider for Answer {
    fn mechanism(&self) -> ShortString {
        match self.0 {
            Login::Password { .. } => "PLAIN".into(),
            Login::Certificate => "EXTERNAL".into(),
        }
    }

    fn auth_starter(&self) -> Result<LongString, String> {
        Ok(match &self.0 {
            Login::Password { user, password } => format!("\0{user}\0{}", password.reveal()).into(),
            Login::Certificate => LongString::default(),
        })
    }
}

/// Watches the connection and makes the next one when it is lost, until the transport is closed.
pub(super) async fn keep(
    options: Arc<Options>,
    states: watch::Sender<State>,
    standing: Arc<Standing>,
    first: Arc<Link>,
) {
    let _open = Open::new();
    let mut closed = states.subscribe();
    let mut link = first;
    let mut pauses = Pauses(Backoff::new(PAUSES));
    loop {
        let made = Instant::now();
        let reason = tokio::select! {
            reason = lost(&link, &standing) => reason,
            () = reached(&mut closed, |state| matches!(state, State::Closed)) => {
                // What takes nothing from us does not hear our farewell either.
                let patience = if link.is_blocked() { FAREWELL } else { CONNECT };
                let _ = timeout(patience, link.connection.close(200, "".into())).await;
                return;
            }
        };
        standing.lost(&reason);
        if !change(&states, State::Down(reason)) {
            return;
        }
        let mut pause = pauses.after(made.elapsed());
        link = loop {
            tokio::select! {
                () = sleep(jitter(pause)) => {}
                () = reached(&mut closed, State::is_over) => return,
            }
            let attempt = tokio::select! {
                attempt = connect(&options) => attempt,
                () = reached(&mut closed, State::is_over) => return,
            };
            match attempt {
                Ok(link) => break link,
                Err(Failure { reason, .. }) => {
                    standing.lost(&reason);
                    change(&states, State::Down(reason));
                }
            }
            pause = pauses.next();
        };
        standing.made(link.epoch);
        if !change(&states, State::Up(link.clone())) {
            return;
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

/// Says how things are, unless the transport is being closed; then its end is all that there is to say.
fn change(states: &watch::Sender<State>, state: State) -> bool {
    states.send_if_modified(|now| {
        match now {
            State::Closed => return false,
            State::Closing(link) => *link = None,
            State::Up(_) | State::Down(_) => *now = state,
        }
        true
    });
    !states.borrow().is_over()
}

/// Waits until the connection is no more; says why. Tells meanwhile whether the broker takes anything.
async fn lost(link: &Link, standing: &Standing) -> String {
    let mut events = pin!(link.connection.events_listener());
    let mut look = interval(LOOK);
    let mut last = String::from("the connection is lost");
    while link.is_up() {
        tokio::select! {
            event = std::future::poll_fn(|cx| events.as_mut().poll_next(cx)) => match event {
                Some(Event::ConnectionBlocked(reason)) => standing.blocked(Some(reason)),
                Some(Event::ConnectionUnblocked) => standing.blocked(None),
                Some(Event::Error(error)) => last = format!("the connection is lost: {}", explain(&error)),
                Some(_) => {}
                None => break,
            },
            _ = look.tick() => {}
        }
    }
    last
}

/// About as long, so that not all clients of a broker that comes back are there at once.
pub(super) fn jitter(pause: Duration) -> Duration {
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
