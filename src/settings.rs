//! `zrecipe.toml`: what a project or a site sets once instead of typing it.
//!
//! ```toml
//! recipe-directories = ["recipes", "/dls_sw/apps/zocalo/live/recipes"]   # relative to this file
//! state-directory = "/var/lib/zrecipe"                                   # runs and the embedded broker
//! max-file-size = 67108864                                               # bytes; larger recipes are refused
//! ```
//!
//! The file is searched for in the working directory and its parents; the command line comes before it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::source::{Position, Source, Unit};

/// The file's name.
pub const FILE_NAME: &str = "zrecipe.toml";

/// Settings, as far as they are given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Where recipes are looked up by name, in this order.
    #[serde(default)]
    pub recipe_directories: Vec<PathBuf>,
    /// Where runs and the embedded broker are kept.
    pub state_directory: Option<PathBuf>,
    /// The largest recipe that is read, in bytes.
    pub max_file_size: Option<u64>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or holds a setting that there is not.
    #[error("{}:{}:{}: {message}", path.display(), position.line, position.column)]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where.
        position: Position,
        /// What is wrong.
        message: String,
    },
}

impl Settings {
    /// The settings that hold in a directory: those of the nearest file in it or in a parent.
    ///
    /// # Errors
    /// The file is there and cannot be used.
    pub fn find(directory: &Path) -> Result<Self, Error> {
        for directory in directory.ancestors() {
            let path = directory.join(FILE_NAME);
            match std::fs::read_to_string(&path) {
                Ok(text) => return Self::parse(&path, &text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {}
                Err(source) => return Err(Error::Unreadable { path, source }),
            }
        }
        Ok(Self::default())
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let mut settings: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let position = Source::from_text("", text).position(at as u32, Unit::Char);
            Error::Invalid { path: path.to_owned(), position, message: error.message().to_owned() }
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        for directory in settings.recipe_directories.iter_mut().chain(&mut settings.state_directory) {
            *directory = base.join(&directory);
        }
        Ok(settings)
    }

    /// The largest recipe that is read, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_file_size.unwrap_or(Source::MAX_BYTES).min(u64::from(u32::MAX) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_relative_to_their_file() {
        let path = Path::new("/site/zrecipe.toml");
        let settings = Settings::parse(path, "recipe-directories = [\"recipes\", \"/other\"]").expect("is right");
        assert_eq!(settings.recipe_directories, [PathBuf::from("/site/recipes"), PathBuf::from("/other")]);
        for (text, expected) in [
            ("max-file-size = \"big\"", "/site/zrecipe.toml:1:17: invalid type: string \"big\", expected u64"),
            ("\nrecipes = 1", "/site/zrecipe.toml:2:1: unknown field `recipes`"),
        ] {
            let error = Settings::parse(path, text).expect_err("is wrong").to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
