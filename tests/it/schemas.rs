//! The published JSON Schemas: what they accept and refuse, that they agree with the code, and that they say what every
//! property means.
//!
//! The samples of `schemas/site/pika.schema.json` are `tests/schema/site/pika/{valid,invalid}-*.json`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use zrecipe::compile::{Options, compile};
use zrecipe::diagnostic::Level;
use zrecipe::document::DocumentKind;
use zrecipe::schema::Schema;
use zrecipe::settings::{FILE_NAME, Settings};
use zrecipe::source::Source;

use crate::lists::{entries, root};

fn read(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every schema, by its path without `.schema.json`.
fn schemas() -> Vec<(String, Value)> {
    let folder = root().join("schemas");
    let mut paths = entries(&folder);
    paths.extend(entries(&folder.join("site")));
    let schemas = paths.iter().filter(|path| path.is_file()).map(|path| {
        let shown = path.strip_prefix(&folder).expect("lies in the folder").to_string_lossy().replace('\\', "/");
        let name = shown.strip_suffix(".schema.json").unwrap_or_else(|| panic!("{shown} is named as a schema"));
        (name.to_owned(), read(path))
    });
    schemas.collect()
}

fn schema(name: &str) -> Value {
    read(&root().join(format!("schemas/{name}.schema.json")))
}

fn validator(name: &str, schema: &Value) -> jsonschema::Validator {
    jsonschema::validator_for(schema).unwrap_or_else(|error| panic!("{name} is no JSON Schema: {error}"))
}

/// The samples of a schema with what they are to be.
fn samples(name: &str) -> Vec<(PathBuf, bool)> {
    let files = entries(&root().join("tests/schema").join(name)).into_iter().filter(|path| path.is_file());
    let samples = files.map(|path| {
        let file = path.file_name().expect("has a name").to_string_lossy().into_owned();
        let valid = match file.split_once('-') {
            Some(("valid", rest)) if rest.ends_with(".json") => true,
            Some(("invalid", rest)) if rest.ends_with(".json") => false,
            _ => panic!("{} is never read: name it `valid-….json` or `invalid-….json`", path.display()),
        };
        (path, valid)
    });
    samples.collect()
}

fn found(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn samples_are_what_their_names_say() {
    let mut wrong = Vec::new();
    for (name, schema) in schemas() {
        let validator = validator(&name, &schema);
        if let Err(flaw) = Schema::new(schema) {
            wrong.push(format!("{name} cannot be used by the linter: {}", flaw.message));
        }
        let samples = samples(&name);
        for kind in [true, false] {
            if samples.iter().filter(|(_, valid)| *valid == kind).count() < 3 {
                wrong.push(format!(
                    "{name} has fewer than three samples that are {}",
                    if kind { "valid" } else { "not" }
                ));
            }
        }
        for (path, valid) in samples {
            match (validator.validate(&read(&path)), valid) {
                (Err(error), true) => wrong.push(format!("{}: {}: {error}", path.display(), error.instance_path())),
                (Ok(()), false) => wrong.push(format!("{} is accepted", path.display())),
                _ => {}
            }
        }
    }
    found(&wrong);
}

#[test]
fn samples_belong_to_a_schema() {
    let names: BTreeSet<String> = schemas().into_iter().map(|(name, _)| name).collect();
    let folder = root().join("tests/schema");
    let folders = entries(&folder).into_iter().chain(entries(&folder.join("site"))).filter(|path| path.is_dir());
    let folders = folders
        .map(|path| path.strip_prefix(&folder).expect("lies in the folder").to_string_lossy().replace('\\', "/"));
    assert_eq!(folders.collect::<BTreeSet<_>>(), names);
}

/// Calls `visit` with every schema within a schema and where it is; conditions are no descriptions.
fn walk<'s>(schema: &'s Value, place: &str, visit: &mut impl FnMut(&'s Map<String, Value>, &str)) {
    match schema {
        Value::Object(members) => {
            visit(members, place);
            for (key, value) in members {
                if !["if", "examples", "default", "enum", "const"].contains(&key.as_str()) {
                    walk(value, &format!("{place}/{key}"), visit);
                }
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(number, item)| walk(item, &format!("{place}/{number}"), visit));
        }
        _ => {}
    }
}

/// Every property that a schema describes: its name, its schema, and where it is.
fn properties(schema: &Value) -> Vec<(&str, &Map<String, Value>, String)> {
    let mut properties = Vec::new();
    walk(schema, "", &mut |members, place| {
        // A property may itself be called `properties`.
        if !place.ends_with("/properties") {
            let listed = members.get("properties").and_then(Value::as_object).into_iter().flatten();
            let listed = listed.filter_map(|(name, schema)| Some((name.as_str(), schema.as_object()?)));
            properties.extend(listed.map(|(name, schema)| (name, schema, format!("{place}/properties/{name}"))));
        }
    });
    properties
}

#[test]
fn properties_have_descriptions() {
    let mut wrong = Vec::new();
    for (name, schema) in schemas() {
        let properties = properties(&schema);
        assert!(!properties.is_empty(), "{name} has properties");
        for (_, property, place) in properties {
            let target = property.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
            let target = target.and_then(|target| schema.pointer(target));
            let texts = [property.get("description"), target.and_then(|target| target.get("description"))];
            if !texts.into_iter().flatten().filter_map(Value::as_str).any(|text| text.len() > 1 && text.ends_with('.'))
            {
                wrong.push(format!("{name}{place} has no description that is a sentence"));
            }
        }
    }
    found(&wrong);
}

/// What may not be shown is marked where it is described.
#[test]
fn secrets_are_marked() {
    let mut marked = BTreeSet::new();
    for (name, schema) in schemas() {
        for (property, schema, place) in properties(&schema) {
            let is_secret = ["password", "token", "credentials"].iter().any(|word| property.contains(word));
            let is_marked = schema.get("writeOnly") == Some(&Value::Bool(true));
            assert_eq!(is_secret, is_marked, "{name}{place}");
            if is_marked {
                marked.insert(name.clone());
            }
        }
    }
    let expected = ["site", "site/jmx", "site/logging", "site/pika", "site/rabbitmqapi", "site/slurm", "site/stomp"];
    assert_eq!(marked, expected.map(str::to_owned).into());
}

#[test]
fn examples_and_defaults_are_valid() {
    let mut wrong = Vec::new();
    for (name, schema) in schemas() {
        walk(&schema, "", &mut |members, place| {
            if place.ends_with("/properties") {
                return;
            }
            let examples = members.get("examples").and_then(Value::as_array).into_iter().flatten();
            let values: Vec<&Value> = examples.chain(members.get("default")).collect();
            if values.is_empty() {
                return;
            }
            let mut part = members.clone();
            part.extend(schema.get("$defs").map(|definitions| ("$defs".to_owned(), definitions.clone())));
            let validator = validator(&name, &part.into());
            for value in values.into_iter().filter(|value| !validator.is_valid(value)) {
                wrong.push(format!("{name}{place}: {value}"));
            }
        });
    }
    found(&wrong);
}

/// Editors take one file for a site configuration, so it holds those of the plugins.
#[test]
fn the_site_schema_holds_those_of_the_plugins() {
    let site = schema("site");
    let definitions = site["$defs"].as_object().expect("has definitions");
    let mut known: BTreeSet<&str> = ["block", "environment"].into();
    let plugins: Vec<_> = schemas().into_iter().filter(|(name, _)| name.starts_with("site/")).collect();
    let mut choices = Vec::new();
    for (name, plugin) in &plugins {
        let name = name.trim_start_matches("site/");
        let mut own = plugin.as_object().expect("is an object").clone();
        own.remove("$schema");
        for (part, schema) in own.remove("$defs").as_ref().and_then(Value::as_object).into_iter().flatten() {
            assert_eq!(definitions.get(part), Some(schema), "{part} of {name}");
            known.insert(definitions.get_key_value(part).expect("is there").0);
        }
        let mut choice = plugin["properties"]["plugin"].clone();
        choice.as_object_mut().expect("is an object").remove("description");
        choices.push(serde_json::json!({
            "if": { "type": "object", "required": ["plugin"], "properties": { "plugin": choice } },
            "then": { "$ref": format!("#/$defs/{name}") },
        }));
        assert_eq!(definitions.get(name), Some(&own.into()), "{name}");
        known.insert(name);
    }
    assert_eq!(site.pointer("/$defs/block/allOf"), Some(&choices.into()));
    assert_eq!(definitions.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
}

/// The schema and the page of settings are derived from the types that are read.
#[test]
fn the_schema_and_the_page_of_settings_are_those_of_the_types() {
    let derived = zrecipe::settings::schema(&zrecipe_runtime::settings::sections());
    let text = serde_json::to_string_pretty(&derived).expect("is JSON") + "\n";
    let page = zrecipe::settings::reference(&derived);
    for (path, derived) in [("schemas/settings.schema.json", text), ("docs/settings.md", page)] {
        let path = root().join(path);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &derived).expect("writes");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == derived, "{}: `tests/bless --test it` writes it", path.display());
    }
}

/// Every key of the settings changes what is read, so that the reader has no key less than the schema. It has none
/// more, because the schema is derived from it.
#[test]
fn every_setting_is_read() {
    let folder = tempfile::tempdir().expect("can be made");
    let read = |text: &str| {
        std::fs::write(folder.path().join(FILE_NAME), text).expect("can be written");
        let settings = Settings::find(folder.path()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let sections = zrecipe_runtime::settings::sections();
        let sections = sections.iter().map(|section| (section.read)(&settings).expect("is read"));
        format!("{settings:?} {:?}", sections.collect::<Vec<_>>())
    };
    let schema = schema("settings");
    let mut seen = BTreeSet::new();
    each_setting(&schema, &schema, "", &mut |path, header, beside, example| {
        seen.insert(path.to_owned());
        let with = format!("{header}{beside}{} = {}\n", path.rsplit('.').next().unwrap_or(path), toml(example));
        // A required key is compared with a file without its table.
        let before = if path == "suppress.pointer" || path == "suppress.reason" {
            read(&format!("{header}{beside}"))
        } else {
            read("")
        };
        // Why a finding is suppressed is for people.
        assert_eq!(before != read(&with), path != "suppress.reason", "`{path}` changes nothing:\n{with}");
    });
    assert!(seen.len() > 35, "{seen:?}");
    for key in ["runner.limits.grace", "contracts.built-in", "dispatcher.ready", "files.kind", "cluster.scheduler"] {
        assert!(seen.contains(key), "{key} is not tried: {seen:?}");
    }
}

/// A key that the schema lacks is an error of every command, with the key that is meant.
#[test]
fn an_unknown_setting_is_an_error() {
    let folder = tempfile::tempdir().expect("can be made");
    let schema = schema("settings");
    each_setting(&schema, &schema, "", &mut |path, header, beside, example| {
        let key = path.rsplit('.').next().unwrap_or(path);
        let text = format!("{header}{beside}{key}z = {}\n", toml(example));
        std::fs::write(folder.path().join(FILE_NAME), &text).expect("can be written");
        let error = Settings::find(folder.path()).expect_err("is refused");
        let said = format!("{error} {}", error.help().unwrap_or_default());
        assert!(said.contains(&format!("`{key}`")), "{text}{said}");
    });
}

/// What is tried for a key: its path, the line of its table, the lines of required keys beside it, and an example.
type Setting<'t> = dyn FnMut(&str, &str, &str, &Value) + 't;

fn each_setting(root: &Value, table: &Value, prefix: &str, take: &mut Setting<'_>) {
    let resolve = |schema: &Value| match schema.get("$ref").and_then(Value::as_str) {
        Some(name) => root.pointer(name.trim_start_matches('#')).cloned().unwrap_or_else(|| panic!("no {name}")),
        None => schema.clone(),
    };
    let table = resolve(table);
    let properties = table["properties"].as_object().expect("has keys");
    let example = |name: &str| {
        let example = properties[name].pointer("/examples/0").cloned();
        example.unwrap_or_else(|| panic!("`{prefix}{name}` has no example"))
    };
    let is_list = root
        .pointer(&format!("/properties/{}", prefix.trim_end_matches('.')))
        .is_some_and(|schema| schema["type"] == "array");
    let header = match (prefix.trim_end_matches('.'), is_list) {
        ("", _) => String::new(),
        (name, true) => format!("[[{name}]]\n"),
        (name, false) => format!("[{name}]\n"),
    };
    let required: Vec<String> =
        table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    for (name, property) in properties {
        let inner = |schema: &Value| Some(resolve(schema)).filter(|schema| schema.get("properties").is_some());
        let below = inner(property).or_else(|| inner(&property["items"]));
        let below = below.or_else(|| property["anyOf"].as_array()?.iter().find_map(inner));
        if let Some(below) = below {
            each_setting(root, &below, &format!("{prefix}{name}."), take);
            if property.get("examples").is_none() {
                continue;
            }
        }
        let others = required.iter().filter(|other| *other != name);
        let others: String = others.map(|other| format!("{other} = {}\n", toml(&example(other)))).collect();
        take(&format!("{prefix}{name}"), &header, &others, &example(name));
    }
}

/// A value in TOML, on one line.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(key, value)| format!("{} = {}", Value::from(key.as_str()), toml(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[test]
fn the_settings_schema_agrees_with_the_reader() {
    let folder = tempfile::tempdir().expect("can be made");
    for (path, valid) in samples("settings") {
        let mut text = String::new();
        for (key, value) in read(&path).as_object().expect("is an object") {
            let _ = writeln!(text, "{key} = {}", toml(value));
        }
        std::fs::write(folder.path().join(FILE_NAME), &text).expect("can be written");
        let settings = Settings::find(folder.path());
        assert_eq!(settings.is_ok(), valid, "{}\n{text}{:?}", path.display(), settings.err());
    }
}

#[test]
fn the_reference_shows_all_settings() {
    let readme = include_str!("../../docs/reference.md");
    let (_, section) = readme.split_once("## Settings\n").expect("a section");
    let (_, text) = section.split_once("```toml\n").expect("a block");
    let (text, _) = text.split_once("```").expect("an end");
    let folder = tempfile::tempdir().expect("can be made");
    std::fs::write(folder.path().join(FILE_NAME), text).expect("can be written");
    let settings = Settings::find(folder.path());
    assert!(settings.is_ok(), "{:?}", settings.err());
    let shown: Value = toml::from_str(text).expect("is TOML");
    let schema = schema("settings");
    for table in ["", "/dispatcher", "/runner", "/runner/limits", "/cluster"] {
        let at = table.replace('/', "/properties/") + "/properties";
        let known = schema.pointer(&at).and_then(Value::as_object).unwrap_or_else(|| panic!("no {at}"));
        for name in known.keys().filter(|name| !name.starts_with('$')) {
            assert!(shown.pointer(&format!("{table}/{name}")).is_some(), "`{name}` of `{table}` is not shown");
        }
    }
}

fn has_errors(text: Vec<u8>) -> bool {
    let compilation = compile(Arc::new(Source::from_bytes("sample.json", text)), Options::default());
    compilation.diagnostics.iter().any(|found| found.level == Level::Error)
}

#[test]
fn the_recipe_schema_agrees_with_the_checker() {
    for (path, valid) in samples("recipe") {
        assert_eq!(has_errors(std::fs::read(&path).expect("can be read")), !valid, "{}", path.display());
    }
    let recipes = validator("recipe", &schema("recipe"));
    let mut accepted = 0;
    let fixtures = entries(&root().join("tests/lint")).into_iter().flat_map(|folder| entries(&folder));
    for path in fixtures.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let text = std::fs::read(&path).expect("can be read");
        let Ok(value) = serde_json::from_slice::<Value>(&text) else { continue };
        let tree = zrecipe::syntax::json::parse(Arc::new(Source::from_bytes("", text.clone())));
        if DocumentKind::of(&tree) == DocumentKind::Recipe && !has_errors(text) {
            accepted += 1;
            assert!(recipes.is_valid(&value), "{} has no errors and is refused", path.display());
        }
    }
    assert!(accepted > 50, "{accepted} fixtures have no errors");
}

/// What the reference made queues, exchanges and bindings of.
#[test]
fn the_broker_schema_accepts_what_the_reference_does() {
    let brokers = validator("broker", &schema("broker"));
    let cases = read(&root().join("tests/conformance/rabbitmq_groups.json"));
    let groups = cases.as_array().into_iter().flatten().filter(|case| case.get("result").is_some());
    let groups: Vec<&Value> = groups.map(|case| &case["group"]).collect();
    assert!(groups.len() > 5, "the reference accepts {} groups", groups.len());
    for group in groups {
        let broker = serde_json::json!({ "policies": [], "exchanges": [], "groups": [group] });
        assert!(brokers.is_valid(&broker), "{group}");
    }
}
