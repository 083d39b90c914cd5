//! Braces of the shell, of awk or of JSON that are taken for placeholders.

use crate::diagnostic::{Level, Sink};
use crate::lint::Context;

declare_rule! {
    /// Braces of another language are read as a placeholder.
    ///
    /// # Why
    /// Every string of a recipe goes through Python's `str.format`, including commands and JSON in text.
    /// `awk '{print $1}'` and `${HOME}` stay unchanged, because no parameter has such a name. But `{"id": 1}` is read
    /// as a name and a format, which rejects the request. If there is a parameter `HOME`, its value replaces `{HOME}`
    /// in `${HOME}` before a shell reads it.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "options": "{\"id\": 1}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "options": "{{\"id\": 1}}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// The text was tested with all parameters of the recipe.
    "foreign-braces", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (node, template) in cx.parsed_templates().filter(|(_, template)| !template.replace) {
        let text = node.text();
        for field in cx.fields(template) {
            let given = cx.is_given(&field.name);
            let at = field.span.clone();
            if !given && field.is_foreign() && field.needs_definition() {
                let shown = cx.tree.source().slice(node.text_span(at.clone()));
                let message = format!("`{shown}` is read as a placeholder, but there is no such parameter");
                let diagnostic = RULE.at(node.text_span(at), message).level(Level::Error).refused();
                sink.report(diagnostic.help("for braces that are text write `{{` and `}}`"));
                // What is inside of it, or comes after it, is written anew in any case.
                break;
            } else if given && field.path.is_empty() && text[..at.start].ends_with('$') {
                let name = &field.name;
                let message =
                    format!("the parameter `{name}` is substituted in `${field}`, and the `$` remains before it");
                let help = format!("for the shell's variable write `${{{{{name}}}}}`, for the parameter `{field}`");
                sink.report(RULE.at(node.text_span(at.start - 1..at.end), message).help(help));
            }
        }
    }
}
