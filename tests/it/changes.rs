//! `zrecipe diff` and `zrecipe contract check --since`: what changed between git revisions, and whom it breaks.

use std::path::Path;
use std::process::{Command, Output};

/// A repository in a directory of its own.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new(files: &[(&str, &str)]) -> Self {
        let repository = Self(tempfile::tempdir().expect("a directory"));
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit(files);
        repository
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.0.path()).args(["-c", "user.name=Test", "-c", "user.email=test@example.com"]);
        let output = command.args(arguments).output().expect("git is installed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().expect("is in a folder")).expect("a directory");
            std::fs::write(path, text).expect("is written");
        }
    }

    fn commit(&self, files: &[(&str, &str)]) {
        self.write(files);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "state"]);
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run_in(self.0.path(), arguments)
    }
}

fn run_in(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.args(arguments).current_dir(directory).env_remove("ZOCALO_CONFIG").env("ZRECIPE_STATE", ".state");
    command.output().expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const RECIPE: &str = r#"{
  "1": { "service": "Images", "queue": "images", "parameters": { "file": "{filename}" }, "output": { "found": 2, "every": 3 } },
  "2": { "service": "CTF", "queue": "ctf", "parameters": { "kv": 300, "pixel_size": "{pix}" }, "output": 3 },
  "3": { "service": "Sink", "queue": "sink" },
  "start": [[1, []]]
}
"#;

const RENUMBERED: &str = r#"{
  "30": { "queue": "sink", "service": "Sink" },
  "10": { "output": { "every": 30, "found": 20 }, "service": "Images", "queue": "images", "parameters": { "file": "{filename}" } },
  "20": { "service": "CTF", "queue": "ctf", "parameters": { "kv": 300, "pixel_size": "{pix}" }, "output": 30 },
  "start": [[10, []]]
}
"#;

const SCRIPT: &str = "#!/bin/sh\nzocalo.go -n -r spa -s filename=/x -s pix=1.2\n";

const PYTHON: &str = r#"
def start(transport, name):
    transport.send("processing_recipe", {"recipes": ["spa"], "parameters": {"filename": name, "pix": "abc"}})
"#;

const SERVICE: &str = r#"
import workflows.recipe
from workflows.services.common_service import CommonService


class CTF(CommonService):
    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "ctf", self.ctf, acknowledgement=True)

    def ctf(self, rw, header, message):
        params = {**rw.recipe_step["parameters"], **message}
        pixel = float(params["pixel_size"])
        rw.send_to("results", {"defocus": pixel, "kv": params["kv"]})
"#;

#[test]
fn a_renumbered_recipe_has_not_changed() {
    let repository = Repository::new(&[("recipes/spa.json", RECIPE)]);
    repository.write(&[("recipes/spa.json", RENUMBERED)]);
    let output = repository.run(&["diff", "HEAD", "--exit-code"]);
    assert_eq!((stdout(&output), output.status.code()), (String::new(), Some(0)), "{}", stderr(&output));
    assert!(stderr(&output).contains("compared 1 recipe: no change of meaning"), "{}", stderr(&output));
}

#[test]
fn changes_name_those_whom_they_break() {
    let files = [("recipes/spa.json", RECIPE), ("scripts/go.sh", SCRIPT), ("src/start.py", PYTHON)];
    let repository = Repository::new(&files);
    // The step on `ctf` takes a new parameter, and the channel `every` goes to it.
    let changed = RENUMBERED.replace("\"kv\": 300", "\"kv\": \"{voltage}\"").replace("\"every\": 30", "\"every\": 20");
    repository.commit(&[("recipes/spa.json", &changed)]);
    for arguments in [&["diff", "HEAD~1", "HEAD"][..], &["diff", "HEAD~1"], &["diff", "HEAD~1:recipes/spa.json"]] {
        let output = repository.run(arguments);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(text.contains("! + parameter `voltage` (text, should be given) is added"), "{arguments:?}\n{text}");
        assert!(text.contains("callers: without it, `{voltage}` stays as text"), "{text}");
        assert!(text.contains("~ step 20 (`CTF`): parameter `kv` `300` → `\"{voltage}\"`"), "{text}");
        assert!(text.contains("~ step 10 (`Images`): channel `every` step 3 (`Sink`) → step 20 (`CTF`)"), "{text}");
        assert_eq!(
            text.lines().filter(|line| line.starts_with(['!', ' ']) && !line.starts_with("   ")).count(),
            3,
            "{text}"
        );
    }
    let text = stdout(&repository.run(&["diff", "HEAD~1"]));
    for caller in ["scripts/go.sh:2: does not give `voltage`", "src/start.py:3: does not give `voltage`"] {
        assert!(text.contains(caller), "{text}");
    }
    let code = |arguments: &[&str]| repository.run(arguments).status.code();
    assert_eq!(code(&["diff", "HEAD~1", "--exit-code"]), Some(1));
    assert_eq!(code(&["diff", "HEAD~1", "--exit-code=breaking"]), Some(1));
    assert_eq!(code(&["diff", "HEAD", "--exit-code"]), Some(0));
    // The other way round a parameter is removed: nobody breaks.
    let output = repository.run(&["diff", "HEAD", "HEAD~1", "--exit-code=breaking"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("  - parameter `voltage` (text) is removed"), "{}", stdout(&output));
}

#[test]
fn markdown_and_json_say_the_same() {
    let repository = Repository::new(&[("recipes/spa.json", RECIPE), ("scripts/go.sh", SCRIPT)]);
    repository.commit(&[("recipes/spa.json", &RECIPE.replace("\"{pix}\"", "\"{pixel}\""))]);
    let text = stdout(&repository.run(&["diff", "HEAD~1", "--format", "markdown"]));
    assert!(text.starts_with("### Recipes and services: 3 changes, 1 breaking\n\n#### `recipes/spa.json`\n\n- **Breaking:** parameter `pixel`"), "{text}");
    assert!(text.contains("\n  - scripts/go.sh:2: does not give `pixel`\n"), "{text}");
    assert!(text.contains("\n  - scripts/go.sh:2: still gives `pix`\n"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&repository.run(&["diff", "HEAD~1", "--format", "json"]))).expect("is JSON");
    assert_eq!((&json["version"], &json["changes"], &json["breaking"]), (&1.into(), &3.into(), &1.into()));
    let change = &json["entries"][0]["changes"][1];
    assert_eq!(change["name"], "pixel", "{json:#}");
    assert_eq!(
        (&change["breaking"], &change["change"], &change["subject"]),
        (&true.into(), &"added".into(), &"parameter".into())
    );
    assert_eq!(change["affected"][0]["place"], "scripts/go.sh:2");
}

#[test]
fn removed_and_renamed_recipes_break_their_callers() {
    let other = r#"{"1": {"queue": "a", "parameters": {"x": 1}}, "2": {"queue": "b"}, "start": [[1, []], [2, []]]}"#;
    let repository =
        Repository::new(&[("recipes/spa.json", RECIPE), ("recipes/other.json", other), ("scripts/go.sh", SCRIPT)]);
    repository.git(&["mv", "recipes/spa.json", "recipes/single.json"]);
    repository.git(&["rm", "--quiet", "recipes/other.json"]);
    repository.commit(&[]);
    let text = stdout(&repository.run(&["diff", "HEAD~1"]));
    assert!(
        text.contains("recipes/single.json (was recipes/spa.json)\n! ~ the recipe is renamed from `spa` to `single`"),
        "{text}"
    );
    assert!(text.contains("scripts/go.sh:2: still names it"), "{text}");
    assert!(text.contains("recipes/other.json\n! - the recipe is removed"), "{text}");
    assert!(text.contains("queue `a`\n  - no recipe sends to this queue now"), "{text}");
}

#[test]
fn a_change_of_a_service_names_the_recipes_that_it_breaks() {
    let settings = "recipe-directories = [\"recipes\"]\n[contracts]\npython = [\"services\"]\n";
    let broken = RECIPE
        .replace("\"pixel_size\": \"{pix}\"", "\"pixel_size\": \"{pix}\", \"kv\": 200")
        .replace("\"kv\": 300, ", "");
    let start_here =
        r#"{"1": {"service": "CTF", "queue": "ctf", "parameters": {"kv": 1, "pixel_size": 2}}, "start": [[1, {}]]}"#;
    let files = [
        ("zrecipe.toml", settings),
        ("recipes/spa.json", broken.as_str()),
        ("recipes/direct.json", start_here),
        ("services/ctf.py", SERVICE),
    ];
    let repository = Repository::new(&files);
    // The service reads another name now.
    repository.write(&[("services/ctf.py", &SERVICE.replace("params[\"kv\"]", "params[\"voltage\"]"))]);
    let output = repository.run(&["contract", "check", "--since", "HEAD"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    assert!(text.contains("service `CTF`\n"), "{text}");
    assert!(text.contains("! + parameter `voltage` (anything, required) is added (ctf.py:13)"), "{text}");
    assert!(text.contains("! - parameter `kv` is no longer read"), "{text}");
    assert!(text.contains("      recipes/spa.json:3:83: CTF does not know the parameter `kv` of step `2`"), "{text}");
    let missing = "recipes/direct.json:1:56: step `1` does not get the parameter `voltage`, which CTF needs";
    assert!(text.contains(missing), "{text}");
    assert!(!text.contains("`2` does not get"), "what comes from other steps is not known: {text}");
    let diff = stdout(&repository.run(&["diff", "HEAD"]));
    assert!(diff.contains("! + parameter `voltage` (anything, required) is added") && diff.contains(missing), "{diff}");
    // A change that no recipe meets breaks none.
    repository.write(&[("services/ctf.py", &SERVICE.replace("params[\"kv\"]", "params.get(\"kv\", 300)"))]);
    let output = repository.run(&["contract", "check", "--since", "HEAD"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("  ~ parameter `kv`"), "{}", stdout(&output));
}

#[test]
fn what_cannot_be_compared_is_said_with_the_way_out() {
    let repository = Repository::new(&[("recipes/spa.json", RECIPE)]);
    let outside = tempfile::tempdir().expect("a directory");
    for (output, expected, hint) in [
        (repository.run(&["diff", "mian"]), "error: `mian` is neither a path nor a git revision", "git branch --all"),
        (repository.run(&["diff", "HEAD:nothing.json"]), "`HEAD` has no file or directory", ""),
        (run_in(outside.path(), &["diff", "HEAD"]), "is not in a git repository", "compare two directories"),
        (
            repository.run(&["contract", "check", "--since", "v9", "recipes"]),
            "`v9` is neither a path nor a git revision",
            "",
        ),
    ] {
        assert_eq!(output.status.code(), Some(2), "{expected}");
        let text = stderr(&output);
        assert!(text.contains(expected) && text.contains(hint), "{text}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    let output = command.args(["diff", "HEAD"]).current_dir(repository.0.path()).env("PATH", "/nowhere").output();
    let text = stderr(&output.expect("the program starts"));
    assert!(text.contains("error: cannot start `git`: No such file") && text.contains("install git"), "{text}");
}

/// `[[files]]` may call files with any ending recipes, and no command may then pass over them.
#[test]
fn recipes_with_another_ending_are_read_by_every_command() {
    let settings = "recipe-directories = [\"r\"]\n[[files]]\npaths = [\"**/*.recipe\"]\nkind = \"recipe\"\n";
    let others: Vec<String> = (0..6).map(|number| format!("r/{number}.recipe")).collect();
    let usual = r#"{"1": {"queue": "archiver", "service": "Archiver"}, "start": [[1, []]]}"#;
    let odd = r#"{"1": {"queue": "archivr", "service": "Archiver"}, "start": [[1, []]]}"#;
    let mut files: Vec<(&str, &str)> = others.iter().map(|name| (&**name, usual)).collect();
    files.extend([("zrecipe.toml", settings), ("r/odd.recipe", odd)]);
    let repository = Repository::new(&files);

    let alone = repository.run(&["check", "r/odd.recipe"]);
    assert!(stderr(&alone).contains("[rare-queue]") || stdout(&alone).contains("[rare-queue]"), "{alone:?}");

    let since = repository.run(&["check", "--since", "HEAD", "."]);
    let said = stdout(&since) + &stderr(&since);
    assert!(said.contains("nothing found") && !said.contains("rare-queue"), "nothing has changed: {said}");

    repository.write(&[("r/odd.recipe", usual)]);
    let diff = repository.run(&["diff", "HEAD", "."]);
    assert!(stdout(&diff).contains("~ step 1 (`Archiver`)"), "{}{}", stdout(&diff), stderr(&diff));
}
