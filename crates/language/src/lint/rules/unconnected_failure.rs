//! Services that report failures, and steps that do not take them.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::recipe::Role;

/// The channels on which services report that a message failed; the first is the one that counts.
const FAILURES: [&str; 2] = ["failure", "timeout"];

declare_rule! {
    /// The failure channel of a step is not connected.
    ///
    /// # Why
    /// The contract of the service has a channel for failures. The step connects other channels by name, but not this
    /// one. A failed command is then dead-lettered, and a crashed program is retried before it is dead-lettered: the
    /// recipe stops at this step until an operator handles the dead letters. Connect the channel if the recipe can
    /// continue without the result, or reports failures itself. A step that connects no channel by name uses dead
    /// letters for failures, and is not reported.
    ///
    /// # Example
    /// With a contract that has a channel for failures:
    /// ```contract
    /// { "names": ["Images"], "queues": ["images"], "channels": { "result": { "default": true }, "failure": {} } }
    /// ```
    /// ```json
    /// { "1": { "queue": "images", "output": { "result": 2 } }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "images", "output": { "result": 2, "failure": 3 } },
    ///   "2": { "queue": "archiver" },
    ///   "3": { "queue": "ispyb_connector" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// Failed messages belong in the dead-letter queue, where operators handle them.
    "unconnected-failure", Note
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let Some(contract) = cx.contract_of(step) else { continue };
        let links = || cx.recipe.links(step).iter().filter(|link| link.role == Role::Output);
        let named = || links().filter_map(|link| link.channel);
        // A channel by a parameter's name may be any.
        if named().next().is_none() || named().any(|channel| cx.node(channel).has_braces()) {
            continue;
        }
        // `unknown-channel` speaks of these; one may be meant for failures.
        let is_known = |channel| contract.channels.iter().flatten().any(|known| cx.node(channel).is(&known.name));
        if !contract.other_channels && !named().all(is_known) {
            continue;
        }
        let promised = FAILURES.into_iter().filter(|name| contract.channel(name).is_some());
        let is_connected = |name: &str| named().any(|channel| cx.node(channel).is(name));
        let missing: Vec<&str> = promised.filter(|name| !is_connected(name)).collect();
        // Whoever takes one of two kinds of failures has thought of them.
        if !missing.contains(&FAILURES[0]) {
            continue;
        }
        let place = cx.node(step.value).get("output").map_or(cx.node(step.key).span(), |output| output.head());
        let (name, service) = (cx.recipe.name(step), contract.name());
        let channels = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
        let plural = if missing.len() > 1 { "channels" } else { "channel" };
        let message =
            format!("step `{name}` does not connect {plural} {channels} of {service}: a failure is dead-lettered");
        sink.report(RULE.at(place, message).help("connect it: `\"failure\": …` in `output`"));
    }
}
