//! Whoever looks at letters or moves them loses none, where a queue allows that a letter comes back five times and drops it
//! then: however a tool ends, and however many there are at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zrecipe::ops::dead_letters::Letter;
use zrecipe::transport::{Transport, Waiting};

use crate::contract::within;
use crate::letters::{count, files, parsed, run};
use crate::services::Facility;
use crate::wait::{eventually, eventually_ok};

const DEAD: &str = "dlq.py";

/// A facility with the policy of the public configuration.
async fn facility() -> Facility {
    let facility = Facility::new().await;
    facility.node.control(&["set_policy", "redelivery", ".*", r#"{"delivery-limit": 5}"#, "--apply-to", "queues"]);
    facility.channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    facility
}

/// Letters that nobody has buried: they say nothing of their end, nor when they were sent.
async fn fill(facility: &Facility, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let properties = BasicProperties::default().with_delivery_mode(2).with_message_id(format!("m-{n}").into());
        publish(facility, DEAD, &json!({"n": n}).to_string(), properties).await;
    }
}

async fn publish(facility: &Facility, queue: &str, body: &str, properties: BasicProperties) {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let sent = facility.channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await;
    let confirmed = sent.expect("publish").await.expect("is confirmed");
    assert!(confirmed.take_message().is_none(), "there is no queue {queue}");
}

async fn waiting(facility: &Facility) -> Waiting {
    facility.transport.waiting(DEAD).await.expect("is there")
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
}

/// Has a tool end in its own way, and soon. It takes two seconds at most on a quiet machine; a tool that waits for its
/// broker first takes a minute and more.
async fn interrupt(tool: &mut Child, signal: Signal) {
    let pid = tool.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).expect("it runs");
    kill_process(pid, signal).expect("it is ours");
    let ended = timeout(Duration::from_secs(30), tool.wait()).await;
    ended.expect("it ends soon after its signal").expect("wait");
}

/// All are there again, and nobody holds any.
async fn all_are_back(facility: &Facility, letters: u64) {
    eventually("the end of all that look", async || waiting(facility).await.consumers == Some(0)).await;
    eventually_ok("all letters", async || {
        let found = waiting(facility).await.messages;
        if found == letters { Ok(()) } else { Err(format!("{found} letters of {letters} are left")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_is_interrupted_lets_its_letters_go() {
    const LETTERS: usize = 20;
    let facility = facility().await;
    fill(&facility, 0..LETTERS).await;
    let signals = [Signal::INT, Signal::TERM];
    let looks: [&[&str]; 2] = [&["dlq", "list", "--wait", "60", "py"], &["dlq", "show", "--wait", "60", "py"]];
    for round in 0..8 {
        for look in looks {
            let mut tool = start(&mut facility.ours(look));
            eventually("all are held", async || {
                let found = waiting(&facility).await;
                found.messages == 0 && found.consumers == Some(1)
            })
            .await;
            interrupt(&mut tool, signals[round % 2]).await;
            all_are_back(&facility, LETTERS as u64).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_at_one_time_lose_nothing() {
    const LETTERS: usize = 20;
    let facility = facility().await;
    fill(&facility, 0..LETTERS).await;
    for round in 0..8 {
        let (look, times): (&[&str], usize) =
            if round % 2 == 0 { (&["dlq", "list", "py"], 2) } else { (&["peek", "-n", "20", DEAD], 6) };
        let mut tools: Vec<Child> = (0..times).map(|_| start(&mut facility.ours(look))).collect();
        for tool in &mut tools {
            let status = within("the end of a look", tool.wait()).await.expect("wait");
            assert!(status.success(), "{round}: {status}");
        }
        all_are_back(&facility, LETTERS as u64).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_is_killed_again_and_again_loses_nothing() {
    const LETTERS: usize = 300;
    let facility = facility().await;
    fill(&facility, 0..LETTERS).await;
    let place = facility.path("letters");
    let location = place.display().to_string();
    let purge = ["dlq", "purge", "--location", &location, "py"];
    for round in 0..16 {
        let before = files(&place).len();
        let mut tool = start(&mut facility.ours(&purge));
        // When nothing that has come is dealt with, or something is and the rest is not.
        let is_early = round % 4 == 0;
        eventually("letters under way", async || {
            files(&place).len() > before || is_early && waiting(&facility).await.consumers == Some(1)
        })
        .await;
        tool.kill().await.expect("it is killed");
    }
    eventually("the end of all", async || waiting(&facility).await.consumers == Some(0)).await;
    run(&mut facility.ours(&purge), 0).await;
    assert_eq!(count(&facility.transport, &[DEAD.to_owned()]).await, 0);
    assert_eq!(files(&place).len(), LETTERS, "each has one file");
    let kept: BTreeSet<u64> = files(&place).iter().map(|path| number_of(path)).collect();
    assert!(kept.iter().copied().eq(0..LETTERS as u64), "{} letters of {LETTERS} are in files", kept.len());
}

fn number_of(path: &Path) -> u64 {
    let file: Json = serde_json::from_slice(&std::fs::read(path).expect("is read")).expect("a whole file");
    file["message"]["n"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_with_long_headers_is_one_as_any_other() {
    let facility = facility().await;
    let headers = BTreeMap::from([("long".into(), AMQPValue::LongString("x".repeat(100_000).into()))]);
    let properties = BasicProperties::default().with_message_id("long".into()).with_headers(FieldTable::from(headers));
    publish(&facility, DEAD, "{}", properties).await;
    fill(&facility, 0..2).await;
    let listed = parsed(&run(&mut facility.ours(&["dlq", "list", "py", "--json"]), 0).await.0);
    assert_eq!(listed[0]["count"], 3, "{listed}");
    let place = facility.path("letters").display().to_string();
    let (paths, _) = run(&mut facility.ours(&["dlq", "purge", "py", "--location", &place]), 0).await;
    let paths: Vec<&str> = paths.lines().collect();
    assert_eq!(paths.len(), 3);
    run(&mut facility.ours(&[&["dlq", "reinject", "-r"][..], &paths].concat()), 0).await;
    let (moved, _) = run(&mut facility.ours(&["drain", "py", "runner.submission"]), 0).await;
    assert_eq!(moved.lines().count(), 3, "{moved}");
    // None of them is a recipe message; a service says so, and goes on.
    let mut service = start(&mut facility.ours(&["service", "-s", "Runner"]));
    eventually("three letters", async || count(&facility.transport, &["dlq.runner.submission".to_owned()]).await == 3)
        .await;
    service.kill().await.expect("it is killed");
    let got = facility.channel.basic_get("dlq.runner.submission".into(), BasicGetOptions { no_ack: true }).await;
    let got = got.expect("get").expect("a letter");
    let headers = got.properties.headers().clone().unwrap_or_default();
    let Some(AMQPValue::LongString(long)) = headers.inner().get("long") else { panic!("it has lost its header") };
    assert_eq!(long.as_bytes().len(), 100_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sender_said_of_a_message_stays_with_it() {
    let facility = facility().await;
    let headers = BTreeMap::from([
        ("bytes".into(), AMQPValue::ByteArray(b"\xff\xfe".to_vec().into())),
        ("time".into(), AMQPValue::Timestamp(1_577_836_800)),
        ("word".into(), AMQPValue::LongString("é".into())),
    ]);
    let said = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("gzip".into())
        .with_priority(3)
        .with_correlation_id("corr".into())
        .with_reply_to("rt".into())
        .with_timestamp(17_000_000)
        .with_type("tt".into())
        .with_app_id("app".into())
        .with_delivery_mode(2);
    publish(&facility, DEAD, r#"{"n": 1}"#, said.clone().with_headers(FieldTable::from(headers.clone()))).await;
    // Some of these looks renew it.
    for _ in 0..4 {
        run(&mut facility.ours(&["dlq", "list", "py"]), 0).await;
    }
    let place = facility.path("letters").display().to_string();
    let got = async |queue: &str| {
        let mut found = None;
        eventually("the message", async || {
            let options = BasicGetOptions { no_ack: true };
            found = facility.channel.basic_get(queue.into(), options).await.expect("get");
            found.is_some()
        })
        .await;
        let properties = found.expect("is there").delivery.properties;
        let mut headers = properties.headers().clone().unwrap_or_default().inner().clone();
        headers.retain(|name, _| !["dlq-reinjected", "zrecipe-renewed", "x-delivery-count"].contains(&name.as_str()));
        properties.with_headers(headers.into())
    };
    let (path, _) = run(&mut facility.ours(&["dlq", "purge", "py", "--location", &place]), 0).await;
    run(&mut facility.ours(&["dlq", "reinject", path.trim()]), 0).await;
    run(&mut facility.ours(&["drain", "py", "out"]), 0).await;
    let found = got("out").await;
    let id = found.message_id().clone().expect("it has one now");
    assert_eq!(found, said.with_headers(FieldTable::from(headers)).with_message_id(id));
    // The other side's tool takes the file, too.
    let sent = facility.theirs("zocalo.dlq_reinject", &["-d", "out", path.trim()]).output().await.expect("runs");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    got("out").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_counted_as_they_are_and_found_where_a_tool_that_was_killed_had_sent_them() {
    let facility = facility().await;
    fill(&facility, 0..5).await;
    // RabbitMQ lists what is held for a while after it has gone back.
    let mut tool = start(&mut facility.ours(&["dlq", "list", "--wait", "60", "py"]));
    eventually("letters that are listed as held", async || {
        let listed = run(&mut facility.ours(&["queues", DEAD, "--json"]), 0).await.0;
        parsed(&listed)["queues"][0]["unacknowledged"] == 5
    })
    .await;
    let (_, said) = run(&mut facility.ours(&["dlq", "list", "py"]), 0).await;
    assert!(said.contains("dlq.py has other consumers"), "{said}");
    interrupt(&mut tool, Signal::INT).await;
    all_are_back(&facility, 5).await;
    let (checked, _) = run(&mut facility.ours(&["dlq", "check", "--json"]), 1).await;
    assert_eq!(parsed(&checked), json!({DEAD: 5}));
    let place = facility.path("letters");
    let location = place.display().to_string();
    run(&mut facility.ours(&["dlq", "purge", "--location", &location]), 0).await;
    let (checked, _) = run(&mut facility.ours(&["dlq", "check", "--json"]), 0).await;
    assert_eq!(parsed(&checked), json!({}));

    // They are sent, and the tool that did so could not remove their files any more.
    let queue = ["py".to_owned()];
    let (sent, _) = run(&mut facility.ours(&["dlq", "reinject", "--json", &location]), 0).await;
    let sent = parsed(&sent);
    assert_eq!(count(&facility.transport, &queue).await, 5);
    let killed = |path: &Path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let result = sent
            .as_array()
            .expect("a list")
            .iter()
            .find(|it| it["file"].as_str().is_some_and(|it| it.ends_with(&name)));
        let id = result.and_then(|it| it["id"].as_str()).expect("an id");
        let content = Letter::read(path).expect("a letter").content();
        let mark = path.with_file_name(format!(".{name}.sending"));
        std::fs::write(mark, format!("{id}\n{content}\n")).expect("write");
    };
    let mut paths = files(&place);
    paths.iter().for_each(|path| killed(path));
    // Another letter is in the file of the last one now.
    let last = paths.pop().expect("five");
    let text = std::fs::read_to_string(&last).expect("is read").replace("\"n\": ", "\"n\": 10");
    std::fs::write(&last, text).expect("write");
    let (went, said) = run(&mut facility.ours(&["dlq", "reinject", "-r", &location]), 0).await;
    assert_eq!(went.matches(" had gone before to queue `py`").count(), 4, "{went}{said}");
    assert!(went.matches(" went to queue `py`").count() == 1 && !said.contains("twice"), "{went}{said}");
    assert_eq!(files(&place).len(), 0);
    assert_eq!(count(&facility.transport, &queue).await, 6);
}

/// Whatever its disk is short of, the broker is asked, and no command waits for it after it was told to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_at_a_broker_that_is_blocked_say_so_and_end() {
    let facility = facility().await;
    fill(&facility, 0..6).await;
    // They have come back so often that looking needs a copy of each.
    for _ in 0..2 {
        run(&mut facility.ours(&["dlq", "list", "py"]), 0).await;
    }
    all_are_back(&facility, 6).await;
    facility.node.control(&["set_disk_free_limit", "900GB"]);
    for look in [&["dlq", "list", "py"][..], &["dlq", "list"], &["dlq", "show", "py"], &["peek", DEAD]] {
        let (_, said) = run(&mut facility.ours(look), 2).await;
        assert!(said.contains("the broker blocks publishing"), "{look:?}: {said}");
    }
    let (listed, _) = run(&mut facility.ours(&["queues", DEAD, "--json"]), 0).await;
    assert_eq!(parsed(&listed)["queues"][0]["ready"], 6, "{listed}");
    let letter = facility.path("letter.json");
    std::fs::write(&letter, r#"{"header": {}, "message": {}}"#).expect("write");
    let letter = letter.display().to_string();
    for waits in [&["drain", DEAD, "out"][..], &["dlq", "reinject", "-d", "out", &letter]] {
        let mut tool = facility.ours(waits).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
        let mut said = tokio::io::BufReader::new(tool.stderr.take().expect("what it says"));
        let mut line = String::new();
        let reading = tokio::io::AsyncBufReadExt::read_line(&mut said, &mut line);
        within("what it waits for", reading).await.expect("is text");
        assert!(line.contains("waiting: the broker blocks publishing"), "{waits:?}: {line}");
        interrupt(&mut tool, Signal::TERM).await;
    }
    facility.node.control(&["set_disk_free_limit", "1MB"]);
    all_are_back(&facility, 6).await;
    let listed = parsed(&run(&mut facility.ours(&["dlq", "list", "--json"]), 0).await.0);
    assert_eq!(listed[0]["count"], 6, "{listed}");
}

/// Many queues are read side by side, to the number of letters that the broker counts, and shown as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_letters_of_a_hundred_queues_are_counted_at_once() {
    let facility = facility().await;
    let name = |n: usize| format!("dlq.many{n:03}");
    for n in 0..100 {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
        facility.channel.queue_declare(name(n).as_str().into(), durable, arguments).await.expect("declare");
        for letter in 0..n % 4 {
            let properties = BasicProperties::default().with_delivery_mode(2);
            publish(&facility, &name(n), &json!({"n": letter}).to_string(), properties).await;
        }
    }
    // It ends when the letters that were counted have come: in seconds. A second's wait for more in one queue after the
    // other takes longer than this.
    let mut list = facility.ours(&["dlq", "list", "--json"]);
    let listed = timeout(Duration::from_secs(60), run(&mut list, 0)).await;
    let (listed, said) = listed.expect("nobody waits for more letters than are there");
    let listed = parsed(&listed);
    let found: Vec<(String, u64)> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|group| (group["queue"].as_str().expect("a name").to_owned(), group["count"].as_u64().expect("a number")))
        .collect();
    let expected: Vec<(String, u64)> = (0..100).filter(|n| n % 4 > 0).map(|n| (name(n), n as u64 % 4)).collect();
    assert_eq!(found, expected);
    // A look that has just ended is no other consumer, and its letters are there again.
    assert!(!said.contains("other consumers"), "{said}");
    let (_, said) = run(&mut facility.ours(&["dlq", "list"]), 0).await;
    assert!(!said.contains("other consumers"), "{said}");
    // What has just come is counted, whatever the statistics say.
    for letter in 0..50 {
        publish(&facility, "dlq.many000", &json!({"n": letter}).to_string(), BasicProperties::default()).await;
    }
    let (queues, _) = run(&mut facility.ours(&["queues", "dlq.many000", "--json"]), 0).await;
    assert_eq!(parsed(&queues)["queues"][0]["ready"], 50, "{queues}");
    let (checked, _) = run(&mut facility.ours(&["dlq", "check", "--json"]), 1).await;
    assert_eq!(parsed(&checked)["dlq.many000"], 50, "{checked}");
}
