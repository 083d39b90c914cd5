//! Queues of a broker, as far as its management API, AMQP or the embedded broker counts them.

use super::{Environment, Place, embedded_to_read};
use crate::cli::error::Error;
use crate::cli::terminal::say;
use zrecipe_broker::transport::Transport as _;
use zrecipe_broker::transport::embedded::{QueueInfo, Stored};
use zrecipe_language::lint::nearest;
use zrecipe_runtime::ops::management::{self, Management, Queue};

impl Environment {
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
