//! Several processes at one embedded broker, some of which are killed.

use super::*;

const ROLE: &str = "ZRECIPE_TEST_BROKER_ROLE";

/// A process that uses the broker at `path`, and what it says.
struct Other {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn command(role: &str, path: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command
            .args(["transport::processes::child_process_entry", "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, format!("{role}|{}", path.display()))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Starts it and waits until it says that it is ready.
    async fn start(role: &str, path: &Path) -> Self {
        let mut child = Self::command(role, path).stdout(Stdio::piped()).spawn().expect("a child");
        let stdout = child.stdout.take().expect("its output");
        let mut other = Self { child, lines: BufReader::new(stdout).lines() };
        assert_eq!(other.says().await, "ready");
        other
    }

    /// The next thing it says.
    async fn says(&mut self) -> String {
        loop {
            let line = within("a line from the child", self.lines.next_line()).await.expect("output");
            let line = line.expect("the child lives");
            if let Some(said) = line.strip_prefix("child: ") {
                return said.to_owned();
            }
        }
    }

    async fn kill(mut self) {
        self.child.kill().await.expect("kill");
    }
}

fn say(what: &str) {
    // One write, so that lines of the test harness do not get in between; it has no line of its own begun.
    let _ = std::io::stdout().write_all(format!("\nchild: {what}\n").as_bytes());
    let _ = std::io::stdout().flush();
}

/// For workers that are killed again and again, and not for a fault of their messages.
fn tough() -> Options {
    Options { delivery_limit: 1_000, ..Options::default() }
}

/// What a child process of the tests below does. Without a role, the test is that an unknown role fails, and that no
/// process waits for what it never does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_process_entry() {
    let Ok(role) = std::env::var(ROLE) else {
        let place = Place::new();
        let mut child = Other::command("unknown", &place.path);
        let output = within("the end of the child", child.output()).await.expect("a child");
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains("no such role: unknown"), "{said}");
        return;
    };
    let (role, path) = role.split_once('|').expect("role and path");
    let options = if role == "work" { tough() } else { Options::default() };
    let broker = Broker::open(Path::new(path), options).await.expect("open");
    let space = broker.namespace("test");
    match role {
        // Takes what it gets and keeps it.
        "keep" => {
            let mut deliveries = subscribe(&space, queue("q"), 3).await;
            let mut copies = subscribe(&space, topic("t"), 3).await;
            say("ready");
            while let Some(got) = tokio::select! { got = deliveries.next() => got, got = copies.next() => got } {
                say(&format!("{} {}", got.id, got.deliveries));
            }
        }
        // Accepts what it gets, says what and how many microseconds after it was sent, and sends one thing on.
        "work" => {
            let mut deliveries = subscribe(&space, queue("q"), 1).await;
            say("ready");
            while let Some(got) = deliveries.next().await {
                let sent: u64 = String::from_utf8_lossy(&got.body).parse().unwrap_or_default();
                let late = micros().saturating_sub(sent);
                let output = message(&format!("from {}", got.id), queue("out"));
                space.settle(&got, accept(vec![output])).await.expect("settle");
                say(&format!("{} {late}", got.id));
            }
        }
        // Owns the namespace.
        "own" => {
            assert!(space.hold().await.expect("hold"));
            say("ready");
            std::future::pending::<()>().await;
        }
        other => panic!("no such role: {other}"),
    }
}

fn micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

#[tokio::test]
async fn messages_of_a_killed_process_come_again_at_once() {
    let place = Place::new();
    let space = place.open().await.namespace("test");
    space.declare("q").await.expect("declare");
    let mut victim = Other::start("keep", &place.path).await;
    space.send((0..3).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    for n in 0..3 {
        assert_eq!(victim.says().await, format!("{n} 1"));
    }
    let mut deliveries = subscribe(&space, queue("q"), 10).await;
    nothing_else_comes(&space, queue("q"), &mut deliveries).await;
    victim.kill().await;
    for n in 0..3 {
        let got = next(&mut deliveries).await;
        assert_eq!((got.id, got.deliveries), (n.to_string(), 2), "the lost delivery counts");
    }
}

#[tokio::test]
async fn a_message_that_kills_its_process_again_and_again_becomes_a_dead_letter() {
    let place = Place::new();
    let broker = Broker::open(&place.path, Options { delivery_limit: 1, ..Options::default() }).await.expect("open");
    let space = broker.namespace("test");
    space.declare("q").await.expect("declare");
    let mut dead = subscribe(&space, queue("dlq.q"), 1).await;
    space.send(vec![message("poison", queue("q"))]).await.expect("send");
    for count in 1..=2 {
        let mut victim = Other::start("keep", &place.path).await;
        assert_eq!(victim.says().await, format!("poison {count}"));
        victim.kill().await;
        // It is this process, with its limit, that finds the dead one.
        until(&space, "nothing is held", |census| census.ready + census.dead == 1 && census.held <= census.dead).await;
    }
    let letter = next(&mut dead).await;
    assert_eq!(letter.id, "poison");
    assert_eq!(deaths(&letter.headers), death("delivery_limit", "q"));
    let history = space.history().await.expect("history");
    let told: Vec<_> = history.iter().map(|record| (record.verdict.as_str(), record.deliveries)).collect();
    assert_eq!(told, [("dead-letter", 2)]);
}

#[tokio::test]
async fn what_was_held_at_the_end_of_all_processes_is_found_when_one_opens() {
    let place = Place::new();
    let space = place.open().await.namespace("test");
    space.declare("q").await.expect("declare");
    space.send(vec![message("m", queue("q"))]).await.expect("send");
    drop(space);
    let mut victim = Other::start("keep", &place.path).await;
    assert_eq!(victim.says().await, "m 1");
    victim.kill().await;
    let space = place.open().await.namespace("test");
    let stored = space.messages(Some("q")).await.expect("messages");
    let found: Vec<_> = stored.iter().map(|stored| (stored.id.as_str(), stored.state, stored.deliveries)).collect();
    assert_eq!(found, [("m", State::Ready, 1)]);
}

#[tokio::test]
async fn a_dead_subscriber_of_a_topic_is_sent_nothing() {
    let place = Place::new();
    let space = place.open().await.namespace("test");
    let mut ours = subscribe(&space, topic("t"), 1).await;
    let mut victim = Other::start("keep", &place.path).await;
    space.send(vec![message("m", topic("t"))]).await.expect("send");
    assert_eq!(victim.says().await, "m 1");
    let got = next(&mut ours).await;
    space.settle(&got, accept(vec![])).await.expect("settle");
    assert_eq!(space.census().await.expect("census").held, 1);
    victim.kill().await;
    until(&space, "its copies are gone", |census| census == Census::default()).await;
    space.send(vec![message("n", topic("t"))]).await.expect("send");
    assert_eq!(next(&mut ours).await.id, "n");
    assert_eq!(space.census().await.expect("census"), Census { held: 1, ..Census::default() });
}

#[tokio::test]
async fn a_process_killed_between_claim_and_settlement_leaves_one_copy() {
    let place = Place::new();
    let space = Broker::open(&place.path, tough()).await.expect("open").namespace("test");
    space.declare("q").await.expect("declare");
    let mut results = subscribe(&space, queue("out"), 100).await;
    const COUNT: usize = 40;
    // Workers are killed at any moment while they work; each message has one output in the end.
    space.send((0..COUNT).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    let mut outputs = BTreeMap::new();
    let mut rounds = 0;
    while outputs.len() < COUNT {
        let worker = Other::start("work", &place.path).await;
        let enough = COUNT.min(outputs.len() + 1 + rounds % 5);
        while outputs.len() < enough {
            let got = next(&mut results).await;
            space.settle(&got, accept(vec![])).await.expect("settle");
            *outputs.entry(got.id).or_insert(0) += 1;
        }
        worker.kill().await;
        rounds += 1;
    }
    assert_eq!(outputs.values().copied().max(), Some(1), "{outputs:?}");
    until(&space, "nothing is left", |census| census.ready + census.held + census.delayed == 0).await;
    let accepted = space.history().await.expect("history");
    let is_step = |record: &&Record| record.source == queue("q") && record.verdict == Conclusion::Accepted;
    let steps = accepted.iter().filter(is_step).count();
    assert_eq!(steps, COUNT);
}

/// Without the bell another process would be woken by its clock, every 1.5 s.
#[tokio::test]
async fn another_process_is_woken_by_the_bell() {
    let place = Place::new();
    let space = place.open().await.namespace("test");
    space.declare("q").await.expect("declare");
    space.declare("out").await.expect("declare");
    let mut worker = Other::start("work", &place.path).await;
    let mut number = 0;
    eventually_ok("a message is taken long before the clock ticks", async || {
        // If the clock has brought the first, it has just ticked when the second is sent.
        let mut late = 0;
        for _ in 0..2 {
            number += 1;
            let timed =
                Outgoing { body: micros().to_string().into_bytes(), ..message(&number.to_string(), queue("q")) };
            space.send(vec![timed]).await.expect("send");
            let said = worker.says().await;
            let (id, micros) = said.split_once(' ').expect("id and time");
            assert_eq!(id, number.to_string());
            late = micros.parse::<u64>().expect("a number");
        }
        if late < 1_000_000 { Ok(()) } else { Err(format!("taken after {late} microseconds")) }
    })
    .await;
}

#[tokio::test]
async fn processes_share_a_queue_fairly() {
    let place = Place::new();
    let space = place.open().await.namespace("test");
    space.declare("q").await.expect("declare");
    space.declare("out").await.expect("declare");
    const COUNT: usize = 400;
    let (mut one, mut two) = (Other::start("work", &place.path).await, Other::start("work", &place.path).await);
    space.send((0..COUNT).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    let mut shares = [0, 0];
    while shares.iter().sum::<usize>() < COUNT {
        tokio::select! {
            _ = one.says() => shares[0] += 1,
            _ = two.says() => shares[1] += 1,
        }
    }
    assert!(shares.iter().all(|share| *share >= COUNT / 5), "{shares:?}");
    let census = space.census().await.expect("census");
    assert_eq!(census, Census { ready: COUNT as u64, ..Census::default() }, "one output each");
}

#[tokio::test]
async fn a_namespace_has_one_owner_until_that_dies() {
    let place = Place::new();
    let broker = place.open().await;
    let space = broker.namespace("test");
    let owner = Other::start("own", &place.path).await;
    assert!(!space.hold().await.expect("hold"));
    let held_by = async || {
        let all = broker.namespaces().await.expect("namespaces");
        all.into_iter().find(|info| info.name == "test").and_then(|info| info.held_by)
    };
    assert_eq!(held_by().await, owner.child.id());
    owner.kill().await;
    assert!(space.hold().await.expect("hold"), "free at once");
    assert_eq!(held_by().await, Some(std::process::id()));
    let second = place.open().await;
    assert!(!second.namespace("test").hold().await.expect("hold"));
    space.close().await.expect("close");
    assert_eq!(held_by().await, None);
    assert!(second.namespace("test").hold().await.expect("hold"));
}
