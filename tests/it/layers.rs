//! Laws about which part of the program may use which, as far as cargo cannot see them.
//!
//! Cargo keeps the order of crates, and clippy keeps the language pure (`crates/language/clippy.toml`). This test keeps
//! the order of modules within a crate, which is the table in its `lib.rs`; plug-ins apart from each other; third-party
//! crates behind one module; and files within a folder free of circles. Comments and texts are left out of the
//! reading; paths that begin with `crate`, `super`, `self` or the name of a crate are resolved.

mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use self::reading::{module, paths, words};

/// Crates of the workspace: the name in code, and the folder.
const CRATES: [(&str, &str); 5] = [
    ("zrecipe_language", "crates/language/src"),
    ("zrecipe_project", "crates/project/src"),
    ("zrecipe_broker", "crates/broker/src"),
    ("zrecipe_runtime", "crates/runtime/src"),
    ("zrecipe", "src"),
];

/// Folders whose files are plug-ins: they never name each other, and their names stand in the list alone.
/// Crate, folder, and the file with the list.
const PLUGINS: [(&str, &str, &str); 8] = [
    ("zrecipe_language", "lint/rules/", "lint.rs"),
    ("zrecipe_language", "report/", "report.rs"),
    ("zrecipe_language", "draw/", "draw.rs"),
    ("zrecipe_broker", "transport/", "transport.rs"),
    ("zrecipe_runtime", "runtime/cluster/", "runtime/cluster.rs"),
    ("zrecipe_runtime", "runtime/services/", "runtime/services.rs"),
    ("zrecipe", "lsp/requests/", "lsp.rs"),
    ("zrecipe", "cli/commands/", "cli.rs"),
];

/// A plug-in that is more than an entry of its list: crate, plug-in, and crate and file of each user outside.
type Store = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Runs and rehearsals keep their messages in the store of the embedded broker.
const STORES: [Store; 1] = [(
    "zrecipe_broker",
    "transport/embedded",
    &[("zrecipe_runtime", "runtime/run.rs"), ("zrecipe_runtime", "rehearsal.rs")],
)];

/// Words that may stand only in certain files of a crate: words, crate, files or folders, reason. In the other crates
/// the dependency is absent.
const FENCES: &[(&[&str], &str, &[&str], &str)] = &[
    (
        &["rusqlite"],
        "zrecipe_broker",
        &["transport/embedded.rs", "transport/embedded/"],
        "SQL stays in the embedded transport",
    ),
    (&["lapin"], "zrecipe_broker", &["transport/amqp.rs", "transport/amqp/"], "AMQP stays in its transport"),
    (&["jsonschema"], "zrecipe_language", &["schema.rs", "schema/"], "the validator stays behind `schema`"),
    (
        &["fancy_regex"],
        "zrecipe_language",
        &["site_rules.rs", "topology/pattern.rs"],
        "patterns of RabbitMQ and of a site have one reader each",
    ),
    (
        &["opentelemetry", "opentelemetry_sdk", "opentelemetry_otlp"],
        "zrecipe_runtime",
        &["telemetry/traces.rs"],
        "traces have one home",
    ),
    (&["tracing_subscriber"], "zrecipe_runtime", &["telemetry.rs", "telemetry/"], "log lines have one home"),
    (&["lettre"], "zrecipe_runtime", &["runtime/services/mailer.rs"], "one service sends mail"),
    (&["hyper_util"], "zrecipe_runtime", &["http.rs", "runtime/health.rs"], "HTTP has two homes: requests and answers"),
    (&["axum"], "zrecipe_runtime", &["runtime/health.rs", "http.rs"], "HTTP has one home"),
    (&["prometheus_client"], "zrecipe_runtime", &["runtime/metrics.rs"], "metrics have one home"),
    (&["rustix"], "zrecipe_project", &["platform/unix.rs"], "what only Unix has stays in `platform`"),
    (
        &["rustix"],
        "zrecipe",
        &["cli/submit.rs", "cli/commands/doctor.rs", "cli/commands/dlq/reinject.rs"],
        "the linter and the language server build without Unix",
    ),
    (&["ratatui"], "zrecipe", &["cli/screen.rs", "cli/commands/monitor.rs"], "one command has a screen"),
    (
        &["gen_lsp_types", "lsp_server"],
        "zrecipe",
        &["lsp.rs", "lsp/"],
        "the protocol of editors stays in the language server",
    ),
    (&["clap"], "zrecipe", &["cli.rs", "cli/"], "options belong to the command line"),
    (&["println", "eprintln", "print", "eprint"], "zrecipe", &["cli.rs", "cli/"], "only the command line prints"),
    (&["tokio", "async_trait", "async", "await"], "zrecipe", &["cli.rs", "cli/"], "the language server is not async"),
    (
        &["tokio", "async_trait", "async", "await"],
        "zrecipe_broker",
        &["transport.rs", "transport/", "connections.rs", "standing.rs", "delivery.rs", "holdings.rs"],
        "messages are pure",
    ),
    (
        &["Serialize", "Deserialize"],
        "zrecipe_language",
        &["report.rs", "report/", "contract.rs", "contract/", "site.rs", "topology.rs", "topology/"],
        "only types with a file format of their own derive serde's traits",
    ),
];

/// A source file: its crate's name in code, its path below the crate's folder, and its text.
#[derive(Debug, Clone)]
struct File {
    krate: &'static str,
    path: String,
    code: String,
}

/// Whether a file is one of these files or lies in one of these folders.
fn is_in(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| if place.ends_with('/') { file.starts_with(place) } else { file == *place })
}

/// The modules of a crate, in the order of the table in its `lib.rs`.
fn table(lib: &str) -> Vec<String> {
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | [`")?.split_once("`]"));
    rows.map(|(name, _)| name.trim_start_matches("mod@").to_owned())
        .filter(|name| !name.starts_with("zrecipe"))
        .collect()
}

/// Everything that a file does against the laws; `order` is the table of its crate, `files` are all files.
fn violations(order: &[String], files: &[File], file: &File) -> Vec<String> {
    let mut found = Vec::new();
    let shown = format!("{} {}", file.krate, file.path);
    if !file.code.starts_with("//! ") {
        found.push(format!("{shown} does not begin with `//!` and a sentence about what it owns"));
    }
    let words = words(&file.code);
    let own = module(&file.path);
    let rank = |name: &str| order.iter().position(|module| module == name);
    let own_rank = own.first().map(|name| rank(name));
    if own_rank == Some(None) {
        found.push(format!("{shown} is not in the table of its `lib.rs`: add its module there"));
    }
    for triple in words.windows(3) {
        if triple[0] == "use" && triple[1] == "crate" && triple[2] == "as" {
            found.push(format!("{shown} renames the crate's root, which hides what it uses: name the modules"));
        }
    }
    for (krate, path) in paths(file, &words) {
        let Some(first) = path.first() else { continue };
        let written = path.join("::");
        if first == "*" {
            found.push(format!("{shown} uses everything of `{krate}`: name the modules"));
            continue;
        }
        if krate == file.krate {
            match (own_rank, rank(first)) {
                (Some(Some(own_rank)), Some(used)) if used > own_rank => {
                    found.push(format!("{shown} uses `{written}`, and `{first}` is below `{}` in the table", own[0]));
                }
                // The root package shows the modules of the other crates under its own name.
                (Some(Some(_)), None) => {
                    found.push(format!("{shown} uses `{written}`, and the table has no `{first}`"));
                }
                _ => {}
            }
        }
        for (home, folder, list) in PLUGINS {
            let Some(rest) = path.join("/").strip_prefix(folder).map(str::to_owned) else { continue };
            if krate != home || (file.krate == home && file.path == list) {
                continue;
            }
            let named = rest.split('/').next().unwrap_or_default();
            let is_own = file.krate == home
                && file.path.strip_prefix(folder).and_then(|own| own.split(['/', '.']).next()) == Some(named);
            let is_store = STORES.iter().any(|(krate, store, users)| {
                *krate == home
                    && *store == format!("{folder}{named}")
                    && users.contains(&(file.krate, file.path.as_str()))
            });
            let is_plugin =
                files.iter().any(|other| other.krate == home && other.path == format!("{folder}{named}.rs"));
            if !is_own && !is_store && (is_plugin || named == "*") {
                found.push(format!("{shown} names the plug-in `{written}`: only {list} does"));
            }
        }
    }
    for (fenced, krate, places, why) in FENCES {
        if *krate == file.krate
            && let Some(word) = words.iter().find(|word| fenced.contains(&word.as_str()))
            && !is_in(&file.path, places)
        {
            found.push(format!("{shown} uses `{word}`: {why} ({})", places.join(", ")));
        }
    }
    let names_unix = words.windows(3).any(|at| at[0] == "os" && at[1] == "::" && at[2] == "unix");
    let is_portable = ["zrecipe_language", "zrecipe_project", "zrecipe"].contains(&file.krate);
    // A test of pipes and sockets needs some.
    if names_unix && is_portable && !is_in(&file.path, &["platform/unix.rs", "regular.rs"]) {
        found.push(format!("{shown} names `std::os::unix`: use `zrecipe_project::platform`"));
    }
    for name in public_names(&words) {
        let vague = ["Manager", "Helper", "Util", "manager", "helper", "util"].iter().any(|word| name.contains(word));
        if vague || name.starts_with("get_") {
            found.push(format!("{shown} has a public `{name}`: say what it is (no Manager, Helper, Util, get_)"));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Which sibling of a folder uses which.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Circles of modules that stand side by side in one folder: each uses the next. A module and the modules inside it
/// are one.
fn circles(files: &[File]) -> Vec<String> {
    // For each folder: which sibling uses which.
    let mut uses: BTreeMap<(&str, Vec<String>), Uses> = BTreeMap::new();
    let exists: BTreeSet<(&str, Vec<String>)> = files.iter().map(|file| (file.krate, module(&file.path))).collect();
    for file in files {
        let own = module(&file.path);
        for (krate, path) in paths(file, &words(&file.code)) {
            if krate != file.krate {
                continue;
            }
            let shared = own.iter().zip(&path).take_while(|(own, used)| own == used).count();
            if shared == own.len() || shared >= path.len() {
                continue;
            }
            let sibling = &path[..=shared];
            if exists.contains(&(file.krate, sibling.to_vec())) {
                let folder = uses.entry((file.krate, own[..shared].to_vec())).or_default();
                folder.entry(own[shared].clone()).or_default().insert(sibling[shared].clone());
            }
        }
    }
    let mut found = Vec::new();
    for ((krate, folder), graph) in &uses {
        for start in graph.keys() {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(at) = open.pop() {
                for next in graph.get(at).into_iter().flatten() {
                    if next == start {
                        found.push(format!("{krate} {}: `{start}` and `{at}` use each other", folder.join("/")));
                    }
                    if seen.insert(next) {
                        open.push(next);
                    }
                }
            }
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

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<File> {
    let mut all = Vec::new();
    for (krate, folder) in CRATES {
        let mut files = Vec::new();
        source_files(&root().join(folder), "", &mut files);
        all.extend(files.into_iter().map(|(path, code)| File { krate, path, code }));
    }
    all
}

fn order(files: &[File], krate: &str) -> Vec<String> {
    let lib = files.iter().find(|file| file.krate == krate && file.path == "lib.rs").expect("a crate has a lib.rs");
    table(&lib.code)
}

#[test]
fn the_laws_are_kept() {
    let files = files();
    assert!(files.len() > 200, "the crates have files");
    let mut found = circles(&files);
    for (krate, _) in CRATES {
        let order = order(&files, krate);
        let own = files.iter().filter(|file| file.krate == krate);
        found.extend(own.flat_map(|file| violations(&order, &files, file)));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_tables_list_the_modules() {
    let files = files();
    for lib in files.iter().filter(|file| file.path == "lib.rs") {
        let listed: BTreeSet<String> = table(&lib.code).into_iter().collect();
        let modules = lib.code.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        let modules: BTreeSet<String> = modules.map(str::to_owned).collect();
        assert_eq!(listed, modules, "{}: the table and the modules", lib.krate);
    }
}

/// Number of modules in a folder from which on its head has a table of them.
const MANY: usize = 8;

/// A newcomer finds a behaviour from the head of its folder: the table there says what each file is for.
#[test]
fn large_folders_have_a_table_of_their_files() {
    for file in files().iter().filter(|file| !matches!(&*file.path, "lib.rs" | "main.rs")) {
        let declares = |line: &str| {
            let name = line.trim_start_matches("pub(super) ").trim_start_matches("pub ").strip_prefix("mod ")?;
            Some(name.strip_suffix(';')?.to_owned()).filter(|name| name != "tests")
        };
        let modules: BTreeSet<String> = file.code.lines().filter_map(declares).collect();
        let row = |line: &str| Some(line.strip_prefix("//! | `")?.split_once('`')?.0.to_owned());
        let listed: BTreeSet<String> = file.code.lines().filter_map(row).collect();
        let is_listed = modules.len() < MANY || modules == listed;
        assert!(is_listed, "{}/{}: the table and the modules: {listed:?}, {modules:?}", file.krate, file.path);
    }
}

/// Maximum number of lines of a source file.
const MAX_LINES: usize = 600;

/// Files that may have more lines: parsers, which are read as a whole.
const PARSERS: [(&str, &str); 2] = [("zrecipe_language", "syntax/json.rs"), ("zrecipe_language", "syntax/yaml.rs")];

/// Folders of tests, benches and examples, whose files are short as well.
const AROUND: [&str; 3] = ["tests", "benches", "examples"];

#[test]
fn files_are_short() {
    let mut files: Vec<(String, String)> =
        files().into_iter().map(|file| (format!("{}/{}", file.krate, file.path), file.code)).collect();
    for folder in AROUND {
        source_files(&root().join(folder), &format!("{folder}/"), &mut files);
    }
    assert!(files.iter().any(|(path, _)| path == "tests/it/layers.rs"), "the tests are read as well");
    for (path, code) in files {
        let is_parser = PARSERS.iter().any(|(krate, file)| path == format!("{krate}/{file}"));
        let lines = code.lines().count();
        assert!(
            is_parser || lines <= MAX_LINES,
            "{path} has {lines} lines, more than {MAX_LINES}: split it by meaning"
        );
    }
}

/// Each law can be broken, and is then named.
#[test]
fn violations_are_found() {
    let files = files();
    let check = |krate: &'static str, path: &str, code: &str, expect: &str| {
        let file = File { krate, path: path.to_owned(), code: format!("//! Owns.\n{code}") };
        let found = violations(&order(&files, krate), &files, &file).join("\n");
        match expect {
            "" => assert_eq!(found, "", "{path}: {code}"),
            expect => assert!(found.contains(expect), "{path}: {code}\nfound: {found}"),
        }
    };
    const LANGUAGE: &str = "zrecipe_language";
    for (krate, path, code, expect) in [
        (LANGUAGE, "graph.rs", "use crate::recipe::Recipe;", ""),
        (LANGUAGE, "graph.rs", "use crate::lint::Rule;", "uses `lint::Rule`, and `lint` is below `graph`"),
        (LANGUAGE, "graph.rs", "use crate::{recipe::{Recipe}, compile::{self, Options}};", "uses `compile::Options`"),
        (LANGUAGE, "graph.rs", "fn f() { crate::bind::merge([]); }", "uses `bind::merge`"),
        (LANGUAGE, "graph.rs", "use super::lint::Rule;", "uses `lint::Rule`"),
        (LANGUAGE, "syntax/json.rs", "use super::super::lint;", "uses `lint`"),
        (LANGUAGE, "syntax/json.rs", "use super::Tree;", ""),
        (LANGUAGE, "graph.rs", "use crate as top; fn f() { top::lint::RULES; }", "renames the crate's root"),
        (LANGUAGE, "graph.rs", "use crate::*;", "uses everything of"),
        (LANGUAGE, "graph.rs", "// use crate::lint::Rule;\nconst A: &str = \"crate::lint\";", ""),
        (LANGUAGE, "graph.rs", "use crate::nowhere::X;", "the table has no `nowhere`"),
        (LANGUAGE, "nowhere.rs", "", "nowhere.rs is not in the table"),
        (LANGUAGE, "lint/rules/cycle.rs", "use super::too_deep::RULE;", "names the plug-in"),
        (LANGUAGE, "lint/rules/cycle.rs", "use crate::lint::rules::*;", "names the plug-in"),
        (LANGUAGE, "lint/rules/cycle.rs", "fn f() { crate::lint::rules::too_deep::RULE; }", "names the plug-in"),
        (LANGUAGE, "lint/rules/cycle.rs", "use crate::lint::Context;", ""),
        (LANGUAGE, "lower.rs", "#[derive(serde::Serialize)] struct A;", "derive serde's traits"),
        ("zrecipe_runtime", "runtime/instance.rs", "use super::services::mailer::Mailer;", "names the plug-in"),
        ("zrecipe_runtime", "runtime.rs", "use rusqlite::Connection;", ""),
        ("zrecipe_runtime", "connection.rs", "use zrecipe_broker::transport::amqp::Options;", "names the plug-in"),
        ("zrecipe", "cli/submit.rs", "use zrecipe_broker::transport::{self, amqp::Amqp};", "names the plug-in"),
        ("zrecipe_broker", "transport/amqp.rs", "use super::embedded::Broker;", "names the plug-in"),
        ("zrecipe", "cli/broker.rs", "use zrecipe_broker::transport::embedded::Broker;", "names the plug-in"),
        ("zrecipe_runtime", "runtime/run.rs", "use zrecipe_broker::transport::embedded::Broker;", ""),
        ("zrecipe_broker", "message.rs", "use rusqlite::Connection;", "SQL stays in the embedded transport"),
        ("zrecipe_broker", "message.rs", "async fn f() {}", "messages are pure"),
        ("zrecipe", "cli/files.rs", "use std::os::unix::fs::MetadataExt as _;", "names `std::os::unix`"),
        ("zrecipe_project", "library.rs", "use rustix::fs::stat;", "stays in `platform`"),
        ("zrecipe", "cli/commands/go.rs", "use super::check::run;", "names the plug-in"),
        ("zrecipe", "cli.rs", "fn f() { commands::check::run(); }", ""),
        ("zrecipe", "cli/broker.rs", "fn f() { crate::cli::commands::check::run(); }", "names the plug-in"),
        ("zrecipe", "lsp/folder.rs", "use super::requests::hover;", "names the plug-in"),
        ("zrecipe", "cli/broker.rs", "use zrecipe_runtime::runtime::services::mailer::Mailer;", "names the plug-in"),
        ("zrecipe", "cli/commands/lsp.rs", "use lsp_server::Connection;", "stays in the language server"),
        ("zrecipe", "lsp.rs", "use clap::Args;", "options belong to the command line"),
        (LANGUAGE, "lower.rs", "pub(crate) struct StepManager;", "a public `StepManager`"),
        (LANGUAGE, "lower.rs", "pub fn get_step() {}", "a public `get_step`"),
    ] {
        check(krate, path, code, expect);
    }
    let file = |path: &str, code: &str| File { krate: "zrecipe_broker", path: path.to_owned(), code: code.to_owned() };
    let pair = [
        file("transport.rs", ""),
        file("transport/a.rs", "//! A.\nuse super::b::B;"),
        file("transport/b.rs", "//! B.\nuse super::a::A;"),
    ];
    assert!(circles(&pair).join("\n").contains("use each other"), "{:?}", circles(&pair));
}

/// Dependencies that would let the language or the linter reach the outside are absent from its crates, so that no
/// spelling gets round it.
#[test]
fn the_language_and_the_project_lack_the_dependencies_of_the_outside() {
    let absent = [
        "tokio",
        "async-trait",
        "futures-core",
        "lapin",
        "rusqlite",
        "hyper",
        "axum",
        "lettre",
        "clap",
        "rustix",
        "jiff",
        "tempfile",
        "ignore",
        "notify",
        "crossbeam-channel",
        "tracing",
        "rand",
    ];
    for (krate, allowed) in [("language", &[][..]), ("project", &["ignore", "rustix", "tempfile"])] {
        let text = std::fs::read_to_string(root().join("crates").join(krate).join("Cargo.toml")).expect("can be read");
        for name in absent.iter().filter(|name| !allowed.contains(name)) {
            let named = text
                .lines()
                .take_while(|line| *line != "[dev-dependencies]")
                .any(|line| line.split(['.', ' ', '=']).next() == Some(*name));
            assert!(!named, "crates/{krate} depends on {name}");
        }
    }
    let language = std::fs::read_to_string(root().join("crates/language/Cargo.toml")).expect("can be read");
    assert!(
        !language.lines().any(|line| line.starts_with("zrecipe-")),
        "the language depends on no other crate of the workspace"
    );
    let uuid = std::fs::read_to_string(root().join("crates/language/src/report.rs")).expect("can be read");
    assert!(!uuid.contains("new_v4"), "the language has no randomness");
}

/// Without the feature `runtime` the program is the linter and the language server: the crates of brokers and services
/// are absent.
#[test]
fn the_linter_builds_without_the_runtime() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = |arguments: &[&str]| {
        let mut command = Command::new(&cargo);
        command.current_dir(root()).args(["tree", "--locked", "--offline", "-e", "normal", "--prefix", "none"]);
        let output = command.args(["--format", "{lib}"]).args(arguments).output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let (all, linter) = (tree(&[]), tree(&["--no-default-features"]));
    for name in [
        "tokio",
        "lapin",
        "rusqlite",
        "libsqlite3_sys",
        "ratatui",
        "axum",
        "hyper",
        "rustls",
        "lettre",
        "opentelemetry",
        "prometheus_client",
        "indicatif",
        "tracing",
        "zrecipe_runtime",
    ] {
        assert!(all.contains(name), "{name} is a dependency of the whole program");
        assert!(!linter.contains(name), "{name} is a dependency of the linter");
    }
}

/// What of the standard library reaches the outside is refused by clippy in the language, whatever its spelling.
#[test]
fn clippy_denies_the_outside_in_the_language() {
    let folder = tempfile::tempdir().expect("a directory");
    let spellings = [
        "pub fn f(p: &std::path::Path) -> bool { p.exists() }",
        "pub fn f(p: &std::path::Path) -> bool { p.read_dir().is_ok() }",
        "pub fn f(p: &std::path::Path) -> bool { p.canonicalize().is_ok() }",
        "pub fn f() { let _ = std::io::stdin(); }",
        "pub fn f() { let _ = std::io::Write::write_all(&mut std::io::stdout(), b\"\"); }",
        "use std::{fs as f}; pub fn g() { let _ = f::read(\"x\"); }",
        "use std::fs::read as r; pub fn g() { let _ = r(\"x\"); }",
        "pub static S: std::sync::Mutex<u8> = std::sync::Mutex::new(0);",
        "pub fn f() -> impl std::future::Future<Output = ()> { std::future::ready(()) }",
        "pub fn f() { let _ = std::env::var(\"X\"); }",
        "pub fn f() { let _ = std::time::Instant::now(); }",
        "pub fn f() { let _ = std::process::Command::new(\"x\"); }",
        "pub fn f() { std::thread::spawn(|| ()); }",
        "pub fn f() { let _ = std::net::TcpStream::connect(\"x:1\"); }",
    ];
    for (number, code) in spellings.iter().enumerate() {
        let path = folder.path().join(format!("case{number}.rs"));
        std::fs::write(&path, code).expect("can be written");
        let mut command = Command::new("clippy-driver");
        command.env("CLIPPY_CONF_DIR", root().join("crates/language"));
        command.args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "-A", "warnings"]);
        command.args(["-D", "clippy::disallowed_types", "-D", "clippy::disallowed_methods"]);
        let output = command.arg("--out-dir").arg(folder.path()).arg(&path).output().expect("clippy is installed");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains("disallowed"), "clippy accepts `{code}`:\n{text}");
    }
}
