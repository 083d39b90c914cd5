//! `zrecipe broker diff`: what `apply` would change.

use super::compare::{Compared, compare_with};
use crate::cli::{Error, Session};

/// Show what `apply` would change, without changing anything
///
/// `+` marks objects to create, `~` to change, `±` to delete and recreate, `-` to delete. `!` marks objects that stay
/// unchanged, with the reason and what to do. Policies, queues, exchanges and bindings that the file does not describe
/// are deleted. Users, virtual hosts and permissions are deleted only if the file describes any of their kind.
/// Temporary objects, `amq.*` and the virtual host `/` are never deleted.
///
/// The command queries the broker through its management API, which the site configures in a block of the plugin
/// `rabbitmqapi`.
///
/// Exit codes: 0 no difference, 1 differences, 2 the broker or the file could not be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    compared: Compared,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    compare_with(&args.compared, session, None)
}
