//! Puts parameters into recipes and merges them into the one recipe that runs. Pure.
//!
//! The reference is `workflows.recipe.Recipe.apply_parameters` and `.merge` (`workflows` 3.3): recipes are checked
//! before, merged in the order of the request, substituted after; results of a substitution are not scanned again.
//! Since substitution never changes the number of a step, it does not matter to the result which comes first, and
//! here each recipe is filled in before the merge, while its parts still know their places in the text.

use crate::compile::Compilation;
use crate::syntax::{Kind, NodeRef};
use crate::template::parse;
use crate::value::{Object, Value};

/// Merges compiled recipes with these parameters put in.
///
/// The caller has compiled them with the same parameters and refused what [`Compilation::is_refused`] refuses;
/// placeholders that cannot be filled in would stay as they are.
pub fn bind<'c>(recipes: impl IntoIterator<Item = &'c Compilation>, parameters: &Object) -> Value {
    merge(recipes.into_iter().map(|compilation| substitute(compilation, parameters)))
}

/// The recipe with parameters put in.
fn substitute(compilation: &Compilation, parameters: &Object) -> Value {
    compilation.recipe.to_value_with(&mut |node| fill(node, parameters))
}

fn fill(node: NodeRef<'_>, parameters: &Object) -> Value {
    match node.kind() {
        Kind::String => fill_string(node, parameters),
        Kind::Array => Value::Array(node.items().map(|item| fill(item, parameters)).collect()),
        Kind::Object => {
            let mut object = Object::new();
            for member in node.members() {
                let key = match fill_string(member.key, parameters) {
                    Value::String(text) => text,
                    // As Python's `json` writes a key that is no string.
                    other => other.to_json(),
                };
                object.insert(key, fill(member.value, parameters));
            }
            Value::Object(object)
        }
        _ => node.to_value(),
    }
}

fn fill_string(node: NodeRef<'_>, parameters: &Object) -> Value {
    if !node.has_braces() {
        return node.to_value();
    }
    match parse(&node.text()).ok().and_then(|template| template.apply(parameters).ok()) {
        Some(value) => value,
        None => node.to_value(),
    }
}

/// Merges recipes: the first keeps its numbers, each following one is renumbered from the highest number so far
/// plus one, in its own order; `start` and `error` are joined.
pub fn merge(recipes: impl IntoIterator<Item = Value>) -> Value {
    let mut recipes = recipes.into_iter().filter_map(|recipe| match recipe {
        Value::Object(object) => Some(object),
        _ => None,
    });
    let Some(mut merged) = recipes.next() else {
        return Value::Object(Object::new());
    };
    for mut other in recipes {
        let highest = merged.keys().filter_map(|key| key.parse::<i64>().ok()).max().unwrap_or(0).max(1);
        let ids = other.keys().filter_map(|key| key.parse::<i64>().ok());
        let numbers: std::collections::HashMap<i64, i64> = ids.zip(highest + 1..).collect();
        for list in ["start", "error"] {
            let Some(entries) = other.shift_remove(list) else { continue };
            let entries = renumber(list, entries, &numbers);
            match (merged.get_mut(list), entries) {
                (Some(Value::Array(all)), Value::Array(more)) => all.extend(more),
                (_, entries) => {
                    merged.insert(list.to_owned(), entries);
                }
            }
        }
        for (key, mut step) in other {
            let Some(number) = key.parse().ok().and_then(|id: i64| numbers.get(&id)) else { continue };
            if let Value::Object(step) = &mut step {
                for links in ["output", "error"] {
                    if let Some(value) = step.get_mut(links) {
                        *value = translate(std::mem::take(value), &numbers);
                    }
                }
            }
            merged.insert(number.to_string(), step);
        }
    }
    Value::Object(merged)
}

/// The top-level `start` (pairs, of which the first item is a step) or `error` (steps) in new numbers.
fn renumber(list: &str, entries: Value, numbers: &std::collections::HashMap<i64, i64>) -> Value {
    match entries {
        Value::Array(entries) if list == "start" => Value::Array(
            entries
                .into_iter()
                .map(|entry| match entry {
                    Value::Array(mut pair) if !pair.is_empty() => {
                        pair[0] = translate(std::mem::take(&mut pair[0]), numbers);
                        Value::Array(pair)
                    }
                    other => other,
                })
                .collect(),
        ),
        other => translate(other, numbers),
    }
}

fn translate(links: Value, numbers: &std::collections::HashMap<i64, i64>) -> Value {
    match links {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| translate(item, numbers)).collect()),
        Value::Object(object) => {
            Value::Object(object.into_iter().map(|(key, value)| (key, translate(value, numbers))).collect())
        }
        other => match crate::recipe::step_number(&other).and_then(|id| numbers.get(&id)) {
            Some(&number) => Value::from(number),
            None => other,
        },
    }
}
