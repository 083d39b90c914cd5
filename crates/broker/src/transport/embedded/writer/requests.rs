//! What the writer thread is asked, and what comes of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot, watch};

use crate::transport::embedded::sql::{Claim, Ending, Parcel};
use crate::transport::{Delivery, Destination, Error};

/// The most requests, and about the most bytes, that one transaction takes.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 32 << 20;

/// What the writer thread is asked.
pub(in crate::transport::embedded) enum Request {
    /// Do this and answer when it is on the disk.
    Do(Op, Option<Reply>),
    /// Something may have changed.
    Look,
    /// The process of this name may have died.
    Gone(String),
    /// Follow what other processes change.
    Listen(oneshot::Sender<()>),
    /// Release everything and end.
    Close(Option<oneshot::Sender<Result<(), Error>>>),
}

pub(in crate::transport::embedded) type Reply = oneshot::Sender<Result<Answer, Error>>;

/// One request that writes.
pub(in crate::transport::embedded) enum Op {
    Send {
        namespace: Arc<str>,
        parcels: Vec<Parcel>,
    },
    Settle {
        namespace: Arc<str>,
        tag: u64,
        id: String,
        ending: Ending,
    },
    Declare {
        namespace: Arc<str>,
        queue: String,
    },
    Subscribe(Subscriber),
    Describe {
        namespace: Arc<str>,
        description: String,
    },
    Hold {
        namespace: Arc<str>,
        lease: u64,
    },
    Purge {
        namespace: Arc<str>,
        queue: String,
    },
    Forget {
        namespace: Arc<str>,
    },
    /// A subscription is over.
    End(u64),
    /// A handle and its clones are gone.
    Leave(u64),
    /// A process has died.
    Bury(String),
}

impl Op {
    fn size(&self) -> usize {
        match self {
            Op::Send { parcels, .. } => parcels.iter().map(Parcel::size).sum(),
            Op::Settle { ending, .. } => ending.outputs.iter().map(Parcel::size).sum(),
            _ => 0,
        }
    }
}

/// Who wants messages.
pub(in crate::transport::embedded) struct Subscriber {
    /// Chosen by whoever asks, so that it can end what it has not heard back about.
    pub(in crate::transport::embedded) number: u64,
    pub(in crate::transport::embedded) lease: u64,
    pub(in crate::transport::embedded) namespace: Arc<str>,
    pub(in crate::transport::embedded) source: Destination,
    pub(in crate::transport::embedded) prefetch: usize,
    pub(in crate::transport::embedded) sender: mpsc::Sender<Delivery>,
    /// Dropped with the subscription.
    pub(in crate::transport::embedded) _alive: oneshot::Sender<()>,
}

/// What came of a request.
#[derive(Debug)]
pub(in crate::transport::embedded) enum Answer {
    Done,
    Held(bool),
    /// All is sent, but for what was taken before: the ids of that.
    Sent(Vec<String>),
    Place {
        namespace: i64,
        queue: i64,
    },
    /// How many messages were thrown away.
    Purged(u64),
}

/// The change counts of the namespaces that handles of this process know.
pub(in crate::transport::embedded) type Watches = Arc<Mutex<HashMap<String, watch::Sender<u64>>>>;

/// What waits to be done together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) ops: Vec<Op>,
    pub(super) replies: Vec<Option<Reply>>,
    pub(super) bytes: usize,
    pub(super) look: bool,
    pub(super) close: Option<Option<oneshot::Sender<Result<(), Error>>>>,
}

impl Batch {
    pub(super) fn push(&mut self, op: Op, reply: Option<Reply>) {
        self.bytes += op.size();
        self.ops.push(op);
        self.replies.push(reply);
    }

    pub(super) fn is_full(&self) -> bool {
        self.ops.len() >= BATCH || self.bytes >= BATCH_BYTES || self.close.is_some()
    }

    pub(super) fn take(&mut self) -> (Vec<Op>, Vec<Option<Reply>>) {
        self.bytes = 0;
        (std::mem::take(&mut self.ops), std::mem::take(&mut self.replies))
    }
}

/// What a transaction has done, to be applied once it is on the disk.
pub(super) struct Done {
    pub(super) outcomes: Vec<Result<Answer, Error>>,
    pub(super) claims: Vec<(u64, Claim)>,
    pub(super) changed: Vec<(String, u64)>,
    pub(super) leaves_work: bool,
}
