//! Mailer: sends mails, for steps of recipes and for messages without a recipe.
//!
//! What it takes is in its contract, `contracts/mailer.json`; a message without a recipe is an object of `parameters`
//! and `content`. In the content `{payload}` and `{pprint_payload}` stand for what the previous step sent, and
//! `{environment[ID]}` for the recipe ID. What can never become a mail is refused with the reason before anything is
//! sent. When the mail server does not take a mail now, it is tried again for more than an hour. A mail server that cannot be
//! reached holds up all mails, for as long as that lasts, and they are sent in the order of delivery. That a mail was sent
//! is written down before the message is settled, so that one that comes again is not sent again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Mailboxes};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::BuiltIn;
use crate::runtime::journal::Journal;
use crate::runtime::pressure::Obstacle;
use crate::runtime::surroundings::Surroundings;
use crate::runtime::why::Why;
use crate::runtime::{Job, Outcome, Service, StepResult};
use zrecipe_broker::message::message_id;
use zrecipe_language::contract::Contracts;
use zrecipe_language::site::Plugins;
use zrecipe_language::template::{self, python};
use zrecipe_language::value::{Object, Value};

/// The queue it listens on.
const QUEUE: &str = "mailnotification";

/// How long the mail server may take for anything.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait after the first failure; four times as long after each further one.
const RETRY: Duration = Duration::from_secs(15);

/// The mail server of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The sender unless a message names one.
    pub from: Option<String>,
}

impl Server {
    /// What the plugin `smtp` of a site says.
    pub fn of_site(plugins: &Plugins<'_>) -> Option<Self> {
        let (_, settings) = plugins.iter().find(|(plugin, _)| plugin == "smtp")?;
        let find = |name: &str| settings.iter().find(|setting| setting.name == name);
        let text = |name: &str| find(name).map(|setting| setting.node.text().into_owned());
        let port = text("port")?.trim().replace('_', "").parse().ok()?;
        Some(Self { host: text("host")?, port, from: text("from") })
    }
}

/// The entry in the list of services.
pub(super) const SERVICE: BuiltIn = BuiltIn { name: "Mailer", in_runs: false, settings: None, make };

fn make(surroundings: &Surroundings<'_>) -> Result<Arc<dyn Service>, Why> {
    let server = Server::of_site(&surroundings.plugins).ok_or_else(|| {
        Why::new("the site configures no mail server").hint("add a block of plugin `smtp` with `host` and `port`")
    })?;
    Ok(Arc::new(Mailer::new(server, surroundings.journal.clone())))
}

/// The service.
#[derive(Debug)]
pub struct Mailer {
    server: Server,
    journal: Journal,
}

impl Mailer {
    /// A mailer for a server, which keeps in the journal what it has sent.
    pub fn new(server: Server, journal: Journal) -> Self {
        Self { server, journal }
    }

    /// The mail that a message asks for, and to whom it goes.
    fn compose(&self, job: &Job) -> Result<(Message, Vec<String>), String> {
        let payload = job.payload();
        let (mut parameters, environment) = match &job.envelope {
            Some(envelope) => (envelope.parameters(), envelope.environment.clone()),
            None => (plain(&payload)?, Object::new()),
        };
        if let Some(old) = parameters.shift_remove("recipient") {
            parameters.entry("recipients".to_owned()).or_insert(old);
        }
        if let Some(reason) = Contracts::built_in().of_queue(QUEUE).and_then(|contract| contract.refusal(&parameters)) {
            return Err(reason);
        }
        let from = parameters.get("from").and_then(Value::as_str).or(self.server.from.as_deref());
        let from = from.ok_or("neither the message nor the site names a sender")?;
        let from: Mailbox = from.parse().map_err(|error| format!("sender `{from}` is not a valid address: {error}"))?;
        let mut to = Vec::new();
        for text in parameters.get("recipients").map(recipients).unwrap_or_default() {
            let addresses: Mailboxes =
                text.parse().map_err(|error| format!("recipient `{text}` is not a valid address: {error}"))?;
            to.extend(addresses);
        }
        if to.is_empty() {
            return Err("there are no recipients".to_owned());
        }
        let subject = parameters.get("subject").and_then(Value::as_str).unwrap_or("mail notification via zocalo");
        let content = match parameters.get("content") {
            Some(Value::Array(parts)) => parts.iter().filter_map(Value::as_str).collect(),
            content => content.and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        let content = fill(&content, payload, environment)?;
        // Whoever gets the same mail twice can tell.
        let id = format!("<{}@zrecipe>", message_id("mail", &job.delivery.id));
        let mut mail = Message::builder().from(from).subject(subject).message_id(Some(id));
        let names = to.iter().map(|mailbox| mailbox.email.to_string()).collect();
        for mailbox in to {
            mail = mail.to(mailbox);
        }
        let mail = mail.header(ContentType::TEXT_PLAIN).body(content);
        mail.map(|mail| (mail, names)).map_err(|error| format!("the mail cannot be created: {error}"))
    }

    async fn send(&self, mail: Message, job: &Job) -> Result<(), Outcome> {
        let server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.server.host.as_str())
            .port(self.server.port)
            .timeout(Some(TIMEOUT))
            .build();
        server.send(mail).await.map(drop).map_err(|error| {
            let reason = format!("{}:{} does not accept the mail: {error}", self.server.host, self.server.port);
            if error.is_permanent() {
                Outcome::Bad { reason: reason.into() }
            } else if error.is_transient() || error.is_client() {
                Outcome::Later { reason, after: job.back_off(RETRY) }
            } else {
                // It is the server that cannot be reached, by this mail or any other.
                Outcome::HeldUp(Obstacle { by: "the mail server".to_owned(), reason })
            }
        })
    }
}

#[async_trait]
impl Service for Mailer {
    fn name(&self) -> &str {
        "Mailer"
    }

    fn serves(&self, queue: &str) -> bool {
        queue == QUEUE
    }

    fn queues(&self) -> Vec<String> {
        vec![QUEUE.to_owned()]
    }

    fn takes_plain_messages(&self) -> bool {
        true
    }

    async fn handle(&self, job: &Job) -> Outcome {
        let later = |error: std::io::Error| Outcome::of_fault(&error, RETRY);
        let (mail, to) = match self.compose(job) {
            Ok(composed) => composed,
            Err(reason) => return Outcome::Bad { reason: reason.into() },
        };
        let detail = Value::from([("recipients", to)]);
        let done = Outcome::Done { outputs: Vec::new(), result: StepResult::Succeeded, detail: detail.clone() };
        let entry = self.journal.entry(&job.delivery.id);
        match entry.result() {
            Ok(Some(_)) => return done,
            Ok(None) => {}
            Err(error) => return later(error),
        }
        // What cannot be written down is not sent.
        if let Err(error) = entry.begin() {
            return later(error);
        }
        if let Err(outcome) = self.send(mail, job).await {
            return outcome;
        }
        match entry.finish(&detail) {
            Ok(()) => done,
            Err(error) => later(error),
        }
    }

    async fn settled(&self, job: &Job) {
        let _ = self.journal.entry(&job.delivery.id).forget();
    }
}

/// The parameters of a message without a recipe.
fn plain(message: &Value) -> Result<Object, String> {
    let parameters = message.get("parameters").and_then(Value::as_object);
    let (Some(parameters), Some(content)) = (parameters, message.get("content")) else {
        return Err("a message without a recipe is an object of `parameters` and `content`".to_owned());
    };
    let mut parameters = parameters.clone();
    parameters.entry("content".to_owned()).or_insert_with(|| content.clone());
    Ok(parameters)
}

/// The addresses that a parameter names; of groups those of the selected one and of `all`, each once.
fn recipients(value: &Value) -> Vec<String> {
    let list = |value: &Value| -> Vec<String> {
        match value {
            Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
            other => other.as_str().filter(|text| !text.is_empty()).map(str::to_owned).into_iter().collect(),
        }
    };
    let Value::Object(groups) = value else { return list(value) };
    let selected = groups.get("select").and_then(Value::as_str).and_then(|name| groups.get(name));
    let mut all: Vec<String> = [selected, groups.get("all")].into_iter().flatten().flat_map(list).collect();
    all.sort();
    all.dedup();
    all
}

/// The content with its placeholders filled in.
fn fill(content: &str, payload: Value, environment: Object) -> Result<String, String> {
    let lines = match &payload {
        Value::Array(items) => items.iter().map(python::str).collect::<Vec<_>>().join("\n"),
        other => python::pformat(other),
    };
    let values = [
        ("payload".to_owned(), payload),
        ("pprint_payload".to_owned(), Value::from(lines)),
        ("environment".to_owned(), Value::Object(environment)),
    ];
    let template = template::parse(content).map_err(|error| {
        let place = content.get(error.span.clone()).unwrap_or_default();
        format!("parameter `content` has a malformed placeholder: `{place}`")
    })?;
    let filled = template.apply(&Object::from_iter(values)).map_err(|error| {
        let place = content.get(error.span.clone()).unwrap_or_default();
        format!("`{place}` in parameter `content`: {error}")
    })?;
    Ok(python::str(&filled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_broker::message::Destination;
    use zrecipe_broker::transport::Delivery;
    use zrecipe_language::syntax::json::read_value;

    fn job(message: &str) -> Job {
        let delivery = Delivery {
            tag: 0,
            id: "it".to_owned(),
            has_own_id: true,
            source: Destination::Queue(QUEUE.to_owned()),
            properties: Object::new(),
            headers: Object::new(),
            body: message.as_bytes().to_vec(),
            deliveries: 1,
            retries: 0,
            returns: 0,
            came_before: false,
            sent: None,
        };
        Job { delivery, envelope: None }
    }

    #[test]
    fn mails_are_what_messages_ask_for_or_nothing() {
        let server = Server { host: "localhost".to_owned(), port: 25, from: Some("z@example.org".to_owned()) };
        let mailer = Mailer::new(server, Journal::new("journal"));
        let rows = [
            (r#"{"recipients": "a@example.org"}"#, r#""hello""#, Ok("a@example.org: hello")),
            (
                r#"{"recipient": "Ä <a@example.org>, b@example.org"}"#,
                r#"["a", "b"]"#,
                Ok("a@example.org b@example.org: ab"),
            ),
            (
                r#"{"recipients": {"select": "i03", "i03": ["b@example.org", "a@example.org"], "all": "a@example.org"}}"#,
                r#""{unknown} {{}} {payload[parameters][n]}""#,
                Ok("a@example.org b@example.org: {unknown} {} 7"),
            ),
            (r#"{"recipients": {"select": "i04", "i03": "a@example.org"}}"#, r#""x""#, Err("there are no recipients")),
            (r#"{"recipients": "nobody"}"#, r#""x""#, Err("recipient `nobody` is not a valid address")),
            (r#"{"recipients": "a@example.org\nBcc: b@example.org"}"#, r#""x""#, Err("recipient `a@example.org")),
            (r#"{"recipients": ["a@example.org"], "subject": "x\ny"}"#, r#""x""#, Err("parameter `subject` ")),
            (r#"{"recipients": "a@example.org", "from": "a b"}"#, r#""x""#, Err("sender `a b` is not a valid address")),
            (
                r#"{"recipients": "a@example.org"}"#,
                r#""{""#,
                Err("parameter `content` has a malformed placeholder: `{`"),
            ),
            (r#"{"recipients": "a@example.org"}"#, r#""{payload.x}""#, Err("parameter `content` has a malformed")),
            (r#"{"recipients": "a@example.org"}"#, r#""{}""#, Err("parameter `content` has a malformed")),
            (r#"{"recipients": "a@example.org"}"#, r#""{\"a\": 1}""#, Err("`{\"a\": 1}` in parameter `content`: ")),
            (
                r#"{"recipients": "a@example.org"}"#,
                r#""{payload[missing]}""#,
                Err("`{payload[missing]}` in parameter `content`: "),
            ),
            (r#"{"recipients": "a@example.org"}"#, "5", Err("parameter `content` is `5`, not a string or a list")),
            (r#"{}"#, r#""x""#, Err("parameter `recipients` is missing")),
            ("[]", r#""x""#, Err("a message without a recipe is an object of `parameters` and `content`")),
        ];
        for (parameters, content, expected) in rows {
            let parameters = parameters.replacen('{', r#"{"n": 7, "#, 1).replace(", }", "}");
            let composed = mailer.compose(&job(&format!(r#"{{"parameters": {parameters}, "content": {content}}}"#)));
            match (composed, expected) {
                (Ok((mail, to)), Ok(expected)) => {
                    let mail = String::from_utf8(mail.formatted()).expect("is text");
                    let (_, body) = mail.split_once("\r\n\r\n").expect("a head and a body");
                    assert_eq!(format!("{}: {body}", to.join(" ")), expected);
                }
                (Err(reason), Err(expected)) => assert!(reason.starts_with(expected), "{reason}"),
                (composed, _) => panic!("{parameters}: {composed:?}"),
            }
        }
    }

    #[test]
    fn payloads_are_printed_as_the_reference_prints_them() {
        let list = read_value(br#"["one", "two"]"#).expect("is JSON");
        assert_eq!(fill("{pprint_payload}", list, Object::new()), Ok("one\ntwo".to_owned()));
        let list = read_value(br#"[{"a": 1}, 2]"#).expect("is JSON");
        assert_eq!(fill("{pprint_payload}", list, Object::new()), Ok("{'a': 1}\n2".to_owned()));
        let environment = Object::from_iter([("ID".to_owned(), Value::from("it"))]);
        assert_eq!(fill("{environment[ID]}: {payload}", Value::Null, environment), Ok("it: None".to_owned()));
    }
}
