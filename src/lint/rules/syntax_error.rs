//! Text that is not JSON.

use crate::diagnostic::{Diagnostic, Edit, Sink};
use crate::lint::{Context, nearest};
use crate::source::Span;
use crate::syntax::{Problem, ProblemKind};

declare_rule! {
    /// # Why
    /// A recipe is read by JSON parsers that stop at the first mistake. zrecipe reads on: every mistake is shown,
    /// and everything that can be read is checked.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": { "queue": "images" "service": "Images", },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "images", "service": "Images" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    "syntax-error", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for problem in cx.tree.problems() {
        if let Some(diagnostic) = describe(cx, problem) {
            sink.report(diagnostic.refused());
        }
    }
}

/// The words for a problem; nothing for those that have a rule of their own.
fn describe(cx: &Context<'_>, problem: &Problem) -> Option<Diagnostic> {
    use ProblemKind as P;
    let span = problem.span;
    let text = cx.tree.source().slice(span);
    let short: String = text.chars().take(40).collect();
    let delete = |title: &str, diagnostic: Diagnostic| diagnostic.fix(title, span, "");
    let diagnostic = match problem.kind {
        P::Empty => RULE.at(span, "the file is empty").help("a recipe is a JSON object with steps and a `start`"),
        P::MissingValue => RULE.at(span, "a value is missing").label("expected here"),
        P::MissingComma => {
            RULE.at(span, "a comma is missing").label("expected here").fix("insert `,`", span, ",")
        }
        P::TrailingComma => {
            let diagnostic = RULE.at(span, "a comma before a closing bracket").help("JSON has no trailing commas");
            delete("remove the comma", diagnostic)
        }
        P::ExtraComma => delete("remove the comma", RULE.at(span, "a comma with nothing before it")),
        P::MissingColon => {
            RULE.at(span, "a colon is missing after a key").label("expected here").fix("insert `:`", span, ":")
        }
        P::StrayColon => RULE.at(span, "a colon that follows no key"),
        P::UnknownWord => unknown_word(span, &short),
        P::MalformedNumber => malformed_number(span, text, &short),
        P::UnterminatedString => RULE
            .at(span, "a string without its closing quote")
            .label("begins here")
            .help("a string ends on the line where it begins; write `\\n` for a line break in it"),
        P::ControlCharacter => {
            let (name, escape) = match text {
                "\t" => ("a tab".to_owned(), "\\t".to_owned()),
                "\r" => ("a carriage return".to_owned(), "\\r".to_owned()),
                _ => {
                    let code = text.chars().next().map_or(0, u32::from);
                    (format!("the control character U+{code:04X}"), format!("\\u{code:04x}"))
                }
            };
            RULE.at(span, format!("{name} inside a string")).fix(format!("write `{escape}`"), span, escape)
        }
        P::UnknownEscape => RULE
            .at(span, format!("`{short}` is not an escape sequence"))
            .help("write `\\\\` for a backslash")
            .unsafe_fix("double the backslash", Span { end: span.start, ..span }, "\\"),
        P::SingleQuotes => {
            let diagnostic = RULE.at(span, "a string in single quotes").help("JSON strings stand in double quotes");
            let closed = text.len() > 1 && text.ends_with('\'');
            if closed && !text.contains(['"', '\\']) {
                let edit = |at: u32| Edit { span: Span { start: at, end: at + 1 }, replacement: "\"".to_owned() };
                diagnostic.with_fix(true, "use double quotes", vec![edit(span.start), edit(span.end - 1)])
            } else {
                diagnostic
            }
        }
        P::UnquotedKey => {
            let diagnostic = RULE.at(span, format!("the key `{short}` is not in double quotes"));
            if text.chars().all(|c| c.is_alphanumeric() || "_-.$".contains(c)) {
                diagnostic.fix("add quotes", span, format!("\"{text}\""))
            } else {
                diagnostic
            }
        }
        P::Comment => delete("remove the comment", RULE.at(span, "JSON has no comments"))
            .help("write `\"1\": [\"the comment\"]` before the step `\"1\"` that it is about"),
        P::Unclosed => {
            let opened = problem.related.map_or("", |opened| cx.tree.source().slice(opened));
            let closing = if opened == "{" { "}" } else { "]" };
            let diagnostic = RULE.at(span, format!("`{opened}` is not closed")).label(format!("expected `{closing}`"));
            match problem.related {
                Some(opened) => diagnostic.also(opened, "opened here"),
                None => diagnostic,
            }
        }
        P::Unopened => RULE.at(span, format!("`{short}` closes nothing")),
        P::TrailingContent => {
            let first_line = text.find('\n').map_or(span.end, |at| span.start + at as u32);
            RULE.at(Span { end: first_line, ..span }, "text after the end of the recipe")
                .help("a file holds one JSON object")
        }
        P::UnknownCharacter => RULE.at(span, format!("`{short}` means nothing in JSON")),
        P::TooDeep | P::NonFinite | P::LoneSurrogate | P::OversizedInteger => return None,
    };
    Some(diagnostic)
}

fn unknown_word(span: Span, word: &str) -> Diagnostic {
    let diagnostic = RULE.at(span, format!("`{word}` is neither a number nor `true`, `false` or `null`"));
    let python = match word {
        "None" | "nil" | "undefined" => Some("null"),
        _ => nearest(word, ["true", "false", "null"]),
    };
    match python {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")).fix(format!("write `{meant}`"), span, meant),
        None => diagnostic.help("text stands in double quotes"),
    }
}

fn malformed_number(span: Span, text: &str, short: &str) -> Diagnostic {
    let diagnostic = RULE.at(span, format!("`{short}` is not a number that JSON knows"));
    let digits = text.strip_prefix('+').unwrap_or(text);
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let trimmed = digits.trim_start_matches('0');
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match digits.split_once('.') {
        Some(("", fraction)) if plain(fraction) => {
            diagnostic.fix("add the zero", span, format!("{sign}0.{fraction}"))
        }
        Some((whole, "")) if plain(whole) => diagnostic.fix("add the zero", span, format!("{sign}{whole}.0")),
        None if plain(digits) => {
            let number = if trimmed.is_empty() { "0" } else { trimmed };
            diagnostic
                .help("JSON numbers have no leading zeros and no plus sign; quote it if it is text")
                .unsafe_fix(format!("write `{sign}{number}`"), span, format!("{sign}{number}"))
        }
        _ => diagnostic.help("put it in double quotes if it is text"),
    }
}
