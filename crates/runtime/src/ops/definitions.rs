//! What a broker has, what it should have, and the steps from the one to the other.
//!
//! The reference is `zocalo.configure_rabbitmq` (`zocalo` 1.5.0). As there, what a broker has and nobody describes is
//! removed: policies, queues, exchanges and bindings always, users, virtual hosts and permissions where any are
//! described; what is temporary or `amq.*` stays. Other than there, a virtual host is changed and not made anew, only
//! the binding that is not described is removed and not all between the same two, and nothing goes that holds messages
//! or has consumers unless it is named and the loss allowed.

mod apply;
mod compare;
mod protect;
mod read;
mod routes;
pub mod shown;
#[cfg(test)]
mod tests;

use crate::http::escape;
use crate::ops::management;
use zrecipe_language::value::{Object, Value};

pub use self::apply::{apply, make};
pub use self::compare::{compare, hold_back};
pub use self::protect::protect;
pub use self::read::wanted;

/// What can be described, in the order in which it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Who may log in.
    User,
    /// A namespace.
    Vhost,
    /// What a user may do in a virtual host.
    Permission,
    /// Settings for all names that match.
    Policy,
    /// A queue.
    Queue,
    /// An exchange.
    Exchange,
    /// A way from an exchange to a queue or an exchange.
    Binding,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::User, Self::Vhost, Self::Permission, Self::Policy, Self::Queue, Self::Exchange, Self::Binding];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Vhost => "virtual host",
            Self::Permission => "permissions",
            Self::Policy => "policy",
            Self::Queue => "queue",
            Self::Exchange => "exchange",
            Self::Binding => "binding",
        }
    }
}

/// The hash of a password, which no output shows.
#[derive(Clone, PartialEq, Eq)]
struct Hash(String);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash")
    }
}

/// Something that a broker has or should have.
#[derive(Debug, Clone, PartialEq)]
pub struct Thing {
    /// What it is.
    pub kind: Kind,
    /// Where; of a user and a virtual host, nothing.
    pub vhost: String,
    /// Its name; of permissions the user, of a binding a description.
    pub name: String,
    /// All there is to say about it, but for a password.
    pub settings: Object,
    password: Option<Hash>,
}

/// Something that a broker has.
#[derive(Debug, Clone)]
pub struct Found {
    thing: Thing,
    messages: i64,
    consumers: i64,
    /// Whether it goes by itself, or is the broker's own.
    is_temporary: bool,
    /// The broker's name for a binding.
    key: String,
}

/// What a broker has.
#[derive(Debug, Clone, Default)]
pub struct Live {
    things: Vec<Found>,
    /// The user who asks.
    login: String,
    /// The types of exchanges that it knows, if it says so.
    types: Option<Vec<String>>,
}

/// What an operator has allowed.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Queues and exchanges that may be made anew, because they cannot be changed.
    pub recreate: Vec<String>,
    /// Queues, exchanges and virtual hosts that may be removed although they are in use.
    pub remove: Vec<String>,
    /// Whether messages may be lost by that.
    pub discard_messages: bool,
}

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Makes it.
    Create,
    /// Changes it.
    Update,
    /// Removes it and makes it again, because it cannot be changed.
    Recreate,
    /// Removes it.
    Remove,
}

impl Action {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Recreate => "recreate",
            Self::Remove => "remove",
        }
    }
}

/// Why a change is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// It can only be made anew, which nobody has asked for.
    Immutable,
    /// It is in use.
    InUse {
        /// How many messages would be lost.
        messages: i64,
        /// How many consumers would be cut off.
        consumers: i64,
    },
    /// It is the user who asks.
    Own,
    /// Its virtual host is not there.
    NoVhost,
    /// The broker does not know the type of the exchange.
    NoType,
    /// Something that stays needs it: a queue for its dead letters, or a virtual host for its users.
    Needed {
        /// What stays: a queue or a virtual host.
        kind: Kind,
        /// Its name.
        name: String,
    },
}

/// How far a change has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing has been done about it.
    Planned,
    /// It is made.
    Made,
    /// It could not be made, and why.
    Failed(String),
    /// It was made and is undone, because something that it took away is needed.
    Undone,
}

/// What a broker lacks, so that changes cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The virtual host, or the type of an exchange.
    pub what: String,
    /// Which of the two: [`Hold::NoVhost`] or [`Hold::NoType`].
    pub hold: Hold,
    /// How many changes need it.
    pub changes: usize,
}

/// A difference.
#[derive(Debug, Clone)]
pub struct Change {
    /// What is done about it.
    pub action: Action,
    /// What it is about: as it should be, or, if it should not be, as it is.
    pub thing: Thing,
    /// As it is, where it should be otherwise.
    pub before: Option<Thing>,
    /// Why nothing is done about it.
    pub hold: Option<Hold>,
    /// Whether a user's password differs.
    pub password: bool,
    /// How far it has come.
    pub progress: Progress,
    /// Whether it undoes another change.
    pub is_repair: bool,
    key: String,
    may_discard: bool,
}

impl Change {
    /// Whether the broker has it, or is to have it.
    fn counts(&self) -> bool {
        match self.progress {
            Progress::Planned => self.hold.is_none(),
            Progress::Made => true,
            Progress::Failed(_) | Progress::Undone => false,
        }
    }
}

/// Why a change could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker refuses.
    #[error(transparent)]
    Refused(#[from] management::Error),
    /// It was out of use when it was looked at, and is not any more.
    #[error("it has got messages or consumers by now, so it stays")]
    InUse,
}

type Id<'t> = (Kind, &'t str, String);

impl Thing {
    fn new<const N: usize>(kind: Kind, vhost: &str, name: &str, settings: [(&str, Value); N]) -> Self {
        let settings = settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Self { kind, vhost: vhost.to_owned(), name: name.to_owned(), settings, password: None }
    }

    fn binding(vhost: &str, of: impl Fn(&str) -> Value) -> Self {
        let text = |key: &str| of(key).as_str().unwrap_or_default().to_owned();
        let kind = if text("destination_type").starts_with('e') { "exchange" } else { "queue" };
        let name = format!("{} to {kind} {} by `{}`", text("source"), text("destination"), text("routing_key"));
        let keys = ["source", "destination", "routing_key", "arguments"];
        let mut thing = Self::new(Kind::Binding, vhost, &name, keys.map(|key| (key, of(key))));
        thing.settings.insert("destination_type".to_owned(), Value::from(kind));
        thing
    }

    fn text(&self, key: &str) -> &str {
        self.settings.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// What makes it the same thing; of a binding that is everything.
    fn id(&self) -> Id<'_> {
        let name = match self.kind {
            Kind::Binding => Value::Object(self.settings.clone()).to_json(),
            _ => self.name.clone(),
        };
        (self.kind, &self.vhost, name)
    }

    /// Whether a broker would take it as the same. What is not said of a queue is what RabbitMQ takes then.
    fn equals(&self, other: &Self) -> bool {
        fn plain(thing: &Thing) -> Object {
            let mut settings = thing.settings.clone();
            if thing.kind == Kind::Queue
                && let Some(Value::Object(arguments)) = settings.get_mut("arguments")
            {
                arguments.retain(|key, value| match key.as_str() {
                    "x-queue-type" => value.as_str() != Some("classic"),
                    "x-single-active-consumer" => value.is_truthy(),
                    _ => true,
                });
            }
            settings
        }
        plain(self) == plain(other) && self.password == other.password
    }

    /// Where the management API has it.
    fn path(&self) -> String {
        let (vhost, name) = (escape(&self.vhost), escape(&self.name));
        match self.kind {
            Kind::User => format!("users/{name}"),
            Kind::Vhost => format!("vhosts/{name}"),
            Kind::Permission => format!("permissions/{vhost}/{name}"),
            Kind::Policy => format!("policies/{vhost}/{name}"),
            Kind::Queue => format!("queues/{vhost}/{name}"),
            Kind::Exchange => format!("exchanges/{vhost}/{name}"),
            Kind::Binding => {
                let (source, to) = (escape(self.text("source")), escape(self.text("destination")));
                let kind = if self.text("destination_type") == "exchange" { "e" } else { "q" };
                format!("bindings/{vhost}/e/{source}/{kind}/{to}")
            }
        }
    }

    /// What the management API is told about it.
    fn body(&self) -> Value {
        let mut body = self.settings.clone();
        match self.kind {
            Kind::User => {
                let tags = body.get("tags").and_then(Value::as_array).unwrap_or_default();
                let tags: Vec<&str> = tags.iter().filter_map(Value::as_str).collect();
                body.insert("tags".to_owned(), Value::from(tags.join(",")));
                let hash = self.password.as_ref().map_or("", |hash| &hash.0);
                body.insert("password_hash".to_owned(), Value::from(hash));
                body.insert("hashing_algorithm".to_owned(), Value::from("rabbit_password_hashing_sha256"));
            }
            Kind::Binding => body.retain(|key, _| ["routing_key", "arguments"].contains(&key.as_str())),
            _ => {}
        }
        Value::Object(body)
    }
}
