//! A recipe without `start`.

use crate::diagnostic::Sink;
use crate::lint::{Context, renamed};

declare_rule! {
    /// The recipe has no `start`.
    ///
    /// # Why
    /// `start` lists the steps that receive the first messages. Without it, no step ever runs.
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
    ///
    /// # When not to follow it
    /// The recipe is a part that another program completes.
    "missing-start", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let recipe = cx.recipe;
    if !recipe.is_object() || recipe.start().is_some() || cx.tree.root().is_empty() {
        return;
    }
    let diagnostic = RULE.at(cx.tree.root().first(), "the recipe has no `start`").refused();
    // What looks missing may only be out of reach of the parser.
    if cx.is_incomplete() || cx.is_broken() && cx.tree.source().text().contains("start") {
        return;
    }
    let misspelt = recipe.other_keys().iter().map(|&key| cx.node(key)).find(|&key| cx.is_misspelt_start(key));
    sink.report(match (misspelt, recipe.steps().first()) {
        (Some(key), _) => RULE
            .at(key.span(), format!("the recipe has no `start`, and {} is not a step", cx.show(key)))
            .help("did you mean `start`?")
            .unsafe_fix("rename it to `start`", key.span(), renamed(key, "start"))
            .refused(),
        (None, Some(step)) => {
            diagnostic.help(format!("add `\"start\": [[{}, []]]` for the steps that come first", step.id))
        }
        (None, None) => diagnostic.help("add steps, and `\"start\": [[1, []]]` for those that come first"),
    });
}
