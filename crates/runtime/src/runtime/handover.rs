//! Files that a service writes for the commands of a step: the recipe, its environment, the whole message.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::runtime::roots::{Error, Privacy, Roots};
use zrecipe_broker::message::Envelope;
use zrecipe_language::value::{Object, Value};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Recipe,
    Environment,
    Message,
}

/// Parameters that name a file, the variable that stands for it, and what it holds.
const FILES: [(&str, &str, Content); 3] = [
    ("recipefile", "RECIPEFILE", Content::Recipe),
    ("recipeenvironment", "RECIPEENV", Content::Environment),
    ("recipewrapper", "RECIPEWRAP", Content::Message),
];

/// The variable that stands for the step's number.
const POINTER: &str = "RECIPEPOINTER";

/// The files that a step asks for.
#[derive(Debug)]
pub struct Handover {
    files: Vec<(&'static str, Content, PathBuf)>,
}

impl Handover {
    /// What the parameters of a step ask for; paths are relative to a directory.
    ///
    /// # Errors
    /// What cannot be a path.
    pub fn read(parameters: &Object, directory: &Path) -> Result<Self, String> {
        let mut files = Vec::new();
        for (parameter, variable, content) in FILES {
            match parameters.get(parameter).and_then(Value::as_str) {
                Some(path) if path.contains('\0') => {
                    return Err(format!("parameter `{parameter}` holds a NUL character"));
                }
                Some(path) => files.push((variable, content, directory.join(path))),
                None => {}
            }
        }
        Ok(Self { files })
    }

    /// Writes them.
    ///
    /// # Errors
    /// One is outside of the roots, or cannot be written.
    pub fn write(&self, envelope: &Envelope, roots: &Roots) -> Result<(), Error> {
        for (_, content, path) in &self.files {
            let (text, privacy) = match content {
                Content::Recipe => (envelope.recipe.to_value().to_json_pretty(), Privacy::Usual),
                Content::Environment => {
                    (Value::Object(envelope.environment.clone()).to_json_pretty(), Privacy::Private)
                }
                Content::Message => (envelope.write(), Privacy::Private),
            };
            let mut file = roots.create(path, privacy)?;
            file.write_all(text.as_bytes()).map_err(|source| Error::Unusable { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// The variables of the commands: name and value.
    pub fn variables(&self, pointer: i64) -> Vec<(&'static str, String)> {
        let files = self.files.iter().map(|(variable, _, path)| (*variable, path.to_string_lossy().into_owned()));
        std::iter::once((POINTER, pointer.to_string())).chain(files).collect()
    }

    /// An argument of a command with the variables put in.
    pub fn fill(&self, argument: &str, pointer: i64) -> String {
        let put_in = |text: String, (name, value): (&str, String)| text.replace(&format!("${name}"), &value);
        self.variables(pointer).into_iter().fold(argument.to_owned(), put_in)
    }
}
