//! Pauses between attempts.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Pauses that double with each attempt, up to a maximum.
#[derive(Debug)]
pub struct Backoff {
    maximum: Duration,
    builder: ExponentialBuilder,
    pauses: ExponentialBackoff,
}

impl Backoff {
    /// The first pause and the maximum.
    pub fn new((first, maximum): (Duration, Duration)) -> Self {
        let builder = ExponentialBuilder::new()
            .with_factor(2.0)
            .with_min_delay(first)
            .with_max_delay(maximum)
            .without_max_times();
        Self { maximum, builder, pauses: builder.build() }
    }

    /// How long to wait before the next attempt.
    pub fn pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(self.maximum)
    }

    /// Starts again with the first pause.
    pub fn reset(&mut self) {
        self.pauses = self.builder.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum_and_start_again() {
        let (first, maximum) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new((first, maximum));
        let pauses: Vec<Duration> = (0..100).map(|_| backoff.pause()).collect();
        // The library's factor has seven digits.
        let millis: Vec<u128> = pauses[..4].iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [100, 200, 400, 800]);
        assert!(pauses[4..].iter().all(|pause| *pause == maximum), "{pauses:?}");
        backoff.reset();
        assert_eq!(backoff.pause(), first);
    }
}
