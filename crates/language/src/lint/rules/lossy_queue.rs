//! Steps whose messages the broker drops when they wait too long or are too many.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A queue drops messages without a dead letter.
    ///
    /// # Why
    /// A policy can limit how long messages wait in a queue, and how many. Messages beyond the limit are dead-lettered.
    /// If the queue has no dead letters, they are dropped silently: with a `message-ttl` of 0, all messages that no
    /// service can take immediately.
    ///
    /// # Example
    /// The broker drops what waits in the queue `images`:
    /// ```broker
    /// policies:
    /// - name: immediate
    ///   vhost: zocalo
    ///   pattern: ^images$
    ///   definition:
    ///     message-ttl: 0
    /// exchanges: []
    /// groups:
    /// - names: [images, trigger]
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
    /// The messages are worthless after a short time, such as progress reports.
    "lossy-queue", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.topology else { return };
    for (node, queue) in cx.broker_queues() {
        let Some(what) = topology.drops(queue) else { continue };
        let name = &queue.name.text;
        let policy = topology.policy_of(queue).map_or("", |policy| &policy.name.text);
        sink.report(
            RULE.at(node.span(), format!("the broker drops messages in queue `{name}` {what}"))
                .help(format!("because of policy `{policy}` of the broker; the queue has no dead letters")),
        );
    }
}
