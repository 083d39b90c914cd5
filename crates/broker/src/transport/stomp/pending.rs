//! A settlement that the broker has not answered in time.

use tokio::sync::oneshot;

use super::link::Refusal;
use crate::books::Fate;

/// A settlement that is under way.
pub(super) struct Pending {
    pub(super) answer: oneshot::Receiver<Result<(), Refusal>>,
    pub(super) destination: String,
    pub(super) consequence: Consequence,
}

/// What follows when a settlement is confirmed.
pub(super) struct Consequence {
    /// What the books say then.
    pub(super) fate: Option<Fate>,
    /// For a message that is accepted, the queues that it was sent to again.
    pub(super) accepted: Option<Vec<String>>,
}
