//! A `start` that is no list of pairs.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::recipe::Target;
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// `start` is not a list of pairs.
    ///
    /// # Why
    /// `start` is a list of pairs: the number of a step, and the payload of the first message to it.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images" }, "start": [1] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the dispatcher refuses such recipes.
    "malformed-start", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(start) = cx.recipe.start() else { return };
    let value = cx.node(start.value);
    if !matches!(value.kind(), Kind::Array | Kind::Missing) {
        let diagnostic =
            RULE.at(value.head(), format!("`start` is {}, not a list of pairs", value.describe())).refused();
        sink.report(match value.as_integer() {
            Some(id) => diagnostic.help("each entry is `[step, payload]`").fix(
                format!("write `[[{id}, []]]`"),
                value.span(),
                format!("[[{id}, []]]"),
            ),
            None => diagnostic.help("write `[[step, payload], …]`"),
        });
    }
    if let Some(step) = single_pair(value) {
        sink.report(
            RULE.at(value.head(), "`start` is one pair, not a list of pairs")
                .help("each entry is `[step, payload]`")
                .fix("enclose it in a list", value.span(), format!("[{}]", value.raw()))
                .also(step.span(), "this step")
                .refused(),
        );
        return;
    }
    for entry in &start.entries {
        let node = cx.node(entry.node);
        match entry.pair {
            None if node.kind() == Kind::Missing => {}
            None => {
                let diagnostic = RULE
                    .at(node.head(), format!("{} in `start` is not a pair of step and payload", cx.show(node)))
                    .refused();
                let single = node.items().next().filter(|_| node.items().count() == 1);
                sink.report(match node.as_integer().or_else(|| single?.as_integer()) {
                    Some(id) => diagnostic.help(format!("write `[{id}, payload]`")).unsafe_fix(
                        "give it an empty payload",
                        node.span(),
                        format!("[{id}, []]"),
                    ),
                    None => diagnostic.help("write `[step, payload]`"),
                });
            }
            Some((step, Target::Unreadable, _)) if !cx.node(step).is("start") => {
                let step = cx.node(step);
                if step.kind() != Kind::Missing {
                    // The reference lets an entry `error` pass when there is a top-level `error`.
                    let passes = step.is("error") && cx.recipe.error().is_some();
                    sink.report(
                        RULE.at(step.head(), format!("`start` names {}, not the number of a step", cx.show(step)))
                            .help("an entry is `[step, payload]`")
                            .refused_if(!passes),
                    );
                }
            }
            Some(_) => {}
        }
    }
}

/// The step of a `start` that is written as one pair, without the list around it: `[1, []]`.
fn single_pair(start: NodeRef<'_>) -> Option<NodeRef<'_>> {
    let mut items = start.items();
    match (items.next()?, items.next()?, items.next()) {
        (step, payload, None) if step.as_integer().is_some() && payload.as_integer().is_none() => {
            // `[1, [2, []]]` may as well be an entry that lost its brackets.
            let is_entry = payload.items().count() == 2;
            (!is_entry).then_some(step)
        }
        _ => None,
    }
}
