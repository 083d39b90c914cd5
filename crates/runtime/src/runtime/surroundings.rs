//! What services and schedulers are made from: the site, the settings and the directories of this process.

use std::path::PathBuf;

use super::journal::Journal;
use super::process::Running;
use super::python::Interpreter;
use super::roots::Roots;
use super::why::Why;
use zrecipe_language::site::Plugins;
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

    /// A path of plugin `storage`.
    pub fn storage(&self, name: &str) -> Option<PathBuf> {
        let (_, settings) = self.plugins.iter().find(|(plugin, _)| plugin == "storage")?;
        let path = settings.iter().find(|setting| setting.name == name)?.node.text();
        Some(PathBuf::from(&*path)).filter(|path| !path.as_os_str().is_empty())
    }
}
