//! `zrecipe dlq purge`: dead letters move to files.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::cli::broker::EnvironmentArgs;
use crate::cli::executor::block_on_politely;
use crate::cli::letters::{Heap, NONE, queues, refuse_while_blocked, seconds, tell_of_runs};
use crate::cli::{Error, Session, print, say};
use zrecipe_broker::transport::{Delivery, Transport};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::value::Value;
use zrecipe_runtime::ops::dead_letters::{Fate, Letter, Look, look, ready};

#[derive(Debug, clap::Args)]
pub(super) struct Purge {
    /// Queues, with or without the prefix `dlq.`; defaults to all dead-letter queues.
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Directory for the files; defaults to `zocalo.dlq.purge_location` of the site, then `DLQ`.
    #[arg(long, value_name = "DIR")]
    location: Option<PathBuf>,
    /// Seconds to wait for another letter after the last one; by default, stop after as many letters as the broker
    /// counts.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn purge(args: &Purge, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let location = args.location.clone().or_else(|| environment.storage("zocalo.dlq.purge_location"));
    let location = location.unwrap_or_else(|| PathBuf::from("DLQ"));
    let wait = args.wait.map(seconds).transpose()?;
    let mut written: Vec<(String, PathBuf)> = Vec::new();
    let purged = block_on_politely(async |mut over| {
        /// How often to look again where letters have come back.
        const ROUNDS: usize = 5;
        let over = &mut over;
        let move_to_files = async |transport: &dyn Transport| {
            let mut heaps = queues(args.queues.iter().collect(), &environment).await?;
            refuse_while_blocked(&environment, &heaps).await?;
            let mut connection = transport.connection();
            let (mut taken, mut known) = (HashSet::new(), HashSet::new());
            for _ in 0..ROUNDS {
                for heap in &heaps {
                    let Heap { queue, count, worn, .. } = heap;
                    let is_empty = match count {
                        Some(0) => heap.ready(transport).await? == 0,
                        Some(_) => false,
                        // There may be no such queue.
                        None => heap.ready(transport).await.map(|_| false)?,
                    };
                    if is_empty {
                        continue;
                    }
                    let before = written.len();
                    let purge = |delivery: &Delivery| {
                        // What was acknowledged on a connection that is lost may come again.
                        if connection.has_changed().unwrap_or(false) {
                            connection.mark_unchanged();
                            taken.clear();
                        }
                        let path = Letter::of(delivery).write(&location, delivery.came_before, &taken)?;
                        taken.insert(path.clone());
                        let path = std::path::absolute(&path).unwrap_or(path);
                        if known.insert(path.clone()) {
                            if !args.json {
                                print(&format!("{}\n", path.display()))?;
                            }
                            written.push((queue.clone(), path));
                        }
                        Ok::<_, Error>(Fate::Goes)
                    };
                    let all = Look { wait, is_only_look: false, ..Look::at(usize::MAX, *worn) };
                    let seen = look(transport, queue, all, over, purge).await;
                    if written.len() > before {
                        let count = written.len() - before;
                        let are = if count == 1 { "is" } else { "are" };
                        say(&format!("{} of {queue} {are} in {}", counted(count, "dead letter"), location.display()));
                    }
                    if seen?.is_interrupted {
                        return Err(Error::new("interrupted")
                            .hint("the other letters are in their queues; run the same command again to continue"));
                    }
                }
                // A broker that has died forgets what it was told last.
                let mut rest = Vec::new();
                for heap in heaps {
                    if ready(transport, &heap.queue).await?.messages > 0 {
                        rest.push(heap);
                    }
                }
                heaps = rest;
            }
            if args.queues.is_empty() { tell_of_runs(&environment).await } else { Ok(()) }
        };
        environment.with_broker("dlq purge", move_to_files).await
    });
    if args.json {
        let files = written.iter().map(|(queue, path)| {
            Value::from([
                ("queue", Value::from(queue.as_str())),
                ("file", Value::from(path.to_string_lossy().into_owned())),
            ])
        });
        print(&(Value::Array(files.collect()).to_json_pretty() + "\n"))?;
    } else if written.is_empty() && purged.is_ok() {
        say(NONE);
    }
    purged
}
