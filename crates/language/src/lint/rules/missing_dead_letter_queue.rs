//! Dead letters that find no queue.

use std::collections::HashMap;

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::NodeId;
use crate::topology::{Queue, Topology, is_built_in};

declare_rule! {
    /// No queue receives the dead letters of a queue.
    ///
    /// # Why
    /// Messages that are rejected, that expire or that are redelivered too often go to the dead-letter exchange with
    /// the dead-letter routing key. If no queue is bound for that key, RabbitMQ drops them silently.
    ///
    /// # Example
    /// ```yaml
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   settings:
    ///     queues:
    ///       type: quorum
    ///       dead-letter-routing-key-pattern: dlq.{name}
    ///       dead-letter-queue-create: false
    ///   vhost: zocalo
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   settings:
    ///     queues:
    ///       type: quorum
    ///       dead-letter-routing-key-pattern: dlq.{name}
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// Another file or program declares the dead-letter queue.
    "missing-dead-letter-queue", Error, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker() else { return };
    // One finding for each place that says where dead letters go.
    let mut lost: Vec<(NodeId, &Queue)> = Vec::new();
    let mut count: HashMap<NodeId, usize> = HashMap::new();
    for queue in topology.queues.iter().filter(|queue| is_lost(topology, queue)) {
        let pattern = topology.groups[queue.group].dead_letters.as_ref().map(|letters| letters.pattern.node);
        let by_policy = || topology.policy_of(queue).and_then(|policy| policy.definition_node);
        let Some(node) = pattern.filter(|_| !queue.is_dead_letter_queue).or_else(by_policy) else { continue };
        let count = count.entry(node).or_default();
        *count += 1;
        if *count == 1 {
            lost.push((node, queue));
        }
    }
    for (node, queue) in lost {
        let name = &queue.name.text;
        let Some((exchange, key)) = topology.dead_letters(queue) else { continue };
        let key = key.unwrap_or(name);
        let more = match count[&node] - 1 {
            0 => String::new(),
            more => format!(", and {more} more like it"),
        };
        let diagnostic = if exchange.is_empty() {
            RULE.at(
                cx.node(node).head(),
                format!("dead letters of `{name}` go to queue `{key}`, which is not declared{more}"),
            )
            .help("declare the queue, or remove `dead-letter-queue-create`, to declare it automatically")
        } else {
            let message = format!(
                "dead letters of `{name}` go to exchange `{exchange}` with routing key `{key}`, which is bound to no \
                 queue{more}"
            );
            RULE.at(cx.node(node).head(), message).help(format!("add a binding from `{exchange}` to a queue"))
        };
        sink.report(diagnostic.also(cx.node(queue.name.node).span(), "the queue"));
    }
}

fn is_lost(topology: &Topology, queue: &Queue) -> bool {
    let vhost = queue.vhost.text.as_str();
    let Some((exchange, key)) = topology.dead_letters(queue) else { return false };
    let Some(key) = key.or(Some(&queue.name.text)) else { return false };
    if exchange.is_empty() {
        return topology.queue_in(vhost, key).is_none();
    }
    // What is bound to those of RabbitMQ need not be in the file.
    let is_known = !is_built_in(exchange) && topology.exchange_in(vhost, exchange).is_some();
    let mut bindings = topology.bindings_from(exchange);
    is_known && !bindings.any(|binding| binding.vhost.text == vhost && topology.takes(binding, key) != Some(false))
}
