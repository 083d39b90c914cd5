//! `zrecipe check`: everything that can be said about recipes before they run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::NamedTempFile;

use crate::cli::files::{Input, gather, replace};
use crate::cli::watch::{Changes, Stamp};
use crate::cli::{Error, LevelArgs, ParameterArgs, Session, Used, difference, file_report, print, say};
use zrecipe_language::baseline::Baseline;
use zrecipe_language::compile::{Compilation, structure};
use zrecipe_language::diagnostic::{Diagnostic, counted};
use zrecipe_language::document::DocumentKind;
use zrecipe_language::evidence::{Facts, Set};
use zrecipe_language::fix::{Fixed, Undone, Which};
use zrecipe_language::guard::guarded;
use zrecipe_language::report::{FORMATS, FileReport, Report, format};
use zrecipe_language::source::Source;
use zrecipe_language::value::Object;
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::known::Known;
use zrecipe_project::library::matching;
use zrecipe_project::project::{Unusable, each_in_order, is_ours};
use zrecipe_project::regular;
use zrecipe_project::settings::{self, plain};

/// Check recipes and configurations: every problem at once, at its place, with a way out
///
/// Contracts, site and broker configurations, plugin blocks, requests and zrecipe.toml are checked as well.
///
/// Exit code 0: nothing at error level. 1: something is, or `--diff` has something to show. 2: a file could not be
/// read or written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, directories or patterns such as `recipes/**/*.json`; `-` reads standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// What to call standard input in messages.
    #[arg(long, value_name = "NAME", default_value = "<stdin>")]
    stdin_filename: String,
    /// What the files are; without it, their content says it.
    #[arg(long, value_name = "KIND", value_parser = DocumentKind::ALL.map(DocumentKind::name))]
    kind: Option<String>,
    /// How to write findings.
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = FORMATS.iter().map(|f| f.name).collect::<Vec<_>>())]
    format: String,
    /// Apply the safe fixes and report what is left; standard input is written to standard output.
    #[arg(long)]
    fix: bool,
    /// Apply the fixes that ask to be looked at as well, or with `--diff` show them.
    #[arg(long)]
    unsafe_fixes: bool,
    /// Show what the fixes would change, and write and report nothing.
    #[arg(long, conflicts_with_all = ["output", "statistics", "write_baseline"])]
    diff: bool,
    /// Write the report to this file, which appears when it is whole.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say how many findings of each rule there are, and how many of them have a fix.
    #[arg(long)]
    statistics: bool,
    #[command(flatten)]
    parameters: ParameterArgs,
    #[command(flatten)]
    levels: LevelArgs,
    /// Say nothing of the findings that are known in this file; without it, `baseline` of zrecipe.toml.
    #[arg(long, value_name = "FILE", conflicts_with = "write_baseline")]
    baseline: Option<PathBuf>,
    /// Write all findings into a baseline file.
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
    /// Check again whenever a file changes, until interrupted.
    #[arg(long, conflicts_with_all = ["output", "write_baseline"])]
    watch: bool,
}

impl Args {
    fn fixes(&self) -> bool {
        self.fix || self.unsafe_fixes
    }
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    if args.watch { keep_checking(args, session) } else { check_all(args, session, &mut None) }
}

/// Checks again and again, each time only what has changed.
fn keep_checking(args: &Args, first: &Session) -> Result<(), Error> {
    if args.paths.iter().any(|path| path == "-") {
        return Err(Error::new("standard input cannot be watched"));
    }
    let (mut memory, mut before) = (None, None);
    loop {
        let basis = basis(args, Session::new(first.common.clone()).ok())?;
        let changes = Changes::of(args.paths.iter().map(Path::new).chain(basis.iter().map(PathBuf::as_path)))?;
        // Everything is read after this, so that no change is missed.
        let basis: Vec<Stamp> = basis.iter().map(|path| Stamp::of(path)).collect();
        let files = gather(&args.paths, &args.stdin_filename).unwrap_or_default();
        let files: Vec<Stamp> = files.iter().filter_map(|file| file.path.as_deref()).map(Stamp::of).collect();
        let (same_basis, same_files) =
            before.as_ref().map_or((false, false), |before: &(Vec<_>, Vec<_>)| (before.0 == basis, before.1 == files));
        if !same_basis {
            memory = Some(Memory::new());
        }
        if !same_basis || !same_files {
            if io::stdout().is_terminal() {
                // Clears the screen and goes to its first line.
                print("\x1b[2J\x1b[H")?;
            }
            if let Err(error) =
                Session::new(first.common.clone()).and_then(|session| check_all(args, &session, &mut memory))
            {
                error.tell()?;
            }
            say("watching for changes");
        }
        before = Some((basis, files));
        changes.wait()?;
    }
}

/// The files beside the recipes that a result depends on.
fn basis(args: &Args, session: Option<Session>) -> Result<Vec<PathBuf>, Error> {
    let folder = std::env::current_dir()?;
    let mut paths: Vec<PathBuf> = folder.ancestors().map(|folder| folder.join(settings::FILE_NAME)).collect();
    // Those above the one that holds do not matter, and without one only the nearest is likely to appear.
    paths.truncate(paths.iter().position(|path| path.exists()).unwrap_or_default() + 1);
    paths.extend(args.parameters.params.iter().chain(&args.baseline).cloned());
    if let Some(session) = session {
        paths.extend(session.site_files());
        paths.extend(session.common.broker.iter().cloned());
        paths.extend(session.settings.baseline.clone());
        for pattern in &session.settings.contracts {
            paths.extend(matching(pattern).unwrap_or_default());
            paths.push(pattern.clone());
        }
    }
    Ok(paths)
}

fn check_all(args: &Args, session: &Session, memory: &mut Option<Memory>) -> Result<(), Error> {
    let mut inputs = gather(&args.paths, &args.stdin_filename)?;
    let baselines = [&args.baseline, &args.write_baseline, &session.settings.baseline];
    let baselines: Vec<PathBuf> = baselines.into_iter().flatten().map(|path| plain(path)).collect();
    inputs.retain(|input| {
        !baselines.iter().any(|baseline| input.path.as_ref().is_some_and(|path| plain(path) == *baseline))
    });
    let chosen = format(&args.format).ok_or_else(|| Error::new(format!("there is no format `{}`", args.format)))?;
    // Standard output belongs to the fixed text of standard input, or to the diff.
    let aside = args.fixes() && !args.diff && inputs.iter().any(|input| input.path.is_none());
    let terminal = if aside { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
    let style = session.style(args.output.is_none() && terminal);
    let mut report = Report::new(chosen, style);
    let root = repository(&args.format);
    let mut output = match (&args.output, args.diff, aside) {
        (_, true, _) => Output::Nowhere,
        (None, false, true) => Output::Aside,
        (path, ..) => Output::open(path.as_deref())?,
    };
    let levels = args.levels.read()?;
    let known = read_baseline(args, session)?;
    let mut ledger = Ledger { writes: args.write_baseline.is_some(), known, ..Ledger::default() };
    let parameters = args.parameters.given()?;
    let unusable = tell_unusable(session.usable_contracts().1, &inputs);
    let (settled, broken) = match session.settled() {
        Ok(()) => (Ok(None::<()>), None),
        Err((error, path)) => (Err(error), Some(path.to_owned())),
    };
    let (_, no_settings) = usable(settled, broken.as_slice(), &inputs);
    let site = session.site_files();
    let (_, no_site) = usable(session.recipe_names(), &site, &inputs);
    let (_, no_broker) = usable(session.topology(), session.broker_paths(), &inputs);
    let request = CheckOptions {
        parameters: parameters.as_ref(),
        kind: args.kind.as_deref().and_then(DocumentKind::parse),
        levels: Some(&levels),
        ..CheckOptions::default()
    };
    output.write(&report.begin())?;
    let (mut unreadable, mut unwritable, mut passed_over) = (0, 0, 0);
    let (mut fixes, mut changed) = (0, 0);
    let mut used = Used::default();
    let check = |input: &Input, set| check(input, session, args, CheckOptions { set, ..request });
    let (set, alone) = look(&inputs, args, session, memory.as_ref(), request.parameters, |input| check(input, None))?;
    let set = (inputs.len() > 1).then_some(&set);
    let inputs: Vec<(&Input, Option<Alone>)> = inputs.iter().zip(alone).collect();
    each_in_order(
        &inputs,
        |(input, alone)| match alone {
            Some(alone) if !set.is_some_and(|set| set.contradicts(&alone.facts)) => Ok(Arc::clone(&alone.checked)),
            _ => check(input, set).map(|(before, fixed)| Arc::new(Checked::new(before, fixed, request.parameters))),
        },
        |(input, _), result| {
            match result {
                Ok(checked) if input.found && !checked.is_ours => passed_over += 1,
                Ok(checked) => {
                    if args.diff {
                        let (before, after) = (Arc::clone(&checked.before), Arc::clone(&checked.after));
                        print(&difference(&input.name, before, after, style.colour))?;
                    } else if args.fixes()
                        && let Err(error) = write_back(input, &checked)?
                    {
                        unwritable += 1;
                        say(&format!("error: {error}"));
                        return Ok::<(), Error>(());
                    }
                    used.extend(&checked.used);
                    fixes += checked.applied;
                    changed += usize::from(checked.applied > 0);
                    say_undone(&checked);
                    let diagnostics = ledger.enter(&input.name, &checked.diagnostics);
                    let renamed = root.as_deref().filter(|_| !diagnostics.is_empty());
                    let renamed = renamed.and_then(|root| Some(checked.shown.under(inside(root, &input.name)?)));
                    let (source, dropped) = (renamed.as_ref().unwrap_or(&checked.shown), checked.dropped);
                    let is_recipe = checked.kind == DocumentKind::Recipe;
                    let text = report.file(&FileReport { source, diagnostics: &diagnostics, dropped, is_recipe });
                    if !text.is_empty() {
                        output.write(&text)?;
                    }
                }
                Err(error) => {
                    unreadable += 1;
                    report.unread();
                    say(&format!("error: {error}"));
                    if session.library()?.names().contains(&input.name) {
                        say(&format!("  help: `{}` is the name of a recipe; `check` takes files", input.name));
                    }
                }
            }
            Ok(())
        },
    )?;
    // What could not be read may use any.
    if unreadable == 0 {
        for compilation in session.compile_given(&args.parameters, &used, Some(&levels))? {
            let diagnostics = ledger.enter(compilation.source.name(), &compilation.diagnostics);
            output.write(&report.file(&FileReport { diagnostics: &diagnostics, ..file_report(&compilation) }))?;
        }
    }
    if let Some(memory) = memory {
        let kept = inputs.into_iter().filter_map(|(input, alone)| Some((input.path.clone()?, alone?)));
        *memory = kept.collect();
    }
    let summary = *report.summary();
    // Without any recipe "nothing found" would be the wrong thing to say to people.
    let says_nothing = args.format == "human" && (summary.files == 0 || args.write_baseline.is_some());
    if !says_nothing {
        output.write(&report.end())?;
    }
    output.close()?;
    if args.statistics {
        ledger.statistics.lines().iter().for_each(|line| say(line));
    }
    // The report for people ends with the summary itself, and the JSON document holds it.
    if !args.diff && (args.output.is_some() || !matches!(args.format.as_str(), "human" | "json")) {
        say(&summary.to_string());
    }
    match passed_over {
        0 => {}
        1 => say("passed over 1 file of another kind"),
        more => say(&format!("passed over {more} files of other kinds")),
    }
    let is_blind = unreadable + unusable > 0 || no_settings || no_site || no_broker;
    if let Some(path) = args.write_baseline.as_ref().filter(|_| !is_blind) {
        let mut file = Output::open(Some(path))?;
        file.write(&ledger.written.to_text())?;
        file.close()?;
        say(&format!("wrote {} to {}", counted(ledger.written.count(), "finding"), path.display()));
    }
    let left = ledger.left;
    match ledger.taken {
        0 => {}
        1 => say("1 known finding is not shown"),
        more => say(&format!("{more} known findings are not shown")),
    }
    match left {
        0 => {}
        1 => say("1 known finding does not occur any more; `--write-baseline` forgets it"),
        more => say(&format!("{more} known findings do not occur any more; `--write-baseline` forgets them")),
    }
    if fixes > 0 {
        let verb = if args.diff { "would fix" } else { "fixed" };
        say(&format!("{verb} {} in {}", counted(fixes, "finding"), counted(changed, "file")));
    }
    let failed = if args.diff { changed } else { summary.errors };
    match (unreadable, failed) {
        (0, _) if unwritable > 0 => Err(Error::new(format!("{} could not be written", counted(unwritable, "file")))),
        (0, _) if unusable > 0 => Err(Error::new(format!("{} could not be used", counted(unusable, "contract")))
            .hint("`contracts` in zrecipe.toml names what has to be a contract")),
        (0, _) if no_settings => Err(Error::new("the settings could not be used")),
        (0, _) if no_site => Err(Error::new("the site configuration could not be used")),
        (0, _) if no_broker => Err(Error::new("the broker configuration could not be used")),
        (0, _) if summary.files == 0 => Err(Error::new("there is no recipe or configuration in what was given")),
        (0, 0) => Ok(()),
        (0, _) => Err(Error::findings()),
        (1, _) => Err(Error::new("1 file could not be read")),
        (more, _) => Err(Error::new(format!("{more} files could not be read"))),
    }
}

/// The directory from which the readers of a format count paths, if it is not ours.
fn repository(format: &str) -> Option<PathBuf> {
    let variable = match format {
        "github" | "sarif" => "GITHUB_WORKSPACE",
        "gitlab" => "CI_PROJECT_DIR",
        _ => return None,
    };
    let root = std::env::var_os(variable).filter(|root| !root.is_empty()).map(PathBuf::from);
    // GitLab knows no absolute paths.
    let root = root.or_else(|| (format == "gitlab").then(std::env::current_dir)?.ok())?;
    Some(root.canonicalize().unwrap_or(root))
}

/// The path of a file below a directory.
fn inside(directory: &Path, name: &str) -> Option<String> {
    let inner = plain(Path::new(name)).strip_prefix(directory).ok()?.to_str()?.to_owned();
    Some(inner).filter(|inner| !name.starts_with('<') && inner != name)
}

/// What files that are not checked are to be held against, and whether it cannot be had. If the configuration in
/// question is checked itself that is found out anyway.
fn usable<T>(found: Result<Option<T>, impl Into<Error>>, named: &[PathBuf], inputs: &[Input]) -> (Option<T>, bool) {
    let error = match found {
        Ok(found) => return (found, false),
        Err(error) => error.into(),
    };
    let named = named.iter().flat_map(|pattern| matching(pattern).unwrap_or_default());
    let named: HashSet<PathBuf> = named.filter_map(|path| regular::canonicalize(&path).ok()).collect();
    let is_named = |path: &PathBuf| regular::canonicalize(path).is_ok_and(|path| named.contains(&path));
    let is_checked = inputs.iter().any(|input| input.path.as_ref().is_some_and(is_named));
    if !is_checked {
        // It only says it.
        let _ = error.tell();
    }
    (None, !is_checked)
}

/// Says which contracts are not used, and why. Of those that are checked themselves it is found out anyway.
fn tell_unusable(unusable: &[Unusable], inputs: &[Input]) -> usize {
    let checked: HashSet<PathBuf> = match unusable {
        [] => HashSet::new(),
        _ => inputs.iter().filter_map(|input| regular::canonicalize(input.path.as_ref()?).ok()).collect(),
    };
    let is_checked =
        |contract: &Unusable| regular::canonicalize(&contract.path).is_ok_and(|path| checked.contains(&path));
    let told = unusable.iter().filter(|contract| !is_checked(contract));
    told.inspect(|contract| {
        say(&format!("error: {}", contract.why));
        say(&format!("  help: `zrecipe check {}` shows all that is wrong with it", contract.name));
    })
    .count()
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
    /// Standard error, where standard output holds something else.
    Aside,
    Nowhere,
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
            Ok(found) if found.is_dir() => {
                Err(Error::new(format!("cannot write {}: it is a directory", path.display())))
            }
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
            Self::Aside => Ok(io::stderr().lock().write_all(text.as_bytes())?),
            Self::Nowhere => Ok(()),
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

/// The known findings: of the baseline that is named, or that the settings name.
fn read_baseline(args: &Args, session: &Session) -> Result<Known, Error> {
    match (&args.write_baseline, &args.baseline, &session.settings.baseline) {
        (Some(path), ..) => Ok(Known::beside(path)),
        (None, Some(path), _) | (None, None, Some(path)) => Ok(Known::read(path)?),
        (None, None, None) => Ok(Known::default()),
    }
}

/// What becomes of findings.
#[derive(Default)]
struct Ledger {
    /// Those of the baseline that have not been met.
    known: Known,
    /// How many of the baseline have been met.
    taken: usize,
    /// How many of the baseline have not been met in files that were looked at.
    left: usize,
    /// Those that are written down instead of being shown.
    written: Baseline,
    /// Whether all are.
    writes: bool,
    /// Those that are shown.
    statistics: Statistics,
}

impl Ledger {
    /// Enters the findings of a file; gives those that are to be shown.
    fn enter(&mut self, name: &str, diagnostics: &[Diagnostic]) -> Vec<Diagnostic> {
        let mut left = diagnostics.to_vec();
        self.taken += self.known.take(name, &mut left).len();
        let file = self.known.key(name);
        self.left += self.known.baseline.count_of(&file);
        if self.writes {
            self.written.add(&file, &std::mem::take(&mut left));
        }
        self.statistics.add(&left);
        left
    }
}

/// What checking a file has come to.
struct Checked {
    /// The text as it was.
    before: Arc<Source>,
    /// The text with fixes.
    after: Arc<Source>,
    /// The same without secrets, for reports.
    shown: Arc<Source>,
    kind: DocumentKind,
    /// It is one of ours.
    is_ours: bool,
    diagnostics: Vec<Diagnostic>,
    dropped: usize,
    applied: usize,
    undone: Vec<Undone>,
    unfinished: bool,
    used: Used,
}

impl Checked {
    fn new(before: Arc<Source>, fixed: Fixed, parameters: Option<&Object>) -> Self {
        let Fixed { compilation, applied, undone, unfinished } = fixed;
        let (kind, is_ours) = (compilation.document.kind(), is_ours(&compilation));
        let mut used = Used::default();
        if parameters.is_some() {
            used.add(&compilation);
        }
        let Compilation { reading, shown, diagnostics, dropped, .. } = compilation;
        let after = Arc::clone(&reading.source);
        Self { before, after, shown, kind, is_ours, diagnostics, dropped, applied, undone, unfinished, used }
    }

    /// The same without its text, if that is neither to be shown nor written.
    fn lighter(self) -> Self {
        if !self.diagnostics.is_empty() {
            return self;
        }
        let name = Arc::new(Source::from_text(self.before.name(), ""));
        Self { before: Arc::clone(&name), after: Arc::clone(&name), shown: name, ..self }
    }
}

/// What is known of a file by itself, without the others.
#[derive(Clone)]
struct Alone {
    facts: Facts,
    checked: Arc<Checked>,
    /// If it is to be remembered.
    stamp: Option<Stamp>,
}

/// What is known from the time before, of files that have not changed since.
type Memory = HashMap<PathBuf, Alone>;

/// Looks at every file by itself, and counts what they have in common. What a file has come to is kept, as long as
/// there is room: then most need no second look.
fn look(
    inputs: &[Input],
    args: &Args,
    session: &Session,
    memory: Option<&Memory>,
    parameters: Option<&Object>,
    check: impl Fn(&Input) -> Result<(Arc<Source>, Fixed), String> + Sync,
) -> Result<(Set, Vec<Option<Alone>>), Error> {
    /// Bytes of text.
    const MOST_KEPT: usize = 32 << 20;
    let (several, fixing) = (inputs.len() > 1, args.fixes() || args.diff);
    let facts = |compilation: &Compilation| if several { Facts::of(&compilation.recipe) } else { Facts::default() };
    let room = AtomicUsize::new(if fixing { 0 } else { MOST_KEPT });
    let look = |input: &Input| {
        // Standard input can be read only once.
        let path = input.path.as_ref()?;
        let stamp = memory.map(|_| Stamp::of(path));
        let known = memory.and_then(|memory| memory.get(path)).filter(|known| known.stamp == stamp);
        if let Some(known) = known {
            return Some((known.facts.clone(), Some((Arc::clone(&known.checked), stamp))));
        }
        if room.load(Ordering::Relaxed) == 0 {
            let source = several.then(|| input.read(session.settings.max_bytes()))?.ok()?;
            let compilation = structure(Arc::new(source), None);
            return Some((facts(&compilation), None));
        }
        let (before, fixed) = check(input).ok()?;
        let facts = facts(&fixed.compilation);
        let size = before.text().len();
        let _ = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| Some(room.saturating_sub(size)));
        // Where there is room nothing is fixed.
        Some((facts, Some((Arc::new(Checked::new(before, fixed, parameters).lighter()), stamp))))
    };
    let mut set = Set::default();
    let mut alone = Vec::with_capacity(inputs.len());
    each_in_order(inputs, look, |_, found| {
        alone.push(found.and_then(|(mut facts, checked)| {
            set.add(&mut facts);
            checked.map(|(checked, stamp)| Alone { facts, checked, stamp })
        }));
        Ok::<(), Error>(())
    })?;
    Ok((set, alone))
}

/// The text as it was, and what became of it.
fn check(
    input: &Input,
    session: &Session,
    args: &Args,
    request: CheckOptions<'_>,
) -> Result<(Arc<Source>, Fixed), String> {
    let source = Arc::new(input.read(session.settings.max_bytes())?);
    let named = input.path.clone().unwrap_or_else(|| PathBuf::from(&input.name));
    let request = CheckOptions { path: Some(&named), ..request };
    let fixed = if args.fixes() || args.diff {
        let which = if args.unsafe_fixes { Which::All } else { Which::Safe };
        guarded(|| session.fix(Arc::clone(&source), which, request))
            .map_err(|panic| format!("cannot fix {}: internal error{}", input.name, panic.at()))?
    } else {
        let compilation = session.project.judge(Arc::clone(&source), request);
        Fixed { compilation, applied: 0, undone: Vec::new(), unfinished: false }
    };
    Ok((source, fixed))
}

/// Writes a text where it came from; the inner error is why a file cannot be written.
fn write_back(input: &Input, checked: &Checked) -> Result<Result<(), String>, Error> {
    let after = checked.after.text();
    if !checked.before.undecodable().is_empty() {
        return Ok(Err(format!("cannot fix {}: it is not UTF-8", input.name)));
    }
    match &input.path {
        Some(path) if checked.applied > 0 => Ok(replace(path, checked.before.text(), after)),
        Some(_) => Ok(Ok(())),
        None => print(after).map(Ok),
    }
}

/// How many of a file's fixes that were not applied are named.
const MOST_UNDONE: usize = 10;

/// Says which fixes were not applied, and why.
fn say_undone(checked: &Checked) {
    let source = &checked.after;
    for undone in checked.undone.iter().take(MOST_UNDONE) {
        let place = source.place(undone.at);
        say(&format!("{place}: not fixed, because {}: {}", undone.reason, undone.message));
    }
    if let Some(more @ 1..) = checked.undone.len().checked_sub(MOST_UNDONE) {
        say(&format!("{}: {} more not fixed", source.name(), counted(more, "finding")));
    }
    if checked.unfinished {
        say(&format!("{}: there is more to fix; run it again", source.name()));
    }
}
