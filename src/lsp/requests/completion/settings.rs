//! Settings in `zrecipe.toml`, and the rules and levels among them.

use gen_lsp_types as lsp;

use super::choice::Choice;
use super::form::named_values;
use crate::lsp::forms;
use crate::lsp::place::Segment;
use crate::lsp::view::View;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::lint::RULES;
use zrecipe_language::schema::SchemaValue;
use zrecipe_language::source::Span;

/// Rules and their levels in zrecipe.toml, and the settings themselves.
pub(super) fn in_settings(view: &View, offset: u32) -> Vec<lsp::CompletionItem> {
    const LEVELS: [&str; 4] = ["allow", "note", "warning", "error"];
    let text = view.source().text();
    let before = &text[..offset as usize];
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let (line, above) = (&before[start..], &before[..start]);
    if line.trim_start().starts_with(['#', '[']) {
        return Vec::new();
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let typed = &line[line.trim_end_matches(is_word).len()..];
    let rest = &text[offset as usize..];
    let rest = &rest[..rest.find('\n').unwrap_or(rest.len())];
    let after = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let span = Span::new(before.len() - typed.len(), before.len() + after);
    // The table that the line is in, and the keys in the line before the cursor.
    let mut path: Vec<Segment> = Vec::new();
    if let Some(header) = above.lines().rev().find(|line| line.trim_start().starts_with('[')) {
        let header = header.split('#').next().unwrap_or_default().trim();
        let keys = header.trim_matches(['[', ']']).split('.');
        path.extend(keys.map(|key| Segment::Key(key.trim().trim_matches('"').to_owned())));
        path.extend(header.starts_with("[[").then_some(Segment::Item(0)));
    }
    let head = &line[..line.len() - typed.len()];
    let quoted = head.matches('"').count() % 2 == 1;
    let mut is_key = true;
    let mut word = String::new();
    let mut outer: Vec<(Vec<Segment>, char)> = Vec::new();
    for c in head.chars() {
        match c {
            '=' => {
                path.push(Segment::Key(std::mem::take(&mut word).trim().trim_matches('"').to_owned()));
                is_key = false;
            }
            '{' | '[' => {
                outer.push((path.clone(), c));
                path.extend((c == '[').then_some(Segment::Item(0)));
                is_key = c == '{';
            }
            '}' | ']' => path = outer.pop().map_or(path, |(path, _)| path),
            ',' => {
                if let Some((known, '{')) = outer.last() {
                    path.clone_from(known);
                    is_key = true;
                }
            }
            c => {
                word.push(c);
                continue;
            }
        }
        word.clear();
    }
    let keys: Vec<&str> = path.iter().filter_map(Segment::key).collect();
    let Some(form) = forms::of(DocumentKind::Settings) else { return Vec::new() };
    let rules = || RULES.iter().map(|rule| Choice::new(rule.name, lsp::CompletionItemKind::Constant)).collect();
    let choices: Vec<Choice> = match (&*keys, is_key) {
        ([.., "rules"], true) => rules(),
        ([.., "rules", _], false) => {
            LEVELS.map(|level| Choice::new(level, lsp::CompletionItemKind::EnumMember)).into_iter().collect()
        }
        (["suppress", "rule"], false) => rules(),
        (_, false) => {
            let values = forms::at(form.root(), &path).into_iter();
            values
                .flat_map(|schema| named_values(form.root(), schema))
                .filter(|value| !quoted || value.is_text)
                .collect()
        }
        (_, true) => {
            let schemas = forms::at(form.root(), &path).into_iter();
            let properties = schemas.filter_map(|schema| schema.get("properties")?.as_object()).flatten();
            let choice = |(name, property): (&String, &SchemaValue)| {
                let description = property.get("description").and_then(SchemaValue::as_str).map(str::to_owned);
                Choice::new(name, lsp::CompletionItemKind::Keyword).documentation(description)
            };
            properties.map(choice).collect()
        }
    };
    let has_value = rest[after..].trim_start().starts_with('=');
    let item = |choice: Choice| {
        let why = zrecipe_language::lint::rule(&choice.text).map(|rule| rule.why());
        let new_text = match (is_key, choice.is_text && !quoted) {
            (true, _) if has_value => choice.text.clone(),
            (true, _) if keys.last() == Some(&"rules") => format!("{} = \"allow\"", choice.text),
            (true, _) => format!("{} = ", choice.text),
            (false, true) => format!("\"{}\"", choice.text),
            (false, false) => choice.text.clone(),
        };
        lsp::CompletionItem {
            label: choice.text,
            kind: Some(choice.kind),
            documentation: why.or(choice.documentation).map(lsp::Documentation::String),
            text_edit: Some(lsp::CompletionItemTextEdit::TextEdit(lsp::TextEdit { range: view.range(span), new_text })),
            ..Default::default()
        }
    };
    choices.into_iter().map(item).collect()
}
