//! What differs between a contract in a file and the one that the source gives today.

use std::collections::BTreeSet;

use zrecipe_language::value::{Object, Value};

/// Keys that only describe.
const NOTES: [&str; 5] = ["$schema", "evidence", "x-evidence", "description", "title"];

/// One difference between a contract and the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `+` where the source has more, `-` where it has less, `~` where it has something else.
    pub sign: char,
    /// The place in the contract, such as `parameters.dcid.type`.
    pub place: String,
    /// What is there: the value, or the old and the new one.
    pub what: String,
    /// Where the source says so.
    pub evidence: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}", self.sign, self.place)?;
        if !self.what.is_empty() {
            write!(out, ": {}", self.what)?;
        }
        if let Some(evidence) = &self.evidence {
            write!(out, " ({evidence})")?;
        }
        Ok(())
    }
}

/// The differences from a contract in a file to the one that the source gives, without what only describes.
pub fn differences(contract: &Value, source: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(contract, source, &mut Vec::new(), None, &mut found);
    found
}

fn compare(old: &Value, new: &Value, path: &mut Vec<String>, evidence: Option<&str>, found: &mut Vec<Difference>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => compare_objects(old, new, path, evidence, found),
        (Value::Array(old), Value::Array(new)) if is_set(path) => {
            let texts = |items: &[Value]| items.iter().map(Value::to_json).collect::<BTreeSet<String>>();
            let (old, new) = (texts(old), texts(new));
            let mut add = |sign: char, item: &String| found.push(difference(sign, path, item.clone(), evidence));
            old.difference(&new).for_each(|item| add('-', item));
            new.difference(&old).for_each(|item| add('+', item));
        }
        (old, new) if old != new => {
            found.push(difference('~', path, format!("{} → {}", short(old), short(new)), evidence));
        }
        _ => {}
    }
}

fn compare_objects(
    old: &Object,
    new: &Object,
    path: &mut Vec<String>,
    evidence: Option<&str>,
    found: &mut Vec<Difference>,
) {
    let own = new.get("x-evidence").or_else(|| new.get("evidence")).map(place_of);
    let evidence = own.as_deref().or(evidence);
    // Below `properties` the keys are names.
    let has_notes = path.last().is_none_or(|last| last != "properties");
    let is_note = |key: &str| has_notes && NOTES.contains(&key);
    let keys: Vec<&String> = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))).collect();
    for key in keys.into_iter().filter(|key| !is_note(key)) {
        path.push(key.clone());
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) => compare(old, new, path, evidence, found),
            (Some(old), None) => found.push(difference('-', path, short(old), evidence)),
            (None, Some(new)) => {
                let own = new.get("x-evidence").or_else(|| new.get("evidence")).map(place_of);
                found.push(difference('+', path, short(new), own.as_deref().or(evidence)));
            }
            (None, None) => {}
        }
        path.pop();
    }
}

/// Whether the order of a list at this place says nothing.
fn is_set(path: &[String]) -> bool {
    path.last().is_some_and(|last| {
        matches!(
            last.as_str(),
            "required" | "names" | "queues" | "x-from" | "also_in" | "stored_by" | "enum" | "forwards"
        )
    })
}

fn difference(sign: char, path: &[String], what: String, evidence: Option<&str>) -> Difference {
    let place: Vec<&str> = path.iter().map(String::as_str).filter(|key| *key != "properties").collect();
    Difference { sign, place: place.join("."), what, evidence: evidence.map(str::to_owned) }
}

/// A value on one line, without what only describes.
fn short(value: &Value) -> String {
    let plain = match value {
        Value::Object(object) => {
            let kept = object.iter().filter(|(key, _)| !NOTES.contains(&key.as_str()));
            Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        other => other.clone(),
    };
    let text = plain.to_json();
    match text.char_indices().nth(100) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn place_of(evidence: &Value) -> String {
    let first = evidence.as_array().and_then(|all| all.first()).unwrap_or(evidence);
    first.as_str().unwrap_or_default().to_owned()
}
