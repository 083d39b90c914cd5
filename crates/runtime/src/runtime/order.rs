//! The order of a consumer's messages: a service begins with them in the order of their delivery.
//!
//! Every delivery is handled by a task of its own, and tasks run in any order. A delivery therefore takes a [`Turn`] when
//! it arrives. Its work is polled for the first time when no earlier delivery waits any more, and whatever a service
//! does before its first `await` happens in the order of delivery: a line is queued for a file, a question for a worker.
//! From there on the work of several messages goes on side by side.

use std::collections::BTreeSet;
use std::pin::pin;

use tokio::sync::watch;

/// The deliveries of one consumer that wait to be begun.
#[derive(Debug, Clone, Default)]
pub struct Order {
    waiting: std::sync::Arc<watch::Sender<BTreeSet<u64>>>,
}

/// The place of a delivery among those that wait. Dropping it lets the next one begin.
#[derive(Debug)]
pub struct Turn {
    order: Order,
    number: u64,
}

impl Order {
    /// A place for the delivery with this number; lower numbers begin first.
    pub fn join(&self, number: u64) -> Turn {
        self.waiting.send_modify(|waiting| _ = waiting.insert(number));
        Turn { order: self.clone(), number }
    }
}

impl Turn {
    /// Waits until no earlier delivery waits.
    pub async fn reached(&self) {
        let mut waiting = self.order.waiting.subscribe();
        // The sender lives as long as this.
        let _ = waiting.wait_for(|waiting| waiting.first() == Some(&self.number)).await;
    }

    /// Begins work; the next delivery begins when the work has been polled once. Work that ends at once gives its turn
    /// back, for whoever has to begin again before the others.
    pub async fn begin<F: Future>(self, work: F) -> (F::Output, Option<Self>) {
        let mut work = pin!(work);
        let mut turn = Some(self);
        let output = std::future::poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            if polled.is_pending() {
                drop(turn.take());
            }
            polled
        });
        let output = output.await;
        (output, turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.order.waiting.send_modify(|waiting| _ = waiting.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn work_that_ends_at_once_is_repeated_before_the_next_begins() {
        const COUNT: u64 = 50;
        let (order, begun) = (Order::default(), Arc::new(Mutex::new(Vec::new())));
        let turns: Vec<Turn> = (0..COUNT).map(|number| order.join(number)).collect();
        let attempt = |turn: Turn, begun: Arc<Mutex<Vec<u64>>>| async move {
            turn.reached().await;
            let mut turn = Some(turn);
            for _ in 0..3 {
                let Some(now) = turn.take() else { break };
                tokio::task::yield_now().await;
                let number = now.number;
                (_, turn) = now.begin(async { begun.lock().expect("no panic").push(number) }).await;
            }
        };
        let tasks: Vec<_> = turns.into_iter().map(|turn| tokio::spawn(attempt(turn, Arc::clone(&begun)))).collect();
        for task in tasks {
            task.await.expect("ends");
        }
        let expected: Vec<u64> = (0..COUNT).flat_map(|number| [number; 3]).collect();
        assert_eq!(*begun.lock().expect("no panic"), expected);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn work_begins_in_order_and_goes_on_side_by_side() {
        const COUNT: u64 = 200;
        let (order, begun) = (Order::default(), Arc::new(Mutex::new(Vec::new())));
        let all = Arc::new(tokio::sync::Barrier::new(COUNT as usize - 1));
        let turns: Vec<Turn> = (0..COUNT).map(|number| order.join(number)).collect();
        // The last ones are started first, and one of them never begins.
        let tasks: Vec<_> = turns
            .into_iter()
            .rev()
            .map(|turn| {
                let (begun, all) = (Arc::clone(&begun), Arc::clone(&all));
                tokio::spawn(async move {
                    turn.reached().await;
                    let number = turn.number;
                    if number == 7 {
                        return;
                    }
                    let work = async {
                        begun.lock().expect("no panic").push(number);
                        all.wait().await;
                    };
                    turn.begin(work).await;
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("ends");
        }
        let expected: Vec<u64> = (0..COUNT).filter(|number| *number != 7).collect();
        assert_eq!(*begun.lock().expect("no panic"), expected);
    }
}
