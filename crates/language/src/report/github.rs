//! Workflow commands, from which GitHub Actions makes annotations beside the code.
//!
//! ```text
//! ::error file=a.json,line=3,col=10,endLine=3,endColumn=13,title=zrecipe (cycle)::message%0Ahelp: what to do
//! ```
//!
//! GitHub shows ten annotations of each level a step and leaves the others in the log. It ignores columns of a place
//! that has several lines.

use std::fmt::Write as _;

use super::{FileReport, Format, Root, Style, Summary, printable, stand_in};
use crate::diagnostic::{Diagnostic, Level};
use crate::source::Unit;

/// The format of this file.
pub static FORMAT: Format = Format {
    name: "github",
    description: "annotations beside the code, for GitHub Actions",
    root: Some(Root { variable: "GITHUB_WORKSPACE", is_needed: false }),
    has_summary: false,
    begin: |_| String::new(),
    file,
    end: |_, _| String::new(),
};

/// How much of a text is shown.
const MOST: usize = 4000;

fn file(file: &FileReport<'_>, _: &Summary, _: &Style) -> String {
    let mut text = String::new();
    let source = file.source;
    let path = property(file.source.name());
    for found in file.diagnostics {
        let command = match found.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "notice",
        };
        let start = source.position(found.primary.span.start, Unit::Char);
        let end = source.position(found.primary.span.end, Unit::Char);
        let title = property(&format!("zrecipe ({})", found.rule));
        let _ = write!(text, "::{command} file={path},line={}", start.line);
        let _ = match start.line == end.line {
            true => write!(text, ",col={},endLine={},endColumn={}", start.column, end.line, end.column),
            false => write!(text, ",endLine={}", end.line),
        };
        let _ = writeln!(text, ",title={title}::{}", message(found));
    }
    text
}

/// The message and, on lines of their own, what to do.
fn message(found: &Diagnostic) -> String {
    let help = found.help.as_ref().map(|help| format!("help: {help}"));
    let fix = found.fix.as_ref().map(|fix| format!("fix: {}", fix.title));
    let lines = [Some(found.message.clone()), help, fix].into_iter().flatten();
    let lines: Vec<String> = lines.map(|line| data(&printable(&line, MOST))).collect();
    lines.join("%0A")
}

/// What follows the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A value before the second `::`. Line ends are kept, for a file's name may have them; what else a terminal would act
/// on is not.
fn property(text: &str) -> String {
    let is_line_end = |character: &char| matches!(character, '\r' | '\n');
    let stand_in = |character| stand_in(character).filter(|_| !is_line_end(&character)).unwrap_or(character);
    data(&text.chars().map(stand_in).collect::<String>()).replace(':', "%3A").replace(',', "%2C")
}
