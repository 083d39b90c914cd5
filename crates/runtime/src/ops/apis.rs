//! The management APIs, by the plugin of a site that says where one is.

use std::time::SystemTime;

use async_trait::async_trait;

use crate::http::escape;
use crate::ops::checkup::{self, Finding, Needs};
use crate::ops::jolokia::Jolokia;
use crate::ops::management::{Error, Management, Queue};
use zrecipe_language::site::Plugins;
use zrecipe_language::value::{Object, Value};

/// Who examines a broker, and what for.
pub struct Subject<'s> {
    /// The user that services log in as.
    pub user: Option<&'s str>,
    /// Queues that are needed.
    pub needs: &'s Needs,
    /// How a user gets permissions.
    pub grant: &'s str,
}

/// A management API.
#[async_trait]
pub trait Api: Send + Sync {
    /// Where it is.
    fn place(&self) -> String;

    /// The namespace that it is about; nothing for all.
    fn namespace(&self) -> Option<&str>;

    /// All queues, by the broker's own names.
    ///
    /// # Errors
    /// There is no answer.
    async fn queues(&self) -> Result<Vec<Queue>, Error>;

    /// What is wrong with the broker, apart from its queues.
    ///
    /// # Errors
    /// There is no answer.
    async fn examine(&self, subject: &Subject<'_>) -> Result<Vec<Finding>, Error>;

    /// Removes queues, by the broker's own names, that are empty and that nobody uses, where the API can do that.
    async fn remove_empty(&self, _names: &[String]) {}
}

/// An API that a plugin names, if the site has the plugin. The namespace is that of the transport.
type Opened = Result<Option<Box<dyn Api>>, Error>;

/// Plugins, a block of each as an example, and how their API is opened.
#[allow(clippy::type_complexity, reason = "one list")]
static APIS: &[(&str, &str, fn(&Plugins<'_>, &str) -> Opened)] = &[
    (
        "jmx",
        "{plugin: jmx, host: HOST, port: 8161, base_url: api/jolokia, username: …, password: …}",
        |plugins, _| Ok(Jolokia::of_site(plugins)?.map(|api| Box::new(api) as Box<dyn Api>)),
    ),
    (
        "rabbitmqapi",
        "{plugin: rabbitmqapi, base_url: http://HOST:15672/api, username: …, password: …}",
        |plugins, vhost| Ok(Management::of_site(plugins, vhost)?.map(|api| Box::new(api) as Box<dyn Api>)),
    ),
];

/// The API that a plugin of a site names; nothing if the site has no block of it.
///
/// # Errors
/// What the site says is no address.
pub fn open(plugin: &str, plugins: &Plugins<'_>, namespace: &str) -> Opened {
    match APIS.iter().find(|(name, ..)| *name == plugin) {
        Some((_, _, open)) => open(plugins, namespace),
        None => Ok(None),
    }
}

/// A block of a plugin, as an example.
pub fn example(plugin: &str) -> &'static str {
    APIS.iter().find(|(name, ..)| *name == plugin).map_or("", |(_, example, _)| example)
}

#[async_trait]
impl Api for Jolokia {
    fn place(&self) -> String {
        self.place()
    }

    fn namespace(&self) -> Option<&str> {
        None
    }

    async fn queues(&self) -> Result<Vec<Queue>, Error> {
        self.queues().await
    }

    async fn examine(&self, _subject: &Subject<'_>) -> Result<Vec<Finding>, Error> {
        self.examine().await
    }

    async fn remove_empty(&self, names: &[String]) {
        self.remove_empty(names).await;
    }
}

#[async_trait]
impl Api for Management {
    fn place(&self) -> String {
        self.place()
    }

    fn namespace(&self) -> Option<&str> {
        Some(self.vhost())
    }

    async fn queues(&self) -> Result<Vec<Queue>, Error> {
        self.queues().await
    }

    async fn examine(&self, subject: &Subject<'_>) -> Result<Vec<Finding>, Error> {
        let overview = self.look("overview").await?;
        let mut found = vec![checkup::version(&overview.content)];
        found.extend(checkup::clock(overview.date.as_deref(), SystemTime::now()));
        found.extend(checkup::nodes(&self.get("nodes").await?));
        let vhost = escape(self.vhost());
        found.extend(checkup::exchanges(&self.get(&format!("exchanges/{vhost}")).await?));
        let Some(user) = subject.user else { return Ok(found) };
        match self.get(&format!("permissions/{vhost}/{}", escape(user))).await {
            Ok(rights) => found.extend(checkup::permissions(&rights, user, subject.needs, subject.grant)),
            Err(error) if error.is_missing() => {
                let nothing = Value::Object(Object::new());
                found.extend(checkup::permissions(&nothing, user, &Needs::new(), subject.grant));
            }
            // Only administrators see the rights of others; what the user can do is tried then.
            Err(error) if error.is_forbidden() => {}
            Err(error) => return Err(error),
        }
        Ok(found)
    }
}
