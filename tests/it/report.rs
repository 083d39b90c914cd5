//! What reports look like: real findings, hostile text, long lines, and the shape of the document for programs.

use std::fmt::Write as _;
use std::sync::Arc;

use zrecipe::compile::{Options, compile};
use zrecipe::diagnostic::{Diagnostic, Edit, Level};
use zrecipe::report::{FileReport, Report, Style, Summary, format, render};
use zrecipe::source::{Position, Source, Span, Unit};

/// A file and a finding about it. `«…»` marks the primary place, `‹…›` the others.
fn found(marked: &str) -> (Source, Diagnostic) {
    let (mut text, mut open) = (String::new(), Vec::new());
    let (mut primary, mut secondary) = (Span::default(), Vec::new());
    for character in marked.chars() {
        match character {
            '«' | '‹' => open.push(text.len()),
            '»' => primary = Span::new(open.pop().expect("is open"), text.len()),
            '›' => secondary.push(Span::new(open.pop().expect("is open"), text.len())),
            _ => text.push(character),
        }
    }
    let finding = Diagnostic::new("some-rule", Level::Warning, primary, "`this` is wrong").label("this");
    let finding = secondary.into_iter().fold(finding, |finding, span| finding.also(span, "that"));
    (Source::from_text("a.json", text), finding)
}

fn human(source: &Source, finding: &Diagnostic, style: Style) -> String {
    let diagnostics = std::slice::from_ref(finding);
    let mut report = Report::new(format("human").expect("is a format"), style);
    report.file(&FileReport { source, diagnostics, dropped: 0, is_recipe: true })
}

fn rows() -> Vec<(&'static str, String)> {
    let lines = |n: usize| (0..n).map(|i| format!("  \"{i}\": {i},\n")).collect::<String>();
    let minified = (0..9000).map(|i| format!("\"{i}\":{i},")).collect::<String>();
    vec![
        ("one label", "{\n  \"1\": «6»\n}\n".to_owned()),
        ("wide and combining characters before it", "{\"é\": \"中\", \"😀\": \"e\u{301}\", \"x\": «6»}".to_owned()),
        ("tabs before it", "{\n\t\t\"1\":\t«6»,\n}".to_owned()),
        ("labels on one line", "{ ‹\"a\"›: «1», ‹\"bcd\"›: 2 }".to_owned()),
        ("labels on several lines", "{\n  ‹\"a\"›: 1,\n  \"b\": 2,\n  \"c\": «3»,\n\n\n  ‹\"d\"›: 4\n}".to_owned()),
        ("labels within each other", "{ ‹\"a\": [«1», 2]› }".to_owned()),
        ("the same place twice", "{ \"a\": ‹«1»› }".to_owned()),
        ("a place of several lines", "{\n  \"a\": «[\n    1\n  ]»\n}".to_owned()),
        ("an empty place", "{ \"a\": «» }".to_owned()),
        ("the end of a line", "{ \"a\":«»\n}".to_owned()),
        ("the end of the file", "{ \"a\": 1\n«»".to_owned()),
        ("an empty file", "«»".to_owned()),
        ("Windows line ends", "{\r\n  \"a\": «1»,\r\n  \"b\": ‹2›\r\n}\r\n".to_owned()),
        ("far away", format!("{{\n  ‹\"a\"›: 1,\n{}  \"b\": «2»\n}}", lines(4000))),
        ("one long line", format!("{{‹\"first\"›:1,{minified}\"x\":«7»,{minified}‹\"last\"›:1}}")),
        ("a long label", format!("[«\"{}\"», 1]", "long ".repeat(400))),
        (
            "terminal escapes and hidden text",
            "{ \"\u{1b}[31m\u{7}\u{202e}\u{9b}\u{feff}\r\": «\"\u{1b}]8;;\"» }".to_owned(),
        ),
    ]
}

#[test]
fn lines_and_labels() {
    let mut drawn = String::new();
    for (name, marked) in rows() {
        let (source, finding) = found(&marked);
        let _ = writeln!(drawn, "# {name}\n{}", human(&source, &finding, Style::default()));
    }
    insta::assert_snapshot!(drawn);
}

#[test]
fn every_style_says_the_same() {
    for (name, marked) in rows() {
        let (source, finding) = found(&marked);
        for level in [Level::Error, Level::Warning, Level::Note] {
            let finding = finding.clone().level(level).help("do\u{1b}[0m this").fix("write `…`", Span::empty(0), "");
            let plain = human(&source, &finding, Style::default());
            assert!(!plain.chars().any(|c| c.is_control() && c != '\n'), "{name}: {plain:?}");
            let coloured = human(&source, &finding, Style { colour: true, ..Style::default() });
            assert_ne!(coloured, plain, "{name}");
            assert_eq!(without_colours(&coloured), plain, "{name}");
            let ascii = human(&source, &finding, Style { unicode: false, ..Style::default() });
            let is_users = |c: &char| source.text().contains(*c);
            let foreign: String = ascii.chars().filter(|c| !c.is_ascii() && !is_users(c)).collect();
            assert_eq!(foreign, "", "{name}: {ascii}");
        }
    }
}

fn without_colours(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').expect("is a colour").1);
    }
    // A coloured gap before a label keeps its spaces at the end of nothing.
    plain.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for (name, marked) in rows() {
        let (source, finding) = found(&marked);
        for width in [60, 80, 120, 200] {
            for line in human(&source, &finding, Style { width, ..Style::default() }).lines() {
                assert!(line.chars().count() <= width, "{name} in {width}: {line}");
            }
        }
    }
}

#[test]
fn help_and_fixes() {
    let (source, finding) = found("{ \"a\": «1» }");
    let long = "this is a long explanation of what could be done about it, ".repeat(4);
    let fixed = |safe| {
        let edits = vec![Edit { span: Span::new(7, 8), replacement: "2".to_owned() }];
        finding.clone().with_fix(safe, "write `2`", edits)
    };
    let crowded = (0..20).fold(finding.clone(), |finding, at| finding.also(Span::empty(at % 9), "that"));
    let drawn: String = [
        finding.clone().help("do that"),
        finding.clone().help(long.trim()),
        fixed(true),
        fixed(false).help(long.trim()),
        finding.clone().level(Level::Error).label(""),
        crowded,
    ]
    .iter()
    .map(|finding| human(&source, finding, Style { width: 80, ..Style::default() }))
    .collect();
    let ascii = human(&source, &fixed(true).help("do that"), Style { unicode: false, ..Style::default() });
    insta::assert_snapshot!(drawn + &ascii);
}

/// A recipe with typical mistakes, through the whole pipeline and every format.
#[test]
fn a_recipe_in_every_format() {
    let text = r#"{
  "1": { "service": "Écran 😀", "queue": "images", "output": { "first": "2", "every": [2, 9] } },
  "2": { "queue": "archiver", "output": 1 },
  "start": [[1, []]]
}
"#;
    let broken = compile(Arc::new(Source::from_text("recipes/broken.json", text)), Options::default());
    let text = r#"{ "1": { "queue": "images" }, "start": [[1, []]] }"#;
    let clean = compile(Arc::new(Source::from_text("recipes/clean.json", text)), Options::default());
    let mut drawn = String::new();
    for name in ["human", "concise", "json"] {
        let files = [&broken, &clean].map(|file| FileReport {
            source: &file.source,
            diagnostics: &file.diagnostics,
            dropped: 3 * usize::from(file.has_errors()),
            is_recipe: true,
        });
        let _ = writeln!(drawn, "# {name}\n{}", render(format(name).expect("is a format"), files, Style::default()));
    }
    insta::assert_snapshot!(drawn);
}

#[test]
fn closing_lines() {
    let rows = [
        ([0, 0, 0, 0, 0], "checked 0 recipes: nothing found"),
        ([1, 0, 0, 0, 0], "checked 1 recipe: nothing found"),
        ([12, 3, 1, 0, 0], "checked 12 recipes: 3 errors, 1 warning"),
        (
            [1, 1, 2, 1, 1],
            "checked 1 recipe: 1 error, 2 warnings, 1 note\n1 further finding of the same kinds not shown",
        ),
        ([2, 0, 0, 2, 9], "checked 2 recipes: 2 notes\n9 further findings of the same kinds not shown"),
    ];
    for ([files, errors, warnings, notes, dropped], expected) in rows {
        assert_eq!(Summary { files, errors, warnings, notes, dropped, ..Summary::default() }.to_string(), expected);
    }
}

#[test]
fn concise_is_one_line_a_finding() {
    let rows = [
        ("{\n  \"é😀\": «6» }", "message", "a.json:2:9: warning: message [some-rule]\n"),
        ("«»", "two\nlines\u{1b}[31m", "a.json:1:1: warning: two␊lines␛[31m [some-rule]\n"),
    ];
    for (marked, message, expected) in rows {
        let (source, mut finding) = found(marked);
        finding.message = message.to_owned();
        let file = FileReport { source: &source, diagnostics: &[finding], dropped: 0, is_recipe: true };
        assert_eq!(render(format("concise").expect("is a format"), [file], Style::default()), expected);
    }
}

fn as_json(files: &[FileReport<'_>]) -> serde_json::Value {
    let text = render(format("json").expect("is a format"), files.iter().copied(), Style::default());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn json_follows_its_schema() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/report.schema.json");
    let schema: serde_json::Value = serde_json::from_slice(&std::fs::read(path).expect("is there")).expect("is JSON");
    let findings: Vec<_> = rows().iter().map(|(_, marked)| found(marked)).collect();
    let findings: Vec<_> = findings
        .into_iter()
        .map(|(source, finding)| (source, [finding.clone(), finding.help("\u{1b}").fix("do", Span::new(0, 1), "\"")]))
        .collect();
    let files: Vec<_> = findings
        .iter()
        .map(|(source, diagnostics)| FileReport { source, diagnostics, dropped: 2, is_recipe: true })
        .collect();
    for count in [0, 1, files.len()] {
        conforms(&as_json(&files[..count]), &schema, &schema, "report");
    }
}

/// As much of JSON Schema as the schema uses; a member it does not describe is an error here.
fn conforms(value: &serde_json::Value, schema: &serde_json::Value, root: &serde_json::Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let part = root.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{place}: no {name}"));
        return conforms(value, part, root, place);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return conforms(value, &choices[usize::from(!value.is_null())], root, place);
    }
    if let Some(constant) = schema.get("const") {
        return assert_eq!(value, constant, "{place}");
    }
    if let Some(choices) = schema["enum"].as_array() {
        return assert!(choices.contains(value), "{place}: {value}");
    }
    let kind = match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "boolean",
        serde_json::Value::Number(_) => "integer",
        serde_json::Value::String(_) => "string",
        serde_json::Value::Array(_) => "array",
        serde_json::Value::Object(_) => "object",
    };
    let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    assert!(kinds.contains(&kind.into()), "{place} is {kind}, not {kinds:?}");
    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
        conforms(item, &schema["items"], root, &format!("{place}[{number}]"));
    }
    if let Some(members) = value.as_object() {
        let (mut names, mut required): (Vec<&str>, Vec<&str>) = (
            members.keys().map(String::as_str).collect(),
            schema["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect(),
        );
        names.sort_unstable();
        required.sort_unstable();
        assert_eq!(names, required, "{place}");
        for (name, member) in members {
            conforms(member, &schema["properties"][name], root, &format!("{place}.{name}"));
        }
    }
}

#[test]
fn places_on_a_long_line_are_those_of_the_source() {
    let text = format!("[\n{}\n]", "\"é中😀ab\", ".repeat(2000));
    let source = Source::from_text("a.json", text);
    let spans = (0..source.text().len()).step_by(97).filter(|&at| source.text().is_char_boundary(at));
    let findings: Vec<_> =
        spans.map(|at| Diagnostic::new("some-rule", Level::Error, Span::empty(at), "wrong")).collect();
    let report = as_json(&[FileReport { source: &source, diagnostics: &findings, dropped: 0, is_recipe: true }]);
    for found in report["files"][0]["diagnostics"].as_array().expect("is a list") {
        let at = found["span"]["start"].as_u64().expect("is a number") as u32;
        let Position { line, column } = source.position(at, Unit::Char);
        let utf16 = source.position(at, Unit::Utf16).column;
        assert_eq!(found["start"], serde_json::json!({ "line": line, "column": column, "utf16_column": utf16 }));
    }
}

#[test]
fn a_thousand_findings_on_a_line_of_megabytes() {
    let source = Source::from_text("a.json", "\"é\":[1,2], ".repeat(1 << 18));
    let step = source.text().len() / 1000 / 12 * 12;
    let findings: Vec<_> = (0..1000)
        .map(|n| Diagnostic::new("some-rule", Level::Error, Span::new(n * step, n * step + 4), "wrong"))
        .collect();
    let file = FileReport { source: &source, diagnostics: &findings, dropped: 0, is_recipe: true };
    let drawn = render(format("human").expect("is a format"), [file], Style::default());
    assert!(drawn.len() < 400_000, "{}", drawn.len());
    assert_eq!(drawn.matches("error: wrong  [some-rule]").count(), 1000);
}
