//! Outcomes that are not confirmed: what a service has made of a message, kept until the broker has it all.
//!
//! The file is written when sending has failed for the first time, so that it costs nothing where all is well.

use super::journal::Journal;
use super::{Outcome, StepResult};
use zrecipe_broker::message::Output;
use zrecipe_language::value::{Object, Value};

/// The outcomes of a host; without a journal none is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    journal: Option<Journal>,
}

impl Kept {
    pub(super) fn new(journal: Option<Journal>) -> Self {
        Self { journal }
    }

    /// Keeps the outcome of a message. One that costs no work to have again is not kept.
    pub(super) fn keep(&self, id: &str, outcome: &Outcome) {
        let (Some(journal), Some(value)) = (&self.journal, write(outcome)) else { return };
        if let Err(error) = journal.entry(id).keep(&value) {
            tracing::warn!("the outcome cannot be kept, so the work may be repeated: {error}");
        }
    }

    /// The outcome that is kept of a message.
    pub(super) fn recall(&self, id: &str) -> Option<Outcome> {
        let value = self.journal.as_ref()?.entry(id).kept();
        value
            .inspect_err(|error| tracing::warn!("an outcome that was kept cannot be read: {error}"))
            .ok()?
            .as_ref()
            .and_then(read)
    }

    /// Removes it.
    pub(super) fn forget(&self, id: &str) {
        if let Some(journal) = &self.journal {
            // What is left costs a little space.
            let _ = journal.entry(id).drop_kept();
        }
    }
}

fn write(outcome: &Outcome) -> Option<Value> {
    match outcome {
        Outcome::Done { outputs, result, detail } => {
            let output = |output: &Output| {
                Value::from([
                    ("channel", output.channel.as_deref().map_or(Value::Null, Value::from)),
                    ("payload", output.payload.clone()),
                    ("headers", Value::Object(output.headers.clone())),
                ])
            };
            Some(Value::from([
                ("result", Value::from(result.as_str())),
                ("outputs", Value::Array(outputs.iter().map(output).collect())),
                ("detail", detail.clone()),
            ]))
        }
        Outcome::Checkpoint { payload, delay } => {
            Some(Value::from([("checkpoint", payload.clone()), ("delay", Value::from(delay.as_secs_f64()))]))
        }
        Outcome::Dispatched { .. } | Outcome::Bad { .. } | Outcome::Later { .. } | Outcome::HeldUp(_) => None,
    }
}

fn read(value: &Value) -> Option<Outcome> {
    if let Some(payload) = value.get("checkpoint") {
        let Value::Number(delay) = value.get("delay")? else { return None };
        let delay = std::time::Duration::try_from_secs_f64(delay.as_f64()).ok()?;
        return Some(Outcome::Checkpoint { payload: payload.clone(), delay });
    }
    let name = value.get("result")?.as_str()?;
    let results = [StepResult::Succeeded, StepResult::Failed, StepResult::TimedOut];
    let result = results.into_iter().find(|result| result.as_str() == name)?;
    let output = |output: &Value| {
        Some(Output {
            channel: output.get("channel").and_then(Value::as_str).map(str::to_owned),
            payload: output.get("payload")?.clone(),
            headers: output.get("headers").and_then(Value::as_object).cloned().unwrap_or_else(Object::new),
        })
    };
    let outputs = value.get("outputs")?.as_array()?.iter().map(output).collect::<Option<_>>()?;
    Some(Outcome::Done { outputs, result, detail: value.get("detail").cloned().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn outcomes_are_kept_as_they_are() {
        let place = tempfile::tempdir().expect("a directory");
        let kept = Kept::new(Some(Journal::new(place.path())));
        let headers = Object::from_iter([("trace".to_owned(), Value::from("x"))]);
        let outputs = vec![
            Output { headers, ..Output::on("failure", Value::from([("reason", "no")])) },
            Output { channel: None, payload: Value::Null, headers: Object::new() },
        ];
        let detail = Value::from([("reason", "no")]);
        for outcome in [
            Outcome::Done { outputs, result: StepResult::TimedOut, detail },
            Outcome::done(Vec::new()),
            Outcome::Checkpoint { payload: Value::Null, delay: Duration::from_millis(1_500) },
        ] {
            kept.keep("../id", &outcome);
            assert_eq!(kept.recall("../id"), Some(outcome));
            kept.forget("../id");
            assert_eq!(kept.recall("../id"), None);
        }
        assert_eq!(std::fs::read_dir(place.path()).expect("is there").count(), 0, "nothing is left");
        kept.keep("id", &Outcome::Bad { reason: "no".to_owned() });
        assert_eq!(kept.recall("id"), None);
        assert_eq!(Kept::default().recall("id"), None);
    }
}
