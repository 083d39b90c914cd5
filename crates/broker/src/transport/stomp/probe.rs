//! What the broker does with a message that a consumer rejects, tried with one of ours: nothing else tells it.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use uuid::Uuid;

use super::PROBE;
use super::frame::Frame;
use super::link::{Link, Refusal};
use super::wire;
use crate::message::headers::DESTINATION;
use crate::message::{Destination, dead_letter_queue};
use crate::transport::{DeadLetters, Place};

/// How long a message may take to its consumer, and a dead letter to its queue.
const ARRIVAL: Duration = Duration::from_secs(2);
/// The queue of dead letters of a broker whose configuration says nothing of them.
const SHARED: &str = "/queue/ActiveMQ.DLQ";
/// The header that tells our message from others; a selector can name it.
const HEADER: &str = "zrecipe_probe";

/// Rejects a message, and returns where it is then. It is removed from there.
///
/// # Errors
/// The broker refuses, or the connection is lost.
pub(super) async fn dead_letters(link: &Link, prefix: &str) -> Result<DeadLetters, Refusal> {
    let id = Uuid::new_v4().to_string();
    let address = |name: String| wire::address(prefix, &Destination::Queue(name));
    let (queue, letters) = (address(PROBE.to_owned()), address(dead_letter_queue(PROBE)));
    let sent =
        Frame::new("SEND").with(DESTINATION, queue.as_str()).with("persistent", "true").with(HEADER, id.as_str());
    link.ask(sent).await?;
    let own = Listener::open(link, &letters, &id).await?;
    let probe = Listener::open(link, &queue, &id).await?;
    let mut place = Place::Nowhere;
    let (mut own, mut probe) = (own, probe);
    if let Some(frame) = probe.next().await {
        link.ask(Frame::new("NACK").with("id", frame.get("ack").unwrap_or_default())).await?;
        if own.take(link).await? {
            place = Place::OfItsQueue;
        } else {
            let mut shared = Listener::open(link, SHARED, &id).await?;
            if shared.take(link).await? {
                place = Place::Shared(SHARED.trim_start_matches("/queue/").to_owned());
            }
            shared.close(link).await?;
        }
    }
    own.close(link).await?;
    probe.close(link).await?;
    let name = |address: String| address.trim_start_matches("/queue/").to_owned();
    Ok(DeadLetters { place, left_behind: vec![name(queue), name(letters)] })
}

/// A subscription to our message in a queue.
struct Listener {
    id: String,
    frames: UnboundedReceiver<Frame>,
}

impl Listener {
    async fn open(link: &Link, address: &str, message: &str) -> Result<Self, Refusal> {
        let id = format!("p{}", link.number());
        let frames = link.listen(&id);
        let frame = Frame::new("SUBSCRIBE")
            .with("id", id.as_str())
            .with(DESTINATION, address)
            .with("ack", "client-individual")
            .with("selector", format!("{HEADER} = '{message}'"));
        match link.ask(frame).await {
            Ok(()) => Ok(Self { id, frames }),
            Err(refusal) => {
                link.leave(&id);
                Err(refusal)
            }
        }
    }

    async fn next(&mut self) -> Option<Frame> {
        timeout(ARRIVAL, self.frames.recv()).await.ok().flatten()
    }

    /// Acknowledges the message, if it comes.
    async fn take(&mut self, link: &Link) -> Result<bool, Refusal> {
        let Some(frame) = self.next().await else { return Ok(false) };
        link.ask(Frame::new("ACK").with("id", frame.get("ack").unwrap_or_default())).await?;
        Ok(true)
    }

    async fn close(self, link: &Link) -> Result<(), Refusal> {
        link.leave(&self.id);
        link.ask(Frame::new("UNSUBSCRIBE").with("id", self.id.as_str())).await
    }
}
