//! How many lines about messages that went well are logged.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Maximum number of such lines a second.
const MAX_LINES: u64 = 20;

/// The lines of a process.
pub(super) static LINES: Lines = Lines::new();

/// Lines that are counted second by second.
pub(super) struct Lines(Mutex<State>);

struct State {
    /// When the second began.
    since: Option<Instant>,
    /// Lines in it.
    lines: u64,
    /// Messages without a line since the last line.
    unlogged: u64,
}

impl Lines {
    const fn new() -> Self {
        Self(Mutex::new(State { since: None, lines: 0, unlogged: 0 }))
    }

    /// Whether a message gets a line: the number of messages before it that got none.
    pub(super) fn take(&self) -> Option<u64> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_over = state.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1));
        if is_over {
            (state.since, state.lines) = (Some(now), 0);
        }
        if state.lines >= MAX_LINES {
            state.unlogged += 1;
            return None;
        }
        state.lines += 1;
        Some(std::mem::take(&mut state.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_messages_a_second_few_get_a_line() {
        let (lines, start) = (Lines::new(), Instant::now());
        let taken: Vec<Option<u64>> = (0..1000).map(|_| lines.take_at(start)).collect();
        assert!(taken[..20].iter().all(|line| *line == Some(0)));
        assert!(taken[20..].iter().all(Option::is_none));
        let later = start + Duration::from_secs(1);
        assert_eq!((lines.take_at(later), lines.take_at(later)), (Some(980), Some(0)));
    }
}
