//! JUnit's XML, for build servers that show tests: every file is a test, which fails if there is an error in it.
//!
//! A test has one `failure` with all errors, because Jenkins and GitLab read no more than the first; findings below
//! error level are its output, for a test cannot fail a little. Every file is a `testsuite` of its own: a suite says
//! at its head how many tests failed, which nobody knows before the last file is read.

use std::fmt::Write as _;

use super::{FileReport, Format, Style, Summary, counted, printable};
use crate::diagnostic::{Diagnostic, Level};
use crate::source::{Source, Unit};

/// The format of this file.
pub static FORMAT: Format = Format {
    name: "junit",
    description: "a test for every file, for Jenkins and other build servers",
    root: None,
    has_summary: false,
    begin: |_| "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"zrecipe\">\n".to_owned(),
    file,
    end,
};

/// How much of a text is shown.
const MOST: usize = 4000;

fn file(file: &FileReport<'_>, _: &Summary, _: &Style) -> String {
    let name = escape(&printable(file.source.name(), MOST));
    let source = file.source;
    let (errors, others): (Vec<_>, Vec<_>) =
        file.diagnostics.iter().partition(|found: &&Diagnostic| found.level == Level::Error);
    let mut output = lines(source, &others);
    if file.dropped > 0 {
        let _ = writeln!(output, "{} of the same kinds not shown", counted(file.dropped, "further finding"));
    }
    let mut parts = String::new();
    if let Some(first) = errors.first() {
        let more = if errors.len() > 1 {
            format!(", and {}", counted(errors.len() - 1, "further error"))
        } else {
            String::new()
        };
        let message = escape(&format!("{}{more}", printable(&first.message, MOST)));
        let rule = first.rule;
        let body = escape(&lines(source, &errors));
        let _ = writeln!(parts, "      <failure type=\"{rule}\" message=\"{message}\">{body}</failure>");
    }
    if !output.is_empty() {
        let _ = writeln!(parts, "      <system-out>{}</system-out>", escape(&output));
    }
    let failures = usize::from(!errors.is_empty());
    let case = if parts.is_empty() { "/>".to_owned() } else { format!(">\n{parts}    </testcase>") };
    format!(
        "  <testsuite name=\"{name}\" tests=\"1\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"0\">\n    \
         <testcase classname=\"zrecipe\" name=\"{name}\" time=\"0\"{case}\n  </testsuite>\n"
    )
}

fn end(summary: &Summary, _: &Style) -> String {
    let mut text = String::new();
    if summary.unread > 0 {
        let message = format!("{} could not be read", counted(summary.unread, "file"));
        let _ = write!(
            text,
            "  <testsuite name=\"files\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" time=\"0\">\n    \
             <testcase classname=\"zrecipe\" name=\"files\" time=\"0\">\n      <error type=\"unreadable\" \
             message=\"{message}\"/>\n    </testcase>\n  </testsuite>\n"
        );
    }
    text + "</testsuites>\n"
}

/// Findings as lines, with what to do.
fn lines(source: &Source, findings: &[&Diagnostic]) -> String {
    let mut text = String::new();
    let path = printable(source.name(), MOST);
    for found in findings {
        let at = source.position(found.primary.span.start, Unit::Char);
        let message = printable(&found.message, MOST);
        let _ = writeln!(text, "{path}:{}:{}: {}: {message} [{}]", at.line, at.column, found.level, found.rule);
        if let Some(help) = &found.help {
            let _ = writeln!(text, "  help: {}", printable(help, MOST));
        }
        if let Some(fix) = &found.fix {
            let _ = writeln!(text, "  fix: {}", printable(&fix.title, MOST));
        }
    }
    text
}

/// Text for an element or an attribute. XML has no way to write U+FFFE and U+FFFF; what else it cannot hold,
/// [`printable`] has taken out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            _ => escaped.push(character),
        }
    }
    escaped
}
