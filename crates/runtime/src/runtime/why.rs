//! Why a service, a scheduler or an interpreter cannot be had, and what to do about it.

use zrecipe_project::settings;

/// Why a service or scheduler cannot be made here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Why {
    /// What is missing or wrong.
    pub message: String,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl Why {
    /// A reason without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new() }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<settings::Error> for Why {
    fn from(error: settings::Error) -> Self {
        let why = Self::new(error.to_string());
        match error.help() {
            Some(help) => why.hint(help),
            None => why,
        }
    }
}
