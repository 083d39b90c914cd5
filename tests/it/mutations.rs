//! Every recipe there is, broken in the way a rule is about: the rule speaks, at that place; unbroken, it is silent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use zrecipe::compile::{Options, compile};
use zrecipe::source::Source;

/// A broken recipe, and the text that the finding must point at.
struct Broken {
    bytes: Vec<u8>,
    place: String,
}

type Mutation = fn(&Value) -> Vec<Broken>;

/// A rule and the ways to break a recipe that it is about.
const MUTATIONS: &[(&str, Mutation)] = &[
    ("ambiguous-replace", |recipe| parameter(recipe, "{$REPLACE:a}/{b}")),
    ("ambiguous-scalar", |recipe| textual(recipe, "\"parameters\":{", "\"parameters\":{\"zz\": off,", "off")),
    ("attribute-placeholder", |recipe| parameter(recipe, "{a.b}")),
    ("byte-order-mark", |recipe| vec![text(format!("\u{feff}{recipe}"), "\u{feff}")]),
    ("cycle", circle),
    ("delayed-topic", |recipe| {
        each_step(recipe, "5", |step| {
            step.remove("queue");
            step.insert("topic".to_owned(), json!("t"));
            step.insert("transport-delay".to_owned(), json!(5));
        })
    }),
    ("duplicate-key", |recipe| textual(recipe, "\"parameters\":{", "\"parameters\":{\"zz\":1,\"zz\":2,", "\"zz\"")),
    ("empty-start", |recipe| vec![with(recipe, "start", json!([]), "[]")]),
    ("error-to-start", |recipe| vec![with(recipe, "error", json!(["start"]), "\"start\"")]),
    ("invalid-utf8", |recipe| {
        let mut bytes = recipe.to_string().into_bytes();
        bytes.extend(b"  \xff");
        vec![Broken { bytes, place: "\u{fffd}".to_owned() }]
    }),
    ("lone-surrogate", |recipe| textual(recipe, "\"parameters\":{", "\"parameters\":{\"zz\":\"\\ud800\",", "\\ud800")),
    ("malformed-delay", |recipe| key(recipe, "transport-delay", json!("soon"), "\"soon\"")),
    ("malformed-destination", |recipe| key(recipe, "queue", json!(["images"]), "[\"images\"]")),
    ("malformed-error", |recipe| vec![with(recipe, "error", json!({}), "{}")]),
    ("malformed-link", |recipe| key(recipe, "output", json!("1"), "\"1\"")),
    ("malformed-parameters", |recipe| key(recipe, "parameters", json!([77]), "[77]")),
    ("malformed-placeholder", |recipe| parameter_at(recipe, "a{", "{")),
    ("malformed-start", |recipe| vec![with(recipe, "start", json!([777]), "777")]),
    ("malformed-step", |recipe| {
        steps(recipe).iter().map(|id| with(recipe, id, json!("not a step"), "\"not a step\"")).collect()
    }),
    ("malformed-yaml", |recipe| {
        let mut broken = textual(recipe, "\"parameters\":{", "\"parameters\":{\"zz\": *nowhere,", "*nowhere");
        broken.extend(textual(recipe, "\"queue\":", "\"queue\": @", ""));
        broken
    }),
    ("misspelt-key", |recipe| {
        let mut broken = textual(recipe, "\"parameters\":", "\"paramters\":", "\"paramters\"");
        broken.extend(textual(recipe, "\"output\":", "\"outptu\":", "\"outptu\""));
        broken
    }),
    ("missing-destination", |recipe| {
        let broken = steps(recipe).into_iter().map(|id| {
            let mut changed = recipe.clone();
            let step = changed[&id].as_object_mut().expect("a step is an object");
            step.remove("queue");
            step.remove("topic");
            text(changed.to_string(), &format!("\"{id}\""))
        });
        broken.collect()
    }),
    ("missing-start", |recipe| {
        let mut changed = recipe.clone();
        changed.as_object_mut().expect("is an object").remove("start");
        vec![text(changed.to_string(), "{")]
    }),
    ("non-finite-number", |recipe| textual(recipe, "\"parameters\":{", "\"parameters\":{\"zz\":NaN,", "NaN")),
    ("non-numeric-step", |recipe| vec![with(recipe, "first", json!({"queue": "q"}), "\"first\"")]),
    ("not-a-recipe", |recipe| vec![text(json!([recipe]).to_string(), "")]),
    ("oversized-integer", |recipe| {
        let digits = "7".repeat(5000);
        textual(recipe, "\"parameters\":{", &format!("\"parameters\":{{\"zz\":{digits},"), &digits)
    }),
    ("partial-replace", |recipe| parameter_at(recipe, " {$REPLACE:a}", "{$REPLACE:a}")),
    ("repeated-link", |recipe| {
        let to = *numbers(recipe).last().expect("has steps");
        key(recipe, "output", json!({"a": [to, to]}), &to.to_string())
    }),
    ("scalar-error", |recipe| vec![with(recipe, "error", json!(1), "1")]),
    ("self-referencing-start", |recipe| vec![with(recipe, "start", json!([["start", []]]), "\"start\"")]),
    ("syntax-error", |recipe| textual(recipe, "\"queue\":", "\"queue\"", "")),
    ("too-deep", |recipe| {
        let deep = format!("{}{}", "[".repeat(600), "]".repeat(600));
        textual(recipe, "\"parameters\":{", &format!("\"parameters\":{{\"zz\":{deep},"), "[")
    }),
    ("two-destinations", |recipe| {
        let broken = key(recipe, "topic", json!("transient.too"), "\"transient.too\"");
        broken.into_iter().filter(|broken| String::from_utf8_lossy(&broken.bytes).contains("\"queue\"")).collect()
    }),
    ("unknown-step", |recipe| key(recipe, "output", json!(54_321), "54321")),
    ("unreferenced-step", |recipe| vec![with(recipe, "54321", json!({"queue": "q"}), "\"54321\"")]),
    ("unusual-step-number", |recipe| {
        let last = *numbers(recipe).last().expect("has steps");
        textual(recipe, &format!("\"{last}\":{{"), &format!("\"0{last}\":{{"), &format!("\"0{last}\""))
    }),
    ("unused-suppression", |recipe| {
        let first = numbers(recipe)[0];
        let comment = format!("{{\"{first}\":[\"zrecipe: allow(cycle)\"],");
        vec![text(recipe.to_string().replacen('{', &comment, 1), "cycle")]
    }),
];

/// Rules about YAML: they are tried on JSON in a file that is to be YAML, which is nearly the same.
const OF_YAML: &[&str] = &["ambiguous-scalar", "malformed-yaml"];

/// Rules that look at more than one recipe by itself: contracts, parameters, other recipes. Their fixtures have what
/// they need.
const OF_PARAMETERS_OR_SETS: &[&str] = &[
    "unknown-recipe",
    "conflicting-uses",
    "deprecated-parameter",
    "malformed-contract",
    "mismatched-payload",
    "missing-parameter",
    "parameter-type",
    "unknown-channel",
    "unknown-parameter",
    "unwired-channel",
    "wrong-queue",
    "colliding-key",
    "duplicate-step",
    "foreign-queue",
    "mismatched-channel",
    "rare-parameter",
    "rare-queue",
    "rejected-placeholder",
    "undefined-placeholder",
    "undefined-replace",
    "unresolved-destination",
    "value-as-text",
];

fn text(text: String, place: &str) -> Broken {
    Broken { bytes: text.into_bytes(), place: place.to_owned() }
}

/// The recipe with a top-level key set.
fn with(recipe: &Value, key: &str, value: Value, place: &str) -> Broken {
    let mut changed = recipe.clone();
    changed[key] = value;
    text(changed.to_string(), place)
}

/// One broken recipe for every place where `from` stands in the text.
fn textual(recipe: &Value, from: &str, to: &str, place: &str) -> Vec<Broken> {
    let whole = recipe.to_string();
    let places = whole.match_indices(from);
    places.map(|(at, _)| text(format!("{}{to}{}", &whole[..at], &whole[at + from.len()..]), place)).collect()
}

fn each_step(recipe: &Value, place: &str, change: impl Fn(&mut serde_json::Map<String, Value>)) -> Vec<Broken> {
    let broken = steps(recipe).into_iter().map(|id| {
        let mut changed = recipe.clone();
        change(changed[&id].as_object_mut().expect("a step is an object"));
        text(changed.to_string(), place)
    });
    broken.collect()
}

/// One broken recipe for every step, with this key of it set.
fn key(recipe: &Value, key: &str, value: Value, place: &str) -> Vec<Broken> {
    each_step(recipe, place, |step| {
        step.insert(key.to_owned(), value.clone());
    })
}

fn parameter(recipe: &Value, value: &str) -> Vec<Broken> {
    parameter_at(recipe, value, value.trim_matches('"'))
}

fn parameter_at(recipe: &Value, value: &str, place: &str) -> Vec<Broken> {
    key(recipe, "parameters", json!({"zz": value}), place)
}

/// Every step is linked to itself, and every step that the first one feeds is linked back to it.
fn circle(recipe: &Value) -> Vec<Broken> {
    let mut broken: Vec<Broken> = numbers(recipe)
        .into_iter()
        .map(|id| {
            let mut step = recipe[id.to_string()].clone();
            step["output"] = json!(id);
            with(recipe, &id.to_string(), step, &id.to_string())
        })
        .collect();
    let first = &recipe["start"][0][0];
    for fed in numbers(&recipe[first.to_string()]["output"].as_object().map_or(json!({}), |channels| {
        channels.values().map(|target| (target.to_string(), json!({}))).collect::<serde_json::Map<_, _>>().into()
    })) {
        let mut step = recipe[fed.to_string()].clone();
        step["output"] = first.clone();
        broken.push(with(recipe, &fed.to_string(), step, &first.to_string()));
    }
    broken
}

fn steps(recipe: &Value) -> Vec<String> {
    let keys = recipe.as_object().expect("is an object").keys();
    keys.filter(|key| key.parse::<u32>().is_ok()).cloned().collect()
}

fn numbers(recipe: &Value) -> Vec<u32> {
    let mut numbers: Vec<u32> = steps(recipe).iter().filter_map(|key| key.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// The bundled recipes, and public ones where they are.
fn recipes() -> BTreeMap<PathBuf, Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["recipes", "../shared/corpus/recipes/cryoem", "../shared/corpus/recipes/examples"];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(root.join(folder)).ok()).flatten();
    files
        .filter_map(|file| {
            let path = file.ok()?.path();
            let recipe = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
            Some((path, recipe))
        })
        .collect()
}

#[test]
fn every_recipe_broken_in_every_way_is_found_out() {
    let recipes = recipes();
    assert!(recipes.len() >= 5, "the bundled recipes are there");
    let mut wrong = Vec::new();
    for (rule, mutate) in MUTATIONS {
        let mut tried = 0;
        for (path, recipe) in &recipes {
            for Broken { bytes, place } in mutate(recipe) {
                tried += 1;
                let name = if OF_YAML.contains(rule) { "broken.yml" } else { "broken.json" };
                let source = Arc::new(Source::from_bytes(name, bytes));
                let compilation = compile(Arc::clone(&source), Options::default());
                let found: Vec<_> = compilation.diagnostics.iter().filter(|found| found.rule == *rule).collect();
                let hit =
                    found.iter().any(|found| place.is_empty() || source.slice(found.primary.span).contains(&place));
                if !hit && wrong.len() < 20 {
                    let said: Vec<_> =
                        compilation.diagnostics.iter().map(|found| (found.rule, &found.message)).collect();
                    wrong.push(format!(
                        "{rule} does not point at {place} in {}: {said:?}\n{}",
                        path.display(),
                        source.text()
                    ));
                }
            }
        }
        assert!(tried > 0, "{rule} is tried on something");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_is_tried() {
    let tried: Vec<&str> =
        MUTATIONS.iter().map(|(rule, _)| *rule).chain(OF_PARAMETERS_OR_SETS.iter().copied()).collect();
    let missing: Vec<&str> =
        zrecipe::lint::RULES.iter().map(|rule| rule.name).filter(|name| !tried.contains(name)).collect();
    assert!(missing.is_empty(), "add a mutation for {missing:?}");
}
