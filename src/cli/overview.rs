//! What an operator sees of a broker at one glance: services, queues, dead letters and runs, each as a table.

use std::collections::BTreeSet;

use crate::cli::Error;
use crate::cli::broker::Environment;
use crate::cli::broker::runs::Run;
use crate::cli::time::{rfc_3339, timestamp};
use zrecipe_broker::message::{Destination, is_dead_letter_queue};
use zrecipe_broker::transport::{Subscription, Transport};
use zrecipe_language::contract::Contracts;
use zrecipe_language::value::Value;
use zrecipe_runtime::ops::management::{Queue, refresh};
use zrecipe_runtime::ops::services::Instance;
use zrecipe_runtime::runtime::status::TOPIC;

/// What is counted from time to time. What could not be counted is not nothing: nobody knows.
#[derive(Debug, Default)]
pub struct Counts {
    /// The queues, those of dead letters among them.
    pub queues: Option<Vec<Queue>>,
    /// The latest runs, the newest first; none is known where nobody keeps a list.
    pub runs: Option<Vec<Run>>,
    /// Whether nobody keeps a list of runs: the site has no logbook.
    pub is_without_runs: bool,
    /// What could not be counted.
    pub problems: Vec<Problem>,
}

/// What could not be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What, and why.
    pub text: String,
    /// What to do about it.
    pub help: Vec<String>,
}

impl Problem {
    /// Nobody knows about this.
    pub fn new(what: &str, error: &Error) -> Self {
        Self { text: format!("{what} are unknown: {}", error.message()), help: error.hints().to_vec() }
    }
}

impl Counts {
    /// Asks the broker.
    pub async fn read(environment: &Environment, transport: &dyn Transport) -> Self {
        /// So many are listed.
        const RUNS: usize = 20;
        let mut counts = Self::default();
        match environment.queues().await {
            Ok(mut queues) => {
                if !environment.capabilities().is_exact {
                    refresh(transport, &mut queues).await;
                }
                counts.queues = Some(queues);
            }
            Err(error) => counts.problems.push(Problem::new("queues and dead letters", &error)),
        }
        match environment.runs(RUNS).await {
            Ok(Some(runs)) => counts.runs = Some(runs),
            Ok(None) => counts.is_without_runs = true,
            Err(error) => counts.problems.push(Problem::new("runs", &error)),
        }
        counts
    }

    /// The queues that hold dead letters.
    pub fn letters(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter().flatten().filter(|queue| is_of_letters(queue) && queue.messages > 0)
    }

    /// All other queues, without those that programs have for themselves.
    pub fn others(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter().flatten().filter(|queue| !is_of_letters(queue) && !queue.name.starts_with("amq."))
    }
}

fn is_of_letters(queue: &Queue) -> bool {
    is_dead_letter_queue(&queue.name)
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
    /// Rows about something that has failed.
    pub bad: BTreeSet<Vec<String>>,
    /// Whether nobody could look, so that there may be more.
    pub is_unknown: bool,
    /// What there is to say where there is no row.
    pub nothing: String,
}

impl Table {
    fn new(title: &'static str, head: Vec<&'static str>, rows: Vec<Vec<String>>, is_known: bool) -> Self {
        let nothing = if is_known { format!("no {title}") } else { format!("{title}: unknown") };
        Self { title, head, rows, bad: BTreeSet::new(), is_unknown: !is_known, nothing }
    }
}

/// Services, queues, dead letters and runs; whether services are heard.
pub fn tables(services: &[Instance], is_heard: bool, counts: &Counts, contracts: &Contracts) -> [Table; 4] {
    let or_dash = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
    let row = |instance: &Instance| {
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
    };
    let instances = services.iter().map(row);
    let failing = services.iter().filter(|instance| instance.is_failing).map(row).collect();
    // What nobody has ever used is no news.
    let is_news = |queue: &&Queue| queue.messages > 0 || queue.consumers.is_some_and(|consumers| consumers > 0);
    let queues = counts.others().filter(is_news).map(|queue| {
        let consumers = queue.consumers.map_or("-".to_owned(), |consumers| consumers.to_string());
        vec![queue.name.clone(), queue.messages.to_string(), consumers]
    });
    let is_known = counts.queues.is_some();
    let mut queues = Table::new("queues", vec!["queue", "messages", "consumers"], queues.collect(), is_known);
    // The embedded broker does not know who consumes.
    let are_consumers_known = counts.others().all(|queue| queue.consumers.is_some());
    match (counts.others().count(), are_consumers_known) {
        (0, _) => {}
        (1, true) => "the only queue holds no messages and has no consumers".clone_into(&mut queues.nothing),
        (1, false) => "the only queue holds no messages".clone_into(&mut queues.nothing),
        (all, true) => queues.nothing = format!("none of {all} queues holds messages or has consumers"),
        (all, false) => queues.nothing = format!("none of {all} queues holds messages"),
    }
    let letters = counts.letters().map(|queue| vec![queue.name.clone(), queue.messages.to_string()]);
    let cells = |(run, by): (&Run, Option<String>)| {
        let work = by.map(|by| format!("at work: {by}"));
        vec![run.id.clone(), timestamp(run.begun), work.unwrap_or_else(|| run.state.to_owned()), run.title.clone()]
    };
    let runs = counts.runs.iter().flatten().map(|run| cells((run, at_work(&run.id, services))));
    // Those that nobody lists.
    let mut others: Vec<&str> = services.iter().filter_map(|instance| instance.recipe_id.as_deref()).collect();
    others.sort_unstable();
    others.dedup();
    others.retain(|id| counts.runs.iter().flatten().all(|run| run.id != *id));
    let others = others.into_iter().map(|id| {
        let by = at_work(id, services).unwrap_or_default();
        vec![id.to_owned(), "-".to_owned(), format!("at work: {by}"), "-".to_owned()]
    });
    let mut runs = Table::new(
        "runs",
        vec!["run", "begun", "state", "recipes"],
        runs.chain(others).collect(),
        counts.runs.is_some(),
    );
    if counts.is_without_runs {
        "runs: not listed; the site has no logbook (`zocalo.dispatcher.logbook_location`)"
            .clone_into(&mut runs.nothing);
    }
    [
        Table {
            bad: failing,
            ..Table::new(
                "services",
                vec!["service", "host", "state", "busy", "queue", "recipe ID", "program"],
                instances.collect(),
                is_heard,
            )
        },
        queues,
        Table::new("dead letters", vec!["dead letters in", "messages"], letters.collect(), is_known),
        runs,
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
pub fn json(place: &str, services: Option<&[Instance]>, counts: &Counts, contracts: &Contracts) -> Value {
    let heard = services.unwrap_or_default();
    let text = |text: &str| Value::from(text);
    let instances = heard.iter().map(|instance| {
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
    let runs = counts.runs.iter().flatten().map(|run| {
        let begun = rfc_3339(run.begun);
        Value::from([
            ("id", text(&run.id)),
            ("begun", Value::from(begun)),
            ("state", text(run.state)),
            ("recipes", text(&run.title)),
            ("at_work", Value::from(at_work(&run.id, heard))),
        ])
    });
    let list = |is_known: bool, items: Vec<Value>| if is_known { Value::Array(items) } else { Value::Null };
    Value::from([
        ("version", Value::from(1)),
        ("broker", text(place)),
        ("services", list(services.is_some(), instances.collect())),
        ("queues", list(counts.queues.is_some(), counts.others().map(count).collect())),
        ("dead_letters", list(counts.queues.is_some(), counts.letters().map(count).collect())),
        ("runs", list(counts.runs.is_some(), runs.collect())),
        ("problems", Value::from(counts.problems.iter().map(|problem| problem.text.as_str()).collect::<Vec<_>>())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_ask_is_unknown_and_not_nothing() {
        let queue = |name: &str| Queue { name: name.to_owned(), consumers: Some(0), ..Queue::default() };
        let asked = |queues: Vec<Queue>| Counts { queues: Some(queues), runs: Some(Vec::new()), ..Counts::default() };
        let unknown = ["services: unknown", "queues: unknown", "dead letters: unknown", "runs: unknown"];
        let none = ["no services", "no queues", "no dead letters", "no runs"];
        let empty = ["no services", "none of 2 queues holds messages or has consumers", "no dead letters", "no runs"];
        let embedded = |name: &str| Queue { consumers: None, ..queue(name) };
        let uncounted = ["no services", "none of 2 queues holds messages", "no dead letters", "no runs"];
        for (is_heard, counts, said) in [
            (false, Counts::default(), unknown),
            (true, asked(Vec::new()), none),
            (true, asked(vec![queue("a"), queue("b"), queue("dlq.a")]), empty),
            (true, asked(vec![embedded("a"), embedded("b")]), uncounted),
        ] {
            let tables = tables(&[], is_heard, &counts, Contracts::built_in());
            assert_eq!(tables.each_ref().map(|table| table.nothing.as_str()), said);
            assert!(tables.iter().all(|table| table.is_unknown != is_heard));
            let document = json("here", is_heard.then_some(&[]), &counts, Contracts::built_in());
            for key in ["services", "queues", "dead_letters", "runs"] {
                assert_eq!(document.get(key).is_some_and(|part| part.as_array().is_some()), is_heard, "{key}");
            }
        }
    }
}
