//! A top-level `error` that is no list of steps.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::recipe::Target;
use crate::syntax::Kind;

declare_rule! {
    /// The top-level `error` is not a list of step numbers.
    ///
    /// # Why
    /// The top-level `error` is a list of step numbers. The Python services crash on anything else.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]], "error": null }
    /// ```
    ///
    /// # Instead
    /// ```json rules=malformed-error
    /// { "1": { "queue": "images" }, "start": [[1, []]], "error": [1] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the Python services crash.
    "malformed-error", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(error) = cx.recipe.error() else { return };
    let value = cx.node(error.value);
    match value.kind() {
        Kind::Array => {
            for &(node, target) in &error.targets {
                let node = cx.node(node);
                if target == Target::Unreadable
                    && !node.is("start")
                    && !node.is("error")
                    && node.kind() != Kind::Missing
                {
                    sink.report(
                        RULE.at(
                            node.head(),
                            format!("the recipe's `error` names {}, not the number of a step", cx.show(node)),
                        )
                        .help("the top-level `error` is a list of step numbers")
                        .refused(),
                    );
                }
            }
        }
        Kind::Missing => {}
        Kind::Number if value.as_integer().is_some() => {}
        Kind::String if value.is("start") || value.is("error") => {}
        _ => {
            let message = format!("the recipe's `error` is {}, not a list of step numbers", value.describe());
            let diagnostic = RULE.at(value.head(), message).refused();
            let meant = error.targets.first().and_then(|(_, target)| target.id());
            sink.report(match meant.filter(|&id| value.kind() == Kind::String && cx.recipe.step(id).is_some()) {
                Some(id) => diagnostic.fix(format!("write `[{id}]`"), value.span(), format!("[{id}]")),
                None => diagnostic.help("write `\"error\": [1]`, or leave it out: it is never followed at run time"),
            });
        }
    }
}
