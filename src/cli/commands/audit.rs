//! `zrecipe audit`: whether every message is accounted for.

mod balance;

use crate::cli::{Error, Session};

/// Account for every message that the broker accepted
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Balance(balance::Args),
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    match &args.command {
        Command::Balance(args) => balance::run(args, session),
    }
}
