//! Makes changes at a broker.

use std::collections::HashSet;

use super::{Action, Change, Error, Kind, Live, Progress, protect};
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
        return Ok(());
    }
    let result = management.put(&path, &body).await;
    if let (Err(_), Action::Recreate, Some(before)) = (&result, change.action, &change.before) {
        // What was deleted for something that the broker refuses comes back as it was, if it can.
        let _ = management.put(&path, &before.body()).await;
    }
    Ok(result?)
}

/// Makes the changes that nothing holds back, in their order. When one fails, the rest is judged once more: what stays now
/// keeps what it needs, and what it has lost is restored. `tell` gets each change that was tried, and those that are held
/// back in the course of it.
pub async fn apply(
    changes: &mut Vec<Change>,
    live: &Live,
    mut make: impl AsyncFnMut(&Change) -> Result<(), Error>,
    mut tell: impl FnMut(&Change),
) {
    let mut at = 0;
    while let Some(change) = changes.get_mut(at) {
        at += 1;
        if change.hold.is_some() || change.progress != Progress::Planned {
            continue;
        }
        let made = make(change).await;
        change.progress = made.map_or_else(|error| Progress::Failed(error.to_string()), |()| Progress::Made);
        tell(change);
        if change.progress == Progress::Made {
            continue;
        }
        let name = |change: &Change| (change.thing.kind, change.thing.vhost.clone(), change.thing.name.clone());
        let held: HashSet<_> = changes.iter().filter(|change| change.hold.is_some()).map(name).collect();
        protect(changes, live);
        let newly_held = changes.iter().filter(|change| change.hold.is_some() && !held.contains(&name(change)));
        newly_held.for_each(&mut tell);
    }
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
