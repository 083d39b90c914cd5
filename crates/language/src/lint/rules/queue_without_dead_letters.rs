//! Steps whose messages are gone when they fail too often.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A queue that the recipe uses has no dead letters.
    ///
    /// # Why
    /// A message that a service rejects, or that is redelivered too often (`delivery-limit`, for quorum queues), is
    /// dead-lettered, so that it can be read and sent again. A queue without a dead-letter queue drops it. Any service
    /// may reject a message: Dispatcher, Runner and Mailer reject messages that they cannot read.
    ///
    /// # Example
    /// In the broker the queue `images` has no dead letters:
    /// ```broker
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   settings:
    ///     queues:
    ///       type: quorum
    ///   vhost: zocalo
    /// - names: [archiver]
    ///   settings:
    ///     queues:
    ///       type: quorum
    ///       dead-letter-routing-key-pattern: dlq.{name}
    ///   vhost: zocalo
    /// ```
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Messages that the service rejects may be lost.
    "queue-without-dead-letters", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.topology else { return };
    for (node, queue) in cx.broker_queues() {
        // A queue for dead letters has none itself, and one that drops messages on purpose is found as such.
        let is_meant = queue.is_dead_letter_queue || topology.drops(queue).is_some();
        // Nothing is rejected in a stream, and what a policy says counts only where it is known which one does.
        let is_unclear = queue.kind() == "stream" || !topology.knows_policy(queue);
        if is_meant || is_unclear || topology.dead_letters(queue).is_some() {
            continue;
        }
        let name = &queue.name.text;
        let is_limited = topology.setting(queue, "delivery-limit").is_some();
        let which = if is_limited { "are rejected or fail too often" } else { "its service rejects" };
        sink.report(
            RULE.at(node.span(), format!("messages in queue `{name}` that {which} are dropped"))
                .help("give its group a `dead-letter-routing-key-pattern` in the broker's configuration"),
        );
    }
}
