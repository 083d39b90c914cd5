//! Recipes as YAML, in the block style in which people write it.

use serde_json::Value;

/// A document in block style; texts stand in double quotes.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    for (key, value) in value.as_object().expect("a recipe is an object") {
        member(&mut out, 0, key, value);
    }
    out
}

fn member(out: &mut String, depth: usize, key: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) if !members.is_empty() => {
            out.push_str(&format!("{indent}{key}:\n"));
            members.iter().for_each(|(key, value)| member(out, depth + 1, key, value));
        }
        // JSON is YAML.
        other => out.push_str(&format!("{indent}{key}: {other}\n")),
    }
}
