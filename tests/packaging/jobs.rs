//! Hooks and jobs of CI systems, run as these systems run them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::project::{Finding, Project, Verdict, is_adopted};
use crate::{
    PROGRAM, Packages, command, installed, json, output, path_with, read, root, scratch, succeed, text, tool, version,
    write, yaml,
};

/// A repository of hooks with these files of a directory, tagged with the version.
fn hook_repository(from: &Path, files: &[&str]) -> tempfile::TempDir {
    let repository = scratch();
    for file in files {
        write(&repository.path().join(file), &read(&from.join(file)));
    }
    let tag = format!("v{}", version());
    for arguments in
        [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "-m", "Release"], &["tag", "--", &tag]]
    {
        let mut git = command("git", repository.path());
        git.args(arguments);
        succeed(git);
    }
    repository
}

/// A project's configuration of pre-commit.
fn hooks(repository: &Path) -> String {
    format!(
        "repos:\n  - repo: {}\n    rev: v{}\n    hooks:\n      - id: zrecipe-fmt\n      - id: zrecipe-check\n",
        repository.display(),
        version()
    )
}

/// Findings of the format for people: the rule ends the message, the place follows.
fn shown_to_people(printed: &str) -> Vec<Finding> {
    let lines: Vec<&str> = printed.lines().collect();
    let place = |pair: &[&str]| {
        let place = pair[1].trim_start().strip_prefix("╭─[")?.strip_suffix(']')?;
        let rule = pair[0].rsplit_once('[')?.1.strip_suffix(']')?;
        let mut parts = place.rsplitn(3, ':');
        let line = parts.nth(1)?.parse().ok()?;
        Some((parts.next()?.to_owned(), line, rule.to_owned()))
    };
    lines.windows(2).filter_map(place).collect()
}

/// pre-commit in a project, with its caches in a directory.
fn pre_commit(project: &Project, caches: &Path, arguments: &[&str]) -> Command {
    let mut run = command(tool("pre-commit"), project.path());
    run.env("PRE_COMMIT_HOME", caches).env("PIP_FIND_LINKS", installed("packaging-wheels"));
    run.args(arguments);
    run
}

/// The hooks in a project whose `PATH` begins with a directory.
fn check_with_hooks(project: &Project, hooks: &str, caches: &Path, prepare: impl Fn(&mut Command)) -> Verdict {
    if !project.path().join(".pre-commit-config.yaml").exists() {
        project.write(".pre-commit-config.yaml", hooks);
        project.git(&["add", "--all"]);
    }
    let mut run = pre_commit(project, caches, &["run", "--color", "never"]);
    prepare(&mut run);
    let output = output(run);
    let printed = text(&output);
    assert!(printed.contains("zrecipe check"), "the hook ran: {printed}");
    Verdict { passed: output.status.success(), findings: shown_to_people(&printed), printed }
}

fn program_directory() -> &'static Path {
    Path::new(PROGRAM).parent().expect("the program is in a directory")
}

#[test]
fn hooks_run_the_program_of_the_path() {
    let repository = hook_repository(root(), &[".pre-commit-hooks.yaml"]);
    let (caches, hooks) = (scratch(), hooks(repository.path()));
    is_adopted(|project| {
        check_with_hooks(project, &hooks, caches.path(), |run| {
            run.env("PATH", path_with(program_directory()));
        })
    });
}

#[test]
fn the_mirror_for_pre_commit_installs_the_wheel() {
    let packages = Packages::new();
    let mirror = root().join("ci/pre-commit-mirror");
    let repository = hook_repository(&mirror, &[".pre-commit-hooks.yaml", "pyproject.toml", "README.md"]);
    let (caches, hooks) = (scratch(), hooks(repository.path()));
    is_adopted(|project| {
        check_with_hooks(project, &hooks, caches.path(), |run| {
            run.env("PIP_FIND_LINKS", packages.directory());
        })
    });
}

#[test]
fn the_formatting_hook_formats_recipes_and_nothing_else() {
    let repository = hook_repository(root(), &[".pre-commit-hooks.yaml"]);
    let caches = scratch();
    let project = Project::new();
    project.write(".pre-commit-config.yaml", &hooks(repository.path()));
    let name = "recipes/recipe-01.json";
    let (formatted, package) = (project.read(name), project.read("package.json"));
    project.write(name, &formatted.replace("\"service\": ", "\"service\":"));
    project.commit();
    let mut run = pre_commit(&project, caches.path(), &["run", "zrecipe-fmt", "--all-files"]);
    run.env("PATH", path_with(program_directory()));
    let output = output(run);
    assert!(!output.status.success(), "a hook that changes files fails: {}", text(&output));
    assert_eq!(project.read(name), formatted);
    assert_eq!(project.read("package.json"), package, "a file that is no recipe stays");
}

/// Runs the lines of a GitLab job as its runner does, in one shell that ends at the first failure. What `before_script`
/// installs stays for the next job, as its variables do in the file `variables`.
fn gitlab_job(job: &Value, project: &Project, packages: &Packages, variables: &Path) -> Command {
    let lines = |part: &str| {
        let lines = job[part].as_array().expect("a list of lines").iter();
        lines.map(|line| line.as_str().expect("a line is text")).collect::<Vec<_>>().join("\n")
    };
    let file = variables.display();
    let before = if variables.exists() {
        format!("source {file}")
    } else {
        format!("{}\nexport -p >{file}", lines("before_script"))
    };
    let mut run = command("bash", project.path());
    run.arg("-c").arg(format!("set -eo pipefail\n{before}\ncd {}\n{}", project.path().display(), lines("script")));
    let directory = project.path().to_str().expect("UTF-8");
    for (name, value) in job["variables"].as_object().expect("variables") {
        run.env(name, value.as_str().expect("a text").replace("$CI_PROJECT_DIR", directory));
    }
    run.env("CI_PROJECT_DIR", directory).env("PIP_FIND_LINKS", packages.directory());
    run
}

#[test]
fn the_gitlab_template_reports_to_merge_requests() {
    let packages = Packages::new();
    let template = yaml("ci/gitlab/zrecipe.yml");
    let job = &template["zrecipe"];
    let reports = &job["artifacts"]["reports"];
    let runner = scratch();
    let variables = runner.path().join("variables");
    let report = |name: &str| reports[name].as_str().expect("the report has a path").to_owned();
    let mut fingerprints: Vec<BTreeSet<String>> = Vec::new();
    is_adopted(|project| {
        let output = output(gitlab_job(job, project, &packages, &variables));
        let quality = json(&project.read(&report("codequality")));
        let mut seen = BTreeSet::new();
        let findings = quality.as_array().expect("a list of findings").iter().map(|found| {
            assert!(seen.insert(found["fingerprint"].as_str().expect("a fingerprint").to_owned()), "it is unique");
            let line = found["location"]["lines"]["begin"].as_u64().expect("a line");
            (string(&found["location"]["path"]), line, string(&found["check_name"]))
        });
        let findings: Vec<Finding> = findings.collect();
        fingerprints.push(seen);
        // The test report says the same, file by file.
        let failed: BTreeSet<String> = findings.iter().map(|(file, ..)| file.clone()).collect();
        assert_eq!(failing_cases(&project.read(&report("junit"))), failed);
        // So does the log.
        let mut logged = shown_to_people(&text(&output));
        let mut sorted = findings.clone();
        logged.sort();
        sorted.sort();
        assert_eq!(logged, sorted);
        for file in [report("codequality"), report("junit")] {
            std::fs::remove_file(project.path().join(file)).expect("an artifact leaves the directory");
        }
        Verdict { passed: output.status.success(), findings, printed: text(&output) }
    });
    // The widget compares reports by fingerprints: an old mistake has the same one when it is made again.
    let again = fingerprints.last().expect("jobs ran");
    assert!(again.is_subset(&fingerprints[0]), "{again:?}");
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Names of the test cases with a failure.
fn failing_cases(report: &str) -> BTreeSet<String> {
    let mut python = command("python3", root());
    let script = "import sys, xml.etree.ElementTree as tree\n\
                  for case in tree.fromstring(sys.argv[1]).iter('testcase'):\n    \
                      if case.find('failure') is not None: print(case.get('name'))";
    python.args(["-c", script, report]);
    succeed(python).lines().map(str::to_owned).collect()
}

/// A value of an action, with the inputs put in.
fn with_inputs(text: &str, inputs: &serde_json::Map<String, Value>) -> String {
    let mut text = text.to_owned();
    for (name, input) in inputs {
        let value = input["default"].as_str().expect("each input has a default");
        text = text.replace(&format!("${{{{ inputs.{name} }}}}"), value);
    }
    assert!(!text.contains("${{"), "an expression is left: {text}");
    text
}

#[test]
fn the_github_action_annotates_lines_and_writes_sarif() {
    let packages = Packages::new();
    let action = yaml("action.yml");
    let inputs = action["inputs"].as_object().expect("inputs");
    let steps = action["runs"]["steps"].as_array().expect("steps");
    let runner = scratch();
    let path_file = runner.path().join("path");
    let report = string(&inputs["sarif"]["default"]);
    let mut is_installed = false;
    is_adopted(|project| {
        let mut verdict = None;
        for step in steps.iter().filter(|step| step["run"].is_string()) {
            if string(&step["name"]).starts_with("Install") && std::mem::replace(&mut is_installed, true) {
                continue;
            }
            assert_eq!(step["shell"], "bash");
            let script = string(&step["run"]);
            assert!(!script.contains("${{"), "inputs come as variables, so that they are no part of the script");
            let mut run = command("bash", project.path());
            run.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &script]);
            run.env("RUNNER_TEMP", runner.path()).env("GITHUB_PATH", &path_file);
            run.env("PIP_FIND_LINKS", packages.directory());
            if path_file.exists() {
                run.env("PATH", path_with(Path::new(read(&path_file).trim_end())));
            }
            for (name, value) in step["env"].as_object().expect("variables") {
                run.env(name, with_inputs(value.as_str().expect("a text"), inputs));
            }
            let output = output(run);
            verdict = Some((output.status.success(), text(&output)));
        }
        let (passed, printed) = verdict.expect("the action has steps");
        let findings = printed.lines().filter_map(annotation).collect::<Vec<_>>();
        let sarif = json(&project.read(&report));
        let results = sarif["runs"][0]["results"].as_array().expect("results").iter().map(|result| {
            let place = &result["locations"][0]["physicalLocation"];
            let line = place["region"]["startLine"].as_u64().expect("a line");
            (string(&place["artifactLocation"]["uri"]), line, string(&result["ruleId"]))
        });
        let mut reported: Vec<Finding> = results.collect();
        let mut annotated = findings.clone();
        reported.sort();
        annotated.sort();
        assert_eq!(reported, annotated);
        std::fs::remove_file(project.path().join(&report)).expect("the report is there");
        Verdict { passed, findings, printed }
    });
    let upload = steps.last().expect("steps");
    assert!(string(&upload["uses"]).starts_with("github/codeql-action/upload-sarif@"));
}

/// An annotation in what a step prints: `::error file=…,line=…,title=zrecipe (rule)::…`.
fn annotation(line: &str) -> Option<Finding> {
    let (_, properties) = line.strip_prefix("::")?.split_once("::")?.0.split_once(' ')?;
    let property =
        |name: &str| properties.split(',').find_map(|property| property.strip_prefix(name)?.strip_prefix('='));
    let rule = property("title")?.strip_prefix("zrecipe (")?.strip_suffix(')')?;
    Some((property("file")?.to_owned(), property("line")?.parse().ok()?, rule.to_owned()))
}
