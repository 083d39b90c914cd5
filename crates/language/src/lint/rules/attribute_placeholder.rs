//! Placeholders that reach for an attribute.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::template::ParseErrorKind;

declare_rule! {
    /// A placeholder reads an attribute of a Python object.
    ///
    /// # Why
    /// In Python, `{x.name}` reads an attribute of an object in the interpreter. Parameters have no useful attributes,
    /// and a recipe could use them to put passwords of the dispatcher into a message. zrecipe rejects such
    /// placeholders.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "id": "{sample.id}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "id": "{sample[id]}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: zrecipe refuses such recipes, and the dispatcher should.
    "attribute-placeholder", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for used in cx.templates {
        let Err(error) = &used.template else { continue };
        if error.kind != ParseErrorKind::Attribute {
            continue;
        }
        let node = cx.node(used.node);
        let text = node.text();
        let shown = text.get(error.span.clone()).unwrap_or_default();
        let is_replacement = shown.starts_with("{$REPLACE");
        let help = if !is_replacement && shown.contains(['/', '$', ' ', '"', '\'']) {
            "for braces that are text write `{{` and `}}`"
        } else {
            "to take something out of an object write `{name[key]}`; for braces that are text write `{{` and `}}`"
        };
        sink.report(
            RULE.at(node.text_span(error.span.clone()), format!("placeholder `{shown}` reads an attribute"))
                .help(help)
                .refused(),
        );
    }
}
