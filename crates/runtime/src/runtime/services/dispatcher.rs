//! Dispatcher: turns a processing request into the first messages of a recipe.
//!
//! It reads the recipes that the request names or carries, checks them, puts the parameters in, merges them, and
//! sends what `start` says. The request is settled together with the first messages, so it is dispatched whole or
//! not at all. What it refuses goes to the dead letters with the reason; the sender's mistake is never retried.
//!
//! Programs of the site may have a say (`[dispatcher]` in zrecipe.toml). Each gets the request as JSON on standard
//! input. One of `ready` says by its exit status whether the request can be dealt with: 0, or 1 for not yet, with the last
//! line of standard error as the reason; any other is its own fault, and the request comes again. One of `filters` prints the request that is to be dealt with instead, usually with more parameters; exit status 75 means
//! that it cannot tell now, any other that the request is refused, with the last line of standard error as the reason.
//!
//! A program that stays ([`crate::runtime::workers`]) gets `{"id", "request"}` and answers with `{"id", "ready": true}` or
//! false, or with `{"id", "request"}`; or with `{"id", "bad": reason}` (refused) or `{"id", "later": reason}`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use uuid::Uuid;

use super::BuiltIn;
use crate::runtime::LOGBOOK;
use crate::runtime::ask::{Answer, ask};
use crate::runtime::ending::Ending;
use crate::runtime::pressure::Obstacle;
use crate::runtime::process;
use crate::runtime::python::Interpreter;
use crate::runtime::said;
use crate::runtime::surroundings::{Scope, Surroundings};
use crate::runtime::why::Why;
use crate::runtime::workers::{Failure, Fault, Plan, Workers};
use crate::runtime::{Job, Outcome, Service};
use zrecipe_broker::message::{
    self, Destination, Envelope, Outgoing, RECIPE_HEADER, REQUEST_QUEUE, Request, fresh_headers, message_id,
};
use zrecipe_language::bind::bind;
use zrecipe_language::compile::{self, Compilation, Options};
use zrecipe_language::diagnostic::Diagnostic;
use zrecipe_language::source::{Source, Unit};
use zrecipe_language::value::{Object, Value};
use zrecipe_project::durable;
use zrecipe_project::judge;
use zrecipe_project::library::{self, Library, Shelf};
use zrecipe_project::regular;
use zrecipe_project::settings::{Command, Registered, Seconds, Section};

/// How long to wait before a request is looked at again that is not ready.
const NOT_READY: Duration = Duration::from_secs(2);

/// For how many seconds a request may be not ready, unless it says otherwise (`dispatcher_timeout`).
const READY_TIMEOUT: f64 = 120.0;

/// The exit status with which a filter says that it cannot tell now (`EX_TEMPFAIL`).
const NOT_NOW: i32 = 75;

/// How long a program of the site that stays may take to start.
const START: Duration = Duration::from_secs(60);

/// How often it is asked whether it is well, and how long the answer may take.
const HEALTH: Duration = Duration::from_secs(10);

/// How long to wait after a fault of the surroundings.
const FAULT: Duration = Duration::from_secs(5);

/// Time that a request may take beside the programs of the site.
const GRACE: Duration = Duration::from_secs(60);

/// How `zrecipe service -s Dispatcher` processes requests.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dispatching {
    /// Whether requests may carry a recipe.
    #[schemars(example = false)]
    pub custom_recipes: bool,
    /// Programs, started for each request or kept running (`{ worker = … }`), that receive the request as JSON. Their
    /// exit status shows whether it can be processed: 0, or 1 for not yet.
    #[schemars(example = [["data-is-there", "--beamline"]])]
    pub ready: Vec<Decider>,
    /// Programs, started for each request or kept running (`{ worker = … }`), that receive the request as JSON and
    /// print the request to process instead. Exit status 75: not now; any other except 0: the request is rejected.
    #[schemars(example = [["look-up-in-database"]])]
    pub filters: Vec<Decider>,
    /// Seconds that each program may take.
    #[schemars(example = 60)]
    pub time_limit: Seconds,
}

impl Default for Dispatching {
    fn default() -> Self {
        let time_limit = Seconds(Duration::from_secs(30));
        Self { custom_recipes: true, ready: Vec::new(), filters: Vec::new(), time_limit }
    }
}

impl Section for Dispatching {
    const NAME: &'static str = "dispatcher";

    fn relative_to(&mut self, directory: &Path) {
        for decider in self.ready.iter_mut().chain(&mut self.filters) {
            match decider {
                Decider::Program(command) | Decider::Worker { worker: command } => command.relative_to(directory),
                Decider::EntryPoint { .. } => {}
            }
        }
    }
}

/// A program that is started for each request; or a worker, which gets `{"id", "request"}` as a line of JSON and answers
/// with `{"id", "ready": true}`, `{"id", "request"}`, `{"id", "bad": "reason"}` or `{"id", "later": "reason"}`, and to
/// `{"ping": 1}` with `{"pong": 1}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a program is a list of texts, `{ worker = [\"program\"] }` or `{ entry-point = \"name\" }`"
)]
pub enum Decider {
    /// Started for each request.
    Program(Command),
    /// It stays.
    Worker {
        /// The program.
        worker: Command,
    },
    /// A function that a Python package registers.
    #[serde(rename_all = "kebab-case")]
    EntryPoint {
        /// Its name in the group `zocalo.services.dispatcher.filters`, or `zocalo.services.dispatcher.ready_for_processing`.
        entry_point: String,
    },
}

// One form for all tables, so that what is wrong with one is said at its place.
impl JsonSchema for Decider {
    fn schema_name() -> Cow<'static, str> {
        "decider".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A program that is started for each request, a worker that stays, or a function that a Python package registers.",
            "anyOf": [
                generator.subschema_for::<Command>(),
                {
                    "type": "object",
                    "properties": {
                        "worker": generator.subschema_for::<Command>(),
                        "entry-point": {
                            "description": "The name of a function that a Python package registers.",
                            "type": "string",
                            "minLength": 1,
                        },
                    },
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// The service.
#[derive(Clone)]
pub struct Dispatcher {
    shelf: Arc<Shelf>,
    logbook: Option<PathBuf>,
    policy: Dispatching,
    ready: Arc<Vec<Voice>>,
    filters: Arc<Vec<Voice>>,
}

/// A program of the site that has a say.
enum Voice {
    Program(Vec<String>),
    Worker(Workers),
}

impl Voice {
    /// `job` is what the bridge is to do with a Python function: `filter` or `ready`.
    fn new(decider: &Decider, limit: Duration, job: &str, python: &Interpreter) -> Self {
        let (name, command) = match decider {
            Decider::Program(command) => return Self::Program(command.0.clone()),
            Decider::Worker { worker } => (None, worker.0.clone()),
            Decider::EntryPoint { entry_point: name } => (Some(name.clone()), python.command(job, name)),
        };
        let (start_limit, health) = (START, HEALTH);
        let directory = PathBuf::from(".");
        let plan = Plan { name, command, directory, count: 1, prefetch: 1, time_limit: limit, start_limit, health };
        Self::Worker(Workers::new(plan))
    }

    /// What a worker's answer to a request has under a key, which holds what it was asked for.
    async fn ask(workers: &Workers, request: &Request, key: &str) -> Result<Value, Refusal> {
        let name = workers.name();
        let question = Object::from_iter([("request".to_owned(), request.to_value())]);
        let said = workers.ask(question, true).await.map_err(|fault| match fault {
            Fault::TooLong => Refusal::World(format!("worker `{name}` took too long")),
            Fault::Gone(reason) | Fault::Unstartable(Failure { reason, .. }) => Refusal::World(reason),
            Fault::Unbegun | Fault::Stopped => Refusal::World(format!("worker `{name}` has ended")),
        })?;
        let understand = || {
            let answer = said::Answer::read(&said, &[key, "bad", "later"])?;
            Ok((answer.refusal()?, answer.get(key).cloned()))
        };
        let broken = |fault: String| Refusal::World(said::unusable(name, &fault));
        match understand().map_err(broken)? {
            (Some(said::Refusal::Bad(reason)), _) => Err(Refusal::Request(reason)),
            (Some(said::Refusal::Later(reason, _)), _) => Err(Refusal::World(reason)),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(broken(format!("it has no `{key}`"))),
        }
    }
}

/// The entry in the list of services.
pub(super) const SERVICE: BuiltIn =
    BuiltIn { name: "Dispatcher", in_runs: true, settings: Some(Registered::of::<Dispatching>()), make };

fn make(surroundings: &Surroundings<'_>) -> Result<Arc<dyn Service>, Why> {
    let dispatcher = Dispatcher::new(surroundings.library.clone());
    Ok(Arc::new(match surroundings.scope {
        // A run on this machine is dispatched as it was checked: filters and logbook belong to the site.
        Scope::Run => dispatcher,
        Scope::Site => dispatcher
            .with_policy(surroundings.settings.section()?, &surroundings.python)
            .with_logbook(surroundings.storage(LOGBOOK)),
    }))
}

impl Dispatcher {
    /// A dispatcher that looks recipes up in a library.
    pub fn new(library: Library) -> Self {
        Self {
            shelf: Arc::new(Shelf::new(library)),
            logbook: None,
            policy: Dispatching::default(),
            ready: Arc::default(),
            filters: Arc::default(),
        }
    }

    /// Writes a file about every request into this directory.
    #[must_use]
    pub fn with_logbook(mut self, directory: Option<PathBuf>) -> Self {
        self.logbook = directory;
        self
    }

    /// Does as a site wants it.
    #[must_use]
    pub fn with_policy(mut self, policy: Dispatching, python: &Interpreter) -> Self {
        let limit = *policy.time_limit;
        let voices = |deciders: &[Decider], job| {
            deciders.iter().map(|decider| Voice::new(decider, limit, job, python)).collect()
        };
        self.ready = Arc::new(voices(&policy.ready, "ready"));
        self.filters = Arc::new(voices(&policy.filters, "filter"));
        self.policy = policy;
        self
    }

    async fn try_dispatch(&self, job: &Job) -> Result<Outcome, Refusal> {
        let id = &job.delivery.id;
        let body = match &job.envelope {
            Some(envelope) => envelope.payload.to_json().into_bytes(),
            None => job.delivery.body.clone(),
        };
        let mut request = Request::read(&body).map_err(Refusal::Request)?;
        let recipe_id = recipe_id(&request, id)?;
        request.parameters.insert("guid".to_owned(), Value::from(recipe_id.as_str()));
        tracing::Span::current().record("recipe_ID", &recipe_id);
        if let Readiness::NotYet(why) = self.readiness(&request).await? {
            return Ok(not_ready(request, job, why));
        }
        if request.custom_recipe.is_some() && !self.policy.custom_recipes {
            return Err(Refusal::Request("requests that contain a recipe are not accepted here".to_owned()));
        }
        let original = request.clone();
        for filter in &*self.filters {
            request = self.filter(filter, &request).await?;
        }
        let (dispatcher, job) = (self.clone(), job.clone());
        // Files are read and large recipes compiled: not on the threads that serve everybody.
        let dispatching = move || dispatcher.start(&job, &original, &request, recipe_id);
        tokio::task::spawn_blocking(dispatching).await.map_err(|error| Refusal::World(error.to_string()))?
    }

    /// Whether all programs say that a request can be dealt with: by exit status 0, or 1 for not yet.
    async fn readiness(&self, request: &Request) -> Result<Readiness, Refusal> {
        for voice in &*self.ready {
            let program = match voice {
                Voice::Program(program) => program,
                Voice::Worker(workers) => match Voice::ask(workers, request, "ready").await? {
                    Value::Bool(true) => continue,
                    Value::Bool(false) => return Ok(Readiness::NotYet(None)),
                    other => {
                        let fault = format!("`ready` is {}, not a boolean", other.describe());
                        return Err(Refusal::World(said::unusable(workers.name(), &fault)));
                    }
                },
            };
            let answer = self.ask(program, request).await?;
            match answer.ending {
                Ending::Exited(0) => {}
                Ending::Exited(1) => {
                    // Many programs end so when they break down: then this is all that tells it.
                    let why = Some(answer.complaint).filter(|complaint| !complaint.is_empty());
                    return Ok(Readiness::NotYet(why.map(|why| format!("`{}`: {why}", name(program)))));
                }
                _ => return Err(Refusal::World(failed(program, &answer))),
            }
        }
        Ok(Readiness::Ready)
    }

    /// What a filter makes of a request.
    async fn filter(&self, voice: &Voice, request: &Request) -> Result<Request, Refusal> {
        let program = match voice {
            Voice::Program(program) => program,
            Voice::Worker(workers) => {
                let answer = Voice::ask(workers, request, "request").await?;
                return Request::read(answer.to_json().as_bytes()).map_err(|reason| {
                    Refusal::World(format!("the answer of worker `{}` is not a request: {reason}", workers.name()))
                });
            }
        };
        let answer = self.ask(program, request).await?;
        match answer.ending {
            Ending::Exited(0) => Request::read(&answer.output).map_err(|reason| {
                Refusal::World(format!("the answer of filter `{}` is not a request: {reason}", name(program)))
            }),
            Ending::Exited(status) if status != NOT_NOW => Err(Refusal::Request(failed(program, &answer))),
            _ => Err(Refusal::World(failed(program, &answer))),
        }
    }

    async fn ask(&self, program: &[String], request: &Request) -> Result<Answer, Refusal> {
        let text = request.to_value().to_json() + "\n";
        let answer = ask(program, &text, None, *self.policy.time_limit).await;
        let unstartable = |error: std::io::Error| unstartable(program, &error.to_string());
        answer.map_err(|error| match Obstacle::of_machine(&error) {
            Some(obstacle) => Refusal::Machine(obstacle),
            None => Refusal::World(format!("`{}` {}", name(program), unstartable(error))),
        })
    }

    /// The first messages of a request's recipes.
    fn start(&self, job: &Job, original: &Request, request: &Request, recipe_id: String) -> Result<Outcome, Refusal> {
        let compiled = self.compile(request)?;
        if compiled.is_empty() {
            return Err(Refusal::Request("the request names no recipe and carries none".to_owned()));
        }
        let recipe = bind(&compiled, &request.parameters);
        message::check_destinations(&recipe).map_err(|error| Refusal::Request(error.to_string()))?;
        let environment = Object::from_iter([("ID".to_owned(), Value::from(recipe_id.as_str()))]);
        let messages = Envelope::start(recipe.clone(), environment, &job.delivery.id)
            .map_err(|error| Refusal::Request(error.to_string()))?;
        if let Some(directory) = &self.logbook {
            // The experiment does not wait for its book.
            let (place, id) = (directory.clone(), recipe_id.clone());
            let text = logbook_text(job, original, request, &recipe);
            let written = regular::within(directory, move || write_logbook(&place, &id, &text));
            if let Err(error) = written.flatten() {
                tracing::warn!("request {recipe_id} is not in the logbook: {error}");
            }
        }
        let sent: Vec<Value> = messages
            .iter()
            .map(|message| Value::from([("id", message.id.as_str()), ("to", message.destination.name())]))
            .collect();
        let detail = Value::from([("recipe_id", Value::from(recipe_id)), ("sent", Value::Array(sent))]);
        Ok(Outcome::Dispatched { messages, outcome: "done", detail })
    }

    /// The recipes of a request: the one it carries, then those it names.
    fn compile(&self, request: &Request) -> Result<Vec<Compilation>, Refusal> {
        let custom = request
            .custom_recipe
            .iter()
            .map(|recipe| Source::from_text("custom_recipe", recipe.to_json()))
            .map(|source| Ok(Arc::new(compile::read(Arc::new(source), Options::default()))));
        let named = request.recipes.iter().map(|name| {
            self.shelf.find(name).map_err(|error| match error {
                library::Error::Unreadable { ref source, .. } => match Obstacle::of_machine(&error) {
                    Some(obstacle) => Refusal::Machine(obstacle),
                    None if regular::is_permanent(source) => Refusal::Request(error.to_string()),
                    None => Refusal::World(error.to_string()),
                },
                _ => Refusal::Request(error.to_string()),
            })
        });
        custom
            .chain(named)
            .map(|reading| {
                let compilation = judge::refusals(reading?, &request.parameters);
                let refusal = compilation.refusals().next().map(|refusal| describe(&compilation, refusal));
                refusal.map_or(Ok(compilation), |reason| Err(Refusal::Request(reason)))
            })
            .collect()
    }
}

/// Whether a request can be dealt with.
enum Readiness {
    Ready,
    /// Not yet; perhaps the program says why.
    NotYet(Option<String>),
}

/// Why a request is not dispatched.
enum Refusal {
    /// It can never be.
    Request(String),
    /// It cannot be now.
    World(String),
    /// Something of this machine is exhausted.
    Machine(Obstacle),
}

#[async_trait]
impl Service for Dispatcher {
    fn name(&self) -> &str {
        "Dispatcher"
    }

    fn serves(&self, queue: &str) -> bool {
        queue == REQUEST_QUEUE
    }

    /// The data collection, by the name that the span of the Python dispatcher has for it.
    fn span_attributes(&self, job: &Job) -> Vec<(&'static str, Value)> {
        let request = job.payload();
        let parameters = request.get("parameters");
        let id = |name: &str| parameters?.get(name).filter(|id| id.is_truthy()).cloned();
        id("ispyb_dcid").or_else(|| id("dcid")).map(|id| ("dcid", id)).into_iter().collect()
    }

    fn queues(&self) -> Vec<String> {
        vec![REQUEST_QUEUE.to_owned()]
    }

    /// Requests are small and soon dealt with; many at a time are confirmed together.
    fn prefetch(&self) -> u16 {
        100
    }

    fn takes_plain_messages(&self) -> bool {
        true
    }

    /// The programs of the site have their time limit, one after the other.
    fn allowance(&self, _job: &Job) -> Option<Duration> {
        let programs = u32::try_from(self.ready.len() + self.filters.len()).unwrap_or(u32::MAX);
        Some(self.policy.time_limit.saturating_mul(programs).saturating_add(GRACE))
    }

    async fn begin(&self) {
        for voice in self.ready.iter().chain(&*self.filters) {
            if let Voice::Worker(workers) = voice {
                workers.begin();
            }
        }
    }

    async fn finish(&self) {
        for voice in self.ready.iter().chain(&*self.filters) {
            if let Voice::Worker(workers) = voice {
                workers.finish().await;
            }
        }
    }

    async fn handle(&self, job: &Job) -> Outcome {
        match self.try_dispatch(job).await {
            Ok(outcome) => outcome,
            Err(Refusal::Request(reason)) => Outcome::Bad { reason: reason.into() },
            Err(Refusal::World(reason)) => Outcome::Later { reason, after: FAULT },
            Err(Refusal::Machine(obstacle)) => Outcome::HeldUp(obstacle),
        }
    }
}

fn name(program: &[String]) -> &str {
    process::name(program, Path::new("."))
}

fn unstartable(program: &[String], reason: &str) -> String {
    process::unstartable(program, Path::new("."), reason)
}

/// Why a program's answer does not count.
fn failed(program: &[String], answer: &Answer) -> String {
    let how = match &answer.ending {
        Ending::Exited(status) => format!("ended with exit status {status}"),
        Ending::Signalled(signal) => format!("was killed by signal {signal}"),
        Ending::TimedOut | Ending::Silent => "took too long".to_owned(),
        Ending::Unstartable(reason) => unstartable(program, reason),
    };
    let complaint = if answer.complaint.is_empty() { String::new() } else { format!(": {}", answer.complaint) };
    format!("`{}` {how}{complaint}", name(program))
}

/// The recipe ID: the request's `guid`, or a new one that is the same when the request comes again.
fn recipe_id(request: &Request, message: &str) -> Result<String, Refusal> {
    let given = request.recipe_id().map_err(Refusal::Request)?;
    Ok(given.map(str::to_owned).unwrap_or_else(|| {
        let bytes = Uuid::parse_str(&message_id(message, "guid")).unwrap_or_default().into_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }))
}

/// The number of seconds that a parameter says, as a number or as a text.
fn number(request: &Request, name: &str) -> Result<Option<f64>, String> {
    let found = match request.parameters.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(Value::String(text)) => text.trim().parse().map_err(|_| format!("`{}`", said::reason(text))),
        Some(value) => Err(value.describe().to_owned()),
    };
    let refused = |found| format!("parameter `{name}` of the request is {found}, not a number of seconds");
    found.map(Some).map_err(refused)
}

/// Sends a request back to the end of its queue, or away when it has waited too long.
fn not_ready(mut request: Request, job: &Job, why: Option<String>) -> Outcome {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let number = |name| number(&request, name);
    let (expiration, timeout) = match (number("dispatcher_expiration"), number("dispatcher_timeout")) {
        (Ok(expiration), Ok(timeout)) => (expiration, timeout.unwrap_or(READY_TIMEOUT)),
        (Err(reason), _) | (_, Err(reason)) => return Outcome::Bad { reason: reason.into() },
    };
    let expiration = expiration.unwrap_or_else(|| {
        request.parameters.insert("dispatcher_expiration".to_owned(), Value::from(now + timeout));
        now + timeout
    });
    // The request goes without the recipe that it may have come in, and what brokers wrote is theirs.
    let mut headers = fresh_headers(&job.delivery.headers);
    headers.shift_remove(RECIPE_HEADER);
    let message = Outgoing {
        id: message_id(&job.delivery.id, "again"),
        destination: job.delivery.source.clone(),
        properties: job.delivery.properties.clone(),
        ..request.to_message(String::new(), headers)
    };
    if expiration > now {
        let messages = vec![Outgoing { delay: Some(NOT_READY), ..message }];
        let detail = why.map_or(Value::Null, |why| Value::from([("reason", why)]));
        return Outcome::Dispatched { messages, outcome: "not-ready", detail };
    }
    let why = why.map_or(String::new(), |why| format!("; last, {why}"));
    let reason = format!("the request was never ready for processing{why}");
    match request.parameters.get("dispatcher_error_queue").and_then(Value::as_str) {
        Some(queue) if !queue.is_empty() => {
            let messages = vec![Outgoing { destination: Destination::Queue(queue.to_owned()), ..message }];
            Outcome::Dispatched { messages, outcome: "never-ready", detail: Value::from([("reason", reason)]) }
        }
        _ => Outcome::Bad { reason: reason.into() },
    }
}

/// A refusal in one line.
fn describe(compilation: &Compilation, refusal: &Diagnostic) -> String {
    let position = compilation.source.position(refusal.primary.span.start, Unit::Char);
    let more = match compilation.refusals().count() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let name = compilation.source.name();
    format!("{name}:{}:{}: {} [{}]{more}", position.line, position.column, refusal.message, refusal.rule)
}

/// One file per request: `<yyyy-mm>/<first two characters of the ID>/<rest>`.
fn write_logbook(directory: &Path, id: &str, text: &str) -> std::io::Result<()> {
    let month = jiff::Zoned::now().strftime("%Y-%m").to_string();
    let Some((first, rest)) = id.split_at_checked(2).filter(|(_, rest)| !rest.is_empty()) else { return Ok(()) };
    if id.starts_with('.') || rest.starts_with('.') {
        return Ok(());
    }
    let folder = directory.join(month).join(first);
    std::fs::create_dir_all(&folder)?;
    durable::replace(&folder.join(rest), text.as_bytes())
}

/// What the logbook says of a request.
fn logbook_text(job: &Job, original: &Request, request: &Request, recipe: &Value) -> String {
    let header = Value::Object(job.delivery.headers.clone());
    let parts = [
        ("Incoming message header", header.to_json_pretty()),
        ("Incoming message body", original.to_value().to_json_pretty()),
        ("Parsed message body", request.to_value().to_json_pretty()),
        ("Recipe object", recipe.to_json_pretty()),
    ];
    let text: String = parts.map(|(title, text)| format!("{title}:\n{text}\n\n")).concat();
    text.trim_end().to_owned() + "\n"
}
