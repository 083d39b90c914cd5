//! A message on its way to a broker, and where it goes.

use std::time::Duration;

use uuid::Uuid;

use zrecipe_language::value::Object;

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// One consumer of the queue gets it.
    Queue(String),
    /// Every subscriber of the topic that is there now gets it.
    Topic(String),
}

impl Destination {
    /// The queue's or the topic's name.
    pub fn name(&self) -> &str {
        match self {
            Destination::Queue(name) | Destination::Topic(name) => name,
        }
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Destination::Queue(name) => write!(f, "queue `{name}`"),
            Destination::Topic(name) => write!(f, "topic `{name}`"),
        }
    }
}

/// A message on its way to a broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Its identity: the same message sent again has the same id, and a receiver takes it once.
    pub id: String,
    /// Queue or topic.
    pub destination: Destination,
    /// Publish to this exchange instead of the destination's usual one (brokers with exchanges only).
    pub exchange: Option<String>,
    /// Deliver no sooner than this after sending.
    pub delay: Option<Duration>,
    /// Drop it when nobody has taken it for this long.
    pub expiration: Option<Duration>,
    /// What else its sender said of it, on brokers that keep it: AMQP's properties by their names, and below `headers` those
    /// headers that are more than JSON can say.
    pub properties: Object,
    /// Headers.
    pub headers: Object,
    /// Body, usually JSON text.
    pub body: Vec<u8>,
    /// The recipe step that it is for, where the sender knows it without reading the body.
    pub recipe_step: Option<RecipeStep>,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecipeStep {
    /// The recipe ID, if the run has one.
    pub recipe_id: Option<String>,
    /// The step.
    pub step: i64,
}

impl Outgoing {
    /// A message that goes at once, stays until it is taken, and of which no more is said.
    pub fn new(id: String, destination: Destination, headers: Object, body: Vec<u8>) -> Self {
        let (exchange, delay, expiration, properties) = (None, None, None, Object::new());
        Self { id, destination, exchange, delay, expiration, properties, headers, body, recipe_step: None }
    }
}

/// The id of the message that `name` says within what follows from the message `parent`: a version 5 UUID, so the
/// same every time.
pub fn message_id(parent: &str, name: &str) -> String {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_2a3c_93c5_5a0e_8d0b_7a65_6372_7a01);
    Uuid::new_v5(&NAMESPACE, format!("{parent}\n{name}").as_bytes()).to_string()
}
