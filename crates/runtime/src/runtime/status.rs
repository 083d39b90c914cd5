//! What an instance of a service tells all who listen about how it is, in the form of `workflows` 3.3.
//!
//! A broadcast to the topic `transient.status` on every change and every six seconds; being idle counts only after
//! half a second. `utilization` says which part of the last ten seconds was spent in which status.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::runtime::{Event, Traffic, facts};
use zrecipe_broker::message::{Destination, Outgoing};
use zrecipe_broker::transport::Transport;
use zrecipe_language::value::{Object, Value};

/// The topic.
pub const TOPIC: &str = "transient.status";

/// How often the status is told when it does not change.
const INTERVAL: Duration = Duration::from_secs(6);
/// How often it is tried where the broker does not take it: somebody may mend that.
const REFUSED_INTERVAL: Duration = Duration::from_secs(20);
/// How long an instance must be idle before it says so.
const IDLE_HOLD: Duration = Duration::from_millis(500);
/// How long a broadcast is of interest.
const EXPIRATION: Duration = Duration::from_secs(15);
/// What `utilization` is about.
const PERIOD: Duration = Duration::from_secs(10);

/// An instance that settles messages at least so often makes progress, whatever else it holds.
const STALL: Duration = Duration::from_secs(60);

/// What an instance is doing; the codes are those of `workflows.services.common_service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It has been made.
    New,
    /// It subscribes.
    Starting,
    /// It waits for messages.
    Idle,
    /// It deals with messages.
    Processing,
    /// It finishes what it has begun.
    ShuttingDown,
    /// It has finished.
    End,
    /// It has failed; it may be started again.
    Error,
    /// Its process is about to end.
    Teardown,
}

impl Status {
    /// The number on the wire.
    pub fn code(self) -> i64 {
        match self {
            Self::New => 0,
            Self::Starting => 1,
            Self::Idle => 2,
            Self::Processing => 4,
            Self::ShuttingDown => 5,
            Self::End => 6,
            Self::Error => 7,
            Self::Teardown => -2,
        }
    }

    /// The words on the wire.
    pub fn text(self) -> &'static str {
        match self {
            Self::New => "constructing",
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Processing => "processing",
            Self::ShuttingDown => "shutting down",
            Self::End | Self::Teardown => "shutdown",
            Self::Error => "error",
        }
    }
}

/// Hears what happens in all instances.
pub type Observer = Arc<dyn Fn(&Identity, &Event) + Send + Sync>;

/// Who an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The host's name turned round and the process, `uk.ac.diamond.ws123.4567`; a further instance of the same process
    /// adds its number, `uk.ac.diamond.ws123.4567-2`.
    pub host: String,
    /// The service's name for people.
    pub service: String,
    /// The name by which it is started and stopped.
    pub class: String,
    /// What the user calls this instance.
    pub tag: Option<String>,
}

/// What this machine calls itself.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// `uk.ac.diamond.ws123` for `ws123.diamond.ac.uk`.
pub fn reversed(hostname: &str) -> String {
    hostname.split('.').rev().collect::<Vec<_>>().join(".")
}

/// The identity on the wire of instance `number` (from 1) of this process.
pub fn host_id(hostname: &str, number: usize) -> String {
    let (host, process) = (reversed(hostname), std::process::id());
    if number > 1 { format!("{host}.{process}-{number}") } else { format!("{host}.{process}") }
}

/// What is known of an instance at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    status: Status,
    /// The recipe of the message that is dealt with.
    recipe_id: Option<String>,
    /// What keeps it from its work.
    trouble: Option<Trouble>,
}

impl State {
    /// The words on the wire.
    fn text(&self) -> String {
        match self.trouble.as_ref().and_then(|trouble| trouble.by.as_ref()) {
            Some(by) => format!("held up by {by}"),
            None => self.status.text().to_owned(),
        }
    }
}

/// Why an instance does not work, and when that is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What holds up its messages, where that is the trouble: a destination in backticks, or `the broker` and the like.
    pub by: Option<String>,
    /// The reason, in words.
    pub reason: String,
    /// The next try.
    pub again: SystemTime,
}

/// How an instance is: told by itself, and by the events of its host.
#[derive(Clone)]
pub struct Board {
    identity: Arc<Identity>,
    /// The service's name for people, where it has changed since.
    title: Arc<Mutex<Option<String>>>,
    state: watch::Sender<State>,
    history: Arc<Mutex<History>>,
    /// Messages that are dealt with.
    active: Arc<Mutex<Active>>,
}

/// Messages that are dealt with, by ID, and when the last one was settled.
#[derive(Debug, Default)]
struct Active {
    held: BTreeMap<String, Held>,
    settled: Option<Instant>,
}

/// A message that is dealt with.
#[derive(Debug, Default)]
struct Held {
    recipe_id: Option<String>,
    /// When it should have been settled.
    deadline: Option<Instant>,
    /// What holds it up.
    trouble: Option<Trouble>,
}

impl Board {
    /// A new instance.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity: Arc::new(identity),
            title: Arc::default(),
            state: watch::Sender::new(State { status: Status::New, recipe_id: None, trouble: None }),
            history: Arc::new(Mutex::new(History::new(Instant::now()))),
            active: Arc::default(),
        }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The service calls itself something else from now on.
    pub fn rename(&self, name: &str) {
        *self.title.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
    }

    /// The service's name for people at present.
    pub fn title(&self) -> String {
        let title = self.title.lock().unwrap_or_else(PoisonError::into_inner).clone();
        title.unwrap_or_else(|| self.identity.service.clone())
    }

    /// What log lines say about it, by the names that the Python services use.
    pub fn log_fields(&self) -> Vec<(&'static str, Value)> {
        let status = self.status();
        vec![
            ("_workflows_host", Value::from(self.identity.host.as_str())),
            ("_workflows_service", Value::from(self.title())),
            ("_workflows_serviceclass", Value::from(self.identity.class.as_str())),
            ("_workflows_status", Value::from(status.code())),
            ("_workflows_statustext", Value::from(status.text())),
        ]
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.state.borrow().status
    }

    /// What keeps it from its work, as long as it waits for the next try.
    pub fn trouble(&self) -> Option<Trouble> {
        self.state.borrow().trouble.clone()
    }

    /// Why the instance makes no progress, if that is so: it holds a message for longer than any takes, and has settled
    /// no other since that one was due.
    pub fn stall(&self) -> Option<String> {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let due = active.held.values().filter_map(|held| held.deadline).min()?;
        let late = Instant::now().checked_duration_since(due)?;
        if active.settled.is_some_and(|settled| settled > due && settled.elapsed() < STALL) {
            return None;
        }
        let (count, late) = (active.held.len(), late.as_secs());
        let messages = if count == 1 { "message" } else { "messages" };
        Some(format!("it holds {count} {messages}, has settled none, and is {late} s over the time that one takes"))
    }

    /// The instance says how it is.
    pub fn set(&self, status: Status) {
        self.enter(status, None);
    }

    /// It does not work for this reason, and tries again after a pause.
    pub fn wait(&self, status: Status, reason: &str, pause: Duration) {
        self.enter(status, Some(Trouble { by: None, reason: reason.to_owned(), again: SystemTime::now() + pause }));
    }

    fn enter(&self, status: Status, trouble: Option<Trouble>) {
        if matches!(status, Status::Starting | Status::Error) {
            // What was under way when it failed is not any more.
            self.active.lock().unwrap_or_else(PoisonError::into_inner).held.clear();
        }
        self.change(State { status, recipe_id: None, trouble });
    }

    /// Something has happened.
    pub fn observe(&self, event: &Event) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { id, recipe_id, allowance, .. } => {
                let deadline = allowance.and_then(|allowance| Instant::now().checked_add(allowance));
                let held = Held { recipe_id: recipe_id.clone(), deadline, trouble: None };
                active.held.insert(id.clone(), held);
            }
            Event::HeldUp { id, by, reason, again, .. } => {
                let trouble = Trouble { by: Some(by.clone()), reason: reason.clone(), again: *again };
                let held = active.held.entry(id.clone()).or_default();
                // Its service has done its part, so it is not late.
                (held.trouble, held.deadline) = (Some(trouble), None);
            }
            Event::Settled { id, .. } | Event::Abandoned { id } => {
                active.held.remove(id);
                active.settled = Some(Instant::now());
            }
            Event::Warning(_) | Event::Traffic(_) => return,
        }
        let status = if active.held.is_empty() { Status::Idle } else { Status::Processing };
        let recipe_id = active.held.values().next().and_then(|held| held.recipe_id.clone());
        let trouble = active.held.values().find_map(|held| held.trouble.clone());
        drop(active);
        // While it shuts down it finishes what it has begun.
        if matches!(self.status(), Status::Idle | Status::Processing) {
            self.change(State { status, recipe_id, trouble });
        }
    }

    fn change(&self, state: State) {
        self.state.send_if_modified(|now| {
            let differs = *now != state;
            if now.status != state.status {
                self.history.lock().unwrap_or_else(PoisonError::into_inner).change(state.status, Instant::now());
            }
            *now = state;
            differs
        });
    }

    /// Broadcasts until the instance has ended. That nobody can be told is not the service's trouble; it is said once.
    pub async fn announce(self, transport: Arc<dyn Transport>, observer: Observer) {
        let service = self.identity.service.as_str();
        let mut state = self.state.subscribe();
        let (mut announced, mut is_refused) = (None, false);
        let mut due = Instant::now();
        loop {
            let now = state.borrow_and_update().clone();
            let changed = announced.as_ref() != Some(&(now.status, now.text()));
            if changed && now.status == Status::Idle && timeout(IDLE_HOLD, state.changed()).await.is_ok() {
                continue;
            }
            if (changed && !is_refused) || Instant::now() >= due {
                announced = Some((now.status, now.text()));
                due = Instant::now() + INTERVAL;
                match transport.send(vec![self.message(&now)]).await {
                    Ok(()) => {
                        observer(&self.identity, &Event::Traffic(Traffic::Broadcast));
                        if std::mem::take(&mut is_refused) {
                            tracing::info!(service, "the status is broadcast again");
                        }
                    }
                    Err(error) if error.is_rejection() => {
                        if !is_refused {
                            tracing::warn!(
                                service,
                                "the status cannot be broadcast, so `zrecipe status` and `zrecipe monitor` do not show \
                                 it: {error}; exchange `{TOPIC}` must exist, and the user needs the permission to \
                                 write to it"
                            );
                        }
                        is_refused = true;
                        due = Instant::now() + REFUSED_INTERVAL;
                    }
                    Err(error) => tracing::debug!(service, "the status was not broadcast: {error}"),
                }
            }
            if now.status == Status::Teardown {
                return;
            }
            let _ = timeout_at(due, state.changed()).await;
        }
    }

    fn message(&self, state: &State) -> Outgoing {
        let Identity { host, class, tag, .. } = &*self.identity;
        let utilization = self.history.lock().unwrap_or_else(PoisonError::into_inner).report(Instant::now());
        let mut body = Object::from_iter(
            [
                ("host", Value::from(host.as_str())),
                ("status", Value::from(state.status.code())),
                ("statustext", Value::from(state.text())),
                ("service", Value::from(self.title())),
                ("serviceclass", Value::from(class.as_str())),
                ("utilization", utilization),
                ("workflows", Value::from(concat!("zrecipe ", env!("CARGO_PKG_VERSION")))),
                ("zocalo", Value::from(concat!("zrecipe ", env!("CARGO_PKG_VERSION")))),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        if let Some(tag) = tag {
            body.insert("tag".to_owned(), Value::from(tag.as_str()));
        }
        if let Some(recipe_id) = &state.recipe_id {
            body.insert("recipe_ID".to_owned(), Value::from(recipe_id.as_str()));
        }
        let mut body = Value::Object(body);
        facts::add_to(&mut body);
        broadcast(TOPIC, &body, Some(EXPIRATION))
    }
}

/// A message for all who listen to a topic.
pub fn broadcast(topic: &str, body: &Value, expiration: Option<Duration>) -> Outgoing {
    Outgoing {
        expiration,
        ..Outgoing::new(
            Uuid::new_v4().to_string(),
            Destination::Topic(topic.to_owned()),
            Object::new(),
            body.to_json().into_bytes(),
        )
    }
}

/// When which status began, as far back as it matters.
#[derive(Debug)]
struct History {
    changes: VecDeque<(Instant, Status)>,
}

impl History {
    fn new(now: Instant) -> Self {
        Self { changes: VecDeque::from([(now, Status::New)]) }
    }

    fn change(&mut self, status: Status, now: Instant) {
        self.changes.push_back((now, status));
        self.forget(now);
    }

    /// The first of what is kept covers the beginning of the period.
    fn forget(&mut self, now: Instant) {
        while self.changes.get(1).is_some_and(|(began, _)| now.duration_since(*began) > PERIOD) {
            self.changes.pop_front();
        }
    }

    /// The part of the period spent in each status, by code.
    fn report(&mut self, now: Instant) -> Value {
        self.forget(now);
        let begin = now.checked_sub(PERIOD).unwrap_or(now);
        let mut spent: BTreeMap<Status, f64> = BTreeMap::new();
        let ends = self.changes.iter().skip(1).map(|(began, _)| *began).chain([now]);
        for ((began, status), end) in self.changes.iter().zip(ends) {
            *spent.entry(*status).or_default() += end.duration_since((*began).max(begin)).as_secs_f64();
        }
        let total: f64 = spent.values().sum();
        let part = |spent: f64| if total > 0.0 { (spent / total * 1e4).round() / 1e4 } else { 1.0 };
        Value::Object(
            spent.into_iter().map(|(status, spent)| (status.code().to_string(), part(spent).into())).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_language::syntax::json::read_value;

    #[test]
    fn hosts_are_named_from_the_domain_down() {
        let process = std::process::id();
        for (hostname, number, expected) in [
            ("ws123.diamond.ac.uk", 1, format!("uk.ac.diamond.ws123.{process}")),
            ("ws123.diamond.ac.uk", 2, format!("uk.ac.diamond.ws123.{process}-2")),
            ("laptop", 1, format!("laptop.{process}")),
        ] {
            assert_eq!(host_id(hostname, number), expected);
        }
    }

    #[test]
    fn what_holds_up_an_instance_is_told_until_it_does_not() {
        let identity = Identity { host: "uk.ws.1".into(), service: "Runner".into(), class: "Runner".into(), tag: None };
        let board = Board::new(identity);
        board.set(Status::Idle);
        let started = |id: &str| Event::Started {
            id: id.to_owned(),
            service: "Runner".to_owned(),
            step: None,
            recipe_id: None,
            deliveries: 1,
            allowance: None,
        };
        let held_up = |id: &str, by: &str| Event::HeldUp {
            id: id.to_owned(),
            service: "Runner".to_owned(),
            by: by.to_owned(),
            reason: "it is full".to_owned(),
            attempt: 1,
            again: SystemTime::UNIX_EPOCH,
        };
        for (event, expected) in [
            (started("a"), "processing"),
            (held_up("a", "`mark`"), "held up by `mark`"),
            (started("b"), "held up by `mark`"),
            (held_up("b", "the disk"), "held up by `mark`"),
            (Event::Abandoned { id: "a".to_owned() }, "held up by the disk"),
            (Event::Abandoned { id: "b".to_owned() }, "idle"),
        ] {
            board.observe(&event);
            let state = board.state.borrow().clone();
            assert_eq!(state.text(), expected, "{event:?}");
            let told = read_value(&board.message(&state).body).expect("JSON");
            assert_eq!(told.get("statustext").and_then(Value::as_str), Some(expected));
            assert_eq!(board.trouble().is_some(), expected.starts_with("held up"));
        }
    }

    #[test]
    fn utilization_is_about_the_last_ten_seconds() {
        let begin = Instant::now() + Duration::from_secs(100);
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut history = History::new(begin);
        assert_eq!(history.report(at(2)).to_json(), r#"{"0":1.0}"#);
        history.change(Status::Idle, at(5));
        history.change(Status::Processing, at(10));
        assert_eq!(history.report(at(10)).to_json(), r#"{"0":0.5,"2":0.5,"4":0.0}"#);
        assert_eq!(history.report(at(14)).to_json(), r#"{"0":0.1,"2":0.5,"4":0.4}"#);
        assert_eq!(history.report(at(40)).to_json(), r#"{"4":1.0}"#);
    }
}
