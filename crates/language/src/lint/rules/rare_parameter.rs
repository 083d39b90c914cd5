//! A parameter that no other step of its queue has, and whose name is nearly that of one that many have.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A parameter looks like one that other steps give.
    ///
    /// # Why
    /// A service does not see a parameter whose name is misspelt, and takes its default instead. A name that occurs
    /// once for a queue and is a slip of the finger away from one that many steps give is probably that slip.
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
    let Some((facts, set)) = cx.set else { return };
    for parameter in &facts.parameters {
        let Some(usual) = set.nearly_the_parameter(facts, parameter) else { continue };
        let message = format!(
            "no other step on queue `{}` has a parameter `{}`, as step `{}` has",
            parameter.queue, parameter.name, parameter.step
        );
        sink.report(
            RULE.at(parameter.span, message)
                .help(format!("did you mean `{}`, which {} steps have?", usual.name, usual.count))
                .unsafe_fix(format!("write `{}`", usual.name), parameter.span, format!("\"{}\"", usual.name)),
        );
    }
}
