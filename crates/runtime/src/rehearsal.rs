//! Plays a recipe on an embedded broker of its own, with services that do what a script says, and tells which of its
//! edges were exercised.
//!
//! The services are stubs: they refuse what the contract of the real one refuses, and send what the script says, or, where
//! it says nothing, something on each channel that is connected; a script that has them send what their contracts do not
//! promise has a fault. Delays of the recipe are not waited for.

mod real;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::real::Real;
use crate::runtime::pressure::Pauses;
use crate::runtime::run::destinations;
use crate::runtime::{Host, Job, Outcome, Service, StepResult};
use zrecipe_broker::message::{Destination, Envelope, Output, Reason};
use zrecipe_broker::transport::embedded::{Broker, Options};
use zrecipe_broker::transport::{Error, Settlement, Subscription, Transport, Verdict};
use zrecipe_language::contract::{Contract, Contracts};
use zrecipe_language::schema::{SchemaValue, resolve_reference};
use zrecipe_language::value::{Object, Value};

/// How many messages a step may get before something is wrong.
const MOST: usize = 10_000;

/// What a stub does the first time, before it does what it is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// It dies in the middle.
    Crash,
    /// It asks to be asked again.
    Later,
}

/// What the stub of a step does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Act {
    /// What it does the first time.
    pub first: Option<First>,
    /// Why it refuses the message, if it does.
    pub refuse: Option<String>,
    /// What it sends: channel (none: without a name) and payload. Nothing said: something on each connected channel.
    pub outputs: Option<Vec<(Option<String>, Value)>>,
}

/// How a recipe is played, and what is to come of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scenario {
    /// What it is about.
    pub name: String,
    /// What is done where nothing else is said.
    pub otherwise: Act,
    /// What the steps do.
    pub acts: BTreeMap<i64, Act>,
    /// Steps that are to be reached.
    pub reached: Vec<i64>,
    /// Steps that are not to be reached.
    pub unreached: Vec<i64>,
    /// What steps are to get.
    pub payloads: Vec<(i64, Value)>,
}

/// A way through a recipe: from a step (none: from `start`), by a channel (none: without a name), to a step.
pub type Edge = (Option<i64>, Option<String>, i64);

/// What came of a scenario.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Played {
    /// How often each edge was gone.
    pub edges: BTreeMap<Edge, usize>,
    /// What steps got.
    pub payloads: Vec<(i64, Value)>,
    /// Steps that were reached.
    pub reached: BTreeSet<i64>,
    /// What is not as it is to be, in words.
    pub faults: Vec<String>,
}

/// All edges of a recipe.
pub fn edges(recipe: &Value) -> BTreeSet<Edge> {
    let mut found = BTreeSet::new();
    for (key, step) in recipe.as_object().into_iter().flatten() {
        let targets = |links: &Value| match links {
            Value::Array(links) => links.iter().filter_map(Value::as_i64).collect(),
            link => link.as_i64().into_iter().collect::<Vec<_>>(),
        };
        if key == "start" {
            let entries = step.as_array().unwrap_or_default().iter();
            found.extend(entries.filter_map(|entry| Some((None, None, entry.as_array()?.first()?.as_i64()?))));
        } else if let Ok(from) = key.parse::<i64>() {
            match step.get("output") {
                Some(Value::Object(channels)) => {
                    for (channel, links) in channels {
                        found.extend(targets(links).into_iter().map(|to| (Some(from), Some(channel.clone()), to)));
                    }
                }
                Some(links) => found.extend(targets(links).into_iter().map(|to| (Some(from), None, to))),
                None => {}
            }
        }
    }
    found
}

/// Plays a bound recipe; services that are `real` play their own parts.
///
/// # Errors
/// The embedded broker.
pub async fn play(
    recipe: &Value,
    contracts: Arc<Contracts>,
    scenario: &Scenario,
    real: &[Arc<dyn Service>],
) -> Result<Played, Error> {
    let store = |error: std::io::Error| Error::Store(Box::new(error));
    let directory = crate::runtime::roots::private_directory().tempdir().map_err(store)?;
    // No process opens it after this one, so nothing waits for the disk.
    let options = Options { is_durable: false, ..Options::default() };
    let broker = Broker::open(&directory.path().join("broker"), options).await?;
    let space = broker.namespace("test");
    let recipe = without_delays(recipe);
    let mut queues: Vec<String> = Vec::new();
    let mut topics: BTreeSet<String> = BTreeSet::new();
    for (_, destination) in destinations(&recipe) {
        match destination {
            Destination::Queue(queue) if !queues.contains(&queue) => queues.push(queue),
            Destination::Queue(_) => {}
            Destination::Topic(topic) => _ = topics.insert(topic),
        }
    }
    for queue in &queues {
        space.declare(queue).await?;
    }
    let record = Arc::new(Mutex::new(Record::default()));
    let mut listening = JoinSet::new();
    for topic in topics {
        let subscription = Subscription { source: Destination::Topic(topic), prefetch: 100 };
        let mut deliveries = space.subscribe(subscription).await?;
        let (record, space) = (Arc::clone(&record), space.clone());
        listening.spawn(async move {
            while let Some(delivery) = deliveries.next().await {
                if let Ok(envelope) = Envelope::read(&delivery.headers, &delivery.body) {
                    lock(&record).arrive(&envelope);
                }
                let settlement = Settlement::of(Verdict::Accept);
                let _ = space.settle(&delivery, settlement).await;
            }
        });
    }
    let environment = Object::from_iter([("ID".to_owned(), Value::from("test"))]);
    let mut faults = Vec::new();
    match Envelope::start(recipe.clone(), environment, "test") {
        Ok(messages) => space.send(messages).await?,
        Err(error) => faults.push(error.to_string()),
    }
    let stub = Stub { scenario: scenario.clone(), contracts, record: Arc::clone(&record) };
    let (end, ended) = watch::channel(false);
    let (events, _received) = mpsc::unbounded_channel();
    let mut services: Vec<Arc<dyn Service>> = Vec::new();
    for service in real {
        let (service, record) = (Arc::clone(service), Arc::clone(&record));
        services.push(Arc::new(Real { service, scenario: scenario.clone(), record }));
    }
    services.push(Arc::new(stub));
    // Nobody waits for what does not happen.
    let pauses = Pauses { crash: Duration::from_millis(1), ..Pauses::default() };
    let host = Host::new(Arc::new(space.clone()), services, 16, events, ended).with_pauses(pauses);
    let over = async {
        loop {
            let census = space.census().await?;
            if census.ready + census.delayed + census.held == 0 || lock(&record).is_too_much() {
                return Ok::<(), Error>(());
            }
            space.changed().await?;
        }
    };
    let serving = host.serve(&queues);
    tokio::pin!(serving);
    tokio::select! {
        over = over => over?,
        served = &mut serving, if !queues.is_empty() => served?,
    }
    let _ = end.send(true);
    if !queues.is_empty() {
        serving.await?;
    }
    broker.close().await?;
    listening.shutdown().await;
    let record = std::mem::take(&mut *lock(&record));
    Ok(record.judge(scenario, faults))
}

fn lock(record: &Mutex<Record>) -> std::sync::MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A recipe whose steps do not wait.
fn without_delays(recipe: &Value) -> Value {
    let mut recipe = recipe.clone();
    if let Value::Object(steps) = &mut recipe {
        for step in steps.values_mut() {
            if let Value::Object(step) = step {
                step.shift_remove("transport-delay");
            }
        }
    }
    recipe
}

/// What has happened.
#[derive(Debug, Default)]
struct Record {
    edges: BTreeMap<Edge, usize>,
    payloads: Vec<(i64, Value)>,
    arrived: usize,
    reached: BTreeSet<i64>,
    /// Messages that have had their first time.
    first: BTreeSet<String>,
    /// How often each message was dealt with to its end.
    done: BTreeMap<String, usize>,
    faults: Vec<String>,
}

impl Record {
    fn arrive(&mut self, envelope: &Envelope) {
        self.arrived += 1;
        self.reached.insert(envelope.pointer);
        self.payloads.push((envelope.pointer, envelope.payload.clone()));
        if envelope.path.is_empty() {
            *self.edges.entry((None, None, envelope.pointer)).or_default() += 1;
        }
    }

    fn is_too_much(&self) -> bool {
        self.arrived > MOST
    }

    fn judge(self, scenario: &Scenario, mut faults: Vec<String>) -> Played {
        faults.extend(self.faults.iter().cloned());
        if self.is_too_much() {
            faults.push(format!("it was stopped after {MOST} messages"));
        }
        faults.extend(
            self.done
                .iter()
                .filter(|(_, times)| **times > 1)
                .map(|(id, times)| format!("message {id} was processed {times} times")),
        );
        let missing = scenario.reached.iter().filter(|step| !self.reached.contains(step));
        faults.extend(missing.map(|step| format!("step `{step}` was not reached")));
        let wrong = scenario.unreached.iter().filter(|step| self.reached.contains(step));
        faults.extend(wrong.map(|step| format!("step `{step}` was reached")));
        for (step, expected) in &scenario.payloads {
            let got: Vec<String> =
                self.payloads.iter().filter(|(to, _)| to == step).map(|(_, payload)| payload.to_json()).collect();
            if !got.contains(&expected.to_json()) {
                let got = if got.is_empty() { "nothing".to_owned() } else { got.join(", ") };
                faults.push(format!("step `{step}` got {got}, not {}", expected.to_json()));
            }
        }
        Played { edges: self.edges, payloads: self.payloads, reached: self.reached, faults }
    }
}

/// Every service at once.
struct Stub {
    scenario: Scenario,
    contracts: Arc<Contracts>,
    record: Arc<Mutex<Record>>,
}

impl Stub {
    /// What the service of a queue refuses.
    fn refusal(&self, queue: &str, envelope: &Envelope) -> Option<String> {
        let contract = self.contracts.of_queue(queue)?;
        let payload = || {
            let faults = contract.payload.as_ref()?.faults_of_value(&envelope.payload, "the payload");
            faults.into_iter().next().map(|fault| fault.message)
        };
        contract.refusal(&envelope.parameters()).or_else(payload)
    }

    /// Something on each connected channel.
    fn everything(&self, queue: &str, envelope: &Envelope) -> Vec<(Option<String>, Value)> {
        let contract = self.contracts.of_queue(queue);
        let sample = |channel: Option<&str>| {
            let channel = contract.and_then(|contract| match channel {
                Some(name) => contract.channel(name),
                None => contract.default_channel(),
            });
            let schema = channel.and_then(|channel| channel.payload.as_ref());
            schema.map_or_else(|| Value::Object(Object::new()), |schema| sample(schema.root(), schema.root(), 0))
        };
        match envelope.step().get("output") {
            None => Vec::new(),
            Some(Value::Object(channels)) => {
                channels.keys().map(|channel| (Some(channel.clone()), sample(Some(channel)))).collect()
            }
            Some(_) => vec![(None, sample(None))],
        }
    }
}

#[async_trait]
impl Service for Stub {
    fn name(&self) -> &str {
        "a stub"
    }

    fn serves(&self, _: &str) -> bool {
        true
    }

    fn queues(&self) -> Vec<String> {
        Vec::new()
    }

    fn prefetch(&self) -> u16 {
        16
    }

    async fn handle(&self, job: &Job) -> Outcome {
        let Some(envelope) = &job.envelope else {
            return Outcome::Bad { reason: Reason::no_recipe() };
        };
        let act = self.scenario.acts.get(&envelope.pointer).unwrap_or(&self.scenario.otherwise);
        let is_first = lock(&self.record).first.insert(job.delivery.id.clone());
        match act.first.filter(|_| is_first) {
            // Nothing is printed: it is meant to be so.
            Some(First::Crash) => std::panic::resume_unwind(Box::new("as the script says")),
            Some(First::Later) => {
                return Outcome::Later { reason: "as the script says".to_owned(), after: Duration::from_millis(1) };
            }
            None => {}
        }
        let queue = job.delivery.source.name();
        let mut record = lock(&self.record);
        record.arrive(envelope);
        if let Some(reason) = &act.refuse {
            return Outcome::Bad { reason: reason.as_str().into() };
        }
        if let Some(reason) = self.refusal(queue, envelope) {
            record.faults.push(format!("step `{}` refuses its message: {reason}", envelope.pointer));
            return Outcome::Bad { reason: reason.into() };
        }
        *record.done.entry(job.delivery.id.clone()).or_default() += 1;
        let mut outputs = match &act.outputs {
            None => self.everything(queue, envelope),
            Some(outputs) => {
                let contract = self.contracts.of_queue(queue);
                let fault = |(channel, payload): &(Option<String>, Value)| {
                    let fault = contract?.output_fault(channel.as_deref(), payload)?;
                    Some(format!("step `{}` sends {fault}", envelope.pointer))
                };
                record.faults.extend(outputs.iter().filter_map(fault));
                outputs.clone()
            }
        };
        let default = self.contracts.of_queue(queue).and_then(Contract::default_channel).map(|default| &default.name);
        let is_named = matches!(envelope.step().get("output"), Some(Value::Object(_)));
        for (channel, _) in &mut outputs {
            // What is sent without a name is sent on the default channel, whichever of the two is connected.
            match channel {
                None if is_named => *channel = default.cloned(),
                Some(_) if !is_named && channel.as_ref() == default => *channel = None,
                _ => {}
            }
        }
        for (channel, _) in &outputs {
            let targets = envelope.targets(channel.as_deref(), None);
            if targets.is_empty() {
                let name = channel.as_deref().map_or("its output".to_owned(), |name| format!("channel `{name}`"));
                record.faults.push(format!("step `{}` sends on {name}, which is not connected", envelope.pointer));
            }
            for to in targets.iter().filter_map(Value::as_i64) {
                *record.edges.entry((Some(envelope.pointer), channel.clone(), to)).or_default() += 1;
            }
        }
        let output = |(channel, payload)| Output::new(channel, payload);
        let outputs = outputs.into_iter().map(output).collect();
        Outcome::Done { outputs, result: StepResult::Succeeded, detail: Value::Null }
    }
}

/// The least that fits a schema, as far as it says so plainly.
fn sample(root: &SchemaValue, schema: &SchemaValue, depth: usize) -> Value {
    const DEEPEST: usize = 16;
    let schema = resolve_reference(root, schema);
    let plain = |value: &SchemaValue| {
        zrecipe_language::syntax::json::read_value(value.to_string().as_bytes()).unwrap_or_default()
    };
    let first = |key: &str| schema.get(key).and_then(SchemaValue::as_array).and_then(|list| list.first());
    if let Some(value) =
        schema.get("const").or_else(|| schema.get("default")).or_else(|| first("examples")).or_else(|| first("enum"))
    {
        return plain(value);
    }
    if let Some(other) = first("anyOf").or_else(|| first("oneOf")).filter(|_| depth < DEEPEST) {
        return sample(root, other, depth + 1);
    }
    let kind = schema.get("type").and_then(|kind| kind.as_str().or_else(|| kind.as_array()?.first()?.as_str()));
    match kind {
        Some("string") => Value::from("text"),
        Some("integer" | "number") => schema.get("minimum").map_or(Value::from(1), plain),
        Some("boolean") => Value::Bool(true),
        Some("null") => Value::Null,
        Some("array") => Value::Array(Vec::new()),
        _ => {
            let required = schema.get("required").and_then(SchemaValue::as_array).into_iter().flatten();
            let member = |name: &SchemaValue| {
                let name = name.as_str()?;
                let schema = schema.get("properties").and_then(|properties| properties.get(name));
                let value =
                    schema.filter(|_| depth < DEEPEST).map_or(Value::Null, |schema| sample(root, schema, depth + 1));
                Some((name.to_owned(), value))
            };
            Value::Object(required.filter_map(member).collect())
        }
    }
}
