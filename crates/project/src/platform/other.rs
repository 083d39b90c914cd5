//! Systems without Unix's permissions, such as Windows.

use std::fs::{DirBuilder, File, FileType, Metadata, OpenOptions, Permissions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What tells two states of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    size: u64,
    created: Option<SystemTime>,
    modified: Option<SystemTime>,
}

impl Identity {
    /// The time of the last change of its content, in seconds since 1970.
    pub fn changed(&self) -> i64 {
        let since = self.modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or_default()
    }
}

/// The identity of a file.
pub fn identity(metadata: &Metadata) -> Identity {
    Identity { size: metadata.len(), created: metadata.created().ok(), modified: metadata.modified().ok() }
}

/// Options with which a file is opened; here there are no others.
pub fn nonblocking(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// What something is that is neither a regular file nor a directory.
pub fn special(_kind: FileType) -> &'static str {
    "a device"
}

/// Whether this process or machine has no memory left.
pub fn is_exhausted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
}

/// How directories are made; only the directory above decides who can enter them.
pub fn private_directory() -> DirBuilder {
    DirBuilder::new()
}

/// How files are opened; only their directory decides who can read them.
pub fn private_file() -> OpenOptions {
    File::options()
}

/// The permissions of any new file, if a temporary file has others; here it has not.
pub fn file_mode() -> Option<Permissions> {
    None
}

/// The permissions of a new program, if the system has such; here it has not.
pub fn program_mode() -> Option<Permissions> {
    None
}

/// Whether every user of the machine may read a file; here that is unknown, and no finding.
pub fn is_public(_path: &Path) -> bool {
    false
}

/// Gives a file the owner of another; here its directory decides.
pub fn copy_owner(_file: &File, _of: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Whether there is a process of this number; here that cannot be seen.
pub fn is_running(_process: i64) -> Option<bool> {
    None
}

/// The bytes of a path, with `/` between its parts; a drive begins with `/` as in a URI.
pub fn path_bytes(path: &Path) -> Vec<u8> {
    let text = path.to_string_lossy().replace('\\', "/");
    let has_drive = text.as_bytes().get(1) == Some(&b':');
    if has_drive { format!("/{text}").into_bytes() } else { text.into_bytes() }
}

/// The path of these bytes.
pub fn path_from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    let text = String::from_utf8(bytes).ok()?;
    let drive = text.strip_prefix('/').filter(|rest| rest.as_bytes().get(1) == Some(&b':'));
    Some(PathBuf::from(drive.unwrap_or(&text)))
}
