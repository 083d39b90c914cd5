//! Plugins that are to be replaced by others.

use std::fmt::Write as _;

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::schema::reads_as_number;
use crate::site::{Site, Written, plugin_of};
use crate::syntax::{Kind, NodeRef};
use crate::value::write_string;

declare_rule! {
    /// A block uses the deprecated plugin `graylog`.
    ///
    /// # Why
    /// Zocalo has announced the removal of the plugin `graylog`. The plugin `logging` replaces it and configures each
    /// logger. The fix keeps the server and the levels that services set themselves. There is no fix if an environment
    /// has another block for logging, because the later block replaces the handlers of the earlier one.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {default: [places, logs]}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// logs:
    ///   plugin: graylog
    ///   protocol: UDP
    ///   host: graylog.example.org
    ///   port: 12201
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
    ///     graylog:
    ///       (): zocalo.configuration.plugin_logging.GraylogUDPHandler
    ///       host: graylog.example.org
    ///       port: 12201
    ///   loggers:
    ///     workflows: {level: INFO}
    ///     zocalo: {level: DEBUG}
    ///   root: {level: WARNING, handlers: [graylog]}
    /// ```
    ///
    /// # When not to follow it
    /// Services of the site still run a release of Zocalo without the plugin `logging`.
    "deprecated-plugin", Note, about [Site, Plugin]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for block in cx.plugin_blocks().into_iter().filter(|block| block.plugin == "graylog") {
        let span = block.content.get("plugin").map_or(block.place, NodeRef::span);
        let found = RULE
            .at(span, format!("{} uses plugin `graylog`, which is deprecated", block.called()))
            .help("use the plugin `logging` with a Graylog handler");
        let alone = cx.document.site().is_some_and(|site| is_alone(site, &block));
        sink.report(match rewritten(&block).filter(|_| alone && !has_comments(cx, &block)) {
            Some(text) => found.unsafe_fix("make it a block of plugin `logging`", block.content.span(), text),
            None => found,
        });
    }
}

/// Whether no environment has another block for logging beside it, and nothing else takes from it.
fn is_alone(site: &Site, block: &Written<'_>) -> bool {
    let is_other = |name: &str| {
        let found = site.block(name).filter(|_| block.name.as_deref() != Some(name));
        let plugin = found.and_then(|(site, block)| plugin_of(site.content(block)?));
        plugin.is_some_and(|plugin| plugin == "graylog" || plugin == "logging")
    };
    let environments = site.environment_names().into_iter().filter_map(|name| site.names_in(name).ok());
    let shared = environments
        .into_iter()
        .any(|names| names.iter().any(|name| Some(*name) == block.name.as_deref()) && names.into_iter().any(is_other));
    !shared && !site.is_copied(block.content.id())
}

fn has_comments(cx: &Context<'_>, block: &Written<'_>) -> bool {
    let span = block.content.span();
    cx.tree.comments().iter().any(|comment| span.start <= comment.start && comment.start < span.end)
}

/// The block as one of plugin `logging`, if it is written plainly.
fn rewritten(block: &Written<'_>) -> Option<String> {
    let content = block.content;
    let span = content.span();
    let source = content.tree().source();
    let plain = content.members().all(|member| {
        let inside = span.start <= member.key.span().start && member.value.span().end <= span.end;
        let known = ["plugin", "protocol", "host", "port"].contains(&&*member.key.text());
        inside && known && !member.value.raw().contains('\n')
    });
    if !plain || content.raw().contains(['&', '!']) {
        return None;
    }
    let class = match &*content.get("protocol")?.text() {
        "UDP" => "zocalo.configuration.plugin_logging.GraylogUDPHandler",
        "TCP" => "zocalo.configuration.plugin_logging.GraylogTCPHandler",
        _ => return None,
    };
    let host = content.get("host").filter(|host| host.kind() == Kind::String)?;
    let port = reads_as_number(&content.get("port")?.text()).filter(|port| port.is_integer())?;
    let port = port.as_str();
    if content.raw().starts_with('{') {
        let mut name = String::new();
        write_string(&mut name, &host.text());
        return Some(format!(
            "{{\"plugin\": \"logging\", \"handlers\": {{\"graylog\": {{\"()\": \"{class}\", \"host\": {name}, \"port\": {port}}}}}, \
             \"loggers\": {{\"workflows\": {{\"level\": \"INFO\"}}, \"zocalo\": {{\"level\": \"DEBUG\"}}}}, \
             \"root\": {{\"level\": \"WARNING\", \"handlers\": [\"graylog\"]}}}}"
        ));
    }
    let before = &source.text()[..span.start as usize];
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let indent = " ".repeat(before[line..].chars().count());
    let end = if before.ends_with("\r\n") || before[..line].ends_with("\r\n") { "\r\n" } else { "\n" };
    let host = host.raw();
    let mut text = "plugin: logging".to_owned();
    for line in [
        "handlers:",
        "  graylog:",
        &format!("    (): {class}"),
        &format!("    host: {host}"),
        &format!("    port: {port}"),
        "loggers:",
        "  workflows: {level: INFO}",
        "  zocalo: {level: DEBUG}",
        "root: {level: WARNING, handlers: [graylog]}",
    ] {
        let _ = write!(text, "{end}{indent}{line}");
    }
    Some(text)
}
