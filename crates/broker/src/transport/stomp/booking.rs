//! What the books are told.

use std::time::Duration;

use super::reception::{Common, Held};
use crate::books::{Entry, Fate};
use crate::message::{Outgoing, is_dead_letter_queue};
use crate::transport::{Delivery, Settlement, Verdict};

impl Common {
    /// What the books say of messages that are to be sent.
    pub(super) fn entries(&self, messages: &[Outgoing]) -> Vec<Entry> {
        match self.options.clerk {
            Some(_) => messages.iter().filter_map(Entry::of).collect(),
            None => Vec::new(),
        }
    }

    /// Enters messages that the broker has accepted.
    pub(super) fn enter_accepted(&self, entries: &[Entry]) {
        if let Some(clerk) = self.options.clerk.as_ref().filter(|_| !entries.is_empty()) {
            clerk.accepted(entries);
        }
    }

    /// Enters that a message which is not held is a dead letter now.
    pub(super) fn enter_dead(&self, held: &Held) {
        if let Some(clerk) = self.options.clerk.as_ref().filter(|_| held.received.has_own_id) {
            clerk.settled(&held.received.id, Fate::Dead);
        }
    }

    /// Enters that a message is about to be settled; what becomes of it.
    pub(super) fn begin_to_settle(&self, held: &Held, delivery: &Delivery, settlement: &Settlement) -> Option<Fate> {
        let clerk = self.options.clerk.as_ref().filter(|_| held.booked.is_some())?;
        let is_letter = is_dead_letter_queue(delivery.source.name());
        let fate = match &settlement.verdict {
            Verdict::Accept if is_letter => Fate::Removed,
            Verdict::Accept => Fate::Finished,
            Verdict::DeadLetter { .. } => Fate::Dead,
            Verdict::Retry { .. } if held.received.retries >= self.options.delivery_limit => Fate::Dead,
            Verdict::Retry { after, .. } | Verdict::Requeue { after } => Fate::Again { after: *after },
            Verdict::Release => Fate::Again { after: Duration::ZERO },
        };
        clerk.settling(&delivery.id, &self.entries(&settlement.outputs));
        Some(fate)
    }

    /// Enters that a message is settled.
    pub(super) fn enter_settled(&self, id: &str, fate: Option<Fate>) {
        if let (Some(clerk), Some(fate)) = (&self.options.clerk, fate) {
            clerk.settled(id, fate);
        }
    }

    /// Waits until the books are written, for a moment at most.
    pub(super) async fn flush_books(&self) {
        if let Some(clerk) = self.options.clerk.clone() {
            // It waits for the disk.
            let _ = tokio::task::spawn_blocking(move || clerk.flush()).await;
        }
    }
}
