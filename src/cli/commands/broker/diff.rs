//! `zrecipe broker diff`: what `apply` would change.

use super::compare::{Compared, compare_with};
use crate::cli::{Error, Session};

/// Show what `apply` would change; changes nothing
///
/// `+` is made, `~` changed, `±` removed and made anew, `-` removed, and `!` left as it is, with the reason and what
/// to do. Policies, queues, exchanges and bindings that the broker has and the file does not describe are removed;
/// users, virtual hosts and permissions only where any are given. What is temporary, `amq.*` and the virtual host
/// `/` stay.
///
/// The broker is asked by its management API, which a block of plugin `rabbitmqapi` in the site names.
///
/// Exit codes: 0 no difference, 1 there is one, 2 could not tell.
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
