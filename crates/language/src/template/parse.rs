//! The reader of templates.

use std::ops::Range;

use super::{Access, Conversion, Field, ParseError, ParseErrorKind, Piece, Template, python};

/// Maximum number of subscripts of a placeholder: types nest as deep, and no recipe needs more than a few.
pub const MAX_PATH: usize = 64;

/// How strings that are replaced by a value begin.
const REPLACE: &str = "{$REPLACE";

/// Whether a string could hold a placeholder or a stray brace at all.
pub fn has_braces(text: &str) -> bool {
    memchr::memchr2(b'{', b'}', text.as_bytes()).is_some()
}

/// The names of the placeholders in a string that is no template, as far as they can be read, and where they are.
pub fn whole_names(text: &str) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find('{') {
        at += open + 1;
        if text[at..].starts_with('{') {
            at += 1;
            continue;
        }
        let start = at + if text[at - 1..].starts_with("{$REPLACE:") { REPLACE.len() } else { 0 };
        let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let end = text[start..].find(|c| !is_name(c)).map_or(text.len(), |length| start + length);
        let name = &text[start..end];
        if text[end..].starts_with(['}', '[', ':', '!', '.']) && !name.is_empty() && !is_number(name) {
            found.push((name.to_owned(), start..end));
        }
        at = end;
    }
    found
}

/// Reads a string as a template.
///
/// # Errors
/// The first place where it is malformed; the reference rejects a recipe with such a string.
pub fn parse(text: &str) -> Result<Template, ParseError> {
    if !(text.starts_with(REPLACE) && text.ends_with('}') && text.len() > REPLACE.len()) {
        let pieces = Parser { text, at: 0, end: text.len(), base: 0 }.pieces(2)?;
        return Ok(Template { replace: false, pieces });
    }
    // The reference drops ten characters, whatever the tenth is, and reads the rest as a template in braces.
    let rest = &text[REPLACE.len()..];
    let tenth = rest.chars().next().map_or(0, char::len_utf8);
    let inner = rest[..rest.len() - 1].get(tenth..).unwrap_or_default();
    let whole = 0..text.len();
    if inner.is_empty() {
        return Err(ParseError { kind: ParseErrorKind::EmptyReplace, span: whole });
    }
    let braced = format!("{{{inner}}}");
    let base = REPLACE.len() + tenth - 1;
    let pieces = Parser { text: &braced, at: 0, end: braced.len(), base }.pieces(2)?;
    if !pieces.iter().any(|piece| matches!(piece, Piece::Field(_))) {
        return Err(ParseError { kind: ParseErrorKind::ReplaceWithoutField, span: whole });
    }
    Ok(Template { replace: true, pieces })
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    end: usize,
    /// How many bytes of the template are left out of `text` after its first byte (of `{$REPLACE:…}`, whose inner
    /// text is read in braces of its own).
    base: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let character = self.text[self.at..self.end].chars().next()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn error<T>(&self, kind: ParseErrorKind, span: Range<usize>) -> Result<T, ParseError> {
        Err(ParseError { kind, span: self.place(span) })
    }

    /// The bytes of the template that these bytes of `text` stand for.
    fn place(&self, span: Range<usize>) -> Range<usize> {
        let start = if span.start == 0 { 0 } else { span.start + self.base };
        let end = if span.end <= 1 { span.end } else { span.end + self.base };
        start..end
    }

    /// Everything up to the end. `depth` is how many levels of placeholders may still be opened.
    fn pieces(&mut self, depth: usize) -> Result<Vec<Piece>, ParseError> {
        // Most strings are one piece.
        let mut pieces = Vec::with_capacity(1);
        let mut literal = String::new();
        while self.at < self.end {
            let rest = &self.text[self.at..self.end];
            let Some(plain) = memchr::memchr2(b'{', b'}', rest.as_bytes()) else {
                literal.push_str(rest);
                break;
            };
            literal.push_str(&rest[..plain]);
            let start = self.at + plain;
            let brace = rest.as_bytes()[plain];
            self.at = start + 1;
            match self.text.as_bytes()[..self.end].get(self.at) {
                Some(&next) if next == brace => {
                    self.at += 1;
                    literal.push(char::from(brace));
                    continue;
                }
                _ if brace == b'}' => return self.error(ParseErrorKind::Unopened, start..start + 1),
                None => return self.error(ParseErrorKind::Unclosed, start..start + 1),
                Some(_) => {}
            }
            if depth == 0 {
                return self.error(ParseErrorKind::Nesting, start..start + 1);
            }
            let field = self.field(start, depth)?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Field(field));
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(pieces)
    }

    /// A placeholder whose `{` at `start` has been read.
    fn field(&mut self, start: usize, depth: usize) -> Result<Field, ParseError> {
        let opening = start..start + 1;
        let name_start = self.at;
        let bytes = &self.text.as_bytes()[..self.end];
        let mut terminator = loop {
            let length = bytes[self.at..].iter().position(|byte| matches!(byte, b'{' | b'[' | b'}' | b':' | b'!'));
            let Some(length) = length else {
                return self.error(ParseErrorKind::Unclosed, opening);
            };
            self.at += length + 1;
            match bytes[self.at - 1] {
                b'{' => return self.error(ParseErrorKind::BraceInName, self.at - 1..self.at),
                // A key may hold anything but `]`.
                b'[' => match memchr::memchr(b']', &bytes[self.at..]) {
                    Some(length) => self.at += length,
                    None => return self.error(ParseErrorKind::UnclosedBracket, start..self.at),
                },
                terminator => break terminator,
            }
        };
        let name_end = self.at - 1;
        let mut conversion = None;
        let mut spec = Vec::new();
        if terminator == b'!' {
            let letter = self.next();
            let after = self.next();
            conversion = match letter {
                Some('r') => Some(Conversion::Repr),
                Some('s') => Some(Conversion::Str),
                Some('a') => Some(Conversion::Ascii),
                _ => None,
            };
            match (conversion, after) {
                (Some(_), Some('}')) => terminator = b'}',
                (Some(_), Some(':')) => terminator = b':',
                (_, None) => return self.error(ParseErrorKind::Unclosed, opening),
                _ => return self.error(ParseErrorKind::Conversion, name_end..self.at),
            }
        }
        if terminator == b':' {
            let spec_start = self.at;
            let mut open = 1;
            let spec_end = loop {
                let Some(length) = memchr::memchr2(b'{', b'}', &bytes[self.at..]) else {
                    return self.error(ParseErrorKind::Unclosed, opening);
                };
                self.at += length + 1;
                open = if bytes[self.at - 1] == b'{' { open + 1 } else { open - 1 };
                if open == 0 {
                    break self.at - 1;
                }
            };
            let mut inner = Parser { text: self.text, at: spec_start, end: spec_end, base: self.base };
            spec = inner.pieces(depth - 1)?;
        }
        let span = self.place(start..self.at);
        let (name, path) = self.name(name_start, name_end, &span)?;
        Ok(Field { span, name, path, conversion, spec })
    }

    /// `name[key][0]`
    fn name(&self, start: usize, end: usize, field: &Range<usize>) -> Result<(String, Vec<Access>), ParseError> {
        let text = &self.text[start..end];
        let fail = |kind| Err(ParseError { kind, span: field.clone() });
        let first = memchr::memchr2(b'.', b'[', text.as_bytes()).unwrap_or(text.len());
        let name = &text[..first];
        if text.is_empty() {
            return fail(ParseErrorKind::Empty);
        }
        if is_number(name) {
            return fail(ParseErrorKind::Positional);
        }
        let mut path = Vec::new();
        let mut rest = &text[first..];
        while !rest.is_empty() {
            let Some(bracket) = rest.strip_prefix('[') else {
                let attribute = rest.starts_with('.');
                return fail(if attribute { ParseErrorKind::Attribute } else { ParseErrorKind::AfterBracket });
            };
            let Some(length) = bracket.find(']') else {
                return fail(ParseErrorKind::UnclosedBracket);
            };
            let key = &bracket[..length];
            if key.is_empty() {
                return fail(ParseErrorKind::EmptyKey);
            }
            if path.len() == MAX_PATH {
                return fail(ParseErrorKind::TooDeep);
            }
            path.push(match index(key) {
                Some(Some(index)) => Access::Index(index),
                Some(None) => return fail(ParseErrorKind::OversizedIndex),
                None => Access::Key(key.to_owned()),
            });
            rest = &bracket[length + 1..];
        }
        Ok((name.to_owned(), path))
    }
}

/// Whether Python takes a name or subscript for a number: it has nothing but decimal digits, of any script.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| python::decimal_digit(c).is_some())
}

/// The number that Python takes a subscript for, if it takes it for one; the inner value is nothing where the number
/// is too large for Python.
fn index(text: &str) -> Option<Option<usize>> {
    let mut digits = text.chars().map(python::decimal_digit);
    if !is_number(text) {
        return None;
    }
    let number = digits.try_fold(0i64, |number, digit| number.checked_mul(10)?.checked_add(digit?.into()));
    Some(number.and_then(|number| usize::try_from(number).ok()))
}
