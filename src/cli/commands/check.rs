//! `zrecipe check`: everything that can be said about recipes before they run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use tempfile::NamedTempFile;

use crate::baseline::Baseline;
use crate::cli::{Error, LevelArgs, Session, file_report, print, say};
use crate::compile::{Compilation, Options, compile};
use crate::diagnostic::Diagnostic;
use crate::evidence::{Facts, Set};
use crate::library::read;
use crate::lint::Levels;
use crate::report::{FORMATS, Report, format};
use crate::source::Source;

/// Check recipes: every problem at once, at its place, with a way out
///
/// Exit code 0: nothing at error level. 1: something is. 2: a file could not be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, directories or patterns such as `recipes/**/*.json`; `-` reads standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// What to call standard input in messages.
    #[arg(long, value_name = "NAME", default_value = "<stdin>")]
    stdin_filename: String,
    /// How to write findings.
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = FORMATS.iter().map(|f| f.name).collect::<Vec<_>>())]
    format: String,
    /// Write the report to this file, which appears when it is whole.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say how many findings of each rule there are, and how many of them have a fix.
    #[arg(long)]
    statistics: bool,
    #[command(flatten)]
    levels: LevelArgs,
    /// Say nothing of the findings that are known in this file; without it, `baseline` of zrecipe.toml.
    #[arg(long, value_name = "FILE", conflicts_with = "write_baseline")]
    baseline: Option<PathBuf>,
    /// Write all findings into a baseline file.
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
}

/// A file to check.
struct Input {
    name: String,
    /// None: standard input.
    path: Option<PathBuf>,
    /// Found by walking a directory, so it may be something else than a recipe.
    found: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let inputs = gather(&args.paths, &args.stdin_filename)?;
    let chosen = format(&args.format).ok_or_else(|| Error::new(format!("there is no format `{}`", args.format)))?;
    let mut report = Report::new(chosen, session.style(args.output.is_none() && io::stdout().is_terminal()));
    let mut output = Output::open(args.output.as_deref())?;
    let levels = args.levels.read()?;
    let mut known = read_baseline(args, session)?;
    let known_before = known.count();
    output.write(&report.begin())?;
    let mut statistics = Statistics::default();
    let (mut unreadable, mut passed_over) = (0, 0);
    let mut written = Baseline::default();
    let set = evidence(&inputs, session);
    let set = (inputs.len() > 1).then_some(&set);
    each_in_order(&inputs, |input| check(input, session, &levels, set), |input, result| {
        match result {
            Ok(compilation) if input.found && !is_recipe(&compilation) => passed_over += 1,
            Ok(mut compilation) => {
                known.take_known(&input.name, &mut compilation.diagnostics);
                if args.write_baseline.is_some() {
                    written.add(&input.name, &std::mem::take(&mut compilation.diagnostics));
                }
                statistics.add(&compilation.diagnostics);
                let text = report.file(&file_report(&compilation));
                if !text.is_empty() {
                    output.write(&text)?;
                }
            }
            Err(error) => {
                unreadable += 1;
                say(&format!("error: {error}"));
                if session.library()?.names().contains(&input.name) {
                    say(&format!("  help: `{}` is the name of a recipe; `check` takes files", input.name));
                }
            }
        }
        Ok(())
    })?;
    let summary = *report.summary();
    // Without any recipe "nothing found" would be the wrong thing to say to people.
    let says_nothing = args.format == "human" && (summary.files == 0 || args.write_baseline.is_some());
    if !says_nothing {
        output.write(&report.end())?;
    }
    output.close()?;
    if args.statistics {
        statistics.lines().iter().for_each(|line| say(line));
    }
    // The report for people ends with the summary itself, and the JSON document holds it.
    if args.output.is_some() || !matches!(args.format.as_str(), "human" | "json") {
        say(&summary.to_string());
    }
    match passed_over {
        0 => {}
        1 => say("passed over 1 file that is no recipe"),
        more => say(&format!("passed over {more} files that are no recipes")),
    }
    if let Some(path) = &args.write_baseline {
        std::fs::write(path, written.to_text()).map_err(|error| Error::new(format!("{}: {error}", path.display())))?;
        say(&format!("wrote {} findings to {}", written.count(), path.display()));
    }
    if known_before > known.count() {
        say(&format!("{} known findings are not shown", known_before - known.count()));
    }
    if known.count() > 0 {
        say(&format!("{} known findings do not occur any more; `--write-baseline` forgets them", known.count()));
    }
    match (unreadable, summary.errors) {
        (0, _) if summary.files == 0 => Err(Error::new("there is no recipe in what was given")),
        (0, 0) => Ok(()),
        (0, _) => Err(Error::findings()),
        (1, _) => Err(Error::new("1 file could not be read")),
        (more, _) => Err(Error::new(format!("{more} files could not be read"))),
    }
}

/// How many findings of each rule there are.
#[derive(Default)]
struct Statistics {
    /// Rule: all, and those with a fix.
    counts: BTreeMap<&'static str, (usize, usize)>,
}

impl Statistics {
    fn add(&mut self, findings: &[Diagnostic]) {
        for finding in findings {
            let (all, fixable) = self.counts.entry(finding.rule).or_default();
            *all += 1;
            *fixable += usize::from(finding.fix.is_some());
        }
    }

    /// The most frequent first.
    fn lines(&self) -> Vec<String> {
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_by_key(|&(rule, &(all, _))| (std::cmp::Reverse(all), *rule));
        let line = |(rule, &(all, fixable)): (&&str, &(usize, usize))| match fixable {
            0 => format!("{all:>6}  {rule}"),
            _ if fixable == all => format!("{all:>6}  {rule:<24} fixable"),
            _ => format!("{all:>6}  {rule:<24} {fixable} fixable"),
        };
        counts.into_iter().map(line).collect()
    }
}

/// Where the report goes.
enum Output {
    Standard,
    /// A file that is written beside its place and put there when it is whole.
    File(PathBuf, io::BufWriter<NamedTempFile>),
    /// A device or a pipe.
    Stream(PathBuf, std::fs::File),
}

impl Output {
    fn open(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else { return Ok(Self::Standard) };
        let failed = |error| unwritable(path, &error);
        match path.metadata() {
            Ok(found) if found.is_dir() => Err(Error::new(format!("cannot write {}: it is a directory", path.display()))),
            Ok(found) if !found.is_file() || path.starts_with("/dev") => {
                let stream = std::fs::OpenOptions::new().append(true).open(path).map_err(failed)?;
                Ok(Self::Stream(path.to_owned(), stream))
            }
            found => {
                // What a link leads to is replaced, not the link.
                let path = if found.is_ok() { path.canonicalize().map_err(failed)? } else { path.to_owned() };
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                if !folder.is_dir() {
                    let (path, folder) = (path.display(), folder.display());
                    return Err(Error::new(format!("cannot write {path}: there is no directory {folder}")));
                }
                // As any new file, or as the one that it replaces.
                let permissions = found.map_or(std::fs::Permissions::from_mode(0o666), |found| found.permissions());
                let part = tempfile::Builder::new().prefix(".zrecipe").permissions(permissions).tempfile_in(folder);
                Ok(Self::File(path.clone(), io::BufWriter::new(part.map_err(failed)?)))
            }
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        match self {
            Self::Standard => print(text),
            Self::File(path, part) => part.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error)),
            Self::Stream(path, stream) => stream.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error)),
        }
    }

    fn close(self) -> Result<(), Error> {
        let Self::File(path, part) = self else { return Ok(()) };
        let part = part.into_inner().map_err(|error| unwritable(&path, error.error()))?;
        part.persist(&path).map_err(|error| unwritable(&path, &error.error))?;
        Ok(())
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::new(format!("cannot write {}: {error}", path.display()))
}

/// The baseline that is named, or that the settings name.
fn read_baseline(args: &Args, session: &Session) -> Result<Baseline, Error> {
    let path = match (&args.write_baseline, &args.baseline, &session.settings.baseline) {
        (Some(_), ..) | (None, None, None) => return Ok(Baseline::default()),
        (None, Some(path), _) | (None, None, Some(path)) => path,
    };
    let source = read(path, &path.to_string_lossy(), Source::MAX_BYTES)?;
    let broken = |problem| Error::new(format!("{} {problem}", path.display())).hint("`--write-baseline FILE` makes one");
    Baseline::parse(source.text()).map_err(broken)
}

/// What the recipes have in common. It costs a second reading, and keeps no more of a file than what it says.
fn evidence(inputs: &[Input], session: &Session) -> Set {
    let mut set = Set::default();
    if inputs.len() > 1 {
        let facts = |input: &Input| {
            let source = read(input.path.as_ref()?, &input.name, session.settings.max_bytes()).ok()?;
            let compilation = compile(Arc::new(source), Options { rules: &[], ..Options::default() });
            Some(Facts::of(&compilation.recipe))
        };
        let counted = each_in_order(inputs, facts, |_, facts| {
            facts.iter().for_each(|facts| set.add(facts));
            Ok(())
        });
        // Nothing in it can fail.
        debug_assert!(counted.is_ok());
    }
    set
}

fn check(input: &Input, session: &Session, levels: &Levels, set: Option<&Set>) -> Result<Compilation, String> {
    let max_bytes = session.settings.max_bytes();
    let source = match &input.path {
        Some(path) => read(path, &input.name, max_bytes).map_err(|error| error.to_string())?,
        None => {
            let mut bytes = Vec::new();
            io::stdin().lock().take(max_bytes + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            if bytes.len() as u64 > max_bytes {
                return Err(format!("{} is larger than {max_bytes} bytes", input.name));
            }
            Source::from_bytes(&input.name, bytes)
        }
    };
    let named = input.path.clone().unwrap_or_else(|| PathBuf::from(&input.name));
    let (mut decided, suppressions) = session.settings.decisions(&named);
    decided.extend(levels);
    let options = Options { levels: Some(&decided), suppressions: &suppressions, set, ..Options::default() };
    Ok(compile(Arc::new(source), options))
}

/// Whether a file in a directory is meant to be a recipe: it has steps or a start, or is broken and mentions them.
fn is_recipe(compilation: &Compilation) -> bool {
    let recipe = &compilation.recipe;
    let has_step = recipe.steps().iter().any(|step| step.queue.is_some() || step.topic.is_some());
    let text = compilation.source.text();
    recipe.start().is_some() || has_step || (!recipe.is_object() && text.contains("\"start\"") && text.contains("\"queue\""))
}

/// The files that the arguments mean, each once, in order.
fn gather(paths: &[String], stdin_name: &str) -> Result<Vec<Input>, Error> {
    let mut inputs = Vec::new();
    let mut seen = BTreeSet::new();
    let mut add = |path: PathBuf, found: bool| {
        let path = path.strip_prefix("./").map_or_else(|_| path.clone(), Path::to_owned);
        if seen.insert(path.clone()) {
            let name = path.to_string_lossy().into_owned();
            inputs.push(Input { name, path: Some(path), found });
        }
    };
    let mut stdin = false;
    for path in paths {
        if path == "-" {
            stdin = true;
        } else if Path::new(path).is_dir() {
            walk(Path::new(path))?.into_iter().for_each(|file| add(file, true));
        } else if path.contains(['*', '?', '[']) && !Path::new(path).exists() {
            let files = expand(path)?;
            if files.is_empty() {
                return Err(Error::new(format!("no file matches `{path}`")));
            }
            files.into_iter().for_each(|file| add(file, false));
        } else {
            add(PathBuf::from(path), false);
        }
    }
    if stdin {
        inputs.push(Input { name: stdin_name.to_owned(), path: None, found: false });
    }
    if inputs.is_empty() {
        return Err(Error::new("there is no `.json` file in what was given"));
    }
    Ok(inputs)
}

/// The JSON files below a directory, without those that git ignores.
fn walk(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in ignore::WalkBuilder::new(directory).sort_by_file_path(Ord::cmp).build() {
        let entry = entry.map_err(|error| Error::new(error.to_string()))?;
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        if is_file && entry.path().extension().is_some_and(|ending| ending == "json") {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

/// The files that match a pattern.
fn expand(pattern: &str) -> Result<Vec<PathBuf>, Error> {
    let glob = globset::GlobBuilder::new(pattern.strip_prefix("./").unwrap_or(pattern)).literal_separator(true).build();
    let matcher = glob.map_err(|error| Error::new(error.to_string()))?.compile_matcher();
    // Everything that matches lies below the part of the pattern without a wildcard.
    let fixed: PathBuf = Path::new(pattern)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']))
        .collect();
    let root = if fixed.as_os_str().is_empty() { PathBuf::from(".") } else { fixed };
    let mut files = Vec::new();
    if !root.exists() {
        return Ok(files);
    }
    for entry in ignore::WalkBuilder::new(&root).standard_filters(false).sort_by_file_path(Ord::cmp).build() {
        let entry = entry.map_err(|error| Error::new(error.to_string()))?;
        let path = entry.path().strip_prefix("./").unwrap_or(entry.path());
        if entry.file_type().is_some_and(|kind| kind.is_file()) && matcher.is_match(path) {
            files.push(path.to_owned());
        }
    }
    Ok(files)
}

/// Works on items with all cores and hands the results on in the order of the items.
fn each_in_order<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(&T, R) -> Result<(), Error>,
) -> Result<(), Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    if threads <= 1 {
        return items.iter().try_for_each(|item| take(item, work(item)));
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sender, results) = mpsc::sync_channel(4 * threads);
        for _ in 0..threads {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    // Nobody listens any more when the output is closed.
                    if sender.send((index, work(item))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        for (index, result) in results {
            waiting.insert(index, result);
            while let Some(result) = waiting.remove(&due) {
                take(&items[due], result)?;
                due += 1;
            }
        }
        Ok(())
    })
}
