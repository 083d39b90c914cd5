//! Fixtures: every file below `tests/lint`, `tests/syntax`, `tests/lower`, `tests/graph`, `tests/topology` and
//! `tests/format` is a test of its own, with what is expected of it in a snapshot beside it. Every folder of `tests/cli` with `args` in it is one, too:
//! see `cli.rs`.
//!
//! A fixture's bytes are the document, unchanged. Beside it, `<stem>.params` holds the parameters it is run with,
//! `<stem>.contracts` a list of contracts, `<stem>.broker` the broker's configuration, `<stem>.site` the types of
//! parameters that the site's dispatcher adds, `<stem>.recipes` the names of the recipes that there are, `<stem>.used`
//! the names of the parameters that recipes use, `<stem>.beside`
//! the recipes it is checked together with: a list of `[recipe, how many of them]`, and `<stem>.files` the files that it
//! names: `{path: state}` or `{path: {"text": …, "public": true}}`, see `shared/files.rs`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::contract::{Contract, Contracts, Declared};
use zrecipe::diagnostic::{Diagnostic, Fix};
use zrecipe::document::DocumentKind;
use zrecipe::evidence::Set;
use zrecipe::format::{self, Layout};
use zrecipe::graph::Graph;
use zrecipe::lint::{self, Rule};
use zrecipe::recipe::{Link, Recipe, Role, Target};
use zrecipe::schema::{Schema, to_schema_value};
use zrecipe::source::{Source, Span, Unit};
use zrecipe::syntax::json::{parse, read_value};
use zrecipe::syntax::yaml;
use zrecipe::syntax::{Kind, NodeRef, Tree};
use zrecipe::topology::{self, Pattern, Topology};
use zrecipe::value::{Object, Value};

mod cli;
#[path = "corpus/dump.rs"]
mod dump;
#[path = "shared/files.rs"]
mod files;

use dump::{dump_graph, dump_node, dump_recipe, dump_topology};

datatest_stable::harness! {
    { test = silent, root = "tests/lint", pattern = r"/ok[^/]*\.(json|yml|toml|ini)$" },
    { test = finding, root = "tests/lint", pattern = r"/bad[^/]*\.(json|yml|toml|ini)$" },
    { test = syntax, root = "tests/syntax", pattern = r"\.(json|yml|toml|ini)$" },
    { test = lower, root = "tests/lower", pattern = r"\.(json|yml|toml|ini)$" },
    { test = graph, root = "tests/graph", pattern = r"\.json$" },
    { test = broker, root = "tests/topology", pattern = r"\.(json|yml|toml|ini)$" },
    { test = layout, root = "tests/format", pattern = r"\.json$" },
    { test = command, root = "tests/cli", pattern = r"/args$" },
}

type Outcome = datatest_stable::Result<()>;

/// Why a fixture fails; the harness shows errors in their debug form.
struct Failure(String);

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

fn fail<T>(why: String) -> datatest_stable::Result<T> {
    Err(Failure(why).into())
}

/// `ok*.json`: the folder's rule finds nothing.
fn silent(path: &Path, bytes: Vec<u8>) -> Outcome {
    let fixture = Fixture::read(path).or_else(fail)?;
    let compilation = fixture.check(bytes);
    if compilation.diagnostics.is_empty() {
        return Ok(());
    }
    fail(format!("`{}` should have nothing to say here:\n{}", fixture.rule.name, findings(&compilation)))
}

/// `bad*.json`: the folder's rule finds what the snapshot says, and its safe fixes end what they are offered for.
fn finding(path: &Path, bytes: Vec<u8>) -> Outcome {
    let fixture = Fixture::read(path).or_else(fail)?;
    let compilation = fixture.check(bytes);
    if compilation.diagnostics.is_empty() {
        return fail(format!("`{}` finds nothing here", fixture.rule.name));
    }
    snapshot(path, &findings(&compilation))?;
    let is_recipe = compilation.document.kind() == DocumentKind::Recipe;
    let refuses = lint::REFUSING.iter().any(|rule| rule.name == fixture.rule.name);
    if is_recipe && !refuses && compilation.is_refused() {
        return fail(format!("`{}` refuses a recipe, so its place is in `lint::REFUSING`", fixture.rule.name));
    }
    for found in &compilation.diagnostics {
        if let Err(why) = fixture.try_fix(&compilation, found) {
            return fail(format!("`{}`: {why}", found.message));
        }
    }
    Ok(())
}

fn syntax(path: &Path, bytes: Vec<u8>) -> Outcome {
    let tree = zrecipe::syntax::parse(named(path, bytes));
    let mut out = String::new();
    dump_node(&mut out, tree.root(), 0);
    out.push_str("problems\n");
    for problem in tree.problems() {
        let _ = write!(out, "  {:?} {}", problem.kind, place(tree.source(), problem.span));
        if let Some(related) = problem.related {
            let _ = write!(out, ", see {}", place(tree.source(), related));
        }
        out.push('\n');
    }
    snapshot(path, &out)
}

fn lower(path: &Path, bytes: Vec<u8>) -> Outcome {
    let recipe = zrecipe::lower::lower(Arc::new(zrecipe::syntax::parse(named(path, bytes))));
    snapshot(path, &dump_recipe(&recipe))
}

fn graph(path: &Path, bytes: Vec<u8>) -> Outcome {
    let recipe = zrecipe::lower::lower(Arc::new(parse(source(bytes))));
    snapshot(path, &dump_graph(&recipe))
}

fn broker(path: &Path, bytes: Vec<u8>) -> Outcome {
    let tree = zrecipe::syntax::parse(named(path, bytes));
    snapshot(path, &dump_topology(&tree, &topology::read(&tree)))
}

fn command(path: &Path) -> Outcome {
    cli::case(path).or_else(fail)
}

/// The canonical layout; of `renumber*.json` with its steps numbered as well.
fn layout(path: &Path, bytes: Vec<u8>) -> Outcome {
    let is_renumbered = path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with("renumber"));
    let lay_out = |bytes: Vec<u8>| {
        let compilation = compile(source(bytes), Options::default());
        if is_renumbered { format::renumber(&compilation) } else { format::format(&compilation.recipe) }
    };
    let found = lay_out(bytes);
    if let Layout::Text(text) = &found
        && lay_out(text.clone().into_bytes()) != found
    {
        return fail(format!("laid out again it looks different:\n{text}"));
    }
    match found {
        Layout::Text(text) => snapshot(path, &text),
        Layout::None(reason) => snapshot(path, &format!("none, because {reason}")),
    }
}

/// What is known about a fixture of a rule without reading its text.
struct Fixture {
    /// The file's name: it says the notation.
    name: String,
    rule: &'static Rule,
    parameters: Option<Object>,
    contracts: Option<Contracts>,
    declared: Option<Declared>,
    /// The names of the recipes that there are.
    recipes: Option<BTreeSet<String>>,
    /// The broker that it is held against.
    topology: Option<Topology>,
    /// The recipes it is checked together with.
    beside: Option<Set>,
    /// The names of the parameters that recipes use; it is parameters itself.
    used: Option<BTreeSet<String>>,
    /// The files that it names.
    files: files::Folder,
}

/// The JSON in a file beside a fixture, with the same stem.
fn beside(path: &Path, extension: &str) -> Result<Option<Value>, String> {
    let path = path.with_extension(extension);
    match std::fs::read(&path) {
        Ok(bytes) => read_value(&bytes).map(Some).map_err(|why| format!("{}: {why}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// `[recipe, how often]`
fn pair(entry: &Value) -> Option<(&Value, i64)> {
    match entry.as_array()? {
        [recipe, count] => Some((recipe, count.as_i64()?)),
        _ => None,
    }
}

fn read_folder(description: &Value) -> Result<files::Folder, String> {
    let mut folder = files::Folder::default();
    for (path, file) in description.as_object().ok_or("the files of a fixture are an object")? {
        match (file.as_str(), file.get("text").and_then(Value::as_str)) {
            (Some(state), _) => folder.add_other(path, state)?,
            (None, Some(text)) => folder.add(path, text, file.get("public").is_some_and(Value::is_truthy)),
            (None, None) => return Err(format!("file `{path}` is neither a word nor has `text`")),
        }
    }
    Ok(folder)
}

fn read_broker(path: &Path) -> Result<Topology, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let tree = yaml::parse(Arc::new(Source::from_bytes("broker.yml", bytes)));
    match topology::faults(&tree).first() {
        Some(fault) => Err(format!("{}: {}", path.display(), fault.message)),
        None => Ok(topology::read(&tree)),
    }
}

fn contract(value: &Value) -> Result<Arc<Contract>, String> {
    let reading = zrecipe::contract::read(&parse(Arc::new(Source::from_text("contract", value.to_json()))));
    reading.contract.map(Arc::new).ok_or_else(|| format!("a contract is wrong: {:?}", reading.faults))
}

impl Fixture {
    fn read(path: &Path) -> Result<Self, String> {
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        let rule = lint::rule(folder).ok_or_else(|| format!("there is no rule `{folder}`; see `lint::RULES`"))?;
        let parameters = match beside(path, "params")? {
            Some(Value::Object(parameters)) => Some(parameters),
            Some(_) => return Err(format!("{}: its parameters should be an object", path.display())),
            None => None,
        };
        let others = beside(path, "beside")?.map(|recipes| {
            let mut set = Set::default();
            for (recipe, count) in recipes.as_array().unwrap_or_default().iter().filter_map(pair) {
                let facts = compile(source(recipe.to_json().into_bytes()), Options::default()).facts();
                (0..count).for_each(|_| set.add(&facts));
            }
            set
        });
        let contracts = match beside(path, "contracts")? {
            Some(Value::Array(contracts)) => {
                Some(Contracts::with_built_in(contracts.iter().map(contract).collect::<Result<Vec<_>, _>>()?))
            }
            Some(_) => return Err("the contracts of a fixture are a list".to_owned()),
            None => None,
        };
        let declared = match beside(path, "site")? {
            Some(Value::Object(types)) => {
                let schema = |(name, schema): (String, Value)| Ok((name, Schema::new(to_schema_value(&schema))?));
                let types = types.into_iter().map(schema).collect::<Result<Declared, zrecipe::schema::Flaw>>();
                Some(types.map_err(|flaw| format!("{flaw:?}"))?)
            }
            Some(_) => return Err("the types of a fixture are an object".to_owned()),
            None => None,
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let broker = path.with_extension("broker");
        let topology = broker.exists().then(|| read_broker(&broker)).transpose()?;
        let names = |list: &Value| {
            let names = list.as_array().unwrap_or_default().iter().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        };
        let recipes = beside(path, "recipes")?.as_ref().map(names);
        let used = beside(path, "used")?.as_ref().map(names);
        let files = beside(path, "files")?.map_or_else(|| Ok(files::Folder::default()), |files| read_folder(&files))?;
        Ok(Self { used, recipes, topology, name, rule, parameters, contracts, declared, beside: others, files })
    }

    fn check(&self, bytes: Vec<u8>) -> Compilation {
        self.compile(bytes, &[self.rule])
    }

    fn check_with_every_rule(&self, bytes: Vec<u8>) -> Compilation {
        self.compile(bytes, lint::RULES)
    }

    fn compile(&self, bytes: Vec<u8>, rules: &[&'static Rule]) -> Compilation {
        let set = self.beside.as_ref().map(|others| {
            let mut set = others.clone();
            set.add(&compile(self.source(bytes.clone()), Options::default()).facts());
            set
        });
        // What is hardly a site configuration is told to be one.
        let kind = [DocumentKind::Site, DocumentKind::Parameters].into_iter().find(|&kind| self.rule.about == [kind]);
        let mut options = Options {
            rules,
            kind,
            files: &self.files,
            parameters: self.parameters.as_ref(),
            declared: self.declared.as_ref(),
            topology: self.topology.as_ref(),
            set: set.as_ref(),
            recipes: self.recipes.as_ref(),
            used: self.used.as_ref(),
            ..Options::default()
        };
        options.contracts = self.contracts.as_ref().unwrap_or(options.contracts);
        compile(self.source(bytes), options)
    }

    fn source(&self, bytes: Vec<u8>) -> Arc<Source> {
        Arc::new(Source::from_bytes(self.name.as_str(), bytes))
    }

    /// A fix touches only what its finding points at; a safe one ends its finding and starts no other.
    fn try_fix(&self, before: &Compilation, found: &Diagnostic) -> Result<(), String> {
        let Some(fix) = &found.fix else { return Ok(()) };
        let fixed = apply(before.source.text(), fix)?;
        if fixed == before.source.text() {
            return Err("the fix changes nothing".to_owned());
        }
        let shown: Vec<Span> =
            std::iter::once(&found.primary).chain(&found.secondary).map(|label| label.span).collect();
        for edit in &fix.edits {
            if !shown.iter().any(|shown| shown.start <= edit.span.end && edit.span.start <= shown.end) {
                return Err(format!("the fix changes {:?}, where the finding does not point", edit.span));
            }
        }
        if !fix.safe {
            return Ok(());
        }
        let same = |compilation: &Compilation| {
            let same = |other: &&Diagnostic| other.message == found.message;
            compilation.diagnostics.iter().filter(same).count()
        };
        let after = self.check(fixed.clone().into_bytes());
        if same(&after) >= same(before) {
            return Err(format!("the safe fix does not end it:\n{fixed}"));
        }
        let original = before.source.text().as_bytes().to_vec();
        let all_before = self.check_with_every_rule(original);
        let all_after = self.check_with_every_rule(fixed.clone().into_bytes());
        if all_after.diagnostics.len() >= all_before.diagnostics.len() {
            let more = findings(&all_after);
            return Err(format!("the safe fix makes\n{fixed}\nof it, where other findings begin:\n{more}"));
        }
        Ok(())
    }
}

fn source(bytes: Vec<u8>) -> Arc<Source> {
    Arc::new(Source::from_bytes("fixture", bytes))
}

/// A fixture under the name of its file.
fn named(path: &Path, bytes: Vec<u8>) -> Arc<Source> {
    Arc::new(Source::from_bytes(path.file_name().unwrap_or_default().to_string_lossy(), bytes))
}

/// The text with a fix applied.
fn apply(text: &str, fix: &Fix) -> Result<String, String> {
    zrecipe::fix::apply(text, &fix.edits).ok_or_else(|| "the fix has edits that overlap or lie outside".to_owned())
}

fn snapshot(path: &Path, content: &str) -> Outcome {
    let folder = std::path::absolute(path)?.parent().map(Path::to_owned).ok_or("a fixture lies in a folder")?;
    let stem = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a fixture has a name")?;
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(stem, content));
    Ok(())
}

/// `line:column-line:column`, counted in characters.
fn place(source: &Source, span: Span) -> String {
    let at = |offset| {
        let position = source.position(offset, Unit::Char);
        format!("{}:{}", position.line, position.column)
    };
    format!("{}-{}", at(span.start), at(span.end))
}

/// Text on one line: line ends, control characters and spaces that nobody sees are written as escapes.
fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let invisible = character.is_control() || (character.is_whitespace() && character != ' ');
        if invisible || character == '\u{feff}' {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// As [`line`], and not too long.
fn short(text: &str) -> String {
    const MOST: usize = 70;
    let text = line(text);
    match text.chars().count() {
        0..=MOST => text,
        many => format!("{}… ({many} characters)", text.chars().take(MOST).collect::<String>()),
    }
}

fn findings(compilation: &Compilation) -> String {
    let source = &compilation.source;
    let mut out = String::new();
    for found in &compilation.diagnostics {
        let span = found.primary.span;
        let _ = writeln!(out, "{} {} {}", found.level, place(source, span), line(&found.message));
        let mut row = |what: &str, text: &str| {
            let _ = writeln!(out, "{}", format!("  {what:<6} {}", line(text)).trim_end());
        };
        row("at", &short(source.slice(span)));
        if !found.primary.text.is_empty() {
            row("label", &found.primary.text);
        }
        for label in &found.secondary {
            let what = format!("{} {}: {}", place(source, label.span), short(source.slice(label.span)), label.text);
            row("also", &what);
        }
        if let Some(help) = &found.help {
            row("help", help);
        }
        if let Some(fix) = &found.fix {
            row("fix", &format!("{} ({})", fix.title, if fix.safe { "safe" } else { "to be looked at" }));
            let fixed = apply(source.text(), fix).unwrap_or_else(|why| why);
            changed_lines(source.text(), &fixed).iter().for_each(|changed| row("", changed));
        }
        row("so", if found.refused { "the dispatcher refuses it" } else { "it runs" });
    }
    out
}

/// The lines in which two texts differ, `-` for the first and `+` for the second.
fn changed_lines(before: &str, after: &str) -> Vec<String> {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.split('\n').collect(), after.split('\n').collect());
    let least = before.len().min(after.len());
    let head = (0..least).take_while(|&line| before[line] == after[line]).count();
    let tail =
        (0..least - head).take_while(|&line| before[before.len() - 1 - line] == after[after.len() - 1 - line]).count();
    let removed = before[head..before.len() - tail].iter().map(|line| format!("- {line}"));
    let added = after[head..after.len() - tail].iter().map(|line| format!("+ {line}"));
    removed.chain(added).collect()
}
