//! Which broker a command works with: that of a site's environment, or the embedded one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::{Error, Session};
use crate::library::{self, Library};
use crate::ops::management::{Management, Queue};
use crate::runtime::run::DATABASE;
use crate::site::{Plugins, Site};
use crate::transport::amqp::{self, Amqp};
use crate::transport::embedded::{self, Broker};
use crate::transport::{self, Transport};

/// The namespace of the embedded broker that stands for a facility's broker.
const NAMESPACE: &str = "zocalo";

/// The environment that a command works in.
#[derive(Debug, Default, clap::Args)]
pub struct EnvironmentArgs {
    /// The environment of the site (repeatable); without it ZOCALO_DEFAULT_ENV or `default`.
    #[arg(short = 'e', long = "environment", value_name = "ENV")]
    pub environments: Vec<String>,
}

/// Where a command works.
pub struct Environment {
    site: Option<Site>,
    names: Vec<String>,
    place: Place,
}

enum Place {
    Amqp(Box<amqp::Options>),
    Embedded(PathBuf),
}

impl EnvironmentArgs {
    /// What they mean: an environment of the site that is named, or, where none is, the embedded broker.
    ///
    /// # Errors
    /// The site cannot be used, or does not say how to reach its broker.
    pub fn read(&self, session: &Session) -> Result<Environment, Error> {
        if session.site_path().is_none() && self.environments.is_empty() {
            let place = Place::Embedded(session.state_directory()?);
            return Ok(Environment { site: None, names: Vec::new(), place });
        }
        let site = session.site()?;
        let names = session.environments(&self.environments, &site)?;
        let options = session.broker(&site, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(Environment { site: Some(site), names, place: Place::Amqp(Box::new(options)) })
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

    /// Where recipes are looked up in it.
    pub fn library(&self, session: &Session) -> Library {
        let directory = self.storage("zocalo.recipe_directory");
        Library::with(&session.common.recipe_dir, &session.settings, directory, Path::new(""))
    }

    /// Connects. `who` is what the broker's tools show; `queues` are those that the embedded broker must have.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn connect(&self, who: &str, queues: &[String]) -> Result<Arc<dyn Transport>, Error> {
        match &self.place {
            Place::Amqp(options) => {
                let mut options = options.clone();
                options.name = format!("zrecipe {who}");
                Ok(Arc::new(Amqp::connect(*options).await?))
            }
            Place::Embedded(directory) => {
                let unavailable = |error: std::io::Error| transport::Error::Unavailable {
                    place: directory.display().to_string(),
                    reason: error.to_string(),
                };
                std::fs::create_dir_all(directory).map_err(unavailable)?;
                let broker = Broker::open(&directory.join(DATABASE), embedded::Options::default()).await?;
                let space = broker.namespace(NAMESPACE);
                for queue in queues {
                    space.declare(queue).await?;
                }
                Ok(Arc::new(space))
            }
        }
    }

    /// The queues that the broker has.
    ///
    /// # Errors
    /// The site does not say where the management API is, or it does not answer.
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        let Place::Embedded(directory) = &self.place else {
            let management = Management::of_site(&self.plugins()).map_err(|error| Error::new(error.to_string()))?;
            let management = management.ok_or_else(|| {
                Error::new("the environment does not say where RabbitMQ's management API is")
                    .hint("name the queues, or add a block of plugin `rabbitmqapi` to the environment")
            })?;
            return management.queues().await.map_err(|error| Error::new(error.to_string()));
        };
        let broker = Broker::open(&directory.join(DATABASE), embedded::Options::default()).await?;
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for message in broker.namespace(NAMESPACE).messages(None).await? {
            *counts.entry(message.queue).or_default() += 1;
        }
        broker.close().await?;
        Ok(counts.into_iter().map(|(name, messages)| Queue { name, messages, consumers: 0 }).collect())
    }

    /// The broker, for people.
    pub fn place(&self) -> String {
        match &self.place {
            Place::Amqp(options) => options.place(),
            Place::Embedded(directory) => format!("the embedded broker in {}", directory.display()),
        }
    }
}
