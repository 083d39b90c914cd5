//! `zrecipe dlq check`: how many dead letters each queue has.

use crate::cli::broker::EnvironmentArgs;
use crate::cli::broker::queues::no_such_queue;
use crate::cli::executor::block_on;
use crate::cli::letters::{NONE, tell_of_runs};
use crate::cli::table::align;
use crate::cli::{Error, Session, print, say};
use zrecipe_broker::message::{dead_letter_queue, is_dead_letter_queue};
use zrecipe_language::value::Value;
use zrecipe_runtime::ops::management::Queue;

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Queues, with or without the prefix `dlq.`; defaults to all dead-letter queues.
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Virtual host of RabbitMQ, or prefix of ActiveMQ, instead of that of the site.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn check(args: &Check, session: &Session) -> Result<(), Error> {
    let namespace = args.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    let environment = args.environment.in_namespace(namespace).read(session)?;
    let counts: Vec<(String, i64)> = block_on(async {
        let wanted: Vec<String> = args.queues.iter().map(|name| dead_letter_queue(name)).collect();
        let all = match environment.queues_unless_named(&wanted).await? {
            Some(queues) => queues,
            None => environment.ask_for_queues(&wanted).await?,
        };
        if let Some(missing) = wanted.iter().find(|name| all.iter().all(|queue| queue.name != **name)) {
            return Err(no_such_queue(missing, &all));
        }
        let is_meant = |name: &String| {
            if wanted.is_empty() { is_dead_letter_queue(name) } else { wanted.contains(name) }
        };
        let mut all: Vec<Queue> = all.into_iter().filter(|queue| is_meant(&queue.name)).collect();
        // Statistics lag; what the broker counts does not, but is without what consumers hold.
        environment.refresh(&mut all).await?;
        let mut counts: Vec<(String, i64)> = all.into_iter().map(|queue| (queue.name, queue.messages)).collect();
        counts.retain(|(_, count)| *count > 0);
        if wanted.is_empty() {
            tell_of_runs(&environment).await?;
        }
        Ok(counts)
    })?;
    if args.json {
        let counts = counts.iter().map(|(queue, count)| (queue.clone(), Value::from(*count))).collect();
        print(&(Value::Object(counts).to_json_pretty() + "\n"))?;
    } else if counts.is_empty() {
        say(NONE);
    } else {
        let rows: Vec<[String; 2]> = counts.iter().map(|(queue, count)| [count.to_string(), queue.clone()]).collect();
        print(&align(&rows))?;
    }
    if counts.is_empty() { Ok(()) } else { Err(Error::findings()) }
}
