//! How often a message may be delivered.

/// Retries after which a message is dead-lettered: it is delivered once more than this. RabbitMQ counts by the limit of the
/// queue where its policy sets one.
pub const DELIVERY_LIMIT: u32 = 5;
/// Returns after which a message is dead-lettered that came back because its consumer was lost or has left, on a broker that
/// does not count them.
pub const RETURN_LIMIT: u32 = 20;
/// The same as [`DELIVERY_LIMIT`] in a run on one machine, where only the user ends a retry.
pub const RUN_DELIVERY_LIMIT: u32 = 1000;
/// Returns of a message after which a tool that only reads replaces it by a copy, when the limit of its queue is unknown: at
/// the limit the broker would drop it.
pub const REPUBLISH_AFTER: u32 = 1;
