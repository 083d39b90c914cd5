//! A channel that no other step of its queue has, and whose name is nearly that of one that many have.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A channel looks like one that other steps have.
    ///
    /// # Why
    /// What a service sends on a channel that is not wired is dropped, and nobody hears of it. A channel that only one
    /// step of a queue has and that is a slip of the finger away from one that many have is probably that slip. Where
    /// a contract says which channels there are, `unknown-channel` speaks instead.
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
    let Some((facts, set)) = cx.set else { return };
    let mut told = None;
    for output in &facts.outputs {
        // A channel may have several outputs.
        if told == Some(output.key) {
            continue;
        }
        let step = cx.recipe.step(output.from);
        if step.and_then(|step| cx.contract_of(step)).is_some_and(|contract| contract.channels.is_some()) {
            continue;
        }
        let Some(usual) = set.nearly_the_channel(facts, output) else { continue };
        let message = format!(
            "no other step on queue `{}` has a channel `{}`, as step `{}` has",
            output.by, output.channel, output.from
        );
        told = Some(output.key);
        sink.report(
            RULE.at(output.key, message)
                .help(format!("did you mean `{}`, with {} outputs?", usual.name, usual.count))
                .unsafe_fix(format!("write `{}`", usual.name), output.key, format!("\"{}\"", usual.name)),
        );
    }
}
