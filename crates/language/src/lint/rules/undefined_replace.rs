//! `{$REPLACE:…}` of a parameter that is not given.

use std::collections::HashMap;

use crate::diagnostic::{Level, Sink};
use crate::infer::{Need, Use};
use crate::lint::{Context, nearest};
use crate::syntax::NodeId;

declare_rule! {
    /// No value is given for a replacement; it becomes null.
    ///
    /// # Why
    /// A replacement without a value becomes `null` silently. This is checked when the parameters are known. If the
    /// contract of the service does not allow null, it is an error.
    ///
    /// # Example
    /// With the parameter `files` and no other:
    /// ```json with files=a.h5
    /// { "1": { "queue": "images", "parameters": { "list": "{$REPLACE:file}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json with files=a.h5
    /// { "1": { "queue": "images", "parameters": { "list": "{$REPLACE:files}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// The service takes null for a missing value.
    "undefined-replace", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if cx.parameters.is_none() && cx.declared.is_none() {
        return;
    }
    let uses = cx.demands().iter().flat_map(|parameter| &parameter.uses);
    let required: HashMap<NodeId, &Use> =
        uses.filter(|used| used.need == Need::Required).map(|used| (used.node, used)).collect();
    for (node, template) in cx.parsed_templates().filter(|(node, template)| template.replace && !cx.is_delivery(*node))
    {
        for field in cx.fields(template).into_iter().filter(|field| !cx.is_given(&field.name)) {
            // `ambiguous-replace` says it.
            if field.name == "$REPLACE" {
                continue;
            }
            let message = format!("this becomes `null`, because the parameter `{}` is not given", field.name);
            let diagnostic = match required.get(&node.id()).filter(|used| used.field == *field) {
                Some(used) => RULE.at(node.span(), message).level(Level::Error).label(used.reason.clone()),
                None => RULE.at(node.span(), message),
            };
            sink.report(match nearest(&field.name, cx.given_names()) {
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
                // What the request brings is not known.
                None if cx.parameters.is_none() => continue,
                None => diagnostic.help(format!("give it: `--param-json {}=…`", field.name)),
            });
        }
    }
}
