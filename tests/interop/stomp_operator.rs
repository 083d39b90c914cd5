//! The commands of operators on ActiveMQ, one after the other; what `doctor` finds in its configuration; and the site of
//! Zocalo's documentation.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use zrecipe::message::Envelope;
use zrecipe::transport::{Transport as _, Verdict};
use zrecipe::value::Value;

use crate::activemq::Setup;
use crate::contract::{accept, message, next, queue, reject, subscribe, within};
use crate::services::ends;
use crate::stomp::Facility;
use crate::terminal::Tmux;
use crate::wait::{eventually, eventually_ok};

impl Facility {
    /// Runs one of our commands; it must exit with this code. What it prints.
    async fn runs(&self, arguments: &[&str], expected: i32) -> String {
        let (text, code) = self.says(arguments).await;
        assert_eq!(code, expected, "{arguments:?}: {text}");
        text
    }

    fn serves(&self, service: &str) -> Child {
        self.ours(&["service", "-s", service]).spawn().expect("starts")
    }

    fn only_file_below(&self, folder: &str) -> String {
        let mut path = self.path(folder);
        while path.is_dir() {
            path = std::fs::read_dir(&path).expect("a folder").next().expect("a file").expect("read").path();
        }
        path.display().to_string()
    }
}

/// `go`, `pickup`, `run -e --follow`, `status`, `shutdown`, `wrap`, `queues`, `dlq`, `peek`, `drain`, `doctor`, `monitor`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_works_on_activemq() {
    let mut facility = Facility::new(Setup::default()).await;
    let place = format!("where={}", facility.path("work").display());
    let program = env!("CARGO_BIN_EXE_zrecipe");
    let wrap = [program, "wrap", "--wrap", "Job", "--recipewrapper", "$RECIPEWRAP", "--", "sh", "job.sh"];
    let channels = json!({"starting": 2, "updates": 2, "success": 2, "completed": 2});
    let recipe = json!({
        "1": {"service": "Runner", "queue": "runner.submission", "output": channels,
              "parameters": {"workingdir": "{where}", "recipewrapper": "rw.json", "commands": [wrap]}},
        "2": {"queue": "out"},
        "start": [[1, []]],
    });
    std::fs::write(facility.path("recipes/job.json"), recipe.to_string()).expect("write");
    let said = r#"echo '{"channel": "updates", "payload": "中"}' >> "$ZRECIPE_RESULTS""#;
    std::fs::write(facility.path("work/job.sh"), said).expect("write");

    // `go` keeps a request while the broker is away, and `pickup` sends it.
    facility.node.stop();
    let text = facility.runs(&["go", "-n", "-r", "job", "-s", &place], 0).await;
    assert!(text.contains("send it with `zrecipe pickup`"), "{text}");
    facility.node.start_again().await;
    let text = facility.runs(&["pickup"], 0).await;
    assert!(text.contains("sent "), "{text}");
    let text = facility.runs(&["queues", "processing_recipe"], 0).await;
    let row = text.lines().find(|line| line.starts_with("processing_recipe")).unwrap_or_default();
    assert!(row.split_whitespace().collect::<Vec<_>>().starts_with(&["processing_recipe", "1", "0"]), "{text}");

    // Services deal with it; the program reports by `wrap`.
    let (mut dispatcher, mut runner) = (facility.serves("Dispatcher"), facility.serves("Runner"));
    facility.served("processing_recipe").await;
    facility.served("runner.submission").await;
    let mut out = subscribe(&facility.transport, queue("out"), 10).await;
    for expected in ["Starting processing", "中", "Finished processing", "Finished processing"] {
        let delivery = next(&mut out).await;
        let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
        assert_eq!(envelope.payload, Value::from(expected));
        facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
    }
    drop(out);
    let text = facility.runs(&["status", "--wait", "12"], 0).await;
    assert!(text.contains("Dispatcher") && text.contains("Runner"), "{text}");

    // `run --follow` shows what services say of the run, until it is interrupted.
    let simple = json!({
        "1": {"service": "Runner", "queue": "runner.submission",
              "parameters": {"workingdir": "{where}", "commands": [["sh", "-c", "until [ -e seen ]; do sleep 0.1; done"]]}},
        "start": [[1, []]],
    });
    std::fs::write(facility.path("recipes/simple.json"), simple.to_string()).expect("write");
    let mut following = facility.ours(&["run", "-e", "default", "--follow", "simple", "-p", &place]);
    let mut following = following.stderr(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(following.stderr.take().expect("its output")).lines();
    loop {
        let line = within("the service", lines.next_line()).await.expect("text").expect("it goes on");
        if line.contains("Runner on ") {
            break;
        }
    }
    std::fs::write(facility.path("work/seen"), "").expect("write");
    let pid = following.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("a process");
    kill_process(pid, Signal::INT).expect("it is ours");
    ends("run --follow", &mut following).await;

    // `monitor` shows the services, and stops one.
    let site = facility.path("site.yml");
    let screen = Tmux::start(&facility.path("work"), &[("ZOCALO_CONFIG", site.as_path())]);
    within("the screen", screen.works(vec![("Runner", runner)])).await;
    runner = facility.serves("Runner");
    facility.served("runner.submission").await;
    facility.runs(&["shutdown", "-s", "Dispatcher", "-s", "Runner"], 0).await;
    ends("the dispatcher", &mut dispatcher).await;
    ends("the runner", &mut runner).await;

    dead_letters_are_dealt_with(&facility).await;
    let text = facility.runs(&["doctor"], 1).await;
    for part in ["ActiveMQ 5.", "the broker has a scheduler", "each queue has its own", "store 256 MB"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // What it has tried is gone.
    let text = facility.runs(&["queues", "--json"], 0).await;
    assert!(!text.contains("zrecipe.probe"), "{text}");
    facility.transport.close().await.expect("close");
}

/// `dlq list`, `show`, `check`, `purge` and `reinject`, `peek` and `drain`.
async fn dead_letters_are_dealt_with(facility: &Facility) {
    let transport = &facility.transport;
    facility.runs(&["dlq", "check"], 0).await;
    let mut deliveries = subscribe(transport, queue("q"), 1).await;
    transport.send(vec![message("bad", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    transport.settle(&got, reject("no such sample")).await.expect("settle");
    drop(deliveries);
    let text = facility.runs(&["dlq", "check"], 1).await;
    assert!(text.contains("dlq.q"), "{text}");
    let text = facility.runs(&["dlq", "list"], 0).await;
    assert!(text.contains("dlq.q") && text.contains("no such sample"), "{text}");
    let text = facility.runs(&["dlq", "show", "q"], 0).await;
    assert!(text.contains("no such sample"), "{text}");
    let text = facility.runs(&["peek", "dlq.q"], 0).await;
    assert!(text.contains("bad"), "{text}");
    facility.runs(&["dlq", "purge", "q", "--location", "kept"], 0).await;
    facility.runs(&["dlq", "check"], 0).await;
    let file = facility.only_file_below("work/kept");
    facility.runs(&["dlq", "reinject", &file], 0).await;
    let text = facility.runs(&["peek", "q"], 0).await;
    assert!(text.contains("bad"), "{text}");
    facility.runs(&["drain", "q", "elsewhere"], 0).await;
    let waiting = async |queue: &str| transport.waiting(queue).await.expect("is there").messages;
    assert_eq!((waiting("q").await, waiting("elsewhere").await), (0, 1));
    transport.purge("elsewhere").await.expect("purges");
}

/// `doctor` names what the configuration of ActiveMQ lacks before anything is lost by it, with the lines for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_names_what_activemq_lacks() {
    let setup = Setup { individual: false, scheduler: false, store: 8, ..Setup::default() };
    let facility = Facility::new(setup).await;
    let text = facility.runs(&["doctor"], 1).await;
    for part in [
        "ActiveMQ 5.",
        "the broker has no scheduler",
        "schedulerSupport=\"true\"",
        "go to the shared queue `ActiveMQ.DLQ`",
        "<individualDeadLetterStrategy queuePrefix=\"DLQ.\" useQueueForQueueMessages=\"true\"/>",
        "memory 64 MB, store 8 MB",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Nothing is left of what was tried.
    let text = facility.runs(&["queues", "--json"], 0).await;
    assert!(!text.contains("zrecipe.probe"), "{text}");
    // Without the management API the rest is found.
    let site =
        std::fs::read_to_string(facility.path("site.yml")).expect("is there").replace("activemq, api,", "activemq,");
    std::fs::write(facility.path("site.yml"), site).expect("written");
    let text = facility.runs(&["doctor"], 1).await;
    assert!(text.contains("go to the shared queue") && text.contains("plugin: jmx"), "{text}");
    facility.transport.close().await.expect("close");
}

/// What other tools reject is found where the strategy of dead letters puts it: apart, or together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_messages_are_where_the_strategy_puts_them() {
    for individual in [true, false] {
        let facility = Facility::new(Setup { individual, ..Setup::default() }).await;
        let mut bare = crate::bare::Bare::connect(facility.node.port).await;
        facility.transport.send(vec![message("bad", queue("q"))]).await.expect("send");
        bare.subscribe("/queue/zocalo.q", 1).await;
        let got = bare.message().await;
        let nack = zrecipe::transport::stomp::frame::Frame::new("NACK").with("id", got.get("ack").unwrap_or_default());
        bare.ask(nack).await.expect("is taken");
        let place = if individual { "dlq.q" } else { "/queue/ActiveMQ.DLQ" };
        eventually("the dead letter", async || {
            facility.transport.waiting(place).await.is_ok_and(|found| found.messages == 1)
        })
        .await;
        let text = if individual {
            facility.runs(&["dlq", "show", "q"], 0).await
        } else {
            facility.runs(&["doctor"], 1).await
        };
        let expected = if individual { "a consumer rejected it" } else { "1 dead letters are in the shared queue" };
        assert!(text.contains(expected) || text.contains("bad"), "{text}");
        // Ours have a queue for each, whatever the strategy is.
        let mut deliveries = subscribe(&facility.transport, queue("r"), 1).await;
        facility.transport.send(vec![message("worse", queue("r"))]).await.expect("send");
        let got = next(&mut deliveries).await;
        let verdict = Verdict::DeadLetter { reason: "no".into() };
        facility.transport.settle(&got, zrecipe::transport::Settlement::of(verdict)).await.expect("settle");
        let text = facility.runs(&["dlq", "show", "r"], 0).await;
        assert!(text.contains("worse"), "{text}");
        facility.transport.close().await.expect("close");
    }
}

/// The example site of Zocalo's documentation with hosts and paths of this machine, and its plugin `jmx`.
const DOCUMENTED: &str = "\
version: 1

graylog-live:
  plugin: graylog
  protocol: UDP
  host: localhost
  port: 12345

stomp-test:
  plugin: stomp
  username: user
  password: 12345
  host: localhost
  port: PORT
  prefix: zocalo

stomp-live:
  HERE/secrets.yml

jmx:
  plugin: jmx
  port: API
  host: localhost
  base_url: api/jolokia
  username: user
  password: 12345

storage:
  plugin: storage
  zocalo.recipe_directory: HERE/recipes
  zocalo.go.fallback_location: HERE/drop
  zocalo.default_transport: StompTransport

unknown:
  plugin: a-plugin-you-dont-have

environments:
  live:
    transport: stomp-live
    plugins:
      - graylog-live
      - jmx
      - storage

  test:
    transport: stomp-test
    plugins:
      - jmx
      - storage

  default: live
";

const EXAMPLE: &str = r#"{
    "1": { "service": "Runner", "queue": "runner.submission",
           "parameters": { "workingdir": "{workingdir}", "commands": ["touch {ispyb_dcid}"] } },
    "start": [[1, []]]
}"#;

/// `Starting Up` of Zocalo's documentation, with our commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_site_of_zocalos_documentation_works_as_printed() {
    let facility = Facility::new(Setup::default()).await;
    let site = DOCUMENTED
        .replace("PORT", &facility.node.port.to_string())
        .replace("API", &facility.node.api_port.to_string())
        .replace("HERE", &facility.path("").display().to_string());
    let secrets = format!(
        "plugin: stomp\nusername: user\npassword: 12345\nhost: localhost\nport: {}\nprefix: zocalo\n",
        facility.node.port
    );
    for (name, text) in [("documented.yml", site.as_str()), ("secrets.yml", &secrets)] {
        std::fs::write(facility.path(name), text).expect("write");
        std::fs::set_permissions(facility.path(name), Permissions::from_mode(0o600)).expect("is set");
    }
    std::fs::write(facility.path("recipes/example.json"), EXAMPLE).expect("write");
    let path = facility.path("documented.yml");
    let at_site = |mut command: Command, site: &Path| {
        command.env("ZOCALO_CONFIG", site);
        command
    };
    for environment in ["test", "live"] {
        let service = |name: &str| {
            let command = facility.ours(&["service", "-s", name, "-e", environment]);
            at_site(command, &path).spawn().expect("starts")
        };
        let (mut dispatcher, mut runner) = (service("Dispatcher"), service("Runner"));
        facility.served("processing_recipe").await;
        facility.served("runner.submission").await;
        let place = format!("workingdir={}", facility.path("work").display());
        let number = if environment == "test" { "1234" } else { "5678" };
        let going = facility.ours(&["go", "-r", "example", "-s", &place, number, "-e", environment]);
        ends("zrecipe go", &mut at_site(going, &path).spawn().expect("starts")).await;
        eventually("the run", async || facility.path("work").join(number).exists()).await;
        let listed = eventually_ok("the queues", async || {
            let output = at_site(facility.ours(&["queues", "-e", environment]), &path).output().await.expect("starts");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.contains("runner.submission") { Ok(text) } else { Err(text) }
        });
        listed.await;
        let shutdown = facility.ours(&["shutdown", "-s", "Dispatcher", "-s", "Runner", "-e", environment]);
        ends("zrecipe shutdown", &mut at_site(shutdown, &path).spawn().expect("starts")).await;
        ends("the dispatcher", &mut dispatcher).await;
        ends("the runner", &mut runner).await;
    }
    facility.transport.close().await.expect("close");
}
