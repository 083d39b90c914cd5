//! The Python commands and our shims side by side: the same command line, and what then is at the broker.
//!
//! Each row is a command line that the original accepts or refuses. The original runs first and the shim second, from the
//! same state; both have to end alike and to send the same.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::{Deliveries, Outgoing, Transport};
use zrecipe::value::{Object, Value};

use crate::activemq::Setup;
use crate::contract::{accept, message, next, queue, reject, subscribe, topic, within};
use crate::python::program;
use crate::services::{Facility, ends};
use crate::stomp;
use crate::wait::eventually;

/// What is there before a command runs.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    /// A saved request.
    Saved,
    /// A dead letter of queue `py`.
    Letter,
    /// A file with a dead letter of queue `py`.
    LetterFile,
    /// Two messages in queue `py`.
    Messages,
    /// A message for the step of a recipe in queue `out`, which is in queue `py`.
    Step,
}

/// A command line, and what comes of it.
struct Row {
    line: &'static str,
    before: Before,
    is_success: bool,
    /// Queues, and how many messages are in them afterwards.
    arrives: &'static [(&'static str, usize)],
    /// How many commands are broadcast.
    commands: usize,
    /// How many files there are in the directories for requests and for dead letters.
    files: usize,
}

const fn row(line: &'static str, is_success: bool, arrives: &'static [(&'static str, usize)]) -> Row {
    Row { line, before: Before::Nothing, is_success, arrives, commands: 0, files: 0 }
}

const REQUEST: &[(&str, usize)] = &[("processing_recipe", 1)];

/// What works with any broker. `BROKER` stands for the options that say where the broker is.
const ROWS: &[Row] = &[
    row("zocalo.go -r good 5", true, REQUEST),
    row("zocalo.go -r good -r other 5 -s a=b --set c=d=e -sf=", true, REQUEST),
    row("zocalo.go --recipe good --autoprocscalingid 3 5", true, REQUEST),
    row("zocalo.go -f mine.json -r good -n", true, REQUEST),
    row("zocalo.go --file mine.json 5 -v", true, REQUEST),
    row("zocalo.go -p 7", true, REQUEST),
    row("zocalo.go --reprocessing 7 -r good", true, REQUEST),
    row("zocalo.go -n 5 -r good -a 1", true, REQUEST),
    row("zocalo.go -np -r good", true, REQUEST),
    row("zocalo.go -r nosuch 5", true, REQUEST),
    row("zocalo.go --rec good --no-d", true, REQUEST),
    row("zocalo.go -e default -r good 5", true, REQUEST),
    row("zocalo.go --dry-run -r good 5", true, &[]),
    Row { files: 1, ..row("zocalo.go --drop -r good 5", true, &[]) },
    row("zocalo.go -r good", false, &[]),
    row("zocalo.go 5", false, &[]),
    row("zocalo.go", false, &[]),
    row("zocalo.go -r good 5 6", false, &[]),
    row("zocalo.go -r good x", false, &[]),
    row("zocalo.go -r good 0", false, &[]),
    row("zocalo.go -n -r good -s a", false, &[]),
    row("zocalo.go -n -f nosuch.json", false, &[]),
    row("zocalo.go -n -f broken.json", false, &[]),
    row("zocalo.go -e nosuch -r good 5", false, &[]),
    row("zocalo.go -t NoTransport -r good 5", false, &[]),
    row("zocalo.go --nosuch -r good 5", false, &[]),
    row("zocalo.go -?", true, &[]),
    row("zocalo.go --help", true, &[]),
    row("zocalo.go BROKER -r good 5", true, REQUEST),
    row("zocalo.go FILE -n -r good", true, REQUEST),
    row("zocalo.pickup", true, &[]),
    Row { before: Before::Saved, ..row("zocalo.pickup -w 0 -d 0", true, REQUEST) },
    Row { before: Before::Saved, ..row("zocalo.pickup --wait 0 --delay 0 -v BROKER", true, REQUEST) },
    row("zocalo.pickup -w x", false, &[]),
    row("zocalo.pickup -h", true, &[]),
    Row { commands: 1, ..row("zocalo.shutdown -s Runner", true, &[]) },
    Row { commands: 3, ..row("zocalo.shutdown -s A --service B uk.ac.ws1.5", true, &[]) },
    Row { commands: 1, ..row("zocalo.shutdown -s none BROKER", true, &[]) },
    row("zocalo.shutdown", false, &[]),
    row("zocalo.shutdown --help", true, &[]),
    Row { before: Before::Messages, ..row("zocalo.queue_drain py out --wait 0 --stop 1", true, &[("out", 2)]) },
    Row {
        before: Before::Messages,
        ..row("zocalo.queue_drain --wai=0.01 --stop 0.5 py out BROKER", true, &[("out", 2)])
    },
    Row { before: Before::Step, ..row("zocalo.queue_drain py . --wait 0 --stop 1", true, &[("out", 1)]) },
    row("zocalo.queue_drain py", false, &[]),
    row("zocalo.queue_drain py out --wait x", false, &[]),
    row("zocalo.wrap", false, &[]),
    row("zocalo.wrap --wrap nosuch", false, &[]),
    row("zocalo.wrap -?", true, &[]),
];

/// What the commands for dead letters do, which take another way for each broker.
const RABBITMQ: &[Row] = &[
    row("zocalo.dlq_check -n /", true, &[]),
    row("zocalo.dlq_check --namespace / BROKER", true, &[]),
    Row { before: Before::Letter, ..row("zocalo.dlq_check -n /", false, &[("dlq.py", 1)]) },
    row("zocalo.dlq_check -h", true, &[]),
    Row { before: Before::Letter, files: 1, ..row("zocalo.dlq_purge --location DLQ py", true, &[]) },
    Row { before: Before::Letter, files: 1, ..row("zocalo.dlq_purge --loc DLQ --wait 0.5 dlq.py BROKER", true, &[]) },
    row("zocalo.dlq_purge --wait x", false, &[]),
    Row { before: Before::LetterFile, files: 1, ..row("zocalo.dlq_reinject DLQ/letter", true, &[("py", 1)]) },
    Row { before: Before::LetterFile, ..row("zocalo.dlq_reinject -r -v -w 0 DLQ/letter BROKER", true, &[("py", 1)]) },
    Row { before: Before::LetterFile, ..row("zocalo.dlq_reinject --rem -d out DLQ/letter", true, &[("out", 1)]) },
    row("zocalo.dlq_reinject", false, &[]),
    Row { before: Before::LetterFile, files: 1, ..row("zocalo.dlq_reinject DLQ/letter nosuch", true, &[("py", 1)]) },
    row("zocalo.dlq_reinject ../site.yml", false, &[]),
    row("zocalo.dlq_reinject -?", true, &[]),
];

/// The queues that are looked at.
const WATCHED: [&str; 4] = ["processing_recipe", "py", "out", "dlq.py"];

/// A facility as both commands find it.
struct Stand<'a> {
    place: &'a dyn Fn(&str) -> PathBuf,
    /// One of the reference's commands, in the facility's surroundings.
    theirs: &'a dyn Fn(&str, &[&str]) -> Command,
    transport: &'a dyn Transport,
    /// The options that lead to the broker, and the name of the file's option.
    broker: String,
    file: &'static str,
}

/// The stand of a facility, whatever its broker is: where the broker is, and the option with a file that says it.
macro_rules! stand {
    ($facility:ident, $broker:expr, $file:expr) => {
        Stand {
            place: &|name| $facility.path(name),
            theirs: &|name, arguments| $facility.theirs(name, arguments),
            transport: &$facility.transport,
            broker: $broker,
            file: $file,
        }
    };
}

impl Stand<'_> {
    fn path(&self, name: &str) -> PathBuf {
        (self.place)(name)
    }

    fn prepare(&self) {
        for (name, recipe) in [
            ("recipes/good.json", json!({"1": {"queue": "out"}, "start": [[1, []]]})),
            ("recipes/other.json", json!({"1": {"queue": "py"}, "start": [[1, {"é": 1}]]})),
            (
                "work/mine.json",
                json!({"start": [[1, []]], "1": {"queue": "out", "output": {"x": 2}}, "2": {"queue": "py"}}),
            ),
            ("work/broken.json", json!({"1": {"queue": "out"}})),
        ] {
            std::fs::write(self.path(name), recipe.to_string()).expect("write");
        }
        let _ = std::fs::create_dir(self.path("work/DLQ"));
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_zrecipe"))
            .arg("install-shims")
            .arg(self.path("shims"))
            .output()
            .expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A command line of the original or of the shim.
    fn command(&self, line: &str, is_ours: bool) -> Command {
        let line = line.replace("BROKER", &self.broker).replace("FILE", self.file);
        let mut words = line.split_whitespace();
        let name = words.next().expect("a command");
        let words: Vec<&str> = words.collect();
        let mut command = (self.theirs)(name, &words);
        if is_ours {
            let original = command.as_std();
            let mut shim = Command::new(self.path("shims").join(name));
            shim.args(&words).env_clear().current_dir(original.get_current_dir().expect("a directory"));
            shim.envs(original.get_envs().filter_map(|(name, value)| Some((name, value?))));
            shim.env("ZRECIPE_PYTHON", program("python")).kill_on_drop(true);
            command = shim;
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn clear(&self) {
        for queue in WATCHED {
            // On ActiveMQ, a queue that nobody has used is not there.
            let _ = self.transport.purge(queue).await;
        }
        for directory in ["drop", "work/DLQ"] {
            let _ = std::fs::remove_dir_all(self.path(directory));
            std::fs::create_dir(self.path(directory)).expect("a directory");
        }
    }

    async fn set_up(&self, before: Before) {
        match before {
            Before::Nothing => {}
            Before::Saved => {
                let saved = json!({"headers": {"zocalo.go.host": "ws1", "zocalo.go.user": "ana"},
                    "message": {"recipes": ["good"], "parameters": {"ispyb_dcid": 5}}});
                std::fs::write(self.path("drop/0af76519-16cd-43dd-8448-eb211c80319c"), saved.to_string())
                    .expect("write");
            }
            Before::Letter => {
                let mut py = subscribe(self.transport, queue("py"), 1).await;
                let body = br#"{"n": 1}"#.to_vec();
                self.transport.send(vec![Outgoing { body, ..message(&fresh("m"), queue("py")) }]).await.expect("send");
                let delivery = next(&mut py).await;
                self.transport.settle(&delivery, reject("bad")).await.expect("settle");
            }
            Before::LetterFile => {
                let death = json!([{"queue": "py", "exchange": "", "reason": "rejected", "count": 1, "time": 1.5,
                    "routing-keys": ["py"]}]);
                let letter = json!({"exported": {"date": "2026-01-01", "time": "00:00:00"},
                    "header": {"x-death": death, "message-id": "m"}, "message": {"n": 1}});
                std::fs::write(self.path("work/DLQ/letter"), letter.to_string()).expect("write");
            }
            Before::Messages => {
                let sent = ["a", "b"].map(|id| Outgoing {
                    body: format!(r#"{{"n": "{id}"}}"#).into_bytes(),
                    headers: Object::from_iter([("own".to_owned(), Value::from(id))]),
                    ..message(&fresh(id), queue("py"))
                });
                self.transport.send(sent.into()).await.expect("send");
            }
            Before::Step => {
                let body = json!({"recipe": {"1": {"queue": "out"}, "start": [[1, []]]}, "recipe-pointer": 1,
                    "recipe-path": [], "environment": {"ID": "i"}, "payload": {"n": 1}});
                let headers = Object::from_iter([("workflows-recipe".to_owned(), Value::from("True"))]);
                let sent =
                    Outgoing { body: body.to_string().into_bytes(), headers, ..message(&fresh("s"), queue("py")) };
                self.transport.send(vec![sent]).await.expect("send");
            }
        }
    }

    /// Runs a command; one that only reads statistics runs until these are as recent as the expectation.
    async fn run(&self, row: &Row, is_ours: bool) -> Output {
        let run = async || within(row.line, self.command(row.line, is_ours).output()).await.expect("runs");
        let mut output = run().await;
        if row.line.starts_with("zocalo.dlq_check") {
            eventually("statistics of the broker", async || {
                if output.status.success() != row.is_success {
                    output = run().await;
                }
                output.status.success() == row.is_success
            })
            .await;
        }
        output
    }

    /// What a command leaves behind: messages, commands to services, and the number of files.
    async fn outcome(&self, row: &Row, is_ours: bool, heard: &mut Deliveries) -> Vec<String> {
        self.clear().await;
        self.set_up(row.before).await;
        let output = self.run(row, is_ours).await;
        let who = if is_ours { "the shim" } else { "the original" };
        let said = [output.stdout.as_slice(), &output.stderr].concat();
        let said = format!("{who}: {}: {}", row.line, String::from_utf8_lossy(&said));
        assert_eq!(output.status.success(), row.is_success, "{said}");
        let mut found = Vec::new();
        for name in WATCHED {
            let expected = row.arrives.iter().find(|(queue, _)| *queue == name).map_or(0, |(_, count)| *count as u64);
            let count = async || self.transport.waiting(name).await.map_or(0, |waiting| waiting.messages);
            eventually(&format!("{expected} in {name}; {said}"), async || count().await == expected).await;
            if expected == 0 {
                continue;
            }
            let mut deliveries = subscribe(self.transport, queue(name), 10).await;
            for _ in 0..expected {
                let delivery = next(&mut deliveries).await;
                found.push(format!("{name} {}", shown(&delivery.headers, &delivery.body)));
                self.transport.settle(&delivery, accept(vec![])).await.expect("settle");
            }
        }
        for _ in 0..row.commands {
            let delivery = within(&said, heard.next()).await.expect("a command");
            self.transport.settle(&delivery, accept(vec![])).await.expect("settle");
            found.push(format!("command {}", read_value(&delivery.body).expect("JSON").to_json()));
        }
        let files = count_files(&self.path("drop")) + count_files(&self.path("work/DLQ"));
        assert_eq!(files, row.files, "{said}");
        found
    }

    async fn compare(&self, rows: impl Iterator<Item = &'static Row>) {
        self.prepare();
        let mut heard = subscribe(self.transport, topic("command"), 50).await;
        for row in rows {
            let theirs = self.outcome(row, false, &mut heard).await;
            let ours = self.outcome(row, true, &mut heard).await;
            assert_eq!(ours, theirs, "{}", row.line);
        }
    }
}

/// An id that no other message has: a connection takes a message with a known id once.
fn fresh(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4())
}

/// A message as it is compared: its body in one spelling, and the headers that say something to services. The recipe ID is
/// left out, which only ours has before the dispatcher.
fn shown(headers: &Object, body: &[u8]) -> String {
    let mut body = read_value(body).expect("JSON");
    if let Value::Object(request) = &mut body
        && let Some(Value::Object(parameters)) = request.get_mut("parameters")
    {
        parameters.retain(|name, _| name != "guid");
    }
    let known = ["zocalo.go.user", "zocalo.go.host", "workflows-recipe", "dlq-reinjected", "own"];
    // Either spelling of `True` marks a recipe message.
    let text = |value: &Value| value.to_json().to_lowercase().replace('"', "");
    let headers = known.iter().filter_map(|name| Some(format!("{name}={}", text(headers.get(*name)?))));
    // Keys of objects have no order that matters.
    let sorted: serde_json::Value = serde_json::from_str(&body.to_json()).expect("JSON");
    format!("{} {sorted}", headers.collect::<Vec<_>>().join(" "))
}

fn count_files(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { count_files(&path) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_lines_of_python_mean_the_same_on_rabbitmq() {
    let facility = Facility::new().await;
    let port = facility.node.port;
    let conf = format!("[rabbit]\nhost = 127.0.0.1\nport = {port}\nusername = guest\npassword = guest\nvhost = /\n");
    std::fs::write(facility.path("work/rabbit.ini"), conf).expect("write");
    let broker = format!(
        "-t PikaTransport --rabbit-host 127.0.0.1 --rabbit-port {port} --rabbit-user guest --rabbit-pass guest \
         --rabbit-vhost /"
    );
    let stand = stand!(facility, broker, "--rabbit-conf rabbit.ini");
    stand.compare(ROWS.iter().chain(RABBITMQ)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_lines_of_python_mean_the_same_on_activemq() {
    let facility = stomp::Facility::new(Setup::default()).await;
    let port = facility.node.port;
    let conf =
        format!("[stomp]\nhost = 127.0.0.1\nport = {port}\nusername = guest\npassword = guest\nprefix = zocalo\n");
    std::fs::write(facility.path("work/stomp.ini"), conf).expect("write");
    let broker = format!(
        "--transport StompTransport --stomp-host 127.0.0.1 --stomp-port {port} --stomp-user guest --stomp-pass guest \
         --stomp-prfx zocalo"
    );
    let stand = stand!(facility, broker, "--stomp-conf stomp.ini");
    // What never comes to the broker is the same for all brokers.
    let reaches = |row: &&Row| !row.arrives.is_empty() || row.commands > 0;
    stand.compare(ROWS.iter().filter(reaches)).await;
}

/// The options lead to a broker without a site configuration, and come before one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_lead_to_the_broker_without_a_site() {
    let facility = Facility::new().await;
    let port = facility.node.port.to_string();
    let mut out = subscribe(&facility.transport, queue("processing_recipe"), 1).await;
    let mine = json!({"1": {"queue": "out"}, "start": [[1, []]]}).to_string();
    std::fs::write(facility.path("work/mine.json"), mine).expect("write");
    let away = "version: 1\nb: {plugin: pika, host: 127.0.0.1, port: 1, username: guest, password: guest, vhost: /}\n\
                environments: {default: [b]}\n";
    std::fs::write(facility.path("work/away.yml"), away).expect("write");
    let go = ["go", "-n", "-f", "mine.json"];
    let near = ["--rabbit-host", "127.0.0.1", "--rabbit-port", &port];
    for site in [None, Some("away.yml")] {
        let mut command = facility.ours(&[&go[..], &near].concat());
        match site {
            Some(site) => command.env("ZOCALO_CONFIG", site),
            None => command.env_remove("ZOCALO_CONFIG"),
        };
        ends("zrecipe go", &mut command.spawn().expect("starts")).await;
        let delivery = next(&mut out).await;
        facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
    }
    // A password of the command line is in no message.
    let wrong = [&go[..], &near, &["--rabbit-pass", "kanarienvogel", "-v", "-v"]].concat();
    let mut output = facility.ours(&wrong);
    let output = output.env_remove("ZOCALO_CONFIG").stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = within("zrecipe go", output.output()).await.expect("runs");
    let said = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("ACCESS_REFUSED") && !said.contains("kanarienvogel"), "{said}");
}

/// `zocalo.service` by its options: the name's beginning, the tag, the check of liveness, and an end by command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_starts_by_the_options_of_python() {
    let facility = Facility::new().await;
    let port = facility.node.port;
    let stand = stand!(facility, format!("--rabbit-host=127.0.0.1 --rabbit-port={port}"), "");
    stand.prepare();
    for (is_ours, line, is_success) in [
        (false, "zocalo.service --version", true),
        (true, "zocalo.service --version", true),
        (false, "zocalo.service -s nosuch", false),
        (true, "zocalo.service -s nosuch", false),
        (false, "zocalo.service", false),
        (true, "zocalo.service", false),
        (false, "zocalo.service -?", true),
        (true, "zocalo.service -?", true),
    ] {
        let output = within(line, stand.command(line, is_ours).output()).await.expect("runs");
        assert_eq!(output.status.success(), is_success, "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let mut statuses = subscribe(&facility.transport, topic("transient.status"), 50).await;
    for is_ours in [false, true] {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let liveness = free.expect("a port").port();
        let line = format!(
            "zocalo.service -s jsonl -d --tag blue --liveness --liveness-port {liveness} --liveness-timeout 5 BROKER"
        );
        let mut service = stand.command(&line, is_ours);
        let mut service = service.stdout(Stdio::inherit()).stderr(Stdio::inherit()).spawn().expect("starts");
        facility.served("jsonlines").await;
        loop {
            let delivery = next(&mut statuses).await;
            facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
            let status = read_value(&delivery.body).expect("JSON");
            let text = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or_default();
            if text("tag") == "blue" && text("serviceclass") == "JSONLines" && text("statustext") == "idle" {
                break;
            }
        }
        eventually("a sign of life", async || alive(liveness)).await;
        let stop = stand.command("zocalo.shutdown -s JSONLines", is_ours).output();
        assert!(within("shutdown", stop).await.expect("runs").status.success());
        ends("the service", &mut service).await;
    }
}

/// Whether something answers at a port that it is alive.
fn alive(port: u16) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut answer = String::new();
    let asked = stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").is_ok();
    let _ = stream.read_to_string(&mut answer);
    asked && answer.lines().next().is_some_and(|line| line.contains(" 200 "))
}

/// `zocalo.wrap --wrap dummy` from a wrapper file: the same messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrapper_runs_by_the_options_of_python() {
    let facility = Facility::new().await;
    let stand = stand!(facility, String::new(), "");
    stand.prepare();
    let channels = json!({"starting": 2, "updates": 2, "success": 2, "failure": 2, "completed": 2});
    let wrapper = json!({"recipe": {"1": {"queue": "py", "output": channels}, "2": {"queue": "out"}, "start": [[1, []]]},
        "recipe-pointer": 1, "recipe-path": [], "environment": {"ID": "i"}, "payload": []});
    std::fs::write(facility.path("work/rw.json"), wrapper.to_string()).expect("write");
    let mut out = subscribe(&facility.transport, queue("out"), 1).await;
    let mut found = Vec::new();
    for is_ours in [false, true] {
        let mut command = stand.command("zocalo.wrap --wrap dummy --recipewrapper rw.json -v", is_ours);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = command.env("PYTHONPATH", root.join("python")).spawn().expect("starts");
        let mut payloads = Vec::new();
        // The class of the reference works for half a minute; its beginning is enough.
        let delivery = next(&mut out).await;
        facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
        payloads.push(read_value(&delivery.body).expect("JSON").get("payload").cloned());
        child.kill().await.expect("it is ours");
        found.push(payloads);
    }
    assert_eq!(found[1], found[0]);
    // A failure is a text on either side.
    let program = ["wrap", "--wrap", "own", "--recipewrapper", "rw.json", "--", "sh", "-c", "exit 3"];
    let mut child = facility.ours(&program).spawn().expect("starts");
    let status = within("zrecipe wrap", child.wait()).await.expect("wait");
    assert_eq!(status.code(), Some(3));
    let mut payloads = Vec::new();
    while payloads.last() != Some(&Value::from("Finished processing")) {
        let delivery = next(&mut out).await;
        facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
        payloads.extend(read_value(&delivery.body).expect("JSON").get("payload").cloned());
    }
    let failure = Value::from("`sh -c exit 3` ended with exit status 3");
    assert!(payloads.contains(&failure), "{payloads:?}");
}

/// `zocalo.configure_rabbitmq`: what the shim has made, the original finds in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_is_configured_by_the_options_of_python() {
    let facility = Facility::new().await;
    let stand = stand!(facility, String::new(), "");
    stand.prepare();
    let configuration = json!({"policies": [], "exchanges": [],
        "groups": [{"names": ["a", "b"], "settings": {"queues": {"type": "quorum"}}},
            {"names": ["news"], "settings": {"broadcast": true}}]});
    std::fs::write(facility.path("work/rabbit.yml"), configuration.to_string()).expect("write");
    std::fs::create_dir(facility.path("work/users")).expect("a directory");
    for (name, tags) in [("guest", "administrator"), ("reader", "monitoring")] {
        let text = format!("[rabbitmq]\nusername = {name}\npassword = guest\ntags = {tags}\n");
        std::fs::write(facility.path("work/users").join(format!("{name}.ini")), text).expect("write");
    }
    let state = || {
        let mut lines =
            [facility.node.control(&["list_queues", "name", "type"]), facility.node.control(&["list_users"])]
                .concat()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>();
        lines.sort();
        lines
    };
    let mut found = Vec::new();
    for is_ours in [true, false] {
        let line = "zocalo.configure_rabbitmq rabbit.yml --user-config users";
        let output = within(line, stand.command(line, is_ours).output()).await.expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        found.push(state());
    }
    assert!(found[0].iter().any(|line| line.contains("reader")), "{found:?}");
    assert_eq!(found[0], found[1]);
    for line in ["zocalo.configure_rabbitmq", "zocalo.configure_rabbitmq nosuch.yml"] {
        for is_ours in [false, true] {
            let output = within(line, stand.command(line, is_ours).output()).await.expect("runs");
            assert!(!output.status.success(), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipes_are_validated_by_the_options_of_python() {
    let directory = tempfile::tempdir().expect("a directory");
    let shims = directory.path().join("shims");
    let installed = Command::new(env!("CARGO_BIN_EXE_zrecipe")).arg("install-shims").arg(&shims).output().await;
    assert!(installed.expect("runs").status.success());
    for (name, text) in [
        ("good.json", r#"{"1": {"queue": "q"}, "start": [[1, []]]}"#),
        (
            "error.json",
            r#"{"1": {"queue": "a", "output": 2, "error": {"all": 2}}, "2": {"queue": "b"}, "start": [[1, []]]}"#,
        ),
        ("bad.json", r#"{"1": {"queue": "q"}}"#),
        ("broken.json", "{"),
    ] {
        std::fs::write(directory.path().join(name), text).expect("write");
    }
    for line in ["good.json", "error.json", "bad.json", "broken.json", "good.json bad.json", "nosuch.json", "", "-h"] {
        let mut succeeds = Vec::new();
        for path in [program("workflows.validate_recipe"), shims.join("workflows.validate_recipe")] {
            let mut command = Command::new(path);
            command.args(line.split_whitespace()).current_dir(directory.path()).stdin(Stdio::null());
            let output = within(line, command.output()).await.expect("runs");
            succeeds.push(output.status.success());
        }
        assert_eq!(succeeds[0], succeeds[1], "{line}");
    }
}
