//! `zrecipe config`: what a site configuration comes to.

mod show;

use crate::cli::{Error, Session};

/// Show the resolved site configuration of an environment
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(show::Args),
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let Command::Show(args) = &args.command;
    show::run(args, session)
}
