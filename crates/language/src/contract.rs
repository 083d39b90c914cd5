//! Contracts: what a service promises. Reads one from a document, and finds the one that a recipe step is under.
//!
//! A contract is a JSON or YAML file of the form that `schemas/contract.schema.json` describes. Those of the services that
//! come with zrecipe are built in, and are what these services check their own parameters against.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::recipe::{Recipe, Step};
pub use crate::schema::Fault;
use crate::schema::{Derived, Flaw, Problem, Schema, SchemaValue, Segment, View, Violation};
use crate::source::{Source, Span};
use crate::syntax::{Kind, NodeRef, Tree, json};
use crate::topology;
use crate::value::{Object, Value};

/// The JSON Schema of contract files.
pub const SCHEMA: &str = include_str!("../../../schemas/contract.schema.json");

/// The contracts that are built in, by the names of their files.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("cluster.json", include_str!("../contracts/cluster.json")),
    ("dispatcher.json", include_str!("../contracts/dispatcher.json")),
    ("jsonlines.json", include_str!("../contracts/jsonlines.json")),
    ("mailer.json", include_str!("../contracts/mailer.json")),
    ("runner.json", include_str!("../contracts/runner.json")),
];

/// What a service promises.
#[derive(Debug)]
pub struct Contract {
    /// What recipes call it.
    pub names: Vec<String>,
    /// What it does.
    pub description: Option<String>,
    /// Where it listens; a `*` stands for any part of a name.
    pub queues: Vec<String>,
    /// What it takes as `parameters`.
    pub parameters: Option<Schema>,
    /// What it takes as `job_parameters`.
    pub job_parameters: Option<Schema>,
    /// What it takes as input.
    pub payload: Option<Schema>,
    /// The channels on which it sends; nothing when that is not known.
    pub channels: Option<Vec<Channel>>,
    /// Whether it sends on other channels, too.
    pub other_channels: bool,
    /// Parameters that should not be used any more, with their successors.
    pub deprecated: Vec<(String, Option<String>)>,
    /// Whether text counts as what it reads as.
    pub coerced: bool,
    /// How it is run, if it is a program of the site.
    pub invocation: Option<Invocation>,
}

/// How a service is run that is a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program and its arguments; no shell is involved.
    pub command: Vec<String>,
    /// Where it runs: the directory of the contract.
    pub directory: PathBuf,
    /// Whether it stays, instead of being started for each message.
    pub stays: bool,
    /// Whether its standard output holds its results.
    pub prints_results: bool,
    /// How long it may take for a message.
    pub time_limit: Duration,
    /// How long it may take to start, if it stays.
    pub start_limit: Duration,
    /// How often it is asked whether it is well, and how long the answer may take, if it stays.
    pub health: Duration,
    /// How many processes there are of it, if it stays.
    pub workers: u16,
    /// How many messages it takes at a time: that many processes, or each that stays.
    pub prefetch: u16,
}

/// A channel on which a service sends.
#[derive(Debug)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether something is sent on it for every message.
    pub always: bool,
    /// Whether outputs without names are connected to it.
    pub default: bool,
    /// What is sent.
    pub payload: Option<Schema>,
}

/// A document read as a contract.
#[derive(Debug)]
pub struct Reading {
    /// The contract, unless something is wrong with it.
    pub contract: Option<Contract>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

/// The types of the parameters that a site's dispatcher adds, by their names.
pub type Declared = BTreeMap<String, Schema>;

impl Contract {
    /// What to call the service in a message.
    pub fn name(&self) -> &str {
        self.names.first().or(self.queues.first()).map_or("the service", String::as_str)
    }

    /// Reads a contract from the text of its file.
    ///
    /// # Errors
    /// What is wrong with it first, in words.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let tree = crate::syntax::parse(Arc::new(Source::from_text(name, text)));
        let reading = read(&tree);
        let fault = reading.faults.first().map_or("it is no JSON", |fault| &fault.message);
        reading.contract.ok_or_else(|| format!("the contract {name} cannot be used: {fault}"))
    }

    /// Whether it listens on a queue.
    pub fn serves(&self, queue: &str) -> bool {
        self.queues.iter().any(|pattern| matches(pattern, queue))
    }

    /// The channel of this name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().flatten().find(|channel| channel.name == name)
    }

    /// The channel that outputs without names are connected to.
    pub fn default_channel(&self) -> Option<&Channel> {
        self.channels.iter().flatten().find(|channel| channel.default)
    }

    /// What of a step's parameters or job parameters does not fit; deprecated ones are no business of this.
    pub fn check(&self, schema: &Schema, root: NodeRef<'_>, view: &mut View) -> Vec<Violation> {
        let mut violations = schema.check(root, self.coerced, view);
        violations.retain(|violation| match &violation.problem {
            Problem::Unknown { name, .. } if violation.path.is_empty() => !self.is_deprecated(name),
            Problem::Missing(name) if violation.path.is_empty() => {
                let old = self.deprecated.iter().filter(|(_, new)| new.as_deref() == Some(name));
                !old.into_iter().any(|(old, _)| root.get(old).is_some())
            }
            _ => true,
        });
        violations
    }

    /// Why the service refuses these parameters, in words, if it does: the first fault.
    pub fn refusal(&self, parameters: &Object) -> Option<String> {
        let schema = self.parameters.as_ref()?;
        let violation = schema.check_value(&Value::Object(parameters.clone()), self.coerced).into_iter().next()?;
        let path = &violation.path;
        Some(match violation.problem {
            Problem::Missing(name) if path.is_empty() => format!("parameter `{name}` is missing"),
            Problem::Missing(name) => format!("parameter `{path}` has no `{name}`"),
            Problem::Unknown { name, .. } if path.is_empty() => format!("there is no parameter `{name}`"),
            Problem::Unknown { name, .. } => format!("parameter `{path}` has the unknown key `{name}`"),
            Problem::Unfit { predicate, .. } => format!("parameter `{path}` {predicate}"),
        })
    }

    /// What is wrong with a payload for the service, in words; `whole` is what to call it.
    pub fn payload_faults(&self, payload: NodeRef<'_>, whole: &str) -> Vec<Fault> {
        self.payload.as_ref().map_or_else(Vec::new, |schema| schema.faults(payload, whole))
    }

    /// Why the service refuses this payload, in words, if it does: the first fault.
    pub fn payload_refusal(&self, payload: &Value, whole: &str) -> Option<String> {
        let faults = self.payload.as_ref()?.faults_of_value(payload, whole);
        faults.into_iter().next().map(|fault| fault.message)
    }

    /// What is wrong with something that the service sends, in words, if something is; without a channel it is sent on the
    /// default one.
    pub fn output_fault(&self, channel: Option<&str>, payload: &Value) -> Option<String> {
        let found = match channel {
            Some(name) => self.channel(name),
            None => self.default_channel(),
        };
        match (found, channel, &self.channels) {
            (None, Some(name), Some(_)) if !self.other_channels => {
                Some(format!("on channel `{name}`, which its contract does not have"))
            }
            (found, ..) => {
                let found = found?;
                let faults = found.payload.as_ref()?.faults_of_value(payload, "the payload");
                let fault = faults.into_iter().next()?.message;
                Some(format!("on channel `{}` what its contract does not allow: {fault}", found.name))
            }
        }
    }

    /// Whether the service may send on a channel.
    pub fn promises(&self, channel: &str) -> bool {
        self.other_channels || self.channel(channel).is_some()
    }

    fn is_deprecated(&self, name: &str) -> bool {
        self.deprecated.iter().any(|(old, _)| old == name)
    }
}

/// Whether a name matches a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let Some(tail) = parts.pop() else { return true };
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.len() >= tail.len() && left.ends_with(tail)
}

/// Contracts, found by queue and by service.
#[derive(Debug, Default, Clone)]
pub struct Contracts {
    list: Vec<Arc<Contract>>,
    by_queue: Named,
    /// Queues with a `*`.
    patterns: Vec<(String, usize)>,
    by_name: Named,
    /// What has been worked out of them.
    pub derived: Derived,
}

/// Places in the list, by name: every step asks.
type Named = HashMap<String, usize, foldhash::fast::RandomState>;

static BUILT_IN_CONTRACTS: LazyLock<Contracts> = LazyLock::new(|| {
    let read = |(name, text): &(&str, &str)| {
        let tree = json::parse(Arc::new(Source::from_text(*name, *text)));
        Reader { root: tree.root(), faults: Vec::new(), schema: |value| Ok(Schema::trusted(value)) }
            .contract()
            .map(Arc::new)
    };
    Contracts::new(BUILT_IN.iter().filter_map(read))
});

impl Contracts {
    /// These contracts; of several for one queue the first counts.
    pub fn new(contracts: impl IntoIterator<Item = Arc<Contract>>) -> Self {
        let mut all = Self::default();
        for (index, contract) in contracts.into_iter().enumerate() {
            for queue in &contract.queues {
                if queue.contains('*') {
                    all.patterns.push((queue.clone(), index));
                } else {
                    all.by_queue.entry(queue.clone()).or_insert(index);
                }
            }
            for name in &contract.names {
                all.by_name.entry(name.clone()).or_insert(index);
            }
            all.list.push(contract);
        }
        all
    }

    /// The contracts of the services that come with zrecipe.
    pub fn built_in() -> &'static Self {
        &BUILT_IN_CONTRACTS
    }

    /// These contracts, and after them the built-in ones.
    pub fn with_built_in(contracts: impl IntoIterator<Item = Arc<Contract>>) -> Self {
        Self::new(contracts.into_iter().chain(Self::built_in().list.iter().cloned()))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Contract> {
        self.list.iter().map(|contract| &**contract)
    }

    /// The contract of the service that listens on a queue.
    pub fn of_queue(&self, queue: &str) -> Option<&Contract> {
        let exact = self.by_queue.get(queue).copied();
        let found = exact.or_else(|| Some(self.patterns.iter().find(|(pattern, _)| matches(pattern, queue))?.1));
        found.map(|index| &*self.list[index])
    }

    /// The contract of the service of this name.
    pub fn of_service(&self, name: &str) -> Option<&Contract> {
        self.by_name.get(name).map(|&index| &*self.list[index])
    }

    /// The contracts of services that are programs.
    pub fn programs(&self) -> impl Iterator<Item = &Arc<Contract>> {
        self.list.iter().filter(|contract| contract.invocation.is_some())
    }

    /// The contract that a step is under: that of its queue. A queue that is not known yet is that of its service.
    /// Where the two contradict each other no contract is sure to hold.
    pub fn of_step(&self, recipe: &Recipe, step: &Step) -> Option<&Contract> {
        let queue = recipe.node(step.queue?);
        if queue.kind() != Kind::String {
            return None;
        }
        let named = || step.service.map(|service| recipe.node(service)).and_then(|name| self.of_service(&name.text()));
        if queue.has_braces() {
            return named();
        }
        let text = queue.text();
        let found = self.of_queue(&text)?;
        named().is_none_or(|named| named.serves(&text)).then_some(found)
    }
}

/// Whether a document is meant to be a contract: an object with queues or names, and nothing of a recipe or of a broker
/// configuration.
pub fn is_contract(tree: &Tree) -> bool {
    let root = tree.root();
    let is_list = |key: &str| root.get(key).is_some_and(|value| value.kind() != Kind::Object);
    let recipe_like = |key: &str| key == "start" || key.trim().parse::<i64>().is_ok();
    (is_list("queues") || is_list("names"))
        && !root.members().any(|member| recipe_like(&member.key.text()))
        && !topology::is_broker(root)
}

/// Reads a contract from a document.
pub fn read(tree: &Tree) -> Reading {
    static FORM: LazyLock<Option<Schema>> = LazyLock::new(|| Schema::published(SCHEMA));
    let root = tree.root();
    let faults = FORM.as_ref().map_or_else(Vec::new, |form| form.faults(root, "the contract"));
    let mut reader = Reader { root, faults, schema: Schema::new };
    let contract = reader.contract();
    let contract = contract.filter(|_| reader.faults.is_empty() && !tree.is_broken());
    Reading { contract, faults: reader.faults }
}

fn description(node: NodeRef<'_>) -> Option<String> {
    let text = node.get("description")?;
    (text.kind() == Kind::String).then(|| text.text().into_owned())
}

struct Reader<'t> {
    root: NodeRef<'t>,
    faults: Vec<Fault>,
    /// Makes a schema of a value.
    schema: fn(SchemaValue) -> Result<Schema, Flaw>,
}

impl<'t> Reader<'t> {
    fn contract(&mut self) -> Option<Contract> {
        if self.root.kind() != Kind::Object {
            return None;
        }
        let texts = |node: Option<NodeRef<'t>>| {
            let items = node.into_iter().flat_map(|node| node.items());
            items.filter(|item| item.kind() == Kind::String).map(|item| item.text().into_owned()).collect::<Vec<_>>()
        };
        let parameters = self.schema(self.root.get("parameters"));
        let job_parameters = self.schema(self.root.get("job_parameters"));
        let payload = self.schema(self.root.get("payload"));
        let channels = self.root.get("channels").map(|channels| self.channels(channels));
        let mut deprecated: Vec<(String, Option<String>)> = Vec::new();
        for member in self.root.get("deprecated").into_iter().flat_map(|node| node.members()) {
            let successor = (member.value.kind() == Kind::String).then(|| member.value.text().into_owned());
            let properties: Vec<&str> = parameters.iter().flat_map(Schema::properties).map(|(name, _)| name).collect();
            if let Some(successor) = &successor
                && !properties.is_empty()
                && !properties.contains(&successor.as_str())
            {
                let message = format!("the successor `{successor}` is none of the parameters");
                self.faults.push(Fault { span: member.value.span(), message, help: None });
            }
            deprecated.push((member.key.text().into_owned(), successor));
        }
        // What a schema itself marks, as pydantic does.
        for (name, schema) in parameters.iter().flat_map(Schema::properties) {
            let marked = schema.get("deprecated") == Some(&SchemaValue::Bool(true));
            if marked && !deprecated.iter().any(|(known, _)| known == name) {
                deprecated.push((name.to_owned(), None));
            }
        }
        Some(Contract {
            names: texts(self.root.get("names")),
            description: description(self.root),
            queues: texts(self.root.get("queues")),
            parameters,
            job_parameters,
            payload,
            channels,
            other_channels: self.root.get("other_channels").and_then(NodeRef::as_bool).unwrap_or(false),
            deprecated,
            coerced: !self.root.get("values").is_some_and(|values| values.is("strict")),
            invocation: self.root.get("run").map(|run| self.invocation(run)),
        })
    }

    fn invocation(&self, run: NodeRef<'t>) -> Invocation {
        let directory =
            Path::new(self.root.tree().source().name()).parent().filter(|parent| !parent.as_os_str().is_empty());
        let number = |key: &str| run.get(key).and_then(|value| value.as_json().parse::<f64>().ok());
        let seconds = |key: &str, default: u64| {
            let given = number(key).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            given.unwrap_or(Duration::from_secs(default))
        };
        let count = |key: &str| number(key).map_or(1, |count| count.clamp(1.0, f64::from(u16::MAX)) as u16);
        let items = run.get("command").into_iter().flat_map(|command| command.items());
        Invocation {
            command: items.map(|item| item.text().into_owned()).collect(),
            directory: directory.unwrap_or(Path::new(".")).to_owned(),
            stays: run.get("mode").is_some_and(|mode| mode.is("worker")),
            prints_results: run.get("results").is_some_and(|results| results.is("stdout")),
            time_limit: seconds("time_limit", 60),
            start_limit: seconds("start_limit", 60),
            health: seconds("health", 10),
            workers: count("workers"),
            prefetch: count("prefetch"),
        }
    }

    fn channels(&mut self, channels: NodeRef<'t>) -> Vec<Channel> {
        let mut found: Vec<Channel> = Vec::new();
        let mut default: Option<Span> = None;
        for member in channels.members() {
            let is_default = member.value.get("default").and_then(NodeRef::as_bool) == Some(true);
            if is_default && default.replace(member.key.span()).is_some() {
                let message = "there are two default channels".to_owned();
                let help = Some("outputs without names can be connected to one only".to_owned());
                self.faults.push(Fault { span: member.key.span(), message, help });
            }
            let payload = self.schema(member.value.get("payload"));
            found.push(Channel {
                name: member.key.text().into_owned(),
                description: description(member.value),
                always: member.value.get("fires").is_some_and(|fires| fires.is("always")),
                default: is_default,
                payload,
            });
        }
        found
    }

    fn schema(&mut self, node: Option<NodeRef<'t>>) -> Option<Schema> {
        let node = node?;
        let value = match serde_json::from_str(&node.to_value().to_json()) {
            Ok(value) => value,
            // What is no JSON is reported as such; a number such as NaN has no place in a schema.
            Err(_) => return None,
        };
        match (self.schema)(value) {
            Ok(schema) => Some(schema),
            Err(Flaw { path, message }) => {
                let at = path.iter().try_fold(node, |at, segment| match segment {
                    Segment::Key(key) => at.get(key),
                    Segment::Index(index) => at.items().nth(*index),
                });
                self.faults.push(Fault { span: at.unwrap_or(node).head(), message, help: None });
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_contracts_are_right() {
        for (name, text) in BUILT_IN {
            let reading = read(&json::parse(Arc::new(Source::from_text(*name, *text))));
            assert_eq!(reading.faults, [], "{name}");
            assert!(reading.contract.is_some(), "{name}");
        }
        let all = Contracts::built_in();
        for (queue, name) in [
            ("runner.submission", Some("Runner")),
            ("runner.big.submission", Some("Runner")),
            ("runner.x", None),
            ("processing_recipe", Some("Dispatcher")),
            ("images", None),
        ] {
            assert_eq!(all.of_queue(queue).map(Contract::name), name, "{queue}");
        }
    }

    #[test]
    fn stars_stand_for_any_part() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "anything", true),
            ("a.*", "a.b.c", true),
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.c", false),
            ("*b*d*", "abcd", true),
            ("*b*d*", "adcb", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
