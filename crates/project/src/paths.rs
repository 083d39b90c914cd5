//! Paths as text: what they name without a look at the file system.

use std::path::{Component, Path, PathBuf};

/// An absolute path without `..`, links not followed.
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
