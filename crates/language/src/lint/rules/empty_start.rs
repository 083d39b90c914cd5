//! A `start` that starts nothing.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::Kind;

declare_rule! {
    /// `start` names no step.
    ///
    /// # Why
    /// `start` lists the steps that receive the first messages. If it is empty, no step ever runs.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images" }, "start": [] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// The recipe is a template that another program completes.
    "empty-start", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(start) = cx.recipe.start() else { return };
    let value = cx.node(start.value);
    if value.kind() == Kind::Array && value.is_empty() {
        let diagnostic = RULE.at(value.span(), "`start` is empty, so no step gets a first message").refused();
        sink.report(match cx.recipe.steps().first() {
            Some(step) => diagnostic.help(format!("write `[[{}, []]]`: a step and the payload for it", step.id)),
            None => diagnostic,
        });
    }
}
