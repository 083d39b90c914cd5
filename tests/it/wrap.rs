//! Programs that are wrapped, from outside: what is reported, and that it is reported whatever happens.

use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use zrecipe::message::{Envelope, RECIPE_HEADER};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::{Deliveries, Destination, Subscription, Transport as _};
use zrecipe::value::{Object, Value};

use crate::port::Port;
use crate::run::wait_until;
use crate::service::Place;

const WRAPPER: &str = r#"{"recipe": {
    "1": {"service": "Phasing", "queue": "cluster.submission", "wrapper": {"task_information": "é 1"},
        "output": {"starting": 2, "updates": 2, "result-individual-file": 2, "success": 2, "failure": 2, "completed": 2}},
    "2": {"queue": "out"}, "start": [[1, []]]},
    "recipe-pointer": "1", "recipe-path": [], "environment": {"ID": "a-guid"}, "payload": []}"#;

/// Runs a shell script as a wrapped program.
fn wrap(place: &Place, script: &str, arguments: &[&str]) -> Command {
    place.write("rw.json", WRAPPER);
    place.write("program", script);
    let arguments = [&["wrap", "--wrap", "Phasing", "--recipewrapper", "rw.json"], arguments, &["--", "sh", "program"]];
    place.command(&arguments.concat())
}

/// The channels' payloads as they come, up to the last.
async fn reports(place: &Place, out: &mut Deliveries) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let delivery = place.take(out).await;
        let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
        assert_eq!((envelope.id(), envelope.path.as_slice()), (Some("a-guid"), [Value::from(1)].as_slice()));
        found.push(envelope.payload.to_json());
        if found.last().is_some_and(|last| last.contains("Finished")) && found.len() > 1 {
            let previous = &found[found.len() - 2];
            if previous.contains("Finished") || previous.contains("exit status") || previous.contains("was killed") {
                return found;
            }
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What waits to be reported.
fn waiting(place: &Place) -> usize {
    std::fs::read_dir(place.path("state/wrap")).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_says_is_reported() {
    let place = Place::new().await;
    let mut out = place.subscribe("out").await;
    let topic = Subscription { source: Destination::Topic("transient.status".to_owned()), prefetch: 10 };
    let mut statuses = place.space.subscribe(topic).await.expect("subscribes");
    let script = r#"
echo "{\"channel\": \"updates\", \"payload\": {\"recipe\": \"$ZRECIPE_RECIPE_ID\"}}" >> "$ZRECIPE_RESULTS"
echo 'no report' >> "$ZRECIPE_RESULTS"
echo '{"channel": "updates", "paylod": 1}' >> "$ZRECIPE_RESULTS"
grep -q cluster.submission "$ZRECIPE_STEP" && grep -q recipe-pointer "$ZRECIPE_WRAPPER" || exit 1
printf '{"channel": "result-individual-file", "payload": "x.mtz"}\n{"channel": "cut\n' >> "$ZRECIPE_RESULTS"
printf '{"channel": "updates", "payload": "last"}' >> "$ZRECIPE_RESULTS"
"#;
    let output = wrap(&place, script, &[]).output().expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for odd in ["no report", "{\"channel\": \"cut", "{\"channel\": \"updates\", \"paylod\": 1}"] {
        assert!(said(&output).contains(&format!("this is not a report: {odd}; write")), "{}", said(&output));
    }
    let expected = [
        r#""Starting processing""#,
        r#"{"recipe":"a-guid"}"#,
        r#""x.mtz""#,
        r#""last""#,
        r#""Finished processing""#,
        r#""Finished processing""#,
    ];
    assert_eq!(reports(&place, &mut out).await, expected);
    assert_eq!(waiting(&place), 0);
    let status = read_value(&place.take(&mut statuses).await.body).expect("JSON");
    let text = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or_default();
    assert_eq!((text("task"), text("recipe_ID")), ("Phasing (é 1)", "a-guid"));
    assert!(["starting", "processing"].contains(&text("statustext")), "{}", status.to_json());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_status_is_that_of_the_program() {
    let place = Place::new().await;
    let mut out = place.subscribe("out").await;
    for (script, code, reason) in [
        ("exit 3", 3, r#""`sh program` ended with exit status 3""#),
        ("kill -9 $$", 137, r#""`sh program` was killed by signal 9""#),
    ] {
        let output = wrap(&place, script, &[]).output().expect("runs");
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        let found = reports(&place, &mut out).await;
        // A text, as the Python wrappers send it.
        assert_eq!(found[1], reason, "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_are_passed_on() {
    let place = Place::new().await;
    let mut out = place.subscribe("out").await;
    let script = r#"
trap 'exit 7' TERM
echo '{"channel": "updates", "payload": "up"}' >> "$ZRECIPE_RESULTS"
while :; do sleep 0.05; done
"#;
    let mut child = wrap(&place, script, &[]).stderr(Stdio::null()).spawn().expect("starts");
    for expected in [r#""Starting processing""#, r#""up""#] {
        let delivery = place.take(&mut out).await;
        let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
        assert_eq!(envelope.payload.to_json(), expected);
    }
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it is ours");
    assert_eq!(child.wait().expect("ends").code(), Some(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrapper_that_is_killed_is_noticed_and_its_program_left_alone() {
    const SCRIPT: &str =
        r#"cat gate; echo '{"channel": "updates", "payload": "late"}' >> "$ZRECIPE_RESULTS"; echo done > done"#;
    // Some programs close what they inherit.
    let closing = r#"for fd in /proc/$$/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done"#;
    for script in [SCRIPT.to_owned(), format!("exec bash -c '{closing}; . ./inner'")] {
        let place = Place::new().await;
        let mut out = place.subscribe("out").await;
        assert!(Command::new("mkfifo").arg(place.path("gate")).status().expect("runs").success());
        place.write("inner", SCRIPT);
        let mut child = wrap(&place, &script, &[]).stderr(Stdio::null()).spawn().expect("starts");
        place.take(&mut out).await;
        // The program waits for this end of the fifo.
        let gate = std::fs::File::options().write(true).open(place.path("gate")).expect("opens");
        let reap = || {
            let output = place.command(&["wrap", "--reap"]).output().expect("runs");
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            said(&output)
        };
        assert_eq!(reap(), "nothing waits\n", "one that lives is left alone");
        child.kill().expect("it is ours");
        child.wait().expect("ends");
        let running = "Phasing (é 1) is still running, although its wrapper was killed: skipped until it ends\n";
        assert_eq!((reap().as_str(), waiting(&place)), (running, 1));
        drop(gate);
        wait_until("the program ends", || place.path("done").exists());
        wait_until("it is reported", || match reap() {
            said if said == running => false,
            said => {
                assert_eq!(said, "Phasing (é 1) was killed: reported as a failure\n");
                true
            }
        });
        let found = reports(&place, &mut out).await;
        assert_eq!((found.len(), found[0].as_str()), (3, r#""late""#));
        assert!(found[1].contains("the wrapper was killed"), "{found:?}");
        assert_eq!(waiting(&place), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_wait_for_a_broker_that_is_away() {
    let place = Place::new().await;
    let mut out = place.subscribe("out").await;
    let port = Port::closed();
    place.write(
        "site.yml",
        &format!(
            "version: 1\n\
             far: {{plugin: pika, host: 127.0.0.1, port: {}, username: u, password: p, vhost: /}}\n\
             environments: {{default: [far]}}\n",
            port.number()
        ),
    );
    let output = wrap(&place, "exit 4", &["--linger", "0", "--site", "site.yml"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("zrecipe wrap --reap"), "{}", said(&output));
    assert_eq!(waiting(&place), 1);
    // Here another broker will do.
    let output = place.command(&["wrap", "--reap"]).output().expect("runs");
    assert!(said(&output).contains("had pending reports: sent"), "{}", said(&output));
    let found = reports(&place, &mut out).await;
    assert!(found.len() == 3 && found[1].contains("ended with exit status 4"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_reports_is_said_at_once_and_by_its_name() {
    let place = Place::new().await;
    place.write("rw.json", &WRAPPER.replace("\"out\"", "\"nowhere\""));
    let command = |program: &str, linger: &str| {
        let arguments = ["wrap", "--wrap", "x", "--recipewrapper", "rw.json", "--linger", linger, "--", program];
        place.command(&arguments)
    };
    let output = command("true", "0").output().expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("\nwarning: there is no queue `nowhere`; reports are stored in "),
        "{}",
        said(&output)
    );
    // What waits for a queue that is not there keeps nothing else back.
    for place_of_another in ["0", "9"] {
        std::fs::create_dir(place.path(&format!("state/wrap/{place_of_another}"))).expect("makes");
        place.write(&format!("state/wrap/{place_of_another}/lock"), "");
        let about = format!(r#"{{"name": "other {place_of_another}", "message": {WRAPPER}}}"#);
        place.write(&format!("state/wrap/{place_of_another}/about.json"), &about);
        place.write(&format!("state/wrap/{place_of_another}/results"), "");
        place.write(&format!("state/wrap/{place_of_another}/reports"), "");
    }
    std::fs::create_dir(place.path("state/wrap/broken")).expect("makes");
    place.write("state/wrap/broken/lock", "");
    place.write("state/wrap/broken/about.json", "{");
    let mut out = place.subscribe("out").await;
    for others in [2, 0] {
        let output = place.command(&["wrap", "--reap"]).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let said = said(&output);
        assert!(
            said.contains("warning: x (é 1) has pending reports: there is no queue `nowhere`; they are stored in "),
            "{said}"
        );
        assert!(said.contains("state/wrap/broken cannot be read: "), "{said}");
        assert!(said.contains("error: the reports of 2 programs were not sent"), "{said}");
        assert_eq!(said.matches("was killed: reported as a failure").count(), others, "{said}");
    }
    for _ in 0..2 {
        assert_eq!(reports(&place, &mut out).await.len(), 2);
    }
    assert_eq!(waiting(&place), 2);
    place.space.declare("nowhere").await.expect("declares");
    place.write("state/wrap/broken/about.json", r#"{"name": "broken"}"#);
    place.write("state/wrap/broken/results", "");
    place.write("state/wrap/broken/reports", "");
    let output = place.command(&["wrap", "--reap"]).output().expect("runs");
    assert_eq!((output.status.code(), waiting(&place)), (Some(0), 0), "{}", said(&output));
    place.write("rw.json", &WRAPPER.replace("\"out\"", "\"gone\""));
    let mut child = command("no-such-program", "600").spawn().expect("starts");
    let errors = std::io::BufReader::new(child.stderr.take().expect("is piped"));
    let wanted = "error: cannot run `no-such-program`: No such file or directory";
    let mut lines = std::io::BufRead::lines(errors).map_while(Result::ok);
    assert!(lines.any(|line| line == wanted));
    child.kill().expect("it lingers");
    child.wait().expect("ends");
}

#[test]
fn wrapper_files_are_read_as_others_write_them() {
    for (text, expected) in [
        (WRAPPER, None),
        (r#"{"recipe": {"1": {}}}"#, Some("`recipe-pointer` of the message is missing")),
        (
            r#"{"recipe": {"1": {}}, "recipe-pointer": 1000000000000000000000000000000}"#,
            Some(
                "`recipe-pointer` of the message is `1000000000000000000000000000000`, which is not the number of a step",
            ),
        ),
        ("[]", Some("not an object")),
        ("{", Some("not valid JSON")),
    ] {
        let read = zrecipe::wrapper::read_file(text.as_bytes());
        match expected {
            None => {
                let envelope = read.expect("is one");
                let header = (RECIPE_HEADER.to_owned(), Value::Bool(true));
                let again = Envelope::read(&Object::from_iter([header]), envelope.write().as_bytes());
                assert_eq!(again.expect("is one"), envelope);
            }
            Some(reason) => {
                let found = read.expect_err("is none");
                assert!(found.contains(reason), "{found}");
            }
        }
    }
}

/// A program that fails where no step takes it is no report that may be dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_no_step_takes_is_a_dead_letter() {
    let place = Place::new().await;
    let mut out = place.subscribe("out").await;
    let mut command = wrap(&place, "echo bug >&2; exit 3", &[]);
    place.write("rw.json", &WRAPPER.replace("\"failure\": 2, ", ""));
    let output = command.output().expect("runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("there is no queue `dlq.cluster.submission`"), "{}", said(&output));
    for _ in ["starting", "completed"] {
        place.take(&mut out).await;
    }
    place.space.declare("dlq.cluster.submission").await.expect("declares");
    let output = command.output().expect("runs");
    assert!(said(&output).contains("its message is in `dlq.cluster.submission`"), "{}", said(&output));
    assert_eq!(waiting(&place), 0);
    let mut dead = place.subscribe("dlq.cluster.submission").await;
    let letter = place.take(&mut dead).await;
    let envelope = Envelope::read(&letter.headers, &letter.body).expect("a recipe message");
    assert_eq!((envelope.id(), envelope.pointer), (Some("a-guid"), 1));
    let why = letter.headers.get("zrecipe-reason").and_then(Value::as_str);
    assert!(why.is_some_and(|why| why.contains("exit status 3")), "{why:?}");
    let queue = letter.headers.get("x-death").and_then(|deaths| deaths.as_array()?.first()?.get("queue")?.as_str());
    assert_eq!(queue, Some("cluster.submission"));
}
