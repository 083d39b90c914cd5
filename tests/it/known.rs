//! Known findings on the command line: what stays known, and what a change brought.

use std::path::Path;
use std::process::Command;

use crate::lists::root;

const DOUBLE: &str = r#"{
  "1": { "queue": "a", "topic": "b", "output": 2 },
  "2": { "queue": "c", "output": 7 },
  "start": [[1, []]]
}
"#;
const CLEAN: &str = r#"{ "1": { "queue": "a" }, "start": [[1, []]] }
"#;

struct Project(tempfile::TempDir);

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Self(tempfile::tempdir().expect("can be made"));
        files.iter().for_each(|(name, text)| project.write(name, text));
        project
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
        std::fs::write(path, text).expect("can be written");
    }

    /// What a command prints, and its exit code.
    fn run(&self, program: &str, directory: &str, arguments: &[&str]) -> (String, i32) {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path(directory)).env_remove("ZOCALO_CONFIG");
        for (name, value) in [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_SYSTEM", "/dev/null")] {
            command.env(name, value);
        }
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "nobody").env(format!("GIT_{who}_EMAIL"), "nobody@example.org");
        }
        let output = command.output().expect("starts");
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8(text).expect("is UTF-8"), output.status.code().expect("ends"))
    }

    fn zrecipe(&self, arguments: &[&str]) -> (String, i32) {
        self.run(env!("CARGO_BIN_EXE_zrecipe"), "", arguments)
    }

    fn git(&self, arguments: &[&str]) {
        let (text, code) = self.run("git", "", arguments);
        assert_eq!(code, 0, "git {arguments:?}: {text}");
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }
}

#[test]
fn a_baseline_in_a_directory_holds_from_everywhere() {
    let project = Project::new(&[("recipes/a.json", DOUBLE), ("recipes/deep/b.json", DOUBLE)]);
    project.write("zrecipe.toml", "");
    std::fs::create_dir(project.path("ci")).expect("can be made");
    let (text, code) = project.zrecipe(&["check", "recipes", "--write-baseline", "ci/known.json"]);
    assert_eq!(code, 0, "{text}");
    let whole = project.path("recipes").to_string_lossy().into_owned();
    let program = env!("CARGO_BIN_EXE_zrecipe");
    for (directory, path, baseline) in [
        ("", "recipes", "ci/known.json"),
        ("", whole.as_str(), "ci/known.json"),
        ("recipes", "a.json", "../ci/known.json"),
        ("recipes/deep", "../deep/b.json", "../../ci/known.json"),
    ] {
        let (text, code) = project.run(program, directory, &["check", path, "--baseline", baseline]);
        assert!(code == 0 && text.contains("nothing found"), "{directory} {path}: {text}");
    }
}

#[test]
fn a_baseline_survives_moved_files_and_new_numbers() {
    let project = Project::new(&[("recipes/a.json", DOUBLE), ("recipes/b.json", DOUBLE), ("known.json", "")]);
    std::fs::remove_file(project.path("known.json")).expect("is there");
    project.zrecipe(&["check", "recipes", "--write-baseline", "known.json"]);
    std::fs::rename(project.path("recipes"), project.path("flows")).expect("can be moved");
    std::fs::rename(project.path("flows/b.json"), project.path("flows/c.json")).expect("can be moved");
    project.write("flows/a.json", &DOUBLE.replace("\"1\"", "\"41\"").replace("[[1,", "[[41,"));
    let (text, code) = project.zrecipe(&["check", "flows", "--baseline", "known.json"]);
    assert!(code == 0 && text.contains("nothing found"), "{text}");
    // The old paths go only when the new ones are recorded.
    let (text, _) = project.zrecipe(&["check", ".", "--prune", "--baseline", "known.json"]);
    assert!(text.contains("nothing to remove"), "{text}");
}

#[test]
fn a_baseline_shrinks_by_what_was_looked_at() {
    let project = Project::new(&[("a.json", DOUBLE), ("b.json", DOUBLE)]);
    project.zrecipe(&["check", ".", "--write-baseline", "known.json"]);
    let recorded = || std::fs::read_to_string(project.path("known.json")).expect("can be read");
    let before = recorded();
    project.write("a.json", CLEAN);
    // The other file was not read.
    let (text, _) = project.zrecipe(&["check", "b.json", "--baseline", "known.json"]);
    assert!(!text.contains("no longer"), "{text}");
    // A rule that is allowed finds nothing, which says nothing.
    let (text, _) = project.zrecipe(&["check", "b.json", "--baseline", "known.json", "--allow", "all"]);
    assert!(!text.contains("no longer"), "{text}");
    let (text, _) = project.zrecipe(&["check", ".", "--baseline", "known.json"]);
    assert!(text.contains("no longer occur") && text.contains("--prune"), "{text}");
    assert_eq!(recorded(), before, "only `--prune` changes it");
    project.zrecipe(&["check", ".", "--baseline", "known.json", "--prune"]);
    assert!(!recorded().contains("a.json") && recorded().contains("b.json"), "{}", recorded());
    // Writing it for one file keeps the others.
    project.write("a.json", DOUBLE);
    project.zrecipe(&["check", "a.json", "--write-baseline", "known.json"]);
    assert_eq!(recorded(), before);
}

#[test]
fn fingerprints_do_not_shift() {
    let fingerprints = |text: &str| -> Vec<String> {
        let project = Project::new(&[("a.json", text)]);
        let (text, _) = project.zrecipe(&["check", "a.json", "--format", "gitlab"]);
        text.lines().filter_map(|line| Some(line.split_once("\"fingerprint\":\"")?.1[..32].to_owned())).collect()
    };
    let old = r#"{ "3": { "queue": "b", "output": 9 }, "start": [[3, []]] }"#;
    let new = r#"{
  "1": { "queue": "a", "output": 9 },
  "3": { "queue": "b", "output": 9 },
  "start": [[1, []], [3, []]]
}"#;
    let (before, after) = (fingerprints(old), fingerprints(new));
    assert_eq!((before.len(), after.len()), (1, 2));
    assert!(!before.contains(&after[0]) && before.contains(&after[1]), "{before:?} {after:?}");
    // Under other numbers and another layout they are the same.
    assert_eq!(fingerprints(&old.replace('3', "17").replace(", ", ",\n   ")), before);
}

#[test]
fn since_shows_what_a_change_brought() {
    let project = Project::new(&[("recipes/a.json", DOUBLE), ("recipes/b.json", CLEAN)]);
    project.git(&["init", "--quiet", "--initial-branch", "main"]);
    project.commit("first");
    let check = |arguments: &[&str]| project.zrecipe(&[&["check", "--since", "main"], arguments].concat());
    let (text, code) = check(&[]);
    assert!(code == 0 && text.contains("nothing found"), "{text}");
    // A change, a moved file and a new one.
    project.git(&["checkout", "--quiet", "-b", "change"]);
    project.git(&["mv", "recipes/a.json", "recipes/moved.json"]);
    project.write("recipes/b.json", &CLEAN.replace("\"a\" }", "\"a\", \"output\": 5 }"));
    project.write("recipes/new.json", &CLEAN.replace("\"queue\": \"a\"", "\"queue\": \"\""));
    let (text, code) = check(&["--format", "concise"]);
    assert_eq!(code, 1, "{text}");
    let found: Vec<&str> = text.lines().filter(|line| line.contains("error:")).collect();
    assert!(
        found.len() == 2 && found[0].starts_with("recipes/b.json") && found[1].starts_with("recipes/new.json"),
        "{text}"
    );
    // Below a directory it is the same, and the repository is as it was.
    let program = env!("CARGO_BIN_EXE_zrecipe");
    let (below, _) = project.run(program, "recipes", &["check", "--since", "main", "--format", "concise"]);
    assert_eq!(below.lines().filter(|line| line.contains("error:")).count(), 2, "{below}");
    let (status, _) = project.run("git", "", &["status", "--porcelain"]);
    assert_eq!(status.lines().count(), 3, "{status}");
    // What came on the other branch meanwhile is not of this one.
    project.commit("second");
    project.git(&["checkout", "--quiet", "main"]);
    project.write("recipes/a.json", CLEAN);
    project.commit("repair");
    project.git(&["checkout", "--quiet", "change"]);
    let (text, _) = check(&["--format", "concise"]);
    assert_eq!(text.lines().filter(|line| line.contains("error:")).count(), 2, "{text}");
    let (text, code) = project.zrecipe(&["check", "--since", "nosuch"]);
    assert!(code == 2 && text.contains("`nosuch` is not a revision"), "{text}");
}

/// A finding counts in whatever file it is: the change is in the contract.
#[test]
fn since_counts_findings_in_unchanged_files() {
    let contract = r#"{"names": ["A"], "queues": ["a"], "parameters": {"type": "object"}}"#;
    let project =
        Project::new(&[("r.json", CLEAN), ("c/a.json", contract), ("zrecipe.toml", "contracts = [\"c/*.json\"]\n")]);
    project.git(&["init", "--quiet", "--initial-branch", "main"]);
    project.commit("first");
    project.write("c/a.json", &contract.replace("\"object\"", "\"object\", \"required\": [\"file\"]"));
    let (text, code) = project.zrecipe(&["check", "--since", "HEAD", "--format", "concise"]);
    assert!(code == 1 && text.contains("r.json:1") && text.contains("missing-parameter"), "{text}");
}

#[test]
fn since_needs_a_repository() {
    let project = Project::new(&[("a.json", CLEAN)]);
    let (text, code) = project.zrecipe(&["check", "--since", "main"]);
    assert!(code == 2 && text.contains("needs a git repository"), "{text}");
}

/// `--add-allow` suppresses every finding, and changes nothing else.
#[test]
fn added_suppressions_hold() {
    let yaml = "\"1\":\n  queue: a\n  topic: b  # both\nstart: [[1, []]]\n";
    let project =
        Project::new(&[("a.json", DOUBLE), ("b.yml", yaml), ("c.json", &DOUBLE.replace('\n', " ")), ("d.json", "{")]);
    let (text, code) = project.zrecipe(&["check", "--add-allow"]);
    assert!(code == 1 && text.contains("added"), "{text}");
    let (text, code) = project.zrecipe(&["check", "a.json", "b.yml", "c.json", "--deny", "notes"]);
    assert!(code == 0 && text.contains("nothing found"), "{text}");
    let read = |name: &str| std::fs::read_to_string(project.path(name)).expect("can be read");
    assert!(
        read("a.json").contains("\n  \"1\": [\"zrecipe: allow(two-destinations)\"],\n  \"1\": {"),
        "{}",
        read("a.json")
    );
    assert_eq!(read("d.json"), "{", "a broken file is left as it is");
}

/// Rules that compare recipes are those that the baseline does not expect from one file alone.
#[test]
fn comparing_rules_are_listed() {
    let folder = root().join("crates/language/src/lint/rules");
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .expect("can be read")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("cx.evidence()")))
        .map(|path| name_of(&path))
        .collect();
    found.sort();
    assert_eq!(found, zrecipe::lint::COMPARING);
}

fn name_of(path: &Path) -> String {
    path.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8").replace('_', "-")
}
