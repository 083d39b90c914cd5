//! Known findings on disk: a baseline file, and the directory that its paths are relative to.
//!
//! Paths are relative to the directory of the baseline file, with `..` where needed and links resolved, so that they
//! depend neither on the working directory nor on how a file is named on the command line. Known findings of a file
//! that is gone count for the file that it was moved to.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use crate::library;
use crate::paths::plain;
use zrecipe_language::baseline::{Baseline, Entry};
use zrecipe_language::diagnostic::Diagnostic;
use zrecipe_language::lint::COMPARING;
use zrecipe_language::source::Source;

/// Known findings of a baseline file, and the directory that its paths are relative to.
#[derive(Debug, Clone, Default)]
pub struct Known {
    baseline: Baseline,
    /// The directory of the baseline file; none if there is no file.
    directory: Option<PathBuf>,
    /// Files of the baseline that do not exist, and were not found under another name yet.
    missing: OnceLock<BTreeSet<String>>,
    /// The baseline without the findings that no longer occur.
    pruned: Baseline,
    /// Findings that the baseline does not have.
    new: Baseline,
}

/// Why a baseline file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    Library(#[from] library::Error),
    /// The content is not a baseline.
    #[error("{} {reason}", .path.display())]
    Malformed {
        /// The baseline file.
        path: PathBuf,
        /// What is wrong, as a predicate.
        reason: String,
    },
}

/// How the findings of a file compare to the known ones.
#[derive(Debug, Default)]
pub struct Met {
    /// Number of findings that are known.
    pub known: usize,
    /// Number of known findings that no longer occur.
    pub gone: usize,
}

/// The findings of one file.
pub struct Findings<'f> {
    /// Those to report; known ones are removed.
    pub reported: &'f mut Vec<Diagnostic>,
    /// Suppressed and allowed ones: they still occur.
    pub silenced: &'f [Diagnostic],
    /// Whether the findings of a rule are complete, so that one that is absent no longer occurs.
    pub is_complete: &'f dyn Fn(&str) -> bool,
}

impl Known {
    /// Reads a baseline file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a baseline.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let source = library::read(path, &path.to_string_lossy(), Source::MAX_BYTES)?;
        let malformed = |reason| Error::Malformed { path: path.to_owned(), reason };
        let baseline = Baseline::parse(source.text()).map_err(malformed)?;
        Ok(Self { pruned: baseline.clone(), baseline, ..Self::beside(path) })
    }

    /// No known findings, with paths relative to the directory of a baseline file that does not exist yet.
    pub fn beside(path: &Path) -> Self {
        Self { directory: real(path).parent().map(Path::to_owned), ..Self::default() }
    }

    /// Findings as known ones, with paths relative to a directory.
    pub fn of(baseline: Baseline, directory: &Path) -> Self {
        Self { pruned: baseline.clone(), baseline, directory: Some(real(directory)), ..Self::default() }
    }

    /// The same findings, with paths relative to another directory.
    #[must_use]
    pub fn moved_to(self, directory: &Path) -> Self {
        Self::of(self.renewed(), directory)
    }

    /// Whether no finding is known.
    pub fn is_empty(&self) -> bool {
        self.baseline.count() == 0
    }

    /// Removes the known findings of a file from `findings` and returns them.
    pub fn hide(&self, name: &str, findings: &mut Vec<Diagnostic>) -> Vec<Diagnostic> {
        if self.is_empty() || findings.is_empty() {
            return Vec::new();
        }
        let file = self.recorded_name(&self.key(name), findings);
        self.baseline.of(&file).cloned().unwrap_or_default().take(findings)
    }

    /// Compares the findings of a file with the known ones, and keeps the result for [`Known::pruned`] and
    /// [`Known::renewed`].
    pub fn meet(&mut self, name: &str, findings: Findings<'_>) -> Met {
        if self.directory.is_none() {
            return Met::default();
        }
        let Findings { reported, silenced, is_complete } = findings;
        let key = self.key(name);
        let file = self.recorded_name(&key, reported);
        if let Some(missing) = self.missing.get_mut().filter(|_| file != key) {
            missing.remove(&file);
        }
        let recorded = self.baseline.of(&file).cloned().unwrap_or_default();
        let mut left = recorded.clone();
        let known = left.take(reported).len();
        left.take(&mut silenced.to_vec());
        left.retain_rules(is_complete);
        let gone = left.count();
        let mut kept = recorded;
        kept.subtract(&left);
        self.pruned.set(&file, Entry::default());
        self.pruned.set(&key, kept);
        self.new.add(&key, reported);
        Met { known, gone }
    }

    /// Drops the known findings of files that do not exist any more in the directories, and returns their number.
    pub fn drop_missing(&mut self, directories: &[PathBuf]) -> usize {
        let directories: Vec<PathBuf> = directories.iter().map(|directory| real(directory)).collect();
        let missing: Vec<String> = self.missing().iter().cloned().collect();
        let mut gone = 0;
        for file in missing {
            let path = self.path(&file);
            if directories.iter().any(|directory| path.starts_with(directory)) {
                gone += self.pruned.of(&file).map_or(0, Entry::count);
                self.pruned.set(&file, Entry::default());
            }
        }
        gone
    }

    /// The known findings that still occur, or that were not looked for.
    pub fn pruned(&self) -> &Baseline {
        &self.pruned
    }

    /// The same with the findings that were not known.
    pub fn renewed(&self) -> Baseline {
        let mut renewed = self.pruned.clone();
        for file in self.new.files() {
            let (Some(new), known) = (self.new.of(file), renewed.of(file)) else { continue };
            let mut entry = known.cloned().unwrap_or_default();
            entry.extend(new);
            renewed.set(file, entry);
        }
        renewed
    }

    /// Number of findings that were not known.
    pub fn new_count(&self) -> usize {
        self.new.count()
    }

    /// The path under which the baseline keeps a file. Names in angle brackets are not files.
    fn key(&self, name: &str) -> String {
        match &self.directory {
            Some(directory) if !name.starts_with('<') => relative(&real(Path::new(name)), directory),
            _ => name.to_owned(),
        }
    }

    /// The file of a key.
    fn path(&self, key: &str) -> PathBuf {
        plain(&self.directory.as_deref().unwrap_or(Path::new("")).join(key))
    }

    /// The name under which the findings of a file are recorded: its own, or the one that it had before it was moved.
    fn recorded_name(&self, key: &str, findings: &[Diagnostic]) -> String {
        if self.baseline.of(key).is_some() || findings.is_empty() || key.starts_with('<') {
            return key.to_owned();
        }
        let file_name = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
        let mut moved = self.missing().iter().filter_map(|file| {
            let entry = self.baseline.of(file)?;
            let mut left = findings.to_vec();
            let met = entry.clone().take(&mut left).len();
            // Under another name it is the same file only if it has all findings of that one.
            let is_same = met > 0 && (file_name(file) == file_name(key) || met == entry.count());
            is_same.then_some((file_name(file) == file_name(key), met, file))
        });
        let first = moved.next();
        let best =
            moved.fold(first, |best, next| best.filter(|best| (best.0, best.1) >= (next.0, next.1)).or(Some(next)));
        best.map_or_else(|| key.to_owned(), |(.., file)| file.clone())
    }

    fn missing(&self) -> &BTreeSet<String> {
        self.missing.get_or_init(|| {
            let is_missing = |file: &&str| !file.starts_with('<') && !self.path(file).exists();
            self.baseline.files().filter(is_missing).map(str::to_owned).collect()
        })
    }
}

/// An absolute path, with links resolved as far as it exists.
fn real(path: &Path) -> PathBuf {
    let path = plain(path);
    let Some(existing) = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?))) else { return path };
    path.strip_prefix(existing.0).map_or_else(|_| path.clone(), |rest| existing.1.join(rest))
}

/// A path as seen from a directory, with `/` between its parts.
fn relative(path: &Path, directory: &Path) -> String {
    let same = path.components().zip(directory.components()).take_while(|(a, b)| a == b).count();
    let up = directory.components().skip(same).map(|_| Component::ParentDir);
    let parts = up.chain(path.components().skip(same));
    parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>().join("/")
}

/// The findings of one file.
pub struct Found<'f> {
    /// The name of the file.
    pub name: &'f str,
    /// Its findings.
    pub diagnostics: &'f [Diagnostic],
    /// Suppressed and allowed findings.
    pub silenced: &'f [Diagnostic],
    /// Number of findings that were not kept.
    pub dropped: usize,
}

/// Findings of a batch: known ones are left out, others are passed on or added to the baseline.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The known findings, and what became of them.
    pub known: Known,
    /// Whether all findings go to the baseline, so that none is passed on.
    pub is_renewing: bool,
    /// Whether recipes are compared with all others of their directories.
    pub is_whole: bool,
    /// Number of known findings that occurred.
    pub occurred: usize,
    /// Number of known findings that no longer occur in what was read.
    pub gone: usize,
}

impl Ledger {
    /// Enters the findings of a file; returns those that are to be shown.
    pub fn enter(&mut self, found: &Found<'_>) -> Vec<Diagnostic> {
        let mut reported = found.diagnostics.to_vec();
        let (is_whole, dropped) = (self.is_whole, found.dropped);
        let is_complete = |rule: &str| dropped == 0 && (is_whole || !COMPARING.contains(&rule));
        let findings = Findings { reported: &mut reported, silenced: found.silenced, is_complete: &is_complete };
        let met = self.known.meet(found.name, findings);
        self.occurred += met.known;
        self.gone += met.gone;
        if self.is_renewing {
            reported.clear();
        }
        reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_language::diagnostic::Level;

    fn finding(rule: &'static str, message: &str) -> Diagnostic {
        Diagnostic::new(rule, Level::Error, Default::default(), message)
    }

    fn meet(known: &mut Known, path: &Path, mut reported: Vec<Diagnostic>) -> (Vec<Diagnostic>, Met) {
        let findings = Findings { reported: &mut reported, silenced: &[], is_complete: &|rule| rule != "rare-queue" };
        let met = known.meet(&path.to_string_lossy(), findings);
        (reported, met)
    }

    /// A directory with files, and a baseline in `ci/known.json` with one finding of each rule for each file.
    fn project(files: &[&str], rules: &[&'static str]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("can be made");
        let path = folder.path().join("ci/known.json");
        std::fs::create_dir(folder.path().join("ci")).expect("can be made");
        let mut known = Known::beside(&path);
        for file in files {
            std::fs::write(folder.path().join(file), "").expect("can be written");
            meet(&mut known, &folder.path().join(file), rules.iter().map(|rule| finding(rule, "is so")).collect());
        }
        std::fs::write(&path, known.renewed().to_text()).expect("can be written");
        (folder, path)
    }

    #[test]
    fn only_files_and_rules_that_were_looked_at_are_gone() {
        let (folder, path) = project(&["a.json", "b.json"], &["cycle", "rare-queue"]);
        let mut known = Known::read(&path).expect("is one");
        assert_eq!(known.pruned().files().collect::<Vec<_>>(), ["../a.json", "../b.json"]);
        let (reported, met) = meet(&mut known, &folder.path().join("a.json"), vec![finding("cycle", "is new")]);
        assert_eq!((reported.len(), met.known, met.gone), (1, 0, 1), "`rare-queue` was not looked for");
        assert_eq!(known.pruned().count(), 3);
        assert_eq!(known.renewed().count(), 4);
        std::fs::remove_file(folder.path().join("b.json")).expect("can be removed");
        assert_eq!(known.clone().drop_missing(&[folder.path().join("ci")]), 0, "nobody looked there");
        let mut known = Known::read(&path).expect("is one");
        assert_eq!(known.drop_missing(&[folder.path().to_owned()]), 2);
        assert_eq!(known.pruned().files().collect::<Vec<_>>(), ["../a.json"]);
    }

    #[test]
    fn silenced_findings_still_occur() {
        let (folder, path) = project(&["a.json"], &["cycle"]);
        let mut known = Known::read(&path).expect("is one");
        let silenced = [finding("cycle", "is so")];
        let findings = Findings { reported: &mut Vec::new(), silenced: &silenced, is_complete: &|_| true };
        let met = known.meet(&folder.path().join("a.json").to_string_lossy(), findings);
        assert_eq!((met.known, met.gone, known.pruned().count()), (0, 0, 1));
    }

    #[test]
    fn a_file_has_one_path_however_it_is_named() {
        let (folder, path) = project(&["a.json"], &["cycle"]);
        let linked =
            std::process::Command::new("ln").arg("-s").arg(folder.path()).arg(folder.path().join("ci/link")).status();
        assert!(linked.expect("can be run").success());
        for name in ["a.json", "ci/../a.json", "ci/link/a.json"] {
            let mut findings = vec![finding("cycle", "is so")];
            let known = Known::read(&folder.path().join("ci/link/ci").join("known.json")).expect("is one");
            known.hide(&folder.path().join(name).to_string_lossy(), &mut findings);
            assert_eq!(findings, [], "{name}");
        }
        drop(path);
    }

    #[test]
    fn findings_follow_a_moved_file_once() {
        let (folder, path) = project(&["a.json", "b.json"], &["cycle", "unknown-step"]);
        std::fs::create_dir(folder.path().join("old")).expect("can be made");
        std::fs::rename(folder.path().join("a.json"), folder.path().join("old/a.json")).expect("can be moved");
        std::fs::rename(folder.path().join("b.json"), folder.path().join("renamed.json")).expect("can be moved");
        let mut known = Known::read(&path).expect("is one");
        let all = || vec![finding("cycle", "is so"), finding("unknown-step", "is so")];
        for (name, findings, left) in [
            ("new.json", vec![finding("cycle", "is so")], 1),
            ("old/a.json", vec![finding("cycle", "is so")], 0),
            ("renamed.json", all(), 0),
            ("other.json", all(), 2),
        ] {
            std::fs::write(folder.path().join(name), "").expect("can be written");
            assert_eq!(meet(&mut known, &folder.path().join(name), findings).0.len(), left, "{name}");
        }
        assert_eq!(known.drop_missing(&[folder.path().to_owned()]), 0);
        assert_eq!(known.pruned().files().collect::<Vec<_>>(), ["../old/a.json", "../renamed.json"]);
    }
}
