//! Channels that the service does not have.

use crate::diagnostic::Sink;
use crate::lint::{Context, nearest, renamed};
use crate::recipe::Role;

declare_rule! {
    /// # Why
    /// The contract of the service lists the channels on which it sends. On any other nothing ever comes, and the
    /// steps that are connected to it are never reached. A step with the parameter `recipewrapper` has a program report
    /// on its behalf, which sends on channels of its own.
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
    "unknown-channel", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let Some(contract) = cx.contract_of(step).filter(|contract| !contract.other_channels) else { continue };
        let Some(channels) = &contract.channels else { continue };
        if step.parameters.is_some_and(|parameters| cx.node(parameters).get("recipewrapper").is_some()) {
            continue;
        }
        let mut last = None;
        for link in cx.recipe.links(step).iter().filter(|link| link.role == Role::Output) {
            let (name, service) = (cx.recipe.name(step), contract.name());
            let Some(channel) = link.channel else {
                if channels.is_empty() {
                    let message = format!("{service} sends nothing, so the output of step `{name}` is never used");
                    sink.report(RULE.at(cx.node(link.node).span(), message).help("remove it"));
                }
                continue;
            };
            if last.replace(channel) == Some(channel) {
                continue;
            }
            let key = cx.node(channel);
            let text = key.text();
            if key.has_braces() || contract.channel(&text).is_some() {
                continue;
            }
            let message = format!(
                "{service} has no channel {}, so this output of step `{name}` never gets anything",
                cx.show(key)
            );
            let known: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
            let diagnostic = RULE.at(key.span(), message);
            sink.report(match nearest(&text, known.iter().copied()) {
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")).unsafe_fix(
                    format!("rename it to `{meant}`"),
                    key.span(),
                    renamed(key, meant),
                ),
                None if known.is_empty() => diagnostic.help("it sends nothing"),
                None => {
                    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
                    diagnostic.help(format!("it sends on {}", known.join(", ")))
                }
            });
        }
    }
}
