//! `zrecipe broker`: what a broker configuration amounts to, and bringing a broker to that.

#[cfg(feature = "runtime")]
mod apply;
#[cfg(feature = "runtime")]
mod compare;
mod described;
#[cfg(feature = "runtime")]
mod diff;
mod plan;

#[cfg(not(feature = "runtime"))]
use crate::cli::absent::Absent;
use crate::cli::{Error, Session};

/// Compare a broker with a configuration, and apply the configuration
///
/// The configuration is a file for `zocalo.configure_rabbitmq`. `plan` shows what the file describes, `diff` shows how
/// the broker differs from it, and `apply` changes the broker.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Plan(plan::Args),
    #[cfg(feature = "runtime")]
    Diff(diff::Args),
    #[cfg(feature = "runtime")]
    Apply(apply::Args),
    #[cfg(not(feature = "runtime"))]
    #[command(hide = true)]
    Diff(Absent),
    #[cfg(not(feature = "runtime"))]
    #[command(hide = true)]
    Apply(Absent),
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    match &args.action {
        Action::Plan(args) => plan::run(args, session),
        #[cfg(feature = "runtime")]
        Action::Diff(args) => diff::run(args, session),
        #[cfg(feature = "runtime")]
        Action::Apply(args) => apply::run(args, session),
        #[cfg(not(feature = "runtime"))]
        Action::Diff(args) => Err(args.refuse("broker diff")),
        #[cfg(not(feature = "runtime"))]
        Action::Apply(args) => Err(args.refuse("broker apply")),
    }
}
