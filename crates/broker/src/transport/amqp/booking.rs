//! What the books are told.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::consumer::Held;
use super::wire;
use crate::books::{Clerk, Entry, Fate};
use crate::message::{Outgoing, is_dead_letter_queue};
use crate::transport::{Delivery, Settlement, Verdict};

impl Shared {
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

    /// Enters that a message is back in its queue.
    pub(super) fn enter_renewed(&self, held: &Held) {
        if let (Some(clerk), Some(id)) = (&self.options.clerk, &held.booked) {
            clerk.settled(id, Fate::Again { after: Duration::ZERO });
        }
    }

    /// Enters that a message is about to be settled; who keeps the books, and what becomes of the message.
    pub(super) fn begin_to_settle(
        &self,
        held: &Held,
        delivery: &Delivery,
        settlement: &Settlement,
    ) -> Option<(Arc<dyn Clerk>, Fate)> {
        let clerk = self.options.clerk.clone().filter(|_| held.booked.is_some())?;
        let is_letter = is_dead_letter_queue(delivery.source.name());
        let fate = match &settlement.verdict {
            Verdict::Accept if is_letter => Fate::Removed,
            Verdict::Accept => Fate::Finished,
            Verdict::DeadLetter { .. } => Fate::Dead,
            Verdict::Retry { .. } if wire::retries(&held.properties) >= self.options.delivery_limit => Fate::Dead,
            Verdict::Retry { after, .. } | Verdict::Requeue { after } => Fate::Again { after: *after },
            Verdict::Release => Fate::Again { after: Duration::ZERO },
        };
        clerk.settling(&delivery.id, &self.entries(&settlement.outputs));
        Some((clerk, fate))
    }
}
