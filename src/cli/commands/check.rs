//! `zrecipe check`: everything that can be said about recipes before they run.

mod outcome;
mod output;
mod statistics;
mod unusable;
mod watch;

use std::path::PathBuf;

use crate::cli::{Error, LevelArgs, ParameterArgs, Session};
use outcome::Outcome;
use watch::keep_checking;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::fix::Which;
use zrecipe_language::report::FORMATS;
use zrecipe_project::batch::{Batch, Memory};
use zrecipe_project::files::{Input, gather};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::settings::plain;

/// Check recipes and configurations: every problem at once, at its place, with a way out
///
/// Contracts, site and broker configurations, plugin blocks, requests and zrecipe.toml are checked as well.
///
/// Exit code 0: nothing at error level. 1: something is, or `--diff` has something to show. 2: a file could not be
/// read or written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, directories or patterns such as `recipes/**/*.json`; `-` reads standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// What to call standard input in messages.
    #[arg(long, value_name = "NAME", default_value = "<stdin>")]
    stdin_filename: String,
    /// What the files are; without it, their content says it.
    #[arg(long, value_name = "KIND", value_parser = DocumentKind::ALL.map(DocumentKind::name))]
    kind: Option<String>,
    /// How to write findings.
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = FORMATS.iter().map(|f| f.name).collect::<Vec<_>>())]
    format: String,
    /// Apply the safe fixes and report what is left; standard input is written to standard output.
    #[arg(long)]
    fix: bool,
    /// Apply the fixes that ask to be looked at as well, or with `--diff` show them.
    #[arg(long)]
    unsafe_fixes: bool,
    /// Show what the fixes would change, and write and report nothing.
    #[arg(long, conflicts_with_all = ["output", "statistics", "write_baseline"])]
    diff: bool,
    /// Write the report to this file, which appears when it is whole.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say how many findings of each rule there are, and how many of them have a fix.
    #[arg(long)]
    statistics: bool,
    #[command(flatten)]
    parameters: ParameterArgs,
    #[command(flatten)]
    levels: LevelArgs,
    /// Say nothing of the findings that are known in this file; without it, `baseline` of zrecipe.toml.
    #[arg(long, value_name = "FILE", conflicts_with = "write_baseline")]
    baseline: Option<PathBuf>,
    /// Write all findings into a baseline file.
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
    /// Check again whenever a file changes, until interrupted.
    #[arg(long, conflicts_with_all = ["output", "write_baseline"])]
    watch: bool,
}

impl Args {
    fn fixes(&self) -> bool {
        self.fix || self.unsafe_fixes
    }

    /// The fixes to apply, or to show.
    fn which(&self) -> Option<Which> {
        let which = if self.unsafe_fixes { Which::All } else { Which::Safe };
        Some(which).filter(|_| self.fixes() || self.diff)
    }

    /// The files to check: those that the arguments name, without baselines.
    fn inputs(&self, session: &Session) -> Result<Vec<Input>, Error> {
        let mut inputs =
            gather(&self.paths, &self.stdin_filename, |path| session.kind_of(path).is_some()).map_err(Error::new)?;
        let baselines = [&self.baseline, &self.write_baseline, &session.settings.baseline];
        let baselines: Vec<PathBuf> = baselines.into_iter().flatten().map(|path| plain(path)).collect();
        inputs.retain(|input| !input.path.as_ref().is_some_and(|path| baselines.contains(&plain(path))));
        Ok(inputs)
    }
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    if args.watch { keep_checking(args, session) } else { check_all(args, session, &mut None) }
}

/// Checks all files once.
fn check_all(args: &Args, session: &Session, memory: &mut Option<Memory>) -> Result<(), Error> {
    let inputs = args.inputs(session)?;
    let levels = args.levels.read(&session.settings)?;
    let parameters = args.parameters.given()?;
    let mut outcome = Outcome::begin(args, session, &inputs)?;
    let request = CheckOptions {
        parameters: parameters.as_ref(),
        kind: args.kind.as_deref().and_then(DocumentKind::parse),
        levels: Some(&levels),
        ..CheckOptions::default()
    };
    let batch = Batch { project: &session.project, request, fixes: args.which() };
    batch.check(&inputs, memory, |input, result| match result {
        Ok(checked) => outcome.checked(input, checked),
        Err(error) => outcome.unreadable(input, &error),
    })?;
    // The report is whole whatever happens.
    let given = outcome.parameters(&levels);
    let ended = outcome.end();
    given.and(ended)
}
