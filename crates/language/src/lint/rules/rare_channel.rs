//! A channel that no other step of its queue has, and whose name is nearly that of one that many have.

use crate::diagnostic::Sink;
use crate::evidence::{About, Reason};
use crate::lint::{Context, meant};

declare_rule! {
    /// A channel looks like one that other steps have.
    ///
    /// # Why
    /// Messages on a channel that is not connected are dropped silently. If only one step of a queue uses a channel,
    /// and its name is almost the same as that of a common channel, it is probably misspelt. If a contract lists the
    /// channels, `unknown-channel` applies instead.
    ///
    /// # Example
    /// Five other recipes connect the channel `selected` of the queue `filter`:
    /// ```json beside-5 {"1":{"queue":"filter","output":{"selected":2}},"2":{"queue":"index"},"start":[[1,[]]]}
    /// { "1": { "queue": "filter", "output": { "seleced": 2 } }, "2": { "queue": "index" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json beside-5 {"1":{"queue":"filter","output":{"selected":2}},"2":{"queue":"index"},"start":[[1,[]]]}
    /// { "1": { "queue": "filter", "output": { "selected": 2 } }, "2": { "queue": "index" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// The service has two channels with similar names. A contract states its channels.
    "rare-channel", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (facts, finding) in cx.evidence() {
        let About::Channel(index) = finding.about else { continue };
        let output = &facts.outputs[index];
        let (Some(step), Some(name)) = (cx.step_at(output.step), output.name.map(|name| cx.node(name))) else {
            continue;
        };
        if cx.contract_of(step).is_some_and(|contract| contract.channels.is_some()) {
            continue;
        }
        let message = format!(
            "channel {} of step `{}` is used by no other step on the same queue",
            cx.show_name(name),
            cx.recipe.name(step)
        );
        let what = match finding.reason {
            Reason::Name => "other steps use the queue",
            _ => "outputs of such steps have",
        };
        sink.report(meant(RULE.at(name.span(), message), finding, name, what));
    }
}
