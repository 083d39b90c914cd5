//! Makes changes at a broker.

use super::{Action, Change, Error, Kind};
use crate::http::escape;
use crate::ops::management::Management;
use zrecipe_language::value::Value;

/// Makes a change.
///
/// # Errors
/// The broker refuses it, or it would take something that is in use by now.
pub async fn make(management: &Management, change: &Change) -> Result<(), Error> {
    let path = change.thing.path();
    if matches!(change.action, Action::Remove | Action::Recreate) {
        let path =
            if change.thing.kind == Kind::Binding { format!("{path}/{}", escape(&change.key)) } else { path.clone() };
        let query = if change.thing.kind == Kind::Queue && !change.may_discard {
            let queue = management.get(&path).await?;
            is_out_of_use(management, &queue, &path).await?
        } else {
            ""
        };
        match management.delete(&format!("{path}{query}")).await {
            // Somebody was faster.
            Err(error) if error.is_missing() => {}
            Err(error) if !query.is_empty() && error.is_refusal() => return Err(Error::InUse),
            result => result?,
        }
    }
    if change.action == Action::Remove {
        return Ok(());
    }
    let body = change.thing.body();
    if change.thing.kind == Kind::Binding {
        management.post(&path, &body).await?;
    } else {
        management.put(&path, &body).await?;
    }
    Ok(())
}

/// Makes sure that a queue is out of use as far as anybody can tell; the conditions under which the broker may then
/// delete it.
async fn is_out_of_use(management: &Management, queue: &Value, path: &str) -> Result<&'static str, Error> {
    let number = |key: &str| queue.get(key).and_then(Value::as_i64).unwrap_or(0);
    if number("messages") > 0 || number("consumers") > 0 {
        return Err(Error::InUse);
    }
    match queue.get("type").and_then(Value::as_str) {
        // The broker itself makes sure.
        None | Some("classic") => Ok("?if-empty=true&if-unused=true"),
        // The numbers lag, so the queue is asked for a message, which goes back to it. The broker has no conditions
        // for these queues.
        Some("quorum") => {
            let one = Value::from([
                ("count", Value::from(1)),
                ("ackmode", Value::from("ack_requeue_true")),
                ("encoding", Value::from("base64")),
                ("truncate", Value::from(1)),
            ]);
            let got = management.post(&format!("{path}/get"), &one).await?;
            if got.as_array().is_some_and(<[Value]>::is_empty) { Ok("") } else { Err(Error::InUse) }
        }
        Some(_) => Ok(""),
    }
}
