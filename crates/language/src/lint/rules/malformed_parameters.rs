//! `parameters` that are no object.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::Kind;

declare_rule! {
    /// The parameters of a step are not an object.
    ///
    /// # Why
    /// Services look parameters up by name, so `parameters` and `job_parameters` are objects.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "parameters": [1] }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "size": 1 } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// A service of the site reads a list or a text there; other Python services do not.
    "malformed-parameters", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        for (key, value) in [("parameters", step.parameters), ("job_parameters", step.job_parameters)] {
            let Some(value) = value.map(|value| cx.node(value)) else { continue };
            let is_object = matches!(value.kind(), Kind::Object | Kind::Missing);
            let replaced = value.kind() == Kind::String && value.text().starts_with("{$REPLACE");
            if !is_object && !replaced {
                let name = cx.recipe.name(step);
                sink.report(
                    RULE.at(value.head(), format!("`{key}` of step `{name}` is {}", value.describe()))
                        .help("write an object of names and values: `{\"name\": value}`"),
                );
            }
        }
    }
}
