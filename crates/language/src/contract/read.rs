//! Reads a contract from a document.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use super::{
    Case, Channel, Contract, Environment, Evidence, Invocation, Mapping, PythonClass, Reading, SCHEMA, Unknown,
    Variants,
};
use crate::diagnostic::Level;
use crate::schema::{Fault, Flaw, Schema, SchemaValue, Segment};
use crate::source::Span;
use crate::syntax::{Kind, NodeRef, Tree};

/// Time limit of a message where there is none, in seconds: longer than any process runs.
const UNLIMITED: u64 = 10 * 365 * 24 * 60 * 60;

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

/// Reads one of the contracts that come with zrecipe, whose schemas are known to be right.
pub(super) fn read_built_in(tree: &Tree) -> Option<Contract> {
    let mut reader = Reader { root: tree.root(), faults: Vec::new(), schema: |value| Ok(Schema::trusted(value)) };
    reader.contract().map(|contract| Contract { built_in: true, ..contract })
}

/// The texts in a list, or the text alone.
fn texts(node: Option<NodeRef<'_>>) -> Vec<String> {
    let Some(node) = node else { return Vec::new() };
    let all: Vec<_> = if node.kind() == Kind::Array { node.items().collect() } else { vec![node] };
    all.into_iter().filter(|item| item.kind() == Kind::String).map(|item| item.text().into_owned()).collect()
}

fn mappings(node: Option<NodeRef<'_>>) -> Vec<Mapping> {
    texts(node).iter().filter_map(|text| Mapping::parse(text)).collect()
}

fn keys(node: Option<NodeRef<'_>>) -> Vec<String> {
    node.into_iter().flat_map(NodeRef::members).map(|member| member.key.text().into_owned()).collect()
}

fn evidence(node: NodeRef<'_>) -> Evidence {
    texts(node.get("evidence"))
}

fn unknown(node: Option<NodeRef<'_>>) -> Option<Unknown> {
    let node = node?;
    [("ignore", Unknown::Ignored), ("warning", Unknown::Warning), ("error", Unknown::Error)]
        .into_iter()
        .find_map(|(word, level)| node.is(word).then_some(level))
}

/// Lets text through where the service reads it in a way of its own; whether that changes anything.
fn let_parsed_text_through(schema: &mut SchemaValue) -> bool {
    const ANNOTATIONS: [&str; 4] = ["description", "default", "deprecated", "title"];
    let mut changed = false;
    match schema {
        SchemaValue::Array(items) => items.iter_mut().for_each(|item| changed |= let_parsed_text_through(item)),
        SchemaValue::Object(object) => {
            object.values_mut().for_each(|value| changed |= let_parsed_text_through(value));
            if object.get("x-parsed") == Some(&SchemaValue::Bool(true)) {
                let is_annotation = |key: &str| key.starts_with("x-") || ANNOTATIONS.contains(&key);
                let (notes, form): (serde_json::Map<_, _>, serde_json::Map<_, _>) =
                    std::mem::take(object).into_iter().partition(|(key, _)| is_annotation(key));
                *object = notes;
                let text = serde_json::json!({ "type": "string" });
                object.insert("anyOf".to_owned(), SchemaValue::Array(vec![SchemaValue::Object(form), text]));
                changed = true;
            }
        }
        _ => {}
    }
    changed
}

fn environment(node: Option<NodeRef<'_>>) -> Environment {
    let inner = |key: &str| node.and_then(|node| node.get(key));
    Environment {
        replaces: inner("replaces").is_some(),
        whole_only: inner("replaces").is_some_and(|replaces| replaces.is("whole")),
        stored_by: texts(inner("stored_by")),
        stores: keys(inner("stores")),
        reads: keys(inner("reads")),
    }
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
                && !properties.contains(&successor.split('.').next().unwrap_or_default())
            {
                let message = format!("the successor `{successor}` is not one of the parameters");
                self.faults.push(Fault { span: member.value.span(), message, help: None, is_missing: false });
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
        let variants = self.root.get("variants").into_iter().flat_map(|variants| variants.items());
        let variants: Vec<Variants> = variants.map(|variants| self.variants(variants)).collect();
        // A contract that takes job parameters alone describes a program inside a job.
        let is_program = job_parameters.is_some() && parameters.is_none() && payload.is_none();
        Some(Contract {
            input: mappings(self.root.get("input")),
            unknown: unknown(self.root.get("unknown")),
            variants,
            environment: environment(self.root.get("environment")),
            wrapper: self.root.get("wrapper").and_then(NodeRef::as_bool).unwrap_or(is_program),
            other_queues: self.root.get("other_queues").and_then(NodeRef::as_bool).unwrap_or(false),
            built_in: false,
            evidence: evidence(self.root),
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
        let text = |key: &str| run.get(key).map(|value| value.text().into_owned());
        let python = text("python").map(PythonClass::Path);
        let python = python.or_else(|| text("entry-point").map(PythonClass::EntryPoint));
        let count = |key: &str| number(key).map_or(1, |count| count.clamp(1.0, f64::from(u16::MAX)) as u16);
        let items = run.get("command").into_iter().flat_map(|command| command.items());
        Invocation {
            command: items.map(|item| item.text().into_owned()).collect(),
            directory: directory.unwrap_or(Path::new(".")).to_owned(),
            interpreter: text("interpreter"),
            plain: run.get("plain").and_then(NodeRef::as_bool).unwrap_or(python.is_some()),
            topics: texts(run.get("topics")),
            sends: run.get("sends").map(|sends| texts(Some(sends))),
            stays: python.is_some() || run.get("mode").is_some_and(|mode| mode.is("worker")),
            prints_results: run.get("results").is_some_and(|results| results.is("stdout")),
            // The Python host of such a class has no limit.
            time_limit: seconds("time_limit", if python.is_some() { UNLIMITED } else { 60 }),
            start_limit: seconds("start_limit", 60),
            health: seconds("health", 10),
            workers: count("workers"),
            prefetch: count("prefetch"),
            python,
        }
    }

    fn variants(&mut self, variants: NodeRef<'t>) -> Variants {
        let text = |key: &str| texts(variants.get(key)).into_iter().next();
        let cases = variants.get("cases").into_iter().flat_map(|cases| cases.members());
        let cases = cases.map(|member| {
            let case = Case {
                description: description(member.value),
                evidence: evidence(member.value),
                parameters: self.schema(member.value.get("parameters")),
                channels: member.value.get("channels").map(|channels| self.channels(channels)).unwrap_or_default(),
            };
            (member.key.text().into_owned(), case)
        });
        Variants {
            cases: cases.collect(),
            by: text("by").unwrap_or_default(),
            also_in: texts(variants.get("also_in")),
            default: text("default"),
            others: match unknown(variants.get("others")) {
                Some(Unknown::Ignored) => None,
                Some(Unknown::Error) => Some(Level::Error),
                Some(Unknown::Warning) | None => Some(Level::Warning),
            },
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
                self.faults.push(Fault { span: member.key.span(), message, help, is_missing: false });
            }
            let payload = self.schema(member.value.get("payload"));
            found.push(Channel {
                name: member.key.text().into_owned(),
                description: description(member.value),
                always: member.value.get("fires").is_some_and(|fires| fires.is("always")),
                default: is_default,
                payload,
                forwards: mappings(member.value.get("forwards")),
                evidence: evidence(member.value),
            });
        }
        found
    }

    fn schema(&mut self, node: Option<NodeRef<'t>>) -> Option<Schema> {
        let node = node?;
        let value: SchemaValue = match serde_json::from_str(&node.to_value().to_json()) {
            Ok(value) => value,
            // What is no JSON is reported as such; a number such as NaN has no place in a schema.
            Err(_) => return None,
        };
        let mut wider = value.clone();
        let is_wider = let_parsed_text_through(&mut wider);
        let coerced = !self.root.get("values").is_some_and(|values| values.is("strict"));
        match (self.schema)(value) {
            Ok(schema) => {
                let schema = if is_wider { Schema::trusted(wider) } else { schema };
                Some(if coerced { schema.with_formats() } else { schema })
            }
            Err(Flaw { path, message }) => {
                let at = path.iter().try_fold(node, |at, segment| match segment {
                    Segment::Key(key) => at.get(key),
                    Segment::Index(index) => at.item(*index),
                });
                self.faults.push(Fault { span: at.unwrap_or(node).head(), message, help: None, is_missing: false });
                None
            }
        }
    }
}
