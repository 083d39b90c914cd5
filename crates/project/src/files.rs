//! Files that a front end works on: which ones arguments name, reading them, and what tells whether they have changed.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::library::{limit, matching, read_in_bulk};
use crate::pattern::has_wildcard;
use crate::platform::{self, Identity};
use crate::project::{Walk, walk};
use crate::regular;
use crate::selection::Selection;
use zrecipe_language::source::Source;

/// A file to work on.
pub struct Input {
    /// What the user calls it.
    pub name: String,
    /// None: standard input.
    pub path: Option<PathBuf>,
    /// Found by walking a directory, so it may be something else than a recipe.
    pub found: bool,
    /// Why it cannot be read, where the walk has found that out.
    pub unreadable: Option<String>,
}

impl Input {
    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read, or is larger than `max_bytes`; in words.
    pub fn read(&self, max_bytes: u64) -> Result<Source, String> {
        if let Some(reason) = &self.unreadable {
            return Err(format!("cannot read {}: {reason}", self.name));
        }
        let Some(path) = &self.path else {
            let max_bytes = limit(&self.name, max_bytes);
            let bytes = read_at_most(io::stdin().lock(), max_bytes).map_err(|error| error.to_string())?;
            let bytes = bytes.ok_or_else(|| format!("{} is larger than {max_bytes} bytes", self.name))?;
            return Ok(Source::from_bytes(&self.name, bytes));
        };
        read_in_bulk(path, &self.name, max_bytes).map_err(|error| error.to_string())
    }
}

/// All that a stream holds; none if that is more than the limit. A buffer that grows would need three times the memory.
fn read_at_most(mut stream: impl io::Read, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    const PIECE: u64 = 1 << 20;
    let (mut pieces, mut size) = (Vec::new(), 0_u64);
    loop {
        let mut piece = Vec::new();
        stream.by_ref().take(PIECE).read_to_end(&mut piece)?;
        if piece.is_empty() {
            let mut whole = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            pieces.into_iter().for_each(|piece: Vec<u8>| whole.extend(piece));
            return Ok(Some(whole));
        }
        size += piece.len() as u64;
        if size > max_bytes {
            return Ok(None);
        }
        pieces.push(piece);
    }
}

/// Why arguments name no files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A pattern matches nothing.
    #[error("no file matches `{0}`")]
    NoMatch(String),
    /// A pattern cannot be read; in words.
    #[error("{0}")]
    Unreadable(String),
}

impl Error {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::NoMatch(_) => Some("`**` matches directories at any depth: `recipes/**/*.json`"),
            Self::Unreadable(_) => None,
        }
    }
}

/// The files that the arguments mean, each once, in order; of directories those that are selected.
///
/// In directories these are files with the usual endings, and those whose kind `is_named` by the settings.
///
/// # Errors
/// A pattern matches none, or cannot be read.
pub fn gather(
    paths: &[String],
    stdin_name: &str,
    selection: &Selection,
    is_named: impl Fn(&Path) -> bool,
) -> Result<Vec<Input>, Error> {
    let mut inputs = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |path: PathBuf, found: bool, unreadable: Option<String>| {
        let path = path.strip_prefix("./").map_or_else(|_| path.clone(), Path::to_owned);
        if seen.insert(path.clone()) {
            let name = path.to_string_lossy().into_owned();
            inputs.push(Input { name, path: Some(path), found, unreadable });
        }
    };
    let mut stdin = false;
    for path in paths {
        if path == "-" {
            stdin = true;
        } else if regular::is_dir(Path::new(path)) {
            let Walk { files, unreadable } = walk(Path::new(path), selection, &is_named);
            files.into_iter().for_each(|file| add(file, true, None));
            unreadable.into_iter().for_each(|(path, reason)| add(path, true, Some(reason)));
        } else if has_wildcard(path) && regular::metadata(Path::new(path)).is_err() {
            let files = matching(Path::new(path)).map_err(|error| Error::Unreadable(error.to_string()))?;
            if files.is_empty() {
                return Err(Error::NoMatch(path.clone()));
            }
            files.into_iter().for_each(|file| add(file, false, None));
        } else {
            add(PathBuf::from(path), false, None);
        }
    }
    if stdin {
        inputs.push(Input { name: stdin_name.to_owned(), path: None, found: false, unreadable: None });
    }
    Ok(inputs)
}

/// What the file system knows of a file. Two stamps are equal when the file is surely the same: one of a file that has
/// just changed is not even equal to itself.
#[derive(Debug, Clone)]
pub struct Stamp {
    path: PathBuf,
    found: Option<Identity>,
    settled: bool,
}

impl Stamp {
    /// The stamp of a file, or of a place where there is none.
    pub fn of(path: &Path) -> Self {
        // File systems count time in steps. Of two changes within one step the second leaves the times as they are.
        const STEP: i64 = 2;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let found = path.metadata().ok().map(|found| platform::identity(&found));
        let settled = found.is_none_or(|found| found.changed() + STEP < now as i64);
        Self { path: path.to_owned(), found, settled }
    }
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        self.settled && other.settled && self.path == other.path && self.found == other.found
    }
}
