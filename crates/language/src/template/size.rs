//! How large a template becomes, found before any text is made.

use super::python::{MAX_WIDTH, Spec};
use super::{Field, Found, Piece, Template, render};
use crate::value::{Object, Value};

/// Maximum number of bytes that all templates of a recipe may make together.
pub const MAX_TEXT: usize = 64 << 20;

impl Template {
    /// The number of bytes that the template makes, nearly: of text, or of JSON where a value is put in. Without
    /// parameters only literal text and widths count, which is the least that any parameters make of it.
    ///
    /// The answer may be less than the truth once it is above `limit`.
    pub fn size(&self, parameters: Option<&Object>, limit: usize) -> usize {
        let mut size = 0;
        let mut last = 0;
        for piece in &self.pieces {
            let part = match piece {
                Piece::Literal(_) if self.replace => 0,
                Piece::Literal(text) => text.len(),
                Piece::Field(field) if self.replace => {
                    // Only the last value is put in.
                    last = field.value_size(parameters, limit);
                    0
                }
                Piece::Field(field) => field.text_size(parameters, limit),
            };
            size += part;
            if size > limit {
                break;
            }
        }
        size + last
    }
}

impl Field {
    fn value_size(&self, parameters: Option<&Object>, limit: usize) -> usize {
        match parameters.map(|parameters| self.look_up(parameters)) {
            Some(Ok(Found::Value(value))) => value_size(&value, limit),
            _ => 0,
        }
    }

    fn text_size(&self, parameters: Option<&Object>, limit: usize) -> usize {
        let found = parameters.map(|parameters| self.look_up(parameters));
        let is_number = |value: &Value| matches!(value, Value::Number(_) | Value::Bool(_));
        let (natural, number) = match &found {
            Some(Ok(Found::Value(value))) => {
                // What is longer is rejected by itself.
                let size = value_size(value, limit.min(MAX_WIDTH));
                (size, is_number(value) && self.conversion.is_none())
            }
            _ => (0, false),
        };
        let spec = match (self.spec.as_slice(), parameters) {
            ([], _) => return natural,
            ([Piece::Literal(spec)], _) => Spec::parse(spec).ok(),
            (pieces, Some(parameters)) => render(pieces, parameters).ok().and_then(|spec| Spec::parse(&spec).ok()),
            (_, None) => None,
        };
        let Some(spec) = spec else { return natural };
        let width = spec.width.unwrap_or(0).min(MAX_WIDTH);
        let natural = match spec.precision.map(|precision| precision.min(MAX_WIDTH)) {
            None => natural,
            Some(precision) if number && (spec.alternate || spec.presentation.is_some_and(|c| "fFeE%".contains(c))) => {
                natural.max(precision)
            }
            Some(_) if number => natural,
            Some(precision) => natural.min(precision.saturating_mul(4)),
        };
        width.max(natural)
    }
}

/// The length of a value as JSON, nearly; counting stops above `limit`.
fn value_size(value: &Value, limit: usize) -> usize {
    let mut size = 0;
    let mut add = |part: usize| {
        size += part;
        size <= limit
    };
    walk(value, &mut add);
    size
}

/// Hands over the length of each part; ends where `add` has enough.
fn walk(value: &Value, add: &mut impl FnMut(usize) -> bool) -> bool {
    match value {
        Value::Null | Value::Bool(_) => add(4),
        Value::Number(number) => add(number.as_str().len()),
        Value::String(text) => add(text.len()),
        Value::Raw(text) => add(text.len()),
        Value::Array(items) => add(2) && items.iter().all(|item| add(2) && walk(item, add)),
        Value::Object(object) => add(2) && object.iter().all(|(key, item)| add(key.len() + 6) && walk(item, add)),
    }
}

#[cfg(test)]
mod tests {
    use crate::syntax::json::read_value;
    use crate::template::parse;

    #[test]
    fn sizes_are_those_of_the_text() {
        let parameters = br#"{"x": "abc", "n": 1.5, "w": 100, "list": ["aaaa", "bbbb"], "big": {"a": "0123456789"}}"#;
        let parameters = read_value(parameters).ok().and_then(|value| value.as_object().cloned()).unwrap_or_default();
        for (text, least, with) in [
            ("plain {x}", 6, 9),
            ("{x:>1000}{n:>1000}", 2000, 2000),
            ("{x:.2}", 0, 3),
            ("{n:.300f}", 0, 300),
            ("{n:.300g}", 0, 3),
            ("{x:{w}}", 0, 100),
            ("{list}", 0, 14),
            ("{$REPLACE:big}", 0, 19),
            ("{$REPLACE:big}{x}", 0, 3),
        ] {
            let Ok(template) = parse(text) else { panic!("{text} is a template") };
            assert_eq!(template.size(None, 1 << 20), least, "{text} without parameters");
            assert_eq!(template.size(Some(&parameters), 1 << 20), with, "{text}");
        }
    }
}
