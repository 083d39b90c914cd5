//! Steps without a queue or topic.

use crate::diagnostic::Sink;
use crate::lint::{Context, nearest, renamed};
use crate::syntax::Kind;

declare_rule! {
    /// A step has no queue and no topic.
    ///
    /// # Why
    /// A message to a step without `queue` and `topic` has no destination. It is dropped silently, and the steps after
    /// it never run.
    ///
    /// # Example
    /// ```json
    /// { "1": { "service": "Images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "service": "Images", "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: its messages are dropped.
    "missing-destination", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let value = cx.node(step.value);
        if value.kind() != Kind::Object || step.queue.is_some() || step.topic.is_some() {
            continue;
        }
        let is_last = || cx.recipe.steps().last().is_some_and(|last| last.key == step.key);
        if cx.is_incomplete() && is_last() {
            continue;
        }
        let name = cx.recipe.name(step);
        let mut diagnostic = RULE.at(
            cx.node(step.key).span(),
            format!("step `{name}` has neither `queue` nor `topic`, so messages to it are lost"),
        );
        let near = value.members().find(|part| nearest(&part.key.text(), ["queue", "topic"]).is_some());
        diagnostic = match near {
            Some(part) => {
                let key = part.key.text();
                let meant = nearest(&key, ["queue", "topic"]).unwrap_or("queue");
                diagnostic.also(part.key.span(), format!("is this meant to be `{meant}`?")).unsafe_fix(
                    format!("rename `{key}` to `{meant}`"),
                    part.key.span(),
                    renamed(part.key, meant),
                )
            }
            None => diagnostic.help("add the queue that its service consumes: `\"queue\": \"…\"`"),
        };
        sink.report(diagnostic);
    }
}
