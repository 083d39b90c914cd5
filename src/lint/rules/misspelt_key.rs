//! Keys of a step that look like a structural key and are none.

use std::collections::HashSet;

use crate::diagnostic::Sink;
use crate::lint::{Context, nearest};
use crate::recipe::STEP_KEYS;

declare_rule! {
    /// # Why
    /// A step may have keys of its own, so `"outptu"` is legal, and ignored.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "paramters": { "size": 3 } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "size": 3 } }, "start": [[1, []]] }
    /// ```
    "misspelt-key", Warning
}

/// Spellings that are further from the right one than a slip of the finger.
const OTHER_SPELLINGS: [(&str, &str); 8] = [
    ("outputs", "output"),
    ("params", "parameters"),
    ("parameter", "parameters"),
    ("job-parameters", "job_parameters"),
    ("jobparameters", "job_parameters"),
    ("transport_delay", "transport-delay"),
    ("delay", "transport-delay"),
    ("errors", "error"),
];

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let keys: HashSet<_> = cx.node(step.value).members().map(|part| part.key.text()).collect();
        for part in cx.node(step.value).members() {
            let key = part.key.text();
            if STEP_KEYS.contains(&&*key) || key.chars().count() < 4 {
                continue;
            }
            let known = OTHER_SPELLINGS.iter().find(|(other, _)| *other == key).map(|&(_, meant)| meant);
            let Some(meant) = known.or_else(|| nearest(&key, STEP_KEYS)) else { continue };
            let span = part.key.span();
            let diagnostic = RULE
                .at(span, format!("key `{key}` of step `{}` has no meaning", cx.recipe.name(step)))
                .help(format!("did you mean `{meant}`?"));
            sink.report(if keys.contains(meant) {
                diagnostic
            } else {
                diagnostic.fix(format!("rename it to `{meant}`"), span, format!("\"{meant}\""))
            });
        }
    }
}
