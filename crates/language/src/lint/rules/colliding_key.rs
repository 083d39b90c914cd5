//! Keys that the given parameters turn into something else than a new key.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::recipe::STEP_KEYS;
use crate::syntax::{Kind, NodeRef};
use crate::template::{has_braces, parse};
use crate::value::Value;

declare_rule! {
    /// A placeholder makes two keys of an object equal.
    ///
    /// # Why
    /// Placeholders are also substituted in keys. If two keys become equal, one value is lost. If a parameter turns a
    /// key of a step into `queue` or `output`, messages go to a destination that the author did not intend.
    ///
    /// # Example
    /// With the parameter `name` = `"output"`:
    /// ```json with name=output
    /// { "1": { "queue": "images", "{name}": 2, "output": 2 }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json with name=output
    /// {
    ///   "1": { "queue": "images", "parameters": { "{name}": 2 }, "output": 2 },
    ///   "2": { "queue": "archiver" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The parameter never has the value that makes the keys equal.
    "colliding-key", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(parameters) = cx.parameters else { return };
    let filled = |key: NodeRef<'_>| -> Option<Value> {
        let text = key.text();
        if !has_braces(&text) {
            return Some(Value::String(text.into_owned()));
        }
        parse(&text).ok()?.apply(parameters).ok()
    };
    // A key can only collide in an object that has a template for a key.
    let mut objects: Vec<NodeRef<'_>> = Vec::new();
    let keys: HashSet<_> = cx.templates.iter().map(|used| used.node).collect();
    let steps = cx.recipe.steps().iter().map(|step| cx.node(step.value));
    let start = cx.recipe.start().map(|start| cx.node(start.value));
    for object in steps.clone().chain(start).flat_map(NodeRef::descendants).filter(|node| node.kind() == Kind::Object) {
        if object.members().any(|member| keys.contains(&member.key.id())) {
            objects.push(object);
        }
    }
    let step_values: HashSet<_> = cx.recipe.steps().iter().map(|step| step.value).collect();
    for object in objects {
        let is_step = step_values.contains(&object.id());
        let mut seen: HashMap<String, NodeRef<'_>> = HashMap::new();
        for member in object.members() {
            let text = match filled(member.key) {
                // Why it cannot be filled in is the business of other rules.
                None => continue,
                Some(Value::String(text)) => text,
                Some(value @ (Value::Array(_) | Value::Object(_))) => {
                    let message = format!("key {} becomes {}", cx.show(member.key), value.describe());
                    sink.report(RULE.at(member.key.span(), message).help("a key is text").refused());
                    continue;
                }
                // As Python's `json` writes a key that is no string.
                Some(other) => other.to_json(),
            };
            let changed = member.key.text() != text;
            let structural = is_step && changed && STEP_KEYS.contains(&text.as_str());
            if structural {
                sink.report(
                    RULE.at(member.key.span(), format!("key {} becomes the step's `{text}`", cx.show(member.key)))
                        .help("a parameter cannot change where messages go; rename the key")
                        .refused(),
                );
                continue;
            }
            if let Some(first) = seen.get(&text).filter(|first| changed || first.text() != text) {
                // Of the two, the one that a parameter made is what the author did not expect.
                let (made, other) = if changed { (member.key, *first) } else { (*first, member.key) };
                sink.report(
                    RULE.at(made.span(), format!("key {} becomes `{text}`, which is there already", cx.show(made)))
                        .also(other.span(), "here")
                        .help("one of the two values would be lost; rename a key")
                        .refused(),
                );
            }
            seen.insert(text, member.key);
        }
    }
}
