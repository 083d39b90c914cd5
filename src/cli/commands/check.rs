//! `zrecipe check`: everything that can be said about recipes before they run.
//!
//! | file | contents |
//! |---|---|
//! | `allow` | `--add-allow`: allow what is found now in the settings |
//! | `baseline` | what becomes of known findings |
//! | `outcome` | what a check shows and writes, file by file, and how it ends |
//! | `output` | the names that files have in a report |
//! | `resolved` | `--show-settings`: the settings that hold for a file |
//! | `since` | `--since REV`: only findings that a change brought |
//! | `statistics` | `--statistics`: findings per rule |
//! | `unusable` | what files are checked against and cannot be used |
//! | `watch` | `--watch`: check again when files change |

mod allow;
mod baseline;
mod outcome;
mod output;
mod resolved;
mod since;
mod statistics;
mod unusable;
mod watch;

use std::path::{Path, PathBuf};

use crate::cli::{Error, LevelArgs, ParameterArgs, Session};
use outcome::Outcome;
use watch::keep_checking;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::fix::Which;
use zrecipe_language::report::FORMATS;
use zrecipe_project::batch::{Batch, Memory};
use zrecipe_project::files::{Input, gather};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::paths::plain;
use zrecipe_project::selection::Selection;

/// Check recipes and configurations, and report findings with locations and fixes
///
/// It also checks contracts, site and broker configurations, plugin blocks, requests and zrecipe.toml.
///
/// Exit codes: 0 no errors found, 1 errors found, or `--diff` shows changes, 2 a file could not be read or written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, directories or patterns such as `recipes/**/*.json`; `-` reads standard input.
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<String>,
    /// File name to show in messages for standard input.
    #[arg(long, value_name = "NAME", default_value = "<stdin>")]
    stdin_filename: String,
    /// Kind of the files; detected from their content by default.
    #[arg(long, value_name = "KIND", value_parser = DocumentKind::ALL.map(DocumentKind::name))]
    kind: Option<String>,
    /// Output format of findings.
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = FORMATS.iter().map(|f| f.name).collect::<Vec<_>>())]
    format: String,
    /// Apply safe fixes and report the remaining findings; with standard input, write the result to standard output.
    #[arg(long)]
    fix: bool,
    /// Also apply unsafe fixes, which need a review, or show them with `--diff`.
    #[arg(long)]
    unsafe_fixes: bool,
    /// Show the changes that fixes would make, without writing files or reporting findings.
    #[arg(long, conflicts_with_all = ["output", "statistics", "write_baseline"])]
    diff: bool,
    /// Write the report to this file; the file appears only when it is complete.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the number of findings of each rule, and how many have a fix.
    #[arg(long)]
    statistics: bool,
    #[command(flatten)]
    parameters: ParameterArgs,
    #[command(flatten)]
    levels: LevelArgs,
    /// Hide findings recorded in this baseline file; defaults to `baseline` of zrecipe.toml.
    #[arg(long, value_name = "FILE", conflicts_with = "write_baseline", help_heading = "Old findings")]
    baseline: Option<PathBuf>,
    /// Write the findings to a baseline file; entries of files that are not checked are kept.
    #[arg(long, value_name = "FILE", help_heading = "Old findings")]
    write_baseline: Option<PathBuf>,
    /// Remove findings that no longer occur from the baseline, without adding any.
    #[arg(long, conflicts_with_all = ["write_baseline", "fix", "unsafe_fixes", "diff", "add_allow"], help_heading = "Old findings")]
    prune: bool,
    /// Show only findings added since this git revision, or since its common ancestor with HEAD.
    ///
    /// Both states are checked completely, each with its own settings, contracts and other files, so a new finding is
    /// shown in whichever file it is.
    #[arg(long, value_name = "REV", conflicts_with_all = ["baseline", "write_baseline", "prune", "watch", "fix", "unsafe_fixes", "diff"], help_heading = "Old findings")]
    since: Option<String>,
    /// Suppress each finding with a comment in the file, or with an entry in zrecipe.toml.
    #[arg(long, conflicts_with_all = ["write_baseline", "watch", "fix", "unsafe_fixes", "diff"], help_heading = "Old findings")]
    add_allow: bool,
    /// Exclude files and directories that match this pattern, with the syntax of `.gitignore` (repeatable); added to
    /// `exclude` of zrecipe.toml.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Apply `exclude` also to files given as arguments, for use in commit hooks.
    #[arg(long)]
    force_exclude: bool,
    /// Exit with code 0 even if there are errors.
    #[arg(long)]
    exit_zero: bool,
    /// Print the resolved settings and check nothing.
    #[arg(long)]
    show_settings: bool,
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

    /// Files of directories to read, by the settings and the command line.
    fn selection(&self, session: &Session, base: &Path) -> Result<Selection, Error> {
        let mut selection = session.settings.selection.clone();
        let malformed = |reason| {
            Error::new(format!("`--exclude` has a malformed pattern: {reason}"))
                .hint("write patterns as in `.gitignore`: `vendor/`, `*.lock.json`")
        };
        selection.exclude(base, &self.exclude).map_err(malformed)?;
        Ok(selection)
    }

    /// The files to check: those that the arguments name, without baselines.
    fn inputs(&self, session: &Session) -> Result<Vec<Input>, Error> {
        let selection = self.selection(session, &std::env::current_dir()?)?;
        let is_named = |path: &Path| session.kind_of(path).is_some();
        let mut inputs = gather(&self.paths, &self.stdin_filename, &selection, is_named)?;
        let baselines = [&self.baseline, &self.write_baseline, &session.settings.baseline];
        let baselines: Vec<PathBuf> = baselines.into_iter().flatten().map(|path| plain(path)).collect();
        inputs.retain(|input| {
            let Some(path) = &input.path else { return true };
            let is_excluded = self.force_exclude && selection.is_excluded(path);
            !is_excluded && (baselines.is_empty() || !baselines.contains(&plain(path)))
        });
        Ok(inputs)
    }
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    if args.show_settings {
        return resolved::show(args, session);
    }
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
    let given = outcome.settings().and_then(|()| outcome.parameters(&levels));
    let ended = outcome.end();
    given.and(ended)
}
