//! Outcomes that are not confirmed: what a service has made of a message, kept until the broker has it all.
//!
//! The file is written when sending has failed for the first time, so that it costs nothing where all is well.

use super::journal::Journal;
use super::{Outcome, StepResult};
use std::time::Duration;

use zrecipe_broker::message::{Destination, Output, Sending, Way};
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
            tracing::warn!("cannot store the outcome, so the work may be repeated: {error}");
        }
    }

    /// The outcome that is kept of a message.
    pub(super) fn recall(&self, id: &str) -> Option<Outcome> {
        let value = self.journal.as_ref()?.entry(id).kept();
        value.inspect_err(|error| tracing::warn!("cannot read a stored outcome: {error}")).ok()?.as_ref().and_then(read)
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
                let mut written = Value::from([
                    ("channel", output.channel.as_deref().map_or(Value::Null, Value::from)),
                    ("payload", output.payload.clone()),
                    ("headers", Value::Object(output.headers.clone())),
                ]);
                if let Value::Object(written) = &mut written {
                    written.extend(write_sending(&output.sending));
                }
                written
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
            sending: read_sending(output)?,
        })
    };
    let outputs = value.get("outputs")?.as_array()?.iter().map(output).collect::<Option<_>>()?;
    Some(Outcome::Done { outputs, result, detail: value.get("detail").cloned().unwrap_or_default() })
}

/// How an output travels, as far as its recipe does not say it.
fn write_sending(sending: &Sending) -> Object {
    let mut written = Object::new();
    let mut put = |key: &str, value: Value| written.insert(key.to_owned(), value);
    let seconds = |time: Duration| Value::from(time.as_secs_f64());
    sending.delay.map(|delay| put("delay", seconds(delay)));
    sending.expiration.map(|expiration| put("expiration", seconds(expiration)));
    sending.environment.clone().map(|environment| put("environment", Value::Object(environment)));
    match &sending.way {
        Way::Channel => {}
        Way::Checkpoint => _ = put("checkpoint", Value::Bool(true)),
        Way::Own { destination, exchange, is_text, id } => {
            let (kind, name) = match destination {
                Destination::Queue(name) => ("queue", name),
                Destination::Topic(name) => ("topic", name),
            };
            put(kind, Value::from(name.as_str()));
            put("text", Value::Bool(*is_text));
            exchange.as_deref().map(|exchange| put("exchange", Value::from(exchange)));
            id.as_deref().map(|id| put("id", Value::from(id)));
        }
    }
    written
}

fn read_sending(written: &Value) -> Option<Sending> {
    let seconds = |key: &str| match written.get(key) {
        Some(Value::Number(number)) => Duration::try_from_secs_f64(number.as_f64()).ok().map(Some),
        _ => Some(None),
    };
    let text = |key: &str| written.get(key).and_then(Value::as_str).map(str::to_owned);
    let is = |key: &str| written.get(key) == Some(&Value::Bool(true));
    let destination = text("queue").map(Destination::Queue).or_else(|| text("topic").map(Destination::Topic));
    let way = match destination {
        Some(destination) => Way::Own { destination, exchange: text("exchange"), is_text: is("text"), id: text("id") },
        None if is("checkpoint") => Way::Checkpoint,
        None => Way::Channel,
    };
    let environment = written.get("environment").and_then(Value::as_object).cloned();
    Some(Sending { way, environment, delay: seconds("delay")?, expiration: seconds("expiration")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_kept_as_they_are() {
        let place = tempfile::tempdir().expect("a directory");
        let kept = Kept::new(Some(Journal::new(place.path())));
        let headers = Object::from_iter([("trace".to_owned(), Value::from("x"))]);
        let travelling = |way| Sending {
            way,
            environment: Some(Object::from_iter([("ID".to_owned(), Value::from("x"))])),
            delay: Some(Duration::from_millis(250)),
            expiration: Some(Duration::from_secs(3)),
        };
        let destination = Destination::Topic("t".to_owned());
        let own = Way::Own { destination, exchange: Some("e".to_owned()), is_text: true, id: Some("i".to_owned()) };
        let outputs = vec![
            Output { headers, ..Output::on("failure", Value::from([("reason", "no")])) },
            Output::new(None, Value::Null),
            Output { sending: travelling(own), ..Output::new(None, Value::from("text")) },
            Output { sending: travelling(Way::Checkpoint), ..Output::new(None, Value::Null) },
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
        kept.keep("id", &Outcome::Bad { reason: "no".into() });
        assert_eq!(kept.recall("id"), None);
        assert_eq!(Kept::default().recall("id"), None);
    }
}
