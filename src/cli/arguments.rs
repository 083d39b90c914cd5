//! Options that several commands have.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ColorChoice};

use super::error::Error;
use super::files::whereabouts;
use zrecipe_language::diagnostic::Level;
use zrecipe_language::lint::{Choice, Levels};
use zrecipe_language::source::Source;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::library;
use zrecipe_project::project::Given;
use zrecipe_project::regular;
use zrecipe_project::settings::Settings;

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Common {
    /// Search this directory first when looking up recipes by name (repeatable).
    #[arg(long, value_name = "DIR", global = true)]
    pub recipe_dir: Vec<PathBuf>,
    /// Check recipes against this site configuration.
    #[arg(long, value_name = "FILE", global = true, env = "ZOCALO_CONFIG")]
    pub site: Option<PathBuf>,
    /// Check recipes against this broker configuration (repeatable).
    #[arg(long, value_name = "FILE", global = true)]
    pub broker: Vec<PathBuf>,
    /// Directory for runs and the embedded broker.
    #[arg(long, value_name = "DIR", global = true, env = "ZRECIPE_STATE")]
    pub state: Option<PathBuf>,
    /// When to use colour; `auto` uses colour on a terminal, unless NO_COLOR is set.
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub color: ColorChoice,
    /// Print only results and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print details such as skipped files and requests; services log more (repeatable).
    #[arg(short, long, action = clap::ArgAction::Count, conflicts_with = "quiet", global = true)]
    pub verbose: u8,
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
    pub(super) fn exist(&self) -> Result<(), Error> {
        let find = |option: &str, path: &Path| {
            let found = regular::metadata(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                _ => error.to_string(),
            });
            found.map_err(|reason| {
                let error = Error::new(format!("`{option} {}`: {reason}", path.display()));
                match whereabouts(path) {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            })
        };
        for pattern in &self.broker {
            match library::matching(pattern)?.first() {
                Some(path) => _ = find("--broker", path)?,
                None => {
                    return Err(Error::new(format!("`--broker {}`: no file matches", pattern.display()))
                        .hint("name a file, or a pattern such as `rabbitmq/*.yml`"));
                }
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

/// What to make of rules.
#[derive(Debug, Args)]
pub struct LevelArgs {
    /// Hide the findings of a rule (repeatable); `all`, `notes`, `warnings` and `errors` select groups of rules.
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,
    /// Report the findings of a rule as warnings (repeatable).
    #[arg(long, value_name = "RULE")]
    warn: Vec<String>,
    /// Report the findings of a rule as errors, which fail the command (repeatable), for example `--deny warnings`.
    #[arg(long, value_name = "RULE")]
    deny: Vec<String>,
}

impl LevelArgs {
    /// The decisions; a more severe one comes before a milder one.
    ///
    /// # Errors
    /// There is no such rule.
    pub fn read(&self, settings: &Settings) -> Result<Levels, Error> {
        let mut levels = Levels::default();
        let own: Vec<&'static str> = settings.all_site_rules().map(|rule| rule.name).collect();
        let choices = [
            (&self.allow, Choice::Allow),
            (&self.warn, Choice::At(Level::Warning)),
            (&self.deny, Choice::At(Level::Error)),
        ];
        for (names, choice) in choices {
            for name in names {
                let decided = levels.decide_among(name, choice, &own);
                decided.map_err(|problem| Error::new(problem).hint("`zrecipe explain` lists all rules"))?;
            }
        }
        Ok(levels)
    }
}

/// The parameters to put into recipes.
#[derive(Debug, Args)]
pub struct ParameterArgs {
    /// Set a parameter to a text value, like Zocalo's `-s` (repeatable).
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// Set a parameter to a JSON value (repeatable).
    #[arg(long, value_name = "KEY=JSON")]
    param_json: Vec<String>,
    /// Read parameters from a file that contains a JSON object (repeatable).
    #[arg(long, value_name = "FILE")]
    pub params: Vec<PathBuf>,
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
                    let message =
                        format!("{} contains {}, not an object of parameters", path.display(), other.describe());
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
    pub(super) fn sources(&self) -> Result<Vec<Source>, Error> {
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
                    .hint("for a text value, use `--param`, or add JSON quotes inside the shell quotes")
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
