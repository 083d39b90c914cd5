//! Which broker a command works with: that of a site's environment, or the embedded one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::cli::error::Error;
use crate::cli::outages::Outages;
use crate::cli::session::Session;
use crate::cli::terminal::{say, say_error};
use crate::cli::transport::TransportArgs;
use zrecipe_broker::books::Clerk;
use zrecipe_broker::transport::{self, Capabilities, Endpoint, Transport};
use zrecipe_language::site::{Plugins, Site};
use zrecipe_language::source::Source;
use zrecipe_language::syntax::yaml;
use zrecipe_project::library::{self, Library};
use zrecipe_runtime::books;
use zrecipe_runtime::connection;
use zrecipe_runtime::runtime::journal::Journal;
use zrecipe_runtime::runtime::run::{RUN_VARIABLE, Runs, namespace};

mod accounts;
pub mod queues;
pub mod runs;

/// The environment that a command works in.
#[derive(Debug, Default, clap::Args)]
pub struct EnvironmentArgs {
    /// Environment of the site (repeatable); defaults to ZOCALO_DEFAULT_ENV, then `default`.
    #[arg(short = 'e', long = "environment", value_name = "ENV")]
    environments: Vec<String>,
    #[command(flatten)]
    transport: TransportArgs,
}

/// Where a command works.
pub struct Environment {
    site: Option<Site>,
    names: Vec<String>,
    endpoint: Arc<dyn Endpoint>,
    /// Who keeps books, where any are kept.
    clerk: Option<Arc<dyn Clerk>>,
}

impl EnvironmentArgs {
    /// Environments by name.
    pub fn named(environments: &[String]) -> Self {
        Self { environments: environments.to_vec(), transport: TransportArgs::default() }
    }

    /// Whether nothing says which environment or broker is meant.
    pub fn is_empty(&self) -> bool {
        self.environments.is_empty() && !self.transport.is_given()
    }

    /// The site configuration with what the command line says of the broker, and the names of the environments that are
    /// meant. Where the command line names the broker, no site configuration is needed.
    ///
    /// # Errors
    /// There is no site configuration or no such environment, or an option cannot be used.
    pub fn site(&self, session: &Session) -> Result<(Site, Vec<String>), Error> {
        let transport = match session.site_path() {
            Some(_) => self.transport.clone(),
            None => self.transport.without_site(),
        };
        let site = match session.site_path() {
            None if transport.is_given() => {
                let empty = Source::from_text("the command line", "version: 1\n");
                Site::new(Arc::new(yaml::parse(Arc::new(empty))))
            }
            _ => session.site()?,
        };
        let has_default = session.site_path().is_some() && library::environment(&site).is_some();
        let is_unneeded = self.environments.is_empty() && !has_default && transport.is_given();
        let names = if is_unneeded { Vec::new() } else { session.environments(&self.environments, &site)? };
        Ok((site.with_given(transport.given()?), names))
    }

    /// The same in another namespace of the broker, if one is given.
    #[must_use]
    pub fn in_namespace(&self, namespace: Option<&str>) -> Self {
        Self { environments: self.environments.clone(), transport: self.transport.in_namespace(namespace) }
    }

    /// What they mean: an environment of the site that is named, or, where none is, the embedded broker.
    ///
    /// # Errors
    /// The site cannot be used, or does not say how to reach its broker.
    pub fn read(&self, session: &Session) -> Result<Environment, Error> {
        // Programs of a run on this machine talk to its services.
        let run = std::env::var(RUN_VARIABLE).ok().filter(|id| !id.is_empty() && self.is_empty());
        if let Some(id) = run {
            return embedded(session, Some(&namespace(&id)));
        }
        let is_embedded = self.environments.is_empty() && !self.transport.without_site().is_given();
        if session.site_path().is_none() && is_embedded {
            return embedded(session, None);
        }
        let (site, names) = self.site(session)?;
        let endpoint = session.broker(&site, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let clerk = session.clerk()?;
        let (endpoint, clerk) = match endpoint.with_clerk(Arc::clone(&clerk)) {
            Some(endpoint) => (endpoint, Some(clerk)),
            None => (endpoint, None),
        };
        Ok(Environment { site: Some(site), names, endpoint, clerk })
    }
}

/// The embedded broker of this machine, or a namespace of it.
fn embedded(session: &Session, namespace: Option<&str>) -> Result<Environment, Error> {
    let endpoint = transport::of_directory(&session.state_directory()?, namespace).map_err(connection::Error::from)?;
    Ok(Environment { site: None, names: Vec::new(), endpoint, clerk: None })
}

impl Session {
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
            Error::new(format!("cannot determine the state directory: {error}"))
                .hint("name a directory with `--state DIR`")
        })?;
        let base = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
        Ok(base.join("zrecipe"))
    }

    /// The broker of these environments. Says so when others can read the password.
    ///
    /// # Errors
    /// They name none, or what they say cannot be used.
    pub fn broker(&self, site: &Site, environments: &[&str]) -> Result<Arc<dyn Endpoint>, Error> {
        let endpoint = connection::of_site(site, environments)?;
        for path in connection::exposed(site, environments)? {
            let path = path.display();
            say(&format!("warning: all users of this machine can read the password or key in {path}"));
            say_error(&format!("  help: `chmod o-r {path}`"));
        }
        Ok(endpoint)
    }

    /// Who keeps the books of this machine's services.
    ///
    /// # Errors
    /// The state directory cannot be told.
    fn clerk(&self) -> Result<Arc<dyn Clerk>, Error> {
        Ok(books::open(&self.state_directory()?.join(books::DIRECTORY)))
    }
}

impl Environment {
    /// The settings that hold in it.
    pub fn plugins(&self) -> Plugins<'_> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        // It has been resolved before.
        self.site.as_ref().and_then(|site| site.resolve(&names).ok()).unwrap_or_default()
    }

    /// A setting of the plugin `storage`: a path.
    pub fn storage(&self, name: &str) -> Option<PathBuf> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        self.site.as_ref().and_then(|site| library::storage(site, &names, name).ok()).flatten()
    }

    /// The variables that lead a program of ours here, wherever it runs.
    ///
    /// # Errors
    /// The state directory or the working directory cannot be told.
    pub fn variables(&self, session: &Session) -> Result<Vec<(&'static str, String)>, Error> {
        let text = |path: &Path| Ok::<_, Error>(std::path::absolute(path)?.to_string_lossy().into_owned());
        let mut variables = vec![("ZRECIPE_STATE", text(&session.state_directory()?)?)];
        if let Some(site) = session.site_path() {
            variables.push(("ZOCALO_CONFIG", text(site)?));
        }
        // Several cannot be said in a variable.
        if let [name] = self.names.as_slice() {
            variables.push(("ZOCALO_DEFAULT_ENV", name.clone()));
        }
        Ok(variables)
    }

    /// The site configuration; none for the embedded broker.
    pub fn site(&self) -> Option<&Site> {
        self.site.as_ref()
    }

    /// The names of the site environments.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Where recipes are looked up in it.
    pub fn library(&self, session: &Session) -> Library {
        let directory = self.storage("zocalo.recipe_directory");
        Library::new(&session.common.recipe_dir, &session.settings, directory, Path::new(""))
    }

    /// Connects. `who` is what the broker's tools show; `queues` are those that a broker must have that creates queues by
    /// use.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn connect(&self, who: &str, queues: &[String]) -> Result<Arc<dyn Transport>, Error> {
        let transport = self.endpoint.connect(who).await?;
        transport.prepare(queues).await?;
        Ok(transport)
    }

    /// Connects to read queues; says so where nothing can be written.
    async fn connect_to_read(&self, who: &str) -> Result<Arc<dyn Transport>, Error> {
        let (transport, why) = self.endpoint.connect_to_read(who).await?;
        if let Some(why) = why {
            say_only_read(&why.to_string());
        }
        Ok(transport)
    }

    /// The journal of services that work here.
    ///
    /// # Errors
    /// The state directory cannot be told.
    pub fn journal(&self, session: &Session) -> Result<Journal, Error> {
        Ok(Journal::new(session.state_directory()?.join("journal")).of_embedded(self.directory().is_some()))
    }

    /// Removes what a crash has left in the journal of messages that are not there any more; how many entries.
    ///
    /// # Errors
    /// The broker of this machine cannot be read.
    pub async fn tidy(&self, journal: &Journal) -> Result<usize, Error> {
        match self.directory() {
            Some(directory) => {
                let runs = Runs::open(directory).await?;
                let count = runs.tidy().await?;
                runs.close().await?;
                Ok(count)
            }
            // Which messages it has nobody can be asked for; only what is very old is removed.
            None => Ok(journal.leftovers().unwrap_or_default().remove_old()),
        }
    }

    /// Works with the broker, and leaves it in order however that ends: what was settled last is settled.
    ///
    /// # Errors
    /// The broker cannot be reached, or the work failed.
    pub async fn with_broker<T>(
        &self,
        who: &str,
        work: impl AsyncFnOnce(&dyn Transport) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let transport = self.connect(who, &[]).await?;
        let outages = Outages::of(&*transport);
        let done = work(&*transport).await;
        drop(outages);
        let closed = transport.close().await;
        let done = done?;
        closed?;
        Ok(done)
    }

    /// Why the broker takes no messages at this moment, if that is so. Asks by a connection of its own: the broker reads
    /// nothing more from one that it has blocked, not even that messages go back.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn obstacle(&self) -> Result<Option<String>, Error> {
        if !self.capabilities().blocks {
            return Ok(None);
        }
        let transport = self.connect("alarms", &[]).await?;
        let tried = transport.try_send(Duration::ZERO).await;
        // It does not hear that we leave, either.
        let _ = timeout(Duration::from_millis(100), transport.close()).await;
        Ok(match tried {
            Err(transport::Error::Blocked(reason)) => Some(reason),
            _ => None,
        })
    }

    /// Says which queues services of this process serve, where books are kept.
    pub fn enter_served<'q>(&self, queues: impl IntoIterator<Item = &'q String>) {
        if let Some(clerk) = &self.clerk {
            queues.into_iter().for_each(|queue| clerk.served(queue));
        }
    }

    /// Where the broker is.
    pub fn endpoint(&self) -> &Arc<dyn Endpoint> {
        &self.endpoint
    }

    /// What brokers of this kind can do.
    pub fn capabilities(&self) -> Capabilities {
        self.endpoint.entry().capabilities
    }

    /// The state directory of a broker of this machine.
    pub fn directory(&self) -> Option<&Path> {
        self.endpoint.directory()
    }

    /// The broker, for people.
    pub fn place(&self) -> String {
        self.endpoint.place()
    }
}

/// Says that a state directory is only read.
pub fn say_only_read(reason: &str) {
    say(&format!("note: read-only, because the state directory is not writable: {reason}"));
}
