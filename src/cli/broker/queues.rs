//! Queues of a broker, as far as its management API or the transport counts them.

use super::Environment;
use crate::cli::error::Error;
use crate::cli::terminal::{say, say_error};
use zrecipe_broker::transport::{QueueInfo, Stored};
use zrecipe_language::lint::nearest;
use zrecipe_runtime::ops::apis::{self, Api};
use zrecipe_runtime::ops::management::{self, Management, Queue};

impl Environment {
    /// The queues that the broker has.
    ///
    /// # Errors
    /// The site does not say where the management API is, or it does not answer.
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        if self.capabilities().management.is_some() {
            let named = |error: Error| error.hint("or name the queues, to query them without it");
            let management = self.management().map_err(named)?;
            self.check_namespace(&*management)?;
            let mut queues = management.queues().await?;
            queues.iter_mut().for_each(|queue| queue.name = self.endpoint.queue_name(&queue.name));
            queues.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(queues);
        }
        let transport = self.connect_to_read("queues").await?;
        let queues = transport.list_queues().await?;
        transport.close().await?;
        let queues = queues.ok_or_else(|| Error::new(format!("{} cannot list its queues", self.place())))?;
        Ok(queues.into_iter().map(of_transport).collect())
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
                say(&format!("warning: {}; querying each named queue separately", error.message()));
                error.hints().iter().for_each(|hint| say_error(&format!("  help: {hint}")));
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

    /// These queues, by name, as far as the transport tells: for a broker whose management API nobody has named.
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

    /// Whether the environment says where to ask for all queues.
    pub fn knows_queues(&self) -> bool {
        let management = self.capabilities().management;
        management.is_none_or(|management| self.plugins().iter().any(|(plugin, _)| plugin == management))
    }

    /// The first messages of a queue, where they can be read without taking them.
    ///
    /// # Errors
    /// There is no such queue, or the broker failed.
    pub async fn read_queue(&self, queue: &str, most: usize) -> Result<Option<Vec<Stored>>, Error> {
        if !self.capabilities().browses {
            return Ok(None);
        }
        let transport = self.connect_to_read("peek").await?;
        let messages = transport.browse(queue, most).await?;
        transport.close().await?;
        Ok(messages)
    }

    /// The broker's management API.
    ///
    /// # Errors
    /// The broker has none, or the site does not say where it is.
    pub fn management(&self) -> Result<Box<dyn Api>, Error> {
        let entry = self.endpoint.entry();
        let Some(plugin) = entry.capabilities.management else {
            return Err(Error::new(format!("{} has no management API", self.place())));
        };
        let opened = apis::open(plugin, &self.plugins(), self.endpoint.namespace())?;
        opened.ok_or_else(|| {
            Error::new(format!("the environment has no block for {}'s management API", entry.product))
                .hint(format!("add the block `{}` to it", apis::example(plugin)))
        })
    }

    /// Refuses a management API that is about another namespace than the transport: its queues are others.
    fn check_namespace(&self, management: &dyn Api) -> Result<(), Error> {
        let own = self.endpoint.namespace();
        let Some(other) = management.namespace().filter(|other| *other != own) else { return Ok(()) };
        let entry = self.endpoint.entry();
        let (plugin, own_plugin) =
            (entry.capabilities.management.unwrap_or_default(), entry.plugin.unwrap_or_default());
        let message = format!("plugin `{plugin}` uses virtual host `{other}`, but `{own_plugin}` uses `{own}`");
        Err(Error::new(message).hint(format!("without a `vhost`, `{plugin}` uses that of `{own_plugin}`")))
    }

    /// The management API, to declare queues, exchanges and users by.
    ///
    /// # Errors
    /// As for [`Environment::management`]; or brokers of this kind are configured otherwise.
    pub fn definitions(&self) -> Result<Management, Error> {
        if self.directory().is_some() {
            return Err(Error::new("no site configuration is given, and the embedded broker needs no configuration")
                .hint(
                    "name a site with `--site FILE` or ZOCALO_CONFIG; the embedded broker creates queues as needed",
                ));
        }
        if !self.capabilities().definitions {
            let product = self.endpoint.entry().product;
            return Err(Error::new(format!("{product} does not use a broker configuration"))
                .hint("it creates queues and topics on first use; set limits in its own configuration file"));
        }
        match Management::of_site(&self.plugins(), self.endpoint.namespace())? {
            Some(management) => Ok(management),
            None => Err(self.management().err().unwrap_or_else(|| Error::new("no management API is configured"))),
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
        Some(0) => Err(Error::new(format!("reading from `{}` would drop its messages", queue.name))
            .hint("its delivery limit is 0, so each message is delivered only once")),
        Some(limit) => Ok((limit / 2).clamp(1, 2)),
    }
}

fn of_transport(queue: QueueInfo) -> Queue {
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
