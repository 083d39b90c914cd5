//! What an operator sees of a broker at one glance: services, queues, dead letters and runs, each as a table.

use crate::cli::broker::{Environment, Run};
use crate::cli::progress::timestamp;
use crate::contract::Contracts;
use crate::message::Destination;
use crate::ops::dead_letters::queue_of;
use crate::ops::management::Queue;
use crate::ops::services::Instance;
use crate::runtime::status::TOPIC;
use crate::transport::Subscription;
use crate::value::Value;

/// What is counted from time to time.
#[derive(Debug, Default)]
pub struct Counts {
    /// The queues, those of dead letters among them.
    pub queues: Vec<Queue>,
    /// The latest runs, the newest first.
    pub runs: Vec<Run>,
    /// What could not be counted, and why.
    pub problems: Vec<String>,
}

impl Counts {
    /// Asks the broker.
    pub async fn read(environment: &Environment) -> Self {
        /// So many are listed.
        const RUNS: usize = 20;
        let mut counts = Self::default();
        match environment.queues().await {
            Ok(queues) => counts.queues = queues,
            Err(error) => counts.problems.push(format!("no queues: {}", error.message())),
        }
        match environment.runs(RUNS).await {
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
    let cells = |(run, by): (&Run, Option<String>)| {
        let work = by.map(|by| format!("at work: {by}"));
        vec![run.id.clone(), timestamp(run.begun), work.unwrap_or_else(|| run.state.to_owned()), run.title.clone()]
    };
    let runs = counts.runs.iter().map(|run| cells((run, at_work(&run.id, services))));
    // Those that nobody lists.
    let mut others: Vec<&str> = services.iter().filter_map(|instance| instance.recipe_id.as_deref()).collect();
    others.sort_unstable();
    others.dedup();
    others.retain(|id| counts.runs.iter().all(|run| run.id != *id));
    let others = others.into_iter().map(|id| {
        let by = at_work(id, services).unwrap_or_default();
        vec![id.to_owned(), "-".to_owned(), format!("at work: {by}"), "-".to_owned()]
    });
    [
        Table {
            title: "services",
            head: vec!["service", "host", "state", "busy", "queue", "recipe ID", "program"],
            rows: instances.collect(),
        },
        Table { title: "queues", head: vec!["queue", "messages", "consumers"], rows: queues.collect() },
        Table { title: "dead letters", head: vec!["dead letters in", "messages"], rows: letters.collect() },
        Table { title: "runs", head: vec!["run", "begun", "state", "recipes"], rows: runs.chain(others).collect() },
    ]
}

/// The services that are at work on a run.
fn at_work(id: &str, services: &[Instance]) -> Option<String> {
    let mine = services.iter().filter(|instance| instance.recipe_id.as_deref() == Some(id));
    let names: Vec<String> = mine.map(|instance| format!("{} on {}", instance.service, instance.host)).collect();
    Some(names.join(", ")).filter(|names| !names.is_empty())
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
    let runs = counts.runs.iter().map(|run| {
        let begun = jiff::Timestamp::try_from(run.begun).map_or_else(|_| String::new(), |time| time.to_string());
        Value::from([
            ("id", text(&run.id)),
            ("begun", Value::from(begun)),
            ("state", text(run.state)),
            ("recipes", text(&run.title)),
            ("at_work", Value::from(at_work(&run.id, services))),
        ])
    });
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
