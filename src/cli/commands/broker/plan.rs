//! `zrecipe broker plan`: everything that the broker would have.

use super::described::Described;
use crate::cli::table::align;
use crate::cli::{Error, Session, print};
use zrecipe_language::secret::hidden;
use zrecipe_language::topology::users::User;
use zrecipe_language::topology::{Destination, Policy, Queue, Topology};
use zrecipe_language::value::{Object, Value};

/// Print all objects that a configuration describes: queues, exchanges, bindings, policies, users
///
/// Groups are expanded, including the dead-letter queues created for them, and each policy is listed with the objects
/// it applies to. If the configuration has errors, the errors are printed instead, and the exit code is 1. Passwords
/// are never shown.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    described: Described,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// The same as `--format json`.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let (compilation, users) = args.described.read(session)?;
    let topology = compilation.document.broker().ok_or_else(Error::findings)?;
    let is_json = args.json || args.format == "json";
    print(&if is_json { hidden("", json(topology, &users)).to_json_pretty() + "\n" } else { table(topology, &users) })
}

/// Things in the order of their names, those of one virtual host together.
fn sorted<'t, T>(items: &'t [T], key: impl Fn(&'t T) -> (&'t str, &'t str)) -> Vec<&'t T> {
    let mut items: Vec<&T> = items.iter().collect();
    items.sort_by_key(|item| key(item));
    items
}

fn policies(topology: &Topology) -> Vec<&Policy> {
    sorted(&topology.policies, |policy| (&policy.vhost.text, &policy.name.text))
}

fn queues(topology: &Topology) -> Vec<&Queue> {
    sorted(&topology.queues, |queue| (&queue.vhost.text, &queue.name.text))
}

/// The names of the queues and exchanges to which a policy applies, each kind in order.
fn applies_to<'t>(topology: &'t Topology, policy: &Policy) -> (Vec<&'t str>, Vec<&'t str>) {
    let counts = |queue: &&Queue| topology.policy_of(queue).is_some_and(|found| std::ptr::eq(found, policy));
    let queues = queues(topology).into_iter().filter(counts).map(|queue| queue.name.text.as_str()).collect();
    let exchanges = sorted(&topology.exchanges, |exchange| (&exchange.vhost.text, &exchange.name.text));
    let exchanges = exchanges
        .into_iter()
        .filter(|exchange| topology.policy_of_exchange(exchange).is_some_and(|found| std::ptr::eq(found, policy)));
    (queues, exchanges.map(|exchange| exchange.name.text.as_str()).collect())
}

fn json(topology: &Topology, users: &[(User, String)]) -> Value {
    let text = |text: &str| Value::from(text);
    let vhosts = sorted(&topology.vhosts, |vhost| (&vhost.name.text, "")).into_iter().map(|vhost| {
        Value::from([
            ("name", text(&vhost.name.text)),
            ("description", text(&vhost.description)),
            ("tags", Value::from(vhost.tags.clone())),
            ("tracing", Value::Bool(vhost.tracing)),
        ])
    });
    let users = users.iter().map(|(user, file)| {
        Value::from([("name", text(&user.name)), ("tags", Value::from(user.tags.clone())), ("file", text(file))])
    });
    let rights = sorted(&topology.permissions, |rights| (&rights.vhost.text, &rights.user.text));
    let permissions = rights.into_iter().map(|rights| {
        let pattern = |right: &Option<(zrecipe_language::topology::Pattern, _)>| {
            Value::from(right.as_ref().map(|(pattern, _)| pattern.as_str()))
        };
        Value::from([
            ("vhost", text(&rights.vhost.text)),
            ("user", text(&rights.user.text)),
            ("configure", pattern(&rights.configure)),
            ("write", pattern(&rights.write)),
            ("read", pattern(&rights.read)),
        ])
    });
    let policies = policies(topology).into_iter().map(|policy| {
        let (queues, exchanges) = applies_to(topology, policy);
        Value::from([
            ("vhost", text(&policy.vhost.text)),
            ("name", text(&policy.name.text)),
            ("pattern", text(policy.pattern.as_str())),
            ("apply-to", text(policy.apply_to())),
            ("priority", Value::from(policy.priority)),
            ("definition", Value::Object((*policy.definition).clone())),
            ("queues", Value::from(queues)),
            ("exchanges", Value::from(exchanges)),
        ])
    });
    let exchanges = sorted(&topology.exchanges, |exchange| (&exchange.vhost.text, &exchange.name.text));
    let bindings = sorted(&topology.bindings, |binding| (&binding.vhost.text, &binding.destination.text));
    let queues = queues(topology).into_iter().map(|queue| {
        let mut definition = match queue.definition() {
            Value::Object(definition) => definition,
            _ => Object::new(),
        };
        let name = |name: Option<&str>| Value::from(name);
        definition.insert("policy".to_owned(), name(topology.policy_of(queue).map(|policy| policy.name.text.as_str())));
        let letters = topology.dead_letter_queue(queue).map(|queue| queue.name.text.as_str());
        definition.insert("dead_letter_queue".to_owned(), name(letters));
        Value::Object(definition)
    });
    Value::from([
        ("version", Value::from(1)),
        ("vhosts", Value::Array(vhosts.collect())),
        ("users", Value::Array(users.collect())),
        ("permissions", Value::Array(permissions.collect())),
        ("policies", Value::Array(policies.collect())),
        ("exchanges", Value::Array(exchanges.into_iter().map(|exchange| exchange.definition()).collect())),
        ("bindings", Value::Array(bindings.into_iter().map(|binding| binding.definition()).collect())),
        ("queues", Value::Array(queues.collect())),
    ])
}

/// Tables of what there is, an empty line between two.
fn table(topology: &Topology, users: &[(User, String)]) -> String {
    let mut tables: Vec<String> = Vec::new();
    fn add<const N: usize>(tables: &mut Vec<String>, head: [&str; N], rows: Vec<[String; N]>) {
        if !rows.is_empty() {
            let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
            tables.push(align(&rows));
        }
    }
    let vhosts = sorted(&topology.vhosts, |vhost| (&vhost.name.text, ""));
    let vhosts =
        vhosts.into_iter().map(|vhost| [vhost.name.text.clone(), vhost.tags.join(","), vhost.description.clone()]);
    add(&mut tables, ["virtual host", "tags", "description"], vhosts.collect());
    let users = users.iter().map(|(user, file)| [user.name.clone(), or_dash(user.tags.join(",")), file.clone()]);
    add(&mut tables, ["user", "tags", "file"], users.collect());
    let rights = sorted(&topology.permissions, |rights| (&rights.vhost.text, &rights.user.text));
    let rights = rights.into_iter().map(|rights| {
        let pattern = |right: &Option<(zrecipe_language::topology::Pattern, _)>| {
            or_dash(right.as_ref().map_or(String::new(), |(pattern, _)| pattern.as_str().to_owned()))
        };
        let (configure, write, read) = (pattern(&rights.configure), pattern(&rights.write), pattern(&rights.read));
        [rights.user.text.clone(), rights.vhost.text.clone(), configure, write, read]
    });
    add(&mut tables, ["permissions of", "virtual host", "configure", "write", "read"], rights.collect());
    let policies = policies(topology).into_iter().map(|policy| {
        let (queues, exchanges) = applies_to(topology, policy);
        let count = |names: Vec<&str>, one: &str| match names.as_slice() {
            [] => None,
            [only] => Some(format!("{one} {only}")),
            many => Some(format!("{} {one}s", many.len())),
        };
        let to: Vec<String> = count(queues, "queue").into_iter().chain(count(exchanges, "exchange")).collect();
        let to = if to.is_empty() { "nothing declared here".to_owned() } else { to.join(", ") };
        let (name, vhost) = (policy.name.text.clone(), policy.vhost.text.clone());
        let pattern = policy.pattern.as_str().to_owned();
        [name, vhost, policy.priority.to_string(), pattern, settings(&policy.definition), to]
    });
    let head = ["policy", "virtual host", "priority", "pattern", "settings", "applies to"];
    add(&mut tables, head, policies.collect());
    let exchanges = sorted(&topology.exchanges, |exchange| (&exchange.vhost.text, &exchange.name.text));
    let exchanges = exchanges.into_iter().map(|exchange| {
        let durable = if exchange.durable { "durable" } else { "transient" }.to_owned();
        let (name, vhost) = (exchange.name.text.clone(), exchange.vhost.text.clone());
        [name, vhost, exchange.kind.clone(), durable, or_dash(settings(&exchange.arguments))]
    });
    add(&mut tables, ["exchange", "virtual host", "type", "durability", "arguments"], exchanges.collect());
    let queues = queues(topology).into_iter().map(|queue| {
        let letters = match (topology.dead_letters(queue), topology.dead_letter_queue(queue)) {
            (_, Some(queue)) => queue.name.text.clone(),
            (Some((exchange, _)), None) => format!("exchange {exchange}"),
            (None, None) => "-".to_owned(),
        };
        let single = queue.arguments.get("x-single-active-consumer").is_some_and(Value::is_truthy);
        let consumers = if single { "one at a time" } else { "many" }.to_owned();
        let policy = topology.policy_of(queue).map_or("-", |policy| &policy.name.text).to_owned();
        [queue.name.text.clone(), queue.vhost.text.clone(), queue.kind().to_owned(), consumers, letters, policy]
    });
    add(&mut tables, ["queue", "virtual host", "type", "consumers", "dead letters", "policy"], queues.collect());
    // The default exchange leads to every queue by itself.
    let bindings = sorted(&topology.bindings, |binding| (&binding.vhost.text, &binding.destination.text));
    let bindings = bindings.into_iter().filter(|binding| !binding.source.text.is_empty()).map(|binding| {
        let to = match binding.kind {
            Destination::Queue => binding.destination.text.clone(),
            Destination::Exchange => format!("exchange {}", binding.destination.text),
        };
        let vhost = binding.vhost.text.clone();
        [binding.source.text.clone(), to, vhost, binding.routing_key.clone(), or_dash(settings(&binding.arguments))]
    });
    add(&mut tables, ["binding from", "to", "virtual host", "routing key", "arguments"], bindings.collect());
    tables.join("\n")
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// `name=value` for each.
fn settings(object: &Object) -> String {
    let show = |(key, value): (&String, &Value)| match hidden(key, value.clone()) {
        Value::String(text) if !text.is_empty() && !text.contains(' ') => format!("{key}={text}"),
        other => format!("{key}={}", other.to_json()),
    };
    object.iter().map(show).collect::<Vec<_>>().join(" ")
}
