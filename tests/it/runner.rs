//! Commands that do not end by themselves, print too much, or reach for what is not theirs.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use zrecipe::message::{Envelope, Outgoing};
use zrecipe::transport::Transport as _;
use zrecipe::transport::embedded::Census;
use zrecipe::value::{Object, Value};

use crate::run::{self, processes, unique_seconds, wait_until};
use crate::service;
use crate::wait::eventually;

/// Ends neither when it is asked to nor when its parents have ended, and leaves its session.
const STUBBORN: &str = r#"
trap '' TERM
echo begun
setsid sh -c 'sleep SECONDS & exit' &
exec sleep SECONDS
"#;

#[test]
fn nothing_is_left_of_commands_that_outlive_their_time() {
    const RUNS: usize = 100;
    let (place, seconds) = (run::Place::new(), unique_seconds());
    std::fs::write(place.path("stubborn"), STUBBORN.replace("SECONDS", &seconds)).expect("writes");
    std::fs::write(place.path("zrecipe.toml"), "[runner.limits]\ngrace = 0.05\n").expect("writes");
    let step = json!({
        "queue": "runner.submission",
        "parameters": {"workingdir": ".", "commands": ["sh stubborn"], "timeout": 0.5, "output_file": "out.txt"},
    });
    let mut recipe = json!({"start": (1..=RUNS).map(|id| json!([id, []])).collect::<Vec<_>>()});
    (1..=RUNS).for_each(|id| recipe[id.to_string()] = step.clone());
    let recipe = place.recipe("r.json", &recipe);
    place.zrecipe(&["run", &recipe, "--jobs", "25", "--param", "guid=it"]).ends(1);
    assert_eq!(processes(&["sleep", &seconds]).len(), 0, "all are gone when the run is over");
    let shown = place.show("it");
    let messages = shown["messages"].as_array().expect("has messages");
    let count = |outcome: &str| messages.iter().filter(|message| message["outcome"] == outcome).count();
    assert_eq!(count("dead-lettered"), RUNS);
    assert!(place.read("out.txt").contains("begun"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_the_commands_of_a_service_that_is_killed() {
    let (place, seconds) = (service::Place::new().await, unique_seconds());
    let script = format!("[ -e begun ] && exit 0; touch begun\n{}", STUBBORN.replace("SECONDS", &seconds));
    place.write("stubborn", &script);
    let recipe = r#"{"1": {"queue": "runner.submission", "output": 2,
        "parameters": {"workingdir": ".", "commands": ["sh stubborn"], "timeout": 1000}}, "2": {"queue": "out"},
        "start": [[1, []]]}"#;
    let recipe = zrecipe::syntax::json::read_value(recipe.as_bytes()).expect("JSON");
    let message: Vec<Outgoing> = Envelope::start(recipe, Object::new(), "request").expect("starts");
    place.space.send(message).await.expect("sends");
    let mut out = place.subscribe("out").await;
    let first = place.service(&["service", "-s", "Runner"]);
    let sleeping = || processes(&["sleep", &seconds]).len();
    wait_until("the command and its orphan run", || sleeping() == 2);
    first.signal(Signal::KILL);
    wait_until("both are gone", || sleeping() == 0);
    let _second = place.service(&["service", "-s", "Runner"]);
    let sent = place.take(&mut out).await;
    let envelope = Envelope::read(&sent.headers, &sent.body).expect("a recipe message");
    assert_eq!(envelope.payload, Value::from([("processed", true)]));
    // Whatever was to come of it has come when nothing is left to do; one more would be held here.
    eventually("it is dealt with once", async || place.space.census().await.expect("census") == Census::default())
        .await;
}

#[test]
fn what_commands_may_is_in_the_settings() {
    let seconds = unique_seconds();
    let leaves = format!("sleep {seconds} & echo left");
    // Settings, command, channel of the outcome, what the step's record says, what is in the output.
    let rows = [
        (
            "limits.silence = 3",
            "sh -c $A",
            "echo a; sleep 60",
            "`sh -c $A` was stopped after 3 seconds without output",
            "a\n",
        ),
        (
            "limits.output = 5",
            "sh -c $A",
            "echo one; echo two",
            "",
            "one\nt\n[zrecipe: the limit of 5 bytes is reached",
        ),
        (
            "limits.cpu = 1",
            "sh -c $A",
            "while :; do :; done",
            "`sh -c $A` was killed at the limit of its processor time",
            "",
        ),
        (
            "limits.file-size = 1000",
            "sh -c $A",
            "exec dd if=/dev/zero of=big bs=2000 count=1 2>/dev/null",
            "`sh -c $A` was killed at the limit of the size of its files",
            "",
        ),
        ("limits.open-files = 20", "sh -c $A", "ulimit -n", "", "20\n"),
        ("limits.memory = 1073741824", "sh -c $A", "ulimit -v", "", "1048576\n"),
        ("environment = [\"PATH\", \"GIV*\"]", "sh -c $A", "echo $GIVEN $NOT", "", "given\n"),
        ("", "sh -c $A", "echo $GIVEN $NOT; cat", "", "given not\n"),
        ("", "sh -c $A", &leaves, "", "left\n"),
        ("roots = [\"inside\"]", "true", "", "is outside of the directories that services may write to", ""),
    ];
    for (settings, command, script, reason, output) in rows {
        let place = run::Place::new();
        std::fs::write(place.path("zrecipe.toml"), format!("[runner]\n{settings}\n")).expect("writes");
        let command: Vec<&str> = command.split(' ').map(|word| if word == "$A" { script } else { word }).collect();
        let reason = reason.replace("$A", script);
        let recipe = place.recipe(
            "r.json",
            &json!({
                "1": {
                    "queue": "runner.submission",
                    "parameters": {"workingdir": ".", "commands": [command], "output_file": "out.txt"},
                },
                "start": [[1, []]],
            }),
        );
        let mut ran = place.command(&["run", &recipe]);
        let ran = run::Ran::from(ran.env("GIVEN", "given").env("NOT", "not").output().expect("starts"));
        ran.ends(i32::from(!reason.is_empty())).says(&reason);
        let printed = place.read("out.txt");
        assert!(printed.starts_with(output), "{settings}: {printed}");
    }
    assert_eq!(processes(&["sleep", &seconds]).len(), 0, "what a command leaves behind is ended");
}

#[test]
fn files_with_data_of_the_run_are_nobody_elses() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = run::Place::new();
    let recipe = place.recipe("r.json", &json!({
        "1": {
            "queue": "runner.submission",
            "parameters": {
                "workingdir": "inside", "commands": ["cat $RECIPEENV"], "recipewrapper": "wrap", "recipeenvironment": "env",
            },
        },
        "start": [[1, []]],
    }));
    place.zrecipe(&["run", &recipe]).ends(0);
    for name in ["inside/wrap", "inside/env"] {
        let mode = std::fs::metadata(place.path(name)).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

/// A message for the service that adds lines to files.
fn line(id: &str, file: &Path, more: &str) -> Vec<Outgoing> {
    let file = Value::from(file.to_string_lossy().into_owned()).to_json();
    let recipe = format!(
        r#"{{"1": {{"queue": "jsonlines", "parameters": {{"output_filename": {file}{more}}}}}, "start": [[1, {{"id": "{id}", "é": 1}}]]}}"#
    );
    let recipe = zrecipe::syntax::json::read_value(recipe.as_bytes()).expect("JSON");
    Envelope::start(recipe, Object::new(), id).expect("starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_written_once_and_a_file_holds_up_no_other() {
    const LINES: usize = 300;
    let place = service::Place::new().await;
    place.space.declare("jsonlines").await.expect("declares");
    place.write("zrecipe.toml", "[runner]\nroots = [\"data\"]\n");
    let target = place.path("data/new/lines.jsonl");
    std::fs::create_dir_all(place.path("data/directory")).expect("makes");
    let locked = std::fs::File::create(place.path("data/locked")).expect("makes");
    locked.lock().expect("locks");
    for message in [
        // Can be written later perhaps, …
        line("blocked", &place.path("data/locked"), ""),
        // … and never.
        line("directory", &place.path("data/directory"), ""),
        line("outside", &place.path("elsewhere"), ""),
        line("without", Path::new(""), ""),
        line("odd", &target, r#", "include": 5"#),
    ] {
        place.space.send(message).await.expect("sends");
    }
    for n in 0..LINES {
        place.space.send(line(&format!("m{n}"), &target, r#", "include": ["id"]"#)).await.expect("sends");
    }
    let lines = || std::fs::read_to_string(&target).unwrap_or_default().lines().count();
    for kill in 0..4 {
        let service = place.service(&["service", "-s", "JSONLines"]);
        let enough = if kill < 3 { lines() + 40 } else { LINES };
        wait_until("lines are written", || lines() >= enough.min(LINES));
        if kill >= 3 {
            // What was written and not settled comes again before this is settled.
            place.space.send(line("last", &target, "")).await.expect("sends");
            wait_until("the last line", || lines() > LINES);
        }
        service.signal(Signal::KILL);
    }
    let text = std::fs::read_to_string(&target).expect("reads");
    let found: Vec<&str> = text.lines().collect();
    let mut expected: Vec<String> = (0..LINES).map(|n| format!(r#"{{"id": "m{n}"}}"#)).collect();
    expected.push(r#"{"id": "last", "\u00e9": 1}"#.to_owned());
    assert_eq!(found, expected, "in the order in which they were sent");
    let dead = place.dead("jsonlines", 4).await;
    let reasons: Vec<&str> = dead.iter().map(|(_, reason)| reason.as_str()).collect();
    for part in [
        "it is a directory",
        "is outside of the directories",
        "parameter `output_filename` ",
        "parameter `include` is `5`, not a list",
    ] {
        assert!(reasons.iter().any(|reason| reason.contains(part)), "{part}: {reasons:?}");
    }
    assert!(!place.path("elsewhere").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_wait_are_written_in_order() {
    const LINES: usize = 250;
    for run in 0..20 {
        let kills = [0, 2, 5, 1, 3][run % 5];
        let place = service::Place::new().await;
        place.space.declare("jsonlines").await.expect("declares");
        let target = place.path("lines.jsonl");
        let messages = (0..LINES).flat_map(|n| line(&format!("m{n}"), &target, r#", "include": ["id"]"#)).collect();
        place.space.send(messages).await.expect("sends");
        let lines = || std::fs::read_to_string(&target).unwrap_or_default().lines().count();
        for kill in 0..=kills {
            let service = place.service(&["service", "-s", "JSONLines"]);
            let enough = if kill < kills { (lines() + 30).min(LINES) } else { LINES };
            wait_until("lines are written", || lines() >= enough);
            service.signal(Signal::KILL);
        }
        let expected: String = (0..LINES).map(|n| format!("{{\"id\": \"m{n}\"}}\n")).collect();
        assert_eq!(std::fs::read_to_string(&target).expect("reads"), expected, "run {run}, {kills} kills");
    }
}
