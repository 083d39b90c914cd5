//! Tables of the settings file that are defined with what they configure.

use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Error, Settings};

/// What is wrong, and at which byte.
pub(super) type Problem = (usize, String);

/// What is wrong with TOML, and where.
pub(super) fn problem(error: &toml::de::Error) -> Problem {
    (error.span().map_or(0, |span| span.start), error.message().to_owned())
}

/// The text of the file.
#[derive(Clone, Default)]
pub(super) struct Text(pub Arc<str>);

impl Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text")
    }
}

/// A table of the settings file. The type is what the table configures: its documentation, names, types and defaults
/// are those of the schema and of the reference.
pub trait Section: DeserializeOwned + Default + JsonSchema + Debug {
    /// The name of the table.
    const NAME: &'static str;

    /// Makes its paths absolute: in the file they are relative to its directory.
    fn relative_to(&mut self, directory: &Path);
}

/// A section in a list of all: what the schema and the reference are derived from.
#[derive(Clone, Copy)]
pub struct Registered {
    /// The name of the table.
    pub name: &'static str,
    /// Its schema.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// What is read of it, for tests.
    pub read: fn(&Settings) -> Result<String, Error>,
}

impl Registered {
    /// The entry of a section.
    pub const fn of<S: Section>() -> Self {
        fn read<S: Section>(settings: &Settings) -> Result<String, Error> {
            Ok(format!("{:?}", settings.section::<S>()?))
        }
        Self { name: S::NAME, schema: S::json_schema, read: read::<S> }
    }
}

/// Reads one table of a file, and nothing else.
pub(super) fn read<S: Section>(text: &str, directory: &Path) -> Result<S, Problem> {
    let Only(mut section) = toml::from_str::<Only<S>>(text).map_err(|error| problem(&error))?;
    section.relative_to(directory);
    Ok(section)
}

struct Only<S>(S);

impl<'de, S: Section> Deserialize<'de> for Only<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table<S>(PhantomData<S>);
        impl<'de, S: Section> Visitor<'de> for Table<S> {
            type Value = Only<S>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Only<S>, A::Error> {
                let mut section = S::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == S::NAME {
                        section = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Only(section))
            }
        }
        deserializer.deserialize_map(Table(PhantomData))
    }
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Command(pub Vec<String>);

impl Command {
    /// Makes a program with a slash absolute; one without is looked up in PATH.
    pub fn relative_to(&mut self, directory: &Path) {
        if let Some(program) = self.0.first_mut().filter(|program| program.contains('/')) {
            *program = directory.join(program.trim_start_matches("./")).to_string_lossy().into_owned();
        }
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let command = Vec::deserialize(deserializer)?;
        let has_name = command.first().is_some_and(|program: &String| !program.is_empty());
        if has_name { Ok(Self(command)) } else { Err(D::Error::custom("a program has a name")) }
    }
}

impl JsonSchema for Command {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "program".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A program and its arguments; no shell is involved. A program with a slash is relative to the file.",
            "type": "array",
            "items": { "type": "string" },
            "prefixItems": [{ "type": "string", "minLength": 1 }],
            "minItems": 1,
        })
    }
}
