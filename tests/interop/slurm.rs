//! Jobs of a cluster: by a real Slurm, its commands and its REST API, and by a peer that answers as later versions do.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use zrecipe::message::{Destination, Envelope};
use zrecipe::runtime::cluster::slurmrestd::Slurmrestd;
use zrecipe::runtime::cluster::{Fault, Job, Needs, Scheduler};
use zrecipe::site::Site;
use zrecipe::source::Source;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::embedded::{Broker, Options};
use zrecipe::transport::{Outgoing, Settlement, Subscription, Transport as _, Verdict};
use zrecipe::value::{Object, Value};

use crate::contract::within;
use crate::port::Port;
use crate::python::Python;
use crate::wait::{PATIENCE, eventually, eventually_ok};

/// Starts the parts of Slurm; waits for the end of its input, which comes with the end of whoever started it, and then
/// ends them.
const KEEPER: &str = r#"
PATH=$PATH:/usr/sbin
start() { setsid "$@" </dev/null >"log/$1" 2>&1 & all="$all $!"; }
start munged --foreground --force --key-file="$PWD/munge/key" --socket="$PWD/munge/sock" \
    --pid-file="$PWD/munge/pid" --log-file="$PWD/munge/log" --seed-file="$PWD/munge/seed"
until [ -S munge/sock ]; do sleep 0.05; kill -0 $! || exit; done
start slurmctld -D -f "$SLURM_CONF"
echo $! >controller
start slurmd -D -f "$SLURM_CONF"
SLURMRESTD_SECURITY=disable_user_check start slurmrestd -f "$SLURM_CONF" -a rest_auth/local -s openapi/v0.0.38 "unix:$PWD/rest"
read -r _
for process in $all; do kill -TERM $process; done 2>/dev/null
for _ in $(seq 50); do kill -0 $all 2>/dev/null || exit; sleep 0.1; done
for process in $all; do kill -KILL $process; done 2>/dev/null
"#;

/// A cluster of one node, with all its files in a directory.
struct Slurm {
    directory: TempDir,
    keeper: Child,
    _ports: [Port; 2],
}

impl Slurm {
    async fn start() -> Self {
        let ports = [Port::reserved(), Port::reserved()];
        // The path of a socket is short.
        let directory = tempfile::Builder::new().prefix("slurm").tempdir_in("/tmp").expect("a directory");
        let here = directory.path().display();
        for folder in ["munge", "state", "spool", "log"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        let said = |program: &str, argument: &str| {
            let output = Command::new(program).arg(argument).output().expect("starts");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let (host, user) = (said("hostname", "-s"), said("id", "-un"));
        let key: Vec<u8> = (0..8).flat_map(|_| uuid::Uuid::new_v4().into_bytes()).collect();
        let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).expect("writes");
        write("munge/key", &key);
        use std::os::unix::fs::PermissionsExt as _;
        let private = std::fs::Permissions::from_mode(0o400);
        std::fs::set_permissions(directory.path().join("munge/key"), private).expect("is ours");
        write("gres.conf", b"Name=gpu File=/dev/null\n");
        let configuration = format!(
            "ClusterName=zrecipe\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={}\nSlurmdPort={}\n\
             SlurmUser={user}\nSlurmdUser={user}\nAuthType=auth/munge\nAuthInfo=socket={here}/munge/sock\n\
             CryptoType=crypto/munge\nStateSaveLocation={here}/state\nSlurmdSpoolDir={here}/spool\n\
             SlurmctldPidFile={here}/controller.pid\nSlurmdPidFile={here}/node.pid\n\
             ProctrackType=proctrack/pgid\nTaskPlugin=task/none\nSwitchType=switch/none\nMpiDefault=none\n\
             ReturnToService=2\nSchedulerType=sched/backfill\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_Core\nAccountingStorageType=accounting_storage/none\n\
             JobAcctGatherType=jobacct_gather/none\nCommunicationParameters=NoInAddrAny,NoCtldInAddrAny\n\
             MessageTimeout=2\nGresTypes=gpu\n\
             NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 Gres=gpu:1 Features=fast State=UNKNOWN\n\
             PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP\n",
            ports[0].number(),
            ports[1].number(),
        );
        write("slurm.conf", configuration.as_bytes());
        let keeper = Command::new("bash")
            .args(["-c", KEEPER])
            .current_dir(directory.path())
            .env("SLURM_CONF", directory.path().join("slurm.conf"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("bash starts");
        let slurm = Self { directory, keeper, _ports: ports };
        eventually_ok("the start of Slurm", async || {
            if slurm.ask("sinfo", &["-h", "-o", "%t"]).trim() == "idle" && slurm.path("rest").exists() {
                return Ok(());
            }
            let logs = ["munged", "slurmctld", "slurmd", "slurmrestd"]
                .map(|name| std::fs::read_to_string(slurm.path("log").join(name)).unwrap_or_default())
                .concat();
            Err(format!("{logs}\n`tests/interop/setup` installs it if it is missing"))
        })
        .await;
        slurm
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What a command of Slurm prints; nothing when it fails.
    fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let command = Command::new(program).args(arguments).env("SLURM_CONF", self.path("slurm.conf")).output();
        let output = command.unwrap_or_else(|error| panic!("{program}: {error}; `tests/interop/setup` installs it"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// All that Slurm knows about a job, once it has ended.
    async fn ended(&self, number: i64) -> String {
        eventually_ok(&format!("the end of job {number}"), async || {
            let shown = self.ask("scontrol", &["--oneliner", "show", "job", &number.to_string()]);
            let ends = ["COMPLETED", "FAILED", "TIMEOUT"];
            if ends.iter().any(|state| shown.contains(&format!("JobState={state}"))) { Ok(shown) } else { Err(shown) }
        })
        .await
    }

    /// Stops the controller, or lets it go on.
    fn signal(&self, signal: Signal) {
        let text = std::fs::read_to_string(self.path("controller")).expect("it runs");
        kill_process(text.trim().parse().ok().and_then(Pid::from_raw).expect("a process"), signal).expect("it is ours");
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The REST API that a site names.
fn rest(block: &str) -> Slurmrestd {
    let text = format!("version: 1\nslurm: {{plugin: slurm, {block}}}\nenvironments: {{default: [slurm]}}\n");
    let site = Site::new(Arc::new(zrecipe::syntax::parse(Arc::new(Source::from_text("site.yml", text)))));
    let plugins = site.resolve(&["default"]).expect("is there");
    Slurmrestd::of_site(&plugins).expect("can be used").expect("is there").patient(PATIENCE)
}

fn job(mark: &str, directory: &Path) -> Job {
    Job {
        mark: mark.to_owned(),
        name: "-a job; $(touch here)".to_owned(),
        script: "#!/bin/bash\nprintf '%s\\n' \"$A\" \"$PWD\"\necho complaint >&2\nexit 3\n".to_owned(),
        environment: vec![
            ("A".to_owned(), "a  b\n'c\" $(touch here), d".to_owned()),
            ("PATH".to_owned(), "/bin:/usr/bin".to_owned()),
        ],
        directory: directory.to_owned(),
        output: directory.join("100 %x out-%j"),
        errors: directory.join("errors"),
        needs: Needs {
            partition: Some("debug".to_owned()),
            prefer: Some("fast".to_owned()),
            nodes: Some(1),
            tasks: Some(1),
            cpus_per_task: Some(1),
            memory_per_node: Some(100),
            gpus: Some("1".to_owned()),
            time_limit: Some(Duration::from_secs(61)),
            exclusive: true,
            ..Needs::default()
        },
    }
}

/// Holds what Slurm says about a job that has ended against what it was to be, and what the job has printed.
fn is_right(name: &str, shown: &str, number: i64, job: &Job) {
    for part in [
        format!("JobName={} ", job.name),
        format!("Comment={}", job.mark),
        "ExitCode=3:0".to_owned(),
        "TimeLimit=00:02:00".to_owned(),
        "NumTasks=1 CPUs/Task=1".to_owned(),
        "MinMemoryNode=100M".to_owned(),
        "gres:gpu:1".to_owned(),
        "OverSubscribe=NO".to_owned(),
    ] {
        assert!(shown.contains(&part), "{name}: {part} in {shown}");
    }
    let read = |file: &str| {
        std::fs::read_to_string(job.directory.join(file)).unwrap_or_else(|error| panic!("{name}: {file}: {error}"))
    };
    let expected = format!("{}\n{}\n", job.environment[0].1, job.directory.display());
    assert_eq!(read(&format!("100 %x out-{number}")), expected, "{name}");
    assert_eq!(read("errors"), "complaint\n", "{name}");
    assert!(!job.directory.join("here").exists() && !Path::new("here").exists(), "{name}: no value is run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_submitted_by_the_rest_api() {
    let slurm = Slurm::start().await;
    let scheduler = rest(&format!("url: 'unix:{}', api_version: v0.0.38", slurm.path("rest").display()));
    let directory = slurm.path("work");
    std::fs::create_dir(&directory).expect("a folder");
    let job = job("zrecipe:one", &directory);
    assert_eq!(scheduler.find(&job.mark, None).await, Ok(None));
    let number = scheduler.submit(&job).await.expect("submits");
    assert_eq!(scheduler.find(&job.mark, None).await, Ok(Some(number)));
    assert_eq!(scheduler.find("zrecipe:other", None).await, Ok(None));
    is_right("REST", &slurm.ended(number).await, number, &job);
    assert_eq!(scheduler.find(&job.mark, None).await, Ok(Some(number)), "it is known when it has ended");
    // The job is to blame, …
    for (needs, part) in [
        (Needs { partition: Some("none".to_owned()), ..Needs::default() }, "nvalid partition"),
        (Needs { memory_per_node: Some(1 << 40), ..Needs::default() }, "node configuration is not available"),
        (Needs { prefer: Some("absent".to_owned()), ..Needs::default() }, "feature"),
        (Needs { cluster: Some("iris".to_owned()), ..Needs::default() }, "there is no cluster `iris`"),
    ] {
        match scheduler.submit(&Job { needs: needs.clone(), ..job.clone() }).await {
            Err(Fault::Job(reason)) => assert!(reason.contains(part), "{reason}"),
            other => panic!("{needs:?} is {other:?}"),
        }
    }
    // … or Slurm, which may have the job all the same.
    slurm.signal(Signal::STOP);
    let late = Job { mark: "zrecipe:late".to_owned(), ..job.clone() };
    let hasty = rest(&format!("url: 'unix:{}', api_version: v0.0.38", slurm.path("rest").display()));
    let failed = hasty.patient(Duration::from_secs(10)).submit(&late).await;
    assert!(matches!(failed, Err(Fault::World(_) | Fault::Held(_))), "{failed:?}");
    slurm.signal(Signal::CONT);
    eventually("the late job is known", async || matches!(scheduler.find(&late.mark, None).await, Ok(Some(_)))).await;
    let absent = rest("url: 'unix:/absent', api_version: v0.0.38").submit(&job).await;
    assert!(matches!(&absent, Err(Fault::Held(found)) if found.reason.contains("unix:/absent")), "{absent:?}");
}

/// An embedded broker with the queues of a cluster, and the service on it.
struct Place<'s> {
    slurm: &'s Slurm,
    broker: Broker,
}

impl<'s> Place<'s> {
    async fn new(slurm: &'s Slurm) -> Self {
        std::fs::create_dir(slurm.path("site")).expect("a folder");
        std::fs::create_dir(slurm.path("site/bin")).expect("a folder");
        std::fs::write(slurm.path("site/zrecipe.toml"), "[cluster]\nscheduler = \"sbatch\"\n").expect("writes");
        let broker = Broker::open(&slurm.path("site/zrecipe.db"), Options::default()).await.expect("opens");
        for queue in ["cluster.submission", "out"] {
            broker.namespace("zocalo").declare(queue).await.expect("declares");
        }
        Self { slurm, broker }
    }

    /// The service; programs in `site/bin` come before those of the system.
    fn service(&self) -> Service {
        let path = format!("{}:/usr/bin:/bin", self.slurm.path("site/bin").display());
        let command = Command::new(env!("CARGO_BIN_EXE_zrecipe"))
            .args(["service", "-s", "Cluster"])
            .current_dir(self.slurm.path("site"))
            .env_clear()
            .env("PATH", path)
            .env("USER", "somebody")
            .env("SECRET", "of the service")
            .env("SLURM_CONF", self.slurm.path("slurm.conf"))
            .env("ZRECIPE_STATE", self.slurm.path("site"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.slurm.path("site/log")).expect("makes"))
            .spawn();
        Service(command.expect("starts"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.slurm.path("site/log")).unwrap_or_default()
    }

    async fn send(&self, id: &str, parameters: &str) {
        let recipe = format!(
            r#"{{"1": {{"queue": "cluster.submission", "parameters": {parameters}, "output": 2}}, "2": {{"queue": "out"}},
                "start": [[1, []]]}}"#
        );
        let recipe = read_value(recipe.as_bytes()).expect("JSON");
        let message = Envelope::start(recipe, Object::new(), id).expect("starts").remove(0);
        let message = Outgoing { id: id.to_owned(), ..message };
        self.broker.namespace("zocalo").send(vec![message]).await.expect("sends");
    }

    /// The next message of a queue: its id and its body.
    async fn next(&self, queue: &str) -> (Object, Value) {
        let source = Destination::Queue(queue.to_owned());
        let space = self.broker.namespace("zocalo");
        let mut deliveries = space.subscribe(Subscription { source, prefetch: 1 }).await.expect("subscribes");
        let next = within("a message", deliveries.next()).await.expect("lives");
        let accept = Settlement { verdict: Verdict::Accept, outputs: Vec::new(), note: None };
        space.settle(&next, accept).await.expect("settles");
        (next.headers.clone(), read_value(&next.body).expect("JSON"))
    }

    /// The number of the job that the next message is about.
    async fn job(&self) -> i64 {
        let (_, body) = self.next("out").await;
        let number = body.get("payload").and_then(|payload| payload.get("jobid")?.as_i64());
        number.unwrap_or_else(|| panic!("{}", body.to_json()))
    }
}

/// A process that ends with the test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Submits the job, and then does not end, so that its caller never learns the number.
const STUCK: &str = "#!/bin/sh\nPATH=/usr/bin:/bin\nsbatch \"$@\" >\"$0.said\"\nexec sleep 98765\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_submitted_by_commands_and_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let slurm = Slurm::start().await;
    let place = Place::new(&slurm).await;
    let directory = slurm.path("work");
    let service = place.service();
    let expected = job("zrecipe:", &directory);
    let text = |text: &str| Value::from(text).to_json();
    let work = text(&directory.to_string_lossy());
    let variable = text(&expected.environment[0].1);
    let parameters = format!(
        r#"{{"workingdir": {work}, "standard_output": "100 %x out-%j", "standard_error": "errors", "cluster": {{
            "commands": ["printf '%s\\n' \"$A\" \"$PWD\"", "echo complaint >&2", "exit 3"],
            "environment": {{"A": {variable}, "PATH": "/bin:/usr/bin"}}, "job_name": {}, "partition": "debug",
            "prefer": "fast", "nodes": 1, "tasks": "1", "cpus_per_task": 1, "memory_per_node": 100, "gpus": 1,
            "time_limit": "0:01:01", "exclusive": true}}}}"#,
        text(&expected.name)
    );
    place.send("one", &parameters).await;
    let number = place.job().await;
    is_right("sbatch", &slurm.ended(number).await, number, &expected);

    // What a job finds whose recipe does not say it; nothing of the service.
    let simple = |commands: &str| {
        format!(r#"{{"workingdir": {work}, "wrapper": "rw.json", "cluster": {{"commands": {commands}}}}}"#)
    };
    place.send("variables", &simple(r#"["env", "test -s \"$RECIPEWRAP\""]"#)).await;
    let shown = slurm.ended(place.job().await).await;
    assert!(shown.contains("ExitCode=0:0"), "{shown}");
    let printed = std::fs::read_to_string(directory.join("run.out")).expect("is there");
    assert!(printed.contains("USER=somebody\n") && !printed.contains("SECRET"), "{printed}");

    // What can never be a job.
    place.send("bad", &parameters.replace("\"debug\"", "\"none\"")).await;
    let (headers, _) = place.next("dlq.cluster.submission").await;
    let reason = headers.get("zrecipe-reason").and_then(Value::as_str).unwrap_or_default();
    assert!(reason.ends_with("Invalid partition name specified"), "{reason}");

    // The service is killed when Slurm has the job and before it knows.
    let program = slurm.path("site/bin/sbatch");
    std::fs::write(&program, STUCK).expect("writes");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("is ours");
    place.send("two", &simple(r#""echo run >>count""#)).await;
    let said = || std::fs::read_to_string(slurm.path("site/bin/sbatch.said")).unwrap_or_default();
    eventually("Slurm has the job", async || said().trim().parse::<i64>().is_ok()).await;
    drop(service);
    std::fs::remove_file(&program).expect("is there");
    let _service = place.service();
    assert_eq!(place.job().await.to_string(), said().trim());
    assert!(place.log().contains("has been submitted before"), "{}", place.log());

    // Slurm does not answer for a while, which counts against no job.
    slurm.signal(Signal::STOP);
    place.send("three", &simple(r#""echo run >>count""#)).await;
    eventually("it is held up", async || place.log().contains("held up by Slurm")).await;
    assert!(!place.log().contains("retry"), "{}", place.log());
    slurm.signal(Signal::CONT);
    slurm.ended(place.job().await).await;
    let count = std::fs::read_to_string(directory.join("count")).expect("they have run");
    assert_eq!(count, "run\nrun\n", "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_versions_of_the_api_are_spoken() {
    const TOKEN: &str = "t0ken-of-the-tests";
    let mut peer = Python::script("slurm.py");
    let port = peer.says().await.to_json();
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    std::fs::write(&token, format!("{TOKEN}\n")).expect("writes");
    let server = |token: &str| {
        rest(&format!("url: 'http://127.0.0.1:{port}', api_version: v0.0.44, user: zocalo, user_token: '{token}'"))
    };
    let scheduler = server(&token.to_string_lossy());
    let job = job("zrecipe:one", directory.path());
    assert_eq!(scheduler.submit(&job).await, Ok(1));
    let order = peer.says().await;
    let part = |key: &str| order.get("job").and_then(|job| job.get(key)).cloned().unwrap_or_default().to_json();
    for (key, expected) in [
        ("time_limit", r#"{"number":2,"set":true,"infinite":false}"#),
        ("memory_per_node", r#"{"number":100,"set":true,"infinite":false}"#),
        ("nodes", r#""1""#),
        ("tres_per_job", r#""gres/gpu:1""#),
        ("shared", r#"["none"]"#),
    ] {
        assert_eq!(part(key), expected, "{key}");
    }
    assert_eq!(scheduler.find(&job.mark, None).await, Ok(Some(1)));
    assert_eq!(scheduler.find("zrecipe:other", None).await, Ok(None));
    // Name, whether the job is to blame, and what is said.
    for (name, is_of_job, part) in [
        ("wrong", true, "Invalid partition name specified"),
        ("busy", false, "no controller"),
        ("nonsense", false, "it answers 200 OK, and its answer is "),
        ("nothing", false, "it answers 200 OK"),
        ("slow", false, "it does not answer"),
    ] {
        let scheduler = server(&token.to_string_lossy());
        // One that never answers need not be waited for.
        let scheduler = if name == "slow" { scheduler.patient(Duration::from_secs(1)) } else { scheduler };
        let submitted = scheduler.submit(&Job { name: name.to_owned(), ..job.clone() }).await;
        let reason = match submitted {
            Err(Fault::Job(reason)) if is_of_job => reason,
            Err(Fault::World(reason)) if !is_of_job => reason,
            Err(Fault::Held(obstacle)) if !is_of_job => obstacle.reason,
            other => panic!("{name} is nobody's fault: {other:?}"),
        };
        assert!(reason.contains(part) && !reason.contains(TOKEN), "{name}: {reason}");
    }
    for stranger in [server("0ther"), server("/absent/token")] {
        for failed in [stranger.submit(&job).await.map(drop), stranger.find("x", None).await.map(drop)] {
            let Err(Fault::World(reason)) = failed else { panic!("{failed:?}") };
            let is_said = reason.contains("401 Unauthorized") || reason.contains("token cannot be read");
            assert!(is_said && !reason.contains("0ther"), "{reason}");
        }
    }
}
