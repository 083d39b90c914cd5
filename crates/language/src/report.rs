//! Findings as text: what every format shares, the list of formats, and the closing line. Each format is one file in
//! `report/`.
//!
//! Pure: the caller decides colour and width, and prints. A report is written file by file, so that ten thousand of
//! them need no more memory than one; what a format writes depends on nothing but its arguments.

use crate::diagnostic::{Diagnostic, Level, counted};
use crate::identity::without_numbers;
use crate::source::Source;

/// What there is to say about one file.
#[derive(Debug, Clone, Copy)]
pub struct FileReport<'a> {
    /// The file.
    pub source: &'a Source,
    /// Its findings, in the order in which they are to appear.
    pub diagnostics: &'a [Diagnostic],
    /// How many further findings there are of which enough has been said.
    pub dropped: usize,
    /// Whether it is a recipe.
    pub is_recipe: bool,
}

/// How a report for people looks. Formats for machines ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to use colours; without them no escape sequence is written.
    pub colour: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// Whether to draw with Unicode's lines, or with what ASCII has.
    pub unicode: bool,
    /// Whether long messages are wrapped at the width; otherwise a message is one line.
    pub wraps: bool,
    /// What the name of a rule links to (OSC 8): the beginning of a URL that the name completes.
    pub rules_url: Option<&'static str>,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, width: 100, unicode: true, wraps: false, rules_url: None }
    }
}

/// How many files were looked at, and what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Files.
    pub files: usize,
    /// Files that are no recipes.
    pub others: usize,
    /// Findings at error level.
    pub errors: usize,
    /// Findings at warning level.
    pub warnings: usize,
    /// Findings at note level.
    pub notes: usize,
    /// Findings that are counted and not shown.
    pub dropped: usize,
    /// Files that could not be read.
    pub unread: usize,
}

impl Summary {
    /// Counts a file and its findings.
    pub fn add(&mut self, file: &FileReport<'_>) {
        self.files += 1;
        self.others += usize::from(!file.is_recipe);
        self.dropped += file.dropped;
        for diagnostic in file.diagnostics {
            *match diagnostic.level {
                Level::Error => &mut self.errors,
                Level::Warning => &mut self.warnings,
                Level::Note => &mut self.notes,
            } += 1;
        }
    }
}

/// The closing lines: `checked 12 recipes: 3 errors, 1 warning`.
impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "checked {}: ", counted(self.files, if self.others == 0 { "recipe" } else { "file" }))?;
        let counts = [(self.errors, "error"), (self.warnings, "warning"), (self.notes, "note")];
        let found: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|&(n, what)| counted(n, what)).collect();
        f.write_str(if found.is_empty() { "nothing found" } else { "" })?;
        f.write_str(&found.join(", "))?;
        if self.dropped > 0 {
            write!(f, "\n{} of the same kinds not shown", counted(self.dropped, "further finding"))?;
        }
        Ok(())
    }
}

/// A way to write findings.
#[derive(Debug)]
pub struct Format {
    /// The name by which the user asks for it: its file's stem.
    pub name: &'static str,
    /// What it is for, in a clause.
    pub description: &'static str,
    /// The directory from which its readers count paths, if it is not the working directory.
    pub root: Option<Root>,
    /// Whether it holds the summary, so that nobody else has to say it.
    pub has_summary: bool,
    begin: fn(&Style) -> String,
    /// Sees the counts of the files before this one.
    file: fn(&FileReport<'_>, &Summary, &Style) -> String,
    end: fn(&Summary, &Style) -> String,
}

/// The directory from which the readers of a format count paths.
#[derive(Debug, Clone, Copy)]
pub struct Root {
    /// The environment variable that names it.
    pub variable: &'static str,
    /// Whether paths are never absolute: without the variable they are below the working directory.
    pub is_needed: bool,
}

/// The format of this name.
pub fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name).copied()
}

/// A report in the making: every call returns the text that comes next.
#[derive(Debug)]
pub struct Report {
    format: &'static Format,
    style: Style,
    summary: Summary,
}

impl Report {
    /// A report about no file yet.
    pub fn new(format: &'static Format, style: Style) -> Self {
        Self { format, style, summary: Summary::default() }
    }

    /// What comes before the first file.
    pub fn begin(&self) -> String {
        (self.format.begin)(&self.style)
    }

    /// What there is to say about the next file.
    pub fn file(&mut self, file: &FileReport<'_>) -> String {
        let text = (self.format.file)(file, &self.summary, &self.style);
        self.summary.add(file);
        text
    }

    /// Counts a file that could not be read.
    pub fn unread(&mut self) {
        self.summary.unread += 1;
    }

    /// What comes after the last file.
    pub fn end(&self) -> String {
        (self.format.end)(&self.summary, &self.style)
    }

    /// What has been counted so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}

/// A whole report at once.
pub fn render<'a>(format: &'static Format, files: impl IntoIterator<Item = FileReport<'a>>, style: Style) -> String {
    let mut report = Report::new(format, style);
    let mut text = report.begin();
    files.into_iter().for_each(|file| text.push_str(&report.file(&file)));
    text.push_str(&report.end());
    text
}

/// The identity of each finding of a file from one report to the next: its file, rule, message without numbers and the
/// keys that lead to it, and a number where all of these are the same. A finding elsewhere in the file does not change
/// it.
fn fingerprints(file: &FileReport<'_>) -> Vec<String> {
    let mut seen = std::collections::HashMap::new();
    let fingerprint = |found: &Diagnostic| {
        let message = without_numbers(&found.message);
        let number: &mut usize = seen.entry((found.rule, message.clone(), found.path.clone())).or_default();
        *number += 1;
        let name = [file.source.name(), found.rule, &message, &found.path, &number.to_string()].join("\0");
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).simple().to_string()
    };
    file.diagnostics.iter().map(fingerprint).collect()
}

/// What stands for a character that a terminal would act on, or that would hide or reorder its neighbours.
pub fn stand_in(character: char) -> Option<char> {
    match character {
        '\0'..='\x1f' => char::from_u32(0x2400 + character as u32),
        '\x7f' => Some('␡'),
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => Some(char::REPLACEMENT_CHARACTER),
        _ => None,
    }
}

/// Text on one line that is safe to print, cut to `most` characters.
pub fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).map(|c| stand_in(c).unwrap_or(c)).collect();
    if text.chars().nth(most).is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// Declares the modules of `report/` and the list of their formats.
macro_rules! formats {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// Every format there is; the first is the one for people.
        pub static FORMATS: &[&Format] = &[$(&$module::FORMAT),+];
    };
}

formats! {
    human,
    concise,
    json,
    sarif,
    github,
    gitlab,
    junit,
}
