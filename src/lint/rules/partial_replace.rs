//! `{$REPLACE:…}` that is not the whole string.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// # Why
    /// A replacement must be the whole string, from its first character to its last. Anywhere else `$REPLACE` is
    /// the name of a parameter that nobody has defined, and the message is rejected.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "list": " {$REPLACE:files}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "list": "{$REPLACE:files}" } }, "start": [[1, []]] }
    /// ```
    "partial-replace", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (node, template) in cx.parsed_templates().filter(|(_, template)| !template.replace) {
        for field in template.fields() {
            let begins = field.name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("$replace"));
            if !begins {
                continue;
            }
            let text = node.text();
            let span = node.text_span(field.span.clone());
            let diagnostic = RULE.at(span, "`{$REPLACE:…}` is not the whole string");
            let alone = text.trim().len() == field.span.len();
            sink.report(if alone && field.name == "$REPLACE" {
                let trimmed = text.trim();
                let inner = node.text_span(0..text.len());
                diagnostic.help("remove the space around it").fix("remove the space", inner, trimmed)
            } else if alone {
                diagnostic.help("it is written in capitals: `{$REPLACE:name}`")
            } else {
                diagnostic.help("inside other text write `{name}`")
            });
        }
    }
}
