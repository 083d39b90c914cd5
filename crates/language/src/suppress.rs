//! Findings that somebody has looked at and wants to hear no more of: where they are silenced, and by what.
//!
//! In a recipe the place of a comment carries them: `"2": ["zrecipe: allow(two-destinations) both are read"]` before
//! the step `"2"`. In YAML it is a comment at the end of the line, or above the entry that it is about. In the settings a JSON pointer names the place. A suppression that silences nothing is reported.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::lint::{RULES, Rule, nearest, rule, rules};
use crate::recipe::Recipe;
use crate::site_rules::Chosen;
use crate::source::Span;
use crate::syntax::{Kind, Member, NodeId, NodeRef, Tree};

/// What begins a suppression in a comment.
const MARK: &str = "zrecipe:";

/// What follows.
const ALLOW: &str = "allow(";

/// What may be meant to be one, and is none.
const NEARLY: [&str; 4] = ["allow", "ignore", "disable", "suppress"];

/// Name of the settings file.
pub use crate::document::SETTINGS_FILE as FILE_NAME;

/// A suppression from the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointed {
    /// The rule's name.
    pub rule: String,
    /// RFC 6901: `/2/parameters/file`; empty for the whole document.
    pub pointer: String,
    /// Whether it is for one document, and not for all that match a pattern.
    pub is_exact: bool,
}

/// A suppression and where it holds.
#[derive(Debug)]
struct Suppression {
    rule: String,
    /// Findings that begin in here are silenced.
    scope: Span,
    written: Written,
    used: Cell<bool>,
}

/// Where a suppression is written.
#[derive(Debug)]
enum Written {
    /// Here in the document.
    Here(Span),
    /// In the settings: the JSON pointer, if it is for this document alone.
    InSettings(Option<String>),
}

impl Written {
    fn here(&self) -> Option<Span> {
        match self {
            Self::Here(place) => Some(*place),
            Self::InSettings(_) => None,
        }
    }
}

/// Divides findings into those to be told and those to be kept quiet, and adds what is wrong with the suppressions.
/// `ran` are the rules that have had their say: about others nobody knows whether a suppression is used.
pub fn apply(
    recipe: &Recipe,
    pointed: &[Pointed],
    found: Vec<Diagnostic>,
    ran: &[&'static Rule],
    site_rules: &[Chosen<'_>],
) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
    let mut suppressions = in_comments(recipe);
    suppressions.extend(in_yaml(recipe.tree()));
    let mut pointers = Pointers::new(recipe.tree());
    suppressions.extend(pointed.iter().map(|pointed| from_settings(&mut pointers, pointed)));
    if suppressions.is_empty() {
        return (found, Vec::new());
    }
    let mut is_silenced = silenced(&suppressions, &found).into_iter();
    let (quiet, mut told): (Vec<_>, Vec<_>) = found.into_iter().partition(|_| is_silenced.next() == Some(true));
    let own = &rules::unused_suppression::RULE;
    if ran.iter().any(|rule| rule.name == own.name) {
        told.extend(suppressions.iter().filter_map(|suppression| complain(own, suppression, ran, site_rules)));
        told.sort_by_key(|diagnostic| diagnostic.primary.span);
    }
    (told, quiet)
}

/// Which findings are silenced, found in one walk through the document.
fn silenced(suppressions: &[Suppression], found: &[Diagnostic]) -> Vec<bool> {
    let mut to_come: Vec<&Suppression> = suppressions.iter().collect();
    to_come.sort_by_key(|suppression| suppression.scope.start);
    let mut to_come = to_come.into_iter().peekable();
    let mut in_order: Vec<usize> = (0..found.len()).collect();
    in_order.sort_by_key(|&place| found[place].primary.span.start);
    // By rule, those whose scope has begun.
    let mut open: HashMap<&str, Vec<&Suppression>> = HashMap::new();
    let mut silenced = vec![false; found.len()];
    for place in in_order {
        let start = found[place].primary.span.start;
        while let Some(suppression) = to_come.next_if(|suppression| suppression.scope.start <= start) {
            open.entry(&suppression.rule).or_default().push(suppression);
        }
        let Some(open) = open.get_mut(found[place].rule) else { continue };
        open.retain(|suppression| start < suppression.scope.end.max(suppression.scope.start.saturating_add(1)));
        open.iter().for_each(|suppression| suppression.used.set(true));
        silenced[place] = !open.is_empty();
    }
    silenced
}

fn complain(
    own: &Rule,
    suppression: &Suppression,
    ran: &[&'static Rule],
    site_rules: &[Chosen<'_>],
) -> Option<Diagnostic> {
    let name = &suppression.rule;
    let own_rule = site_rules.iter().find(|chosen| chosen.rule.name == name);
    let has_run = ran.iter().any(|rule| rule.name == name) || own_rule.is_some_and(|chosen| chosen.applies);
    let place = match &suppression.written {
        Written::Here(place) => *place,
        Written::InSettings(None) => return None,
        Written::InSettings(Some(pointer)) => {
            let at = if pointer.is_empty() { "here".to_owned() } else { format!("at `{pointer}`") };
            let what = match suppression.scope == NOWHERE {
                true => format!("{FILE_NAME} suppresses `{name}` {at}, which does not exist"),
                false if has_run && !suppression.used.get() => {
                    format!("{FILE_NAME} suppresses `{name}` {at}, where it has no finding")
                }
                false => return None,
            };
            let start = Span { start: suppression.scope.start, end: suppression.scope.start };
            let place = if suppression.scope == NOWHERE { Span::default() } else { start };
            return Some(own.at(place, what).help("remove the entry of `[[suppress]]`"));
        }
    };
    if name.is_empty() {
        return Some(
            own.at(place, "this suppresses nothing").help("write `zrecipe: allow(RULE)` with the name of a rule"),
        );
    }
    if rule(name).is_none() && own_rule.is_none() {
        let diagnostic = own.at(place, format!("there is no rule `{name}` to suppress"));
        let known = RULES.iter().map(|rule| rule.name).chain(site_rules.iter().map(|chosen| chosen.rule.name));
        return Some(match nearest(name, known) {
            Some(meant) => {
                diagnostic.help(format!("did you mean `{meant}`?")).unsafe_fix(format!("write `{meant}`"), place, meant)
            }
            None => diagnostic.help("`zrecipe explain` lists all rules"),
        });
    }
    (has_run && !suppression.used.get())
        .then(|| own.at(place, format!("`{name}` has no finding here to suppress")).help("remove the suppression"))
}

/// The names of rules that are written in the suppressions of a document, and where.
pub fn written(recipe: &Recipe) -> Vec<(String, Span)> {
    let all = in_comments(recipe).into_iter().chain(in_yaml(recipe.tree()));
    all.filter_map(|suppression| Some((suppression.rule, suppression.written.here()?))).collect()
}

/// The suppressions in the comments of steps.
fn in_comments(recipe: &Recipe) -> Vec<Suppression> {
    let mut found = Vec::new();
    for repeated in recipe.repeated().iter().filter(|repeated| repeated.comment) {
        // Steps lie in the order of their keys.
        let Ok(place) = recipe.steps().binary_search_by_key(&repeated.last, |step| step.key) else { continue };
        let step = &recipe.steps()[place];
        let scope = Span { start: recipe.span(step.key).start, end: recipe.span(step.value).end };
        let comment = recipe.node(repeated.value);
        let single = (comment.kind() == Kind::String).then_some(comment);
        for text in single.into_iter().chain(comment.items()) {
            found.extend(in_text(&text.text(), scope, |range| text.text_span(range)));
        }
    }
    found
}

/// The suppressions in the comments of YAML.
fn in_yaml(tree: &Tree) -> Vec<Suppression> {
    let source = tree.source();
    let mut found = Vec::new();
    let mut entries = None;
    for &comment in tree.comments().iter().filter(|&&comment| source.slice(comment).contains(MARK)) {
        let start = comment.start as usize;
        let line = source.text()[..start].rfind('\n').map_or(0, |at| at + 1);
        let is_alone = source.text()[line..start].trim().is_empty();
        let Some(scope) = (if is_alone {
            below(entries.get_or_insert_with(|| entries_of(tree)), comment.end)
        } else {
            Some(Span::new(line, start))
        }) else {
            continue;
        };
        let place = |range: Range<usize>| Span::new(start + range.start, start + range.end);
        found.extend(in_text(source.slice(comment), scope, place));
    }
    found
}

/// The entries of a document in the order of the text, outer ones first: members with their values, and items.
fn entries_of(tree: &Tree) -> Vec<Span> {
    let entries = tree.nodes().flat_map(|node| {
        let members = node.members().map(|member| Span { end: member.value.span().end, ..member.key.span() });
        members.chain(node.items().map(NodeRef::span))
    });
    let mut entries: Vec<Span> = entries.collect();
    entries.sort_unstable_by_key(|entry| (entry.start, std::cmp::Reverse(entry.end)));
    entries
}

/// The entry that begins next.
fn below(entries: &[Span], at: u32) -> Option<Span> {
    entries.get(entries.partition_point(|entry| entry.start < at)).copied()
}

fn in_text(text: &str, scope: Span, span: impl Fn(Range<usize>) -> Span) -> Vec<Suppression> {
    let Some(mark) = text.find(MARK) else { return Vec::new() };
    let words = text[mark + MARK.len()..].trim_start();
    let begin = text.len() - words.len();
    let length = words.strip_prefix(ALLOW).and_then(|names| names.find(')'));
    let Some(length) = length else {
        let is_meant = NEARLY.iter().any(|word| words.starts_with(word));
        let written = Written::Here(span(mark..text.len()));
        let none = Suppression { rule: String::new(), scope, written, used: Cell::new(false) };
        return if is_meant { vec![none] } else { Vec::new() };
    };
    let start = begin + ALLOW.len();
    let mut at = start;
    let mut found = Vec::new();
    for name in text[start..start + length].split(',') {
        let lead = name.len() - name.trim_start().len();
        let trimmed = name.trim();
        let place = span(at + lead..at + lead + trimmed.len());
        found.push(Suppression {
            rule: trimmed.to_owned(),
            scope,
            written: Written::Here(place),
            used: Cell::new(false),
        });
        at += name.len() + 1;
    }
    found
}

/// The scope of what is nowhere in the document.
const NOWHERE: Span = Span { start: u32::MAX, end: u32::MAX };

fn from_settings(pointers: &mut Pointers<'_>, pointed: &Pointed) -> Suppression {
    let scope = pointers.resolve(&pointed.pointer).unwrap_or(NOWHERE);
    let written = Written::InSettings(pointed.is_exact.then(|| pointed.pointer.clone()));
    Suppression { rule: pointed.rule.clone(), scope, written, used: Cell::new(false) }
}

/// What JSON pointers lead through; many of them lead through the same objects.
struct Pointers<'t> {
    root: NodeRef<'t>,
    members: HashMap<NodeId, HashMap<Cow<'t, str>, Member<'t>>>,
    items: HashMap<NodeId, Vec<NodeRef<'t>>>,
}

impl<'t> Pointers<'t> {
    fn new(tree: &'t Tree) -> Self {
        Self { root: tree.root(), members: HashMap::new(), items: HashMap::new() }
    }

    /// The place that a JSON pointer names: a value together with its key.
    fn resolve(&mut self, pointer: &str) -> Option<Span> {
        let mut node = self.root;
        let mut span = node.span();
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            match node.kind() {
                Kind::Object => {
                    // Of several with one name, the last.
                    let named = || node.members().map(|member| (member.key.text(), member)).collect();
                    let member = *self.members.entry(node.id()).or_insert_with(named).get(&*part)?;
                    span = Span { start: member.key.span().start, end: member.value.span().end };
                    node = member.value;
                }
                Kind::Array => {
                    let items = self.items.entry(node.id()).or_insert_with(|| node.items().collect());
                    node = *items.get(part.parse::<usize>().ok()?)?;
                    span = node.span();
                }
                _ => return None,
            }
        }
        Some(span)
    }
}
