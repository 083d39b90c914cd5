//! JSONLines: adds what it is sent to files, a line of JSON each.
//!
//! What it takes is in its contract, `contracts/jsonlines.json`. A message is settled when its line is on disk; lines
//! that wait while others are being written are written together. Every file has a queue of its own: one that cannot be
//! written holds up no other. A message that comes again after a crash leaves one line.
//! The lines of a consumer are written in the order of delivery.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::BuiltIn;
use crate::runtime::journal::Journal;
use crate::runtime::roots::{Error, Roots};
use crate::runtime::surroundings::Surroundings;
use crate::runtime::why::Why;
use crate::runtime::{Job, Outcome, Service, StepResult};
use zrecipe_broker::message::{Envelope, Reason};
use zrecipe_language::contract::Contracts;
use zrecipe_language::value::{Object, Value};

/// The queue it listens on.
const QUEUE: &str = "jsonlines";

/// How many lines are written at a time.
const BATCH: u16 = 100;

/// How long to wait before a file is tried again that cannot be written.
const RETRY: Duration = Duration::from_secs(5);

/// The service.
#[derive(Debug, Clone)]
pub struct JsonLines {
    journal: Journal,
    /// What a relative file name is relative to.
    base: PathBuf,
    roots: Roots,
    files: Arc<Mutex<HashMap<PathBuf, Arc<Waiting>>>>,
}

/// The lines that wait for a file.
#[derive(Debug, Default)]
struct Waiting {
    lines: Mutex<Vec<Line>>,
    /// Held by whoever writes.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Line {
    /// The message's id.
    id: String,
    text: String,
    written: oneshot::Sender<Written>,
}

type Written = Result<(), Arc<Error>>;

/// The entry in the list of services.
pub(super) const SERVICE: BuiltIn = BuiltIn { name: "JSONLines", in_runs: true, settings: None, make };

fn make(surroundings: &Surroundings<'_>) -> Result<Arc<dyn Service>, Why> {
    let (journal, directory) = (surroundings.journal.clone(), surroundings.directory.clone());
    Ok(Arc::new(JsonLines::new(journal, directory, surroundings.roots()?)))
}

impl JsonLines {
    /// A service that keeps its ledgers in `journal`, resolves file names against `base`, and writes below `roots`.
    pub fn new(journal: Journal, base: PathBuf, roots: Roots) -> Self {
        Self { journal, base, roots, files: Arc::default() }
    }

    /// Adds a line to a file, together with those that wait for it as well.
    async fn add(&self, target: PathBuf, id: &str, text: String) -> Result<Written, oneshot::error::RecvError> {
        let (written, result) = oneshot::channel();
        let waiting = Arc::clone(locked(&self.files).entry(target.clone()).or_default());
        locked(&waiting.lines).push(Line { id: id.to_owned(), text, written });
        {
            let _turn = waiting.turn.lock().await;
            let batch: Vec<Line> = {
                let mut lines = locked(&waiting.lines);
                let count = lines.len().min(usize::from(BATCH));
                lines.drain(..count).collect()
            };
            // Somebody else may have written ours while we waited.
            if !batch.is_empty() {
                let service = self.clone();
                let _ = tokio::task::spawn_blocking(move || service.write(&target, batch)).await;
            }
        }
        let result = result.await;
        drop(waiting);
        locked(&self.files).retain(|_, waiting| Arc::strong_count(waiting) > 1);
        result
    }

    fn write(&self, target: &Path, batch: Vec<Line>) {
        let (lines, waiting): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|line| ((line.id, line.text), line.written)).unzip();
        let unusable = |source| Error::Unusable { path: target.to_owned(), source };
        let written = self
            .roots
            .append(target)
            .and_then(|file| self.journal.ledger(target).append(file, &lines).map_err(unusable))
            .map_err(Arc::new);
        for line in waiting {
            let _ = line.send(written.clone());
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Service for JsonLines {
    fn name(&self) -> &str {
        "JSONLines"
    }

    fn serves(&self, queue: &str) -> bool {
        queue == QUEUE
    }

    fn queues(&self) -> Vec<String> {
        vec![QUEUE.to_owned()]
    }

    fn prefetch(&self) -> u16 {
        BATCH
    }

    async fn handle(&self, job: &Job) -> Outcome {
        let (target, text) = match job.envelope.as_ref().map(read) {
            Some(Ok(order)) => order,
            Some(Err(reason)) => return Outcome::Bad { reason: reason.into() },
            None => return Outcome::Bad { reason: Reason::no_recipe() },
        };
        match self.add(self.base.join(target), &job.delivery.id, text).await {
            Ok(Ok(())) => Outcome::Done { outputs: Vec::new(), result: StepResult::Succeeded, detail: Value::Null },
            Ok(Err(error)) if error.is_of_message() => Outcome::Bad { reason: error.to_string().into() },
            Ok(Err(error)) => Outcome::of_fault(&*error, RETRY),
            Err(_) => Outcome::Later { reason: "writing was interrupted".to_owned(), after: RETRY },
        }
    }
}

/// The file that a message names, and the line for it.
fn read(envelope: &Envelope) -> Result<(String, String), String> {
    let parameters = envelope.parameters();
    if let Some(reason) = Contracts::built_in().of_queue(QUEUE).and_then(|contract| contract.refusal(&parameters)) {
        return Err(reason);
    }
    let target = parameters.get("output_filename").and_then(Value::as_str).unwrap_or_default().to_owned();
    if target.contains('\0') {
        return Err("parameter `output_filename` holds a NUL character".to_owned());
    }
    let names = |parameter: &str| match parameters.get(parameter).and_then(Value::as_array) {
        Some(names) if !names.is_empty() => Some(names.iter().filter_map(Value::as_str).collect::<Vec<_>>()),
        _ => None,
    };
    let (include, exclude) = (names("include"), names("exclude"));
    let mut text = String::new();
    match &envelope.payload {
        payload if include.is_none() && exclude.is_none() => write_json(&mut text, payload),
        Value::Object(members) => {
            let is_kept = |name: &str| {
                include.as_ref().is_none_or(|names| names.contains(&name))
                    && exclude.as_ref().is_none_or(|names| !names.contains(&name))
            };
            let kept: Object = members.clone().into_iter().filter(|(name, _)| is_kept(name)).collect();
            write_json(&mut text, &Value::Object(kept));
        }
        other => return Err(format!("the payload is {}, of which no keys can be chosen", other.describe())),
    }
    Ok((target, text + "\n"))
}

/// Writes JSON as Python's `json.dumps` does: a space after `,` and `:`, ASCII only.
fn write_json(out: &mut String, value: &Value) {
    let between = |out: &mut String, index: usize| {
        if index > 0 {
            out.push_str(", ");
        }
    };
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                between(out, index);
                write_json(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (key, item)) in members.iter().enumerate() {
                between(out, index);
                write_text(out, key);
                out.push_str(": ");
                write_json(out, item);
            }
            out.push('}');
        }
        Value::String(text) => write_text(out, text),
        other => out.push_str(&other.to_json()),
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='\u{7f}' => out.push(character),
            _ => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_language::syntax::json::read_value;

    #[test]
    fn lines_are_those_of_the_reference() {
        for (payload, line) in [
            (r#"{"a":[1,2.50,{}],"b":null}"#, r#"{"a": [1, 2.50, {}], "b": null}"#),
            (r#""é😀\u0001\b\"\\/""#, r#""\u00e9\ud83d\ude00\u0001\b\"\\/""#),
        ] {
            let mut text = String::new();
            write_json(&mut text, &read_value(payload.as_bytes()).expect("is JSON"));
            assert_eq!(text, line);
        }
    }
}
