//! Queues and topics that still hold a placeholder when all parameters are put in.

use crate::diagnostic::{Level, Sink};
use crate::lint::Context;
use crate::template::parse;
use crate::value::Value;

declare_rule! {
    /// No value is given for the name of a queue.
    ///
    /// # Why
    /// An undefined placeholder is not substituted. In the name of a queue, the message goes to a queue called
    /// `{name}`, which does not exist. This is checked when the parameters are known.
    ///
    /// # Example
    /// With the parameter `size` = `3` and no other:
    /// ```json with size=3
    /// { "1": { "queue": "{feedback}", "parameters": { "size": "{size}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// Give the parameter, or the name.
    /// ```json with size=3
    /// { "1": { "queue": "feedback", "parameters": { "size": "{size}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// A service replaces the placeholder before it sends the message.
    "unresolved-destination", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(parameters) = cx.parameters else { return };
    let started: Vec<i64> =
        cx.recipe.start().into_iter().flat_map(|start| &start.entries).filter_map(|entry| entry.pair?.1.id()).collect();
    for step in cx.recipe.steps() {
        for (what, part) in [("queue", step.queue), ("topic", step.topic)] {
            let Some(node) = part.map(|part| cx.node(part)) else { continue };
            let text = node.text();
            let Ok(template) = parse(&text) else { continue };
            let name = cx.recipe.name(step);
            let fields = template.fields();
            // What the site's dispatcher adds is not known here.
            if fields.iter().any(|field| !parameters.contains_key(&field.name) && cx.is_given(&field.name)) {
                continue;
            }
            let undefined = fields.iter().find(|field| !parameters.contains_key(&field.name));
            let (span, problem) = match (undefined, template.apply(parameters)) {
                (Some(field), _) => {
                    let problem = format!("needs the parameter `{}`, which is not given", field.name);
                    (node.text_span(field.span.clone()), problem)
                }
                (None, Ok(Value::String(text))) if text.is_empty() => (node.span(), "becomes empty".to_owned()),
                (None, Ok(Value::String(_)) | Err(_)) => continue,
                (None, Ok(other)) => (node.span(), format!("becomes {}, not a name", other.describe())),
            };
            let help = match undefined {
                Some(field) => format!("give it: `--param {}=…`", field.name),
                None => "give the parameter another value".to_owned(),
            };
            let diagnostic = RULE.at(span, format!("the {what} of step `{name}` {problem}")).help(help);
            // A first message is lost for certain; a later one only if its channel is used.
            sink.report(if started.contains(&step.id) {
                diagnostic.refused()
            } else {
                diagnostic.level(Level::Warning)
            });
        }
    }
}
