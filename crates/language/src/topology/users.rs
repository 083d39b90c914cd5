//! Files with a user of the broker each: an `.ini` with the section `rabbitmq`, as Python's `configparser` reads it.
//!
//! A password is kept as a thing that only tells its hash, so nothing can show it.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use crate::source::{Source, Span};

/// A user of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// What the user may do with the broker as a whole: `administrator`, `monitoring`, `management`, …
    pub tags: Vec<String>,
    /// The password.
    pub password: Password,
}

/// A password of which nobody gets more than the hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// What RabbitMQ keeps of it by `rabbit_password_hashing_sha256`: the salt, and the hash of salt and password.
    pub fn hash(&self, salt: [u8; 4]) -> String {
        let hash = Sha256::new().chain_update(salt).chain_update(&self.0).finalize();
        BASE64.encode([&salt[..], &hash[..]].concat())
    }
}

/// The salt of a hash; nothing if it is none.
pub fn salt(hash: &str) -> Option<[u8; 4]> {
    BASE64.decode(hash).ok()?.first_chunk().copied()
}

/// Something wrong with a file. The lines of the file may hold a password, so they are not to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// What: a clause.
    pub message: String,
}

/// A file read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The user, if there is one.
    pub user: Option<User>,
    /// What is wrong with the file.
    pub faults: Vec<Fault>,
}

const SECTION: &str = "rabbitmq";
const KEYS: [&str; 3] = ["username", "password", "tags"];

/// Reads the user that a file describes.
pub fn read(source: &Source) -> Reading {
    let mut reader = Reader { entries: HashMap::new(), faults: Vec::new(), has_section: false };
    reader.lines(source.text());
    let user = reader.user();
    Reading { user, faults: reader.faults }
}

/// A key's value: what is on its line and on the lines that go on with it.
struct Entry {
    value: String,
    span: Span,
}

struct Reader {
    /// What stands in the section, or in `DEFAULT` for all sections.
    entries: HashMap<String, Entry>,
    faults: Vec<Fault>,
    has_section: bool,
}

impl Reader {
    fn fault(&mut self, span: Span, message: impl Into<String>) {
        self.faults.push(Fault { span, message: message.into() });
    }

    fn lines(&mut self, text: &str) {
        let (mut at, mut section) = (0, None);
        // The key that an indented line goes on with, and its indentation.
        let mut open: Option<(String, usize)> = None;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            let content = line.trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            let span = Span::new(start + indent, start + indent + content.len());
            if let Some((key, margin)) = &open
                && indent > *margin
            {
                if let Some(entry) = self.entries.get_mut(key) {
                    entry.value.push('\n');
                    entry.value.push_str(content);
                }
                continue;
            }
            if let Some((name, _)) = content.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) {
                if name == SECTION && std::mem::replace(&mut self.has_section, true) {
                    self.fault(span, format!("there are two sections `{SECTION}`"));
                }
                (section, open) = (Some(name), None);
                continue;
            }
            let Some(section) = section else {
                self.fault(span, format!("there is text before the section `[{SECTION}]`"));
                return;
            };
            let Some((key, value)) = content.split_once(['=', ':']).filter(|(key, _)| !key.trim().is_empty()) else {
                self.fault(span, "the line is not of the form `key = value`");
                continue;
            };
            if section != SECTION && section != "DEFAULT" {
                open = None;
                continue;
            }
            let key = key.trim().to_lowercase();
            let end = start + indent + content.len();
            let value = value.trim();
            let entry = Entry { value: value.to_owned(), span: Span::new(end - value.len(), end) };
            let is_own = section == SECTION;
            open = Some((if is_own { key.clone() } else { format!("DEFAULT {key}") }, indent));
            if is_own {
                if self.entries.insert(key.clone(), entry).is_some() {
                    self.fault(span, "the key is given twice");
                }
                // The key is not shown: it may be a piece of a password.
                if !KEYS.contains(&key.as_str()) {
                    self.fault(span, format!("an unknown key: a user has {}", list()));
                }
            } else {
                self.entries.insert(format!("DEFAULT {key}"), entry);
            }
        }
    }

    fn user(&mut self) -> Option<User> {
        let nowhere = Span::default();
        if !self.has_section {
            if self.faults.is_empty() {
                self.fault(nowhere, format!("there is no section `[{SECTION}]`"));
            }
            return None;
        }
        let mut read = HashMap::new();
        let mut faults = Vec::new();
        for key in KEYS {
            match self.entry(key) {
                None if key == "tags" => {}
                None => faults.push((nowhere, format!("there is no `{key}`"))),
                Some(entry) if entry.value.is_empty() && key != "tags" => {
                    faults.push((entry.span, format!("`{key}` is empty")));
                }
                Some(entry) if has_lone_percent(&entry.value) => {
                    faults.push((entry.span, format!("the `%` in `{key}` has to be doubled")));
                }
                Some(entry) => match self.resolve(&entry.value, 0) {
                    Some(value) => _ = read.insert(key, (value, entry.span)),
                    None => faults.push((entry.span, format!("`{key}` refers to a key that does not exist"))),
                },
            }
        }
        faults.into_iter().for_each(|(span, message)| self.fault(span, message));
        let (name, span) = read.remove("username")?;
        let mut take = |key: &str| read.remove(key).map_or(String::new(), |(value, _)| value);
        let (password, tags) = (Password(take("password")), take("tags"));
        let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        Some(User { name, span, tags, password })
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key).or_else(|| self.entries.get(&format!("DEFAULT {key}")))
    }

    /// A value as `configparser` gives it: `%%` is `%`, and `%(key)s` what the key says.
    fn resolve(&self, text: &str, depth: usize) -> Option<String> {
        const DEEPEST: usize = 10;
        let (mut resolved, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('%') {
            resolved.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                resolved.push('%');
                rest = after;
                continue;
            }
            let (key, after) = after.strip_prefix('(')?.split_once(")s")?;
            let entry = self.entry(&key.to_lowercase()).filter(|_| depth < DEEPEST)?;
            resolved.push_str(&self.resolve(&entry.value, depth + 1)?);
            rest = after;
        }
        resolved.push_str(rest);
        Some(resolved)
    }
}

fn list() -> String {
    KEYS.map(|key| format!("`{key}`")).join(", ")
}

/// Whether a value holds a `%` that does not stand for itself or for another key, which stops `configparser`.
fn has_lone_percent(value: &str) -> bool {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('%') {
        let Some(after) = after.strip_prefix('%').or_else(|| Some(after.strip_prefix('(')?.split_once(")s")?.1)) else {
            return true;
        };
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_python_does() {
        // The file, the name with its tags, and the lines and clauses of what is wrong.
        let rows: [(&str, &str, &[&str]); 19] = [
            ("[rabbitmq]\nusername = zocalo\npassword = s3cret\ntags = administrator\n", "zocalo administrator", &[]),
            ("# who\n[rabbitmq]\n; and\nUserName: zocalo\r\npassword: s3cret", "zocalo", &[]),
            (
                "[DEFAULT]\npassword=s3cret\n[rabbitmq]\nusername=a\ntags = monitoring, management,\n",
                "a monitoring management",
                &[],
            ),
            ("[other]\nusername=b\n[rabbitmq]\nusername=a\npassword=s3cret=:\n", "a", &[]),
            ("[rabbitmq]\nusername = a\npassword = s3\n  cret\n", "a", &[]),
            ("[rabbitmq]\nusername = a\npassword = s3%%cret\n", "a", &[]),
            ("[DEFAULT]\nsecret = s3cret\n[rabbitmq]\nusername = a\npassword = %(secret)s\n", "a", &[]),
            (
                "[rabbitmq]\nusername = a\npassword = %(secret)s\n",
                "a",
                &["3: `password` refers to a key that does not exist"],
            ),
            ("[rabbitmq]\nusername = a\npassword = s3%cret\n", "a", &["3: the `%` in `password` has to be doubled"]),
            ("[rabbitmq]\nusername = a\n", "a", &["1: there is no `password`"]),
            ("[rabbitmq]\nusername = a\npassword =\n", "a", &["3: `password` is empty"]),
            ("[rabbitmq]\npassword = s3cret\n", "", &["1: there is no `username`"]),
            ("[rabbitmq]\nusername =\npassword = s3cret\n", "", &["2: `username` is empty"]),
            ("[rabbitmq]\nusername = a\npassword = s3cret\nusername = b\n", "b", &["4: the key is given twice"]),
            (
                "[rabbitmq]\nusername = a\npassword = s3cret\n[rabbitmq]\n",
                "a",
                &["4: there are two sections `rabbitmq`"],
            ),
            (
                "[rabbitmq]\nusername = a\npassword = s3cret\npassword_hash = s3cret\n",
                "a",
                &["4: an unknown key: a user has `username`, `password`, `tags`"],
            ),
            (
                "[rabbitmq]\nusername = a\ns3cret\n",
                "a",
                &["3: the line is not of the form `key = value`", "1: there is no `password`"],
            ),
            ("username = a\n", "", &["1: there is text before the section `[rabbitmq]`"]),
            ("", "", &["1: there is no section `[rabbitmq]`"]),
        ];
        for (text, user, faults) in rows {
            let source = Source::from_text("user.ini", text);
            let reading = read(&source);
            let found = reading.user.as_ref().map_or(String::new(), |user| {
                assert_eq!(source.slice(user.span), user.name, "{text}");
                std::iter::once(user.name.as_str())
                    .chain(user.tags.iter().map(String::as_str))
                    .collect::<Vec<_>>()
                    .join(" ")
            });
            assert_eq!(found, user, "{text}");
            let line = |span: Span| source.position(span.start, crate::source::Unit::Char).line;
            let found: Vec<String> =
                reading.faults.iter().map(|fault| format!("{}: {}", line(fault.span), fault.message)).collect();
            assert_eq!(found, faults, "{text}");
            assert!(!format!("{reading:?}").contains("s3cret"), "{text}: a secret is shown");
        }
    }

    #[test]
    fn passwords_are_hashed_as_the_reference_does() {
        // `zocalo.util.rabbitmq.hash_password` with the salt of a hash.
        for (password, salted, expected) in [
            ("guest", "AQIDBA==", "AQIDBEMMOXwY6PKx/JKP9PAqfsb4ozuD0Ta3pxxa9gEYBMmD"),
            ("käse 100%%", "/wB/gA==", "/wB/gE8arBoeLLA4XNCHYor/Xu6xusOsd6YTM8MQPYg1VKhq"),
        ] {
            let text = format!("[rabbitmq]\nusername = a\npassword = {password}\n");
            let reading = read(&Source::from_text("user.ini", text));
            let salt = salt(salted).expect("a hash");
            assert_eq!(reading.user.expect("a user").password.hash(salt), expected);
        }
        assert_eq!([salt("AQI="), salt("?")], [None, None]);
    }
}
