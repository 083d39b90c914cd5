//! RabbitMQ's management API: what AMQP does not tell. The plugin `rabbitmqapi` of a site says where it is.
//!
//! Format: <https://www.rabbitmq.com/docs/http-api-reference>.

use base64::Engine as _;

use crate::http::{self, Client, Method, escape};
use crate::site::Plugins;
use crate::value::Value;

/// The API of a broker.
pub struct Management {
    vhost: String,
    login: String,
    client: Client,
}

/// Why there is no answer. The address is without credentials.
#[derive(Debug, thiserror::Error)]
#[error("the management API at {place}: {reason}")]
pub struct Error {
    place: String,
    reason: String,
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        Self { place: error.place, reason: error.reason }
    }
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
        let base = text("base_url").unwrap_or_default();
        let client = Some(&base).filter(|base| base.starts_with("http")).and_then(|base| Client::new(base).ok());
        let client = client.ok_or_else(|| Error {
            place: "its address".to_owned(),
            reason: "`base_url` of plugin `rabbitmqapi` is no URL such as `http://host:15672/api`".to_owned(),
        })?;
        let login = format!("{}:{}", text("username").unwrap_or_default(), text("password").unwrap_or_default());
        let login = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login));
        let vhost = text("vhost").unwrap_or_else(|| "/".to_owned());
        Ok(Some(Self { vhost, login, client }))
    }

    async fn get(&self, path: &str) -> Result<Value, Error> {
        let answer = self.client.ask(Method::GET, path, &[("authorization", self.login.clone())], None).await?;
        let wrong = |reason: String| Error { place: self.client.base().to_owned(), reason };
        if !answer.is_success() {
            return Err(wrong(format!("it answers {}", answer.status())));
        }
        answer.value().map_err(wrong)
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
