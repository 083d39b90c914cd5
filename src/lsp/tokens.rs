//! The words of a document that mean something, as the protocol colours them.

use gen_lsp_types as lsp;

use super::view::View;
use zrecipe_language::names::Name;
use zrecipe_language::source::Span;

/// The kinds of words, in the order of their numbers.
pub const TYPES: [&str; 9] =
    ["class", "namespace", "type", "event", "property", "parameter", "keyword", "macro", "decorator"];

/// What the runner fills in by itself, and what that is.
pub const VARIABLES: [(&str, &str); 4] = [
    (
        "$RECIPEWRAP",
        "The path of the file that `recipewrapper` names: the message, for `zrecipe wrap` or `zocalo.wrap`.",
    ),
    ("$RECIPEFILE", "The path of the file that `recipefile` names: the recipe."),
    ("$RECIPEENV", "The path of the file that `recipeenvironment` names: the values of this run."),
    ("$RECIPEPOINTER", "The number of the step."),
];

/// What stands at the beginning of a string that is replaced by a value.
const REPLACE: &str = "$REPLACE";

/// The words between two bytes.
pub fn tokens(view: &View, within: Span) -> Vec<lsp::SemanticToken> {
    let mut words: Vec<(Span, u32)> = Vec::new();
    for found in view.names() {
        let kind = match found.name {
            Name::Step(_) => 0,
            Name::Queue(_) | Name::Topic(_) | Name::Exchange(_) | Name::Recipe(_) => 1,
            Name::Service(_) | Name::Block(_) | Name::Environment(_) => 2,
            Name::Channel(_) => 3,
            Name::Parameter(_) => 4,
            Name::Placeholder(_) => 5,
            Name::Rule(_) => 8,
        };
        words.push((found.span, kind));
    }
    let text = view.source().text();
    let range = within.start as usize..within.end as usize;
    for (word, _) in VARIABLES {
        let found = text.get(range.clone()).unwrap_or_default().match_indices(word);
        words.extend(found.map(|(at, _)| (Span::new(range.start + at, range.start + at + word.len()), 7)));
    }
    let replaced = view.compilation.templates.iter();
    let replaced = replaced.filter(|used| used.template.as_ref().is_ok_and(|template| template.replace));
    words.extend(replaced.map(|used| (view.compilation.tree.node(used.node).text_span(1..1 + REPLACE.len()), 6)));
    words.retain(|(span, _)| within.start <= span.end && span.start <= within.end && span.start < span.end);
    // Of two in one place the one inside comes later, and is left out.
    words.sort_by_key(|&(span, kind)| (span.start, std::cmp::Reverse(span.end), kind));
    let (mut tokens, mut end, mut last) = (Vec::with_capacity(words.len()), 0, lsp::Position::default());
    for (span, token_type) in words {
        let range = view.range(span);
        if span.start < end || range.start.line != range.end.line {
            continue;
        }
        end = span.end;
        let delta_line = range.start.line - last.line;
        let delta_start = range.start.character - if delta_line == 0 { last.character } else { 0 };
        let length = range.end.character - range.start.character;
        tokens.push(lsp::SemanticToken { delta_line, delta_start, length, token_type, token_modifiers_bitset: 0 });
        last = range.start;
    }
    tokens
}
