//! Two policies for one queue of which neither comes first.

use std::collections::HashSet;

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::topology::Policy;

declare_rule! {
    /// Two policies of one priority match the same queue.
    ///
    /// # Why
    /// Of all policies that match a queue, only the one with the greatest `priority` applies; policies are never
    /// merged. If two have the same priority, it is undefined which one applies.
    ///
    /// # Example
    /// ```yaml
    /// policies:
    /// - name: redelivery
    ///   vhost: zocalo
    ///   pattern: .*
    ///   definition:
    ///     delivery-limit: 5
    /// - name: short
    ///   vhost: zocalo
    ///   pattern: ^images
    ///   definition:
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
    /// # Instead
    /// ```yaml
    /// policies:
    /// - name: redelivery
    ///   vhost: zocalo
    ///   pattern: .*
    ///   definition:
    ///     delivery-limit: 5
    /// - name: short
    ///   vhost: zocalo
    ///   pattern: ^images
    ///   priority: 1
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
    /// The policies have the same definition, so that it does not matter which one applies.
    "ambiguous-policy", Warning, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker() else { return };
    let mut seen = HashSet::new();
    for queue in &topology.queues {
        let Some(first) = topology.policy_of(queue) else { continue };
        let is_rival = |policy: &&Policy| {
            policy.priority == first.priority
                && policy.name.node != first.name.node
                && policy.definition != first.definition
                && policy.applies_to(queue)
        };
        let Some(second) = topology.policies.iter().find(is_rival) else { continue };
        if !seen.insert((first.name.node, second.name.node)) {
            continue;
        }
        let (one, other) = (&first.name.text, &second.name.text);
        let message =
            format!("policies `{one}` and `{other}` both match queue `{}`, and only one applies", queue.name.text);
        sink.report(
            RULE.at(cx.node(second.name.node).span(), message)
                .also(cx.node(first.name.node).span(), format!("its priority is {}, too", first.priority))
                .help("give the policy that should apply a greater `priority`, and include the settings of both"),
        );
    }
}
