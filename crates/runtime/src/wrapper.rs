//! Runs a program on behalf of a recipe step and reports its progress, whatever becomes of the broker or of us.
//!
//! Every report is written down before it is sent: in a directory of its own for each program, which is removed when
//! all has been sent. When we are killed the directory stays, and [`Record::abandoned`] finds it. The program goes on
//! then; it holds the lock on `running`, which it has from us, and by that [`Record::is_running`] knows.
//!
//! The channels are those of `zocalo.wrapper` (1.5.0): `starting`, then `updates`, `result-individual-file` and
//! `result-all-files` as the program says, then `success` or `failure`, then `completed`. The program says it in lines
//! of JSON that it appends to the file named by `ZRECIPE_RESULTS`: `{"channel": "updates", "payload": …}`. Where the step
//! connects no `failure`, the message of a program that failed goes to the dead letters of its queue.

mod settings;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::runtime::facts;
use crate::runtime::journal;
use crate::runtime::said::{finite, reason};
use crate::runtime::status::{Status, TOPIC, broadcast, host_id, hostname};
use crate::runtime::supervisor::identity;
pub use settings::Wrappers;
use zrecipe_broker::message::{Code, Envelope, Output, RECIPE_HEADER, Reason};
use zrecipe_broker::transport::{Error, Transport};
use zrecipe_language::diagnostic::only;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::regular;

/// How often the status is told.
const INTERVAL: Duration = Duration::from_secs(3);
/// How long a status is of interest.
const EXPIRATION: Duration = Duration::from_secs(15);
/// How often we look for what the program has said.
const LOOK: Duration = Duration::from_millis(200);
/// How long to wait before the broker is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The channel on which a failed program is reported.
const FAILURE: &str = "failure";

/// What is written down about a program, in a directory of its own.
#[derive(Debug)]
pub struct Record {
    directory: PathBuf,
    /// Its part of every message id.
    id: String,
    /// What is wrapped.
    pub name: String,
    /// The step; none: there is nobody to report to.
    pub envelope: Option<Envelope>,
    /// Held as long as somebody is at it.
    _lock: File,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reports: Vec<Report>,
    /// How many of them the broker has.
    sent: usize,
    /// How much of what the program has said is among them, in bytes.
    heard: u64,
}

/// The directory of a record that cannot be read, and why.
pub type Unreadable = (PathBuf, io::Error);

/// Something to tell.
#[derive(Debug, Clone, PartialEq)]
struct Report {
    channel: String,
    payload: Value,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Exited(u8),
    /// By this signal.
    Signalled(u8),
}

impl Ended {
    /// The exit status that a shell would give.
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => signal.saturating_add(128),
        }
    }
}

/// A recipe wrapper file: the body of a recipe message.
///
/// # Errors
/// It is something else.
pub fn read_file(text: &[u8]) -> Result<Envelope, String> {
    let header = (RECIPE_HEADER.to_owned(), Value::Bool(true));
    Envelope::read(&Object::from_iter([header]), text).map_err(|error| error.to_string())
}

impl Record {
    /// A new record among those of a state directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(directory: &Path, name: &str, envelope: Option<Envelope>) -> io::Result<Self> {
        let id = Uuid::new_v4().to_string();
        let directory = directory.join(&id);
        regular::create_private_dir(&directory)?;
        let lock = regular::private().create_new(true).write(true).open(directory.join("lock"))?;
        lock.lock()?;
        let record = Self { directory, id, name: name.to_owned(), envelope, _lock: lock, state: Mutex::default() };
        let wrapper = record.envelope.as_ref().map(Envelope::write);
        let about = Value::from([
            ("name", Value::from(name)),
            ("message", wrapper.map_or(Value::Null, |text| read_value(text.as_bytes()).unwrap_or_default())),
        ]);
        regular::private().create_new(true).write(true).open(record.results())?;
        regular::private().create_new(true).write(true).open(record.path("reports"))?;
        // Last: without it there is nothing to report.
        record.write("about.json", &about)?;
        Ok(record)
    }

    /// The records that nobody is at any more, though not all of them has been sent; and the directories of those that
    /// cannot be read.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn abandoned(directory: &Path) -> io::Result<(Vec<Self>, Vec<Unreadable>)> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
            entries => entries?,
        };
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        for entry in entries {
            let place = entry?.path();
            match Self::open(&place) {
                Ok(record) => found.extend(record),
                Err(error) => unreadable.push((place, error)),
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok((found, unreadable))
    }

    /// The record in a directory; nothing if somebody is at it, or if it was never finished.
    fn open(directory: &Path) -> io::Result<Option<Self>> {
        let read = |name: &str| match regular::read_all(&directory.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        };
        let Ok(lock) = OpenOptions::new().write(true).open(directory.join("lock")) else { return Ok(None) };
        if lock.try_lock().is_err() {
            return Ok(None);
        }
        let Some(about) = read("about.json")? else { return Ok(None) };
        let about = read_value(&about).map_err(io::Error::other)?;
        let message = about.get("message").filter(|message| message.as_object().is_some());
        let envelope = message.map(|message| read_file(message.to_json().as_bytes())).transpose();
        let id = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut state = State::default();
        for line in read("reports")?.unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            // The last one may not have been written whole: then nobody relies on it.
            let Some(report) = line.ends_with(b"\n").then(|| read_value(line).ok()).flatten() else { break };
            let channel = report.get("channel").and_then(Value::as_str).unwrap_or_default().to_owned();
            let heard = report.get("heard").and_then(Value::as_i64).and_then(|heard| u64::try_from(heard).ok());
            state.heard = heard.unwrap_or(state.heard);
            state.reports.push(Report { channel, payload: report.get("payload").cloned().unwrap_or_default() });
        }
        let sent = read("sent")?.and_then(|sent| String::from_utf8(sent).ok()?.trim().parse().ok());
        state.sent = sent.unwrap_or(0);
        Ok(Some(Self {
            directory: directory.to_owned(),
            id,
            name: about.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            envelope: envelope.map_err(io::Error::other)?,
            _lock: lock,
            state: Mutex::new(state),
        }))
    }

    /// Where it is written down.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The file in which the program says what there is to report.
    pub fn results(&self) -> PathBuf {
        self.path("results")
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, name: &str, value: &Value) -> io::Result<()> {
        journal::write(&self.directory, name, value)
    }

    /// Writes a report down.
    ///
    /// # Errors
    /// It cannot be written safely.
    pub fn add(&self, channel: &str, payload: Value) -> io::Result<()> {
        let heard = self.state().heard;
        self.append(vec![(Report { channel: channel.to_owned(), payload }, heard)])
    }

    fn append(&self, reports: Vec<(Report, u64)>) -> io::Result<()> {
        if reports.is_empty() {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).open(self.path("reports"))?;
        let line = |(report, heard): &(Report, u64)| {
            let line = Value::from([
                ("channel", Value::from(report.channel.as_str())),
                ("payload", report.payload.clone()),
                ("heard", Value::from(i64::try_from(*heard).unwrap_or(i64::MAX))),
            ]);
            line.to_json() + "\n"
        };
        let text: String = reports.iter().map(line).collect();
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let mut state = self.state();
        for (report, heard) in reports {
            state.reports.push(report);
            state.heard = heard;
        }
        Ok(())
    }

    /// Takes up what the program has said since the last time; what cannot be understood, in words. A line that is not
    /// finished waits as long as the program runs.
    ///
    /// # Errors
    /// It cannot be read, or not be written down.
    pub fn listen(&self, is_over: bool) -> io::Result<Vec<String>> {
        let mut heard = self.state().heard;
        let mut results = regular::open(&self.results())?;
        results.seek(SeekFrom::Start(heard))?;
        let mut new = Vec::new();
        results.take(regular::MAX_BYTES).read_to_end(&mut new)?;
        let is_cut = new.len() as u64 == regular::MAX_BYTES;
        if is_cut && !new.contains(&b'\n') {
            return Err(io::Error::other(format!("a line has more than {} MiB", regular::MAX_BYTES >> 20)));
        }
        let mut odd = Vec::new();
        let mut reports = Vec::new();
        let is_whole = |line: &&[u8]| is_over && !is_cut || line.ends_with(b"\n");
        for line in new.split_inclusive(|byte| *byte == b'\n').take_while(is_whole) {
            heard += line.len() as u64;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match report_in(line) {
                Some(report) => reports.push((report, heard)),
                None => odd.push(reason(line)),
            }
        }
        self.append(reports)?;
        Ok(odd)
    }

    /// The file that is locked as long as the program runs, or anything that it has started.
    fn hold(&self) -> io::Result<File> {
        let running = regular::private().create(true).append(true).open(self.path("running"))?;
        running.lock()?;
        Ok(running)
    }

    /// Whether the program still runs although its wrapper does not.
    ///
    /// # Errors
    /// That cannot be told.
    pub fn is_running(&self) -> io::Result<bool> {
        if self.is_completed() {
            return Ok(false);
        }
        let mut running = match OpenOptions::new().read(true).append(true).open(self.path("running")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            running => running?,
        };
        match running.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => {}
        }
        // Some programs close what they inherit.
        let mut process = String::new();
        running.read_to_string(&mut process)?;
        let number = process.split(' ').next().and_then(|number| number.parse().ok()).and_then(Pid::from_raw);
        Ok(number.and_then(identity).is_some_and(|identity| identity == process))
    }

    /// Whether a report says how the program has ended.
    pub fn has_ended(&self) -> bool {
        self.state().reports.iter().any(|report| matches!(&*report.channel, "success" | "failure"))
    }

    /// Whether the last report is there.
    pub fn is_completed(&self) -> bool {
        self.state().reports.last().is_some_and(|report| report.channel == "completed")
    }

    /// Whether the broker has everything.
    pub fn is_sent(&self) -> bool {
        let state = self.state();
        state.sent == state.reports.len()
    }

    /// Sends what has not been sent. The ids follow from the record, so that what is sent twice is taken once.
    ///
    /// # Errors
    /// The broker did not take it, or it could not be written down that it did.
    pub async fn send(&self, transport: &dyn Transport) -> Result<(), Error> {
        loop {
            let next = {
                let state = self.state();
                state.reports.get(state.sent).map(|report| (state.sent, report.clone()))
            };
            let Some((number, Report { channel, payload })) = next else { return Ok(()) };
            if let Some(envelope) = &self.envelope {
                let id = format!("{}/{number}", self.id);
                let failure = (channel == FAILURE).then(|| failure_in(&payload));
                let output = Output::new(Some(channel), payload);
                match (envelope.advance(&id, &[output], None), failure) {
                    // A failure is no payload that may be dropped.
                    (Ok(messages), Some(failure)) if messages.is_empty() => {
                        bury(transport, envelope, id, &failure).await?;
                    }
                    (Ok(messages), _) => transport.send(messages).await?,
                    // A link that leads nowhere does so tomorrow as well.
                    (Err(error), _) => tracing::error!("a report is not sent: {error}"),
                }
            }
            let sent = Value::from(number as i64 + 1);
            self.write("sent", &sent).map_err(|error| Error::Store(Box::new(error)))?;
            self.state().sent = number + 1;
        }
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// The directory cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.directory)
    }

    /// Completes the reports of a program whose wrapper was killed.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn give_up(&self) -> io::Result<()> {
        self.listen(true)?;
        if !self.is_completed() {
            let reason = "the wrapper was killed; the result of the program is unknown";
            if !self.has_ended() {
                self.add("failure", Value::from(reason))?;
            }
            self.add("completed", Value::from("Finished processing"))?;
        }
        Ok(())
    }

    /// The name with what the recipe says about it, for the status.
    pub fn task(&self) -> String {
        let step = self.envelope.as_ref().map(Envelope::step);
        let information = step.and_then(|step| step.get("wrapper")?.get("task_information").cloned());
        match information.filter(Value::is_truthy) {
            Some(information) => format!("{} ({})", self.name, zrecipe_language::template::python::str(&information)),
            None => self.name.clone(),
        }
    }

    fn status(&self, status: Status) -> Value {
        let version = Value::from(concat!("zrecipe ", env!("CARGO_PKG_VERSION")));
        let mut body = Value::from([
            ("host", Value::from(host_id(&hostname(), 1))),
            ("task", Value::from(self.task())),
            ("workflows", version.clone()),
            ("zocalo", version),
            ("status", Value::from(status.code())),
            ("statustext", Value::from(status.text())),
        ]);
        if let (Value::Object(body), Some(id)) = (&mut body, self.envelope.as_ref().and_then(Envelope::id)) {
            body.insert("recipe_ID".to_owned(), Value::from(id));
        }
        facts::add_to(&mut body);
        body
    }
}

/// Why a program failed, by the payload of its failure.
fn failure_in(payload: &Value) -> String {
    let text = payload.get("reason").unwrap_or(payload);
    reason(text.as_str().map_or_else(|| text.to_json(), str::to_owned))
}

/// Makes a dead letter of the message of a program whose failure no step takes.
///
/// # Errors
/// The broker did not take it.
async fn bury(transport: &dyn Transport, envelope: &Envelope, id: String, failure: &str) -> Result<(), Error> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let Some(letter) = envelope.dead_letter(id, &Reason::new(Code::Failed, failure), now) else {
        tracing::error!("no step receives the failure of the program: {failure}");
        return Ok(());
    };
    let queue = letter.destination.name().to_owned();
    match transport.send(vec![letter]).await {
        Ok(()) => tracing::warn!("no step receives the failure of the program; its message is in `{queue}`: {failure}"),
        // It will not be there tomorrow, either.
        Err(Error::NoSuchQueue(_)) => {
            tracing::error!("no step receives the failure of the program, and there is no queue `{queue}`: {failure}");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A line that the program says, as a report. What was meant by a key that nobody knows would be lost.
fn report_in(line: &[u8]) -> Option<Report> {
    let said = read_value(line).ok()?;
    only(said.as_object()?, &["channel", "payload"]).ok()?;
    let channel = said.get("channel")?.as_str()?.to_owned();
    let payload = said.get("payload").cloned().unwrap_or_default();
    finite(&payload).ok()?;
    Some(Report { channel, payload })
}

/// Sends reports and tells the status for as long as there is a program, and then what is left for at most `linger`.
/// Why the broker did not take what is left, if it could be asked.
pub async fn report<C>(
    record: Arc<Record>,
    connect: C,
    mut status: watch::Receiver<Status>,
    linger: Duration,
) -> Option<String>
where
    C: AsyncFn() -> Option<Arc<dyn Transport>>,
{
    let mut refusal = None;
    let mut transport: Option<Arc<dyn Transport>> = None;
    let mut told: Option<(Status, Instant)> = None;
    let mut end: Option<Instant> = None;
    loop {
        let now = *status.borrow_and_update();
        let is_over = matches!(now, Status::End | Status::Error);
        if is_over && end.is_none() {
            end = Some(Instant::now() + linger);
        }
        let deadline = end.unwrap_or_else(|| Instant::now() + AGAIN);
        if transport.is_none() {
            transport = timeout_at(deadline.max(Instant::now() + AGAIN), connect()).await.ok().flatten();
        }
        let mut pause = LOOK;
        match &transport {
            None => pause = AGAIN,
            Some(transport) => {
                if told.is_none_or(|(status, at)| status != now || at.elapsed() >= INTERVAL) {
                    told = Some((now, Instant::now()));
                    let message = broadcast(TOPIC, &record.status(now), Some(EXPIRATION));
                    // Nobody may be there to hear it.
                    let _ = timeout_at(Instant::now() + INTERVAL, transport.send(vec![message])).await;
                }
                match timeout_at(deadline, record.send(&**transport)).await {
                    Ok(Ok(())) => refusal = None,
                    Ok(Err(error)) => {
                        let error = Some(error.to_string());
                        if error != refusal {
                            tracing::warn!("reports wait: {}", error.as_deref().unwrap_or_default());
                        }
                        (refusal, pause) = (error, AGAIN);
                    }
                    Err(_) => {}
                }
            }
        }
        if is_over && record.is_sent() || end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        tokio::select! {
            () = sleep(pause) => {}
            // The sender lives as long as there is a program.
            _ = status.changed() => {}
        }
    }
    if let Some(transport) = transport {
        let _ = transport.close().await;
    }
    refusal
}

/// Runs a program to its end. Signals that we get go to it and its children.
///
/// # Errors
/// It cannot be started, or what it says cannot be written down.
pub async fn run(record: &Record, command: &[String], files: &[(&str, &Path)]) -> io::Result<Ended> {
    let [name, arguments @ ..] = command else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no program"));
    };
    let mut child = Command::new(name);
    child.args(arguments).env("ZRECIPE_RESULTS", record.results()).process_group(0);
    for (variable, path) in files {
        child.env(variable, path);
    }
    if let Some(id) = record.envelope.as_ref().and_then(Envelope::id) {
        child.env("ZRECIPE_RECIPE_ID", id);
    }
    let mut signals = Signals::new()?;
    let mut running = record.hold()?;
    // The program inherits this one, and with it the lock.
    let inherited = rustix::io::dup(&running)?;
    let mut child = child.spawn()?;
    drop(inherited);
    let group = child.id().and_then(|id| Pid::from_raw(id as i32));
    if let Some(identity) = group.and_then(identity) {
        // The lock alone nearly always tells.
        let _ = running.write_all(identity.as_bytes());
    }
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            signal = signals.next() => {
                if let Some(group) = group {
                    let _ = kill_process_group(group, signal);
                }
            }
            () = sleep(LOOK) => {
                // The program goes on whatever becomes of this; what fails at its end counts.
                let _ = hear(record, false);
            }
        }
    };
    hear(record, true)?;
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => Ended::Signalled(signal.and_then(|signal| u8::try_from(signal).ok()).unwrap_or(0)),
    })
}

fn hear(record: &Record, is_over: bool) -> io::Result<()> {
    for line in record.listen(is_over)? {
        tracing::warn!("this is not a report: {line}; write `{{\"channel\": \"updates\", \"payload\": …}}`");
    }
    Ok(())
}

/// The signals that are passed on.
struct Signals {
    streams: Vec<(tokio::signal::unix::Signal, Signal)>,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let kinds = [
            (SignalKind::terminate(), Signal::TERM),
            (SignalKind::interrupt(), Signal::INT),
            (SignalKind::hangup(), Signal::HUP),
            (SignalKind::quit(), Signal::QUIT),
            (SignalKind::user_defined1(), Signal::USR1),
            (SignalKind::user_defined2(), Signal::USR2),
        ];
        let streams = kinds.into_iter().map(|(kind, number)| Ok((signal(kind)?, number)));
        Ok(Self { streams: streams.collect::<io::Result<_>>()? })
    }

    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            let ready = self.streams.iter_mut().find_map(|(stream, number)| {
                let is_ready = matches!(stream.poll_recv(cx), std::task::Poll::Ready(Some(())));
                is_ready.then_some(*number)
            });
            ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }
}
