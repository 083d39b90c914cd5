//! The names that files have in a report.

use std::path::{Path, PathBuf};

use zrecipe_language::report::{Format, Root};
use zrecipe_project::paths::plain;

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
