//! A channel that goes elsewhere than its namesakes in other recipes.

use crate::diagnostic::Sink;
use crate::evidence::Among;
use crate::evidence::Output;
use crate::lint::Context;

declare_rule! {
    /// A channel goes to another queue than in all other recipes.
    ///
    /// # Why
    /// Links are numbers, and a number is easily wrong by one. When the outputs of one name go to one queue in all
    /// other recipes, and this recipe has a step on that queue, the odd one out is probably a mistake.
    ///
    /// # Example
    /// Five other recipes send `thumbnail` to `images`:
    /// ```json beside-5 {"1":{"queue":"find","output":{"thumbnail":2}},"2":{"queue":"images"},"start":[[1,[]]]}
    /// {
    ///   "1": { "queue": "find", "output": { "thumbnail": 3, "result": 2 } },
    ///   "2": { "queue": "images" },
    ///   "3": { "queue": "archiver" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json beside-5 {"1":{"queue":"find","output":{"thumbnail":2}},"2":{"queue":"images"},"start":[[1,[]]]}
    /// {
    ///   "1": { "queue": "find", "output": { "thumbnail": 2, "result": 3 } },
    ///   "2": { "queue": "images" },
    ///   "3": { "queue": "archiver" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The recipe differs on purpose: it processes the messages of the channel in another way.
    "mismatched-channel", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some((facts, set)) = cx.set else { return };
    for output in &facts.outputs {
        let Some((usual, among)) = set.usual_queue_of_channel(facts, output) else { continue };
        // Without a step on the usual queue this recipe simply does something else.
        let here = facts.places.iter().find(|place| place.queue == usual.name && place.step != output.from);
        let Some(here) = here else { continue };
        // What goes to both has been thought about.
        let both =
            |other: &&Output| other.from == output.from && other.channel == output.channel && other.queue == usual.name;
        if facts.outputs.iter().any(|other| both(&other)) {
            continue;
        }
        let message =
            format!("channel `{}` of step `{}` goes to queue `{}`", output.channel, output.from, output.queue);
        sink.report(
            RULE.at(output.span, message)
                .label(format!("step `{}` (queue `{}`)", output.to, output.queue))
                .help(format!(
                    "{} other outputs named `{}`{} go to queue `{}`; here that is step `{}`",
                    usual.count,
                    output.channel,
                    if among == Among::All { "" } else { " of the same queue" },
                    usual.name,
                    here.step
                ))
                .unsafe_fix(format!("write `{}`", here.step), output.span, here.step.to_string()),
        );
    }
}
