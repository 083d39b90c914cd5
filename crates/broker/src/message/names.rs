//! Names of queues that follow from other names.

/// How the name of a dead-letter queue begins.
const DEAD_LETTERS: &str = "dlq.";
/// How the names of queues and exchanges begin in which messages wait for the end of a delay (RabbitMQ).
pub const DELAY_PREFIX: &str = "zrecipe.delay.";

/// The dead-letter queue of a queue. Dead letters that die again stay where they are.
pub fn dead_letter_queue(queue: &str) -> String {
    if is_dead_letter_queue(queue) { queue.to_owned() } else { format!("{DEAD_LETTERS}{queue}") }
}

/// Whether a queue holds dead letters, by its name.
pub fn is_dead_letter_queue(queue: &str) -> bool {
    queue.starts_with(DEAD_LETTERS)
}

/// The queue whose dead letters a queue holds; nothing for a queue of another kind.
pub fn source_of_dead_letters(queue: &str) -> Option<&str> {
    queue.strip_prefix(DEAD_LETTERS)
}

/// Whether a queue or an exchange is a place in which messages wait.
pub fn is_delay(name: &str) -> bool {
    name.starts_with(DELAY_PREFIX)
}
