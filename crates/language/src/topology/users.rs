//! Files with a user of the broker each: an `.ini` with the section `rabbitmq`, as Python's `configparser` reads it.
//!
//! A password is kept as a thing that only tells its hash, so nothing can show it.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

pub use crate::ini::Fault;
use crate::ini::Section;
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
    let section = Section::read(source.text(), SECTION);
    let mut faults = section.faults().to_vec();
    let user = user(&section, &mut faults);
    Reading { user, faults }
}

fn user(section: &Section<'_>, faults: &mut Vec<Fault>) -> Option<User> {
    let nowhere = Span::default();
    if !section.is_present() {
        return None;
    }
    let fault = |span: Span, message: String| Fault { span, message };
    // The key is not shown: it may be a piece of a password.
    let unknown = section.keys().filter(|(key, _)| !KEYS.contains(key)).map(|(_, span)| span);
    faults.extend(unknown.map(|span| fault(span, format!("an unknown key: a user has {}", list()))));
    faults.sort_by_key(|fault| fault.span.start);
    let mut read = HashMap::new();
    for key in KEYS {
        match section.value(key) {
            Ok(None) if key == "tags" => {}
            Ok(None) => faults.push(fault(nowhere, format!("there is no `{key}`"))),
            Ok(Some((value, span))) if value.is_empty() && key != "tags" => {
                faults.push(fault(span, format!("`{key}` is empty")));
            }
            Ok(Some(value)) => _ = read.insert(key, value),
            Err(fault) => faults.push(fault),
        }
    }
    let (name, span) = read.remove("username")?;
    let mut take = |key: &str| read.remove(key).map_or(String::new(), |(value, _)| value);
    let (password, tags) = (Password(take("password")), take("tags"));
    let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    Some(User { name, span, tags, password })
}

fn list() -> String {
    KEYS.map(|key| format!("`{key}`")).join(", ")
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
