//! JSON values as they travel: key order kept, numbers as written, Python's `NaN` and infinities included.
//!
//! Python writes and reads integers of any size, `NaN`, `Infinity` and `-Infinity`. A value that passes
//! through zrecipe must come out as it went in, so a number is its own text and nothing is rounded.

use std::fmt::Write as _;

use indexmap::IndexMap;

/// A JSON object in the order in which it was written. A repeated key keeps its first place and its last value,
/// as in Python.
pub type Object = IndexMap<String, Value>;

/// Any JSON value, and what Python's `json` module adds to JSON.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// `null`, Python's `None`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(Number),
    /// A string, decoded.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
    /// JSON text that a Rust string cannot hold (an unpaired surrogate such as `"\ud800"`), passed through unchanged.
    Raw(Box<str>),
}

/// A number exactly as its author wrote it: a JSON number, `NaN`, `Infinity` or `-Infinity`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number(Box<str>);

impl Number {
    /// Wraps text that a JSON reader has recognised as a number.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The number as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether Python reads it as an `int`: no fraction, no exponent, finite.
    pub fn is_integer(&self) -> bool {
        self.0.bytes().all(|b| b.is_ascii_digit() || b == b'-')
    }

    /// The integer, when it is written as one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok().filter(|_| self.is_integer())
    }

    /// The nearest floating-point number, as Python's `float` would read it; beyond its range an infinity.
    pub fn as_f64(&self) -> f64 {
        match &*self.0 {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            text => text.parse().unwrap_or(f64::NAN),
        }
    }
}

impl Value {
    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The array, if it is one.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The integer, if it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// The member `key` of an object; nothing for any other value.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// Where the first number is that JSON cannot say, `NaN` or an infinity, as a path: `a.b[2]`; empty for the value itself.
    pub fn non_finite(&self) -> Option<String> {
        match self {
            Value::Number(number) => matches!(number.as_str(), "NaN" | "Infinity" | "-Infinity").then(String::new),
            Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| {
                let below = item.non_finite()?;
                Some(format!("[{at}]{}{below}", if below.is_empty() || below.starts_with('[') { "" } else { "." }))
            }),
            Value::Object(members) => members.iter().find_map(|(key, item)| {
                let below = item.non_finite()?;
                Some(format!("{key}{}{below}", if below.is_empty() || below.starts_with('[') { "" } else { "." }))
            }),
            _ => None,
        }
    }

    /// Whether Python would call it true: not `null`, `false`, zero or empty.
    pub fn is_truthy(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => number.as_f64() != 0.0,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(object) => !object.is_empty(),
            Value::Raw(_) => true,
        }
    }

    /// What a reader of a message calls its type: `a string`, `a number`, …
    pub fn describe(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) | Value::Raw(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// Compact JSON text on one line (UTF-8, not escaped beyond what JSON asks for).
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        write_value(&mut out, self, None, 0);
        out
    }

    /// JSON text for people: two spaces a level.
    pub fn to_json_pretty(&self) -> String {
        let mut out = String::new();
        write_value(&mut out, self, Some("  "), 0);
        out
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Number(Number(value.to_string().into()))
    }
}

impl From<f64> for Value {
    /// Written as Python's `json` would: `NaN` and the infinities by name.
    fn from(value: f64) -> Self {
        let text = if value.is_nan() {
            "NaN".to_owned()
        } else if value.is_infinite() {
            if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        } else {
            format!("{value:?}")
        };
        Value::Number(Number(text.into()))
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Value::Array(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Value::Object(object)
    }
}

impl<K: Into<String>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Value {
    fn from(members: [(K, V); N]) -> Self {
        Value::Object(members.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

fn write_value(out: &mut String, value: &Value, indent: Option<&str>, level: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(number.as_str()),
        Value::String(text) => write_string(out, text),
        Value::Raw(text) => out.push_str(text),
        Value::Array(items) => {
            write_sequence(out, '[', ']', indent, level, items.iter(), |out, item| {
                write_value(out, item, indent, level + 1);
            });
        }
        Value::Object(object) => {
            write_sequence(out, '{', '}', indent, level, object.iter(), |out, (key, value)| {
                write_string(out, key);
                out.push(':');
                if indent.is_some() {
                    out.push(' ');
                }
                write_value(out, value, indent, level + 1);
            });
        }
    }
}

fn write_sequence<T>(
    out: &mut String,
    open: char,
    close: char,
    indent: Option<&str>,
    level: usize,
    items: impl ExactSizeIterator<Item = T>,
    mut write_item: impl FnMut(&mut String, T),
) {
    out.push(open);
    let empty = items.len() == 0;
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        new_line(out, indent, level + 1);
        write_item(out, item);
    }
    if !empty {
        new_line(out, indent, level);
    }
    out.push(close);
}

fn new_line(out: &mut String, indent: Option<&str>, level: usize) {
    if let Some(indent) = indent {
        out.push('\n');
        for _ in 0..level {
            out.push_str(indent);
        }
    }
}

/// Appends `text` as a JSON string literal, quotes included.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x00..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[clean..at]);
        clean = at + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[clean..]);
    out.push('"');
}
