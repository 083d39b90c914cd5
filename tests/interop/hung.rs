//! File systems that do not answer, are full, or can only be read. They are mounted in a namespace of their own, which
//! ends with the program in it, so this needs no rights but `unshare`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use zrecipe::message::{Destination, Outgoing};
use zrecipe::transport::embedded::{Broker, Options};
use zrecipe::transport::{Subscription, Transport as _};
use zrecipe::value::Object;

const PATIENCE: Duration = Duration::from_secs(120);

/// Mounts a file system whose server never answers, as one of a server that is gone, and becomes the program that is
/// named after it.
const HANG: &str = r#"
import ctypes, os, sys
server = os.open("/dev/fuse", os.O_RDWR)
os.set_inheritable(server, True)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
if libc.mount(b"hung", sys.argv[1].encode(), b"fuse", 0, options.encode()) != 0:
    sys.exit("cannot mount: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// The program beside a directory `hung` that does not answer.
fn beside_hung(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-rm", "python3", "-c", HANG]).arg(directory.join("hung")).arg(env!("CARGO_BIN_EXE_zrecipe"));
    command.args(arguments).current_dir(directory).env("ZRECIPE_STATE", directory.join("state"));
    command.env_remove("ZOCALO_CONFIG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Ends with its namespace, whatever the test finds.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn begins(command: &mut Command) -> Running {
    Running(command.spawn().expect("starts"))
}

fn ends(mut running: Running, what: &str) -> Output {
    let begun = Instant::now();
    while running.0.try_wait().expect("waits").is_none() {
        assert!(begun.elapsed() < PATIENCE, "it does not end: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    std::io::Read::read_to_end(running.0.stdout.as_mut().expect("is there"), &mut out).expect("reads");
    std::io::Read::read_to_end(running.0.stderr.as_mut().expect("is there"), &mut err).expect("reads");
    Output { status: running.0.wait().expect("waits"), stdout: out, stderr: err }
}

#[test]
fn commands_end_beside_a_file_system_that_does_not_answer() {
    let place = tempfile::tempdir().expect("a directory");
    for folder in ["hung", "recipes"] {
        std::fs::create_dir(place.path().join(folder)).expect("makes");
    }
    std::fs::write(place.path().join("good.json"), r#"{"1": {"queue": "out"}, "start": [[1, 1]]}"#).expect("writes");
    let commands = [
        &["check", "hung"][..],
        &["check", "hung/recipe.json", "good.json"],
        &["check", "hung/*.json"],
        &["graph", "hung/recipe.json"],
        &["graph", "--recipe-dir", "hung", "name"],
        &["params", "--recipe-dir", "hung", "name"],
        &["run", "--recipe-dir", "hung", "name"],
        &["run", "hung/recipe.json"],
        &["doctor", "--recipe-dir", "hung"],
    ];
    // Side by side: each waits for its time limit.
    let running = commands.map(|arguments| (arguments, begins(&mut beside_hung(place.path(), arguments))));
    for (arguments, running) in running {
        let output = ends(running, &arguments.join(" "));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!said.contains("cannot mount"), "{said}");
        // `doctor` says what it finds of the rest.
        if arguments[0] != "doctor" {
            assert!(said.contains("the file system has not answered"), "{arguments:?}: {said}");
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipe_on_a_file_system_that_does_not_answer_keeps_no_other() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    for folder in ["hung", "recipes", "state"] {
        std::fs::create_dir(path(folder)).expect("makes");
    }
    std::os::unix::fs::symlink(path("hung/recipe.json"), path("recipes/far.json")).expect("links");
    std::fs::write(path("recipes/near.json"), r#"{"1": {"queue": "out"}, "start": [[1, 1]]}"#).expect("writes");
    let broker = Broker::open(&path("state/zrecipe.db"), Options::default()).await.expect("opens");
    let space = broker.namespace("zocalo");
    for queue in ["processing_recipe", "out"] {
        space.declare(queue).await.expect("declares");
    }
    let request = |id: &str, recipe: &str| {
        let body = format!(r#"{{"recipes": ["{recipe}"], "parameters": {{}}}}"#);
        Outgoing::new(id.to_owned(), Destination::Queue("processing_recipe".to_owned()), Object::new(), body.into())
    };
    // More than there may be at a time of most things.
    space.send((0..20).map(|number| request(&format!("far-{number}"), "far")).collect()).await.expect("sends");
    space.send((0..5).map(|number| request(&format!("near-{number}"), "near")).collect()).await.expect("sends");
    let mut service = begins(&mut beside_hung(place.path(), &["service", "-s", "Dispatcher"]));
    let mut out = space
        .subscribe(Subscription { source: Destination::Queue("out".to_owned()), prefetch: 10 })
        .await
        .expect("subscribes");
    for _ in 0..5 {
        tokio::time::timeout(PATIENCE, out.next()).await.expect("in time").expect("lives");
    }
    let lines = BufReader::new(service.0.stderr.take().expect("its log")).lines();
    let mut lines = lines.map(|line| line.expect("is text"));
    let line = lines.find(|line| line.contains("the file system has not answered")).expect("it is told");
    assert!(line.contains("outcome=\"retry\""), "{line}");
    kill_process(Pid::from_child(&service.0), Signal::TERM).expect("it is ours");
    lines.for_each(drop);
    let begun = Instant::now();
    loop {
        match service.0.try_wait().expect("waits") {
            Some(status) => break assert_eq!(status.code(), Some(0)),
            None => assert!(begun.elapsed() < PATIENCE, "it does not end"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn runs_are_shown_where_nothing_can_be_written() {
    const SCRIPT: &str = r#"
set -e
z=$1
mount -t tmpfs -o size=2m none state
"$z" run good.json 2>run.log || { cat run.log; exit 1; }
id=$(sed -n 's/^run \([^ ]*\) of.*/\1/p' run.log | head -n 1)
look() {
    echo "$1"
    "$z" runs && "$z" show "$id" && "$z" queues
}
dd if=/dev/zero of=state/filler bs=4k 2>/dev/null || true
look full
rm state/filler
mount -o remount,ro state
look read-only
"#;
    let place = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(place.path().join("state")).expect("makes");
    let recipe = r#"{"1": {"queue": "runner.submission", "parameters": {"workingdir": ".", "commands": ["true"]}},
        "start": [[1, []]]}"#;
    std::fs::write(place.path().join("good.json"), recipe).expect("writes");
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_zrecipe")]);
    command.current_dir(place.path()).env("ZRECIPE_STATE", place.path().join("state")).env_remove("ZOCALO_CONFIG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = ends(begins(&mut command), "the script");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    assert_eq!(said.matches("finished").count(), 2, "{said}");
    assert_eq!(said.matches("of good.json").count(), 2, "{said}");
    assert!(errors.contains("note: read-only, because the state directory is not writable"), "{errors}");
}
