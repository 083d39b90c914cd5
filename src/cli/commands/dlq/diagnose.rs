//! `zrecipe dlq diagnose`: why letters died, whether sending them back can help, and what to do.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{Look, one_line};
use crate::cli::letters::{Found, NONE, reason};
use crate::cli::{Error, Session, plain, print, say};
use zrecipe_language::secret;
use zrecipe_language::value::Value;
use zrecipe_runtime::ops::prospects::{Prospects, prospects};

/// What letters have in common: why they died, what is to be expected, and what to do.
type Kind = (String, Prospects, String);

/// Where a letter is, and its id.
type Member<'l> = (&'l str, Option<&'l str>);

pub(super) fn diagnose(args: &Look, session: &Session) -> Result<(), Error> {
    let Found { letters, unread, .. } = args.letters.find(session)?;
    let library = match args.letters.environment.read(session) {
        Ok(environment) => environment.library(session),
        Err(_) => session.library()?,
    };
    session.contracts()?;
    let mut results = Vec::new();
    // Those that are alike together: what died of one cause did so a thousand times.
    let mut groups: Vec<(Kind, Vec<Member<'_>>)> = Vec::new();
    let mut known = HashMap::new();
    for (place, letter) in &letters {
        let prospects = prospects(letter, &library, &session.project);
        let help = prospects.remedy.text(place, letter.queue.as_ref() == Some(place));
        results.push(Value::from([
            ("place", Value::from(place.as_str())),
            ("id", letter.id.clone().map_or(Value::Null, Value::from)),
            ("reason", Value::from(reason(letter))),
            ("helps", Value::Bool(prospects.helps)),
            ("why", Value::from(secret::hidden_text(&prospects.why))),
            ("help", Value::from(help.as_str())),
        ]));
        let key = (reason(letter), prospects, help);
        let number = *known.entry(key.clone()).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[number].1.push((place, letter.id.as_deref()));
    }
    if args.json {
        print(&(Value::Array(results).to_json_pretty() + "\n"))?;
        return Found::conclude(unread);
    }
    if letters.is_empty() {
        say(NONE);
    }
    let mut text = String::new();
    for ((reason, prospects, help), group) in groups {
        let verdict = if prospects.helps { "reinjecting it can help" } else { "reinjecting it does not help" };
        text.push_str(&members(&group));
        let _ = writeln!(
            text,
            "  died: {}\n  {verdict}: {}",
            plain(&one_line(&reason)),
            plain(&secret::hidden_text(&prospects.why))
        );
        let _ = writeln!(text, "  help: {}", plain(&help));
    }
    print(&text)?;
    Found::conclude(unread)
}

/// Which letters there are of a kind: each if they are few.
fn members(group: &[Member<'_>]) -> String {
    const MOST: usize = 3;
    let mut places: Vec<(&str, Vec<Option<&str>>)> = Vec::new();
    for (place, id) in group {
        match places.last_mut().filter(|(last, _)| last == place) {
            Some((_, ids)) => ids.push(*id),
            None => places.push((place, vec![*id])),
        }
    }
    let mut text = String::new();
    for (place, ids) in places.iter().take(MOST) {
        let place = plain(place);
        let few: Vec<String> = ids.iter().flatten().take(MOST).map(|id| plain(id)).collect();
        let (count, more) = (ids.len(), ids.len() - few.len());
        let _ = match few.join(", ") {
            none if none.is_empty() && count == 1 => writeln!(text, "{place}: a message without an id"),
            none if none.is_empty() => writeln!(text, "{place}: {count} messages without ids"),
            id if count == 1 => writeln!(text, "{place}: {id}"),
            few if more == 0 => writeln!(text, "{place}: {count} letters: {few}"),
            few => writeln!(text, "{place}: {count} letters: {few} and {more} more"),
        };
    }
    let more = places.iter().skip(MOST).map(|(_, ids)| ids.len()).sum::<usize>();
    if more > 0 {
        let _ = writeln!(text, "and {more} more in other places");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_letters_are_a_line() {
        let in_queue = |ids: &[Option<&'static str>]| ids.iter().map(|id| ("dlq.a", *id)).collect::<Vec<_>>();
        for (group, expected) in [
            (in_queue(&[None]), "dlq.a: a message without an id\n"),
            (in_queue(&[None; 9]), "dlq.a: 9 messages without ids\n"),
            (in_queue(&[Some("m")]), "dlq.a: m\n"),
            (in_queue(&[Some("m"), Some("n\u{1b}")]), "dlq.a: 2 letters: m, n␛\n"),
            (in_queue(&[Some("m"), None]), "dlq.a: 2 letters: m and 1 more\n"),
            (in_queue(&[Some("m"); 9]), "dlq.a: 9 letters: m, m, m and 6 more\n"),
            (
                ["a", "b", "c", "d", "e"].map(|file| (file, Some("m"))).to_vec(),
                "a: m\nb: m\nc: m\nand 2 more in other places\n",
            ),
        ] {
            assert_eq!(members(&group), expected);
        }
    }
}
