//! Folders of the workspace, and the files in them.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gen_lsp_types as lsp;

use super::Session;
use crate::lsp::folder::{Basis, File, Folder};
use zrecipe_project::endings;
use zrecipe_project::project::{Given, is_ignored, is_within, walk};
use zrecipe_project::selection::Selection;
use zrecipe_project::settings;

impl Session {
    pub(super) fn basis(&self, root: &Path) -> Basis {
        let open = self.documents.values().filter(|document| document.path.starts_with(root));
        let unsaved = open.map(|document| (document.path.clone(), Arc::clone(&document.source))).collect();
        Basis::new(root, &Given { unsaved, ..self.given.clone() }, self.within.as_deref())
    }

    /// Takes a folder into the workspace.
    pub fn add_folder(&mut self, root: &Path) {
        if self.folders.iter().any(|folder| folder.basis.root == root) {
            return;
        }
        if let Some(within) = &mut self.within
            && !within.iter().any(|known| known == root)
        {
            within.push(root.to_owned());
        }
        let basis = self.basis(root);
        self.complain(&basis);
        let outside = basis.project.outside();
        if !outside.is_empty() {
            let paths: Vec<String> = outside.iter().map(|path| format!("`{}`", path.display())).collect();
            let message = format!(
                "{} names {}, outside of the workspace, which is ignored: checks are incomplete. Trust the workspace, \
                 or set the option `trusted` of the server",
                root.join(settings::FILE_NAME).display(),
                paths.join(", ")
            );
            self.notify::<lsp::ShowMessageNotification>(lsp::ShowMessageParams {
                kind: lsp::MessageType::Warning,
                message,
            });
        }
        self.folders.push(Folder::new(basis));
        self.forget_views();
    }

    /// Says what of the settings cannot be used.
    fn complain(&mut self, basis: &Basis) {
        let unsettled = basis.project.unsettled().map(ToString::to_string);
        let unusable = basis.project.usable_contracts().1.iter().map(|contract| contract.why.clone());
        let site = basis.project.recipe_names().err().map(|error| error.to_string());
        let broker = basis.project.topology().err().map(|error| error.to_string());
        let all: Vec<String> = unsettled.into_iter().chain(unusable).chain(site).chain(broker).collect();
        all.into_iter().for_each(|message| self.log(lsp::MessageType::Warning, message));
    }

    /// Takes a folder out of the workspace.
    pub fn remove_folder(&mut self, root: &Path) {
        self.folders.retain(|folder| folder.basis.root != root);
        self.forget_views();
    }

    /// The folders.
    pub fn folders(&self) -> &[Folder] {
        &self.folders
    }

    /// The folder of a file: of several the innermost. A file by itself gets one, and its neighbours are not looked at.
    pub(super) fn folder(&mut self, path: &Path) -> usize {
        if let Some(place) = self.innermost(path) {
            return place;
        }
        let root = path.parent().unwrap_or(Path::new("/")).to_owned();
        let within =
            self.within.as_ref().map(|within| within.iter().cloned().chain([root.clone()]).collect::<Vec<_>>());
        let basis = Basis::new(&root, &self.given, within.as_deref());
        self.folders.push(Folder::new(basis));
        self.folders.len() - 1
    }

    /// What a scan of a folder has found; returns the projects in it that are to be scanned by themselves.
    pub fn scanned(&mut self, root: &Path, mut files: Vec<(PathBuf, File)>) -> Vec<Arc<Basis>> {
        let mut inner = Vec::new();
        let settings =
            files.iter().filter(|(path, _)| path.file_name().is_some_and(|name| name == settings::FILE_NAME));
        let projects = settings.filter_map(|(path, _)| path.parent()).filter(|project| *project != root);
        for project in projects.map(Path::to_owned).collect::<Vec<_>>() {
            if self.folders.iter().all(|folder| folder.basis.root != project) {
                self.add_folder(&project);
                inner.extend(self.folders.last().map(|folder| Arc::clone(&folder.basis)));
            }
        }
        files.retain(|(path, _)| self.innermost(path).is_none_or(|place| self.folders[place].basis.root == root));
        let Some(folder) = self.folders.iter_mut().find(|folder| folder.basis.root == root) else { return inner };
        let is_open = |path: &Path| self.documents.values().any(|document| document.path == path);
        let seen: HashSet<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
        let gone: Vec<PathBuf> = folder
            .files()
            .into_iter()
            .map(|(path, _)| path.to_owned())
            .filter(|path| !seen.contains(path) && !is_open(path))
            .collect();
        gone.iter().for_each(|path| folder.forget(path));
        for (path, file) in files {
            // What is open is what counts.
            if is_open(&path) { folder.keep_names(&path, file) } else { folder.keep(&path, file) }
        }
        self.forget_views();
        inner
    }

    /// The innermost folder around a file.
    pub(super) fn innermost(&self, path: &Path) -> Option<usize> {
        let around = self.folders.iter().enumerate().filter(|(_, folder)| path.starts_with(&folder.basis.root));
        around.max_by_key(|(_, folder)| folder.basis.root.as_os_str().len()).map(|(place, _)| place)
    }

    /// Whether a file or directory belongs to the workspace: git does not ignore it.
    pub fn is_ours(&self, path: &Path) -> bool {
        self.innermost(path).is_some_and(|place| !is_ignored(&self.folders[place].basis.root, path))
    }

    /// Files have changed on the disk; returns the folders that have to be scanned again.
    pub fn changed(&mut self, paths: &[PathBuf]) -> Vec<Arc<Basis>> {
        let mut scans = Vec::new();
        let paths = &self.files_at(paths);
        let is_open = |path: &Path| self.documents.values().any(|document| document.path == path);
        // What git ignores is not looked at, as when the folder is scanned.
        let is_told = |path: &PathBuf| {
            let is_known =
                is_open(path) || self.folders.iter().any(|folder| folder.knows(path) || folder.basis.holds(path));
            is_known || self.is_ours(path)
        };
        let paths: Vec<&PathBuf> = paths.iter().filter(|path| is_told(path)).collect();
        if paths.is_empty() {
            return scans;
        }
        for place in 0..self.folders.len() {
            let folder = &self.folders[place];
            let root = folder.basis.root.clone();
            let is_own = |path: &Path| self.innermost(path) == Some(place) || folder.basis.names(path);
            let own: Vec<&PathBuf> = paths.iter().copied().filter(|path| is_own(path)).collect();
            if own.is_empty() {
                continue;
            }
            let ends = |path: &&PathBuf| **path == root.join(settings::FILE_NAME) && !path.exists();
            let outer =
                self.folders.iter().filter(|folder| folder.basis.root != root && root.starts_with(&folder.basis.root));
            let outer =
                outer.max_by_key(|folder| folder.basis.root.as_os_str().len()).map(|folder| folder.basis.clone());
            if let Some(outer) = outer.filter(|_| own.iter().any(ends) && !self.roots.contains(&root)) {
                // It is no project of its own any more.
                self.remove_folder(&root);
                scans.push(outer);
                scans.extend(self.changed(&own.into_iter().cloned().collect::<Vec<_>>()));
                return scans;
            }
            if own.iter().any(|path| folder.is_basis(path)) {
                let basis = self.basis(&root);
                self.complain(&basis);
                self.folders[place].basis = Arc::new(basis);
                scans.push(Arc::clone(&self.folders[place].basis));
                continue;
            }
            let is_new = own.iter().any(|path| !folder.knows(path) || !path.exists());
            if is_new {
                let basis = self.basis(&root);
                self.folders[place].basis = Arc::new(basis);
            }
            for path in own {
                let is_open = self.documents.values().any(|document| document.path == *path);
                let folder = &mut self.folders[place];
                match folder.basis.look(path) {
                    Some(file) if is_open => folder.keep_names(path, file),
                    Some(file) => folder.keep(path, file),
                    None if !is_open => folder.forget(path),
                    None => {}
                }
            }
        }
        self.forget_views();
        scans
    }

    /// The files that may have changed if these paths have: of a directory that has come, what is in it, and of one
    /// that is gone, what has been.
    fn files_at(&self, paths: &[PathBuf]) -> Vec<PathBuf> {
        let mut files = BTreeSet::new();
        let known = || self.folders.iter().flat_map(Folder::paths);
        let above = OnceCell::new();
        for path in paths {
            let is_in = |known: &&Path| known.starts_with(path);
            if path.is_dir() {
                if self.is_ours(path) {
                    files.extend(walk(path, &Selection::default(), |path| self.gives_kind(path)).files);
                } else {
                    let named = self.folders.iter().flat_map(|folder| folder.basis.named());
                    let open = self.documents.values().map(|document| document.path.as_path());
                    files.extend(named.filter(|named| is_in(&named.as_path())));
                    files.extend(known().chain(open).filter(is_in).map(Path::to_owned));
                }
            } else if Self::is_relevant(path) || self.gives_kind(path) {
                files.insert(path.clone());
            } else if above.get_or_init(|| directories_of(known())).contains(path.as_path()) {
                files.extend(known().filter(is_in).map(Path::to_owned));
            }
        }
        files.into_iter().collect()
    }

    /// Whether the settings of a folder say what kind a file has.
    fn gives_kind(&self, path: &Path) -> bool {
        self.folders.iter().any(|folder| folder.basis.gives_kind(path))
    }

    /// Whether files of this name are any of our business.
    pub fn is_relevant(path: &Path) -> bool {
        endings::matters(path)
    }

    /// What is known of the open documents may not be all any more.
    pub(super) fn forget_views(&mut self) {
        for document in self.documents.values_mut() {
            document.view = None;
            document.stale = true;
        }
    }

    /// Whether a path that is written in a document may be followed.
    pub fn may_follow(&self, path: &Path) -> bool {
        self.within.as_ref().is_none_or(|within| is_within(path, within))
    }
}

/// The directories that files are in, and those above.
fn directories_of<'p>(files: impl Iterator<Item = &'p Path>) -> HashSet<&'p Path> {
    let mut found = HashSet::new();
    for file in files {
        // Above one that is known all are.
        file.ancestors().skip(1).all(|above| found.insert(above));
    }
    found
}
