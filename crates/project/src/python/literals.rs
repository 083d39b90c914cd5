//! Literals of Python: their values, and what only text can do.

use ruff_python_ast::{Expr, Number, Pattern, UnaryOp};
use serde_json::{Map, Value};

/// Methods that only text has.
pub(super) const OF_TEXT: [&str; 37] = [
    "startswith",
    "endswith",
    "split",
    "rsplit",
    "strip",
    "lstrip",
    "rstrip",
    "replace",
    "lower",
    "upper",
    "title",
    "capitalize",
    "encode",
    "splitlines",
    "partition",
    "rpartition",
    "rindex",
    "rfind",
    "removeprefix",
    "removesuffix",
    "isdigit",
    "isnumeric",
    "isdecimal",
    "isalpha",
    "isalnum",
    "isspace",
    "isupper",
    "islower",
    "istitle",
    "isidentifier",
    "isascii",
    "zfill",
    "ljust",
    "rjust",
    "swapcase",
    "casefold",
    "format",
];

/// The value of a literal that JSON can hold.
pub(super) fn constant(expression: &Expr) -> Option<Value> {
    Some(match expression {
        Expr::StringLiteral(text) => Value::from(text.value.to_str()),
        Expr::BooleanLiteral(literal) => Value::Bool(literal.value),
        Expr::NoneLiteral(_) => Value::Null,
        Expr::NumberLiteral(number) => match &number.value {
            Number::Int(number) => Value::from(number.as_i64()?),
            Number::Float(number) => Value::from(*number),
            Number::Complex { .. } => return None,
        },
        Expr::UnaryOp(operation) if operation.op == UnaryOp::USub => match constant(&operation.operand)? {
            Value::Number(number) => number
                .as_i64()
                .map(|number| Value::from(-number))
                .or_else(|| number.as_f64().map(|n| Value::from(-n)))?,
            _ => return None,
        },
        Expr::List(list) => Value::Array(list.elts.iter().map(constant).collect::<Option<_>>()?),
        Expr::Tuple(tuple) => Value::Array(tuple.elts.iter().map(constant).collect::<Option<_>>()?),
        Expr::Dict(dict) => {
            let mut object = Map::new();
            for item in &dict.items {
                let Some(Value::String(key)) = item.key.as_ref().and_then(constant) else { return None };
                object.insert(key, constant(&item.value)?);
            }
            Value::Object(object)
        }
        _ => return None,
    })
}

/// The texts that a pattern stands for.
pub(super) fn pattern_texts(pattern: &Pattern) -> Vec<String> {
    match pattern {
        Pattern::MatchValue(value) => match &*value.value {
            Expr::StringLiteral(text) => vec![text.value.to_str().to_owned()],
            _ => Vec::new(),
        },
        Pattern::MatchOr(either) => either.patterns.iter().flat_map(pattern_texts).collect(),
        _ => Vec::new(),
    }
}
