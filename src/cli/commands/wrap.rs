//! `zrecipe wrap`: a program on behalf of a recipe step.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::cli::bridged;
use crate::cli::broker::{Environment, EnvironmentArgs};
use crate::cli::executor::block_on;
use crate::cli::{Error, Session, say, say_error};
use zrecipe_broker::message::Envelope;
use zrecipe_broker::transport::{self, Transport};
use zrecipe_language::value::Value;
use zrecipe_project::regular;
use zrecipe_runtime::runtime::facts;
use zrecipe_runtime::runtime::python::{EntryPoint, Interpreter};
use zrecipe_runtime::runtime::status::Status;
use zrecipe_runtime::telemetry::Logging;
use zrecipe_runtime::wrapper::{Ended, Record, Wrappers, read_file, report, run as run_program};

/// Run a program for a recipe step and report its progress
///
/// Broadcasts the status every three seconds. Sends `starting`, then the program's own reports, then `success` or
/// `failure`, then `completed`, and exits with the program's exit status. To report, the program appends lines such as
/// `{"channel": "updates", "payload": {"done": 10}}` to the file in ZRECIPE_RESULTS. ZRECIPE_WRAPPER is the wrapper
/// file, ZRECIPE_STEP the step as JSON, and ZRECIPE_RECIPE_ID the recipe ID. While the broker is unavailable, reports
/// are stored on disk. Signals are forwarded.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name shown in the status; without COMMAND, one of `[wrappers]` in zrecipe.toml, or an entry point of the group
    /// `zocalo.wrappers`.
    #[arg(long, value_name = "NAME", required_unless_present = "reap")]
    wrap: Option<String>,
    /// Wrapper file with the recipe and the step; without it, only the status is reported.
    #[arg(long, value_name = "FILE")]
    recipewrapper: Option<PathBuf>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Seconds to wait at the end for a broker that is unavailable.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    linger: u64,
    /// Send pending reports of other wrappers that were killed or whose broker was unavailable. Programs that still run
    /// without their wrapper are skipped.
    #[arg(long, conflicts_with_all = ["wrap", "recipewrapper", "command"])]
    reap: bool,
    /// The program and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`]; the exit code is that of the program.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let directory = session.state_directory()?.join("wrap");
    let logging = Logging::of_site(&environment.plugins(), usize::from(session.common.verbose));
    let guard = logging.start(session.style(std::io::stderr().is_terminal()).colour, &[]);
    let ended = match &args.wrap {
        Some(name) => wrap_program(args, session, name, &environment, &directory),
        None => block_on(reap(&environment, &directory)).map(|()| 0),
    };
    guard.finish();
    match ended? {
        0 => Ok(()),
        code => Err(Error::exit(code)),
    }
}

/// Runs the program of a wrapper; its exit code.
fn wrap_program(
    args: &Args,
    session: &Session,
    name: &str,
    environment: &Environment,
    directory: &Path,
) -> Result<u8, Error> {
    let python = bridged::interpreter(session, environment.names())?;
    let wrappers = session.settings.section::<Wrappers>()?;
    let (command, is_python) = match (args.command.as_slice(), wrappers.0.get(name)) {
        ([], Some(command)) => (command.0.clone(), false),
        ([], None) => (registered(name, &python)?, true),
        (command, _) => (command.to_vec(), false),
    };
    let envelope = args.recipewrapper.as_deref().map(read).transpose()?;
    let program = Wrapped { name, command: &command, is_python };
    block_on(wrap(args, &program, envelope, environment, directory))
}

/// What is wrapped.
struct Wrapped<'a> {
    name: &'a str,
    command: &'a [String],
    /// Whether it is a class of Python, which reports its start and its end itself.
    is_python: bool,
}

/// The command of the wrapper that a Python package registers under this name.
fn registered(name: &str, python: &Interpreter) -> Result<Vec<String>, Error> {
    let missing = || {
        Error::new(format!("there is no program for `{name}`"))
            .hint("name it after `--`, or in `[wrappers]` of zrecipe.toml")
    };
    let listed = block_on(async { Ok(python.entry_points().await) })?;
    let wrappers = match listed {
        Ok(listed) => listed.into_iter().filter(EntryPoint::is_wrapper).map(|entry| entry.name).collect::<Vec<_>>(),
        Err(why) => {
            let error = missing().hint(format!("Python wrappers were not searched: {why}"));
            return Err(why.hints.into_iter().fold(error, Error::hint));
        }
    };
    if wrappers.iter().any(|known| known == name) {
        return Ok(python.command("wrap", name));
    }
    let known = if wrappers.is_empty() { "none".to_owned() } else { format!("`{}`", wrappers.join("`, `")) };
    Err(missing().hint(format!("the Python packages of `{}` register {known}", python.program())))
}

fn read(path: &Path) -> Result<Envelope, Error> {
    let text = regular::read_all(path).map_err(|error| {
        Error::new(format!("cannot read {}: {error}", path.display()))
            .hint("Runner writes the file with the parameter `recipewrapper`")
    })?;
    read_file(&text).map_err(|reason| {
        Error::new(format!("{} is not a recipe wrapper file: {reason}", path.display()))
            .hint("Runner writes one with the parameter `recipewrapper`")
    })
}

async fn wrap(
    args: &Args,
    &Wrapped { name, command, is_python }: &Wrapped<'_>,
    envelope: Option<Envelope>,
    environment: &Environment,
    directory: &Path,
) -> Result<u8, Error> {
    let failed =
        |error: std::io::Error| Error::new(format!("cannot store reports in {}: {error}", directory.display()));
    let mut step = tempfile::NamedTempFile::new()?;
    let mut files: Vec<(&str, PathBuf)> = Vec::new();
    if let (Some(envelope), Some(wrapper)) = (&envelope, &args.recipewrapper) {
        step.write_all(Value::Object(envelope.step().clone()).to_json_pretty().as_bytes())?;
        files.push(("ZRECIPE_STEP", step.path().to_owned()));
        files.push(("ZRECIPE_WRAPPER", std::path::absolute(wrapper)?));
    }
    let files: Vec<(&str, &Path)> = files.iter().map(|(name, path)| (*name, path.as_path())).collect();
    let record = Arc::new(Record::create(directory, name, envelope).map_err(failed)?);
    if !is_python {
        record.add("starting", Value::from("Starting processing")).map_err(failed)?;
    }
    let (status, told) = watch::channel(Status::Starting);
    let connect = async || match environment.connect(&format!("wrap {name}"), &[]).await {
        Ok(transport) => Some(transport),
        Err(error) => {
            let _ = error.tell();
            None
        }
    };
    let linger = Duration::from_secs(args.linger);
    facts::find();
    let reporting = report(Arc::clone(&record), connect, told, linger);
    let running = async {
        status.send_replace(Status::Processing);
        let ended = run_program(&record, command, &files).await;
        let (end, channel, payload) = match &ended {
            Ok(ended) if ended.code() == 0 => (Status::End, "success", Value::from("Finished processing")),
            Ok(ended) => {
                let how = match ended {
                    Ended::Exited(code) => format!("ended with exit status {code}"),
                    Ended::Signalled(signal) => format!("was killed by signal {signal}"),
                };
                // A text, as `BaseWrapper.failure` of the Python packages sends it.
                (Status::End, "failure", Value::from(format!("`{}` {how}", command.join(" "))))
            }
            Err(error) => {
                let reason = format!("`{}` cannot be run: {error}", command.join(" "));
                (Status::Error, "failure", Value::from(reason))
            }
        };
        let completed = || record.add("completed", Value::from("Finished processing"));
        let reported = match is_python {
            true if record.is_completed() => Ok(()),
            true if record.has_ended() => completed(),
            _ => record.add(channel, payload).and_then(|()| completed()),
        };
        status.send_replace(end);
        if let Err(error) = &ended {
            // Before the broker is waited for.
            Error::new(format!("cannot run `{}`: {error}", command.join(" "))).tell()?;
        }
        reported.map_err(failed)?;
        ended.map_err(|_| Error::exit(2))
    };
    let (refusal, ended) = tokio::join!(reporting, running);
    if record.is_sent() {
        if let Some(record) = Arc::into_inner(record) {
            record.remove().map_err(failed)?;
        }
    } else {
        let reason = refusal.unwrap_or_else(|| "the broker remained unavailable".to_owned());
        say(&format!("warning: {reason}; reports are stored in {}", directory.display()));
        say_error("  help: send them with `zrecipe wrap --reap`");
    }
    Ok(ended?.code())
}

/// Sends what others could not.
async fn reap(environment: &Environment, directory: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::new(format!("cannot read {}: {error}", directory.display()));
    let (records, unreadable) = Record::abandoned(directory).map_err(failed)?;
    for (place, error) in &unreadable {
        say(&format!("warning: stored reports in {} cannot be read: {error}", place.display()));
    }
    let mut left = unreadable.len();
    if records.is_empty() {
        if left == 0 {
            say("nothing waits");
        }
    } else {
        let transport = environment.connect("wrap --reap", &[]).await?;
        for record in records {
            let (task, place) = (record.task(), record.directory().to_owned());
            match reap_one(record, &*transport).await {
                Ok(what) => say(&format!("{task} {what}")),
                Err(Unreaped::Broker(error)) => return Err(error.into()),
                // The others have nothing to do with it.
                Err(Unreaped::Record(reason)) => {
                    say(&format!(
                        "warning: {task} has pending reports: {reason}; they are stored in {}",
                        place.display()
                    ));
                    left += 1;
                }
            }
        }
        transport.close().await?;
    }
    match left {
        0 => Ok(()),
        1 => Err(Error::new("the reports of one program were not sent").hint("retry with `zrecipe wrap --reap`")),
        _ => Err(Error::new(format!("the reports of {left} programs were not sent"))
            .hint("retry with `zrecipe wrap --reap`")),
    }
}

/// Why the reports of a program were not sent.
enum Unreaped {
    /// It is their own fault, or that of where they go.
    Record(String),
    /// None can be sent.
    Broker(transport::Error),
}

/// Sends the reports of a program; what became of it, in words.
async fn reap_one(record: Record, transport: &dyn Transport) -> Result<&'static str, Unreaped> {
    let failed = |error: std::io::Error| Unreaped::Record(error.to_string());
    if record.is_running().map_err(failed)? {
        return Ok("is still running, although its wrapper was killed: skipped until it ends");
    }
    let was_killed = !record.is_completed();
    record.give_up().map_err(failed)?;
    record.send(transport).await.map_err(|error| match error {
        transport::Error::Closed | transport::Error::Unavailable { .. } | transport::Error::Denied { .. } => {
            Unreaped::Broker(error)
        }
        error => Unreaped::Record(error.to_string()),
    })?;
    record.remove().map_err(failed)?;
    Ok(if was_killed { "was killed: reported as a failure" } else { "had pending reports: sent" })
}
