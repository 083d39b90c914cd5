//! Reading Python projects from disk.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::{File, is_source};

/// The largest file that is read: bytes. Generated code may be larger, and says nothing about services.
const MAX_BYTES: u64 = 4 << 20;

/// How many directories above a source directory are searched for the package's entry points.
const MAX_UP: usize = 3;

/// The name and text of each contract that a source gives.
pub type Texts = Arc<Vec<(String, String)>>;

/// What sources gave, by the files that they had: a language server asks time and again.
static KNOWN: LazyLock<Mutex<HashMap<PathBuf, (u64, Texts)>>> = LazyLock::new(Mutex::default);

/// The contracts of a directory or file. While its content stays the same they are not read again.
///
/// # Errors
/// It cannot be read; in words.
pub fn contracts(path: &Path) -> Result<Texts, String> {
    let files = read(&[path.to_path_buf()])?;
    let mut hasher = std::hash::DefaultHasher::new();
    files.hash(&mut hasher);
    let content = hasher.finish();
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, texts)) = known().get(path).filter(|(hash, _)| *hash == content) {
        return Ok(Arc::clone(texts));
    }
    let (drafts, _) = super::contracts(&files);
    let texts: Texts = Arc::new(drafts.iter().map(|draft| (draft.file.clone(), draft.text())).collect());
    known().insert(path.to_path_buf(), (content, Arc::clone(&texts)));
    Ok(texts)
}

/// The Python files and the statements of entry points below these directories, without those that git ignores and
/// without tests. Evidence names a file from the directory on. A path to a file means the file.
///
/// # Errors
/// A path cannot be read; in words.
pub fn read(paths: &[PathBuf]) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    for path in paths {
        if path.is_dir() {
            read_directory(path, &mut files, &mut seen)?;
        } else {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let name = path.to_string_lossy().into_owned();
            seen.insert(name.clone());
            files.push(File { path: name.clone(), name, text });
        }
    }
    Ok(files)
}

fn read_directory(root: &Path, files: &mut Vec<File>, seen: &mut HashSet<String>) -> Result<(), String> {
    let entries = ignore::WalkBuilder::new(root)
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
            entry.depth() == 0
                || !(is_directory
                    && matches!(&*name, "tests" | "test" | "__pycache__" | "site-packages" | "node_modules"))
        })
        .build();
    let mut states_entry_points = false;
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        let name = entry.file_name().to_string_lossy();
        let is_test = name.starts_with("test_") || name == "conftest.py";
        if !is_source(&name) || is_test || !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        states_entry_points |= entry.depth() == 1 && is_project(&name);
        let shown = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_path_buf();
        add(entry.path(), &shown, files, seen)?;
    }
    // In `src/package` the entry points are stated above.
    let whole = std::path::absolute(root).map_err(|error| format!("{}: {error}", root.display()))?;
    let above = if states_entry_points { 0 } else { MAX_UP };
    for directory in whole.ancestors().skip(1).take(above) {
        let found: Vec<PathBuf> = ["pyproject.toml", "setup.cfg", "setup.py"]
            .iter()
            .map(|name| directory.join(name))
            .filter(|path| path.is_file())
            .collect();
        for path in &found {
            let name = PathBuf::from(path.file_name().unwrap_or_default());
            add(path, &name, files, seen)?;
        }
        if !found.is_empty() || directory.join(".git").exists() {
            break;
        }
    }
    Ok(())
}

fn is_project(name: &str) -> bool {
    matches!(name, "pyproject.toml" | "setup.cfg" | "setup.py")
}

fn add(path: &Path, shown: &Path, files: &mut Vec<File>, seen: &mut HashSet<String>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        return Ok(());
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let text = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    let (path, name) = (path.to_string_lossy().into_owned(), shown.to_string_lossy().into_owned());
    if seen.insert(path.clone()) {
        files.push(File { path, name, text });
    }
    Ok(())
}
