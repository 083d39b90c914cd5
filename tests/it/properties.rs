//! What holds for every input: nothing panics, every place lies in the text, and the same text gives the same
//! findings. Shapes that would overflow a stack or take for ever are at the end.

use std::sync::{Arc, LazyLock};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use zrecipe::bind::{bind, merge};
use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::contract::{self, Contracts, Declared};
use zrecipe::diagnostic::Level;
use zrecipe::evidence::{Facts, Set};
use zrecipe::lint;
use zrecipe::schema::Schema;
use zrecipe::source::{Position, Source, Span, Unit};
use zrecipe::syntax::json::{parse, read_value};
use zrecipe::template;
use zrecipe::value::{Object, Value};

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
            let facts = Facts::of(&compiled(recipe.as_bytes(), None).recipe);
            (0..6).for_each(|_| set.add(&mut facts.clone()));
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
        set.add(&mut Facts::of(&compile(Arc::clone(&source), Options::default()).recipe));
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
            order.iter().for_each(|text| set.add(&mut Facts::of(&compiled(text.as_bytes(), None).recipe)));
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

/// Any JSON value, numbers as text.
fn json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("is JSON", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?",
    ];
    let string = prop_oneof![any::<String>(), "[a-z{}\\\\\"/\n\té😀]{0,12}"]
        .prop_map(|text| serde_json::Value::String(text).to_string());
    let escaped =
        select(&["\"\\u00e9\\ud83d\\ude00\"", "\"\\/\\b\\f\"", "\"\\u0000\"", "\"\""][..]).prop_map(str::to_owned);
    let space = select(&["", " ", "\n  ", "\t", "\r\n"][..]);
    let leaf = prop_oneof![number, string, escaped, select(&["null", "true", "false"][..]).prop_map(str::to_owned)];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let items = (vec(inner.clone(), 0..6), space.clone())
            .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},{space}"))));
        let members = (btree_map("[a-z\"\\\\é]{0,4}", inner, 0..6), space.clone()).prop_map(|(members, space)| {
            let members = members
                .into_iter()
                .map(|(key, value)| format!("{}{space}:{space}{value}", serde_json::Value::String(key)));
            format!("{{{space}{}{space}}}", members.collect::<Vec<_>>().join(&format!("{space},{space}")))
        });
        prop_oneof![items, members]
    })
}

/// Whether a value is what another reader makes of the same text.
fn same(ours: &Value, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(ours), serde_json::Value::Bool(theirs)) => ours == theirs,
        (Value::Number(ours), serde_json::Value::Number(theirs)) => match (ours.as_i64(), theirs.as_i64()) {
            (Some(ours), Some(theirs)) => ours == theirs,
            // Theirs may be off by the last digit.
            _ => theirs.as_f64().is_some_and(|theirs| {
                let ours = ours.as_f64();
                (ours - theirs).abs() <= f64::MIN_POSITIVE.max(ours.abs() * 4.0 * f64::EPSILON)
            }),
        },
        (Value::String(ours), serde_json::Value::String(theirs)) => ours == theirs,
        (Value::Array(ours), serde_json::Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Object(ours), serde_json::Value::Object(theirs)) => {
            let pairs = || ours.iter().zip(theirs);
            ours.len() == theirs.len() && pairs().all(|((a, ours), (b, theirs))| a == b && same(ours, theirs))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(config())]

    /// Both readers read the same, and what is written is read again.
    #[test]
    fn json_is_read_as_others_read_it(text in json()) {
        let theirs: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
        let tree = parse(Arc::new(Source::from_text("text", text.clone())));
        prop_assert_eq!(tree.problems(), &[], "{}", text);
        let ours = tree.root().to_value();
        prop_assert!(same(&ours, &theirs), "{}: {:?}", text, ours);
        prop_assert_eq!(&read_value(text.as_bytes()), &Ok(ours.clone()));
        prop_assert_eq!(read_value(ours.to_json().as_bytes()), Ok(ours.clone()));
        prop_assert_eq!(read_value(ours.to_json_pretty().as_bytes()), Ok(ours));
    }

    /// Numbers keep their text, strings have their place.
    #[test]
    fn text_has_its_place(text in json()) {
        let tree = parse(Arc::new(Source::from_text("text", text)));
        for node in tree.nodes().filter(|node| node.raw().starts_with('"')) {
            let decoded = node.text().into_owned();
            let edges: Vec<usize> = (0..=decoded.len()).filter(|&at| decoded.is_char_boundary(at)).collect();
            let spans: Vec<Span> = edges.windows(2).map(|pair| node.text_span(pair[0]..pair[1])).collect();
            for (span, pair) in spans.iter().zip(edges.windows(2)) {
                // What stands there, read alone, is the character.
                let alone = format!("\"{}\"", tree.source().slice(*span));
                let read = read_value(alone.as_bytes()).ok();
                prop_assert_eq!(read, Some(Value::from(&decoded[pair[0]..pair[1]])), "{}", node.raw());
            }
            prop_assert!(spans.windows(2).all(|pair| pair[0].end == pair[1].start), "{}", node.raw());
        }
    }
}

/// Pieces of templates.
const TEMPLATE_PIECES: &[&str] = &[
    "{",
    "}",
    "{{",
    "}}",
    "[",
    "]",
    ".",
    ":",
    "!",
    "!r",
    "!s",
    "!a",
    "x",
    "y",
    "a[b]",
    "[0]",
    "[2]",
    "[b][1]",
    "0",
    "é",
    "😀",
    " ",
    ">",
    "<5",
    "05d",
    ".3f",
    ",",
    "{x}",
    "{a}",
    "{c:>8}",
    "{nobody}",
    "{list[1][z]:.2f}",
    "{x:{c}}",
    "$",
    "{$REPLACE:",
    "{$REPLACE",
];

proptest! {
    #![proptest_config(config())]

    /// A template's places lie in it, whatever it is.
    #[test]
    fn placeholders_lie_in_the_template(pieces in vec(select(TEMPLATE_PIECES), 0..12)) {
        let text = pieces.concat();
        let check = |range: &std::ops::Range<usize>| range.start <= range.end && text.get(range.clone()).is_some();
        match template::parse(&text) {
            Err(error) => prop_assert!(check(&error.span), "{:?} of {:?}", error, text),
            Ok(template) => {
                for field in template.fields() {
                    prop_assert!(check(&field.span), "{:?} of {:?}", field, text);
                    if !template.replace {
                        let shown = &text[field.span.clone()];
                        prop_assert!(shown.starts_with('{') && shown.ends_with('}'), "{:?} of {:?}", shown, text);
                    }
                }
                for parameters in [Object::new(), parameters()] {
                    if let Err(error) = template.apply(&parameters) {
                        prop_assert!(check(&error.span), "{:?} of {:?}", error, text);
                    }
                }
            }
        }
    }

    /// Without braces nothing changes, and doubled braces are single ones afterwards.
    #[test]
    fn text_is_kept(text in "[a-z {}\\\\é😀$]{0,20}") {
        let doubled = text.replace('{', "{{").replace('}', "}}");
        let template = template::parse(&doubled).expect("has no placeholder");
        prop_assert!(template.fields().is_empty());
        prop_assert_eq!(template.apply(&parameters()), Ok(Value::from(text)));
    }

    /// A value is put in as it is: what looks like a placeholder in it is none.
    #[test]
    fn substitution_happens_once(value in "[a-z{}\\[\\]:!$\"\\\\é]{0,16}", key in "[a-z]{1,4}") {
        let object = |pairs: &[(&str, Value)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<Object>();
        let inner = object(&[("text", Value::from("<{x}>")), ("value", Value::from("{$REPLACE:x}")), ("{key}", Value::from("{{x}}"))]);
        let step = object(&[("queue", Value::from("a")), ("parameters", Value::Object(inner))]);
        let start = Value::from(vec![Value::from(vec![Value::from(1), Value::from("{x}{x}")])]);
        let recipe = Value::Object(object(&[("1", Value::Object(step)), ("start", start)]));
        let given = object(&[("x", Value::from(value.as_str())), ("key", Value::from(format!("{{{key}}}")))]);
        let compilation = compiled(recipe.to_json().as_bytes(), Some(&given));
        prop_assert!(!compilation.is_refused());
        let bound = bind([&compilation], &given);
        let parameters = bound.get("1").and_then(|step| step.get("parameters")).expect("has parameters");
        let expect = object(&[
            ("text", Value::from(format!("<{value}>"))),
            ("value", Value::from(value.as_str())),
            (&format!("{{{key}}}"), Value::from("{x}")),
        ]);
        prop_assert_eq!(parameters, &Value::Object(expect));
        let payload = bound.get("start").and_then(Value::as_array).and_then(|start| start[0].as_array()).map(|pair| &pair[1]);
        prop_assert_eq!(payload, Some(&Value::from(format!("{value}{value}"))));
    }
}

/// A valid recipe: every step but the first is linked to from one before it, and from more.
fn valid_recipe() -> impl Strategy<Value = Value> {
    let more = vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 0..8);
    (vec(any::<prop::sample::Index>(), 0..8), more, 1..40i64, 1..4i64, any::<bool>()).prop_map(
        |(parents, more, first, gap, on_error)| {
            let count = parents.len() + 1;
            let id = |place: usize| first + gap * place as i64;
            let mut outputs: Vec<Vec<i64>> = vec![Vec::new(); count];
            let mut errors: Vec<Vec<i64>> = vec![Vec::new(); count];
            parents.iter().enumerate().for_each(|(place, parent)| outputs[parent.index(place + 1)].push(id(place + 1)));
            for (from, to, is_error) in more {
                let (from, to) = (from.index(count), to.index(count));
                if from < to {
                    let links = if is_error { &mut errors } else { &mut outputs };
                    links[from].push(id(to));
                }
            }
            let mut recipe = Object::new();
            for (place, (outputs, errors)) in outputs.into_iter().zip(errors).enumerate() {
                let mut step = Object::from_iter([("queue".to_owned(), Value::from(format!("q{place}")))]);
                match outputs.as_slice() {
                    [] => {}
                    [one] if place % 2 == 0 => {
                        step.insert("output".to_owned(), Value::from(*one));
                    }
                    _ if place % 3 == 0 => {
                        let channels =
                            outputs.iter().enumerate().map(|(number, &to)| (format!("c{number}"), Value::from(to)));
                        step.insert("output".to_owned(), Value::Object(channels.collect()));
                    }
                    _ => {
                        step.insert("output".to_owned(), Value::from(outputs.clone()));
                    }
                }
                if !errors.is_empty() {
                    step.insert("error".to_owned(), Value::from(errors));
                }
                recipe.insert(id(place).to_string(), Value::Object(step));
            }
            let start = Value::from(vec![Value::from(id(0)), Value::Null]);
            recipe.insert("start".to_owned(), Value::from(vec![start]));
            if on_error {
                recipe.insert("error".to_owned(), Value::from(vec![id(0)]));
            }
            Value::Object(recipe)
        },
    )
}

/// How many steps, links, first messages and steps for errors a recipe has.
fn counts(recipe: &Value) -> [usize; 4] {
    let compilation = compiled(recipe.to_json().as_bytes(), None);
    let recipe = &compilation.recipe;
    [
        recipe.steps().len(),
        (0..recipe.steps().len()).map(|step| compilation.graph.outgoing(step).len()).sum(),
        recipe.start().map_or(0, |start| start.entries.len()),
        recipe.error().map_or(0, |error| error.targets.len()),
    ]
}

proptest! {
    #![proptest_config(config())]

    /// A merged recipe is valid and has what its parts have.
    #[test]
    fn merging_adds_up(recipes in vec(valid_recipe(), 1..4)) {
        let compiled: Vec<Compilation> = recipes.iter().map(|recipe| compiled(recipe.to_json().as_bytes(), None)).collect();
        for compilation in &compiled {
            prop_assert!(!compilation.is_refused(), "{:?}", compilation.diagnostics);
        }
        let before: Vec<Value> = compiled.iter().map(|compilation| compilation.recipe.to_value()).collect();
        let merged = bind(&compiled, &Object::new());
        let after: Vec<Value> = compiled.iter().map(|compilation| compilation.recipe.to_value()).collect();
        prop_assert_eq!(&before, &after);
        prop_assert_eq!(&merged, &merge(before.clone()));
        let sum = recipes.iter().map(counts).fold([0; 4], |sum, more| std::array::from_fn(|place| sum[place] + more[place]));
        prop_assert_eq!(counts(&merged), sum, "{}", merged.to_json());
        let again = self::compiled(merged.to_json().as_bytes(), None);
        prop_assert!(!again.is_refused(), "{}: {:?}", merged.to_json(), again.diagnostics);
        // The first recipe keeps its numbers.
        for key in before[0].as_object().expect("is an object").keys() {
            prop_assert!(merged.get(key).is_some(), "{}", key);
        }
    }
}

/// Compiles on a stack on which nothing can recurse once for every step, and passes on what came of it.
fn on_a_small_stack<T: Send + 'static>(text: String, look: impl FnOnce(&Compilation) -> T + Send + 'static) -> T {
    let run = move || look(&compiled(text.as_bytes(), Some(&Object::new())));
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(run).expect("starts");
    thread.join().expect("does not panic")
}

/// Steps `1` to `count` with what `output` says.
fn steps(count: usize, output: impl Fn(usize) -> String) -> String {
    let steps: Vec<String> =
        (1..=count).map(|id| format!("\"{id}\":{{\"queue\":\"q\",\"output\":{}}}", output(id))).collect();
    format!("{{{},\"start\":[[1,[]]]}}", steps.join(","))
}

/// Recipes on which a reader that follows every path, or calls itself for every step, does not come back.
#[test]
fn large_recipes_are_read() {
    let layers = steps(20_000, |id| {
        if id > 19_998 { "[]".to_owned() } else { format!("[{},{}]", id.div_ceil(2) * 2 + 1, id.div_ceil(2) * 2 + 2) }
    });
    let started = |text: String| text.replace("[[1,[]]]", "[[1,[]],[2,[]]]");
    let chain = |count: usize| steps(count, |id| if id == count { "[]".to_owned() } else { (id + 1).to_string() });
    let circle = steps(100_000, |id| (id % 100_000 + 1).to_string());
    for (what, text, expect) in [
        ("ten thousand layers of two", started(layers), vec![]),
        ("a chain", chain(100_000), vec![]),
        ("a circle", circle, vec!["cycle"]),
        ("lists in lists", "[".repeat(100_000), vec!["not-a-recipe", "syntax-error", "too-deep"]),
        ("objects in objects", "{\"a\":".repeat(100_000), vec!["non-numeric-step", "syntax-error", "too-deep"]),
        ("closing brackets", "]".repeat(100_000), vec!["syntax-error"]),
        ("commas", format!("[{}]", ",".repeat(100_000)), vec!["not-a-recipe", "syntax-error"]),
        ("quotes", "\"".repeat(100_001), vec!["not-a-recipe", "syntax-error"]),
    ] {
        let mut names = on_a_small_stack(text, |compilation| {
            compilation.diagnostics.iter().map(|found| found.rule).collect::<Vec<_>>()
        });
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, expect, "{what}");
    }
}

/// What takes the square of its length does not come to an end, either.
#[test]
fn repetitive_recipes_are_read() {
    let many = |count: usize, piece: &dyn Fn(usize) -> String| (0..count).map(piece).collect::<Vec<_>>().join(",");
    let recipe = |step: String, more: String| format!("{{\"1\":{{\"queue\":\"a\",{step}}}{more},\"start\":[[1,[]]]}}");
    let text = |text: String| recipe(format!("\"parameters\":{{\"a\":\"\\u00e9{text}\"}}"), String::new());
    let unknown = many(20_000, &|id| format!("{}", id + 100_000));
    let known = many(20_000, &|id| format!(",\"{}\":{{\"queue\":\"q\"}}", id + 2)).replace(",,", ",");
    for (what, text, expect) in [
        (
            "links to steps that are not there",
            recipe(format!("\"output\":[{unknown}]"), known),
            vec!["unknown-step", "unreferenced-step"],
        ),
        ("a long key", recipe(format!("\"{}\":1", "k".repeat(2_000_000)), String::new()), vec![]),
        (
            "a misspelt key, often",
            recipe(many(10_000, &|_| "\"outptu\":1".to_owned()), String::new()),
            vec!["duplicate-key", "misspelt-key"],
        ),
        ("replacements in a text", text(" {$REPLACE:x}".repeat(10_000)), vec!["partial-replace"]),
        ("placeholders in a text", text("{x[a]} ".repeat(10_000)), vec!["undefined-placeholder"]),
        ("escapes", text("\\x".repeat(100_000)), vec!["syntax-error"]),
    ] {
        let mut names = on_a_small_stack(text, |compilation| {
            compilation.diagnostics.iter().map(|found| found.rule).collect::<Vec<_>>()
        });
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, expect, "{what}");
    }
}

/// The text of a message is read on a small stack, too.
#[test]
fn deep_messages_are_refused() {
    let read = || ["[", "{\"a\":"].map(|open| read_value(open.repeat(1_000_000).as_bytes()).is_err());
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(read).expect("starts");
    assert_eq!(thread.join().expect("does not panic"), [true, true]);
}

/// Templates of all forms, valid or not for some types.
fn templates() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        select(vec!["{x}", "{x!r}", "{x!s:>9}", "{$REPLACE:x}", "{$REPLACE:x[a]}", "{$REPLACE:x[1]}"])
            .prop_map(str::to_owned),
        select(vec!["", "[a]", "[0]", "[2]", "[a][b]", "[1][a]", "[a][0]"]).prop_flat_map(|path| {
            let spec = "[<>=^]?[-+ ]?#?0?[0-9]{0,2}[,_]?(\\.[0-9])?[bcdeEfFgGnosxX%]?";
            spec.prop_map(
                move |spec| if spec.is_empty() { format!("{{x{path}}}") } else { format!("{{x{path}:{spec}}}") },
            )
        }),
        select(vec!["{x:{y}}", "{y:>{x}}", "{y:.{x}f}", "{y[a]}", "{y}", "{y:05d}"]).prop_map(str::to_owned),
    ];
    vec(field, 1..3).prop_map(|fields| fields.join("-"))
}

/// Values, some of which are large or odd.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-20..200i64).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::from),
        select(vec!["", "5", "-1", "x", "1.5", "true", "é😀", "{x}"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(select(vec!["a", "b", "name"]), inner, 0..3).prop_map(|members| Value::Object(
                members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..config() })]

    /// What the signature lets through never makes the substitution fail, and what it is sure about makes it fail.
    #[test]
    fn inference_agrees_with_substitution(texts in vec(templates(), 1..3), x in values(), y in values()) {
        let parameters: Vec<Value> = texts.iter().map(|text| Value::from(text.as_str())).collect();
        let object = |pairs: Vec<(&str, Value)>| Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
        let timeout = parameters[0].clone();
        let run = object(vec![("workingdir", ".".into()), ("commands", vec!["date"].into()), ("timeout", timeout)]);
        let start = Value::Array(vec![Value::from(1), object(vec![("payload", Value::Array(parameters.clone()))])]);
        let recipe = object(vec![
            ("1", object(vec![("queue", "q".into()), ("parameters", object(vec![("all", Value::Array(parameters))])), ("output", 2.into())])),
            ("2", object(vec![("queue", "runner.submission".into()), ("parameters", run)])),
            ("start", Value::Array(vec![start])),
        ]);
        let compilation = compiled(recipe.to_json().as_bytes(), None);
        let contracts = zrecipe::contract::Contracts::built_in();
        let signature = zrecipe::infer::infer(&compilation.recipe, &compilation.templates, contracts);
        let given = Object::from_iter([("x".to_owned(), x), ("y".to_owned(), y)]);
        let fits = signature.iter().all(|parameter| {
            parameter.conflict.is_none() && given.get(&parameter.name).is_some_and(|value| parameter.meets.holds(value))
        });
        let applied: Result<Vec<_>, _> = compilation
            .templates
            .iter()
            .filter_map(|used| used.template.as_ref().ok())
            .map(|template| template.apply(&given))
            .collect();
        if fits {
            prop_assert!(applied.is_ok(), "{:?} with {} says {:?}", texts, Value::Object(given).to_json(), applied);
            let bound = compiled(recipe.to_json().as_bytes(), Some(&given));
            let refused: Vec<_> = bound.refusals().collect();
            prop_assert!(refused.is_empty(), "{:?} with {} is refused: {:?}", texts, Value::Object(given).to_json(), refused);
        }
        // What the printed schema lets through is of the type. To JSON Schema 1.0 is an integer, and to Python it is not.
        for parameter in &signature {
            let schema = zrecipe::schema::Schema::new(parameter.meets.to_schema()).expect("a signature is a JSON Schema");
            let value = given_value(&given, &parameter.name);
            if !holds_whole_float(&value) && schema.check_value(&value, false).is_empty() {
                prop_assert!(parameter.meets.holds(&value), "{} {}", parameter.meets.to_schema(), value.to_json());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..config() })]

    /// A format that is said to suit no value suits none, and what is taken for other text fails without a parameter.
    #[test]
    fn what_is_said_to_fail_fails(text in prop_oneof![templates(), "\\$?\\{[ x'\"a,]{1,4}(:[ a1-9{}\\[\\]_,%q>]{1,5}|\\[[0a]\\])?\\}"], x in values(), y in values()) {
        let Ok(template) = template::parse(&text) else { return Ok(()) };
        if template.replace {
            return Ok(());
        }
        let given = Object::from_iter([("x".to_owned(), x), ("y".to_owned(), y)]);
        let unfit = template.fields().iter().any(|field| field.unfit_format().is_some());
        let foreign = template.fields().iter().any(|field| field.is_foreign() && field.needs_definition());
        if unfit || foreign {
            prop_assert!(template.apply(&given).is_err(), "{}", text);
        }
    }

    /// What comes of a template can come of it, and of one with its first letter changed it cannot.
    #[test]
    fn a_template_may_become_what_it_becomes(
        pieces in vec(select(&["a", "ab", "b", "{x}", "{y}", "{{", "{x}{y}", "é"][..]), 1..7),
        values in vec("[ab{é]{0,3}", 2),
    ) {
        let template = template::parse(&pieces.concat()).expect("is a template");
        let given = Object::from_iter([("x".to_owned(), Value::from(values[0].as_str())), ("y".to_owned(), Value::from(values[1].as_str()))]);
        let Ok(Value::String(filled)) = template.apply(&given) else { unreachable!("texts can be filled in") };
        prop_assert!(template.may_become(&filled), "{:?} {}", pieces, filled);
        if !pieces[0].contains('x') && !pieces[0].contains('y') {
            prop_assert!(!template.may_become(&format!("-{filled}")), "{:?} {}", pieces, filled);
        }
    }

    /// A command of which nothing is said has as many words with the values in it as without them.
    #[test]
    fn commands_keep_their_words(
        pieces in vec(select(&["ls", " ", "-d ", "{x}", "{y}", "{run[name]}", "'", "\"", "{n:d}", "{guid}", "/"][..]), 1..8),
        values in vec("[a-z/ ;$'\"]{0,3}", 3),
    ) {
        let command = pieces.concat();
        let object = |pairs: Vec<(&str, Value)>| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Object>();
        let step = |parameters: Object| Value::Object(object(vec![("queue", Value::from("cluster")), ("parameters", Value::Object(parameters))]));
        let cluster = object(vec![("commands", Value::from(vec![command.as_str()]))]);
        let start = Value::from(vec![Value::from(vec![Value::from(1), Value::Array(vec![])])]);
        let recipe = Value::Object(object(vec![("1", step(object(vec![("cluster", Value::Object(cluster))]))), ("start", start)]));
        let text = |at: usize| Value::from(values[at].as_str());
        let given = object(vec![("x", text(0)), ("y", text(1)), ("run", Value::Object(object(vec![("name", text(2))]))), ("n", Value::from(5)), ("guid", Value::from("1-2"))]);
        let compilation = compiled(recipe.to_json().as_bytes(), Some(&given));
        let said = compilation.diagnostics.iter().any(|found| found.rule == "parameter-in-command");
        let whole = template::parse(&command).is_ok_and(|template| template.whole().is_some());
        let Ok(Ok(Value::String(filled))) = template::parse(&command).map(|template| template.apply(&given)) else { return Ok(()) };
        if !said && !whole {
            prop_assert_eq!(shell_words(&filled), shell_words(&command), "{} becomes {}", command, filled);
        }
    }
}

/// What a shell sees in a command: how many words, how many characters of its own, and the quotes open at the end.
fn shell_words(command: &str) -> (usize, usize, Option<char>) {
    let (mut words, mut special, mut quote, mut in_word) = (0, 0, None, false);
    for c in command.chars() {
        let ends_word = quote.is_none() && c.is_whitespace();
        words += usize::from(!ends_word && !in_word);
        in_word = !ends_word;
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ';' | '$') | (Some('"'), '$') => special += 1,
            _ => {}
        }
    }
    (words, special, quote)
}

fn given_value(given: &Object, name: &str) -> Value {
    given.get(name).cloned().unwrap_or_default()
}

/// JSON Schema calls `1.0` an integer, Python does not.
fn holds_whole_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_integer() && number.as_f64().fract() == 0.0,
        Value::Array(items) => items.iter().any(holds_whole_float),
        Value::Object(object) => object.values().any(holds_whole_float),
        _ => false,
    }
}
