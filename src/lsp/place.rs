//! Where in a document a cursor stands: on which path of keys, in a key or in a value, and in which text.

use super::view::View;
use zrecipe_language::source::Span;
use zrecipe_language::syntax::{Kind, NodeRef, Notation};

/// A place in a document.
pub struct Place<'v> {
    /// The keys and indices that lead to it; the last of a place in a key is the object's.
    pub path: Vec<Segment>,
    /// Whether a key is to stand here, and not a value.
    pub is_key: bool,
    /// The text that the cursor is in, or that it ends.
    pub text: Option<NodeRef<'v>>,
    /// The object or list around it.
    pub around: NodeRef<'v>,
    /// Whether a value follows already, so that a key is to be written by itself.
    pub has_value: bool,
}

/// A part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A member's key.
    Key(String),
    /// An item.
    Item(usize),
}

impl Segment {
    /// The key; nothing for an item.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Item(_) => None,
        }
    }
}

impl<'v> Place<'v> {
    /// The place of a byte.
    pub fn at(view: &'v View, offset: u32) -> Self {
        let tree = &view.compilation.tree;
        let source = view.source();
        let mut place = Self { path: Vec::new(), is_key: false, text: None, around: tree.root(), has_value: false };
        let mut at = tree.root();
        loop {
            match at.kind() {
                Kind::Object => {
                    place.around = at;
                    let before = at.members().take_while(|member| member.key.span().start <= offset);
                    let Some(member) = before.last() else {
                        place.is_key = true;
                        return place;
                    };
                    let (key, value) = (member.key.span(), member.value.span());
                    if offset <= key.end {
                        place.is_key = true;
                        place.text = is_inside(member.key, offset).then_some(member.key);
                        place.has_value = source.text()[key.end as usize..].trim_start().starts_with(':');
                        return place;
                    }
                    let between = source.slice(Span { start: key.end, end: offset });
                    let is_missing = member.value.kind() == Kind::Missing;
                    let ends = if is_missing {
                        between.contains([',', '}']) || !between.contains([':', '='])
                    } else {
                        value.end < offset
                    };
                    if ends {
                        place.is_key = true;
                        return place;
                    }
                    place.path.push(Segment::Key(member.key.text().into_owned()));
                    if is_missing || offset < value.start {
                        return place;
                    }
                    at = member.value;
                }
                Kind::Array => {
                    place.around = at;
                    let before = at.items().enumerate().take_while(|(_, item)| item.span().start <= offset);
                    match before.last() {
                        Some((index, item)) if offset <= item.span().end => {
                            place.path.push(Segment::Item(index));
                            at = item;
                        }
                        last => {
                            place.path.push(Segment::Item(last.map_or(0, |(index, _)| index + 1)));
                            return place;
                        }
                    }
                }
                _ => {
                    place.text = is_inside(at, offset).then_some(at);
                    return place;
                }
            }
        }
    }

    /// What of the document is replaced by what is put in: a text with its quotes, or a word that is none yet.
    pub fn replaced(&self, offset: u32) -> Span {
        let text = self.around.tree().source().text();
        let (before, after) = text.split_at(offset as usize);
        let word = |start: usize| {
            let length = after.find(|c| !is_word(c)).unwrap_or(after.len());
            Span::new(start, offset as usize + length)
        };
        match self.text {
            Some(node) if self.is_key && is_swallowing(node) => word(node.span().start as usize),
            Some(node) => node.span(),
            None => word(before.trim_end_matches(is_word).len()),
        }
    }
}

/// Whether a character can be in the middle of a word.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_-./".contains(c)
}

/// Whether a key ends at the quote where the next text begins, because its own is missing.
fn is_swallowing(key: NodeRef<'_>) -> bool {
    let after = &key.tree().source().text()[key.span().end as usize..];
    key.raw().starts_with('"') && key.raw().contains([',', '}', ']', '\n']) && !after.trim_start().starts_with(':')
}

/// Whether a cursor is in a scalar: within the quotes, or at its end if it has none.
fn is_inside(node: NodeRef<'_>, offset: u32) -> bool {
    let span = node.span();
    let quoted = node.raw().starts_with(['"', '\'']);
    match (quoted, node.kind()) {
        (_, Kind::Missing) => false,
        (true, _) => span.start < offset && offset <= span.end,
        (false, _) => span.start <= offset && offset <= span.end,
    }
}

/// The key at a byte, and the path that leads to it, its own name included.
pub fn key_at(around: NodeRef<'_>, offset: u32) -> Option<(Vec<Segment>, NodeRef<'_>)> {
    let holds = |span: Span| span.start <= offset && offset <= span.end;
    let members = around.members().map(|member| {
        let segment = || Segment::Key(member.key.text().into_owned());
        if holds(member.key.span()) {
            return Some((vec![segment()], member.key));
        }
        let inner = holds(extent(member.value)).then(|| key_at(member.value, offset)).flatten();
        inner.map(|(path, key)| (std::iter::once(segment()).chain(path).collect(), key))
    });
    let items = around.items().enumerate().map(|(index, item)| {
        let inner = holds(extent(item)).then(|| key_at(item, offset)).flatten();
        inner.map(|(path, key)| (std::iter::once(Segment::Item(index)).chain(path).collect(), key))
    });
    members.chain(items).flatten().next()
}

/// Where a node is with all that belongs to it: a table of TOML is known by its header alone.
pub fn extent(node: NodeRef<'_>) -> Span {
    if Notation::of(node.tree().source().name()) != Notation::Toml {
        return node.span();
    }
    node.descendants()
        .map(NodeRef::span)
        .fold(node.span(), |all, span| Span { start: all.start.min(span.start), end: all.end.max(span.end) })
}

/// Whether a document is written in JSON, where every key and text has quotes.
pub fn is_json(view: &View) -> bool {
    Notation::of(view.source().name()) == Notation::Json
}
