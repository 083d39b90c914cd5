//! One spanned tree for every notation: nodes in an arena, each with its place in the text.
//!
//! Invariants: nodes lie in document order; a node is followed by its descendants; `next` is the node after the
//! last descendant. The children of an object are key, value, key, value, …; a key is a string node. Every span
//! lies in the source and on character boundaries. Numbers and strings are read from the text when asked for,
//! so a tree costs 16 bytes a node and copies nothing; only what YAML writes otherwise than JSON is kept apart.
//! What a YAML alias stands for is in the tree again, with the spans of what is written at the anchor.

pub mod json;
pub mod toml;
mod wide;
pub mod yaml;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::guard::Panic;
use crate::source::{Source, Span};
use crate::value::{Number, Object, Value};
use wide::Wide;

/// How many levels of arrays and objects a document may have.
pub const MAX_DEPTH: usize = 512;

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// JSON, RFC 8259.
    Json,
    /// YAML 1.1, as PyYAML reads it.
    Yaml,
    /// TOML 1.1, for settings.
    Toml,
    /// What Python's `configparser` reads, for users of the broker: the tree is empty, see [`crate::topology::users`].
    Ini,
}

impl Notation {
    /// The notation of a file by the end of its name; JSON, unless it says otherwise.
    pub fn of(name: &str) -> Self {
        match name.rsplit_once('.') {
            Some((_, "yml" | "yaml")) => Self::Yaml,
            Some((_, "toml")) => Self::Toml,
            Some((_, "ini")) => Self::Ini,
            _ => Self::Json,
        }
    }
}

/// Reads a document in the notation that its name says.
pub fn parse(source: Arc<Source>) -> Tree {
    match Notation::of(source.name()) {
        Notation::Json => json::parse(source),
        Notation::Yaml => yaml::parse(source),
        Notation::Toml => toml::parse(source),
        Notation::Ini => Tree::empty(source),
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number, `NaN` and the infinities included.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
    /// A place where a value should be and none could be read.
    Missing,
}

/// Index of a node in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// Its place among the nodes of its tree.
    pub fn index(self) -> u32 {
        self.0
    }
}

#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Kind,
    spelling: Spelling,
    /// The string's closing quote is missing, or it is not quoted at all.
    open: bool,
    /// The string has a brace in it, so it may hold placeholders.
    braces: bool,
    start: u32,
    end: u32,
    next: u32,
}

/// How the text of a scalar follows from its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// It is its source.
    Plain,
    /// It has the escapes of JSON.
    Escaped,
    /// It is in [`Tree::texts`].
    Kept,
}

/// Something about the text that its notation does not allow, or allows and a reader may not expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub kind: ProblemKind,
    /// Where.
    pub span: Span,
    /// The place that explains it: where an unclosed bracket was opened.
    pub related: Option<Span>,
}

/// The kinds of [`Problem`]. The wording is the business of the rule that reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// There is nothing in the file.
    Empty,
    /// A value should stand here.
    MissingValue,
    /// Two values or members follow each other without a comma.
    MissingComma,
    /// A comma before a closing bracket.
    TrailingComma,
    /// A comma where a value or key should be.
    ExtraComma,
    /// No `:` after a key.
    MissingColon,
    /// A `:` outside an object, or a second one.
    StrayColon,
    /// A key without a colon and a value.
    KeyAlone,
    /// `=` or `=>` for the colon after a key.
    EqualsSign,
    /// `;` for a comma.
    Semicolon,
    /// A word that is not `true`, `false` or `null`.
    UnknownWord,
    /// A number that JSON does not allow: `01`, `+1`, `.5`, `1.`, `0x1F`.
    MalformedNumber,
    /// A string without its closing quote.
    UnterminatedString,
    /// A string whose closing quote is on a later line; the place is its first line break.
    LineBreak,
    /// A word with a closing quote only.
    NoOpeningQuote,
    /// What Python writes before the quote of a string: `b"x"`.
    StringPrefix,
    /// A string in the quotes of a word processor.
    TypographicQuotes,
    /// A control character in a string.
    ControlCharacter,
    /// A `\` with something after it that JSON does not know.
    UnknownEscape,
    /// A string in single quotes.
    SingleQuotes,
    /// A key without quotes.
    UnquotedKey,
    /// A comment.
    Comment,
    /// A bracket that is never closed.
    Unclosed,
    /// The text ends before everything is closed; the innermost bracket explains it.
    Truncated,
    /// `]` for `}` or the other way round.
    WrongBracket,
    /// Brackets that close the document before its end.
    ExtraBracket,
    /// A closing bracket that closes nothing.
    Unopened,
    /// Something after the end of the document.
    TrailingContent,
    /// Characters that mean nothing in JSON.
    UnknownCharacter,
    /// A word where only a comma, a colon or a bracket can stand.
    Misplaced,
    /// White space that is none in JSON.
    OddSpace,
    /// A line that version control left behind, and the last line of the conflict.
    ConflictMarker,
    /// The text is YAML, in a file that is to be JSON.
    Yaml,
    /// YAML that cannot be read on; what the library says.
    YamlSyntax(&'static str),
    /// A second document in the same file.
    SecondDocument,
    /// `*name` without a `&name` before it.
    UnknownAlias,
    /// `*name` inside of what `&name` stands for.
    EndlessAlias,
    /// The same anchor twice; the first is the related place.
    RepeatedAnchor,
    /// Aliases stand for more values than are read.
    TooManyAliases,
    /// `<<` with something that has no members.
    UnmergeableValue,
    /// A list or an object as a key.
    CompoundKey,
    /// A tag that no safe reader knows.
    UnknownTag,
    /// A value that its tag does not allow: `!!int x`.
    MistaggedValue,
    /// `=`, for which PyYAML has no value.
    EqualsValue,
    /// TOML that cannot be read; the number of what the library says: see [`Tree::message`].
    TomlSyntax(u32),
    /// A plain scalar that YAML 1.1 and YAML 1.2 read differently.
    AmbiguousScalar,
    /// More than [`MAX_DEPTH`] levels.
    TooDeep,
    /// `NaN`, an infinity, or a number beyond the range of a double. Python reads these.
    NonFinite,
    /// An escape for half a character: `"\ud800"`. Python reads these.
    LoneSurrogate,
    /// An integer of more than 4,300 digits, which Python does not read.
    OversizedInteger,
    /// zrecipe panicked at this text; the number of the place in its source: see [`Tree::message`].
    Internal(u32),
}

impl ProblemKind {
    /// Whether Python's readers read past it.
    pub fn is_python(self) -> bool {
        matches!(self, Self::NonFinite | Self::LoneSurrogate | Self::AmbiguousScalar)
    }
}

/// A document.
pub struct Tree {
    source: Arc<Source>,
    nodes: Vec<Node>,
    /// The texts of scalars that are not their source, by node.
    texts: HashMap<u32, Arc<str>>,
    problems: Vec<Problem>,
    comments: Vec<Span>,
    messages: Vec<Box<str>>,
    wide: OnceLock<Wide>,
}

/// Without the texts, which may be secrets.
impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {} nodes, {:?}", self.source, self.nodes.len(), self.problems)
    }
}

impl Tree {
    /// A tree of which only the text matters: an object without members.
    fn empty(source: Arc<Source>) -> Self {
        let end = source.text().len() as u32;
        let spelling = Spelling::Plain;
        let root = Node { kind: Kind::Object, spelling, open: true, braces: false, start: 0, end, next: 1 };
        let (problems, comments, messages) = (Vec::new(), Vec::new(), Vec::new());
        Self { source, nodes: vec![root], texts: HashMap::new(), problems, comments, messages, wide: OnceLock::new() }
    }

    /// The tree of a text that could not be read because of a panic: a missing value.
    pub fn failed(source: Arc<Source>, panic: &Panic) -> Self {
        let mut tree = Self::empty(source);
        tree.nodes[0] = Node { kind: Kind::Missing, end: 0, ..tree.nodes[0] };
        tree.problems.push(Problem { kind: ProblemKind::Internal(0), span: Span::empty(0), related: None });
        tree.messages.push(panic.at().into());
        tree
    }

    /// The text it was read from.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Everything that was wrong with the text, in order of place.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What was wrong with the text and stops Python's readers, in order of place.
    pub fn mistakes(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| !problem.kind.is_python())
    }

    /// Whether Python's readers do not read it, so that what is not in the tree may still be in the file.
    pub fn is_broken(&self) -> bool {
        self.mistakes().next().is_some()
    }

    /// What a library says about a mistake.
    pub fn message(&self, number: u32) -> &str {
        self.messages.get(number as usize).map_or("", AsRef::as_ref)
    }

    /// The comments of a YAML document, each from its `#` to the end of the line.
    pub fn comments(&self) -> &[Span] {
        &self.comments
    }

    /// The document's value.
    pub fn root(&self) -> NodeRef<'_> {
        NodeRef { tree: self, id: 0 }
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> NodeRef<'_> {
        NodeRef { tree: self, id: id.0 }
    }

    /// All nodes in document order, keys included.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'_>> {
        (0..self.nodes.len() as u32).map(|id| NodeRef { tree: self, id })
    }
}

/// A node together with its tree.
#[derive(Clone, Copy)]
pub struct NodeRef<'t> {
    tree: &'t Tree,
    id: u32,
}

impl std::fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without its text, which may be a secret.
        write!(f, "{:?} at {:?}", self.kind(), self.span())
    }
}

/// A key of an object and its value.
#[derive(Debug, Clone, Copy)]
pub struct Member<'t> {
    /// The key, a string node.
    pub key: NodeRef<'t>,
    /// The value.
    pub value: NodeRef<'t>,
}

impl<'t> NodeRef<'t> {
    fn node(self) -> &'t Node {
        crate::work::count();
        &self.tree.nodes[self.id as usize]
    }

    /// Its index.
    pub fn id(self) -> NodeId {
        NodeId(self.id)
    }

    /// Whether another node of the tree is this one or in it.
    pub fn holds(self, other: NodeId) -> bool {
        self.id <= other.0 && other.0 < self.node().next
    }

    /// Its tree.
    pub fn tree(self) -> &'t Tree {
        self.tree
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        self.node().kind
    }

    /// Where it is, quotes and brackets included.
    pub fn span(self) -> Span {
        let node = self.node();
        Span { start: node.start, end: node.end }
    }

    /// Where a diagnostic about it should point: the whole of a scalar, the opening bracket of anything larger
    /// than a line.
    pub fn head(self) -> Span {
        if self.raw().contains('\n') { self.first() } else { self.span() }
    }

    /// Its first character: the opening bracket or quote, where it has one.
    pub fn first(self) -> Span {
        let Span { start, .. } = self.span();
        Span { start, end: start + self.raw().chars().next().map_or(0, char::len_utf8) as u32 }
    }

    /// As written, quotes included.
    pub fn raw(self) -> &'t str {
        &self.tree.source.text()[self.span().range()]
    }

    /// The text of a string or key, decoded; of anything else, as JSON writes it.
    pub fn text(self) -> Cow<'t, str> {
        match self.node() {
            Node { kind: Kind::String, spelling: Spelling::Plain, .. } => Cow::Borrowed(self.inner()),
            Node { spelling: Spelling::Escaped, .. } => Cow::Owned(json::decode(self.inner()).0),
            _ => Cow::Borrowed(self.as_json()),
        }
    }

    /// A number or a boolean as JSON writes it.
    pub fn as_json(self) -> &'t str {
        let kept = (self.node().spelling == Spelling::Kept).then(|| self.tree.texts.get(&self.id)).flatten();
        kept.map_or_else(|| self.raw(), AsRef::as_ref)
    }

    /// Whether it is a scalar of YAML that is written elsewhere: `*name`.
    pub fn is_alias(self) -> bool {
        let is_scalar = !matches!(self.kind(), Kind::Array | Kind::Object);
        is_scalar && self.raw().starts_with('*') && Notation::of(self.tree.source.name()) == Notation::Yaml
    }

    /// Whether two strings are the same when decoded.
    pub fn same_text(self, other: NodeRef<'_>) -> bool {
        let (a, b) = (self.node(), other.node());
        let plain = |node: &Node| node.spelling == Spelling::Plain && !node.open;
        if !plain(a) || !plain(b) {
            return self.text() == other.text();
        }
        a.end - a.start == b.end - b.start && self.inner() == other.inner()
    }

    /// Whether this is a string that may hold placeholders, or a stray brace.
    pub fn has_braces(self) -> bool {
        self.node().braces
    }

    /// Whether this string is exactly `text`.
    pub fn is(self, text: &str) -> bool {
        let node = self.node();
        let plain = node.spelling == Spelling::Plain;
        node.kind == Kind::String && if plain { self.inner() == text } else { self.text() == text }
    }

    /// The source of a string without its quotes.
    fn inner(self) -> &'t str {
        let (node, text) = (self.node(), self.tree.source.text());
        let (start, end) = (node.start as usize, node.end as usize);
        if !node.open {
            return &text[start + 1..end - 1];
        }
        let quoted = matches!(text.as_bytes().get(start), Some(b'"' | b'\''));
        &text[start + usize::from(quoted)..end]
    }

    /// The place of a byte range of [`NodeRef::text`] in the source.
    pub fn text_span(self, range: std::ops::Range<usize>) -> Span {
        let node = self.node();
        let raw = self.raw();
        let lead = usize::from(raw.starts_with(['"', '\'']));
        let base = node.start as usize + lead;
        match node.spelling {
            Spelling::Plain => Span::new(base + range.start, base + range.end),
            Spelling::Escaped => {
                let inner = self.inner();
                let at = |offset| base + json::encoded_offset(inner, offset);
                Span::new(at(range.start), at(range.end))
            }
            Spelling::Kept => yaml::find_written(raw, &self.text(), range)
                .map_or(self.span(), |at| Span::new(node.start as usize + at.start, node.start as usize + at.end)),
        }
    }

    /// `true` for the word `true`.
    pub fn as_bool(self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.as_json().starts_with('t'))
    }

    /// The integer, when it is written as one and fits.
    pub fn as_integer(self) -> Option<i64> {
        let raw = self.as_json();
        (self.kind() == Kind::Number && raw.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
            .then(|| raw.parse().ok())
            .flatten()
    }

    /// The number as a double.
    pub fn as_f64(self) -> Option<f64> {
        (self.kind() == Kind::Number).then(|| Number::from_text(self.as_json()).as_f64())
    }

    /// The items of an array; nothing for anything else.
    pub fn items(self) -> impl Iterator<Item = NodeRef<'t>> + Clone {
        let node = self.node();
        let end = if node.kind == Kind::Array { node.next } else { 0 };
        let tree = self.tree;
        let mut id = self.id + 1;
        std::iter::from_fn(move || {
            (id < end).then(|| {
                let item = NodeRef { tree, id };
                id = item.node().next;
                item
            })
        })
    }

    /// The members of an object in order, repeated keys included; nothing for anything else.
    pub fn members(self) -> impl Iterator<Item = Member<'t>> + Clone {
        let node = self.node();
        let end = if node.kind == Kind::Object { node.next } else { 0 };
        let tree = self.tree;
        let mut id = self.id + 1;
        std::iter::from_fn(move || {
            (id < end).then(|| {
                let key = NodeRef { tree, id };
                let value = NodeRef { tree, id: id + 1 };
                id = value.node().next;
                Member { key, value }
            })
        })
    }

    /// This node and everything in it, in document order.
    pub fn descendants(self) -> impl Iterator<Item = NodeRef<'t>> {
        let tree = self.tree;
        (self.id..self.node().next).map(move |id| NodeRef { tree, id })
    }

    /// Whether there is nothing in this array or object.
    pub fn is_empty(self) -> bool {
        self.node().next == self.id + 1
    }

    /// The value, numbers as written; repeated keys keep the last value, what could not be read is `null`.
    pub fn to_value(self) -> Value {
        match self.kind() {
            Kind::Null | Kind::Missing => Value::Null,
            Kind::Bool => Value::Bool(self.as_json().starts_with('t')),
            Kind::Number => Value::Number(Number::from_text(self.as_json())),
            Kind::String => match self.raw_if_unpaired() {
                Some(raw) => Value::Raw(raw.into()),
                None => Value::String(self.text().into_owned()),
            },
            Kind::Array => Value::Array(self.items().map(Self::to_value).collect()),
            Kind::Object => {
                if self.members().any(|member| member.key.raw_if_unpaired().is_some()) {
                    return Value::Raw(self.raw().into());
                }
                let members = self.members().map(|member| (member.key.text().into_owned(), member.value.to_value()));
                Value::Object(members.collect::<Object>())
            }
        }
    }

    /// The source of a string that stands for something a Rust string cannot hold.
    fn raw_if_unpaired(self) -> Option<&'t str> {
        (self.node().spelling == Spelling::Escaped && json::decode(self.inner()).1).then(|| self.raw())
    }

    /// What people call it: `a string`, `a number`, …
    pub fn describe(self) -> &'static str {
        match self.kind() {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number if self.as_json().contains(['.', 'e', 'E']) => "a number with a fraction or exponent",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "a list",
            Kind::Object => "an object",
            Kind::Missing => "nothing",
        }
    }
}
