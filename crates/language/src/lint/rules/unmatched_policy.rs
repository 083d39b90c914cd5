//! A policy for which there is nothing.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::topology::{Policy, Topology};

declare_rule! {
    /// A policy matches no declared queue.
    ///
    /// # Why
    /// A policy that matches none of the declared queues has no effect: the intended limit or dead-letter exchange is
    /// not set. The pattern, `apply-to` and the virtual host must all match. Temporary queues exist only with their
    /// consumers, so patterns that match `amq.…` or `transient.…` are not reported.
    ///
    /// # Example
    /// ```yaml
    /// policies:
    /// - name: short
    ///   vhost: zocalo
    ///   pattern: ^image[.]
    ///   definition:
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
    ///   pattern: ^images$
    ///   definition:
    ///     message-ttl: 60000
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// The policy is for queues that are declared elsewhere.
    "unmatched-policy", Warning, about [Broker]
}

/// Names such as temporary queues have.
const TEMPORARY: [&str; 2] = ["amq.gen-1A2b3C4d5E6f7G8h9I0j1K", "transient."];

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker() else { return };
    for policy in &topology.policies {
        let is_unmatched = |name: &str| policy.pattern.matches(name) == Some(false);
        let pattern = policy.pattern.as_str();
        let is_temporary = pattern.contains("transient") || !TEMPORARY.into_iter().all(is_unmatched);
        let matches_queue = topology.queues.iter().any(|queue| policy.matches_queue(queue) != Some(false));
        let matches_exchange =
            topology.exchanges.iter().any(|exchange| policy.matches_exchange(exchange) != Some(false));
        if is_temporary || matches_queue || matches_exchange {
            continue;
        }
        let span = cx.node(policy.pattern_node.unwrap_or(policy.name.node)).span();
        let what = match (policy.of_queues, policy.of_exchanges) {
            (true, false) => "queue",
            (false, true) => "exchange",
            _ => "queue or exchange",
        };
        let message = format!("policy `{}` matches no declared {what}", policy.name.text);
        let diagnostic = RULE.at(span, message);
        sink.report(match other(topology, policy) {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
    }
}

/// What the pattern does match, where the policy does not apply.
fn other(topology: &Topology, policy: &Policy) -> Option<String> {
    let matches = |name: &str| policy.pattern.matches(name) == Some(true);
    let queues = topology.queues.iter().map(|queue| ("queue", &queue.vhost.text, &queue.name.text, policy.of_queues));
    let exchanges = topology.exchanges.iter();
    let exchanges =
        exchanges.map(|exchange| ("exchange", &exchange.vhost.text, &exchange.name.text, policy.of_exchanges));
    let (what, vhost, name, applies) = queues.chain(exchanges).find(|(_, _, name, _)| matches(name))?;
    Some(if *vhost == policy.vhost.text || !applies {
        format!("it matches {what} `{name}`, but its `apply-to` excludes {what}s")
    } else {
        format!("it matches {what} `{name}` in virtual host `{vhost}`, and is for `{}`", policy.vhost.text)
    })
}
