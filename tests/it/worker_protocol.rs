//! The second edition of the worker protocol: a transcript that is played with the host, and its schema.

use zrecipe::message::{Envelope, Outgoing};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::{Destination, Transport as _};
use zrecipe::value::{Object, Value};

use crate::lists::root;
use crate::service::Place;

const CONTRACT: &str = r#"{
  "names": ["Sorter"],
  "queues": ["sort"],
  "channels": { "seen": {} },
  "run": {
    "command": ["python3", "REPLAY", "TRANSCRIPT"],
    "mode": "worker", "prefetch": 1, "plain": true, "sends": ["statistics", "transient.*", "news"]
  }
}"#;

fn lines() -> Vec<(char, serde_json::Value)> {
    let text = std::fs::read_to_string(root().join("tests/worker/transcript.jsonl")).expect("the transcript");
    let line =
        |line: &str| (line.chars().next().expect("a direction"), serde_json::from_str(&line[1..]).expect("JSON"));
    text.lines().map(line).collect()
}

#[test]
fn the_transcript_follows_the_schema() {
    let schema = std::fs::read(root().join("schemas/worker.schema.json")).expect("the schema");
    let schema: serde_json::Value = serde_json::from_slice(&schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a JSON Schema");
    let page = std::fs::read_to_string(root().join("docs/worker-protocol.md")).expect("the page");
    let shown = page.lines().filter(|line| line.starts_with("> {") || line.starts_with("< {"));
    let shown = shown.map(|line| ('-', serde_json::from_str(&line[1..]).expect("JSON")));
    for (_, line) in lines().into_iter().chain(shown) {
        let faults: Vec<String> = validator.iter_errors(&line).map(|fault| fault.to_string()).collect();
        assert_eq!(faults, Vec::<String>::new(), "{line}");
    }
}

fn message(payload: &str) -> Outgoing {
    let recipe = r#"{"1": {"queue": "sort", "output": {"seen": 2}}, "2": {"queue": "out"}, "start": [[1, []]]}"#;
    let environment = Object::from_iter([("ID".to_owned(), Value::from("r"))]);
    let started = Envelope::start(read_value(recipe.as_bytes()).expect("JSON"), environment, payload).expect("starts");
    let message = started.into_iter().next().expect("a message");
    let mut envelope = Envelope::read(&message.headers, &message.body).expect("a recipe message");
    envelope.payload = Value::from(payload);
    Outgoing { id: payload.to_owned(), body: envelope.write().into_bytes(), ..message }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transcript_is_played() {
    let place = Place::new().await;
    std::fs::create_dir(place.path("services")).expect("a folder");
    place.write("zrecipe.toml", "contracts = [\"services/*.json\"]\n");
    let shown = |name: &str| root().join("tests/worker").join(name).to_string_lossy().into_owned();
    let contract = CONTRACT.replace("REPLAY", &shown("replay.py")).replace("TRANSCRIPT", &shown("transcript.jsonl"));
    place.write("services/sorter.json", &contract);
    for queue in ["sort", "statistics"] {
        place.space.declare(queue).await.expect("declares");
    }
    let mut out = place.subscribe("out").await;
    let mut statistics = place.subscribe("statistics").await;
    let mut service = place.service(&["service", "-s", "Sorter"]);
    place.space.send(vec![message("first")]).await.expect("sends");
    let line = service.says("an unusual one");
    assert!(line.contains("WARN") && line.contains("Traceback") && line.contains("recipe_ID=\"r\""), "{line}");
    // The part before the answer and the answer, with the environment.
    for (payload, grade) in [(1, None), (2, Some("a"))] {
        let delivery = place.take(&mut out).await;
        let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
        assert_eq!(envelope.payload, Value::from(payload));
        assert_eq!(envelope.environment.get("n"), Some(&Value::from(1)));
        assert_eq!(delivery.headers.get("grade").and_then(Value::as_str), grade);
    }
    place.space.send(vec![message("second")]).await.expect("sends");
    let delivery = place.take(&mut out).await;
    assert_eq!(Envelope::read(&delivery.headers, &delivery.body).expect("reads").payload, Value::from(3));
    // The checkpoint comes back, and its answer goes to a queue of the service's own.
    let own = place.take(&mut statistics).await;
    assert_eq!(String::from_utf8_lossy(&own.body), r#"{"count":3}"#);
    assert_eq!(own.headers.get("kind"), Some(&Value::from("count")));
    let headers = Object::from_iter([("from".to_owned(), Value::from("a friend"))]);
    let queue = Destination::Queue("sort".to_owned());
    place.space.send(vec![Outgoing::new("plain".to_owned(), queue, headers, b"[1, 2]".to_vec())]).await.expect("sends");
    for expected in ["as it is", r#""heard""#] {
        let own = place.take(&mut statistics).await;
        assert_eq!(String::from_utf8_lossy(&own.body), expected);
    }
    service.says("the service ends itself");
    service.says("played");
    service.ends(0);
}
