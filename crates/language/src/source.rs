//! Files as the user wrote them: text, byte spans, and the lines and columns they fall on.

use std::sync::OnceLock;

/// A range of bytes of a [`Source`], end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes from `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: offset(start), end: offset(end) }
    }

    /// The empty span before byte `at`.
    pub fn empty(at: usize) -> Self {
        Self::new(at, at)
    }

    /// As a range for slicing.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Offsets are 32 bits wide; [`Source::MAX_BYTES`] keeps every file below that.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// A place in a file, both numbers counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, in the unit that was asked for.
    pub column: u32,
}

/// What a column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of UTF-8.
    Utf8,
    /// Code units of UTF-16, as language-server clients count.
    Utf16,
    /// Characters (Unicode scalar values), as people and compilers count.
    Char,
}

/// One file: its name as the user gave it, and its text.
///
/// Text that is not UTF-8 is kept with U+FFFD in place of what could not be read, and the places are remembered,
/// so that everything after this point can rely on `str`.
pub struct Source {
    name: String,
    text: String,
    undecodable: Vec<Span>,
    lines: OnceLock<Vec<u32>>,
    /// Characters, and those among them that are two units of UTF-16, before each block of bytes: to count from the
    /// start of the line is too slow for a thousand places on one line of fifty megabytes.
    blocks: OnceLock<Vec<(u32, u32)>>,
}

/// Without the text, which may hold secrets.
impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.text.len())
    }
}

impl Source {
    /// The largest file that is read, in bytes, unless the settings say otherwise.
    pub const MAX_BYTES: u64 = 64 << 20;

    /// A file from its bytes.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let (text, undecodable) = match String::from_utf8(bytes) {
            Ok(text) => (text, Vec::new()),
            Err(error) => decode_lossily(error.as_bytes()),
        };
        Self { name: name.into(), text, undecodable, lines: OnceLock::new(), blocks: OnceLock::new() }
    }

    /// A file from text.
    pub fn from_text(name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        Self { name, text, undecodable: Vec::new(), lines: OnceLock::new(), blocks: OnceLock::new() }
    }

    /// The same text by another name.
    pub fn under(&self, name: impl Into<String>) -> Self {
        Self { undecodable: self.undecodable.clone(), ..Self::from_text(name, self.text.as_str()) }
    }

    /// The name the user knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty when the span does not lie in this file.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }

    /// Where U+FFFD stands for bytes that are not UTF-8.
    pub fn undecodable(&self) -> &[Span] {
        &self.undecodable
    }

    /// Whether the text begins with a byte order mark.
    pub fn has_byte_order_mark(&self) -> bool {
        self.text.starts_with('\u{feff}')
    }

    /// Offsets of the first byte of each line.
    pub fn line_starts(&self) -> &[u32] {
        self.lines.get_or_init(|| {
            std::iter::once(0)
                .chain(memchr::memchr_iter(b'\n', self.text.as_bytes()).map(|at| offset(at + 1)))
                .collect()
        })
    }

    /// Where byte `at` is, for people: the name, the line and the column in characters.
    pub fn place(&self, at: u32) -> String {
        let Position { line, column } = self.position(at, Unit::Char);
        format!("{}:{line}:{column}", self.name)
    }

    /// Line and column of byte `at`; an offset past the end is the end.
    pub fn position(&self, at: u32, unit: Unit) -> Position {
        let mut at = (at as usize).min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let starts = self.line_starts();
        let line = starts.partition_point(|&start| start as usize <= at) - 1;
        let start = starts[line] as usize;
        let (chars, pairs) = match unit {
            Unit::Utf8 => (offset(at - start), 0),
            _ if at - start < Self::BLOCK => characters(&self.text.as_bytes()[start..at]),
            _ => {
                let ((chars, pairs), before) = (self.characters_before(at), self.characters_before(start));
                (chars - before.0, pairs - before.1)
            }
        };
        let column = if unit == Unit::Utf16 { chars + pairs } else { chars };
        Position { line: offset(line + 1), column: column + 1 }
    }

    const BLOCK: usize = 4096;

    /// The counts before byte `at`.
    fn characters_before(&self, at: usize) -> (u32, u32) {
        let bytes = self.text.as_bytes();
        let blocks = self.blocks.get_or_init(|| {
            let mut sums = vec![(0, 0)];
            let mut sum = (0, 0);
            for block in bytes.chunks(Self::BLOCK) {
                let (chars, pairs) = characters(block);
                sum = (sum.0 + chars, sum.1 + pairs);
                sums.push(sum);
            }
            sums
        });
        let block = at / Self::BLOCK;
        let (chars, pairs) = characters(&bytes[block * Self::BLOCK..at]);
        (blocks[block].0 + chars, blocks[block].1 + pairs)
    }

    /// Byte offset of a position; beyond the end of a line is the line's end, beyond the last line the text's end.
    pub fn offset(&self, position: Position, unit: Unit) -> u32 {
        let starts = self.line_starts();
        let line = position.line.saturating_sub(1) as usize;
        let Some(&start) = starts.get(line) else {
            return offset(self.text.len());
        };
        let mut left = position.column.saturating_sub(1) as usize;
        let mut at = start as usize;
        for character in self.text[at..].chars() {
            let width = match unit {
                Unit::Utf8 => character.len_utf8(),
                Unit::Utf16 => character.len_utf16(),
                Unit::Char => 1,
            };
            if left < width || character == '\n' {
                break;
            }
            left -= width;
            at += character.len_utf8();
        }
        offset(at)
    }
}

/// How many characters begin in a piece of UTF-8, and how many of them are two units of UTF-16.
fn characters(bytes: &[u8]) -> (u32, u32) {
    bytes
        .iter()
        .fold((0, 0), |(chars, pairs), byte| (chars + u32::from(byte & 0xc0 != 0x80), pairs + u32::from(*byte >= 0xf0)))
}

fn decode_lossily(bytes: &[u8]) -> (String, Vec<Span>) {
    const MOST: usize = 100;
    let mut text = String::with_capacity(bytes.len());
    let mut places: Vec<Span> = Vec::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            let start = text.len();
            text.push(char::REPLACEMENT_CHARACTER);
            // Neighbours are one mistake.
            let neighbour = places.last_mut().filter(|last| last.end as usize == start);
            if let Some(neighbour) = neighbour {
                neighbour.end = offset(text.len());
            } else if places.len() < MOST {
                places.push(Span::new(start, text.len()));
            }
        }
    }
    (text, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_what_was_asked_for() {
        let source = Source::from_text("x", "ab\né中😀z\r\nlast");
        let at = |needle: &str| source.text().find(needle).expect("is in the text") as u32;
        for (needle, line, utf8, utf16, chars) in
            [("a", 1, 1, 1, 1), ("é", 2, 1, 1, 1), ("😀", 2, 6, 3, 3), ("z", 2, 10, 5, 4), ("last", 3, 1, 1, 1)]
        {
            for (unit, column) in [(Unit::Utf8, utf8), (Unit::Utf16, utf16), (Unit::Char, chars)] {
                let position = Position { line, column };
                assert_eq!(source.position(at(needle), unit), position, "{needle} {unit:?}");
                assert_eq!(source.offset(position, unit), at(needle), "{needle} {unit:?}");
            }
        }
    }

    #[test]
    fn columns_of_long_lines_are_counted_in_blocks() {
        let line = "aé中😀".repeat(Source::BLOCK);
        let source = Source::from_text("x", format!("first 😀\n{line}\n{line}"));
        for (start, number) in [(11, 2), (12 + line.len(), 3)] {
            for at in (0..line.len()).step_by(10 * 997) {
                let before = &line[..at];
                for (unit, units) in
                    [(Unit::Utf16, before.encode_utf16().count()), (Unit::Char, before.chars().count())]
                {
                    let position = source.position(offset(start + at), unit);
                    assert_eq!((position.line, position.column), (number, offset(units + 1)), "{at} {unit:?}");
                }
            }
        }
    }

    #[test]
    fn text_that_is_not_utf8_keeps_its_places() {
        let source = Source::from_bytes("x", b"a\xff\xfeb\xc3".to_vec());
        assert_eq!(source.text(), "a\u{fffd}\u{fffd}b\u{fffd}");
        assert_eq!(source.undecodable().len(), 2);
        assert_eq!(source.position(8, Unit::Utf8), Position { line: 1, column: 9 });
    }
}
