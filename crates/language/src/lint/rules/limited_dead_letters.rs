//! Dead letters that are gone when somebody has looked at them too often.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::topology::{Policy, Queue, Topology};

declare_rule! {
    /// A delivery limit applies to a dead-letter queue.
    ///
    /// # Why
    /// A policy for all queues also applies to their dead-letter queues. Reading and requeuing a message in a quorum
    /// queue counts as a delivery, in the management page as well as in tools. If a dead letter is redelivered more
    /// often than `delivery-limit` allows, RabbitMQ drops it, because a dead-letter queue has no dead-letter queue.
    ///
    /// # Example
    /// ```yaml
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
    ///       dead-letter-routing-key-pattern: dlq.{name}
    ///   vhost: zocalo
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// policies:
    /// - name: redelivery
    ///   vhost: zocalo
    ///   pattern: ^(?!dlq[.])
    ///   definition:
    ///     delivery-limit: 5
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   settings:
    ///     queues:
    ///       type: quorum
    ///       dead-letter-routing-key-pattern: dlq.{name}
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// The dead-letter queues are classic queues, or dead letters are not read before they are reinjected.
    "limited-dead-letters", Warning, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker() else { return };
    for policy in &topology.policies {
        let Some(limit) = policy.definition.get("delivery-limit").and_then(crate::value::Value::as_i64) else {
            continue;
        };
        let limited: Vec<&Queue> = topology.queues.iter().filter(|queue| is_limited(topology, policy, queue)).collect();
        let Some(queue) = limited.first().filter(|_| limit >= 0) else { continue };
        let node = cx.node(policy.pattern_node.unwrap_or(policy.name.node));
        let (name, queue) = (&policy.name.text, &queue.name.text);
        let more = match limited.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!(
            "policy `{name}` also limits deliveries in dead-letter queue `{queue}`{more}, so letters that are read {} \
             times are dropped",
            limit + 1
        );
        sink.report(RULE.at(node.span(), message).help("exclude dead-letter queues from the pattern: `^(?!dlq[.])`"));
    }
}

fn is_limited(topology: &Topology, policy: &Policy, queue: &Queue) -> bool {
    queue.is_dead_letter_queue
        && topology.dead_letters(queue).is_none()
        && topology.policy_of(queue).is_some_and(|found| std::ptr::eq(found, policy))
}
