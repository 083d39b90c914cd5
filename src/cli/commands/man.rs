//! `zrecipe man`: manual pages.

use std::path::{Path, PathBuf};

use crate::cli::{Error, Session, print, say};
use zrecipe_language::diagnostic::counted;

/// Print a manual page, or write all of them to a directory
///
/// For example, `zrecipe man check | man -l -` shows the page of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command and its subcommand; without them, the page of the program is printed.
    #[arg(value_name = "COMMAND", conflicts_with = "directory")]
    command: Vec<String>,
    /// Write the pages of all commands to this directory, for example `/usr/local/share/man/man1`.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, _: &Session) -> Result<(), Error> {
    let mut program = crate::cli::command();
    program.build();
    if let Some(directory) = &args.directory {
        let mut written = 0;
        write(&program, directory, &mut written)?;
        say(&format!("wrote {} to {}", counted(written, "page"), directory.display()));
        return Ok(());
    }
    let mut command = &program;
    for name in &args.command {
        command = command.find_subcommand(name).ok_or_else(|| {
            Error::new(format!("there is no command `{}`", args.command.join(" ")))
                .hint("`zrecipe help` lists commands")
        })?;
    }
    print(&page(command)?)
}

fn write(command: &clap::Command, directory: &Path, written: &mut usize) -> Result<(), Error> {
    std::fs::create_dir_all(directory).map_err(|error| cannot(directory, &error))?;
    let path = directory.join(format!("{}.1", name(command)));
    std::fs::write(&path, page(command)?).map_err(|error| cannot(&path, &error))?;
    *written += 1;
    let subcommands = command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help");
    subcommands.into_iter().try_for_each(|subcommand| write(subcommand, directory, written))
}

fn cannot(path: &Path, error: &std::io::Error) -> Error {
    Error::new(format!("cannot write {}: {error}", path.display()))
}

/// The name of a page: `zrecipe-dlq-list`.
fn name(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &clap::Command) -> Result<String, Error> {
    let mut text = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    man.render(&mut text).map_err(|error| Error::new(format!("cannot write the page: {error}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
