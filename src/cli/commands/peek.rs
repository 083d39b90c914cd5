//! `zrecipe peek`: the first messages of a queue, which stay there.

use std::fmt::Write as _;

use tokio::sync::watch;

use crate::cli::broker::queues::worn;
use crate::cli::broker::{Environment, EnvironmentArgs};
use crate::cli::executor::block_on_politely;
use crate::cli::letters::{Heap, interrupted, name, parts, refuse_while_blocked, shown, step_text};
use crate::cli::time::timestamp;
use crate::cli::{Error, Session, plain, print, say};
use zrecipe_language::value::{Object, Value};
use zrecipe_runtime::ops::dead_letters::{Fate, Letter, Look, look};
use zrecipe_runtime::ops::management::Queue;

/// Show the first messages of a queue without removing them; passwords are hidden
///
/// On the embedded broker, messages are only read. RabbitMQ does not support that: messages are delivered to the
/// command and requeued. In a classic queue they return to their positions, in a quorum queue possibly to the end. They
/// are then marked `redelivered`, and in a quorum queue before RabbitMQ 4.3 each peek counts as one delivery. After
/// Ctrl-C and SIGTERM the messages are requeued in the same way; after SIGKILL they have one more delivery.
///
/// Peeking never dead-letters a message. If a message was redelivered twice, or has used half of the delivery limit of
/// the queue, it is replaced by a copy. The copy is at the end of the queue, with a count of 0. The limit is read from
/// the management API (a block of the plugin `rabbitmqapi`) or, without one, from `--delivery-limit`. The command does
/// not peek into a queue with a limit of 0.
///
/// Messages that services currently hold are not shown; `zrecipe queues` counts them as `unacked`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The queue.
    #[arg(value_name = "QUEUE")]
    queue: String,
    /// Number of messages to show.
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
    /// Delivery limit of the queue, if no management API is configured.
    #[arg(long, value_name = "N")]
    delivery_limit: Option<u32>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A message that was looked at.
struct Seen {
    letter: Letter,
    /// How often it has been delivered, this look apart.
    deliveries: u32,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let seen = block_on_politely(async |mut over| see(args, &environment, &mut over).await)?;
    if args.json {
        let seen = seen.iter().map(|seen| {
            let shown = shown(&seen.letter);
            let part = |key: &str| shown.get(key).cloned().unwrap_or_default();
            let sent = seen.letter.sent.and_then(|sent| jiff::Timestamp::try_from(sent).ok());
            let sent = sent.map_or(Value::Null, |time| Value::from(time.to_string()));
            Value::from([
                ("id", Value::from(seen.letter.id.clone())),
                ("sent", sent),
                ("deliveries", Value::from(i64::from(seen.deliveries))),
                ("header", part("header")),
                ("message", part("message")),
            ])
        });
        return print(&(Value::Array(seen.collect()).to_json_pretty() + "\n"));
    }
    if seen.is_empty() {
        say(&format!("no messages wait in {}", args.queue));
    }
    let mut text = String::new();
    for seen in &seen {
        let _ = writeln!(text, "{}", name(&seen.letter));
        let _ = writeln!(text, "  sent    {}", seen.letter.sent.map_or("?".to_owned(), timestamp));
        let _ = writeln!(text, "  delivered {} times before", seen.deliveries);
        let _ = writeln!(text, "  step    {}", plain(&step_text(&seen.letter)));
        text.push_str(&parts(&shown(&seen.letter)));
    }
    print(&text)
}

async fn see(args: &Args, environment: &Environment, over: &mut watch::Receiver<bool>) -> Result<Vec<Seen>, Error> {
    let most = usize::from(args.count);
    if let Some(stored) = environment.read_queue(&args.queue, most).await? {
        let seen = stored.into_iter().map(|stored| {
            let (id, queue) = (Some(stored.id), Some(stored.queue));
            let properties = Object::new();
            let letter =
                Letter { queue, id, properties, headers: stored.headers, body: stored.body, sent: Some(stored.sent) };
            Seen { letter, deliveries: stored.deliveries }
        });
        return Ok(seen.collect());
    }
    let worn = match (environment.queue(&args.queue).await?, args.delivery_limit) {
        (Some(queue), _) => worn(&queue)?,
        (None, Some(limit)) => worn(&Queue { name: args.queue.clone(), limit: Some(limit), ..Queue::default() })?,
        (None, None) => {
            let text = format!("the delivery limit of `{}` is unknown", args.queue);
            return Err(Error::new(text)
                .hint("add a block of the plugin `rabbitmqapi` to the environment, to query the limit")
                .hint(
                    "or give it with `--delivery-limit N`: see `x-delivery-limit` in the queue's arguments, and its \
                     policy",
                ));
        }
    };
    let heap = Heap { queue: args.queue.clone(), count: None, worn, meant: None };
    refuse_while_blocked(environment, &[heap]).await?;
    let look_at = Look::at(most, worn);
    let mut seen = Vec::new();
    let looked = environment.with_broker("peek", async |transport| {
        let looked = look(transport, &args.queue, look_at, over, |delivery| {
            let deliveries = delivery.deliveries.saturating_sub(1);
            seen.push(Seen { letter: Letter::of(delivery), deliveries });
            Ok::<_, Error>(Fate::Stays)
        });
        looked.await
    });
    if looked.await?.is_interrupted { Err(interrupted()) } else { Ok(seen) }
}
