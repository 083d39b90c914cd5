//! One line a finding, `path:line:column: level: message [rule]`, for editors, `grep` and logs.

use std::fmt::Write as _;

use super::{FileReport, Format, Style, Summary, printable};
use crate::source::Unit;

/// The format of this file.
pub static FORMAT: Format = Format {
    name: "concise",
    description: "one line per finding, for editors and logs",
    root: None,
    has_summary: false,
    begin: |_| String::new(),
    file,
    end: |_, _| String::new(),
};

/// How much of a name or a message is worth a line.
const MOST: usize = 4000;

fn file(file: &FileReport<'_>, _: &Summary, _: &Style) -> String {
    let mut text = String::new();
    let path = printable(file.source.name(), MOST);
    let source = file.source;
    for found in file.diagnostics {
        let at = source.position(found.primary.span.start, Unit::Char);
        let message = printable(&found.message, MOST);
        let _ = writeln!(text, "{path}:{}:{}: {}: {message} [{}]", at.line, at.column, found.level, found.rule);
    }
    text
}
