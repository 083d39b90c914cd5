//! Placeholders that the given parameters cannot fill in.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::template::Field;
use crate::template::python::FormatError;

declare_rule! {
    /// A placeholder does not suit the value of its parameter.
    ///
    /// # Why
    /// If an item does not exist, or a format does not match the value, the whole request is rejected. Formats that
    /// match no value are reported without parameters, other errors only when the parameters are known.
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
    ///
    /// # When not to follow it
    /// Never: the dispatcher rejects the request.
    "rejected-placeholder", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if let Some(node) = cx.oversized {
        let message = "the recipe becomes larger than 64 MiB when parameters are substituted";
        sink.report(RULE.at(cx.node(node).span(), message).help("write large values to a file").refused());
        return;
    }
    for (node, template) in cx.parsed_templates() {
        let fields = template.fields();
        // `partial-replace` has said it already; or `foreign-braces`. `ambiguous-replace` says what such a string becomes,
        // which is nothing where the parameter lacks what the path leads to.
        let foreign = |field: &Field| field.is_foreign() && field.needs_definition() && !cx.is_given(&field.name);
        let partial = |field: &Field| !template.replace && field.name.to_ascii_uppercase().starts_with("$REPLACE");
        let is_said = |field: &Field| partial(field) || foreign(field);
        if fields.iter().any(|field| is_said(field)) {
            continue;
        }
        let unfit = fields.iter().filter(|_| !template.replace).find_map(|field| Some((field, field.unfit_format()?)));
        if let Some((field, error)) = unfit {
            let message = match error {
                FormatError::TooLong => format!("`{field}` would make more than 1 MiB of text"),
                FormatError::Invalid { .. } => format!("the format in `{field}` matches no value"),
            };
            let diagnostic = RULE.at(node.text_span(field.span.clone()), message);
            sink.report(diagnostic.help("change the format; for braces that are text write `{{` and `}}`").refused());
            continue;
        }
        let Some(parameters) = cx.parameters else { continue };
        let filled = template.apply(parameters);
        if let Err(error) = filled {
            let undefined = error.undefined;
            // What the site's dispatcher adds is not known here.
            if undefined
                && template
                    .fields()
                    .iter()
                    .any(|field| !parameters.contains_key(&field.name) && cx.is_given(&field.name))
            {
                continue;
            }
            let at = error.span.start;
            let diagnostic = RULE.at(node.text_span(error.span), error.reason).refused();
            sink.report(if undefined {
                diagnostic.help("give the parameter, or write `{{` and `}}` for braces that are text")
            } else {
                let fields = template.fields();
                let field = fields.iter().find(|field| field.span.start <= at && at <= field.span.end);
                let given = field.and_then(|field| Some((field, parameters.get(&field.name)?.as_str()?)));
                match given.map(|(field, text)| cx.option_for(&field.name, Some(text))) {
                    Some(option) if option.contains("-json") => {
                        diagnostic.help(format!("`--param` passes text; pass another type with {option}"))
                    }
                    _ => diagnostic.help("correct the placeholder or the value of the parameter"),
                }
            });
        }
    }
}
