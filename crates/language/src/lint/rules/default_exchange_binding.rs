//! A binding of the default exchange that is not one that it has by itself.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::topology::Destination;

declare_rule! {
    /// A binding names the default exchange.
    ///
    /// # Why
    /// The default exchange, whose name is empty, routes messages to every queue by the name of the queue. RabbitMQ
    /// refuses any other binding from it or to it.
    ///
    /// # Example
    /// ```yaml
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   vhost: zocalo
    /// bindings:
    /// - source: ''
    ///   destination: images
    ///   routing_key: pictures
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
    /// bindings:
    /// - source: amq.direct
    ///   destination: images
    ///   routing_key: pictures
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// Never: RabbitMQ refuses the binding.
    "default-exchange-binding", Error, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker() else { return };
    for binding in &topology.bindings {
        let (source, destination) = (&binding.source, &binding.destination);
        let is_own = binding.kind == Destination::Queue
            && binding.routing_key == destination.text
            && binding.arguments.is_empty();
        let name = if source.text.is_empty() && !is_own {
            source
        } else if destination.text.is_empty() && binding.kind == Destination::Exchange {
            destination
        } else {
            continue;
        };
        sink.report(
            RULE.at(cx.node(name.node).span(), "RabbitMQ refuses to bind the default exchange")
                .help("declare an exchange of your own, or send to queues by their names"),
        );
    }
}
