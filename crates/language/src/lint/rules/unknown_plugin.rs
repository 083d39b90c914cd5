//! Plugins that come neither with `zocalo` nor with `workflows`.

use crate::diagnostic::{Level, Sink};
use crate::lint::{Context, nearest, respelled};
use crate::site::plugins;
use crate::syntax::NodeRef;

declare_rule! {
    /// A plugin is unknown.
    ///
    /// # Why
    /// A block of a plugin that is not installed is skipped with a warning in the log, and its settings have no effect.
    /// zrecipe cannot check its settings, either.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {default: [mail]}
    /// mail: {plugin: smpt, host: mail.example.org, port: 25, from: zocalo@example.org}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {default: [mail]}
    /// mail: {plugin: smtp, host: mail.example.org, port: 25, from: zocalo@example.org}
    /// ```
    ///
    /// # When not to follow it
    /// The plugin is installed on the machines that run the services.
    "unknown-plugin", Note, about [Site, Plugin]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for block in cx.plugin_blocks() {
        let (name, node) = (&*block.plugin, block.content.get("plugin"));
        if plugins().any(|known| known == name) {
            continue;
        }
        let span = node.map_or(block.place, NodeRef::span);
        let found = RULE
            .at(span, format!("plugin `{name}` of {} comes neither with zocalo nor with workflows", block.called()));
        sink.report(match nearest(name, plugins()) {
            Some(meant) => found.level(Level::Warning).help(format!("did you mean `{meant}`?")).unsafe_fix(
                format!("write `{meant}`"),
                span,
                respelled(cx.tree.source().slice(span), meant),
            ),
            None if !is_identifier(name) => {
                found.help("it cannot be installed under this name, either: names of plugins are Python identifiers")
            }
            None => found.help("it has an effect only if it is installed"),
        });
    }
}

fn is_identifier(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_numeric())
}
