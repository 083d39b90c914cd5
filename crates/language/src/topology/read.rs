//! The reader of broker configurations.

use std::ops::Range;

use super::{
    Arguments, Binding, DeadLetters, Destination, Exchange, Group, MOST_NAME, Pattern, Permission, Policy, Queue,
    Topology, Vhost, Word,
};
use crate::syntax::{Kind, NodeRef, Tree};
use crate::template;
use crate::value::{Object, Value};

/// Reads the configuration that a document holds.
pub fn read(tree: &Tree) -> Topology {
    let root = tree.root();
    let mut topology = Topology {
        vhosts: items(root, "vhosts").filter_map(vhost).collect(),
        permissions: items(root, "permissions").filter_map(permission).collect(),
        policies: items(root, "policies").filter_map(policy).collect(),
        exchanges: items(root, "exchanges").filter_map(exchange).collect(),
        bindings: items(root, "bindings").filter_map(binding).collect(),
        ..Topology::default()
    };
    items(root, "groups").for_each(|node| group(&mut topology, node));
    topology.settle();
    topology
}

/// The objects in a list.
fn items<'t>(node: NodeRef<'t>, key: &str) -> impl Iterator<Item = NodeRef<'t>> {
    node.get(key).into_iter().flat_map(NodeRef::items).filter(|item| item.kind() == Kind::Object)
}

fn words(node: NodeRef<'_>, key: &str) -> Vec<Word> {
    node.get(key).into_iter().flat_map(NodeRef::items).filter_map(Word::new).collect()
}

fn text(node: NodeRef<'_>, key: &str) -> String {
    Word::of(node, key).map_or(String::new(), |word| word.text)
}

/// Whether a member is something that Python takes as true.
fn is_truthy(node: Option<NodeRef<'_>>) -> bool {
    node.is_some_and(|node| node.to_value().is_truthy())
}

fn arguments(node: Option<NodeRef<'_>>) -> Arguments {
    match node.map(NodeRef::to_value) {
        Some(Value::Object(object)) => Arguments(object),
        _ => Arguments::default(),
    }
}

fn vhost(node: NodeRef<'_>) -> Option<Vhost> {
    Some(Vhost {
        name: Word::of(node, "name")?,
        description: text(node, "description"),
        tags: words(node, "tags").into_iter().map(|tag| tag.text).collect(),
        tracing: is_truthy(node.get("tracing")),
    })
}

fn permission(node: NodeRef<'_>) -> Option<Permission> {
    let pattern = |key| Word::of(node, key).map(|word| (Pattern::new(word.text), word.node));
    Some(Permission {
        vhost: Word::of(node, "vhost")?,
        user: Word::of(node, "user")?,
        configure: pattern("configure"),
        write: pattern("write"),
        read: pattern("read"),
    })
}

fn policy(node: NodeRef<'_>) -> Option<Policy> {
    let pattern = Word::of(node, "pattern");
    let apply_to = Word::of(node, "apply-to");
    let is_for = |what| apply_to.as_ref().is_some_and(|apply_to| apply_to.text == what || apply_to.text == "all");
    Some(Policy {
        name: Word::of(node, "name")?,
        vhost: Word::of(node, "vhost")?,
        pattern_node: pattern.as_ref().map(|pattern| pattern.node),
        pattern: Pattern::new(pattern.map_or("^amq.".to_owned(), |pattern| pattern.text)),
        definition: arguments(node.get("definition")),
        definition_node: node.get("definition").map(NodeRef::id),
        priority: node.get("priority").and_then(NodeRef::as_integer).unwrap_or(0),
        of_queues: apply_to.is_none() || is_for("queues"),
        of_exchanges: is_for("exchanges"),
    })
}

fn exchange(node: NodeRef<'_>) -> Option<Exchange> {
    Some(Exchange {
        name: Word::of(node, "name")?,
        vhost: Word::of(node, "vhost")?,
        kind: text(node, "type"),
        durable: is_truthy(node.get("durable")),
        says_durable: node.get("durable").is_some(),
        auto_delete: is_truthy(node.get("auto_delete")),
        internal: is_truthy(node.get("internal")),
        arguments: arguments(node.get("arguments")),
        arguments_node: node.get("arguments").map(NodeRef::id),
        group: None,
        policy: None,
    })
}

fn binding(node: NodeRef<'_>) -> Option<Binding> {
    let destination = Word::of(node, "destination")?;
    Some(Binding {
        source: Word::of(node, "source")?,
        routing_key: Word::of(node, "routing_key").map_or_else(|| destination.text.clone(), |key| key.text),
        destination,
        kind: match text(node, "destination_type").as_str() {
            "e" => Destination::Exchange,
            _ => Destination::Queue,
        },
        vhost: Word::of(node, "vhost")?,
        arguments: arguments(node.get("arguments")),
        group: None,
    })
}

fn group(topology: &mut Topology, node: NodeRef<'_>) {
    let settings = node.get("settings");
    let setting = |key| settings.and_then(|settings| settings.get(key));
    let queues = setting("queues");
    let of_queues = |key| queues.and_then(|queues| Word::of(queues, key));
    let nowhere = |text: &str| Word { text: text.to_owned(), node: node.id() };
    let vhost = Word::of(node, "vhost").unwrap_or_else(|| nowhere("/"));
    let names = words(node, "names");
    let index = topology.groups.len();
    let group = Group {
        node: node.id(),
        vhost: vhost.clone(),
        broadcast: is_truthy(setting("broadcast")),
        queue_type: of_queues("type").unwrap_or_else(|| nowhere("classic")),
        single_active_consumer: setting("single_active_consumer")
            .filter(|node| is_truthy(Some(*node)))
            .map(|node| Word { text: node.text().into_owned(), node: node.id() }),
        dead_letters: of_queues("dead-letter-routing-key-pattern").filter(|word| !word.text.is_empty()).map(
            |pattern| {
                let create = queues.and_then(|queues| queues.get("dead-letter-queue-create"));
                DeadLetters {
                    fault: dead_letter_key(&pattern.text, "").err(),
                    pattern,
                    exchange: of_queues("dead-letter-exchange"),
                    create: create.is_none() || is_truthy(create),
                }
            },
        ),
    };
    if group.broadcast {
        topology.exchanges.extend(names.into_iter().map(|name| Exchange {
            name,
            vhost: vhost.clone(),
            kind: "fanout".to_owned(),
            durable: true,
            says_durable: true,
            auto_delete: false,
            internal: false,
            arguments: Arguments::default(),
            arguments_node: None,
            group: Some(index),
            policy: None,
        }));
        topology.groups.push(group);
        return;
    }
    let kind = group.queue_type.text.as_str();
    let single = setting("single_active_consumer").map_or(Value::Bool(false), NodeRef::to_value);
    let queue = |name: Word, arguments, is_dead_letter_queue| Queue {
        name,
        vhost: vhost.clone(),
        arguments: Arguments(arguments),
        is_dead_letter_queue,
        group: index,
        policy: None,
        is_sure: true,
    };
    let with_type = || Object::from_iter([("x-queue-type".to_owned(), Value::from(kind))]);
    let pattern = group.dead_letters.as_ref().filter(|letters| letters.fault.is_none()).map(|letters| &letters.pattern);
    let key = |name: &Word| dead_letter_key(&pattern?.text, &name.text).ok();
    for name in &names {
        let mut arguments = with_type();
        if kind != "stream" {
            arguments.insert("x-single-active-consumer".to_owned(), single.clone());
        }
        if let Some(key) = key(name) {
            let exchange = group.dead_letters.iter().find_map(|letters| letters.exchange.as_ref());
            let exchange = exchange.map_or("", |exchange| &exchange.text);
            arguments.insert("x-dead-letter-exchange".to_owned(), Value::from(exchange));
            arguments.insert("x-dead-letter-routing-key".to_owned(), Value::from(key));
        }
        topology.queues.push(queue(name.clone(), arguments, false));
    }
    if group.dead_letters.as_ref().is_some_and(|letters| letters.create) {
        for name in &names {
            if let Some(key) = key(name) {
                topology.queues.push(queue(Word { text: key, node: name.node }, with_type(), true));
            }
        }
    }
    let sources: Option<Vec<Word>> = node.get("bindings").map(|_| words(node, "bindings"));
    for source in sources.map_or(vec![None], |sources| sources.into_iter().map(Some).collect()) {
        topology.bindings.extend(names.iter().map(|name| Binding {
            source: source.clone().unwrap_or_else(|| Word { text: String::new(), node: name.node }),
            destination: name.clone(),
            kind: Destination::Queue,
            vhost: vhost.clone(),
            routing_key: name.text.clone(),
            arguments: Arguments::default(),
            group: Some(index),
        }));
    }
    topology.groups.push(group);
}

/// The routing key of a queue's dead letters: the pattern with `{name}` filled in.
fn dead_letter_key(pattern: &str, name: &str) -> Result<String, (Range<usize>, String)> {
    let template =
        template::parse(pattern).map_err(|error| (error.span, "the braces form no placeholder".to_owned()))?;
    let unknown = template.fields().into_iter().find(|field| field.name != "name");
    if let Some(field) = unknown {
        return Err((field.span.clone(), format!("`{{{}}}` is unknown", field.name)));
    }
    if template.replace {
        return Err((0..pattern.len(), "`{$REPLACE:…}` is for recipes".to_owned()));
    }
    let parameters = Object::from_iter([("name".to_owned(), Value::from(name))]);
    match template.apply(&parameters) {
        Ok(Value::String(key)) if key.len() > MOST_NAME + name.len() => {
            Err((0..pattern.len(), format!("names have at most {MOST_NAME} bytes")))
        }
        Ok(Value::String(key)) => Ok(key),
        Ok(_) => Err((0..pattern.len(), "it makes no text".to_owned())),
        Err(error) => Err((error.span, error.reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_keys_of_dead_letters() {
        for (pattern, expected) in [
            ("dlq.{name}", Ok("dlq.images")),
            ("dlq", Ok("dlq")),
            ("{{{name}}}", Ok("{images}")),
            ("{name!r}", Ok("'images'")),
            ("dlq.{queue}", Err("{queue}")),
            ("dlq.{}", Err("{}")),
            ("dlq.{name", Err("{")),
            ("dlq.{name[key]}", Err("{name[key]}")),
            ("{$REPLACE:name}", Err("{$REPLACE:name}")),
            ("{name:>300}", Err("{name:>300}")),
        ] {
            let found = dead_letter_key(pattern, "images");
            let found = found.as_deref().map_err(|(range, _)| &pattern[range.clone()]);
            assert_eq!(found, expected, "{pattern}");
        }
    }
}
