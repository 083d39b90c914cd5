//! Order: JSONLines writes the lines of messages that wait in the order in which they were sent, whoever is killed.
//!
//! `ZRECIPE_SEED=N` kills at the same lines again; `ZRECIPE_SOAK=1` plays 20 rounds.

use std::ops::Range;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::Child;
use tokio::time::{Duration, Instant, sleep};
use zrecipe::message::Envelope;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::{Outgoing, Transport};
use zrecipe::value::{Object, Value};

use crate::letters::count;
use crate::services::{Facility, ends};
use crate::soak::{Random, is_soak, seed};
use crate::wait::{PATIENCE, eventually};

/// Messages that wait when a round begins.
const LINES: usize = 250;

/// Kills of services in a round. Each counts as a delivery, and the queue permits five more after the first.
const MAX_KILLS: u64 = 4;

fn serve(facility: &Facility) -> Child {
    let mut command = facility.ours(&["service", "-s", "JSONLines"]);
    command.stderr(Stdio::null()).spawn().expect("starts")
}

/// The lines that a file has.
fn lines(facility: &Facility, file: &str) -> usize {
    let text = std::fs::read_to_string(facility.path(file)).unwrap_or_default();
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Waits for so many lines; as long as there are new ones, it waits on.
async fn are_written(facility: &Facility, file: &str, due: usize, what: &str) {
    let (mut before, mut since) = (0, Instant::now());
    loop {
        let now = lines(facility, file);
        if now >= due {
            return;
        }
        if now > before {
            (before, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "{what}: nothing comes after line {now} of {due}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Sends messages of a round, each until it is confirmed.
async fn send(facility: &Facility, round: usize, file: &str, numbers: Range<usize>) {
    let message = |n: usize| {
        let parameters = json!({"output_filename": facility.path(file), "include": ["n"]});
        let step = json!({"queue": "jsonlines", "parameters": parameters});
        let recipe = json!({"1": step, "start": [[1, {"n": n}]]}).to_string();
        let environment = Object::from_iter([("ID".to_owned(), Value::from(format!("round-{round}")))]);
        let recipe = read_value(recipe.as_bytes()).expect("JSON");
        Envelope::start(recipe, environment, &format!("{round}-{n}")).expect("starts").remove(0)
    };
    let messages: Vec<Outgoing> = numbers.map(message).collect();
    for message in messages {
        eventually("a message to be taken", async || facility.transport.send(vec![message.clone()]).await.is_ok())
            .await;
    }
}

/// Waits until the broker has noticed that a service is dead, and has its messages back.
async fn is_noticed(facility: &Facility) {
    eventually("no consumer", async || {
        let waiting = facility.transport.waiting("jsonlines").await;
        waiting.is_ok_and(|waiting| waiting.consumers == Some(0))
    })
    .await;
}

#[expect(clippy::print_stdout, reason = "figures for whoever plays it")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_written_as_they_were_sent_whoever_is_killed() {
    let seed = seed();
    let rounds = if is_soak() { 20 } else { 2 };
    println!("ZRECIPE_SEED={seed}: {rounds} rounds of {LINES} messages");
    let mut random = Random(seed);
    let mut facility = Facility::new().await;
    for round in 0..rounds {
        let file = format!("lines-{round}.jsonl");
        send(&facility, round, &file, 0..LINES).await;
        // Each round kills once at least, and every second one the broker as well.
        let kills = 1 + random.below(MAX_KILLS);
        let mut due: Vec<usize> = (0..kills).map(|_| 1 + random.below(LINES as u64 - 1) as usize).collect();
        due.sort_unstable();
        let broker = (round % 2 == 1).then(|| random.below(kills) as usize);
        let begun = Instant::now();
        let mut service = serve(&facility);
        for (kill, due) in due.iter().enumerate() {
            let what = format!("ZRECIPE_SEED={seed}, round {round}");
            are_written(&facility, &file, *due, &what).await;
            if broker == Some(kill) {
                facility.node.restart().await;
            }
            service.kill().await.expect("it is killed");
            is_noticed(&facility).await;
            service = serve(&facility);
        }
        are_written(&facility, &file, LINES, &format!("ZRECIPE_SEED={seed}, round {round}, the rest")).await;
        // What was written and not acknowledged comes again before this line, and is not written again.
        send(&facility, round, &file, LINES..LINES + 1).await;
        are_written(&facility, &file, LINES + 1, &format!("ZRECIPE_SEED={seed}, round {round}, the last")).await;
        let pid = service.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("a process");
        kill_process(pid, Signal::TERM).expect("it is ours");
        ends("the service", &mut service).await;
        is_noticed(&facility).await;
        let left = count(&facility.transport, &["jsonlines".to_owned()]).await;
        assert_eq!(left, 0, "all were acknowledged");
        let expected: String = (0..=LINES).map(|n| format!("{{\"n\": {n}}}\n")).collect();
        let written = std::fs::read_to_string(facility.path(&file)).expect("reads");
        assert!(written == expected, "ZRECIPE_SEED={seed}, round {round}, kills at {due:?}, {broker:?}:\n{written}");
        let seconds = begun.elapsed().as_secs_f64();
        let broker = if broker.is_some() { ", one of the broker" } else { "" };
        println!("round {round}: {kills} kills at lines {due:?}{broker}: in order, each once; {seconds:.1} s");
        assert_eq!(count(&facility.transport, &["dlq.jsonlines".to_owned()]).await, 0, "nothing is dead");
    }
}
