//! A step that is no object.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// A step is not an object.
    ///
    /// # Why
    /// A step is an object that has at least a destination for its messages.
    ///
    /// # Example
    /// ```json
    /// { "1": "images", "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the dispatcher refuses such recipes.
    "malformed-step", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let value = cx.node(step.value);
        // A comment behind its step hides the step; `duplicate-key` says so.
        let is_late_comment = cx.recipe.repeated().iter().any(|repeated| repeated.last == step.key);
        if !matches!(value.kind(), Kind::Object | Kind::Missing) && !is_late_comment {
            let name = cx.recipe.name(step);
            let diagnostic = RULE
                .at(value.head(), format!("step `{name}` is {}, not an object", value.describe()))
                .also(cx.node(step.key).span(), "this step")
                .refused_if(is_rejected(value));
            sink.report(match value.kind() {
                Kind::String => {
                    diagnostic.help("write `{\"queue\": \"…\"}`; put a comment before the step it describes")
                }
                _ => diagnostic.help("write `{\"queue\": \"…\"}`"),
            });
        }
    }
}

/// Whether the reference rejects it: it looks for `output` and `error` in the value, which fails for what has no
/// parts and finds them in texts and lists that have such a word in them.
fn is_rejected(value: NodeRef<'_>) -> bool {
    match value.kind() {
        Kind::String => value.text().contains("output") || value.text().contains("error"),
        Kind::Array => value.items().any(|item| item.is("output") || item.is("error")),
        _ => true,
    }
}
