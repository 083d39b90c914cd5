//! What a configuration describes, and what a broker has.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Found, Hash, Kind, Live, Thing};
use crate::ops::management::{self, Management};
use zrecipe_broker::transport::TRANSPORTS;
use zrecipe_language::topology::Topology;
use zrecipe_language::topology::users::{User, salt};
use zrecipe_language::value::Value;

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

    pub(super) fn named(&self, kind: Kind, vhost: &str, name: &str) -> Option<&Found> {
        let is_it = |thing: &Thing| thing.kind == kind && thing.vhost == vhost && thing.name == name;
        self.things.iter().find(|found| is_it(&found.thing))
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Something as the management API describes it.
pub(super) fn found(kind: Kind, value: &Value) -> Found {
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
    let mut own = TRANSPORTS.iter().filter_map(|entry| entry.own_prefix);
    let is_ours = own.any(|own| ["name", "source", "destination"].iter().any(|key| text(value, key).starts_with(own)));
    let messages = number("messages") + number("messages_delayed");
    Found {
        thing,
        messages,
        consumers: number("consumers"),
        is_temporary: is_temporary || is_ours,
        key: text(value, "properties_key").to_owned(),
    }
}
