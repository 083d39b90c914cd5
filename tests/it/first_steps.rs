//! The first steps of a newcomer with `zrecipe run`: what fails says why, and what is tried again says so.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

struct Place(tempfile::TempDir);

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().expect("can be made"));
        for (name, text) in files {
            std::fs::write(place.path(name), text).expect("can be written");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_zrecipe"));
        let bin = program.parent().expect("has a directory");
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default()));
        command.env("ZRECIPE_STATE", self.path("state")).env_remove("ZOCALO_CONFIG").env_remove("ZRECIPE_RUN");
        command
    }

    /// What a command prints, and its exit code.
    fn zrecipe(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.command(arguments).output().expect("starts");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("is UTF-8");
        (text, output.status.code().expect("ends"))
    }
}

const SETTINGS: (&str, &str) = ("zrecipe.toml", "contracts = [\"service.json\"]\n");
const SERVICE: (&str, &str) = (
    "service.json",
    r#"{ "names": ["S"], "queues": ["s"], "channels": { "failure": {} }, "run": { "command": ["python3", "service.py"] } }"#,
);

#[test]
fn a_retry_says_attempt_and_pause_and_an_interrupted_run_shows_it() {
    let recipe = r#"{ "1": { "service": "S", "queue": "s" }, "start": [[1, []]] }"#;
    let place = Place::new(&[
        SETTINGS,
        SERVICE,
        ("service.py", "import sys\nprint('the disk is away', file=sys.stderr)\nsys.exit(75)\n"),
        ("r.json", recipe),
    ]);
    let mut child = place.command(&["run", "r.json"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stderr.take().expect("is piped")).lines();
    let mut told = String::new();
    let attempt = lines
        .by_ref()
        .map(|line| line.expect("is UTF-8"))
        .inspect(|line| told.push_str(line))
        .find(|line| line.contains("attempt"));
    let attempt = attempt.unwrap_or_else(|| panic!("no attempt is mentioned: {told}"));
    for part in ["step 1 (S): attempt 1 of 6 failed after ", "the disk is away", "; next attempt in "] {
        assert!(attempt.contains(part), "{attempt}");
    }
    kill_process(Pid::from_child(&child), Signal::INT).expect("is ours");
    let rest: String = lines.map(|line| line.expect("is UTF-8") + "\n").collect();
    let output = child.wait_with_output().expect("ends");
    let table = String::from_utf8(output.stdout).expect("is UTF-8");
    assert!(table.contains("retried") && !table.contains("not reached"), "{table}");
    assert!(rest.contains("step 1: attempt") && rest.contains("the disk is away"), "{rest}");
    let id =
        rest.split("zrecipe resume ").nth(1).and_then(|rest| rest.split('`').next()).expect("names the run").to_owned();
    let (shown, _) = place.zrecipe(&["show", &id]);
    assert!(shown.contains("retried") && shown.contains("the disk is away"), "{shown}");
    let (listed, _) = place.zrecipe(&["runs"]);
    assert!(listed.contains(&id[..8]) && !listed.contains(&id), "{listed}");
}

#[test]
fn a_directory_that_cannot_be_created_fails_at_once() {
    let place = Place::new(&[]);
    let (text, code) = place.zrecipe(&["run", "example", "-p", "workingdir=/proc/x"]);
    assert!(code == 1 && text.contains("cannot use `workingdir`: /proc/x"), "{text}");
    assert!(!text.contains("attempt") && text.contains("dead-lettered"), "{text}");
}

#[test]
fn a_traceback_is_shown_whole() {
    let recipe = r#"{ "1": { "service": "S", "queue": "s", "output": { "failure": 2 } },
      "2": { "queue": "jsonlines", "parameters": { "output_filename": "{out}" } }, "start": [[1, []]] }"#;
    let program = "def find(spot):\n    return {}[spot]\n\nfind('third')\n";
    let place = Place::new(&[SETTINGS, SERVICE, ("service.py", program), ("r.json", recipe)]);
    let out = place.path("out").to_string_lossy().into_owned();
    let (text, code) = place.zrecipe(&["run", "r.json", "-p", &format!("out={out}")]);
    assert_eq!(code, 1, "{text}");
    for part in ["Traceback (most recent call last)", "line 2, in find", "KeyError: 'third'"] {
        assert!(text.contains(part), "{text}");
    }
    let id = text.split("run ").nth(1).and_then(|rest| rest.split(' ').next()).expect("names the run").to_owned();
    let (shown, _) = place.zrecipe(&["show", &id]);
    assert!(shown.contains("| Traceback (most recent call last)") && shown.contains("|   File "), "{shown}");
}

/// A wrapped program in a command of Runner reports to the steps of its run.
#[test]
fn wrapped_programs_report_to_their_run() {
    let recipe = r#"{
      "1": { "service": "Runner", "queue": "runner.submission",
             "parameters": { "workingdir": "{dir}", "recipewrapper": "{dir}/wrapper.json", "output_file": "log",
                             "commands": ["zrecipe wrap --wrap task --recipewrapper $RECIPEWRAP -- true"] },
             "output": { "success": 2 } },
      "2": { "queue": "jsonlines", "parameters": { "output_filename": "{dir}/out" } },
      "start": [[1, []]]
    }"#;
    let place = Place::new(&[("r.json", recipe)]);
    let directory = place.0.path().to_string_lossy().into_owned();
    let (text, code) = place.zrecipe(&["run", "r.json", "-p", &format!("dir={directory}")]);
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap_or_default();
    assert_eq!(code, 0, "{text}\n{}", read("log"));
    assert!(!text.contains("not reached") && read("out").contains("Finished processing"), "{text}\n{}", read("log"));
}

/// `-p` passes text; the way out names the option that fits the inferred type.
#[test]
fn help_names_the_option_that_fits_the_type() {
    let recipe = r#"{ "1": { "queue": "a", "parameters": { "r": "{r:.2f}", "s": "{s[name]}" } }, "start": [[1, []]] }"#;
    let place = Place::new(&[("r.json", recipe)]);
    let (text, code) = place.zrecipe(&["expand", "r.json", "-p", "r=1.8", "-p", "s=x"]);
    assert!(code == 1 && text.contains("--param-json r=1.8") && text.contains("--param-json s='{…}'"), "{text}");
    let (text, code) =
        place.zrecipe(&["expand", "r.json", "--param-json", "r=1.8", "--param-json", r#"s={"name": 1}"#]);
    assert!(code == 0 && text.contains("\"r\": \"1.80\""), "{text}");
}
