//! Logging blocks of a site configuration: what defines handlers, formatters and filters, and what names them.

use crate::syntax::{Kind, NodeRef};

/// A handler, formatter or filter that a logging configuration names.
#[derive(Debug, Clone, Copy)]
pub struct LoggingUse<'t> {
    /// The configuration, the block itself or a step of `verbose`, that must define it.
    pub scope: NodeRef<'t>,
    /// Where it is defined: `handlers`, `formatters` or `filters`.
    pub part: &'static str,
    /// Its name.
    pub name: NodeRef<'t>,
    /// Whether it is an argument of a handler's class, which may mean something else by it.
    pub is_argument: bool,
}

/// The parts of a logging configuration that define something by its name.
pub const LOGGING_PARTS: [&str; 3] = ["handlers", "formatters", "filters"];

/// What defines handlers, formatters and filters in a block of the plugin `logging`: it, and steps of `verbose` that
/// configure everything anew.
pub fn logging_scopes(block: NodeRef<'_>) -> Vec<NodeRef<'_>> {
    let steps = block.get("verbose").into_iter().flat_map(NodeRef::items);
    let incremental = |scope: &NodeRef<'_>| scope.get("incremental").and_then(NodeRef::as_bool);
    let block = Some(block).filter(|block| incremental(block) != Some(true));
    block.into_iter().chain(steps.filter(|step| incremental(step) == Some(false))).collect()
}

/// What a block of the plugin `logging` names.
pub fn logging_uses<'t>(block: NodeRef<'t>) -> Vec<LoggingUse<'t>> {
    let mut uses = Vec::new();
    for scope in logging_scopes(block) {
        let mut note = |part, node: Option<NodeRef<'t>>, is_argument| {
            let names = node.into_iter().flat_map(|node| std::iter::once(node).chain(node.items()));
            let names = names.filter(|name| name.kind() == Kind::String);
            uses.extend(names.map(|name| LoggingUse { scope, part, name, is_argument }));
        };
        let values = |key: &str| scope.get(key).into_iter().flat_map(NodeRef::members).map(|member| member.value);
        for logger in scope.get("root").into_iter().chain(values("loggers")) {
            note("handlers", logger.get("handlers"), false);
            note("filters", logger.get("filters"), false);
        }
        for handler in values("handlers") {
            note("formatters", handler.get("formatter"), false);
            note("filters", handler.get("filters"), false);
            // Handlers that hand on to others.
            note("handlers", handler.get("target"), true);
            note("handlers", handler.get("handlers"), true);
        }
    }
    uses
}
