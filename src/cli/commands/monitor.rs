//! `zrecipe monitor`: services, queues, dead letters and runs on a screen that stays.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::cli::broker::{Environment, EnvironmentArgs};
use crate::cli::executor::{block_on, interrupted};
use crate::cli::overview::{Counts, subscription, tables};
use crate::cli::screen::{Screen, Wish};
use crate::cli::{Error, Session};
use zrecipe_broker::transport::{Connection, Deliveries, Delivery, Settlement, Transport, Verdict};
use zrecipe_language::contract::Contracts;
use zrecipe_language::value::Value;
use zrecipe_runtime::ops::services::Services;
use zrecipe_runtime::runtime::instance::COMMANDS;
use zrecipe_runtime::runtime::status::broadcast;

/// How long to wait before the queues are counted again.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a subscription that was lost may take to come back before the next attempt.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watch services, queues, dead letters and runs in the terminal, and stop services
///
/// Services appear when they broadcast their status, within six seconds; Python services are included. A service
/// without a broadcast for 20 seconds is shown as silent, and is removed after 90. The display works over ssh, in
/// windows of any size, and without colours if NO_COLOR is set. It shows the latest 20 runs: those of this machine, or
/// with a site those in the logbook of its dispatcher. `zrecipe show ID` shows details of a run.
///
/// Values that cannot be read, for example while the broker is unavailable, are shown as `?`.
///
/// Keys: q quits; / filters all tables; tab selects the next table; up and down (k, j) select a row; s asks for
/// confirmation and stops the selected service, which finishes its current messages first; esc clears the filter.
///
/// `zrecipe status` prints the same information once.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    environment: EnvironmentArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let environment = args.environment.read(session)?;
    let contracts = session.contracts()?;
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(Error::new("`zrecipe monitor` needs a terminal").hint("`zrecipe status` prints the same once"));
    }
    let screen = Screen::new(environment.place(), session.style(true).colour);
    block_on(async {
        let transport = environment.connect("monitor", &[]).await?;
        let mut terminal = ratatui::try_init()?;
        let result = watch(&mut terminal, &*transport, &environment, contracts, screen).await;
        ratatui::try_restore()?;
        let _ = transport.close().await;
        result
    })
}

/// The next broadcast; waits for ever where there is no subscription.
async fn next(deliveries: &mut Option<Deliveries>) -> Option<Delivery> {
    match deliveries {
        Some(deliveries) => deliveries.next().await,
        None => std::future::pending().await,
    }
}

async fn watch(
    terminal: &mut DefaultTerminal,
    transport: &dyn Transport,
    environment: &Environment,
    contracts: &Contracts,
    mut screen: Screen,
) -> Result<(), Error> {
    let (sender, mut events) = mpsc::channel(100);
    // It ends with the program: a terminal cannot be asked to stop reading.
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    let begun = Instant::now();
    let (mut services, mut counts) = (Services::default(), Counts::default());
    let mut deliveries = None;
    let connection = transport.connection();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut counting = Box::pin(Counts::read(environment, transport));
    let mut pause = Box::pin(sleep(Duration::ZERO));
    let (mut is_counting, mut interrupted) = (true, Box::pin(interrupted()));
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => match screen.press(key) {
                    Some(Wish::Quit) => return Ok(()),
                    Some(Wish::Shutdown(host)) => {
                        let command = Value::from([("command", "shutdown"), ("host", &host)]);
                        screen.said = match transport.send(vec![broadcast(COMMANDS, &command, None)]).await {
                            Ok(()) => format!("requested shutdown of {host}"),
                            Err(error) => format!("{host} was not told: {error}"),
                        };
                    }
                    None => {}
                },
                // A new size is drawn on at once.
                Some(_) => {}
                None => return Err(Error::new("the terminal was closed")),
            },
            delivery = next(&mut deliveries) => match delivery {
                Some(delivery) => {
                    services.hear(&delivery.body, begun.elapsed());
                    let _ = transport.settle(&delivery, Settlement::of(Verdict::Accept)).await;
                }
                None => deliveries = None,
            },
            found = &mut counting, if is_counting => {
                // What was wrong before has been said.
                if let Some(problem) = found.problems.iter().find(|problem| !counts.problems.contains(problem)) {
                    screen.said.clone_from(&problem.text);
                }
                (counts, is_counting) = (found, false);
                pause = Box::pin(sleep(PAUSE));
            }
            () = &mut pause, if !is_counting => {
                counting = Box::pin(Counts::read(environment, transport));
                is_counting = true;
            }
            _ = ticks.tick() => if deliveries.is_none() {
                match timeout(PATIENCE, transport.subscribe(subscription())).await {
                    Ok(Ok(subscribed)) => deliveries = Some(subscribed),
                    Ok(Err(error)) => screen.said = format!("services are unknown: {error}"),
                    Err(_) => "services are unknown: the broker does not answer".clone_into(&mut screen.said),
                }
            },
            () = &mut interrupted => return Ok(()),
        }
        services.pass(begun.elapsed());
        // A subscription outlives the connection, and hears nothing until there is another one.
        let is_heard = deliveries.is_some() && *connection.borrow() == Connection::Up;
        screen.show(tables(&services.list(), is_heard, &counts, contracts));
    }
}
