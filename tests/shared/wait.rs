//! Waiting for conditions. A test waits until something is so, and never for a time, so that it holds on a busy machine.

#![allow(dead_code, reason = "each binary uses a part")]

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Time after which a wait fails. It is far longer than anything takes, and nothing is measured with it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(10);

/// The output of a future, which must come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long: {what}"),
    }
}

/// Waits until a condition holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    eventually_ok(what, async || if condition().await { Ok(()) } else { Err("") }).await;
}

/// Waits until something succeeds. If it never does, the last error is shown.
pub async fn eventually_ok<T, E: Display>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) if Instant::now() >= deadline => panic!("waited too long: {what}\n{error}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// [`eventually`] in tests that are not asynchronous.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_until_ok(what, || if condition() { Ok(()) } else { Err("") });
}

/// [`eventually_ok`] in tests that are not asynchronous.
#[track_caller]
pub fn wait_until_ok<T, E: Display>(what: &str, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) if Instant::now() >= deadline => panic!("waited too long: {what}\n{error}"),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
