//! JSON to [`Tree`], reading on after every mistake, so that all of them are found and what can be read is kept.
//!
//! The parser keeps its own stack: a document of any depth cannot overflow ours. After a mistake it continues in
//! the way that loses least: a missing comma or colon is taken as written, a value that cannot be read becomes a
//! [`Kind::Missing`] node, a string without its closing quote ends with its line.

use std::sync::Arc;

use super::{Kind, MAX_DEPTH, Node, Problem, ProblemKind, Tree};
use crate::source::{Source, Span};
use crate::value::Value;

/// How many problems of a text are kept.
const MOST_PROBLEMS: usize = 1000;
/// Python refuses to read an integer of more digits.
const MOST_DIGITS: usize = 4300;

/// Reads a document.
pub fn parse(source: Arc<Source>) -> Tree {
    let text = source.text();
    let mut parser = Parser {
        text: text.as_bytes(),
        at: if source.has_byte_order_mark() { '\u{feff}'.len_utf8() } else { 0 },
        nodes: Vec::with_capacity(text.len() / 10 + 1),
        stack: Vec::new(),
        problems: Vec::new(),
    };
    parser.document();
    let Parser { nodes, mut problems, .. } = parser;
    problems.sort_by_key(|problem| problem.span);
    Tree { source, nodes, problems }
}

/// Reads a message as Python's `json.loads` would: strict JSON, and `NaN`, `Infinity` and unpaired surrogates.
///
/// # Errors
/// The first problem, in words, with its byte offset.
pub fn read_value(bytes: &[u8]) -> Result<Value, String> {
    let source = Arc::new(Source::from_bytes("message", bytes.to_vec()));
    if let Some(place) = source.undecodable().first() {
        return Err(format!("not UTF-8 at byte {}", place.start));
    }
    if source.has_byte_order_mark() {
        return Err("begins with a byte order mark".to_owned());
    }
    let tree = parse(source);
    match tree.problems().iter().find(|problem| !problem.kind.is_python()) {
        Some(problem) => Err(format!("not JSON: {:?} at byte {}", problem.kind, problem.span.start)),
        None => Ok(tree.root().to_value()),
    }
}

struct Parser<'s> {
    text: &'s [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Frame>,
    problems: Vec<Problem>,
}

#[derive(Clone, Copy)]
struct Frame {
    node: u32,
    object: bool,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    /// A value.
    Value,
    /// The first item of an array, or its end.
    FirstItem,
    /// The first key of an object, or its end.
    FirstKey,
    /// A key.
    Key,
    /// The colon after a key.
    Colon,
    /// A comma, or the end of what is open.
    After,
}

/// Bytes that end the quick scan of a string: quote, backslash, braces and control characters.
const STOPS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'{' as usize] = true;
    table[b'}' as usize] = true;
    table
};

/// Bytes that a word or number cannot contain.
const fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'[' | b']' | b'{' | b'}' | b'"' | b'\'' | b'/' | b'#')
}

impl Parser<'_> {
    fn document(&mut self) {
        self.skip_space();
        if self.at >= self.text.len() {
            self.problem(ProblemKind::Empty, self.at, self.at);
            self.missing();
            return;
        }
        let mut expect = Expect::Value;
        loop {
            self.skip_space();
            expect = match expect {
                Expect::Value => self.value(),
                Expect::FirstItem if self.peek() == Some(b']') => self.close(),
                Expect::FirstItem if self.peek().is_none() => Expect::After,
                Expect::FirstItem => self.value(),
                Expect::FirstKey if self.peek() == Some(b'}') => self.close(),
                Expect::FirstKey | Expect::Key => self.key(),
                Expect::Colon => self.colon(),
                Expect::After => match self.stack.last() {
                    Some(frame) if frame.object => self.after_member(),
                    Some(_) => self.after_item(),
                    None => break,
                },
            };
        }
        if self.at < self.text.len() {
            self.problem(ProblemKind::TrailingContent, self.at, self.text.trim_ascii_end().len());
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        loop {
            while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
                self.at += 1;
            }
            if !matches!(self.peek(), Some(b'/' | b'#')) || !self.skip_comment() {
                return;
            }
        }
    }

    /// Comments are not JSON; they are reported and passed over.
    fn skip_comment(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let end_of_line = || memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let length = if rest.starts_with(b"//") || rest.starts_with(b"#") {
            end_of_line()
        } else if rest.starts_with(b"/*") {
            memchr::memmem::find(rest, b"*/").map_or(rest.len(), |end| end + 2)
        } else {
            return false;
        };
        let start = self.at;
        self.at += length;
        self.problem(ProblemKind::Comment, start, start + rest[..length].trim_ascii_end().len());
        true
    }

    fn problem(&mut self, kind: ProblemKind, start: usize, end: usize) {
        self.problem_about(kind, Span::new(start, end), None);
    }

    fn problem_about(&mut self, kind: ProblemKind, span: Span, related: Option<Span>) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem { kind, span, related });
        }
    }

    fn push(&mut self, kind: Kind, start: usize) -> usize {
        let id = self.nodes.len();
        let span = Span::new(start, self.at);
        self.nodes.push(Node {
            kind,
            escaped: false,
            open: false,
            braces: false,
            start: span.start,
            end: span.end,
            next: id as u32 + 1,
        });
        id
    }

    fn missing(&mut self) -> Expect {
        self.push(Kind::Missing, self.at);
        Expect::After
    }

    fn value(&mut self) -> Expect {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.string();
                Expect::After
            }
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'\'') => {
                self.single_quoted();
                Expect::After
            }
            Some(b',') => {
                // `[1,,2]`: nothing stands between the commas. `{"a":,`: the value is missing.
                let in_array = self.stack.last().is_some_and(|frame| !frame.object);
                if in_array {
                    self.problem(ProblemKind::ExtraComma, start, start + 1);
                    self.at += 1;
                    return Expect::FirstItem;
                }
                self.problem(ProblemKind::MissingValue, start, start);
                self.missing()
            }
            Some(b':') => {
                self.problem(ProblemKind::StrayColon, start, start + 1);
                self.at += 1;
                Expect::Value
            }
            Some(b']' | b'}') if !self.stack.is_empty() => {
                self.problem(ProblemKind::MissingValue, start, start);
                self.missing()
            }
            Some(b']' | b'}') => {
                self.at += 1;
                self.problem(ProblemKind::Unopened, start, start + 1);
                self.push(Kind::Missing, start);
                Expect::After
            }
            None => {
                self.problem(ProblemKind::MissingValue, start, start);
                self.missing()
            }
            Some(_) => {
                self.word();
                Expect::After
            }
        }
    }

    fn open(&mut self, object: bool) -> Expect {
        let start = self.at;
        if self.stack.len() == MAX_DEPTH {
            self.problem(ProblemKind::TooDeep, start, start + 1);
            self.skip_nested();
            self.push(Kind::Missing, start);
            return Expect::After;
        }
        self.at += 1;
        let node = self.push(if object { Kind::Object } else { Kind::Array }, start) as u32;
        self.stack.push(Frame { node, object });
        if object { Expect::FirstKey } else { Expect::FirstItem }
    }

    /// Passes over an array or object and all that is in it.
    fn skip_nested(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                b'"' => {
                    while let Some(byte) = self.peek() {
                        self.at += if byte == b'\\' { 2 } else { 1 };
                        if matches!(byte, b'"' | b'\n') {
                            break;
                        }
                    }
                    self.at = self.at.min(self.text.len());
                }
                _ => {}
            }
        }
    }

    /// Ends the innermost array or object here, past its bracket.
    fn close(&mut self) -> Expect {
        self.at += 1;
        self.finish();
        Expect::After
    }

    /// Ends the innermost array or object here.
    fn finish(&mut self) {
        if let Some(frame) = self.stack.pop() {
            let next = self.nodes.len() as u32;
            let end = Span::empty(self.at).end;
            let node = &mut self.nodes[frame.node as usize];
            node.next = next;
            node.end = end;
        }
    }

    /// Ends the innermost array or object where its bracket is missing.
    fn unclosed(&mut self) -> Expect {
        if let Some(frame) = self.stack.last() {
            let opened = self.nodes[frame.node as usize].start as usize;
            let here = if self.at >= self.text.len() { self.text.trim_ascii_end().len() } else { self.at };
            let related = Some(Span::new(opened, opened + 1));
            self.problem_about(ProblemKind::Unclosed, Span::empty(here), related);
        }
        self.finish();
        Expect::After
    }

    fn after_item(&mut self) -> Expect {
        let start = self.at;
        match self.peek() {
            Some(b',') => self.comma(b']', Expect::Value),
            Some(b']') => self.close(),
            Some(b'}') => self.wrong_bracket(true),
            Some(b':') => {
                self.problem(ProblemKind::StrayColon, start, start + 1);
                self.at += 1;
                self.skip_space();
                if matches!(self.peek(), Some(b',' | b']' | b'}') | None) { Expect::After } else { Expect::Value }
            }
            None => self.unclosed(),
            Some(_) => {
                self.missing_comma();
                Expect::Value
            }
        }
    }

    fn after_member(&mut self) -> Expect {
        let start = self.at;
        match self.peek() {
            Some(b',') => self.comma(b'}', Expect::Key),
            Some(b'}') => self.close(),
            Some(b']') => self.wrong_bracket(false),
            Some(b':') => {
                self.problem(ProblemKind::StrayColon, start, start + 1);
                self.at += 1;
                Expect::After
            }
            None => self.unclosed(),
            Some(_) => {
                self.missing_comma();
                Expect::Key
            }
        }
    }

    fn comma(&mut self, end: u8, next: Expect) -> Expect {
        let comma = self.at;
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(end) {
            self.problem(ProblemKind::TrailingComma, comma, comma + 1);
            return Expect::After;
        }
        next
    }

    fn missing_comma(&mut self) {
        let end = self.nodes.last().map_or(self.at, |node| node.end as usize);
        // The last node may be a closed array or object: the comma belongs behind its bracket.
        let place = self.text[..self.at].trim_ascii_end().len().max(end);
        self.problem(ProblemKind::MissingComma, place, place);
    }

    /// A `}` in an array or a `]` in an object.
    fn wrong_bracket(&mut self, object: bool) -> Expect {
        if self.stack.iter().any(|frame| frame.object == object) {
            return self.unclosed();
        }
        self.problem(ProblemKind::Unopened, self.at, self.at + 1);
        self.at += 1;
        Expect::After
    }

    fn key(&mut self) -> Expect {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.string();
                Expect::Colon
            }
            Some(b'\'') => {
                self.single_quoted();
                Expect::Colon
            }
            Some(b',') => {
                self.problem(ProblemKind::ExtraComma, start, start + 1);
                self.at += 1;
                Expect::FirstKey
            }
            Some(b':') => {
                // The value stays out of the tree's sight: without a key nobody could ask for it.
                self.problem(ProblemKind::StrayColon, start, start + 1);
                self.at += 1;
                Expect::FirstKey
            }
            Some(b']' | b'}') | None => Expect::After,
            Some(b'[' | b'{') => {
                self.problem(ProblemKind::UnquotedKey, start, start + 1);
                self.skip_nested();
                let key = self.push(Kind::String, start);
                self.nodes[key].open = true;
                self.nodes[key].braces = true;
                Expect::Colon
            }
            Some(_) => {
                let end = self.word_end();
                self.at = end;
                self.problem(ProblemKind::UnquotedKey, start, end);
                let key = self.push(Kind::String, start);
                self.nodes[key].open = true;
                self.nodes[key].braces = true;
                Expect::Colon
            }
        }
    }

    fn colon(&mut self) -> Expect {
        let after_key = self.nodes.last().map_or(self.at, |node| node.end as usize);
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Expect::Value
            }
            Some(b',' | b'}' | b']') | None => {
                self.problem(ProblemKind::MissingColon, after_key, after_key);
                self.missing()
            }
            Some(_) => {
                self.problem(ProblemKind::MissingColon, after_key, after_key);
                Expect::Value
            }
        }
    }

    fn string(&mut self) {
        let start = self.at;
        self.at += 1;
        let (mut escaped, mut open, mut braces) = (false, false, false);
        loop {
            while self.at < self.text.len() && !STOPS[self.text[self.at] as usize] {
                self.at += 1;
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    break;
                }
                Some(b'{' | b'}') => {
                    braces = true;
                    self.at += 1;
                }
                Some(b'\\') => {
                    escaped = true;
                    // `\u007b` is a brace, too.
                    braces = true;
                    self.escape();
                }
                Some(b'\n') | None => {
                    open = true;
                    self.problem(ProblemKind::UnterminatedString, start, self.at);
                    break;
                }
                Some(_) => {
                    self.problem(ProblemKind::ControlCharacter, self.at, self.at + 1);
                    self.at += 1;
                }
            }
        }
        let id = self.push(Kind::String, start);
        self.nodes[id].escaped = escaped;
        self.nodes[id].open = open;
        self.nodes[id].braces = braces;
    }

    fn escape(&mut self) {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => match hex4(&self.text[self.at + 1..]) {
                Some(unit) => {
                    self.at += 5;
                    if (0xdc00..0xe000).contains(&unit) {
                        self.problem(ProblemKind::LoneSurrogate, start, self.at);
                    } else if (0xd800..0xdc00).contains(&unit) {
                        let low = self.text[self.at..].strip_prefix(b"\\u").and_then(hex4);
                        if low.is_some_and(|low| (0xdc00..0xe000).contains(&low)) {
                            self.at += 6;
                        } else {
                            self.problem(ProblemKind::LoneSurrogate, start, self.at);
                        }
                    }
                }
                None => {
                    self.at += 1;
                    self.problem(ProblemKind::UnknownEscape, start, self.at);
                }
            },
            Some(b'\n') | None => self.problem(ProblemKind::UnknownEscape, start, self.at),
            Some(_) => {
                self.at += utf8_width(self.text[self.at]);
                self.at = self.at.min(self.text.len());
                self.problem(ProblemKind::UnknownEscape, start, self.at);
            }
        }
    }

    fn single_quoted(&mut self) {
        let start = self.at;
        self.at += 1;
        let (mut escaped, mut open) = (false, false);
        loop {
            match self.peek() {
                Some(b'\'') => {
                    self.at += 1;
                    break;
                }
                Some(b'\\') if self.at + 1 < self.text.len() => {
                    escaped = true;
                    self.at += 1 + utf8_width(self.text[self.at + 1]);
                }
                Some(b'\n') | None => {
                    open = true;
                    break;
                }
                Some(_) => self.at += 1,
            }
        }
        self.at = self.at.min(self.text.len());
        self.problem(ProblemKind::SingleQuotes, start, self.at);
        let id = self.push(Kind::String, start);
        self.nodes[id].escaped = escaped;
        self.nodes[id].open = open;
        self.nodes[id].braces = true;
    }

    /// The end of the word or number that begins here; at least one character.
    fn word_end(&self) -> usize {
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|&byte| ends_word(byte)).unwrap_or(rest.len());
        self.at + length.max(utf8_width(rest[0]).min(rest.len()))
    }

    /// A number, a word, or anything else up to the next character with a meaning.
    fn word(&mut self) {
        let start = self.at;
        let end = self.word_end();
        let word = &self.text[start..end];
        self.at = end;
        let (kind, problem) = match word {
            b"true" | b"false" => (Kind::Bool, None),
            b"null" => (Kind::Null, None),
            b"NaN" | b"Infinity" | b"-Infinity" => (Kind::Number, Some(ProblemKind::NonFinite)),
            _ => match word[0] {
                b'0'..=b'9' | b'-' => match number(word) {
                    Ok(problem) => (Kind::Number, problem),
                    Err(problem) => (Kind::Missing, Some(problem)),
                },
                b'+' | b'.' => (Kind::Missing, Some(ProblemKind::MalformedNumber)),
                byte if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => {
                    (Kind::Missing, Some(ProblemKind::UnknownWord))
                }
                _ => (Kind::Missing, Some(ProblemKind::UnknownCharacter)),
            },
        };
        if let Some(problem) = problem {
            self.problem(problem, start, end);
        }
        self.push(kind, start);
    }
}

/// Checks a number by JSON's grammar; what is odd about one that is right.
fn number(word: &[u8]) -> Result<Option<ProblemKind>, ProblemKind> {
    let digits = |from: usize| word[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(word[0] == b'-');
    let whole = digits(at);
    if whole == 0 || (whole > 1 && word[at] == b'0') {
        return Err(ProblemKind::MalformedNumber);
    }
    at += whole;
    if at == word.len() {
        return Ok((whole > MOST_DIGITS).then_some(ProblemKind::OversizedInteger));
    }
    if word.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return Err(ProblemKind::MalformedNumber);
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = word.get(at) {
        at += 1 + usize::from(matches!(word.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at.min(word.len()));
        if exponent == 0 {
            return Err(ProblemKind::MalformedNumber);
        }
        at += exponent;
    }
    if at < word.len() {
        return Err(ProblemKind::MalformedNumber);
    }
    let value: f64 = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::INFINITY);
    Ok(value.is_infinite().then_some(ProblemKind::NonFinite))
}

fn utf8_width(first: u8) -> usize {
    match first {
        0x00..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    }
}

fn hex4(text: &[u8]) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit * 16 + (digit as char).to_digit(16)?))
}

/// One step through the source of a string: how many bytes it takes, and the character it stands for
/// (none: half a surrogate pair).
fn step(rest: &str) -> (usize, Option<char>) {
    let Some(first) = rest.chars().next() else {
        return (0, None);
    };
    if first != '\\' {
        return (first.len_utf8(), Some(first));
    }
    let Some(escaped) = rest[1..].chars().next() else {
        return (1, Some('\\'));
    };
    let simple = match escaped {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => match hex4(&rest.as_bytes()[2..]) {
            None => return (1, Some('\\')),
            Some(high @ 0xd800..=0xdbff) => {
                let low = rest.as_bytes()[6..].strip_prefix(b"\\u").and_then(hex4);
                return match low {
                    Some(low @ 0xdc00..=0xdfff) => {
                        (12, char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)))
                    }
                    _ => (6, None),
                };
            }
            Some(unit) => return (6, char::from_u32(unit)),
        },
        '"' | '\\' | '/' | '\'' => escaped,
        // Not an escape that JSON knows: reported elsewhere, read as its own text.
        _ => return (1, Some('\\')),
    };
    (1 + escaped.len_utf8(), Some(simple))
}

/// The text that the source of a string stands for, and whether it has half a surrogate pair somewhere
/// (U+FFFD in the text).
pub(super) fn decode(inner: &str) -> (String, bool) {
    let mut text = String::with_capacity(inner.len());
    let mut unpaired = false;
    let mut rest = inner;
    while let Some(plain) = rest.find('\\') {
        text.push_str(&rest[..plain]);
        let (width, character) = step(&rest[plain..]);
        text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        unpaired |= character.is_none();
        rest = &rest[plain + width..];
    }
    text.push_str(rest);
    (text, unpaired)
}

/// Where byte `offset` of the decoded text stands in the source of the string.
pub(super) fn encoded_offset(inner: &str, offset: usize) -> usize {
    let (mut at, mut decoded) = (0, 0);
    while decoded < offset && at < inner.len() {
        let (width, character) = step(&inner[at..]);
        at += width;
        decoded += character.unwrap_or(char::REPLACEMENT_CHARACTER).len_utf8();
    }
    at
}
