//! The recipe message: the bound recipe, the pointer to the step that is to deal with it, and what the previous step sent.

use std::sync::Arc;
use std::time::Duration;

use super::bound_recipe::BoundRecipe;
use super::death::{Cause, record_death};
use super::headers::{RECIPE_HEADER, is_recipe};
use super::names::dead_letter_queue;
use super::outgoing::{Destination, Outgoing, RecipeStep, message_id};
use super::output::{Output, Way};
use super::reason::{Code, Reason};
use zrecipe_language::recipe::step_number;
use zrecipe_language::syntax::json::{read_tree, read_value};
use zrecipe_language::syntax::{Kind, NodeRef};
use zrecipe_language::template::python;
use zrecipe_language::value::{Object, Value};

/// A recipe message.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The bound recipe.
    pub recipe: BoundRecipe,
    /// The step that is to deal with the message.
    pub pointer: i64,
    /// The steps it came through.
    pub path: Vec<Value>,
    /// What the whole run shares; `ID` is the recipe ID.
    pub environment: Object,
    /// What the previous step sent.
    pub payload: Value,
}

/// Why a message is no recipe message that could be dealt with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The header is missing: this is no recipe message at all.
    #[error("the message has no header `{RECIPE_HEADER}`")]
    NotARecipe,
    /// Not JSON.
    #[error("the body is {0}")]
    NotJson(String),
    /// The body is not an object with a recipe.
    #[error("the body is {0}, not an object with `recipe` and `recipe-pointer`")]
    NotAnObject(&'static str),
    /// A part is missing or has the wrong type.
    #[error("`{part}` of the message is {found}")]
    Malformed {
        /// Which part.
        part: &'static str,
        /// What stands there.
        found: String,
    },
    /// The pointer names no step of the recipe.
    #[error("`recipe-pointer` is {0}, and the recipe has no such step")]
    NoSuchStep(i64),
    /// The message has come to this step before: the recipe has a circle, which no dispatcher allows.
    #[error("the message goes in a circle: step {0} is in its `recipe-path` already")]
    Circle(i64),
    /// The message has come through more steps than there are.
    #[error("the message goes in a circle: its `recipe-path` has {length} steps, and the recipe has {steps}")]
    LongPath {
        /// Steps in the path.
        length: usize,
        /// Steps in the recipe.
        steps: usize,
    },
}

/// Why a message cannot be sent on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// A link of the recipe leads nowhere.
    #[error("step `{from}` links to {to}, which is not a step")]
    NoSuchStep {
        /// The step that has the link, or `start`.
        from: String,
        /// The link.
        to: String,
    },
    /// A step has no queue and no topic, so a message to it would be lost.
    #[error("step `{0}` has neither `queue` nor `topic`, so a message to it would be lost")]
    NoDestination(i64),
    /// A step's delay is no number of seconds.
    #[error("the transport-delay of step `{step}` is {found}")]
    Delay {
        /// The step.
        step: i64,
        /// What stands there.
        found: String,
    },
}

impl From<&Error> for Reason {
    fn from(error: &Error) -> Self {
        Self::new(Code::Malformed, error.to_string())
    }
}

impl From<&SendError> for Reason {
    fn from(error: &SendError) -> Self {
        Self::new(Code::Unsendable, error.to_string())
    }
}

/// A body as services get it: JSON, or text if it is none.
pub fn read_body(body: &[u8]) -> Value {
    read_value(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

impl RecipeStep {
    /// The recipe step that a message is for, where its sender says it or its body does. None for a message without a
    /// recipe, such as a request.
    pub fn of(message: &Outgoing) -> Option<Self> {
        let read = || Envelope::read(&message.headers, &message.body).ok().map(|envelope| envelope.recipe_step());
        message.recipe_step.clone().or_else(read)
    }
}

impl Envelope {
    /// Reads a recipe message.
    ///
    /// # Errors
    /// What is wrong with it; such a message can never be dealt with.
    pub fn read(headers: &Object, body: &[u8]) -> Result<Self, Error> {
        if !is_recipe(headers) {
            return Err(Error::NotARecipe);
        }
        let tree = Arc::new(read_tree(body).map_err(Error::NotJson)?);
        let root = tree.root();
        // An object with half a character in a key is a value that is kept as text.
        let is_unusual = root.kind() != Kind::Object || root.members().any(|member| member.key.raw().contains("\\u"));
        if is_unusual {
            let value = root.to_value();
            if !matches!(value, Value::Object(_)) {
                return Err(Error::NotAnObject(value.describe()));
            }
        }
        let take = |part: &str| root.get(part).map(NodeRef::to_value);
        let malformed = |part, found: Option<&Value>| {
            let found = found.map_or("missing".to_owned(), |found| found.describe().to_owned());
            Error::Malformed { part, found }
        };
        let recipe = root.get("recipe").and_then(|recipe| BoundRecipe::of(&tree, recipe.id()));
        let recipe = recipe.ok_or_else(|| malformed("recipe", take("recipe").as_ref()))?;
        let pointer = take("recipe-pointer");
        let pointer = match &pointer {
            // Python reads it with `int()`, so text will do.
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(number) => step_number(number),
            None => None,
        }
        .ok_or_else(|| match &pointer {
            Some(number @ Value::Number(_)) => {
                let found = format!("`{:.40}`, which is not the number of a step", number.to_json());
                Error::Malformed { part: "recipe-pointer", found }
            }
            other => malformed("recipe-pointer", other.as_ref()),
        })?;
        let path = match take("recipe-path") {
            None => Vec::new(),
            Some(Value::Array(path)) => path,
            other => return Err(malformed("recipe-path", other.as_ref())),
        };
        let environment = match take("environment") {
            None => Object::new(),
            Some(Value::Object(environment)) => environment,
            other => return Err(malformed("environment", other.as_ref())),
        };
        let payload = take("payload").unwrap_or_default();
        let envelope = Self { recipe, pointer, path, environment, payload };
        match envelope.recipe.step(pointer) {
            Some(Value::Object(_)) => {}
            Some(other) => return Err(malformed("recipe", Some(other))),
            None => return Err(Error::NoSuchStep(pointer)),
        }
        envelope.check_path()?;
        Ok(envelope)
    }

    /// The hop limit. Recipes have no circles, so a message comes to a step once; checkpoints do not extend the path.
    fn check_path(&self) -> Result<(), Error> {
        if self.path.iter().any(|step| step_number(step) == Some(self.pointer)) {
            return Err(Error::Circle(self.pointer));
        }
        let length = self.path.len();
        // To count the steps takes longer than the path ever is.
        if length == 0 {
            return Ok(());
        }
        let steps = self.recipe.len();
        if length > steps { Err(Error::LongPath { length, steps }) } else { Ok(()) }
    }

    /// The message body.
    pub fn write(&self) -> String {
        body(&self.recipe.to_json(), self.pointer, &self.path, &self.environment, &self.payload)
    }

    /// The recipe ID.
    pub fn id(&self) -> Option<&str> {
        self.environment.get("ID")?.as_str()
    }

    /// The step that is to deal with the message, and its run.
    pub fn recipe_step(&self) -> RecipeStep {
        self.step_of_run(self.pointer)
    }

    fn step_of_run(&self, step: i64) -> RecipeStep {
        RecipeStep { recipe_id: self.id().map(str::to_owned), step }
    }

    /// The step that is to deal with the message.
    pub fn step(&self) -> &Object {
        static EMPTY: std::sync::OnceLock<Object> = std::sync::OnceLock::new();
        self.recipe.step(self.pointer).and_then(Value::as_object).unwrap_or_else(|| EMPTY.get_or_init(Object::new))
    }

    /// Where the message belongs: the queue of its step, or else the topic; and the exchange, if the step names one.
    pub fn place(&self) -> Option<(Destination, Option<String>)> {
        let step = self.step();
        let place = |key: &str| step.get(key).filter(|place| place.is_truthy()).map(python::str);
        let destination = place("queue").map(Destination::Queue).or_else(|| place("topic").map(Destination::Topic));
        Some((destination?, step.get("exchange").map(python::str)))
    }

    /// The step's `parameters`; empty when there are none.
    pub fn parameters(&self) -> Object {
        self.step().get("parameters").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// The steps that an output goes to. None: nothing is connected there, and the output is dropped.
    pub fn targets(&self, channel: Option<&str>, default_channel: Option<&str>) -> Vec<Value> {
        let links = match self.step().get("output") {
            None => return Vec::new(),
            Some(Value::Object(channels)) => match channel.or(default_channel).and_then(|name| channels.get(name)) {
                Some(links) => links,
                None => return Vec::new(),
            },
            // Unnamed outputs take what is sent without a name and what goes to the default channel.
            Some(_) if channel.is_some() && channel != default_channel => return Vec::new(),
            Some(links) => links,
        };
        match links {
            Value::Array(links) => links.clone(),
            single => vec![single.clone()],
        }
    }

    /// The messages that outputs become, in order. Their ids follow from `parent`, the id of the message that led
    /// to them, so that dealing with that message again makes the same ones.
    ///
    /// # Errors
    /// A link that leads nowhere, or a delay that is none.
    pub fn advance(
        &self,
        parent: &str,
        outputs: &[Output],
        default_channel: Option<&str>,
    ) -> Result<Vec<Outgoing>, SendError> {
        let recipe = self.recipe.to_json();
        let mut path = self.path.clone();
        path.push(Value::from(self.pointer));
        let mut messages = Vec::new();
        for (ordinal, output) in outputs.iter().enumerate() {
            let sending = &output.sending;
            let environment = sending.environment.as_ref().unwrap_or(&self.environment);
            let before = messages.len();
            let send = |messages: &mut Vec<Outgoing>, name: &str, number, path: &[Value], delay| {
                let body = body(&recipe, number, path, environment, &output.payload);
                self.send(messages, parent, name, number, &output.headers, body, delay)
            };
            match &sending.way {
                Way::Own { .. } => messages.extend(output.own(parent, ordinal)),
                Way::Checkpoint => {
                    let delay = Some(sending.delay.unwrap_or_default());
                    send(&mut messages, &format!("checkpoint {ordinal}"), self.pointer, &self.path, delay)?;
                }
                Way::Channel => {
                    let targets = self.targets(output.channel.as_deref(), default_channel);
                    for (edge, target) in targets.iter().enumerate() {
                        let number = self.resolve(target, &self.pointer.to_string())?;
                        let name = format!("{}>{number} {ordinal} {edge}", self.pointer);
                        send(&mut messages, &name, number, &path, sending.delay)?;
                    }
                }
            }
            if sending.expiration.is_some() {
                messages[before..].iter_mut().for_each(|message| message.expiration = sending.expiration);
            }
        }
        Ok(messages)
    }

    /// This message as a dead letter of its queue, as a broker would write it; nothing for a step without a queue. `time` is
    /// that of its death in seconds since 1970.
    pub fn dead_letter(&self, id: String, reason: &Reason, time: i64) -> Option<Outgoing> {
        let Some((Destination::Queue(queue), _)) = self.place() else { return None };
        let mut headers = Object::from_iter([(RECIPE_HEADER.to_owned(), Value::Bool(true))]);
        record_death(&mut headers, &queue, Cause::Rejected, reason, time);
        let destination = Destination::Queue(dead_letter_queue(&queue));
        Some(Outgoing::new(id, destination, headers, self.write().into_bytes()))
    }

    /// A message to the same step again: what a service sends itself to remember where it is.
    ///
    /// # Errors
    /// As [`Envelope::advance`].
    pub fn checkpoint(
        &self,
        parent: &str,
        payload: &Value,
        delay: Duration,
        headers: &Object,
    ) -> Result<Vec<Outgoing>, SendError> {
        let body = body(&self.recipe.to_json(), self.pointer, &self.path, &self.environment, payload);
        let mut messages = Vec::new();
        self.send(&mut messages, parent, "checkpoint", self.pointer, headers, body, Some(delay))?;
        Ok(messages)
    }

    /// The first messages of a recipe, whose `start` they come from.
    ///
    /// # Errors
    /// As [`Envelope::advance`].
    pub fn start(recipe: Value, environment: Object, parent: &str) -> Result<Vec<Outgoing>, SendError> {
        let text = recipe.to_json();
        let start: Vec<Value> = recipe.get("start").and_then(Value::as_array).unwrap_or_default().to_vec();
        let recipe = BoundRecipe::from(recipe);
        let envelope = Self { recipe, pointer: 0, path: Vec::new(), environment, payload: Value::Null };
        let mut messages = Vec::new();
        for (ordinal, entry) in start.iter().enumerate() {
            let [target, payload] = entry.as_array().unwrap_or_default() else { continue };
            let number = envelope.resolve(target, "start")?;
            let body = body(&text, number, &[], &envelope.environment, payload);
            let name = format!("start>{number} {ordinal}");
            envelope.send(&mut messages, parent, &name, number, &Object::new(), body, None)?;
        }
        Ok(messages)
    }

    fn resolve(&self, target: &Value, from: &str) -> Result<i64, SendError> {
        let number = step_number(target).filter(|&number| self.recipe.has_step(number));
        number.ok_or_else(|| SendError::NoSuchStep { from: from.to_owned(), to: target.to_json() })
    }

    #[allow(clippy::too_many_arguments, reason = "one call site each for a hop, a checkpoint and a start")]
    fn send(
        &self,
        messages: &mut Vec<Outgoing>,
        parent: &str,
        name: &str,
        number: i64,
        headers: &Object,
        body: String,
        delay: Option<Duration>,
    ) -> Result<(), SendError> {
        let Some(step) = self.recipe.destination_of(number) else { return Ok(()) };
        let delay = match (delay, step.get("transport-delay")) {
            (Some(delay), _) => Some(delay),
            (None, None) => None,
            (None, Some(value)) => {
                Some(seconds(value).ok_or_else(|| SendError::Delay { step: number, found: value.to_json() })?)
            }
        };
        let exchange = step.get("exchange").map(python::str);
        let mut headers = headers.clone();
        headers.insert(RECIPE_HEADER.to_owned(), Value::Bool(true));
        let ways = [(Destination::Queue as fn(String) -> _, "queue"), (Destination::Topic, "topic")];
        let places = ways.iter().filter_map(|(kind, key)| {
            let place = step.get(*key).filter(|place| place.is_truthy())?;
            Some((*key, kind(python::str(place))))
        });
        let mut places: Vec<(&str, Destination)> = places.collect();
        let Some(last) = places.pop() else { return Err(SendError::NoDestination(number)) };
        let message = |(key, destination), body: String| Outgoing {
            exchange: exchange.clone(),
            delay,
            recipe_step: Some(self.step_of_run(number)),
            ..Outgoing::new(
                message_id(parent, &format!("{name} {key}")),
                destination,
                headers.clone(),
                body.into_bytes(),
            )
        };
        messages.extend(places.into_iter().map(|place| message(place, body.clone())));
        messages.push(message(last, body));
        Ok(())
    }
}

/// The steps of a recipe: number and content.
fn steps(recipe: &Value) -> impl Iterator<Item = (i64, &Object)> {
    let members = recipe.as_object().into_iter().flatten();
    members.filter_map(|(key, step)| Some((key.parse().ok()?, step.as_object()?)))
}

/// Whether a message to a step goes anywhere.
fn has_destination(step: &Object) -> bool {
    ["queue", "topic"].iter().any(|key| step.get(*key).is_some_and(Value::is_truthy))
}

/// Refuses a bound recipe in which `start` or a link leads to a step without a destination.
///
/// # Errors
/// [`SendError::NoDestination`].
pub fn check_destinations(recipe: &Value) -> Result<(), SendError> {
    fn targets<'v>(links: &'v Value, found: &mut Vec<&'v Value>) {
        match links {
            Value::Array(links) => found.extend(links),
            Value::Object(channels) => channels.values().for_each(|links| targets(links, found)),
            link => found.push(link),
        }
    }
    let starts = recipe.get("start").and_then(Value::as_array).unwrap_or_default();
    let mut found: Vec<&Value> = starts.iter().filter_map(|entry| entry.as_array()?.first()).collect();
    let errors = recipe.get("error").into_iter();
    let links = steps(recipe).flat_map(|(_, step)| ["output", "error"].map(|key| step.get(key))).flatten();
    errors.chain(links).for_each(|links| targets(links, &mut found));
    let lost = |number: i64| recipe.get(&number.to_string())?.as_object().filter(|step| !has_destination(step));
    let numbers = found.into_iter().filter_map(step_number);
    match numbers.filter(|&number| lost(number).is_some()).min() {
        Some(number) => Err(SendError::NoDestination(number)),
        None => Ok(()),
    }
}

fn body(recipe: &str, pointer: i64, path: &[Value], environment: &Object, payload: &Value) -> String {
    let path = Value::Array(path.to_vec()).to_json();
    let environment = Value::Object(environment.clone()).to_json();
    format!(
        "{{\"environment\":{environment},\"payload\":{},\"recipe\":{recipe},\"recipe-path\":{path},\"recipe-pointer\":{pointer}}}",
        payload.to_json()
    )
}

fn seconds(value: &Value) -> Option<Duration> {
    // The reference multiplies by a thousand, which makes a thousand copies of text.
    let Value::Number(number) = value else { return None };
    Duration::try_from_secs_f64(number.as_f64()).ok()
}
