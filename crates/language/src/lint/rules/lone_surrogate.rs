//! Half a character.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::ProblemKind;

declare_rule! {
    /// An escape is one half of a character.
    ///
    /// # Why
    /// `\ud83d` alone is half of a character. Python accepts it, and fails later when it writes it to a file or a log.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "title": "done \ud83d" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "title": "done \ud83d\ude00" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: nothing can write the character to a file.
    "lone-surrogate", Error, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for problem in cx.tree.problems().iter().filter(|problem| problem.kind == ProblemKind::LoneSurrogate) {
        let text = cx.tree.source().slice(problem.span);
        sink.report(
            RULE.at(problem.span, format!("`{text}` is half a character"))
                .help("write the character itself, or both halves of its escape"),
        );
    }
}
