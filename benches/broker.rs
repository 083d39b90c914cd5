//! What the embedded broker costs on top of SQLite: one step through enqueue, claim and settle, against bare `rusqlite`
//! transactions that write the same rows into the same tables under the same lock, in the same run.
//!
//! `bound 3` does the three in a transaction each; `bound 2` claims in the transaction that enqueues, as the broker does.
//! They take turns every few hundred milliseconds, because disks have moods. `cargo bench --bench broker`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{CachedStatement, Connection, params};
use zrecipe::transport::embedded::{Broker, Embedded, Options};
use zrecipe::transport::{Deliveries, Destination, Outgoing, Settlement, Subscription, Transport, Verdict};
use zrecipe::value::{Object, Value};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const TURN: Duration = Duration::from_millis(350);
const ROUNDS: usize = 10;
const ROLE: &str = "ZRECIPE_BENCH_BROKER";
const HEADERS: &str = r#"{"recipe-pointer":1,"content-type":"application/json"}"#;

const KINDS: [&str; 3] = ["ours", "bound3", "bound2"];

fn main() -> Result {
    if let Ok(role) = std::env::var(ROLE) {
        return child(&role);
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:<28}{:>10}{:>10}{:>10}{:>14}{:>14}{:>14}",
        "steps/s", "ours", "bound 3", "bound 2", "ours/bound 3", "ours/bound 2", "least/most"
    )?;
    for (label, processes, flight) in [
        ("alone, one at a time", 1, 1),
        ("alone, 50 in flight", 1, 50),
        ("4 processes, one at a time", 4, 1),
        ("4 processes, 50 in flight", 4, 50),
    ] {
        let ([ours, three, two], mut shares) = measure(processes, flight)?;
        shares.sort_by(f64::total_cmp);
        let fairness = shares[0] / shares[shares.len() - 1];
        writeln!(
            out,
            "{label:<28}{ours:>10.0}{three:>10.0}{two:>10.0}{:>14.2}{:>14.2}{fairness:>14.2}",
            ours / three,
            ours / two
        )?;
    }
    let mut late = wake_ups()?;
    late.sort_unstable();
    let at = |share: usize| Duration::from_micros(late[(late.len() - 1) * share / 100]);
    writeln!(
        out,
        "from send to delivery in another process: median {:?}, 95 % {:?}, worst {:?}",
        at(50),
        at(95),
        at(100)
    )?;
    Ok(())
}

/// Steps per second of all processes together, for each kind; and of each process, for ours.
fn measure(processes: usize, flight: usize) -> Result<([f64; 3], Vec<f64>)> {
    let directory = tempfile::Builder::new().prefix("zrecipe-bench").tempdir_in(".")?;
    let runtime = runtime()?;
    for kind in KINDS {
        runtime.block_on(async {
            let broker = Broker::open(&directory.path().join(kind), Options::default()).await?;
            broker.namespace("bench").declare("q").await?;
            broker.close().await
        })?;
    }
    let role = format!("steps|{flight}|{}", directory.path().display());
    let mut peers = Vec::new();
    for _ in 0..processes {
        peers.push(Peer::start(&role)?);
    }
    let mut rates = [0.0; 3];
    let mut shares = vec![0.0; processes];
    for _ in 0..ROUNDS {
        for (rate, kind) in rates.iter_mut().zip(KINDS) {
            for peer in &mut peers {
                peer.tell(kind)?;
            }
            for (peer, share) in peers.iter_mut().zip(&mut shares) {
                let steps = peer.says()?.parse::<f64>()? / ROUNDS as f64;
                *rate += steps;
                if kind == "ours" {
                    *share += steps;
                }
            }
        }
    }
    Ok((rates, shares))
}

struct Peer {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Peer {
    fn start(role: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut peer = Self { child, output };
        peer.says()?;
        Ok(peer)
    }

    fn tell(&mut self, what: &str) -> Result {
        writeln!(self.child.stdin.as_mut().ok_or("no input")?, "{what}")?;
        Ok(())
    }

    fn says(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn say(what: &str) -> Result {
    let mut out = std::io::stdout();
    writeln!(out, "{what}")?;
    out.flush()?;
    Ok(())
}

fn hear() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn child(role: &str) -> Result {
    let mut parts = role.splitn(3, '|');
    let (kind, flight) = (parts.next().ok_or("kind")?, parts.next().ok_or("flight")?.parse()?);
    let path = Path::new(parts.next().ok_or("path")?);
    if kind == "wake" {
        return runtime()?.block_on(woken(path));
    }
    let runtime = runtime()?;
    let ours = runtime.block_on(Ours::open(&path.join("ours"), flight))?;
    let bounds = [Bound::open(&path.join("bound3"), flight, false)?, Bound::open(&path.join("bound2"), flight, true)?];
    say("ready")?;
    loop {
        let rate = match hear()?.as_str() {
            "ours" => runtime.block_on(ours.turn(flight))?,
            "bound3" => bounds[0].turn()?,
            "bound2" => bounds[1].turn()?,
            _ => break,
        };
        say(&rate.to_string())?;
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| i64::try_from(now.as_micros()).unwrap_or(0))
}

fn body() -> Vec<u8> {
    vec![b'x'; 1_000]
}

fn outgoing(id: String) -> Outgoing {
    Outgoing::new(
        id,
        Destination::Queue("q".to_owned()),
        Object::from_iter([
            ("recipe-pointer".to_owned(), Value::from(1)),
            ("content-type".to_owned(), Value::from("application/json")),
        ]),
        body(),
    )
}

/// The broker.
struct Ours {
    space: Embedded,
    deliveries: Arc<tokio::sync::Mutex<Deliveries>>,
}

impl Ours {
    async fn open(path: &Path, flight: usize) -> Result<Self> {
        let space = Broker::open(path, Options::default()).await?.namespace("bench");
        let source = Destination::Queue("q".to_owned());
        let deliveries = space.subscribe(Subscription { source, prefetch: u16::try_from(flight)? }).await?;
        Ok(Self { space, deliveries: Arc::new(tokio::sync::Mutex::new(deliveries)) })
    }

    /// `flight` tasks, each with one step under way.
    async fn turn(&self, flight: usize) -> Result<f64> {
        let steps = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let tasks: Vec<_> = (0..flight)
            .map(|_| {
                let (space, deliveries, steps) = (self.space.clone(), self.deliveries.clone(), steps.clone());
                tokio::spawn(async move {
                    while start.elapsed() < TURN {
                        space.send(vec![outgoing(uuid::Uuid::new_v4().to_string())]).await?;
                        let delivery = deliveries.lock().await.next().await.ok_or("closed")?;
                        let done = Settlement { verdict: Verdict::Accept, outputs: Vec::new(), note: None };
                        space.settle(&delivery, done).await?;
                        steps.fetch_add(1, Ordering::Relaxed);
                    }
                    Result::Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(steps.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
    }
}

/// Bare transactions of `flight` messages each.
struct Bound {
    connection: Connection,
    lock: File,
    flight: usize,
    fused: bool,
}

/// Sequence number, time of sending, id, headers and body of what was claimed.
type Claimed = Vec<(i64, i64, String, String, Vec<u8>)>;

impl Bound {
    fn open(path: &Path, flight: usize, fused: bool) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.set_prepared_statement_cache_capacity(128);
        connection.busy_timeout(Duration::from_secs(10))?;
        for (pragma, value) in
            [("synchronous", 2), ("cache_size", -16_000), ("wal_autocheckpoint", 4_000), ("temp_store", 2)]
        {
            connection.pragma_update(None, pragma, value)?;
        }
        let lock = File::open(path.with_extension("lock"))?;
        Ok(Self { connection, lock, flight, fused })
    }

    fn sql(&self, text: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(text)
    }

    fn transaction(&self, mut work: impl FnMut() -> Result) -> Result {
        self.lock.lock()?;
        let mut transaction = || {
            self.sql("BEGIN IMMEDIATE")?.execute([])?;
            work()?;
            self.sql("UPDATE namespace SET changes = changes + 1 WHERE id = 1")?.execute([])?;
            self.sql("COMMIT")?.execute([])?;
            Ok(())
        };
        let done = transaction();
        self.lock.unlock()?;
        done
    }

    fn enqueue(&self) -> Result {
        let mut seq: i64 = self.sql("SELECT coalesce(max(seq), 0) FROM inbox")?.query_row([], |row| row.get(0))?;
        let (now, body) = (now(), body());
        for _ in 0..self.flight {
            seq += 1;
            let id = uuid::Uuid::new_v4().to_string();
            self.sql("INSERT INTO inbox(seq, namespace, id, at) VALUES(?, 1, ?, ?) ON CONFLICT DO NOTHING")?
                .execute(params![seq, id, now])?;
            self.sql("INSERT INTO content(seq, id, sent, headers, body) VALUES(?, ?, ?, ?, ?)")?
                .execute(params![seq, id, now, HEADERS, body])?;
            self.sql("INSERT INTO message(state, queue, seq, deliveries, due) VALUES(0, 1, ?, 0, ?)")?
                .execute(params![seq, now])?;
        }
        Ok(())
    }

    fn claim(&self, claimed: &mut Claimed) -> Result {
        *claimed = self
            .sql(
                "SELECT m.seq, c.sent, c.id, c.headers, c.body FROM message m CROSS JOIN content c ON c.seq = m.seq
                 WHERE m.state = 0 AND m.queue = 1 ORDER BY m.seq LIMIT ?",
            )?
            .query_map([i64::try_from(self.flight)?], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let holder = i64::from(std::process::id());
        for (seq, ..) in claimed {
            self.sql(
                "UPDATE message SET state = 2, holder = ?, deliveries = 1 WHERE state = 0 AND queue = 1 AND seq = ?",
            )?
            .execute([holder, *seq])?;
        }
        Ok(())
    }

    fn settle(&self, claimed: &Claimed) -> Result {
        let now = now();
        for (seq, sent, id, ..) in claimed {
            self.sql("DELETE FROM message WHERE state = 2 AND queue = 1 AND seq = ?")?.execute([seq])?;
            self.sql("DELETE FROM content WHERE seq = ?")?.execute([seq])?;
            self.sql(
                "INSERT INTO history(namespace, at, id, topic, source, deliveries, sent, verdict)
                 VALUES(1, ?, ?, 0, 'q', 1, ?, 'accept')",
            )?
            .execute(params![now, id, sent])?;
        }
        Ok(())
    }

    fn turn(&self) -> Result<f64> {
        let start = Instant::now();
        let mut steps = 0_usize;
        let mut claimed = Claimed::new();
        while start.elapsed() < TURN {
            if self.fused {
                self.transaction(|| {
                    self.enqueue()?;
                    self.claim(&mut claimed)
                })?;
            } else {
                self.transaction(|| self.enqueue())?;
                self.transaction(|| self.claim(&mut claimed))?;
            }
            self.transaction(|| self.settle(&claimed))?;
            steps += claimed.len();
        }
        Ok(steps as f64 / start.elapsed().as_secs_f64())
    }
}

/// How long a message takes from the call of `send` here to its delivery in another, idle process, in microseconds.
fn wake_ups() -> Result<Vec<u64>> {
    let directory = tempfile::Builder::new().prefix("zrecipe-bench").tempdir_in(".")?;
    let path = directory.path().join("broker.db");
    let mut peer = Peer::start(&format!("wake|1|{}", path.display()))?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let broker = Broker::open(&path, Options::default()).await?;
        let space = broker.namespace("bench");
        let mut late = Vec::new();
        for n in 0..200 {
            let message = Outgoing { body: now().to_string().into_bytes(), ..outgoing(n.to_string()) };
            space.send(vec![message]).await?;
            late.push(peer.says()?.parse()?);
        }
        Ok(late)
    })
}

async fn woken(path: &Path) -> Result {
    let broker = Broker::open(path, Options::default()).await?;
    let space = broker.namespace("bench");
    let source = Destination::Queue("q".to_owned());
    let mut deliveries = space.subscribe(Subscription { source, prefetch: 1 }).await?;
    let input = std::thread::spawn(hear);
    say("ready")?;
    while !input.is_finished() {
        let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_millis(100), deliveries.next()).await else {
            continue;
        };
        let sent: i64 = String::from_utf8_lossy(&delivery.body).parse()?;
        let late = now() - sent;
        let done = Settlement { verdict: Verdict::Accept, outputs: Vec::new(), note: None };
        space.settle(&delivery, done).await?;
        say(&late.to_string())?;
    }
    Ok(())
}
