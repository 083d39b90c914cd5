//! Integers that Python refuses to read.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::ProblemKind;

declare_rule! {
    /// An integer has more digits than Python reads.
    ///
    /// # Why
    /// Python refuses to read an integer of more than 4,300 digits, and with it the whole recipe.
    ///
    /// # Example
    /// ```json 5000-digits
    /// { "1": { "queue": "images", "parameters": { "seed": DIGITS } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "seed": 123456789 } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Only programs that are not written in Python read the file.
    "oversized-integer", Error, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for problem in cx.tree.problems().iter().filter(|problem| problem.kind == ProblemKind::OversizedInteger) {
        let digits = cx.tree.source().slice(problem.span).trim_start_matches('-').len();
        sink.report(
            RULE.at(problem.span, format!("an integer of {digits} digits"))
                .help("Python reads at most 4,300 digits; quote it if it is text")
                .refused(),
        );
    }
}
