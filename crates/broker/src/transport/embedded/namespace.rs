//! One namespace of a broker file: the transport.

use std::sync::{Arc, Mutex, mpsc as channel};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::shared::{Shared, lock};
use super::sql::{self, Ending, Parcel};
use super::writer::{Answer, Op, Request, Subscriber};
use super::{Census, QueueInfo, Record, Stored};
use crate::transport::{Deliveries, Delivery, Error, Outgoing, Settlement, Subscription, Transport, Waiting};
use zrecipe_language::value::Value;

/// One namespace of a broker. Clones are the same handle.
#[derive(Debug)]
pub struct Embedded {
    /// Dropped before `shared`, so that the subscriptions end first.
    pub(super) lease: Arc<Lease>,
    pub(super) name: Arc<str>,
    pub(super) seen: Mutex<watch::Receiver<u64>>,
    pub(super) shared: Arc<Shared>,
}

impl Clone for Embedded {
    fn clone(&self) -> Self {
        Self {
            lease: self.lease.clone(),
            name: self.name.clone(),
            seen: Mutex::new(lock(&self.seen).clone()),
            shared: self.shared.clone(),
        }
    }
}

/// What a handle and its clones have in common; with the last of them its subscriptions end.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) number: u64,
    pub(super) requests: channel::Sender<Request>,
    pub(super) closed: watch::Sender<bool>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !*self.closed.borrow() {
            let _ = self.requests.send(Request::Do(Op::Leave(self.number), None));
        }
    }
}

impl Embedded {
    /// The namespace's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn ask(&self, op: Op) -> Result<Answer, Error> {
        if *self.lease.closed.borrow() {
            return Err(Error::Closed);
        }
        self.shared.ask(op).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        if *self.lease.closed.borrow() {
            return Err(Error::Closed);
        }
        let name = self.name.clone();
        self.shared.read(move |connection| read(connection, &name)).await
    }

    /// Counts and logs the messages that were dropped because they had been taken before; their ids.
    fn count_known(&self, answer: Answer) -> Vec<String> {
        let Answer::Sent(known) = answer else { return Vec::new() };
        for id in &known {
            tracing::warn!("dropped message {id}: a message with this id was sent before");
        }
        self.shared.duplicates.send_if_modified(|count| {
            *count += known.len() as u64;
            !known.is_empty()
        });
        known
    }

    fn check_size(&self, parcels: &[Parcel]) -> Result<(), Error> {
        let limit = self.shared.max_message_bytes;
        match parcels.iter().find(|parcel| parcel.size() > limit) {
            None => Ok(()),
            Some(parcel) => Err(Error::Unsendable {
                destination: parcel.destination().to_owned(),
                reason: format!("it has {} bytes, and the maximum is {limit}", parcel.size()),
            }),
        }
    }

    /// Makes sure that the queue exists.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn declare(&self, queue: &str) -> Result<(), Error> {
        self.ask(Op::Declare { namespace: self.name.clone(), queue: queue.to_owned() }).await.map(drop)
    }

    /// How many messages there are.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn census(&self) -> Result<Census, Error> {
        self.read(sql::census).await
    }

    /// Waits until something in this namespace has changed, by whatever process, since the last call on this handle
    /// (a clone goes its own way from where it was cloned). The first call may return at once.
    ///
    /// # Errors
    /// [`Error::Closed`] when the handle or the broker is closed meanwhile.
    pub async fn changed(&self) -> Result<(), Error> {
        let mut closed = self.lease.closed.subscribe();
        let (reply, listening) = oneshot::channel();
        self.shared.requests.send(Request::Listen(reply)).map_err(|_| Error::Closed)?;
        listening.await.map_err(|_| Error::Closed)?;
        let mut seen = lock(&self.seen).clone();
        tokio::select! {
            changed = seen.changed() => changed.map_err(|_| Error::Closed)?,
            _ = closed.wait_for(|closed| *closed) => return Err(Error::Closed),
        }
        *lock(&self.seen) = seen;
        Ok(())
    }

    /// What has become of the messages, oldest first. Releases are not recorded.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn history(&self) -> Result<Vec<Record>, Error> {
        self.read(sql::history).await
    }

    /// The messages of one queue or of all, in the order of their queue's name and of their sending. Takes none.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn messages(&self, queue: Option<&str>) -> Result<Vec<Stored>, Error> {
        let queue = queue.map(str::to_owned);
        self.read(move |connection, name| sql::messages(connection, name, queue.as_deref(), None)).await
    }

    /// The first messages of a queue, at most so many. Takes none.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn peek(&self, queue: &str, most: usize) -> Result<Vec<Stored>, Error> {
        let queue = queue.to_owned();
        self.read(move |connection, name| sql::messages(connection, name, Some(&queue), Some(most))).await
    }

    /// The queues, by name.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn queues(&self) -> Result<Vec<QueueInfo>, Error> {
        self.read(sql::queues).await
    }

    /// Stores what the namespace is, in place of what was stored before.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn describe(&self, description: Value) -> Result<(), Error> {
        let description = description.to_json();
        self.ask(Op::Describe { namespace: self.name.clone(), description }).await.map(drop)
    }

    /// What [`Embedded::describe`] has stored.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn description(&self) -> Result<Option<Value>, Error> {
        self.read(sql::description).await
    }

    /// Makes this process the namespace's owner until the handle is closed or the process ends. False if another live
    /// process owns it.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn hold(&self) -> Result<bool, Error> {
        let answer = self.ask(Op::Hold { namespace: self.name.clone(), lease: self.lease.number }).await?;
        Ok(matches!(answer, Answer::Held(true)))
    }

    /// Deletes everything of the namespace: messages, queues, history, description. Subscriptions end.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Closed`].
    pub async fn forget(&self) -> Result<(), Error> {
        self.ask(Op::Forget { namespace: self.name.clone() }).await.map(drop)
    }
}

#[async_trait]
impl Transport for Embedded {
    async fn subscribe(&self, subscription: Subscription) -> Result<Deliveries, Error> {
        let prefetch = usize::from(subscription.prefetch.max(1));
        let (sender, receiver) = mpsc::channel(prefetch);
        let (alive, over) = oneshot::channel::<()>();
        let number = self.shared.number();
        let (watched, requests) = (sender.clone(), self.shared.requests.clone());
        let subscriber = Subscriber {
            number,
            lease: self.lease.number,
            namespace: self.name.clone(),
            source: subscription.source,
            prefetch,
            sender,
            _alive: alive,
        };
        let asked = self.ask(Op::Subscribe(subscriber));
        tokio::spawn(async move {
            tokio::select! {
                () = watched.closed() => {
                    let _ = requests.send(Request::Do(Op::End(number), None));
                }
                _ = over => {}
            }
        });
        asked.await?;
        Ok(Deliveries::new(receiver))
    }

    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), Error> {
        self.offer(messages).await.map(drop)
    }

    async fn offer(&self, messages: Vec<Outgoing>) -> Result<Vec<String>, Error> {
        let parcels: Vec<Parcel> = messages.into_iter().map(Parcel::new).collect();
        self.check_size(&parcels)?;
        let answer = self.ask(Op::Send { namespace: self.name.clone(), parcels }).await?;
        Ok(self.count_known(answer))
    }

    fn duplicates(&self) -> watch::Receiver<u64> {
        self.shared.duplicates.subscribe()
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), Error> {
        let ending = Ending::new(settlement);
        self.check_size(&ending.outputs)?;
        let settle = Op::Settle { namespace: self.name.clone(), tag: delivery.tag, id: delivery.id.clone(), ending };
        let answer = self.ask(settle).await?;
        self.count_known(answer);
        Ok(())
    }

    async fn waiting(&self, queue: &str) -> Result<Waiting, Error> {
        let name = queue.to_owned();
        let found = self.read(move |connection, space| sql::waiting(connection, space, &name)).await?;
        let messages = found.ok_or_else(|| Error::NoSuchQueue(queue.to_owned()))?;
        Ok(Waiting { messages, consumers: None })
    }

    async fn declare_temporary(&self, queue: &str) -> Result<(), Error> {
        // It stays in the file, empty.
        self.declare(queue).await
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        match self.ask(Op::Purge { namespace: self.name.clone(), queue: queue.to_owned() }).await? {
            Answer::Purged(count) => Ok(count),
            _ => Err(Error::NoSuchQueue(queue.to_owned())),
        }
    }

    async fn prepare(&self, queues: &[String]) -> Result<(), Error> {
        for queue in queues {
            self.declare(queue).await?;
        }
        Ok(())
    }

    async fn list_queues(&self) -> Result<Option<Vec<QueueInfo>>, Error> {
        self.queues().await.map(Some)
    }

    async fn browse(&self, queue: &str, most: usize) -> Result<Option<Vec<Stored>>, Error> {
        self.waiting(queue).await?;
        self.peek(queue, most).await.map(Some)
    }

    async fn close(&self) -> Result<(), Error> {
        if self.lease.closed.send_replace(true) {
            return Ok(());
        }
        match self.shared.ask(Op::Leave(self.lease.number)).await {
            Err(Error::Closed) => Ok(()),
            left => left.map(drop),
        }
    }
}
