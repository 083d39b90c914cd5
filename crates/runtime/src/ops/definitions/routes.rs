//! Where the dead letters of a broker's queues go: by queues, exchanges, bindings and policies as they are or would be.
//!
//! RabbitMQ publishes a dead letter to the exchange that the queue's arguments name, or else its policy, with the routing
//! key that these name, or else the message's own (<https://www.rabbitmq.com/docs/dlx>). A policy counts for a queue when
//! its pattern matches and no other that matches has a greater priority. Of several with the same priority RabbitMQ does
//! not define which counts, so all of them are considered.

use std::collections::BTreeMap;

use super::{Change, Id, Kind, Live, Thing};
use zrecipe_language::topology::{Pattern, topic_matches, unsupported_settings};
use zrecipe_language::value::Value;

/// What a broker has at some moment.
pub(super) struct State<'t> {
    things: BTreeMap<Id<'t>, &'t Thing>,
    policies: Vec<(&'t Thing, Pattern)>,
}

/// Where dead letters are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route<'t> {
    vhost: &'t str,
    exchange: &'t str,
    /// The routing key; none where letters keep their own.
    key: Option<&'t str>,
}

impl Route<'_> {
    /// Whether letters keep their own routing keys.
    pub(super) fn keeps_key(&self) -> bool {
        self.key.is_none()
    }
}

impl<'t> State<'t> {
    /// What a broker has.
    pub(super) fn of(live: &'t Live) -> Self {
        Self::after(live, &[], |_| false)
    }

    /// What a broker has after those changes that are `made`.
    pub(super) fn after(live: &'t Live, changes: &'t [Change], made: impl Fn(&Change) -> bool) -> Self {
        use super::Action::{Create, Recreate, Remove, Update};
        let mut things: BTreeMap<_, _> = live.things.iter().map(|found| (found.thing.id(), &found.thing)).collect();
        for change in changes.iter().filter(|change| made(change)) {
            let thing = &change.thing;
            if matches!(change.action, Recreate | Remove) {
                things.retain(|_, binding| !goes_with(binding, thing));
            }
            match change.action {
                Create | Update | Recreate => _ = things.insert(thing.id(), thing),
                Remove if thing.kind == Kind::Vhost => {
                    things.retain(|_, inside| inside.vhost != thing.name && inside.id() != thing.id());
                }
                Remove => _ = things.remove(&thing.id()),
            }
        }
        let policies = things.values().filter(|thing| thing.kind == Kind::Policy);
        let policies = policies.map(|policy| (*policy, Pattern::new(policy.text("pattern")))).collect();
        Self { things, policies }
    }

    /// What it has of a kind.
    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = &'t Thing> {
        self.things.values().copied().filter(move |thing| thing.kind == kind)
    }

    /// The same thing, as it is at this moment.
    pub(super) fn find(&self, thing: &Thing) -> Option<&'t Thing> {
        self.things.get(&thing.id()).copied()
    }

    fn named(&self, kind: Kind, vhost: &'t str, name: &str) -> Option<&'t Thing> {
        self.things.get(&(kind, vhost, name.to_owned())).copied()
    }

    /// Whether both ends of a binding are there.
    pub(super) fn has_ends(&self, binding: &'t Thing) -> bool {
        let is_exchange = binding.text("destination_type") == "exchange";
        let kind = if is_exchange { Kind::Exchange } else { Kind::Queue };
        let source = self.named(Kind::Exchange, &binding.vhost, binding.text("source"));
        source.is_some() && self.named(kind, &binding.vhost, binding.text("destination")).is_some()
    }

    /// The policies of which one counts for a queue.
    fn policies_of(&self, queue: &Thing) -> Vec<&'t Thing> {
        let matching = self.policies.iter().filter(|(policy, pattern)| matches(policy, pattern, queue));
        let matching: Vec<&Thing> = matching.map(|(policy, _)| *policy).collect();
        let priority = |policy: &Thing| policy.settings.get("priority").and_then(Value::as_i64).unwrap_or(0);
        let greatest = matching.iter().map(|policy| priority(policy)).max();
        matching.into_iter().filter(|policy| Some(priority(policy)) == greatest).collect()
    }

    /// Where a queue's dead letters may go.
    pub(super) fn routes(&self, queue: &'t Thing) -> Vec<Route<'t>> {
        let policies = self.policies_of(queue);
        let policies = if policies.is_empty() { vec![None] } else { policies.into_iter().map(Some).collect() };
        let mut routes: Vec<Route<'t>> = Vec::new();
        for policy in policies {
            let setting = |key: &str| {
                let argument = queue.settings.get("arguments").and_then(|arguments| arguments.get(&format!("x-{key}")));
                argument.or_else(|| policy?.settings.get("definition")?.get(key)).and_then(Value::as_str)
            };
            let Some(exchange) = setting("dead-letter-exchange") else { continue };
            let key = setting("dead-letter-routing-key");
            // What comes by the default exchange has the name of its queue as its routing key.
            let key = if exchange.is_empty() { key.or(Some(&queue.name)) } else { key };
            let route = Route { vhost: &queue.vhost, exchange, key };
            if !routes.contains(&route) {
                routes.push(route);
            }
        }
        routes
    }

    /// All that dead letters may pass on a route, the queues that they reach included; nothing where they reach none.
    pub(super) fn way(&self, route: &Route<'t>) -> Vec<&'t Thing> {
        let mut found = Vec::new();
        self.follow(route, &mut found);
        if found.iter().any(|thing| thing.kind == Kind::Queue) { found } else { Vec::new() }
    }

    fn follow(&self, route: &Route<'t>, found: &mut Vec<&'t Thing>) {
        let Route { vhost, exchange, key } = *route;
        if exchange.is_empty() {
            found.extend(key.and_then(|key| self.named(Kind::Queue, vhost, key)));
            return;
        }
        let Some(source) = self.named(Kind::Exchange, vhost, exchange) else { return };
        if found.contains(&source) {
            return;
        }
        found.push(source);
        let bindings = self.all(Kind::Binding).filter(|binding| binding.vhost == vhost);
        for binding in bindings.filter(|binding| binding.text("source") == exchange && takes(source, binding, key)) {
            let destination = binding.text("destination");
            if binding.text("destination_type") == "exchange" {
                found.push(binding);
                self.follow(&Route { exchange: destination, ..route.clone() }, found);
            } else if let Some(queue) = self.named(Kind::Queue, vhost, destination) {
                found.extend([binding, queue]);
            }
        }
    }
}

/// Whether a binding goes with a queue or an exchange when that is deleted.
pub(super) fn goes_with(binding: &Thing, end: &Thing) -> bool {
    let kind = match binding.text("destination_type") {
        "exchange" => Kind::Exchange,
        _ => Kind::Queue,
    };
    let is_destination = kind == end.kind && binding.text("destination") == end.name;
    let is_source = end.kind == Kind::Exchange && binding.text("source") == end.name;
    // The default exchange leads to every queue by itself.
    binding.kind == Kind::Binding
        && binding.vhost == end.vhost
        && !binding.text("source").is_empty()
        && (is_destination || is_source)
}

/// Whether a policy is one of those that may count for a queue. A pattern that cannot be read may match.
pub(super) fn counts(policy: &Thing, queue: &Thing) -> bool {
    policy.kind == Kind::Policy && matches(policy, &Pattern::new(policy.text("pattern")), queue)
}

fn matches(policy: &Thing, pattern: &Pattern, queue: &Thing) -> bool {
    let kind = queue.settings.get("arguments").and_then(|arguments| arguments.get("x-queue-type"));
    let kind = kind.and_then(Value::as_str).unwrap_or("classic");
    let applies = match policy.text("apply-to") {
        "" | "all" | "queues" => true,
        "classic_queues" => kind == "classic",
        "quorum_queues" => kind == "quorum",
        "streams" => kind == "stream",
        _ => false,
    };
    let unknown = unsupported_settings(kind);
    let definition = policy.settings.get("definition").and_then(Value::as_object);
    let is_supported = definition.is_none_or(|definition| definition.keys().all(|key| !unknown.contains(&&**key)));
    policy.vhost == queue.vhost && applies && is_supported && pattern.matches(&queue.name).unwrap_or(true)
}

/// Whether a message with this routing key may take a binding.
fn takes(exchange: &Thing, binding: &Thing, key: Option<&str>) -> bool {
    let kind = match exchange.text("type") {
        "x-delayed-message" => {
            let arguments = exchange.settings.get("arguments");
            arguments.and_then(|arguments| arguments.get("x-delayed-type")).and_then(Value::as_str).unwrap_or_default()
        }
        kind => kind,
    };
    match (kind, key) {
        ("direct", Some(key)) => binding.text("routing_key") == key,
        ("topic", Some(key)) => topic_matches(binding.text("routing_key"), key),
        _ => true,
    }
}
