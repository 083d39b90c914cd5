//! `zrecipe resume`: goes on with a run that was interrupted.

use crate::cli::executor::block_on;
use crate::cli::progress::{default_places, work};
use crate::cli::{Error, Session, say};
use zrecipe_runtime::runtime::run::Runs;

/// Resume an interrupted run without repeating finished steps
#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID of the run, or its first characters.
    #[arg(value_name = "ID")]
    id: String,
    /// Maximum number of steps that run in parallel; defaults to the number of processors.
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let state = session.state_directory()?;
    let places = args.jobs.unwrap_or_else(default_places).max(1);
    block_on(async {
        let runs = Runs::open(&state).await?;
        let run = runs.find(&args.id).await?;
        run.take().await?;
        let over = run.is_over().await?;
        let state = if over { ", which is already finished" } else { "" };
        say(&format!("run {} of {}{state}", run.plan.id, run.plan.title));
        work(session, &runs, &run, places).await
    })
}
