//! The whole pipeline as one function: text in, recipe and findings out. Every front end calls this one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::contract::{Contracts, Declared};
use crate::diagnostic::{Diagnostic, Level, Sink};
use crate::document::{Document, DocumentKind};
use crate::evidence::{Facts, Set};
use crate::graph::Graph;
use crate::guard::guarded;
use crate::identity;
use crate::lint::{self, Context, Levels, Rule, rules};
use crate::lower::lower;
use crate::recipe::Recipe;
use crate::secret;
use crate::site::{Files, NoFiles};
use crate::site_rules::{self, Chosen};
use crate::source::Source;
use crate::suppress::{self, Pointed};
use crate::syntax::{self, Tree};
use crate::template::TemplateUse;
use crate::topology::Topology;
use crate::value::Object;

/// What to compile with.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The rules to run.
    pub rules: &'a [&'static Rule],
    /// The parameters the recipe is to be run with, if they are known.
    pub parameters: Option<&'a Object>,
    /// The recipes that it is checked together with, its own facts among them.
    pub set: Option<&'a Set>,
    /// What the project has decided about rules.
    pub levels: Option<&'a Levels>,
    /// Places where the settings silence a rule.
    pub suppressions: &'a [Pointed],
    /// What services promise.
    pub contracts: &'a Contracts,
    /// The parameters that the site's dispatcher adds.
    pub declared: Option<&'a Declared>,
    /// What the document is; none to tell by its content.
    pub kind: Option<DocumentKind>,
    /// The files that a configuration names.
    pub files: &'a dyn Files,
    /// The file with the site configuration, which may include the document.
    pub site: Option<&'a Path>,
    /// The names of all recipes of the site, if they are known.
    pub recipes: Option<&'a BTreeSet<String>>,
    /// The broker that a recipe is held against.
    pub topology: Option<&'a Topology>,
    /// The names of the parameters that recipes use, to hold given ones against.
    pub used: Option<&'a BTreeSet<String>>,
    /// The rules of the site.
    pub site_rules: &'a [Chosen<'a>],
    /// Whether programs of the site read requests before the dispatcher does.
    pub filters: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            rules: lint::RULES,
            parameters: None,
            set: None,
            levels: None,
            suppressions: &[],
            contracts: Contracts::built_in(),
            declared: None,
            kind: None,
            files: &NoFiles,
            site: None,
            recipes: None,
            topology: None,
            used: None,
            site_rules: &[],
            filters: false,
        }
    }
}

/// What is known about a recipe by its text alone.
#[derive(Debug)]
pub struct Reading {
    /// The text.
    pub source: Arc<Source>,
    /// The document.
    pub tree: Arc<Tree>,
    /// The recipe in it.
    pub recipe: Recipe,
    /// Its graph.
    pub graph: Graph,
    /// Every string of it that has braces.
    pub templates: Vec<TemplateUse>,
    /// The document as what it is.
    pub document: Document,
}

/// Everything that is known about a recipe.
#[derive(Debug)]
pub struct Compilation {
    /// What its text says.
    pub reading: Arc<Reading>,
    /// The text as reports show it: without passwords and tokens, if there is anything to say about it.
    pub shown: Arc<Source>,
    /// What there is to say about it, in order of place.
    pub diagnostics: Vec<Diagnostic>,
    /// What is not said because somebody wanted it so.
    pub silenced: Vec<Diagnostic>,
    /// How many further findings there are of which enough has been said.
    pub dropped: usize,
}

/// Compiles a document. It never fails: what is wrong is in the diagnostics.
///
/// ```
/// use std::sync::Arc;
/// use zrecipe_language::compile::{Options, compile};
/// use zrecipe_language::source::Source;
///
/// let text = r#"{"1": {"queue": "images", "output": 3}, "start": [[1, []]]}"#;
/// let compilation = compile(Arc::new(Source::from_text("recipe.json", text)), Options::default());
/// assert_eq!(compilation.diagnostics[0].rule, "unknown-step");
/// assert!(compilation.is_refused());
/// ```
pub fn compile(source: Arc<Source>, options: Options<'_>) -> Compilation {
    check(Arc::new(read(source, options)), options)
}

/// Reads a document whose kind is known or detected, for its structure; no rule is run.
pub fn structure(source: Arc<Source>, kind: Option<DocumentKind>) -> Compilation {
    compile(source, Options { rules: &[], kind, ..Options::default() })
}

/// What a recipe says that can be compared with others, without more than that takes; nothing if it is no recipe, or
/// if zrecipe panics at it.
pub fn recipe_facts(source: Arc<Source>) -> Option<Facts> {
    let read = || {
        let tree = Arc::new(syntax::parse(source));
        if DocumentKind::of(&tree) != DocumentKind::Recipe {
            return None;
        }
        let recipe = lower(tree);
        let templates = lint::templates(&recipe);
        Some(Facts::of(&recipe, &templates))
    };
    guarded(read).ok().flatten()
}

/// Checks a document by itself: with the built-in contracts and without a project.
pub fn alone(source: Arc<Source>, kind: Option<DocumentKind>) -> Compilation {
    compile(source, Options { kind, ..Options::default() })
}

/// The first half of [`compile`], for those who check one text several times: what of it depends on the text alone.
/// Where zrecipe panics at a text, that is a problem of the text for rule `internal`.
pub fn read(source: Arc<Source>, options: Options<'_>) -> Reading {
    let text = Arc::clone(&source);
    guarded(|| understand(syntax::parse(text), options))
        .unwrap_or_else(|panic| understand(Tree::failed(source, &panic), options))
}

fn understand(tree: Tree, options: Options<'_>) -> Reading {
    let (source, tree) = (Arc::clone(tree.source()), Arc::new(tree));
    let kind = options.kind.unwrap_or_else(|| DocumentKind::of(&tree));
    let document = Document::read(&tree, kind, options.files, options.site);
    let recipe = lower(Arc::clone(&tree));
    let graph = Graph::new(&recipe);
    let templates = lint::templates(&recipe);
    Reading { source, tree, recipe, graph, templates, document }
}

/// The second half of [`compile`].
pub fn check(reading: Arc<Reading>, options: Options<'_>) -> Compilation {
    let judged = Arc::clone(&reading);
    guarded(|| judge(judged, options)).unwrap_or_else(|panic| Compilation {
        // What of the text is secret is not known.
        shown: Arc::new(Source::from_text(reading.source.name(), "")),
        diagnostics: vec![rules::internal::in_check(&panic)],
        silenced: Vec::new(),
        dropped: 0,
        reading,
    })
}

fn judge(reading: Arc<Reading>, options: Options<'_>) -> Compilation {
    let Reading { source, tree, recipe, graph, templates, document } = &*reading;
    let mut sink = Sink::default();
    let facts = options.set.map(|_| reading.facts());
    let mut context = Context::new(recipe, graph, templates, options.contracts);
    context.give(options.parameters);
    context.set = facts.as_ref().zip(options.set);
    context.declared = options.declared;
    context.document = document;
    context.recipes = options.recipes;
    context.topology = options.topology;
    context.used = options.used;
    context.filters = options.filters;
    context.files = options.files;
    lint::run(options.rules, &context, &mut sink);
    // Who asks for some rules only does not ask for these.
    if options.rules.len() == lint::RULES.len() {
        site_rules::run(options.site_rules, &context, &mut sink);
    }
    let (mut found, dropped) = sink.finish();
    lint::without_followers(tree, &mut found);
    let (mut diagnostics, mut silenced) =
        suppress::apply(recipe, options.suppressions, found, options.rules, options.site_rules);
    if let Some(levels) = options.levels {
        let (told, allowed) = diagnostics.into_iter().partition(|found| levels.level_of(found).is_some());
        diagnostics = told;
        silenced.extend::<Vec<Diagnostic>>(allowed);
        for diagnostic in &mut diagnostics {
            diagnostic.level = levels.level_of(diagnostic).unwrap_or(diagnostic.level);
        }
    }
    let mut shown = Arc::clone(source);
    if !(diagnostics.is_empty() && silenced.is_empty()) {
        let secrets = secret::find(tree);
        for diagnostic in &mut diagnostics {
            diagnostic.path = identity::place(recipe, diagnostic.primary.span, &secrets);
        }
        if !secrets.is_empty() {
            shown = Arc::new(secret::masked(source, &secrets));
            secret::scrub(diagnostics.iter_mut().chain(&mut silenced), tree, &secrets);
        }
    }
    Compilation { shown, diagnostics, silenced, dropped, reading }
}

impl Reading {
    /// What the recipe says that can be compared with others.
    pub fn facts(&self) -> Facts {
        Facts::of(&self.recipe, &self.templates)
    }
}

impl std::ops::Deref for Compilation {
    type Target = Reading;

    fn deref(&self) -> &Reading {
        &self.reading
    }
}

impl Compilation {
    /// Whether anything is at error level.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.level == Level::Error)
    }

    /// Whether the dispatcher would refuse the recipe.
    pub fn is_refused(&self) -> bool {
        self.refusals().next().is_some()
    }

    /// The findings for which the dispatcher would refuse the recipe. It does not care what somebody has silenced.
    pub fn refusals(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().chain(&self.silenced).filter(|diagnostic| diagnostic.refused)
    }
}
