//! YAML to [`Tree`] as PyYAML's `safe_load` reads it: events of `libyaml-safer`, composed here.
//!
//! The library stops at the first mistake. So that all are found, what the mistake spoils (an entry and what is
//! indented below it) is blanked out and the rest is read again. Aliases are copied into the tree up to a budget;
//! a document that has none pays nothing for it.

mod scalar;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use libyaml_safer::{Error, Event, EventData, Mark, Parser, ScalarStyle};

use self::scalar::{Meaning, construct, resolve};
pub use self::scalar::{is_text, readings};
use super::{Kind, MAX_DEPTH, Node, Problem, ProblemKind, Spelling, Tree};
use crate::guard::guarded;
use crate::source::{Source, Span};

/// How many values aliases may stand for, in all.
pub const MOST_COPIES: usize = 100_000;
/// How much text they may stand for, in bytes.
pub const MOST_COPIED: usize = 4 << 20;
/// How often the text is read again after a mistake.
const MOST_MISTAKES: usize = 20;
/// Python refuses to read an integer of more digits.
const MOST_DIGITS: usize = 4300;

/// What is said of a place where the library itself gives up.
const STUMBLED: &str = "the text from here on cannot be read";

/// Reads a YAML document, whatever it is.
pub fn parse(source: Arc<Source>) -> Tree {
    let mark = if source.has_byte_order_mark() { '\u{feff}'.len_utf8() } else { 0 };
    // The library drops one byte order mark and counts from the character behind it.
    let mut bytes = source.text().as_bytes().to_vec();
    // The library counts on a line break after the last line.
    let is_cut = bytes.len() > mark && !bytes.ends_with(b"\n");
    bytes.extend(is_cut.then_some(b'\n'));
    let mut problems = Vec::new();
    let composed = loop {
        let mut composed = Composed { base: mark, is_cut, ..Composed::default() };
        match composed.read(&bytes) {
            Ok(()) => break composed,
            Err(Stop::Here) => break composed,
            Err(Stop::Mistake(mistake)) => {
                problems.push(mistake.problem(mark));
                if problems.len() >= MOST_MISTAKES || !mistake.blank(&mut bytes[mark..]) {
                    break Composed::default();
                }
            }
        }
    };
    problems.extend(composed.problems.iter().cloned());
    let mut writer = Writer { text: source.text(), parts: &composed.parts, ..Writer::default() };
    match composed.root {
        Some(root) => writer.value(root, None),
        None => {
            if problems.is_empty() {
                problems.push(Problem { kind: ProblemKind::Empty, span: Span::empty(mark), related: None });
            }
            writer.push(Kind::Missing, Span::empty(mark), Spelling::Plain);
        }
    }
    problems.append(&mut writer.problems);
    let Writer { nodes, texts, .. } = writer;
    for problem in &mut problems {
        problem.span = within(source.text(), problem.span);
        problem.related = problem.related.map(|related| within(source.text(), related));
    }
    problems.sort_by_key(|problem| problem.span);
    problems.dedup();
    let comments = comments(source.text(), &composed.parts);
    Tree { source, nodes, texts, problems, comments, messages: Vec::new(), wide: OnceLock::new() }
}

/// A span of whole characters of the text.
fn within(text: &str, span: Span) -> Span {
    let (start, end) = (text.floor_char_boundary(span.start as usize), text.ceil_char_boundary(span.end as usize));
    Span::new(start.min(end), end)
}

/// Where a range of a scalar's text stands in its source, if that is plain to see: it stands there as it is, and as
/// often as in the text.
pub(super) fn find_written(raw: &str, text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let wanted = text.get(range.clone()).filter(|wanted| !wanted.is_empty())?;
    let before = text.match_indices(wanted).take_while(|&(at, _)| at < range.start).count();
    let places: Vec<usize> = raw.match_indices(wanted).map(|(at, _)| at).collect();
    let start = *places.get(before).filter(|_| places.len() == text.matches(wanted).count())?;
    Some(start..start + wanted.len())
}

/// Why reading ends.
enum Stop {
    /// The text is no YAML from here on.
    Mistake(Mistake),
    /// Enough has been said.
    Here,
}

/// A part of the document before aliases and merge keys are followed.
struct Part {
    span: Span,
    shape: Shape,
}

enum Shape {
    Scalar {
        kind: Kind,
        /// Where it is not as written.
        text: Option<Arc<str>>,
        open: bool,
        merges: bool,
    },
    List(Vec<usize>),
    Map(Vec<(usize, usize)>),
    Alias(Option<usize>),
}

#[derive(Default)]
struct Composed {
    /// Where in the source the text begins.
    base: usize,
    /// The last line has no line break of its own.
    is_cut: bool,
    parts: Vec<Part>,
    root: Option<usize>,
    problems: Vec<Problem>,
    anchors: HashMap<String, (usize, Span)>,
    /// The lists and objects that are open, and the key of each that waits for its value.
    open: Vec<(usize, Option<usize>)>,
}

impl Composed {
    fn read(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let text = &bytes[self.base..];
        let whole = std::str::from_utf8(text).unwrap_or_default();
        let (mut input, mut last) = (bytes, 0);
        let mut parser = Parser::new();
        parser.set_input_string(&mut input);
        loop {
            // The library panics at a tag with a comma right behind it.
            let event = guarded(|| parser.parse());
            let stumbled = |_| Mistake { kind: STUMBLED, at: last, context: None };
            let event = event.map_err(stumbled).map_err(Stop::Mistake)?;
            let event = event.map_err(|error| Stop::Mistake(Mistake::new(text, &error)))?;
            let span = self.span(&event, whole);
            last = span.end as usize - self.base;
            match event.data {
                EventData::StreamEnd => return Ok(()),
                EventData::DocumentStart { .. } if self.root.is_some() => {
                    self.problem(ProblemKind::SecondDocument, Span { end: span.end.max(span.start + 1), ..span });
                    return Err(Stop::Here);
                }
                EventData::StreamStart { .. } | EventData::DocumentStart { .. } | EventData::DocumentEnd { .. } => {}
                EventData::SequenceEnd | EventData::MappingEnd => self.close(span),
                data => self.begin(data, span, whole)?,
            }
        }
    }

    fn span(&self, event: &Event, text: &str) -> Span {
        let length = text.len() - usize::from(self.is_cut);
        let at = |mark: Mark| self.base + text.floor_char_boundary((mark.index as usize).min(length));
        let start = at(event.start_mark);
        Span::new(start, at(event.end_mark).max(start))
    }

    fn problem(&mut self, kind: ProblemKind, span: Span) {
        self.problems.push(Problem { kind, span, related: None });
    }

    /// A value begins, or is there.
    fn begin(&mut self, data: EventData, span: Span, text: &str) -> Result<(), Stop> {
        let index = self.parts.len();
        // What a value begins with are its anchor and its tag.
        let start = if matches!(data, EventData::Alias { .. }) { span.start } else { self.content(span.start, text) };
        let value = Span { start, end: span.end.max(start) };
        let (anchor, opens, shape, end) = match data {
            EventData::Alias { anchor } => {
                let known = self.anchors.get(&anchor).map(|&(part, _)| part);
                if known.is_none() {
                    self.problem(ProblemKind::UnknownAlias, span);
                }
                let endless = known.is_some_and(|known| self.open.iter().any(|&(open, _)| open == known));
                if endless {
                    self.problem(ProblemKind::EndlessAlias, span);
                }
                (None, false, Shape::Alias(known.filter(|_| !endless)), span.end)
            }
            EventData::Scalar { anchor, tag, value: decoded, style, .. } => {
                let (shape, end) = self.scalar(tag.as_deref(), decoded, style, value, text);
                (anchor, false, shape, end)
            }
            EventData::SequenceStart { anchor, tag, .. } => {
                self.tag(tag.as_deref(), &["seq", "omap", "pairs"], span);
                (anchor, true, Shape::List(Vec::new()), value.end)
            }
            EventData::MappingStart { anchor, tag, .. } => {
                self.tag(tag.as_deref(), &["map", "set"], span);
                (anchor, true, Shape::Map(Vec::new()), value.end)
            }
            _ => return Ok(()),
        };
        self.parts.push(Part { span: Span { end, ..value }, shape });
        if let Some(anchor) = anchor {
            let place = Span { end: start, ..span };
            if let Some(&(_, first)) = self.anchors.get(&anchor) {
                self.problems.push(Problem {
                    kind: ProblemKind::RepeatedAnchor,
                    span: trimmed(place, self.base, text),
                    related: Some(trimmed(first, self.base, text)),
                });
            }
            self.anchors.insert(anchor, (index, place));
        }
        if opens && self.open.len() == MAX_DEPTH {
            self.problem(ProblemKind::TooDeep, Span { end: value.start + 1, ..value });
            return Err(Stop::Here);
        }
        self.attach(index);
        self.open.extend(opens.then_some((index, None)));
        Ok(())
    }

    /// Puts a part into what is open.
    fn attach(&mut self, index: usize) {
        let Some((open, key)) = self.open.last_mut() else {
            self.root = Some(index);
            return;
        };
        // As a key it takes members; as a value PyYAML has nothing for it.
        let is_value = !matches!(self.parts[*open].shape, Shape::Map(_)) || key.is_some();
        if is_value && matches!(self.parts[index].shape, Shape::Scalar { merges: true, .. }) {
            let span = self.parts[index].span;
            self.problems.push(Problem { kind: ProblemKind::EqualsValue, span, related: None });
        }
        match &mut self.parts[*open].shape {
            Shape::List(items) => items.push(index),
            Shape::Map(pairs) => match key.take() {
                Some(key) => pairs.push((key, index)),
                None => *key = Some(index),
            },
            Shape::Scalar { .. } | Shape::Alias(_) => {}
        }
    }

    fn close(&mut self, end: Span) {
        let Some((index, _)) = self.open.pop() else { return };
        let last = match &self.parts[index].shape {
            Shape::List(items) => items.last().copied(),
            Shape::Map(pairs) => pairs.last().map(|&(_, value)| value),
            Shape::Scalar { .. } | Shape::Alias(_) => None,
        };
        let last = last.map(|last| self.parts[last].span.end);
        let span = &mut self.parts[index].span;
        // The end of an indented block is noticed where the next one begins.
        let closed_by_bracket = end.start < end.end;
        span.end = if closed_by_bracket { end.end } else { last.unwrap_or(span.end).max(span.start) };
    }

    /// Whether a tag may stand before a list or an object.
    fn tag(&mut self, tag: Option<&str>, known: &[&str], span: Span) {
        let is_known = |tag: &str| tag.strip_prefix(YAML_TAG).is_some_and(|kind| known.contains(&kind));
        if tag.is_some_and(|tag| tag != "!" && !is_known(tag)) {
            self.problem(ProblemKind::UnknownTag, Span { end: span.start + 1, ..span });
        }
    }

    fn scalar(
        &mut self,
        tag: Option<&str>,
        mut decoded: String,
        style: ScalarStyle,
        span: Span,
        text: &str,
    ) -> (Shape, u32) {
        let written = &text[span.start as usize - self.base..span.end as usize - self.base];
        let written = written.trim_end();
        let end = span.start + written.len() as u32;
        let span = Span { end, ..span };
        let plain = style == ScalarStyle::Plain;
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if self.is_cut && is_block && span.end as usize == self.base + text.trim_end().len() && decoded.ends_with('\n')
        {
            decoded.pop();
        }
        let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        let meaning = match tag {
            None if plain => {
                if readings(&decoded).is_some() {
                    self.problem(ProblemKind::AmbiguousScalar, span);
                }
                resolve(&decoded)
            }
            None | Some("!") => Meaning::Text,
            Some(tag) => {
                let kind = tag.strip_prefix(YAML_TAG);
                let known = kind.is_some_and(|kind| TAGS.contains(&kind));
                let meaning = kind.filter(|_| known).and_then(|kind| construct(kind, &decoded));
                if meaning.is_none() {
                    let kind = if known { ProblemKind::MistaggedValue } else { ProblemKind::UnknownTag };
                    self.problem(kind, span);
                }
                meaning.unwrap_or(Meaning::Text)
            }
        };
        let kept = |text: &str| (text != written).then(|| Arc::from(text));
        let (kind, kept) = match &meaning {
            Meaning::Null => (Kind::Null, None),
            Meaning::Bool(value) => (Kind::Bool, kept(if *value { "true" } else { "false" })),
            Meaning::Number(number) => {
                if number.len() > MOST_DIGITS && number.bytes().all(|byte| byte != b'.') {
                    self.problem(ProblemKind::OversizedInteger, span);
                } else if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
                    && !number.parse::<f64>().is_ok_and(f64::is_finite)
                {
                    self.problem(ProblemKind::NonFinite, span);
                }
                (Kind::Number, kept(number))
            }
            Meaning::Oversized => {
                self.problem(ProblemKind::OversizedInteger, span);
                (Kind::Missing, None)
            }
            Meaning::Equals => {
                self.problem(ProblemKind::EqualsValue, span);
                (Kind::String, None)
            }
            Meaning::Text | Meaning::Date | Meaning::Merge => {
                let inner = if quoted { unquoted(written) } else { written };
                (Kind::String, (decoded != inner).then(|| Arc::from(decoded.as_str())))
            }
        };
        (Shape::Scalar { kind, text: kept, open: !quoted, merges: meaning == Meaning::Merge }, end)
    }

    /// Where a value begins after its anchor, its tag, and what stands between.
    fn content(&self, start: u32, text: &str) -> u32 {
        let mut at = start as usize - self.base;
        let bytes = text.as_bytes();
        if !matches!(bytes.get(at), Some(b'&' | b'!')) {
            return start;
        }
        let skip = |at: usize, until: &dyn Fn(u8) -> bool| {
            bytes[at..].iter().position(|&byte| until(byte)).map_or(bytes.len(), |length| at + length)
        };
        loop {
            match bytes.get(at) {
                Some(b'&' | b'!') => at = skip(at, &|byte| byte.is_ascii_whitespace() || b",]}".contains(&byte)),
                Some(b'#') => at = skip(at, &|byte| byte == b'\n'),
                Some(byte) if byte.is_ascii_whitespace() => at = skip(at, &|byte| !byte.is_ascii_whitespace()),
                _ => return (self.base + at.min(text.len() - usize::from(self.is_cut))) as u32,
            }
        }
    }
}

/// A quoted scalar without its quotes.
fn unquoted(written: &str) -> &str {
    written.get(1..written.len() - 1).unwrap_or_default()
}

/// What all tags of YAML itself begin with.
const YAML_TAG: &str = "tag:yaml.org,2002:";
/// Those of scalars.
const TAGS: [&str; 7] = ["str", "int", "float", "bool", "null", "timestamp", "binary"];

fn trimmed(span: Span, base: usize, text: &str) -> Span {
    let written = &text[span.start as usize - base..span.end as usize - base];
    let first = written.split_ascii_whitespace().find(|word| word.starts_with('&')).unwrap_or(written);
    let start = span.start + written.find(first).unwrap_or(0) as u32;
    Span { start, end: start + first.len() as u32 }
}

/// What a mistake is, and what of the text it spoils.
struct Mistake {
    kind: &'static str,
    at: usize,
    /// Where what it spoils begins, if that is not where it is.
    context: Option<usize>,
}

impl Mistake {
    fn new(text: &[u8], error: &Error) -> Self {
        let index = |mark: Mark| (mark.index as usize).min(text.len());
        let at = match error.problem_mark() {
            Some(mark) => index(mark),
            // Only characters that YAML does not allow have no place.
            None => forbidden(text).unwrap_or(0),
        };
        let inside =
            error.context().is_some_and(|context| ["flow", "quoted", "key"].iter().any(|w| context.contains(w)));
        let context = error.context_mark().map(index).filter(|_| inside);
        Self { kind: error.problem(), at, context }
    }

    fn problem(&self, base: usize) -> Problem {
        let place = |at: usize| Span::new(base + at, base + at + 1);
        let related = self.context.filter(|&context| context != self.at).map(place);
        Problem { kind: ProblemKind::YamlSyntax(self.kind), span: Span::empty(base + self.at), related }
    }

    /// Blanks out what the mistake spoils; whether there was anything left to blank out.
    fn blank(&self, text: &mut [u8]) -> bool {
        let line_start = |text: &[u8], at: usize| memchr::memrchr(b'\n', &text[..at]).map_or(0, |found| found + 1);
        let line_end =
            |text: &[u8], at: usize| memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |found| at + found);
        let is_blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
        let start = line_start(text, self.context.unwrap_or(self.at).min(text.len()));
        let indent = text[start..].iter().take_while(|&&byte| byte == b' ').count();
        let mut end = line_end(text, start);
        while end < text.len() {
            let next = line_end(text, end + 1);
            let line = &text[end + 1..next];
            let deeper = line.iter().take_while(|&&byte| byte == b' ').count() > indent;
            if !deeper && !is_blank(line) {
                break;
            }
            end = next;
        }
        if is_blank(&text[start..end]) {
            // It begins where nothing is left, so what is still there up to the mistake goes.
            end = line_end(text, self.at.min(text.len()));
        }
        let mut start = start;
        if is_blank(&text[start..end]) {
            // The end of the text, or a line without anything: what stands before is what is wrong.
            let before = text[..start].iter().rposition(|byte| !byte.is_ascii_whitespace());
            let Some(before) = before else { return false };
            start = line_start(text, before);
        }
        for byte in text[start..end].iter_mut().filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
        true
    }
}

/// The first character that YAML does not allow in any place.
fn forbidden(text: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
            && c != '\u{feff}'
    };
    text.char_indices().find(|&(_, c)| !allowed(c)).map(|(at, _)| at)
}

/// The comments of a text: from each `#` that is in no scalar and begins a line or follows a space.
fn comments(text: &str, parts: &[Part]) -> Vec<Span> {
    let bytes = text.as_bytes();
    let mut scalars =
        parts.iter().filter(|part| matches!(part.shape, Shape::Scalar { .. })).map(|part| part.span).peekable();
    let mut found: Vec<Span> = Vec::new();
    for at in memchr::memchr_iter(b'#', bytes) {
        while scalars.next_if(|span| span.end as usize <= at).is_some() {}
        let in_scalar = scalars.peek().is_some_and(|span| span.start as usize <= at);
        let in_comment = found.last().is_some_and(|last| at < last.end as usize);
        let begins = at == 0 || bytes[at - 1].is_ascii_whitespace();
        if begins && !in_scalar && !in_comment {
            let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length);
            found.push(Span::new(at, at + text[at..end].trim_end().len()));
        }
    }
    found
}

/// Writes the nodes of the tree.
#[derive(Default)]
struct Writer<'p> {
    text: &'p str,
    parts: &'p [Part],
    nodes: Vec<Node>,
    texts: HashMap<u32, Arc<str>>,
    problems: Vec<Problem>,
    /// How many nodes are copies.
    copies: usize,
    /// How much text has been written; without copies never more than there is.
    written: usize,
    depth: usize,
    /// The alias that is being followed.
    through: Option<Span>,
}

impl<'p> Writer<'p> {
    fn push(&mut self, kind: Kind, span: Span, spelling: Spelling) -> usize {
        let id = self.nodes.len();
        let node =
            Node { kind, spelling, open: true, braces: false, start: span.start, end: span.end, next: id as u32 + 1 };
        self.nodes.push(node);
        self.copies += usize::from(self.through.is_some());
        id
    }

    fn problem(&mut self, kind: ProblemKind, span: Span) {
        self.problems.push(Problem { kind, span, related: None });
    }

    /// A problem of which one place is enough.
    fn once(&mut self, kind: ProblemKind, span: Span) {
        if !self.problems.iter().any(|problem| problem.kind == kind) {
            self.problem(kind, span);
        }
    }

    /// Writes a part; `alias` is where it is named if it is written elsewhere.
    fn value(&mut self, part: usize, alias: Option<Span>) {
        let Part { span, shape } = &self.parts[part];
        let span = alias.unwrap_or(*span);
        let too_many = self.copies > MOST_COPIES;
        let too_long = self.written > self.text.len() + MOST_COPIED;
        let through = self.through.or(too_long.then_some(span));
        if let Some(through) = through
            && (too_many || too_long || self.depth > MAX_DEPTH)
        {
            let kind = if too_many || too_long { ProblemKind::TooManyAliases } else { ProblemKind::TooDeep };
            self.once(kind, through);
            self.push(Kind::Missing, span, Spelling::Plain);
            return;
        }
        self.depth += 1;
        match shape {
            Shape::Alias(None) => {
                self.push(Kind::Missing, span, Spelling::Plain);
            }
            Shape::Alias(Some(target)) => {
                let outer = self.through;
                self.through = outer.or(Some(span));
                self.value(*target, Some(span));
                self.through = outer;
            }
            Shape::Scalar { kind, .. } => self.scalar(part, *kind, span, alias.is_some()),
            Shape::List(items) => {
                let id = self.push(Kind::Array, span, Spelling::Plain);
                items.iter().for_each(|&item| self.value(item, None));
                self.nodes[id].next = self.nodes.len() as u32;
            }
            Shape::Map(_) => {
                let id = self.push(Kind::Object, span, Spelling::Plain);
                for (key, value) in self.members(part) {
                    self.key(key);
                    self.value(value, None);
                }
                self.nodes[id].next = self.nodes.len() as u32;
            }
        }
        self.depth -= 1;
    }

    fn scalar(&mut self, part: usize, kind: Kind, span: Span, named: bool) {
        let Shape::Scalar { text, open, .. } = &self.parts[part].shape else { return };
        let written = &self.text[self.parts[part].span.range()];
        let own = if *open { written } else { unquoted(written) };
        self.written += own.len();
        let text = text.clone().or_else(|| (named && kind != Kind::Null).then(|| Arc::from(own)));
        let spelling = if text.is_some() { Spelling::Kept } else { Spelling::Plain };
        let id = self.push(kind, span, spelling);
        self.nodes[id].open = *open || named;
        self.nodes[id].braces =
            kind == Kind::String && memchr::memchr2(b'{', b'}', text.as_deref().unwrap_or(own).as_bytes()).is_some();
        if let Some(text) = text {
            self.texts.insert(id as u32, text);
        }
    }

    /// Writes a key: as a string, as JSON has no others.
    fn key(&mut self, part: usize) {
        let named = matches!(self.parts[part].shape, Shape::Alias(_)).then_some(self.parts[part].span);
        let scalar = self.follow(part);
        let span = named.unwrap_or(self.parts[scalar].span);
        let Shape::Scalar { kind, .. } = self.parts[scalar].shape else { return };
        let before = self.nodes.len();
        self.scalar(scalar, kind, span, named.is_some());
        if kind == Kind::Null {
            self.nodes[before].spelling = Spelling::Kept;
            self.texts.insert(before as u32, Arc::from("null"));
        }
        self.nodes[before].kind = Kind::String;
    }

    /// What an alias stands for.
    fn follow(&self, part: usize) -> usize {
        match self.parts[part].shape {
            Shape::Alias(Some(target)) => self.follow(target),
            _ => part,
        }
    }

    /// The text of a key; none where it is no scalar.
    fn key_text(&self, part: usize) -> Option<&'p str> {
        let part = &self.parts[self.follow(part)];
        let Shape::Scalar { kind, text, open, .. } = &part.shape else { return None };
        let written = &self.text[part.span.range()];
        Some(match text {
            _ if *kind == Kind::Null => "null",
            Some(text) => text,
            None if *open => written,
            None => unquoted(written),
        })
    }

    /// The members of an object: what `<<` brings in, unless the object says otherwise, and its own.
    fn members(&mut self, part: usize) -> Vec<(usize, usize)> {
        let parts = self.parts;
        let Shape::Map(pairs) = &parts[part].shape else { return Vec::new() };
        let merges = |key: usize| matches!(parts[key].shape, Shape::Scalar { merges: true, .. });
        let mut own = Vec::with_capacity(pairs.len());
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for &(key, value) in pairs {
            if merges(key) {
                merged.extend(self.merged(value));
            } else if self.key_text(key).is_some() {
                own.push((key, value));
            } else {
                self.problem(ProblemKind::CompoundKey, parts[key].span);
            }
        }
        if merged.is_empty() {
            return own;
        }
        // Of what is brought in the last counts, and what is there already comes before it.
        let mut last: HashMap<&str, Option<usize>> =
            own.iter().filter_map(|&(key, _)| Some((self.key_text(key)?, None))).collect();
        for (at, &(key, _)) in merged.iter().enumerate() {
            let Some(text) = self.key_text(key) else { continue };
            last.entry(text).and_modify(|last| *last = last.map(|_| at)).or_insert(Some(at));
        }
        let counts = |at: usize, key: usize| self.key_text(key).is_some_and(|text| last.get(text) == Some(&Some(at)));
        let mut all: Vec<(usize, usize)> =
            merged.iter().enumerate().filter(|&(at, &(key, _))| counts(at, key)).map(|(_, &pair)| pair).collect();
        self.copies += all.len();
        all.append(&mut own);
        all
    }

    /// The members that the value of a `<<` brings in.
    fn merged(&mut self, value: usize) -> Vec<(usize, usize)> {
        let parts = self.parts;
        let target = self.follow(value);
        if self.depth > MAX_DEPTH || self.copies > MOST_COPIES {
            self.once(ProblemKind::TooManyAliases, parts[value].span);
            return Vec::new();
        }
        match &parts[target].shape {
            Shape::Map(_) => {
                self.depth += 1;
                let members = self.members(target);
                self.depth -= 1;
                self.copies += members.len();
                members
            }
            Shape::List(items) => {
                // The first of a list comes before the later ones.
                items
                    .iter()
                    .rev()
                    .flat_map(|&item| {
                        let is_map = matches!(parts[self.follow(item)].shape, Shape::Map(_));
                        if is_map {
                            self.merged(item)
                        } else {
                            self.problem(ProblemKind::UnmergeableValue, parts[item].span);
                            Vec::new()
                        }
                    })
                    .collect()
            }
            Shape::Alias(_) => Vec::new(),
            Shape::Scalar { .. } => {
                self.problem(ProblemKind::UnmergeableValue, parts[value].span);
                Vec::new()
            }
        }
    }
}
