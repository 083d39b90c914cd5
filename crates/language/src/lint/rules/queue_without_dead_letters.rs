//! Steps whose messages are gone when they fail too often.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// # Why
    /// A message that a service gives back too often (`delivery-limit`, for quorum queues) or rejects becomes a dead
    /// letter, which people can look at and send again. A queue without a place for dead letters drops it.
    ///
    /// # Example
    /// In the broker the queue `images` has no dead letters:
    /// ```broker
    /// policies:
    /// - name: redelivery
    ///   vhost: zocalo
    ///   pattern: .*
    ///   definition:
    ///     delivery-limit: 5
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
    "queue-without-dead-letters", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.topology else { return };
    for (node, queue) in cx.broker_queues() {
        // A queue for dead letters has none itself, and one that drops messages on purpose is found as such.
        let is_meant = queue.is_dead_letter_queue || topology.drops(queue).is_some();
        let is_limited = topology.setting(queue, "delivery-limit").is_some();
        if is_meant || !is_limited || topology.dead_letters(queue).is_some() {
            continue;
        }
        let name = &queue.name.text;
        sink.report(
            RULE.at(node.span(), format!("messages in queue `{name}` that fail too often are dropped"))
                .help("give its group a `dead-letter-routing-key-pattern` in the broker's configuration"),
        );
    }
}
