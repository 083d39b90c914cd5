//! Evidence for the kind of a document. Repositories are full of JSON and YAML of other programs, so that one key with
//! a common name is no evidence: its value must have the form, or a second key must belong to the same kind.

use super::DocumentKind;
use crate::diagnostic::nearest;
use crate::syntax::{Kind, NodeRef, Notation, Tree};

/// The kind that the content of a document shows; none if it may as well belong to another program.
pub fn detect(tree: &Tree) -> Option<DocumentKind> {
    let root = tree.root();
    match Notation::of(tree.source().name()) {
        Notation::Toml => return is_settings(root, tree.source().name()).then_some(DocumentKind::Settings),
        Notation::Ini => return tree.source().text().contains("[rabbitmq]").then_some(DocumentKind::Users),
        Notation::Json | Notation::Yaml => {}
    }
    type Shows = fn(NodeRef<'_>) -> bool;
    let kinds: [(DocumentKind, Shows); 6] = [
        (DocumentKind::Contract, is_contract),
        (DocumentKind::Recipe, is_recipe),
        (DocumentKind::Site, is_site),
        (DocumentKind::Plugin, is_plugin),
        (DocumentKind::Broker, is_broker),
        (DocumentKind::Request, |root| is_request(super::request(root)) || is_letter(root)),
    ];
    kinds.into_iter().find(|(_, shows)| shows(root)).map(|(kind, _)| kind)
}

fn is_object(node: NodeRef<'_>) -> bool {
    node.kind() == Kind::Object
}

fn is_array_of(node: NodeRef<'_>, kind: Kind) -> bool {
    node.kind() == Kind::Array && node.items().next().is_some_and(|item| item.kind() == kind)
}

/// The number of these keys that the object has.
fn count(node: NodeRef<'_>, keys: &[&str]) -> usize {
    keys.iter().filter(|key| node.get(key).is_some()).count()
}

fn is_step_number(key: NodeRef<'_>) -> bool {
    key.text().trim().parse::<i64>().is_ok()
}

/// A step with a key that only steps have together with a number, or a list of starts.
fn is_recipe(root: NodeRef<'_>) -> bool {
    const STEP: [&str; 9] =
        ["queue", "topic", "service", "exchange", "output", "outputs", "error", "parameters", "job_parameters"];
    let mut numbered = root.members().filter(|member| is_step_number(member.key)).peekable();
    let has_number = numbered.peek().is_some();
    let is_step = |value: NodeRef<'_>| count(value, &["queue", "topic", "outputs"]) > 0 || count(value, &STEP) > 1;
    if numbered.any(|member| is_step(member.value)) {
        return true;
    }
    let Some(start) = root.get("start") else { return false };
    let is_entry = |entry: NodeRef<'_>| {
        let mut parts = entry.items();
        let number = parts.next().is_some_and(|first| first.text().trim().parse::<i64>().is_ok());
        number && parts.next().is_none_or(|payload| matches!(payload.kind(), Kind::Array | Kind::Object | Kind::String))
    };
    match start.kind() {
        Kind::Array if start.is_empty() => has_number,
        Kind::Array => start.items().any(is_entry),
        _ => has_number && root.members().any(|member| is_step_number(member.key) && is_object(member.value)),
    }
}

/// Names and queues of a service, or one of them beside what only contracts have.
fn is_contract(root: NodeRef<'_>) -> bool {
    /// Keys of contracts that are rare elsewhere.
    const OWN: [&str; 7] = ["job_parameters", "other_queues", "channels", "payload", "variants", "run", "wrapper"];
    let schema = root.get("$schema").map(|schema| schema.text().into_owned()).unwrap_or_default();
    if schema.ends_with("contract.schema.json") {
        return true;
    }
    if root.members().any(|member| is_step_number(member.key)) || root.get("start").is_some() {
        return false;
    }
    // A list, or a slip: a text in its place. Objects are queues of a broker.
    let lists = |key: &str| {
        root.get(key).is_some_and(|value| match value.kind() {
            Kind::Object => false,
            Kind::Array => value.items().next().is_none_or(|item| !is_object(item)),
            _ => true,
        })
    };
    let has_schema = || {
        root.get("parameters").is_some_and(|schema| {
            is_object(schema) && (schema.is_empty() || count(schema, &["type", "properties", "required", "$ref"]) > 0)
        })
    };
    match (lists("names"), lists("queues")) {
        (true, true) => true,
        (true, false) | (false, true) => count(root, &OWN) > 0 || has_schema(),
        (false, false) => false,
    }
}

/// Plugin blocks beside `version`, `environments` or `include`; or environments in the form of version 1.
fn is_site(root: NodeRef<'_>) -> bool {
    let has_blocks = root.members().any(|member| member.value.get("plugin").is_some());
    if has_blocks && count(root, &["version", "environments", "include"]) > 0 {
        return true;
    }
    let is_first = root.get("version").is_some_and(|version| version.as_integer() == Some(1));
    let includes = root.get("include").is_some_and(|include| is_array_of(include, Kind::String));
    let is_environment = |value: NodeRef<'_>| match value.kind() {
        Kind::Array => value.items().all(|item| item.kind() == Kind::String),
        Kind::Object => value.get("plugins").is_some(),
        _ => false,
    };
    let Some(environments) = root.get("environments") else { return is_first && includes };
    let mut known = environments.members().filter(|member| is_environment(member.value));
    is_first && (includes || known.next().is_some() || environments.is_empty())
        // Without a version, an environment must name a block of this file.
        || environments.members().any(|member| match member.value.kind() {
            Kind::Array => member.value.items().any(|name| root.get(&name.text()).is_some_and(is_object)),
            Kind::String => environments.get(&member.value.text()).is_some(),
            _ => false,
        })
}

/// A block of one of the plugins that Zocalo has, or of one that is misspelt.
fn is_plugin(root: NodeRef<'_>) -> bool {
    root.get("plugin").is_some_and(|plugin| {
        let text = plugin.text();
        crate::site::plugins().any(|known| plugin.is(known))
            || plugin.kind() == Kind::String && nearest(&text, crate::site::plugins()).is_some()
    })
}

/// A list whose items have the keys of broker objects.
fn is_broker(root: NodeRef<'_>) -> bool {
    // RabbitMQ's own export of definitions has lists of the same names.
    if count(root, &["rabbit_version", "rabbitmq_version", "product_version"]) > 0 {
        return false;
    }
    /// A list of a broker configuration, and keys that only its items have together.
    const LISTS: [(&str, &[&str]); 7] = [
        ("groups", &["names"]),
        ("policies", &["pattern", "definition"]),
        ("policies", &["pattern", "apply-to"]),
        ("exchanges", &["name", "type"]),
        ("bindings", &["source", "destination"]),
        ("permissions", &["user", "configure"]),
        ("vhosts", &["name"]),
    ];
    let is_list = |key: &str| root.get(key).is_some_and(|value| value.kind() == Kind::Array);
    let has_typical = |(key, keys): &(&str, &[&str])| {
        let items = root.get(key).into_iter().flat_map(NodeRef::items);
        items.take(3).any(|item| count(item, keys) == keys.len())
    };
    let lists = LISTS.iter().filter(|(key, _)| is_list(key)).map(|(key, _)| *key);
    let lists = lists.collect::<std::collections::BTreeSet<_>>().len();
    match lists {
        0 => false,
        // One list must fill the document.
        1 => {
            root.members().filter(|member| !member.key.text().starts_with(['_', '.'])).count() == 1
                && LISTS.iter().any(has_typical)
        }
        _ => LISTS.iter().any(has_typical) || lists >= 3,
    }
}

/// Names of recipes beside parameters, or nothing but what requests have.
fn is_request(root: NodeRef<'_>) -> bool {
    let recipes = root.get("recipes");
    let is_list = recipes.is_some_and(|recipes| {
        recipes.kind() == Kind::Array && recipes.items().next().is_none_or(|name| !is_object(name))
    });
    let asks = recipes.is_some_and(|recipes| !is_object(recipes) && (is_list || recipes.kind() != Kind::Array))
        || root.get("custom_recipe").is_some();
    match root.get("parameters") {
        Some(parameters) => {
            let is_own = |key: NodeRef<'_>| ["recipes", "parameters", "custom_recipe"].iter().any(|own| key.is(own));
            asks && (parameters.kind() != Kind::Array || root.members().all(|member| is_own(member.key)))
        }
        None => is_list && root.members().count() <= 2,
    }
}

/// A message with its headers: a drop file, or the file of a dead letter.
fn is_letter(root: NodeRef<'_>) -> bool {
    root.get("message").is_some() && ["headers", "header"].iter().any(|key| root.get(key).is_some_and(is_object))
}

/// Settings have this name, or keys that are theirs.
fn is_settings(root: NodeRef<'_>, name: &str) -> bool {
    const OWN: [&str; 13] = [
        "baseline",
        "broker",
        "cluster",
        "contracts",
        "dispatcher",
        "files",
        "overrides",
        "recipe-directories",
        "rules",
        "runner",
        "site",
        "site-rules",
        "suppress",
    ];
    name.rsplit('/').next().is_some_and(|name| name.ends_with(super::SETTINGS_FILE))
        || root.members().count() > 0 && root.members().all(|member| OWN.iter().any(|key| member.key.is(key)))
}
