//! How long checking takes, against reading the same bytes into `serde_json::Value` in the same run.
//!
//! Prints ratios: below 1 means that checking is faster than bare reading. The last ones are of the program itself, cold:
//! ten thousand recipes in files, under fifty contracts, and how much memory that takes; one small recipe; and a long
//! site configuration.

#![allow(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zrecipe::compile::{Options, compile};
use zrecipe::source::Source;

fn main() {
    let recipes = library(1000);
    // With any argument but those of cargo only the first comparison is made, for profiling.
    let profiling = std::env::args().skip(1).any(|argument| argument != "--bench");
    let bytes: usize = recipes.iter().map(Vec::len).sum();
    compare(&format!("{} recipes, {bytes} bytes", recipes.len()), &recipes);
    if profiling {
        return;
    }
    let large = vec![large(50 << 20)];
    compare(&format!("one recipe, {} bytes", large[0].len()), &large);
    let layers = vec![layered(10_000)];
    compare(&format!("10,000 layers of two steps, {} bytes", layers[0].len()), &layers);
    let chain = vec![chain(100_000)];
    compare(&format!("a chain of 100,000 steps, {} bytes", chain[0].len()), &chain);
    project(10_000, 50);
    small();
}

/// The best of several times of checking over the best of several times of reading.
fn compare(what: &str, recipes: &[Vec<u8>]) {
    let (mut checking, mut reading) = (Duration::MAX, Duration::MAX);
    let mut findings = 0;
    for _ in 0..7 {
        reading = reading.min(time(|| {
            for recipe in recipes {
                let value: serde_json::Value = serde_json::from_slice(recipe).expect("recipes are JSON");
                std::hint::black_box(value);
            }
        }));
        findings = 0;
        let copies = recipes.to_vec();
        checking = checking.min(time(|| {
            for recipe in copies {
                let source = Source::from_bytes("recipe.json", recipe);
                findings += compile(Arc::new(source), Options::default()).diagnostics.len();
            }
        }));
    }
    let ratio = checking.as_secs_f64() / reading.as_secs_f64();
    println!("{what}: check {checking:.1?}, serde_json {reading:.1?}, ratio {ratio:.2} ({findings} findings)");
}

fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// The recipes of a facility in the tests, repeated.
fn library(count: usize) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/facility/recipes");
    let mut paths = Vec::new();
    for folder in ["microscopy", "first-steps"] {
        let files = fs::read_dir(root.join(folder)).expect("the recipes are in the tree");
        paths.extend(files.map(|file| file.expect("can be read").path()));
    }
    // Directories are listed in any order; figures are of one.
    paths.sort();
    let texts: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).expect("can be read")).collect();
    texts.into_iter().cycle().take(count).collect()
}

fn large(bytes: usize) -> Vec<u8> {
    let mut text = String::from("{\n");
    let mut step = 1;
    while text.len() < bytes {
        text.push_str(&format!(
            "  \"{step}\": {{\n    \"service\": \"Service {step}\",\n    \"queue\": \"queue.{}\",\n    \"parameters\": {{\n      \
             \"file\": \"/data/{{visit}}/{step}.h5\",\n      \"threshold\": 0.25,\n      \"size\": [4148, 4362]\n    }},\n    \
             \"output\": {}\n  }},\n",
            step % 50,
            step + 1
        ));
        step += 1;
    }
    text.push_str(&format!("  \"{step}\": {{\"queue\": \"last\"}},\n  \"start\": [[1, []]]\n}}\n"));
    text.into_bytes()
}

fn layered(layers: usize) -> Vec<u8> {
    let mut text = String::from("{");
    for layer in 0..layers {
        for side in 1..=2 {
            let step = 2 * layer + side;
            let next = 2 * (layer + 1);
            if layer + 1 < layers {
                text.push_str(&format!("\"{step}\":{{\"queue\":\"q\",\"output\":[{},{}]}},", next + 1, next + 2));
            } else {
                text.push_str(&format!("\"{step}\":{{\"queue\":\"q\"}},"));
            }
        }
    }
    text.push_str("\"start\":[[1,[]],[2,[]]]}");
    text.into_bytes()
}

fn chain(steps: usize) -> Vec<u8> {
    let mut text = String::from("{");
    for step in 1..steps {
        text.push_str(&format!("\"{step}\":{{\"queue\":\"q\",\"output\":{}}},", step + 1));
    }
    text.push_str(&format!("\"{steps}\":{{\"queue\":\"q\"}},\"start\":[[1,[]]]}}"));
    text.into_bytes()
}

/// The program over a directory of recipes: the best of several times over that of reading the same bytes, which are
/// in memory, and the most memory that it has had.
fn project(recipes: usize, contracts: usize) {
    let place = tempfile::tempdir().expect("there is room");
    let texts = write_project(place.path(), recipes, contracts);
    let bytes: usize = texts.iter().map(String::len).sum();
    let files: Vec<_> = (0..recipes).map(|number| place.path().join(recipe_path(number))).collect();
    let (mut checking, mut reading, mut opening) = (Duration::MAX, Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        opening = opening.min(time(|| {
            for file in &files {
                let bytes = fs::read(file).expect("is there");
                std::hint::black_box(serde_json::from_slice::<Value>(&bytes).expect("recipes are JSON"));
            }
        }));
        reading = reading.min(time(|| {
            for text in &texts {
                std::hint::black_box(serde_json::from_slice::<Value>(text.as_bytes()).expect("recipes are JSON"));
            }
        }));
        checking = checking.min(time(|| {
            let status = zrecipe(place.path(), &["check", "recipes"]).status().expect("the program runs");
            assert_eq!(status.code(), Some(0), "nothing is wrong with them");
        }));
    }
    let ratio = |other: Duration| checking.as_secs_f64() / other.as_secs_f64();
    let memory = peak_memory(place.path()) >> 10;
    println!(
        "zrecipe check of {recipes} files, {bytes} bytes, {contracts} contracts: {checking:.1?}, peak memory {memory} MB\n  \
         one core, serde_json of the bytes in memory: {reading:.1?}, ratio {:.2}\n  \
         one core, opening the files, too:            {opening:.1?}, ratio {:.2}",
        ratio(reading),
        ratio(opening)
    );
}

/// How much longer the program takes for one file than to say its version.
fn small() {
    let place = tempfile::tempdir().expect("there is room");
    fs::write(place.path().join("recipe.json"), &library(1)[0]).expect("can be written");
    let site = site(5000);
    fs::write(place.path().join("site.yml"), &site).expect("can be written");
    let run = |arguments: &[&str]| {
        let once = || time(|| assert!(zrecipe(place.path(), arguments).status().expect("the program runs").success()));
        (0..30).map(|_| once()).min().unwrap_or_default()
    };
    let start = run(&["--version"]);
    println!("zrecipe --version: {start:.1?}");
    let lines = site.lines().count();
    for (what, file) in [("one recipe".to_owned(), "recipe.json"), (format!("a site of {lines} lines"), "site.yml")] {
        let checking = run(&["check", file]);
        println!("zrecipe check of {what}: {checking:.1?}, {:.1?} more", checking.saturating_sub(start));
    }
}

/// A site configuration with a block and an environment for every ten lines.
fn site(lines: usize) -> String {
    let (mut environments, mut blocks) = (String::new(), String::new());
    for number in 0..lines / 10 {
        environments.push_str(&format!("  beamline-{number}:\n    plugins:\n    - broker-{number}\n"));
        blocks.push_str(&format!(
            "broker-{number}:\n  plugin: pika\n  host: broker{number}.example\n  port: 5672\n  username: zocalo\n  \
             password: \"{number:08}\"\n  vhost: zocalo\n"
        ));
    }
    format!("version: 1\nenvironments:\n{environments}  default: beamline-0\n{blocks}")
}

fn zrecipe(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.args(arguments).current_dir(place).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn recipe_path(number: usize) -> String {
    format!("recipes/recipe-{number:05}.json")
}

/// In kilobytes; 0 where the system does not tell.
fn peak_memory(place: &Path) -> usize {
    let mut child = zrecipe(place, &["check", "recipes"]).spawn().expect("the program runs");
    let mut most = 0;
    while child.try_wait().expect("it is a child").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        most = most.max(peak.unwrap_or_default());
    }
    most
}

/// Recipes of a site with several groups, each of which has its own queues and parameters, and their contracts.
fn write_project(place: &Path, recipes: usize, contracts: usize) -> Vec<String> {
    const GROUPS: usize = 4;
    let read = |text: Vec<u8>| serde_json::from_slice::<Value>(&text).expect("recipes are JSON");
    let originals: Vec<Value> = library(20).into_iter().map(read).collect();
    fs::create_dir_all(place.join("recipes")).expect("can be made");
    fs::create_dir_all(place.join("contracts")).expect("can be made");
    fs::write(place.join("zrecipe.toml"), "contracts = [\"contracts/*.json\"]\n").expect("can be written");
    let mut promised = BTreeMap::new();
    let mut texts = Vec::new();
    for number in 0..recipes {
        let mut recipe = originals[number % originals.len()].clone();
        let group = number / originals.len() % GROUPS;
        for step in recipe.as_object_mut().into_iter().flat_map(|recipe| recipe.values_mut()) {
            let Some(queue) = step.get("queue").and_then(Value::as_str) else { continue };
            if queue.contains('{') {
                continue;
            }
            let queue = format!("{queue}.group{group}");
            step["queue"] = json!(queue);
            if let Some(parameters) = step.get_mut("parameters").and_then(Value::as_object_mut) {
                parameters.insert("label".to_owned(), json!(format!("run {number} of {{ispyb_dcid}}")));
                parameters.insert("threshold".to_owned(), json!(number as f64 / 7.0));
            }
            let channels =
                step.get("output").and_then(Value::as_object).into_iter().flat_map(|all| all.keys().cloned());
            let parameters = step.get("parameters").and_then(Value::as_object).into_iter().flatten();
            let (known, sent): &mut (BTreeMap<String, BTreeSet<&str>>, BTreeSet<String>) =
                promised.entry(queue).or_default();
            sent.extend(channels);
            for (name, value) in parameters {
                known.entry(name.clone()).or_default().insert(match value {
                    Value::Number(_) => "number",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                    Value::Bool(_) => "boolean",
                    _ => "string",
                });
            }
        }
        let text = format!("{recipe:#}\n");
        fs::write(place.join(recipe_path(number)), &text).expect("can be written");
        texts.push(text);
    }
    for (number, (queue, (parameters, channels))) in promised.into_iter().take(contracts).enumerate() {
        let parameters: Value = parameters.into_iter().map(|(name, types)| (name, json!({ "type": types }))).collect();
        let payload = json!({ "type": "object", "properties": { "file": { "type": "string", "minLength": 1 } } });
        let channels: Value =
            channels.into_iter().map(|name| (name, json!({ "fires": "sometimes", "payload": payload }))).collect();
        let contract = json!({
            "names": [format!("Service {number}")], "queues": [queue], "payload": payload,
            "parameters": { "type": "object", "properties": parameters, "additionalProperties": false },
            "channels": channels, "other_channels": true,
        });
        fs::write(place.join(format!("contracts/{number}.json")), format!("{contract:#}\n")).expect("can be written");
    }
    texts
}
