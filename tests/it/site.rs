//! Site configurations: the linter agrees with the published schemas, nothing that it says gives a secret away, and
//! what it says of files is what is on the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::diagnostic::{Diagnostic, Level};
use zrecipe::document::DocumentKind;
use zrecipe::library::Disk;
use zrecipe::site::{Files, Look};
use zrecipe::source::Source;

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("can be read").path()).collect();
    files.retain(|path| ending == "/" && path.is_dir() || path.extension().is_some_and(|found| found == ending));
    files.sort();
    files
}

fn check(name: &str, text: &str, kind: DocumentKind) -> Compilation {
    let source = Arc::new(Source::from_text(name, text));
    compile(source, Options { kind: Some(kind), ..Options::default() })
}

/// The samples of the schemas of the site configuration and its plugins.
fn samples() -> Vec<(PathBuf, DocumentKind)> {
    let sites = files("tests/schema/site", "json").into_iter().map(|path| (path, DocumentKind::Site));
    let folders = files("tests/schema/site", "/").into_iter();
    let plugins = folders.flat_map(|folder| files(folder.to_str().expect("is UTF-8"), "json"));
    sites.chain(plugins.map(|path| (path, DocumentKind::Plugin))).collect()
}

#[test]
fn the_linter_agrees_with_the_schemas() {
    let mut wrong = Vec::new();
    // A block of another plugin is not the business of a schema, and that of the linter as what it is.
    let other = |path: &Path| path.ends_with("invalid-other-plugin.json");
    for (path, kind) in samples().into_iter().filter(|(path, _)| !other(path)) {
        let text = fs::read_to_string(&path).expect("can be read");
        let valid = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("valid"));
        let compilation = check("sample.json", &text, kind);
        let of_form = |found: &&Diagnostic| found.rule == "malformed-site" || found.rule == "malformed-plugin";
        let found: Vec<_> = compilation.diagnostics.iter().filter(of_form).map(|found| &found.message).collect();
        if valid != found.is_empty() {
            wrong.push(format!("{}: {found:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Everything that is said in words; the excerpts of a report are the business of reports.
fn words(compilation: &Compilation) -> String {
    let words = |found: &Diagnostic| {
        let labels = found.secondary.iter().map(|label| label.text.clone());
        let fix = found.fix.iter().flat_map(|fix| fix.edits.iter().map(|edit| &edit.replacement).chain([&fix.title]));
        let mut words = vec![found.message.clone(), found.primary.text.clone(), found.help.clone().unwrap_or_default()];
        words.extend(labels.chain(fix.cloned()));
        words.join("\n")
    };
    compilation.diagnostics.iter().map(words).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_finding_tells_a_secret() {
    let mut tried = 0;
    let mut try_one = |name: &str, text: &str, kind| {
        let compilation = check(name, text, kind);
        let words = words(&compilation);
        assert!(!words.contains("hunter2") && !words.contains("987654"), "{words}\n{text}");
        tried += usize::from(text.contains("hunter2") || text.contains("987654"));
    };
    for path in files("tests/lint", "/").iter().flat_map(|folder| files(folder.to_str().expect("is UTF-8"), "yml")) {
        try_one("fixture.yml", &fs::read_to_string(&path).expect("can be read"), DocumentKind::Site);
    }
    for (path, kind) in samples().into_iter().filter(|(_, kind)| *kind == DocumentKind::Plugin) {
        let sample: Value = serde_json::from_slice(&fs::read(&path).expect("can be read")).expect("is JSON");
        for key in ["password", "user_token"] {
            for secret in [json!(987_654), json!("hunter2"), json!(["hunter2"]), json!({"hunter2": "hunter2"})] {
                let mut changed = sample.clone();
                if changed.get(key).is_some() {
                    changed[key] = secret;
                    try_one("sample.json", &changed.to_string(), kind);
                }
            }
        }
        for key in ["host", "url", "base_url"].into_iter().filter(|key| sample.get(key).is_some()) {
            for secret in [json!("https://name:hunter2@host"), json!(["https://name:hunter2@host/api"])] {
                let mut changed = sample.clone();
                changed[key] = secret;
                try_one("sample.json", &changed.to_string(), kind);
            }
        }
    }
    assert!(tried > 50, "secrets are tried");
}

#[test]
fn files_are_what_they_are_on_the_disk() {
    let folder = tempfile::tempdir().expect("can be made");
    let root = folder.path();
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("can be set");
    for (name, mode) in [("secret.yml", 0o600), ("public.yml", 0o644)] {
        fs::write(root.join(name), "{plugin: of_our_own, password: p}").expect("can be written");
        set(&root.join(name), mode);
    }
    fs::create_dir(root.join("recipes")).expect("can be made");
    fs::create_dir(root.join("closed")).expect("can be made");
    fs::copy(root.join("public.yml"), root.join("closed/public.yml")).expect("can be copied");
    set(&root.join("closed"), 0o700);
    set(root, 0o755);
    let is_open = |path: &Path| path.metadata().is_ok_and(|found| found.permissions().mode() & 1 != 0);
    let public = if root.ancestors().all(is_open) { "a public file" } else { "a file" };
    let site = root.join("site.yml").to_string_lossy().into_owned();
    let disk = Disk { max_bytes: 1 << 20 };
    for (path, expected) in [
        ("secret.yml", "a file"),
        ("public.yml", public),
        ("closed/public.yml", "a file"),
        ("recipes", "a directory"),
        ("", "a directory"),
        ("nosuch.yml", "missing"),
        ("secret.yml/more", "missing"),
        ("/nosuch.yml", "missing"),
        ("/dev/zero", "unreadable"),
        ("/no-such-folder-at-all/site.yml", "elsewhere"),
    ] {
        let found = match disk.look(&site, path) {
            Look::Unknown => "unknown",
            Look::Missing => "missing",
            Look::Elsewhere => "elsewhere",
            Look::Directory => "a directory",
            Look::Denied => "denied",
            Look::Unreadable(_) => "unreadable",
            Look::File { public: true, .. } => "a public file",
            Look::File { public: false, .. } => "a file",
        };
        assert_eq!(found, expected, "{path}");
    }
    let text = format!(
        "version: 1\nenvironments: {{live: [broker, places]}}\nbroker: public.yml\n\
         places: {{plugin: storage, zocalo.recipe_directory: {}/nosuch}}\n",
        root.display()
    );
    let source = Arc::new(Source::from_text(site, text));
    let compilation = compile(source, Options { files: &disk, ..Options::default() });
    let found: Vec<_> = compilation.diagnostics.iter().map(|found| (found.rule, found.level)).collect();
    let mut expected = vec![("exposed-secret", Level::Warning), ("missing-recipe-directory", Level::Warning)];
    expected.retain(|(rule, _)| *rule != "exposed-secret" || public == "a public file");
    assert_eq!(found, expected);
}
