//! The `{placeholder}` language: parsed once, then analysed by the checker and applied by `bind`.
//!
//! The grammar is that of Python's `str.format` as `workflows.recipe.Recipe.apply_parameters` uses it (CPython
//! 3.11, `Objects/stringlib/unicode_format.h`), except that attribute access is refused: in the reference it
//! reaches the interpreter's internals. There is no reflection here; a placeholder can only reach parameters.

mod parse;
pub mod python;
mod size;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;

pub use self::parse::{MAX_PATH, has_braces, parse, whole_names};
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
            (Found::Undefined, Some(conversion)) => {
                let text = format!("{{{}}}", self.path_text());
                let is_ascii = conversion == Conversion::Ascii;
                Cow::Owned(Value::String(if is_ascii { python::escaped(&text) } else { text }))
            }
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
