//! Keys of a step that look like a structural key and are none.

use std::cell::OnceCell;
use std::collections::HashMap;

use crate::diagnostic::Sink;
use crate::lint::{Context, renamed};
use crate::recipe::STEP_KEYS;

declare_rule! {
    /// A key of a step looks like a known one.
    ///
    /// # Why
    /// A step may have additional keys, so `"outptu"` is legal, and ignored.
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
    ///
    /// # When not to follow it
    /// A service of the site reads a key of this name.
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
        let value = cx.node(step.value);
        let keys = OnceCell::new();
        for part in value.members() {
            let key = part.key.text();
            if STEP_KEYS.contains(&&*key) || key.chars().count() < 4 {
                continue;
            }
            let Some(meant) = meant(&key) else { continue };
            // Without any destination that is the mistake, and it is reported as such.
            if matches!(meant, "queue" | "topic") && step.queue.is_none() && step.topic.is_none() {
                continue;
            }
            let span = part.key.span();
            let diagnostic = RULE
                .at(span, format!("key `{key}` of step `{}` is unknown to zocalo", cx.recipe.name(step)))
                .help(format!("did you mean `{meant}`?"));
            let keys = keys.get_or_init(|| {
                let mut keys = HashMap::new();
                value.members().for_each(|part| *keys.entry(part.key.text()).or_insert(0) += 1);
                keys
            });
            // Under one name only one of several would count.
            sink.report(if keys.contains_key(meant) || keys.get(&key).is_some_and(|&count| count > 1) {
                diagnostic
            } else {
                // A step may have keys of its own, so this is a guess.
                diagnostic.unsafe_fix(format!("rename it to `{meant}`"), span, renamed(part.key, meant))
            });
        }
    }
}

/// The structural key that a key must be meant to be: one slip of the finger away, or two in a long word.
fn meant(key: &str) -> Option<&'static str> {
    if let Some((_, meant)) = OTHER_SPELLINGS.iter().find(|(other, _)| *other == key) {
        return Some(meant);
    }
    let most = if key.chars().count() < 9 { 1 } else { 2 };
    let distance = |known: &str| strsim::damerau_levenshtein(&key.to_lowercase(), known);
    STEP_KEYS.into_iter().find(|known| known.len().abs_diff(key.len()) <= most && distance(known) <= most)
}
