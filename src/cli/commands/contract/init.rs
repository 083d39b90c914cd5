//! `zrecipe contract init`: a draft from how recipes use a service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{print_contract, texts};
use crate::cli::{Error, Session, say};
use zrecipe_language::compile::{Compilation, structure};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::lint::nearest;
use zrecipe_language::recipe::{Recipe, Role, Step};
use zrecipe_language::syntax::{Kind, NodeRef};
use zrecipe_language::value::{Object, Value};
use zrecipe_project::files::gather;
use zrecipe_project::library;
use zrecipe_project::pattern::has_wildcard;

/// Draft the contract of the service on these queues from its use in recipes
///
/// The draft describes the current use, which may contain mistakes. Review it before you activate it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Queues of one service.
    #[arg(required = true, value_name = "QUEUE")]
    queues: Vec<String>,
    /// Recipes to read: paths, names, patterns or directories (repeatable); defaults to the recipe directories.
    #[arg(long = "from", value_name = "RECIPE")]
    from: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    print_contract(&draft(&args.queues, &args.from, session)?)
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
                let files = gather(std::slice::from_ref(pattern), "", &session.settings.selection, |_| false)?;
                all.extend(files.into_iter().filter_map(|file| Some(file.path?.to_string_lossy().into_owned())));
            } else if has_wildcard(pattern) {
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
            None => error.hint("choose recipes with `--from`: paths, names or patterns"),
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
