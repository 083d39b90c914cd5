//! A state of a project: a directory or file as it is, or as it was in a git revision.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::callers::{self, Caller};
use crate::judge::CheckOptions;
use crate::library;
use crate::paths::plain;
use crate::project::{self, Given, Project, is_ours};
use crate::python;
use crate::revision::{self, Checkout};
use crate::settings::Settings;
use zrecipe_language::compile::Reading;
use zrecipe_language::contract::{self, Contract, Contracts};
use zrecipe_language::document::DocumentKind;

/// Why a state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The revision cannot be read.
    #[error(transparent)]
    Revision(#[from] revision::Error),
    /// A file cannot be read.
    #[error(transparent)]
    Library(#[from] library::Error),
    /// The directory cannot be read.
    #[error("cannot read {name}: {reason}")]
    Unreadable {
        /// What the user named.
        name: String,
        /// Why.
        reason: String,
    },
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] crate::settings::Error),
}

/// A document of a state.
pub struct Document {
    /// Its name, from the directory of the state on.
    pub name: String,
    /// Its file, in the working tree or in a temporary directory.
    pub path: PathBuf,
    /// Its content.
    pub reading: Arc<Reading>,
}

/// A state of a project.
pub struct State {
    /// What the user called it.
    pub name: String,
    /// Its settings and what they name.
    pub project: Project,
    /// What could not be read: sentences.
    pub warnings: Vec<String>,
    /// The directory or file.
    path: PathBuf,
    documents: Vec<Document>,
    contracts: OnceLock<Contracts>,
    checkout: Option<Checkout>,
}

impl State {
    /// The state that a user names: an existing path, a revision, or `REVISION:PATH`. A revision alone is that of the
    /// directory `here`; an empty name is the working tree there.
    ///
    /// # Errors
    /// There is no such path or revision, or it cannot be read.
    pub fn open(name: &str, here: &Path, given: &Given) -> Result<Self, Error> {
        let whole = here.join(name);
        if name.is_empty() || whole.exists() {
            return Self::of_path(if name.is_empty() { "the working tree" } else { name }, whole, given);
        }
        match name.split_once(':') {
            Some((revision, path)) if !revision.is_empty() => {
                Self::of_revision(name, revision, &here.join(path), here, given)
            }
            _ => Self::of_revision(name, name, here, here, given),
        }
    }

    /// The state of a path in a revision.
    ///
    /// # Errors
    /// There is no such revision, or the path is not in it.
    pub fn of_revision(name: &str, revision: &str, path: &Path, here: &Path, given: &Given) -> Result<Self, Error> {
        let directory = path.ancestors().find(|part| part.exists()).unwrap_or(here);
        // The settings of that revision are not known before it is there.
        let today = Settings::find(&plain(directory)).unwrap_or_default();
        let is_wanted = |path: &Path| is_script(path) || today.may_read(path);
        let checkout = Checkout::new(directory, revision, &is_wanted)?;
        let inside = checkout.inside(path).filter(|inside| inside.exists());
        let inside = inside.ok_or_else(|| Error::Unreadable {
            name: name.to_owned(),
            reason: format!("`{revision}` has no file or directory {}", path.display()),
        })?;
        let directory = if path.is_file() { path.parent().unwrap_or(path) } else { path };
        // The settings of that revision; those of today if there were none.
        let text = |path: &Path| checkout.inside(path).and_then(|inside| std::fs::read_to_string(inside).ok());
        let mut settings = Settings::find_in(&plain(directory), &text)?;
        settings.map_paths(|path| checkout.inside(path).unwrap_or_else(|| path.to_owned()));
        let project = Project::with_settings(settings, checkout.directory(), given.clone());
        Self::read(name, inside, project, Some(checkout))
    }

    fn of_path(name: &str, path: PathBuf, given: &Given) -> Result<Self, Error> {
        let directory = if path.is_file() { path.parent().unwrap_or(&path) } else { &path };
        let settings = Settings::find(&plain(directory))?;
        let project = Project::with_settings(settings, directory, given.clone());
        Self::read(name, path, project, None)
    }

    fn read(name: &str, path: PathBuf, mut project: Project, checkout: Option<Checkout>) -> Result<Self, Error> {
        let is_file = path.is_file();
        let unreadable =
            |(path, reason): (PathBuf, String)| Error::Unreadable { name: path.display().to_string(), reason };
        let files = match is_file {
            true => vec![path.clone()],
            false => project::walk(&path, &project.settings.selection, |path| project.settings.kind_of(path).is_some())
                .complete()
                .map_err(unreadable)?,
        };
        // Whatever services a directory holds are part of the state.
        if !is_file && project.settings.python.is_empty() && project.settings.contracts.is_empty() {
            project.settings.python.push(path.clone());
        }
        let mut warnings = Vec::new();
        let max_bytes = project.settings.max_bytes();
        let mut documents = Vec::new();
        for file in files {
            let below = file.strip_prefix(&path).ok().filter(|below| !below.as_os_str().is_empty());
            let own = below.unwrap_or(Path::new(file.file_name().unwrap_or(file.as_os_str())));
            let own = own.to_string_lossy().into_owned();
            let shown = match (&checkout, is_file) {
                (Some(_), false) => format!("{name}:{own}"),
                (Some(_), true) => name.to_owned(),
                (None, _) => shown(&file),
            };
            let source = match library::read(&file, &shown, max_bytes) {
                Ok(source) => Arc::new(source),
                Err(error) if is_file => return Err(error.into()),
                Err(error) => {
                    warnings.push(error.to_string());
                    continue;
                }
            };
            let request = CheckOptions { path: Some(&file), ..CheckOptions::default() };
            let compilation = project.structure(source, request);
            if is_file || is_ours(&compilation) {
                documents.push(Document { name: own, path: file, reading: compilation.reading });
            }
        }
        Ok(Self { name: name.to_owned(), project, warnings, path, documents, contracts: OnceLock::new(), checkout })
    }

    /// Whether it is one file.
    pub fn is_file(&self) -> bool {
        self.path.is_file()
    }

    /// Whether it is one file with a contract.
    pub fn is_contract(&self) -> bool {
        let mut kinds = self.documents.iter().map(|document| document.reading.document.kind());
        self.is_file() && kinds.next() == Some(DocumentKind::Contract)
    }

    /// The commit, if it is a revision.
    pub fn commit(&self) -> Option<&str> {
        self.checkout.as_ref().map(Checkout::commit)
    }

    /// All documents.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// The recipes.
    pub fn recipes(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().filter(|document| document.reading.document.kind() == DocumentKind::Recipe)
    }

    /// The contracts that hold: those of the settings, and those that the state has itself.
    pub fn contracts(&self) -> &Contracts {
        self.contracts.get_or_init(|| {
            let own = self.documents.iter().filter(|document| document.reading.document.contract().is_some());
            let own = own.filter_map(|document| contract::read(&document.reading.tree).contract.map(Arc::new));
            let own: Vec<Arc<Contract>> = own.collect();
            match (self.is_contract(), self.project.settings.contracts.is_empty()) {
                (true, _) => Contracts::assemble(own, self.project.settings.built_in),
                (false, true) => self.project.contracts_with(&own),
                // Those that the settings do not name are not in force.
                (false, false) => self.project.contracts_with(&[]),
            }
        })
    }

    /// How many contracts there are beside those that come with zrecipe.
    pub fn own_contracts(&self) -> usize {
        self.contracts().iter().filter(|contract| !contract.built_in).count()
    }

    /// The places of this state, and below other paths, that start recipes.
    ///
    /// # Errors
    /// A path cannot be read.
    pub fn callers(&self, others: &[PathBuf]) -> Result<Vec<Caller>, Error> {
        let mut found: Vec<Caller> =
            self.documents.iter().flat_map(|document| callers::of_document(&document.reading)).collect();
        let own = (!self.is_file()).then_some(&self.path);
        let mut paths: Vec<&PathBuf> = own.into_iter().chain(others).collect();
        let is_inside = |path: &Path| own.is_some_and(|own| path.starts_with(own));
        paths.extend(self.project.settings.python.iter().filter(|path| !is_inside(path)));
        for path in paths {
            let name = |file: &Path| match file.strip_prefix(&self.path) {
                Ok(below) if self.checkout.is_some() => format!("{}:{}", self.name, below.display()),
                _ => shown(file),
            };
            let below = callers::below(path, &name);
            found.extend(below.map_err(|reason| Error::Unreadable { name: path.display().to_string(), reason })?);
        }
        found.sort_by(|a, b| a.place.cmp(&b.place));
        found.dedup();
        Ok(found)
    }
}

/// Whether a file of a revision can be a script, which may start recipes.
fn is_script(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    python::is_source(&name) || matches!(ending, "sh" | "bash" | "csh" | "")
}

/// A file as messages call it: from the working directory on, if it is below.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok().filter(|here| here.parent().is_some());
    let path = plain(path);
    here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned))
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}
