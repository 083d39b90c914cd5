//! Working on a run in the foreground: services, progress, and the table at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{Error, Session, plain, print, say};
use zrecipe_broker::transport::{Connection, Transport, all_closed};
use zrecipe_language::site::Plugins;
use zrecipe_runtime::runtime::foreign::Foreign;
use zrecipe_runtime::runtime::run::{Report, Run, Runs};
use zrecipe_runtime::runtime::services;
use zrecipe_runtime::runtime::surroundings::{Scope, Surroundings};
use zrecipe_runtime::runtime::{Event, Service};

/// How long the end of a connection may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the end of a thread may take that waits for a file or a program.
const THREADS: Duration = Duration::from_secs(1);
/// How long messages of others may take to go back after a signal, and how long the rest may take then: together less
/// than two seconds.
pub const GRACE: Duration = Duration::from_millis(1200);
const SHORT: Duration = Duration::from_millis(250);

/// Runs something that waits for brokers and programs.
///
/// # Errors
/// What it says, or there are no threads to be had.
pub fn block_on<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    block_on_until(future, || false)
}

/// The same for what sees to signals itself; its end is short when it was `hurried`.
///
/// # Errors
/// As [`block_on`].
pub fn block_on_hurried<T>(future: impl Future<Output = Result<T, Error>>, hurried: &AtomicBool) -> Result<T, Error> {
    block_on_until(future, || hurried.load(Ordering::Relaxed))
}

/// The same; its end is short when `is_hurried` says so.
fn block_on_until<T>(
    future: impl Future<Output = Result<T, Error>>,
    is_hurried: impl Fn() -> bool,
) -> Result<T, Error> {
    let or_short = |time| if is_hurried() { SHORT } else { time };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::new(format!("cannot start threads: {error}")))?;
    let result = runtime.block_on(async {
        let result = future.await;
        // Whatever has ended it, the broker hears of it.
        let _ = timeout(or_short(FAREWELL), all_closed()).await;
        result
    });
    // A thread that waits for a file or a program must not keep us.
    runtime.shutdown_timeout(or_short(THREADS));
    result
}

/// Tells when the broker is away, until it is dropped: whoever waits is to know what for.
pub struct Outages(tokio::task::JoinHandle<()>);

impl Outages {
    /// Tells of a transport's broker from now on.
    pub fn of(transport: &dyn Transport) -> Self {
        Self(tokio::spawn(tell(transport.connection(), say)))
    }
}

impl Drop for Outages {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells when a connection is lost or blocked, and when it is as it was.
async fn tell(mut connection: watch::Receiver<Connection>, say: impl Fn(&str)) {
    let mut before = Connection::Up;
    while connection.changed().await.is_ok() {
        let now = connection.borrow_and_update().clone();
        news(&before, &now).iter().for_each(|line| say(line));
        before = now;
    }
}

/// What there is to tell of the state of a connection after the one before.
fn news(before: &Connection, now: &Connection) -> Option<String> {
    if std::mem::discriminant(before) == std::mem::discriminant(now) {
        return None;
    }
    Some(match (now, before) {
        (Connection::Lost { reason, .. }, _) => format!("the broker is away, waiting for it: {reason}"),
        (Connection::Blocked { reason, .. }, _) => format!("waiting: {reason}"),
        (Connection::Up, Connection::Blocked { .. }) => "the broker takes messages again".to_owned(),
        (Connection::Up, _) => "the broker is back".to_owned(),
    })
}

/// The same for what holds messages of others: it is told when a signal asks for its end, and releases them. A second signal
/// does not wait for that, and neither does the first one for a broker that does not answer.
///
/// # Errors
/// As [`block_on`]; or it was interrupted and could not end in order.
pub fn block_on_politely<T>(work: impl AsyncFnOnce(watch::Receiver<bool>) -> Result<T, Error>) -> Result<T, Error> {
    let (end, over) = watch::channel(false);
    let interrupted = over.clone();
    let work = async {
        let mut signals = Signals::new();
        let cut_off = async {
            signals.next().await;
            end.send_replace(true);
            if timeout(GRACE, signals.next()).await.is_ok() { "interrupted twice" } else { "interrupted" }
        };
        tokio::select! {
            biased;
            result = work(over) => result,
            how = cut_off => Err(Error::new(format!("{how}, before the broker had taken everything back"))
                .hint("messages that were held go back as they are, and that counts as a delivery")),
        }
    };
    block_on_until(work, || *interrupted.borrow())
}

/// Does things side by side, at most `limit` at a time; what they come to, in their order.
pub async fn side_by_side<T>(limit: usize, work: Vec<Pin<Box<dyn Future<Output = T> + '_>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = work.iter().map(|_| None).collect();
    let mut waiting = work.into_iter().enumerate();
    let mut running = Vec::new();
    std::future::poll_fn(|cx| {
        loop {
            let room = limit.max(1).saturating_sub(running.len());
            running.extend(waiting.by_ref().take(room));
            let before = running.len();
            running.retain_mut(|(at, work)| match work.as_mut().poll(cx) {
                Poll::Ready(result) => {
                    done[*at] = Some(result);
                    false
                }
                Poll::Pending => true,
            });
            match running.len() {
                0 if waiting.len() == 0 => return Poll::Ready(()),
                now if now == before => return Poll::Pending,
                _ => {}
            }
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// The services of a run on this machine.
///
/// # Errors
/// The recipe directories cannot be told.
pub fn services(
    session: &Session,
    runs: &Runs,
    run: &Run,
    places: usize,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<Vec<Arc<dyn Service>>, Error> {
    let surroundings = Surroundings {
        scope: Scope::Run,
        plugins: Plugins::new(),
        settings: &session.settings,
        library: session.library()?,
        journal: runs.journal(),
        state: session.state_directory()?,
        directory: run.plan.directory.clone(),
        places,
        variables: Vec::new(),
    };
    let mut services = services::of_run(&surroundings)?;
    for program in session.contracts()?.programs().cloned().filter_map(Foreign::new) {
        services.push(Arc::new(program.watched(events.clone())));
    }
    Ok(services)
}

/// How many steps run at a time when nothing else is said.
pub fn default_places() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Works on a run to its end and prints the table of its steps.
///
/// # Errors
/// A step failed, the work was interrupted, or the broker failed.
pub async fn work(session: &Session, runs: &Runs, run: &Run, places: usize) -> Result<(), Error> {
    work_on(session, runs, run, places, &[], print).await
}

/// The same for a run of which steps have been sent again: what is `known` of them before counts no more. `show` gets the
/// table.
///
/// # Errors
/// As [`work`].
pub async fn work_on(
    session: &Session,
    runs: &Runs,
    run: &Run,
    places: usize,
    known: &[Report],
    show: fn(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    let (stop, stopped) = watch::channel(false);
    let (events, received) = mpsc::unbounded_channel();
    let services = services(session, runs, run, places, &events)?;
    runs.tidy().await?;
    let signals = tokio::spawn(async move {
        interrupted().await;
        let _ = stop.send(true);
    });
    let steps: BTreeMap<i64, String> = run.plan.steps.iter().cloned().collect();
    let watching = tokio::spawn(watch_events(received, steps));
    let finished = run.work(services, places, events, stopped).await;
    let _ = watching.await;
    signals.abort();
    let finished = finished?;
    let mut reports = run.reports().await?;
    let again: Vec<Option<i64>> = reports.iter().skip(known.len()).map(|report| report.step).collect();
    let is_known = |report: &Report| known.iter().any(|known| known.id == report.id && known.at == report.at);
    reports.retain(|report| !(is_known(report) && again.contains(&report.step)));
    if finished {
        run.conclude(reports.iter().any(Report::is_failure)).await?;
    }
    run.release().await?;
    runs.close().await?;
    show(&table(run, &reports))?;
    if !finished {
        let id = &run.plan.id;
        return Err(Error::new("interrupted").hint(format!("`zrecipe resume {id}` goes on where it stopped")));
    }
    conclude(&reports)
}

/// Says which steps failed, and fails if any did.
///
/// # Errors
/// A step failed.
pub fn conclude(reports: &[Report]) -> Result<(), Error> {
    for report in reports.iter().filter(|report| report.is_failure()) {
        let what = report.step.map_or("the request".to_owned(), |step| format!("step {step}"));
        let reason = report.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
        for channel in &report.dropped {
            say(&match channel.as_str() {
                "" => format!("{what} sent an output without a channel, and has only named channels: dropped"),
                channel => format!("{what} sent on channel `{channel}`, which the step does not have: dropped"),
            });
        }
        if !report.has_failed() {
            continue;
        }
        say(&format!("{what} {}{reason}", past(&report.outcome)));
    }
    if reports.iter().any(Report::is_failure) { Err(Error::findings()) } else { Ok(()) }
}

fn past(outcome: &str) -> &str {
    match outcome {
        "dead-lettered" => "was dead-lettered",
        other => other,
    }
}

/// The signals by which somebody wants the program to end; none is missed from the beginning on.
struct Signals(Option<(Signal, Signal)>);

impl Signals {
    fn new() -> Self {
        Self(signal(SignalKind::interrupt()).and_then(|first| Ok((first, signal(SignalKind::terminate())?))).ok())
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some((interrupt, terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
    }
}

/// Waits until somebody wants the program to end.
pub async fn interrupted() {
    Signals::new().next().await;
}

/// Shows what happens: a line that changes on a terminal, a line for each step in a pipe.
async fn watch_events(mut events: mpsc::UnboundedReceiver<Event>, steps: BTreeMap<i64, String>) {
    let terminal = io::stderr().is_terminal();
    let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.set_style(
        ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    let line = |text: String| if terminal { bar.println(text) } else { say(&text) };
    let name = |step: Option<i64>, service: &str| match step {
        Some(step) => match steps.get(&step) {
            Some(name) => format!("step {step} ({name})"),
            None => format!("step {step}"),
        },
        None => service.to_owned(),
    };
    let mut under_way: BTreeMap<String, (String, SystemTime)> = BTreeMap::new();
    let mut done = 0;
    while let Some(event) = events.recv().await {
        match event {
            Event::Started { id, service, step, deliveries, .. } => {
                let name = name(step, &service);
                if deliveries > 1 {
                    line(format!("{name}: delivered for the {} time", ordinal(deliveries)));
                }
                under_way.insert(id, (name, SystemTime::now()));
            }
            Event::Settled { id, service, step, outcome, reason, .. } => {
                let begun = under_way.remove(&id).map(|(_, begun)| begun);
                let took = begun.and_then(|begun| begun.elapsed().ok()).unwrap_or_default();
                let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
                line(format!("{}: {outcome} in {}{reason}", name(step, &service), duration(took)));
                done += usize::from(step.is_some());
            }
            Event::Abandoned { id } => _ = under_way.remove(&id),
            Event::HeldUp { by, reason, attempt, again, .. } => {
                let pause = again.duration_since(SystemTime::now()).unwrap_or_default();
                let next = duration(pause);
                line(format!("held up by {by}: {reason}; attempt {attempt} failed, next attempt in {next}"));
            }
            Event::Warning(text) => line(format!("warning: {text}")),
        }
        let names: Vec<&str> = under_way.values().map(|(name, _)| name.as_str()).collect();
        bar.set_message(format!("{done} of {} steps done  {}", steps.len(), names.join(", ")));
    }
    bar.finish_and_clear();
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (1, n) if n != 11 => "st",
        (2, n) if n != 12 => "nd",
        (3, n) if n != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// A time for people.
pub fn duration(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..=59 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// The table of a run's steps.
pub fn table(run: &Run, reports: &[Report]) -> String {
    let mut rows = vec![["step", "service", "outcome", "time", "deliveries"].map(str::to_owned)];
    let name = |step: i64| run.plan.steps.iter().find(|(number, _)| *number == step).map(|(_, name)| name.clone());
    for report in reports {
        let (step, service) = match report.step {
            Some(step) => (step.to_string(), name(step).unwrap_or_else(|| report.service.clone())),
            None if report.is_failure() => ("-".to_owned(), report.service.clone()),
            None => continue,
        };
        let deliveries = report.deliveries.to_string();
        rows.push([step, service, report.outcome.clone(), duration(report.took), deliveries]);
    }
    for (step, name) in &run.plan.steps {
        if reports.iter().all(|report| report.step != Some(*step)) {
            rows.push([step.to_string(), name.clone(), "not reached".to_owned(), "-".to_owned(), "0".to_owned()]);
        }
    }
    align(&rows)
}

/// Rows in columns.
pub fn align<R: AsRef<[String]>>(rows: &[R]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.as_ref().iter().map(|cell| plain(cell)).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        row.iter().zip(&mut widths).for_each(|(cell, width)| *width = cell.chars().count().max(*width));
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A time of day in the user's time zone.
pub fn timestamp(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_and_its_end() {
        let lost = |reason: &str| Connection::Lost { reason: reason.to_owned(), since: SystemTime::UNIX_EPOCH };
        let blocked = Connection::Blocked { reason: "no memory".to_owned(), since: SystemTime::UNIX_EPOCH };
        let states =
            [Connection::Up, lost("it hung up"), lost("nobody listens there"), Connection::Up, blocked, Connection::Up];
        let pairs = std::iter::once(&Connection::Up).chain(&states).zip(&states);
        let said: Vec<String> = pairs.filter_map(|(before, now)| news(before, now)).collect();
        assert_eq!(
            said,
            [
                "the broker is away, waiting for it: it hung up",
                "the broker is back",
                "waiting: no memory",
                "the broker takes messages again"
            ]
        );
    }
}
