//! Bytes that are not UTF-8.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// The file is not UTF-8.
    ///
    /// # Why
    /// JSON is UTF-8. Services reject a file in another encoding or, worse, read wrong characters in file names.
    ///
    /// # Example
    /// ```json in-latin-1
    /// { "1": { "queue": "é" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// Save the file as UTF-8.
    /// ```json
    /// { "1": { "queue": "é" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: save the file as UTF-8.
    "invalid-utf8", Error, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let utf16 = !cx.tree.source().undecodable().is_empty() && cx.tree.source().text().contains('\0');
    for &place in cx.tree.source().undecodable() {
        let diagnostic = RULE.at(place, "bytes that are not UTF-8").refused();
        sink.report(if utf16 {
            diagnostic.help("this looks like UTF-16; save the file as UTF-8")
        } else {
            diagnostic.help("save the file as UTF-8")
        });
        if utf16 {
            break;
        }
    }
}
