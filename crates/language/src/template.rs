//! The `{placeholder}` language: parsed once, then analysed by the checker and applied by `bind`.
//!
//! The grammar is that of Python's `str.format` as `workflows.recipe.Recipe.apply_parameters` uses it (CPython
//! 3.11, `Objects/stringlib/unicode_format.h`), except that attribute access is refused: in the reference it
//! reaches the interpreter's internals. There is no reflection here; a placeholder can only reach parameters.

pub mod python;
mod size;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;

pub use self::size::MAX_TEXT;
use crate::diagnostic::counted;
use crate::syntax::NodeId;
use crate::value::{Object, Value};

/// A string of a recipe, read as a template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Whether it is replaced by a value instead of being filled in as text: `{$REPLACE:x}`.
    pub replace: bool,
    /// Its pieces in order.
    pub pieces: Vec<Piece>,
}

/// A string with braces, and where it stands.
pub struct TemplateUse {
    /// The string.
    pub node: NodeId,
    /// The template, or why it is none.
    pub template: Result<Template, ParseError>,
}

/// Without its text, which may be a secret.
impl fmt::Debug for TemplateUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.template.as_ref().map(|template| template.fields().len());
        write!(f, "template at {:?}: {:?} fields", self.node, fields.ok())
    }
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Text as it is, `{{` and `}}` already undoubled.
    Literal(String),
    /// A placeholder.
    Field(Field),
}

/// A placeholder.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its bytes in the template, braces included.
    pub span: Range<usize>,
    /// The parameter's name.
    pub name: String,
    /// What is taken out of the parameter: `[key]`, `[0]`.
    pub path: Vec<Access>,
    /// `!r`, `!s` or `!a`.
    pub conversion: Option<Conversion>,
    /// What follows the `:`; may hold placeholders of its own. Empty when there is none.
    pub spec: Vec<Piece>,
}

/// A step into a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// `[key]`.
    Key(String),
    /// `[0]`.
    Index(usize),
}

/// How a value becomes text before it is formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// `!r`: Python's `repr`.
    Repr,
    /// `!s`: Python's `str`.
    Str,
    /// `!a`: Python's `ascii`.
    Ascii,
}

/// Why a string is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The bytes it is about.
    pub span: Range<usize>,
}

/// The ways in which a template can be malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// A `{` with nothing that closes it.
    Unclosed,
    /// A `}` with nothing that it closes.
    Unopened,
    /// A `{` inside a placeholder's name.
    BraceInName,
    /// `{}`.
    Empty,
    /// `{0}`: there are no positional parameters.
    Positional,
    /// `{x.y}`.
    Attribute,
    /// `{x[]}`.
    EmptyKey,
    /// `{x[a}`.
    UnclosedBracket,
    /// `{x[a]b}`.
    AfterBracket,
    /// `{x[99999999999999999999]}`: Python reads no such number.
    OversizedIndex,
    /// More than [`MAX_PATH`] subscripts.
    TooDeep,
    /// `{x!y}`, `{x!rr}`.
    Conversion,
    /// `{x:{y:{z}}}`.
    Nesting,
    /// `{$REPLACE}` and the like, which names no parameter.
    EmptyReplace,
    /// `{$REPLACE:{x}}`, which is read as `{{x}}`: text without a parameter.
    ReplaceWithoutField,
}

/// Why parameters cannot be put into a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyError {
    /// The placeholder, as bytes of the template.
    pub span: Range<usize>,
    /// What is wrong: a clause about the placeholder.
    pub reason: String,
    /// Whether the reason is that the parameter is not defined.
    pub undefined: bool,
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

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

impl Template {
    /// All placeholders, those in format specifications included.
    pub fn fields(&self) -> Vec<&Field> {
        fn collect<'t>(pieces: &'t [Piece], fields: &mut Vec<&'t Field>) {
            for piece in pieces {
                if let Piece::Field(field) = piece {
                    fields.push(field);
                    collect(&field.spec, fields);
                }
            }
        }
        let mut fields = Vec::with_capacity(1);
        collect(&self.pieces, &mut fields);
        fields
    }

    /// Whether any placeholder outside of format specifications is of this kind.
    pub fn any_field(&self, is: impl Fn(&Field) -> bool) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Field(field) if is(field)))
    }

    /// The placeholder that makes up the whole string, if one does.
    pub fn whole(&self) -> Option<&Field> {
        match self.pieces.as_slice() {
            [Piece::Field(field)] => Some(field),
            _ => None,
        }
    }

    /// Whether the string can become this text, if anything at all can be put in for its placeholders.
    pub fn may_become(&self, text: &str) -> bool {
        let (mut rest, mut anything) = (text, false);
        for (index, piece) in self.pieces.iter().enumerate() {
            let Piece::Literal(literal) = piece else {
                anything = true;
                continue;
            };
            let is_last = index + 1 == self.pieces.len();
            let after = match anything {
                true if is_last => rest.ends_with(literal.as_str()).then_some(""),
                true => rest.split_once(literal.as_str()).map(|(_, after)| after),
                false => rest.strip_prefix(literal.as_str()),
            };
            let Some(after) = after else { return false };
            (rest, anything) = (after, false);
        }
        anything || rest.is_empty()
    }

    /// The value of the string with these parameters.
    ///
    /// An undefined `{x}` or `{x[key]}` stays as it is; an undefined `{$REPLACE:x}` gives `null`.
    ///
    /// # Errors
    /// The first placeholder that cannot be filled in; the reference rejects the message.
    pub fn apply(&self, parameters: &Object) -> Result<Value, ApplyError> {
        if self.replace {
            Ok(last_value(&self.pieces, parameters)?.unwrap_or_default())
        } else {
            Ok(Value::String(render(&self.pieces, parameters)?))
        }
    }
}

/// What a placeholder's name leads to.
enum Found<'p> {
    Value(Cow<'p, Value>),
    /// The parameter is not defined.
    Undefined,
    /// The parameter is an object (or holds one) without this key.
    NoSuchKey(&'p str),
    /// The same with a number, which is no key of any object.
    NoSuchNumber(usize),
}

impl Field {
    /// The placeholder's name and path as written: `x[key][0]`.
    pub fn path_text(&self) -> String {
        let mut text = self.name.clone();
        for access in &self.path {
            let _ = write!(text, "{access}");
        }
        text
    }

    /// Whether the message is rejected when the parameter is not defined (otherwise the placeholder stays as text).
    pub fn needs_definition(&self) -> bool {
        self.has_index() || (self.conversion.is_none() && !self.spec.is_empty())
    }

    /// Whether this is not meant as a placeholder: no parameter has quotes, `$` or the like in its name, as JSON, awk
    /// and the shell have between braces.
    pub fn is_foreign(&self) -> bool {
        let is_of_code = |byte: u8| b"\"'`$;,()=<>|&*/\\".contains(&byte);
        let name = &self.name;
        let is_replace = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("$replace"));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !is_replace
            && !name.bytes().all(is_plain)
            && (name.bytes().any(is_of_code) || name.trim() != name || name.contains(char::is_control))
    }

    /// Why its format suits no value, of whatever type, if so.
    pub fn unfit_format(&self) -> Option<python::FormatError> {
        let [Piece::Literal(spec)] = self.spec.as_slice() else { return None };
        let spec = python::parse_spec(spec);
        let checked = spec.and_then(|spec| self.conversion.map_or(Ok(()), |_| spec.check(python::Kind::Text)));
        checked.err()
    }

    fn has_index(&self) -> bool {
        self.path.iter().any(|access| matches!(access, Access::Index(_)))
    }

    fn fail<T>(&self, reason: impl Into<String>) -> Result<T, ApplyError> {
        Err(ApplyError { span: self.span.clone(), reason: reason.into(), undefined: false })
    }

    fn fail_undefined<T>(&self, consequence: &str) -> Result<T, ApplyError> {
        let reason = format!("parameter `{}` is not defined, so it {consequence}", self.name);
        Err(ApplyError { span: self.span.clone(), reason, undefined: true })
    }

    /// The value that it leads to among these parameters, if there is one.
    pub fn value<'p>(&'p self, parameters: &'p Object) -> Option<Cow<'p, Value>> {
        match self.look_up(parameters) {
            Ok(Found::Value(value)) => Some(value),
            _ => None,
        }
    }

    fn look_up<'p>(&'p self, parameters: &'p Object) -> Result<Found<'p>, ApplyError> {
        let Some(value) = parameters.get(&self.name) else {
            return Ok(Found::Undefined);
        };
        let mut value = Cow::Borrowed(value);
        for (depth, access) in self.path.iter().enumerate() {
            let next = match value {
                Cow::Borrowed(value) => self.step(value, access, depth)?,
                Cow::Owned(value) => self.step(&value, access, depth)?.map(|next| Cow::Owned(next.into_owned())),
            };
            value = match (next, access) {
                (Some(next), _) => next,
                (None, Access::Key(key)) => return Ok(Found::NoSuchKey(key)),
                (None, Access::Index(index)) => return Ok(Found::NoSuchNumber(*index)),
            };
        }
        Ok(Found::Value(value))
    }

    /// What `access` finds in `value`; nothing when an object has no such key.
    fn step<'v>(&self, value: &'v Value, access: &Access, depth: usize) -> Result<Option<Cow<'v, Value>>, ApplyError> {
        let so_far = || {
            let mut text = self.name.clone();
            self.path[..depth].iter().for_each(|access| {
                let _ = write!(text, "{access}");
            });
            text
        };
        match (value, access) {
            (Value::Object(object), Access::Key(key)) => Ok(object.get(key).map(Cow::Borrowed)),
            // The keys of an object are text, so it has no member of this number.
            (Value::Object(_), Access::Index(_)) => Ok(None),
            (Value::Array(items), Access::Index(index)) => match items.get(*index) {
                Some(item) => Ok(Some(Cow::Borrowed(item))),
                None => {
                    self.fail(format!("`{}` has {}, so there is no [{index}]", so_far(), counted(items.len(), "item")))
                }
            },
            (Value::String(text), Access::Index(index)) => match text.chars().nth(*index) {
                Some(character) => Ok(Some(Cow::Owned(Value::String(character.to_string())))),
                None => {
                    let length = counted(text.chars().count(), "character");
                    self.fail(format!("`{}` has {length}, so there is no [{index}]", so_far()))
                }
            },
            (Value::Array(_) | Value::String(_), Access::Key(key)) => {
                self.fail(format!("`{}` is {}, which has no key `{key}`", so_far(), value.describe()))
            }
            _ => self.fail(format!("`{}` is {}, which has nothing in it", so_far(), value.describe())),
        }
    }

    fn render(&self, out: &mut String, parameters: &Object) -> Result<(), ApplyError> {
        let found = self.look_up(parameters)?;
        if matches!(found, Found::Undefined) && self.has_index() {
            return self.fail_undefined("has no items");
        }
        let spec = render(&self.spec, parameters)?;
        let value = match (found, self.conversion) {
            (Found::Value(value), None) => value,
            (Found::Value(value), Some(conversion)) => Cow::Owned(Value::String(conversion.apply(&value))),
            (Found::NoSuchKey(key), _) => {
                return self.fail(format!("there is no `{}`: the object has no key `{key}`", self.path_text()));
            }
            (Found::NoSuchNumber(index), _) => {
                let reason = format!("there is no `{}`: the keys of an object are text, not {index}", self.path_text());
                return self.fail(reason);
            }
            (Found::Undefined, Some(_)) => Cow::Owned(Value::String(format!("{{{}}}", self.path_text()))),
            (Found::Undefined, None) if spec.is_empty() => {
                let _ = write!(out, "{{{}}}", self.path_text());
                return Ok(());
            }
            (Found::Undefined, None) => return self.fail_undefined("cannot be formatted"),
        };
        match python::format(&value, &spec) {
            Ok(text) => out.push_str(&text),
            Err(python::FormatError::TooLong) => {
                return self.fail(format!("`{self}` would make more than 1 MiB of text"));
            }
            Err(_) => return self.fail(format!("`{self}` does not suit {}", value.describe())),
        }
        Ok(())
    }
}

/// The placeholder as written, up to what is nested in it.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}", self.path_text())?;
        match self.conversion {
            Some(Conversion::Repr) => f.write_str("!r")?,
            Some(Conversion::Str) => f.write_str("!s")?,
            Some(Conversion::Ascii) => f.write_str("!a")?,
            None => {}
        }
        if !self.spec.is_empty() {
            f.write_str(":")?;
        }
        for piece in &self.spec {
            match piece {
                Piece::Literal(text) => f.write_str(text)?,
                Piece::Field(field) => write!(f, "{field}")?,
            }
        }
        f.write_str("}")
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::Key(key) => write!(f, "[{key}]"),
            Access::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl Conversion {
    fn apply(self, value: &Value) -> String {
        match self {
            Conversion::Repr => python::repr(value),
            Conversion::Str => python::str(value),
            Conversion::Ascii => python::ascii(value),
        }
    }
}

fn render(pieces: &[Piece], parameters: &Object) -> Result<String, ApplyError> {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Field(field) => field.render(&mut out, parameters)?,
        }
    }
    Ok(out)
}

/// The value of the last placeholder, which is what the reference puts in place of a `{$REPLACE:…}` string;
/// nothing when any parameter in it is not there.
fn last_value(pieces: &[Piece], parameters: &Object) -> Result<Option<Value>, ApplyError> {
    let mut last = Value::Null;
    for piece in pieces {
        let Piece::Field(field) = piece else { continue };
        let Found::Value(value) = field.look_up(parameters)? else {
            return Ok(None);
        };
        let value = match field.conversion {
            None => value.into_owned(),
            Some(conversion) => Value::String(conversion.apply(&value)),
        };
        if last_value(&field.spec, parameters)?.is_none() {
            return Ok(None);
        }
        last = value;
    }
    Ok(Some(last))
}
