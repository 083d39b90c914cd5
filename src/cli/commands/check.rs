//! `zrecipe check`: everything that can be said about recipes before they run.

mod file;
mod ledger;
mod output;
mod unusable;
mod watch;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::files::{Input, gather};
use crate::cli::{Error, LevelArgs, ParameterArgs, Session, Used, difference, file_report, say};
use file::{Alone, Checked, Memory, check, look, say_undone, write_back};
use ledger::{Ledger, read_baseline};
use output::{Output, inside, repository};
use unusable::{tell_unusable, usable};
use watch::keep_checking;
use zrecipe_language::diagnostic::counted;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::report::{FORMATS, FileReport, Report, format};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::project::each_in_order;
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
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    if args.watch { keep_checking(args, session) } else { check_all(args, session, &mut None) }
}

fn check_all(args: &Args, session: &Session, memory: &mut Option<Memory>) -> Result<(), Error> {
    let mut inputs = gather(&args.paths, &args.stdin_filename)?;
    let baselines = [&args.baseline, &args.write_baseline, &session.settings.baseline];
    let baselines: Vec<PathBuf> = baselines.into_iter().flatten().map(|path| plain(path)).collect();
    inputs.retain(|input| {
        !baselines.iter().any(|baseline| input.path.as_ref().is_some_and(|path| plain(path) == *baseline))
    });
    let chosen = format(&args.format).ok_or_else(|| Error::new(format!("there is no format `{}`", args.format)))?;
    // Standard output belongs to the fixed text of standard input, or to the diff.
    let aside = args.fixes() && !args.diff && inputs.iter().any(|input| input.path.is_none());
    let terminal = if aside { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
    let style = session.style(args.output.is_none() && terminal);
    let mut report = Report::new(chosen, style);
    let root = repository(&args.format);
    let mut output = match (&args.output, args.diff, aside) {
        (_, true, _) => Output::Nowhere,
        (None, false, true) => Output::Aside,
        (path, ..) => Output::open(path.as_deref())?,
    };
    let levels = args.levels.read()?;
    let known = read_baseline(args, session)?;
    let mut ledger = Ledger { writes: args.write_baseline.is_some(), known, ..Ledger::default() };
    let parameters = args.parameters.given()?;
    let unusable = tell_unusable(session.usable_contracts().1, &inputs);
    let (settled, broken) = match session.settled() {
        Ok(()) => (Ok(None::<()>), None),
        Err((error, path)) => (Err(error), Some(path.to_owned())),
    };
    let (_, no_settings) = usable(settled, broken.as_slice(), &inputs);
    let site = session.site_files();
    let (_, no_site) = usable(session.recipe_names(), &site, &inputs);
    let (_, no_broker) = usable(session.topology(), session.broker_paths(), &inputs);
    let request = CheckOptions {
        parameters: parameters.as_ref(),
        kind: args.kind.as_deref().and_then(DocumentKind::parse),
        levels: Some(&levels),
        ..CheckOptions::default()
    };
    output.write(&report.begin())?;
    let (mut unreadable, mut unwritable, mut passed_over) = (0, 0, 0);
    let (mut fixes, mut changed) = (0, 0);
    let mut used = Used::default();
    let check = |input: &Input, set| check(input, session, args, CheckOptions { set, ..request });
    let (set, alone) = look(&inputs, args, session, memory.as_ref(), request.parameters, |input| check(input, None))?;
    let set = (inputs.len() > 1).then_some(&set);
    let inputs: Vec<(&Input, Option<Alone>)> = inputs.iter().zip(alone).collect();
    each_in_order(
        &inputs,
        |(input, alone)| match alone {
            Some(alone) if !set.is_some_and(|set| set.contradicts(&alone.facts)) => Ok(Arc::clone(&alone.checked)),
            _ => check(input, set).map(|(before, fixed)| Arc::new(Checked::new(before, fixed, request.parameters))),
        },
        |(input, _), result| {
            match result {
                Ok(checked) if input.found && !checked.is_ours => passed_over += 1,
                Ok(checked) => {
                    if args.diff {
                        let (before, after) = (Arc::clone(&checked.before), Arc::clone(&checked.after));
                        crate::cli::print(&difference(&input.name, before, after, style.colour))?;
                    } else if args.fixes()
                        && let Err(error) = write_back(input, &checked)?
                    {
                        unwritable += 1;
                        say(&format!("error: {error}"));
                        return Ok::<(), Error>(());
                    }
                    used.extend(&checked.used);
                    fixes += checked.applied;
                    changed += usize::from(checked.applied > 0);
                    say_undone(&checked);
                    let diagnostics = ledger.enter(&input.name, &checked.diagnostics);
                    let renamed = root.as_deref().filter(|_| !diagnostics.is_empty());
                    let renamed = renamed.and_then(|root| Some(checked.shown.under(inside(root, &input.name)?)));
                    let (source, dropped) = (renamed.as_ref().unwrap_or(&checked.shown), checked.dropped);
                    let is_recipe = checked.kind == DocumentKind::Recipe;
                    let text = report.file(&FileReport { source, diagnostics: &diagnostics, dropped, is_recipe });
                    if !text.is_empty() {
                        output.write(&text)?;
                    }
                }
                Err(error) => {
                    unreadable += 1;
                    report.unread();
                    say(&format!("error: {error}"));
                    if session.library()?.names().contains(&input.name) {
                        say(&format!("  help: `{}` is the name of a recipe; `check` takes files", input.name));
                    }
                }
            }
            Ok(())
        },
    )?;
    // What could not be read may use any.
    if unreadable == 0 {
        for compilation in session.compile_given(&args.parameters, &used, Some(&levels))? {
            let diagnostics = ledger.enter(compilation.source.name(), &compilation.diagnostics);
            output.write(&report.file(&FileReport { diagnostics: &diagnostics, ..file_report(&compilation) }))?;
        }
    }
    if let Some(memory) = memory {
        let kept = inputs.into_iter().filter_map(|(input, alone)| Some((input.path.clone()?, alone?)));
        *memory = kept.collect();
    }
    let summary = *report.summary();
    // Without any recipe "nothing found" would be the wrong thing to say to people.
    let says_nothing = args.format == "human" && (summary.files == 0 || args.write_baseline.is_some());
    if !says_nothing {
        output.write(&report.end())?;
    }
    output.close()?;
    if args.statistics {
        ledger.statistics.lines().iter().for_each(|line| say(line));
    }
    // The report for people ends with the summary itself, and the JSON document holds it.
    if !args.diff && (args.output.is_some() || !matches!(args.format.as_str(), "human" | "json")) {
        say(&summary.to_string());
    }
    match passed_over {
        0 => {}
        1 => say("passed over 1 file of another kind"),
        more => say(&format!("passed over {more} files of other kinds")),
    }
    let is_blind = unreadable + unusable > 0 || no_settings || no_site || no_broker;
    if let Some(path) = args.write_baseline.as_ref().filter(|_| !is_blind) {
        let mut file = Output::open(Some(path))?;
        file.write(&ledger.written.to_text())?;
        file.close()?;
        say(&format!("wrote {} to {}", counted(ledger.written.count(), "finding"), path.display()));
    }
    let left = ledger.left;
    match ledger.taken {
        0 => {}
        1 => say("1 known finding is not shown"),
        more => say(&format!("{more} known findings are not shown")),
    }
    match left {
        0 => {}
        1 => say("1 known finding does not occur any more; `--write-baseline` forgets it"),
        more => say(&format!("{more} known findings do not occur any more; `--write-baseline` forgets them")),
    }
    if fixes > 0 {
        let verb = if args.diff { "would fix" } else { "fixed" };
        say(&format!("{verb} {} in {}", counted(fixes, "finding"), counted(changed, "file")));
    }
    let failed = if args.diff { changed } else { summary.errors };
    match (unreadable, failed) {
        (0, _) if unwritable > 0 => Err(Error::new(format!("{} could not be written", counted(unwritable, "file")))),
        (0, _) if unusable > 0 => Err(Error::new(format!("{} could not be used", counted(unusable, "contract")))
            .hint("`contracts` in zrecipe.toml names what has to be a contract")),
        (0, _) if no_settings => Err(Error::new("the settings could not be used")),
        (0, _) if no_site => Err(Error::new("the site configuration could not be used")),
        (0, _) if no_broker => Err(Error::new("the broker configuration could not be used")),
        (0, _) if summary.files == 0 => Err(Error::new("there is no recipe or configuration in what was given")),
        (0, 0) => Ok(()),
        (0, _) => Err(Error::findings()),
        (1, _) => Err(Error::new("1 file could not be read")),
        (more, _) => Err(Error::new(format!("{more} files could not be read"))),
    }
}
