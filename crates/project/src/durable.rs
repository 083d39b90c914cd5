//! Files that appear whole or not at all, and that are safe on the disk once they are there.
//!
//! A file is written under a hidden name beside its place, synchronised, moved to its place, and the directory is
//! synchronised, where the user may read it and the file system can do so.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::platform;

/// How the names of files begin that are not whole yet.
pub const PART: &str = ".zrecipe";

/// A file on its way to its place. It is removed when it is dropped before.
#[derive(Debug)]
pub struct NewFile {
    part: NamedTempFile,
    path: PathBuf,
}

impl NewFile {
    /// Begins a file that only its owner may read.
    ///
    /// # Errors
    /// The directory is not there or cannot be written.
    pub fn begin(path: &Path) -> io::Result<Self> {
        Self::made(path, tempfile::Builder::new().prefix(PART))
    }

    /// Begins a file with the permissions of any new file.
    ///
    /// # Errors
    /// As for [`NewFile::begin`].
    pub fn shared(path: &Path) -> io::Result<Self> {
        match platform::file_mode() {
            Some(permissions) => Self::with_permissions(path, permissions),
            None => Self::begin(path),
        }
    }

    /// Begins a program that all users may run.
    ///
    /// # Errors
    /// The directory does not exist, or no file can be made there.
    pub fn program(path: &Path) -> io::Result<Self> {
        match platform::program_mode() {
            Some(permissions) => Self::with_permissions(path, permissions),
            None => Self::begin(path),
        }
    }

    /// Begins a file with these permissions, as far as the mask of the process allows them.
    ///
    /// # Errors
    /// As for [`NewFile::begin`].
    pub fn with_permissions(path: &Path, permissions: Permissions) -> io::Result<Self> {
        Self::made(path, tempfile::Builder::new().prefix(PART).permissions(permissions))
    }

    fn made(path: &Path, builder: &tempfile::Builder<'_, '_>) -> io::Result<Self> {
        Ok(Self { part: builder.tempfile_in(directory_of(path))?, path: path.to_owned() })
    }

    /// The file itself, for its owner and its permissions.
    pub fn as_file(&self) -> &File {
        self.part.as_file()
    }

    /// Puts it in its place, and in the place of what was there.
    ///
    /// # Errors
    /// It cannot be synchronised or moved.
    pub fn replace(self) -> io::Result<()> {
        self.part.as_file().sync_all()?;
        self.part.persist(&self.path).map_err(|error| error.error)?;
        synchronise(&self.path)
    }

    /// Puts it in its place if nothing is there.
    ///
    /// # Errors
    /// As for [`NewFile::replace`]; something is there ([`io::ErrorKind::AlreadyExists`]).
    pub fn create(self) -> io::Result<()> {
        self.part.as_file().sync_all()?;
        self.part.persist_noclobber(&self.path).map_err(|error| error.error)?;
        synchronise(&self.path)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.part.flush()
    }
}

/// Writes a file in place of what was there.
///
/// # Errors
/// The directory is not there, or the file cannot be written.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = NewFile::begin(path)?;
    file.write_all(content)?;
    file.replace()
}

/// Writes a file that is not there yet.
///
/// # Errors
/// As for [`replace`]; something is there ([`io::ErrorKind::AlreadyExists`]).
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = NewFile::begin(path)?;
    file.write_all(content)?;
    file.create()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The content is safe when the file is; its name is when the directory is.
fn synchronise(path: &Path) -> io::Result<()> {
    let directory = match File::open(directory_of(path)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        directory => directory?,
    };
    match directory.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("can be read");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("is read").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_appear_whole_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a");
        create(&path, b"one").expect("nothing is there");
        let error = create(&path, b"two").expect_err("something is there");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).expect("is there"), b"one");
        replace(&path, b"three").expect("replaces");
        let mut unfinished = NewFile::begin(&path).expect("begins");
        unfinished.write_all(b"half").expect("writes");
        let [part, _] = names(directory.path()).try_into().expect("two files");
        assert!(part.starts_with('.'), "what is not whole is hidden: {part}");
        assert_eq!(std::fs::read(&path).expect("is there"), b"three");
        drop(unfinished);
        assert_eq!(names(directory.path()), ["a"], "nothing is left");
        assert!(replace(&directory.path().join("no/where"), b"").is_err());
    }
}
