//! Commands one after the other: a process of ours looks after many, and none finds anything of the one before.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use zrecipe::message::{Envelope, Outgoing};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::{Deliveries, Transport as _};
use zrecipe::value::Object;

use crate::run::{self, processes, unique_seconds, wait_until};
use crate::service::{Place, Running};

const MINE: &str = r#"{
  "names": ["Mine"],
  "queues": ["mine"],
  "channels": { "result": { "default": true }, "failure": {} },
  "run": { "command": ["sh", "step.sh"], "results": "stdout" }
}"#;

/// A service for messages that are each a script, and what comes out.
struct Shell {
    place: Place,
    service: Running,
    out: Deliveries,
}

impl Shell {
    async fn new(settings: &str) -> Self {
        let place = Place::new().await;
        std::fs::create_dir(place.path("services")).expect("a folder");
        place.write("zrecipe.toml", &format!("contracts = [\"services/*.json\"]\n{settings}"));
        place.write("services/mine.json", MINE);
        place.space.declare("mine").await.expect("declares");
        let service = place.service(&["service", "-s", "Mine", "-s", "Runner"]);
        let out = place.subscribe("out").await;
        Self { place, service, out }
    }

    async fn send(&self, step: &str) {
        let recipe = format!(r#"{{"1": {step}, "2": {{"queue": "out"}}, "start": [[1, []]]}}"#);
        let recipe = read_value(recipe.as_bytes()).expect("JSON");
        let message = Envelope::start(recipe, Object::new(), "id").expect("starts").remove(0);
        let id = uuid::Uuid::new_v4().to_string();
        self.place.space.send(vec![Outgoing { id, ..message }]).await.expect("sends");
    }

    async fn begin(&self, script: &str) {
        self.place.write("services/step.sh", script);
        self.send(r#"{"queue": "mine", "output": {"result": 2, "failure": 2}}"#).await;
    }

    /// The payload that comes out, as text.
    async fn result(&mut self) -> String {
        let delivery = self.place.take(&mut self.out).await;
        let payload = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message").payload;
        payload.as_str().map_or_else(|| payload.to_json(), str::to_owned)
    }

    /// What a script prints as it is run by the service.
    async fn says(&mut self, script: &str) -> String {
        self.begin(&format!("said=$({script})\necho \"{{\\\"payload\\\": \\\"$said\\\"}}\"\n")).await;
        self.result().await
    }

    /// What a script prints as it is run by the runner.
    async fn runs(&mut self, script: &str) -> String {
        let parameters =
            json!({"workingdir": "elsewhere", "commands": [["sh", "-c", script]], "output_file": "out.txt"});
        let step = json!({"queue": "runner.submission", "parameters": parameters, "output": 2});
        self.send(&step.to_string()).await;
        self.result().await;
        let printed = self.place.path("elsewhere/out.txt");
        let text = std::fs::read_to_string(&printed).expect("reads");
        std::fs::remove_file(printed).expect("removes");
        text.trim_end().to_owned()
    }
}

fn runs(process: &str) -> bool {
    Path::new("/proc").join(process).exists()
}

fn kill(process: &str) {
    let process = process.parse().ok().and_then(Pid::from_raw).expect("a process");
    kill_process(process, Signal::KILL).expect("it is ours");
}

/// The processes that wait for the next command below a supervisor.
fn next(supervisor: &str) -> Vec<u32> {
    processes(&["zrecipe", "__supervise", "stem", supervisor])
}

fn has_next(supervisor: &str) -> bool {
    !next(supervisor).is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_command_reaches_the_next() {
    let mut shell = Shell::new("[runner]\nlimits.open-files = 20\n").await;
    let services = shell.place.path("services").canonicalize().expect("is there");
    let mut parents = std::collections::BTreeSet::new();
    let seconds = unique_seconds();
    for _ in 0..3 {
        let found = shell
            .runs(&format!(
                "echo $(ulimit -n) $(umask) ${{PWD##*/}} ${{ZRECIPE_STEP-none}} ${{LEFT-none}} $PPID
                setsid sh -c 'sleep {seconds} & exec sleep {seconds}' & umask 0; cd /; export LEFT=1",
            ))
            .await;
        assert_eq!(processes(&["sleep", &seconds]).len(), 0, "what it leaves is gone before the next begins");
        let found: Vec<&str> = found.split(' ').collect();
        let [open_files, mask, directory, step, left, parent] = found[..] else { panic!("{found:?}") };
        assert_eq!((open_files, directory, step, left), ("20", "elsewhere", "none", "none"));
        assert_ne!(mask, "0000");
        parents.insert(parent.to_owned());
        let found = shell.says("umask 0; echo $(ulimit -n) $PWD ${ZRECIPE_STEP##*/} ${LEFT-none} $PPID").await;
        let found: Vec<&str> = found.split(' ').collect();
        let [open_files, directory, step, left, parent] = found[..] else { panic!("{found:?}") };
        assert_eq!((Path::new(directory), step, left), (&*services, "step.json", "none"));
        assert_ne!(open_files, "20");
        parents.insert(parent.to_owned());
    }
    assert!(parents.len() < 6, "supervisors are used again: {parents:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_find_no_descriptors_of_ours() {
    let mut shell = Shell::new("").await;
    let mut seen = Vec::new();
    let list = "echo $(ls /proc/self/fd)";
    // With that by which the list is read, and what our own parent has left open.
    let open = std::process::Command::new("sh").args(["-c", list]).output().expect("starts").stdout;
    let open = String::from_utf8(open).expect("is text");
    for _ in 0..4 {
        assert_eq!(shell.says(list).await, open.trim_end());
        seen.push(shell.says("echo $PPID $(ls /proc/$PPID/fd)").await);
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "a supervisor keeps nothing of a command");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_supervisor_of_an_abandoned_command_is_not_used_again() {
    let mut shell = Shell::new("").await;
    let first = shell.says("echo $PPID").await;
    let seconds = unique_seconds();
    shell.begin(&format!("echo $PPID >parent\nhead -c 70000000 /dev/zero\nexec sleep {seconds}\n")).await;
    assert!(shell.result().await.contains("it has written more than"));
    assert_eq!(std::fs::read_to_string(shell.place.path("services/parent")).expect("reads").trim_end(), first);
    wait_until("all are gone", || processes(&["sleep", &seconds]).is_empty() && !runs(&first));
    assert_ne!(shell.says("echo $PPID").await, first);
    // Nor does it matter how soon it ends.
    shell.begin("exec head -c 70000000 /dev/zero\n").await;
    assert!(shell.result().await.contains("it has written more than"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_that_is_killed_is_replaced() {
    let mut shell = Shell::new("").await;
    let first = shell.says("echo $PPID").await;
    wait_until("it waits", || has_next(&first));
    kill(&first);
    wait_until("it is gone with what waits", || !runs(&first) && !has_next(&first));
    let second = shell.says("echo $PPID").await;
    assert_ne!(second, first);
    // While a command runs that is no fault of the command, which ends.
    let seconds = unique_seconds();
    let script = format!("[ -e been ] && exec echo '{{\"payload\": \"again\"}}'\ntouch been\nexec sleep {seconds}\n");
    shell.begin(&script).await;
    let sleeping = || processes(&["sleep", &seconds]).len();
    wait_until("the command runs", || sleeping() == 1);
    kill(&second);
    wait_until("the command is gone", || sleeping() == 0);
    shell.service.says("the process that supervises the command was killed");
    assert_eq!(shell.result().await, "again");
    let third = shell.says("echo $PPID").await;
    wait_until("it waits", || has_next(&third));
    // Nor is it the fault of a command that there was nothing left that could become it.
    next(&third).iter().for_each(|process| kill(&process.to_string()));
    wait_until("nothing waits", || !has_next(&third));
    assert_ne!(shell.says("echo $PPID").await, third);
    // Nothing waits for a service that is gone.
    let third = shell.says("echo $PPID").await;
    wait_until("it waits", || has_next(&third));
    shell.service.signal(Signal::KILL);
    wait_until("it is gone", || !runs(&third) && !has_next(&third));
}

#[test]
fn a_large_environment_is_passed_on() {
    let place = run::Place::new();
    std::fs::write(
        place.path("zrecipe.toml"),
        "[runner]\nenvironment = [\"PATH\", \"LARGE*\"]\nlimits.memory = 100000000\n",
    )
    .expect("writes");
    let parameters = json!({
        "workingdir": ".",
        "commands": [["sh", "-c", "echo ${#LARGE1} ${#LARGE2} ${#LARGE3} ${#LARGE4}"]],
        "output_file": "out.txt",
    });
    let recipe = json!({"1": {"queue": "runner.submission", "parameters": parameters}, "start": [[1, []]]});
    let recipe = place.recipe("r.json", &recipe);
    let mut ran = place.command(&["run", &recipe]);
    for name in ["LARGE1", "LARGE2", "LARGE3", "LARGE4"] {
        ran.env(name, "x".repeat(100_000));
    }
    run::Ran::from(ran.output().expect("starts")).ends(0);
    assert_eq!(place.read("out.txt"), "100000 100000 100000 100000\n");
}
