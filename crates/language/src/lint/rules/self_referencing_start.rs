//! `start` as a target of `start`.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// `start` names itself.
    ///
    /// # Why
    /// `start` lists the first messages. It is not a step and cannot receive messages.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images" }, "start": [["start", []], [1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the dispatcher refuses such recipes.
    "self-referencing-start", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let entries = cx.recipe.start().into_iter().flat_map(|start| &start.entries);
    for (step, ..) in entries.filter_map(|entry| entry.pair) {
        let step = cx.node(step);
        if step.is("start") {
            sink.report(RULE.at(step.span(), "`start` points at itself").help("name a step by its number").refused());
        }
    }
}
