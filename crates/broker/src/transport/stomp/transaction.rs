//! Frames that count together or not at all.

use super::frame::Frame;
use super::link::{Link, Refusal, answered};

/// Sends messages and acknowledges deliveries in one transaction; done when the broker has it on disk.
///
/// ActiveMQ commits what it can: a frame of the transaction that it refuses is left out, and the rest is committed. So each
/// frame is answered before the commit, and the transaction is aborted if one is refused, or if it was given up meanwhile.
///
/// # Errors
/// The broker refuses a frame, and nothing has happened. Or the connection is lost, and either all has happened or nothing.
pub(super) async fn transact(
    link: &Link,
    messages: Vec<Frame>,
    acknowledgements: Vec<Frame>,
    is_given_up: impl Fn() -> bool,
) -> Result<(), Refusal> {
    let mut frames: Vec<Frame> = messages.into_iter().chain(acknowledgements).collect();
    if frames.len() < 2 {
        return match frames.pop() {
            Some(frame) => link.ask(frame).await,
            None => Ok(()),
        };
    }
    let id = format!("t{}", link.number());
    let of = |command: &str| Frame::new(command).with("transaction", id.as_str());
    let mut answers = vec![link.request(of("BEGIN")).await];
    for frame in frames {
        answers.push(link.request(frame.with("transaction", id.as_str())).await);
    }
    let mut refused = None;
    for answer in answers {
        if let Err(refusal) = answered(answer).await {
            refused.get_or_insert(refusal);
        }
    }
    if is_given_up() {
        refused.get_or_insert_with(|| Refusal::Refused("it was given up".to_owned()));
    }
    match refused {
        Some(refusal) => {
            link.write(&of("ABORT")).await;
            Err(refusal)
        }
        None => link.ask(of("COMMIT")).await,
    }
}

/// Whether the broker takes messages for queues, tried with one in a transaction that is aborted.
///
/// # Errors
/// The broker refuses it, or the connection is lost.
pub(super) async fn try_send(link: &Link, message: Frame) -> Result<(), Refusal> {
    let id = format!("t{}", link.number());
    let of = |command: &str| Frame::new(command).with("transaction", id.as_str());
    // The end is written at once: the broker comes to it even if nobody waits any more.
    let begun = link.request(of("BEGIN")).await;
    let sent = link.request(message.with("transaction", id.as_str())).await;
    let ended = link.request(of("ABORT")).await;
    answered(begun).await?;
    answered(sent).await?;
    answered(ended).await
}
