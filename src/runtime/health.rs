//! How a process of services is, over HTTP: `/metrics` for Prometheus, `/livez` and `/readyz` for whoever starts it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::runtime::metrics::Metrics;
use crate::runtime::status::{Board, Status};

/// What there is to tell.
pub struct Health {
    /// Its numbers.
    pub metrics: Arc<Metrics>,
    /// Its instances.
    pub boards: Vec<Board>,
}

impl Health {
    /// Whether all instances take messages, and what those do that don't.
    fn readiness(&self) -> (StatusCode, String) {
        let busy: Vec<String> = self
            .boards
            .iter()
            .filter(|board| !matches!(board.status(), Status::Idle | Status::Processing))
            .map(|board| format!("{}: {}\n", board.identity().service, board.status().text()))
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
        .route("/readyz", get(async move || ready.readiness()));
    Ok((address, async move { axum::serve(listener, router).await }))
}
