//! What a broker has, what it should have, and the steps from the one to the other.
//!
//! The reference is `zocalo.configure_rabbitmq` (`zocalo` 1.5.0). As there, what a broker has and nobody describes is
//! removed: policies, queues, exchanges and bindings always, users, virtual hosts and permissions where any are
//! described; what is temporary or `amq.*` stays. Other than there, a virtual host is changed and not made anew, only
//! the binding that is not described is removed and not all between the same two, and nothing goes that holds messages
//! or has consumers unless it is named and the loss allowed.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::http::escape;
use crate::ops::management::{self, Management};
use zrecipe_broker::transport::amqp::DELAY;
use zrecipe_language::topology::Topology;
use zrecipe_language::topology::users::{User, salt};
use zrecipe_language::value::{Object, Value};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    key: String,
    may_discard: bool,
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

/// Words without an order.
fn sorted(mut words: Vec<String>) -> Value {
    words.sort();
    words.dedup();
    Value::from(words)
}

/// The words in a list, or in a text with commas between them, as older brokers say it.
fn words(value: Option<&Value>) -> Value {
    let texts: Vec<String> = match value {
        Some(Value::String(text)) => text.split(',').map(str::to_owned).collect(),
        value => {
            let items = value.and_then(Value::as_array).unwrap_or_default();
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
    };
    sorted(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

/// What a configuration describes. Of a user whom the broker has, the password is hashed with the salt that it has.
pub fn wanted(topology: &Topology, users: &[&User], live: &Live) -> Vec<Thing> {
    let mut things = Vec::new();
    for user in users {
        let found = live.things.iter().find(|found| found.thing.kind == Kind::User && found.thing.name == user.name);
        let hash = found.and_then(|found| found.thing.password.as_ref());
        let [a, b, c, d, ..] = Uuid::new_v4().into_bytes();
        let salt = hash.and_then(|hash| salt(&hash.0)).unwrap_or([a, b, c, d]);
        let mut thing = Thing::new(Kind::User, "", &user.name, [("tags", sorted(user.tags.clone()))]);
        thing.password = Some(Hash(user.password.hash(salt)));
        things.push(thing);
    }
    things.extend(topology.vhosts.iter().map(|vhost| {
        let settings = [
            ("description", Value::from(vhost.description.as_str())),
            ("tags", sorted(vhost.tags.clone())),
            ("tracing", Value::Bool(vhost.tracing)),
        ];
        Thing::new(Kind::Vhost, "", &vhost.name.text, settings)
    }));
    things.extend(topology.permissions.iter().map(|rights| {
        let rights_of = [("configure", &rights.configure), ("write", &rights.write), ("read", &rights.read)];
        let pattern = |right: &Option<(zrecipe_language::topology::Pattern, _)>| {
            Value::from(right.as_ref().map_or("", |(pattern, _)| pattern.as_str()))
        };
        let settings = rights_of.map(|(key, right)| (key, pattern(right)));
        Thing::new(Kind::Permission, &rights.vhost.text, &rights.user.text, settings)
    }));
    things.extend(topology.policies.iter().map(|policy| {
        let settings = [
            ("pattern", Value::from(policy.pattern.as_str())),
            ("apply-to", Value::from(policy.apply_to())),
            ("priority", Value::from(policy.priority)),
            ("definition", Value::Object((*policy.definition).clone())),
        ];
        Thing::new(Kind::Policy, &policy.vhost.text, &policy.name.text, settings)
    }));
    let definitions = topology.queues.iter().map(|queue| (Kind::Queue, queue.definition()));
    let definitions =
        definitions.chain(topology.exchanges.iter().map(|exchange| (Kind::Exchange, exchange.definition())));
    things.extend(definitions.map(|(kind, definition)| declared(kind, &definition)));
    // The default exchange leads to every queue by itself.
    let bindings = topology.bindings.iter().filter(|binding| !binding.source.text.is_empty());
    things.extend(bindings.map(|binding| {
        let definition = binding.definition();
        Thing::binding(&binding.vhost.text, |key| definition.get(key).cloned().unwrap_or_default())
    }));
    let mut seen = HashSet::new();
    let is_first: Vec<bool> = things.iter().map(|thing| seen.insert(thing.id())).collect();
    let mut is_first = is_first.into_iter();
    let mut unique = things.clone();
    unique.retain(|_| is_first.next() == Some(true));
    unique
}

/// A queue or an exchange as it is declared.
fn declared(kind: Kind, value: &Value) -> Thing {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let of = |key: &'static str| (key, value.get(key).cloned().unwrap_or_default());
    let (vhost, name) = (text("vhost"), text("name"));
    match kind {
        Kind::Queue => Thing::new(kind, vhost, name, ["durable", "auto_delete", "arguments"].map(of)),
        _ => Thing::new(kind, vhost, name, ["type", "durable", "auto_delete", "internal", "arguments"].map(of)),
    }
}

impl Live {
    /// Asks a broker. Users, virtual hosts and permissions are asked for where they count.
    ///
    /// # Errors
    /// There is no answer, or the user may not see something.
    pub async fn read(management: &Management, kinds: &[Kind]) -> Result<Self, management::Error> {
        let whoami = management.get("whoami").await?;
        let overview = management.get("overview").await?;
        let types = overview.get("exchange_types").and_then(Value::as_array);
        let types = types.map(|types| types.iter().map(|kind| text(kind, "name").to_owned()).collect());
        let mut live = Self { login: text(&whoami, "name").to_owned(), things: Vec::new(), types };
        for kind in Kind::ALL {
            let path = match kind {
                Kind::User => "users",
                Kind::Vhost => "vhosts",
                Kind::Permission => "permissions",
                Kind::Policy => "policies",
                Kind::Queue => "queues?columns=name,vhost,durable,auto_delete,exclusive,arguments,messages,consumers",
                Kind::Exchange => "exchanges",
                Kind::Binding => "bindings",
            };
            if kind > Kind::Permission || kinds.contains(&kind) {
                let listed = management.get(path).await?;
                live.things.extend(listed.as_array().unwrap_or_default().iter().map(|value| found(kind, value)));
            }
        }
        Ok(live)
    }

    fn named(&self, kind: Kind, vhost: &str, name: &str) -> Option<&Found> {
        let is_it = |thing: &Thing| thing.kind == kind && thing.vhost == vhost && thing.name == name;
        self.things.iter().find(|found| is_it(&found.thing))
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Something as the management API describes it.
fn found(kind: Kind, value: &Value) -> Found {
    let of = |key: &'static str| (key, value.get(key).cloned().unwrap_or_default());
    let is = |key: &str| value.get(key).is_some_and(Value::is_truthy);
    let number = |key: &str| value.get(key).and_then(Value::as_i64).unwrap_or(0);
    let (vhost, name) = (text(value, "vhost"), text(value, "name"));
    let mut is_temporary = false;
    let thing = match kind {
        Kind::User => {
            let mut thing = Thing::new(kind, "", name, [("tags", words(value.get("tags")))]);
            thing.password = Some(Hash(text(value, "password_hash").to_owned()));
            thing
        }
        Kind::Vhost => {
            is_temporary = name == "/";
            let metadata = |key: &str| value.get(key).or_else(|| value.get("metadata")?.get(key));
            let description = metadata("description").and_then(Value::as_str).unwrap_or_default();
            let settings = [
                ("description", Value::from(description)),
                ("tags", words(metadata("tags"))),
                ("tracing", Value::Bool(is("tracing"))),
            ];
            Thing::new(kind, "", name, settings)
        }
        Kind::Permission => Thing::new(kind, vhost, text(value, "user"), ["configure", "write", "read"].map(of)),
        Kind::Policy => Thing::new(kind, vhost, name, ["pattern", "apply-to", "priority", "definition"].map(of)),
        Kind::Queue => {
            is_temporary = name.is_empty() || name.starts_with("amq.") || is("auto_delete") || is("exclusive");
            declared(kind, value)
        }
        Kind::Exchange => {
            is_temporary = name.is_empty() || name.contains("amq.") || is("auto_delete");
            declared(kind, value)
        }
        Kind::Binding => {
            is_temporary = text(value, "source").is_empty() || text(value, "source").contains("amq.");
            Thing::binding(vhost, |key| value.get(key).cloned().unwrap_or_default())
        }
    };
    // Services make them when they need them, and what waits there is on its way.
    let is_ours = ["name", "source", "destination"].into_iter().any(|key| text(value, key).starts_with(DELAY));
    let messages = number("messages") + number("messages_delayed");
    Found {
        thing,
        messages,
        consumers: number("consumers"),
        is_temporary: is_temporary || is_ours,
        key: text(value, "properties_key").to_owned(),
    }
}

/// The differences, in the order in which they are dealt with: what is missing first, then what is too much.
pub fn compare(wanted: &[Thing], live: &Live, choices: &Choices) -> Vec<Change> {
    let known: HashMap<Id<'_>, &Found> = live.things.iter().map(|found| (found.thing.id(), found)).collect();
    let ids: HashSet<Id<'_>> = wanted.iter().map(Thing::id).collect();
    let change = |action, thing: &Thing, before: Option<&Found>, hold| Change {
        action,
        thing: thing.clone(),
        password: before.is_some_and(|before| before.thing.password != thing.password),
        key: before.map_or(String::new(), |before| before.key.clone()),
        before: before.filter(|_| action != Action::Remove).map(|before| before.thing.clone()),
        hold,
        may_discard: choices.discard_messages
            && [&choices.recreate, &choices.remove].iter().any(|names| names.contains(&thing.name)),
    };
    let in_use = |messages, consumers| (messages > 0 || consumers > 0).then_some(Hold::InUse { messages, consumers });
    let mut changes = Vec::new();
    for thing in wanted {
        match known.get(&thing.id()) {
            None => changes.push(change(Action::Create, thing, None, None)),
            Some(found) if found.thing.equals(thing) => {}
            Some(found) if thing.kind < Kind::Queue => {
                changes.push(change(Action::Update, thing, Some(found), None));
            }
            Some(found) => {
                let is_chosen = choices.recreate.contains(&thing.name);
                let use_of = in_use(found.messages, found.consumers).filter(|_| !choices.discard_messages);
                let hold = if is_chosen { use_of } else { Some(Hold::Immutable) };
                changes.push(change(Action::Recreate, thing, Some(found), hold));
            }
        }
    }
    let is_managed = |kind: Kind| kind > Kind::Permission || wanted.iter().any(|thing| thing.kind == kind);
    let is_extra =
        |found: &&Found| is_managed(found.thing.kind) && !found.is_temporary && !ids.contains(&found.thing.id());
    let extra: Vec<&Found> = live.things.iter().filter(is_extra).collect();
    let is_going = |kind, vhost: &str, name: &str| {
        extra.iter().any(|found| (found.thing.kind, &*found.thing.vhost, &*found.thing.name) == (kind, vhost, name))
    };
    let mut removals = Vec::new();
    for found in extra.iter().copied() {
        let Thing { kind, vhost, name, .. } = &found.thing;
        // With a virtual host goes all that is in it.
        if is_going(Kind::Vhost, "", vhost) {
            continue;
        }
        if *kind == Kind::Binding && !is_permanent(&found.thing, live) {
            continue;
        }
        let (messages, consumers) = if *kind == Kind::Vhost {
            let inside = live.things.iter().filter(|inside| inside.thing.vhost == *name);
            inside.fold((0, 0), |sum, inside| (sum.0 + inside.messages, sum.1 + inside.consumers))
        } else {
            (found.messages, found.consumers)
        };
        let is_told_twice = choices.discard_messages && choices.remove.contains(name);
        let hold = match kind {
            Kind::User if *name == live.login => Some(Hold::Own),
            _ => in_use(messages, consumers).filter(|_| !is_told_twice),
        };
        removals.push(change(Action::Remove, &found.thing, Some(found), hold));
    }
    // The broker grants everything to whoever makes a virtual host.
    let makes = |change: &&Change| change.action == Action::Create && change.thing.kind == Kind::Vhost;
    for made in changes.iter().filter(makes).filter(|_| is_managed(Kind::Permission)) {
        let granted = Thing::new(Kind::Permission, &made.thing.name, &live.login, []);
        if !ids.contains(&granted.id()) {
            removals.push(change(Action::Remove, &granted, None, None));
        }
    }
    let goes = |change: &Change| change.hold.is_none() && matches!(change.action, Action::Remove | Action::Recreate);
    let touches = |binding: &Thing, change: &Change| {
        let end = match change.thing.kind {
            Kind::Queue => {
                binding.text("destination_type") == "queue" && binding.text("destination") == change.thing.name
            }
            Kind::Exchange => {
                let is_end = binding.text("destination_type") == "exchange";
                binding.text("source") == change.thing.name
                    || is_end && binding.text("destination") == change.thing.name
            }
            _ => false,
        };
        end && binding.vhost == change.thing.vhost
    };
    // Bindings go with what they are bound to, and come back with it.
    let gone: Vec<Change> = changes.iter().chain(&removals).filter(|change| goes(change)).cloned().collect();
    let is_gone = |binding: &Thing| gone.iter().any(|change| touches(binding, change));
    let to_go: HashSet<Id<'_>> = extra.iter().map(|found| found.thing.id()).collect();
    for found in live.things.iter().filter(|found| found.thing.kind == Kind::Binding) {
        let returns = |change: &Change| change.action == Action::Recreate || !touches(&found.thing, change);
        let is_kept = ids.contains(&found.thing.id()) || !to_go.contains(&found.thing.id());
        let is_own = found.thing.text("source").is_empty();
        if is_gone(&found.thing)
            && gone.iter().all(returns)
            && is_kept
            && !is_own
            && !is_to_temporary(&found.thing, live)
        {
            changes.push(change(Action::Create, &found.thing, None, None));
        }
    }
    removals.retain(|change| change.thing.kind != Kind::Binding || !is_gone(&change.thing));
    // Whoever changes his own password does that last.
    let is_own = |change: &Change| change.thing.kind == Kind::User && change.thing.name == live.login;
    changes.sort_by(|a, b| (is_own(a), a.thing.kind, &a.thing.vhost).cmp(&(is_own(b), b.thing.kind, &b.thing.vhost)));
    removals.sort_by(|a, b| {
        (b.thing.kind, &a.thing.vhost, &a.thing.name).cmp(&(a.thing.kind, &b.thing.vhost, &b.thing.name))
    });
    let own = changes.iter().position(is_own).map(|at| changes.remove(at));
    changes.into_iter().chain(removals).chain(own).collect()
}

/// Holds back what a broker would refuse for one and the same reason, and says what it lacks.
pub fn hold_back(changes: &mut [Change], live: &Live) -> Vec<Lack> {
    let is_there = |name: &str| {
        let is_it = |thing: &Thing| thing.kind == Kind::Vhost && thing.name == name;
        live.things.iter().any(|found| is_it(&found.thing)) || changes.iter().any(|change| is_it(&change.thing))
    };
    let is_made = |change: &Change| change.hold.is_none() && change.action != Action::Remove;
    let is_unknown = |kind: &str| live.types.as_ref().is_some_and(|types| types.iter().all(|known| known != kind));
    let unmade: HashMap<(String, String), String> = changes
        .iter()
        .filter(|change| is_made(change) && change.thing.kind == Kind::Exchange)
        .filter(|change| is_unknown(change.thing.text("type")))
        .map(|change| {
            let Thing { vhost, name, .. } = &change.thing;
            ((vhost.clone(), name.clone()), change.thing.text("type").to_owned())
        })
        .collect();
    let type_of = |thing: &Thing| {
        let ends: &[&str] = match thing.kind {
            Kind::Exchange => &[&thing.name],
            Kind::Binding if thing.text("destination_type") == "exchange" => {
                &[thing.text("source"), thing.text("destination")]
            }
            Kind::Binding => &[thing.text("source")],
            _ => &[],
        };
        ends.iter().find_map(|end| unmade.get(&(thing.vhost.clone(), (*end).to_owned())).cloned())
    };
    let lacks = changes.iter().map(|change| match &change.thing {
        _ if !is_made(change) => None,
        thing if !thing.vhost.is_empty() && !is_there(&thing.vhost) => Some((Hold::NoVhost, thing.vhost.clone())),
        thing => type_of(thing).map(|kind| (Hold::NoType, kind)),
    });
    let lacks: Vec<_> = lacks.collect();
    let mut found: Vec<Lack> = Vec::new();
    for (change, lack) in changes.iter_mut().zip(lacks) {
        let Some((hold, what)) = lack else { continue };
        change.hold = Some(hold);
        match found.iter_mut().find(|lack| (lack.hold, &lack.what) == (hold, &what)) {
            Some(lack) => lack.changes += 1,
            None => found.push(Lack { what, hold, changes: 1 }),
        }
    }
    found
}

/// Whether a binding is one that is removed when nobody describes it: one to a queue that stays by itself.
fn is_permanent(binding: &Thing, live: &Live) -> bool {
    let queue = live.named(Kind::Queue, &binding.vhost, binding.text("destination"));
    binding.text("destination_type") == "queue" && queue.is_some_and(|queue| !queue.is_temporary)
}

fn is_to_temporary(binding: &Thing, live: &Live) -> bool {
    let queue = live.named(Kind::Queue, &binding.vhost, binding.text("destination"));
    binding.text("destination_type") == "queue" && queue.is_some_and(|queue| queue.is_temporary)
}

/// Makes a change.
///
/// # Errors
/// The broker refuses it, or it would take something that is in use by now.
pub async fn make(management: &Management, change: &Change) -> Result<(), Error> {
    let path = change.thing.path();
    if matches!(change.action, Action::Remove | Action::Recreate) {
        let path =
            if change.thing.kind == Kind::Binding { format!("{path}/{}", escape(&change.key)) } else { path.clone() };
        let query = if change.thing.kind == Kind::Queue && !change.may_discard {
            let queue = management.get(&path).await?;
            is_out_of_use(management, &queue, &path).await?
        } else {
            ""
        };
        match management.delete(&format!("{path}{query}")).await {
            // Somebody was faster.
            Err(error) if error.is_missing() => {}
            Err(error) if !query.is_empty() && error.is_refusal() => return Err(Error::InUse),
            result => result?,
        }
    }
    if change.action == Action::Remove {
        return Ok(());
    }
    let body = change.thing.body();
    if change.thing.kind == Kind::Binding {
        management.post(&path, &body).await?;
    } else {
        management.put(&path, &body).await?;
    }
    Ok(())
}

/// Makes sure that a queue is out of use as far as anybody can tell; the conditions under which the broker may then
/// delete it.
async fn is_out_of_use(management: &Management, queue: &Value, path: &str) -> Result<&'static str, Error> {
    let number = |key: &str| queue.get(key).and_then(Value::as_i64).unwrap_or(0);
    if number("messages") > 0 || number("consumers") > 0 {
        return Err(Error::InUse);
    }
    match queue.get("type").and_then(Value::as_str) {
        // The broker itself makes sure.
        None | Some("classic") => Ok("?if-empty=true&if-unused=true"),
        // The numbers lag, so the queue is asked for a message, which goes back to it. The broker has no conditions
        // for these queues.
        Some("quorum") => {
            let one = Value::from([
                ("count", Value::from(1)),
                ("ackmode", Value::from("ack_requeue_true")),
                ("encoding", Value::from("base64")),
                ("truncate", Value::from(1)),
            ]);
            let got = management.post(&format!("{path}/get"), &one).await?;
            if got.as_array().is_some_and(<[Value]>::is_empty) { Ok("") } else { Err(Error::InUse) }
        }
        Some(_) => Ok(""),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use zrecipe_language::source::Source;
    use zrecipe_language::syntax::json::read_value;
    use zrecipe_language::syntax::yaml;
    use zrecipe_language::topology;

    const DESCRIBED: &str = "
policies:
- {name: redelivery, vhost: z, pattern: .*, definition: {delivery-limit: 5}}
exchanges:
- {name: results, vhost: z, type: topic, durable: true}
bindings:
- {source: results, destination: images, routing_key: a, vhost: z}
groups:
- {names: [images], vhost: z}
";

    /// What the broker has: as described, and what comes and goes by itself.
    const HAS: &[(Kind, &str)] = &[
        (Kind::Vhost, r#"{"name": "/"}"#),
        (Kind::Vhost, r#"{"name": "z", "metadata": {"description": "", "tags": []}, "tracing": false}"#),
        (
            Kind::Policy,
            r#"{"name": "redelivery", "vhost": "z", "pattern": ".*", "apply-to": "queues", "priority": 0,
                "definition": {"delivery-limit": 5}}"#,
        ),
        (Kind::Queue, r#"{"name": "images", "vhost": "z", "durable": true, "auto_delete": false, "arguments": {}}"#),
        (Kind::Queue, r#"{"name": "amq.gen-x", "vhost": "z", "exclusive": true, "consumers": 1}"#),
        (Kind::Queue, r#"{"name": "mine", "vhost": "z", "auto_delete": true, "messages": 3}"#),
        (Kind::Queue, r#"{"name": "zrecipe.delay.5000", "vhost": "z", "durable": true, "messages": 3}"#),
        (Kind::Exchange, r#"{"name": "zrecipe.delay.5000", "vhost": "z", "type": "topic", "durable": true}"#),
        (
            Kind::Binding,
            r##"{"source": "zrecipe.delay.5000", "vhost": "z", "destination": "zrecipe.delay.5000",
                "destination_type": "queue", "routing_key": "#", "arguments": {}, "properties_key": "%23"}"##,
        ),
        (
            Kind::Exchange,
            r#"{"name": "results", "vhost": "z", "type": "topic", "durable": true, "auto_delete": false,
                "internal": false, "arguments": {}}"#,
        ),
        (Kind::Exchange, r#"{"name": "", "vhost": "z", "type": "direct"}"#),
        (Kind::Exchange, r#"{"name": "amq.topic", "vhost": "z", "type": "topic"}"#),
        (
            Kind::Binding,
            r#"{"source": "results", "vhost": "z", "destination": "images", "destination_type": "queue",
                "routing_key": "a", "arguments": {}, "properties_key": "a"}"#,
        ),
        (
            Kind::Binding,
            r#"{"source": "", "vhost": "z", "destination": "images", "destination_type": "queue",
                "routing_key": "images", "arguments": {}}"#,
        ),
        (
            Kind::Binding,
            r#"{"source": "results", "vhost": "z", "destination": "mine", "destination_type": "queue",
                "routing_key": "b", "arguments": {}}"#,
        ),
    ];

    fn has(more: &[(Kind, &str)]) -> Live {
        let read = |(kind, text): &(Kind, &str)| found(*kind, &read_value(text.as_bytes()).expect("JSON"));
        // What comes later is in place of what is there.
        let mut things: Vec<Found> = Vec::new();
        for new in HAS.iter().chain(more).map(read) {
            things.retain(|old| old.thing.id() != new.thing.id());
            things.push(new);
        }
        Live { things, login: "guest".to_owned(), types: Some(vec!["topic".to_owned(), "fanout".to_owned()]) }
    }

    fn changes(text: &str, live: &Live, choices: &Choices) -> Vec<String> {
        let tree = yaml::parse(Arc::new(Source::from_text("broker.yml", text)));
        let show = |change: &Change| {
            let hold = change.hold.map_or(String::new(), |hold| format!(" {hold:?}"));
            format!("{} {} {}{hold}", change.action.name(), change.thing.kind.name(), change.thing.name)
        };
        compare(&wanted(&topology::read(&tree), &[], live), live, choices).iter().map(show).collect()
    }

    #[test]
    fn what_is_as_described_stays() {
        assert_eq!(changes(DESCRIBED, &has(&[]), &Choices::default()), Vec::<String>::new());
    }

    #[test]
    fn differences_are_found_and_messages_kept() {
        const QUORUM: &str = r#"{"name": "images", "vhost": "z", "durable": true, "auto_delete": false,
            "arguments": {"x-queue-type": "quorum"}, "messages": 2}"#;
        const DIRECT: &str = r#"{"name": "results", "vhost": "z", "type": "direct", "durable": true,
            "auto_delete": false, "internal": false, "arguments": {}}"#;
        const FULL: &str = r#"{"name": "old", "vhost": "z", "messages": 1}"#;
        const EMPTY: &str = r#"{"name": "old", "vhost": "z"}"#;
        let choices = |recreate: &[&str], remove: &[&str], discard_messages| {
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            Choices { recreate: names(recreate), remove: names(remove), discard_messages }
        };
        let none = choices(&[], &[], false);
        let again = "create binding results to queue images by `a`";
        for (more, choices, expected) in [
            (&[(Kind::Queue, EMPTY)][..], &none, &["remove queue old"][..]),
            (&[(Kind::Queue, FULL)], &none, &["remove queue old InUse { messages: 1, consumers: 0 }"]),
            (
                &[(Kind::Queue, FULL)],
                &choices(&[], &["old"], false),
                &["remove queue old InUse { messages: 1, consumers: 0 }"],
            ),
            (
                &[(Kind::Queue, FULL)],
                &choices(&[], &["other"], true),
                &["remove queue old InUse { messages: 1, consumers: 0 }"],
            ),
            (&[(Kind::Queue, FULL)], &choices(&[], &["old"], true), &["remove queue old"]),
            (&[(Kind::Queue, QUORUM)], &none, &["recreate queue images Immutable"]),
            (
                &[(Kind::Queue, QUORUM)],
                &choices(&["images"], &[], false),
                &["recreate queue images InUse { messages: 2, consumers: 0 }"],
            ),
            (&[(Kind::Queue, QUORUM)], &choices(&["images"], &[], true), &["recreate queue images", again]),
            (&[(Kind::Exchange, DIRECT)], &none, &["recreate exchange results Immutable"]),
            (&[(Kind::Exchange, DIRECT)], &choices(&["results"], &[], false), &["recreate exchange results", again]),
            (&[(Kind::Policy, r#"{"name": "redelivery", "vhost": "z"}"#)], &none, &["update policy redelivery"]),
            (&[(Kind::Policy, r#"{"name": "odd", "vhost": "z"}"#)], &none, &["remove policy odd"]),
            (
                &[(
                    Kind::Binding,
                    r#"{"source": "results", "vhost": "z", "destination": "images", "destination_type": "queue",
                        "routing_key": "b", "arguments": {}}"#,
                )],
                &none,
                &["remove binding results to queue images by `b`"],
            ),
            // Nobody describes any of these, so they are nobody's business.
            (&[(Kind::Vhost, r#"{"name": "other"}"#), (Kind::User, r#"{"name": "bob"}"#)], &none, &[]),
        ] {
            assert_eq!(changes(DESCRIBED, &has(more), choices), expected, "{more:?} {choices:?}");
        }
    }

    #[test]
    fn what_a_broker_lacks_is_said_once() {
        let more = "
exchanges:
- {name: delayed, vhost: z, type: x-delayed-message, durable: true}
bindings:
- {source: delayed, destination: images, routing_key: images, vhost: z}
- {source: delayed, destination: index, routing_key: index, vhost: z}
groups:
- {names: [images, index], vhost: z}
- {names: [other, more], vhost: nosuch}
";
        let lack = |what: &str, hold, changes| Lack { what: what.to_owned(), hold, changes };
        let live = has(&[]);
        let described = |vhosts: &str| {
            let text = format!("{vhosts}{more}");
            let tree = yaml::parse(Arc::new(Source::from_text("broker.yml", text.as_str())));
            let mut changes = compare(&wanted(&topology::read(&tree), &[], &live), &live, &Choices::default());
            let lacks = hold_back(&mut changes, &live);
            let held = changes.iter().filter(|change| matches!(change.hold, Some(Hold::NoVhost | Hold::NoType)));
            let index = |change: &&Change| change.thing.kind == Kind::Queue && change.thing.name == "index";
            assert_eq!(changes.iter().find(index).map(|change| change.hold), Some(None));
            assert_eq!(held.count(), lacks.iter().map(|lack| lack.changes).sum::<usize>());
            lacks
        };
        let [plug_in, vhost] = [lack("x-delayed-message", Hold::NoType, 3), lack("nosuch", Hold::NoVhost, 2)];
        assert_eq!(described(""), [vhost, plug_in.clone()]);
        assert_eq!(described("vhosts: [{name: /}, {name: z}, {name: nosuch}]"), [plug_in]);
    }

    #[test]
    fn virtual_hosts_go_with_what_is_in_them_and_only_empty() {
        let text = format!(
            "vhosts: [{{name: z}}, {{name: new}}]\npermissions: [{{vhost: z, user: a, configure: '', write: '', read: ''}}]{DESCRIBED}"
        );
        let permissions = "create permissions a";
        let granted = "remove permissions guest";
        for (inside, expected) in [
            (
                r#"{"name": "old", "vhost": "other", "durable": true}"#,
                vec!["create virtual host new", permissions, granted, "remove virtual host other"],
            ),
            (
                r#"{"name": "old", "vhost": "other", "durable": true, "messages": 1}"#,
                vec![
                    "create virtual host new",
                    permissions,
                    granted,
                    "remove virtual host other InUse { messages: 1, consumers: 0 }",
                ],
            ),
        ] {
            let live = has(&[(Kind::Vhost, r#"{"name": "other"}"#), (Kind::Queue, inside)]);
            assert_eq!(changes(&text, &live, &Choices::default()), expected, "{inside}");
        }
    }
}
