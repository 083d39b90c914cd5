//! Parameters that reach for what is not theirs, through every service that runs programs or writes files: no command
//! runs that the recipe does not name, and no file appears outside of the allowed roots.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;

use zrecipe::message::{Destination, Envelope, Outgoing};
use zrecipe::runtime::journal::Journal;
use zrecipe::runtime::services::mailer::{Mailer, Server};
use zrecipe::runtime::{Job, Outcome, Service as _};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::{Delivery, Transport as _};
use zrecipe::value::{Object, Value};

use crate::run::wait_until;
use crate::service::Place;

/// What an attacker may write for a value. `OUT` is a directory outside of the roots.
fn corpus() -> Vec<String> {
    let mut corpus: Vec<String> = [
        "'; touch OUT/ran; '",
        "\"; touch OUT/ran; \"",
        "; touch OUT/ran #",
        "$(touch OUT/ran)",
        "`touch OUT/ran`",
        "a\ntouch OUT/ran\n",
        "| touch OUT/ran",
        "&& touch OUT/ran",
        "> OUT/ran",
        "--output=OUT/ran",
        "-c touch OUT/ran",
        "--wrap=touch OUT/ran",
        "../../../../../../../../OUT/ran",
        "OUT/ran",
        "link/ran",
        "a\u{0}b",
        "{x.__class__}",
        "%s%n%x",
        "%j/../../%x",
        "\\",
        "\u{1b}[31m",
        "",
        "~/ran",
        "$HOME/ran",
    ]
    .map(str::to_owned)
    .to_vec();
    corpus.push("A".repeat(1 << 20));
    corpus
}

/// Parameters of a step on each queue, with a value at every place where one can be.
const STEPS: [(&str, &str); 12] = [
    ("runner.submission", r#"{"workingdir": WORK, "commands": [["true", VALUE]], "output_file": "o"}"#),
    ("runner.submission", r#"{"workingdir": WORK, "commands": ["true"], "output_file": VALUE}"#),
    ("runner.submission", r#"{"workingdir": WORK, "commands": ["true"], "recipewrapper": VALUE}"#),
    ("runner.submission", r#"{"workingdir": WORK, "commands": ["true $RECIPEWRAP"], "recipefile": VALUE}"#),
    ("runner.submission", r#"{"workingdir": VALUE, "commands": ["true"]}"#),
    ("jsonlines", r#"{"output_filename": VALUE}"#),
    ("cluster.submission", r#"{"workingdir": WORK, "cluster": {"commands": [["true", VALUE]]}}"#),
    (
        "cluster.submission",
        r#"{"workingdir": WORK, "cluster": {"commands": ["true \"$A\""], "environment": {"A": VALUE}}}"#,
    ),
    (
        "cluster.submission",
        r#"{"workingdir": WORK, "wrapper": VALUE, "cluster": {"commands": "true \"$RECIPEWRAP\""}}"#,
    ),
    ("cluster.submission", r#"{"workingdir": WORK, "standard_output": VALUE, "cluster": {"commands": "echo"}}"#),
    ("cluster.submission", r#"{"workingdir": VALUE, "cluster": {"commands": "true"}}"#),
    (
        "cluster.submission",
        r#"{"workingdir": WORK, "cluster": {"commands": "true", "job_name": VALUE, "partition": VALUE}}"#,
    ),
];

/// The files below a directory, with what they hold.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("reads").map(|entry| entry.expect("reads").path()) {
        if entry.is_dir() && !entry.is_symlink() {
            found.extend(files(&entry));
        } else {
            let bytes = std::fs::read(&entry).unwrap_or_default();
            found.insert(entry.to_string_lossy().into_owned(), bytes);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_runs_or_writes_what_it_should_not() {
    let place = Place::new().await;
    for queue in ["jsonlines", "cluster.submission"] {
        place.space.declare(queue).await.expect("declares");
    }
    place.write("zrecipe.toml", "[runner]\nroots = [\"root\"]\n[cluster]\nscheduler = \"local\"\n");
    for folder in ["root/work", "out"] {
        std::fs::create_dir_all(place.path(folder)).expect("makes");
    }
    std::os::unix::fs::symlink(place.path("out"), place.path("root/work/link")).expect("links");
    let out = place.path("out").to_string_lossy().into_owned();
    let work = Value::from(place.path("root/work").to_string_lossy().into_owned()).to_json();
    let mut sent = 0;
    for (at, (queue, parameters)) in STEPS.iter().enumerate() {
        for (number, value) in corpus().iter().enumerate() {
            let value = Value::from(value.replace("OUT", &out)).to_json();
            let parameters = parameters.replace("WORK", &work).replace("VALUE", &value);
            let recipe = format!(
                r#"{{"1": {{"queue": "{queue}", "parameters": {parameters}, "output": 2}}, "2": {{"queue": "out"}},
                    "start": [[1, {value}]]}}"#
            );
            let recipe = read_value(recipe.as_bytes()).expect("JSON");
            let id = format!("{at}-{number}");
            let message = Envelope::start(recipe, Object::new(), &id).expect("starts").remove(0);
            place.space.send(vec![Outgoing { id, ..message }]).await.expect("sends");
            sent += 1;
        }
    }
    let before = files(&place.path("out"));
    // With `-v` each message has a line, however many there are in a second.
    let mut service = place.service(&["service", "-v", "-s", "Runner", "-s", "JSONLines", "-s", "Cluster"]);
    let mut settled = 0;
    while settled < sent {
        let line = service.says("outcome=");
        assert!(!line.contains("outcome=\"retry\""), "it is nobody else's fault: {line:.2000}");
        settled += 1;
    }
    let jobs = || std::fs::read_dir(place.path("state/jobs")).map_or(0, |jobs| jobs.count());
    // The lock, and those that are over.
    wait_until("all jobs are over", || jobs() == 2);
    assert_eq!(files(&place.path("out")), before, "nothing is outside of the roots");
    let names = |path: &Path| {
        let entries = std::fs::read_dir(path).expect("reads").map(|entry| entry.expect("reads").file_name());
        let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&place.path(".")), ["out", "recipes", "root", "state", "zrecipe.toml"]);
    for ended in std::fs::read_dir(place.path("state/jobs/past")).expect("reads") {
        let how = std::fs::read_to_string(ended.expect("reads").path().join("ended.json")).expect("reads");
        assert!(how.contains("exited") || how.contains("Argument list too long"), "{how}");
    }
}

/// A mail server that takes everything: each command that it is given, and each mail as one text.
fn mail_server() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (port, take_mails(listener))
}

/// Takes every mail that comes here: each command, and each mail as one text.
pub fn take_mails(listener: TcpListener) -> mpsc::Receiver<String> {
    let (sender, commands) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut answers = stream.try_clone().expect("the same");
            let mut lines = BufReader::new(stream);
            let _ = answers.write_all(b"220 here\r\n");
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let command = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                let is_mail = command == "DATA";
                let _ = answers.write_all(if is_mail { b"354 go on\r\n".as_slice() } else { b"250 yes\r\n" });
                let _ = sender.send(command);
                if is_mail {
                    let mut mail = Vec::new();
                    while !mail.ends_with(b"\r\n.\r\n") && lines.read_until(b'\n', &mut mail).is_ok_and(|read| read > 0)
                    {
                    }
                    let _ = sender.send(String::from_utf8_lossy(&mail).into_owned());
                    let _ = answers.write_all(b"250 yes\r\n");
                }
            }
        }
    });
    commands
}

/// What is to do with mails only. `evil@example.org` is whom nobody meant.
const OF_MAILS: [&str; 12] = [
    "x\r\nBcc: evil@example.org",
    "x\nBcc: evil@example.org\n\nanother text",
    "x\rBcc: evil@example.org",
    "x\u{85}Bcc: evil@example.org",
    "x\u{2028}Bcc: evil@example.org",
    "a@example.org>\r\nRCPT TO:<evil@example.org",
    "a@example.org> RCPT TO:<evil@example.org",
    "x\r\n.\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<evil@example.org>\r\nDATA\r\n",
    "x\n.\nMAIL FROM:<evil@example.org>\nRCPT TO:<evil@example.org>\nDATA\n",
    "=?utf-8?q?x=0D=0ABcc:_evil@example.org?=",
    "\"\r\nBcc: evil@example.org\r\n\" <a@example.org>",
    "{payload:>999999999}",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_writes_a_mail_that_nobody_asked_for() {
    const HEADERS: [&str; 7] =
        ["Message-ID", "From", "Subject", "To", "Content-Type", "Content-Transfer-Encoding", "Date"];
    let directory = tempfile::tempdir().expect("a directory");
    let (port, said) = mail_server();
    let from = Some("zocalo@example.org".to_owned());
    let server = Server { host: "127.0.0.1".to_owned(), port, from };
    let mailer = Mailer::new(server, Journal::new(directory.path().join("journal")));
    let steps = [
        r#"{"parameters": {"recipients": "a@example.org", "subject": VALUE}, "content": "x"}"#,
        r#"{"parameters": {"recipients": "a@example.org"}, "content": VALUE}"#,
        r#"{"parameters": {"recipients": "a@example.org"}, "content": ["{payload}", VALUE]}"#,
        r#"{"parameters": {"recipients": "a@example.org", "from": VALUE}, "content": "x"}"#,
        r#"{"parameters": {"recipients": VALUE}, "content": "x"}"#,
        r#"{"parameters": {"recipients": {"select": VALUE, "x": "a@example.org"}}, "content": "x"}"#,
        r#"{"parameters": {"recipients": ["a@example.org", VALUE]}, "content": "x"}"#,
    ];
    let mut mails = 0;
    for (at, step) in steps.iter().enumerate() {
        for (number, value) in corpus().iter().map(String::as_str).chain(OF_MAILS).enumerate() {
            let body = step.replace("VALUE", &Value::from(value).to_json());
            let delivery = Delivery {
                tag: 0,
                id: format!("../{at}-{number}"),
                has_own_id: true,
                source: Destination::Queue("mailnotification".to_owned()),
                properties: Object::new(),
                headers: Object::new(),
                body: body.into_bytes(),
                deliveries: 1,
                retries: 0,
                returns: 0,
                came_before: false,
                sent: None,
            };
            let outcome = mailer.handle(&Job { delivery, envelope: None }).await;
            // The farewell of the mail before may come late.
            let commands: Vec<String> = said.try_iter().skip_while(|command| command == "QUIT").collect();
            let shown = format!("{step:.60} {value:.60?}: {outcome:.300?}\n{commands:.300?}");
            if let Outcome::Bad { .. } = outcome {
                assert!(commands.is_empty(), "{shown}");
                continue;
            }
            assert!(matches!(outcome, Outcome::Done { .. }), "{shown}");
            let [greeting, sender, whom, data, mail, rest @ ..] = commands.as_slice() else { panic!("{shown}") };
            let plain = |text: &str| text.contains("evil");
            assert!(greeting.starts_with("EHLO") && sender.starts_with("MAIL FROM:<") && !plain(sender), "{shown}");
            assert_eq!((whom.as_str(), data.as_str()), ("RCPT TO:<a@example.org>", "DATA"), "{shown}");
            assert!(rest.iter().all(|command| command == "QUIT"), "{shown}");
            let (head, _) = mail.split_once("\r\n\r\n").expect("a head and a text");
            for line in head.split(['\r', '\n']).filter(|line| !line.is_empty() && !line.starts_with(' ')) {
                let name = line.split(':').next().unwrap_or_default();
                assert!(HEADERS.contains(&name), "{shown}\n{head}");
            }
            mails += 1;
        }
    }
    assert!(mails > 0);
    let kept = files(directory.path());
    assert!(kept.keys().all(|path| path.contains("/journal/")), "{:?}", kept.keys());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_makes_a_wrapper_do_more_than_it_was_told() {
    let place = Place::new().await;
    std::fs::create_dir(place.path("out")).expect("makes");
    let out = place.path("out").to_string_lossy().into_owned();
    place.write(
        "program",
        "cat results >> \"$ZRECIPE_RESULTS\"; cat \"$ZRECIPE_STEP\" \"$ZRECIPE_WRAPPER\" > /dev/null",
    );
    let mut reports = place.subscribe("out").await;
    for value in corpus() {
        let value = value.replace("OUT", &out);
        let json = Value::from(value.as_str()).to_json();
        let wrapper = r#"{"recipe": {"1": {"service": VALUE, "queue": "cluster.submission", "wrapper": {"task_information": VALUE},
            "job_parameters": {"commands": VALUE}, "parameters": {"x": VALUE}, "output": {"updates": 2, "completed": 2}},
            "2": {"queue": "out"}, "start": [[1, VALUE]]},
            "recipe-pointer": 1, "recipe-path": [VALUE], "environment": {"ID": VALUE}, "payload": VALUE}"#;
        place.write("rw.json", &wrapper.replace("VALUE", &json));
        let results = r#"{"channel": VALUE, "payload": 1}
VALUE
{"channel": "updates", "payload": VALUE, "destination": VALUE, "queue": VALUE}
"#;
        place.write("results", &results.replace("VALUE", &json));
        // No argument can hold these.
        let argument = if value.contains('\0') || value.len() > 1000 { "x" } else { value.as_str() };
        let named = format!("--wrap={argument}");
        let arguments = ["wrap", &named, "--recipewrapper", "rw.json", "--", "sh", "program", argument];
        let output = place.command(&arguments).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 2)), "{argument:?}: {:?} {said:.2000}", output.status);
        // What is reported goes where the recipe says, and nowhere else.
        loop {
            let delivery = place.take(&mut reports).await;
            let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
            assert_eq!(envelope.pointer, 2);
            if envelope.payload == Value::from("Finished processing") {
                break;
            }
            assert_eq!(envelope.payload, Value::from(value.as_str()));
        }
        assert!(files(&place.path("out")).is_empty(), "{argument:?}");
    }
    let mut names: Vec<String> = std::fs::read_dir(place.path("."))
        .expect("reads")
        .map(|entry| entry.expect("reads").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["out", "program", "recipes", "results", "rw.json", "state"]);
    assert!(std::fs::read_dir(place.path("state/wrap")).expect("reads").next().is_none(), "all is told");
}
