//! `zrecipe contract`: drafts of contracts, from recipes or from a JSON Schema.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::files::{Input, gather};
use crate::cli::{Error, Session, print, say};
use zrecipe_language::compile::{Compilation, structure};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::lint::nearest;
use zrecipe_language::recipe::{Recipe, Role, Step};
use zrecipe_language::schema::{Flaw, Schema, SchemaValue, Segment, path_text, resolve_reference, to_schema_value};
use zrecipe_language::syntax::json::{self, read_value};
use zrecipe_language::syntax::{Kind, NodeRef, Tree};
use zrecipe_language::value::{Object, Value};
use zrecipe_project::library;

/// Draft the contract of a service, from recipes that use it or from a JSON Schema
///
/// A contract says what a service promises: the queues it listens on, JSON Schemas of its parameters and its input,
/// and the channels on which it sends. `contracts = ["contracts/*.json"]` in zrecipe.toml puts contracts in force.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Draft the contract of the service on these queues from how recipes use it
    ///
    /// The draft is what is there, not what ought to be: look it through before it is put in force.
    Init {
        /// Queues of one service.
        #[arg(required = true, value_name = "QUEUE")]
        queues: Vec<String>,
        /// Recipes to look at: paths, names, patterns or directories; those in the recipe directories unless given (repeatable).
        #[arg(long = "from", value_name = "RECIPE")]
        from: Vec<String>,
    },
    /// Make a contract out of a JSON Schema of parameters, as pydantic's `model_json_schema()` writes it
    Import {
        /// A file with the JSON Schema; `-` is standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The queue on which the service listens (repeatable).
        #[arg(long = "queue", value_name = "QUEUE", required = true)]
        queues: Vec<String>,
        /// What recipes call the service; the schema's title unless given.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Take values as they are: text does not count as what it reads as.
        #[arg(long)]
        strict: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let contract = match &args.action {
        Action::Init { queues, from } => draft(queues, from, session)?,
        Action::Import { file, queues, name, strict } => {
            let path = Some(file.clone()).filter(|file| file.as_os_str() != "-");
            let shown = path.as_ref().map_or("<stdin>".into(), |path| path.to_string_lossy().into_owned());
            let source =
                Input { name: shown, path, found: false }.read(session.settings.max_bytes()).map_err(Error::new)?;
            let tree = json::parse(Arc::new(source));
            let (source, shown) = (tree.source(), tree.source().name());
            let schema = match read_value(source.text().as_bytes()) {
                Ok(schema @ (Value::Object(_) | Value::Bool(_))) => schema,
                Ok(other) => return Err(Error::new(format!("{shown} holds {}, not a JSON Schema", other.describe()))),
                Err(reason) => {
                    let mistake = tree.mistakes().next().map(|mistake| mistake.span.start);
                    let place = mistake.map_or_else(|| shown.to_owned(), |at| source.place(at));
                    let reason = if mistake.is_some() { "this is not JSON".to_owned() } else { reason };
                    return Err(Error::new(format!("{place}: {reason}")));
                }
            };
            let looks = |key: &str| key == "start" || key.parse::<u32>().is_ok();
            if schema.as_object().is_some_and(|schema| schema.keys().any(|key| looks(key))) {
                let error = Error::new(format!("{shown} is a recipe, not a JSON Schema"));
                return Err(error.hint("`zrecipe contract init QUEUE --from RECIPE` drafts a contract from recipes"));
            }
            import(schema, queues, name.as_deref(), *strict).map_err(|flaw| of_flaw(&tree, &flaw))?
        }
    };
    print(&(contract.to_json_pretty() + "\n"))
}

fn texts(items: &[String]) -> Value {
    Value::Array(items.iter().map(|item| Value::from(item.as_str())).collect())
}

/// Formats of text that pydantic makes of a number as well.
const OF_NUMBERS: [&str; 6] = ["date", "date-time", "time", "duration", "ipv4", "ipv6"];

/// Adds what pydantic takes beside what it writes.
fn widen(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(widen),
        Value::Object(object) => {
            let format = object.get("format").and_then(Value::as_str);
            let is_text = object.get("type").and_then(Value::as_str) == Some("string");
            if is_text && format.is_some_and(|format| OF_NUMBERS.contains(&format)) {
                object.insert("type".to_owned(), Value::from(vec!["string", "number"]));
            }
            object.values_mut().for_each(widen);
        }
        _ => {}
    }
}

/// What is wrong with a schema, and where.
fn of_flaw(tree: &Tree, flaw: &Flaw) -> Error {
    let node = flaw.path.iter().try_fold(tree.root(), |node, segment| match segment {
        Segment::Key(key) => node.get(key),
        Segment::Index(index) => node.items().nth(*index),
    });
    let node = node.unwrap_or(tree.root());
    let (place, at) = (tree.source().place(node.span().start), path_text(&flaw.path));
    Error::new(if at.is_empty() {
        format!("{place}: {}", flaw.message)
    } else {
        format!("{place}: `{at}`: {}", flaw.message)
    })
}

/// A contract with this schema of parameters.
fn import(mut schema: Value, queues: &[String], name: Option<&str>, strict: bool) -> Result<Value, Flaw> {
    let checked = Schema::new(to_schema_value(&schema))?;
    if !strict {
        widen(&mut schema);
    }
    // A model that refers to itself is a definition, and so is its title.
    let model = resolve_reference(checked.root(), checked.root());
    let text = |key: &str| model.get(key).and_then(SchemaValue::as_str).map(str::to_owned);
    let (title, description) = (text("title"), text("description"));
    let name = name.map(str::to_owned).or(title).unwrap_or_else(|| queues[0].clone());
    let mut contract = Object::new();
    contract.insert("names".to_owned(), Value::from(vec![name]));
    if let Some(description) = description {
        contract.insert("description".to_owned(), Value::from(description));
    }
    contract.insert("queues".to_owned(), texts(queues));
    contract.insert("values".to_owned(), Value::from(if strict { "strict" } else { "coerced" }));
    contract.insert("parameters".to_owned(), schema);
    Ok(Value::Object(contract))
}

/// What was seen of a part of the steps on a queue.
#[derive(Default)]
struct Seen {
    /// In how many steps there is one.
    steps: usize,
    /// For each key, in how many steps it is, and of which types.
    keys: BTreeMap<String, (usize, BTreeSet<&'static str>)>,
}

impl Seen {
    fn look(&mut self, value: Option<NodeRef<'_>>) {
        self.steps += 1;
        let mut own: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
        for member in value.into_iter().flat_map(|value| value.members()).filter(|member| !member.key.has_braces()) {
            own.entry(member.key.text().into_owned()).or_default().extend(type_of(member.value));
        }
        for (key, types) in own {
            let (count, all) = self.keys.entry(key).or_default();
            *count += 1;
            // What can be anything stays so.
            all.extend(if types.is_empty() { BTreeSet::from([""]) } else { types });
        }
    }

    fn schema(&self) -> Option<Value> {
        if self.keys.is_empty() {
            return None;
        }
        let mut properties = Object::new();
        for (key, (_, types)) in &self.keys {
            let types: Vec<&str> =
                types.iter().copied().filter(|kind| !(*kind == "integer" && types.contains("number"))).collect();
            let schema = match types.as_slice() {
                // From nothing but null nobody can tell what else there may be.
                ["null"] => Value::Object(Object::new()),
                _ if types.contains(&"") => Value::Object(Object::new()),
                [only] => Value::from([("type", *only)]),
                _ => Value::from([("type", Value::from(types))]),
            };
            properties.insert(key.clone(), schema);
        }
        let required: Vec<&str> =
            self.keys.iter().filter(|(_, (count, _))| *count == self.steps).map(|(key, _)| key.as_str()).collect();
        let mut schema = Object::new();
        schema.insert("type".to_owned(), Value::from("object"));
        if !required.is_empty() {
            schema.insert("required".to_owned(), Value::from(required));
        }
        schema.insert("properties".to_owned(), Value::Object(properties));
        Some(Value::Object(schema))
    }
}

/// The type of a value; nothing for one that a parameter decides.
fn type_of(value: NodeRef<'_>) -> Option<&'static str> {
    Some(match value.kind() {
        Kind::String if value.text().starts_with("{$REPLACE") => return None,
        Kind::Missing => return None,
        Kind::Null => "null",
        Kind::Bool => "boolean",
        Kind::Number if value.as_integer().is_some() => "integer",
        Kind::Number => "number",
        // A placeholder makes text, and its value may be that of a number.
        Kind::String if value.has_braces() => return None,
        Kind::String => "string",
        Kind::Array => "array",
        Kind::Object => "object",
    })
}

fn draft(queues: &[String], from: &[String], session: &Session) -> Result<Value, Error> {
    let given: Vec<String> = if from.is_empty() {
        session.library()?.own_names()
    } else {
        let mut all = Vec::new();
        for pattern in from {
            if std::path::Path::new(pattern).is_dir() {
                let files = gather(std::slice::from_ref(pattern), "")?;
                all.extend(files.into_iter().filter_map(|file| Some(file.path?.to_string_lossy().into_owned())));
            } else if pattern.contains(['*', '?', '[']) {
                let files = library::matching(std::path::Path::new(pattern))?;
                all.extend(files.into_iter().map(|file| file.to_string_lossy().into_owned()));
            } else {
                all.push(pattern.clone());
            }
        }
        all
    };
    let library = session.library()?;
    // Contracts do not matter, and the one that is to be written may be there already, and empty.
    let compile = |recipe: &String| Ok(structure(Arc::new(library.open(recipe)?), Some(DocumentKind::Recipe)));
    let compiled: Vec<Compilation> = given.iter().map(compile).collect::<Result<_, Error>>()?;
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut channels: BTreeSet<String> = BTreeSet::new();
    let (mut parameters, mut job_parameters) = (Seen::default(), Seen::default());
    let mut count = 0;
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (recipe, step) in compiled.iter().flat_map(steps) {
        let Some(queue) = recipe.text(step.queue) else { continue };
        let is_wanted = queues.iter().any(|wanted| *wanted == queue);
        used.insert(queue.into_owned());
        if !is_wanted {
            continue;
        }
        count += 1;
        if let Some(service) = recipe.text(step.service) {
            *names.entry(service.into_owned()).or_default() += 1;
        }
        parameters.look(step.parameters.map(|value| recipe.node(value)));
        job_parameters.look(step.job_parameters.map(|value| recipe.node(value)));
        let links = recipe.links(step).iter().filter(|link| link.role == Role::Output);
        channels.extend(links.filter_map(|link| Some(recipe.node(link.channel?).text().into_owned())));
    }
    if let Some(queue) = queues.iter().find(|queue| !used.contains(*queue)) {
        let error = match compiled.len() {
            0 => Error::new("there are no recipes to draft from"),
            1 => Error::new(format!("the recipe has no step on `{queue}`")),
            all => Error::new(format!("none of the {all} recipes has a step on `{queue}`")),
        };
        return Err(match nearest(queue, used.iter().map(String::as_str)) {
            Some(meant) => error.hint(format!("did you mean `{meant}`?")),
            None => error.hint("`--from` says which recipes to look at: paths, names or patterns"),
        });
    }
    say(&format!("drafted from {} in {}", counted(count, "step"), counted(compiled.len(), "recipe")));
    let mut names: Vec<(String, usize)> = names.into_iter().collect();
    names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut names: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
    if names.is_empty() {
        names.push(queues[0].clone());
    }
    let mut contract = Object::new();
    contract.insert("names".to_owned(), texts(&names));
    contract.insert("queues".to_owned(), texts(queues));
    contract.insert("values".to_owned(), Value::from("coerced"));
    for (key, seen) in [("parameters", parameters), ("job_parameters", job_parameters)] {
        if let Some(schema) = seen.schema() {
            contract.insert(key.to_owned(), schema);
        }
    }
    if !channels.is_empty() {
        let channels = channels.into_iter().map(|channel| (channel, Value::Object(Object::new())));
        contract.insert("channels".to_owned(), Value::Object(channels.collect()));
        // Recipes need not connect all there are.
        contract.insert("other_channels".to_owned(), Value::Bool(true));
    }
    Ok(Value::Object(contract))
}

fn steps(compilation: &Compilation) -> impl Iterator<Item = (&Recipe, &Step)> {
    let recipe = &compilation.recipe;
    recipe.steps().iter().map(move |step| (recipe, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pydantic_writes_is_imported() {
        let schema = r##"{"$defs": {"Mode": {"enum": ["fast", "slow"], "title": "Mode", "type": "string"}},
            "properties": {"mode": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}], "default": null},
            "count": {"title": "Count", "type": "integer"}, "wait": {"type": "string", "format": "duration"}}, "required": ["count"], "title": "FindSpots", "type": "object"}"##;
        let schema = read_value(schema.as_bytes()).expect("is JSON");
        let contract = import(schema, &["images".to_owned()], None, false).expect("is a schema");
        let text = contract.to_json();
        assert!(
            text.starts_with(r#"{"names":["FindSpots"],"queues":["images"],"values":"coerced","parameters":{"#),
            "{text}"
        );
        let source = std::sync::Arc::new(zrecipe_language::source::Source::from_text("contract", text));
        let reading = zrecipe_language::contract::read(&zrecipe_language::syntax::json::parse(source));
        assert_eq!(reading.faults, []);
        let contract = reading.contract.expect("is right");
        let check = |text: &str| {
            let value = read_value(text.as_bytes()).expect("is JSON");
            contract.parameters.as_ref().expect("is there").check_value(&value, true).len()
        };
        for (text, faults) in [
            (r#"{"count": "5", "mode": "fast"}"#, 0),
            (r#"{"count": 5, "mode": null}"#, 0),
            (r#"{"count": 5, "wait": 30.5}"#, 0),
            (r#"{"count": 5, "wait": []}"#, 1),
            (r#"{"count": "five"}"#, 1),
            (r#"{"mode": "fats"}"#, 2),
        ] {
            assert_eq!(check(text), faults, "{text}");
        }
        let wrong = read_value(br#"{"type": "objekt"}"#).expect("is JSON");
        assert!(import(wrong, &["images".to_owned()], None, false).is_err());
    }
}
