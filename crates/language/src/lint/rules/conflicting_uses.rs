//! Uses of a parameter that no single value suits.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// Two uses of a parameter ask for different types.
    ///
    /// # Why
    /// A parameter has one value. If one place takes an item out of it and another formats it as a number, or if the
    /// contracts of two services require different types, every value is wrong in one of the places.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": { "queue": "images", "parameters": { "file": "{run[name]}.h5" }, "output": 2 },
    ///   "2": { "queue": "archiver", "parameters": { "label": "run {run:04d}" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "images", "parameters": { "file": "{run[name]}.h5" }, "output": 2 },
    ///   "2": { "queue": "archiver", "parameters": { "label": "run {run[number]:04d}" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// A contract states a type that its service does not check. Then correct the contract.
    "conflicting-uses", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for parameter in cx.demands() {
        let Some((later, earlier)) = parameter.conflict else { continue };
        let (later, earlier) = (&parameter.uses[later], &parameter.uses[earlier]);
        sink.report(
            RULE.at(
                later.span(cx.recipe),
                format!("no value of the parameter `{}` suits all of its uses", parameter.name),
            )
            .label(later.reason.clone())
            .also(earlier.span(cx.recipe), earlier.reason.clone())
            .help("use two parameters, or take different items out of one"),
        );
    }
}
