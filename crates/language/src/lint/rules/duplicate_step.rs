//! Two spellings of one step number.

use std::collections::HashMap;

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// Two keys are the same step number.
    ///
    /// # Why
    /// `"1"` and `"01"` are different keys for the same step: one definition is lost.
    ///
    /// # Example
    /// ```json rules=duplicate-step
    /// { "1": { "queue": "images" }, "01": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images" }, "2": { "queue": "archiver" }, "start": [[1, []], [2, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: one of the steps is lost.
    "duplicate-step", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if !cx.recipe.has_repeated_steps() {
        return;
    }
    let steps = cx.recipe.steps();
    let mut last = HashMap::with_capacity(steps.len());
    for step in steps.iter().rev() {
        let kept = *last.entry(step.id).or_insert(step.key);
        if kept != step.key {
            let (key, kept) = (cx.node(step.key), cx.node(kept));
            sink.report(
                RULE.at(key.span(), format!("keys {} and {} are the same step", cx.show(key), cx.show(kept)))
                    .label("this definition is lost")
                    .also(kept.span(), "this value is used")
                    .help("give one of them another number"),
            );
        }
    }
}
