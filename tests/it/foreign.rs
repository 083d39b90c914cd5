//! Services in any language on the embedded broker: programs for each message, and workers that stay.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use zrecipe::message::{Envelope, Outgoing};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::{Deliveries, Transport as _};
use zrecipe::value::{Object, Value};

use crate::run::{processes, unique_seconds, wait_until};
use crate::service::Place;

#[path = "../../examples/spot_finder.rs"]
mod spot_finder;

const SETTINGS: &str = "contracts = [\"services/*.json\"]\n";

/// A recipe message for step 1 on a queue, with this payload; its id is the recipe ID.
fn message(queue: &str, id: &str, parameters: &str, payload: &str) -> Outgoing {
    let recipe = format!(
        r#"{{"1": {{"queue": "{queue}", "parameters": {parameters}, "output": {{"result": 2, "failure": 2, "timeout": 2}}}},
            "2": {{"queue": "out"}}, "start": [[1, {payload}]]}}"#
    );
    let recipe = read_value(recipe.as_bytes()).expect("JSON");
    let environment = Object::from_iter([("ID".to_owned(), Value::from(id))]);
    let message = Envelope::start(recipe, environment, id).expect("starts").remove(0);
    Outgoing { id: id.to_owned(), ..message }
}

async fn site(files: &[(&str, &str)]) -> Place {
    let place = Place::new().await;
    std::fs::create_dir(place.path("services")).expect("a folder");
    place.write("zrecipe.toml", SETTINGS);
    files.iter().for_each(|(name, text)| place.write(&format!("services/{name}"), text));
    place.space.declare("mine").await.expect("declares");
    place
}

/// The payload that comes out.
async fn result(place: &Place, out: &mut Deliveries) -> (String, Value) {
    let delivery = place.take(out).await;
    let envelope = Envelope::read(&delivery.headers, &delivery.body).expect("a recipe message");
    (envelope.id().expect("an ID").to_owned(), envelope.payload)
}

fn reason(payload: &Value) -> String {
    payload.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned()
}

const PROGRAM: &str = r#"{
  "names": ["Mine"],
  "queues": ["mine"],
  "parameters": { "type": "object", "required": ["n"], "properties": { "n": { "type": "integer" } } },
  "payload": { "type": "string" },
  "channels": { "result": { "default": true }, "failure": {}, "timeout": {} },
  "run": { "command": ["sh", "mine.sh"], "time_limit": 5 }
}"#;

const SCRIPT: &str = r#"
read -r payload
echo "$payload in $ZRECIPE_RECIPE_ID" >&2
send() { echo "{\"channel\": \"$1\", \"payload\": $2}" >>"$ZRECIPE_RESULTS"; }
case $payload in
*good*) send result "$(cat "$ZRECIPE_PARAMETERS")";;
*odd*) send elsewhere 1; send result 2;;
*bad*) echo "no such image" >&2; exit 65;;
*later*) [ -e been ] || { touch been; exit 75; }; send result '"been"';;
*fails*) send result '"half"'; echo "out of memory" >&2; exit 3;;
*broken*) echo "{" >>"$ZRECIPE_RESULTS";;
*misspelt*) echo '{"channel": "result", "paylod": 1}' >>"$ZRECIPE_RESULTS";;
*loud*) { printf '10%%\r20%%\r\033[31mred '; head -c 20000 /dev/zero | tr '\0' x; } >&2; exit 3;;
*slow*) sleep 100;;
*pipe*) rm "$ZRECIPE_RESULTS"; mkfifo "$ZRECIPE_RESULTS";;
*link*) ln -sf /etc/passwd "$ZRECIPE_RESULTS";;
*flood*) yes; sleep 100;;
esac
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_for_each_message() {
    let place = site(&[("mine.json", PROGRAM), ("mine.sh", SCRIPT)]).await;
    let mut out = place.subscribe("out").await;
    let mut service = place.service(&["service", "-s", "mine"]);
    let send = async |id: &str, parameters: &str, payload: &str| {
        place.space.send(vec![message("mine", id, parameters, payload)]).await.expect("sends");
    };
    // Nothing of a message is part of a command.
    send("$(touch here)", r#"{"n": 1, "x": "; $(touch here)"}"#, r#""good `touch here`""#).await;
    let line = service.says("in $(touch here)");
    assert!(line.contains("recipe_ID"), "{line}");
    let (_, payload) = result(&place, &mut out).await;
    assert_eq!(payload.to_json(), r#"{"n":1,"x":"; $(touch here)"}"#);
    assert!(!place.path("here").exists() && !place.path("services/here").exists());
    for (payload, expected) in [
        ("fails", "`mine.sh` ended with exit status 3: out of memory"),
        ("slow", "it was stopped after 5 s"),
        ("broken", "line 1 of its results is "),
        ("misspelt", "line 1 of its results cannot be used: there is no `paylod`; did you mean `payload`?"),
        ("loud", "`mine.sh` ended with exit status 3: ␛[31mred xxx"),
        // What is in the place of the results neither keeps us waiting nor leads elsewhere.
        ("pipe", "its results cannot be read: they are not in a file"),
        ("link", "its results cannot be read: "),
    ] {
        send(payload, r#"{"n": 1}"#, &format!("\"{payload}\"")).await;
        let (id, found) = result(&place, &mut out).await;
        assert_eq!(id, payload);
        let reason = reason(&found);
        assert!(reason.starts_with(expected) && reason.len() < 1000, "{reason}");
    }
    // The log of the service shows what acts on a terminal, and does not act on it itself.
    assert_eq!(service.says("␛[31mred").matches('\x1b').count(), 0);
    // Whoever says very much is stopped like everybody else, and not all of it is logged.
    send("flood", r#"{"n": 1}"#, "\"flood\"").await;
    service.says("further output is not logged");
    let reason = reason(&result(&place, &mut out).await.1);
    assert!(
        ["it was stopped after", "it has written more than"].iter().any(|said| reason.starts_with(said)),
        "{reason}"
    );
    let next = service.says("recipe_ID");
    assert!(next.contains("message_id=\"flood\""), "{next}");
    send("odd", r#"{"n": 1}"#, "\"odd\"").await;
    service.says("it sends on channel `elsewhere`, which its contract does not have");
    assert_eq!(result(&place, &mut out).await.1, Value::from(2));
    // What can never be dealt with is said by the contract, or by the program.
    send("bad", r#"{"n": 1}"#, "\"bad\"").await;
    send("payload", r#"{"n": 1}"#, "1").await;
    send("parameters", r#"{"n": "x"}"#, "\"good\"").await;
    let dead = place.dead("mine", 3).await;
    let expected = [
        ("bad", "no such image"),
        ("parameters", "parameter `n` is `\"x\"`, which does not read as an integer"),
        ("payload", "the payload is `1`, not a string"),
    ];
    assert_eq!(dead, expected.map(|(id, reason)| (id.to_owned(), reason.to_owned())));
    send("later", r#"{"n": 1}"#, "\"later\"").await;
    service.says("cannot process it now");
    assert_eq!(result(&place, &mut out).await.1, Value::from("been"));
    service.signal(Signal::TERM);
    service.ends(0);
}

const WORKER: &str = r#"{
  "names": ["Mine"],
  "queues": ["mine"],
  "channels": { "result": { "default": true }, "failure": {} },
  "run": { "command": ["python3", "mine.py"], "mode": "worker", "prefetch": 2, "time_limit": 5, "health": 3 }
}"#;

const LOOP: &str = r#"
import json, os, sys, time

GOOD = [{"payload": 1}]
WRONG = {
    "misspelt": {"ouputs": GOOD},
    "object": {"outputs": GOOD[0]},
    "odd": {"outputs": GOOD, "result": "fialed"},
    "entry": {"outputs": GOOD + [{"chanel": "result", "payload": 1}]},
    "both": {"outputs": GOOD, "checkpoint": 1},
    "typed": {"later": "x", "after": "soon"},
}

def deal_with(message):
    payload = message["payload"]
    print("at", payload, "of", message["environment"]["ID"], file=sys.stderr, flush=True)
    if payload == "dies" and not os.path.exists("died"):
        open("died", "w").close()
        sys.exit("ran out of something")
    if payload == "hangs":
        time.sleep(100)
    if payload == "bad":
        return {"bad": "no such image"}
    if payload == "later" and not os.path.exists("been"):
        open("been", "w").close()
        return {"later": "not yet", "after": 0.1}
    if payload == "again":
        return {"checkpoint": "again, and again", "after": 0}
    if payload in WRONG:
        return WRONG[payload]
    if payload == "fails":
        return {"outputs": [{"channel": "failure", "payload": {"reason": "it is so"}}], "result": "failed", "reason": "so"}
    return {"outputs": [{"payload": [message["parameters"], message["step"]["queue"], payload]}]}

print("this is no answer", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if "ping" in message:
        if os.path.exists("deaf"):
            os.remove("deaf")
            continue
        answer = {"pong": message["ping"]}
    else:
        answer = {"id": message["id"], **deal_with(message)}
    print(json.dumps(answer), flush=True)
open("ended", "w").close()
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stays() {
    let place = site(&[("mine.json", WORKER), ("mine.py", LOOP)]).await;
    let mut out = place.subscribe("out").await;
    let mut service = place.service(&["service", "-s", "Mine"]);
    service.says("invalid answer of worker `mine.py`: this is no answer");
    let send = async |payload: &str| {
        let message = message("mine", payload, r#"{"n": 1}"#, &format!("\"{payload}\""));
        place.space.send(vec![message]).await.expect("sends");
    };
    let answer = |payload: &str| format!(r#"[{{"n":1}},"mine","{payload}"]"#);
    send("good").await;
    let line = service.says("at good of good");
    assert!(line.contains("recipe_ID"), "{line}");
    assert_eq!(result(&place, &mut out).await.1.to_json(), answer("good"));
    send("again").await;
    assert_eq!(result(&place, &mut out).await.1.to_json(), answer("again, and again"));
    send("fails").await;
    assert_eq!(reason(&result(&place, &mut out).await.1), "it is so");
    // What was meant by a word that nobody knows would be lost.
    for (payload, expected) in [
        ("misspelt", "there is no `ouputs`; did you mean `outputs`?"),
        ("object", "`outputs` is an object, not a list"),
        ("odd", "`result` is `fialed`; it can be `done` or `failed`"),
        ("entry", "output 2: there is no `chanel`; did you mean `channel`?"),
        ("both", "it has both `checkpoint` and `outputs`"),
        ("typed", "`after` is a string, not a number of seconds"),
    ] {
        send(payload).await;
        let said = reason(&result(&place, &mut out).await.1);
        assert_eq!(said, format!("the answer of worker `mine.py` cannot be used: {expected}"));
    }
    send("later").await;
    assert_eq!(result(&place, &mut out).await.1.to_json(), answer("later"));
    send("bad").await;
    assert_eq!(place.dead("mine", 1).await, [("bad".to_owned(), "no such image".to_owned())]);
    // A worker that takes too long is replaced, and so is one that dies or does not answer.
    send("hangs").await;
    assert_eq!(reason(&result(&place, &mut out).await.1), "it was stopped after 5 s");
    send("dies").await;
    service.says("worker `mine.py` ended with exit status 1: ran out of something; restarting");
    assert_eq!(result(&place, &mut out).await.1.to_json(), answer("dies"));
    place.write("services/deaf", "");
    service.says("worker `mine.py` does not answer; restarting");
    send("after all").await;
    assert_eq!(result(&place, &mut out).await.1.to_json(), answer("after all"));
    service.signal(Signal::TERM);
    service.ends(0);
    assert!(place.path("services/ended").exists());
}

/// Answers in another order than it is asked in, and waits for its like.
const CROWD: &str = r#"
import json, os, subprocess, sys, time

def answer(id, payload):
    print(json.dumps({"id": id, "outputs": [{"payload": payload}]}), flush=True)

kept = []
for line in sys.stdin:
    message = json.loads(line)
    if "ping" in message:
        print(json.dumps({"pong": message["ping"]}), flush=True)
        continue
    id, payload = message["id"], message["payload"]
    if payload == "first":
        kept.append(id)
        open("kept", "w").close()
    elif payload == "meet":
        open(f"at-{os.getpid()}", "w").close()
        while sum(name.startswith("at-") for name in os.listdir(".")) < 3:
            time.sleep(0.01)
        answer(id, payload)
    elif payload == "long":
        answer(id, "x" * (8 << 20))
    elif payload == "endless" and not os.path.exists("seen"):
        open("seen", "w").close()
        answer(id, "x" * (64 << 20))
    elif payload == "leaves":
        subprocess.Popen(["setsid", "sh", "-c", "trap '' TERM; sleep SECONDS & exec sleep SECONDS"])
        answer(id, payload)
    else:
        answer(id, payload)
        while kept:
            answer(kept.pop(), "first")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_answer_in_any_order() {
    let seconds = unique_seconds();
    let crowd = CROWD.replace("SECONDS", &seconds);
    let one = WORKER.replace("\"time_limit\": 5", "\"time_limit\": 120").replace("mine.py", "crowd.py");
    let place = site(&[("mine.json", &one), ("crowd.py", &crowd)]).await;
    let mut out = place.subscribe("out").await;
    let mut service = place.service(&["service", "-s", "Mine"]);
    let send = async |id: &str, payload: &str| {
        place.space.send(vec![message("mine", id, "{}", &format!("\"{payload}\""))]).await.expect("sends");
    };
    // The first is answered when the second has been.
    send("1", "first").await;
    wait_until("the first is asked", || place.path("services/kept").exists());
    send("2", "second").await;
    let mut pair = [result(&place, &mut out).await.0, result(&place, &mut out).await.0];
    pair.sort();
    assert_eq!(pair, ["1", "2"]);
    send("3", "long").await;
    assert_eq!(result(&place, &mut out).await.1.as_str().map(str::len), Some(8 << 20));
    send("4", "endless").await;
    service.says("worker `crowd.py` answers with a line of more than 64 MiB; restarting");
    assert_eq!(result(&place, &mut out).await, ("4".to_owned(), Value::from("endless")));
    service.signal(Signal::TERM);
    service.ends(0);
    // None of three answers before all are asked.
    let three = one.replace("\"prefetch\": 2", "\"workers\": 3");
    place.write("services/mine.json", &three);
    let service = place.service(&["service", "-s", "Mine"]);
    for id in ["5", "6", "7"] {
        send(id, "meet").await;
    }
    let mut met = Vec::new();
    for _ in 0..3 {
        met.push(result(&place, &mut out).await.0);
    }
    met.sort();
    assert_eq!(met, ["5", "6", "7"]);
    // Nothing is left of workers whose service is killed.
    send("8", "leaves").await;
    result(&place, &mut out).await;
    let left = || processes(&["sleep", &seconds]).len();
    let names = std::fs::read_dir(place.path("services"))
        .expect("reads")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let workers: Vec<String> = names.filter_map(|name| Some(format!("/proc/{}", name.strip_prefix("at-")?))).collect();
    let running = || workers.iter().filter(|process| std::path::Path::new(process).exists()).count();
    wait_until("what a worker has left runs", || left() == 2 && running() == 3);
    service.signal(Signal::KILL);
    wait_until("all are gone", || left() == 0 && running() == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_cannot_be_started_is_named() {
    let silent = WORKER.replace("python3", "no-such-program");
    let place = site(&[("mine.json", &silent)]).await;
    place.write("other.json", r#"{"names": ["Other"], "queues": ["other"]}"#);
    let mut service = place.service(&["service", "-s", "Mine"]);
    service.says("worker `no-such-program` cannot be started: No such file or directory (os error 2)");
    service.signal(Signal::TERM);
    service.ends(0);
    // The script is not what is missing.
    place.write("services/mine.py", "");
    let mut service = place.service(&["service", "-s", "Mine"]);
    service.says("worker `mine.py` cannot be started: `no-such-program`: No such file or directory (os error 2)");
    service.signal(Signal::TERM);
    service.ends(0);
    let mut service = place.service(&["service", "-s", "Other", "--contract", "other.json"]);
    service.says("the contract of service `Other` has no `run`");
    service.ends(2);
    let mut service = place.service(&["service", "-s", "Mnie"]);
    service.says("did you mean `Mine`?");
    service.ends(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_tells_at_once_that_a_worker_cannot_be_started() {
    let broken = "def begin():\n    raise RuntimeError('no licence')\nbegin()\n";
    let place = site(&[("mine.json", WORKER), ("mine.py", broken)]).await;
    place.write("recipes/mine.json", r#"{"1": {"queue": "mine"}, "start": [[1, []]]}"#);
    let mut run = place.service(&["run", "mine"]);
    let reason = "worker `mine.py` ended with exit status 1: RuntimeError: no licence";
    run.says(&format!("warning: {reason}; its output:"));
    run.says("services/mine.py\", line 2, in begin");
    run.says("next attempt in ");
    run.says(&format!("step 1 was dead-lettered: {reason}"));
    run.ends(1);
    // A service of a site waits longer: what is missing may come back, and its messages are kept until then.
    place.write("services/mine.json", &WORKER.replace("\"health\"", "\"start_limit\": 10, \"health\""));
    place.space.send(vec![message("mine", "one", "{}", "1")]).await.expect("sends");
    let mut service = place.service(&["service", "-s", "Mine"]);
    service.says("; restarting in 0.4 s");
    let line = service.says("outcome=\"retry\"");
    assert!(line.contains(reason), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_in_rust() {
    let directory = tempfile::tempdir().expect("a directory");
    let found = spot_finder::find_spots(directory.path(), "[1, 20, 3, 11]").await.expect("finds");
    assert_eq!(found.to_json(), "[1,3]");
}

/// Runs a line of a shell, with zrecipe on the path; what it prints.
async fn shell(place: &Place, line: &str) -> String {
    let zrecipe = std::path::Path::new(env!("CARGO_BIN_EXE_zrecipe"));
    let path = std::env::var("PATH").expect("a path");
    let path = format!("{}:{path}", zrecipe.parent().expect("a directory").display());
    let mut command = std::process::Command::new("sh");
    command.args(["-ec", line]).current_dir(place.path("")).env("PATH", path).env("ZRECIPE_STATE", place.path("state"));
    command.env_remove("ZOCALO_CONFIG").env_remove("ZRECIPE_CONFIG");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("ends").expect("starts");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_run() {
    let place = Place::new().await;
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/services");
    shell(&place, &format!("cp -r {examples}/. . && zrecipe check .")).await;
    place.write("data", "some data\n");
    shell(&place, "zrecipe run checksum -p file=$PWD/data -p report=$PWD/report").await;
    let report = std::fs::read_to_string(place.path("report")).expect("a report");
    let sum = shell(&place, "cksum <data | cut -d ' ' -f 1").await;
    assert_eq!(report, format!("{{\"checksum\": \"{}\"}}\n", sum.trim()));
}

const BREAKS_DOWN: &str = r#"{
  "names": ["Mine"],
  "queues": ["mine"],
  "channels": { "result": { "default": true }, "failure": {}, "timeout": {} },
  "run": { "command": ["sh", "mine.sh"], "time_limit": 1, "prefetch": 4 }
}"#;

const ANSWERS_BADLY: &str = r#"{
  "names": ["Theirs"],
  "queues": ["theirs"],
  "channels": { "result": { "default": true }, "failure": {} },
  "run": { "mode": "worker", "command": ["python3", "theirs.py"], "prefetch": 30 }
}"#;

/// Writes down the payloads in the order in which they come, and answers as they say.
const THEIRS: &str = r#"
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "ping" in asked:
        print(json.dumps({"pong": asked["ping"]}), flush=True)
        continue
    with open("order", "a") as order:
        order.write(f"{asked['payload']}\n")
    key = "outputz" if asked["payload"] == "bad" else "outputs"
    answer = {"id": asked["id"], key: [{"payload": asked["payload"]}]}
    if asked["payload"] == "gives up":
        answer = {"id": asked["id"], "result": "failed", "reason": "there is no sample"}
    print(json.dumps(answer), flush=True)
"#;

/// A message for step 1, whose failures no step takes.
fn unconnected(queue: &str, id: &str, payload: &str) -> Outgoing {
    let recipe = format!(
        r#"{{"1": {{"queue": "{queue}", "output": {{"result": 2}}}}, "2": {{"queue": "out"}}, "start": [[1, "{payload}"]]}}"#
    );
    let recipe = read_value(recipe.as_bytes()).expect("JSON");
    let message = Envelope::start(recipe, Object::new(), id).expect("starts").remove(0);
    Outgoing { id: id.to_owned(), ..message }
}

/// A failure that no step takes is no payload that may be dropped: a program that crashes, is too slow or writes what
/// cannot be used, and a worker that answers badly, get the message again until it is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breakdowns_that_no_step_takes_are_tried_again_and_dead_lettered() {
    let script = r#"
        read -r payload
        echo "$payload" >>tries
        case $payload in
            '"crash"') echo bug >&2; exit 1 ;;
            '"slow"') sleep 60 ;;
            '"mad"') echo '{"channel": "result"}' >>"$ZRECIPE_RESULTS" ;;
        esac
    "#;
    let files =
        [("mine.json", BREAKS_DOWN), ("mine.sh", script), ("theirs.json", ANSWERS_BADLY), ("theirs.py", THEIRS)];
    let place = site(&files).await;
    place.space.declare("theirs").await.expect("declares");
    for payload in ["crash", "slow", "mad"] {
        place.space.send(vec![unconnected("mine", payload, payload)]).await.expect("sends");
    }
    for payload in ["bad", "gives up"] {
        place.space.send(vec![unconnected("theirs", payload, payload)]).await.expect("sends");
    }
    let _service = place.service(&["service", "-s", "Mine", "-s", "Theirs"]);
    let tries = |file: &str, payload: &str| {
        let text = std::fs::read_to_string(place.path("services").join(file)).unwrap_or_default();
        text.lines().filter(|line| line.trim_matches('"') == payload).count()
    };
    // What a worker reports on purpose is not tried again.
    let gave_up = ("gives up".to_owned(), "there is no sample".to_owned());
    assert_eq!(place.dead("theirs", 1).await, [gave_up]);
    // Five pauses of 5 s lie between them.
    let is_over = || ["crash", "slow", "mad"].iter().all(|payload| tries("tries", payload) == 6);
    let begun = Instant::now();
    while !(is_over() && tries("order", "bad") == 6) {
        assert!(begun.elapsed() < Duration::from_secs(180), "never happened: the last tries");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let dead = place.dead("mine", 3).await;
    let expected = [
        ("crash", "`mine.sh` ended with exit status 1: bug"),
        ("mad", "line 1 of its results cannot be used: it has no `payload`"),
        ("slow", "it was stopped after 1 s"),
    ];
    for ((id, reason), (expected_id, expected_reason)) in dead.iter().zip(expected) {
        assert_eq!(id, expected_id);
        assert!(reason.contains(expected_reason), "{reason}");
    }
    let dead = place.dead("theirs", 1).await;
    assert!(dead[0].1.contains("there is no `outputz`"), "{dead:?}");
    assert_eq!(tries("order", "gives up"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_asked_in_the_order_of_delivery() {
    const COUNT: usize = 120;
    let place = site(&[("theirs.json", ANSWERS_BADLY), ("theirs.py", THEIRS)]).await;
    place.space.declare("theirs").await.expect("declares");
    let messages = (0..COUNT).map(|n| unconnected("theirs", &format!("m{n}"), &n.to_string())).collect();
    place.space.send(messages).await.expect("sends");
    let mut out = place.subscribe("out").await;
    let _service = place.service(&["service", "-s", "Theirs"]);
    for _ in 0..COUNT {
        place.take(&mut out).await;
    }
    let order = std::fs::read_to_string(place.path("services/order")).expect("reads");
    assert_eq!(order, (0..COUNT).map(|n| format!("{n}\n")).collect::<String>());
}
