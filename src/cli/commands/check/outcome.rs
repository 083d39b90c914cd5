//! What a check shows and writes, file by file, and how it ends.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;

use super::Args;
use super::output::{Output, inside};
use super::statistics::Statistics;
use super::unusable;
use crate::cli::files::replace;
use crate::cli::{Error, Session, difference, file_report, print, say};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::guard::guarded;
use zrecipe_language::lint::{self, Levels};
use zrecipe_language::report::{FORMATS, FileReport, Format, Report, Style, Summary, format};
use zrecipe_language::source::Source;
use zrecipe_project::batch::Checked;
use zrecipe_project::files::Input;
use zrecipe_project::judge::Used;
use zrecipe_project::known::{Known, Ledger};

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
    statistics: Statistics,
    used: Used,
    /// Why the check is incomplete, beside files that cannot be read.
    unusable: Vec<Error>,
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
        let known = match (&args.write_baseline, &args.baseline, &session.settings.baseline) {
            (Some(path), ..) => Known::beside(path),
            (None, Some(path), _) | (None, None, Some(path)) => Known::read(path)?,
            (None, None, None) => Known::default(),
        };
        let output = match (&args.output, args.diff, aside) {
            (_, true, _) => Output::Nowhere,
            (None, false, true) => Output::Aside,
            (path, ..) => Output::open(path.as_deref())?,
        };
        let mut outcome = Self {
            args,
            session,
            style,
            report: Report::new(chosen, style),
            format: chosen,
            root: super::output::root(chosen),
            output,
            ledger: Ledger::new(known, args.write_baseline.is_some()),
            statistics: Statistics::default(),
            used: Used::default(),
            unusable: unusable::tell(session, inputs),
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
        let is_named = |path: &PathBuf| self.session.kind_of(path).is_some();
        if input.found && !checked.is_ours && !input.path.as_ref().is_some_and(is_named) {
            self.skipped += 1;
            return Ok(());
        }
        if self.args.diff {
            let (before, after) = (Arc::clone(&checked.before), Arc::clone(&checked.after));
            print(&difference(&input.name, before, after, self.style.colour))?;
        } else if self.args.fixes()
            && let Err(error) = write_back(input, checked)?
        {
            self.unwritable += 1;
            say(&format!("error: {error}"));
            return Ok(());
        }
        self.used.extend(&checked.used);
        self.fixes += checked.applied;
        self.changed += usize::from(checked.applied > 0);
        say_undone(checked);
        let diagnostics = self.ledger.enter(&input.name, &checked.diagnostics);
        self.statistics.add(&diagnostics);
        let renamed = self.root.as_deref().filter(|_| !diagnostics.is_empty());
        let renamed = renamed.and_then(|root| Some(checked.shown.under(inside(root, &input.name)?)));
        let (source, dropped) = (renamed.as_ref().unwrap_or(&checked.shown), checked.dropped);
        let is_recipe = checked.kind == DocumentKind::Recipe;
        self.write(&FileReport { source, diagnostics: &diagnostics, dropped, is_recipe })
    }

    /// Takes a file that cannot be read.
    pub(super) fn unreadable(&mut self, input: &Input, error: &str) -> Result<(), Error> {
        self.unreadable += 1;
        self.report.unread();
        // Nobody has named the file, so the report says that it was left out.
        if input.found {
            let source = Source::from_text(&input.name, "");
            let diagnostics = self.ledger.enter(&input.name, &[lint::unreadable(error)]);
            let file = FileReport { source: &source, diagnostics: &diagnostics, dropped: 0, is_recipe: false };
            return self.write(&file);
        }
        say(&format!("error: {error}"));
        if self.session.library().is_ok_and(|library| library.names().contains(&input.name)) {
            say(&format!("  help: `{}` is the name of a recipe; `check` takes files", input.name));
        }
        Ok(())
    }

    /// Reports the given parameters that no recipe uses. A file that cannot be read may use any.
    pub(super) fn parameters(&mut self, levels: &Levels) -> Result<(), Error> {
        if self.unreadable > 0 {
            return Ok(());
        }
        for compilation in self.session.compile_given(&self.args.parameters, &self.used, Some(levels))? {
            let diagnostics = self.ledger.enter(compilation.source.name(), &compilation.diagnostics);
            self.statistics.add(&diagnostics);
            self.write(&FileReport { diagnostics: &diagnostics, ..file_report(&compilation) })?;
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
        let is_closed = self.format.name == FORMATS[0].name && (summary.files == 0 || args.write_baseline.is_some());
        if !is_closed {
            self.output.write(&self.report.end())?;
        }
        std::mem::replace(&mut self.output, Output::Nowhere).close()?;
        if args.statistics {
            self.statistics.lines().iter().for_each(|line| say(line));
        }
        // The report for people ends with the summary itself, and the JSON document holds it.
        if !args.diff && (args.output.is_some() || !self.format.has_summary) {
            say(&summary.to_string());
        }
        match self.skipped {
            0 => {}
            1 => say("passed over 1 file of another kind"),
            more => say(&format!("passed over {more} files of other kinds")),
        }
        self.write_baseline()?;
        match self.ledger.occurred {
            0 => {}
            1 => say("1 known finding is not shown"),
            more => say(&format!("{more} known findings are not shown")),
        }
        match self.ledger.gone {
            0 => {}
            1 => say("1 known finding does not occur any more; `--write-baseline` forgets it"),
            more => say(&format!("{more} known findings do not occur any more; `--write-baseline` forgets them")),
        }
        if self.fixes > 0 {
            let verb = if args.diff { "would fix" } else { "fixed" };
            say(&format!("{verb} {} in {}", counted(self.fixes, "finding"), counted(self.changed, "file")));
        }
        self.verdict(summary)
    }

    /// Writes the new baseline, unless something could not be read: then findings may be missing from it.
    fn write_baseline(&self) -> Result<(), Error> {
        let is_complete = self.unreadable == 0 && self.unusable.is_empty();
        let Some(path) = self.args.write_baseline.as_ref().filter(|_| is_complete) else { return Ok(()) };
        let mut file = Output::open(Some(path))?;
        file.write(&self.ledger.written.to_text())?;
        file.close()?;
        say(&format!("wrote {} to {}", counted(self.ledger.written.count(), "finding"), path.display()));
        Ok(())
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
        if summary.files == 0 {
            return Err(Error::new("there is no recipe or configuration in what was given"));
        }
        if failed == 0 { Ok(()) } else { Err(Error::findings()) }
    }
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
        say(&format!("{}: there is more to fix; run it again", source.name()));
    }
}
