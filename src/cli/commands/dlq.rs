//! `zrecipe dlq`: dead letters, and the way back.

mod check;
mod diagnose;
mod list;
mod purge;
mod rebase;
mod reinject;
mod show;

use crate::cli::letters::LookArgs;
use crate::cli::{Error, Session};

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
    Check(check::Check),
    /// Move dead letters to files, and print the paths.
    ///
    /// No file is written over, and a letter leaves its queue when its file is safe on disk. When this is stopped, the same
    /// command goes on: a letter that has its file already gets no second one. `zrecipe dlq reinject -r DIR` is the way back.
    ///
    /// On RabbitMQ SIGKILL counts as a delivery of the few letters that were under way. One that has come back twice is
    /// replaced by a copy before its file is written, so that the queue's delivery limit does not drop it.
    Purge(purge::Purge),
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
    Reinject(reinject::Reinject),
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

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    match &args.command {
        Command::List(args) => list::list(args, session),
        Command::Show(args) => show::show(args, session),
        Command::Check(args) => check::check(args, session),
        Command::Purge(args) => purge::purge(args, session),
        Command::Reinject(args) => reinject::send_back(args, session),
        Command::Diagnose(args) => diagnose::diagnose(args, session),
        Command::Rebase(args) => rebase::run(args, session),
    }
}

/// A reason that is one of many: `show` has all of it.
fn one_line(text: &str) -> String {
    const MOST: usize = 200;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() <= MOST { line } else { format!("{}…", &line[..line.floor_char_boundary(MOST)]) }
}
