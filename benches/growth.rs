//! How the cost of each command grows with its input: CPU time of the whole program for n, 4n and 16n, and the exponent
//! between the last two: 1 is linear, 2 is quadratic.
//!
//! With an argument only series whose name contains it are run. The tests hold a bounded version of this, by counted work.

#![allow(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Writes the input of a size, and says what to run.
type Series = (&'static str, usize, fn(&Path, usize) -> &'static [&'static str]);

/// A series ends with a run that takes longer.
const LONG: Duration = Duration::from_secs(10);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    println!("{:<44} {:>8} {:>9} {:>9} {:>9}  exponent", "command and input", "n", "n", "4n", "16n");
    for (name, size, write) in SERIES {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        let mut times: Vec<Duration> = Vec::new();
        for factor in [1, 4, 16] {
            let place = tempfile::tempdir().expect("there is room");
            let arguments = write(place.path(), size * factor);
            let best = (0..2).map(|_| cpu(place.path(), arguments)).min().unwrap_or_default();
            times.push(best);
            if best > LONG {
                break;
            }
        }
        let shown: Vec<String> = times.iter().map(|time| format!("{:>7.2} s", time.as_secs_f64())).collect();
        let exponent = match times.as_slice() {
            // So little is the start of a process, and the clock is no finer.
            [.., before, last] if last.as_millis() >= 50 => {
                let ratio = last.as_secs_f64() / before.as_secs_f64().max(0.01);
                format!("{:.2}", ratio.log(4.0))
            }
            _ => "-".to_owned(),
        };
        println!("{name:<44} {size:>8} {}  {exponent}", shown.join(" "));
    }
}

/// CPU time of one run; where the system does not tell, the time that it takes.
fn cpu(place: &Path, arguments: &[&str]) -> Duration {
    let (before, begun) = (of_children(), Instant::now());
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.args(arguments).current_dir(place).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().expect("the program runs");
    assert!(status.code().is_some_and(|code| code < 100), "{arguments:?} ends with {status}");
    match (before, of_children()) {
        (Some(before), Some(after)) => after - before,
        _ => begun.elapsed(),
    }
}

/// CPU time of all processes that this one has waited for.
fn of_children() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name of the program: user and system time of children are the fourteenth and fifteenth field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(13..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(10 * ticks))
}

fn write(place: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = place.join(name);
    fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
    fs::write(path, text).expect("can be written");
}

fn each(count: usize, item: impl FnMut(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

/// A recipe of one step with these parameters.
fn one_step(parameters: &str) -> String {
    format!(r#"{{"1": {{"queue": "c", "parameters": {{{parameters}}}}}, "start": [[1, []]]}}"#)
}

fn chain(steps: usize, name: &str) -> String {
    let mut text = String::from("{");
    for step in 1..=steps {
        let output = if step < steps { format!("\"output\": {}, ", step + 1) } else { String::new() };
        let _ = write!(
            text,
            "\"{step}\": {{{output}\"queue\": \"q{step}\", \"parameters\": {{\"x\": \"{{{name}{step}}}\"}}}}, "
        );
    }
    text + "\"start\": [[1, []]]}"
}

fn contract(place: &Path, properties: &str, more: &str) {
    write(place, "zrecipe.toml", "contracts = [\"c.json\"]\n");
    let text = format!(
        r#"{{"names": ["C"], "queues": ["c"], "parameters": {{"type": "object", "properties": {{{properties}}}, "additionalProperties": false}}{more}}}"#
    );
    write(place, "c.json", text);
}

/// Small recipes, each in a file of its own.
fn recipes(place: &Path, count: usize) {
    for number in 0..count {
        write(place, &format!("r/{number}.json"), r#"{"1": {"queue": "q"}, "start": [[1, []]]}"#);
    }
}

fn site(place: &Path, count: usize, environments: fn(usize) -> String) {
    let mut text = "version: 1\nenvironments:\n".to_owned();
    (0..count).for_each(|number| text.push_str(&environments(number)));
    for number in 0..count {
        let _ = writeln!(text, "b{number}: {{plugin: pika, host: h, port: 5672, username: z, password: p, vhost: z}}");
    }
    write(place, "s.yml", text);
}

fn broker(place: &Path, queues: usize, policies: usize, bindings: usize) {
    let names = each(queues, |number| format!("\"queue.{number}\""));
    let policies = each(policies, |number| {
        format!(r#"{{"name": "p{number}", "vhost": "z", "pattern": "^queue\\.{number}$", "definition": {{}}}}"#)
    });
    let bindings =
        each(bindings, |number| format!(r#"{{"source": "results", "destination": "quxue.{number}", "vhost": "z"}}"#));
    let text = format!(
        r#"{{"policies": [{policies}], "bindings": [{bindings}], "groups": [{{"names": [{names}], "vhost": "z"}}],
        "exchanges": [{{"name": "results", "vhost": "z", "type": "topic", "durable": true}}]}}"#
    );
    write(place, "b.json", text);
}

/// A Python service that reads these keys.
fn service(number: usize, keys: usize) -> String {
    let mut text = format!(
        "from workflows.services.common_service import CommonService\nimport workflows.recipe\n\n\nclass \
         S{number}(CommonService):\n    _service_name = \"S{number}\"\n\n    def initializing(self):\n        \
         workflows.recipe.wrap_subscribe(self._transport, \"queue.{number}\", self.go, acknowledgement=True)\n\n    \
         def go(self, rw, header, message):\n        p = rw.recipe_step[\"parameters\"]\n"
    );
    (0..keys).for_each(|key| _ = writeln!(text, "        x{key} = p[\"k{key}\"]"));
    text + "        rw.send_to(\"out\", {\"x\": x0})\n"
}

const SERIES: &[Series] = &[
    ("check: recipes", 1_000, |place, n| {
        recipes(place, n);
        &["check", "r"]
    }),
    ("check: one recipe beside n others", 1_000, |place, n| {
        write(place, "zrecipe.toml", "recipe-directories = [\"r\"]\n");
        recipes(place, n);
        &["check", "r/0.json"]
    }),
    ("check: recipes with a contract each", 250, |place, n| {
        write(place, "zrecipe.toml", "contracts = [\"c/*.json\"]\n");
        for number in 0..n {
            let text =
                format!(r#"{{"names": ["C{number}"], "queues": ["q{number}"], "parameters": {{"type": "object"}}}}"#);
            write(place, &format!("c/{number}.json"), text);
            write(
                place,
                &format!("r/{number}.json"),
                format!(r#"{{"1": {{"queue": "q{number}"}}, "start": [[1, []]]}}"#),
            );
        }
        &["check", "r"]
    }),
    ("check: steps", 2_000, |place, n| {
        write(place, "r.json", chain(n, "x"));
        &["check", "r.json"]
    }),
    ("check: suppressions of files", 200, |place, n| {
        let text = |number| format!("[[suppress]]\npath = \"r/{number}.json\"\nrule = \"cycle\"\n");
        write(place, "zrecipe.toml", (0..n).map(text).collect::<String>());
        recipes(place, n);
        &["check", "r"]
    }),
    ("check: suppressions by patterns", 50, |place, n| {
        let text = |number| format!("[[suppress]]\npath = \"r/*{number}.json\"\nrule = \"cycle\"\n");
        write(place, "zrecipe.toml", (0..n).map(text).collect::<String>());
        recipes(place, n);
        &["check", "r"]
    }),
    ("check: overrides", 200, |place, n| {
        let text = |number| format!("[[overrides]]\npaths = [\"r/{number}.json\"]\nrules = {{ cycle = \"allow\" }}\n");
        write(place, "zrecipe.toml", (0..n).map(text).collect::<String>());
        recipes(place, n);
        &["check", "r"]
    }),
    ("check: suppressions in comments", 1_000, |place, n| {
        let step = |number| {
            format!(
                "\"{number}\": [\"zrecipe: allow(unknown-step)\"], \"{number}\": {{\"queue\": \"q\", \"output\": 999999}}"
            )
        };
        write(place, "r.json", format!("{{{}, \"start\": [[0, []]]}}", each(n, step)));
        &["check", "r.json"]
    }),
    ("check: suppressions in YAML", 500, |place, n| {
        let step = |number| format!("# zrecipe: allow(unknown-step)\n\"{number}\": {{queue: q, output: 999999}}\n");
        write(place, "r.yml", (0..n).map(step).collect::<String>() + "start: [[0, []]]\n");
        &["check", "r.yml"]
    }),
    ("check: suppressions by pointers", 500, |place, n| {
        let text = |number| format!("[[suppress]]\npath = \"r.json\"\nrule = \"cycle\"\npointer = \"/{number}\"\n");
        write(place, "zrecipe.toml", (1..=n).map(text).collect::<String>());
        write(place, "r.json", chain(n, "x"));
        &["check", "r.json"]
    }),
    ("check: contract, constants", 1_000, |place, n| {
        contract(place, &each(n, |number| format!(r#""p{number}": {{"type": "string"}}"#)), "");
        write(place, "r.json", one_step(&each(n, |number| format!("\"p{number}\": \"x\""))));
        &["check", "r.json"]
    }),
    ("check: contract, placeholders", 1_000, |place, n| {
        contract(place, &each(n, |number| format!(r#""p{number}": {{"type": "string"}}"#)), "");
        write(place, "r.json", one_step(&each(n, |number| format!("\"p{number}\": \"{{x{number}}}\""))));
        &["check", "r.json"]
    }),
    ("check: contract, wrong types", 1_000, |place, n| {
        contract(place, &each(n, |number| format!(r#""p{number}": {{"type": "string"}}"#)), "");
        write(place, "r.json", one_step(&each(n, |number| format!("\"p{number}\": 5"))));
        &["check", "r.json"]
    }),
    ("check: contract, unknown parameters", 250, |place, n| {
        contract(place, &each(n, |number| format!(r#""known{number}": {{"type": "string"}}"#)), "");
        write(place, "r.json", one_step(&each(n, |number| format!("\"other{number}\": 5"))));
        &["check", "r.json"]
    }),
    ("check: contract, unknown channels", 500, |place, n| {
        let channels = each(n, |number| format!(r#""known{number}": {{"fires": "sometimes"}}"#));
        contract(place, "", &format!(r#", "channels": {{{channels}}}"#));
        let output = each(n, |number| format!("\"other{number}\": 2"));
        let steps = format!(r#""1": {{"queue": "c", "output": {{{output}}}}}, "2": {{"queue": "d"}}"#);
        write(place, "r.json", format!("{{{steps}, \"start\": [[1, []]]}}"));
        &["check", "r.json"]
    }),
    ("check: site, blocks and environments", 500, |place, n| {
        site(place, n, |number| format!("  e{number}: {{plugins: [b{number}]}}\n"));
        &["check", "s.yml"]
    }),
    ("check: site, unknown blocks", 500, |place, n| {
        site(place, n, |number| format!("  e{number}: {{plugins: [other{number}]}}\n"));
        &["check", "s.yml"]
    }),
    ("check: site, unused blocks", 500, |place, n| {
        site(place, n, |number| if number == 0 { "  e: {plugins: [b0]}\n".to_owned() } else { String::new() });
        &["check", "s.yml"]
    }),
    ("check: broker, policies and queues", 100, |place, n| {
        broker(place, n, n, 0);
        &["check", "b.json"]
    }),
    ("check: broker, undeclared queues", 300, |place, n| {
        broker(place, n, 0, n);
        &["check", "b.json"]
    }),
    ("check: broker, recipes with undeclared queues", 250, |place, n| {
        broker(place, n, 0, 0);
        write(place, "zrecipe.toml", "broker = [\"b.json\"]\n");
        for number in 0..n {
            write(
                place,
                &format!("r/{number}.json"),
                format!(r#"{{"1": {{"queue": "quxue.{number}"}}, "start": [[1, []]]}}"#),
            );
        }
        &["check", "r"]
    }),
    ("check: given parameters", 500, |place, n| {
        write(place, "p.json", format!("{{{}}}", each(n, |number| format!("\"name{number}\": 1"))));
        write(place, "r.json", one_step(&each(n, |number| format!("\"p{number}\": \"{{other{number}}}\""))));
        &["check", "--params", "p.json", "r.json"]
    }),
    ("params: parameters", 2_000, |place, n| {
        write(place, "r.json", one_step(&each(n, |number| format!("\"p{number}\": \"{{x{number}}}\""))));
        &["params", "r.json"]
    }),
    ("params: placeholders in one string", 2_000, |place, n| {
        let text = (0..n).map(|number| format!("{{x{number}}} ")).collect::<String>();
        write(place, "r.json", one_step(&format!("\"s\": \"{text}\"")));
        &["params", "r.json"]
    }),
    ("graph: steps, mermaid", 2_000, |place, n| {
        write(place, "r.json", chain(n, "x"));
        &["graph", "r.json"]
    }),
    ("graph: steps, svg", 500, |place, n| {
        write(place, "r.json", chain(n, "x"));
        &["graph", "--format", "svg", "r.json"]
    }),
    ("expand: steps", 2_000, |place, n| {
        write(place, "r.json", chain(n, "x"));
        &["expand", "r.json"]
    }),
    ("fmt: steps", 2_000, |place, n| {
        write(place, "r.json", chain(n, "x"));
        &["fmt", "--diff", "r.json"]
    }),
    ("fmt: new numbers", 2_000, |place, n| {
        write(place, "r.json", chain(n, "x"));
        &["fmt", "--renumber", "--check", "r.json"]
    }),
    ("diff: steps", 1_000, |place, n| {
        write(place, "a.json", chain(n, "x"));
        write(place, "b.json", chain(n, "y"));
        &["diff", "a.json", "b.json"]
    }),
    ("diff: recipes and what starts them", 100, |place, n| {
        for number in 0..n {
            write(place, &format!("a/r{number}.json"), chain(2, "x"));
            write(place, &format!("b/r{number}.json"), chain(2, "y"));
            write(
                place,
                &format!("b/s{number}.py"),
                format!("sent = {{\"recipes\": [\"r{number}\"], \"parameters\": {{}}}}\n"),
            );
        }
        &["diff", "a", "b"]
    }),
    ("contract extract: services", 100, |place, n| {
        (0..n).for_each(|number| write(place, &format!("p/s{number}.py"), service(number, 3)));
        &["contract", "extract", "p"]
    }),
    ("contract extract: reads of one service", 250, |place, n| {
        write(place, "p/s.py", service(0, n));
        &["contract", "extract", "p"]
    }),
    ("config show: blocks", 500, |place, n| {
        write(place, "zrecipe.toml", "site = \"s.yml\"\n");
        let blocks: String =
            (0..n).map(|number| format!("b{number}: {{plugin: storage, zocalo.s{number}: /a}}\n")).collect();
        let names = each(n, |number| format!("b{number}"));
        write(place, "s.yml", format!("version: 1\nenvironments:\n  default: {{plugins: [{names}]}}\n{blocks}"));
        &["config", "show"]
    }),
];
