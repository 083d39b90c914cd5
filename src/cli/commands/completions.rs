//! `zrecipe completions`: completion scripts for shells.

use clap_complete::Shell;

use crate::cli::{Error, Session, print};

/// Print a completion script for a shell
///
/// bash: `zrecipe completions bash >~/.local/share/bash-completion/completions/zrecipe`
///
/// zsh: `zrecipe completions zsh >DIR/_zrecipe`, where DIR is in `fpath`
///
/// fish: `zrecipe completions fish >~/.config/fish/completions/zrecipe.fish`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, _: &Session) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::command(), "zrecipe", &mut script);
    print(&String::from_utf8_lossy(&script))
}
