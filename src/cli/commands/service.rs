//! `zrecipe service`: services on a broker, beside those of others.

use std::io::IsTerminal as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::cli::bridged;
use crate::cli::broker::{Environment, EnvironmentArgs};
use crate::cli::executor::block_on;
use crate::cli::progress::default_places;
use crate::cli::{Error, Session};
use zrecipe_broker::transport::{self, Transport};
use zrecipe_language::contract::Contracts;
use zrecipe_language::lint::nearest;
use zrecipe_runtime::runtime::facts;
use zrecipe_runtime::runtime::foreign::Foreign;
use zrecipe_runtime::runtime::health::{self, Broker, Health};
use zrecipe_runtime::runtime::instance::Instance;
use zrecipe_runtime::runtime::journal::Journal;
use zrecipe_runtime::runtime::metrics::Metrics;
use zrecipe_runtime::runtime::python::Interpreter;
use zrecipe_runtime::runtime::services;
use zrecipe_runtime::runtime::status::{Board, Identity, Status, host_id, hostname};
use zrecipe_runtime::runtime::surroundings::{Scope, Surroundings};
use zrecipe_runtime::runtime::{Room, Service};
use zrecipe_runtime::telemetry::traces::{Collector, Exports, Tracing};
use zrecipe_runtime::telemetry::{Guard, Logging, instances};

/// The help of `--service`, with the names of the built-in services.
fn built_in() -> String {
    let names: Vec<&str> = services::SERVICES.iter().map(|entry| entry.name).collect();
    let names = names.join(", ");
    format!(
        "Service to start (repeatable): {names}, a service whose contract has `run`, or the entry point of a Python service (a unique beginning is enough, except for an entry point)"
    )
}

/// Run services that consume messages from a broker
///
/// Services run alongside those of the Python packages, with the same queues, messages, status broadcasts and commands.
/// On SIGTERM, ctrl-c or `zrecipe shutdown`, they finish their current messages within `--grace`; a second signal stops
/// them immediately. Unfinished messages are redelivered. Without a site configuration, services use the embedded
/// broker.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(short, long = "service", value_name = "NAME", required = true, help = built_in())]
    services: Vec<String>,
    /// Additional contract, beside those of zrecipe.toml (repeatable).
    #[arg(long = "contract", value_name = "FILE")]
    contracts: Vec<std::path::PathBuf>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Number of instances of each service, each with its own identity.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    instances: u16,
    /// Maximum number of messages of a queue that an instance holds and processes at a time; the default depends on the
    /// service.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    prefetch: Option<u16>,
    /// Consume this queue instead of the service's own (repeatable).
    #[arg(long = "queue", value_name = "QUEUE")]
    queues: Vec<String>,
    /// Retry if the broker is unavailable or a queue does not exist at the start.
    #[arg(short, long)]
    restart: bool,
    /// Tag shown in the status of these instances.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Serve metrics (`/metrics`) and health (`/livez`, `/readyz`) over HTTP at this address, for example
    /// `localhost:9100`.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    http: Option<SocketAddr>,
    /// Maximum seconds to finish current messages after SIGTERM; then work is stopped, and its messages are
    /// redelivered.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    grace: u32,
}

/// Longer than any process runs.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Maximum time that services and the connection take to end when nothing is under way any more.
const FAREWELL: Duration = Duration::from_secs(15);

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let journal = environment.journal(session)?;
    block_on(async {
        let guard = log(session, &environment);
        let served = async {
            let services = services(args, session, &environment).await?;
            serve(args, &environment, services, journal).await
        };
        let served = served.await;
        guard.finish();
        served
    })
}

/// An address to listen at; a host may have a name.
fn address(text: &str) -> Result<SocketAddr, String> {
    let Some((host, port)) = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()) else {
        return Err("give a host and a port, such as `localhost:9100`, or `0.0.0.0:9100` for all interfaces".into());
    };
    if port.parse::<u16>().is_err() {
        return Err(format!("`{port}` is not a port number"));
    }
    let found = text.to_socket_addrs().map_err(|error| format!("cannot resolve host `{host}`: {error}"))?;
    found.into_iter().next().ok_or_else(|| format!("host `{host}` has no address"))
}

/// Each service and the queues it is to take messages from.
type Served = Vec<(Arc<dyn Service>, Vec<String>)>;

async fn services(args: &Args, session: &Session, environment: &Environment) -> Result<Served, Error> {
    let mut served = Served::new();
    let given = args.contracts.iter().map(|path| session.contract(path)).collect::<Result<Vec<_>, _>>()?;
    let given = Contracts::new(given);
    let settled = session.contracts()?;
    let surroundings = surroundings(session, environment)?;
    for name in &args.services {
        let service = match known(name, &given, settled, &surroundings).await? {
            Some(service) => service,
            None => match registered(name, &given, settled, &surroundings.python).await {
                Ok(service) => Arc::new(service),
                Err(error) => match beginning(name, &[&given, settled])? {
                    Some(full) => known(&full, &given, settled, &surroundings).await?.ok_or(error)?,
                    None => return Err(error),
                },
            },
        };
        if served.iter().any(|(other, _)| other.name() == service.name()) {
            return Err(
                Error::new(format!("service `{name}` is named twice")).hint("use `--instances N` to start several")
            );
        }
        let queues: Vec<String> = match args.queues.as_slice() {
            [] => service.queues(),
            given => given.iter().filter(|queue| service.serves(queue)).cloned().collect(),
        };
        if queues.is_empty() && !(args.queues.is_empty() && service.works_without_queues()) {
            let message = format!("service `{name}` consumes none of these queues");
            return Err(Error::new(message).hint(format!("it consumes `{}`", service.queues().join("`, `"))));
        }
        served.push((service, queues));
    }
    if let Some(queue) = args.queues.iter().find(|queue| served.iter().all(|(service, _)| !service.serves(queue))) {
        return Err(Error::new(format!("none of these services consumes queue `{queue}`")));
    }
    Ok(served)
}

/// A service of zrecipe or of a contract, whatever the case of its name.
async fn known(
    name: &str,
    given: &Contracts,
    settled: &Contracts,
    surroundings: &Surroundings<'_>,
) -> Result<Option<Arc<dyn Service>>, Error> {
    if let Some(entry) = services::service(name) {
        return Ok(Some((entry.make)(surroundings)?));
    }
    let mut programs = given.programs().chain(settled.programs());
    let is_meant = |known: &String| known.eq_ignore_ascii_case(name);
    let contract = programs.find(|contract| contract.names.iter().any(is_meant));
    let Some(service) = contract.and_then(|contract| Foreign::new(Arc::clone(contract), &surroundings.python)) else {
        return Ok(None);
    };
    bridged::open(&service, &surroundings.python).await?;
    Ok(Some(Arc::new(service)))
}

/// The names of services that can be started without asking Python.
fn names<'c>(contracts: &[&'c Contracts]) -> Vec<&'c str> {
    let programs = contracts.iter().flat_map(|contracts| contracts.programs()).map(|contract| contract.name());
    services::SERVICES.iter().map(|entry| entry.name).chain(programs).collect()
}

/// The only service whose name begins so, as `zocalo.service` takes it: the same case counts more.
///
/// # Errors
/// Several begin so.
fn beginning(name: &str, contracts: &[&Contracts]) -> Result<Option<String>, Error> {
    let mut names = names(contracts);
    names.sort_unstable();
    names.dedup();
    let folded = name.to_lowercase();
    let exact: Vec<&str> = names.iter().copied().filter(|known| known.starts_with(name)).collect();
    let found = match exact.is_empty() {
        true => names.into_iter().filter(|known| known.to_lowercase().starts_with(&folded)).collect(),
        false => exact,
    };
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some((*only).to_owned())),
        several => Err(Error::new(format!("several services begin with `{name}`"))
            .hint(format!("the services are `{}`", several.join("`, `")))),
    }
}

/// What services of this environment are made from.
fn surroundings<'s>(session: &'s Session, environment: &'s Environment) -> Result<Surroundings<'s>, Error> {
    let state = session.state_directory()?;
    Ok(Surroundings {
        scope: Scope::Site,
        plugins: environment.plugins(),
        site: environment.site(),
        environments: environment.names(),
        settings: &session.settings,
        python: bridged::interpreter(session, environment.names())?,
        library: environment.library(session),
        journal: environment.journal(session)?,
        state,
        directory: std::env::current_dir()?,
        places: default_places(),
        variables: environment.variables(session)?,
    })
}

/// The service that a Python package registers under this name.
async fn registered(
    name: &str,
    given: &Contracts,
    settled: &Contracts,
    python: &Interpreter,
) -> Result<Foreign, Error> {
    let contracts = [given, settled];
    match bridged::by_name(name, settled, python, |service| service).await {
        Ok(Some(service)) => Ok(service),
        Ok(None) => Err(unknown(name, &contracts)
            .hint(format!("no Python package of `{}` registers a service of this name", python.program()))),
        // It may be no service of Python at all.
        Err(bridged::Fault::Unasked(error)) => {
            let other =
                unknown(name, &contracts).hint(format!("Python services were not searched: {}", error.message()));
            Err(error.hints().iter().fold(other, |other, hint| other.hint(hint.clone())))
        }
        Err(bridged::Fault::Unstarted(error)) => Err(error),
    }
}

fn unknown(name: &str, contracts: &[&Contracts]) -> Error {
    let all = || contracts.iter().copied();
    if all().any(|contracts| contracts.of_service(name).is_some()) {
        return Error::new(format!("the contract of service `{name}` has no `run`"))
            .hint("add the command to the contract: `\"run\": { \"command\": [\"python3\", \"service.py\"] }`");
    }
    let known = names(contracts);
    let error = Error::new(format!("there is no service `{name}`"));
    match nearest(name, known.iter().copied()) {
        Some(meant) => error.hint(format!("did you mean `{meant}`?")),
        None => error.hint(format!("available services: `{}`", known.join("`, `"))),
    }
}

/// Begins to log as the site wants it.
fn log(session: &Session, environment: &Environment) -> Guard {
    let logging = Logging::of_site(&environment.plugins(), usize::from(session.common.verbose));
    let facts = [
        ("host", hostname()),
        ("_pid", std::process::id().to_string()),
        ("_workflows_host", host_id(&hostname(), 1)),
        ("_zrecipe_version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let guard = logging.start(session.style(std::io::stderr().is_terminal()).colour, &facts);
    for ignored in &logging.ignored {
        tracing::warn!("the site's configuration: {ignored}");
    }
    guard
}

async fn serve(args: &Args, environment: &Environment, services: Served, journal: Journal) -> Result<(), Error> {
    let metrics = Metrics::new();
    let counter = Arc::clone(&metrics);
    let collector = Collector::of_site(&environment.plugins());
    let exports = collector.map(|collector| Exports::new(collector, move |spans| counter.lose_spans(spans)));
    let mut instances: Vec<Instance> = Vec::new();
    let mut traced: Vec<Arc<Tracing>> = Vec::new();
    for (service, queues) in &services {
        // The instances of a service share one, so that their number does not multiply the memory. Services do not: what one
        // holds because a queue is full may have to wait for another.
        let room = Room::default();
        let tracing = exports.as_ref().map(|exports| Tracing::new(exports, service.name()));
        let tracing = tracing.transpose().map_err(|reason| {
            Error::new(format!("traces cannot be sent: {reason}")).hint("set `endpoint` of plugin `opentelemetry`")
        })?;
        let tracing = tracing.map(Arc::new);
        traced.extend(tracing.clone());
        for _ in 0..args.instances {
            let (title, class) = service.titles();
            let identity = Identity {
                host: host_id(&hostname(), instances.len() + 1),
                service: title,
                class,
                tag: args.tag.clone(),
            };
            let instance = Instance::new(Arc::clone(service), queues.clone(), identity, metrics.observer());
            let instance = instance.patient(args.restart).traced(tracing.clone()).with_prefetch(args.prefetch);
            instances.push(instance.with_journal(journal.clone()).with_room(room.clone()));
        }
    }
    for instance in &instances {
        let board = instance.board().clone();
        instances::follow(instance.name(), &instance.board().identity().service, move || board.log_fields());
    }
    let boards: Vec<Board> = instances.iter().map(|instance| instance.board().clone()).collect();
    facts::find();
    let (stop, stopped) = watch::channel(false);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut signalled = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let broker = Arc::new(OnceLock::new());
    if let Some(address) = args.http {
        let health = Health { metrics: Arc::clone(&metrics), boards: boards.clone(), broker: Arc::clone(&broker) };
        let served = health::serve(address, health).await;
        let (address, serving) = served.map_err(|error| Error::new(format!("cannot listen at {address}: {error}")))?;
        tracing::info!("metrics and health at http://{address}");
        tokio::spawn(serving);
    }
    let names = services.iter().map(|(service, _)| service.name()).collect::<Vec<_>>().join(", ");
    let queues: Vec<String> = services.iter().flat_map(|(_, queues)| queues.clone()).collect();
    let connecting = connect(args, environment, &names, &queues, &boards);
    let transport = tokio::select! {
        transport = connecting => transport?,
        () = signalled() => return Ok(()),
    };
    let wanted: usize = instances.iter().map(Instance::subscriptions).sum();
    if let Some(most) = transport.max_subscriptions().filter(|&most| wanted > most) {
        transport.close().await?;
        return Err(too_many(format!(
            "{} instances need {wanted} channels, and a connection has {most}",
            instances.len()
        )));
    }
    for _ in 0..args.instances {
        environment.enter_served(services.iter().flat_map(|(_, queues)| queues));
    }
    let connected = Broker { place: environment.place(), connection: transport.connection() };
    tracing::info!("connected to {}", connected.place);
    tokio::spawn(Arc::clone(&metrics).follow_duplicates(transport.duplicates()));
    let left = environment.tidy(&journal).await?;
    if left > 0 {
        tracing::info!("removed {left} journal entries of messages that no longer exist");
    }
    tokio::spawn(broker.get_or_init(|| connected).clone().follow(metrics));
    let mut running = JoinSet::new();
    for instance in instances {
        tracing::info!("{} is {}", instance.board().identity().service, instance.board().identity().host);
        running.spawn(instance.run(Arc::clone(&transport), stopped.clone()));
    }
    let mut ended = Ok(());
    let mut signals = 0;
    let grace = Duration::from_secs(args.grace.into());
    let overdue = sleep(NEVER);
    tokio::pin!(overdue);
    loop {
        tokio::select! {
            finished = running.join_next() => match finished {
                None => break,
                Some(Ok(Ok(()))) => {}
                Some(failed) => {
                    let error = match failed {
                        Ok(Err(error)) => describe(error),
                        Ok(Ok(())) => continue,
                        Err(error) => Error::new(error.to_string()),
                    };
                    if ended.is_ok() {
                        ended = Err(error);
                    }
                    let _ = stop.send(true);
                }
            },
            () = signalled() => {
                signals += 1;
                if signals > 1 {
                    return Err(stopped_at_once());
                }
                tracing::info!("finishing current messages; a second signal stops immediately");
                let _ = stop.send(true);
                overdue.as_mut().reset(Instant::now() + grace);
            }
            () = &mut overdue => {
                return Err(Error::new(format!("current messages were not finished within {} s", grace.as_secs()))
                    .hint("they are redelivered; set the time with `--grace`"));
            }
        }
    }
    let leaving = async {
        for (service, _) in &services {
            service.finish().await;
        }
        tracing::info!("leaving {}", environment.place());
        transport.close().await?;
        tokio::task::spawn_blocking(move || traced.iter().for_each(|tracing| tracing.finish())).await.ok();
        Ok::<_, Error>(())
    };
    tokio::pin!(leaving);
    let overdue = sleep(FAREWELL);
    tokio::pin!(overdue);
    loop {
        tokio::select! {
            () = &mut overdue => {
                tracing::warn!("the broker or a service did not stop within {} s", FAREWELL.as_secs());
                return ended;
            }
            left = &mut leaving => {
                left?;
                tracing::info!("stopped");
                return ended;
            }
            () = signalled() => {
                signals += 1;
                if signals > 1 {
                    return Err(stopped_at_once());
                }
            }
        }
    }
}

fn stopped_at_once() -> Error {
    Error::new("stopped immediately").hint("unfinished messages are redelivered")
}

fn describe(error: transport::Error) -> Error {
    let is_queue = matches!(error, transport::Error::NoSuchQueue(_));
    let is_full = error.is_out_of_channels();
    let error = Error::from(error);
    match (is_queue, is_full) {
        (true, _) => error.hint("queues are created when the broker is set up; use `--restart` to wait for them"),
        (_, true) => too_many(error.message().to_owned()),
        _ => error,
    }
}

/// A connection has fewer channels than the instances take.
fn too_many(message: String) -> Error {
    Error::new(message)
        .hint("an instance needs one channel for each of its queues and one for commands")
        .hint("RabbitMQ allows 2047 channels per connection, or the number in its setting `channel_max`")
        .hint("start several processes, with fewer `--instances` each")
}

/// Connects; patiently if the user wants it.
async fn connect(
    args: &Args,
    environment: &Environment,
    who: &str,
    queues: &[String],
    boards: &[Board],
) -> Result<Arc<dyn Transport>, Error> {
    const PAUSE: Duration = Duration::from_secs(5);
    loop {
        match environment.connect(who, queues).await {
            Err(error) if args.restart => {
                tracing::error!("{}; retrying in {} s", error.message(), PAUSE.as_secs());
                error.hints().iter().for_each(|hint| tracing::info!("help: {hint}"));
                boards.iter().for_each(|board| board.wait(Status::New, error.message(), PAUSE));
                tokio::time::sleep(PAUSE).await;
            }
            // Where something else has to be done first, that is said.
            Err(error) if error.hints().is_empty() => return Err(error.hint("use `--restart` to wait for the broker")),
            connected => return connected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_name_is_enough_if_only_one_service_has_it() {
        let found = |name: &str| beginning(name, &[&Contracts::default()]).map_err(|error| error.message().to_owned());
        assert_eq!(found("Dispat"), Ok(Some("Dispatcher".to_owned())));
        assert_eq!(found("dispat"), Ok(Some("Dispatcher".to_owned())));
        assert_eq!(found("Dispatchers"), Ok(None));
        assert_eq!(found(""), Err("several services begin with ``".to_owned()));
    }
}
