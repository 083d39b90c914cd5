//! An exchange that does not survive a restart of the broker.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// An exchange does not survive a restart of the broker.
    ///
    /// # Why
    /// An exchange is durable only if `durable: true` says so. Any other is gone when the broker has been restarted,
    /// and all its bindings with it, though the queues are still there. Until somebody applies the configuration
    /// again, everything that is sent to the exchange fails or is lost.
    ///
    /// # Example
    /// ```yaml
    /// policies: []
    /// exchanges:
    /// - name: results
    ///   vhost: zocalo
    ///   type: topic
    /// groups: []
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// policies: []
    /// exchanges:
    /// - name: results
    ///   vhost: zocalo
    ///   type: topic
    ///   durable: true
    /// groups: []
    /// ```
    ///
    /// # When not to follow it
    /// The configuration is applied after each start of the broker.
    "transient-exchange", Warning, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker() else { return };
    // Whoever says that it goes by itself, or that it is not durable, means it.
    let exchanges = topology.exchanges.iter().filter(|exchange| !exchange.says_durable && !exchange.auto_delete);
    for exchange in exchanges {
        let name = &exchange.name.text;
        let message = format!("exchange `{name}` and its bindings are gone after a restart of the broker");
        sink.report(RULE.at(cx.node(exchange.name.node).span(), message).help("add `durable: true`"));
    }
}
