//! Placeholders that the given parameters cannot fill in.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// # Why
    /// An item that is not there, or a format that does not suit the value, rejects the whole request. This is
    /// checked when the parameters are known.
    ///
    /// # Example
    /// With the parameter `size` = `"large"`:
    /// ```json with size=large
    /// { "1": { "queue": "images", "parameters": { "size": "{size:05d}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json with size=large
    /// { "1": { "queue": "images", "parameters": { "size": "{size}" } }, "start": [[1, []]] }
    /// ```
    "rejected-placeholder", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(parameters) = cx.parameters else { return };
    for (node, template) in cx.parsed_templates() {
        if let Err(error) = template.apply(parameters) {
            let undefined = error.undefined;
            let diagnostic = RULE.at(node.text_span(error.span), error.reason).refused();
            sink.report(if undefined {
                diagnostic.help("give the parameter, or write `{{` and `}}` for braces that are text")
            } else {
                diagnostic.help("change the placeholder, or the value of the parameter")
            });
        }
    }
}
