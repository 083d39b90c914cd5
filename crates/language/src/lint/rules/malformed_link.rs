//! Links that are not the number of a step.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::recipe::{Link, Role, Step, Target};
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// A link is not the number of a step.
    ///
    /// # Why
    /// A link is the number of a step: `2`, a list of numbers, or an object that gives each channel a number or a list
    /// of them. Keys are written `"2"`, but links are not.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "output": "2" }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "output": 2 }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the dispatcher refuses such recipes.
    "malformed-link", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let recipe = cx.recipe;
    for step in recipe.steps() {
        for link in recipe.links(step) {
            check_link(cx, step, link, sink);
        }
    }
    for entry in recipe.start().into_iter().flat_map(|start| &start.entries) {
        if let Some((node, Target::Meant(id), _)) = entry.pair {
            let node = cx.node(node);
            // In Python `1 == 1.0 == True`, so only the string is rejected there.
            report(cx, "`start` names", node, Some(id), node.kind() == Kind::String, sink);
        }
    }
    for &(node, target) in recipe.error().into_iter().flat_map(|error| &error.targets) {
        let node = cx.node(node);
        if let Target::Meant(id) = target
            && recipe.error().is_some_and(|error| error.value != node.id())
        {
            report(cx, "the recipe's `error` names", node, Some(id), node.kind() == Kind::String, sink);
        }
    }
}

fn check_link(cx: &Context<'_>, step: &Step, link: &Link, sink: &mut Sink) {
    let meant = match link.target {
        Target::Step(_) => return,
        Target::Meant(id) => Some(id),
        Target::Unreadable => None,
    };
    let node = cx.node(link.node);
    let name = cx.recipe.name(step);
    // The value of the key may be a list or an object; an item of it may not.
    let is_value = cx.node(step.value).members().any(|part| part.value.id() == link.node);
    let verb = if is_value { "is" } else { "names" };
    let what = match (link.role, link.channel) {
        (Role::Error, _) => format!("`error` of step `{name}` {verb}"),
        (Role::Output, Some(channel)) => format!("channel `{}` of step `{name}` goes to", cx.node(channel).text()),
        (Role::Output, None) => format!("`output` of step `{name}` {verb}"),
    };
    report(cx, &what, node, meant, is_rejected(link, node), sink);
}

/// Whether the reference rejects it. It takes a boolean for a number, and looks into channels within channels
/// and past `null` ones.
fn is_rejected(link: &Link, node: NodeRef<'_>) -> bool {
    match node.kind() {
        Kind::Bool => node.as_bool() == Some(false),
        Kind::Null => link.channel.is_none() && link.role == Role::Output,
        Kind::Object => link.channel.is_none() || node.members().any(|member| member.value.as_integer().is_none()),
        _ => true,
    }
}

fn report(cx: &Context<'_>, what: &str, node: NodeRef<'_>, meant: Option<i64>, refused: bool, sink: &mut Sink) {
    if node.kind() == Kind::Missing {
        return;
    }
    let shown = match node.kind() {
        Kind::Array | Kind::Object | Kind::Null => node.describe().to_owned(),
        kind => format!("the {} {}", if kind == Kind::String { "text" } else { "value" }, cx.show(node)),
    };
    let diagnostic = RULE.at(node.head(), format!("{what} {shown}, not the number of a step")).refused_if(refused);
    sink.report(match meant.filter(|&id| node.kind() != Kind::Bool && cx.recipe.step(id).is_some()) {
        Some(id) => diagnostic.fix(format!("write `{id}`"), node.span(), id.to_string()),
        None => diagnostic.help(help(node)),
    });
}

fn help(node: NodeRef<'_>) -> &'static str {
    match node.kind() {
        Kind::Null => "to end the chain here leave the link out",
        Kind::Object => "a channel goes to a number or a list of numbers",
        Kind::String => "name a step by its number; channels are written `{\"name\": 2}`",
        _ => "name a step by its number",
    }
}
