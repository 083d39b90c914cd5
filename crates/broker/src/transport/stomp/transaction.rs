//! Frames that count together or not at all.

use super::frame::Frame;
use super::link::{Link, Refusal, answered};

/// Sends messages and acknowledges a delivery in one transaction; done when the broker has it on disk.
///
/// ActiveMQ commits what it can: a frame of the transaction that it refuses is left out, and the rest is committed. So each
/// frame is answered before the commit, and the transaction is aborted if one is refused.
///
/// # Errors
/// The broker refuses a frame, and nothing has happened. Or the connection is lost, and either all has happened or nothing.
pub(super) async fn transact(link: &Link, messages: Vec<Frame>, acknowledgement: Option<Frame>) -> Result<(), Refusal> {
    let mut frames: Vec<Frame> = messages.into_iter().chain(acknowledgement).collect();
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
    match refused {
        Some(refusal) => {
            link.write(&of("ABORT")).await;
            Err(refusal)
        }
        None => link.ask(of("COMMIT")).await,
    }
}
