//! The terminal: messages for people on standard error, and how reports look on it.

use std::io::{self, Write as _};

use clap::ColorChoice;
use terminal_size::{Width, terminal_size_of};

use zrecipe_language::report::{self, Style};

/// Writes lines for people to standard error; if nobody reads them, so be it.
pub fn say(lines: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", plain_lines(lines));
}

/// Text from elsewhere on one line, without what a terminal would act on: nobody who sends messages is to move the
/// cursor, or to add a line that looks like ours.
pub fn plain(text: &str) -> String {
    report::printable(text, usize::MAX)
}

/// Lines of text without what a terminal would act on.
pub fn plain_lines(lines: &str) -> String {
    lines.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// How reports look on a stream; `terminal` is whether it is one.
pub fn style(color: ColorChoice, terminal: bool) -> Style {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let colour = match color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
    };
    let width = match terminal_width() {
        Some(width) if terminal => width.clamp(40, 140),
        _ => 100,
    };
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let ascii = matches!(locale.as_deref(), Some("C" | "POSIX")) && terminal;
    Style { colour, width, unicode: !ascii }
}

/// The columns of the terminal, as the shell's COLUMNS or the terminal itself says.
fn terminal_width() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.or_else(|| {
        let size = terminal_size_of(io::stdout()).or_else(|| terminal_size_of(io::stderr()));
        size.map(|(Width(columns), _)| usize::from(columns)).filter(|&columns| columns > 0)
    })
}
