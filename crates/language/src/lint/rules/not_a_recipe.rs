//! A document that is no recipe at all.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::Kind;

declare_rule! {
    /// The file is not a recipe.
    ///
    /// # Why
    /// A recipe is an object whose keys are step numbers and `start`.
    ///
    /// # Example
    /// ```json
    /// [{ "queue": "images" }]
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// The file is of another kind. Then `[[files]]` in zrecipe.toml states it.
    "not-a-recipe", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let root = cx.tree.root();
    let what = match root.kind() {
        Kind::Object if root.is_empty() && !cx.is_incomplete() => "an empty object",
        Kind::Object | Kind::Missing => return,
        _ => root.describe(),
    };
    sink.report(
        RULE.at(root.head(), format!("a recipe is an object with steps, and this is {what}"))
            .help("write `{\"1\": {\"queue\": \"…\"}, \"start\": [[1, []]]}`")
            .refused(),
    );
}
