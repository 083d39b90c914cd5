//! `zrecipe test`: a recipe with services that do what a script says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::bridged;
use crate::cli::executor::block_on;
use crate::cli::table::align;
use crate::cli::{Error, ParameterArgs, Session, print, say, with_guid};
use zrecipe_language::bind::bind;
use zrecipe_language::compile::alone;
use zrecipe_language::contract::Contracts;
use zrecipe_language::diagnostic::{Level, only};
use zrecipe_language::document::DocumentKind;
use zrecipe_language::source::Unit;
use zrecipe_language::syntax::yaml;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::judge::CheckOptions;
use zrecipe_runtime::rehearsal::{Act, Edge, First, Played, Scenario, edges, play};
use zrecipe_runtime::runtime::Service;
use zrecipe_runtime::runtime::foreign::Foreign;

/// Test a recipe with simulated services
///
/// Runs on a private embedded broker; no service is started and no program is run. Without
/// a script, each step sends a message on each of its channels. The test is repeated with
/// every message redelivered, and with a crash in the middle of every step. The script
/// `NAME.test.yaml` beside the recipe defines further cases. Outputs in a script are checked
/// against the contracts of their services. The command prints the links that were
/// exercised, and exits with code 1 if a link was not exercised or a result differs.
///
/// A script:
///
///   parameters: {workingdir: /tmp}
///   cases:
///     - name: a failure is mailed
///       steps:
///         1: {outputs: {failure: {reason: no file}}, first: crash}
///         2: {refuse: no such address}
///       reached: [1, 3]
///       not-reached: [4]
///       payloads: {3: {reason: no file}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[expect(rustdoc::broken_intra_doc_links, reason = "the help page shows YAML")]
pub struct Args {
    /// Path or name of a recipe.
    #[arg(value_name = "RECIPE")]
    recipe: String,
    #[command(flatten)]
    parameters: ParameterArgs,
    /// The script; defaults to `NAME.test.yaml` beside the recipe, if it exists.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Service to run instead of simulating it (repeatable): a service whose contract has `run`, or the entry point of
    /// a Python service.
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let found = session.library()?.open(&args.recipe)?;
    let beside = Path::new(found.name()).with_extension("test.yaml");
    let script = args.script.clone().or_else(|| Some(beside).filter(|path| path.is_file()));
    let (mut parameters, cases) = match &script {
        Some(path) => read(path)?,
        None => (Object::new(), Vec::new()),
    };
    parameters.extend(args.parameters.read()?);
    let (parameters, _) = with_guid(parameters);
    let compiled = session.compile(
        std::slice::from_ref(&args.recipe),
        CheckOptions { parameters: Some(&parameters), ..CheckOptions::default() },
    )?;
    session.refuse(&compiled)?;
    for scenario in &cases {
        let named = scenario.acts.keys().chain(&scenario.reached).chain(&scenario.unreached);
        let named = named.chain(scenario.payloads.iter().map(|(step, _)| step));
        if let Some(step) = named.copied().find(|&step| compiled.iter().all(|found| found.recipe.step(step).is_none()))
        {
            let message =
                format!("the case `{}` refers to step `{step}`, which the recipe does not have", scenario.name);
            return Err(Error::new(message));
        }
    }
    let recipe = bind(&compiled, &parameters);
    let contracts = contracts(session)?;
    let mut scenarios = vec![
        Scenario { name: "every channel".to_owned(), ..Scenario::default() },
        general("every message is redelivered", First::Later),
        general("every step crashes once", First::Crash),
    ];
    scenarios.extend(cases);
    let played = block_on(async {
        let real = real(args, session).await?;
        let mut all = Vec::new();
        for scenario in scenarios {
            let played = play(&recipe, Arc::clone(&contracts), &scenario, &real).await?;
            all.push((scenario.name, played));
        }
        for service in &real {
            service.finish().await;
        }
        Ok(all)
    })?;
    report(args, &recipe, &played)
}

fn general(name: &str, first: First) -> Scenario {
    let otherwise = Act { first: Some(first), ..Act::default() };
    Scenario { name: name.to_owned(), otherwise, ..Scenario::default() }
}

/// The services that play their own parts.
async fn real(args: &Args, session: &Session) -> Result<Vec<Arc<dyn Service>>, Error> {
    let python = bridged::interpreter(session, &[])?;
    let contracts = session.contracts()?;
    let mut found: Vec<Arc<dyn Service>> = Vec::new();
    for name in &args.services {
        let is_meant = |known: &String| known.eq_ignore_ascii_case(name);
        let contract = contracts.programs().find(|contract| contract.names.iter().any(is_meant));
        let service = match contract.and_then(|contract| Foreign::new(Arc::clone(contract), &python)) {
            Some(service) => {
                bridged::open(&service, &python).await?;
                Some(service)
            }
            None => bridged::by_name(name, contracts, &python, |service| service).await?,
        };
        let missing = || {
            Error::new(format!("there is no service `{name}` that can be started"))
                .hint("add a contract with `run`, or an entry point of `workflows.services`")
        };
        found.push(Arc::new(service.ok_or_else(missing)?));
    }
    Ok(found)
}

/// The contracts as several stubs may hold them.
fn contracts(session: &Session) -> Result<Arc<Contracts>, Error> {
    Ok(Arc::new(session.contracts()?.clone()))
}

fn report(args: &Args, recipe: &Value, played: &[(String, Played)]) -> Result<(), Error> {
    let mut counts: BTreeMap<Edge, usize> = edges(recipe).into_iter().map(|edge| (edge, 0)).collect();
    for (edge, count) in played.iter().flat_map(|(_, played)| &played.edges) {
        *counts.entry(edge.clone()).or_default() += count;
    }
    let unused = counts.values().filter(|count| **count == 0).count();
    let faults: usize = played.iter().map(|(_, played)| played.faults.len()).sum();
    let from = |from: Option<i64>| from.map_or("start".to_owned(), |step| step.to_string());
    if args.json {
        let links = counts.iter().map(|((step, channel, to), count)| {
            Value::from([
                ("from", Value::from(from(*step))),
                ("channel", channel.clone().map_or(Value::Null, Value::from)),
                ("to", Value::from(*to)),
                ("count", Value::from(*count as i64)),
            ])
        });
        let cases = played.iter().map(|(name, played)| {
            Value::from([("name", Value::from(name.as_str())), ("faults", Value::from(played.faults.clone()))])
        });
        let links = Value::Array(links.collect());
        let document =
            Value::from([("version", Value::from(1)), ("links", links), ("cases", Value::Array(cases.collect()))]);
        print(&(document.to_json_pretty() + "\n"))?;
    } else {
        for (name, played) in played {
            say(&format!("{}: {name}", if played.faults.is_empty() { "passed" } else { "failed" }));
            played.faults.iter().for_each(|fault| say(&format!("  {fault}")));
        }
        let mut rows = vec![["from", "channel", "to", "exercised"].map(str::to_owned)];
        rows.extend(counts.iter().map(|((step, channel, to), count)| {
            let count = if *count == 0 { "never".to_owned() } else { count.to_string() };
            [from(*step), channel.clone().unwrap_or_else(|| "-".to_owned()), to.to_string(), count]
        }));
        print(&align(&rows))?;
        say(&format!("{} of {} links were exercised", counts.len() - unused, counts.len()));
    }
    if unused + faults > 0 { Err(Error::findings()) } else { Ok(()) }
}

/// The parameters and the cases of a script.
fn read(path: &Path) -> Result<(Object, Vec<Scenario>), Error> {
    let wrong = |reason: String| {
        Error::new(format!("cannot use the script {}: {reason}", path.display()))
            .hint("see `zrecipe test --help` for an example")
    };
    let source =
        zrecipe_project::library::read(path, &path.to_string_lossy(), zrecipe_language::source::Source::MAX_BYTES)?;
    let tree = yaml::parse(Arc::new(source));
    if tree.is_broken() {
        let found = alone(Arc::clone(tree.source()), Some(DocumentKind::Parameters)).diagnostics.into_iter();
        let mut found = found.filter(|found| found.level == Level::Error);
        let why = found.next().map_or("it is not valid YAML".to_owned(), |found| {
            let at = tree.source().position(found.primary.span.start, Unit::Char);
            format!("line {}, column {}: {}", at.line, at.column, found.message)
        });
        return Err(wrong(why));
    }
    let Value::Object(script) = tree.root().to_value() else { return Err(wrong("it is not a mapping".to_owned())) };
    only(&script, &["parameters", "cases"]).map_err(wrong)?;
    let parameters = script.get("parameters").map_or(Ok(Object::new()), |given| {
        given.as_object().cloned().ok_or_else(|| wrong("`parameters` is not a mapping".to_owned()))
    })?;
    let cases = match script.get("cases") {
        Some(cases) => cases.as_array().ok_or_else(|| wrong("`cases` is not a list".to_owned()))?,
        None => &[],
    };
    let cases: Result<Vec<Scenario>, String> = cases
        .iter()
        .enumerate()
        .map(|(number, written)| case(written).map_err(|reason| format!("case {}: {reason}", number + 1)))
        .collect();
    Ok((parameters, cases.map_err(wrong)?))
}

fn case(written: &Value) -> Result<Scenario, String> {
    let written = written.as_object().ok_or("it is not a mapping")?;
    only(written, &["name", "steps", "reached", "not-reached", "payloads"])?;
    let number = |key: &str| key.trim().parse::<i64>().map_err(|_| format!("`{key}` is not a step number"));
    let none = Object::new();
    let mapping = |key: &str| match written.get(key) {
        None => Ok(none.iter()),
        Some(Value::Object(mapping)) => Ok(mapping.iter()),
        Some(other) => Err(format!("`{key}` is {}, not a mapping of steps", other.describe())),
    };
    let list = |key: &str| -> Result<Vec<i64>, String> {
        let items = match written.get(key) {
            None => &[],
            Some(items) => items.as_array().ok_or_else(|| format!("`{key}` must be a list of step numbers"))?,
        };
        items
            .iter()
            .map(|item| item.as_i64().ok_or_else(|| format!("`{key}` must be a list of step numbers")))
            .collect()
    };
    let acts = mapping("steps")?.map(|(step, written)| {
        let act = act(written).map_err(|reason| format!("step {step}: {reason}"))?;
        Ok((number(step)?, act))
    });
    let payloads = mapping("payloads")?.map(|(step, payload)| Ok((number(step)?, payload.clone())));
    Ok(Scenario {
        name: written.get("name").and_then(Value::as_str).unwrap_or("a case without a name").to_owned(),
        otherwise: Act::default(),
        acts: acts.collect::<Result<_, String>>()?,
        reached: list("reached")?,
        unreached: list("not-reached")?,
        payloads: payloads.collect::<Result<_, String>>()?,
    })
}

fn act(written: &Value) -> Result<Act, String> {
    let written = written.as_object().ok_or("it is not a mapping")?;
    only(written, &["first", "refuse", "outputs"])?;
    let first = match written.get("first").map(|first| first.as_str()) {
        None => None,
        Some(Some("crash")) => Some(First::Crash),
        Some(Some("later")) => Some(First::Later),
        Some(_) => return Err("`first` must be `crash` or `later`".to_owned()),
    };
    let outputs = written.get("outputs").map(|outputs| match outputs {
        Value::Object(channels) => Ok(channels
            .iter()
            // A channel without a name.
            .map(|(channel, payload)| (Some(channel.clone()).filter(|name| !name.is_empty()), payload.clone()))
            .collect()),
        _ => Err("`outputs` must map channels to payloads".to_owned()),
    });
    let refuse = written.get("refuse").map(|reason| reason.as_str().unwrap_or("as the script says").to_owned());
    Ok(Act { first, refuse, outputs: outputs.transpose()? })
}
