//! `zrecipe show`: what was sent where in a run, and with which result.

use std::fmt::Write as _;

use crate::cli::progress::{block_on, duration, table, timestamp};
use crate::cli::{Error, Session, print};
use crate::runtime::run::{Report, Run, Runs};
use crate::value::Value;

/// Show a run: its steps, what each sent where, and what is outstanding
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run's ID, or the beginning of it.
    #[arg(value_name = "ID")]
    id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let state = session.state_directory()?;
    let (run, reports, outstanding) = block_on(async {
        let runs = Runs::open(&state).await?;
        let run = runs.find(&args.id).await?;
        let (reports, outstanding) = (run.reports().await?, run.outstanding().await?);
        runs.close().await?;
        Ok((run, reports, outstanding))
    })?;
    print(&if args.json { json(&run, &reports, &outstanding) } else { text(&run, &reports, &outstanding) })
}

fn text(run: &Run, reports: &[Report], outstanding: &[(String, Option<i64>)]) -> String {
    let mut text = format!("run {} of {}\n\n{}\n", run.plan.id, run.plan.title, table(run, reports));
    for report in reports {
        let what = report.step.map_or("request".to_owned(), |step| format!("step {step}"));
        let _ = write!(text, "{what} from {}: {} by {}", report.source, report.outcome, report.service);
        let _ = writeln!(text, " in {}, {}", duration(report.took), timestamp(report.at));
        if let Some(reason) = &report.reason {
            let _ = writeln!(text, "    {reason}");
        }
        for output in report.outputs.as_array().unwrap_or_default() {
            let channel = output.get("channel").and_then(Value::as_str).unwrap_or("output");
            let targets: Vec<String> =
                output.get("to").and_then(Value::as_array).unwrap_or_default().iter().map(Value::to_json).collect();
            let payload = output.get("payload").map(Value::to_json).unwrap_or_default();
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
        let _ = writeln!(text, "outstanding: a message{step} in queue {queue}");
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
            ("reason", Value::from(report.reason.clone())),
            ("seconds", Value::from(report.took.as_secs_f64())),
            ("deliveries", Value::from(i64::from(report.deliveries))),
            ("outputs", report.outputs.clone()),
            ("detail", report.detail.clone()),
        ])
    });
    let outstanding = outstanding
        .iter()
        .map(|(queue, step)| Value::from([("queue", Value::from(queue.as_str())), ("step", Value::from(*step))]));
    Value::from([
        ("version", Value::from(1)),
        ("id", Value::from(run.plan.id.as_str())),
        ("recipes", Value::from(run.plan.title.as_str())),
        ("request", run.plan.request.to_value()),
        ("messages", Value::Array(messages.collect())),
        ("outstanding", Value::Array(outstanding.collect())),
    ])
    .to_json_pretty()
        + "\n"
}
