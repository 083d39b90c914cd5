//! The language server in the editors and clients that people have; `tests/editors/setup` installs what is needed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

mod site;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where `setup` puts things.
fn installed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A workspace with these files.
fn workspace(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("there is room");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("is in a folder")).expect("can be made");
        std::fs::write(path, text).expect("can be written");
    }
    folder
}

/// Runs a program in a folder, with nothing of the user's configuration.
fn run(program: &Path, arguments: &[&str], folder: &Path, variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", folder).env("LANG", "C.UTF-8");
    command.envs(variables.iter().copied());
    command
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; tests/editors/setup installs it", program.display()))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What `check` says of a file: line, column in characters, rule.
fn checked(folder: &Path, file: &str) -> Vec<(u64, u64, String)> {
    let zrecipe = Path::new(env!("CARGO_BIN_EXE_zrecipe"));
    let output = run(zrecipe, &["check", "--format", "json", "."], folder, &[]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let files = report["files"].as_array().expect("is a list").iter();
    let mut found: Vec<_> = files
        .flat_map(|file| file["diagnostics"].as_array().expect("is a list"))
        .filter(|found| found["path"].as_str().is_some_and(|path| path.ends_with(file)))
        .map(|found| place(&found["start"]["line"], &found["start"]["column"], &found["rule"]))
        .collect();
    found.sort();
    found
}

fn place(line: &Value, column: &Value, rule: &Value) -> (u64, u64, String) {
    let number = |value: &Value| value.as_u64().expect("is a number");
    (number(line), number(column), rule.as_str().expect("is text").to_owned())
}

/// What an editor has shown: the same.
fn shown(diagnostics: &Value) -> Vec<(u64, u64, String)> {
    let found = diagnostics.as_array().expect("is a list").iter();
    let mut found: Vec<_> = found.map(|found| place(&found[0], &found[1], &found[2])).collect();
    found.sort();
    found
}

const DEMO: &str = r#"{
  "1": { "service": "Sender", "queue": "first", "output": { "é": 2, "again": [2] } },
  "2": {
    "service": "Processor",
    "queue": "arch",
    "output": "1"
  },
  "start": [[1, []]]
}
"#;
const OTHER: &str = r#"{ "1": { "service": "Processor", "queue": "archive.fast" }, "start": [[1, []]] }"#;

#[test]
fn neovim_shows_findings_completes_and_renames() {
    let folder = workspace(&[("zrecipe.toml", ""), ("recipes/demo.json", DEMO), ("recipes/other.json", OTHER)]);
    let before = checked(folder.path(), "demo.json");
    assert!(!before.is_empty(), "there is something to show");
    let script = root().join("tests/editors/neovim.lua");
    let load = format!("luafile {}", script.display());
    let output = run(
        Path::new("nvim"),
        &["--headless", "--clean", "-n", "-c", &load],
        folder.path(),
        &[("ZRECIPE", Path::new(env!("CARGO_BIN_EXE_zrecipe"))), ("ZRECIPE_EDITOR", &root().join("editors/neovim"))],
    );
    let seen = std::fs::read_to_string(folder.path().join("seen.json")).unwrap_or_else(|_| panic!("{}", said(&output)));
    let seen: Value = serde_json::from_str(&seen).expect("is JSON");
    assert_eq!(seen["failed"], Value::Null, "{}", said(&output));

    assert_eq!(shown(&seen["diagnostics"]), before);
    let offered = seen["offered"].as_array().expect("is a list");
    assert!(offered.iter().any(|word| word.as_str().is_some_and(|word| word.contains("archive.fast"))), "{offered:?}");
    let completed = DEMO.trim_end().replace("\"arch\"", "\"archive.fast\"");
    assert_eq!(seen["completed"], completed.as_str());
    let renamed = completed.replace("\"é\": 2, \"again\": [2]", "\"é\": 7, \"again\": [7]").replace("\"2\":", "\"7\":");
    assert_eq!(seen["renamed"], renamed.as_str());

    assert_eq!(seen["quiet"], true, "the server comes to an end");
    let after = checked(folder.path(), "demo.json");
    assert!(!after.is_empty(), "the edits have left something to find");
    assert_eq!(shown(&seen["after"]), after);

    // Once asked for and not declined, a run is in the directory of the project, with the options of the server.
    assert_eq!(seen["windows"], serde_json::json!([1, 2]));
    let project = folder.path().canonicalize().expect("is there");
    let file = project.join("run.txt");
    let expected =
        [project.to_str(), Some("run"), Some("--site"), Some("a b.yml"), Some("--"), file.to_str(), Some("unwritten")];
    assert_eq!(seen["ran"], serde_json::json!(expected));
}

#[test]
fn emacs_shows_findings_renames_and_draws() {
    let files =
        [("zrecipe.toml", ""), ("recipes/demo.json", DEMO), ("recipes/more.yml", OTHER), ("recipes/script.js", "1")];
    let folder = workspace(&files);
    let script = root().join("tests/editors/emacs.el");
    let output = run(
        Path::new("emacs"),
        &["--batch", "-l", script.to_str().expect("is UTF-8")],
        folder.path(),
        &[("ZRECIPE", Path::new(env!("CARGO_BIN_EXE_zrecipe"))), ("ZRECIPE_EDITOR", &root().join("editors/emacs"))],
    );
    let seen = std::fs::read_to_string(folder.path().join("seen.json")).unwrap_or_else(|_| panic!("{}", said(&output)));
    let seen: Value = serde_json::from_str(&seen).expect("is JSON");
    // Outside of the project and for a script nothing is started; for YAML and JSON in it the server is.
    assert_eq!(seen["served"], serde_json::json!([null, null, null, "zrecipe", "zrecipe"]));
    assert_eq!(shown(&seen["diagnostics"]), checked(folder.path(), "demo.json"));
    let renamed = DEMO.replace("\"é\": 2, \"again\": [2]", "\"é\": 7, \"again\": [7]").replace("\"2\":", "\"7\":");
    assert_eq!(seen["renamed"], renamed.as_str());
    let drawn = seen["drawn"].as_str().expect("is text");
    assert!(drawn.starts_with("<svg") && drawn.contains("data-step=\"7\""), "{drawn}");
}

#[test]
fn clients_of_pytest_lsp_are_served() {
    let folder = workspace(&[
        ("zrecipe.toml", ""),
        ("recipes/other.json", &OTHER.replace("archive.fast", "elsewhere")),
        ("test_server.py", &std::fs::read_to_string(root().join("tests/editors/test_server.py")).expect("is there")),
    ]);
    let output = run(
        &installed("editors-python").join("bin/python"),
        &["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_server.py"],
        folder.path(),
        &[("ZRECIPE", Path::new(env!("CARGO_BIN_EXE_zrecipe"))), ("ZRECIPE_WORKSPACE", folder.path())],
    );
    assert!(output.status.success() && said(&output).contains("12 passed"), "{}", said(&output));
}

#[test]
fn the_extension_of_vs_code_is_built_tested_and_packaged() {
    let locked = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let (wanted, found) = (root().join("editors/vscode/package-lock.json"), installed("vscode/installed-lock.json"));
    assert!(locked(&wanted) == locked(&found), "packages of npm are missing: `tests/editors/setup` installs them");
    let build = root().join("editors/vscode/package");
    let target = installed("..");
    let output = run(
        Path::new("bash"),
        &[build.to_str().expect("is UTF-8")],
        root(),
        &[
            ("ZRECIPE", Path::new(env!("CARGO_BIN_EXE_zrecipe"))),
            ("CARGO_TARGET_DIR", &target),
            ("HOME", &installed("")),
        ],
    );
    assert!(output.status.success(), "{}", said(&output));

    let folder = workspace(&[]);
    let package = installed("vscode/zrecipe.vsix");
    let package = package.to_str().expect("is UTF-8");
    let output = run(Path::new("python3"), &["-m", "zipfile", "-e", package, "."], folder.path(), &[]);
    assert!(output.status.success(), "{}", said(&output));
    let inside = folder.path().join("extension");
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("is a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("can be read").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    // Neither sources nor packages of others beside the bundle, but all licences of what is in it.
    let licences = ["LICENSE-APACHE", "LICENSE-MIT", "LICENSE.txt", "ThirdPartyNotices.txt"];
    let others = ["icon.png", "out", "package.json", "readme.md", "schemas"];
    assert_eq!(names(&inside), [licences.as_slice(), &others].concat());
    let notices = std::fs::read_to_string(inside.join("ThirdPartyNotices.txt")).expect("is there");
    for part in ["vscode-languageclient 9", "vscode-jsonrpc 8", "Microsoft Corporation", "Permission is hereby granted"]
    {
        assert!(notices.contains(part), "{part}: {notices}");
    }
    let text = std::fs::read_to_string(inside.join("package.json")).expect("is there");
    let manifest: Value = serde_json::from_str(&text).expect("is JSON");
    let trust = &manifest["capabilities"]["untrustedWorkspaces"];
    assert_eq!(trust["supported"], "limited");
    for name in ["zrecipe.path", "zrecipe.arguments"] {
        assert!(trust["restrictedConfigurations"].as_array().is_some_and(|names| names.iter().any(|one| one == name)));
        assert_eq!(manifest["contributes"]["configuration"]["properties"][name]["scope"], "machine-overridable");
    }
    for name in ["main", "icon"] {
        assert!(inside.join(manifest[name].as_str().expect("is text")).is_file(), "{name}");
    }
    let mut used = std::collections::BTreeSet::new();
    for part in ["jsonValidation", "yamlValidation", "tomlValidation"] {
        for row in manifest["contributes"][part].as_array().expect("is a list") {
            let schema = inside.join(row["url"].as_str().expect("is text"));
            let text = std::fs::read_to_string(&schema).unwrap_or_else(|error| panic!("{}: {error}", schema.display()));
            serde_json::from_str::<Value>(&text).expect("is JSON");
            used.insert(schema.file_name().expect("has a name").to_string_lossy().into_owned());
        }
    }
    // And no schema that no file is held against.
    assert_eq!(names(&inside.join("schemas")), Vec::from_iter(used));
}

/// What cannot be run here: its configuration can be read, and what it starts is the server.
#[test]
fn configurations_of_other_editors_start_the_server() {
    let read = |name: &str| std::fs::read_to_string(root().join("editors").join(name)).expect("is there");
    let helix: Value = toml::from_str(&read("helix/languages.toml")).expect("is TOML");
    let sublime = read("sublime/LSP-zrecipe.sublime-settings");
    let sublime: Vec<&str> = sublime.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let sublime: Value = serde_json::from_str(&sublime.join("\n")).expect("is JSON");
    let server = &helix["language-server"]["zrecipe"];
    let words = |value: &Value| -> Vec<String> {
        let words = value.as_array().expect("is a list").iter();
        words.map(|word| word.as_str().expect("is text").to_owned()).collect()
    };
    let of_helix = [server["command"].as_str().expect("is text").to_owned()].into_iter().chain(words(&server["args"]));
    for command in [of_helix.collect(), words(&sublime["clients"]["zrecipe"]["command"])] {
        let (program, arguments) = command.split_first().expect("is a command");
        assert_eq!(program, "zrecipe");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let folder = workspace(&[]);
        let output = run(Path::new(env!("CARGO_BIN_EXE_zrecipe")), &arguments, folder.path(), &[]);
        assert!(said(&output).contains("standard input closed"), "{command:?}: {}", said(&output));
    }
    // Only projects of zrecipe have it, and what other files are formatted with stays.
    assert_eq!(words(&server["required-root-patterns"]), ["zrecipe.toml"]);
    for language in helix["language"].as_array().expect("is a list") {
        assert_eq!(words(&language["roots"]), ["zrecipe.toml"], "{language}");
        let mut servers = language["language-servers"].as_array().expect("is a list").iter();
        let ours = servers.find(|one| **one == "zrecipe" || one["name"] == "zrecipe").expect("is in the list");
        let formats = ours.get("except-features").is_none_or(|left| left != &serde_json::json!(["format"]));
        assert_eq!(formats, language["name"] == "json", "{language}");
    }
    let zed: Value = toml::from_str(&read("zed/extension.toml")).expect("is TOML");
    assert_eq!(zed["language_servers"]["zrecipe"]["languages"], serde_json::json!(["JSON", "YAML", "TOML"]));
    let crate_of_zed: Value = toml::from_str(&read("zed/Cargo.toml")).expect("is TOML");
    assert_eq!(crate_of_zed["lib"]["crate-type"], serde_json::json!(["cdylib"]));
}

/// The browser.
fn chromium() -> PathBuf {
    let found = ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    });
    found.expect("Chromium is missing: tests/editors/setup installs it")
}

/// The HTML drawing in Chromium: click, zoom, search, keyboard, dark, phone, 500 steps, no request, axe.
#[test]
fn drawings_in_a_browser() {
    let folder = workspace(&[]);
    let script = root().join("tests/editors/drawing.mjs");
    let output = run(
        Path::new("node"),
        &["--test", script.to_str().expect("is UTF-8")],
        folder.path(),
        &[
            ("ZRECIPE", Path::new(env!("CARGO_BIN_EXE_zrecipe"))),
            ("CHROMIUM", &chromium()),
            ("PACKAGES", &installed("browser")),
        ],
    );
    assert!(output.status.success(), "{}", said(&output));
}
