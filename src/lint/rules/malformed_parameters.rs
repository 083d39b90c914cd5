//! `parameters` that are no object.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::Kind;

declare_rule! {
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
    "malformed-parameters", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        for part in cx.node(step.value).members() {
            let key = part.key.text();
            let is_object = matches!(part.value.kind(), Kind::Object | Kind::Missing);
            let replaced = part.value.kind() == Kind::String && part.value.text().starts_with("{$REPLACE");
            if matches!(&*key, "parameters" | "job_parameters") && !is_object && !replaced {
                let name = cx.recipe.name(step);
                sink.report(
                    RULE.at(part.value.head(), format!("`{key}` of step `{name}` is {}", part.value.describe()))
                        .help("write an object of names and values: `{\"name\": value}`"),
                );
            }
        }
    }
}
