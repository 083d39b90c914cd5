//! Handlers, formatters and filters that nothing uses.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::site::{LOGGING_PARTS, LoggingUse, logging_scopes, logging_uses};
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// No logger names a part of the logging configuration.
    ///
    /// # Why
    /// A handler receives messages only from loggers that name it. A handler that no logger names is still set up, and
    /// its file stays empty.
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
    ///     file: {class: logging.FileHandler, filename: /site/logs/zocalo.log}
    ///   root: {level: INFO, handlers: [console]}
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
    ///     file: {class: logging.FileHandler, filename: /site/logs/zocalo.log}
    ///   root: {level: INFO, handlers: [console, file]}
    /// ```
    ///
    /// # When not to follow it
    /// Services of the site add the part to their loggers themselves.
    "unused-logging-part", Note, about [Site, Plugin]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for block in cx.plugin_blocks().into_iter().filter(|block| block.plugin == "logging") {
        // `cfg://handlers.file` may name anything from anywhere.
        let refers = |node: NodeRef<'_>| node.kind() == Kind::String && node.text().contains("cfg://");
        if cx.is_broken() || block.content.descendants().any(refers) {
            continue;
        }
        let uses = logging_uses(block.content);
        for scope in logging_scopes(block.content) {
            for part in LOGGING_PARTS {
                for key in scope.get(part).into_iter().flat_map(NodeRef::members).map(|member| member.key) {
                    let names = |used: &LoggingUse<'_>| {
                        used.scope.id() == scope.id() && used.part == part && used.name.same_text(key)
                    };
                    if !uses.iter().any(names) {
                        let message = format!(
                            "nothing in {} uses the {} `{}`",
                            block.called(),
                            part.trim_end_matches('s'),
                            key.text()
                        );
                        sink.report(RULE.at(key.span(), message));
                    }
                }
            }
        }
    }
}
