//! More levels of arrays and objects than anybody reads.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::{MAX_DEPTH, ProblemKind};

declare_rule! {
    /// The document has too many levels.
    ///
    /// # Why
    /// Parsers are recursive, and a document with a thousand levels crashes the Python services. zrecipe rejects
    /// documents with more than 512 levels.
    ///
    /// # Example
    /// ```json 600-deep
    /// { "1": { "queue": "images", "parameters": { "nested": "DEEP" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "nested": [[[]]] } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the Python services crash.
    "too-deep", Error, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for problem in cx.tree.problems().iter().filter(|problem| problem.kind == ProblemKind::TooDeep) {
        sink.report(
            RULE.at(problem.span, format!("more than {MAX_DEPTH} levels of arrays and objects"))
                .label(format!("level {}", MAX_DEPTH + 1))
                .help("put deep data into a file and its path into the recipe")
                .refused(),
        );
    }
}
