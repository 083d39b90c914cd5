//! Numbers that are no numbers in JSON.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::ProblemKind;

declare_rule! {
    /// A number is infinite or not a number.
    ///
    /// # Why
    /// `NaN`, `Infinity` and numbers such as `1e999` are read by Python and written again as `NaN` or `Infinity`,
    /// which no other JSON reader accepts.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "limit": Infinity } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// Leave the parameter out, or use `null` or a string that the service understands.
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "limit": null } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Only Python reads the recipe and its messages.
    "non-finite-number", Error, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for problem in cx.tree.problems().iter().filter(|problem| problem.kind == ProblemKind::NonFinite) {
        let text = cx.tree.source().slice(problem.span);
        let short: String = text.chars().take(20).collect();
        let message = if text.contains(|c: char| c.is_ascii_digit()) {
            format!("`{short}` is beyond the range of a number")
        } else {
            format!("`{short}` is not JSON")
        };
        sink.report(RULE.at(problem.span, message).help("use `null`, leave the parameter out, or quote it as text"));
    }
}
