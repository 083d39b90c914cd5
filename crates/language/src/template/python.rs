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

mod format;
mod unicode;

use std::fmt::Write as _;

use self::format::float_body;
pub use self::format::{Align, Kind, Sign, Spec, format, parse_spec};
pub(super) use self::unicode::decimal_digit;
use self::unicode::is_printable;
use crate::value::{Number, Object, Value};

/// What a placeholder may produce at most, in bytes.
pub const MAX_WIDTH: usize = 1 << 20;

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

/// A text as it stands in what `ascii` returns of an object whose representation it is.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let _ = match character {
            ..'\u{80}' => write!(out, "{character}"),
            ..'\u{100}' => write!(out, "\\x{:02x}", u32::from(character)),
            ..'\u{10000}' => write!(out, "\\u{:04x}", u32::from(character)),
            _ => write!(out, "\\U{:08x}", u32::from(character)),
        };
    }
    out
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

/// The sign and the digits of an integer literal; zero has no sign, other numbers no leading zeros.
fn integer_parts(literal: &str) -> (bool, &str) {
    let digits = literal.trim_start_matches('-').trim_start_matches('0');
    if digits.is_empty() { (false, "0") } else { (literal.starts_with('-'), digits) }
}

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
