//! A folder of the workspace: its project, what its files say that others are held against, and the names in them.

use crate::lsp::title::words;
use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use super::findings::Findings;
use zrecipe_language::compile::{Compilation, Reading};
use zrecipe_language::contract::Contracts;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::evidence::{Facts, Set};
use zrecipe_language::names::{Name, names};
use zrecipe_language::source::Source;
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::library;
use zrecipe_project::project::{Given, Project, each_in_order, is_ours, is_reported, walk};
use zrecipe_project::settings;

/// What the files of a folder are compiled with.
pub struct Basis {
    /// The directory.
    pub root: PathBuf,
    /// Its settings and what they name.
    pub project: Project,
}

/// A folder.
pub struct Folder {
    /// What its files are compiled with.
    pub basis: Arc<Basis>,
    files: HashMap<PathBuf, File>,
    /// What the recipes say together.
    set: Set,
    /// How often that has changed.
    changes: u64,
}

/// What is kept of a file.
pub struct File {
    /// What it says that can be compared with others.
    facts: Facts,
    /// Whether the others contradict it, after so many changes.
    contradicted: Option<(u64, bool)>,
    /// The names in it that other files may have as well, in order.
    pub names: Box<[Name]>,
    /// Its steps: their numbers and titles.
    pub steps: Box<[(i64, String)]>,
    /// What it is, if it is one of ours.
    pub kind: Option<DocumentKind>,
    /// What has been said about it.
    said: Option<Said>,
}

/// What has been said about a file, and what it has been held against.
struct Said {
    found: Findings,
    basis: Weak<Basis>,
    /// How often the set had changed, if other recipes contradict it.
    contradicted: Option<u64>,
}

impl Basis {
    /// Reads the settings of a directory and what they name.
    pub fn new(root: &Path, given: &Given, within: Option<&[PathBuf]>) -> Self {
        Self { root: root.to_owned(), project: Project::of_directory(root, given.clone(), within) }
    }

    /// What services promise.
    pub fn contracts(&self) -> &Contracts {
        self.project.usable_contracts().0
    }

    /// Whether a file is one that others are held against, so that after a change to it nothing is as it was.
    pub fn holds(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| name == settings::FILE_NAME) || self.names(path)
    }

    /// Whether the settings name a file.
    pub fn names(&self, path: &Path) -> bool {
        self.is_python(path) || self.named().iter().any(|named| named == path)
    }

    /// Whether contracts are read from a file of Python source.
    fn is_python(&self, path: &Path) -> bool {
        let is_source =
            path.file_name().is_some_and(|name| zrecipe_project::python::is_source(&name.to_string_lossy()));
        is_source && self.project.settings.python.iter().any(|directory| path.starts_with(directory))
    }

    /// The files that the settings name.
    pub fn named(&self) -> Vec<PathBuf> {
        let settings = &self.project.settings;
        let site = self.project.site_files();
        let named = settings.contracts.iter().chain(self.project.broker_paths()).chain(&site).chain(&settings.baseline);
        named.flat_map(|pattern| library::matching(pattern).unwrap_or_default()).collect()
    }

    /// Everything that there is to say about a document; with a set, it is held against that.
    fn check(&self, path: &Path, reading: Arc<Reading>, set: Option<&Set>) -> Compilation {
        let request = CheckOptions { path: Some(path), set, ..CheckOptions::default() };
        let mut compilation = self.project.judge_known(reading, request);
        if !self.is_told(path, &compilation) {
            compilation.diagnostics.clear();
        }
        compilation
    }

    /// Whether anybody wants to hear about a file: others have JSON, YAML and TOML as well.
    pub fn is_told(&self, path: &Path, compilation: &Compilation) -> bool {
        let settings = &self.project.settings;
        // Elsewhere anything may be written into it.
        let is_among_recipes = || {
            path.parent().is_some_and(|parent| parent.iter().any(|part| part == "recipes"))
                || settings.recipe_directories.iter().any(|directory| path.starts_with(directory))
        };
        let is_ours = || match compilation.document.kind() {
            DocumentKind::Settings => path.file_name().is_some_and(|name| name == settings::FILE_NAME),
            _ if compilation.source.text().trim().is_empty() => is_among_recipes(),
            _ => is_ours(compilation) || is_among_recipes() && is_reported(compilation),
        };
        settings.selection.takes(path) && (settings.kind_of(path).is_some() || is_ours())
    }

    /// Whether the settings say what kind a file has.
    pub fn gives_kind(&self, path: &Path) -> bool {
        self.project.settings.kind_of(path).is_some()
    }

    /// Reads a document for its structure.
    fn reading(&self, path: &Path, source: Arc<Source>) -> Arc<Reading> {
        self.project.reading(source, CheckOptions { path: Some(path), ..CheckOptions::default() })
    }

    /// Reads a document for its structure alone.
    pub fn structure(&self, path: &Path, source: Arc<Source>) -> Compilation {
        self.project.structure(source, CheckOptions { path: Some(path), ..CheckOptions::default() })
    }

    /// Reads a file for its structure alone.
    pub fn read(&self, path: &Path) -> Option<Compilation> {
        let source = library::read(path, &path.to_string_lossy(), self.project.settings.max_bytes()).ok()?;
        Some(self.structure(path, Arc::new(source)))
    }

    /// What there is to keep of a file on the disk.
    pub fn look(&self, path: &Path) -> Option<File> {
        let compilation = self.read(path)?;
        let kind = self.is_told(path, &compilation).then(|| compilation.document.kind());
        let mut found: Vec<Name> = match kind {
            Some(_) => names(&compilation, self.contracts())
                .into_iter()
                .map(|found| found.name)
                .filter(Name::is_shared)
                .collect(),
            None => Vec::new(),
        };
        found.sort_unstable();
        found.dedup();
        let recipe = &compilation.recipe;
        let steps = recipe.steps().iter().filter(|_| kind == Some(DocumentKind::Recipe));
        let steps = steps.map(|step| (step.id, words(recipe, step))).collect();
        Some(File { facts: compilation.facts(), contradicted: None, names: found.into(), steps, kind, said: None })
    }

    /// The files of a directory that may be ours.
    fn walk(&self, directory: &Path) -> Vec<PathBuf> {
        let settings = &self.project.settings;
        walk(directory, &settings.selection, |path| settings.kind_of(path).is_some()).files
    }

    /// Looks at all files of the folder and at those that its settings name, with all cores.
    pub fn scan(&self) -> Vec<(PathBuf, File)> {
        let mut paths: BTreeSet<PathBuf> = self.walk(&self.root).into_iter().collect();
        let named = self.project.settings.contracts.iter().chain(self.project.broker_paths()).cloned();
        let named = named.chain(self.project.site_files());
        paths.extend(named.flat_map(|pattern| library::matching(&pattern).unwrap_or_default()));
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let mut files = Vec::with_capacity(paths.len());
        let look = |path: &PathBuf| self.look(path);
        let Ok(()) = each_in_order(&paths, look, |path, file| {
            files.extend(file.map(|file| (path.clone(), file)));
            Ok::<(), Infallible>(())
        });
        files
    }
}

impl File {
    /// Whether it has a name.
    pub fn has(&self, name: &Name) -> bool {
        self.names.binary_search(name).is_ok()
    }
}

impl Folder {
    /// A folder whose files nobody has looked at yet.
    pub fn new(basis: Basis) -> Self {
        Self { basis: Arc::new(basis), files: HashMap::new(), set: Set::default(), changes: 0 }
    }

    /// Everything that there is to say about a document, which is kept in place of the file, and whether others
    /// contradict it.
    pub fn compile(&mut self, path: &Path, source: &Arc<Source>) -> (Compilation, bool) {
        let basis = Arc::clone(&self.basis);
        let reading = basis.reading(path, Arc::clone(source));
        let is_recipe = reading.document.kind() == DocumentKind::Recipe;
        if is_recipe {
            let facts = reading.facts();
            if !self.files.get(path).is_some_and(|known| known.facts.says_the_same(&facts)) {
                self.keep_facts(path, facts);
            }
        }
        let is_contradicted = is_recipe && self.contradicts(path);
        (basis.check(path, reading, is_contradicted.then_some(&self.set)), is_contradicted)
    }

    /// Keeps a file, in place of what was known of it.
    pub fn keep(&mut self, path: &Path, file: File) {
        match self.files.get_mut(path) {
            Some(known) => {
                (known.names, known.steps, known.kind, known.said) = (file.names, file.steps, file.kind, None);
                self.changes += u64::from(self.set.replace(&mut known.facts, file.facts));
            }
            None => {
                self.set.add(&file.facts);
                self.changes += 1;
                self.files.insert(path.to_owned(), file);
            }
        }
    }

    /// Keeps what an open document says; the names in it are looked for when somebody asks.
    fn keep_facts(&mut self, path: &Path, facts: Facts) {
        let (names, steps, kind) = match self.files.get_mut(path) {
            Some(known) => (std::mem::take(&mut known.names), std::mem::take(&mut known.steps), known.kind),
            None => (Box::default(), Box::default(), None),
        };
        self.keep(path, File { facts, contradicted: None, names, steps, kind, said: None });
    }

    /// Keeps the names in the file of a document that is open: the document itself is what counts.
    pub fn keep_names(&mut self, path: &Path, file: File) {
        match self.files.get_mut(path) {
            Some(known) => (known.names, known.steps, known.kind) = (file.names, file.steps, file.kind),
            None => self.keep(path, file),
        }
    }

    /// How often what the recipes say together has changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The files that have been looked at.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Whether a file has been looked at.
    pub fn knows(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// Whether a file is one that others are held against.
    pub fn is_basis(&self, path: &Path) -> bool {
        let others = [
            DocumentKind::Contract,
            DocumentKind::Site,
            DocumentKind::Plugin,
            DocumentKind::Broker,
            DocumentKind::Settings,
        ];
        let kind = self.files.get(path).and_then(|file| file.kind);
        kind.is_some_and(|kind| others.contains(&kind)) || self.basis.holds(path)
    }

    /// Forgets a file that is not there any more.
    pub fn forget(&mut self, path: &Path) {
        if let Some(known) = self.files.remove(path) {
            self.set.remove(&known.facts);
            self.changes += 1;
        }
    }

    /// Whether other files contradict this one.
    pub fn contradicts(&mut self, path: &Path) -> bool {
        let Some(file) = self.files.get_mut(path) else { return false };
        match file.contradicted {
            Some((changes, contradicted)) if changes == self.changes => contradicted,
            _ => {
                let contradicted = self.set.contradicts(&file.facts);
                file.contradicted = Some((self.changes, contradicted));
                contradicted
            }
        }
    }

    /// What has been said about a file, if it still holds.
    pub fn said(&mut self, path: &Path) -> Option<&Findings> {
        let contradicted = self.contradicts(path).then_some(self.changes);
        let said = self.files.get(path)?.said.as_ref()?;
        let is_same = std::ptr::eq(said.basis.as_ptr(), Arc::as_ptr(&self.basis)) && said.contradicted == contradicted;
        is_same.then_some(&said.found)
    }

    /// Keeps what is said about a file.
    pub fn say(&mut self, path: &Path, found: Findings) {
        let contradicted = self.contradicts(path).then_some(self.changes);
        if let Some(file) = self.files.get_mut(path) {
            file.said = Some(Said { found, basis: Arc::downgrade(&self.basis), contradicted });
        }
    }

    /// Everything that there is to say about a file on the disk.
    pub fn check(&mut self, path: &Path) -> Option<Compilation> {
        let max_bytes = self.basis.project.settings.max_bytes();
        let source = Arc::new(library::read(path, &path.to_string_lossy(), max_bytes).ok()?);
        let is_contradicted = self.contradicts(path);
        let reading = self.basis.reading(path, source);
        Some(self.basis.check(path, reading, is_contradicted.then_some(&self.set)))
    }

    /// All files, in order.
    pub fn files(&self) -> Vec<(&Path, &File)> {
        let mut files: Vec<_> = self.files.iter().map(|(path, file)| (path.as_path(), file)).collect();
        files.sort_unstable_by_key(|(path, _)| *path);
        files
    }
}
