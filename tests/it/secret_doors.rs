//! Secrets of messages at every door through which messages are shown: queues, dead letters, runs, logs and snippets.
//! What is masked is the same everywhere; `secrets` and `recall` test what that is.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;
use zrecipe::message::{Envelope, Outgoing};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::Transport as _;
use zrecipe::value::{Object, Value};

use crate::dlq::bury;
use crate::secrets::{CANARY, MESSAGE, SHAPES, TOKENS};
use crate::service::Place;

/// Texts with a secret, and the secret.
fn shapes() -> Vec<(String, String)> {
    let shapes = SHAPES.iter().map(|text| (text.replace("CANARY", CANARY), CANARY.to_owned()));
    let tokens = TOKENS.iter().map(|(start, rest)| (format!("value {start}{rest} here"), format!("{start}{rest}")));
    shapes.chain(tokens).collect()
}

/// The lines of a text in which a secret stands.
fn leaks(text: &str) -> Vec<&str> {
    let shapes = shapes();
    let is_leak = |line: &&str| shapes.iter().any(|(_, secret)| line.contains(secret));
    text.lines().filter(is_leak).collect()
}

fn shown(mut command: Command) -> String {
    let output = command.output().expect("runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Runs commands, each of which must show so many masks at least, and no secret.
fn hide(place: &Place, commands: &[(&[&str], usize)]) {
    let mut wrong = Vec::new();
    for (arguments, masks) in commands {
        let text = shown(place.command(arguments));
        let (leaks, found) = (leaks(&text), text.matches("•••").count());
        if !leaks.is_empty() || found < *masks {
            wrong.push(format!("{arguments:?} has {found} masks of {masks}, and shows:\n{}", leaks.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The message with a secret in each place, and one with each shape: as a text, and as the words of a command.
fn messages() -> (Object, Vec<String>) {
    let message = read_value(MESSAGE.replace("CANARY", CANARY).as_bytes()).expect("is JSON");
    let headers = message.get("header").and_then(Value::as_object).expect("has headers").clone();
    let body = message.get("message").expect("has a body").to_json();
    let texts: Vec<String> = shapes().into_iter().map(|(text, _)| text).collect();
    let words: Vec<Vec<&str>> = texts.iter().map(|text| text.split(' ').collect()).collect();
    let all = json!({"payload": {"texts": texts, "commands": words}}).to_string();
    (headers, vec![body, all])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_queues_and_dead_letters_are_shown_without_secrets() {
    let place = Place::new().await;
    let (headers, bodies) = messages();
    for queue in ["errors", "out"] {
        for (number, body) in bodies.iter().enumerate() {
            place.send(queue, &format!("{queue}-{number}"), body, headers.clone()).await;
        }
    }
    hide(&place, &[(&["peek", "errors", "-n", "9"], 100), (&["peek", "errors", "-n", "9", "--json"], 100)]);
    // They die, and so do more, of a reason with a secret each.
    let mut deliveries = place.subscribe("out").await;
    for _ in &bodies {
        let delivery = deliveries.next().await.expect("comes");
        let verdict = zrecipe::transport::Verdict::DeadLetter { reason: "no use".into() };
        let settlement = zrecipe::transport::Settlement::of(verdict);
        place.space.settle(&delivery, settlement).await.expect("settles");
    }
    drop(deliveries);
    let count = shapes().len();
    for (number, (reason, _)) in shapes().into_iter().enumerate() {
        bury(&place, &format!("r{number}"), reason).await;
    }
    // Reasons that are alike without their secrets are counted together.
    hide(
        &place,
        &[
            (&["dlq", "list"], 40),
            (&["dlq", "list", "--json"], 40),
            (&["dlq", "show"], count),
            (&["dlq", "show", "--json"], count),
            (&["dlq", "diagnose"], 40),
            (&["dlq", "diagnose", "--json"], count),
            (&["dlq", "rebase", "out", "--onto", "example"], 0),
            (&["peek", "dlq.out", "-n", "100"], count),
            (&["dlq", "purge"], 0),
            // What is in files is the whole message; what is shown of them is not.
            (&["dlq", "list", "DLQ"], 40),
            (&["dlq", "show", "DLQ"], count),
            (&["dlq", "show", "DLQ", "--json"], count),
            (&["dlq", "diagnose", "DLQ", "--json"], count),
            (&["dlq", "reinject", "--dry-run", "DLQ"], 0),
            (&["dlq", "reinject", "--dry-run", "--json", "DLQ"], 0),
        ],
    );
    let days = std::fs::read_dir(place.path("DLQ")).expect("reads").map(|day| day.expect("reads").path());
    let files: Vec<_> = days.flat_map(|day| std::fs::read_dir(day).expect("reads")).collect();
    assert_eq!(files.len(), count + bodies.len());
    for file in files {
        let mode = file.expect("reads").metadata().expect("reads").permissions().mode();
        assert_eq!(mode & 0o077, 0, "others may read a letter");
    }
}

/// The shapes that are secret within a sentence as well. A scheme of `Authorization` without its header is told from
/// the words of one only where nothing else stands.
fn shapes_of_commands() -> Vec<(String, String)> {
    shapes().into_iter().filter(|(text, _)| !text.starts_with("Bearer ")).collect()
}

/// A step that fails with a text as an argument of its command, which it prints.
fn step(words: &serde_json::Value) -> serde_json::Value {
    let mut command = json!(["sh", "-c", "printf '%s\\n' \"$*\"; exit 3", "sh"]);
    command.as_array_mut().expect("a list").extend(words.as_array().expect("a list").iter().cloned());
    json!({"queue": "runner.submission", "parameters": {"workingdir": ".", "commands": [command]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_services_and_letters_of_failed_commands_have_no_secrets() {
    let place = Place::new().await;
    let steps: Vec<_> = shapes_of_commands().iter().map(|(text, _)| step(&text.split(' ').collect())).collect();
    for (number, step) in steps.iter().enumerate() {
        let recipe = read_value(json!({"1": step, "start": [[1, []]]}).to_string().as_bytes()).expect("JSON");
        let message = Envelope::start(recipe, Object::new(), &number.to_string()).expect("starts").remove(0);
        let id = format!("m{number}");
        place.space.send(vec![Outgoing { id, ..message }]).await.expect("sends");
    }
    let mut service = place.service(&["service", "-s", "Runner"]);
    for _ in &steps {
        let line = service.says("outcome=");
        assert!(line.contains("dead-lettered") && line.contains("•••") && leaks(&line).is_empty(), "{line}");
    }
    hide(
        &place,
        &[
            (&["dlq", "list", "--json"], steps.len()),
            (&["dlq", "show"], steps.len()),
            (&["dlq", "diagnose"], 40),
            (&["peek", "dlq.runner.submission", "-n", "100", "--json"], steps.len()),
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_shown_without_secrets() {
    let place = Place::new().await;
    let shapes = shapes_of_commands();
    // As parameters: braces in a recipe are placeholders.
    let name = |number: usize| format!("p{number}");
    let mut recipe: serde_json::Map<String, serde_json::Value> = (0..shapes.len())
        .map(|number| ((number + 1).to_string(), step(&json!([format!("{{{}}}", name(number))]))))
        .collect();
    let first: Vec<_> = (1..=shapes.len()).map(|step| json!([step, []])).collect();
    recipe.insert("start".to_owned(), json!(first));
    let parameters: serde_json::Map<String, serde_json::Value> =
        shapes.iter().enumerate().map(|(number, (text, _))| (name(number), json!(text))).collect();
    place.write("p.json", &serde_json::Value::from(parameters).to_string());
    place.write("r.json", &serde_json::Value::from(recipe).to_string());
    hide(
        &place,
        &[
            (&["run", "r.json", "--params", "p.json", "--param", "guid=it"], shapes.len()),
            (&["show", "it"], shapes.len()),
            (&["show", "it", "--json"], shapes.len()),
            (&["runs", "--json"], 0),
            (&["graph", "--run", "it"], 0),
            (&["graph", "--run", "it", "--format", "html"], 0),
            (&["resume", "it"], shapes.len()),
            (&["resubmit", "it", "--step", "1", "--json"], 0),
        ],
    );
}

/// What surrounds a finding is shown, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snippets_of_findings_have_no_secrets() {
    let place = Place::new().await;
    std::fs::create_dir(place.path("shapes")).expect("makes");
    let shapes = shapes();
    for (number, (text, _)) in shapes.iter().enumerate() {
        let recipe = json!({"1": {"queue": "a", "topic": "b", "parameters": {"x": text, "commands": [text]}}, "start": [[1, text]]});
        place.write(&format!("shapes/{number}.json"), &recipe.to_string());
        place.write(
            &format!("shapes/{number}.yml"),
            &format!("1: {{queue: a, topic: b, parameters: {{x: {}}}}}\nstart: [[1, []]]\n", json!(text)),
        );
    }
    let formats = ["human", "concise", "json", "sarif", "github", "gitlab", "junit"];
    for format in formats {
        // Those that stand near the place of the finding.
        let masks = if format == "human" { 5 } else { 0 };
        hide(&place, &[(&["check", "--format", format, "shapes"], masks)]);
    }
    hide(&place, &[(&["check", "--diff", "--unsafe-fixes", "shapes"], 0), (&["fmt", "--diff", "shapes"], 0)]);
    for (number, _) in shapes.iter().enumerate() {
        let file = format!("shapes/{number}.json");
        hide(&place, &[(&["graph", &file], 0), (&["params", &file], 0)]);
    }
}
