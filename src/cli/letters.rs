//! Messages of queues as people see them: without secrets.

use std::fmt::Write as _;

use crate::ops::dead_letters::Letter;
use crate::secret;
use crate::value::Value;

/// The step that a message is for.
pub fn step_text(letter: &Letter) -> String {
    match letter.step() {
        Some((step, Some(service))) => format!("{step} ({service})"),
        Some((step, None)) => step.to_string(),
        None => "-".to_owned(),
    }
}

/// A message as a file has it, without secrets.
pub fn shown(letter: &Letter) -> Value {
    secret::hidden("", letter.to_value(&jiff::Zoned::now()))
}

/// Headers and body of what [`shown`] gives, indented.
pub fn parts(shown: &Value) -> String {
    let mut text = String::new();
    for part in ["header", "message"] {
        let part_text = shown.get(part).map(Value::to_json_pretty).unwrap_or_default();
        let _ = writeln!(text, "  {part:<7} {}", part_text.replace('\n', "\n          "));
    }
    text
}
