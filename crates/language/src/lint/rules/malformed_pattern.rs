//! Patterns that are no patterns: of policies, of permissions, and of the names of dead-letter queues.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::NodeId;
use crate::topology::Pattern;

declare_rule! {
    /// A pattern of the broker is not a regular expression.
    ///
    /// # Why
    /// RabbitMQ refuses a policy or a permission whose pattern is not a regular expression, and Zocalo stops at this
    /// error. A pattern is searched for in the name: `.*` matches everything, `^xrc` matches names that begin with
    /// `xrc`. The pattern of dead-letter queues is a Python format string instead, in which `{name}` stands for the
    /// queue.
    ///
    /// # Example
    /// ```yaml
    /// policies:
    /// - name: redelivery
    ///   vhost: zocalo
    ///   pattern: '*'
    ///   definition:
    ///     delivery-limit: 5
    /// exchanges: []
    /// groups: []
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// policies:
    /// - name: redelivery
    ///   vhost: zocalo
    ///   pattern: '.*'
    ///   definition:
    ///     delivery-limit: 5
    /// exchanges: []
    /// groups: []
    /// ```
    ///
    /// # When not to follow it
    /// Never: RabbitMQ refuses it.
    "malformed-pattern", Error, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker() else { return };
    let mut expression = |what: String, pattern: &Pattern, node: NodeId| {
        let Some(flaw) = pattern.flaw() else { return };
        let message = format!("{what} is not a regular expression: {}", flaw.message);
        let diagnostic = RULE.at(cx.node(node).text_span(flaw.range.clone()), message);
        sink.report(match (&pattern.as_str()[flaw.range.clone()], flaw.range.start) {
            ("*", 0) => diagnostic.help("write `.*` for any text"),
            _ => diagnostic.help("write a `\\` before a character that means itself"),
        });
    };
    for policy in &topology.policies {
        if let Some(node) = policy.pattern_node {
            expression(format!("the pattern of policy `{}`", policy.name.text), &policy.pattern, node);
        }
    }
    for rights in &topology.permissions {
        for (what, right) in [("configure", &rights.configure), ("write", &rights.write), ("read", &rights.read)] {
            if let Some((pattern, node)) = right {
                expression(format!("`{what}` of user `{}`", rights.user.text), pattern, *node);
            }
        }
    }
    for letters in topology.groups.iter().filter_map(|group| group.dead_letters.as_ref()) {
        if let Some((range, why)) = &letters.fault {
            let node = cx.node(letters.pattern.node);
            let message = format!("the pattern of dead-letter queues {} does not form names: {why}", cx.show(node));
            sink.report(RULE.at(node.text_span(range.clone()), message).help("`{name}` stands for the queue"));
        }
    }
}
