//! Where services may write on behalf of a message: below some directories, or anywhere.
//!
//! A path is resolved first and then walked again from its root without following any link, so that a link that is put
//! in its way meanwhile leads to an error, not out of the root.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mkdirat, openat, statat};
use rustix::io::Errno;

/// A builder of temporary directories that only this user can enter, whatever the umask is.
pub fn private_directory() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder
}

/// The directories below which may be written; none: anywhere.
#[derive(Debug, Clone, Default)]
pub struct Roots(Vec<PathBuf>);

/// Whether a file may be read by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// As the umask says.
    Usual,
    /// By nobody.
    Private,
}

/// Why a path cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is outside of the roots: the message is at fault.
    #[error("{} is outside of the directories that services may write to", shortened(.0))]
    Outside(PathBuf),
    /// No file can ever have it: the message is at fault.
    #[error("{} is not a valid path of a file", shortened(.0))]
    Impossible(PathBuf),
    /// Something stands there that cannot be written to: the message is at fault.
    #[error("cannot write to {}: {what}", shortened(path))]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What stands there.
        what: &'static str,
    },
    /// The surroundings are at fault.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Whether the message is at fault, so that it never goes better.
    pub fn is_of_message(&self) -> bool {
        !matches!(self, Self::Unusable { .. })
    }
}

/// A path as text that people can read.
fn shortened(path: &Path) -> String {
    const MOST: usize = 200;
    let text: String = path.to_string_lossy().chars().flat_map(char::escape_debug).collect();
    let cut = text.char_indices().nth(MOST).map(|(at, _)| format!("{}…", &text[..at]));
    cut.unwrap_or(text)
}

/// Why a path cannot be walked: a file or a link stands where a directory should be, or the surroundings are at fault.
fn in_the_way(path: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotADirectory => {
            Error::NotAFile { path: path.to_owned(), what: "a part of the path is not a directory" }
        }
        // ELOOP; `ErrorKind::FilesystemLoop` is not stable yet.
        _ if source.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            Error::NotAFile { path: path.to_owned(), what: "its symbolic links form a loop" }
        }
        _ => Error::Unusable { path: path.to_owned(), source },
    }
}

impl Roots {
    /// These directories.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self(roots)
    }

    /// Makes a directory with its parents, and says where it really is.
    ///
    /// # Errors
    /// It is outside of the roots, or cannot be made.
    pub fn directory(&self, path: &Path) -> Result<PathBuf, Error> {
        let real = self.resolve(path)?;
        self.walk(&real).map_err(|source| in_the_way(path, source))?;
        Ok(real)
    }

    /// Opens a file to append to, with its parents made.
    ///
    /// # Errors
    /// It is outside of the roots, or cannot be opened.
    pub fn append(&self, path: &Path) -> Result<File, Error> {
        self.open(path, OFlags::RDWR | OFlags::APPEND, Privacy::Usual)
    }

    /// Makes a file anew, with its parents made.
    ///
    /// # Errors
    /// It is outside of the roots, or cannot be made.
    pub fn create(&self, path: &Path, privacy: Privacy) -> Result<File, Error> {
        self.open(path, OFlags::WRONLY | OFlags::TRUNC, privacy)
    }

    fn open(&self, path: &Path, flags: OFlags, privacy: Privacy) -> Result<File, Error> {
        let real = self.resolve(path)?;
        let unusable = |source: io::Error| Error::Unusable { path: path.to_owned(), source };
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(Error::NotAFile { path: path.to_owned(), what: "it is a directory" });
        };
        let parent = self.walk(parent).map_err(|source| in_the_way(path, source))?;
        let opening = (flags - OFlags::TRUNC) | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = if privacy == Privacy::Private { 0o600 } else { 0o666 };
        let wrong = |what| Error::NotAFile { path: path.to_owned(), what };
        // A device may act on being opened, and what is no file may keep whoever opens it waiting.
        if let Ok(found) = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            match FileType::from_raw_mode(found.st_mode) {
                FileType::RegularFile => {}
                FileType::Directory => return Err(wrong("it is a directory")),
                // What it leads to is not there, or it has taken the place of what was there a moment ago.
                FileType::Symlink => return Err(wrong("it is a broken symbolic link")),
                FileType::Fifo => return Err(wrong("it is a pipe")),
                FileType::Socket => return Err(wrong("it is a socket")),
                _ => return Err(wrong("it is a device")),
            }
        }
        let opened = openat(&parent, name, opening, Mode::from_raw_mode(mode));
        let file = File::from(opened.map_err(|error| unusable(error.into()))?);
        let found = file.metadata().map_err(unusable)?;
        if !found.is_file() {
            return Err(wrong("it is not a regular file"));
        }
        // Its other name may be anywhere; where there are no roots it may be anywhere as well.
        if !self.0.is_empty() && found.nlink() > 1 {
            return Err(wrong("it has further names (hard links), which may be outside of the directories"));
        }
        if flags.contains(OFlags::TRUNC) {
            file.set_len(0).map_err(unusable)?;
        }
        if privacy == Privacy::Private {
            // It may have been there.
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(|error| unusable(error.into()))?;
        }
        Ok(file)
    }

    /// Where a path really leads, its last parts not being there perhaps.
    fn resolve(&self, path: &Path) -> Result<PathBuf, Error> {
        let unusable = |source: io::Error| Error::Unusable { path: path.to_owned(), source };
        let absolute = std::path::absolute(path).map_err(unusable)?;
        let (mut there, mut missing) = (absolute.as_path(), Vec::new());
        let real = loop {
            match fs::canonicalize(there) {
                Ok(real) => break missing.iter().rev().fold(real, |path, part| path.join(part)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => match (there.parent(), there.file_name()) {
                    (Some(parent), Some(name)) => {
                        missing.push(name);
                        there = parent;
                    }
                    // `..` after something that is not there.
                    _ => return Err(Error::Impossible(path.to_owned())),
                },
                // Too long, or with a NUL character.
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput) => {
                    return Err(Error::Impossible(path.to_owned()));
                }
                Err(error) => return Err(in_the_way(path, error)),
            }
        };
        let is_below = |root: &PathBuf| fs::canonicalize(root).is_ok_and(|root| real.starts_with(root));
        if self.0.is_empty() || self.0.iter().any(is_below) { Ok(real) } else { Err(Error::Outside(path.to_owned())) }
    }

    /// Opens a directory that is resolved, and makes what is missing of it.
    fn walk(&self, real: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut directory = openat(CWD, "/", flags, Mode::empty())?;
        for part in real.components() {
            let Component::Normal(name) = part else { continue };
            if matches!(statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT)) {
                match mkdirat(&directory, name, Mode::from_raw_mode(0o777)) {
                    // Somebody else was quicker.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            directory = openat(&directory, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn nothing_is_written_outside_of_the_roots() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        fs::create_dir_all(path("root/inside")).expect("makes");
        fs::create_dir(path("other")).expect("makes");
        symlink(path("other"), path("root/out")).expect("links");
        symlink(path("root/inside"), path("root/in")).expect("links");
        symlink(path("other/absent"), path("root/dangling")).expect("links");
        let roots = Roots::new(vec![path("root")]);
        for (name, is_right) in [
            ("root/file", true),
            ("root/new/deep/file", true),
            ("root/in/file", true),
            ("root/inside/../file", true),
            ("other/file", false),
            ("root/../other/file", false),
            ("root/new/absent/../file", false),
            ("root/out/file", false),
            ("root/out/new/file", false),
            ("root/dangling", false),
            ("root-beside/file", false),
        ] {
            assert_eq!(roots.append(&path(name)).is_ok(), is_right, "{name}");
        }
        assert_eq!(fs::read_dir(path("other")).expect("reads").count(), 0, "nothing is there");
        assert!(matches!(roots.directory(&path("other")), Err(Error::Outside(_))));
        assert!(Roots::default().append(&path("other/file")).is_ok(), "anywhere");
        fs::write(path("root/file"), "open to all").expect("writes");
        roots.create(&path("root/file"), Privacy::Private).expect("opens");
        let mode = fs::metadata(path("root/file")).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_can_never_be_written_to_is_the_fault_of_the_message() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("folder")).expect("makes");
        fs::write(path("file"), "as it was").expect("writes");
        fs::write(path("outside"), "as it was").expect("writes");
        symlink(path("absent"), path("dangling")).expect("links");
        symlink(path("ring"), path("ring")).expect("links");
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().expect("runs");
        assert!(made.success());
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("binds");
        for (name, what) in [
            ("folder", "it is a directory"),
            ("dangling", "it is a broken symbolic link"),
            ("pipe", "it is a pipe"),
            ("socket", "it is a socket"),
            ("/dev/null", "it is a device"),
            ("/", "it is a directory"),
            ("file/inside", "a part of the path is not a directory"),
            ("ring", "its symbolic links form a loop"),
        ] {
            for error in [
                Roots::default().append(&path(name)).expect_err("is refused"),
                Roots::default().create(&path(name), Privacy::Usual).expect_err("is refused"),
            ] {
                assert!(error.is_of_message() && error.to_string().contains(what), "{name}: {error}");
            }
        }
        let error = Roots::default().directory(&path("file")).expect_err("is refused");
        assert!(error.is_of_message(), "{error}");
        // A second name below a root leads out of it.
        fs::create_dir(path("root")).expect("makes");
        fs::hard_link(path("outside"), path("root/inside")).expect("links");
        let roots = Roots::new(vec![path("root")]);
        for opened in [roots.append(&path("root/inside")), roots.create(&path("root/inside"), Privacy::Private)] {
            let error = opened.expect_err("is refused");
            assert!(error.is_of_message() && error.to_string().contains("further names"), "{error}");
        }
        assert_eq!(fs::read_to_string(path("outside")).expect("reads"), "as it was");
        assert!(Roots::default().append(&path("root/inside")).is_ok(), "without roots it may be anywhere");
    }
}
