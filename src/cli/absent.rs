//! Commands that this build does not have.

use std::ffi::OsString;

use super::error::Error;

/// The arguments of such a command: whatever they are, the answer is the same.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Absent {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

impl Absent {
    /// The error of a command of this name.
    pub fn refuse(&self, command: &str) -> Error {
        let _ = &self.arguments;
        Error::new(format!(
            "`{command}` is not available in this build, which contains only the linter and the language server"
        ))
        .hint("install the full program on Linux: `pip install zrecipe`, or build it with the feature `runtime`")
    }
}
