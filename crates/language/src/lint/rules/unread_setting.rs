//! Keys of a broker configuration that nobody reads.

use crate::diagnostic::{Level, Sink, nearest};
use crate::lint::Context;
use crate::topology::{self, Owner};

declare_rule! {
    /// Zocalo does not read a key of the broker configuration.
    ///
    /// # Why
    /// Zocalo ignores unknown keys silently, so they have no effect. A group cannot set arguments of queues other than
    /// those for dead letters; a policy can set most of them.
    ///
    /// # Example
    /// ```yaml
    /// policies:
    /// - name: alternate
    ///   vhost: zocalo
    ///   pattern: .*
    ///   apply_to: all
    ///   definition:
    ///     max-length: 1000
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   vhost: zocalo
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// policies:
    /// - name: alternate
    ///   vhost: zocalo
    ///   pattern: .*
    ///   apply-to: all
    ///   definition:
    ///     max-length: 1000
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// The key is documentation, or for a program of the site.
    "unread-setting", Warning, about [Broker]
}

/// What people write to each other.
const REMARKS: [&str; 4] = ["comment", "comments", "description", "note"];

/// Keys of RabbitMQ's own definitions, as its management exports them, and what there is instead.
const DEFINITIONS: [(&str, &str); 9] = [
    ("queues", "`groups` declares queues, by `names`"),
    ("users", "`zrecipe broker apply --users` reads users from separate files"),
    ("topic_permissions", "there is no such setting here"),
    ("parameters", "there is no such setting here"),
    ("global_parameters", "there is no such setting here"),
    ("rabbit_version", "there is no such setting here"),
    ("rabbitmq_version", "there is no such setting here"),
    ("product_name", "there is no such setting here"),
    ("product_version", "there is no such setting here"),
];

/// Whether the value has an anchor, so that aliases may stand for it.
fn has_anchor(cx: &Context<'_>, unread: &topology::Unread<'_>) -> bool {
    let between = unread.key.span().range().end..unread.value.span().range().start;
    unread.owner == Owner::Configuration && cx.tree.source().text().get(between).is_some_and(|text| text.contains('&'))
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for unread in topology::unread(cx.tree) {
        let name = unread.key.text();
        let meant = nearest(&name, unread.known.iter().copied());
        // The broker knows more settings than we do, and what has an anchor is read where its aliases are.
        let is_open = matches!(unread.owner, Owner::Definition | Owner::Arguments);
        let is_top = unread.owner == Owner::Configuration;
        let is_remark = REMARKS.contains(&&*name) || name.starts_with(['_', '.']) || is_top && name.starts_with("x-");
        if meant.is_none() && (is_open || is_remark || has_anchor(cx, &unread)) {
            continue;
        }
        let diagnostic = match unread.owner {
            Owner::Definition => {
                let message = format!("RabbitMQ has no policy setting `{name}`, and refuses the policy");
                RULE.at(unread.key.span(), message).level(Level::Error)
            }
            _ => RULE.at(unread.key.span(), format!("key `{name}` of {} is never read", unread.place)),
        };
        sink.report(match meant {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None if unread.owner == Owner::Configuration && DEFINITIONS.iter().any(|(key, _)| *key == name) => {
                let instead = DEFINITIONS.iter().find(|(key, _)| *key == name).map_or("", |(_, instead)| instead);
                diagnostic.help(format!("`{name}` is a key of RabbitMQ's own definitions; {instead}"))
            }
            None => {
                let known: Vec<String> = unread.known.iter().map(|known| format!("`{known}`")).collect();
                diagnostic.help(format!("there is {}", known.join(", ")))
            }
        });
    }
}
