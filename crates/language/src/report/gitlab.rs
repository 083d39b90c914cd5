//! A Code Quality report, which GitLab shows in merge requests.
//!
//! Severities: `blocker` is what the dispatcher refuses, `critical` any other error, `major` a warning, `info` a note.

use serde::Serialize;

use super::{FileReport, Format, Root, Style, Summary, fingerprints, printable};
use crate::diagnostic::{Diagnostic, Level};
use crate::source::{Source, Unit};

/// The format of this file.
pub static FORMAT: Format = Format {
    name: "gitlab",
    description: "a Code Quality report, for merge requests of GitLab",
    root: Some(Root { variable: "CI_PROJECT_DIR", is_needed: true }),
    has_summary: false,
    begin: |_| "[".to_owned(),
    file,
    end: |summary, _| if has_findings(summary) { "\n]\n".to_owned() } else { "]\n".to_owned() },
};

/// How much of a text is shown.
const MOST: usize = 4000;

#[derive(Serialize)]
struct Issue<'a> {
    description: String,
    check_name: &'a str,
    fingerprint: String,
    severity: &'a str,
    location: Location<'a>,
}

/// GitLab reads `lines` or `positions`, other programs only one of them.
#[derive(Serialize)]
struct Location<'a> {
    path: &'a str,
    lines: Range<u32>,
    positions: Range<Point>,
}

#[derive(Serialize)]
struct Range<T> {
    begin: T,
    end: T,
}

#[derive(Serialize)]
struct Point {
    line: u32,
    column: u32,
}

fn file(file: &FileReport<'_>, before: &Summary, _: &Style) -> String {
    let mut text = String::new();
    let source = file.source;
    for (number, (found, fingerprint)) in file.diagnostics.iter().zip(fingerprints(file)).enumerate() {
        text.push_str(if number > 0 || has_findings(before) { ",\n  " } else { "\n  " });
        let issue = issue(source, found, fingerprint);
        // Nothing here has a key that is no string, so this cannot fail.
        text.push_str(&serde_json::to_string(&issue).unwrap_or_default());
    }
    text
}

fn has_findings(summary: &Summary) -> bool {
    summary.errors + summary.warnings + summary.notes > 0
}

fn issue<'a>(source: &'a Source, found: &'a Diagnostic, fingerprint: String) -> Issue<'a> {
    let point = |at| {
        let position = source.position(at, Unit::Char);
        Point { line: position.line, column: position.column }
    };
    let (begin, end) = (point(found.primary.span.start), point(found.primary.span.end));
    let description = match &found.help {
        Some(help) => format!("{}; {help}", found.message),
        None => found.message.clone(),
    };
    Issue {
        description: printable(&description, MOST),
        check_name: found.rule,
        fingerprint,
        severity: match found.level {
            Level::Error if found.refused => "blocker",
            Level::Error => "critical",
            Level::Warning => "major",
            Level::Note => "info",
        },
        location: Location {
            path: source.name(),
            lines: Range { begin: begin.line, end: end.line },
            positions: Range { begin, end },
        },
    }
}
