//! What every message broker does for us: carry messages to queues and topics, and settle what was delivered.
//!
//! One file per transport in `transport/`; [`TRANSPORTS`] lists them, and [`of_site`], [`of_url`] and [`of_directory`]
//! choose one. A transport promises *at least once*: nothing that [`Transport::send`]
//! or [`Transport::settle`] has reported as done is lost by the death of this process or of the broker, and a
//! message whose settling was not reported is delivered again. Message ids are deterministic
//! (see [`crate::message`]), so that a receiver recognises what it has seen.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use crate::address::{Fault, ReadFile, Settings};
use crate::books::Clerk;
pub use crate::delivery::{Deliveries, Delivery, Settlement, Subscription, Verdict};
pub use crate::failure::{Denial, Error, Outage};
pub use crate::message::{Destination, Outgoing, Reason};
pub use crate::standing::Connection;
use zrecipe_language::site::Plugins;
use zrecipe_language::value::Object;

/// How long a broker may take to answer a question.
const ANSWER: Duration = Duration::from_secs(1);

macro_rules! transports {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The transports, in the order of their names.
        pub static TRANSPORTS: &[Entry] = &[$($module::TRANSPORT),+];

        /// The names of the modules.
        pub const MODULES: &[&str] = &[$(stringify!($module)),+];
    };
}

transports! {
    amqp,
    embedded,
    memory,
    stomp,
}

/// A transport: how a broker of its kind is found, and what it can do.
#[derive(Debug)]
pub struct Entry {
    /// Name of the module.
    pub name: &'static str,
    /// Name of the broker, for people.
    pub product: &'static str,
    /// Plugin of a site configuration that says where such a broker is.
    pub plugin: Option<&'static str>,
    /// Name of the class that plugin `transport` chooses it by (`default`), as in Python's `workflows`.
    pub class: Option<&'static str>,
    /// Options of commands that replace settings of the plugin.
    pub options: &'static [CommandOption],
    /// The option of commands that names an `.ini` file with such settings, and the section of the file.
    pub file_option: Option<(&'static str, &'static str)>,
    /// Setting of the plugin that names the namespace of queues and topics.
    pub namespace: Option<&'static str>,
    /// Schemes of its URLs.
    pub schemes: &'static [&'static str],
    /// Settings of the plugin that are secret.
    pub secrets: &'static [&'static str],
    /// Settings of the plugin that name a file with a secret.
    pub secret_files: &'static [&'static str],
    /// Values of secret settings that everyone knows, such as the password of a new broker.
    pub public_secrets: &'static [&'static str],
    /// What the names of queues and exchanges begin with that the transport declares for itself.
    pub own_prefix: Option<&'static str>,
    /// How to give the user a permission that is missing.
    pub grant: &'static str,
    /// How to see the permissions of a user.
    pub permissions: &'static str,
    /// What a broker of this kind can do.
    pub capabilities: Capabilities,
    /// Reads where the broker is; connects to nothing.
    pub open: fn(&Environment<'_>) -> Result<Arc<dyn Endpoint>, Fault>,
}

/// An option of commands that replaces a setting of a transport's plugin, as in Python's `workflows`.
#[derive(Debug)]
pub struct CommandOption {
    /// The option, without `--`.
    pub name: &'static str,
    /// The setting.
    pub setting: &'static str,
    /// What the value is, for the help page.
    pub value: &'static str,
    /// The value that counts if neither the site nor the command line gives one.
    pub default: &'static str,
    /// The help page.
    pub help: &'static str,
}

impl CommandOption {
    /// An option, its setting, what its value is, the default, and the help.
    pub const fn new(
        name: &'static str,
        setting: &'static str,
        value: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, setting, value, default, help }
    }
}

/// What brokers of one kind do and others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// The broker is another program: connections to it can be lost, refused and denied.
    pub is_remote: bool,
    /// How a queue comes into being.
    pub creation: Creation,
    /// Several messages are sent, and a delivery is settled, as a whole or not at all.
    pub is_atomic: bool,
    /// Headers keep their order, and numbers their spelling.
    pub keeps_spelling: bool,
    /// The delivery of a message that is released does not count.
    pub releases_uncounted: bool,
    /// A released message takes its place at the head of its queue again.
    pub releases_in_place: bool,
    /// [`Transport::list_queues`] answers with exact counts of this moment.
    pub is_exact: bool,
    /// [`Transport::browse`] reads messages in their places.
    pub browses: bool,
    /// Plugin of a site configuration that says where the broker's management API is.
    pub management: Option<&'static str>,
    /// Queues, exchanges and users are declared from a broker configuration, by the management API.
    pub definitions: bool,
    /// The broker itself dead-letters a message that comes back too often.
    pub dead_letters_by_itself: bool,
    /// The broker stops reading from a connection when it is short of memory or disk.
    pub blocks: bool,
}

/// How a queue comes into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// Somebody declares it; sending to a missing queue and subscribing to one fail.
    Declared,
    /// With its first subscription; sending to a missing queue fails.
    BySubscribing,
    /// With its first use: no queue is missing.
    BySending,
}

/// What says where a broker is.
#[derive(Clone, Copy)]
pub enum Environment<'e> {
    /// The settings of the transport's plugin.
    Site(Settings<'e>),
    /// A URL with one of the transport's schemes.
    Url(&'e str),
    /// A state directory of this machine, and a part of the broker there, if another than that of a site.
    Directory(&'e Path, Option<&'e str>),
}

/// Where a broker is and who we are there: what can be connected to.
#[async_trait]
pub trait Endpoint: Send + Sync {
    /// The transport.
    fn entry(&self) -> &'static Entry;

    /// The broker, for people; without user and password.
    fn place(&self) -> String;

    /// The namespace of queues and topics: RabbitMQ's virtual host, ActiveMQ's prefix.
    fn namespace(&self) -> &str;

    /// The name by which a queue is used here, of one that the broker's management API calls `name`.
    fn queue_name(&self, name: &str) -> String {
        name.to_owned()
    }

    /// The user that logs in with a password.
    fn user(&self) -> Option<&str> {
        None
    }

    /// The state directory of a broker of this machine, which holds runs too.
    fn directory(&self) -> Option<&Path> {
        None
    }

    /// The nodes of the broker, each to be connected to alone.
    fn nodes(&self) -> Vec<Node> {
        Vec::new()
    }

    /// The same broker, where `clerk` keeps books of what becomes of messages; none where no books are kept.
    fn with_clerk(&self, _clerk: Arc<dyn Clerk>) -> Option<Arc<dyn Endpoint>> {
        None
    }

    /// Connects. `who` is what the broker's tools show for the connection.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Denied`].
    async fn connect(&self, who: &str) -> Result<Arc<dyn Transport>, Error>;

    /// Connects to read queues. The second value is the reason why nothing can be written, if so.
    ///
    /// # Errors
    /// As for [`Endpoint::connect`].
    async fn connect_to_read(&self, who: &str) -> Result<(Arc<dyn Transport>, Option<Error>), Error> {
        Ok((self.connect(who).await?, None))
    }

    /// What to do about an error of this broker.
    fn remedy(&self, error: &Error) -> &'static str;
}

/// One node of a broker.
pub struct Node {
    /// Host, port, encryption and namespace, for people.
    pub title: String,
    /// The broker with no other node.
    pub endpoint: Arc<dyn Endpoint>,
}

/// The broker that plugins of a site configuration describe; nothing if there is no such plugin. Plugin `transport`
/// chooses among several.
///
/// # Errors
/// A setting cannot be used, or the chosen transport is unknown.
pub fn of_site(plugins: &Plugins<'_>, read: ReadFile<'_>) -> Result<Option<Arc<dyn Endpoint>>, Fault> {
    let settings = |name: &str| plugins.iter().find(|(plugin, _)| plugin == name).map(|(_, settings)| settings);
    let chosen = settings("transport").into_iter().flatten().find(|setting| setting.name == "default");
    let chosen = chosen.map(|setting| setting.node);
    if let Some(node) = chosen.filter(|node| TRANSPORTS.iter().all(|entry| entry.class != Some(&node.text()))) {
        let classes: Vec<&str> = TRANSPORTS.iter().filter_map(|entry| entry.class).collect();
        return Err(crate::address::wrong(
            node,
            format!("unknown transport `{}`; available transports: `{}`", node.text(), classes.join("`, `")),
        ));
    }
    let is_meant = |entry: &&Entry| chosen.is_none_or(|node| entry.class == Some(&node.text()));
    for entry in TRANSPORTS.iter().filter(is_meant) {
        let Some(plugin) = entry.plugin else { continue };
        if let Some(settings) = settings(plugin) {
            return (entry.open)(&Environment::Site(Settings { plugin, settings, read })).map(Some);
        }
    }
    Ok(None)
}

/// The broker at a URL.
///
/// # Errors
/// No transport has the scheme, or the URL cannot be used; no message repeats it.
pub fn of_url(url: &str) -> Result<Arc<dyn Endpoint>, Fault> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    let found = TRANSPORTS.iter().find(|entry| entry.schemes.contains(&scheme.as_str()));
    let entry = found.ok_or_else(|| {
        let schemes: Vec<&str> = TRANSPORTS.iter().flat_map(|entry| entry.schemes).copied().collect();
        Fault::Url(format!("the broker's address has no known scheme: `{}`", schemes.join("`, `")))
    })?;
    (entry.open)(&Environment::Url(url))
}

/// The broker of this machine with its state in a directory, which needs no site; with a namespace, that part of it.
///
/// # Errors
/// No transport keeps its state in a directory.
pub fn of_directory(directory: &Path, namespace: Option<&str>) -> Result<Arc<dyn Endpoint>, Fault> {
    let mut fault = Fault::Incomplete("no transport keeps its state in a directory".to_owned());
    for entry in TRANSPORTS.iter().filter(|entry| !entry.capabilities.is_remote) {
        match (entry.open)(&Environment::Directory(directory, namespace)) {
            Ok(endpoint) => return Ok(endpoint),
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

/// What a broker says of a queue when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// How many messages wait to be delivered.
    pub messages: u64,
    /// How many consumers the queue has; not every broker knows.
    pub consumers: Option<u64>,
}

/// Where a stored message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waiting to be delivered.
    Ready,
    /// Waiting until it is due.
    Delayed,
    /// Delivered and not settled.
    Held,
}

/// A message as it lies in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The id it was sent with.
    pub id: String,
    /// Its queue; for a copy of a broadcast the topic.
    pub queue: String,
    /// Headers.
    pub headers: Object,
    /// Body.
    pub body: Vec<u8>,
    /// How often it has been delivered.
    pub deliveries: u32,
    /// Ready, delayed or held.
    pub state: State,
    /// When it is or was to be delivered at the earliest.
    pub due: SystemTime,
    /// When it was sent.
    pub sent: SystemTime,
}

/// A queue, and what has come and gone lately.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// Messages that wait to be delivered.
    pub ready: u64,
    /// Messages whose delay has not ended.
    pub delayed: u64,
    /// Messages that consumers hold.
    pub held: u64,
    /// When the message was sent that has been there longest.
    pub oldest: Option<SystemTime>,
    /// Messages a second that have come, over the last minute.
    pub incoming: f64,
    /// Messages a second that were dealt with, over the last minute.
    pub outgoing: f64,
}

/// Where the broker itself puts messages that consumers reject or that expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetters {
    /// Where.
    pub place: Place,
    /// Empty queues, by the broker's own names, that exist because this was tried.
    pub left_behind: Vec<String>,
}

/// The queue of the broker's own dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The dead-letter queue of the message's queue.
    OfItsQueue,
    /// One for all queues, by the broker's own name.
    Shared(String),
    /// None of these.
    Nowhere,
}

/// The last part of the name of a queue that is only sent to by attempts; nothing is ever in it for long.
pub const PROBE: &str = "zrecipe.probe";

/// The operating system's error behind a failure of a transport's store, if the machine is exhausted.
pub fn store_errno(error: &(dyn std::error::Error + 'static)) -> Option<rustix::io::Errno> {
    embedded::errno(error)
}

/// A connection to a broker.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Starts receiving.
    async fn subscribe(&self, subscription: Subscription) -> Result<Deliveries, Error>;

    /// Starts receiving for somebody who carries messages on unread: what came back is handed out in its place, and where this
    /// process counts returns they are not counted.
    ///
    /// # Errors
    /// As for [`Transport::subscribe`].
    async fn subscribe_in_order(&self, subscription: Subscription) -> Result<Deliveries, Error> {
        self.subscribe(subscription).await
    }

    /// Takes, of all queues and before other consumers, the messages that came back because their consumers were lost. Counts
    /// each return in the store of the broker and puts the message back into its queue, unread; a message with more than
    /// `limit` returns is dead-lettered. Returns those dead letters; they are settled.
    ///
    /// # Errors
    /// The broker dead-letters such messages itself, or as for [`Transport::subscribe`].
    async fn quarantine(&self, _limit: u32) -> Result<Deliveries, Error> {
        let reason = "the broker itself dead-letters messages that are redelivered too often".to_owned();
        Err(Error::Unsendable { destination: "dead letters".to_owned(), reason })
    }

    /// Sends messages; done when the broker has them safely. Either all are sent or an error says why not
    /// (on brokers without transactions some may have been; sending again with the same ids is safe).
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), Error>;

    /// Sends messages as [`Transport::send`] does. Returns the ids of those that were dropped, because the broker has taken
    /// a message with the same id before. A broker that remembers no ids returns none.
    ///
    /// # Errors
    /// As for [`Transport::send`].
    async fn offer(&self, messages: Vec<Outgoing>) -> Result<Vec<String>, Error> {
        self.send(messages).await.map(|()| Vec::new())
    }

    /// How many messages this connection has dropped as duplicates: a message with the same id was accepted before.
    fn duplicates(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    /// Whether the broker takes messages for queues from us, tried with one that is empty and reaches nobody. A broker that
    /// is short of something says so only when something is sent, and what that is it may take later all the same.
    ///
    /// # Errors
    /// It does not; or not now, and not within `patience` either.
    async fn try_send(&self, patience: Duration) -> Result<(), Error> {
        let nowhere = format!("zrecipe.nowhere.{}", Uuid::new_v4());
        let queue = Destination::Queue(nowhere.clone());
        let message = Outgoing::new(nowhere.clone(), queue, Object::new(), Vec::new());
        // Nobody has a queue of this name, and the broker says so after it has looked at the rights.
        match self.send(vec![message]).await {
            Ok(()) | Err(Error::NoSuchQueue(_)) => {}
            Err(error) => return Err(error),
        }
        // That it has sent it back says little: it may say only then that it reads nothing more.
        match timeout(patience + ANSWER, self.waiting(&nowhere)).await {
            Ok(Ok(_) | Err(Error::NoSuchQueue(_))) => Ok(()),
            Ok(Err(error)) => Err(error),
            // A broker that is busy may be late to say what it is short of.
            Err(_) => {
                let mut connection = self.connection();
                let blocked = connection.wait_for(|now| matches!(now, Connection::Blocked { .. }));
                let reason = match timeout(ANSWER, blocked).await {
                    Ok(Ok(now)) => now.obstacle().map(str::to_owned),
                    Ok(Err(_)) | Err(_) => None,
                };
                Err(Error::Blocked(reason.unwrap_or_else(|| "the broker does not answer".to_owned())))
            }
        }
    }

    /// Where the broker itself puts messages that consumers reject, tried with one that reaches nobody; nothing where the
    /// definitions of queues tell.
    ///
    /// # Errors
    /// The message cannot be sent, or not be taken.
    async fn find_dead_letters(&self) -> Result<Option<DeadLetters>, Error> {
        Ok(None)
    }

    /// Settles a delivery.
    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), Error>;

    /// Puts deliveries back into their queues as if they had never been delivered, at the end where it cannot be done
    /// otherwise. What is no longer held is left out.
    async fn renew(&self, deliveries: Vec<Delivery>) -> Result<(), Error> {
        for delivery in deliveries {
            match self.settle(&delivery, Settlement::of(Verdict::Release)).await {
                Ok(()) | Err(Error::NotHeld) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What waits in a queue.
    async fn waiting(&self, queue: &str) -> Result<Waiting, Error>;

    /// What waits in each of these queues: the broker's own counts of this moment.
    async fn waiting_in(&self, queues: &[String]) -> Vec<Result<Waiting, Error>> {
        let mut found = Vec::with_capacity(queues.len());
        for queue in queues {
            found.push(self.waiting(queue).await);
        }
        found
    }

    /// Throws away what waits in a queue, for good; how many messages. What consumers hold stays.
    async fn purge(&self, queue: &str) -> Result<u64, Error>;

    /// Makes sure that queues exist, on a broker that creates queues by use. Others must have them already.
    async fn prepare(&self, _queues: &[String]) -> Result<(), Error> {
        Ok(())
    }

    /// All queues; nothing where the transport cannot list them, because a management API does.
    async fn list_queues(&self) -> Result<Option<Vec<QueueInfo>>, Error> {
        Ok(None)
    }

    /// The first messages of a queue, at most so many, read in their places; nothing where the transport cannot read a
    /// message without taking it.
    async fn browse(&self, _queue: &str, _most: usize) -> Result<Option<Vec<Stored>>, Error> {
        Ok(None)
    }

    /// Declares a queue that lives as long as somebody uses it.
    ///
    /// # Errors
    /// The broker has no such queues, or does not let us.
    async fn declare_temporary(&self, queue: &str) -> Result<(), Error> {
        let reason = "this transport has no temporary queues".to_owned();
        Err(Error::Unsendable { destination: queue.to_owned(), reason })
    }

    /// How many subscriptions the connection can hold at most; none: nothing limits them, or nobody knows.
    fn max_subscriptions(&self) -> Option<usize> {
        None
    }

    /// How the connection is, and what becomes of it. One that cannot be lost is always up.
    fn connection(&self) -> watch::Receiver<Connection> {
        watch::channel(Connection::Up).1
    }

    /// Stops receiving, releases what is unsettled and closes.
    async fn close(&self) -> Result<(), Error>;
}
