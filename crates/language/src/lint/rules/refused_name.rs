//! A queue or an exchange with a name that RabbitMQ does not take.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::topology::MOST_NAME;

declare_rule! {
    /// RabbitMQ refuses a name.
    ///
    /// # Why
    /// RabbitMQ reserves names that begin with `amq.` and refuses to declare them. The empty name is that of the
    /// default exchange. Names have at most 255 bytes.
    ///
    /// # Example
    /// ```yaml
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [amq.images]
    ///   vhost: zocalo
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// Never: RabbitMQ does not declare it.
    "refused-name", Error, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker() else { return };
    let queues = topology.queues.iter().map(|queue| ("queue", &queue.name));
    let exchanges = topology.exchanges.iter().map(|exchange| ("exchange", &exchange.name));
    for (what, name) in queues.chain(exchanges) {
        let (text, span) = (&name.text, cx.node(name.node).span());
        if text.is_empty() || text.starts_with("amq.") {
            let message = format!("RabbitMQ refuses to declare {what} `{text}`");
            sink.report(RULE.at(span, message).help("give it a name that does not begin with `amq.`"));
        } else if text.len() > MOST_NAME {
            let message =
                format!("the name of the {what} has {} bytes; the maximum in RabbitMQ is {MOST_NAME}", text.len());
            sink.report(RULE.at(span, message));
        }
    }
}
