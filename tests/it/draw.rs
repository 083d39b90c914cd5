//! What diagrams say: every kind of box and arrow, and text that means something to the notation.

use std::fmt::Write as _;
use std::sync::Arc;

use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::draw::{Diagram, EdgeKind, FORMATS, NodeKind, format, render};
use zrecipe::source::Source;
use zrecipe::value::Value;

fn recipe(text: &str) -> Compilation {
    compile(Arc::new(Source::from_text("a.json", text)), Options::default())
}

const EVERYTHING: &str = r#"{
  "1": {
    "service": "DLS Filewatcher", "queue": "filewatcher",
    "output": { "first": 2, "every": [3, 3], "finally": 9, "nothing": null }, "error": 4
  },
  "2": { "queue": "images.{visit}", "topic": "all", "output": [4, "4", "nine", 9], "transport-delay": 30 },
  "3": { "topic": "x.y", "output": 4, "transport-delay": "{delay}" },
  "4": { "service": "Mailer", "output": { "again": 4 }, "error": { "late": 1 } },
  "start": [[1, []], [2, { "a":   "a payload of more than a line" }], 4],
  "error": [4, 8]
}"#;

#[test]
fn every_kind_of_box_and_arrow() {
    let (one, two) = (recipe(EVERYTHING), recipe(r#"{ "1": { "queue": "a" }, "start": [[1, {}]] }"#));
    let mut drawn = String::new();
    for format in FORMATS {
        let _ = writeln!(drawn, "# {}\n{}", format.name, render(format, &[("one.json", &one)]));
        let both = [("one.json", &two), ("two.json", &two)];
        let _ = writeln!(drawn, "# {}, side by side\n{}", format.name, render(format, &both));
    }
    insta::assert_snapshot!(drawn);
}

#[test]
fn what_is_no_recipe_is_an_empty_diagram() {
    for text in ["", "[1,", "{}", "7", r#"{ "start": 1, "error": null }"#] {
        let broken = recipe(text);
        for format in FORMATS {
            assert!(!render(format, &[("a.json", &broken)]).contains("->"), "{text} as {}", format.name);
        }
    }
}

/// What it stands for, from where, to where, and what is written on it.
type Arrow = (EdgeKind, &'static str, &'static str, Option<&'static str>);

#[test]
fn arrows() {
    let rows: &[(&str, &[Arrow])] = &[
        (r#"{ "1": { "output": 1 } }"#, &[(EdgeKind::Output, "1", "1", None)]),
        (r#"{ "1": { "output": [1, "1", 1.0] } }"#, &[(EdgeKind::Output, "1", "1", Some("×3"))]),
        (r#"{ "1": { "output": { "a": [1, 1] } } }"#, &[(EdgeKind::Output, "1", "1", Some("a ×2"))]),
        (r#"{ "1": { "output": { "": 1 } } }"#, &[(EdgeKind::Output, "1", "1", Some("\"\""))]),
        (r#"{ "1": { "output": null } }"#, &[]),
        (r#"{ "1": { "error": 1 } }"#, &[(EdgeKind::Error, "1", "1", Some("error"))]),
        (r#"{ "1": { "output": "2" } }"#, &[(EdgeKind::Broken, "1", "no step 2", None)]),
        (r#"{ "1": { "output": "x" } }"#, &[(EdgeKind::Broken, "1", "no step \"x\"", None)]),
        (r#"{ "1": {}, "start": [[1, { "a":  1 }]] }"#, &[(EdgeKind::Start, "start", "1", Some("{ \"a\": 1 }"))]),
        (r#"{ "1": {}, "start": [[ 1 ]] }"#, &[(EdgeKind::Broken, "start", "malformed entry [ 1 ]", None)]),
        (r#"{ "1": {}, "error": 1 }"#, &[(EdgeKind::Error, "error", "1", None)]),
        // The last of several steps with one number counts.
        (r#"{ "1": { "output": 1 }, "01": { "output": 2 } }"#, &[(EdgeKind::Broken, "1", "no step 2", None)]),
    ];
    for (text, expected) in rows {
        let diagram = Diagram::new("a.json", &recipe(text).recipe);
        let name = |place: usize| diagram.nodes[place].lines[0].as_str();
        let edges: Vec<_> = diagram
            .edges
            .iter()
            .map(|edge| (edge.kind, name(edge.from), name(edge.to), edge.label.as_deref()))
            .collect();
        assert_eq!(&edges, expected, "{text}");
    }
}

#[test]
fn boxes() {
    let rows: &[(&str, NodeKind, &[&str])] = &[
        (r#"{ "queue": "a.{b}" }"#, NodeKind::Queue, &["7", "queue a.{b}"]),
        (r#"{ "topic": "a", "service": "s" }"#, NodeKind::Topic, &["7 · s", "topic a"]),
        (r#"{ "topic": "a", "queue": 5 }"#, NodeKind::QueueAndTopic, &["7", "queue 5", "topic a"]),
        (r#"{ "transport-delay": 1.5 }"#, NodeKind::Nowhere, &["7", "delay 1.5 s"]),
        (r#"{ "transport-delay": "{t}" }"#, NodeKind::Nowhere, &["7", "delay {t}"]),
    ];
    for (step, kind, lines) in rows {
        let diagram = Diagram::new("a.json", &recipe(&format!(r#"{{ "7": {step} }}"#)).recipe);
        let found = &diagram.nodes[0];
        assert_eq!(
            (found.kind, found.lines.iter().map(String::as_str).collect::<Vec<_>>()),
            (*kind, lines.to_vec()),
            "{step}"
        );
    }
}

/// Text that would end a label, begin something else, or be shown as something else.
///
/// With Mermaid 11 and Graphviz 2.43 these were seen to come out as they went in.
const HOSTILE: &[(&str, &str, &str)] = &[
    // text, in Mermaid, in Graphviz
    ("a\"b]", "a#quot;b]", "a\\\"b]"),
    ("|pipe|", "#124;pipe#124;", "|pipe|"),
    ("two\nlines", "two␊lines", "two␊lines"),
    ("\u{1b}[31m\u{202e}", "␛[31m\u{fffd}", "␛[31m\u{fffd}"),
    ("<b>&lt;</b>", "#lt;b#gt;#amp;lt#59;#lt;/b#gt;", "<b>&amp;lt;</b>"),
    ("%%{init: {}}%%", "#37;#37;{init#58; {}}#37;#37;", "%%{init: {}}%%"),
    ("style x:#a;", "style x#58;#35;a#59;", "style x:#a;"),
    ("`md` **b** _i_ a_b", "#96;md#96; #42;#42;b#42;#42; #95;i#95; a_b", "`md` **b** _i_ a_b"),
    ("- item", "#45; item", "- item"),
    ("\\N \\", "#92;N #92;", "\\\\N \\\\"),
    ("é 中 😀", "é 中 😀", "é 中 😀"),
    ("ﬂ°°34¶ß", "#64258;#176;#176;34#182;#223;", "ﬂ°°34¶ß"),
    ("", "#quot;#quot;", "\\\"\\\""),
    ("a.b-c/{d}", "a.b-c/{d}", "a.b-c/{d}"),
];

#[test]
fn hostile_text() {
    for (text, mermaid, dot) in HOSTILE {
        let quoted = Value::String((*text).to_owned()).to_json();
        let drawn =
            recipe(&format!(r#"{{ "1": {{ "service": {quoted}, "queue": {quoted}, "output": {{ {quoted}: 1 }} }} }}"#));
        let lines = [
            ("mermaid", format!("  n0[\"1 · {mermaid}<br/>queue {mermaid}\"]\n  n0 -->|\"{mermaid}\"| n0\n")),
            ("dot", format!("  n0 [label=\"1 · {dot}\\nqueue {dot}\"]\n  n0 -> n0 [label=\"{dot}\"]\n")),
        ];
        for (name, expected) in lines {
            let document = render(format(name).expect("is a format"), &[("a.json", &drawn)]);
            assert!(document.contains(&expected), "{text:?}: {document} does not have {expected}");
        }
    }
}

#[test]
fn hostile_recipe_names() {
    let one = recipe("{}");
    for (name, mermaid, dot) in HOSTILE.iter().filter(|(name, ..)| !name.is_empty()) {
        let recipes = [(*name, &one), ("", &one)];
        let document = render(format("mermaid").expect("is a format"), &recipes);
        assert!(document.contains(&format!("  subgraph r1[\"{mermaid}\"]\n")), "{document}");
        assert!(document.contains("  subgraph r2[\" \"]\n"), "{document}");
        let document = render(format("dot").expect("is a format"), &recipes);
        assert!(document.contains(&format!("    label=\"{dot}\"\n")), "{document}");
    }
}

#[test]
fn long_text_is_cut() {
    let long = "x".repeat(1 << 20);
    let text =
        format!(r#"{{ "1": {{ "queue": "{long}", "output": {{ "{long}": "{long}" }} }}, "start": [[1, "{long}"]] }}"#);
    let drawn = recipe(&text);
    for format in FORMATS {
        let document = render(format, &[(&long, &drawn), (&long, &drawn)]);
        assert!(document.len() < 4000, "{} in {}", document.len(), format.name);
    }
}
