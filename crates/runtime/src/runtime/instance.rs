//! One instance of a service beside others on a broker: it tells how it is, takes commands, and starts again when it
//! has failed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::runtime::journal::Journal;
use crate::runtime::status::{Board, Identity, Observer, Status};
use crate::runtime::{Event, Host, Room, Service, Traffic};
use crate::telemetry::traces::Tracing;
use zrecipe_broker::backoff::Backoff;
use zrecipe_broker::message::{Destination, read_body};
use zrecipe_broker::transport::{Error, Settlement, Subscription, Transport, Verdict};
use zrecipe_language::value::Value;

/// The topic on which instances take commands.
pub const COMMANDS: &str = "command";

/// How long to wait before an instance that has failed is started again: the first time, and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// An instance that has worked for so long has recovered.
const RECOVERED: Duration = Duration::from_secs(60);
/// How long to wait before the topic of commands is asked for again.
const COMMANDS_PAUSE: Duration = Duration::from_secs(10);

/// A service that is to take messages.
pub struct Instance {
    service: Arc<dyn Service>,
    queues: Vec<String>,
    board: Board,
    observer: Observer,
    /// Whether it may fail the first time, too.
    patient: bool,
    tracing: Option<Arc<Tracing>>,
    journal: Option<Journal>,
    prefetch: Option<u16>,
    room: Room,
}

impl Instance {
    /// An instance that takes messages from these queues.
    pub fn new(service: Arc<dyn Service>, queues: Vec<String>, identity: Identity, observer: Observer) -> Self {
        Self {
            service,
            queues,
            board: Board::new(identity),
            observer,
            patient: false,
            tracing: None,
            journal: None,
            prefetch: None,
            room: Room::default(),
        }
    }

    /// How many subscriptions it makes: one for each queue, and one for commands.
    pub fn subscriptions(&self) -> usize {
        self.queues.len() + 1
    }

    /// Makes spans of what it does.
    #[must_use]
    pub fn traced(mut self, tracing: Option<Arc<Tracing>>) -> Self {
        self.tracing = tracing;
        self
    }

    /// Keeps outcomes that the broker has not confirmed in a journal.
    #[must_use]
    pub fn with_journal(mut self, journal: Journal) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Takes so many messages of a queue at a time, in place of what the service says.
    #[must_use]
    pub fn with_prefetch(mut self, prefetch: Option<u16>) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Shares the bytes of messages that are processed at a time with other instances of the service.
    #[must_use]
    pub fn with_room(mut self, room: Room) -> Self {
        self.room = room;
        self
    }

    /// Lets it start again even when it fails before it has begun.
    #[must_use]
    pub fn patient(mut self, patient: bool) -> Self {
        self.patient = patient;
        self
    }

    /// The service's name.
    pub fn name(&self) -> &str {
        self.service.name()
    }

    /// How it is.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Takes messages until told to stop: by `stop`, or by a command. Then it finishes what it has begun.
    ///
    /// # Errors
    /// It could not begin, or the transport was closed.
    pub async fn run(self, transport: Arc<dyn Transport>, stop: watch::Receiver<bool>) -> Result<(), Error> {
        let announcing = tokio::spawn(self.board.clone().announce(Arc::clone(&transport), Arc::clone(&self.observer)));
        let (stopping, stopped) = watch::channel(false);
        let commanded = tokio::spawn(await_stop(
            Arc::clone(&self.service),
            Arc::clone(&transport),
            stop,
            stopping,
            (self.board.clone(), Arc::clone(&self.observer)),
        ));
        let titled = tokio::spawn(follow_title(Arc::clone(&self.service), self.board.clone()));
        let served = self.serve_again_and_again(&transport, stopped).await;
        commanded.abort();
        titled.abort();
        self.board.set(if served.is_ok() { Status::End } else { Status::Error });
        self.board.set(Status::Teardown);
        // A broker that is gone keeps nobody here.
        let _ = tokio::time::timeout(Duration::from_secs(2), announcing).await;
        served
    }

    async fn serve_again_and_again(
        &self,
        transport: &Arc<dyn Transport>,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let (events, received) = mpsc::unbounded_channel();
        let observing = tokio::spawn(observe(received, self.board.clone(), Arc::clone(&self.observer)));
        let places =
            usize::from(self.prefetch.unwrap_or_else(|| self.service.prefetch())).max(1) * self.queues.len().max(1);
        let name = self.service.name();
        let mut backoff = Backoff::new(BACK_OFF);
        let mut has_begun = false;
        let served = loop {
            self.board.set(Status::Starting);
            let began = Instant::now();
            let host = Host::new(
                Arc::clone(transport),
                vec![Arc::clone(&self.service)],
                places,
                events.clone(),
                stopped.clone(),
            )
            .traced(self.tracing.clone())
            .with_prefetch(self.prefetch)
            .with_room(self.room.clone())
            .with_journal(self.journal.clone());
            let board = self.board.clone();
            let mut is_subscribed = false;
            let served = host
                .serve_when_ready(&self.queues, || {
                    (has_begun, is_subscribed) = (true, true);
                    (self.observer)(board.identity(), &Event::Traffic(Traffic::Subscribed(self.queues.len())));
                    board.set(Status::Idle);
                })
                .await;
            if is_subscribed {
                (self.observer)(self.board.identity(), &Event::Traffic(Traffic::Unsubscribed(self.queues.len())));
            }
            let reason = match served {
                Ok(()) if *stopped.borrow() => break Ok(()),
                // The broker has ended the subscription: its queue was deleted, for example.
                Ok(()) => "the broker cancelled the subscription".to_owned(),
                Err(Error::Closed) => break Err(Error::Closed),
                Err(error) if !has_begun && !self.patient => break Err(error),
                Err(error) => error.to_string(),
            };
            if began.elapsed() > RECOVERED {
                backoff.reset();
            }
            let pause = backoff.pause();
            self.board.wait(Status::Error, &reason, pause);
            tracing::error!(service = name, "{reason}; restarting in {:.1} s", pause.as_secs_f64());
            tokio::select! {
                () = sleep(pause) => {}
                _ = stopped.wait_for(|stopped| *stopped) => break Ok(()),
            }
        };
        drop(events);
        let _ = observing.await;
        served
    }
}

async fn observe(mut events: mpsc::UnboundedReceiver<Event>, board: Board, observer: Observer) {
    while let Some(event) = events.recv().await {
        board.observe(&event);
        observer(board.identity(), &event);
    }
}

/// Shows the name that the service gives itself.
async fn follow_title(service: Arc<dyn Service>, board: Board) {
    let Some(mut title) = service.title() else { return };
    loop {
        if let Some(name) = title.borrow_and_update().clone() {
            board.rename(&name);
        }
        if title.changed().await.is_err() {
            return;
        }
    }
}

/// Waits for the reason to stop.
async fn await_stop(
    service: Arc<dyn Service>,
    transport: Arc<dyn Transport>,
    mut stop: watch::Receiver<bool>,
    stopping: watch::Sender<bool>,
    (board, observer): (Board, Observer),
) {
    let identity = board.identity().clone();
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = service.retired() => tracing::info!(service = identity.service, "the service ends itself"),
        () = commanded(&identity, &*transport, &observer) => tracing::info!(service = identity.service, "shutdown requested"),
    }
    board.set(Status::ShuttingDown);
    let _ = stopping.send(true);
    // The channel must outlive those who wait for it.
    std::future::pending::<()>().await;
}

/// Comes back when a command says that the instance is to stop.
async fn commanded(identity: &Identity, transport: &dyn Transport, observer: &Observer) {
    let mut is_told = false;
    loop {
        let subscription = Subscription { source: Destination::Topic(COMMANDS.to_owned()), prefetch: 10 };
        match transport.subscribe(subscription).await {
            Ok(mut deliveries) => {
                is_told = false;
                observer(identity, &Event::Traffic(Traffic::SubscribedToTopic));
                while let Some(delivery) = deliveries.next().await {
                    let settlement = Settlement::of(Verdict::Accept);
                    let _ = transport.settle(&delivery, settlement).await;
                    if is_shutdown(&read_body(&delivery.body), identity) {
                        observer(identity, &Event::Traffic(Traffic::Unsubscribed(1)));
                        return;
                    }
                }
                observer(identity, &Event::Traffic(Traffic::Unsubscribed(1)));
            }
            Err(Error::Closed) => std::future::pending().await,
            Err(error) if !is_told => {
                is_told = true;
                tracing::warn!(service = identity.service, "cannot receive commands: {error}");
            }
            Err(_) => {}
        }
        sleep(COMMANDS_PAUSE).await;
    }
}

/// Whether a command is for this instance and says that it is to stop. `host` and `service` narrow a command down, and
/// one without either is for nobody (`workflows.frontend`).
fn is_shutdown(command: &Value, identity: &Identity) -> bool {
    let asked = |key: &str| command.as_object().and_then(|command| command.get(key));
    let fits = |key: &str, own: &str| asked(key).map(|value| value.as_str() == Some(own));
    let (host, service) = (fits("host", &identity.host), fits("service", &identity.class));
    let is_for_us = matches!((host, service), (Some(true), None | Some(true)) | (None, Some(true)));
    is_for_us && asked("command").and_then(Value::as_str) == Some("shutdown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_for_those_they_name() {
        let identity = Identity { host: "uk.ws.1".into(), service: "Runner".into(), class: "Runner".into(), tag: None };
        for (command, expected) in [
            (r#"{"command": "shutdown", "host": "uk.ws.1"}"#, true),
            (r#"{"command": "shutdown", "service": "Runner"}"#, true),
            (r#"{"command": "shutdown", "service": "Runner", "host": "uk.ws.1"}"#, true),
            (r#"{"command": "shutdown", "service": "Runner", "host": "uk.ws.2"}"#, false),
            (r#"{"command": "shutdown", "service": "Mailer", "host": "uk.ws.1"}"#, false),
            (r#"{"command": "shutdown", "service": null}"#, false),
            (r#"{"command": "shutdown"}"#, false),
            (r#"{"command": "dance", "service": "Runner"}"#, false),
            (r#"{"service": "Runner"}"#, false),
            (r#""shutdown""#, false),
            ("shutdown", false),
        ] {
            assert_eq!(is_shutdown(&read_body(command.as_bytes()), &identity), expected, "{command}");
        }
    }
}
