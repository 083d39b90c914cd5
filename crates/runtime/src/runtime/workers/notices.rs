//! What a worker of the second edition says beside its answers.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Hello, Standing, Worker};
use crate::runtime::said::reason;
use zrecipe_language::value::Value;

impl Worker<'_> {
    /// The worker has started.
    pub(super) fn welcome(&mut self, pong: &Value) {
        self.is_well = true;
        self.hello = Hello::read(pong);
        self.shared.standing.send_modify(|standing| *standing = Standing { up: standing.up + 1, unwell: None });
        let hello = self.hello.clone();
        let differs = self.shared.hello.borrow().as_ref().is_some_and(|first| first.queues != hello.queues);
        if differs {
            tracing::warn!(
                "worker `{}` consumes other queues than before; restart the service to apply this",
                self.plan.name()
            );
        }
        self.shared.hello.send_if_modified(|first| first.is_none() && first.replace(hello).is_none());
        if self.hello.is_second() {
            for (topic, number) in self.shared.outside.topics().into_iter().zip(1..) {
                // Its own numbers are positive.
                self.subscribe(&Value::from([("topic", topic)]), -number);
            }
        }
    }

    /// Hands the messages of a subscription to this worker.
    fn subscribe(&mut self, wish: &Value, number: i64) {
        let (end, ended) = oneshot::channel();
        self.subscriptions.insert(number, end);
        let serving = self.shared.outside.serve(wish, number, self.lines.clone(), self.own.0.clone(), ended);
        self.errands.spawn(serving);
    }

    /// Tells the worker that no more messages come; it finishes what it is at and ends.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
        let _ = self.lines.send(Value::from([("stop", true)]).to_json());
        self.subscriptions.clear();
    }

    /// Takes a line that is no answer; whether it was one.
    pub(super) fn notice(&mut self, said: &Value) -> bool {
        let Some(line) = said.as_object() else { return false };
        let number = |key: &str| line.get(key).and_then(Value::as_i64);
        let text = |key: &str| line.get(key).and_then(Value::as_str);
        if let Some(why) = text("fatal") {
            self.fatal = Some((reason(why), text("hint").map(reason)));
            return true;
        }
        if let Some(record) = line.get("log") {
            self.record(record);
            return true;
        }
        if !self.hello.is_second() && self.is_well {
            return false;
        }
        if let Some(id) = number("begun") {
            if let Some(pending) = self.pending.get_mut(&id) {
                pending.has_begun = true;
                pending.deadline = Instant::now() + self.plan.time_limit;
            }
        } else if let (Some(id), Some(parts)) = (number("id"), line.get("send").and_then(Value::as_array)) {
            if let Some(pending) = self.pending.get_mut(&id) {
                pending.parts.extend(parts.iter().cloned());
            }
        } else if let Some(outputs) = line.get("send") {
            let sending = self.shared.outside.send(outputs, number("n"), self.lines.clone());
            self.errands.spawn(sending);
        } else if let (Some(wish), Some(number)) = (line.get("subscribe"), number("n")) {
            self.subscribe(wish, number);
        } else if let Some(number) = number("unsubscribe") {
            self.subscriptions.remove(&number);
        } else if let Some(name) = text("name") {
            self.shared.name.send_replace(Some(reason(name)));
        } else if line.get("terminate").is_some_and(Value::is_truthy) {
            self.shared.retired.send_replace(true);
        } else {
            return false;
        }
        true
    }

    /// A record of the worker's log: with its level, its message and its traceback.
    fn record(&self, record: &Value) {
        let text = |key: &str| record.get(key).and_then(Value::as_str);
        let about = record.get("about").and_then(Value::as_i64);
        let pending = about.and_then(|id| self.pending.get(&id));
        let span = pending.map_or_else(tracing::Span::none, |pending| pending.span.clone());
        let _entered = span.enter();
        let (message, logger) = (text("message").unwrap_or_default(), text("logger").unwrap_or_default());
        let message = match text("traceback") {
            Some(traceback) => format!("{message}\n{traceback}"),
            None => message.to_owned(),
        };
        let id = text("recipe_ID").filter(|_| pending.is_none());
        macro_rules! write {
            ($level:ident) => {
                match id {
                    Some(id) => tracing::$level!(logger, recipe_ID = id, "{message}"),
                    None => tracing::$level!(logger, "{message}"),
                }
            };
        }
        match text("level") {
            Some("ERROR" | "CRITICAL" | "FATAL") => write!(error),
            Some("WARNING" | "WARN") => write!(warn),
            Some("DEBUG") => write!(debug),
            _ => write!(info),
        }
    }
}
