//! Settings that queues of this type do not have.

use crate::diagnostic::{Level, Sink};
use crate::lint::Context;
use crate::topology::{Policy, Queue};

declare_rule! {
    /// A queue's type does not know a setting.
    ///
    /// # Why
    /// RabbitMQ refuses a stream with dead letters. If a policy has one setting that the type of a queue does not
    /// support, RabbitMQ does not apply the policy to that queue at all: `delivery-limit` is for quorum queues,
    /// `message-ttl` is not for streams, `max-age` is for streams only. A stream cannot have a single active consumer,
    /// so Zocalo omits that setting.
    ///
    /// # Example
    /// ```yaml
    /// policies:
    /// - name: short
    ///   vhost: zocalo
    ///   pattern: ^images
    ///   definition:
    ///     delivery-limit: 5
    ///     message-ttl: 60000
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   vhost: zocalo
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// policies:
    /// - name: short
    ///   vhost: zocalo
    ///   pattern: ^images
    ///   definition:
    ///     delivery-limit: 5
    ///     message-ttl: 60000
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   settings:
    ///     queues:
    ///       type: quorum
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// Never: RabbitMQ refuses the queue, or does not apply the policy.
    "unsupported-setting", Error, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker() else { return };
    for group in topology.groups.iter().filter(|group| !group.broadcast && group.queue_type.text == "stream") {
        let kind = cx.node(group.queue_type.node).span();
        if let Some(letters) = &group.dead_letters {
            let span = cx.node(letters.pattern.node).span();
            sink.report(
                RULE.at(span, "RabbitMQ refuses a stream with dead letters")
                    .also(kind, "the type of the queues")
                    .help("a stream keeps its messages, so none is dead-lettered: remove the pattern"),
            );
        }
        if let Some(single) = &group.single_active_consumer {
            sink.report(
                RULE.at(cx.node(single.node).span(), "`single_active_consumer` has no effect on a stream")
                    .also(kind, "the type of the queues")
                    .help("remove it, or make them quorum queues")
                    .level(Level::Warning),
            );
        }
    }
    for policy in &topology.policies {
        let matched: Vec<&Queue> =
            topology.queues.iter().filter(|queue| policy.matches_queue(queue) == Some(true)).collect();
        let Some((queue, key)) = matched.iter().find_map(|queue| lost(policy, queue, &matched)) else { continue };
        let (name, kind) = (&policy.name.text, queue.kind());
        let node = policy
            .definition_node
            .and_then(|node| cx.node(node).members().find(|member| member.key.is(key)).map(|member| member.key));
        let message = format!(
            "policy `{name}` does not apply to {kind} queue `{}`, which does not support `{key}`",
            queue.name.text
        );
        sink.report(
            RULE.at(node.unwrap_or(cx.node(policy.name.node)).span(), message)
                .also(cx.node(queue.name.node).span(), format!("a {kind} queue"))
                .help(format!("make a policy without `{key}` for {kind} queues"))
                .level(Level::Warning),
        );
    }
}

/// The setting for which a policy does not apply to a queue, if that costs the queue anything: another setting, or
/// everything that the policy is for.
fn lost<'p>(policy: &'p Policy, queue: &'p Queue, matched: &[&Queue]) -> Option<(&'p Queue, &'p str)> {
    let unsupported: Vec<&str> = policy.unsupported(queue.kind()).collect();
    let key = *unsupported.first()?;
    let is_for_nothing = matched.iter().all(|other| policy.unsupported(other.kind()).next().is_some());
    (is_for_nothing || policy.definition.len() > unsupported.len()).then_some((queue, key))
}
