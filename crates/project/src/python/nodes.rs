//! Keys that are read, as the JSON Schema of the mapping that they are read from.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::facts::{Evidence, Read, Segment, Use};

/// The most places in the source that are named for one fact.
pub(super) const MAX_EVIDENCE: usize = 3;

/// A key with what is known of its value.
#[derive(Default)]
pub(super) struct Node {
    pub required: bool,
    default: Option<Value>,
    schema: Option<Value>,
    /// Whether several models disagree about its type.
    mixed: bool,
    uses: BTreeSet<Use>,
    /// The types without which a message is refused.
    insisted: BTreeSet<Use>,
    pub from: BTreeSet<String>,
    pub evidence: Vec<Evidence>,
    pub keys: IndexMap<String, Node>,
    items: Option<Box<Node>>,
    pub open: bool,
}

impl Node {
    pub fn at(&mut self, path: &[Segment]) -> &mut Node {
        let mut node = self;
        for segment in path {
            node = match segment {
                Segment::Key(key) => node.keys.entry(key.clone()).or_default(),
                Segment::Item => node.items.get_or_insert_default(),
            };
        }
        node
    }

    pub fn find(&self, path: &[Segment]) -> Option<&Node> {
        path.iter().try_fold(self, |node, segment| match segment {
            Segment::Key(key) => node.keys.get(key),
            Segment::Item => node.items.as_deref(),
        })
    }

    pub fn add(&mut self, path: &[Segment], read: &Read, required: bool, from: impl Iterator<Item = String>) {
        let node = self.at(path);
        node.required |= required;
        if node.default.is_none() {
            node.default.clone_from(&read.default);
        }
        if let Some(schema) = &read.schema {
            match &node.schema {
                Some(known) if known != schema => node.mixed = true,
                _ => node.schema = Some(schema.clone()),
            }
        }
        node.uses.extend(read.uses.iter().filter(|(_, certain)| *certain).map(|(shown, _)| *shown));
        node.insisted.extend(read.insisted);
        node.from.extend(from);
        if !node.evidence.contains(&read.evidence) && node.evidence.len() < MAX_EVIDENCE {
            node.evidence.push(read.evidence.clone());
        }
    }

    /// The type that all uses agree on.
    fn shown_type(&self) -> Option<&'static str> {
        let shown = if self.insisted.is_empty() { &self.uses } else { &self.insisted };
        let types: BTreeSet<&str> = shown
            .iter()
            .filter_map(|shown| match shown {
                Use::Integer => Some("integer"),
                Use::Number => Some("number"),
                Use::Text => Some("string"),
                Use::Object => Some("object"),
                Use::Array => Some("array"),
                Use::Parsed | Use::Any => None,
            })
            .collect();
        let types: Vec<&str> = types.into_iter().collect();
        match types[..] {
            _ if shown.contains(&Use::Any) => None,
            // Whatever is a whole number is a number.
            ["integer", "number"] => Some("integer"),
            ["object"] => Some("object"),
            ["integer"] => Some("integer"),
            ["number"] => Some("number"),
            ["string"] => Some("string"),
            ["array"] => Some("array"),
            _ => None,
        }
    }

    fn schema(&self, with_notes: bool) -> Value {
        let mut schema = match &self.schema {
            Some(Value::Object(schema)) if !self.mixed => schema.clone(),
            _ => Map::new(),
        };
        if self.schema.is_none()
            && let Some(kind) = self.shown_type()
        {
            schema.insert("type".to_owned(), Value::from(kind));
        }
        if self.uses.contains(&Use::Parsed) {
            schema.insert("x-parsed".to_owned(), Value::Bool(true));
        }
        if !self.keys.is_empty() && schema.get("properties").is_none() && self.schema.is_none() {
            self.add_keys(&mut schema, with_notes);
        }
        if let Some(items) = &self.items
            && self.schema.is_none()
            && schema.get("type").is_none_or(|kind| kind == "array")
        {
            let inner = items.schema(with_notes);
            if inner.as_object().is_some_and(|inner| !inner.is_empty()) {
                schema.insert("items".to_owned(), inner);
            }
        }
        if let Some(default) = &self.default {
            schema.entry("default").or_insert_with(|| default.clone());
        }
        Value::Object(schema)
    }

    fn add_keys(&self, schema: &mut Map<String, Value>, with_notes: bool) {
        let required: Vec<&str> =
            self.keys.iter().filter(|(_, node)| node.required).map(|(key, _)| key.as_str()).collect();
        if !required.is_empty() {
            schema.insert("type".to_owned(), Value::from("object"));
            schema.insert("required".to_owned(), Value::from(required));
        }
        let properties: Map<String, Value> = self
            .keys
            .iter()
            .map(|(key, node)| {
                let mut schema = node.schema(with_notes);
                if with_notes && let Value::Object(schema) = &mut schema {
                    schema.insert("x-evidence".to_owned(), evidence(&node.evidence));
                }
                (key.clone(), schema)
            })
            .collect();
        schema.insert("properties".to_owned(), Value::Object(properties));
        if self.open {
            schema.insert("additionalProperties".to_owned(), Value::Bool(true));
        }
    }

    /// The JSON Schema of a whole mapping; `all` are the mappings that it is read from.
    pub fn whole(&self, all: &[String]) -> Option<Value> {
        if self.keys.is_empty() {
            return None;
        }
        let mut schema = Map::new();
        schema.insert("type".to_owned(), Value::from("object"));
        self.add_keys(&mut schema, true);
        // That of the whole is said once, for the contract.
        schema.remove("additionalProperties");
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            for (key, node) in &self.keys {
                let mut plain: BTreeSet<&str> = node.from.iter().filter_map(|name| name.split('.').next()).collect();
                plain.remove("");
                let is_all = all.iter().all(|name| node.from.contains(name));
                if all.len() > 1
                    && !is_all
                    && let Some(Value::Object(property)) = properties.get_mut(key)
                {
                    property.insert("x-from".to_owned(), Value::from(plain.into_iter().collect::<Vec<_>>()));
                }
            }
        }
        Some(Value::Object(schema))
    }
}

pub(super) fn evidence(places: &[Evidence]) -> Value {
    match places {
        [one] => Value::from(one.to_string()),
        many => Value::from(many.iter().map(Evidence::to_string).collect::<Vec<_>>()),
    }
}
