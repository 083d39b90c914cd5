//! What a service subscribes to and sends.

use ruff_python_ast::ExprCall;
use serde_json::{Value, json};

use super::facts::{Queue, Send, Sent, Use};
use super::flow::Walk;
use super::values::{Abs, At, Code, Given};

impl<'a> Walk<'_, 'a> {
    /// Notes that a value may be of several types.
    pub fn used_as_any(&mut self, value: &Abs<'a>) {
        if let Abs::At(at) = value {
            for index in &at.reads {
                self.facts.reads[*index].uses.push((Use::Any, true));
            }
        }
    }

    pub fn subscribe(&mut self, given: &Given<'a>, at: usize, is_recipe: bool, call: &'a ExprCall) -> Abs<'a> {
        let queue = given.get(at, "channel").or_else(|| given.keyword("queue")).cloned().unwrap_or(Abs::Unknown);
        let handler = match given.get(at + 1, "callback") {
            // What comes first in it is not of the message.
            Some(Abs::Partial(partial)) if partial.1.args.is_empty() => partial.0.clone(),
            handler => handler.cloned().unwrap_or(Abs::Unknown),
        };
        let plain = !is_recipe
            || matches!(given.keyword("allow_non_recipe_messages"), Some(Abs::Json(value)) if **value == Value::Bool(true));
        let mut names: Vec<(String, bool)> = Vec::new();
        let mut add = |value: &Abs<'a>| match value {
            Abs::Overridable(name) => names.push((name.to_string(), true)),
            Abs::Prefixed(head, _) => names.push((format!("{head}*"), false)),
            other => names.extend(other.as_text().map(|name| (name.to_owned(), false))),
        };
        match &queue {
            Abs::OneOf(all) => all.iter().for_each(&mut add),
            one => add(one),
        }
        let called = match &handler {
            Abs::Function(callable) => match callable.code {
                Code::Function(function) => Some(function.node.name.to_string()),
                Code::Lambda(_) => None,
            },
            _ => None,
        };
        let evidence = self.evidence(call);
        for (name, other) in names {
            if !self.facts.queues.iter().any(|queue| queue.name == name) {
                let (handler, evidence) = (called.clone(), evidence.clone());
                self.facts.queues.push(Queue { name, other, plain, handler, evidence });
            }
        }
        self.handlers.push((handler, is_recipe));
        Abs::Unknown
    }

    pub fn send_on(&mut self, channel: &Abs<'a>, payload: Option<&Abs<'a>>, call: &'a ExprCall) {
        match channel {
            Abs::OneOf(names) => {
                let certain = std::mem::replace(&mut self.certain, false);
                for name in names.iter() {
                    self.send_on(name, payload, call);
                }
                self.certain = certain;
            }
            Abs::Json(name) => match &**name {
                Value::String(name) => self.send(Some(name), payload, call),
                Value::Number(name) => self.send(Some(&name.to_string()), payload, call),
                _ => {}
            },
            _ => self.facts.other_channels = true,
        }
    }

    pub fn send(&mut self, channel: Option<&str>, payload: Option<&Abs<'a>>, call: &'a ExprCall) {
        let sent = payload.map_or_else(Sent::default, |payload| self.sent(payload));
        let send = Send {
            channel: channel.map(str::to_owned),
            sent,
            always: self.certain,
            choices: self.choices.clone(),
            evidence: self.evidence(call),
        };
        self.facts.sends.push(send);
    }

    pub fn sent(&self, payload: &Abs<'a>) -> Sent {
        let mappings = |at: &At<'a>| -> Option<Vec<String>> {
            at.is_whole().then(|| at.places.iter().filter_map(super::facts::Place::mapping).collect())
        };
        let mut sent = Sent::default();
        let literal = |value: &Abs<'a>| match value {
            Abs::Json(value) => json!({"const": **value}),
            Abs::Nothing => json!({"type": "null"}),
            Abs::Prefixed(..) => json!({"type": "string"}),
            Abs::List(_) => json!({"type": "array"}),
            Abs::Dict(_) => json!({"type": "object"}),
            _ => json!({}),
        };
        match payload {
            Abs::Dict(at) => {
                let dict = &self.dicts[*at];
                sent.keys = Some(
                    dict.keys.iter().map(|(key, (always, value))| (key.clone(), *always, literal(value))).collect(),
                );
                sent.open = dict.open || !dict.forwards.is_empty();
                sent.forwards = dict.forwards.iter().filter_map(mappings).flatten().collect();
            }
            Abs::At(at) => {
                sent.open = true;
                sent.forwards = mappings(at).unwrap_or_default();
                if let Some(extra) = at.extra {
                    let keys = self.dicts[extra].keys.iter();
                    sent.keys =
                        Some(keys.map(|(key, (always, value))| (key.clone(), *always, literal(value))).collect());
                }
            }
            Abs::Json(_) | Abs::Nothing | Abs::Prefixed(..) | Abs::List(_) => sent.schema = Some(literal(payload)),
            _ => sent.open = true,
        }
        sent.forwards.dedup();
        sent
    }
}
