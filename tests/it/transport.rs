//! What only the embedded broker promises, and that it keeps the contract of all transports.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use zrecipe::transport::embedded::{self, Broker, Census, Conclusion, Embedded, Options, Record};
use zrecipe::transport::{Endpoint as _, Error, Outage, Outgoing, Settlement, State, Transport, Verdict, memory};
use zrecipe::value::Value;

use crate::contract::{
    Ability, Stage, accept, check_contract, death, deaths, ending, message, next, nothing_else_comes, queue, reject,
    retry, subscribe, topic, within,
};
use crate::wait::eventually_ok;

mod processes;

/// Embedded brokers, each in a file of its own.
struct Files {
    directory: tempfile::TempDir,
    count: AtomicUsize,
}

#[async_trait::async_trait]
impl Stage for Files {
    fn can(&self, ability: Ability) -> bool {
        ability.is_in(&embedded::TRANSPORT.capabilities)
    }

    async fn fresh(&self) -> Arc<dyn Transport> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.path().join(format!("{number}.db"));
        let options = Options { delivery_limit: 2, ..Options::default() };
        let broker = Broker::open(&path, options).await.expect("open");
        Arc::new(broker.namespace("test"))
    }
}

/// Brokers in memory, each of its own.
struct InMemory;

#[async_trait::async_trait]
impl Stage for InMemory {
    fn can(&self, ability: Ability) -> bool {
        ability.is_in(&memory::TRANSPORT.capabilities)
    }

    async fn fresh(&self) -> Arc<dyn Transport> {
        memory::Broker::new("test", 2).connect("test").await.expect("connect")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_in_memory_keeps_the_contract() {
    check_contract(Arc::new(InMemory)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_broker_keeps_the_contract() {
    let directory = tempfile::tempdir().expect("a directory");
    check_contract(Arc::new(Files { directory, count: AtomicUsize::new(0) })).await;
}

// ---------------------------------------------------------------------------------------------------------------
// Other processes: this test binary once more, told by a variable what to be.

struct Place {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state").join("broker.db");
        Self { _directory: directory, path }
    }

    async fn open(&self) -> Broker {
        Broker::open(&self.path, Options::default()).await.expect("open")
    }
}

/// Waits until the namespace looks as wanted, however it gets there.
async fn until(space: &Embedded, what: &str, wanted: impl Fn(Census) -> bool) -> Census {
    within(what, async {
        loop {
            let census = space.census().await.expect("census");
            if wanted(census) {
                return census;
            }
            space.changed().await.expect("changed");
        }
    })
    .await
}

// ---------------------------------------------------------------------------------------------------------------
// In one process

#[tokio::test]
async fn namespaces_are_private() {
    let place = Place::new();
    let broker = place.open().await;
    let (one, two) = (broker.namespace("one"), broker.namespace("two"));
    let mut of_two = subscribe(&two, queue("q"), 1).await;
    let mut heard_by_two = subscribe(&two, topic("t"), 1).await;
    assert!(matches!(one.send(vec![message("m", queue("q"))]).await, Err(Error::NoSuchQueue(_))));
    let mut of_one = subscribe(&one, queue("q"), 1).await;
    one.send(vec![message("m", queue("q")), message("n", topic("t"))]).await.expect("send");
    nothing_else_comes(&two, topic("t"), &mut heard_by_two).await;
    two.send(vec![message("m", queue("q"))]).await.expect("the same id is another message there");
    let (first, second) = (next(&mut of_one).await, next(&mut of_two).await);
    assert!(matches!(two.settle(&first, accept(vec![])).await, Err(Error::NotHeld)));
    one.settle(&first, accept(vec![])).await.expect("settle");
    two.describe(Value::from("two")).await.expect("describe");
    assert_eq!(one.description().await.expect("description"), None);
    assert_eq!(two.description().await.expect("description"), Some(Value::from("two")));
    one.forget().await.expect("forget");
    assert_eq!(within("the end", of_one.next()).await, None, "nothing is left to subscribe to");
    assert_eq!(one.history().await.expect("history"), []);
    assert_eq!(two.census().await.expect("census"), Census { held: 1, ..Census::default() });
    let names: Vec<_> = broker.namespaces().await.expect("namespaces").into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["two"]);
    two.settle(&second, accept(vec![])).await.expect("settle");
}

#[tokio::test]
async fn closing_and_dropping_release_without_counting() {
    let place = Place::new();
    let watcher = place.open().await;
    let watched = watcher.namespace("test");
    watched.declare("q").await.expect("declare");
    watched.send((0..3).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    for way in ["close the handle", "close the broker", "drop the handle", "drop all"] {
        let broker = place.open().await;
        let space = broker.namespace("test");
        let mut deliveries = subscribe(&space, queue("q"), 3).await;
        assert_eq!(next(&mut deliveries).await.deliveries, 1, "{way}");
        until(&watched, "it holds all", |census| census.held == 3).await;
        match way {
            "close the handle" => space.close().await.expect("close"),
            "close the broker" => broker.close().await.expect("close"),
            "drop the handle" => drop(space),
            _ => drop((space, broker)),
        }
        // What was handed out before stays readable; then it ends.
        while within("the end", deliveries.next()).await.is_some() {}
        until(&watched, way, |census| census.ready == 3).await;
        let stored = watched.messages(None).await.expect("messages");
        let counts: Vec<_> = stored.iter().map(|stored| (stored.state, stored.deliveries)).collect();
        assert_eq!(counts, [(State::Ready, 0); 3], "{way}");
    }
}

#[tokio::test]
async fn a_process_taken_for_dead_by_mistake_carries_on() {
    let place = Place::new();
    let (ours, theirs) = (place.open().await.namespace("test"), place.open().await.namespace("test"));
    let mut deliveries = subscribe(&ours, queue("q"), 1).await;
    ours.send(vec![message("m", queue("q"))]).await.expect("send");
    let lost = next(&mut deliveries).await;
    // Somebody tidies up what he does not know.
    let files = place.path.with_extension("db.d");
    for entry in std::fs::read_dir(&files).expect("files") {
        let path = entry.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            std::fs::remove_file(path).expect("remove");
        }
    }
    // Whoever opens next finds everybody dead.
    drop(place.open().await);
    assert!(matches!(ours.settle(&lost, accept(vec![])).await, Err(Error::NotHeld)));
    let got = next(&mut deliveries).await;
    assert_eq!((got.id.as_str(), got.deliveries), ("m", 2), "the place of the lost one is free again");
    assert_eq!(theirs.census().await.expect("census"), Census { held: 1, ..Census::default() });
    drop(place.open().await);
    ours.settle(&got, accept(vec![])).await.expect("it is registered again");
}

#[tokio::test]
async fn a_namespace_forgotten_elsewhere_ends_subscriptions() {
    let place = Place::new();
    let (ours, theirs) = (place.open().await.namespace("test"), place.open().await.namespace("test"));
    let mut deliveries = subscribe(&ours, queue("q"), 1).await;
    theirs.forget().await.expect("forget");
    assert_eq!(within("the end", deliveries.next()).await, None);
}

#[tokio::test]
async fn history_and_messages_tell_the_story() {
    let place = Place::new();
    let space = place.open().await.namespace("test");
    let mut deliveries = subscribe(&space, queue("q"), 10).await;
    let late = Outgoing { delay: Some(Duration::from_secs(3_600)), ..message("late", queue("q")) };
    space
        .send(vec![message("a", queue("q")), message("b", queue("q")), message("c", queue("q")), late])
        .await
        .expect("send");
    let (a, b, c) = (next(&mut deliveries).await, next(&mut deliveries).await, next(&mut deliveries).await);
    let note = Value::from([("seconds", Value::from(1.5))]);
    space.settle(&a, Settlement { note: Some(note.clone()), ..accept(vec![]) }).await.expect("settle");
    space.settle(&b, reject("bad")).await.expect("settle");
    space.settle(&c, ending(Verdict::Release)).await.expect("settle");
    let c = next(&mut deliveries).await;
    space.settle(&c, retry(Duration::from_secs(3_600))).await.expect("settle");
    let history = space.history().await.expect("history");
    let told: Vec<_> = history
        .iter()
        .map(|record| (record.id.as_str(), record.verdict.as_str(), record.reason.as_deref(), record.note.clone()))
        .collect();
    let told_of = |id, verdict, reason, note| (id, verdict, reason, note);
    assert_eq!(
        told,
        [
            told_of("a", "accept", None, Some(note)),
            told_of("b", "dead-letter", Some("bad"), None),
            told_of("c", "retry", Some("not now"), None),
        ]
    );
    assert!(history.iter().all(|record| record.source == queue("q") && record.sent <= record.at));
    let stored = space.messages(None).await.expect("messages");
    let there: Vec<_> = stored
        .iter()
        .map(|stored| (stored.queue.as_str(), stored.id.as_str(), stored.state, stored.deliveries))
        .collect();
    assert_eq!(
        there,
        [("dlq.q", "b", State::Ready, 0), ("q", "c", State::Delayed, 1), ("q", "late", State::Delayed, 0)]
    );
    assert_eq!(space.census().await.expect("census"), Census { ready: 0, delayed: 2, held: 0, dead: 1 });
}

#[tokio::test]
async fn changed_misses_nothing() {
    let place = Place::new();
    let (here, there) = (place.open().await, place.open().await);
    let space = here.namespace("test");
    let elsewhere = here.namespace("other");
    for (id, sender) in [("m", here.namespace("test")), ("n", there.namespace("test"))] {
        sender.declare(id).await.expect("declare");
        within("the change before the call", space.changed()).await.expect("changed");
        sender.send(vec![message(id, queue(id))]).await.expect("send");
        within("the change", space.changed()).await.expect("changed");
    }
    let waiting = tokio::spawn({
        let space = space.clone();
        async move { space.changed().await }
    });
    elsewhere.declare("q").await.expect("declare");
    within("the change elsewhere", elsewhere.changed()).await.expect("changed");
    space.close().await.expect("close");
    let ended = within("the end", waiting).await.expect("join");
    assert!(matches!(ended, Err(Error::Closed)), "another namespace is not ours");
}

#[tokio::test]
async fn many_at_once_lose_and_double_nothing() {
    let place = Place::new();
    let space = place.open().await.namespace("test");
    let mut deliveries = subscribe(&space, queue("q"), 50).await;
    const COUNT: usize = 500;
    let senders: Vec<_> = (0..COUNT)
        .map(|n| {
            let space = space.clone();
            tokio::spawn(async move {
                // Every third one is refused, and must take nobody with it.
                let place = if n % 3 == 0 { "nowhere" } else { "q" };
                space.send(vec![message(&n.to_string(), queue(place))]).await.is_ok()
            })
        })
        .collect();
    let mut expected = 0;
    for sender in senders {
        expected += usize::from(within("a sender", sender).await.expect("join"));
    }
    assert_eq!(expected, COUNT - COUNT.div_ceil(3));
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..expected {
        let got = next(&mut deliveries).await;
        assert!(ids.insert(got.id.clone()), "{} came twice", got.id);
        let space = space.clone();
        tokio::spawn(async move { space.settle(&got, accept(vec![])).await });
    }
    until(&space, "all is settled", |census| census == Census::default()).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let place = Place::new();
    let broker =
        Broker::open(&place.path, Options { max_message_bytes: 1_000, ..Options::default() }).await.expect("open");
    let space = broker.namespace("test");
    space.declare("q").await.expect("declare");
    let large = Outgoing { body: vec![b' '; 1_001], ..message("m", queue("q")) };
    let refused = space.send(vec![message("n", queue("q")), large]).await;
    assert!(matches!(&refused, Err(Error::Unsendable { destination, .. }) if destination == "q"), "{refused:?}");
    assert_eq!(space.census().await.expect("census"), Census::default());
}

#[tokio::test]
async fn old_ids_are_forgotten_and_those_of_stored_messages_are_not() {
    let place = Place::new();
    let broker =
        Broker::open(&place.path, Options { remember_ids: Duration::ZERO, ..Options::default() }).await.expect("open");
    let space = broker.namespace("test");
    let mut deliveries = subscribe(&space, queue("q"), 1).await;
    space.send(vec![message("m", queue("q")), message("n", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    space.settle(&got, accept(vec![])).await.expect("settle");
    drop((deliveries, space, broker));
    // Opening starts a new round of pruning.
    let broker =
        Broker::open(&place.path, Options { remember_ids: Duration::ZERO, ..Options::default() }).await.expect("open");
    let space = broker.namespace("test");
    space.declare("q").await.expect("declare");
    space.send(vec![message("m", queue("q")), message("n", queue("q"))]).await.expect("send");
    let stored = space.messages(None).await.expect("messages");
    let ids: Vec<_> = stored.iter().map(|stored| stored.id.as_str()).collect();
    assert_eq!(ids, ["n", "m"]);
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("text"), "this is no database, but long enough to be looked at".repeat(40)).expect("write");
    std::fs::write(at("file"), "").expect("write");
    let sql = |path: &Path, statements: &str| {
        rusqlite::Connection::open(path).and_then(|connection| connection.execute_batch(statements)).expect("sql");
    };
    sql(&at("other"), "CREATE TABLE somebody(elses INTEGER)");
    drop(Broker::open(&at("newer"), Options::default()).await.expect("open"));
    sql(&at("newer"), "PRAGMA user_version = 99");
    for (path, reason) in [
        (at("text"), "not a database"),
        (at("file").join("below"), "--state DIR"),
        (PathBuf::from("/proc/zrecipe/broker.db"), "--state DIR"),
        (at("other"), "another program"),
        (at("newer"), "newer zrecipe (schema 99"),
    ] {
        match Broker::open(&path, Options::default()).await {
            Err(Error::Unavailable { place, cause: Outage::File, reason: given }) => {
                assert_eq!(place, path.display().to_string());
                assert!(given.contains(reason), "{place}: {given}");
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}

#[tokio::test]
async fn files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let space = place.open().await.namespace("test");
    space.declare("q").await.expect("declare");
    let mode = |path: &Path| std::fs::metadata(path).map(|data| data.permissions().mode() & 0o777);
    let directory = place.path.parent().expect("a parent");
    assert_eq!(mode(directory).expect("mode"), 0o700);
    for entry in std::fs::read_dir(directory).expect("files") {
        let path = entry.expect("a file").path();
        assert_eq!(mode(&path).expect("mode"), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}
