//! `zrecipe dlq list`: how many dead letters there are, by queue, reason and recipe step.

use std::collections::BTreeMap;

use super::{Look, one_line};
use crate::cli::letters::{Found, NONE, no_step, reason, step_of};
use crate::cli::table::align;
use crate::cli::{Error, Session, print, say};
use zrecipe_language::value::Value;

pub(super) fn list(args: &Look, session: &Session) -> Result<(), Error> {
    let mut groups: BTreeMap<(String, Option<String>, String), usize> = BTreeMap::new();
    let found = args.letters.find(session)?;
    for (place, letter) in found.letters {
        let queue = letter.queue.clone().unwrap_or(place);
        *groups.entry((queue, step_of(&letter), reason(&letter))).or_default() += 1;
    }
    if args.json {
        let groups = groups.into_iter().map(|((queue, step, reason), count)| {
            let more = found.more.get(&queue).and_then(|whole| i64::try_from(*whole).ok());
            Value::from([
                ("queue", Value::from(queue)),
                ("step", step.map_or(Value::Null, Value::from)),
                ("reason", Value::from(reason)),
                ("count", Value::from(count as i64)),
                // Whether the queue holds more than were looked at, and how many those are together.
                ("more", Value::Bool(more.is_some())),
                ("in_queue", Value::from(more)),
            ])
        });
        print(&(Value::Array(groups.collect()).to_json_pretty() + "\n"))?;
        return Found::conclude(found.unread);
    }
    if groups.is_empty() {
        say(NONE);
        return Found::conclude(found.unread);
    }
    let mut rows = vec![["count", "queue", "step", "reason"].map(str::to_owned)];
    rows.extend(groups.into_iter().map(|((queue, step, reason), count)| {
        [count.to_string(), queue, step.unwrap_or_else(no_step), one_line(&reason)]
    }));
    print(&align(&rows))?;
    Found::conclude(found.unread)
}
