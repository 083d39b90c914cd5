//! Documents checked as the project and the command line ask, and their findings shown.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use super::arguments::ParameterArgs;
use super::error::Error;
use super::session::Session;
use super::terminal::say;
use zrecipe_language::bind::merge;
use zrecipe_language::compile::{self, Compilation};
use zrecipe_language::diagnostic::Level;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::lint::Levels;
use zrecipe_language::report::{self, FileReport, Report, Summary};
use zrecipe_language::source::Source;
use zrecipe_project::judge::{CheckOptions, Used};
use zrecipe_project::library::Library;

impl Session {
    /// Checks a document as the project and the command line ask; see [`zrecipe_project::judge`].
    ///
    /// # Errors
    /// Something that the settings or the command line name cannot be used.
    pub fn judge(&self, source: Source, request: CheckOptions<'_>) -> Result<Compilation, Error> {
        self.project.ready()?;
        let reading = self.project.reading(Arc::new(source), request);
        Ok(self.project.judge_known(reading, request))
    }

    /// Reads and checks recipes given by path or name. With parameters, they are substituted.
    ///
    /// # Errors
    /// One of them cannot be read or is not a recipe, or as for [`Session::judge`].
    pub fn compile(&self, recipes: &[String], request: CheckOptions<'_>) -> Result<Vec<Compilation>, Error> {
        self.compile_in(&self.library()?, recipes, request)
    }

    /// As [`Session::compile`], with recipes looked up in another library.
    ///
    /// # Errors
    /// As for [`Session::compile`].
    pub fn compile_in(
        &self,
        library: &Library,
        recipes: &[String],
        request: CheckOptions<'_>,
    ) -> Result<Vec<Compilation>, Error> {
        let compile = |recipe: &String| -> Result<Compilation, Error> {
            let compilation = self.judge(library.open(recipe)?, request)?;
            match compilation.document.kind() {
                DocumentKind::Recipe => Ok(compilation),
                kind => {
                    let message =
                        format!("`{}` is not a recipe: its kind is {}", compilation.source.name(), kind.name());
                    Err(Error::new(message).hint("`[[files]]` in zrecipe.toml sets the kind of a file"))
                }
            }
        };
        recipes.iter().map(compile).collect()
    }

    /// Checks given parameters against those that recipes use; returns only documents with findings.
    ///
    /// # Errors
    /// A file of them cannot be read.
    pub fn compile_given(
        &self,
        given: &ParameterArgs,
        used: &Used,
        levels: Option<&Levels>,
    ) -> Result<Vec<Compilation>, Error> {
        if !used.is_complete() {
            return Ok(Vec::new());
        }
        Ok(self.project.judge_parameters(given.sources()?, used, levels))
    }

    /// Checks recipes that are to run with these parameters, and shows which of these none of them uses.
    ///
    /// # Errors
    /// As for [`Session::compile`].
    pub fn compile_for(
        &self,
        recipes: &[String],
        given: &ParameterArgs,
        request: CheckOptions<'_>,
    ) -> Result<Vec<Compilation>, Error> {
        let compiled = self.compile(recipes, request)?;
        let mut used = Used::default();
        compiled.iter().for_each(|compilation| used.add(compilation));
        self.explain(&self.compile_given(given, &used, request.levels)?);
        Ok(compiled)
    }

    /// The recipe that these are merged into when they run together.
    pub fn merged(&self, compiled: &[Compilation]) -> Compilation {
        let names: Vec<&str> = compiled.iter().map(|compilation| compilation.source.name()).collect();
        let merged = merge(compiled.iter().map(|compilation| compilation.recipe.to_value()));
        let source = Source::from_text(names.join(" + "), merged.to_json_pretty());
        compile::structure(Arc::new(source), Some(DocumentKind::Recipe))
    }

    /// Shows what there is to say about recipes on standard error.
    pub fn explain(&self, compiled: &[Compilation]) {
        self.explain_from(Level::Note, compiled);
    }

    /// Shows what there is to say at a level or above it.
    pub fn explain_from(&self, least: Level, compiled: &[Compilation]) {
        let kept: Vec<(&Compilation, Vec<_>)> = compiled
            .iter()
            .map(|compilation| {
                let shown = compilation.diagnostics.iter().filter(|found| found.level >= least);
                (compilation, shown.cloned().collect())
            })
            .collect();
        let reports = kept.iter().filter(|(_, diagnostics)| !diagnostics.is_empty());
        let reports: Vec<FileReport<'_>> =
            reports.map(|(compilation, diagnostics)| FileReport { diagnostics, ..file_report(compilation) }).collect();
        self.show(&reports);
    }

    /// Writes findings to standard error.
    fn show(&self, reports: &[FileReport<'_>]) {
        let Some(human) = report::format("human") else { return };
        let mut report = Report::new(human, self.style(io::stderr().is_terminal()));
        let text: String = reports.iter().map(|file| report.file(file)).collect();
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Shows the errors, and says how much else there is to say.
    pub fn explain_errors(&self, compiled: &[Compilation]) {
        self.explain_from(Level::Error, compiled);
        let mut summary = Summary::default();
        compiled.iter().for_each(|compilation| summary.add(&file_report(compilation)));
        if summary.warnings + summary.notes > 0 {
            say(&format!("{summary}; `zrecipe check` shows them"));
        }
    }

    /// Shows the findings, and stops when the dispatcher would refuse one of the recipes. A finding that refuses is
    /// shown even when its rule is allowed or suppressed.
    ///
    /// # Errors
    /// One of them would be refused.
    pub fn refuse(&self, compiled: &[Compilation]) -> Result<(), Error> {
        self.explain(compiled);
        let mut is_refused = false;
        for compilation in compiled.iter().filter(|compilation| compilation.is_refused()) {
            is_refused = true;
            let hidden: Vec<_> = compilation.silenced.iter().filter(|found| found.refused).cloned().collect();
            if !hidden.is_empty() && !compilation.diagnostics.iter().any(|found| found.refused) {
                self.show(&[FileReport { diagnostics: &hidden, dropped: 0, ..file_report(compilation) }]);
                say("note: the dispatcher rejects the recipe even if the rule is allowed, suppressed or in the \
                     baseline");
            }
        }
        if is_refused { Err(Error::findings()) } else { Ok(()) }
    }
}

/// A compilation as a report takes it.
pub fn file_report(compilation: &Compilation) -> FileReport<'_> {
    FileReport {
        source: &compilation.shown,
        diagnostics: &compilation.diagnostics,
        dropped: compilation.dropped,
        is_recipe: compilation.document.kind() == DocumentKind::Recipe,
    }
}
