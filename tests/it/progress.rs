//! Progress, not intent: what blocks, what goes in a circle, what leads nowhere and what is short of something keeps
//! nobody else, is not taken for done, and does not keep a process from its end.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use tokio::sync::Notify;
use zrecipe::message::{Envelope, Outgoing};
use zrecipe::runtime::health::{self, Health};
use zrecipe::runtime::instance::Instance;
use zrecipe::runtime::metrics::Metrics;
use zrecipe::runtime::status::Identity;
use zrecipe::runtime::{Job, Outcome, Service};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::embedded::{Broker, Options};
use zrecipe::transport::{Destination, Transport as _};
use zrecipe::value::{Object, Value};

use crate::run::wait_until;
use crate::service::{Place, get};
use crate::wait::PATIENCE;

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("runs").success());
}

/// A message for the first step of a recipe.
fn message(recipe: &str, id: &str) -> Outgoing {
    let recipe = read_value(recipe.as_bytes()).expect("JSON");
    let message = Envelope::start(recipe, Object::new(), id).expect("starts").remove(0);
    Outgoing { id: id.to_owned(), ..message }
}

fn address(line: &str) -> String {
    line.rsplit("http://").next().expect("an address").to_owned()
}

/// The output of a command that must end.
fn ends(mut command: Command) -> Output {
    let mut child = command.spawn().expect("starts");
    let begun = Instant::now();
    while child.try_wait().expect("waits").is_none() {
        if begun.elapsed() > 2 * PATIENCE {
            let _ = child.kill();
            panic!("it does not end: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("waits")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_file_in_a_recipe_directory_keeps_no_other_request() {
    let place = Place::new().await;
    pipe(&place.path("recipes/pipe.json"));
    std::fs::create_dir(place.path("recipes/folder.json")).expect("makes");
    place.write("recipes/good.json", r#"{"1": {"queue": "out"}, "start": [[1, 1]]}"#);
    let mut out = place.subscribe("out").await;
    let mut service = place.service(&["service", "-s", "Dispatcher"]);
    for (id, recipe) in [("1", "pipe"), ("2", "folder"), ("3", "good"), ("4", "pipe"), ("5", "good")] {
        let request = format!(r#"{{"recipes": ["{recipe}"], "parameters": {{}}}}"#);
        place.send("processing_recipe", id, &request, Object::new()).await;
    }
    for _ in 0..2 {
        place.take(&mut out).await;
    }
    let dead = place.dead("processing_recipe", 3).await;
    let pipe = ("cannot read recipes/pipe.json: it is a pipe, not a regular file").to_owned();
    let folder = ("cannot read recipes/folder.json: it is a directory").to_owned();
    assert_eq!(dead, [("1".to_owned(), pipe.clone()), ("2".to_owned(), folder), ("4".to_owned(), pipe)]);
    service.signal(Signal::TERM);
    service.ends(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_refuse_what_is_no_file() {
    let place = Place::new().await;
    std::fs::create_dir(place.path("with")).expect("makes");
    pipe(&place.path("pipe.json"));
    pipe(&place.path("pipe.yml"));
    pipe(&place.path("recipes/named.json"));
    place.write("good.json", r#"{"1": {"queue": "out"}, "start": [[1, 1]]}"#);
    for arguments in [
        &["check", "pipe.json"][..],
        &["check", "--site", "pipe.yml", "good.json"],
        &["check", "--broker", "pipe.yml", "good.json"],
        &["graph", "pipe.json"],
        &["graph", "named"],
        &["params", "pipe.json"],
        &["params", "named"],
        &["run", "pipe.json"],
        &["run", "named"],
        &["expand", "named"],
        &["emit", "named"],
        &["fmt", "pipe.json"],
        &["run", "good.json", "--params", "pipe.json"],
        &["service", "-s", "Dispatcher", "--contract", "pipe.json"],
        &["config", "show", "--site", "pipe.yml"],
        &["dlq", "show", "./pipe.json"],
        &["dlq", "reinject", "-d", "out", "./pipe.json"],
        &["wrap", "--wrap", "x", "--recipewrapper", "pipe.json", "--", "true"],
    ] {
        let output = ends(place.command(arguments));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_ne!(output.status.code(), Some(0), "{arguments:?}: {said}");
        assert!(said.contains("it is a pipe"), "{arguments:?}: {said}");
    }
    let zero = &["wrap", "--wrap", "x", "--recipewrapper", "/dev/zero", "--", "true"];
    let output = ends(place.command(zero));
    assert!(String::from_utf8_lossy(&output.stderr).contains("it is a device"), "{output:?}");
    // It reads all recipes there are, and says which it cannot.
    let output = ends(place.command(&["doctor"]));
    assert!(String::from_utf8_lossy(&output.stdout).contains("named.json: it is a pipe"), "{output:?}");
    // Settings hold for every command.
    pipe(&place.path("with/zrecipe.toml"));
    let mut command = place.command(&["check", "../good.json"]);
    command.current_dir(place.path("with"));
    let output = ends(command);
    assert!(String::from_utf8_lossy(&output.stderr).contains("it is a pipe"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_goes_in_a_circle_ends() {
    let place = Place::new().await;
    let step = r#""queue": "runner.submission", "parameters": {"workingdir": ".", "commands": ["true"]}"#;
    let itself = format!(r#"{{"1": {{{step}, "output": [1, 1, 1, 1]}}, "start": [[1, []]]}}"#);
    let two = format!(r#"{{"1": {{{step}, "output": 2}}, "2": {{{step}, "output": 1}}, "start": [[1, []]]}}"#);
    place.space.send(vec![message(&itself, "itself"), message(&two, "two")]).await.expect("sends");
    let long = r#"{"recipe": {"1": {"queue": "runner.submission"}}, "recipe-pointer": 1, "recipe-path": [7, 8]}"#;
    let headers = Object::from_iter([("workflows-recipe".to_owned(), Value::Bool(true))]);
    place.send("runner.submission", "long", long, headers).await;
    let mut service = place.service(&["service", "-s", "Runner"]);
    let mut reasons: Vec<String> =
        place.dead("runner.submission", 6).await.into_iter().map(|(_, reason)| reason).collect();
    reasons.sort();
    let circle = "the message goes in a circle: step 1 is in its `recipe-path` already".to_owned();
    let long = "the message goes in a circle: its `recipe-path` has 2 steps, and the recipe has 1".to_owned();
    assert_eq!(reasons, [vec![long], vec![circle; 5]].concat());
    service.signal(Signal::TERM);
    service.ends(0);
    assert_eq!(place.space.census().await.expect("reads").ready, 0, "nothing goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_to_a_step_without_a_destination() {
    let place = Place::new().await;
    place.write("recipes/good.json", r#"{"1": {"queue": "{q}"}, "start": [[1, 1]]}"#);
    let step = r#""queue": "runner.submission", "parameters": {"workingdir": ".", "commands": ["true"]}"#;
    for (id, body) in [
        ("first", r#"{"custom_recipe": {"1": {}, "start": [[1, []]]}, "recipes": []}"#.to_owned()),
        ("later", format!(r#"{{"custom_recipe": {{"1": {{{step}, "output": 2}}, "2": {{}}, "start": [[1, []]]}}}}"#)),
        ("parameter", r#"{"recipes": ["good"], "parameters": {"q": ""}}"#.to_owned()),
    ] {
        place.send("processing_recipe", id, &body, Object::new()).await;
    }
    // No dispatcher of ours has seen it.
    let direct = format!(r#"{{"1": {{{step}, "output": 2}}, "2": {{"queue": null}}, "start": [[1, []]]}}"#);
    place.space.send(vec![message(&direct, "direct")]).await.expect("sends");
    let mut service = place.service(&["service", "-s", "Dispatcher", "-s", "Runner"]);
    let reason = |step| format!("step `{step}` has neither `queue` nor `topic`, so a message to it would be lost");
    let dead = place.dead("processing_recipe", 3).await;
    let empty = "recipes/good.json:1:17: the queue of step `1` becomes empty [unresolved-destination]".to_owned();
    let expected = [("first", reason(1)), ("later", reason(2)), ("parameter", empty)];
    assert_eq!(dead, expected.map(|(id, reason)| (id.to_owned(), reason)));
    assert_eq!(place.dead("runner.submission", 1).await, [("direct".to_owned(), reason(2))]);
    service.signal(Signal::TERM);
    service.ends(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reason_holds_no_character_that_acts_on_who_reads_it() {
    let place = Place::new().await;
    let mut service = place.service(&["service", "-s", "Dispatcher"]);
    let name = Value::from("x\0y\nz\u{202e}\u{1b}[2J");
    let body = Value::from([("recipes", Value::Array(vec![name])), ("parameters", Value::Object(Object::new()))]);
    place.send("processing_recipe", "one", &body.to_json(), Object::new()).await;
    let dead = place.dead("processing_recipe", 1).await;
    assert_eq!(dead[0].1, "`x␀y␊z\u{fffd}␛[2J` is not the name of a recipe");
    service.signal(Signal::TERM);
    service.ends(0);
}

/// A step of Runner that appends to a file.
fn writes(place: &Place, file: &str, id: &str) -> Outgoing {
    let directory = Value::from(place.path("").to_string_lossy().into_owned()).to_json();
    let recipe = format!(
        r#"{{"1": {{"queue": "runner.submission", "output": 2, "parameters": {{
            "workingdir": {directory}, "commands": ["echo line"], "output_file": "{file}"}}}},
            "2": {{"queue": "out"}}, "start": [[1, []]]}}"#
    );
    message(&recipe, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_written_to_is_a_dead_letter_at_once() {
    let place = Place::new().await;
    std::fs::create_dir(place.path("folder")).expect("makes");
    symlink(place.path("absent"), place.path("dangling")).expect("links");
    pipe(&place.path("pipe"));
    let names = ["dangling", "folder", "pipe", "zrecipe.toml/inside"];
    place.write("zrecipe.toml", "");
    place.space.send(names.iter().map(|name| writes(&place, name, name)).collect()).await.expect("sends");
    let mut service = place.service(&["service", "-s", "Runner"]);
    for _ in names {
        let line = service.says("outcome=");
        assert!(line.contains("outcome=\"dead-lettered\"") && line.contains("cannot write to "), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_locked_by_another_program_keeps_no_other_service() {
    let place = Place::new().await;
    place.write("recipes/good.json", r#"{"1": {"queue": "out"}, "start": [[1, 1]]}"#);
    place.write("locked", "");
    let locked = std::fs::File::options().append(true).open(place.path("locked")).expect("opens");
    locked.lock().expect("locks");
    let mut out = place.subscribe("out").await;
    let messages = ["1", "2", "3", "4"].map(|id| writes(&place, "locked", id));
    place.space.send(messages.to_vec()).await.expect("sends");
    let mut service =
        place.service(&["service", "-s", "Runner", "-s", "Dispatcher", "-n", "4", "--http", "127.0.0.1:0"]);
    let address = address(&service.says("metrics and health at http://"));
    // All four have come as far as the file, and wait for it.
    let journal = place.path("state/journal");
    wait_until("all four wait", || {
        let entries = std::fs::read_dir(&journal).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().join("result.json").exists()).count() == 4
    });
    place.send("processing_recipe", "one", r#"{"recipes": ["good"]}"#, Object::new()).await;
    place.take(&mut out).await;
    assert_eq!(get(&address, "/livez").0, "200");
    locked.unlock().expect("unlocks");
    for _ in messages {
        place.take(&mut out).await;
    }
    assert_eq!(std::fs::read_to_string(place.path("locked")).expect("reads"), "line\n".repeat(4));
    service.signal(Signal::TERM);
    service.ends(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_ends_when_its_grace_is_over() {
    let place = Place::new().await;
    pipe(&place.path("gate"));
    let waits = r#"{"1": {"queue": "runner.submission", "output": 2, "parameters":
        {"workingdir": ".", "timeout": 1000, "commands": ["cat gate"]}}, "2": {"queue": "out"}, "start": [[1, []]]}"#;
    place.space.send(vec![message(waits, "waits")]).await.expect("sends");
    let mut service = place.service(&["service", "-s", "Runner", "--grace", "1"]);
    // Opening it waits for the command.
    let gate = std::fs::File::options().write(true).open(place.path("gate")).expect("opens");
    service.signal(Signal::TERM);
    service.says("current messages were not finished within 1 s");
    service.ends(2);
    drop(gate);
    let mut waiting = place.subscribe("runner.submission").await;
    assert_eq!(place.take(&mut waiting).await.id, "waits");
}

/// A service that deals with a message when it is told to.
struct Slow(Arc<Notify>);

#[async_trait]
impl Service for Slow {
    fn name(&self) -> &str {
        "Slow"
    }

    fn serves(&self, _queue: &str) -> bool {
        true
    }

    fn takes_plain_messages(&self) -> bool {
        true
    }

    fn allowance(&self, _job: &Job) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    async fn handle(&self, _job: &Job) -> Outcome {
        self.0.notified().await;
        Outcome::done(Vec::new())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_settles_nothing_is_not_ready() {
    let place = Place::new().await;
    let (identity, go) = (
        Identity { host: "h.1".into(), service: "Slow".into(), class: "Slow".into(), tag: None },
        Arc::new(Notify::new()),
    );
    let instance =
        Instance::new(Arc::new(Slow(Arc::clone(&go))), vec!["out".to_owned()], identity, Arc::new(|_, _| ()));
    let board = instance.board().clone();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(instance.run(Arc::new(place.space.clone()), stopped));
    let health = Health { metrics: Metrics::new(), boards: vec![board], broker: Arc::default() };
    let (address, serving) = health::serve("127.0.0.1:0".parse().expect("an address"), health).await.expect("listens");
    tokio::spawn(serving);
    let becomes = async |status: &str, part: &str| {
        let begun = Instant::now();
        loop {
            let own = address.to_string();
            let (found, text) = tokio::task::spawn_blocking(move || get(&own, "/readyz")).await.expect("answers");
            if found == status && text.contains(part) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{found} {text}");
        }
    };
    becomes("200", "ready").await;
    place.send("out", "one", "1", Object::new()).await;
    becomes("503", "Slow: stalled: it holds 1 message, has settled none").await;
    go.notify_one();
    becomes("200", "ready").await;
    stop.send(true).expect("is heard");
    running.await.expect("lives").expect("ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_slowly_is_sent_away() {
    let place = Place::new().await;
    let mut service = place.service(&["service", "-s", "Dispatcher", "--http", "127.0.0.1:0"]);
    let address = address(&service.says("metrics and health at http://"));
    service.says("connected to");
    // More than are taken at a time.
    let slow: Vec<TcpStream> = (0..80)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).expect("connects");
            stream.write_all(b"GET /livez HTTP/1.1\r\nX: ").expect("writes");
            stream.set_read_timeout(Some(2 * PATIENCE)).expect("is set");
            stream
        })
        .collect();
    assert_eq!(get(&address, "/livez").0, "200", "others are answered when those are gone");
    for mut stream in slow {
        let mut answer = String::new();
        // Ended with an answer or without one, but ended.
        if let Err(error) = stream.read_to_string(&mut answer) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_want_of_descriptors_does_not_count_against_a_request() {
    let place = Place::new().await;
    place.write("recipes/good.json", r#"{"1": {"queue": "out"}, "start": [[1, 1]]}"#);
    let mut out = place.subscribe("out").await;
    let mut service = place.service(&["service", "-s", "Dispatcher"]);
    let request = r#"{"recipes": ["good"], "parameters": {}}"#;
    place.send("processing_recipe", "warm", request, Object::new()).await;
    place.take(&mut out).await;
    service.says("outcome=\"done\"");
    // None is left: all numbers below the limit are taken.
    let pid = Pid::from_raw(i32::try_from(service.id()).expect("a number"));
    let open = std::fs::read_dir(format!("/proc/{}/fd", service.id())).expect("reads").flatten();
    let open: BTreeSet<u64> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let free = (0..).find(|number| !open.contains(number)).expect("some");
    let usual = getrlimit(Resource::Nofile);
    let set = |current| {
        let limit = Rlimit { current: Some(current), maximum: usual.maximum };
        prlimit(pid, Resource::Nofile, limit).expect("is set");
    };
    set(free);
    place.write("recipes/good.json", r#"{"1": {"queue": "out"}, "start": [[1, 22]]}"#);
    place.send("processing_recipe", "held", request, Object::new()).await;
    service.says("held up by the limit of open files");
    set(usual.current.unwrap_or(1024));
    place.take(&mut out).await;
    let line = service.says("outcome=");
    assert!(line.contains("outcome=\"done\""), "no attempt counts: {line}");
}

/// What is below a directory, with what others may do with it.
fn open_to_others(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = path.symlink_metadata().expect("is there");
        if metadata.is_dir() {
            left.extend(std::fs::read_dir(&path).expect("reads").map(|entry| entry.expect("reads").path()));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            found.push((path, metadata.mode()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_programs_print_is_private_and_goes_when_its_message_is_gone() {
    let place = Place::new().await;
    pipe(&place.path("gate"));
    let here = Value::from(place.path("").to_string_lossy().into_owned()).to_json();
    let held = |queue: &str, parameters: &str| {
        let parameters = parameters.replace("HERE", &here);
        format!(
            r#"{{"1": {{"queue": "{queue}", "output": 2, "parameters": {parameters}}}, "2": {{"queue": "out"}},
            "start": [[1, []]]}}"#
        )
    };
    let runner = held("runner.submission", r#"{"workingdir": HERE, "commands": ["echo secret", "cat gate"]}"#);
    let cluster = held("cluster.submission", r#"{"workingdir": HERE, "cluster": {"commands": ["echo secret"]}}"#);
    place.write("zrecipe.toml", "[cluster]\nscheduler = \"local\"\n");
    let mut out = place.subscribe("out").await;
    for queue in ["runner.submission", "cluster.submission"] {
        place.space.declare(queue).await.expect("declares");
    }
    place.space.send(vec![message(&runner, "runner"), message(&cluster, "cluster")]).await.expect("sends");
    // A directory that we make, whatever the mask lets others do.
    let state = place.path("new/state");
    let made = ends({
        let mut run = place.command(&["runs"]);
        run.env("ZRECIPE_STATE", &state);
        run
    });
    assert!(made.status.success(), "{made:?}");
    assert_eq!(open_to_others(&place.path("new")), [], "made by a command");
    let service = place.service(&["service", "-s", "Runner", "-s", "Cluster"]);
    // Opening it waits for the command.
    let gate = std::fs::File::options().write(true).open(place.path("gate")).expect("opens");
    place.take(&mut out).await;
    let journal = place.path("state/journal");
    assert_eq!(open_to_others(&journal), [], "the journal");
    assert_eq!(open_to_others(&place.path("state/jobs")), [], "jobs");
    service.signal(Signal::KILL);
    drop(gate);
    // The message goes while nobody is there who could remove the entry.
    let mut waiting = place.subscribe("runner.submission").await;
    place.take(&mut waiting).await;
    drop(waiting);
    assert_eq!(std::fs::read_dir(&journal).expect("reads").count(), 1, "the entry of the one that was killed");
    let mut service = place.service(&["service", "-s", "Runner"]);
    service.says("removed 1 journal entries");
    assert_eq!(std::fs::read_dir(&journal).expect("reads").count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_its_log_or_with_damage_is_told() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    for folder in ["state", "whole", "cut", "damaged"] {
        std::fs::create_dir(path(folder)).expect("makes");
    }
    let broker = Broker::open(&path("state/zrecipe.db"), Options::default()).await.expect("opens");
    let space = broker.namespace("zocalo");
    space.declare("out").await.expect("declares");
    for number in 0..200 {
        let (id, queue) = (number.to_string(), Destination::Queue("out".to_owned()));
        space.send(vec![Outgoing::new(id, queue, Object::new(), vec![b'1'; 1000])]).await.expect("sends");
    }
    let copy = |to: &str, suffixes: &[&str]| {
        for suffix in suffixes {
            let name = format!("zrecipe.db{suffix}");
            std::fs::copy(path("state").join(&name), path(to).join(&name)).expect("copies");
        }
    };
    copy("whole", &["", "-wal", ".mark"]);
    copy("cut", &["", "-wal", ".mark"]);
    let log = std::fs::File::options().write(true).open(path("cut/zrecipe.db-wal")).expect("opens");
    log.set_len(log.metadata().expect("is there").len() / 2).expect("cuts");
    broker.close().await.expect("closes");
    copy("damaged", &["", ".mark"]);
    let size = std::fs::metadata(path("damaged/zrecipe.db")).expect("is there").len();
    let database = std::fs::File::options().write(true).open(path("damaged/zrecipe.db")).expect("opens");
    std::os::unix::fs::FileExt::write_all_at(&database, &[0xff; 4096], size / 2 / 4096 * 4096).expect("writes");
    let zrecipe = |state: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
        command.args(arguments).current_dir(place.path()).env("ZRECIPE_STATE", path(state)).env_remove("ZOCALO_CONFIG");
        let output = command.stdin(Stdio::null()).output().expect("runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    for (state, expected, unexpected) in [
        ("whole", "database      it is intact", "were lost"),
        ("cut", "transactions of the database were lost, detected 2", "is damaged"),
        ("damaged", "database      it is damaged: ", "were lost"),
    ] {
        // The second time it is still known.
        for _ in 0..2 {
            let said = zrecipe(state, &["doctor"]);
            assert!(said.contains(expected) && !said.contains(unexpected), "{state}: {said}");
        }
    }
    assert!(zrecipe("cut", &["runs"]).contains("so runs and messages may be missing"));
    // Another database in its place is another one.
    for name in ["zrecipe.db", "zrecipe.db-wal", "zrecipe.db-shm"] {
        let _ = std::fs::remove_file(path("cut").join(name));
    }
    let said = zrecipe("cut", &["doctor"]);
    assert!(!said.contains("were lost"), "{said}");
}
