//! Messages through a Python class while its processes are killed: the Python process, the process that supervises it, and
//! the host. Each message ends in one place: accepted = finished + dead + queued.
//!
//! `ZRECIPE_SEED=N` plays the same choices again; `ZRECIPE_SOAK=1` plays it at full size.

use std::collections::BTreeMap;

use tokio::sync::watch;
use tokio::time::Instant;
use zrecipe::transport::Error;

use super::*;
use crate::audit::{balance, total};
use crate::campaign::{progress, take};
use crate::soak::{Random, is_soak, seed};
use crate::wait::eventually_ok;

/// How much is played; the kills of each of the three processes are as many.
struct Size {
    messages: usize,
    kills: usize,
}

const SMALL: Size = Size { messages: 600, kills: 9 };
const FULL: Size = Size { messages: 15_000, kills: 100 };

/// Of ten messages, the class refuses one, sends one on to a queue that nobody serves, and eight to the test.
const SHARE: usize = 10;

/// What is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Python,
    Supervisor,
    Host,
}

const VICTIMS: [Victim; 3] = [Victim::Python, Victim::Supervisor, Victim::Host];

/// The processes that a process has started.
fn children(parent: Pid) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", parent.as_raw_nonzero())).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect::<Vec<_>>())
        .collect()
}

fn is_python(process: Pid) -> bool {
    let command = std::fs::read(format!("/proc/{}/cmdline", process.as_raw_nonzero())).unwrap_or_default();
    String::from_utf8_lossy(&command).contains("zrecipe.bridge")
}

/// The process that supervises the Python process of a host, and that process, as soon as both run.
async fn processes(host: &Child) -> (Pid, Pid) {
    let host = host.id().and_then(|id| Pid::from_raw(id as i32)).expect("it runs");
    eventually_ok("a Python process", async || {
        let supervisors = children(host).into_iter();
        let mut pairs =
            supervisors.flat_map(|supervisor| children(supervisor).into_iter().map(move |child| (supervisor, child)));
        pairs.find(|(_, child)| is_python(*child)).ok_or("there is none")
    })
    .await
}

fn serve(ground: &Ground) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(ground.path("log")).expect("a log");
    let mut command = ground.command(&["service", "-s", "Careless", "--restart"]);
    command.stderr(log).spawn().expect("starts")
}

/// Sends all messages, each until it is confirmed.
async fn send(transport: Arc<dyn Transport>, messages: usize) {
    let message = |n: usize| {
        let (payload, target) = match n % SHARE {
            0 => (json!("refused"), "out"),
            1 => (json!(n), "bridged.nothing"),
            _ => (json!(n), "out"),
        };
        let recipe =
            json!({"1": {"queue": "bridged.careless", "output": 2}, "2": {"queue": target}, "start": [[1, payload]]});
        let recipe = read_value(recipe.to_string().as_bytes()).expect("JSON");
        let id = format!("g-{n}");
        let environment = Object::from_iter([("ID".to_owned(), Value::from(id.as_str()))]);
        let started = Envelope::start(recipe, environment, &id).expect("starts").remove(0);
        Outgoing { id, ..started }
    };
    let all: Vec<usize> = (0..messages).collect();
    for batch in all.chunks(50) {
        let batch: Vec<Outgoing> = batch.iter().copied().map(message).collect();
        while let Err(error) = transport.send(batch.clone()).await {
            assert!(!matches!(error, Error::NoSuchQueue(_) | Error::Closed), "{error}");
        }
    }
}

/// The recipe IDs of the messages in a queue, and how many messages there are: the same one may be there twice.
async fn found(transport: &dyn Transport, name: &str) -> (BTreeSet<String>, usize) {
    let waiting = transport.waiting(name).await.expect("a count").messages;
    let mut deliveries = subscribe(transport, queue(name), 100).await;
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    loop {
        // Copies are not handed out, so that it ends before as many came as there were.
        let delivery = tokio::time::timeout(Duration::from_secs(1), deliveries.next()).await;
        let Ok(Some(delivery)) = delivery else {
            if transport.waiting(name).await.expect("a count").messages == 0 {
                break;
            }
            continue;
        };
        transport.settle(&delivery, accept(vec![])).await.expect("settle");
        let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
        let recipe = envelope.id().expect("a recipe ID").to_owned();
        let other = ids.insert(recipe, delivery.id.clone());
        assert!(other.is_none_or(|other| other == delivery.id), "copies have equal IDs: {}", delivery.id);
    }
    (ids.into_keys().collect(), usize::try_from(waiting).expect("few"))
}

#[expect(clippy::print_stdout, reason = "figures for whoever plays it")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_survives_the_death_of_python_services() {
    let (size, seed) = (if is_soak() { FULL } else { SMALL }, seed());
    println!("ZRECIPE_SEED={seed}");
    let mut random = Random(seed);
    let ground = Ground::rabbit().await;
    let facility = ground.facility.as_ref().expect("RabbitMQ");
    let mut host = serve(&ground);
    let consumer: Arc<dyn Transport> = Arc::clone(&ground.transport);
    let (count, mut came) = watch::channel(0);
    let taking = tokio::spawn(take(Arc::clone(&consumer), count));
    let begun = Instant::now();
    let sending = tokio::spawn(send(Arc::clone(&ground.transport), size.messages));
    let (all, tenth) = (size.messages, size.messages / SHARE);
    let answers = all - 2 * tenth;
    let mut killed = [0; VICTIMS.len()];
    for kill in 0..size.kills {
        progress(facility, &mut came, answers * (kill + 1) / (size.kills + 1)).await;
        // Each as often as the others; a message that is begun, or one that is not.
        let (supervisor, python) = processes(&host).await;
        let victim = VICTIMS[kill % VICTIMS.len()];
        tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
        match victim {
            // It may have ended since: by the kill before.
            Victim::Python => _ = kill_process(python, Signal::KILL),
            Victim::Supervisor => _ = kill_process(supervisor, Signal::KILL),
            Victim::Host => {
                host.kill().await.expect("it is killed");
                eventually("the Python process ends with its host", async || !is_python(python)).await;
                host = serve(&ground);
            }
        }
        killed[kill % VICTIMS.len()] += 1;
    }
    progress(facility, &mut came, answers).await;
    within("all is sent", sending).await.expect("join");

    // The services have settled all, and no record says otherwise.
    let mut last = (None, [0; 5], String::new());
    eventually("books without a missing message", async || {
        let (code, books, said) = balance(facility).await;
        last = (code, total(&books), said);
        last.0 == Some(0) && last.1[4] == 0
    })
    .await;
    host.kill().await.expect("it is killed");
    let numbers = |rest: usize| -> BTreeSet<String> {
        (0..all).filter(|n| n % SHARE == rest).map(|n| format!("g-{n}")).collect()
    };
    let (dead, dead_messages) = found(&*consumer, "dlq.bridged.careless").await;
    let (queued, queued_messages) = found(&*consumer, "bridged.nothing").await;
    assert_eq!((dead, queued), (numbers(0), numbers(1)), "each is in its place, and in no other");
    println!(
        "{all} messages, killed {} times Python, {} its supervisor, {} the host, in {:.0} s: finished {answers}, dead {tenth}, \
         queued {tenth}; copies with equal IDs: {} dead, {} queued; books (accepted, finished, dead, queued, running): {:?}",
        killed[0],
        killed[1],
        killed[2],
        begun.elapsed().as_secs_f64(),
        dead_messages - tenth,
        queued_messages - tenth,
        last.1,
    );
    within("an end", consumer.close()).await.expect("close");
    eventually("the consumer has ended", async || taking.is_finished()).await;
    taking.await.expect("each came once");
}
