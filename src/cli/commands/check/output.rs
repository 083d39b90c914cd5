//! Where a report goes, and the names that files have in it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::{Error, print};
use zrecipe_language::report::{Format, Root};
use zrecipe_project::durable::NewFile;
use zrecipe_project::settings::plain;

/// Where the report goes.
pub(super) enum Output {
    Standard,
    /// Standard error, where standard output holds something else.
    Aside,
    Nowhere,
    /// A file that is written beside its place and put there when it is whole.
    File(PathBuf, io::BufWriter<NewFile>),
    /// A device or a pipe.
    Stream(PathBuf, std::fs::File),
}

impl Output {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else { return Ok(Self::Standard) };
        let failed = |error| unwritable(path, &error);
        match path.metadata() {
            Ok(found) if found.is_dir() => {
                Err(Error::new(format!("cannot write {}: it is a directory", path.display())))
            }
            Ok(found) if !found.is_file() || path.starts_with("/dev") => {
                let stream = std::fs::OpenOptions::new().append(true).open(path).map_err(failed)?;
                Ok(Self::Stream(path.to_owned(), stream))
            }
            found => {
                // What a link leads to is replaced, not the link.
                let path = if found.is_ok() { path.canonicalize().map_err(failed)? } else { path.to_owned() };
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                if !folder.is_dir() {
                    let (path, folder) = (path.display(), folder.display());
                    return Err(Error::new(format!("cannot write {path}: there is no directory {folder}")));
                }
                // As any new file, or as the one that it replaces.
                let part = match found {
                    Ok(found) => NewFile::with_permissions(&path, found.permissions()),
                    Err(_) => NewFile::shared(&path),
                };
                Ok(Self::File(path, io::BufWriter::new(part.map_err(failed)?)))
            }
        }
    }

    pub(super) fn write(&mut self, text: &str) -> Result<(), Error> {
        match self {
            Self::Standard => print(text),
            Self::Aside => Ok(io::stderr().lock().write_all(text.as_bytes())?),
            Self::Nowhere => Ok(()),
            Self::File(path, part) => part.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error)),
            Self::Stream(path, stream) => stream.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error)),
        }
    }

    pub(super) fn close(self) -> Result<(), Error> {
        let Self::File(path, part) = self else { return Ok(()) };
        let part = part.into_inner().map_err(|error| unwritable(&path, error.error()))?;
        part.replace().map_err(|error| unwritable(&path, &error))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::new(format!("cannot write {}: {error}", path.display()))
}

/// The directory from which the readers of a format count paths, if it is not the working directory.
pub(super) fn root(format: &Format) -> Option<PathBuf> {
    let Root { variable, is_needed } = format.root?;
    let root = std::env::var_os(variable).filter(|root| !root.is_empty()).map(PathBuf::from);
    let root = root.or_else(|| is_needed.then(std::env::current_dir)?.ok())?;
    Some(root.canonicalize().unwrap_or(root))
}

/// The path of a file below a directory.
pub(super) fn inside(directory: &Path, name: &str) -> Option<String> {
    let inner = plain(Path::new(name)).strip_prefix(directory).ok()?.to_str()?.to_owned();
    Some(inner).filter(|inner| !name.starts_with('<') && inner != name)
}
