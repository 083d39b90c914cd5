//! Names of headers: those of zrecipe, of RabbitMQ and ActiveMQ, and of the Python packages.
//!
//! No other file spells one of them (a test keeps this).

use zrecipe_language::value::{Object, Value};

/// Marks the body as a recipe message, as in `workflows.recipe`.
pub const RECIPE_HEADER: &str = "workflows-recipe";
/// Why a message was dead-lettered: text for people.
pub const REASON: &str = "zrecipe-reason";
/// Why a message was dead-lettered: a [`Code`](super::Code). It begins as brokers' headers do, so that each version of zrecipe
/// removes it where it removes the text.
pub const REASON_CODE: &str = "x-zrecipe-reason-code";
/// Number of retries so far, on brokers where a retry is a copy.
pub const RETRIES: &str = "zrecipe-retries";
/// Marks a copy of a message that was delivered before.
pub const RENEWED: &str = "zrecipe-renewed";
/// Marks a kept request that the broker may have although it has not confirmed it.
pub const UNCONFIRMED: &str = "zrecipe.unconfirmed";
/// Marks a message that was sent back from a dead-letter queue; its value is the text `True`, as that of
/// `zocalo.dlq_reinject`.
pub const REINJECTED: &str = "dlq-reinjected";
/// The user who sent a request with `zocalo.go` or `zrecipe go`.
pub const REQUEST_USER: &str = "zocalo.go.user";
/// The host from which a request was sent.
pub const REQUEST_HOST: &str = "zocalo.go.host";
/// The id of a message in the files of `zocalo.dlq_purge`.
pub const MESSAGE_ID: &str = "message-id";
/// The deaths of a message, newest first (RabbitMQ).
pub const DEATHS: &str = "x-death";
/// Start of the headers that repeat the first death (RabbitMQ).
pub const FIRST_DEATH: &str = "x-first-death-";
/// Start of the headers that repeat the last death (RabbitMQ).
pub const LAST_DEATH: &str = "x-last-death-";
/// How often a quorum queue had the message come back (RabbitMQ).
pub const DELIVERY_COUNT: &str = "x-delivery-count";
/// How often a quorum queue gave the message to a consumer (RabbitMQ 4.3 and later).
pub const ACQUIRED_COUNT: &str = "x-acquired-count";
/// Delay in milliseconds, for the delayed-message plug-in (RabbitMQ).
pub const DELAY: &str = "x-delay";
/// The id that a message was sent with, on a broker that has only text.
pub const ID: &str = "zrecipe-id";
/// Names of headers whose text is JSON, separated by line ends, on a broker that has only text.
pub const JSON: &str = "zrecipe-json";
/// Number of times that a message came back because its consumer was lost, on a broker that does not count them.
pub const RETURNS: &str = "zrecipe-returns";
/// Selector of messages that came back, by which Schlockmeister subscribes (ActiveMQ).
pub const CAME_BACK: &str = "JMSXDeliveryCount > 1";
/// When a message came back because its consumer was lost: times in milliseconds since 1970, separated by commas, on a broker
/// that does not count returns.
pub const RETURNED: &str = "zrecipe-returned";
/// Places that a message was taken from by bridges, separated by line ends: it is not carried to one of them again.
pub const BRIDGED: &str = "zrecipe-bridged";
/// Properties of a message for which a broker has no header of its own: a JSON object.
pub const PROPERTIES: &str = "zrecipe-properties";
/// When a message was sent first, in milliseconds since 1970.
pub const SENT: &str = "zrecipe-sent";
/// When a delayed message is due, in milliseconds since 1970: a broker without a scheduler delivers it at once.
pub const DUE: &str = "zrecipe-due";
/// Before the name of a header that STOMP or ActiveMQ would take for its own.
pub const OWN_PREFIX: &str = "zrecipe.";
/// Where ActiveMQ and Python's tools say that a dead letter comes from.
pub const ORIGIN: &str = "original-destination";
/// Why the broker made a dead letter of a message: text (ActiveMQ).
pub const FAILURE_CAUSE: &str = "dlqDeliveryFailureCause";
/// When a dead letter had expired before it became one, in milliseconds since 1970; 0 for never (ActiveMQ).
pub const ORIGINAL_EXPIRATION: &str = "originalExpiration";
/// Where a message was sent to (STOMP).
pub const DESTINATION: &str = "destination";
/// When the broker took a message, in milliseconds since 1970 (STOMP and ActiveMQ).
pub const TIMESTAMP: &str = "timestamp";

/// Start of the headers that brokers write.
const BROKER_PREFIX: &str = "x-";
/// What is written for one delivery on one broker, and says nothing about the message itself.
const OF_A_DELIVERY: [&str; 5] = [RETRIES, RENEWED, DELIVERY_COUNT, ACQUIRED_COUNT, DELAY];
/// What `workflows` adds to the headers of a delivery, and `zocalo.dlq_purge` therefore writes into its files.
const OF_WORKFLOWS: [&str; 11] = [
    MESSAGE_ID,
    "routing_key",
    "redelivered",
    "exchange",
    "consumer_tag",
    "delivery_mode",
    "subscription",
    TIMESTAMP,
    DESTINATION,
    "content-length",
    "expires",
];

/// Whether the headers say that the body is a recipe message: `true`, `"True"`, `"true"` or 1, as in the reference.
pub fn is_recipe(headers: &Object) -> bool {
    match headers.get(RECIPE_HEADER) {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => matches!(text.as_str(), "True" | "true"),
        Some(Value::Number(number)) => number.as_f64() == 1.0,
        _ => false,
    }
}

/// Whether a broker, and not the sender, writes the header.
pub fn is_of_broker(name: &str) -> bool {
    name.starts_with(BROKER_PREFIX)
}

/// Whether the header belongs to one delivery and not to the message.
pub fn is_of_delivery(name: &str) -> bool {
    OF_A_DELIVERY.contains(&name)
}

/// Headers for a message that begins a new life: the sender's, without the bookkeeping of brokers and of zrecipe.
pub fn fresh_headers(headers: &Object) -> Object {
    let is_bookkeeping =
        |name: &str| is_of_broker(name) || is_of_delivery(name) || name == REASON || OF_WORKFLOWS.contains(&name);
    let own = headers.iter().filter(|(name, _)| !is_bookkeeping(name));
    let mut fresh: Object = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    if is_recipe(headers) {
        fresh.insert(RECIPE_HEADER.to_owned(), Value::Bool(true));
    }
    fresh
}

/// Headers for a message that a bridge carries to another broker: all that its sender wrote, whatever the names; what brokers
/// and zrecipe wrote for one delivery is removed. A dead letter keeps its deaths.
pub fn bridged_headers(headers: &Object, is_dead_letter: bool) -> Object {
    let is_of_deaths = |name: &str| {
        matches!(name, DEATHS | REASON | REASON_CODE) || name.starts_with(FIRST_DEATH) || name.starts_with(LAST_DEATH)
    };
    let kept = headers.iter().filter(|(name, _)| !is_of_delivery(name) && (is_dead_letter || !is_of_deaths(name)));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Headers for a message that goes back from a dead-letter queue.
pub fn reinjected_headers(headers: &Object) -> Object {
    let mut fresh = fresh_headers(headers);
    fresh.insert(REINJECTED.to_owned(), Value::from("True"));
    fresh
}
