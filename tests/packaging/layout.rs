//! Files that other systems read: they have the form that these systems expect, and agree with each other.

use serde_json::Value;

use crate::{command, read, root, succeed, tool, version, yaml};

/// Files of the repository in a directory whose names end so.
fn files(directory: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(directory)).unwrap_or_else(|error| panic!("{directory}: {error}"));
    let names = entries.map(|entry| entry.expect("can be read").file_name().into_string().expect("UTF-8"));
    let mut files: Vec<String> =
        names.filter(|name| name.ends_with(ending)).map(|name| format!("{directory}/{name}")).collect();
    files.sort();
    assert!(!files.is_empty(), "no {ending} file is in {directory}");
    files
}

fn has_form(schema: &[&str], files: &[String]) {
    let mut check = command(tool("check-jsonschema"), root());
    check.args(schema).args(files);
    succeed(check);
}

#[test]
fn workflows_and_templates_have_the_form_that_their_systems_expect() {
    let workflows = files(".github/workflows", ".yml");
    has_form(&["--builtin-schema", "vendor.github-workflows"], &workflows);
    has_form(&["--builtin-schema", "custom.github-workflows-require-timeout"], &workflows);
    has_form(&["--builtin-schema", "vendor.github-actions"], &["action.yml".to_owned()]);
    let mut forms = files(".github/ISSUE_TEMPLATE", ".yml");
    let config = ".github/ISSUE_TEMPLATE/config.yml".to_owned();
    forms.retain(|form| *form != config);
    has_form(&["--builtin-schema", "vendor.github-issue-forms"], &forms);
    has_form(&["--builtin-schema", "vendor.github-issue-config"], &[config]);
    let gitlab = [".gitlab-ci.yml".to_owned(), "ci/gitlab/zrecipe.yml".to_owned()];
    has_form(&["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"], &gitlab);
    for file in [".pre-commit-hooks.yaml", "ci/pre-commit-mirror/.pre-commit-hooks.yaml"] {
        let mut validate = command(tool("pre-commit"), root());
        validate.args(["validate-manifest", file]);
        succeed(validate);
    }
}

/// Shell scripts are read by the shell, those in workflows included.
#[test]
fn scripts_are_valid_shell() {
    let mut scripts: Vec<String> = [".ci/run", "ci/wheel", "tests/bless", "tests/run", "tests/packaging/setup"]
        .map(|path| read(&root().join(path)))
        .into();
    for workflow in files(".github/workflows", ".yml") {
        let jobs = yaml(&workflow)["jobs"].clone();
        let steps = jobs.as_object().expect("jobs").values().filter_map(|job| job["steps"].as_array()).flatten();
        scripts.extend(steps.filter_map(|step| step["run"].as_str().map(str::to_owned)));
    }
    let gitlab = yaml(".gitlab-ci.yml");
    for (name, job) in gitlab.as_object().expect("jobs") {
        // Jobs on Windows run in PowerShell.
        let parts = ["before_script", "script"].iter().filter(|_| !name.contains("windows"));
        let lines = parts.filter_map(|part| job[part].as_array()).flatten();
        scripts.extend(lines.map(|line| line.as_str().expect("a line is text").to_owned()));
    }
    for script in scripts {
        // An expression of a workflow stands for some text.
        assert!(!script.contains("${{"), "values come as variables, so that they are no part of the script: {script}");
        let mut parse = command("bash", root());
        parse.args(["-n", "-c", &script]);
        succeed(parse);
    }
}

/// Every job that a pipeline needs for a release is called by both systems, and both call the one list of checks.
#[test]
fn both_systems_run_the_same_checks() {
    let steps = yaml(".github/workflows/ci.yml")["jobs"]["checks"]["steps"].clone();
    assert!(steps.as_array().expect("steps").iter().any(|step| step["run"] == ".ci/run"));
    assert_eq!(yaml(".gitlab-ci.yml")["checks"]["script"], serde_json::json!([".ci/run"]));
    for file in [".github/workflows/release.yml", ".gitlab-ci.yml"] {
        let text = read(&root().join(file));
        for target in [
            "x86_64-unknown-linux-gnu",
            "aarch64-unknown-linux-gnu",
            "aarch64-apple-darwin",
            "x86_64-apple-darwin",
            "windows",
            "SHA256SUMS",
            "cyclonedx",
            "ci/image.py",
        ] {
            assert!(text.contains(target), "{file} lacks {target}");
        }
    }
}

/// Third parties are pinned to a commit; the one exception is what PyPI documents.
#[test]
fn actions_are_pinned() {
    for file in files(".github/workflows", ".yml").into_iter().chain(["action.yml".to_owned()]) {
        for line in read(&root().join(&file)).lines() {
            let Some((_, action)) = line.split_once("uses: ") else { continue };
            let commit = action.split_once('@').map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
            let is_pinned = commit.is_some_and(|commit| {
                commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()) && action.contains(" # v")
            });
            assert!(is_pinned || action == "pypa/gh-action-pypi-publish@release/v1", "{file}: {line}");
        }
    }
}

/// A release changes the version in Cargo.toml, and this test finds the other places.
#[test]
fn every_file_names_the_version_of_the_program() {
    let quoted = format!("\"{}\"", version());
    assert_eq!(yaml("action.yml")["inputs"]["version"]["default"], version());
    assert_eq!(yaml("ci/gitlab/zrecipe.yml")["zrecipe"]["variables"]["ZRECIPE_VERSION"], version());
    for (file, words) in [
        ("ci/pre-commit-mirror/pyproject.toml", format!("\"zrecipe=={}\"", version())),
        ("ci/pre-commit-mirror/README.md", format!("rev: v{}\n", version())),
        ("ci/gitlab/zrecipe.yml", format!("ref: v{}\n", version())),
        ("docs/ci.md", format!("rev: v{}\n", version())),
        ("docs/install.md", format!("IMAGE:{} check", version())),
        ("docs/upgrades.md", format!("zrecipe=={}`", version())),
        ("Cargo.toml", format!("version = {quoted}")),
    ] {
        assert!(read(&root().join(file)).contains(&words), "{file} lacks `{words}`");
    }
}

/// Tools have one version, in tests, scripts and pipelines.
#[test]
fn tools_have_one_version() {
    let pinned = |file: &str, tool: &str| {
        let text = read(&root().join(file));
        let (_, rest) = text.split_once(&format!("{tool}==")).unwrap_or_else(|| panic!("{file} pins no {tool}"));
        rest.split(|sign: char| !sign.is_ascii_digit() && sign != '.').next().unwrap_or_default().to_owned()
    };
    let maturin = pinned("tests/packaging/setup", "maturin");
    for file in ["ci/wheel", ".github/workflows/release.yml", ".gitlab-ci.yml"] {
        assert_eq!(pinned(file, "maturin"), maturin, "{file}");
    }
}

/// The mirror's hooks differ from the main repository's in how the program is installed, only.
#[test]
fn both_repositories_of_hooks_have_the_same_hooks() {
    let hooks = |path: &str, language: &str| {
        let mut hooks = yaml(path);
        for hook in hooks.as_array_mut().expect("hooks") {
            assert_eq!(hook["language"], language);
            hook["language"] = Value::Null;
        }
        hooks
    };
    let main = hooks(".pre-commit-hooks.yaml", "system");
    assert_eq!(main, hooks("ci/pre-commit-mirror/.pre-commit-hooks.yaml", "python"));
}

/// Paths in the guides exist; those with `mine`, `my`, patterns or options stand for others.
#[test]
fn guides_name_files_that_exist() {
    let mut guides = files("docs/adr", ".md");
    guides.extend(["CONTRIBUTING.md", "SECURITY.md", "docs/ci.md"].map(str::to_owned));
    let places = ["crates/", "src/", "tests/", "ci/", ".ci/", ".github/", "docs/", "benches/", "editors/"];
    let mut named = 0;
    for guide in guides {
        let text = read(&root().join(&guide));
        // Text between back-ticks is every second part of a line.
        let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        for path in quoted.filter(|path| places.iter().any(|place| path.starts_with(place))) {
            if path.contains(['*', '{', ' ']) || path.contains("/my-") || path.contains("/mine/") {
                continue;
            }
            assert!(root().join(path).exists(), "{guide} names `{path}`, which does not exist");
            named += 1;
        }
        let links = text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split_once(')'));
        for (link, _) in links.filter(|(link, _)| !link.contains(':') && !link.starts_with('#')) {
            let directory = root().join(&guide).parent().expect("is in a directory").to_owned();
            assert!(directory.join(link).exists(), "{guide} links to `{link}`, which does not exist");
        }
    }
    assert!(named > 20, "the guides name files; found {named}");
}
