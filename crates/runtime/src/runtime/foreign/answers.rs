//! What the answer of a worker means.

use super::RETRY;
use crate::runtime::said::{Answer, Refusal, Terms, reason};
use crate::runtime::{Outcome, StepResult};
use zrecipe_broker::message::{Output, Sending, Way};
use zrecipe_language::value::Value;

/// What a worker's answer means.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn understand(said: &Value, terms: &Terms<'_>) -> Result<Outcome, String> {
    const FIRST: &[&str] = &["outputs", "result", "reason", "bad", "later", "checkpoint", "after"];
    let keys = if terms.is_second { [FIRST, &["environment"]].concat() } else { FIRST.to_vec() };
    let answer = Answer::read(said, &keys)?;
    let (refusal, mut outputs) = (answer.refusal()?, answer.outputs(terms)?);
    let (after, why) = (answer.seconds("after")?, answer.text("reason")?);
    let result = match answer.text("result")? {
        None | Some("done") => StepResult::Succeeded,
        Some("failed") => StepResult::Failed,
        Some(other) => return Err(format!("`result` is `{other}`; it can be `done` or `failed`")),
    };
    // Here null is a payload.
    let checkpoint = said.get("checkpoint");
    let environment = answer.mapping("environment")?;
    let sends = [("checkpoint", checkpoint.is_some()), ("outputs", !outputs.is_empty())];
    let sends = sends.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name);
    let mut meant = refusal.is_some().then_some("bad` or `later").into_iter().chain(sends);
    if let (Some(one), Some(other)) = (meant.next(), meant.next())
        && !(terms.is_second && refusal.is_none())
    {
        return Err(format!("it has both `{one}` and `{other}`"));
    }
    match refusal {
        Some(Refusal::Bad(reason)) => return Ok(Outcome::Bad { reason: reason.into() }),
        Some(Refusal::Later(reason, after)) => return Ok(Outcome::Later { reason, after: after.unwrap_or(RETRY) }),
        None => {}
    }
    if let Some(payload) = checkpoint {
        if outputs.is_empty() && environment.is_none() {
            return Ok(Outcome::Checkpoint { payload: payload.clone(), delay: after.unwrap_or_default() });
        }
        let sending = Sending { way: Way::Checkpoint, delay: after, ..Sending::default() };
        outputs.push(Output { sending, ..Output::new(None, payload.clone()) });
    }
    if let Some(environment) = environment {
        for output in &mut outputs {
            output.sending.environment = Some(environment.clone());
        }
    }
    let why = why.filter(|_| result == StepResult::Failed);
    let detail = why.map_or(Value::Null, |why| Value::from([("reason", reason(why))]));
    Ok(Outcome::Done { outputs, result, detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_language::syntax::json::read_value;

    #[test]
    fn the_second_edition_adds_and_changes_nothing_for_the_first() {
        let both = r#"{"id": 1, "outputs": [{"channel": "x", "payload": 1}], "checkpoint": 2, "after": 3}"#;
        let environment = r#"{"id": 1, "outputs": [{"payload": 1}], "environment": {"ID": "a", "n": 1}}"#;
        let refused = r#"{"id": 1, "outputs": [{"payload": 1}], "later": "no"}"#;
        let headers = r#"{"id": 1, "outputs": [{"payload": 1, "headers": {"a": 1}, "delay": 2, "expiration": 3}]}"#;
        let own = r#"{"id": 1, "outputs": [{"payload": 1, "destination": {"queue": "q"}}]}"#;
        for (said, first, second) in [
            (both, "it has both `checkpoint` and `outputs`", "2 outputs"),
            (environment, "there is no `environment`", "1 outputs"),
            (refused, "it has both `bad` or `later` and `outputs`", "it has both `bad` or `later` and `outputs`"),
            (headers, "output 1: there is no `headers`", "1 outputs"),
            (own, "output 1: there is no `destination`", "output 1: it goes to queue `q`, which `sends`"),
        ] {
            let value = read_value(said.as_bytes()).expect("JSON");
            for (is_second, expected) in [(false, first), (true, second)] {
                let found = match understand(&value, &Terms { is_second, invocation: None }) {
                    Ok(Outcome::Done { outputs, .. }) => format!("{} outputs", outputs.len()),
                    Ok(other) => format!("{other:?}"),
                    Err(fault) => fault,
                };
                assert!(found.starts_with(expected), "{said} {is_second}: {found}");
            }
        }
    }
}
