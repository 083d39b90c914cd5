//! `zrecipe peek`: the first messages of a queue, which stay there.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::broker::{Environment, EnvironmentArgs, worn};
use crate::cli::letters::{name, parts, shown, step_text};
use crate::cli::progress::{block_on, timestamp};
use crate::cli::{Error, Session, plain, print, say};
use crate::ops::dead_letters::{Fate, Letter, Look, look};
use crate::ops::management::Queue;
use crate::value::Value;

/// Show the first messages of a queue, which stay there; passwords are left out
///
/// The embedded broker is only read. RabbitMQ has no way to do that: the messages are delivered to us and go back, in a
/// classic queue to their places, in a quorum queue perhaps to the end. They are marked `redelivered` from then on, and
/// in a quorum queue before RabbitMQ 4.3 each look counts as one delivery. A message that would pass the queue's delivery limit by it, and so die, is put
/// back as a copy at the end of the queue, with the count at nothing. What the limit is says the management API (a block
/// of the plugin `rabbitmqapi`) or, where there is none, `--delivery-limit`. A queue with a limit of 0 is not looked into.
///
/// Messages that services hold are not seen: `zrecipe queues` counts them as `unacked`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The queue.
    #[arg(value_name = "QUEUE")]
    queue: String,
    /// How many messages.
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
    /// How often a message may come back to the queue before it dies, where no management API says it.
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
    let seen = block_on(see(args, &environment))?;
    if args.json {
        let seen = seen.iter().map(|seen| {
            let shown = shown(&seen.letter);
            let part = |key: &str| shown.get(key).cloned().unwrap_or_default();
            let sent =
                jiff::Timestamp::try_from(seen.letter.sent).map_or(Value::Null, |time| Value::from(time.to_string()));
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
        say(&format!("nothing waits in {}", args.queue));
    }
    let mut text = String::new();
    for seen in &seen {
        let _ = writeln!(text, "{}", name(&seen.letter));
        let _ = writeln!(text, "  sent    {}", timestamp(seen.letter.sent));
        let _ = writeln!(text, "  delivered {} times before", seen.deliveries);
        let _ = writeln!(text, "  step    {}", plain(&step_text(&seen.letter)));
        text.push_str(&parts(&shown(&seen.letter)));
    }
    print(&text)
}

async fn see(args: &Args, environment: &Environment) -> Result<Vec<Seen>, Error> {
    let most = usize::from(args.count);
    if let Some(stored) = environment.read_queue(&args.queue, most).await? {
        let seen = stored.into_iter().map(|stored| {
            let (id, queue) = (Some(stored.id), Some(stored.queue));
            let letter = Letter { queue, id, headers: stored.headers, body: stored.body, sent: stored.sent };
            Seen { letter, deliveries: stored.deliveries }
        });
        return Ok(seen.collect());
    }
    let worn = match (environment.queue(&args.queue).await?, args.delivery_limit) {
        (Some(queue), _) => worn(&queue)?,
        (None, Some(limit)) => worn(&Queue { name: args.queue.clone(), limit: Some(limit), ..Queue::default() })?,
        (None, None) => {
            let text = format!("nothing says how often a message may come back to `{}` before it dies", args.queue);
            return Err(Error::new(text)
                .hint("add a block of the plugin `rabbitmqapi` to the environment, and the management API says it")
                .hint(
                    "`--delivery-limit N` says it: see `x-delivery-limit` among the queue's arguments, and its policy",
                ));
        }
    };
    let transport = environment.connect("peek", &[]).await?;
    let mut seen = Vec::new();
    // How many there are is not asked first: a busy RabbitMQ says 0 of a queue that does not answer at once.
    let wait = Duration::from_secs(1);
    look(&*transport, &args.queue, Look { wait, most, worn }, |delivery| {
        let deliveries = delivery.deliveries.saturating_sub(1);
        seen.push(Seen { letter: Letter::of(delivery), deliveries });
        Ok::<_, Error>(Fate::Stays)
    })
    .await?;
    transport.close().await?;
    Ok(seen)
}
