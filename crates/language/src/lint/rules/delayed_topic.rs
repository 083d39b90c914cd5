//! A broadcast with a delay.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A broadcast to a topic has a delay.
    ///
    /// # Why
    /// Delays are for queues. The Python services crash if they have to send a broadcast to `topic` with a
    /// `transport-delay`.
    ///
    /// # Example
    /// ```json
    /// { "1": { "topic": "transient.images", "transport-delay": 5 }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "transport-delay": 5 }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Only zrecipe's own services run the recipe.
    "delayed-topic", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        if let (Some(topic), Some(delay)) = (step.topic, step.delay) {
            let name = cx.recipe.name(step);
            sink.report(
                RULE.at(
                    cx.node(delay).span(),
                    format!("step `{name}` delays a broadcast, which crashes Python services"),
                )
                .also(cx.node(topic).span(), "the topic")
                .help("remove the delay, or send to a queue"),
            );
        }
    }
}
