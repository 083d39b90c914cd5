//! What a document is checked against. The one place where settings, command line and the files of a project meet.
//!
//! Precedence, from weak to strong: defaults of the command, `[rules]` and `[[files]]` of `zrecipe.toml`,
//! `[[overrides]]`, command line. Contracts, site, broker configuration, recipe names and declared parameters come from
//! the [`Project`], which applies the same order to the paths that name them. Every front end and the dispatcher call
//! this module; no other file sets the fields of [`Options`].

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::known::Known;
use crate::project::{self, Project, Resolved};
use zrecipe_language::compile::{self, Compilation, Options, Reading};
use zrecipe_language::contract::Contracts;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::evidence::Set;
use zrecipe_language::fix::{self, Fixed, Which};
use zrecipe_language::infer;
use zrecipe_language::lint::{self, Levels};
use zrecipe_language::source::Source;
use zrecipe_language::suppress::Pointed;
use zrecipe_language::topology::Topology;
use zrecipe_language::value::Object;

/// What one check adds to what the project states.
#[derive(Clone, Copy, Default)]
pub struct CheckOptions<'r> {
    /// Path of the document, for settings that depend on it; without it, the name of the source.
    pub path: Option<&'r Path>,
    /// Kind given on the command line; overrides `[[files]]`.
    pub kind: Option<DocumentKind>,
    /// Levels of rules that the command starts from; the settings override them.
    pub defaults: Option<&'r Levels>,
    /// Levels of rules from the command line; override the settings.
    pub levels: Option<&'r Levels>,
    /// Suppressions beside those of the settings.
    pub suppressions: &'r [Pointed],
    /// Parameters to substitute.
    pub parameters: Option<&'r Object>,
    /// Recipes to compare with, the facts of the document among them.
    pub set: Option<&'r Set>,
    /// Names of the parameters that recipes use, to check given parameters against.
    pub used: Option<&'r BTreeSet<String>>,
    /// Contracts in place of those of the project.
    pub contracts: Option<&'r Contracts>,
}

/// The parameters that recipes use.
#[derive(Debug, Default, Clone)]
pub struct Used {
    names: BTreeSet<String>,
    /// How many recipes.
    recipes: usize,
    /// Whether parts of them could not be read, so that there may be more.
    is_partial: bool,
}

impl Used {
    /// Adds those of one more document.
    pub fn add(&mut self, compilation: &Compilation) {
        self.recipes += usize::from(compilation.document.kind() == DocumentKind::Recipe);
        self.is_partial |= compilation.tree.is_broken();
        self.names.extend(infer::names(&compilation.templates).map(str::to_owned));
        self.names.extend(infer::meant(&compilation.recipe, &compilation.templates));
    }

    /// Whether they are all that there are, so that a parameter beside them is one that no recipe uses.
    pub fn is_complete(&self) -> bool {
        !self.is_partial && self.recipes > 0
    }

    /// Adds those of other recipes.
    pub fn extend(&mut self, other: &Used) {
        self.recipes += other.recipes;
        self.is_partial |= other.is_partial;
        self.names.extend(other.names.iter().cloned());
    }
}

impl Project {
    /// Checks documents of parameters against those that recipes use; returns only documents with findings.
    pub fn judge_parameters(&self, sources: Vec<Source>, used: &Used, levels: Option<&Levels>) -> Vec<Compilation> {
        let request = CheckOptions {
            kind: Some(DocumentKind::Parameters),
            used: Some(&used.names),
            levels,
            ..CheckOptions::default()
        };
        let judged = sources.into_iter().map(|source| self.judge(Arc::new(source), request));
        judged.filter(|compilation| !compilation.diagnostics.is_empty()).collect()
    }

    /// Checks a document.
    pub fn judge(&self, source: Arc<Source>, request: CheckOptions<'_>) -> Compilation {
        let reading = self.reading(source, request);
        self.judge_reading(reading, request)
    }

    /// Checks a document, and hides the findings that the project's baseline knows.
    pub fn judge_known(&self, reading: Arc<Reading>, request: CheckOptions<'_>) -> Compilation {
        let mut compilation = self.judge_reading(reading, request);
        let known = &self.resolved().known;
        let path = request.path.map(|path| path.to_string_lossy().into_owned());
        let name = path.unwrap_or_else(|| compilation.source.name().to_owned());
        let taken = known.hide(&name, &mut compilation.diagnostics);
        compilation.silenced.extend(taken);
        compilation
    }

    /// Reads a document, for several checks of one text.
    pub fn reading(&self, source: Arc<Source>, request: CheckOptions<'_>) -> Arc<Reading> {
        let name = source.name().to_owned();
        self.with_options(&name, request, |options| Arc::new(compile::read(source, options)))
    }

    /// Checks a document that was read by [`Project::reading`].
    pub fn judge_reading(&self, reading: Arc<Reading>, request: CheckOptions<'_>) -> Compilation {
        let name = reading.source.name().to_owned();
        self.with_options(&name, request, |options| compile::check(reading, options))
    }

    /// Reads a document for its structure; no rule is run.
    pub fn structure(&self, source: Arc<Source>, request: CheckOptions<'_>) -> Compilation {
        let name = source.name().to_owned();
        self.with_options(&name, request, |options| compile::compile(source, Options { rules: &[], ..options }))
    }

    /// Checks a document and applies its fixes.
    pub fn fix(&self, source: Arc<Source>, which: Which, request: CheckOptions<'_>) -> Fixed {
        let name = source.name().to_owned();
        self.with_options(&name, request, |options| fix::fix(source, options, which))
    }

    /// Whether everything that the settings and the command line name can be used.
    ///
    /// # Errors
    /// The first input that cannot be used.
    pub fn ready(&self) -> Result<(), project::Error> {
        // Directories and files are read once, not for each document.
        if self.ready.get().is_some() {
            return Ok(());
        }
        self.topology()?;
        self.recipe_names()?;
        self.settings.baseline.as_deref().map(Known::read).transpose()?;
        if let Some(contract) = self.usable_contracts().1.first() {
            return Err(project::Error::Contract { name: contract.name.clone(), why: contract.why.clone() });
        }
        let _ = self.ready.set(());
        Ok(())
    }

    /// Broker configuration that recipes are checked against, if it can be used.
    pub fn usable_topology(&self) -> Option<&Topology> {
        // A configuration that cannot be used is not read again for each document.
        self.resolved().has_broker.then(|| self.topology().ok().flatten()).flatten()
    }

    /// Names of all recipes of the site, if they are known.
    pub fn known_recipes(&self) -> Option<&BTreeSet<String>> {
        self.recipe_names().ok().flatten()
    }

    fn resolved(&self) -> &Resolved {
        self.resolved.get_or_init(|| Resolved {
            has_broker: matches!(self.topology(), Ok(Some(_))),
            known: self.settings.baseline.as_ref().and_then(|path| Known::read(path).ok()).unwrap_or_default(),
        })
    }

    fn with_options<R>(&self, name: &str, request: CheckOptions<'_>, work: impl FnOnce(Options<'_>) -> R) -> R {
        let path = request.path.unwrap_or(Path::new(name));
        let (decided, mut suppressions) = self.settings.decisions(path);
        suppressions.extend_from_slice(request.suppressions);
        let mut levels = request.defaults.cloned().unwrap_or_default();
        levels.extend(&decided);
        if let Some(given) = request.levels {
            levels.extend(given);
        }
        let site_rules = self.settings.site_rules(path);
        work(Options {
            rules: lint::RULES,
            parameters: request.parameters,
            set: request.set,
            levels: Some(&levels),
            suppressions: &suppressions,
            contracts: request.contracts.unwrap_or_else(|| self.usable_contracts().0),
            declared: Some(&*self.settings.declared).filter(|declared| !declared.is_empty()),
            kind: request.kind.or_else(|| self.kind_of(path)),
            files: self.files(),
            site: self.site_path(),
            recipes: self.known_recipes(),
            topology: self.usable_topology(),
            used: request.used,
            site_rules: &site_rules,
            filters: self.settings.has_filters,
        })
    }
}

/// Checks a recipe as the dispatcher does: only rules that refuse, whatever the settings say.
pub fn refusals(reading: Arc<Reading>, parameters: &Object) -> Compilation {
    let options = Options { parameters: Some(parameters), rules: lint::REFUSING, ..Options::default() };
    compile::check(reading, options)
}
