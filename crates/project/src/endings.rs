//! Which files may be ours, by their names.
//!
//! Whoever lists, watches or fetches files asks here, so that no door skips what another one reads. Files with other
//! endings are ours where `[[files]]` of the settings names them: [`crate::settings::Settings::may_read`] knows both.

use std::path::Path;

/// Endings of recipes, and of most other documents.
const DOCUMENTS: [&str; 3] = ["json", "yml", "yaml"];

/// Endings of what documents depend on: configurations of the site, settings and Python source.
const AROUND: [&str; 3] = ["ini", "toml", "py"];

/// Files that say what git ignores.
const IGNORES: [&str; 2] = [".gitignore", ".ignore"];

fn ends(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|found| endings.iter().any(|ending| found == *ending))
}

/// Whether a file has an ending of recipes.
pub fn is_document(path: &Path) -> bool {
    ends(path, &DOCUMENTS)
}

/// Whether a file may be checked that nobody named: a document, or a logging configuration of the site.
pub fn is_checked(path: &Path) -> bool {
    is_document(path) || ends(path, &["ini"])
}

/// Whether what is found in a document may depend on a file.
pub fn matters(path: &Path) -> bool {
    let is_ignore = || path.file_name().is_some_and(|name| IGNORES.iter().any(|known| name == *known));
    is_document(path) || ends(path, &AROUND) || is_ignore()
}
