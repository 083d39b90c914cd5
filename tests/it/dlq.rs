//! Dead letters on the embedded broker, from outside: seen, kept in files, sent back, and none lost on the way.

use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::{Value, json};
use zrecipe::message::{Code, Reason};
use zrecipe::transport::{Settlement, Verdict};

use crate::service::Place;
use crate::wait::wait_until;

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn run(place: &Place, arguments: &[&str], code: i32) -> Output {
    let output = place.command(arguments).output().expect("runs");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    output
}

pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("is JSON")
}

/// Puts a dead letter in `dlq.out`.
pub async fn bury(place: &Place, id: &str, reason: impl Into<Reason>) {
    place.send("out", id, &format!("{{\"id\": \"{id}\"}}"), Default::default()).await;
    let mut deliveries = place.subscribe("out").await;
    let delivery = deliveries.next().await.expect("comes");
    let verdict = Verdict::DeadLetter { reason: reason.into() };
    let settlement = Settlement { verdict, outputs: Vec::new(), note: None };
    zrecipe::transport::Transport::settle(&place.space, &delivery, settlement).await.expect("settles");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_seen_kept_and_sent_back() {
    let place = Place::new().await;
    run(&place, &["dlq", "check"], 0);
    for (id, reason) in [("a", "no such file"), ("b", "no such file"), ("c", "of\nno use")] {
        bury(&place, id, reason).await;
    }
    // Looking changes nothing.
    for _ in 0..2 {
        assert_eq!(json(&run(&place, &["dlq", "check", "--json"], 1)), json!({"dlq.out": 3}));
        let groups = json(&run(&place, &["dlq", "list", "--json", "--wait", "0.2"], 0));
        let group = |reason: &str, count: i64| json!({"queue": "dlq.out", "step": null, "reason": reason, "count": count, "more": false, "in_queue": null});
        assert_eq!(groups, json!([group("no such file", 2), group("of\nno use", 1)]));
        for (limit, more, whole) in [("2", true, json!(3)), ("3", false, json!(null))] {
            let listed = run(&place, &["dlq", "list", "--json", "--wait", "0.2", "--limit", limit], 0);
            assert_eq!(text(&listed.stderr).contains("dlq.out holds 3, and 2 were read"), more);
            let first = &json(&listed)[0];
            assert_eq!((&first["more"], &first["in_queue"]), (&json!(more), &whole));
        }
    }
    let shown = json(&run(&place, &["dlq", "show", "out", "--json", "--wait", "0.2", "--limit", "1"], 0));
    assert_eq!(shown[0]["message"], json!({"id": "a"}));
    // To files, and back as `purge` prints them.
    let purged = run(&place, &["dlq", "purge", "--wait", "0.2"], 0);
    let paths: Vec<String> = text(&purged.stdout).lines().map(str::to_owned).collect();
    assert_eq!(paths.len(), 3);
    run(&place, &["dlq", "check"], 0);
    let stdin = std::fs::File::open({
        place.write("paths", &format!("Found 3 DLQ messages in dlq.out\n        {}\nDone.\n", paths.join("\n  ")));
        place.path("paths")
    });
    let sending = place.command(&["dlq", "reinject", "-r"]).stdin(stdin.expect("opens")).output().expect("runs");
    assert_eq!(sending.status.code(), Some(0), "{}", text(&sending.stderr));
    let went: Vec<String> = paths.iter().map(|path| format!("{path} went to queue `out`")).collect();
    assert_eq!(text(&sending.stdout).lines().collect::<Vec<_>>(), went);
    assert!(paths.iter().all(|path| !std::path::Path::new(path).exists()));
    let mut out = place.subscribe("out").await;
    for id in ["a", "b", "c"] {
        let delivery = place.take(&mut out).await;
        assert_eq!(text(&delivery.body), format!("{{\"id\":\"{id}\"}}"));
        assert_eq!(delivery.headers.keys().collect::<Vec<_>>(), ["dlq-reinjected"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_whose_queue_is_gone_stays_in_its_file() {
    let place = Place::new().await;
    place.write("letter", r#"{"header": {"x-death": [{"queue": "nosuch", "reason": "rejected"}]}, "message": 0}"#);
    let output = run(&place, &["dlq", "reinject", "-r", "letter"], 1);
    let told = "error: letter: there is no queue `nosuch`; use `--destination QUEUE` to send it to another queue\n";
    assert_eq!(text(&output.stderr), told);
    assert!(place.path("letter").exists());
    assert_eq!(text(&run(&place, &["dlq", "reinject", "--dry-run", "letter"], 1).stderr), told);
    let dry = run(&place, &["dlq", "reinject", "--dry-run", "letter", "-d", "out"], 0);
    assert_eq!((text(&dry.stdout).as_str(), text(&dry.stderr).as_str()), ("letter would go to queue `out`\n", ""));
    // Somebody was stopped while sending it; and a file that is named twice is one letter.
    assert!(!place.path(".letter.sending").exists());
    place.write(".letter.sending", "");
    let sent = run(&place, &["dlq", "reinject", "-r", "letter", "./letter", "-d", "out", "--json"], 0);
    assert!(text(&sent.stderr).contains("note: letter may have been sent before"), "{}", text(&sent.stderr));
    let sent = json(&sent);
    assert_eq!((sent.as_array().map(Vec::len), &sent[0]["may_be_again"]), (Some(1), &json!(true)), "{sent}");
    assert!(!place.path("letter").exists() && !place.path(".letter.sending").exists());
    let mut out = place.subscribe("out").await;
    assert_eq!(place.take(&mut out).await.body, b"0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_say_whether_sending_them_back_can_help() {
    let place = Place::new().await;
    place.write("recipes/good.json", r#"{"1": {"queue": "{q}"}, "start": [[1, []]]}"#);
    let mut service = place.service(&["service", "-s", "Dispatcher"]);
    for (id, body) in [("fine", r#"{"recipes": ["later"]}"#), ("never", r#"{"recipes": ["good"]}"#), ("odd", r#"[]"#)] {
        place.send("processing_recipe", id, body, Default::default()).await;
        service.says("dead-lettered");
    }
    service.signal(Signal::TERM);
    service.ends(0);
    place.write("recipes/later.json", r#"{"1": {"queue": "out"}, "start": [[1, []]]}"#);
    let found = json(&run(&place, &["dlq", "diagnose", "--json", "--wait", "0.2"], 0));
    let helps = |id: &str| {
        let letter = found.as_array().expect("a list").iter().find(|letter| letter["id"] == id).expect("is there");
        (letter["helps"].as_bool().expect("says so"), letter["why"].as_str().expect("says why").to_owned())
    };
    assert_eq!(helps("fine"), (true, "no obstacle is known".to_owned()));
    let (can, why) = helps("never");
    assert!(!can && why.contains("unresolved-destination"), "{why}");
    assert!(!helps("odd").0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_is_killed_leaves_each_letter_in_one_place() {
    let place = Place::new().await;
    let mut ids: Vec<String> = (0..40).map(|n| format!("m-{n:02}")).collect();
    for id in &ids {
        bury(&place, id, "why").await;
    }
    let files = || {
        let found = Command::new("find").arg(place.path("DLQ")).args(["-name", "msg-*"]).output().expect("runs");
        text(&found.stdout).lines().map(str::to_owned).collect::<Vec<String>>()
    };
    // As soon as it is started, or when so many letters more are where they are to go.
    let killed = |arguments: &[&str], gone: &dyn Fn() -> usize, more: usize| {
        let enough = gone() + more;
        let mut child = place.command(arguments).spawn().expect("starts");
        wait_until("it is under way", || gone() >= enough || child.try_wait().expect("waits").is_some());
        let _ = child.kill();
        child.wait().expect("ends");
    };
    for more in [0, 1, 1, 3, 0, 5, 2] {
        killed(&["dlq", "purge", "--wait", "0.2"], &|| files().len(), more);
    }
    // What a tool holds that was killed is free again when the broker has noticed.
    wait_until("none is left", || {
        run(&place, &["dlq", "purge", "--wait", "0.2"], 0);
        place.command(&["dlq", "check"]).output().expect("runs").status.success()
    });
    let mut found = files();
    found.sort_by_key(|path| path[path.len() - 4..].to_owned());
    assert_eq!(found.len(), ids.len(), "{found:?}");
    found.retain(|path| !ids.iter().any(|id| path.ends_with(id.as_str())));
    assert!(found.is_empty(), "{found:?}");
    // Killed while sending back: what was sent and is still in a file is sent again with the same id.
    for more in [0, 1, 4, 2, 7] {
        killed(&["dlq", "reinject", "-r", "DLQ"], &|| ids.len() - files().len(), more);
    }
    let rest = place.command(&["dlq", "reinject", "-r", "DLQ"]).output().expect("runs");
    assert!(matches!(rest.status.code(), Some(0 | 2)), "{}", text(&rest.stderr));
    let mut out = place.subscribe("out").await;
    let mut got = Vec::new();
    while got.len() < ids.len() {
        got.push(text(&place.take(&mut out).await.body));
    }
    got.sort();
    ids.sort();
    assert_eq!(got, ids.iter().map(|id| format!("{{\"id\":\"{id}\"}}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sending_back_is_interrupted_between_two_letters() {
    let place = Place::new().await;
    std::fs::create_dir(place.path("DLQ")).expect("a folder");
    let name = |n: usize| format!("DLQ/msg-{n:02}");
    for n in 0..40 {
        place.write(&name(n), r#"{"header": {"x-death": [{"queue": "out", "reason": "rejected"}]}, "message": 0}"#);
    }
    let left = || std::fs::read_dir(place.path("DLQ")).expect("reads").count();
    for signal in [Signal::INT, Signal::TERM] {
        let before = left();
        let mut sending = place.command(&["dlq", "reinject", "-r", "DLQ", "-w", "0.01"]).spawn().expect("starts");
        let mut lines = std::io::BufReader::new(sending.stdout.take().expect("what it prints"));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut lines, &mut line).expect("is text");
        rustix::process::kill_process(rustix::process::Pid::from_child(&sending), signal).expect("it is ours");
        assert_eq!(sending.wait().expect("ends").code(), Some(2), "{signal:?}");
        // No mark of a letter on its way is left.
        assert!((0..before).contains(&left()), "{signal:?}: {}", left());
        let sent = json(&run(&place, &["queues", "out", "--json"], 0))["queues"][0]["messages"].clone();
        assert_eq!(sent, json!(40 - left()), "{signal:?}");
    }
    run(&place, &["dlq", "reinject", "-r", "DLQ"], 0);
    assert_eq!(left(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_one_second_have_a_file_each() {
    let place = Place::new().await;
    let queues = ["out", "errors", "runner.submission"];
    for queue in queues {
        let mut deliveries = place.subscribe(queue).await;
        for n in 0..20 {
            // Others send without an id that is unique.
            place.send(queue, &format!("{queue}/{}", n % 10 + 10 * usize::from(n > 9)), "{}", Default::default()).await;
            let delivery = deliveries.next().await.expect("comes");
            let verdict = Verdict::DeadLetter { reason: "why".into() };
            let settled = zrecipe::transport::Transport::settle(&place.space, &delivery, Settlement::of(verdict));
            settled.await.expect("settles");
        }
    }
    let purged = text(&run(&place, &["dlq", "purge", "--wait", "0.2"], 0).stdout);
    let mut paths: Vec<&str> = purged.lines().collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), 60);
    assert!(paths.iter().all(|path| std::path::Path::new(path).is_file()));
    run(&place, &["dlq", "check"], 0);
}

/// A message for a step of a recipe, as JSON.
fn recipe_message(recipe: &Value, pointer: i64, id: &str) -> String {
    let body = json!({"recipe": recipe, "recipe-pointer": pointer, "recipe-path": [1], "environment": {"ID": id}, "payload": id});
    body.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrected_recipe_goes_into_the_letters_that_carry_the_broken_one() {
    let place = Place::new().await;
    let broken = json!({
        "1": {"service": "First", "queue": "errors", "output": [2, 3]},
        "2": {"service": "Second", "queue": "out", "parameters": {"n": 1}},
        "3": {"queue": "out"},
        "4": {"queue": "out"},
        "start": [[1, []], [3, []], [4, []]]
    });
    place.write(
        "recipes/fixed.json",
        r#"{"2": {"service": "First", "queue": "errors", "output": [7, 3]},
            "7": {"service": "Second", "queue": "errors", "parameters": {"n": "{n}", "id": "{guid}"}},
            "3": {"queue": "out"}, "4": {"queue": "out"}, "start": [[2, []], [3, []], [4, []]]}"#,
    );
    let header =
        || zrecipe::value::Object::from_iter([("workflows-recipe".to_owned(), zrecipe::value::Value::from(true))]);
    let mut out = place.subscribe("out").await;
    let symmetric = json!({"1": {"queue": "out"}, "2": {"queue": "out"}, "start": [[1, []], [2, []]]});
    let letters = [
        ("second", recipe_message(&broken, 2, "run-1")),
        ("other", recipe_message(&broken, 2, "run-2")),
        ("alike", recipe_message(&symmetric, 2, "run-3")),
        ("plain", "{}".to_owned()),
    ];
    for (id, body) in &letters {
        place.send("out", id, body, if *id == "plain" { Default::default() } else { header() }).await;
        let delivery = out.next().await.expect("comes");
        let settlement = Settlement::of(Verdict::DeadLetter { reason: "why".into() });
        zrecipe::transport::Transport::settle(&place.space, &delivery, settlement).await.expect("settles");
    }
    let rebase = |more: &[&str], code: i32| {
        let all = [&["dlq", "rebase", "out", "--onto", "fixed", "--wait", "0.2", "-p", "n=5"], more].concat();
        run(&place, &all, code)
    };
    // Nothing is done that nobody has agreed to.
    rebase(&["--dry-run", "--id", "run-1"], 0);
    rebase(&["--id", "run-1"], 2);
    assert_eq!(json(&run(&place, &["dlq", "check", "--json"], 1)), json!({"dlq.out": 4}));
    let shown = rebase(&["--yes", "--id", "run-1"], 0);
    let diff = text(&shown.stdout);
    for line in
        ["step 2 is now step 7 and goes to queue `errors`", "-    \"queue\": \"out\",", "+      \"id\": \"run-1\""]
    {
        assert!(diff.contains(line), "{diff}");
    }
    let mut errors = place.subscribe("errors").await;
    let delivery = place.take(&mut errors).await;
    let body: Value = serde_json::from_slice(&delivery.body).expect("is JSON");
    assert_eq!(
        (&body["recipe-pointer"], &body["recipe-path"], &body["payload"]),
        (&json!(7), &json!([2]), &json!("run-1"))
    );
    assert_eq!(body["recipe"]["7"]["parameters"], json!({"n": "5", "id": "run-1"}));
    assert_eq!(delivery.headers.keys().collect::<Vec<_>>(), ["workflows-recipe", "dlq-reinjected"]);
    // The others stay where they cannot go on, and say why.
    let rest = json(&rebase(&["--yes", "--json"], 1));
    let of =
        |id: &str| rest.as_array().expect("a list").iter().find(|letter| letter["id"] == id).expect("is there").clone();
    assert_eq!(of("other")["to_step"], 7);
    assert!(
        of("alike")["error"]
            .as_str()
            .is_some_and(|why| why.contains("could be step 1 (out) and step 2 (out) of the old one")),
        "{rest}"
    );
    assert!(of("plain")["error"].as_str().is_some_and(|why| why.contains("no header")), "{rest}");
    assert_eq!(place.take(&mut errors).await.deliveries, 1);
    assert_eq!(json(&run(&place, &["dlq", "check", "--json"], 1)), json!({"dlq.out": 2}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_do_not_write_on_the_terminal_of_whoever_looks_at_them() {
    let place = Place::new().await;
    let reason = "\u{1b}[2J\u{7}\0\nerror: a line that nobody has written\ttab \u{9b}31m";
    let body = "{\"id\": \"\u{9b}2J\", \"n\": \"\\u001b[2J\"}";
    place.send("out", "m\u{1b}[2J", body, Default::default()).await;
    let mut deliveries = place.subscribe("out").await;
    let delivery = deliveries.next().await.expect("comes");
    let verdict = Verdict::DeadLetter { reason: reason.into() };
    let settlement = Settlement { verdict, outputs: Vec::new(), note: None };
    zrecipe::transport::Transport::settle(&place.space, &delivery, settlement).await.expect("settles");
    drop(deliveries);
    let is_plain = |text: &str| {
        let is_bad = |c: char| c != '\n' && c.is_control();
        assert!(!text.contains(is_bad) && !text.lines().any(|line| line.starts_with("error: a line")), "{text:?}");
    };
    let look = |command: &[&str]| {
        let output = run(&place, &[command, &["--wait", "0.2"]].concat(), 0);
        is_plain(&text(&output.stdout));
        is_plain(&text(&output.stderr));
        text(&output.stdout)
    };
    for command in ["list", "show", "diagnose"] {
        let shown = look(&["dlq", command]);
        assert!(shown.contains("a line that nobody has written"), "{shown}");
    }
    let peeked = run(&place, &["peek", "dlq.out"], 0);
    is_plain(&text(&peeked.stdout));
    // Programs get what was said.
    let found = json(&run(&place, &["dlq", "list", "--json", "--wait", "0.2"], 0));
    assert_eq!(found[0]["reason"], reason);
    // A file says where its letter is to go back to.
    let queue = "evil\\u001b[2J\\nerror: a line";
    let file = format!(
        "{{\"header\": {{\"x-death\": [{{\"queue\": \"{queue}\", \"reason\": \"rejected\"}}]}}, \"message\": 0}}"
    );
    place.write("letter", &file);
    let tried = place.command(&["dlq", "reinject", "--dry-run", "letter"]).output().expect("runs");
    is_plain(&text(&tried.stdout));
    is_plain(&text(&tried.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_are_alike_are_diagnosed_together_each_with_what_to_do() {
    let place = Place::new().await;
    for number in 0..9 {
        bury(&place, &format!("m{number}"), "no image in it").await;
    }
    bury(&place, "gone", Reason::new(Code::NoSuchQueue, "there is no queue `index`")).await;
    bury(&place, "asked", "why").await;
    place.send("out", "raw", "no JSON", Default::default()).await;
    let mut deliveries = place.subscribe("out").await;
    let delivery = deliveries.next().await.expect("comes");
    let verdict = Verdict::DeadLetter { reason: "why".into() };
    let settlement = Settlement { verdict, outputs: Vec::new(), note: None };
    zrecipe::transport::Transport::settle(&place.space, &delivery, settlement).await.expect("settles");
    drop(deliveries);
    let said = text(&run(&place, &["dlq", "diagnose", "--wait", "0.2"], 0).stdout);
    for expected in [
        "dlq.out: 9 letters: m0, m1, m2 and 6 more\n  died: no image in it\n  reinjecting it does not help: its \
         service \
         rejected it as impossible to process\n  help: if the recipe is wrong, use `zrecipe dlq rebase dlq.out --onto",
        "dlq.out: gone\n  died: there is no queue `index`\n  reinjecting it can help: ",
        "dlq.out: asked\n",
        "dlq.out: raw\n  died: why\n  reinjecting it does not help: its body is ",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let found = json(&run(&place, &["dlq", "diagnose", "--json", "--wait", "0.2"], 0));
    assert_eq!(found.as_array().map(Vec::len), Some(12));
    assert_eq!(found[9]["helps"], json!(true));
    assert!(found[0]["help"].as_str().is_some_and(|help| help.contains("dlq rebase dlq.out --onto")), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_piped_from_a_purge_that_found_nothing_is_nothing_to_send_back() {
    let place = Place::new().await;
    for (input, arguments, code, printed) in
        [("", &[] as &[&str], 0, ""), ("", &["--json"], 0, "[]\n"), ("Found 0 messages\n", &[], 2, "")]
    {
        let mut command = place.command(&[&["dlq", "reinject", "-r"], arguments].concat());
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("takes it");
        drop(stdin);
        let output = child.wait_with_output().expect("ends");
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(code), printed), "{input:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_letter_is_one_and_a_queue_that_is_misspelt_is_guessed() {
    let place = Place::new().await;
    bury(&place, "a", "why").await;
    for (arguments, meant) in [
        (&["dlq", "list", "oyt"] as &[&str], "dlq.out"),
        (&["dlq", "purge", "oyt"], "dlq.out"),
        (&["dlq", "check", "oyt"], "dlq.out"),
        (&["queues", "oyt"], "out"),
    ] {
        let said = text(&run(&place, arguments, 2).stderr);
        assert!(said.contains(&format!("help: did you mean `{meant}`?")), "{arguments:?}: {said}");
    }
    let said = text(&run(&place, &["dlq", "purge", "--wait", "0.2"], 0).stderr);
    assert_eq!(said, "1 dead letter of dlq.out is in DLQ\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_requests_through_one_file_run_three_times() {
    let place = Place::new().await;
    let recipe = r#"{"1": {"queue": "out", "parameters": {"word": "{word}"}}, "start": [[1, []]]}"#;
    place.write("recipes/say.json", recipe);
    let service = place.service(&["service", "-s", "Dispatcher"]);
    let mut out = place.subscribe("out").await;
    // The last one is the first one once more, on purpose.
    for word in ["one", "two", "three", "one"] {
        let request = json!({"header": {}, "message": {"recipes": ["say"], "parameters": {"word": word}}});
        place.write("request.json", &request.to_string());
        run(&place, &["dlq", "reinject", "-r", "-d", "processing_recipe", "request.json"], 0);
        assert!(!place.path("request.json").exists());
        let said: Value = serde_json::from_slice(&place.take(&mut out).await.body).expect("is JSON");
        assert_eq!(said["recipe"]["1"]["parameters"]["word"], word, "{said}");
    }
    drop(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_was_sent_before_is_not_reported_as_sent() {
    let place = Place::new().await;
    bury(&place, "a", "no such file").await;
    let file = text(&run(&place, &["dlq", "purge"], 0).stdout).trim().to_owned();
    let waiting =
        async || zrecipe::transport::Transport::waiting(&place.space, "out").await.expect("is there").messages;
    run(&place, &["dlq", "reinject", &file], 0);
    assert_eq!(waiting().await, 1);
    let known = run(&place, &["dlq", "reinject", "-r", &file], 1);
    let said = text(&known.stderr);
    assert!(said.contains("the broker has already confirmed it") && said.contains("--again"), "{said}");
    let told = json(&run(&place, &["dlq", "reinject", "-r", "--json", &file], 1));
    assert_eq!(told[0]["known"], json!(true), "{told}");
    assert!(std::path::Path::new(&file).exists(), "the file stays");
    assert_eq!(waiting().await, 1);
    run(&place, &["dlq", "reinject", "-r", "--again", &file], 0);
    assert!(!std::path::Path::new(&file).exists());
    assert_eq!(waiting().await, 2);
    // A command that was stopped after the broker had it ends what it had begun.
    bury_again(&place, &file).await;
}

/// Sends a letter, and leaves its file and its mark as a command does that is killed then.
async fn bury_again(place: &Place, file: &str) {
    bury(place, "b", "no such file").await;
    let file_b = text(&run(place, &["dlq", "purge"], 0).stdout).trim().to_owned();
    assert_ne!(file_b, file);
    let path = std::path::Path::new(&file_b);
    let sent = json(&run(place, &["dlq", "reinject", "--json", &file_b], 0));
    let content = zrecipe::ops::dead_letters::Letter::read(path).expect("is read").content();
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let id = sent[0]["id"].as_str().expect("an id");
    std::fs::write(path.with_file_name(format!(".{name}.sending")), format!("{id}\n{content}\n")).expect("writes");
    run(place, &["dlq", "reinject", "-r", &file_b], 0);
    assert!(!path.exists());
}
