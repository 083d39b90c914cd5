//! How a value that does not fit is described.

use std::borrow::Cow;

use jsonschema::JsonType;

use super::leaf::{LeafKind, shorten};
use super::{Fault, Problem, SchemaValue, Unfit, Violation, reads_as_number};
use crate::diagnostic::nearest;
use crate::syntax::{Kind, NodeRef, Tree};
use crate::value::{self, Value};

pub(super) fn fault(tree: &Tree, whole: &str, violation: Violation) -> Fault {
    let node = tree.node(violation.node);
    let what = if violation.path.is_empty() { whole.to_owned() } else { format!("`{}`", violation.path) };
    let did_you_mean = |meant: Option<String>| meant.map(|meant| format!("did you mean `{meant}`?"));
    match violation.problem {
        Problem::Missing(name) => {
            Fault { span: node.head(), message: format!("{what} has no `{name}`"), help: None, is_missing: true }
        }
        Problem::Unknown { name, key, meant } => {
            let span = key.map_or(node.head(), |key| tree.node(key).span());
            Fault {
                span,
                message: format!("{what} has the unknown key `{name}`"),
                help: did_you_mean(meant),
                is_missing: false,
            }
        }
        Problem::Unfit { predicate, meant, .. } => Fault {
            span: node.head(),
            message: format!("{what} {predicate}"),
            help: did_you_mean(meant),
            is_missing: false,
        },
    }
}

/// What a message is about.
pub(super) struct Subject<'a> {
    pub(super) node: NodeRef<'a>,
    /// What stands in its place.
    pub(super) filled: Option<&'a Value>,
    pub(super) coerced: bool,
}

impl Subject<'_> {
    fn show(&self) -> String {
        let text = match self.filled {
            Some(value) => value.to_json(),
            // In YAML it may be written in many lines.
            None if self.node.kind() == Kind::String && self.node.raw().contains('\n') => {
                Value::from(self.node.text().into_owned()).to_json()
            }
            None => self.node.raw().to_owned(),
        };
        shorten(&text)
    }

    fn describe(&self) -> String {
        match (self.filled, self.node.kind()) {
            (Some(value), _) => match value {
                Value::Array(_) | Value::Object(_) | Value::Null => value.describe().to_owned(),
                _ => format!("`{}`", self.show()),
            },
            (None, Kind::Array | Kind::Object | Kind::Null | Kind::Missing) => self.node.describe().to_owned(),
            _ => format!("`{}`", self.show()),
        }
    }

    fn is_text(&self) -> bool {
        match self.filled {
            Some(value) => matches!(value, Value::String(_)),
            None => self.node.kind() == Kind::String,
        }
    }

    pub(super) fn problem(&self, kind: LeafKind) -> Problem {
        let filled_in = self.node.has_braces() && self.node.kind() == Kind::String;
        let verb = if filled_in { "becomes" } else { "is" };
        let plain = |why, predicate: String| Problem::Unfit { why, predicate, meant: None, replacement: None };
        let within = |why, predicate: String| match filled_in {
            true => plain(Unfit::Other, format!("becomes {}, which {predicate}", self.describe())),
            false => plain(why, predicate),
        };
        match kind {
            LeafKind::Types(types) => {
                let wanted = types_in_words(&types);
                let what = self.describe();
                if !self.is_text() {
                    return plain(Unfit::Other, format!("{verb} {what}, not {wanted}"));
                }
                let readable =
                    types.iter().any(|kind| matches!(kind, JsonType::Integer | JsonType::Number | JsonType::Boolean));
                if self.coerced && readable {
                    return plain(Unfit::Other, format!("{verb} {what}, which does not read as {wanted}"));
                }
                let text = self.node.text();
                let number = reads_as_number(&text).filter(|number| {
                    types.contains(&JsonType::Number) || (types.contains(&JsonType::Integer) && number.is_integer())
                });
                let replacement = match (&*text, number) {
                    _ if filled_in => None,
                    (_, Some(number)) => {
                        serde_json::from_str::<serde_json::Number>(number.as_str()).ok().map(|n| n.to_string())
                    }
                    ("true" | "false", None) if types.contains(&JsonType::Boolean) => Some(text.to_string()),
                    _ => None,
                };
                Problem::Unfit {
                    why: Unfit::Other,
                    predicate: format!("{verb} the text {what}, not {wanted}"),
                    meant: None,
                    replacement: replacement.map(|text| (text, true)),
                }
            }
            LeafKind::Options(options) => {
                let texts: Vec<&str> = options.iter().filter_map(SchemaValue::as_str).collect();
                let text = self.filled.map_or_else(
                    || self.node.text(),
                    |value| Cow::Owned(value.as_str().unwrap_or_default().to_owned()),
                );
                let meant = if self.is_text() { nearest(&text, texts.iter().copied()) } else { None };
                let replacement = meant.filter(|_| !filled_in).map(|meant| {
                    let mut quoted = String::new();
                    value::write_string(&mut quoted, meant);
                    (quoted, false)
                });
                const MOST: usize = 8;
                let mut list: Vec<String> = options
                    .iter()
                    .take(MOST)
                    .map(|option| match option.as_str() {
                        Some(text) => format!("`{}`", shorten(text)),
                        None => format!("`{}`", shorten(&option.to_string())),
                    })
                    .collect();
                if options.len() > MOST {
                    list.push(format!("{} more", options.len() - MOST));
                }
                let wanted = match list.as_slice() {
                    [only] => only.clone(),
                    _ => format!("one of {}", list.join(", ")),
                };
                let predicate = format!("{verb} {}, not {wanted}", self.describe());
                Problem::Unfit { why: Unfit::Other, predicate, meant: meant.map(str::to_owned), replacement }
            }
            LeafKind::Size(predicate) => plain(Unfit::Other, predicate),
            LeafKind::Is(what) if !filled_in && self.node.kind() == Kind::Number => {
                plain(Unfit::Other, format!("is {}, which is {what}", self.describe()))
            }
            LeafKind::Is(what) => within(Unfit::Other, format!("is {what}")),
            LeafKind::Pattern(predicate) => within(Unfit::Pattern, predicate),
            LeafKind::Form(predicate) => within(Unfit::Form, predicate),
            LeafKind::Forbidden(predicate) => within(Unfit::Forbidden, predicate),
            LeafKind::Other(predicate) => within(Unfit::Other, predicate),
            LeafKind::Missing(name) => Problem::Missing(name),
            LeafKind::Unknown(names) => {
                Problem::Unknown { name: names.into_iter().next().unwrap_or_default(), key: None, meant: None }
            }
        }
    }
}

pub(super) fn types_in_words(types: &[JsonType]) -> String {
    let word = |kind: &JsonType| match kind {
        JsonType::Null => "null",
        JsonType::Boolean => "a boolean",
        JsonType::Integer => "an integer",
        JsonType::Number => "a number",
        JsonType::String => "a string",
        JsonType::Array => "a list",
        JsonType::Object => "an object",
    };
    let mut words: Vec<&str> = Vec::new();
    for kind in types.iter().filter(|kind| **kind != JsonType::Null || types.len() == 1) {
        if !words.contains(&word(kind)) {
            words.push(word(kind));
        }
    }
    words.join(" or ")
}
