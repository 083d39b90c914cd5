//! JSON to [`Tree`], reading on after every mistake, so that all of them are found and what can be read is kept.
//!
//! The parser keeps its own stack: a document of any depth cannot overflow ours. After a mistake it continues in
//! the way that loses least: a missing comma or colon is taken as written, a value that cannot be read becomes a
//! [`Kind::Missing`] node, a string without its closing quote ends before what closes the line. One mistake is one
//! problem: where the parser has lost its way, it is quiet up to the end of the line.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::{Kind, MAX_DEPTH, Node, Problem, ProblemKind, Spelling, Tree};
use crate::source::{Source, Span};
use crate::value::Value;

/// How many problems of a text are kept.
const MOST_PROBLEMS: usize = 1000;
/// Python refuses to read an integer of more digits.
const MOST_DIGITS: usize = 4300;

fn spelling(escaped: bool) -> Spelling {
    if escaped { Spelling::Escaped } else { Spelling::Plain }
}

/// Reads a document.
pub fn parse(source: Arc<Source>) -> Tree {
    let text = source.text();
    let mut parser = Parser {
        source: text,
        text: text.as_bytes(),
        at: if source.has_byte_order_mark() { '\u{feff}'.len_utf8() } else { 0 },
        nodes: Vec::with_capacity(text.len() / 10 + 1),
        stack: Vec::new(),
        problems: Vec::new(),
        quiet: 0,
        conflict: false,
        endless: false,
        counts: 0,
    };
    parser.document();
    let Parser { nodes, mut problems, .. } = parser;
    problems.sort_by_key(|problem| problem.span);
    // What follows a string that ended too late is read twice.
    problems.dedup();
    Tree {
        source,
        nodes,
        texts: HashMap::new(),
        problems,
        comments: Vec::new(),
        messages: Vec::new(),
        wide: OnceLock::new(),
    }
}

/// Reads a message as Python's `json.loads` would: strict JSON, and `NaN`, `Infinity` and unpaired surrogates.
///
/// # Errors
/// The first problem with its byte offset, in words that follow "it is".
pub fn read_value(bytes: &[u8]) -> Result<Value, String> {
    Ok(read_tree(bytes)?.root().to_value())
}

/// The tree of JSON as Python's `json` reads it.
///
/// # Errors
/// As [`read_value`].
pub fn read_tree(bytes: &[u8]) -> Result<Tree, String> {
    let source = Arc::new(Source::from_bytes("message", bytes.to_vec()));
    if let Some(place) = source.undecodable().first() {
        return Err(format!("not UTF-8 at byte {}", place.start));
    }
    if source.has_byte_order_mark() {
        return Err("not valid JSON: it begins with a byte order mark".to_owned());
    }
    let tree = parse(source);
    let mistake = tree.mistakes().next().cloned();
    match mistake {
        Some(problem) if problem.kind == ProblemKind::TooDeep => {
            Err(format!("nested more than {MAX_DEPTH} levels deep (byte {})", problem.span.start))
        }
        Some(problem) => Err(format!("not valid JSON (byte {})", problem.span.start)),
        None => Ok(tree),
    }
}

struct Parser<'s> {
    source: &'s str,
    /// The bytes of `source`.
    text: &'s [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Frame>,
    problems: Vec<Problem>,
    /// Problems before this byte are consequences of one that is known.
    quiet: usize,
    /// There is a merge conflict: brackets need not match.
    conflict: bool,
    /// The rest of the text has no end of a merge conflict.
    endless: bool,
    /// How often the brackets of the rest of the text have been counted.
    counts: u8,
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

/// Bytes that begin something to pass over that is not white space: comments, conflict markers, other spaces.
const ODD: [bool; 256] = {
    let mut table = [false; 256];
    let bytes = *b"/#<=>|\x0b\x0c\xc2\xe1\xe2\xe3\xef";
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
};

/// How often the brackets of the rest of a text are counted to tell a wrong bracket from a missing one.
const MOST_COUNTS: u8 = 4;

/// Bytes that a word or number cannot contain.
const fn ends_word(byte: u8) -> bool {
    ENDS[byte as usize] == 1
}

/// 1 for bytes that end a word; 2 for those that begin characters of which some do.
const ENDS: [u8; 256] = {
    let mut table = [0; 256];
    let bytes = *b" \t\n\r,:;=[]{}\"'/#\x0b\x0c";
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = 1;
        at += 1;
    }
    let bytes = *b"\xc2\xe1\xe2\xe3\xef";
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = 2;
        at += 1;
    }
    table
};

impl Parser<'_> {
    fn document(&mut self) {
        self.skip_space();
        if self.at >= self.text.len() {
            self.problem(ProblemKind::Empty, self.at, self.at);
            self.missing();
            return;
        }
        if self.yaml() {
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
                Expect::After => match self.stack.last().map(|frame| frame.object) {
                    Some(true) => self.after_member(),
                    Some(false) => self.after_item(),
                    None if self.at < self.text.len() && self.goes_on_after_end() => Expect::After,
                    None => return,
                },
            };
        }
    }

    /// Reads what follows the document; true when the document was closed too early and goes on.
    fn goes_on_after_end(&mut self) -> bool {
        let start = self.at;
        let mut closed = start;
        while let Some(b'}' | b']') = self.peek() {
            self.at += 1;
            closed = self.at;
            self.skip_space();
        }
        let root = self.nodes[0];
        let mut rest = self.text[self.at..].iter().filter(|byte| !byte.is_ascii_whitespace());
        let goes_on = match root.kind {
            Kind::Object => rest.next() == Some(&b',') && rest.next() == Some(&b'"'),
            Kind::Array => rest.next() == Some(&b',') && rest.next().is_some(),
            _ => false,
        };
        if goes_on {
            let first = root.end as usize - 1;
            self.problem(ProblemKind::ExtraBracket, first, closed.max(first + 1));
            self.stack.push(Frame { node: 0, object: root.kind == Kind::Object });
            return true;
        }
        if closed > start {
            self.problem(ProblemKind::Unopened, start, closed);
        }
        if self.at < self.text.len() {
            self.problem(ProblemKind::TrailingContent, self.at, self.text.trim_ascii_end().len());
        }
        false
    }

    /// Whether the text is YAML, which is one problem.
    fn yaml(&mut self) -> bool {
        let rest = &self.text[self.at..];
        if matches!(rest[0], b'{' | b'[' | b'"') {
            return false;
        }
        let line = rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())].trim_ascii_end();
        let key = line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte)).count();
        let is_yaml = line.starts_with(b"- ")
            || line.starts_with(b"%YAML")
            || line.starts_with(b"---")
            || key > 0 && line.get(key) == Some(&b':') && matches!(line.get(key + 1), None | Some(b' '));
        if is_yaml {
            self.problems.retain(|problem| problem.kind != ProblemKind::Comment);
            self.problem(ProblemKind::Yaml, self.at, self.at + line.len());
            self.at = self.text.len();
            self.missing();
        }
        is_yaml
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        loop {
            while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
                self.at += 1;
            }
            match self.peek() {
                Some(byte) if ODD[byte as usize] && self.skip_odd(byte) => {}
                _ => return,
            }
        }
    }

    #[cold]
    fn skip_odd(&mut self, byte: u8) -> bool {
        match byte {
            b'/' | b'#' => self.skip_comment(),
            b'<' | b'=' | b'>' | b'|' => self.skip_marker(),
            _ => self.skip_odd_space(),
        }
    }

    /// What version control writes around the two sides of a conflict, both of which are read.
    fn skip_marker(&mut self) -> bool {
        let (start, rest) = (self.at, &self.text[self.at..]);
        let length = rest.iter().take_while(|&&byte| byte == rest[0]).take(8).count();
        if length != 7 || (start > 0 && self.text[start - 1] != b'\n') {
            return false;
        }
        let line = |at: usize| {
            let rest = &self.text[at..];
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            Span::new(at, at + rest[..length].trim_ascii_end().len())
        };
        let span = line(start);
        let opens = rest[0] == b'<' && start >= self.quiet && !self.endless;
        let end = if opens { memchr::memmem::find(rest, b"\n>>>>>>>").map(|at| line(start + at + 1)) } else { None };
        self.problem_about(ProblemKind::ConflictMarker, span, end);
        self.endless |= opens && end.is_none();
        self.conflict = true;
        self.at = span.end as usize;
        if let Some(end) = end {
            // Its line end included: that is where a comma would be missing.
            self.quiet = end.end as usize + 1;
        }
        true
    }

    /// Spaces that JSON does not know.
    fn skip_odd_space(&mut self) -> bool {
        let start = self.at;
        let rest = self.source.get(start..).unwrap_or_default();
        let length = rest.find(|character| !is_odd_space(character)).unwrap_or(rest.len());
        self.at += length;
        if length > 0 {
            self.problem(ProblemKind::OddSpace, start, self.at);
        }
        length > 0
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
        let is_quiet = match kind {
            ProblemKind::TooDeep
            | ProblemKind::NonFinite
            | ProblemKind::LoneSurrogate
            | ProblemKind::OversizedInteger => false,
            ProblemKind::Unclosed
            | ProblemKind::Truncated
            | ProblemKind::Unopened
            | ProblemKind::ExtraBracket
            | ProblemKind::WrongBracket
            | ProblemKind::TrailingContent
                if self.conflict =>
            {
                true
            }
            _ => (span.start as usize) < self.quiet,
        };
        if !is_quiet && self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem { kind, span, related });
        }
    }

    /// Says nothing more about this line.
    fn hush(&mut self) {
        if self.at >= self.quiet {
            let rest = &self.text[self.at..];
            self.quiet = self.at + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        }
    }

    fn push(&mut self, kind: Kind, start: usize) -> usize {
        let id = self.nodes.len();
        let span = Span::new(start, self.at);
        self.nodes.push(Node {
            kind,
            spelling: Spelling::Plain,
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
                // The end of the text is reported once, by whoever closes what is open.
                if self.stack.is_empty() && self.problems.is_empty() {
                    self.problem(ProblemKind::MissingValue, start, start);
                }
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

    /// Ends everything that is open at the end of the text, which is one problem.
    fn truncated(&mut self) -> Expect {
        if let Some(frame) = self.stack.last() {
            let opened = self.nodes[frame.node as usize].start as usize;
            match self.closed_by_another() {
                Some((opened, place)) => {
                    self.problem_about(ProblemKind::Unclosed, Span::empty(place), Some(Span::new(opened, opened + 1)));
                }
                None => {
                    let here = Span::empty(self.text.trim_ascii_end().len().max(opened + 1));
                    self.problem_about(ProblemKind::Truncated, here, Some(Span::new(opened, opened + 1)));
                }
            }
        }
        while !self.stack.is_empty() {
            self.finish();
        }
        Expect::After
    }

    /// The first bracket whose partner belongs to another, by the look of the lines, and where its own should be.
    fn closed_by_another(&self) -> Option<(usize, usize)> {
        let starts: Vec<usize> =
            std::iter::once(0).chain(memchr::memchr_iter(b'\n', self.text).map(|at| at + 1)).collect();
        let indents: Vec<usize> = starts
            .iter()
            .map(|&start| self.text[start..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count())
            .collect();
        let line = |at: u32| starts.partition_point(|&start| start <= at as usize) - 1;
        let leads = |at: usize, line: usize| starts[line] + indents[line] == at;
        let is_open = |id: usize| self.stack.binary_search_by_key(&(id as u32), |frame| frame.node).is_ok();
        let (id, node) = self
            .nodes
            .iter()
            .enumerate()
            .filter(|&(id, node)| matches!(node.kind, Kind::Array | Kind::Object) && !is_open(id))
            .filter(|(_, node)| {
                let (from, to) = (line(node.start), line(node.end - 1));
                indents[to] < indents[from] && leads(node.end as usize - 1, to)
            })
            .min_by_key(|(_, node)| node.end)?;
        let least = indents[line(node.start)];
        let (mut child, mut place) = (id + 1, node.start + 1);
        while child < node.next as usize {
            let start = self.nodes[child].start;
            let line = line(start);
            if start > node.start
                && starts[line] > node.start as usize
                && leads(start as usize, line)
                && indents[line] <= least
            {
                break;
            }
            place = self.nodes[child].end;
            child = self.nodes[child].next as usize;
        }
        Some((node.start as usize, place as usize))
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
            Some(b';') => self.semicolon(b']', Expect::Value),
            None => self.truncated(),
            Some(_) => self.no_comma(Expect::Value),
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
            Some(b';') => self.semicolon(b'}', Expect::Key),
            None => self.truncated(),
            Some(_) => self.no_comma(Expect::Key),
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

    fn semicolon(&mut self, end: u8, next: Expect) -> Expect {
        let start = self.at;
        self.at += 1;
        self.skip_space();
        let is_last = self.peek() == Some(end);
        let kind = if is_last { ProblemKind::TrailingComma } else { ProblemKind::Semicolon };
        self.problem(kind, start, start + 1);
        if is_last { Expect::After } else { next }
    }

    /// After an item or member, something that is neither a comma nor the end.
    #[cold]
    fn no_comma(&mut self, next: Expect) -> Expect {
        if self.end_string_early() {
            return Expect::After;
        }
        let start = self.at;
        let last = self.nodes.last().map_or(0, |node| node.end);
        let is_lost = self.problems.last().is_some_and(|problem| {
            let broken = [ProblemKind::UnknownWord, ProblemKind::UnknownCharacter, ProblemKind::MalformedNumber];
            problem.span.end == last && broken.contains(&problem.kind)
        });
        if is_lost {
            self.hush();
        }
        if self.begins(next) {
            let end = self.nodes.last().map_or(start, |node| node.end as usize);
            // The last node may be a closed array or object: the comma belongs behind its bracket.
            let place = self.behind_item(start).max(end);
            self.problem(ProblemKind::MissingComma, place, place);
            return next;
        }
        self.pass_over();
        Expect::After
    }

    /// The end of what stands before `at`, comments left out.
    fn behind_item(&self, at: usize) -> usize {
        let mut end = self.text[..at].trim_ascii_end().len();
        for problem in self.problems.iter().rev().take(20) {
            let comment =
                matches!(problem.kind, ProblemKind::Comment | ProblemKind::OddSpace | ProblemKind::ConflictMarker);
            if !comment || problem.span.end as usize != end {
                break;
            }
            end = self.text[..problem.span.start as usize].trim_ascii_end().len();
        }
        end
    }

    /// Reports what does not belong here, and passes over it.
    fn pass_over(&mut self) {
        let start = self.at;
        self.at = self.odd_word_end();
        let kind = if self.text[start].is_ascii_alphanumeric() || self.text[start] >= 0x80 {
            ProblemKind::Misplaced
        } else {
            ProblemKind::UnknownCharacter
        };
        self.problem(kind, start, self.at);
        self.hush();
    }

    /// Whether something that can be read begins here: a key or a value.
    fn begins(&self, next: Expect) -> bool {
        let Some(byte) = self.peek() else { return false };
        if matches!(byte, b'"' | b'\'' | b'{' | b'[') || self.typographic_quote(self.at) > 0 {
            return true;
        }
        let end = self.odd_word_end();
        if next == Expect::Key {
            return self.is_key(end);
        }
        classify(&self.text[self.at..end]).is_ok()
            || (self.text.get(end) == Some(&b'"') && is_prefix(&self.text[self.at..end]))
    }

    /// Whether a word that ends at `end` has its colon.
    fn is_key(&self, end: usize) -> bool {
        let rest = &self.text[end..];
        let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
        let space = rest.iter().take(100).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        matches!(rest.get(space), Some(b':' | b'='))
    }

    /// A `}` in an array or a `]` in an object: typed for the other, one too many, or one is missing before it.
    #[cold]
    fn wrong_bracket(&mut self, object: bool) -> Expect {
        let (start, depth) = (self.at, self.stack.len());
        let Some(&frame) = self.stack.last() else { return Expect::After };
        let opened = self.nodes[frame.node as usize].start as usize;
        let opened = Span::new(opened, opened + 1);
        let partner = self.stack.iter().rposition(|frame| frame.object == object);
        // How many brackets must be open behind this one for the rest of the text to close them all.
        let left = if self.counts < MOST_COUNTS { self.closed_in(start + 1) } else { None };
        self.counts = self.counts.saturating_add(1);
        if partner.is_some() && (left == partner || left != Some(depth - 1) && left != Some(depth)) {
            let place = self.behind_item(start);
            self.problem_about(ProblemKind::Unclosed, Span::empty(place), Some(opened));
            while self.stack.last().is_some_and(|frame| frame.object != object) {
                self.finish();
            }
            return Expect::After;
        }
        if left == Some(depth) {
            self.problem(ProblemKind::Unopened, start, start + 1);
            self.at += 1;
            return Expect::After;
        }
        self.problem_about(ProblemKind::WrongBracket, Span::new(start, start + 1), Some(opened));
        self.close()
    }

    /// How many brackets the text from `at` closes that it does not open.
    fn closed_in(&self, at: usize) -> Option<usize> {
        let (mut open, mut in_string, mut escaped) = (0isize, false, false);
        for &byte in &self.text[at..] {
            if in_string {
                in_string = escaped || !matches!(byte, b'"' | b'\n');
                escaped = !escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' => (in_string, escaped) = (true, false),
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
        }
        usize::try_from(-open).ok()
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
                self.skip_nested();
                self.problem(ProblemKind::UnquotedKey, start, self.at);
                self.push_plain(start, self.at);
                Expect::Colon
            }
            Some(_) => self.odd_key(),
        }
    }

    /// A key that does not begin with a quote.
    #[cold]
    fn odd_key(&mut self) -> Expect {
        let start = self.at;
        if self.typographic() {
            return Expect::Colon;
        }
        let end = self.odd_word_end();
        let quote = self.text.get(end).copied();
        if matches!(quote, Some(b'"' | b'\'')) && is_prefix(&self.text[start..end]) && !self.is_key(end) {
            self.prefixed(end);
            return Expect::Colon;
        }
        if !self.is_key(end) && !matches!(self.after_space(end), Some(b',' | b'}' | b']') | None) {
            self.pass_over();
            return Expect::FirstKey;
        }
        self.at = end;
        if quote == Some(b'"') {
            self.problem(ProblemKind::NoOpeningQuote, start, end + 1);
            self.push_plain(start, end);
            self.at += 1;
        } else {
            let kind = if self.is_key(end) { ProblemKind::UnquotedKey } else { ProblemKind::Misplaced };
            self.problem(kind, start, end);
            self.push_plain(start, end);
            if kind == ProblemKind::Misplaced {
                self.hush();
            }
        }
        Expect::Colon
    }

    /// The next byte after spaces on the line from `at`; none at its end.
    fn after_space(&self, at: usize) -> Option<u8> {
        self.text[at..].iter().copied().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r')).filter(|&byte| byte != b'\n')
    }

    /// A string without quotes of its own.
    fn push_plain(&mut self, start: usize, end: usize) {
        let key = self.push(Kind::String, start);
        self.nodes[key].end = Span::empty(end).end;
        self.nodes[key].open = true;
        self.nodes[key].braces = true;
    }

    fn colon(&mut self) -> Expect {
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Expect::Value
            }
            _ => self.no_colon(),
        }
    }

    #[cold]
    fn no_colon(&mut self) -> Expect {
        if self.end_key_early() {
            return Expect::Colon;
        }
        let start = self.at;
        let key = self.nodes.last().map_or(Span::empty(start), |node| Span { start: node.start, end: node.end });
        match self.peek() {
            Some(b'=') => {
                self.at += if self.text[start..].starts_with(b"=>") { 2 } else { 1 };
                self.problem(ProblemKind::EqualsSign, start, self.at);
                Expect::Value
            }
            Some(b',' | b'}' | b']') => {
                let known = self.problems.last().is_some_and(|problem| problem.span == key);
                if !known {
                    self.problem_about(ProblemKind::KeyAlone, key, None);
                }
                self.missing()
            }
            None => self.missing(),
            Some(_) if self.begins(Expect::Value) => {
                let end = key.end as usize;
                self.problem(ProblemKind::MissingColon, end, end);
                Expect::Value
            }
            Some(_) => {
                self.pass_over();
                Expect::Colon
            }
        }
    }

    /// A key without its closing quote that has taken in its colon: `"queue: "images"`.
    fn end_key_early(&mut self) -> bool {
        let Some(node) = self.nodes.last() else { return false };
        let (start, end) = (node.start as usize, node.end as usize);
        let is_adjacent = end == self.at && !matches!(self.peek(), Some(b',' | b'}' | b']' | b'=') | None);
        if self.text[start] != b'"' || !(node.open || is_adjacent && end > start + 1) {
            return false;
        }
        let inner = &self.text[start + 1..end - usize::from(!node.open)];
        let length = inner.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"_-. ".contains(byte)).count();
        if length == 0 || inner.get(length) != Some(&b':') {
            return false;
        }
        self.end_early(start, start + 1 + length);
        true
    }

    /// A string without its closing quote that has taken in what follows it: `"images, "service"`.
    fn end_string_early(&mut self) -> bool {
        let Some(node) = self.nodes.last() else { return false };
        let (start, end) = (node.start as usize, node.end as usize);
        let is_string = node.kind == Kind::String && !node.open && self.text[start] == b'"';
        if !is_string || end != self.at || end < start + 2 {
            return false;
        }
        let cut = self.cut(start, end - 1);
        if cut >= self.text[..end - 1].trim_ascii_end().len() {
            return false;
        }
        self.end_early(start, cut);
        true
    }

    /// Ends the last string at `end`, where its quote is missing.
    fn end_early(&mut self, start: usize, end: usize) {
        let id = self.nodes.len() - 1;
        let span = Span::new(start, end);
        let known = self
            .problems
            .last()
            .is_some_and(|problem| problem.kind == ProblemKind::UnterminatedString && problem.span.start == span.start);
        match self.problems.last_mut().filter(|_| known) {
            Some(problem) => problem.span = span,
            None => self.problem(ProblemKind::UnterminatedString, start, end),
        }
        self.nodes[id].end = span.end;
        self.nodes[id].open = true;
        self.at = end;
    }

    /// Where a string from `start` ends that has no closing quote up to `end`: before the commas and brackets at the
    /// end that what is open waits for.
    fn cut(&self, start: usize, end: usize) -> usize {
        const MOST: usize = 32;
        let line = self.text[start + 1..end].trim_ascii_end();
        let tail = line.iter().rev().take(MOST).take_while(|byte| b" \t,}]".contains(byte)).count();
        let first = line.len() - tail;
        if tail == 0 {
            return start + 1 + line.len();
        }
        let count = |byte| line[..first].iter().filter(|&&other| other == byte).count();
        let mut braces = count(b'{').saturating_sub(count(b'}'));
        let mut brackets = count(b'[').saturating_sub(count(b']'));
        for at in first..line.len() {
            match line[at] {
                // `{x}`: part of the text.
                b'}' if braces > 0 => braces -= 1,
                b']' if brackets > 0 => brackets -= 1,
                b' ' | b'\t' => {}
                _ if self.fits(&line[at..]) => return start + 1 + line[..at].trim_ascii_end().len(),
                _ => {}
            }
        }
        start + 1 + line.len()
    }

    /// Whether closing brackets and commas close what is open.
    fn fits(&self, tail: &[u8]) -> bool {
        let mut depth = self.stack.len();
        for &byte in tail {
            if matches!(byte, b'}' | b']') {
                if depth == 0 || self.stack[depth - 1].object != (byte == b'}') {
                    return false;
                }
                depth -= 1;
            }
        }
        true
    }

    fn string(&mut self) {
        let start = self.at;
        self.at += 1;
        let (mut escaped, mut open, mut braces) = (false, false, false);
        // Up to here line breaks belong to the string.
        let mut close = 0;
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
                    // `\u007b` is a brace, too, and what is no escape may be read as anything.
                    braces |= match self.text.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => false,
                        Some(b'u') => {
                            matches!(self.text.get(self.at + 2..self.at + 6), Some([b'0', b'0', b'7', _]) | None)
                        }
                        _ => true,
                    };
                    self.escape();
                }
                Some(b'\n') if self.at < close => self.at += 1,
                Some(b'\r') if self.text.get(self.at + 1) == Some(&b'\n') => self.at += 1,
                Some(b'\n') | None => {
                    if let Some(end) = self.closing_quote() {
                        close = end;
                        let line_end = self.at - usize::from(self.text[self.at - 1] == b'\r');
                        let whole = Some(Span::new(start, close + 1));
                        self.problem_about(ProblemKind::LineBreak, Span::new(line_end, self.at + 1), whole);
                        continue;
                    }
                    open = true;
                    let (line_end, end) = (self.at, self.cut(start, self.at));
                    self.at = end;
                    // A text that ends in the middle of a string is reported as such.
                    if line_end < self.text.len() || self.stack.is_empty() || end < line_end {
                        self.problem(ProblemKind::UnterminatedString, start, end);
                    }
                    break;
                }
                Some(_) => {
                    self.problem(ProblemKind::ControlCharacter, self.at, self.at + 1);
                    self.at += 1;
                }
            }
        }
        let id = self.push(Kind::String, start);
        self.nodes[id].spelling = spelling(escaped);
        self.nodes[id].open = open;
        self.nodes[id].braces = braces;
    }

    /// The closing quote of a string that goes on after the line break here.
    fn closing_quote(&self) -> Option<usize> {
        let mut at = self.at;
        for _ in 0..50 {
            let start = at + 1;
            let rest = self.text.get(start..)?;
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            let is_quote = |at: usize| at == 0 || line[at - 1] != b'\\';
            let mut quotes = memchr::memchr_iter(b'"', line).filter(|&at| is_quote(at));
            let Some(quote) = quotes.next() else {
                if matches!(line.trim_ascii().first(), Some(b'{' | b'}' | b'[' | b']')) {
                    return None;
                }
                at = start + end;
                continue;
            };
            let next = line[quote + 1..].trim_ascii_start().first();
            let closes = quotes.count() % 2 == 0 && matches!(next, None | Some(b',' | b'}' | b']' | b':'));
            return closes.then_some(start + quote);
        }
        None
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
                    let digits = self.text[self.at + 1..].iter().take(4).take_while(|byte| byte.is_ascii_hexdigit());
                    self.at += 1 + digits.count();
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
        if open {
            self.at = self.cut(start, self.at);
            self.problem(ProblemKind::UnterminatedString, start, self.at);
        } else {
            self.problem(ProblemKind::SingleQuotes, start, self.at);
        }
        let id = self.push(Kind::String, start);
        self.nodes[id].spelling = spelling(escaped);
        self.nodes[id].open = open;
        self.nodes[id].braces = true;
    }

    /// The end of the word or number that begins here, if it is one; at least one character.
    fn word_end(&self) -> usize {
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|&byte| ENDS[byte as usize] != 0).unwrap_or(rest.len());
        self.at + length.max(utf8_width(rest[0]).min(rest.len()))
    }

    /// A number, a word, or anything else up to the next character with a meaning.
    fn word(&mut self) {
        let start = self.at;
        let end = self.word_end();
        match classify(&self.text[start..end]) {
            Ok((kind, problem)) => {
                self.at = end;
                if let Some(problem) = problem {
                    self.problem(problem, start, end);
                }
                self.push(kind, start);
            }
            Err(_) => self.odd_word(),
        }
    }

    /// The end of whatever begins here: before white space, quotes, and what has or could have a meaning.
    fn odd_word_end(&self) -> usize {
        let rest = self.source.get(self.at..).unwrap_or_default();
        let ends = |character: char| {
            if character.is_ascii() {
                ends_word(character as u8)
            } else {
                is_odd_space(character) || is_typographic(character)
            }
        };
        let end = rest.char_indices().skip(1).find(|&(_, character)| ends(character));
        end.map_or(self.text.len(), |(at, _)| self.at + at)
    }

    /// Something that is neither a number nor a word of JSON.
    #[cold]
    fn odd_word(&mut self) {
        let start = self.at;
        if self.typographic() {
            return;
        }
        let end = self.odd_word_end();
        let word = &self.text[start..end];
        let quoted = matches!(self.text.get(end), Some(b'"' | b'\''));
        if quoted && is_prefix(word) {
            return self.prefixed(end);
        }
        self.at = end;
        match classify(word) {
            Ok((kind, problem)) => {
                if let Some(problem) = problem {
                    self.problem(problem, start, end);
                }
                self.push(kind, start);
            }
            Err(ProblemKind::UnknownWord)
                if self.text.get(end) == Some(&b'"')
                    && matches!(self.after_space(end + 1), Some(b',' | b'}' | b']') | None) =>
            {
                self.problem(ProblemKind::NoOpeningQuote, start, end + 1);
                self.push_plain(start, end);
                self.at += 1;
            }
            Err(problem) => {
                self.problem(problem, start, end);
                self.push(Kind::Missing, start);
            }
        }
    }

    /// A string with the prefix of a programming language.
    fn prefixed(&mut self, end: usize) {
        let start = self.at;
        self.at = end;
        let count = self.problems.len();
        self.problem(ProblemKind::StringPrefix, start, end);
        let is_known = self.problems.len() > count;
        if self.text[end] == b'"' {
            self.string()
        } else {
            self.single_quoted()
        }
        if let (true, Some(problem), Some(node)) = (is_known, self.problems.get_mut(count), self.nodes.last()) {
            problem.related = Some(Span { start: node.start, end: node.end });
        }
    }

    /// The width of the typographic quote at `at`; 0 if there is none.
    fn typographic_quote(&self, at: usize) -> usize {
        let character = self.source.get(at..).and_then(|rest| rest.chars().next());
        character.filter(|&character| is_typographic(character)).map_or(0, char::len_utf8)
    }

    /// A string in typographic quotes.
    fn typographic(&mut self) -> bool {
        let (start, width) = (self.at, self.typographic_quote(self.at));
        if width == 0 {
            return false;
        }
        let rest = &self.source[start + width..];
        let inner = start + width;
        let ends = |character: char| matches!(character, '"' | '\n') || is_typographic(character);
        let end = match rest.char_indices().find(|&(_, character)| ends(character)) {
            Some((length, quote)) if quote != '\n' => {
                self.at = inner + length + quote.len_utf8();
                self.problem(ProblemKind::TypographicQuotes, start, self.at);
                inner + length
            }
            line_end => {
                self.at = self.cut(inner - 1, inner + line_end.map_or(rest.len(), |(length, _)| length));
                self.problem(ProblemKind::UnterminatedString, start, self.at);
                self.at
            }
        };
        self.push_plain(inner, end);
        let id = self.nodes.len() - 1;
        self.nodes[id].spelling = spelling(self.text[inner..end].contains(&b'\\'));
        true
    }
}

/// What a number or word is, and what is odd about one that can be read.
fn classify(word: &[u8]) -> Result<(Kind, Option<ProblemKind>), ProblemKind> {
    match word {
        b"true" | b"false" => Ok((Kind::Bool, None)),
        b"null" => Ok((Kind::Null, None)),
        b"NaN" | b"Infinity" | b"-Infinity" => Ok((Kind::Number, Some(ProblemKind::NonFinite))),
        _ => match word[0] {
            b'0'..=b'9' | b'-' => number(word).map(|problem| (Kind::Number, problem)),
            b'+' | b'.' => Err(ProblemKind::MalformedNumber),
            byte if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => Err(ProblemKind::UnknownWord),
            _ => Err(ProblemKind::UnknownCharacter),
        },
    }
}

/// What Python writes before the quote of a string.
fn is_prefix(word: &[u8]) -> bool {
    matches!(word.to_ascii_lowercase().as_slice(), b"b" | b"r" | b"u" | b"f" | b"br" | b"rb" | b"fr" | b"rf")
}

/// Spaces, visible or not, that JSON does not take for any.
fn is_odd_space(character: char) -> bool {
    match character {
        '\u{b}' | '\u{c}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => true,
        _ => !character.is_ascii() && character.is_whitespace(),
    }
}

/// Quotes that word processors make of `"` and `'`.
fn is_typographic(character: char) -> bool {
    matches!(character, '\u{201c}'..='\u{201f}' | '\u{2018}'..='\u{201b}' | '\u{ab}' | '\u{bb}')
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
