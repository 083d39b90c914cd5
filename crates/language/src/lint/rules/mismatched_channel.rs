//! A channel that goes elsewhere than its namesakes in other recipes.

use crate::diagnostic::Sink;
use crate::evidence::{About, Reason, shortened};
use crate::lint::Context;
use crate::recipe::Step;

declare_rule! {
    /// A channel goes to another queue than in all other recipes.
    ///
    /// # Why
    /// Links are numbers, and a number is easily off by one. If outputs with one name go to the same queue in all other
    /// recipes, and this recipe has a step on that queue, a different link is probably a mistake.
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
    for (facts, finding) in cx.evidence() {
        let About::Target(index, here) = finding.about else { continue };
        let output = &facts.outputs[index];
        let steps = (cx.step_at(output.step), cx.step_at(output.to), cx.step_at(here));
        let (Some(from), Some(to), Some(here)) = steps else { continue };
        let purpose = |step: &Step| shortened(&cx.recipe.purpose(step).unwrap_or_default());
        let (name, here_name) = (cx.recipe.name(from), cx.recipe.name(here));
        let channel = match output.name {
            Some(channel) => format!("channel {}", cx.show_name(cx.node(channel))),
            None => "the output".to_owned(),
        };
        let message = format!("{channel} of step `{name}` goes to step `{}` ({})", cx.recipe.name(to), purpose(to));
        let link = cx.node(output.link);
        let diagnostic = RULE.at(link.span(), message).also(cx.node(here.key).span(), "the intended step");
        let help = match finding.reason {
            Reason::Name => format!("step `{here_name}` is on the queue that has the name of the channel"),
            _ => format!(
                "{} such outputs of other steps go to `{}`; here that is step `{here_name}`{}",
                finding.counts(),
                shortened(finding.meant()),
                finding.alternatives()
            ),
        };
        let written = here.id.to_string();
        sink.report(diagnostic.help(help).unsafe_fix(format!("write `{written}`"), link.span(), written));
    }
}
