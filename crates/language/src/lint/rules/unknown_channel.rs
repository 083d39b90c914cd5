//! Channels that the service does not have.

use std::collections::HashSet;

use crate::diagnostic::Sink;
use crate::flow::Sends;
use crate::lint::{Context, renamed};
use crate::recipe::Role;

declare_rule! {
    /// A step uses a channel that its service does not have.
    ///
    /// # Why
    /// The contract of the service lists its output channels. No message is ever sent on other channels, and the steps
    /// connected to them never run. In a job, a program reports for the step on its own channels, which are known only
    /// from a contract of the program.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": {
    ///     "queue": "runner.submission",
    ///     "parameters": { "workingdir": ".", "commands": ["date"] },
    ///     "output": { "failed": 2 }
    ///   },
    ///   "2": { "queue": "notification" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": {
    ///     "queue": "runner.submission",
    ///     "parameters": { "workingdir": ".", "commands": ["date"] },
    ///     "output": { "failure": 2 }
    ///   },
    ///   "2": { "queue": "notification" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The contract does not list all channels. Then add the channel, or `other_channels`.
    "unknown-channel", Error
}

/// Maximum number of channels that a finding lists.
const MAX_SHOWN: usize = 20;

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let Some(sends) = Sends::of(cx.recipe, step, &cx.under(step)).filter(|sends| !sends.is_open) else { continue };
        let service = cx.name_of(sends.contract);
        let known: Vec<&str> = sends.channels.iter().map(|channel| channel.name.as_str()).collect();
        let all: HashSet<&str> = known.iter().chain(&sends.names).copied().collect();
        let mut last = None;
        for link in cx.recipe.links(step).iter().filter(|link| link.role == Role::Output) {
            let name = cx.recipe.name(step);
            let Some(channel) = link.channel else {
                if known.is_empty() && sends.names.is_empty() {
                    let message = format!("{service} sends nothing, so the output of step `{name}` is never used");
                    let diagnostic = RULE.at(cx.node(link.node).span(), message).help("remove it");
                    sink.report(cx.advise(diagnostic, sends.contract));
                }
                continue;
            };
            if last.replace(channel) == Some(channel) {
                continue;
            }
            let key = cx.node(channel);
            let text = key.text();
            if key.has_braces() || all.contains(&*text) {
                continue;
            }
            let message = format!(
                "{service} has no channel {}, so this output of step `{name}` never receives a message",
                cx.show_name(key)
            );
            let diagnostic = RULE.at(key.span(), message);
            let diagnostic = match sink.nearest(RULE.name, &text, known.iter().copied()) {
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")).unsafe_fix(
                    format!("rename it to `{meant}`"),
                    key.span(),
                    renamed(key, meant),
                ),
                None if known.is_empty() => diagnostic.help("it sends nothing"),
                None => {
                    let shown: Vec<String> = known.iter().take(MAX_SHOWN).map(|name| format!("`{name}`")).collect();
                    let more = match known.len() - shown.len() {
                        0 => String::new(),
                        more => format!(" and {more} more"),
                    };
                    diagnostic.help(format!("it sends on {}{more}", shown.join(", ")))
                }
            };
            sink.report(cx.advise(diagnostic, sends.contract));
        }
    }
}
