//! An exchange that a delay takes the place of.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A step has a delay and an exchange; the exchange is not used.
    ///
    /// # Why
    /// A delayed message is sent to the broker's exchange `delayed`, which routes it to the queue. The `exchange` of
    /// the step is ignored.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "exchange": "results", "transport-delay": 5 }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "exchange": "results" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// The exchange is kept in the recipe for when the delay is removed.
    "delayed-exchange", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let (Some(exchange), Some(delay)) = (step.exchange, step.delay) else { continue };
        let delay = cx.node(delay);
        if delay.as_f64().is_some_and(|seconds| seconds > 0.0) {
            let message = format!("step `{}` is delayed, so its `exchange` has no effect", cx.recipe.name(step));
            sink.report(
                RULE.at(cx.node(exchange).span(), message)
                    .also(delay.span(), "the delay")
                    .help("remove one of the two: delayed messages go through the exchange `delayed`"),
            );
        }
    }
}
