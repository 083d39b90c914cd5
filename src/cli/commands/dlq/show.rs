//! `zrecipe dlq show`: what dead letters hold.

use std::fmt::Write as _;

use super::Look;
use crate::cli::letters::{Found, NONE, name, parts, reason, shown, step_text};
use crate::cli::{Error, Session, plain, print, say};
use zrecipe_language::value::Value;

pub(super) fn show(args: &Look, session: &Session) -> Result<(), Error> {
    let Found { letters, unread, .. } = args.letters.find(session)?;
    let shown: Vec<Value> = letters.iter().map(|(_, letter)| shown(letter)).collect();
    if args.json {
        print(&(Value::Array(shown).to_json_pretty() + "\n"))?;
        return Found::conclude(unread);
    }
    if letters.is_empty() {
        say(NONE);
    }
    let mut text = String::new();
    for ((place, letter), shown) in letters.iter().zip(shown) {
        let death = letter.death();
        let _ = writeln!(text, "{}: {}", plain(place), name(letter));
        let _ = writeln!(text, "  reason  {}", plain(&reason(letter)));
        let _ = writeln!(text, "  died in {}", plain(death.queue.as_deref().unwrap_or("an unknown queue")));
        let _ = writeln!(text, "  step    {}", plain(&step_text(letter)));
        text.push_str(&parts(&shown));
    }
    print(&text)?;
    Found::conclude(unread)
}
