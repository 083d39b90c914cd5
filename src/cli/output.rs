//! Results on standard output.

use std::io::{self, Write as _};
use std::sync::Arc;

use super::error::Error;
use super::terminal::plain_lines;
use zrecipe_language::compile;
use zrecipe_language::diff::unified;
use zrecipe_language::secret;
use zrecipe_language::source::Source;
use zrecipe_language::value::Value;

/// Writes results to standard output.
///
/// # Errors
/// It is closed or full.
pub fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => error.into(),
        _ => Error::new(format!("cannot write to standard output: {error}")),
    })
}

/// The difference of two versions of a file, without its secrets.
pub fn difference(name: &str, before: Arc<Source>, after: Arc<Source>, colour: bool) -> String {
    let shown = |source| secret::shown(&compile::structure(source, None).tree);
    unified(name, shown(before).text(), shown(after).text(), colour)
}

/// The difference of two values, without their secrets and without regard to the order of members.
pub fn difference_of_values(name: &str, before: &Value, after: &Value, colour: bool) -> String {
    let lines = |value: &Value| plain_lines(&secret::hidden("", sorted(value)).to_json_pretty()) + "\n";
    unified(name, &lines(before), &lines(after), colour)
}

/// A value with the members of objects in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut members: Vec<(String, Value)> =
                object.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
