//! Broker configuration: the queues, exchanges, bindings and policies that a file describes for RabbitMQ.
//!
//! The reference is `zocalo.configure_rabbitmq` (`zocalo` 1.5.0): a group of names becomes queues, their dead-letter
//! queues and bindings, or exchanges for broadcasts. What has the wrong shape for that is left out here and found by
//! the JSON Schema of these files.

mod definition;
mod form;
pub mod pattern;
mod read;
pub mod users;

use std::collections::HashMap;
use std::ops::Range;

use crate::secret::hidden;
use crate::syntax::{Kind, NodeId, NodeRef};
use crate::value::{Object, Value};

pub use self::form::{Owner, SCHEMA, Unread, faults, unread};
pub use self::pattern::Pattern;
pub use self::read::read;

/// The exchange through which delayed messages go.
pub const DELAYED: &str = "delayed";

/// How many bytes RabbitMQ takes as a name.
pub const MOST_NAME: usize = 255;

/// Types of queues, and the settings of policies that they do not know in any version of RabbitMQ from 3.10 on.
const UNSUPPORTED: [(&str, &[&str]); 3] = [
    (
        "classic",
        &[
            "dead-letter-strategy",
            "delivery-limit",
            "max-age",
            "stream-filter-size-bytes",
            "stream-max-segment-size-bytes",
        ],
    ),
    (
        "quorum",
        &[
            "ha-mode",
            "ha-params",
            "ha-sync-mode",
            "max-age",
            "queue-mode",
            "stream-filter-size-bytes",
            "stream-max-segment-size-bytes",
        ],
    ),
    (
        "stream",
        &[
            "dead-letter-exchange",
            "dead-letter-routing-key",
            "dead-letter-strategy",
            "delivery-limit",
            "expires",
            "ha-mode",
            "ha-params",
            "ha-sync-mode",
            "max-length",
            "message-ttl",
            "overflow",
            "queue-mode",
        ],
    ),
];

/// What a file describes, in its order.
#[derive(Debug, Default)]
pub struct Topology {
    /// Virtual hosts.
    pub vhosts: Vec<Vhost>,
    /// Rights of users.
    pub permissions: Vec<Permission>,
    /// Policies.
    pub policies: Vec<Policy>,
    /// Exchanges, those of the groups after all others.
    pub exchanges: Vec<Exchange>,
    /// Bindings, those of the groups after all others.
    pub bindings: Vec<Binding>,
    /// Queues; the dead-letter queues of a group come after its queues.
    pub queues: Vec<Queue>,
    /// Groups.
    pub groups: Vec<Group>,
    /// By name: places in `queues`, in `exchanges`, and in `bindings` by their sources.
    queue_places: HashMap<String, Vec<usize>>,
    exchange_places: HashMap<String, Vec<usize>>,
    binding_places: HashMap<String, Vec<usize>>,
}

/// A virtual host.
#[derive(Debug)]
pub struct Vhost {
    /// Its name.
    pub name: Word,
    /// What people are told about it.
    pub description: String,
    /// Words about it.
    pub tags: Vec<String>,
    /// Whether its messages are traced.
    pub tracing: bool,
}

/// What a user may do in a virtual host.
#[derive(Debug)]
pub struct Permission {
    /// The virtual host.
    pub vhost: Word,
    /// The user.
    pub user: Word,
    /// What may be declared and deleted.
    pub configure: Option<(Pattern, NodeId)>,
    /// What may be published to.
    pub write: Option<(Pattern, NodeId)>,
    /// What may be consumed from.
    pub read: Option<(Pattern, NodeId)>,
}

/// A text and its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Where it stands; for what nobody wrote, where that is.
    pub node: NodeId,
}

/// Settings for all queues or exchanges whose names match.
#[derive(Debug)]
pub struct Policy {
    /// Its name.
    pub name: Word,
    /// The virtual host.
    pub vhost: Word,
    /// Which names.
    pub pattern: Pattern,
    /// The pattern in the file; nothing for the one that holds when none is given.
    pub pattern_node: Option<NodeId>,
    /// The settings.
    pub definition: Arguments,
    /// The settings in the file.
    pub definition_node: Option<NodeId>,
    /// Of several that match, that with the greatest counts.
    pub priority: i64,
    /// Whether it is about queues.
    pub of_queues: bool,
    /// Whether it is about exchanges.
    pub of_exchanges: bool,
}

/// An exchange.
#[derive(Debug)]
pub struct Exchange {
    /// Its name.
    pub name: Word,
    /// The virtual host.
    pub vhost: Word,
    /// `direct`, `fanout`, `topic`, `headers` or `x-delayed-message`.
    pub kind: String,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
    /// Whether the file says whether it does.
    pub says_durable: bool,
    /// Whether it goes when nothing is bound to it any more.
    pub auto_delete: bool,
    /// Whether only exchanges can publish to it.
    pub internal: bool,
    /// Its arguments.
    pub arguments: Arguments,
    /// Its arguments in the file.
    pub arguments_node: Option<NodeId>,
    /// The group that declares it: its place in [`Topology::groups`].
    pub group: Option<usize>,
    /// The place of the policy that counts for it.
    policy: Option<usize>,
}

/// What is said about a part of the broker by name. It may hold secrets, so its debug output is masked.
#[derive(Clone, Default, PartialEq)]
pub struct Arguments(Object);

impl std::ops::Deref for Arguments {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.0
    }
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        hidden("", Value::Object(self.0.clone())).fmt(f)
    }
}

/// A queue.
#[derive(Debug)]
pub struct Queue {
    /// Its name; of a dead-letter queue the place is that of the queue whose dead letters it takes.
    pub name: Word,
    /// The virtual host.
    pub vhost: Word,
    /// Its arguments.
    pub arguments: Arguments,
    /// Whether it is there for dead letters.
    pub is_dead_letter_queue: bool,
    /// The group that declares it: its place in [`Topology::groups`].
    pub group: usize,
    /// The place of the policy that counts for it.
    policy: Option<usize>,
    /// Whether that is sure: whether it is known of every policy what it matches.
    is_sure: bool,
}

/// What a binding leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A queue.
    Queue,
    /// Another exchange.
    Exchange,
}

/// A way from an exchange to a queue or to another exchange.
#[derive(Debug)]
pub struct Binding {
    /// The exchange.
    pub source: Word,
    /// The queue or exchange.
    pub destination: Word,
    /// Which of both.
    pub kind: Destination,
    /// The virtual host.
    pub vhost: Word,
    /// Which messages.
    pub routing_key: String,
    /// Its arguments.
    pub arguments: Arguments,
    /// The group that declares it: its place in [`Topology::groups`].
    pub group: Option<usize>,
}

/// Names with the same settings.
#[derive(Debug)]
pub struct Group {
    /// The whole of it.
    pub node: NodeId,
    /// The virtual host.
    pub vhost: Word,
    /// Whether its names are those of exchanges for broadcasts.
    pub broadcast: bool,
    /// The type of its queues: `classic`, `quorum` or `stream`.
    pub queue_type: Word,
    /// Whether one consumer gets everything, and where that is said.
    pub single_active_consumer: Option<Word>,
    /// How the routing keys of dead letters are made of names.
    pub dead_letters: Option<DeadLetters>,
}

/// How a group's dead letters find their queues.
#[derive(Debug)]
pub struct DeadLetters {
    /// The pattern: a Python format string with `{name}` for the queue.
    pub pattern: Word,
    /// The exchange that they go to, if one is named.
    pub exchange: Option<Word>,
    /// Whether their queues are declared with the group.
    pub create: bool,
    /// What is wrong with the pattern: the bytes of it, and a clause. Then the queues have no dead letters.
    pub fault: Option<(Range<usize>, String)>,
}

impl Word {
    /// A string.
    fn new(node: NodeRef<'_>) -> Option<Self> {
        (node.kind() == Kind::String).then(|| Self { text: node.text().into_owned(), node: node.id() })
    }

    /// A member that is a string.
    pub fn of(node: NodeRef<'_>, key: &str) -> Option<Self> {
        node.get(key).and_then(Self::new)
    }
}

impl Topology {
    /// What several files describe together. Places in files do not mean anything afterwards.
    pub fn of_files(files: impl IntoIterator<Item = Topology>) -> Self {
        let mut all = Self::default();
        files.into_iter().for_each(|file| all.add(file));
        all.settle();
        all
    }

    fn add(&mut self, other: Topology) {
        let groups = self.groups.len();
        let moved = |group: Option<usize>| group.map(|group| groups + group);
        self.vhosts.extend(other.vhosts);
        self.permissions.extend(other.permissions);
        self.policies.extend(other.policies);
        let exchanges = other.exchanges.into_iter();
        self.exchanges.extend(exchanges.map(|exchange| Exchange { group: moved(exchange.group), ..exchange }));
        let bindings = other.bindings.into_iter();
        self.bindings.extend(bindings.map(|binding| Binding { group: moved(binding.group), ..binding }));
        self.queues.extend(other.queues.into_iter().map(|queue| Queue { group: groups + queue.group, ..queue }));
        self.groups.extend(other.groups);
    }

    /// Finds what belongs together once everything is there.
    fn settle(&mut self) {
        fn places<T>(items: &[T], name: impl Fn(&T) -> &Word) -> HashMap<String, Vec<usize>> {
            let mut places: HashMap<String, Vec<usize>> = HashMap::new();
            for (place, item) in items.iter().enumerate() {
                places.entry(name(item).text.clone()).or_default().push(place);
            }
            places
        }
        self.queue_places = places(&self.queues, |queue| &queue.name);
        self.exchange_places = places(&self.exchanges, |exchange| &exchange.name);
        self.binding_places = places(&self.bindings, |binding| &binding.source);
        let policies = &self.policies;
        // Of several with the greatest priority, the first.
        let greatest = |applies: &mut dyn FnMut(&Policy) -> bool| {
            let found = policies.iter().enumerate().rev().filter(|(_, policy)| applies(policy));
            found.max_by_key(|(_, policy)| policy.priority).map(|(place, _)| place)
        };
        for queue in &mut self.queues {
            let mut is_sure = true;
            queue.policy = greatest(&mut |policy| {
                let matches = policy.matches_queue(queue);
                is_sure &= matches.is_some();
                matches == Some(true) && policy.unsupported(queue.kind()).next().is_none()
            });
            queue.is_sure = is_sure;
        }
        for exchange in &mut self.exchanges {
            exchange.policy = greatest(&mut |policy| policy.matches_exchange(exchange) == Some(true));
        }
    }

    /// The queues of this name, in whatever virtual host.
    fn queues_named(&self, name: &str) -> impl Iterator<Item = &Queue> {
        self.queue_places.get(name).into_iter().flatten().map(|&place| &self.queues[place])
    }

    /// The exchanges of this name, in whatever virtual host.
    fn exchanges_named(&self, name: &str) -> impl Iterator<Item = &Exchange> {
        self.exchange_places.get(name).into_iter().flatten().map(|&place| &self.exchanges[place])
    }

    /// The bindings from an exchange of this name, in whatever virtual host.
    pub fn bindings_from(&self, exchange: &str) -> impl Iterator<Item = &Binding> {
        self.binding_places.get(exchange).into_iter().flatten().map(|&place| &self.bindings[place])
    }

    /// The queue of this name, whatever its virtual host.
    pub fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues_named(name).next()
    }

    /// The queue of this name in a virtual host.
    pub fn queue_in(&self, vhost: &str, name: &str) -> Option<&Queue> {
        self.queues_named(name).find(|queue| queue.vhost.text == vhost)
    }

    /// The exchange of this name, whatever its virtual host.
    pub fn exchange(&self, name: &str) -> Option<&Exchange> {
        self.exchanges_named(name).next()
    }

    /// The exchange of this name in a virtual host.
    pub fn exchange_in(&self, vhost: &str, name: &str) -> Option<&Exchange> {
        self.exchanges_named(name).find(|exchange| exchange.vhost.text == vhost)
    }

    /// Whether an exchange is there: a declared one, or one that RabbitMQ has by itself.
    pub fn has_exchange(&self, vhost: &str, name: &str) -> bool {
        is_built_in(name) || self.exchange_in(vhost, name).is_some()
    }

    /// The policy that counts for a queue: of those that apply, the first with the greatest priority.
    pub fn policy_of(&self, queue: &Queue) -> Option<&Policy> {
        queue.policy.map(|place| &self.policies[place])
    }

    /// The policy that counts for an exchange.
    pub fn policy_of_exchange(&self, exchange: &Exchange) -> Option<&Policy> {
        exchange.policy.map(|place| &self.policies[place])
    }

    /// Whether it is known which policy counts for a queue.
    pub fn knows_policy(&self, queue: &Queue) -> bool {
        queue.is_sure
    }

    /// What a queue's argument or policy says, by the name that policies have for it; nothing when nobody can tell
    /// which policy counts.
    pub fn setting<'t>(&'t self, queue: &'t Queue, key: &str) -> Option<&'t Value> {
        let argument = queue.arguments.get(&format!("x-{key}"));
        argument.or_else(|| self.policy_of(queue).filter(|_| queue.is_sure)?.definition.get(key))
    }

    /// Which messages a queue drops for good because of a limit, in words.
    pub fn drops(&self, queue: &Queue) -> Option<String> {
        if self.dead_letters(queue).is_some() {
            return None;
        }
        let limit = |key| self.setting(queue, key).and_then(Value::as_i64);
        let rejects = self.setting(queue, "overflow").and_then(Value::as_str).is_some_and(|to| to != "drop-head");
        match (limit("message-ttl"), limit("max-length"), limit("max-length-bytes")) {
            (Some(0), ..) => Some("unless a service takes them immediately".to_owned()),
            (Some(1), ..) => Some("that wait longer than a millisecond".to_owned()),
            (Some(ttl), ..) if ttl % 1000 == 0 => Some(format!("that wait longer than {} s", ttl / 1000)),
            (Some(ttl), ..) => Some(format!("that wait longer than {ttl} ms")),
            (None, Some(most), _) if !rejects => Some(format!("when there are more than {most}")),
            (None, None, Some(most)) if !rejects => Some(format!("when they are more than {most} bytes")),
            _ => None,
        }
    }

    /// Where a queue's dead letters go: the exchange, and the routing key unless they keep their own.
    pub fn dead_letters<'t>(&'t self, queue: &'t Queue) -> Option<(&'t str, Option<&'t str>)> {
        let exchange = self.setting(queue, "dead-letter-exchange")?.as_str()?;
        Some((exchange, self.setting(queue, "dead-letter-routing-key").and_then(Value::as_str)))
    }

    /// The queue that a queue's dead letters end in, if it is sure which it is.
    pub fn dead_letter_queue<'t>(&'t self, queue: &'t Queue) -> Option<&'t Queue> {
        let (exchange, key) = self.dead_letters(queue)?;
        let key = key.unwrap_or(&queue.name.text);
        let vhost = queue.vhost.text.as_str();
        if exchange.is_empty() {
            return self.queue_in(vhost, key);
        }
        let from = self.bindings_from(exchange).filter(|binding| binding.vhost.text == vhost);
        let mut to =
            from.filter(|binding| binding.kind == Destination::Queue && self.takes(binding, key) == Some(true));
        self.queue_in(vhost, &to.next()?.destination.text)
    }

    /// Whether a message with this routing key takes a binding; nothing when that hangs on its headers.
    pub fn takes(&self, binding: &Binding, key: &str) -> Option<bool> {
        let exchange = self.exchange_in(&binding.vhost.text, &binding.source.text);
        let kind = match (exchange, binding.source.text.as_str()) {
            (Some(exchange), _) if exchange.kind == "x-delayed-message" => {
                exchange.arguments.get("x-delayed-type").and_then(Value::as_str).unwrap_or_default()
            }
            (Some(exchange), _) => &exchange.kind,
            (None, name) => name.strip_prefix("amq.").unwrap_or("direct"),
        };
        match kind {
            "direct" => Some(binding.routing_key == key),
            "fanout" => Some(true),
            "topic" => Some(topic_matches(&binding.routing_key, key)),
            _ => None,
        }
    }
}

impl Policy {
    /// What it applies to, in RabbitMQ's words.
    pub fn apply_to(&self) -> &'static str {
        match (self.of_queues, self.of_exchanges) {
            (true, true) => "all",
            (false, _) => "exchanges",
            _ => "queues",
        }
    }

    /// The settings that queues of a type do not know. RabbitMQ does not apply a policy with such a setting at all.
    pub fn unsupported<'p>(&'p self, queue_type: &str) -> impl Iterator<Item = &'p str> {
        let unknown = unsupported_settings(queue_type);
        self.definition.keys().map(String::as_str).filter(move |key| unknown.contains(key))
    }

    /// Whether it is certainly one of those of which the first counts for a queue.
    pub fn applies_to(&self, queue: &Queue) -> bool {
        self.matches_queue(queue) == Some(true) && self.unsupported(queue.kind()).next().is_none()
    }

    /// Whether a queue's name matches; nothing when nobody can tell.
    pub fn matches_queue(&self, queue: &Queue) -> Option<bool> {
        if !self.of_queues || self.vhost.text != queue.vhost.text {
            return Some(false);
        }
        self.pattern.matches(&queue.name.text)
    }

    /// Whether an exchange's name matches; nothing when nobody can tell.
    pub fn matches_exchange(&self, exchange: &Exchange) -> Option<bool> {
        if !self.of_exchanges || self.vhost.text != exchange.vhost.text {
            return Some(false);
        }
        self.pattern.matches(&exchange.name.text)
    }
}

/// Whether RabbitMQ has an exchange by itself: the default one, and those whose names only it can give.
pub fn is_built_in(exchange: &str) -> bool {
    exchange.is_empty() || exchange.starts_with("amq.")
}

/// The settings of policies that queues of a type do not support.
pub fn unsupported_settings(queue_type: &str) -> &'static [&'static str] {
    UNSUPPORTED.iter().find(|(kind, _)| *kind == queue_type).map_or(&[], |(_, keys)| keys)
}

/// Whether a routing key fits a key of a topic exchange: `*` is one word, `#` any number of them.
pub fn topic_matches(pattern: &str, key: &str) -> bool {
    // Which beginnings of the key the beginning of the pattern fits.
    let words: Vec<&str> = key.split('.').collect();
    let mut fits = vec![false; words.len() + 1];
    fits[0] = true;
    for part in pattern.split('.') {
        if part == "#" {
            let first = fits.iter().position(|&fits| fits).unwrap_or(fits.len());
            fits[first..].fill(true);
            continue;
        }
        for at in (0..words.len()).rev() {
            fits[at + 1] = fits[at] && (part == "*" || part == words[at]);
        }
        fits[0] = false;
    }
    fits[words.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_topic_exchanges() {
        for (pattern, key, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("#", "a.b", true),
            ("#.c", "a.b.c", true),
            ("#.c", "a.b", false),
            ("*.#.c", "c", false),
            ("*.#.c", "a.c", true),
        ] {
            assert_eq!(topic_matches(pattern, key), expected, "{pattern} on {key}");
        }
    }
}
