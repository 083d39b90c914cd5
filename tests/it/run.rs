//! Runs on the embedded broker, from outside: the program is started, killed and started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A directory with a state of its own.
pub struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("ZRECIPE_STATE", self.path("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn zrecipe(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().expect("starts"))
    }

    pub fn recipe(&self, name: &str, recipe: &Value) -> String {
        std::fs::write(self.path(name), recipe.to_string()).expect("writes");
        name.to_owned()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn show(&self, id: &str) -> Value {
        serde_json::from_str(&self.zrecipe(&["show", id, "--json"]).stdout).expect("is JSON")
    }
}

#[derive(Debug)]
pub struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("is UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    pub fn stdout(&self) -> &str {
        &self.stdout
    }

    pub fn stderr(&self) -> &str {
        &self.stderr
    }

    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, what: &str) -> Self {
        assert!(self.stderr.contains(what), "not said: {what}\n{}", self.stderr);
        self
    }
}

/// A step of the runner that appends a line to `out.txt`.
fn step(command: &str, output: Value) -> Value {
    json!({
        "queue": "runner.submission",
        "parameters": {"workingdir": ".", "commands": [command], "output_file": "out.txt"},
        "output": output,
    })
}

pub use crate::wait::wait_until;

#[test]
fn bundled_recipes_are_checked_drawn_and_run() {
    let sample = r#"sample={"name": "lysozyme", "words": ["echo", "two  words"]}"#;
    // Recipe, exit code, file, lines that it holds.
    let expected: [(&str, i32, &str, &[&str]); 5] = [
        ("channels", 0, "channels.txt", &["counted"]),
        ("example", 0, "zocalo_out.txt", &["Congratulations! This is your first zocalo output!"]),
        ("failures", 1, "failures.txt", &["dealt with the failure", "dealt with the time-out"]),
        ("fan-out", 0, "fan-out.txt", &["left", "middle", "right", "collected"]),
        ("parameters", 0, "parameters.txt", &["two  words", "{braces} stay"]),
    ];
    let names: Vec<&str> = zrecipe::library::BUILT_IN.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, expected.map(|(name, ..)| name), "every built-in recipe is run here");
    for (name, code, file, lines) in expected {
        let place = Place::new();
        let path = format!("{}/recipes/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let checked = place.zrecipe(&["check", &path]).ends(0);
        assert_eq!(checked.stdout, "checked 1 recipe: nothing found\n", "{name}");
        assert!(place.zrecipe(&["graph", name]).ends(0).stdout.starts_with("flowchart"));
        place.zrecipe(&["run", name, "--param", "workingdir=.", "--param-json", sample]).ends(code);
        let written = place.read(file);
        for line in lines {
            assert!(written.lines().any(|written| written == *line), "{name} writes `{line}`:\n{written}");
        }
    }
}

#[test]
fn killed_at_any_moment_a_run_is_gone_on_with_and_nothing_is_lost_or_repeated() {
    const CHAINS: usize = 4;
    const LENGTH: usize = 50;
    const KILLS: usize = 40;
    let place = Place::new();
    let mut recipe = json!({"start": (0..CHAINS).map(|chain| json!([chain * LENGTH + 1, []])).collect::<Vec<_>>()});
    for id in 1..=CHAINS * LENGTH {
        let output = if id % LENGTH == 0 { json!([]) } else { json!(id + 1) };
        recipe[id.to_string()] = step(&format!("echo step-{id}"), output);
    }
    let recipe = place.recipe("long.json", &recipe);
    let mut child = place.command(&["run", &recipe, "--param", "guid=long"]).spawn().expect("starts");
    wait_until("the run is known", || place.zrecipe(&["runs"]).stdout.contains("long"));
    let mut kills = 0;
    let lines = || place.read("out.txt").lines().count();
    loop {
        // As soon as it is started, or when so many more commands have written their line.
        let enough = lines() + kills % 6;
        let ended = loop {
            match child.try_wait().expect("can be waited for") {
                Some(status) => break Some(status),
                None if kills < KILLS && lines() >= enough => break None,
                None => std::thread::yield_now(),
            }
        };
        match ended {
            Some(status) => {
                let stderr = Ran::from(child.wait_with_output().expect("has ended")).stderr;
                assert!(status.success(), "{stderr}");
                break;
            }
            None => {
                child.kill().expect("can be killed");
                child.wait().expect("has ended");
                kills += 1;
                place.zrecipe(&["audit", "balance"]).ends(0);
                child = place.command(&["resume", "long"]).spawn().expect("starts");
            }
        }
    }
    assert_eq!(kills, KILLS);
    let mut lines: Vec<String> = place.read("out.txt").lines().map(str::to_owned).collect();
    lines.sort();
    let mut expected: Vec<String> = (1..=CHAINS * LENGTH).map(|id| format!("step-{id}")).collect();
    expected.sort();
    assert_eq!(lines, expected, "after {kills} kills");
    place.zrecipe(&["audit", "balance"]).ends(0);
}

#[test]
fn a_queue_without_a_service_is_reported_before_anything_starts() {
    let place = Place::new();
    let recipe = place.recipe(
        "r.json",
        &json!({
            "1": step("touch started", json!(2)), "2": {"queue": "images"}, "start": [[1, []]],
        }),
    );
    let ran = place.zrecipe(&["run", &recipe]).ends(2);
    assert!(ran.stderr.contains("no service consumes queue `images` of step `2`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("r.json:1:"), "{}", ran.stderr);
    assert!(!place.path("started").exists());
    assert!(!place.zrecipe(&["runs"]).ends(0).stdout.contains("r.json"));
}

#[test]
fn what_goes_wrong_is_in_the_exit_code_and_in_the_record() {
    // What the contract says is seen before the run; this only if it is not overruled.
    let overruled = "[rules]\nundefined-replace = \"warning\"\n";
    let bad = json!({
        "queue": "runner.submission",
        "parameters": {"workingdir": ".", "commands": "{$REPLACE:nothing}"},
    });
    let slow = json!({
        "queue": "runner.submission",
        "parameters": {"workingdir": ".", "commands": ["sleep 30"], "timeout": 0.2},
    });
    let hostile = json!({
        "queue": "runner.submission",
        "parameters": {"workingdir": ".", "commands": [["false", "\u{1b}[31m", "x".repeat(2000)]]},
    });
    let loud = json!({
        "queue": "runner.submission",
        "parameters": {"workingdir": ".", "commands": [["sh", "-c", "echo one >&2; echo two; exit 3"]]},
        "output": {"job_processed": []},
    });
    let taken = step("false", json!({"failure": 2}));
    // First step, what is said, outcome of it in the record.
    let rows = [
        (step("false", json!([])), "step 1 was dead-lettered: `false` ended with exit status 1", "dead-lettered"),
        (step("no-such-program", json!([])), "`no-such-program` cannot be started", "dead-lettered"),
        (hostile, "step 1 was dead-lettered: `false ␛[31m xxx", "dead-lettered"),
        (slow, "`sleep 30` was stopped after 0.2 seconds", "dead-lettered"),
        (
            loud,
            "`sh -c echo one >&2; echo two; exit 3` ended with exit status 3; its last output: one␊two",
            "dead-lettered",
        ),
        (taken, "step 1 failed: `false` ended with exit status 1", "failed"),
        (bad, "step 1 was dead-lettered: parameter `commands` is null, not a string or a list", "dead-lettered"),
    ];
    for (first, said, outcome) in rows {
        let place = Place::new();
        let mut recipe = json!({"1": first, "start": [[1, []]]});
        if outcome == "failed" {
            recipe["2"] = step("true", json!([]));
        }
        let recipe = place.recipe("r.json", &recipe);
        std::fs::write(place.path("zrecipe.toml"), overruled).expect("writes");
        let ran = place.zrecipe(&["run", &recipe, "--param", "guid=it"]).ends(1).says(said);
        assert!(ran.stdout.contains(outcome), "{}", ran.stdout);
        assert!(ran.stderr.lines().all(|line| line.len() < 1000), "{}", ran.stderr);
        let shown = place.show("it");
        let messages = shown["messages"].as_array().expect("has messages");
        let first = messages.iter().find(|message| message["step"] == 1).expect("has the step");
        assert_eq!(first["outcome"], outcome);
        assert!(place.zrecipe(&["runs"]).stdout.contains("failed"));
        place.zrecipe(&["resume", "it"]).ends(1).says(said);
    }
}

#[test]
fn a_run_that_is_interrupted_says_how_to_go_on_and_leaves_no_process() {
    let place = Place::new();
    let seconds = unique_seconds();
    let recipe = place.recipe(
        "r.json",
        &json!({
            "1": step("echo first", json!(2)), "2": step(&format!("sleep {seconds}"), json!([])), "start": [[1, []]],
        }),
    );
    let child = place.command(&["run", &recipe, "--param", "guid=it"]).spawn().expect("starts");
    let sleeping = || processes(&["sleep", &seconds]).len();
    wait_until("the second step runs", || sleeping() == 1);
    let busy = place.zrecipe(&["resume", "it"]).ends(2);
    assert!(busy.stderr.contains("in use by another process"), "{}", busy.stderr);
    terminate(&child);
    let ran = Ran::from(child.wait_with_output().expect("ends")).ends(2).says("resume it with `zrecipe resume it`");
    assert!(ran.stderr.contains("interrupted"));
    wait_until("the program is gone", || sleeping() == 0);
    assert!(place.zrecipe(&["runs"]).stdout.contains("interrupted"));
    assert_eq!(place.show("it")["outstanding"][0]["step"], 2);
}

#[test]
fn runs_in_one_state_directory_do_not_take_each_others_messages() {
    let place = Place::new();
    let mut children = Vec::new();
    for run in ["a", "b", "c"] {
        let chain: Value = (1..=5)
            .map(|id| {
                let mut step = step(&format!("echo {run}{id}"), if id < 5 { json!(id + 1) } else { json!([]) });
                step["parameters"]["output_file"] = json!(format!("{run}.txt"));
                (id.to_string(), step)
            })
            .chain([("start".to_owned(), json!([[1, []]]))])
            .collect::<serde_json::Map<_, _>>()
            .into();
        let recipe = place.recipe(&format!("{run}.json"), &chain);
        let guid = format!("guid={run}");
        children.push(place.command(&["run", &recipe, "--param", &guid]).spawn().expect("starts"));
    }
    for child in children {
        Ran::from(child.wait_with_output().expect("ends")).ends(0);
    }
    for run in ["a", "b", "c"] {
        let expected: String = (1..=5).map(|id| format!("{run}{id}\n")).collect();
        assert_eq!(place.read(&format!("{run}.txt")), expected);
        let shown = place.show(run);
        assert_eq!(shown["messages"].as_array().map(Vec::len), Some(6), "the request and five steps");
    }
}

#[test]
fn a_delayed_step_waits() {
    let place = Place::new();
    let mut second = step("echo second", json!([]));
    second["transport-delay"] = json!(0.5);
    let recipe = place.recipe("r.json", &json!({"1": step("echo first", json!(2)), "2": second, "start": [[1, []]]}));
    let begun = Instant::now();
    place.zrecipe(&["run", &recipe]).ends(0);
    assert!(begun.elapsed() >= Duration::from_millis(500));
    assert_eq!(place.read("out.txt"), "first\nsecond\n");
}

#[test]
fn files_for_commands_are_written_and_named() {
    let place = Place::new();
    let recipe = place.recipe("r.json", &json!({
        "1": {
            "queue": "runner.special.submission",
            "parameters": {
                "workingdir": "{dir}", "commands": ["cat $RECIPEWRAP $RECIPEENV", ["cp", "$RECIPEFILE", "copy $RECIPEPOINTER"]],
                "recipewrapper": "wrap", "recipeenvironment": "env", "recipefile": "file", "output_file": "out.txt",
            },
        },
        "start": [[1, {"hello": "there"}]],
    }));
    place.zrecipe(&["run", &recipe, "--param", "dir=deep/er", "--param", "guid=it"]).ends(0);
    let file =
        |name: &str| -> Value { serde_json::from_str(&place.read(&format!("deep/er/{name}"))).expect("is JSON") };
    assert_eq!(file("wrap")["payload"], json!({"hello": "there"}));
    assert_eq!(file("wrap")["recipe-pointer"], json!(1));
    assert_eq!(file("env"), json!({"ID": "it"}));
    assert_eq!(file("copy 1")["1"]["parameters"]["workingdir"], "deep/er");
    assert!(place.read("deep/er/out.txt").contains("recipe-pointer"));
}

/// Seconds for which nothing else on this machine sleeps, so that `sleep` can be told from that of other tests and of
/// other runs of this one.
pub fn unique_seconds() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    (100_000_000 + u64::from(std::process::id()) * 100 + u64::from(count)).to_string()
}

/// Ids of processes whose command line is this.
pub fn processes(arguments: &[&str]) -> Vec<u32> {
    let command_line: String = arguments.iter().map(|argument| format!("{argument}\0")).collect();
    let entries = std::fs::read_dir("/proc").expect("there are processes").filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let found = std::fs::read(Path::new("/proc").join(entry.file_name()).join("cmdline")).ok()?;
            (found == command_line.as_bytes()).then_some(id)
        })
        .collect()
}

fn terminate(child: &Child) {
    let status = Command::new("kill").arg(child.id().to_string()).status().expect("kill runs");
    assert!(status.success());
}

#[test]
fn a_step_is_sent_again_and_what_follows_from_it() {
    let place = Place::new();
    let step = |script: &str, output: Value| {
        let parameters = json!({"workingdir": ".", "commands": [["sh", "-c", script]]});
        json!({"queue": "runner.submission", "parameters": parameters, "output": output})
    };
    let chain = json!({
        "1": step("echo one >>log.txt", json!({"job_processed": 2})),
        "2": step("echo two >>log.txt; test -e fine", json!({"job_processed": 3})),
        "3": step("echo three >>log.txt", json!({})),
        "start": [[1, {"n": 1}]]
    });
    let recipe = place.recipe("chain.json", &chain);
    place.zrecipe(&["run", &recipe, "-p", "guid=chain"]).ends(1);
    assert_eq!(place.read("log.txt"), "one\ntwo\n");
    // The recipe is the one of then, whatever becomes of the file.
    std::fs::remove_file(place.path("chain.json")).expect("is removed");
    std::fs::write(place.path("fine"), "").expect("is written");
    place.zrecipe(&["resubmit", "chain", "--step", "4"]).ends(2).says("the recipe has no step 4");
    place.zrecipe(&["resubmit", "chain", "--step", "3"]).ends(2).says("the input of step 3 was not recorded");
    let dry = place.zrecipe(&["resubmit", "ch", "--step", "2", "--dry-run", "--json"]).ends(0);
    let dry: Value = serde_json::from_str(&dry.stdout).expect("is JSON");
    assert_eq!((&dry[0]["step"], &dry[0]["destination"]), (&json!(2), &json!("runner.submission")));
    assert_eq!(place.read("log.txt"), "one\ntwo\n");
    place.zrecipe(&["resubmit", "chain", "--step", "2"]).ends(0);
    assert_eq!(place.read("log.txt"), "one\ntwo\ntwo\nthree\n");
    let runs: Value = serde_json::from_str(&place.zrecipe(&["runs", "--json"]).stdout).expect("is JSON");
    assert_eq!(runs["runs"][0]["state"], "finished");
    let outcomes: Vec<(Value, Value)> = place.show("chain")["messages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|message| (message["step"].clone(), message["path"].clone()))
        .filter(|(step, _)| !step.is_null())
        .collect();
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
    assert_eq!((&outcomes[2], &outcomes[3]), (&(json!(2), json!([1])), &(json!(3), json!([1, 2]))));
    // Without a step, from the start.
    place.zrecipe(&["resubmit", "chain"]).ends(0);
    assert_eq!(place.read("log.txt"), "one\ntwo\ntwo\nthree\none\ntwo\nthree\n");
}

/// Its contract has `spots`, the step connects it, and what it sends goes elsewhere.
#[test]
fn an_output_on_a_channel_that_the_step_does_not_have_fails_the_run() {
    // The channels of the contract, the channel of the output, the output of the step, the exit code, what is said.
    let spots = Some(json!({"spots": {}, "other": {}}));
    let rows = [
        (spots.clone(), "spots", json!({"spots": 2}), 0, ""),
        (
            spots.clone(),
            "spotz",
            json!({"spots": 2}),
            1,
            "step 1 sent on channel `spotz`, which the step does not have",
        ),
        // One that the contract has need not be connected.
        (spots.clone(), "other", json!({"spots": 2}), 0, ""),
        (spots, "", json!({"spots": 2}), 1, "step 1 sent an output without a channel"),
        (None, "spotz", json!({"spots": 2}), 1, "step 1 sent on channel `spotz`"),
        (None, "spots", json!({"spots": 2}), 0, ""),
        (None, "", json!([2]), 0, ""),
        (None, "", json!([]), 0, ""),
    ];
    for (channels, channel, output, code, said) in rows {
        let place = Place::new();
        let channel = if channel.is_empty() { json!({}) } else { json!({"channel": channel}) };
        let mut line = channel;
        line["payload"] = json!(1);
        let script = format!("echo '{line}' >>\"$ZRECIPE_RESULTS\"");
        let mut contract = json!({"names": ["Find"], "queues": ["find"], "run": {"command": ["sh", "-c", script]}});
        if let Some(channels) = channels {
            contract["channels"] = channels;
        }
        std::fs::write(place.path("find.json"), contract.to_string()).expect("writes");
        std::fs::write(place.path("zrecipe.toml"), "contracts = [\"find.json\"]\n").expect("writes");
        let taken = output != json!([]);
        let mut recipe = json!({"1": {"queue": "find", "output": output}, "start": [[1, []]]});
        if taken {
            recipe["2"] = step("true", json!([]));
        }
        let recipe = place.recipe("r.json", &recipe);
        place.zrecipe(&["run", &recipe, "-p", "guid=it"]).ends(code).says(said);
        let runs: Value = serde_json::from_str(&place.zrecipe(&["runs", "--json"]).stdout).expect("is JSON");
        assert_eq!(runs["runs"][0]["state"], if code == 0 { "finished" } else { "failed" });
    }
}
