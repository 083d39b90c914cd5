//! `docs/contract-format.md` follows from the schema of contracts, and `docs/python-api.md` from the Python source.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use crate::lists::root;
use crate::pages::keep;

/// The parts of the page: a heading, and where the schema has their keys.
const PARTS: [(&str, &str); 6] = [
    ("Keys of a contract", ""),
    ("Keys of `run`", "/$defs/run"),
    ("Keys of a channel", "/$defs/channel"),
    ("Keys of a variant", "/$defs/variants"),
    ("Keys of a case of a variant", "/$defs/case"),
    ("Keys of `environment`", "/$defs/environment"),
];

/// An example, which `check` accepts.
const EXAMPLE: &str = r#"{
  "names": ["Picker"],
  "queues": ["picker"],
  "input": ["payload", "parameters"],
  "unknown": "warning",
  "parameters": {
    "required": ["movie"],
    "properties": {
      "movie": { "type": "string", "x-evidence": "src/picker.py:20" },
      "min_score": { "type": "number" }
    }
  },
  "channels": {
    "picked": { "payload": { "required": ["picks"], "properties": { "picks": { "type": "string" } } } }
  }
}
"#;

/// What a value may be, in words.
fn kind(schema: &Value) -> String {
    if let Some(choices) = schema["enum"].as_array() {
        return choices
            .iter()
            .map(|choice| format!("`{}`", choice.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
        return match name {
            "schema" | "property" => "JSON Schema".to_owned(),
            "evidence" => "text, or a list of texts".to_owned(),
            _ => "object".to_owned(),
        };
    }
    match schema["type"].as_str() {
        Some("string") => "text".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => "whole number".to_owned(),
        Some("array") => format!("list of: {}", kind(&schema["items"])),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

fn contract_page(schema: &Value) -> String {
    let mut page = format!(
        "# Contract format\n\nA contract describes a service: its queues, its parameters, and what it sends. \
         [Contracts from your Python\ncode](contracts.md) shows how to get one. This page is derived from \
         [contract.schema.json](../schemas/contract.schema.json).\n\n```json\n{EXAMPLE}```\n"
    );
    for (title, at) in PARTS {
        let part = schema.pointer(at).unwrap_or_else(|| panic!("no {at}"));
        let required: Vec<&str> = part["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let _ = writeln!(page, "\n## {title}\n\n| key | type | meaning |\n|---|---|---|");
        for (name, property) in part["properties"].as_object().expect("has keys") {
            let text = property["description"].as_str().unwrap_or_default().replace('|', "\\|");
            let needed = if required.contains(&name.as_str()) { " Required." } else { "" };
            let _ = writeln!(page, "| `{name}` | {} | {text}{needed} |", kind(property));
        }
    }
    page.push_str("\n## Additions to JSON Schema\n\nA property of a schema may have these keys:\n\n");
    page.push_str("| key | type | meaning |\n|---|---|---|\n");
    for (name, property) in schema["$defs"]["property"]["properties"].as_object().expect("has keys") {
        let text = property["description"].as_str().unwrap_or_default();
        let _ = writeln!(page, "| `{name}` | {} | {text} |", kind(property));
    }
    page
}

fn compare(name: &str, page: String) {
    keep(&BTreeMap::from([(name.to_owned(), page)]), None);
}

#[test]
fn the_page_of_contracts_follows_the_schema() {
    let schema = std::fs::read_to_string(root().join("schemas/contract.schema.json")).expect("the schema");
    compare("contract-format.md", contract_page(&serde_json::from_str(&schema).expect("JSON")));
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("picker.json"), EXAMPLE).expect("can be written");
    let mut check = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    let output =
        check.args(["check", "--deny", "all", "picker.json"]).current_dir(folder.path()).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_page_of_the_python_package_follows_its_source() {
    let output = Command::new("python3").arg(root().join("ci/python_api.py")).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    compare("python-api.md", String::from_utf8(output.stdout).expect("UTF-8"));
}
