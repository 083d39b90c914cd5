//! Campaigns: one kind of fault after the other while requests are worked on.
//!
//! Each request is a command that leaves a line, and a message to the next step. After every fault all requests must
//! have got through, and the books must balance. How often commands ran, and the time to the answer before, during and
//! after each fault, are printed. `ZRECIPE_SEED=N` plays the same choices again; `ZRECIPE_SOAK=1` plays more of them.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use zrecipe::message::Envelope;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::{Error, Outgoing, Transport};
use zrecipe::value::{Object, Value};

use crate::activemq::Setup;
use crate::audit::{balance, total};
use crate::contract::{accept, queue, subscribe};
use crate::ground::{Ground, Shortage};
use crate::proxy::Proxy;
use crate::services::Facility;
use crate::stomp;
use crate::wait::{PATIENCE, eventually};

/// Numbers that follow from a seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        // Knuth's MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// The seed of this run.
pub fn seed() -> u64 {
    let given = std::env::var("ZRECIPE_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()))
}

/// Whether it is played at full size.
pub fn is_soak() -> bool {
    std::env::var_os("ZRECIPE_SOAK").is_some_and(|value| value == "1")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A service is killed, and started again.
    Kill,
    /// Nothing comes through between the services and the broker; then the connection is cut.
    Partition,
    /// The broker is short of something.
    Short(Shortage),
    /// The broker dies, and is started again.
    BrokerDeath,
}

impl Fault {
    /// Those that a broker can have.
    fn all(ground: &dyn Ground) -> Vec<Self> {
        let mut faults = vec![Self::Kill, Self::Partition, Self::BrokerDeath];
        faults.extend(ground.shortages().iter().copied().map(Self::Short));
        faults
    }
}

/// Requests in each of the three parts of a fault: before, during, after.
const REQUESTS: usize = 15;

/// When requests were sent and answered.
#[derive(Default)]
struct Times {
    sent: BTreeMap<usize, Instant>,
    answered: BTreeMap<usize, (Instant, usize)>,
}

struct Campaign {
    ground: Box<dyn Ground>,
    proxy: Proxy,
    sender: Arc<dyn Transport>,
    service: Child,
    times: Arc<Mutex<Times>>,
    answered: watch::Receiver<usize>,
    is_taking: watch::Sender<bool>,
    count: usize,
}

/// How long a message may take until it is confirmed.
const CONFIRMED: Duration = Duration::from_secs(60);

fn serve(ground: &dyn Ground) -> Child {
    let mut command = ground.ours(&["service", "-s", "Runner", "--restart"]);
    // It goes by the proxy.
    command.env("ZOCALO_CONFIG", ground.path("by-proxy.yml"));
    command.stderr(Stdio::null()).spawn().expect("starts")
}

/// Takes the answers, as long as it is to take any.
async fn take(
    consumer: Arc<dyn Transport>,
    times: Arc<Mutex<Times>>,
    count: watch::Sender<usize>,
    mut taking: watch::Receiver<bool>,
) {
    loop {
        if taking.wait_for(|taking| *taking).await.is_err() {
            return;
        }
        let mut out = subscribe(&*consumer, queue("out"), 50).await;
        loop {
            let delivery = tokio::select! {
                delivery = out.next() => delivery,
                _ = taking.wait_for(|taking| !*taking) => break,
            };
            let Some(delivery) = delivery else { break };
            let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
            let n = envelope.environment.get("n").and_then(Value::as_i64).expect("a number");
            match consumer.settle(&delivery, accept(vec![])).await {
                Ok(()) | Err(Error::NotHeld) => {}
                Err(error) => panic!("{error}"),
            }
            let mut times = times.lock().expect("not poisoned");
            let answers = times.answered.entry(n.unsigned_abs() as usize).or_insert((Instant::now(), 0));
            answers.1 += 1;
            count.send_replace(times.answered.len());
        }
    }
}

impl Campaign {
    async fn new(ground: Box<dyn Ground>) -> Self {
        let proxy = ground.proxy().await;
        ground.site_by(&proxy);
        let service = serve(&*ground);
        ground.served("runner.submission").await;
        let sender = ground.connect(CONFIRMED).await;
        let consumer = ground.connect(CONFIRMED).await;
        let (count, answered) = watch::channel(0);
        let (is_taking, taking) = watch::channel(true);
        let times = Arc::<Mutex<Times>>::default();
        tokio::spawn(take(consumer, Arc::clone(&times), count, taking));
        Self { ground, proxy, sender, service, times, answered, is_taking, count: 0 }
    }

    /// Sends requests, each until it is confirmed, as far as the broker takes any within a moment.
    async fn send(&mut self, pause: Duration) {
        let side = self.ground.path("side.txt").display().to_string();
        for _ in 0..REQUESTS {
            let n = self.count;
            self.count += 1;
            let recipe = json!({
                "1": {"queue": "runner.submission", "output": {"job_processed": 2},
                      "parameters": {"workingdir": "/tmp", "commands": [["sh", "-c", format!("echo {n} >>{side}")]]}},
                "2": {"queue": "out"},
                "start": [[1, []]],
            });
            let recipe = read_value(recipe.to_string().as_bytes()).expect("JSON");
            let environment = Object::from_iter([
                ("ID".to_owned(), Value::from(format!("soak-{n}"))),
                ("n".to_owned(), Value::from(n as i64)),
            ]);
            let message: Outgoing =
                Envelope::start(recipe, environment, &format!("soak-{n}")).expect("starts").remove(0);
            self.times.lock().expect("not poisoned").sent.insert(n, Instant::now());
            let sender = self.sender.clone();
            // While the broker takes nothing this waits; the next request does not.
            tokio::spawn(async move {
                while let Err(error) = sender.send(vec![message.clone()]).await {
                    assert!(!matches!(error, Error::NoSuchQueue(_) | Error::Closed), "{error}");
                    sleep(Duration::from_millis(100)).await;
                }
            });
            sleep(pause).await;
        }
    }

    /// Waits until all that was sent is answered.
    async fn rest(&mut self, what: &str) {
        loop {
            let before = *self.answered.borrow_and_update();
            if before >= self.count {
                return;
            }
            let changed = timeout(PATIENCE, self.answered.changed()).await;
            changed
                .unwrap_or_else(|_| panic!("{what}: nothing comes after {before} of {}", self.count))
                .expect("lives");
        }
    }

    async fn play(&mut self, fault: Fault, random: &mut Random) {
        let pause = Duration::from_millis(20 + random.below(40));
        match fault {
            Fault::Kill => {
                sleep(Duration::from_millis(random.below(300))).await;
                self.service.kill().await.expect("it is killed");
                self.send(pause).await;
                self.service = serve(&*self.ground);
            }
            Fault::Partition => {
                self.proxy.block();
                self.send(pause).await;
                self.proxy.cut();
                self.proxy.open(false);
                self.proxy.open(true);
            }
            Fault::Short(shortage) => {
                self.is_taking.send_replace(shortage != Shortage::FullQueue);
                self.ground.begin(shortage).await;
                self.send(pause).await;
                self.ground.end(shortage).await;
                self.is_taking.send_replace(true);
            }
            Fault::BrokerDeath => {
                self.send(pause).await;
                self.ground.restart().await;
            }
        }
    }

    /// The 50th and 99th percentile of the time to the answer of these requests, in milliseconds.
    fn percentiles(&self, from: usize, to: usize) -> String {
        let times = self.times.lock().expect("not poisoned");
        let mut took: Vec<u128> = (from..to)
            .filter_map(|n| Some(times.answered.get(&n)?.0.duration_since(*times.sent.get(&n)?).as_millis()))
            .collect();
        took.sort_unstable();
        let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len().saturating_sub(1))).copied();
        format!("{:>6} {:>6}", at(50).unwrap_or_default(), at(99).unwrap_or_default())
    }

    /// How often commands ran beyond once.
    fn repeats(&self) -> usize {
        let text = std::fs::read_to_string(self.ground.path("side.txt")).unwrap_or_default();
        let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
        text.lines().for_each(|line| *lines.entry(line).or_default() += 1);
        assert_eq!(lines.len(), self.count, "every command has run");
        lines.values().map(|count| count - 1).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_gets_through_every_kind_of_fault() {
    soak(Box::new(Facility::new().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_gets_through_every_kind_of_fault_on_activemq() {
    soak(Box::new(stomp::Facility::new(Setup::default()).await)).await;
}

#[expect(clippy::print_stdout, reason = "figures for whoever plays it")]
async fn soak(ground: Box<dyn Ground>) {
    let seed = seed();
    let rounds = if is_soak() { 20 } else { 1 };
    println!("ZRECIPE_SEED={seed}: {rounds} rounds; times in ms, p50 and p99");
    println!("{:<16} {:>13} {:>13} {:>13} {:>8}", "fault", "before", "during", "after", "repeats");
    let mut random = Random(seed);
    let mut campaign = Campaign::new(ground).await;
    let mut repeats = 0;
    for _ in 0..rounds {
        let mut faults = Fault::all(&*campaign.ground);
        while !faults.is_empty() {
            let fault = faults.swap_remove(usize::try_from(random.below(faults.len() as u64)).expect("few"));
            let begin = campaign.count;
            campaign.send(Duration::from_millis(20)).await;
            campaign.rest("before the fault").await;
            campaign.play(fault, &mut random).await;
            campaign.rest(&format!("{fault:?}")).await;
            campaign.send(Duration::from_millis(20)).await;
            campaign.rest("after the fault").await;
            let again = campaign.repeats() - repeats;
            repeats += again;
            let part = |n: usize| campaign.percentiles(begin + n * REQUESTS, begin + (n + 1) * REQUESTS);
            println!("{:<16} {} {} {} {again:>8}", format!("{fault:?}"), part(0), part(1), part(2));
            // Only who is killed may have left a command without its result.
            assert!(again <= usize::from(fault == Fault::Kill), "{fault:?}: commands ran again: {again}");
            at_rest(&campaign).await;
        }
    }
    let times = campaign.times.lock().expect("not poisoned");
    let answers: usize = times.answered.values().map(|(_, count)| count).sum();
    println!("{} requests, {answers} answers, {repeats} commands again", campaign.count);
}

/// All is settled: accepted = finished + dead + queued, and nothing is dead.
async fn at_rest(campaign: &Campaign) {
    eventually("balanced books", async || {
        let (code, books, said) = balance(&*campaign.ground).await;
        assert_ne!(code, Some(2), "{said}");
        let [accepted, finished, dead, queued, running] = total(&books);
        code == Some(0) && running == 0 && dead == 0 && queued == 0 && accepted == finished
    })
    .await;
}
