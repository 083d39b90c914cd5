//! A `transport-delay` that is no number of seconds.

use crate::diagnostic::{Diagnostic, Sink};
use crate::lint::Context;
use crate::recipe::{LONGEST_DELAY, Step};
use crate::syntax::{Kind, NodeRef};
use crate::template::Template;
use crate::value::Value;

declare_rule! {
    /// A delay is not a number of seconds.
    ///
    /// # Why
    /// `transport-delay` is the number of seconds by which a message to this step is delayed. Text is not a number, and
    /// `{seconds}` always becomes text: for the value itself, write `{$REPLACE:seconds}`.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "transport-delay": "5s" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "transport-delay": 5 }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the dispatcher refuses such recipes, or the service fails.
    "malformed-delay", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let Some(value) = step.delay.map(|delay| cx.node(delay)) else { continue };
        if value.has_braces() {
            // A string that is no template is the business of other rules.
            if let Some(template) = cx.template(value) {
                check_template(cx, step, value, template, sink);
            }
            continue;
        }
        let Some(problem) = problem(&value.to_value()).filter(|_| value.kind() != Kind::Missing) else { continue };
        let diagnostic = at(cx, step, value, &problem);
        let text = value.text();
        let number = text.trim().trim_end_matches('s').trim();
        sink.report(if value.kind() == Kind::String && number.parse::<u32>().is_ok() {
            diagnostic.unsafe_fix(format!("write `{number}`"), value.span(), number)
        } else {
            diagnostic.help("write seconds as a number, for example `5`")
        });
    }
}

fn check_template(cx: &Context<'_>, step: &Step, node: NodeRef<'_>, template: &Template, sink: &mut Sink) {
    if !template.replace {
        let diagnostic = at(cx, step, node, "is always text, not a number of seconds");
        let whole = template.whole().filter(|field| field.spec.is_empty() && field.conversion.is_none());
        sink.report(match whole {
            Some(field) => {
                let replacement = format!("{{$REPLACE:{}}}", field.path_text());
                diagnostic.help(format!("for the value itself write `{replacement}`")).unsafe_fix(
                    format!("write `{replacement}`"),
                    node.text_span(field.span.clone()),
                    replacement,
                )
            }
            None => diagnostic.help("write seconds as a number, or only `{$REPLACE:name}`"),
        });
        return;
    }
    let Some(parameters) = cx.parameters else { return };
    let absent = template.fields().into_iter().find(|field| !parameters.contains_key(&field.name));
    if let Some(field) = absent {
        // What the site's dispatcher adds is not known here.
        if !cx.is_given(&field.name) {
            let problem = format!("becomes `null`, because the parameter `{}` is not given", field.name);
            sink.report(at(cx, step, node, &problem).help(format!("give it: `--param-json {}=…`", field.name)));
        }
        return;
    }
    // What cannot be filled in is the business of another rule.
    let Ok(value) = template.apply(parameters) else { return };
    if let Some(problem) = problem(&value) {
        let problem = match value {
            Value::Array(_) | Value::Object(_) | Value::Null => problem.replacen("is", "becomes", 1),
            value => format!("becomes `{}`, which {problem}", value.to_json()),
        };
        sink.report(at(cx, step, node, &problem).help("give the parameter as a number: `--param-json name=5`"));
    }
}

fn at(cx: &Context<'_>, step: &Step, value: NodeRef<'_>, problem: &str) -> Diagnostic {
    RULE.at(value.head(), format!("the transport-delay of step `{}` {problem}", cx.recipe.name(step))).refused()
}

/// What is wrong with a delay: a predicate.
fn problem(value: &Value) -> Option<String> {
    let Value::Number(seconds) = value else {
        return Some(format!("is {}, not a number of seconds", value.describe()));
    };
    match seconds.as_f64() {
        seconds if (0.0..=LONGEST_DELAY).contains(&seconds) => None,
        seconds if seconds > LONGEST_DELAY => Some("is longer than 49 days, which is what brokers can hold".to_owned()),
        _ => Some("is negative".to_owned()),
    }
}
