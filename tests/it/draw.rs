//! What diagrams say: every kind of box and arrow, and text that means something to the notation.

use std::fmt::Write as _;
use std::sync::Arc;

use zrecipe::change::{Side, recipes};
use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::contract::Contracts;
use zrecipe::draw::{Diagram, Direction, EdgeKind, FORMATS, NodeKind, format, overlay, render};
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

/// A document without what is the same in all of its format: script and style.
fn own(document: &str) -> String {
    let (mut out, mut rest) = (String::new(), document);
    while let Some(at) = ["<style>", "<script>"].iter().filter_map(|tag| rest.find(tag)).min() {
        let end = rest[at..].find("</").expect("an end");
        out.push_str(&rest[..at]);
        rest = &rest[at + end..];
    }
    let policy = out.find("style-src 'sha256").map(|at| at..at + out[at..].find("\">").expect("an end"));
    policy.into_iter().for_each(|hashes| out.replace_range(hashes, "…"));
    out + rest
}

#[test]
fn every_kind_of_box_and_arrow() {
    let (one, two) = (recipe(EVERYTHING), recipe(r#"{ "1": { "queue": "a" }, "start": [[1, {}]] }"#));
    let mut drawn = String::new();
    for format in FORMATS {
        let _ = writeln!(drawn, "# {}\n{}", format.name, own(&render(format, &[("one.json", &one)])));
        let both = [("one.json", &two), ("two.json", &two)];
        let _ = writeln!(drawn, "# {}, side by side\n{}", format.name, own(&render(format, &both)));
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
    let diagrams = [Diagram::new(&long, &drawn.recipe), Diagram::new(&long, &drawn.recipe)];
    for format in FORMATS {
        let document = own(&(format.render)(&diagrams, Direction::Down));
        assert!(document.len() < 10_000, "{} in {}", document.len(), format.name);
    }
}

/// The recipes of the repository, and each under both contracts and rules.
fn fixtures() -> Vec<(String, Compilation)> {
    let mut found = Vec::new();
    for folder in ["recipes", "tests/graph", "tests/lint/cycle", "tests/lint/unknown-step"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending == "json") {
                let text = std::fs::read_to_string(&path).expect("a text");
                found.push((path.display().to_string(), recipe(&text)));
            }
        }
    }
    assert!(found.len() > 20, "{} fixtures", found.len());
    found
}

#[test]
fn text_is_narrow_and_names_every_box_once_in_order() {
    let text = format("text").expect("is a format");
    for (name, compilation) in fixtures() {
        let diagram = Diagram::new(&name, &compilation.recipe);
        let drawn = (text.render)(&[diagram], Direction::Down);
        for line in drawn.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        let diagram = Diagram::new(&name, &compilation.recipe);
        let boxes = drawn.lines().filter(|line| line.contains('●')).count();
        assert_eq!(boxes, diagram.nodes.len(), "{name}:\n{drawn}");
    }
}

#[test]
fn text_of_links_that_part_and_meet() {
    let text = format("text").expect("is a format");
    let rows = [
        (
            r#"{ "1": { "output": [2, 3] }, "2": { "output": 4 }, "3": { "output": 4 }, "4": {}, "start": [[1, []]] }"#,
            "\
● start
● 1
│ ▶ 2
├─╮ ▶ 3
● │ 2
│ ● 3
├─╯
● 4
",
        ),
        (
            r#"{ "1": { "output": { "a": 2 } }, "2": { "output": { "again": 1 }, "error": 2 }, "start": [[1, []]] }"#,
            "\
● start
● 1
│ ▶ 2 on a
● 2
  ▲ 1 on again
  ▲ 2 on error
",
        ),
        (r#"{ "1": { "output": 7 }, "start": [[1, []]] }"#, "● start\n● 1\n│ ▶ no step 7\n● no step 7\n"),
        ("{}", "The recipe has no steps.\n"),
        ("7", "The document is not a recipe.\n"),
    ];
    for (recipe_text, expected) in rows {
        assert_eq!(render(text, &[("a.json", &recipe(recipe_text))]), expected, "{recipe_text}");
    }
}

/// What lies between two texts of a document.
fn between<'d>(document: &'d str, before: &str, after: &str) -> &'d str {
    let (_, rest) = document.split_once(before).unwrap_or_else(|| panic!("{before}"));
    rest.split_once(after).unwrap_or_else(|| panic!("{after}")).0
}

#[test]
fn a_page_permits_its_own_script_and_no_request() {
    let hostile = r#"{ "1": { "service": "</script><script>alert(1)</script>{{DATA}}", "queue": "<img src=x>" } }"#;
    let compilation = recipe(hostile);
    let diagram = Diagram::of("a.json", &compilation, Contracts::built_in());
    let page = (format("html").expect("is a format").render)(&[diagram], Direction::Down);
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
    assert!(policy.starts_with("default-src 'none'; img-src data:; ") && !policy.contains("unsafe"), "{policy}");
    // Chromium computes the hashes again, in the suite `editors`.
    assert_eq!(policy.matches("-src 'sha256-").count(), 2);
    assert_eq!(page.matches("<script").count(), 2);
    assert!(
        !page.contains("<img")
            && page.matches("http").count() == page.matches("http://www.w3.org/2000/svg").count() + 1
    );
    let data = between(&page, "type=\"application/json\">", "</script>");
    let data: serde_json::Value = serde_json::from_str(data).expect("is JSON");
    assert_eq!(data["recipes"][0]["text"], hostile);
    assert_eq!(data["recipes"][0]["nodes"][0]["contract"], false);
}

#[test]
fn a_picture_carries_its_recipe_without_secrets() {
    let compilation = recipe(r#"{ "1": { "queue": "a", "parameters": { "password": "hunter2", "x": "<&" } } }"#);
    for name in ["svg", "html"] {
        let diagram = Diagram::of("a.json", &compilation, Contracts::built_in());
        let drawn = (format(name).expect("is a format").render)(&[diagram], Direction::Down);
        assert!(!drawn.contains("hunter2"), "{name}: {drawn}");
    }
    let svg = render(format("svg").expect("is a format"), &[("a.json", &compilation)]);
    let data = between(&svg, "<metadata>", "</metadata>");
    let data = data.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let data: serde_json::Value = serde_json::from_str(&data).expect("is JSON");
    assert!(data["recipes"][0]["text"].as_str().is_some_and(|text| text.contains("\"<&\"")), "{data}");
}

#[test]
fn findings_belong_to_boxes() {
    let compilation =
        recipe("{\n\"1\": { \"queue\": \"a\",\n\"output\": 7 },\n\"start\": [[1, []], [8, []]],\n\"x\": 5 }");
    let diagram = Diagram::of("a.json", &compilation, Contracts::built_in());
    let found = |place: usize| -> Vec<(&str, u32)> {
        diagram.nodes[place].findings.iter().map(|finding| (finding.rule, finding.line)).collect()
    };
    assert_eq!(diagram.nodes[0].kind, NodeKind::Start);
    assert_eq!(found(0), [("unknown-step", 4)]);
    assert_eq!(found(1), [("unknown-step", 3)]);
    let all: usize = diagram.nodes.iter().map(|node| node.findings.len()).sum();
    assert_eq!(all + diagram.findings.len(), compilation.diagnostics.len());
}

/// Boxes and arrows that differ between two versions.
fn marked(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (recipe(old), recipe(new));
    let contracts = Contracts::built_in();
    let side = |compilation: &Compilation| Arc::clone(&compilation.reading);
    let (old, new) = (side(&old), side(&new));
    let difference = recipes(Side { reading: &old, contracts }, Side { reading: &new, contracts });
    let diagram = overlay("a.json", &old, &new, &difference);
    assert_eq!(
        diagram.is_marked(),
        diagram.nodes.iter().any(|n| n.mark.is_some()) || diagram.edges.iter().any(|e| e.mark.is_some())
    );
    let name = |place: usize| diagram.nodes[place].lines[0].clone();
    let nodes = diagram
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(place, node)| Some(format!("{} {}", node.mark?.name(), name(place))));
    let edges = diagram.edges.iter().filter_map(|edge| {
        edge.mark?;
        Some(format!("{} → {} {}", name(edge.from), name(edge.to), edge.label.as_deref().unwrap_or_default()))
    });
    nodes.chain(edges).collect()
}

#[test]
fn two_versions() {
    let old = r#"{ "1": { "queue": "a", "output": { "x": 2 } }, "2": { "queue": "b", "parameters": { "p": 1 } },
                   "start": [[1, []]] }"#;
    let rows: &[(&str, &[&str])] = &[
        (old, &[]),
        // Other numbers are no difference.
        (
            r#"{ "5": { "queue": "a", "output": { "x": 6 } }, "6": { "queue": "b", "parameters": { "p": 1 } },
              "start": [[5, []]] }"#,
            &[],
        ),
        (
            r#"{ "1": { "queue": "a", "output": { "x": 2 } }, "2": { "queue": "b", "parameters": { "p": 2 } },
              "start": [[1, []]] }"#,
            &["changed 2"],
        ),
        (
            r#"{ "1": { "queue": "a", "output": { "y": 2 } }, "2": { "queue": "b", "parameters": { "p": 1 } },
              "start": [[1, []]] }"#,
            &["rewired 1", "1 → 2 + y", "1 → 2 - x"],
        ),
        (r#"{ "1": { "queue": "a" }, "start": [[1, []]] }"#, &["rewired 1", "removed 2", "1 → 2 - x"]),
        (
            r#"{ "1": { "queue": "a", "output": { "x": [2, 3] } }, "2": { "queue": "b", "parameters": { "p": 1 } },
              "3": { "queue": "z", "service": "New" }, "start": [[1, []]] }"#,
            &["rewired 1", "added 3 · New", "1 → 3 · New + x"],
        ),
    ];
    for (new, expected) in rows {
        assert_eq!(marked(old, new), *expected, "{new}");
    }
}
