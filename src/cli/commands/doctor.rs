//! `zrecipe doctor`: what is wrong with the broker and with what a project needs of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::broker::runs::loss;
use crate::cli::broker::{Environment, EnvironmentArgs, say_only_read};
use crate::cli::executor::block_on;
use crate::cli::{Error, Session, print};
use zrecipe_broker::message::{Destination, REQUEST_QUEUE};
use zrecipe_broker::transport::{self, Creation, Endpoint, Subscription, Transport};
use zrecipe_language::value::Value;
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::regular;
use zrecipe_runtime::ops::apis::{Api, Subject};
use zrecipe_runtime::ops::checkup::{self, Finding, Needs, Severity};
use zrecipe_runtime::ops::management::refresh;
use zrecipe_runtime::runtime::run::{INTERRUPTED, Runs, destinations};
use zrecipe_runtime::runtime::status::TOPIC;

/// Diagnose problems of the broker, and suggest a fix for each
///
/// Checks the connection to each host with TLS and login; the permissions of the user; the queues that recipes and
/// contracts of the project need; the topics of services; delays; queues that hold messages but have no consumers; dead
/// letters; versions; the broker's clock; disk and memory. For the embedded broker it checks the directory, the free
/// disk space and the integrity of the database. It changes nothing and sends no message to any service.
///
/// Most checks use RabbitMQ's management API, configured by a block of the plugin `rabbitmqapi` in the site. Its user
/// needs the tag `monitoring`, and `administrator` to read permissions. Without that tag, the command tests whether the
/// user of `pika` can subscribe to topics and publish.
///
/// ActiveMQ is queried through Jolokia, configured by a block of the plugin `jmx`. To find the queue for rejected
/// messages, the command rejects a message in the queue `zrecipe.probe` and then removes it.
///
/// Exit codes: 0 no problems, 1 problems found, 2 the broker could not be checked.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let mut found = Vec::new();
    let needs = needs(session, &environment, &mut found);
    block_on(async {
        match environment.directory() {
            Some(directory) => local(&environment, directory, &needs, &mut found).await,
            None => remote(&environment, &needs, &mut found).await,
        }
        Ok(())
    })?;
    if args.json {
        let findings = found.iter().map(|it| {
            Value::from([
                ("severity", Value::from(it.severity.name())),
                ("about", Value::from(it.about)),
                ("text", Value::from(it.text.as_str())),
                ("help", Value::from(it.help.as_deref())),
            ])
        });
        let document = Value::from([
            ("version", Value::from(1)),
            ("broker", Value::from(environment.place())),
            ("findings", Value::Array(findings.collect())),
        ]);
        print(&(document.to_json_pretty() + "\n"))?;
    } else {
        let mut text = format!("{}\n", environment.place());
        for it in &found {
            text.push_str(&format!("{:<8} {:<13} {}\n", it.severity.name(), it.about, it.text));
            if let Some(help) = &it.help {
                text.push_str(&format!("{:<8} {:<13} help: {help}\n", "", ""));
            }
        }
        print(&text)?;
    }
    if found.iter().any(|it| it.severity > Severity::Fine) { Err(Error::findings()) } else { Ok(()) }
}

/// The queues that the project needs, and for what; says which recipes and contracts cannot be read.
fn needs(session: &Session, environment: &Environment, found: &mut Vec<Finding>) -> Needs {
    let mut needs = Needs::new();
    let library = environment.library(session);
    for name in library.own_names() {
        let help = format!("run `zrecipe check {name}` to see all errors");
        match session.compile_in(&library, std::slice::from_ref(&name), CheckOptions::default()) {
            Ok(compiled) => {
                for compilation in compiled {
                    if compilation.has_errors() {
                        found.push(Finding::warning(
                            "recipes",
                            format!("the recipe `{name}` has errors"),
                            help.clone(),
                        ));
                    }
                    for (_, destination) in destinations(&compilation.recipe.to_value()) {
                        // What a parameter decides is known to nobody yet.
                        if let Destination::Queue(queue) = destination
                            && !queue.contains('{')
                        {
                            needs.entry(queue).or_insert_with(|| format!("the recipe `{name}`"));
                        }
                    }
                }
            }
            Err(error) => found.push(Finding::warning("recipes", error.message(), help)),
        }
    }
    match session.contracts() {
        Ok(contracts) => {
            for contract in contracts.programs() {
                for queue in contract.queues.iter().filter(|queue| !queue.contains('*')) {
                    let service = contract.names.first().map_or("?", String::as_str);
                    needs.entry(queue.clone()).or_insert_with(|| format!("the service `{service}`"));
                }
            }
        }
        Err(error) => found.push(Finding::error("contracts", error.message(), error.hints().join("; "))),
    }
    needs.entry(REQUEST_QUEUE.to_owned()).or_insert_with(|| "every client that submits requests".to_owned());
    needs
}

async fn remote(environment: &Environment, needs: &Needs, found: &mut Vec<Finding>) {
    let endpoint = environment.endpoint();
    let mut open: Option<Arc<dyn Transport>> = None;
    for node in endpoint.nodes() {
        match node.endpoint.connect("doctor").await {
            Ok(broker) => {
                found.push(Finding::fine("connection", node.title));
                match open {
                    None => open = Some(broker),
                    Some(_) => _ = broker.close().await,
                }
            }
            Err(error) => found.push(Finding::error("connection", error.to_string(), endpoint.remedy(&error))),
        }
    }
    let management = environment.management();
    match management {
        Ok(ref management) => {
            if let Err(error) = by_api(&**management, environment, open.as_deref(), needs, found).await {
                let said = Error::from(error);
                found.push(Finding::error("management", said.message(), said.hints().join("; ")));
            }
        }
        Err(ref error) => {
            found.push(Finding::warning("management", error.message(), error.hints().join("; ")));
            // What is there can be asked without it.
            for (queue, who) in needs {
                let Some(broker) = &open else { break };
                match broker.waiting(queue).await {
                    Err(transport::Error::NoSuchQueue(_)) => found.push(checkup::missing(queue, who)),
                    Err(error) => found.push(Finding::error("queues", error.to_string(), endpoint.remedy(&error))),
                    Ok(_) => {}
                }
            }
        }
    }
    if let Some(broker) = open {
        if !found.iter().any(|it| it.about == "permissions") {
            try_rights(&**endpoint, &*broker, found).await;
        }
        // One that takes nothing tells nothing, either.
        if !found.iter().any(|it| it.about == "broker") {
            try_rejecting(&**endpoint, &*broker, management.ok().as_deref(), found).await;
        }
        let _ = broker.close().await;
    }
}

/// Tries where rejected messages go, where nothing else tells it.
async fn try_rejecting(
    endpoint: &dyn Endpoint,
    broker: &dyn Transport,
    management: Option<&dyn Api>,
    found: &mut Vec<Finding>,
) {
    match broker.find_dead_letters().await {
        Ok(None) => {}
        Ok(Some(letters)) => {
            found.push(checkup::dead_letters(&letters.place));
            if let Some(management) = management {
                management.remove_empty(&letters.left_behind).await;
            }
        }
        Err(error) => found.push(Finding::warning("dead letters", error.to_string(), endpoint.remedy(&error))),
    }
}

/// Tries what services do, as far as that leaves nothing behind, where nobody may see the rights of the user.
async fn try_rights(endpoint: &dyn Endpoint, broker: &dyn Transport, found: &mut Vec<Finding>) {
    let reason = |error: transport::Error| match error {
        transport::Error::Unavailable { reason, .. } | transport::Error::Refused { reason, .. } => reason,
        other => other.to_string(),
    };
    let mut refused = Vec::new();
    let topic = Subscription { source: Destination::Topic(TOPIC.to_owned()), prefetch: 1 };
    match broker.subscribe(topic).await {
        Ok(_) | Err(transport::Error::NoSuchTopic(_)) => {}
        Err(error) => refused.push(format!("the user cannot subscribe to topics: {}", reason(error))),
    }
    match broker.try_send(Duration::ZERO).await {
        Ok(()) => {}
        Err(error @ transport::Error::Blocked(_)) => {
            found.push(Finding::error("broker", error.to_string(), endpoint.remedy(&error)));
        }
        Err(error) => refused.push(format!("the user cannot publish to queues: {}", reason(error))),
    }
    let lacks_none = refused.is_empty();
    found.extend(refused.into_iter().map(|text| Finding::error("permissions", text, endpoint.entry().grant)));
    let rest = if lacks_none { "the user can subscribe to topics and publish to queues; " } else { "" };
    found.push(Finding::warning(
        "permissions",
        format!("{rest}whether it can consume from the queues is unknown"),
        endpoint.entry().permissions,
    ));
}

/// What the management API tells.
async fn by_api(
    management: &dyn Api,
    environment: &Environment,
    broker: Option<&dyn Transport>,
    needs: &Needs,
    found: &mut Vec<Finding>,
) -> Result<(), zrecipe_runtime::ops::management::Error> {
    let endpoint = environment.endpoint();
    let subject = Subject { user: endpoint.user(), needs, grant: endpoint.entry().grant };
    found.extend(management.examine(&subject).await?);
    match environment.queues().await {
        Ok(mut queues) => {
            if let Some(broker) = broker.filter(|_| !environment.capabilities().is_exact) {
                refresh(broker, &mut queues).await;
            }
            let may_be_missing = environment.capabilities().creation != Creation::Declared;
            found.extend(checkup::queues(&queues, needs, may_be_missing));
        }
        Err(error) => found.push(Finding::error("queues", error.message(), error.hints().join("; "))),
    }
    Ok(())
}

/// Less than this is little, in bytes.
const LITTLE: u64 = 1 << 30;

async fn local(environment: &Environment, directory: &Path, needs: &Needs, found: &mut Vec<Finding>) {
    let place = directory.display();
    let other = "use another directory with `--state DIR` or `state-directory` in zrecipe.toml";
    let writable = regular::create_private_dir(directory).and_then(|()| tempfile::tempfile_in(directory).map(drop));
    if let Err(error) = writable {
        found.push(Finding::error("directory", format!("{place} is not writable: {error}"), other));
    } else {
        found.push(Finding::fine("directory", format!("{place} is writable")));
    }
    match rustix::fs::statvfs(directory) {
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let text = format!("{} MB are free in {place}", free >> 20);
            found.push(if free < LITTLE {
                Finding::warning("disk", text, "free some, or: ".to_owned() + other)
            } else {
                Finding::fine("disk", "1 GB or more is free")
            });
        }
        Err(error) => {
            found.push(Finding::warning("disk", format!("cannot determine the free space in {place}: {error}"), other))
        }
    }
    if let Err(error) = database(directory, found).await {
        return found.push(Finding::error("database", error.message(), other));
    }
    match environment.queues().await {
        // The embedded broker makes queues as they are needed.
        Ok(queues) => found.extend(checkup::queues(&queues, needs, true)),
        Err(error) => return found.push(Finding::error("broker", error.message(), other)),
    }
    match environment.runs(usize::MAX).await {
        Ok(runs) => {
            let stopped: Vec<_> = runs.iter().flatten().filter(|run| run.state == INTERRUPTED).collect();
            for run in &stopped {
                let text = format!("the run {} of {} was interrupted", run.id, run.title);
                found.push(Finding::warning("runs", text, format!("resume it with `zrecipe resume {}`", run.id)));
            }
            if stopped.is_empty() {
                found.push(Finding::fine("runs", "no run is interrupted"));
            }
        }
        Err(error) => found.push(Finding::error("runs", error.message(), other)),
    }
}

/// Whether the database is whole, and whether something is missing of it.
async fn database(directory: &Path, found: &mut Vec<Finding>) -> Result<(), Error> {
    let (runs, why) = Runs::open_to_read(directory).await?;
    if let Some(why) = why {
        say_only_read(&why.to_string());
    }
    let damages = match runs.damages().await {
        Ok(damages) => damages,
        Err(error) => vec![error.to_string()],
    };
    let help = "back up the directory; `zrecipe runs` and `zrecipe dlq list` show what can still be read; start with \
                another directory: `--state DIR`";
    match damages.as_slice() {
        [] => found.push(Finding::fine("database", "it is intact")),
        damages => found.push(Finding::error("database", format!("it is damaged: {}", damages.join("; ")), help)),
    }
    if let Some((count, noticed)) = runs.losses().await? {
        let help = "a backup of the directory needs all files whose names begin with `zrecipe.db`";
        found.push(Finding::warning("database", loss(count, noticed), help));
    }
    runs.close().await?;
    Ok(())
}
