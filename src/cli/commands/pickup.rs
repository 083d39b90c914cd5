//! `zrecipe pickup`: requests that were kept while the broker could not be reached.

use std::time::Duration;

use crate::cli::broker::EnvironmentArgs;
use crate::cli::executor::block_on;
use crate::cli::outages::Outages;
use crate::cli::submit::{Target, connect, look, refusal};
use crate::cli::terminal::is_verbose;
use crate::cli::{Error, Session, say, say_error};
use zrecipe_broker::message::headers::REQUEST_HOST;
use zrecipe_broker::transport::{self, Endpoint};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::secret::hidden;
use zrecipe_language::value::Value;
use zrecipe_runtime::ops::drop_files::{self, DropFile};

/// Send the requests that were saved while the broker was unavailable, oldest first
///
/// Requests are read from the directory of the site (`zocalo.go.fallback_location`) in which `zrecipe go` and
/// `zocalo.go` save them. Each file is removed when the broker has confirmed its request. A file that cannot be used is
/// reported and skipped, the others are sent, and the exit code is 1.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seconds to wait between requests.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 2)]
    delay: u64,
    /// Seconds to wait before the first request.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// Print what would be sent and check whether the queue exists, without sending anything.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    environment: EnvironmentArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let target = Target::new(session, &args.environment)?;
    let directory = target.fallback()?;
    let _lock = drop_files::lock(&directory)?;
    // What is younger than the wait may still be under way.
    std::thread::sleep(Duration::from_secs(args.wait));
    let (files, mut faults) = drop_files::list(&directory)?;
    say(&format!("{} in {}", counted(files.len(), "request"), directory.display()));
    if !files.is_empty() {
        let endpoint = target.broker()?;
        faults.extend(block_on(send(args, &*endpoint, files))?);
    }
    faults.iter().for_each(|fault| say_error(&format!("error: {fault}")));
    if faults.is_empty() { Ok(()) } else { Err(Error::findings()) }
}

/// Sends the files; which of them could not be sent, though others could.
async fn send(args: &Args, endpoint: &dyn Endpoint, files: Vec<DropFile>) -> Result<Vec<drop_files::Error>, Error> {
    let broker = connect(endpoint, "pickup").await?;
    let _outages = Outages::of(&*broker);
    look(endpoint, &*broker).await.map_err(refusal)?;
    let (mut refused, count) = (Vec::new(), files.len());
    for (number, file) in (1..).zip(files) {
        if is_verbose() {
            say(&hidden("", file.message.clone()).to_json_pretty());
        }
        let what = format!("{} ({number} of {count})", describe(&file));
        if args.dry_run {
            say(&format!("would send {what}"));
            continue;
        }
        if number > 1 {
            tokio::time::sleep(Duration::from_secs(args.delay)).await;
        }
        match broker.send(vec![file.to_message()]).await {
            Ok(()) => {
                file.remove()?;
                say(&format!("sent {what}"));
            }
            Err(transport::Error::Refused { reason, .. } | transport::Error::Unsendable { reason, .. }) => {
                let reason = format!("the broker rejected it: {reason}");
                refused.push(drop_files::Error::Malformed { path: file.path, reason });
            }
            // What holds for one holds for all.
            Err(error) => return Err(refusal(error)),
        }
    }
    let _ = broker.close().await;
    Ok(refused)
}

/// A request for people: its file, where it comes from, and what it asks for.
fn describe(file: &DropFile) -> String {
    let names = file.message.get("recipes").and_then(Value::as_array).unwrap_or_default();
    let names = names.iter().filter_map(Value::as_str).map(|name| format!("`{name}`"));
    let custom = file.message.get("custom_recipe").is_some_and(Value::is_truthy);
    let names: Vec<String> = custom.then(|| "its own recipe".to_owned()).into_iter().chain(names).collect();
    let host = file.headers.get(REQUEST_HOST).and_then(Value::as_str).unwrap_or("an unknown host");
    let what = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    let again = if file.may_be_sent() { "; the broker may already have it" } else { "" };
    format!("{} from {host}{what}{again}", file.path.display())
}
