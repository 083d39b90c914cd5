//! `zrecipe broker apply`: the broker changed to what a configuration describes.

use super::compare::{Compared, compare_with};
use crate::cli::{Error, Session};

/// Apply the configuration to the broker, after showing the changes and asking for confirmation
///
/// Objects are created and changed first, then superfluous ones are deleted, so no message is without a queue in
/// between. A queue that holds messages or has consumers is deleted only with both `--recreate QUEUE` (or `--remove
/// QUEUE` if the file does not describe it) and `--discard-messages`. Applying the same file again changes nothing.
/// After an interruption, run the command again.
///
/// Exit codes: 0 the broker matches the file, 1 something was left unchanged or refused, 2 the broker or the file could
/// not be used.
#[derive(Debug, clap::Args)]
#[command(after_help = "For scheduled jobs, run `zrecipe broker diff FILE` first. Lines with `!` describe obstacles.")]
pub struct Args {
    #[command(flatten)]
    compared: Compared,
    /// Do not ask for confirmation. Required to make changes if there is no terminal.
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
