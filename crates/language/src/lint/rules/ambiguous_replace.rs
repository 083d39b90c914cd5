//! `{$REPLACE:…}` with more than one placeholder or with text after it.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::template::Piece;

declare_rule! {
    /// A replacement takes another placeholder than it seems to.
    ///
    /// # Why
    /// `{$REPLACE:a}/{b}` begins like a replacement and ends with a brace, so the whole string is replaced by the
    /// value of its *last* placeholder: `b`, without the slash. Likewise the character after `$REPLACE` is dropped
    /// whatever it is, so `{$REPLACEMENT}` is the value of `ENT`.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "file": "{$REPLACE:dir}/{name}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "file": "{dir}/{name}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: write the replacement as the whole string.
    "ambiguous-replace", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (node, template) in cx.parsed_templates().filter(|(_, template)| template.replace) {
        let text = node.text();
        let last = template.pieces.iter().rev().find_map(|piece| match piece {
            Piece::Field(field) => Some(field),
            Piece::Literal(_) => None,
        });
        let Some(last) = last else { continue };
        if template.pieces.len() > 1 {
            // `{$REPLACE:a}{$REPLACE:b}`: the last placeholder's name is `$REPLACE`, and no parameter has it.
            let becomes = match last.name.as_str() {
                "$REPLACE" => "`null`".to_owned(),
                _ => format!("the value of `{}`", last.path_text()),
            };
            sink.report(
                RULE.at(node.span(), format!("the whole string becomes {becomes}"))
                    .help("for text write every placeholder as `{name}`; `{$REPLACE:name}` must be the whole string"),
            );
        } else if !text.starts_with("{$REPLACE:") {
            sink.report(
                RULE.at(node.span(), format!("{} is replaced by the value of `{}`", cx.show(node), last.path_text()))
                    .help("write `{$REPLACE:name}`, with a colon; the character in its place is dropped"),
            );
        }
    }
}
