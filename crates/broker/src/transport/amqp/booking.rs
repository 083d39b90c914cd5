//! Records of messages for the accounts.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::consumer::Held;
use super::wire;
use crate::books::{Clerk, Fate};
use crate::holdings::enter_settling;
use crate::transport::{Delivery, Settlement};

impl Shared {
    /// Enters that a message is back in its queue.
    pub(super) fn enter_renewed(&self, held: &Held) {
        if let (Some(clerk), Some(id)) = (&self.options.clerk, &held.booked) {
            clerk.settled(id, Fate::Again { after: Duration::ZERO });
        }
    }

    /// Enters that a message is about to be settled; who keeps the books, and what becomes of the message.
    pub(super) async fn begin_to_settle(
        &self,
        held: &Held,
        delivery: &Delivery,
        settlement: &Settlement,
    ) -> Option<(Arc<dyn Clerk>, Fate)> {
        let clerk = self.options.clerk.clone().filter(|_| held.booked.is_some())?;
        let fate = settlement.fate(&delivery.source, wire::retries(&held.properties) >= self.options.delivery_limit);
        enter_settling(&clerk, &delivery.id, fate, &settlement.outputs).await;
        Some((clerk, fate))
    }
}
