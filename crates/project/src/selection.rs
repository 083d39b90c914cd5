//! Selection of files in directories: `include` and `exclude` of the settings, and `--exclude`.
//!
//! Patterns are those of `.gitignore`: `vendor/` and `*.lock.json` match at any depth, `/build` and `data/*.json` are
//! relative to the directory of the settings. A file that is named itself is always taken.

use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::paths::plain;

/// Files of directories to read.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these, if there are any.
    include: Option<Patterns>,
    exclude: Vec<Patterns>,
}

/// Patterns, and the directory that they are relative to.
#[derive(Debug, Clone)]
struct Patterns {
    /// As written.
    texts: Vec<String>,
    base: PathBuf,
    matcher: Gitignore,
}

impl Patterns {
    fn new<'p>(base: &Path, patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, String> {
        let mut builder = GitignoreBuilder::new("");
        let mut texts = Vec::new();
        for pattern in patterns {
            texts.push(pattern.to_owned());
            builder.add_line(None, pattern).map_err(|error| format!("`{pattern}`: {error}"))?;
        }
        let matcher = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { texts, base: plain(base), matcher })
    }

    /// Whether a pattern matches the path or a directory above it.
    fn has(&self, path: &Path, is_directory: bool) -> bool {
        let path = plain(path);
        // Nothing outside of the directory is meant.
        path.strip_prefix(&self.base).is_ok_and(|inner| {
            !inner.as_os_str().is_empty() && self.matcher.matched_path_or_any_parents(inner, is_directory).is_ignore()
        })
    }
}

impl Selection {
    /// Takes only files that match one of the patterns.
    ///
    /// # Errors
    /// A pattern is malformed.
    pub fn include(&mut self, base: &Path, patterns: &[impl AsRef<str>]) -> Result<(), String> {
        if !patterns.is_empty() {
            self.include = Some(Patterns::new(base, patterns.iter().map(AsRef::as_ref))?);
        }
        Ok(())
    }

    /// Leaves out files and directories that match one of the patterns.
    ///
    /// # Errors
    /// A pattern is malformed.
    pub fn exclude(&mut self, base: &Path, patterns: &[impl AsRef<str>]) -> Result<(), String> {
        if !patterns.is_empty() {
            self.exclude.push(Patterns::new(base, patterns.iter().map(AsRef::as_ref))?);
        }
        Ok(())
    }

    /// Puts other directories in the place of those that the patterns are relative to.
    pub fn map_bases(&mut self, map: impl Fn(&Path) -> PathBuf) {
        self.include.iter_mut().chain(&mut self.exclude).for_each(|patterns| patterns.base = map(&patterns.base));
    }

    /// The patterns of `include`.
    pub fn included(&self) -> impl Iterator<Item = String> {
        self.include.iter().flat_map(|patterns| patterns.texts.clone())
    }

    /// The patterns of `exclude`.
    pub fn excluded(&self) -> impl Iterator<Item = String> {
        self.exclude.iter().flat_map(|patterns| patterns.texts.clone())
    }

    /// Whether a directory may hold files to read.
    pub fn enters(&self, directory: &Path) -> bool {
        !self.exclude.iter().any(|patterns| patterns.has(directory, true))
    }

    /// Whether a file is to be read.
    pub fn takes(&self, file: &Path) -> bool {
        !self.is_excluded(file) && self.include.as_ref().is_none_or(|patterns| patterns.has(file, false))
    }

    /// Whether a file is excluded; `include` does not count.
    pub fn is_excluded(&self, file: &Path) -> bool {
        self.exclude.iter().any(|patterns| patterns.has(file, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_gitignore() {
        let base = Path::new("/site");
        let mut selection = Selection::default();
        selection.include(base, &["recipes/", "*.yml"]).expect("are patterns");
        selection.exclude(base, &["vendor/", "/recipes/old", "*.lock.json", "!keep.lock.json"]).expect("are patterns");
        for (path, expected) in [
            ("/site/recipes/a.json", true),
            ("/site/recipes/deep/a.json", true),
            ("/site/other/a.json", false),
            ("/site/other/a.yml", true),
            ("/site/recipes/old/a.json", false),
            ("/site/sub/recipes/old/a.json", true),
            ("/site/recipes/vendor/deep/a.json", false),
            ("/site/recipes/x.lock.json", false),
            ("/site/recipes/keep.lock.json", true),
            ("/elsewhere/recipes/a.json", false),
        ] {
            assert_eq!(selection.takes(Path::new(path)), expected, "{path}");
        }
        assert!(selection.enters(base) && !selection.enters(Path::new("/site/a/vendor")));
        assert!(Selection::default().takes(Path::new("anything")));
        assert!(Selection::default().exclude(base, &["[z-a]"]).is_err());
    }
}
