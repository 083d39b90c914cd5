//! Handlers, formatters and filters that are named and nowhere defined.

use crate::diagnostic::Sink;
use crate::lint::{Context, respelled};
use crate::site::logging_uses;
use crate::syntax::NodeRef;

declare_rule! {
    /// A logging configuration names an undefined part.
    ///
    /// # Why
    /// A logging configuration that names an undefined handler, formatter or filter is rejected when it is activated:
    /// no service starts. A step of `verbose` with `incremental: false` must itself define the parts that it names.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {default: [places, logs]}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// logs:
    ///   plugin: logging
    ///   handlers:
    ///     console: {class: logging.StreamHandler}
    ///   root: {level: INFO, handlers: [console, graylog]}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {default: [places, logs]}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// logs:
    ///   plugin: logging
    ///   handlers:
    ///     console: {class: logging.StreamHandler}
    ///   root: {level: INFO, handlers: [console]}
    /// ```
    ///
    /// # When not to follow it
    /// The block is incremental, and the part is defined by the service.
    "undefined-logging-part", Error, about [Site, Plugin]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if cx.is_broken() {
        return;
    }
    for block in cx.plugin_blocks().into_iter().filter(|block| block.plugin == "logging") {
        for used in logging_uses(block.content).into_iter().filter(|used| !used.is_argument && block.holds(used.name)) {
            let defined: Vec<_> = used
                .scope
                .get(used.part)
                .into_iter()
                .flat_map(NodeRef::members)
                .map(|member| member.key.text())
                .collect();
            let name = used.name.text();
            if defined.contains(&name) {
                continue;
            }
            let (span, kind) = (used.name.span(), used.part.trim_end_matches('s'));
            let found = RULE.at(span, format!("there is no {kind} `{name}` in {}", block.called()));
            sink.report(match sink.nearest(RULE.name, &name, defined.iter().map(|name| &**name)) {
                Some(meant) => found.help(format!("did you mean `{meant}`?")).unsafe_fix(
                    format!("write `{meant}`"),
                    span,
                    respelled(used.name.raw(), meant),
                ),
                None => found,
            });
        }
    }
}
