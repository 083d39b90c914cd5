//! The books of the embedded broker balance at any time, and name what was taken away without the runtime.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use zrecipe::books::Account;
use zrecipe::message::{Envelope, Output};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::embedded::{Broker, Embedded, Options};
use zrecipe::transport::{Outgoing, Settlement, Transport, Verdict};
use zrecipe::value::{Object, Value};

use crate::contract::{accept, message, next, queue, reject, retry, subscribe, topic};
use crate::run;

struct Place {
    _directory: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("broker.db");
        Self { _directory: directory, path }
    }

    async fn open(&self) -> Broker {
        Broker::open(&self.path, Options::default()).await.expect("open")
    }

    /// What somebody else does to the file.
    fn sql(&self, statements: &str) {
        let connection = rusqlite::Connection::open(&self.path).expect("opens");
        connection.execute_batch(statements).expect("sql");
    }
}

/// The first messages of a run of two steps.
fn start(recipe_id: &str) -> Vec<Outgoing> {
    let recipe = r#"{"1": {"queue": "first", "output": 2}, "2": {"queue": "second"}, "start": [[1, []]]}"#;
    let recipe = read_value(recipe.as_bytes()).expect("JSON");
    let environment = Object::from_iter([("ID".to_owned(), Value::from(recipe_id))]);
    Envelope::start(recipe, environment, recipe_id).expect("starts")
}

/// Counts of an account: finished, dead, queued, running, removed, missing.
fn counts(account: &Account) -> [u64; 6] {
    let Account { finished, dead, queued, running, removed, missing, .. } = account;
    [*finished, *dead, *queued, *running, *removed, missing.len() as u64]
}

async fn account(broker: &Broker, recipe_id: Option<&str>) -> Account {
    let accounts = broker.accounts().await.expect("can be read");
    let found = accounts.into_iter().find(|account| account.recipe_id.as_deref() == recipe_id).unwrap_or_default();
    let sum: u64 = counts(&found).iter().sum();
    assert_eq!(found.accepted, sum, "{found:?}");
    assert_eq!(found.is_balanced(), found.missing.is_empty());
    found
}

async fn spaced(broker: &Broker) -> Embedded {
    let space = broker.namespace("test");
    for queue in ["first", "second", "plain"] {
        space.declare(queue).await.expect("declared");
    }
    space
}

#[tokio::test]
async fn every_fate_of_a_message_is_in_the_books() {
    let place = Place::new();
    let broker = place.open().await;
    let space = spaced(&broker).await;
    let mut first = subscribe(&space, queue("first"), 1).await;
    let mut second = subscribe(&space, queue("second"), 1).await;
    let of_a = async || counts(&account(&broker, Some("a")).await);

    assert_eq!(of_a().await, [0; 6]);
    space.send(start("a")).await.expect("sent");
    let got = next(&mut first).await;
    assert_eq!(of_a().await, [0, 0, 0, 1, 0, 0], "with a service");
    space.settle(&got, retry(Duration::from_millis(1))).await.expect("settled");
    let got = next(&mut first).await;
    let envelope = Envelope::read(&got.headers, &got.body).expect("a recipe");
    let outputs = [Output { channel: None, payload: Value::Null, headers: Object::new(), sending: Default::default() }];
    let outputs = envelope.advance(&got.id, &outputs, None).expect("goes on");
    space.settle(&got, accept(outputs.clone())).await.expect("settled");
    let got = next(&mut second).await;
    assert_eq!(of_a().await, [1, 0, 0, 1, 0, 0]);
    space.settle(&got, reject("no")).await.expect("settled");
    assert_eq!(of_a().await, [1, 1, 0, 0, 0, 0]);

    // Sent once more with the same IDs, they are the same messages.
    space.send(start("a")).await.expect("sent");
    assert_eq!(of_a().await, [1, 1, 0, 0, 0, 0]);

    // A letter goes back with its own ID, and then to a file.
    let mut letters = subscribe(&space, queue("dlq.second"), 1).await;
    let letter = next(&mut letters).await;
    let back = Outgoing::new(letter.id.clone(), queue("plain"), letter.headers.clone(), letter.body.clone());
    space.settle(&letter, accept(vec![back])).await.expect("settled");
    assert_eq!(of_a().await, [1, 0, 1, 0, 0, 0]);
    let mut plain = subscribe(&space, queue("plain"), 1).await;
    let got = next(&mut plain).await;
    space.settle(&got, reject("no")).await.expect("settled");
    let mut letters = subscribe(&space, queue("dlq.plain"), 1).await;
    let letter = next(&mut letters).await;
    space.settle(&letter, accept(vec![])).await.expect("settled");
    assert_eq!(of_a().await, [1, 0, 0, 0, 1, 0], "removed with a command");

    // Delayed, purged, and what has no recipe. Broadcasts are in no book.
    drop((first, second, plain, letters));
    let delayed = start("b").into_iter().map(|message| Outgoing { delay: Some(Duration::from_secs(60)), ..message });
    space.send(delayed.collect()).await.expect("sent");
    assert_eq!(counts(&account(&broker, Some("b")).await), [0, 0, 1, 0, 0, 0]);
    space.purge("first").await.expect("purged");
    assert_eq!(counts(&account(&broker, Some("b")).await), [0, 0, 0, 0, 1, 0]);
    let copies = subscribe(&space, topic("news"), 1).await;
    space.send(vec![message("news", topic("news")), message("m", queue("plain"))]).await.expect("sent");
    assert_eq!(counts(&account(&broker, None).await), [0, 0, 1, 0, 0, 0]);
    drop(copies);
    assert_eq!(counts(&account(&broker, None).await), [0, 0, 1, 0, 0, 0]);

    let total = Account::total(&broker.accounts().await.expect("can be read"));
    assert_eq!((total.accepted, counts(&total)), (4, [1, 0, 1, 0, 2, 0]));
}

#[tokio::test]
async fn what_is_taken_away_without_the_runtime_is_named_with_its_step() {
    let place = Place::new();
    let broker = place.open().await;
    let space = spaced(&broker).await;
    space.send(start("a")).await.expect("sent");
    space.send(start("b")).await.expect("sent");
    place.sql("DELETE FROM message WHERE seq = (SELECT min(seq) FROM message)");
    let found = account(&broker, Some("a")).await;
    assert_eq!(counts(&found), [0, 0, 0, 0, 0, 1]);
    let [missing] = found.missing.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (missing.id.as_str(), missing.queue.as_str(), missing.step),
        (start("a")[0].id.as_str(), "first", Some(1))
    );
    assert_eq!(counts(&account(&broker, Some("b")).await), [0, 0, 1, 0, 0, 0]);
    // A message whose content is gone is never delivered.
    place.sql("DELETE FROM content");
    assert_eq!(counts(&account(&broker, Some("b")).await), [0, 0, 0, 0, 0, 1]);
}

/// A version without books may work on the same file at the same time.
#[tokio::test]
async fn earlier_versions_share_the_file() {
    let place = Place::new();
    let broker = place.open().await;
    let space = spaced(&broker).await;
    let mut first = subscribe(&space, queue("first"), 1).await;
    space.send(start("a")).await.expect("sent");
    let got = next(&mut first).await;
    space.settle(&got, accept(vec![])).await.expect("settled");
    // What an earlier version settles is in the history alone.
    place.sql("UPDATE inbox SET fate = NULL");
    assert_eq!(counts(&account(&broker, Some("a")).await), [1, 0, 0, 0, 0, 0]);
    drop((first, space));
    broker.close().await.expect("closes");
    // A file that only an earlier version has written.
    place.sql(
        "ALTER TABLE inbox DROP COLUMN queue; ALTER TABLE inbox DROP COLUMN recipe;
         ALTER TABLE inbox DROP COLUMN step; ALTER TABLE inbox DROP COLUMN fate",
    );
    let broker = Broker::open_to_read(&place.path).await.expect("opens");
    assert_eq!(broker.accounts().await.expect("can be read"), []);
    let broker = place.open().await;
    assert_eq!(broker.accounts().await.expect("can be read"), []);
    let space = spaced(&broker).await;
    // The insertion of the earlier version still works.
    place.sql("INSERT INTO inbox(seq, namespace, id, at) VALUES(1000, 1, 'old', 1)");
    space.send(start("b")).await.expect("sent");
    assert_eq!(counts(&account(&broker, Some("b")).await), [0, 0, 1, 0, 0, 0]);
    let total = Account::total(&broker.accounts().await.expect("can be read"));
    assert_eq!(total.accepted, 1);
}

#[tokio::test]
async fn releases_change_nothing() {
    let place = Place::new();
    let broker = place.open().await;
    let space = spaced(&broker).await;
    let mut first = subscribe(&space, queue("first"), 1).await;
    space.send(start("a")).await.expect("sent");
    for verdict in [Verdict::Release, Verdict::Requeue { after: Duration::ZERO }] {
        let got = next(&mut first).await;
        space.settle(&got, Settlement::of(verdict)).await.expect("settled");
    }
    let got = next(&mut first).await;
    assert_eq!(counts(&account(&broker, Some("a")).await), [0, 0, 0, 1, 0, 0]);
    space.settle(&got, accept(vec![])).await.expect("settled");
    assert_eq!(counts(&account(&broker, Some("a")).await), [1, 0, 0, 0, 0, 0]);
}

#[test]
fn the_command_says_what_is_missing() {
    let place = run::Place::new();
    place.zrecipe(&["run", "example", "-p", "workingdir=.", "-p", "guid=done"]).ends(0);
    place.zrecipe(&["audit", "balance"]).ends(0);
    let connection = rusqlite::Connection::open(place.path("state/zrecipe.db")).expect("opens");
    connection.execute_batch("UPDATE inbox SET fate = NULL; DELETE FROM history").expect("sql");
    let said = place.zrecipe(&["audit", "balance"]).ends(1);
    said.says("of recipe ID done, step 1, last in queue `runner.submission`");
}
