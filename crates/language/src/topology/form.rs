//! The form of broker configurations: their JSON Schema, and keys that nobody reads.

use std::sync::LazyLock;

use crate::schema::{Fault, Schema, SchemaValue, resolve_reference};
use crate::syntax::{NodeRef, Tree};

/// The JSON Schema of broker configurations.
pub const SCHEMA: &str = include_str!("../../../../schemas/broker.schema.json");

/// The form, but for its refusal of unknown keys: those are found by [`unread`], which knows what may be meant.
static FORM: LazyLock<Option<Schema>> = LazyLock::new(|| {
    let mut form: SchemaValue = serde_json::from_str(SCHEMA).ok()?;
    form.as_object_mut()?.remove("additionalProperties");
    Schema::published(&form.to_string())
});

/// What of a document does not have the form of a broker configuration.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    FORM.as_ref().map_or_else(Vec::new, |form| form.faults(tree.root(), "the configuration"))
}

/// Objects in which a key may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The whole configuration.
    Configuration,
    /// The settings of a policy.
    Definition,
    /// Arguments of a queue, an exchange or a binding.
    Arguments,
    /// Another one.
    Other,
}

/// A key that nobody reads.
#[derive(Debug)]
pub struct Unread<'t> {
    /// The key.
    pub key: NodeRef<'t>,
    /// Its value.
    pub value: NodeRef<'t>,
    /// What it is in.
    pub owner: Owner,
    /// The same in words.
    pub place: String,
    /// The keys that are read there.
    pub known: Vec<&'static str>,
}

/// The keys that are passed over, in the order of the text.
pub fn unread(tree: &Tree) -> Vec<Unread<'_>> {
    let mut found = Vec::new();
    if let Some(form) = FORM.as_ref() {
        let whole = (Owner::Configuration, "the configuration");
        find_unread(form.root(), form.root(), tree.root(), whole, &mut found);
    }
    found
}

fn find_unread<'t>(
    form: &'static SchemaValue,
    schema: &'static SchemaValue,
    node: NodeRef<'t>,
    (owner, place): (Owner, &str),
    found: &mut Vec<Unread<'t>>,
) {
    let schema = resolve_reference(form, schema);
    if let Some(items) = schema.get("items") {
        let plural = place.trim_matches('`');
        let singular = match plural.strip_suffix("ies") {
            Some(stem) => format!("a {stem}y"),
            None if plural.starts_with('e') => format!("an {}", plural.trim_end_matches('s')),
            None => format!("a {}", plural.trim_end_matches('s')),
        };
        node.items().for_each(|item| find_unread(form, items, item, (Owner::Other, &singular), found));
    }
    let Some(properties) = schema.get("properties").and_then(SchemaValue::as_object) else { return };
    for member in node.members() {
        let key = member.key.text();
        match properties.get(&*key) {
            Some(schema) => {
                let owner = match &*key {
                    "definition" => Owner::Definition,
                    "arguments" => Owner::Arguments,
                    _ => Owner::Other,
                };
                find_unread(form, schema, member.value, (owner, &format!("`{key}`")), found);
            }
            None => found.push(Unread {
                key: member.key,
                value: member.value,
                owner,
                place: place.to_owned(),
                known: properties.keys().map(String::as_str).collect(),
            }),
        }
    }
}
