//! How the work of a command grows with its input: four times the input may take no more than six times the work. Work is
//! counted, as nodes that are looked at, allocations and bytes of these, so that a slow machine changes nothing.
//!
//! `cargo bench --bench growth` times the program itself on more and larger inputs.

use std::fmt::Write as _;
use std::sync::Arc;

use lsp_server::{Connection, Message, Notification, Request};
use serde_json::json;
use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::contract::{BuiltIn, Contract, Contracts};
use zrecipe::document::DocumentKind;
use zrecipe::draw::FORMATS;
use zrecipe::fix::{Which, fix};
use zrecipe::project::Given;
use zrecipe::python::File;
use zrecipe::source::Source;
use zrecipe::suppress::Pointed;
use zrecipe::syntax::json::read_value;
use zrecipe::value::{Object, Value};
use zrecipe::{bind, change, diff, evidence, format, infer, lsp, names, python, work};

/// A kind of input, by its size, and what is done with it.
type Series = (&'static str, usize, fn(usize) -> Box<dyn FnOnce()>);

/// What work may cost where the input is four times as large.
const MAX_FACTOR: f64 = 6.0;

/// Series that still grow faster, the reason, and what each may cost where the input is four times as large.
const STEEP: &[(&str, f64)] = &[
    // The type of a parameter has a member for each subscript, and each use copies it: uses would have to be met in place.
    ("params, one parameter with many subscripts", 16.0),
    // A name is compared with all names of the other recipes, up to 20,000: an index of similar names would be needed.
    ("evidence", 8.0),
    // The cause is not known. Other threads do a part of the work, which is not counted.
    ("lsp, completion and hover", 16.0),
    ("lsp, symbols and tokens", 12.0),
];

/// So little of anything does not matter.
const MIN: [u64; 3] = [2_000, 500, 200_000];

const COUNTED: [&str; 3] = ["nodes looked at", "allocations", "bytes allocated"];

fn measure(work: Box<dyn FnOnce()>) -> [u64; 3] {
    let mut looks = 0;
    let allocated = allocation_counter::measure(|| looks = work::counted(work).0);
    [looks, allocated.count_total, allocated.bytes_total]
}

fn source(name: &str, text: String) -> Arc<Source> {
    Arc::new(Source::from_text(name, text))
}

fn check(name: &str, text: String) -> Compilation {
    compile(source(name, text), Options::default())
}

fn each(count: usize, item: impl FnMut(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

/// A recipe of a chain of steps, of which each has a placeholder of its own.
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

/// A recipe of one step with these parameters.
fn one_step(parameters: &str) -> String {
    format!(r#"{{"1": {{"queue": "c", "parameters": {{{parameters}}}}}, "start": [[1, []]]}}"#)
}

fn contracts(parameters: &str, more: &str) -> Contracts {
    let text = format!(
        r#"{{"names": ["C"], "queues": ["c"], "parameters": {{"type": "object", "properties": {{{parameters}}}, "additionalProperties": false}}{more}}}"#
    );
    Contracts::assemble([Arc::new(Contract::parse("c.json", &text).expect("is a contract"))], BuiltIn::Off)
}

/// A recipe with one step checked under a contract, whose parameters are all text.
fn under(count: usize, name: &str, parameter: fn(usize) -> String) -> Box<dyn FnOnce()> {
    let contracts = contracts(&each(count, |place| format!(r#""{name}{place}": {{"type": "string"}}"#)), "");
    let text = one_step(&each(count, parameter));
    Box::new(move || {
        let options = Options { contracts: &contracts, ..Options::default() };
        drop(compile(source("r.json", text), options));
    })
}

fn site(count: usize, environments: fn(usize) -> String) -> String {
    let mut text = "version: 1\nenvironments:\n".to_owned();
    (0..count).for_each(|place| text.push_str(&environments(place)));
    for place in 0..count {
        let _ = writeln!(text, "b{place}: {{plugin: pika, host: h, port: 5672, username: z, password: p, vhost: z}}");
    }
    text
}

fn broker(count: usize, bindings: usize) -> String {
    let names = each(count, |place| format!("\"queue.{place}\""));
    let bindings =
        each(bindings, |place| format!(r#"{{"source": "results", "destination": "queue.{place}", "vhost": "z"}}"#));
    format!(
        r#"{{"policies": [{{"name": "p", "vhost": "z", "pattern": "^q", "definition": {{}}}}],
        "exchanges": [{{"name": "results", "vhost": "z", "type": "topic", "durable": true}}], "bindings": [{bindings}],
        "groups": [{{"names": [{names}], "vhost": "z"}}]}}"#
    )
}

/// Python services in one file.
fn services(count: usize, reads: usize) -> Vec<File> {
    let mut text = "from workflows.services.common_service import CommonService\nimport workflows.recipe\n".to_owned();
    for place in 0..count {
        let _ = write!(
            text,
            "\n\nclass S{place}(CommonService):\n    _service_name = \"S{place}\"\n\n    def initializing(self):\n        \
             workflows.recipe.wrap_subscribe(self._transport, \"queue.{place}\", self.go, acknowledgement=True)\n\n    \
             def go(self, rw, header, message):\n        p = rw.recipe_step[\"parameters\"]\n"
        );
        (0..reads).for_each(|key| _ = writeln!(text, "        x{key} = p[\"k{key}\"]"));
        text.push_str("        rw.send_to(\"out\", {\"x\": x0})\n");
    }
    vec![File { path: "pkg/s.py".to_owned(), name: "s.py".to_owned(), text }]
}

/// What an editor sends in one go, answered by the server on this thread.
fn edit(text: String, requests: &'static [&'static str]) -> Box<dyn FnOnce()> {
    Box::new(move || {
        let (client, server) = Connection::memory();
        let send = |message: Message| client.sender.send(message).expect("the server listens");
        let ask = |id: i32, method: &str, params| send(Request::new(id.into(), method.to_owned(), params).into());
        let tell = |method: &str, params| send(Notification::new(method.to_owned(), params).into());
        ask(0, "initialize", json!({ "processId": null, "rootUri": null, "capabilities": {} }));
        tell("initialized", json!({}));
        let line = text.lines().position(|line| line.contains("CURSOR")).unwrap_or_default();
        let uri = "untitled:Untitled-1";
        let document = json!({ "uri": uri, "languageId": "json", "version": 1, "text": text });
        tell("textDocument/didOpen", json!({ "textDocument": document }));
        let place = json!({ "textDocument": { "uri": uri }, "position": { "line": line, "character": 3 } });
        (1..).zip(requests).for_each(|(id, method)| ask(id, method, place.clone()));
        ask(1000, "shutdown", json!(null));
        tell("exit", json!(null));
        lsp::serve(&server, Given::default()).expect("the server ends");
    })
}

/// Everything that a user can make longer.
const SERIES: &[Series] = &[
    ("check, steps", 300, |n| {
        let text = chain(n, "x");
        Box::new(move || drop(check("r.json", text)))
    }),
    ("check, placeholders in one string", 300, |n| {
        let text = one_step(&format!("\"s\": \"{}\"", (0..n).map(|place| format!("{{x{place}}}")).collect::<String>()));
        Box::new(move || drop(check("r.json", text)))
    }),
    ("check, repeated keys", 300, |n| {
        let text = one_step(&each(n, |place| format!("\"p{place}\": \"{{x}}\", \"p{place}\": \"{{y}}\"")));
        Box::new(move || drop(check("r.json", text)))
    }),
    ("check, steps with repeated keys", 300, |n| {
        let step = |place| {
            format!("\"{place}\": {{\"queue\": \"q\", \"queue\": \"q\", \"parameters\": {{\"x\": \"{{x}}\"}}}}")
        };
        let text = format!("{{{}, \"start\": [[0, []]]}}", each(n, step));
        Box::new(move || drop(check("r.json", text)))
    }),
    ("check, wrong links", 300, |n| {
        let text = format!(
            "{{{}, \"start\": [[0, []]]}}",
            each(n, |place| format!("\"{place}\": {{\"queue\": \"q\", \"output\": {}}}", 1_000_000 + place))
        );
        Box::new(move || drop(check("r.json", text)))
    }),
    ("check, contract, constants", 300, |n| under(n, "p", |place| format!("\"p{place}\": \"x\""))),
    ("check, contract, placeholders", 300, |n| under(n, "p", |place| format!("\"p{place}\": \"{{x{place}}}\""))),
    ("check, contract, wrong types", 300, |n| under(n, "p", |place| format!("\"p{place}\": 5"))),
    ("check, contract, unknown parameters", 300, |n| under(n, "known_", |place| format!("\"other{place}\": 5"))),
    ("check, contract, missing parameters", 300, |n| {
        let names = each(n, |place| format!("\"p{place}\""));
        let required = format!(r#""p": {{}}}}, "required": [{names}], "x-more": {{"#);
        let contracts = contracts(&required, "");
        let text = one_step("");
        Box::new(move || {
            let options = Options { contracts: &contracts, ..Options::default() };
            drop(compile(source("r.json", text), options));
        })
    }),
    ("check, contract, unknown channels", 300, |n| {
        let channels = each(n, |place| format!(r#""known_{place}": {{"fires": "sometimes"}}"#));
        let contracts = contracts("", &format!(r#", "channels": {{{channels}}}"#));
        let output = each(n, |place| format!("\"other{place}\": 2"));
        let text =
            format!(r#"{{"1": {{"queue": "c", "output": {{{output}}}}}, "2": {{"queue": "d"}}, "start": [[1, []]]}}"#);
        Box::new(move || {
            let options = Options { contracts: &contracts, ..Options::default() };
            drop(compile(source("r.json", text), options));
        })
    }),
    ("check, given parameters", 300, |n| {
        let parameters: Object = (0..n).map(|place| (format!("known{place}"), Value::from(1))).collect();
        let text = one_step(&each(n, |place| format!("\"p{place}\": \"{{known{place}}} {{other{place}}}\"")));
        Box::new(move || {
            drop(compile(source("r.json", text), Options { parameters: Some(&parameters), ..Options::default() }));
        })
    }),
    ("check, suppressions in comments", 300, |n| {
        let step = |place| {
            format!(
                "\"{place}\": [\"zrecipe: allow(unknown-step)\"], \"{place}\": {{\"queue\": \"q\", \"output\": 999999}}"
            )
        };
        let text = format!("{{{}, \"start\": [[0, []]]}}", each(n, step));
        Box::new(move || drop(check("r.json", text)))
    }),
    ("check, suppressions in YAML", 300, |n| {
        let step = |place| format!("# zrecipe: allow(unknown-step)\n\"{place}\": {{queue: q, output: 999999}}\n");
        let text = (0..n).map(step).collect::<String>() + "start: [[0, []]]\n";
        Box::new(move || drop(check("r.yml", text)))
    }),
    ("check, suppressions in settings", 300, |n| {
        let text = chain(n, "x");
        let pointed = |place| Pointed { rule: "cycle".to_owned(), pointer: format!("/{place}/queue"), is_exact: true };
        let pointed: Vec<Pointed> = (1..=n).map(pointed).collect();
        Box::new(move || {
            drop(compile(source("r.json", text), Options { suppressions: &pointed, ..Options::default() }));
        })
    }),
    ("check, site, blocks and environments", 200, |n| {
        let text = site(n, |place| format!("  e{place}: {{plugins: [b{place}]}}\n"));
        Box::new(move || drop(check("s.yml", text)))
    }),
    ("check, site, unknown blocks", 200, |n| {
        let text = site(n, |place| format!("  e{place}: {{plugins: [other{place}]}}\n"));
        Box::new(move || drop(check("s.yml", text)))
    }),
    ("check, site, unused blocks", 200, |n| {
        let text = site(n, |place| if place == 0 { "  e: {plugins: [b0]}\n".to_owned() } else { String::new() });
        Box::new(move || drop(check("s.yml", text)))
    }),
    ("check, broker, queues and bindings", 200, |n| {
        let text = broker(n, n);
        Box::new(move || drop(check("b.json", text)))
    }),
    ("check, request", 300, |n| {
        let text =
            format!(r#"{{"recipes": ["a"], "parameters": {{{}}}}}"#, each(n, |place| format!("\"p{place}\": 1")));
        let kind = Some(DocumentKind::Request);
        Box::new(move || drop(compile(source("r.json", text), Options { kind, ..Options::default() })))
    }),
    ("fix", 200, |n| {
        let text =
            format!("{{{}, \"start\": [[1, []]]}}", each(n, |place| format!("\"{}\": {{'queue': \"q\"}}", place + 1)));
        Box::new(move || drop(fix(source("r.json", text), Options::default(), Which::All)))
    }),
    ("params, parameters", 300, |n| {
        let compilation = check("r.json", one_step(&each(n, |place| format!("\"p{place}\": \"{{x{place}}}\""))));
        Box::new(move || {
            let found = infer::infer(&compilation.recipe, &compilation.templates, Options::default().contracts);
            found.iter().for_each(|parameter| drop(parameter.meets.to_schema()));
        })
    }),
    ("params, one parameter with many subscripts", 100, |n| {
        let compilation = check("r.json", one_step(&each(n, |place| format!("\"p{place}\": \"{{x[k{place}]}}\""))));
        Box::new(move || {
            let found = infer::infer(&compilation.recipe, &compilation.templates, Options::default().contracts);
            found.iter().for_each(|parameter| drop(parameter.meets.to_schema()));
        })
    }),
    ("names", 300, |n| {
        let compilation = check("r.json", chain(n, "x"));
        Box::new(move || drop(names::names(&compilation, Options::default().contracts)))
    }),
    ("graph", 100, |n| {
        let compilation = check("r.json", chain(n, "x"));
        Box::new(move || {
            let formats = FORMATS.iter().filter(|format| !matches!(format.name, "svg" | "html" | "text"));
            formats.for_each(|format| drop(zrecipe::draw::render(format, &[("r", &compilation)])));
        })
    }),
    ("expand", 300, |n| {
        let compilation = check("r.json", chain(n, "x"));
        let parameters: Object = (1..=n).map(|place| (format!("x{place}"), Value::from("a"))).collect();
        Box::new(move || drop(bind::bind([&compilation], &parameters).to_json()))
    }),
    ("fmt", 300, |n| {
        let compilation = check("r.json", chain(n, "x"));
        Box::new(move || {
            drop(format::format(&compilation.recipe));
            drop(format::renumber(&compilation));
        })
    }),
    ("diff, text", 300, |n| {
        let (before, after) = (chain(n, "x").replace(',', ",\n"), chain(n, "y").replace(',', ",\n"));
        Box::new(move || drop(diff::unified("r.json", &before, &after, false)))
    }),
    ("diff, meaning", 200, |n| {
        let (before, after) = (check("r.json", chain(n, "x")), check("r.json", chain(n, "y")));
        Box::new(move || {
            let side = |of: &Compilation| Arc::clone(&of.reading);
            let (old, new) = (side(&before), side(&after));
            let contracts = Options::default().contracts;
            drop(change::recipes(change::Side { reading: &old, contracts }, change::Side { reading: &new, contracts }));
        })
    }),
    ("evidence", 100, |n| {
        let recipes: Vec<_> = (0..n).map(|place| check("r.json", chain(3, &format!("x{place}_"))).facts()).collect();
        Box::new(move || {
            let mut set = evidence::Set::default();
            recipes.iter().for_each(|facts| set.add(facts));
            recipes.iter().for_each(|facts| drop(set.findings(facts)));
        })
    }),
    ("contract extract, services", 20, |n| {
        let files = services(n, 3);
        Box::new(move || drop(python::contracts(&files)))
    }),
    ("contract extract, reads of one service", 50, |n| {
        let files = services(1, n);
        Box::new(move || drop(python::contracts(&files)))
    }),
    ("JSON, members of an object", 300, |n| {
        let text = format!("{{{}}}", each(n, |place| format!("\"k{place}\": {place}")));
        Box::new(move || drop(read_value(text.as_bytes())))
    }),
    ("lsp, completion and hover", 150, |n| {
        let mut text = chain(n, "x").replace("}}, ", "}},\n ");
        text.insert_str(text.len() - "\"start\": [[1, []]]}".len(), "\n \"note\": \"CURSOR\",\n ");
        edit(text, &["textDocument/completion", "textDocument/hover", "textDocument/definition"])
    }),
    ("lsp, symbols and tokens", 150, |n| {
        let text = chain(n, "x").replace("}}, ", "}},\n ");
        edit(text, &["textDocument/documentSymbol", "textDocument/semanticTokens/full", "textDocument/foldingRange"])
    }),
];

#[test]
fn four_times_the_input_takes_no_more_than_six_times_the_work() {
    let mut wrong = Vec::new();
    for (name, size, series) in SERIES {
        // What is worked out once for the process is no part of it.
        measure(series(*size / 4));
        let (few, many) = (measure(series(*size)), measure(series(4 * size)));
        let max = STEEP.iter().find(|(steep, _)| steep == name).map_or(MAX_FACTOR, |(_, factor)| *factor);
        for ((what, least), (few, many)) in COUNTED.iter().zip(MIN).zip(few.into_iter().zip(many)) {
            let factor = many as f64 / few.max(1) as f64;
            if many > 4 * least && factor > max {
                wrong.push(format!("{name}: {what}: {few} for {size}, {many} for {}: {factor:.1} times", 4 * size));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
