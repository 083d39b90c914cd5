//! `zrecipe resubmit`: sends a step of a run again.

use uuid::Uuid;

use crate::cli::broker::EnvironmentArgs;
use crate::cli::executor::block_on;
use crate::cli::logbook::entry;
use crate::cli::progress::{default_places, work_on};
use crate::cli::{Error, Session, print, say};
use zrecipe_broker::message::{Envelope, Outgoing, RECIPE_HEADER, sanitise};
use zrecipe_language::bind::bind;
use zrecipe_language::recipe::step_number;
use zrecipe_language::source::Source;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::judge;
use zrecipe_runtime::runtime::run::{self, Report, Runs};

/// Run a step of a run again, and the steps that follow from it, with the same recipe
///
/// Without `--step`, all start steps are sent. A step gets the same input as before, and results have the same recipe
/// ID. The input of a run on this machine is recorded, and the step runs immediately.
///
/// With `-e`, or if this machine has no such run, the run is looked up in the logbook of the site's dispatcher. The
/// message is then sent to the queue of the step. The logbook contains only the input of start steps; for other steps,
/// use `--payload`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID of the run, or its first characters.
    #[arg(value_name = "ID")]
    id: String,
    /// The step.
    #[arg(long, value_name = "N")]
    step: Option<i64>,
    /// JSON payload to send to the step instead of the recorded one.
    #[arg(long, value_name = "JSON", requires = "step")]
    payload: Option<String>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Maximum number of steps of a run on this machine that run in parallel; defaults to the number of processors.
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    /// Print what would be sent to which queue, without sending anything.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON with the sent messages and their queues.
    #[arg(long)]
    json: bool,
}

/// What a step gets: the payload, and the steps it came through.
#[derive(Debug, Clone, PartialEq)]
struct Input {
    step: i64,
    payload: Value,
    path: Vec<Value>,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let payload = args
        .payload
        .as_ref()
        .map(|payload| read_value(payload.as_bytes()).map_err(|reason| Error::new(format!("the payload is {reason}"))));
    let payload = payload.transpose()?;
    if !args.environment.is_empty() {
        return of_site(args, session, payload);
    }
    let state = session.state_directory()?;
    let places = args.jobs.unwrap_or_else(default_places).max(1);
    let found = block_on(async {
        let runs = Runs::open(&state).await?;
        let run = match runs.find(&args.id).await {
            Err(run::Error::NoSuchRun(_)) if session.site_path().is_some() => return Ok(false),
            run => run?,
        };
        let request = &run.plan.request;
        let custom = request.custom_recipe.clone().unwrap_or_default().to_json();
        let source = Source::from_text("custom_recipe", custom);
        let compiled = [session.judge(
            source,
            judge::CheckOptions { parameters: Some(&request.parameters), ..judge::CheckOptions::default() },
        )?];
        let recipe = sanitise(bind(&compiled, &request.parameters));
        let known = run.reports().await?;
        let inputs = choose(args.step, payload.clone(), &recipe, known_inputs(&known))?;
        let messages = messages(&recipe, &run.plan.id, inputs)?;
        tell(args, &run.plan.id, &messages)?;
        if !args.dry_run {
            run.take().await?;
            run.add(messages.into_iter().map(|(_, message)| message).collect()).await?;
            let show = |table: &str| {
                say(table.trim_end());
                Ok(())
            };
            work_on(session, &runs, &run, places, &known, if args.json { show } else { print }).await?;
        }
        Ok(true)
    })?;
    if found { Ok(()) } else { of_site(args, session, payload) }
}

fn of_site(args: &Args, session: &Session, payload: Option<Value>) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let entry = entry(&environment, &args.id)?;
    let recipe = sanitise(entry.recipe);
    let inputs = choose(args.step, payload, &recipe, Vec::new())?;
    let messages = messages(&recipe, &entry.id, inputs)?;
    if !args.dry_run {
        let outgoing = messages.iter().map(|(_, message)| message.clone()).collect();
        block_on(async {
            let transport = environment.connect("resubmit", &[]).await?;
            transport.send(outgoing).await?;
            Ok(transport.close().await?)
        })?;
    }
    tell(args, &entry.id, &messages)
}

/// What steps were sent by others, as far as a run's record says.
fn known_inputs(reports: &[Report]) -> Vec<Input> {
    let mut inputs: Vec<Input> = Vec::new();
    for report in reports {
        let path: Vec<Value> = report.path.iter().cloned().chain(report.step.map(Value::from)).collect();
        for output in report.outputs.as_array().unwrap_or_default() {
            let payload = output.get("payload").cloned().unwrap_or_default();
            for to in output.get("to").and_then(Value::as_array).unwrap_or_default() {
                let Some(step) = step_number(to) else { continue };
                let input = Input { step, payload: payload.clone(), path: path.clone() };
                if !inputs.contains(&input) {
                    inputs.push(input);
                }
            }
        }
    }
    inputs
}

/// What is to be sent.
fn choose(step: Option<i64>, payload: Option<Value>, recipe: &Value, known: Vec<Input>) -> Result<Vec<Input>, Error> {
    let start = recipe.get("start").and_then(Value::as_array).unwrap_or_default().iter();
    let mut all: Vec<Input> = start
        .filter_map(|entry| match entry.as_array()? {
            [step, payload] => Some(Input { step: step_number(step)?, payload: payload.clone(), path: Vec::new() }),
            _ => None,
        })
        .collect();
    let Some(step) = step else { return Ok(all) };
    if recipe.get(&step.to_string()).and_then(Value::as_object).is_none() {
        let steps = recipe.as_object().into_iter().flatten().filter_map(|(key, _)| key.parse::<i64>().ok());
        let steps: Vec<String> = steps.map(|step| step.to_string()).collect();
        return Err(Error::new(format!("the recipe has no step {step}")).hint(format!("it has {}", steps.join(", "))));
    }
    all.extend(known);
    all.retain(|input| input.step == step);
    match (payload, all.as_slice()) {
        (Some(payload), inputs) => {
            let path = inputs.first().map(|input| input.path.clone()).unwrap_or_default();
            Ok(vec![Input { step, payload, path }])
        }
        (None, [_]) => Ok(all),
        (None, []) => Err(Error::new(format!("the input of step {step} was not recorded"))
            .hint("give it with `--payload JSON`; use `[]` or `{}` for a step that reads only its parameters")
            .hint(
                "a dead letter of the step contains it: see `zrecipe dlq show`, and resend it with `zrecipe dlq \
                 reinject`",
            )),
        (None, several) => Err(Error::new(format!("step {step} received {} different inputs", several.len()))
            .hint("list them with `zrecipe show ID`, and choose one with `--payload JSON`")),
    }
}

/// The messages that carry this, and the step of each. They are new ones: no service has seen their ids.
fn messages(recipe: &Value, id: &str, inputs: Vec<Input>) -> Result<Vec<(i64, Outgoing)>, Error> {
    let message = |input: Input| {
        let environment = Object::from_iter([("ID".to_owned(), Value::from(id))]);
        let Input { step, payload, path } = input;
        let envelope = Envelope { recipe: recipe.clone().into(), pointer: step, path, environment, payload };
        let (destination, exchange) =
            envelope.place().ok_or_else(|| Error::new(format!("step {step} has no queue")))?;
        let message = Outgoing {
            exchange,
            ..Outgoing::new(
                Uuid::new_v4().to_string(),
                destination,
                Object::from_iter([(RECIPE_HEADER.to_owned(), Value::Bool(true))]),
                envelope.write().into_bytes(),
            )
        };
        Ok((step, message))
    };
    inputs.into_iter().map(message).collect()
}

fn tell(args: &Args, id: &str, messages: &[(i64, Outgoing)]) -> Result<(), Error> {
    let verb = if args.dry_run { "would go" } else { "goes" };
    for (step, message) in messages {
        say(&format!("step {step} of run {id} {verb} to {}", message.destination));
    }
    if !args.json {
        return Ok(());
    }
    let messages = messages.iter().map(|(step, message)| {
        Value::from([
            ("step", Value::from(*step)),
            ("destination", Value::from(message.destination.name())),
            ("id", Value::from(message.id.as_str())),
        ])
    });
    print(&(Value::Array(messages.collect()).to_json_pretty() + "\n"))
}
