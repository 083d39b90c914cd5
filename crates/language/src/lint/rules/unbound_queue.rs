//! A message that goes through an exchange which gives it to no queue.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::Kind;
use crate::topology::{DELAYED, Destination, Topology, is_built_in};

declare_rule! {
    /// No binding leads from the exchange to the queue.
    ///
    /// # Why
    /// A message with a `transport-delay` goes through the exchange `delayed`, and a message of a step with an
    /// `exchange` through that exchange; `queue` is then only the routing key. Without a matching binding, the message
    /// is lost.
    ///
    /// # Example
    /// In the broker the queue `images` is bound to the default exchange only:
    /// ```broker
    /// policies: []
    /// exchanges:
    /// - name: delayed
    ///   vhost: zocalo
    ///   type: x-delayed-message
    ///   durable: true
    ///   arguments:
    ///     x-delayed-type: direct
    /// groups:
    /// - names: [images]
    ///   settings:
    ///     queues:
    ///       dead-letter-routing-key-pattern: dlq.{name}
    ///   vhost: zocalo
    /// - names: [trigger]
    ///   bindings: ['', delayed]
    ///   settings:
    ///     queues:
    ///       dead-letter-routing-key-pattern: dlq.{name}
    ///   vhost: zocalo
    /// ```
    /// ```json
    /// { "1": { "queue": "images", "transport-delay": 60 }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "trigger", "transport-delay": 60 }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// A service declares the binding when it starts.
    "unbound-queue", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.topology else { return };
    for step in cx.recipe.steps() {
        let Some(queue) = cx.destination(step.queue) else { continue };
        let delay = step.delay.map(|delay| cx.node(delay)).filter(|delay| delay.kind() == Kind::Number);
        let exchange = cx.destination(step.exchange);
        let (exchange, node) = match (delay, exchange) {
            (Some(delay), _) => (DELAYED.into(), delay),
            (None, Some(exchange)) => (exchange.text(), exchange),
            (None, None) => continue,
        };
        let (key, name) = (queue.text(), cx.recipe.name(step));
        // What is not there at all is the business of other rules.
        let is_known = delay.is_none() || topology.queue(&key).is_some();
        if !is_known || is_built_in(&exchange) || takes(topology, &exchange, &key) != Some(false) {
            continue;
        }
        let message = format!("exchange `{exchange}` routes messages for `{key}` of step `{name}` to no queue");
        let diagnostic = RULE.at(node.span(), message).also(queue.span(), "the routing key");
        sink.report(match topology.queue(&key) {
            Some(_) => diagnostic.help(format!("bind `{key}` to `{exchange}` in the broker's configuration")),
            None => diagnostic.help(format!("write a routing key for which `{exchange}` has a binding")),
        });
    }
}

/// Whether an exchange passes a message on; nothing when that is not sure, or there is no such exchange.
fn takes(topology: &Topology, exchange: &str, key: &str) -> Option<bool> {
    topology.exchange(exchange)?;
    let mut bindings = topology.bindings_from(exchange);
    let takes =
        bindings.any(|binding| topology.takes(binding, key) != Some(false) || binding.kind == Destination::Exchange);
    Some(takes)
}
