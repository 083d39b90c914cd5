//! Jobs on this machine: a table of files, and a process of its own for each job that outlives the service.
//!
//! One directory per job, `NUMBER-MARK`: `order.json` (what runs, and where its output goes), `begun` (locked while the
//! job runs; the number of its process once there is one) and `ended.json` (how it ended). A job waits until there is
//! `begun`. It was lost, with the machine perhaps, when `begun` is not locked and nothing says how it ended; then it is
//! not run again, because nobody knows how far it came. Jobs whose end has been noticed are moved to `past`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Resource, getrlimit};
use tokio::task::JoinHandle;

use super::super::surroundings::Surroundings;
use super::{Entry, Made};
use super::{Fault, Job, Scheduler, Submitting};
use crate::runtime::journal::{read, write};
use crate::runtime::roots::{Roots, private_directory};
use crate::runtime::supervisor::job_supervisor;
use zrecipe_broker::message::message_id;
use zrecipe_language::report::printable;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::regular;

/// How often we look whether jobs have ended.
const LOOK: Duration = Duration::from_millis(250);

/// How many jobs of the past are kept.
const KEPT: usize = 1000;

/// The most bytes that Linux lets a program find in a variable, with its name.
const MOST_IN_VARIABLE: u64 = (128 << 10) - 1;

/// The most bytes that Linux lets a program find in all, however large its stack may be.
const MOST_IN_ALL: u64 = 6 << 20;

/// How many of them are for arguments, and for what the system adds.
const OTHERS: u64 = 16 << 10;

/// How long a job may take to end after it was asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// The scheduler.
#[derive(Debug)]
pub struct Local {
    table: Arc<Table>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// The jobs, which several services may share.
#[derive(Debug)]
struct Table {
    directory: PathBuf,
    /// How many run at a time.
    places: usize,
    roots: Roots,
}

/// How far a job is.
#[derive(Debug, PartialEq)]
enum State {
    Waiting,
    Running,
    Ended(Value),
    Lost,
}

impl Local {
    /// A scheduler with its table in a directory that runs so many jobs at a time, and lets them write below roots.
    pub fn new(directory: PathBuf, places: usize, roots: Roots) -> Self {
        let table = Table { directory, places: places.max(1), roots };
        Self { table: Arc::new(table), keeper: Mutex::new(None) }
    }
}

/// The entry in the list of schedulers.
pub(super) const SCHEDULER: Entry = Entry { name: "local", make, is_default: false };

fn make(surroundings: &Surroundings<'_>) -> Made {
    let places = surroundings.settings.section::<Submitting>()?.places.map_or(surroundings.places, usize::from);
    Ok(Some(Box::new(Local::new(surroundings.state.join("jobs"), places, surroundings.roots()?))))
}

#[async_trait]
impl Scheduler for Local {
    async fn begin(&self) {
        let table = Arc::clone(&self.table);
        let keeper = async move {
            let mut last = String::new();
            loop {
                let complaint = table.look().err().map(|error| error.to_string()).unwrap_or_default();
                if !complaint.is_empty() && complaint != last {
                    tracing::error!("the table of jobs {}: {complaint}", table.directory.display());
                }
                last = complaint;
                tokio::time::sleep(LOOK).await;
            }
        };
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| tokio::spawn(keeper));
    }

    async fn finish(&self) {
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }

    async fn find(&self, mark: &str, _cluster: Option<&str>) -> Result<Option<i64>, Fault> {
        let found = self.table.lock().and_then(|_lock| self.table.find(&Table::key(mark)));
        found.map_err(|error| Fault::of(&error))
    }

    async fn submit(&self, job: &Job) -> Result<i64, Fault> {
        if let Some(reason) = too_much(job) {
            return Err(Fault::Job(reason));
        }
        let submitted = self.table.lock().and_then(|_lock| self.table.add(job));
        let number = submitted.map_err(|error| Fault::of(&error))?;
        // What does not work now is tried again at the next look.
        let _ = self.table.look();
        Ok(number)
    }
}

/// Why the variables of a job are more than a program can be started with here, if they are.
fn too_much(job: &Job) -> Option<String> {
    let stack = getrlimit(Resource::Stack).current.unwrap_or(u64::MAX);
    let room = (stack / 4).clamp(MOST_IN_VARIABLE, MOST_IN_ALL).saturating_sub(OTHERS);
    let mut all = 0;
    for (name, value) in &job.environment {
        // With the sign between them.
        let size = (name.len() + value.len() + 1) as u64;
        if size > MOST_IN_VARIABLE {
            return Some(format!(
                "variable `{}` of the job has {size} bytes; a program can be given {MOST_IN_VARIABLE} at most, so pass it in a file",
                printable(name, 100)
            ));
        }
        // With its end, and where it begins.
        all += size + 1 + size_of::<usize>() as u64;
    }
    (all > room).then(|| {
        format!("the variables of the job have {all} bytes; a program can be given {room} here, so pass some in a file")
    })
}

impl Table {
    /// The table is changed by one at a time.
    fn lock(&self) -> io::Result<File> {
        regular::create_private_dir(&self.past())?;
        let file = regular::private().create(true).append(true).open(self.directory.join("lock"))?;
        file.lock()?;
        Ok(file)
    }

    fn past(&self) -> PathBuf {
        self.directory.join("past")
    }

    /// A mark as a part of a file's name.
    fn key(mark: &str) -> String {
        message_id("job", mark)
    }

    /// The jobs in a directory, in order: number, key, directory.
    fn jobs(directory: &Path) -> io::Result<Vec<(i64, String, PathBuf)>> {
        let mut jobs = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((number, key)) = name.to_str().and_then(|name| name.split_once('-')) else { continue };
            if let Ok(number) = number.parse() {
                jobs.push((number, key.to_owned(), entry.path()));
            }
        }
        jobs.sort();
        Ok(jobs)
    }

    fn find(&self, key: &str) -> io::Result<Option<i64>> {
        let all = [Self::jobs(&self.directory)?, Self::jobs(&self.past())?].concat();
        Ok(all.into_iter().find(|(_, known, _)| known == key).map(|(number, ..)| number))
    }

    /// Adds a job, unless it is there.
    fn add(&self, job: &Job) -> io::Result<i64> {
        let key = Self::key(&job.mark);
        if let Some(number) = self.find(&key)? {
            return Ok(number);
        }
        let last = [Self::jobs(&self.directory)?, Self::jobs(&self.past())?].concat();
        let number = last.iter().map(|(number, ..)| *number).max().unwrap_or_default() + 1;
        let new = private_directory().prefix(".new").tempdir_in(&self.directory)?;
        let script = new.path().join("script");
        regular::private().create_new(true).write(true).open(&script)?.write_all(job.script.as_bytes())?;
        // Its first line says what reads it, which is started as such: other programs may hold it open for writing.
        let reader = job.script.lines().next().and_then(|line| line.strip_prefix("#!")).unwrap_or("/bin/sh");
        let directory = self.directory.join(format!("{number}-{key}"));
        let (program, argument) = reader.trim().split_once(char::is_whitespace).unwrap_or((reader.trim(), ""));
        let script = directory.join("script").to_string_lossy().into_owned();
        let arguments = [program, argument.trim(), &script];
        let arguments: Vec<&str> = arguments.into_iter().filter(|argument| !argument.is_empty()).collect();
        let text = |path: &Path| Value::from(path.to_string_lossy().replace("%j", &number.to_string()));
        let environment = job.environment.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        let milliseconds = |time: Duration| Value::from(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let mut order = Object::from_iter([
            ("name".to_owned(), Value::from(job.name.as_str())),
            ("arguments".to_owned(), Value::from(arguments)),
            ("directory".to_owned(), Value::from(job.directory.to_string_lossy().into_owned())),
            ("environment".to_owned(), Value::Object(environment.collect())),
            ("output".to_owned(), text(&job.output)),
            ("errors".to_owned(), text(&job.errors)),
            ("grace".to_owned(), milliseconds(GRACE)),
        ]);
        order.extend(job.needs.time_limit.map(|limit| ("limit".to_owned(), milliseconds(limit))));
        write(new.path(), "order.json", &Value::Object(order))?;
        File::open(new.path().join("script"))?.sync_all()?;
        fs::rename(new.keep(), directory)?;
        File::open(&self.directory)?.sync_all()?;
        Ok(number)
    }

    /// Says which jobs have ended, and starts those that can begin.
    fn look(&self) -> io::Result<()> {
        let _lock = self.lock()?;
        let mut running = 0;
        let mut waiting = Vec::new();
        for (number, _, directory) in Self::jobs(&self.directory)? {
            let ended = match state(&directory)? {
                State::Waiting => {
                    waiting.push((number, directory));
                    continue;
                }
                State::Running => {
                    running += 1;
                    continue;
                }
                State::Ended(how) => how,
                State::Lost => {
                    let how = Value::from([("lost", true)]);
                    write(&directory, "ended.json", &how)?;
                    how
                }
            };
            self.notice(number, &directory, &ended)?;
        }
        for (number, directory) in waiting {
            if running >= self.places {
                break;
            }
            match self.start(&directory) {
                Ok(()) => {
                    tracing::info!("job {number} begins");
                    running += 1;
                }
                Err(reason) => {
                    let how = Value::from([("unstartable", reason)]);
                    write(&directory, "ended.json", &how)?;
                    self.notice(number, &directory, &how)?;
                }
            }
        }
        Ok(())
    }

    fn notice(&self, number: i64, directory: &Path, how: &Value) -> io::Result<()> {
        let name = read(&directory.join("order.json"))?.unwrap_or_default();
        // It comes from a message.
        let name = printable(name.get("name").and_then(Value::as_str).unwrap_or_default(), 100);
        let told = |key: &str| how.get(key).map(|value| value.as_str().map_or_else(|| value.to_json(), str::to_owned));
        match (told("exited"), told("signalled"), told("unstartable")) {
            _ if how.get("stopped").is_some() => tracing::warn!("job {number} ({name}) was stopped at its time limit"),
            (Some(status), ..) if status == "0" => tracing::info!("job {number} ({name}) has ended"),
            (Some(status), ..) => tracing::warn!("job {number} ({name}) has ended with exit status {status}"),
            (_, Some(signal), _) => tracing::warn!("job {number} ({name}) was killed by signal {signal}"),
            (.., Some(reason)) => tracing::warn!("job {number} ({name}) cannot be started: {reason}"),
            _ => tracing::warn!("job {number} ({name}) is lost: its result is unknown"),
        }
        let past = self.past();
        if let Some(name) = directory.file_name() {
            fs::rename(directory, past.join(name))?;
        }
        let old = Self::jobs(&past)?;
        for (.., directory) in &old[..old.len().saturating_sub(KEPT)] {
            fs::remove_dir_all(directory)?;
        }
        Ok(())
    }

    /// Starts a job; its process holds the lock on `begun` from here on.
    fn start(&self, directory: &Path) -> Result<(), String> {
        let begin = || -> io::Result<()> {
            let order = read(&directory.join("order.json"))?.unwrap_or_default();
            let path = |key: &str| Path::new(order.get(key).and_then(Value::as_str).unwrap_or_default());
            let append = |path: &Path| self.roots.append(path).map_err(io::Error::other);
            let (output, errors) = (append(path("output"))?, append(path("errors"))?);
            let begun = regular::private().create(true).read(true).append(true).open(directory.join("begun"))?;
            begun.lock()?;
            File::open(directory)?.sync_all()?;
            let mut command = job_supervisor(directory)?;
            command.stdin(Stdio::from(begun)).stdout(output).stderr(errors);
            // Dropped, it is waited for all the same.
            tokio::process::Command::from(command).spawn().map(drop)
        };
        begin().map_err(|error| error.to_string())
    }
}

fn state(directory: &Path) -> io::Result<State> {
    if let Some(how) = read(&directory.join("ended.json"))? {
        return Ok(State::Ended(how));
    }
    let mut begun = match OpenOptions::new().read(true).append(true).open(directory.join("begun")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Waiting),
        begun => begun?,
    };
    match begun.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(State::Running),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    // It may have ended since we looked.
    if let Some(how) = read(&directory.join("ended.json"))? {
        return Ok(State::Ended(how));
    }
    let mut process = String::new();
    begun.read_to_string(&mut process)?;
    // Whoever would have started it ended before it did.
    Ok(if process.is_empty() { State::Waiting } else { State::Lost })
}
