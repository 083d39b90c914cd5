//! Queues, exchanges and bindings as the broker is told about them.

use super::{Binding, Destination, Exchange, Queue};
use crate::value::Value;

impl Queue {
    /// `classic`, `quorum` or `stream`.
    pub fn kind(&self) -> &str {
        self.arguments.get("x-queue-type").and_then(Value::as_str).unwrap_or("classic")
    }

    /// The queue as the broker is told about it.
    pub fn definition(&self) -> Value {
        Value::from([
            ("name", Value::from(self.name.text.as_str())),
            ("durable", Value::Bool(true)),
            ("auto_delete", Value::Bool(false)),
            ("arguments", Value::Object((*self.arguments).clone())),
            ("vhost", Value::from(self.vhost.text.as_str())),
        ])
    }
}

impl Exchange {
    /// The exchange as the broker is told about it.
    pub fn definition(&self) -> Value {
        Value::from([
            ("name", Value::from(self.name.text.as_str())),
            ("type", Value::from(self.kind.as_str())),
            ("durable", Value::Bool(self.durable)),
            ("auto_delete", Value::Bool(self.auto_delete)),
            ("internal", Value::Bool(self.internal)),
            ("arguments", Value::Object((*self.arguments).clone())),
            ("vhost", Value::from(self.vhost.text.as_str())),
        ])
    }
}

impl Binding {
    /// The binding as the broker is told about it.
    pub fn definition(&self) -> Value {
        let kind = match self.kind {
            Destination::Queue => "q",
            Destination::Exchange => "e",
        };
        Value::from([
            ("source", Value::from(self.source.text.as_str())),
            ("destination", Value::from(self.destination.text.as_str())),
            ("destination_type", Value::from(kind)),
            ("vhost", Value::from(self.vhost.text.as_str())),
            ("routing_key", Value::from(self.routing_key.as_str())),
            ("arguments", Value::Object((*self.arguments).clone())),
        ])
    }
}
