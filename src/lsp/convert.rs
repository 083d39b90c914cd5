//! Places and findings as the protocol has them: the only file that knows how clients count and how files are called.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gen_lsp_types as lsp;

use zrecipe_language::diagnostic::{Diagnostic, Edit, Level};
use zrecipe_language::source::{self, Source, Span, Unit};
use zrecipe_project::platform::{path_bytes, path_from_bytes};

/// How a client counts in a text.
///
/// A line ends for the protocol at `\n`, `\r\n`, and at a `\r` by itself, which is none of ours.
#[derive(Debug)]
pub struct Lines {
    unit: Unit,
    /// The first byte of each line, if there is a `\r` by itself.
    odd: OnceLock<Option<Vec<u32>>>,
}

impl Lines {
    /// The lines of a text that nobody has asked about yet.
    pub fn new(unit: Unit) -> Self {
        Self { unit, odd: OnceLock::new() }
    }

    fn starts<'s>(&'s self, source: &'s Source) -> &'s [u32] {
        let odd = self.odd.get_or_init(|| {
            let bytes = source.text().as_bytes();
            let ends: Vec<usize> =
                memchr::memchr_iter(b'\r', bytes).filter(|&at| bytes.get(at + 1) != Some(&b'\n')).collect();
            (!ends.is_empty()).then(|| {
                let mut starts = source.line_starts().to_vec();
                starts.extend(ends.iter().map(|&at| at as u32 + 1));
                starts.sort_unstable();
                starts
            })
        });
        odd.as_deref().unwrap_or(source.line_starts())
    }

    /// The position of a byte.
    pub fn position(&self, source: &Source, at: u32) -> lsp::Position {
        let starts = self.starts(source);
        let line = starts.partition_point(|&start| start <= at).saturating_sub(1);
        let column = |at| source.position(at, self.unit);
        let (here, start) = (column(at), starts.get(line).map(|&start| column(start)));
        // On the same line of ours, or our line begins where that of the protocol does.
        let before = start.filter(|start| start.line == here.line).map_or(1, |start| start.column);
        lsp::Position { line: line as u32, character: here.column - before }
    }

    /// The byte of a position; beyond the end of a line it is the line's end.
    pub fn offset(&self, source: &Source, position: lsp::Position) -> u32 {
        let starts = self.starts(source);
        let Some(&start) = starts.get(position.line as usize) else { return source.text().len() as u32 };
        let base = source.position(start, self.unit);
        let column = base.column.saturating_add(position.character);
        let at = source.offset(source::Position { line: base.line, column }, self.unit);
        let bytes = source.text().as_bytes();
        let mut end = starts.get(position.line as usize + 1).map_or(bytes.len() as u32, |&next| next - 1);
        if end > start && bytes.get(end as usize) == Some(&b'\n') && bytes.get(end as usize - 1) == Some(&b'\r') {
            end -= 1;
        }
        at.min(end)
    }

    /// The range of a span.
    pub fn range(&self, source: &Source, span: Span) -> lsp::Range {
        lsp::Range { start: self.position(source, span.start), end: self.position(source, span.end) }
    }

    /// The span of a range.
    pub fn span(&self, source: &Source, range: lsp::Range) -> Span {
        let start = self.offset(source, range.start);
        Span { start, end: self.offset(source, range.end).max(start) }
    }

    /// An edit of a text.
    pub fn edit(&self, source: &Source, edit: &Edit) -> lsp::TextEdit {
        lsp::TextEdit { range: self.range(source, edit.span), new_text: edit.replacement.clone() }
    }

    /// A finding about the file of this name.
    pub fn diagnostic(&self, source: &Source, uri: &lsp::Uri, found: &Diagnostic) -> lsp::Diagnostic {
        let label = match found.primary.text.as_str() {
            "" => String::new(),
            text => format!("\n{text}"),
        };
        let help = found.help.as_ref().map_or(String::new(), |help| format!("\nhelp: {help}"));
        let related = |label: &zrecipe_language::diagnostic::Label| lsp::DiagnosticRelatedInformation {
            location: lsp::Location { uri: uri.clone(), range: self.range(source, label.span) },
            message: if label.text.is_empty() { "see also".to_owned() } else { label.text.clone() },
        };
        let related: Vec<_> = found.secondary.iter().map(related).collect();
        let tags = match found.rule {
            "deprecated-parameter" | "deprecated-plugin" => vec![lsp::DiagnosticTag::Deprecated],
            "unreferenced-step"
            | "unused-block"
            | "unused-logging-part"
            | "unused-parameter"
            | "unused-suppression"
            | "unread-setting"
            | "shadowed-block" => vec![lsp::DiagnosticTag::Unnecessary],
            _ => Vec::new(),
        };
        lsp::Diagnostic {
            range: self.range(source, found.primary.span),
            severity: Some(match found.level {
                Level::Error => lsp::DiagnosticSeverity::Error,
                Level::Warning => lsp::DiagnosticSeverity::Warning,
                Level::Note => lsp::DiagnosticSeverity::Information,
            }),
            code: Some(lsp::Code::String(found.rule.to_owned())),
            code_description: Some(lsp::CodeDescription { href: lsp::Uri(documentation(found.rule)) }),
            source: Some("zrecipe".to_owned()),
            message: lsp::Message::String(format!("{}{label}{help}", found.message)),
            tags: Some(tags).filter(|tags| !tags.is_empty()),
            related_information: Some(related).filter(|related| !related.is_empty()),
            data: None,
        }
    }
}

/// How the addresses of documents begin that the server itself has.
pub const SCHEME: &str = "zrecipe";

/// Where a rule is documented: a document that the server gives out.
fn documentation(rule: &str) -> String {
    format!("{SCHEME}:rules/{rule}.md")
}

/// The file that a URI names; nothing for what is no file.
pub fn path(uri: &lsp::Uri) -> Option<PathBuf> {
    let rest = uri.0.strip_prefix("file://")?;
    let rest = &rest[rest.find('/')?..];
    let mut bytes = Vec::with_capacity(rest.len());
    let mut left = rest.bytes();
    while let Some(byte) = left.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'?' | b'#' => break,
            b'%' => bytes.push((digit(left.next())? * 16 + digit(left.next())?) as u8),
            other => bytes.push(other),
        }
    }
    path_from_bytes(bytes)
}

/// The URI of a file.
pub fn uri(path: &Path) -> lsp::Uri {
    let mut uri = "file://".to_owned();
    for byte in path_bytes(path) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    lsp::Uri(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_client() {
        // Lines of the protocol: `aé`, `😀b`, ``, `中`, `z`.
        let source = Source::from_text("x", "aé\r😀b\r\n\n中\nz");
        for (needle, line, utf8, utf16, chars) in
            [("é", 0, 1, 1, 1), ("😀", 1, 0, 0, 0), ("b", 1, 4, 2, 1), ("中", 3, 0, 0, 0), ("z", 4, 0, 0, 0)]
        {
            let at = source.text().find(needle).expect("is in the text") as u32;
            for (unit, character) in [(Unit::Utf8, utf8), (Unit::Utf16, utf16), (Unit::Char, chars)] {
                let lines = Lines::new(unit);
                let position = lsp::Position { line, character };
                assert_eq!(lines.position(&source, at), position, "{needle} {unit:?}");
                assert_eq!(lines.offset(&source, position), at, "{needle} {unit:?}");
            }
        }
        let lines = Lines::new(Unit::Utf16);
        for (line, character, expect) in [(0, 99, 3), (1, 99, 9), (2, 5, 11), (9, 0, 17)] {
            assert_eq!(lines.offset(&source, lsp::Position { line, character }), expect, "{line}:{character}");
        }
    }

    #[test]
    fn files_have_uris() {
        for (file, name) in [("/a/b.json", "file:///a/b.json"), ("/ä b/%.json", "file:///%C3%A4%20b/%25.json")] {
            assert_eq!(uri(Path::new(file)).0, name);
            assert_eq!(path(&lsp::Uri(name.to_owned())), Some(PathBuf::from(file)));
        }
        for other in ["untitled:Untitled-1", "file:", "file:///a%2", "file:///a%zz"] {
            assert_eq!(path(&lsp::Uri(other.to_owned())), None, "{other}");
        }
        assert_eq!(path(&lsp::Uri("file://host/a?x#y".to_owned())), Some(PathBuf::from("/a")));
    }
}
