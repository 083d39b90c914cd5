//! Values that become Python's text for them.

use crate::diagnostic::{Level, Sink};
use crate::lint::Context;
use crate::value::Value;

declare_rule! {
    /// # Why
    /// `{name}` is filled in as text, as Python writes it: a list becomes `[1, 'two']`, `null` becomes `None`, and
    /// `true` becomes `True`. A service that expects the value itself gets text. This is checked when the
    /// parameters are known.
    ///
    /// # Example
    /// With the parameter `files` = `["a.h5", "b.h5"]`:
    /// ```json with files:=["a.h5","b.h5"]
    /// { "1": { "queue": "images", "parameters": { "files": "{files}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json with files:=["a.h5","b.h5"]
    /// { "1": { "queue": "images", "parameters": { "files": "{$REPLACE:files}" } }, "start": [[1, []]] }
    /// ```
    "value-as-text", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(parameters) = cx.parameters else { return };
    for (node, template) in cx.parsed_templates().filter(|(_, template)| !template.replace) {
        for field in cx.fields(template).into_iter().filter(|field| field.path.is_empty() && field.conversion.is_none()) {
            let (value, level) = match parameters.get(&field.name) {
                Some(value @ (Value::Null | Value::Array(_) | Value::Object(_))) => (value, RULE.level),
                Some(value @ Value::Bool(_)) => (value, Level::Note),
                _ => continue,
            };
            let what = match value {
                Value::Null => "`None`".to_owned(),
                Value::Bool(true) => "`True`".to_owned(),
                Value::Bool(false) => "`False`".to_owned(),
                other => format!("Python's text for {}", other.describe()),
            };
            let span = node.text_span(field.span.clone());
            let diagnostic = RULE.at(span, format!("`{field}` becomes {what}")).level(level);
            let whole = template.whole().is_some() && field.spec.is_empty();
            sink.report(if whole {
                let replace = format!("{{$REPLACE:{}}}", field.name);
                diagnostic
                    .help(format!("for the value itself write `{replace}`"))
                    .unsafe_fix(format!("write `{replace}`"), span, replace)
            } else {
                diagnostic.help("give the parameter as the text that is meant")
            });
        }
    }
}
