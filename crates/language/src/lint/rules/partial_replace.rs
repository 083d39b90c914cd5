//! `{$REPLACE:…}` that is not the whole string.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// `$REPLACE` is not the whole string.
    ///
    /// # Why
    /// A replacement must be the whole string, from its first character to its last. Anywhere else, `$REPLACE` is the
    /// name of an undefined parameter, and the message is rejected.
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
    ///
    /// # When not to follow it
    /// Never: the dispatcher rejects requests for the recipe.
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
            let alone = text.trim().len() == field.span.len();
            let written = cx.tree.source().slice(span);
            let refused = cx.parameters.is_some_and(|parameters| !parameters.contains_key(&field.name));
            let diagnostic =
                if field.name.len() != "$REPLACE".len() || !alone {
                    RULE.at(span, "`{$REPLACE:…}` is not the whole string").help("inside other text write `{name}`")
                } else if field.name == "$REPLACE" {
                    let inner = node.text_span(0..text.len());
                    RULE.at(span, "`{$REPLACE:…}` is not the whole string")
                        .help("remove the space around it")
                        .unsafe_fix("remove the space", inner, written)
                } else {
                    let name = node.text_span(field.span.start + 1..field.span.start + 1 + field.name.len());
                    RULE.at(span, format!("`{}` is a parameter of that name, not a replacement", field.name))
                        .help("it is written in capitals: `{$REPLACE:name}`")
                        .unsafe_fix("write `$REPLACE`", name, "$REPLACE")
                };
            sink.report(diagnostic.refused_if(refused));
            // One mistake a string: the places in a long one take long to find.
            break;
        }
    }
}
