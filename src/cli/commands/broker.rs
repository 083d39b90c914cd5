//! `zrecipe broker`: what a broker configuration amounts to, and bringing a broker to that.

mod apply;
mod compare;
mod described;
mod diff;
mod plan;

use crate::cli::{Error, Session};

/// Bring a broker to what a configuration describes, and see before what that changes
///
/// The configuration is the file that `zocalo.configure_rabbitmq` takes. `plan` shows what it describes, `diff` what
/// the broker has otherwise, and `apply` changes the broker.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Plan(plan::Args),
    Diff(diff::Args),
    Apply(apply::Args),
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    match &args.action {
        Action::Plan(args) => plan::run(args, session),
        Action::Diff(args) => diff::run(args, session),
        Action::Apply(args) => apply::run(args, session),
    }
}
