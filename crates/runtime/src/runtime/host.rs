//! Services on a transport.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::consumer::{Consumer, Room};
use super::journal::Journal;
use super::kept::Kept;
use super::order::Order;
use super::outcome::Event;
use super::pressure::{Pauses, Pressure, stopped};
use super::service::Service;
use crate::telemetry::traces::Tracing;
use zrecipe_broker::message::Destination;
use zrecipe_broker::transport::{Error, Subscription, Transport};

/// Services on a transport.
pub struct Host {
    transport: Arc<dyn Transport>,
    services: Vec<Arc<dyn Service>>,
    events: mpsc::UnboundedSender<Event>,
    /// How many messages are dealt with at a time, over all queues.
    places: Arc<Semaphore>,
    /// The bytes of bodies that are dealt with at a time, over all queues.
    room: Room,
    stop: watch::Receiver<bool>,
    tracing: Option<Arc<Tracing>>,
    kept: Kept,
    pauses: Pauses,
    prefetch: Option<u16>,
}

impl Host {
    /// A host for these services that deals with at most `places` messages at a time and stops taking messages when
    /// `stop` becomes true.
    pub fn new(
        transport: Arc<dyn Transport>,
        services: Vec<Arc<dyn Service>>,
        places: usize,
        events: mpsc::UnboundedSender<Event>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(places.max(1)));
        let (room, kept, pauses) = (Room::default(), Kept::default(), Pauses::default());
        Self { transport, services, events, places, room, stop, tracing: None, kept, pauses, prefetch: None }
    }

    /// Shares the bytes of messages that are processed at a time with other hosts.
    #[must_use]
    pub fn with_room(mut self, room: Room) -> Self {
        self.room = room;
        self
    }

    /// Keeps outcomes that are not confirmed in a journal, so that the work on a message is not repeated when it is
    /// delivered again, to this process or the next one.
    #[must_use]
    pub fn with_journal(mut self, journal: Option<Journal>) -> Self {
        self.kept = Kept::new(journal);
        self
    }

    /// Pauses for so long where something holds up all messages.
    #[must_use]
    pub fn with_pauses(mut self, pauses: Pauses) -> Self {
        self.pauses = pauses;
        self
    }

    /// Takes so many messages of a queue at a time, in place of what each service says.
    #[must_use]
    pub fn with_prefetch(mut self, prefetch: Option<u16>) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Makes spans of what is done.
    #[must_use]
    pub fn traced(mut self, tracing: Option<Arc<Tracing>>) -> Self {
        self.tracing = tracing;
        self
    }

    /// The service that deals with the messages of a queue.
    pub fn service_for(&self, queue: &str) -> Option<&Arc<dyn Service>> {
        self.services.iter().find(|service| service.serves(queue))
    }

    /// Lets the services end.
    pub async fn finish(&self) {
        for service in &self.services {
            service.finish().await;
        }
    }

    /// Takes messages from these queues until told to stop; then finishes what it has begun.
    ///
    /// # Errors
    /// The broker failed. Messages under way are released.
    pub async fn serve(&self, queues: &[String]) -> Result<(), Error> {
        self.serve_when_ready(queues, || {}).await
    }

    /// The same; says when it is subscribed to all queues.
    ///
    /// # Errors
    /// As for [`Host::serve`].
    pub async fn serve_when_ready(&self, queues: &[String], ready: impl FnOnce()) -> Result<(), Error> {
        let mut tasks = JoinSet::new();
        let pressure = Pressure::new(self.pauses);
        for queue in queues {
            let Some(service) = self.service_for(queue) else { continue };
            let source = Destination::Queue(queue.clone());
            let prefetch = self.prefetch.unwrap_or_else(|| service.prefetch_of(queue));
            let subscription = Subscription { source, prefetch };
            service.attach(&self.transport);
            service.begin().await;
            let deliveries = self.transport.subscribe(subscription).await?;
            let consumer = Consumer {
                transport: Arc::clone(&self.transport),
                service: Arc::clone(service),
                events: self.events.clone(),
                places: Arc::clone(&self.places),
                room: self.room.clone(),
                tracing: self.tracing.clone(),
                stop: self.stop.clone(),
                kept: self.kept.clone(),
                pressure: pressure.clone(),
                order: Order::default(),
            };
            tasks.spawn(consumer.consume(deliveries));
        }
        if queues.is_empty() {
            // It works by timers or on topics.
            self.services.iter().for_each(|service| service.attach(&self.transport));
            for service in &self.services {
                service.begin().await;
            }
        }
        ready();
        if queues.is_empty() {
            stopped(&mut self.stop.clone()).await;
            self.services.iter().for_each(|service| service.stopping());
        }
        while let Some(task) = tasks.join_next().await {
            match task {
                Ok(result) => result?,
                Err(error) => return Err(Error::Store(Box::new(error))),
            }
        }
        Ok(())
    }
}
