//! Passwords, tokens and the user-info of URLs: where they stand in a document, and how it is shown without them.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Fix};
use crate::source::{Source, Span};
use crate::syntax::{Kind, NodeRef, Notation, Tree};
use crate::value::Value;

/// What stands for a secret in a message.
pub const MASK: &str = "•••";

/// What the name of a setting that is secret has in it.
const WORDS: [&str; 14] = [
    // Misspelt, it is one all the same.
    "passw",
    "pasw",
    "passphrase",
    "passcode",
    "pwd",
    "_pass",
    "-pass",
    "credentials",
    "secret",
    "token",
    "api_key",
    "api-key",
    "apikey",
    "private_key",
];

/// Texts that are too short to be recognised within others.
const SHORT: usize = 4;

/// Whether a setting of this name is a secret.
///
/// ```
/// assert!(zrecipe_language::secret::is_secret("user_token"));
/// assert!(!zrecipe_language::secret::is_secret("username"));
/// ```
pub fn is_secret(name: &str) -> bool {
    let name = name.as_bytes();
    let is_at = |at: usize, word: &str| {
        let first = name[at].to_ascii_lowercase() == word.as_bytes()[0];
        first && name[at..].get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    (0..name.len()).any(|at| STARTS[usize::from(name[at])] && WORDS.iter().any(|word| is_at(at, word)))
}

/// The bytes that one of the words begins with: most of a name is passed over by them.
const STARTS: [bool; 256] = {
    let (mut starts, mut at) = ([false; 256], 0);
    while at < WORDS.len() {
        let first = WORDS[at].as_bytes()[0];
        starts[first as usize] = true;
        starts[first.to_ascii_uppercase() as usize] = true;
        at += 1;
    }
    starts
};

/// Where a text has the name of a secret setting in it, in order.
fn mentions(text: &str) -> Vec<usize> {
    let lower = text.to_ascii_lowercase();
    let of = |word: &'static str| memchr::memmem::find_iter(lower.as_bytes(), word).collect::<Vec<_>>();
    let mut found: Vec<usize> = WORDS.into_iter().flat_map(of).collect();
    found.sort_unstable();
    found
}

/// Whether one of these places is in a range.
fn any_within(places: &[usize], range: Range<usize>) -> bool {
    places.get(places.partition_point(|&at| at < range.start)).is_some_and(|&at| at < range.end)
}

/// Whether a text has the address of a server with the name of a user in it.
pub fn has_user_info(text: &str) -> bool {
    let mut found = Vec::new();
    user_info(text, &mut found);
    !found.is_empty()
}

/// Whether a text is the address of a server with a password in it.
///
/// ```
/// assert!(zrecipe_language::secret::has_password("amqp://zocalo:pw@mq.example.org/"));
/// assert!(!zrecipe_language::secret::has_password("sftp://zocalo@store.example.org"));
/// ```
pub fn has_password(text: &str) -> bool {
    let mut found = Vec::new();
    user_info(text, &mut found);
    found.iter().any(|info| text[info.range()].split_once(':').is_some_and(|(_, after)| !after.is_empty()))
}

/// The secrets of a document, in order of place. Where the document is broken everything up to the end of the line
/// is one, and what is indented below it.
pub fn find(tree: &Tree) -> Vec<Span> {
    let mut found = Vec::new();
    let text = tree.source().text();
    // To look at every key and every line takes longer than all else that is done with a large recipe.
    let mentions = mentions(text);
    // What a key says may be written otherwise: with escapes, or with a tag of YAML.
    let is_other = |key: NodeRef<'_>| match Notation::of(tree.source().name()) {
        Notation::Json => key.raw().contains('\\'),
        _ => !key.raw().contains(&*key.text()),
    };
    let has_others =
        memchr::memchr(b'\\', text.as_bytes()).is_some() || Notation::of(tree.source().name()) != Notation::Json;
    let names_one = |key: NodeRef<'_>| {
        let is_possible = any_within(&mentions, key.span().range()) || (has_others && is_other(key));
        is_possible && is_secret(&key.text())
    };
    if has_others || !mentions.is_empty() {
        for object in tree.nodes().filter(|node| node.kind() == Kind::Object) {
            for member in object.members().filter(|member| names_one(member.key)) {
                found.extend(member.value.descendants().filter(is_shown).map(NodeRef::span));
            }
        }
    }
    if Notation::of(tree.source().name()) == Notation::Ini {
        unless_public(text, &mut found);
    } else if tree.is_broken() {
        named(text, &mentions, &mut found);
    }
    user_info(text, &mut found);
    found.sort();
    // What is said beside a secret may well be the one before it.
    let beside = |comment: &&Span| {
        let start = comment.start as usize;
        let line = memchr::memrchr(b'\n', &text.as_bytes()[..start]).map_or(0, |at| at + 1);
        let last = found[..found.partition_point(|secret| secret.start < comment.start)].last();
        last.is_some_and(|secret| secret.end as usize > line) && !text[start..].starts_with("# zrecipe:")
    };
    let comments: Vec<Span> = tree.comments().iter().filter(beside).copied().collect();
    found.extend(comments);
    found.sort();
    found.dedup();
    found
}

/// The document as it may be shown.
pub fn shown(tree: &Tree) -> Arc<Source> {
    match find(tree) {
        none if none.is_empty() => Arc::clone(tree.source()),
        secrets => Arc::new(masked(tree.source(), &secrets)),
    }
}

/// The value of a setting as it may be shown.
pub fn hidden(name: &str, value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(key, value)| {
                    // What is below a secret is one as well.
                    let value = hidden(if is_secret(name) { name } else { &key }, value);
                    (key, value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| hidden(name, item)).collect()),
        Value::Null | Value::Bool(_) => value,
        _ if is_secret(name) => Value::from(MASK),
        Value::String(mut text) => {
            hide_user_info(&mut text);
            Value::String(text)
        }
        other => other,
    }
}

/// Whether there is anything in a scalar that could be a secret: not a name for one, which a recipe has.
fn is_shown(node: &NodeRef<'_>) -> bool {
    let is_scalar = matches!(node.kind(), Kind::String | Kind::Number | Kind::Missing);
    is_scalar && !(node.text().starts_with('{') && node.text().ends_with('}')) && !node.span().range().is_empty()
}

/// The values of secret settings, found by their lines.
fn named(text: &str, mentions: &[usize], found: &mut Vec<Span>) {
    if mentions.is_empty() {
        return;
    }
    let mut at = 0;
    // The indentation of the secret whose value may go on in the next lines.
    let mut below = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t', '-']).len();
        let content = line.trim_end().len();
        let goes_on = below.is_some_and(|outer| indent > outer) || (below.is_some() && content == 0);
        let start = match goes_on {
            true => Some(indent.min(content)),
            false if any_within(mentions, at..at + line.len()) => value(line),
            false => None,
        };
        match start {
            Some(start) if start < content => found.push(Span::new(at + start, at + content)),
            _ => {}
        }
        below = if goes_on { below } else { start.map(|_| indent) };
        at += line.len();
    }
}

/// Everything in the file of a user but comments, sections, the name and the tags.
fn unless_public(text: &str, found: &mut Vec<Span>) {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        let start = at + (line.len() - line.trim_start().len());
        at += line.len();
        let (key, value) = content.split_once(['=', ':']).unwrap_or(("", content));
        // A strange key or an indented line may be a piece of the password.
        let lead = match key.trim().to_lowercase().as_str() {
            _ if content.is_empty() || content.starts_with(['[', '#', ';']) => continue,
            _ if line.starts_with([' ', '\t']) => 0,
            "username" | "tags" => continue,
            "password" => content.len() - value.trim_start().len(),
            _ => 0,
        };
        found.push(Span::new(start + lead, start + content.len()));
    }
}

/// Where in a line the value of a secret setting begins.
fn value(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    let after = WORDS.iter().filter_map(|word| Some(lower.find(word)? + word.len())).min()?;
    // The rest of the name, its quote, and the sign.
    let sign = after + line[after..].find([':', '=', ' '])?;
    Some(sign + line[sign..].len() - line[sign..].trim_start_matches([':', '=', ' ', '>']).len())
}

/// The user-info of URLs: what stands between `://` and `@`.
fn user_info(text: &str, found: &mut Vec<Span>) {
    let begin = |sign: &'static str| memchr::memmem::find_iter(text.as_bytes(), sign).map(|at| at + sign.len());
    // A slash may be written as an escape.
    for at in begin("://").chain(begin(":\\/\\/")) {
        let ends = |c: char| c.is_whitespace() || "/\"'<>,`".contains(c);
        let authority = text[at..].split(ends).next().unwrap_or_default();
        if let Some(length) = authority.rfind('@').filter(|&length| length > 0) {
            found.push(Span::new(at, at + length));
        }
    }
    found.sort();
}

/// Masks the user-info of URLs in a text.
fn hide_user_info(text: &mut String) {
    let mut found = Vec::new();
    user_info(text, &mut found);
    found.iter().rev().for_each(|span| text.replace_range(span.range(), MASK));
}

/// The document with its secrets blotted out; every character keeps its place.
pub fn masked(source: &Source, secrets: &[Span]) -> Source {
    let text = source.text();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for secret in secrets {
        let range = secret.range();
        let start = range.start.max(at);
        if start < range.end {
            out.push_str(&text[at..start]);
            out.extend(text[start..range.end].chars().map(blot));
            at = range.end;
        }
    }
    out.push_str(&text[at..]);
    Source::from_text(source.name(), out)
}

/// A blot of the same width in every unit.
fn blot(character: char) -> char {
    match character.len_utf8() {
        _ if character.is_whitespace() => character,
        1 => '*',
        2 => '·',
        3 => '•',
        _ => '🔒',
    }
}

/// Takes secrets out of everything that findings say about places with one, or about a broken document; a fix that
/// would write one is not offered. Elsewhere the same text is no secret, and a mask would tell that it is.
pub fn scrub<'d>(diagnostics: impl Iterator<Item = &'d mut Diagnostic>, tree: &Tree, secrets: &[Span]) {
    let texts = texts(tree.source(), secrets);
    let is_broken = tree.is_broken();
    // What is said about a user's file never has its words in it.
    let is_user = Notation::of(tree.source().name()) == Notation::Ini;
    let touches = |span: Span| secrets.iter().any(|secret| secret.start <= span.end && span.start <= secret.end);
    for diagnostic in diagnostics {
        each_text(diagnostic, hide_user_info);
        let labels = diagnostic.secondary.iter().chain([&diagnostic.primary]).map(|label| label.span);
        let edits = diagnostic.fix.iter().flat_map(|fix| &fix.edits).map(|edit| edit.span);
        let is_near = labels.chain(edits).any(touches);
        if !is_user && (is_broken || is_near) {
            hide_texts(diagnostic, &texts);
        }
    }
}

/// The texts of secrets, as a message may have them.
fn texts<'t>(source: &'t Source, secrets: &[Span]) -> Vec<&'t str> {
    let mut texts: Vec<&str> = Vec::new();
    for secret in secrets {
        let text = source.slice(*secret);
        texts.push(text.trim_matches(['"', '\'']).trim());
        // Of a broken line nobody knows which word it is.
        texts.extend(
            text.split(|c: char| c.is_whitespace() || "{}[],:\"'*&=".contains(c)).filter(|word| word.len() >= SHORT),
        );
    }
    texts.retain(|text| !text.is_empty());
    texts
}

fn hide_texts(diagnostic: &mut Diagnostic, texts: &[&str]) {
    let tells = |said: &str, secret: &str| {
        if secret.len() < SHORT { said.contains(&format!("`{secret}`")) } else { said.contains(secret) }
    };
    each_text(diagnostic, |said| {
        for secret in texts {
            if tells(said, secret) {
                *said = said.replace(secret, MASK);
            }
        }
    });
    let writes = |fix: &Fix| {
        let said = fix.edits.iter().map(|edit| &edit.replacement).chain([&fix.title]);
        // A short one is part of many words that have nothing to do with it.
        let is_written = |said: &str, secret: &str| match secret.len() {
            0..SHORT => said.split(|c: char| !c.is_alphanumeric()).any(|word| word == secret),
            _ => said.contains(secret),
        };
        said.into_iter().any(|said| texts.iter().any(|secret| is_written(said, secret)))
    };
    if diagnostic.fix.as_ref().is_some_and(writes) {
        diagnostic.fix = None;
    }
}

/// Everything that a finding says.
fn each_text(diagnostic: &mut Diagnostic, mut change: impl FnMut(&mut String)) {
    change(&mut diagnostic.message);
    change(&mut diagnostic.primary.text);
    diagnostic.secondary.iter_mut().for_each(|label| change(&mut label.text));
    diagnostic.help.iter_mut().for_each(change);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax;

    #[test]
    fn secrets_are_found_and_blotted_out() {
        for (name, text, expected) in [
            ("a.yml", "password: s3cret\nuser: me", "password: ******\nuser: me"),
            ("a.yml", "password: 's3 cret' # why", "password: *** ***** * ***"),
            ("a.yml", "password: 's3 cret' # zrecipe: allow(x)", "password: *** ***** # zrecipe: allow(x)"),
            ("a.yml", "x: 1 # one\npassword: a\ny: 2 # two", "x: 1 # one\npassword: *\ny: 2 # two"),
            ("a.yml", "user_token: |\n  one\n  two\nx: 1", "user_token: *\n  ***\n  ***\nx: 1"),
            ("a.yml", "a: {password: x, url: 'amqp://me:pw@host/v'}", "a: {password: *, url: 'amqp://*****@host/v'}"),
            ("a.yml", "password: s3cret: bad\nx: 1", "password: ******* ***\nx: 1"),
            ("a.yml", "a: [\n  token: |\n    one\n    two\nx: 1", "a: [\n  token: *\n    ***\n    ***\nx: 1"),
            (
                "a.ini",
                "[rabbitmq]\nusername = me\npassword = s3 cret\n  more\npasword: x",
                "[rabbitmq]\nusername = me\npassword = ** ****\n  ****\n******** *",
            ),
            ("a.json", r#"{"url": "amqp:\/\/me:pw@host"}"#, r#"{"url": "amqp:\/\/*****@host"}"#),
            ("a.json", r#"{"secret": "né中😀"}"#, r#"{"secret": **·•🔒*}"#),
            ("a.json", r#"{"password": "{pw}", "x": 1}"#, r#"{"password": "{pw}", "x": 1}"#),
            ("a.json", r#"{"password" "pw", "x": 1}"#, r#"{"password" ***** **** **"#),
            (
                "a.json",
                r#"{"mail": "me@host", "url": "http://host/@x"}"#,
                r#"{"mail": "me@host", "url": "http://host/@x"}"#,
            ),
        ] {
            let tree = syntax::parse(Arc::new(Source::from_text(name, text)));
            let shown = masked(tree.source(), &find(&tree));
            assert!(shown.text().starts_with(expected), "{text}\n{}", shown.text());
            assert_eq!(shown.text().len(), text.len(), "{text}");
        }
    }
}
