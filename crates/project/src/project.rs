//! A project: its settings, and the contracts, site, broker and recipes that its files are held against.

mod evidence;
mod ours;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

pub use ours::{is_damaged, is_meant, is_ours, is_reported};

use crate::endings;
use crate::known::{self, Known};
use crate::library::{self, Disk, Library};
use crate::paths::plain;
use crate::regular;
use crate::selection::Selection;
use crate::settings::{self, Settings};
use zrecipe_language::compile;
use zrecipe_language::contract::{self, Contract, Contracts};
use zrecipe_language::document::DocumentKind;
use zrecipe_language::evidence::Facts;
use zrecipe_language::site::{Files, Look, Site};
use zrecipe_language::source::Source;
use zrecipe_language::syntax::{Tree, yaml};
use zrecipe_language::topology::{self, Topology};

/// What the user has named beside the settings, and before them.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Where recipes are looked up first.
    pub recipe_directories: Vec<PathBuf>,
    /// The site configuration.
    pub site: Option<PathBuf>,
    /// The broker configurations: patterns.
    pub broker: Vec<PathBuf>,
    /// Texts that an editor has open, in place of what is in the files.
    pub unsaved: BTreeMap<PathBuf, Arc<Source>>,
}

/// A project.
pub struct Project {
    /// Its settings.
    pub settings: Settings,
    given: Given,
    /// Its `recipes` are looked up here; empty for the working directory.
    directory: PathBuf,
    /// The files that configurations name.
    files: Open,
    site: OnceLock<Site>,
    contracts: OnceLock<(Contracts, Vec<Unusable>)>,
    topology: OnceLock<Topology>,
    recipe_names: OnceLock<Option<BTreeSet<String>>>,
    /// Inputs of the judge that could be read.
    pub(crate) resolved: OnceLock<Resolved>,
    /// Set once all inputs were found usable.
    pub(crate) ready: OnceLock<()>,
    named_brokers: OnceLock<HashSet<PathBuf>>,
    /// What the settings name and that does not count.
    outside: Vec<PathBuf>,
    /// Why the settings cannot be used.
    unsettled: Option<settings::Error>,
}

/// Inputs of a project that could be read; inputs that could not are absent.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) has_broker: bool,
    pub(crate) known: Known,
}

/// A contract that the settings name and that cannot be used.
pub struct Unusable {
    /// The file.
    pub path: PathBuf,
    /// What to call it.
    pub name: String,
    /// What is wrong with it first, and where.
    pub why: String,
}

/// Why something that recipes are held against cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be used.
    #[error(transparent)]
    Library(#[from] library::Error),
    /// The broker configuration is no JSON or YAML.
    #[error("cannot use the broker configuration `{name}`")]
    BrokenBroker {
        /// The file.
        name: String,
    },
    /// The baseline cannot be used.
    #[error(transparent)]
    Known(#[from] known::Error),
    /// A contract cannot be used.
    #[error("{why}")]
    Contract {
        /// The file.
        name: String,
        /// What is wrong with it, and where.
        why: String,
    },
    /// The file is something else.
    #[error("`{name}` is not a broker configuration: {why}; it seems to be of kind {kind}")]
    NotTheBroker {
        /// The file.
        name: String,
        /// What of the form is missing or wrong first.
        why: String,
        /// What it seems to be.
        kind: &'static str,
    },
}

impl Project {
    /// The project of the working directory.
    pub fn in_directory(directory: &Path, given: Given) -> Self {
        let (settings, unsettled) =
            match Settings::find_with(directory, &|path| given.unsaved.get(path).map(|source| source.text())) {
                Ok(settings) => (settings, None),
                Err(error) => (Settings::default(), Some(error)),
            };
        Self { unsettled, ..Self::with_settings(settings, Path::new(""), given) }
    }

    /// A project with these settings, whose recipes are looked up in a directory.
    pub fn with_settings(settings: Settings, directory: &Path, given: Given) -> Self {
        let disk = Disk { max_bytes: settings.max_bytes() };
        let files = Open { disk, unsaved: given.unsaved.clone(), within: None };
        let (site, contracts, topology) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self {
            settings,
            given,
            directory: directory.to_owned(),
            files,
            site,
            contracts,
            topology,
            recipe_names: OnceLock::new(),
            resolved: OnceLock::new(),
            ready: OnceLock::new(),
            named_brokers: OnceLock::new(),
            outside: Vec::new(),
            unsettled: None,
        }
    }

    /// The project of another directory. What its own files name counts only inside of the directories `within`, if
    /// these are given: its author may be anybody.
    pub fn of_directory(directory: &Path, given: Given, within: Option<&[PathBuf]>) -> Self {
        let mut project = Self { directory: directory.to_owned(), ..Self::in_directory(directory, given) };
        if let Some(within) = within {
            project.outside = project.settings.keep_paths(|path| is_within(path, within));
            project.files.within = Some(within.to_vec());
        }
        project
    }

    /// Why the settings are not in force, if they are not.
    pub fn unsettled(&self) -> Option<&settings::Error> {
        self.unsettled.as_ref()
    }

    /// What the settings name outside of the directories within which it would count.
    pub fn outside(&self) -> &[PathBuf] {
        &self.outside
    }

    /// Where recipes are looked up.
    ///
    /// # Errors
    /// The site configuration cannot be used.
    pub fn library(&self) -> Result<Library, library::Error> {
        let directory = match (self.site()?, self.site_path()) {
            (Some(site), Some(path)) => library::recipe_directory(site, path)?,
            _ => None,
        };
        Ok(Library::new(&self.given.recipe_directories, &self.settings, directory, &self.directory))
    }

    /// The site configuration that is named, with all that it includes. It is read once.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn site(&self) -> Result<Option<&Site>, library::Error> {
        let Some(path) = self.site_path() else { return Ok(None) };
        if let Some(site) = self.site.get() {
            return Ok(Some(site));
        }
        // While somebody writes it, the last one that can be used counts.
        let unsaved = self.given.unsaved.get(path).cloned();
        let unsaved = unsaved.and_then(|source| library::site_in(source, path, &self.files).ok());
        let site = match unsaved {
            Some(site) => site,
            None => {
                let source = library::read(path, &path.to_string_lossy(), self.settings.max_bytes())?;
                library::site_in(Arc::new(source), path, &self.files)?
            }
        };
        Ok(Some(self.site.get_or_init(|| site)))
    }

    /// The files of the site configuration: the one that is named, and all that it includes.
    pub fn site_files(&self) -> Vec<PathBuf> {
        let named = self.site_path();
        let site = self.site().ok().flatten();
        let parts = site.into_iter().flat_map(Site::files).map(|part| PathBuf::from(part.tree().source().name()));
        let mut files: Vec<PathBuf> = named.map(Path::to_owned).into_iter().chain(parts).collect();
        files.dedup();
        files
    }

    /// The site configuration that is named: by the user, or in the settings.
    pub fn site_path(&self) -> Option<&Path> {
        let given = self.given.site.as_deref().filter(|path| !path.as_os_str().is_empty());
        given.or(self.settings.site.as_deref())
    }

    /// The names of the recipes that the site has, if somebody has said where they are.
    ///
    /// # Errors
    /// The site configuration cannot be used.
    pub fn recipe_names(&self) -> Result<Option<&BTreeSet<String>>, Error> {
        // Directories are listed once.
        if let Some(names) = self.recipe_names.get() {
            return Ok(names.as_ref());
        }
        let library = self.library()?;
        let names = library.is_told.then(|| library.names().into_iter().collect());
        Ok(self.recipe_names.get_or_init(|| names).as_ref())
    }

    /// The broker configurations that are named: patterns.
    pub fn broker_paths(&self) -> &[PathBuf] {
        if self.given.broker.is_empty() { &self.settings.broker } else { &self.given.broker }
    }

    /// The kind that a file has because the settings or an option say so.
    pub fn kind_of(&self, path: &Path) -> Option<DocumentKind> {
        let is_broker = || {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            self.named_brokers.get_or_init(|| self.find_brokers()).contains(&absolute)
        };
        self.settings.kind_of(path).or_else(|| is_broker().then_some(DocumentKind::Broker))
    }

    fn find_brokers(&self) -> HashSet<PathBuf> {
        let found = self.broker_paths().iter().filter_map(|pattern| library::matching(pattern).ok()).flatten();
        found.map(|path| std::path::absolute(&path).unwrap_or(path)).collect()
    }

    /// The broker that recipes are held against, if its configuration is named: by the user, or in the settings. It is
    /// read once.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn topology(&self) -> Result<Option<&Topology>, Error> {
        if let Some(topology) = self.topology.get() {
            return Ok(Some(topology));
        }
        let paths = self.broker_paths();
        if paths.is_empty() {
            return Ok(None);
        }
        let mut found = Vec::new();
        for pattern in paths {
            for path in library::matching(pattern)? {
                let is_broker = |tree: &Tree| {
                    let is_it = DocumentKind::of(tree) == DocumentKind::Broker || topology::faults(tree).is_empty();
                    !tree.is_broken() && is_it
                };
                let unsaved =
                    self.given.unsaved.get(&path).map(|source| zrecipe_language::syntax::parse(Arc::clone(source)));
                if let Some(tree) = unsaved.filter(is_broker) {
                    found.push(topology::read(&tree));
                    continue;
                }
                let name = path.to_string_lossy();
                let tree =
                    zrecipe_language::syntax::parse(Arc::new(library::read(&path, &name, self.settings.max_bytes())?));
                if tree.is_broken() {
                    return Err(Error::BrokenBroker { name: name.into_owned() });
                }
                let kind = DocumentKind::of(&tree);
                if !matches!(kind, DocumentKind::Broker | DocumentKind::Recipe)
                    && let Some(fault) = topology::faults(&tree).first()
                {
                    let (name, why) = (name.into_owned(), fault.message.clone());
                    return Err(Error::NotTheBroker { name, why, kind: kind.name() });
                }
                found.push(topology::read(&tree));
            }
        }
        Ok(Some(self.topology.get_or_init(|| Topology::of_files(found))))
    }

    /// The contracts of the services: those that the settings name and that can be used, and the built-in ones; and
    /// those that cannot be used. They are read once.
    pub fn usable_contracts(&self) -> (&Contracts, &[Unusable]) {
        let (contracts, unusable) = self.contracts.get_or_init(|| self.read_contracts(&[]));
        (contracts, unusable)
    }

    /// The same with further contracts, which count before those of Python sources.
    pub fn contracts_with(&self, further: &[Arc<Contract>]) -> Contracts {
        self.read_contracts(further).0
    }

    fn read_contracts(&self, further: &[Arc<Contract>]) -> (Contracts, Vec<Unusable>) {
        let (mut found, mut unusable) = (Vec::new(), Vec::new());
        for pattern in &self.settings.contracts {
            let paths = library::matching(pattern).unwrap_or_else(|_| vec![pattern.clone()]);
            for contract in paths.iter().map(|path| self.read_contract(path)) {
                match contract {
                    Ok(contract) => found.push(Arc::new(contract)),
                    Err(contract) => unusable.push(contract),
                }
            }
        }
        found.extend(further.iter().cloned());
        let (extracted, unread) = self.extracted(&found);
        found.extend(extracted);
        unusable.extend(unread);
        (Contracts::assemble(found, self.settings.built_in), unusable)
    }

    /// The contracts that the Python sources of the settings give, without those of services that have one in a file;
    /// and the sources that cannot be read.
    fn extracted(&self, known: &[Arc<Contract>]) -> (Vec<Arc<Contract>>, Vec<Unusable>) {
        let (mut found, mut unusable) = (Vec::new(), Vec::new());
        for path in &self.settings.python {
            let name = path.to_string_lossy().into_owned();
            match crate::python::files::contracts(path) {
                Ok(texts) => {
                    let read = texts.iter().map(|(file, text)| Contract::parse(file, text).map(Arc::new));
                    found.extend(read.filter_map(Result::ok).filter(|contract| {
                        let shares = |of: fn(&Contract) -> &Vec<String>, other: &Contract| {
                            of(other).iter().any(|name| of(contract).contains(name))
                        };
                        !known.iter().any(|other| {
                            shares(|contract| &contract.names, other)
                                && (contract.queues.is_empty() || shares(|contract| &contract.queues, other))
                        })
                    }));
                }
                Err(why) => unusable.push(Unusable { path: path.clone(), name, why }),
            }
        }
        (found, unusable)
    }

    /// The contract in a file.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn read_contract(&self, path: &Path) -> Result<Contract, Unusable> {
        // While somebody writes it, the last one that can be used counts.
        let unsaved = self
            .given
            .unsaved
            .get(path)
            .map(|source| contract::read(&Arc::new(zrecipe_language::syntax::parse(Arc::clone(source)))));
        if let Some(contract) = unsaved.and_then(|reading| reading.contract) {
            return Ok(contract);
        }
        // Below the root everything is, and such a name would mislead.
        let here = std::env::current_dir().ok().filter(|here| here.parent().is_some());
        let name = here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_string_lossy().into_owned();
        let unusable = |why| Unusable { path: path.to_owned(), name: name.clone(), why };
        let source = library::read(Path::new(&name), &name, self.settings.max_bytes());
        let source = Arc::new(source.map_err(|error| unusable(error.to_string()))?);
        let tree = zrecipe_language::syntax::parse(Arc::clone(&source));
        let reading = contract::read(&tree);
        reading.contract.ok_or_else(|| {
            // In broken text the faults are not to be trusted.
            let faults = reading.faults.into_iter().filter(|_| !tree.is_broken());
            let faults = faults.map(|fault| (fault.span, fault.message));
            let broken = compile::alone(Arc::clone(&source), None).diagnostics.into_iter();
            let broken = broken.map(|found| (found.primary.span, found.message));
            let (span, message) = faults.chain(broken).next().unwrap_or_default();
            unusable(format!("cannot use the contract {}: {message}", source.place(span.start)))
        })
    }

    /// What the recipes in the recipe directories of the project say, without those of these absolute paths: recipes
    /// that are checked are compared with them.
    pub fn evidence(&self, checked: &HashSet<PathBuf>, take: impl FnMut(Facts)) {
        let directories = self.library().map(|library| library.directories).unwrap_or_default();
        evidence::read(&directories, &self.settings, checked, take);
    }

    /// The files that configurations name.
    pub(crate) fn files(&self) -> &dyn Files {
        &self.files
    }
}

/// The files of the machine, as an editor has them open.
struct Open {
    disk: Disk,
    /// Texts that stand for what is in the files.
    unsaved: BTreeMap<PathBuf, Arc<Source>>,
    /// Directories of which alone anything is known.
    within: Option<Vec<PathBuf>>,
}

impl Files for Open {
    fn look(&self, from: &str, path: &str) -> Look {
        let whole = library::beside(from, path);
        if self.within.as_ref().is_some_and(|within| path.starts_with('~') || !is_within(&whole, within)) {
            return Look::Unknown;
        }
        match (self.disk.look(from, path), self.unsaved.get(&plain(&whole))) {
            (Look::File { tree, public }, Some(text)) => {
                // While somebody writes it, the last one that can be used counts.
                let unsaved = yaml::parse(Arc::clone(text));
                Look::File { tree: if unsaved.is_broken() { tree } else { Arc::new(unsaved) }, public }
            }
            (found, _) => found,
        }
    }

    fn are_same(&self, from: &str, path: &str, name: &str) -> bool {
        self.disk.are_same(from, path, name)
    }
}

/// Whether a path, or the existing part of it, leads into one of the directories, links followed.
pub fn is_within(path: &Path, directories: &[PathBuf]) -> bool {
    let goes_up = path.components().any(|part| part == std::path::Component::ParentDir);
    let real = path.ancestors().find_map(|part| part.canonicalize().ok());
    let is_in = |real: &PathBuf| {
        directories.iter().any(|directory| directory.canonicalize().is_ok_and(|directory| real.starts_with(directory)))
    };
    // With `..` behind something that is not there nobody can tell.
    real.as_ref().is_some_and(is_in) && (!goes_up || path.exists())
}

/// What a walk through a directory finds.
#[derive(Debug, Default)]
pub struct Walk {
    /// Files that may be ours.
    pub files: Vec<PathBuf>,
    /// Files and directories that cannot be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

impl Walk {
    /// The files, if all of them could be found.
    ///
    /// # Errors
    /// A directory or file cannot be read: the first, and why.
    pub fn complete(self) -> Result<Vec<PathBuf>, (PathBuf, String)> {
        match self.unreadable.into_iter().next() {
            Some(unreadable) => Err(unreadable),
            None => Ok(self.files),
        }
    }
}

/// The JSON and YAML files and the settings below a directory, and those whose kind `is_named` by the settings, as far as
/// they are selected; without those that git ignores.
pub fn walk(directory: &Path, selection: &Selection, is_named: impl Fn(&Path) -> bool) -> Walk {
    let mut found = Walk::default();
    let mut builder = ignore::WalkBuilder::new(directory);
    let selected = selection.clone();
    builder.filter_entry(move |entry| {
        let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
        entry.depth() == 0 || !is_directory || selected.enters(entry.path())
    });
    for entry in regular::walk(builder, directory) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let (path, reason) = regular::explain_walk(&error);
                found.unreadable.push((path.unwrap_or_else(|| directory.to_owned()), reason));
                continue;
            }
        };
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        let may_be_ours =
            entry.file_name() == settings::FILE_NAME || endings::is_checked(entry.path()) || is_named(entry.path());
        if is_file && may_be_ours && selection.takes(entry.path()) {
            found.files.push(entry.into_path());
        }
    }
    // As if each directory were sorted by itself: what is in `a` comes before `a.json`.
    let in_order = |path: &PathBuf| {
        let bytes = path.as_os_str().as_encoded_bytes().iter();
        bytes.map(|&byte| if std::path::is_separator(char::from(byte)) { 0 } else { byte }).collect::<Vec<u8>>()
    };
    found.files.sort_by_cached_key(in_order);
    found.unreadable.sort();
    found
}

/// A directory and those below it, without those that git ignores.
pub fn directories(directory: &Path) -> Vec<PathBuf> {
    let entries = regular::walk(ignore::WalkBuilder::new(directory), directory).filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_dir()))
        .map(ignore::DirEntry::into_path)
        .collect()
}

/// Whether git ignores a file or directory below a directory.
pub fn is_ignored(directory: &Path, path: &Path) -> bool {
    let wanted = path.to_owned();
    let on_the_way = move |entry: &ignore::DirEntry| wanted.starts_with(entry.path());
    let mut found = ignore::WalkBuilder::new(directory).filter_entry(on_the_way).build();
    !found.any(|entry| entry.is_ok_and(|entry| entry.path() == path))
}

/// Works on items with all cores and hands the results on in the order of the items.
///
/// # Errors
/// The first that `take` returns; nothing is taken after it.
pub fn each_in_order<T: Sync, R: Send, E>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    take: impl FnMut(&T, R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    // A handful at a time: to hand over each by itself takes longer than to work on a small recipe.
    const MOST_AT_ONCE: usize = 64;
    let batch = (items.len() / (16 * threads.max(1))).clamp(1, MOST_AT_ONCE);
    each_in_order_with(items, (threads, batch), work, take)
}

/// The same on this many threads, of which each takes a `batch` of items at a time.
///
/// # Errors
/// The first that `take` returns; nothing is taken after it.
pub fn each_in_order_with<T: Sync, R: Send, E>(
    items: &[T],
    (threads, batch): (usize, usize),
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(&T, R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.iter().try_for_each(|item| take(item, work(item)));
    }
    let batches: Vec<&[T]> = items.chunks(batch.max(1)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sender, results) = mpsc::sync_channel(4 * threads);
        for _ in 0..threads {
            let (sender, next, work, batches) = (sender.clone(), &next, &work, &batches);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(batch) = batches.get(index) else { return };
                    let results: Vec<R> = batch.iter().map(work).collect();
                    // Nobody listens any more when the output is closed.
                    if sender.send((index, results)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        for (index, results) in results {
            waiting.insert(index, results);
            while let Some(results) = waiting.remove(&due) {
                batches[due].iter().zip(results).try_for_each(|(item, result)| take(item, result))?;
                due += 1;
            }
        }
        Ok(())
    })
}
