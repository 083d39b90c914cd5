//! Placeholders and variables inside a string.

use std::collections::BTreeMap;

use gen_lsp_types as lsp;

use super::known::{Known, files};
use crate::lsp::place::Place;
use crate::lsp::tokens::VARIABLES;
use crate::lsp::view::View;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::infer;
use zrecipe_language::names::Name;
use zrecipe_language::source::Span;

/// If the cursor is in a placeholder of a string: where its name is.
pub(super) fn placeholder(view: &View, place: &Place<'_>, offset: u32) -> Option<Span> {
    let span = place.text.filter(|_| view.compilation.document.kind() == DocumentKind::Recipe)?.span();
    let before = view.source().slice(Span { start: span.start, end: offset });
    let open = before.rfind('{')?;
    let written = &before[open + 1..];
    let is_doubled = before[..open].ends_with('{');
    let lead = if written.starts_with("$REPLACE:") { "$REPLACE:".len() } else { 0 };
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if is_doubled || !written[lead..].chars().all(is_name) {
        return None;
    }
    let start = span.start as usize + open + 1 + lead;
    let after: usize =
        view.source().text()[offset as usize..].chars().take_while(|&c| is_name(c)).map(char::len_utf8).sum();
    Some(Span::new(start, offset as usize + after))
}

/// If the cursor is in a word that begins with `$`: what the runner, or the substitution, fills in for it.
pub(super) fn variables(view: &View, place: &Place<'_>, offset: u32) -> Vec<lsp::CompletionItem> {
    let Some(string) = place.text.filter(|_| view.compilation.document.kind() == DocumentKind::Recipe) else {
        return Vec::new();
    };
    let before = view.source().slice(Span { start: string.span().start, end: offset });
    let Some(at) = before.rfind('$').filter(|&at| before[at + 1..].chars().all(|c| c.is_ascii_alphabetic())) else {
        return Vec::new();
    };
    let span = Span { start: string.span().start + at as u32, end: offset };
    const REPLACE: [(&str, &str); 1] =
        [("$REPLACE:", "The value of a parameter itself, and not text: `{$REPLACE:name}` as all of a string.")];
    // Only as all of a string the value itself is put in.
    let is_all = before[..at].ends_with('{') && before[..at].trim_start_matches(['"', '\'']) == "{";
    let item = |(word, said): &(&str, &str)| lsp::CompletionItem {
        label: (*word).to_owned(),
        kind: Some(lsp::CompletionItemKind::Keyword),
        documentation: Some(lsp::Documentation::String((*said).to_owned())),
        text_edit: Some(lsp::CompletionItemTextEdit::TextEdit(lsp::TextEdit {
            range: view.range(span),
            new_text: (*word).to_owned(),
        })),
        ..Default::default()
    };
    let known: &[(&str, &str)] = if is_all { &REPLACE } else { &VARIABLES };
    known.iter().filter(|(word, _)| word.starts_with(&before[at..])).map(item).collect()
}

pub(super) fn placeholders(view: &View, known: &Known, span: Span) -> Vec<lsp::CompletionItem> {
    let compilation = &view.compilation;
    let inferred = infer::infer(&compilation.recipe, &compilation.templates, view.basis.contracts());
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let used = known.texts(|name| match name {
        Name::Placeholder(name) => Some(name),
        _ => None,
    });
    // The one that is being written is no suggestion.
    let current = view.source().slice(span);
    found.extend(
        used.into_iter()
            .filter(|(name, count)| *name != current || *count > 1)
            .map(|(name, count)| (name, files(count))),
    );
    for parameter in inferred.iter().filter(|parameter| parameter.name != current || parameter.uses.len() > 1) {
        found.insert(&parameter.name, format!("{}, in this recipe", parameter.meets));
    }
    for (name, schema) in view.basis.project.settings.declared.iter() {
        let kind = infer::Type::of_schema(schema.root(), schema.root());
        found.insert(name, format!("{kind}, from the site's dispatcher"));
    }
    let closes = view.source().text()[span.end as usize..].starts_with(['}', '[', ':', '!']);
    let item = |(name, detail): (&str, String)| lsp::CompletionItem {
        label: name.to_owned(),
        kind: Some(lsp::CompletionItemKind::Variable),
        detail: Some(detail),
        text_edit: Some(lsp::CompletionItemTextEdit::TextEdit(lsp::TextEdit {
            range: view.range(span),
            new_text: if closes { name.to_owned() } else { format!("{name}}}") },
        })),
        ..Default::default()
    };
    found.into_iter().filter(|(name, _)| !name.is_empty()).map(item).collect()
}
