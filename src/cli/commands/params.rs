//! `zrecipe params`: the parameters of recipes, and where they are used.

use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::cli::{Error, Session, print};
use crate::compile::Compilation;
use crate::source::Unit;
use crate::syntax::NodeId;
use crate::template::{Field, Template};
use crate::value::Value;

/// List the parameters of recipes and where they are used
///
/// A parameter that is not given stays as text, `{name}`, unless the table says otherwise.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths or names of recipes.
    #[arg(required = true, value_name = "RECIPE")]
    recipes: Vec<String>,
    /// How to write them.
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

/// One place where a parameter is used.
struct Use {
    place: String,
    step: String,
    written: String,
    if_missing: &'static str,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let compiled = session.compile(&args.recipes, None)?;
    session.explain(&compiled);
    let mut parameters: IndexMap<String, Vec<Use>> = IndexMap::new();
    for compilation in &compiled {
        for used in &compilation.templates {
            let Ok(template) = &used.template else { continue };
            for field in template.fields() {
                let found = describe(compilation, used.node, template, field);
                parameters.entry(field.name.clone()).or_default().push(found);
            }
        }
    }
    parameters.sort_keys();
    let text = if args.format == "json" { json(&parameters) } else { table(&parameters) };
    print(&text)?;
    if compiled.iter().any(Compilation::has_errors) { Err(Error::findings()) } else { Ok(()) }
}

fn describe(compilation: &Compilation, node: NodeId, template: &Template, field: &Field) -> Use {
    let node = compilation.tree.node(node);
    let span = node.text_span(field.span.clone());
    let position = compilation.source.position(span.start, Unit::Char);
    let recipe = &compilation.recipe;
    let step = recipe.steps().iter().find(|step| {
        let value = recipe.span(step.value);
        value.start <= span.start && span.end <= value.end
    });
    Use {
        place: format!("{}:{}:{}", compilation.source.name(), position.line, position.column),
        step: step.map_or_else(|| "start".to_owned(), |step| recipe.name(step).into_owned()),
        written: node.text().into_owned(),
        if_missing: match (template.replace, field.needs_definition()) {
            _ if field.name == "guid" => "always given",
            (true, _) => "null",
            (false, true) => "rejected",
            (false, false) => "kept as text",
        },
    }
}

fn table(parameters: &IndexMap<String, Vec<Use>>) -> String {
    let mut text = String::new();
    for (name, uses) in parameters {
        let _ = writeln!(text, "{name}");
        let width = uses.iter().map(|used| used.place.len()).max().unwrap_or_default();
        for used in uses {
            let short: String = used.written.chars().map(|c| if c.is_control() { ' ' } else { c }).take(60).collect();
            let step = if used.step == "start" { "start".to_owned() } else { format!("step {}", used.step) };
            let given = match used.if_missing {
                "always given" => used.if_missing.to_owned(),
                other => format!("if not given: {other}"),
            };
            let _ = writeln!(text, "  {:<width$}  {step:<8}  {given:<26}  {short}", used.place);
        }
    }
    text
}

fn json(parameters: &IndexMap<String, Vec<Use>>) -> String {
    let uses = |uses: &Vec<Use>| {
        let uses = uses.iter().map(|used| {
            Value::from([
                ("place", used.place.as_str()),
                ("step", used.step.as_str()),
                ("written", used.written.as_str()),
                ("if_missing", used.if_missing),
            ])
        });
        Value::from(uses.collect::<Vec<_>>())
    };
    let list: Vec<Value> = parameters
        .iter()
        .map(|(name, found)| Value::from([("name", Value::from(name.as_str())), ("uses", uses(found))]))
        .collect();
    Value::from([("version", Value::from(1)), ("parameters", Value::from(list))]).to_json_pretty() + "\n"
}
