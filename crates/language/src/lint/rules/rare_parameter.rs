//! A parameter that no other step of its queue has, and whose name is nearly that of one that many have.

use crate::diagnostic::Sink;
use crate::evidence::{About, Reason};
use crate::lint::{Context, meant};

declare_rule! {
    /// A parameter looks like one that other steps give.
    ///
    /// # Why
    /// A service ignores a parameter with a misspelt name, and uses its default instead. If a name occurs only once for
    /// a queue, and is almost the same as that of a common parameter, it is probably misspelt.
    ///
    /// # Example
    /// Five other recipes give the parameter `pixel_size` to the queue `motion`:
    /// ```json beside-5 {"1":{"queue":"motion","parameters":{"pixel_size":1}},"start":[[1,[]]]}
    /// { "1": { "queue": "motion", "parameters": { "pixl_size": 1.2 } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json beside-5 {"1":{"queue":"motion","parameters":{"pixel_size":1}},"start":[[1,[]]]}
    /// { "1": { "queue": "motion", "parameters": { "pixel_size": 1.2 } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// The service has two parameters with similar names. A contract states its parameters.
    "rare-parameter", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (facts, finding) in cx.evidence() {
        let About::Parameter(index) = finding.about else { continue };
        let parameter = &facts.parameters[index];
        let Some(step) = cx.step_at(parameter.step) else { continue };
        let key = cx.node(parameter.key);
        let message = match finding.reason {
            Reason::SameValue => format!(
                "step `{}` gives {} as {}, and no other step on the same queue does",
                cx.recipe.name(step),
                cx.show(cx.node(parameter.node)),
                cx.show_name(key)
            ),
            _ => format!(
                "parameter {} of step `{}` is used by no other step on the same queue",
                cx.show_name(key),
                cx.recipe.name(step)
            ),
        };
        sink.report(meant(RULE.at(key.span(), message), finding, key, "parameters of such steps are called"));
    }
}
