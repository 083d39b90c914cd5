//! What the form of a document allows in a place, read from its published schema.

use zrecipe_language::contract;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::lint::SETTINGS_SCHEMA;
use zrecipe_language::schema::{Schema, SchemaValue, resolve_reference};
use zrecipe_language::topology;

use super::place::Segment;

/// The published form of the configuration of a site.
const SITE: &str = include_str!("../../schemas/site.schema.json");

/// The published form of documents of a kind whose keys and values no other part of the server knows.
pub fn of(kind: DocumentKind) -> Option<Schema> {
    match kind {
        DocumentKind::Contract => Schema::published(contract::SCHEMA),
        DocumentKind::Broker => Schema::published(topology::SCHEMA),
        DocumentKind::Site => Schema::published(SITE),
        DocumentKind::Settings => Schema::published(SETTINGS_SCHEMA),
        _ => None,
    }
}

/// Everything that what stands at a path may be.
pub fn at<'s>(root: &'s SchemaValue, path: &[Segment]) -> Vec<&'s SchemaValue> {
    path.iter().fold(alternatives(root, root), |schemas, segment| {
        let below = schemas.into_iter().flat_map(|schema| below(schema, segment));
        below.flat_map(|schema| alternatives(root, schema)).collect()
    })
}

/// What the form says about what stands at a path.
pub fn description(root: &SchemaValue, path: &[Segment]) -> Option<String> {
    let (last, outer) = path.split_last()?;
    let below = at(root, outer).into_iter().flat_map(|schema| below(schema, last));
    let said = |schema: &SchemaValue| schema.get("description")?.as_str().map(str::to_owned);
    below.flat_map(|schema| std::iter::once(schema).chain(alternatives(root, schema))).find_map(said)
}

/// The schema itself and those that it is made of.
fn alternatives<'s>(root: &'s SchemaValue, schema: &'s SchemaValue) -> Vec<&'s SchemaValue> {
    let mut found: Vec<&SchemaValue> = Vec::new();
    let mut waiting = vec![schema];
    while let Some(schema) = waiting.pop() {
        let schema = resolve_reference(root, schema);
        if found.iter().any(|known| std::ptr::eq(*known, schema)) {
            continue;
        }
        found.push(schema);
        let lists = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array());
        waiting.extend(lists.flatten());
        waiting.extend(["then", "else"].into_iter().filter_map(|key| schema.get(key)));
    }
    found
}

fn below<'s>(schema: &'s SchemaValue, segment: &Segment) -> Vec<&'s SchemaValue> {
    match segment {
        Segment::Key(key) => {
            if let Some(property) = schema.get("properties").and_then(|properties| properties.get(key)) {
                return vec![property];
            }
            let patterns = schema.get("patternProperties").and_then(SchemaValue::as_object);
            let patterns = patterns.into_iter().flat_map(|patterns| patterns.values());
            patterns.chain(schema.get("additionalProperties")).filter(|schema| schema.is_object()).collect()
        }
        Segment::Item(index) => {
            let first = schema.get("prefixItems").and_then(|items| items.get(index));
            first.or_else(|| schema.get("items")).into_iter().filter(|schema| schema.is_object()).collect()
        }
    }
}
