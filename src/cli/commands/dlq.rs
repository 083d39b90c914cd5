//! `zrecipe dlq`: dead letters, and the way back.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use crate::cli::broker::{Environment, EnvironmentArgs, no_such_queue, worn};
use crate::cli::letters::{Heap, LookArgs, NONE, expand, name, parts, queues, seconds, shown, step_text, tell_of_runs};
use crate::cli::progress::{align, block_on, block_on_politely, interrupted};
use crate::cli::rebase;
use crate::cli::{Error, Session, plain, print, say};
use zrecipe_broker::message::{Envelope, Outgoing, REQUEST_QUEUE, Request};
use zrecipe_broker::transport::{Delivery, Error as TransportError, Transport};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::Value;
use zrecipe_project::judge;
use zrecipe_project::library::Library;
use zrecipe_runtime::ops::dead_letters::{self, Fate, Letter, look, queue_of, ready, reinject, would_go};

/// See dead letters, keep them in files, and send them back
///
/// A dead letter is a message that nobody could deal with. It lies in `dlq.<queue>` with the reason. Nothing here loses
/// one: a letter leaves its queue when its file is safe on disk, and a file is removed when the broker has confirmed
/// its message. Files of the Python tools are taken, and they take ours.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Count the dead letters by queue, reason and recipe step.
    ///
    /// They stay where they are. On RabbitMQ looking is a delivery, and the letters come back to their queue when it is
    /// over; Ctrl-C and SIGTERM let them go in the same way. They are `redelivered` then. One that has come back twice is
    /// replaced by a copy at the end of the queue, so that the queue's delivery limit does not drop it. SIGKILL counts as
    /// a delivery of the letters that were held. At most `--limit` letters of each queue are looked at; a note, and `more`
    /// in JSON, says when there are more.
    ///
    /// Exit codes: 0 it was looked, whether or not there are any (`zrecipe dlq check` tells), 2 could not look.
    #[command(after_help = "\
Columns: how many letters, their queue (or file), the recipe step that they died at, and why.
Next:  zrecipe dlq diagnose QUEUE     whether sending them back can help, and what to do
       zrecipe dlq show QUEUE         what they hold")]
    List(Look),
    /// Show what dead letters hold, without passwords.
    ///
    /// They stay where they are; on RabbitMQ looking is a delivery (see `zrecipe dlq list --help`).
    ///
    /// Exit codes: 0 it was looked, 2 could not look.
    #[command(after_help = "\
Examples:  zrecipe dlq show images --limit 1      the first letter of dlq.images
           zrecipe dlq show DLQ/2026-11-24        what `purge` has put into files")]
    Show(Look),
    /// Count the dead letters of each queue; exit code 1 when there are any.
    ///
    /// Letters that another tool holds at this moment count, too, where RabbitMQ's management API says how many they are
    /// (a block of plugin `rabbitmqapi` in the environment). It also says which queues there are: without it, name them.
    /// Letters of runs on this machine do not count: `zrecipe runs` does, and a note says so.
    ///
    /// Exit codes: 0 there are none, 1 there are some, 2 could not look.
    #[command(after_help = "Columns: how many letters, and their queue. Next: `zrecipe dlq diagnose QUEUE`.")]
    Check(Check),
    /// Move dead letters to files, and print the paths.
    ///
    /// No file is written over, and a letter leaves its queue when its file is safe on disk. When this is stopped, the same
    /// command goes on: a letter that has its file already gets no second one. `zrecipe dlq reinject -r DIR` is the way back.
    ///
    /// On RabbitMQ SIGKILL counts as a delivery of the few letters that were under way. One that has come back twice is
    /// replaced by a copy before its file is written, so that the queue's delivery limit does not drop it.
    Purge(Purge),
    /// Send the letters in files back to where they died.
    ///
    /// Paths also come from standard input, as `purge` prints them. Ctrl-C waits for the letter that is on its way.
    ///
    /// When the tool is killed in that moment, nobody knows whether the broker has the letter. The same command with
    /// `--remove` then looks for it in the queue where it belongs, and does not send what it finds. It can look only where
    /// nobody takes messages from, since what is not there any more may have been taken, and only with the management API
    /// (plugin `rabbitmqapi`). Else it sends the letter again, so that it is not lost, with the same id, and says so at the
    /// end: services of zrecipe take it once, those of Python twice. The same goes for a broker that dies in that moment.
    ///
    /// Exit codes: 0 all went back, or nothing was piped in; 1 some did not, and are in their files; 2 could not do it.
    Reinject(Reinject),
    /// Say why letters died, whether sending them back can help, and what to do.
    ///
    /// Each is held against its recipe and the contract of its service as they are now. Letters that are alike are told
    /// together. They stay where they are; on RabbitMQ looking is a delivery (see `zrecipe dlq list --help`).
    ///
    /// Exit codes: 0 it was looked, 2 could not look.
    #[command(after_help = "\
Examples:  zrecipe dlq diagnose             all queues of dead letters
           zrecipe dlq diagnose images      those of one
           zrecipe dlq diagnose DLQ         files, as `purge` writes them")]
    Diagnose(Look),
    /// Put a corrected recipe into letters that carry a broken one, and send them on.
    ///
    /// Each goes to the step of the new recipe that is the one it died at: the step is known by its service and queue,
    /// by the way to it from the start, and by its parameters, and not by its number alone. What is not unique, or what
    /// these do not agree about, is refused and stays. The change is shown first. A letter leaves its queue when the broker has confirmed the new message.
    ///
    /// The recipe's parameters come from the dispatcher's logbook (`zocalo.dispatcher.logbook_location` of the site) by
    /// the letter's recipe ID, and from `-p`. A recipe without placeholders, as `zrecipe show ID --json` has it under
    /// `recipe`, needs none.
    Rebase(rebase::Args),
}

#[derive(Debug, clap::Args)]
struct Look {
    #[command(flatten)]
    letters: LookArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// Queues, with `dlq.` or without; without, all queues of dead letters.
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Purge {
    /// Queues, with `dlq.` or without; without, all queues of dead letters.
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// The directory for the files; without it `zocalo.dlq.purge_location` of the site, else `DLQ`.
    #[arg(long, value_name = "DIR")]
    location: Option<PathBuf>,
    /// How many seconds to wait for another letter.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    wait: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Reinject {
    /// Files, or directories with files.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Send them to this queue instead.
    #[arg(short, long, value_name = "QUEUE")]
    destination: Option<String>,
    /// Remove a file when the broker has confirmed its message.
    #[arg(short, long)]
    remove: bool,
    /// How many seconds to wait between letters.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 0.0)]
    wait: f64,
    /// Say where each would go, after asking the broker whether its queue is there, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    match &args.command {
        Command::List(args) => list(args, session),
        Command::Show(args) => show(args, session),
        Command::Check(args) => check(args, session),
        Command::Purge(args) => purge(args, session),
        Command::Reinject(args) => send_back(args, session),
        Command::Diagnose(args) => diagnose(args, session),
        Command::Rebase(args) => rebase::run(args, session),
    }
}

fn list(args: &Look, session: &Session) -> Result<(), Error> {
    let mut groups: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    let found = args.letters.find(session)?;
    for (place, letter) in found.letters {
        let queue = letter.queue.clone().unwrap_or(place);
        *groups.entry((queue, step_text(&letter), letter.reason())).or_default() += 1;
    }
    if args.json {
        let groups = groups.into_iter().map(|((queue, step, reason), count)| {
            let more = found.more.get(&queue).and_then(|whole| i64::try_from(*whole).ok());
            Value::from([
                ("queue", Value::from(queue)),
                ("step", if step == "-" { Value::Null } else { Value::from(step) }),
                ("reason", Value::from(reason)),
                ("count", Value::from(count as i64)),
                // Whether the queue holds more than were looked at, and how many those are together.
                ("more", Value::Bool(more.is_some())),
                ("in_queue", Value::from(more)),
            ])
        });
        return print(&(Value::Array(groups.collect()).to_json_pretty() + "\n"));
    }
    if groups.is_empty() {
        say(NONE);
        return Ok(());
    }
    let mut rows = vec![["count", "queue", "step", "reason"].map(str::to_owned)];
    rows.extend(
        groups.into_iter().map(|((queue, step, reason), count)| [count.to_string(), queue, step, one_line(&reason)]),
    );
    print(&align(&rows))
}

/// A reason that is one of many: `show` has all of it.
fn one_line(text: &str) -> String {
    const MOST: usize = 200;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() <= MOST { line } else { format!("{}…", &line[..line.floor_char_boundary(MOST)]) }
}

fn show(args: &Look, session: &Session) -> Result<(), Error> {
    let letters = args.letters.find(session)?.letters;
    let shown: Vec<Value> = letters.iter().map(|(_, letter)| shown(letter)).collect();
    if args.json {
        return print(&(Value::Array(shown).to_json_pretty() + "\n"));
    }
    if letters.is_empty() {
        say(NONE);
    }
    let mut text = String::new();
    for ((place, letter), shown) in letters.iter().zip(shown) {
        let death = letter.death();
        let _ = writeln!(text, "{}: {}", plain(place), name(letter));
        let _ = writeln!(text, "  reason  {}", plain(&letter.reason()));
        let _ = writeln!(text, "  died in {}", plain(death.queue.as_deref().unwrap_or("an unknown queue")));
        let _ = writeln!(text, "  step    {}", plain(&step_text(letter)));
        text.push_str(&parts(&shown));
    }
    print(&text)
}

fn check(args: &Check, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let counts: Vec<(String, i64)> = block_on(async {
        let wanted: Vec<String> = args.queues.iter().map(|name| queue_of(name)).collect();
        let all = match environment.queues_unless_named(&wanted).await? {
            Some(queues) => queues,
            None => environment.ask_for_queues(&wanted).await?,
        };
        if let Some(missing) = wanted.iter().find(|name| all.iter().all(|queue| queue.name != **name)) {
            return Err(no_such_queue(missing, &all));
        }
        let is_meant = |name: &String| {
            if wanted.is_empty() { name.starts_with(dead_letters::PREFIX) } else { wanted.contains(name) }
        };
        let mut counts: Vec<(String, i64)> = Vec::new();
        // What RabbitMQ lists lags by seconds; what it says when asked does not, but is without what somebody holds.
        let ask = async |transport: &dyn Transport| {
            for queue in all.into_iter().filter(|queue| is_meant(&queue.name)) {
                let found = ready(transport, &queue.name).await?;
                // What somebody held who is gone is counted among those that wait, and listed as held for some seconds.
                let held = if found.consumers == Some(0) { None } else { queue.unacknowledged };
                let waiting = i64::try_from(found.messages).unwrap_or(i64::MAX);
                counts.push((queue.name, waiting.saturating_add(held.unwrap_or(0))));
            }
            Ok(())
        };
        environment.with_broker("dlq check", ask).await?;
        counts.retain(|(_, count)| *count > 0);
        if wanted.is_empty() {
            tell_of_runs(&environment).await?;
        }
        Ok(counts)
    })?;
    if args.json {
        let counts = counts.iter().map(|(queue, count)| (queue.clone(), Value::from(*count))).collect();
        print(&(Value::Object(counts).to_json_pretty() + "\n"))?;
    } else if counts.is_empty() {
        say(NONE);
    } else {
        let rows: Vec<[String; 2]> = counts.iter().map(|(queue, count)| [count.to_string(), queue.clone()]).collect();
        print(&align(&rows))?;
    }
    if counts.is_empty() { Ok(()) } else { Err(Error::findings()) }
}

fn purge(args: &Purge, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let location = args.location.clone().or_else(|| environment.storage("zocalo.dlq.purge_location"));
    let location = location.unwrap_or_else(|| PathBuf::from("DLQ"));
    let wait = seconds(args.wait)?;
    let mut written: Vec<(String, PathBuf)> = Vec::new();
    let purged = block_on_politely(async |mut over| {
        /// How often to look again where letters have come back.
        const ROUNDS: usize = 5;
        let over = &mut over;
        let move_to_files = async |transport: &dyn Transport| {
            let mut heaps = queues(args.queues.iter().collect(), &environment).await?;
            let mut connection = transport.connection();
            let (mut taken, mut known) = (HashSet::new(), HashSet::new());
            for _ in 0..ROUNDS {
                for heap in &heaps {
                    let Heap { queue, count, worn, .. } = heap;
                    let is_empty = match count {
                        Some(0) => heap.ready(transport).await? == 0,
                        Some(_) => false,
                        // There may be no such queue.
                        None => heap.ready(transport).await.map(|_| false)?,
                    };
                    if is_empty {
                        continue;
                    }
                    let before = written.len();
                    let purge = |delivery: &Delivery| {
                        // What was acknowledged on a connection that is lost may come again.
                        if connection.has_changed().unwrap_or(false) {
                            connection.mark_unchanged();
                            taken.clear();
                        }
                        let path = Letter::of(delivery).write(&location, delivery.came_before, &taken)?;
                        taken.insert(path.clone());
                        let path = std::path::absolute(&path).unwrap_or(path);
                        if known.insert(path.clone()) {
                            if !args.json {
                                print(&format!("{}\n", path.display()))?;
                            }
                            written.push((queue.clone(), path));
                        }
                        Ok::<_, Error>(Fate::Goes)
                    };
                    let all = dead_letters::Look { wait, most: usize::MAX, worn: *worn, is_only_look: false };
                    let seen = look(transport, queue, all, over, purge).await;
                    if written.len() > before {
                        let count = written.len() - before;
                        let are = if count == 1 { "is" } else { "are" };
                        say(&format!("{} of {queue} {are} in {}", counted(count, "dead letter"), location.display()));
                    }
                    if seen?.is_interrupted {
                        return Err(
                            Error::new("interrupted").hint("the rest is in its queues; the same command goes on")
                        );
                    }
                }
                // A broker that has died forgets what it was told last.
                let mut rest = Vec::new();
                for heap in heaps {
                    if ready(transport, &heap.queue).await?.messages > 0 {
                        rest.push(heap);
                    }
                }
                heaps = rest;
            }
            if args.queues.is_empty() { tell_of_runs(&environment).await } else { Ok(()) }
        };
        environment.with_broker("dlq purge", move_to_files).await
    });
    if args.json {
        let files = written.iter().map(|(queue, path)| {
            Value::from([
                ("queue", Value::from(queue.as_str())),
                ("file", Value::from(path.to_string_lossy().into_owned())),
            ])
        });
        print(&(Value::Array(files.collect()).to_json_pretty() + "\n"))?;
    } else if written.is_empty() && purged.is_ok() {
        say(NONE);
    }
    purged
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

fn send_back(args: &Reinject, session: &Session) -> Result<(), Error> {
    let mut files = args.files.clone();
    if files.is_empty() && !std::io::stdin().is_terminal() {
        let (named, is_any) = standard_input();
        // Whoever takes letters away and finds none prints nothing.
        if !is_any && is_piped() {
            say("no file is named on standard input, so there is nothing to send back");
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
    let put_back = async |transport: &dyn Transport| {
        let (end, mut over) = watch::channel(0);
        let (stop, mut stopping) = watch::channel(false);
        let signals = tokio::spawn(async move {
            loop {
                interrupted().await;
                stop.send_replace(true);
                end.send_modify(|times| *times += 1);
            }
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
            if stopped {
                break;
            }
            // The one that is on its way is waited for, until somebody says once more that all is to end.
            let sent = tokio::select! {
                sent = one_back(args, transport, path, there.contains(path)) => sent,
                _ = over.wait_for(|times| *times > 1) => {
                    stopped = true;
                    break;
                }
            };
            failed |= sent.is_err();
            let file = path.display().to_string();
            let mut result = vec![("file".to_owned(), Value::from(file.as_str()))];
            match sent {
                Ok(Sent { id, destination, may_be_again }) => {
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
                        say(&plain(&format!("note: {file} may have gone before, with the same id {id}")));
                    }
                    result.extend([
                        ("destination".to_owned(), Value::from(destination)),
                        ("id".to_owned(), Value::from(id)),
                        ("may_be_again".to_owned(), Value::Bool(may_be_again)),
                    ]);
                }
                Err(reason) => {
                    say(&plain(&format!("error: {file}: {reason}")));
                    result.push(("error".to_owned(), Value::from(reason)));
                }
            }
            results.push(Value::Object(result.into_iter().collect()));
        }
        signals.abort();
        Ok(())
    };
    block_on(environment.with_broker("dlq reinject", put_back))?;
    if again > 0 && !args.dry_run {
        say(&format!("note: {} may have gone twice; services of zrecipe take each once", counted(again, "letter")));
    }
    if args.json {
        print(&(Value::Array(results).to_json_pretty() + "\n"))?;
    }
    if stopped {
        return Err(
            Error::new("interrupted").hint("the rest is in its files; with `--remove` the same command goes on")
        );
    }
    if failed { Err(Error::findings()) } else { closed }
}

/// A letter that went back.
struct Sent {
    id: String,
    destination: String,
    /// Whether somebody was stopped before who was sending it, and nobody knows whether the broker had it.
    may_be_again: bool,
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
    for path in files.iter().filter(|path| mark(path).exists()) {
        if let Ok((_, message)) = letter_of(args, path) {
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
        let wait = Duration::from_secs(1);
        let look_at = dead_letters::Look { wait, most: usize::from(MOST), worn, is_only_look: true };
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

/// The letter of a file, and the message as which it goes back.
fn letter_of(args: &Reinject, path: &Path) -> Result<(Letter, Outgoing), String> {
    let letter = Letter::read(path).map_err(|error| match error {
        dead_letters::Error::Malformed { reason, .. } => reason,
        dead_letters::Error::Io { source, .. } => source.to_string(),
        dead_letters::Error::Transport(error) => error.to_string(),
    })?;
    let message = letter.to_message(&file_name(path), args.destination.as_deref())?;
    Ok((letter, message))
}

/// Sends one letter back, unless it is there already.
async fn one_back(args: &Reinject, transport: &dyn Transport, path: &Path, is_there: bool) -> Result<Sent, String> {
    let (letter, message) = letter_of(args, path)?;
    let mark = mark(path);
    let (id, mut may_be_again) = (message.id.clone(), args.remove && !is_there && mark.exists());
    let untold = |error: TransportError| match error {
        TransportError::NoSuchQueue(_) => format!("{error}; `--destination QUEUE` sends it to another one"),
        error => error.to_string(),
    };
    if args.dry_run {
        let destination = would_go(transport, &letter, &message).await.map_err(untold)?.to_string();
        return Ok(Sent { id, destination, may_be_again });
    }
    if args.remove {
        std::fs::write(&mark, &id).map_err(|error| format!("its file could not be removed: {error}"))?;
    }
    let connection = transport.connection();
    let sent = match is_there {
        true => Ok(message.destination),
        false => reinject(transport, &letter, message).await,
    };
    // What was on its way by a connection that is lost is sent again by the next one.
    may_be_again |= connection.has_changed().unwrap_or(false);
    let is_known = match &sent {
        Ok(_) => true,
        Err(error) => {
            use TransportError::{NoSuchQueue, NoSuchTopic, Refused};
            matches!(error, NoSuchQueue(_) | NoSuchTopic(_) | Refused { .. })
        }
    };
    if sent.is_ok() && args.remove {
        std::fs::remove_file(path).map_err(|error| format!("it was sent, but cannot be removed: {error}"))?;
    }
    if is_known && args.remove {
        let _ = std::fs::remove_file(mark);
    }
    let destination = sent.map_err(untold)?.to_string();
    Ok(Sent { id, destination, may_be_again })
}

/// What is to be expected of sending a letter back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Prospects {
    /// Whether it can help.
    helps: bool,
    /// Why.
    why: String,
    /// What to do, without the place of the letter.
    remedy: Remedy,
}

/// What to do about a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Remedy {
    /// It is as good as new.
    SendBack,
    /// Its recipe has to be another one.
    Rebase,
    /// What was asked for has to be asked for again.
    Ask,
    /// Somebody has to mend what it complains of first.
    Mend,
    /// There is no more to be had of it.
    Keep,
}

impl Remedy {
    /// In words, for letters of a queue or for a file.
    fn text(self, place: &str, is_queue: bool) -> String {
        let back = if is_queue {
            format!("`zrecipe dlq purge {place} | zrecipe dlq reinject -r`")
        } else {
            "`zrecipe dlq reinject -r FILE`".to_owned()
        };
        let place = if is_queue { place } else { "FILE" };
        let rebase = format!("`zrecipe dlq rebase {place} --onto RECIPE`");
        match self {
            Self::SendBack => format!("{back} sends it back"),
            Self::Rebase => format!("{rebase} puts a corrected recipe into it and sends it on"),
            Self::Ask => "`zrecipe go RECIPE` asks again, with a recipe that is right".to_owned(),
            Self::Mend => {
                format!("if the recipe is wrong: {rebase}; if something else is: mend it, and {back} sends it back")
            }
            Self::Keep if is_queue => format!("`zrecipe dlq purge {place}` keeps it in a file"),
            Self::Keep => "it is kept in its file".to_owned(),
        }
    }
}

/// Whether sending a letter back can help, and why.
fn prospects(letter: &Letter, session: &Session, library: &Library) -> Result<Prospects, Error> {
    let death = letter.death();
    let queue = death.queue.clone().unwrap_or_default();
    let cannot = |why: String, remedy| Ok(Prospects { helps: false, why, remedy });
    let can = |why: &str| Ok(Prospects { helps: true, why: why.to_owned(), remedy: Remedy::SendBack });
    let envelope = match Envelope::read(&letter.headers, &letter.body) {
        Ok(envelope) => Some(envelope),
        Err(zrecipe_broker::message::Error::NotARecipe) => None,
        Err(error) => return cannot(format!("{error}, and no service can deal with that"), Remedy::Keep),
    };
    if queue == REQUEST_QUEUE {
        let body =
            envelope.as_ref().map_or_else(|| letter.body.clone(), |envelope| envelope.payload.to_json().into_bytes());
        let request = match Request::read(&body) {
            Ok(request) => request,
            Err(reason) => return cannot(reason, Remedy::Ask),
        };
        for name in &request.recipes {
            let source = match library.find(name) {
                Ok(source) => source,
                Err(error) => return cannot(error.to_string(), Remedy::Ask),
            };
            let asked = judge::CheckOptions { parameters: Some(&request.parameters), ..judge::CheckOptions::default() };
            let compiled = session.judge(source, asked)?;
            if let Some(refusal) = compiled.refusals().next() {
                let why = format!("recipe `{name}` is still refused: {} [{}]", refusal.message, refusal.rule);
                return cannot(why, Remedy::Ask);
            }
        }
        if request.recipes.is_empty() && request.custom_recipe.is_none() {
            return cannot("the request names no recipe and carries none".to_owned(), Remedy::Ask);
        }
    }
    if let Err(error) = read_value(&letter.body) {
        return cannot(format!("its body is {error}, and services read JSON"), Remedy::Keep);
    }
    let contract = session.contracts()?.of_queue(&queue);
    if let (Some(envelope), Some(contract)) = (&envelope, contract)
        && let Some(reason) = contract.refusal(&envelope.parameters())
    {
        return cannot(format!("service {} refuses it: {reason}", contract.name()), Remedy::Rebase);
    }
    // Services of zrecipe say why; the dispatcher's reasons have been looked at above.
    let is_said = letter.headers.get("zrecipe-reason").is_some() && queue != REQUEST_QUEUE;
    let is_gone = |reason: &str| reason.starts_with("there is no queue") || reason.starts_with("there is no topic");
    match death.reason.as_deref() {
        Some("delivery_limit") => can("a service failed on it again and again: it can help when the cause is mended"),
        Some("expired" | "maxlen") => can("it was never looked at"),
        Some("rejected") if is_said && is_gone(&letter.reason()) => can("it can help when that is there now"),
        Some("rejected") if is_said => {
            let who =
                contract.map_or_else(|| "its service".to_owned(), |contract| format!("service {}", contract.name()));
            cannot(format!("{who} has said that as it is it can never be dealt with"), Remedy::Mend)
        }
        _ => can("nothing that is known here speaks against it"),
    }
}

/// What letters have in common: why they died, what is to be expected, and what to do.
type Kind = (String, Prospects, String);

/// Where a letter is, and its id.
type Member<'l> = (&'l str, Option<&'l str>);

fn diagnose(args: &Look, session: &Session) -> Result<(), Error> {
    let letters = args.letters.find(session)?.letters;
    let library = match args.letters.environment.read(session) {
        Ok(environment) => environment.library(session),
        Err(_) => session.library()?,
    };
    let mut results = Vec::new();
    // Those that are alike together: what died of one cause did so a thousand times.
    let mut groups: Vec<(Kind, Vec<Member<'_>>)> = Vec::new();
    let mut known = HashMap::new();
    for (place, letter) in &letters {
        let prospects = prospects(letter, session, &library)?;
        let help = prospects.remedy.text(place, letter.queue.as_ref() == Some(place));
        results.push(Value::from([
            ("place", Value::from(place.as_str())),
            ("id", letter.id.clone().map_or(Value::Null, Value::from)),
            ("reason", Value::from(letter.reason())),
            ("helps", Value::Bool(prospects.helps)),
            ("why", Value::from(prospects.why.as_str())),
            ("help", Value::from(help.as_str())),
        ]));
        let key = (letter.reason(), prospects, help);
        let number = *known.entry(key.clone()).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[number].1.push((place, letter.id.as_deref()));
    }
    if args.json {
        return print(&(Value::Array(results).to_json_pretty() + "\n"));
    }
    if letters.is_empty() {
        say(NONE);
    }
    let mut text = String::new();
    for ((reason, prospects, help), group) in groups {
        let verdict = if prospects.helps { "sending it back can help" } else { "sending it back does not help" };
        text.push_str(&members(&group));
        let _ = writeln!(text, "  died: {}\n  {verdict}: {}", plain(&one_line(&reason)), plain(&prospects.why));
        let _ = writeln!(text, "  help: {}", plain(&help));
    }
    print(&text)
}

/// Which letters there are of a kind: each if they are few.
fn members(group: &[Member<'_>]) -> String {
    const MOST: usize = 3;
    let mut places: Vec<(&str, Vec<Option<&str>>)> = Vec::new();
    for (place, id) in group {
        match places.last_mut().filter(|(last, _)| last == place) {
            Some((_, ids)) => ids.push(*id),
            None => places.push((place, vec![*id])),
        }
    }
    let mut text = String::new();
    for (place, ids) in places.iter().take(MOST) {
        let place = plain(place);
        let few: Vec<String> = ids.iter().flatten().take(MOST).map(|id| plain(id)).collect();
        let (count, more) = (ids.len(), ids.len() - few.len());
        let _ = match few.join(", ") {
            none if none.is_empty() && count == 1 => writeln!(text, "{place}: a message without an id"),
            none if none.is_empty() => writeln!(text, "{place}: {count} messages without ids"),
            id if count == 1 => writeln!(text, "{place}: {id}"),
            few if more == 0 => writeln!(text, "{place}: {count} letters: {few}"),
            few => writeln!(text, "{place}: {count} letters: {few} and {more} more"),
        };
    }
    let more = places.iter().skip(MOST).map(|(_, ids)| ids.len()).sum::<usize>();
    if more > 0 {
        let _ = writeln!(text, "and {more} more in other places");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_letters_are_a_line() {
        let in_queue = |ids: &[Option<&'static str>]| ids.iter().map(|id| ("dlq.a", *id)).collect::<Vec<_>>();
        for (group, expected) in [
            (in_queue(&[None]), "dlq.a: a message without an id\n"),
            (in_queue(&[None; 9]), "dlq.a: 9 messages without ids\n"),
            (in_queue(&[Some("m")]), "dlq.a: m\n"),
            (in_queue(&[Some("m"), Some("n\u{1b}")]), "dlq.a: 2 letters: m, n␛\n"),
            (in_queue(&[Some("m"), None]), "dlq.a: 2 letters: m and 1 more\n"),
            (in_queue(&[Some("m"); 9]), "dlq.a: 9 letters: m, m, m and 6 more\n"),
            (
                ["a", "b", "c", "d", "e"].map(|file| (file, Some("m"))).to_vec(),
                "a: m\nb: m\nc: m\nand 2 more in other places\n",
            ),
        ] {
            assert_eq!(members(&group), expected);
        }
    }
}
