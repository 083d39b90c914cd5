//! Strings in which braces do not form placeholders.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::template::{MAX_PATH, ParseErrorKind};

declare_rule! {
    /// A brace does not belong to a placeholder.
    ///
    /// # Why
    /// Every string of a recipe goes through Python's `str.format`. If a brace does not begin or end a placeholder, the
    /// whole request is rejected when parameters are substituted.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "pattern": "a{3" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "pattern": "a{{3" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the dispatcher rejects requests for the recipe.
    "malformed-placeholder", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    use ParseErrorKind as P;
    for used in cx.templates {
        let Err(error) = &used.template else { continue };
        let node = cx.node(used.node);
        let span = node.text_span(error.span.clone());
        let text = node.text();
        let shown = text.get(error.span.clone()).unwrap_or_default();
        const LITERAL: &str = "for braces that are text write `{{` and `}}`";
        let (message, help) = match error.kind {
            P::Attribute => continue,
            P::Unclosed => ("a `{` that is never closed".to_owned(), "write `{{` for a brace that is text"),
            P::Unopened => ("a `}` that closes nothing".to_owned(), "write `}}` for a brace that is text"),
            P::BraceInName => ("a `{` inside a placeholder's name".to_owned(), LITERAL),
            P::Empty => ("a placeholder without a name".to_owned(), LITERAL),
            P::Positional => (format!("placeholder `{shown}` is a number, and parameters have names"), LITERAL),
            P::EmptyKey => (format!("placeholder `{shown}` has an empty key"), "write `{name[key]}`"),
            P::UnclosedBracket => {
                (format!("placeholder `{shown}` has a `[` that is not closed"), "write `{name[key]}`")
            }
            P::AfterBracket => (format!("placeholder `{shown}` has text after its `]`"), "write `{name[key]}`"),
            P::OversizedIndex => {
                (format!("placeholder `{shown}` has a number that Python cannot read"), "the greatest is 2^63 - 1")
            }
            P::TooDeep => {
                (format!("a placeholder has more than {MAX_PATH} subscripts"), "give the value as a separate parameter")
            }
            P::Conversion => {
                (format!("conversion `{}` is not one of `!r`, `!s` and `!a`", shown.trim_end_matches('}')), LITERAL)
            }
            P::Nesting => ("placeholders are nested too deeply".to_owned(), "one inside another's format is the limit"),
            P::EmptyReplace => (format!("`{shown}` names no parameter"), "write `{$REPLACE:name}`"),
            P::ReplaceWithoutField => (format!("`{shown}` holds no placeholder"), "write `{$REPLACE:name}`"),
        };
        let diagnostic = RULE.at(span, message).help(help).refused();
        let doubled = match error.kind {
            P::Unclosed if shown == "{" => Some("{{"),
            P::Unopened => Some("}}"),
            _ => None,
        };
        sink.report(match doubled {
            Some(doubled) => diagnostic.unsafe_fix(format!("write `{doubled}`"), span, doubled),
            None => diagnostic,
        });
    }
}
