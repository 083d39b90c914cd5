//! What holds for every input: nothing panics, every place lies in the text, and the same text gives the same
//! findings.

use std::sync::{Arc, LazyLock};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use zrecipe::bind::{bind, merge};
use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::contract::{self, Contracts, Declared};
use zrecipe::diagnostic::Level;
use zrecipe::evidence::Set;
use zrecipe::lint;
use zrecipe::schema::Schema;
use zrecipe::source::{Position, Source, Span, Unit};
use zrecipe::syntax::json::{parse, read_value};
use zrecipe::template;
use zrecipe::value::{Object, Value};

mod json;
mod merging;
mod size;
mod templates;

/// Pieces of recipes, of JSON, and of what people type instead.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "'",
    "\\",
    "\n",
    "\r\n",
    " ",
    "\t",
    "/",
    "#",
    "//",
    "/*",
    "*/",
    "é",
    "😀",
    "\u{feff}",
    "\u{a0}",
    "\u{fffd}",
    "\0",
    "\u{1}",
    "0",
    "1",
    "2",
    "-",
    "+",
    ".",
    "e",
    "01",
    "1.5",
    "1e999",
    "NaN",
    "Infinity",
    "true",
    "false",
    "null",
    "None",
    "True",
    "\"1\"",
    "\"01\"",
    "\"2\"",
    "\"start\"",
    "\"strat\"",
    "\"error\"",
    "\"queue\"",
    "\"qeue\"",
    "\"topic\"",
    "\"output\"",
    "\"outptu\"",
    "\"parameters\"",
    "\"transport-delay\"",
    "\"exchange\"",
    "\"commands\"",
    "\"cluster\"",
    "\"names\"",
    "\"queues\"",
    "\"channels\"",
    "\"runner.submission\"",
    "\"${x}\"",
    "\"{'a': 1}\"",
    "\"ls {q} '{y}'\"",
    "\"images\"",
    "\"{x}\"",
    "\"{\"",
    "\"}\"",
    "\"{x.y}\"",
    "\"{x[0]}\"",
    "\"{x:>5}\"",
    "\"{$REPLACE:x}\"",
    "\" {$REPLACE:x}\"",
    "\"{$REPLACE:x}-{y}\"",
    "\"{$REPLACE}\"",
    "\\u0041",
    "\\ud800",
    "\\u00e9",
    "\\n",
    "\\x",
    "\"a\": 1",
    "[[1, []]]",
    "\"1\": {\"queue\": \"a\"}",
    "<<<<",
    "=",
    ";",
];

/// Recipes to begin with.
const RECIPES: &[&str] = &[
    "{\"1\": {\"queue\": \"a\", \"output\": 2}, \"2\": {\"topic\": \"b\"}, \"start\": [[1, []]]}",
    "{\n  \"1\": [\"why\"],\n  \"1\": {\"service\": \"Ünï\", \"queue\": \"{q}\", \"parameters\": {\"file\": \"{a[b]}/{c:05d}\"},\n    \"output\": {\"x\": 2, \"y\": [2, 3]}, \"error\": 3},\n  \"2\": {\"queue\": \"b\\u00e9\\t{x}\"},\n  \"3\": {\"queue\": \"😀\", \"transport-delay\": 5},\n  \"start\": [[1, {\"{k}\": \"{$REPLACE:list}\"}]],\n  \"error\": [3]\n}\n",
    "{\"1\": {\"queue\": \"a\", \"output\": [1, \"2\", 2.0, null]}, \"02\": {}, \"start\": [[\"1\", []], 1]}",
    "{\"1\": {\"service\": \"Ünï\", \"queue\": \"images\", \"parameters\": {\"file\": \"\\u00e9{q}\", \"cuont\": \"{c}\", \"old\": 1, \"commands\": \"é {y} {q}\",\n    \"cluster\": {\"commands\": [\"\\u00e9 $\\u007by} {c:d} > {a[b]}\"]}}, \"output\": {\"reslut\": 2}},\n  \"2\": {\"queue\": \"runner.submission\", \"parameters\": {\"workingdir\": 5, \"commands\": [\"{'é': {q}}\", [\"{y}\"]]}},\n  \"start\": [[1, {\"payload\": 1}]]}",
    "1:\n  queue: images\n  parameters: {file: 'é''{q}', cuont: \"\\u00e9 {c}\", old: &a 1, workingdir: *a}\n  output:\n    reslut: 2\n2: {queue: runner.submission, error: 1}\nstart:\n- - 1\n  - payload: |\n      é {y}\n      {'a': 1}\n    \"{k}\": >-\n      ${q} {y}\n",
    "{\"names\": [\"Ünï\"], \"queues\": [\"images\"], \"parameters\": {\"type\": \"objekt\", \"properties\": {\"é\": {\"pattern\": \"[\"}}},\n  \"channels\": {\"a\": {\"default\": true}, \"b\": {\"default\": true, \"payload\": {\"type\": 5}}}, \"deprecated\": {\"old\": \"é\"}}",
];

/// No files of its own beside the tests: an input that fails becomes a fixture.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn pieces() -> impl Strategy<Value = String> {
    vec(select(PIECES), 0..60).prop_map(|pieces| pieces.concat())
}

/// A recipe with some bytes replaced by others.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        any::<prop::sample::Index>(),
        0..6usize,
        prop_oneof![select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()), vec(any::<u8>(), 0..3)],
    );
    (select(RECIPES), vec(edit, 0..8)).prop_map(|(recipe, edits)| {
        let mut bytes = recipe.as_bytes().to_vec();
        for (place, length, with) in edits {
            let start = place.index(bytes.len() + 1);
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, with);
        }
        bytes
    })
}

/// A recipe as there are many, one of them perhaps with a slip of the finger.
fn set_member() -> impl Strategy<Value = String> {
    let queue = select(&["image.analysis", "image.analysis", "image.analysis", "image.anlysis", "archiver"][..]);
    let parameter = select(&["threshold", "threshold", "threshold", "treshold"][..]);
    let service = select(&["Find spots", "Archive"][..]);
    let channel = select(&["result", "failure"][..]);
    (queue.clone(), queue, parameter, service, channel).prop_map(|(one, two, parameter, service, channel)| {
        format!(
            r#"{{"1": {{"service": "{service}", "queue": "{one}", "parameters": {{"{parameter}": 1}}, "output": {{"{channel}": 2}}}},
            "2": {{"queue": "{two}"}}, "3": {{"queue": "archiver"}}, "start": [[1, []], [3, []]]}}"#
        )
    })
}

pub(super) fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..300), pieces().prop_map(String::into_bytes), mutated()]
}

/// Parameters of all types, some of which look like templates.
fn parameters() -> Object {
    let text = r#"{"x": "{y}", "y": "", "q": "é", "a": {"b": [1, "two", null]}, "c": 7, "k": "output", "list": [1, {"z": 1.5}]}"#;
    match read_value(text.as_bytes()) {
        Ok(Value::Object(parameters)) => parameters,
        other => panic!("{other:?}"),
    }
}

fn compiled(bytes: &[u8], parameters: Option<&Object>) -> Compilation {
    let source = Arc::new(Source::from_bytes("recipe", bytes.to_vec()));
    compile(source, Options { parameters, ..Options::default() })
}

/// A contract for the second but last recipe, what a site adds, and a set: everything that more can be said with.
struct Known {
    parameters: Object,
    contracts: Contracts,
    declared: Declared,
    set: Set,
}

static KNOWN: LazyLock<Known> = LazyLock::new(Known::new);

impl Known {
    fn new() -> Self {
        let contract = r#"{"names": ["Ünï"], "queues": ["images"], "values": "strict", "deprecated": {"old": "new"},
            "parameters": {"required": ["file"], "properties": {"file": {"type": "integer"}, "count": {"enum": ["é", 7]}, "new": {}}},
            "payload": {"type": "string"}, "channels": {"result": {"fires": "always", "payload": {"type": "integer"}}}}"#;
        let reading = contract::read(&parse(Arc::new(Source::from_text("contract", contract))));
        let schema = |text: &str| Schema::new(serde_json::from_str(text).expect("is JSON")).expect("is a schema");
        let declared = [("q", r#"{"type": "array"}"#), ("y", r#"{"type": "string", "pattern": "^[a-z]+$"}"#)];
        let mut set = Set::default();
        for recipe in RECIPES {
            let facts = compiled(recipe.as_bytes(), None).facts();
            (0..6).for_each(|_| set.add(&facts));
        }
        Self {
            parameters: parameters(),
            contracts: Contracts::with_built_in([Arc::new(reading.contract.expect("is a contract"))]),
            declared: declared.into_iter().map(|(name, text)| (name.to_owned(), schema(text))).collect(),
            set,
        }
    }

    fn compiled(&self, bytes: &[u8], given: bool) -> Compilation {
        self.compiled_as("recipe.json", bytes, given)
    }

    fn compiled_as(&self, name: &str, bytes: &[u8], given: bool) -> Compilation {
        let source = Arc::new(Source::from_bytes(name, bytes.to_vec()));
        let mut set = self.set.clone();
        set.add(&compile(Arc::clone(&source), Options::default()).facts());
        let (contracts, declared) = (&self.contracts, Some(&self.declared));
        let parameters = given.then_some(&self.parameters);
        compile(source, Options { parameters, contracts, declared, set: Some(&set), ..Options::default() })
    }
}

/// Whether a place is a piece of the text.
fn is_in(text: &str, span: Span) -> bool {
    span.start <= span.end && text.get(span.range()).is_some()
}

proptest! {
    #![proptest_config(config())]

    /// Of any bytes at all.
    #[test]
    fn places_lie_in_the_text(bytes in any_bytes()) {
        let known = &*KNOWN;
        let yaml = |given: bool| known.compiled_as("recipe.yml", &bytes, given);
        let json = [compiled(&bytes, None), known.compiled(&bytes, false), known.compiled(&bytes, true)];
        for compilation in json.into_iter().chain([yaml(false), yaml(true)]) {
            let text = compilation.source.text();
            let mut spans: Vec<Span> = compilation.tree.nodes().map(|node| node.span()).collect();
            spans.extend(compilation.tree.nodes().map(|node| node.head()));
            for problem in compilation.tree.problems() {
                spans.push(problem.span);
                spans.extend(problem.related);
            }
            for found in &compilation.diagnostics {
                spans.push(found.primary.span);
                spans.extend(found.secondary.iter().map(|label| label.span));
                spans.extend(found.fix.iter().flat_map(|fix| &fix.edits).map(|edit| edit.span));
            }
            for span in spans {
                prop_assert!(is_in(text, span), "{:?} of {:?}", span, text);
            }
        }
    }

    /// Messages and labels are one clause on a line: they are read in lists.
    #[test]
    fn findings_are_readable(bytes in any_bytes()) {
        let known = &*KNOWN;
        let found = ["recipe.json", "recipe.yml"].map(|name| known.compiled_as(name, &bytes, true).diagnostics);
        for found in found.iter().flatten() {
            let texts = [&found.message, &found.primary.text].into_iter().chain(&found.help);
            for text in texts.chain(found.secondary.iter().map(|label| &label.text)) {
                prop_assert!(text.chars().count() < 300, "{}", text);
            }
            prop_assert!(!found.message.is_empty() && !found.message.ends_with('.'), "{}", found.message);
        }
    }

    /// The children of a node lie in it, one after the other.
    #[test]
    fn nodes_nest(bytes in any_bytes()) {
        let tree = parse(Arc::new(Source::from_bytes("text", bytes)));
        for node in tree.nodes() {
            let mut at = node.span().start;
            let children = node.items().chain(node.members().flat_map(|member| [member.key, member.value]));
            for child in children {
                prop_assert!(at <= child.span().start && child.span().end <= node.span().end, "{:?} in {:?}", child, node);
                at = child.span().end;
            }
        }
        let mut last = Span::default();
        for problem in tree.problems() {
            prop_assert!(last <= problem.span, "problems are in order");
            last = problem.span;
        }
    }

    /// The same text gives the same findings, and in the order of the text.
    #[test]
    fn findings_are_the_same_again(bytes in any_bytes()) {
        for name in ["recipe.json", "recipe.yml"] {
            let first = KNOWN.compiled_as(name, &bytes, true).diagnostics;
            let again = Known::new().compiled_as(name, &bytes, true).diagnostics;
            prop_assert!(first.windows(2).all(|pair| pair[0].primary.span <= pair[1].primary.span));
            prop_assert_eq!(first, again);
        }
    }

    /// It does not matter which of several recipes is read first.
    #[test]
    fn findings_are_the_same_in_another_order(recipes in vec(set_member(), 6..14), seed in any::<prop::sample::Index>()) {
        let compile_all = |order: &[&String]| {
            let mut set = Set::default();
            order.iter().for_each(|text| set.add(&compiled(text.as_bytes(), None).facts()));
            let findings = |text: &&String| {
                let source = Arc::new(Source::from_text("recipe", text.as_str()));
                compile(source, Options { set: Some(&set), ..Options::default() }).diagnostics
            };
            recipes.iter().map(|text| findings(&text)).collect::<Vec<_>>()
        };
        let mut order: Vec<&String> = recipes.iter().collect();
        let before = compile_all(&order);
        order.rotate_left(seed.index(recipes.len()));
        order.reverse();
        prop_assert_eq!(before, compile_all(&order));
    }

    /// Rules know nothing of each other: one alone finds what it finds among all.
    #[test]
    fn rules_are_independent(bytes in any_bytes()) {
        let parameters = parameters();
        let all = compiled(&bytes, Some(&parameters)).diagnostics;
        for rule in lint::RULES {
            let source = Arc::new(Source::from_bytes("recipe", bytes.clone()));
            let alone = compile(source, Options { rules: &[rule], parameters: Some(&parameters), ..Options::default() }).diagnostics;
            let among: Vec<_> = all.iter().filter(|found| found.rule == rule.name).cloned().collect();
            prop_assert_eq!(alone, among);
        }
    }

    /// What is not JSON is an error of the text, and what is JSON is none.
    #[test]
    fn problems_are_reported(text in prop_oneof![pieces(), mutated().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())]) {
        let strict = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        let rules = ["syntax-error", "non-finite-number", "lone-surrogate"].map(|name| lint::rule(name).expect("is a rule"));
        let source = Arc::new(Source::from_text("text", text.clone()));
        let compilation = compile(source, Options { rules: &rules, ..Options::default() });
        let is_json = compilation.diagnostics.iter().all(|found| found.level < Level::Error);
        // A mark before the text is not JSON, and has a rule of its own.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        prop_assert_eq!(is_json, strict || serde_json::from_str::<serde_json::Value>(text).is_ok(), "{:?}", text);
    }

    /// Offsets become columns and back.
    #[test]
    fn positions_are_reversible(text in "[a-zé中😀\\n\\r \"]{0,40}") {
        let source = Source::from_text("text", text.clone());
        for unit in [Unit::Utf8, Unit::Utf16, Unit::Char] {
            for (at, _) in text.char_indices().chain([(text.len(), ' ')]) {
                let position = source.position(at as u32, unit);
                prop_assert_eq!(source.offset(position, unit), at as u32, "{:?}", position);
            }
            // No position leads out of the text.
            for (line, column) in [(0, 0), (1, 1000), (1000, 1), (u32::MAX, u32::MAX)] {
                let at = source.offset(Position { line, column }, unit);
                prop_assert!(text.is_char_boundary(at as usize));
            }
        }
    }
}
