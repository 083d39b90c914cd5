//! Dead letters and other messages: where they are looked for, and how people see them, without secrets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::broker::queues::worn;
use super::broker::{Environment, EnvironmentArgs};
use super::executor::{block_on_politely, side_by_side};
use super::{Error, Session, plain, plain_lines, say, say_error};
use zrecipe_broker::message::bounds::REPUBLISH_AFTER;
use zrecipe_broker::message::{dead_letter_queue, is_dead_letter_queue};
use zrecipe_broker::transport::{Error as TransportError, Transport, Waiting};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::lint::nearest;
use zrecipe_language::secret;
use zrecipe_language::value::Value;
use zrecipe_runtime::ops::dead_letters::{self, Fate, Letter, Look, look, ready};
use zrecipe_runtime::ops::management::Queue;

/// Which dead letters are looked at.
#[derive(Debug, clap::Args)]
pub struct LookArgs {
    /// Queues, with or without the prefix `dlq.`, or files; defaults to all dead-letter queues.
    #[arg(value_name = "QUEUE|FILE")]
    places: Vec<String>,
    #[command(flatten)]
    pub(super) environment: EnvironmentArgs,
    /// Maximum number of letters to read from each queue.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Seconds to wait for another letter after the last one; by default, stop after as many letters as the broker
    /// counts.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<f64>,
}

/// Letters, each with the queue or the file that it is in, and how to look into the queues again.
#[derive(Debug, Default)]
pub struct Found {
    /// The letters.
    pub letters: Vec<(String, Letter)>,
    /// The queues that were looked into.
    pub queues: Vec<(String, Look)>,
    /// How many letters there are in those that hold more than were looked at.
    pub more: BTreeMap<String, u64>,
    /// How many queues could not be read.
    pub unread: usize,
}

impl LookArgs {
    /// The letters that are meant; they stay where they are.
    ///
    /// # Errors
    /// A file is none of a letter, or the broker failed.
    pub fn find(&self, session: &Session) -> Result<Found, Error> {
        let is_file = |place: &&String| place.contains('/') || Path::new(place).exists();
        let (files, named): (Vec<&String>, Vec<&String>) = self.places.iter().partition(is_file);
        let mut found = Found::default();
        for path in expand(files.into_iter().map(PathBuf::from))? {
            found.letters.push((path.display().to_string(), Letter::read(&path)?));
        }
        if !self.places.is_empty() && named.is_empty() {
            return Ok(found);
        }
        let environment = self.environment.read(session)?;
        let wait = self.wait.map(seconds).transpose()?;
        let is_all = self.places.is_empty();
        block_on_politely(async |over| {
            let heaps = queues(named, &environment).await?;
            refuse_while_blocked(&environment, &heaps).await?;
            let read_all = async |transport: &dyn Transport| {
                let work = heaps.iter().map(|heap| {
                    let work: Pin<Box<dyn Future<Output = Result<Option<Pile>, Error>> + '_>> =
                        Box::pin(self.read_one(heap, transport, wait, over.clone()));
                    work
                });
                let read = side_by_side(LANES, work.collect()).await;
                for (heap, read) in heaps.iter().zip(read) {
                    match read {
                        Ok(Some(pile)) => found.add(heap, pile),
                        Ok(None) => {}
                        Err(error) if is_all && !*over.borrow() => {
                            say_error(&format!("error: cannot read {}: {}", heap.queue, error.message()));
                            found.unread += 1;
                        }
                        Err(error) => return Err(error),
                    }
                }
                if is_all { tell_of_runs(&environment).await } else { Ok(()) }
            };
            environment.with_broker("dlq", read_all).await
        })?;
        Ok(found)
    }

    /// The letters of one queue; nothing where it is known to be empty.
    async fn read_one(
        &self,
        heap: &Heap,
        transport: &dyn Transport,
        wait: Option<Duration>,
        mut over: watch::Receiver<bool>,
    ) -> Result<Option<Pile>, Error> {
        /// How long the broker may count a consumer that has gone.
        const GONE: Duration = Duration::from_millis(200);
        let mut there = heap.waiting(transport).await?;
        if there.consumers.is_some_and(|others| others > 0) {
            sleep(GONE).await;
            there = heap.waiting(transport).await?;
        }
        let Heap { queue, count, worn, .. } = heap;
        if *count == Some(0) && there.messages == 0 {
            return Ok(None);
        }
        let look_at = Look { wait, ..Look::at(self.limit, *worn) };
        let mut letters = Vec::new();
        let seen = look(transport, queue, look_at, &mut over, |delivery| {
            letters.push(Letter::of(delivery));
            Ok::<_, Error>(Fate::Stays)
        });
        let seen = seen.await?;
        if seen.is_interrupted {
            return Err(interrupted());
        }
        if letters.is_empty() && there.messages > 0 {
            let left = heap.waiting(transport).await?;
            if left.messages > 0 && left.consumers == Some(0) {
                let counted = counted(usize::try_from(left.messages).unwrap_or(usize::MAX), "letter");
                return Err(Error::new(format!("the broker counts {counted} in `{queue}` and has delivered none"))
                    .hint("try again; `zrecipe queues` counts without reading"));
            }
        }
        let more = (seen.count == self.limit && there.messages > seen.count as u64).then_some(there.messages);
        Ok(Some(Pile { look_at, letters, more, others: there.consumers.unwrap_or(0) }))
    }
}

/// How many queues are read at a time.
const LANES: usize = 16;

/// What one queue holds.
struct Pile {
    look_at: Look,
    letters: Vec<Letter>,
    /// How many letters it has, where that is more than were read.
    more: Option<u64>,
    /// How many consumers it had before it was read.
    others: u64,
}

impl Found {
    fn add(&mut self, heap: &Heap, pile: Pile) {
        let (queue, count) = (&heap.queue, pile.letters.len());
        self.letters.extend(pile.letters.into_iter().map(|letter| (queue.clone(), letter)));
        if let Some(whole) = pile.more {
            say(&format!("note: {queue} holds {whole}, and {count} were read; use `--limit {whole}` to read all"));
            self.more.insert(queue.clone(), whole);
        }
        if pile.others > 0 {
            say(&format!("note: {queue} has other consumers; letters that they hold are not shown"));
        }
        self.queues.push((queue.clone(), pile.look_at));
    }

    /// The end of a command that has shown them.
    ///
    /// # Errors
    /// Some queues could not be read, which was reported.
    pub fn conclude(unread: usize) -> Result<(), Error> {
        if unread == 0 { Ok(()) } else { Err(Error::exit(2)) }
    }
}

/// Refuses to read queues while the broker takes no messages, where a letter may have come back so often that it needs a
/// copy.
///
/// # Errors
/// The broker takes no messages now, or cannot be reached.
pub async fn refuse_while_blocked(environment: &Environment, heaps: &[Heap]) -> Result<(), Error> {
    // A count of none may be seconds old, so it proves nothing.
    let Some(limited) = heaps.iter().find(|heap| heap.worn < u32::MAX) else { return Ok(()) };
    match environment.obstacle().await? {
        None => Ok(()),
        Some(reason) => Err(Error::new(format!("cannot read `{}` now: {reason}", limited.queue))
            .hint("a message that was redelivered too often must be copied, or its queue drops it when it is requeued")
            .hint("`zrecipe dlq check` and `zrecipe queues` count messages without reading them")),
    }
}

impl From<dead_letters::Error> for Error {
    fn from(error: dead_letters::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// What is said when a look was ended by a signal.
pub fn interrupted() -> Error {
    Error::new("interrupted").hint("the messages are in their queue")
}

/// Why a letter died, without secrets: whoever rejected it may have put any text there.
pub fn reason(letter: &Letter) -> String {
    secret::hidden_text(&letter.reason())
}

/// The step that a message is for.
pub fn step_text(letter: &Letter) -> String {
    step_of(letter).unwrap_or_else(no_step)
}

/// The step that a letter was for, if it carries a recipe.
pub fn step_of(letter: &Letter) -> Option<String> {
    let (step, service) = letter.step()?;
    Some(service.map_or_else(|| step.to_string(), |service| format!("{step} ({service})")))
}

/// What stands in the place of a step where there is none.
pub fn no_step() -> String {
    "-".to_owned()
}

/// What a message is called, for people.
pub fn name(letter: &Letter) -> String {
    letter.id.as_deref().map_or_else(|| "a message without an id".to_owned(), plain)
}

/// A message as a file has it, without secrets.
pub fn shown(letter: &Letter) -> Value {
    secret::hidden("", letter.to_value(&jiff::Zoned::now()))
}

/// Headers and body of what [`shown`] gives, indented.
pub fn parts(shown: &Value) -> String {
    let mut text = String::new();
    for part in ["header", "message"] {
        let part_text = plain_lines(&shown.get(part).map(Value::to_json_pretty).unwrap_or_default());
        let _ = writeln!(text, "  {part:<7} {}", part_text.replace('\n', "\n          "));
    }
    text
}

/// What there is to say where no letter is.
pub const NONE: &str = "there are no dead letters in the queues";

/// Says which runs of this machine have dead letters: these lie in no queue that could be looked into.
///
/// # Errors
/// The runs cannot be read.
pub async fn tell_of_runs(environment: &Environment) -> Result<(), Error> {
    /// More are counted.
    const MOST: usize = 5;
    let runs = environment.runs_with_letters().await?;
    for (id, count) in runs.iter().rev().take(MOST) {
        let letters = counted(*count, "dead letter");
        say(&format!("note: run {id} on this machine has {letters}: `zrecipe show {id}` shows the reasons, and"));
        say(&format!("  `zrecipe resubmit {id} --step N` runs a step again"));
    }
    if runs.len() > MOST {
        say(&format!(
            "note: other runs on this machine also have dead letters ({}): list them with `zrecipe runs`",
            counted(runs.len() - MOST, "run")
        ));
    }
    Ok(())
}

/// A number of seconds.
///
/// # Errors
/// It is none.
pub fn seconds(seconds: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Error::new(format!("`{seconds}` is not a valid number of seconds")))
}

/// A queue of dead letters that is looked into.
#[derive(Debug, Clone)]
pub struct Heap {
    /// Its name.
    pub queue: String,
    /// How many letters were counted, some seconds ago, where that is known.
    pub count: Option<i64>,
    /// A letter that has been delivered so often must not go back as it is.
    pub worn: u32,
    /// The queue that may be meant, where this one is not known.
    pub meant: Option<String>,
}

impl Heap {
    /// How many letters wait in it.
    ///
    /// # Errors
    /// There is no such queue, or the broker failed.
    pub async fn ready(&self, transport: &dyn Transport) -> Result<u64, Error> {
        self.waiting(transport).await.map(|found| found.messages)
    }

    /// How many letters wait in it, and how many consumers it has.
    ///
    /// # Errors
    /// There is no such queue, or the broker failed.
    pub async fn waiting(&self, transport: &dyn Transport) -> Result<Waiting, Error> {
        ready(transport, &self.queue).await.map_err(|error| {
            let is_missing = matches!(error, TransportError::NoSuchQueue(_));
            let said = Error::from(error);
            match &self.meant {
                Some(meant) if is_missing => said.hint(format!("did you mean `{meant}`?")),
                _ => said,
            }
        })
    }
}

/// The queues that are meant; of all that there are, those that are not known to be empty.
///
/// # Errors
/// None is named, and the broker does not say which there are; or one must not be looked into.
pub async fn queues(given: Vec<&String>, environment: &Environment) -> Result<Vec<Heap>, Error> {
    if given.is_empty() {
        let queues = environment.queues().await?;
        let is_empty = |queue: &Queue| queue.messages == 0 && environment.capabilities().is_exact;
        let dead = queues.iter().filter(|queue| is_dead_letter_queue(&queue.name) && !is_empty(queue));
        return dead
            .map(|queue| {
                let count = Some(queue.messages);
                Ok(Heap { queue: queue.name.clone(), count, worn: worn(queue)?, meant: None })
            })
            .collect();
    }
    // Those that are named can do without the management API.
    let queues = environment.queues_unless_named(&given).await?.unwrap_or_default();
    let heap = |name: &&String| {
        let queue = dead_letter_queue(name);
        let known = queues.iter().find(|known| known.name == queue);
        let letters = queues.iter().map(|queue| queue.name.as_str()).filter(|name| is_dead_letter_queue(name));
        let meant = nearest(&queue, letters).filter(|_| known.is_none()).map(str::to_owned);
        Ok(Heap {
            meant,
            count: known.map(|known| known.messages),
            worn: known.map_or(Ok(REPUBLISH_AFTER), worn)?,
            queue,
        })
    };
    given.iter().map(heap).collect()
}

/// Files, and those in directories, in order.
///
/// # Errors
/// A directory cannot be read.
pub fn expand(paths: impl Iterator<Item = PathBuf>) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for path in paths {
        if !zrecipe_project::regular::is_dir(&path) {
            found.push(path);
            continue;
        }
        let inside = zrecipe_project::regular::entries(&path);
        let mut inside = inside.map_err(|error| Error::new(format!("cannot read {}: {error}", path.display())))?;
        // What is still being written begins with a dot.
        inside.retain(|path| path.file_name().is_none_or(|name| !name.to_string_lossy().starts_with('.')));
        inside.sort();
        found.extend(expand(inside.into_iter())?);
    }
    Ok(found)
}
