//! What a command works with: the project of the working directory, and the options of every command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::Common;
use super::error::{Error, of_fault};
use super::terminal;
use zrecipe_language::contract::{Contract, Contracts};
use zrecipe_language::report::Style;
use zrecipe_language::site::{Fault, Site};
use zrecipe_project::library::{self, Library};
use zrecipe_project::project::Project;

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
            let shown = error.help().into_iter().fold(Error::new(error.to_string()), Error::hint);
            let hint = format!("run `zrecipe check {}` to see all errors", error.path().display());
            Err((shown.hint(hint), error.path()))
        })
    }

    /// The site configuration that is named, which a command cannot do without.
    ///
    /// # Errors
    /// None is named, or it cannot be used.
    pub fn site(&self) -> Result<Site, Error> {
        let path = self.site_path().ok_or_else(|| {
            Error::new("no site configuration is given").hint("name one with `--site FILE` or ZOCALO_CONFIG")
        })?;
        Ok(library::site(path, self.settings.max_bytes())?)
    }

    /// The environments of a site that are meant: the given ones, or the one that holds when none is chosen.
    ///
    /// # Errors
    /// None is chosen, and there are others than `default`; or one of them cannot be activated.
    pub fn environments(&self, given: &[String], site: &Site) -> Result<Vec<String>, Error> {
        let chosen = match library::environment(site) {
            _ if !given.is_empty() => given.to_vec(),
            Some(environment) => vec![environment],
            // A configuration without environments means the defaults of the plugins.
            None if site.environment_names().is_empty() && site.is_complete() => Vec::new(),
            None => {
                let fault = Fault::NoEnvironment("default".to_owned());
                return Err(of_fault(fault, site).hint("choose one with `-e ENV`"));
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
            Error::new(&contract.why).hint(format!("run `zrecipe check {}` to see all errors", contract.name))
        });
        contract.map(Arc::new)
    }

    /// How reports look on a stream.
    pub fn style(&self, terminal: bool) -> Style {
        terminal::style(self.common.color, terminal)
    }
}
