//! Every recipe there is, broken in the way a rule is about: the rule speaks, at that place; unbroken, it is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::contract::{self, Contracts};
use zrecipe::document::DocumentKind;
use zrecipe::evidence::{Facts, Set};
use zrecipe::infer;
use zrecipe::source::Source;
use zrecipe::syntax::json::{parse, read_value};
use zrecipe::template::Access;
use zrecipe::topology::{self, Topology};
use zrecipe::value;

use crate::broker_mutations;

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

/// What a recipe is checked with.
#[derive(Clone, Default)]
struct With {
    parameters: Option<Value>,
    contracts: Vec<Value>,
    /// Other recipes, as often as it takes.
    beside: Vec<Value>,
    /// The names of all recipes.
    recipes: Option<BTreeSet<String>>,
    /// The broker.
    broker: Option<Value>,
    /// The parameters that recipes use: this is a document of such.
    used: Option<BTreeSet<String>>,
}

/// A document in which the rule finds nothing, and the same document broken.
struct Compared {
    with: With,
    sound: String,
    broken: Broken,
}

/// Rules that look at more than a recipe by itself: contracts, parameters, other recipes.
const COMPARISONS: &[Tried<Compared>] = &[
    ("colliding-key", |recipe| {
        let sound = json!({"{za}": 1, "{zb}": 2});
        given_values(recipe, json!({"za": "a", "zb": "b"}), &sound, &json!({"{za}": 1, "a": 2}), "\"{za}\"")
    }),
    ("deprecated-parameter", |recipe| {
        let contract = json!({"parameters": {"properties": {"new": {}}}, "deprecated": {"old": "new"}});
        under_contract(
            recipe,
            &contract,
            &set("parameters", json!({"new": 1})),
            &set("parameters", json!({"old": 1})),
            "\"old\"",
        )
    }),
    ("foreign-queue", |recipe| {
        let named = |queue: &str| json!({"service": "Find spots", "queue": queue});
        let beside =
            json!({"1": named("spots"), "2": {"service": "Archive", "queue": "archive"}, "start": [[1, []], [2, []]]});
        let with = With { beside: vec![beside], ..With::default() };
        compared(
            recipe,
            &with,
            &|step| step.extend(object(named("spots"))),
            &|step| step.extend(object(named("archive"))),
            "\"archive\"",
        )
    }),
    ("lossy-queue", |recipe| {
        on_broker(recipe, &set("queue", json!("safe")), &set("queue", json!("short")), "\"short\"")
    }),
    ("malformed-contract", |recipe| {
        let queues = steps(recipe).into_iter().filter_map(|id| recipe[id]["queue"].as_str().map(str::to_owned));
        let contract = |queue: String, key: &str| json!({"names": [&queue], "queues": [queue], key: {}}).to_string();
        let pair = |queue: String| {
            (contract(queue.clone(), "parameters"), text(contract(queue, "paramters"), "\"paramters\""))
        };
        queues.map(pair).map(|(sound, broken)| Compared { with: With::default(), sound, broken }).collect()
    }),
    ("malformed-request", |recipe| {
        let request = |key: &str, value: Value| {
            let mut request = json!({"recipes": ["tomography"], "parameters": {}, "custom_recipe": recipe});
            request[key] = value;
            request.to_string()
        };
        let sound = request("recipes", json!([]));
        let broken =
            [("recipes", json!([77]), "77"), ("recipes", json!("zz"), "\"zz\""), ("parameters", json!([]), "[]")];
        let case = |(key, value, place): (&str, Value, &str)| Compared {
            with: With::default(),
            sound: sound.clone(),
            broken: text(request(key, value), place),
        };
        broken.into_iter().map(case).collect()
    }),
    ("ambiguous-contract", |recipe| {
        let contract = |name: &str| json!({"names": [name], "queues": ["the.queue"]});
        let with = With { contracts: vec![contract("One"), contract("Other")], ..With::default() };
        compared(recipe, &with, &set("service", json!("Other")), &set("service", json!("Neither")), "\"the.queue\"")
    }),
    ("unstored-variable", |recipe| {
        let contract = json!({"environment": {"replaces": "text", "stored_by": ["store_result"]}});
        let commands =
            |name: &str| set("parameters", json!({"commands": [{"store_result": "zz_number"}, {"id": name}]}));
        under_contract(recipe, &contract, &commands("$zz_number"), &commands("$zz_numbre"), "$zz_numbre")
    }),
    ("mismatched-channel", |recipe| {
        let mut recipe = recipe.clone();
        recipe["970"] = json!({"queue": "results"});
        recipe["980"] = json!({"queue": "failures"});
        let output = |good: u32, bad: u32| set("output", json!({"zz-good": good, "zz-bad": bad}));
        let beside = json!({"1": {"queue": "a", "output": {"zz-good": 2, "zz-bad": 3}}, "2": {"queue": "results"}, "3": {"queue": "failures"}, "start": [[1, []]]});
        let with = With { beside: vec![beside], ..With::default() };
        compared(&recipe, &with, &output(970, 980), &output(980, 970), "980")
    }),
    ("mismatched-payload", |recipe| {
        let mut recipe = recipe.clone();
        recipe["970"] = json!({"queue": "numbers"});
        let channels = json!({"words": {"payload": {"type": "string"}}, "counts": {"payload": {"type": "integer"}}});
        let contracts = vec![
            json!({"names": ["The service"], "queues": ["the.queue"], "channels": channels}),
            json!({"names": ["Numbers"], "queues": ["numbers"], "payload": {"type": "integer"}, "values": "strict"}),
        ];
        let with = With { contracts, ..With::default() };
        compared(&recipe, &with, &set("output", json!({"counts": 970})), &set("output", json!({"words": 970})), "970")
    }),
    ("missing-parameter", |recipe| {
        let contract = json!({"parameters": {"required": ["zz"]}});
        let mut cases = under_contract(
            recipe,
            &contract,
            &set("parameters", json!({"zz": 1})),
            &set("parameters", json!({"zy": 1})),
            "{",
        );
        cases.extend(under_contract(
            recipe,
            &contract,
            &set("parameters", json!({"zz": 1})),
            &|step| {
                step.remove("parameters");
            },
            "",
        ));
        // What the payload may have is missing only where it is certain that it has not.
        let merged = json!({"input": ["payload", "parameters"], "parameters": {"required": ["zz"]}});
        cases.extend(started(recipe, &merged, &json!({"zz": 1}), &json!({"zy": 1})));
        cases
    }),
    ("parameter-type", |recipe| {
        let contract = json!({"parameters": {"properties": {"zz": {"type": "integer"}}}});
        under_contract(
            recipe,
            &contract,
            &set("parameters", json!({"zz": "5"})),
            &set("parameters", json!({"zz": "five"})),
            "\"five\"",
        )
    }),
    ("queue-without-dead-letters", |recipe| {
        on_broker(recipe, &set("queue", json!("safe")), &set("queue", json!("limited")), "\"limited\"")
    }),
    ("rare-channel", |recipe| {
        let wired = |name: &str| set("output", json!({name: 970}));
        let mut recipe = recipe.clone();
        recipe["970"] = json!({"queue": "zz.next"});
        compared_with_itself(&recipe, &wired("zz-selected"), &wired("zz-seleced"), "\"zz-seleced\"")
    }),
    ("rare-parameter", |recipe| {
        let named = |name: &str| set("parameters", json!({name: 1}));
        compared_with_itself(recipe, &named("threshold"), &named("treshold"), "\"treshold\"")
    }),
    ("rare-queue", |recipe| {
        let queue = |name: &str| set("queue", json!(name));
        compared_with_itself(recipe, &queue("images.to.index"), &queue("images.to.indx"), "\"images.to.indx\"")
    }),
    ("rejected-placeholder", |recipe| {
        given_values(recipe, json!({"zz": "text"}), &json!({"a": "{zz:>5}"}), &json!({"a": "{zz:05d}"}), "{zz:05d}")
    }),
    ("unbound-queue", |recipe| {
        let delayed = |queue: &'static str| {
            move |step: &mut Map<String, Value>| {
                step.insert("queue".to_owned(), json!(queue));
                step.insert("transport-delay".to_owned(), json!(77));
                step.remove("exchange");
            }
        };
        on_broker(recipe, &delayed("safe"), &delayed("short"), "77")
    }),
    ("unused-parameter", |recipe| {
        let compilation = check(recipe.to_string().into_bytes(), &With::default());
        let used: BTreeSet<String> = infer::names(&compilation.templates).map(str::to_owned).collect();
        let given: Map<String, Value> = used.iter().map(|name| (name.clone(), json!(1))).collect();
        let mut broken = given.clone();
        broken.insert("zz_of_no_recipe".to_owned(), json!(1));
        vec![Compared {
            with: With { used: Some(used), ..With::default() },
            sound: Value::from(given).to_string(),
            broken: text(Value::from(broken).to_string(), "\"zz_of_no_recipe\""),
        }]
    }),
    ("unconnected-failure", |recipe| {
        let channels = json!({"failure": {}, "other": {}});
        on_channels(recipe, &channels, "failure", "other", "\"other\"")
    }),
    ("undefined-placeholder", |recipe| {
        given_values(recipe, json!({"zz": 1}), &json!({"a": "{zz} ${HOME}"}), &json!({"a": "a {zy} ${HOME}"}), "{zy}")
    }),
    ("undefined-replace", |recipe| {
        given_values(
            recipe,
            json!({"zz": 1}),
            &json!({"a": "{$REPLACE:zz}"}),
            &json!({"a": "{$REPLACE:zy}"}),
            "{$REPLACE:zy}",
        )
    }),
    ("unknown-channel", |recipe| {
        let channels = json!({"right": {}, "other": {}});
        // A program that reports by a wrapper has channels of its own.
        let mut recipe = recipe.clone();
        let steps = recipe.as_object_mut().into_iter().flat_map(|recipe| recipe.values_mut());
        for step in steps.filter_map(Value::as_object_mut) {
            step.remove("job_parameters");
            if let Some(parameters) = step.get_mut("parameters").and_then(Value::as_object_mut) {
                parameters.remove("recipewrapper");
                parameters.remove("wrapper");
            }
        }
        on_channels(&recipe, &channels, "right", "wrong", "\"wrong\"")
    }),
    ("unknown-parameter", |recipe| {
        let contract = json!({"parameters": {"properties": {"right": {}}, "additionalProperties": false}});
        under_contract(
            recipe,
            &contract,
            &set("parameters", json!({"right": 1})),
            &set("parameters", json!({"wrong": 1})),
            "\"wrong\"",
        )
    }),
    ("unknown-recipe", |recipe| {
        let asks_for = |name: &str| {
            let mut changed = recipe.clone();
            changed[recipe["start"][0][0].to_string()] = json!({"queue": "processing_recipe"});
            changed["start"][0][1] = json!({"recipes": [name]});
            changed.to_string()
        };
        let with = With { recipes: Some(BTreeSet::from(["tomography".to_owned()])), ..With::default() };
        vec![Compared { with, sound: asks_for("tomography"), broken: text(asks_for("tomografy"), "\"tomografy\"") }]
    }),
    ("unresolved-destination", |recipe| {
        let with = With { parameters: Some(given(recipe, json!({"zz": "q"}))), ..With::default() };
        compared(recipe, &with, &set("queue", json!("to.{zz}")), &set("queue", json!("to.{zy}")), "{zy}")
    }),
    ("unwired-channel", |recipe| {
        let channels = json!({"right": {"fires": "always"}, "other": {}});
        on_channels(recipe, &channels, "right", "other", "\"other\"")
    }),
    ("value-as-text", |recipe| {
        given_values(recipe, json!({"zz": [1, 2]}), &json!({"a": "{$REPLACE:zz}"}), &json!({"a": "{zz}"}), "{zz}")
    }),
    ("wrong-queue", |recipe| {
        let queue = |name: &str| {
            let step = json!({"service": "The service", "queue": name});
            move |members: &mut Map<String, Value>| members.extend(object(step.clone()))
        };
        under_contract(recipe, &json!({}), &queue("the.queue"), &queue("elsewhere"), "\"elsewhere\"")
    }),
];

/// A change to a step.
type Change<'c> = &'c dyn Fn(&mut Map<String, Value>);

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("is an object")
}

fn set(key: &'static str, value: Value) -> impl Fn(&mut Map<String, Value>) {
    move |step| {
        step.insert(key.to_owned(), value.clone());
    }
}

/// Every step in turn, but 970 and 980 which some comparisons add, put on a queue of its own: sound, and broken.
fn compared(recipe: &Value, with: &With, sound: Change<'_>, broken: Change<'_>, place: &str) -> Vec<Compared> {
    let own = |id: &String| !["970", "980"].contains(&id.as_str());
    let cases = steps(recipe).into_iter().filter(own).map(|id| {
        let changed = |change: Change<'_>| {
            let mut changed = recipe.clone();
            let step = changed[&id].as_object_mut().expect("a step is an object");
            step.retain(|key, _| !["service", "topic"].contains(&key.as_str()));
            step.insert("queue".to_owned(), json!("the.queue"));
            change(step);
            changed.to_string()
        };
        Compared { with: with.clone(), sound: changed(sound), broken: text(changed(broken), place) }
    });
    cases.collect()
}

/// The same, beside copies of the recipe as it should be.
fn compared_with_itself(recipe: &Value, sound: Change<'_>, broken: Change<'_>, place: &str) -> Vec<Compared> {
    let mut cases = compared(recipe, &With::default(), sound, broken, place);
    for case in &mut cases {
        case.with.beside = vec![serde_json::from_str(&case.sound).expect("is JSON")];
    }
    cases
}

/// The same, under a contract that says more than names and queues.
fn under_contract(recipe: &Value, more: &Value, sound: Change<'_>, broken: Change<'_>, place: &str) -> Vec<Compared> {
    let mut contract = json!({"names": ["The service"], "queues": ["the.queue"]});
    contract.as_object_mut().expect("is one").extend(object(more.clone()));
    compared(recipe, &With { contracts: vec![contract], ..With::default() }, sound, broken, place)
}

/// The same with a further step that `start` begins with, and these payloads for it.
fn started(recipe: &Value, more: &Value, sound: &Value, broken: &Value) -> Vec<Compared> {
    let mut contract = json!({"names": ["The service"], "queues": ["the.queue"]});
    contract.as_object_mut().expect("is one").extend(object(more.clone()));
    let with = With { contracts: vec![contract], ..With::default() };
    let begun = |payload: &Value| {
        let mut changed = recipe.clone();
        changed["970"] = json!({"queue": "the.queue", "parameters": {"zx": 77}});
        changed["start"].as_array_mut().expect("is a list").push(json!([970, payload]));
        changed.to_string()
    };
    vec![Compared { with, sound: begun(sound), broken: text(begun(broken), "{") }]
}

/// With a broker that keeps what is in the queue `safe`, and not what is in `short` and `limited`.
fn on_broker(recipe: &Value, sound: Change<'_>, broken: Change<'_>, place: &str) -> Vec<Compared> {
    let group = |names: &[&str], settings: Value, bindings: &[&str]| json!({"names": names, "settings": {"queues": settings}, "bindings": bindings, "vhost": "/"});
    let letters = json!({"type": "quorum", "dead-letter-routing-key-pattern": "dlq.{name}"});
    let policy = |name: &str, definition: Value| json!({"name": name, "vhost": "/", "pattern": format!("^{name}$"), "definition": definition});
    let broker = json!({
        "policies": [policy("short", json!({"message-ttl": 0})), policy("limited", json!({"delivery-limit": 1}))],
        "exchanges": [{"name": "delayed", "type": "x-delayed-message", "vhost": "/", "arguments": {"x-delayed-type": "direct"}}],
        "groups": [group(&["safe"], letters, &["", "delayed"]), group(&["short", "limited"], json!({"type": "quorum"}), &[""])],
    });
    compared(recipe, &With { broker: Some(broker), ..With::default() }, sound, broken, place)
}

/// The same, with an output on the one channel or on the other.
fn on_channels(recipe: &Value, channels: &Value, right: &str, wrong: &str, place: &str) -> Vec<Compared> {
    let mut recipe = recipe.clone();
    recipe["970"] = json!({"queue": "results"});
    let output = |channel: &str| set("output", json!({channel: 970}));
    under_contract(&recipe, &json!({"channels": channels}), &output(right), &output(wrong), place)
}

/// The same, with parameters beside those that the recipe needs.
fn given_values(recipe: &Value, more: Value, sound: &Value, broken: &Value, place: &str) -> Vec<Compared> {
    let with = With { parameters: Some(given(recipe, more)), ..With::default() };
    compared(recipe, &with, &set("parameters", sound.clone()), &set("parameters", broken.clone()), place)
}

/// Parameters that suit all placeholders of a recipe, and more.
fn given(recipe: &Value, more: Value) -> Value {
    let mut parameters = more;
    let compilation = check(recipe.to_string().into_bytes(), &With::default());
    let templates = compilation.templates.iter().filter_map(|used| used.template.as_ref().ok());
    for field in templates.flat_map(|template| template.fields()) {
        let mut at = &mut parameters[&field.name];
        for access in &field.path {
            match access {
                Access::Key(key) if at.is_object() || at.is_null() => at = &mut at[key],
                Access::Key(key) => panic!("{} has [{key}] and more", field.name),
                Access::Index(index) => {
                    *at = Value::Array(vec![json!("v"); index + 1]);
                    at = &mut at[index];
                }
            }
        }
        if at.is_null() {
            *at = json!("v");
        }
    }
    parameters
}

fn check(bytes: Vec<u8>, with: &With) -> Compilation {
    check_as("broken.json", bytes, with)
}

fn check_as(name: &str, bytes: Vec<u8>, with: &With) -> Compilation {
    let source = |text: String| Arc::new(Source::from_text("beside.json", text));
    let parameters: Option<value::Object> = with.parameters.as_ref().map(|parameters| {
        let read = read_value(parameters.to_string().as_bytes()).expect("is JSON");
        read.as_object().cloned().expect("is an object")
    });
    let contracts = Contracts::with_built_in(with.contracts.iter().map(|contract| {
        let reading = contract::read(&parse(source(contract.to_string())));
        Arc::new(reading.contract.unwrap_or_else(|| panic!("{contract}: {:?}", reading.faults)))
    }));
    let broken = Arc::new(Source::from_bytes(name, bytes));
    let facts = |source| Facts::of(&compile(source, Options::default()).recipe);
    let set = (!with.beside.is_empty()).then(|| {
        let mut set = Set::default();
        set.add(&mut facts(Arc::clone(&broken)));
        for beside in &with.beside {
            let facts = facts(source(beside.to_string()));
            (0..6).for_each(|_| set.add(&mut facts.clone()));
        }
        set
    });
    let parameters = parameters.as_ref();
    let topology: Option<Topology> =
        with.broker.as_ref().map(|broker| topology::read(&parse(source(broker.to_string()))));
    compile(
        broken,
        Options {
            parameters,
            set: set.as_ref(),
            contracts: &contracts,
            recipes: with.recipes.as_ref(),
            topology: topology.as_ref(),
            kind: with.used.is_some().then_some(DocumentKind::Parameters),
            used: with.used.as_ref(),
            ..Options::default()
        },
    )
}

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
