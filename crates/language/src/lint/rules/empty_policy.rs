//! A policy that says nothing.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A policy has no settings.
    ///
    /// # Why
    /// RabbitMQ refuses a policy without settings, and Zocalo stops at this error.
    ///
    /// # Example
    /// ```yaml
    /// policies:
    /// - name: redelivery
    ///   vhost: zocalo
    ///   pattern: .*
    /// exchanges: []
    /// groups:
    /// - names: [images]
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
    ///     message-ttl: 60000
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// Never: RabbitMQ refuses the policy.
    "empty-policy", Error, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for policy in cx.document.broker().iter().flat_map(|topology| &topology.policies) {
        let written = policy.definition_node.map(|node| cx.node(node));
        // A definition of the wrong type is found as such.
        if written.is_some_and(|node| node.kind() != crate::syntax::Kind::Object || !node.is_empty()) {
            continue;
        }
        let message = format!("policy `{}` sets nothing, and RabbitMQ refuses it", policy.name.text);
        let span = written.unwrap_or(cx.node(policy.name.node)).span();
        sink.report(RULE.at(span, message).help("add a setting under `definition`, or remove the policy"));
    }
}
