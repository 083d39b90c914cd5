//! Known findings on disk: a baseline file, and the directory that its paths are relative to.

use std::path::{Path, PathBuf};

use crate::library;
use crate::settings::plain;
use zrecipe_language::baseline::Baseline;
use zrecipe_language::diagnostic::Diagnostic;
use zrecipe_language::source::Source;

/// Known findings of a baseline file, and the directory that its paths are relative to.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The findings that were not met yet.
    pub baseline: Baseline,
    /// The directory of the baseline file.
    directory: Option<PathBuf>,
}

/// Why a baseline file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    Library(#[from] library::Error),
    /// The content is not a baseline.
    #[error("{} {reason}", .path.display())]
    Malformed {
        /// The baseline file.
        path: PathBuf,
        /// What is wrong, as a predicate.
        reason: String,
    },
}

impl Known {
    /// Reads a baseline file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a baseline.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let source = library::read(path, &path.to_string_lossy(), Source::MAX_BYTES)?;
        let malformed = |reason| Error::Malformed { path: path.to_owned(), reason };
        Ok(Self { baseline: Baseline::parse(source.text()).map_err(malformed)?, ..Self::beside(path) })
    }

    /// No known findings, with paths relative to the directory of a baseline file that is yet to be written.
    pub fn beside(path: &Path) -> Self {
        Self { baseline: Baseline::default(), directory: plain(path).parent().map(Path::to_owned) }
    }

    /// The path under which the baseline keeps a file. Names in angle brackets are no files.
    pub fn key(&self, name: &str) -> String {
        let directory = self.directory.as_ref().filter(|_| !name.starts_with('<'));
        let inner = directory.and_then(|directory| {
            Some(plain(Path::new(name)).strip_prefix(directory).ok()?.to_string_lossy().into_owned())
        });
        inner.unwrap_or_else(|| name.to_owned())
    }

    /// Takes the known findings of a file out of `findings` and returns them.
    pub fn take(&mut self, name: &str, findings: &mut Vec<Diagnostic>) -> Vec<Diagnostic> {
        let key = self.key(name);
        self.baseline.take_known(&key, findings)
    }
}

/// Findings of a batch: known ones are left out, others are passed on or written down.
#[derive(Debug, Default)]
pub struct Ledger {
    known: Known,
    is_writing: bool,
    /// Number of known findings that occurred.
    pub occurred: usize,
    /// Number of known findings of the files entered that did not occur.
    pub gone: usize,
    /// Findings for a new baseline, if one is to be written.
    pub written: Baseline,
}

impl Ledger {
    /// A ledger that leaves out known findings; one that `is_writing` writes all others down and passes none on.
    pub fn new(known: Known, is_writing: bool) -> Self {
        Self { known, is_writing, ..Self::default() }
    }

    /// Enters the findings of a file; returns those that are to be shown.
    pub fn enter(&mut self, name: &str, findings: &[Diagnostic]) -> Vec<Diagnostic> {
        let mut left = findings.to_vec();
        self.occurred += self.known.take(name, &mut left).len();
        let file = self.known.key(name);
        self.gone += self.known.baseline.count_of(&file);
        if self.is_writing {
            self.written.add(&file, &std::mem::take(&mut left));
        }
        left
    }
}
