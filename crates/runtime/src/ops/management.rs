//! RabbitMQ's management API: what AMQP does not tell. The plugin `rabbitmqapi` of a site says where it is.
//!
//! Several addresses, with commas between them, are those of the nodes of one cluster: the first that answers is asked.
//!
//! Format: <https://www.rabbitmq.com/docs/http-api-reference>.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;

use crate::http::{Client, Method, StatusCode, escape};
use zrecipe_broker::transport::{Error as TransportError, Transport, Waiting};
use zrecipe_language::site::Plugins;
use zrecipe_language::value::Value;

/// The API of a broker.
pub struct Management {
    vhost: String,
    login: String,
    clients: Vec<Client>,
}

/// Why there is no answer. The address is without credentials.
#[derive(Debug, thiserror::Error)]
#[error("the management API at {place}: {reason}")]
pub struct Error {
    place: String,
    reason: String,
    status: Option<StatusCode>,
    remedies: &'static Remedies,
}

/// What to do about errors of an API.
#[derive(Debug)]
pub(crate) struct Remedies {
    pub(crate) forbidden: &'static str,
    pub(crate) missing: &'static str,
    pub(crate) silence: &'static str,
}

static RABBITMQ: Remedies = Remedies {
    forbidden: "`username` and `password` of plugin `rabbitmqapi` name a user with the tag `administrator`, or \
                `monitoring` to look only, and with permissions in the virtual host",
    missing: "`vhost` of plugin `pika` or `rabbitmqapi` names a virtual host that does not exist, or `base_url` is \
              wrong; list virtual hosts with `rabbitmqctl list_vhosts`",
    silence: "check that the broker is running with the plug-in `rabbitmq_management` (`rabbitmq-plugins list`), and \
              check `base_url` of plugin `rabbitmqapi`",
};

impl Error {
    /// An error of the API at a place.
    pub(crate) fn new(place: &str, reason: String, status: Option<StatusCode>) -> Self {
        Self { place: place.to_owned(), reason, status, remedies: &RABBITMQ }
    }

    /// The same with the remedies of another API.
    pub(crate) fn with_remedies(self, remedies: &'static Remedies) -> Self {
        Self { remedies, ..self }
    }

    /// What to do about it.
    pub fn remedy(&self) -> Option<&'static str> {
        match () {
            () if self.is_forbidden() => Some(self.remedies.forbidden),
            () if self.is_missing() => Some(self.remedies.missing),
            () if self.is_silence() => Some(self.remedies.silence),
            () => None,
        }
    }

    /// Whether there is no such thing.
    pub fn is_missing(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }

    /// Whether nobody answers.
    pub fn is_silence(&self) -> bool {
        self.status.is_none()
    }

    /// Whether the API has understood and does not do it.
    pub fn is_refusal(&self) -> bool {
        self.status == Some(StatusCode::BAD_REQUEST)
    }

    /// Whether the user may not do it.
    pub fn is_forbidden(&self) -> bool {
        matches!(self.status, Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
    }
}

/// What the API says.
#[derive(Debug)]
pub struct Answer {
    /// The content: null where there is none.
    pub content: Value,
    /// When it was given, by the broker's clock.
    pub date: Option<String>,
}

/// A queue as the broker counts it. Numbers are statistics, [`STATISTICS_AGE`] old or older, unless `is_current` says so of
/// two of them. What a broker does not say is none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// How many messages it holds, delivered ones included.
    pub messages: i64,
    /// How many of them wait to be delivered.
    pub ready: i64,
    /// How many of them consumers hold.
    pub unacknowledged: Option<i64>,
    /// How many consumers it has.
    pub consumers: Option<i64>,
    /// Messages a second that come.
    pub incoming: Option<f64>,
    /// Messages a second that are dealt with.
    pub outgoing: Option<f64>,
    /// When its oldest message was sent.
    pub oldest: Option<SystemTime>,
    /// How often a message may come back before it dies of it.
    pub limit: Option<u32>,
    /// Whether `ready` and `consumers` are the broker's own counts of this moment, and no statistics.
    pub is_current: bool,
}

/// How old the statistics of the management API are: RabbitMQ collects them once in this time unless
/// `collect_statistics_interval` sets another one, and no answer says which.
pub const STATISTICS_AGE: Duration = Duration::from_secs(5);

/// Replaces what statistics say about ready messages and consumers with the broker's own counts of this moment. Queues that
/// have been deleted meanwhile go; those that cannot be queried keep their statistics.
pub async fn refresh(transport: &dyn Transport, queues: &mut Vec<Queue>) {
    /// How often a queue is queried that is said to be empty: a busy RabbitMQ says 0 of one that does not answer at once.
    const TIMES: usize = 3;
    let mut wanted: Vec<usize> = (0..queues.len()).collect();
    let mut gone = Vec::new();
    for time in 1..=TIMES {
        let names: Vec<String> = wanted.iter().map(|at| queues[*at].name.clone()).collect();
        let found = transport.waiting_in(&names).await;
        let mut again = Vec::new();
        for (at, found) in wanted.into_iter().zip(found) {
            match found {
                Ok(found) if found.messages == 0 && queues[at].ready > 0 && time < TIMES => again.push(at),
                Ok(found) => queues[at].count(found),
                Err(TransportError::NoSuchQueue(_)) => gone.push(at),
                Err(_) => {}
            }
        }
        wanted = again;
    }
    gone.sort_unstable();
    gone.into_iter().rev().for_each(|at| _ = queues.remove(at));
}

impl Queue {
    /// Takes the broker's own counts.
    fn count(&mut self, found: Waiting) {
        self.ready = i64::try_from(found.messages).unwrap_or(i64::MAX);
        self.consumers = found.consumers.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        // A consumer that has gone holds nothing, though it is listed for some seconds.
        if self.consumers == Some(0) {
            self.unacknowledged = self.unacknowledged.map(|_| 0);
        }
        self.messages = self.ready.saturating_add(self.unacknowledged.unwrap_or(0));
        self.is_current = true;
    }

    /// Reads what the API says of a queue.
    fn read(said: &Value) -> Option<Self> {
        /// What RabbitMQ from version 4 on puts where nothing is said.
        const DEFAULT_LIMIT: u32 = 20;
        let number = |key: &str| said.get(key).and_then(Value::as_i64);
        let rate = |key: &str| match said.get("message_stats")?.get(&format!("{key}_details"))?.get("rate")? {
            Value::Number(rate) => Some(rate.as_f64()),
            _ => None,
        };
        let limits = [("arguments", "x-delivery-limit"), ("effective_policy_definition", "delivery-limit")];
        let limits = limits.iter().filter_map(|(part, key)| said.get(part)?.get(key)?.as_i64());
        let limit = limits.min().map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
        let is_quorum = said.get("type").and_then(Value::as_str) == Some("quorum");
        // Only acknowledged ones count, and those for which nobody wants to be asked.
        let outgoing = ["ack", "deliver_no_ack", "get_no_ack"].iter().filter_map(|key| rate(key)).reduce(|a, b| a + b);
        let oldest = number("head_message_timestamp").and_then(|seconds| u64::try_from(seconds).ok());
        Some(Self {
            name: said.get("name")?.as_str()?.to_owned(),
            messages: number("messages").unwrap_or(0),
            ready: number("messages_ready").unwrap_or(0),
            unacknowledged: number("messages_unacknowledged"),
            consumers: number("consumers"),
            incoming: rate("publish"),
            outgoing,
            oldest: oldest.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))),
            limit: if is_quorum { limit.or(Some(DEFAULT_LIMIT)) } else { None },
            is_current: false,
        })
    }
}

impl Management {
    /// The API that a site names; nothing where it names none. It is about this virtual host where the site names no
    /// other.
    ///
    /// # Errors
    /// What the site says is no address.
    pub fn of_site(plugins: &Plugins<'_>, vhost: &str) -> Result<Option<Self>, Error> {
        let Some((_, settings)) = plugins.iter().find(|(plugin, _)| plugin == "rabbitmqapi") else { return Ok(None) };
        let text = |name: &str| {
            let found = settings.iter().find(|setting| setting.name == name);
            found.map(|setting| setting.node.text().into_owned())
        };
        let base = text("base_url").unwrap_or_default();
        let client = |base: &str| Client::new(base).ok().filter(|_| base.starts_with("http"));
        let clients = base.split(',').map(|base| client(base.trim())).collect::<Option<Vec<Client>>>();
        let clients = clients.ok_or_else(|| {
            let reason = "`base_url` of plugin `rabbitmqapi` is not a URL such as `http://host:15672/api`, or several \
                          separated by commas";
            Error::new("its address", reason.to_owned(), None)
        })?;
        let login = format!("{}:{}", text("username").unwrap_or_default(), text("password").unwrap_or_default());
        let login = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login));
        let vhost = text("vhost").unwrap_or_else(|| vhost.to_owned());
        Ok(Some(Self { vhost, login, clients }))
    }

    /// Where the API is.
    pub fn place(&self) -> String {
        self.clients.iter().map(Client::base).collect::<Vec<_>>().join(", ")
    }

    /// The virtual host that it is about.
    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// What there is at a path below the address.
    ///
    /// # Errors
    /// There is no answer, or not this.
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        Ok(self.look(path).await?.content)
    }

    /// The same, with the time at the broker.
    ///
    /// # Errors
    /// As for [`Management::get`].
    pub async fn look(&self, path: &str) -> Result<Answer, Error> {
        self.ask(Method::GET, path, None).await
    }

    /// Makes what is at a path so.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub async fn put(&self, path: &str, body: &Value) -> Result<(), Error> {
        self.ask(Method::PUT, path, Some(body)).await.map(drop)
    }

    /// Adds to what is at a path, or has something done there: what is said to it.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        Ok(self.ask(Method::POST, path, Some(body)).await?.content)
    }

    /// Removes what is at a path.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub async fn delete(&self, path: &str) -> Result<(), Error> {
        self.ask(Method::DELETE, path, None).await.map(drop)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Error> {
        let login = [("authorization", self.login.clone())];
        let mut lost = Vec::new();
        let (client, answer) = 'answered: {
            for client in &self.clients {
                match client.ask(method.clone(), path, &login, body).await {
                    Ok(answer) => break 'answered (client, answer),
                    Err(error) => lost.push(error),
                }
            }
            let (place, reason) =
                lost.into_iter().map(|error| (error.place, error.reason)).unzip::<_, _, Vec<_>, Vec<_>>();
            return Err(Error::new(&place.join(", "), reason.join("; "), None));
        };
        let wrong = |reason: String, status| Error::new(client.base(), reason, status);
        let status = answer.status();
        if !answer.is_success() {
            let said = answer.value().ok().and_then(|said| Some(said.get("reason")?.as_str()?.to_owned()));
            let said = said.filter(|_| status != StatusCode::UNAUTHORIZED);
            let said = said.map_or(String::new(), |said| format!(": {said}"));
            return Err(wrong(format!("it answers {status}{said}"), Some(status)));
        }
        let content = if answer.is_empty() { Ok(Value::Null) } else { answer.value() };
        Ok(Answer { content: content.map_err(|reason| wrong(reason, None))?, date: answer.date().map(str::to_owned) })
    }

    /// The queues of the virtual host. Their numbers are statistics, [`STATISTICS_AGE`] old or older; [`refresh`] queries
    /// those that must not be.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        const COLUMNS: &str = "name,type,messages,messages_ready,messages_unacknowledged,consumers,message_stats,\
                               head_message_timestamp,arguments,effective_policy_definition";
        let path = format!("queues/{}?columns={COLUMNS}", escape(&self.vhost));
        let answer = self.get(&path).await?;
        let mut queues: Vec<Queue> = answer.as_array().unwrap_or_default().iter().filter_map(Queue::read).collect();
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(queues)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_language::syntax::json::read_value;

    #[test]
    fn queues_are_read_as_the_api_writes_them() {
        let whole = r#"{"name": "q", "type": "quorum", "messages": 5, "messages_ready": 3, "messages_unacknowledged": 2,
            "consumers": 1, "head_message_timestamp": 100, "arguments": {"x-delivery-limit": 5},
            "effective_policy_definition": {"delivery-limit": 3}, "message_stats": {"publish_details": {"rate": 1.5},
            "ack_details": {"rate": 2.0}, "get_no_ack_details": {"rate": 0.5}, "ack": 9}}"#;
        let read = |text: &str| Queue::read(&read_value(text.as_bytes()).expect("JSON"));
        let expected = Queue {
            name: "q".to_owned(),
            messages: 5,
            ready: 3,
            unacknowledged: Some(2),
            consumers: Some(1),
            incoming: Some(1.5),
            outgoing: Some(2.5),
            oldest: Some(UNIX_EPOCH + Duration::from_secs(100)),
            limit: Some(3),
            is_current: false,
        };
        assert_eq!(read(whole), Some(expected));
        // What has just been made has no numbers yet.
        let named = |limit| Some(Queue { name: "q".to_owned(), limit, ..Queue::default() });
        assert_eq!(read(r#"{"name": "q", "type": "classic", "arguments": {"x-delivery-limit": 5}}"#), named(None));
        assert_eq!(read(r#"{"name": "q", "type": "quorum"}"#), named(Some(20)));
        assert_eq!(read("{}"), None);
    }
}
