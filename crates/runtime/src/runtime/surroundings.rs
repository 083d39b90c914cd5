//! What services and schedulers are made from: the site, the settings and the directories of this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::journal::Journal;
use super::process::Running;
use super::python::Interpreter;
use super::roots::Roots;
use super::why::Why;
use crate::connection;
use zrecipe_broker::transport::{self, Endpoint};
use zrecipe_language::site::{Plugins, Site};
use zrecipe_project::library::Library;
use zrecipe_project::settings::Settings;

/// Where a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In the foreground, for one run on this machine: programs inherit the environment of the user.
    Run,
    /// As a service, for everyone who sends messages: programs get the environment of a login.
    Site,
}

/// Everything that the constructor of a built-in service or scheduler may use.
pub struct Surroundings<'s> {
    /// For whom services work.
    pub scope: Scope,
    /// Plugin blocks of the site environment; empty without a site.
    pub plugins: Plugins<'s>,
    /// Site configuration; none without a site.
    pub site: Option<&'s Site>,
    /// Names of the site environments that this process works in; empty without a site.
    pub environments: &'s [String],
    /// Settings of the project.
    pub settings: &'s Settings,
    /// The interpreter of what is written in Python.
    pub python: Interpreter,
    /// Recipes by name.
    pub library: Library,
    /// Outcomes of messages that are under way.
    pub journal: Journal,
    /// State directory.
    pub state: PathBuf,
    /// Directory that relative paths of messages start from.
    pub directory: PathBuf,
    /// Maximum number of programs at a time.
    pub places: usize,
    /// Variables that lead a program of ours to the same site and state.
    pub variables: Vec<(&'static str, String)>,
}

impl Surroundings<'_> {
    /// Directories that messages may name.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn roots(&self) -> Result<Roots, Why> {
        Ok(Roots::new(self.settings.section::<Running>()?.roots))
    }

    /// The broker of a site environment; without a name, the broker that this process works with.
    ///
    /// # Errors
    /// The environment is unknown or names no broker, or its settings cannot be used.
    pub fn broker(&self, environment: Option<&str>) -> Result<Arc<dyn Endpoint>, Why> {
        let Some(site) = self.site else {
            return match environment {
                None => Self::embedded(&self.state),
                Some(name) => Err(Why::new(format!("there is no site configuration with environment `{name}`"))
                    .hint("set `ZOCALO_CONFIG` to the site configuration")),
            };
        };
        let names: Vec<&str> = match environment {
            Some(name) => vec![name],
            None => self.environments.iter().map(String::as_str).collect(),
        };
        connection::of_site(site, &names).map_err(|error| Why::new(error.to_string()))
    }

    /// The embedded broker in a state directory.
    ///
    /// # Errors
    /// The directory cannot be addressed.
    pub fn embedded(directory: &Path) -> Result<Arc<dyn Endpoint>, Why> {
        transport::of_directory(directory, None).map_err(|error| Why::new(error.to_string()))
    }

    /// A path of plugin `storage`.
    pub fn storage(&self, name: &str) -> Option<PathBuf> {
        let (_, settings) = self.plugins.iter().find(|(plugin, _)| plugin == "storage")?;
        let path = settings.iter().find(|setting| setting.name == name)?.node.text();
        Some(PathBuf::from(&*path)).filter(|path| !path.as_os_str().is_empty())
    }
}
