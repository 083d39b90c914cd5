//! Runs of recipes on the embedded broker: begun, gone on with after a crash, and remembered.
//!
//! A run is a namespace of its own in the broker's file, owned by one process at a time: no other run and no other
//! process takes its messages. It is over when nothing of it is outstanding. What happened is read from the
//! namespace's history, so it is known even when this process was killed in the middle.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};

use crate::runtime::journal::Journal;
use crate::runtime::{DEAD_LETTERED, Event, Host, Service, StepResult};
use zrecipe_broker::books::Account;
use zrecipe_broker::message::bounds::RUN_DELIVERY_LIMIT;
use zrecipe_broker::message::{Destination, Outgoing, REQUEST_QUEUE, Request, is_dead_letter_queue, message_id};
use zrecipe_broker::transport::embedded::{
    Broker, Census, Conclusion, DATABASE, Embedded, NamespaceInfo, Options, Record,
};
use zrecipe_broker::transport::{self, Transport};
use zrecipe_language::value::{Object, Value};
use zrecipe_project::regular;

/// How the namespaces of runs are called.
const PREFIX: &str = "run-";

/// State of a run that has ended before all its messages were settled.
pub const INTERRUPTED: &str = "interrupted";

/// The variable by which programs of a run on this machine find its messages: the recipe ID.
pub const RUN_VARIABLE: &str = "ZRECIPE_RUN";

/// The namespace of a run.
pub fn namespace(id: &str) -> String {
    format!("{PREFIX}{id}")
}

/// All runs of a state directory.
#[derive(Debug, Clone)]
pub struct Runs {
    broker: Broker,
    directory: PathBuf,
}

/// What a run is about: stored when it begins, so that it can be gone on with.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The recipe ID.
    pub id: String,
    /// What the user asked for, as shown in lists.
    pub title: String,
    /// The request that the dispatcher gets.
    pub request: Request,
    /// All queues that messages of the run can go to.
    pub queues: Vec<String>,
    /// The bound recipe's steps: number and what to call it.
    pub steps: Vec<(i64, String)>,
    /// The directory that relative paths are relative to.
    pub directory: PathBuf,
}

/// Why a run cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker.
    #[error(transparent)]
    Transport(#[from] transport::Error),
    /// There has been a run with this ID.
    #[error("there is a run `{0}` already")]
    Exists(String),
    /// No run has this ID.
    #[error("there is no run `{0}`")]
    NoSuchRun(String),
    /// Several runs have IDs that begin so.
    #[error("`{0}` matches the IDs of more than one run")]
    Ambiguous(String),
    /// Another process is at it.
    #[error("run `{0}` is in use by another process")]
    Busy(String),
    /// The stored description cannot be read.
    #[error("the record of run `{0}` cannot be read")]
    Unreadable(String),
    /// The state directory.
    #[error("cannot use the state directory {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// One run.
#[derive(Debug, Clone)]
pub struct Run {
    /// What it is about.
    pub plan: Plan,
    space: Embedded,
    journal: Journal,
}

/// A run in a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The recipe ID.
    pub id: String,
    /// What the user asked for.
    pub title: String,
    /// Whether it has come to its end, and a step failed.
    pub failed: bool,
    /// When it began.
    pub created: SystemTime,
    /// How many messages of it there are.
    pub census: Census,
    /// The process that works on it.
    pub held_by: Option<u32>,
}

impl Listed {
    /// `running`, `interrupted`, `failed` or `finished`, as far as the broker knows.
    pub fn state(&self) -> &'static str {
        let outstanding = self.census.ready + self.census.delayed + self.census.held;
        match (self.held_by, outstanding) {
            (Some(_), _) => "running",
            (None, 1..) => INTERRUPTED,
            (None, 0) if self.failed => "failed",
            (None, 0) => "finished",
        }
    }
}

/// What became of a message of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The message's id.
    pub id: String,
    /// Where it was taken from.
    pub source: String,
    /// The recipe step; none for the request itself.
    pub step: Option<i64>,
    /// The steps before it.
    pub path: Vec<Value>,
    /// The service that dealt with it.
    pub service: String,
    /// `done`, `failed`, `timed out`, `dead-lettered`, `checkpoint`, or `retried` where the message waits for another
    /// attempt.
    pub outcome: String,
    /// Why, where it did not go well.
    pub reason: Option<String>,
    /// How long the service was at it.
    pub took: Duration,
    /// When it was settled.
    pub at: SystemTime,
    /// How often it was delivered.
    pub deliveries: u32,
    /// What it led to: a list of `{"channel", "to", "payload"}`.
    pub outputs: Value,
    /// More that the service says.
    pub detail: Value,
    /// Channels of outputs that go to no step and that the service does not promise. An output without a channel has an
    /// empty name.
    pub dropped: Vec<String>,
}

impl Report {
    /// Whether the run has failed because of it: it failed, or an output went to a channel that the step does not have.
    pub fn is_failure(&self) -> bool {
        self.has_failed() || !self.dropped.is_empty()
    }

    /// Whether it failed itself.
    pub fn has_failed(&self) -> bool {
        [StepResult::Failed.as_str(), StepResult::TimedOut.as_str(), DEAD_LETTERED].contains(&self.outcome.as_str())
    }
}

impl Runs {
    /// Opens the runs of a state directory, which is made when it is not there.
    ///
    /// # Errors
    /// The directory or the broker's file in it cannot be used.
    pub async fn open(directory: &Path) -> Result<Self, Error> {
        let broken = |source| Error::Directory { path: directory.to_owned(), source };
        regular::create_private_dir(directory).map_err(broken)?;
        // Whoever goes on with a run has killed it on purpose or had a power cut: that is no reason to give up a step.
        // Faults of the surroundings have a limit of their own in the host.
        let options = Options { delivery_limit: RUN_DELIVERY_LIMIT, ..Options::default() };
        let broker = Broker::open(&directory.join(DATABASE), options).await?;
        Ok(Self { broker, directory: directory.to_owned() })
    }

    /// Opens the runs of a state directory to look at them: where nothing can be written (a full disk, a read-only file
    /// system) they are read all the same. Why nothing can be written, if that is so.
    ///
    /// # Errors
    /// As for [`Runs::open`].
    pub async fn open_to_read(directory: &Path) -> Result<(Self, Option<Error>), Error> {
        let why = match Self::open(directory).await {
            Ok(runs) => return Ok((runs, None)),
            Err(error) => error,
        };
        match Broker::open_to_read(&directory.join(DATABASE)).await {
            Ok(broker) => Ok((Self { broker, directory: directory.to_owned() }, Some(why))),
            Err(_) => Err(why),
        }
    }

    /// The journal of the services.
    pub fn journal(&self) -> Journal {
        Journal::new(self.directory.join("journal")).of_embedded(true)
    }

    /// Removes what a crash has left in the journal of messages that are not there any more; how many entries.
    ///
    /// # Errors
    /// The broker.
    pub async fn tidy(&self) -> Result<usize, Error> {
        tidy(&self.broker, &self.journal()).await.map_err(Error::Transport)
    }

    /// See [`Broker::accounts`].
    ///
    /// # Errors
    /// The broker.
    pub async fn accounts(&self) -> Result<Vec<Account>, Error> {
        Ok(self.broker.accounts().await?)
    }

    /// See [`Broker::damages`].
    ///
    /// # Errors
    /// The broker.
    pub async fn damages(&self) -> Result<Vec<String>, Error> {
        Ok(self.broker.damages().await?)
    }

    /// See [`Broker::losses`].
    ///
    /// # Errors
    /// The broker.
    pub async fn losses(&self) -> Result<Option<(u64, SystemTime)>, Error> {
        Ok(self.broker.losses().await?)
    }

    /// Begins a run: from now on it can be gone on with.
    ///
    /// # Errors
    /// The broker, or the ID is taken.
    pub async fn begin(&self, plan: Plan) -> Result<Run, Error> {
        let space = self.broker.namespace(&namespace(&plan.id));
        if space.description().await?.is_some() {
            return Err(Error::Exists(plan.id));
        }
        if !space.hold().await? {
            return Err(Error::Busy(plan.id));
        }
        space.describe(plan.to_value()).await?;
        Ok(Run { plan, space, journal: self.journal() })
    }

    /// The run with this ID, or whose ID begins so.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub async fn find(&self, id: &str) -> Result<Run, Error> {
        let listed = self.list().await?;
        let found: Vec<&Listed> = listed.iter().filter(|run| !id.is_empty() && run.id.starts_with(id)).collect();
        let exact = listed.iter().find(|run| run.id == id);
        let run = match (exact, found.as_slice()) {
            (Some(run), _) => run,
            (None, [run]) => *run,
            (None, []) => return Err(Error::NoSuchRun(id.to_owned())),
            (None, _) => return Err(Error::Ambiguous(id.to_owned())),
        };
        let space = self.broker.namespace(&namespace(&run.id));
        let description = space.description().await?;
        let plan = description.as_ref().and_then(Plan::from_value);
        let plan = plan.ok_or_else(|| Error::Unreadable(run.id.clone()))?;
        Ok(Run { plan, space, journal: self.journal() })
    }

    /// All runs, oldest first.
    ///
    /// # Errors
    /// The broker.
    pub async fn list(&self) -> Result<Vec<Listed>, Error> {
        let mut runs: Vec<Listed> = self.broker.namespaces().await?.into_iter().filter_map(listed).collect();
        runs.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(runs)
    }

    /// Closes the broker.
    ///
    /// # Errors
    /// The broker.
    pub async fn close(&self) -> Result<(), Error> {
        Ok(self.broker.close().await?)
    }
}

/// Removes what a crash has left in a journal of messages that the broker does not have any more; how many entries.
///
/// # Errors
/// The broker.
async fn tidy(broker: &Broker, journal: &Journal) -> Result<usize, transport::Error> {
    // A journal that cannot be read is told by whoever works with it.
    let left = journal.leftovers().unwrap_or_default();
    if left.is_empty() {
        return Ok(0);
    }
    Ok(left.remove(broker.message_ids().await?.iter()))
}

fn listed(space: NamespaceInfo) -> Option<Listed> {
    let id = space.name.strip_prefix(PREFIX)?.to_owned();
    let title = space.description.as_ref().and_then(|plan| plan.get("title")?.as_str().map(str::to_owned));
    // A step that has been sent again may have left a dead letter of its first time.
    let concluded = space.description.as_ref().and_then(|plan| plan.get("failed"));
    let failed = concluded.map_or(space.census.dead > 0, Value::is_truthy);
    Some(Listed { id, title: title?, failed, created: space.created, census: space.census, held_by: space.held_by })
}

impl Run {
    /// Takes the run for this process, which is needed to work on it.
    ///
    /// # Errors
    /// Another process works on it.
    pub async fn take(&self) -> Result<(), Error> {
        // A process that was killed while it started a program holds on until that program has begun.
        const PATIENCE: Duration = Duration::from_secs(1);
        let deadline = Instant::now() + PATIENCE;
        while !self.space.hold().await? {
            if Instant::now() >= deadline {
                return Err(Error::Busy(self.plan.id.clone()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Works on the run until nothing of it is outstanding, or `stop` becomes true. What is already done is not done
    /// again. True when it has come to its end.
    ///
    /// # Errors
    /// The broker.
    pub async fn work(
        &self,
        services: Vec<Arc<dyn Service>>,
        places: usize,
        events: mpsc::UnboundedSender<Event>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<bool, Error> {
        let (end, ended) = watch::channel(false);
        let host = Host::new(Arc::new(self.space.clone()), services, places, events, ended)
            .with_journal(Some(self.journal.clone()));
        for queue in self.plan.all_queues() {
            self.space.declare(&queue).await?;
        }
        // A request that was sent before has the same id, and is taken once; for as long as ids are remembered. What has
        // a history has been dispatched.
        if self.space.history().await?.is_empty() {
            let request = self.plan.request.to_message(message_id(&self.plan.id, "request"), Object::new());
            self.space.send(vec![request]).await?;
        }
        let queues = self.plan.all_queues();
        let serving = host.serve(&queues);
        let over = async {
            loop {
                let census = self.space.census().await?;
                if census.ready + census.delayed + census.held == 0 {
                    return Ok::<bool, Error>(true);
                }
                tokio::select! {
                    changed = self.space.changed() => changed?,
                    _ = stop.wait_for(|stop| *stop) => return Ok(false),
                }
            }
        };
        tokio::pin!(serving);
        let finished = tokio::select! {
            finished = over => finished?,
            served = &mut serving => {
                served?;
                // The services only end when the broker has been closed under them.
                return Err(Error::Transport(transport::Error::Closed));
            }
        };
        if finished {
            let _ = end.send(true);
            serving.await?;
            host.finish().await;
        }
        // Otherwise what is under way is dropped with `serving`: its programs are killed, its messages released.
        Ok(finished)
    }

    /// Adds messages to the run, to be dealt with when it is worked on.
    ///
    /// # Errors
    /// The broker.
    pub async fn add(&self, messages: Vec<Outgoing>) -> Result<(), Error> {
        for queue in self.plan.all_queues() {
            self.space.declare(&queue).await?;
        }
        Ok(self.space.send(messages).await?)
    }

    /// Remembers whether a step failed, for the list of runs.
    ///
    /// # Errors
    /// The broker.
    pub async fn conclude(&self, failed: bool) -> Result<(), Error> {
        let mut description = self.plan.to_value();
        if let Value::Object(description) = &mut description {
            description.insert("failed".to_owned(), Value::Bool(failed));
        }
        Ok(self.space.describe(description).await?)
    }

    /// Whether it has begun and nothing of it is outstanding.
    ///
    /// # Errors
    /// The broker.
    pub async fn is_over(&self) -> Result<bool, Error> {
        let census = self.space.census().await?;
        let outstanding = census.ready + census.delayed + census.held;
        Ok(outstanding == 0 && !self.space.history().await?.is_empty())
    }

    /// Gives the run free for other processes.
    ///
    /// # Errors
    /// The broker.
    pub async fn release(&self) -> Result<(), Error> {
        Ok(self.space.close().await?)
    }

    /// Removes every trace of the run.
    ///
    /// # Errors
    /// The broker.
    pub async fn forget(&self) -> Result<(), Error> {
        Ok(self.space.forget().await?)
    }

    /// What became of its messages so far, oldest first, and of each message only how it ended.
    ///
    /// # Errors
    /// The broker.
    pub async fn reports(&self) -> Result<Vec<Report>, Error> {
        let records = self.space.history().await?;
        // A retry counts as long as nothing came of the message later.
        let counts = |(at, record): &(usize, &Record)| {
            record.verdict != Conclusion::Retried || records[at + 1..].iter().all(|later| later.id != record.id)
        };
        Ok(records.iter().enumerate().filter(counts).map(|(_, record)| self.report(record)).collect())
    }

    /// Messages that are still on their way: queue, and step if they carry one.
    ///
    /// # Errors
    /// The broker.
    pub async fn outstanding(&self) -> Result<Vec<(String, Option<i64>)>, Error> {
        let messages = self.space.messages(None).await?;
        let waiting = messages.into_iter().filter(|message| !is_dead_letter_queue(&message.queue));
        Ok(waiting
            .map(|message| {
                let pointer =
                    zrecipe_broker::message::read_body(&message.body).get("recipe-pointer").and_then(Value::as_i64);
                (message.queue, pointer)
            })
            .collect())
    }

    fn report(&self, record: &Record) -> Report {
        let note = record.note.clone().unwrap_or_default();
        let text = |key: &str| note.get(key).and_then(Value::as_str).map(str::to_owned);
        let seconds = |key: &str| match note.get(key) {
            Some(Value::Number(number)) => number.as_f64(),
            _ => 0.0,
        };
        let detail = note.get("detail").cloned().unwrap_or_default();
        let said = detail.get("reason").and_then(Value::as_str).map(str::to_owned);
        let dropped = note.get("dropped").and_then(Value::as_array).unwrap_or_default();
        let dropped = dropped.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        Report {
            id: record.id.clone(),
            source: record.source.name().to_owned(),
            step: note.get("step").and_then(Value::as_i64),
            path: note.get("path").and_then(Value::as_array).unwrap_or_default().to_vec(),
            service: text("service").unwrap_or_else(|| "broker".to_owned()),
            outcome: match record.verdict {
                Conclusion::DeadLettered => DEAD_LETTERED.to_owned(),
                Conclusion::Retried => "retried".to_owned(),
                _ => text("outcome").unwrap_or_default(),
            },
            reason: record.reason.clone().or(said),
            took: Duration::try_from_secs_f64(seconds("ended") - seconds("started")).unwrap_or_default(),
            at: record.at,
            deliveries: record.deliveries,
            outputs: note.get("outputs").cloned().unwrap_or_default(),
            detail,
            dropped,
        }
    }
}

impl Plan {
    fn all_queues(&self) -> Vec<String> {
        let mut queues = vec![REQUEST_QUEUE.to_owned()];
        queues.extend(self.queues.iter().filter(|queue| *queue != REQUEST_QUEUE).cloned());
        queues
    }

    fn to_value(&self) -> Value {
        let steps =
            self.steps.iter().map(|(step, name)| Value::Array(vec![Value::from(*step), Value::from(name.as_str())]));
        Value::from([
            ("title", Value::from(self.title.as_str())),
            ("id", Value::from(self.id.as_str())),
            ("request", self.request.to_value()),
            ("queues", Value::from(self.queues.clone())),
            ("steps", Value::Array(steps.collect())),
            ("directory", Value::from(self.directory.to_string_lossy().into_owned())),
        ])
    }

    fn from_value(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
        let queues = value.get("queues")?.as_array()?.iter().filter_map(|queue| queue.as_str().map(str::to_owned));
        let steps = value.get("steps")?.as_array()?.iter().filter_map(|step| match step.as_array()? {
            [number, name] => Some((number.as_i64()?, name.as_str()?.to_owned())),
            _ => None,
        });
        Some(Self {
            id: text("id")?,
            title: text("title")?,
            request: Request::read(value.get("request")?.to_json().as_bytes()).ok()?,
            queues: queues.collect(),
            steps: steps.collect(),
            directory: text("directory")?.into(),
        })
    }
}

/// The queues that a bound recipe sends to and those of its topics, as messages will name them.
pub fn destinations(recipe: &Value) -> Vec<(i64, Destination)> {
    let steps = recipe.as_object().into_iter().flatten();
    steps
        .filter_map(|(key, step)| Some((key.parse::<i64>().ok()?, step)))
        .flat_map(|(number, step)| {
            let place = |key: &str| {
                step.get(key).filter(|place| place.is_truthy()).map(zrecipe_language::template::python::str)
            };
            let queue = place("queue").map(|name| (number, Destination::Queue(name)));
            queue.into_iter().chain(place("topic").map(|name| (number, Destination::Topic(name))))
        })
        .collect()
}
