//! Contracts: what a service promises. Reads one from a document, and finds those that a recipe step is under.
//!
//! A contract is a JSON or YAML file of the form that `schemas/contract.schema.json` describes. Those of the services that
//! come with zrecipe are built in, and are what these services check their own parameters against.

mod catalogue;
mod environment;
mod read;
mod variants;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use catalogue::{BuiltIn, Contracts, Under};
pub use environment::{Environment, variables};
pub use read::read;
pub use variants::{Case, Choice, Command, Variants};

use crate::diagnostic::{Level, nearest};
pub use crate::schema::Fault;
use crate::schema::{Problem, Schema, SchemaValue, View, Violation};
use crate::source::Source;
use crate::syntax::NodeRef;
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

/// A part of a step that a service takes its parameters from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// `parameters`.
    Parameters,
    /// `job_parameters`.
    JobParameters,
}

impl Part {
    /// Both parts.
    pub const ALL: [Self; 2] = [Self::Parameters, Self::JobParameters];

    /// The key of the step.
    pub fn key(self) -> &'static str {
        match self {
            Self::Parameters => "parameters",
            Self::JobParameters => "job_parameters",
        }
    }

    /// What to call one of its members in a message.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Parameters => "parameter",
            Self::JobParameters => "job parameter",
        }
    }
}

/// A mapping that a service reads as part of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// What was sent to the step.
    Payload,
    /// A part of the step, or a mapping inside it: the keys that lead there.
    Step(Part, Vec<String>),
}

impl Mapping {
    /// Reads `payload`, `parameters`, `job_parameters.dimple`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split('.');
        let first = words.next()?;
        let rest = words.map(str::to_owned).collect();
        match first {
            "payload" => Some(Self::Payload),
            _ => Part::ALL.into_iter().find(|part| part.key() == first).map(|part| Self::Step(part, rest)),
        }
    }
}

/// What a parameter is that no schema lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// One that the service may read.
    Ignored,
    /// One that the service does not read.
    Warning,
    /// One for which the service refuses the message.
    Error,
}

/// Places in the source of a service: `src/images.py:87`.
pub type Evidence = Vec<String>;

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
    /// The mappings that it reads as one, the first before the others; none where each is read by itself.
    pub input: Vec<Mapping>,
    /// What a parameter is that is not listed; none to go by `additionalProperties`.
    pub unknown: Option<Unknown>,
    /// Additional parameters and outputs, by the value of a parameter.
    pub variants: Vec<Variants>,
    /// Its use of the recipe environment.
    pub environment: Environment,
    /// Whether it is a wrapper: a program inside a job.
    pub wrapper: bool,
    /// Whether it may also listen on queues that are not listed.
    pub other_queues: bool,
    /// Whether it comes with zrecipe.
    pub built_in: bool,
    /// Where it is known from.
    pub evidence: Evidence,
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
    /// The program and its arguments; no shell is involved. Empty for a Python class.
    pub command: Vec<String>,
    /// The Python class that is run instead of a program.
    pub python: Option<PythonClass>,
    /// The Python interpreter of a Python class; none: that of the settings.
    pub interpreter: Option<String>,
    /// Whether it also takes messages that carry no recipe.
    pub plain: bool,
    /// Topics to which it subscribes.
    pub topics: Vec<String>,
    /// Queues and topics beside the channels to which it may send, as patterns; none: any for a Python class, otherwise
    /// no queue or topic.
    pub sends: Option<Vec<String>>,
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

/// A class of the Python packages that is run as a service without a change to its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PythonClass {
    /// `package.module:Class`.
    Path(String),
    /// Name of an entry point of the group `zocalo.services` or `workflows.services`.
    EntryPoint(String),
}

impl PythonClass {
    /// The name or path, as written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Path(text) | Self::EntryPoint(text) => text,
        }
    }
}

impl Invocation {
    /// Whether the service may send to a queue or topic that no channel leads to.
    pub fn may_send_to(&self, name: &str) -> bool {
        match &self.sends {
            Some(patterns) => patterns.iter().any(|pattern| catalogue::matches(pattern, name)),
            None => self.python.is_some(),
        }
    }
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
    /// What of its own input the service sends on.
    pub forwards: Vec<Mapping>,
    /// Where it is known from.
    pub evidence: Evidence,
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
        let fault = reading.faults.first().map_or("it is not JSON", |fault| &fault.message);
        reading.contract.ok_or_else(|| format!("the contract {name} cannot be used: {fault}"))
    }

    /// Whether it listens on a queue.
    pub fn serves(&self, queue: &str) -> bool {
        self.queues.iter().any(|pattern| catalogue::matches(pattern, queue))
    }

    /// What it takes in a part of its steps.
    pub fn schema(&self, part: Part) -> Option<&Schema> {
        match part {
            Part::Parameters => self.parameters.as_ref(),
            Part::JobParameters => self.job_parameters.as_ref(),
        }
    }

    /// Whether what it takes in a part of its steps may also come in another mapping.
    pub fn merges(&self, part: Part) -> bool {
        self.input.iter().any(|mapping| matches!(mapping, Mapping::Step(own, _) if *own == part))
    }

    /// The keys under which mappings lie inside a part of its steps that it reads like the part itself.
    pub fn nested(&self, part: Part) -> impl Iterator<Item = &[String]> {
        self.input.iter().filter_map(move |mapping| match mapping {
            Mapping::Step(own, keys) if *own == part && !keys.is_empty() => Some(keys.as_slice()),
            _ => None,
        })
    }

    /// Whether it reads the payload and a part of its steps as one mapping.
    pub fn takes_payload_as(&self, part: Part) -> bool {
        self.merges(part) && self.input.contains(&Mapping::Payload)
    }

    /// The level of a key that a schema does not list; none where nothing is to be said. `closed` is whether the schema
    /// rules other keys out.
    pub fn level_of_unknown(&self, closed: bool) -> Option<Level> {
        match self.unknown {
            Some(Unknown::Ignored) => None,
            Some(Unknown::Warning) => Some(Level::Warning),
            Some(Unknown::Error) => Some(Level::Error),
            None => closed.then_some(Level::Error),
        }
    }

    /// The channel of this name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().flatten().find(|channel| channel.name == name)
    }

    /// The channel that outputs without names are connected to.
    pub fn default_channel(&self) -> Option<&Channel> {
        self.channels.iter().flatten().find(|channel| channel.default)
    }

    /// What of a step's parameters or job parameters does not fit; deprecated ones are reported by another rule.
    pub fn check(&self, schema: &Schema, root: NodeRef<'_>, view: &mut View) -> Vec<Violation> {
        let mut violations = schema.check(root, self.coerced, view);
        violations.retain(|violation| match &violation.problem {
            Problem::Unknown { name, .. } if violation.path.is_empty() => !self.is_deprecated(name),
            Problem::Missing(name) if violation.path.is_empty() => {
                let old = self.deprecated.iter().filter(|(_, new)| {
                    // `cluster.commands` takes the place of a parameter as a part of `cluster`.
                    new.as_deref().and_then(|new| new.split('.').next()) == Some(name)
                });
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

    /// Whether a parameter should not be used any more.
    pub fn is_deprecated(&self, name: &str) -> bool {
        self.deprecated.iter().any(|(old, _)| old == name)
    }
}

/// Where a property is known from, as its schema says.
pub fn evidence_of(property: &SchemaValue) -> Evidence {
    match property.get("x-evidence") {
        Some(SchemaValue::String(place)) => vec![place.clone()],
        Some(SchemaValue::Array(places)) => places.iter().filter_map(SchemaValue::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Whether a property is read from a mapping, as far as its schema says: `x-from`.
pub fn is_read_from(property: Option<&SchemaValue>, mapping: &str) -> bool {
    let from = property.and_then(|property| property.get("x-from")).and_then(SchemaValue::as_array);
    from.is_none_or(|from| from.iter().any(|name| name.as_str() == Some(mapping)))
}

/// The known name that an unknown one is probably meant to be: a misspelling, or a part of a longer name.
pub fn meant_for<'n>(name: &str, known: impl IntoIterator<Item = &'n str> + Clone) -> Option<&'n str> {
    if let Some(found) = nearest(name, known.clone()) {
        return Some(found);
    }
    let words = |text: &str| -> Vec<String> {
        text.split(['_', '-', '.']).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    };
    let short = words(name);
    let holds = |long: &str| {
        let long = words(long);
        let (few, many) = if long.len() < short.len() { (&long, &short) } else { (&short, &long) };
        few.len() > 1 && few.len() < many.len() && many.windows(few.len()).any(|part| part == few.as_slice())
    };
    let mut found = known.into_iter().filter(|known| holds(known));
    let only = found.next()?;
    found.next().is_none().then_some(only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::json;

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
    fn a_part_of_a_name_is_meant_for_the_whole() {
        let known = ["autoselect_min_score", "particle_diameter", "class2d_dir"];
        for (name, expected) in [
            ("min_score", Some("autoselect_min_score")),
            ("particle_diamter", Some("particle_diameter")),
            ("score", None),
            ("other_key", None),
        ] {
            assert_eq!(meant_for(name, known), expected, "{name}");
        }
        // Of two that hold it neither is surely meant.
        assert_eq!(meant_for("min_score", ["autoselect_min_score", "required_min_score"]), None);
    }
}
