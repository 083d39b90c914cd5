//! A top-level `error` that names `start` or `error`.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A link leads to `start` or `error`.
    ///
    /// # Why
    /// `start` and `error` are not steps and cannot receive messages.
    ///
    /// # Example
    /// ```json rules=error-to-start
    /// { "1": { "queue": "images" }, "start": [[1, []]], "error": ["start"] }
    /// ```
    ///
    /// # Instead
    /// ```json rules=error-to-start
    /// { "1": { "queue": "images" }, "start": [[1, []]], "error": [1] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the dispatcher refuses such recipes.
    "error-to-start", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for &(node, _) in cx.recipe.error().into_iter().flat_map(|error| &error.targets) {
        let node = cx.node(node);
        for name in ["start", "error"] {
            if node.is(name) {
                let message = match name {
                    "start" => "the recipe's `error` points at `start`",
                    _ => "the recipe's `error` points at itself",
                };
                sink.report(RULE.at(node.span(), message).help("name a step by its number").refused());
            }
        }
    }
}
