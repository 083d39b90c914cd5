//! Working on a run in the foreground: services, progress, and the table at the end.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::{mpsc, watch};

use super::bridged;
use super::error::Error;
use super::executor::interrupted;
use super::output::print;
use super::session::Session;
use super::table::{align, duration};
use super::terminal::say;
use zrecipe_broker::message::bounds::DELIVERY_LIMIT;
use zrecipe_language::site::Plugins;
use zrecipe_runtime::runtime::foreign::Foreign;
use zrecipe_runtime::runtime::run::{RUN_VARIABLE, Report, Run, Runs};
use zrecipe_runtime::runtime::services;
use zrecipe_runtime::runtime::surroundings::{Scope, Surroundings};
use zrecipe_runtime::runtime::{DEAD_LETTERED, Event, Service};

/// Services of a run, and what they tell.
pub struct Crew {
    services: Vec<Arc<dyn Service>>,
    events: mpsc::UnboundedSender<Event>,
    received: mpsc::UnboundedReceiver<Event>,
}

impl Crew {
    /// Whether one of them deals with the messages of a queue.
    pub fn serves(&self, queue: &str) -> bool {
        self.services.iter().any(|service| service.serves(queue))
    }
}

/// The services of a run on this machine; those that are Python classes have started.
///
/// # Errors
/// The recipe directories cannot be told, or a Python class of the run cannot be started.
pub async fn crew(session: &Session, runs: &Runs, run: &Run, places: usize) -> Result<Crew, Error> {
    let python = bridged::interpreter(session, &[])?;
    let surroundings = Surroundings {
        scope: Scope::Run,
        plugins: Plugins::new(),
        site: None,
        environments: &[],
        settings: &session.settings,
        python: python.clone(),
        library: session.library()?,
        journal: runs.journal(),
        state: session.state_directory()?,
        directory: run.plan.directory.clone(),
        places,
        variables: vec![
            ("ZRECIPE_STATE", std::path::absolute(session.state_directory()?)?.to_string_lossy().into_owned()),
            (RUN_VARIABLE, run.plan.id.clone()),
        ],
    };
    let (events, received) = mpsc::unbounded_channel();
    let mut services = services::of_run(&surroundings)?;
    let contracts = session.contracts()?;
    for contract in contracts.programs() {
        let Some(program) = Foreign::new(Arc::clone(contract), &python) else { continue };
        let program = program.watched(events.clone());
        if run.plan.queues.iter().any(|queue| program.serves(queue)) {
            bridged::open(&program, &python).await?;
        }
        services.push(Arc::new(program));
    }
    let mut crew = Crew { services, events, received };
    for (_, name) in &run.plan.steps {
        if run.plan.queues.iter().all(|queue| crew.serves(queue)) {
            break;
        }
        let watched = |service: Foreign| service.watched(crew.events.clone());
        match bridged::by_name(name, contracts, &python, watched).await {
            Ok(Some(service)) => crew.services.push(Arc::new(service)),
            Ok(None) => {}
            // Then nobody has a service in Python here.
            Err(bridged::Fault::Unasked(_)) => break,
            Err(bridged::Fault::Unstarted(error)) => return Err(error),
        }
    }
    Ok(crew)
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
    work_with(crew(session, runs, run, places).await?, runs, run, places, known, show).await
}

/// The same with services that have been made.
///
/// # Errors
/// As [`work`].
pub async fn work_with(
    crew: Crew,
    runs: &Runs,
    run: &Run,
    places: usize,
    known: &[Report],
    show: fn(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    let (stop, stopped) = watch::channel(false);
    let Crew { services, events, received } = crew;
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
        for report in reports.iter().filter(|report| report.outcome == "retried") {
            let what = report.step.map_or("the request".to_owned(), |step| format!("step {step}"));
            let (attempt, all) = (report.deliveries, DELIVERY_LIMIT + 1);
            let reason = report.reason.as_deref().unwrap_or("no reason is known");
            say(&format!("{what}: attempt {attempt} of {all} failed: {reason}"));
        }
        return Err(Error::new("interrupted").hint(format!("resume it with `zrecipe resume {id}`")));
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
    if outcome == DEAD_LETTERED { "was dead-lettered" } else { outcome }
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
    // Messages of which it is known why they are delivered again.
    let mut retried = std::collections::BTreeSet::new();
    let mut done = 0;
    while let Some(event) = events.recv().await {
        match event {
            Event::Started { id, service, step, deliveries, .. } => {
                let name = name(step, &service);
                if deliveries > 1 && !retried.remove(&id) {
                    line(format!("{name}: delivered for the {} time", ordinal(deliveries)));
                }
                under_way.insert(id, (name, SystemTime::now()));
            }
            Event::Settled { id, service, step, reason, attempt, retry_after: Some(pause), .. } => {
                let begun = under_way.remove(&id).map(|(_, begun)| begun);
                let took = begun.and_then(|begun| begun.elapsed().ok()).unwrap_or_default();
                let reason = reason.unwrap_or_default();
                let name = name(step, &service);
                line(retry(&name, attempt, took, &reason, pause));
                retried.insert(id);
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
            Event::Traffic(_) => {}
        }
        let names: Vec<&str> = under_way.values().map(|(name, _)| name.as_str()).collect();
        bar.set_message(format!("{done} of {} steps done  {}", steps.len(), names.join(", ")));
    }
    bar.finish_and_clear();
}

/// What a failed attempt comes to.
fn retry(name: &str, attempt: u32, took: Duration, reason: &str, pause: Duration) -> String {
    let (took, pause, all) = (duration(took), duration(pause), DELIVERY_LIMIT + 1);
    format!("{name}: attempt {attempt} of {all} failed after {took}: {reason}; next attempt in {pause}")
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
