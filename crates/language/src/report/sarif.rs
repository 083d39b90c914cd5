//! SARIF 2.1.0, which GitHub's code scanning, IDEs and many dashboards read.
//!
//! - Every rule is in `rules` with its documentation, whether it spoke or not; `help` has no address, for the
//!   documentation is all there.
//! - Columns count UTF-16 code units, as the editors that read SARIF do, and not the byte order mark.
//! - The primary label is the location's message, the secondary ones are `relatedLocations`.
//! - `partialFingerprints` do not change when a finding moves.
//! - Braces in messages stand as they are: readers that know placeholders look for them only where `arguments` are,
//!   and the others would show them twice.

use serde::Serialize;

use super::{FileReport, Format, Root, Style, Summary, counted, fingerprints, printable};
use crate::diagnostic::{Diagnostic, Label};
use crate::lint::{RULES, Rule};
use crate::source::{Source, Span, Unit};

/// The format of this file.
pub static FORMAT: Format = Format {
    name: "sarif",
    description: "SARIF 2.1.0, for code scanning and dashboards",
    root: Some(Root { variable: "GITHUB_WORKSPACE", is_needed: false }),
    has_summary: false,
    begin,
    file,
    end,
};

/// How much of a text is shown.
const MOST: usize = 4000;

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'a str,
    version: &'a str,
    semantic_version: &'a str,
    rules: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    id: &'a str,
    name: String,
    short_description: Message,
    full_description: Message,
    help: Help,
    default_configuration: Configuration<'a>,
}

#[derive(Serialize)]
struct Help {
    text: String,
    markdown: String,
}

#[derive(Serialize)]
struct Configuration<'a> {
    level: &'a str,
}

#[derive(Serialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding<'a> {
    rule_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_index: Option<usize>,
    level: &'a str,
    message: Message,
    locations: [Location<'a>; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location<'a>>,
    partial_fingerprints: Fingerprints,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixes: Option<[Fix<'a>; 1]>,
}

#[derive(Serialize)]
struct Fingerprints {
    #[serde(rename = "zrecipeFinding/v1")]
    finding: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    physical_location: PhysicalLocation<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation<'a> {
    artifact_location: Artifact<'a>,
    region: Region,
}

#[derive(Serialize, Clone, Copy)]
struct Artifact<'a> {
    uri: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
    start_column: u32,
    end_line: u32,
    end_column: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fix<'a> {
    description: Message,
    artifact_changes: [Change<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change<'a> {
    artifact_location: Artifact<'a>,
    replacements: Vec<Replacement<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement<'a> {
    deleted_region: Region,
    inserted_content: Content<'a>,
}

#[derive(Serialize)]
struct Content<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation<'a> {
    execution_successful: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_execution_notifications: Vec<Notification<'a>>,
}

#[derive(Serialize)]
struct Notification<'a> {
    level: &'a str,
    message: Message,
}

fn begin(_: &Style) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let rules = RULES.iter().map(|rule| descriptor(rule)).collect();
    let tool = Tool { driver: Driver { name: "zrecipe", version, semantic_version: version, rules } };
    format!(
        "{{\n\"$schema\": \"https://json.schemastore.org/sarif-2.1.0.json\",\n\"version\": \"2.1.0\",\n\
         \"runs\": [{{\n\"tool\": {},\n\"columnKind\": \"utf16CodeUnits\",\n\"results\": [",
        to_json(&tool)
    )
}

fn file(file: &FileReport<'_>, before: &Summary, _: &Style) -> String {
    let mut text = String::new();
    let artifact = Artifact { uri: &uri(file.source.name()) };
    let source = file.source;
    let mut is_first = before.errors + before.warnings + before.notes == 0;
    for (found, fingerprint) in file.diagnostics.iter().zip(fingerprints(file)) {
        text.push_str(if is_first { "\n" } else { ",\n" });
        text.push_str(&to_json(&finding(source, artifact, found, fingerprint)));
        is_first = false;
    }
    text
}

fn end(summary: &Summary, _: &Style) -> String {
    let more = format!("{} of the same kinds not shown", counted(summary.dropped, "further finding"));
    let unread = format!("{} could not be read", counted(summary.unread, "file"));
    let told = [("note", summary.dropped, more), ("error", summary.unread, unread)].into_iter();
    let notifications = told.filter(|(_, count, _)| *count > 0);
    let notifications = notifications.map(|(level, _, text)| Notification { level, message: Message { text } });
    let invocation =
        Invocation { execution_successful: summary.unread == 0, tool_execution_notifications: notifications.collect() };
    format!("\n],\n\"invocations\": [{}]\n}}]\n}}\n", to_json(&invocation))
}

/// Nothing here has a key that is no string, so this cannot fail.
fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn descriptor(rule: &Rule) -> Descriptor<'_> {
    let markdown = rule.markdown();
    Descriptor {
        id: rule.name,
        name: rule.name.split('-').map(capitalised).collect(),
        short_description: Message { text: rule.summary().to_owned() },
        full_description: Message { text: rule.why() },
        help: Help { text: markdown.clone(), markdown },
        default_configuration: Configuration { level: rule.level.as_str() },
    }
}

fn capitalised(word: &str) -> String {
    let mut word = word.to_owned();
    if let Some(first) = word.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    word
}

fn finding<'a>(source: &Source, artifact: Artifact<'a>, found: &'a Diagnostic, fingerprint: String) -> Finding<'a> {
    let location = |id: Option<usize>, label: &Label| Location {
        id,
        physical_location: PhysicalLocation { artifact_location: artifact, region: region(source, label.span) },
        message: Some(message(&label.text)).filter(|message| !message.text.is_empty()),
    };
    let fix = |fix: &'a crate::diagnostic::Fix| Fix {
        description: message(&fix.title),
        artifact_changes: [Change {
            artifact_location: artifact,
            replacements: fix
                .edits
                .iter()
                .map(|edit| Replacement {
                    deleted_region: region(source, edit.span),
                    inserted_content: Content { text: &edit.replacement },
                })
                .collect(),
        }],
    };
    let mut said = message(&found.message);
    if let Some(help) = &found.help {
        said.text.push_str("\nhelp: ");
        said.text.push_str(&message(help).text);
    }
    Finding {
        rule_id: found.rule,
        rule_index: RULES.iter().position(|rule| rule.name == found.rule),
        level: found.level.as_str(),
        message: said,
        locations: [location(None, &found.primary)],
        related_locations: found.secondary.iter().zip(1..).map(|(label, id)| location(Some(id), label)).collect(),
        partial_fingerprints: Fingerprints { finding: fingerprint },
        fixes: found.fix.as_ref().map(|found| [fix(found)]),
    }
}

/// Text of the user or about it; what looks like a link is none.
fn message(text: &str) -> Message {
    let text = printable(text, MOST);
    let text =
        if text.contains("](") { text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]") } else { text };
    Message { text }
}

fn region(source: &Source, span: Span) -> Region {
    let point = |at| {
        let position = source.position(at, Unit::Utf16);
        let is_after_mark = position.line == 1 && position.column > 1 && source.has_byte_order_mark();
        (position.line, position.column - u32::from(is_after_mark))
    };
    let ((start_line, start_column), (end_line, end_column)) = (point(span.start), point(span.end));
    Region { start_line, start_column, end_line, end_column }
}

/// A path as a reference: relative to the working directory, or a `file` URI.
fn uri(path: &str) -> String {
    use std::fmt::Write as _;
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}
