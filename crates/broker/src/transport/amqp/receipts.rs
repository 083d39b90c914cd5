//! Settles deliveries on one channel. Acknowledgements that come together go together, as one where they can.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{Channel, Result};

/// The channel of a subscription, and which of its deliveries are settled.
pub(super) struct Receipts {
    pub(super) channel: Channel,
    tags: Mutex<Tags>,
    /// One acknowledges for all who wait meanwhile.
    turn: tokio::sync::Mutex<()>,
}

/// The broker counts its tags from 1 on each channel.
#[derive(Debug, Default)]
struct Tags {
    /// Dealt with, and not acknowledged yet.
    waiting: BTreeSet<u64>,
    /// All up to here are settled.
    low: u64,
    /// Settled beyond that.
    settled: BTreeSet<u64>,
}

impl Tags {
    /// What to tell the broker: each of these, and everything up to that one.
    fn collect(&mut self) -> (Vec<u64>, Option<u64>) {
        let waiting = std::mem::take(&mut self.waiting);
        for tag in &waiting {
            self.settle(*tag);
        }
        let (together, single): (Vec<u64>, Vec<u64>) = waiting.into_iter().partition(|tag| *tag <= self.low);
        (single, together.last().copied())
    }

    fn settle(&mut self, tag: u64) {
        self.settled.insert(tag);
        while self.settled.remove(&(self.low + 1)) {
            self.low += 1;
        }
    }
}

impl Receipts {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, tags: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.channel.status().connected()
    }

    fn tags(&self) -> MutexGuard<'_, Tags> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acknowledges a delivery. False if the channel is gone.
    pub(super) async fn acknowledge(&self, tag: u64) -> bool {
        self.tags().waiting.insert(tag);
        let _turn = self.turn.lock().await;
        if self.tags().waiting.contains(&tag) {
            // Whoever was woken by the same confirmation comes along.
            tokio::task::yield_now().await;
            let (single, up_to) = self.tags().collect();
            if self.tell(single, up_to).await.is_err() {
                return false;
            }
        }
        self.is_open()
    }

    async fn tell(&self, single: Vec<u64>, up_to: Option<u64>) -> Result<()> {
        if let Some(tag) = up_to {
            self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?;
        }
        for tag in single {
            self.channel.basic_ack(tag, BasicAckOptions::default()).await?;
        }
        Ok(())
    }

    /// Puts a delivery back into its queue. False if the channel is gone.
    pub(super) async fn give_back(&self, tag: u64) -> bool {
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        let told = self.channel.basic_nack(tag, options).await;
        self.tags().settle(tag);
        told.is_ok() && self.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_gap_goes_as_one() {
        let mut tags = Tags::default();
        for (waiting, single, up_to) in [
            (vec![1], vec![], Some(1)),
            (vec![3, 5], vec![3, 5], None),
            (vec![2, 4], vec![], Some(4)),
            (vec![6, 7, 9], vec![9], Some(7)),
            (vec![], vec![], None),
        ] {
            tags.waiting.extend(&waiting);
            assert_eq!(tags.collect(), (single, up_to), "{waiting:?}");
        }
        tags.settle(8);
        assert_eq!((tags.low, tags.settled.len()), (9, 0), "one that went back leaves no gap");
    }
}
