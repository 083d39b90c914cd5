//! A queue, an exchange, a policy or a virtual host that is declared twice.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Diagnostic, Level, Sink};
use crate::lint::Context;
use crate::syntax::NodeId;
use crate::topology::Word;
use crate::value::Value;

declare_rule! {
    /// A queue, policy, exchange or host is declared twice.
    ///
    /// # Why
    /// Zocalo refuses a configuration in which two groups name the same queue, or two policies have the same name, and
    /// applies none of it. RabbitMQ refuses an exchange that is declared again with other settings. Of two virtual
    /// hosts or two permissions, only the last is used.
    ///
    /// # Example
    /// ```yaml
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images, index]
    ///   vhost: zocalo
    /// - names: [trigger, images]
    ///   vhost: zocalo
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images, index]
    ///   vhost: zocalo
    /// - names: [trigger]
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// Never: remove one of the declarations.
    "duplicate-declaration", Error, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker() else { return };
    // What, where, and what would be the same when it is said twice.
    let mut first = HashMap::new();
    let mut declare = |what: &'static str, vhost: &str, name: &Word, same: Option<Value>| {
        let before = first.insert((what, vhost.to_owned(), name.text.clone()), (name.node, same.clone()))?;
        let level = if same.is_some() && same == before.1 { Level::Warning } else { Level::Error };
        let diagnostic = RULE.at(cx.node(name.node).span(), format!("{what} `{}` is declared twice", name.text));
        Some(diagnostic.also(cx.node(before.0).span(), "also declared here").level(level))
    };
    let mut queues: Vec<(NodeId, bool, Diagnostic)> = Vec::new();
    for queue in &topology.queues {
        let letters = topology.groups[queue.group].dead_letters.as_ref().filter(|_| queue.is_dead_letter_queue);
        let Some(diagnostic) = declare("queue", &queue.vhost.text, &queue.name, None) else { continue };
        let diagnostic = match letters {
            Some(letters) => diagnostic
                .also(cx.node(letters.pattern.node).span(), "what the names of dead-letter queues are made of")
                .help("put `{name}` into the pattern, or set `dead-letter-queue-create: false` and declare it once"),
            None => diagnostic.help("remove one of them"),
        };
        queues.push((queue.name.node, letters.is_some(), diagnostic));
    }
    // The dead-letter queue of a queue that is declared twice is so for that reason.
    let twice: HashSet<NodeId> = queues.iter().filter(|(_, is_made, _)| !is_made).map(|(node, ..)| *node).collect();
    let own = queues.into_iter().filter(|(node, is_made, _)| !is_made || !twice.contains(node));
    sink.extend(own.map(|(.., diagnostic)| diagnostic));
    let mut found: Vec<Option<Diagnostic>> = Vec::new();
    for exchange in &topology.exchanges {
        found.push(declare("exchange", &exchange.vhost.text, &exchange.name, Some(exchange.definition())));
    }
    for policy in &topology.policies {
        found.push(declare("policy", &policy.vhost.text, &policy.name, None));
    }
    for vhost in &topology.vhosts {
        found.push(declare("virtual host", "", &vhost.name, Some(Value::Null)));
    }
    for rights in &topology.permissions {
        found.push(declare("permission of", &rights.vhost.text, &rights.user, Some(Value::Null)));
    }
    sink.extend(found.into_iter().flatten().map(|diagnostic| diagnostic.help("remove one of them")));
}
