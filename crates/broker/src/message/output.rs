//! What services send: along a channel of their step, back to the step itself, or to a destination of their own.

use std::time::Duration;

use super::{Destination, Outgoing, message_id};
use zrecipe_language::value::{Object, Value};

/// What a service sends.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The channel; none: the step's unnamed output, or the service's default channel.
    pub channel: Option<String>,
    /// The payload.
    pub payload: Value,
    /// Headers of its own.
    pub headers: Object,
    /// How it travels, where the recipe does not decide that alone.
    pub sending: Sending,
}

/// How an output travels, where the recipe does not decide that alone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sending {
    /// Where it goes.
    pub way: Way,
    /// The recipe environment of the message; none: that of the message which led to it.
    pub environment: Option<Object>,
    /// Delay of its delivery; it precedes `transport-delay` of the step.
    pub delay: Option<Duration>,
    /// Time after which the message is dropped if no service has taken it.
    pub expiration: Option<Duration>,
}

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Way {
    /// To the steps that its channel is connected to.
    #[default]
    Channel,
    /// To the same step again: a state that a service keeps for later.
    Checkpoint,
    /// To a queue or topic that no recipe names.
    Own {
        /// Queue or topic.
        destination: Destination,
        /// Exchange instead of the usual one.
        exchange: Option<String>,
        /// Whether the payload is a text that becomes the body as it is.
        is_text: bool,
        /// Id of the message; none: one that follows from the message which led to it.
        id: Option<String>,
    },
}

impl Output {
    /// A payload on a channel; without one on the default channel.
    pub fn new(channel: Option<String>, payload: Value) -> Self {
        Self { channel, payload, headers: Object::new(), sending: Sending::default() }
    }

    /// A payload on a channel.
    pub fn on(channel: &str, payload: impl Into<Value>) -> Self {
        Self::new(Some(channel.to_owned()), payload.into())
    }

    /// Whether it goes along a channel.
    pub fn is_on_channel(&self) -> bool {
        self.sending.way == Way::Channel
    }

    /// Whether it goes to the same step again.
    pub fn is_checkpoint(&self) -> bool {
        self.sending.way == Way::Checkpoint
    }

    /// The message of an output with a destination of its own; `parent` is the id of the message that led to it.
    pub fn own(&self, parent: &str, ordinal: usize) -> Option<Outgoing> {
        let Way::Own { destination, exchange, is_text, id } = &self.sending.way else { return None };
        let body = match (is_text, self.payload.as_str()) {
            (true, Some(text)) => text.to_owned(),
            _ => self.payload.to_json(),
        };
        let id = id.clone().unwrap_or_else(|| message_id(parent, &format!("own {ordinal}")));
        Some(Outgoing {
            exchange: exchange.clone(),
            delay: self.sending.delay,
            expiration: self.sending.expiration,
            ..Outgoing::new(id, destination.clone(), self.headers.clone(), body.into_bytes())
        })
    }
}

/// The messages that outputs with destinations of their own become.
pub fn own_messages(parent: &str, outputs: &[Output]) -> Vec<Outgoing> {
    outputs.iter().enumerate().filter_map(|(ordinal, output)| output.own(parent, ordinal)).collect()
}
