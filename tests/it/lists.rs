//! Every list of plug-ins names the files of its folder, and every rule has its fixtures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zrecipe::{cli, draw, lint, lsp, report, runtime, transport};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("can be read").path()).collect();
    entries.sort();
    entries
}

fn stem(path: &Path) -> String {
    path.file_stem().and_then(|stem| stem.to_str()).expect("is UTF-8").to_owned()
}

/// What has to change so that a list names the files of a folder; `line` is the line for a name that is missing.
fn differences(files: &[String], listed: &[String], line: impl Fn(&str) -> String) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !listed.contains(file)) {
        wrong.push(format!("`{file}.rs` is not listed: add {}", line(file)));
    }
    for (place, name) in listed.iter().enumerate() {
        if !files.contains(name) {
            wrong.push(format!("`{name}` is listed and there is no `{name}.rs`: remove {}", line(name)));
        }
        if listed[..place].contains(name) {
            wrong.push(format!("`{name}` is listed twice: remove one {}", line(name)));
        }
    }
    wrong
}

fn check<'n>(folder: &str, listed: impl IntoIterator<Item = &'n str>, line: impl Fn(&str) -> String) {
    let files = entries(&root().join(folder));
    let files: Vec<String> = files.iter().filter(|path| path.is_file()).map(|path| stem(path)).collect();
    assert!(!files.is_empty(), "{folder} has files");
    let listed: Vec<String> = listed.into_iter().map(str::to_owned).collect();
    let wrong = differences(&files, &listed, line);
    assert!(wrong.is_empty(), "{folder}:\n{}", wrong.join("\n"));
}

/// The line of a list that a macro reads.
fn macro_line(name: &'static str, file: &'static str) -> impl Fn(&str) -> String {
    move |stem| format!("the line `    {stem},` in `{name}!` in {file}")
}

#[test]
fn differences_are_found() {
    let names = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for (files, listed, wrong) in [
        ("a b", "b a", ""),
        ("a b", "a", "`b.rs` is not listed: add L b"),
        ("a", "a b", "`b` is listed and there is no `b.rs`: remove L b"),
        ("a", "a a", "`a` is listed twice: remove one L a"),
    ] {
        let found = differences(&names(files), &names(listed), |stem| format!("L {stem}")).join("\n");
        assert_eq!(found, wrong, "files {files}, listed {listed}");
    }
}

#[test]
fn rules() {
    let modules: Vec<String> = lint::RULES.iter().map(|rule| rule.name.replace('-', "_")).collect();
    check(
        "crates/language/src/lint/rules",
        modules.iter().map(String::as_str),
        macro_line("rules", "crates/language/src/lint.rs"),
    );
    for pair in lint::RULES.windows(2) {
        assert!(pair[0].name < pair[1].name, "`{}` comes before `{}` in the alphabet", pair[1].name, pair[0].name);
    }
}

#[test]
fn requests() {
    check("src/lsp/requests", lsp::REQUESTS.iter().copied(), macro_line("requests", "src/lsp.rs"));
}

#[test]
fn report_formats() {
    check(
        "crates/language/src/report",
        report::FORMATS.iter().map(|format| format.name),
        macro_line("formats", "crates/language/src/report.rs"),
    );
}

#[test]
fn drawing_formats() {
    check(
        "crates/language/src/draw",
        draw::FORMATS.iter().map(|format| format.name),
        macro_line("formats", "crates/language/src/draw.rs"),
    );
}

#[test]
fn transports() {
    let file = "crates/broker/src/transport.rs";
    check("crates/broker/src/transport", transport::MODULES.iter().copied(), macro_line("transports", file));
}

#[test]
fn services() {
    let file = "crates/runtime/src/runtime/services.rs";
    check(
        "crates/runtime/src/runtime/services",
        runtime::services::MODULES.iter().copied(),
        macro_line("services", file),
    );
}

#[test]
fn schedulers() {
    let file = "crates/runtime/src/runtime/cluster.rs";
    check(
        "crates/runtime/src/runtime/cluster",
        runtime::cluster::MODULES.iter().copied(),
        macro_line("schedulers", file),
    );
}

#[test]
fn commands() {
    check("src/cli/commands", cli::commands::COMMANDS.iter().copied(), |stem| {
        let mut variant = stem.to_owned();
        variant[..1].make_ascii_uppercase();
        format!("the line `    {stem} {variant},` in `commands!` in src/cli.rs")
    });
}

/// A rule without a fixture that it finds and one that it does not is not tested.
#[test]
fn fixtures_of_rules() {
    let folder = root().join("tests/lint");
    let mut wrong = Vec::new();
    for rule in lint::RULES {
        let own = folder.join(rule.name);
        let names: Vec<String> =
            if own.is_dir() { entries(&own).iter().map(|path| stem(path)).collect() } else { vec![] };
        for kind in ["bad", "ok"] {
            if !names.iter().any(|name| name.starts_with(kind)) {
                wrong.push(format!("`{}` has no fixture: add tests/lint/{}/{kind}.json", rule.name, rule.name));
            }
        }
    }
    let folders: BTreeSet<String> = entries(&folder).iter().map(|path| stem(path)).collect();
    for name in folders.iter().filter(|name| lint::rule(name).is_none()) {
        wrong.push(format!("tests/lint/{name} is the folder of no rule: rename or remove it"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the dispatcher asks is what refuses recipes, and no more.
#[test]
fn refusing_rules_refuse() {
    let refuses = |name: &str| {
        let snapshots = entries(&root().join("tests/lint").join(name));
        let mut snapshots = snapshots.iter().filter(|path| path.extension().is_some_and(|ending| ending == "snap"));
        snapshots.any(|path| {
            std::fs::read_to_string(path).expect("is text").contains("\n  so     the dispatcher refuses it")
        })
    };
    let idle = zrecipe::lint::REFUSING.iter().map(|rule| rule.name).filter(|name| !refuses(name));
    assert_eq!(idle.collect::<Vec<_>>(), Vec::<&str>::new(), "these refuse nothing in their fixtures");
}

/// A file that no fixture uses looks like a test and is none.
#[test]
fn files_beside_fixtures() {
    let mut wrong = Vec::new();
    let mut folders = entries(&root().join("tests/lint"));
    folders.extend(["syntax", "lower", "graph", "topology", "format"].map(|name| root().join("tests").join(name)));
    for path in folders.iter().flat_map(|folder| entries(folder)) {
        let is_rule = path.parent().and_then(Path::parent).is_some_and(|folder| folder.ends_with("lint"));
        let name = stem(&path);
        let shown = path.strip_prefix(root()).unwrap_or(&path).display();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json" | "yml" | "toml" | "ini") if !is_rule || name.starts_with("bad") || name.starts_with("ok") => {}
            Some("json" | "yml" | "toml" | "ini") => {
                wrong.push(format!("{shown} is never read: name it `bad…` or `ok…`"))
            }
            Some("snap" | "params" | "beside" | "contracts" | "site" | "broker" | "recipes" | "used" | "files")
                if ["json", "yml", "toml", "ini"].iter().any(|ending| path.with_extension(ending).exists()) => {}
            _ => wrong.push(format!("{shown} belongs to no fixture: remove it")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
