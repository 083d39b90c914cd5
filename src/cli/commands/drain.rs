//! `zrecipe drain`: moves the messages of one queue to another.

use std::time::Duration;

use crate::cli::broker::EnvironmentArgs;
use crate::cli::broker::queues::worn;
use crate::cli::executor::block_on_politely;
use crate::cli::{Error, Session, plain, print, say, say_error};
use zrecipe_broker::message::bounds::REPUBLISH_AFTER;
use zrecipe_broker::transport::Transport;
use zrecipe_language::value::Value;
use zrecipe_runtime::ops::drain::{Move, Plan, drain};

/// Move messages from one queue to another, or with `.` to the queues in their recipes
///
/// Messages are moved one at a time: each leaves its queue only when the broker has confirmed it in the other queue. No
/// message is lost if the command is interrupted by Ctrl-C, a signal or a crash. On RabbitMQ, a crash can leave one
/// message in both queues, with the same id; services of zrecipe process it once.
///
/// With `.`, each message is sent to the queue of its recipe step. A message that has no recipe, or whose queue does
/// not exist, stays in its queue. The command then prints the reason and exits with code 1.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Source queue.
    #[arg(value_name = "SRC")]
    source: String,
    /// Destination queue; `.` selects the queue of each message's recipe step.
    #[arg(value_name = "DEST")]
    destination: String,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Maximum number of messages per second; by default, as fast as they are confirmed.
    #[arg(long, value_name = "N", conflicts_with = "wait")]
    rate: Option<f64>,
    /// Seconds to wait between messages.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 0.0)]
    wait: f64,
    /// Maximum number of messages to move.
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// Stop after this many seconds without a message; 0 waits forever.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    stop: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let seconds = |seconds: f64| {
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| Error::new(format!("`{seconds}` is not a valid number of seconds")))
    };
    let pause = match args.rate {
        Some(rate) if rate > 0.0 => seconds(1.0 / rate)?,
        Some(rate) => return Err(Error::new(format!("`--rate` must be greater than 0, not `{rate}`"))),
        None => seconds(args.wait)?,
    };
    if args.source == args.destination {
        return Err(Error::new("source and destination are the same queue"));
    }
    let mut plan = Plan {
        source: args.source.clone(),
        destination: Some(args.destination.clone()).filter(|destination| destination != "."),
        pause,
        most: args.limit.unwrap_or(usize::MAX),
        stop: Some(seconds(args.stop)?).filter(|stop| !stop.is_zero()),
        worn: REPUBLISH_AFTER,
    };
    let mut moves: Vec<Value> = Vec::new();
    let (mut moved, mut stayed, mut closed) = (0, 0, Ok(()));
    let ended = block_on_politely(async |over| {
        if let Ok(Some(queue)) = environment.queue(&args.source).await {
            // What moves may be moved from a queue to which nothing may come back.
            plan.worn = worn(&queue).unwrap_or(REPUBLISH_AFTER);
        }
        let pour = async |transport: &dyn Transport| {
            let ended = drain(transport, &plan, over, |delivery, outcome| {
                let id = if delivery.has_own_id { delivery.id.as_str() } else { "a message without an id" };
                let (key, value) = match outcome {
                    Move::To(destination) => {
                        moved += 1;
                        if !args.json && closed.is_ok() {
                            closed = print(&(plain(&format!("{id} moved to {destination}")) + "\n"));
                        }
                        ("destination", destination.name().to_owned())
                    }
                    Move::Stays(reason) => {
                        stayed += 1;
                        say_error(&plain(&format!("error: {id} not moved: {reason}")));
                        ("error", reason.clone())
                    }
                };
                if args.json {
                    moves.push(Value::from([
                        ("id", Value::from(delivery.has_own_id.then_some(id))),
                        (key, Value::from(value)),
                    ]));
                }
            })
            .await;
            Ok(ended?)
        };
        environment.with_broker("drain", pour).await
    });
    if ended.is_ok() || moved + stayed > 0 {
        say(&format!("messages of {}: {moved} moved, {stayed} not moved", args.source));
    }
    if args.json {
        print(&(Value::Array(moves).to_json_pretty() + "\n"))?;
    }
    match ended? {
        false => Err(Error::new("interrupted")
            .hint("the other messages are in their queue; run the same command again to continue")),
        true if stayed > 0 => Err(Error::findings()),
        true => closed,
    }
}
