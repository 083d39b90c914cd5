//! The typed model of a recipe: steps, links and starts, every part with its node in the tree.
//!
//! The model keeps what is wrong as well as what is right, so that each rule can say what it knows and nothing
//! is judged twice. It borrows nothing: parts are node ids, resolved by the recipe's own tree.

use std::borrow::Cow;
use std::sync::Arc;

use crate::source::Span;
use crate::syntax::{Kind, NodeId, NodeRef, Tree};
use crate::value::{Object, Value};

/// The keys of a step that the framework itself reads.
pub const STRUCTURAL_KEYS: [&str; 7] = ["queue", "topic", "output", "error", "transport-delay", "exchange", "wrapper"];

/// The keys of a step that have a meaning to the framework or to people everywhere.
pub const STEP_KEYS: [&str; 10] = [
    "service",
    "queue",
    "topic",
    "parameters",
    "job_parameters",
    "output",
    "error",
    "transport-delay",
    "exchange",
    "wrapper",
];

/// The longest delay in seconds: brokers count milliseconds in 32 bits.
pub const LONGEST_DELAY: f64 = 4_294_967.0;

/// A recipe.
#[derive(Debug)]
pub struct Recipe {
    pub(crate) tree: Arc<Tree>,
    /// Whether the document is an object.
    pub(crate) is_object: bool,
    pub(crate) steps: Vec<Step>,
    /// `(id, index in steps)`, sorted: the last definition of each id, as JSON readers keep it.
    pub(crate) by_id: Vec<(i64, u32)>,
    pub(crate) links: Vec<Link>,
    pub(crate) start: Option<Start>,
    pub(crate) error: Option<ErrorTarget>,
    pub(crate) other_keys: Vec<NodeId>,
    pub(crate) repeated: Vec<Repeated>,
    pub(crate) shadowed: Vec<Shadowed>,
    /// Keys and values of those that are in no other one, in order.
    pub(crate) dropped: Vec<(NodeId, NodeId)>,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its number.
    pub id: i64,
    /// Its key in the recipe.
    pub key: NodeId,
    /// Its definition.
    pub value: NodeId,
    /// `queue`, if given.
    pub queue: Option<NodeId>,
    /// `topic`, if given.
    pub topic: Option<NodeId>,
    /// `service`, if given.
    pub service: Option<NodeId>,
    /// `parameters`, if given.
    pub parameters: Option<NodeId>,
    /// `job_parameters`, if given.
    pub job_parameters: Option<NodeId>,
    /// `transport-delay`, if given.
    pub delay: Option<NodeId>,
    /// `exchange`, if given.
    pub exchange: Option<NodeId>,
    /// Where its links are in [`Recipe::links`].
    pub(crate) links: std::ops::Range<u32>,
}

/// From which of a step's keys a link comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `output`: followed at run time.
    Output,
    /// `error`: checked, never followed.
    Error,
}

/// An edge from a step to another.
#[derive(Debug, Clone)]
pub struct Link {
    /// `output` or `error`.
    pub role: Role,
    /// The key that names the channel, if the links are named.
    pub channel: Option<NodeId>,
    /// The value that names the target.
    pub node: NodeId,
    /// The target.
    pub target: Target,
}

/// What a link or a start entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A step by its number.
    Step(i64),
    /// Not an integer, but there is one that it looks like (`"2"`, `2.0`).
    Meant(i64),
    /// Nothing that could be a step.
    Unreadable,
}

impl Target {
    /// The number it has or was meant to have.
    pub fn id(self) -> Option<i64> {
        match self {
            Target::Step(id) | Target::Meant(id) => Some(id),
            Target::Unreadable => None,
        }
    }
}

/// The `start` of a recipe.
#[derive(Debug)]
pub struct Start {
    /// Its key.
    pub key: NodeId,
    /// Its value.
    pub value: NodeId,
    /// Its entries, in order.
    pub entries: Vec<StartEntry>,
}

/// One entry of `start`.
#[derive(Debug, Clone, Copy)]
pub struct StartEntry {
    /// The whole entry.
    pub node: NodeId,
    /// For a pair: the node that names the step, the step, and the payload.
    pub pair: Option<(NodeId, Target, NodeId)>,
}

/// The top-level `error` of a recipe.
#[derive(Debug)]
pub struct ErrorTarget {
    /// Its value.
    pub value: NodeId,
    /// What it names, item by item.
    pub targets: Vec<(NodeId, Target)>,
}

/// A top-level key that occurs more than once: all but the last occurrence.
#[derive(Debug, Clone, Copy)]
pub struct Repeated {
    /// The shadowed key.
    pub key: NodeId,
    /// Its value.
    pub value: NodeId,
    /// The key that counts.
    pub last: NodeId,
    /// Whether it is a comment: a string, or a list of strings.
    pub comment: bool,
}

/// A member of an object below the top level that a later one with the same key replaces.
#[derive(Debug, Clone, Copy)]
pub struct Shadowed {
    /// Its key.
    pub key: NodeId,
    /// Its value, which readers drop.
    pub value: NodeId,
    /// The key of the member that counts.
    pub last: NodeId,
    /// Whether it is a comment.
    pub comment: bool,
}

impl Recipe {
    /// The document.
    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// A node of the document.
    pub fn node(&self, id: NodeId) -> NodeRef<'_> {
        self.tree.node(id)
    }

    /// The place of a node.
    pub fn span(&self, id: NodeId) -> Span {
        self.tree.node(id).span()
    }

    /// Whether the document is an object at all.
    pub fn is_object(&self) -> bool {
        self.is_object
    }

    /// All step definitions, in the order of the text; of several with one id, the last counts.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step with this id.
    pub fn step(&self, id: i64) -> Option<&Step> {
        self.step_index(id).map(|index| &self.steps[index])
    }

    /// The place of a step in [`Recipe::steps`].
    pub fn step_index(&self, id: i64) -> Option<usize> {
        let found = self.by_id.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(self.by_id[found].1 as usize)
    }

    /// Whether two step definitions have the same number.
    pub fn has_repeated_steps(&self) -> bool {
        self.by_id.len() < self.steps.len()
    }

    /// The links of a step, in the order of the text.
    pub fn links(&self, step: &Step) -> &[Link] {
        &self.links[step.links.start as usize..step.links.end as usize]
    }

    /// `start`, if there is one.
    pub fn start(&self) -> Option<&Start> {
        self.start.as_ref()
    }

    /// The top-level `error`, if there is one.
    pub fn error(&self) -> Option<&ErrorTarget> {
        self.error.as_ref()
    }

    /// Top-level keys that are neither steps nor `start` or `error`.
    pub fn other_keys(&self) -> &[NodeId] {
        &self.other_keys
    }

    /// Top-level keys that a later one shadows.
    pub fn repeated(&self) -> &[Repeated] {
        &self.repeated
    }

    /// Members below the top level that a later one replaces, in the order of the text.
    pub fn shadowed(&self) -> &[Shadowed] {
        &self.shadowed
    }

    /// Whether readers drop a node because it stands in a member that a later one replaces.
    pub fn is_dropped(&self, node: NodeRef<'_>) -> bool {
        let after = self.dropped.partition_point(|&(key, _)| key <= node.id());
        let last = after.checked_sub(1).map(|last| self.dropped[last]);
        last.is_some_and(|(key, value)| key == node.id() || self.node(value).holds(node.id()))
    }

    /// The shadowed keys in a part of the document.
    pub fn shadowed_in(&self, part: NodeRef<'_>) -> impl Iterator<Item = NodeId> {
        let first = self.shadowed.partition_point(|member| member.key < part.id());
        self.shadowed[first..].iter().map(|member| member.key).take_while(move |&key| part.holds(key))
    }

    /// How to name a step to the user: its key as written.
    pub fn name(&self, step: &Step) -> Cow<'_, str> {
        self.node(step.key).text()
    }

    /// The text of a step's `service`, `queue` or `topic`.
    pub fn text(&self, part: Option<NodeId>) -> Option<Cow<'_, str>> {
        let node = self.node(part?);
        (node.kind() == Kind::String).then(|| node.text())
    }

    /// What to call a step in a sentence: its service, else its queue or topic.
    pub fn purpose(&self, step: &Step) -> Option<Cow<'_, str>> {
        self.text(step.service).or_else(|| self.text(step.queue)).or_else(|| self.text(step.topic))
    }

    /// The recipe as the reference implementation holds it after reading: `start` and `error` first, steps under
    /// canonical numbers, a single unnamed output as a list. (`Recipe._sanitize` in `workflows` 3.3.)
    pub fn to_value(&self) -> Value {
        self.to_value_with(&mut |node| node.to_value())
    }

    /// As [`Recipe::to_value`], with every part of a step and every start payload turned into a value by `value_of`.
    pub(crate) fn to_value_with<'t>(&'t self, value_of: &mut dyn FnMut(NodeRef<'t>) -> Value) -> Value {
        let mut object = Object::with_capacity(self.by_id.len() + 2);
        if let Some(start) = &self.start {
            object.insert("start".to_owned(), value_of(self.node(start.value)));
        }
        if let Some(error) = &self.error {
            object.insert("error".to_owned(), value_of(self.node(error.value)));
        }
        for step in &self.steps {
            let mut value = value_of(self.node(step.value));
            if let Value::Object(members) = &mut value
                && let Some(output) = members.get_mut("output")
                && !matches!(output, Value::Array(_) | Value::Object(_))
            {
                *output = Value::Array(vec![std::mem::take(output)]);
            }
            object.insert(step.id.to_string(), value);
        }
        Value::Object(object)
    }
}

/// The number that a link or pointer stands for, as Python's dictionaries take it (`True` is 1, `2.0` is 2).
pub fn step_number(link: &Value) -> Option<i64> {
    match link {
        Value::Number(number) if number.is_integer() => number.as_i64(),
        Value::Number(number) => {
            let value = number.as_f64();
            (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64)
        }
        Value::Bool(value) => Some(i64::from(*value)),
        _ => None,
    }
}
