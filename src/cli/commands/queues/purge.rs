//! `zrecipe queues purge`: throws away what waits in queues.

use crate::cli::broker::EnvironmentArgs;
use crate::cli::confirm::confirm;
use crate::cli::executor::block_on;
use crate::cli::{Error, Session, print, say};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::value::Value;

/// Delete the waiting messages of queues, after asking for confirmation.
///
/// Deleted messages cannot be recovered. To move them to another queue instead, use `zrecipe drain QUEUE OTHER`. To
/// save dead letters to files, use `zrecipe dlq purge`. To see the messages first, use `zrecipe peek`. Messages that
/// services currently hold are not deleted. Queues must be named in full; patterns are not accepted. Without a
/// terminal, `--yes` is required.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The queues.
    #[arg(value_name = "QUEUE", required = true)]
    queues: Vec<String>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
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
    block_on(async {
        let transport = environment.connect("queues purge", &[]).await?;
        let mut waiting = Vec::new();
        for queue in &args.queues {
            waiting.push((queue, transport.waiting(queue).await?.messages));
        }
        let is_worth = waiting.iter().any(|(_, count)| *count > 0);
        let what: Vec<String> = waiting.iter().map(|(queue, count)| format!("{count} of `{queue}`")).collect();
        if is_worth {
            let question = format!("Messages to delete on {}: {}.", environment.place(), what.join(", "));
            if args.yes {
                say(&question);
            }
            confirm(&question, args.yes)?;
        }
        let mut purged = Vec::new();
        for queue in &args.queues {
            let count = transport.purge(queue).await?;
            let are = if count == 1 { "is" } else { "are" };
            let gone = counted(count, "message");
            say(&format!("{gone} of {queue} {are} deleted"));
            purged.push((queue.clone(), Value::from(i64::try_from(count).unwrap_or(i64::MAX))));
        }
        transport.close().await?;
        if args.json {
            print(&(Value::Object(purged.into_iter().collect()).to_json_pretty() + "\n"))?;
        }
        Ok(())
    })
}
