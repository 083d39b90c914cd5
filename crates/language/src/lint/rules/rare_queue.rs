//! A queue that nobody else uses, and whose name is nearly that of one that many use.

use crate::diagnostic::Sink;
use crate::evidence::{About, Reason, shortened};
use crate::lint::{Context, meant, respelled};

declare_rule! {
    /// A queue looks like one that other recipes use.
    ///
    /// # Why
    /// A queue without consumers collects messages forever. If a name occurs only once, and is almost the same as a
    /// name that occurs in many recipes, it is probably misspelt.
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
    for (_, finding) in cx.evidence() {
        let (About::Queue(index), Reason::Near | Reason::Name) = (finding.about, finding.reason) else { continue };
        let Some(step) = cx.step_at(index) else { continue };
        let Some(queue) = step.queue.map(|queue| cx.node(queue)) else { continue };
        let message = format!("queue {} of step `{}` is used nowhere else", cx.show_name(queue), cx.recipe.name(step));
        let diagnostic = RULE.at(queue.span(), message);
        sink.report(match finding.reason {
            Reason::Name => {
                let name = finding.meant();
                diagnostic.help(format!("did you mean `{}`, like the service?", shortened(name))).unsafe_fix(
                    format!("write `{}`", shortened(name)),
                    queue.span(),
                    respelled(queue.raw(), name),
                )
            }
            _ => meant(diagnostic, finding, queue, "steps use"),
        });
    }
}
