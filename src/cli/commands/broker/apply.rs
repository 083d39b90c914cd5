//! `zrecipe broker apply`: the broker changed to what a configuration describes.

use super::compare::{Compared, compare_with};
use crate::cli::{Error, Session};

/// Change the broker to what the file describes, after showing the changes and asking
///
/// First everything is made and changed, then what is too much is removed, so that no message is without a queue in
/// between. A queue with messages or consumers is never removed unless that is said twice: `--recreate QUEUE` (or
/// `--remove QUEUE` for one that the file does not describe) and `--discard-messages`. Applying twice changes nothing
/// the second time, and after an interruption it can be called again.
///
/// Exit codes: 0 the broker is as described, 1 something was left as it is or refused, 2 could not do it.
#[derive(Debug, clap::Args)]
#[command(after_help = "At night: `zrecipe broker diff FILE` first. Lines with `!` say what stands in the way.")]
pub struct Args {
    #[command(flatten)]
    compared: Compared,
    /// Do not ask. Without a terminal nothing is changed unless this is given.
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    compare_with(&args.compared, session, Some(args.yes))
}
