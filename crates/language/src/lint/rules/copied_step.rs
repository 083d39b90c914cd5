//! Two equal steps that the same output feeds.

use std::collections::HashMap;

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::recipe::Role;
use crate::syntax::NodeId;

declare_rule! {
    /// Two steps that receive the same messages are equal.
    ///
    /// # Why
    /// Two steps with the same queue, parameters and outputs that receive the same messages do the same work twice, and
    /// so do all steps after them. Usually a step was copied and not changed.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": { "queue": "find", "output": [2, 3] },
    ///   "2": { "queue": "images", "parameters": { "size": 3 } },
    ///   "3": { "queue": "images", "parameters": { "size": 3 } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "find", "output": [2, 3] },
    ///   "2": { "queue": "images", "parameters": { "size": 3 } },
    ///   "3": { "queue": "images", "parameters": { "size": 9 } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The work is meant to be done twice.
    "copied-step", Warning
}

/// How many steps that one output feeds are compared with each other.
const MOST: usize = 50;

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let recipe = cx.recipe;
    let mut told = Vec::new();
    for step in recipe.steps() {
        let mut fed: HashMap<Option<NodeId>, Vec<usize>> = HashMap::new();
        for link in recipe.links(step).iter().filter(|link| link.role == Role::Output) {
            if let Some(to) = link.target.id().and_then(|id| recipe.step_index(id)) {
                fed.entry(link.channel).or_default().push(to);
            }
        }
        let mut fed: Vec<Vec<usize>> = fed.into_values().filter(|fed| fed.len() > 1).collect();
        for fed in &mut fed {
            // Of a step that is named twice another rule speaks.
            fed.sort_unstable();
            fed.dedup();
            fed.truncate(MOST);
            for (place, &first) in fed.iter().enumerate() {
                let same = fed[place + 1..].iter().find(|&&other| are_same(cx, first, other));
                told.extend(same.map(|&other| (other, first)));
            }
        }
    }
    told.sort_unstable();
    told.dedup_by_key(|&mut (other, _)| other);
    for (copy, first) in told {
        let (copy, first) = (&recipe.steps()[copy], &recipe.steps()[first]);
        let message = format!(
            "steps `{}` and `{}` are the same, and one output feeds both",
            recipe.name(first),
            recipe.name(copy)
        );
        sink.report(
            RULE.at(cx.node(copy.key).span(), message)
                .also(cx.node(first.key).span(), "the same step")
                .help("change the copy, or remove it"),
        );
    }
}

fn are_same(cx: &Context<'_>, one: usize, other: usize) -> bool {
    let [one, other] = [one, other].map(|place| &cx.recipe.steps()[place]);
    let text = |part| cx.recipe.text(part);
    text(one.queue) == text(other.queue)
        && text(one.topic) == text(other.topic)
        && cx.node(one.value).to_value() == cx.node(other.value).to_value()
}
