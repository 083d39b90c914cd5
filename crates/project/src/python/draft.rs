//! Contracts drafted from facts, in the form that `schemas/contract.schema.json` describes.

use std::collections::{BTreeSet, HashMap};

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::facts::{Choice, Evidence, Facts, Place, Read, Root, Segment, Send};
use super::nodes::{MAX_EVIDENCE, Node, evidence};

/// A contract that is drafted from facts.
#[derive(Debug, Clone)]
pub struct Draft {
    /// A name for its file.
    pub file: String,
    /// The contract.
    pub contract: Value,
}

impl Draft {
    /// The names under which recipes may know it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.texts("names")
    }

    /// The queues of a service.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        self.texts("queues")
    }

    fn texts(&self, key: &str) -> impl Iterator<Item = &str> {
        self.contract.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether it is a wrapper's.
    pub fn is_wrapper(&self) -> bool {
        self.contract.get("wrapper").and_then(Value::as_bool) == Some(true)
    }

    /// What it is about, in a word.
    pub fn kind(&self) -> &'static str {
        if self.is_wrapper() { "wrapper" } else { "service" }
    }

    /// The text of the contract's file.
    pub fn text(&self) -> String {
        format!("{:#}\n", self.contract)
    }
}

/// A name for the file of each draft, each only once.
pub fn file_names(drafts: &[Draft]) -> Vec<(String, &Draft)> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut named = Vec::new();
    for draft in drafts {
        let count = seen.entry(&draft.file).and_modify(|count| *count += 1).or_insert(1);
        let name =
            if *count == 1 { draft.file.clone() } else { draft.file.replace(".json", &format!("-{count}.json")) };
        named.push((name, draft));
    }
    named
}

/// Channels on which every wrapper sends, whatever it does.
const OF_WRAPPERS: [&str; 5] = ["starting", "updates", "completed", "success", "failure"];

/// What is read, sorted by where it belongs.
#[derive(Default)]
struct Sorted {
    /// Of the parameters, or of the job parameters of a wrapper, with what is merged with them.
    main: Node,
    payload: Node,
    environment: IndexMap<String, Node>,
}

/// Drafts the contract of a service or wrapper.
pub fn contract(facts: &Facts) -> Draft {
    let main = if facts.wrapper { "job_parameters" } else { "parameters" };
    let input = input(facts, main);
    let mut common = Sorted::default();
    let mut cases: IndexMap<String, IndexMap<String, Sorted>> = IndexMap::new();
    for read in &facts.reads {
        if read.choices.is_empty() {
            sort(&mut common, read, read.required, &input, main, None);
        }
    }
    for read in &facts.reads {
        let Some(choice) = read.choices.first() else { continue };
        let case = cases.entry(choice.by.clone()).or_default().entry(choice.value.clone()).or_default();
        sort(case, read, read.required && read.choices.len() == 1, &input, main, Some(choice));
    }
    mark_open(facts, &mut common, &input, main);
    let mut contract = Map::new();
    contract.insert("names".to_owned(), Value::from(facts.names.clone()));
    if let Some(description) = &facts.description {
        contract.insert("description".to_owned(), Value::from(description.as_str()));
    }
    if facts.wrapper {
        contract.insert("wrapper".to_owned(), Value::Bool(true));
    } else {
        let queues: Vec<&str> = facts.queues.iter().map(|queue| queue.name.as_str()).collect();
        contract.insert("queues".to_owned(), Value::from(queues));
        if facts.queues.iter().any(|queue| queue.other) {
            contract.insert("other_queues".to_owned(), Value::Bool(true));
        }
    }
    let mut places: Vec<Evidence> = facts.evidence.iter().cloned().collect();
    places.extend(facts.queues.iter().map(|queue| queue.evidence.clone()));
    places.dedup();
    places.truncate(MAX_EVIDENCE);
    contract.insert("evidence".to_owned(), evidence(&places));
    contract.insert("values".to_owned(), Value::from("coerced"));
    if input.len() > 1 {
        contract.insert("input".to_owned(), Value::from(input.clone()));
    }
    contract.insert("unknown".to_owned(), Value::from(unknown(facts, main)));
    // A key that is read from both belongs to the mapping of both.
    if input.iter().any(|name| name == "payload") {
        for (key, node) in std::mem::take(&mut common.payload.keys) {
            match common.main.keys.get_mut(&key) {
                Some(known) => {
                    known.from.extend(node.from);
                    known.required &= !node.required || known.required;
                }
                None => {
                    common.payload.keys.insert(key, node);
                }
            }
        }
    }
    if let Some(schema) = common.main.whole(&input) {
        contract.insert(main.to_owned(), schema);
    }
    if let Some(mut schema) = common.payload.whole(&[]) {
        // `if isinstance(message, dict): …`: whatever else it is, is not read.
        let is_mapping = facts.reads.iter().any(|read| {
            read.mapping && read.choices.is_empty() && read.places.iter().all(|place| place.root == Root::Payload)
        });
        if let Value::Object(schema) = &mut schema
            && !is_mapping
            && !schema.contains_key("required")
        {
            schema.remove("type");
        }
        contract.insert("payload".to_owned(), schema);
    }
    let variants = variants(facts, &common, cases);
    if !variants.is_empty() {
        contract.insert("variants".to_owned(), Value::Array(variants));
    }
    if let Some(environment) = environment(facts, &common) {
        contract.insert("environment".to_owned(), environment);
    }
    let plain: Vec<&Send> = facts.sends.iter().filter(|send| send.choices.is_empty()).collect();
    let mut channels = channels(facts, &plain);
    for (name, evidence) in &facts.default_channels {
        channels.entry(name.clone()).or_insert_with(|| json!({"default": true, "evidence": evidence.to_string()}));
    }
    if facts.wrapper {
        for name in OF_WRAPPERS {
            channels.entry(name).or_insert_with(|| json!({}));
        }
    }
    contract.insert("channels".to_owned(), Value::Object(channels));
    if facts.other_channels {
        contract.insert("other_channels".to_owned(), Value::Bool(true));
    }
    Draft { file: file_name(facts), contract: Value::Object(contract) }
}

fn file_name(facts: &Facts) -> String {
    let queue = facts.queues.first().map(|queue| queue.name.replace('*', "")).filter(|name| !name.is_empty());
    let name = queue.or_else(|| facts.names.first().cloned()).unwrap_or_default();
    let plain: String = name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    format!("{}.json", plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-"))
}

/// Whether a contract can name a mapping as a part of its input.
fn is_input(name: &str, main: &str) -> bool {
    name == "payload" || (name.split('.').next() == Some(main) && !name.contains('*'))
}

/// The mappings that are read as one.
fn input(facts: &Facts, main: &str) -> Vec<String> {
    let mut lists: Vec<Vec<String>> = facts
        .merged
        .iter()
        .map(|list| list.iter().filter(|name| is_input(name, main)).cloned().collect::<Vec<String>>())
        .filter(|list: &Vec<String>| list.iter().any(|name| name.starts_with(main)) && list.len() > 1)
        .collect();
    lists.sort_by_key(|list| std::cmp::Reverse(list.len()));
    let mut input: Vec<String> = Vec::new();
    for name in lists.into_iter().flatten() {
        if !input.contains(&name) {
            input.push(name);
        }
    }
    if !input.is_empty() {
        return input;
    }
    // The same key is looked up in both, as by a function of the service's own.
    let mut keys: IndexMap<&Segment, Vec<&str>> = IndexMap::new();
    for read in &facts.reads {
        for place in &read.places {
            let root = match (place.root, place.mapping()) {
                (Root::Payload, _) => "payload",
                (Root::Step, Some(name)) if name == main => main,
                _ => continue,
            };
            let Some(key) = relative(place, &[]).and_then(|path| path.first()) else { continue };
            let roots = keys.entry(key).or_default();
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
    }
    let both: Vec<&Vec<&str>> = keys.values().filter(|roots| roots.len() == 2).collect();
    match both.first() {
        Some(first) => first.iter().map(|root| (*root).to_owned()).collect(),
        None => vec![main.to_owned()],
    }
}

/// The way from a mapping on: from one of the input if it is one, else from the whole payload or parameters.
fn relative<'p>(place: &'p Place, input: &[String]) -> Option<&'p [Segment]> {
    let mapping = place.mapping()?;
    if input.contains(&mapping) {
        return Some(place.tail());
    }
    match place.root {
        Root::Step => place.path.get(1..),
        _ => Some(&place.path),
    }
}

fn sort(sorted: &mut Sorted, read: &Read, required: bool, input: &[String], main: &str, choice: Option<&Choice>) {
    // Where some place cannot be named, it may be there.
    let is_named =
        |place: &Place| place.mapping().is_some_and(|name| is_input(&name, main)) || place.root == Root::Environment;
    let required = required && read.places.iter().all(is_named);
    let mut done: Vec<(bool, Vec<Segment>)> = Vec::new();
    for place in &read.places {
        let (Some(mapping), Some(path)) = (place.mapping(), relative(place, input)) else { continue };
        if place.root == Root::Environment {
            if let [Segment::Key(name), ..] = &place.path[..] {
                let node = sorted.environment.entry(name.clone()).or_default();
                node.add(&[], read, false, std::iter::empty());
            }
            continue;
        }
        let mut path = path;
        if let Some(choice) = choice {
            path = path.strip_prefix(&choice.inside[..]).unwrap_or(path);
        }
        if !path.iter().any(|segment| matches!(segment, Segment::Key(_))) {
            continue;
        }
        let is_payload = place.root == Root::Payload && !(read.places.len() > 1 && input.contains(&mapping));
        let is_main = place.root == Root::Step && mapping.split('.').next() == Some(main);
        if place.root == Root::Step && !is_main {
            continue;
        }
        let key = (is_payload, path.to_vec());
        let from = std::iter::once(mapping.clone());
        let node = if is_payload { &mut sorted.payload } else { &mut sorted.main };
        // In places of different names it is required in none.
        let required = required && read.places.iter().all(|other| relative(other, input) == relative(place, input));
        if done.contains(&key) {
            node.at(path).from.extend(from);
        } else {
            node.add(path, read, required, from);
            done.push(key);
        }
    }
}

/// Marks nested mappings of which more may be read.
fn mark_open(facts: &Facts, sorted: &mut Sorted, input: &[String], main: &str) {
    for place in &facts.open {
        let Some(path) = relative(place, input).filter(|path| !path.is_empty()) else { continue };
        let root = if place.root == Root::Payload { &mut sorted.payload } else { &mut sorted.main };
        if place.root == Root::Step
            && place.mapping().and_then(|name| name.split('.').next().map(str::to_owned)).as_deref() != Some(main)
        {
            continue;
        }
        if root.find(path).is_some() {
            root.at(path).open = true;
        }
    }
}

/// The level of keys that are not listed.
fn unknown(facts: &Facts, main: &str) -> &'static str {
    let is_whole = |place: &Place| {
        let is_main = place.mapping().is_some_and(|name| name.split('.').next() == Some(main));
        let is_step = place.root == Root::Step && place.path.is_empty();
        is_step || is_main && place.path.len() <= place.base.max(1)
    };
    let reads_main = facts.reads.iter().any(|read| {
        read.places.iter().any(|place| place.mapping().is_some_and(|name| name.split('.').next() == Some(main)))
    });
    match () {
        () if facts.open.iter().any(is_whole) => "ignore",
        () if facts.closed => "error",
        () if !reads_main => "ignore",
        () => "warning",
    }
}

fn variants(facts: &Facts, common: &Sorted, mut cases: IndexMap<String, IndexMap<String, Sorted>>) -> Vec<Value> {
    // A case that only sends is one, too.
    for send in &facts.sends {
        if let Some(choice) = send.choices.first() {
            cases.entry(choice.by.clone()).or_default().entry(choice.value.clone()).or_default();
        }
    }
    let mut made = Vec::new();
    for (by, values) in cases {
        let selectors: Vec<_> = facts.selectors.iter().filter(|selector| selector.by == by).collect();
        let mut written: Map<String, Value> = Map::new();
        let known = selectors.iter().flat_map(|selector| &selector.values);
        for value in known {
            written.entry(value.clone()).or_insert_with(|| json!({}));
        }
        let mut is_needed = false;
        for (value, mut sorted) in values {
            let mut all = std::mem::take(&mut sorted.main);
            for (key, node) in sorted.payload.keys {
                all.keys.entry(key).or_insert(node);
            }
            all.keys.retain(|key, node| {
                let known = common.main.keys.get(key).or_else(|| common.payload.keys.get(key));
                // What the choice is made by is known.
                *key != by && known.is_none_or(|known| node.required && !known.required)
            });
            let sends: Vec<&Send> = facts
                .sends
                .iter()
                .filter(|send| send.choices.first().is_some_and(|choice| choice.by == by && choice.value == value))
                .collect();
            let mut case = Map::new();
            if let Some(schema) = all.whole(&[]) {
                case.insert("parameters".to_owned(), schema);
            }
            let channels = channels(facts, &sends);
            if !channels.is_empty() {
                case.insert("channels".to_owned(), Value::Object(channels));
            }
            is_needed |= !case.is_empty();
            written.insert(value, Value::Object(case));
        }
        if !is_needed && !selectors.iter().any(|selector| selector.complete) {
            continue;
        }
        let mut variant = Map::new();
        variant.insert("by".to_owned(), Value::from(by.as_str()));
        let also_in: BTreeSet<&String> = selectors.iter().flat_map(|selector| &selector.also_in).collect();
        if !also_in.is_empty() {
            variant.insert("also_in".to_owned(), Value::from(also_in.into_iter().cloned().collect::<Vec<_>>()));
        }
        if !selectors.iter().any(|selector| selector.complete && !selector.values.is_empty()) {
            variant.insert("others".to_owned(), Value::from("ignore"));
        }
        variant.insert("cases".to_owned(), Value::Object(written));
        made.push(Value::Object(variant));
    }
    made
}

fn environment(facts: &Facts, common: &Sorted) -> Option<Value> {
    let mut environment = Map::new();
    if let Some(replaces) = facts.replaces {
        environment.insert("replaces".to_owned(), Value::from(replaces));
    }
    if !facts.stored_by.is_empty() {
        environment.insert("stored_by".to_owned(), Value::from(facts.stored_by.clone()));
    }
    if !facts.stores.is_empty() {
        let stores = facts.stores.iter().map(|(name, place)| (name.clone(), json!({"x-evidence": place.to_string()})));
        environment.insert("stores".to_owned(), Value::Object(stores.collect()));
    }
    let stored = |name: &str| facts.stores.iter().any(|(stored, _)| stored == name);
    let reads: Map<String, Value> = common
        .environment
        .iter()
        .filter(|(name, _)| *name != "ID" && !stored(name))
        .map(|(name, node)| (name.clone(), json!({"x-evidence": evidence(&node.evidence)})))
        .collect();
    if !reads.is_empty() {
        environment.insert("reads".to_owned(), Value::Object(reads));
    }
    (!environment.is_empty()).then_some(Value::Object(environment))
}

fn channels(facts: &Facts, sends: &[&Send]) -> Map<String, Value> {
    let defaults: Vec<&str> = facts.default_channels.iter().map(|(name, _)| name.as_str()).collect();
    let mut by_name: IndexMap<String, Vec<&Send>> = IndexMap::new();
    for send in sends {
        let name = send.channel.as_deref().or(defaults.first().copied()).unwrap_or("output");
        by_name.entry(name.to_owned()).or_default().push(send);
    }
    let mut channels = Map::new();
    for (name, sends) in by_name {
        let mut channel = Map::new();
        let is_default = defaults.contains(&name.as_str()) || sends.iter().any(|send| send.channel.is_none());
        if is_default {
            channel.insert("default".to_owned(), Value::Bool(true));
        }
        if sends.iter().any(|send| send.always) {
            channel.insert("fires".to_owned(), Value::from("always"));
        }
        if let Some(payload) = payload(&sends) {
            channel.insert("payload".to_owned(), payload);
        }
        let mut forwards: Vec<&String> = Vec::new();
        for name in sends.iter().flat_map(|send| &send.sent.forwards) {
            let main = if facts.wrapper { "job_parameters" } else { "parameters" };
            if is_input(name, main) && !forwards.contains(&name) {
                forwards.push(name);
            }
        }
        if !forwards.is_empty() && sends.iter().all(|send| !send.sent.forwards.is_empty()) {
            channel.insert("forwards".to_owned(), Value::from(forwards.into_iter().cloned().collect::<Vec<_>>()));
        }
        let mut places: Vec<Evidence> = Vec::new();
        for send in &sends {
            if !places.contains(&send.evidence) && places.len() < MAX_EVIDENCE {
                places.push(send.evidence.clone());
            }
        }
        channel.insert("evidence".to_owned(), evidence(&places));
        channels.insert(name, Value::Object(channel));
    }
    channels
}

/// The JSON Schema of what is sent; nothing if it is not known.
fn payload(sends: &[&Send]) -> Option<Value> {
    if let Some(schemas) = sends.iter().map(|send| send.sent.schema.as_ref()).collect::<Option<Vec<_>>>() {
        let first = schemas.first()?;
        return schemas.iter().all(|schema| schema == first).then(|| (*first).clone());
    }
    let mut properties: IndexMap<&str, (usize, Option<&Value>)> = IndexMap::new();
    let mut is_open = false;
    let mut is_known = false;
    for send in sends {
        is_open |= send.sent.open || send.sent.keys.is_none();
        for (key, always, schema) in send.sent.keys.iter().flatten() {
            is_known = true;
            let entry = properties.entry(key).or_insert((0, Some(schema)));
            entry.0 += usize::from(*always);
            if entry.1 != Some(schema) {
                entry.1 = None;
            }
        }
    }
    if !is_known {
        // An empty mapping, and nothing else.
        return (!is_open && sends.iter().all(|send| send.sent.keys.is_some()))
            .then(|| json!({"type": "object", "additionalProperties": false}));
    }
    let mut schema = Map::new();
    // Of what is no mapping at times the type is not known.
    if sends.iter().all(|send| send.sent.keys.is_some()) {
        schema.insert("type".to_owned(), Value::from("object"));
        let required: Vec<&str> =
            properties.iter().filter(|(_, (count, _))| *count == sends.len()).map(|(key, _)| *key).collect();
        if !required.is_empty() {
            schema.insert("required".to_owned(), Value::from(required));
        }
    }
    let written =
        properties.iter().map(|(key, (_, schema))| ((*key).to_owned(), schema.cloned().unwrap_or_else(|| json!({}))));
    schema.insert("properties".to_owned(), Value::Object(written.collect()));
    schema.insert("additionalProperties".to_owned(), Value::Bool(is_open));
    Some(Value::Object(schema))
}
