//! `zrecipe dlq reinject`: letters in files go back to where they died.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use crate::cli::broker::queues::worn;
use crate::cli::broker::{Environment, EnvironmentArgs};
use crate::cli::executor::{GRACE, block_on_hurried, interrupted};
use crate::cli::files::whereabouts;
use crate::cli::letters::{expand, seconds};
use crate::cli::{Error, Session, plain, print, say, say_error};
use zrecipe_broker::message::Outgoing;
use zrecipe_broker::transport::{Error as TransportError, Transport};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::value::Value;
use zrecipe_runtime::ops::dead_letters::{self, Fate, Letter, Look, look, ready, reinject, would_go};

#[derive(Debug, clap::Args)]
pub(super) struct Reinject {
    /// Files, or directories with files.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Send the letters to this queue instead.
    #[arg(short, long, value_name = "QUEUE")]
    destination: Option<String>,
    /// Remove each file after the broker has confirmed its message.
    #[arg(short, long)]
    remove: bool,
    /// Seconds to wait between letters.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 0.0)]
    wait: f64,
    /// Also send letters that the broker has already confirmed; each gets a new id.
    #[arg(long)]
    again: bool,
    /// Print the destination of each letter and check that its queue exists, without sending anything.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn send_back(args: &Reinject, session: &Session) -> Result<(), Error> {
    let mut files = args.files.clone();
    if files.is_empty() && !std::io::stdin().is_terminal() {
        let (named, is_any) = standard_input();
        // Whoever takes letters away and finds none prints nothing.
        if !is_any && is_piped() {
            say("no file is named on standard input; nothing to send");
            return if args.json { print("[]\n") } else { Ok(()) };
        }
        files = named;
    }
    if files.is_empty() {
        return Err(Error::new("no file is given").hint("`zrecipe dlq purge` writes them and prints their paths"));
    }
    let environment = args.environment.read(session)?;
    let wait = seconds(args.wait)?;
    let mut results: Vec<Value> = Vec::new();
    // Letters go back whether or not anybody reads where.
    let (mut failed, mut stopped, mut closed) = (false, false, Ok(()));
    let mut seen = HashSet::new();
    let mut files = expand(files.into_iter())?;
    // A file that is named twice is one letter.
    files.retain(|path| seen.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
    let mut again = 0;
    let hurried = AtomicBool::new(false);
    let put_back = async |transport: &dyn Transport| {
        let (end, mut over) = watch::channel(0);
        let (stop, mut stopping) = watch::channel(false);
        let signals = tokio::spawn(async move {
            interrupted().await;
            stop.send_replace(true);
            end.send_modify(|times| *times += 1);
            // A letter that is on its way is waited for; a broker that does not answer is not.
            let _ = timeout(GRACE, interrupted()).await;
            end.send_modify(|times| *times += 1);
            std::future::pending::<()>().await;
        });
        let there = match args.remove && !args.dry_run {
            true => search(args, &environment, transport, &files, &mut stopping).await?,
            false => HashSet::new(),
        };
        for (number, path) in files.iter().enumerate() {
            if number > 0 && !args.dry_run {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = over.wait_for(|times| *times > 0) => {}
                }
            }
            stopped = *over.borrow() > 0;
            hurried.store(stopped, Ordering::Relaxed);
            if stopped {
                break;
            }
            // The one that is on its way is waited for, until somebody says once more that all is to end.
            let sent = tokio::select! {
                sent = one_back(args, transport, path, there.contains(path)) => sent,
                _ = over.wait_for(|times| *times > 1) => {
                    stopped = true;
                    hurried.store(true, Ordering::Relaxed);
                    break;
                }
            };
            failed |= sent.is_err();
            let file = path.display().to_string();
            let mut result = vec![("file".to_owned(), Value::from(file.as_str()))];
            match sent {
                Ok(Sent { id, destination, is_known: true, .. }) => {
                    failed = true;
                    say_error(&plain(&format!(
                        "error: {file}: not sent, because the broker has already confirmed it, as {id}; the file \
                         stays\n  help: use `--again` to send it again"
                    )));
                    result.extend([
                        ("destination".to_owned(), Value::from(destination)),
                        ("id".to_owned(), Value::from(id)),
                        ("known".to_owned(), Value::Bool(true)),
                    ]);
                }
                Ok(Sent { id, destination, may_be_again, .. }) => {
                    let verb = match (args.dry_run, there.contains(path)) {
                        (true, _) => "would go",
                        (false, true) => "had gone before",
                        (false, false) => "went",
                    };
                    if !args.json && closed.is_ok() {
                        closed = print(&(plain(&format!("{file} {verb} to {destination}")) + "\n"));
                    }
                    if may_be_again {
                        again += 1;
                        say(&plain(&format!("note: {file} may have been sent before, with the same id {id}")));
                    }
                    result.extend([
                        ("destination".to_owned(), Value::from(destination)),
                        ("id".to_owned(), Value::from(id)),
                        ("may_be_again".to_owned(), Value::Bool(may_be_again)),
                        ("known".to_owned(), Value::Bool(false)),
                    ]);
                }
                Err(reason) => {
                    say_error(&plain(&format!("error: {file}: {reason}")));
                    if let Some(hint) = whereabouts(std::path::Path::new(&file)) {
                        say_error(&format!("  help: {hint}"));
                    }
                    result.push(("error".to_owned(), Value::from(reason)));
                }
            }
            results.push(Value::Object(result.into_iter().collect()));
        }
        signals.abort();
        Ok(())
    };
    let put_back = environment.with_broker("dlq reinject", put_back);
    block_on_hurried(put_back, &hurried)?;
    if again > 0 && !args.dry_run {
        say(&format!(
            "note: {} may have been sent twice; services of zrecipe process each once",
            counted(again, "letter")
        ));
    }
    if args.json {
        print(&(Value::Array(results).to_json_pretty() + "\n"))?;
    }
    if stopped {
        return Err(Error::new("interrupted")
            .hint("the other letters are in their files; run the same command with `--remove` to continue"));
    }
    if failed { Err(Error::findings()) } else { closed }
}

/// Paths on standard input, one on a line, and whether there was anything at all. `zocalo.dlq_purge` indents them, among
/// other lines.
fn standard_input() -> (Vec<PathBuf>, bool) {
    let lines: Vec<String> = std::io::stdin().lock().lines().map_while(Result::ok).collect();
    let paths = lines.iter().map(|line| line.trim()).filter(|line| line.starts_with(['/', '.'])).map(PathBuf::from);
    (paths.collect(), !lines.is_empty())
}

/// Whether standard input comes from another program.
fn is_piped() -> bool {
    use rustix::fs::{FileType, fstat};
    fstat(std::io::stdin()).is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Fifo)
}

/// A letter that went back.
struct Sent {
    id: String,
    destination: String,
    /// Whether an earlier command was stopped while it sent this, so that it is unknown whether the broker has it.
    may_be_again: bool,
    /// Whether the broker has dropped it, because it has taken this message before and not for an earlier command that was
    /// stopped.
    is_known: bool,
}

/// The name of a file without its directory.
fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What is there while a letter is sent whose file is to go.
fn mark(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{}.sending", file_name(path)))
}

/// Of the letters that somebody was sending who was stopped, those that are where they were to go. What is not found where
/// somebody takes messages may have been taken, so nothing is looked for there.
async fn search(
    args: &Reinject,
    environment: &Environment,
    transport: &dyn Transport,
    files: &[PathBuf],
    over: &mut watch::Receiver<bool>,
) -> Result<HashSet<PathBuf>, Error> {
    /// More messages are not looked through.
    const MOST: u16 = 50_000;
    let mut wanted: BTreeMap<String, Vec<(&PathBuf, Outgoing)>> = BTreeMap::new();
    for path in files {
        if let Ok((_, message, true)) = letter_of(args, path) {
            wanted.entry(message.destination.name().to_owned()).or_default().push((path, message));
        }
    }
    let mut there = HashSet::new();
    for (queue, mut messages) in wanted {
        let Ok(found) = ready(transport, &queue).await else { continue };
        if found.consumers != Some(0) || !(1..=u64::from(MOST)).contains(&found.messages) {
            continue;
        }
        let Ok(Some(known)) = environment.queue(&queue).await else { continue };
        let Ok(worn) = worn(&known) else { continue };
        let look_at = Look::at(usize::from(MOST), worn);
        look(transport, &queue, look_at, over, |delivery| {
            // Another letter may have the same id.
            let is_it = |(_, message): &(&PathBuf, Outgoing)| {
                delivery.has_own_id && (&message.id, &message.body) == (&delivery.id, &delivery.body)
            };
            if let Some(place) = messages.iter().position(is_it) {
                there.insert(messages.swap_remove(place).0.clone());
            }
            Ok::<_, Error>(Fate::Stays)
        })
        .await?;
    }
    Ok(there)
}

/// The letter of a file, the message as which it goes back, and whether an earlier command was stopped while it sent this
/// message.
fn letter_of(args: &Reinject, path: &Path) -> Result<(Letter, Outgoing, bool), String> {
    let letter = Letter::read(path).map_err(|error| match error {
        dead_letters::Error::Malformed { reason, .. } => reason,
        dead_letters::Error::Io { source, .. } => source.to_string(),
        dead_letters::Error::Transport(error) => error.to_string(),
    })?;
    let begun = if args.remove && !args.again { begun(path, &letter) } else { None };
    let is_begun = begun.is_some();
    let known = begun.flatten().or_else(|| letter.next_id("reinjected").filter(|_| !args.again));
    let id = known.unwrap_or_else(|| Uuid::new_v4().to_string());
    let message = letter.to_message(id, args.destination.as_deref())?;
    Ok((letter, message, is_begun))
}

/// Whether an earlier command was stopped while it sent this letter, and the id under which it did, where its mark says so.
/// The mark of another letter, which was in a file of the same name, does not count.
fn begun(path: &Path, letter: &Letter) -> Option<Option<String>> {
    let text = std::fs::read_to_string(mark(path)).ok()?;
    match text.split_once('\n') {
        Some((id, content)) => (content.trim() == letter.content().to_string()).then(|| Some(id.to_owned())),
        // Versions before this one did not say which letter it was.
        None => Some(None),
    }
}

/// Sends one letter back, unless it is there already.
async fn one_back(args: &Reinject, transport: &dyn Transport, path: &Path, is_there: bool) -> Result<Sent, String> {
    let (letter, message, is_begun) = letter_of(args, path)?;
    let mark = mark(path);
    let (id, mut may_be_again) = (message.id.clone(), !is_there && is_begun);
    let untold = |error: TransportError| match error {
        TransportError::NoSuchQueue(_) => format!("{error}; use `--destination QUEUE` to send it to another queue"),
        error => error.to_string(),
    };
    if args.dry_run {
        let destination = would_go(transport, &letter, &message).await.map_err(untold)?.to_string();
        return Ok(Sent { id, destination, may_be_again, is_known: false });
    }
    if args.remove {
        std::fs::write(&mark, format!("{id}\n{}\n", letter.content()))
            .map_err(|error| format!("its file could not be removed: {error}"))?;
    }
    let connection = transport.connection();
    let sent = match is_there {
        true => Ok((message.destination, false)),
        false => reinject(transport, &letter, message).await,
    };
    // What was on its way by a connection that is lost is sent again by the next one.
    may_be_again |= connection.has_changed().unwrap_or(false);
    let is_known = match &sent {
        Ok(_) => true,
        Err(error) => error.is_rejection(),
    };
    // The broker has it for the command that was stopped.
    let has_it = is_begun && matches!(&sent, Ok((_, true)));
    may_be_again &= !has_it;
    let is_sent = matches!(&sent, Ok((_, false))) || has_it;
    if is_sent && args.remove {
        std::fs::remove_file(path).map_err(|error| format!("it was sent, but cannot be removed: {error}"))?;
    }
    if is_known && args.remove {
        let _ = std::fs::remove_file(mark);
    }
    let destination = sent.map_err(untold)?.0.to_string();
    Ok(Sent { id, destination, may_be_again, is_known: !is_sent })
}
