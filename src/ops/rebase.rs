//! Rebasing: a message goes on with a corrected recipe, at the step that is the same as before.
//!
//! Steps are known by what they are and where they stand, not by their numbers: service and destination, the way that
//! leads to them from the start, parameters, and neighbours. What is not unique in both directions is refused.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::message::Envelope;
use crate::recipe::step_number;
use crate::value::{Object, Value};

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
        let (way, neighbours) = (self.ways.get(&number), self.neighbours(number));
        let narrower: [&dyn Fn(i64) -> bool; 3] = [
            &|candidate| other.ways.get(&candidate) == way,
            &|candidate| other.steps.get(&candidate).map(|step| step.get("parameters")) == Some(step.get("parameters")),
            &|candidate| other.neighbours(candidate) == neighbours,
        ];
        for is_like in narrower {
            let fewer: Vec<i64> = found.iter().copied().filter(|&candidate| is_like(candidate)).collect();
            if !fewer.is_empty() {
                found = fewer;
            }
        }
        found
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
    let (old, new) = (Steps::new(&envelope.recipe), Steps::new(onto));
    let pointer = old.counterpart(envelope.pointer, &new)?;
    let path = envelope.path.iter().filter_map(|step| old.counterpart(step_number(step)?, &new).ok());
    let path = path.map(Value::from).collect();
    Ok(Envelope { recipe: onto.clone(), pointer, path, ..envelope.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::json::read_value;

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
        for (old, new, pointer, expected) in [
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
                recipe: recipe(old),
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
