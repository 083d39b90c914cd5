//! Answers of a run: the payload that a step of this run receives, or that one of its services sends on a channel.
//!
//! The recipe gets a step of its own whose queue nobody else knows, beside the step or on the channel that is asked for.
//! So an answer belongs to this run, and a stale one of another run does not exist.

use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use crate::cli::Error;
use zrecipe_broker::message::{Destination, Envelope, Request};
use zrecipe_broker::transport::{Deliveries, Settlement, Subscription, Transport, Verdict};
use zrecipe_language::contract::{Contract, Contracts};
use zrecipe_language::value::{Object, Value};

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// What the step of this number receives.
    Step(i64),
    /// What is sent on a channel of this name.
    Channel(String),
}

impl Awaited {
    /// Reads it: a number is a step.
    pub fn read(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Channel(text.to_owned()), Self::Step)
    }
}

/// A queue for the answers of one run.
pub struct Answers {
    queue: String,
    deliveries: Deliveries,
}

/// The name of a queue that nobody else has.
pub fn queue() -> String {
    format!("transient.answers.{}", Uuid::new_v4())
}

/// Lets the recipe of a request send a copy of what is awaited to a queue.
///
/// # Errors
/// The request carries no recipe, or its recipe has no such step or channel.
pub fn tap(request: &mut Request, awaited: &Awaited, queue: &str, contracts: &Contracts) -> Result<(), Error> {
    let Some(Value::Object(recipe)) = &mut request.custom_recipe else {
        return Err(Error::new("`--wait` needs a recipe that is on this machine")
            .hint("give a file with `-f FILE`, or a directory of recipes with `--recipe-dir`"));
    };
    let number = recipe.keys().filter_map(|key| key.parse::<i64>().ok()).max().unwrap_or(0) + 1;
    let found = match awaited {
        Awaited::Step(step) => tap_step(recipe, *step, number),
        Awaited::Channel(channel) => tap_channel(recipe, channel, number, contracts),
    };
    if !found {
        let what = match awaited {
            Awaited::Step(step) => format!("no link or start of the recipe leads to step `{step}`"),
            Awaited::Channel(channel) => format!("no step of the recipe has a channel `{channel}`"),
        };
        return Err(Error::new(what).hint("give `--wait` a step number or a channel name"));
    }
    recipe.insert(number.to_string(), Value::from([("queue", queue)]));
    Ok(())
}

/// Adds the copy wherever something leads to the step; whether something does.
fn tap_step(recipe: &mut Object, step: i64, number: i64) -> bool {
    let mut found = false;
    for (key, value) in recipe.iter_mut() {
        if key == "start" {
            let Value::Array(entries) = value else { continue };
            let is_meant = |entry: &&Value| {
                entry.as_array().is_some_and(|entry| entry.first().and_then(Value::as_i64) == Some(step))
            };
            let copies: Vec<Value> = entries.iter().filter(is_meant).cloned().collect();
            found |= !copies.is_empty();
            entries.extend(copies.into_iter().map(|entry| {
                let mut entry = entry.as_array().unwrap_or_default().to_vec();
                entry[0] = Value::from(number);
                Value::Array(entry)
            }));
        } else if let Some(output) = output_of(value) {
            match output {
                Value::Object(channels) => {
                    for links in channels.values_mut() {
                        found |= add_beside(links, step, number);
                    }
                }
                links => found |= add_beside(links, step, number),
            }
        }
    }
    found
}

fn output_of(step: &mut Value) -> Option<&mut Value> {
    match step {
        Value::Object(step) => step.get_mut("output"),
        _ => None,
    }
}

/// Adds a link where there is one to the step; whether there is.
fn add_beside(links: &mut Value, step: i64, number: i64) -> bool {
    let is_there = match &*links {
        Value::Array(all) => all.iter().any(|link| link.as_i64() == Some(step)),
        link => link.as_i64() == Some(step),
    };
    if is_there {
        add(links, number);
    }
    is_there
}

fn add(links: &mut Value, number: i64) {
    let mut all = match std::mem::take(links) {
        Value::Array(all) => all,
        Value::Null => Vec::new(),
        link => vec![link],
    };
    all.push(Value::from(number));
    *links = Value::Array(all);
}

/// Adds the copy to each channel of this name; where no step connects one, to the steps whose service promises it.
fn tap_channel(recipe: &mut Object, channel: &str, number: i64, contracts: &Contracts) -> bool {
    let mut found = false;
    for step in recipe.values_mut() {
        let service = step.get("service").and_then(Value::as_str).and_then(|name| contracts.of_service(name));
        let is_default = service.and_then(Contract::default_channel).is_some_and(|known| known.name == channel);
        match output_of(step) {
            Some(Value::Object(channels)) => {
                if let Some(links) = channels.get_mut(channel) {
                    add(links, number);
                    found = true;
                }
            }
            Some(links) if is_default => {
                add(links, number);
                found = true;
            }
            Some(_) | None => {}
        }
    }
    if found {
        return true;
    }
    for step in recipe.values_mut() {
        let queue = step.get("queue").and_then(Value::as_str).and_then(|queue| contracts.of_queue(queue));
        let service = step.get("service").and_then(Value::as_str).and_then(|name| contracts.of_service(name));
        let promises = service.or(queue).is_some_and(|contract| contract.channel(channel).is_some());
        let Value::Object(step) = step else { continue };
        if !promises {
            continue;
        }
        let output = step.entry("output".to_owned()).or_insert_with(|| Value::Object(Object::new()));
        if let Value::Object(channels) = output {
            channels.insert(channel.to_owned(), Value::from(vec![number]));
            found = true;
        }
    }
    found
}

impl Answers {
    /// Declares the queue and waits for messages; before the request is sent, so that whoever is quick is heard as well.
    ///
    /// # Errors
    /// The broker.
    pub async fn open(transport: &dyn Transport, queue: String) -> Result<Self, Error> {
        transport.declare_temporary(&queue).await?;
        let source = Destination::Queue(queue.clone());
        let deliveries = transport.subscribe(Subscription { source, prefetch: 1 }).await?;
        Ok(Self { queue, deliveries })
    }

    /// The first answer.
    ///
    /// # Errors
    /// There is none in time, or the broker.
    pub async fn first(&mut self, transport: &dyn Transport, limit: Option<Duration>) -> Result<Value, Error> {
        let next = async {
            loop {
                let Some(delivery) = self.deliveries.next().await else { return Ok(None) };
                transport.settle(&delivery, Settlement::of(Verdict::Accept)).await?;
                if let Ok(envelope) = Envelope::read(&delivery.headers, &delivery.body) {
                    return Ok::<_, Error>(Some(envelope.payload));
                }
            }
        };
        let found = match limit {
            Some(limit) => timeout(limit, next).await.map_err(|_| {
                Error::new(format!("no answer came within {} s", limit.as_secs_f64()))
                    .hint("the run continues; see its state with `zrecipe show ID`")
            })?,
            None => next.await,
        };
        let queue = &self.queue;
        found?.ok_or_else(|| Error::new(format!("the broker cancelled the subscription to `{queue}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_language::syntax::json::read_value;

    fn tapped(recipe: &str, awaited: &str) -> String {
        let recipe = read_value(recipe.as_bytes()).expect("JSON");
        let mut request = Request { custom_recipe: Some(recipe), ..Request::default() };
        match tap(&mut request, &Awaited::read(awaited), "q", Contracts::built_in()) {
            Ok(()) => request.custom_recipe.expect("is there").to_json(),
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn a_copy_goes_beside_what_is_awaited() {
        const RECIPE: &str = r#"{"1":{"queue":"a","output":{"x":2,"y":[2,3]}},"2":{"queue":"b"},"3":{"queue":"c","output":2},"start":[[1,{"n":1}]]}"#;
        for (awaited, expected) in [
            (
                "2",
                r#"{"1":{"queue":"a","output":{"x":[2,4],"y":[2,3,4]}},"2":{"queue":"b"},"3":{"queue":"c","output":[2,4]},"start":[[1,{"n":1}]],"4":{"queue":"q"}}"#,
            ),
            (
                "1",
                r#"{"1":{"queue":"a","output":{"x":2,"y":[2,3]}},"2":{"queue":"b"},"3":{"queue":"c","output":2},"start":[[1,{"n":1}],[4,{"n":1}]],"4":{"queue":"q"}}"#,
            ),
            (
                "y",
                r#"{"1":{"queue":"a","output":{"x":2,"y":[2,3,4]}},"2":{"queue":"b"},"3":{"queue":"c","output":2},"start":[[1,{"n":1}]],"4":{"queue":"q"}}"#,
            ),
            ("z", "no step of the recipe has a channel `z`"),
            ("9", "no link or start of the recipe leads to step `9`"),
        ] {
            assert_eq!(tapped(RECIPE, awaited), expected, "{awaited}");
        }
        // A channel that no step connects is connected where its service promises it.
        let runner = r#"{"1":{"service":"Runner","queue":"runner.submission"},"start":[[1,[]]]}"#;
        let expected = r#"{"1":{"service":"Runner","queue":"runner.submission","output":{"job_processed":[2]}},"start":[[1,[]]],"2":{"queue":"q"}}"#;
        assert_eq!(tapped(runner, "job_processed"), expected);
    }
}
