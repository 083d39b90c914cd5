//! The difference of two sets of contracts: what services take and send now, and whom that breaks.

use std::collections::BTreeMap;

use super::parameters::is_narrowed;
use super::{Affected, Change, Sign, Subject, listed};
use crate::contract::{Channel, Contract, Contracts, Part, Unknown, evidence_of};
use crate::infer::Type;
use crate::schema::{Schema, SchemaValue, required_names, resolve_reference};

/// The changes of one service.
#[derive(Debug)]
pub struct ContractDifference {
    /// What to call the service.
    pub name: String,
    /// Whether it is a wrapper.
    pub is_wrapper: bool,
    /// Where the newer contract is known from, or the older one.
    pub evidence: Option<String>,
    /// What changed.
    pub changes: Vec<Change>,
}

/// The most levels of objects in objects that are compared key by key.
const MAX_DEPTH: usize = 8;

/// Whether two contracts may be of one service.
type Likeness<'a> = &'a dyn Fn(&Contract, &Contract) -> bool;

/// Compares two sets of contracts, without those that come with zrecipe. Services are matched by name, then by queue.
pub fn contracts(old: &Contracts, new: &Contracts) -> Vec<ContractDifference> {
    let olds: Vec<&Contract> = old.iter().filter(|contract| !contract.built_in).collect();
    let news: Vec<&Contract> = new.iter().filter(|contract| !contract.built_in).collect();
    let mut partner: Vec<Option<usize>> = vec![None; news.len()];
    let shares = |a: &[String], b: &[String]| a.iter().any(|one| b.contains(one));
    let tests: [Likeness<'_>; 4] = [
        &|a, b| a.names == b.names && a.queues == b.queues,
        &|a, b| shares(&a.names, &b.names) && (shares(&a.queues, &b.queues) || a.wrapper),
        &|a, b| shares(&a.names, &b.names),
        &|a, b| !a.queues.is_empty() && a.queues == b.queues,
    ];
    for is_same in tests {
        for (place, later) in news.iter().enumerate() {
            if partner[place].is_some() {
                continue;
            }
            let free = |index: &usize| !partner.contains(&Some(*index));
            partner[place] = (0..olds.len())
                .filter(free)
                .find(|&index| olds[index].wrapper == later.wrapper && is_same(olds[index], later));
        }
    }
    let mut found = Vec::new();
    for (index, contract) in olds.iter().enumerate().filter(|(index, _)| !partner.contains(&Some(*index))) {
        let text = format!("the service `{}` is removed", contract.name());
        let change = Change::new(Sign::Removed, Subject::Service, contract.name(), text)
            .breaking(Affected::Recipes, "messages that they send to it are not consumed")
            .breaking(Affected::RunningRequests, "messages that they send to it are not consumed");
        found.push(difference_of(olds[index], vec![change]));
    }
    for (later, earlier) in news.iter().zip(&partner) {
        let changes = match earlier {
            Some(earlier) => compare(olds[*earlier], later),
            None => {
                let text = format!("the service `{}` is added", later.name());
                vec![Change::new(Sign::Added, Subject::Service, later.name(), text)]
            }
        };
        if !changes.is_empty() {
            found.push(difference_of(later, changes));
        }
    }
    found
}

fn difference_of(contract: &Contract, changes: Vec<Change>) -> ContractDifference {
    ContractDifference {
        name: contract.name().to_owned(),
        is_wrapper: contract.wrapper,
        evidence: contract.evidence.first().cloned(),
        changes,
    }
}

fn compare(old: &Contract, new: &Contract) -> Vec<Change> {
    let mut changes = Vec::new();
    names(Subject::Service, "name", &old.names, &new.names, &mut changes);
    names(Subject::Queue, "queue", &old.queues, &new.queues, &mut changes);
    let parts = Part::ALL.map(|part| (part.noun(), old.schema(part), new.schema(part)));
    let payload = ("payload key", old.payload.as_ref(), new.payload.as_ref());
    for (noun, before, after) in parts.into_iter().chain([payload]) {
        let context = Context { noun, when: "", is_coerced: new.coerced, unknown: new.unknown };
        inputs(&context, before, after, &mut changes);
    }
    channels("", old.channels.as_deref(), new, &mut changes);
    variants(old, new, &mut changes);
    if old.unknown != new.unknown && new.unknown == Some(Unknown::Error) {
        let text = "the service now refuses unknown parameters".to_owned();
        changes.push(
            Change::new(Sign::Changed, Subject::Input, "", text)
                .breaking(Affected::Recipes, "a parameter that the service does not know is an error"),
        );
    }
    changes
}

/// Names of the service, or its queues.
fn names(subject: Subject, noun: &str, old: &[String], new: &[String], changes: &mut Vec<Change>) {
    for name in old.iter().filter(|name| !new.contains(name)) {
        let text = format!("{noun} `{name}` is removed");
        let change = Change::new(Sign::Removed, subject, &**name, text);
        changes.push(match subject {
            Subject::Queue => change
                .breaking(Affected::Recipes, format!("queue `{name}` no longer has consumers"))
                .breaking(Affected::RunningRequests, format!("their messages stay in queue `{name}`")),
            _ => change.breaking(Affected::Recipes, format!("no service is called `{name}` now")),
        });
    }
    for name in new.iter().filter(|name| !old.contains(name)) {
        changes.push(Change::new(Sign::Added, subject, &**name, format!("{noun} `{name}` is added")));
    }
}

/// Under what inputs are compared.
struct Context<'a> {
    /// What to call a key.
    noun: &'a str,
    /// The choice under which they count: ` with target fast_ep`.
    when: &'a str,
    is_coerced: bool,
    unknown: Option<Unknown>,
}

/// A key that a service reads.
struct Input {
    meets: Type,
    is_required: bool,
    evidence: Option<String>,
}

fn inputs(context: &Context<'_>, old: Option<&Schema>, new: Option<&Schema>, changes: &mut Vec<Change>) {
    let (before, after) = (flat(old, context.is_coerced), flat(new, context.is_coerced));
    let Context { noun, when, unknown, .. } = context;
    for path in before.keys() {
        // The object that it was in is gone as well.
        let is_inside = before.keys().any(|outer| path.starts_with(&format!("{outer}.")) && !after.contains_key(outer));
        if after.contains_key(path) || is_inside {
            continue;
        }
        let text = format!("{noun} `{path}`{when} is no longer read");
        let change = Change::new(Sign::Removed, Subject::Input, path.as_str(), text);
        let is_closed =
            new.is_some_and(|schema| schema.root().get("additionalProperties") == Some(&SchemaValue::Bool(false)));
        let is_refused = is_closed || *unknown == Some(Unknown::Error);
        let why = if is_refused { "the service refuses it" } else { "the service ignores it" };
        changes.push(change.breaking(Affected::Recipes, why));
    }
    for (path, input) in &after {
        let place = input.evidence.as_ref().map_or_else(String::new, |place| format!(" ({place})"));
        let need = if input.is_required { "required" } else { "optional" };
        let Some(earlier) = before.get(path) else {
            let is_inside =
                after.keys().any(|outer| path.starts_with(&format!("{outer}.")) && !before.contains_key(outer));
            if is_inside {
                continue;
            }
            let text = format!("{noun} `{path}` ({}, {need}){when} is added{place}", input.meets);
            changes.push(required(Change::new(Sign::Added, Subject::Input, path.as_str(), text), input, noun));
            continue;
        };
        let mut words = Vec::new();
        let is_narrower = is_narrowed(&earlier.meets, &input.meets);
        if earlier.meets != input.meets {
            words.push(match (earlier.meets.to_string(), input.meets.to_string()) {
                (old, new) if old == new => format!("the values of {new} change"),
                (old, new) => format!("{old} → {new}"),
            });
        }
        if earlier.is_required != input.is_required {
            words.push(if input.is_required { "optional → required" } else { "required → optional" }.to_owned());
        }
        if words.is_empty() {
            continue;
        }
        let text = format!("{noun} `{path}`{when}: {}{place}", listed(&words));
        let mut change = Change::new(Sign::Changed, Subject::Input, path.as_str(), text);
        if !earlier.is_required {
            change = required(change, input, noun);
        }
        if is_narrower {
            let why = format!("values that were taken as {} are not all {}", earlier.meets, input.meets);
            change = change.breaking(Affected::Recipes, &*why).breaking(Affected::RunningRequests, why);
        }
        changes.push(change);
    }
}

/// Marks whom a key breaks that a service needs now.
fn required(change: Change, input: &Input, noun: &str) -> Change {
    if !input.is_required {
        return change;
    }
    let why = format!("a message without this {noun} fails");
    change.breaking(Affected::Recipes, &*why).breaking(Affected::RunningRequests, why)
}

/// All keys of a schema by their paths: `ispyb.dcid`.
fn flat(schema: Option<&Schema>, is_coerced: bool) -> BTreeMap<String, Input> {
    let mut all = BTreeMap::new();
    if let Some(schema) = schema {
        collect(schema.root(), schema.root(), "", is_coerced, 0, &mut all);
    }
    all
}

fn collect(
    root: &SchemaValue,
    schema: &SchemaValue,
    path: &str,
    is_coerced: bool,
    depth: usize,
    all: &mut BTreeMap<String, Input>,
) {
    let schema = resolve_reference(root, schema);
    let required: Vec<&str> = required_names(schema).collect();
    let Some(properties) = schema.get("properties").and_then(SchemaValue::as_object) else { return };
    for (key, property) in properties {
        let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let meets = Type::of_schema(root, property);
        let meets = if is_coerced { meets.coerced() } else { meets };
        let is_required = required.contains(&key.as_str());
        all.insert(inner.clone(), Input { meets, is_required, evidence: evidence_of(property).into_iter().next() });
        if depth < MAX_DEPTH {
            collect(root, property, &inner, is_coerced, depth + 1, all);
        }
    }
}

fn channels(when: &str, old: Option<&[Channel]>, new: &Contract, changes: &mut Vec<Change>) {
    let Some(before) = old else { return };
    let Some(after) = &new.channels else { return };
    compare_channels(when, before, after, new.other_channels, changes);
}

fn compare_channels(when: &str, old: &[Channel], new: &[Channel], is_open: bool, changes: &mut Vec<Change>) {
    for channel in old.iter().filter(|channel| !new.iter().any(|other| other.name == channel.name)) {
        let text = format!("channel `{}`{when} is removed", channel.name);
        let change = Change::new(Sign::Removed, Subject::Channel, &*channel.name, text);
        let is_named = |channel: &Channel| !channel.name.is_empty();
        changes.push(match is_open || !is_named(channel) {
            true => change,
            false => change.breaking(Affected::Recipes, "steps after the channel receive nothing"),
        });
    }
    for channel in new {
        let Some(earlier) = old.iter().find(|other| other.name == channel.name) else {
            let text = format!("channel `{}`{when} is added", channel.name);
            changes.push(Change::new(Sign::Added, Subject::Channel, &*channel.name, text));
            continue;
        };
        let mut add = |sign, text: String| {
            let change = Change::new(sign, Subject::Channel, &*channel.name, text);
            let why = "steps after the channel may need its payload";
            changes.push(if sign == Sign::Added { change } else { change.breaking(Affected::Recipes, why) });
        };
        if earlier.always && !channel.always {
            add(Sign::Changed, format!("channel `{}`{when} is no longer used for every message", channel.name));
        }
        if earlier.default && !channel.default {
            add(Sign::Changed, format!("channel `{}`{when} is no longer the default", channel.name));
        }
        let (before, after) = (flat(earlier.payload.as_ref(), false), flat(channel.payload.as_ref(), false));
        // Without a schema nothing is known of what it carries.
        if earlier.payload.is_none() || channel.payload.is_none() {
            continue;
        }
        for (key, was) in &before {
            match after.get(key) {
                None => add(Sign::Removed, format!("channel `{}`{when} no longer carries `{key}`", channel.name)),
                Some(now) if was.is_required && !now.is_required => {
                    add(Sign::Changed, format!("channel `{}`{when} no longer always carries `{key}`", channel.name));
                }
                Some(now) if was.meets.to_string() != now.meets.to_string() => {
                    let types = format!("{} → {}", was.meets, now.meets);
                    add(Sign::Changed, format!("channel `{}`{when}: `{key}` {types}", channel.name));
                }
                Some(_) => {}
            }
        }
        for key in after.keys().filter(|key| !before.contains_key(*key)) {
            add(Sign::Added, format!("channel `{}`{when} carries `{key}`", channel.name));
        }
    }
}

fn variants(old: &Contract, new: &Contract, changes: &mut Vec<Change>) {
    for later in &new.variants {
        let Some(earlier) = old.variants.iter().find(|variants| variants.by == later.by) else {
            continue;
        };
        for (value, case) in &earlier.cases {
            let Some(now) = later.cases.get(value) else {
                let text = format!("`{}`: value `{value}` is removed", later.by);
                changes.push(
                    Change::new(Sign::Removed, Subject::Input, &*later.by, text)
                        .breaking(Affected::Recipes, format!("the service no longer knows `{value}`"))
                        .breaking(Affected::RunningRequests, format!("the service no longer knows `{value}`")),
                );
                continue;
            };
            let when = format!(" with `{}` `{value}`", later.by);
            let context =
                Context { noun: Part::Parameters.noun(), when: &when, is_coerced: new.coerced, unknown: new.unknown };
            inputs(&context, case.parameters.as_ref(), now.parameters.as_ref(), changes);
            compare_channels(&when, &case.channels, &now.channels, new.other_channels, changes);
        }
        for value in later.cases.keys().filter(|value| !earlier.cases.contains_key(*value)) {
            let text = format!("`{}`: value `{value}` is added", later.by);
            changes.push(Change::new(Sign::Added, Subject::Input, &*later.by, text));
        }
    }
}
