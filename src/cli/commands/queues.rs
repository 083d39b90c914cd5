//! `zrecipe queues`: what stands in the queues of a broker.

mod purge;

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::cli::broker::queues::no_such_queue;
use crate::cli::broker::{Environment, EnvironmentArgs};
use crate::cli::executor::block_on;
use crate::cli::table::{align, duration};
use crate::cli::{Error, Session, print, say};
use zrecipe_broker::message::{dead_letter_queue, is_dead_letter_queue, source_of_dead_letters};
use zrecipe_language::value::Value;
use zrecipe_project::pattern::{Pattern, has_wildcard};
use zrecipe_runtime::ops::management::{Queue, STATISTICS_AGE};

/// Show queues with message counts, rates, ages and consumers
///
/// Queues with most messages come first. `ready` counts messages that wait for delivery, and `unacked` those that a
/// service currently holds. `in/s` and `out/s` are the rates of published and acknowledged messages per second.
/// `oldest` is the age of the first message, and `dead` counts the messages in `dlq.<queue>`. `-` means that the broker
/// does not provide the value: RabbitMQ before version 4 has no age for quorum queues, and the embedded broker does not
/// count consumers.
///
/// If `ready` grows and `consumers` is 0, the service is not running. If `unacked` does not change and `out/s` is 0,
/// the service hangs. If `dead` is not 0, run `zrecipe dlq diagnose`.
///
/// On RabbitMQ, `ready` and `consumers` are current counts, queried over AMQP. All other values are statistics of the
/// management API, at least 5 s old. The environment configures that API in a block of the plugin `rabbitmqapi`;
/// without one, name the queues.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Names or patterns such as `runner.*`; defaults to all queues except `amq.*`, which are private to programs.
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Sort order.
    #[arg(long, value_name = "BY", default_value = "messages")]
    sort: Sort,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// Most messages first.
    Messages,
    /// Most dead letters first.
    Dead,
    /// Oldest message first.
    Oldest,
    /// Highest rate of published messages first.
    Rate,
    /// By name.
    Name,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Purge(purge::Args),
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    match &args.command {
        Some(Command::Purge(args)) => purge::run(args, session),
        None => list(args, session),
    }
}

/// A queue in the list.
struct Row {
    queue: Queue,
    /// How many dead letters it has.
    dead: i64,
}

/// How many queues a note names.
const FEW: usize = 5;

fn list(args: &Args, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let wanted = args.queues.iter().map(|pattern| Ok((pattern.as_str(), matcher(pattern)?)));
    let wanted: Vec<(&str, Pattern)> = wanted.collect::<Result<_, Error>>()?;
    let queues = block_on(find(&environment, &args.queues))?;
    for (pattern, matcher) in &wanted {
        if !queues.iter().any(|queue| matcher.is_match(&queue.name)) {
            return Err(if has_wildcard(pattern) {
                Error::new(format!("no queue matches `{pattern}`")).hint("`zrecipe queues` lists all")
            } else {
                no_such_queue(pattern, &queues)
            });
        }
    }
    let mut rows = rows(queues, |name| {
        if wanted.is_empty() { None } else { Some(wanted.iter().any(|(_, matcher)| matcher.is_match(name))) }
    });
    rows.sort_by(|a, b| a.queue.name.cmp(&b.queue.name));
    let rate = |row: &Row| row.queue.incoming.unwrap_or(0.0);
    match args.sort {
        Sort::Name => {}
        Sort::Messages => rows.sort_by_key(|row| std::cmp::Reverse(row.queue.messages)),
        Sort::Dead => rows.sort_by_key(|row| std::cmp::Reverse(row.dead)),
        Sort::Oldest => rows.sort_by_key(|row| (row.queue.oldest.is_none(), row.queue.oldest)),
        Sort::Rate => rows.sort_by(|a, b| rate(b).total_cmp(&rate(a))),
    }
    let now = SystemTime::now();
    if args.json {
        let is_exact = environment.capabilities().is_exact;
        let rows = rows.iter().map(|row| json(row, now, is_exact)).collect();
        let document = Value::from([("version", Value::from(1)), ("queues", Value::Array(rows))]);
        return print(&(document.to_json_pretty() + "\n"));
    }
    if rows.is_empty() {
        say(&format!("{} has no queues", environment.place()));
        return Ok(());
    }
    let mut table =
        vec![["queue", "ready", "unacked", "in/s", "out/s", "consumers", "oldest", "dead"].map(str::to_owned)];
    table.extend(rows.iter().map(|row| cells(row, now)));
    print(&align(&table))?;
    if !environment.capabilities().is_exact && rows.iter().any(|row| row.queue.unacknowledged.is_some()) {
        let age = STATISTICS_AGE.as_secs();
        let current =
            if rows.iter().all(|row| row.queue.is_current) { "; `ready` and `consumers` are current" } else { "" };
        say(&format!("note: `unacked`, `in/s`, `out/s` and `oldest` are statistics, {age} s old or older{current}"));
    }
    let is_left =
        |row: &&Row| row.queue.ready > 0 && row.queue.consumers == Some(0) && !is_dead_letter_queue(&row.queue.name);
    let left: Vec<String> = rows.iter().filter(is_left).map(|row| format!("`{}`", row.queue.name)).collect();
    if !left.is_empty() {
        let more = if left.len() > FEW { format!(" and {} more", left.len() - FEW) } else { String::new() };
        let few = left.iter().take(FEW).map(String::as_str).collect::<Vec<_>>().join(", ");
        say(&format!("note: no consumers for {few}{more}"));
    }
    Ok(())
}

fn matcher(pattern: &str) -> Result<Pattern, Error> {
    Pattern::of_name(pattern).map_err(Error::new)
}

/// The queues of the broker; without the management API those with these names, and their dead letters.
async fn find(environment: &Environment, names: &[String]) -> Result<Vec<Queue>, Error> {
    let names: Vec<&String> =
        if names.iter().any(|name| has_wildcard(name)) { Vec::new() } else { names.iter().collect() };
    if let Some(mut queues) = environment.queues_unless_named(&names).await? {
        if let Err(error) = environment.refresh(&mut queues).await {
            say(&format!("warning: {}; all numbers are statistics of the management API", error.message()));
        }
        return Ok(queues);
    }
    let mut queues = environment.ask_for_queues(&names).await?;
    for name in names.into_iter().filter(|name| !is_dead_letter_queue(name)) {
        // Not every queue has one.
        queues.extend(environment.ask_for_queues(&[dead_letter_queue(name)]).await.unwrap_or_default());
    }
    Ok(queues)
}

/// What is shown. Dead letters stand with the queue that they are of; their own queue is shown where that one is not
/// there, or where it is asked for.
fn rows(queues: Vec<Queue>, is_wanted: impl Fn(&str) -> Option<bool>) -> Vec<Row> {
    let dead: BTreeMap<String, i64> = queues
        .iter()
        .filter_map(|queue| Some((source_of_dead_letters(&queue.name)?.to_owned(), queue.messages)))
        .collect();
    let names: Vec<String> = queues.iter().map(|queue| queue.name.clone()).collect();
    let is_shown = |queue: &Queue| match (is_wanted(&queue.name), source_of_dead_letters(&queue.name)) {
        (Some(wanted), _) => wanted,
        (None, Some(of)) => !names.iter().any(|name| name == of),
        // Those that programs have for themselves go with them.
        (None, None) => !queue.name.starts_with("amq."),
    };
    let shown = queues.into_iter().filter(is_shown);
    shown.map(|queue| Row { dead: dead.get(&queue.name).copied().unwrap_or(0), queue }).collect()
}

fn cells(row: &Row, now: SystemTime) -> [String; 8] {
    let dash = || "-".to_owned();
    let count = |count: Option<i64>| count.map_or_else(dash, |count| count.to_string());
    let rate = |rate: Option<f64>| rate.map_or_else(dash, |rate| format!("{rate:.1}"));
    let queue = &row.queue;
    let oldest = queue.oldest.map(|oldest| now.duration_since(oldest).unwrap_or_default());
    [
        queue.name.clone(),
        queue.ready.to_string(),
        count(queue.unacknowledged),
        rate(queue.incoming),
        rate(queue.outgoing),
        count(queue.consumers),
        oldest.map_or_else(dash, duration),
        row.dead.to_string(),
    ]
}

fn json(row: &Row, now: SystemTime, is_exact: bool) -> Value {
    let queue = &row.queue;
    let rate = |rate: Option<f64>| rate.map_or(Value::Null, Value::from);
    let oldest = queue.oldest.and_then(|oldest| now.duration_since(oldest).ok());
    let statistics_age = if is_exact { Value::Null } else { Value::from(STATISTICS_AGE.as_secs_f64()) };
    Value::from([
        ("name", Value::from(queue.name.as_str())),
        ("messages", Value::from(queue.messages)),
        ("ready", Value::from(queue.ready)),
        ("unacknowledged", Value::from(queue.unacknowledged)),
        ("in_per_second", rate(queue.incoming)),
        ("out_per_second", rate(queue.outgoing)),
        ("consumers", Value::from(queue.consumers)),
        ("oldest_seconds", rate(oldest.map(|age| age.as_secs_f64()))),
        ("dead", Value::from(row.dead)),
        ("is_current", Value::Bool(queue.is_current)),
        ("statistics_age_seconds", statistics_age),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_have_for_themselves_is_shown_where_it_is_asked_for() {
        let names = ["images", "dlq.images", "dlq.gone", "amq.gen-x"];
        let queues = || names.iter().map(|name| Queue { name: (*name).to_owned(), ..Queue::default() }).collect();
        let shown = |is_wanted: fn(&str) -> Option<bool>| {
            rows(queues(), is_wanted).into_iter().map(|row| row.queue.name).collect::<Vec<_>>()
        };
        assert_eq!(shown(|_| None), ["images", "dlq.gone"]);
        assert_eq!(shown(|name| Some(name.starts_with("amq."))), ["amq.gen-x"]);
    }
}
