//! Python's `str()`, `repr()`, `ascii()` and `format(value, spec)` for JSON values, character for character.
//!
//! This file owns the text that a template placeholder such as `{run[scale]!r:>12}` becomes, once its value is
//! known. It follows CPython 3.11: the format specification mini-language of `Python/formatter_unicode.c`, the
//! `float_repr_style` "short" of `Python/pystrtod.c`, and `repr` of `Objects/unicodeobject.c`.
//!
//! Integers stay decimal text of any length; floats are `f64`, whose exact decimal expansion Rust prints correctly
//! rounded (ties to even), as CPython's `dtoa.c` does.
//!
//! Deliberate differences: output has a limit ([`MAX_WIDTH`]); an unpaired surrogate prints as U+FFFD where Python
//! would print the surrogate itself; integers of more than 4300 digits, which Python refuses to read, have a `str()`.

use std::fmt::Write as _;
use std::iter::repeat_n;

use crate::value::{Number, Object, Value};

/// What a placeholder may produce at most, in bytes.
pub const MAX_WIDTH: usize = 1 << 20;

/// CPython's default limit for conversions between decimal text and `int`.
const MAX_INTEGER_DIGITS: usize = 4300;

/// Why a value cannot be formatted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatError {
    /// Python would raise an exception.
    Invalid {
        /// What it would say, nearly.
        message: String,
    },
    /// The width, the precision or the value asks for more than [`MAX_WIDTH`] bytes.
    TooLong,
}

impl std::fmt::Display for FormatError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid { message } => f.write_str(message),
            Self::TooLong => write!(f, "the result would be longer than {MAX_WIDTH} bytes"),
        }
    }
}

impl std::error::Error for FormatError {}

fn invalid<T>(message: impl Into<String>) -> Result<T, FormatError> {
    Err(FormatError::Invalid { message: message.into() })
}

// ---------------------------------------------------------------------------------------------------------------
// str, repr, ascii

/// Python's `str(value)`.
pub fn str(value: &Value) -> String {
    str_within(value, usize::MAX)
}

/// Python's `repr(value)`.
pub fn repr(value: &Value) -> String {
    represent(value, false, usize::MAX)
}

/// Python's `ascii(value)`.
pub fn ascii(value: &Value) -> String {
    represent(value, true, usize::MAX)
}

/// Python's `pprint.pformat(value)`, except that long strings stay in one piece.
pub fn pformat(value: &Value) -> String {
    let mut out = String::new();
    pretty(&mut out, &sorted(value), 0, 0);
    out
}

/// `pprint` sorts keys.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(members) => {
            let mut members: Object = members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            members.sort_keys();
            Value::Object(members)
        }
        other => other.clone(),
    }
}

/// `value` from column `indent` on, with `allowance` characters to follow on its last line.
fn pretty(out: &mut String, value: &Value, indent: usize, allowance: usize) {
    const WIDTH: usize = 80;
    let whole = repr(value);
    let fits = whole.chars().count() + indent + allowance <= WIDTH;
    let (open, close, items): (_, _, Vec<(String, &Value)>) = match value {
        Value::Array(items) if !fits => ('[', ']', items.iter().map(|item| (String::new(), item)).collect()),
        Value::Object(members) if !fits => {
            let key = |key: &str| repr(&Value::from(key)) + ": ";
            ('{', '}', members.iter().map(|(name, item)| (key(name), item)).collect())
        }
        _ => return out.push_str(&whole),
    };
    let last = items.len().saturating_sub(1);
    out.push(open);
    for (index, (key, item)) in items.iter().enumerate() {
        if index > 0 {
            let _ = write!(out, ",\n{:1$}", "", indent + 1);
        }
        out.push_str(key);
        let allowance = if index == last { allowance + 1 } else { 1 };
        pretty(out, item, indent + 1 + key.chars().count(), allowance);
    }
    out.push(close);
}

/// `str(value)`; may stop anywhere once it is longer than `limit`.
fn str_within(value: &Value, limit: usize) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Raw(json) if is_raw_string(json) => {
            decode_json_string(json).0.into_iter().map(|c| char::from_u32(c).unwrap_or('\u{fffd}')).collect()
        }
        _ => represent(value, false, limit),
    }
}

fn represent(value: &Value, ascii: bool, limit: usize) -> String {
    let mut repr = Repr { out: String::new(), ascii, limit };
    repr.value(value);
    repr.out
}

/// Writes `repr`; containers stop early once `out` is longer than `limit`.
struct Repr {
    out: String,
    ascii: bool,
    limit: usize,
}

impl Repr {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.push_str("None"),
            Value::Bool(true) => self.out.push_str("True"),
            Value::Bool(false) => self.out.push_str("False"),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.text(text.chars().map(u32::from)),
            Value::Raw(json) => self.json(json),
            Value::Array(items) => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.separate(index);
                    self.value(item);
                    if self.out.len() > self.limit {
                        return;
                    }
                }
                self.out.push(']');
            }
            Value::Object(object) => {
                self.out.push('{');
                for (index, (key, item)) in object.iter().enumerate() {
                    self.separate(index);
                    self.text(key.chars().map(u32::from));
                    self.out.push_str(": ");
                    self.value(item);
                    if self.out.len() > self.limit {
                        return;
                    }
                }
                self.out.push('}');
            }
        }
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.out.push_str(", ");
        }
    }

    fn number(&mut self, number: &Number) {
        if number.is_integer() {
            let (negative, digits) = integer_parts(number.as_str());
            self.out.push_str(if negative { "-" } else { "" });
            self.out.push_str(digits);
        } else {
            let value = number.as_f64();
            self.out.push_str(if value.is_sign_negative() && !value.is_nan() { "-" } else { "" });
            self.out.push_str(&float_body(value, &Spec::default()));
        }
    }

    /// A string literal of these code points (surrogates included), in the quotes that need fewer escapes.
    fn text(&mut self, text: impl Iterator<Item = u32> + Clone) {
        let (mut single, mut double) = (false, false);
        for c in text.clone() {
            single |= c == u32::from('\'');
            double |= c == u32::from('"');
        }
        let quote = if single && !double { '"' } else { '\'' };
        self.out.push(quote);
        for c in text {
            match char::from_u32(c) {
                Some('\t') => self.out.push_str("\\t"),
                Some('\n') => self.out.push_str("\\n"),
                Some('\r') => self.out.push_str("\\r"),
                Some(c) if c == quote || c == '\\' => self.out.extend(['\\', c]),
                Some(c @ ' '..='~') => self.out.push(c),
                Some(c) if !self.ascii && is_printable(c.into()) => self.out.push(c),
                _ => {
                    // Writing to a String cannot fail.
                    let _ = match c {
                        0..=0xff => write!(self.out, "\\x{c:02x}"),
                        0x100..=0xffff => write!(self.out, "\\u{c:04x}"),
                        _ => write!(self.out, "\\U{c:08x}"),
                    };
                }
            }
        }
        self.out.push(quote);
    }

    /// JSON text (an object with a key that a Rust string cannot hold), token by token. Repeated keys of an object that comes this way are all shown.
    fn json(&mut self, mut json: &str) {
        while let Some(first) = json.chars().next() {
            let mut end = first.len_utf8();
            match first {
                '"' | '\'' => {
                    let (text, length) = decode_json_string(json);
                    self.text(text.iter().copied());
                    end = length;
                }
                ',' => self.out.push_str(", "),
                ':' => self.out.push_str(": "),
                '[' | ']' | '{' | '}' => self.out.push(first),
                _ if first.is_whitespace() => {}
                _ => {
                    let is_end = |c: char| c.is_whitespace() || ",:[]{}\"'".contains(c);
                    end = json.find(is_end).unwrap_or(json.len());
                    match &json[..end] {
                        "null" => self.out.push_str("None"),
                        "true" => self.out.push_str("True"),
                        "false" => self.out.push_str("False"),
                        number => self.number(&Number::from_text(number)),
                    }
                }
            }
            json = &json[end..];
            if self.out.len() > self.limit {
                return;
            }
        }
    }
}

fn is_raw_string(json: &str) -> bool {
    json.starts_with(['"', '\''])
}

/// Decodes the JSON string literal that `json` starts with: its code points, and its length in bytes.
/// Escapes that form a surrogate pair are one code point; other surrogates stay.
fn decode_json_string(json: &str) -> (Vec<u32>, usize) {
    let mut text: Vec<u32> = Vec::new();
    let mut chars = json.char_indices();
    let quote = chars.next().map(|(_, c)| c);
    // Whether the last code point was written as `\uXXXX`: only then may it be the first half of a pair.
    let mut after_escape = false;
    while let Some((at, c)) = chars.next() {
        if Some(c) == quote {
            return (text, at + 1);
        }
        let mut unit = u32::from(c);
        let mut escaped = false;
        if c == '\\' {
            unit = match chars.next().map(|(_, c)| c) {
                Some('b') => 8,
                Some('f') => 12,
                Some('n') => 10,
                Some('r') => 13,
                Some('t') => 9,
                Some('u') => {
                    escaped = true;
                    let hex = json.get(at + 2..at + 6).and_then(|hex| u32::from_str_radix(hex, 16).ok());
                    chars.nth(3);
                    hex.unwrap_or(0xfffd)
                }
                Some(other) => other.into(),
                None => break,
            };
        }
        match text.last_mut() {
            Some(high @ 0xd800..=0xdbff) if after_escape && escaped && (0xdc00..=0xdfff).contains(&unit) => {
                *high = 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00);
                escaped = false;
            }
            _ => text.push(unit),
        }
        after_escape = escaped;
    }
    (text, json.len())
}

/// Python's `str.isprintable` for one code point.
fn is_printable(c: u32) -> bool {
    let after = UNPRINTABLE.partition_point(|&(first, _)| first <= c);
    after == 0 || UNPRINTABLE[after - 1].1 < c
}

/// The sign and the digits of an integer literal; zero has no sign, other numbers no leading zeros.
fn integer_parts(literal: &str) -> (bool, &str) {
    let digits = literal.trim_start_matches('-').trim_start_matches('0');
    if digits.is_empty() { (false, "0") } else { (literal.starts_with('-'), digits) }
}

// ---------------------------------------------------------------------------------------------------------------
// Format specifications

/// `[[fill]align][sign][z][#][0][width][grouping][.precision][type]`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spec {
    /// What fills the width; a space unless given. A `0` before the width is fill `'0'`.
    pub fill: Option<char>,
    /// Where the value stands in the width.
    pub align: Option<Align>,
    /// What non-negative numbers start with.
    pub sign: Option<Sign>,
    /// `z`: a float that rounds to zero has no minus.
    pub no_negative_zero: bool,
    /// `#`: keep the decimal point, or write `0x` and its like.
    pub alternate: bool,
    /// A `0` before the width: numbers without an alignment have the fill after their sign.
    pub zero: bool,
    /// The least width in characters.
    pub width: Option<usize>,
    /// `,` or `_` between groups of digits.
    pub grouping: Option<char>,
    /// Digits of a float, or the most characters of a string.
    pub precision: Option<usize>,
    /// The presentation type.
    pub presentation: Option<char>,
}

/// Where a value stands in its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// `<`
    Left,
    /// `>`
    Right,
    /// `^`
    Center,
    /// `=`: the fill goes between the sign and the digits.
    AfterSign,
}

/// What a number's sign looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// `-`: only negative numbers have one, as by default.
    Minus,
    /// `+`: every number has one.
    Plus,
    /// A space before numbers that are not negative.
    Space,
}

/// How a value reads a format specification. `None`, lists and dicts take only the empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer, or a boolean.
    Integer,
    /// A float.
    Float,
}

/// Takes a specification apart and checks that a value of some type can be formatted with it.
pub fn parse_spec(spec: &str) -> Result<Spec, FormatError> {
    let spec = Spec::parse(spec)?;
    if [Kind::Text, Kind::Integer, Kind::Float].iter().any(|&kind| spec.check(kind).is_ok()) {
        return Ok(spec);
    }
    // The complaint is about the kind of value that the author must have had in mind.
    let kind = match spec.presentation {
        Some('b' | 'c' | 'd' | 'o' | 'x' | 'X') => Kind::Integer,
        Some('\0' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%') => Kind::Float,
        None | Some('s') => Kind::Text,
        Some(code) => return invalid(std::format!("unknown format code '{}'", code.escape_debug())),
    };
    spec.check(kind).map(|()| spec)
}

impl Spec {
    /// Reads the syntax; [`check`](Self::check) knows which parts go together.
    fn parse(text: &str) -> Result<Self, FormatError> {
        let mut spec = Self::default();
        let mut rest = text;

        let mut chars = text.chars();
        let (first, second) = (chars.next(), chars.next());
        if let (Some(fill), Some(align)) = (first, second.and_then(alignment)) {
            spec.fill = Some(fill);
            spec.align = Some(align);
            rest = chars.as_str();
        } else if let Some(align) = first.and_then(alignment) {
            spec.align = Some(align);
            rest = &rest[1..];
        }
        let sign = match rest.bytes().next() {
            Some(b'-') => Some(Sign::Minus),
            Some(b'+') => Some(Sign::Plus),
            Some(b' ') => Some(Sign::Space),
            _ => None,
        };
        if sign.is_some() {
            spec.sign = sign;
            rest = &rest[1..];
        }
        spec.no_negative_zero = take(&mut rest, 'z');
        spec.alternate = take(&mut rest, '#');
        if spec.fill.is_none() && take(&mut rest, '0') {
            spec.fill = Some('0');
            spec.zero = true;
        }
        spec.width = take_integer(&mut rest)?;
        if take(&mut rest, ',') {
            spec.grouping = Some(',');
        }
        if take(&mut rest, '_') {
            if spec.grouping.is_some() {
                return invalid("cannot specify both ',' and '_'");
            }
            spec.grouping = Some('_');
        }
        if spec.grouping == Some('_') && rest.starts_with(',') {
            return invalid("cannot specify both ',' and '_'");
        }
        if take(&mut rest, '.') {
            spec.precision = take_integer(&mut rest)?;
            if spec.precision.is_none() {
                return invalid("format specifier missing precision");
            }
        }
        let mut chars = rest.chars();
        spec.presentation = chars.next();
        if chars.next().is_some() {
            return invalid(std::format!("invalid format specifier '{text}'"));
        }
        Ok(spec)
    }

    /// Whether a value of this kind can be formatted, as far as that does not depend on the value.
    pub fn check(&self, kind: Kind) -> Result<(), FormatError> {
        // With these an integer becomes a float first.
        if kind == Kind::Integer && matches!(self.presentation, Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) {
            return self.check(Kind::Float);
        }
        let (name, types) = match kind {
            Kind::Text => ("string", "s"),
            Kind::Integer => ("integer", "bcdoxXn"),
            Kind::Float => ("float", "\0eEfFgGn%"),
        };
        if let Some(code) = self.presentation.filter(|&code| !types.contains(code)) {
            return invalid(std::format!("unknown format code '{}' for {name}s", code.escape_debug()));
        }
        if let Some(separator) = self.grouping {
            let refused = match self.presentation {
                None if kind == Kind::Text => Some('s'),
                Some(code @ ('s' | 'c' | 'n')) => Some(code),
                Some(code @ ('b' | 'o' | 'x' | 'X')) if separator == ',' => Some(code),
                _ => None,
            };
            if let Some(code) = refused {
                return invalid(std::format!("cannot specify '{separator}' with '{code}'"));
            }
        }
        let character = self.presentation == Some('c');
        let not_allowed = [
            (self.sign == Some(Sign::Space) && kind == Kind::Text, "space"),
            (self.sign.is_some() && (kind == Kind::Text || character), "sign"),
            (self.no_negative_zero && kind != Kind::Float, "negative zero coercion (z)"),
            (self.alternate && (kind == Kind::Text || character), "alternate form (#)"),
            (self.align == Some(Align::AfterSign) && kind == Kind::Text, "'=' alignment"),
            (self.precision.is_some() && kind == Kind::Integer, "precision"),
        ];
        if let Some((_, what)) = not_allowed.iter().find(|(refused, _)| *refused) {
            let with = if character { " 'c'" } else { "" };
            return invalid(std::format!("{what} not allowed in {name} format specifier{with}"));
        }
        if kind == Kind::Float && self.precision.is_some_and(|precision| precision > i32::MAX as usize) {
            return invalid("precision too big");
        }
        let precision = self.precision.filter(|_| kind == Kind::Float);
        if self.width.max(precision).is_some_and(|length| length > MAX_WIDTH) {
            return Err(FormatError::TooLong);
        }
        Ok(())
    }
}

fn alignment(c: char) -> Option<Align> {
    match c {
        '<' => Some(Align::Left),
        '>' => Some(Align::Right),
        '^' => Some(Align::Center),
        '=' => Some(Align::AfterSign),
        _ => None,
    }
}

fn take(rest: &mut &str, expected: char) -> bool {
    match rest.strip_prefix(expected) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

/// Takes decimal digits of any script, as Python does; nothing if there are none.
fn take_integer(rest: &mut &str) -> Result<Option<usize>, FormatError> {
    let mut number = None;
    while let Some(c) = rest.chars().next() {
        let Some(digit) = decimal_digit(c) else { break };
        let longer = number.unwrap_or(0i64).checked_mul(10).and_then(|n| n.checked_add(digit.into()));
        let Some(longer) = longer else { return invalid("too many decimal digits in format string") };
        number = Some(longer);
        *rest = &rest[c.len_utf8()..];
    }
    Ok(number.map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
}

fn decimal_digit(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let c = u32::from(c);
    let after = DECIMAL_ZEROS.partition_point(|&zero| zero <= c);
    let zero = DECIMAL_ZEROS.get(after.checked_sub(1)?)?;
    Some(c - zero).filter(|&digit| digit < 10)
}

// ---------------------------------------------------------------------------------------------------------------
// Formatting

/// Python's `format(value, spec)`.
pub fn format(value: &Value, spec: &str) -> Result<String, FormatError> {
    if spec.is_empty() {
        if value.as_str().is_some_and(|text| text.len() > MAX_WIDTH) {
            return Err(FormatError::TooLong);
        }
        let text = str_within(value, MAX_WIDTH);
        return if text.len() > MAX_WIDTH { Err(FormatError::TooLong) } else { Ok(text) };
    }
    let type_name = match value {
        Value::String(text) => return format_text(text, &Spec::parse(spec)?),
        Value::Raw(json) if is_raw_string(json) => return format_text(&str(value), &Spec::parse(spec)?),
        Value::Bool(value) => return format_integer(if *value { "1" } else { "0" }, &Spec::parse(spec)?),
        Value::Number(number) if number.is_integer() => return format_integer(number.as_str(), &Spec::parse(spec)?),
        Value::Number(number) => return format_float(number.as_f64(), &Spec::parse(spec)?),
        Value::Null => "None",
        Value::Array(_) => "list",
        Value::Object(_) | Value::Raw(_) => "dict",
    };
    invalid(std::format!("unsupported format string for {type_name}"))
}

fn format_text(text: &str, spec: &Spec) -> Result<String, FormatError> {
    spec.check(Kind::Text)?;
    let cut = spec.precision.and_then(|length| text.char_indices().nth(length)).map_or(text.len(), |(at, _)| at);
    let text = &text[..cut];
    let padding = match spec.width {
        Some(width) => width.saturating_sub(text.chars().count()),
        None => 0,
    };
    pad(spec, spec.align.unwrap_or(Align::Left), padding, "", &[text])
}

fn format_integer(literal: &str, spec: &Spec) -> Result<String, FormatError> {
    spec.check(Kind::Integer)?;
    let (negative, decimal) = integer_parts(literal);
    if decimal.len() > MAX_INTEGER_DIGITS {
        return invalid(std::format!("integer has more than {MAX_INTEGER_DIGITS} digits"));
    }
    let (prefix, bits) = match spec.presentation {
        None | Some('d' | 'n') => return lay_out(spec, negative, "", decimal, ""),
        Some('b') => ("0b", 1),
        Some('o') => ("0o", 3),
        Some('x') => ("0x", 4),
        Some('X') => ("0X", 4),
        Some('c') => {
            let code = decimal.parse().ok().filter(|&code| code <= 0x10ffff && !negative);
            let Some(code) = code else { return invalid("'c' argument not in range(0x110000)") };
            let Some(c) = char::from_u32(code) else { return invalid("'c' argument is a surrogate") };
            return lay_out(spec, false, "", "", c.encode_utf8(&mut [0; 4]));
        }
        Some(_) => {
            let magnitude: f64 = decimal.parse().unwrap_or(f64::NAN);
            if magnitude.is_infinite() {
                return invalid("int too large to convert to float");
            }
            return format_float(if negative { -magnitude } else { magnitude }, spec);
        }
    };
    let mut digits = in_base(decimal, bits);
    if prefix == "0X" {
        digits.make_ascii_uppercase();
    }
    lay_out(spec, negative, if spec.alternate { prefix } else { "" }, &digits, "")
}

/// The decimal number in base 2, 8 or 16 (`bits` to a digit).
fn in_base(decimal: &str, bits: u32) -> String {
    const LIMB_DIGITS: usize = 9;
    let mut limbs: Vec<u32> = Vec::new();
    // The first chunk is the odd one, so that all others scale by the same power.
    let head = decimal.len() % LIMB_DIGITS;
    let (head, tail) = decimal.as_bytes().split_at(head);
    for chunk in std::iter::once(head).chain(tail.chunks(LIMB_DIGITS)) {
        let mut carry = chunk.iter().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
        for limb in &mut limbs {
            let product = u64::from(*limb) * 1_000_000_000 + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry > 0 {
            limbs.push(carry as u32);
        }
    }
    let mut digits = Vec::new();
    let (mut pending, mut pending_bits) = (0u64, 0);
    for limb in limbs {
        pending |= u64::from(limb) << pending_bits;
        pending_bits += 32;
        while pending_bits >= bits {
            digits.push(pending & ((1 << bits) - 1));
            pending >>= bits;
            pending_bits -= bits;
        }
    }
    digits.push(pending);
    let significant = digits.iter().rposition(|&digit| digit != 0).unwrap_or(0);
    digits[..=significant].iter().rev().filter_map(|&digit| char::from_digit(digit as u32, 16)).collect()
}

fn format_float(value: f64, spec: &Spec) -> Result<String, FormatError> {
    spec.check(Kind::Float)?;
    let percent = spec.presentation == Some('%');
    let value = if percent { value * 100.0 } else { value };
    let mut body = float_body(value, spec);
    let is_zero = body.split(['e', 'E']).next().is_some_and(|mantissa| mantissa.bytes().all(|b| b"0.".contains(&b)));
    let negative = value.is_sign_negative() && !value.is_nan() && !(spec.no_negative_zero && is_zero);
    if percent {
        body.push('%');
    }
    let end = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
    lay_out(spec, negative, "", &body[..end], &body[end..])
}

/// The digits of a float without its sign, as `PyOS_double_to_string` has them.
fn float_body(value: f64, spec: &Spec) -> String {
    // No double has more digits than this; the rest of a longer precision is zeros.
    const MAX_FRACTION: usize = 1074;
    const MAX_SIGNIFICANT: usize = 767;

    let value = value.abs();
    let kind = spec.presentation.filter(|&kind| kind != '\0');
    let upper = kind.is_some_and(|kind| kind.is_ascii_uppercase());
    if value.is_nan() || value.is_infinite() {
        return match (value.is_nan(), upper) {
            (true, false) => "nan",
            (true, true) => "NAN",
            (false, false) => "inf",
            (false, true) => "INF",
        }
        .to_owned();
    }
    let precision = spec.precision.unwrap_or(6);
    let scientific =
        |significant: usize| Digits::of(&std::format!("{value:.*e}", significant.min(MAX_SIGNIFICANT) - 1));
    match kind {
        Some('f' | 'F' | '%') => {
            let shown = precision.min(MAX_FRACTION);
            let mut body = std::format!("{value:.shown$}");
            body.extend(repeat_n('0', precision - shown));
            if precision == 0 && spec.alternate {
                body.push('.');
            }
            body
        }
        Some(e @ ('e' | 'E')) => {
            let mut digits = scientific(precision + 1);
            digits.pad_to(precision + 1);
            digits.scientific(e, spec.alternate)
        }
        // `g` is `e` or `f` by the size of the number, without the zeros at the end.
        Some(g) => {
            let precision = precision.max(1);
            let mut digits = scientific(precision);
            digits.trim();
            if spec.alternate {
                digits.pad_to(precision);
            }
            if digits.exponent < -4 || digits.exponent >= precision as i64 {
                digits.scientific(if g == 'G' { 'E' } else { 'e' }, spec.alternate)
            } else {
                digits.positional(if spec.alternate { "." } else { "" })
            }
        }
        // No type: like `repr`, or with a precision like `g`, but with a digit after the point.
        None => {
            let (mut digits, limit) = match spec.precision {
                None => (Digits::shortest(value), 16),
                Some(precision) => (scientific(precision.max(1)), precision.max(1) - 1),
            };
            digits.trim();
            if spec.alternate {
                digits.pad_to(spec.precision.unwrap_or(0));
            }
            if digits.exponent < -4 || digits.exponent >= limit as i64 {
                digits.scientific('e', spec.alternate)
            } else {
                digits.positional(".0")
            }
        }
    }
}

/// The number `d.ddd × 10^exponent`.
struct Digits {
    digits: String,
    exponent: i64,
}

impl Digits {
    /// Reads what Rust's `{:e}` writes.
    fn of(scientific: &str) -> Self {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
        Self { digits: mantissa.replace('.', ""), exponent: exponent.parse().unwrap_or(0) }
    }

    /// The fewest digits that read back as `value`, of these the nearest; of two as near, the even one. Rust's `{:e}`
    /// takes the odd one (`1125899906842624.3` for 2^50 + 0.25, where Python has `.2`).
    fn shortest(value: f64) -> Self {
        let shortest = std::format!("{value:e}");
        let digits = Self::of(&shortest);
        let nearest = std::format!("{value:.*e}", digits.digits.len() - 1);
        if nearest != shortest && nearest.parse() == Ok(value) { Self::of(&nearest) } else { digits }
    }

    /// Drops zeros at the end, but not the only digit.
    fn trim(&mut self) {
        let length = self.digits.trim_end_matches('0').len();
        self.digits.truncate(length.max(1));
    }

    fn pad_to(&mut self, length: usize) {
        self.digits.extend(repeat_n('0', length.saturating_sub(self.digits.len())));
    }

    /// `d.ddde+XX`
    fn scientific(&self, e: char, keep_point: bool) -> String {
        let (first, rest) = self.digits.split_at(1);
        let point = if keep_point || !rest.is_empty() { "." } else { "" };
        let sign = if self.exponent < 0 { '-' } else { '+' };
        std::format!("{first}{point}{rest}{e}{sign}{:02}", self.exponent.abs())
    }

    /// `ddd.ddd`, with `no_fraction` after a whole number.
    fn positional(&self, no_fraction: &str) -> String {
        if self.exponent < 0 {
            let zeros = self.exponent.unsigned_abs() as usize - 1;
            return std::format!("0.{:0<zeros$}{}", "", self.digits);
        }
        let whole = self.exponent as usize + 1;
        if self.digits.len() > whole {
            let (whole, fraction) = self.digits.split_at(whole);
            std::format!("{whole}.{fraction}")
        } else {
            std::format!("{:0<whole$}{no_fraction}", self.digits)
        }
    }
}

/// Puts a number together: `padding sign prefix padding digits rest padding`. Only `digits` are grouped.
fn lay_out(spec: &Spec, negative: bool, prefix: &str, digits: &str, rest: &str) -> Result<String, FormatError> {
    let sign = match spec.sign {
        _ if negative => "-",
        Some(Sign::Plus) => "+",
        Some(Sign::Space) => " ",
        _ => "",
    };
    let width = spec.width.unwrap_or(0);
    let align = spec.align.unwrap_or(if spec.zero { Align::AfterSign } else { Align::Right });
    let around = sign.len() + prefix.len() + rest.chars().count();

    // Zeros after the sign are digits, and take part in the grouping.
    let zeros_are_digits = spec.fill == Some('0') && align == Align::AfterSign;
    let grouped = match spec.grouping {
        Some(separator) if !digits.is_empty() => {
            let size = if matches!(spec.presentation, Some('b' | 'o' | 'x' | 'X')) { 4 } else { 3 };
            let least = if zeros_are_digits { width.saturating_sub(around) } else { 0 };
            &group(digits, size, separator, least)
        }
        _ => digits,
    };
    let padding = width.saturating_sub(around + grouped.len());
    pad(spec, align, padding, &[sign, prefix].concat(), &[grouped, rest])
}

/// `digits` with a separator after every `size` from the right, and with zeros before them if shorter than `least`.
/// The first character is never a separator, so the result may be one longer than `least`.
fn group(digits: &str, size: usize, separator: char, least: usize) -> String {
    let (groups, odd) = (least / (size + 1), least % (size + 1));
    let count = digits.len().max(groups * size + odd.max(1));
    let mut out = String::with_capacity(count + count / size);
    let zeros = repeat_n('0', count - digits.len());
    for (index, digit) in zeros.chain(digits.chars()).enumerate() {
        if index > 0 && (count - index).is_multiple_of(size) {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}

/// `head` and `body` in a row, with `padding` fill characters before, between or after them.
fn pad(spec: &Spec, align: Align, padding: usize, head: &str, body: &[&str]) -> Result<String, FormatError> {
    let fill = spec.fill.unwrap_or(' ');
    let bytes = head.len() + body.iter().map(|part| part.len()).sum::<usize>() + padding * fill.len_utf8();
    if bytes > MAX_WIDTH {
        return Err(FormatError::TooLong);
    }
    let (before, between) = match align {
        Align::Left => (0, 0),
        Align::Right => (padding, 0),
        Align::Center => (padding / 2, 0),
        Align::AfterSign => (0, padding),
    };
    let mut out = String::with_capacity(bytes);
    out.extend(repeat_n(fill, before));
    out.push_str(head);
    out.extend(repeat_n(fill, between));
    out.extend(body.iter().copied());
    out.extend(repeat_n(fill, padding - before - between));
    Ok(out)
}

// ---------------------------------------------------------------------------------------------------------------
// Unicode 14.0, as in CPython 3.11

/// Ranges of code points that `repr` escapes (categories Cc, Cf, Cs, Co, Cn, Zl, Zp, and Zs but for the space):
/// the runs of `c` in `range(0x110000)` with `not chr(c).isprintable()`, from CPython 3.11.7.
#[rustfmt::skip]
const UNPRINTABLE: [(u32, u32); 701] = [
    (0x0, 0x1f), (0x7f, 0xa0), (0xad, 0xad), (0x378, 0x379), (0x380, 0x383), (0x38b, 0x38b), (0x38d, 0x38d),
    (0x3a2, 0x3a2), (0x530, 0x530), (0x557, 0x558), (0x58b, 0x58c), (0x590, 0x590), (0x5c8, 0x5cf),
    (0x5eb, 0x5ee), (0x5f5, 0x605), (0x61c, 0x61c), (0x6dd, 0x6dd), (0x70e, 0x70f), (0x74b, 0x74c),
    (0x7b2, 0x7bf), (0x7fb, 0x7fc), (0x82e, 0x82f), (0x83f, 0x83f), (0x85c, 0x85d), (0x85f, 0x85f),
    (0x86b, 0x86f), (0x88f, 0x897), (0x8e2, 0x8e2), (0x984, 0x984), (0x98d, 0x98e), (0x991, 0x992),
    (0x9a9, 0x9a9), (0x9b1, 0x9b1), (0x9b3, 0x9b5), (0x9ba, 0x9bb), (0x9c5, 0x9c6), (0x9c9, 0x9ca),
    (0x9cf, 0x9d6), (0x9d8, 0x9db), (0x9de, 0x9de), (0x9e4, 0x9e5), (0x9ff, 0xa00), (0xa04, 0xa04),
    (0xa0b, 0xa0e), (0xa11, 0xa12), (0xa29, 0xa29), (0xa31, 0xa31), (0xa34, 0xa34), (0xa37, 0xa37),
    (0xa3a, 0xa3b), (0xa3d, 0xa3d), (0xa43, 0xa46), (0xa49, 0xa4a), (0xa4e, 0xa50), (0xa52, 0xa58),
    (0xa5d, 0xa5d), (0xa5f, 0xa65), (0xa77, 0xa80), (0xa84, 0xa84), (0xa8e, 0xa8e), (0xa92, 0xa92),
    (0xaa9, 0xaa9), (0xab1, 0xab1), (0xab4, 0xab4), (0xaba, 0xabb), (0xac6, 0xac6), (0xaca, 0xaca),
    (0xace, 0xacf), (0xad1, 0xadf), (0xae4, 0xae5), (0xaf2, 0xaf8), (0xb00, 0xb00), (0xb04, 0xb04),
    (0xb0d, 0xb0e), (0xb11, 0xb12), (0xb29, 0xb29), (0xb31, 0xb31), (0xb34, 0xb34), (0xb3a, 0xb3b),
    (0xb45, 0xb46), (0xb49, 0xb4a), (0xb4e, 0xb54), (0xb58, 0xb5b), (0xb5e, 0xb5e), (0xb64, 0xb65),
    (0xb78, 0xb81), (0xb84, 0xb84), (0xb8b, 0xb8d), (0xb91, 0xb91), (0xb96, 0xb98), (0xb9b, 0xb9b),
    (0xb9d, 0xb9d), (0xba0, 0xba2), (0xba5, 0xba7), (0xbab, 0xbad), (0xbba, 0xbbd), (0xbc3, 0xbc5),
    (0xbc9, 0xbc9), (0xbce, 0xbcf), (0xbd1, 0xbd6), (0xbd8, 0xbe5), (0xbfb, 0xbff), (0xc0d, 0xc0d),
    (0xc11, 0xc11), (0xc29, 0xc29), (0xc3a, 0xc3b), (0xc45, 0xc45), (0xc49, 0xc49), (0xc4e, 0xc54),
    (0xc57, 0xc57), (0xc5b, 0xc5c), (0xc5e, 0xc5f), (0xc64, 0xc65), (0xc70, 0xc76), (0xc8d, 0xc8d),
    (0xc91, 0xc91), (0xca9, 0xca9), (0xcb4, 0xcb4), (0xcba, 0xcbb), (0xcc5, 0xcc5), (0xcc9, 0xcc9),
    (0xcce, 0xcd4), (0xcd7, 0xcdc), (0xcdf, 0xcdf), (0xce4, 0xce5), (0xcf0, 0xcf0), (0xcf3, 0xcff),
    (0xd0d, 0xd0d), (0xd11, 0xd11), (0xd45, 0xd45), (0xd49, 0xd49), (0xd50, 0xd53), (0xd64, 0xd65),
    (0xd80, 0xd80), (0xd84, 0xd84), (0xd97, 0xd99), (0xdb2, 0xdb2), (0xdbc, 0xdbc), (0xdbe, 0xdbf),
    (0xdc7, 0xdc9), (0xdcb, 0xdce), (0xdd5, 0xdd5), (0xdd7, 0xdd7), (0xde0, 0xde5), (0xdf0, 0xdf1),
    (0xdf5, 0xe00), (0xe3b, 0xe3e), (0xe5c, 0xe80), (0xe83, 0xe83), (0xe85, 0xe85), (0xe8b, 0xe8b),
    (0xea4, 0xea4), (0xea6, 0xea6), (0xebe, 0xebf), (0xec5, 0xec5), (0xec7, 0xec7), (0xece, 0xecf),
    (0xeda, 0xedb), (0xee0, 0xeff), (0xf48, 0xf48), (0xf6d, 0xf70), (0xf98, 0xf98), (0xfbd, 0xfbd),
    (0xfcd, 0xfcd), (0xfdb, 0xfff), (0x10c6, 0x10c6), (0x10c8, 0x10cc), (0x10ce, 0x10cf), (0x1249, 0x1249),
    (0x124e, 0x124f), (0x1257, 0x1257), (0x1259, 0x1259), (0x125e, 0x125f), (0x1289, 0x1289), (0x128e, 0x128f),
    (0x12b1, 0x12b1), (0x12b6, 0x12b7), (0x12bf, 0x12bf), (0x12c1, 0x12c1), (0x12c6, 0x12c7), (0x12d7, 0x12d7),
    (0x1311, 0x1311), (0x1316, 0x1317), (0x135b, 0x135c), (0x137d, 0x137f), (0x139a, 0x139f), (0x13f6, 0x13f7),
    (0x13fe, 0x13ff), (0x1680, 0x1680), (0x169d, 0x169f), (0x16f9, 0x16ff), (0x1716, 0x171e), (0x1737, 0x173f),
    (0x1754, 0x175f), (0x176d, 0x176d), (0x1771, 0x1771), (0x1774, 0x177f), (0x17de, 0x17df), (0x17ea, 0x17ef),
    (0x17fa, 0x17ff), (0x180e, 0x180e), (0x181a, 0x181f), (0x1879, 0x187f), (0x18ab, 0x18af), (0x18f6, 0x18ff),
    (0x191f, 0x191f), (0x192c, 0x192f), (0x193c, 0x193f), (0x1941, 0x1943), (0x196e, 0x196f), (0x1975, 0x197f),
    (0x19ac, 0x19af), (0x19ca, 0x19cf), (0x19db, 0x19dd), (0x1a1c, 0x1a1d), (0x1a5f, 0x1a5f), (0x1a7d, 0x1a7e),
    (0x1a8a, 0x1a8f), (0x1a9a, 0x1a9f), (0x1aae, 0x1aaf), (0x1acf, 0x1aff), (0x1b4d, 0x1b4f), (0x1b7f, 0x1b7f),
    (0x1bf4, 0x1bfb), (0x1c38, 0x1c3a), (0x1c4a, 0x1c4c), (0x1c89, 0x1c8f), (0x1cbb, 0x1cbc), (0x1cc8, 0x1ccf),
    (0x1cfb, 0x1cff), (0x1f16, 0x1f17), (0x1f1e, 0x1f1f), (0x1f46, 0x1f47), (0x1f4e, 0x1f4f), (0x1f58, 0x1f58),
    (0x1f5a, 0x1f5a), (0x1f5c, 0x1f5c), (0x1f5e, 0x1f5e), (0x1f7e, 0x1f7f), (0x1fb5, 0x1fb5), (0x1fc5, 0x1fc5),
    (0x1fd4, 0x1fd5), (0x1fdc, 0x1fdc), (0x1ff0, 0x1ff1), (0x1ff5, 0x1ff5), (0x1fff, 0x200f), (0x2028, 0x202f),
    (0x205f, 0x206f), (0x2072, 0x2073), (0x208f, 0x208f), (0x209d, 0x209f), (0x20c1, 0x20cf), (0x20f1, 0x20ff),
    (0x218c, 0x218f), (0x2427, 0x243f), (0x244b, 0x245f), (0x2b74, 0x2b75), (0x2b96, 0x2b96), (0x2cf4, 0x2cf8),
    (0x2d26, 0x2d26), (0x2d28, 0x2d2c), (0x2d2e, 0x2d2f), (0x2d68, 0x2d6e), (0x2d71, 0x2d7e), (0x2d97, 0x2d9f),
    (0x2da7, 0x2da7), (0x2daf, 0x2daf), (0x2db7, 0x2db7), (0x2dbf, 0x2dbf), (0x2dc7, 0x2dc7), (0x2dcf, 0x2dcf),
    (0x2dd7, 0x2dd7), (0x2ddf, 0x2ddf), (0x2e5e, 0x2e7f), (0x2e9a, 0x2e9a), (0x2ef4, 0x2eff), (0x2fd6, 0x2fef),
    (0x2ffc, 0x3000), (0x3040, 0x3040), (0x3097, 0x3098), (0x3100, 0x3104), (0x3130, 0x3130), (0x318f, 0x318f),
    (0x31e4, 0x31ef), (0x321f, 0x321f), (0xa48d, 0xa48f), (0xa4c7, 0xa4cf), (0xa62c, 0xa63f), (0xa6f8, 0xa6ff),
    (0xa7cb, 0xa7cf), (0xa7d2, 0xa7d2), (0xa7d4, 0xa7d4), (0xa7da, 0xa7f1), (0xa82d, 0xa82f), (0xa83a, 0xa83f),
    (0xa878, 0xa87f), (0xa8c6, 0xa8cd), (0xa8da, 0xa8df), (0xa954, 0xa95e), (0xa97d, 0xa97f), (0xa9ce, 0xa9ce),
    (0xa9da, 0xa9dd), (0xa9ff, 0xa9ff), (0xaa37, 0xaa3f), (0xaa4e, 0xaa4f), (0xaa5a, 0xaa5b), (0xaac3, 0xaada),
    (0xaaf7, 0xab00), (0xab07, 0xab08), (0xab0f, 0xab10), (0xab17, 0xab1f), (0xab27, 0xab27), (0xab2f, 0xab2f),
    (0xab6c, 0xab6f), (0xabee, 0xabef), (0xabfa, 0xabff), (0xd7a4, 0xd7af), (0xd7c7, 0xd7ca), (0xd7fc, 0xf8ff),
    (0xfa6e, 0xfa6f), (0xfada, 0xfaff), (0xfb07, 0xfb12), (0xfb18, 0xfb1c), (0xfb37, 0xfb37), (0xfb3d, 0xfb3d),
    (0xfb3f, 0xfb3f), (0xfb42, 0xfb42), (0xfb45, 0xfb45), (0xfbc3, 0xfbd2), (0xfd90, 0xfd91), (0xfdc8, 0xfdce),
    (0xfdd0, 0xfdef), (0xfe1a, 0xfe1f), (0xfe53, 0xfe53), (0xfe67, 0xfe67), (0xfe6c, 0xfe6f), (0xfe75, 0xfe75),
    (0xfefd, 0xff00), (0xffbf, 0xffc1), (0xffc8, 0xffc9), (0xffd0, 0xffd1), (0xffd8, 0xffd9), (0xffdd, 0xffdf),
    (0xffe7, 0xffe7), (0xffef, 0xfffb), (0xfffe, 0xffff), (0x1000c, 0x1000c), (0x10027, 0x10027),
    (0x1003b, 0x1003b), (0x1003e, 0x1003e), (0x1004e, 0x1004f), (0x1005e, 0x1007f), (0x100fb, 0x100ff),
    (0x10103, 0x10106), (0x10134, 0x10136), (0x1018f, 0x1018f), (0x1019d, 0x1019f), (0x101a1, 0x101cf),
    (0x101fe, 0x1027f), (0x1029d, 0x1029f), (0x102d1, 0x102df), (0x102fc, 0x102ff), (0x10324, 0x1032c),
    (0x1034b, 0x1034f), (0x1037b, 0x1037f), (0x1039e, 0x1039e), (0x103c4, 0x103c7), (0x103d6, 0x103ff),
    (0x1049e, 0x1049f), (0x104aa, 0x104af), (0x104d4, 0x104d7), (0x104fc, 0x104ff), (0x10528, 0x1052f),
    (0x10564, 0x1056e), (0x1057b, 0x1057b), (0x1058b, 0x1058b), (0x10593, 0x10593), (0x10596, 0x10596),
    (0x105a2, 0x105a2), (0x105b2, 0x105b2), (0x105ba, 0x105ba), (0x105bd, 0x105ff), (0x10737, 0x1073f),
    (0x10756, 0x1075f), (0x10768, 0x1077f), (0x10786, 0x10786), (0x107b1, 0x107b1), (0x107bb, 0x107ff),
    (0x10806, 0x10807), (0x10809, 0x10809), (0x10836, 0x10836), (0x10839, 0x1083b), (0x1083d, 0x1083e),
    (0x10856, 0x10856), (0x1089f, 0x108a6), (0x108b0, 0x108df), (0x108f3, 0x108f3), (0x108f6, 0x108fa),
    (0x1091c, 0x1091e), (0x1093a, 0x1093e), (0x10940, 0x1097f), (0x109b8, 0x109bb), (0x109d0, 0x109d1),
    (0x10a04, 0x10a04), (0x10a07, 0x10a0b), (0x10a14, 0x10a14), (0x10a18, 0x10a18), (0x10a36, 0x10a37),
    (0x10a3b, 0x10a3e), (0x10a49, 0x10a4f), (0x10a59, 0x10a5f), (0x10aa0, 0x10abf), (0x10ae7, 0x10aea),
    (0x10af7, 0x10aff), (0x10b36, 0x10b38), (0x10b56, 0x10b57), (0x10b73, 0x10b77), (0x10b92, 0x10b98),
    (0x10b9d, 0x10ba8), (0x10bb0, 0x10bff), (0x10c49, 0x10c7f), (0x10cb3, 0x10cbf), (0x10cf3, 0x10cf9),
    (0x10d28, 0x10d2f), (0x10d3a, 0x10e5f), (0x10e7f, 0x10e7f), (0x10eaa, 0x10eaa), (0x10eae, 0x10eaf),
    (0x10eb2, 0x10eff), (0x10f28, 0x10f2f), (0x10f5a, 0x10f6f), (0x10f8a, 0x10faf), (0x10fcc, 0x10fdf),
    (0x10ff7, 0x10fff), (0x1104e, 0x11051), (0x11076, 0x1107e), (0x110bd, 0x110bd), (0x110c3, 0x110cf),
    (0x110e9, 0x110ef), (0x110fa, 0x110ff), (0x11135, 0x11135), (0x11148, 0x1114f), (0x11177, 0x1117f),
    (0x111e0, 0x111e0), (0x111f5, 0x111ff), (0x11212, 0x11212), (0x1123f, 0x1127f), (0x11287, 0x11287),
    (0x11289, 0x11289), (0x1128e, 0x1128e), (0x1129e, 0x1129e), (0x112aa, 0x112af), (0x112eb, 0x112ef),
    (0x112fa, 0x112ff), (0x11304, 0x11304), (0x1130d, 0x1130e), (0x11311, 0x11312), (0x11329, 0x11329),
    (0x11331, 0x11331), (0x11334, 0x11334), (0x1133a, 0x1133a), (0x11345, 0x11346), (0x11349, 0x1134a),
    (0x1134e, 0x1134f), (0x11351, 0x11356), (0x11358, 0x1135c), (0x11364, 0x11365), (0x1136d, 0x1136f),
    (0x11375, 0x113ff), (0x1145c, 0x1145c), (0x11462, 0x1147f), (0x114c8, 0x114cf), (0x114da, 0x1157f),
    (0x115b6, 0x115b7), (0x115de, 0x115ff), (0x11645, 0x1164f), (0x1165a, 0x1165f), (0x1166d, 0x1167f),
    (0x116ba, 0x116bf), (0x116ca, 0x116ff), (0x1171b, 0x1171c), (0x1172c, 0x1172f), (0x11747, 0x117ff),
    (0x1183c, 0x1189f), (0x118f3, 0x118fe), (0x11907, 0x11908), (0x1190a, 0x1190b), (0x11914, 0x11914),
    (0x11917, 0x11917), (0x11936, 0x11936), (0x11939, 0x1193a), (0x11947, 0x1194f), (0x1195a, 0x1199f),
    (0x119a8, 0x119a9), (0x119d8, 0x119d9), (0x119e5, 0x119ff), (0x11a48, 0x11a4f), (0x11aa3, 0x11aaf),
    (0x11af9, 0x11bff), (0x11c09, 0x11c09), (0x11c37, 0x11c37), (0x11c46, 0x11c4f), (0x11c6d, 0x11c6f),
    (0x11c90, 0x11c91), (0x11ca8, 0x11ca8), (0x11cb7, 0x11cff), (0x11d07, 0x11d07), (0x11d0a, 0x11d0a),
    (0x11d37, 0x11d39), (0x11d3b, 0x11d3b), (0x11d3e, 0x11d3e), (0x11d48, 0x11d4f), (0x11d5a, 0x11d5f),
    (0x11d66, 0x11d66), (0x11d69, 0x11d69), (0x11d8f, 0x11d8f), (0x11d92, 0x11d92), (0x11d99, 0x11d9f),
    (0x11daa, 0x11edf), (0x11ef9, 0x11faf), (0x11fb1, 0x11fbf), (0x11ff2, 0x11ffe), (0x1239a, 0x123ff),
    (0x1246f, 0x1246f), (0x12475, 0x1247f), (0x12544, 0x12f8f), (0x12ff3, 0x12fff), (0x1342f, 0x143ff),
    (0x14647, 0x167ff), (0x16a39, 0x16a3f), (0x16a5f, 0x16a5f), (0x16a6a, 0x16a6d), (0x16abf, 0x16abf),
    (0x16aca, 0x16acf), (0x16aee, 0x16aef), (0x16af6, 0x16aff), (0x16b46, 0x16b4f), (0x16b5a, 0x16b5a),
    (0x16b62, 0x16b62), (0x16b78, 0x16b7c), (0x16b90, 0x16e3f), (0x16e9b, 0x16eff), (0x16f4b, 0x16f4e),
    (0x16f88, 0x16f8e), (0x16fa0, 0x16fdf), (0x16fe5, 0x16fef), (0x16ff2, 0x16fff), (0x187f8, 0x187ff),
    (0x18cd6, 0x18cff), (0x18d09, 0x1afef), (0x1aff4, 0x1aff4), (0x1affc, 0x1affc), (0x1afff, 0x1afff),
    (0x1b123, 0x1b14f), (0x1b153, 0x1b163), (0x1b168, 0x1b16f), (0x1b2fc, 0x1bbff), (0x1bc6b, 0x1bc6f),
    (0x1bc7d, 0x1bc7f), (0x1bc89, 0x1bc8f), (0x1bc9a, 0x1bc9b), (0x1bca0, 0x1ceff), (0x1cf2e, 0x1cf2f),
    (0x1cf47, 0x1cf4f), (0x1cfc4, 0x1cfff), (0x1d0f6, 0x1d0ff), (0x1d127, 0x1d128), (0x1d173, 0x1d17a),
    (0x1d1eb, 0x1d1ff), (0x1d246, 0x1d2df), (0x1d2f4, 0x1d2ff), (0x1d357, 0x1d35f), (0x1d379, 0x1d3ff),
    (0x1d455, 0x1d455), (0x1d49d, 0x1d49d), (0x1d4a0, 0x1d4a1), (0x1d4a3, 0x1d4a4), (0x1d4a7, 0x1d4a8),
    (0x1d4ad, 0x1d4ad), (0x1d4ba, 0x1d4ba), (0x1d4bc, 0x1d4bc), (0x1d4c4, 0x1d4c4), (0x1d506, 0x1d506),
    (0x1d50b, 0x1d50c), (0x1d515, 0x1d515), (0x1d51d, 0x1d51d), (0x1d53a, 0x1d53a), (0x1d53f, 0x1d53f),
    (0x1d545, 0x1d545), (0x1d547, 0x1d549), (0x1d551, 0x1d551), (0x1d6a6, 0x1d6a7), (0x1d7cc, 0x1d7cd),
    (0x1da8c, 0x1da9a), (0x1daa0, 0x1daa0), (0x1dab0, 0x1deff), (0x1df1f, 0x1dfff), (0x1e007, 0x1e007),
    (0x1e019, 0x1e01a), (0x1e022, 0x1e022), (0x1e025, 0x1e025), (0x1e02b, 0x1e0ff), (0x1e12d, 0x1e12f),
    (0x1e13e, 0x1e13f), (0x1e14a, 0x1e14d), (0x1e150, 0x1e28f), (0x1e2af, 0x1e2bf), (0x1e2fa, 0x1e2fe),
    (0x1e300, 0x1e7df), (0x1e7e7, 0x1e7e7), (0x1e7ec, 0x1e7ec), (0x1e7ef, 0x1e7ef), (0x1e7ff, 0x1e7ff),
    (0x1e8c5, 0x1e8c6), (0x1e8d7, 0x1e8ff), (0x1e94c, 0x1e94f), (0x1e95a, 0x1e95d), (0x1e960, 0x1ec70),
    (0x1ecb5, 0x1ed00), (0x1ed3e, 0x1edff), (0x1ee04, 0x1ee04), (0x1ee20, 0x1ee20), (0x1ee23, 0x1ee23),
    (0x1ee25, 0x1ee26), (0x1ee28, 0x1ee28), (0x1ee33, 0x1ee33), (0x1ee38, 0x1ee38), (0x1ee3a, 0x1ee3a),
    (0x1ee3c, 0x1ee41), (0x1ee43, 0x1ee46), (0x1ee48, 0x1ee48), (0x1ee4a, 0x1ee4a), (0x1ee4c, 0x1ee4c),
    (0x1ee50, 0x1ee50), (0x1ee53, 0x1ee53), (0x1ee55, 0x1ee56), (0x1ee58, 0x1ee58), (0x1ee5a, 0x1ee5a),
    (0x1ee5c, 0x1ee5c), (0x1ee5e, 0x1ee5e), (0x1ee60, 0x1ee60), (0x1ee63, 0x1ee63), (0x1ee65, 0x1ee66),
    (0x1ee6b, 0x1ee6b), (0x1ee73, 0x1ee73), (0x1ee78, 0x1ee78), (0x1ee7d, 0x1ee7d), (0x1ee7f, 0x1ee7f),
    (0x1ee8a, 0x1ee8a), (0x1ee9c, 0x1eea0), (0x1eea4, 0x1eea4), (0x1eeaa, 0x1eeaa), (0x1eebc, 0x1eeef),
    (0x1eef2, 0x1efff), (0x1f02c, 0x1f02f), (0x1f094, 0x1f09f), (0x1f0af, 0x1f0b0), (0x1f0c0, 0x1f0c0),
    (0x1f0d0, 0x1f0d0), (0x1f0f6, 0x1f0ff), (0x1f1ae, 0x1f1e5), (0x1f203, 0x1f20f), (0x1f23c, 0x1f23f),
    (0x1f249, 0x1f24f), (0x1f252, 0x1f25f), (0x1f266, 0x1f2ff), (0x1f6d8, 0x1f6dc), (0x1f6ed, 0x1f6ef),
    (0x1f6fd, 0x1f6ff), (0x1f774, 0x1f77f), (0x1f7d9, 0x1f7df), (0x1f7ec, 0x1f7ef), (0x1f7f1, 0x1f7ff),
    (0x1f80c, 0x1f80f), (0x1f848, 0x1f84f), (0x1f85a, 0x1f85f), (0x1f888, 0x1f88f), (0x1f8ae, 0x1f8af),
    (0x1f8b2, 0x1f8ff), (0x1fa54, 0x1fa5f), (0x1fa6e, 0x1fa6f), (0x1fa75, 0x1fa77), (0x1fa7d, 0x1fa7f),
    (0x1fa87, 0x1fa8f), (0x1faad, 0x1faaf), (0x1fabb, 0x1fabf), (0x1fac6, 0x1facf), (0x1fada, 0x1fadf),
    (0x1fae8, 0x1faef), (0x1faf7, 0x1faff), (0x1fb93, 0x1fb93), (0x1fbcb, 0x1fbef), (0x1fbfa, 0x1ffff),
    (0x2a6e0, 0x2a6ff), (0x2b739, 0x2b73f), (0x2b81e, 0x2b81f), (0x2cea2, 0x2ceaf), (0x2ebe1, 0x2f7ff),
    (0x2fa1e, 0x2ffff), (0x3134b, 0xe00ff), (0xe01f0, 0x10ffff),
];

/// The zero of each script's ten decimal digits, which follow each other: all `c` with `chr(c).isdecimal()` and
/// `int(chr(c)) == 0`, from CPython 3.11.7.
#[rustfmt::skip]
const DECIMAL_ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
    0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
    0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0,
    0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50,
    0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950,
    0x1fbf0,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Object;

    fn number(text: &str) -> Value {
        Value::Number(Number::from_text(text))
    }

    #[test]
    fn formats_numbers_as_python_does() {
        // Value, specification, result; no result where Python raises. Recorded from CPython 3.11.7.
        let rows = [
            ("1234", "010,", Some("00,001,234")),
            ("-1234", "+09_", Some("-0_001_234")),
            ("255", "#06x", Some("0x00ff")),
            ("-70000", "#_b", Some("-0b1_0001_0001_0111_0000")),
            ("18446744073709551616", "X", Some("10000000000000000")),
            ("255", ",x", None),
            ("128512", "*^5c", Some("**😀**")),
            ("1114112", "c", None),
            ("65", "+c", None),
            ("1", ".3", None),
            ("1", "z", None),
            ("1", "s", None),
            ("1", "1,_", None),
            ("1", "٣d", Some("  1")),
            ("-0", "+", Some("+0")),
            ("3", "%", Some("300.000000%")),
            ("1.5", "", Some("1.5")),
            ("1e400", "", Some("inf")),
            ("1E22", ",", Some("1e+22")),
            ("1e16", "", Some("1e+16")),
            ("0.00001", "", Some("1e-05")),
            ("1125899906842624.25", "", Some("1125899906842624.2")),
            ("2.5", ".0f", Some("2")),
            ("2.5", "#.0f", Some("2.")),
            ("123456.0", ".5", Some("1.2346e+05")),
            ("123456.0", ".6g", Some("123456")),
            ("1.0", "#.4G", Some("1.000")),
            ("1e20", "#", Some("1.e+20")),
            ("-0.04", "z.1f", Some("0.0")),
            ("1234567.891", "→>14,.1f", Some("→→→1,234,567.9")),
            ("NaN", "+06F", Some("+00NAN")),
            ("-Infinity", "010,", Some("-000000inf")),
            ("1.0", ".", None),
            ("1.0", "d", None),
            ("1.0", ".2147483648f", None),
        ];
        for (value, spec, expected) in rows {
            assert_eq!(format(&number(value), spec).ok().as_deref(), expected, "{value} {spec:?}");
        }
        assert!(format(&number(&"9".repeat(309)), "f").is_err(), "beyond a double");
    }

    #[test]
    fn formats_other_values_as_python_does() {
        let text = Value::from("aé😀");
        for (spec, expected) in [
            ("", Some("aé😀")),
            ("05", Some("aé😀00")),
            ("^6.2s", Some("  aé  ")),
            ("=5", None),
            ("+", None),
            (",", None),
            ("d", None),
        ] {
            assert_eq!(format(&text, spec).ok().as_deref(), expected, "{spec:?}");
        }
        assert_eq!(format(&Value::Bool(true), ""), Ok("True".into()));
        assert_eq!(format(&Value::Bool(true), "3"), Ok("  1".into()));
        assert_eq!(format(&Value::Null, ""), Ok("None".into()));
        assert!(format(&Value::Null, "5").is_err());
    }

    #[test]
    fn represents_values_as_python_does() {
        let object = Object::from_iter([("it's".to_owned(), number("-0")), ("\"'".to_owned(), Value::Null)]);
        let value = Value::Array(vec![Value::Object(object), Value::Bool(false), "\t\u{7f}é\u{ad}\u{e000}😀".into()]);
        assert_eq!(repr(&value), r#"[{"it's": 0, '"\'': None}, False, '\t\x7fé\xad\ue000😀']"#);
        assert_eq!(str(&value), repr(&value));
        assert_eq!(ascii(&"\u{ff}→😀'".into()), r#""\xff\u2192\U0001f600'""#);

        let raw = Value::Raw(r#""\ud83d\ude00\ud800é\/\"""#.into());
        assert_eq!(str(&raw), "😀\u{fffd}é/\"");
        assert_eq!(repr(&raw), r#"'😀\ud800é/"'"#);
        let raw = Value::Raw(r#"{"\uDC00" : [1e5,null , true]}"#.into());
        assert_eq!(str(&raw), r"{'\udc00': [100000.0, None, True]}");
    }

    #[test]
    fn output_is_bounded() {
        let wide = "😀>300000";
        assert_eq!(format(&Value::from("a"), "1048577"), Err(FormatError::TooLong));
        assert_eq!(format(&Value::from("a"), wide), Err(FormatError::TooLong));
        assert_eq!(format(&number("1"), "0999999999999,"), Err(FormatError::TooLong));
        assert_eq!(format(&number("1"), ".999999999f"), Err(FormatError::TooLong));
        assert_eq!(format(&number("1"), "1048576").map(|text| text.len()), Ok(MAX_WIDTH));
        assert_eq!(format(&number("0.5"), ".1000000f").map(|text| text.len()), Ok(1_000_002));
        assert_eq!(format(&"x".repeat(MAX_WIDTH + 1).into(), ""), Err(FormatError::TooLong));
    }

    #[test]
    fn a_specification_suits_some_value() {
        for spec in ["", ">10", ".3", "z", "=5", ",", "#x", "_b", "c", "s", "n", ".2%", "{<3"] {
            assert!(parse_spec(spec).is_ok(), "{spec:?}");
        }
        for spec in [",s", "+s", "zd", ".2x", ",n", "q", "5.", "1,_", "=5s", "dd", "99999999999999999999"] {
            assert!(matches!(parse_spec(spec), Err(FormatError::Invalid { .. })), "{spec:?}");
        }
        assert_eq!(parse_spec("1048577"), Err(FormatError::TooLong));
    }
}
