//! The difference of two states of a recipe.

use std::collections::BTreeMap;

use super::matching::canonical;
use super::{Change, Difference, Side, Sign, Subject, match_steps, parameters, short};
use crate::recipe::{Link, Recipe, Role, Step, Target};
use crate::secret;
use crate::syntax::{Kind, NodeId, NodeRef};
use crate::value::Value;

/// Compares two states of a recipe.
///
/// ```
/// use std::sync::Arc;
/// use zrecipe_language::change::{Side, recipes};
/// use zrecipe_language::compile::{Options, read};
/// use zrecipe_language::contract::Contracts;
/// use zrecipe_language::source::Source;
///
/// let read = |text| read(Arc::new(Source::from_text("r.json", text)), Options::default());
/// let old = read(r#"{"1": {"queue": "a", "output": 2}, "2": {"queue": "b"}, "start": [[1, []]]}"#);
/// let new = read(r#"{"5": {"queue": "a", "output": 6}, "6": {"queue": "b"}, "start": [[5, []]]}"#);
/// let contracts = Contracts::built_in();
/// let difference = recipes(Side { reading: &old, contracts }, Side { reading: &new, contracts });
/// assert!(difference.changes.is_empty());
/// ```
pub fn recipes(old: Side<'_>, new: Side<'_>) -> Difference {
    let mut difference = Difference { steps: match_steps(old.reading, new.reading), ..Difference::default() };
    parameters::compare(old, new, &mut difference.changes);
    let comparison = Comparison { old: &old.reading.recipe, new: &new.reading.recipe };
    comparison.starts(&mut difference);
    comparison.errors(&mut difference);
    for step in difference.steps.removed().collect::<Vec<_>>() {
        if !comparison.is_replaced(comparison.old, step) {
            let (name, text) = comparison.of_old(step);
            let at = comparison.old.span(comparison.old.steps()[step].key);
            let change = Change::new(Sign::Removed, Subject::Step, name, format!("{text} is removed"));
            difference.changes.push(change.at(Some(at), None));
        }
    }
    for (place, partner) in difference.steps.older.clone().into_iter().enumerate() {
        match partner {
            Some(earlier) => comparison.steps(earlier, place, &mut difference),
            None if comparison.is_replaced(comparison.new, place) => {}
            None => comparison.added(place, &mut difference),
        }
    }
    difference
}

struct Comparison<'a> {
    old: &'a Recipe,
    new: &'a Recipe,
}

impl Comparison<'_> {
    /// Whether a later definition with the same number replaces a step.
    fn is_replaced(&self, recipe: &Recipe, place: usize) -> bool {
        recipe.step_index(recipe.steps()[place].id) != Some(place)
    }

    fn of_old(&self, step: usize) -> (String, String) {
        called(self.old, &self.old.steps()[step])
    }

    fn of_new(&self, step: usize) -> (String, String) {
        called(self.new, &self.new.steps()[step])
    }

    fn added(&self, place: usize, difference: &mut Difference) {
        let step = &self.new.steps()[place];
        let (name, text) = self.of_new(place);
        let at = self.new.span(step.key);
        let change = Change::new(Sign::Added, Subject::Step, name, format!("{text} is added"));
        difference.changes.push(change.at(None, Some(at)));
        difference.new_links.extend((0..self.new.links(step).len()).map(|link| (place, link)));
    }

    fn steps(&self, earlier: usize, place: usize, difference: &mut Difference) {
        let (before, after) = (&self.old.steps()[earlier], &self.new.steps()[place]);
        let (name, text) = self.of_new(place);
        let members = |recipe: &'_ Recipe, step: &Step| -> BTreeMap<String, NodeId> {
            let node = recipe.node(step.value);
            let members = node.members().map(|member| (member.key.text().into_owned(), member.value.id()));
            members.filter(|(key, _)| !matches!(key.as_str(), "output" | "error")).collect()
        };
        let (olds, news) = (members(self.old, before), members(self.new, after));
        let mut found = Vec::new();
        let keys: std::collections::BTreeSet<&String> = olds.keys().chain(news.keys()).collect();
        for key in keys {
            let old = olds.get(key).map(|&node| self.old.node(node));
            let new = news.get(key).map(|&node| self.new.node(node));
            let noun = match key.as_str() {
                "parameters" => "parameter",
                "job_parameters" => "job parameter",
                _ => "",
            };
            compare(old, new, &mut vec![key.clone()], noun, &mut found);
        }
        for Found { sign, path, old, new, shown } in found {
            let change = Change::new(sign, Subject::Step, &*name, format!("{text}: {path}{shown}"));
            let span = |recipe: &Recipe, node: Option<NodeId>| node.map(|node| recipe.span(node));
            difference.changes.push(change.at(span(self.old, old), span(self.new, new)));
        }
        self.links(earlier, place, &text, difference);
    }

    fn links(&self, earlier: usize, place: usize, text: &str, difference: &mut Difference) {
        let (before, after) = (&self.old.steps()[earlier], &self.new.steps()[place]);
        let key = |recipe: &Recipe, link: &Link| {
            (link.role == Role::Error, link.channel.map(|channel| recipe.node(channel).text().into_owned()))
        };
        let mut gone: Vec<usize> = (0..self.old.links(before).len()).collect();
        let mut come: Vec<usize> = Vec::new();
        for (index, link) in self.new.links(after).iter().enumerate() {
            let is_same = |old: &&usize| {
                let earlier = &self.old.links(before)[**old];
                key(self.old, earlier) == key(self.new, link)
                    && self.is_same_target(earlier.target, link.target, difference)
            };
            match gone.iter().find(is_same).copied() {
                Some(found) => gone.retain(|old| *old != found),
                None => come.push(index),
            }
        }
        difference.gone_links.extend(gone.iter().map(|link| (earlier, *link)));
        difference.new_links.extend(come.iter().map(|link| (place, *link)));
        let name = self.new.name(after).into_owned();
        for index in come {
            let link = &self.new.links(after)[index];
            let channel = on(key(self.new, link));
            let target = self.target(self.new, link.target);
            let same = gone.iter().position(|old| key(self.old, &self.old.links(before)[*old]) == key(self.new, link));
            let (sign, earlier, text) = match same {
                Some(found) => {
                    let earlier = &self.old.links(before)[gone.remove(found)];
                    let was = self.target(self.old, earlier.target);
                    (Sign::Changed, Some(self.old.span(earlier.node)), format!("{text}: {channel} {was} → {target}"))
                }
                None => (Sign::Added, None, format!("{text}: {channel} now goes to {target}")),
            };
            let at = self.new.span(link.node);
            difference.changes.push(Change::new(sign, Subject::Link, &*name, text).at(earlier, Some(at)));
        }
        for index in gone {
            let link = &self.old.links(before)[index];
            let target = self.target(self.old, link.target);
            let text = format!("{text}: {} no longer goes to {target}", on(key(self.old, link)));
            let at = self.old.span(link.node);
            difference.changes.push(Change::new(Sign::Removed, Subject::Link, &*name, text).at(Some(at), None));
        }
    }

    fn is_same_target(&self, old: Target, new: Target, difference: &Difference) -> bool {
        let place = |recipe: &Recipe, target: Target| target.id().and_then(|id| recipe.step_index(id));
        match (place(self.old, old), place(self.new, new)) {
            (Some(old), Some(new)) => difference.steps.newer[old] == Some(new),
            (None, None) => old == new,
            _ => false,
        }
    }

    fn target(&self, recipe: &Recipe, target: Target) -> String {
        let Some(id) = target.id() else { return "no step".to_owned() };
        match recipe.step(id) {
            Some(step) => called(recipe, step).1,
            None => format!("step {id}, which does not exist"),
        }
    }

    fn starts(&self, difference: &mut Difference) {
        let entries = |recipe: &Recipe| -> Vec<(Target, NodeId, NodeId)> {
            let entries = recipe.start().into_iter().flat_map(|start| &start.entries);
            entries.filter_map(|entry| entry.pair.map(|(_, target, payload)| (target, payload, entry.node))).collect()
        };
        let mut gone = entries(self.old);
        for (target, payload, node) in entries(self.new) {
            let at = Some(self.new.span(node));
            let text = self.target(self.new, target);
            let Some(found) = gone.iter().position(|(old, ..)| self.is_same_target(*old, target, difference)) else {
                let change =
                    Change::new(Sign::Added, Subject::Start, "start", format!("`start` now begins with {text}"));
                difference.changes.push(change.at(None, at));
                continue;
            };
            let (_, earlier, entry) = gone.remove(found);
            let mut all = Vec::new();
            let (earlier, payload) = (self.old.node(earlier), self.new.node(payload));
            compare(Some(earlier), Some(payload), &mut vec!["payload".to_owned()], "payload key", &mut all);
            for Found { sign, path, shown, .. } in all {
                let change = Change::new(sign, Subject::Start, "start", format!("`start` with {text}: {path}{shown}"));
                difference.changes.push(change.at(Some(self.old.span(entry)), at));
            }
        }
        for (target, _, node) in gone {
            let text = format!("`start` no longer begins with {}", self.target(self.old, target));
            let change = Change::new(Sign::Removed, Subject::Start, "start", text);
            difference.changes.push(change.at(Some(self.old.span(node)), None));
        }
    }

    fn errors(&self, difference: &mut Difference) {
        let targets = |recipe: &Recipe| recipe.error().map(|error| error.targets.clone()).unwrap_or_default();
        let mut gone = targets(self.old);
        for (node, target) in targets(self.new) {
            match gone.iter().position(|(_, old)| self.is_same_target(*old, target, difference)) {
                Some(found) => _ = gone.remove(found),
                None => {
                    let text = format!("the top-level `error` now names {}", self.target(self.new, target));
                    let change = Change::new(Sign::Added, Subject::Start, "error", text);
                    difference.changes.push(change.at(None, Some(self.new.span(node))));
                }
            }
        }
        for (node, target) in gone {
            let text = format!("the top-level `error` no longer names {}", self.target(self.old, target));
            let change = Change::new(Sign::Removed, Subject::Start, "error", text);
            difference.changes.push(change.at(Some(self.old.span(node)), None));
        }
    }
}

/// The number of a step, and what to call it: `step 3 (Images)`.
fn called(recipe: &Recipe, step: &Step) -> (String, String) {
    let number = recipe.name(step).into_owned();
    let text = match recipe.purpose(step) {
        Some(purpose) => format!("step {number} (`{}`)", short(&purpose)),
        None => format!("step {number}"),
    };
    (number, text)
}

fn on((is_error, channel): (bool, Option<String>)) -> String {
    match (is_error, channel) {
        (true, Some(channel)) => format!("`error` on channel `{channel}`"),
        (true, None) => "`error`".to_owned(),
        (false, Some(channel)) => format!("channel `{channel}`"),
        (false, None) => "the output".to_owned(),
    }
}

/// A difference inside of a step.
struct Found {
    sign: Sign,
    path: String,
    shown: String,
    old: Option<NodeId>,
    new: Option<NodeId>,
}

/// Compares two values: objects key by key.
fn compare(
    old: Option<NodeRef<'_>>,
    new: Option<NodeRef<'_>>,
    path: &mut Vec<String>,
    noun: &str,
    found: &mut Vec<Found>,
) {
    let is_object = |node: Option<NodeRef<'_>>| node.is_some_and(|node| node.kind() == Kind::Object);
    // A whole section that comes or goes is told key by key.
    let is_section = path.len() == 1 && !noun.is_empty() && (old.is_none() || new.is_none());
    if is_object(old) && is_object(new) || is_section && (is_object(old) || is_object(new)) {
        let mut keys: Vec<String> = Vec::new();
        for member in [old, new].into_iter().flatten().flat_map(NodeRef::members) {
            let key = member.key.text();
            if !keys.iter().any(|known| *known == *key) {
                keys.push(key.into_owned());
            }
        }
        for key in keys {
            let (old, new) = (old.and_then(|node| node.get(&key)), new.and_then(|node| node.get(&key)));
            path.push(key);
            compare(old, new, path, noun, found);
            path.pop();
        }
        return;
    }
    let (sign, shown) = match (old, new) {
        (Some(old), Some(new)) if canonical(old) == canonical(new) => return,
        (Some(a), Some(b)) => (Sign::Changed, format!(" {} → {}", value(path, a), value(path, b))),
        (Some(_), None) => (Sign::Removed, " is removed".to_owned()),
        (None, Some(new)) => (Sign::Added, format!(" {} is added", value(path, new))),
        (None, None) => return,
    };
    let place = match (noun, &path[..]) {
        ("", path) => format!("`{}`", path.join(".")),
        (noun, [_, rest @ ..]) if !rest.is_empty() => format!("{noun} `{}`", rest.join(".")),
        (_, path) => format!("`{}`", path.join(".")),
    };
    let id = |node: Option<NodeRef<'_>>| node.map(|node| node.id());
    found.push(Found { sign, path: place, shown, old: id(old), new: id(new) });
}

/// A value as it is shown: without secrets, on one line.
fn value(path: &[String], node: NodeRef<'_>) -> String {
    let name = path.last().map_or("", String::as_str);
    let shown = match secret::hidden(name, node.to_value()) {
        Value::String(text) => format!("\"{text}\""),
        other => other.to_json(),
    };
    let line: String = shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("`{}`", short(&line))
}
