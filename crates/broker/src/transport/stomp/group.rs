//! Transactions of several settlements. The broker deals with the frames of a connection one after the other and syncs its
//! journal at each commit, so what waits meanwhile is committed together.
//!
//! Each settlement is still done as a whole or not at all. If the broker refuses a frame, each is tried by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::faults;
use super::frame::Frame;
use super::link::{Link, Refusal};
use super::transaction::transact;

/// How many settlements are committed together at most.
const MAX_TOGETHER: usize = 200;
/// The same for the bytes of their messages.
const MAX_BYTES: usize = 4 << 20;

/// Messages to send and a delivery to acknowledge, all or nothing.
pub(super) struct Request {
    pub(super) messages: Vec<Frame>,
    pub(super) acknowledgement: Option<Frame>,
    /// Nobody waits for it any more: it is not to happen.
    pub(super) given_up: Arc<AtomicBool>,
    pub(super) reply: oneshot::Sender<Result<(), Refusal>>,
}

impl Request {
    fn size(&self) -> usize {
        self.messages.iter().map(|message| message.body.len()).sum()
    }

    async fn perform(self, link: &Link) {
        let is_given_up = || self.given_up.load(Ordering::Relaxed);
        let answer = transact(link, self.messages, self.acknowledgement.into_iter().collect(), is_given_up).await;
        let _ = self.reply.send(answer);
    }
}

/// The requests of one connection.
pub(super) struct Group {
    /// Its number.
    pub(super) epoch: u64,
    requests: mpsc::UnboundedSender<Request>,
}

impl Group {
    /// Performs requests on a connection for as long as this lives.
    pub(super) fn start(link: Arc<Link>) -> Self {
        let (requests, waiting) = mpsc::unbounded_channel();
        let epoch = link.epoch;
        tokio::spawn(perform(link, waiting));
        Self { epoch, requests }
    }

    /// Has a request performed.
    pub(super) fn put(&self, request: Request) {
        // One that is not taken has no answer.
        let _ = self.requests.send(request);
    }
}

async fn perform(link: Arc<Link>, mut waiting: mpsc::UnboundedReceiver<Request>) {
    while let Some(first) = waiting.recv().await {
        let (mut bytes, mut requests) = (first.size(), vec![first]);
        while requests.len() < MAX_TOGETHER
            && bytes < MAX_BYTES
            && let Ok(next) = waiting.try_recv()
        {
            bytes += next.size();
            requests.push(next);
        }
        if requests.len() > 1 {
            let messages = requests.iter().flat_map(|request| &request.messages).cloned().collect();
            let acknowledgements = requests.iter().filter_map(|request| request.acknowledgement.clone()).collect();
            let is_given_up = || requests.iter().any(|request| request.given_up.load(Ordering::Relaxed));
            match transact(&link, messages, acknowledgements, is_given_up).await {
                Err(Refusal::Refused(reason)) if !faults::is_full(&reason) => {}
                // Where there is no room for them, there is none for one after the other.
                answer => {
                    requests.into_iter().for_each(|request| _ = request.reply.send(answer.clone()));
                    continue;
                }
            }
        }
        for request in requests {
            request.perform(&link).await;
        }
    }
}
