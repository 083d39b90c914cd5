//! Settings that a plugin does not take.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, Edit, Sink};
use crate::lint::{Context, nearest};
use crate::schema::{Problem, Schema, Unfit, View, Violation};
use crate::secret::{has_user_info, is_secret};
use crate::site::{Look, form_of, plugin_of};
use crate::source::Span;
use crate::syntax::{Kind, NodeRef, ProblemKind, Tree};

declare_rule! {
    /// A plugin block has wrong settings.
    ///
    /// # Why
    /// If a plugin does not accept its settings, no service starts. Errors in `logging`, and in blocks in separate
    /// files, appear only when they are used. `schemas/site/` describes the settings of each plugin.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {test: [broker]}
    /// broker: {plugin: pika, host: mq.example.org, port: amqp, username: zocalo, password: 31337}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {test: [broker]}
    /// broker: {plugin: pika, host: mq.example.org, port: 5672, username: zocalo, password: "31337", vhost: /}
    /// ```
    ///
    /// # When not to follow it
    /// The site has its own plugin with the name of one of Zocalo's plugins.
    "malformed-plugin", Error, about [Site, Plugin]
}

/// The levels of Python's logging.
const LEVELS: [&str; 6] = ["NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

/// Something that a plugin does not take.
struct Fault<'t> {
    node: NodeRef<'t>,
    /// What, without the value of a secret.
    what: String,
    help: Option<String>,
    /// Whether quotes around it would do.
    unquoted: bool,
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(site) = cx.document.site() else {
        if let Some(fault) = no_plugin(cx.tree.root()).filter(|_| !cx.is_broken()) {
            sink.report(helped(RULE.at(fault.node.head(), fault.what), None));
        }
        return written_here(cx, sink);
    };
    written_here(cx, sink);
    for part in site.parts() {
        let name = part.via.map(|_| format!("in the included file `{}` ", part.site.tree().source().name()));
        let name = name.unwrap_or_default();
        for block in part.site.blocks() {
            if let Some(Look::File { tree, .. }) = &block.file {
                let path = part.via.map_or(part.site.node(block.value), |via| cx.tree.node(via)).span();
                sink.extend(in_file(tree).into_iter().map(|fault| {
                    let found = RULE.at(path, format!("{name}in the file of block `{}` {}", block.name, fault.what));
                    helped(found, fault.help)
                }));
            }
        }
    }
}

fn written_here(cx: &Context<'_>, sink: &mut Sink) {
    // What `<<` takes from elsewhere is wrong once, however many blocks have it.
    let mut seen = HashSet::new();
    for block in cx.plugin_blocks() {
        for fault in faults(block.content) {
            let about_all = fault.node.id() == block.content.id();
            if about_all && cx.is_broken() || !about_all && !seen.insert(fault.node.span()) {
                continue;
            }
            let span = if about_all { block.place } else { fault.node.head() };
            let message = match &block.name {
                Some(name) => format!("in block `{name}` {}", fault.what),
                None => fault.what,
            };
            let found = helped(RULE.at(span, message), fault.help);
            sink.report(if fault.unquoted {
                let quote = |at: u32| Edit { span: Span::empty(at as usize), replacement: "\"".to_owned() };
                let span = fault.node.span();
                found.with_fix(true, "put it in quotes", vec![quote(span.start), quote(span.end)])
            } else {
                found
            });
        }
    }
}

/// A finding that keeps the site from starting.
fn helped(found: Diagnostic, help: Option<String>) -> Diagnostic {
    match help {
        Some(help) => found.help(help).refused(),
        None => found.help("`zrecipe schema site` describes the settings of all plugins").refused(),
    }
}

/// What is wrong with a block in a file of its own.
fn in_file(tree: &Tree) -> Vec<Fault<'_>> {
    let root = tree.root();
    let fault = |what: &str| Fault { node: root, what: what.to_owned(), help: None, unquoted: false };
    match tree.mistakes().next() {
        Some(problem) if problem.kind == ProblemKind::Empty => vec![fault("there is nothing")],
        Some(_) => vec![fault("something is not YAML")],
        None => no_plugin(root).map_or_else(|| faults(root), |fault| vec![fault]),
    }
}

/// A document that is no plugin block.
fn no_plugin(root: NodeRef<'_>) -> Option<Fault<'_>> {
    let fault = |node, what: String| Some(Fault { node, what, help: None, unquoted: false });
    match (root.kind(), root.get("plugin")) {
        (Kind::Missing, _) => None,
        (Kind::Object, None) => fault(root, "`plugin` is missing".to_owned()),
        (Kind::Object, Some(plugin)) if matches!(plugin.kind(), Kind::String | Kind::Missing) => None,
        (Kind::Object, Some(plugin)) => fault(plugin, format!("`plugin` is {}, not a name", plugin.describe())),
        _ => fault(root, format!("{} where an object with `plugin` is required", root.describe())),
    }
}

/// What a block says that its plugin does not take.
fn faults(block: NodeRef<'_>) -> Vec<Fault<'_>> {
    let Some(form) = plugin_of(block).and_then(|plugin| form_of(&plugin)) else { return Vec::new() };
    let violations = form.check(block, false, &mut View::plain(block));
    violations.into_iter().flat_map(|violation| describe(form, block, violation)).collect()
}

fn describe<'t>(form: &Schema, block: NodeRef<'t>, violation: Violation) -> Vec<Fault<'t>> {
    let node = block.tree().node(violation.node);
    let path = violation.path;
    let key = path.rsplit('.').next().unwrap_or_default();
    let one =
        |what: String, help: Option<&str>| vec![Fault { node, what, help: help.map(str::to_owned), unquoted: false }];
    let within = if path.is_empty() { String::new() } else { format!(" of `{path}`") };
    let unfit = match violation.problem {
        Problem::Missing(name) => return one(format!("`{name}`{within} is missing"), None),
        Problem::Unknown { name, key, .. } => {
            let node = key.map_or(node, |key| node.tree().node(key));
            // Of handlers only those of Graylog take nothing but what is known.
            let what = match path.starts_with("handlers.") {
                true => format!("`{name}`{within} is not a setting of Graylog handlers"),
                false => format!("`{name}`{within} is unknown"),
            };
            return vec![Fault { node, what, help: None, unquoted: false }];
        }
        Problem::Unfit { why, predicate, meant, .. } => {
            let meant = meant.filter(|meant| meant.len() > 1).map(|meant| format!("did you mean `{meant}`?"));
            (why, predicate, meant)
        }
    };
    let text_wanted = form.properties().any(|(name, property)| name == path && property["type"] == "string");
    match unfit {
        _ if text_wanted && !matches!(node.kind(), Kind::String) => {
            let scalar = matches!(node.kind(), Kind::Number | Kind::Bool);
            let help = scalar.then(|| "text that YAML reads as something else needs quotes".to_owned());
            vec![Fault { node, what: format!("`{path}` is {}, not text", node.describe()), help, unquoted: scalar }]
        }
        // The words of the schema quote the value.
        _ if path.split(['.', '[']).any(is_secret) || has_user_info(node.raw()) => {
            one(format!("`{path}` has an invalid form"), None)
        }
        (Unfit::Forbidden, ..) => one(
            format!("`{path}` is not allowed in an incremental configuration"),
            Some(
                "an incremental configuration, such as a step of `verbose`, changes only levels and propagation; with \
                 `incremental: false`, a step replaces the whole configuration",
            ),
        ),
        (Unfit::Pattern, ..) => {
            let wanted = match &*path {
                "from" => "a mail address",
                "port" => "the number of a port",
                _ => "a number",
            };
            one(format!("`{path}` is `{}`, not {wanted}", node.text()), None)
        }
        _ if key == "level" => {
            let text = node.text();
            let meant = nearest(&text, LEVELS).map(|meant| format!("did you mean `{meant}`?"));
            let help = meant.unwrap_or_else(|| format!("levels are {}, or numbers", LEVELS.join(", ")));
            one(format!("`{path}` is `{text}`, not a level"), Some(&help))
        }
        (Unfit::Form, ..) => {
            one(format!("`{path}` has neither `class` nor `()`"), Some("one of them defines the handler"))
        }
        (_, predicate, meant) => one(format!("`{path}` {predicate}"), meant.as_deref()),
    }
}
