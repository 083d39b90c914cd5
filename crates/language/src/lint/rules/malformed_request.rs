//! Requests that the dispatcher cannot read.

use crate::diagnostic::{Level, Sink};
use crate::document::{is_recipe_message, request};
use crate::lint::Context;
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// A request has an invalid form.
    ///
    /// # Why
    /// A request names recipes in a list, and gives parameters in an object. The dispatcher rejects a request of
    /// another form, or without a recipe: no recipe runs. The contract of the dispatcher describes requests.
    ///
    /// # Example
    /// ```json
    /// { "recipes": ["tomography"], "parameters": [["ispyb_dcid", 1234]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "recipes": ["tomography"], "parameters": { "ispyb_dcid": 1234 } }
    /// ```
    ///
    /// # When not to follow it
    /// A filter of the site completes the request before the dispatcher reads it.
    "malformed-request", Error, about [Request]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let request = request(cx.tree.root());
    // Where the text is broken, what was read of it says little. A dead letter of another service is no request.
    if cx.is_broken() || is_recipe_message(request) || is_of_another(cx.tree.root()) {
        return;
    }
    if let Some(contract) = cx.contracts.of_service("Dispatcher") {
        sink.extend(contract.payload_faults(request, "the request").iter().map(|fault| RULE.of_fault(fault).refused()));
    }
    let names_some = request.get("recipes").is_some_and(|recipes| recipes.kind() != Kind::Array || !recipes.is_empty());
    let carries_one = request.get("custom_recipe").is_some_and(|recipe| recipe.to_value().is_truthy());
    if request.kind() == Kind::Object && !names_some && !carries_one {
        let diagnostic = RULE.at(request.head(), "the request names no recipe and carries none").level(Level::Note);
        sink.report(diagnostic.help("name recipes in `recipes`, unless a filter of the dispatcher adds them"));
    }
}

/// Whether a document is a dead letter from a queue that is not the dispatcher's.
fn is_of_another(root: NodeRef<'_>) -> bool {
    let header = root.get("header").filter(|_| root.get("message").is_some());
    let keys = ["x-first-death-queue", "zrecipe-queue"];
    let queue = keys.into_iter().find_map(|key| header?.get(key));
    let message = root.get("message").filter(|_| header.is_some());
    let asks = |message: NodeRef<'_>| {
        ["recipes", "custom_recipe", "parameters"].into_iter().any(|key| message.get(key).is_some())
    };
    queue.is_some_and(|queue| !queue.is("processing_recipe")) || message.is_some_and(|message| !asks(message))
}
