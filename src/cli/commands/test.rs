//! `zrecipe test`: recipes with services that do what a script says.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;

use crate::cli::bridged;
use crate::cli::executor::block_on;
use crate::cli::progress::default_places;
use crate::cli::table::align;
use crate::cli::terminal::is_quiet;
use crate::cli::{Error, ParameterArgs, Session, print, say, with_guid};
use zrecipe_language::bind::bind;
use zrecipe_language::compile::{Compilation, alone};
use zrecipe_language::contract::Contracts;
use zrecipe_language::diagnostic::{Level, counted, only};
use zrecipe_language::document::DocumentKind;
use zrecipe_language::guard::guarded;
use zrecipe_language::source::Unit;
use zrecipe_language::syntax::yaml;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::files::{Input, gather};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::pattern::has_wildcard;
use zrecipe_project::project::{each_in_order_with, is_meant, is_reported};
use zrecipe_runtime::rehearsal::{Act, Edge, First, Played, Scenario, edges, play};
use zrecipe_runtime::runtime::Service;
use zrecipe_runtime::runtime::foreign::Foreign;

/// Test recipes with simulated services
///
/// Runs on a private embedded broker; no service is started and no program is run. Without
/// a script, each step sends a message on each of its channels. The test is repeated with
/// every message redelivered, and with a crash in the middle of every step. The script
/// `NAME.test.yaml` beside the recipe defines further cases. Outputs in a script are checked
/// against the contracts of their services. The command prints the links that were
/// exercised, and exits with code 1 if a link was not exercised or a result differs.
///
/// Several recipes are tested in parallel, and reported in the order of the arguments: a line
/// for each that passed, all results for each that failed.
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
    /// Paths or names of recipes, directories, or patterns such as `recipes/**/*.json`.
    #[arg(required = true, value_name = "RECIPE")]
    recipes: Vec<String>,
    #[command(flatten)]
    parameters: ParameterArgs,
    /// The script, for one recipe; defaults to `NAME.test.yaml` beside each recipe, if it exists.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Service to run instead of simulating it (repeatable): a service whose contract has `run`, or the entry point of
    /// a Python service.
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// Maximum number of recipes that are tested in parallel; defaults to the number of processors.
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let (subjects, is_single) = subjects(args, session)?;
    if args.script.is_some() && !is_single {
        let error = Error::new("`--script` needs exactly one recipe");
        return Err(error.hint("the script `NAME.test.yaml` beside a recipe is used without an option"));
    }
    let common = Common { args, session, given: args.parameters.read()?, contracts: contracts(session)? };
    if let [subject] = &subjects[..]
        && is_single
    {
        let Some(Examined { compiled, result }) = common.examine(subject) else { return Ok(()) };
        session.refuse(&compiled)?;
        return single(args, &result?);
    }
    let jobs = args.jobs.unwrap_or_else(default_places).max(1);
    let mut tally = Tally::new(args.json, subjects.len());
    each_in_order_with(
        &subjects,
        (jobs, 1),
        |subject| common.examine(subject),
        |subject, examined| {
            let bar = tally.bar.clone();
            bar.suspend(|| tally.enter(session, subject, examined))?;
            bar.inc(1);
            Ok::<(), Error>(())
        },
    )?;
    tally.conclude()
}

/// A recipe to test.
enum Subject {
    /// As the argument calls it.
    Named(String),
    /// A file of a directory or a pattern.
    File(Input),
}

impl Subject {
    fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::File(input) => &input.name,
        }
    }
}

/// The recipes that the arguments mean, each once and in their order, and whether that is one by its path or name.
fn subjects(args: &Args, session: &Session) -> Result<(Vec<Subject>, bool), Error> {
    const SCRIPT: &str = ".test.yaml";
    let mut found: Vec<Subject> = Vec::new();
    let mut seen = HashSet::new();
    let mut is_single = args.recipes.len() == 1;
    for recipe in &args.recipes {
        let path = Path::new(recipe);
        // The name of a recipe may be that of a directory, too.
        let is_directory = path.is_dir() && session.library()?.find(recipe).is_err();
        if !is_directory && (path.exists() || !has_wildcard(recipe)) {
            found.extend(seen.insert(recipe.clone()).then(|| Subject::Named(recipe.clone())));
            continue;
        }
        is_single = false;
        let is_named = |path: &Path| session.kind_of(path).is_some();
        let files = gather(std::slice::from_ref(recipe), "", &session.settings.selection, is_named)?.into_iter();
        let files = files.filter(|input| !input.name.ends_with(SCRIPT) && seen.insert(input.name.clone()));
        found.extend(files.map(Subject::File));
    }
    Ok((found, is_single))
}

/// What all recipes are tested with.
struct Common<'a> {
    args: &'a Args,
    session: &'a Session,
    given: Object,
    contracts: Arc<Contracts>,
}

/// What came of a recipe. The findings about it are not shown yet.
struct Examined {
    compiled: Vec<Compilation>,
    result: Result<Results, Error>,
}

/// What came of the cases of a recipe.
struct Results {
    /// How often each link was exercised.
    links: BTreeMap<Edge, usize>,
    played: Vec<(String, Played)>,
}

impl Common<'_> {
    /// Tests a recipe; nothing for a file of a directory that is not a recipe. An internal error in one recipe does not
    /// end the tests of the others.
    fn examine(&self, subject: &Subject) -> Option<Examined> {
        let mut compiled = Vec::new();
        let result = contained(|| self.play(subject, &mut compiled)).transpose()?;
        Some(Examined { compiled, result })
    }

    fn play(&self, subject: &Subject, compiled: &mut Vec<Compilation>) -> Result<Option<Results>, Error> {
        let Self { args, session, .. } = self;
        let source = match subject {
            Subject::Named(recipe) => session.library()?.open(recipe)?,
            Subject::File(input) => input.read(session.settings.max_bytes()).map_err(Error::new)?,
        };
        let beside = Path::new(source.name()).with_extension("test.yaml");
        let script = args.script.clone().or_else(|| Some(beside).filter(|path| path.is_file()));
        let (mut parameters, cases) = match &script {
            Some(path) => read(path)?,
            None => (Object::new(), Vec::new()),
        };
        parameters.extend(self.given.clone());
        let (parameters, _) = with_guid(parameters);
        let request = CheckOptions { parameters: Some(&parameters), ..CheckOptions::default() };
        *compiled = match subject {
            Subject::Named(recipe) => session.compile(std::slice::from_ref(recipe), request)?,
            Subject::File(input) => {
                let compilation = session.judge(source, request)?;
                let is_other = compilation.document.kind() != DocumentKind::Recipe;
                if is_other || !is_meant(&compilation) || input.found && !is_reported(&compilation) {
                    return Ok(None);
                }
                vec![compilation]
            }
        };
        if compiled.iter().any(Compilation::is_refused) {
            return Err(Error::findings());
        }
        for scenario in &cases {
            let named = scenario.acts.keys().chain(&scenario.reached).chain(&scenario.unreached);
            let mut named = named.chain(scenario.payloads.iter().map(|(step, _)| step)).copied();
            if let Some(step) = named.find(|&step| compiled.iter().all(|found| found.recipe.step(step).is_none())) {
                let message =
                    format!("the case `{}` refers to step `{step}`, which the recipe does not have", scenario.name);
                return Err(Error::new(message));
            }
        }
        let recipe = bind(compiled.iter(), &parameters);
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
                let played = play(&recipe, Arc::clone(&self.contracts), &scenario, &real).await?;
                all.push((scenario.name, played));
            }
            for service in &real {
                service.finish().await;
            }
            Ok(all)
        })?;
        Ok(Some(Results::of(&recipe, played)))
    }
}

/// Turns a panic into an error.
fn contained<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    guarded(work)
        .unwrap_or_else(|panic| Err(Error::new(format!("internal error in zrecipe{}; please report it", panic.at()))))
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

impl Results {
    fn of(recipe: &Value, played: Vec<(String, Played)>) -> Self {
        let mut links: BTreeMap<Edge, usize> = edges(recipe).into_iter().map(|edge| (edge, 0)).collect();
        for (edge, count) in played.iter().flat_map(|(_, played)| &played.edges) {
            *links.entry(edge.clone()).or_default() += count;
        }
        Self { links, played }
    }

    fn has_passed(&self) -> bool {
        self.links.values().all(|count| *count > 0) && self.played.iter().all(|(_, played)| played.faults.is_empty())
    }

    /// A line for each case, with its faults.
    fn cases(&self) -> Vec<String> {
        let case = |(name, played): &(String, Played)| {
            let result = if played.faults.is_empty() { "passed" } else { "failed" };
            let faults = played.faults.iter().map(|fault| format!("  {fault}"));
            std::iter::once(format!("{result}: {name}")).chain(faults).collect::<Vec<_>>()
        };
        self.played.iter().flat_map(case).collect()
    }

    fn table(&self) -> String {
        let mut rows = vec![["from", "channel", "to", "exercised"].map(str::to_owned)];
        rows.extend(self.links.iter().map(|((step, channel, to), count)| {
            let count = if *count == 0 { "never".to_owned() } else { count.to_string() };
            [origin(*step), channel.clone().unwrap_or_else(|| "-".to_owned()), to.to_string(), count]
        }));
        align(&rows)
    }

    /// How many links were exercised: `2 of 3 links`.
    fn summary(&self) -> String {
        let links = &self.links;
        format!("{} of {} links", links.values().filter(|count| **count > 0).count(), links.len())
    }

    /// The members of its JSON document.
    fn members(&self) -> [(&'static str, Value); 2] {
        let links = self.links.iter().map(|((step, channel, to), count)| {
            Value::from([
                ("from", Value::from(origin(*step))),
                ("channel", channel.clone().map_or(Value::Null, Value::from)),
                ("to", Value::from(*to)),
                ("count", Value::from(*count as i64)),
            ])
        });
        let cases = self.played.iter().map(|(name, played)| {
            Value::from([("name", Value::from(name.as_str())), ("faults", Value::from(played.faults.clone()))])
        });
        [("links", Value::Array(links.collect())), ("cases", Value::Array(cases.collect()))]
    }
}

fn origin(from: Option<i64>) -> String {
    from.map_or("start".to_owned(), |step| step.to_string())
}

/// Prints what came of the only recipe.
fn single(args: &Args, results: &Results) -> Result<(), Error> {
    if args.json {
        let [links, cases] = results.members();
        print(&(Value::from([("version", Value::from(1)), links, cases]).to_json_pretty() + "\n"))?;
    } else {
        results.cases().iter().for_each(|line| say(line));
        print(&results.table())?;
        say(&format!("{} were exercised", results.summary()));
    }
    if results.has_passed() { Ok(()) } else { Err(Error::findings()) }
}

/// What came of several recipes.
struct Tally {
    bar: ProgressBar,
    /// The entries of the JSON document, if it is one.
    json: Option<Vec<Value>>,
    passed: usize,
    failed: usize,
    /// Recipes that could not be tested.
    untested: usize,
    others: usize,
}

impl Tally {
    fn new(is_json: bool, count: usize) -> Self {
        let is_shown = io::stderr().is_terminal() && !is_quiet();
        let bar = if is_shown { ProgressBar::new(count as u64) } else { ProgressBar::hidden() };
        let json = is_json.then(Vec::new);
        Self { bar, json, passed: 0, failed: 0, untested: 0, others: 0 }
    }

    /// Prints what came of a recipe: a line if it passed, else all there is.
    fn enter(&mut self, session: &Session, subject: &Subject, examined: Option<Examined>) -> Result<(), Error> {
        let Some(Examined { compiled, result }) = examined else {
            self.others += 1;
            return Ok(());
        };
        let is_refused = session.refuse(&compiled).is_err();
        let name = subject.name();
        let (entry, text) = match &result {
            Ok(results) if results.has_passed() => {
                self.passed += 1;
                (results.members().to_vec(), format!("passed: {name} ({})\n", results.summary()))
            }
            Ok(results) => {
                self.failed += 1;
                let cases = results.cases().iter().fold(String::new(), |text, line| text + "  " + line + "\n");
                let table = results.table().lines().fold(String::new(), |text, line| text + "  " + line + "\n");
                let summary = results.summary();
                (results.members().to_vec(), format!("failed: {name} ({summary})\n{cases}{table}"))
            }
            Err(error) => {
                *(if is_refused { &mut self.failed } else { &mut self.untested }) += 1;
                let message = if is_refused { "the dispatcher rejects the recipe" } else { error.message() };
                let hints = error.hints().iter().map(|hint| format!("  help: {hint}\n")).collect::<String>();
                (vec![("error", Value::from(message))], format!("failed: {name}\n  error: {message}\n{hints}"))
            }
        };
        match &mut self.json {
            Some(entries) => {
                let members = std::iter::once(("recipe", Value::from(name))).chain(entry);
                let members: Object = members.map(|(key, value)| (key.to_owned(), value)).collect();
                entries.push(Value::Object(members));
                Ok(())
            }
            None => print(&text),
        }
    }

    fn conclude(self) -> Result<(), Error> {
        self.bar.finish_and_clear();
        if let Some(entries) = self.json {
            let document = Value::from([("version", Value::from(1)), ("recipes", Value::Array(entries))]);
            print(&(document.to_json_pretty() + "\n"))?;
        }
        say(&format!("{} passed, {} failed", counted(self.passed, "recipe"), self.failed + self.untested));
        if self.others > 0 {
            say(&format!("skipped {} of other kinds", counted(self.others, "file")));
        }
        match self.untested {
            0 if self.failed > 0 => Err(Error::findings()),
            0 => Ok(()),
            count => Err(Error::new(format!("{} could not be tested", counted(count, "recipe")))),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_hides_no_other_result_and_changes_no_order() {
        let items: Vec<usize> = (0..40).collect();
        let work = |item: &usize| {
            contained(|| match item % 7 {
                3 => panic!("by intent"),
                5 => Err(Error::new("refused")),
                _ => Ok(*item),
            })
        };
        let results = |jobs: usize| {
            let mut found = Vec::new();
            let Ok(()) = each_in_order_with(&items, (jobs, 1), work, |item, result| {
                found.push((*item, result.map_err(|error| error.message().to_owned())));
                Ok::<(), std::convert::Infallible>(())
            });
            found
        };
        let alone = results(1);
        assert_eq!(alone.len(), items.len());
        assert_eq!(alone[2], (2, Ok(2)));
        assert!(alone[3].1.as_ref().is_err_and(|message| message.contains("internal error")), "{:?}", alone[3]);
        for jobs in [2, 8, 100] {
            assert_eq!(results(jobs), alone, "{jobs} jobs");
        }
    }
}
