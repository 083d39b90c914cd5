//! Jobs of a cluster on this machine: submitted once, whatever becomes of the service, and ended in time.

use rustix::process::Signal;
use zrecipe::message::{Envelope, Outgoing};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::Transport as _;
use zrecipe::value::{Object, Value};

use crate::run::{processes, unique_seconds, wait_until};
use crate::service::Place;

/// A message for the service; its step has this name, these parameters, and what it sends goes to `out`.
pub fn message(id: &str, parameters: &str) -> Vec<Outgoing> {
    let recipe = format!(
        r#"{{"1": {{"queue": "cluster.submission", "parameters": {parameters}, "output": {{"job_submitted": 2, "success": 2}}}},
            "2": {{"queue": "out"}}, "start": [[1, {{"image": 7}}]]}}"#
    );
    let recipe = read_value(recipe.as_bytes()).expect("JSON");
    let environment = Object::from_iter([("ID".to_owned(), Value::from(id))]);
    let mut messages = Envelope::start(recipe, environment, id).expect("starts");
    messages[0].id = id.to_owned();
    messages
}

async fn site(settings: &str) -> Place {
    let place = Place::new().await;
    place.space.declare("cluster.submission").await.expect("declares");
    place.write("zrecipe.toml", settings);
    place
}

fn parameters(place: &Place, cluster: &str, more: &str) -> String {
    let directory = Value::from(place.path("work").to_string_lossy().into_owned()).to_json();
    format!(r#"{{"workingdir": {directory}, "cluster": {cluster}{more}}}"#)
}

async fn job(place: &Place, out: &mut zrecipe::transport::Deliveries) -> (String, i64) {
    let delivery = place.take(out).await;
    let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
    let number = envelope.payload.get("jobid").and_then(Value::as_i64);
    (envelope.id().expect("an ID").to_owned(), number.unwrap_or_else(|| panic!("{}", envelope.payload.to_json())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_outlive_the_service_and_run_once() {
    let place = site("[cluster]\nscheduler = \"local\"\nplaces = 2\n").await;
    let mut out = place.subscribe("out").await;
    let send = async |id: &str, cluster: &str, more: &str| {
        place.space.send(message(id, &parameters(&place, cluster, more))).await.expect("sends");
    };
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap_or_default();
    let first = place.service(&["service", "-s", "Cluster"]);
    let script = r#"{"job_name": "waits", "commands": ["echo run >>count", "until [ -e go ]; do sleep 0.01; done", "echo over"]}"#;
    send("one", script, "").await;
    assert_eq!(job(&place, &mut out).await, ("one".to_owned(), 1));
    send("two", script, r#", "standard_output": "two-%j.out""#).await;
    send("three", r#"{"commands": "exit 3"}"#, "").await;
    assert_eq!(job(&place, &mut out).await, ("two".to_owned(), 2));
    assert_eq!(job(&place, &mut out).await, ("three".to_owned(), 3));
    wait_until("both that there is room for run", || read("work/count").lines().count() == 2);
    first.signal(Signal::KILL);
    drop(first);
    std::fs::write(place.path("work/go"), "").expect("writes");
    wait_until("the jobs end without a service", || read("work/run.out") == "over\n");
    let mut second = place.service(&["service", "-s", "Cluster"]);
    second.says("job 1 (waits) has ended");
    second.says("job 3 (zrecipe) has ended with exit status 3");
    assert_eq!(read("work/two-2.out"), "over\n");
    second.signal(Signal::TERM);
    second.ends(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_comes_again_leads_to_the_same_job() {
    const JOBS: usize = 60;
    let place = site("[cluster]\nscheduler = \"local\"\nplaces = 8\n").await;
    for n in 0..JOBS {
        let cluster = format!(r#"{{"commands": "echo m{n} >>ran"}}"#);
        place.space.send(message(&format!("m{n}"), &parameters(&place, &cluster, ""))).await.expect("sends");
    }
    let ran = || std::fs::read_to_string(place.path("work/ran")).unwrap_or_default();
    let table = || std::fs::read_dir(place.path("state/jobs")).map_or(0, Iterator::count);
    for kill in 0..6 {
        let service = place.service(&["service", "-s", "Cluster"]);
        let (enough, begun) = (ran().lines().count() + 8, table());
        if kill < 5 {
            wait_until("jobs are submitted", || table() > begun + kill || ran().lines().count() >= enough.min(JOBS));
        } else {
            wait_until("all have run", || ran().lines().count() >= JOBS);
        }
        service.signal(Signal::KILL);
    }
    let mut ran: Vec<String> = ran().lines().map(str::to_owned).collect();
    ran.sort();
    let mut expected: Vec<String> = (0..JOBS).map(|n| format!("m{n}")).collect();
    expected.sort();
    assert_eq!(ran, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_finds_and_how_it_ends() {
    let place = site("[cluster]\nscheduler = \"local\"\npreamble = [\"echo before\"]\n").await;
    let mut out = place.subscribe("out").await;
    let mut service = place.service(&["service", "-s", "Cluster"]);
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap_or_default();
    let seconds = unique_seconds();
    let limit = format!(r#"{{"commands": ["echo begun", "sleep {seconds}"], "time_limit": 3}}"#);
    // Name, commands and what they need, other parameters, what is said at the end, what is printed.
    let rows = [
        (
            "variables",
            r#"{"commands": ["echo $A", "echo \"$RECIPEPOINTER\"", "grep -c recipe-pointer \"$RECIPEWRAP\"", "pwd"],
                "environment": {"A": "a  b; $(touch here)"}}"#,
            r#", "wrapper": "$(touch here)/w""#,
            "has ended",
            "before\na b; $(touch here)\n1\n1\nWORK\n",
        ),
        (
            "arguments",
            r#"{"commands": [["printf", "%s\n", "'; $(touch here)", "$RECIPEPOINTER"]]}"#,
            "",
            "has ended",
            "before\n'; $(touch here)\n1\n",
        ),
        ("own", r##"{"commands": "#!/bin/sh\necho sh"}"##, "", "has ended", "sh\n"),
        (
            "place",
            r#"{"commands": "echo $A $ZRECIPE_STATE", "environment": {"A": "a"}}"#,
            "",
            "has ended",
            "before\na STATE\n",
        ),
        (
            "elsewhere",
            r#"{"commands": "echo $ZRECIPE_STATE", "environment": {"ZRECIPE_STATE": "elsewhere"}}"#,
            "",
            "has ended",
            "before\nelsewhere\n",
        ),
        ("signal", r#"{"commands": "kill -KILL $$"}"#, "", "was killed by signal 9", "before\n"),
        ("limit", &limit, "", "was stopped at its time limit", "before\nbegun\n"),
        ("odd", r##"{"commands": "#!/no/such/shell"}"##, "", "cannot be started", ""),
    ];
    for (name, cluster, more, end, printed) in rows {
        let cluster = cluster.replacen('{', &format!(r#"{{"job_name": "{name}", "#), 1);
        let more = format!(r#"{more}, "standard_output": "{name}.out""#);
        place.space.send(message(name, &parameters(&place, &cluster, &more))).await.expect("sends");
        job(&place, &mut out).await;
        let line = service.says(&format!("({name})"));
        assert!(line.contains(end), "{line}");
        let work = place.path("work").canonicalize().expect("is there");
        let printed = printed.replace("WORK", &work.to_string_lossy());
        let printed = printed.replace("STATE", &place.path("state").to_string_lossy());
        assert_eq!(read(&format!("work/{name}.out")), printed, "{name}");
    }
    assert!(!place.path("work/here").exists() && !place.path("here").exists(), "no value is run");
    assert_eq!(processes(&["sleep", &seconds]).len(), 0);
    service.signal(Signal::TERM);
    service.ends(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_no_job_is_a_dead_letter() {
    let place = site("[cluster]\nscheduler = \"local\"\n[runner]\nroots = [\"work\"]\n").await;
    std::fs::create_dir(place.path("work")).expect("makes");
    let before = ["recipes", "state", "work", "zrecipe.toml"].map(str::to_owned).to_vec();
    let _service = place.service(&["service", "-s", "Cluster"]);
    let work = place.path("work").to_string_lossy().into_owned();
    let rows = [
        (
            "relative",
            r#"{"workingdir": "here", "cluster": {"commands": "true"}}"#.to_owned(),
            "parameter `workingdir` ",
        ),
        ("without", format!(r#"{{"workingdir": "{work}", "cluster": {{}}}}"#), "parameter `cluster` has no `commands`"),
        (
            "outside",
            r#"{"workingdir": "/elsewhere/x", "cluster": {"commands": "true"}}"#.to_owned(),
            "is outside of the directories",
        ),
        (
            "wrapper",
            format!(r#"{{"workingdir": "{work}", "wrapper": "../../w", "cluster": {{"commands": "true"}}}}"#),
            "is outside of the directories",
        ),
        (
            "output",
            format!(r#"{{"workingdir": "{work}", "standard_error": "../%j", "cluster": {{"commands": "true"}}}}"#),
            "is outside of the directories",
        ),
        (
            "time",
            format!(r#"{{"workingdir": "{work}", "cluster": {{"commands": "true", "time_limit": "10:"}}}}"#),
            "parameter `cluster.time_limit` ",
        ),
        (
            "other",
            format!(r#"{{"workingdir": "{work}", "cluster": {{"commands": "true", "scheduler": "htcondor"}}}}"#),
            "there is no scheduler `htcondor` here",
        ),
        (
            "nul",
            format!(r#"{{"workingdir": "{work}", "cluster": {{"commands": ["a\u0000b"]}}}}"#),
            "parameter `cluster.commands",
        ),
        (
            "name",
            format!(r#"{{"workingdir": "{work}", "cluster": {{"commands": "true", "job_name": "a\nb"}}}}"#),
            "parameter `cluster.job_name` ",
        ),
        (
            "variable",
            format!(r#"{{"workingdir": "{work}", "cluster": {{"commands": "true", "environment": {{"A=B": ""}}}}}}"#),
            "parameter `cluster.environment` ",
        ),
    ];
    let big = |count: usize, size: usize| {
        let value = "x".repeat(size);
        let variables: Vec<String> = (0..count).map(|n| format!("\"V{n}\": \"{value}\"")).collect();
        let variables = variables.join(", ");
        format!(r#"{{"workingdir": "{work}", "cluster": {{"commands": "true", "environment": {{{variables}}}}}}}"#)
    };
    let rows = rows.into_iter().chain([
        ("large", big(1, 1 << 17), "variable `V0` of the job has 131075 bytes; a program can be given 131071 at most"),
        ("many", big(70, 100_000), "the variables of the job have 700"),
    ]);
    let rows: Vec<_> = rows.collect();
    for (id, parameters, _) in &rows {
        place.space.send(message(id, parameters)).await.expect("sends");
    }
    let dead = place.dead("cluster.submission", rows.len()).await;
    for (id, _, expected) in rows {
        let reason = dead.iter().find(|(dead, _)| dead == id).map(|(_, reason)| reason.as_str());
        assert!(reason.is_some_and(|reason| reason.contains(expected)), "{id}: {reason:?}");
    }
    // Where the output would go may have been made ready before.
    let names = |folder: &str| {
        let entries = std::fs::read_dir(place.path(folder)).expect("reads");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("reads").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!((names("work"), names(".")), (vec!["run.err".to_owned(), "run.out".to_owned()], before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrapper_of_a_job_finds_its_broker() {
    let place = site("[cluster]\nscheduler = \"local\"\n").await;
    let mut out = place.subscribe("out").await;
    let _service = place.service(&["service", "-s", "Cluster"]);
    let zrecipe = std::path::Path::new(env!("CARGO_BIN_EXE_zrecipe")).parent().expect("a directory").display();
    let cluster = format!(
        r#"{{"commands": "zrecipe wrap --wrap refine --recipewrapper $RECIPEWRAP -- true",
             "environment": {{"PATH": "{zrecipe}:/usr/bin:/bin"}}}}"#
    );
    let parameters = parameters(&place, &cluster, r#", "recipewrapper": ".recipewrap""#);
    place.space.send(message("wrapped", &parameters)).await.expect("sends");
    job(&place, &mut out).await;
    let delivery = place.take(&mut out).await;
    let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
    assert_eq!(envelope.id(), Some("wrapped"));
    assert_eq!(envelope.payload, Value::from("Finished processing"));
}
