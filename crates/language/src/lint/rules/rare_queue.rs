//! A queue that nobody else uses, and whose name is nearly that of one that many use.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A queue looks like one that other recipes use.
    ///
    /// # Why
    /// A queue that no service listens on takes messages for ever and gives none back. A name that occurs once and is
    /// a slip of the finger away from one that occurs in many recipes is probably that slip.
    ///
    /// # Example
    /// Five other recipes use the queue `ispyb_connector`:
    /// ```json beside-5 {"1":{"queue":"ispyb_connector"},"start":[[1,[]]]}
    /// { "1": { "queue": "ispyb_conector" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json beside-5 {"1":{"queue":"ispyb_connector"},"start":[[1,[]]]}
    /// { "1": { "queue": "ispyb_connector" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// There are two queues with similar names. A broker configuration in zrecipe.toml states them.
    "rare-queue", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some((facts, set)) = cx.set else { return };
    for place in &facts.places {
        let Some(usual) = set.nearly_the_queue(place) else { continue };
        let message = format!("queue `{}` of step `{}` is used nowhere else", place.queue, place.step);
        sink.report(
            RULE.at(place.span, message)
                .help(format!("did you mean `{}`, which {} recipes use?", usual.name, usual.count))
                .unsafe_fix(format!("write `{}`", usual.name), place.span, format!("\"{}\"", usual.name)),
        );
    }
}
