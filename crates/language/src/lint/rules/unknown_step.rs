//! Links and starts that name a step that is not there.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Diagnostic, Sink};
use crate::lint::Context;
use crate::recipe::{Role, Step, Target};
use crate::syntax::{Kind, NodeId, NodeRef};

declare_rule! {
    /// A link leads to a step that does not exist.
    ///
    /// # Why
    /// A message to a step that does not exist cannot be sent.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "output": 3 }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "output": 2 }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the dispatcher refuses such recipes.
    "unknown-step", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if cx.is_incomplete() {
        return;
    }
    let recipe = cx.recipe;
    let known = Known::default();
    for step in recipe.steps() {
        for link in recipe.links(step) {
            let from = || match (link.role, link.channel) {
                (Role::Error, _) => format!("`error` of step `{}`", recipe.name(step)),
                (Role::Output, Some(channel)) => {
                    format!("channel `{}` of step `{}`", cx.node(channel).text(), recipe.name(step))
                }
                (Role::Output, None) => format!("`output` of step `{}`", recipe.name(step)),
            };
            sink.extend(unknown(cx, &known, from, link.node, link.target));
        }
    }
    let entries = recipe.start().into_iter().flat_map(|start| &start.entries);
    for (node, target, _) in entries.filter_map(|entry| entry.pair) {
        sink.extend(unknown(cx, &known, || "`start`".to_owned(), node, target));
    }
    for &(node, target) in recipe.error().into_iter().flat_map(|error| &error.targets) {
        sink.extend(unknown(cx, &known, || "the recipe's `error`".to_owned(), node, target));
    }
}

/// The steps that there are, in words.
fn steps_in_words(cx: &Context<'_>) -> String {
    let mut known: Vec<i64> = cx.recipe.steps().iter().map(|step| step.id).collect();
    known.sort_unstable();
    known.dedup();
    let list = |ids: &[i64]| ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    match known.as_slice() {
        [] => "the recipe has no steps".to_owned(),
        [only] => format!("the recipe has only step `{only}`"),
        few if few.len() <= 12 => format!("the recipe has steps {}", list(few)),
        [first, .., last] => format!("the recipe has {} steps, `{first}` to `{last}`", known.len()),
    }
}

/// What is asked once for every link that leads nowhere, and known after the first.
#[derive(Default)]
struct Known<'a> {
    /// The steps that there are, in words.
    in_words: OnceCell<String>,
    /// Steps inside of others: the number, and the step that it stands in.
    nested: OnceCell<HashMap<i64, &'a Step>>,
    /// Numbers that stand in quotes anywhere in the text.
    quoted: OnceCell<HashSet<i64>>,
}

/// What looks like a step inside of another one, or inside of a member of it.
fn nested<'a>(cx: &Context<'a>) -> HashMap<i64, &'a Step> {
    let mut found = HashMap::new();
    let is_step = |value: NodeRef<'_>| {
        value.kind() == Kind::Object && ["queue", "topic", "service"].iter().any(|key| value.get(key).is_some())
    };
    for step in cx.recipe.steps() {
        let value = cx.node(step.value);
        for object in std::iter::once(value).chain(value.members().map(|member| member.value)) {
            for member in object.members().filter(|member| is_step(member.value)) {
                if let Some(id) = number(&member.key.text()) {
                    found.entry(id).or_insert(step);
                }
            }
        }
    }
    found
}

/// The number that a text is, as links write it.
fn number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|id: &i64| id.to_string() == text)
}

fn unknown<'a>(
    cx: &Context<'a>,
    known: &Known<'a>,
    from: impl Fn() -> String,
    node: NodeId,
    target: Target,
) -> Option<Diagnostic> {
    let Target::Step(id) = target else { return None };
    // In a broken text the step may have ended up in another one.
    let quoted = || cx.tree.source().text().split('"').filter_map(number).collect();
    let may_be_lost = || cx.is_broken() && known.quoted.get_or_init(quoted).contains(&id);
    if cx.recipe.step(id).is_some() || may_be_lost() {
        return None;
    }
    let nested = known.nested.get_or_init(|| nested(cx)).get(&id);
    let help = match nested {
        Some(step) => format!("step `{id}` is inside step `{}`; close that step before it", cx.recipe.name(step)),
        None => known.in_words.get_or_init(|| steps_in_words(cx)).clone(),
    };
    let (node, from) = (cx.node(node), from());
    Some(
        RULE.at(node.span(), format!("{from} goes to step `{id}`, which does not exist"))
            .label("no such step")
            .help(help)
            .refused(),
    )
}
