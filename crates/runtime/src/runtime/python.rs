//! Services, wrappers and filters that are Python classes and functions: the interpreter that runs them, and what its
//! packages register as entry points.
//!
//! The Python side is the module `zrecipe.bridge` of the package `zrecipe`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::ask;
use super::ending::Ending;
use super::why::Why;
use zrecipe_language::contract::{Invocation, PythonClass};
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::Value;
use zrecipe_project::settings::{self, Section, Settings};

/// Environment variable with the path of the interpreter.
pub const VARIABLE: &str = "ZRECIPE_PYTHON";

/// The Python side.
const BRIDGE: &str = "zrecipe.bridge";

/// How long the list of entry points may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How services, wrappers and filters that are Python classes are run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PythonSettings {
    /// The Python interpreter: a path, or a name that is looked up in PATH. Unless given, ZRECIPE_PYTHON, the active
    /// virtual environment, the one beside zrecipe, or `python3`.
    #[schemars(example = &"/opt/zocalo/bin/python")]
    pub interpreter: Option<String>,
}

impl Section for PythonSettings {
    const NAME: &'static str = "python";

    fn relative_to(&mut self, directory: &Path) {
        if let Some(program) = self.interpreter.as_mut().filter(|program| program.contains('/')) {
            *program = directory.join(program.trim_start_matches("./")).to_string_lossy().into_owned();
        }
    }
}

/// A Python interpreter, and the site for which it runs classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    program: String,
    /// Options of the bridge that name the site.
    site: Vec<String>,
}

/// A class or function that a Python package registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPoint {
    /// Group of the entry point.
    pub group: String,
    /// Name of the entry point.
    pub name: String,
    /// `package.module:Class`.
    pub path: String,
}

impl Interpreter {
    /// The interpreter that the settings name; else `ZRECIPE_PYTHON`, the active virtual environment, the one beside this
    /// program, or `python3`.
    ///
    /// # Errors
    /// The table of the settings cannot be used.
    pub fn of(settings: &Settings) -> Result<Self, settings::Error> {
        let named = settings.section::<PythonSettings>()?.interpreter;
        let named = named.or_else(|| std::env::var(VARIABLE).ok().filter(|path| !path.is_empty()));
        let in_directory = |directory: PathBuf| Some(directory.join("python")).filter(|python| python.is_file());
        let active = || in_directory(PathBuf::from(std::env::var_os("VIRTUAL_ENV")?).join("bin"));
        let beside = || in_directory(std::env::current_exe().ok()?.parent()?.to_owned());
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let program = named.or_else(|| active().or_else(beside).map(text)).unwrap_or_else(|| "python3".to_owned());
        Ok(Self { program: absolute(Path::new(""), program), site: Vec::new() })
    }

    /// Runs classes for these environments of a site.
    #[must_use]
    pub fn for_site(mut self, site: Option<&Path>, environments: &[String]) -> Self {
        self.site.clear();
        if let Some(path) = site.and_then(|path| std::path::absolute(path).ok()) {
            self.site.extend(["--site".to_owned(), path.to_string_lossy().into_owned()]);
        }
        self.site.extend(environments.iter().flat_map(|name| ["-e".to_owned(), name.clone()]));
        self
    }

    /// Path or name of the interpreter.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The command that does something with a class: `service`, `wrap`, `filter`, `ready`.
    pub fn command(&self, job: &str, name: &str) -> Vec<String> {
        let start = [self.program.as_str(), "-m", BRIDGE, job, name].map(str::to_owned);
        start.into_iter().chain(self.site.iter().cloned()).collect()
    }

    /// The command of a service; nothing for one that is a program of its own.
    pub fn service(&self, invocation: &Invocation) -> Option<Vec<String>> {
        let class = invocation.python.as_ref()?;
        let own = invocation
            .interpreter
            .as_ref()
            .map(|program| Self { program: absolute(&invocation.directory, program.clone()), site: self.site.clone() });
        Some(own.as_ref().unwrap_or(self).command("service", class.as_str()))
    }

    /// What the packages of the interpreter register.
    ///
    /// # Errors
    /// There is no such interpreter, or it does not have the package `zrecipe`.
    pub async fn entry_points(&self) -> Result<Vec<EntryPoint>, Why> {
        let command = [self.program.as_str(), "-m", BRIDGE, "list"].map(str::to_owned);
        let answer = ask(&command, "", None, LIMIT).await.map_err(|error| self.missing(&error.to_string()))?;
        if !matches!(answer.ending, Ending::Exited(0)) {
            return Err(self.explain(&answer.complaint));
        }
        let listed = read_value(&answer.output).ok();
        let listed = listed.as_ref().and_then(Value::as_array).ok_or_else(|| {
            Why::new(format!("the Python interpreter `{}` does not list its entry points", self.program))
        })?;
        let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        let entry = |entry| {
            Some(EntryPoint { group: text(entry, "group")?, name: text(entry, "name")?, path: text(entry, "path")? })
        };
        Ok(listed.iter().filter_map(entry).collect())
    }

    /// Why a class cannot be run, by the last line that Python has written.
    pub fn explain(&self, complaint: &str) -> Why {
        let program = &self.program;
        match missing_module(complaint) {
            Some(module) if module == "zrecipe" || module.starts_with("zrecipe.") => {
                Why::new(format!("the Python interpreter `{program}` does not have the package `zrecipe`"))
                    .hint(format!("install it with `{program} -m pip install zrecipe`"))
            }
            Some(module) => {
                let package = module.split('.').next().unwrap_or(module);
                Why::new(format!("the Python interpreter `{program}` does not have the module `{module}`"))
                    .hint(format!("install it with `{program} -m pip install {package}`, if the package has that name"))
            }
            None if complaint.is_empty() => Why::new(format!("the Python interpreter `{program}` failed")),
            None => Why::new(format!("the Python interpreter `{program}` failed: {complaint}")),
        }
    }

    fn missing(&self, reason: &str) -> Why {
        Why::new(format!("the Python interpreter `{}` cannot be started: {reason}", self.program))
            .hint(format!("set `interpreter` in `[python]` of zrecipe.toml, or {VARIABLE}"))
            .hint("install the required package: `python3 -m pip install zrecipe`")
    }
}

/// The module that Python does not have, by the last line that it has written.
pub fn missing_module(complaint: &str) -> Option<&str> {
    let (_, module) = complaint.split_once("No module named ")?;
    let is_name = |character: char| character.is_alphanumeric() || matches!(character, '_' | '.');
    let module = module.trim_start_matches(['\'', '"']);
    Some(module.split(|character| !is_name(character)).next()?.trim_end_matches('.'))
}

/// A program with a slash is a path, which is relative to a directory; another one is for `PATH`.
fn absolute(directory: &Path, program: String) -> String {
    if !program.contains('/') {
        return program;
    }
    let path = directory.join(&program);
    std::path::absolute(path).map_or(program, |path| path.to_string_lossy().into_owned())
}

impl EntryPoint {
    /// Whether it is a service.
    pub fn is_service(&self) -> bool {
        matches!(self.group.as_str(), "zocalo.services" | "workflows.services")
    }

    /// Whether it is a wrapper.
    pub fn is_wrapper(&self) -> bool {
        self.group == "zocalo.wrappers"
    }

    /// What runs it as a service, by a contract.
    pub fn class(&self) -> PythonClass {
        PythonClass::EntryPoint(self.name.clone())
    }
}
