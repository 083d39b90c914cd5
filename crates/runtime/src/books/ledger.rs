//! Reading the books: the lines of all processes, put together.
//!
//! The files of processes that have ended, and those that are full, are summed up in one: counts by recipe ID, and the
//! messages of which something is still to come.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zrecipe_broker::message::source_of_dead_letters;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::Value;
use zrecipe_project::{durable, regular};

/// The ending of the files of processes.
pub(super) const ENDING: &str = "log";
/// The kind of the line of a message that has become a dead letter. It also ends the line of one that is about to.
pub(super) const DEAD: &str = "dead";
/// What was summed up.
const SUMMARY: &str = "summary.json";
/// Whoever sums up holds a lock on it.
const LOCK: &str = "lock";
/// Counts of recipes in which nothing has happened for so long are dropped.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a finished message is known by its ID: it may be delivered or sent once more.
const KNOWN: Duration = Duration::from_secs(60 * 60);
/// The same for one of which the sender's line was not read: that process may still run.
const KNOWN_UNSENT: Duration = Duration::from_secs(24 * 60 * 60);
/// How many finished messages are known by their IDs at most.
const MAX_KNOWN: usize = 100_000;

/// What is known of a message.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Item {
    /// The recipe ID.
    pub recipe_id: Option<String>,
    /// The recipe step.
    pub step: Option<i64>,
    /// The last queue.
    pub queue: String,
    /// When it was accepted, in microseconds since 1970.
    pub accepted: i64,
    /// Where it is.
    pub state: State,
    /// Whether the line of its sender was read. It may come later than those of its receiver.
    is_sent: bool,
    /// Whether it was a dead letter when it was delivered last.
    is_letter: bool,
    /// Whether whoever holds it has begun to settle it.
    is_settling: bool,
    /// When something happened to it last, in microseconds since 1970; 0 if nothing has since it was sent. The line of
    /// its sender says when the broker's confirmation came, which may be later than the lines of its receiver.
    pub(super) updated: i64,
    /// What it leads to, if it is settled: ID, queue, recipe ID, step, delay. The last is [`DEAD`] instead, if it is to
    /// become a dead letter.
    pub(super) outputs: Vec<Value>,
}

/// Where a message is, as far as the books say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// In its queue, or it will be at this time.
    Queued {
        /// In microseconds since 1970.
        due: i64,
    },
    /// A live process holds it.
    Running,
    /// The process that was settling it died, or lost its connection: it is settled, or in its queue again.
    #[default]
    Unsure,
    /// It is dealt with.
    Finished,
    /// In a dead-letter queue.
    Dead,
    /// An operator removed it.
    Removed,
}

/// How many messages of a recipe have come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ended {
    /// Messages that a service has dealt with.
    pub finished: u64,
    /// Messages that an operator removed.
    pub removed: u64,
    /// When something happened last, in microseconds since 1970.
    pub last: i64,
}

/// The books of a state directory.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Messages by their IDs, of which something is to come or which came to an end lately.
    pub items: HashMap<String, Item>,
    /// Those that were counted and forgotten, by recipe ID.
    pub ended: BTreeMap<Option<String>, Ended>,
    /// Queues that services of these books take messages from, and how many do at this moment.
    pub served: HashMap<String, u64>,
    /// Whether lines are missing.
    pub has_gaps: bool,
    /// Files whose lines the summary has.
    merged: HashSet<String>,
}

/// A line of a file.
struct Line {
    at: i64,
    /// Position of the file.
    file: usize,
    kind: String,
    rest: Vec<Value>,
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

impl Ledger {
    /// Reads the books in these directories; an absent one has none.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read_all(directories: &[PathBuf]) -> io::Result<Self> {
        let mut whole = Self::default();
        let (mut lines, mut dead, mut files) = (Vec::new(), HashSet::new(), 0);
        for directory in directories {
            whole.read(directory, &mut lines, &mut dead, &mut files)?;
        }
        whole.enter(lines, &dead);
        Ok(whole)
    }

    /// Reads one directory: adds what was summed up, and collects the lines of all other files.
    fn read(
        &mut self,
        directory: &Path,
        lines: &mut Vec<Line>,
        dead: &mut HashSet<usize>,
        number: &mut usize,
    ) -> io::Result<()> {
        // Nobody sums up meanwhile. Where nothing can be written, nobody does anyway.
        let lock = lock_file(directory).ok();
        lock.as_ref().map(File::lock_shared).transpose()?;
        let summary = Self::summary(directory)?;
        for path in files(directory)? {
            if summary.merged.contains(&name_of(&path)) {
                continue;
            }
            *number += 1;
            // Asked first: what a process writes before it ends is read.
            if is_dead(&path) {
                dead.insert(*number);
            }
            read_lines(&path, *number, lines)?;
        }
        self.add(summary);
        Ok(())
    }

    /// Adds what was summed up in another directory. Of a message that both know, the later says where it is.
    fn add(&mut self, other: Self) {
        self.has_gaps |= other.has_gaps;
        for (queue, live) in other.served {
            *self.served.entry(queue).or_default() += live;
        }
        for (recipe, ended) in other.ended {
            let count = self.ended.entry(recipe).or_default();
            count.finished += ended.finished;
            count.removed += ended.removed;
            count.last = count.last.max(ended.last);
        }
        for (id, item) in other.items {
            match self.items.get_mut(&id) {
                Some(known) if known.updated >= item.updated => {}
                Some(known) => {
                    let (recipe_id, step) = (known.recipe_id.take(), known.step);
                    *known = Item { recipe_id: item.recipe_id.clone().or(recipe_id), step: item.step.or(step), ..item };
                }
                None => _ = self.items.insert(id, item),
            }
        }
    }

    fn summary(directory: &Path) -> io::Result<Self> {
        let text = match fs::read(directory.join(SUMMARY)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text?,
        };
        let value = read_value(&text).map_err(io::Error::other)?;
        let mut ledger = Self::default();
        let list = |key: &str| value.get(key).and_then(Value::as_array).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        ledger.merged = list("merged").iter().filter_map(text).collect();
        ledger.served = list("served").iter().filter_map(text).map(|queue| (queue, 0)).collect();
        ledger.has_gaps = value.get("gaps").is_some_and(Value::is_truthy);
        for ended in list("ended") {
            let [recipe, finished, removed, last] = ended.as_array().unwrap_or_default() else { continue };
            let count = |value: &Value| value.as_i64().unwrap_or_default();
            let (finished, removed) = (count(finished).unsigned_abs(), count(removed).unsigned_abs());
            ledger.ended.insert(text(recipe), Ended { finished, removed, last: count(last) });
        }
        for item in list("items") {
            let [id, recipe, step, queue, accepted, state, due, updated, is_sent, outputs] =
                item.as_array().unwrap_or_default()
            else {
                continue;
            };
            let state = match state.as_str().unwrap_or_default() {
                "queued" => State::Queued { due: due.as_i64().unwrap_or_default() },
                "running" => State::Running,
                DEAD => State::Dead,
                "finished" => State::Finished,
                "removed" => State::Removed,
                _ => State::Unsure,
            };
            let item = Item {
                recipe_id: text(recipe),
                step: step.as_i64(),
                queue: text(queue).unwrap_or_default(),
                accepted: accepted.as_i64().unwrap_or_default(),
                state,
                is_sent: is_sent.is_truthy(),
                updated: updated.as_i64().unwrap_or_default(),
                outputs: outputs.as_array().unwrap_or_default().to_vec(),
                ..Item::default()
            };
            ledger.items.insert(text(id).unwrap_or_default(), item);
        }
        Ok(ledger)
    }

    /// Enters lines, in the order of their time. What the `dead` processes held is with nobody now.
    fn enter(&mut self, mut lines: Vec<Line>, dead: &HashSet<usize>) {
        lines.sort_by_key(|line| line.at);
        let mut holders: HashMap<String, usize> = HashMap::new();
        for line in lines {
            let is_live = !dead.contains(&line.file);
            self.enter_line(line, is_live, &mut holders);
        }
        for (id, file) in holders {
            if dead.contains(&file) {
                self.lose(&id, i64::MAX);
            }
        }
        // What one of them has led to is somewhere, so it was settled.
        let unsure: Vec<String> = self.ids(|item| item.state == State::Unsure && !item.outputs.is_empty());
        for id in unsure {
            let outputs = self.items.get(&id).map(|item| item.outputs.clone()).unwrap_or_default();
            let is_known = |output: &Value| {
                output
                    .as_array()
                    .and_then(|output| output.first()?.as_str())
                    .is_some_and(|id| self.items.contains_key(id))
            };
            if outputs.iter().any(is_known) {
                self.finish(&id, State::Finished, now());
            }
        }
    }

    fn ids(&self, is_wanted: impl Fn(&Item) -> bool) -> Vec<String> {
        self.items.iter().filter(|(_, item)| is_wanted(item)).map(|(id, _)| id.clone()).collect()
    }

    fn enter_line(&mut self, line: Line, is_live: bool, holders: &mut HashMap<String, usize>) {
        let Line { at, file, kind, rest } = line;
        let text = |at: usize| rest.get(at).and_then(Value::as_str).unwrap_or_default();
        let id = text(0);
        match kind.as_str() {
            "gap" => return self.has_gaps = true,
            "served" => return *self.served.entry(id.to_owned()).or_default() += u64::from(is_live),
            "accepted" => return rest.iter().for_each(|entry| self.accept(entry, at)),
            "purged" => {
                let (queue, are_letters) = place(id);
                let items = self.items.values_mut();
                let items = items.filter(|item| item.queue == queue && item.updated.max(item.accepted) <= at);
                for item in items.filter(|item| item.is_waiting(are_letters)) {
                    (item.state, item.updated) = (State::Removed, at);
                }
                return;
            }
            // A line that is damaged.
            "received" if id.is_empty() || text(1).is_empty() => return,
            "received" => {
                holders.insert(id.to_owned(), file);
                self.items.entry(id.to_owned()).or_insert_with(|| Item { accepted: at, ..Item::default() });
            }
            _ => {}
        }
        // It was delivered to another process before this one knew that its own connection was gone.
        if kind == "lost" && holders.get(id).is_some_and(|&holder| holder != file) {
            return;
        }
        // What is summed up may be newer than what is read now.
        let Some(item) = self.items.get_mut(id).filter(|item| item.updated <= at) else { return };
        item.updated = at;
        match kind.as_str() {
            "received" => {
                let (queue, is_letter) = place(text(1));
                (item.state, item.queue, item.is_letter, item.is_settling) = (State::Running, queue, is_letter, false);
                item.outputs.clear();
            }
            "settling" => {
                // Whoever settles it holds it, even if its delivery was read as older than something else.
                holders.insert(id.to_owned(), file);
                item.outputs = rest.get(1..).unwrap_or_default().to_vec();
                (item.state, item.is_settling) = (State::Running, true);
            }
            "finished" | DEAD | "removed" | "again" => {
                holders.remove(id);
                let delay = rest.get(1).and_then(Value::as_i64).unwrap_or_default();
                let state = match kind.as_str() {
                    "finished" => State::Finished,
                    DEAD => State::Dead,
                    "removed" => State::Removed,
                    _ if item.is_letter => State::Dead,
                    _ => State::Queued { due: at.saturating_add(delay) },
                };
                self.finish(id, state, at);
            }
            "lost" => {
                holders.remove(id);
                self.lose(id, at);
            }
            _ => {}
        }
    }

    fn accept(&mut self, entry: &Value, at: i64) {
        let [id, queue, recipe, step, delay] = entry.as_array().unwrap_or_default() else { return };
        let (Some(id), Some(queue)) = (id.as_str(), queue.as_str()) else { return };
        let (queue, is_letter) = place(queue);
        let due = at.saturating_add(delay.as_i64().unwrap_or_default());
        let state = if is_letter { State::Dead } else { State::Queued { due } };
        let new = || Item { queue: queue.clone(), accepted: at, state, ..Item::default() };
        let item = self.items.entry(id.to_owned()).or_insert_with(new);
        // Its receiver may have been quicker than its sender.
        let was_sent = std::mem::replace(&mut item.is_sent, true);
        item.recipe_id = item.recipe_id.take().or_else(|| recipe.as_str().map(str::to_owned));
        item.step = item.step.or_else(|| step.as_i64());
        // What had come to an end begins anew.
        let is_anew = item.state == State::Removed || item.state == State::Dead && was_sent;
        if is_anew && item.updated <= at {
            (item.state, item.queue, item.updated) = (state, queue, at);
        }
    }

    /// A message is settled.
    pub(super) fn finish(&mut self, id: &str, state: State, at: i64) {
        let Some(item) = self.items.get_mut(id) else { return };
        (item.state, item.updated, item.is_settling) = (state, at, false);
        let outputs = std::mem::take(&mut item.outputs);
        // It went on with its own ID.
        let moves = |output: &Value| output.as_array().and_then(|output| output.first()?.as_str()) == Some(id);
        if outputs.iter().any(moves) {
            item.state = State::Removed;
        }
        for output in outputs {
            self.accept(&output, at);
        }
    }

    /// Nobody holds it any more. It is in its queue again, unless its holder had begun to settle it: then nobody knows.
    fn lose(&mut self, id: &str, at: i64) {
        let Some(item) = self.items.get_mut(id).filter(|item| item.state == State::Running) else { return };
        item.state = match (item.is_settling, item.is_letter) {
            (true, _) => State::Unsure,
            (false, true) => State::Dead,
            (false, false) => State::Queued { due: if at == i64::MAX { item.updated } else { at } },
        };
    }

    /// Counts what came to an end some time ago, and forgets it.
    fn count_ended(&mut self, now: i64) {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let is_over = |item: &Item| matches!(item.state, State::Finished | State::Removed);
        let mut ends: Vec<i64> = self.items.values().filter(|item| is_over(item)).map(|item| item.updated).collect();
        ends.sort_unstable();
        // The newest are known.
        let known = ends.len().checked_sub(MAX_KNOWN).and_then(|at| ends.get(at).copied()).unwrap_or(i64::MIN);
        let ended = &mut self.ended;
        self.items.retain(|_, item| {
            let age = now.saturating_sub(item.updated);
            let limit = micros(if item.is_sent { KNOWN } else { KNOWN_UNSENT });
            if !is_over(item) || age <= limit && item.updated >= known {
                return true;
            }
            let is_finished = item.state == State::Finished;
            let count = ended.entry(item.recipe_id.clone()).or_default();
            count.finished += u64::from(is_finished);
            count.removed += u64::from(!is_finished);
            count.last = count.last.max(item.updated);
            false
        });
        let open: HashSet<&Option<String>> = self.items.values().map(|item| &item.recipe_id).collect();
        let oldest = now.saturating_sub(micros(REMEMBERED));
        self.ended.retain(|recipe, count| count.last > oldest || open.contains(recipe));
    }

    fn to_value(&self) -> Value {
        let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
        let number = |number: u64| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
        let names = |names: &HashSet<String>| {
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            names.sort_unstable();
            Value::from(names)
        };
        let ended = self.ended.iter().map(|(recipe, ended)| {
            Value::Array(vec![text(recipe), number(ended.finished), number(ended.removed), Value::from(ended.last)])
        });
        let item = |(id, item): (&String, &Item)| {
            let (state, due) = match item.state {
                State::Queued { due } => ("queued", due),
                State::Running => ("running", 0),
                State::Dead => (DEAD, 0),
                State::Unsure => ("unsure", 0),
                State::Finished => ("finished", 0),
                State::Removed => ("removed", 0),
            };
            Value::Array(vec![
                Value::from(id.as_str()),
                text(&item.recipe_id),
                Value::from(item.step),
                Value::from(item.queue.as_str()),
                Value::from(item.accepted),
                Value::from(state),
                Value::from(due),
                Value::from(item.updated),
                Value::Bool(item.is_sent),
                Value::Array(item.outputs.clone()),
            ])
        };
        Value::from([
            ("merged", names(&self.merged)),
            ("served", names(&self.served.keys().cloned().collect())),
            ("gaps", Value::Bool(self.has_gaps)),
            ("ended", Value::Array(ended.collect())),
            ("items", Value::Array(self.items.iter().map(item).collect())),
        ])
    }
}

/// A queue, or that of the dead letters of a queue.
fn place(queue: &str) -> (String, bool) {
    match source_of_dead_letters(queue) {
        Some(queue) => (queue.to_owned(), true),
        None => (queue.to_owned(), false),
    }
}

impl Item {
    /// Whether whoever was settling it was about to make a dead letter of it.
    pub(super) fn was_to_die(&self) -> bool {
        self.outputs.last().and_then(Value::as_str) == Some(DEAD)
    }

    /// Whether it leads to other messages, if it is settled.
    pub(super) fn leads_on(&self) -> bool {
        self.outputs.iter().any(|output| output.as_array().is_some())
    }

    /// Whether it waits in its queue, or among the dead letters.
    fn is_waiting(&self, as_letter: bool) -> bool {
        match self.state {
            State::Dead => as_letter,
            State::Queued { .. } | State::Unsure => !as_letter,
            State::Running | State::Finished | State::Removed => false,
        }
    }
}

/// Sums up the files of processes that have ended. What a live process has begun stays in its files.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn sum_up(directory: &Path) -> io::Result<()> {
    let lock = lock_file(directory)?;
    match lock.try_lock() {
        Ok(()) => {}
        // Somebody else does it.
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut ledger = Ledger::summary(directory)?;
    // Those that were merged before and could not be removed.
    for name in std::mem::take(&mut ledger.merged) {
        remove(&directory.join(name))?;
    }
    let files: Vec<PathBuf> = files(directory)?;
    let ended: Vec<&PathBuf> = files.iter().filter(|path| is_dead(path)).collect();
    if ended.is_empty() {
        return Ok(());
    }
    let mut lines = Vec::new();
    for (number, path) in ended.iter().enumerate() {
        read_lines(path, number, &mut lines)?;
        ledger.merged.insert(name_of(path));
    }
    // What a live process says of a message is not read here: it comes later.
    let all = (0..ended.len()).collect();
    ledger.enter(lines, &all);
    ledger.count_ended(now());
    durable::replace(&directory.join(SUMMARY), ledger.to_value().to_json().as_bytes())?;
    ended.into_iter().try_for_each(|path| remove(path))
}

/// The file whose lock keeps others from summing up, and from beginning a file, which is not locked at first.
pub(super) fn lock_file(directory: &Path) -> io::Result<File> {
    regular::private().create(true).append(true).open(directory.join(LOCK))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether the process of a file has ended, or has begun another file.
fn is_dead(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock_shared().is_ok())
}

fn read_lines(path: &Path, file: usize, lines: &mut Vec<Line>) -> io::Result<()> {
    let text = match fs::read(path) {
        // Summed up meanwhile, and read with the summary next time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        text => text?,
    };
    let mut before = 0;
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        // The last line may be cut off.
        let Ok(Value::Array(mut values)) = read_value(line) else { continue };
        if values.len() < 2 {
            continue;
        }
        let rest = values.split_off(2);
        let (Some(at), Some(kind)) = (values[0].as_i64(), values[1].as_str()) else { continue };
        // Whatever the clock does, a process writes in order.
        before = at.max(before);
        lines.push(Line { at: before, file, kind: kind.to_owned(), rest });
    }
    Ok(())
}
