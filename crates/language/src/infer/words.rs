//! Types in words.

use std::fmt;

use super::types::{ALL, ARRAY, BOOL, FRACTION, INTEGER, Kinds, NULL, NUMBER, OBJECT, Reading, SCALAR, TEXT, Type};
use crate::schema::Pattern;

impl fmt::Display for Type {
    /// In words: `integer`, `list of texts`, `object with id, name`; with `#` as part of a sentence: `an integer`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(values) = &self.values {
            const MOST: usize = 6;
            let shown =
                values.iter().take(MOST).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            let mut shown: Vec<String> = shown.collect();
            if values.len() > MOST {
                shown.push("…".to_owned());
            }
            return match f.alternate() {
                true => write!(f, "one of {}", shown.join(", ")),
                false => f.write_str(&shown.join(" | ")),
            };
        }
        if self.kinds == ALL && self.keys.is_empty() {
            return f.write_str("anything");
        }
        let mut parts: Vec<String> = Vec::new();
        let has = |kind: Kinds| self.kinds & kind != 0;
        let article = |word: &str| match word.starts_with(['a', 'e', 'i', 'o', 'u']) {
            _ if !f.alternate() => word.to_owned(),
            true => format!("an {word}"),
            false => format!("a {word}"),
        };
        // A number or boolean stands for its text, and where values are coerced for one another.
        let as_text = self.kinds & SCALAR == SCALAR && self.reading == Reading::Any;
        let as_other = |reading: Reading| has(TEXT) && has(BOOL) && self.reading == reading;
        let limits = match self.range {
            (i64::MIN, i64::MAX) => String::new(),
            (least, i64::MAX) => format!(" of at least {least}"),
            (i64::MIN, greatest) => format!(" of at most {greatest}"),
            (least, greatest) => format!(" from {least} to {greatest}"),
        };
        match self.kinds & NUMBER {
            _ if as_text || as_other(Reading::Boolean) => {}
            NUMBER => parts.push(article("number") + &limits),
            INTEGER => parts.push(article("integer") + &limits),
            FRACTION => parts.push(article("number with a fraction") + &limits),
            _ => {}
        }
        if has(BOOL) && !as_text && !as_other(Reading::Number) && !as_other(Reading::Integer) {
            parts.push(article("boolean"));
        }
        if has(TEXT) {
            let reading = match self.reading {
                Reading::Any => "text",
                Reading::Number => "text of a number",
                Reading::Integer => "text of an integer",
                Reading::Boolean => "text of a boolean",
            };
            parts.push(match self.patterns.as_slice() {
                _ if self.kinds != TEXT => reading.to_owned(),
                [] => reading.to_owned(),
                patterns => {
                    let patterns: Vec<&str> = patterns.iter().map(Pattern::text).collect();
                    format!("{reading} that matches `{}`", patterns.join("` and `"))
                }
            });
        }
        if has(ARRAY) {
            parts.push(match &self.items {
                Some(items) if !items.is_any() => match (Self { patterns: Vec::new(), ..*items.clone() }).to_string() {
                    word if word.bytes().all(|byte| byte.is_ascii_lowercase()) => article(&format!("list of {word}s")),
                    words => article(&format!("list of {words}")),
                },
                _ if self.length > 0 => article(&format!("list of at least {}", self.length)),
                _ => article("list"),
            });
        }
        if has(OBJECT) {
            let keys: Vec<&str> = self.keys.keys().map(String::as_str).collect();
            parts.push(if keys.is_empty() {
                article("object")
            } else {
                article(&format!("object with {}", keys.join(", ")))
            });
        }
        if has(NULL) {
            parts.push("null".to_owned());
        }
        if parts.is_empty() {
            parts.push("nothing".to_owned());
        }
        f.write_str(&parts.join(" or "))
    }
}
