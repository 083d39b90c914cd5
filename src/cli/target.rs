//! Where results go: standard output, or a file that appears when it is whole.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::output::print;
use zrecipe_project::durable::NewFile;

/// The option that writes results to a file.
#[derive(Debug, Default, clap::Args)]
pub struct OutputArgs {
    /// Write the result to this file; the file appears only when it is complete.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl OutputArgs {
    /// Writes a whole result.
    ///
    /// # Errors
    /// The file cannot be written, or standard output is closed.
    pub fn print(&self, text: &str) -> Result<(), Error> {
        let mut output = Output::open(self.output.as_deref())?;
        output.write(text)?;
        output.close()
    }
}

/// Where results go.
pub enum Output {
    /// Standard output.
    Standard,
    /// Standard error, where standard output holds something else.
    Aside,
    /// Nothing is written.
    Nowhere,
    /// A file that is written beside its place and put there when it is whole.
    File(PathBuf, io::BufWriter<NewFile>),
    /// A device or a pipe.
    Stream(PathBuf, std::fs::File),
}

impl Output {
    /// Opens a file for results; without one, standard output.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn open(path: Option<&Path>) -> Result<Self, Error> {
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
                    return Err(Error::new(format!("cannot write {path}: there is no directory {folder}"))
                        .hint(format!("create it: `mkdir -p {folder}`")));
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

    /// Writes text.
    ///
    /// # Errors
    /// The file cannot be written, or standard output is closed.
    pub fn write(&mut self, text: &str) -> Result<(), Error> {
        match self {
            Self::Standard => print(text),
            Self::Aside => Ok(io::stderr().lock().write_all(text.as_bytes())?),
            Self::Nowhere => Ok(()),
            Self::File(path, part) => part.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error)),
            Self::Stream(path, stream) => stream.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error)),
        }
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close(self) -> Result<(), Error> {
        let Self::File(path, part) = self else { return Ok(()) };
        let part = part.into_inner().map_err(|error| unwritable(&path, error.error()))?;
        part.replace().map_err(|error| unwritable(&path, &error))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::new(format!("cannot write {}: {error}", path.display()))
}
