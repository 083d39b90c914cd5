//! Sends messages and waits until the broker has confirmed them. What is lost with a connection is sent again on the
//! next one, with the same ids.
//!
//! Sends go in batches: while one batch waits for its confirmations, the next one gathers. A message that the broker
//! sends back is known by its id and its key, because the library may attach it to the confirmation of another message
//! of the channel; so a channel has one batch at a time, and nothing counts as sent before all that the broker has said
//! on the channel so far is looked at. A queue that does not confirm keeps its batch and its channel waiting, and no
//! other.
//!
//! Over some messages the broker closes the channel, and what else was on it and not yet confirmed would be sent twice.
//! So those go one at a time, on channels of their own ([`Parcel::is_doubtful`]).

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, PublisherConfirm};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::faults::{explain, is_malformed, is_missing, is_our_fault};
use super::link::Connections;
use super::wire::{Parcel, unsendable};
use crate::message::{Destination, is_delay};
use crate::transport::Error;

/// How many messages go before their confirmations are waited for.
pub(super) const BATCH: usize = 500;
/// How long we wait before we try once more on the same connection.
const PAUSE: Duration = Duration::from_millis(100);
/// When confirmations are late: others are not kept waiting for them any longer.
const LATE: Duration = Duration::from_secs(1);
/// How far apart the library may tell us what the broker has told it in one.
const APART: Duration = Duration::from_millis(50);
/// How many batches may be late at once.
const MOST_LANES: usize = 16;

/// Messages that belong together, and who waits for them.
pub(super) struct Request {
    pub(super) parcels: Vec<Parcel>,
    pub(super) reply: oneshot::Sender<Result<(), Error>>,
    pub(super) deadline: Instant,
}

/// Takes requests, and gives them to lanes; about as many messages at a time as `most`.
pub(super) async fn publish(connections: Connections, mut requests: mpsc::Receiver<Request>, most: usize) {
    let (mut idle, mut busy) = (Vec::new(), JoinSet::new());
    loop {
        let first = tokio::select! {
            first = requests.recv() => first,
            () = connections.closed() => None,
        };
        let Some(first) = first else { return };
        let mut size = first.parcels.len();
        let mut batch = vec![first];
        while size < most
            && let Ok(next) = requests.try_recv()
        {
            size += next.parcels.len();
            batch.push(next);
        }
        let mut lane = idle.pop().unwrap_or_else(|| Lane { connections: connections.clone(), channel: None });
        busy.spawn(async move {
            lane.deliver(batch).await;
            lane
        });
        // The next batch gathers until this one is done, or late.
        tokio::select! {
            Some(done) = busy.join_next() => idle.extend(done),
            () = sleep(LATE), if busy.len() < MOST_LANES => {}
        }
    }
}

/// A channel, and what is sent on it.
struct Lane {
    connections: Connections,
    /// The channel and the connection that it belongs to.
    channel: Option<(u64, Channel)>,
}

/// How one attempt with one request ended.
enum Attempt {
    Done,
    Failed(Error),
    /// Nobody knows whether the broker has it.
    Unknown,
    /// The broker has closed the channel, or hung up: one of the batch was at fault.
    Closed(lapin::Error),
}

/// What came of a message: whether the broker has taken it.
enum Receipt {
    Pending(PublisherConfirm),
    Known(lapin::Result<bool>),
}

/// A request and the receipts of its messages.
struct Sent {
    request: Request,
    receipts: Vec<Receipt>,
}

/// What is to be sent once more.
#[derive(Default)]
struct Again {
    requests: Vec<Request>,
    /// One of them makes the broker close the channel.
    alone: bool,
}

impl Again {
    fn conclude(&mut self, request: Request, attempt: Attempt, was_alone: bool) {
        let verdict = match attempt {
            Attempt::Done => Ok(()),
            Attempt::Failed(error) => Err(error),
            Attempt::Closed(error) if was_alone => Err(closed(&request.parcels, &error)),
            Attempt::Closed(_) | Attempt::Unknown if Instant::now() < request.deadline => {
                self.alone |= matches!(attempt, Attempt::Closed(_));
                self.requests.push(request);
                return;
            }
            Attempt::Closed(_) | Attempt::Unknown => Err(unconfirmed(&request.parcels)),
        };
        let _ = request.reply.send(verdict);
    }
}

impl Lane {
    /// Sends a batch until each of its requests has an answer.
    async fn deliver(&mut self, mut batch: Vec<Request>) {
        let mut alone = false;
        while !batch.is_empty() {
            // Whoever makes the broker close the channel must not take others with him.
            let rest = if alone { batch.split_off(1) } else { Vec::new() };
            let again = self.attempt(batch, alone).await;
            alone |= again.alone;
            batch = again.requests;
            batch.extend(rest);
        }
    }

    /// Sends the batch once.
    async fn attempt(&mut self, batch: Vec<Request>, alone: bool) -> Again {
        let mut again = Again::default();
        let Some(deadline) = batch.iter().map(|request| request.deadline).min() else { return again };
        let (epoch, channel) = match self.channel(deadline).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                sleep(PAUSE).await;
                batch.into_iter().for_each(|request| again.conclude(request, Attempt::Unknown, alone));
                return again;
            }
            Err(error) => {
                for request in batch {
                    // One that came with an earlier one that has run out of time has its own.
                    let has_time = Instant::now() < request.deadline && !matches!(error, Error::Closed);
                    let attempt = if has_time { Attempt::Unknown } else { Attempt::Failed(repeat(&error)) };
                    again.conclude(request, attempt, alone);
                }
                return again;
            }
        };
        let mut sent: Vec<Sent> = batch.into_iter().map(|request| Sent { request, receipts: Vec::new() }).collect();
        // It does not end while the broker takes nothing, for want of memory or of space on its disk.
        self.connections.unless_gone(epoch, timeout_at(deadline, send(&channel, &mut sent))).await;
        let mut returned = Vec::new();
        let mut is_refused = false;
        for until in [deadline.min(Instant::now() + LATE), deadline] {
            let waiting = timeout_at(until, wait(&mut sent, &mut returned));
            let all = self.connections.unless_gone(epoch, waiting).await.is_some_and(|waited| waited.is_ok());
            let known: Vec<bool> = sent.iter_mut().map(|sent| sent.is_known(&mut returned)).collect();
            if !all {
                // What the library knows of the end of a connection it says soon, or never.
                sleep(APART).await;
                sent.iter_mut().for_each(|sent| _ = sent.is_known(&mut returned));
            }
            let mut late = Vec::new();
            for (sent, is_known) in sent.into_iter().zip(known) {
                if is_known {
                    let (request, attempt) = sent.attempt(&returned);
                    if matches!(attempt, Attempt::Closed(_) | Attempt::Unknown) {
                        self.channel = None;
                    }
                    is_refused |= matches!(&attempt, Attempt::Failed(error) if error.is_full());
                    again.conclude(request, attempt, alone);
                } else {
                    late.push(sent);
                }
            }
            sent = late;
        }
        for sent in sent {
            // Late confirmations must not be taken for those of the next batch.
            self.channel = None;
            again.conclude(sent.request, Attempt::Unknown, alone);
        }
        if is_refused {
            // RabbitMQ remembers on a channel that a quorum queue is full, even when its limit has been lifted.
            self.channel = None;
        }
        again
    }

    /// The channel on the connection that there is; nothing if it could not be opened this time.
    async fn channel(&mut self, deadline: Instant) -> Result<Option<(u64, Channel)>, Error> {
        let link = self.connections.link(deadline).await?;
        if let Some((epoch, channel)) = &self.channel
            && *epoch == link.epoch
            && channel.status().connected()
        {
            return Ok(Some((link.epoch, channel.clone())));
        }
        self.channel = None;
        let opening = async {
            let channel = link.channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok::<_, lapin::Error>(channel)
        };
        if let Some(Ok(Ok(channel))) = self.connections.unless_gone(link.epoch, timeout_at(deadline, opening)).await {
            self.channel = Some((link.epoch, channel.clone()));
            return Ok(Some((link.epoch, channel)));
        }
        Ok(None)
    }
}

async fn send(channel: &Channel, sent: &mut [Sent]) {
    for Sent { request, receipts } in sent {
        for parcel in &request.parcels {
            let options = BasicPublishOptions { mandatory: parcel.mandatory, ..BasicPublishOptions::default() };
            let (exchange, key) = (parcel.exchange.clone(), parcel.key.clone());
            let sent = channel.basic_publish(exchange, key, options, &parcel.body, parcel.properties.clone()).await;
            receipts.push(match sent {
                Ok(confirmation) => Receipt::Pending(confirmation),
                Err(error) => Receipt::Known(Err(error)),
            });
        }
    }
}

/// Waits until all is known.
async fn wait(sent: &mut [Sent], returned: &mut Vec<BasicReturnMessage>) {
    for receipt in sent.iter_mut().flat_map(|sent| &mut sent.receipts) {
        std::future::poll_fn(|cx| if receipt.poll(cx, returned) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl Receipt {
    /// Whether it is known what came of the message; keeps what the broker has sent back.
    fn poll(&mut self, cx: &mut Context<'_>, returned: &mut Vec<BasicReturnMessage>) -> bool {
        if let Receipt::Pending(confirmation) = self {
            let Poll::Ready(end) = Pin::new(confirmation).poll(cx) else { return false };
            *self = Receipt::Known(end.map(|confirmation: Confirmation| {
                let is_taken = confirmation.is_ack();
                returned.extend(confirmation.take_message());
                is_taken
            }));
        }
        true
    }
}

impl Sent {
    /// Whether all is known now.
    fn is_known(&mut self, returned: &mut Vec<BasicReturnMessage>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let unknown = self.receipts.iter_mut().filter_map(|receipt| (!receipt.poll(&mut cx, returned)).then_some(()));
        unknown.count() == 0 && self.receipts.len() == self.request.parcels.len()
    }

    /// How it ended.
    fn attempt(self, returned: &[BasicReturnMessage]) -> (Request, Attempt) {
        let mut attempt = Attempt::Done;
        let mut taken = 0;
        for (parcel, receipt) in self.request.parcels.iter().zip(self.receipts) {
            let sent_back = returned.iter().any(|message| parcel.is(&message.routing_key, &message.properties));
            let this = match receipt {
                _ if sent_back => Attempt::Failed(no_route(parcel)),
                Receipt::Known(Ok(true)) => Attempt::Done,
                Receipt::Known(Ok(false)) => Attempt::Failed(parcel.full()),
                Receipt::Known(Err(error)) if is_our_fault(&error) => Attempt::Closed(error),
                Receipt::Known(Err(_)) | Receipt::Pending(_) => Attempt::Unknown,
            };
            taken += usize::from(matches!(this, Attempt::Done));
            // The first thing that is wrong is what is said, and what is wrong for good before what may pass.
            attempt = match (attempt, this) {
                (before @ Attempt::Failed(_), _) | (before, Attempt::Done) => before,
                (before @ Attempt::Closed(_), Attempt::Unknown) => before,
                (_, this) => this,
            };
        }
        if taken > 0
            && let Attempt::Failed(error) = attempt
        {
            let all = self.request.parcels.len();
            attempt = Attempt::Failed(Error::Partly { sent: taken, all, error: Box::new(error) });
        }
        (self.request, attempt)
    }
}

fn no_route(parcel: &Parcel) -> Error {
    match &parcel.destination {
        Destination::Queue(queue) if parcel.exchange.as_str().is_empty() => Error::NoSuchQueue(queue.clone()),
        Destination::Queue(name) | Destination::Topic(name) => {
            unsendable(name, format!("unroutable: exchange `{}` routes it to no queue", parcel.exchange))
        }
    }
}

/// What is said of a message that has nowhere to go.
pub(super) fn missing(parcel: &Parcel) -> Error {
    match (&parcel.destination, parcel.exchange.as_str()) {
        // It is made again when the message is sent again.
        (_, exchange) if is_delay(exchange) => parcel.refused("the queue for delayed messages no longer exists"),
        (Destination::Queue(queue), "") => Error::NoSuchQueue(queue.clone()),
        (Destination::Topic(topic), exchange) if exchange == topic => Error::NoSuchTopic(topic.clone()),
        (Destination::Queue(name) | Destination::Topic(name), exchange) => {
            unsendable(name, format!("there is no exchange `{exchange}`"))
        }
    }
}

fn closed(parcels: &[Parcel], error: &lapin::Error) -> Error {
    match parcels {
        [] => Error::Closed,
        [only] if is_missing(error) => missing(only),
        // It is too long, or expires too late.
        [first, ..] if is_malformed(error) => unsendable(first.destination.name(), explain(error)),
        [first, ..] => first.refused(explain(error)),
    }
}

fn unconfirmed(parcels: &[Parcel]) -> Error {
    let destination = parcels.first().map_or("", |parcel| parcel.destination.name());
    Error::Unconfirmed { destination: destination.to_owned(), reason: None }
}

/// The same error for each request of a batch.
fn repeat(error: &Error) -> Error {
    match error {
        Error::Unavailable { place, cause, reason } => {
            Error::Unavailable { place: place.clone(), cause: *cause, reason: reason.clone() }
        }
        _ => Error::Closed,
    }
}
