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
use tokio::time::sleep;
use zrecipe::transport::{Transport, Waiting};

use crate::contract::within;
use crate::letters::{count, files, parsed, run};
use crate::services::{Facility, until};

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

/// All are there again, and nobody holds any.
async fn all_are_back(facility: &Facility, letters: u64) {
    until("the end of all that look", async || waiting(facility).await.consumers == Some(0)).await;
    let mut last = 0;
    let back = tokio::time::timeout(Duration::from_secs(10), async {
        while last != letters {
            last = waiting(facility).await.messages;
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(back.await.is_ok(), "{last} letters of {letters} are left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_is_interrupted_lets_its_letters_go() {
    const LETTERS: usize = 20;
    let facility = facility().await;
    fill(&facility, 0..LETTERS).await;
    let signals = [Signal::INT, Signal::TERM];
    let looks: [&[&str]; 2] = [&["dlq", "list", "--wait", "60", "py"], &["peek", "-n", "30", DEAD]];
    for round in 0..8 {
        for look in looks {
            let mut tool = start(&mut facility.ours(look));
            until("all are held", async || {
                let found = waiting(&facility).await;
                found.messages == 0 && found.consumers == Some(1)
            })
            .await;
            let pid = tool.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).expect("it runs");
            kill_process(pid, signals[round % 2]).expect("it is ours");
            let status = within("the end of a look", tool.wait()).await.expect("wait");
            assert!(status.code().is_some(), "{round}: {status}");
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
        until("letters under way", async || {
            files(&place).len() > before || is_early && waiting(&facility).await.consumers == Some(1)
        })
        .await;
        tool.kill().await.expect("it is killed");
    }
    until("the end of all", async || waiting(&facility).await.consumers == Some(0)).await;
    run(&mut facility.ours(&purge), 0).await;
    assert_eq!(count(&facility.transport, &[DEAD.to_owned()]).await, 0);
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
    until("three letters", async || count(&facility.transport, &["dlq.runner.submission".to_owned()]).await == 3).await;
    service.kill().await.expect("it is killed");
    let got = facility.channel.basic_get("dlq.runner.submission".into(), BasicGetOptions { no_ack: true }).await;
    let got = got.expect("get").expect("a letter");
    let headers = got.properties.headers().clone().unwrap_or_default();
    let Some(AMQPValue::LongString(long)) = headers.inner().get("long") else { panic!("it has lost its header") };
    assert_eq!(long.as_bytes().len(), 100_000);
}
