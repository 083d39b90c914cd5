//! Runs, as far as the embedded broker of this machine or the logbook of a site's dispatcher has them.

use std::path::Path;
use std::time::SystemTime;

use super::{Environment, say_only_read};
use crate::cli::error::Error;
use crate::cli::terminal::say;
use crate::cli::time::timestamp;
use zrecipe_runtime::ops::logbook;
use zrecipe_runtime::runtime::LOGBOOK;
use zrecipe_runtime::runtime::run::{Listed, Runs};

/// A run, as far as the broker or the logbook knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The recipe ID.
    pub id: String,
    /// `dispatched` where nobody knows more.
    pub state: &'static str,
    /// What was asked for.
    pub title: String,
    /// When it began.
    pub begun: SystemTime,
}

impl Environment {
    /// The latest runs, so many and the newest first: those of the embedded broker, or what the logbook of a site's
    /// dispatcher says; nothing where the site names none.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn runs(&self, most: usize) -> Result<Option<Vec<Run>>, Error> {
        let Some(directory) = self.directory() else {
            let Some(directory) = self.storage(LOGBOOK) else { return Ok(None) };
            // A logbook is large and often far away.
            let listed = tokio::task::spawn_blocking(move || logbook::latest(&directory, most)).await;
            let listed = listed.map_err(|error| Error::new(error.to_string()))??;
            let dispatched =
                |run: logbook::Listed| Run { id: run.id, state: "dispatched", title: run.title, begun: run.dispatched };
            return Ok(Some(listed.into_iter().map(dispatched).collect()));
        };
        let (runs, _) = Runs::open_to_read(directory).await?;
        let listed = runs.list().await?;
        runs.close().await?;
        let run = |run: Listed| Run { state: run.state(), id: run.id, title: run.title, begun: run.created };
        Ok(Some(listed.into_iter().rev().take(most).map(run).collect()))
    }

    /// The runs of this machine that have dead letters, which no queue of the embedded broker holds: each run has its own.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn runs_with_letters(&self) -> Result<Vec<(String, u64)>, Error> {
        let Some(directory) = self.directory() else { return Ok(Vec::new()) };
        let (runs, _) = Runs::open_to_read(directory).await?;
        let listed = runs.list().await?;
        runs.close().await?;
        Ok(listed.into_iter().filter(|run| run.census.dead > 0).map(|run| (run.id, run.census.dead)).collect())
    }
}

/// The runs of a state directory, to look at them; says what is missing of them, as far as that is known.
///
/// # Errors
/// They cannot be read.
pub async fn runs_to_read(directory: &Path) -> Result<Runs, Error> {
    let (runs, why) = Runs::open_to_read(directory).await?;
    if let Some(why) = why {
        say_only_read(&why.to_string());
    }
    if let Some((count, noticed)) = runs.losses().await? {
        say(&format!("warning: {}", loss(count, noticed)));
    }
    Ok(runs)
}

/// What a loss of transactions means.
pub fn loss(count: u64, noticed: SystemTime) -> String {
    let transactions = if count == 1 { "transaction" } else { "transactions" };
    let noticed = timestamp(noticed);
    format!(
        "{count} {transactions} of the database were lost, detected {noticed}: its write-ahead log is truncated or \
         belongs to another database, so runs and messages may be missing"
    )
}
