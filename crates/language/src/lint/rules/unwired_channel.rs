//! Channels of a service that a step does not connect.

use std::collections::HashSet;

use crate::diagnostic::Sink;
use crate::evidence::{About, shortened};
use crate::flow::Sends;
use crate::lint::Context;
use crate::recipe::{Role, Step};
use crate::source::Span;
use crate::value::write_string;

declare_rule! {
    /// A channel on which the service sends is not connected.
    ///
    /// # Why
    /// According to the contract, the service sends on this channel for every message; or the recipe has a step on a
    /// queue of that name, and the channel does not lead there. Messages on a channel that is not connected are
    /// dropped. A step without outputs is the usual end of a chain, and is not reported for its default channel.
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
    ///
    /// # When not to follow it
    /// The results on the channel are of no use to this recipe.
    "unwired-channel", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    by_evidence(cx, sink);
    for step in cx.recipe.steps() {
        let Some(sends) = Sends::of(cx.recipe, step, &cx.under(step)) else { continue };
        let links = || cx.recipe.links(step).iter().filter(|link| link.role == Role::Output);
        // A channel by a parameter's name may be any.
        if links().any(|link| link.channel.is_some_and(|channel| cx.node(channel).has_braces())) {
            continue;
        }
        let names: HashSet<_> = links().filter_map(|link| link.channel).map(|name| cx.node(name).text()).collect();
        let has_nameless = links().any(|link| link.channel.is_none());
        for channel in &sends.channels {
            let wired = names.contains(&*channel.name) || channel.default && has_nameless;
            if wired || (channel.default && links().next().is_none()) {
                continue;
            }
            let service = cx.name_of(sends.contract);
            let name = cx.recipe.name(step);
            let waiting = waiting(cx, step, &channel.name);
            let message = match waiting {
                _ if channel.always => {
                    format!(
                        "{service} always sends on channel `{}`, and step `{name}` does not connect it",
                        channel.name
                    )
                }
                Some(_) => {
                    format!("{service} sends on channel `{}`, and step `{name}` does not connect it", channel.name)
                }
                None => continue,
            };
            let place = cx.node(step.value).get("output").map_or(cx.node(step.key).span(), |output| output.head());
            let diagnostic = RULE.at(place, message);
            let diagnostic = match waiting {
                Some(other) => {
                    let to = cx.recipe.name(other);
                    diagnostic
                        .also(cx.node(other.key).span(), format!("step `{to}` is on queue `{}`", channel.name))
                        .help(format!(
                            "connect it: `\"{}\": {to}` in `output`{}",
                            channel.name,
                            sent_in(&channel.evidence)
                        ))
                }
                None => diagnostic.help(format!(
                    "connect it: `\"{}\": …` in `output`{}",
                    channel.name,
                    sent_in(&channel.evidence)
                )),
            };
            sink.report(cx.advise(diagnostic, sends.contract));
        }
    }
}

/// Channels that all other steps of the kind have, where no contract says which there are.
fn by_evidence(cx: &Context<'_>, sink: &mut Sink) {
    for (_, finding) in cx.evidence() {
        let About::Unwired(index, here) = finding.about else { continue };
        let Some(step) = cx.step_at(index) else { continue };
        if Sends::of(cx.recipe, step, &cx.under(step)).is_some() {
            continue;
        }
        let channel = shortened(finding.meant());
        let output = cx.node(step.value).get("output");
        let place = output.map_or(cx.node(step.key).span(), |output| output.head());
        let message = format!("step `{}` does not connect channel `{channel}`", cx.recipe.name(step));
        let diagnostic = RULE.at(place, message);
        let others = format!("{} similar steps do", finding.counts());
        let Some(here) = here.and_then(|here| cx.step_at(here)) else {
            sink.report(diagnostic.help(format!("{others}; connect it: `\"{channel}\": …` in `output`")));
            continue;
        };
        let to = cx.recipe.name(here);
        let diagnostic = diagnostic
            .also(cx.node(here.key).span(), "the similar steps that it goes to")
            .help(format!("{others}; connect it: `\"{channel}\": {to}` in `output`"));
        let head = output.filter(|output| output.members().next().is_some()).map(|output| output.head());
        sink.report(match head.filter(|_| cx.is_json()) {
            Some(head) => {
                let mut written = " ".to_owned();
                write_string(&mut written, finding.meant());
                let place = Span { start: head.end, ..head };
                diagnostic.unsafe_fix(format!("connect it with step `{to}`"), place, format!("{written}: {},", here.id))
            }
            None => diagnostic,
        });
    }
}

/// The step on the queue that has the name of a channel, if there is one, and this step sends it nothing yet.
fn waiting<'a>(cx: &Context<'a>, step: &Step, channel: &str) -> Option<&'a Step> {
    let mut there = cx
        .recipe
        .steps()
        .iter()
        .filter(|other| other.key != step.key && other.queue.is_some_and(|queue| cx.node(queue).is(channel)));
    let only = there.next().filter(|_| there.next().is_none())?;
    let sends = cx.recipe.links(step).iter().any(|link| link.target.id() == Some(only.id));
    (!sends).then_some(only)
}

fn sent_in(evidence: &[String]) -> String {
    evidence.first().map_or_else(String::new, |place| format!("; it is sent in {place}"))
}
