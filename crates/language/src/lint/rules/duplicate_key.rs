//! A key that occurs twice in one object.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// An object has the same key twice; only the last counts.
    ///
    /// # Why
    /// JSON readers keep the last of several values and drop the others silently. There is one exception: the key of a
    /// step, of a part of it, or of `start`, with a string or a list of strings before the value itself, is a comment.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": { "queue": "images", "parameters": { "file": "a.cbf", "file": "b.cbf" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": ["a.cbf is the other one"],
    ///   "1": { "queue": "images", "parameters": { "file": "b.cbf" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The first one is a comment. Then write it as a string before the step.
    "duplicate-key", Error, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for repeated in cx.recipe.repeated().iter().filter(|repeated| !repeated.comment) {
        let (key, last) = (cx.node(repeated.key), cx.node(repeated.last));
        // The other way round it would be a comment.
        let late =
            cx.recipe.step(cx.recipe.steps().iter().find(|step| step.key == repeated.last).map_or(0, |step| step.id));
        let late = late.is_some_and(|step| !matches!(cx.node(step.value).kind(), Kind::Object));
        report(cx, key, last, late, sink);
    }
    for member in cx.recipe.shadowed().iter().filter(|member| !member.comment) {
        report(cx, cx.node(member.key), cx.node(member.last), false, sink);
    }
}

fn report(cx: &Context<'_>, first: NodeRef<'_>, last: NodeRef<'_>, late_comment: bool, sink: &mut Sink) {
    let help = if late_comment { "put the comment before the step" } else { "remove one of them, or rename it" };
    sink.report(
        RULE.at(first.span(), format!("key {} is repeated, and the value here is lost", cx.show(first)))
            .label("this value is dropped")
            .also(last.span(), "this value is used")
            .help(help),
    );
}
