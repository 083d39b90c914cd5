//! The tree as the validator of JSON Schema sees it.

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, JsonNumber, Node, NodeIdentity, Object};

use super::{SchemaValue, View, to_number, to_schema_value};
use crate::syntax::{Kind, Member, NodeRef};
use crate::value::{self, Number, Value};

/// The representation that the validator reads.
#[derive(Debug)]
pub(super) enum Notation {}

/// A value, wherever it comes from.
#[derive(Debug, Clone)]
pub(super) enum Item<'t> {
    Node(NodeRef<'t>, &'t View),
    Value(&'t Value),
    Text(&'t str),
}

impl<'t> Item<'t> {
    fn new(node: NodeRef<'t>, view: &'t View) -> Self {
        match view.values.get(&node.id()) {
            Some(value) if !view.values.is_empty() => Item::Value(value),
            _ => Item::Node(node, view),
        }
    }

    /// What it is, values in place of nodes put in.
    fn settle(&self) -> Self {
        match self {
            Item::Node(node, view) => Item::new(*node, view),
            other => other.clone(),
        }
    }
}

impl Json for Notation {
    type Node<'a> = Item<'a>;
    type PreparedKey = String;
    type StringBuffer = String;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut String, string: &str, f: impl FnOnce(Item<'_>) -> T) -> T {
        buffer.clear();
        buffer.push_str(string);
        f(Item::Text(buffer))
    }
}

/// A number by its text.
pub(super) struct Digits<'t>(&'t str);

impl JsonNumber for Digits<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    fn as_f64(&self) -> Option<f64> {
        Some(Number::from_text(self.0).as_f64())
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        Cow::Owned(to_number(self.0))
    }

    fn is_integer(&self) -> bool {
        let number = Number::from_text(self.0);
        number.is_integer() || number.as_f64().fract() == 0.0
    }
}

/// An object.
pub(super) enum Members<'t> {
    Node(NodeRef<'t>, &'t View),
    Value(&'t value::Object),
}

/// An array.
pub(super) enum Elements<'t> {
    Node(NodeRef<'t>, &'t View),
    Value(&'t [Value]),
}

impl<'t> Node<'t, Notation> for Item<'t> {
    type Object = Members<'t>;
    type Array = Elements<'t>;
    type Number = Digits<'t>;

    fn as_object(&self) -> Option<Members<'t>> {
        match self.settle() {
            Item::Node(node, view) => (node.kind() == Kind::Object).then_some(Members::Node(node, view)),
            Item::Value(Value::Object(object)) => Some(Members::Value(object)),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<Elements<'t>> {
        match self.settle() {
            Item::Node(node, view) => (node.kind() == Kind::Array).then_some(Elements::Node(node, view)),
            Item::Value(Value::Array(items)) => Some(Elements::Value(items)),
            _ => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'t, str>> {
        match self.settle() {
            Item::Node(node, _) => (node.kind() == Kind::String).then(|| node.text()),
            Item::Value(Value::String(text)) => Some(Cow::Borrowed(text)),
            Item::Value(Value::Raw(text)) => Some(Cow::Borrowed(text)),
            Item::Value(_) => None,
            Item::Text(text) => Some(Cow::Borrowed(text)),
        }
    }

    fn as_number(&self) -> Option<Digits<'t>> {
        match self.settle() {
            Item::Node(node, _) => (node.kind() == Kind::Number).then(|| Digits(node.as_json())),
            Item::Value(Value::Number(number)) => Some(Digits(number.as_str())),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self.settle() {
            Item::Node(node, _) => node.as_bool(),
            Item::Value(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        self.json_type() == JsonType::Null
    }

    fn json_type(&self) -> JsonType {
        match self.settle() {
            Item::Node(node, _) => match node.kind() {
                Kind::Null | Kind::Missing => JsonType::Null,
                Kind::Bool => JsonType::Boolean,
                Kind::Number => JsonType::Number,
                Kind::String => JsonType::String,
                Kind::Array => JsonType::Array,
                Kind::Object => JsonType::Object,
            },
            Item::Value(value) => match value {
                Value::Null => JsonType::Null,
                Value::Bool(_) => JsonType::Boolean,
                Value::Number(_) => JsonType::Number,
                Value::String(_) | Value::Raw(_) => JsonType::String,
                Value::Array(_) => JsonType::Array,
                Value::Object(_) => JsonType::Object,
            },
            Item::Text(_) => JsonType::String,
        }
    }

    fn to_value(&self) -> Cow<'t, SchemaValue> {
        Cow::Owned(match self.settle() {
            Item::Node(node, view) => match node.kind() {
                Kind::Array => node.items().map(|item| Item::Node(item, view).to_value().into_owned()).collect(),
                Kind::Object => {
                    let members = Members::Node(node, view);
                    let members =
                        members.members().map(|(name, value)| (name.into_owned(), value.to_value().into_owned()));
                    SchemaValue::Object(members.collect())
                }
                _ => to_schema_value(&node.to_value()),
            },
            Item::Value(value) => to_schema_value(value),
            Item::Text(text) => SchemaValue::String(text.to_owned()),
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        match self {
            Item::Node(node, _) => {
                Some(NodeIdentity::tagged(std::ptr::from_ref(node.tree()).addr(), node.id().index()))
            }
            Item::Value(value) => Some(NodeIdentity::new(std::ptr::from_ref::<Value>(value).addr())),
            Item::Text(_) => None,
        }
    }
}

impl<'t> Object<'t, Notation> for Members<'t> {
    type Node = Item<'t>;
    type MemberName = Cow<'t, str>;
    type MembersIter = Box<dyn Iterator<Item = (Cow<'t, str>, Item<'t>)> + 't>;

    fn len(&self) -> usize {
        match self {
            Members::Node(..) => self.members().count(),
            Members::Value(object) => object.len(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Members::Node(node, _) => node.is_empty(),
            Members::Value(object) => object.is_empty(),
        }
    }

    fn get(&self, key: &String) -> Option<Item<'t>> {
        match self {
            Members::Node(node, view) => node.get(key).map(|value| Item::Node(value, view)),
            Members::Value(object) => object.get(key).map(Item::Value),
        }
    }

    fn members(&self) -> Self::MembersIter {
        match *self {
            Members::Node(node, view) => {
                let kept =
                    move |member: &Member<'_>| view.dropped.is_empty() || !view.dropped.contains(&member.key.id());
                let members = node.members().filter(kept);
                Box::new(members.map(move |member| (member.key.text(), Item::Node(member.value, view))))
            }
            Members::Value(object) => {
                Box::new(object.iter().map(|(key, value)| (Cow::Borrowed(key.as_str()), Item::Value(value))))
            }
        }
    }
}

impl<'t> Array<'t, Notation> for Elements<'t> {
    type Node = Item<'t>;
    type ElementsIter = Box<dyn Iterator<Item = Item<'t>> + 't>;

    fn len(&self) -> usize {
        match self {
            Elements::Node(node, _) => node.items().count(),
            Elements::Value(items) => items.len(),
        }
    }

    fn elements(&self) -> Self::ElementsIter {
        match *self {
            Elements::Node(node, view) => Box::new(node.items().map(move |item| Item::Node(item, view))),
            Elements::Value(items) => Box::new(items.iter().map(Item::Value)),
        }
    }
}
