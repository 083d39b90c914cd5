//! Forms of values in the settings file.

use std::borrow::Cow;
use std::ops::Deref;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use zrecipe_language::document::DocumentKind;
use zrecipe_language::lint::RULES;

/// A number of seconds above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl Deref for Seconds {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl Serialize for Seconds {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = Duration::try_from_secs_f64(f64::deserialize(deserializer)?).ok().filter(|time| !time.is_zero());
        time.map(Self).ok_or_else(|| D::Error::custom("a time limit is a number of seconds above 0"))
    }
}

/// Declares types that stand for a form of text in the schema.
macro_rules! forms {
    ($($(#[$attribute:meta])* $name:ident $shown:literal = $schema:expr;)+) => {
        $($(#[$attribute])*
        pub(super) enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $shown.into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let form: fn(&mut SchemaGenerator) -> Schema = $schema;
                form(generator)
            }
        })+
    };
}

forms! {
    /// The type of a parameter.
    Parameter "parameter" = |_| json_schema!({
        "description": "A JSON Schema, or the name of a type, which is short for `{ type = … }`.",
        "anyOf": [
            { "enum": ["array", "boolean", "integer", "null", "number", "object", "string"] },
            { "type": ["object", "boolean"] },
        ],
    });
    /// Levels of rules.
    Levels "levels" = |generator| json_schema!({
        "description": "Levels by the names of rules.",
        "type": "object",
        "propertyNames": generator.subschema_for::<Subject>(),
        "additionalProperties": generator.subschema_for::<Level>(),
    });
    /// A level.
    Level "level" = |_| json_schema!({
        "description": "allow: not reported. note: style. warning (or warn): it runs and is probably wrong. error (or deny): the runtime would reject or lose it.",
        "enum": ["allow", "note", "warning", "warn", "error", "deny"],
    });
    /// What a level is given to.
    Subject "subject" = |generator| json_schema!({
        "description": "A rule, or several.",
        "anyOf": [generator.subschema_for::<Rule>(), { "enum": ["all", "errors", "notes", "warnings"] }],
    });
    /// The name of a rule.
    Rule "rule" = |_| json_schema!({
        "description": "The name of a rule.",
        "anyOf": [
            { "enum": RULES.iter().map(|rule| rule.name).collect::<Vec<_>>() },
            { "description": "A rule of the site, from `[site-rules]`.", "type": "string", "pattern": "^site/" },
        ],
    });
    /// The name of a kind of files.
    Kind "kind" = |_| json_schema!({
        "description": "The name of a kind of files.",
        "enum": DocumentKind::ALL.map(DocumentKind::name),
    });
    /// A place in a JSON document.
    JsonPointer "pointer" = |_| json_schema!({
        "type": "string",
        "format": "json-pointer",
        "pattern": "^(/.*)?$",
    });
}

impl JsonSchema for Seconds {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "seconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0 })
    }
}
