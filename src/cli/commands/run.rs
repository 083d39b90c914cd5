//! `zrecipe run`: a recipe to its end on the embedded broker, or to the dispatcher of a site.

use std::collections::BTreeSet;

use crate::cli::broker::EnvironmentArgs;
use crate::cli::executor::block_on;
use crate::cli::progress::{crew, default_places, work_with};
use crate::cli::submit::{Target, connect, headers, refusal};
use crate::cli::{Error, ParameterArgs, Session, follow, print, say, with_guid};
use zrecipe_broker::message::{Destination, REQUEST_QUEUE, Request};
use zrecipe_language::bind::{bind, merge};
use zrecipe_language::compile::Compilation;
use zrecipe_language::contract::Contracts;
use zrecipe_language::diagnostic::Level;
use zrecipe_language::lint::{Choice, Levels};
use zrecipe_language::source::Unit;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::library::is_path;
use zrecipe_runtime::runtime::run::{Plan, Runs, destinations};
use zrecipe_runtime::runtime::services::SERVICES;

/// Run a recipe on this machine, or submit it
///
/// Checks the recipe, dispatches it, runs every step, and exits when no message of the run is pending. No broker is
/// needed: messages are stored in a file of the state directory. Exit code 1: a step failed, timed out or was
/// dead-lettered, or a step sent output to a channel that it does not have.
///
/// With -e, the recipe is submitted to the dispatcher of a site. Recipe files are sent in the request, and recipe names
/// are looked up by the dispatcher. The recipe ID is printed when the broker has confirmed the request.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths or names of recipes; several are merged into one run.
    #[arg(required = true, value_name = "RECIPE")]
    recipes: Vec<String>,
    #[command(flatten)]
    parameters: ParameterArgs,
    /// Maximum number of steps that run in parallel; defaults to the number of processors.
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    /// Submit to the dispatcher of this environment of the site (repeatable; later ones take precedence).
    #[arg(short = 'e', long = "environment", value_name = "ENV", conflicts_with = "jobs")]
    environments: Vec<String>,
    /// With -e, show status reports of services about the run until Ctrl-C.
    ///
    /// Services of zrecipe report the run that they process. Python services do not: they are shown, and marked, if
    /// their name is the `service` of a step in the recipe.
    #[arg(long, requires = "environments")]
    follow: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let (parameters, id) = with_guid(args.parameters.read()?);
    if !args.environments.is_empty() {
        return submit(args, session, parameters, &id);
    }
    // A step that is given `{workingdir}` as text would make a directory of that name.
    let mut levels = Levels::default();
    levels.decide("undefined-placeholder", Choice::At(Level::Error)).map_err(Error::new)?;
    let compiled = session.compile_for(
        &args.recipes,
        &args.parameters,
        CheckOptions { parameters: Some(&parameters), defaults: Some(&levels), ..CheckOptions::default() },
    )?;
    session.refuse(&compiled)?;
    if compiled.iter().any(Compilation::has_errors) {
        return Err(Error::findings());
    }
    let plan = plan(args, &compiled, parameters, id)?;
    let places = args.jobs.unwrap_or_else(default_places).max(1);
    let state = session.state_directory()?;
    block_on(async {
        let runs = Runs::open(&state).await?;
        let run = runs.begin(plan).await?;
        let found = crew(session, &runs, &run, places).await.and_then(|crew| {
            all_served(&compiled, &run.plan.request.parameters, |queue| crew.serves(queue))?;
            Ok(crew)
        });
        let crew = match found {
            Ok(crew) => crew,
            Err(error) => {
                run.forget().await?;
                return Err(error);
            }
        };
        say(&format!("run {} of {}", run.plan.id, run.plan.title));
        work_with(crew, &runs, &run, places, &[], print).await
    })
}

fn submit(args: &Args, session: &Session, parameters: Object, id: &str) -> Result<(), Error> {
    let environment = EnvironmentArgs::named(&args.environments);
    let target = Target::new(session, &environment)?;
    let (files, names): (Vec<String>, Vec<String>) = args.recipes.iter().cloned().partition(|recipe| is_path(recipe));
    let (request, compiled) = target.request(&files, &names, parameters, &Levels::default())?;
    let endpoint = target.broker()?;
    let place = endpoint.place();
    block_on(async {
        let broker = connect(&*endpoint, "run").await?;
        // Whoever is quick is heard as well.
        let status = if args.follow { follow::listen(&*broker).await? } else { None };
        let message = request.to_message(uuid::Uuid::new_v4().to_string(), headers());
        broker.send(vec![message]).await.map_err(refusal)?;
        say(&format!("submitted {} to {place}", args.recipes.join(" ")));
        print(&format!("{id}\n"))?;
        match status {
            Some(status) => follow::follow(&*broker, status, follow::Run::new(id, &compiled)).await?,
            None if args.follow => {
                say("note: no service has broadcast its status on this broker, so the run cannot be followed")
            }
            None => {}
        }
        let _ = broker.close().await;
        Ok(())
    })
}

fn plan(args: &Args, compiled: &[Compilation], parameters: Object, id: String) -> Result<Plan, Error> {
    let bound = bind(compiled, &parameters);
    let queues: BTreeSet<String> = destinations(&bound)
        .into_iter()
        .filter_map(|(_, destination)| match destination {
            Destination::Queue(name) => Some(name),
            Destination::Topic(_) => None,
        })
        .collect();
    let name = |step: &Value| {
        let part = |key: &str| step.get(key).and_then(Value::as_str).map(str::to_owned);
        part("service").or_else(|| part("queue")).or_else(|| part("topic")).unwrap_or_default()
    };
    let members = bound.as_object().into_iter().flatten();
    let mut steps: Vec<(i64, String)> =
        members.filter_map(|(key, step)| Some((key.parse().ok()?, name(step)))).collect();
    steps.sort_by_key(|&(number, _)| number);
    // A broadcast has no outcome of its own.
    let topics_only = |number: i64| bound.get(&number.to_string()).is_some_and(|step| step.get("queue").is_none());
    steps.retain(|&(number, _)| !topics_only(number));
    let custom_recipe = Some(merge(compiled.iter().map(|compilation| compilation.recipe.to_value())));
    let request = Request { recipes: Vec::new(), custom_recipe, parameters, rest: Object::new() };
    let directory = std::env::current_dir()?;
    Ok(Plan { id, title: args.recipes.join(" "), request, queues: queues.into_iter().collect(), steps, directory })
}

/// The queues of the built-in services that runs start.
fn built_in() -> String {
    let in_runs = SERVICES.iter().filter(|entry| entry.in_runs);
    let contracts = in_runs.filter_map(|entry| Contracts::built_in().iter().find(|it| it.name() == entry.name));
    let queues = contracts.flat_map(|contract| &contract.queues).filter(|queue| *queue != REQUEST_QUEUE);
    let queues: Vec<String> = queues.map(|queue| format!("`{}`", queue.replace('*', "<name>"))).collect();
    queues.join(", ")
}

/// Makes sure that a service listens on every queue before anything starts.
fn all_served(compiled: &[Compilation], parameters: &Object, serves: impl Fn(&str) -> bool) -> Result<(), Error> {
    let mut lines = Vec::new();
    for compilation in compiled {
        let recipe = &compilation.recipe;
        for (number, destination) in destinations(&bind([compilation], parameters)) {
            let Destination::Queue(queue) = destination else { continue };
            let Some(place) = recipe.step(number).and_then(|step| step.queue).filter(|_| !serves(&queue)) else {
                continue;
            };
            let position = compilation.source.position(recipe.span(place).start, Unit::Char);
            let name = compilation.source.name();
            let place = format!("{name}:{}:{}", position.line, position.column);
            lines.push(format!("{place}: no service consumes queue `{queue}` of step `{number}`"));
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    lines.iter().for_each(|line| say(line));
    let message = "the recipe was not started, because some steps have no service";
    Err(Error::new(message).hint(format!(
        "`zrecipe run` serves {}, the queues of contracts with `run`, and the queues of Python services whose entry \
         point has the name of the step's `service`",
        built_in()
    )))
}
