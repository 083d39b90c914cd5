//! `zrecipe.toml`: what a project or a site sets once instead of typing it.
//!
//! ```toml
//! recipe-directories = ["recipes", "/dls_sw/apps/zocalo/live/recipes"]   # relative to this file
//! state-directory = "/var/lib/zrecipe"                                   # runs and the embedded broker
//! max-file-size = 67108864                                               # bytes; larger recipes are refused
//! baseline = "zrecipe-baseline.json"                                     # findings that are known already
//! contracts = ["contracts/*.json"]                                       # what services promise; or a table, see below
//! site = "/dls_sw/apps/zocalo/configuration.yml"                         # or ZOCALO_CONFIG, or `--site`
//! broker = ["rabbitmq/*.yml"]                                            # what the broker has, or `--broker`
//!
//! [[files]]                                 # what files are, where their content does not say it
//! paths = ["config/*.yml"]
//! kind = "site"                             # recipe, contract, site, plugin, broker, settings, request or user
//!
//! [parameters]                              # what the site's dispatcher adds, as JSON Schemas
//! ispyb_dcid = { type = "integer" }
//! ispyb_beamline = "string"                 # short for { type = "string" }
//!
//! [dispatcher]                              # how requests are dealt with by `zrecipe service -s Dispatcher`
//! custom-recipes = true                     # whether requests may carry a recipe
//! ready = [["data-is-there", "--beamline"]] # programs that say whether a request can be dealt with
//! filters = [["look-up-in-database"]]       # programs that change requests: add parameters, for example
//!                                           # either can stay: { worker = ["python3", "filter.py"] }
//! time-limit = 30                           # seconds that each of them may take
//!
//! [runner]                                  # commands of recipes, and files that services write for them
//! roots = ["/dls", "/scratch"]              # where services may write; without it, anywhere
//! environment = ["PATH", "LC_*"]            # the variables that commands find
//!
//! [runner.limits]                           # of each command: bytes, seconds, numbers
//! silence = 600                             # seconds without output
//! output = 67108864
//! memory = 17179869184
//!
//! [cluster]                                 # jobs that `zrecipe service -s Cluster` submits
//! scheduler = "sbatch"                      # or "slurmrestd", or "local" for this machine
//! preamble = [". /etc/profile.d/modules.sh"] # lines before the commands of every job
//! places = 4                                # how many jobs run at a time on this machine
//!
//! [wrappers]                                # the programs that `zrecipe wrap --wrap NAME` runs
//! phasing = ["python3", "wrappers/phasing.py"]
//!
//! [rules]                                  # allow, note, warning or error
//! two-destinations = "allow"
//!
//! [[overrides]]                            # for some files only; later ones come before earlier ones, names of rules before `all`
//! paths = ["recipes/old/**"]
//! rules = { duplicate-key = "warning" }
//!
//! [[suppress]]                             # one finding at one place
//! path = "recipes/tomography.json"
//! pointer = "/4/queue"
//! rule = "malformed-destination"
//! reason = "read by a tool of our own"
//! ```
//!
//! The file is searched for in the working directory and its parents; the command line comes before it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use toml::Spanned;

use zrecipe_language::contract::{BuiltIn, Declared};
use zrecipe_language::document::{DocumentKind, is_pattern};
use zrecipe_language::lint::{Choice, Levels};
use zrecipe_language::schema::{Schema, SchemaValue, path_text};
use zrecipe_language::source::{Position, Source, Unit};
use zrecipe_language::suppress::Pointed;

/// The file's name.
pub const FILE_NAME: &str = "zrecipe.toml";

/// Settings, as far as they are given.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where recipes are looked up by name, in this order.
    pub recipe_directories: Vec<PathBuf>,
    /// Where runs and the embedded broker are kept.
    pub state_directory: Option<PathBuf>,
    /// The largest recipe that is read, in bytes.
    pub max_file_size: Option<u64>,
    /// The file of known findings.
    pub baseline: Option<PathBuf>,
    /// Files with the contracts of services: patterns.
    pub contracts: Vec<PathBuf>,
    /// Python packages that contracts are read from: directories and files.
    pub python: Vec<PathBuf>,
    /// What the contracts that come with zrecipe count for.
    pub built_in: BuiltIn,
    /// The site configuration that recipes are held against.
    pub site: Option<PathBuf>,
    /// The broker configurations that recipes are held against: patterns.
    pub broker: Vec<PathBuf>,
    /// The types of the parameters that the site's dispatcher adds.
    pub declared: Arc<Declared>,
    /// How requests are dealt with.
    pub dispatching: Dispatching,
    /// How commands of recipes are run.
    pub running: Running,
    /// How jobs are submitted to a cluster.
    pub submitting: Submitting,
    /// Programs with their arguments that are wrapped, by name.
    pub wrappers: BTreeMap<String, Vec<String>>,
    /// The directory of the settings file, which paths are relative to.
    base: PathBuf,
    levels: Levels,
    overrides: Vec<(Vec<GlobMatcher>, Levels)>,
    suppressions: Vec<(GlobMatcher, Pointed)>,
    kinds: Vec<(Vec<GlobMatcher>, DocumentKind)>,
}

/// How a dispatcher deals with requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatching {
    /// Whether requests may carry a recipe.
    pub custom_recipes: bool,
    /// Programs that say whether a request can be dealt with.
    pub ready: Vec<Decider>,
    /// Programs that change requests.
    pub filters: Vec<Decider>,
    /// How long each of them may take.
    pub time_limit: Duration,
}

/// A program with its arguments that has a say about requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decider {
    /// Started for each request.
    Program(Vec<String>),
    /// It stays.
    Worker(Vec<String>),
}

impl Default for Dispatching {
    fn default() -> Self {
        Self { custom_recipes: true, ready: Vec::new(), filters: Vec::new(), time_limit: Duration::from_secs(30) }
    }
}

/// How commands of recipes are run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// Where services may write; none: anywhere.
    pub roots: Vec<PathBuf>,
    /// The names of the variables that commands find, if that is decided; a `*` at the end stands for anything.
    pub environment: Option<Vec<String>>,
    /// What each command may use.
    pub limits: Limits,
}

/// What a command may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Seconds of processor time.
    pub cpu: Option<u64>,
    /// Bytes of address space of each process.
    pub memory: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Bytes of each file that is written.
    pub file_size: Option<u64>,
    /// Processes that its user may have in all.
    pub processes: Option<u64>,
    /// How long nothing may be printed.
    pub silence: Option<Duration>,
    /// How long it may take to end after it was asked to, before it is killed.
    pub grace: Duration,
    /// Bytes that are kept of what is printed.
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: None,
            memory: None,
            open_files: None,
            file_size: None,
            processes: None,
            silence: None,
            grace: Duration::from_secs(2),
            output: 64 << 20,
        }
    }
}

/// Who takes the jobs of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// This machine.
    Local,
    /// Slurm, by its command.
    Sbatch,
    /// Slurm, by its REST API, which the site says how to reach.
    Slurmrestd,
}

impl Scheduler {
    /// The name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Sbatch => "sbatch",
            Self::Slurmrestd => "slurmrestd",
        }
    }
}

/// How jobs are submitted to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitting {
    /// Who takes them, if that is decided.
    pub scheduler: Option<Scheduler>,
    /// Lines of the shell before the commands of every job.
    pub preamble: Vec<String>,
    /// How many run at a time on this machine, if that is decided.
    pub places: Option<u16>,
}

impl Default for Submitting {
    fn default() -> Self {
        // As the Python service has it, where it is there.
        let modules = "[ ! -r /etc/profile.d/modules.sh ] || . /etc/profile.d/modules.sh";
        Self { scheduler: None, preamble: vec![modules.to_owned()], places: None }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCluster {
    scheduler: Option<Scheduler>,
    preamble: Option<Vec<String>>,
    places: Option<Spanned<u16>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRunner {
    #[serde(default)]
    roots: Vec<PathBuf>,
    environment: Option<Vec<String>>,
    #[serde(default)]
    limits: WrittenLimits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenLimits {
    cpu: Option<u64>,
    memory: Option<u64>,
    open_files: Option<u64>,
    file_size: Option<u64>,
    processes: Option<u64>,
    silence: Option<Spanned<f64>>,
    grace: Option<Spanned<f64>>,
    output: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenDispatcher {
    custom_recipes: Option<bool>,
    #[serde(default)]
    ready: Vec<Spanned<WrittenDecider>>,
    #[serde(default)]
    filters: Vec<Spanned<WrittenDecider>>,
    time_limit: Option<Spanned<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a program is a list of texts, or `{ worker = [\"program\"] }`")]
enum WrittenDecider {
    Program(Vec<String>),
    Worker { worker: Vec<String> },
}

/// `contracts` as written: a list of files, or a table.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`contracts` is a list of files, or a table with `files`, `python` and `built-in`")]
enum WrittenContracts {
    Files(Vec<PathBuf>),
    Table(WrittenContractsTable),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenContractsTable {
    #[serde(default)]
    files: Vec<PathBuf>,
    #[serde(default)]
    python: Vec<PathBuf>,
    #[serde(default)]
    built_in: WrittenBuiltIn,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenBuiltIn {
    #[default]
    Advice,
    Strict,
    Off,
}

impl Default for WrittenContracts {
    fn default() -> Self {
        Self::Files(Vec::new())
    }
}

impl WrittenContracts {
    fn table(self) -> WrittenContractsTable {
        match self {
            Self::Files(files) => WrittenContractsTable { files, ..WrittenContractsTable::default() },
            Self::Table(table) => table,
        }
    }
}

impl From<WrittenBuiltIn> for BuiltIn {
    fn from(written: WrittenBuiltIn) -> Self {
        match written {
            WrittenBuiltIn::Advice => Self::Advice,
            WrittenBuiltIn::Strict => Self::Strict,
            WrittenBuiltIn::Off => Self::Off,
        }
    }
}

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    #[serde(default)]
    recipe_directories: Vec<PathBuf>,
    state_directory: Option<PathBuf>,
    max_file_size: Option<u64>,
    baseline: Option<PathBuf>,
    #[serde(default)]
    contracts: WrittenContracts,
    site: Option<PathBuf>,
    #[serde(default)]
    broker: Vec<PathBuf>,
    #[serde(default)]
    files: Vec<WrittenFiles>,
    #[serde(default)]
    parameters: BTreeMap<String, Spanned<serde_json::Value>>,
    #[serde(default)]
    dispatcher: WrittenDispatcher,
    #[serde(default)]
    runner: WrittenRunner,
    #[serde(default)]
    cluster: WrittenCluster,
    #[serde(default)]
    wrappers: BTreeMap<String, Spanned<Vec<String>>>,
    #[serde(default)]
    rules: WrittenLevels,
    #[serde(default)]
    overrides: Vec<WrittenOverride>,
    #[serde(default)]
    suppress: Vec<WrittenSuppression>,
}

type WrittenLevels = BTreeMap<Spanned<String>, Spanned<String>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenOverride {
    paths: Vec<Spanned<String>>,
    rules: WrittenLevels,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFiles {
    paths: Vec<Spanned<String>>,
    kind: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSuppression {
    path: Spanned<String>,
    #[serde(default)]
    pointer: Option<Spanned<String>>,
    rule: Spanned<String>,
    #[serde(rename = "reason", default)]
    _reason: Option<String>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or holds a setting that there is not.
    #[error("{}:{}:{}: {message}", path.display(), position.line, position.column)]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where.
        position: Position,
        /// What is wrong.
        message: String,
    },
}

impl Error {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Unreadable { path, .. } | Self::Invalid { path, .. } => path,
        }
    }
}

/// What is wrong, and at which byte.
type Problem = (usize, String);

impl Settings {
    /// The settings that hold in a directory: those of the nearest file in it or in a parent.
    ///
    /// # Errors
    /// The file is there and cannot be used.
    pub fn find(directory: &Path) -> Result<Self, Error> {
        Self::find_with(directory, &|_| None)
    }

    /// The same where texts that are not saved yet count before the files, as long as they can be used.
    ///
    /// # Errors
    /// See [`Settings::find`].
    pub fn find_with<'t>(directory: &Path, unsaved: &dyn Fn(&Path) -> Option<&'t str>) -> Result<Self, Error> {
        for directory in directory.ancestors() {
            let path = directory.join(FILE_NAME);
            if let Some(settings) = unsaved(&path).and_then(|text| Self::parse(&path, text).ok()) {
                return Ok(settings);
            }
            match crate::regular::read_text(&path) {
                Ok(text) => return Self::parse(&path, &text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {}
                Err(source) => return Err(Error::Unreadable { path, source }),
            }
        }
        Ok(Self::default())
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let invalid = |(at, message): Problem| {
            let position = Source::from_text("", text).position(at as u32, Unit::Char);
            Error::Invalid { path: path.to_owned(), position, message }
        };
        let written: Written = toml::from_str(text)
            .map_err(|error| invalid((error.span().map_or(0, |span| span.start), error.message().to_owned())))?;
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        Self::read(written, base).map_err(invalid)
    }

    fn read(written: Written, base: PathBuf) -> Result<Self, Problem> {
        let overrides = written.overrides.iter().map(|written| {
            let paths = written.paths.iter().map(glob).collect::<Result<_, Problem>>()?;
            Ok((paths, levels(&written.rules)?))
        });
        let kinds = written.files.iter().map(|written| {
            let name = written.kind.get_ref();
            let kind = DocumentKind::parse(name).ok_or_else(|| {
                let known = DocumentKind::ALL.map(DocumentKind::name).join("`, `");
                (written.kind.span().start, format!("`{name}` is none of the kinds `{known}`"))
            })?;
            Ok((written.paths.iter().map(glob).collect::<Result<_, Problem>>()?, kind))
        });
        let suppressions = written.suppress.iter().map(|written| {
            let name = written.rule.get_ref();
            Levels::default().decide(name, Choice::Allow).map_err(|problem| (written.rule.span().start, problem))?;
            let pointer = written.pointer.as_ref().map_or("", |pointer| pointer.get_ref());
            if !pointer.is_empty() && !pointer.starts_with('/') {
                let at = written.pointer.as_ref().map_or(0, |pointer| pointer.span().start);
                return Err((at, format!("`{pointer}` is no JSON pointer, which begins with `/`")));
            }
            let is_exact = !is_pattern(written.path.get_ref());
            Ok((glob(&written.path)?, Pointed { rule: name.clone(), pointer: pointer.to_owned(), is_exact }))
        });
        let declared = written.parameters.iter().map(|(name, schema)| Ok((name.clone(), declared(name, schema)?)));
        let contracts = written.contracts.table();
        Ok(Self {
            recipe_directories: written.recipe_directories.iter().map(|path| base.join(path)).collect(),
            state_directory: written.state_directory.map(|path| base.join(path)),
            max_file_size: written.max_file_size,
            baseline: written.baseline.map(|path| base.join(path)),
            python: contracts.python.iter().map(|path| base.join(path)).collect(),
            built_in: contracts.built_in.into(),
            contracts: contracts.files.iter().map(|path| base.join(path)).collect(),
            site: written.site.map(|path| base.join(path)),
            broker: written.broker.iter().map(|path| base.join(path)).collect(),
            kinds: kinds.collect::<Result<_, Problem>>()?,
            declared: Arc::new(declared.collect::<Result<Declared, Problem>>()?),
            dispatching: dispatching(written.dispatcher, &base)?,
            running: running(written.runner, &base)?,
            submitting: submitting(written.cluster)?,
            wrappers: (written.wrappers.into_iter())
                .map(|(name, command)| Ok((name, program(command.span().start, command.into_inner(), &base)?)))
                .collect::<Result<_, Problem>>()?,
            levels: levels(&written.rules)?,
            overrides: overrides.collect::<Result<_, Problem>>()?,
            suppressions: suppressions.collect::<Result<_, Problem>>()?,
            base,
        })
    }

    /// The largest recipe that is read, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_file_size.unwrap_or(Source::MAX_BYTES).min(u64::from(u32::MAX) - 1)
    }

    /// Forgets the paths that do not pass.
    pub fn keep_paths(&mut self, passes: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let mut others = Vec::new();
        for paths in [&mut self.recipe_directories, &mut self.contracts, &mut self.python, &mut self.broker] {
            others.extend(paths.extract_if(.., |path| !passes(path)));
        }
        for path in [&mut self.site, &mut self.baseline, &mut self.state_directory] {
            others.extend(path.take_if(|path| !passes(path)));
        }
        others
    }

    /// What a file is said to be.
    pub fn kind_of(&self, path: &Path) -> Option<DocumentKind> {
        if self.kinds.is_empty() {
            return None;
        }
        let path = self.relative(path);
        let said = self.kinds.iter().rev().find(|(paths, _)| paths.iter().any(|glob| glob.is_match(&path)));
        said.map(|&(_, kind)| kind)
    }

    fn relative(&self, path: &Path) -> PathBuf {
        let absolute = plain(path);
        absolute.strip_prefix(&self.base).unwrap_or(path).to_owned()
    }

    /// What is decided about rules for a file, and where in it rules are silenced.
    pub fn decisions(&self, path: &Path) -> (Levels, Vec<Pointed>) {
        let mut levels = self.levels.clone();
        if self.overrides.is_empty() && self.suppressions.is_empty() {
            return (levels, Vec::new());
        }
        let path = self.relative(path);
        for (paths, others) in &self.overrides {
            if paths.iter().any(|glob| glob.is_match(&path)) {
                levels.extend(others);
            }
        }
        let suppressions = self.suppressions.iter().filter(|(glob, _)| glob.is_match(&path));
        (levels, suppressions.map(|(_, pointed)| pointed.clone()).collect())
    }
}

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

fn glob(written: &Spanned<String>) -> Result<GlobMatcher, Problem> {
    let pattern = written.get_ref().strip_prefix("./").unwrap_or(written.get_ref());
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    Ok(glob.map_err(|error| (written.span().start, error.to_string()))?.compile_matcher())
}

/// A program with its arguments.
fn program(at: usize, mut command: Vec<String>, base: &Path) -> Result<Vec<String>, Problem> {
    match command.first_mut() {
        Some(program) if !program.is_empty() => {
            // With a slash it is a path, as everywhere in this file; without, PATH has it.
            if program.contains('/') {
                *program = base.join(program.trim_start_matches("./")).to_string_lossy().into_owned();
            }
            Ok(command)
        }
        _ => Err((at, "a program has a name".to_owned())),
    }
}

fn dispatching(written: WrittenDispatcher, base: &Path) -> Result<Dispatching, Problem> {
    let default = Dispatching::default();
    let programs = |written: Vec<Spanned<WrittenDecider>>| {
        let decider = |written: Spanned<WrittenDecider>| match (written.span().start, written.into_inner()) {
            (at, WrittenDecider::Program(command)) => program(at, command, base).map(Decider::Program),
            (at, WrittenDecider::Worker { worker }) => program(at, worker, base).map(Decider::Worker),
        };
        written.into_iter().map(decider).collect::<Result<_, _>>()
    };
    let time_limit = written.time_limit.map_or(Ok(default.time_limit), time_limit)?;
    Ok(Dispatching {
        custom_recipes: written.custom_recipes.unwrap_or(default.custom_recipes),
        ready: programs(written.ready)?,
        filters: programs(written.filters)?,
        time_limit,
    })
}

fn time_limit(written: Spanned<f64>) -> Result<Duration, Problem> {
    let time = Duration::try_from_secs_f64(*written.get_ref()).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| (written.span().start, "a time limit is a number of seconds above 0".to_owned()))
}

fn running(written: WrittenRunner, base: &Path) -> Result<Running, Problem> {
    let (limits, default) = (written.limits, Limits::default());
    Ok(Running {
        roots: written.roots.iter().map(|root| base.join(root)).collect(),
        environment: written.environment,
        limits: Limits {
            cpu: limits.cpu,
            memory: limits.memory,
            open_files: limits.open_files,
            file_size: limits.file_size,
            processes: limits.processes,
            silence: limits.silence.map(time_limit).transpose()?,
            grace: limits.grace.map_or(Ok(default.grace), time_limit)?,
            output: limits.output.unwrap_or(default.output),
        },
    })
}

fn submitting(written: WrittenCluster) -> Result<Submitting, Problem> {
    if let Some(places) = written.places.as_ref().filter(|places| *places.get_ref() == 0) {
        return Err((places.span().start, "without a place no job runs".to_owned()));
    }
    let default = Submitting::default();
    Ok(Submitting {
        scheduler: written.scheduler,
        preamble: written.preamble.unwrap_or(default.preamble),
        places: written.places.map(Spanned::into_inner),
    })
}

/// The type of a parameter: a JSON Schema, or the name of a type.
fn declared(name: &str, schema: &Spanned<serde_json::Value>) -> Result<Schema, Problem> {
    let value = match schema.get_ref() {
        SchemaValue::String(kind) => serde_json::json!({ "type": kind }),
        other => other.clone(),
    };
    Schema::new(value).map_err(|flaw| {
        let at = if flaw.path.is_empty() { String::new() } else { format!("{}: ", path_text(&flaw.path)) };
        let message = format!("the type of the parameter `{name}` is no JSON Schema: {at}{}", flaw.message);
        (schema.span().start, message)
    })
}

fn levels(written: &WrittenLevels) -> Result<Levels, Problem> {
    let mut levels = Levels::default();
    for (rule, choice) in written {
        let parsed = Choice::parse(choice.get_ref()).ok_or_else(|| {
            let problem = format!("`{}` is not one of `allow`, `note`, `warning` and `error`", choice.get_ref());
            (choice.span().start, problem)
        })?;
        levels.decide(rule.get_ref(), parsed).map_err(|problem| (rule.span().start, problem))?;
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_relative_to_their_file() {
        let path = Path::new("/site/zrecipe.toml");
        let settings = Settings::parse(path, "recipe-directories = [\"recipes\", \"/other\"]").expect("is right");
        assert_eq!(settings.recipe_directories, [PathBuf::from("/site/recipes"), PathBuf::from("/other")]);
        for (text, expected) in [
            ("max-file-size = \"big\"", "/site/zrecipe.toml:1:17: invalid type: string \"big\", expected u64"),
            (
                "[parameters]\na = \"integer\"\nb = { type = \"int\" }",
                "/site/zrecipe.toml:3:5: the type of the parameter `b` is no JSON Schema: type: `\"int\"` is not what",
            ),
            ("\nrecipes = 1", "/site/zrecipe.toml:2:1: unknown field `recipes`"),
            ("[rules]\ncylce = \"allow\"", "/site/zrecipe.toml:2:1: there is no rule `cylce`; did you mean `cycle`?"),
            ("[rules]\ncycle = \"off\"", "/site/zrecipe.toml:2:9: `off` is not one of"),
            ("[[overrides]]\npaths = [\"[\"]\nrules = {}", "/site/zrecipe.toml:2:10: error parsing glob"),
            ("[[files]]\npaths = []\nkind = \"sight\"", "/site/zrecipe.toml:3:8: `sight` is none of the kinds"),
            ("[[suppress]]\npath = \"x\"\nrule = \"x\"", "/site/zrecipe.toml:3:8: there is no rule `x`"),
        ] {
            let error = Settings::parse(path, text).expect_err("is wrong").to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn decisions_hold_for_the_files_they_name() {
        let text = "
[rules]
cycle = \"warning\"
[[overrides]]
paths = [\"old/**\"]
rules = { cycle = \"allow\" }
[[suppress]]
path = \"old/x.json\"
pointer = \"/1\"
rule = \"duplicate-key\"
";
        let settings = Settings::parse(Path::new("/site/zrecipe.toml"), text).expect("is right");
        let found = zrecipe_language::diagnostic::Diagnostic::new(
            "cycle",
            zrecipe_language::diagnostic::Level::Error,
            Default::default(),
            "",
        );
        for (path, level, suppressions) in [
            ("/site/new/x.json", Some(zrecipe_language::diagnostic::Level::Warning), 0),
            ("/site/old/x.json", None, 1),
            ("/site/old/deep/y.json", None, 0),
        ] {
            let (levels, pointed) = settings.decisions(Path::new(path));
            assert_eq!(levels.level_of(&found), level, "{path}");
            assert_eq!(pointed.len(), suppressions, "{path}");
        }
    }
}
