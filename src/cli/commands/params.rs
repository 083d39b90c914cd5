//! `zrecipe params`: the signature of recipes: their parameters, what each must be, and where it is used.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::cli::target::OutputArgs;
use crate::cli::{Error, Session};
use zrecipe_language::compile::Compilation;
use zrecipe_language::contract::{Contracts, Part, Under};
use zrecipe_language::flow::{self, Flow};
use zrecipe_language::infer::{self, Need, Parameter, Type};
use zrecipe_language::schema::SchemaValue;
use zrecipe_language::secret;
use zrecipe_language::syntax::NodeId;
use zrecipe_language::value::Value;
use zrecipe_project::judge::CheckOptions;

/// List the parameters of recipes, with their types and uses
///
/// Types are inferred from how a recipe uses its parameters and from the contracts of its services. A parameter without
/// a value remains as the text `{name}`, unless the table shows otherwise. `--format schema` writes a JSON Schema for
/// the files of `--params`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths or names of recipes.
    #[arg(required = true, value_name = "RECIPE")]
    recipes: Vec<String>,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json", "schema"])]
    format: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// One place where a parameter is used.
struct Use {
    place: String,
    step: String,
    written: Arc<str>,
    if_missing: &'static str,
}

/// A parameter of all recipes together.
struct Entry {
    meets: Type,
    need: Need,
    description: Option<String>,
    uses: Vec<Use>,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let compiled = session.compile(&args.recipes, CheckOptions::default())?;
    match args.format.as_str() {
        "table" => session.explain(&compiled),
        _ => session.explain_errors(&compiled),
    }
    let mut parameters: IndexMap<String, Entry> = IndexMap::new();
    for compilation in &compiled {
        let mut texts = HashMap::new();
        for parameter in infer::infer(&compilation.recipe, &compilation.templates, session.contracts()?) {
            let uses = describe(compilation, &parameter, &mut texts);
            match parameters.get_mut(&parameter.name) {
                Some(entry) => {
                    entry.meets = entry.meets.meet(&parameter.meets);
                    entry.need = entry.need.max(parameter.need);
                    entry.description = entry.description.take().or(parameter.description);
                    entry.uses.extend(uses);
                }
                None => {
                    let Parameter { meets, need, description, .. } = parameter;
                    parameters.insert(parameter.name, Entry { meets, need, description, uses });
                }
            }
        }
    }
    parameters.sort_keys();
    let contracts = session.contracts()?;
    let received: Vec<Received> = compiled.iter().flat_map(|compilation| received(compilation, contracts)).collect();
    let text = match args.format.as_str() {
        "json" => json(&parameters, &received),
        "schema" => schema(&parameters),
        _ => table(&parameters, &received),
    };
    args.output.print(&text)
}

/// What a step whose service reads its payload together with its parameters receives.
struct Received {
    recipe: String,
    step: String,
    /// In words, by where it comes from.
    from: Vec<String>,
}

fn received(compilation: &Compilation, contracts: &Contracts) -> Vec<Received> {
    let recipe = &compilation.recipe;
    let under: Vec<_> = recipe.steps().iter().map(|step| contracts.under(recipe, step)).collect();
    let flow = Flow::new(recipe, &compilation.graph, &under);
    let reads = |under: &Under<'_>| {
        Part::ALL.into_iter().any(|part| under.of(part).is_some_and(|contract| contract.takes_payload_as(part)))
    };
    let steps = recipe.steps().iter().enumerate().filter(|(index, _)| reads(&under[*index]));
    let found = steps.map(|(index, step)| Received {
        recipe: compilation.source.name().to_owned(),
        step: recipe.name(step).into_owned(),
        from: flow::in_words(recipe, &flow.deliveries(index)),
    });
    found.collect()
}

/// The uses of a parameter. Each string is kept once, in `texts`, whatever the number of its placeholders.
fn describe(compilation: &Compilation, parameter: &Parameter, texts: &mut HashMap<NodeId, Arc<str>>) -> Vec<Use> {
    let recipe = &compilation.recipe;
    let describe = |used: &infer::Use| {
        let node = compilation.tree.node(used.node);
        let text = || Arc::from(secret::hidden_text(&node.text()));
        Use {
            place: compilation.source.place(used.span(recipe).start),
            step: used.step.map_or_else(|| "start".to_owned(), |step| recipe.name(&recipe.steps()[step]).into_owned()),
            written: Arc::clone(texts.entry(used.node).or_insert_with(text)),
            if_missing: match (used.is_replace, used.field.needs_definition()) {
                _ if used.field.name == "guid" => "always given",
                (true, _) => "null",
                (false, true) => "rejected",
                (false, false) => "kept as text",
            },
        }
    };
    parameter.uses.iter().map(describe).collect()
}

fn needed(need: Need) -> &'static str {
    match need {
        Need::Required => "must be given",
        Need::Expected => "should be given",
        Need::Optional => "need not be given",
    }
}

fn table(parameters: &IndexMap<String, Entry>, received: &[Received]) -> String {
    let mut text = String::new();
    for (name, entry) in parameters {
        let need = if name == "guid" { "always given" } else { needed(entry.need) };
        let _ = writeln!(text, "{name}: {}, {need}", entry.meets);
        if let Some(description) = &entry.description {
            let _ = writeln!(text, "  {description}");
        }
        let width = entry.uses.iter().map(|used| used.place.len()).max().unwrap_or_default();
        for used in &entry.uses {
            let short: String = used.written.chars().map(|c| if c.is_control() { ' ' } else { c }).take(60).collect();
            let step = if used.step == "start" { "start".to_owned() } else { format!("step {}", used.step) };
            let given =
                if name == "guid" { used.if_missing.to_owned() } else { format!("if not given: {}", used.if_missing) };
            let _ = writeln!(text, "  {:<width$}  {step:<8}  {given:<26}  {short}", used.place);
        }
    }
    for Received { recipe, step, from } in received {
        let _ = writeln!(text, "step {step} of {recipe} receives");
        for line in from {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn json(parameters: &IndexMap<String, Entry>, received: &[Received]) -> String {
    let uses = |uses: &Vec<Use>| {
        let uses = uses.iter().map(|used| {
            Value::from([
                ("place", used.place.as_str()),
                ("step", used.step.as_str()),
                ("written", &*used.written),
                ("if_missing", used.if_missing),
            ])
        });
        Value::from(uses.collect::<Vec<_>>())
    };
    let list: Vec<Value> = parameters
        .iter()
        .map(|(name, entry)| {
            let schema = zrecipe_language::syntax::json::read_value(entry.meets.to_schema().to_string().as_bytes());
            Value::from([
                ("name", Value::from(name.as_str())),
                ("type", Value::from(entry.meets.to_string())),
                ("schema", schema.unwrap_or_default()),
                ("required", Value::from(entry.need == Need::Required)),
                ("expected", Value::from(entry.need >= Need::Expected)),
                ("description", Value::from(entry.description.clone())),
                ("uses", uses(&entry.uses)),
            ])
        })
        .collect();
    let received = received.iter().map(|received| {
        Value::from([
            ("recipe", Value::from(received.recipe.as_str())),
            ("step", Value::from(received.step.as_str())),
            ("from", Value::from(received.from.clone())),
        ])
    });
    let received = Value::from(received.collect::<Vec<_>>());
    let document = [("version", Value::from(1)), ("parameters", Value::from(list)), ("received", received)];
    Value::from(document).to_json_pretty() + "\n"
}

/// A JSON Schema of the parameters. What only may be given is left out: shell variables look like parameters, too.
fn schema(parameters: &IndexMap<String, Entry>) -> String {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for (name, entry) in parameters.iter().filter(|(_, entry)| entry.need >= Need::Expected) {
        let mut schema = entry.meets.to_schema();
        if let (Some(description), Some(object)) = (&entry.description, schema.as_object_mut()) {
            object.insert("description".to_owned(), SchemaValue::from(description.as_str()));
        }
        properties.insert(name.clone(), schema);
        required.push(SchemaValue::from(name.as_str()));
    }
    let schema = serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": required,
        "properties": properties,
    });
    // Numbers and order as they are.
    zrecipe_language::syntax::json::read_value(schema.to_string().as_bytes()).unwrap_or_default().to_json_pretty()
        + "\n"
}
