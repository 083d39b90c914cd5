//! A key that occurs twice in one object.

use std::collections::HashMap;

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::{Kind, Member, NodeRef};

declare_rule! {
    /// # Why
    /// JSON readers keep the last of several values and drop the others without a word. The exception is house
    /// style: a step's key with a string or a list of strings, before the step, is a comment.
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
    "duplicate-key", Error
}

/// From how many members on an object is searched with a table instead of pairwise.
const MANY: usize = 16;

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for repeated in cx.recipe.repeated() {
        let (key, last) = (cx.node(repeated.key), cx.node(repeated.last));
        if !repeated.comment {
            report(cx, key, last, sink);
        }
    }
    let root = cx.tree.root();
    let mut members: Vec<Member<'_>> = Vec::new();
    for object in root.descendants().filter(|node| node.kind() == Kind::Object) {
        // Of the top-level keys of a recipe some repetitions are comments: see above.
        if object.id() == root.id() {
            continue;
        }
        members.clear();
        members.extend(object.members());
        if members.len() < MANY {
            for (index, first) in members.iter().enumerate() {
                let same = |other: &&Member<'_>| other.key.same_text(first.key);
                if let Some(last) = members[index + 1..].iter().rfind(same) {
                    report(cx, first.key, last.key, sink);
                }
            }
        } else {
            let mut last = HashMap::with_capacity(members.len());
            for member in members.iter().rev() {
                let kept = last.entry(member.key.text()).or_insert(member.key);
                if kept.id() != member.key.id() {
                    report(cx, member.key, *kept, sink);
                }
            }
        }
    }
}

fn report(cx: &Context<'_>, first: NodeRef<'_>, last: NodeRef<'_>, sink: &mut Sink) {
    sink.report(
        RULE.at(first.span(), format!("key {} occurs again, and the value here is lost", cx.show(first)))
            .label("this value is dropped")
            .also(last.span(), "this one counts")
            .help("remove one of them, or rename it"),
    );
}
