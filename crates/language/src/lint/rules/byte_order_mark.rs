//! A byte order mark at the beginning of the file.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::source::Span;

declare_rule! {
    /// The file begins with a byte order mark.
    ///
    /// # Why
    /// Some Windows editors put an invisible mark before the text. The Python services cannot read a recipe that begins
    /// with one; zrecipe can.
    ///
    /// # Example
    /// ```json with-byte-order-mark
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// Save the file as *UTF-8 without BOM*.
    /// ```json
    /// { "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Only zrecipe reads the file.
    "byte-order-mark", Warning, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if cx.tree.source().has_byte_order_mark() {
        let mark = Span::new(0, '\u{feff}'.len_utf8());
        sink.report(
            RULE.at(mark, "the file begins with a byte order mark, which Python services do not read")
                .help("save the file as UTF-8 without a byte order mark")
                .fix("remove the mark", mark, ""),
        );
    }
}
