//! `zrecipe version`.

use crate::cli::{Error, Session, print};

/// Print the version
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(_: &Args, _: &Session) -> Result<(), Error> {
    print(&format!("zrecipe {}\n", env!("CARGO_PKG_VERSION")))
}
