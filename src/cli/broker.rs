//! Which broker a command works with: that of a site's environment, or the embedded one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use crate::cli::progress::{Outages, timestamp};
use crate::cli::{Error, Session, say};
use zrecipe_broker::transport::amqp::{self, Amqp};
use zrecipe_broker::transport::embedded::{Broker, Embedded, Options, QueueInfo, Stored};
use zrecipe_broker::transport::{self, Transport};
use zrecipe_language::lint::nearest;
use zrecipe_language::site::{Plugins, Site};
use zrecipe_project::library::{self, Library};
use zrecipe_project::regular;
use zrecipe_runtime::ops::logbook;
use zrecipe_runtime::ops::management::{self, Management, Queue};
use zrecipe_runtime::runtime::LOGBOOK;
use zrecipe_runtime::runtime::journal::Journal;
use zrecipe_runtime::runtime::run::{DATABASE, Listed, Runs, tidy};

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

/// A run, as far as the broker or the logbook knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The recipe ID.
    pub id: String,
    /// `dispatched` where nobody knows more.
    pub state: &'static str,
    /// What was asked for.
    pub title: String,
    /// When it began.
    pub begun: SystemTime,
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

    /// Where recipes are looked up in it.
    pub fn library(&self, session: &Session) -> Library {
        let directory = self.storage("zocalo.recipe_directory");
        Library::new(&session.common.recipe_dir, &session.settings, directory, Path::new(""))
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
                let (_, space) = embedded(directory).await?;
                for queue in queues {
                    space.declare(queue).await?;
                }
                Ok(Arc::new(space))
            }
        }
    }

    /// The embedded broker, to look at it; nothing for another one.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn embedded_to_read(&self) -> Result<Option<Broker>, Error> {
        let Place::Embedded(directory) = &self.place else { return Ok(None) };
        Ok(Some(embedded_to_read(directory).await?.0))
    }

    /// The journal of services that work here.
    ///
    /// # Errors
    /// The state directory cannot be told.
    pub fn journal(&self, session: &Session) -> Result<Journal, Error> {
        Ok(Journal::new(session.state_directory()?.join("journal")).of_embedded(self.is_embedded()))
    }

    /// Removes what a crash has left in the journal of messages that are not there any more; how many entries.
    ///
    /// # Errors
    /// The embedded broker cannot be read.
    pub async fn tidy(&self, journal: &Journal) -> Result<usize, Error> {
        match &self.place {
            Place::Embedded(directory) => {
                let (broker, _space) = embedded(directory).await?;
                let count = tidy(&broker, journal).await?;
                broker.close().await?;
                Ok(count)
            }
            // Which messages it has nobody can be asked for; only what is very old is removed.
            Place::Amqp(_) => Ok(journal.leftovers().unwrap_or_default().remove_old()),
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

    /// The queues that the broker has.
    ///
    /// # Errors
    /// The site does not say where the management API is, or it does not answer.
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        let directory = match &self.place {
            Place::Embedded(directory) => directory,
            Place::Amqp(options) => {
                let management = Management::of_site(&self.plugins(), &options.vhost);
                let management = management?.ok_or_else(|| {
                    Error::new("the environment does not say where RabbitMQ's management API is")
                        .hint("add a block of plugin `rabbitmqapi` to the environment")
                        .hint("a command that takes the names of queues asks by AMQP for those that are named")
                })?;
                // Its queues are others.
                if management.vhost() != options.vhost {
                    let (other, own) = (management.vhost(), &options.vhost);
                    let message =
                        format!("plugin `rabbitmqapi` is about virtual host `{other}`, and `pika` about `{own}`");
                    return Err(Error::new(message).hint("without a `vhost`, `rabbitmqapi` is about that of `pika`"));
                }
                return Ok(management.queues().await?);
            }
        };
        let (broker, space) = embedded_to_read(directory).await?;
        let queues = space.queues().await?;
        broker.close().await?;
        Ok(queues.into_iter().map(of_embedded).collect())
    }

    /// All queues, where somebody can be asked for them; nothing where these, which have been named, have to be asked for
    /// one by one. Why the management API does not say is told.
    ///
    /// # Errors
    /// There are no names, and nobody to be asked for all.
    pub async fn queues_unless_named<S>(&self, names: &[S]) -> Result<Option<Vec<Queue>>, Error> {
        if names.is_empty() {
            return self.queues().await.map(Some);
        }
        if !self.knows_queues() {
            return Ok(None);
        }
        match self.queues().await {
            Ok(queues) => Ok(Some(queues)),
            Err(error) => {
                say(&format!("warning: {}; the queues that are named are asked by AMQP", error.message()));
                error.hints().iter().for_each(|hint| say(&format!("  help: {hint}")));
                Ok(None)
            }
        }
    }

    /// Replaces statistics about these queues with what the broker counts at this moment, where they are not current.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn refresh(&self, queues: &mut Vec<Queue>) -> Result<(), Error> {
        if queues.iter().any(|queue| !queue.is_current) {
            let transport = self.connect("queues", &[]).await?;
            management::refresh(&*transport, queues).await;
            transport.close().await?;
        }
        Ok(())
    }

    /// Why the broker takes no messages at this moment, if that is so. Asks by a connection of its own: the broker reads
    /// nothing more from one that it has blocked, not even that messages go back.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn obstacle(&self) -> Result<Option<String>, Error> {
        let Place::Amqp(_) = &self.place else { return Ok(None) };
        let transport = self.connect("alarms", &[]).await?;
        let tried = transport.try_send(Duration::ZERO).await;
        // It does not hear that we leave, either.
        let _ = timeout(Duration::from_millis(100), transport.close()).await;
        Ok(match tried {
            Err(transport::Error::Blocked(reason)) => Some(reason),
            _ => None,
        })
    }

    /// These queues, by name, as far as AMQP tells: for a broker whose management API nobody has named.
    ///
    /// # Errors
    /// The broker cannot be reached, or there is no such queue.
    pub async fn ask_for_queues<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<Queue>, Error> {
        let transport = self.connect("queues", &[]).await?;
        let mut queues = Vec::new();
        for name in names {
            let name = name.as_ref();
            let found = transport.waiting(name).await?;
            let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            let messages = count(found.messages);
            let consumers = found.consumers.map(count);
            let is_current = true;
            let name = name.to_owned();
            queues.push(Queue { name, messages, ready: messages, consumers, is_current, ..Queue::default() });
        }
        transport.close().await?;
        Ok(queues)
    }

    /// A queue, where somebody can be asked for all of them.
    ///
    /// # Errors
    /// There is no answer, or no such queue.
    pub async fn queue(&self, name: &str) -> Result<Option<Queue>, Error> {
        if !self.knows_queues() {
            return Ok(None);
        }
        let queues = self.queues().await?;
        let queue = queues.iter().find(|queue| queue.name == name).cloned();
        match queue {
            Some(queue) => Ok(Some(queue)),
            None => Err(no_such_queue(name, &queues)),
        }
    }

    /// Whether it is the embedded broker, whose numbers are exact.
    pub fn is_embedded(&self) -> bool {
        matches!(self.place, Place::Embedded(_))
    }

    /// Whether the environment says where to ask for all queues.
    pub fn knows_queues(&self) -> bool {
        self.is_embedded() || self.plugins().iter().any(|(plugin, _)| plugin == "rabbitmqapi")
    }

    /// The first messages of a queue, where they can be read without taking them.
    ///
    /// # Errors
    /// There is no such queue, or the broker failed.
    pub async fn read_queue(&self, queue: &str, most: usize) -> Result<Option<Vec<Stored>>, Error> {
        let Place::Embedded(directory) = &self.place else { return Ok(None) };
        let (broker, space) = embedded_to_read(directory).await?;
        space.waiting(queue).await?;
        let messages = space.peek(queue, most).await?;
        broker.close().await?;
        Ok(Some(messages))
    }

    /// The latest runs, so many and the newest first: those of the embedded broker, or what the logbook of a site's
    /// dispatcher says; nothing where the site names none.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn runs(&self, most: usize) -> Result<Option<Vec<Run>>, Error> {
        let Place::Embedded(directory) = &self.place else {
            let Some(directory) = self.storage(LOGBOOK) else { return Ok(None) };
            // A logbook is large and often far away.
            let listed = tokio::task::spawn_blocking(move || logbook::latest(&directory, most)).await;
            let listed = listed.map_err(|error| Error::new(error.to_string()))??;
            let dispatched =
                |run: logbook::Listed| Run { id: run.id, state: "dispatched", title: run.title, begun: run.dispatched };
            return Ok(Some(listed.into_iter().map(dispatched).collect()));
        };
        let (runs, _) = Runs::open_to_read(directory).await?;
        let listed = runs.list().await?;
        runs.close().await?;
        let run = |run: Listed| Run { state: run.state(), id: run.id, title: run.title, begun: run.created };
        Ok(Some(listed.into_iter().rev().take(most).map(run).collect()))
    }

    /// The runs of this machine that have dead letters, which no queue of the embedded broker holds: each run has its own.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn runs_with_letters(&self) -> Result<Vec<(String, u64)>, Error> {
        let Place::Embedded(directory) = &self.place else { return Ok(Vec::new()) };
        let (runs, _) = Runs::open_to_read(directory).await?;
        let listed = runs.list().await?;
        runs.close().await?;
        Ok(listed.into_iter().filter(|run| run.census.dead > 0).map(|run| (run.id, run.census.dead)).collect())
    }

    /// How to reach RabbitMQ; nothing for the embedded broker.
    pub fn amqp(&self) -> Option<&amqp::Options> {
        match &self.place {
            Place::Amqp(options) => Some(options),
            Place::Embedded(_) => None,
        }
    }

    /// Where the embedded broker has its files, if it is meant.
    pub fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Amqp(_) => None,
            Place::Embedded(directory) => Some(directory),
        }
    }

    /// RabbitMQ's management API.
    ///
    /// # Errors
    /// The site does not say where it is, or this is the embedded broker, which has none.
    pub fn management(&self) -> Result<Management, Error> {
        let Place::Amqp(options) = &self.place else {
            return Err(Error::new("no site configuration is given, and the embedded broker needs no configuration")
                .hint(
                    "`--site FILE` or ZOCALO_CONFIG names a site; the embedded broker makes queues as they are needed",
                ));
        };
        Management::of_site(&self.plugins(), &options.vhost)?.ok_or_else(|| {
            Error::new("the environment does not say where RabbitMQ's management API is").hint(
                "add a block `{plugin: rabbitmqapi, base_url: http://HOST:15672/api, username: …, password: …}` to it",
            )
        })
    }

    /// The broker, for people.
    pub fn place(&self) -> String {
        match &self.place {
            Place::Amqp(options) => options.place(),
            Place::Embedded(directory) => format!("the embedded broker in {}", directory.display()),
        }
    }
}

/// A queue that is not there, and the one that may be meant.
pub fn no_such_queue(name: &str, known: &[Queue]) -> Error {
    let said = Error::new(format!("there is no queue `{name}`"));
    match nearest(name, known.iter().map(|queue| queue.name.as_str())) {
        Some(meant) => said.hint(format!("did you mean `{meant}`?")),
        None => said.hint("`zrecipe queues` lists all"),
    }
}

/// How often a message of a queue may have come back before it is renewed: far less than the queue allows, because whoever
/// holds it may be killed, and because RabbitMQ tells of a new policy late.
///
/// # Errors
/// It must not be delivered at all.
pub fn worn(queue: &Queue) -> Result<u32, Error> {
    match queue.limit {
        None => Ok(u32::MAX),
        // Even a copy would come to us at once, and not be taken back.
        Some(0) => Err(Error::new(format!("looking into `{}` would make its messages die", queue.name))
            .hint("its delivery limit is 0, so that each is delivered once")),
        Some(limit) => Ok((limit / 2).clamp(1, 2)),
    }
}

/// The embedded broker of a state directory.
async fn embedded(directory: &Path) -> Result<(Broker, Embedded), Error> {
    let unavailable = |error: std::io::Error| transport::Error::Unavailable {
        place: directory.display().to_string(),
        reason: error.to_string(),
    };
    regular::create_private_dir(directory).map_err(unavailable)?;
    let broker = Broker::open(&directory.join(DATABASE), Options::default()).await?;
    let space = broker.namespace(NAMESPACE);
    Ok((broker, space))
}

/// The same to look at it: where nothing can be written, it is read all the same, and that is said.
async fn embedded_to_read(directory: &Path) -> Result<(Broker, Embedded), Error> {
    let error = match embedded(directory).await {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    match Broker::open_to_read(&directory.join(DATABASE)).await {
        Ok(broker) => {
            say_only_read(error.message());
            let space = broker.namespace(NAMESPACE);
            Ok((broker, space))
        }
        Err(_) => Err(error),
    }
}

/// Says that a state directory is only read.
pub fn say_only_read(reason: &str) {
    say(&format!("note: only reading, because nothing can be written: {reason}"));
}

/// The runs of a state directory, to look at them; says what is missing of them, as far as that is known.
///
/// # Errors
/// They cannot be read.
pub async fn runs_to_read(directory: &Path) -> Result<Runs, Error> {
    let (runs, why) = Runs::open_to_read(directory).await?;
    if let Some(why) = why {
        say_only_read(&why.to_string());
    }
    if let Some((count, noticed)) = runs.losses().await? {
        say(&format!("warning: {}", loss(count, noticed)));
    }
    Ok(runs)
}

/// What a loss of transactions means.
pub fn loss(count: u64, noticed: SystemTime) -> String {
    let transactions = if count == 1 { "transaction" } else { "transactions" };
    let noticed = timestamp(noticed);
    format!(
        "{count} {transactions} of the database were lost, noticed {noticed}: its write-ahead log was cut or is not the one \
         that belongs to it, so runs and messages may be missing"
    )
}

fn of_embedded(queue: QueueInfo) -> Queue {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Queue {
        messages: count(queue.ready + queue.delayed + queue.held),
        ready: count(queue.ready),
        unacknowledged: Some(count(queue.held)),
        consumers: None,
        incoming: Some(queue.incoming),
        outgoing: Some(queue.outgoing),
        oldest: queue.oldest,
        limit: None,
        is_current: true,
        name: queue.name,
    }
}
