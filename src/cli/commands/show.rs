//! `zrecipe show`: what was sent where in a run, and with which result.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use crate::cli::broker::EnvironmentArgs;
use crate::cli::broker::runs::runs_to_read;
use crate::cli::executor::block_on;
use crate::cli::logbook::{entry, today};
use crate::cli::progress::table;
use crate::cli::table::duration;
use crate::cli::time::timestamp;
use crate::cli::{Error, Session, difference_of_values, plain, print};
use zrecipe_broker::message::headers::{REQUEST_HOST, REQUEST_USER};
use zrecipe_broker::message::sanitise;
use zrecipe_language::secret;
use zrecipe_language::value::Value;
use zrecipe_runtime::runtime::run::{self, Report, Run};

/// Show a run: its steps, their outputs and pending messages; for a run of a site, its request and recipe
///
/// A run on this machine is read from its journal. If there is none, or with `-e`, the run is looked up in the logbook
/// of the site's dispatcher (`zocalo.dispatcher.logbook_location`). The logbook shows the request, the recipe with its
/// parameters substituted, and the differences from the current recipe file. Passwords are masked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID of the run, or its first characters.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    if !args.environment.is_empty() {
        return show_entry(args, session);
    }
    let state = session.state_directory()?;
    let found = block_on(async {
        let runs = runs_to_read(&state).await?;
        let run = match runs.find(&args.id).await {
            Err(run::Error::NoSuchRun(_)) if session.site_path().is_some() => return Ok(None),
            run => run?,
        };
        let (reports, outstanding) = (run.reports().await?, run.outstanding().await?);
        runs.close().await?;
        Ok(Some((run, reports, outstanding)))
    })?;
    let Some((run, reports, outstanding)) = found else { return show_entry(args, session) };
    print(&if args.json { json(&run, &reports, &outstanding) } else { text(&run, &reports, &outstanding) })
}

/// Shows what the logbook says.
fn show_entry(args: &Args, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let entry = entry(&environment, &args.id)?;
    let today = today(&entry, &environment, session)?;
    let bound = sanitise(entry.recipe.clone());
    let colour = !args.json && session.style(std::io::stdout().is_terminal()).colour;
    let title = entry.title();
    let changed = today.as_ref().map(|today| difference_of_values(&title, &bound, today, colour));
    let shown = |value: Value| secret::hidden("", value);
    let (request, recipe) = (shown(entry.request.to_value()), shown(bound));
    if args.json {
        let (diff, refused) = match changed {
            Ok(diff) => (Value::from(diff), Value::Null),
            Err(reason) => (Value::Null, Value::from(reason.as_str())),
        };
        let document = Value::from([
            ("version", Value::from(1)),
            ("id", Value::from(entry.id)),
            ("recipes", Value::from(title)),
            ("file", Value::from(entry.path.display().to_string())),
            ("header", shown(Value::Object(entry.headers))),
            ("asked", shown(entry.asked.to_value())),
            ("request", request),
            ("recipe", recipe),
            ("difference_today", diff),
            ("refused_today", refused),
        ]);
        return print(&(document.to_json_pretty() + "\n"));
    }
    let who = |key: &str| entry.headers.get(key).and_then(Value::as_str).unwrap_or("?");
    let (user, host) = (who(REQUEST_USER), who(REQUEST_HOST));
    let mut text = format!("run {} of {title}\nrequested by {user} at {host}\n", entry.id);
    let _ = writeln!(text, "in the logbook: {}\n", entry.path.display());
    let _ = writeln!(text, "request, with all parameters:\n{}\n", request.to_json_pretty());
    let _ = writeln!(text, "recipe, with parameters substituted:\n{}\n", recipe.to_json_pretty());
    match changed {
        Ok(diff) if diff.is_empty() => text.push_str("the current recipe file gives the same recipe\n"),
        Ok(diff) => _ = write!(text, "the current recipe file gives a different recipe:\n{diff}"),
        Err(reason) => _ = writeln!(text, "the current recipe file would be rejected: {reason}"),
    }
    print(&text)
}

fn text(run: &Run, reports: &[Report], outstanding: &[(String, Option<i64>)]) -> String {
    let mut text = format!("run {} of {}\n\n{}\n", run.plan.id, run.plan.title, table(run, reports));
    for report in reports {
        let what = report.step.map_or("request".to_owned(), |step| format!("step {step}"));
        let _ = write!(text, "{what} from {}: {} by {}", report.source, report.outcome, report.service);
        let _ = writeln!(text, " in {}, {}", duration(report.took), timestamp(report.at));
        if let Some(reason) = &report.reason {
            let _ = writeln!(text, "    {}", secret::hidden_text(reason));
        }
        // What the program said, line by line. A secret may have several lines, so it is looked up in the whole.
        let output = report.detail.get("output").and_then(Value::as_str).unwrap_or_default();
        for line in secret::hidden_text(output).trim_end().lines() {
            let _ = writeln!(text, "    | {}", plain(line));
        }
        for output in report.outputs.as_array().unwrap_or_default() {
            let channel = output.get("channel").and_then(Value::as_str).unwrap_or("output");
            let targets: Vec<String> =
                output.get("to").and_then(Value::as_array).unwrap_or_default().iter().map(Value::to_json).collect();
            let payload =
                output.get("payload").map(|payload| secret::hidden("", payload.clone()).to_json()).unwrap_or_default();
            let payload = match payload.char_indices().nth(200) {
                Some((end, _)) => format!("{}…", &payload[..end]),
                None => payload,
            };
            let to = if targets.is_empty() { "nowhere".to_owned() } else { format!("step {}", targets.join(", ")) };
            let _ = writeln!(text, "    {channel} → {to}: {payload}");
        }
        for sent in report.detail.get("sent").and_then(Value::as_array).unwrap_or_default() {
            if let Some(place) = sent.get("to").and_then(Value::as_str) {
                let _ = writeln!(text, "    → {place}");
            }
        }
    }
    for (queue, step) in outstanding {
        let step = step.map_or(String::new(), |step| format!(" for step {step}"));
        let _ = writeln!(text, "pending: a message{step} in queue {queue}");
    }
    text
}

fn json(run: &Run, reports: &[Report], outstanding: &[(String, Option<i64>)]) -> String {
    let messages = reports.iter().map(|report| {
        Value::from([
            ("id", Value::from(report.id.as_str())),
            ("queue", Value::from(report.source.as_str())),
            ("step", Value::from(report.step)),
            ("path", Value::Array(report.path.clone())),
            ("service", Value::from(report.service.as_str())),
            ("outcome", Value::from(report.outcome.as_str())),
            ("reason", Value::from(report.reason.as_deref().map(secret::hidden_text))),
            ("seconds", Value::from(report.took.as_secs_f64())),
            ("deliveries", Value::from(i64::from(report.deliveries))),
            ("outputs", secret::hidden("", report.outputs.clone())),
            ("detail", secret::hidden("", report.detail.clone())),
        ])
    });
    let outstanding = outstanding
        .iter()
        .map(|(queue, step)| Value::from([("queue", Value::from(queue.as_str())), ("step", Value::from(*step))]));
    Value::from([
        ("version", Value::from(1)),
        ("id", Value::from(run.plan.id.as_str())),
        ("recipes", Value::from(run.plan.title.as_str())),
        ("request", secret::hidden("", run.plan.request.to_value())),
        ("messages", Value::Array(messages.collect())),
        ("outstanding", Value::Array(outstanding.collect())),
    ])
    .to_json_pretty()
        + "\n"
}
