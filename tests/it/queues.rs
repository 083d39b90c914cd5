//! The queues of the embedded broker, from outside: seen, looked into, drained and emptied.

use rustix::process::Signal;
use serde_json::json;
use zrecipe::message::Envelope;
use zrecipe::value::{Object, Value};

use crate::dlq::{bury, json, run, text};
use crate::service::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_seen_with_their_dead_letters() {
    let place = Place::new().await;
    bury(&place, "dead", "no such file").await;
    for id in ["a", "b", "c"] {
        place.send("out", id, "{}", Object::new()).await;
    }
    place.send("errors", "e", "{}", Object::new()).await;
    // One is with a consumer.
    let mut errors = place.subscribe("errors").await;
    errors.next().await.expect("comes");
    let queues = json(&run(&place, &["queues", "--json"], 0));
    let numbers: Vec<_> = queues["queues"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|queue| {
            let number = |key: &str| queue[key].as_i64();
            (queue["name"].as_str().expect("a name"), number("ready"), number("unacknowledged"), number("dead"))
        })
        .collect();
    assert_eq!(
        numbers,
        [
            ("out", Some(3), Some(0), Some(1)),
            ("errors", Some(0), Some(1), Some(0)),
            ("processing_recipe", Some(0), Some(0), Some(0)),
            ("runner.submission", Some(0), Some(0), Some(0)),
        ]
    );
    let out = &queues["queues"][0];
    assert!(out["oldest_seconds"].as_f64().is_some_and(|age| age < 60.0), "{out}");
    // Four have come within the last minute, and one of them has died.
    let rate = |key: &str| (out[key].as_f64().expect("a rate") * 60.0).round();
    assert_eq!((rate("in_per_second"), rate("out_per_second")), (4.0, 1.0), "{out}");
    let table = |arguments: &[&str]| text(&run(&place, arguments, 0).stdout);
    let names = |table: &str| {
        table.lines().skip(1).map(|row| row.split(' ').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        names(&table(&["queues", "*r*", "--sort", "name"])),
        ["dlq.out", "errors", "processing_recipe", "runner.submission"].map(str::to_owned)[1..]
    );
    assert_eq!(names(&table(&["queues", "--sort", "oldest"]))[..2], ["out", "errors"]);
    assert_eq!(names(&table(&["queues", "dlq.out"])), ["dlq.out"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_into_a_queue_changes_nothing() {
    let place = Place::new().await;
    for id in ["a", "b", "c"] {
        place.send("out", id, &format!("{{\"id\": \"{id}\", \"password\": \"s3cret\"}}"), Object::new()).await;
    }
    for _ in 0..2 {
        let seen = run(&place, &["peek", "out", "-n", "2", "--json"], 0);
        assert!(!text(&seen.stdout).contains("s3cret"));
        let seen = json(&seen);
        let seen: Vec<_> =
            seen.as_array().expect("a list").iter().map(|seen| (&seen["id"], &seen["deliveries"])).collect();
        assert_eq!(seen, [(&json!("a"), &json!(0)), (&json!("b"), &json!(0))]);
    }
    let shown = text(&run(&place, &["peek", "out"], 0).stdout);
    assert!(shown.contains("delivered 0 times before") && shown.contains("\"id\": \"a\""), "{shown}");
    let mut out = place.subscribe("out").await;
    for id in ["a", "b", "c"] {
        let delivery = place.take(&mut out).await;
        assert_eq!((delivery.id.as_str(), delivery.deliveries), (id, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_thrown_away_only_after_a_yes() {
    let place = Place::new().await;
    for id in ["a", "b", "c"] {
        place.send("out", id, "{}", Object::new()).await;
    }
    let subscription = zrecipe::transport::Subscription {
        source: zrecipe::transport::Destination::Queue("out".to_owned()),
        prefetch: 1,
    };
    let mut out = zrecipe::transport::Transport::subscribe(&place.space, subscription).await.expect("subscribes");
    let held = out.next().await.expect("comes");
    let unasked = run(&place, &["queues", "purge", "out"], 2);
    assert!(text(&unasked.stderr).contains("confirmation needed"), "{}", text(&unasked.stderr));
    let purged = run(&place, &["queues", "purge", "out", "errors", "--yes", "--json"], 0);
    assert!(text(&purged.stderr).contains("2 of `out`, 0 of `errors`"), "{}", text(&purged.stderr));
    assert_eq!(json(&purged), json!({"out": 2, "errors": 0}));
    run(&place, &["queues", "purge", "nosuch", "--yes"], 2);
    // What a service holds is not touched.
    let settlement = zrecipe::transport::Settlement::of(zrecipe::transport::Verdict::Accept);
    zrecipe::transport::Transport::settle(&place.space, &held, settlement).await.expect("is still held");
    let queues = json(&run(&place, &["queues", "out", "--json"], 0));
    assert_eq!(queues["queues"][0]["messages"], 0);
}

/// A recipe message for the step 1, in this queue.
fn recipe_message(queue: &str) -> String {
    let recipe = Value::from([
        ("1", Value::from([("queue", Value::from(queue))])),
        ("start", Value::Array(vec![Value::Array(vec![Value::from(1), Value::Array(vec![])])])),
    ]);
    let envelope = Envelope {
        recipe: recipe.into(),
        pointer: 1,
        path: Vec::new(),
        environment: Object::new(),
        payload: Value::Null,
    };
    envelope.write()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_where_their_recipes_say_and_the_others_stay() {
    let place = Place::new().await;
    let recipe = || {
        Object::from_iter([
            ("workflows-recipe".to_owned(), Value::from("True")),
            ("x-death".to_owned(), Value::Array(vec![])),
            ("own".to_owned(), Value::from("é")),
        ])
    };
    for n in 0..12 {
        place.send("out", &format!("plain-{n}"), "{\"n\":   1}", Object::new()).await;
    }
    place.send("out", "lost", &recipe_message("nosuch"), recipe()).await;
    place.send("out", "here", &recipe_message("out"), recipe()).await;
    place.send("out", "fine", &recipe_message("errors"), recipe()).await;
    let drained = run(&place, &["drain", "out", ".", "--json", "--stop", "0.2"], 1);
    let said = text(&drained.stderr);
    for reason in [
        "plain-3 not moved: the message has no header `workflows-recipe`",
        "lost not moved: there is no queue `nosuch`",
        "here not moved: it is already in the queue of its recipe step",
        "messages of out: 1 moved, 14 not moved",
    ] {
        assert!(said.contains(reason), "{said}");
    }
    let mut errors = place.subscribe("errors").await;
    let delivery = place.take(&mut errors).await;
    assert_eq!((delivery.id.as_str(), text(&delivery.body)), ("fine", recipe_message("errors")));
    assert_eq!(delivery.headers.keys().collect::<Vec<_>>(), ["workflows-recipe", "own"]);
    drop(errors);
    // All the others, as they were, in their order.
    let drained = run(&place, &["drain", "out", "errors", "--stop", "0.2"], 0);
    assert_eq!(text(&drained.stdout).lines().count(), 14);
    let mut errors = place.subscribe("errors").await;
    for n in 0..12 {
        let delivery = place.take(&mut errors).await;
        assert_eq!(
            (delivery.id.as_str(), text(&delivery.body)),
            (format!("plain-{n}").as_str(), "{\"n\":   1}".to_owned())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_drain_is_interrupted() {
    let place = Place::new().await;
    let ids: Vec<String> = (0..60).map(|n| format!("m-{n:02}")).collect();
    for id in &ids {
        place.send("out", id, "{}", Object::new()).await;
    }
    run(&place, &["drain", "out", "nosuch"], 2);
    for signal in [Signal::INT, Signal::TERM, Signal::KILL, Signal::KILL] {
        let mut drain =
            place.command(&["drain", "out", "errors", "--rate", "200", "--stop", "0"]).spawn().expect("starts");
        // As soon as it has moved something, it is in the middle of it.
        let mut lines = std::io::BufReader::new(drain.stdout.take().expect("its output"));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut lines, &mut line).expect("is text");
        rustix::process::kill_process(rustix::process::Pid::from_child(&drain), signal).expect("it is ours");
        let status = drain.wait().expect("ends");
        assert_eq!(status.code(), (signal != Signal::KILL).then_some(2), "{signal:?}");
        let queues = json(&run(&place, &["queues", "out", "errors", "--json"], 0));
        let count = |n: usize| queues["queues"][n]["messages"].as_i64().expect("a number");
        assert_eq!(count(0) + count(1), 60, "{queues}");
    }
    run(&place, &["drain", "out", "errors", "--stop", "0.2"], 0);
    let mut errors = place.subscribe("errors").await;
    let mut found = Vec::new();
    while found.len() < ids.len() {
        found.push(place.take(&mut errors).await.id);
    }
    assert_eq!(found, ids, "each once and in order");
}

/// What a command does at a terminal where this is typed, and what is seen there.
fn typed(place: &Place, command: &str, answer: &str) -> (bool, String) {
    let line = format!("{} {command}", env!("CARGO_BIN_EXE_zrecipe"));
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-q", "-e", "-c", &line, "/dev/null"]).current_dir(place.path("."));
    terminal.env("ZRECIPE_STATE", place.path("state")).env_remove("ZOCALO_CONFIG");
    terminal.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = terminal.spawn().expect("`script` of util-linux is there");
    let mut keys = child.stdin.take().expect("a keyboard");
    std::io::Write::write_all(&mut keys, answer.as_bytes()).expect("is typed");
    let output = child.wait_with_output().expect("ends");
    drop(keys);
    (output.status.success(), text(&output.stdout))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_is_asked() {
    let place = Place::new().await;
    for id in ["a", "b"] {
        place.send("out", id, "{}", Object::new()).await;
    }
    for (answer, done, said) in [("y\n", false, "nothing was done"), ("yes\n", true, "2 messages of out are deleted")] {
        let (is_done, seen) = typed(&place, "queues purge out", answer);
        assert!(
            is_done == done && seen.contains("2 of `out`. Type `yes`: ") && seen.contains(said),
            "{answer:?}: {seen}"
        );
    }
}
