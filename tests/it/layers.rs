//! The laws about which part of the program may use which, read from the layer table in `src/lib.rs`.
//!
//! Comments and texts are left out of the reading; paths that begin with `crate`, `super` or `self` are resolved,
//! nested `use` lists included.

use std::path::Path;

/// Folders whose files are plug-ins: they never name each other.
const PLUGINS: [&str; 8] = [
    "lint/rules/",
    "report/",
    "draw/",
    "transport/",
    "runtime/cluster/",
    "runtime/services/",
    "lsp/requests/",
    "cli/commands/",
];

/// Words that may stand only in certain files: what, where (a file, or a folder ending in `/`), and why.
const FENCES: &[(&[&str], &[&str], &str)] = &[
    (&["rusqlite"], &["transport/embedded.rs", "transport/embedded/"], "SQL stays in the embedded transport"),
    (&["lapin"], &["transport/amqp.rs", "transport/amqp/"], "AMQP stays in its transport"),
    (&["jsonschema"], &["schema.rs"], "the validator stays behind `schema`"),
    (&["fancy_regex"], &["topology/pattern.rs"], "what RabbitMQ makes of a pattern is known in one place"),
    (
        &["opentelemetry", "opentelemetry_sdk", "opentelemetry_otlp"],
        &["telemetry/traces.rs"],
        "traces are made in one place",
    ),
    (&["tracing_subscriber"], &["telemetry.rs", "telemetry/"], "log lines are written in one place"),
    (&["lettre"], &["runtime/services/mailer.rs"], "mail is sent by one service"),
    (&["hyper_util"], &["http.rs"], "servers are asked over HTTP in one place"),
    (&["axum"], &["runtime/health.rs", "http.rs"], "HTTP is spoken in one place"),
    (&["ratatui"], &["cli/screen.rs", "cli/commands/monitor.rs"], "one command has a screen"),
    (&["prometheus_client"], &["runtime/metrics.rs"], "numbers are kept in one place"),
    (&["gen_lsp_types", "lsp_server"], &["lsp.rs", "lsp/"], "what editors speak is known to the language server alone"),
    (&["clap"], &["cli.rs", "cli/"], "options are the business of the command line"),
    (&["println", "eprintln", "print", "eprint"], &["cli.rs", "cli/"], "only the command line prints"),
    (
        &["tokio", "async_trait", "async", "await"],
        &[
            "transport.rs",
            "transport/",
            "telemetry/traces.rs",
            "http.rs",
            "runtime.rs",
            "runtime/",
            "wrapper.rs",
            "rehearsal.rs",
            "ops/",
            "cli.rs",
            "cli/",
        ],
        "async lives in the runtime and the front ends",
    ),
    (
        &["Serialize", "Deserialize"],
        &["message.rs", "settings.rs", "report.rs", "report/", "contract.rs", "site.rs", "topology.rs"],
        "only what has a format of its own derives serde's traits",
    ),
];

/// What the language and its views never use: they have no world around them.
const IMPURE: [&str; 8] = ["fs", "net", "process", "thread", "env", "SystemTime", "Instant", "Zoned"];
/// Modules further down that are as pure.
const PURE: [&str; 2] = ["bind", "message"];

/// A line of the layer table.
#[derive(Debug)]
struct Layer {
    group: String,
    module: String,
}

/// The table: one module a line, after eleven columns for the group it belongs to.
fn table(lib: &str) -> Vec<Layer> {
    let mut group = String::new();
    let section = lib.lines().skip_while(|line| *line != "//! # Layers").skip_while(|line| *line != "//! ```text");
    let rows = section.skip(1).take_while(|line| *line != "//! ```");
    rows.filter_map(|line| {
        let line = line.strip_prefix("//! ")?;
        let (named, modules) = line.split_at(line.char_indices().nth(11)?.0);
        if !named.trim().is_empty() {
            group = named.trim().to_owned();
        }
        let module = modules.split_whitespace().next()?.to_owned();
        Some(Layer { group: group.clone(), module })
    })
    .collect()
}

/// The code of a file as words, with `::` as one word; comments, texts and characters are left out.
fn words(code: &str) -> Vec<String> {
    let characters: Vec<char> = code.chars().collect();
    let at = |place: usize| characters.get(place).copied().unwrap_or('\0');
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let (mut words, mut place) = (Vec::new(), 0);
    while place < characters.len() {
        match (at(place), at(place + 1)) {
            ('/', '/') => {
                while place < characters.len() && at(place) != '\n' {
                    place += 1;
                }
            }
            ('/', '*') => {
                while place < characters.len() && !(at(place) == '*' && at(place + 1) == '/') {
                    place += 1;
                }
                place += 2;
            }
            ('r', '"' | '#') => {
                let hashes = (place + 1..).take_while(|&place| at(place) == '#').count();
                if at(place + 1 + hashes) != '"' {
                    place += 1;
                    continue;
                }
                place += 2 + hashes;
                let closes = |place: usize| at(place) == '"' && (1..=hashes).all(|more| at(place + more) == '#');
                while place < characters.len() && !closes(place) {
                    place += 1;
                }
                place += 1 + hashes;
            }
            ('"', _) => {
                place += 1;
                while place < characters.len() && at(place) != '"' {
                    place += if at(place) == '\\' { 2 } else { 1 };
                }
                place += 1;
            }
            ('\'', '\\') => {
                place += 3;
                while place < characters.len() && at(place) != '\'' {
                    place += 1;
                }
                place += 1;
            }
            ('\'', _) if at(place + 2) == '\'' => place += 3,
            (':', ':') => {
                words.push("::".to_owned());
                place += 2;
            }
            (first, _) if is_word(first) => {
                let end = (place..).find(|&place| !is_word(at(place))).unwrap_or(place + 1);
                words.push(characters[place..end].iter().collect());
                place = end;
            }
            (other, _) => {
                if !other.is_whitespace() {
                    words.push(other.to_string());
                }
                place += 1;
            }
        }
    }
    words
}

/// The module of a file below `src/`: `lint/rules/cycle.rs` is `lint`, `rules`, `cycle`.
fn module(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs");
    if matches!(stem, "lib" | "main") { Vec::new() } else { stem.split('/').map(str::to_owned).collect() }
}

/// The modules and items of this crate that a file names, from the crate's root on.
fn paths(file: &str, words: &[String]) -> Vec<Vec<String>> {
    let mut own = module(file);
    let mut paths = Vec::new();
    // At which depth of braces each module within the file ends.
    let (mut depth, mut within) = (0i32, Vec::new());
    for (place, word) in words.iter().enumerate() {
        match word.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if within.last() == Some(&depth) {
                    within.pop();
                    own.pop();
                }
            }
            "mod" if words.get(place + 2).is_some_and(|next| next == "{") => {
                within.push(depth);
                own.push(words[place + 1].clone());
            }
            _ => {}
        }
        let leads_on = words.get(place + 1).is_some_and(|next| next == "::");
        if !leads_on || (place > 0 && words[place - 1] == "::") {
            continue;
        }
        let base = match word.as_str() {
            "crate" => Vec::new(),
            "self" => own.clone(),
            "super" => own[..own.len().saturating_sub(1)].to_vec(),
            _ => continue,
        };
        follow(words, place + 2, base, &mut paths);
    }
    paths
}

/// Reads the rest of a path at `place`, and every path of a list in braces; returns where it ends.
fn follow(words: &[String], mut place: usize, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    loop {
        match words.get(place).map(String::as_str) {
            Some("super") => {
                path.pop();
            }
            Some("{") => {
                place += 1;
                while words.get(place).is_some_and(|word| word != "}") {
                    place = follow(words, place, path.clone(), paths);
                    while words.get(place).is_some_and(|word| word != "," && word != "}") {
                        place += 1;
                    }
                    place += usize::from(words.get(place).is_some_and(|word| word == ","));
                }
                return place + 1;
            }
            Some(word) if word.starts_with(|first: char| first.is_alphabetic() || first == '_') => {
                path.push(word.to_owned());
            }
            _ => break,
        }
        place += 1;
        if words.get(place).is_none_or(|word| word != "::") {
            break;
        }
        place += 1;
    }
    paths.push(path);
    place
}

/// Whether a file is one of these files or lies in one of these folders.
fn is_in(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| if place.ends_with('/') { file.starts_with(place) } else { file == *place })
}

/// The plug-in folder of a file and the plug-in's name there.
fn plugin(file: &str) -> Option<(&'static str, &str)> {
    let folder = PLUGINS.into_iter().find(|folder| file.starts_with(folder))?;
    let name = file[folder.len()..].split(['/', '.']).next()?;
    Some((folder, name))
}

/// Everything that a file does against the laws. `files` are all files there are.
fn violations(layers: &[Layer], files: &[String], file: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !code.starts_with("//! ") {
        found.push(format!("{file} does not begin with `//!` and a sentence about what it owns"));
    }
    let words = words(code);
    let own = module(file);
    let rank = |name: &str| layers.iter().position(|layer| layer.module == name);
    let own_rank = own.first().map(|name| rank(name));
    if own_rank == Some(None) {
        found.push(format!("{file} is not in the layer table of src/lib.rs: add its module there"));
    }
    let plugin = plugin(file);
    for path in paths(file, &words) {
        let Some(first) = path.first() else { continue };
        let written = path.join("::");
        match (own_rank, rank(first)) {
            (Some(Some(own_rank)), Some(used)) if used > own_rank => {
                found.push(format!("{file} uses `{written}`, and `{first}` is below `{}` in the layer table", own[0]));
            }
            (Some(Some(_)), None) => {
                found.push(format!("{file} uses `{written}`, and the layer table has no `{first}`"));
            }
            _ => {}
        }
        if let Some((folder, name)) = plugin
            && let Some(rest) = path.join("/").strip_prefix(folder)
            && let Some(sibling) = rest.split('/').next().filter(|sibling| *sibling != name)
            && files.iter().any(|other| *other == format!("{folder}{sibling}.rs"))
        {
            found.push(format!("{file} names its sibling `{written}`: move what they share to src/{}.rs", {
                folder.trim_end_matches('/')
            }));
        }
    }
    for (fenced, places, why) in FENCES {
        if let Some(word) = words.iter().find(|word| fenced.contains(&word.as_str()))
            && !is_in(file, places)
        {
            found.push(format!("{file} uses `{word}`: {why} ({})", places.join(", ")));
        }
    }
    let group = own.first().and_then(|name| layers.iter().find(|layer| layer.module == *name));
    if group.is_some_and(|layer| {
        matches!(layer.group.as_str(), "language" | "views") || PURE.contains(&layer.module.as_str())
    }) {
        for pair in words.windows(2) {
            if pair[1] == "::" && IMPURE.contains(&pair[0].as_str())
                || pair[0] == "::" && IMPURE.contains(&pair[1].as_str())
            {
                let word = if pair[0] == "::" { &pair[1] } else { &pair[0] };
                found.push(format!("{file} uses `{word}`: the language and its views are pure"));
            }
        }
    }
    for name in public_names(&words) {
        let vague = ["Manager", "Helper", "Util", "manager", "helper", "util"].iter().any(|word| name.contains(word));
        if vague || name.starts_with("get_") {
            found.push(format!("{file} has a public `{name}`: say what it is (no Manager, Helper, Util, get_)"));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The names of public items and fields.
fn public_names(words: &[String]) -> Vec<String> {
    const BEFORE_A_NAME: [&str; 12] =
        ["fn", "struct", "enum", "trait", "type", "mod", "static", "const", "async", "unsafe", "mut", "union"];
    let mut names = Vec::new();
    for place in words.iter().enumerate().filter(|(_, word)| *word == "pub").map(|(place, _)| place) {
        let mut rest = words[place + 1..].iter();
        let mut next = rest.next();
        if next.is_some_and(|word| word == "(") {
            next = rest.by_ref().skip_while(|word| *word != ")").nth(1);
        }
        while next.is_some_and(|word| BEFORE_A_NAME.contains(&word.as_str())) {
            next = rest.next();
        }
        names.extend(next.filter(|word| *word != "use").cloned());
    }
    names
}

fn source_files(folder: &Path, below: &str, files: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).expect("src can be read").map(|entry| entry.expect("is read")).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() {
            source_files(&path, &format!("{name}/"), files);
        } else if name.ends_with(".rs") {
            files.push((name, std::fs::read_to_string(&path).expect("is UTF-8")));
        }
    }
}

fn lib() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("there is a src/lib.rs")
}

#[test]
fn the_laws_are_kept() {
    let layers = table(&lib());
    let mut files = Vec::new();
    source_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    assert!(files.len() > 60, "src has files");
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let found: Vec<String> = files.iter().flat_map(|(name, code)| violations(&layers, &names, name, code)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_table_lists_the_modules() {
    let lib = lib();
    let listed: Vec<String> = table(&lib).into_iter().map(|layer| layer.module).collect();
    let modules: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(modules.len() > 15, "src/lib.rs has modules");
    for module in &modules {
        assert!(listed.iter().any(|name| name == module), "the layer table of src/lib.rs lacks `{module}`");
    }
    for name in &listed {
        assert!(modules.contains(&name.as_str()), "the layer table of src/lib.rs has `{name}`, which is no module");
    }
}

/// Each law can be broken, and is then named.
#[test]
fn violations_are_found() {
    let layers = table(&lib());
    let files: Vec<String> = ["lint/rules/cycle.rs", "lint/rules/too_deep.rs", "report/json.rs", "cli/commands/run.rs"]
        .map(str::to_owned)
        .to_vec();
    let check = |file: &str, code: &str, expect: &str| {
        let found = violations(&layers, &files, file, &format!("//! Owns.\n{code}")).join("\n");
        match expect {
            "" => assert_eq!(found, "", "{file}: {code}"),
            expect => assert!(found.contains(expect), "{file}: {code}\nfound: {found}"),
        }
    };
    for (file, code, expect) in [
        ("graph.rs", "use crate::recipe::Recipe;", ""),
        ("graph.rs", "use crate::lint::Rule;", "uses `lint::Rule`, and `lint` is below `graph`"),
        ("graph.rs", "use crate::{recipe::{Recipe, Role}, compile::{self, Options}};", "uses `compile::Options`"),
        ("graph.rs", "use crate::{recipe, compile as c};", "uses `compile`"),
        ("graph.rs", "fn f() { crate::bind::merge([]); }", "uses `bind::merge`"),
        ("graph.rs", "use super::lint::Rule;", "uses `lint::Rule`"),
        ("syntax/json.rs", "use super::super::lint;", "uses `lint`"),
        ("syntax/json.rs", "use super::{Tree, super::{recipe}};", "uses `recipe`"),
        ("syntax/json.rs", "use super::Tree;", ""),
        ("graph.rs", "mod tests { use super::*; } use super::lint;", "uses `lint`"),
        ("graph.rs", "mod tests { mod more { use super::super::Graph; } use super::Graph; }", ""),
        ("graph.rs", "// use crate::lint::Rule;\n/* crate::lint */ const A: &str = \"crate::lint\";", ""),
        ("graph.rs", "const A: &str = r#\"\" crate::lint\"#; const B: char = '\"'; use crate::lint;", "uses `lint`"),
        ("graph.rs", "use crate::nowhere::X;", "the layer table has no `nowhere`"),
        ("nowhere.rs", "", "nowhere.rs is not in the layer table"),
        ("lint/rules/cycle.rs", "use super::too_deep::RULE;", "names its sibling `lint::rules::too_deep::RULE`"),
        ("lint/rules/cycle.rs", "use crate::lint::rules::too_deep;", "names its sibling"),
        ("lint/rules/cycle.rs", "use crate::lint::{Context, rules::{too_deep::RULE}};", "names its sibling"),
        ("lint/rules/cycle.rs", "use crate::lint::Context;", ""),
        ("cli/commands/run.rs", "use crate::report::json;", ""),
        ("bind.rs", "use rusqlite::Connection;", "SQL stays in the embedded transport"),
        ("transport/embedded/sql.rs", "use rusqlite::Connection;", ""),
        ("cli/commands/lsp.rs", "use lsp_server::Connection;", "known to the language server alone"),
        ("lsp/requests/hover.rs", "use gen_lsp_types::Hover;", ""),
        ("runtime.rs", "use clap::Args;", "options are the business of the command line"),
        ("report/json.rs", "fn f() { println!(\"\"); }", "only the command line prints"),
        ("report/json.rs", "async fn f() {}", "async lives in the runtime"),
        ("lower.rs", "#[derive(serde::Serialize)] struct A;", "derives serde's traits"),
        ("report/json.rs", "#[derive(serde::Serialize)] struct A;", ""),
        ("lower.rs", "use std::fs;", "the language and its views are pure"),
        ("lower.rs", "use std::{time::Instant, fmt};", "the language and its views are pure"),
        ("library.rs", "use std::fs;", ""),
        ("lower.rs", "pub(crate) struct StepManager;", "a public `StepManager`"),
        ("lower.rs", "pub async fn get_step() {}", "a public `get_step`"),
        ("lower.rs", "fn get_step() {}", ""),
    ] {
        check(file, code, expect);
    }
    let bare = violations(&layers, &files, "lower.rs", "// no sentence\n");
    assert!(bare.join("\n").contains("does not begin with `//!`"), "{bare:?}");
}
