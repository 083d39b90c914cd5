//! How long checking takes, against reading the same bytes into `serde_json::Value` in the same run.
//!
//! Prints ratios: below 1 means that checking is faster than bare reading.

#![allow(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// Real recipes where there are some, else the bundled ones, repeated.
fn library(count: usize) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["../shared/corpus/recipes/cryoem", "../shared/corpus/recipes/examples", "recipes"] {
        let Ok(files) = std::fs::read_dir(root.join(folder)) else { continue };
        let files = files.filter_map(|file| std::fs::read(file.ok()?.path()).ok());
        found.extend(files);
        if found.len() > 5 && folder != "../shared/corpus/recipes/cryoem" {
            break;
        }
    }
    found.into_iter().cycle().take(count).collect()
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
