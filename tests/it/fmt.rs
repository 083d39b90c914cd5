//! The canonical layout: it changes how a recipe looks and nothing else. Layouts themselves are in `tests/format`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::format::{Layout, Reason, WIDTH, format, renumber};
use zrecipe::recipe::Step;
use zrecipe::source::Source;
use zrecipe::syntax::{Kind, MAX_DEPTH, Tree};

use super::fix::{Place, Said};

fn compiled(text: &str) -> Compilation {
    compile(Arc::new(Source::from_text("recipe", text)), Options::default())
}

fn formatted(text: &str) -> String {
    match format(&compiled(text).recipe) {
        Layout::Text(text) => text,
        Layout::None(reason) => panic!("{reason}: {text}"),
    }
}

fn renumbered(text: &str) -> String {
    match renumber(&compiled(text)) {
        Layout::Text(text) => text,
        Layout::None(reason) => panic!("{reason}: {text}"),
    }
}

/// What a document says: every node with its spelling, or with how much is in it.
fn meaning(tree: &Tree) -> Vec<(Kind, &str, usize)> {
    tree.nodes()
        .map(|node| match node.kind() {
            Kind::Array => (Kind::Array, "", node.items().count()),
            Kind::Object => (Kind::Object, "", node.members().count()),
            kind => (kind, node.raw(), 0),
        })
        .collect()
}

const MESSY: &str =
    "{\"1\":[\"why\"],\"1\":{\"queue\":\"a\",\"parameters\":{\"x\":1.50e+3,\"y\":[ 1,\n2 ]}},\n\n\"start\":[[1,[]]]}";
const NEAT: &str = "{\n  \"1\": [\"why\"],\n  \"1\": {\n    \"queue\": \"a\",\n    \"parameters\": {\n      \"x\": 1.50e+3,\n      \"y\": [1, 2]\n    }\n  },\n  \"start\": [[1, []]]\n}\n";

#[test]
fn line_ends_stay_and_the_mark_goes() {
    assert_eq!(formatted(MESSY), NEAT);
    assert_eq!(formatted(NEAT), NEAT);
    let windows = NEAT.replace('\n', "\r\n");
    assert_eq!(formatted(&windows), windows);
    // The first one decides.
    assert_eq!(formatted(&MESSY.replacen('\n', "\r\n", 1)), windows);
    assert_eq!(formatted(&MESSY.replacen('\n', "\n\r\n", 1)), NEAT);
    assert_eq!(formatted(&format!("\u{feff}{NEAT}")), NEAT);
    assert_eq!(formatted(" 1 "), "1\n");
    assert_eq!(formatted("{ }"), "{}\n");
}

/// One column more and a list has one item a line.
#[test]
fn lists_are_broken_where_they_do_not_fit() {
    let list = |length: usize, after: &str| format!("{{\"a\":[\"{}\",2]{after}}}", "é".repeat(length));
    let fits = WIDTH - "  \"a\": [\"\", 2],".chars().count();
    for after in ["", ",\"b\":1"] {
        assert!(formatted(&list(fits, after)).lines().nth(1).is_some_and(|line| line.contains(']')));
        assert!(formatted(&list(fits + 1, after)).lines().nth(1).is_some_and(|line| line.ends_with('[')));
    }
    assert!(formatted(&list(fits, ",\"b\":1")).lines().any(|line| line.chars().count() == WIDTH));
}

#[test]
fn what_has_no_layout() {
    for (text, reason) in [
        ("", Reason::SyntaxErrors),
        ("{\"a\": 1,}", Reason::SyntaxErrors),
        ("{} // a comment", Reason::SyntaxErrors),
        (&"[".repeat(MAX_DEPTH + 1), Reason::SyntaxErrors),
    ] {
        assert_eq!(format(&compiled(text).recipe), Layout::None(reason), "{text}");
    }
    let latin = Arc::new(Source::from_bytes("recipe", b"{\"a\": \"\xe9\"}".to_vec()));
    assert_eq!(format(&compile(latin, Options::default()).recipe), Layout::None(Reason::NotUtf8));
    for (text, reason) in [
        ("{\"1\": {\"queue\": \"a\"}}", Reason::Refused),
        ("{\"1\": {\"queue\": \"a\", \"output\": 1}, \"start\": [[1, []]]}", Reason::Refused),
        ("{\"1\": {\"queue\": \"a\"}, \"01\": {\"queue\": \"b\"}, \"start\": [[1, []]]}", Reason::Repeated),
        ("{\"1\": {\"queue\": \"a\"}, \"1\": {\"queue\": \"b\"}, \"start\": [[1, []]]}", Reason::Repeated),
        ("{\"1\": {\"queue\": \"a\", \"x\": 1, \"x\": 2}, \"start\": [[1, []]]}", Reason::Repeated),
        ("{\"1\": {\"queue\": \"a\"}, \"start\": [[1.0, []]]}", Reason::Links),
        ("{\"1\": {\"queue\": \"a\",}, \"start\": [[1, []]]}", Reason::SyntaxErrors),
    ] {
        assert_eq!(renumber(&compiled(text)), Layout::None(reason), "{text}");
    }
}

/// Deeper than a stack of its own would go; and lists in lists would need more spaces than there are bytes.
#[test]
fn deep_documents_are_laid_out() {
    let lay_out = || {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = format!("{}1{}", open.repeat(MAX_DEPTH), close.repeat(MAX_DEPTH));
            let once = formatted(&text);
            assert_eq!(formatted(&once), once);
        }
        let nest = format!("{}1{},", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
        let hostile = format!("[{}1]", nest.repeat(1000));
        assert_eq!(format(&compiled(&hostile).recipe), Layout::None(Reason::TooLarge));
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(lay_out).expect("starts");
    thread.join().expect("does not panic");
}

#[test]
fn files_are_formatted() {
    let place = Place::new(&[("messy.json", MESSY), ("neat.json", NEAT), ("other.json", "[1,\n2]")]);
    let said = place.run("fmt --check .", "");
    assert_eq!((&*said.out, said.code), ("messy.json\n", 1));
    assert_eq!(said.err, "would change 1 file, 1 unchanged\nskipped 1 file of other kinds\n");
    let said = place.run("fmt --diff messy.json neat.json", "");
    assert!(said.out.starts_with("--- messy.json\n+++ messy.json\n@@ ") && said.code == 1, "{}", said.out);
    assert_eq!(place.read("messy.json"), MESSY);
    let said = place.run("fmt .", "");
    assert_eq!((&*said.out, said.code), ("", 0));
    assert_eq!((place.read("messy.json").as_str(), place.read("other.json").as_str()), (NEAT, "[1,\n2]"));
    assert_eq!(place.run("fmt --check .", "").code, 0);
    assert_eq!(place.run("fmt -", MESSY), Said { out: NEAT.to_owned(), err: String::new(), code: 0 });
    assert_eq!(place.run("fmt --check -", MESSY), Said { out: "<stdin>\n".to_owned(), err: String::new(), code: 1 });
    let said = place.run("fmt -", &format!("\u{feff}{NEAT}"));
    assert_eq!(said.out, NEAT);
    assert!(said.err.starts_with("note: <stdin> begins with a byte order mark"), "{}", said.err);
}

/// The others are formatted all the same.
#[test]
fn a_file_with_syntax_errors_is_left_alone() {
    let broken = MESSY.replace("]]}", "]],}");
    let place = Place::new(&[("broken.json", &broken), ("messy.json", MESSY)]);
    let said = place.run("fmt broken.json messy.json missing.json", "");
    assert_eq!((&*said.out, said.code), ("", 2));
    assert!(said.err.starts_with("error: cannot format broken.json:4:17: it has syntax errors\n"), "{}", said.err);
    assert_eq!((place.read("broken.json"), place.read("messy.json").as_str()), (broken, NEAT));
    assert_eq!(place.run("fmt -", "{").code, 2);
    let said = place.run("fmt --renumber messy.json", "");
    assert_eq!((said.code, place.read("messy.json").as_str()), (0, NEAT));
}

/// The layout is what people write: recipes that are laid out with two spaces stay as they are.
#[test]
fn recipes_that_come_with_the_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    for entry in fs::read_dir(folder).expect("can be read") {
        let path = entry.expect("is read").path();
        let text = fs::read_to_string(&path).expect("can be read");
        assert_eq!(formatted(&text), text, "{}", path.display());
        assert_eq!(renumbered(&text), text, "{}", path.display());
    }
}

fn space() -> impl Strategy<Value = &'static str> {
    select(&["", "", " ", "\n", "\r\n\t", "  \n "][..])
}

/// JSON as people and programs write it, keys repeated, numbers and texts spelt in every way.
fn json() -> impl Strategy<Value = String> {
    let scalar = select(
        &[
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1.50",
            "1E+2",
            "123456789012345678901234567890",
            "NaN",
            "-Infinity",
            "\"\"",
            "\"é\\u00e9\\n\\/\"",
            "\"\\ud800\"",
            "\"{x}\"",
            "\"[1, 2]\"",
            "\"a text of some length, so that it does not fit\"",
        ][..],
    );
    let key = select(&["\"1\"", "\"2\"", "\"\\u0031\"", "\"start\"", "\"a\"", "\"output\"", "\"中\""][..]);
    let value = scalar.prop_map(str::to_owned).prop_recursive(6, 60, 6, move |inner| {
        let item = (space(), inner.clone(), space()).prop_map(|(before, item, after)| format!("{before}{item}{after}"));
        let member = (space(), key.clone(), space(), space(), inner)
            .prop_map(|(before, key, after, between, value)| format!("{before}{key}{after}:{between}{value}"));
        prop_oneof![
            (vec(item, 0..6), space()).prop_map(|(items, end)| format!("[{}{end}]", items.join(","))),
            (vec(member, 0..6), space()).prop_map(|(members, end)| format!("{{{}{end}}}", members.join(","))),
        ]
    });
    (0..4usize, 0..60usize, value).prop_map(|(deep, levels, value)| {
        let levels = if deep == 0 { levels } else { 0 };
        format!("{}{value}{}", "[{\"a\":".repeat(levels), "}]".repeat(levels))
    })
}

/// Valid recipes: every step has a queue of its own and links to later ones only; numbers and the order of the text
/// have nothing to do with the links.
fn recipe() -> impl Strategy<Value = String> {
    let links = vec(vec(0..20usize, 0..4), 1..10);
    (links, any::<prop::sample::Index>(), any::<u64>(), any::<bool>()).prop_map(|(links, first, seed, on_error)| {
        let count = links.len();
        // A permutation for the numbers and another for the order of the text.
        let shuffled = |mut seed: u64| {
            let mut order: Vec<usize> = (0..count).collect();
            for place in (1..count).rev() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                order.swap(place, (seed >> 33) as usize % (place + 1));
            }
            order
        };
        let (numbers, places) = (shuffled(seed), shuffled(seed.rotate_left(17)));
        let id = |step: usize| 7 * numbers[step] + 3;
        let step = |step: usize| {
            let mut targets: Vec<usize> = links[step].iter().map(|to| step + 1 + to).filter(|&to| to < count).map(id).collect();
            targets.dedup();
            let output = match step % 3 {
                0 => format!("{targets:?}"),
                1 => format!("{{\"some\": {targets:?}}}"),
                _ => targets.first().map_or("[]".to_owned(), usize::to_string),
            };
            let comment = if step.is_multiple_of(2) { format!("\"{}\": [\"about q{step}\"], ", id(step)) } else { String::new() };
            format!("{comment}\"{}\": {{\"queue\": \"q{step}\", \"output\": {output}, \"parameters\": {{\"text\": \"step {}\"}}}}", id(step), id(step))
        };
        let mut steps: Vec<String> = places.iter().map(|&place| step(place)).collect();
        let mut starts: Vec<String> = (0..count).map(|step| format!("[{}, {{\"payload\": {step}}}]", id(step))).collect();
        starts.rotate_left(first.index(count));
        steps.insert(first.index(count + 1), format!("\"start\": [{}]", starts.join(", ")));
        if on_error {
            steps.push(format!("\"error\": [{}]", id(0)));
        }
        format!("{{{}}}", steps.join(", "))
    })
}

/// Everything about a recipe, with steps named by their queues instead of by numbers.
fn shape(compilation: &Compilation) -> Vec<String> {
    let recipe = &compilation.recipe;
    let name =
        |id: i64| recipe.step(id).map_or("?".to_owned(), |step| recipe.text(step.queue).expect("has one").into_owned());
    let comments: HashMap<_, Vec<&str>> = recipe.repeated().iter().fold(HashMap::new(), |mut comments, repeated| {
        comments.entry(repeated.last).or_default().push(recipe.node(repeated.value).raw());
        comments
    });
    let step = |step: &Step| {
        let links = recipe.links(step).iter().map(|link| {
            let channel = link.channel.map(|channel| recipe.node(channel).raw());
            format!("{channel:?} {}", name(link.target.id().expect("is a number")))
        });
        let parameters = recipe.node(step.parameters.expect("has some")).to_value().to_json();
        format!("{}: {:?} {parameters} {:?}", name(step.id), links.collect::<Vec<_>>(), comments.get(&step.key))
    };
    let mut shape: Vec<String> = recipe.steps().iter().map(step).collect();
    shape.sort();
    for entry in &recipe.start().expect("has one").entries {
        let (_, target, payload) = entry.pair.expect("is a pair");
        shape.push(format!(
            "start {} {}",
            name(target.id().expect("is a number")),
            recipe.node(payload).to_value().to_json()
        ));
    }
    for (_, target) in recipe.error().into_iter().flat_map(|error| &error.targets) {
        shape.push(format!("error {}", name(target.id().expect("is a number"))));
    }
    shape
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Laying out twice is laying out once, and the document says the same.
    #[test]
    fn layout_keeps_the_meaning(text in json()) {
        let before = compiled(&text);
        let once = formatted(&text);
        let after = compiled(&once);
        prop_assert_eq!(meaning(&before.tree), meaning(&after.tree));
        prop_assert_eq!(before.recipe.to_value(), after.recipe.to_value());
        prop_assert_eq!(formatted(&once), once.clone());
        prop_assert!(once.ends_with('\n') && !once.contains(" \n"), "{}", once);
        prop_assert_eq!(once.contains('\r'), once.contains("\r\n"));
    }

    /// Numbers change, and nothing else.
    #[test]
    fn numbering_keeps_the_shape(text in recipe()) {
        let before = compiled(&text);
        prop_assert!(!before.is_refused(), "{} {:?}", text, before.diagnostics);
        let once = renumbered(&text);
        let after = compiled(&once);
        prop_assert!(!after.is_refused(), "{} {:?}", once, after.diagnostics);
        prop_assert_eq!(shape(&before), shape(&after), "{}\n{}", text, once);
        let ids: Vec<i64> = after.recipe.steps().iter().map(|step| step.id).collect();
        prop_assert_eq!(&ids, &(1..=ids.len() as i64).collect::<Vec<_>>());
        for step in after.recipe.steps() {
            for link in after.recipe.links(step) {
                prop_assert!(link.target.id().expect("is a number") > step.id, "{}", once);
            }
        }
        for comment in after.recipe.repeated() {
            let next = after.tree.root().members().skip_while(|member| member.key.id() != comment.key).nth(1);
            prop_assert_eq!(next.map(|member| member.key.id()), Some(comment.last), "comments stand before their steps");
        }
        prop_assert_eq!(renumbered(&once), once.clone());
        prop_assert_eq!(formatted(&once), once);
    }
}
