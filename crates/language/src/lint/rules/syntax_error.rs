//! Text that is not JSON.

use crate::diagnostic::{Diagnostic, Edit, Sink};
use crate::lint::{Context, nearest};
use crate::source::Span;
use crate::syntax::{Kind, Problem, ProblemKind};

declare_rule! {
    /// The file is not valid JSON.
    ///
    /// # Why
    /// JSON parsers of services stop at the first error. zrecipe reads on: every error is reported, and all readable
    /// parts are checked.
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
    ///
    /// # When not to follow it
    /// Never: nothing reads the file.
    "syntax-error", Error, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let source = cx.tree.source();
    if source.text().as_bytes().iter().take(8).any(|&byte| byte == 0) {
        // UTF-16: nothing more can be said about it, and where bytes cannot be read another rule has said it.
        if source.undecodable().is_empty() {
            let diagnostic = RULE.at(Span::empty(0), "the file looks like UTF-16").help("save the file as UTF-8");
            sink.report(diagnostic.refused());
        }
        return;
    }
    let is_space = |problem: &&Problem| problem.kind == ProblemKind::OddSpace;
    let spaces: Vec<Span> = cx.tree.problems().iter().filter(is_space).map(|problem| problem.span).collect();
    for spaces in spaces.chunks(MOST_SPACES) {
        sink.report(odd_spaces(cx, spaces).refused());
    }
    for problem in cx.tree.problems() {
        if let Some(diagnostic) = describe(cx, problem) {
            sink.report(diagnostic.refused());
        }
    }
}

/// How many spaces that JSON does not know are one finding.
const MOST_SPACES: usize = 20;

/// The words for a problem; nothing for those that have a rule of their own.
fn describe(cx: &Context<'_>, problem: &Problem) -> Option<Diagnostic> {
    use ProblemKind as P;
    let span = problem.span;
    let text = cx.tree.source().slice(span);
    let short = shorten(text);
    let delete = |title: &str, diagnostic: Diagnostic| diagnostic.fix(title, span, "");
    let diagnostic = match problem.kind {
        P::Empty => RULE.at(span, "the file is empty").help("a recipe is a JSON object with steps and a `start`"),
        P::MissingValue => RULE.at(span, "a value is missing").label("expected here"),
        P::MissingComma => RULE.at(span, "a comma is missing").label("expected here").fix("insert `,`", span, ","),
        P::TrailingComma => {
            if text == ";" {
                delete("remove the `;`", RULE.at(span, "a `;` before a closing bracket"))
            } else {
                let diagnostic = RULE.at(span, "a comma before a closing bracket").help("JSON has no trailing commas");
                delete("remove the comma", diagnostic)
            }
        }
        P::ExtraComma => delete("remove the comma", RULE.at(span, "a comma with nothing before it")),
        P::MissingColon => {
            RULE.at(span, "a colon is missing after a key").label("expected here").fix("insert `:`", span, ":")
        }
        P::KeyAlone => RULE
            .at(span, format!("the key {} has no value", quote(text)))
            .help("an object holds keys with values: `\"key\": \"value\"`"),
        P::EqualsSign => {
            RULE.at(span, format!("`{short}` after a key")).help("a colon stands there").fix("write `:`", span, ":")
        }
        P::Semicolon => RULE.at(span, "a `;` instead of a comma").fix("write `,`", span, ","),
        P::StrayColon => RULE.at(span, "a colon that follows no key"),
        P::UnknownWord => unknown_word(span, &short),
        P::MalformedNumber => malformed_number(span, text, &short),
        P::UnterminatedString => {
            let diagnostic = RULE.at(span, "a string without its closing quote").label("its probable end");
            match text.chars().next() {
                Some('"') => diagnostic.unsafe_fix("add the quote", Span { start: span.end, ..span }, "\""),
                _ => diagnostic.help("write a string in double quotes, on one line"),
            }
        }
        P::LineBreak => line_break(cx, problem),
        P::NoOpeningQuote => RULE
            .at(span, "a string without its opening quote")
            .label("its probable beginning")
            .unsafe_fix("add the quote", Span { end: span.start, ..span }, "\""),
        P::StringPrefix => {
            let string = problem.related.map_or("", |string| cx.tree.source().slice(string));
            let diagnostic =
                RULE.at(span, format!("`{short}` before the quote of a string")).help("JSON has no prefixes");
            if string.contains('\\') || string.len() < 2 { diagnostic } else { delete("remove the prefix", diagnostic) }
        }
        P::TypographicQuotes => {
            let diagnostic = RULE.at(span, "a string in typographic quotes").help("JSON strings use straight quotes");
            let first = text.chars().next().map_or(0, char::len_utf8);
            let last = text.chars().next_back().map_or(0, char::len_utf8);
            let inner = text.get(first..text.len() - last).unwrap_or("\"");
            if inner.contains(['"', '\\']) || inner.contains(char::is_control) {
                diagnostic
            } else {
                diagnostic.fix("use straight quotes", span, format!("\"{inner}\""))
            }
        }
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
        P::UnknownEscape if text.starts_with("\\u") => {
            RULE.at(span, format!("`{short}` needs four hexadecimal digits")).help("write `\\\\` for a backslash")
        }
        P::UnknownEscape if text == "\\" => {
            RULE.at(span, "a backslash at the end of a line").help("a string must end on the line where it begins")
        }
        P::UnknownEscape => RULE
            .at(span, format!("`{short}` is not an escape sequence"))
            .help("write `\\\\` for a backslash")
            .unsafe_fix("double the backslash", Span { end: span.start, ..span }, "\\"),
        P::SingleQuotes => {
            let diagnostic = RULE.at(span, "a string in single quotes").help("JSON strings use double quotes");
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
            if !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_-.$".contains(c)) {
                diagnostic.fix("add quotes", span, format!("\"{text}\""))
            } else {
                diagnostic
            }
        }
        P::Comment => RULE
            .at(span, "JSON has no comments")
            .unsafe_fix("remove the comment", span, "")
            .help("write `\"1\": [\"the comment\"]` before the step `\"1\"` that it is about"),
        P::Unclosed => {
            let (opened, closing) = bracket(cx, problem);
            let diagnostic = RULE.at(span, format!("`{opened}` is not closed")).label(format!("expected `{closing}`"));
            opened_here(diagnostic, problem)
        }
        P::Truncated => truncated(cx, problem),
        P::WrongBracket => {
            let (opened, closing) = bracket(cx, problem);
            let diagnostic =
                RULE.at(span, format!("`{text}` cannot close `{opened}`")).label(format!("expected `{closing}`"));
            opened_here(diagnostic, problem).unsafe_fix(format!("write `{closing}`"), span, closing)
        }
        P::ExtraBracket => RULE
            .at(span, format!("`{short}` closes the recipe before its end"))
            .label("one bracket too many")
            .unsafe_fix("remove the bracket", span, ""),
        P::Unopened => RULE.at(span, format!("`{short}` closes nothing")).unsafe_fix("remove it", span, ""),
        P::TrailingContent => {
            let first_line = text.find('\n').map_or(span.end, |at| span.start + at as u32);
            RULE.at(Span { end: first_line, ..span }, "text after the end of the recipe")
                .help("a file holds one JSON object")
        }
        P::UnknownCharacter if let Some(control) = text.chars().next().filter(|c| c.is_control()) => {
            RULE.at(span, format!("the control character U+{:04X} is not valid in JSON", u32::from(control)))
        }
        P::UnknownCharacter => RULE.at(span, format!("`{short}` is not valid in JSON")),
        P::Misplaced => RULE.at(span, format!("`{short}` does not belong here")).help("write text in double quotes"),
        P::ConflictMarker => conflict(cx, problem),
        P::Yaml => RULE
            .at(span, "this looks like YAML")
            .help("write the recipe in JSON, or give the file a name that ends in `.yml`"),
        // These have rules of their own.
        P::OddSpace | P::TooDeep | P::NonFinite | P::LoneSurrogate | P::OversizedInteger | P::Internal(_) => {
            return None;
        }
        P::YamlSyntax(_)
        | P::SecondDocument
        | P::UnknownAlias
        | P::EndlessAlias
        | P::RepeatedAnchor
        | P::TooManyAliases
        | P::UnmergeableValue
        | P::CompoundKey
        | P::UnknownTag
        | P::MistaggedValue
        | P::EqualsValue
        | P::AmbiguousScalar
        | P::TomlSyntax(_) => return None,
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
        Some(meant) => {
            diagnostic.help(format!("did you mean `{meant}`?")).unsafe_fix(format!("write `{meant}`"), span, meant)
        }
        None => diagnostic.help("write text in double quotes"),
    }
}

fn malformed_number(span: Span, text: &str, short: &str) -> Diagnostic {
    let diagnostic = RULE.at(span, format!("`{short}` is not a valid JSON number"));
    let digits = text.strip_prefix('+').unwrap_or(text);
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let trimmed = digits.trim_start_matches('0');
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match digits.split_once('.') {
        Some(("", fraction)) if plain(fraction) => diagnostic.fix("add the zero", span, format!("{sign}0.{fraction}")),
        Some((whole, "")) if plain(whole) => diagnostic.fix("add the zero", span, format!("{sign}{whole}.0")),
        None if plain(digits) => {
            let number = if trimmed.is_empty() { "0" } else { trimmed };
            diagnostic.help("JSON numbers have no leading zeros and no plus sign; quote it if it is text").unsafe_fix(
                format!("write `{sign}{number}`"),
                span,
                format!("{sign}{number}"),
            )
        }
        _ => diagnostic.help("put it in double quotes if it is text"),
    }
}

/// A text on one line, and not too long.
fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().filter(|character| !character.is_control()).take(40).collect();
    if line.chars().nth(40).is_some() || line.len() < text.len() {
        short.push('…');
    }
    short
}

/// A key as it is named in a message, without its quotes.
fn quote(text: &str) -> String {
    format!("`{}`", shorten(text.trim_matches(['"', '\''])))
}

/// The bracket that was opened, and its partner.
fn bracket(cx: &Context<'_>, problem: &Problem) -> (&'static str, &'static str) {
    match problem.related.map(|opened| cx.tree.source().slice(opened)) {
        Some("{") => ("{", "}"),
        _ => ("[", "]"),
    }
}

fn opened_here(diagnostic: Diagnostic, problem: &Problem) -> Diagnostic {
    match problem.related {
        Some(opened) => diagnostic.also(opened, "opened here"),
        None => diagnostic,
    }
}

fn truncated(cx: &Context<'_>, problem: &Problem) -> Diagnostic {
    const MOST: usize = 16;
    let (opened, closing) = bracket(cx, problem);
    let end = cx.tree.source().text().len() as u32;
    let inner = problem.related.unwrap_or(problem.span);
    // The brackets around the innermost one reach to the end, too.
    let open: Vec<Span> = cx
        .tree
        .nodes()
        .filter(|node| matches!(node.kind(), Kind::Array | Kind::Object))
        .map(|node| node.span())
        .filter(|span| span.start <= inner.start && span.end == end)
        .collect();
    let mut diagnostic = RULE
        .at(problem.span, format!("the file ends before `{opened}` is closed"))
        .label(format!("expected `{closing}`"))
        .also(inner, "opened here");
    if let [outermost, _, ..] = open[..] {
        let outermost = Span { end: outermost.start + 1, ..outermost };
        let text = match open.len() {
            2 => "also not closed".to_owned(),
            many => format!("the first of {many} that are not closed"),
        };
        diagnostic = diagnostic.also(outermost, text);
    }
    if open.len() > MOST {
        return diagnostic;
    }
    let opens = |span: &Span| cx.tree.source().text().as_bytes().get(span.start as usize) == Some(&b'{');
    let closing: String = open.iter().rev().map(|span| if opens(span) { '}' } else { ']' }).collect();
    diagnostic.help(format!("add `{closing}` to close all open brackets"))
}

/// A string over several lines.
fn line_break(cx: &Context<'_>, problem: &Problem) -> Diagnostic {
    const MOST: usize = 20;
    let diagnostic = RULE.at(problem.span, "a line break inside a string").help("write `\\n` for a line break");
    let Some(string) = problem.related else { return diagnostic };
    let text = cx.tree.source().slice(string);
    let breaks: Vec<Span> = memchr::memchr_iter(b'\n', text.as_bytes())
        .take(MOST + 1)
        .map(|at| Span::new(at - usize::from(text[..at].ends_with('\r')), at + 1))
        .map(|span| Span { start: string.start + span.start, end: string.start + span.end })
        .collect();
    let diagnostic = diagnostic.also(Span { end: string.start + 1, ..string }, "the string begins here");
    if breaks.len() > MOST {
        return diagnostic;
    }
    let diagnostic = breaks[1..].iter().fold(diagnostic, |diagnostic, &span| diagnostic.also(span, "another one"));
    let edits = breaks.into_iter().map(|span| Edit { span, replacement: "\\n".to_owned() }).collect();
    diagnostic.with_fix(false, "write `\\n`", edits)
}

fn conflict(cx: &Context<'_>, problem: &Problem) -> Diagnostic {
    let Some(end) = problem.related else {
        return RULE.at(problem.span, "a marker of a merge conflict").help("choose one side and remove the markers");
    };
    let inside = cx.tree.source().slice(Span { start: problem.span.end, end: end.start });
    let diagnostic = RULE
        .at(problem.span, "an unresolved merge conflict")
        .label("begins here")
        .help("choose one side and remove the markers");
    let diagnostic = match memchr::memmem::find(inside.as_bytes(), b"\n=======") {
        Some(at) => {
            let start = problem.span.end as usize + at + 1;
            diagnostic.also(Span::new(start, start + 7), "the other side begins here")
        }
        None => diagnostic,
    };
    diagnostic.also(end, "ends here")
}

/// Spaces that JSON does not know, all in one finding: they come from the same paste.
fn odd_spaces(cx: &Context<'_>, spaces: &[Span]) -> Diagnostic {
    let code = cx.tree.source().slice(spaces[0]).chars().next().map_or(0, u32::from);
    let name = match code {
        0xa0 => "a no-break space".to_owned(),
        0xb => "a vertical tab".to_owned(),
        0xc => "a form feed".to_owned(),
        0xfeff => "a byte order mark in the middle of the text".to_owned(),
        _ => format!("the space U+{code:04X}"),
    };
    let diagnostic = RULE.at(spaces[0], format!("{name}, which is not white space in JSON"));
    let diagnostic = spaces[1..].iter().fold(diagnostic, |diagnostic, &span| diagnostic.also(span, "another one"));
    let edits = spaces.iter().map(|&span| Edit { span, replacement: " ".to_owned() }).collect();
    diagnostic.with_fix(true, "write a space", edits)
}
