//! The files that a command works on: which ones the arguments mean, reading them, and writing them back whole.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::cli::Error;
use zrecipe_language::source::Source;
use zrecipe_project::library::{limit, read_in_bulk};
use zrecipe_project::project::walk;
use zrecipe_project::regular;

/// A file to work on.
pub struct Input {
    /// What the user calls it.
    pub name: String,
    /// None: standard input.
    pub path: Option<PathBuf>,
    /// Found by walking a directory, so it may be something else than a recipe.
    pub found: bool,
}

impl Input {
    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read, or is larger than `max_bytes`; in words.
    pub fn read(&self, max_bytes: u64) -> Result<Source, String> {
        let Some(path) = &self.path else {
            let max_bytes = limit(&self.name, max_bytes);
            let mut bytes = Vec::new();
            io::stdin().lock().take(max_bytes + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            if bytes.len() as u64 > max_bytes {
                return Err(format!("{} is larger than {max_bytes} bytes", self.name));
            }
            return Ok(Source::from_bytes(&self.name, bytes));
        };
        read_in_bulk(path, &self.name, max_bytes).map_err(|error| error.to_string())
    }
}

/// The files that the arguments mean, each once, in order.
///
/// # Errors
/// A pattern or directory holds none, or cannot be read.
pub fn gather(paths: &[String], stdin_name: &str) -> Result<Vec<Input>, Error> {
    let mut inputs = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |path: PathBuf, found: bool| {
        let path = path.strip_prefix("./").map_or_else(|_| path.clone(), Path::to_owned);
        if seen.insert(path.clone()) {
            let name = path.to_string_lossy().into_owned();
            inputs.push(Input { name, path: Some(path), found });
        }
    };
    let mut stdin = false;
    for path in paths {
        if path == "-" {
            stdin = true;
        } else if regular::is_dir(Path::new(path)) {
            walk(Path::new(path)).map_err(Error::new)?.into_iter().for_each(|file| add(file, true));
        } else if path.contains(['*', '?', '[']) && regular::metadata(Path::new(path)).is_err() {
            let files = expand(path)?;
            if files.is_empty() {
                return Err(Error::new(format!("no file matches `{path}`")));
            }
            files.into_iter().for_each(|file| add(file, false));
        } else {
            add(PathBuf::from(path), false);
        }
    }
    if stdin {
        inputs.push(Input { name: stdin_name.to_owned(), path: None, found: false });
    }
    if inputs.is_empty() {
        return Err(Error::new("there is no JSON or YAML file in what was given"));
    }
    Ok(inputs)
}

/// The files that match a pattern.
fn expand(pattern: &str) -> Result<Vec<PathBuf>, Error> {
    let glob = globset::GlobBuilder::new(pattern.strip_prefix("./").unwrap_or(pattern)).literal_separator(true).build();
    let matcher = glob.map_err(|error| Error::new(error.to_string()))?.compile_matcher();
    // Everything that matches lies below the part of the pattern without a wildcard.
    let fixed: PathBuf = Path::new(pattern)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']))
        .collect();
    let root = if fixed.as_os_str().is_empty() { PathBuf::from(".") } else { fixed };
    let mut files = Vec::new();
    if regular::metadata(&root).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(files);
    }
    let mut walk = ignore::WalkBuilder::new(&root);
    walk.standard_filters(false).sort_by_file_name(Ord::cmp);
    for entry in regular::walk(walk, &root) {
        let entry = entry.map_err(|error| Error::new(error.to_string()))?;
        let path = entry.path().strip_prefix("./").unwrap_or(entry.path());
        if entry.file_type().is_some_and(|kind| kind.is_file()) && matcher.is_match(path) {
            files.push(path.to_owned());
        }
    }
    Ok(files)
}

/// Puts a text in the place of a file's content: whole or not at all, under the same owner and permissions. A symbolic
/// link stays one, and what it leads to is written.
///
/// # Errors
/// It cannot be written, or does not hold `before` any more; in words.
pub fn replace(path: &Path, before: &str, after: &str) -> Result<(), String> {
    let cannot = |why: &str| format!("cannot write {}: {why}", path.display());
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => cannot("permission denied"),
        io::ErrorKind::ReadOnlyFilesystem => cannot("the file system is read-only"),
        io::ErrorKind::StorageFull => cannot("there is no space left"),
        _ => cannot(&error.to_string()),
    };
    let target = path.canonicalize().map_err(failed)?;
    let metadata = target.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(cannot("it is not a regular file"));
    }
    // A new file in its place would not ask for this permission, and the one who took it away meant something.
    if metadata.permissions().readonly() {
        return Err(cannot("it is read-only"));
    }
    fs::OpenOptions::new().write(true).open(&target).map_err(failed)?;
    let directory = target.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::Builder::new().prefix(".zrecipe-").tempfile_in(directory).map_err(failed)?;
    new.write_all(after.as_bytes()).map_err(failed)?;
    let made = new.as_file().metadata().map_err(failed)?;
    if (made.uid(), made.gid()) != (metadata.uid(), metadata.gid()) {
        // Only root may give files away; without it a file that others own becomes the writer's, as with most editors.
        let _ = fchown(new.as_file(), Some(metadata.uid()), Some(metadata.gid()));
    }
    new.as_file().set_permissions(metadata.permissions()).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    if regular::read_all(&target).map_err(failed)? != before.as_bytes() {
        return Err(cannot("it has been changed meanwhile"));
    }
    new.persist(&target).map_err(|error| failed(error.error))?;
    // The content is safe; whether the name is, only the directory can tell, and not every file system lets it.
    let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}
