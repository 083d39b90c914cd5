//! Rules that look at more than a recipe by itself: a sound document, and the same document broken.

use super::*;

/// What a recipe is checked with.
#[derive(Clone, Default)]
pub(super) struct With {
    pub(super) parameters: Option<Value>,
    pub(super) contracts: Vec<Value>,
    /// Other recipes, as often as it takes.
    pub(super) beside: Vec<Value>,
    /// The names of all recipes.
    pub(super) recipes: Option<BTreeSet<String>>,
    /// The broker.
    pub(super) broker: Option<Value>,
    /// The parameters that recipes use: this is a document of such.
    pub(super) used: Option<BTreeSet<String>>,
}

/// A document in which the rule finds nothing, and the same document broken.
pub(super) struct Compared {
    pub(super) with: With,
    pub(super) sound: String,
    pub(super) broken: Broken,
}

/// Rules that look at more than a recipe by itself: contracts, parameters, other recipes.
pub(super) const COMPARISONS: &[Tried<Compared>] = &[
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
    ("omitted-parameter", |recipe| {
        let sound = set("parameters", json!({"zz": "{zz}", "zy": 1}));
        compared_with_itself(recipe, &sound, &set("parameters", json!({"zy": 1})), "{")
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
    ("rare-placeholder", |recipe| {
        let named = |text: &str| set("parameters", json!({"zz": text}));
        compared_with_itself(recipe, &named("{threshold}/x"), &named("{treshold}/x"), "{treshold}")
    }),
    ("rare-queue", |recipe| {
        let queue = |name: &str| set("queue", json!(name));
        compared_with_itself(recipe, &queue("images.to.index"), &queue("images.to.indx"), "\"images.to.indx\"")
    }),
    ("rare-service", |recipe| {
        let service = |name: &str| set("service", json!(name));
        compared_with_itself(recipe, &service("Threshold"), &service("Treshold"), "\"Treshold\"")
    }),
    ("rare-value", |recipe| {
        let named = |text: &str| set("parameters", json!({"zz": text}));
        compared_with_itself(recipe, &named("threshold"), &named("treshold"), "\"treshold\"")
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
    // A channel with the name of a queue tells when its step is put on another one.
    let is_named = |id: &String| recipe.to_string().contains(&format!("{}:{id}", recipe[id]["queue"]));
    let own = |id: &String| !["970", "980"].contains(&id.as_str()) && !is_named(id);
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

pub(super) fn check(bytes: Vec<u8>, with: &With) -> Compilation {
    check_as("broken.json", bytes, with)
}

pub(super) fn check_as(name: &str, bytes: Vec<u8>, with: &With) -> Compilation {
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
    let facts = |source| compile(source, Options::default()).facts();
    let set = (!with.beside.is_empty()).then(|| {
        let mut set = Set::default();
        set.add(&facts(Arc::clone(&broken)));
        for beside in &with.beside {
            let facts = facts(source(beside.to_string()));
            (0..6).for_each(|_| set.add(&facts));
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
