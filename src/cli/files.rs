//! Files that are written back whole, and hints about files that do not exist.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use zrecipe_language::diagnostic::nearest;
use zrecipe_project::durable::NewFile;
use zrecipe_project::{platform, regular};

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
        io::ErrorKind::StorageFull => cannot("no space left on device"),
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
    let mut new = NewFile::begin(&target).map_err(failed)?;
    new.write_all(after.as_bytes()).map_err(failed)?;
    platform::copy_owner(new.as_file(), &metadata).map_err(failed)?;
    new.as_file().set_permissions(metadata.permissions()).map_err(failed)?;
    if regular::read_all(&target).map_err(failed)? != before.as_bytes() {
        return Err(cannot("it was changed in the meantime"));
    }
    new.replace().map_err(failed)
}

/// What to do about a file that does not exist: the neighbour whose name is most like it, or where it was looked up.
pub fn whereabouts(path: &Path) -> Option<String> {
    let kind = |path: &Path| regular::metadata(path).map(drop).map_err(|error| error.kind());
    if kind(path) != Err(io::ErrorKind::NotFound) {
        return None;
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match directory.map(kind) {
        Some(Err(io::ErrorKind::NotFound)) => {
            let directory = directory.unwrap_or(path);
            return Some(format!("there is no directory `{}`", directory.display()));
        }
        Some(Err(_)) => return None,
        None | Some(Ok(_)) => {}
    }
    let entries = regular::entries(directory.unwrap_or(Path::new("."))).ok()?;
    let names: Vec<String> =
        entries.iter().filter_map(|entry| Some(entry.file_name()?.to_string_lossy().into_owned())).collect();
    let meant = nearest(path.file_name()?.to_str()?, names.iter().map(String::as_str));
    let beside = |meant: &str| directory.map_or(PathBuf::from(meant), |directory| directory.join(meant));
    Some(match meant {
        Some(meant) => format!("did you mean `{}`?", beside(meant).display()),
        None if path.is_absolute() => "create it, or correct the path".to_owned(),
        None => {
            let here = std::env::current_dir().ok()?;
            format!("the path is relative to the working directory, `{}`", here.display())
        }
    })
}
