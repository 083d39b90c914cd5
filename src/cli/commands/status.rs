//! `zrecipe status`: who is at work, and what waits.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::cli::broker::EnvironmentArgs;
use crate::cli::executor::block_on;
use crate::cli::overview::{Counts, Problem, json, subscription, tables};
use crate::cli::table::align;
use crate::cli::{Error, Session, print, say, say_error};
use zrecipe_broker::transport::{Settlement, Transport, Verdict};
use zrecipe_runtime::ops::services::Services;

/// Show services, queues, dead letters and runs
///
/// Services of zrecipe and of the Python packages broadcast their status every six seconds; the command waits for these
/// broadcasts and prints them. A service that is not in the table is not running, or not connected to this broker.
/// `busy` is the fraction of the last ten seconds in which a service was not idle. The queue of a service comes from
/// its contract, because Python services do not report theirs. Queues come from RabbitMQ's management API (plugin
/// `rabbitmqapi` of the site) or from the embedded broker.
///
/// The latest 20 runs are listed: those of this machine, or with a site those in the logbook of its dispatcher
/// (`zocalo.dispatcher.logbook_location`). The logbook only records that a run was dispatched; `zrecipe show ID` shows
/// details of a run.
///
/// `zrecipe monitor` shows the same continuously. `zrecipe doctor` shows problems and how to fix them.
///
/// A value that could not be read is `unknown`, and `null` in JSON, never 0.
///
/// Exit codes: 0 all values were read, 2 some could not be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Seconds to wait for status broadcasts of services.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 7.0)]
    wait: f64,
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
    let contracts = session.contracts()?;
    let wait = Duration::try_from_secs_f64(args.wait).map_err(|_| Error::new("`--wait` is a number of seconds"))?;
    let (services, counts) = block_on(async {
        let transport = environment.connect("status", &[]).await?;
        let (services, mut counts) = tokio::join!(listen(&*transport, wait), Counts::read(&environment, &*transport));
        // Where the broker takes nothing no service can tell how it is. It reads nothing of ours after that, either.
        let services = match transport.try_send(Duration::ZERO).await {
            Err(error @ zrecipe_broker::transport::Error::Blocked(_)) => Err(error),
            _ => services,
        };
        let services = services.map(Some).unwrap_or_else(|error| {
            counts.problems.push(Problem::new("services", &error.into()));
            None
        });
        transport.close().await?;
        Ok((services.map(|services| services.list()), counts))
    })?;
    for problem in &counts.problems {
        say_error(&format!("error: {}", problem.text));
        problem.help.iter().for_each(|help| say_error(&format!("  help: {help}")));
    }
    // Whoever asks what is wrong must not take what nobody knows for nothing.
    let ended = if counts.problems.is_empty() { Ok(()) } else { Err(Error::exit(2)) };
    if args.json {
        let document = json(&environment.place(), services.as_deref(), &counts, contracts);
        print(&(document.to_json_pretty() + "\n"))?;
        return ended;
    }
    let mut texts = Vec::new();
    for table in tables(services.as_deref().unwrap_or_default(), services.is_some(), &counts, contracts) {
        if table.rows.is_empty() {
            say(&table.nothing);
            continue;
        }
        let mut rows = vec![table.head.iter().map(|head| (*head).to_owned()).collect()];
        rows.extend(table.rows);
        texts.push(align(&rows));
    }
    print(&texts.join("\n"))?;
    ended
}

/// What services say in this time.
async fn listen(transport: &dyn Transport, wait: Duration) -> Result<Services, zrecipe_broker::transport::Error> {
    let (begun, mut services) = (Instant::now(), Services::default());
    let mut deliveries = transport.subscribe(subscription()).await?;
    while let Ok(Some(delivery)) = timeout_at(begun + wait, deliveries.next()).await {
        services.hear(&delivery.body, begun.elapsed());
        transport.settle(&delivery, Settlement::of(Verdict::Accept)).await?;
    }
    Ok(services)
}
