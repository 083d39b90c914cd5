//! `zrecipe lsp`: the language server.

use crate::cli::{Error, Session, say_error};
use crate::lsp::{End, serve_stdio};

/// Run the language server on standard input and output (Language Server Protocol)
///
/// Editors start it; `editors/` in the source has configurations for them. Paths in the files of a workspace are
/// followed only inside the workspace, unless the editor marks the workspace as trusted
/// (`initializationOptions.trusted`). Paths from `--site`, `--broker` and ZOCALO_CONFIG are always followed.
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
