//! A site configuration that is not of the form of one.

use crate::diagnostic::{Diagnostic, Sink};
use crate::lint::Context;
use crate::site::{Part, RESERVED, Site};
use crate::source::Span;
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// The site configuration has an error.
    ///
    /// # Why
    /// One error in the form of the site configuration stops every service and every tool at its next start, and Zocalo
    /// reports only the first error. The file has `version: 1`, `environments`, `include`, and plugin blocks: objects
    /// with `plugin`, or the paths of files that contain one. An included file that cannot be read is an error of this
    /// file.
    ///
    /// # Example
    /// ```yaml
    /// version: "1"
    /// environments:
    ///   live: [broker]
    /// broker:
    ///   host: rabbitmq.example.org
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments:
    ///   live: [broker]
    /// broker: secrets/broker.yml
    /// ```
    ///
    /// # When not to follow it
    /// Never: no service starts.
    "malformed-site", Error, about [Site]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let root = cx.tree.root();
    if root.kind() != Kind::Object {
        if root.kind() != Kind::Missing {
            sink.report(refused(root.head(), format!("a site configuration is an object, not {}", root.describe())));
        }
        return;
    }
    match root.get("version") {
        None if cx.is_broken() => {}
        None => sink.report(refused(root.head(), "the configuration has no `version`").help("write `version: 1`")),
        Some(version) => sink.extend(of_version(cx, version)),
    }
    for member in root.members() {
        let value = member.value;
        match &*member.key.text() {
            "version" => {}
            "environments" => environments(value, sink),
            "include" => include(value, sink),
            name => sink.extend(of_block(name, member.key, value)),
        }
    }
    let parts = cx.document.site().map(Site::parts).unwrap_or_default();
    for Part { via, site } in parts {
        let (Some(via), Some(defect)) = (via, site.defect()) else { continue };
        let name = site.tree().source().name();
        let found = refused(cx.tree.node(via).span(), format!("the included file `{name}` {defect}"));
        sink.report(found.help(format!("run `zrecipe check {name}` to see all errors")));
    }
}

/// A finding for which the configuration is refused.
fn refused(span: Span, message: impl Into<String>) -> Diagnostic {
    RULE.at(span, message).refused()
}

fn of_version(cx: &Context<'_>, version: NodeRef<'_>) -> Option<Diagnostic> {
    if version.as_f64() == Some(1.0) || version.kind() == Kind::Missing {
        return None;
    }
    let found = refused(version.head(), format!("`version` is {}, not the number 1", cx.show(version)));
    Some(match &*version.text() {
        "1" => found.fix("write `1`", version.span(), "1"),
        _ => found.help("no other version exists"),
    })
}

fn environments(environments: NodeRef<'_>, sink: &mut Sink) {
    if !matches!(environments.kind(), Kind::Object | Kind::Missing) {
        let what = environments.describe();
        sink.report(refused(environments.head(), format!("`environments` is {what}, not an object")));
    }
    for member in environments.members() {
        let (name, value) = (member.key.text(), member.value);
        match value.kind() {
            Kind::String | Kind::Missing => {}
            Kind::Array => group(&format!("environment `{name}`"), value, sink),
            Kind::Object => {
                for part in value.members() {
                    let called = format!("group `{}` of environment `{name}`", part.key.text());
                    group(&called, part.value, sink);
                }
            }
            _ => sink.report(
                refused(
                    value_or_key(member.key, value).head(),
                    format!("environment `{name}` is {}", value.describe()),
                )
                .help(
                    "write a list of plugin blocks, an object with groups of them, or the name of another environment",
                ),
            ),
        }
    }
}

fn group(called: &str, group: NodeRef<'_>, sink: &mut Sink) {
    match group.kind() {
        Kind::String => sink.extend(reserved(group)),
        Kind::Array => {
            for item in group.items() {
                match item.kind() {
                    Kind::Missing => {}
                    Kind::String => sink.extend(reserved(item)),
                    _ => sink.report(
                        refused(item.head(), format!("an item of {called} is {}", item.describe()))
                            .help("items are the names of plugin blocks"),
                    ),
                }
            }
        }
        Kind::Missing => {}
        _ => sink.report(
            refused(group.head(), format!("{called} is {}", group.describe()))
                .help("write the name of a plugin block, or a list of names"),
        ),
    }
}

fn reserved(name: NodeRef<'_>) -> Option<Diagnostic> {
    let text = name.text();
    RESERVED.contains(&&*text).then(|| refused(name.span(), format!("`{text}` cannot be the name of a plugin block")))
}

fn include(include: NodeRef<'_>, sink: &mut Sink) {
    if !matches!(include.kind(), Kind::Array | Kind::Missing) {
        let found = refused(include.head(), format!("`include` is {}, not a list", include.describe()));
        sink.report(match include.kind() {
            Kind::String => found.fix("make it a list", include.span(), format!("[{}]", include.raw())),
            _ => found,
        });
    }
    for item in include.items().filter(|item| !matches!(item.kind(), Kind::String | Kind::Missing)) {
        sink.report(refused(item.head(), format!("an item of `include` is {}, not a path", item.describe())));
    }
}

fn of_block(name: &str, key: NodeRef<'_>, value: NodeRef<'_>) -> Option<Diagnostic> {
    let plugin = value.get("plugin");
    match (value.kind(), plugin) {
        (Kind::String | Kind::Missing, _) => None,
        (Kind::Object, None) => Some(
            refused(key.span(), format!("block `{name}` has no `plugin`"))
                .help("add `plugin` with the name of the plugin that the settings are for"),
        ),
        (Kind::Object, Some(plugin)) => {
            let wrong = !matches!(plugin.kind(), Kind::String | Kind::Missing);
            let message = || format!("`plugin` of block `{name}` is {}, not a name", plugin.describe());
            wrong.then(|| refused(plugin.head(), message()))
        }
        _ => Some(
            refused(value_or_key(key, value).head(), format!("block `{name}` is {}", value.describe()))
                .help("write an object with `plugin`, or the path of a file that contains one"),
        ),
    }
}

/// In YAML null may be written as nothing at all.
fn value_or_key<'t>(key: NodeRef<'t>, value: NodeRef<'t>) -> NodeRef<'t> {
    if value.raw().is_empty() { key } else { value }
}
