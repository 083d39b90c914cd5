//! Requests for recipes that no recipe directory has.

use crate::diagnostic::Sink;
use crate::document::DocumentKind;
use crate::lint::Context;
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// A request names a recipe that does not exist.
    ///
    /// # Why
    /// The dispatcher rejects a request that names a recipe that does not exist: no recipe of the request runs.
    /// Requests are files, and payloads that a recipe sends to the queue of the dispatcher.
    ///
    /// # Example
    /// ```json recipes=tomography,thumbnails
    /// { "recipes": ["tomografy"], "parameters": {} }
    /// ```
    ///
    /// # Instead
    /// ```json recipes=tomography,thumbnails
    /// { "recipes": ["tomography"], "parameters": {} }
    /// ```
    ///
    /// # When not to follow it
    /// The dispatcher looks up recipes in a directory that zrecipe does not know. Add it to `recipe-directories`.
    "unknown-recipe", Error, about [Recipe, Request]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(known) = cx.recipes else { return };
    let requests: Vec<NodeRef<'_>> = match cx.document.kind() {
        DocumentKind::Request => vec![crate::document::request(cx.tree.root())],
        _ => sent(cx).collect(),
    };
    for name in requests.iter().filter_map(|request| request.get("recipes")).flat_map(|recipes| recipes.items()) {
        let text = name.text();
        if name.kind() != Kind::String || name.has_braces() || known.contains(&*text) {
            continue;
        }
        let diagnostic = RULE.at(name.span(), format!("there is no recipe `{text}`"));
        sink.report(match sink.nearest(RULE.name, &text, known.iter().map(String::as_str)) {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None => diagnostic.help("no recipe directory has a file of this name"),
        });
    }
}

/// What the recipe sends to the dispatcher when it starts.
fn sent<'t>(cx: &Context<'t>) -> impl Iterator<Item = NodeRef<'t>> {
    let entries = cx.recipe.start().into_iter().flat_map(|start| &start.entries);
    entries.filter_map(|entry| entry.pair).filter_map(|(_, target, payload)| {
        let step = cx.recipe.step(target.id()?)?;
        let is_dispatcher = cx.contract_of(step).is_some_and(|contract| contract.name() == "Dispatcher");
        is_dispatcher.then(|| cx.node(payload))
    })
}
