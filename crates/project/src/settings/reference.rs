//! The reference page of the settings file, derived from its schema.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The page `docs/settings.md`.
pub fn reference(schema: &Value) -> String {
    let mut page = "# Settings: zrecipe.toml\n\n".to_owned();
    let _ = writeln!(page, "{}\n", text(schema, "description"));
    page.push_str(
        "This page is derived from `schemas/settings.schema.json` (`zrecipe schema settings`), and that from the types \
         that zrecipe\nreads. An unknown key is an error. `zrecipe check zrecipe.toml` checks a file.\n",
    );
    table(&mut page, schema, "", schema);
    page
}

/// The keys of a table, and then the tables below it.
fn table(page: &mut String, root: &Value, path: &str, schema: &Value) {
    let Some(properties) = resolved(root, schema).get("properties").and_then(Value::as_object) else { return };
    let mut below = Vec::new();
    for (name, property) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match tables(root, property) {
            Some((inner, is_list)) => below.push((path, property, inner, is_list)),
            None => key(page, root, &path, property),
        }
    }
    for (path, property, inner, is_list) in below {
        let title = if is_list { format!("[[{path}]]") } else { format!("[{path}]") };
        let _ = writeln!(page, "\n## `{title}`\n\n{}", text(property, "description"));
        if property.get("anyOf").is_some() {
            details(page, root, property);
        }
        table(page, root, &path, inner);
    }
}

/// The schema of a table, or of the tables of a list, with keys of their own.
fn tables<'s>(root: &'s Value, property: &'s Value) -> Option<(&'s Value, bool)> {
    let has_keys = |schema: &&Value| resolved(root, schema).get("properties").is_some();
    if has_keys(&property) {
        return Some((property, false));
    }
    if let Some(items) = property.get("items").filter(has_keys) {
        return Some((items, true));
    }
    let choices = property.get("anyOf").and_then(Value::as_array)?;
    choices.iter().find(has_keys).map(|choice| (choice, false))
}

fn key(page: &mut String, root: &Value, path: &str, property: &Value) {
    let _ = writeln!(page, "\n### `{path}`\n\n{}", text(property, "description"));
    details(page, root, property);
}

fn details(page: &mut String, root: &Value, property: &Value) {
    let mut lines = vec![format!("Type: {}", kind(root, property))];
    if let Some(default) = property.get("default") {
        lines.push(format!("Default: `{}`", toml(default)));
    }
    for example in property.get("examples").and_then(Value::as_array).into_iter().flatten() {
        lines.push(format!("Example: `{}`", toml(example)));
    }
    page.push('\n');
    lines.iter().for_each(|line| _ = writeln!(page, "- {line}"));
}

/// What a value may be, in words.
fn kind(root: &Value, schema: &Value) -> String {
    let schema = resolved(root, schema);
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        const FEW: usize = 10;
        if choices.len() > FEW {
            return text(schema, "description").trim_end_matches('.').to_lowercase();
        }
        let choices: Vec<String> = choices.iter().map(|choice| format!("`{}`", toml(choice))).collect();
        return format!("one of {}", choices.join(", "));
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        return choices.iter().map(|choice| kind(root, choice)).collect::<Vec<_>>().join(", or ");
    }
    let minimum = match (schema.get("minimum"), schema.get("exclusiveMinimum")) {
        (Some(minimum), _) if *minimum != 0 => format!(", at least {minimum}"),
        (_, Some(minimum)) => format!(", above {minimum}"),
        _ => String::new(),
    };
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => "text".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") => format!("whole number{minimum}"),
        Some("number") => format!("number{minimum}"),
        Some("array") => match schema.get("items") {
            Some(items) => format!("list of: {}", kind(root, items)),
            None => "list".to_owned(),
        },
        Some("object") => match schema.get("additionalProperties").filter(|values| values.is_object()) {
            Some(values) => format!("table of: {}", kind(root, values)),
            None => "table".to_owned(),
        },
        _ => "table".to_owned(),
    }
}

fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
    name.and_then(|name| root.pointer(name)).unwrap_or(schema)
}

fn text<'s>(schema: &'s Value, key: &str) -> &'s str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A value as TOML writes it on one line.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(members) => inline(members),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn inline(members: &Map<String, Value>) -> String {
    let members: Vec<String> = members.iter().map(|(key, value)| format!("{key} = {}", toml(value))).collect();
    if members.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", members.join(", ")) }
}
