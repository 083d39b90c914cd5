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

/// List, save, diagnose and reinject dead letters
///
/// A dead letter is a message that no service could process. It is kept in `dlq.<queue>` with the reason. These
/// commands never lose a letter: a letter leaves its queue only when its file is safely on disk, and a file is removed
/// only when the broker has confirmed its message. The files are compatible with those of the Python tools.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Count dead letters by queue, reason and recipe step.
    ///
    /// The letters stay in their queues. On RabbitMQ, reading is a delivery: the letters are requeued afterwards, also
    /// after Ctrl-C and SIGTERM, and are then marked `redelivered`. A letter that was redelivered twice is replaced by
    /// a copy at the end of the queue. So the delivery limit of the queue does not drop it. After SIGKILL, the letters
    /// that were held have one more delivery. At most `--limit` letters of each queue are read; a note, and `more` in
    /// JSON, shows whether there are more.
    ///
    /// Exit codes: 0 the queues were read, even if there are letters (see `zrecipe dlq check`), 2 a queue or file could
    /// not be read.
    #[command(after_help = "\
Columns: number of letters, queue (or file), recipe step of the failure, and reason.
Next:  zrecipe dlq diagnose QUEUE     whether reinjecting them can help, and what to do
       zrecipe dlq show QUEUE         their content")]
    List(Look),
    /// Show the content of dead letters, without passwords.
    ///
    /// The letters stay in their queues. On RabbitMQ, reading is a delivery (see `zrecipe dlq list --help`).
    ///
    /// Exit codes: 0 the queues were read, 2 a queue or file could not be read.
    #[command(after_help = "\
Examples:  zrecipe dlq show images --limit 1      the first letter of dlq.images
           zrecipe dlq show DLQ/2026-11-24        files written by `purge`")]
    Show(Look),
    /// Count the dead letters of each queue, and exit with code 1 if there are any.
    ///
    /// Letters that another tool currently holds are included if RabbitMQ's management API reports them (a block of the
    /// plugin `rabbitmqapi` in the environment). The API also lists the queues; without it, name them. Letters of runs
    /// on this machine are not included: a note refers to `zrecipe runs`, which counts them.
    ///
    /// Exit codes: 0 no dead letters, 1 dead letters, 2 a queue could not be read.
    #[command(after_help = "Columns: number of letters, and their queue. Next: `zrecipe dlq diagnose QUEUE`.")]
    Check(check::Check),
    /// Move dead letters to files, and print their paths.
    ///
    /// Existing files are never overwritten, and a letter leaves its queue only when its file is safely on disk. After
    /// an interruption, run the same command again: a letter that already has a file does not get a second one.
    /// `zrecipe dlq reinject -r DIR` sends the letters back.
    ///
    /// On RabbitMQ, after SIGKILL the few letters that were being moved have one more delivery. A letter that was
    /// redelivered twice is replaced by a copy before its file is written. So the delivery limit of the queue does not
    /// drop it.
    Purge(purge::Purge),
    /// Send letters from files back to their original queues.
    ///
    /// Paths are also read from standard input, in the format that `purge` prints. Ctrl-C waits until the current
    /// letter is confirmed.
    ///
    /// If the command or the broker is killed during a send, it is unknown whether the broker has the letter. Run the
    /// same command again with `--remove`: it searches the destination queue for the letter and skips the letter if it
    /// is there. This requires the management API (plugin `rabbitmqapi`) and a queue without consumers, because a
    /// consumer may already have taken the letter. Otherwise the letter is sent again with the same id, so that it is
    /// not lost, and it is listed at the end. Services of zrecipe process it once, Python services twice.
    ///
    /// Exit codes: 0 all letters were sent, or there was no input; 1 some were not sent and are still in their files; 2
    /// a file or the broker could not be used.
    Reinject(reinject::Reinject),
    /// Show why letters were dead-lettered, whether reinjecting them can help, and what to do.
    ///
    /// Each letter is checked against the current versions of its recipe and of the contract of its service. Similar
    /// letters are reported together. The letters stay in their queues. On RabbitMQ, reading is a delivery (see
    /// `zrecipe dlq list --help`).
    ///
    /// Exit codes: 0 the queues were read, 2 a queue or file could not be read.
    #[command(after_help = "\
Examples:  zrecipe dlq diagnose             all dead-letter queues
           zrecipe dlq diagnose images      one queue
           zrecipe dlq diagnose DLQ         files written by `purge`")]
    Diagnose(Look),
    /// Replace the recipe in dead letters with a corrected one, and send them.
    ///
    /// Each letter is sent to the step of the new recipe that corresponds to the step at which it failed. Steps are
    /// matched by service and queue, by their path from the start, and by their parameters, not only by number. If the
    /// match is ambiguous, the letter is skipped and stays in its queue. The change is shown first. A letter leaves its
    /// queue only when the broker has confirmed the new message.
    ///
    /// The parameters of the recipe come from `-p` and from the dispatcher's logbook
    /// (`zocalo.dispatcher.logbook_location` of the site), by the recipe ID of the letter. A recipe without
    /// placeholders needs none, for example `recipe` in the output of `zrecipe show ID --json`.
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
