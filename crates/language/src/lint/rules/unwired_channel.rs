//! Channels on which something always comes, connected to nothing.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::recipe::Role;

declare_rule! {
    /// # Why
    /// The contract of the service says that it sends on this channel for every message. What comes on a channel
    /// that is not connected is dropped. That nothing takes the default channel of a step without any output is
    /// the ordinary end of a chain, and nothing is said about it.
    ///
    /// # Example
    /// With a contract that says that `result` always fires:
    /// ```contract
    /// {
    ///   "names": ["Images"],
    ///   "queues": ["images"],
    ///   "channels": { "result": { "fires": "always", "default": true }, "rejected": {} }
    /// }
    /// ```
    /// ```json
    /// { "1": { "queue": "images", "output": { "rejected": 2 } }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "images", "output": { "rejected": 2, "result": 3 } },
    ///   "2": { "queue": "archiver" },
    ///   "3": { "queue": "ispyb_connector" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    "unwired-channel", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let Some(contract) = cx.contract_of(step) else { continue };
        let links = || cx.recipe.links(step).iter().filter(|link| link.role == Role::Output);
        // A channel by a parameter's name may be any.
        if links().any(|link| link.channel.is_some_and(|channel| cx.node(channel).has_braces())) {
            continue;
        }
        for channel in contract.channels.iter().flatten().filter(|channel| channel.always) {
            let wired = links().any(|link| match link.channel {
                Some(name) => cx.node(name).is(&channel.name),
                None => channel.default,
            });
            if wired || (channel.default && links().next().is_none()) {
                continue;
            }
            let place = cx.node(step.value).get("output").map_or(cx.node(step.key).span(), |output| output.head());
            let (name, service) = (cx.recipe.name(step), contract.name());
            let message =
                format!("{service} always sends on channel `{}`, and step `{name}` does not connect it", channel.name);
            sink.report(RULE.at(place, message).help(format!("connect it: `\"{}\": …` in `output`", channel.name)));
        }
    }
}
