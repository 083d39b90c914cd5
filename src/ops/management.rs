//! RabbitMQ's management API: what AMQP does not tell. The plugin `rabbitmqapi` of a site says where it is.
//!
//! Format: <https://www.rabbitmq.com/docs/http-api-reference>.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderValue, Request, Uri, header};
use base64::Engine as _;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::site::Plugins;
use crate::syntax::json::read_value;
use crate::value::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that is read of an answer, in bytes.
const MOST: usize = 64 << 20;

/// The API of a broker.
pub struct Management {
    base: String,
    vhost: String,
    authorization: HeaderValue,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// Why there is no answer. The address is without credentials.
#[derive(Debug, thiserror::Error)]
#[error("the management API at {place}: {reason}")]
pub struct Error {
    place: String,
    reason: String,
}

/// A queue as the broker counts it; the numbers may lag by some seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// How many messages it holds, delivered ones included.
    pub messages: i64,
    /// How many consumers it has.
    pub consumers: i64,
}

impl Management {
    /// The API that a site names; nothing where it names none.
    ///
    /// # Errors
    /// What the site says is no address.
    pub fn of_site(plugins: &Plugins<'_>) -> Result<Option<Self>, Error> {
        let Some((_, settings)) = plugins.iter().find(|(plugin, _)| plugin == "rabbitmqapi") else { return Ok(None) };
        let text = |name: &str| {
            let found = settings.iter().find(|setting| setting.name == name);
            found.map(|setting| setting.node.text().into_owned())
        };
        let base = text("base_url").unwrap_or_default().trim_end_matches('/').to_owned();
        let wrong = |reason: &str| Error { place: "its address".to_owned(), reason: reason.to_owned() };
        if base.parse::<Uri>().is_err() || base.contains('@') || !base.starts_with("http") {
            return Err(wrong("`base_url` of plugin `rabbitmqapi` is no URL such as `http://host:15672/api`"));
        }
        let login = format!("{}:{}", text("username").unwrap_or_default(), text("password").unwrap_or_default());
        let login = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login));
        let mut authorization = HeaderValue::from_str(&login).map_err(|_| wrong("the login cannot be sent"))?;
        authorization.set_sensitive(true);
        let connector = HttpsConnectorBuilder::new().with_native_roots().map_err(|error| wrong(&error.to_string()))?;
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let vhost = text("vhost").unwrap_or_else(|| "/".to_owned());
        Ok(Some(Self { base, vhost, authorization, client }))
    }

    async fn get(&self, path: &str) -> Result<Value, Error> {
        let wrong = |reason: String| Error { place: self.base.clone(), reason };
        let request = Request::get(format!("{}/{path}", self.base)).header(header::AUTHORIZATION, &self.authorization);
        let request = request.body(Empty::new()).map_err(|error| wrong(error.to_string()))?;
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request)).await;
        let answer = answer.map_err(|_| wrong("it does not answer".to_owned()))?;
        let answer = answer.map_err(|error| wrong(chain(&error)))?;
        if !answer.status().is_success() {
            return Err(wrong(format!("it answers {}", answer.status())));
        }
        let body = Limited::new(answer.into_body(), MOST).collect().await.map_err(|error| wrong(error.to_string()))?;
        read_value(&body.to_bytes()).map_err(|reason| wrong(format!("its answer is {reason}")))
    }

    /// The queues of the virtual host.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        let path = format!("queues/{}?columns=name,messages,consumers", escape(&self.vhost));
        let answer = self.get(&path).await?;
        let number = |queue: &Value, key: &str| queue.get(key).and_then(Value::as_i64).unwrap_or(0);
        let queues = answer.as_array().unwrap_or_default().iter().filter_map(|queue| {
            let name = queue.get("name")?.as_str()?.to_owned();
            Some(Queue { name, messages: number(queue, "messages"), consumers: number(queue, "consumers") })
        });
        let mut queues: Vec<Queue> = queues.collect();
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(queues)
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
fn escape(name: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
