//! What `diff` shows and `apply` does: a broker compared with a configuration, and changed to what that describes.

use super::described::Described;
use crate::cli::broker::EnvironmentArgs;
use crate::cli::confirm::confirm;
use crate::cli::executor::block_on;
use crate::cli::{Error, Session, print, say, say_error};
use zrecipe_language::lint::nearest;
use zrecipe_language::topology::users::User;
use zrecipe_language::value::Value;
use zrecipe_runtime::ops::definitions::{self, Change, Choices, Kind, Live, Progress, compare, shown};

#[derive(Debug, clap::Args)]
pub struct Compared {
    #[command(flatten)]
    described: Described,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Delete and recreate this queue or exchange if it cannot be changed in place (repeatable).
    #[arg(long, value_name = "NAME")]
    recreate: Vec<String>,
    /// Delete this queue, exchange or virtual host even if it is in use (repeatable); requires `--discard-messages`.
    #[arg(long, value_name = "NAME", requires = "discard_messages")]
    remove: Vec<String>,
    /// Discard the messages in the objects named by `--recreate` and `--remove`.
    #[arg(long)]
    discard_messages: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Holds the broker against a configuration, and changes it, without asking where `yes`.
pub fn compare_with(args: &Compared, session: &Session, apply: Option<bool>) -> Result<(), Error> {
    // Their 1 is for a difference that somebody has seen.
    let untold = |error: Error| if error.is_findings() { Error::exit(2) } else { error };
    let (compilation, users) = args.described.read(session).map_err(untold)?;
    let topology = compilation.document.broker().ok_or_else(|| Error::exit(2))?;
    let management = args.environment.read(session)?.definitions()?;
    let users: Vec<&User> = users.iter().map(|(user, _)| user).collect();
    let (recreate, remove) = (args.recreate.clone(), args.remove.clone());
    let choices = Choices { recreate, remove, discard_messages: args.discard_messages };
    block_on(async {
        let mut kinds = vec![Kind::Vhost];
        kinds.extend((!users.is_empty()).then_some(Kind::User));
        kinds.extend((!topology.permissions.is_empty()).then_some(Kind::Permission));
        let live = Live::read(&management, &kinds).await?;
        let mut found = compare(&definitions::wanted(topology, &users, &live), &live, &choices);
        for (option, names) in [("--recreate", &args.recreate), ("--remove", &args.remove)] {
            let may_be = |change: &&definitions::Change| match change.action {
                definitions::Action::Recreate => option == "--recreate",
                definitions::Action::Remove => option == "--remove",
                definitions::Action::Create | definitions::Action::Update => false,
            };
            let known: Vec<&str> = found.iter().filter(may_be).map(|change| change.thing.name.as_str()).collect();
            for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
                say(&format!("warning: `{option} {name}` has no effect: there is no such object to change"));
                if let Some(meant) = nearest(name, known.iter().copied()) {
                    say_error(&format!("  help: did you mean `{meant}`?"));
                }
            }
        }
        for [why, help] in definitions::hold_back(&mut found, &live).iter().map(shown::lack) {
            say_error(&format!("error: {why}\n  help: {help}"));
        }
        definitions::protect(&mut found, &live);
        let to_do = found.iter().filter(|change| change.hold.is_none()).count();
        if !args.json {
            found.iter().try_for_each(|change| print(&(shown::line(change) + "\n")))?;
            say(&format!("{} at {}", shown::summary(&found), management.place()));
        }
        if let Some(yes) = apply
            && to_do > 0
        {
            confirm("change the broker?", yes)?;
            let make = async |change: &Change| definitions::make(&management, change).await;
            definitions::apply(&mut found, &live, make, tell).await;
            let count = found.iter().filter(|change| change.progress == Progress::Made).count();
            say(&format!("{count} of {to_do} changes made"));
        }
        if args.json {
            let document = Value::from([
                ("version", Value::from(1)),
                ("broker", Value::from(management.place())),
                ("changes", Value::Array(found.iter().map(shown::json).collect())),
            ]);
            print(&(document.to_json_pretty() + "\n"))?;
        }
        let is_left = found.iter().any(|change| change.progress != Progress::Made);
        let is_difference = if apply.is_some() { is_left } else { !found.is_empty() };
        if is_difference { Err(Error::findings()) } else { Ok(()) }
    })
}

/// Reports what could not be done, and what is done about that.
fn tell(change: &Change) {
    let what = format!("{} {}", change.thing.kind.name(), change.thing.name);
    match (&change.progress, &change.hold) {
        (Progress::Failed(why), _) => {
            say_error(&format!("error: {what}: {why}"));
            if change.action == definitions::Action::Recreate {
                say_error("  help: run `apply` again to create it if the deletion succeeded");
            }
        }
        (Progress::Made, _) if change.is_repair => {
            say(&format!("note: {what} was restored: an object that stays needs it"));
        }
        (Progress::Planned, Some(_)) => say(&format!("note: {}", shown::line(change))),
        _ => {}
    }
}
