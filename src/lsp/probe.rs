//! What stands where something is being written in YAML: the document as it is once a word stands there.
//!
//! A half-written line of YAML is most often read as a part of what is above it. With a word, and a colon behind it
//! where a key is to stand, the lines say by their indentation where they belong; what does not fit breaks the text.

use super::client::Client;
use super::place::{self, Place, is_word};
use super::view::View;
use zrecipe_language::source::Span;
use zrecipe_language::syntax::{Kind, NodeRef};

/// The word where there is none yet.
pub const CURSOR: &str = "zrecipe0cursor";

/// A document with a word where something is being written.
pub struct Probe {
    /// The document.
    pub view: View,
    /// The cursor in it.
    pub offset: u32,
    /// What has been put in.
    inserted: Span,
    /// Whether a colon has been put in, so that the word is a key without a value.
    is_key: bool,
}

impl Probe {
    /// The place of the cursor.
    pub fn place(&self) -> Place<'_> {
        let place = Place::at(&self.view, self.offset);
        Place { has_value: place.has_value && !self.is_key, ..place }
    }

    /// A span as it is without what has been put in.
    pub fn original(&self, span: Span) -> Span {
        let Span { start, end } = self.inserted;
        let back = |at: u32| if at > start { start.max(at.saturating_sub(end - start)) } else { at };
        Span { start: back(span.start), end: back(span.end) }
    }

    /// Whether the document is not broken by what has been put in, and nothing below has become a part of it.
    fn fits(&self, original: &View) -> bool {
        let (tree, end) = (&self.view.compilation.tree, self.inserted.end);
        let mut mistakes = tree.mistakes();
        if original.compilation.tree.is_broken() {
            return !mistakes.any(|problem| problem.span.start <= end);
        }
        let is_alone = |key: NodeRef<'_>| {
            let around = self.place().around;
            let value = around.member_around(key.id()).map(|member| member.value.kind());
            value.is_none_or(|kind| matches!(kind, Kind::Null | Kind::Missing))
        };
        mistakes.next().is_none() && (!self.is_key || self.place().text.is_some_and(is_alone))
    }
}

/// Whether the lines around a cursor are to be looked at: the tree alone does not tell where it stands.
pub fn is_needed(view: &View, place: &Place<'_>, offset: u32) -> bool {
    let tree = &view.compilation.tree;
    let is_told = |text: NodeRef<'_>| {
        let before = &view.source().text()[..text.span().start as usize];
        let begins_line =
            before.trim_end_matches([' ', '-']).is_empty() || before.trim_end_matches([' ', '-']).ends_with('\n');
        place.is_key || !text.raw().contains('\n') && (!begins_line || text.raw().starts_with(['"', '\'']))
    };
    let is_broken = tree.mistakes().any(|problem| problem.span.start <= offset + 1);
    !place::is_json(view) && (is_broken || !place.text.is_some_and(is_told))
}

/// What the document may be with a word at the cursor, the likeliest first.
pub fn probes(view: &View, client: &Client, offset: u32) -> Vec<Probe> {
    let (tree, text, at) = (&view.compilation.tree, view.source().text(), offset as usize);
    if tree.comments().iter().any(|comment| comment.start < offset && offset <= comment.end) {
        return Vec::new();
    }
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = at + text[at..].find(['\r', '\n']).unwrap_or(text.len() - at);
    let typed = text[start..at].trim_end_matches(is_word).len() + start;
    let word_end = at + text[at..end].find(|c| !is_word(c)).unwrap_or(end - at);
    let (head, rest) = (&text[start..typed], text[word_end..end].trim());
    let word = if typed == word_end { CURSOR } else { "" };
    let (quote, open) = unclosed(&text[entry(text, start)..at]);
    let mut insertions: Vec<(String, bool)> = Vec::new();
    if quote.is_some() || !open.is_empty() {
        if !tree.is_broken() && quote.is_some() {
            return Vec::new();
        }
        let closing: String = if tree.is_broken() && rest.is_empty() {
            quote.into_iter().chain(open.chars().rev()).collect()
        } else {
            String::new()
        };
        insertions.push((format!("{word}{closing}"), false));
    } else {
        let body = head.trim_start_matches([' ', '-']);
        let is_item = head.contains('-');
        if body.is_empty() {
            if is_item {
                insertions.push((word.to_owned(), false));
            }
            if !rest.starts_with(':') {
                insertions.push((format!("{word}:"), true));
            }
        } else if body.trim_end().ends_with(':') && body.ends_with(' ') {
            insertions.push((word.to_owned(), false));
        }
    }
    let probe = |(insertion, is_key): (String, bool)| {
        let changed = format!("{}{insertion}{}", &text[..word_end], &text[word_end..]);
        let inserted = Span::new(word_end, word_end + insertion.len());
        Probe { view: view.with_text(client, changed), offset, inserted, is_key }
    };
    insertions.into_iter().map(probe).filter(|probe| probe.fits(view)).collect()
}

/// Where the entry of the document begins that a line belongs to.
fn entry(text: &str, line: usize) -> usize {
    if text.trim_start().starts_with(['{', '[']) {
        return 0;
    }
    let mut start = line;
    while start > 0 && text[start..].starts_with([' ', '\n', '\r', '#', '}', ']']) {
        start = text[..start - 1].rfind('\n').map_or(0, |end| end + 1);
    }
    start
}

/// The quote and the brackets that are open at the end of a text, as what closes them.
fn unclosed(text: &str) -> (Option<char>, String) {
    let (mut quote, mut open, mut before, mut last) = (None, String::new(), '\n', '\n');
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let is_start = matches!(before, ':' | ',' | '[' | '{' | '-' | '\n') || !open.is_empty();
        match (quote, c) {
            (Some('"'), '\\') => {
                characters.next();
            }
            (Some(own), c) if own == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if !is_word(last) && is_start => quote = Some(c),
            (None, '{') if is_start => open.push('}'),
            (None, '[') if is_start => open.push(']'),
            (None, '}' | ']') => {
                open.pop();
            }
            (None, '#') if last.is_whitespace() => {
                characters.find(|&c| c == '\n');
                (before, last) = ('\n', '\n');
                continue;
            }
            _ => {}
        }
        if !c.is_whitespace() || c == '\n' {
            before = c;
        }
        last = c;
    }
    (quote, open)
}
