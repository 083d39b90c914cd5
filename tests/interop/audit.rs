//! The books of a site: they balance while services are killed, and name what was taken away without zrecipe.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Child;

use crate::activemq::Setup;
use crate::ground::Ground;
use crate::services::{Facility, ends};
use crate::stomp;
use crate::wait::{eventually, within};

/// What `audit balance` prints, and its exit code.
pub async fn balance(ground: &dyn Ground) -> (Option<i32>, Value, String) {
    let mut command = ground.ours(&["audit", "balance", "--json"]);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let output = within("the end of the audit", output).await.expect("starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {said}"));
    (output.status.code(), printed, said)
}

/// The total of the books: accepted, finished, dead, queued, running.
pub fn total(books: &Value) -> [u64; 5] {
    let count = |name: &str| books["total"][name].as_u64().expect("a count");
    ["accepted", "finished", "dead", "queued", "running"].map(count)
}

fn serve(ground: &dyn Ground, service: &str) -> Child {
    let mut command = ground.ours(&["service", "-s", service, "--restart"]);
    command.stderr(Stdio::null()).spawn().expect("starts")
}

async fn go(ground: &dyn Ground, n: usize) {
    let (guid, number) = (format!("guid=run-{n}"), format!("n={n}"));
    let mut going = ground.ours(&["go", "-n", "-r", "two", "-s", &guid, "-s", &number, "-s", "dir=/tmp"]);
    ends("go", &mut going.stdout(Stdio::null()).spawn().expect("starts")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_of_a_site_balance_and_name_what_is_missing() {
    the_books_balance(&Facility::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_of_a_site_on_activemq_balance_and_name_what_is_missing() {
    the_books_balance(&stomp::Facility::new(Setup::default()).await).await;
}

async fn the_books_balance(ground: &dyn Ground) {
    let step = |next| json!({"queue": "runner.submission", "parameters": {"workingdir": "{dir}", "commands": ["true"]}, "output": next});
    ground.recipe("two", &json!({"1": step(json!({"job_processed": 2})), "2": {"queue": "py"}, "start": [[1, []]]}));
    let mut dispatcher = serve(ground, "Dispatcher");
    let mut runner = serve(ground, "Runner");
    ground.served("processing_recipe").await;
    ground.served("runner.submission").await;
    for n in 0..3 {
        go(ground, n).await;
    }
    // Each run is a request, a message for the runner, and one that nobody takes.
    eventually("three finished runs", async || total(&balance(ground).await.1) == [9, 6, 0, 3, 0]).await;

    // With the runner dead, messages wait for it.
    runner.kill().await.expect("it is killed");
    for n in 3..6 {
        go(ground, n).await;
    }
    eventually("three waiting messages", async || total(&balance(ground).await.1) == [15, 9, 0, 6, 0]).await;
    let (code, books, said) = balance(ground).await;
    assert_eq!((code, books["total"]["missing"].as_array().map(Vec::len)), (Some(0), Some(0)), "{said}");

    // One is taken away.
    let id = ground.take_away("runner.submission").await;
    // One that was accepted a moment ago may still be on its way.
    eventually("the missing message is named", async || balance(ground).await.0 == Some(1)).await;
    let (code, books, said) = balance(ground).await;
    assert_eq!(code, Some(1), "{said}");
    let missing = &books["total"]["missing"];
    assert_eq!(*missing, json!([{"id": id, "queue": "runner.submission", "step": 1}]), "{said}");
    let named = format!("missing: message {id} of recipe ID run-3, step 1, last in queue `runner.submission`");
    assert!(said.contains(&named), "{said}");

    // And then all.
    assert_eq!(ground.empty("runner.submission").await, 2);
    let count = |books: &Value| books["total"]["missing"].as_array().map(Vec::len);
    eventually("all are missing", async || count(&balance(ground).await.1) == Some(3)).await;
    let (code, books, said) = balance(ground).await;
    assert_eq!((code, books["total"]["missing"].as_array().map(Vec::len)), (Some(1), Some(3)), "{said}");
    dispatcher.kill().await.expect("it is killed");
}
