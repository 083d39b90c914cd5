//! Placeholders that stay as text because their parameter is not given.

use crate::diagnostic::Sink;
use crate::lint::{Context, nearest};
use crate::template::Field;

declare_rule! {
    /// No value is given for a placeholder.
    ///
    /// # Why
    /// A placeholder without a value is sent to the service unchanged. This is checked when the parameters are known,
    /// and only for names that look like parameters: `awk '{print $1}'` and `${HOME}` are intentional.
    ///
    /// # Example
    /// With the parameter `visit` and no other:
    /// ```json with visit=cm1
    /// { "1": { "queue": "images", "parameters": { "file": "/data/{vist}/a.h5" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json with visit=cm1
    /// { "1": { "queue": "images", "parameters": { "file": "/data/{visit}/a.h5" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// The service itself replaces the text in braces.
    "undefined-placeholder", Warning
}

/// Names that services fill in themselves: the bodies of mails.
const LATER: [&str; 2] = ["payload", "pprint_payload"];

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if cx.parameters.is_none() && cx.declared.is_none() {
        return;
    }
    for (node, template) in cx.parsed_templates().filter(|(node, template)| !template.replace && !cx.is_delivery(*node))
    {
        let text = node.text();
        for field in cx.fields(template) {
            let meant = field.name.trim();
            if meant != field.name && is_name(meant) && cx.is_given(meant) {
                let message = format!("`{field}` is not substituted, because of the spaces in it");
                let span = node.text_span(field.span.clone());
                let written = Field { name: meant.to_owned(), ..field.clone() }.to_string();
                let diagnostic = RULE.at(span, message).help(format!("did you mean `{written}`?"));
                sink.report(diagnostic.unsafe_fix(format!("write `{written}`"), span, written));
                continue;
            }
            let kept = !cx.is_given(&field.name) && !field.needs_definition();
            let shell = text[..field.span.start].ends_with('$');
            if !kept || shell || !is_name(&field.name) || LATER.contains(&field.name.as_str()) {
                continue;
            }
            let span = node.text_span(field.span.clone());
            let message = format!("`{field}` is not substituted, because the parameter `{}` is not given", field.name);
            let diagnostic = RULE.at(span, message);
            sink.report(match nearest(&field.name, cx.given_names()) {
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
                // What the request brings is not known.
                None if cx.parameters.is_none() => continue,
                None => diagnostic.help(format!("give it: {}", cx.option_for(&field.name, None))),
            });
        }
    }
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}
