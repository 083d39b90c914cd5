//! The terminal: messages for people on standard error, and how reports look on it.

use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI8, Ordering};

use clap::ColorChoice;
use terminal_size::{Width, terminal_size_of};

use zrecipe_language::report::{self, Style};

/// Verbosity: `-q` is below 0, each `-v` adds 1.
static VERBOSITY: AtomicI8 = AtomicI8::new(0);

/// Sets the verbosity of the whole program.
pub fn set_verbosity(quiet: bool, verbose: u8) {
    let verbose = i8::try_from(verbose).unwrap_or(i8::MAX);
    VERBOSITY.store(if quiet { -1 } else { verbose }, Ordering::Relaxed);
}

/// Whether only results and errors are to be printed.
pub fn is_quiet() -> bool {
    VERBOSITY.load(Ordering::Relaxed) < 0
}

/// Whether details are to be printed.
pub fn is_verbose() -> bool {
    VERBOSITY.load(Ordering::Relaxed) > 0
}

/// Writes details for people to standard error, with `-v` only.
pub fn say_verbose(lines: impl FnOnce() -> String) {
    if is_verbose() {
        say(&lines());
    }
}

/// Writes lines for people to standard error, except with `-q`; if nobody reads them, so be it.
pub fn say(lines: &str) {
    if !is_quiet() {
        say_error(lines);
    }
}

/// Writes an error, or what to do about it, to standard error, with `-q` too.
pub fn say_error(lines: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", plain_lines(&without_codes(lines)));
}

/// Text without the numbers that the operating system has for its errors: the words are beside them.
fn without_codes(text: &str) -> String {
    const MARK: &str = " (os error ";
    let mut parts = text.split(MARK);
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => words.push_str(rest),
            _ => words.extend([MARK, part]),
        }
    }
    words
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
    let width = match columns() {
        Some(width) if terminal => width.clamp(40, 140),
        _ => 100,
    };
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let ascii = matches!(locale.as_deref(), Some("C" | "POSIX")) && terminal;
    Style { colour, width, unicode: !ascii, wraps: terminal, rules_url: rules_url().filter(|_| colour && has_links()) }
}

/// The beginning of the address of a rule's page: `ZRECIPE_RULES_URL`, or that of the package.
fn rules_url() -> Option<&'static str> {
    static URL: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let given = std::env::var("ZRECIPE_RULES_URL").ok().filter(|url| !url.is_empty());
        let published =
            || Some(env!("CARGO_PKG_HOMEPAGE")).filter(|url| !url.is_empty()).map(|url| format!("{url}/rules/"));
        // It becomes part of an escape sequence.
        given.or_else(published).filter(|url| url.chars().all(|character| character.is_ascii_graphic()))
    };
    URL.get_or_init(find).as_deref()
}

/// Whether the terminal shows links (OSC 8). FORCE_HYPERLINK decides; otherwise known terminals do.
fn has_links() -> bool {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(forced) = variable("FORCE_HYPERLINK") {
        return forced != "0";
    }
    let is_known =
        |program: String| ["iTerm.app", "WezTerm", "vscode", "ghostty", "Hyper", "rio"].contains(&program.as_str());
    let is_recent = |version: String| version.parse::<u32>().is_ok_and(|version| version >= 5000);
    variable("TERM_PROGRAM").is_some_and(is_known)
        || variable("VTE_VERSION").is_some_and(is_recent)
        || ["KITTY_WINDOW_ID", "WT_SESSION", "KONSOLE_VERSION", "DOMTERM"].iter().any(|name| variable(name).is_some())
}

/// The columns of the terminal, as the shell's COLUMNS or the terminal itself says.
pub fn columns() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.or_else(|| {
        let size = terminal_size_of(io::stdout()).or_else(|| terminal_size_of(io::stderr()));
        size.map(|(Width(columns), _)| usize::from(columns)).filter(|&columns| columns > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_system_errors_are_left_out() {
        assert_eq!(without_codes("a: No such file (os error 2); b: x (os error 13)"), "a: No such file; b: x");
        assert_eq!(without_codes("an (os error in prose)"), "an (os error in prose)");
    }
}
