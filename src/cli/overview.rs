//! What an operator sees of a broker at one glance: services, queues, dead letters and runs, each as a table.

use crate::cli::broker::Environment;
use crate::contract::Contracts;
use crate::message::Destination;
use crate::ops::dead_letters::queue_of;
use crate::ops::management::Queue;
use crate::ops::services::Instance;
use crate::runtime::run::Listed;
use crate::runtime::status::TOPIC;
use crate::transport::Subscription;
use crate::value::Value;

/// What is counted from time to time.
#[derive(Debug, Default)]
pub struct Counts {
    /// The queues, those of dead letters among them.
    pub queues: Vec<Queue>,
    /// The runs on this machine.
    pub runs: Vec<Listed>,
    /// What could not be counted, and why.
    pub problems: Vec<String>,
}

impl Counts {
    /// Asks the broker.
    pub async fn read(environment: &Environment) -> Self {
        let mut counts = Self::default();
        match environment.queues().await {
            Ok(queues) => counts.queues = queues,
            Err(error) => counts.problems.push(format!("no queues: {}", error.message())),
        }
        match environment.runs().await {
            Ok(runs) => counts.runs = runs,
            Err(error) => counts.problems.push(format!("no runs: {}", error.message())),
        }
        counts
    }

    /// The queues that hold dead letters.
    pub fn letters(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter().filter(|queue| is_of_letters(queue) && queue.messages > 0)
    }

    /// All other queues, without those that programs have for themselves.
    pub fn others(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter().filter(|queue| !is_of_letters(queue) && !queue.name.starts_with("amq."))
    }
}

fn is_of_letters(queue: &Queue) -> bool {
    queue_of(&queue.name) == queue.name
}

/// The wish to hear the broadcasts of services.
pub fn subscription() -> Subscription {
    Subscription { source: Destination::Topic(TOPIC.to_owned()), prefetch: 100 }
}

/// Rows under a head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// What it is about.
    pub title: &'static str,
    /// What its columns are.
    pub head: Vec<&'static str>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
}

/// Services, queues, dead letters and runs.
pub fn tables(services: &[Instance], counts: &Counts, contracts: &Contracts) -> [Table; 4] {
    let or_dash = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
    let instances = services.iter().map(|instance| {
        let name = match &instance.tag {
            Some(tag) => format!("{} ({tag})", instance.service),
            None => instance.service.clone(),
        };
        let busy = instance.busy.map_or("-".to_owned(), |part| format!("{:.0}%", part * 100.0));
        vec![
            name,
            instance.host.clone(),
            instance.state.clone(),
            busy,
            queues_of(instance, contracts).unwrap_or_else(|| "-".to_owned()),
            or_dash(instance.recipe_id.as_deref()),
            or_dash(Some(&instance.program)),
        ]
    });
    // What nobody has ever used is no news.
    let is_news = |queue: &&Queue| queue.messages > 0 || queue.consumers.is_some_and(|consumers| consumers > 0);
    let queues = counts.others().filter(is_news).map(|queue| {
        let consumers = queue.consumers.map_or("-".to_owned(), |consumers| consumers.to_string());
        vec![queue.name.clone(), queue.messages.to_string(), consumers]
    });
    let letters = counts.letters().map(|queue| vec![queue.name.clone(), queue.messages.to_string()]);
    let mut runs: Vec<Vec<String>> = Vec::new();
    for run in counts.runs.iter().rev() {
        runs.push(vec![run.id.clone(), run.state().to_owned(), run.title.clone()]);
    }
    for instance in services {
        let Some(id) = instance.recipe_id.as_deref().filter(|id| runs.iter().all(|run| run[0] != **id)) else {
            continue;
        };
        runs.push(vec![id.to_owned(), "at work".to_owned(), format!("{} on {}", instance.service, instance.host)]);
    }
    [
        Table {
            title: "services",
            head: vec!["service", "host", "state", "busy", "queue", "recipe ID", "program"],
            rows: instances.collect(),
        },
        Table { title: "queues", head: vec!["queue", "messages", "consumers"], rows: queues.collect() },
        Table { title: "dead letters", head: vec!["dead letters in", "messages"], rows: letters.collect() },
        Table { title: "runs", head: vec!["run", "state", "what"], rows: runs },
    ]
}

/// The queues that a service takes messages from, as its contract says: a broadcast does not say it.
fn queues_of(instance: &Instance, contracts: &Contracts) -> Option<String> {
    let contract = contracts.of_service(&instance.class).or_else(|| contracts.of_service(&instance.service))?;
    Some(contract.queues.join(", ")).filter(|queues| !queues.is_empty())
}

/// The same for programs.
pub fn json(place: &str, services: &[Instance], counts: &Counts, contracts: &Contracts) -> Value {
    let text = |text: &str| Value::from(text);
    let instances = services.iter().map(|instance| {
        Value::from([
            ("host", text(&instance.host)),
            ("service", text(&instance.service)),
            ("class", text(&instance.class)),
            ("tag", Value::from(instance.tag.as_deref())),
            ("state", text(&instance.state)),
            ("busy", Value::Bool(instance.is_busy)),
            ("utilization", Value::from(instance.busy)),
            ("queue", Value::from(queues_of(instance, contracts))),
            ("recipe_id", Value::from(instance.recipe_id.as_deref())),
            ("program", text(&instance.program)),
        ])
    });
    let count = |queue: &Queue| {
        Value::from([
            ("queue", text(&queue.name)),
            ("messages", Value::from(queue.messages)),
            ("consumers", Value::from(queue.consumers)),
        ])
    };
    let runs = counts
        .runs
        .iter()
        .map(|run| Value::from([("id", text(&run.id)), ("state", text(run.state())), ("recipes", text(&run.title))]));
    Value::from([
        ("version", Value::from(1)),
        ("broker", text(place)),
        ("services", Value::Array(instances.collect())),
        ("queues", Value::Array(counts.others().map(count).collect())),
        ("dead_letters", Value::Array(counts.letters().map(count).collect())),
        ("runs", Value::Array(runs.collect())),
        ("problems", Value::from(counts.problems.clone())),
    ])
}
