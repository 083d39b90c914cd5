//! `zrecipe audit balance`: what became of all messages, by recipe ID.

use std::path::PathBuf;

use crate::cli::broker::EnvironmentArgs;
use crate::cli::executor::block_on;
use crate::cli::table::align;
use crate::cli::time::timestamp;
use crate::cli::{Error, Session, print, say};
use zrecipe_broker::books::{Account, Missing};
use zrecipe_language::value::Value;
use zrecipe_runtime::books;

/// Account for every message that the broker accepted, by recipe ID
///
/// Every message that the broker accepted is finished, dead-lettered, queued, held by a service, or was removed by a
/// command such as `zrecipe dlq purge`. Any other message is missing: something other than zrecipe removed it, for
/// example another program or an edit of the database. The command prints the queue and the recipe step of each missing
/// message.
///
/// The embedded broker keeps its records in its database for 7 days. With a site, services and commands keep records in
/// their state directory (`books`), and the broker reports its queue lengths. Use `--books DIR` to add the directory of
/// services on another machine. If a queue also has a consumer without records, such as a Python service, missing
/// messages cannot be detected there.
///
/// Exit codes: 0 no message is missing, 1 messages are missing, 2 the broker or the records could not be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Columns: accepted = finished + dead + queued + running + removed + missing.
Messages without a recipe, such as requests to the dispatcher, are counted under `-`.")]
pub struct Args {
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// List finished recipe IDs as well.
    #[arg(long)]
    all: bool,
    /// Additional state directory with records of services (repeatable; with a site).
    #[arg(long, value_name = "DIR")]
    books: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub(super) fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let own = session.state_directory()?.join(books::DIRECTORY);
    let books: Vec<PathBuf> = std::iter::once(own).chain(args.books.iter().cloned()).collect();
    let accounts = block_on(environment.accounts(&books))?;
    let total = Account::total(&accounts);
    if args.json {
        let list = Value::Array(accounts.iter().map(json).collect());
        let document = Value::from([("version", Value::from(1)), ("total", json(&total)), ("accounts", list)]);
        print(&(document.to_json_pretty() + "\n"))?;
    } else {
        print(&table(&accounts, &total, args.all))?;
    }
    for (account, missing) in accounts.iter().flat_map(|account| account.missing.iter().map(move |m| (account, m))) {
        say(&format!("missing: {}", describe(account, missing)));
    }
    if total.missing.is_empty() { Ok(()) } else { Err(Error::exit(1)) }
}

fn table(accounts: &[Account], total: &Account, all: bool) -> String {
    let heads = ["recipe", "accepted", "finished", "dead", "queued", "running", "removed", "missing"];
    let row = |name: &str, account: &Account| {
        let Account { accepted, finished, dead, queued, running, removed, .. } = account;
        let counts = [accepted, finished, dead, queued, running, removed].map(ToString::to_string);
        let mut cells = vec![name.to_owned()];
        cells.extend(counts);
        cells.push(account.missing.len().to_string());
        cells
    };
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let shown = accounts.iter().filter(|account| all || !account.is_finished());
    rows.extend(shown.map(|account| row(account.recipe_id.as_deref().unwrap_or("-"), account)));
    rows.push(row("total", total));
    align(&rows)
}

fn json(account: &Account) -> Value {
    let count = |count: u64| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
    let missing = account.missing.iter().map(|missing| {
        Value::from([
            ("id", Value::from(missing.id.as_str())),
            ("queue", Value::from(missing.queue.as_str())),
            ("step", Value::from(missing.step)),
        ])
    });
    Value::from([
        ("recipe_id", account.recipe_id.as_deref().map_or(Value::Null, Value::from)),
        ("accepted", count(account.accepted)),
        ("finished", count(account.finished)),
        ("dead", count(account.dead)),
        ("queued", count(account.queued)),
        ("running", count(account.running)),
        ("removed", count(account.removed)),
        ("missing", Value::Array(missing.collect())),
    ])
}

/// A missing message and its last known step.
fn describe(account: &Account, missing: &Missing) -> String {
    let Missing { id, queue, step, accepted } = missing;
    let run = account.recipe_id.as_ref().map_or_else(String::new, |recipe| format!(" of recipe ID {recipe}"));
    let step = step.map_or_else(String::new, |step| format!(", step {step}"));
    format!("message {id}{run}{step}, last in queue `{queue}`, accepted {}", timestamp(*accepted))
}
