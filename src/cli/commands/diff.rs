//! `zrecipe diff`: what a change of recipes and services means.

use std::path::PathBuf;

use crate::cli::impact::{ExitCode, FORMATS, render, summary};
use crate::cli::target::OutputArgs;
use crate::cli::{Error, Session, say};
use zrecipe_project::comparison::{self, State, compare};
use zrecipe_project::revision;

/// Compare two states of recipes and services by their meaning
///
/// A state is a file, a directory, a git revision (`main`, `HEAD~1`: the working directory in that revision) or
/// `REVISION:PATH`. Steps are matched by their function, not by their numbers. Layout and the order of keys are
/// ignored. `!` marks a breaking change and lists what it affects: recipes, running requests, and callers in Python
/// code, shell scripts and request files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The older state.
    #[arg(value_name = "OLD")]
    old: String,
    /// The newer state; defaults to the working tree.
    #[arg(value_name = "NEW")]
    new: Option<String>,
    /// Also search these directories and files for programs that start recipes (repeatable).
    #[arg(long = "callers", value_name = "PATH")]
    callers: Vec<PathBuf>,
    /// Output format of the changes.
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = FORMATS)]
    format: String,
    /// Exit with code 1 if there is a change; with `=breaking`, only if a change breaks something.
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "any")]
    exit_code: Option<ExitCode>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let here =
        std::env::current_dir().map_err(|error| Error::new(format!("cannot use the working directory: {error}")))?;
    let given = session.common.given();
    let old = State::open(&args.old, &here, &given)?;
    // `REVISION:PATH` against the same path today.
    let same_path = || match args.old.split_once(':') {
        Some((_, path)) if old.commit().is_some() => path.to_owned(),
        _ => String::new(),
    };
    let new = State::open(&args.new.clone().unwrap_or_else(same_path), &here, &given)?;
    for warning in old.warnings.iter().chain(&new.warnings) {
        say(&format!("warning: {warning}"));
    }
    for state in [&old, &new] {
        for unusable in state.project.usable_contracts().1 {
            say(&format!("warning: {} ({})", unusable.why, state.name));
        }
    }
    if old.documents().is_empty() && new.documents().is_empty() && old.own_contracts().max(new.own_contracts()) == 0 {
        return Err(Error::new(format!("there are no recipes and no contracts in `{}` and `{}`", old.name, new.name)));
    }
    let report = compare(&old, &new, &new.callers(&args.callers)?);
    args.output.print(&render(&report, &args.format))?;
    say(&summary(&report));
    args.exit_code.map_or(Ok(()), |when| when.apply(&report))
}

impl From<comparison::Error> for Error {
    fn from(error: comparison::Error) -> Self {
        let shown = Self::new(error.to_string());
        match error {
            comparison::Error::Revision(error) => error.into(),
            comparison::Error::Library(error) => error.into(),
            comparison::Error::Unreadable { .. } | comparison::Error::Settings(_) => shown,
        }
    }
}

impl From<revision::Error> for Error {
    fn from(error: revision::Error) -> Self {
        let shown = Self::new(error.to_string());
        match error {
            revision::Error::NoGit(_) => shown.hint("install git, or compare two directories"),
            revision::Error::NoRepository(_) => {
                shown.hint("change to a directory of the repository, or compare two directories")
            }
            revision::Error::NoRevision(_) => shown.hint(
                "`git branch --all` and `git log` list revisions; a shallow clone has few: `git fetch --unshallow`",
            ),
            revision::Error::NoContent { .. } => {
                shown.hint("the clone is partial: `git fetch --refetch --no-filter` fetches all files")
            }
            revision::Error::Failed { .. } | revision::Error::Unwritable { .. } => shown,
        }
    }
}
