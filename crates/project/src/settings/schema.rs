//! The JSON Schema of the settings file, derived from the types that are read.

use schemars::JsonSchema as _;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::section::Registered;
use super::written::Written;

/// The schema of the whole file: of what is defined here, and of the tables that are registered.
pub fn schema(sections: &[Registered]) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut root = Written::json_schema(&mut generator).to_value();
    let mut tables: Vec<(String, Value)> = Vec::new();
    for section in sections {
        let mut schema = (section.schema)(&mut generator).to_value();
        schema["default"] = json!({});
        tables.push((section.name.to_owned(), schema));
    }
    if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(tables);
    }
    let mut whole = Map::from_iter([("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"))]);
    whole.extend(root.as_object().cloned().unwrap_or_default());
    let mut definitions: Vec<(String, Value)> = generator.take_definitions(false).into_iter().collect();
    definitions.sort_by(|(a, _), (b, _)| a.cmp(b));
    whole.insert("$defs".to_owned(), Value::Object(definitions.into_iter().collect()));
    let mut whole = Value::Object(whole);
    simplify(&mut whole);
    whole
}

/// Takes out what does not apply to TOML, which has no null, and what says nothing.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("type")
                && types.len() == 2
                && types.iter().any(|kind| kind == "null")
            {
                types.retain(|kind| kind != "null");
                let only = types.pop();
                members.extend(only.map(|only| ("type".to_owned(), only)));
            }
            if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
                let is_null = |choice: &Value| *choice == json!({ "type": "null" });
                if choices.iter().any(is_null) && choices.len() == 2 {
                    choices.retain(|choice| !is_null(choice));
                    let only = choices.pop();
                    members.shift_remove("anyOf");
                    members.extend(only.and_then(|only| only.as_object().cloned()).unwrap_or_default());
                }
            }
            let is_machine_format =
                |format: &Value| format.as_str().is_some_and(|f| f.starts_with("uint") || f == "double");
            if members.get("format").is_some_and(is_machine_format) {
                members.shift_remove("format");
            }
            if members.get("default") == Some(&Value::Null) {
                members.shift_remove("default");
            }
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            members.iter_mut().filter(|(key, _)| *key != "examples").for_each(|(_, value)| simplify(value));
        }
        Value::Array(items) => items.iter_mut().for_each(simplify),
        _ => {}
    }
}
