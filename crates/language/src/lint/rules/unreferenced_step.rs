//! Steps that no message reaches.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::recipe::Target;

declare_rule! {
    /// No link leads to a step.
    ///
    /// # Why
    /// A step that neither `start` nor a link leads to never runs. Usually a link is missing, or has the wrong number.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images" }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "output": 2 }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// The step is kept for later. Then remove it, or write it as a comment.
    "unreferenced-step", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    // Without a readable start everything is unreached, and that is one mistake, not many.
    let readable = |target: Target| target.id().is_some_and(|id| cx.recipe.step(id).is_some());
    let starts = cx.recipe.start().is_some_and(|start| {
        let mut targets = start.entries.iter().filter_map(|entry| entry.pair.map(|(_, target, _)| target));
        let unreadable =
            start.entries.iter().any(|entry| entry.pair.is_none_or(|(_, target, _)| target.id().is_none()));
        targets.any(readable) && !unreadable
    });
    if !starts || cx.is_broken() {
        return;
    }
    for unreached in cx.graph.unreached() {
        let step = &cx.recipe.steps()[unreached.step];
        let name = cx.recipe.name(step);
        let mut diagnostic =
            RULE.at(cx.node(step.key).span(), format!("no message ever reaches step `{name}`")).refused();
        if let Some(purpose) = cx.recipe.purpose(step) {
            diagnostic = diagnostic.label(purpose.into_owned());
        }
        let link = "link to it from another step's `output`, add it to `start`, or remove it".to_owned();
        sink.report(diagnostic.help(match unreached.behind {
            0 => link,
            1 => format!("{link}; one more step is reached only from here"),
            more => format!("{link}; {more} more steps are reached only from here"),
        }));
    }
}
