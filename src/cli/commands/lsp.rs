//! `zrecipe lsp`: the language server.

use crate::cli::{Error, Session, say_error};
use crate::lsp::{End, serve_stdio};

/// Serve an editor over standard input and output (Language Server Protocol)
///
/// Editors start it themselves: `editors/` in the source has configurations. What the files of a workspace name counts
/// only inside of the workspace, unless the editor says that it is trusted (`initializationOptions.trusted`); what
/// `--site`, `--broker` and ZOCALO_CONFIG name always does.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Standard input and output are always used; editors like to say so.
    #[arg(long, hide = true)]
    stdio: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(_args: &Args, session: &Session) -> Result<(), Error> {
    match serve_stdio(session.common.given()).map_err(Error::new)? {
        End::Orderly => Ok(()),
        End::Abrupt | End::Orphaned => Err(Error::findings()),
        End::Unreadable(why) => {
            say_error(&format!("error: {why}"));
            Err(Error::findings())
        }
    }
}
