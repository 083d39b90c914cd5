//! Step numbers that are not written as plain decimal numbers from 1 up.

use std::cell::OnceCell;
use std::collections::HashSet;

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A step number is written in an unusual way.
    ///
    /// # Why
    /// Python reads the keys `"01"`, `" 1 "`, `"+1"` and `"1_0"` as numbers. Links are plain numbers, so a search for
    /// the step does not find it, and two spellings of one number lose a step.
    ///
    /// # Example
    /// ```json
    /// { "01": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: write the number plainly.
    "unusual-step-number", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let repeated = OnceCell::new();
    for step in cx.recipe.steps() {
        let key = cx.node(step.key);
        let canonical = step.id.to_string();
        if step.id < 1 {
            let message = format!("step number `{canonical}` is negative");
            sink.report(RULE.at(key.span(), message).help("number steps from 1"));
        } else if !key.is(&canonical) {
            // With another step of that number the spelling is not what is wrong; `duplicate-step` says what is.
            if cx.recipe.has_repeated_steps() && repeated.get_or_init(|| repeated_ids(cx)).contains(&step.id) {
                continue;
            }
            sink.report(RULE.at(key.span(), format!("step number {} is read as `{canonical}`", cx.show(key))).fix(
                format!("write `\"{canonical}\"`"),
                key.span(),
                format!("\"{canonical}\""),
            ));
        }
    }
}

/// The numbers that more than one key stands for.
fn repeated_ids(cx: &Context<'_>) -> HashSet<i64> {
    let mut seen = HashSet::new();
    cx.recipe.steps().iter().map(|step| step.id).filter(|&id| !seen.insert(id)).collect()
}
