//! Parameters that reach for what is not theirs, through every service that runs programs or writes files: no command
//! runs that the recipe does not name, and no file appears outside of the allowed roots.

use std::collections::BTreeMap;
use std::path::Path;

use zrecipe::message::{Envelope, Outgoing};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::Transport as _;
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
    let mut service = place.service(&["service", "-s", "Runner", "-s", "JSONLines", "-s", "Cluster"]);
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
