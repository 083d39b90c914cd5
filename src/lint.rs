//! What a rule is, what it sees, and the runner. Each rule is one file in `lint/rules/`.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, Level, Sink};
use crate::evidence::{Facts, Set};
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
    /// The facts of this recipe and of the set that it is checked with, if it is checked with others.
    pub set: Option<(&'a Facts, &'a Set)>,
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

/// What a project has decided about rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels {
    /// Later decisions come before earlier ones.
    decisions: Vec<(Subject, Choice)>,
}

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Rule(&'static str),
    /// Everything that is at this level by itself.
    At(Level),
    All,
}

/// What is decided about a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Its findings are not told.
    Allow,
    /// Its findings have this level.
    At(Level),
}

impl Choice {
    /// Reads `allow`, `note`, `warning` (or `warn`) or `error` (or `deny`).
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "allow" => Choice::Allow,
            "note" => Choice::At(Level::Note),
            "warning" | "warn" => Choice::At(Level::Warning),
            "error" | "deny" => Choice::At(Level::Error),
            _ => return None,
        })
    }
}

impl Levels {
    /// Decides about a rule, about `notes`, `warnings` or `errors` (what is at that level by itself), or about `all`.
    ///
    /// # Errors
    /// There is no such rule; what may be meant.
    pub fn decide(&mut self, subject: &str, choice: Choice) -> Result<(), String> {
        let subject = match subject {
            "all" => Subject::All,
            "notes" => Subject::At(Level::Note),
            "warnings" => Subject::At(Level::Warning),
            "errors" => Subject::At(Level::Error),
            name => match rule(name) {
                Some(rule) => Subject::Rule(rule.name),
                None => {
                    let meant = nearest(name, RULES.iter().map(|rule| rule.name));
                    let hint = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
                    return Err(format!("there is no rule `{name}`{hint}"));
                }
            },
        };
        self.decisions.push((subject, choice));
        Ok(())
    }

    /// Adds decisions that come before these.
    pub fn extend(&mut self, others: &Levels) {
        self.decisions.extend(others.decisions.iter().copied());
    }

    /// What is decided about a finding: its level, or nothing when it is not to be told.
    ///
    /// A decision about the rule itself comes before one about many rules, except that `--deny warnings` also raises
    /// what a project has made a warning.
    pub fn level_of(&self, diagnostic: &Diagnostic) -> Option<Level> {
        let last = |about: &dyn Fn(&Subject) -> bool| {
            self.decisions.iter().rev().find(|(subject, _)| about(subject)).map(|&(_, choice)| choice)
        };
        let of_many = |level: Level| last(&|subject| matches!(subject, Subject::All) || *subject == Subject::At(level));
        match (last(&|subject| *subject == Subject::Rule(diagnostic.rule)), of_many(diagnostic.level)) {
            (Some(Choice::Allow), _) | (None, Some(Choice::Allow)) => None,
            (Some(Choice::At(level)), _) => match of_many(level) {
                Some(Choice::At(raised)) => Some(raised.max(level)),
                _ => Some(level),
            },
            (None, Some(Choice::At(level))) => Some(level),
            (None, None) => Some(diagnostic.level),
        }
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
    foreign_queue,
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
    mismatched_channel,
    missing_destination,
    missing_start,
    misspelt_key,
    non_finite_number,
    non_numeric_step,
    not_a_recipe,
    oversized_integer,
    partial_replace,
    rare_parameter,
    rare_queue,
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
    unused_suppression,
    unusual_step_number,
    value_as_text,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_precise_decision_counts() {
        // Decisions, and what becomes of the warning `misspelt-key`.
        type Row = (&'static [(&'static str, &'static str)], Option<Level>);
        let rows: [Row; 8] = [
            (&[], Some(Level::Warning)),
            (&[("warnings", "deny")], Some(Level::Error)),
            (&[("errors", "allow")], Some(Level::Warning)),
            (&[("misspelt-key", "allow"), ("warnings", "deny")], None),
            (&[("misspelt-key", "note"), ("warnings", "deny")], Some(Level::Note)),
            (&[("misspelt-key", "error"), ("all", "allow")], Some(Level::Error)),
            (&[("misspelt-key", "allow"), ("misspelt-key", "warn")], Some(Level::Warning)),
            (&[("all", "note"), ("warnings", "error")], Some(Level::Error)),
        ];
        let found = Diagnostic::new("misspelt-key", Level::Warning, Span::default(), "");
        for (decisions, expected) in rows {
            let mut levels = Levels::default();
            for (subject, choice) in decisions {
                levels.decide(subject, Choice::parse(choice).expect("is one")).expect("is a rule");
            }
            assert_eq!(levels.level_of(&found), expected, "{decisions:?}");
        }
        assert_eq!(
            Levels::default().decide("mispelt-key", Choice::Allow),
            Err("there is no rule `mispelt-key`; did you mean `misspelt-key`?".to_owned())
        );
    }
}
