//! `zrecipe emit`: exactly what would travel, without sending it.

use crate::cli::target::OutputArgs;
use crate::cli::{Error, ParameterArgs, Session, with_guid};
use zrecipe_broker::message::{Destination, Envelope, Outgoing, Request, message_id, read_body, sanitise};
use zrecipe_language::bind::{bind, merge};
use zrecipe_language::value::{Object, Value};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::library::is_path;

/// Print the messages that a dispatcher would send, one JSON object per line
///
/// Each line has `queue` or `topic`, `headers` and `body`, and `exchange` and `delay` (seconds) if they are set. As in
/// the Python tools, recipe files are part of the request and come before recipes given by name, in any order of the
/// arguments. If a dispatcher would reject the request, nothing is printed and the exit code is 1.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths or names of recipes.
    #[arg(required = true, value_name = "RECIPE")]
    recipes: Vec<String>,
    /// Print the processing request, or the first messages that a dispatcher creates from it.
    #[arg(long = "as", value_name = "WHAT", default_value = "messages", value_parser = ["request", "messages"])]
    what: String,
    #[command(flatten)]
    parameters: ParameterArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let (parameters, guid) = with_guid(args.parameters.read()?);
    // As in a request: recipes that travel with it (files) come before those that it names.
    let (files, names): (Vec<String>, Vec<String>) = args.recipes.iter().cloned().partition(|recipe| is_path(recipe));
    let ordered: Vec<String> = files.iter().chain(&names).cloned().collect();
    let compiled = session.compile_for(
        &ordered,
        &args.parameters,
        CheckOptions { parameters: Some(&parameters), ..CheckOptions::default() },
    )?;
    session.refuse(&compiled)?;
    let messages = if args.what == "request" {
        let custom = compiled[..files.len()].iter().map(|compilation| compilation.recipe.to_value());
        let custom_recipe = (!files.is_empty()).then(|| sanitise(merge(custom)));
        let parameters = args.parameters.read()?;
        let request = Request { recipes: names, custom_recipe, parameters, rest: Object::new() };
        vec![request.to_message(message_id(&guid, "request"), Object::new())]
    } else {
        let environment = Object::from_iter([("ID".to_owned(), parameters["guid"].clone())]);
        let started = Envelope::start(bind(&compiled, &parameters), environment, &message_id(&guid, "request"));
        started.map_err(|error| Error::new(error.to_string()))?
    };
    let lines: String = messages.iter().map(|message| describe(message).to_json() + "\n").collect();
    args.output.print(&lines)
}

fn describe(message: &Outgoing) -> Value {
    let mut line = Object::new();
    let (key, name) = match &message.destination {
        Destination::Queue(name) => ("queue", name),
        Destination::Topic(name) => ("topic", name),
    };
    line.insert(key.to_owned(), Value::from(name.as_str()));
    if let Some(exchange) = &message.exchange {
        line.insert("exchange".to_owned(), Value::from(exchange.as_str()));
    }
    if let Some(delay) = message.delay {
        let seconds = delay.as_secs_f64();
        let whole = seconds.fract() == 0.0;
        line.insert("delay".to_owned(), if whole { Value::from(seconds as i64) } else { Value::from(seconds) });
    }
    line.insert("headers".to_owned(), Value::Object(message.headers.clone()));
    line.insert("body".to_owned(), read_body(&message.body));
    Value::Object(line)
}
