//! `zrecipe contract import`: a contract from models, as JSON Schemas or as Python classes.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::{print_contract, texts};
use crate::cli::{Error, Session};
use zrecipe_language::schema::{Flaw, Schema, SchemaValue, Segment, path_text, resolve_reference, to_schema_value};
use zrecipe_language::syntax::Tree;
use zrecipe_language::syntax::json::{self, read_value};
use zrecipe_language::value::{Object, Value};
use zrecipe_project::files::Input;

/// Create a contract from models of parameters: JSON Schemas, as written by pydantic's `model_json_schema()`
///
/// A model is a file with a JSON Schema (`-` reads standard input), a definition in such a file
/// (`models.json#/$defs/Dimple`), or with `--python` a class (`package.module:Class`). A file that contains only
/// definitions, as written by `models_json_schema()`, provides several models.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The models; with `--variant` also `VALUE=MODEL`.
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
    /// Queue that the service consumes (repeatable).
    #[arg(long = "queue", value_name = "QUEUE", required = true)]
    queues: Vec<String>,
    /// Name of the service in recipes; defaults to the title of the schema.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Do not convert text values to the type of the parameter.
    #[arg(long)]
    strict: bool,
    /// The service merges its payload and its parameters; the payload takes precedence.
    #[arg(long)]
    merged: bool,
    /// The service rejects parameters that the models do not define; by default they are warnings.
    #[arg(long)]
    closed: bool,
    /// Parameter whose value selects one of several models.
    #[arg(long, value_name = "PARAMETER")]
    variant: Option<String>,
    /// Import classes with this Python interpreter, which must have them installed.
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, default_missing_value = "python3", require_equals = true)]
    python: Option<String>,
}

/// A model that was read.
struct Model {
    /// The value that chooses it, if it was given.
    value: Option<String>,
    /// The name of its definition.
    name: Option<String>,
    schema: Value,
}

/// Prints the JSON Schema of a class; what its import prints goes to standard error.
const SCRIPT: &str = r#"
import importlib, json, os, sys
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
module, _, name = sys.argv[1].partition(":")
found = importlib.import_module(module)
for part in name.split("."):
    found = getattr(found, part)
if hasattr(found, "model_json_schema"):
    schema = found.model_json_schema()
elif hasattr(found, "__get_validators__"):
    schema = found.schema()
else:
    from pydantic import TypeAdapter
    schema = TypeAdapter(found).json_schema()
json.dump(schema, out)
"#;

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let mut models = Vec::new();
    for written in &args.models {
        let (value, model) = match written.split_once('=') {
            Some((value, model)) if args.variant.is_some() => (Some(value.to_owned()), model),
            _ => (None, written.as_str()),
        };
        read_model(model, args, session, |name, schema| models.push(Model { value: value.clone(), name, schema }))?;
    }
    let contract = match &args.variant {
        Some(by) => variants(models, by, args)?,
        None => match <[Model; 1]>::try_from(models) {
            Ok([only]) => import(only.schema, args).map_err(|flaw| Error::new(flaw.message))?,
            Err(models) => {
                let error = Error::new(format!("{} models are given for one service", models.len()));
                return Err(error.hint("name the parameter that selects one of them: `--variant PARAMETER`"));
            }
        },
    };
    print_contract(&contract)
}

/// Reads one of the arguments, which may hold several models.
fn read_model(
    model: &str,
    args: &Args,
    session: &Session,
    mut found: impl FnMut(Option<String>, Value),
) -> Result<(), Error> {
    let (file, pointer) = model.split_once('#').map_or((model, None), |(file, pointer)| (file, Some(pointer)));
    let path = Some(PathBuf::from(file)).filter(|_| file != "-");
    let is_class = path.as_ref().is_some_and(|path| !path.exists())
        && model.split_once(':').is_some_and(|(module, name)| is_dotted(module) && is_dotted(name));
    let tree = if is_class {
        let Some(python) = &args.python else {
            let error = Error::new(format!("`{model}` is a class, but no Python interpreter is given to import it"));
            return Err(
                error.hint("use `--python` to import it with python3, or `--python=PROGRAM` for another interpreter")
            );
        };
        let text = run_python(python, model)?;
        json::parse(Arc::new(zrecipe_language::source::Source::from_text(model, text)))
    } else {
        let shown = path.as_ref().map_or("<stdin>".into(), |path| path.to_string_lossy().into_owned());
        let input = Input { name: shown, path, found: false, unreadable: None };
        json::parse(Arc::new(input.read(session.settings.max_bytes()).map_err(Error::new)?))
    };
    let schema = read_schema(&tree)?;
    Schema::new(to_schema_value(&schema)).map_err(|flaw| of_flaw(&tree, &flaw))?;
    let definitions = |schema: &Value| {
        ["$defs", "definitions"].into_iter().find_map(|key| Some((key, schema.get(key)?.as_object()?.clone())))
    };
    let inside = |key: &str, name: &str| {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        let mut whole = Object::new();
        whole.insert("$ref".to_owned(), Value::from(format!("#/{key}/{escaped}")));
        if let Some(all) = schema.get(key) {
            whole.insert(key.to_owned(), all.clone());
        }
        Value::Object(whole)
    };
    if let Some(pointer) = pointer {
        let parts: Vec<&str> = pointer.trim_start_matches('/').split('/').collect();
        let [key, name] = parts[..] else {
            return Err(Error::new(format!("`#{pointer}` is not of the form `#/$defs/NAME`")));
        };
        let known = schema.get(key).and_then(Value::as_object);
        if known.is_none_or(|known| !known.contains_key(name)) {
            let error = Error::new(format!("{file} has no definition `{name}`"));
            let names = known.into_iter().flat_map(Object::keys).map(String::as_str);
            return Err(match zrecipe_language::lint::nearest(name, names) {
                Some(meant) => error.hint(format!("did you mean `{meant}`?")),
                None => error,
            });
        }
        found(Some(name.to_owned()), inside(key, name));
        return Ok(());
    }
    // Definitions and nothing that uses them: each is a model.
    let describes = |key: &str| !matches!(key, "$defs" | "definitions" | "title" | "description" | "$schema" | "$id");
    match (&schema, definitions(&schema)) {
        (Value::Object(object), Some((key, all))) if !object.keys().any(|key| describes(key)) => {
            let is_model = |schema: &Value| schema.get("properties").is_some();
            for (name, _) in all.iter().filter(|(_, schema)| is_model(schema)) {
                found(Some(name.clone()), inside(key, name));
            }
        }
        _ => found(None, schema),
    }
    Ok(())
}

fn is_dotted(text: &str) -> bool {
    !text.is_empty()
        && text.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

/// The JSON Schema of a class, from Python.
fn run_python(python: &str, class: &str) -> Result<String, Error> {
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT, class]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| Error::new(format!("cannot run `{python}`: {error}")))?;
    if !output.status.success() {
        return Err(Error::new(format!("`{python}` could not import `{class}` ({})", output.status)));
    }
    String::from_utf8(output.stdout).map_err(|_| Error::new(format!("`{python}` printed something that is not UTF-8")))
}

fn read_schema(tree: &Tree) -> Result<Value, Error> {
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
    let is_of_recipe = |key: &str| key == "start" || key.parse::<u32>().is_ok();
    if schema.as_object().is_some_and(|schema| schema.keys().any(|key| is_of_recipe(key))) {
        let error = Error::new(format!("{shown} is a recipe, not a JSON Schema"));
        return Err(error.hint("draft a contract from recipes with `zrecipe contract init QUEUE --from RECIPE`"));
    }
    Ok(schema)
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
        Segment::Index(index) => node.item(*index),
    });
    let node = node.unwrap_or(tree.root());
    let (place, at) = (tree.source().place(node.span().start), path_text(&flaw.path));
    Error::new(if at.is_empty() {
        format!("{place}: {}", flaw.message)
    } else {
        format!("{place}: `{at}`: {}", flaw.message)
    })
}

/// What a schema is about: its title and description.
fn about(schema: &Value) -> (Option<String>, Option<String>, SchemaValue) {
    let whole = to_schema_value(schema);
    // A model that refers to itself is a definition, and so is its title.
    let model = resolve_reference(&whole, &whole).clone();
    let text = |key: &str| model.get(key).and_then(SchemaValue::as_str).map(str::to_owned);
    (text("title"), text("description"), model)
}

/// The beginning of a contract.
fn head(name: String, description: Option<String>, args: &Args, is_closed: bool) -> Object {
    let mut contract = Object::new();
    contract.insert("names".to_owned(), Value::from(vec![name]));
    if let Some(description) = description {
        contract.insert("description".to_owned(), Value::from(description));
    }
    contract.insert("queues".to_owned(), texts(&args.queues));
    contract.insert("values".to_owned(), Value::from(if args.strict { "strict" } else { "coerced" }));
    if args.merged {
        contract.insert("input".to_owned(), Value::from(vec!["payload", "parameters"]));
    }
    contract.insert("unknown".to_owned(), Value::from(if is_closed { "error" } else { "warning" }));
    contract
}

/// A contract with this schema of parameters.
fn import(mut schema: Value, args: &Args) -> Result<Value, Flaw> {
    Schema::new(to_schema_value(&schema))?;
    let (title, description, model) = about(&schema);
    if !args.strict {
        widen(&mut schema);
    }
    let name = args.name.clone().or(title).unwrap_or_else(|| args.queues[0].clone());
    let forbids = model.get("additionalProperties").and_then(SchemaValue::as_bool) == Some(false);
    let mut contract = head(name, description, args, args.closed || forbids);
    contract.insert("parameters".to_owned(), schema);
    Ok(Value::Object(contract))
}

/// A contract with a variant for each model.
fn variants(models: Vec<Model>, by: &str, args: &Args) -> Result<Value, Error> {
    let mut cases = Object::new();
    for model in models {
        let mut schema = model.schema;
        let (title, description, resolved) = about(&schema);
        if !args.strict {
            widen(&mut schema);
        }
        // A model that says itself for which values it is.
        let chosen = resolved.get("properties").and_then(|properties| properties.get(by));
        let stated: Vec<String> = match chosen {
            Some(chosen) => {
                let many = chosen.get("enum").and_then(SchemaValue::as_array).into_iter().flatten();
                many.chain(chosen.get("const")).filter_map(SchemaValue::as_str).map(str::to_owned).collect()
            }
            None => Vec::new(),
        };
        let values = match (model.value, stated.is_empty()) {
            (Some(value), _) => vec![value],
            (None, false) => stated,
            (None, true) => match model.name.or(title) {
                Some(name) => vec![name],
                None => {
                    let error = Error::new(format!("a model has no value of `{by}` that selects it"));
                    return Err(error.hint("give the value as `VALUE=MODEL`"));
                }
            },
        };
        for value in values {
            let mut case = Object::new();
            if let Some(description) = &description {
                case.insert("description".to_owned(), Value::from(description.as_str()));
            }
            case.insert("parameters".to_owned(), schema.clone());
            if cases.insert(value.clone(), Value::Object(case)).is_some() {
                return Err(Error::new(format!("there are two models for the value `{value}` of `{by}`")));
            }
        }
    }
    let name = args.name.clone().unwrap_or_else(|| args.queues[0].clone());
    let mut contract = head(name, None, args, args.closed);
    let mut parameters = Object::new();
    parameters.insert("type".to_owned(), Value::from("object"));
    parameters.insert("required".to_owned(), Value::from(vec![by]));
    let properties = [(by.to_owned(), Value::from([("type", "string")]))].into_iter().collect();
    parameters.insert("properties".to_owned(), Value::Object(properties));
    contract.insert("parameters".to_owned(), Value::Object(parameters));
    let mut variant = Object::new();
    variant.insert("by".to_owned(), Value::from(by));
    variant.insert("cases".to_owned(), Value::Object(cases));
    contract.insert("variants".to_owned(), Value::Array(vec![Value::Object(variant)]));
    Ok(Value::Object(contract))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        Args {
            models: vec![],
            queues: vec!["images".to_owned()],
            name: None,
            strict: false,
            merged: false,
            closed: false,
            variant: None,
            python: None,
        }
    }

    #[test]
    fn what_pydantic_writes_is_imported() {
        let schema = r##"{"$defs": {"Mode": {"enum": ["fast", "slow"], "title": "Mode", "type": "string"}},
            "properties": {"mode": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}], "default": null},
            "count": {"title": "Count", "type": "integer"}, "wait": {"type": "string", "format": "duration"}}, "required": ["count"], "title": "FindSpots", "type": "object"}"##;
        let schema = read_value(schema.as_bytes()).expect("is JSON");
        let contract = import(schema, &args()).expect("is a schema");
        let text = contract.to_json();
        assert!(
            text.starts_with(
                r#"{"names":["FindSpots"],"queues":["images"],"values":"coerced","unknown":"warning","parameters":{"#
            ),
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
        assert!(import(wrong, &args()).is_err());
    }
}
