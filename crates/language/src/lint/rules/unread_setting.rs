//! Keys of a broker configuration that nobody reads.

use crate::diagnostic::{Level, Sink, nearest};
use crate::lint::Context;
use crate::topology;

declare_rule! {
    /// # Why
    /// Zocalo passes over keys that it does not know without a word: what they were to say is not said. Arguments of
    /// queues other than those for dead letters cannot be given to a group; a policy can give most of them.
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
    "unread-setting", Warning, about [Broker]
}

/// What people write to each other.
const REMARKS: [&str; 4] = ["comment", "comments", "description", "note"];

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for unread in topology::unread(cx.tree) {
        let name = unread.key.text();
        let meant = nearest(&name, unread.known.iter().copied());
        // The broker knows more settings than we do, and the top level is where anchors are kept.
        if meant.is_none() && (unread.open || REMARKS.contains(&&*name) || name.starts_with(['_', '.'])) {
            continue;
        }
        let diagnostic = match unread.place.as_str() {
            "`definition`" => {
                let message = format!("RabbitMQ knows no policy setting `{name}`, and refuses the policy");
                RULE.at(unread.key.span(), message).level(Level::Error)
            }
            place => RULE.at(unread.key.span(), format!("key `{name}` of {place} is read by nobody")),
        };
        sink.report(match meant {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None => {
                let known: Vec<String> = unread.known.iter().map(|known| format!("`{known}`")).collect();
                diagnostic.help(format!("there is {}", known.join(", ")))
            }
        });
    }
}
