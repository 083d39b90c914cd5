//! Text that is not YAML, or YAML that the Python services do not read.

use crate::diagnostic::{Diagnostic, Sink};
use crate::lint::Context;
use crate::source::Span;
use crate::syntax::yaml::{MOST_COPIED, MOST_COPIES};
use crate::syntax::{Problem, ProblemKind};

declare_rule! {
    /// YAML cannot be read.
    ///
    /// # Why
    /// A configuration that cannot be read stops every service at its next start, and PyYAML prints the line with the
    /// error, including passwords. zrecipe skips the parts affected by an error and reads on: every error is reported,
    /// and the rest is checked.
    ///
    /// # Example
    /// ```yaml
    /// 1: {queue: images, comment: see: below}
    /// start: [[1, []]]
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// 1: {queue: images, comment: "see: below"}
    /// start: [[1, []]]
    /// ```
    ///
    /// # When not to follow it
    /// Never: correct the file.
    "malformed-yaml", Error, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for problem in cx.tree.problems() {
        if let Some(diagnostic) = describe(cx, problem) {
            sink.report(diagnostic.refused());
        }
    }
}

fn describe(cx: &Context<'_>, problem: &Problem) -> Option<Diagnostic> {
    use ProblemKind as P;
    let at = |message: &str| RULE.at(problem.span, message);
    let text = cx.tree.source().slice(problem.span);
    let diagnostic = match problem.kind {
        P::YamlSyntax(what) => syntax(cx, problem, what),
        P::SecondDocument => {
            at("a second document begins here").help("a file may contain only one document; remove the `---`")
        }
        P::UnknownAlias => at(&format!("no anchor `{}` is defined before it", text.trim_start_matches('*')))
            .help("define an anchor with `&name` before a value, and refer to it with `*name`"),
        P::EndlessAlias => at(&format!("alias `{text}` refers to a value that contains it")),
        P::RepeatedAnchor => at(&format!("`{text}` names a second value")).help("PyYAML accepts each anchor only once"),
        P::TooManyAliases => {
            at(&format!("aliases expand to more than {MOST_COPIES} values or {} MiB of text", MOST_COPIED >> 20))
                .help("write the values out, or nest fewer aliases")
        }
        P::UnmergeableValue => {
            at("`<<` merges an object, but this is not an object").help("`<<: *name`, or `<<: [*one, *other]`")
        }
        P::CompoundKey => at("a list or an object cannot be a key"),
        P::UnknownTag => at("a tag that is not a standard YAML tag").help("Python's `safe_load` refuses it"),
        P::MistaggedValue => at(&format!("`{text}` does not match its tag")),
        P::EqualsValue => at(&format!("`{text}` alone has no value in YAML 1.1")).help("quote it if it is text"),
        _ => return None,
    };
    Some(match problem.related {
        Some(first) if problem.kind == P::RepeatedAnchor => diagnostic.also(first, "the first one"),
        Some(opened) => diagnostic.also(opened, "begins here"),
        None => diagnostic,
    })
}

/// The text in the line of a mistake that begins with a placeholder and goes on behind it: `file: {dir}/x.json`.
fn unquoted(cx: &Context<'_>, place: Span) -> Option<Span> {
    let text = cx.tree.source().text();
    let at = place.start as usize;
    let start = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next()?;
    let begin = line
        .find(": {")
        .map(|at| at + 2)
        .or_else(|| line.trim_start().starts_with("- {").then(|| line.find('{')).flatten())?;
    let value = line[begin..].trim_end();
    let (name, rest) = value[1..].split_once('}')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_$:[]".contains(c);
    let goes_on = rest.starts_with(|c: char| !c.is_whitespace() && !",]}:#".contains(c));
    let is_plain = !name.is_empty() && name.chars().all(is_name) && !value.contains(['"', '\\', '#']);
    (goes_on && is_plain).then(|| Span::new(start + begin, start + begin + value.len()))
}

/// What the library says, in words that help.
fn syntax(cx: &Context<'_>, problem: &Problem, what: &'static str) -> Diagnostic {
    let at = |message: &str| RULE.at(problem.span, message);
    let next = cx.tree.source().text()[problem.span.start as usize..].chars().next();
    if let Some(span) = unquoted(cx, problem.span) {
        let raw = cx.tree.source().slice(span);
        return RULE
            .at(span, "text that begins with a placeholder, and has no quotes")
            .help("in YAML `{` begins an object; put the text in quotes")
            .unsafe_fix("put it in quotes", span, format!("\"{raw}\""));
    }
    match (what, next) {
        ("mapping values are not allowed in this context", _) => {
            at("a `:` where no key can end").help("quote text that contains `: `")
        }
        ("found character that cannot start any token", Some('\t')) => {
            at("a tab where only spaces are allowed").help("indent with spaces")
        }
        ("found character that cannot start any token", Some(first)) => {
            at(&format!("`{first}` cannot begin a value")).help("quote text that begins with it")
        }
        ("found a tab character that violates indentation", _)
        | ("found a tab character where an indentation space is expected", _) => {
            at("a tab where only spaces are allowed").help("indent with spaces")
        }
        ("did not find expected ',' or ']'", _) => at("a `[` that is not closed").label("expected `,` or `]`"),
        ("did not find expected ',' or '}'", _) => at("a `{` that is not closed").label("expected `,` or `}`"),
        ("could not find expected ':'", _) => {
            at("a line that is neither a key with a value nor part of one").label("expected `:`")
        }
        ("did not find expected key", _) => at("this line does not belong to the lines above it")
            .label("expected a key")
            .help("entries of one object begin in the same column"),
        ("did not find expected '-' indicator", _) => at("this line does not belong to the list above it")
            .label("expected `- `")
            .help("items of one list begin in the same column"),
        ("found unexpected end of stream" | "found unexpected document indicator", _) => {
            at("a quote that is not closed").label("the document ends here")
        }
        ("block sequence entries are not allowed in this context", _) => {
            at("a list where none can begin").help("begin it on a separate line")
        }
        ("found unknown escape character", _) => {
            at("an escape sequence that YAML does not know").help("write `\\\\` for a backslash, or use single quotes")
        }
        ("control characters are not allowed", Some(character)) => {
            at(&format!("the control character U+{:04X}", u32::from(character)))
        }
        _ => at(what),
    }
}
