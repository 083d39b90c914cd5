//! The recorded behaviour of the reference implementation, case by case. What differs on purpose is listed here.

use std::sync::Arc;
use std::time::Duration;

use zrecipe::bind::bind;
use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::diagnostic::Level;
use zrecipe::document::DocumentKind;
use zrecipe::message::{self, Destination, Envelope, Outgoing, Output, SendError};
use zrecipe::source::Source;
use zrecipe::syntax::json::{parse, read_value};
use zrecipe::topology::{self, Binding, Exchange, Queue};
use zrecipe::value::{Object, Value};

use crate::files::Folder;

fn cases(name: &str) -> Vec<Object> {
    let path = format!("{}/tests/conformance/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read(&path).expect("the recorded behaviour is part of the project");
    let cases: Vec<Object> = read_value(&text)
        .expect("is JSON")
        .as_array()
        .expect("is a list")
        .iter()
        .map(|case| case.as_object().expect("is an object").clone())
        .collect();
    assert!(cases.len() > 5, "{name} has cases");
    cases
}

fn compile_value(recipe: &Value, parameters: Option<&Object>) -> Compilation {
    let source = Arc::new(Source::from_text("recipe", recipe.to_json()));
    compile(source, Options { parameters, ..Options::default() })
}

/// Equal as JSON: key order does not matter, numbers do.
fn as_json(value: &Value) -> serde_json::Value {
    serde_json::from_str(&value.to_json()).expect("is JSON")
}

/// Runs every case and reports all failures at once.
fn run(name: &str, check: impl Fn(&Object) -> Result<(), String>) {
    let failures: Vec<String> = cases(name)
        .iter()
        .enumerate()
        .filter_map(|(number, case)| {
            let why = check(case).err()?;
            Some(format!("case {number}: {why}\n  {}", Value::Object(case.clone()).to_json()))
        })
        .collect();
    assert!(failures.is_empty(), "{} cases of {name} fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn validation() {
    // Read on purpose although the reference does not: a byte order mark is a warning.
    let accepted_on_purpose = |text: &str| text.starts_with('\u{feff}');
    run("validation", |case| {
        let text = case["text"].as_str().expect("has a text");
        let compilation = compile(Arc::new(Source::from_text("recipe", text)), Options::default());
        let rejected = case.contains_key("error") && !accepted_on_purpose(text);
        let refused: Vec<_> = compilation.refusals().map(|found| (found.rule, &found.message)).collect();
        match (rejected, refused.is_empty()) {
            (true, true) => Err("is rejected by the reference and not by us".to_owned()),
            (false, false) => Err(format!("is accepted by the reference, and we say {refused:?}")),
            _ => Ok(()),
        }
    });
}

#[test]
fn substitution() {
    run("substitution", |case| {
        let parameters = case["parameters"].as_object().expect("has parameters");
        let compilation = compile_value(&case["recipe"], Some(parameters));
        let refused: Vec<_> = compilation.refusals().map(|found| (found.rule, &found.message)).collect();
        // Difference 8: two keys that become one lose a value in the reference.
        let collides = refused.iter().any(|(rule, _)| *rule == "colliding-key");
        match case.get("result") {
            Some(_) if collides => Ok(()),
            // A destination that stays a placeholder is reported by us and lost by the reference.
            Some(expected) if refused.iter().all(|(rule, _)| *rule == "unresolved-destination") => {
                let bound = bind([&compilation], parameters);
                let (ours, theirs) = (as_json(&bound), as_json(expected));
                if ours == theirs { Ok(()) } else { Err(format!("we make {ours}")) }
            }
            Some(_) => Err(format!("we say {refused:?}")),
            None if refused.is_empty() => {
                Err(format!("we accept it and make {}", bind([&compilation], parameters).to_json()))
            }
            None => Ok(()),
        }
    });
}

/// Difference 7: a message that the reference loses is refused by us. Whether this is one.
fn is_lost(case: &Object, error: &SendError) -> bool {
    let SendError::NoDestination(step) = error else { return false };
    let sent = case.get("result").and_then(Value::as_array).unwrap_or_default();
    let leads_there = |sent: &Value| sent.get("message")?.get("recipe-pointer")?.as_i64().map(|to| to == *step);
    !sent.iter().any(|sent| leads_there(sent) == Some(true))
}

#[test]
fn dispatch() {
    run("dispatch", |case| {
        let parameters = case["parameters"].as_object().expect("has parameters");
        let custom = case.get("custom_recipe").filter(|recipe| recipe.is_truthy());
        let named = case["recipes"].as_array().expect("has recipes").iter();
        let compiled: Vec<_> =
            custom.into_iter().chain(named).map(|recipe| compile_value(recipe, Some(parameters))).collect();
        let refused: Vec<_> = compiled
            .iter()
            .flat_map(|compilation| compilation.refusals())
            .map(|found| (found.rule, found.message.clone()))
            .collect();
        let environment = Object::from_iter([("ID".to_owned(), parameters["guid"].clone())]);
        let sent = if refused.is_empty() && !compiled.is_empty() {
            let bound = bind(&compiled, parameters);
            match Envelope::start(bound, environment, "request") {
                Err(error) if is_lost(case, &error) => return Ok(()),
                started => started.map_err(|error| error.to_string()),
            }
        } else {
            Err(format!("{refused:?}"))
        };
        compare(case, sent)
    });
}

#[test]
fn hops() {
    run("hops", |case| {
        let headers = Object::from_iter([("workflows-recipe".to_owned(), Value::from("True"))]);
        let read = |message: &Value| Envelope::read(&headers, message.to_json().as_bytes());
        let envelope = match read(&case["message"]) {
            // Difference 12. What follows from a message is the same for one that has not been here before.
            Err(message::Error::Circle(_)) => {
                let mut message = case["message"].as_object().expect("is an object").clone();
                let path = message.shift_remove("recipe-path").expect("has a path");
                let path = path.as_array().expect("is a list").to_vec();
                read(&Value::Object(message)).map(|envelope| Envelope { path, ..envelope })
            }
            read => read,
        };
        let envelope = envelope.map_err(|error| error.to_string())?;
        let own_headers = Object::from_iter([("h".to_owned(), Value::from(1))]);
        let text = |key: &str| case.get(key).and_then(Value::as_str);
        let payload = case["payload"].clone();
        let sent = match text("action").expect("has an action") {
            "checkpoint" => {
                let delay = Duration::from_secs(case["argument"].as_i64().unwrap_or(0) as u64);
                envelope.checkpoint("parent", &payload, delay, &Object::new())
            }
            action => {
                let named = action == "send_to";
                let headers = if named { Object::new() } else { own_headers };
                let output = Output { headers, ..Output::new(text("argument").map(str::to_owned), payload) };
                envelope.advance("parent", &[output], text("default_channel"))
            }
        };
        match sent {
            Err(error) if is_lost(case, &error) => Ok(()),
            sent => compare(case, sent.map_err(|error| error.to_string())),
        }
    });
}

#[test]
fn site_configuration() {
    // Different on purpose: with two ports for one host nothing connects, which the reference finds out when it tries;
    // and a repeated key loses what was written first.
    let rejected_on_purpose =
        |text: &str| text.contains("host: h, port: '1,2'") || text.starts_with("version: 1\nversion: 1");
    let mut nothing = Folder::default();
    nothing.add_other("x.yml", "missing").expect("is a state");
    run("site_configuration", |case| {
        let text = case["text"].as_str().expect("has a text");
        let source = Arc::new(Source::from_text("site.yml", text));
        let options = Options { kind: Some(DocumentKind::Site), files: &nothing, ..Options::default() };
        let compilation = compile(source, options);
        let errors = compilation.diagnostics.iter().filter(|found| found.level == Level::Error);
        let errors: Vec<_> = errors.map(|found| (found.rule, &found.message)).collect();
        let Some(expected) = case.get("result") else {
            return if errors.is_empty() {
                Err("is rejected by the reference and not by us".to_owned())
            } else {
                Ok(())
            };
        };
        if errors.is_empty() == rejected_on_purpose(text) {
            return Err(format!("is accepted by the reference, and we say {errors:?}"));
        }
        let site = compilation.document.site().expect("is one");
        let names = site.environment_names().into_iter();
        let environments: serde_json::Map<_, _> =
            names.map(|name| (name.to_owned(), serde_json::json!(site.names_in(name).expect("is right")))).collect();
        let mut plugins: Vec<&str> = site.blocks().iter().map(|block| &*block.name).collect();
        plugins.sort_unstable();
        let ours = serde_json::json!({"environments": environments, "plugins": plugins});
        if ours == as_json(expected) { Ok(()) } else { Err(format!("we find {ours}")) }
    });
}

/// Compares what is sent with what the reference sent.
fn compare(case: &Object, sent: Result<Vec<Outgoing>, String>) -> Result<(), String> {
    match (case.get("result"), sent) {
        (None, Err(_)) => Ok(()),
        (None, Ok(sent)) => Err(format!("is rejected by the reference, and we send {} messages", sent.len())),
        (Some(_), Err(error)) => Err(error),
        (Some(expected), Ok(sent)) => {
            let ours = serde_json::Value::Array(sent.iter().map(describe).collect());
            let theirs = as_json(expected);
            if ours == theirs { Ok(()) } else { Err(format!("we send {ours}")) }
        }
    }
}

fn describe(message: &Outgoing) -> serde_json::Value {
    let (key, name) = match &message.destination {
        Destination::Queue(name) => ("queue", name),
        Destination::Topic(name) => ("topic", name),
    };
    let body: serde_json::Value = serde_json::from_slice(&message.body).expect("is JSON");
    let mut described = serde_json::json!({
        key: name, "message": body, "headers": as_json(&Value::Object(message.headers.clone())),
    });
    if let Some(delay) = message.delay {
        described["delay"] = serde_json::json!(delay.as_secs());
    }
    if let Some(exchange) = &message.exchange {
        described["exchange"] = serde_json::json!(exchange);
    }
    described
}

/// A group of a broker configuration becomes the same queues, exchanges and bindings.
#[test]
fn rabbitmq_groups() {
    run("rabbitmq_groups", |case| {
        let document = Value::from([("groups", Value::Array(vec![case["group"].clone()]))]);
        let topology = topology::read(&parse(Arc::new(Source::from_text("broker", document.to_json()))));
        let ours = Value::from([
            ("queues", topology.queues.iter().map(Queue::definition).collect::<Vec<_>>()),
            ("exchanges", topology.exchanges.iter().map(Exchange::definition).collect()),
            ("bindings", topology.bindings.iter().map(Binding::definition).collect()),
        ]);
        let (ours, theirs) = (as_json(&ours), as_json(&case["result"]));
        if ours == theirs { Ok(()) } else { Err(format!("we make {ours}")) }
    });
}

/// Releases of the reference differ in a few recorded cases; a recipe that one of them rejects is rejected here.
#[test]
fn releases_differ_only_where_we_know() {
    let path = format!("{}/tests/conformance/versions.json", env!("CARGO_MANIFEST_DIR"));
    let document = read_value(&std::fs::read(path).expect("is part of the project")).expect("is JSON");
    let differences = document.get("differences").and_then(Value::as_array).expect("a list");
    let mut known = Vec::new();
    for case in differences {
        let file = case.get("file").and_then(Value::as_str).expect("a name");
        let number = case.get("case").and_then(Value::as_i64).expect("a number");
        known.push((file, number));
        assert!(case.get("3.3").and_then(|outcome| outcome.get("rejected")).is_some(), "{file} {number}");
        let recorded = &cases(file)[usize::try_from(number).expect("a number")];
        assert!(recorded.contains_key("error"), "{file} {number} is recorded with 3.3");
        if let Some(text) = case.get("text").and_then(Value::as_str) {
            let compilation = compile(Arc::new(Source::from_text("recipe", text)), Options::default());
            assert!(compilation.is_refused(), "{text}");
        }
    }
    // A number as `error`, and a step `0`.
    assert_eq!(known, [("validation", 16), ("validation", 20), ("dispatch", 5), ("dispatch", 6), ("dispatch", 13)]);
    let counts = document.get("cases").and_then(Value::as_object).expect("an object");
    for (file, count) in counts {
        assert_eq!(count.as_i64(), i64::try_from(cases(file).len()).ok(), "{file} is recorded completely");
    }
}
