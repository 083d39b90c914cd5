//! The bound recipe of a message. It leaves as the text that came; only the steps that matter for a hop are read.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use zrecipe_language::syntax::{Kind, NodeId, NodeRef, Tree};
use zrecipe_language::value::{Object, Value};

/// What a step says of where messages to it go.
const DESTINATION_KEYS: [&str; 4] = ["queue", "topic", "exchange", "transport-delay"];

/// A bound recipe. Copies share it.
#[derive(Clone)]
pub struct BoundRecipe(Arc<Inner>);

struct Inner {
    form: Form,
    read: OnceLock<Box<Read>>,
}

enum Form {
    /// A part of a document.
    Text(Arc<Tree>, NodeId),
    Value(Value),
}

/// A step that has been read, and the next one.
struct Read {
    number: i64,
    step: Option<Value>,
    next: OnceLock<Box<Read>>,
}

impl From<Value> for BoundRecipe {
    fn from(recipe: Value) -> Self {
        Self::new(Form::Value(recipe))
    }
}

impl PartialEq for BoundRecipe {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.to_value() == other.to_value()
    }
}

impl std::fmt::Debug for BoundRecipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl BoundRecipe {
    fn new(form: Form) -> Self {
        Self(Arc::new(Inner { form, read: OnceLock::new() }))
    }

    /// The recipe at a place of a message, as a receiver holds it. Nothing: it is no object.
    pub(super) fn of(tree: &Arc<Tree>, place: NodeId) -> Option<Self> {
        let node = tree.node(place);
        // What has half a character is a value that is kept as text.
        let has_surrogates = ["\\ud", "\\uD"].iter().any(|escape| node.raw().contains(escape));
        if has_surrogates || !is_sanitised(node) {
            let value = node.to_value();
            return matches!(value, Value::Object(_)).then(|| sanitise(value).into());
        }
        (node.kind() == Kind::Object).then(|| Self::new(Form::Text(Arc::clone(tree), place)))
    }

    /// The recipe as JSON: as it came, if it came.
    pub fn to_json(&self) -> Cow<'_, str> {
        match &self.0.form {
            Form::Text(tree, place) => Cow::Borrowed(tree.node(*place).raw()),
            Form::Value(value) => Cow::Owned(value.to_json()),
        }
    }

    /// The recipe as JSON without a line break.
    pub fn to_line(&self) -> Cow<'_, str> {
        let text = self.to_json();
        if text.contains(['\n', '\r']) { Cow::Owned(self.to_value().to_json()) } else { text }
    }

    /// The whole recipe, read.
    pub fn to_value(&self) -> Value {
        match &self.0.form {
            Form::Text(tree, place) => tree.node(*place).to_value(),
            Form::Value(value) => value.clone(),
        }
    }

    /// What stands under the number of a step. It is read once.
    pub fn step(&self, number: i64) -> Option<&Value> {
        let (tree, place) = match &self.0.form {
            Form::Text(tree, place) => (tree, *place),
            Form::Value(value) => return value.get(&number.to_string()),
        };
        let mut next = &self.0.read;
        loop {
            let read = next.get_or_init(|| {
                let step = tree.node(place).get(&number.to_string()).map(NodeRef::to_value);
                Box::new(Read { number, step, next: OnceLock::new() })
            });
            if read.number == number {
                return read.step.as_ref();
            }
            next = &read.next;
        }
    }

    /// Whether there is a step of this number.
    pub(super) fn has_step(&self, number: i64) -> bool {
        match &self.0.form {
            Form::Text(tree, place) => {
                tree.node(*place).get(&number.to_string()).is_some_and(|step| step.kind() == Kind::Object)
            }
            Form::Value(value) => matches!(value.get(&number.to_string()), Some(Value::Object(_))),
        }
    }

    /// What a step says of where messages to it go, and nothing else of it; nothing if there is no such step.
    pub(super) fn destination_of(&self, number: i64) -> Option<Object> {
        let number = number.to_string();
        match &self.0.form {
            Form::Text(tree, place) => {
                let step = tree.node(*place).get(&number).filter(|step| step.kind() == Kind::Object)?;
                let parts = DESTINATION_KEYS.iter();
                Some(parts.filter_map(|key| Some((key.to_string(), step.get(key)?.to_value()))).collect())
            }
            Form::Value(value) => {
                let step = value.get(&number)?.as_object()?;
                let parts = DESTINATION_KEYS.iter();
                Some(parts.filter_map(|key| Some((key.to_string(), step.get(*key)?.clone()))).collect())
            }
        }
    }

    /// The number of steps.
    pub(super) fn len(&self) -> usize {
        let is_number = |key: &str| key.parse::<i64>().is_ok();
        match &self.0.form {
            Form::Text(tree, place) => {
                let members = tree.node(*place).members();
                members.filter(|member| member.value.kind() == Kind::Object && is_number(&member.key.text())).count()
            }
            Form::Value(value) => {
                let members = value.as_object().into_iter().flatten();
                members.filter(|(key, step)| matches!(step, Value::Object(_)) && is_number(key)).count()
            }
        }
    }
}

/// Whether every single unnamed output is a list.
fn is_sanitised(recipe: NodeRef<'_>) -> bool {
    recipe.members().all(|step| {
        let output = step.value.get("output");
        output.is_none_or(|output| matches!(output.kind(), Kind::Array | Kind::Object))
    })
}

/// The recipe as a receiver holds it, and as the reference sends it with a request: a single unnamed output as a list.
pub fn sanitise(mut recipe: Value) -> Value {
    if let Value::Object(object) = &mut recipe {
        for (_, step) in object.iter_mut() {
            if let Value::Object(step) = step
                && let Some(output) = step.get_mut("output")
                && !matches!(output, Value::Array(_) | Value::Object(_))
            {
                *output = Value::Array(vec![std::mem::take(output)]);
            }
        }
    }
    recipe
}
