//! `zrecipe broker`: what a broker configuration amounts to, and bringing a broker to that.

use std::path::PathBuf;

use crate::cli::broker::EnvironmentArgs;
use crate::cli::confirm::confirm;
use crate::cli::progress::{align, block_on};
use crate::cli::{Error, Session, changes, print, say};
use zrecipe_language::compile::Compilation;
use zrecipe_language::diagnostic::Level;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::lint::nearest;
use zrecipe_language::secret::hidden;
use zrecipe_language::source::{Source, Unit};
use zrecipe_language::topology::users::{self, User};
use zrecipe_language::topology::{Destination, Policy, Queue, Topology};
use zrecipe_language::value::{Object, Value};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::library::{self, read};
use zrecipe_runtime::ops::definitions::{self, Change, Choices, Kind, Live, Progress, compare};

/// Bring a broker to what a configuration describes, and see before what that changes
///
/// The configuration is the file that `zocalo.configure_rabbitmq` takes. `plan` shows what it describes, `diff` what
/// the broker has otherwise, and `apply` changes the broker.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Args)]
struct Described {
    /// The configuration, as `zocalo.configure_rabbitmq` takes it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Files with a user each, or directories with such files: `*.ini`.
    #[arg(value_name = "USERS")]
    users: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Compared {
    #[command(flatten)]
    described: Described,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Make this queue or exchange anew where it cannot be changed (repeatable).
    #[arg(long, value_name = "NAME")]
    recreate: Vec<String>,
    /// Remove this queue, exchange or virtual host although it is in use (repeatable); needs `--discard-messages`.
    #[arg(long, value_name = "NAME", requires = "discard_messages")]
    remove: Vec<String>,
    /// Lose the messages of what `--recreate` and `--remove` name.
    #[arg(long)]
    discard_messages: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print everything that the broker would have: queues, exchanges, bindings, policies, users
    ///
    /// Groups are written out, with the dead-letter queues that are made for them, and every policy says what it
    /// applies to. A configuration with errors is not printed: then they are, and the exit code is 1. Passwords are
    /// never shown.
    Plan {
        #[command(flatten)]
        described: Described,
        /// How to print it.
        #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
        format: String,
        /// The same as `--format json`.
        #[arg(long)]
        json: bool,
    },
    /// Show what `apply` would change; changes nothing
    ///
    /// `+` is made, `~` changed, `±` removed and made anew, `-` removed, and `!` left as it is, with the reason and what
    /// to do. Policies, queues, exchanges and bindings that the broker has and the file does not describe are removed;
    /// users, virtual hosts and permissions only where any are given. What is temporary, `amq.*` and the virtual host
    /// `/` stay.
    ///
    /// The broker is asked by its management API, which a block of plugin `rabbitmqapi` in the site names.
    ///
    /// Exit codes: 0 no difference, 1 there is one, 2 could not tell.
    Diff(Compared),
    /// Change the broker to what the file describes, after showing the changes and asking
    ///
    /// First everything is made and changed, then what is too much is removed, so that no message is without a queue in
    /// between. A queue with messages or consumers is never removed unless that is said twice: `--recreate QUEUE` (or
    /// `--remove QUEUE` for one that the file does not describe) and `--discard-messages`. Applying twice changes nothing
    /// the second time, and after an interruption it can be called again.
    ///
    /// Exit codes: 0 the broker is as described, 1 something was left as it is or refused, 2 could not do it.
    #[command(after_help = "At night: `zrecipe broker diff FILE` first. Lines with `!` say what stands in the way.")]
    Apply {
        #[command(flatten)]
        compared: Compared,
        /// Do not ask. Without a terminal nothing is changed unless this is given.
        #[arg(short, long)]
        yes: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    match &args.action {
        Action::Plan { described, format, json: is_json } => {
            let (compilation, users) = described.read(session)?;
            let topology = compilation.document.broker().ok_or_else(Error::findings)?;
            let is_json = *is_json || format == "json";
            print(&if is_json {
                hidden("", json(topology, &users)).to_json_pretty() + "\n"
            } else {
                table(topology, &users)
            })
        }
        Action::Diff(compared) => compare_with(compared, session, None),
        Action::Apply { compared, yes } => compare_with(compared, session, Some(*yes)),
    }
}

impl Described {
    /// The configuration without a fault, and the users; or else its faults have been told.
    fn read(&self, session: &Session) -> Result<(Compilation, Vec<(User, String)>), Error> {
        let compilation = configuration(&self.file, session)?;
        let (users, are_sound) = read_users(&self.users, session)?;
        let Some(topology) = compilation.document.broker().filter(|_| !compilation.has_errors()) else {
            session.explain_from(Level::Error, &[compilation]);
            return Err(Error::findings());
        };
        let are_known = users.is_empty() || know_all(&users, topology);
        if are_sound && are_known { Ok((compilation, users)) } else { Err(Error::findings()) }
    }
}

/// Holds the broker against a configuration, and changes it, without asking where `yes`.
fn compare_with(args: &Compared, session: &Session, apply: Option<bool>) -> Result<(), Error> {
    // Their 1 is for a difference that somebody has seen.
    let untold = |error: Error| if error.is_findings() { Error::exit(2) } else { error };
    let (compilation, users) = args.described.read(session).map_err(untold)?;
    let topology = compilation.document.broker().ok_or_else(|| Error::exit(2))?;
    let management = args.environment.read(session)?.management()?;
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
                say(&format!(
                    "warning: `{option} {name}` changes nothing: there is nothing of this name to do that to"
                ));
                if let Some(meant) = nearest(name, known.iter().copied()) {
                    say(&format!("  help: did you mean `{meant}`?"));
                }
            }
        }
        for [why, help] in definitions::hold_back(&mut found, &live).iter().map(changes::lack) {
            say(&format!("error: {why}\n  help: {help}"));
        }
        definitions::protect(&mut found, &live);
        let to_do = found.iter().filter(|change| change.hold.is_none()).count();
        if !args.json {
            found.iter().try_for_each(|change| print(&(changes::line(change) + "\n")))?;
            say(&format!("{} at {}", changes::summary(&found), management.place()));
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
                ("changes", Value::Array(found.iter().map(changes::json).collect())),
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
            say(&format!("error: {what}: {why}"));
            if change.action == definitions::Action::Recreate {
                say("  help: if it is gone now, applying again creates it");
            }
        }
        (Progress::Made, _) if change.is_repair => {
            say(&format!("note: {what} is as it was: something that stays needs it"));
        }
        (Progress::Planned, Some(_)) => say(&format!("note: {}", changes::line(change))),
        _ => {}
    }
}

fn configuration(file: &std::path::Path, session: &Session) -> Result<Compilation, Error> {
    let source = read(file, &file.to_string_lossy(), session.settings.max_bytes())?;
    let request = CheckOptions { path: Some(file), kind: Some(DocumentKind::Broker), ..CheckOptions::default() };
    session.judge(source, request)
}

/// The users in files, in the order of their names, and whether the files are as they should be.
///
/// What is wrong is told without the line that it is in, which may hold a password.
fn read_users(paths: &[PathBuf], session: &Session) -> Result<(Vec<(User, String)>, bool), Error> {
    let mut found: Vec<(User, String)> = Vec::new();
    let mut are_sound = true;
    let mut files = Vec::new();
    for path in paths {
        files.extend(if path.is_dir() { library::matching(&path.join("**/*.ini"))? } else { vec![path.clone()] });
    }
    for path in files {
        let name = path.to_string_lossy().into_owned();
        let source: Source = read(&path, &name, session.settings.max_bytes())?;
        let reading = users::read(&source);
        for fault in &reading.faults {
            let line = source.position(fault.span.start, Unit::Char).line;
            say(&format!("{name}:{line}: error: {}", fault.message));
            are_sound = false;
        }
        let Some(user) = reading.user else { continue };
        if let Some((_, other)) = found.iter().find(|(known, _)| known.name == user.name) {
            say(&format!("{name}: error: user `{}` is described in {other}, too", user.name));
            are_sound = false;
        }
        found.push((user, name));
    }
    found.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok((found, are_sound))
}

/// Whether all who have permissions are among the users, which replace all others.
fn know_all(users: &[(User, String)], topology: &Topology) -> bool {
    let is_unknown = |name: &str| users.iter().all(|(user, _)| user.name != name);
    let mut names: Vec<&str> = topology.permissions.iter().map(|rights| rights.user.text.as_str()).collect();
    names.retain(|name| is_unknown(name));
    names.sort_unstable();
    names.dedup();
    for name in &names {
        say(&format!("error: user `{name}` has permissions and is described in none of the files"));
    }
    names.is_empty()
}

/// Things in the order of their names, those of one virtual host together.
fn sorted<'t, T>(items: &'t [T], key: impl Fn(&'t T) -> (&'t str, &'t str)) -> Vec<&'t T> {
    let mut items: Vec<&T> = items.iter().collect();
    items.sort_by_key(|item| key(item));
    items
}

fn policies(topology: &Topology) -> Vec<&Policy> {
    sorted(&topology.policies, |policy| (&policy.vhost.text, &policy.name.text))
}

fn queues(topology: &Topology) -> Vec<&Queue> {
    sorted(&topology.queues, |queue| (&queue.vhost.text, &queue.name.text))
}

/// The names of the queues and exchanges to which a policy applies, each kind in order.
fn applies_to<'t>(topology: &'t Topology, policy: &Policy) -> (Vec<&'t str>, Vec<&'t str>) {
    let counts = |queue: &&Queue| topology.policy_of(queue).is_some_and(|found| std::ptr::eq(found, policy));
    let queues = queues(topology).into_iter().filter(counts).map(|queue| queue.name.text.as_str()).collect();
    let exchanges = sorted(&topology.exchanges, |exchange| (&exchange.vhost.text, &exchange.name.text));
    let exchanges = exchanges
        .into_iter()
        .filter(|exchange| topology.policy_of_exchange(exchange).is_some_and(|found| std::ptr::eq(found, policy)));
    (queues, exchanges.map(|exchange| exchange.name.text.as_str()).collect())
}

fn json(topology: &Topology, users: &[(User, String)]) -> Value {
    let text = |text: &str| Value::from(text);
    let vhosts = sorted(&topology.vhosts, |vhost| (&vhost.name.text, "")).into_iter().map(|vhost| {
        Value::from([
            ("name", text(&vhost.name.text)),
            ("description", text(&vhost.description)),
            ("tags", Value::from(vhost.tags.clone())),
            ("tracing", Value::Bool(vhost.tracing)),
        ])
    });
    let users = users.iter().map(|(user, file)| {
        Value::from([("name", text(&user.name)), ("tags", Value::from(user.tags.clone())), ("file", text(file))])
    });
    let rights = sorted(&topology.permissions, |rights| (&rights.vhost.text, &rights.user.text));
    let permissions = rights.into_iter().map(|rights| {
        let pattern = |right: &Option<(zrecipe_language::topology::Pattern, _)>| {
            Value::from(right.as_ref().map(|(pattern, _)| pattern.as_str()))
        };
        Value::from([
            ("vhost", text(&rights.vhost.text)),
            ("user", text(&rights.user.text)),
            ("configure", pattern(&rights.configure)),
            ("write", pattern(&rights.write)),
            ("read", pattern(&rights.read)),
        ])
    });
    let policies = policies(topology).into_iter().map(|policy| {
        let (queues, exchanges) = applies_to(topology, policy);
        Value::from([
            ("vhost", text(&policy.vhost.text)),
            ("name", text(&policy.name.text)),
            ("pattern", text(policy.pattern.as_str())),
            ("apply-to", text(policy.apply_to())),
            ("priority", Value::from(policy.priority)),
            ("definition", Value::Object((*policy.definition).clone())),
            ("queues", Value::from(queues)),
            ("exchanges", Value::from(exchanges)),
        ])
    });
    let exchanges = sorted(&topology.exchanges, |exchange| (&exchange.vhost.text, &exchange.name.text));
    let bindings = sorted(&topology.bindings, |binding| (&binding.vhost.text, &binding.destination.text));
    let queues = queues(topology).into_iter().map(|queue| {
        let mut definition = match queue.definition() {
            Value::Object(definition) => definition,
            _ => Object::new(),
        };
        let name = |name: Option<&str>| Value::from(name);
        definition.insert("policy".to_owned(), name(topology.policy_of(queue).map(|policy| policy.name.text.as_str())));
        let letters = topology.dead_letter_queue(queue).map(|queue| queue.name.text.as_str());
        definition.insert("dead_letter_queue".to_owned(), name(letters));
        Value::Object(definition)
    });
    Value::from([
        ("version", Value::from(1)),
        ("vhosts", Value::Array(vhosts.collect())),
        ("users", Value::Array(users.collect())),
        ("permissions", Value::Array(permissions.collect())),
        ("policies", Value::Array(policies.collect())),
        ("exchanges", Value::Array(exchanges.into_iter().map(|exchange| exchange.definition()).collect())),
        ("bindings", Value::Array(bindings.into_iter().map(|binding| binding.definition()).collect())),
        ("queues", Value::Array(queues.collect())),
    ])
}

/// Tables of what there is, an empty line between two.
fn table(topology: &Topology, users: &[(User, String)]) -> String {
    let mut tables: Vec<String> = Vec::new();
    fn add<const N: usize>(tables: &mut Vec<String>, head: [&str; N], rows: Vec<[String; N]>) {
        if !rows.is_empty() {
            let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
            tables.push(align(&rows));
        }
    }
    let vhosts = sorted(&topology.vhosts, |vhost| (&vhost.name.text, ""));
    let vhosts =
        vhosts.into_iter().map(|vhost| [vhost.name.text.clone(), vhost.tags.join(","), vhost.description.clone()]);
    add(&mut tables, ["virtual host", "tags", "description"], vhosts.collect());
    let users = users.iter().map(|(user, file)| [user.name.clone(), or_dash(user.tags.join(",")), file.clone()]);
    add(&mut tables, ["user", "tags", "file"], users.collect());
    let rights = sorted(&topology.permissions, |rights| (&rights.vhost.text, &rights.user.text));
    let rights = rights.into_iter().map(|rights| {
        let pattern = |right: &Option<(zrecipe_language::topology::Pattern, _)>| {
            or_dash(right.as_ref().map_or(String::new(), |(pattern, _)| pattern.as_str().to_owned()))
        };
        let (configure, write, read) = (pattern(&rights.configure), pattern(&rights.write), pattern(&rights.read));
        [rights.user.text.clone(), rights.vhost.text.clone(), configure, write, read]
    });
    add(&mut tables, ["permissions of", "virtual host", "configure", "write", "read"], rights.collect());
    let policies = policies(topology).into_iter().map(|policy| {
        let (queues, exchanges) = applies_to(topology, policy);
        let count = |names: Vec<&str>, one: &str| match names.as_slice() {
            [] => None,
            [only] => Some(format!("{one} {only}")),
            many => Some(format!("{} {one}s", many.len())),
        };
        let to: Vec<String> = count(queues, "queue").into_iter().chain(count(exchanges, "exchange")).collect();
        let to = if to.is_empty() { "nothing declared here".to_owned() } else { to.join(", ") };
        let (name, vhost) = (policy.name.text.clone(), policy.vhost.text.clone());
        let pattern = policy.pattern.as_str().to_owned();
        [name, vhost, policy.priority.to_string(), pattern, settings(&policy.definition), to]
    });
    let head = ["policy", "virtual host", "priority", "pattern", "settings", "applies to"];
    add(&mut tables, head, policies.collect());
    let exchanges = sorted(&topology.exchanges, |exchange| (&exchange.vhost.text, &exchange.name.text));
    let exchanges = exchanges.into_iter().map(|exchange| {
        let durable = if exchange.durable { "durable" } else { "transient" }.to_owned();
        let (name, vhost) = (exchange.name.text.clone(), exchange.vhost.text.clone());
        [name, vhost, exchange.kind.clone(), durable, or_dash(settings(&exchange.arguments))]
    });
    add(&mut tables, ["exchange", "virtual host", "type", "durability", "arguments"], exchanges.collect());
    let queues = queues(topology).into_iter().map(|queue| {
        let letters = match (topology.dead_letters(queue), topology.dead_letter_queue(queue)) {
            (_, Some(queue)) => queue.name.text.clone(),
            (Some((exchange, _)), None) => format!("exchange {exchange}"),
            (None, None) => "-".to_owned(),
        };
        let single = queue.arguments.get("x-single-active-consumer").is_some_and(Value::is_truthy);
        let consumers = if single { "one at a time" } else { "many" }.to_owned();
        let policy = topology.policy_of(queue).map_or("-", |policy| &policy.name.text).to_owned();
        [queue.name.text.clone(), queue.vhost.text.clone(), queue.kind().to_owned(), consumers, letters, policy]
    });
    add(&mut tables, ["queue", "virtual host", "type", "consumers", "dead letters", "policy"], queues.collect());
    // The default exchange leads to every queue by itself.
    let bindings = sorted(&topology.bindings, |binding| (&binding.vhost.text, &binding.destination.text));
    let bindings = bindings.into_iter().filter(|binding| !binding.source.text.is_empty()).map(|binding| {
        let to = match binding.kind {
            Destination::Queue => binding.destination.text.clone(),
            Destination::Exchange => format!("exchange {}", binding.destination.text),
        };
        let vhost = binding.vhost.text.clone();
        [binding.source.text.clone(), to, vhost, binding.routing_key.clone(), or_dash(settings(&binding.arguments))]
    });
    add(&mut tables, ["binding from", "to", "virtual host", "routing key", "arguments"], bindings.collect());
    tables.join("\n")
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// `name=value` for each.
fn settings(object: &Object) -> String {
    let show = |(key, value): (&String, &Value)| match hidden(key, value.clone()) {
        Value::String(text) if !text.is_empty() && !text.contains(' ') => format!("{key}={text}"),
        other => format!("{key}={}", other.to_json()),
    };
    object.iter().map(show).collect::<Vec<_>>().join(" ")
}
