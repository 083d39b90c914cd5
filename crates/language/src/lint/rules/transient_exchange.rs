//! An exchange that does not survive a restart of the broker.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// An exchange does not survive a restart of the broker.
    ///
    /// # Why
    /// An exchange is durable only with `durable: true`. Any other exchange and its bindings are lost when the broker
    /// restarts, although the queues remain. Until the configuration is applied again, messages to the exchange fail or
    /// are lost.
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
        let message = format!("exchange `{name}` and its bindings are lost when the broker restarts");
        sink.report(RULE.at(cx.node(exchange.name.node).span(), message).help("add `durable: true`"));
    }
}
