//! What a rule is, what it sees, and the runner. Each rule is one file in `lint/rules/`.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, Level, Sink};
use crate::graph::Graph;
use crate::recipe::Recipe;
use crate::source::Span;
use crate::syntax::{Kind, NodeId, NodeRef, Tree};
use crate::template::{Field, ParseError, Template, has_braces, parse};
use crate::value::Object;

/// A kind of finding.
#[derive(Debug)]
pub struct Rule {
    /// Its kebab-case name: file stem, fixture folder, documentation anchor, and the word that suppresses it.
    pub name: &'static str,
    /// The level of its findings, unless one says otherwise.
    pub level: Level,
    /// Its documentation in Markdown, with the sections *Why*, *Example* and *Instead*.
    pub documentation: &'static str,
    check: fn(&Context<'_>, &mut Sink),
}

impl Rule {
    /// A finding of this rule.
    pub fn at(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.name, self.level, span, message)
    }
}

/// What a rule sees of a recipe.
pub struct Context<'a> {
    /// The document.
    pub tree: &'a Tree,
    /// The recipe in it.
    pub recipe: &'a Recipe,
    /// Its graph.
    pub graph: &'a Graph,
    /// Every string of it that has braces.
    pub templates: &'a [TemplateUse],
    /// The parameters it is to be run with, if they are known.
    pub parameters: Option<&'a Object>,
}

/// A string with braces, and where it stands.
#[derive(Debug)]
pub struct TemplateUse {
    /// The string.
    pub node: NodeId,
    /// The template, or why it is none.
    pub template: Result<Template, ParseError>,
}

impl<'a> Context<'a> {
    /// A node of the document.
    pub fn node(&self, id: NodeId) -> NodeRef<'a> {
        self.tree.node(id)
    }

    /// The strings that are templates.
    pub fn parsed_templates(&self) -> impl Iterator<Item = (NodeRef<'a>, &'a Template)> {
        self.templates.iter().filter_map(|used| Some((self.tree.node(used.node), used.template.as_ref().ok()?)))
    }

    /// Whether a top-level key is `start` with a slip of the finger: its value could be that of `start`.
    pub fn is_misspelt_start(&self, key: NodeRef<'_>) -> bool {
        let value = self.tree.root().members().find(|member| member.key.id() == key.id()).map(|member| member.value);
        value.is_some_and(|value| value.kind() == Kind::Array) && nearest(&key.text(), ["start"]).is_some()
    }

    /// The placeholders of a template for a rule to look at, each name once and no more than anybody reads: to find
    /// the place of one in a long string with escapes takes a walk through the string.
    pub fn fields<'t>(&self, template: &'t Template) -> Vec<&'t Field> {
        const MOST: usize = 50;
        let mut names = HashSet::new();
        template.fields().into_iter().filter(|field| names.insert(&field.name)).take(MOST).collect()
    }

    /// Whether a string names the queue, topic or exchange of a step.
    pub fn is_destination(&self, node: NodeRef<'_>) -> bool {
        let id = Some(node.id());
        let steps = self.recipe.steps();
        // Steps lie in the order of the text, so the one that holds the node is found by halving.
        let after = steps.partition_point(|step| self.recipe.span(step.value).start <= node.span().start);
        let step = after.checked_sub(1).map(|at| &steps[at]);
        step.is_some_and(|step| step.queue == id || step.topic == id || step.exchange == id)
    }

    /// Whether the text is broken, so that what is not in the tree may still be in the file.
    pub fn is_broken(&self) -> bool {
        self.tree.problems().iter().any(|problem| !problem.kind.is_python())
    }

    /// How to name a node's content in a message: short scalars as written, anything else by what it is.
    pub fn show(&self, node: NodeRef<'_>) -> String {
        let raw = node.raw();
        match node.kind() {
            Kind::Array | Kind::Object if raw.len() > 20 || raw.contains('\n') => node.describe().to_owned(),
            Kind::Missing => node.describe().to_owned(),
            _ if raw.chars().count() > 60 => {
                let shown: String = raw.chars().take(57).collect();
                format!("`{shown}…`")
            }
            _ => format!("`{raw}`"),
        }
    }
}

/// Strings of a recipe that go through substitution and have braces.
pub fn templates(recipe: &Recipe) -> Vec<TemplateUse> {
    let mut templates = Vec::new();
    let mut scan = |node: NodeRef<'_>| {
        for node in node.descendants() {
            if !node.has_braces() {
                continue;
            }
            let text = node.text();
            if has_braces(&text) && (recipe.shadowed().is_empty() || !recipe.is_dropped(node)) {
                templates.push(TemplateUse { node: node.id(), template: parse(&text) });
            }
        }
    };
    recipe.steps().iter().for_each(|step| scan(recipe.node(step.value)));
    if let Some(start) = recipe.start() {
        scan(recipe.node(start.value));
    }
    templates.sort_by_key(|used| used.node);
    templates
}

/// Runs rules over a recipe.
pub fn run<'r>(rules: impl IntoIterator<Item = &'r &'static Rule>, context: &Context<'_>, sink: &mut Sink) {
    for rule in rules {
        (rule.check)(context, sink);
    }
}

/// The rule of this name.
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name).copied()
}

/// The known name nearest to a misspelt one, if it is near enough to be meant.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let length = name.chars().count();
    let most = (length / 3).clamp(1, 3);
    let distance = |known: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    known
        .into_iter()
        // A distance is never less than the difference in length, and takes long to find out for long names.
        .filter(|known| known.chars().count().abs_diff(length) <= most)
        .map(|known| (distance(known), known))
        .filter(|&(distance, _)| distance <= most)
        .min()
        .map(|(_, known)| known)
}

/// Declares the rule of a file: documentation, name, level and check in one place.
macro_rules! declare_rule {
    ($(#[doc = $documentation:literal])+ $name:literal, $level:ident) => {
        /// The rule of this file.
        pub static RULE: $crate::lint::Rule = $crate::lint::Rule {
            name: $name,
            level: $crate::diagnostic::Level::$level,
            documentation: concat!($($documentation, "\n"),+),
            check,
        };
    };
}

/// Declares the modules of `lint/rules/` and the list of their rules.
macro_rules! rules {
    ($($module:ident),+ $(,)?) => {
        /// One rule a file.
        pub mod rules {
            $(#[allow(missing_docs, reason = "the file's own first line says it")] pub mod $module;)+
        }

        /// Every rule there is, in alphabetical order.
        pub static RULES: &[&Rule] = &[$(&rules::$module::RULE),+];
    };
}

rules! {
    ambiguous_replace,
    attribute_placeholder,
    byte_order_mark,
    colliding_key,
    cycle,
    delayed_topic,
    duplicate_key,
    duplicate_step,
    empty_start,
    error_to_start,
    invalid_utf8,
    lone_surrogate,
    malformed_delay,
    malformed_destination,
    malformed_error,
    malformed_link,
    malformed_parameters,
    malformed_placeholder,
    malformed_start,
    malformed_step,
    missing_destination,
    missing_start,
    misspelt_key,
    non_finite_number,
    non_numeric_step,
    not_a_recipe,
    oversized_integer,
    partial_replace,
    rejected_placeholder,
    repeated_link,
    scalar_error,
    self_referencing_start,
    syntax_error,
    too_deep,
    two_destinations,
    undefined_placeholder,
    undefined_replace,
    unknown_step,
    unreferenced_step,
    unresolved_destination,
    unusual_step_number,
    value_as_text,
}
