//! What a service makes of a message, and what a host tells of it.

use std::time::{Duration, SystemTime};

use super::pressure::Obstacle;
use zrecipe_broker::message::{Outgoing, Output, Reason};
use zrecipe_language::value::Value;

/// What an event, a log line and a report say of a message that was dead-lettered.
pub const DEAD_LETTERED: &str = "dead-lettered";
/// What they say of a message that is delivered again.
pub const RETRY: &str = "retry";

/// What a service makes of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is dealt with.
    Done {
        /// What to send on.
        outputs: Vec<Output>,
        /// How it went, for the record of the run.
        result: StepResult,
        /// More for the record.
        detail: Value,
    },
    /// It is dealt with, and led to these messages (for services that stand outside a recipe).
    Dispatched {
        /// What to send.
        messages: Vec<Outgoing>,
        /// What is said of it: `done`, `not-ready` or `never-ready`.
        outcome: &'static str,
        /// For the record; why, where it did not go well, under `reason`.
        detail: Value,
    },
    /// It can never be dealt with: to the dead letters.
    Bad {
        /// Why. Text alone is a reason of code [`Code::Rejected`](zrecipe_broker::message::Code).
        reason: Reason,
    },
    /// It cannot be dealt with now. Counts as an attempt of the message.
    Later {
        /// Why.
        reason: String,
        /// When to try again.
        after: Duration,
    },
    /// Something is exhausted that all messages need. The host pauses and tries again; that does not count.
    HeldUp(Obstacle),
    /// Remember this and come back to the same step with it.
    Checkpoint {
        /// What to remember.
        payload: Value,
        /// When to come back.
        delay: Duration,
    },
}

impl Outcome {
    /// It went well, and led to these outputs.
    pub fn done(outputs: Vec<Output>) -> Self {
        Self::Done { outputs, result: StepResult::Succeeded, detail: Value::Null }
    }

    /// Something of this machine failed: held up where it is exhausted, else another attempt after a while.
    pub fn of_fault(error: &(dyn std::error::Error + 'static), after: Duration) -> Self {
        match Obstacle::of_machine(error) {
            Some(obstacle) => Self::HeldUp(obstacle),
            None => Self::Later { reason: error.to_string(), after },
        }
    }
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepResult {
    /// As it should.
    Succeeded,
    /// Not as it should; the recipe may deal with that on a channel.
    Failed,
    /// It was stopped at its time limit.
    TimedOut,
}

impl StepResult {
    /// As written in the record of a run.
    pub fn as_str(self) -> &'static str {
        match self {
            StepResult::Succeeded => "done",
            StepResult::Failed => "failed",
            StepResult::TimedOut => "timed out",
        }
    }
}

/// What a host tells whoever watches it.
#[derive(Debug, Clone)]
pub enum Event {
    /// A service has begun with a message.
    Started {
        /// The message's id.
        id: String,
        /// The service.
        service: String,
        /// The recipe step, if there is one.
        step: Option<i64>,
        /// The recipe ID, if there is one.
        recipe_id: Option<String>,
        /// How often the message has been delivered.
        deliveries: u32,
        /// Maximum time that it takes when all is well.
        allowance: Option<Duration>,
    },
    /// A message is settled.
    Settled {
        /// The message's id.
        id: String,
        /// The service.
        service: String,
        /// The recipe step, if there is one.
        step: Option<i64>,
        /// `done`, `failed`, `timed out`, `retry`, `dead-lettered`, `checkpoint`, `not-ready`, `never-ready`.
        outcome: &'static str,
        /// Why, where it did not go well.
        reason: Option<String>,
        /// How many messages it led to.
        sent: usize,
        /// How long the service was at it.
        took: Duration,
        /// How often the message has been delivered.
        attempt: u32,
        /// Pause before the next attempt, if there is one.
        retry_after: Option<Duration>,
    },
    /// A message is held up through no fault of its own. It is settled, or abandoned, later.
    HeldUp {
        /// The message's id.
        id: String,
        /// The service.
        service: String,
        /// What holds it up: a destination in backticks, or `the broker`, `the disk` and the like.
        by: String,
        /// The reason, in words.
        reason: String,
        /// How many attempts have failed, this one included; they do not count against the message.
        attempt: u32,
        /// The next attempt.
        again: SystemTime,
    },
    /// A message could not be settled: it is no longer ours, or the broker is gone. It is delivered again.
    Abandoned {
        /// The message's id.
        id: String,
    },
    /// Something is not as it should be, and nothing else says so.
    Warning(String),
    /// What an instance does at the broker beside messages.
    Traffic(Traffic),
}

/// What an instance does at the broker beside messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// It has subscribed to queues: their number.
    Subscribed(usize),
    /// It has subscribed to a topic.
    SubscribedToTopic,
    /// Subscriptions of it have ended: their number.
    Unsubscribed(usize),
    /// It has broadcast its status.
    Broadcast,
}
