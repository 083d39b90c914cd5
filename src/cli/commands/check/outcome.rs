//! What a check shows and writes, file by file, and how it ends.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;

use super::allow::Suppressor;
use super::baseline::Writing;
use super::output::inside;
use super::statistics::Statistics;
use super::{Args, baseline, unusable};
use crate::cli::files::{replace, whereabouts};
use crate::cli::target::Output;
use crate::cli::terminal::{is_quiet, say_verbose};
use crate::cli::{Error, Session, difference, file_report, print, say, say_error};
use zrecipe_language::compile::Compilation;
use zrecipe_language::diagnostic::{Diagnostic, Level, counted};
use zrecipe_language::document::DocumentKind;
use zrecipe_language::guard::guarded;
use zrecipe_language::lint::{self, Levels};
use zrecipe_language::report::{FORMATS, FileReport, Format, Report, Style, Summary, format};
use zrecipe_language::source::Source;
use zrecipe_project::batch::Checked;
use zrecipe_project::files::Input;
use zrecipe_project::judge::Used;
use zrecipe_project::known::{Found, Ledger};

/// How many of a file's fixes that were not applied are named.
const MAX_UNDONE: usize = 10;

/// The state of a check.
pub(super) struct Outcome<'c> {
    args: &'c Args,
    session: &'c Session,
    style: Style,
    report: Report,
    format: &'static Format,
    /// The directory from which the readers of the format count paths, if it is not the working directory.
    root: Option<PathBuf>,
    output: Output,
    ledger: Ledger,
    writing: Writing,
    /// With `--add-allow`.
    suppressor: Option<Suppressor>,
    statistics: Statistics,
    used: Used,
    /// Why the check is incomplete, beside files that cannot be read.
    unusable: Vec<Error>,
    /// Whether the settings cannot be used, and nothing has said so yet: their file is checked itself.
    is_unexplained: bool,
    unreadable: usize,
    unwritable: usize,
    skipped: usize,
    /// Fixes that were applied, and the files that they changed.
    fixes: usize,
    changed: usize,
}

impl<'c> Outcome<'c> {
    /// Begins the report, and reports what files cannot be checked against.
    pub(super) fn begin(args: &'c Args, session: &'c Session, inputs: &[Input]) -> Result<Self, Error> {
        let chosen = format(&args.format).ok_or_else(|| Error::new(format!("there is no format `{}`", args.format)))?;
        // Standard output belongs to the fixed text of standard input, or to the diff.
        let aside = args.fixes() && !args.diff && inputs.iter().any(|input| input.path.is_none());
        let terminal = if aside { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        let style = session.style(args.output.is_none() && terminal);
        let output = match (&args.output, args.diff, aside) {
            (_, true, _) => Output::Nowhere,
            (None, false, true) => Output::Aside,
            (path, ..) => Output::open(path.as_deref())?,
        };
        let (ledger, writing) = baseline::open(args, session)?;
        let broken = session.settled().err().map(|(_, path)| path.to_owned());
        let is_unexplained = broken.is_some() && unusable::is_checked(broken.as_slice(), inputs);
        let mut outcome = Self {
            args,
            session,
            style,
            report: Report::new(chosen, style),
            format: chosen,
            root: super::output::root(chosen),
            output,
            ledger,
            writing,
            suppressor: args.add_allow.then(Suppressor::default),
            statistics: Statistics::default(),
            used: Used::default(),
            unusable: unusable::tell(session, inputs),
            is_unexplained,
            unreadable: 0,
            unwritable: 0,
            skipped: 0,
            fixes: 0,
            changed: 0,
        };
        outcome.output.write(&outcome.report.begin())?;
        Ok(outcome)
    }

    /// Takes a checked file: shows or writes its fixes, and reports its findings.
    pub(super) fn checked(&mut self, input: &Input, checked: &Checked) -> Result<(), Error> {
        if self.is_skipped(input, checked) {
            self.skipped += usize::from(input.found);
            return Ok(());
        }
        if self.args.diff {
            let (before, after) = (Arc::clone(&checked.before), Arc::clone(&checked.after));
            print(&difference(&input.name, before, after, self.style.colour))?;
        } else if self.args.fixes()
            && let Err(error) = write_back(input, checked)?
        {
            self.unwritable += 1;
            say_error(&format!("error: {error}"));
            return Ok(());
        }
        self.used.extend(&checked.used);
        self.fixes += checked.applied;
        self.changed += usize::from(checked.applied > 0);
        say_undone(checked);
        if checked.kind == DocumentKind::Settings && has_error(&checked.diagnostics) {
            self.is_unexplained = false;
        }
        let diagnostics = self.ledger.enter(&checked.found(&input.name));
        self.statistics.add(&diagnostics);
        if let Some(suppressor) = &mut self.suppressor
            && let Err(error) = suppressor.enter(input, checked, &diagnostics)
        {
            self.unwritable += 1;
            say_error(&format!("error: {error}"));
        }
        let renamed = self.root.as_deref().filter(|_| !diagnostics.is_empty());
        let renamed = renamed.and_then(|root| Some(checked.shown.under(inside(root, &input.name)?)));
        let (source, dropped) = (renamed.as_ref().unwrap_or(&checked.shown), checked.dropped);
        let is_recipe = checked.kind == DocumentKind::Recipe;
        self.write(&FileReport { source, diagnostics: &diagnostics, dropped, is_recipe })
    }

    /// Whether a file is left out because it belongs to another program. One that is named is mentioned.
    fn is_skipped(&self, input: &Input, checked: &Checked) -> bool {
        let is_said = |path: &PathBuf| self.session.kind_of(path).is_some();
        let is_forced = self.args.kind.is_some() || input.path.as_ref().is_some_and(is_said);
        if is_forced || if input.found { checked.is_ours } else { checked.is_meant } {
            return false;
        }
        let line = || format!("skipped {}: it is not a recipe or configuration", input.name);
        if input.found {
            say_verbose(line);
        } else {
            say(&format!("{}; use `--kind recipe` to check it anyway", line()));
        }
        true
    }

    /// Takes a file that cannot be read.
    pub(super) fn unreadable(&mut self, input: &Input, error: &str) -> Result<(), Error> {
        self.unreadable += 1;
        self.report.unread();
        // Nobody has named the file, so the report says that it was left out.
        if input.found {
            let source = Source::from_text(&input.name, "");
            let found = [lint::unreadable(error)];
            let found = Found { name: &input.name, diagnostics: &found, silenced: &[], dropped: 1 };
            let diagnostics = self.ledger.enter(&found);
            let file = FileReport { source: &source, diagnostics: &diagnostics, dropped: 0, is_recipe: false };
            return self.write(&file);
        }
        say_error(&format!("error: {error}"));
        if self.session.library().is_ok_and(|library| library.names().contains(&input.name)) {
            say_error(&format!("  help: `{}` is the name of a recipe; `check` takes files", input.name));
        } else if let Some(hint) = input.path.as_deref().and_then(whereabouts) {
            say_error(&format!("  help: {hint}"));
        }
        Ok(())
    }

    /// Reports the given parameters that no recipe uses. A file that cannot be read may use any.
    pub(super) fn parameters(&mut self, levels: &Levels) -> Result<(), Error> {
        if self.unreadable > 0 {
            return Ok(());
        }
        for compilation in self.session.compile_given(&self.args.parameters, &self.used, Some(levels))? {
            let Compilation { diagnostics, silenced, dropped, .. } = &compilation;
            let name = compilation.source.name();
            let diagnostics = self.ledger.enter(&Found { name, diagnostics, silenced, dropped: *dropped });
            self.statistics.add(&diagnostics);
            self.write(&FileReport { diagnostics: &diagnostics, ..file_report(&compilation) })?;
        }
        Ok(())
    }

    /// Says why the settings cannot be used, if no finding of their file does.
    pub(super) fn settings(&mut self) -> Result<(), Error> {
        if self.is_unexplained
            && let Err((error, _)) = self.session.settled()
        {
            error.tell()?;
            self.unusable.insert(0, Error::new("the settings could not be used"));
        }
        Ok(())
    }

    fn write(&mut self, file: &FileReport<'_>) -> Result<(), Error> {
        let text = guarded(|| self.report.file(file)).unwrap_or_else(|panic| {
            let source = Source::from_text(file.source.name(), "");
            let diagnostics = [lint::internal(&panic)];
            self.report.file(&FileReport { source: &source, diagnostics: &diagnostics, ..*file })
        });
        if text.is_empty() { Ok(()) } else { self.output.write(&text) }
    }

    /// Ends the report, writes the baseline, and says what remains to be said.
    pub(super) fn end(mut self) -> Result<(), Error> {
        let (args, summary) = (self.args, *self.report.summary());
        // Without any recipe "nothing found" would be the wrong thing to say to people.
        let is_closed = summary.files == 0 || self.ledger.is_renewing || is_quiet();
        if !(is_closed && self.format.name == FORMATS[0].name) {
            self.output.write(&self.report.end())?;
        }
        std::mem::replace(&mut self.output, Output::Nowhere).close()?;
        if let Some(suppressor) = self.suppressor.take() {
            suppressor.close(self.session)?;
        }
        if args.statistics {
            self.statistics.lines().iter().for_each(|line| say(line));
        }
        // The report for people ends with the summary itself, and the JSON document holds it.
        if !args.diff && (args.output.is_some() || !self.format.has_summary) {
            say(&summary.to_string());
        }
        if summary.files + self.unreadable == 0 && !args.diff {
            say("no recipe or configuration found");
        }
        match self.skipped {
            0 => {}
            1 => say("skipped 1 other file"),
            more => say(&format!("skipped {more} other files")),
        }
        // Where something could not be read, findings may be missing.
        let is_blind = self.unreadable > 0 || !self.unusable.is_empty();
        baseline::close(std::mem::take(&mut self.ledger), &self.writing, args, is_blind)?;
        if self.fixes > 0 {
            let verb = if args.diff { "would fix" } else { "fixed" };
            say(&format!("{verb} {} in {}", counted(self.fixes, "finding"), counted(self.changed, "file")));
        }
        self.verdict(summary)
    }

    fn verdict(self, summary: Summary) -> Result<(), Error> {
        let failed = if self.args.diff { self.changed } else { summary.errors };
        match self.unreadable {
            0 => {}
            1 => return Err(Error::new("1 file could not be read")),
            more => return Err(Error::new(format!("{more} files could not be read"))),
        }
        if self.unwritable > 0 {
            return Err(Error::new(format!("{} could not be written", counted(self.unwritable, "file"))));
        }
        if let Some(error) = self.unusable.into_iter().next() {
            return Err(error);
        }
        if failed == 0 || self.args.exit_zero { Ok(()) } else { Err(Error::findings()) }
    }
}

fn has_error(findings: &[Diagnostic]) -> bool {
    findings.iter().any(|finding| finding.level == Level::Error)
}

/// Writes a text where it came from; the inner error is why a file cannot be written.
fn write_back(input: &Input, checked: &Checked) -> Result<Result<(), String>, Error> {
    let after = checked.after.text();
    if !checked.before.undecodable().is_empty() {
        return Ok(Err(format!("cannot fix {}: it is not UTF-8", input.name)));
    }
    match &input.path {
        Some(path) if checked.applied > 0 => Ok(replace(path, checked.before.text(), after)),
        Some(_) => Ok(Ok(())),
        None => print(after).map(Ok),
    }
}

/// Says which fixes were not applied, and why.
fn say_undone(checked: &Checked) {
    let source = &checked.after;
    for undone in checked.undone.iter().take(MAX_UNDONE) {
        let place = source.place(undone.at);
        say(&format!("{place}: not fixed, because {}: {}", undone.reason, undone.message));
    }
    if let Some(more @ 1..) = checked.undone.len().checked_sub(MAX_UNDONE) {
        say(&format!("{}: {} more not fixed", source.name(), counted(more, "finding")));
    }
    if checked.unfinished {
        say(&format!("{}: more fixes are available; run the command again", source.name()));
    }
}
