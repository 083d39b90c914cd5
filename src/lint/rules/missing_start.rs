//! A recipe without `start`.

use crate::diagnostic::Sink;
use crate::lint::{Context, nearest};
use crate::source::Span;

declare_rule! {
    /// # Why
    /// `start` lists the steps that get the first messages. Without it nothing would ever happen.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images" } }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    "missing-start", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let recipe = cx.recipe;
    if !recipe.is_object() || recipe.start().is_some() || cx.tree.root().is_empty() {
        return;
    }
    let root = cx.tree.root().span();
    let brace = Span { start: root.start, end: root.start + 1 };
    let diagnostic = RULE.at(brace, "the recipe has no `start`").refused();
    let misspelt = recipe.other_keys().iter().map(|&key| cx.node(key)).find(|key| {
        nearest(&key.text(), ["start"]).is_some()
    });
    sink.report(match (misspelt, recipe.steps().first()) {
        (Some(key), _) => diagnostic
            .also(key.span(), "did you mean `start`?")
            .fix("rename it to `start`", key.span(), "\"start\""),
        (None, Some(step)) => {
            diagnostic.help(format!("add `\"start\": [[{}, []]]` for the steps that come first", step.id))
        }
        (None, None) => diagnostic.help("add steps, and `\"start\": [[1, []]]` for those that come first"),
    });
}
