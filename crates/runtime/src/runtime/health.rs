//! How a process of services is, over HTTP: `/metrics` for Prometheus, `/livez` and `/readyz` for whoever starts it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::runtime::metrics::Metrics;
use crate::runtime::status::{Board, Status, Trouble};
use zrecipe_broker::transport::Connection;
use zrecipe_language::report::printable;

/// Maximum time for the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum time for a request and its answer, and so for a connection: each carries one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum connections at a time; further ones wait. Services need the descriptors for their work.
const MAX_CONNECTIONS: usize = 32;

/// Pause after a connection could not be accepted, for want of descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What there is to tell.
pub struct Health {
    /// Its numbers.
    pub metrics: Arc<Metrics>,
    /// Its instances.
    pub boards: Vec<Board>,
    /// The connection to the broker, as soon as there is one.
    pub broker: Arc<OnceLock<Broker>>,
}

/// A connection, and what the broker is called.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Where it is.
    pub place: String,
    /// How it is.
    pub connection: watch::Receiver<Connection>,
}

impl Broker {
    /// Why no messages can be dealt with, if that is so.
    fn obstacle(&self) -> Option<String> {
        let (what, reason, since) = match &*self.connection.borrow() {
            Connection::Up => return None,
            Connection::Lost { reason, since } => ("not connected to", plain(reason), *since),
            Connection::Blocked { reason, since } => ("blocked by", plain(reason), *since),
        };
        Some(format!("{what} {} since {}: {reason}\n", self.place, clock(since)))
    }

    /// Tells of a connection that is lost or blocked, and of one that is there again, in the log and in the numbers.
    pub async fn follow(mut self, metrics: Arc<Metrics>) {
        let place = &self.place;
        metrics.connected(false);
        let mut before = Connection::Up;
        loop {
            let now = self.connection.borrow_and_update().clone();
            if std::mem::discriminant(&before) != std::mem::discriminant(&now) {
                match before {
                    Connection::Up => {}
                    Connection::Blocked { since, .. } => {
                        tracing::info!("{place} is no longer blocked, after {} s", ago(since).as_secs());
                    }
                    Connection::Lost { since, .. } => {
                        tracing::info!("connected again to {place} after {} s", ago(since).as_secs());
                        metrics.connected(true);
                    }
                }
                match &now {
                    Connection::Up => {}
                    Connection::Blocked { reason, .. } => tracing::warn!("blocked by {place}: {reason}; waiting"),
                    Connection::Lost { reason, .. } => {
                        tracing::warn!("lost {place}: {reason}; reconnecting");
                        metrics.disconnected();
                    }
                }
                metrics.blocked(matches!(now, Connection::Blocked { .. }));
                before = now;
            }
            if self.connection.changed().await.is_err() {
                return;
            }
        }
    }
}

/// How an instance is that takes no messages: why, and when that may change, if it waits.
fn told(board: &Board) -> String {
    let (service, status) = (&board.identity().service, board.status().text());
    match board.trouble() {
        None => format!("{service}: {status}\n"),
        Some(Trouble { by: Some(by), reason, again }) => {
            format!("{service}: held up by {}: {}; next attempt at {}\n", plain(&by), plain(&reason), clock(again))
        }
        Some(Trouble { by: None, reason, again }) => {
            format!("{service}: {status}: {}; next attempt at {}\n", plain(&reason), clock(again))
        }
    }
}

/// A reason on one line.
fn plain(reason: &str) -> String {
    printable(reason, usize::MAX)
}

fn clock(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.0}"))
}

fn ago(time: SystemTime) -> Duration {
    time.elapsed().unwrap_or_default()
}

impl Health {
    /// Whether all instances take messages and make progress, and what those do that don't.
    fn readiness(&self) -> (StatusCode, String) {
        if let Some(text) = self.broker.get().and_then(Broker::obstacle) {
            return (StatusCode::SERVICE_UNAVAILABLE, text);
        }
        let busy: Vec<String> = self
            .boards
            .iter()
            .filter_map(|board| match board.status() {
                Status::Idle | Status::Processing if board.trouble().is_none() => {
                    board.stall().map(|why| format!("{}: stalled: {why}\n", board.identity().service))
                }
                _ => Some(told(board)),
            })
            .collect();
        if busy.is_empty() {
            (StatusCode::OK, "ready\n".to_owned())
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, busy.concat())
        }
    }
}

/// Answers at an address; the one that was chosen, and what to wait for.
///
/// # Errors
/// The address is taken or is not ours.
pub async fn serve(
    address: SocketAddr,
    health: Health,
) -> std::io::Result<(SocketAddr, impl Future<Output = std::io::Result<()>>)> {
    const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let health = Arc::new(health);
    let (metrics, ready) = (Arc::clone(&health), health);
    let router = Router::new()
        .route("/metrics", get(async move || ([(header::CONTENT_TYPE, METRICS)], metrics.metrics.text())))
        .route("/livez", get(async || "alive\n"))
        // The liveness check of the Python services has no path.
        .route("/", get(async || "alive\n"))
        .route("/readyz", get(async move || ready.readiness()));
    Ok((address, answer(listener, router)))
}

/// Answers without end.
async fn answer(listener: TcpListener, router: Router) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection to the metrics cannot be accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).keep_alive(false);
            // Whoever asks badly or slowly sees it by the connection.
            let _ = timeout(CONNECTION_TIMEOUT, server.serve_connection(TokioIo::new(stream), service)).await;
            drop(place);
        });
    }
}
