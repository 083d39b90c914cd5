//! Values that become Python's text for them.

use std::collections::HashSet;

use crate::contract::Declared;
use crate::diagnostic::{Level, Sink};
use crate::infer::Type;
use crate::lint::Context;
use crate::syntax::NodeId;
use crate::value::Value;

declare_rule! {
    /// A value becomes Python's text for it.
    ///
    /// # Why
    /// `{name}` is substituted as text in Python syntax: a list becomes `[1, 'two']`, `null` becomes `None`, and `true`
    /// becomes `True`. A service that expects the value itself receives text. This is checked when the parameters are
    /// known.
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
    ///
    /// # When not to follow it
    /// The service reads that text: for example, it treats `None` as a missing value.
    "value-as-text", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if let Some(declared) = cx.declared {
        declared_values(cx, declared, sink);
    }
    let Some(parameters) = cx.parameters else { return };
    // `parameter-type` says where no text suits.
    let uses = cx.demands().iter().flat_map(|parameter| &parameter.uses);
    let told: HashSet<NodeId> = uses.filter(|used| used.never.is_some()).map(|used| used.node).collect();
    let texts = cx.parsed_templates().filter(|(node, template)| !template.replace && !cx.is_delay(*node));
    for (node, template) in texts.filter(|(node, _)| !told.contains(&node.id())) {
        for field in cx.fields(template).into_iter().filter(|field| field.conversion.is_none()) {
            let Some(value) = field.value(parameters) else { continue };
            let (what, level) = match &*value {
                Value::Null => ("`None`".to_owned(), RULE.level),
                Value::Bool(true) => ("`True`".to_owned(), Level::Note),
                Value::Bool(false) => ("`False`".to_owned(), Level::Note),
                other @ (Value::Array(_) | Value::Object(_)) => {
                    (format!("Python's text for {}", other.describe()), RULE.level)
                }
                _ => continue,
            };
            let span = node.text_span(field.span.clone());
            let diagnostic = RULE.at(span, format!("`{field}` becomes {what}")).level(level);
            let whole = template.whole().is_some() && field.spec.is_empty();
            sink.report(if whole {
                let replace = format!("{{$REPLACE:{}}}", field.path_text());
                diagnostic.help(format!("for the value itself write `{replace}`")).unsafe_fix(
                    format!("write `{replace}`"),
                    span,
                    replace,
                )
            } else {
                diagnostic.help("give the parameter as the intended text")
            });
        }
    }
}

/// Parameters that the site's dispatcher adds, and that are no text.
fn declared_values(cx: &Context<'_>, declared: &Declared, sink: &mut Sink) {
    for (node, template) in cx.parsed_templates().filter(|(node, template)| !template.replace && !cx.is_delay(*node)) {
        let fields = cx.fields(template).into_iter();
        for field in fields.filter(|field| field.path.is_empty() && field.conversion.is_none() && field.spec.is_empty())
        {
            let given = cx.parameters.is_some_and(|parameters| parameters.contains_key(&field.name));
            let Some(schema) = declared.get(&field.name).filter(|_| !given) else { continue };
            let kind = Type::of_schema(schema.root(), schema.root());
            if kind.is_empty() || kind.takes_scalar() {
                continue;
            }
            let span = node.text_span(field.span.clone());
            let diagnostic =
                RULE.at(span, format!("`{field}` becomes Python's text, because it is {kind:#} at this site"));
            let replace = format!("{{$REPLACE:{}}}", field.name);
            sink.report(if template.whole().is_some() {
                diagnostic.help(format!("for the value itself write `{replace}`")).unsafe_fix(
                    format!("write `{replace}`"),
                    span,
                    replace,
                )
            } else {
                diagnostic.help("or write the part that is intended")
            });
        }
    }
}
