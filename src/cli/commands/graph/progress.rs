//! States, counts and times of a run on the boxes of its recipe.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::broker::runs::runs_to_read;
use crate::cli::executor::block_on;
use crate::cli::table::duration;
use crate::cli::{Error, Session};
use zrecipe_language::draw::{Diagram, Progress, State};
use zrecipe_language::secret;
use zrecipe_language::source::Source;
use zrecipe_project::judge::CheckOptions;
use zrecipe_runtime::runtime::StepResult;
use zrecipe_runtime::runtime::run::Report;

/// Messages of one step.
#[derive(Default)]
struct Step {
    /// Messages by outcome.
    outcomes: BTreeMap<String, usize>,
    failures: Vec<String>,
    has_failed: bool,
    was_retried: bool,
    took: Duration,
    /// Messages that wait.
    waiting: usize,
}

impl Step {
    fn add(&mut self, report: &Report) {
        let outcome = if report.outcome == StepResult::Succeeded.as_str() { "succeeded" } else { &report.outcome };
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        self.failures.extend(report.reason.as_deref().map(secret::hidden_text));
        self.has_failed |= report.is_failure();
        self.was_retried |= report.deliveries > 1;
        self.took += report.took;
    }

    fn progress(&self) -> Progress {
        let state = match self {
            Self { has_failed: true, .. } => State::Failed,
            Self { waiting: 1.., .. } => State::Running,
            Self { outcomes, .. } if outcomes.is_empty() => State::Pending,
            Self { was_retried: true, .. } => State::Retried,
            _ => State::Succeeded,
        };
        let mut parts: Vec<String> =
            self.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        if self.waiting > 0 {
            parts.push(format!("{} waiting", self.waiting));
        }
        if !self.outcomes.is_empty() {
            parts.push(duration(self.took));
        }
        let line = if parts.is_empty() { state.name().to_owned() } else { parts.join(", ") };
        Progress { state, line, reasons: self.failures.clone() }
    }
}

/// The recipe of a run on this machine, with what became of each step.
///
/// # Errors
/// There is no such run, or its recipe is not found any more.
pub fn of_run(id: &str, session: &Session) -> Result<Diagram, Error> {
    let state = session.state_directory()?;
    let (run, reports, outstanding) = block_on(async {
        let runs = runs_to_read(&state).await?;
        let run = runs.find(id).await?;
        let found = (run.reports().await?, run.outstanding().await?);
        runs.close().await?;
        Ok((run, found.0, found.1))
    })?;
    let request = &run.plan.request;
    let custom = request.custom_recipe.iter();
    let custom = custom.map(|recipe| {
        session.judge(Source::from_text(&*run.plan.title, recipe.to_json_pretty()), CheckOptions::default())
    });
    let mut compiled = custom.collect::<Result<Vec<_>, _>>()?;
    compiled.extend(session.compile(&request.recipes, CheckOptions::default())?);
    let compilation = match compiled.len() {
        1 => compiled.remove(0),
        _ => session.merged(&compiled),
    };
    let mut steps: BTreeMap<i64, Step> = BTreeMap::new();
    for report in &reports {
        if let Some(step) = report.step {
            steps.entry(step).or_default().add(report);
        }
    }
    for step in outstanding.iter().filter_map(|(_, step)| *step) {
        steps.entry(step).or_default().waiting += 1;
    }
    let name = format!("run {} of {}", run.plan.id, run.plan.title);
    let mut diagram = Diagram::of(&name, &compilation, session.project.usable_contracts().0);
    diagram.follow(|step| steps.remove(&step).unwrap_or_default().progress());
    Ok(diagram)
}
