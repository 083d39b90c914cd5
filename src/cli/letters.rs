//! Dead letters and other messages: where they are looked for, and how people see them, without secrets.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::broker::Environment;
use crate::ops::dead_letters::{self, Letter, queue_of};
use crate::ops::management::Queue;
use crate::secret;
use crate::value::Value;

/// Files and queues among the places that are named.
pub fn places(named: &[String]) -> (Vec<PathBuf>, Vec<String>) {
    let is_file = |place: &String| place.contains('/') || Path::new(place).exists();
    let (files, queues): (Vec<&String>, Vec<&String>) = named.iter().partition(|place| is_file(place));
    (files.into_iter().map(PathBuf::from).collect(), queues.into_iter().cloned().collect())
}

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

/// A number of seconds.
///
/// # Errors
/// It is none.
pub fn seconds(seconds: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(seconds).map_err(|_| Error::new(format!("`{seconds}` is no number of seconds")))
}

/// The queues that are meant, and how many letters each has, where that is known.
///
/// # Errors
/// None is named, and the broker does not say which there are.
pub async fn queues(given: &[String], environment: &Environment) -> Result<Vec<(String, Option<i64>)>, Error> {
    if !given.is_empty() {
        return Ok(given.iter().map(|name| (queue_of(name), None)).collect());
    }
    let queues = environment.queues().await?;
    let is_empty = |queue: &Queue| queue.messages == 0 && environment.is_embedded();
    let dead = queues.into_iter().filter(|queue| queue.name.starts_with(dead_letters::PREFIX) && !is_empty(queue));
    Ok(dead.map(|queue| (queue.name, Some(queue.messages))).collect())
}

/// Files, and those in directories, in order.
///
/// # Errors
/// A directory cannot be read.
pub fn expand(paths: impl Iterator<Item = PathBuf>) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path);
            continue;
        }
        let entries = std::fs::read_dir(&path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let entries = entries.map_err(|error| Error::new(format!("cannot read {}: {error}", path.display())))?;
        let mut inside: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
        // What is still being written begins with a dot.
        inside.retain(|path| path.file_name().is_none_or(|name| !name.to_string_lossy().starts_with('.')));
        inside.sort();
        found.extend(expand(inside.into_iter())?);
    }
    Ok(found)
}
