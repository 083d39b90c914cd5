//! One connection: made, watched and ended.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use lapin::auth::AuthProvider;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::{LongString, ShortString};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::time::{interval, timeout};

use super::address::Options;
use super::faults::{explain, is_reset, refused};
use super::wire::LONGEST_FRAME;
use crate::address::{Host, Login, Tls};
use crate::connections::{self, CONNECT, Dial, Watch, next_epoch};
use crate::failure::{Failure, Outage};
use crate::standing::Standing;

/// The connection that there is now.
pub(super) type Connections = connections::Connections<Link>;

/// How long the end may take where the broker takes nothing from us.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often we look whether a connection that says nothing is still one.
const LOOK: Duration = Duration::from_secs(1);

/// One connection.
pub(crate) struct Link {
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

    /// Closes a connection on which the broker does not answer, so that another is made. A broker that takes
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

impl connections::Link for Link {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_up(&self) -> bool {
        self.is_up()
    }
}

#[async_trait]
impl Dial for Options {
    type Link = Link;

    fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    fn objection(&self, host: &Host) -> Option<Failure> {
        Options::objection(self, host)
    }

    async fn attempt(&self, host: &Host) -> Result<Link, Failure> {
        let connection = attempt(self, host).await?;
        Ok(Link { connection, epoch: next_epoch(), is_given_up: AtomicBool::new(false) })
    }
}

#[async_trait]
impl Watch<Link> for Standing {
    /// Tells meanwhile whether the broker takes anything.
    async fn until_lost(&self, link: &Arc<Link>) -> String {
        let mut events = pin!(link.connection.events_listener());
        let mut look = interval(LOOK);
        let mut last = String::from("the connection is lost");
        while link.is_up() {
            tokio::select! {
                event = std::future::poll_fn(|cx| events.as_mut().poll_next(cx)) => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        self.blocked(Some(format!("the broker blocks publishing: {reason}")));
                    }
                    Some(Event::ConnectionUnblocked) => self.blocked(None),
                    Some(Event::Error(error)) => last = format!("the connection is lost: {}", explain(&error)),
                    Some(_) => {}
                    None => break,
                },
                _ = look.tick() => {}
            }
        }
        last
    }

    async fn farewell(&self, link: &Arc<Link>) {
        // What takes nothing from us does not hear our farewell either.
        let patience = if link.is_blocked() { FAREWELL } else { CONNECT };
        let _ = timeout(patience, link.connection.close(200, "".into())).await;
    }

    fn lost(&self, reason: &str) {
        self.lost(reason);
    }

    fn made(&self, link: &Arc<Link>) {
        self.made(link.epoch);
    }
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
    lapin::Connect::connect_with_config(uri, properties, tls, runtime).await.map_err(|error| {
        let mut failure = refused(&error);
        if is_reset(&error) {
            // The alert that would say so is lost with the connection more often than not.
            failure.reason.push_str(match &options.tls {
                None => "; it may require TLS (`ssl: true`) on this port",
                Some(Tls { certificate: Some(_), .. }) => "; it may reject the client certificate (`certificate-file`)",
                Some(_) => "; it may require a client certificate (`certificate-file`)",
            });
        }
        failure
    })
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
