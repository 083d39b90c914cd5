//! What each step of a recipe receives: the keys of payloads and the names of the recipe environment, followed from
//! `start` along the links.
//!
//! A payload comes from an entry of `start`, or from a channel of another step. What a channel carries is known from
//! the contract of the service that sends on it. Where anything on the way is not known, nothing is certain: a key is
//! then perhaps there, and only what is surely missing is reported as missing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::contract::{Channel, Choice, Contract, Mapping, Part, Under};
use crate::graph::Graph;
use crate::recipe::{Link, Recipe, Role, Step};
use crate::schema::{Schema, SchemaValue, required_names, resolve_reference};
use crate::syntax::{Kind, NodeId, NodeRef};

/// The channels on which every program in a job may report, as `zocalo.wrapper` has them.
pub const WRAPPER_CHANNELS: [&str; 7] =
    ["starting", "updates", "result-individual-file", "result-all-files", "success", "failure", "completed"];

/// Names that every recipe environment has.
const ALWAYS_STORED: [&str; 1] = ["ID"];

/// Whether a step receives a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// In no message.
    Never,
    /// It cannot be known, or in some messages.
    Perhaps,
    /// In every message.
    Surely,
}

/// Where a payload comes from.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// An entry of `start`: its payload.
    Start(NodeId),
    /// A channel of another step: its place in [`Recipe::steps`], and the channel if it is known.
    Step(usize, Option<&'a Channel>),
}

/// What is known of the payloads from one origin.
#[derive(Debug, Clone)]
pub struct Delivery<'a> {
    /// Where they come from.
    pub origin: Origin<'a>,
    /// Their keys, and whether each is in every one of them.
    pub keys: BTreeMap<Cow<'a, str>, bool>,
    /// Whether there may be other keys.
    pub is_open: bool,
}

impl Delivery<'_> {
    /// Whether a key is in these payloads.
    pub fn presence(&self, key: &str) -> Presence {
        match self.keys.get(key) {
            Some(true) => Presence::Surely,
            Some(false) => Presence::Perhaps,
            None if self.is_open => Presence::Perhaps,
            None => Presence::Never,
        }
    }
}

/// On which channels a step sends.
#[derive(Debug)]
pub struct Sends<'a> {
    /// The contract of whatever sends.
    pub contract: &'a Contract,
    /// Its channels, and those of the service that starts it.
    pub channels: Vec<&'a Channel>,
    /// Names of further channels, of which only the name is known.
    pub names: Vec<&'static str>,
    /// Whether it may send on others.
    pub is_open: bool,
}

impl<'a> Sends<'a> {
    /// What a step sends on, by its contracts; nothing where they do not say.
    pub fn of(recipe: &Recipe, step: &Step, under: &Under<'a>) -> Option<Self> {
        let contract = under.sender()?;
        let mut sends = Self { contract, channels: Vec::new(), names: Vec::new(), is_open: false };
        for contract in under.all() {
            // The service that starts a job sends little, and that is known; or else the job decides.
            match &contract.channels {
                Some(channels) => sends.channels.extend(channels),
                None if contract.wrapper || under.wrapper.is_none() => return None,
                None => {}
            }
            sends.is_open |= contract.other_channels && (contract.wrapper || under.wrapper.is_none());
            let part = if contract.wrapper { Part::JobParameters } else { Part::Parameters };
            if contract.variants.is_empty() {
                continue;
            }
            let value = if contract.wrapper { step.job_parameters } else { step.parameters };
            let commands = value.map(|value| contract.commands(part, recipe.node(value))).unwrap_or_default();
            if commands.iter().any(|command| !matches!(command.choice, Choice::Case(..))) || commands.is_empty() {
                let cases = contract.variants.iter().flat_map(|variants| variants.cases.values());
                sends.channels.extend(cases.flat_map(|case| &case.channels));
                continue;
            }
            for command in &commands {
                if let Choice::Case(_, case) = command.choice {
                    sends.channels.extend(&case.channels);
                }
            }
        }
        if under.wrapper.is_some() {
            sends.names.extend(WRAPPER_CHANNELS);
        }
        // A program that is not known sends on channels of its own.
        sends.is_open |= under.is_job && under.wrapper.is_none();
        Some(sends)
    }

    /// The channel of this name; of several the first.
    pub fn channel(&self, name: &str) -> Option<&'a Channel> {
        self.channels.iter().copied().find(|channel| channel.name == name)
    }

    /// The channel that outputs without names are connected to.
    pub fn default_channel(&self) -> Option<&'a Channel> {
        self.channels.iter().copied().find(|channel| channel.default)
    }

    /// The channel of a link, if it is known.
    pub fn channel_of(&self, recipe: &Recipe, link: &Link) -> Option<&'a Channel> {
        match link.channel {
            Some(name) => self.channel(&recipe.node(name).text()),
            None => self.default_channel(),
        }
    }
}

/// What the steps of a recipe receive.
#[derive(Debug)]
pub struct Flow<'a> {
    recipe: &'a Recipe,
    graph: &'a Graph,
    under: &'a [Under<'a>],
}

impl<'a> Flow<'a> {
    /// Of a recipe whose steps are under these contracts, in the order of [`Recipe::steps`].
    pub fn new(recipe: &'a Recipe, graph: &'a Graph, under: &'a [Under<'a>]) -> Self {
        Self { recipe, graph, under }
    }

    /// What comes to a step, by origin: the entries of `start` first.
    pub fn deliveries(&self, step: usize) -> Vec<Delivery<'a>> {
        self.deliveries_to(step, &mut Vec::new())
    }

    fn deliveries_to(&self, step: usize, on_the_way: &mut Vec<usize>) -> Vec<Delivery<'a>> {
        let id = self.recipe.steps()[step].id;
        let entries = self.recipe.start().into_iter().flat_map(|start| &start.entries);
        let started = entries.filter_map(|entry| entry.pair).filter(|(_, target, _)| target.id() == Some(id));
        let mut found: Vec<_> = started.map(|(_, _, payload)| self.of_start(payload)).collect();
        on_the_way.push(step);
        for (edge, from) in self.graph.incoming(step) {
            if edge.role == Role::Output {
                let link = &self.recipe.links(&self.recipe.steps()[from])[edge.link];
                found.push(self.of_link(from, link, on_the_way));
            }
        }
        on_the_way.pop();
        found
    }

    fn of_start(&self, payload: NodeId) -> Delivery<'a> {
        let node = self.recipe.node(payload);
        let is_object = node.kind() == Kind::Object;
        let is_open = node.has_braces() || node.kind() == Kind::Missing || is_object && has_open_keys(node);
        let members = node.members().filter(|member| is_object && !member.key.has_braces());
        let keys = members.map(|member| (member.key.text(), true)).collect();
        Delivery { origin: Origin::Start(payload), keys, is_open }
    }

    fn of_link(&self, from: usize, link: &Link, on_the_way: &mut Vec<usize>) -> Delivery<'a> {
        let step = &self.recipe.steps()[from];
        let sends = Sends::of(self.recipe, step, &self.under[from]);
        let channel = sends.and_then(|sends| sends.channel_of(self.recipe, link));
        let mut found = Delivery { origin: Origin::Step(from, channel), keys: BTreeMap::new(), is_open: false };
        let Some(channel) = channel else { return Delivery { is_open: true, ..found } };
        match &channel.payload {
            Some(schema) => add_keys(&mut found, schema),
            None => found.is_open = channel.forwards.is_empty(),
        }
        for mapping in &channel.forwards {
            match mapping {
                Mapping::Payload if on_the_way.contains(&from) => found.is_open = true,
                Mapping::Payload => {
                    let incoming = self.deliveries_to(from, on_the_way);
                    found.is_open |= incoming.is_empty() || incoming.iter().any(|delivery| delivery.is_open);
                    for key in incoming.iter().flat_map(|delivery| delivery.keys.keys()) {
                        let sure = incoming.iter().all(|delivery| delivery.presence(key) == Presence::Surely);
                        *found.keys.entry(key.clone()).or_default() |= sure;
                    }
                }
                Mapping::Step(part, path) => {
                    let value = part_of(step, *part).map(|value| self.recipe.node(value));
                    let value = value.and_then(|value| path.iter().try_fold(value, |value, key| value.get(key)));
                    if let Some(value) = value {
                        found.is_open |= value.has_braces() || has_open_keys(value);
                        let members = value.members().filter(|member| !member.key.has_braces());
                        found.keys.extend(members.map(|member| (member.key.text(), true)));
                    }
                }
            }
        }
        found
    }

    /// Whether a step receives a key. It is never there only where that is certain: some entry of `start` begins with
    /// this step and lacks it, or every channel that leads here does.
    pub fn presence(&self, step: usize, key: &str) -> Presence {
        let deliveries = self.deliveries(step);
        let presence = |delivery: &Delivery<'_>| delivery.presence(key);
        let (mut started, mut sent): (Vec<_>, Vec<_>) =
            deliveries.iter().partition(|delivery| matches!(delivery.origin, Origin::Start(_)));
        if started.iter().any(|delivery| presence(delivery) == Presence::Never) {
            return Presence::Never;
        }
        if !sent.is_empty() && sent.iter().all(|delivery| presence(delivery) == Presence::Never) {
            return Presence::Never;
        }
        started.append(&mut sent);
        match started.iter().map(|delivery| presence(delivery)).min() {
            Some(Presence::Surely) => Presence::Surely,
            _ => Presence::Perhaps,
        }
    }

    /// What the environment of the recipe holds when a message comes to a step.
    pub fn stored_before(&self, step: usize) -> Stored<'a> {
        let mut stored = Stored { names: ALWAYS_STORED.into_iter().map(Cow::Borrowed).collect(), is_open: false };
        let mut seen = BTreeSet::from([step]);
        let mut left = vec![step];
        let mut is_in_circle = false;
        while let Some(at) = left.pop() {
            for (edge, from) in self.graph.incoming(at) {
                if edge.role != Role::Output {
                    continue;
                }
                is_in_circle |= from == step;
                if seen.insert(from) {
                    self.add_stored(from, &mut stored, false);
                    left.push(from);
                }
            }
        }
        self.add_stored(step, &mut stored, !is_in_circle);
        stored
    }

    /// All names that some step of the recipe stores.
    pub fn stored(&self) -> Stored<'a> {
        let mut stored = Stored::default();
        (0..self.recipe.steps().len()).for_each(|step| self.add_stored(step, &mut stored, false));
        stored
    }

    /// Adds what a step stores; `inner` is whether only what its commands store for each other counts.
    fn add_stored(&self, step: usize, stored: &mut Stored<'a>, inner: bool) {
        const BY_CUSTOM: [&str; 2] = ["store_result", "buffer_store"];
        let under = &self.under[step];
        let step = &self.recipe.steps()[step];
        stored.is_open |= !inner && (under.service.is_none() || under.is_job && under.wrapper.is_none());
        if !inner {
            for contract in under.all() {
                stored.names.extend(contract.environment.stores.iter().map(|name| Cow::Borrowed(name.as_str())));
            }
        }
        for value in [step.parameters, step.job_parameters].into_iter().flatten() {
            let value = self.recipe.node(value);
            let mut names: Vec<&str> = BY_CUSTOM.to_vec();
            names.extend(under.all().flat_map(|contract| &contract.environment.stored_by).map(String::as_str));
            for object in value.descendants().filter(|node| node.kind() == Kind::Object) {
                if inner && object.id() == value.id() {
                    continue;
                }
                for name in names.iter().filter_map(|name| object.get(name)) {
                    match name.kind() {
                        Kind::String if !name.has_braces() => {
                            stored.names.insert(name.text());
                        }
                        _ => stored.is_open = true,
                    }
                }
            }
        }
    }
}

/// The names that the environment of a recipe holds.
#[derive(Debug, Clone, Default)]
pub struct Stored<'a> {
    /// Those that are known.
    pub names: BTreeSet<Cow<'a, str>>,
    /// Whether there may be others.
    pub is_open: bool,
}

fn part_of(step: &Step, part: Part) -> Option<NodeId> {
    match part {
        Part::Parameters => step.parameters,
        Part::JobParameters => step.job_parameters,
    }
}

fn has_open_keys(object: NodeRef<'_>) -> bool {
    object.members().any(|member| member.key.has_braces())
}

/// The keys of payloads of this schema. Without `additionalProperties` its properties are all there are.
fn add_keys<'a>(found: &mut Delivery<'a>, schema: &'a Schema) {
    let root = schema.root();
    let schema = resolve_reference(root, root);
    let Some(object) = schema.as_object() else {
        found.is_open = true;
        return;
    };
    let is_object = object.get("type").is_none_or(|kind| match kind {
        SchemaValue::String(kind) => kind == "object",
        kinds => kinds.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind.as_str() == Some("object"))),
    });
    // A text or a list has no keys.
    if !is_object {
        return;
    }
    let required: Vec<&str> = required_names(schema).collect();
    let properties = object.get("properties").and_then(SchemaValue::as_object);
    for name in properties.into_iter().flat_map(|properties| properties.keys()) {
        found.keys.insert(Cow::Borrowed(name), required.contains(&name.as_str()));
    }
    found.keys.extend(required.into_iter().map(|name| (Cow::Borrowed(name), true)));
    let has = |keyword: &str| object.contains_key(keyword);
    found.is_open |= properties.is_none() && !object.contains_key("additionalProperties")
        || object.get("additionalProperties").is_some_and(|more| *more != SchemaValue::Bool(false))
        || ["patternProperties", "anyOf", "oneOf", "allOf", "$ref", "if"].into_iter().any(has);
}

/// What a step receives, in words: each key once, with whether it is always there.
pub fn in_words(recipe: &Recipe, deliveries: &[Delivery<'_>]) -> Vec<String> {
    let mut lines = Vec::new();
    for delivery in deliveries {
        let from = match delivery.origin {
            Origin::Start(_) => "start".to_owned(),
            Origin::Step(step, channel) => {
                let name = recipe.name(&recipe.steps()[step]);
                channel.map_or_else(|| format!("step {name}"), |channel| format!("step {name} on `{}`", channel.name))
            }
        };
        let mut keys: Vec<String> =
            delivery.keys.iter().filter(|(_, sure)| **sure).map(|(key, _)| format!("`{key}`")).collect();
        let perhaps = delivery.keys.iter().filter(|(_, sure)| !**sure);
        keys.extend(perhaps.map(|(key, _)| format!("`{key}` (sometimes)")));
        keys.extend(delivery.is_open.then(|| "other keys perhaps".to_owned()));
        let keys = if keys.is_empty() { "no keys".to_owned() } else { keys.join(", ") };
        lines.push(format!("from {from}: {keys}"));
    }
    lines
}
