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
    "contracts = [\"c/*.json\"]\n[rules]\nwrong-queue = \"allow\"\n[[overrides]]\nfiles = [\"a/**\"]\n[parameters]\ndcid = { type = \"integer\" }\n",
    "vhosts: [{name: z}]\npolicies: [{name: p, vhost: z, pattern: '^a(b|c)', definition: {delivery-limit: 5}}]\nexchanges: []\ngroups:\n- {names: [a, b], vhost: z, settings: {queues: {type: quorum, dead-letter-routing-key-pattern: 'dlq.{name}'}}}\n",
    r#"{"names": ["A"], "queues": ["a.*"], "input": ["payload", "parameters"], "parameters": {"type": "object", "required": ["x"], "properties": {"x": {"type": ["string", "null"], "pattern": "^a+$", "format": "date"}}}, "channels": {"out": {"default": true}}, "variants": [{"by": "x", "cases": {"b": {}}}]}"#,
    "[rabbitmq]\nusername = me\npassword = a%b\ntags = administrator\n; comment\n",
];

/// Python that states what a service wants.
const PYTHON: &[&str] = &[
    "from workflows.services.common_service import CommonService\nimport workflows.recipe\n\nclass A(CommonService):\n    _service_name = 'A'\n\n    def initializing(self):\n        workflows.recipe.wrap_subscribe(self._transport, 'a', self.take, acknowledgement=True)\n\n    def take(self, rw, header, message):\n        p = rw.recipe_step['parameters']\n        if not isinstance(message, dict) or 'file' not in message:\n            self._transport.nack(header)\n            return\n        for key in ('x', 'y'):\n            p.get(key, 1)\n        rw.send_to('out', {'file': message['file'], 'n': int(p['n'])})\n",
    "import pydantic\nfrom typing import Literal, Optional\n\nclass M(pydantic.BaseModel):\n    a: int = pydantic.Field(gt=0)\n    b: Optional[Literal['x', 'y']] = None\n\n    @pydantic.field_validator('a', mode='before')\n    @classmethod\n    def parse(cls, v):\n        return v\n\nclass W(zocalo.wrapper.BaseWrapper):\n    def run(self):\n        m = M(**self.recwrap.recipe_step['job_parameters'])\n        self.recwrap.send_to('done', {'recipes': ['r'], 'parameters': {'ispyb_dcid': m.a}})\n",
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
fn input(name: &str, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let texts = if name == "python" { PYTHON } else { SEEDS };
    let mut bytes = texts[random.below(texts.len())].as_bytes().to_vec();
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
    /// How many inputs, if `ZRECIPE_FUZZ_RUNS` does not say it.
    const RUNS: u64 = 100_000;
    if let Ok(again) = std::env::var("ZRECIPE_FUZZ") {
        if let Some(seed) = again.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) {
            let bytes = input(name, seed.parse().expect("a seed is a number"));
            let _ = writeln!(std::io::stdout(), "{:?}", String::from_utf8_lossy(&bytes));
            target(&bytes);
        }
        return;
    }
    let runs = std::env::var("ZRECIPE_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let failed: Vec<String> = (0..runs)
        .filter(|&seed| catch_unwind(AssertUnwindSafe(|| target(&input(name, seed)))).is_err())
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
fn document() {
    run("document", targets::document);
}

#[test]
fn python() {
    run("python", targets::python);
}

#[test]
fn lsp() {
    run("lsp", targets::lsp);
}
