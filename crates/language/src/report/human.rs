//! Findings for people: the message, the lines it is about with their labels, and what to do.
//!
//! ```text
//! error: channel `thumbnail` of step `4` goes to the text `"6"`, not the number of a step  [malformed-link]
//!    ╭─[recipes/tomography.json:31:20]
//! 31 │       "thumbnail": "6"
//!    ·                    ─┬─
//!    ·                     ╰── not a number
//!    ╰── fix: write `6`
//! ```
//!
//! miette draws the labels under a line, one line at a time. The frame is drawn here, because miette counts columns
//! in bytes, begins a new frame for every distant label, and reads the whole file for each of them. It is given a
//! `Row`: so much of a line as fits, without characters that a terminal would act on. So neither a long line nor a
//! large file costs anything.

use std::fmt::Write as _;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteSpanContents, ThemeCharacters, ThemeStyles};

use super::{FileReport, Format, Style, Summary, counted, printable, stand_in};
use crate::diagnostic::{Diagnostic, Label, Level};
use crate::source::{Source, Unit};

/// The format of this file.
pub static FORMAT: Format = Format {
    name: "human",
    description: "messages with the affected lines, for terminals",
    root: None,
    has_summary: true,
    begin: |_| String::new(),
    file,
    end: |summary, _| format!("{summary}\n"),
};

/// How many places of one finding are shown.
const MOST_PLACES: usize = 12;
/// How many characters of a message, label or help are shown.
const MOST_TEXT: usize = 600;
/// The narrowest and the widest piece of a line.
const ROOM: std::ops::RangeInclusive<usize> = 40..=200;
const TAB: usize = 4;

fn file(file: &FileReport<'_>, _: &Summary, style: &Style) -> String {
    let mut text = String::new();
    let source = file.source;
    for found in file.diagnostics {
        finding(&mut text, source, found, style);
        text.push('\n');
    }
    text
}

fn finding(out: &mut String, source: &Source, found: &Diagnostic, style: &Style) {
    let paint = Paint { colour: style.colour };
    let chars = if style.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() };
    let level = paint.level(found.level, found.level.as_str());
    let rule = match style.rules_url {
        Some(url) => format!("[\x1b]8;;{url}{0}\x1b\\{0}\x1b]8;;\x1b\\]", found.rule),
        None => format!("[{}]", found.rule),
    };
    let message = show(&found.message, style);
    // The name of the rule stays on the last line of the message.
    let lines = match style.wraps {
        true => headline(&message, found.level.as_str().len() + 2, found.rule.len() + 4, style.width),
        false => vec![message],
    };
    let message = lines.iter().map(|line| paint.bold(line)).collect::<Vec<_>>().join("\n  ");
    let _ = writeln!(out, "{level}{} {message}  {}", paint.bold(":"), paint.dim(&rule));

    let rows = rows(source, found, style);
    let number_width = rows.iter().map(|row| row.line.to_string().len()).max().unwrap_or(1);
    let margin = " ".repeat(number_width + 1);
    let at = source.position(found.primary.span.start, Unit::Char);
    let path = show(source.name(), style);
    let _ = writeln!(out, "{margin}{}{}[{path}:{}:{}]", chars.ltop, chars.hbar, at.line, at.column);
    let mut previous = None;
    for row in &rows {
        if previous.is_some_and(|line| row.line > line + 1) {
            let _ = writeln!(out, "{margin}{}", if style.unicode { '⋮' } else { ':' });
        }
        previous = Some(row.line);
        row.draw(out, number_width, found.level, style);
    }

    let more = (found.secondary.len() + 1).saturating_sub(MOST_PLACES);
    let more = (more > 0).then(|| format!("and {}", counted(more, "further place")));
    let help = found.help.as_ref().map(|help| format!("help: {help}"));
    let fix = found.fix.as_ref().map(|fix| match fix.safe {
        true => format!("fix: {}", fix.title),
        false => format!("suggested fix (review): {}", fix.title),
    });
    let notes: Vec<String> = [more, help, fix].into_iter().flatten().collect();
    for (number, note) in notes.iter().enumerate() {
        let is_last = number + 1 == notes.len();
        let (corner, below) = if is_last { (chars.lbot, ' ') } else { (chars.lcross, chars.vbar) };
        let room = style.width.saturating_sub(number_width + 5).clamp(*ROOM.start(), *ROOM.end());
        for (nth, line) in wrap(&show(note, style), room).iter().enumerate() {
            let _ = match (nth, line.split_once(": ")) {
                (0, Some((word, rest))) => {
                    writeln!(out, "{margin}{corner}{0}{0} {1} {rest}", chars.hbar, paint.note(&format!("{word}:")))
                }
                (0, None) => writeln!(out, "{margin}{corner}{0}{0} {line}", chars.hbar),
                _ => writeln!(out, "{margin}{below}     {line}"),
            };
        }
    }
    if notes.is_empty() {
        let _ = writeln!(out, "{margin}{}{}", chars.lbot, chars.hbar.to_string().repeat(4));
    }
}

/// The lines of a message: the first begins at column `first`, others at column 2, and the last has room for `last`
/// columns more.
fn headline(message: &str, first: usize, last: usize, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut column = first;
    let words: Vec<&str> = message.split(' ').collect();
    for (number, word) in words.iter().enumerate() {
        let length = word.chars().count();
        let reserved = if number + 1 == words.len() { last } else { 0 };
        let is_first = lines.last().is_none_or(String::is_empty);
        if !is_first && column + 1 + length + reserved > width {
            lines.push((*word).to_owned());
            column = 2 + length;
        } else if let Some(line) = lines.last_mut() {
            if !is_first {
                line.push(' ');
            }
            line.push_str(word);
            column += length + usize::from(!is_first);
        }
    }
    lines
}

/// A piece of a line and the labels on it.
struct Row {
    /// The line's number.
    line: usize,
    /// The piece, safe to print, tabs expanded, and a space at the end for labels that point there.
    text: String,
    labels: Vec<RowLabel>,
}

struct RowLabel {
    /// Bytes of the row's text.
    range: std::ops::Range<usize>,
    text: String,
    primary: bool,
}

/// A label cut to the first line it covers.
struct Mark<'a> {
    line: usize,
    start: usize,
    end: usize,
    label: &'a Label,
    primary: bool,
}

fn rows(source: &Source, found: &Diagnostic, style: &Style) -> Vec<Row> {
    let labels = std::iter::once(&found.primary).chain(&found.secondary).take(MOST_PLACES);
    let mut marks: Vec<Mark<'_>> = labels.enumerate().map(|(number, label)| mark(source, label, number == 0)).collect();
    // The primary label first among those on its line: the piece that is shown is laid around it.
    marks.sort_by_key(|mark| (mark.line, !mark.primary, mark.start));
    let mut rows: Vec<(usize, Row)> = Vec::new();
    while !marks.is_empty() {
        let line = marks[0].line;
        let (start, end) = line_range(source, line);
        let number_width = (line + 1).to_string().len();
        let room = style.width.saturating_sub(number_width + 4).clamp(*ROOM.start(), *ROOM.end());
        let window = window(&source.text()[start..end], marks[0].start - start, marks[0].end - start, room);
        let window = window.start + start..window.end + start;
        let mut taken: Vec<Mark<'_>> = Vec::new();
        let mut left = Vec::new();
        for mark in marks {
            // miette draws labels beside each other; those that overlap get a row of their own.
            let is_free = taken.iter().all(|other| {
                mark.start >= other.end.max(other.start + 1) || mark.end.max(mark.start + 1) <= other.start
            });
            let is_inside = window.start <= mark.start && mark.start <= window.end;
            if mark.line == line && is_inside && is_free {
                taken.push(mark);
            } else {
                left.push(mark);
            }
        }
        taken.sort_by_key(|mark| mark.start);
        rows.push((window.start, row(source, line, window, &taken, style)));
        marks = left;
    }
    rows.sort_by_key(|&(start, _)| start);
    fill_gaps(source, rows.into_iter().map(|(_, row)| row), style)
}

/// Shows a line that lies alone between two others instead of saying that something is left out.
fn fill_gaps(source: &Source, rows: impl Iterator<Item = Row>, style: &Style) -> Vec<Row> {
    let mut filled: Vec<Row> = Vec::new();
    for next in rows {
        if let Some(previous) = filled.last().map(|row| row.line)
            && next.line == previous + 2
        {
            let (start, end) = line_range(source, previous);
            let room = style.width.saturating_sub(8).clamp(*ROOM.start(), *ROOM.end());
            let window = window(&source.text()[start..end], 0, 0, room);
            filled.push(row(source, previous, window.start + start..window.end + start, &[], style));
        }
        filled.push(next);
    }
    filled
}

/// Bytes of a line, counted from 0, without its end.
fn line_range(source: &Source, line: usize) -> (usize, usize) {
    let starts = source.line_starts();
    let start = starts[line] as usize;
    let end = starts.get(line + 1).map_or(source.text().len(), |&next| next as usize);
    let text = &source.text()[start..end];
    let text = text.strip_suffix('\n').unwrap_or(text);
    (start, start + text.strip_suffix('\r').unwrap_or(text).len())
}

fn mark<'a>(source: &Source, label: &'a Label, primary: bool) -> Mark<'a> {
    let text = source.text();
    let floor = |at: u32| {
        let mut at = (at as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (floor(label.span.start), floor(label.span.end));
    let line = source.line_starts().partition_point(|&first| first as usize <= start) - 1;
    let (_, line_end) = line_range(source, line);
    let start = start.min(line_end);
    Mark { line, start, end: end.clamp(start, line_end), label, primary }
}

/// Columns of a character, or a little more.
fn columns(character: char) -> usize {
    match character {
        '\t' => TAB,
        '\0'..='\u{10ff}' => 1,
        _ => 2,
    }
}

/// The piece of a line that is shown around `start..end` in `room` columns. Looks at no more of the line than that.
fn window(line: &str, start: usize, end: usize, room: usize) -> std::ops::Range<usize> {
    let taken = |chars: &mut dyn Iterator<Item = char>, room: usize| {
        let mut left = room;
        let mut bytes = 0;
        for character in chars {
            let Some(rest) = left.checked_sub(columns(character)) else { break };
            left = rest;
            bytes += character.len_utf8();
        }
        (bytes, room - left)
    };
    if line.len() <= room * 4 && taken(&mut line.chars(), room).0 == line.len() {
        return 0..line.len();
    }
    // One column at either end for the mark that something is cut off.
    let room = room - 2;
    let (_, label) = taken(&mut line[start..end].chars(), room / 2);
    let (after, used_after) = taken(&mut line[start..].chars(), label + (room - label) / 2);
    let (before, used_before) = taken(&mut line[..start].chars().rev(), room - used_after);
    let (more, _) = taken(&mut line[start + after..].chars(), room - used_after - used_before);
    start - before..start + after + more
}

fn row(source: &Source, line: usize, window: std::ops::Range<usize>, marks: &[Mark<'_>], style: &Style) -> Row {
    let (start, end) = line_range(source, line);
    let cut = if style.unicode { "…" } else { "..." };
    let mut text = String::new();
    // Where each byte of the window went.
    let mut places = Vec::with_capacity(window.len() + 1);
    if window.start > start {
        text.push_str(cut);
    }
    let mut column = text.chars().count();
    for character in source.text()[window.clone()].chars() {
        places.extend(std::iter::repeat_n(text.len(), character.len_utf8()));
        match character {
            '\t' => text.extend(std::iter::repeat_n(' ', TAB - column % TAB)),
            _ => text.push(stand_in(character).map_or(character, |other| if style.unicode { other } else { '?' })),
        }
        column += if character == '\t' { TAB - column % TAB } else { columns(character) };
    }
    places.push(text.len());
    text.push_str(if window.end < end { cut } else { "" });
    text.push(' ');
    let place = |at: usize| places[at.clamp(window.start, window.end) - window.start];
    let labels = marks.iter().map(|mark| RowLabel {
        range: place(mark.start)..place(mark.end),
        text: show(&mark.label.text, style),
        primary: mark.primary,
    });
    let labels = labels.collect();
    Row { line: line + 1, text, labels }
}

impl Row {
    fn draw(&self, out: &mut String, number_width: usize, level: Level, style: &Style) {
        let indent = " ".repeat(number_width - self.line.to_string().len());
        if self.labels.is_empty() {
            let (number, bar) = (self.line.to_string(), if style.unicode { '│' } else { '|' });
            let number = Paint { colour: style.colour }.dim(&number);
            let _ = writeln!(out, "{}", format!("{indent}{number} {bar} {}", self.text).trim_end());
            return;
        }
        let plain = ThemeStyles::none();
        let mut styles = plain.clone();
        if style.colour {
            styles.linum = plain.linum.dimmed();
            styles.highlights = self
                .labels
                .iter()
                .map(|label| match level {
                    _ if !label.primary => plain.link.cyan(),
                    Level::Error => plain.link.red().bold(),
                    Level::Warning => plain.link.yellow().bold(),
                    Level::Note => plain.link.blue().bold(),
                })
                .collect();
        }
        let characters = if style.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() };
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme { characters, styles })
            .with_links(false)
            .with_context_lines(0)
            .with_wrap_lines(false)
            .without_syntax_highlighting();
        let mut drawn = String::new();
        if handler.render_report(&mut drawn, &Snippet(self)).is_err() {
            return;
        }
        // A line for the message that we have written ourselves, the frame's top, the row, the frame's bottom.
        let lines: Vec<&str> = drawn.lines().collect();
        for line in lines.get(2..lines.len().saturating_sub(1)).unwrap_or_default() {
            let line = line.strip_prefix(' ').unwrap_or(line);
            let _ = writeln!(out, "{indent}{}", line.trim_end());
        }
    }
}

/// A row as miette takes it.
#[derive(Clone, Copy)]
struct Snippet<'a>(&'a Row);

impl std::fmt::Debug for Snippet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl std::fmt::Display for Snippet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("-")
    }
}

impl std::error::Error for Snippet<'_> {}

impl miette::Diagnostic for Snippet<'_> {
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(self.0)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.0.labels.iter().map(|label| {
            let text = Some(label.text.clone()).filter(|text| !text.is_empty());
            LabeledSpan::new(text, label.range.start, label.range.len())
        })))
    }
}

impl miette::SourceCode for Row {
    fn read_span<'a>(
        &'a self,
        _: &miette::SourceSpan,
        _: usize,
        _: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let whole = (0, self.text.len()).into();
        Ok(Box::new(MietteSpanContents::new(self.text.as_bytes(), whole, self.line - 1, 0, 1)))
    }
}

/// Text of the user or about it, on one line.
fn show(text: &str, style: &Style) -> String {
    let shown = printable(text, MOST_TEXT);
    if style.unicode {
        return shown;
    }
    let is_stand_in = |c| matches!(c, '\u{2400}'..='\u{2421}' | char::REPLACEMENT_CHARACTER);
    shown.replace(is_stand_in, "?").replace('…', "...")
}

/// Breaks text between words; a word longer than a line keeps one to itself.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += length;
        }
    }
    lines
}

/// Colours, or none.
struct Paint {
    colour: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn level(&self, level: Level, text: &str) -> String {
        let code = match level {
            Level::Error => "1;31",
            Level::Warning => "1;33",
            Level::Note => "1;34",
        };
        self.with(code, text)
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn note(&self, text: &str) -> String {
        self.with("36", text)
    }
}
