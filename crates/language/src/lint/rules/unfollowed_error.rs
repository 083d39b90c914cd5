//! Links for errors, which nothing follows.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::recipe::Role;
use crate::syntax::Kind;

declare_rule! {
    /// Nothing is sent to a step that `error` names.
    ///
    /// # Why
    /// `error`, in a step or in the recipe, is checked like other links, but no service reads it: after a failure, no
    /// message is sent there. To handle failures, connect a failure channel of the service if it has one.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "error": 2 }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "output": { "failure": 2 } }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// `error` documents the procedure for operators.
    "unfollowed-error", Note
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in
        cx.recipe.steps().iter().filter(|step| cx.recipe.links(step).iter().any(|link| link.role == Role::Error))
    {
        let Some(error) = cx.node(step.value).get("error") else { continue };
        let message = format!("the `error` of step `{}` is never followed", cx.recipe.name(step));
        sink.report(
            RULE.at(error.head(), message)
                .help("connect a channel of the service in `output`, if it has one for failures"),
        );
    }
    // `malformed-error` says what `true` is.
    let error = cx.recipe.error().filter(|error| cx.node(error.value).kind() != Kind::Bool);
    let error = error.filter(|error| error.targets.iter().any(|(_, target)| target.id().is_some()));
    if let Some(error) = error {
        let diagnostic = RULE.at(cx.node(error.value).head(), "the recipe's `error` is never followed");
        sink.report(diagnostic.help("connect channels for failures in the `output` of the steps that have them"));
    }
}
