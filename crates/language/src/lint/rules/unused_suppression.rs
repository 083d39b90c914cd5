//! Suppressions that silence nothing.

use crate::diagnostic::Sink;
use crate::document::{Document, is_pattern};
use crate::lint::Context;
use crate::site::Look;

declare_rule! {
    /// A suppression has no effect.
    ///
    /// # Why
    /// A suppression that remains after its finding is fixed hides the next finding.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": ["zrecipe: allow(two-destinations) both are read"],
    ///   "1": { "queue": "images" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": ["zrecipe: allow(two-destinations) both are read"],
    ///   "1": { "queue": "images", "topic": "transient.images" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The finding depends on the machine: on files that exist only elsewhere, for example.
    "unused-suppression", Warning, about [Recipe, Settings]
}

/// Only when all rules have had their say is it known what is unused in a recipe: see [`crate::suppress`]. Of the
/// settings it is seen whether the file is there.
fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(entries) = cx.tree.root().get("suppress").filter(|_| matches!(cx.document, Document::Settings)) else {
        return;
    };
    for path in entries.items().filter_map(|entry| entry.get("path")) {
        let text = path.text();
        let look = if is_pattern(&text) { Look::Unknown } else { cx.files.look(cx.tree.source().name(), &text) };
        if matches!(look, Look::Missing | Look::Elsewhere) {
            let message = format!("`{text}` of a suppression does not exist");
            sink.report(
                RULE.at(path.span(), message).help("remove the entry, or name the file from where this one is"),
            );
        }
    }
}
