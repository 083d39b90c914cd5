//! Mistakes that users make: each answer names the cause and a way out.
//!
//! `tests/mistakes.json` is the table: what is typed, with which files, what the answer has to name, and the exit code.

use std::process::{Command, Stdio};

use serde_json::Value;

/// Words that lead out, beside those of the row.
const LEADS: [&str; 14] = [
    "help:",
    "fix:",
    "suggested fix (review):",
    "tip:",
    "possible values:",
    "Usage:",
    "did you mean",
    "not one of",
    "--help",
    "use ",
    "write ",
    "needs a",
    "expected",
    "--kind",
];

fn rows() -> Vec<Value> {
    let table: Value = serde_json::from_str(include_str!("../mistakes.json")).expect("is JSON");
    table.as_array().expect("is a list").clone()
}

/// What the program answers, and its exit code.
fn answer(row: &Value) -> (String, i64) {
    let folder = tempfile::tempdir().expect("can be made");
    for (name, text) in row["files"].as_object().into_iter().flatten() {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
        std::fs::write(path, text.as_str().expect("is text")).expect("can be written");
    }
    let arguments = row["args"].as_array().expect("is a list").iter().map(|word| word.as_str().expect("is text"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());
    command.env("ZRECIPE_STATE", folder.path().join(".state")).env("COLUMNS", "100").env("HOME", folder.path());
    for variable in ["ZOCALO_CONFIG", "ZOCALO_DEFAULT_ENV", "ZRECIPE_RUN"] {
        command.env_remove(variable);
    }
    let output = command.output().expect("starts");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("is UTF-8");
    (text, i64::from(output.status.code().expect("ends")))
}

#[test]
fn each_mistake_has_its_cause_and_a_way_out() {
    let rows = rows();
    assert!(rows.len() >= 165, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let (text, code) = answer(row);
        // Lines may be wrapped anywhere.
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let has = |key: &str| row[key].as_str().is_some_and(|part| words.contains(part));
        let leads = LEADS.iter().any(|lead| text.contains(lead));
        if !has("cause") || !has("way_out") || !leads || row["code"].as_i64() != Some(code) {
            wrong.push(format!("{} {}\ncode {code}\n{text}", row["args"], row["files"]));
        }
        for bad in ["panicked", "os error", "Traceback"] {
            assert!(!text.contains(bad), "{}: {text}", row["args"]);
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}
