//! The whole of a facility under faults: services are killed, the broker is, connections are cut, and the broker runs short.
//! At the end the books account for every message: accepted = finished + dead + queued.
//!
//! `ZRECIPE_SEED=N` plays the same choices again; `ZRECIPE_SOAK=1` plays it at full size.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use zrecipe::message::Envelope;
use zrecipe::transport::{Error, Outgoing, Transport};

use crate::activemq::Setup;
use crate::audit::{balance, total};
use crate::contract::{accept, message, queue, subscribe};
use crate::ground::{Ground, Shortage};
use crate::proxy::Proxy;
use crate::soak::{Random, is_soak, seed};
use crate::stomp;
use crate::wait::{PATIENCE, eventually, within};

/// How much is played.
struct Size {
    requests: usize,
    kills: usize,
    nodes: usize,
    cuts: usize,
    shortages: usize,
}

const SMALL: Size = Size { requests: 300, kills: 5, nodes: 1, cuts: 2, shortages: 1 };
const FULL: Size = Size { requests: 5_000, kills: 50, nodes: 10, cuts: 20, shortages: 3 };

/// Of ten requests, one names a recipe that is missing, one leads to a queue that nobody serves, one is worked on, and
/// seven are passed on.
const SHARE: usize = 10;

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill,
    BrokerDeath,
    Cut,
    Short(Shortage),
}

/// The services; those of one name share a queue.
const SERVICES: [&str; 3] = ["Dispatcher", "Dispatcher", "Runner"];

fn serve(ground: &dyn Ground, service: &str) -> Child {
    let mut command = ground.ours(&["service", "-s", service, "--restart"]);
    command.env("ZOCALO_CONFIG", ground.path("by-proxy.yml"));
    let log = std::fs::File::options().create(true).append(true).open(ground.path("log")).expect("a log");
    command.stderr(log).spawn().expect("starts")
}

/// Sends all requests, each until it is confirmed.
async fn send(transport: Arc<dyn Transport>, requests: usize) {
    let numbers: Vec<usize> = (0..requests).collect();
    for batch in numbers.chunks(20) {
        let request = |n: &usize| {
            let recipe = match n % SHARE {
                0 => "missing",
                1 => "kept",
                2 => "worked",
                _ => "passed",
            };
            let body = json!({"recipes": [recipe], "parameters": {"n": n.to_string(), "guid": format!("g-{n}")}});
            Outgoing {
                body: body.to_string().into_bytes(),
                ..message(&format!("request-{n}"), queue("processing_recipe"))
            }
        };
        let batch: Vec<Outgoing> = batch.iter().map(request).collect();
        while let Err(error) = transport.send(batch.clone()).await {
            assert!(!matches!(error, Error::NoSuchQueue(_) | Error::Closed), "{error}");
        }
    }
}

/// Takes what the services send to queue `out`, and counts the recipe IDs, `g-N`.
pub async fn take(transport: Arc<dyn Transport>, count: watch::Sender<usize>) {
    let mut came: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut out = subscribe(&*transport, queue("out"), 50).await;
    while let Some(delivery) = out.next().await {
        let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
        let n = envelope.id().and_then(|id| id.strip_prefix("g-")?.parse().ok());
        let ids = came.entry(n.expect("a number")).or_default();
        ids.insert(delivery.id.clone());
        assert_eq!(ids.len(), 1, "one message for a request, however often it was sent: {ids:?}");
        match transport.settle(&delivery, accept(vec![])).await {
            Ok(()) | Err(Error::NotHeld | Error::Unconfirmed { .. } | Error::Closed) => {}
            Err(error) => panic!("{error}"),
        }
        count.send_replace(came.len());
    }
}

/// Waits until this number of them has come.
pub async fn progress(ground: &dyn Ground, came: &mut watch::Receiver<usize>, due: usize) {
    loop {
        let before = *came.borrow_and_update();
        if before >= due {
            return;
        }
        if let Ok(changed) = timeout(PATIENCE, came.changed()).await {
            changed.expect("it is received");
            continue;
        }
        let queues = ground.ours(&["queues"]).output().await.expect("starts").stdout;
        let log = std::fs::read_to_string(ground.path("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(40).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        panic!("nothing comes after {before} of {due}\n{}\n{last}", String::from_utf8_lossy(&queues));
    }
}

fn faults(ground: &dyn Ground, size: &Size, random: &mut Random) -> Vec<Fault> {
    let mut faults = vec![Fault::Kill; size.kills];
    faults.extend(vec![Fault::BrokerDeath; size.nodes]);
    faults.extend(vec![Fault::Cut; size.cuts]);
    let shortages = ground.shortages();
    faults.extend((0..size.shortages).map(|n| Fault::Short(shortages[n % shortages.len()])));
    for last in (1..faults.len()).rev() {
        faults.swap(last, usize::try_from(random.below(last as u64 + 1)).expect("few"));
    }
    faults
}

async fn play(ground: &mut dyn Ground, proxy: &Proxy, services: &mut [Child], fault: Fault, random: &mut Random) {
    match fault {
        Fault::Kill => {
            let which = usize::try_from(random.below(SERVICES.len() as u64)).expect("few");
            services[which].kill().await.expect("it is killed");
            services[which] = serve(ground, SERVICES[which]);
        }
        Fault::BrokerDeath => ground.restart().await,
        Fault::Cut => {
            proxy.open(false);
            proxy.open(true);
        }
        Fault::Short(shortage) => {
            ground.begin(shortage).await;
            ground.takes_nothing().await;
            ground.end(shortage).await;
        }
    }
}

#[expect(clippy::print_stdout, reason = "figures for whoever plays it")]
async fn campaign(mut ground: Box<dyn Ground>) {
    let (size, seed) = (if is_soak() { FULL } else { SMALL }, seed());
    println!("ZRECIPE_SEED={seed}");
    let mut random = Random(seed);
    ground.recipe("kept", &json!({"1": {"queue": "kept"}, "start": [[1, 1]]}));
    let step = json!({"queue": "runner.submission", "parameters": {"workingdir": "/tmp", "commands": ["true"]},
                      "output": {"job_processed": 2}});
    ground.recipe("worked", &json!({"1": step, "2": {"queue": "out"}, "start": [[1, 1]]}));
    ground.recipe("passed", &json!({"1": {"queue": "out"}, "start": [[1, 1]]}));
    let proxy = ground.proxy().await;
    ground.site_by(&proxy);
    let mut services: Vec<Child> = SERVICES.iter().map(|service| serve(&*ground, service)).collect();
    let (sender, consumer) = (ground.connect(PATIENCE / 6).await, ground.connect(PATIENCE / 6).await);
    let (count, mut came) = watch::channel(0);
    let taking = tokio::spawn(take(consumer.clone(), count));
    let begun = Instant::now();
    let sending = tokio::spawn(send(sender.clone(), size.requests));
    let faults = faults(&*ground, &size, &mut random);
    let answers = size.requests / SHARE * (SHARE - 2);
    let steps = faults.len() + 1;
    for (n, fault) in faults.into_iter().enumerate() {
        progress(&*ground, &mut came, answers * (n + 1) / steps).await;
        println!("{:>6} s: {fault:?} after {}", begun.elapsed().as_secs(), *came.borrow());
        play(&mut *ground, &proxy, &mut services, fault, &mut random).await;
    }
    progress(&*ground, &mut came, answers).await;
    within("all is sent", sending).await.expect("join");

    // Each request, what is kept, what is worked on, and the answers.
    let (all, tenth, answers) = (size.requests as u64, (size.requests / SHARE) as u64, answers as u64);
    let expected = [all + 2 * tenth + answers, all + answers, tenth, tenth, 0];
    let mut last = (None, [0; 5], String::new());
    let looks = timeout(PATIENCE, async {
        loop {
            let (code, books, said) = balance(&*ground).await;
            last = (code, total(&books), said);
            if last.0 == Some(0) && last.1 == expected {
                break;
            }
        }
    });
    let is_balanced = looks.await.is_ok();
    assert!(is_balanced, "accepted, finished, dead, queued, running: {:?} and not {expected:?}\n{}", last.1, last.2);
    println!(
        "{} requests, {} kills of services, {} of the broker, {} cuts, {} shortages in {:.0} s: accepted {}, finished {}, \
         dead {}, queued {}",
        size.requests,
        size.kills,
        size.nodes,
        size.cuts,
        size.shortages,
        begun.elapsed().as_secs_f64(),
        last.1[0],
        last.1[1],
        last.1[2],
        last.1[3],
    );
    for mut service in services {
        service.kill().await.expect("it is killed");
    }
    within("an end", consumer.close()).await.expect("close");
    within("an end", sender.close()).await.expect("close");
    eventually("the consumer has ended", async || taking.is_finished()).await;
    taking.await.expect("each came once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_messages_of_activemq_are_accounted_for_after_all_faults() {
    campaign(Box::new(stomp::Facility::new(Setup::default()).await)).await;
}
