//! A top-level `error` that is a number instead of a list.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// The top-level `error` is a number, not a list.
    ///
    /// # Why
    /// The meaning of `"error": 2` is clear, and Zocalo's validation reads it as `[2]`. But the Python services crash
    /// on it, so the dispatcher does not send the recipe.
    ///
    /// # Example
    /// ```json rules=scalar-error
    /// { "1": { "queue": "images" }, "start": [[1, []]], "error": 1 }
    /// ```
    ///
    /// # Instead
    /// ```json rules=scalar-error
    /// { "1": { "queue": "images" }, "start": [[1, []]], "error": [1] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: write a list.
    "scalar-error", Note
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(error) = cx.recipe.error() else { return };
    let value = cx.node(error.value);
    if let Some(id) = value.as_integer() {
        sink.report(
            RULE.at(value.span(), "the recipe's `error` is a single number, which crashes Python services")
                .help("write it as a list")
                .fix(format!("write `[{id}]`"), value.span(), format!("[{id}]"))
                .refused(),
        );
    }
}
