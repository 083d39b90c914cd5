//! Asks servers over HTTP that answer with JSON: over TCP, in TLS, or over a Unix socket (`unix:/path`).

use std::path::PathBuf;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, DATE, HOST, HeaderValue};
pub use axum::http::{Method, StatusCode};
use axum::http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::time::timeout;

use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::Value;

/// How long an answer may take, unless it is said otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most that is read of an answer, in bytes.
const MOST: usize = 64 << 20;

/// A server that is asked.
pub struct Client {
    base: String,
    way: Way,
    patience: Duration,
}

enum Way {
    Network(Box<hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>>),
    Socket(PathBuf),
}

/// What a server said.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    date: Option<String>,
    body: Bytes,
}

/// Why there is no answer. No message has a credential in it.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct Error {
    /// Where it should have come from.
    pub place: String,
    /// What happened.
    pub reason: String,
}

fn network(connector: HttpsConnector<HttpConnector>) -> Way {
    Way::Network(Box::new(hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector)))
}

impl Client {
    /// The server at an address: `http://host:80/base`, `https://…` or `unix:/socket`.
    ///
    /// # Errors
    /// It is no address, or has credentials in it.
    pub fn new(address: &str) -> Result<Self, String> {
        let base = address.trim_end_matches('/').to_owned();
        let way = match base.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Way::Socket(PathBuf::from(path)),
            _ if base.parse::<Uri>().is_err() || base.contains('@') || !base.starts_with("http") => {
                return Err("it is not a URL such as `http://host:80`".to_owned());
            }
            _ => {
                let connector = HttpsConnectorBuilder::new().with_native_roots().map_err(|error| error.to_string())?;
                network(connector.https_or_http().enable_http1().build())
            }
        };
        Ok(Self { base, way, patience: PATIENCE })
    }

    /// The server at an address whose certificate one of these authorities (PEM) has issued.
    ///
    /// # Errors
    /// A certificate cannot be used.
    pub fn trusting(address: &str, authorities: String) -> Result<Self, String> {
        let config = zrecipe_broker::trust::client_config(authorities)?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        Ok(Self { base: address.trim_end_matches('/').to_owned(), way: network(connector), patience: PATIENCE })
    }

    /// The address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Waits so long for an answer.
    pub fn wait(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The answer to a question below the address, with headers that nobody else may see.
    ///
    /// # Errors
    /// There is none.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        login: &[(&'static str, String)],
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        let wrong = |reason: String| Error { place: self.base.clone(), reason };
        let base = if matches!(self.way, Way::Socket(_)) { "" } else { &self.base };
        let mut request = Request::builder().method(method).uri(format!("{base}/{path}"));
        for (name, value) in login {
            let mut value =
                HeaderValue::from_str(value).map_err(|_| wrong(format!("the header `{name}` cannot be sent")))?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(body.map(Value::to_json).unwrap_or_default()));
        let request = request.body(body).map_err(|error| wrong(error.to_string()))?;
        let answer = timeout(self.patience, self.send(request)).await;
        answer.map_err(|_| wrong("it does not answer".to_owned()))?.map_err(wrong)
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let answer = match &self.way {
            Way::Network(client) => client.request(request).await.map_err(|error| chain(&error))?,
            Way::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| error.to_string())?;
                let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
                let (mut sender, connection) = connected.map_err(|error| chain(&error))?;
                tokio::spawn(connection);
                request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
                sender.send_request(request).await.map_err(|error| chain(&error))?
            }
        };
        let status = answer.status();
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
        let body = Limited::new(Body::new(answer.into_body()), MOST).collect().await;
        Ok(Answer { status, date, body: body.map_err(|error| error.to_string())?.to_bytes() })
    }
}

impl Answer {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the server has done what it was asked.
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// When it was given, by the server's clock.
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// What it says.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn value(&self) -> Result<Value, String> {
        read_value(&self.body).map_err(|reason| format!("its answer is {reason}"))
    }
}

/// An error with what it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A name as a part of a URL.
pub fn escape(name: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
