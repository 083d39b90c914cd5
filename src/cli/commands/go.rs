//! `zrecipe go`: a processing request to the dispatcher of a site.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::answers::{self, Answers, Awaited};
use crate::cli::broker::EnvironmentArgs;
use crate::cli::executor::block_on;
use crate::cli::submit::{Target, headers, refusal, send};
use crate::cli::terminal::is_verbose;
use crate::cli::{Error, LevelArgs, Session, print, say, split, with_guid};
use zrecipe_broker::message::{Outgoing, Request};
use zrecipe_broker::transport::{self, Endpoint};
use zrecipe_language::bind::merge;
use zrecipe_language::compile::Compilation;
use zrecipe_language::secret::hidden;
use zrecipe_language::value::{Object, Value};
use zrecipe_runtime::ops::drop_files;

/// Submit recipes to the dispatcher of a site
///
/// The options are those of `zocalo.go`. Recipes are checked first; a recipe with errors is not sent. A recipe that is not
/// on this machine is sent by its name, with a warning. The recipe ID of the run is printed when the broker has confirmed
/// the request.
///
/// If the broker is unavailable, the request is saved in a directory of the site (`zocalo.go.fallback_location`), and
/// `zrecipe pickup` sends it later; this is not a failure. If there is no such directory, or if the broker rejects the
/// login or the request, the exit code is 2.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID of the data collection, or with -p of the reprocessing task.
    #[arg(value_name = "ID", value_parser = number)]
    id: Option<i64>,
    /// Name of a recipe (repeatable).
    #[arg(short, long = "recipe", value_name = "RECIPE")]
    recipes: Vec<String>,
    /// File with a recipe, which is sent in the request and comes before recipes given by name.
    #[arg(short, long, value_name = "FILE")]
    file: Option<String>,
    /// Set a parameter to a text value (repeatable).
    #[arg(short, long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Submit without a data collection.
    #[arg(short, long, conflicts_with = "id")]
    no_dcid: bool,
    /// The ID is that of a reprocessing task, which defines the recipes to run.
    #[arg(short = 'p', long, conflicts_with = "no_dcid")]
    reprocessing: bool,
    /// ID of a scaling result of automatic processing, for recipes that process it further.
    #[arg(
        short,
        long,
        value_name = "ID",
        value_parser = number,
        conflicts_with_all = ["no_dcid", "reprocessing"],
    )]
    autoprocscalingid: Option<i64>,
    /// Save the request for `zrecipe pickup`, even if the broker is available.
    #[arg(long)]
    drop: bool,
    /// Check the request and whether the queue exists, without sending anything.
    #[arg(long)]
    dry_run: bool,
    /// Wait for a payload of this run, and print it as a line of JSON after the recipe ID: one that a step receives, or
    /// that is sent on a channel. The recipe must be on this machine; it is sent in the request.
    #[arg(long, value_name = "CHANNEL|STEP", conflicts_with_all = ["drop", "dry_run", "reprocessing"])]
    wait: Option<String>,
    /// Maximum seconds for `--wait`.
    #[arg(long, value_name = "SECONDS", requires = "wait", value_parser = seconds)]
    timeout: Option<Duration>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    #[command(flatten)]
    levels: LevelArgs,
}

/// An ID in the database of experiments.
fn number(text: &str) -> Result<i64, &'static str> {
    text.parse().ok().filter(|&id| id > 0).ok_or("an ID is a whole number from 1; name a recipe with `-r NAME`")
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let (parameters, id) = with_guid(parameters(args)?);
    let target = Target::new(session, &args.environment)?;
    let files: Vec<String> = args.file.iter().cloned().collect();
    let (mut request, compiled) =
        target.request(&files, &args.recipes, parameters, &args.levels.read(&session.settings)?)?;
    let queue = answers::queue();
    if let Some(awaited) = &args.wait {
        carry(&mut request, &compiled);
        answers::tap(&mut request, &Awaited::read(awaited), &queue, session.contracts()?)?;
    }
    if is_verbose() {
        say(&hidden("", request.to_value()).to_json_pretty());
    }
    // The file that it may be kept in has its ID as name, so that what is sent twice is recognised.
    let message = request.to_message(uuid::Uuid::new_v4().to_string(), headers());
    if args.drop {
        return keep(args, &target, &message, &id, drop_files::write);
    }
    let endpoint = target.broker()?;
    let place = endpoint.place();
    if args.wait.is_some() {
        return wait(args, &*endpoint, message, (queue, id));
    }
    match block_on(async { Ok(send(&*endpoint, vec![message.clone()], args.dry_run).await) })? {
        Ok(()) if args.dry_run => {
            say(&format!("would submit {} to {place}", title(args)));
            Ok(())
        }
        Ok(()) => {
            say(&format!("submitted {} to {place}", title(args)));
            print(&(id + "\n"))
        }
        Err(
            error @ (transport::Error::Unavailable { .. } | transport::Error::Blocked(_) | transport::Error::Closed),
        ) => kept_instead(args, &target, &message, &id, error, drop_files::write),
        Err(error @ transport::Error::Unconfirmed { .. }) => {
            kept_instead(args, &target, &message, &id, error, drop_files::write_unconfirmed)?;
            if !args.dry_run {
                say(
                    "the broker may already have the request, which the file records: check with `zrecipe queues` and \
                     `zrecipe show` before `zrecipe pickup`, because a dispatcher could run the request twice",
                );
            }
            Ok(())
        }
        Err(error) => Err(refusal(error)),
    }
}

/// Lets the request carry all its recipes.
fn carry(request: &mut Request, compiled: &[Compilation]) {
    if compiled.len() == request.recipes.len() + usize::from(request.custom_recipe.is_some()) {
        request.custom_recipe = Some(merge(compiled.iter().map(|compilation| compilation.recipe.to_value())));
        request.recipes.clear();
    } else {
        // Something of it is with the dispatcher alone.
        request.custom_recipe = None;
    }
}

/// Sends the request and waits for its answer.
fn wait(args: &Args, endpoint: &dyn Endpoint, message: Outgoing, (queue, id): (String, String)) -> Result<(), Error> {
    let place = endpoint.place();
    block_on(async {
        let broker = endpoint.connect("go").await?;
        let mut answers = Answers::open(&*broker, queue).await?;
        broker.send(vec![message]).await.map_err(refusal)?;
        say(&format!("submitted {} to {place}", title(args)));
        print(&(id + "\n"))?;
        let answer = answers.first(&*broker, args.timeout).await;
        let _ = broker.close().await;
        print(&(answer?.to_json() + "\n"))
    })
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or("a time limit is a number of seconds")
}

/// Keeps what could not be sent, where the site has a place for it.
fn kept_instead(
    args: &Args,
    target: &Target<'_>,
    message: &Outgoing,
    id: &str,
    error: transport::Error,
    write: Write,
) -> Result<(), Error> {
    if target.fallback().is_err() {
        return Err(
            refusal(error).hint("set `zocalo.go.fallback_location` in a block of plugin `storage` to save requests")
        );
    }
    say(&format!("warning: {error}"));
    keep(args, target, message, id, write)
}

/// How a request becomes a file.
type Write = fn(&Path, &Outgoing) -> Result<PathBuf, drop_files::Error>;

/// Writes the request to a file in the directory for requests that wait.
fn keep(args: &Args, target: &Target<'_>, message: &Outgoing, id: &str, write: Write) -> Result<(), Error> {
    let directory = target.fallback()?;
    if args.dry_run {
        drop_files::try_write(&directory)?;
        say(&format!("would save the request in {}", directory.display()));
        return Ok(());
    }
    let path = write(&directory, message)?;
    say(&format!("saved {} in {}; send it with `zrecipe pickup`", title(args), path.display()));
    print(&format!("{id}\n"))
}

/// What is submitted, for people.
fn title(args: &Args) -> String {
    let recipes: Vec<&str> = args.file.iter().chain(&args.recipes).map(String::as_str).collect();
    match (recipes.as_slice(), args.id) {
        ([], Some(id)) => format!("reprocessing task {id}"),
        _ => recipes.join(", "),
    }
}

/// The parameters that the options make.
fn parameters(args: &Args) -> Result<Object, Error> {
    let mut parameters = Object::new();
    for setting in &args.set {
        let (key, text) = split(setting, "--set key=value")?;
        parameters.insert(key.to_owned(), Value::from(text));
    }
    if args.recipes.is_empty() && args.file.is_none() && !args.reprocessing {
        return Err(Error::new("no recipe is given").hint("name one with `-r NAME`, or give a file with `-f FILE`"));
    }
    match args.id {
        Some(id) => {
            let key = if args.reprocessing { "ispyb_process" } else { "ispyb_dcid" };
            parameters.insert(key.to_owned(), Value::from(id));
        }
        None if args.no_dcid => {}
        None if args.reprocessing => {
            return Err(Error::new("no reprocessing task is given").hint("give its ID"));
        }
        None => {
            let hint = "give its ID, or `-n` for recipes that need none";
            return Err(Error::new("no data collection is given").hint(hint));
        }
    }
    if let Some(id) = args.autoprocscalingid {
        parameters.insert("ispyb_autoprocscalingid".to_owned(), Value::from(id));
    }
    Ok(parameters)
}
