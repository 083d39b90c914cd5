//! Work that waits for brokers and programs, until it is done or somebody interrupts it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

use super::error::Error;
use zrecipe_broker::connections::all_closed;

/// How long the end of a connection may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the end of a thread may take that waits for a file or a program.
const THREADS: Duration = Duration::from_secs(1);
/// How long messages of others may take to go back after a signal, and how long the rest may take then: together less
/// than two seconds.
pub const GRACE: Duration = Duration::from_millis(1200);
const SHORT: Duration = Duration::from_millis(250);

/// Runs something that waits for brokers and programs.
///
/// # Errors
/// What it says, or there are no threads to be had.
pub fn block_on<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    block_on_until(future, || false)
}

/// The same for what sees to signals itself; its end is short when it was `hurried`.
///
/// # Errors
/// As [`block_on`].
pub fn block_on_hurried<T>(future: impl Future<Output = Result<T, Error>>, hurried: &AtomicBool) -> Result<T, Error> {
    block_on_until(future, || hurried.load(Ordering::Relaxed))
}

/// The same; its end is short when `is_hurried` says so.
fn block_on_until<T>(
    future: impl Future<Output = Result<T, Error>>,
    is_hurried: impl Fn() -> bool,
) -> Result<T, Error> {
    let or_short = |time| if is_hurried() { SHORT } else { time };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::new(format!("cannot start threads: {error}")))?;
    let result = runtime.block_on(async {
        let result = future.await;
        // Whatever has ended it, the broker hears of it.
        let _ = timeout(or_short(FAREWELL), all_closed()).await;
        result
    });
    // A thread that waits for a file or a program must not keep us.
    runtime.shutdown_timeout(or_short(THREADS));
    result
}

/// The same for what holds messages of others: it is told when a signal asks for its end, and releases them. A second signal
/// does not wait for that, and neither does the first one for a broker that does not answer.
///
/// # Errors
/// As [`block_on`]; or it was interrupted and could not end in order.
pub fn block_on_politely<T>(work: impl AsyncFnOnce(watch::Receiver<bool>) -> Result<T, Error>) -> Result<T, Error> {
    let (end, over) = watch::channel(false);
    let interrupted = over.clone();
    let work = async {
        let mut signals = Signals::new();
        let cut_off = async {
            signals.next().await;
            end.send_replace(true);
            if timeout(GRACE, signals.next()).await.is_ok() { "interrupted twice" } else { "interrupted" }
        };
        tokio::select! {
            biased;
            result = work(over) => result,
            how = cut_off => Err(Error::new(format!("{how}, before the broker had requeued all messages"))
                .hint("held messages are requeued unchanged, which counts as a delivery")),
        }
    };
    block_on_until(work, || *interrupted.borrow())
}

/// Does things side by side, at most `limit` at a time; what they come to, in their order.
pub async fn side_by_side<T>(limit: usize, work: Vec<Pin<Box<dyn Future<Output = T> + '_>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = work.iter().map(|_| None).collect();
    let mut waiting = work.into_iter().enumerate();
    let mut running = Vec::new();
    std::future::poll_fn(|cx| {
        loop {
            let room = limit.max(1).saturating_sub(running.len());
            running.extend(waiting.by_ref().take(room));
            let before = running.len();
            running.retain_mut(|(at, work)| match work.as_mut().poll(cx) {
                Poll::Ready(result) => {
                    done[*at] = Some(result);
                    false
                }
                Poll::Pending => true,
            });
            match running.len() {
                0 if waiting.len() == 0 => return Poll::Ready(()),
                now if now == before => return Poll::Pending,
                _ => {}
            }
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// The signals by which somebody wants the program to end; none is missed from the beginning on.
struct Signals(Option<(Signal, Signal)>);

impl Signals {
    fn new() -> Self {
        Self(signal(SignalKind::interrupt()).and_then(|first| Ok((first, signal(SignalKind::terminate())?))).ok())
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some((interrupt, terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
    }
}

/// Waits until somebody wants the program to end.
pub async fn interrupted() {
    Signals::new().next().await;
}
