//! How a program ended.

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this exit status.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// It was stopped at its time limit.
    TimedOut,
    /// It was stopped because it had printed nothing for too long.
    Silent,
    /// It could not be started.
    Unstartable(String),
}
