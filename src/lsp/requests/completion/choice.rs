//! Something that may stand in a place, and how it is written there.

use gen_lsp_types as lsp;

use crate::lsp::place::{Place, is_json};
use crate::lsp::view::View;
use zrecipe_language::diagnostic::Edit;
use zrecipe_language::lint::respelled;
use zrecipe_language::source::Span;

/// Something that may stand in a place.
pub(super) struct Choice {
    /// The text of a key or a string, or the value as JSON writes it.
    pub(super) text: String,
    /// Whether it is a text, so that it stands in quotes.
    pub(super) is_text: bool,
    /// Of a key: what is to stand as its value, with places to fill in.
    pub(super) value: Option<String>,
    pub(super) kind: lsp::CompletionItemKind,
    pub(super) detail: Option<String>,
    pub(super) documentation: Option<String>,
    pub(super) is_deprecated: bool,
}

impl Choice {
    pub(super) fn new(text: impl Into<String>, kind: lsp::CompletionItemKind) -> Self {
        let (detail, documentation) = (None, None);
        Self { text: text.into(), is_text: true, value: None, kind, detail, documentation, is_deprecated: false }
    }

    pub(super) fn bare(text: impl Into<String>, kind: lsp::CompletionItemKind) -> Self {
        Self { is_text: false, ..Self::new(text, kind) }
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(super) fn documentation(mut self, documentation: Option<String>) -> Self {
        self.documentation = documentation;
        self
    }

    pub(super) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }

    pub(super) fn item(
        self,
        view: &View,
        place: &Place<'_>,
        offset: u32,
        mut replaced: Span,
        snippets: bool,
    ) -> lsp::CompletionItem {
        let written = if is_json(view) { "\"" } else { place.text.map_or("", |text| text.raw()) };
        let mut text = if self.is_text { respelled(written, &self.text) } else { self.text.clone() };
        let value = self.value.filter(|_| place.is_key && !place.has_value);
        // Quotes that are there stay, so that what has been typed is the beginning of what is offered.
        let quoted = place.text.map_or("", |text| text.raw());
        if let Some(quote) = quoted.chars().next().filter(|&quote| "\"'".contains(quote) && text.starts_with(quote)) {
            text.remove(0);
            replaced.start += 1;
            let is_closed = quoted.len() > 1 && view.source().slice(replaced).ends_with(quote);
            if value.is_none() && is_closed && offset < replaced.end {
                text.pop();
                replaced.end -= 1;
            }
        }
        // A new key of JSON is parted from those around it.
        let source = view.source().text();
        let (before, after) = (&source[..replaced.start as usize], source[replaced.end as usize..].trim_start());
        let before = before.strip_suffix('"').unwrap_or(before).trim_end();
        let is_new = is_json(view) && value.is_some();
        let comma = is_new && after.starts_with('"') && !after[1..].trim_start().is_empty();
        let follows_value = |c: char| matches!(c, '"' | '}' | ']') || c.is_ascii_alphanumeric();
        let missing = is_new && before.ends_with(follows_value);
        let is_snippet = value.as_ref().is_some_and(|value| value.contains('$')) && snippets;
        let new_text = match value {
            Some(value) if is_snippet => {
                let text = text.replace('\\', "\\\\").replace('$', "\\$");
                format!("{text}:{}{value}", if value.starts_with('\n') { "" } else { " " })
            }
            Some(value) => format!("{text}:{}{}", if value.starts_with('\n') { "" } else { " " }, plain(&value)),
            None => text,
        } + if comma { "," } else { "" };
        let additional =
            missing.then(|| view.edit(&Edit { span: Span::empty(before.len()), replacement: ",".to_owned() }));
        lsp::CompletionItem {
            additional_text_edits: additional.map(|edit| vec![edit]),
            label: self.text.clone(),
            kind: Some(self.kind),
            tags: self.is_deprecated.then(|| vec![lsp::CompletionItemTag::Deprecated]),
            detail: self.detail,
            documentation: self.documentation.map(|value| {
                lsp::Documentation::MarkupContent(lsp::MarkupContent { kind: lsp::MarkupKind::Markdown, value })
            }),
            insert_text_format: Some(if is_snippet {
                lsp::InsertTextFormat::Snippet
            } else {
                lsp::InsertTextFormat::PlainText
            }),
            text_edit: Some(lsp::CompletionItemTextEdit::TextEdit(lsp::TextEdit {
                range: view.range(replaced),
                new_text,
            })),
            ..Default::default()
        }
    }
}

/// All of a document of which there is nothing yet.
pub(super) fn new_recipe(snippets: bool) -> lsp::CompletionItem {
    let text = "{\n  \"1\": {\n    \"service\": \"$1\",\n    \"queue\": \"$2\"\n  },\n  \"start\": [[1, []]]\n}\n";
    lsp::CompletionItem {
        label: "recipe".to_owned(),
        kind: Some(lsp::CompletionItemKind::Class),
        detail: Some("a new recipe with one step".to_owned()),
        insert_text_format: Some(if snippets {
            lsp::InsertTextFormat::Snippet
        } else {
            lsp::InsertTextFormat::PlainText
        }),
        insert_text: Some(if snippets { text.to_owned() } else { plain(text) }),
        ..Default::default()
    }
}

/// A snippet without its places to fill in.
fn plain(snippet: &str) -> String {
    let mut out = String::new();
    let mut rest = snippet;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = rest[at + 1..].trim_start_matches(|c: char| c.is_ascii_digit());
        if let Some(inner) = rest.strip_prefix('{') {
            let end = inner.find('}').unwrap_or(inner.len());
            out.push_str(inner[..end].split_once(':').map_or("", |(_, text)| text));
            rest = inner.get(end + 1..).unwrap_or_default();
        }
    }
    out + rest
}
