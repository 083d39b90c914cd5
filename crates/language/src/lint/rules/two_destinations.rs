//! A step with both a queue and a topic.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::NodeId;

declare_rule! {
    /// A step sends to a queue and to a topic.
    ///
    /// # Why
    /// With both `queue` and `topic`, every message is sent twice. That is possible, but rarely intended. Two steps
    /// make the intention clear.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "topic": "transient.images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// Two steps say it so that everybody sees it.
    /// ```json
    /// {
    ///   "1": { "queue": "images" },
    ///   "2": { "topic": "transient.images" },
    ///   "start": [[1, []], [2, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// Both have consumers: for example, a monitor subscribes to the topic.
    "two-destinations", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        // What is empty or no name is not sent to.
        let named = |part: Option<NodeId>| part.filter(|_| cx.recipe.text(part).is_some_and(|name| !name.is_empty()));
        if let (Some(queue), Some(topic)) = (named(step.queue), named(step.topic)) {
            let name = cx.recipe.name(step);
            sink.report(
                RULE.at(cx.node(topic).span(), format!("step `{name}` has both a queue and a topic"))
                    .label("sent here")
                    .also(cx.node(queue).span(), "and here")
                    .help("every message is sent twice; use two steps if that is intended"),
            );
        }
    }
}
