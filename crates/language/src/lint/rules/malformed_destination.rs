//! A queue, topic or exchange that is not a name.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::Kind;
use crate::value::write_string;

declare_rule! {
    /// A queue, topic or exchange is not a name.
    ///
    /// # Why
    /// `queue`, `topic` and `exchange` are names. Any other value is converted to text, and the message goes to a queue
    /// such as `[7]` that no service consumes, or is lost.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": ["images"] }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: no service consumes from a queue of that name.
    "malformed-destination", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        for (key, value) in [("queue", step.queue), ("topic", step.topic), ("exchange", step.exchange)] {
            let Some(value) = value.map(|value| cx.node(value)) else { continue };
            let name = cx.recipe.name(step);
            let message = match value.kind() {
                Kind::Missing => continue,
                Kind::String if value.text().trim().is_empty() => format!("the {key} of step `{name}` is empty"),
                Kind::String if value.text().trim() != value.text() => {
                    format!("the {key} of step `{name}` begins or ends with white space")
                }
                Kind::String => continue,
                _ => format!("the {key} of step `{name}` is {}, not a name", value.describe()),
            };
            let diagnostic = RULE.at(value.head(), message);
            let only = value.items().next().filter(|first| value.items().count() == 1 && first.kind() == Kind::String);
            sink.report(match (value.kind(), only) {
                (Kind::Array, Some(only)) => {
                    diagnostic.unsafe_fix(format!("write `{}`", only.raw()), value.span(), only.raw())
                }
                (Kind::Array, None) if value.items().nth(1).is_some() => {
                    diagnostic.help("a step has one; for several destinations link to several steps")
                }
                (Kind::String, _) if !value.text().trim().is_empty() => {
                    let mut trimmed = String::new();
                    write_string(&mut trimmed, value.text().trim());
                    diagnostic.unsafe_fix(format!("write `{trimmed}`"), value.span(), trimmed)
                }
                _ => diagnostic.help(format!("write the name in double quotes, or leave `{key}` out")),
            });
        }
    }
}
