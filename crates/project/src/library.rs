//! Recipes by name: the directories where they are looked up, and those built into the program.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::endings;
use crate::pattern::{Pattern, has_wildcard};
use crate::platform::{self, Identity};
use crate::regular::{self, Content};
use crate::settings::Settings;
use zrecipe_language::compile::{self, Options, Reading};
use zrecipe_language::document::DocumentKind;
use zrecipe_language::lint::nearest;
use zrecipe_language::site::{Fault, Files, Look, Site};
use zrecipe_language::source::{Source, Unit};
use zrecipe_language::syntax::{Notation, yaml};

/// The recipes built into the program, by name.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("channels", include_str!("../../../recipes/channels.json")),
    ("example", include_str!("../../../recipes/example.json")),
    ("failures", include_str!("../../../recipes/failures.json")),
    ("fan-out", include_str!("../../../recipes/fan-out.json")),
    ("parameters", include_str!("../../../recipes/parameters.json")),
];

/// Where recipes are looked up.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// Directories, in order. Built-in recipes come after them.
    pub directories: Vec<PathBuf>,
    /// The largest recipe that is read, in bytes.
    pub max_bytes: u64,
    /// Whether somebody has said which directories there are.
    pub is_told: bool,
}

/// Why a recipe cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {}", path.display(), describe(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than allowed.
    #[error("{} has {size} bytes, and the limit is {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// No directory has it.
    #[error("there is no recipe `{name}`")]
    NoSuchRecipe {
        /// The name.
        name: String,
        /// A name like it.
        meant: Option<String>,
        /// Where it was looked up.
        searched: Vec<PathBuf>,
    },
    /// The name could lead out of the recipe directories.
    #[error("`{0}` is not the name of a recipe")]
    BadName(String),
    /// The site configuration cannot be used.
    #[error("cannot use the site configuration {}: {reason}", path.display())]
    Site {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The files that match a pattern, in order; a pattern without a wildcard is the file itself.
///
/// # Errors
/// The pattern is none, or a directory cannot be read.
pub fn matching(pattern: &Path) -> Result<Vec<PathBuf>, Error> {
    let text = pattern.to_string_lossy();
    if !has_wildcard(&text) || regular::metadata(pattern).is_ok() {
        return Ok(vec![pattern.to_owned()]);
    }
    let unreadable = |source| Error::Unreadable { path: pattern.to_owned(), source };
    let glob = Pattern::of_path(&text).map_err(|reason| unreadable(std::io::Error::other(reason)))?;
    // Everything that matches lies below the part of the pattern without a wildcard.
    let is_fixed = |part: &std::path::Component<'_>| !has_wildcard(&part.as_os_str().to_string_lossy());
    let fixed: PathBuf = pattern.components().take_while(is_fixed).collect();
    let is_here = fixed.as_os_str().is_empty();
    let below = if is_here { Path::new(".") } else { &fixed };
    match regular::metadata(below) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        _ => {}
    }
    let mut files = Vec::new();
    let mut walk = ignore::WalkBuilder::new(below);
    walk.standard_filters(false).sort_by_file_path(Ord::cmp);
    for entry in regular::walk(walk, below) {
        let entry = entry.map_err(unreadable)?;
        let path = if is_here { entry.path().strip_prefix(".").unwrap_or(entry.path()) } else { entry.path() };
        if entry.file_type().is_some_and(|kind| kind.is_file()) && glob.is_match(path) {
            files.push(path.to_owned());
        }
    }
    Ok(files)
}

/// What went wrong with a file, without the operating system's error number.
fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

impl Library {
    /// The library of this process: the given directories, those of the settings, that of the site, and `recipes` in
    /// the directory `here`.
    pub fn new(given: &[PathBuf], settings: &Settings, site: Option<PathBuf>, here: &Path) -> Self {
        let mut directories = given.to_vec();
        directories.extend(settings.recipe_directories.iter().cloned());
        directories.extend(site);
        let is_told = !directories.is_empty();
        directories.push(here.join("recipes"));
        Self { directories, max_bytes: settings.max_bytes(), is_told }
    }

    /// The recipe that a user means: a path, or the name of a recipe.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(&self, recipe: &str) -> Result<Source, Error> {
        if is_path(recipe) { read(Path::new(recipe), recipe, self.max_bytes) } else { self.find(recipe) }
    }

    /// The recipe of this name.
    ///
    /// # Errors
    /// There is none, the name could lead elsewhere, or the file cannot be read.
    pub fn find(&self, name: &str) -> Result<Source, Error> {
        if !is_name(name) {
            return Err(Error::BadName(name.to_owned()));
        }
        for directory in &self.directories {
            let path = directory.join(format!("{name}.json"));
            match read(&path, &path.to_string_lossy(), self.max_bytes) {
                Err(Error::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(Error::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotADirectory => {}
                found => {
                    self.confine(directory, &path, name)?;
                    return found;
                }
            }
        }
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((name, text)) => Ok(Source::from_text(format!("{name}.json"), *text)),
            None => Err(Error::NoSuchRecipe {
                name: name.to_owned(),
                meant: nearest(name, self.names().iter().map(String::as_str)).map(str::to_owned),
                searched: self.directories.clone(),
            }),
        }
    }

    /// Where the recipe of this name is, and what its file is like; nothing for one that is built in.
    fn place(&self, name: &str) -> Result<Option<Stamp>, Error> {
        for directory in &self.directories {
            let path = directory.join(format!("{name}.json"));
            match regular::metadata(&path) {
                Ok(metadata) => {
                    return Ok(Some(Stamp { path, identity: platform::identity(&metadata) }));
                }
                // Whether it is there is not known, and the next directory may hold another recipe of this name.
                Err(source) if source.kind() == std::io::ErrorKind::TimedOut => {
                    return Err(Error::Unreadable { path, source });
                }
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// The file of the recipe of this name, if it is in a directory.
    pub fn path_of(&self, name: &str) -> Option<PathBuf> {
        let paths = self.directories.iter().map(|directory| (directory, directory.join(format!("{name}.json"))));
        let found =
            paths.filter(|(directory, path)| regular::is_file(path) && self.confine(directory, path, name).is_ok());
        found.map(|(_, path)| path).next().filter(|_| is_name(name))
    }

    /// A link inside a recipe directory must not lead out of it.
    fn confine(&self, directory: &Path, path: &Path, name: &str) -> Result<(), Error> {
        let real = |path: &Path| regular::canonicalize(path).ok();
        match (real(directory), real(path)) {
            (Some(directory), Some(path)) if path.starts_with(&directory) => Ok(()),
            _ => Err(Error::BadName(name.to_owned())),
        }
    }

    /// The names of the recipes in the directories, in order.
    pub fn own_names(&self) -> Vec<String> {
        self.names_with(&[])
    }

    /// All names there are, in order.
    pub fn names(&self) -> Vec<String> {
        self.names_with(BUILT_IN)
    }

    fn names_with(&self, more: &[(&str, &str)]) -> Vec<String> {
        let files = self.directories.iter().filter_map(|directory| regular::entries(directory).ok()).flatten();
        let mut names: Vec<String> = files
            .filter_map(|path| path.file_name()?.to_str()?.strip_suffix(".json").map(str::to_owned))
            .chain(more.iter().map(|(name, _)| (*name).to_owned()))
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A file as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    identity: Identity,
}

/// A recipe, and the file that it was read from.
type Kept = (Option<Stamp>, Arc<Reading>);

/// A library whose recipes are kept in memory, and read again when their files change.
#[derive(Debug, Default)]
pub struct Shelf {
    library: Library,
    kept: Mutex<HashMap<String, Kept>>,
}

impl Shelf {
    /// Nothing is kept yet.
    pub fn new(library: Library) -> Self {
        Self { library, kept: Mutex::default() }
    }

    /// The recipe of this name.
    ///
    /// # Errors
    /// As for [`Library::find`].
    pub fn find(&self, name: &str) -> Result<Arc<Reading>, Error> {
        if !is_name(name) {
            return Err(Error::BadName(name.to_owned()));
        }
        // Looked at before it is read: what changes meanwhile is read again next time.
        let place = self.library.place(name)?;
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, reading)) = kept().get(name).filter(|(then, _)| *then == place) {
            return Ok(Arc::clone(reading));
        }
        // Without the lock: whoever asks for another recipe does not wait for this one.
        let reading = Arc::new(compile::read(Arc::new(self.library.find(name)?), Options::default()));
        kept().insert(name.to_owned(), (place, Arc::clone(&reading)));
        Ok(reading)
    }
}

/// Whether a user means a file and not the name of a recipe.
pub fn is_path(recipe: &str) -> bool {
    let path = Path::new(recipe);
    recipe.contains(['/', '\\']) || endings::is_document(path) || regular::is_file(path)
}

/// Letters, digits, `.`, `_` and `-`, in parts with `/` between; no part `.` or `..`.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.chars().all(allowed))
}

/// Reads a file as a source that is called `name`.
///
/// # Errors
/// It cannot be read, or is larger than `max_bytes`.
pub fn read(path: &Path, name: &str, max_bytes: u64) -> Result<Source, Error> {
    read_by(regular::read, path, name, max_bytes)
}

/// The same for one of many files; see [`regular::read_in_bulk`].
///
/// # Errors
/// As for [`read`].
pub fn read_in_bulk(path: &Path, name: &str, max_bytes: u64) -> Result<Source, Error> {
    read_by(regular::read_in_bulk, path, name, max_bytes)
}

/// How a file is read.
type Reader = fn(&Path, u64) -> std::io::Result<Content>;

fn read_by(reader: Reader, path: &Path, name: &str, max_bytes: u64) -> Result<Source, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let limit = limit(name, max_bytes);
    match reader(path, limit).map_err(unreadable)? {
        Content::Whole(bytes) => Ok(Source::from_bytes(name, bytes)),
        Content::TooLarge(size) => Err(Error::TooLarge { path: path.to_owned(), size, limit }),
    }
}

/// How large a file of this name may be, in bytes: YAML takes several times its size in memory.
pub fn limit(name: &str, max_bytes: u64) -> u64 {
    const MOST_YAML: u64 = 4 << 20;
    if Notation::of(name) == Notation::Yaml { max_bytes.min(MOST_YAML) } else { max_bytes }
}

/// The files of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// The largest file that is read, in bytes.
    pub max_bytes: u64,
}

impl Files for Disk {
    fn look(&self, from: &str, path: &str) -> Look {
        let path = beside(from, path);
        match read(&path, &path.to_string_lossy(), self.max_bytes) {
            Ok(source) => {
                let public = platform::is_public(&path);
                Look::File { tree: Arc::new(yaml::parse(Arc::new(source))), public }
            }
            Err(Error::Unreadable { source, .. }) => match source.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory if is_elsewhere(&path) => {
                    Look::Elsewhere
                }
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Look::Missing,
                std::io::ErrorKind::IsADirectory => Look::Directory,
                std::io::ErrorKind::PermissionDenied => Look::Denied,
                _ => Look::Unreadable(describe(&source)),
            },
            Err(error) => Look::Unreadable(error.to_string()),
        }
    }

    fn are_same(&self, from: &str, path: &str, name: &str) -> bool {
        let real = |path: &Path| regular::canonicalize(path).ok();
        real(Path::new(name)).is_some_and(|found| real(&beside(from, path)) == Some(found))
    }
}

/// The file that is meant by a path in the file `from`.
pub fn beside(from: &str, path: &str) -> PathBuf {
    Path::new(from).parent().unwrap_or(Path::new("")).join(expand_home(path))
}

/// Whether not even the topmost directory of a path is on this machine.
fn is_elsewhere(path: &Path) -> bool {
    let mut parts = path.components();
    let top: PathBuf = parts.by_ref().take(2).collect();
    path.is_absolute() && parts.next().is_some() && !top.exists()
}

/// The site configuration in a file, with all that belongs to it.
///
/// # Errors
/// It cannot be read, or is no YAML.
pub fn site(path: &Path, max_bytes: u64) -> Result<Site, Error> {
    site_in(Arc::new(read(path, &path.to_string_lossy(), max_bytes)?), path, &Disk { max_bytes })
}

/// The same with a text that stands for the file.
///
/// # Errors
/// It is no YAML.
pub fn site_in(source: Arc<Source>, path: &Path, files: &dyn Files) -> Result<Site, Error> {
    let tree = Arc::new(yaml::parse(Arc::clone(&source)));
    if let Some(problem) = tree.mistakes().next() {
        let line = source.position(problem.span.start, Unit::Char).line;
        let reason = format!("invalid YAML at line {line}; run `zrecipe check` for details");
        return Err(Error::Site { path: path.to_owned(), reason });
    }
    match DocumentKind::of(&tree) {
        DocumentKind::Site | DocumentKind::Recipe => {
            let site = Site::with(tree, files);
            let broken = site.parts().into_iter().filter(|part| part.via.is_some()).find_map(|part| {
                let name = part.site.tree().source().name();
                Some((PathBuf::from(name), format!("the included file {}", part.site.defect()?)))
            });
            broken.map_or(Ok(site), |(path, reason)| Err(Error::Site { path, reason }))
        }
        kind => {
            let reason = format!("it is of kind {}", kind.name());
            Err(Error::Site { path: path.to_owned(), reason })
        }
    }
}

/// The environment that holds when none is chosen: ZOCALO_DEFAULT_ENV, else `default`, if there is one.
pub fn environment(site: &Site) -> Option<String> {
    let named = std::env::var("ZOCALO_DEFAULT_ENV").ok().filter(|name| !name.is_empty());
    named.or_else(|| site.environment_names().contains(&"default").then(|| "default".to_owned()))
}

/// The recipe directory that the site configuration in a file names in the environment that is active.
///
/// # Errors
/// The environment cannot be activated.
pub fn recipe_directory(site: &Site, path: &Path) -> Result<Option<PathBuf>, Error> {
    let Some(environment) = environment(site) else { return Ok(None) };
    storage(site, &[&environment], "zocalo.recipe_directory")
        .map_err(|fault| Error::Site { path: path.to_owned(), reason: fault.to_string() })
}

/// A directory that the plugin `storage` names in these environments. The reference takes it relative to wherever it
/// runs.
///
/// # Errors
/// One of the environments cannot be activated.
pub fn storage(site: &Site, environments: &[&str], name: &str) -> Result<Option<PathBuf>, Fault> {
    // Credentials live in files of their own; one that this user may not read is none of our business here.
    let plugins = site.resolve(environments)?;
    let storage = plugins.iter().find(|(plugin, _)| plugin == "storage").map(|(_, settings)| settings);
    let directory = storage.into_iter().flatten().find(|setting| setting.name == name);
    let directory = directory.map(|directory| PathBuf::from(&*directory.node.text()));
    Ok(directory.filter(|directory| !directory.as_os_str().is_empty()))
}

fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}
