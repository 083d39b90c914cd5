//! Putting a corrected recipe into dead letters: `zrecipe dlq rebase`.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use tokio::sync::watch;
use uuid::Uuid;

use crate::cli::broker::Environment;
use crate::cli::confirm::confirm;
use crate::cli::executor::block_on_politely;
use crate::cli::letters::{Found, LookArgs, interrupted, name};
use crate::cli::{Error, ParameterArgs, Session, difference_of_values, plain, print, say, say_error};
use zrecipe_broker::message::{Envelope, Outgoing, reinjected_headers, sanitise};
use zrecipe_broker::transport::Transport;
use zrecipe_language::bind::bind;
use zrecipe_language::diagnostic::counted;
use zrecipe_language::infer::{self, Need, Parameter};
use zrecipe_language::value::{Object, Value};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::library::Library;
use zrecipe_runtime::ops::dead_letters::{self, Fate, Letter, Look, look};
use zrecipe_runtime::ops::logbook;
use zrecipe_runtime::ops::rebase::rebase;
use zrecipe_runtime::runtime::LOGBOOK;

/// What to put into which letters.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File or name of the corrected recipe.
    #[arg(long, value_name = "RECIPE")]
    onto: String,
    #[command(flatten)]
    parameters: ParameterArgs,
    /// Only letters of this run: a recipe ID or its first characters.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    letters: LookArgs,
    /// Remove each file after the broker has confirmed its message.
    #[arg(short, long)]
    remove: bool,
    /// Show the changes without applying them.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A letter and what it becomes.
struct Change {
    /// Its queue or file.
    place: String,
    letter: Letter,
    /// The step it died at, and the new message for the step that is the same; or why there is none.
    new: Result<(i64, Envelope, Outgoing), String>,
    diff: String,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let environment = args.letters.environment.read(session)?;
    let is_meant = |letter: &Letter| {
        let Some(wanted) = &args.id else { return true };
        let envelope = Envelope::read(&letter.headers, &letter.body);
        envelope.is_ok_and(|envelope| envelope.id().is_some_and(|id| id.starts_with(wanted.as_str())))
    };
    let Found { mut letters, queues, .. } = args.letters.find(session)?;
    letters.retain(|(_, letter)| is_meant(letter));
    if letters.is_empty() {
        say("no matching dead letters");
        return Ok(());
    }
    let mut corrected = Corrected::new(args, session, &environment)?;
    let changes: Vec<Change> = letters.into_iter().map(|(place, letter)| corrected.change(place, letter)).collect();
    let ready = changes.iter().filter(|change| change.new.is_ok()).count();
    if args.json {
        print(&(json(&changes).to_json_pretty() + "\n"))?;
    } else {
        print(&text(&changes))?;
    }
    for (change, reason) in changes.iter().filter_map(|change| Some((change, change.new.as_ref().err()?))) {
        say_error(&plain(&format!("error: {}: {} not rebased: {reason}", change.place, name(&change.letter))));
    }
    if ready > 0 && !args.dry_run {
        confirm(&format!("{} to send with the recipe `{}`.", counted(ready, "letter"), args.onto), args.yes)?;
        let sent = block_on_politely(async |mut over| {
            let send = async |transport: &dyn Transport| send(args, transport, &queues, &changes, &mut over).await;
            environment.with_broker("dlq rebase", send).await
        })?;
        say(&format!("{} sent with the recipe `{}`", counted(sent, "letter"), args.onto));
        if sent < ready {
            let gone = counted(ready - sent, "letter");
            say(&format!("note: {gone} not found in the queue"));
        }
    }
    if ready == changes.len() { Ok(()) } else { Err(Error::findings()) }
}

/// Sends what has been shown, and nothing that has come since.
async fn send(
    args: &Args,
    transport: &dyn Transport,
    queues: &[(String, Look)],
    changes: &[Change],
    over: &mut watch::Receiver<bool>,
) -> Result<usize, Error> {
    let mut sent = 0;
    let mut by_queue: BTreeMap<&str, Vec<(&Letter, &Outgoing)>> = BTreeMap::new();
    for change in changes {
        let Ok((_, _, message)) = &change.new else { continue };
        match &change.letter.queue {
            Some(queue) if *queue == change.place => {
                by_queue.entry(queue.as_str()).or_default().push((&change.letter, message));
            }
            _ => {
                if !transport.offer(vec![message.clone()]).await?.is_empty() {
                    let id = &message.id;
                    say_error(&plain(&format!(
                        "error: {}: the broker has already confirmed it, as {id}; it stays",
                        change.place
                    )));
                    continue;
                }
                sent += 1;
                let path = PathBuf::from(&change.place);
                if args.remove {
                    std::fs::remove_file(&path).map_err(|source| dead_letters::Error::Io { path, source })?;
                }
            }
        }
    }
    for (queue, look_at) in queues {
        let Some(mut shown) = by_queue.remove(queue.as_str()) else { continue };
        // Those that were shown may be behind others now.
        let look_at = Look { most: usize::from(u16::MAX), is_only_look: false, ..*look_at };
        let seen = look(transport, queue, look_at, over, |delivery| {
            let letter = Letter::of(delivery);
            let same = |other: &Letter| {
                (&other.id, &other.body, &other.headers) == (&letter.id, &letter.body, &letter.headers)
            };
            let Some(place) = shown.iter().position(|(other, _)| same(other)) else { return Ok(Fate::Stays) };
            let (_, message) = shown.swap_remove(place);
            sent += 1;
            Ok::<_, Error>(Fate::Becomes(Box::new(message.clone())))
        });
        if seen.await?.is_interrupted {
            return Err(interrupted());
        }
    }
    Ok(sent)
}

/// The corrected recipe, for each letter with its parameters.
struct Corrected<'s> {
    args: &'s Args,
    session: &'s Session,
    library: Library,
    logbook: Option<PathBuf>,
    given: Object,
    /// What it comes to for a run.
    bound: BTreeMap<String, Result<Value, String>>,
}

impl<'s> Corrected<'s> {
    fn new(args: &'s Args, session: &'s Session, environment: &Environment) -> Result<Self, Error> {
        let library = environment.library(session);
        let recipe = [args.onto.clone()];
        let compiled = session.compile_in(&library, &recipe, CheckOptions::default())?;
        session.refuse(&compiled)?;
        if compiled.iter().any(zrecipe_language::compile::Compilation::has_errors) {
            return Err(Error::findings());
        }
        Ok(Self {
            args,
            session,
            library,
            logbook: environment.storage(LOGBOOK),
            given: args.parameters.read()?,
            bound: BTreeMap::new(),
        })
    }

    fn change(&mut self, place: String, letter: Letter) -> Change {
        let mut diff = String::new();
        let new = self.renew(&letter, &mut diff);
        Change { place, letter, new, diff }
    }

    fn renew(&mut self, letter: &Letter, diff: &mut String) -> Result<(i64, Envelope, Outgoing), String> {
        let old = Envelope::read(&letter.headers, &letter.body).map_err(|error| error.to_string())?;
        let id = old.id().unwrap_or_default().to_owned();
        let recipe = match self.bound.get(&id) {
            Some(recipe) => recipe.clone(),
            None => {
                let recipe = self.bind(&id);
                self.bound.entry(id).or_insert(recipe).clone()
            }
        }?;
        let before = old.recipe.to_value();
        if recipe == before {
            return Err("it already has this recipe; send it back with `zrecipe dlq reinject`".to_owned());
        }
        let new = rebase(&old, &recipe)?;
        let colour = !self.args.json && self.session.style(io::stdout().is_terminal()).colour;
        *diff = difference_of_values(&self.args.onto, &before, &recipe, colour);
        let (destination, exchange) =
            new.place().ok_or_else(|| format!("step {} of the new recipe has no queue", new.pointer))?;
        let headers = reinjected_headers(&letter.headers);
        let body = new.write();
        let id = letter.next_id(&format!("rebased {body}")).unwrap_or_else(|| Uuid::new_v4().to_string());
        let message = Outgoing {
            exchange,
            properties: letter.properties.clone(),
            ..Outgoing::new(id, destination, headers, body.into_bytes())
        };
        Ok((old.pointer, new, message))
    }

    /// The recipe for a run, with its parameters put in.
    fn bind(&self, id: &str) -> Result<Value, String> {
        let mut parameters = Object::new();
        if let Some(entry) = self.logbook.as_ref().and_then(|logbook| logbook::find(logbook, id).ok()) {
            parameters.extend(entry.request.parameters);
        }
        parameters.extend(self.given.clone());
        if !id.is_empty() {
            parameters.insert("guid".to_owned(), Value::from(id));
        }
        let recipe = [self.args.onto.clone()];
        let compiled = self.session.compile_in(
            &self.library,
            &recipe,
            CheckOptions { parameters: Some(&parameters), ..CheckOptions::default() },
        );
        let compiled = compiled.map_err(|_| "the new recipe can no longer be read".to_owned())?;
        for compilation in &compiled {
            if let Some(refusal) = compilation.refusals().next() {
                return Err(format!("the new recipe is rejected: {} [{}]", refusal.message, refusal.rule));
            }
            // As `params` has it: braces of a shell, say, stay as they are.
            let contracts = self.session.usable_contracts().0;
            let signature = infer::infer(&compilation.recipe, &compilation.templates, contracts);
            let is_unknown =
                |parameter: &&Parameter| parameter.need > Need::Optional && !parameters.contains_key(&parameter.name);
            let unknown: Vec<&str> =
                signature.iter().filter(is_unknown).map(|parameter| parameter.name.as_str()).collect();
            if !unknown.is_empty() {
                let names = unknown.join("`, `");
                return Err(format!(
                    "the value of `{names}` in the new recipe is unknown for this run; give it with `-p NAME=VALUE`"
                ));
            }
        }
        Ok(sanitise(bind(&compiled, &parameters)))
    }
}

/// The changes, those that are alike together.
fn text(changes: &[Change]) -> String {
    let is_change =
        |line: &&str| line.trim_start_matches("\u{1b}[31m").trim_start_matches("\u{1b}[32m").starts_with(['+', '-']);
    let mut groups: Vec<(String, Vec<&Change>)> = Vec::new();
    for change in changes {
        let Ok((from, new, message)) = &change.new else { continue };
        let lines: Vec<&str> = change.diff.lines().filter(is_change).collect();
        let destination = plain(&message.destination.to_string());
        let title = if *from == new.pointer {
            format!("step {from} is the same step and goes to {destination}")
        } else {
            format!("step {from} is now step {} and goes to {destination}", new.pointer)
        };
        let key = format!("{title}\n{}", lines.join("\n"));
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push(change),
            None => groups.push((key, vec![change])),
        }
    }
    let mut text = String::new();
    for (key, group) in groups {
        let title = key.lines().next().unwrap_or_default();
        for change in &group {
            text.push_str(&format!("{}: {}\n", plain(&change.place), name(&change.letter)));
        }
        text.push_str(&format!("{title}\n{}\n", group.first().map_or("", |change| change.diff.as_str())));
    }
    text
}

fn json(changes: &[Change]) -> Value {
    let change = |change: &Change| {
        let mut members = vec![
            ("place".to_owned(), Value::from(change.place.as_str())),
            ("id".to_owned(), Value::from(change.letter.id.clone())),
        ];
        match &change.new {
            Ok((from, new, message)) => members.extend([
                ("from_step".to_owned(), Value::from(*from)),
                ("to_step".to_owned(), Value::from(new.pointer)),
                ("destination".to_owned(), Value::from(message.destination.name())),
                ("diff".to_owned(), Value::from(change.diff.as_str())),
            ]),
            Err(reason) => members.push(("error".to_owned(), Value::from(reason.as_str()))),
        }
        Value::Object(members.into_iter().collect())
    };
    Value::Array(changes.iter().map(change).collect())
}
