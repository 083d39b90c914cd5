//! Links and starts that name a step that is not there.

use std::cell::OnceCell;

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
    let steps = OnceCell::new();
    for step in recipe.steps() {
        for link in recipe.links(step) {
            let from = || match (link.role, link.channel) {
                (Role::Error, _) => format!("`error` of step `{}`", recipe.name(step)),
                (Role::Output, Some(channel)) => {
                    format!("channel `{}` of step `{}`", cx.node(channel).text(), recipe.name(step))
                }
                (Role::Output, None) => format!("`output` of step `{}`", recipe.name(step)),
            };
            sink.extend(unknown(cx, &steps, from, link.node, link.target));
        }
    }
    let entries = recipe.start().into_iter().flat_map(|start| &start.entries);
    for (node, target, _) in entries.filter_map(|entry| entry.pair) {
        sink.extend(unknown(cx, &steps, || "`start`".to_owned(), node, target));
    }
    for &(node, target) in recipe.error().into_iter().flat_map(|error| &error.targets) {
        sink.extend(unknown(cx, &steps, || "the recipe's `error`".to_owned(), node, target));
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

/// Where there is a step of this number inside of another one, in words.
fn nested(cx: &Context<'_>, id: i64) -> Option<String> {
    let number = id.to_string();
    let is_it = |object: NodeRef<'_>| {
        let step = object.get(&number).filter(|step| step.kind() == Kind::Object)?;
        ["queue", "topic", "service"].into_iter().any(|key| step.get(key).is_some()).then_some(())
    };
    let holds = |step: &&Step| {
        let value = cx.node(step.value);
        is_it(value).is_some() || value.members().any(|member| is_it(member.value).is_some())
    };
    let step = cx.recipe.steps().iter().find(holds)?;
    Some(format!("step `{id}` stands inside step `{}`; close that one before it", cx.recipe.name(step)))
}

fn unknown(
    cx: &Context<'_>,
    steps: &OnceCell<String>,
    from: impl Fn() -> String,
    node: NodeId,
    target: Target,
) -> Option<Diagnostic> {
    let Target::Step(id) = target else { return None };
    // In a broken text the step may have ended up in another one.
    let may_be_lost = || cx.is_broken() && cx.tree.source().text().contains(&format!("\"{id}\""));
    if cx.recipe.step(id).is_some() || may_be_lost() {
        return None;
    }
    let nested = nested(cx, id);
    let help = nested.as_ref().unwrap_or_else(|| steps.get_or_init(|| steps_in_words(cx)));
    let (node, from) = (cx.node(node), from());
    Some(
        RULE.at(node.span(), format!("{from} goes to step `{id}`, which does not exist"))
            .label("no such step")
            .help(help.clone())
            .refused(),
    )
}
