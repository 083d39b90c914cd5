//! Back-pressure: the queue behind a step is full. The work is done once, nothing becomes a dead letter, and whoever asks
//! hears what holds up the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use zrecipe::message::{Envelope, Outgoing, Output};
use zrecipe::runtime::journal::Journal;
use zrecipe::runtime::pressure::Pauses;
use zrecipe::runtime::{Event, Host, Job, Outcome, Service};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::Transport;
use zrecipe::value::{Object, Value};

use crate::contract::{accept, next, queue, subscribe, topic};
use crate::port::Port;
use crate::services::{Facility, ends};
use crate::wait::eventually;

/// What an address says over HTTP.
async fn get(address: &str, path: &str) -> String {
    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { return String::new() };
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

async fn declare(facility: &Facility, names: &[&str]) {
    for name in names {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        facility.channel.queue_declare((*name).into(), durable, arguments).await.expect("declare");
    }
}

async fn waiting(facility: &Facility, name: &str) -> u64 {
    facility.transport.waiting(name).await.expect("is there").messages
}

/// Lets a queue take no more than this, or any number again.
fn bound(facility: &Facility, name: &str, most: Option<usize>) {
    match most {
        Some(most) => {
            let definition = json!({"max-length": most, "overflow": "reject-publish"}).to_string();
            let pattern = format!("^{name}$");
            facility.node.control(&["set_policy", "--apply-to", "queues", name, &pattern, &definition]);
        }
        None => _ = facility.node.control(&["clear_policy", name]),
    }
}

/// Messages for step 1 on a queue; what it sends goes on to `mark`.
fn messages(count: usize, queue: &str, parameters: impl Fn(usize) -> serde_json::Value) -> Vec<Outgoing> {
    let message = |n: usize| {
        let recipe = json!({
            "1": {"queue": queue, "parameters": parameters(n), "output": 2},
            "2": {"queue": "mark"},
            "start": [[1, n]],
        });
        let recipe = read_value(recipe.to_string().as_bytes()).expect("JSON");
        let environment = Object::from_iter([("ID".to_owned(), Value::from(format!("{queue}-{n}")))]);
        Envelope::start(recipe, environment, &format!("{queue}-{n}")).expect("starts").remove(0)
    };
    (0..count).map(message).collect()
}

fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("a process");
    kill_process(pid, Signal::TERM).expect("it is ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_holds_up_a_service_and_repeats_no_work() {
    let facility = Facility::new().await;
    declare(&facility, &["mark", "program", "dlq.program", "in", "dlq.in"]).await;
    commands_run_once(&facility).await;
    programs_run_once_across_restarts(&facility).await;
    what_is_held_for_long_goes_back_uncounted(&facility).await;
}

/// Waits until so many messages are where they were to go; the pause before that may have grown.
async fn have_got_through(facility: &Facility, count: u64) {
    let begun = Instant::now();
    while waiting(facility, "mark").await != count {
        assert!(begun.elapsed() < Duration::from_secs(180), "they do not get through");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The command lines that have run, by their number.
fn lines(facility: &Facility, file: &str) -> Vec<usize> {
    let text = std::fs::read_to_string(facility.path(file)).unwrap_or_default();
    let mut lines: Vec<usize> = text.lines().filter_map(|line| line.parse().ok()).collect();
    lines.sort_unstable();
    lines
}

async fn commands_run_once(facility: &Facility) {
    const COUNT: usize = 100;
    let mut statuses = subscribe(&facility.transport, topic("transient.status"), 50).await;
    bound(facility, "mark", Some(5));
    let side = facility.path("side.txt").display().to_string();
    let parameters = |n| json!({"workingdir": "/tmp", "commands": [["sh", "-c", format!("echo {n} >>{side}")]]});
    facility.transport.send(messages(COUNT, "runner.submission", parameters)).await.expect("send");
    let port = Port::reserved();
    let address = format!("127.0.0.1:{}", port.number());
    let mut service = facility.ours(&["service", "-s", "Runner", "--http", &address]).spawn().expect("starts");

    eventually("a status that says what holds it up", async || {
        let delivery = next(&mut statuses).await;
        facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
        let status = read_value(&delivery.body).expect("JSON");
        status.get("statustext").and_then(Value::as_str) == Some("held up by `mark`")
    })
    .await;
    let ready = get(&address, "/readyz").await;
    assert!(ready.contains("503") && ready.contains("Runner: held up by `mark`: "), "{ready}");
    let held = r#"zrecipe_held_up{source="Runner",by="mark"} 1"#;
    let metrics = get(&address, "/metrics").await;
    assert!(metrics.contains(held), "{metrics}");
    let attempts = async || {
        let metrics = get(&address, "/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix("zrecipe_held_up_attempts_total")).unwrap_or("");
        line.rsplit(' ').next().and_then(|count| count.parse::<u32>().ok()).unwrap_or(0)
    };
    eventually("several attempts", async || attempts().await >= 4).await;
    let done = lines(facility, "side.txt");
    let taken = usize::try_from(waiting(facility, "mark").await).expect("few");
    assert_eq!(done.len(), taken + 1, "no further work is begun");

    bound(facility, "mark", None);
    have_got_through(facility, COUNT as u64).await;
    eventually("it is ready again", async || get(&address, "/readyz").await.contains("200")).await;
    assert_eq!(lines(facility, "side.txt"), (0..COUNT).collect::<Vec<_>>(), "every command once");
    assert_eq!(facility.dead("runner.submission").await, None);
    assert_eq!(waiting(facility, "runner.submission").await, 0);
    assert!(get(&address, "/metrics").await.contains(&held.replace("} 1", "} 0")));
    terminate(&service);
    ends("the service", &mut service).await;
    facility.transport.purge("mark").await.expect("purges");
}

/// A program has no journal of its own: the outcome is kept all the same, from one process to the next.
async fn programs_run_once_across_restarts(facility: &Facility) {
    const COUNT: usize = 8;
    const RESTARTS: usize = 7;
    bound(facility, "mark", Some(1));
    let side = facility.path("programs.txt").display().to_string();
    let contract = json!({
        "names": ["Program"], "queues": ["program"], "channels": {"result": {"default": true}},
        "run": {"command": ["sh", "-c", format!("read -r n; echo $n >>{side}; echo '{{\"payload\": 1}}' >>$ZRECIPE_RESULTS")]},
    });
    std::fs::write(facility.path("program.json"), contract.to_string()).expect("write");
    facility.transport.send(messages(COUNT, "program", |_| json!({}))).await.expect("send");
    let contract = facility.path("program.json").display().to_string();
    let start = |address: &str| {
        let arguments = ["service", "-s", "Program", "--contract", &contract, "--http", address];
        facility.ours(&arguments).spawn().expect("starts")
    };
    // More restarts than the queue's own limit has deliveries.
    for _ in 0..RESTARTS {
        let port = Port::reserved();
        let address = format!("127.0.0.1:{}", port.number());
        let mut service = start(&address);
        eventually("it is held up", async || get(&address, "/readyz").await.contains("held up by `mark`")).await;
        terminate(&service);
        ends("the service", &mut service).await;
    }
    let begun = lines(facility, "programs.txt");
    bound(facility, "mark", None);
    let port = Port::reserved();
    let mut service = start(&format!("127.0.0.1:{}", port.number()));
    have_got_through(facility, COUNT as u64).await;
    assert_eq!(
        lines(facility, "programs.txt"),
        (0..COUNT).collect::<Vec<_>>(),
        "every program once; before: {begun:?}"
    );
    assert_eq!(facility.dead("program").await, None);
    terminate(&service);
    ends("the service", &mut service).await;
    let left = std::fs::read_dir(facility.path("state/journal")).expect("is there").count();
    assert_eq!(left, 0, "what was kept is removed");
    facility.transport.purge("mark").await.expect("purges");
}

/// Counts how often it works.
struct Worker(AtomicUsize);

#[async_trait]
impl Service for Worker {
    fn name(&self) -> &str {
        "Worker"
    }

    fn serves(&self, queue: &str) -> bool {
        queue == "in"
    }

    async fn handle(&self, _job: &Job) -> Outcome {
        self.0.fetch_add(1, Ordering::SeqCst);
        Outcome::done(vec![Output::new(None, Value::from(true))])
    }
}

/// A broker takes away what is held for too long, and counts that. So it goes back before that, as often as it must.
async fn what_is_held_for_long_goes_back_uncounted(facility: &Facility) {
    bound(facility, "mark", Some(1));
    facility
        .transport
        .send(vec![Outgoing::new("first".to_owned(), queue("mark"), Object::new(), Vec::new())])
        .await
        .expect("send");
    // The policy counts what is there, and takes one more.
    let mut n = 0;
    while waiting(facility, "mark").await as usize == n + 1 {
        n += 1;
        let one = Outgoing::new(format!("more-{n}"), queue("mark"), Object::new(), Vec::new());
        let _ = facility.transport.send(vec![one]).await;
    }
    let full = waiting(facility, "mark").await;
    facility.transport.send(messages(1, "in", |_| json!({}))).await.expect("send");
    let journal = Journal::new(facility.path("state/held"));
    let service = Arc::new(Worker(AtomicUsize::new(0)));
    let (events, mut heard) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let millis = Duration::from_millis;
    let pauses = Pauses { first: millis(20), maximum: millis(100), hold: millis(200), ..Pauses::default() };
    let served: Arc<dyn Service> = service.clone();
    let host = Host::new(Arc::new(facility.transport.clone()), vec![served], 1, events, stopped)
        .with_journal(Some(journal))
        .with_pauses(pauses);
    let serving = tokio::spawn(async move { host.serve(&["in".to_owned()]).await });
    let (mut went_back, mut deliveries) = (0, Vec::new());
    // More often than the host retries a message, or the queue delivers it.
    eventually("it has gone back often", async || {
        while let Ok(event) = heard.try_recv() {
            match event {
                Event::Abandoned { .. } => went_back += 1,
                Event::Started { deliveries: count, .. } => deliveries.push(count),
                _ => {}
            }
        }
        went_back >= 8
    })
    .await;
    assert!(deliveries.iter().all(|count| *count == 1), "{deliveries:?}");
    bound(facility, "mark", None);
    have_got_through(facility, full + 1).await;
    stop.send(true).expect("it serves");
    serving.await.expect("join").expect("serves");
    assert_eq!(service.0.load(Ordering::SeqCst), 1, "the work is done once");
    assert_eq!(facility.dead("in").await, None);
}
