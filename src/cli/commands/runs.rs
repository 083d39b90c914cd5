//! `zrecipe runs`: the runs there have been.

use std::io::IsTerminal as _;

use crate::cli::broker::runs::runs_to_read;
use crate::cli::executor::block_on;
use crate::cli::table::{align, fit};
use crate::cli::terminal::columns;
use crate::cli::time::{rfc_3339, timestamp};
use crate::cli::{Error, Session, print, say};
use zrecipe_language::value::Value;
use zrecipe_runtime::runtime::run::Listed;

/// List runs, oldest first
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let state = session.state_directory()?;
    let listed = block_on(async {
        let runs = runs_to_read(&state).await?;
        let listed = runs.list().await?;
        runs.close().await?;
        Ok(listed)
    })?;
    if args.json {
        let listed = listed.iter().map(|run| {
            let census = run.census;
            let count = |n: u64| Value::from(n as i64);
            Value::from([
                ("id", Value::from(run.id.as_str())),
                ("recipes", Value::from(run.title.as_str())),
                ("begun", Value::from(rfc_3339(run.created))),
                ("state", Value::from(run.state())),
                ("outstanding", count(census.ready + census.delayed + census.held)),
                ("dead", count(census.dead)),
            ])
        });
        let document = Value::from([("version", Value::from(1)), ("runs", Value::Array(listed.collect()))]);
        return print(&(document.to_json_pretty() + "\n"));
    }
    if listed.is_empty() {
        say("no runs yet; start one with `zrecipe run RECIPE`");
        return Ok(());
    }
    let mut rows = vec![["run", "recipes", "begun", "state", "outstanding", "dead"].map(str::to_owned)];
    for run in &listed {
        let outstanding = run.census.ready + run.census.delayed + run.census.held;
        rows.push([
            shortened(&run.id, &listed),
            run.title.clone(),
            timestamp(run.created),
            run.state().to_owned(),
            outstanding.to_string(),
            run.census.dead.to_string(),
        ]);
    }
    let width = columns().filter(|_| std::io::stdout().is_terminal());
    print(&align(&fit(rows, 1, width)))
}

/// The beginning of an ID that no other run has, as `show` and `resume` take it.
fn shortened(id: &str, runs: &[Listed]) -> String {
    let is_unique = |length: &usize| {
        let start = &id[..*length];
        runs.iter().all(|other| other.id == id || !other.id.starts_with(start))
    };
    let length = (8..id.len()).filter(|&length| id.is_char_boundary(length)).find(is_unique);
    length.map_or(id, |length| &id[..length]).to_owned()
}
