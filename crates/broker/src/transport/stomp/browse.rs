//! Reading a queue without taking its messages, and emptying it.

use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::frame::Frame;
use super::link::{Link, Refusal, answered};
use super::wire;
use crate::message::Destination;
use crate::transport::{State, Stored};

/// How long the broker may take from one message to the next.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last messages of a queue may take to arrive.
const IDLE: Duration = Duration::from_millis(500);
/// How many messages are taken at a time.
const BATCH: usize = 500;

/// The first messages of a queue, at most so many, in their places.
///
/// # Errors
/// The broker refuses, or the connection is lost.
pub(super) async fn browse(link: &Link, prefix: &str, queue: &str, most: usize) -> Result<Vec<Frame>, Refusal> {
    let (id, mut frames) = subscribe(link, prefix, queue, "auto", true).await?;
    let mut found = Vec::new();
    while found.len() < most {
        match timeout(PATIENCE, frames.recv()).await {
            Ok(Some(frame)) if frame.get("browser") == Some("end") => break,
            Ok(Some(frame)) => found.push(frame),
            Ok(None) => return Err(Refusal::Lost),
            Err(_) => return Err(Refusal::Refused("it did not answer in time".to_owned())),
        }
    }
    unsubscribe(link, &id).await?;
    Ok(found)
}

/// Throws away what waits in a queue; how many messages.
///
/// # Errors
/// The broker refuses, or the connection is lost.
pub(super) async fn purge(link: &Link, prefix: &str, queue: &str) -> Result<u64, Refusal> {
    let (id, mut frames) = subscribe(link, prefix, queue, "client-individual", false).await?;
    let mut count = 0;
    loop {
        let mut answers = Vec::new();
        while answers.len() < BATCH
            && let Ok(Some(frame)) = timeout(IDLE, frames.recv()).await
        {
            answers.push(link.request(Frame::new("ACK").with("id", frame.get("ack").unwrap_or_default())).await);
        }
        let is_last = answers.len() < BATCH;
        for answer in answers {
            answered(answer).await?;
            count += 1;
        }
        if is_last {
            break;
        }
    }
    unsubscribe(link, &id).await?;
    Ok(count)
}

async fn subscribe(
    link: &Link,
    prefix: &str,
    queue: &str,
    ack: &str,
    is_browser: bool,
) -> Result<(String, tokio::sync::mpsc::UnboundedReceiver<Frame>), Refusal> {
    let id = format!("b{}", link.number());
    let frames = link.listen(&id);
    let mut frame = Frame::new("SUBSCRIBE")
        .with("id", id.as_str())
        .with("destination", wire::address(prefix, &Destination::Queue(queue.to_owned())))
        .with("ack", ack)
        .with("activemq.prefetchSize", BATCH.to_string());
    if is_browser {
        frame = frame.with("browser", "true");
    }
    match link.ask(frame).await {
        Ok(()) => Ok((id, frames)),
        Err(refusal) => {
            link.leave(&id);
            Err(refusal)
        }
    }
}

async fn unsubscribe(link: &Link, id: &str) -> Result<(), Refusal> {
    let done = link.ask(Frame::new("UNSUBSCRIBE").with("id", id)).await;
    link.leave(id);
    done
}

/// A message of a queue as it lies there.
pub(super) fn stored(prefix: &str, queue: &str, mut frame: Frame) -> Stored {
    let body = std::mem::take(&mut frame.body);
    let received = wire::received(prefix, &frame);
    let sent = received.sent.unwrap_or(SystemTime::UNIX_EPOCH);
    Stored {
        id: received.id,
        queue: queue.to_owned(),
        headers: received.headers,
        body,
        deliveries: received.retries.saturating_add(received.returns),
        state: State::Ready,
        due: sent,
        sent,
    }
}
