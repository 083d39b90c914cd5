//! Settings of plugins that no server answers: the address of an API, or its version.

use crate::diagnostic::{Diagnostic, Level, Sink};
use crate::lint::{Context, respelled};
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// A setting makes every request fail.
    ///
    /// # Why
    /// The API of RabbitMQ is below `/api`, and that of Slurm below its version, for example `v0.0.40`. With another
    /// `base_url` or `api_version`, the configuration is accepted, but every request fails at run time.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// api: {plugin: rabbitmqapi, base_url: "http://mq.example.org:15672", username: guest, password: guest}
    /// environments:
    ///   default: {plugins: [api]}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// api: {plugin: rabbitmqapi, base_url: "http://mq.example.org:15672/api", username: guest, password: guest}
    /// environments:
    ///   default: {plugins: [api]}
    /// ```
    ///
    /// # When not to follow it
    /// A proxy in front of RabbitMQ has its own path.
    "unusable-setting", Error, about [Site, Plugin]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for block in cx.plugin_blocks() {
        let called = block.called();
        let own = |key: &str| block.own(key).filter(|value| value.kind() == Kind::String);
        match &*block.plugin {
            "rabbitmqapi" => sink.extend(own("base_url").and_then(|url| of_url(url, &called))),
            "slurm" | "iris" => sink.extend(own("api_version").and_then(|version| of_version(version, &called))),
            _ => {}
        }
    }
}

/// Addresses that do not lead to the API.
fn of_url(node: NodeRef<'_>, called: &str) -> Option<Diagnostic> {
    let text = node.text();
    // One behind the other, and the first that answers counts.
    let mut urls = text.split(',').map(str::trim);
    let wrong = urls.find_map(|url| {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
        let path = rest.split_once('/').map_or("", |(_, path)| path).trim_end_matches('/');
        let is_right = path == "api" || path.ends_with("/api");
        (!is_right && !rest.is_empty()).then_some(path.is_empty())
    });
    let is_bare = wrong?;
    let level = if is_bare { Level::Error } else { Level::Warning };
    let message = format!("`base_url` of {called} does not end with `/api`, and RabbitMQ does not answer there");
    let diagnostic = RULE.at(node.span(), message).level(level).help("end the address with `/api`");
    if !is_bare || text.contains(',') {
        return Some(diagnostic);
    }
    let written = respelled(node.raw(), &format!("{}/api", text.trim_end_matches('/')));
    Some(diagnostic.unsafe_fix(format!("write `{}/api`", text.trim_end_matches('/')), node.span(), written))
}

/// Versions that are in no path of the API.
fn of_version(node: NodeRef<'_>, called: &str) -> Option<Diagnostic> {
    let text = node.text();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_version = |text: &str| text.split('.').count() == 3 && text.split('.').all(is_number);
    if text.strip_prefix('v').is_some_and(is_version) {
        return None;
    }
    let message = format!("`api_version` of {called} is not the version of an API of Slurm");
    let diagnostic = RULE.at(node.span(), message).help("write it as in its paths: `v0.0.40`");
    Some(match is_version(&text) {
        true => {
            let written = respelled(node.raw(), &format!("v{text}"));
            diagnostic.unsafe_fix(format!("write `v{text}`"), node.span(), written)
        }
        false => diagnostic,
    })
}
