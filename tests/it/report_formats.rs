//! Formats that other programs read: what they look like with hostile names and texts, and that they are well formed.
//!
//! Their output was checked by hand with SARIF's own schema (`serde-sarif` carries it) and the XSD of Jenkins
//! (`pytest` carries it); here the properties those cannot state are checked as well.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use zrecipe::compile::{Options, compile};
use zrecipe::diagnostic::{Diagnostic, Edit, Level};
use zrecipe::lint::{RULES, rule};
use zrecipe::report::{FileReport, Style, format, render};
use zrecipe::source::{Position, Source, Span, Unit};

/// Files with everything that formats have to write in a way of their own.
fn hostile() -> Vec<(Source, Vec<Diagnostic>)> {
    let at = |text: &str, needle: &str| {
        let start = text.find(needle).expect("is in the text");
        Span::new(start, start + needle.len())
    };
    let cycle = rule("cycle").expect("is a rule");
    let misspelt = rule("misspelt-key").expect("is a rule");
    let scalar = rule("scalar-error").expect("is a rule");

    let text = "{\r\n  \"é😀\": \"6\", \"b\": [\r\n  1 ] }";
    let several = vec![
        cycle
            .at(at(text, "\"6\""), "100% of `é😀`: a, b\nand {c} <d> & \"e\" ]]> [f](http://g) \\")
            .label("this\u{1b}[31m")
            .also(at(text, "\"é😀\""), "the 😀")
            .also(Span::empty(text.len()), "the end")
            .help("do: this, 100%\r\nand that")
            .refused(),
        misspelt.at(at(text, "[\r\n  1 ]"), "`\u{0}\u{7}\u{85}\u{202e}\u{feff}\u{fffe}\u{ffff}`").fix(
            "write `\"7\"`",
            at(text, "\"6\""),
            "\"\u{1}\n7\"",
        ),
        scalar.at(at(text, "1"), "several edits").with_fix(
            false,
            "move it",
            vec![
                Edit { span: at(text, "1 "), replacement: String::new() },
                Edit { span: Span::empty(1), replacement: "1,".to_owned() },
            ],
        ),
        Diagnostic::new("some-rule", Level::Note, Span::default(), "from elsewhere"),
    ];
    let twice = vec![cycle.at(Span::new(3, 4), "again"), cycle.at(Span::new(5, 6), "again")];
    vec![
        (Source::from_text("a b/100%,c:d\n<é😀>&\"'\u{1b}\u{202e}]]>.json", text), several),
        (Source::from_text("clean.json", "{}"), Vec::new()),
        (Source::from_text("/absolute/x.json", "\u{feff}1 1 1"), twice),
        (Source::from_text("empty.json", ""), vec![cycle.at(Span::default(), "nothing here").level(Level::Warning)]),
    ]
}

fn reports(files: &[(Source, Vec<Diagnostic>)]) -> Vec<FileReport<'_>> {
    files.iter().map(|(source, diagnostics)| FileReport { source, diagnostics, dropped: 0, is_recipe: true }).collect()
}

fn written(name: &str, files: &[FileReport<'_>]) -> String {
    render(format(name).expect("is a format"), files.iter().copied(), Style { colour: true, ..Style::default() })
}

fn as_json(name: &str, files: &[FileReport<'_>]) -> serde_json::Value {
    let text = written(name, files);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Without what changes with every release and every rule.
fn sarif_without_rules(files: &[FileReport<'_>]) -> String {
    let mut report = as_json("sarif", files);
    let driver = &mut report["runs"][0]["tool"]["driver"];
    driver["version"] = "…".into();
    driver["semanticVersion"] = "…".into();
    let spoke = |rule: &serde_json::Value| rule["id"] == "cycle";
    driver["rules"].as_array_mut().expect("is a list").retain(spoke);
    for result in report["runs"][0]["results"].as_array_mut().expect("is a list") {
        if let Some(index) = result.get_mut("ruleIndex") {
            *index = "…".into();
        }
    }
    serde_json::to_string_pretty(&report).expect("can be written")
}

#[test]
fn sarif() {
    insta::assert_snapshot!(sarif_without_rules(&reports(&hostile())));
}

#[test]
fn github() {
    insta::assert_snapshot!(written("github", &reports(&hostile())));
}

#[test]
fn gitlab() {
    insta::assert_snapshot!(written("gitlab", &reports(&hostile())));
}

#[test]
fn junit() {
    let files = hostile();
    let mut files = reports(&files);
    files[0].dropped = 7;
    insta::assert_snapshot!(written("junit", &files));
}

/// A recipe with typical mistakes, through the whole pipeline.
#[test]
fn a_recipe_in_formats_for_programs() {
    let text = r#"{
  "1": { "service": "Écran 😀", "queue": "images", "output": { "first": "2", "every": [2, 9] } },
  "2": { "queue": "archiver", "output": 1 },
  "start": [[1, []]]
}
"#;
    let broken = compile(Arc::new(Source::from_text("recipes/broken.json", text)), Options::default());
    let cut = compile(Arc::new(Source::from_text("recipes/cut off.json", "{\"1\":")), Options::default());
    let files = [&broken, &cut].map(|file| FileReport {
        source: &file.source,
        diagnostics: &file.diagnostics,
        dropped: 0,
        is_recipe: true,
    });
    let mut drawn = String::new();
    for name in ["github", "gitlab", "junit"] {
        let _ = writeln!(drawn, "# {name}\n{}", written(name, &files));
    }
    insta::assert_snapshot!(drawn);
}

/// Reports about no file, about clean files, and with a clean file between others are well formed.
#[test]
fn any_number_of_files() {
    let files = hostile();
    let all = reports(&files);
    let rows: [&[usize]; 6] = [&[], &[1], &[1, 1], &[0, 1, 2], &[1, 0, 1], &[0, 2, 3]];
    for row in rows {
        let files: Vec<_> = row.iter().map(|&file| all[file]).collect();
        let findings: usize = files.iter().map(|file| file.diagnostics.len()).sum();
        let results = as_json("sarif", &files)["runs"][0]["results"].as_array().map(Vec::len);
        assert_eq!(results, Some(findings), "{row:?}");
        assert_eq!(as_json("gitlab", &files).as_array().map(Vec::len), Some(findings), "{row:?}");
        assert_eq!(written("github", &files).lines().count(), findings, "{row:?}");
        assert_eq!(elements(&written("junit", &files), "testcase"), files.len(), "{row:?}");
    }
}

#[test]
fn sarif_says_what_is_not_shown() {
    let files = hostile();
    let mut files = reports(&files);
    files[0].dropped = 2;
    let report = as_json("sarif", &files);
    let said = &report["runs"][0]["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"];
    assert_eq!(said, "2 further findings of the same kinds not shown");
}

#[test]
fn sarif_rules_are_those_of_the_results() {
    let files = hostile();
    let report = as_json("sarif", &reports(&files));
    let run = &report["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("is a list");
    assert_eq!(rules.len(), RULES.len());
    for descriptor in rules {
        let name = descriptor["name"].as_str().expect("is text");
        assert!(name.chars().all(char::is_alphanumeric) && name.starts_with(char::is_uppercase), "{name}");
        for field in ["shortDescription", "fullDescription", "help"] {
            let text = descriptor[field]["text"].as_str().expect("is text");
            assert!(!text.is_empty(), "{name} {field}");
            // GitHub shows no more of a description.
            assert!(field == "help" || (text.len() <= 1024 && !text.contains('\n')), "{name} {field}: {text}");
        }
        let short = descriptor["shortDescription"]["text"].as_str().expect("is text");
        assert!(short.ends_with(['.', ':']), "the first sentence of {name} ends elsewhere: {short}");
    }
    for result in run["results"].as_array().expect("is a list") {
        match result["ruleIndex"].as_u64() {
            Some(index) => assert_eq!(rules[index as usize]["id"], result["ruleId"]),
            None => assert_eq!(result["ruleId"], "some-rule"),
        }
    }
}

/// A region and an address read back are the text and the file they came from.
#[test]
fn sarif_regions_and_addresses_read_back() {
    let files = hostile();
    let reports = reports(&files);
    for report in &reports {
        let (source, document) = (report.source, as_json("sarif", &[*report]));
        let results = document["runs"][0]["results"].as_array().expect("is a list");
        for (found, result) in report.diagnostics.iter().zip(results) {
            let place = &result["locations"][0]["physicalLocation"];
            let address = place["artifactLocation"]["uri"].as_str().expect("is text");
            assert!(address.bytes().all(|byte| byte.is_ascii_graphic()), "{address}");
            assert_eq!(decoded(address.strip_prefix("file://").unwrap_or(address)), source.name());
            let mark = u32::from(source.has_byte_order_mark());
            let offset = |line: &str, column: &str| {
                let number = |name: &str| place["region"][name].as_u64().expect("is a number") as u32;
                source.offset(Position { line: number(line), column: number(column) + mark }, Unit::Utf16)
            };
            let span = found.primary.span;
            assert_eq!(offset("startLine", "startColumn"), span.start.max(mark * 3), "{result}");
            assert_eq!(offset("endLine", "endColumn"), span.end.max(mark * 3), "{result}");
        }
    }
}

fn decoded(address: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = address.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        rest = others;
        if first == b'%' {
            let digits = std::str::from_utf8(&rest[..2]).expect("is ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("is a number"));
            rest = &rest[2..];
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).expect("is UTF-8")
}

/// What a finding is known by: not where it stands, and never the same for two.
#[test]
fn fingerprints_stay_and_are_unique() {
    let recipe = |before: &str| {
        let steps = r#""1": { "queue": "a", "output": [7, 7, 8] }, "2": { "queue": "b" }, "start": [[1, []]]"#;
        let source = Source::from_text("a.json", format!("{before}{{\n{steps}\n}}\n"));
        compile(Arc::new(source), Options::default())
    };
    let prints = |before: &str, name: &str| {
        let compiled = recipe(before);
        let again = Source::from_text("b.json", compiled.source.text());
        let files = [&compiled.source, &again].map(|source| FileReport {
            source,
            diagnostics: &compiled.diagnostics,
            dropped: 0,
            is_recipe: true,
        });
        let report = as_json(name, &files);
        let list = if name == "gitlab" { &report } else { &report["runs"][0]["results"] };
        let print = |found: &serde_json::Value| match name {
            "gitlab" => found["fingerprint"].to_string(),
            _ => found["partialFingerprints"]["zrecipeFinding/v1"].to_string(),
        };
        list.as_array().expect("is a list").iter().map(print).collect::<Vec<_>>()
    };
    for name in ["gitlab", "sarif"] {
        let here = prints("", name);
        assert!(here.len() > 6, "{here:?}");
        assert_eq!(here, prints("\n\n      ", name), "{name}: moved");
        assert_eq!(here.iter().collect::<BTreeSet<_>>().len(), here.len(), "{name}: {here:?}");
    }
}

/// The runner reads back what was meant, and no text of the user begins a command.
#[test]
fn github_commands_read_back() {
    let files = hostile();
    let reports = reports(&files);
    let text = written("github", &reports);
    let mut lines = text.lines();
    for report in &reports {
        for found in report.diagnostics {
            let line = lines.next().expect("is there");
            assert!(!line.chars().any(char::is_control), "{line:?}");
            let (_, rest) = line.strip_prefix("::").and_then(|rest| rest.split_once(' ')).expect("is a command");
            let (properties, message) = rest.split_once("::").expect("has a message");
            let names: Vec<_> =
                properties.split(',').map(|property| property.split_once('=').expect("k=v").0).collect();
            let is_short = report.source.slice(found.primary.span).lines().count() < 2;
            let columns = ["file", "line", "col", "endLine", "endColumn", "title"];
            assert_eq!(names, if is_short { columns.to_vec() } else { vec!["file", "line", "endLine", "title"] });
            let path = decoded(properties.split(',').next().expect("is there").trim_start_matches("file="));
            assert_eq!(path, report.source.name().replace('\u{1b}', "␛").replace('\u{202e}', "\u{fffd}"));
            assert_eq!(decoded(message).lines().count(), 1 + usize::from(found.help.is_some() || found.fix.is_some()));
        }
    }
    assert_eq!(lines.next(), None);
}

/// How many elements of a name there are, in text that is well-formed XML 1.0.
fn elements(text: &str, wanted: &str) -> usize {
    let is_character = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
    assert!(text.chars().all(is_character), "{text:?}");
    let body = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("says what it is");
    let (mut open, mut found) = (Vec::new(), 0);
    let mut pieces = body.split('<');
    assert_eq!(pieces.next(), Some(""));
    for piece in pieces {
        let (tag, content) = piece.split_once('>').expect("a tag ends");
        assert!(!content.contains('>'), "{content}");
        for reference in piece.split('&').skip(1) {
            let name = reference.split_once(';').expect("a reference ends").0;
            assert!(["amp", "lt", "gt", "quot"].contains(&name), "&{name};");
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{text}");
            continue;
        }
        let (name, attributes) = tag.trim_end_matches('/').split_once(' ').unwrap_or((tag.trim_end_matches('/'), ""));
        // Texts between quotes alternate with ` name=`.
        let parts: Vec<&str> = attributes.split('"').collect();
        assert!(
            parts.len() % 2 == 1 && parts.iter().step_by(2).all(|part| part.is_empty() || part.ends_with('=')),
            "{tag}"
        );
        assert!(!attributes.contains('\n'), "a line end in an attribute becomes a space: {tag}");
        found += usize::from(name == wanted);
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    found
}

#[test]
fn junit_counts_and_text() {
    let files = hostile();
    let text = written("junit", &reports(&files));
    assert_eq!(elements(&text, "testsuite"), 4);
    assert_eq!(elements(&text, "testcase"), 4);
    // The third file has only a warning.
    assert_eq!(elements(&text, "failure"), 2);
    assert_eq!(text.matches("failures=\"1\"").count(), 2);
}

/// A thousand findings on a line of megabytes, one of them about the whole document, are written in no time.
#[test]
fn formats_for_programs_and_a_large_file() {
    let source = Source::from_text("a.json", "\"é\":[1,2], ".repeat(1 << 18));
    let step = source.text().len() / 1000 / 12 * 12;
    let findings: Vec<_> = (0..1000)
        .map(|n| Diagnostic::new("cycle", Level::Error, Span::new(n * step, source.text().len()), "wrong"))
        .collect();
    let files = [FileReport { source: &source, diagnostics: &findings, dropped: 0, is_recipe: true }];
    for name in ["sarif", "github", "gitlab", "junit"] {
        let text = written(name, &files);
        assert!(text.len() < 1_000_000, "{name}: {}", text.len());
    }
}
