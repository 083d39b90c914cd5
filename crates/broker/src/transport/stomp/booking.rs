//! Records of messages for the accounts.

use super::reception::{Common, Held};
use crate::books::Fate;
use crate::holdings::enter_settling;
use crate::transport::{Delivery, Settlement};

impl Common {
    /// Enters that a message which is not held is a dead letter now.
    pub(super) fn enter_dead(&self, held: &Held) {
        if let Some(clerk) = self.options.clerk.as_ref().filter(|_| held.received.has_own_id) {
            clerk.settled(&held.received.id, Fate::Dead);
        }
    }

    /// Enters that a message is about to be settled; what becomes of it.
    pub(super) async fn begin_to_settle(
        &self,
        held: &Held,
        delivery: &Delivery,
        settlement: &Settlement,
    ) -> Option<Fate> {
        let clerk = self.options.clerk.as_ref().filter(|_| held.booked.is_some())?;
        let fate = settlement.fate(&delivery.source, held.received.retries >= self.options.delivery_limit);
        enter_settling(clerk, &delivery.id, fate, &settlement.outputs).await;
        Some(fate)
    }

    /// Enters that a message is settled.
    pub(super) fn enter_settled(&self, id: &str, fate: Option<Fate>) {
        if let (Some(clerk), Some(fate)) = (&self.options.clerk, fate) {
            clerk.settled(id, fate);
        }
    }

    /// Waits until the books are written, for a moment at most.
    pub(super) async fn keep_books(&self) {
        if let Some(clerk) = &self.options.clerk {
            clerk.keep().await;
        }
    }
}
