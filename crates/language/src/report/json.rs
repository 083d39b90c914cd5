//! One JSON document for programs: version 1.
//!
//! ```json
//! {
//!   "version": 1,
//!   "files": [{ "path": "a.json", "diagnostics": [], "dropped": 0 }],
//!   "summary": { "files": 1, "errors": 0, "warnings": 0, "notes": 0, "dropped": 0 }
//! }
//! ```
//!
//! - `version`: raised when a field changes its meaning or goes; new fields may appear at any time.
//! - `files`: every file that was checked, clean ones included. `path` is the name that was given; `dropped` counts
//!   findings of which enough has been said.
//! - A diagnostic has `rule` (kebab-case), `level` (`error`, `warning`, `note`), `message` (one clause, user text in
//!   backticks), `path`, the place it is about (`span`, `start`, `end`, and `label`: what is there, or null),
//!   `secondary` (places that explain it, with the same four fields), `help` (what to do, or null), `fix` (or null) and
//!   `refused`: whether the dispatcher rejects the recipe for it. Other errors are accepted and lose messages later.
//! - `span`: bytes of the UTF-8 text, `end` excluded. `start` and `end` are the same places for people: `line` and
//!   `column` count from 1, columns in characters; `utf16_column` counts as editors do.
//! - `fix`: `title` is an imperative clause; `safe` whether it may be applied unseen; `edits` do not overlap, each
//!   replaces `span` by `replacement`.
//!
//! A file that is not UTF-8 was read with U+FFFD for what could not be decoded; spans count bytes of that text.
//! `schemas/report.schema.json` says the same as a JSON Schema.

use serde::Serialize;

use super::{FileReport, Format, Style, Summary};
use crate::diagnostic::{Diagnostic, Label};
use crate::source::{Source, Span, Unit};

/// The format of this file.
pub static FORMAT: Format = Format {
    name: "json",
    description: "one versioned document, for programs",
    root: None,
    has_summary: true,
    begin,
    file,
    end,
};

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    diagnostics: Vec<Finding<'a>>,
    dropped: usize,
}

#[derive(Serialize)]
struct Finding<'a> {
    rule: &'a str,
    level: &'a str,
    message: &'a str,
    path: &'a str,
    #[serde(flatten)]
    place: Place<'a>,
    secondary: Vec<Place<'a>>,
    help: Option<&'a str>,
    fix: Option<Fix<'a>>,
    refused: bool,
}

#[derive(Serialize)]
struct Place<'a> {
    span: Bytes,
    start: Point,
    end: Point,
    label: Option<&'a str>,
}

#[derive(Serialize)]
struct Bytes {
    start: u32,
    end: u32,
}

#[derive(Serialize)]
struct Point {
    line: u32,
    column: u32,
    utf16_column: u32,
}

#[derive(Serialize)]
struct Fix<'a> {
    title: &'a str,
    safe: bool,
    edits: Vec<Edit<'a>>,
}

#[derive(Serialize)]
struct Edit<'a> {
    span: Bytes,
    start: Point,
    end: Point,
    replacement: &'a str,
}

#[derive(Serialize)]
struct Counts {
    files: usize,
    errors: usize,
    warnings: usize,
    notes: usize,
    dropped: usize,
}

fn begin(_: &Style) -> String {
    "{\n  \"version\": 1,\n  \"files\": [".to_owned()
}

fn file(file: &FileReport<'_>, before: &Summary, _: &Style) -> String {
    let source = file.source;
    let path = file.source.name();
    let diagnostics = file.diagnostics.iter().map(|found| finding(source, path, found)).collect();
    let comma = if before.files > 0 { "," } else { "" };
    format!("{comma}\n    {}", to_json(&File { path, diagnostics, dropped: file.dropped }))
}

fn end(summary: &Summary, _: &Style) -> String {
    let &Summary { files, errors, warnings, notes, dropped, .. } = summary;
    let counts = to_json(&Counts { files, errors, warnings, notes, dropped });
    let close = if files > 0 { "\n  ]" } else { "]" };
    format!("{close},\n  \"summary\": {counts}\n}}\n")
}

/// Nothing here has a key that is no string, so this cannot fail.
fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn finding<'a>(source: &Source, path: &'a str, found: &'a Diagnostic) -> Finding<'a> {
    let place = |label: &'a Label| Place {
        span: bytes(label.span),
        start: point(source, label.span.start),
        end: point(source, label.span.end),
        label: Some(label.text.as_str()).filter(|text| !text.is_empty()),
    };
    let edit = |edit: &'a crate::diagnostic::Edit| Edit {
        span: bytes(edit.span),
        start: point(source, edit.span.start),
        end: point(source, edit.span.end),
        replacement: &edit.replacement,
    };
    Finding {
        rule: found.rule,
        level: found.level.as_str(),
        message: &found.message,
        path,
        place: place(&found.primary),
        secondary: found.secondary.iter().map(place).collect(),
        help: found.help.as_deref(),
        fix: found.fix.as_ref().map(|fix| Fix {
            title: &fix.title,
            safe: fix.safe,
            edits: fix.edits.iter().map(edit).collect(),
        }),
        refused: found.refused,
    }
}

fn bytes(span: Span) -> Bytes {
    Bytes { start: span.start, end: span.end }
}

fn point(source: &Source, at: u32) -> Point {
    let position = source.position(at, Unit::Char);
    let utf16_column = source.position(at, Unit::Utf16).column;
    Point { line: position.line, column: position.column, utf16_column }
}
