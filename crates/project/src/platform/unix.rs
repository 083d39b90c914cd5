//! Unix.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, FileType, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// What tells two states of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Device, inode and size in bytes.
    file: (u64, u64, u64),
    /// The last change of its content, in seconds and nanoseconds since 1970.
    modified: (i64, i64),
    /// The last change of anything about it.
    changed: (i64, i64),
}

impl Identity {
    /// The time of the last change of anything about it, in seconds since 1970.
    pub fn changed(&self) -> i64 {
        self.changed.0
    }
}

/// The identity of a file.
pub fn identity(metadata: &Metadata) -> Identity {
    Identity {
        file: (metadata.dev(), metadata.ino(), metadata.len()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// Options with which opening a file never waits, and never gives the process a terminal.
pub fn nonblocking(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed())
}

/// What something is that is neither a regular file nor a directory.
pub fn special(kind: FileType) -> &'static str {
    match () {
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

/// Whether this process or machine has no descriptor or memory left.
pub fn is_exhausted(error: &io::Error) -> bool {
    let errors = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    error.raw_os_error().is_some_and(|number| errors.iter().any(|known| known.raw_os_error() == number))
}

/// How directories are made that only this user can enter.
pub fn private_directory() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// How files are opened that only this user can read once they are made.
pub fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.mode(0o600);
    options
}

/// The permissions of any new file, if a temporary file has others.
pub fn file_mode() -> Option<Permissions> {
    Some(Permissions::from_mode(0o666))
}

/// The permissions of a new program, if the system has such.
pub fn program_mode() -> Option<Permissions> {
    Some(Permissions::from_mode(0o755))
}

/// Whether every user of the machine may read a file, and pass through the directories above it.
pub fn is_public(path: &Path) -> bool {
    let allows = |path: &Path, bit| path.metadata().is_ok_and(|found| found.permissions().mode() & bit != 0);
    let real = path.canonicalize();
    real.is_ok_and(|path| allows(&path, 0o004) && path.ancestors().skip(1).all(|directory| allows(directory, 0o001)))
}

/// Gives a file the owner and the group of another; without the right to do so, it stays as it is.
pub fn copy_owner(file: &File, of: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (of.uid(), of.gid()) {
        // Only root may give files away; without it a file that others own becomes the writer's, as with most editors.
        let _ = fchown(file, Some(of.uid()), Some(of.gid()));
    }
    Ok(())
}

/// Whether there is a process of this number, if that can be seen from here.
pub fn is_running(process: i64) -> Option<bool> {
    let process = Pid::from_raw(process.try_into().ok()?)?;
    match test_kill_process(process) {
        Ok(()) => Some(true),
        Err(Errno::SRCH) => Some(false),
        Err(_) => None,
    }
}

/// The bytes of a path, with `/` between its parts.
pub fn path_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// The path of these bytes.
pub fn path_from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    Some(PathBuf::from(OsString::from_vec(bytes)))
}
