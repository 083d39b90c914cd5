//! Rebasing: a message goes on with a corrected recipe, at the step that is the same as before.
//!
//! Steps are known by what they are and where they stand: service and destination, the way that leads to them from the
//! start, neighbours, and parameters. Each of these points at steps; where they point at different ones, as when a step
//! like it has been put before it, none has more weight, and the number may decide for the one with its parameters. What
//! is not unique in both directions is refused.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use zrecipe_broker::message::Envelope;
use zrecipe_language::recipe::step_number;
use zrecipe_language::value::{Object, Value};

/// How far back the way to a step is looked at.
const FAR: usize = 64;

/// The steps of a recipe, and what each is known by.
struct Steps<'v> {
    steps: BTreeMap<i64, &'v Object>,
    /// What leads to each: channel and step; `start` leads from step 0.
    incoming: BTreeMap<i64, BTreeSet<(String, i64)>>,
    /// The way to each from the start, as one word.
    ways: BTreeMap<i64, Uuid>,
}

fn text<'v>(step: &'v Object, key: &str) -> Option<&'v str> {
    step.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// What a step is: its service, and the queue or topic.
type Kind = (Option<String>, Option<String>);

fn kind(step: &Object) -> Kind {
    let place = text(step, "queue").or_else(|| text(step, "topic"));
    (text(step, "service").map(str::to_lowercase), place.map(str::to_owned))
}

/// A step for people.
fn name(number: i64, step: &Object) -> String {
    match (text(step, "service"), text(step, "queue").or_else(|| text(step, "topic"))) {
        (Some(service), Some(place)) => format!("step {number} ({service}, `{place}`)"),
        (Some(name), None) | (None, Some(name)) => format!("step {number} ({name})"),
        (None, None) => format!("step {number}"),
    }
}

/// What equal parameters come to; see [`likeness`].
const ALIKE: usize = 1000;

/// How much two sets of parameters have in common, of [`ALIKE`]: by the words of their texts, each where it stands. Those
/// of a step that has none are like nothing.
fn likeness(these: Option<&Value>, those: Option<&Value>) -> usize {
    fn words(value: &Value, place: &str, found: &mut BTreeSet<(String, String)>) {
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(key, value)| words(value, &format!("{place}/{key}"), found));
            }
            Value::Array(items) => items.iter().for_each(|item| words(item, place, found)),
            Value::String(text) => {
                found.extend(text.split_whitespace().map(|word| (place.to_owned(), word.to_owned())));
            }
            other => _ = found.insert((place.to_owned(), other.to_json())),
        }
    }
    let (Some(these), Some(those)) = (these, those) else { return 0 };
    let (mut left, mut right) = (BTreeSet::new(), BTreeSet::new());
    words(these, "", &mut left);
    words(those, "", &mut right);
    match left.union(&right).count() {
        0 => 0,
        _ if these == those => ALIKE,
        all => (left.intersection(&right).count() * ALIKE / all).min(ALIKE - 1),
    }
}

/// Those of some steps for which something speaks; nothing where it speaks for none, or does not tell them apart.
fn pointed_at(steps: &[i64], speaks: impl Fn(i64) -> bool) -> Option<Vec<i64>> {
    let those: Vec<i64> = steps.iter().copied().filter(|&step| speaks(step)).collect();
    Some(those).filter(|those| !those.is_empty() && those.len() < steps.len())
}

/// The links of an `output`: channel and step.
fn links(output: Option<&Value>) -> Vec<(String, i64)> {
    let targets = |links: &Value| match links {
        Value::Array(links) => links.iter().filter_map(step_number).collect::<Vec<_>>(),
        single => step_number(single).into_iter().collect(),
    };
    match output {
        None => Vec::new(),
        Some(Value::Object(channels)) => channels
            .iter()
            .flat_map(|(channel, links)| targets(links).into_iter().map(|to| (channel.clone(), to)))
            .collect(),
        Some(links) => targets(links).into_iter().map(|to| (String::new(), to)).collect(),
    }
}

impl<'v> Steps<'v> {
    fn new(recipe: &'v Value) -> Self {
        let members = recipe.as_object().into_iter().flatten();
        let steps: BTreeMap<i64, &Object> =
            members.filter_map(|(key, step)| Some((key.parse().ok()?, step.as_object()?))).collect();
        let mut incoming: BTreeMap<i64, BTreeSet<(String, i64)>> = BTreeMap::new();
        for entry in recipe.get("start").and_then(Value::as_array).unwrap_or_default() {
            if let Some(to) = entry.as_array().and_then(|entry| step_number(entry.first()?)) {
                incoming.entry(to).or_default().insert(("start".to_owned(), 0));
            }
        }
        for (number, step) in &steps {
            for (channel, to) in links(step.get("output")) {
                incoming.entry(to).or_default().insert((channel, *number));
            }
        }
        let word = |text: &str| Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes());
        let mut ways: BTreeMap<i64, Uuid> =
            steps.iter().map(|(number, step)| (*number, word(&format!("{:?}", kind(step))))).collect();
        for _ in 0..steps.len().min(FAR) {
            let further = |(number, step): (&i64, &&Object)| {
                let before = incoming.get(number).into_iter().flatten();
                let mut before: Vec<String> =
                    before.map(|(channel, from)| format!("{channel} {:?}", ways.get(from))).collect();
                before.sort();
                (*number, word(&format!("{:?} {before:?}", kind(step))))
            };
            ways = steps.iter().map(further).collect();
        }
        Self { steps, incoming, ways }
    }

    /// What leads to a step, as far as the next steps.
    fn neighbours(&self, number: i64) -> BTreeSet<String> {
        let incoming = self.incoming.get(&number).into_iter().flatten();
        incoming.map(|(channel, from)| format!("{channel} {:?}", self.steps.get(from).map(|step| kind(step)))).collect()
    }

    /// The steps of another recipe that a step may be.
    fn like(&self, number: i64, other: &Steps<'_>) -> Vec<i64> {
        let Some(step) = self.steps.get(&number) else { return Vec::new() };
        let (service, place) = kind(step);
        let of_kind = |is: &dyn Fn(&Kind) -> bool| -> Vec<i64> {
            other.steps.iter().filter(|(_, step)| is(&kind(step))).map(|(number, _)| *number).collect()
        };
        // What was wrong may have been the queue, or the name of the service.
        let mut found = of_kind(&|kind| *kind == (service.clone(), place.clone()));
        if found.is_empty() && service.is_some() {
            found = of_kind(&|kind| kind.0 == service);
        }
        if found.is_empty() && place.is_some() {
            found = of_kind(&|kind| kind.1 == place);
        }
        // And what was wrong may have been the queue while another step has that queue now.
        let same_number = of_kind(&|kind| service.is_some() && kind.0 == service).contains(&number);
        if same_number && !found.is_empty() && !found.contains(&number) {
            found.push(number);
        }
        let (way, neighbours) = (self.ways.get(&number), self.neighbours(number));
        let standing = pointed_at(&found, |candidate| other.ways.get(&candidate) == way)
            .or_else(|| pointed_at(&found, |candidate| other.neighbours(candidate) == neighbours));
        let likeness = |candidate: i64| {
            let there = other.steps.get(&candidate).and_then(|step| step.get("parameters"));
            likeness(step.get("parameters"), there)
        };
        let most = found.iter().map(|&candidate| likeness(candidate)).max().unwrap_or(0);
        // A little more in common than others have says nothing, unless it is all.
        let is_close = |candidate: i64| match likeness(candidate) {
            0 => false,
            like if most == ALIKE => like == ALIKE,
            like => like * 3 > most * 2,
        };
        let alike = pointed_at(&found, is_close);
        let here = found.contains(&number);
        let both = |a: &[i64], b: &[i64]| a.iter().copied().filter(|step| b.contains(step)).collect::<Vec<_>>();
        match (standing, alike) {
            (None, None) => found,
            (Some(standing), None) if here && !standing.contains(&number) => [standing, vec![number]].concat(),
            (Some(standing), None) => standing,
            (None, Some(alike)) if here && most < ALIKE && !alike.contains(&number) => [alike, vec![number]].concat(),
            (None, Some(alike)) => alike,
            (Some(standing), Some(alike)) => match both(&standing, &alike) {
                agreed if !agreed.is_empty() => agreed,
                _ if alike.contains(&number) => vec![number],
                _ => [standing, alike].concat(),
            },
        }
    }

    /// The step of another recipe that a step is.
    fn counterpart(&self, number: i64, other: &Steps<'_>) -> Result<i64, String> {
        let name = |steps: &Steps<'_>, number: i64| match steps.steps.get(&number) {
            Some(step) => name(number, step),
            None => format!("step {number}"),
        };
        let list = |steps: &Steps<'_>, numbers: &[i64]| {
            numbers.iter().map(|&number| name(steps, number)).collect::<Vec<_>>().join(" and ")
        };
        let own = name(self, number);
        let found = match self.like(number, other).as_slice() {
            [] => return Err(format!("the new recipe has no step like {own}")),
            [one] => *one,
            several => {
                return Err(format!("{} of the new recipe could all be {own} of the old one", list(other, several)));
            }
        };
        match other.like(found, self).as_slice() {
            [back] if *back == number => Ok(found),
            back => Err(format!(
                "{} of the new recipe could be {} of the old one, so it is not sure to be {own}",
                name(other, found),
                list(self, back)
            )),
        }
    }
}

/// The same message with another recipe. Steps that it came through and that are no more are left out of its path.
///
/// # Errors
/// The new recipe has no step, or more than one, that is the one that the message is for.
pub fn rebase(envelope: &Envelope, onto: &Value) -> Result<Envelope, String> {
    let recipe = envelope.recipe.to_value();
    let (old, new) = (Steps::new(&recipe), Steps::new(onto));
    let pointer = old.counterpart(envelope.pointer, &new)?;
    let path = envelope.path.iter().filter_map(|step| old.counterpart(step_number(step)?, &new).ok());
    let path = path.map(Value::from).collect();
    Ok(Envelope { recipe: onto.clone().into(), pointer, path, ..envelope.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_language::syntax::json::read_value;

    #[test]
    fn steps_are_known_by_what_they_are_and_where_they_stand() {
        let chain = r#"{"1": {"service": "A", "queue": "a", "output": {"x": 2, "y": 3}},
                        "2": {"service": "R", "queue": "r", "output": 4}, "3": {"service": "R", "queue": "r"},
                        "4": {"service": "C", "queue": "c"}, "start": [[1, []]]}"#;
        let twins = r#"{"1": {"service": "A", "queue": "a", "output": [2, 3]}, "2": {"queue": "r", "parameters": P},
                        "3": {"queue": "r", "parameters": Q}, "start": [[1, []]]}"#;
        let alike = twins.replace(['P', 'Q'], "{}");
        let apart = twins.replace('P', r#"{"n": 1}"#).replace('Q', r#"{"n": 2}"#);
        let swapped = twins.replace('P', r#"{"n": 2}"#).replace('Q', r#"{"n": 1}"#);
        let renumbered = r#"{"7": {"service": "A", "queue": "a", "output": {"y": 1, "x": 9}},
                             "9": {"service": "R", "queue": "r", "parameters": {"new": 1}, "output": 8},
                             "1": {"service": "R", "queue": "r"}, "8": {"service": "C", "queue": "c2"}, "start": [[7, []]]}"#;
        let shorter = r#"{"1": {"service": "A", "queue": "a", "output": {"x": 2}},
                          "2": {"service": "R", "queue": "r"}, "start": [[1, []]]}"#;
        // One like it was put before it, or one of its queue while its own was wrong.
        let short = r#"{"1": {"service": "A", "queue": "a", "output": 2},
                        "2": {"service": "B", "queue": "b", "parameters": {"n": "2"}}, "start": [[1, []]]}"#;
        let inserted = r#"{"1": {"service": "A", "queue": "a", "output": 3},
                           "3": {"service": "B", "queue": "b", "parameters": {"what": "inserted"}, "output": 2},
                           "2": {"service": "B", "queue": "b", "parameters": {"n": "2", "fixed": "yes"}},
                           "start": [[1, []]]}"#;
        let moved = inserted.replacen("\"b\", \"parameters\": {\"n\"", "\"b2\", \"parameters\": {\"n\"", 1);
        let numbered = inserted.replace('2', "4").replace("\"n\": \"4\"", "\"n\": \"2\"");
        let parameters = [r#"{"n": "2"}"#, r#"{"what": "inserted"}"#, r#"{"n": "2", "fixed": "yes"}"#];
        let bare = |text: &str| parameters.iter().fold(text.to_owned(), |text, one| text.replace(one, "{}"));
        let (short_bare, inserted_bare) = (bare(short), bare(inserted));
        let run = r#"{"1": {"service": "R", "queue": "r", "parameters": {"dir": "/d", "commands": ["echo hello"]}, "output": 2},
                      "2": {"service": "R", "queue": "r", "parameters": {"commands": "echo two"}}, "start": [[1, []]]}"#;
        let run_longer = r#"{"1": {"service": "R", "queue": "r", "parameters": {"dir": "/d", "commands": ["echo pre"]}, "output": 5},
                             "5": {"service": "R", "queue": "r", "parameters": {"dir": "/d", "commands": ["echo hello"]}, "output": 2},
                             "2": {"service": "R", "queue": "r", "parameters": {"dir": "/d", "commands": ["echo two"]}},
                             "start": [[1, []]]}"#;
        for (old, new, pointer, expected) in [
            (short, inserted, 2, Ok((2, "[1]"))),
            (short, &moved, 2, Ok((2, "[1]"))),
            (
                short,
                &numbered,
                2,
                Err(
                    "step 3 (B, `b`) and step 4 (B, `b`) of the new recipe could all be step 2 (B, `b`) of the old one",
                ),
            ),
            (
                &short_bare,
                &inserted_bare,
                2,
                Err(
                    "step 3 (B, `b`) and step 2 (B, `b`) of the new recipe could all be step 2 (B, `b`) of the old one",
                ),
            ),
            // Where step 1 is now is not sure, so the path is without it.
            (run, run_longer, 2, Ok((2, "[]"))),
            (chain, chain, 3, Ok((3, "[1]"))),
            (chain, renumbered, 2, Ok((9, "[7]"))),
            (chain, renumbered, 3, Ok((1, "[7]"))),
            // The queue was wrong.
            (chain, renumbered, 4, Ok((8, "[7]"))),
            (chain, shorter, 2, Ok((2, "[1]"))),
            (chain, shorter, 4, Err("the new recipe has no step like step 4 (C, `c`)")),
            (
                chain,
                shorter,
                3,
                Err(
                    "step 2 (R, `r`) of the new recipe could be step 2 (R, `r`) of the old one, so it is not sure to be step 3 (R, `r`)",
                ),
            ),
            (
                &alike,
                &alike,
                2,
                Err("step 2 (r) and step 3 (r) of the new recipe could all be step 2 (r) of the old one"),
            ),
            (&apart, &swapped, 2, Ok((3, "[1]"))),
            (
                &apart,
                &alike,
                2,
                Err("step 2 (r) and step 3 (r) of the new recipe could all be step 2 (r) of the old one"),
            ),
        ] {
            let recipe = |text: &str| read_value(text.as_bytes()).expect("JSON");
            let envelope = Envelope {
                recipe: recipe(old).into(),
                pointer,
                path: vec![Value::from(1)],
                environment: Object::new(),
                payload: Value::Null,
            };
            let found = rebase(&envelope, &recipe(new));
            let found = found.map(|found| (found.pointer, Value::Array(found.path).to_json()));
            assert_eq!(
                found,
                expected.map(|(to, path)| (to, path.to_owned())).map_err(str::to_owned),
                "{old} {new} {pointer}"
            );
        }
    }
}
