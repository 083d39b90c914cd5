//! Step numbers that are not written as plain decimal numbers from 1 up.

use std::collections::HashMap;

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// # Why
    /// Python reads the keys `"01"`, `" 1 "`, `"+1"` and `"1_0"` as numbers. Links are numbers without such
    /// decoration, so nobody who searches for the step finds it, and two spellings of one number lose a step.
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
    "unusual-step-number", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let mut spellings: HashMap<i64, usize> = HashMap::new();
    cx.recipe.steps().iter().for_each(|step| *spellings.entry(step.id).or_default() += 1);
    for step in cx.recipe.steps() {
        let key = cx.node(step.key);
        let canonical = step.id.to_string();
        if step.id < 1 {
            let message = format!("step number `{canonical}` is negative");
            sink.report(RULE.at(key.span(), message).help("number steps from 1"));
        } else if !key.is(&canonical) {
            let diagnostic = RULE.at(key.span(), format!("step number {} is read as `{canonical}`", cx.show(key)));
            // With another step of that number the spelling is not all that is wrong; `duplicate-step` says so.
            sink.report(if spellings[&step.id] == 1 {
                diagnostic.fix(format!("write `\"{canonical}\"`"), key.span(), format!("\"{canonical}\""))
            } else {
                diagnostic.help("give it another number")
            });
        }
    }
}
