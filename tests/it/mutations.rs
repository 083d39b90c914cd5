//! Every recipe there is, broken in the way a rule is about: the rule speaks, at that place; unbroken, it is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::contract::{self, Contracts};
use zrecipe::document::DocumentKind;
use zrecipe::evidence::Set;
use zrecipe::infer;
use zrecipe::source::Source;
use zrecipe::syntax::json::{parse, read_value};
use zrecipe::template::Access;
use zrecipe::topology::{self, Topology};
use zrecipe::value;

use crate::broker_mutations;

mod compared;

use compared::{COMPARISONS, Compared, With, check, check_as};

/// A broken recipe, and the text that the finding must point at.
pub struct Broken {
    pub bytes: Vec<u8>,
    pub place: String,
}

/// A rule and the ways to break a recipe that it is about.
const MUTATIONS: &[Tried<Broken>] = &[
    ("ambiguous-replace", |recipe| parameter(recipe, "{$REPLACE:a}/{b}")),
    ("ambiguous-scalar", |recipe| textual(recipe, "\"parameters\":{", "\"parameters\":{\"zz\": off,", "off")),
    ("attribute-placeholder", |recipe| parameter(recipe, "{a.b}")),
    ("byte-order-mark", |recipe| vec![text(format!("\u{feff}{recipe}"), "\u{feff}")]),
    ("cycle", circle),
    ("copied-step", |recipe| {
        let first = recipe["start"][0][0].to_string();
        let copy = json!({"queue": "copied", "parameters": {"zz": 1}});
        let mut changed = recipe.clone();
        changed["991"] = copy.clone();
        changed["992"] = copy;
        changed[first.as_str()]["output"] = json!({"zz": [991, 992]});
        vec![text(changed.to_string(), "\"992\"")]
    }),
    ("conflicting-uses", |recipe| key(recipe, "parameters", json!({"za": "{zz[a]}", "zb": "{zz:04d}"}), "{zz:04d}")),
    ("delayed-exchange", |recipe| {
        each_step(recipe, "\"x\"", |step| {
            step.insert("exchange".to_owned(), json!("x"));
            step.insert("transport-delay".to_owned(), json!(5));
        })
    }),
    ("delayed-topic", |recipe| {
        each_step(recipe, "5", |step| {
            step.remove("queue");
            step.insert("topic".to_owned(), json!("t"));
            step.insert("transport-delay".to_owned(), json!(5));
        })
    }),
    ("duplicate-key", |recipe| textual(recipe, "\"parameters\":{", "\"parameters\":{\"zz\":1,\"zz\":2,", "\"zz\"")),
    ("duplicate-step", |recipe| {
        let last = *numbers(recipe).last().expect("has steps");
        let twice = format!("\"0{last}\":{{\"queue\":\"q\"}},\"{last}\":{{");
        textual(recipe, &format!("\"{last}\":{{"), &twice, &format!("\"0{last}\""))
    }),
    ("empty-start", |recipe| vec![with(recipe, "start", json!([]), "[]")]),
    ("error-to-start", |recipe| vec![with(recipe, "error", json!(["start"]), "\"start\"")]),
    ("foreign-braces", |recipe| parameter_at(recipe, "{'id': 1}", "{'id': 1}")),
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
    ("misplaced-key", |recipe| {
        let mut broken = key(recipe, "990", json!({"queue": "nested"}), "\"990\"");
        broken.extend(key(recipe, "start", json!([[1, []]]), "\"start\""));
        broken
    }),
    ("misspelt-key", |recipe| {
        let mut broken = textual(recipe, "\"parameters\":", "\"paramters\":", "\"paramters\"");
        broken.extend(textual(recipe, "\"output\":", "\"outptu\":", "\"outptu\""));
        broken
    }),
    ("misspelt-variable", |recipe| {
        key(recipe, "parameters", json!({"commands": [["wrap", "$RECIPEWRAPPER"]]}), "$RECIPEWRAPPER")
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
    ("parameter-in-command", |recipe| {
        let cluster = json!({"cluster": {"commands": ["date", "process {zz} >/dev/null"]}});
        let mut broken = key(recipe, "parameters", cluster, "{zz}");
        broken.extend(key(recipe, "parameters", json!({"commands": "process {zz}"}), "{zz}"));
        broken
    }),
    ("partial-replace", |recipe| parameter_at(recipe, " {$REPLACE:a}", "{$REPLACE:a}")),
    ("repeated-link", |recipe| {
        let to = *numbers(recipe).last().expect("has steps");
        key(recipe, "output", json!({"a": [to, to]}), &to.to_string())
    }),
    ("scalar-error", |recipe| vec![with(recipe, "error", json!(1), "1")]),
    ("self-referencing-start", |recipe| vec![with(recipe, "start", json!([["start", []]]), "\"start\"")]),
    ("shell-operator", |recipe| {
        each_step(recipe, ">>", |step| {
            step.insert("queue".to_owned(), json!("runner.submission"));
            step.insert("parameters".to_owned(), json!({"workingdir": ".", "commands": ["date >> zz"]}));
        })
    }),
    ("syntax-error", |recipe| textual(recipe, "\"queue\":", "\"queue\"", "")),
    ("too-deep", |recipe| {
        let deep = format!("{}{}", "[".repeat(600), "]".repeat(600));
        textual(recipe, "\"parameters\":{", &format!("\"parameters\":{{\"zz\":{deep},"), "[")
    }),
    ("two-destinations", |recipe| {
        let broken = key(recipe, "topic", json!("transient.too"), "\"transient.too\"");
        broken.into_iter().filter(|broken| String::from_utf8_lossy(&broken.bytes).contains("\"queue\"")).collect()
    }),
    ("unfollowed-error", |recipe| {
        let last = *numbers(recipe).last().expect("has steps");
        let mut broken = key(recipe, "error", json!([last]), &format!("[{last}]"));
        broken.push(with(recipe, "error", json!([last]), &format!("[{last}]")));
        broken
    }),
    ("unquoted-placeholder", |recipe| textual(recipe, "\"parameters\":{", "\"parameters\":{\"zz\": {file},", "{file}")),
    ("unusual-braces", |recipe| parameter(recipe, "{ zz }")),
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
const OF_YAML: &[&str] = &["ambiguous-scalar", "malformed-yaml", "unquoted-placeholder"];

/// What is wrong when the rule should point at a place and does not.
pub fn missed(rule: &str, compilation: &Compilation, place: &str) -> Option<String> {
    let source = &compilation.source;
    let hit = |found: &&zrecipe::diagnostic::Diagnostic| {
        found.rule == rule && (place.is_empty() || source.slice(found.primary.span).contains(place))
    };
    if compilation.diagnostics.iter().any(|found| hit(&found)) {
        return None;
    }
    let said: Vec<_> = compilation.diagnostics.iter().map(|found| (found.rule, &found.message)).collect();
    Some(format!("{rule} does not point at {place}: {said:?}\n{}", source.text()))
}

pub fn text(text: String, place: &str) -> Broken {
    Broken { bytes: text.into_bytes(), place: place.to_owned() }
}

/// The recipe with a top-level key set.
pub fn with(recipe: &Value, key: &str, value: Value, place: &str) -> Broken {
    let mut changed = recipe.clone();
    changed[key] = value;
    text(changed.to_string(), place)
}

/// One broken recipe for every place where `from` stands in the text.
pub fn textual(recipe: &Value, from: &str, to: &str, place: &str) -> Vec<Broken> {
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

/// The bundled recipes, and those of a facility.
fn recipes() -> BTreeMap<PathBuf, Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["recipes", "tests/facility/recipes/microscopy", "tests/facility/recipes/first-steps"];
    let mut recipes = BTreeMap::new();
    for folder in folders {
        for file in std::fs::read_dir(root.join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")) {
            let path = file.expect("can be read").path();
            let text = std::fs::read(&path).expect("can be read");
            let recipe = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            recipes.insert(path, recipe);
        }
    }
    recipes
}

/// A rule, and the cases that it makes of a recipe.
pub type Tried<T> = (&'static str, fn(&Value) -> Vec<T>);

/// The table, tried on every recipe.
fn try_on_recipes<T>(table: &[Tried<T>], judge: impl Fn(&str, T) -> Option<String>) {
    try_all(table, &recipes(), judge);
}

/// Tries every rule of a table on every document; `judge` says what is wrong with each of its cases.
pub fn try_all<T>(table: &[Tried<T>], documents: &BTreeMap<PathBuf, Value>, judge: impl Fn(&str, T) -> Option<String>) {
    let mut wrong = Vec::new();
    for (rule, cases) in table {
        let mut tried = 0;
        for (path, document) in documents {
            for case in cases(document) {
                tried += 1;
                wrong.extend(judge(rule, case).map(|why| format!("{}: {why}", path.display())));
            }
        }
        assert!(tried > 0, "{rule} is tried on something");
    }
    let first: Vec<&str> = wrong.iter().take(5).map(String::as_str).collect();
    assert!(first.is_empty(), "{} times:\n{}", wrong.len(), first.join("\n"));
}

#[test]
fn every_recipe_broken_in_every_way_is_found_out() {
    try_on_recipes(MUTATIONS, |rule, Broken { bytes, place }| {
        let name = if OF_YAML.contains(&rule) { "broken.yml" } else { "broken.json" };
        missed(rule, &check_as(name, bytes, &With::default()), &place)
    });
}

#[test]
fn what_differs_from_what_is_known_is_found_out() {
    try_on_recipes(COMPARISONS, |rule, Compared { with, sound, broken }| {
        let before = check(sound.into_bytes(), &with);
        match before.diagnostics.iter().find(|found| found.rule == rule) {
            Some(found) => Some(format!("{rule} says of what is sound: {}\n{}", found.message, before.source.text())),
            None => missed(rule, &check(broken.bytes, &with), &broken.place),
        }
    });
}

/// The rules of the first table that are about recipes are silent as long as nothing is broken.
#[test]
fn nothing_is_found_in_what_is_not_broken() {
    for (path, recipe) in recipes() {
        let compilation = check(recipe.to_string().into_bytes(), &With::default());
        let found = compilation.diagnostics.iter().filter(|found| found.level > zrecipe::diagnostic::Level::Note);
        assert_eq!(found.map(|found| &found.message).collect::<Vec<_>>(), Vec::<&String>::new(), "{}", path.display());
    }
}

#[test]
fn every_rule_is_tried() {
    let of_sites = crate::site_mutations::MUTATIONS.iter().map(|(rule, _)| *rule);
    let mutations = MUTATIONS.iter().chain(broker_mutations::MUTATIONS);
    let tried: Vec<&str> = mutations
        .map(|(rule, _)| *rule)
        .chain(COMPARISONS.iter().map(|(rule, _)| *rule))
        .chain(of_sites)
        .chain(crate::settings_mutations::RULES)
        .collect();
    let missing: Vec<&str> =
        zrecipe::lint::RULES.iter().map(|rule| rule.name).filter(|name| !tried.contains(name)).collect();
    // No document is known that makes zrecipe panic; `guard` has tests of its own.
    let missing: Vec<&str> = missing.into_iter().filter(|name| *name != "internal").collect();
    assert!(missing.is_empty(), "add a mutation for {missing:?}");
}
