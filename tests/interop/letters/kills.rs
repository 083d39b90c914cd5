//! Dead letters in files and back, while tools and the broker are killed.

use super::*;

/// Far longer than any pause on the way.
const PATIENCE: Duration = Duration::from_secs(900);

/// Queues with dead letters.
const QUEUES: usize = 20;

/// What is killed.
#[derive(Clone, Copy, PartialEq)]
enum Kill {
    Tool,
    Broker,
}

/// How much is played: the letters of each queue, and after which share of them what is killed.
struct Size {
    letters: usize,
    purge: &'static [(f64, Kill)],
    reinject: &'static [(f64, Kill)],
}

const SMALL: Size = Size {
    letters: 20,
    purge: &[(0.2, Kill::Tool), (0.5, Kill::Broker), (0.7, Kill::Tool)],
    reinject: &[(0.2, Kill::Tool), (0.5, Kill::Broker), (0.7, Kill::Tool)],
};

const FULL: Size = Size {
    letters: 500,
    purge: &[
        (0.1, Kill::Tool),
        (0.25, Kill::Tool),
        (0.4, Kill::Broker),
        (0.55, Kill::Tool),
        (0.7, Kill::Tool),
        (0.9, Kill::Tool),
    ],
    reinject: &[
        (0.1, Kill::Tool),
        (0.25, Kill::Broker),
        (0.4, Kill::Tool),
        (0.5, Kill::Tool),
        (0.6, Kill::Broker),
        (0.75, Kill::Tool),
        (0.9, Kill::Tool),
    ],
};

/// Runs a tool until it has come to its end and `progress` says that all is done; kills on the way.
async fn play(
    facility: &mut Facility,
    arguments: &[&str],
    total: usize,
    kills: &[(f64, Kill)],
    progress: impl Fn() -> usize,
) {
    let begun = Instant::now();
    let mut kills = kills.iter().peekable();
    loop {
        let mut tool = facility.ours(arguments);
        let mut tool = tool.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let is_done = loop {
            assert!(begun.elapsed() < PATIENCE, "{arguments:?}: {} of {total} after too long", progress());
            if let Some(status) = tool.try_wait().expect("waits") {
                break status.success();
            }
            let due = kills.peek().filter(|(share, _)| progress() as f64 >= share * total as f64);
            match due.map(|(_, kill)| *kill) {
                None => sleep(Duration::from_millis(10)).await,
                Some(kill) => {
                    kills.next();
                    if kill == Kill::Tool {
                        tool.kill().await.expect("it is killed");
                        break false;
                    }
                    facility.node.restart().await;
                }
            }
        };
        if is_done && kills.peek().is_none() && progress() == total {
            return;
        }
    }
}

#[expect(clippy::print_stdout, reason = "figures for whoever plays it at full size")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dead_letter_is_in_one_place_whatever_is_killed() {
    let size = if std::env::var_os("ZRECIPE_SOAK").is_some_and(|value| value == "1") { FULL } else { SMALL };
    let total = QUEUES * size.letters;
    let names: Vec<String> = (0..QUEUES).map(|n| format!("work.{n:02}")).collect();
    let mut facility = Facility::new().await;
    facility.channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    for (number, name) in names.iter().enumerate() {
        declare(&facility.channel, name, None).await;
        bury(&facility.channel, name, number * size.letters..(number + 1) * size.letters).await;
    }
    let dead: Vec<String> = names.iter().map(|name| format!("dlq.{name}")).collect();
    let host = Host { name: "127.0.0.1".to_owned(), port: facility.node.port };
    let transport = Amqp::connect(Options::new(vec![host])).await.expect("connect");
    eventually("all are dead", async || count(&transport, &dead).await == total as u64).await;
    // As the public configuration has it: what comes back more often is dropped.
    facility.node.control(&["set_policy", "redelivery", ".*", r#"{"delivery-limit": 5}"#, "--apply-to", "queues"]);
    let begun = Instant::now();

    let place = facility.path("letters");
    let location = place.display().to_string();
    let purge = ["dlq", "purge", "--wait", "0.3", "--location", &location];
    play(&mut facility, &purge, total, size.purge, || files(&place).len()).await;
    assert_eq!(count(&transport, &dead).await, 0, "what is in a file is in no queue");
    let mut kept: Vec<u64> =
        files(&place).iter().map(|path| number_of(&std::fs::read(path).expect("is read"))).collect();
    kept.sort_unstable();
    assert!(kept.into_iter().eq(0..total as u64), "each letter is in one file");
    let purged = begun.elapsed();

    let reinject = ["dlq", "reinject", "-r", &location];
    play(&mut facility, &reinject, total, size.reinject, || total - files(&place).len()).await;
    assert_eq!(count(&transport, &dead).await, 0);
    let came = count(&transport, &names).await;
    // Whoever takes them knows the same message by its id.
    let mut found: BTreeMap<u64, (String, usize)> = BTreeMap::new();
    for name in &names {
        let mut deliveries = subscribe(&transport, queue(name), 100).await;
        let mut taken = 0;
        // What comes twice is not handed out twice.
        while taken < size.letters || count(&transport, std::slice::from_ref(name)).await > 0 {
            assert!(begun.elapsed() < PATIENCE * 2, "{name} has given {taken} of {}", size.letters);
            let Ok(Some(delivery)) = timeout(Duration::from_secs(1), deliveries.next()).await else { continue };
            taken += 1;
            let body: Json = serde_json::from_slice(&delivery.body).expect("is JSON");
            transport.settle(&delivery, accept(vec![])).await.expect("settle");
            let entry = found.entry(body["n"].as_u64().expect("a number")).or_insert_with(|| (name.clone(), 0));
            assert_eq!(entry.0, *name, "{body} is in two queues");
            entry.1 += 1;
        }
    }
    let kills = |kill| [size.purge, size.reinject].concat().iter().filter(|(_, killed)| *killed == kill).count();
    println!(
        "{total} letters, {} tool kills, {} broker kills: purged in {:.0} s, all back after {:.0} s, {} sent twice",
        kills(Kill::Tool),
        kills(Kill::Broker),
        purged.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        came - total as u64,
    );
    assert!(found.keys().copied().eq(0..total as u64), "each letter is back");
    assert!(found.values().all(|(_, times)| *times == 1), "and is taken once");
    for (number, (name, _)) in &found {
        assert_eq!(*name, names[*number as usize / size.letters], "{number} is where it died");
    }
}

fn number_of(file: &[u8]) -> u64 {
    let file: Json = serde_json::from_slice(file).expect("a whole file");
    file["message"]["n"].as_u64().expect("a number")
}
