//! A bounded run of every fuzz target: mutated inputs from a seeded generator.
//!
//! `ZRECIPE_FUZZ=<target>:<seed> cargo test --test it fuzz` runs one input again and prints it; `ZRECIPE_FUZZ_RUNS`
//! is the number of inputs of each target.

#[path = "../../fuzz/src/targets.rs"]
mod targets;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Target = fn(&[u8]);

/// Texts that mutations start from.
const SEEDS: &[&str] = &[
    r#"{"1": {"queue": "images", "parameters": {"x": "{x:>5}", "y": ["{$REPLACE:o[a]}", 1.5e3, null]}, "output": {"a": [2]}}, "2": {"queue": "b"}, "start": [[1, []]]}"#,
    "\u{feff}version: 1\nbroker: {plugin: pika, password: abc,def, vhost: /}\nother: &a\n  - |\n    text\n  - *a\n  - !!int 5\nenvironments: {live: [broker]}\n",
    "{o[a][0]!r:>{x}} {{literal}} {$REPLACE:list[0]} {f:+.3e}",
    r#"{"payload": {"a": 1}, "recipe": {"1": {"queue": "a"}, "start": [[1, []]]}, "recipe-pointer": 1, "recipe-path": [], "environment": {"ID": "x"}}"#,
    r#"{"recipes": ["a"], "parameters": {"ispyb_dcid": 1, "guid": "x"}, "custom_recipe": {"1": {}}}"#,
    "mysql -u me -psecret; curl -H 'Authorization: Bearer abc123' https://me:pw@host/?sig=abc -----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- é😀",
    "Content-Length: 46\r\n\r\n{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"shutdown\"}",
    "SEND\ndestination:/queue/a\\cb\ncontent-length:3\n\na\0b\0\n\r\nMESSAGE\r\nk:v\r\n\r\nbody\0CONNECTED\nversion:1.2\n\n\0",
    "[a.b]\nx = \"\\u00e9\"\ntoken = 'y' # c\n[[c]]\nd = 1979-05-27T07:32:00Z\n",
];

/// Pieces that parsers trip over.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "\u{feff}", "\u{feff}\u{feff}!", "{", "}", "[", "]", "{{", "}}", "!", "!!", "&a ", "*a", "#", "\\", "\"", "'", ":", ",", "\n",
    "\r\n", "\t", "\0", "- ", "? ", "| ", ">-\n", "%", "---\n", "...\n", "<<: ", "\\ud800", "\\u0000", "é", "😀", "\u{2028}",
    "1e999", "-0", "NaN", "99999999999999999999", "{x}", "{x[0]}", "[٣]", ":>1000000", "$REPLACE:", "password: ", "token=", "0x",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// The input of a seed.
fn input(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
    if random.below(4) == 0 {
        bytes.truncate(random.below(12));
    }
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 | 1 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].bytes())),
            2 => drop(bytes.splice(0..0, PIECES[random.below(PIECES.len())].bytes())),
            3 => {
                let end = (at + random.below(8)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 if at < bytes.len() => bytes[at] = random.next() as u8,
            _ => {
                let end = (at + random.below(20)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}

fn run(name: &str, target: Target) {
    if let Ok(again) = std::env::var("ZRECIPE_FUZZ") {
        if let Some(seed) = again.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) {
            let bytes = input(seed.parse().expect("a seed is a number"));
            let _ = writeln!(std::io::stdout(), "{:?}", String::from_utf8_lossy(&bytes));
            target(&bytes);
        }
        return;
    }
    let runs = std::env::var("ZRECIPE_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(100_000);
    let failed: Vec<String> = (0..runs)
        .filter(|&seed| catch_unwind(AssertUnwindSafe(|| target(&input(seed)))).is_err())
        .take(5)
        .map(|seed| format!("ZRECIPE_FUZZ={name}:{seed} cargo test --test it fuzz::{name}"))
        .collect();
    assert!(failed.is_empty(), "inputs that make it panic:\n{}", failed.join("\n"));
}

#[test]
fn json() {
    run("json", targets::json);
}

#[test]
fn yaml() {
    run("yaml", targets::yaml);
}

#[test]
fn template() {
    run("template", targets::template);
}

#[test]
fn expand() {
    run("expand", targets::expand);
}

#[test]
fn message() {
    run("message", targets::message);
}

#[test]
fn headers() {
    run("headers", targets::headers);
}

#[test]
fn secret() {
    run("secret", targets::secret);
}

#[test]
fn stomp() {
    run("stomp", targets::stomp);
}

#[test]
fn lsp() {
    run("lsp", targets::lsp);
}
