//! Passwords, tokens, keys and the user-info of URLs: where they stand in a document or a value, and how these are
//! shown without them. A secret is known by the name beside it, by its form, or as the option of a command.

mod programs;
mod text;

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Fix};
use crate::source::{Source, Span};
use crate::syntax::{Kind, NodeRef, Notation, Tree};
use crate::value::Value;

/// What stands for a secret in a message.
pub const MASK: &str = "•••";

/// What the name of a setting that is secret has in it.
const WORDS: [&str; 38] = [
    // Misspelt, it is one all the same.
    "passw",
    "pasw",
    "passphrase",
    "passcode",
    "pwd",
    "_pass",
    "-pass",
    "credential",
    "kennwort",
    "secret",
    "token",
    "api_key",
    "api-key",
    "apikey",
    "private_key",
    "private-key",
    "privatekey",
    "access_key",
    "access-key",
    "accesskey",
    "account_key",
    "accountkey",
    "authorization",
    "bearer",
    "cookie",
    "sessid",
    "jsessionid",
    "key-data",
    "key_data",
    // Passwords in other languages.
    "contrase",
    "senha",
    "wachtwoord",
    "salasana",
    "lösenord",
    "heslo",
    "пароль",
    "密码",
    "parola",
];

/// Names, or words of names, that are secret only as a whole: `pw`, `SLURM_JWT`, but not `author`.
const WHOLE: [&str; 7] = ["pw", "pass", "passe", "auth", "jwt", "creds", "otp"];

/// Words that end as `storepass` and `keypass` do, and are no secrets.
const PASSES: [&str; 7] = ["bypass", "compass", "encompass", "overpass", "surpass", "trespass", "underpass"];

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
        || name.split(|byte| !byte.is_ascii_alphanumeric()).any(|part| {
            // One word of several that says how something passes is none: `pass_through`, `first-pass`.
            let is_alone = |word: &str| !matches!(word, "pass") || part.len() == name.len();
            let is_pass = part.len() > 4 && part[part.len() - 4..].eq_ignore_ascii_case(b"pass");
            is_pass && !PASSES.iter().any(|word| part.eq_ignore_ascii_case(word.as_bytes()))
                || WHOLE.iter().any(|word| part.eq_ignore_ascii_case(word.as_bytes()) && is_alone(word))
        })
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
    let mut found: Vec<usize> = WORDS.into_iter().chain(WHOLE).flat_map(of).collect();
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
    match Notation::of(tree.source().name()) {
        Notation::Ini => unless_public(text, &mut found),
        _ if tree.is_broken() => named(text, &mentions, &mut found),
        // A value may be read as something else: `a,b` is two members, and `#a` is a comment.
        Notation::Yaml | Notation::Toml => written(text, &mentions, &mut found),
        Notation::Json => {}
    }
    found.extend(text::secrets(text));
    tree.nodes().filter(|node| node.kind() == Kind::Array).for_each(|list| listed(list, &mentions, &mut found));
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

/// The value of a setting as it may be shown: everything that prints a value calls this.
pub fn hidden(name: &str, value: Value) -> Value {
    match value {
        Value::Object(members) => {
            // A member that names a secret, and another one with its value.
            let names_secret = |key| members.get(key).and_then(Value::as_str).is_some_and(is_secret);
            let is_pair = ["name", "key", "header"].into_iter().any(names_secret);
            let hide = |(key, value): (String, Value)| {
                let is_of_pair = is_pair && ["value", "val", "content"].contains(&key.as_str());
                // What is below a secret is one as well.
                let value = match is_secret(name) {
                    true => hidden(name, value),
                    false if is_of_pair => hidden("secret", value),
                    false => hidden(&key, value),
                };
                (hidden_text(&key), value)
            };
            Value::Object(members.into_iter().map(hide).collect())
        }
        Value::Array(items) => hidden_items(name, items),
        Value::Null | Value::Bool(_) => value,
        _ if is_secret(name) => Value::from(MASK),
        Value::String(text) => Value::String(hidden_text(&text)),
        Value::Raw(text) => match hidden_text(&text) {
            hidden if *hidden == *text => Value::Raw(text),
            hidden => Value::String(hidden),
        },
        other => other,
    }
}

/// A list: texts in it may be the words of one command, or a name and its value.
fn hidden_items(name: &str, items: Vec<Value>) -> Value {
    let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    let Some(texts) = texts.filter(|_| !is_secret(name)) else {
        return Value::Array(items.into_iter().map(|item| hidden(name, item)).collect());
    };
    if let [first, _] = texts.as_slice()
        && is_secret(first)
    {
        return Value::Array(vec![Value::from(*first), Value::from(MASK)]);
    }
    let joined = texts.join(" ");
    let found = text::secrets(&joined);
    let mut start = 0;
    let shown = texts.iter().map(|item| {
        let end = start + item.len();
        let within = found.iter().filter(|span| (span.start as usize) < end && start < span.end as usize);
        let within = within
            .map(|span| Span::new((span.start as usize).max(start) - start, (span.end as usize).min(end) - start));
        // What is a secret by itself stays one, whatever stands before it.
        let mut all: Vec<Span> = within.chain(text::secrets(item)).collect();
        all.sort_unstable();
        start = end + 1;
        Value::String(replaced(item, &all))
    });
    Value::Array(shown.collect())
}

/// The secrets in a list of texts that are the words of one command, or a name and its value, as [`hidden_items`] hides
/// them.
fn listed(list: NodeRef<'_>, mentions: &[usize], found: &mut Vec<Span>) {
    let items: Vec<NodeRef<'_>> = list.items().collect();
    let is_text = |item: &NodeRef<'_>| item.kind() == Kind::String;
    if items.len() < 2 || !any_within(mentions, list.span().range()) || !items.iter().all(is_text) {
        return;
    }
    let texts: Vec<_> = items.iter().map(|item| item.text()).collect();
    if let [first, _] = texts.as_slice()
        && is_secret(first)
    {
        return found.push(items[1].span());
    }
    let joined = texts.join(" ");
    let secrets = text::secrets(&joined);
    let mut start = 0;
    for (item, text) in items.iter().zip(&texts) {
        let end = start + text.len();
        let is_within = |span: &Span| (span.start as usize) < end && start < span.end as usize;
        for secret in secrets.iter().filter(|span| is_within(span)) {
            let part = (secret.start as usize).max(start) - start..(secret.end as usize).min(end) - start;
            found.push(item.text_span(part));
        }
        start = end + 1;
    }
}

/// A text without the secrets in it.
///
/// ```
/// let shown = zrecipe_language::secret::hidden_text("curl -H 'Authorization: Bearer abc123' http://me:pw@host/");
/// assert_eq!(shown, "curl -H 'Authorization: •••' http://•••@host/");
/// ```
pub fn hidden_text(text: &str) -> String {
    replaced(text, &text::secrets(text))
}

/// A text with the mask in place of these parts, which are in order.
fn replaced(text: &str, secrets: &[Span]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for secret in secrets {
        let range = secret.range();
        if range.start >= at {
            out.push_str(&text[at..range.start]);
            out.push_str(MASK);
        }
        at = at.max(range.end);
    }
    out.push_str(&text[at..]);
    out
}

/// Whether a place of a document is within one of its secrets, and so may not be shown, a key included.
pub fn covers(secrets: &[Span], place: Span) -> bool {
    secrets.iter().any(|secret| secret.start <= place.start && place.start <= secret.end)
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

/// What is written behind the name of a secret setting in a document that can be read: to the end of the line, or
/// within braces to the next member with a colon.
fn written(text: &str, mentions: &[usize], found: &mut Vec<Span>) {
    let mut done = 0;
    for &at in mentions {
        if at < done {
            continue;
        }
        let line = memchr::memrchr(b'\n', &text.as_bytes()[..at]).map_or(0, |before| before + 1);
        let end = memchr::memchr(b'\n', &text.as_bytes()[at..]).map_or(text.len(), |length| at + length);
        let start = text[line..at].rfind([' ', '{', ',', '"', '\'', '\t']).map_or(line, |before| line + before + 1);
        let is_within = text[line..start].contains(['{', ',']);
        let name = text[start..end].split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).next();
        let Some(name) = name.filter(|name| is_secret(name)) else { continue };
        let quote = start + name.len();
        let colon = quote + (text[quote..end].len() - text[quote..end].trim_start_matches(['"', '\'', ' ']).len());
        let Some(rest) = text[colon..end].strip_prefix([':', '=']).filter(|rest| rest.starts_with([' ', '"', '\'']))
        else {
            continue;
        };
        let value = end - rest.trim_start().len();
        let length = if is_within { member(&text[value..end]) } else { text[value..end].len() };
        // What directs zrecipe is no part of a value.
        let length = text[value..value + length].find("# zrecipe:").unwrap_or(length);
        let length = text[value..value + length].trim_end().len();
        let content = text[value..value + length].trim_matches(['"', '\'']);
        let is_placeholder = content.starts_with('{') || content.starts_with('[') || content.starts_with(['|', '>']);
        if length > 0 && !is_placeholder && !matches!(content, "null" | "~" | "true" | "false") {
            found.push(Span::new(value, value + length));
        }
        done = value + length;
    }
}

/// How long the value of a member within braces can be at most: up to a `}` that ends the line or stands before
/// another member, or to a `,` before a key with its colon.
fn member(rest: &str) -> usize {
    let is_key = |text: &str| {
        let text = text.trim_start().trim_start_matches(['"', '\'']);
        let length = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(text.len());
        let after = text[length..].trim_start_matches(['"', '\'']);
        length > 0 && (after.starts_with(": ") || after == ":")
    };
    let ends = |at: usize| match rest.as_bytes()[at] {
        b'}' => rest[at..].trim_start_matches(['}', ']', ' ']).is_empty() || rest[at + 1..].starts_with([',', ' ']),
        _ => is_key(&rest[at + 1..]),
    };
    rest.match_indices(['}', ',']).map(|(at, _)| at).find(|&at| ends(at)).unwrap_or(rest.len())
}

/// Where in a line the value of a secret setting begins.
fn value(line: &str) -> Option<usize> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut at = 0;
    let after = line.split(|c: char| !is_part(c)).find_map(|name| {
        let start = at;
        // Everything that ends a name here is one byte, or is passed by its own length below.
        at = start + name.len() + line[start + name.len()..].chars().next().map_or(0, char::len_utf8);
        is_secret(name).then_some(start + name.len())
    })?;
    // The quote of the name, and the sign.
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

/// Masks what is a secret by its form.
fn hide_shapes(text: &mut String) {
    let found = text::shapes(text);
    if !found.is_empty() {
        *text = replaced(text, &found);
    }
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
        each_text(diagnostic, hide_shapes);
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
    change(&mut diagnostic.path);
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
