//! A queue that is named and that nobody declares.

use crate::diagnostic::{Sink, nearest};
use crate::lint::Context;
use crate::topology::{Destination, Topology};
use crate::value::write_string;

declare_rule! {
    /// A queue is not declared.
    ///
    /// # Why
    /// The broker has the queues that its configuration declares, and services do not declare theirs. A message to any
    /// other queue is unroutable, and RabbitMQ refuses a binding to it. Queues with placeholders in their names, and
    /// many that begin with `transient.`, are created at run time; these are not reported.
    ///
    /// # Example
    /// The broker has the queue `images`:
    /// ```broker
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   settings:
    ///     queues:
    ///       dead-letter-routing-key-pattern: dlq.{name}
    /// ```
    /// ```json
    /// { "1": { "queue": "imgaes" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// A service declares the queue when it starts, or another file declares it.
    "undeclared-queue", Error, about [Recipe, Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if let Some(topology) = cx.document.broker() {
        check_bindings(cx, topology, sink);
    }
    if let Some(topology) = cx.topology {
        check_steps(cx, topology, sink);
    }
}

fn check_bindings(cx: &Context<'_>, topology: &Topology, sink: &mut Sink) {
    for binding in topology.bindings.iter().filter(|binding| binding.kind == Destination::Queue) {
        let (name, vhost) = (&binding.destination.text, binding.vhost.text.as_str());
        if topology.queue_in(vhost, name).is_some() {
            continue;
        }
        let message = format!("the binding leads to queue `{name}`, which is not declared in virtual host `{vhost}`");
        let diagnostic = RULE.at(cx.node(binding.destination.node).span(), message);
        let here = topology.queues.iter().filter(|queue| queue.vhost.text == vhost);
        let meant = sink.nearest(RULE.name, name, here.map(|queue| queue.name.text.as_str()));
        sink.report(if topology.exchange_in(vhost, name).is_some() {
            diagnostic.help("there is an exchange of this name: add `destination_type: e`")
        } else if let Some(queue) = topology.queue(name) {
            diagnostic.also(cx.node(queue.name.node).span(), format!("it is in `{}`", queue.vhost.text))
        } else if let Some(meant) = meant {
            diagnostic.help(format!("did you mean `{meant}`?"))
        } else {
            diagnostic.help("add it to the `names` of a group")
        });
    }
}

fn check_steps(cx: &Context<'_>, topology: &Topology, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        // With an exchange of its own the name is only a routing key.
        let Some(queue) = cx.destination(step.queue).filter(|_| step.exchange.is_none()) else { continue };
        let name = queue.text();
        if topology.queue(&name).is_some() || name.starts_with("amq.") {
            continue;
        }
        let meant = nearest(&name, topology.queues.iter().map(|queue| queue.name.text.as_str()));
        if name.starts_with("transient.") && meant.is_none() {
            continue;
        }
        let message = format!("queue `{name}` of step `{}` is not declared for the broker", cx.recipe.name(step));
        let diagnostic = RULE.at(queue.span(), message);
        let is_topic = topology.exchange(&name).is_some();
        sink.report(match meant {
            _ if is_topic => diagnostic.help("it is a broadcast: write `topic` instead of `queue`"),
            Some(meant) => {
                let mut quoted = String::new();
                write_string(&mut quoted, meant);
                diagnostic.help(format!("did you mean `{meant}`?")).unsafe_fix(
                    format!("write `{meant}`"),
                    queue.span(),
                    quoted,
                )
            }
            None => diagnostic.help("add it to the broker's configuration"),
        });
    }
}
