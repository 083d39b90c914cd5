//! `zrecipe shutdown`: tells services to finish and stop.

use crate::cli::broker::EnvironmentArgs;
use crate::cli::executor::block_on;
use crate::cli::outages::Outages;
use crate::cli::submit::SHORTAGE;
use crate::cli::{Error, Session, print, say};
use zrecipe_broker::transport;
use zrecipe_language::contract::{Contract, Contracts};
use zrecipe_language::lint::nearest;
use zrecipe_language::value::Value;
use zrecipe_runtime::runtime::instance::COMMANDS;
use zrecipe_runtime::runtime::status::{broadcast, hostname, reversed};

/// Stop services after they finish their current messages
///
/// This works for services of zrecipe and of the Python packages. Exit code 0 means that the broker has delivered the
/// request to all subscribers. `zrecipe service` reports in its status when it has stopped.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instances, as shown in their status: `uk.ac.diamond.ws123.4567`, or `ws123.4567` for an instance in the local
    /// domain.
    #[arg(value_name = "HOST", required_unless_present = "services")]
    hosts: Vec<String>,
    /// All instances of this service (repeatable); `none` selects instances without a service.
    #[arg(short, long = "service", value_name = "NAME")]
    services: Vec<String>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Print JSON with the addressed instances.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let mut told: Vec<Value> = Vec::new();
    let ended = block_on(async {
        let transport = environment.connect("shutdown", &[]).await?;
        let _outages = Outages::of(&*transport);
        if let Err(error @ transport::Error::Blocked(_)) = transport.try_send(SHORTAGE).await {
            return Err(Error::from(error).hint("no request was sent; services also stop on SIGTERM"));
        }
        for host in &args.hosts {
            let host = in_our_domain(host, &hostname());
            let command = Value::from([("command", "shutdown"), ("host", &host)]);
            transport.send(vec![broadcast(COMMANDS, &command, None)]).await?;
            say(&format!("requested shutdown of {host}"));
            told.push(Value::from([("host", host)]));
        }
        for service in &args.services {
            let is_none = service.eq_ignore_ascii_case("none");
            if let Some(meant) = meant(service, session.contracts()?).filter(|_| !is_none) {
                say(&format!("warning: unknown service `{service}`; did you mean `{meant}`?"));
            }
            let named = if is_none { Value::Null } else { Value::from(service.as_str()) };
            let command = Value::from([("command", Value::from("shutdown")), ("service", named)]);
            transport.send(vec![broadcast(COMMANDS, &command, None)]).await?;
            let whom = if is_none { "without a service".to_owned() } else { format!("of {service}") };
            say(&format!("requested shutdown of all instances {whom}"));
            told.push(Value::from([("service", if is_none { Value::Null } else { Value::from(service.as_str()) })]));
        }
        Ok(transport.close().await?)
    });
    if args.json {
        let document = Value::from([
            ("version", Value::from(1)),
            ("broker", Value::from(environment.place())),
            ("told", Value::Array(told)),
        ]);
        print(&(document.to_json_pretty() + "\n"))?;
    }
    ended
}

/// The service that is meant by a name that none has; services of others may have any.
fn meant<'c>(name: &str, contracts: &'c Contracts) -> Option<&'c str> {
    let known: Vec<&str> = contracts.iter().chain(Contracts::built_in().iter()).map(Contract::name).collect();
    if known.contains(&name) { None } else { nearest(name, known) }
}

/// `ws123.4567` is in the domain of this host (`zocalo.cli.shutdown`).
fn in_our_domain(host: &str, own: &str) -> String {
    match own.split_once('.') {
        Some((_, domain)) if host.matches('.').count() == 1 => format!("{}.{host}", reversed(domain)),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_may_be_named_in_short() {
        for (host, own, expected) in [
            ("ws123.4567", "ws001.diamond.ac.uk", "uk.ac.diamond.ws123.4567"),
            ("ws123.4567", "laptop", "ws123.4567"),
            ("uk.ac.diamond.ws123.4567", "ws001.diamond.ac.uk", "uk.ac.diamond.ws123.4567"),
        ] {
            assert_eq!(in_our_domain(host, own), expected);
        }
    }
}
