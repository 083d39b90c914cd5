//! An exchange that is named and that nobody declares.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, Sink, nearest};
use crate::lint::Context;
use crate::syntax::Kind;
use crate::topology::{DELAYED, Destination, Topology, Word, is_built_in};

declare_rule! {
    /// An exchange is not declared.
    ///
    /// # Why
    /// RabbitMQ refuses a binding from or to an exchange that does not exist, and Zocalo stops at this error. Dead
    /// letters and unroutable messages that are sent to one are dropped silently. A `topic` in a recipe is also an
    /// exchange: a service that publishes to one that does not exist loses its connection. The default exchange and
    /// exchanges named `amq.…` always exist. `delayed`, which messages with a `transport-delay` use, does not.
    ///
    /// # Example
    /// ```yaml
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   bindings: ['', delayed]
    ///   vhost: zocalo
    /// ```
    ///
    /// # Instead
    /// ```yaml
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
    ///   bindings: ['', delayed]
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// A plugin of the broker, another file or a service declares the exchange.
    "undeclared-exchange", Error, about [Recipe, Broker]
}

const DECLARE_DELAYED: &str =
    "declare it under `exchanges` with `type: x-delayed-message` and the argument `x-delayed-type: direct`";

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if let Some(topology) = cx.topology {
        check_steps(cx, topology, sink);
    }
    let Some(topology) = cx.document.broker() else { return };
    // A group's binding stands once in the file and leads to every name.
    let mut seen = HashSet::new();
    for binding in &topology.bindings {
        let ends =
            [Some(&binding.source), Some(&binding.destination).filter(|_| binding.kind == Destination::Exchange)];
        for name in ends.into_iter().flatten().filter(|name| seen.insert(name.node)) {
            sink.extend(undeclared(cx, topology, "the binding", &binding.vhost.text, name));
        }
    }
    let letters =
        topology.groups.iter().filter_map(|group| Some((group, group.dead_letters.as_ref()?.exchange.as_ref()?)));
    for (group, name) in letters {
        sink.extend(undeclared(cx, topology, "`dead-letter-exchange`", &group.vhost.text, name));
    }
    let arguments = topology.exchanges.iter().map(|exchange| (&exchange.vhost.text, exchange.arguments_node));
    let definitions = topology.policies.iter().map(|policy| (&policy.vhost.text, policy.definition_node));
    for (vhost, settings) in arguments.chain(definitions).filter_map(|(vhost, node)| Some((vhost, cx.node(node?)))) {
        for key in ["alternate-exchange", "dead-letter-exchange"] {
            if let Some(name) = Word::of(settings, key) {
                sink.extend(undeclared(cx, topology, &format!("`{key}`"), vhost, &name));
            }
        }
    }
}

fn check_steps(cx: &Context<'_>, topology: &Topology, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let delay = step.delay.map(|delay| cx.node(delay)).filter(|delay| delay.kind() == Kind::Number);
        let topic = cx.destination(step.topic).map(|topic| ("topic", topic, topic.text()));
        let through = match delay {
            Some(delay) => Some(("exchange", delay, DELAYED.into())),
            None => cx.destination(step.exchange).map(|exchange| ("exchange", exchange, exchange.text())),
        };
        for (what, node, name) in topic.into_iter().chain(through) {
            if is_built_in(&name) || topology.exchange(&name).is_some() {
                continue;
            }
            let message = format!("{what} `{name}` of step `{}` is not declared for the broker", cx.recipe.name(step));
            let diagnostic = RULE.at(node.span(), message);
            let meant =
                sink.nearest(RULE.name, &name, topology.exchanges.iter().map(|exchange| exchange.name.text.as_str()));
            sink.report(match meant {
                _ if what == "topic" && topology.queue(&name).is_some() => {
                    diagnostic.help("it is a queue: write `queue` instead of `topic`")
                }
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
                None if name == DELAYED => diagnostic.label("delayed messages go through it").help(DECLARE_DELAYED),
                None => diagnostic.help("add it to the broker's configuration"),
            });
        }
    }
}

fn undeclared(cx: &Context<'_>, topology: &Topology, what: &str, vhost: &str, name: &Word) -> Option<Diagnostic> {
    let text = &name.text;
    if topology.has_exchange(vhost, text) {
        return None;
    }
    let message = format!("{what} names exchange `{text}`, which is not declared in virtual host `{vhost}`");
    let diagnostic = RULE.at(cx.node(name.node).span(), message);
    if let Some(exchange) = topology.exchange(text) {
        let there = format!("there is one in virtual host `{}`", exchange.vhost.text);
        return Some(diagnostic.also(cx.node(exchange.name.node).span(), there).help("declare it in both"));
    }
    let here = topology.exchanges.iter().filter(|exchange| exchange.vhost.text == vhost);
    Some(match nearest(text, here.map(|exchange| exchange.name.text.as_str())) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None if text == DELAYED => diagnostic.help(DECLARE_DELAYED),
        None => diagnostic.help("declare it under `exchanges`"),
    })
}
