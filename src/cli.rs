//! The command line: what all commands share. Each command is one file in `cli/commands/`.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 clean, 1 findings or a failed
//! run, 2 could not do it; a closed pipe is 0.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{Args, ColorChoice, CommandFactory as _, Parser};

use zrecipe_broker::transport::{self, amqp};
use zrecipe_language::bind::merge;
use zrecipe_language::compile::{self, Compilation};
use zrecipe_language::contract::{BuiltIn, Contract, Contracts};
use zrecipe_language::diagnostic::Level;
use zrecipe_language::diff::unified;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::guard;
use zrecipe_language::infer;
use zrecipe_language::lint::{Choice, Levels};
use zrecipe_language::report::{self, FileReport, Report, Style, Summary};
use zrecipe_language::secret;
use zrecipe_language::site::{Fault, Site};
use zrecipe_language::source::Source;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::known;
use zrecipe_project::library::{self, Library};
use zrecipe_project::project::{self, Given, Project};
use zrecipe_project::regular;
use zrecipe_runtime::connection;
use zrecipe_runtime::ops::drop_files;
use zrecipe_runtime::runtime::surroundings::Why;
use zrecipe_runtime::runtime::{run, supervisor};

/// Compiler, linter and runtime for Zocalo recipes.
///
/// Exit codes: 0 clean, 1 findings or a failed run, 2 could not do it.
#[derive(Debug, Parser)]
#[command(name = "zrecipe", version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: commands::Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Common {
    /// Look recipes up by name in this directory first (repeatable).
    #[arg(long, value_name = "DIR", global = true)]
    recipe_dir: Vec<PathBuf>,
    /// Hold recipes against this site configuration.
    #[arg(long, value_name = "FILE", global = true, env = "ZOCALO_CONFIG")]
    site: Option<PathBuf>,
    /// Hold recipes against this broker configuration (repeatable).
    #[arg(long, value_name = "FILE", global = true)]
    broker: Vec<PathBuf>,
    /// Keep runs and the embedded broker in this directory.
    #[arg(long, value_name = "DIR", global = true, env = "ZRECIPE_STATE")]
    state: Option<PathBuf>,
    /// When to use colour: `auto` is on a terminal, unless NO_COLOR is set.
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    color: ColorChoice,
}

impl Common {
    /// What is named beside the settings.
    pub fn given(&self) -> Given {
        let Self { recipe_dir, site, broker, .. } = self.clone();
        Given { recipe_directories: recipe_dir, site, broker, ..Given::default() }
    }

    /// Whether the files and directories of the options exist. One that the environment names matters only to commands
    /// that read it.
    ///
    /// # Errors
    /// The first that does not exist.
    fn exist(&self) -> Result<(), Error> {
        let find = |option: &str, path: &Path| {
            let found = regular::metadata(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                _ => error.to_string(),
            });
            found.map_err(|reason| Error::new(format!("`{option} {}`: {reason}", path.display())))
        };
        for pattern in &self.broker {
            match library::matching(pattern)?.first() {
                Some(path) => _ = find("--broker", path)?,
                None => return Err(Error::new(format!("`--broker {}`: no file matches", pattern.display()))),
            }
        }
        for directory in &self.recipe_dir {
            if !find("--recipe-dir", directory)?.is_dir() {
                let message = format!("`--recipe-dir {}`: not a directory", directory.display());
                return Err(Error::new(message).hint("name a directory with recipes"));
            }
        }
        let from_environment = std::env::var_os("ZOCALO_CONFIG");
        if let Some(site) = self.site.as_ref().filter(|site| from_environment.as_deref() != Some(site.as_os_str())) {
            find("--site", site)?;
        }
        Ok(())
    }
}

/// What a command works with.
pub struct Session {
    /// Options of every command.
    pub common: Common,
    /// The project of the working directory.
    pub project: Project,
}

impl std::ops::Deref for Session {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

/// The parameters to put into recipes.
#[derive(Debug, Args)]
pub struct ParameterArgs {
    /// Set a parameter to a text, as Zocalo's `-s` does (repeatable).
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// Set a parameter to a JSON value (repeatable).
    #[arg(long, value_name = "KEY=JSON")]
    param_json: Vec<String>,
    /// Take parameters from a file with a JSON object (repeatable).
    #[arg(long, value_name = "FILE")]
    params: Vec<PathBuf>,
}

/// The parameters that recipes use.
#[derive(Default)]
pub struct Used {
    names: BTreeSet<String>,
    /// How many recipes.
    recipes: usize,
    /// Whether parts of them could not be read, so that there may be more.
    is_partial: bool,
}

impl Used {
    /// Adds those of one more document.
    pub fn add(&mut self, compilation: &Compilation) {
        self.recipes += usize::from(compilation.document.kind() == DocumentKind::Recipe);
        self.is_partial |= compilation.tree.is_broken();
        self.names.extend(infer::names(&compilation.templates).map(str::to_owned));
        self.names.extend(infer::meant(&compilation.recipe, &compilation.templates));
    }

    /// Adds those of other recipes.
    pub fn extend(&mut self, other: &Used) {
        self.recipes += other.recipes;
        self.is_partial |= other.is_partial;
        self.names.extend(other.names.iter().cloned());
    }
}

/// What to make of rules.
#[derive(Debug, Args)]
pub struct LevelArgs {
    /// Say nothing of a rule's findings (repeatable); `all`, `notes`, `warnings` and `errors` name many.
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,
    /// Make a rule's findings warnings (repeatable).
    #[arg(long, value_name = "RULE")]
    warn: Vec<String>,
    /// Make a rule's findings errors, which fail the command (repeatable): `--deny warnings`.
    #[arg(long, value_name = "RULE")]
    deny: Vec<String>,
}

impl LevelArgs {
    /// The decisions; a more severe one comes before a milder one.
    ///
    /// # Errors
    /// There is no such rule.
    pub fn read(&self) -> Result<Levels, Error> {
        let mut levels = Levels::default();
        let choices = [
            (&self.allow, Choice::Allow),
            (&self.warn, Choice::At(Level::Warning)),
            (&self.deny, Choice::At(Level::Error)),
        ];
        for (names, choice) in choices {
            for name in names {
                let decided = levels.decide(name, choice);
                decided.map_err(|problem| Error::new(problem).hint("`zrecipe explain` lists all rules"))?;
            }
        }
        Ok(levels)
    }
}

/// What stopped a command.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    hints: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    /// Everything has been said already; only the exit code is left to set.
    Findings,
    /// The same, with the exit code of another program.
    Exit(u8),
    /// Standard output is closed: nobody wants to know.
    ClosedPipe,
    /// Could not do it.
    Failed(String),
}

impl Error {
    /// A command that could not do its work.
    pub fn new(message: impl Into<String>) -> Self {
        Self { kind: Kind::Failed(message.into()), hints: Vec::new() }
    }

    /// What it is, for those who say it in their own way.
    pub fn message(&self) -> &str {
        match &self.kind {
            Kind::Failed(message) => message,
            Kind::Findings | Kind::Exit(_) | Kind::ClosedPipe => "",
        }
    }

    /// What to do about it.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// A command that did its work and found something; it has said what.
    pub fn findings() -> Self {
        Self { kind: Kind::Findings, hints: Vec::new() }
    }

    /// Whether it is about findings, which have been told.
    pub fn is_findings(&self) -> bool {
        matches!(self.kind, Kind::Findings)
    }

    /// A command that ends as the program it has run, or has told all and ends with another code than findings do.
    pub fn exit(code: u8) -> Self {
        Self { kind: Kind::Exit(code), hints: Vec::new() }
    }

    /// Says what it is, for a command that goes on all the same.
    ///
    /// # Errors
    /// Standard output is closed: then there is nobody to go on for.
    pub fn tell(self) -> Result<(), Self> {
        match &self.kind {
            Kind::ClosedPipe => Err(self),
            Kind::Findings | Kind::Exit(_) => Ok(()),
            Kind::Failed(message) => {
                say(&format!("error: {message}"));
                self.hints.iter().for_each(|hint| say(&format!("  help: {hint}")));
                Ok(())
            }
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { kind: Kind::ClosedPipe, hints: Vec::new() },
            _ => Self::new(error.to_string()),
        }
    }
}

impl From<library::Error> for Error {
    fn from(error: library::Error) -> Self {
        let said = Self::new(error.to_string());
        match error {
            library::Error::NoSuchRecipe { meant, searched, .. } => {
                let said = match meant {
                    Some(meant) => said.hint(format!("did you mean `{meant}`?")),
                    None => said,
                };
                let mut places: Vec<String> =
                    searched.iter().map(|directory| format!("`{}`", directory.display())).collect();
                places.dedup();
                let places = places.join(", ");
                said.hint(format!("looked in {places} and among the built-in recipes; a file is given by its path"))
            }
            library::Error::TooLarge { .. } => said.hint("the limit is `max-file-size` in zrecipe.toml"),
            library::Error::BadName(_) => said.hint("a name has letters, digits and `._-`, in parts with `/` between"),
            library::Error::Site { .. } => {
                said.hint("`--site`, ZOCALO_CONFIG or `site` in zrecipe.toml names this file")
            }
            library::Error::Unreadable { .. } => said,
        }
    }
}

impl From<known::Error> for Error {
    fn from(error: known::Error) -> Self {
        let shown = Self::new(error.to_string());
        match error {
            known::Error::Library(error) => error.into(),
            known::Error::Malformed { .. } => shown.hint("`zrecipe check --write-baseline FILE` writes a baseline"),
        }
    }
}

impl From<project::Error> for Error {
    fn from(error: project::Error) -> Self {
        let said = Self::new(error.to_string());
        match error {
            project::Error::Library(error) => error.into(),
            project::Error::Known(error) => error.into(),
            project::Error::Contract { name, .. } => said
                .hint(format!("`contracts` in zrecipe.toml names it; `zrecipe check {name}` shows all that is wrong")),
            project::Error::BrokenBroker { name } => said.hint(format!(
                "`--broker` or `broker` in zrecipe.toml names it; `zrecipe check {name}` says what is wrong"
            )),
            project::Error::NotTheBroker { .. } => said.hint("`--broker` or `broker` in zrecipe.toml names it"),
        }
    }
}

impl From<transport::Error> for Error {
    fn from(error: transport::Error) -> Self {
        let said = Self::new(error.to_string());
        match error {
            transport::Error::Denied { reason, .. } if !reason.contains("certificate") && !reason.contains("TLS") => said.hint(
                "`username`, `password` and `vhost` are settings of plugin `pika`; `zrecipe doctor` says how to test them",
            ),
            _ => said,
        }
    }
}

impl From<connection::Error> for Error {
    fn from(error: connection::Error) -> Self {
        let said = Self::new(error.to_string());
        match error {
            connection::Error::ClearText { .. } => {
                said.hint("encrypt with `ssl: true` beside `host` (and usually port 5671)").hint(
                    "`clear-text: true` beside `host` allows it, for networks where nobody listens; the Python packages \
                     always do it, and pass over both settings",
                )
            }
            connection::Error::NoBroker(_) | connection::Error::Setting { .. } => {
                said.hint("`zrecipe config show -e ENV` shows what an environment comes to")
            }
            connection::Error::Site(_) | connection::Error::File { .. } => said,
        }
    }
}

impl From<drop_files::Error> for Error {
    fn from(error: drop_files::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<Why> for Error {
    fn from(why: Why) -> Self {
        why.hints.into_iter().fold(Self::new(why.message), Self::hint)
    }
}

impl From<run::Error> for Error {
    fn from(error: run::Error) -> Self {
        let said = Self::new(error.to_string());
        match error {
            run::Error::NoSuchRun(_) | run::Error::Ambiguous(_) => said.hint("`zrecipe runs` lists them"),
            run::Error::Exists(id) => said.hint(format!(
                "`zrecipe show {id}` shows it, `zrecipe resume {id}` goes on with it; leave `guid` out for a new ID"
            )),
            run::Error::Directory { .. } => said.hint("`--state DIR` names another one"),
            _ => said,
        }
    }
}

/// Says that zrecipe has a fault, and where. What the panic itself says may hold parts of a document, and these may be
/// secret.
fn tell_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
    if guard::is_guarded() {
        place.into_iter().for_each(guard::note);
    } else {
        let place = place.map_or_else(String::new, |place| format!(" ({place})"));
        say(&format!("error: zrecipe itself has a fault{place}; please report it"));
    }
}

/// Reads the command line.
fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(&arguments).map_err(|error| {
        // Where the environment gives an option, the line that says how to use a command has it as required.
        let bare = Cli::command().mut_args(|argument| argument.env(None::<&str>));
        let is_help = |said: &clap::Error| {
            !said.use_stderr() || said.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        };
        bare.try_get_matches_from(arguments).err().filter(|bare| !is_help(bare)).unwrap_or(error)
    })
}

/// Runs the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    std::panic::set_hook(Box::new(tell_panic));
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = supervisor::main(&arguments) {
        return code;
    }
    let cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let result = Session::new(cli.common).and_then(|mut session| {
        // Here zrecipe's own services take the steps.
        if matches!(cli.command, commands::Command::Run(_) | commands::Command::Service(_)) {
            session.project.settings.built_in = BuiltIn::Strict;
        }
        // Whoever checks files wants to hear about this one as about any other.
        if !matches!(cli.command, commands::Command::Check(_) | commands::Command::Lsp(_)) {
            session.settled().map_err(|(error, _)| error)?;
        }
        commands::run(cli.command, &session)
    });
    let error = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    let code = match &error.kind {
        Kind::ClosedPipe => ExitCode::SUCCESS,
        Kind::Findings => ExitCode::FAILURE,
        Kind::Exit(code) => ExitCode::from(*code),
        Kind::Failed(_) => ExitCode::from(2),
    };
    // Nobody is left to hear that nobody is left.
    let _ = error.tell();
    code
}

/// Writes results to standard output.
///
/// # Errors
/// It is closed or full.
pub fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => error.into(),
        _ => Error::new(format!("cannot write to standard output: {error}")),
    })
}

/// Writes lines for people to standard error; if nobody reads them, so be it.
pub fn say(lines: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", plain_lines(lines));
}

/// Text from elsewhere on one line, without what a terminal would act on: nobody who sends messages is to move the
/// cursor, or to add a line that looks like ours.
pub fn plain(text: &str) -> String {
    report::printable(text, usize::MAX)
}

/// Lines of text without what a terminal would act on.
pub fn plain_lines(lines: &str) -> String {
    lines.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

impl Session {
    /// A session in the working directory; see [`Session::settled`].
    ///
    /// # Errors
    /// There is no working directory.
    pub fn new(common: Common) -> Result<Self, Error> {
        let directory = std::env::current_dir()
            .map_err(|error| Error::new(format!("cannot use the working directory: {error}")))?;
        common.exist()?;
        Ok(Self { project: Project::in_directory(&directory, common.given()), common })
    }

    /// Whether the settings of the project are in force; the file that is broken if they are not.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn settled(&self) -> Result<(), (Error, &Path)> {
        self.project.unsettled().map_or(Ok(()), |error| {
            let hint = format!("`zrecipe check {}` shows all that is wrong", error.path().display());
            Err((Error::new(error.to_string()).hint(hint), error.path()))
        })
    }

    /// The site configuration that is named, which a command cannot do without.
    ///
    /// # Errors
    /// None is named, or it cannot be used.
    pub fn site(&self) -> Result<Site, Error> {
        let path = self.site_path().ok_or_else(|| {
            Error::new("no site configuration is given").hint("`--site FILE` or ZOCALO_CONFIG names one")
        })?;
        Ok(library::site(path, self.settings.max_bytes())?)
    }

    /// The environments of a site that are meant: the given ones, or the one that holds when none is chosen.
    ///
    /// # Errors
    /// None is chosen, and there is no `default`; or one of them cannot be activated.
    pub fn environments(&self, given: &[String], site: &Site) -> Result<Vec<String>, Error> {
        let chosen = match library::environment(site) {
            _ if !given.is_empty() => given.to_vec(),
            Some(environment) => vec![environment],
            None => {
                let fault = Fault::NoEnvironment("default".to_owned());
                return Err(of_fault(fault, site).hint("`-e ENV` chooses one"));
            }
        };
        let names: Vec<&str> = chosen.iter().map(String::as_str).collect();
        match site.resolve(&names) {
            Ok(_) => Ok(chosen),
            Err(fault) => Err(of_fault(fault, site)),
        }
    }

    /// Where recipes are looked up in these environments of a site.
    ///
    /// # Errors
    /// One of them cannot be activated.
    pub fn library_of(&self, site: &Site, environments: &[&str]) -> Result<Library, Error> {
        let directory = self.storage(site, environments, "zocalo.recipe_directory")?;
        Ok(Library::new(&self.common.recipe_dir, &self.settings, directory, Path::new("")))
    }

    /// A directory that these environments of a site name.
    ///
    /// # Errors
    /// One of them cannot be activated.
    pub fn storage(&self, site: &Site, environments: &[&str], name: &str) -> Result<Option<PathBuf>, Error> {
        library::storage(site, environments, name).map_err(|fault| of_fault(fault, site))
    }

    /// How to reach the broker of these environments. Says so when others can read the password.
    ///
    /// # Errors
    /// They name none, or what they say cannot be used.
    pub fn broker(&self, site: &Site, environments: &[&str]) -> Result<amqp::Options, Error> {
        let options = connection::of_site(site, environments)?;
        for path in connection::exposed(site, environments)? {
            let path = path.display();
            say(&format!("warning: everyone on this machine can read the password or the key in {path}"));
            say(&format!("  help: `chmod o-r {path}`"));
        }
        Ok(options)
    }

    /// Where runs are kept.
    ///
    /// # Errors
    /// Nothing says where, and there is no home directory.
    pub fn state_directory(&self) -> Result<PathBuf, Error> {
        if let Some(directory) = self.common.state.clone().or_else(|| self.settings.state_directory.clone()) {
            return Ok(directory);
        }
        use etcetera::BaseStrategy as _;
        let strategy = etcetera::choose_base_strategy().map_err(|error| {
            Error::new(format!("cannot tell where to keep runs: {error}")).hint("`--state DIR` names a directory")
        })?;
        let base = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
        Ok(base.join("zrecipe"))
    }

    /// How reports look on a stream.
    pub fn style(&self, terminal: bool) -> Style {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let colour = match self.common.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        };
        let width = match terminal_width() {
            Some(width) if terminal => width.clamp(40, 140),
            _ => 100,
        };
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        let ascii = matches!(locale.as_deref(), Some("C" | "POSIX")) && terminal;
        Style { colour, width, unicode: !ascii }
    }

    /// The contracts of the services.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn contracts(&self) -> Result<&Contracts, Error> {
        self.project.ready()?;
        Ok(self.usable_contracts().0)
    }

    /// The contract in a file.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn contract(&self, path: &Path) -> Result<Arc<Contract>, Error> {
        let contract = self.read_contract(path).map_err(|contract| {
            Error::new(&contract.why).hint(format!("`zrecipe check {}` shows all that is wrong", contract.name))
        });
        contract.map(Arc::new)
    }

    /// Checks a document as the project and the command line ask; see [`zrecipe_project::judge`].
    ///
    /// # Errors
    /// Something that the settings or the command line name cannot be used.
    pub fn judge(&self, source: Source, request: CheckOptions<'_>) -> Result<Compilation, Error> {
        self.project.ready()?;
        let reading = self.project.reading(Arc::new(source), request);
        Ok(self.project.judge_known(reading, request))
    }

    /// Reads and checks recipes given by path or name. With parameters, they are substituted.
    ///
    /// # Errors
    /// One of them cannot be read or is not a recipe, or as for [`Session::judge`].
    pub fn compile(&self, recipes: &[String], request: CheckOptions<'_>) -> Result<Vec<Compilation>, Error> {
        self.compile_in(&self.library()?, recipes, request)
    }

    /// As [`Session::compile`], with recipes looked up in another library.
    ///
    /// # Errors
    /// As for [`Session::compile`].
    pub fn compile_in(
        &self,
        library: &Library,
        recipes: &[String],
        request: CheckOptions<'_>,
    ) -> Result<Vec<Compilation>, Error> {
        let compile = |recipe: &String| -> Result<Compilation, Error> {
            let compilation = self.judge(library.open(recipe)?, request)?;
            match compilation.document.kind() {
                DocumentKind::Recipe => Ok(compilation),
                kind => {
                    let message =
                        format!("`{}` is not a recipe: its kind is {}", compilation.source.name(), kind.name());
                    Err(Error::new(message).hint("`[[files]]` in zrecipe.toml sets the kind of a file"))
                }
            }
        };
        recipes.iter().map(compile).collect()
    }

    /// Checks given parameters against those that recipes use; returns only documents with findings.
    ///
    /// # Errors
    /// A file of them cannot be read, or as for [`Session::judge`].
    pub fn compile_given(
        &self,
        given: &ParameterArgs,
        used: &Used,
        levels: Option<&Levels>,
    ) -> Result<Vec<Compilation>, Error> {
        if used.is_partial || used.recipes == 0 {
            return Ok(Vec::new());
        }
        let request = CheckOptions {
            kind: Some(DocumentKind::Parameters),
            used: Some(&used.names),
            levels,
            ..CheckOptions::default()
        };
        let judge = |source| self.project.judge(Arc::new(source), request);
        let compiled = given.sources()?.into_iter().map(judge);
        Ok(compiled.filter(|compilation| !compilation.diagnostics.is_empty()).collect())
    }

    /// Checks recipes that are to run with these parameters, and shows which of these none of them uses.
    ///
    /// # Errors
    /// As for [`Session::compile`].
    pub fn compile_for(
        &self,
        recipes: &[String],
        given: &ParameterArgs,
        request: CheckOptions<'_>,
    ) -> Result<Vec<Compilation>, Error> {
        let compiled = self.compile(recipes, request)?;
        let mut used = Used::default();
        compiled.iter().for_each(|compilation| used.add(compilation));
        self.explain(&self.compile_given(given, &used, request.levels)?);
        Ok(compiled)
    }

    /// The recipe that these are merged into when they run together.
    pub fn merged(&self, compiled: &[Compilation]) -> Compilation {
        let names: Vec<&str> = compiled.iter().map(|compilation| compilation.source.name()).collect();
        let merged = merge(compiled.iter().map(|compilation| compilation.recipe.to_value()));
        let source = Source::from_text(names.join(" + "), merged.to_json_pretty());
        compile::structure(Arc::new(source), Some(DocumentKind::Recipe))
    }

    /// Shows what there is to say about recipes on standard error.
    pub fn explain(&self, compiled: &[Compilation]) {
        self.explain_from(Level::Note, compiled);
    }

    /// Shows what there is to say at a level or above it.
    pub fn explain_from(&self, least: Level, compiled: &[Compilation]) {
        let kept: Vec<(&Compilation, Vec<_>)> = compiled
            .iter()
            .map(|compilation| {
                let shown = compilation.diagnostics.iter().filter(|found| found.level >= least);
                (compilation, shown.cloned().collect())
            })
            .collect();
        let reports = kept.iter().filter(|(_, diagnostics)| !diagnostics.is_empty());
        let reports: Vec<FileReport<'_>> =
            reports.map(|(compilation, diagnostics)| FileReport { diagnostics, ..file_report(compilation) }).collect();
        self.show(&reports);
    }

    /// Writes findings to standard error.
    fn show(&self, reports: &[FileReport<'_>]) {
        let Some(human) = report::format("human") else { return };
        let mut report = Report::new(human, self.style(io::stderr().is_terminal()));
        let text: String = reports.iter().map(|file| report.file(file)).collect();
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Shows the errors, and says how much else there is to say.
    pub fn explain_errors(&self, compiled: &[Compilation]) {
        self.explain_from(Level::Error, compiled);
        let mut summary = Summary::default();
        compiled.iter().for_each(|compilation| summary.add(&file_report(compilation)));
        if summary.warnings + summary.notes > 0 {
            say(&format!("{summary}; `zrecipe check` shows them"));
        }
    }

    /// Shows the findings, and stops when the dispatcher would refuse one of the recipes. A finding that refuses is
    /// shown even when its rule is allowed or suppressed.
    ///
    /// # Errors
    /// One of them would be refused.
    pub fn refuse(&self, compiled: &[Compilation]) -> Result<(), Error> {
        self.explain(compiled);
        let mut is_refused = false;
        for compilation in compiled.iter().filter(|compilation| compilation.is_refused()) {
            is_refused = true;
            let hidden: Vec<_> = compilation.silenced.iter().filter(|found| found.refused).cloned().collect();
            if !hidden.is_empty() && !compilation.diagnostics.iter().any(|found| found.refused) {
                self.show(&[FileReport { diagnostics: &hidden, dropped: 0, ..file_report(compilation) }]);
                say(
                    "note: the dispatcher refuses the recipe although the rule is allowed, suppressed or in the baseline",
                );
            }
        }
        if is_refused { Err(Error::findings()) } else { Ok(()) }
    }
}

/// Why an environment cannot be activated, and what there is.
fn of_fault(fault: Fault, site: &Site) -> Error {
    let error = Error::new(fault.to_string());
    match fault {
        Fault::NoEnvironment(_) => match site.environment_names() {
            none if none.is_empty() => error.hint("the configuration has no environments"),
            names => error.hint(format!("there are `{}`", names.join("`, `"))),
        },
        Fault::Circle(names) => error.hint(format!("`{}`", names.join("` → `"))),
        Fault::NoBlock { .. } => error.hint("`zrecipe check` says more"),
    }
}

/// The columns of the terminal, as the shell's COLUMNS or the terminal itself says.
fn terminal_width() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let (_, columns) = console_size();
    said.or(columns)
}

fn console_size() -> (Option<usize>, Option<usize>) {
    let size = rustix::termios::tcgetwinsize(io::stdout()).or_else(|_| rustix::termios::tcgetwinsize(io::stderr()));
    match size {
        Ok(size) => (Some(usize::from(size.ws_row)), Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)),
        Err(_) => (None, None),
    }
}

/// The difference of two versions of a file, without its secrets.
pub fn difference(name: &str, before: Arc<Source>, after: Arc<Source>, colour: bool) -> String {
    let shown = |source| secret::shown(&compile::structure(source, None).tree);
    unified(name, shown(before).text(), shown(after).text(), colour)
}

/// The difference of two values, without their secrets and without regard to the order of members.
pub fn difference_of_values(name: &str, before: &Value, after: &Value, colour: bool) -> String {
    let lines = |value: &Value| plain_lines(&secret::hidden("", sorted(value)).to_json_pretty()) + "\n";
    unified(name, &lines(before), &lines(after), colour)
}

/// A value with the members of objects in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut members: Vec<(String, Value)> =
                object.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// A compilation as a report takes it.
pub fn file_report(compilation: &Compilation) -> FileReport<'_> {
    FileReport {
        source: &compilation.shown,
        diagnostics: &compilation.diagnostics,
        dropped: compilation.dropped,
        is_recipe: compilation.document.kind() == DocumentKind::Recipe,
    }
}

impl ParameterArgs {
    /// The parameters with the recipe ID, if any are given.
    ///
    /// # Errors
    /// As for [`ParameterArgs::read`].
    pub fn given(&self) -> Result<Option<Object>, Error> {
        let given = !(self.params.is_empty() && self.param_json.is_empty() && self.param.is_empty());
        given.then(|| Ok(with_guid(self.read()?).0)).transpose()
    }

    /// The parameters, later ones before earlier ones: files, then `--param-json`, then `--param`.
    ///
    /// # Errors
    /// A file cannot be read, or something is not of the right form.
    pub fn read(&self) -> Result<Object, Error> {
        let mut parameters = Object::new();
        for path in &self.params {
            let source = parameter_file(path)?;
            match read_value(source.text().as_bytes()) {
                Ok(Value::Object(object)) => parameters.extend(object),
                Ok(other) => {
                    let message = format!("{} holds {}, not an object of parameters", path.display(), other.describe());
                    return Err(Error::new(message).hint("write `{\"name\": value}`"));
                }
                Err(reason) => {
                    return Err(Error::new(format!("{} is {reason}", path.display())).hint("write `{\"name\": value}`"));
                }
            }
        }
        parameters.extend(self.written()?);
        Ok(parameters)
    }

    /// The documents that they are given in: the files, and one with those of the command line.
    fn sources(&self) -> Result<Vec<Source>, Error> {
        let mut sources = self.params.iter().map(|path| parameter_file(path)).collect::<Result<Vec<_>, _>>()?;
        let written = self.written()?;
        if !written.is_empty() {
            sources.push(Source::from_text("<command line>", Value::Object(written).to_json_pretty()));
        }
        Ok(sources)
    }

    /// Those that are on the command line themselves.
    fn written(&self) -> Result<Object, Error> {
        let mut parameters = Object::new();
        for setting in &self.param_json {
            let (key, text) = split(setting, "--param-json key=JSON")?;
            let value = read_value(text.as_bytes()).map_err(|reason| {
                Error::new(format!("the value of `{key}` is {reason}"))
                    .hint("for a text use `--param`, or quote it twice")
            })?;
            parameters.insert(key.to_owned(), value);
        }
        for setting in &self.param {
            let (key, text) = split(setting, "--param key=value")?;
            parameters.insert(key.to_owned(), Value::from(text));
        }
        Ok(parameters)
    }
}

fn parameter_file(path: &Path) -> Result<Source, Error> {
    Ok(library::read(path, &path.to_string_lossy(), Source::MAX_BYTES)?)
}

/// The two sides of `key=value`; `form` is what should have been written.
///
/// # Errors
/// It is not of this form.
pub fn split<'s>(setting: &'s str, form: &str) -> Result<(&'s str, &'s str), Error> {
    match setting.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key, value)),
        _ => Err(Error::new(format!("`{setting}` is not of the form `key=value`")).hint(format!("write `{form}`"))),
    }
}

/// Adds the recipe ID, which is always defined, unless it is given.
pub fn with_guid(mut parameters: Object) -> (Object, String) {
    let given = parameters.get("guid").and_then(Value::as_str).filter(|guid| !guid.is_empty()).map(str::to_owned);
    let guid = given.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    if !parameters.get("guid").is_some_and(Value::is_truthy) {
        parameters.insert("guid".to_owned(), Value::from(guid.as_str()));
    }
    (parameters, guid)
}

pub mod broker;
pub mod changes;
pub mod confirm;
pub mod files;
pub mod follow;
pub mod letters;
pub mod logbook;
pub mod overview;
pub mod progress;
pub mod screen;
pub mod submit;
pub mod watch;

/// Declares the modules of `cli/commands/` and the subcommand of each.
macro_rules! commands {
    ($($module:ident $variant:ident),+ $(,)?) => {
        /// One command a file: `Args`, whose documentation is the help page, and `run`.
        pub mod commands {
            $(pub mod $module;)+

            /// The commands there are.
            #[derive(Debug, clap::Subcommand)]
            pub enum Command {
                $(#[allow(missing_docs, reason = "the help page is the documentation of `Args`")]
                $variant($module::Args),)+
            }

            /// Runs a command.
            pub(super) fn run(command: Command, session: &super::Session) -> Result<(), super::Error> {
                match command {
                    $(Command::$variant(args) => $module::run(&args, session),)+
                }
            }

            /// The names of the modules, in the order of the help page.
            pub const COMMANDS: &[&str] = &[$(stringify!($module)),+];
        }
    };
}

commands! {
    check Check,
    fmt Fmt,
    config Config,
    broker Broker,
    schema Schema,
    explain Explain,
    graph Graph,
    contract Contract,
    params Params,
    expand Expand,
    emit Emit,
    go Go,
    pickup Pickup,
    run Run,
    service Service,
    shutdown Shutdown,
    status Status,
    monitor Monitor,
    doctor Doctor,
    wrap Wrap,
    dlq Dlq,
    queues Queues,
    peek Peek,
    drain Drain,
    runs Runs,
    show Show,
    resume Resume,
    resubmit Resubmit,
    test Test,
    lsp Lsp,
}
